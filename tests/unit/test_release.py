"""A release is what its components pin: the pins, the steps that write and judge them, and the scripts around."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import septum
from septum import cli, install
from septum.components import pins
from septum.errors import (
    DamagedPackageError,
    DiskFullError,
    ImageUnfitError,
    SeptumError,
    StateError,
    TryAgainError,
)
from tools import release

ROOT = Path(__file__).parents[2]
WHEEL = "0123456789abcdef" * 4
IMAGE = "sha256:" + "fedcba9876543210" * 4
VERSION = septum.__version__
PINNED = pins.Pins(version=VERSION, wheel=WHEEL, image=IMAGE)


def _json(**values: object) -> str:
    return json.dumps({"version": VERSION, "wheel": WHEEL, "image": IMAGE, **values})


# ── the pins ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pins_are_read_as_they_are_written() -> None:
    """And the text is the same for the same pins, one key a line, so that a commit shows what changed."""
    again = pins.parse(PINNED.as_json(), "release.json")

    assert again == PINNED
    assert PINNED.as_json().count("\n") == 5


def test_what_a_release_names_cannot_change() -> None:
    """The wheel goes to pip with its hash, the image to GitLab with tag and digest."""
    assert PINNED.requirement == f"septum=={VERSION} --hash=sha256:{WHEEL}"
    assert PINNED.with_digest("registry.example.org/septum:1") == f"registry.example.org/septum:1@{IMAGE}"


def test_before_a_release_the_version_is_named_and_nothing_invented() -> None:
    """No hash and no digest stand for something that was not built."""
    unpinned = pins.Pins(version=VERSION)

    assert not unpinned.complete
    assert unpinned.requirement == f"septum=={VERSION}"
    assert unpinned.with_digest("registry.example.org/septum:1") == "registry.example.org/septum:1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
        ('"text"', "not an object"),
        ("{}", "not an object"),
        (_json(more=1), "not an object"),
        (_json(version=1), "no version"),
        (_json(version="1.0"), "no version"),
        (_json(version="0.1.0\n- run: this"), "no version"),
        (_json(wheel=WHEEL[:-1]), "wheel is no SHA-256"),
        (_json(wheel=WHEEL.upper()), "wheel is no SHA-256"),
        (_json(wheel=WHEEL + "\n"), "wheel is no SHA-256"),
        (_json(wheel=7), "wheel is no SHA-256"),
        (_json(image=WHEEL), "image is no SHA-256"),
        (_json(image=IMAGE + "'; echo"), "image is no SHA-256"),
        (_json(image="sha512:" + WHEEL), "image is no SHA-256"),
        (_json(image=None), "only wheel is pinned"),
        (_json(wheel=None), "only image is pinned"),
    ],
)
def test_damaged_pins_are_one_clear_error(text: str, said: str) -> None:
    """Whatever is in the file: no traceback, and nothing of it reaches a component."""
    with pytest.raises(StateError, match=said) as caught:
        pins.parse(text, "release.json")

    assert len(str(caught.value)) < 600


def test_pins_of_another_version_are_refused(tmp_path: Path) -> None:
    """A version that was begun without its pins would install the one before."""
    (tmp_path / "components").mkdir()
    (tmp_path / pins.RELEASE).write_text(pins.Pins(version="9.9.9").as_json(), encoding="utf-8")

    with pytest.raises(StateError, match=r"those of version 9\.9\.9"):
        pins.read(tmp_path)


def test_missing_pins_are_an_error(tmp_path: Path) -> None:
    """Not the same as none."""
    with pytest.raises(StateError, match="cannot be read"):
        pins.read(tmp_path)


def test_the_pins_of_this_checkout_are_honest() -> None:
    """There are none before the changelog has the date of the release, and there are some after it."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = re.search(rf"^## \[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)

    here = pins.read(ROOT)

    assert here.complete == bool(dated)


def test_the_pins_are_not_in_what_they_pin() -> None:
    """A wheel that held its own hash could not be built."""
    (packages,) = re.findall(
        r"^\[tool\.hatch\.build\.targets\.wheel\]\npackages = (.+)$",
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    here = pins.read(ROOT)

    assert json.loads(packages) == ["src/septum"]
    assert pins.RELEASE.parts[0] != "src"
    # The README is the description in the wheel's metadata.
    assert "sha256:" not in readme
    assert "generated:inputs" not in readme
    for path in (ROOT / "src" / "septum").rglob("*.py"):
        assert not here.complete or str(here.wheel) not in path.read_text(encoding="utf-8")


# ── the steps of a release ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the steps read and write."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("components", "templates"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, root / name)
    release.open_version(root, VERSION)
    changelog = root / "CHANGELOG.md"
    changelog.write_text(
        re.sub(rf"(?m)^## \[{re.escape(VERSION)}\] - .+$", f"## [{VERSION}] - 2030-01-31", changelog.read_text())
    )
    return root


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder with a wheel."""
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / f"septum-{VERSION}-py3-none-any.whl").write_bytes(b"a wheel")
    return folder


def _candidate(dist: Path, digest: str = IMAGE) -> Path:
    output = dist.parent / "release.json"
    release.candidate(dist, digest, output)
    return output


def test_from_candidate_to_tag(checkout: Path, dist: Path) -> None:
    """What one pipeline built is pinned, rendered, and accepted by the pipeline of the tag."""
    changed = release.pin(checkout, _candidate(dist))
    rendered = (checkout / "templates" / "analysis.yml").read_text(encoding="utf-8")
    accepted = release.check(checkout, dist, VERSION)

    assert accepted == pins.Pins(version=VERSION, wheel=hashlib.sha256(b"a wheel").hexdigest(), image=IMAGE)
    assert pins.RELEASE in changed
    assert Path("templates/analysis.yml") in changed
    assert f"septum=={VERSION} --hash=sha256:{accepted.wheel}" in rendered
    assert f":{VERSION}@{IMAGE}" in rendered


def test_every_component_has_the_pins(checkout: Path, dist: Path) -> None:
    """Not only the first: each CI job that installs does so by hash, each that runs in septum's image by digest."""
    release.pin(checkout, _candidate(dist))
    texts = [path.read_text(encoding="utf-8") for path in (checkout / "templates").glob("*.yml")]

    assert texts
    for text in texts:
        assert text.count("SEPTUM_WHEEL: ") == text.count(" --hash=sha256:")
        assert re.findall(rf"/septum:{re.escape(VERSION)}(?!@sha256:)", text) == []


def test_a_tag_without_pins_is_refused(checkout: Path, dist: Path) -> None:
    """Its components would name what can change."""
    with pytest.raises(StateError, match="has no pins"):
        release.check(checkout, dist, VERSION)


def test_a_branch_without_pins_is_fine(checkout: Path, dist: Path) -> None:
    """That is the state between two releases."""
    from septum.components.render import drift, render_all

    files = render_all(checkout)
    for path in drift(files, checkout):
        (checkout / path).write_text(files[path], encoding="utf-8")

    assert not release.check(checkout, dist, "").complete


def test_another_wheel_than_the_pinned_one_is_refused(checkout: Path, dist: Path) -> None:
    """One byte that changed since the candidate, and nothing is released; on a branch it is said as well."""
    release.pin(checkout, _candidate(dist))
    next(dist.iterdir()).write_bytes(b"A wheel")

    for tag in (VERSION, ""):
        with pytest.raises(StateError, match="not the one that") as caught:
            release.check(checkout, dist, tag)
        assert hashlib.sha256(b"A wheel").hexdigest() in caught.value.evidence


def test_a_component_that_was_edited_is_refused(checkout: Path, dist: Path) -> None:
    """Pins in the file and others in the components are no release."""
    release.pin(checkout, _candidate(dist))
    path = checkout / "templates" / "analysis.yml"
    path.write_text(path.read_text().replace(IMAGE, "sha256:" + WHEEL))

    with pytest.raises(StateError, match="do not have these pins"):
        release.check(checkout, dist, VERSION)


def test_another_tag_and_an_undated_changelog_are_refused(checkout: Path, dist: Path) -> None:
    """One version for tag, package, components and changelog."""
    release.pin(checkout, _candidate(dist))
    with pytest.raises(StateError, match=r"the tag is '9\.9\.9'"):
        release.check(checkout, dist, "9.9.9")
    changelog = checkout / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("2030-01-31", "unreleased"))
    with pytest.raises(StateError, match="no section with a date"):
        release.check(checkout, dist, VERSION)


@pytest.mark.parametrize("digest", ["", "latest", WHEEL, IMAGE + "\n", "sha256:abc"])
def test_a_candidate_needs_a_digest(dist: Path, digest: str) -> None:
    """A push that gave none must not look like a release."""
    with pytest.raises(StateError, match="is no digest"):
        _candidate(dist, digest)

    assert not (dist.parent / "release.json").exists()


def test_one_wheel_is_needed(dist: Path) -> None:
    """Of this version, and one only: which of two was tested?"""
    other = dist / "septum-9.9.9-py3-none-any.whl"
    other.write_bytes(b"another")
    with pytest.raises(StateError, match="2 wheels"):
        _candidate(dist)
    (dist / f"septum-{VERSION}-py3-none-any.whl").unlink()
    with pytest.raises(StateError, match="not the wheel of septum"):
        _candidate(dist)
    other.unlink()
    with pytest.raises(StateError, match="0 wheels"):
        _candidate(dist)


@pytest.mark.parametrize(
    "text", [pins.Pins(version=VERSION).as_json(), PINNED.as_json().replace(VERSION, "9.9.9"), "<html>", "{"]
)
def test_what_is_no_candidate_changes_nothing(checkout: Path, tmp_path: Path, text: str) -> None:
    """A page of an expired artifact, another version, no pins."""
    source = tmp_path / "release.json"
    source.write_text(text)
    before = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()}

    with pytest.raises(StateError):
        release.pin(checkout, source)

    assert {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()} == before


def test_the_command_line_of_the_steps(
    checkout: Path, dist: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What CI calls: the pins that were compared, and exit code 2 for a refusal."""
    monkeypatch.chdir(checkout)
    output = str(dist.parent / "release.json")
    assert release.main(["check", str(dist), "--tag", VERSION]) == 2
    assert release.main(["candidate", str(dist), IMAGE, output]) == 0
    assert release.main(["pin", output]) == 0
    assert release.main(["pin", "nowhere.json"]) == 2
    capsys.readouterr()

    assert release.main(["check", str(dist), "--tag", VERSION]) == 0
    assert json.loads(capsys.readouterr().out)["image"] == IMAGE


# ── the pipeline and its scripts ────────────────────────────────────────────────────────────────────────────────


def _pipeline() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))
    return found


A_RELEASE = (
    r"$CI_COMMIT_TAG =~ /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/"
    ' && $CI_COMMIT_REF_PROTECTED == "true" && $CI_PIPELINE_SOURCE == "push"'
)


def _on_tag(job: dict[str, Any]) -> bool:
    rules = job.get("rules", [])
    return job.get("extends") == ".on-release" or (len(rules) == 1 and rules[0]["if"].endswith(f" && {A_RELEASE}"))


def test_nothing_is_published_before_it_is_signed_and_compared() -> None:
    """The release comes last; what leaves this project does so on tags only, after `sign`, which comes after checks."""
    pipeline = _pipeline()
    stages = pipeline["stages"]
    publishing = {name: job for name, job in pipeline.items() if name.startswith("publish")}

    assert publishing.keys() == {"publish", "publish-files", "publish-container"}
    assert all(_on_tag(job) and "sign" in job["needs"] for job in publishing.values())
    assert pipeline[".on-release"]["rules"] == [{"if": A_RELEASE}]
    assert _on_tag(pipeline["sign"])
    assert "compare-image" in pipeline["container-of-release"]["needs"]
    assert "needs" not in pipeline["release"]
    assert stages[-1] == pipeline["release"]["stage"]
    assert any("tools.release check" in line and "--tag" in line for line in pipeline["wheel-again"]["script"])


def test_what_is_signed_was_judged_by_all() -> None:
    """Each by its name, so that GitLab refuses a pipeline without it; files come from the build alone."""
    pipeline = _pipeline()
    needs = {need["job"]: need.get("artifacts", True) for need in pipeline["sign"]["needs"]}
    before = {name for name, job in pipeline.items() if isinstance(job, dict) and job.get("stage") in ("test", "build")}

    assert needs.keys() == {*before, "compare-image", "container-of-release", "rehearse-collect"} - {"base"}
    assert [name for name, artifacts in needs.items() if artifacts] == ["wheel"]
    assert not any("optional" in need for need in pipeline["sign"]["needs"])


def test_without_a_rehearsal_gitlab_refuses_the_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rehearsal that was renamed or switched off is not one that succeeded."""
    text = (ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8")
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    (tmp_path / ".gitlab-ci.yml").write_text(text.replace("job-prefix: rehearse-", "job-prefix: other-"))

    assert cli.main(["component", "preview", str(tmp_path), "--library", str(ROOT), *HOME, *TAG]) != 0
    assert "rehearse-collect" in capsys.readouterr().err


def test_no_variable_decides_what_is_released() -> None:
    """Those of a pipeline or project win over what an earlier CI job reports; a file of the commit stays."""
    pipeline = _pipeline()
    uses = {name: str(job["script"]) for name, job in pipeline.items() if "_IMAGE@$digest" in str(job)}

    assert "dotenv" not in str(pipeline)
    assert uses.keys() == {"compare-image", "container-of-release", "sign", "publish-container"}
    assert all("digest=$(tools/pinned < components/release.json)" in script for script in uses.values())
    assert all("GIT_STRATEGY" not in str(pipeline[name]) for name in uses)


def test_a_tag_builds_no_image() -> None:
    """The one that was rehearsed is released: copied by its digest, which is compared afterwards."""
    pipeline = _pipeline()
    builds = [name for name, job in pipeline.items() if "buildah build" in str(job)]

    assert builds == ["container"]
    assert pipeline["container"]["extends"] == ".before-release"
    assert pipeline[".before-release"]["rules"][0] == {"if": "$CI_COMMIT_TAG", "when": "never"}
    for name in ("container-of-release", "publish-container"):
        script = pipeline[name]["script"]
        assert _on_tag(pipeline[name])
        assert "--preserve-digests" in script[-2]
        assert script[-1].endswith('= "$digest"')


def _runs(capsys: pytest.CaptureFixture[str], *situation: str) -> list[str]:
    """The CI jobs that GitLab would run, those of the rehearsal as one."""
    command = ["component", "preview", str(ROOT), "--library", str(ROOT), "--json", *situation]
    assert cli.main(command) == 0
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    return list(dict.fromkeys(re.sub(r"^rehearse-.*", "rehearsal", job["name"]).partition(":")[0] for job in jobs))


CHECKS = ["test", "lock", "wheel", "wheel-again", "docs", "wheel-test"]
CONTAINER = ["compare-image", "container-of-release"]
PUBLISHING = ["publish-files", "publish", "publish-container"]
HOME = ("--project", "cms-analysis/general/septum")
TAG = ("--tag", VERSION, "--protected")


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param((*HOME, "--branch", "feature"), [*CHECKS, "base", "container", "rehearsal"], id="branch"),
        pytest.param(
            (*HOME, "--branch", "feature", "--merge-request"),
            [*CHECKS, "base", "container", "rehearsal"],
            id="merge request",
        ),
        pytest.param(
            (*HOME, "--branch", "main"),
            [*CHECKS, "base", "container", "rehearsal", "candidate", "site"],
            id="default branch",
        ),
        pytest.param(
            (*HOME, *TAG),
            [*CHECKS, *CONTAINER, "rehearsal", "sign", *PUBLISHING, "release", "site"],
            id="tag",
        ),
        pytest.param((*HOME, "--tag", VERSION), [*CHECKS, "rehearsal"], id="tag that anybody may push"),
        pytest.param((*HOME, *TAG, "--source", "web"), [*CHECKS, "rehearsal"], id="tag, by form"),
        pytest.param((*HOME, *TAG, "--source", "api"), [*CHECKS, "rehearsal"], id="tag, by API"),
        pytest.param(
            (*HOME, "--branch", "main", "--variable", "CI_OPEN_MERGE_REQUESTS=cms-analysis/general/septum!1"),
            [*CHECKS, "base", "container", "rehearsal", "candidate", "site"],
            id="default branch with a merge request from it",
        ),
        pytest.param(
            (*HOME, "--branch", "feature", "--variable", "CI_OPEN_MERGE_REQUESTS=cms-analysis/general/septum!1"),
            [],
            id="branch with a merge request, which has its own pipeline",
        ),
        pytest.param(
            ("--server", "gitlab.example.org", "--project", "tools/septum", *TAG),
            [*CHECKS, *CONTAINER, "rehearsal", "sign", "publish-files", "publish-container", "release", "site"],
            id="tag on a mirror",
        ),
        pytest.param((*HOME, "--tag", "nightly"), [], id="another tag"),
    ],
)
def test_what_gitlab_runs_of_it(
    situation: tuple[str, ...], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A branch builds an image, the default one leaves a candidate, a pushed protected tag releases it."""
    assert _runs(capsys, *situation) == expected


SCRIPTS = ["wheel", "sign", "upload", "mirror", "pinned"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_what_every_shell_accepts(name: str) -> None:
    """POSIX, executable, and nothing that shellcheck knows better."""
    path = ROOT / "tools" / name

    assert os.access(path, os.X_OK)
    assert path.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", path], check=True)
    shellcheck = shutil.which("shellcheck")
    if shellcheck:
        subprocess.run([shellcheck, "--shell=sh", path], check=True)


def _run(script: str, *arguments: str, tools: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(ROOT / "tools" / script), *arguments],
        env={"PATH": f"{tools}:{os.defpath}", "LOG": str(tools / "log"), **environ},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH whose programs write down how they were called."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("cosign", "curl"):
        path = folder / name
        path.write_text(
            '#!/bin/sh\nprintf "%s\\n" "${0##*/} $*" >> "$LOG"\n[ "$1" != --config ] || cat > "$LOG.stdin"\n'
        )
        path.chmod(0o755)
    return folder


SUBJECT = (f"registry.example.org/septum@{IMAGE}", "dist/septum.whl", "dist/septum.cdx.json")


@pytest.mark.parametrize(
    ("environ", "how"),
    [
        ({"COSIGN_PRIVATE_KEY": "secret-key"}, "--key env://COSIGN_PRIVATE_KEY"),
        ({"SIGSTORE_ID_TOKEN": "secret-token", "CI_SERVER_HOST": "gitlab.com"}, "--yes"),
        (
            {"SIGSTORE_ID_TOKEN": "secret-token", "SIGSTORE_FULCIO_URL": "https://fulcio.example.org"},
            "--fulcio-url https://fulcio.example.org",
        ),
    ],
)
def test_image_list_and_wheel_are_signed(tools: Path, environ: dict[str, str], how: str) -> None:
    """By a key, or by the identity of the CI job where a service knows this GitLab; no secret is an argument."""
    done = _run("sign", *SUBJECT, tools=tools, **environ)
    calls = (tools / "log").read_text().splitlines()

    assert done.returncode == 0, done.stderr
    assert [call.split()[1] for call in calls] == ["sign", "attest", "sign-blob"]
    assert all(how in call for call in calls)
    assert SUBJECT[0] in calls[0]
    assert f"--predicate {SUBJECT[2]} {SUBJECT[0]}" in calls[1]
    assert f"--bundle dist/septum-wheel.sigstore.json {SUBJECT[1]}" in calls[2]
    assert "secret" not in "".join(calls) + done.stdout + done.stderr


@pytest.mark.parametrize(
    ("subject", "environ"),
    [
        (SUBJECT[0], {}),
        # GitLab gives a token, and the public service of Sigstore does not know who that is.
        (SUBJECT[0], {"SIGSTORE_ID_TOKEN": "x", "CI_SERVER_HOST": "gitlab.cern.ch"}),
        ("registry.example.org/septum:0.1.0", {"COSIGN_PRIVATE_KEY": "x"}),
        ("registry.example.org/septum@", {"COSIGN_PRIVATE_KEY": "x"}),
        ("registry.example.org/septum@sha256:abc", {"COSIGN_PRIVATE_KEY": "x"}),
    ],
)
def test_what_cannot_be_signed_ends_the_release(tools: Path, subject: str, environ: dict[str, str]) -> None:
    """No key, no service, no digest: one message, and cosign is not called."""
    done = _run("sign", subject, *SUBJECT[1:], tools=tools, **environ)

    assert done.returncode == 2
    assert "sign: " in done.stderr
    assert not (tools / "log").exists()


def test_the_job_token_is_no_argument(tools: Path) -> None:
    """Files go up one after the other; the token by standard input."""
    done = _run("upload", "https://example.org/a", "dist/a.whl", "b c.json", tools=tools, CI_JOB_TOKEN="secret-token")
    calls = (tools / "log").read_text()

    assert done.returncode == 0, done.stderr
    assert [line.rpartition(" https")[2] for line in calls.splitlines()] == [
        "://example.org/a/a.whl",
        "://example.org/a/b c.json",
    ]
    assert "secret-token" not in calls + done.stdout + done.stderr
    assert 'JOB-TOKEN: secret-token"' in (tools / "log.stdin").read_text()


@pytest.mark.parametrize("text", ["", "{}", pins.Pins(version=VERSION).as_json(), _json(), PINNED.as_json()[:-9]])
def test_no_digest_is_read_where_none_stands(text: str) -> None:
    """No pins, other JSON than the one that is written, half a file: exit code 2, and nothing printed."""
    command = [str(ROOT / "tools" / "pinned")]
    good = subprocess.run(command, input=PINNED.as_json(), text=True, capture_output=True, check=True, timeout=60)
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False, timeout=60)

    assert good.stdout == f"{IMAGE}\n"
    assert (done.returncode, done.stdout) == (2, "")
    assert "no digest" in done.stderr


# A registry in a file, one line an image: what `skopeo copy` brought, and what `skopeo inspect` finds. The real skopeo
# needs two registries; the script was tried with these by hand.
SKOPEO = """#!/bin/sh
case $1 in
  copy) [ ! -e "$LOG.broken" ] || exit 1
        from=${4#docker://}; echo "${5#docker://} ${from#*@}" >> "$LOG" ;;
  inspect) sed -n "s|^${4#docker://} ||p" "$LOG" | tail -n 1 ;;
esac
"""


@pytest.fixture
def mirrored(tools: Path, tmp_path: Path) -> Path:
    """A clone with two releases, 1.0.0 and 1.1.0, and a version without pins, 2.0.0; beside it an empty project."""
    (tools / "skopeo").write_text(SKOPEO)
    (tools / "skopeo").chmod(0o755)
    clone = tmp_path / "clone"
    (clone / "components").mkdir(parents=True)
    shutil.copytree(ROOT / "tools", clone / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    _git(clone, "init", "--quiet", "--initial-branch=main")
    for version, pinned in {"1.0.0": IMAGE, "1.1.0": IMAGE.replace("f", "0"), "2.0.0": None}.items():
        made = pins.Pins(version=version, wheel=WHEEL if pinned else None, image=pinned)
        (clone / pins.RELEASE).write_text(made.as_json())
        _git(clone, "add", ".")
        _git(clone, "commit", "--quiet", "--message", version)
        _git(clone, "tag", version)
    _git(clone, "init", "--quiet", "--bare", str(tmp_path / "project.git"))
    return clone


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    alone = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, env=alone, text=True, capture_output=True, check=True, timeout=60
    )
    return done.stdout


def _mirror(clone: Path, tools: Path, version: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(clone / "tools" / "mirror"), version, str(clone.parent / "project.git"), "r.example.org/septum"],
        env={"PATH": f"{tools}:{os.defpath}", "LOG": str(tools / "log"), "HOME": str(tools)},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


def _refs(clone: Path) -> dict[str, str]:
    lines = _git(clone.parent / "project.git", "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return dict(line.split() for line in lines)


def test_a_release_is_mirrored_with_its_image(mirrored: Path, tools: Path) -> None:
    """The image by the digest that the tag pins, whatever is checked out; then the tag. Twice is as good as once."""
    first = _mirror(mirrored, tools, "1.0.0")
    again = _mirror(mirrored, tools, "1.0.0")
    commit = _git(mirrored, "rev-parse", "1.0.0").strip()

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert (tools / "log").read_text().splitlines()[0] == f"r.example.org/septum:1.0.0 {IMAGE}"
    assert _refs(mirrored) == {"refs/tags/1.0.0": commit, "refs/heads/main": commit}


def test_an_older_release_comes_after_a_newer_one(mirrored: Path, tools: Path) -> None:
    """A fix of an old version: its tag arrives, and the branch is not moved back."""
    assert _mirror(mirrored, tools, "1.1.0").returncode == 0
    older = _mirror(mirrored, tools, "1.0.0")

    assert older.returncode == 0, older.stderr
    assert _refs(mirrored).keys() == {"refs/tags/1.0.0", "refs/tags/1.1.0", "refs/heads/main"}
    assert _refs(mirrored)["refs/heads/main"] == _git(mirrored, "rev-parse", "1.1.0").strip()


@pytest.mark.parametrize(("version", "said"), [("2.0.0", "pins no image"), ("3.0.0", "no tag"), ("main", "no tag")])
def test_what_is_no_release_is_not_mirrored(mirrored: Path, tools: Path, version: str, said: str) -> None:
    """A version without pins, a tag that is not here, a branch: nothing is copied or pushed."""
    done = _mirror(mirrored, tools, version)

    assert done.returncode == 2
    assert said in done.stderr
    assert _refs(mirrored) == {}
    assert not (tools / "log").exists()


def test_a_tag_is_pushed_only_after_its_image(mirrored: Path, tools: Path) -> None:
    """A registry that refuses, or has another image under that name afterwards, ends it before the tag."""
    (tools / "log.broken").touch()
    refused = _mirror(mirrored, tools, "1.0.0")
    (tools / "log.broken").unlink()
    (tools / "skopeo").write_text(SKOPEO.replace("${from#*@}", "sha256:another"))
    changed = _mirror(mirrored, tools, "1.0.0")

    assert refused.returncode == 1
    assert changed.returncode == 4
    assert "nothing was pushed" in changed.stderr
    assert _refs(mirrored) == {}


def test_a_tag_that_was_moved_is_refused(mirrored: Path, tools: Path) -> None:
    """What somebody includes by a version stays what it was."""
    assert _mirror(mirrored, tools, "1.0.0").returncode == 0
    before = _refs(mirrored)
    _git(mirrored, "tag", "--force", "1.0.0", "1.1.0")

    moved = _mirror(mirrored, tools, "1.0.0")

    assert moved.returncode == 1
    assert _refs(mirrored)["refs/tags/1.0.0"] == before["refs/tags/1.0.0"]


# ── what went wrong with an installation ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", DamagedPackageError),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", DiskFullError),
        ("ERROR: No matching distribution found for htcondor==25.14.1", ImageUnfitError),
        ("WARNING: Retrying after connection broken by 'X'\nERROR: No matching distribution found", TryAgainError),
        ("ERROR: HTTP error 503 while getting /packages/x.whl", TryAgainError),
        ("", TryAgainError),
    ],
)
def test_what_pip_says_decides_the_exit_code(said: str, kind: type[SeptumError]) -> None:
    """Only what may be different next time is tried again."""
    error = install.explain(said)

    assert type(error) is kind
    assert error.fix
    assert error.exit_code in ({75} if kind is TryAgainError else {2, 4, 49})


def test_an_index_that_does_not_answer_is_found_in_the_details() -> None:
    """With its retries turned off, pip says nothing but that there is no such version."""
    said = "ERROR: No matching distribution found for numpy==2.1"
    aloud = "Could not fetch URL http://127.0.0.1:9/simple/numpy/: connection error: refused - skipping\n" + said

    assert type(install.explain(said, aloud=said)) is ImageUnfitError
    # A second index that has never heard of numpy.
    absent = "Could not fetch URL https://example.org/simple/numpy/: 404 Client Error: Not Found - skipping\n" + said
    assert type(install.explain(said, aloud=absent)) is ImageUnfitError
    assert type(install.explain(said, aloud=aloud)) is TryAgainError


def test_the_address_of_an_index_is_shown_without_its_password() -> None:
    """PIP_INDEX_URL may hold one."""
    error = install.explain("ERROR: Could not fetch URL https://me:secret@example.org/simple/")

    assert "secret" not in str(error)
    assert "example.org" in str(error)


def test_the_command_is_alone_in_its_folder(tmp_path: Path) -> None:
    """The python3 of the image stays what the user's lines find; a folder with a blank and a quote is a folder."""
    folder = tmp_path / "it's here"

    install.write_command(folder)
    done = subprocess.run([folder / "septum", "--version"], text=True, capture_output=True, check=False)

    assert [path.name for path in folder.iterdir()] == ["septum"]
    assert done.stdout == f"septum {VERSION}\n", done.stderr


def test_the_python_of_an_image_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages go into an environment of its own, or not at all."""
    monkeypatch.setattr("sys.prefix", "/usr")
    monkeypatch.setattr("sys.base_prefix", "/usr")

    assert install.main([str(tmp_path / "bin")]) == 2
    assert not (tmp_path / "bin").exists()
