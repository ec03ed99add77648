"""How a pipeline stands and what is said of it, from answers of GitLab as they are, and as they should not be."""

from __future__ import annotations

from typing import Any

import pytest

from septum.components.catalog import COMPONENTS
from septum.errors import PipelineCancelledError, PipelineFailedError
from septum.watching.acts import left_by, retryable, what_retry_does, with_submits, would_cancel
from septum.watching.model import CiJob, Pipeline, View, analyses, job_of, pipeline_of
from septum.watching.place import Place
from septum.watching.show import ROWS, changes, document, error_of, headline, results, rows
from septum.watching.told import Told

PLACE = Place(url="https://gitlab.example.org", project="my-group/dimuon")


def job(name: str, status: str = "success", number: int = 0, **more: Any) -> CiJob:
    """A CI job; it has run unless its state says that it has not."""
    began = status not in {"created", "pending", "scheduled", "manual", "skipped"}
    told = {"id": number or sum(map(ord, name)), "name": name, "stage": "test", "status": status, **more}
    return CiJob(**{"seconds": 60.0 if began else None, **told})


def view(*jobs: CiJob, status: str = "running", told: dict[int, Told] | None = None) -> View:
    """A pipeline with these CI jobs."""
    return View(pipeline=Pipeline(id=900, status=status, ref="main"), jobs=jobs, told=told or {}, requests=2)


# ── which CI jobs are septum's ──────────────────────────────────────────────────────────────────────────────────


def test_every_component_is_recognised_by_its_ci_jobs() -> None:
    """What submits or collects by the catalog is watched; what does neither is not."""
    watched = {"submit", "collect", "run", "result", *(f"hop-{number}" for number in range(1, 8))}
    for component in COMPONENTS:
        names = [found.name for found in component.jobs]
        names = [
            name for found in names for name in ([f"hop-{n}" for n in range(1, 8)] if "hop-" in found else [found])
        ]
        found = analyses([job(f"septum-{name}", number=number) for number, name in enumerate(names, 1)])
        ours = {each.name.removeprefix("septum-") for analysis in found for each in analysis.jobs}
        assert ours == (watched & set(names) if {"collect", "run"} & set(names) else set()), component.name


def test_two_includes_are_two_analyses() -> None:
    """Each prefix is one, in the order of the work and not of the numbers."""
    names = [
        "y2024-collect",
        "y2023-submit",
        "lint",
        "y2023-hop-2",
        "y2023-hop-10",
        "y2023-collect",
        "y2024-submit",
        "run",
    ]
    found = analyses([job(name, number=number) for number, name in enumerate(names, 1)])

    assert {analysis.prefix: [each.name for each in analysis.jobs] for analysis in found} == {
        "y2024-": ["y2024-submit", "y2024-collect"],
        "y2023-": ["y2023-submit", "y2023-hop-2", "y2023-hop-10", "y2023-collect"],
    }


@pytest.mark.parametrize(
    ("states", "teller"),
    [
        (("success", "success", "running", "created"), "hop-2"),
        (("success", "success", "scheduled", "scheduled"), "hop-1"),
        (("success", "success", "success", "failed"), "collect"),
        (("running", "created", "created", "created"), "submit"),
        (("success", "canceling", "skipped", "skipped"), "hop-1"),
        (("pending", "created", "created", "created"), None),
    ],
)
def test_the_ci_job_that_tells_is_the_one_that_runs(states: tuple[str, ...], teller: str | None) -> None:
    """Else the last that ran, also between two hops."""
    names = ("submit", "hop-1", "hop-2", "collect")
    found = analyses([job(f"septum-{name}", state) for name, state in zip(names, states, strict=True)])[0].teller
    assert (found.name.removeprefix("septum-") if found else None) == teller


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"id": "5", "status": "running"},
        {"id": True, "status": "running"},
        {"id": -1, "status": "running"},
        {"id": 5},
        {"id": 5, "status": "RUNNING"},
        {"id": 5, "status": "x" * 50},
        {"id": 5, "status": "run\x1b[2J"},
        {"id": 5, "status": ["running"]},
    ],
)
def test_an_answer_that_is_none_is_refused(answer: dict[str, Any]) -> None:
    """Without a number or a state there is nothing to show."""
    for read in (job_of, pipeline_of):
        with pytest.raises(ValueError, match=r"number|status"):
            read(answer)


def test_what_else_is_strange_in_an_answer_is_left_out() -> None:
    """Wrong types, endless names, addresses that no browser may follow."""
    strange = {"id": 5, "status": "failed", "name": ["x"], "stage": None, "duration": "long", "started_at": "yesterday"}
    strange |= {"web_url": "javascript:alert(1)", "allow_failure": "yes", "failure_reason": 7, "artifacts_file": []}
    assert job_of(strange) == CiJob(id=5, name="", stage="", status="failed")
    assert len(job_of({"id": 5, "status": "failed", "name": "x" * 10**6}).name) < 2000
    assert job_of({"id": 5, "status": "running", "duration": -3}).seconds == 0.0


# ── what is said ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pipeline_of_hundreds_of_ci_jobs_fits_a_screen() -> None:
    """septum's, what runs and what failed are shown, the rest is counted."""
    many = [job(f"lint-{number}", number=number) for number in range(1, 121)]
    ours = (job("septum-prepare", number=301), job("septum-collect", "running", 302))
    found = rows(view(*many, job("other", "failed", 300), *ours))

    assert len(found) <= ROWS + 1
    assert [row[0] for row in found[:3]] == ["other", "septum-prepare", "septum-collect"]
    assert found[-1][:2] == ("… 120 others", "120 success")


def test_names_of_others_move_no_cursor() -> None:
    """A branch, a CI job, an error: all of it is made printable."""
    evil = "\x1b[2Jx\n\u202e"
    failed = job(evil, "failed", 5, reason="\x1b[2J")
    shown = View(
        pipeline=Pipeline(id=900, status="failed", ref=evil), jobs=(failed,), told={5: Told(code="E301", words=evil)}
    )
    texts = [headline(shown, PLACE), *changes(None, shown), *(cell for row in rows(shown) for cell in row)]

    assert all(text.isprintable() for text in texts)
    assert all(line.isprintable() for line in str(error_of(shown, PLACE)).split("\n"))


def test_only_what_is_new_makes_a_line() -> None:
    """A CI job that has not begun, or goes on as before, makes none."""
    first = view(job("septum-submit"), job("septum-collect", "running", 2), job("later", "created"))
    told = View(pipeline=first.pipeline, jobs=first.jobs, told={2: Told(parts={"idle": 4})})
    ended = view(job("septum-submit"), job("septum-collect", number=2), job("later", "pending"), told=dict(told.told))

    assert changes(None, first) == ["septum-submit: success after 1 min 00 s", "septum-collect: running"]
    assert changes(first, first) == []
    assert changes(first, told) == ["septum-collect: running: 4 idle"]
    assert changes(told, ended) == ["septum-collect: success after 1 min 00 s: 4 idle", "later: pending"]


def test_a_failed_pipeline_names_septums_ci_job_its_error_and_what_to_read() -> None:
    """Also where another CI job failed before it, and one was allowed to."""
    jobs = (
        job("docs", "failed", 1, allow_failure=True),
        job("lint", "failed", 2),
        job("septum-collect", "failed", 3, url="https://gitlab.example.org/j/3"),
    )
    told = {3: Told(code="E301", words="part 0007 (seed=3): the command ended with exit code 7")}
    error = error_of(view(*jobs, status="failed", told=told), PLACE)

    assert isinstance(error, PipelineFailedError)
    assert "septum-collect" in error.what
    assert error.evidence.splitlines()[:2] == [f"[E301] {told[3].words}", "https://gitlab.example.org/j/3"]
    assert "--part 0007" in error.fix


@pytest.mark.parametrize(("status", "word"), [("canceled", "cancelled"), ("skipped", "skipped")])
def test_a_cancelled_pipeline_is_no_failed_one(status: str, word: str) -> None:
    """It has an exit code of its own."""
    error = error_of(view(job("septum-collect", status), status=status), PLACE)
    assert isinstance(error, PipelineCancelledError)
    assert word in error.what


@pytest.mark.parametrize("status", ["running", "success", "manual", "canceling", "something_new"])
def test_no_error_before_the_end_and_after_a_good_one(status: str) -> None:
    """A state that GitLab may add one day is not an end."""
    assert error_of(view(job("a", "manual"), status=status), PLACE) is None


def test_a_pipeline_that_waits_for_a_person_is_not_waited_for() -> None:
    """Unless something of it still goes on."""
    waiting = view(job("deploy", "manual"), job("septum-collect"), status="manual")
    going = view(job("deploy", "manual"), job("septum-collect", "running"), status="manual")

    assert (waiting.over, going.over) == (True, False)
    assert "deploy" in headline(waiting, PLACE)


def test_the_result_comes_with_its_report() -> None:
    """Where GitLab has it, by the folder that the run named."""
    told = {3: Told(summary="dimuon: 4 of 4 parts are in", result="out/ä b", parts={"verified": 4})}
    ended = job("septum-collect", number=3, url="https://gitlab.example.org/j/3", has_artifact=True)
    shown = view(ended, status="success", told=told)

    assert results(shown) == [
        "dimuon: 4 of 4 parts are in",
        "the report: https://gitlab.example.org/j/3/artifacts/file/out/%C3%A4%20b/report.html",
    ]
    assert document(shown, PLACE)["analyses"][0]["parts"] == {"verified": 4}
    assert results(view(job("septum-collect", number=3), status="success", told=told))[1:] == []


# ── cancelling and retrying ─────────────────────────────────────────────────────────────────────────────────────


def test_before_cancelling_it_is_said_what_stops() -> None:
    """With its parts; and that nobody is there to remove jobs between two hops."""
    running = view(
        job("septum-submit"),
        job("septum-collect", "running", 2),
        job("lint", "running"),
        told={2: Told(parts={"running": 3})},
    )
    between = view(job("septum-submit"), job("septum-hop-1"), job("septum-collect", "scheduled"))

    assert "(3 running)" in would_cancel(running)[0]
    assert would_cancel(running)[1] == "1 other CI jobs stop, or do not begin"
    assert "septum sweep" in would_cancel(between)[0]


@pytest.mark.parametrize(
    ("told", "words", "certain"),
    [
        (Told(removed=3), "3 jobs were removed", True),
        (Told(), "does not say", False),
        (Told(left="cluster: no answer [E200]"), "may be left", False),
    ],
)
def test_after_cancelling_it_is_said_what_is_left(told: Told, words: str, certain: bool) -> None:  # noqa: FBT001 - a case
    """What septum's own log says, and no more."""
    before = view(job("septum-submit"), job("septum-collect", "running", 2))
    left = left_by(
        before, view(job("septum-submit"), job("septum-collect", "canceled", 2), status="canceled", told={2: told})
    )

    assert words in left.lines[0]
    assert left.certain is certain


def test_a_collect_whose_jobs_were_removed_is_retried_with_its_submit() -> None:
    """Else it would find nothing; one that failed by itself goes on alone."""
    submit, collect = job("septum-submit", number=1), job("septum-collect", "canceled", 2)
    cancelled = view(submit, collect, status="canceled")
    failed = view(submit, job("septum-collect", "failed", 2), status="failed")
    emptied = View(pipeline=failed.pipeline, jobs=failed.jobs, told={2: Told(none_left=True)})

    for shown, names in ((cancelled, [1, 2]), (failed, [2]), (emptied, [1, 2])):
        assert [found.id for found in with_submits(shown, retryable(shown))] == names
    assert "nothing is submitted twice" in what_retry_does(failed, submit)
    assert "goes on where" in what_retry_does(failed, failed.jobs[1])
