"""The machine that septum runs on: its disk is full, its clock is wrong."""

from __future__ import annotations

import pytest

from tests.faults.machine import small_disk
from tests.faults.matrix import Matrix
from tests.faults.rows import Row, Rows
from tests.faults.run import Run

ROWS = Rows()
_HOUR_S = 3600
_APART = "this machine's clock and the issuer's are "


@ROWS.add()
def disk_full_while_fetching(run: Run) -> None:
    """Then there is room again."""
    run.submit()
    run.until_ended()
    process = run.septum("collect", code=49, before=small_disk(run.state, free_b=60_000))
    assert "make room" in process.said
    assert run.repository.whole_files() == []
    run.septum("collect")


@ROWS.add()
def disk_full_while_merging(run: Run) -> None:
    """Then there is room again."""
    run.submit()
    run.until_ended()
    run.repository.result.mkdir()
    process = run.septum("collect", before=small_disk(run.repository.result, free_b=8_000))
    assert process.popen.returncode not in {0, 125}, process.said
    assert "no space left" in process.said.lower()
    assert run.repository.whole_files() == []
    run.septum("collect")


def _clock_wrong(run: Run, offset_s: int) -> None:
    run.clock = run.repository.folder.parent / "clock"
    run.clock.write_text(str(offset_s))


def _clock_jumps(run: Run, offset_s: int) -> None:
    """In the middle of a run that is longer than its lease, and goes on until the token is renewed."""
    run.hold_back("0006", "0007")
    run.submit()
    _clock_wrong(run, 0)
    process = run.start("collect")
    run.until_verified(6)
    _clock_wrong(run, offset_s)
    began = run.pool.run("date", "+%s").stdout
    run.until(lambda: int(run.pool.run("date", "+%s").stdout) > int(began) + 28)
    process.until(_APART)
    run.let_go()
    process.end()


@ROWS.add(long=True, lease="20 s")
def clock_jumps_an_hour_forward(run: Run) -> None:
    """A run that is longer than its lease."""
    _clock_jumps(run, _HOUR_S)


@ROWS.add(long=True, lease="20 s")
def clock_jumps_an_hour_back(run: Run) -> None:
    """A run that is longer than its lease, which must be moved on all the same."""
    _clock_jumps(run, -_HOUR_S)


@ROWS.add()
def clock_behind_by_more_than_the_lease(run: Run) -> None:
    """A lease that has ended before it begins."""
    _clock_wrong(run, -_HOUR_S)
    run.submit()
    run.septum("collect")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_machine(row: Row, rows: Matrix) -> None:
    """The result is that of the undisturbed run, or there is none and the exit code says why."""
    rows.judge(row)
