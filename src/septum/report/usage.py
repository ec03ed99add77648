"""What the jobs used against what they asked for, and what to ask for next time. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from septum.manifest import Asked, Manifest, PartFacts

_MB = 1024**2
_HEADROOM = 1.3
_TOO_MUCH = 1.5
_NEARLY_ALL = 0.9
_POOR = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The times of one part's job in seconds after the first submission; None where nobody measured."""

    part: str
    failed: bool
    submitted_s: float | None
    started_s: float
    ended_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """All jobs of a run together; last attempts only.

    Attributes:
        cpu_s: CPU time of all, and `wall_s` the time that they had a worker for, in seconds.
        efficiencies: CPU time over time and processors, by job where both were measured.
        memory_b: The largest memory by job, in bytes, sorted.
        memory_asked_b: What each asked for, if the cluster says.
    """

    cpu_s: float
    wall_s: float
    efficiency: float | None
    efficiencies: tuple[float, ...]
    memory_b: tuple[int, ...]
    memory_asked_b: int | None

    @property
    def memory_median_b(self) -> float | None:
        """The median of the largest memory."""
        return statistics.median(self.memory_b) if self.memory_b else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Something to paste into septum.yaml, and why."""

    paste: str
    why: str


def usage(manifest: Manifest) -> Usage:
    """Add up what was measured."""
    cpus = manifest.asked.cpus or 1
    pairs = [(part.cpu_s, _wall(part)) for part in manifest.parts]
    both = [(cpu, wall) for cpu, wall in pairs if cpu is not None and wall]
    cpu_s, wall_s = sum(cpu for cpu, _ in both), sum(wall for _, wall in both)
    return Usage(
        cpu_s=sum(cpu for cpu, _ in pairs if cpu is not None),
        wall_s=sum(wall for _, wall in pairs if wall),
        efficiency=cpu_s / (wall_s * cpus) if wall_s else None,
        efficiencies=tuple(cpu / (wall * cpus) for cpu, wall in both),
        memory_b=tuple(sorted(part.memory_b for part in manifest.parts if part.memory_b)),
        memory_asked_b=manifest.asked.memory_b,
    )


def _wall(part: PartFacts) -> float | None:
    if part.started_s is None or part.ended_s is None or part.ended_s <= part.started_s:
        return None
    return part.ended_s - part.started_s


def suggestions(used: Usage, asked: Asked) -> list[Suggestion]:
    """What to change in septum.yaml; empty when what was asked for fits."""
    found = []
    if used.memory_b:
        wanted = memory_to_ask(used.memory_b)
        largest = used.memory_b[-1]
        why = f"the largest memory of {len(used.memory_b)} jobs was {_megabytes(largest)} MB, and 95 % of them needed "
        why += f"at most {_megabytes(_quantile(used.memory_b, 0.95))} MB"
        paste = f"resources: {{memory: {wanted // _MB} MB}}"
        if asked.memory_b is None:
            found.append(Suggestion(paste=paste, why=f"{why}; nothing was asked for"))
        elif asked.memory_b > _TOO_MUCH * wanted:
            why += f", and each asked for {_megabytes(asked.memory_b)} MB: smaller jobs start earlier"
            found.append(Suggestion(paste=paste, why=why))
        elif largest > _NEARLY_ALL * asked.memory_b:
            why += f", and each asked for {_megabytes(asked.memory_b)} MB: a little more and jobs are stopped"
            found.append(Suggestion(paste=paste, why=why))
    cpus = asked.cpus or 1
    if cpus > 1 and used.efficiency is not None and used.efficiency < _POOR:
        needed = max(1, math.ceil(used.efficiency * cpus))
        why = f"of {cpus} processors each, {used.efficiency * cpus:.1f} were busy"
        found.append(Suggestion(paste=f"resources: {{cpus: {needed}}}", why=why))
    return found


def memory_to_ask(memory_b: Sequence[int]) -> int:
    """The memory to ask for: what 95 of 100 jobs needed and 30 % more, rounded up; never less than any needed.

    Args:
        memory_b: The largest memory of each job in bytes, sorted, at least one.

    Returns:
        Bytes, whole steps of 50 MB, of 100 MB from 1 GB on.
    """
    wanted = max(_HEADROOM * _quantile(memory_b, 0.95), memory_b[-1])
    step = (50 if wanted < 1024 * _MB else 100) * _MB
    return math.ceil(wanted / step) * step


def _quantile(ordered: Sequence[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def _megabytes(size_b: float) -> str:
    return f"{size_b / _MB:.0f}"


# ── the course of the run ───────────────────────────────────────────────────────────────────────────────────────


def jobs(manifest: Manifest) -> tuple[float, list[Job]]:
    """When jobs were queued and ran, by their start.

    Returns:
        The beginning in seconds since the epoch, and the jobs whose times are known.
    """
    timed = [
        (part, part.started_s, part.ended_s)
        for part in manifest.parts
        if part.started_s is not None and part.ended_s is not None and part.ended_s >= part.started_s
    ]
    begins = [part.submitted_s for part, _, _ in timed if part.submitted_s is not None]
    begins += [started for _, started, _ in timed]
    if not begins:
        return 0.0, []
    zero = min(begins)
    found = []
    for part, started, ended in timed:
        # The worker's clock may be ahead of ours: a job is not queued after it began.
        queued = None if part.submitted_s is None else min(part.submitted_s, started) - zero
        found.append(
            Job(
                part=part.id,
                failed=bool(part.cause),
                submitted_s=queued,
                started_s=started - zero,
                ended_s=ended - zero,
            )
        )
    return zero, sorted(found, key=lambda job: (job.started_s, job.part))


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How many jobs waited and ran, at evenly spaced times.

    Attributes:
        times_s: In seconds after the beginning.
        idle, running: Numbers of jobs at these times.
    """

    times_s: tuple[float, ...]
    idle: tuple[int, ...]
    running: tuple[int, ...]


def course(found: Sequence[Job], *, points: int = 200) -> Course:
    """Count the jobs over time, at most at so many times."""
    import numpy as np

    end = max((job.ended_s for job in found), default=0.0)
    times = np.linspace(0.0, end, points)
    started = np.sort([job.started_s for job in found])
    ended = np.sort([job.ended_s for job in found])
    waiting = [job for job in found if job.submitted_s is not None]
    queued = np.sort([job.submitted_s for job in waiting])
    left = np.sort([job.started_s for job in waiting])

    def by(edges: object) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        return np.searchsorted(np.asarray(edges, dtype=float), times, side="right")

    return Course(
        times_s=tuple(float(time) for time in times),
        idle=tuple(int(number) for number in by(queued) - by(left)),
        running=tuple(int(number) for number in by(started) - by(ended)),
    )
