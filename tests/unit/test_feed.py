"""What brings jobs into the queue: each part's once, as many as there is room for, whatever was interrupted before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from septum.backends.base import Run
from septum.clusters.profile import Profile
from septum.errors import ClusterUnreachableError, NoRoomError, SubmitRefusedError
from septum.feed import ROOM_PATIENCE_S, SPOOL_PATIENCE_S, Feeder
from septum.ledger import Ledger
from septum.plan import Part
from septum.states import JobState, PartState
from septum.worker.sandbox import WRAPPER, sent_names
from tests.fakes.analyses import plan_of, seeds
from tests.fakes.cluster import NORMAL, FakeBackend, FakeClock, FakeCluster, Step

LEASE_S = 7200
PARTS = 12


class Rig:
    """A planned run and a schedd in memory."""

    def __init__(self, folder: Path, count: int = PARTS, *, more: str = "", **profile: Any) -> None:
        self.plan = plan_of(seeds(count, more=more), folder)
        self.clock = FakeClock()
        self.cluster = FakeCluster(plan=self.plan, clock=self.clock, deliveries={})
        self.run = Run(tag="t", plan=self.plan, folder=folder / "state")
        self.run.sent.mkdir(parents=True)
        for name in {WRAPPER, *(name for part in self.plan.parts for name in sent_names(self.plan, part))}:
            (self.run.sent / name).write_bytes(bytes(100))
        self.files = len(sent_names(self.plan, self.plan.parts[0])) + 1
        values = {"poll_floor": 10, "poll_ceiling": 60, "lease": LEASE_S, "update_interval": 900, **profile}
        self.profile = Profile(name="c", method="htcondor", **values)
        self.said: list[str] = []
        self.ledger = Ledger(self.run.folder / "run.sqlite")
        ids = (part.id for part in self.plan.parts)
        self.ledger.begin(plan_hash=self.plan.hash, tag="t", parts=ids, now_s=self.clock.now())
        self.backend = FakeBackend(self.cluster)
        self.feeder = self.start()

    def start(self, gap_s: float = 0.0) -> Feeder:
        """A feeder as after a restart: it knows nothing."""
        return Feeder(
            run=self.run, backend=self.backend, ledger=self.ledger, profile=self.profile, gap_s=gap_s,
            say=self.said.append, clock=self.clock,
        )  # fmt: skip

    def count(self, state: PartState) -> int:
        """How many parts are in a state."""
        return self.ledger.counts().get(state, 0)

    def fail(self, part: str) -> None:
        """End a part with an error, as collect does."""
        self.ledger.move(part, PartState.FAILED, now_s=1.0, cause="E301", message="its command failed")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Twelve parts."""
    made = Rig(tmp_path)
    yield made
    made.ledger.close()


def _of(folder: Path, **profile: Any) -> Rig:
    return Rig(folder, PARTS, **profile)


# ── how many at a time ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("largest", "batch", "sizes"), [(100, 5, [5, 5, 2]), (1, 50, [1] * 12), (12, 12, [12]), (50, 50, [12])]
)
def test_submissions(tmp_path: Path, largest: int, batch: int, sizes: list[int]) -> None:
    """Every part in exactly one, in order."""
    rig = _of(tmp_path, max_jobs_per_submission=largest, spool_batch=batch)

    assert rig.feeder.feed() == PARTS
    assert [len(wave) for wave in rig.cluster.waves] == sizes
    assert [part for wave in rig.cluster.waves for part in wave] == [part.id for part in rig.plan.parts]


def test_bytes_of_a_submission(tmp_path: Path) -> None:
    """What all parts share counts once for each of them: so it travels."""
    rig = _of(tmp_path, max_bytes_per_submission=1)
    one = 100 * rig.files
    rig = _of(tmp_path / "b", max_bytes_per_submission=5 * one)

    assert rig.feeder.feed() == PARTS
    assert [len(wave) for wave in rig.cluster.waves] == [5, 5, 2]


@pytest.mark.parametrize(("above", "first"), [(99, 12), (100, 9)])
def test_bytes_of_a_submission_that_go_elsewhere(tmp_path: Path, above: int, first: int) -> None:
    """What the workers fetch from the shared area does not count, if it is large enough to go there."""
    (tmp_path / "in.txt").write_text("x")
    area = {"shared_area": "https://a.example.org/x", "shared_above": above}
    rig = Rig(tmp_path, PARTS, more="inputs: [in.txt]\n", max_bytes_per_submission=12 * 300, **area)

    assert rig.feeder.feed() == PARTS
    assert len(rig.cluster.waves[0]) == first


def test_bytes_of_a_submission_that_go_once(tmp_path: Path) -> None:
    """A workflow of REANA gets one copy of what all its parts share."""
    (tmp_path / "in.txt").write_text("x")
    more = "inputs: [in.txt]\n"
    reana = {"method": "reana", "credentials": "access-token", "reana_server": "https://reana.example.org"}
    values: dict[str, Any] = {"poll_ceiling": 60, "lease": LEASE_S, **reana}
    profile = Profile(name="c", max_bytes_per_submission=900, **values)
    rig = Rig(tmp_path, PARTS, more=more)
    rig.feeder._profile = profile

    assert rig.feeder.feed() == PARTS
    # What goes once are three files of 100 bytes, and the values of each part are 100.
    assert [len(wave) for wave in rig.cluster.waves] == [6, 6]


def test_a_part_that_no_submission_takes(tmp_path: Path) -> None:
    """It is named, with both sizes; nothing is submitted."""
    rig = _of(tmp_path, max_bytes_per_submission=99)
    with pytest.raises(SubmitRefusedError) as caught:
        rig.feeder.feed()

    assert "part 0000 sends" in caught.value.what
    assert "99 B" in caught.value.what
    assert caught.value.fix
    assert rig.count(PartState.PLANNED) == PARTS


def test_waves(tmp_path: Path) -> None:
    """Never more jobs in the queue than the site allows; the rest follows as places are given up."""
    rig = _of(tmp_path, max_jobs_per_owner=5)
    assert rig.feeder.in_waves

    assert rig.feeder.feed() == 5
    assert rig.feeder.feed() == 0
    for part in ("0000", "0001"):
        rig.ledger.move(part, PartState.ENDED, now_s=1.0)
        rig.ledger.store(part, [], now_s=1.0)
        rig.backend.remove([part])
    assert rig.feeder.feed() == 2
    assert rig.cluster.most_at_once == 5


def test_places_that_others_hold(tmp_path: Path) -> None:
    """The profile knows of no limit, the schedd has one: smaller and smaller submissions, then a wait."""
    rig = _of(tmp_path)
    rig.cluster.limit = 7

    assert rig.feeder.feed() == 7
    assert rig.count(PartState.PLANNED) == 5
    assert rig.feeder.in_waves
    assert rig.feeder.feed() == 0
    calls = rig.cluster.calls["submit"]
    assert rig.feeder.feed() == 0
    assert rig.cluster.calls["submit"] == calls, "it asks again before there can be room"
    rig.backend.remove(["0000", "0001", "0002"])
    rig.clock.sleep(61)
    assert rig.feeder.feed() == 3


def test_no_place_for_a_day(tmp_path: Path) -> None:
    """Of a run without a single job: it waits, says so once, and ends."""
    rig = _of(tmp_path)
    rig.cluster.limit = 0

    def wait() -> None:
        while True:
            rig.feeder.feed()
            rig.clock.sleep(60)

    with pytest.raises(NoRoomError) as caught:
        wait()

    assert ROOM_PATIENCE_S < rig.clock.passed_s < ROOM_PATIENCE_S + 200
    assert "no job of this run is in the queue" in caught.value.evidence
    assert len([line for line in rig.said if "waiting for room" in line]) == 1


# ── again ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_twice(rig: Rig) -> None:
    """Whatever of the state is lost: the jobs are found by their tag."""
    rig.feeder.feed()
    with Ledger(rig.run.folder / "other.sqlite") as ledger:
        ids = (part.id for part in rig.plan.parts)
        ledger.begin(plan_hash=rig.plan.hash, tag="t", parts=ids, now_s=1.0)
        rig.ledger.close()
        rig.ledger = ledger
        feeder = rig.start()
        assert feeder.take_stock(anew=True) == PARTS
        assert feeder.feed() == 0
        assert rig.cluster.submitted == PARTS


@pytest.mark.parametrize("anew", [True, False])
def test_files_that_never_arrived(rig: Rig, *, anew: bool) -> None:
    """A client that was killed while it sent them; when another one may still send them, only after a while."""
    rig.cluster.steps["0003"] = (Step(at_s=0, state=JobState.HELD, hold_code=16),)
    rig.cluster.later_steps["0003"] = NORMAL
    rig.feeder.feed()
    assert rig.start().take_stock(anew=anew) == PARTS - anew
    if not anew:
        rig.clock.sleep(SPOOL_PATIENCE_S + 1)
        assert rig.start().take_stock() == PARTS - 1
    rig.start().feed()

    assert rig.cluster.waves[-1] == ["0003"]
    assert rig.cluster.jobs["0003"].number == 2


def test_files_that_arrived_a_moment_ago(rig: Rig) -> None:
    """The schedd tells the sender first, and releases the job then: who submits again in between replaces nothing."""
    rig.cluster.steps["0003"] = (Step(at_s=0, state=JobState.HELD, hold_code=16), Step(at_s=2, state=JobState.IDLE))
    rig.feeder.feed()

    assert rig.start().take_stock(anew=True) == PARTS
    assert rig.start().feed() == 0


def test_failed_parts_and_only_they(rig: Rig) -> None:
    """An earlier collect of the same state folder ended them."""
    rig.feeder.feed()
    for part in ("0004", "0009"):
        rig.fail(part)
    rig.ledger.note("ended", "E301")
    rig.start().take_stock()
    rig.start().feed()

    assert rig.cluster.waves[-1] == ["0004", "0009"]
    assert [row.jobs for row in rig.ledger.rows()] == [2 if n in {4, 9} else 1 for n in range(PARTS)]


def test_failed_parts_of_a_collect_of_which_no_file_is_left(rig: Rig) -> None:
    """It wrote into the jobs why they failed; the next one begins without its ledger."""
    rig.cluster.steps["0004"] = (*NORMAL[:2], Step(at_s=60, state=JobState.ENDED, exit_code=3))
    rig.feeder.feed()
    rig.clock.sleep(100)
    rig.backend.remove(["0007"])
    rig.backend.judge({"0004": "E301", "0007": "E303"})
    rig.start().take_stock()
    rig.start().feed()

    assert rig.cluster.waves[-1] == ["0004", "0007"]
    assert any("part 0004: an earlier collect ended it with E301" in line for line in rig.said)


def test_a_removed_job_is_not_replaced_unasked(rig: Rig) -> None:
    """Somebody wanted it gone: collect names it, and a second submit sends it anew."""
    rig.feeder.feed()
    rig.cluster.jobs["0002"].removed = "via condor_rm (by user admin)"
    assert rig.start().take_stock() == PARTS - 1
    assert rig.count(PartState.PLANNED) == 0

    assert rig.start().take_stock(anew=True) == PARTS - 1
    assert rig.count(PartState.PLANNED) == 1


def test_a_job_that_made_room_is_replaced(rig: Rig) -> None:
    """Its outputs were fetched, and then the state folder was lost with them."""
    rig.feeder.feed()
    rig.backend.remove(["0002"], reason="fetched")
    rig.start().take_stock()

    assert [row.id for row in rig.ledger.rows(PartState.PLANNED)] == ["0002"]


# ── what breaks ─────────────────────────────────────────────────────────────────────────────────────────────────


class _Breaks(FakeBackend):
    """Breaks in a submission, before or after its jobs are there."""

    def __init__(self, cluster: FakeCluster, error: Exception, *, at: int, after: bool) -> None:
        super().__init__(cluster)
        self._error, self._at, self._after = error, at, after

    def submit(self, parts: Sequence[Part], **options: Any) -> Mapping[str, str]:
        """Submit, and break in the chosen one."""
        chosen = len(self.cluster.waves) == self._at
        if chosen and not self._after:
            self._at = -1
            raise self._error
        jobs = super().submit(parts, **options)
        if chosen:
            self._at = -1
            raise self._error
        return jobs


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_answer_that_is_lost(tmp_path: Path, at: int, *, after: bool) -> None:
    """Nobody knows whether the jobs are there: they are looked for before anything is sent again."""
    rig = _of(tmp_path, spool_batch=5)
    rig.backend = _Breaks(rig.cluster, ClusterUnreachableError("no answer", fix="wait"), at=at, after=after)
    feeder = rig.start()
    with pytest.raises(ClusterUnreachableError):
        feeder.feed()
    feeder.feed()

    sent = [part for wave in rig.cluster.waves for part in wave]
    assert sorted(sent) == [part.id for part in rig.plan.parts], "a part was sent twice, or not at all"
    assert rig.count(PartState.IDLE) == PARTS


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_refusal_takes_everything_back(tmp_path: Path, at: int) -> None:
    """All of this call or none: the user corrects the request, and submits again."""
    rig = _of(tmp_path, spool_batch=5)
    rig.backend = _Breaks(rig.cluster, SubmitRefusedError("says -4", fix="ask"), at=at, after=False)
    with pytest.raises(SubmitRefusedError) as caught:
        rig.start().feed()

    assert rig.cluster.in_queue() == 0
    assert rig.count(PartState.PLANNED) == PARTS
    assert ("have been removed again" in caught.value.evidence) == (at > 0)


def test_the_lease_outlives_the_longest_gap(rig: Rig) -> None:
    """Between two hops nobody speaks for the jobs."""
    rig.start(gap_s=4 * 3600).feed()

    assert rig.cluster.lease_until_s == rig.clock.now() + LEASE_S + 4 * 3600


def test_parts_that_ask_for_more_go_by_themselves(rig: Rig) -> None:
    """One submission has one request."""
    rig.feeder.feed()
    rig.backend.remove(["0001", "0005", "0006"])
    rig.ledger.begin_again({"0005": "memory", "0006": "memory"}, now_s=1.0, asked_b=4 << 30)
    rig.ledger.begin_again({"0001": "lost"}, now_s=1.0)
    rig.start().feed()

    assert rig.cluster.waves[1:] == [["0001"], ["0005", "0006"]]
    assert [rig.cluster.jobs[part].memory_b for part in ("0001", "0005", "0006")] == [None, 4 << 30, 4 << 30]


def test_counts_do_not_grow(tmp_path: Path) -> None:
    """A look at the queue is one call, and a submission one for each fifty parts, however many there are."""
    for count in (100, 1000):
        rig = Rig(tmp_path / str(count), count)
        rig.start().take_stock()
        rig.feeder.feed()

        assert rig.cluster.calls["poll"] == 1
        assert rig.cluster.calls["submit"] == count / 50
