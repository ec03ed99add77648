"""The backend `reana` on a server that really runs the workflows, and that fails as servers do."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from septum.backends.base import JobReport, Run
from septum.backends.reana import ReanaBackend, check
from septum.clusters.profile import Profile
from septum.credentials.held import Credentials, Held
from septum.credentials.provider import Kind
from septum.errors import (
    AuthenticationError,
    ClusterUnreachableError,
    ClusterUnusableError,
    QuotaExceededError,
    SeptumError,
    SubmitRefusedError,
)
from septum.facility.process import wait_until
from septum.plan import Plan
from septum.state import State
from septum.states import JobState
from tests.fakes.analyses import plan_of
from tests.fakes.reana import tools
from tests.fakes.reana.handle import ReanaServer, reana_server

pytestmark = pytest.mark.skipif(bool(tools.unavailable()), reason=tools.unavailable() or "it runs")

LIST, LISTING = "GET /api/workflows", "GET /api/workflows/{workflow_id_or_name}/workspace"
OVER = {JobState.ENDED, JobState.REMOVED, JobState.HELD, JobState.LOST}


@dataclass(slots=True, kw_only=True)
class World:
    """A run on the server, and as many backends of it as a test wants."""

    server: ReanaServer
    root: Path
    plan: Plan
    profile: Profile
    credentials: Credentials
    tag: str = field(default_factory=lambda: f"laptop/{secrets.token_hex(4)}/-/-/0")
    opened: list[ReanaBackend] = field(default_factory=list)

    def backend(self, **changes: object) -> ReanaBackend:
        """A backend as another septum would have it."""
        run = Run(tag=self.tag, plan=self.plan, folder=self.root / "state")
        made = ReanaBackend(run, self.profile.model_copy(update=changes), self.credentials)
        self.opened.append(made)
        return made

    @property
    def ids(self) -> list[str]:
        """The parts."""
        return [part.id for part in self.plan.parts]

    def submit(self, backend: ReanaBackend, *, number: int = 1, lease_s: float = 1000) -> Sequence[str]:
        """Submit all parts; returns their jobs."""
        until_s = time.time() + lease_s
        return list(backend.submit(self.plan.parts, lease_until_s=until_s, number=number).values())

    def until(
        self, backend: ReanaBackend, state: Callable[[dict[str, JobReport]], bool] | None = None
    ) -> dict[str, JobReport]:
        """Poll until all parts have ended, or until the reports are as wanted."""
        found: dict[str, JobReport] = {}

        def done() -> bool:
            found.update(backend.poll(self.ids, everything=True) or {})
            return state(found) if state else all(report.state in OVER for report in found.values())

        assert wait_until(done, timeout_s=60, interval_s=0.2), found
        return found

    def delivered(self, backend: ReanaBackend) -> dict[str, str]:
        """The output of each part, fetched."""
        into = self.root / secrets.token_hex(4)
        backend.fetch(self.ids, into)
        return {part: (into / f"septum-{part}.out0").read_text().strip() for part in self.ids}

    def alive(self) -> list[str]:
        """The workflows of this run that are not deleted."""
        mine = [one for one in self.server.store.workflows() if one.status != "deleted"]
        return [one.full_name for one in mine if self.tag in str(one.specification)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReanaServer]:
    """One server for all."""
    with reana_server(tmp_path_factory.mktemp("reana"), slots=6, backends=("kubernetes", "slurmcern")) as server:
        yield server


@pytest.fixture
def build(server: ReanaServer, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes worlds."""
    made: list[World] = []

    def world(command: str = 'echo "$PART_seed" >out.txt', *, parts: int = 3, more: str = "") -> World:
        root = tmp_path / str(len(made))
        root.mkdir()
        (root / "data.txt").write_text("data\n")
        text = (
            "image: docker.io/library/busybox:1.36\noutputs: [out.txt]\ninputs: [data.txt]\nretries: 0\n"
            f"parts: {{product: {{seed: {{first: 0, last: {parts - 1}}}}}}}\n{more}command: |\n  {command}\n"
        )
        plan = plan_of(text, root)
        state = State(root / "state")
        state.store_plan(plan, lambda file: root / file.path)
        state.write_values(plan, image="")
        token = root / "token"
        token.write_text(server.token)
        credentials = Credentials(root)
        credentials.ca_file = server.ca_file
        credentials.held[Kind.TOKEN] = Held(
            kind=Kind.TOKEN, path=token, source="x", identity="x", expires_at=float("inf"), renewable=False
        )
        profile = Profile(name="r", method="reana", reana_server=server.url, credentials="access-token")
        made.append(World(server=server, root=root, plan=plan, profile=profile, credentials=credentials))
        return made[-1]

    yield world
    server.heal()
    server.hold_queue(held=False)
    for each in made:
        for backend in each.opened:
            backend.close()
        cleaner = each.backend()
        cleaner.remove(None)
        cleaner.close()


# ── all is well ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_part_delivers_and_the_workspace_goes(build: Callable[..., World]) -> None:
    """From the submission to the removal."""
    world = build(parts=5)
    backend = world.backend()

    jobs = world.submit(backend)
    reports = world.until(backend)

    assert {report.state for report in reports.values()} == {JobState.ENDED}
    assert [reports[part].job for part in world.ids] == jobs
    assert {(report.exit_code, report.attempts, report.number) for report in reports.values()} == {(0, 1, 1)}
    assert world.delivered(backend) == {part: str(int(part)) for part in world.ids}
    assert backend.count() == 5
    assert list(backend.pages()) == [jobs[0].partition("/")[0]]
    assert backend.remove(None) == 5
    assert (backend.count(), world.alive()) == (0, [])


def test_a_look_is_two_requests_and_a_part_is_one(build: Callable[..., World], server: ReanaServer) -> None:
    """Whatever the number of parts; and the first look of another septum one more."""
    world = build(parts=30)
    backend = world.backend()
    asked = server.asked()
    world.submit(backend)
    assert sum(count.times for count in server.requests(since=asked).values()) <= 14
    world.until(backend)
    asked = server.asked()

    backend.poll(world.ids, everything=True)
    assert {name: count.times for name, count in server.requests(since=asked).items()} == {LIST: 1, LISTING: 1}
    asked = server.asked()
    while backend.poll(world.ids, everything=False) is not None:
        asked = server.asked()
    assert {name: count.times for name, count in server.requests(since=asked).items()} == {LIST: 1}
    asked = server.asked()
    world.delivered(backend)
    assert sum(count.times for count in server.requests(since=asked).values()) == 30


def test_a_part_that_fails_ends_with_its_exit_code_and_no_other_part_with_it(build: Callable[..., World]) -> None:
    """The workflow goes on."""
    world = build('[ "$PART_seed" != 1 ] || exit 7; cat data.txt >out.txt')
    backend = world.backend()
    world.submit(backend)

    reports = world.until(backend)

    assert [reports[part].exit_code for part in world.ids] == [0, 7, 0]


# ── submitting ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("operation", ["create_workflow", "upload_file", "start_workflow", "get_files"])
def test_a_submission_that_breaks_anywhere_and_is_repeated_runs_each_part_once(
    build: Callable[..., World], server: ReanaServer, operation: str, *, after: bool
) -> None:
    """Be it that the request never arrived, or that its answer never did."""
    world = build()
    server.fail_next(operation, 0, times=4, after=after)
    with pytest.raises(SeptumError):
        world.submit(world.backend())
    server.heal()

    backend = world.backend()
    world.submit(backend)
    reports = world.until(backend)

    assert len({report.job.partition("/")[0] for report in reports.values()}) == 1
    assert {report.attempts for report in reports.values()} == {1}
    started = [name for name in world.alive() if server.workflow(name).status != "created"]
    assert len(started) == 1
    backend.remove(None)
    assert world.alive() == []


def test_a_submission_that_is_repeated_finds_its_workflow(build: Callable[..., World]) -> None:
    """By its name."""
    world = build()
    jobs = world.submit(world.backend())

    assert world.submit(world.backend()) == jobs
    assert len(world.alive()) == 1


def test_two_that_submit_at_once_make_one_workflow(build: Callable[..., World]) -> None:
    """The later one gives way."""
    world = build(parts=6)
    with ThreadPoolExecutor(3) as pool:
        jobs = list(pool.map(world.submit, [world.backend() for _ in range(3)]))

    assert jobs[0] == jobs[1] == jobs[2]
    reports = world.until(world.backend())
    assert {report.state for report in reports.values()} == {JobState.ENDED}
    assert len(world.alive()) == 1


def test_a_cut_upload_is_sent_again(build: Callable[..., World], server: ReanaServer) -> None:
    """The server keeps what arrived as if it were the file."""
    world = build()
    server.cut_upload(2)
    backend = world.backend()
    world.submit(backend)

    assert {report.state for report in world.until(backend).values()} == {JobState.ENDED}


def test_a_used_up_quota_is_told_and_leaves_nothing(build: Callable[..., World], server: ReanaServer) -> None:
    """With its numbers."""
    world = build()
    server.set_quota("disk", limit=1, used=2)
    try:
        with pytest.raises(QuotaExceededError) as caught:
            world.submit(world.backend())
        with pytest.raises(QuotaExceededError) as asked:
            check(world.profile, world.credentials, room=True)
        # A submission that was made already is found again, whatever room is left.
        assert "critical" in dict(check(world.profile, world.credentials))["quota"]
    finally:
        server.set_quota("disk", limit=0)

    assert "disk" in caught.value.evidence
    assert asked.value.evidence == "disk: 2 Bytes used of 1 Bytes"
    assert world.alive() == []


def test_a_compute_backend_that_is_not_there_is_told_before_anything_is_made(build: Callable[..., World]) -> None:
    """By the check, too."""
    world = build()
    with pytest.raises(ClusterUnusableError) as caught:
        world.submit(world.backend(reana_compute_backend="htcondorcern"))

    assert "kubernetes, slurmcern" in caught.value.evidence
    assert world.alive() == []
    with pytest.raises(ClusterUnusableError):
        check(world.profile.model_copy(update={"reana_compute_backend": "htcondorcern"}), world.credentials)
    assert dict(check(world.profile, world.credentials))["compute backends"] == "kubernetes, slurmcern"


def test_a_workflow_that_was_never_started_is_nobodys_job(build: Callable[..., World], server: ReanaServer) -> None:
    """Its septum was killed while it sent: another goes on with it, or removes it."""
    world = build()
    server.fail_next("start_workflow", 0, times=1)
    server.fail_next("set_workflow_status", 0, times=9)  # and could not clear up either
    with pytest.raises(ClusterUnreachableError):
        world.submit(world.backend())
    server.heal()

    assert len(world.alive()) == 1
    reports = world.backend().poll(world.ids, everything=True)
    assert reports is not None
    assert {report.state for report in reports.values()} == {JobState.LOST}
    assert world.backend().count() == 0
    asked = server.asked()
    backend = world.backend()
    world.submit(backend)
    uploads = server.requests(since=asked)["POST /api/workflows/{workflow_id_or_name}/workspace"].times
    assert uploads == 1  # the lease
    assert {report.state for report in world.until(backend).values()} == {JobState.ENDED}


# ── what breaks while it runs ───────────────────────────────────────────────────────────────────────────────────


def test_a_step_that_is_lost_runs_again_and_the_others_stay_done(
    build: Callable[..., World], server: ReanaServer
) -> None:
    """REANA ends the whole workflow with it."""
    world = build('[ "$PART_seed" != 1 ] || sleep 2; echo "$PART_seed" >out.txt', parts=4)
    server.fail_step("part_0001", once="septum/state/0000.ended", reason="Error")
    backend = world.backend()
    world.submit(backend)

    reports = world.until(backend)

    assert {report.state for report in reports.values()} == {JobState.ENDED}
    assert [reports[part].attempts for part in ("0000", "0001")] == [1, 2]
    assert reports["0001"].job.partition("/")[0].endswith(".1.1")
    assert world.delivered(backend) == {part: str(int(part)) for part in world.ids}
    backend.remove(None)
    assert world.alive() == []


def test_a_step_without_memory_is_held_as_that_and_the_others_deliver(
    build: Callable[..., World], server: ReanaServer
) -> None:
    """So another job may ask for more."""
    world = build('[ "$PART_seed" != 1 ] || sleep 30; echo "$PART_seed" >out.txt', parts=4)
    server.fail_step("part_0001")
    backend = world.backend()
    world.submit(backend)

    reports = world.until(backend)

    assert Counter(report.state for report in reports.values()) == {JobState.ENDED: 3, JobState.HELD: 1}
    assert reports["0001"].hold_code == 34
    assert "OOMKilled" in reports["0001"].reason


def test_a_step_that_is_lost_again_and_again_is_given_up(build: Callable[..., World], server: ReanaServer) -> None:
    """After three times, with what REANA has of it."""
    world = build('[ "$PART_seed" != 1 ] || sleep 30; echo "$PART_seed" >out.txt', parts=3)
    for attempt in (1, 2, 3):
        marker = f"septum/state/0001.began.{attempt}.{os.uname().nodename}"
        server.fail_step("part_0001", once=marker, reason="Error")
    backend = world.backend()
    world.submit(backend)

    reports = world.until(backend)

    assert [reports[part].state for part in world.ids] == [JobState.ENDED, JobState.REMOVED, JobState.ENDED]
    assert "without a verdict, 3 times" in reports["0001"].reason
    assert not reports["0001"].by_septum


def test_a_workflow_whose_engine_is_killed_goes_on(build: Callable[..., World], server: ReanaServer) -> None:
    """Its locks are taken away."""
    world = build('sleep 2; echo "$PART_seed" >out.txt', parts=3)
    backend = world.backend()
    name = world.submit(backend)[0].partition("/")[0]
    world.until(backend, lambda found: any(report.state is JobState.RUNNING for report in found.values()))

    server.kill_engine(name)

    assert {report.state for report in world.until(backend).values()} == {JobState.ENDED}


def test_a_token_that_was_renewed_is_used(build: Callable[..., World], server: ReanaServer) -> None:
    """And an old one is told, without itself."""
    world = build()
    backend = world.backend()
    world.submit(backend)
    path = world.credentials.token_file
    assert path is not None
    old = path.read_text()

    new = server.expire_token()

    with pytest.raises(AuthenticationError) as caught:
        backend.poll(world.ids, everything=True)
    assert old not in str(caught.value)
    path.write_text(new)
    assert {report.state for report in world.until(backend).values()} == {JobState.ENDED}


def test_a_server_that_goes_away_and_comes_back_has_the_run(build: Callable[..., World], server: ReanaServer) -> None:
    """The jobs go on meanwhile."""
    world = build('sleep 1; echo "$PART_seed" >out.txt')
    backend = world.backend()
    world.submit(backend)
    server.stop(kill=True)
    server.start()

    assert {report.state for report in world.until(backend).values()} == {JobState.ENDED}
    assert world.delivered(backend) == {part: str(int(part)) for part in world.ids}


@pytest.mark.parametrize("quiet", [False, True])
def test_a_cut_download_is_not_taken(build: Callable[..., World], server: ReanaServer, *, quiet: bool) -> None:
    """Neither one that breaks, which is fetched again, nor one that ends as if it were whole."""
    world = build()
    backend = world.backend()
    world.submit(backend)
    world.until(backend)
    server.cut_download(1, quiet=quiet)

    if quiet:
        with pytest.raises(ClusterUnreachableError, match="than it lists"):
            world.delivered(backend)
    assert world.delivered(backend) == {part: str(int(part)) for part in world.ids}


# ── removing, the lease, judgements ─────────────────────────────────────────────────────────────────────────────


def test_a_run_that_is_cancelled_is_known_as_that_by_others(build: Callable[..., World]) -> None:
    """With the reason; and holds no room but for it."""
    world = build("sleep 60")
    backend, other = world.backend(), world.backend()
    world.submit(backend)
    world.until(backend, lambda found: all(report.state is JobState.RUNNING for report in found.values()))

    assert backend.remove(None) == 3

    reports = other.poll(world.ids, everything=True)
    assert reports is not None
    assert {report.state for report in reports.values()} == {JobState.REMOVED}
    assert all(report.given_up for report in reports.values())
    assert (backend.count(), other.count()) == (0, 0)


@pytest.mark.parametrize("after", [None, False, True])
def test_a_run_that_waits_in_the_queue_is_removed_from_it(
    build: Callable[..., World], server: ReanaServer, *, after: bool | None
) -> None:
    """REANA stops only what runs; and the answer to that may be lost."""
    world = build()
    server.hold_queue(held=True)
    backend = world.backend()
    world.submit(backend)
    if after is not None:
        server.fail_next("create_workflow", 502, after=after)
    assert backend.remove(None) == 3
    server.hold_queue(held=False)

    assert backend.count() == 0
    assert {one.status for one in server.store.workflows() if one.full_name in world.alive()} <= {"created"}
    # The server tells nobody that it ever waited, and yet a septum that comes later knows.
    later = world.backend()
    reports = later.poll(world.ids, everything=True)
    assert reports is not None
    assert {report.state for report in reports.values()} == {JobState.REMOVED}
    assert all(report.given_up for report in reports.values())
    world.submit(later)
    assert {report.state for report in world.until(later).values()} == {JobState.ENDED}


def test_single_parts_are_removed_and_the_others_deliver(build: Callable[..., World]) -> None:
    """One that runs, and one that has ended."""
    world = build('[ "$PART_seed" != 1 ] || sleep 60; echo "$PART_seed" >out.txt')
    backend = world.backend()
    world.submit(backend)
    world.until(backend, lambda found: found["0000"].state is JobState.ENDED and found["0001"].attempts == 1)

    assert backend.remove(["0000", "0001"], reason="replaced") == 2

    reports = world.until(world.backend())
    assert [reports[part].state for part in world.ids] == [JobState.REMOVED, JobState.REMOVED, JobState.ENDED]
    assert reports["0000"].reason == "septum: replaced"
    assert backend.count() == 1


def test_what_has_ended_may_stay_when_the_rest_is_removed(build: Callable[..., World]) -> None:
    """A repeated collect takes it up."""
    world = build('[ "$PART_seed" != 1 ] || sleep 60; echo "$PART_seed" >out.txt')
    backend = world.backend()
    world.submit(backend)
    world.until(backend, lambda found: sum(report.state is JobState.ENDED for report in found.values()) == 2)
    backend.judge({"0001": "E301"})

    assert backend.remove(None, ended=False) == 1

    other = world.backend()
    reports = world.until(other)
    assert [reports[part].state for part in world.ids] == [JobState.ENDED, JobState.REMOVED, JobState.ENDED]
    assert (reports["0001"].judged, reports["0000"].collected, other.count()) == ("E301", True, 2)


def test_a_second_job_of_a_part_is_the_one_that_counts(build: Callable[..., World]) -> None:
    """It is in a workflow of its own."""
    world = build()
    backend = world.backend()
    world.submit(backend)
    world.until(backend)
    backend.remove(["0001"], reason="fetched")

    backend.submit([world.plan.by_id["0001"]], lease_until_s=time.time() + 1000, number=2, memory_b=1 << 30)

    reports = world.until(backend)
    assert [(reports[part].number, reports[part].state) for part in world.ids] == [
        (1, JobState.ENDED),
        (2, JobState.ENDED),
        (1, JobState.ENDED),
    ]


def test_parts_end_with_their_lease_and_not_before(build: Callable[..., World]) -> None:
    """An extended one is read while they run."""
    world = build("sleep 60")
    backend = world.backend()
    world.submit(backend, lease_s=1000)
    world.until(backend, lambda found: all(report.state is JobState.RUNNING for report in found.values()))

    backend.extend(time.time() - 10)

    reports = world.until(backend)
    assert {report.state for report in reports.values()} == {JobState.REMOVED}
    assert all("lease" in report.reason for report in reports.values())


@pytest.mark.parametrize(("how", "state"), [("stop", JobState.REMOVED), ("prune", JobState.LOST)])
def test_what_a_person_does_in_reana_is_seen(
    build: Callable[..., World], server: ReanaServer, how: str, state: JobState
) -> None:
    """And not taken for septum's own doing."""
    world = build("sleep 60" if how == "stop" else "echo a >out.txt")
    backend = world.backend()
    name = world.submit(backend)[0].partition("/")[0]
    if how == "stop":
        world.until(backend, lambda found: all(report.state is JobState.RUNNING for report in found.values()))
        world.opened[0]._client.stop(server.workflow(name).id)
    else:
        world.until(backend)

        def finished() -> bool:
            backend.poll(world.ids, everything=True)
            return server.workflow(name).status == "finished"

        assert wait_until(finished, timeout_s=30)
        server.prune(name)

    reports = backend.poll(world.ids, everything=True)

    assert reports is not None
    assert {report.state for report in reports.values()} == {state}
    assert not any(report.by_septum for report in reports.values())


def test_a_workspace_is_kept_where_the_profile_says_so(build: Callable[..., World]) -> None:
    """And its jobs are gone all the same."""
    world = build()
    backend = world.backend(reana_workspace="keep")
    world.submit(backend)
    world.until(backend)

    assert backend.remove(None) == 3
    assert (len(world.alive()), backend.count()) == (1, 0)


def test_another_version_of_a_submission_that_was_never_started_takes_its_place(
    build: Callable[..., World], server: ReanaServer
) -> None:
    """It would run with the memory of before."""
    world = build()
    server.fail_next("start_workflow", 0, times=1)
    server.fail_next("set_workflow_status", 0, times=9)
    with pytest.raises((ClusterUnreachableError, SubmitRefusedError)):
        world.submit(world.backend())
    server.heal()
    world.profile = replace_memory(world.profile)

    backend = world.backend()
    world.submit(backend)

    assert {report.state for report in world.until(backend).values()} == {JobState.ENDED}
    assert len(world.alive()) == 1


def replace_memory(profile: Profile) -> Profile:
    """The profile with another default."""
    return profile.model_copy(update={"default_memory": 3 << 30})
