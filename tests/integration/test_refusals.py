"""What is refused before or at submission: its own exit code, a fix, and no job left behind."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from septum.facility import Facility
from septum.facility.pool import Pool
from tests.workshop import Repository, client_environment, kinds_repository, pool_profile, queue


def _repository(
    folder: Path, facility: Facility, pool: Pool, *, client: str = "cmscat-client", **profile: str
) -> Repository:
    environ = {"SEPTUM_CLUSTER": "pool", **client_environment(facility, client)}
    repository = kinds_repository(folder, ["good"] * 5, environ=environ)
    (folder / "clusters").mkdir()
    (folder / "clusters" / "pool.yaml").write_text(pool_profile(pool, facility, **profile))
    return repository


def _check_refused(process: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """See that septum ended with this exit code and said these words."""
    assert process.returncode == code, process.stdout
    for word in words:
        assert word in process.stdout


@pytest.fixture(scope="module")
def small_pool(facility: Facility) -> Iterator[Pool]:
    """A pool that takes at most three jobs at a time, and none for more than a gigabyte of memory."""
    lines = [
        "MAX_JOBS_PER_SUBMISSION = 3",
        "SUBMIT_REQUIREMENT_NAMES = Small",
        "SUBMIT_REQUIREMENT_Small = RequestMemory <= 1024",
        'SUBMIT_REQUIREMENT_Small_REASON = "this site has small machines only"',
    ]
    with facility.extra_pool("small", config=lines) as pool:
        yield pool


def test_schedd_that_is_not_there(facility: Facility, tmp_path: Path) -> None:
    """A schedd that the collector does not know is an error that lists those it knows, never the local schedd."""
    repository = _repository(tmp_path, facility, facility.pool, schedd="elsewhere@localhost")

    _check_refused(repository.septum("run"), 20, facility.endpoint.schedd, "SEPTUM_CLUSTER_SCHEDD")


def test_collector_that_is_not_there(facility: Facility, tmp_path: Path) -> None:
    """Nobody listens at the collector's address."""
    repository = _repository(tmp_path, facility, facility.pool, collector="localhost:9")

    _check_refused(repository.septum("run"), 20, "localhost:9", "Fix: ")


def test_collector_that_never_answers(facility: Facility, tmp_path: Path) -> None:
    """A server that takes the connection and stays silent is given up at the profile's deadline."""
    with socket.create_server(("localhost", 0)) as silent:
        address = f"localhost:{silent.getsockname()[1]}"
        repository = _repository(tmp_path, facility, facility.pool, collector=address, **{"call-deadline": "4 s"})
        began = time.monotonic()

        _check_refused(repository.septum("run"), 20, "no answer within 4 s")

    assert time.monotonic() - began < 20


def test_submission_over_the_limit(facility: Facility, small_pool: Pool, tmp_path: Path) -> None:
    """The schedd's bare number is explained, and what was submitted is gone again."""
    repository = _repository(tmp_path, facility, small_pool)

    _check_refused(repository.septum("run"), 21, "SEPTUM_CLUSTER_MAX_JOBS_PER_SUBMISSION")
    assert queue(small_pool) == []
    assert repository.whole_files() == []


def test_limit_that_the_profile_knows(facility: Facility, small_pool: Pool, tmp_path: Path) -> None:
    """With the limit in the profile the same parts are submitted in chunks, and the result is whole."""
    repository = _repository(tmp_path, facility, small_pool, **{"max-jobs-per-submission": "3"})

    process = repository.septum("run")

    assert process.returncode == 0, process.stdout
    assert repository.whole_files() == ["all.root"]
    assert queue(small_pool) == []


def test_requirement_of_the_site(facility: Facility, small_pool: Pool, tmp_path: Path) -> None:
    """The site's own words about a job that it does not take are shown."""
    repository = _repository(
        tmp_path, facility, small_pool, **{"default-memory": "3 GB", "max-jobs-per-submission": "3"}
    )

    _check_refused(repository.septum("run"), 21, "this site has small machines only")
    assert queue(small_pool) == []


def test_wrong_secret(facility: Facility, tmp_path: Path) -> None:
    """The issuer's 401 ends the run before anything is submitted, and the secret is not shown."""
    repository = _repository(tmp_path, facility, facility.pool)

    process = repository.septum("run", IAM_CLIENT_SECRET="not-the-secret-8472")

    _check_refused(process, 11, "Bad client credentials")
    assert "not-the-secret-8472" not in process.stdout


def test_token_with_too_little_scope(facility: Facility, tmp_path: Path) -> None:
    """A client that may only read is told apart by a real ping, before anything is submitted."""
    repository = _repository(tmp_path, facility, facility.pool, client="reader-client", scope="[wlcg, compute.read]")

    _check_refused(repository.septum("run"), 13, "compute.create", "cmscat@")


def test_client_without_an_account(facility: Facility, tmp_path: Path) -> None:
    """A client that the site maps to no account is not a missing scope."""
    repository = _repository(tmp_path, facility, facility.pool, client="unmapped-client")

    _check_refused(repository.septum("run"), 16, "account")


def test_missing_variables(facility: Facility, tmp_path: Path) -> None:
    """A client's secret that is not set is named."""
    repository = _repository(tmp_path, facility, facility.pool)

    _check_refused(repository.septum("run", IAM_CLIENT_SECRET=""), 10, "IAM_CLIENT_SECRET")


def test_expired_proxy(facility: Facility, tmp_path: Path) -> None:
    """A proxy that has expired ends the run before anything is submitted."""
    proxy = facility.make_proxy(tmp_path / "proxy", lifetime_s=-3600, voms_lifetime_s=-3600)
    repository = _repository(tmp_path / "analysis", facility, facility.pool, proxy="required")

    process = repository.septum("run", X509_PROXY=base64.b64encode(proxy.read_bytes()).decode())

    _check_refused(process, 15, "expired")
    assert "BEGIN" not in process.stdout


def test_unknown_key(tmp_path: Path) -> None:
    """A misspelt key of septum.yaml is named with its line and the key that was meant."""
    repository = kinds_repository(tmp_path, ["good"], extra="tolerence: 1\n", environ={})

    _check_refused(repository.septum("run"), 2, "septum.yaml:9", "did you mean 'tolerance'?")
    assert not (tmp_path / ".septum").exists()
