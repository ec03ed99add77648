"""What all parts share travels once: real jobs fetch it from a real storage by HTCondor's own plugins.

The storage is an XRootD server, over HTTPS with the token that the pool gives to its jobs, and over its own protocol
with the proxy that HTCondor delegates, by a plugin as sites have it. Bytes are counted on the way to the access point.

Runs wait for the pool most of the time, so all that need jobs go on side by side; the tests look at their ends.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.shared_site import SHARED_B, Counted, Site, counted, open_site
from tests.workshop import Repository, queue

if TYPE_CHECKING:
    from septum.facility import Facility

PARTS = 6
_DEADLINE_S = 180
_WAITS = "TestWaits"
"""An attribute of jobs that are not to start yet."""


@pytest.fixture(scope="module")
def site(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A pool with a storage."""
    with open_site(facility, tmp_path_factory.mktemp("shared")) as opened:
        yield opened


# ── what goes on ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a run left.

    Attributes:
        code: The exit code.
        said: What septum printed.
        name: The object as it was first, and
        objects: all that stand in the area at the end.
        wrong: What was put in its place, and
        kept: what is there in the end.
        results: Names of the results.
    """

    code: int
    said: str
    name: str = ""
    objects: tuple[str, ...] = ()
    wrong: bytes = b""
    kept: bytes = b""
    results: tuple[str, ...] = ()


def _travel(site: Site, folder: Path, way: str) -> list[Counted]:
    """The same analysis by one way; where that is an area, a second time."""
    repository = site.repository(folder, way, f"once-{way}", parts=PARTS)
    return [counted(site, repository, secrets.token_hex(4)) for _ in range(1 if way == "spool" else 2)]


def _submitted(site: Site, folder: Path, area: str) -> Repository:
    """A run whose jobs do not start before somebody says so: until then, something can happen to its object."""
    changes: dict[str, Any] = {"attributes": f"{{{_WAITS}: 'true'}}", "requirements": f"'MY.{_WAITS} =!= true'"}
    made = site.repository(folder, "https", area, **changes)
    repository = replace(made, environ={**made.environ, "SEPTUM_RUN": area})
    for verb in ("prepare", "submit"):
        done = repository.septum(verb)
        assert done.returncode == 0, done.stdout
    return repository


def _edit(site: Site, area: str, name: str, value: str) -> None:
    # Jobs may leave the queue meanwhile, and then none is changed; whoever calls this waits for what follows.
    site.pool.run("condor_qedit", "-constraint", _of(area), name, value, check=False)


def _of(area: str) -> str:
    """The jobs of a run, whose tag has its name between others."""
    return f'regexp("/{area}/", SeptumRun)'


def _until(come: Callable[[], object], *, pause_s: float = 0.5) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not come():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(pause_s)


def _replace(site: Site, folder: Path) -> Ended:
    """Put a page in the place of the object, before a job fetches it."""
    repository = _submitted(site, folder, "replaced")
    ((name, path),) = site.objects("replaced").items()
    wrong = b"<html>503</html>"
    path.write_bytes(wrong)
    _edit(site, "replaced", _WAITS, "false")
    # The new jobs of the parts have the attribute of the profile again.
    process = repository.start("collect")
    _until(lambda: _let_go(site, "replaced", process.poll))
    said = process.communicate(timeout=_DEADLINE_S)[0]
    results = tuple(file.name for file in repository.result.glob("*.root"))
    return Ended(
        code=process.returncode, said=said, name=name, objects=tuple(site.objects("replaced")), wrong=wrong,
        kept=path.read_bytes(), results=results,
    )  # fmt: skip


def _let_go(site: Site, area: str, ended: Callable[[], int | None]) -> bool:
    """Let jobs start that have come meanwhile; returns whether septum has ended."""
    if ended() is None and queue(site.pool, constraint=f"{_of(area)} && {_WAITS}"):
        _edit(site, area, _WAITS, "false")
    return ended() is not None


def _vanish(site: Site, folder: Path) -> Ended:
    """Take the object away, and spare the minute after which the jobs are released by themselves."""
    repository = _submitted(site, folder, "vanished")
    ((name, path),) = site.objects("vanished").items()
    path.unlink()
    _edit(site, "vanished", _WAITS, "false")
    process = repository.start("collect")
    _until(
        lambda: len(queue(site.pool, constraint=f"{_of('vanished')} && HoldReasonCode == 13")) == 2 and path.exists()
    )
    _edit(site, "vanished", "EnteredCurrentStatus", str(int(time.time()) - 90))
    said = process.communicate(timeout=_DEADLINE_S)[0]
    return Ended(code=process.returncode, said=said, name=name, objects=tuple(site.objects("vanished")))


def _both(site: Site, folder: Path) -> list[Ended]:
    """Two runs bring the same at once."""
    first = site.repository(folder / "first", "https", "both")
    second = site.repository(folder / "second", "https", "both")
    for name in ("ballast.bin", "good.root"):
        (second.folder / name).write_bytes((first.folder / name).read_bytes())
    processes = [each.start("run", SEPTUM_RUN=name) for each, name in ((first, "one"), (second, "two"))]
    said = [process.communicate(timeout=_DEADLINE_S)[0] for process in processes]
    objects = tuple(site.objects("both"))
    return [
        Ended(code=process.returncode, said=text, objects=objects)
        for process, text in zip(processes, said, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """How all runs with jobs ended."""

    counted: Mapping[str, list[Counted]]
    replaced: Ended
    vanished: Ended
    both: list[Ended]


@pytest.fixture(scope="module")
def ends(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Ends:
    """All of them, side by side."""
    folder = tmp_path_factory.mktemp("runs")
    # The same inputs by each way, so that the results can be compared.
    ways = ("spool", "https", "root")
    first = site.repository(folder / ways[0], ways[0], f"once-{ways[0]}", parts=PARTS)
    for way in ways[1:]:
        (folder / way).mkdir()
        for name in ("good.root", "ballast.bin", "septum.yaml"):
            (folder / way / name).write_bytes((first.folder / name).read_bytes())
    with ThreadPoolExecutor(max_workers=6) as threads:
        vanished = threads.submit(_vanish, site, folder / "vanished")
        replaced = threads.submit(_replace, site, folder / "replaced")
        travels = {way: threads.submit(_travel, site, folder / way, way) for way in ways}
        both = threads.submit(_both, site, folder / "both")
        return Ends(
            counted={way: future.result() for way, future in travels.items()},
            replaced=replaced.result(), vanished=vanished.result(), both=both.result(),
        )  # fmt: skip


# ── what travels ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["https", "root"])
def test_it_travels_once(ends: Ends, site: Site, way: str) -> None:
    """At most twice its size goes from here to the access point, for all jobs, and it goes to the storage once."""
    once, (spool,) = ends.counted[way][0], ends.counted["spool"]

    assert once.code == 0, once.said
    assert once.pool_b < 2 * SHARED_B
    assert SHARED_B < once.storage_b < 1.2 * SHARED_B
    assert spool.code == 0, spool.said
    assert spool.pool_b > PARTS * SHARED_B
    assert "goes to the shared area once" in once.said
    assert len(site.objects(f"once-{way}")) == 1


@pytest.mark.parametrize("way", ["https", "root"])
def test_the_result_is_the_same(ends: Ends, way: str) -> None:
    """To the last byte, however the inputs came."""
    first, again = ends.counted[way]

    assert first.result == again.result == ends.counted["spool"][0].result != ""


@pytest.mark.parametrize("way", ["https", "root"])
def test_a_second_run_sends_nothing(ends: Ends, site: Site, way: str) -> None:
    """It finds the object by its name, and compares the checksum that the storage has."""
    again = ends.counted[way][1]

    assert again.code == 0, again.said
    assert again.storage_b < 50_000
    assert len(site.objects(f"once-{way}")) == 1


def test_no_secret_stands_in_a_job_ad(ends: Ends, site: Site) -> None:
    """The token of the jobs is HTCondor's affair: their ads hold the address, and nothing behind it."""
    ads = site.pool.run("condor_history", "-long", "-limit", "200").stdout
    read = [line for line in ads.splitlines() if line.startswith("TransferInput =")]

    assert any("cms+https://" in line for line in read)
    assert any("root://" in line for line in read)
    assert not any("?" in line or "%" in line for line in read)
    assert site.token not in ads
    assert not any(site.token.split(".")[2] in run.said for runs in ends.counted.values() for run in runs)


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_object_that_is_not_what_was_sent(ends: Ends) -> None:
    """The parts notice before they unpack it; their new jobs get another copy, and the first one stays as it is."""
    end = ends.replaced

    assert end.code == 0, end.said
    assert "did not get the inputs that were sent" in end.said
    assert end.kept == end.wrong
    assert set(end.objects) == {end.name, end.name.replace(".tar.gz", ".1.tar.gz")}
    assert end.results == ("all.root",)


def test_an_object_that_has_vanished(ends: Ends) -> None:
    """The jobs are held, it is brought there again, and HTCondor's own release lets them go on."""
    end = ends.vanished

    assert end.code == 0, end.said
    assert set(end.objects) == {end.name}
    assert "new job" not in end.said


def test_two_runs_at_once(ends: Ends) -> None:
    """Both bring the same object, and one of them is there afterwards, whole."""
    assert [end.code for end in ends.both] == [0, 0], "".join(end.said for end in ends.both)
    # What was begun under another name stays where the token may not remove anything.
    assert len([name for name in ends.both[0].objects if not name.startswith(".septum-")]) == 1


def test_no_machine_has_the_plugin(site: Site, tmp_path: Path) -> None:
    """Said before anything is sent: such jobs would wait for days."""
    changes: dict[str, Any] = {"shared-read": f"osdf://localhost:{site.storage.port}/store/user/plugin"}
    repository = site.repository(tmp_path, "https", "plugin", **changes)
    done = repository.septum("run", SEPTUM_RUN=tmp_path.name)

    assert done.returncode == 21, done.stdout
    assert "no machine of the pool announces a file transfer plugin for osdf://" in done.stdout
    assert "E213" in done.stdout
    assert "https" in done.stdout
    assert site.objects("plugin") == {}
    assert queue(site.pool, constraint=_of(tmp_path.name)) == []


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
    done = repository.septum("run", SEPTUM_RUN=tmp_path.name)

    assert done.returncode == 21, done.stdout
    assert "E213" in done.stdout
    assert says in done.stdout
    assert "Fix: " in done.stdout
    assert queue(site.pool, constraint=_of(tmp_path.name)) == []


def test_a_killed_upload_leaves_no_object(site: Site, tmp_path: Path) -> None:
    """What was begun has another name, and the next attempt brings it whole; nobody waits for the jobs."""
    repository = site.repository(tmp_path, "https", "killed")
    (repository.folder / "ballast.bin").write_bytes(os.urandom(40_000_000))
    assert repository.septum("prepare").returncode == 0
    process = repository.start("submit", SEPTUM_RUN="killed")
    deadline = time.monotonic() + 60
    while not site.objects("killed") and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    begun = set(site.objects("killed"))
    done = repository.septum("submit", SEPTUM_RUN="killed")

    assert begun
    assert all(name.startswith(".septum-") for name in begun)
    assert done.returncode == 0, done.stdout
    assert [name for name in site.objects("killed") if not name.startswith(".")] != []
    assert repository.septum("cancel", SEPTUM_RUN="killed").returncode == 0
