"""`python -m benchmarks merging run`: makes the files once, runs all contenders in turn, and writes the report."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.merging.cases import CASES, HERE, Case, make
from benchmarks.merging.contenders import CONTENDERS
from benchmarks.merging.report import report
from benchmarks.merging.rounds import remove_results, run_case
from benchmarks.places import cache

_BEGIN, _END = "<!-- results: python -m benchmarks merging -->", "<!-- end of results -->"


def _parser() -> argparse.ArgumentParser:
    names = [case.name for case in CASES]
    top = argparse.ArgumentParser(prog="python -m benchmarks merging", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("make", help="write the files of the cases, once")
    running = verbs.add_parser("run", help="run the cases")
    showing = verbs.add_parser("show", help="write the report of an earlier run")
    for verb in (making, running):
        verb.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(names)}; all by default")
        verb.add_argument("--files", type=int, metavar="N", help="use the first N files only, for a try")
    running.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each contender runs (3)")
    running.add_argument("--only", action="append", metavar="NAME", help="this contender only; may be repeated")
    showing.add_argument("json", type=Path, metavar="FILE", help="what `run` wrote")
    for verb in (running, showing):
        verb.add_argument("--readme", action="store_true", help="put the report into benchmarks/merging/README.md")
    return top


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _cases(names: Sequence[str]) -> list[Case]:
    by_name = {case.name: case for case in CASES}
    if unknown := [name for name in names if name not in by_name]:
        raise SystemExit(f"there is no case {unknown[0]!r}; there are: {', '.join(by_name)}")
    return [by_name[name] for name in names] or list(CASES)


def _run(args: argparse.Namespace) -> Path:
    contenders = [contender for contender in CONTENDERS if not args.only or contender.name in args.only]
    if not contenders or args.rounds < 1:
        raise SystemExit(f"there are the contenders: {', '.join(contender.name for contender in CONTENDERS)}")
    outcomes: list[object] = []
    data = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "rounds": args.rounds, "outcomes": outcomes}
    path = cache() / "results" / time.strftime("%Y-%m-%dT%H-%M-%S.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    for case in _cases(args.cases):
        outcome = run_case(case, contenders, rounds=args.rounds, count=args.files, say=_say)
        remove_results()
        outcomes.append(outcome.to_data())
        # After each case: a run takes an hour, and may be stopped.
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")
    _say(f"written: {path}")
    return path


def _show(path: Path, *, readme: bool) -> None:
    text = report(json.loads(path.read_text(encoding="utf-8")))
    if not readme:
        print(text)
        return
    page = HERE / "README.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(f"{before}{_BEGIN}\n\n{text}\n{_END}{after}", encoding="utf-8")


def main(words: Sequence[str]) -> None:
    """Run what the command line asks for."""
    args = _parser().parse_args(words)
    if args.verb == "make":
        for case in _cases(args.cases):
            make(case, args.files)
        return
    _show(_run(args) if args.verb == "run" else args.json, readme=args.readme)
