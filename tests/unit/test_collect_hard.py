"""Collect at its limits: cancelled and killed in between, files that do not come, clocks, full disks, other jobs."""

from __future__ import annotations

import errno
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from septum import errors
from septum.backends.base import FETCHED
from septum.backends.htcondor.backend import HTCondorBackend
from septum.backends.htcondor.bindings import CallError, as_septum_error
from septum.clusters.profile import Profile
from septum.intake import FETCH_TRIES
from septum.ledger import ENDED, Ledger, StoredOutput
from septum.outcome import Outcome
from septum.stages.collect import _clear_up
from septum.stages.wiring import Options, tag_of
from septum.state import Receipt, State
from septum.states import JobState, PartState
from tests.fakes.cluster import NORMAL, Delivery, FakeBackend, Step
from tests.unit.test_collect import Rig
from tests.unit.test_collect_again import _ELSEWHERE, _MEMORY, _cells, _collector, _on
from tests.unit.test_feed import Rig as FeedRig

_SILENT = errors.ClusterUnreachableError("cluster: no answer", evidence="connection refused", fix="wait")
_NOTHING = errors.ClusterFailedError("cluster: fetching outputs failed", evidence="failed to receive", fix="look")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Four parts that have been submitted, none of which may be missing."""
    made = Rig(tmp_path)
    made.submit()
    return made


def _fails(monkeypatch: pytest.MonkeyPatch, verb: str, error: errors.SeptumError, when: Callable[[Any], bool]) -> None:
    """Let a verb of the backend fail where `when` says so of its first argument."""
    works = getattr(FakeBackend, verb)

    def call(self: FakeBackend, first: Any, *rest: Any, **options: Any) -> Any:
        if when(first):
            raise error
        return works(self, first, *rest, **options)

    monkeypatch.setattr(FakeBackend, verb, call)


def _anew(rig: Rig, *, submitted: bool) -> None:
    """Make the state folder that submit left, or prepare: what collect had in it is lost."""
    for path in rig.run.folder.iterdir():
        if path.is_file():
            path.unlink()
        elif path != rig.run.sent:
            shutil.rmtree(path)
    with Ledger(rig.run.folder / "run.sqlite") as ledger:
        ledger.begin(plan_hash=rig.plan.hash, tag="t", parts=rig.plan.by_id, now_s=rig.clock.now())
        if submitted:
            ledger.move_all({part: (PartState.IDLE, {}) for part in rig.plan.by_id}, now_s=rig.clock.now())


def _in_waves(folder: Path, count: int, places: int) -> Rig:
    """A run of which nothing is submitted yet, at a site with so many places."""
    rig = Rig(folder, count)
    limits = ("max_jobs_per_owner", "max_jobs_per_submission")
    rig.profile = rig.profile.model_copy(update=dict.fromkeys(limits, places))
    _anew(rig, submitted=False)
    return rig


def _code(outcome: Outcome) -> str:
    assert outcome.error is not None
    return outcome.error.code


def test_a_submission_in_doubt_repeats_no_part_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is looked through for the jobs of a broken call, and what has failed meanwhile has failed."""
    rig = _in_waves(tmp_path, 6, 3)
    rig.cluster.deliveries["0000"] = Delivery(outputs=[b"x"], exit_code=3)
    calls = itertools.count(1)
    _fails(monkeypatch, "submit", _SILENT, lambda _: next(calls) in {2, 3, 4})

    assert _code(rig.collect()) == "E301"
    assert sorted(itertools.chain(*rig.cluster.waves)) == [part.id for part in rig.plan.parts]


def _hop(rig: Rig) -> errors.TimeUpError:
    with Ledger(rig.run.folder / "run.sqlite") as ledger, pytest.raises(errors.TimeUpError) as caught:
        _collector(rig, ledger, rig.run.folder, until_s=rig.clock.now(), gap_s=3600).collect()
    return caught.value


def test_hops_repeat_no_part_that_failed(rig: Rig) -> None:
    """Five of them look at a run that goes on; a command that failed in the first is not run four times more."""
    rig.cluster.deliveries["0001"] = Delivery(outputs=[b"x"], exit_code=3)
    rig.cluster.jobs["0003"].steps = (*NORMAL[:2], Step(at_s=12_000, state=JobState.ENDED, exit_code=0))
    for _ in range(5):
        rig.clock.sleep(600)
        _hop(rig)

    assert (rig.cluster.submitted, rig.states()["0001"]) == (4, PartState.FAILED)


def test_a_hop_at_a_silent_schedd_leaves_in_time(rig: Rig) -> None:
    """The next hop may have an answer; that the lease was not extended is said, and not that it was."""
    rig.cluster.silent = [(0, 1000)]

    assert "without a word their jobs go on for 0 s" in _hop(rig).evidence
    assert any("lease cannot be extended" in line for _, line in rig.said)


def test_jobs_of_a_ledger_that_is_too_old_are_counted(rig: Rig) -> None:
    """It knows of one job where the part had two: there is no third."""
    rig.cluster.jobs["0001"].steps = rig.cluster.later_steps["0001"] = _ELSEWHERE
    rig.collect()
    _anew(rig, submitted=True)

    assert _code(rig.collect()) == "E311"
    assert (rig.cluster.submitted, rig.rows()["0001"].jobs) == (5, 2)


def test_the_end_of_an_earlier_job_is_not_that_of_the_newest() -> None:
    """Where the newest is in no queue, the history of another tells nothing of it, and its own does."""
    backend = object.__new__(HTCondorBackend)
    backend._jobs = {}
    first: dict[str, Any] = {"SeptumPart": "0001", "ClusterId": 9, "ProcId": 0, "JobStatus": 4}
    second = {**first, "ClusterId": 11}

    assert [report.job for report in backend._newest([second, first])] == ["11.0"]
    assert backend._newest([first], gone=True) == []
    assert [report.job for report in backend._newest([second, first], gone=True)] == ["11.0"]


@pytest.mark.parametrize(("words", "limit"), [("error -2", True), ("says -3", True), ("error -25", False)])
def test_the_numbers_of_a_refusal(words: str, *, limit: bool) -> None:
    """They are read to their end: only two of them mean that there will be room."""
    error = as_septum_error(CallError("bindings", words), Profile(name="c", method="htcondor"), doing="submitting")

    assert type(error) is (errors.NoRoomError if limit else errors.SubmitRefusedError)


def test_a_cancel_between_the_end_of_jobs_and_their_fetch(rig: Rig) -> None:
    """Their outputs are gone, and nobody wants others."""
    rig.clock.sleep(100)
    with Ledger(rig.run.folder / "run.sqlite") as ledger:
        ledger.move_all({part: (PartState.ENDED, {}) for part in rig.plan.by_id}, now_s=rig.clock.now())
    FakeBackend(rig.cluster).remove(None)

    assert (_code(rig.collect()), rig.cluster.submitted) == ("E303", 4)


def test_a_cancel_between_waves_holds(tmp_path: Path) -> None:
    """The parts that had no job yet get none, and say why."""
    rig = _in_waves(tmp_path, 30, 10)

    def cancel(_: float) -> None:
        FakeBackend(rig.cluster).remove(None)

    rig.clock.on_sleep.append(cancel)

    assert _code(rig.collect()) == "E303"
    assert (rig.cluster.submitted, set(rig.states().values())) == (10, {PartState.FAILED})
    assert "cancelled before it had a job" in str(rig.rows()["0029"].message)


def test_a_cancelled_run_of_which_only_the_plan_is_left(rig: Rig) -> None:
    """Its ledger knows of no job, and the history does: collect says so and submits nothing."""
    FakeBackend(rig.cluster).remove(None)
    _anew(rig, submitted=False)

    assert (_code(rig.collect()), rig.cluster.submitted) == ("E303", 4)


def test_killed_between_two_jobs_of_a_part(rig: Rig) -> None:
    """The stuck job was removed, the next one not yet submitted, the ledger lost: the part gets it all the same."""
    rig.cluster.jobs["0001"].steps = (Step(at_s=0, state=JobState.HELD, hold_code=16),)
    rig.clock.sleep(700)
    with Ledger(rig.run.folder / "run.sqlite") as ledger:
        assert _collector(rig, ledger, rig.run.folder)._feeder.take_stock() == 3
    _anew(rig, submitted=True)

    assert (_cells(rig), rig.cluster.waves[1:]) == ([0, 4, 8, 0], [["0001"]])


def test_a_retry_after_all_jobs_were_held(rig: Rig) -> None:
    """None is left in the queue: why they failed was written into them before they went, and is in the history."""
    for job in rig.cluster.jobs.values():
        job.steps = _MEMORY
    outcome = rig.collect()
    in_pipeline = Options(config=Path("septum.yaml"), cluster="c", environ={"CI_PIPELINE_ID": "1"})
    _clear_up(FakeBackend(rig.cluster), outcome, in_pipeline, lambda _: None)
    _anew(rig, submitted=True)

    assert (_code(outcome), rig.cluster.in_queue()) == ("E312", 0)
    assert _cells(rig) == [0, 4, 8, 0]


def test_a_run_without_its_ledger_keeps_its_tag(rig: Rig, tmp_path: Path) -> None:
    """Outside of a pipeline the receipt still has it: by another one its jobs would not be found."""
    state, options = State(tmp_path), Options(config=Path("septum.yaml"), cluster="c", environ={})
    tag = tag_of(state, rig.plan, options)

    for plan, kept in ((rig.plan.hash, True), ("another", False)):
        state.store_receipt(Receipt(tag=tag, plan=plan, cluster="c", collector="x", schedd="s", submitted_s=1))
        assert (tag_of(state, rig.plan, options) == tag) is kept


def test_a_clock_that_is_set_back(rig: Rig) -> None:
    """By the clock the lease has long to go, and nobody knows: it is extended at once."""
    for job in rig.cluster.jobs.values():
        job.steps = (*NORMAL[:2], Step(at_s=4500, state=JobState.ENDED, exit_code=0))
    rig.clock.sleep(3000)

    def set_back(now_s: float) -> None:
        rig.clock.on_sleep.remove(set_back)
        rig.clock.now_s = now_s - 1800

    rig.clock.on_sleep.append(set_back)

    assert (_cells(rig), rig.cluster.calls["extend"]) == ([0, 4, 8, 0], 2)


def test_places_that_others_hold_for_good(tmp_path: Path) -> None:
    """The profile allows 50 jobs and 10 have room: smaller submissions find them, and the run does not starve."""
    rig = FeedRig(tmp_path, 60, max_jobs_per_owner=50, max_jobs_per_submission=50)
    rig.cluster.limit = 10
    with rig.ledger:
        for _ in range(6):
            rig.feeder.feed()
            rig.clock.sleep(61)

    assert rig.cluster.in_queue() == 10


def _black_hole(rig: Rig, *parts: str) -> None:
    for part in parts:
        rig.cluster.steps[part], rig.cluster.later_steps[part] = _on("hole"), _on("node7")
        rig.cluster.deliveries[part] = Delivery(outputs=[b"x"], exit_code=127)


def test_a_place_is_given_back_by_each_job_of_a_part(tmp_path: Path) -> None:
    """Two parts fail and make room, get another job when their machine turns out bad, and fail and make room again."""
    rig = _in_waves(tmp_path, 6, 2)
    _black_hole(rig, *(bad := ("0000", "0001", "0002")))

    assert (_code(rig.collect()), rig.cluster.most_at_once) == ("E301", 2)
    assert sorted(itertools.chain(*rig.cluster.waves)) == sorted([*rig.plan.by_id, *bad])


def test_a_call_that_avoids_a_machine_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made again at the next look, and the parts that failed there get their other job."""
    rig = Rig(tmp_path, 6)
    _black_hole(rig, "0000", "0001", "0002")
    rig.cluster.steps["0005"] = _on("node7", seconds=600)
    calls = itertools.count(1)
    _fails(monkeypatch, "avoid", _SILENT, lambda _: next(calls) == 1)
    rig.submit()

    assert (_code(rig.collect()), list(rig.cluster.avoided)) == ("E301", ["hole"])
    assert rig.cluster.waves[1:] == [["0000", "0001", "0002"]]


def test_more_memory_after_a_job_that_was_given_up_for_something_else(tmp_path: Path) -> None:
    """The first job could not start, the second took too much: the next size is still asked for."""
    rig = Rig(tmp_path, 2, more="resources: {memory: 1 GB, memory-retries: [2 GB]}\n")
    rig.cluster.steps["0001"], rig.cluster.later_steps["0001"] = _ELSEWHERE, _MEMORY
    rig.submit()

    assert _code(rig.collect()) == "E312"
    assert [job.memory_b for job in (*rig.cluster.gone["0001"], rig.cluster.jobs["0001"])] == [None, None, 2 << 30]


# ── outputs that do not come ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("part", ["0002", "0003"])
def test_an_output_that_cannot_be_fetched(rig: Rig, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """It keeps no other away, is tried a few times, and then its part gets another job, long before the patience."""
    asked: list[list[str]] = []

    def lost(parts: Sequence[str]) -> bool:
        asked.append(list(parts))
        return part in parts and rig.cluster.jobs[part].number == 1

    _fails(monkeypatch, "fetch", _NOTHING, lost)

    assert (_cells(rig), rig.cluster.waves[1:]) == ([0, 4, 8, 0], [[part]])
    assert asked[:5] == [["0000", "0001", "0002", "0003"], ["0000"], ["0001"], ["0002"], ["0003"]]
    # A batch by itself now: twice a look, and once for its other job.
    assert asked[5:] == [[part]] * (2 * (FETCH_TRIES - 1) + 1)
    assert rig.clock.passed_s < rig.profile.hold_patience


@pytest.mark.parametrize("seconds", [60, 240, 1500])
def test_an_access_point_that_gives_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """To nobody, for a while: the outputs are safe on it, and no job is run again."""
    _fails(monkeypatch, "fetch", _NOTHING, lambda _: rig.clock.passed_s < 60 + seconds)

    assert (_cells(rig), rig.cluster.submitted) == ([0, 4, 8, 0], 4)


def test_an_access_point_that_gives_nothing_for_ever(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the patience all outputs are taken for lost; with those of the other jobs as well, the run ends."""
    _fails(monkeypatch, "fetch", _NOTHING, lambda _: True)

    assert (_code(rig.collect()), rig.cluster.submitted) == ("E315", 8)
    assert rig.clock.passed_s > 2 * rig.profile.hold_patience


@pytest.mark.parametrize(("way", "code", "jobs"), [("removed", "E303", 4), ("forgotten", "E308", 8)])
def test_a_job_that_another_collect_takes_away_before_its_fetch(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, way: str, code: str, jobs: int
) -> None:
    """It was seen to end, and is gone when its files are asked for: known after a few looks, not after the patience."""

    def gone(parts: Sequence[str]) -> bool:
        if way == "forgotten":
            rig.cluster.forgotten |= set(parts)
        elif rig.cluster.jobs[parts[0]].removed is None:
            FakeBackend(rig.cluster).remove(parts, reason=FETCHED)
        return True

    _fails(monkeypatch, "fetch", _NOTHING, gone)

    assert (_code(rig.collect()), rig.cluster.submitted) == (code, jobs)
    assert rig.clock.passed_s < rig.profile.hold_patience


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_of_outputs(rig: Rig, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Septum's own, and no fault of a part or of the access point: collect ends, and the next one fetches them."""
    evidence = f"error writing to file septum-0000.out0: (errno {number})"
    _fails(monkeypatch, "fetch", errors.ClusterFailedError("failed", evidence=evidence, fix="look"), lambda _: True)
    with pytest.raises(errors.DiskFullError, match="no room for the outputs"):
        rig.collect()
    monkeypatch.undo()

    assert set(rig.states().values()) == {PartState.ENDED}
    assert (_cells(rig), rig.cluster.submitted) == ([0, 4, 8, 0], 4)


# ── the ledger ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Three parts: the outputs of two are here, and one has failed."""
    with Ledger(tmp_path / "run.sqlite") as opened:
        opened.begin(plan_hash="abc", tag="t", parts=["0000", "0001", "0002"], now_s=1)
        for part in ("0000", "0001"):
            for state in (PartState.IDLE, PartState.ENDED):
                opened.move(part, state, now_s=2)
            opened.store(part, [StoredOutput(part=part, output=0, path=part, size_b=5, sha256="ab")], now_s=3)
        opened.move("0002", PartState.FAILED, now_s=4, cause="E301")
        yield opened


def test_results_of_a_run_that_did_not_end_are_entered_again(ledger: Ledger) -> None:
    """Killed after the entry, before the end: it is taken back whole, and the outputs stay."""
    before, outputs = ledger.rows(), ledger.outputs()
    merged = {"result.root": (0, ["0000", "0001"])}
    ledger.finish(merged, now_s=5)
    ledger.reopen(now_s=6)

    assert (ledger.rows(), ledger.outputs()) == (before, outputs)
    ledger.finish(merged, now_s=7)
    assert ledger.counts() == {PartState.MERGED: 2, PartState.FAILED: 1}


def test_a_fact_is_taken_back(ledger: Ledger, tmp_path: Path) -> None:
    """And no other; one that is not there is none the less gone."""
    ledger.note(ENDED, "E301")
    ledger.forget(ENDED)
    ledger.forget(ENDED)
    with Ledger(tmp_path / "run.sqlite") as again:
        assert again.facts() == {"plan": "abc", "tag": "t"}


def test_a_signal_at_the_first_line_of_a_change(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves no change half open: what collect notes at its end is noted."""
    database = ledger._database

    def interrupted(text: str) -> None:
        database.execute(text)
        if text.startswith("BEGIN"):
            raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "_database", SimpleNamespace(execute=interrupted, in_transaction=True))
    with pytest.raises(KeyboardInterrupt):
        ledger.note("lease", "17")
    monkeypatch.undo()
    ledger.note(ENDED, "E230")

    assert ledger.facts() == {"plan": "abc", "tag": "t", ENDED: "E230"}


def test_a_disk_that_is_full_while_the_ledger_is_written(ledger: Ledger) -> None:
    """It is not the ledger that is damaged: the change is not made, and is made when there is room."""
    rows = ledger.rows()
    (pages,) = ledger._database.execute("PRAGMA page_count").fetchone()
    ledger._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(errors.DiskFullError, match=r"no room for .*run\.sqlite") as caught:
        ledger.begin_again({"0002": "because " * 10_000}, now_s=5)

    assert "disk is full" in caught.value.evidence
    assert ledger.rows() == rows
    ledger._database.execute("PRAGMA max_page_count = 1000000")
    ledger.begin_again({"0002": "because " * 10_000}, now_s=6)
    assert ledger.counts()[PartState.PLANNED] == 1
