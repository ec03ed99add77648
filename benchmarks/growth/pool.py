"""Submission and looks at the queue, for real: on a pool that starts no job."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.cluster.contenders import septum_environment, septum_profile
from benchmarks.cluster.site import Site
from benchmarks.cluster.stage import Stage, Step
from benchmarks.growth.front import prepared
from benchmarks.places import cache
from septum.facility import Facility

_LOOKS = 5
_CONFIG = (
    "START = False",
    "MAX_JOBS_PER_SUBMISSION = 1000000",
    "MAX_JOBS_PER_OWNER = 1000000",
)
_DEADLINE_S = 3600.0


def grow_on_pool(parts: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Submit so many parts, look at the queue, and remove them.

    Args:
        parts: Several numbers.

    Yields:
        A record for each of them.
    """
    with Facility(slots=1, config=_CONFIG) as facility:
        site = Site(facility, cache() / "growth")
        for count in parts:
            yield {"parts": count, "pool": _one(site, count)}
            site.clear()


def _one(site: Site, parts: int) -> dict[str, Any]:
    endpoint = site.facility.endpoint
    profile = septum_profile(site.facility, interval_s=1.0) + "max-jobs-per-submission: 1000000\n"
    folder, _ = prepared(parts, profile + "max-jobs-per-owner: 1000000\n")
    stage = Stage(site=site, folder=folder, parts=parts, seconds=0, interval_s=1.0, deadline_s=_DEADLINE_S)
    stage.open_ways()
    environ = septum_environment(site.facility, run=f"growth-{time.time_ns()}")
    found: dict[str, Any] = {"schedd": endpoint.schedd}

    def step(name: str, *words: str) -> None:
        before_s = site.schedd_cpu_s()
        command = [sys.executable, *words]
        done = stage.play(Step(name=name, command=command, pool=False, counted=name != "prepare", environ=environ))
        traffic = stage.way.traffic("schedd", done.began_s, done.ended_s)
        found[name] = {
            "wall_s": done.measured.wall_s,
            "cpu_s": done.measured.cpu_s,
            "memory_mb": done.measured.memory_mb,
            "schedd_cpu_s": site.schedd_cpu_s() - before_s,
            "round_trips": traffic.round_trips,
            "out_b": traffic.out_b,
            "in_b": traffic.in_b,
            "said": done.measured.said,
        }

    try:
        step("prepare", "-m", "septum", "prepare")
        step("submit", "-m", "septum", "submit")
        step("look", "-m", "benchmarks.growth.looks", "changed")
        step("looks", "-m", "benchmarks.growth.looks", *["same"] * _LOOKS)
        step("cancel", "-m", "septum", "cancel")
    finally:
        for way in stage.ways:
            way.end()
    found["ledger_b"] = (folder / ".septum" / "run.sqlite").stat().st_size
    shutil.rmtree(folder)
    return found
