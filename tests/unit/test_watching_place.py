"""Which project and pipeline a text means, and to whom no token goes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from septum.errors import CredentialMissingError, UsageError
from septum.watching.here import Wish, find_place, find_token
from septum.watching.place import Place, pipeline_of, place_of, place_of_remote, server_of

CERN = "https://gitlab.cern.ch"


@pytest.mark.parametrize(
    ("remote", "url", "project"),
    [
        ("https://gitlab.cern.ch/my-group/dimuon.git", CERN, "my-group/dimuon"),
        ("https://me:hunter2@gitlab.cern.ch/my-group/sub/dimuon", CERN, "my-group/sub/dimuon"),
        ("git@gitlab.cern.ch:my-group/dimuon.git", CERN, "my-group/dimuon"),
        ("gitlab.cern.ch:my-group/dimuon", CERN, "my-group/dimuon"),
        ("ssh://git@gitlab.cern.ch:7999/my-group/dimuon.git", CERN, "my-group/dimuon"),
        ("https://gitlab.example.org:8443/a/b.c.git", "https://gitlab.example.org:8443", "a/b.c"),
        ("http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080", "a/b"),
        ("http://[::1]:8080/a/b", "http://[::1]:8080", "a/b"),
    ],
)
def test_a_remote_is_a_project(remote: str, url: str, project: str) -> None:
    """By https, ssh and git's short form; a port of SSH is none of GitLab's."""
    assert place_of_remote(remote) == Place(url=url, project=project)


@pytest.mark.parametrize(
    "remote",
    [
        "/srv/git/dimuon.git",
        "../dimuon",
        "file:///srv/git/a/b.git",
        "https://gitlab.cern.ch/",
        "https://gitlab.cern.ch/only",
        "https://gitlab.cern.ch/a/../b",
        "https://gitlab.cern.ch/a/%2e%2e/b",
        "https://gitlab.cern.ch/a/b%2Fjobs%3Fx",
        "https://gitlab.cern.ch/a/b c",
        "https://gitlab.cern.ch:99999/a/b",
        "https://git lab.cern.ch/a/b",
        "http://gitlab.cern.ch/a/b",
        "ftp://gitlab.cern.ch/a/b",
        "https://[::1/a/b",
        "--upload-pack=touch x:a/b",
        "",
    ],
)
def test_what_is_no_project_is_refused(remote: str) -> None:
    """Paths that leave the project, other schemes, and http to anywhere but this machine."""
    with pytest.raises(UsageError) as caught:
        place_of_remote(remote)
    assert "--project https://" in caught.value.fix


def test_a_password_in_a_remote_is_not_shown() -> None:
    """A remote may hold one, and an error must not."""
    for remote in ("http://me:hunter2@gitlab.cern.ch/a/b", "https://me:hunter2@x:y:z/a/b", "ftp://me:hunter2@x/a/b"):
        with pytest.raises(UsageError) as caught:
            place_of_remote(remote)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("my-group/dimuon", Place(url=CERN, project="my-group/dimuon")),
        ("4711", Place(url=CERN, project="4711")),
        ("https://gitlab.example.org/a/b", Place(url="https://gitlab.example.org", project="a/b")),
        ("https://gitlab.example.org/a/b/-/jobs/5", Place(url="https://gitlab.example.org", project="a/b")),
        (
            "https://gitlab.example.org/a/b/-/pipelines/98701/builds",
            Place(url="https://gitlab.example.org", project="a/b", pipeline=98701),
        ),
    ],
)
def test_a_project_is_a_path_a_number_or_a_page(text: str, found: Place) -> None:
    """As one has it at hand, also from the browser."""
    assert place_of(text, server=f"{CERN}/") == found


BELOW = "https://www.example.org/gitlab"


@pytest.mark.parametrize(
    ("remote", "place"),
    [
        ("https://www.example.org/gitlab/my-group/dimuon.git", Place(url=BELOW, project="my-group/dimuon")),
        ("git@www.example.org:my-group/dimuon.git", Place(url=BELOW, project="my-group/dimuon")),
        ("ssh://git@www.example.org:7999/my-group/dimuon.git", Place(url=BELOW, project="my-group/dimuon")),
        ("https://www.example.org/gitlab-2/a/b", Place(url="https://www.example.org", project="gitlab-2/a/b")),
        ("https://www.example.org:8443/gitlab/a/b", Place(url="https://www.example.org:8443", project="gitlab/a/b")),
        ("git@elsewhere.example.org:a/b", Place(url="https://elsewhere.example.org", project="a/b")),
    ],
)
def test_a_gitlab_below_a_path(remote: str, place: Place) -> None:
    """Only who knows its address can tell its path from a group; another host's remote is another GitLab's."""
    assert place_of_remote(remote, server=f"{BELOW}/") == place


def test_pages_of_a_gitlab_below_a_path() -> None:
    """An address from the browser, and the options that name the same place again."""
    place = place_of(f"{BELOW}/a/b/-/pipelines/5", server=BELOW)

    assert place == Place(url=BELOW, project="a/b", pipeline=5)
    assert place.named == f"--url {BELOW} --project a/b"
    assert Place(url=CERN, project="a/b").named == f"--project {CERN}/a/b"
    assert place_of("a/b", server=BELOW).url == BELOW


@pytest.mark.parametrize("path", ["a/../b", "%2e%2e", "a b", "a;b", "-x"])
def test_a_path_that_gitlab_cannot_be_below(path: str) -> None:
    """It becomes part of every address that is asked."""
    with pytest.raises(UsageError):
        server_of(f"https://www.example.org/{path}")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "9" * 30, "x", "1;rm", "", "\x1b[2J"])
def test_a_pipeline_is_a_number_or_latest(text: str) -> None:
    """Nothing else becomes part of an address."""
    with pytest.raises(UsageError):
        pipeline_of(text)
    assert (pipeline_of("latest"), pipeline_of("#98701")) == (0, 98701)


# ── a checkout ──────────────────────────────────────────────────────────────────────────────────────────────────


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def test_the_project_is_that_of_the_checkout(tmp_path: Path) -> None:
    """Without options it is the remote origin, and a path alone is one of the same GitLab."""
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "remote", "add", "origin", "git@gitlab.cern.ch:my-group/dimuon.git")
    (tmp_path / "inner").mkdir()

    assert find_place(Wish(), {}, tmp_path / "inner") == Place(url=CERN, project="my-group/dimuon")
    assert find_place(Wish(project="a/b", pipeline="5"), {}, tmp_path) == Place(url=CERN, project="a/b", pipeline=5)


def test_an_address_that_is_given_wins(tmp_path: Path) -> None:
    """Where SSH has a host of its own, or GitLab a path, the remote alone does not say where GitLab is."""
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "remote", "add", "origin", "git@altssh.example.org:my-group/dimuon.git")

    given = find_place(Wish(url=f"{BELOW}/"), {}, tmp_path)
    in_ci = find_place(Wish(project="a/b"), {"CI_SERVER_URL": BELOW}, tmp_path)

    assert given == Place(url=BELOW, project="my-group/dimuon")
    assert in_ci == Place(url=BELOW, project="a/b")


def test_without_a_checkout_the_project_has_to_be_named(tmp_path: Path) -> None:
    """No repository, no remote, no git: one clear word each."""
    (tmp_path / "repository").mkdir()
    _git(tmp_path / "repository", "init", "-q")
    for folder, environ in ((tmp_path, {}), (tmp_path / "repository", {}), (tmp_path, {"PATH": "/nowhere"})):
        for wish in (Wish(), Wish(project="a/b")):
            with pytest.raises(UsageError, match="project:"):
                find_place(wish, {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent), **environ}, folder)


def test_a_job_token_is_shown_to_its_own_gitlab_alone() -> None:
    """A repository may have a remote anywhere, and a CI job's token is for the GitLab that made it."""
    own = {"CI_JOB_TOKEN": "glcbt-64_of-the-tests", "CI_SERVER_URL": CERN}
    token, better = find_token(Place(url=CERN, project="a/b"), own, None)

    assert (token.reveal(), better) == ("glcbt-64_of-the-tests", False)
    with pytest.raises(CredentialMissingError, match=r"https://gitlab\.example\.org"):
        find_token(Place(url="https://gitlab.example.org", project="a/b"), own, None)


def test_a_person_is_asked_for_the_token_of_that_gitlab() -> None:
    """The question says to whom it goes; no answer is no token."""
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return " glpat-typed-by-hand \n"

    token, better = find_token(Place(url=CERN, project="a/b"), {}, ask)

    assert (token.reveal(), better, CERN in asked[0]) == ("glpat-typed-by-hand", True, True)
    with pytest.raises(CredentialMissingError):
        find_token(Place(url=CERN, project="a/b"), {}, lambda _: "")
