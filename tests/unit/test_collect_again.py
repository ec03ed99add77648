"""Collect where not everything goes well the first time: other jobs, other machines, another go, another runner."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from septum.backends.base import Run
from septum.collect import Collector
from septum.errors import DiskFullError, NotAuthorizedError, TimeUpError
from septum.hosts import MOST_AVOIDED, Trial, black_holes
from septum.ledger import Ledger
from septum.merge.results import Merger
from septum.states import EVICTED_SUBCODE, JobState, PartState
from tests.fakes.analyses import plan_of, seeds
from tests.fakes.cluster import NORMAL, Delivery, FakeBackend, Step
from tests.fakes.rootfiles import read_cells
from tests.unit.test_collect import LEASE_S, Rig

_HELD_13 = (*NORMAL[:2], Step(at_s=30, state=JobState.HELD, hold_code=13, reason="no route"))
_LOST = (*NORMAL[:2], Step(at_s=50, state=JobState.LOST))
_ELSEWHERE = (*NORMAL[:2], Step(at_s=30, state=JobState.HELD, hold_code=6, reason="cannot start"))
_MEMORY = (*NORMAL[:2], Step(at_s=30, state=JobState.HELD, hold_code=21, reason="too much memory"))
_EVICTED = (*NORMAL[:2], Step(at_s=900, state=JobState.HELD, hold_code=3, hold_subcode=EVICTED_SUBCODE))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Four parts, none of them may be missing."""
    return Rig(tmp_path)


def _cells(rig: Rig) -> list[float]:
    outcome = rig.collect()

    assert outcome.error is None
    return list(read_cells(outcome.results[0].path, "h"))


# ── another job ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("steps", [_HELD_13, _LOST, _ELSEWHERE], ids=["held", "lost", "not started"])
def test_a_fault_that_is_not_the_parts_own(rig: Rig, steps: tuple[Step, ...]) -> None:
    """It gets another job, which delivers; the result is whole, and what happened is in the ledger."""
    rig.cluster.steps["0002"], rig.cluster.later_steps["0002"] = steps, NORMAL
    rig.submit()

    assert _cells(rig) == [0, 4, 8, 0]
    row = rig.rows()["0002"]
    assert (row.jobs, row.attempts) == (2, 2)
    assert any("part 0002 gets job number 2" in line for _, line in rig.said)


def test_a_fault_that_stays(rig: Rig) -> None:
    """As many jobs as `resubmissions` allows, each with its logs; then the part has failed by its own cause."""
    rig.cluster.deliveries["0001"] = Delivery(outputs=[], stage="started", stderr="going down")
    rig.submit()
    outcome = rig.collect()

    assert outcome.error is not None
    assert outcome.error.code == "E308"
    assert rig.rows()["0001"].jobs == 2
    logs = rig.run.folder / "logs"
    assert (logs / "septum-0001.job1.stderr").read_text() == "going down"
    assert (logs / "septum-0001.stderr").read_text() == "going down"


def test_no_resubmissions(tmp_path: Path) -> None:
    """Who wants none gets none."""
    rig = Rig(tmp_path, more="resubmissions: 0\n")
    rig.cluster.steps["0002"], rig.cluster.later_steps["0002"] = _ELSEWHERE, NORMAL
    rig.submit()
    outcome = rig.collect()

    assert outcome.error is not None
    assert outcome.error.code == "E311"
    assert rig.cluster.submitted == 4


def test_a_command_that_fails_gets_no_other_job(rig: Rig) -> None:
    """It would fail again; `retries` is for commands that fail now and then."""
    rig.cluster.deliveries["0001"] = Delivery(outputs=[b"x"], exit_code=3)
    rig.submit()
    rig.collect()

    assert rig.cluster.submitted == 4


def test_more_memory(tmp_path: Path) -> None:
    """The site holds what takes too much: the next job asks for the next larger size, and then no more."""
    rig = Rig(tmp_path, more="resources: {memory: 1 GB, memory-retries: [2 GB, 4 GB]}\n")
    rig.cluster.steps["0002"] = _MEMORY
    rig.submit()
    outcome = rig.collect()

    assert outcome.error is not None
    assert outcome.error.code == "E312"
    asked = [job.memory_b for job in (*rig.cluster.gone["0002"], rig.cluster.jobs["0002"])]
    assert asked == [None, 2 << 30, 4 << 30]


def test_a_job_that_the_site_takes_its_slot_away_from(rig: Rig) -> None:
    """Held by its own description after too many starts: named, and not tried again."""
    rig.cluster.steps["0002"] = _EVICTED
    rig.submit()
    outcome = rig.collect()

    assert outcome.error is not None
    assert outcome.error.code == "E313"
    assert rig.cluster.submitted == 4


def test_a_job_that_never_starts(tmp_path: Path) -> None:
    """After the patience of the profile, with the negotiator's last word."""
    rig = Rig(tmp_path)
    rig.profile = rig.profile.model_copy(update={"idle_patience": 4 * 3600})
    rig.cluster.steps["0002"] = (Step(at_s=0, state=JobState.IDLE, reason="no slot has 64 cores"),)
    rig.submit()
    outcome = rig.collect()

    assert outcome.error is not None
    assert outcome.error.code == "E314"
    assert "no slot has 64 cores" in outcome.error.evidence
    assert 4 * 3600 < rig.clock.passed_s < 4 * 3600 + 600


# ── another machine ─────────────────────────────────────────────────────────────────────────────────────────────


def _on(host: str, *, seconds: float = 60) -> tuple[Step, ...]:
    ran = Step(at_s=seconds, state=JobState.ENDED, exit_code=0, host=host)
    return (Step(at_s=0, state=JobState.IDLE), Step(at_s=10, state=JobState.RUNNING, host=host), ran)


def test_a_black_hole(tmp_path: Path) -> None:
    """Parts fail fast on one machine, others deliver elsewhere: it is avoided, and they get another job."""
    rig = Rig(tmp_path, 10)
    for part in ("0002", "0005", "0007"):
        rig.cluster.steps[part] = _on("hole", seconds=120)
        rig.cluster.later_steps[part] = _on("good")
    good = rig.cluster.deliveries["0000"]
    broken = Delivery(outputs=[b"x"], exit_code=127, stderr="python3: not found")
    rig.cluster.deliveries.update(dict.fromkeys(("0002", "0005", "0007"), broken))

    def mended(_: float) -> None:
        for part in ("0002", "0005", "0007"):
            job = rig.cluster.jobs.get(part)
            if job is not None and job.number == 2:
                rig.cluster.deliveries[part] = replace(good)

    rig.clock.on_sleep.append(mended)
    rig.submit()

    assert _cells(rig) == [0, 10, 20, 0]
    assert rig.cluster.avoided == {"hole"}
    assert rig.cluster.calls["avoid"] == 1
    assert any("hole" in line and "avoiding it" in line for _, line in rig.said)


def _trials(host: str, count: int, *, delivered: bool, seconds: float | None = 5) -> list[Trial]:
    return [Trial(host=host, part=f"{host}{n}", delivered=delivered, seconds=seconds) for n in range(count)]


@pytest.mark.parametrize(
    ("trials", "found"),
    [
        (_trials("bad", 3, delivered=False) + _trials("good", 1, delivered=True, seconds=100), {"bad"}),
        (_trials("bad", 2, delivered=False) + _trials("good", 9, delivered=True, seconds=100), set()),
        (_trials("bad", 3, delivered=False) + _trials("bad", 1, delivered=True, seconds=100), set()),
        (_trials("bad", 9, delivered=False) + _trials("other", 9, delivered=False), set()),
        (_trials("slow", 9, delivered=False, seconds=99) + _trials("good", 9, delivered=True, seconds=100), set()),
        (_trials("", 9, delivered=False) + _trials("good", 9, delivered=True, seconds=100), set()),
        (3 * _trials("bad", 1, delivered=False) + _trials("good", 9, delivered=True, seconds=100), set()),
        (_trials("bad", 3, delivered=False, seconds=None) + _trials("good", 1, delivered=True), {"bad"}),
        ([], set()),
    ],
    ids=["three", "two", "not always", "everywhere", "late", "nowhere", "one part", "unknown times", "nothing"],
)
def test_what_a_black_hole_is(trials: list[Trial], found: set[str]) -> None:
    """Several parts, fast, and never anything else."""
    assert black_holes(trials) == found


def test_not_the_whole_site_is_avoided() -> None:
    """Where so many machines are at fault, it is not the machines."""
    trials = [trial for n in range(50) for trial in _trials(f"bad{n:02}", 3, delivered=False)]

    assert len(black_holes([*trials, *_trials("good", 1, delivered=True, seconds=100)])) == MOST_AVOIDED


# ── another go ──────────────────────────────────────────────────────────────────────────────────────────────────


def _collector(rig: Rig, ledger: Ledger, folder: Path, *, until_s: float | None = None, gap_s: float = 0) -> Collector:
    run = Run(tag="t", plan=rig.plan, folder=folder)
    return Collector(
        run=run, backend=FakeBackend(rig.cluster), ledger=ledger, profile=rig.profile,
        merger=Merger(rig.plan, lambda *_: rig.engine, outputs=run.outputs, scratch=folder / "merge"),
        keep_fresh=lambda _: (), say=lambda line: rig.said.append((0, line)), clock=rig.clock, until_s=until_s,
        gap_s=gap_s,
    )  # fmt: skip


def test_hops(tmp_path: Path) -> None:
    """Each looks once, saves what is there, and leaves; the lease reaches to the next; the last one has it all."""
    rig = Rig(tmp_path, 8)
    for part in rig.plan.parts:
        rig.cluster.steps[part.id] = (*NORMAL[:2], Step(at_s=600 * (part.index + 1), state=JobState.ENDED, exit_code=0))
    rig.submit()
    here = []
    for _ in range(7):
        rig.clock.sleep(600)
        with Ledger(rig.run.folder / "run.sqlite") as ledger:
            before_s = rig.clock.now()
            collector = _collector(rig, ledger, rig.run.folder, until_s=before_s, gap_s=3 * 3600)
            with pytest.raises(TimeUpError):
                collector.collect()
            assert rig.clock.now() == before_s, "a hop does not wait"
            assert rig.cluster.lease_until_s == before_s + LEASE_S + 3 * 3600
            here.append(ledger.counts().get(PartState.VERIFIED, 0))
    rig.clock.sleep(600)

    assert here == [1, 2, 3, 4, 5, 6, 7]
    assert _cells(rig) == [0, 8, 16, 0]


def test_the_end_of_the_ci_job(rig: Rig) -> None:
    """Collect leaves in order before it, and says how long the jobs go on without a word."""
    rig.cluster.steps["0002"] = (*NORMAL[:2], Step(at_s=9000, state=JobState.ENDED, exit_code=0))
    rig.submit()
    with Ledger(rig.run.folder / "run.sqlite") as ledger, pytest.raises(TimeUpError) as caught:
        _collector(rig, ledger, rig.run.folder, until_s=rig.clock.now() + 3600).collect()

    assert 3500 <= rig.clock.passed_s <= 3600
    assert "1 part of 4 have not ended" in caught.value.what
    assert "2 h" in caught.value.evidence
    assert _cells(rig) == [0, 4, 8, 0]


def test_a_lease_that_cannot_be_extended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said in time, and what ends within the old one is collected."""

    def refuse(_self: object, _until_s: float) -> None:
        raise NotAuthorizedError("cluster: does not allow extending the lease", fix="ask")

    rig.cluster.steps["0002"] = (*NORMAL[:2], Step(at_s=6000, state=JobState.ENDED, exit_code=0))
    rig.submit()
    monkeypatch.setattr(FakeBackend, "extend", refuse)

    assert _cells(rig) == [0, 4, 8, 0]
    told = [line for _, line in rig.said if "lease cannot be extended" in line]
    assert 1 <= len(told) <= 8


# ── another runner ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_retried_collect_on_another_runner_runs_the_failed_part_only(rig: Rig, tmp_path: Path) -> None:
    """Of the first collect nothing is left but what it wrote into the jobs."""
    rig.cluster.steps["0002"] = (*NORMAL[:2], Step(at_s=60, state=JobState.ENDED, exit_code=3))
    rig.cluster.later_steps["0002"] = NORMAL
    rig.cluster.deliveries["0002"].exit_code = 3
    rig.submit()
    outcome = rig.collect()
    assert outcome.error is not None
    backend = FakeBackend(rig.cluster)
    backend.remove(None, ended=False)
    backend.judge({row.id: str(row.cause) for row in outcome.failed})
    rig.cluster.deliveries["0002"].exit_code = 0
    shutil.rmtree(rig.run.outputs)
    with Ledger(tmp_path / "elsewhere.sqlite") as ledger:
        ids = (part.id for part in rig.plan.parts)
        ledger.begin(plan_hash=rig.plan.hash, tag="t", parts=ids, now_s=rig.clock.now())
        again = _collector(rig, ledger, rig.run.folder).collect()

    assert again.error is None
    assert read_cells(again.results[0].path, "h") == [0, 4, 8, 0]
    assert rig.cluster.waves == [["0000", "0001", "0002", "0003"], ["0002"]]


def test_waves_to_the_end(tmp_path: Path) -> None:
    """Thirty parts where ten have room: finished jobs make place early, and each part is counted once."""
    rig = Rig(tmp_path, 30)
    rig.profile = rig.profile.model_copy(update={"max_jobs_per_owner": 10, "max_jobs_per_submission": 4})
    with Ledger(rig.run.folder / "run.sqlite") as ledger:
        ids = (part.id for part in rig.plan.parts)
        ledger.begin(plan_hash=rig.plan.hash, tag="t", parts=ids, now_s=rig.clock.now())

    assert _cells(rig) == [0, 30, 60, 0]
    assert rig.cluster.most_at_once <= 10
    assert max(map(len, rig.cluster.waves)) <= 4
    assert sorted(part for wave in rig.cluster.waves for part in wave) == [part.id for part in rig.plan.parts]


# ── the disk ────────────────────────────────────────────────────────────────────────────────────────────────────


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen coming: nothing is fetched that has no room, what is here stays, and the next collect goes on."""
    rig = Rig(tmp_path, 8)
    for part in rig.plan.parts[4:]:
        rig.cluster.steps[part.id] = (*NORMAL[:2], Step(at_s=600, state=JobState.ENDED, exit_code=0))
    rig.submit()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: _Usage(1, 1, 100 if rig.clock.passed_s > 500 else 1 << 40))
        with pytest.raises(DiskFullError) as caught:
            rig.collect()

    assert "4 of 8 parts are here and stay" in caught.value.evidence
    assert rig.states()["0003"] is PartState.VERIFIED
    fetched = rig.cluster.calls["fetch"]
    assert _cells(rig) == [0, 8, 16, 0]
    assert rig.cluster.calls["fetch"] == fetched + 1


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failed_run_of_many_parts_says_little(tmp_path: Path) -> None:
    """GitLab cuts a log at 4 MB: what is printed does not grow with the parts."""
    rig = Rig(tmp_path, 200)
    broken = Delivery(outputs=[b"x"], exit_code=3, stderr="no such dataset " * 100)
    rig.cluster.deliveries.update(dict.fromkeys(rig.cluster.deliveries, broken))
    rig.submit()
    outcome = rig.collect()

    assert outcome.error is not None
    assert len(str(outcome.error)) + sum(len(line) for _, line in rig.said) < 20_000
    assert plan_of(seeds(1), tmp_path).resubmissions == 1
