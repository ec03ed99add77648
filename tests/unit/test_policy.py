"""What follows from the state of a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from septum.backends.base import JobReport
from septum.errors import PartError, PartHeldError, PartLostError, PartRemovedError, PartTimeoutError
from septum.plan import Plan
from septum.policy import LOST_AFTER_LOOKS, Pace, judge, part_state
from septum.states import HOLD_CODES, MAX_RELEASES, HoldAction, JobState, PartState
from tests.fakes.analyses import plan_of, seeds

PATIENCE_S = 1800


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Two parts, two retries with more memory."""
    more = "resources: {memory: 1 GB, memory-retries: [2 GB, 4 GB], time: 2 h}\n"
    return plan_of(seeds(2, more=more), tmp_path_factory.mktemp("plan"))


def _judge(plan: Plan, *, looks: int = 0, **facts: object) -> PartError | None:
    report = JobReport(part="0001", job="7.1", **facts)  # type: ignore[arg-type]
    return judge(plan, plan.parts[1], report, patience_s=PATIENCE_S, idle_patience_s=2 * 10**7, lost_looks=looks)


@pytest.mark.parametrize("state", [JobState.IDLE, JobState.RUNNING, JobState.ENDED])
def test_a_job_on_its_way_is_left_alone(plan: Plan, state: JobState) -> None:
    """However long it takes."""
    assert _judge(plan, state=state, since_s=10**7) is None


def test_a_removed_job_ends_its_part_at_once(plan: Plan) -> None:
    """With the reason, the job and a fix."""
    error = _judge(plan, state=JobState.REMOVED, reason="by the administrator", attempts=1)

    assert isinstance(error, PartRemovedError)
    assert "part 0001 (seed=1)" in error.what
    assert "by the administrator" in error.evidence
    assert "7.1, 1 attempt\n" in error.evidence
    assert error.fix


@pytest.mark.parametrize("looks", range(LOST_AFTER_LOOKS))
def test_a_job_that_is_not_seen_may_come_back(plan: Plan, looks: int) -> None:
    """Between queue and history a job can be in neither for a moment."""
    assert _judge(plan, state=JobState.LOST, looks=looks) is None


def test_a_job_that_is_never_seen_is_lost(plan: Plan) -> None:
    """Not in the queue is never success."""
    error = _judge(plan, state=JobState.LOST, looks=LOST_AFTER_LOOKS)

    assert isinstance(error, PartLostError)
    assert error.fix


@pytest.mark.parametrize("code", [*HOLD_CODES, 0, 2, 999, None])
def test_every_hold_ends(plan: Plan, code: int | None) -> None:
    """Past the patience no hold code waits any longer, and each says its code, its reason and a fix."""
    error = _judge(plan, state=JobState.HELD, hold_code=code, since_s=PATIENCE_S, reason="so it is")

    assert isinstance(error, PartHeldError | PartTimeoutError)
    assert f"hold code {code}" in error.evidence
    assert "so it is" in error.evidence
    assert error.fix


@pytest.mark.parametrize("code", [code for code, hold in HOLD_CODES.items() if hold.action is HoldAction.RELEASE])
def test_a_job_held_for_good_though_released_often(plan: Plan, code: int) -> None:
    """The submit description releases it MAX_RELEASES times; the hold after that ends the part at once."""
    assert _judge(plan, state=JobState.HELD, hold_code=code, released_times=MAX_RELEASES) is None
    assert _judge(plan, state=JobState.HELD, hold_code=code, released_times=MAX_RELEASES + 1) is not None


@pytest.mark.parametrize(
    "code", [code for code, hold in HOLD_CODES.items() if hold.action in {HoldAction.STOP, HoldAction.TIMEOUT}]
)
def test_some_holds_end_at_once(plan: Plan, code: int) -> None:
    """Waiting would not change anything."""
    assert _judge(plan, state=JobState.HELD, hold_code=code, since_s=0) is not None


@pytest.mark.parametrize("code", [46, 47])
def test_a_hold_for_its_time_is_a_time_out(plan: Plan, code: int) -> None:
    """With the limit of septum.yaml."""
    error = _judge(plan, state=JobState.HELD, hold_code=code)

    assert isinstance(error, PartTimeoutError)
    assert "2 h 00 min" in error.what


@pytest.mark.parametrize(("held_times", "ends"), [(1, False), (2, False), (3, True)])
def test_memory_ends_when_the_larger_requests_have_been_tried(plan: Plan, held_times: int, *, ends: bool) -> None:
    """Two retries: the third hold is the end."""
    error = _judge(plan, state=JobState.HELD, hold_code=34, released_times=held_times)

    assert (error is not None) == ends
    assert error is None or "memory" in error.fix


def test_memory_without_retries_ends_at_once(tmp_path: Path) -> None:
    """There is nothing to wait for."""
    plan = plan_of(seeds(1), tmp_path)
    report = JobReport(part="0000", job="7.0", state=JobState.HELD, hold_code=34, released_times=1)

    error = judge(plan, plan.parts[0], report, patience_s=PATIENCE_S, idle_patience_s=9, lost_looks=0)

    assert error is not None


@pytest.mark.parametrize("code", [1, 16])
def test_some_holds_are_waited_for(plan: Plan, code: int) -> None:
    """A person may release it; its files may still arrive."""
    assert _judge(plan, state=JobState.HELD, hold_code=code, since_s=PATIENCE_S - 1) is None


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        (JobState.IDLE, None, PartState.IDLE),
        (JobState.RUNNING, None, PartState.RUNNING),
        (JobState.ENDED, None, PartState.ENDED),
        (JobState.HELD, 13, PartState.HELD),
        (JobState.HELD, None, PartState.HELD),
        (JobState.HELD, 16, PartState.IDLE),
        (JobState.REMOVED, None, None),
        (JobState.LOST, None, None),
    ],
)
def test_part_state(state: JobState, code: int | None, expected: PartState | None) -> None:
    """A job whose input files still arrive is idle for people."""
    assert part_state(JobReport(part="0000", job="7.0", state=state, hold_code=code)) is expected


def test_pace_slows_down_to_the_ceiling_and_back() -> None:
    """Nothing new: slower and slower. Something new: the floor."""
    pace = Pace.start(10, 60)
    seen = [pace.next_s]
    for _ in range(8):
        pace = pace.after(changed=False)
        seen.append(pace.next_s)

    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (10, 60)
    assert pace.after(changed=True).next_s == 10


@pytest.mark.parametrize(("answer_s", "expected"), [(0.1, 10), (3, 30), (100, 60)])
def test_a_slow_schedd_is_asked_less_often(answer_s: float, expected: float) -> None:
    """At most a tenth of the time, and never less often than the ceiling says."""
    assert Pace.start(10, 60).after(changed=True, answer_s=answer_s).next_s == expected
