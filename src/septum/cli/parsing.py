"""The parser of every verb: help that keeps its examples as they are, exit codes, and `--json`."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from septum.cli.answer import note_error
from septum.errors import SeptumError, UsageError, every_error

PROG = "septum"
NO_DOCUMENT = frozenset({"credentials run"})
"""Verbs without `--json`: standard output belongs to the command that they run."""
_COLUMN = 56
_KINDS = {"E0": "usage, configuration", "E1": "credentials", "E2": "the cluster", "E3": "the jobs", "E4": "the merge"}
_KINDS |= {"E5": "the comparison", "E7": "try again"}


class Parser(argparse.ArgumentParser):
    """A parser whose help ends with exit codes, and whose complaints are a document where one is asked for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", Formatter)
        super().__init__(*args, **options)

    def format_help(self) -> str:
        """The help, with the exit codes of this verb at its end."""
        given = self.epilog
        self.epilog = "\n\n".join(filter(None, [(given or "").strip(), exit_codes(path_of(self))]))
        try:
            return super().format_help()
        finally:
            self.epilog = given

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Read a command line; a verb complains itself of what it does not know, with its own usage."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print; a full disk or a reader that has gone is no mistake of septum. Python does so as well from 3.12 on."""
        with contextlib.suppress(OSError):
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        """Complain of the command line, and end with exit code 2."""
        try:
            super().error(message)
        except SystemExit:
            raise Complaint(self.prog, message) from None


class Complaint(SystemExit):
    """A command line that cannot be read; it has been said on standard error."""

    def __init__(self, prog: str, message: str) -> None:
        super().__init__(UsageError.exit_code)
        self.prog, self.message = prog, message

    def note(self) -> None:
        """Put it into the document."""
        what = f"{self.prog}: {self.message}"
        note_error(UsageError.code, UsageError.exit_code, what, fix=f"{self.prog} --help")


class Formatter(argparse.HelpFormatter):
    """Fills paragraphs of one line, and leaves those that have lines of their own: examples and tables."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = [part.strip("\n") for part in text.split("\n\n")]
        filled = [
            part if "\n" in part else super(Formatter, self)._fill_text(part, width, indent) for part in paragraphs
        ]
        return "\n\n".join(filled)


def path_of(parser: argparse.ArgumentParser) -> str:
    """The words of a verb, such as `cluster list`; empty for septum itself."""
    return parser.prog.removeprefix(PROG).strip()


def examples(*pairs: tuple[str, str], note: str = "") -> str:
    """The end of a verb's help.

    Args:
        pairs: Commands as one would paste them, and what each does.
        note: Sentences that stand before them.
    """
    lines = ["examples:"]
    for command, words in pairs:
        alone = len(command) > _COLUMN - 4
        lines += [f"  {command}", " " * _COLUMN + words] if alone else [f"  {command}".ljust(_COLUMN) + words]
    return "\n\n".join(filter(None, [note, "\n".join(line.rstrip() for line in lines)]))


def exit_codes(verb: str) -> str:
    """The table of what a verb can end with, from the errors themselves; that of all errors for septum itself."""
    codes = {error.code: error for error in every_error()}
    if verb:
        from septum.cli.endings import ENDINGS

        if verb not in ENDINGS:
            return ""
        codes = {code: codes[code] for code in ENDINGS[verb].split()}
    by_code: dict[int, list[str]] = {}
    for error in codes.values():
        by_code.setdefault(error.exit_code, []).append(error.code)
    lines = ["exit codes:", "    0  done, and whole"]
    for number, names in sorted(by_code.items()):
        lines.append(f"  {number:>3}  {', '.join(names)}: {_KINDS.get(names[0][:2], names[0])}")
    lines.append(f"  {SeptumError.exit_code:>3}  {SeptumError.code}: a mistake in septum itself")
    lines.append("  130  Ctrl-C")
    return "\n".join([*lines, "       docs/reference/errors.md says what each means"])


def leaves(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every verb and every action of a verb that can be run, by its words."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001 - argparse has no other way
    if not inner:
        yield path_of(parser), parser
    for action in inner:
        for child in dict.fromkeys(action.choices.values()):
            yield from leaves(child)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give `--json` to every verb that has none of its own."""
    for verb, leaf in leaves(parser):
        if verb not in NO_DOCUMENT and "--json" not in _options(leaf):
            leaf.add_argument("--json", action="store_true", help="write one JSON document; words go to standard error")


def _options(parser: argparse.ArgumentParser) -> Sequence[str]:
    return list(parser._option_string_actions)  # noqa: SLF001 - as above
