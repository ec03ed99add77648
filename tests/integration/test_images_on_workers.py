"""Containers on the workers of a real pool, by Apptainer: the part is in the image asked for, or it fails and says why.

The pool is a site whose behaviour a job can choose by an attribute, as an unlucky user meets several sites: one that
ignores the request, one that serves another image. On all of them the environment of the jobs claims that the image
asked for is there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from septum.facility import Facility, Pool
from septum.facility.debian import debian
from septum.facility.image import unpack_image
from septum.state import State
from tests.fakes.tls import serving
from tests.workshop import Repository, client_environment, pool_profile

NAME = "registry.invalid/team/ana:1"
CVMFS = "/cvmfs/unpacked.cern.ch"
PATH = f"{CVMFS}/{NAME}"
SITE = (
    'SINGULARITY_BIND_EXPR = "/cvmfs /tmp:/signals"',
    "SINGULARITY_JOB = !isUndefined(TARGET.SingularityImage) && TARGET.SiteIgnores =!= true",
    f'SINGULARITY_IMAGE_EXPR = TARGET.SiteServesAnother =?= true ? "{CVMFS}/other:1" : TARGET.SingularityImage',
    # What a job's environment says is no proof.
    f'STARTER_JOB_ENVIRONMENT = "APPTAINER_CONTAINER={PATH} SINGULARITY_CONTAINER={PATH}"',
)
LOOK = """\
exec > seen.txt
. /etc/os-release
echo "system=$NAME"
echo "home=$(ls -A /home) tmp=$(ls -A /tmp) host=$(env | grep ANCESTOR) leak=${SEPTUM_TEST_LEAK-}"
[ -d /cvmfs/unpacked.cern.ch/.flat ] && echo cvmfs
[ -d /pool/spool ] || [ -e /usr/bin/condor_q ] || echo alone
case $PART_do in
first) : > /signals/started; while [ ! -e /signals/go ]; do sleep 0.1; done ;;
esac
"""


@dataclass(frozen=True)
class Site:
    """A pool with a CVMFS of its own."""

    facility: Facility
    pool: Pool
    repository: Path

    def publish(self, system: str, name: str = NAME) -> str:
        """Push an image under a name; the link of an earlier one is swapped."""
        return unpack_image(debian(), self.repository, name, system=system)


@pytest.fixture(scope="module")
def site(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The pool; it runs one part at a time, if each asks for all of its eight cores."""
    repository = tmp_path_factory.mktemp("cvmfs")
    with facility.extra_pool("images", config=SITE, slots=8, read_only={CVMFS: repository}) as pool:
        (pool.folder / "home/secret").write_text("of the host\n")
        (pool.folder / "tmp/secret").write_text("of the host\n")
        made = Site(facility, pool, repository)
        made.publish("another", "other:1")
        yield made


@pytest.fixture
def analysis(site: Site, tmp_path: Path) -> Callable[..., Repository]:
    """Makes a repository whose parts look around."""

    def make(*does: str, image: str = NAME, more: str = "", **profile: str) -> Repository:
        folder = tmp_path / "analysis"
        (folder / "clusters").mkdir(parents=True)
        rows = "".join(f"    - {{do: {word}}}\n" for word in does)
        (folder / "look.sh").write_text(LOOK)
        (folder / "septum.yaml").write_text(
            f"name: look\nimage: {image}\ncommand: [sh, look.sh]\nparts:\n  list:\n{rows}"
            f"inputs: [look.sh]\noutputs: [seen.txt]\nmerge: {{}}\n{more}"
        )
        keys: dict[str, Any] = {"image-method": "singularity-image", **profile}
        (folder / "clusters/pool.yaml").write_text(pool_profile(site.pool, site.facility, **keys))
        environ = {"SEPTUM_CLUSTER": "pool", "SEPTUM_TEST_LEAK": "leaked", **client_environment(site.facility)}
        return Repository(folder=folder, environ=environ)

    return make


def seen_by(repository: Repository) -> dict[str, str]:
    """What the parts have seen, by their ids."""
    return {path.parent.name: path.read_text() for path in repository.result.rglob("seen.txt")}


def statuses(repository: Repository) -> list[dict[str, Any]]:
    """What the wrappers have written."""
    logs = sorted((repository.folder / ".septum/logs").glob("*.status"))
    return [json.loads(path.read_text()) for path in logs]


@pytest.mark.parametrize("method", ["singularity-image", "container-image"])
def test_the_part_is_in_the_image_and_nowhere_else(
    site: Site, analysis: Callable[..., Repository], method: str
) -> None:
    """It sees the system of the image and CVMFS, and of the host neither home nor files nor variables."""
    image_id = site.publish("one")
    ours = analysis("look", "again", **{"image-method": method})
    process = ours.septum("run")

    assert process.returncode == 0, process.stdout
    assert seen_by(ours) == dict.fromkeys(("0000", "0001"), "system=one\nhome= tmp= host= leak=\ncvmfs\nalone\n")
    assert {status["image"] for status in statuses(ours)} == {PATH}
    assert {status["image_path"] for status in statuses(ours)} == {f"{CVMFS}/.flat/{image_id[:2]}/{image_id}"}
    receipt = State(ours.folder / ".septum").load_receipt()
    assert receipt.image_id == ""
    assert "registry.invalid" in receipt.image_unknown


@pytest.mark.parametrize("image", [NAME, "docker://registry.invalid/team/ana:1"])
def test_a_site_that_ignores_the_image(site: Site, analysis: Callable[..., Repository], image: str) -> None:
    """The part fails with clear words, though the worker's variables and the user's own claim that all is well."""
    site.publish("one")
    forged = f"resubmissions: 0\nenvironment: {{APPTAINER_CONTAINER: '{PATH}'}}\n"
    ours = analysis("look", image=image, attributes='{SiteIgnores: "true"}', more=forged)
    process = ours.septum("run")

    assert process.returncode == 38, process.stdout
    assert "this worker did not start the image" in process.stdout
    assert "E309" in process.stdout
    assert [status["stage"] for status in statuses(ours)] == ["image"]
    assert seen_by(ours) == {}


def test_a_site_that_serves_another_image(site: Site, analysis: Callable[..., Repository]) -> None:
    """The image asked for can be seen from inside, and it is not what the part runs in."""
    site.publish("one")
    ours = analysis("look", attributes='{SiteServesAnother: "true"}', more="resubmissions: 0\n")
    process = ours.septum("run")

    assert process.returncode == 38, process.stdout
    assert "is in another system" in process.stdout
    assert seen_by(ours) == {}


def test_a_tag_that_is_pushed_again_during_the_run(site: Site, analysis: Callable[..., Repository]) -> None:
    """The first part is in the old image, the second in the new one: no result is made of both."""
    old = site.publish("old")
    ours = analysis("first", "look", more="resources: {cpus: 8}\nresubmissions: 0\n")
    signals = site.pool.folder / "tmp"
    with ours.start("run") as process:
        deadline = time.monotonic() + 60
        while not (signals / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        new = site.publish("new")
        (signals / "go").touch()
        said, _ = process.communicate(timeout=120)
    for name in ("started", "go"):
        (signals / name).unlink()

    assert process.returncode == 38, said
    assert "E319" in said
    assert old in said
    assert new in said


# ── held to what the registry has ───────────────────────────────────────────────────────────────────────────────


class _Registry(BaseHTTPRequestHandler):
    """A registry with one image, whose id a test chooses."""

    image_id = ""

    def do_GET(self) -> None:
        body = json.dumps({"schemaVersion": 2, "config": {"digest": f"sha256:{self.image_id}"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


@pytest.mark.parametrize("same", [True, False])
def test_the_image_that_the_registry_has(
    site: Site, analysis: Callable[..., Repository], tmp_path: Path, *, same: bool
) -> None:
    """Its digest is recorded at submission; a worker whose CVMFS has another image under the tag fails the part."""
    handler = type("Handler", (_Registry,), {"image_id": ""})
    with serving(handler, tmp_path) as (host, pem):
        name = f"{host}/team/ana:1"
        there = site.publish("pushed", name)
        handler.image_id = there if same else "0" * 64  # type: ignore[attr-defined]
        ours = analysis("look", image=name, more="resubmissions: 0\n", **{"image-digest": "required"})
        process = ours.septum("run", REQUESTS_CA_BUNDLE=pem)
    receipt = State(ours.folder / ".septum").load_receipt()

    assert process.returncode == (0 if same else 38), process.stdout
    assert receipt.image_digest.startswith("sha256:")
    assert receipt.image_digest in process.stdout
    assert receipt.image_id == f"sha256:{there if same else '0' * 64}"
    if not same:
        assert "E319" in process.stdout
        assert f"this worker has the image {there}, and CI has {'0' * 64}" in process.stdout
        assert [status["stage"] for status in statuses(ours)] == ["other-image"]
