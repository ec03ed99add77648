"""The commit status of a run with pages, against a fake GitLab: set, changed at the end, and never the run's end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from septum.errors import CancelledError, PartLostError, SeptumError, StateError, TimeUpError
from septum.ledger import ENDED
from septum.merge.command import HandedOver
from septum.report import status
from septum.stages.pages import PAGES, StatusOfRun, note_pages, pages_of, tell_cancelled
from septum.stages.wiring import Options
from septum.state import State
from tests.fakes import gitlab_server, gitlab_statuses
from tests.fakes.analyses import plan_of, seeds
from tests.fakes.gitlab_server import DEVELOPER, READ_ONLY, REPORTER, Fault, GitlabServer, serving

SHA = "4f1d" * 10
PAGE = "https://reana.example.org/workflows/6f1f"
FIRST = {"septum-zpeak-1.1": PAGE}
ENDPOINT = "POST /projects/:id/statuses/:sha"


class Rig:
    """A fake GitLab with one project, and what a CI job of it says."""

    def __init__(self, server: GitlabServer, folder: Path) -> None:
        self.server, self.project = server, server.add_project("my-group/zpeak")
        self.folder = folder
        self.said: list[str] = []
        self.environ = {
            "CI_SERVER_URL": server.url,
            "CI_PROJECT_ID": str(self.project.id),
            "CI_COMMIT_SHA": SHA,
            "CI_PIPELINE_ID": "900",
            status.TOKEN: DEVELOPER,
        }

    def put(self, state: status.Status = "running", pages: Mapping[str, str] = FIRST, **environ: str) -> bool:
        """Set a status."""
        found = {**self.environ, **environ}
        return status.put(state, pages, name="zpeak", prefix="a-", environ=found, note=self.said.append)

    def options(self, **changes: Any) -> Options:
        """Those of a stage."""
        return Options(
            config=self.folder / "septum.yaml",
            cluster="reana",
            prefix="a-",
            state=self.folder / "state",
            environ=self.environ,
            **changes,
        )

    def begin(self) -> None:
        """A run with one page."""
        plan = plan_of(seeds(1), self.folder)
        state = State(self.folder / "state")
        state.store_plan(plan, lambda item: self.folder / item.path)
        with state.open_ledger() as ledger:
            ledger.begin(plan_hash=plan.hash, tag="t", parts=(part.id for part in plan.parts), now_s=0.0)
            ledger.note(PAGES, json.dumps(FIRST))

    @property
    def states(self) -> list[str]:
        """The words of all that was set."""
        return [one["state"] for one in self.set]

    @property
    def set(self) -> list[dict[str, Any]]:
        """All that was set."""
        return gitlab_statuses.of(self.project)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A fresh one."""
    with serving(*gitlab_statuses.ENDPOINTS) as server:
        yield Rig(server, tmp_path)


def test_it_leads_to_the_first_page(rig: Rig) -> None:
    """The name is that of REANA's own integration, with the analysis and the prefix; the pipeline is ours."""
    assert rig.put(pages={**FIRST, "septum-zpeak-2.1": "https://reana.example.org/workflows/7"})

    (one,) = rig.set
    assert {key: one[key] for key in ("sha", "state", "name", "target_url", "pipeline_id")} == {
        "sha": SHA,
        "state": "running",
        "name": "reana: a-zpeak",
        "target_url": PAGE,
        "pipeline_id": 900,
    }
    assert one["description"] == "septum-zpeak-1.1, and 1 more: the run runs"
    assert rig.said == []


def test_the_same_word_twice_is_no_news(rig: Rig) -> None:
    """A CI job that is retried says again what the status says already, and GitLab refuses that."""
    assert rig.put()
    assert rig.put()
    assert rig.put("success")

    assert rig.states == ["running", "success"]
    assert rig.said == []


@pytest.mark.parametrize("absent", [status.TOKEN, "CI_COMMIT_SHA", "CI_PROJECT_ID"])
def test_without_a_token_or_a_commit_nobody_is_asked(rig: Rig, absent: str) -> None:
    """A job token cannot write it, and nobody has asked for it: nothing is said."""
    environ = {name: value for name, value in rig.environ.items() if name != absent}

    assert not status.wanted(environ)
    assert status.wanted(rig.environ)


@pytest.mark.parametrize("token", [READ_ONLY, REPORTER, "glpat-nobody-knows-this-1"])
def test_a_token_that_may_not_is_one_line(rig: Rig, token: str) -> None:
    """It may be there for the sweep or the reference; the line names the scope, and not the token."""
    rig.environ[status.TOKEN] = token
    assert not rig.put()

    (line,) = rig.said
    assert "the scope 'api'" in line
    assert token not in line
    assert rig.set == []


@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(hang_up=True), gitlab_server.HTML, gitlab_server.too_many("600")]
)
def test_a_gitlab_that_does_not_answer_is_one_line(rig: Rig, fault: Fault) -> None:
    """No exception, no long wait."""
    rig.server.fail(ENDPOINT, fault)

    assert not rig.put()
    assert len(rig.said) == 1
    assert DEVELOPER not in rig.said[0]


def test_a_server_that_is_none_is_one_line(rig: Rig) -> None:
    """What GitLab sets is checked before a token is sent anywhere."""
    assert not rig.put(CI_SERVER_URL="ftp://gitlab.example.org")

    assert rig.server.requests == []
    assert len(rig.said) == 1


# ── over a run ──────────────────────────────────────────────────────────────────────────────────────────────────


def _tell(rig: Rig, error: BaseException | None = None, found: SeptumError | None = None, **changes: Any) -> None:
    with (
        contextlib.suppress(SeptumError, HandedOver, KeyboardInterrupt),
        StatusOfRun(rig.options(**changes), rig.said.append) as told,
    ):
        told.error = found
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "found", "last"),
    [
        (None, None, "success"),
        (None, PartLostError("x"), "failed"),
        (PartLostError("x"), None, "failed"),
        (CancelledError("x"), None, "canceled"),
        (TimeUpError("x"), None, "failed"),
        (HandedOver(Path("x")), None, "running"),
        (KeyboardInterrupt(), None, "running"),
        (StateError("x"), None, "failed"),
    ],
)
def test_what_becomes_of_a_run(rig: Rig, error: BaseException | None, found: SeptumError | None, last: str) -> None:
    """It runs when collect begins, and has its end when that is known; a run that others go on with has none."""
    rig.begin()

    _tell(rig, error, found)

    assert [rig.states[0], rig.states[-1]] == ["running", last]
    assert len(rig.states) == (1 if last == "running" else 2)
    assert rig.said == []


def test_a_hop_that_leaves_says_nothing(rig: Rig) -> None:
    """The next one goes on with the run."""
    rig.begin()

    _tell(rig, TimeUpError("x"), leaves_early=True)

    assert rig.states == ["running"]


def test_a_run_without_pages_has_no_status(rig: Rig) -> None:
    """On other clusters, and where there is no run at all, GitLab is not asked."""
    _tell(rig)
    rig.begin()
    with State(rig.folder / "state").open_ledger() as ledger:
        ledger.forget(PAGES)
    _tell(rig)

    assert rig.server.requests == []


def test_a_run_that_has_ended_keeps_its_status(rig: Rig) -> None:
    """A second collect of it is refused, and that is not the run's failure."""
    rig.begin()
    with State(rig.folder / "state").open_ledger() as ledger:
        ledger.note(ENDED, "0")

    _tell(rig, StateError("it has been collected already"))

    assert rig.states == []


def test_a_cancelled_run(rig: Rig) -> None:
    """`septum cancel` has the last word."""
    rig.begin()
    _tell(rig, KeyboardInterrupt())

    tell_cancelled(rig.options(), rig.said.append)

    assert rig.states == ["running", "canceled"]


class _Pages:
    def __init__(self, **pages: str) -> None:
        self._pages = pages

    def pages(self) -> Mapping[str, str]:
        return self._pages


def test_pages_are_added_in_their_order(rig: Rig) -> None:
    """Of parts that were submitted again there are more; a backend without pages changes nothing."""
    rig.begin()
    with State(rig.folder / "state").open_ledger() as ledger:
        note_pages(_Pages(b="https://b"), ledger)  # type: ignore[arg-type]
        note_pages(_Pages(), ledger)  # type: ignore[arg-type]
        note_pages(object(), ledger)  # type: ignore[arg-type]

        assert list(pages_of(ledger).items()) == [*FIRST.items(), ("b", "https://b")]
