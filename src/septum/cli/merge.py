"""`septum merge OUT FILES…`: merge files without a plan or a cluster, as strictly as a run does."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.console import say, table
from septum.cli.parsing import examples
from septum.cli.progress import bar
from septum.errors import UsageError

if TYPE_CHECKING:
    from septum.yamltext import KeyPath

_SHOWN = 20


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "merge",
        help="merge files into one, exactly, and verify it",
        description="Merge files into one, exactly, and verify it. Files that do not merge without loss are refused.",
        epilog=examples(
            ("septum merge all.root one.root two.root", "two files into one"),
            ("septum merge all.root @list.txt --jobs 4", "those named in list.txt, read by four processes"),
            ("septum merge all.root a.root b.root --policy missing-objects=union", "with a policy relaxed"),
            ("septum merge counts.json a.json b.json", "other formats, by the ending of the result"),
        ),
    )
    verb.set_defaults(handler=_merge)
    add = verb.add_argument
    add("target", metavar="OUT", help="the merged file; replaced only by a verified one")
    add("sources", metavar="FILE", nargs="+", help="the files to merge; @LIST for those named in a file, one a line")
    add("--jobs", metavar="N", type=int, default=1, help="processes that read (default: 1)")
    add("--engine", choices=["auto", "strict", "hadd"], default="auto", help="what merges ROOT files (default: auto)")
    add(
        "--policy",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="relax a policy of the merge, as under 'policies' in septum.yaml: missing-objects=union",
    )


def _merge(args: argparse.Namespace) -> int:
    from septum.merge.files import merge_files
    from septum.units import count, show_size

    if args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: expected 1 or more", fix="for instance: --jobs 2")
    sources = _named(args.sources)
    with bar("files", total=len(sources)) as advance:
        done = merge_files(
            Path(args.target),
            sources,
            wish=args.engine,
            policies=_policies(args.policy),
            jobs=args.jobs,
            environ=dict(os.environ),
            told=advance,
        )
    say(f"{args.target}: {count(len(sources), 'file')}, {show_size(done.size_b)}, sha256 {done.sha256}")
    say(f"merged and verified by {done.engine}")
    answer(
        {
            "file": args.target,
            "files": len(sources),
            "size_b": done.size_b,
            "sha256": done.sha256,
            "engine": done.engine,
            "objects": {
                path: {"kind": kind, "entries": entries} for path, (kind, entries) in done.finished.objects.items()
            },
        }
    )
    rows = sorted(done.finished.objects.items())
    table([(path, kind, f"{entries:.15g} entries") for path, (kind, entries) in rows[:_SHOWN]])
    if len(rows) > _SHOWN:
        say(f"… and {count(len(rows) - _SHOWN, 'more object')}")
    return 0


def _named(texts: list[str]) -> list[Path]:
    """The files, with those of lists in the place of their list."""
    found: list[Path] = []
    for text in texts:
        if not text.startswith("@"):
            found.append(Path(text))
            continue
        try:
            lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"merge: the list {text[1:]} cannot be read: {error}", fix="check its name") from error
        found += [Path(line) for line in lines if line.strip()]
    if not found:
        raise UsageError("merge: the lists name no files", fix="write one path a line into them")
    return found


def _policies(texts: list[str]) -> dict[str, str]:
    if not texts:
        # All that reads a configuration takes a tenth of a second and as much memory as a merge of small files.
        return {}
    from septum.cli.options import overrides
    from septum.config import Policies
    from septum.errors import ConfigError
    from septum.validation import validate

    found = validate(Policies, _Given(overrides(texts)), error=ConfigError).relaxed
    if found.get("missing-objects") == "groups":
        raise UsageError(
            "--policy missing-objects=groups: which files belong together is looked at in a run alone",
            fix="--policy missing-objects=union",
        )
    return found


@dataclass(frozen=True)
class _Given:
    """What was given on the command line, as `validate` wants it."""

    data: Mapping[str, str]
    name: str = "--policy"

    def where(self, path: KeyPath) -> str:
        """All keys come from one place."""
        del path
        return self.name
