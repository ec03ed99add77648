"""The way to the cluster, its daemons, and the issuer: cut, silent, slow, restarted, away."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from septum.facility import Pool
from tests.faults.analysis import IDS, PARTS
from tests.faults.faults import slow_bindings
from tests.faults.matrix import Matrix
from tests.faults.rows import Row, Rows
from tests.faults.run import Run
from tests.faults.wire import Mode, Wire, wires
from tests.workshop import client_environment

ROWS = Rows()
_WARNED = "warning: cluster: no answer"
_CUT: Mode = "cut"
_SILENT: Mode = "silent"


@contextmanager
def _network(run: Run) -> Iterator[tuple[Wire, Wire]]:
    """The ways to the pool, with its collector and its schedd, and to the issuer."""
    pool, issuer = int(run.pool.endpoint.collector.rpartition(":")[2]), urlsplit(run.facility.issuer.url).port
    assert issuer is not None
    with wires(pool, issuer) as (to_pool, to_issuer):
        yield to_pool, to_issuer


# ── between client and schedd ───────────────────────────────────────────────────────────────────────────────────


@ROWS.add(says=[_WARNED], call_deadline="3 s")
def network_cut_and_then_silent(run: Run) -> None:
    """Connections are reset; later they are taken, and nothing ever comes back."""
    run.hold_back("0006", "0007")
    run.submit()
    with _network(run) as ways:
        process = run.start("collect", ways=ways)
        for count, mode in ((6, _CUT), (7, _SILENT)):
            run.until_verified(count)
            warnings = process.said.count(_WARNED)
            ways[0].mode = mode
            process.until(_WARNED, times=warnings + 1)
            (run.control / f"wait-000{count}").unlink()
            run.until_ended(count + 1)
            ways[0].mode = "pass"
        process.end()


@ROWS.add()
def network_slow(run: Run) -> None:
    """Each block of data takes its time."""
    with _network(run) as ways:
        ways[0].mode = ways[1].mode = "slow"
        assert run.start("submit", ways=ways).end() == 0
    with _network(run) as ways:
        ways[0].mode = ways[1].mode = "slow"
        run.start("collect", ways=ways).end()


@ROWS.add(long=True, lease="36 s")
def network_cut_until_septum_gives_up_and_is_retried(run: Run) -> None:
    """The second collect comes before the lease has ended."""
    run.hold_back("0007")
    run.submit()
    with _network(run) as ways:
        process = run.start("collect", ways=ways)
        run.until_verified(7)
        ways[0].mode = "cut"
        assert process.end() == 75
    run.let_go()
    run.septum("collect")


@ROWS.add()
def network_cut_while_submitting(run: Run) -> None:
    """The schedd has the jobs, and not yet their files."""
    with _network(run) as ways:
        process = run.start("submit", ways=ways, strikes=[slow_bindings("spool", 3)])
        run.until_queue(PARTS, "HoldReasonCode == 16")
        ways[0].mode = "cut"
        assert process.end() in {20, 21}
    run.submit()
    assert [part for part, _ in run.queue("JobStatus != 3")] == list(IDS)
    run.septum("collect")


# ── the daemons ─────────────────────────────────────────────────────────────────────────────────────────────────


def _daemon(pool: Pool, name: str) -> int:
    """The process of one of the pool's daemons, as seen from outside."""
    for master in pool._daemons():
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        for pid in map(int, children):
            # The kernel keeps 15 letters of the name.
            if Path(f"/proc/{pid}/comm").read_text().strip() == name[:15]:
                return pid
    raise AssertionError(f"no {name}")


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """A process that is there and does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def _collecting(run: Run) -> Iterator[None]:
    """Collect, with the last two parts still to come; inside, something happens to the pool."""
    run.hold_back("0006", "0007")
    run.submit()
    process = run.start("collect")
    run.until_verified(6)
    yield
    run.let_go()
    process.end()


@ROWS.add(breakable=True, says=[_WARNED])
def schedd_killed_and_restarted_by_its_master(run: Run) -> None:
    """It comes back at another address."""
    with _collecting(run):
        before = _daemon(run.pool, "condor_schedd")
        os.kill(before, signal.SIGKILL)
        run.processes[-1].until(_WARNED)


@ROWS.add(breakable=True, says=[_WARNED])
def schedd_stopped_and_started(run: Run) -> None:
    """By an administrator, in order."""
    with _collecting(run):
        run.pool.run("condor_off", "-fast", "-daemon", "schedd")
        run.processes[-1].until(_WARNED)
        run.pool.run("condor_on", "-daemon", "schedd")


@ROWS.add(breakable=True, says=["no answer within 3 s"], call_deadline="3 s")
def schedd_takes_calls_and_never_answers(run: Run) -> None:
    """It is alive, and stopped."""
    with _collecting(run), _stopped(_daemon(run.pool, "condor_schedd")):
        run.processes[-1].until(_WARNED)


@ROWS.add(breakable=True, call_deadline="3 s")
def collector_away(run: Run) -> None:
    """Nobody knows where the schedd is: nothing is submitted, and later collect waits."""
    collector = _daemon(run.pool, "condor_collector")
    with _stopped(collector):
        assert run.septum("submit", code=20).said.count("Fix: ") == 1
    run.submit()
    with _stopped(collector):
        process = run.start("collect")
        process.until(_WARNED)
    process.end()


# ── the issuer ──────────────────────────────────────────────────────────────────────────────────────────────────


@ROWS.add(long=True, lease="60 s")
def token_expired_and_issuer_away(run: Run) -> None:
    """There is no new token when the old one has ended."""
    short = client_environment(run.facility, "twenty-seconds-client")
    run.hold_back("0007")
    run.submit()
    with _network(run) as ways:
        process = run.start("collect", ways=ways, environ=short)
        run.until_verified(7)
        ways[1].mode = "cut"
        assert process.end() == 75, process.said
        assert "the old one lives for" in process.said
        run.let_go()
        # And now there is no token to begin with.
        assert run.start("collect", ways=ways).end() == 75
    run.septum("collect")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_network(row: Row, rows: Matrix) -> None:
    """The result is that of the undisturbed run, or there is none and the exit code says why."""
    rows.judge(row)
