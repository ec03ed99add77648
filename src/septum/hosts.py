"""Finds black holes: machines on which jobs fail so fast that they draw one job after the other. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

_FAILURES = 3
"""Different parts that must have failed on a machine; fewer may be chance."""
_FAST = 0.5
"""A failure is fast that took less than this fraction of the median time of parts that delivered."""
MOST_AVOIDED = 20
"""Hosts that one run avoids at most: beyond, the fault is not with single machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One job of a part that ended on a machine; `seconds` is its run time, None if nobody knows it."""

    host: str
    part: str
    delivered: bool
    seconds: float | None


def black_holes(trials: Iterable[Trial]) -> frozenset[str]:
    """The machines on which several parts failed fast and none delivered, while others deliver.

    Args:
        trials: All jobs that have ended, in any order.
    """
    by_host: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.host:
            by_host.setdefault(trial.host, []).append(trial)
    good = {host for host, found in by_host.items() if any(trial.delivered for trial in found)}
    if not good:
        # Nothing delivers anywhere: the analysis is at fault, or the whole site.
        return frozenset()
    times = [t.seconds for found in by_host.values() for t in found if t.delivered and t.seconds is not None]
    limit_s = _FAST * statistics.median(times) if times else 0.0
    suspects = [
        host
        for host, found in sorted(by_host.items())
        if host not in good
        and len({t.part for t in found if t.seconds is None or t.seconds <= max(limit_s, 1.0)}) >= _FAILURES
    ]
    return frozenset(suspects[:MOST_AVOIDED])
