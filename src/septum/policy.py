"""What to do next, decided from values alone: held and lost jobs, the next look at the queue, the lease. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from septum.backends.base import JobReport
from septum.errors import PartError, PartHeldError, PartLostError, PartRemovedError
from septum.plan import Part, Plan
from septum.states import MAX_RELEASES, HoldAction, JobState, PartState, hold_of
from septum.units import count
from septum.verify import time_out

LOST_AFTER_LOOKS = 3
"""How many looks in a row a job may be neither in the queue nor in the history."""


def part_state(report: JobReport) -> PartState | None:
    """The state of a part whose job is in this state; None where only an error follows."""
    if report.state is JobState.HELD and hold_of(report.hold_code or 0).action is HoldAction.WAIT:
        return PartState.IDLE  # its input files still arrive at the schedd
    return {
        JobState.IDLE: PartState.IDLE,
        JobState.RUNNING: PartState.RUNNING,
        JobState.HELD: PartState.HELD,
        JobState.ENDED: PartState.ENDED,
    }.get(report.state)


def judge(plan: Plan, part: Part, report: JobReport, *, patience_s: int, lost_looks: int) -> PartError | None:
    """Say whether a job's state is the end of its part.

    Args:
        plan: The plan.
        part: The part.
        report: What the backend says of its job.
        patience_s: How long a held job is waited for that may still be released.
        lost_looks: How many looks in a row, this one included, did not find it.

    Returns:
        The error that the part ends with, or None when there is still hope.
    """
    where = f"job {report.job or 'unknown'}, {count(report.attempts, 'attempt')}"
    if report.state is JobState.REMOVED:
        return PartRemovedError(
            f"{part.describe()}: its job was removed from the queue",
            evidence=f"{where}\nreason: {report.reason or 'none given'}",
            fix="by a person, a policy of the site, or the end of its lease; run again when the cause is gone",
        )
    if report.state is JobState.LOST and lost_looks >= LOST_AFTER_LOOKS:
        return PartLostError(
            f"{part.describe()}: its job is neither in the queue nor in the history",
            evidence=f"{where}; looked {lost_looks} times",
            fix="run again; if it happens often, ask the site how long its history reaches",
        )
    if report.state is JobState.HELD:
        return _judge_held(plan, part, report, patience_s, where)
    return None


def _judge_held(plan: Plan, part: Part, report: JobReport, patience_s: int, where: str) -> PartError | None:
    hold = hold_of(report.hold_code or 0)
    evidence = f"{where}\nhold code {report.hold_code} ({hold.name}): {report.reason or 'no reason given'}"
    if hold.action is HoldAction.TIMEOUT:
        return time_out(plan, part, evidence)
    waiting = {
        HoldAction.WAIT: report.since_s < patience_s,
        HoldAction.PERSON: report.since_s < patience_s,
        HoldAction.RELEASE: report.released_times <= MAX_RELEASES and report.since_s < patience_s,
        HoldAction.MEMORY: report.released_times <= len(plan.request.memory_retries_b) and report.since_s < patience_s,
    }
    if waiting.get(hold.action, False):
        return None
    fixes = {
        HoldAction.WAIT: "its input files never arrived at the schedd; submit again",
        HoldAction.PERSON: "somebody held this job; ask who, and run again",
        HoldAction.MEMORY: "raise 'memory' or 'disk' under 'resources', or give 'memory-retries'",
        HoldAction.RELEASE: f"it was released {MAX_RELEASES} times and is held again; ask the site",
    }
    return PartHeldError(
        f"{part.describe()}: its job is held and will not go on",
        evidence=evidence,
        fix=fixes.get(hold.action, "HTCondor's reason stands above"),
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait for the next look at the queue, in seconds."""

    floor_s: float
    ceiling_s: float
    next_s: float

    @classmethod
    def start(cls, floor_s: float, ceiling_s: float) -> Pace:
        """Begin at the floor."""
        return cls(floor_s, ceiling_s, floor_s)

    def after(self, *, changed: bool, answer_s: float = 0.0) -> Pace:
        """The pace after a look: the floor when something changed, else slower and slower.

        Args:
            changed: Whether the look showed anything new.
            answer_s: How long the answer took; a slow schedd is asked less often, at most a tenth of the time.
        """
        wanted = self.floor_s if changed else self.next_s * 1.5
        return Pace(self.floor_s, self.ceiling_s, max(min(wanted, self.ceiling_s), min(10 * answer_s, self.ceiling_s)))
