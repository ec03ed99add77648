"""What a sweep decides, and what it does with a queue that does not do as it is told."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from septum.backends.htcondor import queue
from septum.backends.htcondor.bindings import CallError
from septum.backends.htcondor.queue import Queue, begins
from septum.cli import main
from septum.clusters.catalog import load_profile
from septum.errors import (
    ClusterUnreachableError,
    GitlabRefusedError,
    LeftBehindError,
    SeptumError,
    TryAgainError,
    UsageError,
)
from septum.stages.sweep import Row, error_of
from septum.states import JobState
from septum.sweep import (
    ALIVE,
    ENDED,
    Answer,
    Job,
    Project,
    Sight,
    by_pipeline,
    decide,
    pipeline_of,
    project_of,
    seconds_of,
)

OURS = Project(host="gitlab.example.org", number=42, current=1000)
HASH = "7e50e86db0bb0108"
NOW = 1_790_000_000.0
DAY = 86400.0
STATES = (JobState.IDLE, JobState.RUNNING, JobState.HELD, JobState.ENDED)


def job(state: JobState = JobState.IDLE, *, proc: int = 0, **more: Any) -> Job:
    """A job of pipeline 900."""
    told = {"cluster": 7, "proc": proc, "tag": f"gitlab.example.org/42/900/septum/{HASH}", "state": state, **more}
    return Job(**told)


def one_of_each() -> list[Job]:
    """Idle, running, held, ended."""
    return [job(state, proc=number) for number, state in enumerate(STATES)]


def ended(status: str = "failed", ago_s: float | None = 2 * DAY) -> Answer:
    """GitLab's answer about a pipeline that has ended."""
    return Answer(sight=Sight.SEEN, status=status, ended_s=None if ago_s is None else NOW - ago_s)


def goes(jobs: Sequence[Job], answer: Answer, keep_outputs_s: float = DAY) -> list[int]:
    """The procs that are to go."""
    return [item.proc for item in decide(900, jobs, answer, now_s=NOW, keep_outputs_s=keep_outputs_s).goes]


# ── what goes ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", sorted(ENDED))
def test_all_jobs_of_a_pipeline_that_ended_long_ago_go(status: str) -> None:
    """The outputs, too, that nobody fetched in all that time."""
    assert goes(one_of_each(), ended(status)) == [0, 1, 2, 3]


@pytest.mark.parametrize("ago_s", [0.0, DAY - 1, DAY, -3600.0, None], ids=str)
def test_outputs_wait_for_a_retry(ago_s: float | None) -> None:
    """Until the time is over for certain: not when GitLab told no end, nor one in the future."""
    decision = decide(900, one_of_each(), ended(ago_s=ago_s), now_s=NOW, keep_outputs_s=DAY)

    assert [item.proc for item in decision.goes] == [0, 1, 2]
    assert not decision.outputs_go
    assert "1 output kept for a retry until 24 h 00 min after its end" in decision.why


def test_the_end_of_a_pipeline_is_told_in_days() -> None:
    """A number of hours in the thousands says nothing."""
    told = [decide(900, [job()], ended(ago_s=ago_s), now_s=NOW, keep_outputs_s=DAY).why for ago_s in (60, 103.9 * DAY)]

    assert told == ["it ended 1 min 00 s ago", "it ended 103 days ago"]


def test_outputs_of_a_deleted_pipeline_go() -> None:
    """No CI job of it can be retried."""
    decision = decide(900, one_of_each(), Answer(sight=Sight.DELETED), now_s=NOW, keep_outputs_s=DAY)

    assert len(decision.goes) == 4
    assert decision.outputs_go
    assert decision.status == "deleted"


@pytest.mark.parametrize(
    "status",
    [*sorted(ALIVE), "paused", "Failed", "FAILED", "", "success "],
)
def test_jobs_of_a_pipeline_that_goes_on_stay(status: str) -> None:
    """Also when its status is one that GitLab does not have today."""
    assert goes(one_of_each(), Answer(sight=Sight.SEEN, status=status, ended_s=NOW - 99 * DAY)) == []


@pytest.mark.parametrize("sight", [Sight.CURRENT, Sight.HIDDEN, Sight.FORBIDDEN, Sight.SILENT])
def test_what_is_not_known_stays(sight: Sight) -> None:
    """Whatever else stands in the answer."""
    decision = decide(900, one_of_each(), Answer(sight=sight, status="failed"), now_s=NOW, keep_outputs_s=1)

    assert list(decision.goes) == []
    assert decision.undecided == (sight is not Sight.CURRENT)


def test_jobs_without_files_are_told_of() -> None:
    """Those of a run that goes on are for the run itself: code 16 for over an hour is said, and nothing else done."""
    old = [job(JobState.HELD, proc=number, hold_code=16, since_s=3700) for number in range(2)]
    young = job(JobState.HELD, proc=2, hold_code=16, since_s=60)
    other = job(JobState.HELD, proc=3, hold_code=13, since_s=9999)
    decision = decide(
        900, [*old, young, other], Answer(sight=Sight.SEEN, status="running"), now_s=NOW, keep_outputs_s=1
    )

    assert list(decision.goes) == []
    assert "2 jobs without input files for over an hour" in decision.why
    assert goes([*old, young, other], ended()) == [0, 1, 2, 3]


def test_nothing_but_an_ended_pipeline_removes_a_job() -> None:
    """Thousands of answers at random: a job goes only if the pipeline was seen to have ended, or to be deleted."""
    chance = random.Random(4)
    statuses = [*ENDED, "running", "manual", "canceling", "", "?"]
    removed = 0
    for _ in range(3000):
        answer = Answer(
            sight=chance.choice(list(Sight)),
            status=chance.choice(statuses),
            ended_s=chance.choice([None, NOW - chance.uniform(-2, 5) * DAY]),
        )
        jobs = [job(chance.choice(STATES), proc=number) for number in range(chance.randrange(6))]
        decision = decide(900, jobs, answer, now_s=NOW, keep_outputs_s=DAY)
        removed += len(decision.goes)
        if decision.goes:
            assert answer.sight is Sight.DELETED or (answer.sight is Sight.SEEN and answer.status in ENDED)
        if decision.outputs_go and answer.sight is Sight.SEEN:
            assert answer.ended_s is not None
            assert NOW - answer.ended_s > DAY
        assert set(decision.goes) <= set(jobs)
    assert removed > 500


# ── whose a job is ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rest", [f"-/{HASH}", f"septum/{HASH}", f"a/b:c_d.e/{HASH}"])
def test_tags_of_this_project(rest: str) -> None:
    """As `run_tag` writes them, with any prefix of the CI jobs."""
    assert pipeline_of(f"gitlab.example.org/42/900/{rest}", OURS) == 900


@pytest.mark.parametrize(
    "tag",
    [
        f"gitlab.example.org/43/900/septum/{HASH}",
        f"gitlab.example.org/420/900/septum/{HASH}",
        f"gitlab.example.com/42/900/septum/{HASH}",
        f"GITLAB.example.org/42/900/septum/{HASH}",
        f"gitlabXexample.org/42/900/septum/{HASH}",
        f"x.gitlab.example.org/42/900/septum/{HASH}",
        f"laptop/42/-/septum/{HASH}",
        f"laptop/gitlab.example.org/42/900/septum/{HASH}",
        f'gitlab.example.org/42/900"||true||"/septum/{HASH}',
        f"gitlab.example.org/42/../42/900/septum/{HASH}",
        f"gitlab.example.org/42/0900/septum/{HASH}",
        f"gitlab.example.org/42/0/septum/{HASH}",
        f"gitlab.example.org/42/-900/septum/{HASH}",
        f"gitlab.example.org/42/9{'0' * 30}/septum/{HASH}",
        f"gitlab.example.org/42/९००/septum/{HASH}",
        f"gitlab.example.org/42/900 /septum/{HASH}",
        f"gitlab.example.org/42/900/{HASH}",
        f"gitlab.example.org/42//septum/{HASH}",
        f"gitlab.example.org/42/900/septum/{HASH}\n",
        f"gitlab.example.org/42/900/septum/{HASH[:-1]}",
        f"gitlab.example.org/42/900/septum/{HASH.upper()}",
        f"gitlab.example.org/42/900/sep\x1b[2Jtum/{HASH}",
        "gitlab.example.org/42/900/septum",
        "gitlab.example.org/42/",
        "None",
        "",
    ],
)
def test_tags_that_septum_did_not_write_for_this_project(tag: str) -> None:
    """None of them is taken for a pipeline's, however near it comes."""
    known, strange = by_pipeline([job(tag=tag)], OURS)

    assert known == {}
    assert len(strange) == 1


def test_jobs_are_sorted_by_pipeline() -> None:
    """Two runs of one pipeline are asked for once."""
    tags = {0: f"901/a/{HASH}", 1: f"900/a/{HASH}", 2: f"901/b/{HASH}"}
    jobs = [job(proc=proc, tag=f"gitlab.example.org/42/{tag}") for proc, tag in tags.items()]
    known, _ = by_pipeline(jobs, OURS)

    assert {pipeline: [item.proc for item in found] for pipeline, found in known.items()} == {900: [1], 901: [0, 2]}
    assert list(known) == [900, 901]


@pytest.mark.parametrize(
    "changes",
    [
        {"CI_PROJECT_ID": "42/900"},
        {"CI_PROJECT_ID": ""},
        {"CI_PROJECT_ID": "-"},
        {"CI_PROJECT_ID": "4 2"},
        {"CI_PROJECT_ID": "42\n"},
        {"CI_SERVER_HOST": ""},
        {"CI_SERVER_HOST": "laptop"},
        {"CI_SERVER_HOST": 'gitlab"||true||"'},
        {"CI_SERVER_HOST": "gitlab/42"},
    ],
    ids=str,
)
def test_a_project_that_is_none(changes: dict[str, str]) -> None:
    """One clear error, and nothing that would match the jobs of more than one project."""
    environ = {"CI_SERVER_HOST": "gitlab.example.org", "CI_PROJECT_ID": "42", "CI_PIPELINE_ID": "1000"}

    assert project_of(environ) == OURS
    with pytest.raises(UsageError, match="which project's jobs"):
        project_of({**environ, **changes})


def test_a_pipeline_that_is_none() -> None:
    """Outside of a pipeline nothing is current."""
    assert project_of({"CI_SERVER_HOST": "g", "CI_PROJECT_ID": "42", "CI_PIPELINE_ID": "-"}).current is None


def test_constraint_cannot_be_broken_out_of() -> None:
    """A text is compared as it is, with its own length."""
    assert begins("g/42/") == 'substr(SeptumRun, 0, 5) =?= "g/42/"'
    assert begins('a"\\') == 'substr(SeptumRun, 0, 3) =?= "a\\"\\\\"'


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:00.000Z", 60.0),
        ("1970-01-01T01:01:00.000+01:00", 60.0),
        ("1970-01-01T00:01:00Z", 60.0),
        ("yesterday", None),
        ("", None),
        (None, None),
        (60, None),
        ("9999-99-99T00:00:00Z", None),
    ],
)
def test_times_of_gitlab(text: object, seconds: float | None) -> None:
    """What is no time is not taken for one."""
    assert seconds_of(text) == seconds


# ── a queue that does not do as it is told ──────────────────────────────────────────────────────────────────────


class Schedd:
    """Stands in for the process with the bindings: removes some, denies some, and remembers what it was asked."""

    def __init__(self, *, gone: int = 0, kind: str = "", left: int = 0) -> None:
        self.gone, self.kind, self.left = gone, kind, left
        self.constraints: list[str] = []

    def call(self, name: str, *, constraint: str = "", **_: object) -> object:
        """Answer one call."""
        if name == "ping":
            return {}
        self.constraints.append(constraint)
        if name == "query":
            return [{"ProcId": number} for number in range(self.left)]
        if self.kind:
            raise CallError(self.kind, f"no permission to remove {self.left} jobs")
        return self.gone


def queue_of(schedd: Schedd, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue at that schedd."""
    monkeypatch.setattr(queue, "Bindings", lambda **_: schedd)
    monkeypatch.setattr(queue, "client_environment", lambda *_: {})
    profile = load_profile("infn-af", environ={}, root=Path(), complete=False).profile
    return Queue(profile, None, Path())  # type: ignore[arg-type]


def test_removal_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all went there is no second question; the jobs are named one by one, and those that ended are spared."""
    schedd = Schedd(gone=3)

    assert queue_of(schedd, monkeypatch).remove("g/42/900/", one_of_each()[:3], ended=False) == (0, "")
    (constraint,) = schedd.constraints
    assert constraint == (
        'substr(SeptumRun, 0, 9) =?= "g/42/900/" && ((ClusterId == 7 && ((ProcId >= 0 && ProcId <= 2)))) '
        "&& JobStatus != 3 && JobStatus != 4"
    )


def test_jobs_that_went_by_themselves_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer were removed than asked for, and none is left: they had gone already."""
    assert queue_of(Schedd(gone=1), monkeypatch).remove("g/42/900/", one_of_each(), ended=True) == (0, "")


def test_jobs_of_somebody_else_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedd removes what is ours and denies the rest: what is left is counted, with its words."""
    left, words = queue_of(Schedd(kind="denied", left=2), monkeypatch).remove("g/42/900/", one_of_each(), ended=True)

    assert left == 2
    assert "no permission to remove 2 jobs" in words


def test_a_schedd_that_does_not_answer_is_no_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one that allows this client nothing."""
    for kind, error in (("timeout", ClusterUnreachableError), ("bindings", SeptumError)):
        with pytest.raises(error):
            queue_of(Schedd(kind=kind), monkeypatch).remove("g/42/900/", one_of_each(), ended=True)


def test_many_jobs_are_removed_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """No constraint grows with the pipeline."""
    schedd = Schedd(gone=1000)
    jobs = [job(proc=2 * number) for number in range(2500)]

    queue_of(schedd, monkeypatch).remove("g/42/900/", jobs, ended=True)

    assert len([text for text in schedd.constraints if "ProcId" in text]) == 4  # 3 batches; the last is looked after
    assert max(map(len, schedd.constraints)) < 25_000


# ── what a sweep ends with ──────────────────────────────────────────────────────────────────────────────────────


def row(sight: Sight, *, left: int = 0, **more: Any) -> Row:
    """A pipeline of one job, and what became of it."""
    answer = Answer(sight=sight, words=f"words of {sight.name}", **more)
    return Row(decision=decide(900, [job()], answer, now_s=NOW, keep_outputs_s=DAY), left=left)


SEEN, GOES_ON = row(Sight.SEEN, status="failed"), row(Sight.SEEN, status="running")
CURRENT, HIDDEN, SILENT = row(Sight.CURRENT), row(Sight.HIDDEN), row(Sight.SILENT)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([], None),
        ([CURRENT], None),
        ([SEEN, GOES_ON, CURRENT], None),
        ([SEEN, HIDDEN, SILENT], None),
        ([GOES_ON, SILENT], None),
        ([row(Sight.DELETED), row(Sight.FORBIDDEN)], None),
        ([CURRENT, HIDDEN], GitlabRefusedError),
        ([row(Sight.FORBIDDEN)], GitlabRefusedError),
        ([CURRENT, SILENT], TryAgainError),
        ([HIDDEN, SILENT], TryAgainError),
        ([SEEN, row(Sight.SEEN, status="failed", left=2), SILENT], LeftBehindError),
    ],
)
def test_what_a_sweep_ends_with(rows: list[Row], error: type[SeptumError] | None) -> None:
    """Nothing known is an error, a part of it is not; what is left behind always is."""
    found = error_of(rows)

    assert type(found) is (error or type(None))
    if found is not None:
        assert found.fix
        assert found.evidence


# ── the command ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["soon", "-1 d", "0 s", "1", ""])
def test_a_wrong_duration(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Said before anything is asked."""
    assert main(["sweep", f"--keep-outputs={text}"]) == 2
    assert "--keep-outputs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({}, 0, "the parts of a local run end with their septum"),
        ({"CI_SERVER_HOST": ""}, 2, "which project's jobs to look at is not known"),
    ],
)
def test_on_this_machine(
    changes: dict[str, str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """There is nothing to sweep; but somebody who is in no CI job is told so."""
    for name, value in {"CI_SERVER_HOST": "g.example", "CI_PROJECT_ID": "42", "SEPTUM_CLUSTER": "", **changes}.items():
        monkeypatch.setenv(name, value)

    assert main(["sweep"]) == code
    captured = capsys.readouterr()
    assert words in captured.out + captured.err
