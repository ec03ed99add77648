"""The note of a run in its merge request, written by python-gitlab to a fake server that keeps notes as GitLab does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from septum.report import note
from tests.fakes.gitlab_notes import TOKEN, Notes, serve


@pytest.fixture
def server() -> Iterator[Notes]:
    """The fake."""
    with serve() as server:
        yield server


def _put(server: Notes, body: str = "## Whole", **environ: str) -> tuple[bool, list[str]]:
    """Whether the note stands, and what was warned of."""
    variables = {
        "CI_SERVER_URL": server.url, "CI_PROJECT_ID": "12", "CI_MERGE_REQUEST_IID": "7", "SEPTUM_GITLAB_TOKEN": TOKEN,
        **environ,
    }  # fmt: skip
    warnings: list[str] = []
    done = note.put(
        body,
        name=environ.get("NAME", "dimuon"),
        prefix=environ.get("PREFIX", ""),
        environ=variables,
        warn=warnings.append,
    )
    assert not any(TOKEN in warning for warning in warnings)
    return done, warnings


def test_the_note_is_changed_and_not_repeated(server: Notes) -> None:
    """Three pipelines, one note, with the last one's words; the same words are not written again."""
    server.add("nice work!", author=2)
    assert [_put(server, body) for body in ("one", "two", "two")] == [(True, [])] * 3

    assert len(server.notes) == 2
    assert server.bodies[1].splitlines()[1:] == ["two"]
    assert server.bodies[1].startswith("<!-- septum note ")
    assert [call.split()[0] for call in server.calls if "GET" not in call] == ["POST", "PUT"]


def test_other_analyses_and_prefixes_have_notes_of_their_own(server: Notes) -> None:
    """Two runs in one pipeline do not overwrite each other."""
    _put(server, "a")
    _put(server, "b", NAME="ttbar")
    _put(server, "c", PREFIX="slow-")
    _put(server, "a2")

    assert [body.splitlines()[1] for body in server.bodies] == ["a2", "b", "c"]


def test_a_merge_request_of_a_fork(server: Notes) -> None:
    """Its notes are in the project that it goes to, not in the one whose pipeline this is."""
    assert _put(server, CI_PROJECT_ID="99", CI_MERGE_REQUEST_PROJECT_ID="12") == (True, [])
    assert len(server.notes) == 1


@pytest.mark.parametrize(("listed", "written"), [
    ("cms/analysis!7", True),
    ("cms/other!3,cms/analysis!7,cms/analysis!8", True),
    ("cms/other!7", False),
    ("", False),
    ("!7", False),
])  # fmt: skip
def test_a_pipeline_of_a_branch_with_an_open_merge_request(server: Notes, listed: str, written: bool) -> None:  # noqa: FBT001
    """The component runs in those: GitLab lists the merge requests that the branch is the source of."""
    done, warnings = _put(
        server, CI_MERGE_REQUEST_IID="", CI_OPEN_MERGE_REQUESTS=listed, CI_PROJECT_PATH="cms/analysis"
    )

    assert (done, warnings) == (written, [])
    assert len(server.notes) == written


@pytest.mark.parametrize(("author", "system"), [(2, False), (1, True)])
def test_notes_of_others_are_left_alone(server: Notes, author: int, system: bool) -> None:  # noqa: FBT001
    """Somebody may copy the marker; a note of GitLab itself is not ours either."""
    server.add(f"{note.marker('dimuon', '')}\nmine", author=author, system=system)
    _put(server, "ours")

    assert server.bodies[0].endswith("mine")
    assert server.bodies[1].endswith("ours")


def test_a_note_on_a_later_page(server: Notes) -> None:
    """Of a long discussion."""
    for number in range(230):
        server.add(f"note {number}", author=2)
    server.add(f"{note.marker('dimuon', '')}\nold")
    _put(server, "new")

    assert len(server.notes) == 231
    assert server.bodies[-1].endswith("new")


@pytest.mark.parametrize("environ", [
    {"CI_MERGE_REQUEST_IID": ""}, {"SEPTUM_GITLAB_TOKEN": ""},
])  # fmt: skip
def test_nothing_is_done_without_merge_request_or_token(server: Notes, environ: dict[str, str]) -> None:
    """And nothing is warned of: this is the usual case."""
    assert _put(server, **environ) == (False, [])
    assert server.calls == []


@pytest.mark.parametrize(("environ", "reason"), [
    ({"SEPTUM_GITLAB_TOKEN": "glpat-wrong"}, "401"),
    ({"CI_PROJECT_ID": "13"}, "404"),
    ({"CI_PROJECT_ID": "../user"}, "is not what GitLab sets"),
    ({"CI_MERGE_REQUEST_IID": "7/../../x"}, "is not what GitLab sets"),
    ({"CI_SERVER_URL": "file:///etc"}, "is not what GitLab sets"),
    ({"CI_SERVER_URL": "http://127.0.0.1:1"}, "ConnectionError"),
])  # fmt: skip
def test_what_goes_wrong_is_a_warning(server: Notes, environ: dict[str, str], reason: str) -> None:
    """In one line, with the reason, and without the token."""
    done, (warning,) = _put(server, **environ)

    assert not done
    assert reason in warning
    assert "\n" not in warning
    assert "SEPTUM_GITLAB_TOKEN" in warning
    assert server.notes == []


@pytest.mark.parametrize("status", [403, 500, 429])
def test_a_server_that_refuses(server: Notes, status: int) -> None:
    """Even if its answer repeats the token."""
    server.status = status
    done, (warning,) = _put(server)

    assert not done
    assert "***" in warning
    assert str(status) in warning


def test_a_server_that_hangs(server: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not waited for."""
    monkeypatch.setattr(note, "DEADLINE_S", 0.2)
    server.delay_s = 1.5
    done, (warning,) = _put(server)

    assert not done
    assert "imeout" in warning or "timed out" in warning


def test_a_summary_as_a_note(server: Notes) -> None:
    """Markdown with every hostile text in it arrives as it is written."""
    from septum.report.markdown import text
    from septum.report.material import Material
    from tests.fakes import reports

    body = text(Material(manifest=reports.hostile()))
    _put(server, body)

    assert server.bodies[0].split("\n", 1)[1] == body
