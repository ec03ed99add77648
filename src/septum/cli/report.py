"""`septum report`: the page of a run and its other reports, made again from a result folder."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.console import say
from septum.cli.parsing import examples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from septum.compare.verdicts import Comparison
    from septum.manifest import Manifest


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "report",
        help="make the page of a run again, with plots, from its result folder",
        description="Make the reports of a run from its result folder: report.html, summary.md, junit.xml, metrics.txt "
        "and annotations.json. septum run and septum collect do the same at their end.",
        epilog=examples(
            ("septum report result", "all reports, into the result folder"),
            ("septum report result --reference old/result", "with the old results beside the new ones"),
            ("septum report result --out page.html", "the page alone"),
            note="Plots with axes and ratios need matplotlib and mplhep: pip install 'septum[report]'.",
        ),
    )
    add = verb.add_argument
    add("folder", metavar="FOLDER", type=Path, help="the result folder, with septum.json in it")
    add("--compare", metavar="FILE", type=Path, help="the comparison (default: compare.json in FOLDER, if it is there)")
    add(
        "--reference",
        metavar="PATH",
        type=Path,
        help="a ROOT file, or a folder with files of the results' names, to draw beside this run",
    )
    add("--out", metavar="FILE", type=Path, help="write the page alone, to this file")
    verb.set_defaults(handler=make)


def make(args: argparse.Namespace) -> int:
    """Write the reports; returns 0, or the exit code of what could not be written."""
    from septum.errors import StateError
    from septum.report.write import FILES, write_all

    manifest = _manifest(args.folder)
    comparison = _comparison(args.folder, args.compare)
    references = _references(args.reference, manifest)
    if args.out is not None:
        return _page(args, manifest, comparison, references)
    warnings: list[str] = []
    written = write_all(
        args.folder, manifest, comparison, references=references, environ=os.environ, warn=warnings.append
    )
    answer({"written": [str(path) for path in written], "warnings": warnings})
    for path in written:
        say(f"wrote {path}")
    for warning in warnings:
        say(f"warning: {warning}")
    if len(written) < len(FILES):
        raise StateError(
            f"report: {len(FILES) - len(written)} of {len(FILES)} reports were not written",
            evidence="\n".join(warnings),
            fix="the result itself is untouched; see the reason above",
        )
    return 0


def _page(
    args: argparse.Namespace, manifest: Manifest, comparison: Comparison | None, references: Mapping[str, Path]
) -> int:
    from septum.report.material import gather
    from septum.report.page import html
    from septum.state import write_whole

    write_whole(args.out, html(gather(args.folder, manifest, comparison, references=references)))
    say(f"wrote {args.out}")
    answer({"written": [str(args.out)], "warnings": []})
    return 0


def _manifest(folder: Path) -> Manifest:
    from septum.errors import StateError
    from septum.manifest import NAME, from_json

    path = folder / NAME
    try:
        return from_json(path.read_text(encoding="utf-8"), name=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(
            f"report: there is no {NAME} in {folder} that can be read",
            evidence=str(error),
            fix="name the folder that 'septum run' or the CI job wrote, such as: septum report result",
        ) from error


def _comparison(folder: Path, named: Path | None) -> Comparison | None:
    from septum.compare.document import NAME, from_json
    from septum.errors import StateError

    path = named if named is not None else folder / NAME
    if named is None and not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(
            f"report: the comparison {path} cannot be read", evidence=str(error), fix="name another one with --compare"
        ) from error
    return from_json(text, name=str(path))


def _references(named: Path | None, manifest: Manifest) -> dict[str, Path]:
    """The reference's file of each result."""
    from septum.errors import StateError

    if named is None:
        return {}
    if named.is_dir():
        found = {result.name: named / result.name for result in manifest.results if (named / result.name).is_file()}
    else:
        found = {result.name: named for result in manifest.results[:1]} if named.is_file() else {}
    if not found and manifest.results:
        raise StateError(
            f"report: {named} holds no file of this run's results",
            evidence=", ".join(result.name for result in manifest.results[:5]),
            fix="name a ROOT file, or a folder that holds files of these names",
        )
    return found
