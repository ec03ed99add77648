"""Several at once, and those that are cancelled."""

from __future__ import annotations

import signal

import pytest

from tests.faults.analysis import PARTS, copy_of
from tests.faults.faults import Strike, call, slow_bindings
from tests.faults.matrix import Matrix
from tests.faults.rows import Row, Rows
from tests.faults.run import Run, new_run

ROWS = Rows()


@ROWS.add()
def two_pipelines_at_once(run: Run) -> None:
    """With the same plan, as the same account."""
    other = new_run(run.row, run.where, run.pool, name="-other")
    try:
        for verb in ("submit", "collect"):
            both = [one.start(verb) for one in (other, run)]
            assert [process.end() for process in both] == [0, 0]
        other.check()
    finally:
        other.end()


@ROWS.add()
def cancelling_one_pipeline_leaves_the_other(run: Run) -> None:
    """With the same plan, as the same account."""
    other = new_run(run.row, run.where, run.pool, name="-other")
    try:
        run.hold_back("0007")
        other.hold_back()
        for one in (run, other):
            one.submit()
        process, cancelled = run.start("collect"), other.start("collect")
        other.until_queue(PARTS, "JobStatus == 2")
        cancelled.until("running")
        cancelled.kill(signal.SIGTERM)
        assert cancelled.end() == 24
        assert other.left() == []
        run.let_go()
        process.end()
    finally:
        other.end()


@ROWS.add()
def two_collects_of_one_run(run: Run) -> None:
    """In one folder there is a lock; and GitLab may have lost a runner that goes on all the same."""
    run.hold_back("0007")
    run.submit()
    other = copy_of(run.repository, run.repository.folder.with_name("the other runner"))
    second, first = run.start("collect", repository=other), run.start("collect")
    run.until_verified(7)
    refused = run.septum("collect", code=2)
    assert "another septum works in" in refused.said
    run.processes = [second, first]
    run.let_go()
    # Who is first takes the jobs away; the other one has them all as well, or says that they are gone.
    codes = {first.end(), second.end()}
    assert 0 in codes, first.said + second.said
    assert codes <= {0, 32, 37}, first.said + second.said
    if first.popen.returncode != 0:
        run.repository = other
        run.processes.append(second)


@ROWS.add(code=24, says=["SIGTERM: removing the jobs"])
def cancelled_while_submitting(run: Run) -> None:
    """The jobs are there, and their files are not."""
    process = run.start("submit", strikes=[slow_bindings("spool", 3)])
    run.until_queue(PARTS, "HoldReasonCode == 16")
    process.kill(signal.SIGTERM)
    process.end()


@ROWS.add(code=24, says=["SIGTERM: removing the jobs", "were removed"])
def cancelled_before_the_answer_to_submit(run: Run) -> None:
    """The jobs are there, and septum does not know their numbers."""
    run.septum("submit", strikes=[call("submit", after=True, number=signal.SIGTERM)])


@ROWS.add(code=24, says=["8 jobs were removed"])
def cancelled_while_running(run: Run) -> None:
    """With more than one signal, as runners and impatient people send them."""
    run.hold_back()
    run.submit()
    process = run.start("collect")
    run.until_queue(PARTS, "JobStatus == 2")
    process.until("running")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        process.kill(number)
    process.end()
    assert run.left() == []


@ROWS.add(code=24, says=["were removed"])
def cancelled_while_merging(run: Run) -> None:
    """The outputs are here, and the result is not."""
    run.submit()
    run.septum("collect", strikes=[Strike(at="septum.merge.results:Merger.finish", signal=signal.SIGTERM)])
    assert run.left() == []


@ROWS.add(code=24)
def cancelled_while_collect_begins(run: Run) -> None:
    """It has not spoken to the cluster yet."""
    run.hold_back()
    run.submit()
    strike = Strike(at="septum.credentials:obtain", signal=signal.SIGTERM)
    run.septum("collect", strikes=[strike])
    assert run.left() == []


@ROWS.add(code=32, says=["removed by its run"])
def cancelled_from_another_ci_job(run: Run) -> None:
    """By `septum cancel`, while no collect runs."""
    run.hold_back("0007")
    run.submit()
    run.septum("cancel", code=0)
    assert run.left() == []
    run.septum("collect")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_pipelines(row: Row, rows: Matrix) -> None:
    """The result is that of the undisturbed run, or there is none and the exit code says why."""
    rows.judge(row)
