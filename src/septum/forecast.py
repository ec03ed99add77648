"""What a plan will cost: what it asks for at most, and what the last run says of it. Pure.

No number is made up: what nobody has measured is not there. A range is of what was measured, from the tenth to the
ninetieth of a hundred; of fewer than ten values, from the smallest to the largest.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from septum.files import total_size

if TYPE_CHECKING:
    from septum.ledger import Row, StoredOutput
    from septum.manifest import Manifest
    from septum.plan import Plan

T = TypeVar("T", int, float)

_MANY = 10
_LARGEST = 1e18
_LOW, _HIGH = 0.1, 0.9
_TOLD = ("source", "run", "cluster", "name", "missing", "again", "rehearsed", "took_s", "results_b")
"""What programs are told of the last run, beside the number of its parts."""
_DELIVERED = frozenset({"verified", "merged"})
"""States of parts whose figures count: a part that failed may have done so after a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Values that were measured: low, median and high, their mean, and how many they are."""

    low: float
    median: float
    high: float
    mean: float
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One part of the last run; None where nobody measured.

    Attributes:
        fingerprint: What it computed; empty if nobody knows.
        wait_s: From the queue to the worker.
        began_s, ended_s: On the worker, in seconds since the epoch.
        cpu_s: CPU time.
        memory_b: The largest memory.
        outputs_b: What came back.
    """

    id: str
    fingerprint: str = ""
    wait_s: float | None = None
    began_s: float | None = None
    ended_s: float | None = None
    cpu_s: float | None = None
    memory_b: int | None = None
    outputs_b: int | None = None

    @property
    def run_s(self) -> float | None:
        """How long it ran."""
        if self.began_s is None or self.ended_s is None or self.ended_s < self.began_s:
            return None
        return self.ended_s - self.began_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The last run of which something is known.

    Attributes:
        source: Where this was read.
        run: Its tag, and
        cluster: where it was; empty if nobody knows.
        parts: Those that delivered.
        name: The analysis; empty if nobody knows.
        missing: How many parts did not deliver.
        again: How many of those that did were started more than once; only the last time was measured.
        rehearsed: Whether a pool on somebody's machine took the place of the cluster.
        took_s: From its beginning to its end.
        results_b: The size of its results together.
    """

    source: str
    run: str
    cluster: str
    parts: tuple[Measured, ...]
    name: str = ""
    missing: int = 0
    again: int = 0
    rehearsed: bool = False
    took_s: float | None = None
    results_b: int | None = None

    @property
    def rest_s(self) -> float | None:
        """What it took beside the time from the first part that was submitted to the last that ended."""
        begun = [part.began_s - (part.wait_s or 0) for part in self.parts if part.began_s is not None]
        ended = [part.ended_s for part in self.parts if part.ended_s is not None]
        return None if self.took_s is None or not begun or not ended else _sane(self.took_s - max(ended) + min(begun))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the plan asks for, the defaults of the cluster filled in.

    Attributes:
        at_once: Most jobs at a time: slots of this machine, or what the cluster lets one owner have.
        core_hours: If every part took all its time.
        core_hours_allowed: `limits: cpu-hours` of septum.yaml.
        there_b: What travels to the workers, before it is packed.
        spool_b: What waits on the schedd for its jobs to begin, or in workspaces on REANA; 0 on this machine.
        sent_b: What is sent there for all jobs, before it is packed; 0 on this machine.
        shared_b: What all parts share, and
        area_b: what of it goes to the shared area of the cluster instead, once.
        workflows: How many workflows the jobs are on REANA, each with one copy of that; 0 elsewhere.
    """

    parts: int
    whole: int
    cpus: int
    memory_b: int
    disk_b: int
    time_s: int
    at_once: int
    core_hours: float
    core_hours_allowed: float | None
    there_b: int
    spool_b: int
    sent_b: int
    shared_b: int
    area_b: int
    workflows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the last run says of this plan; None where it says nothing.

    Attributes:
        same: Parts of this plan that are in it, with the same fingerprint; None if the parts are not known yet.
        at_once: Parts that run at the same time: slots of this machine, or as many as then at most; 0 if unknown.
        run_s, wait_s, memory_b, back_b: For one part.
        core_hours: Of all parts: the range of one part, times their number. `mean` is the likely one.
        back_all_b: What comes back of all parts, in the same way.
        elapsed_s: From the first job to the last, if as many run at once as then; smallest and largest.
        rest_s: What the last run took beside that: to submit, to verify, to merge.
        results_b: Size of the results; the larger one if they grow with the parts, as trees do.
    """

    same: int | None = None
    at_once: int = 0
    run_s: Range | None = None
    wait_s: Range | None = None
    memory_b: Range | None = None
    back_b: Range | None = None
    core_hours: Range | None = None
    back_all_b: Range | None = None
    elapsed_s: tuple[float, float] | None = None
    rest_s: float | None = None
    results_b: tuple[int, int] | None = None


def asked(
    plan: Plan,
    *,
    cpus: int,
    memory_b: int,
    disk_b: int,
    time_s: int,
    at_once: int,
    spools: bool,
    by_url: bool = False,
    workflows: int = 0,
) -> Asked:
    """What a plan asks for.

    Args:
        plan: The plan.
        cpus: The cluster's default of a job, where the plan says nothing; so are
        memory_b: its memory,
        disk_b: its disk, and
        time_s: its time.
        at_once: Most jobs at a time.
        spools: Whether a schedd keeps the files of jobs that wait.
        by_url: Whether what all parts share goes to a storage once.
        workflows: How many workflows get one copy of it each, and their parts none; 0 where each job gets one.
    """
    request, number = plan.request, len(plan.parts)
    cpus, time_s, at_once = request.cpus or cpus, request.time_s or time_s, min(at_once, number)
    shared_b = total_size(plan.inputs)
    own_b = sum(total_size(part.inputs) for part in plan.parts)
    there_b = shared_b * number + own_b
    copies = 0 if by_url else workflows or number
    spool_b = own_b * at_once // max(number, 1) + shared_b * min(copies, at_once)
    return Asked(
        parts=number,
        whole=plan.whole_count or number,
        cpus=cpus,
        memory_b=request.memory_b or memory_b,
        disk_b=request.disk_b or disk_b,
        time_s=time_s,
        at_once=at_once,
        core_hours=number * cpus * time_s / 3600,
        core_hours_allowed=plan.limits.cpu_hours,
        there_b=there_b,
        spool_b=spool_b if spools else 0,
        sent_b=own_b + shared_b * copies if spools else 0,
        shared_b=shared_b,
        area_b=shared_b if by_url else 0,
        workflows=workflows,
    )


def expected(plan: Plan, ask: Asked, last: Last, *, cluster: str, is_local: bool) -> Expected:
    """What the last run says of a plan.

    Args:
        plan: The plan.
        ask: What it asks for.
        last: The last run.
        cluster: Where the plan is to run: of queues and slots, a run elsewhere says nothing.
        is_local: Whether the parts run on this machine: as many at once as it has slots, and none waits.
    """
    number = len(plan.parts)
    told = measured(last, cluster=cluster, is_local=is_local)
    at_once = ask.at_once if is_local else most_at_once(last.parts) if _is_there(last, cluster) else 0
    known = {part.fingerprint for part in last.parts if part.fingerprint}
    return replace(
        told,
        same=sum(part.fingerprint in known for part in plan.parts),
        at_once=at_once,
        core_hours=_times(told.run_s, number * ask.cpus / 3600),
        back_all_b=_times(told.back_b, number),
        elapsed_s=_elapsed(told.run_s, told.wait_s, number, at_once),
        rest_s=last.rest_s,
        results_b=_results(last, number),
    )


def measured(last: Last, *, cluster: str, is_local: bool) -> Expected:
    """What the last run says of one part, whatever the plan; see `expected`."""
    waited = (part.wait_s for part in last.parts) if not is_local and _is_there(last, cluster) else ()
    return Expected(
        run_s=range_of(part.run_s for part in last.parts),
        wait_s=range_of(waited),
        memory_b=range_of(part.memory_b for part in last.parts),
        back_b=range_of(part.outputs_b for part in last.parts),
    )


def _is_there(last: Last, cluster: str) -> bool:
    """Whether the last run was on this cluster itself."""
    return last.cluster == cluster and not last.rehearsed


def range_of(values: Iterable[float | None]) -> Range | None:
    """The range of what was measured; None if nothing was."""
    found = sorted(known for value in values if (known := _sane(value)) is not None)
    if not found:
        return None
    few = len(found) < _MANY
    return Range(
        low=found[0] if few else _quantile(found, _LOW),
        median=statistics.median(found),
        high=found[-1] if few else _quantile(found, _HIGH),
        mean=statistics.fmean(found),
        of=len(found),
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def _times(one: Range | None, factor: float) -> Range | None:
    if one is None:
        return None
    low, median, high, mean = (value * factor for value in (one.low, one.median, one.high, one.mean))
    return Range(low=low, median=median, high=high, mean=mean, of=one.of)


def most_at_once(parts: Iterable[Measured]) -> int:
    """How many parts ran at the same time, at most; 0 if no times are known."""
    edges: list[tuple[float, int]] = []
    for part in parts:
        if part.began_s is not None and part.ended_s is not None and part.ended_s >= part.began_s:
            # Times are whole seconds. Who ended in the second in which another began is not taken to have run with it.
            edges += [(part.began_s, 1), (max(part.ended_s, part.began_s + 1), -1)]
    now = most = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


def _elapsed(run_s: Range | None, wait_s: Range | None, number: int, at_once: int) -> tuple[float, float] | None:
    """As many rounds as it takes, each as long as a short part, or as a long one, and the wait before the first."""
    if run_s is None or at_once < 1:
        return None
    rounds = math.ceil(number / at_once)
    waits = (wait_s.low, wait_s.high) if wait_s is not None else (0.0, 0.0)
    return waits[0] + rounds * run_s.low, waits[1] + rounds * run_s.high


def _results(last: Last, number: int) -> tuple[int, int] | None:
    if last.results_b is None or not last.parts:
        return None
    grown = last.results_b * number // len(last.parts)
    return min(last.results_b, grown), max(last.results_b, grown)


# ── the last run ────────────────────────────────────────────────────────────────────────────────────────────────


def last_of_manifest(manifest: Manifest, *, source: str) -> Last:
    """What the manifest of a run says of the parts that delivered."""
    from septum.rehearsing.standin import SCHEDD

    delivered = tuple(
        Measured(
            id=part.id,
            fingerprint=part.fingerprint,
            wait_s=_wait(part.submitted_s, part.started_s),
            began_s=_sane(part.started_s),
            ended_s=_sane(part.ended_s),
            cpu_s=_sane(part.cpu_s),
            memory_b=_sane(part.memory_b),
            outputs_b=_sane(sum(output.size_b for output in part.outputs)) if part.outputs else None,
        )
        for part in manifest.parts
        if part.state in _DELIVERED
    )
    began_s, ended_s = _sane(manifest.began_s), _sane(manifest.ended_s)
    return Last(
        source=source,
        run=manifest.run,
        cluster=manifest.cluster,
        parts=delivered,
        name=manifest.name,
        missing=len(manifest.parts) - len(delivered),
        again=sum(part.attempts > 1 for part in manifest.parts if part.state in _DELIVERED),
        rehearsed=manifest.schedd == SCHEDD,
        took_s=None if began_s is None or ended_s is None else _sane(ended_s - began_s),
        results_b=_sane(sum(result.size_b for result in manifest.results)) if manifest.results else None,
    )


def last_of_ledger(
    rows: Sequence[Row],
    stored: Mapping[tuple[str, int], StoredOutput],
    submitted_s: Mapping[str, float],
    *,
    fingerprints: Mapping[str, str],
    name: str,
    run: str,
    cluster: str,
    source: str,
) -> Last:
    """What the ledger of a run says, of the parts that delivered.

    Args:
        rows: Its parts.
        stored: Their outputs, by part and number.
        submitted_s: When each entered the queue.
        fingerprints: What each computed, from the plan.
        name: The analysis.
        run: The tag of the run.
        cluster: Where it is.
        source: Where this was read.
    """
    sizes: dict[str, int] = {}
    for (part, _), output in stored.items():
        sizes[part] = sizes.get(part, 0) + output.size_b
    delivered = tuple(
        Measured(
            id=row.id,
            fingerprint=fingerprints.get(row.id, ""),
            wait_s=_wait(submitted_s.get(row.id), row.started_s),
            began_s=row.started_s,
            ended_s=row.ended_s,
            cpu_s=row.cpu_s,
            memory_b=row.memory_b,
            outputs_b=sizes.get(row.id),
        )
        for row in rows
        if row.state.value in _DELIVERED
    )
    missing = len(rows) - len(delivered)
    again = sum(row.attempts > 1 for row in rows if row.state.value in _DELIVERED)
    return Last(source=source, run=run, cluster=cluster, parts=delivered, name=name, missing=missing, again=again)


def _wait(submitted_s: float | None, started_s: float | None) -> float | None:
    """The time in the queue; the worker's clock may be behind ours."""
    queued_s, began_s = _sane(submitted_s), _sane(started_s)
    return None if queued_s is None or began_s is None else max(0.0, began_s - queued_s)


def _sane(value: T | None) -> T | None:
    """A number as somebody may have measured it; None for any other that stands in a file."""
    return value if value is not None and 0 <= value < _LARGEST else None


def to_data(ask: Asked | None, last: Last | None, foreseen: Expected | None) -> dict[str, Any]:
    """All of it, for programs; sizes in bytes, times in seconds."""
    told = None
    if last is not None:
        told = {name: getattr(last, name) for name in _TOLD} | {"parts": len(last.parts)}
    parts = {"asked": ask, "expected": foreseen}
    return {"last": told} | {name: None if each is None else asdict(each) for name, each in parts.items()}
