"""The component image for real: buildah without privileges, and a registry that wants tokens as GitLab's does."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from septum.facility import available
from septum.facility.certificates import Authority, create_authority
from septum.facility.debian import debian
from septum.facility.pipeline import PipelineResult, prepare_pipeline
from septum.facility.registry import Registry, Tools, start_registry, tools

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "gitlab-ci-token", secrets.token_urlsafe(24)
CONTENT = "ch.cern.cms-analysis.septum.content"
OCI = "org.opencontainers.image"
STEP = 'RUN ["/bin/busybox", "sh", "-c", "/bin/busybox echo made of $WHAT > /made"]\n'
HOSTILE = "-rf; $(touch pwned) `touch pwned` ü"
CONTAINERFILE = "FROM scratch\nARG WHAT=nothing\nCOPY busybox /bin/busybox\nCOPY tools /opt/tools\n"

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Site:
    """The registry and what reaches it."""

    folder: Path
    registry: Registry
    tools: Tools
    authority: Authority
    path: Path

    def run(self, name: str, *includes: dict[str, Any], containerfile: str = "", password: str = "") -> PipelineResult:
        """Run the pipeline of a repository that includes the component once for each mapping of inputs."""
        repository = self.folder / name / "repository"
        shutil.copytree(ROOT / "templates", repository / "templates")
        (repository / "tools").mkdir()
        (repository / "tools" / "run me.sh").write_text("#!/bin/busybox sh\n")
        (repository / "tools" / "run me.sh").chmod(0o777)
        (repository / "tools" / HOSTILE).write_text("only a name\n")
        (repository / "tools" / "left-out.txt").write_text("not for the image\n")
        (repository / ".containerignore").write_text("tools/left-out.txt\n")
        shutil.copy(self.tools.busybox, repository / "busybox")
        step = STEP if self.tools.privileged else ""
        (repository / "Containerfile").write_text((containerfile or CONTAINERFILE) + step)
        component = "$CI_SERVER_FQDN/$CI_PROJECT_PATH/image@$CI_COMMIT_SHA"
        later = {"needs": ["septum-build-image"], "script": ['echo "later: $SEPTUM_BUILT_IMAGE $SEPTUM_BUILT_TAG"']}
        document: dict[str, Any] = {
            "include": [{"component": component, "inputs": {"tags": ["any"], **it}} for it in includes],
            "later": later,
        }
        (repository / ".gitlab-ci.yml").write_text(json.dumps(document))
        variables = {"CI_REGISTRY": self.registry.host, "CI_REGISTRY_IMAGE": f"{self.registry.host}/demo/analysis"}
        variables |= {"CI_REGISTRY_USER": USER, "CI_REGISTRY_PASSWORD": password or PASSWORD}
        return prepare_pipeline(
            repository,
            folder=self.folder / name / "pipeline",
            debian=debian(),
            variables=variables,
            files={"CI_SERVER_TLS_CA_FILE": self.authority.file.read_text()},
            path=[self.path],
        ).run(timeout_s=240)

    def blob(self, digest: str) -> bytes:
        """What the registry keeps under a digest."""
        kind, _, digits = digest.partition(":")
        folder = self.folder / "registry" / "data" / "docker" / "registry" / "v2" / "blobs" / kind / digits[:2]
        return (folder / digits / "data").read_bytes()

    def tagged(self, name: str, tag: str) -> str:
        """The digest that a tag means."""
        folder = self.folder / "registry" / "data" / "docker" / "registry" / "v2" / "repositories" / name
        return (folder / "_manifests" / "tags" / tag / "current" / "link").read_text()

    @property
    def writes(self) -> int:
        """How often the registry was asked to take something."""
        return sum(not line.startswith(("GET", "HEAD")) for line in self.registry.requests)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A registry in which GitLab's token may push below `demo/analysis`."""
    reason = available()
    if reason:
        pytest.skip(f"no facility: {reason}")
    folder = tmp_path_factory.mktemp("image")
    found, authority = tools(debian()), create_authority(folder)
    registry = start_registry(
        folder / "registry",
        tools=found,
        authority=authority,
        passwords={USER: PASSWORD},
        rights={USER: "demo/analysis"},
    )
    try:
        path = found.wrap_buildah(folder / "bin", storage=folder / "storage", work=folder)
        yield Site(folder=folder, registry=registry, tools=found, authority=authority, path=path)
    finally:
        registry.stop()


def _env(result: PipelineResult, prefix: str = "septum-") -> dict[str, str]:
    path = result.artifacts(f"{prefix}build-image") / ".septum" / f"{prefix}.image" / "image.env"
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


@pytest.fixture(scope="module")
def built(site: Site) -> PipelineResult:
    """One commit, whose image is built twice under two names, with the defaults otherwise."""
    again = {"job-prefix": "again-", "image": "$CI_REGISTRY_IMAGE/again", "build-args": "WHAT=love; $(id)\n"}
    result = site.run("built", {"build-args": "WHAT=love; $(id)\n"}, again)
    assert result.exit_code == 0, result.log
    return result


def _commit(result: PipelineResult) -> str:
    return (result.pipeline.checkout / ".git" / "refs" / "heads" / "main").read_text().strip()


def test_the_image_is_in_the_registry_and_later_jobs_get_its_digest(site: Site, built: PipelineResult) -> None:
    """Under the commit as tag, and the variable names what the registry itself has there."""
    env, commit = _env(built), _commit(built)

    assert env["SEPTUM_BUILT_TAG"] == commit
    assert env["SEPTUM_BUILT_IMAGE"] == (
        f"{site.registry.host}/demo/analysis/analysis@{site.tagged('demo/analysis/analysis', commit)}"
    )
    assert f"later: {env['SEPTUM_BUILT_IMAGE']} {commit}" in built.job_log("later")


def test_the_image_says_what_it_is(site: Site, built: PipelineResult) -> None:
    """Commit, project, time and content, in the manifest and in the configuration; and it runs what it should."""
    manifest = json.loads(site.blob(_env(built)["SEPTUM_BUILT_IMAGE"].partition("@")[2]))
    config = json.loads(site.blob(manifest["config"]["digest"]))
    annotations, labels = manifest["annotations"], config["config"]["Labels"]

    assert annotations[f"{OCI}.revision"] == labels[f"{OCI}.revision"] == _commit(built)
    assert annotations[f"{OCI}.source"] == labels[f"{OCI}.source"] == "https://gitlab.test/demo/analysis"
    assert annotations[f"{OCI}.version"] == labels[f"{OCI}.version"] == _commit(built)
    assert annotations[CONTENT] == labels[CONTENT]
    assert config["created"] == annotations[f"{OCI}.created"] == labels[f"{OCI}.created"]


def test_the_image_holds_the_files_of_the_commit(site: Site, built: PipelineResult) -> None:
    """With modes and times that do not depend on the checkout; and the steps have run."""
    manifest = json.loads(site.blob(_env(built)["SEPTUM_BUILT_IMAGE"].partition("@")[2]))
    (layer,) = manifest["layers"]
    with tarfile.open(fileobj=io.BytesIO(site.blob(layer["digest"]))) as archive:
        members = {member.name: member for member in archive}
        script = members["opt/tools/run me.sh"]
        made = archive.extractfile("made") if "made" in members else None
        text = made.read() if made is not None else b""

    assert (script.mode & 0o777, script.uid, script.gid) == (0o755, 0, 0)
    assert {member.mtime for member in members.values()} == {script.mtime}
    assert "opt/tools/left-out.txt" not in members
    assert f"opt/tools/{HOSTILE}" in members
    assert not list(site.folder.rglob("pwned"))
    assert text == (b"made of love; $(id)\n" if site.tools.privileged else b"")


def test_the_same_commit_gives_the_same_digest(built: PipelineResult) -> None:
    """Built twice, under two names, by two CI jobs."""
    one, again = (_env(built, prefix)["SEPTUM_BUILT_IMAGE"] for prefix in ("septum-", "again-"))

    assert one.partition("@")[2] == again.partition("@")[2]
    assert one != again


def test_nothing_is_built_or_pushed_twice(site: Site, built: PipelineResult) -> None:
    """Neither by a second pipeline of the commit, nor by a retry of the second CI job alone."""
    before, writes = _env(built), site.writes
    assert writes > 0
    # The artifact of the first CI job is that from before the push, so that the second one has to look by itself.
    retried = built.pipeline.run("septum-build-image")
    assert retried.exit_code == 0, retried.log
    assert _env(retried) == before
    assert "STEP" not in retried.job_log("septum-build-image")
    second = built.pipeline.run()

    assert second.exit_code == 0, second.log
    assert _env(second) == before
    assert "already, of the same content" in second.job_log("septum-pack-image")
    assert not (second.artifacts("septum-pack-image") / ".septum" / "septum-.image" / "context.tar").exists()
    assert site.writes == writes


def test_a_tag_keeps_its_meaning(site: Site) -> None:
    """Another Containerfile under the same tag is refused before anything is built, and the image stays."""
    tagged = {"image": "$CI_REGISTRY_IMAGE/kept", "tag": "1.0"}
    first = site.run("kept", tagged)
    assert first.exit_code == 0, first.log
    digest, writes = site.tagged("demo/analysis/kept", "1.0"), site.writes

    # Another commit with the same files is no other image.
    same = site.run("kept-same", tagged)
    changed = site.run("kept-changed", tagged, containerfile=CONTAINERFILE + "ENV MORE=1\n")

    assert same.exit_code == 0, same.log
    assert _env(same) == _env(first)
    assert changed.exit_code != 0
    assert "another image under" in changed.log
    assert "[E012]" in changed.log
    assert changed.job_log("septum-build-image") == ""
    assert (site.tagged("demo/analysis/kept", "1.0"), site.writes) == (digest, writes)


def test_a_registry_that_refuses_is_named_before_anything_is_built(site: Site) -> None:
    """Another project's place, a token that has ended."""
    elsewhere = site.run("elsewhere", {"image": f"{site.registry.host}/others/image"})
    expired = site.run("expired", {}, password="no longer")

    for result in (elsewhere, expired):
        assert result.exit_code != 0
        assert "does not let this CI job push" in result.log
        assert "[E115]" in result.log
        assert "STEP" not in result.log
    assert "does not allow to push others/image" in elsewhere.log
    assert "HTTP 401" in expired.log


def test_a_step_that_fails_ends_the_ci_job(site: Site) -> None:
    """With the step on the screen, and nothing pushed."""
    result = site.run(
        "broken", {"image": "$CI_REGISTRY_IMAGE/broken"}, containerfile=CONTAINERFILE + "COPY missing.txt /\n"
    )

    assert result.exit_code != 0
    assert "missing.txt" in result.log
    assert "[E011]" in result.log
    assert not any("/broken/" in line and not line.startswith(("GET", "HEAD")) for line in site.registry.requests)


def test_no_password_in_logs_or_artifacts(site: Site, built: PipelineResult) -> None:
    """Nor anything that was made of it."""
    files = [path for path in (built.pipeline.checkout / ".gitlab-ci-local" / "artifacts").rglob("*") if path.is_file()]

    assert len(files) > 5
    assert PASSWORD not in built.log
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes() or path.name == "auth.json"]
