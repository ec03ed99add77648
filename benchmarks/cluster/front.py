"""`python -m benchmarks cluster run`: runs all contenders in turn on a real pool, and writes the report.

`page` turns such reports into the page of the documentation.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cluster.contenders import CONTENDERS
from benchmarks.cluster.page import write_page
from benchmarks.cluster.peers import LAW, SNAKEMAKE
from benchmarks.cluster.race import race
from benchmarks.cluster.report import report
from benchmarks.cluster.site import SLOTS, site
from benchmarks.machine import machine
from benchmarks.places import cache


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m benchmarks cluster", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    running = verbs.add_parser("run", help="run the contenders")
    running.add_argument("--parts", type=int, default=41, metavar="N", help="parts of the analysis (41)")
    running.add_argument("--seconds", type=float, default=2.0, metavar="S", help="how long a part sleeps (2)")
    running.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each contender runs (3)")
    running.add_argument("--slots", type=int, default=SLOTS, metavar="N", help=f"jobs at the same time ({SLOTS})")
    running.add_argument("--only", action="append", metavar="NAME", help="this contender only; may be repeated")
    showing = verbs.add_parser("show", help="write the report of earlier runs")
    showing.add_argument("json", type=Path, nargs="+", metavar="FILE", help="what `run` wrote")
    writing = verbs.add_parser("page", help="write docs/explanation/measured.md and its plots from earlier runs")
    writing.add_argument("json", type=Path, nargs="+", metavar="FILE", help="what `cluster run` wrote")
    writing.add_argument("--growth", type=Path, required=True, metavar="FILE", help="what `growth run` wrote")
    return top


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(words: Sequence[str]) -> None:
    """Run what the command line asks for."""
    args = _parser().parse_args(words)
    if args.verb == "show":
        print("\n".join(report(_read(path)) for path in args.json))
        return
    if args.verb == "page":
        write_page([_read(path) for path in args.json], _read(args.growth))
        return
    contenders = [contender for contender in CONTENDERS if not args.only or contender.name in args.only]
    if not contenders or args.rounds < 1:
        raise SystemExit(f"there are the contenders: {', '.join(contender.name for contender in CONTENDERS)}")
    path = cache() / "results" / time.strftime(f"cluster-{args.parts}-%Y-%m-%dT%H-%M-%S.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    with site(slots=args.slots) as pool:
        condor = pool.facility.pool.run("condor_version").stdout.split()[1]
        records: list[dict[str, Any]] = []
        data = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{machine()}, HTCondor {condor}, {', '.join([*LAW[:1], *SNAKEMAKE[:2]])}",
            "parts": args.parts,
            "seconds": args.seconds,
            "slots": args.slots,
            "rounds": args.rounds,
            "records": records,
        }
        for record in race(pool, contenders, parts=args.parts, seconds=args.seconds, rounds=args.rounds, say=_say):
            records.append(record)
            # After each, so that a run that is cut short keeps what it has.
            path.write_text(json.dumps(data, indent=1), encoding="utf-8")
    _say(f"written: {path}")
    print(report(data))
