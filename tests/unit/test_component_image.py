"""The component image: what is packed, what is written on the image, when nothing is built, what the script does."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from septum.building.context import find_folder, look_through, pack, read_containerfile
from septum.building.recipe import CONTENT, Entry, Target, build_args, content_of, options, target_of
from septum.building.registry import Held, Login, ask, login_of
from septum.cli import main
from septum.credentials.secret import Secret
from septum.errors import (
    CredentialMissingError,
    ImageNameError,
    ImageTakenError,
    PlanError,
    RegistryRefusedError,
    RegistryUnavailableError,
    StateError,
    UsageError,
    every_error,
)
from septum.preview.situation import Situation
from septum.preview.source import Variable
from septum.stages import build as stage
from septum.stages.build import Asked, pack_image
from tests.previewing import of

if TYPE_CHECKING:
    from typing_extensions import Self

SHA = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "sha256:" + "0a" * 32
HOST = "registry.example.org"
CI = {
    "CI_COMMIT_SHA": SHA,
    "CI_COMMIT_TIMESTAMP": "2026-01-31T16:47:55+01:00",
    "CI_COMMIT_REF_NAME": "feature/x",
    "CI_COMMIT_REF_SLUG": "feature-x",
    "CI_COMMIT_BRANCH": "feature/x",
    "CI_DEFAULT_BRANCH": "main",
    "CI_PROJECT_URL": "https://gitlab.example.org/group/project",
    "CI_REGISTRY": HOST,
    "CI_REGISTRY_IMAGE": f"{HOST}/group/project",
    "CI_REGISTRY_USER": "gitlab-ci-token",
    "CI_REGISTRY_PASSWORD": "the-job-token",
    "CI_SERVER_HOST": "gitlab.example.org",
}
NAME = f"{HOST}/group/project/analysis"
TARGET = Target(name=NAME, tag=SHA, revision=SHA, created_s=1769874475, source=CI["CI_PROJECT_URL"])


# ── where it goes, and what stands on it ────────────────────────────────────────────────────────────────────────


def test_the_target_is_the_commit() -> None:
    """Its time is the same instant, however GitLab writes it."""
    assert target_of(NAME, SHA, CI) == TARGET
    assert target_of(NAME, SHA, {**CI, "CI_COMMIT_TIMESTAMP": "2026-01-31T15:47:55Z"}) == TARGET


@pytest.mark.parametrize(
    ("name", "environ", "error", "said"),
    [
        ("/analysis", {"CI_REGISTRY_IMAGE": ""}, UsageError, "no container registry"),
        ("$CI_REGISTRY_IMAGE/analysis", {"CI_REGISTRY_IMAGE": ""}, UsageError, "no container registry"),
        ("", {}, ImageNameError, "is empty|not the name"),
        ("analysis", {}, ImageNameError, "says no registry"),
        ("group/analysis", {}, ImageNameError, "says no registry"),
        (f"{HOST}/Group/analysis", {}, ImageNameError, "not the name"),
        (f"{HOST}/a b", {}, ImageNameError, "not the name"),
        (f"{HOST}/a\nb", {}, ImageNameError, "not the name"),
        (f"{HOST}/$NOBODY/analysis", {}, ImageNameError, "not the name"),
        (f"{HOST}/a:1", {}, UsageError, "a tag or a digest of its own"),
        (f"{HOST}/a@{DIGEST}", {}, UsageError, "a tag or a digest of its own"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, environ: dict[str, str], error: type[Exception], said: str) -> None:
    """With what is wrong with it, and before anything is asked."""
    with pytest.raises(error, match=said):
        target_of(name, SHA, {**CI, **environ})


@pytest.mark.parametrize(
    ("tag", "environ"),
    [
        ("latest", {}),
        ("main", {}),
        ("feature-x", {}),
        ("topic", {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "topic"}),
    ],
)
def test_a_tag_that_moves_is_refused(tag: str, environ: dict[str, str]) -> None:
    """The name of a branch, as it is or as GitLab shortens it, and what registries take for the newest."""
    with pytest.raises(UsageError, match="would mean another image after the next commit"):
        target_of(NAME, tag, {**CI, **environ})


def test_the_tag_of_a_release_is_no_branch() -> None:
    """Though GitLab calls it the ref of the pipeline."""
    environ = {**CI, "CI_COMMIT_TAG": "v1", "CI_COMMIT_REF_NAME": "v1", "CI_COMMIT_REF_SLUG": "v1"}
    del environ["CI_COMMIT_BRANCH"]

    assert target_of(NAME, "v1", environ).tag == "v1"


@pytest.mark.parametrize("tag", ["", "-a", ".a", "a b", "a/b", "$CI_COMMIT_TAG", "a" * 129, "é", "a\n"])
def test_a_tag_that_is_none_is_refused(tag: str) -> None:
    """As every registry would."""
    with pytest.raises(UsageError, match="is not a tag"):
        target_of(NAME, tag, CI)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CI_COMMIT_SHA", ""),
        ("CI_COMMIT_SHA", "main"),
        ("CI_COMMIT_TIMESTAMP", ""),
        ("CI_COMMIT_TIMESTAMP", "yesterday"),
        ("CI_COMMIT_TIMESTAMP", "9999-12-31T23:59:59-23:59"),
    ],
)
def test_outside_of_a_ci_job_there_is_no_commit(variable: str, value: str) -> None:
    """It is said, and not guessed."""
    with pytest.raises(UsageError, match="commit") as caught:
        target_of(NAME, SHA, {**CI, variable: value})

    assert variable in caught.value.evidence


def test_build_arguments_are_lines() -> None:
    """With blanks, quotes and equals signs in their values; empty lines are none."""
    assert build_args("") == ()
    assert build_args("\n A=1 \r\n\nB=x=y 'z' $(id)\nC=") == ("A=1", "B=x=y 'z' $(id)", "C=")


@pytest.mark.parametrize("line", ["A", "=1", "1A=1", "A-B=1", "--label=x", "A=\x1b[2J", "A=1\x00", "A=1\rB=2", "ä=1"])
def test_what_is_no_build_argument_is_refused_and_not_shown(line: str) -> None:
    """It could be a password that somebody pasted."""
    with pytest.raises(UsageError) as caught:
        build_args(f"X=1\n{line}")

    assert caught.value.what == "image: line 2 of 'build-args' is not NAME=value"
    assert caught.value.evidence == ""


def test_a_build_argument_named_twice_is_an_error() -> None:
    """Which of the two would count nobody can see."""
    with pytest.raises(UsageError, match="line 2 of 'build-args' names A again"):
        build_args("A=1\nA=2")


ENTRIES = [
    Entry(path="a", kind="file", content="1" * 64),
    Entry(path="b", kind="folder", content=""),
    Entry(path="l", kind="link", content="a"),
]


def test_the_content_is_all_that_the_image_is_built_of_and_nothing_else() -> None:
    """Each file with its mode, each link, the Containerfile, the arguments; not the order in which they were found."""
    one = content_of(ENTRIES, b"FROM a", ["A=1"])
    others = [
        content_of(ENTRIES[:-1], b"FROM a", ["A=1"]),
        content_of([*ENTRIES[:-1], replace(ENTRIES[-1], content="b")], b"FROM a", ["A=1"]),
        content_of([replace(ENTRIES[0], kind="program"), *ENTRIES[1:]], b"FROM a", ["A=1"]),
        content_of([replace(ENTRIES[0], path="c"), *ENTRIES[1:]], b"FROM a", ["A=1"]),
        content_of(ENTRIES, b"FROM a\n", ["A=1"]),
        content_of(ENTRIES, b"FROM a", ["A=2"]),
        content_of(ENTRIES, b"FROM a", []),
    ]

    assert len({one, *others}) == 1 + len(others)
    assert content_of(ENTRIES[::-1], b"FROM a", ["A=1"]) == one
    assert one == "sha256:" + one.removeprefix("sha256:").lower()


def test_the_options_say_what_the_image_is_a_line_each() -> None:
    """A variable that is not set gives no label, and one with a line break no second option."""
    words = options(TARGET, DIGEST, ["A=1"])

    assert "--timestamp=1769874475" in words
    assert words[-1] == "--build-arg=A=1"
    for kind in ("label", "annotation"):
        assert f"--{kind}=org.opencontainers.image.created=2026-01-31T15:47:55Z" in words
        assert f"--{kind}=org.opencontainers.image.revision={SHA}" in words
        assert f"--{kind}=org.opencontainers.image.version={SHA}" in words
        assert f"--{kind}=org.opencontainers.image.source={TARGET.source}" in words
        assert f"--{kind}={CONTENT}={DIGEST}" in words
    for source in ("", "https://x\n--privileged"):
        assert not [word for word in options(replace(TARGET, source=source), DIGEST, []) if "source" in word]


# ── the context ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with an image in it."""
    root = tmp_path / "repository"
    (root / "container" / "bin" / ".git").mkdir(parents=True)
    (root / "container" / "bin" / ".git" / "config").write_text("a path of this machine")
    (root / "container" / "bin" / "run").write_text("#!/bin/sh\n")
    (root / "container" / "bin" / "run").chmod(0o777)
    (root / "container" / "Containerfile").write_text("FROM scratch\nCOPY . /\n")
    (root / "container" / "empty").mkdir()
    (root / "container" / "link").symlink_to("bin//run")
    (root / ".septum" / "septum-.image").mkdir(parents=True)
    return root


def test_the_same_files_give_the_same_bytes(checkout: Path, tmp_path: Path) -> None:
    """Whatever their modes, their times and the order in which they were made."""
    again = tmp_path / "again"
    for name in ("link", "empty", "Containerfile", "bin"):
        source, target = checkout / "container" / name, again / name
        again.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target, follow_symlinks=False)
    (again / "Containerfile").chmod(0o600)
    os.utime(again / "bin" / "run", (1, 1))
    one, two = look_through(checkout / "container"), look_through(again)
    pack(checkout / "container", one, tmp_path / "one.tar", time_s=7)
    pack(again, two, tmp_path / "two.tar", time_s=7)

    assert one == two
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_the_archive_holds_the_files_and_nothing_of_the_checkout(checkout: Path, tmp_path: Path) -> None:
    """No `.git`, no state; modes as git has them, of root, links to the letter."""
    entries = look_through(checkout)
    pack(checkout, entries, tmp_path / "context.tar", time_s=7)
    with tarfile.open(tmp_path / "context.tar") as archive:
        found = {member.name: member for member in archive}

    assert sorted(found) == [
        "container",
        "container/Containerfile",
        "container/bin",
        "container/bin/run",
        "container/empty",
        "container/link",
    ]
    assert [found[f"container/{name}"].mode for name in ("Containerfile", "bin/run", "bin")] == [0o644, 0o755, 0o755]
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in found.values()} == {(0, 0, "", 7)}
    assert found["container/link"].linkname == "bin//run"


def test_a_file_that_changes_meanwhile_is_noticed(checkout: Path, tmp_path: Path) -> None:
    """What is packed is what was hashed."""
    entries = look_through(checkout)
    (checkout / "container" / "bin" / "run").write_text("#!/bin/false\n")

    with pytest.raises(PlanError, match="'container/bin/run' of the context cannot be packed") as caught:
        pack(checkout, entries, tmp_path / "context.tar", time_s=7)

    assert "changed" in caught.value.evidence


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("make", [_fifo, _socket])
def test_what_is_no_file_is_not_read(
    checkout: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe would hold the CI job for ever."""
    monkeypatch.chdir(checkout)
    make(Path("strange"))

    with pytest.raises(PlanError, match="'strange' of the context"):
        look_through(checkout)


def test_a_name_that_is_no_text_is_refused(checkout: Path) -> None:
    """Labels and archives are UTF-8."""
    with open(os.fsencode(checkout) + b"/\xff", "wb"):  # noqa: PTH123 - a name that is no text
        pass

    with pytest.raises(PlanError, match="of the context cannot be packed"):
        look_through(checkout)


@pytest.mark.parametrize("name", ["nothing", "container/Containerfile", "outside", "../elsewhere"])
def test_a_context_that_is_no_folder_of_the_repository_is_refused(checkout: Path, name: str) -> None:
    """Nor one that a link leads out to."""
    (checkout.parent / "elsewhere").mkdir()
    (checkout / "outside").symlink_to(checkout.parent / "elsewhere")

    with pytest.raises(PlanError, match="the context"):
        find_folder(checkout, name)


def test_a_missing_containerfile_names_those_that_are_there(checkout: Path) -> None:
    """The line to paste is in the message."""
    with pytest.raises(PlanError, match="there is no file 'Containerfile'") as caught:
        read_containerfile(checkout, "Containerfile")

    assert caught.value.fix == "containerfile: container/Containerfile"
    assert read_containerfile(checkout, "container/Containerfile").startswith(b"FROM")
    (checkout / "container" / "Containerfile").unlink()
    with pytest.raises(PlanError, match="there is no file"):
        read_containerfile(checkout, "Containerfile")


def test_a_containerfile_that_leads_out_is_refused(checkout: Path) -> None:
    """The artifact would show what it leads to."""
    (checkout / "Containerfile").symlink_to("/etc/passwd")

    with pytest.raises(PlanError, match="leads out of the repository"):
        read_containerfile(checkout, "Containerfile")


# ── the registry ────────────────────────────────────────────────────────────────────────────────────────────────


def _jwt(claims: object) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{middle}.c2ln"


def _access(*actions: str, name: str = "group/project/analysis") -> str:
    return _jwt({"access": [{"type": "repository", "name": name, "actions": actions}]})


class _Answer:
    def __init__(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.status_code, self._body = status, body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def iter_content(self, size: int) -> Iterator[bytes]:
        yield self._body


class _Session:
    """Answers in turn, and writes down what it was asked."""

    def __init__(self, *answers: _Answer | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, Mapping[str, str], Mapping[str, str] | None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def get(self, url: str, *, headers: Mapping[str, str], params: Mapping[str, str] | None, **options: Any) -> _Answer:
        assert options["allow_redirects"] is False
        assert all(options["timeout"])
        self.asked.append((url, headers, params))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


LOGIN = Login(
    variables="CI_REGISTRY",
    user="gitlab-ci-token",
    password=Secret("the-job-token"),
    trusted=frozenset({HOST, "gitlab.example.org"}),
)
REALM = 'Bearer realm="https://gitlab.example.org/jwt/auth",service="container_registry",error="invalid_token"'
ABSENT = _Answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')


@pytest.fixture
def converse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., _Session]:
    """Put answers into the place of a registry."""

    def answering(*answers: _Answer | Exception) -> _Session:
        session = _Session(*answers)
        monkeypatch.setattr("septum.compare.transfer.session", lambda ca_file: session)
        monkeypatch.setattr("septum.building.registry.time.sleep", lambda seconds: None)
        return session

    return answering


def test_an_image_that_is_not_there_is_asked_for_as_the_one_who_will_push(converse: Callable[..., _Session]) -> None:
    """With a token for pushing, which the password is shown to GitLab for, and to nobody else."""
    token = _access("pull", "push")
    session = converse(
        _Answer(401, WWW_Authenticate=REALM), _Answer(200, json.dumps({"token": token}).encode()), ABSENT
    )

    assert ask(TARGET.reference, LOGIN) is None
    (first, asked, then) = session.asked
    assert first[0] == then[0] == f"https://{HOST}/v2/group/project/analysis/manifests/{SHA}"
    assert "Authorization" not in first[1]
    assert asked[0] == "https://gitlab.example.org/jwt/auth"
    assert asked[2] == {"service": "container_registry", "scope": "repository:group/project/analysis:pull,push"}
    assert base64.b64decode(asked[1]["Authorization"].split()[1]) == b"gitlab-ci-token:the-job-token"
    assert then[1]["Authorization"] == f"Bearer {token}"


def test_an_image_that_is_there_tells_its_digest_and_what_it_was_built_of(converse: Callable[..., _Session]) -> None:
    """The digest is that of the bytes; an image of somebody else's has no content."""
    body = json.dumps({"annotations": {CONTENT: "sha256:1", "org.opencontainers.image.revision": SHA}}).encode()
    converse(_Answer(200, body))
    assert ask(TARGET.reference, LOGIN) == Held(
        digest="sha256:" + hashlib.sha256(body).hexdigest(), content="sha256:1", revision=SHA
    )

    for other in (b"{}", b"[]", b"", b'{"annotations": 1}', b"[" * 100_000):
        converse(_Answer(200, other))
        held = ask(TARGET.reference, LOGIN)
        assert held is not None
        assert held.content == ""


@pytest.mark.parametrize(
    "answers",
    [
        [_Answer(403)],
        [_Answer(401, WWW_Authenticate=REALM), _Answer(401)],
        [_Answer(401, WWW_Authenticate=REALM), _Answer(403)],
        [_Answer(401, WWW_Authenticate=REALM), _Answer(200, b"{}")],
        [_Answer(401, WWW_Authenticate=REALM), _Answer(200, b"<html>")],
        [_Answer(401, WWW_Authenticate=REALM), _Answer(200, json.dumps({"token": _access("pull")}).encode())],
        [_Answer(401, WWW_Authenticate=REALM), _Answer(200, json.dumps({"token": _jwt({"access": []})}).encode())],
        [_Answer(401, WWW_Authenticate=REALM), _Answer(200, json.dumps({"token": _access("push", name="b")}).encode())],
        [_Answer(401, WWW_Authenticate=REALM), _Answer(200, b'{"token": "opaque"}'), _Answer(401)],
        [_Answer(401, WWW_Authenticate=REALM.replace("https", "http"))],
        [_Answer(401, WWW_Authenticate=REALM.replace("gitlab.example", "thief.example"))],
        [_Answer(401, WWW_Authenticate="Negotiate")],
        [_Answer(401)],
        [_Answer(302)],
        [_Answer(400)],
        [requests.exceptions.SSLError("certificate verify failed")],
    ],
)
def test_a_registry_that_refuses_is_an_error_that_says_how(
    converse: Callable[..., _Session], answers: list[_Answer]
) -> None:
    """Also one that gives a token without the right to push, and one that wants the password sent elsewhere."""
    session = converse(*answers)

    with pytest.raises(RegistryRefusedError, match="does not let this CI job push group/project/analysis") as caught:
        ask(TARGET.reference, LOGIN)

    assert "the-job-token" not in str(caught.value)
    assert caught.value.evidence
    assert all(url.split("/")[2] in LOGIN.trusted for url, _, _ in session.asked)


@pytest.mark.parametrize(
    "answers",
    [
        [_Answer(500), _Answer(503), _Answer(429)],
        [requests.exceptions.ConnectTimeout()] * 3,
        [_Answer(401, WWW_Authenticate=REALM), *[_Answer(502)] * 3],
        [_Answer(200, b" " * (5 << 20))] * 3,
    ],
)
def test_a_registry_that_does_not_answer_is_worth_another_try(
    converse: Callable[..., _Session], answers: list[_Answer]
) -> None:
    """Exit code 75, by which GitLab starts the CI job again."""
    converse(*answers)

    with pytest.raises(RegistryUnavailableError) as caught:
        ask(TARGET.reference, LOGIN)

    assert caught.value.exit_code == 75


def test_one_failure_is_no_failure(converse: Callable[..., _Session]) -> None:
    """The second attempt counts."""
    converse(_Answer(502), ABSENT)

    assert ask(TARGET.reference, LOGIN) is None


def test_a_registry_with_passwords_of_its_own_is_asked_with_them(converse: Callable[..., _Session]) -> None:
    """HTTP's own way to log in."""
    session = converse(_Answer(401, WWW_Authenticate='Basic realm="x"'), ABSENT)

    assert ask(TARGET.reference, LOGIN) is None
    assert session.asked[1][1]["Authorization"].startswith("Basic ")


def test_the_login_of_gitlab_goes_to_its_registry_alone(tmp_path: Path) -> None:
    """For another one there are variables of the project, a file at choice."""
    secret = tmp_path / "password"
    secret.write_text("other-password\n")
    environ = {**CI, "SEPTUM_REGISTRY_USER": "robot", "SEPTUM_REGISTRY_PASSWORD": str(secret)}
    own, other = login_of(HOST, environ), login_of("harbor.example.org", environ)

    assert (own.variables, own.user, own.password.reveal()) == ("CI_REGISTRY", "gitlab-ci-token", "the-job-token")
    assert (other.variables, other.user, other.password.reveal()) == ("SEPTUM_REGISTRY", "robot", "other-password")
    with pytest.raises(CredentialMissingError, match=r"no user and password for the registry harbor\.example\.org"):
        login_of("harbor.example.org", CI)
    with pytest.raises(CredentialMissingError):
        login_of(HOST, {**environ, "CI_REGISTRY_PASSWORD": ""})


# ── the first CI job ────────────────────────────────────────────────────────────────────────────────────────────


def _asked(checkout: Path, **other: str) -> Asked:
    given = {"context": "container", "containerfile": "container/Containerfile", "name": NAME, "tag": SHA, **other}
    return Asked(root=checkout, arguments="A=1", folder=checkout / ".septum" / "septum-.image" / "new", **given)


def _says(monkeypatch: pytest.MonkeyPatch, held: Held | None) -> None:
    monkeypatch.setattr(stage, "ask", lambda reference, login, ca_file: held)


def test_what_is_to_be_built_is_packed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All in one folder, whole, and the same again for a second call."""
    _says(monkeypatch, None)
    asked = _asked(checkout)
    packed = pack_image(asked, CI)
    first = {path.name: path.read_bytes() for path in asked.folder.iterdir()}
    again = pack_image(asked, CI)

    assert packed == again
    assert {path.name: path.read_bytes() for path in asked.folder.iterdir()} == first
    words = {"image", "tag", "content", "login", "digest", "options"}
    assert set(first) == {*words, "build.sh", "Containerfile", "context.tar"}
    # A runner that keeps its folders may have one of an earlier pipeline there.
    assert first["digest"] == b""
    assert first["image"] == NAME.encode() + b"\n"
    assert first["content"].decode().strip() == packed.content
    assert first["login"] == b"CI_REGISTRY\n"
    assert b"the-job-token" not in b"".join(first.values())
    assert packed.size_b == len(first["context.tar"])
    assert sorted(path.name for path in asked.folder.parent.iterdir()) == ["new"]


def test_what_the_registry_has_is_not_packed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest is all that the second CI job needs."""
    _says(monkeypatch, None)
    content = pack_image(_asked(checkout), CI).content
    _says(monkeypatch, Held(digest=DIGEST, content=content, revision="an earlier one"))
    asked = _asked(checkout)
    packed = pack_image(asked, CI)

    assert packed.held is not None
    assert (asked.folder / "digest").read_text() == DIGEST + "\n"
    assert not (asked.folder / "context.tar").exists()


@pytest.mark.parametrize("content", ["", "sha256:another"])
def test_another_image_under_the_tag_is_never_replaced(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """One of septum's or of anybody's."""
    _says(monkeypatch, Held(digest=DIGEST, content=content, revision="abc"))

    with pytest.raises(ImageTakenError, match="another image under") as caught:
        pack_image(_asked(checkout), CI)

    assert ("from commit abc" if content else "not by septum") in caught.value.evidence
    assert not _asked(checkout).folder.exists()


def test_a_folder_that_is_not_septums_stays(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the one that the image is built from."""
    _says(monkeypatch, None)
    asked = replace(_asked(checkout), folder=checkout / "container")

    with pytest.raises(StateError, match="is not septum's"):
        pack_image(asked, CI)

    assert (checkout / "container" / "Containerfile").is_file()


def test_the_verb_takes_what_the_component_gives(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By variables, and says what it did."""
    _says(monkeypatch, None)
    monkeypatch.chdir(checkout)
    job = of("image", {"context": "container", "containerfile": "container/Containerfile", "build-args": "A=1"})
    for name, value in {**job["pack-image"].values, **CI}.items():
        if name.startswith(("CI_", "SEPTUM_")) and name not in {"SEPTUM_BUILD_NAME", "SEPTUM_BUILD_TAG"}:
            monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("SEPTUM_BUILD_NAME", NAME)
    monkeypatch.setenv("SEPTUM_BUILD_TAG", SHA)
    monkeypatch.setenv("CI_JOB_NAME", "septum-pack-image")
    code = main(["pack-image"])
    said = capsys.readouterr()

    assert code == 0, said.err
    assert f"{NAME}:{SHA} is to be built from 5 files and folders" in said.out
    assert (checkout / ".septum" / "septum-.image" / "options").read_text().endswith("--build-arg=A=1\n")


# ── the second CI job ───────────────────────────────────────────────────────────────────────────────────────────

BUILDAH = """#!/bin/sh
printf '%s\\n' "$*" >> "$LOG"
[ "$1" != --root ] || shift 4
case $1 in
  login) cat >> "$LOG.stdin"; exit "${LOGIN:-0}" ;;
  pull) exit "${PULL:-1}" ;;
  inspect) case $* in *Labels*) echo "$HELD" ;; *) echo "$DIGEST" ;; esac ;;
  build) cat > "$LOG.context"; exit "${BUILD:-0}" ;;
  push) [ -z "${SAID:-}" ] || { echo "$SAID" >&2; exit 125; }
    while [ "$1" != --digestfile ]; do shift; done; printf '%s' "$DIGEST" > "$2" ;;
esac
"""
PASSWORD = "a password with ' \" $(id)"


def _build(tmp_path: Path, *, present: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a buildah that writes down what it is asked."""
    folder, tools = tmp_path / "folder with blank", tmp_path / "bin"
    for made in (folder, tools, tmp_path / "tmp"):
        made.mkdir()
    texts = {"image": NAME, "tag": "1.0", "content": "sha256:1", "login": "CI_REGISTRY"}
    texts |= {"options": "--label=a=b c\n--build-arg=A=$(touch pwned) `touch pwned` * ;", "Containerfile": "FROM a"}
    texts |= {"digest": present} if present else {"context.tar": "the context"}
    (folder / "digest").touch()
    (folder / "image.env").write_text("SEPTUM_BUILT_IMAGE=of an earlier pipeline\n")
    for name, text in texts.items():
        (folder / name).write_text(text + "\n")
    script = folder / "build.sh"
    script.write_bytes(files("septum.building").joinpath("build.sh").read_bytes())
    if environ.pop("ABSENT", "") != "buildah":
        (tools / "buildah").write_text(BUILDAH)
        (tools / "buildah").chmod(0o755)
    return subprocess.run(
        ["sh", str(script)],
        cwd=tmp_path,
        env={
            "PATH": f"{tools}:/usr/bin:/bin",
            "TMPDIR": str(tmp_path / "tmp"),
            "LOG": str(tmp_path / "log"),
            "DIGEST": DIGEST,
            "CI_REGISTRY_USER": "gitlab-ci-token",
            "CI_REGISTRY_PASSWORD": PASSWORD,
            **environ,
        },
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


def _env(tmp_path: Path) -> str:
    return (tmp_path / "folder with blank" / "image.env").read_text()


def test_the_script_builds_and_pushes(tmp_path: Path) -> None:
    """Options to the last byte, the password by standard input alone, and nothing is left behind."""
    done = _build(tmp_path)
    asked = (tmp_path / "log").read_text().splitlines()

    assert done.returncode == 0, done.stderr
    assert _env(tmp_path) == f"SEPTUM_BUILT_IMAGE={NAME}@{DIGEST}\nSEPTUM_BUILT_TAG=1.0\n"
    assert [line.split()[0] for line in asked if not line.startswith("--root")] == ["login", "build", "push"]
    assert (tmp_path / "log.stdin").read_text() == PASSWORD
    assert (tmp_path / "log.context").read_text() == "the context\n"
    assert not [line for line in asked if "a password" in line]
    assert f"--username gitlab-ci-token --password-stdin {HOST}" in asked[0]
    (built,) = [line for line in asked if line.startswith("build ")]
    assert "--label=a=b c --build-arg=A=$(touch pwned) `touch pwned` * ;" in built
    assert "--ulimit=nofile=" in built
    assert not list(tmp_path.rglob("pwned"))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_script_does_nothing_if_the_registry_has_the_image(tmp_path: Path) -> None:
    """Not even a login, and it needs no buildah for it."""
    done = _build(tmp_path, present=DIGEST, ABSENT="buildah")

    assert done.returncode == 0, done.stderr
    assert _env(tmp_path).startswith(f"SEPTUM_BUILT_IMAGE={NAME}@{DIGEST}\n")
    assert not (tmp_path / "log").exists()


def test_the_script_looks_again_before_it_builds(tmp_path: Path) -> None:
    """Another pipeline may have been faster."""
    done = _build(tmp_path, PULL="0", HELD="sha256:1")

    assert done.returncode == 0, done.stderr
    assert "nothing is built" in done.stdout
    assert not (tmp_path / "log.context").exists()


@pytest.mark.parametrize(
    ("environ", "code", "error"),
    [
        ({"ABSENT": "buildah"}, 2, "E011"),
        ({"LOGIN": "125"}, 13, "E115"),
        ({"PULL": "0", "HELD": "sha256:2"}, 2, "E012"),
        ({"PULL": "0", "HELD": "<no value>"}, 2, "E012"),
        ({"BUILD": "1"}, 3, "E011"),
        ({"SAID": "denied: requested access to the resource is denied"}, 13, "E115"),
        ({"SAID": "unauthorized: authentication required"}, 13, "E115"),
        ({"SAID": "dial tcp: i/o timeout"}, 75, "E755"),
        ({"DIGEST": ""}, 3, "E011"),
        ({"DIGEST": "sha256:1\nSEPTUM_STATE=/"}, 3, "E011"),
    ],
)
def test_the_script_fails_with_a_reason(tmp_path: Path, environ: dict[str, str], code: int, error: str) -> None:
    """One of septum's own error codes, its exit code, and no variables for later CI jobs."""
    done = _build(tmp_path, **environ)

    assert done.returncode == code, done.stderr
    assert f"[{error}]" in done.stderr
    assert "Fix: " in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert not (tmp_path / "folder with blank" / "image.env").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_codes_of_the_script_are_those_of_septum() -> None:
    """They are written by hand there, since that container has no Python."""
    text = files("septum.building").joinpath("build.sh").read_text("ascii")
    exits = {error.code: error.exit_code for error in every_error()}
    used = [line.split("fail ", 1)[1].split()[:2] for line in text.splitlines() if "fail " in line and "[E" not in line]

    assert len(used) > 5
    assert {(code, int(number)) for number, code in used if number != "()"} <= {
        *exits.items(),
        ("E011", 2),
    }
    assert CONTENT in text


def test_a_login_file_is_its_owners_alone(tmp_path: Path) -> None:
    """What the runner has for base images is in it as well."""
    script = BUILDAH.replace("login)", 'login) stat -c %a "$REGISTRY_AUTH_FILE" >> "$LOG.mode";')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "buildah").write_text(script)
    (tmp_path / "other" / "buildah").chmod(0o755)
    done = _build(tmp_path, PATH=f"{tmp_path}/other:/usr/bin:/bin", DOCKER_AUTH_CONFIG='{"auths": {}}')

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log.mode").read_text() == "600\n"


# ── the component ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_ci_jobs_have_the_containers_that_they_need() -> None:
    """The one with Python looks, the one with buildah builds; both images can be mirrored."""
    jobs = of("image", {"builder-image": "mirror.example.org/buildah:1", "septum-image": "mirror.example.org/septum:1"})

    assert list(jobs) == ["pack-image", "build-image"]
    assert [job.image for job in jobs.values()] == ["mirror.example.org/septum:1", "mirror.example.org/buildah:1"]
    assert [need.job for need in jobs["build-image"].needs or ()] == ["septum-pack-image"]
    assert jobs["build-image"].values["GIT_STRATEGY"] == "none"


def test_later_ci_jobs_get_the_variables_of_the_second_one() -> None:
    """The file that the script writes is the report."""
    jobs = of("image", {"job-prefix": "mine-"})
    artifacts: Any = jobs["build-image"].keywords["artifacts"]
    handed_on: Any = jobs["pack-image"].keywords["artifacts"]
    folder = jobs["build-image"].values["SEPTUM_BUILD_FOLDER"]

    assert artifacts["reports"] == {"dotenv": f"{folder}/image.env"}
    assert handed_on["paths"] == [f"{folder}/"]
    assert jobs["pack-image"].values["SEPTUM_BUILD_FOLDER"] == folder
    assert not folder.startswith(f"{jobs['pack-image'].values['SEPTUM_STATE']}/")


def test_the_default_name_is_the_commit_in_the_registry_of_the_project() -> None:
    """Known before the pipeline runs, so that other CI jobs can name it."""
    values = of("image")["pack-image"].values

    assert values["SEPTUM_BUILD_TAG"] == values["CI_COMMIT_SHA"]
    assert values["SEPTUM_BUILD_NAME"].endswith("/analysis")


def test_no_fork_gets_the_registry() -> None:
    """Nor a pipeline that the user's rules leave out."""
    fork = Situation(
        source="merge_request_event",
        ref="feature",
        protected=False,
        variables={"CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": Variable(value="somebody/project")},
    )

    assert of("image", {"pipelines": "merge-requests"}, situation=fork) == {}
    assert of("image", {"rules": [{"when": "never"}]}) == {}
    assert list(of("image", situation=Situation(source="schedule"))) == ["pack-image", "build-image"]


def test_the_script_is_in_the_package() -> None:
    """As text that a shell can read, not as a program: the artifact may lose its mode."""
    path = Path(str(files("septum.building").joinpath("build.sh")))

    assert path.read_bytes().startswith(b"#!/bin/sh\n")
    assert not path.stat().st_mode & stat.S_IXUSR
