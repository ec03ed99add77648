"""`septum compare`: what is identical, what is rounding, what is statistics, and what differs between two results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.console import say, table
from septum.cli.options import preset
from septum.components import inputs
from septum.components.environment import COMPONENT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from septum.compare.files import Given
    from septum.compare.verdicts import Comparison


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "compare",
        help="compare results with a reference, object by object",
        description="Compare results with a reference, object by object. Files are compared as they are, folders file "
        "by file, by the results' names. Nothing is submitted, and no ROOT is needed.",
        epilog="Exit code: 0 if the results are what --reproducibility asks for; 50 if not identical, 51 if not "
        "compatible, 52 if nothing could be compared, 75 if GitLab or a server does not answer.",
    )
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
    add("--json", metavar="FILE", type=Path, help="write every object as JSON")
    add("--quiet", action="store_true", help="print the first line only")
    verb.set_defaults(handler=compare)


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
    if args.json and args.json.is_dir():
        raise UsageError(f"--json {args.json}: this is a folder", fix="name a file")
    given, work = _given(args.here)
    asked = Compare(reference=args.reference, reproducibility=args.reproducibility, significance=args.significance)
    with tempfile.TemporaryDirectory(prefix="septum-compare-") as scratch:
        comparison = compare_results(
            given, asked, environ=os.environ, root=Path(), scratch=Path(scratch), work=work, everything=True
        )
    if args.json:
        write_whole(args.json, to_json(comparison))
    _print(comparison, quiet=args.quiet)
    if (error := comparison.failure()) is not None:
        raise error
    first = args.reference == DEFAULT_BRANCH and COMPONENT in os.environ
    if comparison.reference is None and not first:
        # Whoever compares by hand wants to know; a first pipeline of the component has nothing to compare with.
        raise NotComparableError(f"compare: {comparison.nothing}", fix="name a file or a folder as the second argument")
    return 0


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
