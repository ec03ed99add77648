"""What all parts share travels once: real jobs fetch it from a real storage by HTCondor's own plugins.

The storage is an XRootD server, over HTTPS with the token that the pool gives to its jobs, and over its own protocol
with the proxy that HTCondor delegates, by a plugin as sites have it. Bytes are counted on the way to the access point.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.shared_site import SHARED_B, Counted, Site, counted, open_site
from tests.workshop import Repository, queue

if TYPE_CHECKING:
    from septum.facility import Facility

PARTS = 10
_DEADLINE_S = 120


@pytest.fixture(scope="module")
def site(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A pool with a storage."""
    with open_site(facility, tmp_path_factory.mktemp("shared")) as opened:
        yield opened


@pytest.fixture(scope="module")
def runs(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Counted]:
    """The same analysis, sent with each job, and by each way, twice."""
    folder = tmp_path_factory.mktemp("runs") / "analysis"
    found = {}
    for name in ("spool", "https", "https again", "root", "root again"):
        way = name.split()[0]
        repository = site.repository(folder, way, f"once-{way}", parts=PARTS)
        found[name] = counted(site, repository, secrets.token_hex(4))
    return found


@pytest.mark.parametrize("way", ["https", "root"])
def test_it_travels_once(runs: Mapping[str, Counted], site: Site, way: str) -> None:
    """At most twice its size goes from here to the access point, for all jobs, and it goes to the storage once."""
    once = runs[way]

    assert once.code == 0, once.said
    assert once.pool_b < 2 * SHARED_B
    assert SHARED_B < once.storage_b < 1.2 * SHARED_B
    assert runs["spool"].code == 0, runs["spool"].said
    assert runs["spool"].pool_b > PARTS * SHARED_B
    assert "goes to the shared area once" in once.said
    assert len(site.objects(f"once-{way}")) == 1


@pytest.mark.parametrize("way", ["https", "root"])
def test_the_result_is_the_same(runs: Mapping[str, Counted], way: str) -> None:
    """To the last byte, however the inputs came."""
    assert runs[way].result == runs[f"{way} again"].result == runs["spool"].result != ""


@pytest.mark.parametrize("way", ["https", "root"])
def test_a_second_run_sends_nothing(runs: Mapping[str, Counted], site: Site, way: str) -> None:
    """It finds the object by its name, and compares the checksum that the storage has."""
    again = runs[f"{way} again"]

    assert again.code == 0, again.said
    assert again.storage_b < 50_000
    assert len(site.objects(f"once-{way}")) == 1


def test_no_secret_stands_in_a_job_ad(runs: Mapping[str, Counted], site: Site) -> None:
    """The token of the jobs is HTCondor's affair: their ads hold the address, and nothing behind it."""
    ads = site.pool.run("condor_history", "-long", "-limit", "200").stdout
    read = [line for line in ads.splitlines() if line.startswith("TransferInput =")]

    assert any("cms+https://" in line for line in read)
    assert any("root://" in line for line in read)
    assert not any("?" in line or "%" in line for line in read)
    assert site.token not in ads
    assert not any(site.token.split(".")[2] in run.said for run in runs.values())


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────


def _submitted(site: Site, folder: Path, way: str, area: str) -> Repository:
    """A run whose jobs begin in some seconds: until then, something can happen to its object."""
    # The machines that the jobs ask for are not there before.
    later = int(time.time()) + 10
    repository = site.repository(folder, way, area, requirements=f"time() > {later}")
    for verb in ("prepare", "submit"):
        done = repository.septum(verb)
        assert done.returncode == 0, done.stdout
    return repository


@pytest.mark.parametrize("damage", ["replaced", "cut"])
def test_an_object_that_is_not_what_was_sent(site: Site, tmp_path: Path, damage: str) -> None:
    """The parts notice before they unpack it; their new jobs get another copy, and the first one stays as it is."""
    area = f"damage-{damage}"
    repository = _submitted(site, tmp_path, "https", area)
    ((name, path),) = site.objects(area).items()
    wrong = b"<html>503</html>" if damage == "replaced" else path.read_bytes()[:-1000]
    path.write_bytes(wrong)
    done = repository.septum("collect")

    assert done.returncode == 0, done.stdout
    assert "did not get the inputs that were sent" in done.stdout
    assert path.read_bytes() == wrong
    assert set(site.objects(area)) == {name, name.replace(".tar.gz", ".1.tar.gz")}
    assert [file.name for file in repository.result.glob("*.root")] == ["all.root"]


def test_an_object_that_has_vanished(site: Site, tmp_path: Path) -> None:
    """The jobs are held, it is brought there again, and HTCondor's own release lets them go on."""
    repository = _submitted(site, tmp_path, "https", "vanished")
    ((name, path),) = site.objects("vanished").items()
    path.unlink()
    done = repository.septum("collect")

    assert done.returncode == 0, done.stdout
    assert set(site.objects("vanished")) == {name}
    assert "new job" not in done.stdout


def test_no_machine_has_the_plugin(site: Site, tmp_path: Path) -> None:
    """Said before anything is sent: such jobs would wait for days."""
    changes: dict[str, Any] = {"shared-read": f"osdf://localhost:{site.storage.port}/store/user/plugin"}
    repository = site.repository(tmp_path, "https", "plugin", **changes)
    done = repository.septum("run")

    assert done.returncode == 21, done.stdout
    assert "no machine of the pool announces a file transfer plugin for osdf://" in done.stdout
    assert "E212" in done.stdout
    assert "https" in done.stdout
    assert site.objects("plugin") == {}
    assert queue(site.pool) == []


@pytest.mark.parametrize("way", ["https", "root"])
@pytest.mark.parametrize(("area", "says"), [("../others", "does not allow it"), ("full", "no room for it")])
def test_an_area_that_takes_nothing(site: Site, tmp_path: Path, way: str, area: str, says: str) -> None:
    """The storage's words, a fix, no job, and nothing half there."""
    changes: dict[str, Any] = {}
    if area == "../others":
        place = f"localhost:{site.storage.port}/{'/' if way == 'root' else ''}store/others"
        changes = {"shared-area": f"{way}://{place}"}
        if way == "https":
            changes["shared-read"] = f"cms+https://{place}"
    repository = site.repository(tmp_path, way, "full" if area == "full" else "others", **changes)
    done = repository.septum("run")

    assert done.returncode == 21, done.stdout
    assert "E212" in done.stdout
    assert says in done.stdout
    assert "Fix: " in done.stdout
    assert queue(site.pool) == []


def test_two_runs_at_once(site: Site, tmp_path: Path) -> None:
    """Both bring the same object, and one of them is there afterwards, whole."""
    first = site.repository(tmp_path / "first", "https", "both")
    second = site.repository(tmp_path / "second", "https", "both")
    for name in ("ballast.bin", "good.root"):
        (second.folder / name).write_bytes((first.folder / name).read_bytes())
    processes = [each.start("run", SEPTUM_RUN=name) for each, name in ((first, "one"), (second, "two"))]
    said = [process.communicate(timeout=_DEADLINE_S)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], "".join(said)
    # What was begun under another name stays where the token may not remove anything.
    assert len([name for name in site.objects("both") if not name.startswith(".septum-")]) == 1


def test_a_killed_upload_leaves_no_object(site: Site, tmp_path: Path) -> None:
    """What was begun has another name, and the next attempt takes its place."""
    repository = site.repository(tmp_path, "https", "killed")
    (repository.folder / "ballast.bin").write_bytes(os.urandom(25_000_000))
    assert repository.septum("prepare").returncode == 0
    process = repository.start("submit", SEPTUM_RUN="killed")
    deadline = time.monotonic() + 60
    while not site.objects("killed") and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    begun = set(site.objects("killed"))
    done = repository.septum("run", SEPTUM_RUN="killed")

    assert begun
    assert all(name.startswith(".septum-") for name in begun)
    assert done.returncode == 0, done.stdout
    assert [name for name in site.objects("killed") if not name.startswith(".")] != []
