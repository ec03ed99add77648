"""Asking a GitLab that is slow, away, closed, full or lying; and what travels to it, and to whom else."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from septum.credentials.secret import Secret
from septum.errors import GitlabRefusedError, NotOnGitlabError, SeptumError, TryAgainError, UsageError
from septum.watching import door as door_module
from septum.watching import watch as watch_module
from septum.watching.door import Door, Mark, Patience
from septum.watching.model import View
from septum.watching.place import Place
from septum.watching.watch import Watch, follow
from tests.fakes import gitlab_pipelines
from tests.fakes.gitlab_pipelines import Job, Pipeline, Pipelines
from tests.fakes.gitlab_server import HTML, MAINTAINER, READ_ONLY, STRANGER, Fault, GitlabServer, serving, too_many
from tests.fakes.object_store import storing
from tests.unit.test_watching_trace import of_collect

PATH = "my-group/dimuon"
JOBS = "GET /projects/:id/pipelines/:pipeline_id/jobs"
LIST = "GET /projects/:id/pipelines"
BRIDGES = "GET /projects/:id/pipelines/:pipeline_id/bridges"
TRACE = "GET /projects/:id/jobs/:job_id/trace"
FILE = "GET /projects/:id/jobs/:job_id/artifacts/(?P<artifact_path>.+)"
CANCEL = "POST /projects/:id/pipelines/:pipeline_id/cancel"
RETRY = "POST /projects/:id/pipelines/:pipeline_id/retry"
RETRY_JOB = "POST /projects/:id/jobs/:job_id/retry"
ASKS: dict[str, Callable[[Door], object]] = {
    LIST: lambda door: door.latest(ref="main"),
    JOBS: lambda door: door.jobs(900),
    "GET /projects/:id/pipelines/:pipeline_id": lambda door: door.pipeline(900),
    TRACE: lambda door: list(door.more(3, Mark())),
    BRIDGES: lambda door: door.children(900),
    FILE: lambda door: door.file(3, "result/logs/a", limit_b=100),
    CANCEL: lambda door: door.cancel(900),
    RETRY: lambda door: door.retry(900),
    RETRY_JOB: lambda door: door.retry_job(3),
}


@dataclass
class FakeClock:
    """Time that passes when somebody sleeps."""

    at_s: float = 1_790_000_000.0
    slept: list[float] = field(default_factory=list)
    then: Callable[[], None] = lambda: None

    def now(self) -> float:
        """The time."""
        return self.at_s

    def sleep(self, seconds: float) -> None:
        """Something happens meanwhile."""
        self.at_s += seconds
        self.slept.append(seconds)
        self.then()


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_RETRIES", 1)


@pytest.fixture
def server() -> Iterator[GitlabServer]:
    """GitLab with one project."""
    with serving(*gitlab_pipelines.ENDPOINTS) as made:
        made.add_project(PATH)
        yield made
        while _DOORS:
            _DOORS.pop().close()


@pytest.fixture
def pipelines(server: GitlabServer) -> Pipelines:
    """Its pipelines: one in which collect has failed."""
    found = Pipelines.of(next(iter(server.projects.values())))
    trace = of_collect("1 verified", rest="septum: part 0001: no [E301]\n")
    collect = Job(id=3, name="septum-collect", status="failed", trace=trace, files={"result/logs/a": b"x" * 200})
    found.add(Pipeline(id=900, jobs=[Job(id=1, name="septum-submit"), collect]))
    return found


_DOORS: list[Door] = []


def door_of(server: GitlabServer, token: str = MAINTAINER, *, waits_s: float = 20.0) -> Door:
    """The door to it; it is closed after the test."""
    patience = Patience(question=waits_s, silence=waits_s, whole=30.0)
    _DOORS.append(Door(Place(url=server.url, project=PATH), Secret(token), patience=patience))
    return _DOORS[-1]


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────

AWAY, CLOSED, GONE = TryAgainError, GitlabRefusedError, NotOnGitlabError
FAULTS: dict[str, tuple[Fault, type[SeptumError], str]] = {
    "401": (Fault(status=401), CLOSED, "HTTP 401"),
    "403": (Fault(status=403), CLOSED, "HTTP 403"),
    "404": (Fault(status=404), GONE, "HTTP 404"),
    "429": (too_many(), AWAY, "HTTP 429"),
    "429-later": (too_many("3600"), AWAY, "it wants none for 60 min"),
    "429-nonsense": (too_many("soon"), AWAY, ""),
    "502-html": (Fault(status=502, data=b"<html>", headers={"Content-Type": "text/html"}), AWAY, "HTTP 502"),
    "hang-up": (Fault(hang_up=True), AWAY, ""),
    "slow": (Fault(delay_s=5.0), AWAY, ""),
}


@pytest.mark.usefixtures("pipelines")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("endpoint", ASKS)
def test_every_question_has_a_clear_end(server: GitlabServer, endpoint: str, fault: str) -> None:
    """Whatever GitLab does, there is one error that says what was asked, what came, and what to do."""
    wrong, kind, evidence = FAULTS[fault]
    server.fail(endpoint, wrong)
    door = door_of(server, waits_s=0.25 if fault == "slow" else 20.0)
    if (endpoint, fault) == (FILE, "404"):
        assert ASKS[endpoint](door) is None  # which is an answer
        return
    began = time.monotonic()
    with pytest.raises(SeptumError) as caught:
        ASKS[endpoint](door)
    error = caught.value

    assert isinstance(error, kind)
    assert evidence in error.evidence
    assert error.fix
    assert time.monotonic() - began < 5
    assert "glpat" not in f"{error}{error.__cause__!r}"


@pytest.mark.usefixtures("pipelines")
@pytest.mark.parametrize("endpoint", [LIST, JOBS, CANCEL, RETRY_JOB])
@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        Fault(status=200, data={"message": "hello"}),
        Fault(status=200, data=[1, "x", None]),
        Fault(status=200, data=[{"id": "x"}]),
        Fault(status=200, data=b"{"),
        Fault(status=200, data=None),
    ],
    ids=["html", "object", "list", "strange", "cut", "nothing"],
)
def test_what_is_no_gitlab_is_said_to_be_none(server: GitlabServer, endpoint: str, answer: Fault) -> None:
    """A login page, another service, half an answer: no traceback, and no nonsense on the screen."""
    server.fail(endpoint, answer)
    with pytest.raises((UsageError, TryAgainError, NotOnGitlabError), match="gitlab:"):
        ASKS[endpoint](door_of(server))


def test_a_stranger_sees_nothing(server: GitlabServer, pipelines: Pipelines) -> None:
    """GitLab says 404 for what a token may not see, and the error says so."""
    with pytest.raises(NotOnGitlabError) as caught:
        door_of(server, STRANGER).jobs(900)
    assert "may not see" in caught.value.evidence
    assert pipelines.found


@pytest.mark.usefixtures("pipelines")
def test_the_scope_read_api_is_enough_to_look_and_no_more(server: GitlabServer) -> None:
    """To change something it wants more, and the error says what."""
    reader = door_of(server, READ_ONLY)
    assert reader.jobs(900)[0].status == "failed"
    assert reader.latest().id == 900
    for endpoint in (CANCEL, RETRY, RETRY_JOB):
        with pytest.raises(GitlabRefusedError, match="change") as caught:
            ASKS[endpoint](reader)
        assert "scope 'api'" in caught.value.fix
    assert [request.status for request in server.requests if request.changes] == [403, 403, 403]


def test_a_retry_is_asked_for_once(server: GitlabServer, pipelines: Pipelines) -> None:
    """GitLab carried it out, and the line went dead: a second question would be a second retry, or a false no."""
    server.fail(RETRY_JOB, Fault(status=502, after=True), times=1)
    with pytest.raises(TryAgainError) as caught:
        door_of(server).retry_job(3)

    assert "septum status" in caught.value.fix
    assert [job.name for job in pipelines.found[0].jobs] == ["septum-submit", "septum-collect", "septum-collect"]


# ── pages, and the newest ───────────────────────────────────────────────────────────────────────────────────────


def test_all_pages_of_ci_jobs_are_read(server: GitlabServer, pipelines: Pipelines) -> None:
    """250 CI jobs come on three pages, from the address that we know, each once."""
    pipelines.add(Pipeline(id=901, jobs=[Job(id=100 + number, name=f"lint-{number}") for number in range(250)]))
    door = door_of(server)
    pipeline, jobs = door.jobs(901)

    assert [job.id for job in jobs] == list(range(100, 350))
    assert (pipeline.id, pipeline.status, door.requests) == (901, "success", 3)


def test_the_newest_of_branch_and_commit_counts(server: GitlabServer, pipelines: Pipelines) -> None:
    """The pipeline of a merge request stands under the commit alone."""
    pipelines.add(Pipeline(id=902, ref="refs/merge-requests/5/head", sha="c" * 40))
    pipelines.add(Pipeline(id=903, ref="other"))
    door = door_of(server)

    assert door.latest(ref="main", sha="c" * 40).id == 902
    assert door.latest(ref="main").id == 900
    assert door.latest().id == 903
    with pytest.raises(NotOnGitlabError, match="branch nothing"):
        door.latest(ref="nothing", sha="d" * 40)


# ── traces ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "whole"])
@pytest.mark.parametrize("etags", [True, False], ids=["etags", "no-etags"])
def test_of_a_trace_only_what_is_new_is_taken(
    server: GitlabServer, pipelines: Pipelines, *, ranges: bool, etags: bool
) -> None:
    """By a part, or by all of it once more; and nothing at all if it is the same."""
    pipelines.ranges, pipelines.etags = ranges, etags
    job, mark, door = pipelines.job(3), Mark(), door_of(server)
    job.trace = b"a" * 20_000
    taken, sent = [], []
    for more in (b"", b"", b"b" * 500, b"", b"c"):
        job.trace += more
        taken.append(b"".join(door.more(3, mark)))
        sent.append(mark.sent)

    assert taken == [b"a" * 20_000, b"", b"b" * 500, b"", b"c"]
    assert sent[1] == (0 if ranges or etags else 20_000)
    assert sent[2] == (500 if ranges else 20_500)


def test_a_part_that_nobody_asked_for_is_refused(server: GitlabServer, pipelines: Pipelines) -> None:
    """A proxy that answers with another part would make lines of two halves."""
    mark, door = Mark(), door_of(server)
    assert b"".join(door.more(3, mark)) == pipelines.job(3).trace
    server.fail(
        TRACE, Fault(status=206, data=b"x", headers={"Content-Range": "bytes 5-5/6", "Content-Type": "text/plain"})
    )
    with pytest.raises(UsageError, match="as a GitLab does"):
        list(door.more(3, mark))


def test_a_large_trace_is_read_in_little_memory(server: GitlabServer, pipelines: Pipelines) -> None:
    """20 MB in lines leave what septum said, in less than half of that."""
    collect = pipelines.job(3)
    collect.trace = of_collect("1 idle", rest=("noise " * 20 + "\n") * 160_000) + of_collect("1 verified")
    watch = Watch(door_of(server), 900, FakeClock())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = watch.look().told[3]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)

    assert told.parts == {"verified": 1}
    assert grown < 10 << 20


def test_an_endless_trace_ends(server: GitlabServer, pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a limit a trace is not read any more, and not asked for again."""
    monkeypatch.setattr(watch_module, "LARGEST_B", 100_000)
    pipelines.job(3).status = "running"
    pipelines.job(3).trace = of_collect("1 idle", *["x" * 100] * 5000, "1 verified")
    watch = Watch(door_of(server), 900, FakeClock())

    assert watch.look().told[3].parts == {"idle": 1}
    assert watch.look().requests == 1


# ── following ───────────────────────────────────────────────────────────────────────────────────────────────────


def _follow(watch: Watch, clock: FakeClock, seen: list[View], warned: list[TryAgainError]) -> View:
    return follow(watch, clock=clock, every_s=10.0, show=seen.append, warn=warned.append)


def test_a_pipeline_is_followed_to_its_end(server: GitlabServer, pipelines: Pipelines) -> None:
    """From the first line to the last; two questions a look, and no bytes twice."""
    pipelines.ranges = True
    collect = pipelines.job(3)
    collect.status, collect.trace = "running", of_collect("4 idle")
    steps: Iterator[tuple[str, bytes]] = iter(
        [
            ("running", b"" * 1),
            ("running", of_collect("2 running, 2 verified")),
            (
                "success",
                of_collect("4 verified", rest="dimuon: 4 of 4 parts are in\nthe whole story: result/report.html\n"),
            ),
        ]
    )

    def step() -> None:
        status, more = next(steps)
        collect.status, collect.trace = status, collect.trace + more

    seen: list[View] = []
    clock = FakeClock(then=step)
    view = _follow(Watch(door_of(server), 900, clock), clock, seen, [])

    assert [found.told[3].says for found in seen] == ["4 idle", "4 idle", "2 running, 2 verified", "4 verified"]
    assert (view.pipeline.status, view.told[3].summary) == ("success", "dimuon: 4 of 4 parts are in")
    assert {found.requests for found in seen} == {2}
    assert clock.slept == [10.0] * 3


def test_gitlab_may_be_away_for_a_while(server: GitlabServer, pipelines: Pipelines) -> None:
    """It is said once, and the rest follows; meanwhile GitLab is asked less and less."""
    pipelines.job(3).status = "running"
    server.fail(JOBS, Fault(status=503), times=6)
    seen: list[View] = []
    warned: list[TryAgainError] = []

    def step() -> None:
        pipelines.job(3).status = "success"

    clock = FakeClock(then=step)
    assert _follow(Watch(door_of(server), 900, clock), clock, seen, warned).pipeline.status == "success"
    assert (len(warned), len(seen), clock.slept) == (1, 1, [20.0, 40.0, 80.0])


@pytest.mark.usefixtures("pipelines")
def test_gitlab_may_not_be_away_for_ever(server: GitlabServer) -> None:
    """After a quarter of an hour it is an error to try again on."""
    server.fail(JOBS, Fault(status=401 + 102))
    clock = FakeClock()
    clock.then = lambda: setattr(clock, "at_s", clock.at_s + 400)
    with pytest.raises(TryAgainError):
        _follow(Watch(door_of(server), 900, clock), clock, [], [])
    assert len(clock.slept) == 3


def test_a_token_that_ends_meanwhile_ends_it(server: GitlabServer, pipelines: Pipelines) -> None:
    """A refusal is no outage."""
    pipelines.job(3).status = "running"
    clock = FakeClock(then=lambda: server.fail(JOBS, Fault(status=401)))
    with pytest.raises(GitlabRefusedError):
        _follow(Watch(door_of(server), 900, clock), clock, [], [])


# ── the token ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_token_does_not_go_to_the_store(server: GitlabServer, pipelines: Pipelines) -> None:
    """A download leads to another host, which gets no header of GitLab's; the file comes all the same."""
    with storing() as store:
        pipelines.store = store.url
        store.files["/3/result/logs/a"] = b"from the store"

        assert door_of(server).file(3, "result/logs/a", limit_b=100) == b"from the store"
    assert len(store.headers) == 1
    assert not {name.lower() for name in store.headers[0]} & {"private-token", "job-token", "authorization", "cookie"}


@pytest.mark.usefixtures("pipelines")
@pytest.mark.parametrize("endpoint", [LIST, JOBS, TRACE, CANCEL])
def test_the_token_does_not_follow_gitlab_elsewhere(server: GitlabServer, endpoint: str) -> None:
    """Nor does it where GitLab itself sends us to another host."""
    with storing() as store:
        server.fail(endpoint, Fault(status=302, headers={"Location": f"{store.url}/api/v4/x"}))
        with pytest.raises(SeptumError):
            ASKS[endpoint](door_of(server))
    assert "glpat" not in str(store.headers)


@pytest.mark.usefixtures("pipelines")
def test_a_file_is_cut_where_it_is_too_large(server: GitlabServer) -> None:
    """The beginning is enough to show."""
    assert door_of(server).file(3, "result/logs/a", limit_b=50) == b"x" * 50
