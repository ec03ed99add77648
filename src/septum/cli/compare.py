"""`septum compare`: what is identical, what is rounding, what is statistics, and what differs between two results."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.console import say, table
from septum.cli.options import preset
from septum.cli.parsing import examples
from septum.components import inputs
from septum.components.environment import COMPONENT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from septum.compare.files import Given
    from septum.compare.verdicts import Comparison

_EXAMPLES = (
    ("septum compare result old/result", "two result folders"),
    ("septum compare new.root old.root --reproducibility exact", "an error if any bit differs"),
    ("septum compare result default-branch", "with the last good pipeline, in a CI job"),
    ("septum compare result old/result --json compare.json", "every object, in a file"),
)
_NOTE = (
    "Exit code 0 if the results are what --reproducibility asks for; 50 if not identical, 51 if not "
    "compatible, 52 if nothing could be compared, 75 if GitLab or a server does not answer."
)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "compare",
        help="compare results with a reference, object by object",
        description="Compare results with a reference, object by object. Files are compared as they are, folders file "
        "by file, by the results' names. Nothing is submitted, and no ROOT is needed.",
        epilog=examples(*_EXAMPLES, note=_NOTE),
    )
    verb.set_defaults(handler=compare)
    _add_options(verb)


def _add_options(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add(
        "here",
        metavar="A",
        type=Path,
        nargs="?",
        default=Path(preset(inputs.RESULT)),
        help="the new results: a file, or a folder (default: result) [SEPTUM_RESULT]",
    )
    add(
        "reference",
        metavar="B",
        nargs="?",
        default=preset(inputs.REFERENCE),
        help="the reference: a file, a folder, a URL, default-branch (the default), or tag:NAME [SEPTUM_REFERENCE]",
    )
    add(
        "--reproducibility",
        choices=inputs.REPRODUCIBILITY.options,
        default=preset(inputs.REPRODUCIBILITY),
        help="what is an error: anything but identical, what is not compatible, or nothing (the default) "
        "[SEPTUM_REPRODUCIBILITY]",
    )
    add(
        "--significance",
        metavar="P",
        type=float,
        default=0.001,
        help="the probability of calling an object different by chance, any of them (default: 0.001)",
    )
    add(
        "--json",
        metavar="FILE",
        type=Path,
        nargs="?",
        const=True,
        help="write every object as JSON: into a file, or, as the last option without one, to standard output",
    )
    add("--quiet", action="store_true", help="print the first line only")


def compare(args: argparse.Namespace) -> int:
    """Print the comparison; raises what follows from it."""
    import tempfile

    from septum.compare.document import to_json
    from septum.compare.pipelines import DEFAULT_BRANCH
    from septum.compare.results import compare_results
    from septum.errors import NotComparableError, UsageError
    from septum.plan import Compare
    from septum.state import write_whole

    if not 0 < args.significance < 1:
        raise UsageError(
            f"--significance {args.significance}: a probability between 0 and 1", fix="for instance: 0.001"
        )
    file = args.json if isinstance(args.json, Path) else None
    if file is not None:
        _check_file(file)
    given, work = _given(args.here)
    asked = Compare(reference=args.reference, reproducibility=args.reproducibility, significance=args.significance)
    with tempfile.TemporaryDirectory(prefix="septum-compare-") as scratch:
        comparison = compare_results(
            given, asked, environ=os.environ, root=Path(), scratch=Path(scratch), work=work, everything=True
        )
    answer(json.loads(to_json(comparison)))
    if file is not None:
        write_whole(file, to_json(comparison))
    _print(comparison, quiet=args.quiet)
    if (error := comparison.failure()) is not None:
        raise error
    first = args.reference == DEFAULT_BRANCH and COMPONENT in os.environ
    if comparison.reference is None and not first:
        # Whoever compares by hand wants to know; a first pipeline of the component has nothing to compare with.
        raise NotComparableError(f"compare: {comparison.nothing}", fix="name a file or a folder as the second argument")
    return 0


def _check_file(file: Path) -> None:
    """Look that no result is written over: in `--json A B`, A is the file.

    Raises:
        UsageError: It is a folder, or holds something else than JSON.
    """
    from septum.errors import UsageError

    if file.is_dir():
        raise UsageError(f"--json {file}: this is a folder", fix="name a file, or put --json behind all others")
    with contextlib.suppress(OSError), file.open("rb") as stream:
        if stream.read(1) not in {b"", b"{"}:
            raise UsageError(
                f"--json {file}: this file is there, and is no JSON",
                fix=f"septum compare {file} … --json    # to standard output, if it stands last",
            )


def _given(here: Path) -> tuple[Sequence[Given], str]:
    """The new results, and the hash of their work if their manifest says it."""
    from septum.compare.files import Given
    from septum.compare.reference import comparable, read_folder
    from septum.errors import NotComparableError

    if not here.exists():
        raise NotComparableError(f"compare: {here} does not exist", fix="septum compare NEW REFERENCE")
    if not here.is_dir():
        return [Given(name=here.name, path=here)], ""
    listing = read_folder(here)
    if listing is not None:
        found = [
            Given(name=item.name, path=here / item.file, parts=item.parts, missing=item.missing)
            for item in listing.results.values()
        ]
        work = listing.work
    else:
        found, work = [Given(name=name, path=here / name) for name in sorted(comparable(here))], ""
    if not found:
        raise NotComparableError(f"compare: {here} holds no results", fix="name the folder that the results are in")
    return found, work


def _print(comparison: Comparison, *, quiet: bool) -> None:
    from septum.compare.show import rest, summary, worst_rows

    if quiet:
        say(comparison.headline())
        return
    for line in summary(comparison):
        say(line)
    table(worst_rows(comparison))
    if more := rest(comparison):
        say(f"  {more}")
