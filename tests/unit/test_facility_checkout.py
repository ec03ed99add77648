"""The copy of a repository that the facility runs a pipeline in: the working tree, and nothing outside of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from septum.facility.debian import Debian
from septum.facility.pipeline import prepare_pipeline

OWN = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@localhost", "-c", "protocol.file.allow=always", *words]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **OWN}, check=True, capture_output=True, text=True
    ).stdout


def _commit(folder: Path) -> None:
    _git(folder, "add", "--all", "--force")
    _git(folder, "commit", "--quiet", "--message", "A change")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository without a commit."""
    folder = tmp_path / "analysis"
    folder.mkdir()
    _git(folder, "init", "--quiet", "--initial-branch=work")
    (folder / ".gitlab-ci.yml").write_text("a: {script: [ls]}\n")
    return folder


@pytest.fixture
def copied(repository: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes the copy of the repository."""

    def copy() -> Path:
        return prepare_pipeline(repository, folder=tmp_path / "made", debian=Debian(folder=tmp_path)).checkout

    return copy


def test_a_link_that_became_a_folder_leads_nowhere(
    repository: Path, copied: Callable[[], Path], tmp_path: Path
) -> None:
    """Git knows a link to another folder of the user; what has taken its place is not written to that one."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.tex").write_text("mine")
    (repository / "data").symlink_to(outside)
    (repository / "file").write_text("x")
    _commit(repository)
    for name in ("data", "file"):
        (repository / name).unlink()
        (repository / name).mkdir()
        (repository / name / "thesis.tex").write_text("other")

    checkout = copied()

    assert (outside / "thesis.tex").read_text() == "mine"
    assert (checkout / "data" / "thesis.tex").read_text() == "other"
    assert (checkout / "file" / "thesis.tex").read_text() == "other"


def test_a_folder_that_became_a_link_is_a_link(repository: Path, copied: Callable[[], Path], tmp_path: Path) -> None:
    """The files that Git still lists in it are behind the link, and stay as they are."""
    (repository / "data").mkdir()
    (repository / "data" / "thesis.tex").write_text("old")
    _commit(repository)
    outside = tmp_path / "outside"
    (repository / "data").rename(outside)
    (outside / "thesis.tex").write_text("mine")
    (repository / "data").symlink_to(outside)

    checkout = copied()

    assert (checkout / "data").is_symlink()
    assert (outside / "thesis.tex").read_text() == "mine"


def test_the_working_tree_counts_and_git_knows_it(repository: Path, copied: Callable[[], Path]) -> None:
    """Files that were changed, removed, added, are ignored but committed, or in a submodule; not those ignored."""
    other = repository.parent / "other"
    other.mkdir()
    _git(other, "init", "--quiet")
    (other / "lib.py").write_text("x")
    _commit(other)
    _git(repository, "submodule", "--quiet", "add", str(other), "sub")
    (repository / ".gitignore").write_text("*.log\n")
    for name in ("changed", "removed", "kept.log"):
        (repository / name).write_text("old")
    _commit(repository)
    (repository / "removed").unlink()
    for name in ("changed", "added", "ignored.log"):
        (repository / name).write_text("new")
    (repository / "sub" / "lib.py").write_text("y")

    checkout = copied()

    there = {path.name: path.read_text() for path in checkout.iterdir() if path.suffix != ".yml" and path.is_file()}
    assert {name: there.get(name) for name in ("changed", "removed", "added", "kept.log", "ignored.log")} == {
        "changed": "new",
        "removed": None,
        "added": "new",
        "kept.log": "old",
        "ignored.log": None,
    }
    assert (checkout / "sub" / "lib.py").read_text() == "y"
    assert _git(checkout, "status", "--porcelain", "--", ".", ":!.gitlab-ci-local") == ""
    assert _git(checkout, "log", "--format=%s", "main") == "The working tree as it is\nA change\n"


@pytest.mark.parametrize("is_git", [True, False])
def test_a_cache_in_the_repository_is_not_copied_into_itself(
    *, is_git: bool, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether Git lists the files or there is no Git, and without a commit."""
    cache = repository / "my cache"
    cache.mkdir()
    (cache / "big").write_text("x")
    monkeypatch.setenv("SEPTUM_CACHE", str(cache))
    if not is_git:
        (repository / ".git").rename(repository.parent / "away")

    checkout = prepare_pipeline(repository, folder=cache / "run" / "made", debian=Debian(folder=repository)).checkout

    assert (checkout / ".gitlab-ci.yml").is_file()
    assert not (checkout / "my cache").exists()
