"""The threat model keeps its promises: each threat has a line, each line a test, and each test exists."""

from __future__ import annotations

import ast
import functools
import os
import re
import secrets
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

import septum
from septum.capture.lay import lay
from septum.credentials.held import Auth, Credentials, Held
from septum.credentials.lint import lint_description
from septum.credentials.provider import Kind
from septum.environment import for_supervised
from septum.errors import CredentialExposedError
from septum.preview.situation import Situation
from septum.preview.source import Variable
from tests import previewing

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
NUMBERS = range(1, 39)
_ROW = re.compile(r"^\| (?P<number>\d+) \|(?P<threat>[^|]+)\|(?P<answer>[^|]+)\|(?P<tests>[^|]+)\|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")


def _rows() -> dict[int, re.Match[str]]:
    found = list(_ROW.finditer(PAGE.read_text(encoding="utf-8")))
    rows = {int(row["number"]): row for row in found}
    assert len(found) == len(rows), "a number stands there twice"
    return rows


@functools.cache
def _functions(file: str) -> frozenset[str]:
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_threat_has_one_line() -> None:
    """No number is missing, and the lines are in order."""
    assert list(_rows()) == list(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_line_names_tests_that_exist(number: int) -> None:
    """And says in words what the threat is, and what is done."""
    row = _rows()[number]
    named = _TEST.findall(row["tests"])

    assert len(row["threat"].split()) > 2
    assert len(row["answer"].split()) > 2
    assert named
    # Nothing else stands in that column: a name with a mistake in it is no test.
    assert _TEST.sub("", row["tests"]).strip(" ,") == ""
    assert [f"{file}::{name}" for file, name in named if name not in _functions(file)] == []


# ── threats that the environment of a command answers ───────────────────────────────────────────────────────────


def _environment(folder: Path, auth: Auth, environ: dict[str, str]) -> dict[str, str]:
    credentials = Credentials(folder)
    credentials.token_is_for_storage = True
    for kind in (Kind.TOKEN, Kind.PROXY):
        credentials.held[kind] = Held(
            kind=kind, path=folder / kind.value, source="a test", identity="", expires_at=0, renewable=True
        )
    given = credentials.environment(auth)
    return for_supervised(environ, secrets=[], given=given, is_secret=lambda _: False)


@pytest.mark.parametrize("auth", ["token", "proxy", "both"])
def test_no_value_stands_before_the_file_of_a_token(tmp_path: Path, auth: Auth) -> None:
    """In WLCG's order a value comes first, and nobody can renew it; not even `--keep` leaves it."""
    environ = {"BEARER_TOKEN": "old", "BEARER_TOKEN_FILE": "/of/the/user", "HARMLESS": "1"}
    given = for_supervised(environ, secrets=[], given={}, is_secret=lambda _: False, keep=["BEARER_TOKEN", "HARMLESS"])

    assert "BEARER_TOKEN" not in given
    assert given["HARMLESS"] == "1"
    assert "/of/the/user" not in _environment(tmp_path, auth, environ).values()


@pytest.mark.parametrize(
    ("auth", "files", "protocol"),
    [
        ("token", {"BEARER_TOKEN_FILE": "token"}, "ztn"),
        ("proxy", {"X509_USER_PROXY": "proxy"}, "gsi"),
        ("both", {"BEARER_TOKEN_FILE": "token", "X509_USER_PROXY": "proxy"}, None),
    ],
)
def test_storage_is_entered_with_what_was_asked_for(
    tmp_path: Path, auth: Auth, files: dict[str, str], protocol: str | None
) -> None:
    """Nothing of the user's own stands beside it: XRootD's client tries all, and tells of the last failure only."""
    names = ["BEARER_TOKEN", "BEARER_TOKEN_FILE", "X509_USER_PROXY", "XrdSecPROTOCOL"]
    if auth == "token":
        names += ["X509_USER_CERT", "X509_USER_KEY"]
    seen = _environment(tmp_path, auth, dict.fromkeys(names, "of-the-user"))

    assert {name: seen[name] for name in names if name in seen and name != "XrdSecPROTOCOL"} == {
        name: str(tmp_path / file) for name, file in files.items()
    }
    assert seen.get("XrdSecPROTOCOL") == protocol


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("getenv", "true"),
        ("GetEnv", "IAM_CLIENT_SECRET"),
        ("transfer_input_files", "values.txt, FOLDER/token"),
        ("environment", '"X=FOLDER/proxy"'),
        ("MY.Note", '"TOKEN"'),
        ("arguments", "--url https://example.org/?authz=TOKEN"),
    ],
)
def test_no_description_hands_on_a_credential(tmp_path: Path, name: str, value: str) -> None:
    """Ads are public, and files of the sandbox are the worker's; a proxy may be named for delegation alone."""
    token = jwt.encode({"iss": "https://iam.example.org/", "exp": 1}, secrets.token_hex(32), algorithm="HS256")
    good = {"executable": "run.sh", "getenv": "false", "x509userproxy": str(tmp_path / "proxy")}
    lint_description(good, tmp_path)

    with pytest.raises(CredentialExposedError) as caught:
        lint_description({**good, name: value.replace("FOLDER", str(tmp_path)).replace("TOKEN", token)}, tmp_path)
    assert name in caught.value.evidence
    assert token not in str(caught.value)


# ── threats that the component's text answers ───────────────────────────────────────────────────────────────────


@functools.cache
def _ci_jobs() -> list[Any]:
    """Those of all components, with what hidden ones give them."""
    after = {"submit": ("prepare",), "collect": ("prepare", "submit")}
    found = []
    for name in previewing.NAMES:
        made = previewing.body(*(previewing.include(each) for each in (*after.get(name, ()), name)))
        found += [job for key, job in made.items() if key[0] != "." and isinstance(job, dict) and "script" in job]
    assert len(found) >= len(previewing.NAMES)
    return found


def test_no_artifact_can_hold_a_credential() -> None:
    """Paths within the checkout, which credentials are kept out of; without patterns, and nothing that is untracked."""
    folders = ("result/", ".septum/septum-/", ".septum/septum-.image/", ".septum-reports/septum-/comparison.json")
    for job in _ci_jobs():
        artifacts = job["artifacts"]

        assert artifacts.keys() <= {"name", "paths", "when", "access", "expire_in", "expose_as", "reports"}
        # What GitLab reads as reports are copies of what lies in the result folder, and made of the manifest.
        reports = artifacts.get("reports", {}).values()
        # The names of an image and of its digest, in the folder of the build.
        own = (".septum-reports/septum-/", ".septum/septum-.image/image.env")
        assert all(path.startswith(own) for path in reports)
        assert [path for path in artifacts.get("paths", []) if not path.startswith(folders)] == []
        assert not re.search(r"[*?]|\.\.", "".join(artifacts.get("paths", [])))
        assert job["cache"] == []


def test_no_runner_is_asked_to_mask_anything() -> None:
    """GitLab Runner prints the command together with the secret, unless it is set up for an experiment."""
    word = "::add-" + "mask::"
    texts = {
        path: path.read_text(encoding="utf-8")
        for top in ("src", "templates", "components", "examples", "starter", ".ci", ".gitlab-ci.yml")
        for path in [ROOT / top, *(ROOT / top).rglob("*")]
        if path.suffix in {".py", ".mjs", ".sh", ".yml", ".yaml", ".j2", ".md", ""} and path.is_file()
    }

    assert len(texts) > 50
    assert [path for path, text in texts.items() if word in text] == []


def test_a_traced_shell_shows_no_secret(tmp_path: Path) -> None:
    """What a CI job of the component runs in its shell holds no secret, nor a variable that does."""
    fake = tmp_path / "bin" / "septum"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\n[ "$1" != --version ] || echo septum 0\n')
    fake.chmod(0o755)
    names = ("IAM_CLIENT_SECRET", "X509_PROXY", "KRB5_KEYTAB", "KRB5_PASSWORD", "SEPTUM_ID_TOKEN", "CI_JOB_TOKEN")
    hidden = {name: f"not-to-be-seen-{name}" for name in names}
    state = tmp_path / "state"
    lay(state / "recorder")
    (state / "recorder" / "script.sh").write_text("echo 'executable = /bin/true\nqueue' | condor_submit\n")
    (state / "merge").mkdir()
    for script in ("build.sh", "merge/run.sh"):
        (state / script).write_text("echo septum >&2\n")
    folders = {"SEPTUM_STATE": "state", "SEPTUM_BUILD_FOLDER": "state"}
    for job in _ci_jobs():
        lines = [*job["before_script"], *job["script"], *job["after_script"]]
        done = subprocess.run(
            ["bash", "-x"],
            input="\n".join(lines),
            env={"PATH": f"{fake.parent}:{os.defpath}", "SEPTUM_VERSION": "0", **folders, **hidden},
            cwd=tmp_path,
            text=True,
            capture_output=True,
            check=True,
        )

        assert "septum" in done.stderr
        assert "not-to-be-seen" not in done.stdout + done.stderr


_MERGE_REQUEST = Situation(source="merge_request_event", ref="feature", protected=False)
SOURCES: dict[str, Situation] = {
    "branch": Situation(),
    "tag": Situation(ref="1.0", tag=True),
    "merge request": _MERGE_REQUEST,
    "merge request of a fork": replace(
        _MERGE_REQUEST, variables={"CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": Variable(value="somebody/project")}
    ),
    "merge train": replace(_MERGE_REQUEST, variables={"CI_MERGE_REQUEST_EVENT_TYPE": Variable(value="merge_train")}),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("image", ["", "an/image:1"])
@pytest.mark.parametrize("wait", ["hold", "hops"])
def test_no_ci_job_runs_for_a_merge_request_unasked(source: str, image: str, wait: str) -> None:
    """A fork's own `.gitlab-ci.yml` would run there with the variables of this project."""
    given = {"wait": wait, "hops": 8, "image": image, "cluster": "infn-af"}

    ran = previewing.of("analysis", given, situation=SOURCES[source])
    assert len(ran) == ((3 + 7 * (wait == "hops")) if source in {"branch", "tag"} else 0)


@pytest.mark.parametrize("image", ["", "an/image:1"])
@pytest.mark.parametrize("wait", ["hold", "hops"])
def test_no_ci_job_runs_for_a_fork_even_if_merge_requests_are_asked_for(image: str, wait: str) -> None:
    """Whatever else is set."""
    given = {"wait": wait, "image": image, "cluster": "infn-af", "pipelines": "merge-requests"}
    fork = SOURCES["merge request of a fork"]

    assert previewing.of("analysis", {**given, "credentials": "everywhere"}, situation=fork) == {}
    del given["wait"]
    assert previewing.of("run", {**given, "without-credentials": "local"}, situation=fork) == {}


def test_nothing_that_moves_is_recommended() -> None:
    """Whoever copies from a page, or includes the component, gets a version; what it is tomorrow, it was today."""
    pages = [ROOT / "README.md", *(ROOT / "templates").glob("*.yml")]
    for top in ("docs", "components", "examples", "starter"):
        pages += [path for path in (ROOT / top).rglob("*") if path.suffix in {".md", ".yml", ".yaml"}]
    # The last one is an address of a repository for pip, without a tag.
    moving = re.compile(r"@(?:main|master|HEAD|~latest)\b|:latest\b|\bgit\+https:[^\s'@]+(?=['\s])")
    # What `septum doctor` prints when it complains of such a tag.
    complaints = re.compile(r"^ *(?:warn|skip) .*$", re.MULTILINE)
    texts = {path: complaints.sub("", path.read_text(encoding="utf-8")) for path in pages}

    assert [(path.name, found) for path, text in texts.items() for found in moving.findall(text)] == []
    assert set(re.findall(r"septum\.git@([^\s']+)", "".join(texts.values()))) == {septum.__version__}
