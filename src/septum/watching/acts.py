"""What cancelling and retrying a pipeline does to the jobs on the cluster, told before and after. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from septum.watching.model import AHEAD, CANCELLED, FAILED, CiJob, View, analyses
from septum.watching.told import Told

_SWEEP = "septum sweep --cluster NAME"
"""What removes jobs that are left, see docs/how-to/remove-what-is-left.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a cancelled pipeline has left on the cluster, as far as its traces tell.

    Attributes:
        lines: What is known, for people.
        certain: Whether septum itself said for each of its CI jobs that the jobs are gone.
    """

    lines: tuple[str, ...]
    certain: bool


def would_cancel(view: View) -> Sequence[str]:
    """What cancelling would do, one line for each thing."""
    lines = []
    for analysis in analyses(view.jobs):
        going = next((job for job in analysis.jobs if job.going), None)
        if going is not None:
            told = view.told.get(going.id, Told())
            parts = f" ({told.says})" if told.parts else ""
            lines.append(f"{going.name}: stops, and removes its jobs from the cluster{parts}")
        elif _between(analysis.jobs):
            lines.append(
                f"{analysis.prefix}: no CI job of it runs now that could remove the jobs; they go when their lease "
                f"ends, or now by: {_SWEEP}"
            )
    ours = {job.id for analysis in analyses(view.jobs) for job in analysis.jobs}
    others = sum(1 for job in view.jobs if job.id not in ours and (job.going or job.status in AHEAD))
    return [*lines, *([f"{others} other CI jobs stop, or do not begin"] if others else [])]


def _between(jobs: Sequence[CiJob]) -> bool:
    """Whether there are jobs on the cluster, perhaps, and nobody who watches them: between two hops."""
    return any(job.status == "success" for job in jobs) and any(job.status in AHEAD | {CANCELLED} for job in jobs)


def left_by(before: View, now: View) -> Left:
    """What is left after a pipeline was cancelled.

    Args:
        before: The pipeline before, and
        now: when its CI jobs have ended.
    """
    lines, certain = [], True
    for analysis in analyses(now.jobs):
        was = {job.id: job for job in before.jobs}
        stopped = [job for job in analysis.jobs if job.status == CANCELLED and was.get(job.id, job).going]
        for job in stopped:
            told = now.told.get(job.id, Told())
            certain &= not told.left and told.removed is not None
            lines.append(f"{job.name}: {_said(told)}")
        if not stopped and _between(analysis.jobs):
            certain = False
            lines.append(f"{analysis.prefix}: jobs that it has on the cluster stay until their lease ends")
    return Left(lines=tuple(lines), certain=certain)


def _said(told: Told) -> str:
    if told.left:
        return f"its jobs may be left: {told.left}"
    if told.removed is None:
        return "its log does not say that it has removed its jobs; what is left goes when its lease ends"
    return f"{told.removed} jobs were removed from the cluster"


def to_sweep(left: Left) -> str:
    """What removes the rest; empty if there is none."""
    return "" if left.certain else f"remove what is left now: {_SWEEP}"


# ── retry ───────────────────────────────────────────────────────────────────────────────────────────────────────


def retryable(view: View) -> Sequence[CiJob]:
    """The CI jobs that GitLab starts again when a pipeline is retried: failed and cancelled ones."""
    return [job for job in view.jobs if job.status in {FAILED, CANCELLED}]


def with_submits(view: View, jobs: Sequence[CiJob]) -> Sequence[CiJob]:
    """The same, and the CI jobs that submit before those that would find nothing to collect."""
    more = [
        job
        for analysis in analyses(view.jobs)
        if any(job in jobs and _lost_its_jobs(view, job) for job in analysis.collectors)
        for job in analysis.jobs
        if job.name == f"{analysis.prefix}submit" and job.status == "success" and job not in jobs
    ]
    return [*more, *jobs]


def _lost_its_jobs(view: View, job: CiJob) -> bool:
    told = view.told.get(job.id, Told())
    return told.none_left or bool(told.removed) or job.status == CANCELLED


def what_retry_does(view: View, job: CiJob) -> str:
    """What starting a CI job again does to the jobs on the cluster."""
    role = next(
        (job.name.removeprefix(found.prefix) for found in analyses(view.jobs) if job in found.jobs),
        "prepare" if job.name.endswith("prepare") else "",
    )
    if role == "submit":
        return "looks for the jobs of the run first, and submits only what has none: nothing is submitted twice"
    if role == "collect" or role.startswith("hop-") or role == "result":
        if _lost_its_jobs(view, job):
            return "its jobs were removed from the cluster: it collects what is submitted anew"
        return "goes on where the last one stood: parts that are there stay, parts that failed run again"
    if role == "run":
        return "runs everything from its beginning"
    if role == "prepare":
        return "makes the plan again; the run is a new one if anything in it has changed"
    return "runs again"
