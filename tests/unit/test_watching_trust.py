"""A token goes to a GitLab that somebody has named or confirmed, and not to whatever a repository has as its remote."""

from __future__ import annotations

from pathlib import Path

import pytest

from septum.errors import UsageError
from septum.watching.here import Wish
from septum.watching.place import Place
from septum.watching.trust import confirm

CERN = Place(url="https://gitlab.cern.ch", project="a/b")
OTHER = Place(url="https://github.example.org", project="a/b")


def _nobody(question: str) -> bool:
    raise AssertionError(question)


@pytest.mark.parametrize(
    ("wish", "environ"),
    [
        (Wish(url="https://gitlab.cern.ch"), {}),
        (Wish(project="https://gitlab.cern.ch/a/b/-/pipelines/5"), {}),
        (Wish(), {"CI_SERVER_URL": "https://gitlab.cern.ch"}),
    ],
)
def test_who_names_it_is_not_asked(wish: Wish, environ: dict[str, str]) -> None:
    """By an address on the command line; and a CI job knows its own GitLab."""
    confirm(CERN, wish, environ, _nobody)


def test_a_person_is_asked_once_for_each_gitlab(tmp_path: Path) -> None:
    """The question has the address; yes is remembered for that one alone, no is not."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "home")}
    asked: list[str] = []

    def yes(question: str) -> bool:
        asked.append(question)
        return True

    confirm(CERN, Wish(), environ, yes)
    confirm(CERN, Wish(project="c/d"), environ, _nobody)
    with pytest.raises(UsageError, match="github"):
        confirm(OTHER, Wish(), environ, lambda _: False)
    confirm(OTHER, Wish(), environ, yes)

    assert [CERN.url in asked[0], OTHER.url in asked[1], len(asked)] == [True, True, 2]
    file = tmp_path / "home/septum/gitlabs"
    assert file.read_text(encoding="utf-8") == f"{OTHER.url}\n{CERN.url}\n"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wish", [Wish(), Wish(project="a/b")])
def test_where_nobody_is_it_does_not_go(wish: Wish, tmp_path: Path) -> None:
    """One clear error, with what to add; a CI job of one GitLab does not vouch for another."""
    environ = {"HOME": str(tmp_path), "CI_SERVER_URL": CERN.url}
    with pytest.raises(UsageError) as caught:
        confirm(OTHER, wish, environ, None)

    assert caught.value.fix.endswith(f"--url {OTHER.url}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", [b"\xff\xfe", b"https://gitlab.cern.ch.evil.example.org\n", None])
def test_a_memory_that_does_not_hold_it(there: bytes | None, tmp_path: Path) -> None:
    """What cannot be read is forgotten, and a longer address is another one; without a home nothing is remembered."""
    (tmp_path / "septum").mkdir()
    (tmp_path / "septum/gitlabs").write_bytes(there or b"")
    with pytest.raises(UsageError):
        confirm(CERN, Wish(), {"XDG_CONFIG_HOME": str(tmp_path)} if there is not None else {}, None)
    confirm(CERN, Wish(), {}, lambda _: True)
