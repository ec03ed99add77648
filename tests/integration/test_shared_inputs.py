"""What all parts share travels once: real jobs fetch it from a real storage by HTCondor's own plugins.

The storage is an XRootD server, over HTTPS with the token that the pool gives to its jobs, and over its own protocol
with the proxy that HTCondor delegates, by a plugin as sites have it. Bytes are counted on the way to the access point.
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from septum.manifest import NAME, from_json
from tests.faults.wire import start, wires
from tests.integration.test_upload_real import _start
from tests.workshop import SEPTUM, Repository, client_environment, pool_profile, queue, write_root

if TYPE_CHECKING:
    from septum.facility import Facility
    from septum.facility.pool import Pool
    from septum.facility.xrootd import XRootD

ANY = "https://wlcg.cern.ch/jwt/v1/any"
PARTS = 10
SHARED_B = 2_000_000
_DEADLINE_S = 120
# As sites write it; the old form of the protocol, which takes one file.
_PLUGIN = """\
#!/bin/sh
if [ "$1" = -classad ]; then
    printf 'PluginVersion = "0.1"\\nPluginType = "FileTransfer"\\nSupportedMethods = "root"\\n'
    exit 0
fi
# HTCondor tells plugins of the proxy in the ad of the job alone.
X509_USER_PROXY=$(sed -n 's/^x509userproxy = "\\(.*\\)"$/\\1/p' "$_CONDOR_JOB_AD")
X509_CERT_DIR=/site/certificates
export X509_USER_PROXY X509_CERT_DIR
exec xrdcp --silent --force "$1" "$2"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A pool with a storage."""

    facility: Facility
    pool: Pool
    storage: XRootD
    token: str
    proxy: Path

    def profile(self, way: str, folder: str, **changes: Any) -> str:
        """The profile of the pool with a shared area, or without where `way` is `spool`."""
        port, path = self.storage.port, f"store/user/{folder}"
        areas = {
            "https": {
                "shared-area": f"https://localhost:{port}/{path}",
                "shared-read": f"cms+https://localhost:{port}/{path}",
                "job-tokens": "[cms]",
                "storage-audience": ANY,
                "storage-scope": "['storage.read:/', 'storage.create:/store/user']",
            },
            "root": {"shared-area": f"root://localhost:{port}//{path}", "proxy": "required"},
            "spool": {},
        }
        return pool_profile(self.pool, self.facility, **{**areas[way], "shared-above": "1 kB", **changes})

    def repository(self, folder: Path, way: str, area: str, *, parts: int = 2, **changes: Any) -> Repository:
        """An analysis whose parts copy a shared file; the others of its inputs cannot be packed."""
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "good.root").exists():
            write_root(folder / "good.root")
            (folder / "ballast.bin").write_bytes(os.urandom(SHARED_B))
            rows = ", ".join(f"{{n: {number}}}" for number in range(parts))
            (folder / "septum.yaml").write_text(
                f"name: shared\ncommand: [cp, good.root, out.root]\nparts: {{list: [{rows}]}}\n"
                "inputs: [good.root, ballast.bin]\noutputs: [{path: out.root, objects: [mass]}]\n"
                "merge: {all.root: out.root}\n"
            )
        (folder / "clusters").mkdir(exist_ok=True)
        (folder / "clusters/pool.yaml").write_text(self.profile(way, area, **changes))
        environ = {
            "SEPTUM_CLUSTER": "pool",
            **client_environment(self.facility, "analysis-client"),
            "X509_CERT_DIR": self.facility.proxies.environment["X509_CERT_DIR"],
            "X509_PROXY": base64.b64encode(self.proxy.read_bytes()).decode(),
        }
        return Repository(folder=folder, environ=environ)

    def objects(self, folder: str) -> dict[str, Path]:
        """What stands in the area, by the name below the month."""
        base = self.storage.folder / "store/user" / folder
        return {path.name: path for path in base.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def site(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The pool gives its jobs a token of a service `cms`, as a credential monitor would lay it down."""
    folder = tmp_path_factory.mktemp("shared")
    storage = _start(facility, folder / "server")
    (storage.folder / "store/others").mkdir()
    token = facility.issuer.token("storage-client", scope="storage.read:/ wlcg")
    mine = folder / "tokens/cmscat"
    mine.mkdir(parents=True)
    for name, text in (("cms.use", token), ("cms.top", "{}")):
        (mine / name).write_text(text)
        (mine / name).chmod(0o600)
    (folder / "plugin").write_text(_PLUGIN)
    (folder / "plugin").chmod(0o755)
    config = [
        "SEC_CREDENTIAL_DIRECTORY_OAUTH = /site/tokens",
        "TRUST_CREDENTIAL_DIRECTORY = True",
        "FILETRANSFER_PLUGINS = $(FILETRANSFER_PLUGINS), /site/xrootd_plugin",
    ]
    mounts = {
        "/site/tokens": folder / "tokens",
        "/site/xrootd_plugin": folder / "plugin",
        "/site/certificates": Path(facility.proxies.environment["X509_CERT_DIR"]),
    }
    with facility.extra_pool("shared", config=config, slots=32, read_only=mounts) as pool:
        proxy = facility.make_proxy(folder / "proxy.pem")
        yield Site(facility=facility, pool=pool, storage=storage, token=token, proxy=proxy)
    storage.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A run, and what it sent: to the pool, and to the storage."""

    said: str
    code: int
    pool_b: int
    storage_b: int
    result: str


def _counted(site: Site, repository: Repository, run: str) -> Counted:
    """Run septum where nothing but pool, issuer and storage can be reached, over wires that count."""
    issuer = urlsplit(site.facility.issuer.url).port
    assert issuer is not None
    out = repository.folder / "said"
    with wires(int(site.pool.endpoint.collector.rpartition(":")[2]), issuer, site.storage.port) as ways:
        words = [str(SEPTUM), "run", "--cluster", "pool"]
        process = start(words, ways, cwd=repository.folder, env=repository.environment(SEPTUM_RUN=run), out=out)
        try:
            code = process.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        sent = [way.sent_b for way in ways]
    result = ""
    if code == 0:
        manifest = from_json((repository.result / NAME).read_text(encoding="utf-8"), name=NAME)
        result = manifest.results[0].sha256
    return Counted(said=out.read_text(), code=code, pool_b=sent[0], storage_b=sent[2], result=result)


@pytest.fixture(scope="module")
def runs(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Counted]:
    """The same analysis, sent with each job, and by each way, twice."""
    folder = tmp_path_factory.mktemp("runs") / "analysis"
    found = {}
    for name in ("spool", "https", "https again", "root", "root again"):
        way = name.split()[0]
        repository = site.repository(folder, way, f"once-{way}", parts=PARTS)
        found[name] = _counted(site, repository, secrets.token_hex(4))
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
