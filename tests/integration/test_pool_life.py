"""The life of a run on the real pool: taken up again, removed, held, cancelled, in the image asked for."""

from __future__ import annotations

import base64
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from septum.facility import IMAGE, Facility
from septum.manifest import NAME, from_json
from tests.workshop import Repository, client_environment, kinds_repository, pool_profile, queue


@pytest.fixture
def repository(facility: Facility, tmp_path: Path) -> Callable[..., Repository]:
    """Makes a repository that runs on the pool."""

    def make(*kinds: str, extra: str = "", **profile: str) -> Repository:
        environ = {"SEPTUM_CLUSTER": "pool", **client_environment(facility)}
        made = kinds_repository(tmp_path / "analysis", kinds, extra=extra, environ=environ)
        (made.folder / "clusters").mkdir()
        (made.folder / "clusters" / "pool.yaml").write_text(pool_profile(facility.pool, facility, **profile))
        return made

    return make


def _jobs(facility: Facility, repository: Repository, *attributes: str, constraint: str = "true") -> list[list[str]]:
    """The run's jobs in the queue."""
    tag = _tag(repository)
    ours = f'SeptumRun == "{tag}" && ({constraint})'
    return queue(facility.pool, *(attributes or ("SeptumPart",)), constraint=ours)


def _tag(repository: Repository) -> str:
    import json

    receipt = repository.folder / ".septum" / "receipt.json"
    return str(json.loads(receipt.read_text())["tag"]) if receipt.is_file() else "none yet"


def _wait(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.3)


def _stages(repository: Repository, *verbs: str) -> None:
    for verb in verbs:
        process = repository.septum(verb)
        assert process.returncode == 0, process.stdout


def _collect_without_result(facility: Facility, repository: Repository, code: int, *words: str) -> None:
    """Collect a run that fails: with this exit code, these words, no file that looks whole, and an empty queue."""
    collected = repository.septum("collect")

    assert collected.returncode == code, collected.stdout
    for word in words:
        assert word in collected.stdout
    assert repository.whole_files() == []
    assert _jobs(facility, repository) == []


def test_submitting_twice_submits_nothing_twice(facility: Facility, repository: Callable[..., Repository]) -> None:
    """A second submit, even without the first one's state, finds the jobs by their tag."""
    ours = repository("good", "good", "good")
    pipeline = {"CI_SERVER_HOST": "gitlab.test", "CI_PROJECT_ID": "7", "CI_PIPELINE_ID": str(time.time_ns())}
    ours = replace(ours, environ={**ours.environ, **pipeline})
    _stages(ours, "prepare", "submit")
    (ours.folder / ".septum" / "run.sqlite").unlink()
    (ours.folder / ".septum" / "receipt.json").unlink()

    again = ours.septum("submit")
    collected = ours.septum("collect")

    assert again.returncode == 0, again.stdout
    assert "0 jobs submitted, 3 were there already" in again.stdout
    assert collected.returncode == 0, collected.stdout
    assert ours.whole_files() == ["all.root"]


def test_collecting_from_another_machine(facility: Facility, repository: Callable[..., Repository]) -> None:
    """What one machine submitted, another one collects, with the state folder as it travels in the artifact."""
    ours = repository("good", "good")
    _stages(ours, "prepare", "submit")
    elsewhere = Repository(folder=ours.folder.with_name("else where"), environ=ours.environ)
    shutil.copytree(ours.folder, elsewhere.folder)
    shutil.rmtree(ours.folder)

    collected = elsewhere.septum("collect")

    assert collected.returncode == 0, collected.stdout
    assert elsewhere.whole_files() == ["all.root"]


def test_job_removed_by_someone(facility: Facility, repository: Callable[..., Repository]) -> None:
    """A removed job is a failed part, not one part less."""
    ours = repository("good", "slow")
    _stages(ours, "prepare", "submit")
    facility.pool.run("condor_rm", "-constraint", f'SeptumRun == "{_tag(ours)}" && SeptumPart == "0001"')

    _collect_without_result(facility, ours, 32, "part 0001", "condor_rm")

    assert ours.septum("prepare").returncode == 0, "a run that has ended does not block the next one"


def test_job_held_for_good(facility: Facility, repository: Callable[..., Repository]) -> None:
    """A job that somebody holds is waited for, then named with the reason, and removed."""
    ours = repository("good", "slow", **{"hold-patience": "3 s"})
    _stages(ours, "prepare", "submit")
    _wait(lambda: _jobs(facility, ours, constraint='SeptumPart == "0001" && JobStatus <= 2'))
    facility.pool.run("condor_hold", "-constraint", f'SeptumRun == "{_tag(ours)}" && SeptumPart == "0001"')

    _collect_without_result(facility, ours, 33, "part 0001", "UserRequest")


def test_held_job_that_is_released_in_time(facility: Facility, repository: Callable[..., Repository]) -> None:
    """A held job is not a failed one: released, it counts."""
    ours = repository("good", "soon")
    script = ours.folder / "part.sh"
    script.write_text(script.read_text().replace("slow)", "soon) sleep 8; cp good.root out.root ;;\nslow)"))
    _stages(ours, "prepare", "submit")
    constraint = f'SeptumRun == "{_tag(ours)}" && SeptumPart == "0001"'
    collecting = ours.start("collect")
    _wait(lambda: _jobs(facility, ours, constraint='SeptumPart == "0001" && JobStatus == 2'))
    facility.pool.run("condor_hold", "-constraint", constraint)
    _wait(lambda: _jobs(facility, ours, constraint='SeptumPart == "0001" && JobStatus == 5'))
    facility.pool.run("condor_release", "-constraint", constraint)
    output, _ = collecting.communicate(timeout=120)

    assert collecting.returncode == 0, output
    assert ours.whole_files() == ["all.root"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_cancel_removes_the_jobs(facility: Facility, repository: Callable[..., Repository], number: int) -> None:
    """A signal during collect removes the jobs of this run from the queue."""
    ours = repository("good", "slow", "slow")
    _stages(ours, "prepare", "submit")
    _wait(lambda: _jobs(facility, ours, constraint="JobStatus == 2"))
    collecting = ours.start("collect")
    assert collecting.stdout is not None
    while "running" not in (line := collecting.stdout.readline()):  # the first look at the queue
        assert line, "collect ended"

    collecting.send_signal(number)
    output, _ = collecting.communicate(timeout=60)

    assert collecting.returncode == 24, output
    assert "jobs were removed" in output
    assert _jobs(facility, ours) == []
    assert ours.whole_files() == []


def test_lease_ends_what_nobody_speaks_for(facility: Facility, repository: Callable[..., Repository]) -> None:
    """With nobody to extend it, the lease removes idle and running jobs, and keeps the outputs of those that ended."""
    ours = repository("good", "slow", lease="25 s")
    _stages(ours, "prepare", "submit")
    collecting = ours.start("collect")
    _wait(lambda: _jobs(facility, ours, constraint="JobStatus == 4"))
    collecting.kill()
    collecting.communicate()

    _wait(lambda: not _jobs(facility, ours, constraint="JobStatus != 4"), seconds=90)

    assert _jobs(facility, ours) == [["0000"]]
    facility.pool.run("condor_rm", "-constraint", f'SeptumRun == "{_tag(ours)}"')


def test_lease_is_extended_while_septum_lives(facility: Facility, repository: Callable[..., Repository]) -> None:
    """A run that is longer than its lease is not cut off."""
    ours = repository("good", "thirty", lease="20 s")
    script = ours.folder / "part.sh"
    script.write_text(script.read_text().replace("slow)", "thirty) sleep 30; cp good.root out.root ;;\nslow)"))

    process = ours.septum("run")
    manifest = from_json((ours.result / NAME).read_text(encoding="utf-8"), name=NAME)
    waited = manifest.parts[1]

    assert process.returncode == 0, process.stdout
    assert ours.whole_files() == ["all.root"]
    # What it took is in the manifest: the wrapper measured the time, the pool the memory.
    assert waited.submitted_s is not None
    assert waited.started_s is not None
    assert waited.ended_s is not None
    assert waited.submitted_s - 1 <= waited.started_s <= waited.ended_s - 29
    assert waited.cpu_s is not None
    assert waited.cpu_s < 10
    assert waited.memory_b is not None
    assert 2**17 < waited.memory_b < 2**31
    assert manifest.asked.memory_b == 32 * 2**20


def test_image_that_the_pool_ignores(facility: Facility, repository: Callable[..., Repository]) -> None:
    """A pool that ignores the attribute runs the job outside of the image; the part notices and fails."""
    image = "/cvmfs/septum.test/another"  # IMAGE is the system of the workers, in which the part would be all the same
    ours = repository("good", extra=f"image: {image}\n", **{"image-method": "singularity-image"})

    process = ours.septum("run")

    assert process.returncode == 38, process.stdout
    assert image in process.stdout
    assert ours.whole_files() == []


def test_image_that_the_pool_starts(facility: Facility, repository: Callable[..., Repository]) -> None:
    """A job that is in the image asked for proves it, and counts."""
    ours = repository("good", extra=f"image: {IMAGE}\n", **{"image-method": "container-image"})

    process = ours.septum("run")

    assert process.returncode == 0, process.stdout
    assert ours.whole_files() == ["all.root"]


def test_proxy_arrives_in_the_job(facility: Facility, repository: Callable[..., Repository], tmp_path: Path) -> None:
    """The proxy is delegated to the job by HTCondor, and stands in no file that septum leaves."""
    proxy = facility.make_proxy(tmp_path / "proxy")
    blob = base64.b64encode(proxy.read_bytes()).decode()
    ours = repository("good", proxy="required")
    script = ours.folder / "part.sh"
    script.write_text('grep -q "BEGIN CERTIFICATE" "$X509_USER_PROXY" || exit 9\n' + script.read_text())

    process = ours.septum("run", X509_PROXY=blob)
    left = [path for path in ours.folder.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]

    assert process.returncode == 0, process.stdout
    assert left == []
