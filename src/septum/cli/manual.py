"""The page of the command line: the help of every verb, as argparse prints it. Writes nothing."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from typing import Any

_COLUMNS = 100
# argparse leaves two columns free.
_WIDTH = _COLUMNS - 2
# Wide enough for a usage in one line. Versions of Python wrap it differently, and say the same.
_ONE_LINE = 1_000_000


def page(top: argparse.ArgumentParser, note: str) -> str:
    """The page of all verbs.

    Args:
        top: The parser of the whole command line.
        note: What stands below the title.

    Returns:
        Markdown, the same from every version of Python.
    """
    lines = [
        "# Command line",
        "",
        note,
        "What `septum VERB --help` prints, for every verb. What the codes mean is on a page of [their own](errors.md).",
        "",
    ]
    for parser in _parsers(top):
        lines += [f"## `{parser.prog}`", "", "```", help_of(parser), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def help_of(parser: argparse.ArgumentParser) -> str:
    """The help of a parser, as it is on a terminal of 100 columns."""
    given: Any = parser.formatter_class

    def formatter(width: int) -> Any:
        def make(prog: str) -> argparse.HelpFormatter:
            made: argparse.HelpFormatter = given(prog=prog, width=width)
            # The column of the explanations, which versions of Python compute differently; none is further right.
            made._action_max_length = made._max_help_position  # noqa: SLF001 - argparse has no other way
            return made

        return make

    try:
        parser.formatter_class = formatter(_ONE_LINE)
        usage = parser.format_usage().strip()
        parser.formatter_class = formatter(_WIDTH)
        _, _, rest = parser.format_help().partition("\n\n")
    finally:
        parser.formatter_class = given
    return f"{_wrapped(usage, parser.prog)}\n\n{rest.rstrip()}"


def _wrapped(usage: str, prog: str) -> str:
    """A usage in lines of at most 98 characters; an option and its value stay together."""
    # What belongs together is joined by a blank that does not break, and gets its own back afterwards.
    joined = re.sub(r"\[[^\[\]]*\]", lambda match: match[0].replace(" ", "\0"), usage)
    indent = " " * (len("usage: ") + len(prog) + 1)
    wrapped = textwrap.wrap(joined, _WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
    return "\n".join(wrapped).replace("\0", " ")


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, and below it those of its verbs, in the order of its help."""
    yield parser
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for below in dict.fromkeys(action.choices.values()):
                yield from _parsers(below)
