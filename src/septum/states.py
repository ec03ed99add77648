"""The states of a part, HTCondor's words for them, and what to do about a held job. Tables and pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PartState(str, Enum):
    """Where a part is. Each part ends in exactly one of the final states."""

    PLANNED = "planned"  # in the plan, no job yet
    IDLE = "idle"  # in the queue
    RUNNING = "running"  # on a worker; transferring outputs included
    HELD = "held"  # waits for a release
    ENDED = "ended"  # the job ended; its outputs wait to be fetched
    VERIFIED = "verified"  # outputs here, whole, and what they should be
    MERGED = "merged"  # final: its outputs are in the results
    FAILED = "failed"  # final: will not deliver; the ledger holds the cause

    @property
    def final(self) -> bool:
        """Whether nothing can happen to the part any more."""
        return self in {PartState.MERGED, PartState.FAILED}


ALLOWED: dict[PartState, frozenset[PartState]] = {
    PartState.PLANNED: frozenset({PartState.IDLE, PartState.FAILED}),
    PartState.IDLE: frozenset({PartState.RUNNING, PartState.HELD, PartState.ENDED, PartState.FAILED}),
    PartState.RUNNING: frozenset({PartState.IDLE, PartState.HELD, PartState.ENDED, PartState.FAILED}),
    PartState.HELD: frozenset({PartState.IDLE, PartState.RUNNING, PartState.ENDED, PartState.FAILED}),
    PartState.ENDED: frozenset({PartState.VERIFIED, PartState.FAILED}),
    PartState.VERIFIED: frozenset({PartState.MERGED, PartState.FAILED}),
    PartState.MERGED: frozenset(),
    PartState.FAILED: frozenset(),
}
"""What may follow what, of one job of a part."""

MAY_BEGIN_AGAIN = frozenset({PartState.IDLE, PartState.RUNNING, PartState.HELD, PartState.ENDED, PartState.FAILED})
"""The states in which a part may be given up its job and be planned again: nothing of it has been taken in yet."""


class JobState(str, Enum):
    """The state of a part's job as a backend reports it."""

    IDLE = "idle"
    RUNNING = "running"
    HELD = "held"
    ENDED = "ended"  # completed, in the queue, outputs to be fetched
    REMOVED = "removed"
    LOST = "lost"  # neither in the queue nor in the history


# HTCondor manual, "Job Status Codes": 6 and 7 are transferring output and suspended.
JOB_STATUS: dict[int, JobState] = {
    1: JobState.IDLE,
    2: JobState.RUNNING,
    3: JobState.REMOVED,
    4: JobState.ENDED,
    5: JobState.HELD,
    6: JobState.RUNNING,
    7: JobState.RUNNING,
}


class HoldAction(str, Enum):
    """What becomes of a held job."""

    WAIT = "wait"  # it goes on by itself
    PERSON = "person"  # somebody held it and may release it; never released by septum
    RELEASE = "release"  # transient: released a few times by the submit description
    TIMEOUT = "timeout"  # stop: it ran too long
    MEMORY = "memory"  # stop: out of memory or disk, after the larger requests have been tried
    ELSEWHERE = "elsewhere"  # the worker is at fault: a new job, which may start on another one
    STOP = "stop"  # stop: will not heal


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold code with its name and what septum does about it."""

    name: str
    action: HoldAction


# HTCondor manual, "Hold reason codes"; the action is our judgement.
HOLD_CODES: dict[int, Hold] = {
    1: Hold("UserRequest", HoldAction.PERSON),
    3: Hold("JobPolicy", HoldAction.STOP),
    4: Hold("CorruptedCredential", HoldAction.STOP),
    5: Hold("JobPolicyUndefined", HoldAction.STOP),
    6: Hold("FailedToCreateProcess", HoldAction.ELSEWHERE),
    7: Hold("UnableToOpenOutput", HoldAction.ELSEWHERE),
    8: Hold("UnableToOpenInput", HoldAction.ELSEWHERE),
    9: Hold("UnableToOpenOutputStream", HoldAction.ELSEWHERE),
    10: Hold("UnableToOpenInputStream", HoldAction.ELSEWHERE),
    11: Hold("InvalidTransferAck", HoldAction.RELEASE),
    12: Hold("TransferOutputError", HoldAction.RELEASE),
    13: Hold("TransferInputError", HoldAction.RELEASE),
    14: Hold("IwdError", HoldAction.STOP),
    15: Hold("SubmittedOnHold", HoldAction.STOP),
    16: Hold("SpoolingInput", HoldAction.WAIT),
    18: Hold("InvalidTransferGoAhead", HoldAction.RELEASE),
    19: Hold("HookPrepareJobFailure", HoldAction.RELEASE),
    21: Hold("StartdHeldJob", HoldAction.MEMORY),
    22: Hold("UnableToInitUserLog", HoldAction.STOP),
    23: Hold("FailedToAccessUserAccount", HoldAction.STOP),
    24: Hold("NoCompatibleShadow", HoldAction.STOP),
    26: Hold("SystemPolicy", HoldAction.STOP),
    27: Hold("SystemPolicyUndefined", HoldAction.STOP),
    32: Hold("MaxTransferInputSizeExceeded", HoldAction.STOP),
    33: Hold("MaxTransferOutputSizeExceeded", HoldAction.STOP),
    34: Hold("JobOutOfResources", HoldAction.MEMORY),
    35: Hold("InvalidDockerImage", HoldAction.STOP),
    36: Hold("FailedToCheckpoint", HoldAction.STOP),
    43: Hold("PreScriptFailed", HoldAction.STOP),
    44: Hold("PostScriptFailed", HoldAction.STOP),
    45: Hold("SingularityTestFailed", HoldAction.RELEASE),
    46: Hold("JobDurationExceeded", HoldAction.TIMEOUT),
    47: Hold("JobExecuteExceeded", HoldAction.TIMEOUT),
    48: Hold("HookShadowPrepareJobFailure", HoldAction.RELEASE),
    49: Hold("CannotSwitchPrimaryGroup", HoldAction.STOP),
}
_UNKNOWN = Hold("unknown", HoldAction.STOP)

MAX_RELEASES = 3
"""How often the submit description releases a job with a transient hold code."""

MAX_STARTS = 20
"""How often a job may be started before the submit description holds it: a site that takes it away again each time."""

EVICTED_SUBCODE = 4711
"""The subcode of that hold, beside the code of all holds by a job's own policy (3)."""


def hold_of(code: int) -> Hold:
    """The table's row for a hold code; unknown codes stop the part."""
    return HOLD_CODES.get(code, _UNKNOWN)


def releasable_codes() -> list[int]:
    """The hold codes that the submit description releases by itself."""
    return [code for code, hold in HOLD_CODES.items() if hold.action is HoldAction.RELEASE]
