"""Runs the contenders in turn, round after round, and takes down what each cost and whether its result is right."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.cluster.analysis import judge, lay
from benchmarks.cluster.contenders import IDEAL, Contender
from benchmarks.cluster.site import Seen, Site
from benchmarks.cluster.stage import Done, Stage
from benchmarks.machine import load

Say = Callable[[str], None]
_DEADLINE_S = 3600.0


def race(
    site: Site, contenders: Sequence[Contender], *, parts: int, seconds: float, rounds: int, say: Say
) -> Iterator[dict[str, Any]]:
    """Run all contenders in turn.

    Args:
        site: The pool.
        contenders: Them. In each round another one begins.
        parts: Of the analysis.
        seconds: How long each sleeps.
        rounds: How often.
        say: Told what happens.

    Yields:
        One record for each contender and round, as soon as it is there.
    """
    for number in range(rounds):
        shift = number % len(contenders)
        for contender in [*contenders[shift:], *contenders[:shift]]:
            before = load()
            record = _run(site, contender, parts=parts, seconds=seconds)
            say(_line(record))
            yield {"round": number, "load": before, **record}


def _line(record: Mapping[str, Any]) -> str:
    if record["wrong"]:
        return f"{record['contender']}: {record['wrong']}"
    return (
        f"{record['contender']}: {record['total_s']:.1f} s, submitted after {record['submission_s']:.2f} s, "
        f"{record['after_s']:.2f} s after the last job, CPU {record['cpu_s']:.2f} s, {record['result']}"
    )


def _run(site: Site, contender: Contender, *, parts: int, seconds: float) -> dict[str, Any]:
    letters = "".join(letter if letter.isalnum() else "-" for letter in contender.name)
    folder = site.folder / f"{letters}-{time.time_ns()}"
    lay(folder, parts=parts, seconds=seconds)
    stage = Stage(
        site=site,
        folder=folder,
        parts=parts,
        seconds=seconds,
        interval_s=contender.interval_s,
        deadline_s=_DEADLINE_S,
    )
    steps = contender.steps(stage)
    stage.open_ways()
    site.clear()
    # What others wrote goes to the disk now, not while this one is measured.
    os.sync()
    mark, schedd_s = site.mark(), site.schedd_cpu_s()
    record: dict[str, Any] = {"contender": contender.name, "wrong": "", "parts": parts}
    try:
        done = [stage.play(step) for step in steps]
        if contender.name == IDEAL:
            site.wait_ended(mark, parts, _DEADLINE_S)
        record |= _figures(stage, done, site.seen(mark), contender)
        record["schedd_cpu_s"] = site.schedd_cpu_s() - schedd_s
        record["result"] = judge(folder / contender.result, parts) if contender.merges else ""
        record["wrong"] = record["result"] if record["result"] not in {"", "equal"} else ""
        record |= _ledger(folder, record)
    except RuntimeError as error:
        record["wrong"] = str(error)
    finally:
        for way in stage.ways:
            way.end()
        site.clear()
    if not record["wrong"]:
        shutil.rmtree(folder)
        for log in folder.parent.glob(f"{folder.name}.*.log"):
            log.unlink()
    return record


def _figures(stage: Stage, done: Sequence[Done], seen: Seen, contender: Contender) -> dict[str, Any]:
    began_s, ended_s = done[0].began_s, done[-1].ended_s if contender.merges else seen.ended_s
    submitting = [step.ended_s for step in done if step.name == "submit"]
    if not contender.jobs:
        # The parts are processes of this machine: nothing is known of the last one's end but that it was before.
        seen = replace(seen, submitted_s=began_s, started_s=began_s, ended_s=ended_s)
    # With their files: where a command of its own submits, when that has ended.
    submitted_s = max([seen.submitted_s, *submitting])
    spans = {"submission": (began_s, submitted_s), "watch": (submitted_s, ended_s)}
    return {
        "total_s": ended_s - began_s,
        "submission_s": submitted_s - began_s,
        "first_start_s": seen.started_s - began_s,
        "jobs_s": seen.ended_s - began_s,
        "after_s": ended_s - seen.ended_s,
        "jobs": seen.ended,
        "cpu_s": sum(step.measured.cpu_s for step in done),
        "memory_mb": max(step.measured.memory_mb for step in done),
        "lines": sum(step.lines for step in done),
        "printed_b": sum(step.printed_b for step in done),
        "traffic": {
            name: {daemon: asdict(stage.way.traffic(daemon, *span)) for daemon in ("schedd", "collector")}
            for name, span in spans.items()
        },
        "steps": [
            {
                "name": step.name,
                "began_s": step.began_s - began_s,
                "ended_s": step.ended_s - began_s,
                "after_s": step.ended_s - max(step.began_s, seen.ended_s),
                "cpu_s": step.measured.cpu_s,
                "memory_mb": step.measured.memory_mb,
                "lines": step.lines,
            }
            for step in done
        ],
        "ended_at_s": seen.ended_s,
        "finished_at_s": ended_s,
    }


def _ledger(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """What septum's ledger adds: its size, and when it saw what after the last job's end."""
    path = folder / ".septum" / "run.sqlite"
    if not path.is_file():
        return {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as ledger:
        times = dict(ledger.execute("SELECT state, max(time_s) FROM event WHERE state IS NOT NULL GROUP BY state"))
    ended_s = record["ended_at_s"]
    return {
        "ledger_b": path.stat().st_size,
        "split": {
            "poll_s": times["ended"] - ended_s,
            "fetch_and_verify_s": times["verified"] - times["ended"],
            "merge_and_verify_s": times["merged"] - times["verified"],
            "leave_s": record["finished_at_s"] - times["merged"],
        },
    }
