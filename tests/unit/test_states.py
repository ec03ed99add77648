"""The tables of states and hold codes."""

from __future__ import annotations

import pytest

from septum.states import (
    ALLOWED,
    HOLD_CODES,
    JOB_STATUS,
    HoldAction,
    JobState,
    PartState,
    hold_of,
    releasable_codes,
)


def test_every_state_has_its_row() -> None:
    """A new state cannot be forgotten in the table."""
    assert set(ALLOWED) == set(PartState)


@pytest.mark.parametrize("state", PartState)
def test_final_states_are_those_that_nothing_follows(state: PartState) -> None:
    """`final` and the table say the same."""
    assert state.final == (not ALLOWED[state])


@pytest.mark.parametrize("state", PartState)
def test_every_state_can_end(state: PartState) -> None:
    """From everywhere there is a way to a final state, and to failure until the merge is done."""
    reached, new = {state}, {state}
    while new:
        new = {after for before in new for after in ALLOWED[before]} - reached
        reached |= new

    assert any(one.final for one in reached)
    assert PartState.FAILED in reached or state is PartState.MERGED


def test_only_verified_parts_become_merged_and_only_ended_ones_verified() -> None:
    """No way into a result goes around the verification."""
    assert [state for state in PartState if PartState.MERGED in ALLOWED[state]] == [PartState.VERIFIED]
    assert [state for state in PartState if PartState.VERIFIED in ALLOWED[state]] == [PartState.ENDED]


def test_job_status_has_all_seven_of_htcondor() -> None:
    """Only 4 is an end; suspended and transferring jobs still run."""
    assert sorted(JOB_STATUS) == [1, 2, 3, 4, 5, 6, 7]
    assert [status for status, state in JOB_STATUS.items() if state is JobState.ENDED] == [4]
    assert {JOB_STATUS[2], JOB_STATUS[6], JOB_STATUS[7]} == {JobState.RUNNING}


@pytest.mark.parametrize("code", [0, -1, 2, 999])
def test_unknown_hold_codes_stop(code: int) -> None:
    """What nobody knows does not wait for ever."""
    assert hold_of(code).action is HoldAction.STOP


def test_nobody_releases_what_a_person_held() -> None:
    """Codes that the submit description releases are transient ones only."""
    codes = releasable_codes()

    assert codes
    assert {HOLD_CODES[code].action for code in codes} == {HoldAction.RELEASE}
    assert not {1, 3, 16, 21, 34, 46, 47} & set(codes)
