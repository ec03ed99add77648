"""septum itself is killed, at any moment, or loses what it had written, and is started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.analysis import IDS, PARTS, plan_of
from tests.faults.faults import Strike, call, slow_bindings
from tests.faults.matrix import Matrix
from tests.faults.rows import Row, Rows
from tests.faults.run import Process, Run

ROWS = Rows()
_LEDGER, _MERGER = "septum.ledger:Ledger", "septum.merge.results:Merger"


def _strike_in_turn(run: Run, verb: str, strikes: Sequence[Strike]) -> None:
    """Start a verb again and again, and kill it at another place each time."""
    for strike in strikes:
        run.septum(verb, code=-signal.SIGKILL, strikes=[strike])


def _each_part_has_one_job(run: Run) -> None:
    assert [part for part, _ in run.queue("JobStatus != 3")] == list(IDS)


@ROWS.add(long=True)
def collect_killed_at_ten_random_moments(run: Run) -> None:
    """While it looks, fetches, verifies, merges: wherever the moment falls."""
    run.hold_back(*IDS)
    run.submit()
    moments = [run.random.uniform(0.3, 2.5) for _ in range(10)]
    run.notes.append("collect was killed after " + ", ".join(f"{moment:.2f} s" for moment in moments))
    for number, moment in enumerate(moments):
        # One part after the other is let go, so that there is always something to look at, to fetch or to merge.
        if number < PARTS:
            (run.control / f"wait-{IDS[number]}").unlink()
        process = run.start("collect")
        try:
            process.popen.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.end()
        else:
            return
    run.septum("collect")


@ROWS.add(long=True)
def collect_killed_at_every_step(run: Run) -> None:
    """Before each of its calls, and between the entries of the ledger."""
    run.submit()
    run.until_ended()
    steps = [call(name) for name in ("summary", "query", "edit", "retrieve")]
    steps += [Strike(at=f"{_LEDGER}.store"), Strike(at=f"{_LEDGER}.store", after=True), Strike(at=f"{_MERGER}.finish")]
    steps += [Strike(at="septum.publish:publish", after=True), Strike(at=f"{_LEDGER}.finish")]
    _strike_in_turn(run, "collect", steps)
    run.septum("collect")


@ROWS.add()
def collect_killed_after_the_last_entry(run: Run) -> None:
    """The result is there and entered; the jobs are still in the queue."""
    run.submit()
    run.until_ended()
    _strike_in_turn(
        run, "collect", [Strike(at=f"{_LEDGER}.finish", after=True), call("remove"), call("remove", after=True)]
    )
    run.septum("collect")


@ROWS.add(long=True)
def submit_killed_at_every_step(run: Run) -> None:
    """Before each of its calls, when the jobs are there, and around the receipt."""
    steps = [call(name) for name in ("ping", "summary", "query", "history", "submit")]
    receipt = "septum.state:State.store_receipt"
    _strike_in_turn(
        run, "submit", [*steps, call("submit", after=True), Strike(at=receipt), Strike(at=receipt, after=True)]
    )
    assert "0 jobs submitted, 8 were there already" in run.septum("submit", code=0).said
    _each_part_has_one_job(run)
    run.septum("collect")


@ROWS.add()
def everything_killed_between_submit_and_spool(run: Run) -> None:
    """The schedd knows the jobs, and nobody sends their files any more."""
    machine_off = Strike(at="htcondor2:Schedd.spool", worker=True, parent=True)
    run.septum("submit", code=-signal.SIGKILL, strikes=[machine_off])
    assert len(run.queue("HoldReasonCode == 16")) == PARTS
    run.submit()
    _each_part_has_one_job(run)
    run.septum("collect")


# The call with number 5 is the one that submits; the answers to it and to those before are read in `_read_line`.
_SENT = Strike(at="septum.backends.htcondor.bindings:Bindings._read_line", left=5)


def _killed_and_retried_at_once(run: Run, late: str) -> None:
    run.septum("submit", code=-signal.SIGKILL, strikes=[_SENT, slow_bindings(late, 4)])
    run.submit()
    run.until(lambda: not _workers(run))
    _each_part_has_one_job(run)
    run.septum("collect")


@ROWS.add()
def submit_killed_and_retried_while_its_bindings_submit(run: Run) -> None:
    """The retried one looks at the queue before the first one's jobs are there."""
    _killed_and_retried_at_once(run, "submit")


@ROWS.add()
def submit_killed_and_retried_while_its_bindings_send(run: Run) -> None:
    """The retried one finds jobs whose files are still to come."""
    _killed_and_retried_at_once(run, "spool")


def _workers(run: Run) -> list[int]:
    """The processes with the bindings of this row, whoever started them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"septum.backends.htcondor.worker" in words and str(run.state / "send").encode() in words:
            found.append(int(path.parent.name))
    return found


def _kill_bindings(run: Run, process: Process) -> None:
    run.until(lambda: _workers(run))
    for pid in _workers(run):
        os.kill(pid, signal.SIGKILL)
    assert process.popen.poll() is None


@ROWS.add()
def worker_process_killed(run: Run) -> None:
    """The process with HTCondor's library, three times."""
    run.hold_back(*IDS[4:])
    run.submit()
    process = run.start("collect")
    for count in (1, 2, 4):
        run.until_verified(count)
        _kill_bindings(run, process)
    run.let_go()
    process.end()


# ── what was written is lost ────────────────────────────────────────────────────────────────────────────────────


@ROWS.add(says=["the receipt is lost; the cluster knows 8 of 8 parts"])
def receipt_and_ledger_lost(run: Run) -> None:
    """The artifact has something else in place of the ledger; then it has neither ledger nor receipt."""
    run.submit()
    ledger = run.state / "run.sqlite"
    ledger.write_bytes(b"no ledger at all" * 512)
    assert "remove it" in run.septum("collect", code=2).said
    ledger.unlink()
    (run.state / "receipt.json").unlink()
    run.septum("collect")


@ROWS.add()
def ledger_lost_with_half_of_the_outputs_here(run: Run) -> None:
    """The outputs that lie in the folder belong to nobody."""
    run.hold_back(*IDS[4:])
    run.submit()
    process = run.start("collect")
    run.until_verified(4)
    process.kill()
    process.end()
    (run.state / "run.sqlite").unlink()
    run.submit()
    run.let_go()
    run.septum("collect")


@ROWS.add()
def whole_state_folder_lost(run: Run) -> None:
    """Nothing is left of the run but its pipeline's number."""
    run.submit()
    before = plan_of(run.repository)
    shutil.rmtree(run.state)
    run.septum("prepare", code=0)
    assert plan_of(run.repository).hash == before.hash
    assert "0 jobs submitted, 8 were there already" in run.septum("submit", code=0).said
    run.septum("collect")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_interrupted(row: Row, rows: Matrix) -> None:
    """The result is that of the undisturbed run, or there is none and the exit code says why."""
    rows.judge(row)
