"""`python -m benchmarks growth run`: septum alone, from few parts to many, and the start-up of its commands."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cluster.analysis import lay
from benchmarks.growth.profiled import profiles
from benchmarks.growth.report import report
from benchmarks.growth.simulated import MARKS
from benchmarks.machine import load, machine
from benchmarks.measure import measure
from benchmarks.places import cache

_PARTS = (411, 1_000, 4_110, 10_000, 20_000)
_PROGRAM = (sys.executable, "-m", "septum")
_STARTS: Mapping[str, Sequence[str]] = {
    "python": [sys.executable, "-c", ""],
    "septum --help": [*_PROGRAM, "--help"],
    "septum --version": [*_PROGRAM, "--version"],
    "septum plan --help": [*_PROGRAM, "plan", "--help"],
    "septum collect --help": [*_PROGRAM, "collect", "--help"],
}
_YAML = """\
name: bench
command: [sh, part.sh]
parts:
  product: {{number: {{first: 0, last: {last}}}}}
inputs: [part.sh, template.root]
outputs: [histograms.root]
merge: {{all.root: histograms.root}}
"""
_PROFILE = """\
title: nobody
method: htcondor
collector: localhost:9618
schedd: nobody@localhost
poll-floor: 15 s
poll-ceiling: 2 min
"""


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m benchmarks growth", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    running = verbs.add_parser("run", help="measure")
    running.add_argument("parts", type=int, nargs="*", metavar="N", help=f"{', '.join(map(str, _PARTS))} by default")
    running.add_argument("--rounds", type=int, default=3, metavar="N", help="how often (3)")
    running.add_argument("--no-pool", action="store_true", help="leave out what needs a pool: submission and polls")
    profiling = verbs.add_parser("profile", help="show where the time of the hot paths goes")
    profiling.add_argument("parts", type=int, nargs="?", default=_PARTS[-1], metavar="N", help=f"({_PARTS[-1]})")
    showing = verbs.add_parser("show", help="write the report of an earlier run")
    showing.add_argument("json", type=Path, metavar="FILE", help="what `run` wrote")
    return top


def main(words: Sequence[str]) -> None:
    """Run what the command line asks for."""
    args = _parser().parse_args(words)
    if args.verb == "show":
        print(report(json.loads(args.json.read_text(encoding="utf-8"))))
        return
    if args.verb == "profile":
        print(profiles(*prepared(args.parts, _PROFILE)))
        return
    parts = args.parts or list(_PARTS)
    records: list[dict[str, Any]] = []
    data = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "rounds": args.rounds,
        "starts": _starts(args.rounds),
        "records": records,
    }
    path = cache() / "results" / time.strftime("growth-%Y-%m-%dT%H-%M-%S.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(args.rounds):
        for count in parts:
            records.append({"round": number, "load": load(), **_grow(count)})
            print(f"{count} parts: {json.dumps(records[-1])}", file=sys.stderr, flush=True)
            path.write_text(json.dumps(data, indent=1), encoding="utf-8")
        if not args.no_pool:
            from benchmarks.growth.pool import grow_on_pool

            for record in grow_on_pool(parts):
                records.append({"round": number, "load": load(), **record})
                print(f"on the pool: {json.dumps(record)}", file=sys.stderr, flush=True)
                path.write_text(json.dumps(data, indent=1), encoding="utf-8")
    print(f"written: {path}", file=sys.stderr)
    print(report(data))


def _starts(rounds: int) -> dict[str, dict[str, float]]:
    """CPU time and memory of commands that do nothing; each runs once before, so that it is compiled."""
    log = cache() / "results" / "start.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, command in _STARTS.items():
        measured = [measure(command, folder=cache(), log=log) for _ in range(2 * rounds + 1)][1:]
        found[name] = {
            "cpu_s": statistics.median(one.cpu_s for one in measured),
            "wall_s": statistics.median(one.wall_s for one in measured),
            "exit_code": max(one.exit_code for one in measured),
        }
    return found


def prepared(parts: int, profile: str) -> tuple[Path, int]:
    """A folder with the analysis of so many parts; returns it, and where the bin of the first part stands."""
    folder = cache() / "growth" / str(parts)
    shutil.rmtree(folder, ignore_errors=True)
    offset = lay(folder, parts=parts, seconds=0, marks=MARKS)
    (folder / "septum.yaml").write_text(_YAML.format(last=parts - 1))
    (folder / "clusters").mkdir()
    (folder / "clusters" / "pool.yaml").write_text(profile)
    return folder, offset


def _grow(parts: int) -> dict[str, Any]:
    folder, offset = prepared(parts, _PROFILE)
    record: dict[str, Any] = {"parts": parts}
    for verb, words in (("plan", ["plan", "--json"]), ("prepare", ["prepare", "--cluster", "pool"])):
        measured = measure([*_PROGRAM, *words], folder=folder, log=folder / f"{verb}.log")
        if measured.exit_code:
            raise RuntimeError(f"septum {verb} ended with {measured.exit_code}: {measured.said}")
        record[verb] = {**asdict(measured), "cpu_s": measured.cpu_s, "said": ""}
    record["plan_b"] = (folder / ".septum" / "plan.json").stat().st_size
    words = [sys.executable, "-m", "benchmarks.growth.simulated", str(offset)]
    root = str(Path(__file__).parents[2])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the simulation ended with {done.returncode}: {done.stderr[-3000:]}")
    record["collect"] = json.loads(done.stdout.splitlines()[-1])
    shutil.rmtree(folder)
    return record
