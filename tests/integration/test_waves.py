"""A site that takes few jobs at a time: the run goes in waves, never over a limit, whatever is killed in between.

The limits are those of CERN's schedds for spooling, a twentieth of them by default. With all of it, some four minutes:
SEPTUM_TEST_WAVES=1200 python -m pytest tests/integration/test_waves.py
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import uproot

from septum.facility import Facility, Pool
from tests.workshop import Repository, client_environment, kinds_repository, pool_profile, queue

PARTS = int(os.environ.get("SEPTUM_TEST_WAVES", "60"))
PER_SUBMISSION, PER_OWNER = PARTS // 12, PARTS * 5 // 12


@pytest.fixture(scope="module")
def narrow(facility: Facility) -> Iterator[Pool]:
    """A pool with the limits."""
    config = [f"MAX_JOBS_PER_SUBMISSION = {PER_SUBMISSION}", f"MAX_JOBS_PER_OWNER = {PER_OWNER}"]
    with facility.extra_pool("narrow", slots=32, config=config) as pool:
        yield pool


def _repository(folder: Path, facility: Facility, pool: Pool, **profile: str) -> Repository:
    environ = {"SEPTUM_CLUSTER": "pool", "SEPTUM_RUN": "waves", **client_environment(facility)}
    made = kinds_repository(folder, ["good"] * PARTS, environ=environ)
    (made.folder / "clusters").mkdir()
    (made.folder / "clusters" / "pool.yaml").write_text(pool_profile(pool, facility, **profile))
    return made


def _states(repository: Repository) -> dict[str, int]:
    path = repository.folder / ".septum" / "run.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as ledger:
        return dict(ledger.execute("SELECT state, count(*) FROM part GROUP BY state"))


def test_more_parts_than_the_site_takes(facility: Facility, narrow: Pool, tmp_path: Path) -> None:
    """Submitted, killed in the middle, collected: every part once, never too many, nothing left."""
    limits = {"max-jobs-per-submission": str(PER_SUBMISSION), "max-jobs-per-owner": str(PER_OWNER)}
    repository = _repository(tmp_path / "analysis", facility, narrow, **limits)
    assert repository.septum("prepare").returncode == 0
    submitted = repository.septum("submit")
    assert submitted.returncode == 0, submitted.stdout
    assert f"{PER_OWNER} jobs submitted, {PARTS - PER_OWNER} follow when there is room" in submitted.stdout

    killed = repository.start("collect")
    deadline = time.monotonic() + 60 + PARTS
    most = 0
    while _states(repository).get("verified", 0) < PARTS // 2:
        assert killed.poll() is None, killed.communicate()[0]
        assert time.monotonic() < deadline, _states(repository)
        most = max(most, len(narrow.run("condor_q", "-all", "-af", "SeptumPart").stdout.split()))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    collected = repository.septum("collect", timeout_s=60 + PARTS)

    assert collected.returncode == 0, collected.stdout
    with uproot.open(repository.result / "all.root") as file:
        assert file["mass"].member("fEntries") == 100 * PARTS
    with closing(sqlite3.connect(repository.folder / ".septum" / "run.sqlite")) as ledger:
        merged = ledger.execute("SELECT part FROM merged").fetchall()
        jobs = dict(ledger.execute("SELECT jobs, count(*) FROM part GROUP BY jobs"))
    assert len(merged) == len(set(merged)) == PARTS
    assert jobs == {1: PARTS}, "a part was computed twice"
    assert queue(narrow) == []
    assert PER_SUBMISSION < most <= PER_OWNER
