"""What is refused before or at submission: its own exit code, a fix, and no job left behind."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from septum.facility import Facility
from septum.facility.pool import Pool
from tests.workshop import Repository, client_environment, kinds_repository, pool_profile


def _repository(
    folder: Path, facility: Facility, pool: Pool, *, client: str = "cmscat-client", **profile: str
) -> Repository:
    environ = {"SEPTUM_CLUSTER": "pool", **client_environment(facility, client)}
    repository = kinds_repository(folder, ["good"] * 5, environ=environ)
    (folder / "clusters").mkdir()
    (folder / "clusters" / "pool.yaml").write_text(pool_profile(pool, facility, **profile))
    return repository


def _jobs(pool: Pool) -> str:
    return str(pool.run("condor_q", "-all", "-af", "ClusterId").stdout).strip()


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

    process = repository.septum("run")

    assert process.returncode == 20, process.stdout
    assert facility.endpoint.schedd in process.stdout
    assert "SEPTUM_CLUSTER_SCHEDD" in process.stdout


def test_collector_that_is_not_there(facility: Facility, tmp_path: Path) -> None:
    """Nobody listens at the collector's address."""
    repository = _repository(tmp_path, facility, facility.pool, collector="localhost:9")

    process = repository.septum("run")

    assert process.returncode == 20, process.stdout
    assert "localhost:9" in process.stdout
    assert "Fix: " in process.stdout


def test_collector_that_never_answers(facility: Facility, tmp_path: Path) -> None:
    """A server that takes the connection and stays silent is given up at the profile's deadline."""
    with socket.create_server(("localhost", 0)) as silent:
        address = f"localhost:{silent.getsockname()[1]}"
        repository = _repository(tmp_path, facility, facility.pool, collector=address, **{"call-deadline": "4 s"})
        began = time.monotonic()

        process = repository.septum("run")

    assert process.returncode == 20, process.stdout
    assert "no answer within 4 s" in process.stdout
    assert time.monotonic() - began < 20


def test_submission_over_the_limit(facility: Facility, small_pool: Pool, tmp_path: Path) -> None:
    """The schedd's bare number is explained, and what was submitted is gone again."""
    repository = _repository(tmp_path, facility, small_pool)

    process = repository.septum("run")

    assert process.returncode == 21, process.stdout
    assert "SEPTUM_CLUSTER_MAX_JOBS_PER_SUBMISSION" in process.stdout
    assert _jobs(small_pool) == ""
    assert repository.whole_files() == []


def test_limit_that_the_profile_knows(facility: Facility, small_pool: Pool, tmp_path: Path) -> None:
    """With the limit in the profile the same parts are submitted in chunks, and the result is whole."""
    repository = _repository(tmp_path, facility, small_pool, **{"max-jobs-per-submission": "3"})

    process = repository.septum("run")

    assert process.returncode == 0, process.stdout
    assert repository.whole_files() == ["all.root"]
    assert _jobs(small_pool) == ""


def test_requirement_of_the_site(facility: Facility, small_pool: Pool, tmp_path: Path) -> None:
    """The site's own words about a job that it does not take are shown."""
    repository = _repository(
        tmp_path, facility, small_pool, **{"default-memory": "3 GB", "max-jobs-per-submission": "3"}
    )

    process = repository.septum("run")

    assert process.returncode == 21, process.stdout
    assert "this site has small machines only" in process.stdout
    assert _jobs(small_pool) == ""


def test_wrong_secret(facility: Facility, tmp_path: Path) -> None:
    """The issuer's 401 ends the run before anything is submitted, and the secret is not shown."""
    repository = _repository(tmp_path, facility, facility.pool)

    process = repository.septum("run", IAM_CLIENT_SECRET="not-the-secret-8472")

    assert process.returncode == 11, process.stdout
    assert "Bad client credentials" in process.stdout
    assert "not-the-secret-8472" not in process.stdout


def test_token_with_too_little_scope(facility: Facility, tmp_path: Path) -> None:
    """A client that may only read is told apart by a real ping, before anything is submitted."""
    repository = _repository(tmp_path, facility, facility.pool, client="reader-client", scope="[wlcg, compute.read]")

    process = repository.septum("run")

    assert process.returncode == 13, process.stdout
    assert "compute.create" in process.stdout
    assert "cmscat@" in process.stdout


def test_client_without_an_account(facility: Facility, tmp_path: Path) -> None:
    """A client that the site maps to no account is not a missing scope."""
    repository = _repository(tmp_path, facility, facility.pool, client="unmapped-client")

    process = repository.septum("run")

    assert process.returncode == 16, process.stdout
    assert "account" in process.stdout


def test_missing_variables(facility: Facility, tmp_path: Path) -> None:
    """A client's secret that is not set is named."""
    repository = _repository(tmp_path, facility, facility.pool)

    process = repository.septum("run", IAM_CLIENT_SECRET="")

    assert process.returncode == 10, process.stdout
    assert "IAM_CLIENT_SECRET" in process.stdout


def test_expired_proxy(facility: Facility, tmp_path: Path) -> None:
    """A proxy that has expired ends the run before anything is submitted."""
    proxy = facility.make_proxy(tmp_path / "proxy", lifetime_s=-3600, voms_lifetime_s=-3600)
    repository = _repository(tmp_path / "analysis", facility, facility.pool, proxy="required")

    process = repository.septum("run", X509_PROXY=base64.b64encode(proxy.read_bytes()).decode())

    assert process.returncode == 15, process.stdout
    assert "expired" in process.stdout
    assert "BEGIN" not in process.stdout


def test_unknown_key(tmp_path: Path) -> None:
    """A misspelt key of septum.yaml is named with its line and the key that was meant."""
    repository = kinds_repository(tmp_path, ["good"], extra="tolerence: 1\n", environ={})

    process = repository.septum("run")

    assert process.returncode == 2, process.stdout
    assert "septum.yaml:9" in process.stdout
    assert "did you mean 'tolerance'?" in process.stdout
    assert not (tmp_path / ".septum").exists()
