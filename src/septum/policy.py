"""What to do next, decided from values alone: held and lost jobs, the next look at the queue, the lease. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from septum.backends.base import JobReport
from septum.errors import (
    PartError,
    PartEvictedError,
    PartHeldElsewhereError,
    PartHeldError,
    PartLostError,
    PartNeverStartedError,
    PartRemovedError,
    PartResourceError,
    SeptumError,
)
from septum.ledger import Row
from septum.plan import Part, Plan
from septum.states import EVICTED_SUBCODE, MAX_RELEASES, HoldAction, JobState, PartState, hold_of
from septum.units import count, show_duration
from septum.verify import time_out

_BY_ITS_POLICY, _OUT_OF_RESOURCES = 3, 34
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


def judge(
    plan: Plan, part: Part, report: JobReport, *, patience_s: int, idle_patience_s: int, lost_looks: int
) -> PartError | None:
    """Say whether a job's state is the end of its part.

    Args:
        plan: The plan.
        part: The part.
        report: What the backend says of its job.
        patience_s: How long a held job is waited for that may still be released.
        idle_patience_s: How long a job that has not ended may wait for a slot.
        lost_looks: How many looks in a row, this one included, did not find it.

    Returns:
        The error that the part ends with, or None when there is still hope.
    """
    where = f"job {report.job or 'unknown'}, {count(report.attempts, 'attempt')}"
    if report.state is JobState.REMOVED:
        return PartRemovedError(
            f"{part.describe()}: its job was removed from the queue",
            evidence=f"{where}\nreason: {report.reason or 'none given'}",
            fix="septum did it: the run was cancelled, or collected before; run again"
            if report.by_septum
            else "by a person, a policy of the site, or the end of its lease; run again when the cause is gone",
        )
    if report.state is JobState.LOST and lost_looks >= LOST_AFTER_LOOKS:
        return PartLostError(
            f"{part.describe()}: its job is neither in the queue nor in the history",
            evidence=f"{where}; looked {lost_looks} times",
            fix="run again; if it happens often, ask the site how long its history reaches",
        )
    if report.state is JobState.HELD:
        return _judge_held(plan, part, report, patience_s, where)
    if report.state is JobState.IDLE and report.since_s > idle_patience_s:
        return PartNeverStartedError(
            f"{part.describe()}: its job has waited for a slot for {show_duration(report.since_s)}",
            evidence=f"{where}\nlast refused: {report.reason or 'the schedd does not say'}",
            fix="ask for less under 'resources', look at 'requirements' of the profile, or raise its 'idle-patience'",
        )
    return None


def _judge_held(plan: Plan, part: Part, report: JobReport, patience_s: int, where: str) -> PartError | None:
    hold = hold_of(report.hold_code or 0)
    evidence = f"{where}\nhold code {report.hold_code} ({hold.name}): {report.reason or 'no reason given'}"
    if hold.action is HoldAction.TIMEOUT:
        return time_out(plan, part, evidence)
    if report.hold_code == _BY_ITS_POLICY and report.hold_subcode == EVICTED_SUBCODE:
        return PartEvictedError(
            f"{part.describe()}: its job was started {report.starts} times and never ended",
            evidence=evidence,
            fix="the site takes its slots away: make shorter parts, or ask the site for slots that stay",
        )
    waiting = {
        HoldAction.WAIT: report.since_s < patience_s,
        HoldAction.PERSON: report.since_s < patience_s,
        HoldAction.RELEASE: report.released_times <= MAX_RELEASES and report.since_s < patience_s,
        # HTCondor itself tries the next larger request; of the other codes it only knows that the site said so.
        HoldAction.MEMORY: report.hold_code == _OUT_OF_RESOURCES
        and report.released_times <= len(plan.request.memory_retries_b)
        and report.since_s < patience_s,
    }
    if waiting.get(hold.action, False):
        return None
    fixes = {
        HoldAction.WAIT: "its input files never arrived at the schedd; submit again",
        HoldAction.PERSON: "somebody held this job; ask who, and run again",
        HoldAction.MEMORY: "raise 'memory' or 'disk' under 'resources', or give 'memory-retries'",
        HoldAction.ELSEWHERE: "its worker is at fault: tell the site which one it was",
        HoldAction.RELEASE: f"it was released {MAX_RELEASES} times and is held again; ask the site",
    }
    kinds: dict[HoldAction, type[PartHeldError]] = {
        HoldAction.MEMORY: PartResourceError,
        HoldAction.RELEASE: PartHeldElsewhereError,
        HoldAction.ELSEWHERE: PartHeldElsewhereError,
        HoldAction.WAIT: PartHeldElsewhereError,
    }
    return kinds.get(hold.action, PartHeldError)(
        f"{part.describe()}: its job is held and will not go on",
        evidence=evidence,
        fix=fixes.get(hold.action, "HTCondor's reason stands above"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A part gets another job, which asks for so much memory; None for as much as the one before."""

    asked_b: int | None = None


def again(plan: Plan, row: Row, error: SeptumError, *, avoided: bool = False) -> Again | None:
    """Say whether a part whose job did not deliver gets another one, beside what HTCondor itself tries again.

    Args:
        plan: The plan.
        row: The part, with the number of jobs that it has had.
        error: Why its job did not deliver.
        avoided: Whether the job ran on a machine that the run avoids by now.

    Returns:
        What the new job asks for; None when the part has failed.
    """
    larger = [size_b for size_b in plan.request.memory_retries_b if size_b > (row.asked_b or 0)]
    if isinstance(error, PartResourceError) and larger:
        return Again(asked_b=larger[0])
    transient = avoided or (isinstance(error, PartError) and error.transient)
    return Again() if transient and row.jobs <= plan.resubmissions else None


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
