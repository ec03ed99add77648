"""What becomes of jobs on the cluster: held, evicted, removed, killed, and left alone for ever."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.analysis import IDS, PARTS
from tests.faults.matrix import Matrix
from tests.faults.rows import Row, Rows
from tests.faults.run import COMPLETED, Run

ROWS = Rows()
_LAST = 'SeptumPart == "0007"'

# One code of each kind that septum tells apart, and what the part then ends with; None where it gets another job.
_HELD: dict[str, tuple[int, str | None]] = {
    "0000": (1, "E304"),
    "0001": (13, None),
    "0002": (34, "E312"),
    "0003": (47, "E307"),
    "0004": (26, "E304"),
    "0005": (16, None),
    "0006": (4711, "E304"),
}


@ROWS.add(hold_patience="4 s", refresh="3 s")
def held_with_each_kind_of_code(run: Run) -> None:
    """Each kind ends as the table says, and none waits for ever; retried, the failed parts run again."""
    run.hold_back(*IDS[:7])
    run.submit()
    run.until_ended(1)
    run.admin("condor_hold", 'SeptumPart != "0007"')
    run.until_queue(7, "JobStatus == 5")
    for part, (code, _) in _HELD.items():
        run.admin("condor_qedit", f'SeptumPart == "{part}"', "HoldReasonCode", str(code))
    run.let_go()
    said = run.septum("collect", code=33).said
    assert "hold code 1 (UserRequest)" in said
    assert "5 of 8 parts failed" in said
    failed = {part.id: part.cause for part in run.manifest.parts if part.state == "failed"}
    assert failed == {part: cause for part, (_, cause) in _HELD.items() if cause is not None}
    assert [job for job in run.left() if job[1] != COMPLETED] == []
    run.septum("collect")


@ROWS.add()
def held_and_released(run: Run) -> None:
    """One by a person; one for a transfer, which the description of the jobs releases by itself."""
    run.hold_back("0006", "0007")
    run.submit()
    process = run.start("collect")
    run.until_verified(6)
    run.admin("condor_hold", "JobStatus == 2")
    run.until(lambda: run.states().get("held") == 2)
    run.let_go()
    run.admin("condor_release", 'SeptumPart == "0006"')
    # A minute ago: so long the description waits.
    run.admin("condor_qedit", _LAST, "EnteredCurrentStatus", str(int(time.time()) - 90), "HoldReasonCode", "13")
    process.end()


@ROWS.add(long=True)
def evicted_five_times(run: Run) -> None:
    """Whenever it runs, it has to go."""
    run.hold_back("0007")
    run.submit()
    process = run.start("collect")
    run.until_verified(7)
    for start in range(1, 6):
        run.until_queue(1, f"{_LAST} && JobStatus == 2 && NumJobStarts == {start}")
        run.admin("condor_vacate_job", _LAST, "-fast")
    run.until_queue(1, f"{_LAST} && JobStatus == 2 && NumJobStarts == 6")
    run.let_go()
    process.end()
    assert run.manifest.parts[7].attempts == 6


@ROWS.add()
def removed_by_an_admin_while_it_runs(run: Run) -> None:
    """A removed job is a failed part, not one part less; retried, that part alone runs again."""
    run.hold_back("0007")
    run.submit()
    process = run.start("collect")
    run.until_verified(7)
    run.admin("condor_rm", _LAST)
    assert process.end() == 32
    assert "part 0007" in process.said
    assert "condor_rm" in process.said
    assert run.repository.whole_files() == []
    run.let_go()
    run.septum("collect")


@ROWS.add()
def ended_job_removed_before_its_output_was_fetched(run: Run) -> None:
    """Ended well, and yet it delivers nothing."""
    run.submit()
    run.until_ended()
    run.admin("condor_rm", 'SeptumPart == "0003"')
    run.until_queue(PARTS - 1, "true")
    # By how far the access point has come, its history calls the job completed, or removed by a person.
    if run.septum("collect").popen.returncode == 32:
        run.septum("collect")


def _processes(run: Run, name: str) -> list[int]:
    """The processes of this name (a starter, a shadow) that serve jobs of this run."""
    jobs = {".".join(job) for job in run.queue("JobStatus == 2", "ClusterId", "ProcId")}
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode("utf-8", "replace").split("\0")
            if (path.parent / "comm").read_text().strip() == name[:15] and (
                jobs & set(words) or (name == "condor_starter" and _serves(path.parent, run))
            ):
                found.append(int(path.parent.name))
        except OSError:  # it has just ended
            continue
    return found


def _serves(process: Path, run: Run) -> bool:
    """Whether a starter's job, its child, works below a folder with our tag."""
    children = (process / "task" / process.name / "children").read_text().split()
    return any(run.tag in (Path("/proc") / child / "cwd" / ".." / ".job.ad").read_text() for child in children)


@ROWS.add()
def starter_and_shadow_killed(run: Run) -> None:
    """Jobs lose what watches over them, on the worker and at the access point."""
    run.hold_back("0006", "0007")
    run.submit()
    process = run.start("collect")
    run.until_verified(6)
    victims = [_processes(run, "condor_starter")[0], _processes(run, "condor_shadow")[-1]]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    run.let_go()
    process.end()


@ROWS.add(long=True, lease="10 s")
def runner_gone_for_good(run: Run) -> None:
    """The lease removes what nobody speaks for, and keeps the outputs of what has ended."""
    run.hold_back("0006", "0007")
    run.submit()
    process = run.start("collect")
    run.until_verified(6)
    process.kill()
    process.end()
    run.until_queue(0, "JobStatus != 4")
    assert [part for part, _ in run.queue()] == list(IDS[:6]), "what has ended keeps its outputs"
    run.let_go()
    said = run.septum("collect", code=32).said
    assert "part 0006" in said
    assert "the end of its lease" in said
    run.septum("collect")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_jobs(row: Row, rows: Matrix) -> None:
    """The result is that of the undisturbed run, or there is none and the exit code says why."""
    rows.judge(row)
