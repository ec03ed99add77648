"""Outputs that are not what the worker wrote: cut off, empty, exchanged, gone, or there twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.analysis import IDS, PARTS, copy_of
from tests.faults.faults import call
from tests.faults.matrix import Matrix
from tests.faults.rows import Row, Rows
from tests.faults.run import Run

ROWS = Rows()
_PART = "0003"


def _spooled(run: Run, name: str) -> Path:
    """A file of a job that has ended, where the access point keeps it."""
    (found,) = {
        path
        for cluster, _ in run.queue("true", "ClusterId", "ProcId")
        for path in (run.pool.folder / "spool").glob(f"*/*/cluster{cluster}.proc*.subproc0/{name}")
    }
    return found


def _output(run: Run, part: str = _PART) -> Path:
    return _spooled(run, f"septum-{part}.out0")


def _ended(run: Run) -> None:
    run.submit()
    run.until_ended()


@ROWS.add()
def outputs_damaged_in_five_ways(run: Run) -> None:
    """Cut off, empty, one bit turned, that of another part, and the status of another part."""
    _ended(run)
    _output(run, "0000").write_bytes(_output(run, "0000").read_bytes()[:-100])
    _output(run, "0001").write_bytes(b"")
    data = bytearray(_output(run, "0002").read_bytes())
    data[len(data) // 2] ^= 1
    _output(run, "0002").write_bytes(data)
    shutil.copyfile(_output(run, "0004"), _output(run, "0003"))
    shutil.copyfile(_spooled(run, "septum-0006.status"), _spooled(run, "septum-0005.status"))
    run.septum("collect")
    # What the worker wrote was whole: each of these parts got another job.
    assert [part.attempts for part in run.manifest.parts] == [2, 2, 2, 2, 1, 2, 1, 1]


@ROWS.add()
def output_gone_from_the_access_point(run: Run) -> None:
    """One output cannot be fetched, and all others can."""
    _ended(run)
    _output(run).unlink()
    run.septum("collect", timeout_s=60)


@ROWS.add()
def output_whole_when_fetched_again(run: Run) -> None:
    """The damage was on the way."""
    _ended(run)
    path = _output(run)
    whole = path.read_bytes()
    path.write_bytes(whole[:2000])
    process = run.start("collect")
    run.until_verified(PARTS - 1)
    path.write_bytes(whole)
    process.end()


@ROWS.add(code=35, says=["is not the file any more that had been verified"])
def verified_output_changed_before_a_retry(run: Run) -> None:
    """What was verified once is verified again."""
    run.hold_back("0007")
    run.submit()
    process = run.start("collect")
    run.until_verified(7)
    process.kill()
    process.end()
    path = run.state / "outputs" / "septum-0003.out0"
    path.write_bytes(path.read_bytes()[:-1])
    run.let_go()
    run.until_ended()
    run.septum("collect")


@ROWS.add()
def every_part_submitted_and_delivered_twice(run: Run) -> None:
    """Two runners with the same CI job, each of which looks before the other one has submitted."""
    other = copy_of(run.repository, run.repository.folder.with_name("the other runner"))
    late = [call("submit", pause_s=2)]
    first = run.start("submit", strikes=late)
    second = run.start("submit", strikes=late, repository=other)
    assert (first.end(), second.end()) == (0, 0)
    assert [part for part, _ in run.queue()] == sorted(2 * IDS)
    run.septum("collect")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_outputs(row: Row, rows: Matrix) -> None:
    """The result is that of the undisturbed run, or there is none and the exit code says why."""
    rows.judge(row)
