"""The collector against a schedd in memory: every part ends in one state, and nothing ends well that is not whole."""

from __future__ import annotations

import functools
import itertools
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import uproot

from septum.backends.base import Run
from septum.clusters.profile import Profile
from septum.collect import Collector, line_every_s
from septum.errors import (
    ContactLostError,
    MergeFailedError,
    NotConservedError,
    OutputDamagedError,
    SeptumError,
    StateError,
    StructureError,
    UnexpectedFileError,
)
from septum.ledger import Ledger, Row
from septum.merge.engine import Engine
from septum.merge.results import Merger
from septum.merge.strict.contents import Contents
from septum.merge.strict.merging import Strict
from septum.outcome import Outcome
from septum.states import JobState, PartState
from septum.worker.sandbox import WRAPPER, output_name, sent_names, status_name
from tests.fakes.analyses import plan_of, seeds
from tests.fakes.cluster import NORMAL, Delivery, FakeBackend, FakeClock, FakeCluster, Step
from tests.fakes.rootfiles import Adder, H, read_cells, write_root

LEASE_S = 7200


class Rig:
    """A run that has been submitted to a schedd in memory."""

    def __init__(self, folder: Path, count: int = 4, *, more: str = "", engine: Engine | None = None) -> None:
        self.folder = folder
        self.plan = plan_of(seeds(count, more=more), folder)
        self.clock = FakeClock()
        self.adder = Adder()
        self.engine: Engine = engine or self.adder
        self.profile = Profile(
            name="c", method="htcondor", poll_floor=10, poll_ceiling=60, refresh=300, lease=LEASE_S,
            update_interval=900, hold_patience=1800,
        )  # fmt: skip
        self.run = Run(tag="t", plan=self.plan, folder=folder / "state")
        self.run.sent.mkdir(parents=True)
        for name in {WRAPPER, *(name for part in self.plan.parts for name in sent_names(self.plan, part))}:
            (self.run.sent / name).write_bytes(b"sent")
        self.said: list[tuple[float, str]] = []
        content = write_root(folder / "part.root", {"h": H(cells=[0, 1, 2, 0])}).read_bytes()
        deliveries = {part.id: Delivery(outputs=[content] * len(self.plan.outputs)) for part in self.plan.parts}
        self.cluster = FakeCluster(plan=self.plan, clock=self.clock, deliveries=deliveries)
        self.warnings: list[str] = []

    def root(self, histogram: H, name: str = "h") -> bytes:
        """A ROOT file's bytes."""
        return write_root(self.folder / "other.root", {name: histogram}).read_bytes()

    def submit(self) -> None:
        """As `septum submit` does."""
        jobs = FakeBackend(self.cluster).submit(self.plan.parts, lease_until_s=self.clock.now() + LEASE_S)
        with Ledger(self.run.folder / "run.sqlite") as ledger:
            ledger.begin(
                plan_hash=self.plan.hash, tag="t", parts=(part.id for part in self.plan.parts), now_s=self.clock.now()
            )
            ledger.move_all(
                {part: (PartState.IDLE, {"job": job}) for part, job in jobs.items()}, now_s=self.clock.now()
            )

    def collect(self) -> Outcome:
        """As `septum collect` does, with everything made anew: a process that was started again."""
        with Ledger(self.run.folder / "run.sqlite") as ledger:
            return Collector(
                run=self.run,
                backend=FakeBackend(self.cluster),
                ledger=ledger,
                profile=self.profile,
                merger=Merger(
                    self.plan,
                    lambda _path, _name: self.engine,
                    outputs=self.run.outputs,
                    scratch=self.run.folder / "merge",
                ),
                keep_fresh=self._keep_fresh,
                say=lambda line: self.said.append((self.clock.passed_s, line)),
                clock=self.clock,
            ).collect()

    def _keep_fresh(self, now_s: float) -> Sequence[str]:
        warnings, self.warnings = self.warnings, []
        return warnings

    def go(self) -> Outcome:
        """Submit and collect."""
        self.submit()
        return self.collect()

    def rows(self) -> dict[str, Row]:
        """What the ledger says of each part."""
        with Ledger(self.run.folder / "run.sqlite") as ledger:
            return {row.id: row for row in ledger.rows()}

    def states(self) -> dict[str, PartState]:
        """In which state each part is."""
        return {part: row.state for part, row in self.rows().items()}

    def damage(self, statement: str) -> None:
        """Change the ledger behind septum's back."""
        with Ledger(self.run.folder / "run.sqlite") as ledger:
            ledger._database.execute(statement)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Four parts, none of them may be missing."""
    return Rig(tmp_path)


def _held(code: int, *, at_s: float = 30, reason: str = "because") -> tuple[Step, ...]:
    return (NORMAL[0], NORMAL[1], Step(at_s=at_s, state=JobState.HELD, hold_code=code, reason=reason))


def _no_result(outcome: Outcome, code: str, part: str) -> SeptumError:
    assert outcome.results == ()
    assert outcome.error is not None
    assert outcome.error.code == code
    assert outcome.error.exit_code != 0
    assert f"part {part}" in outcome.error.what
    assert outcome.error.fix
    return outcome.error


# ── what goes well ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 4, 45])
def test_all_parts_merge(tmp_path: Path, count: int) -> None:
    """Every one, once."""
    rig = Rig(tmp_path, count)
    outcome = rig.go()
    (result,) = outcome.results

    assert (outcome.error, outcome.failed) == (None, ())
    assert result.parts == tuple(part.id for part in rig.plan.parts)
    assert result.missing == ()
    assert read_cells(result.path, "h") == [0, count, 2 * count, 0]
    assert set(rig.states().values()) == {PartState.VERIFIED}


def test_what_a_part_took_is_in_the_ledger(rig: Rig) -> None:
    """CPU time by the wrapper, memory by the backend; of a part that nobody measured, nothing."""
    rig.cluster.deliveries["0001"].times = "1m2.5s 0m0.25s"
    rig.cluster.steps["0001"] = (
        NORMAL[0],
        Step(at_s=20, state=JobState.RUNNING, memory_b=2**30),
        Step(at_s=60, state=JobState.ENDED, exit_code=0, memory_b=3 * 2**30),
    )
    rig.go()
    rows = rig.rows()

    assert (rows["0001"].cpu_s, rows["0001"].memory_b) == (62.75, 3 * 2**30)
    assert (rows["0000"].cpu_s, rows["0000"].memory_b) == (None, None)


def test_memory_that_was_seen_once_is_not_forgotten(rig: Rig) -> None:
    """The pool looks every few minutes, and of a job that has ended it may say nothing more; also if it failed."""
    for part, code in (("0001", 0), ("0002", 3)):
        rig.cluster.steps[part] = (
            NORMAL[0],
            Step(at_s=20, state=JobState.RUNNING, memory_b=2**30),
            Step(at_s=60, state=JobState.ENDED, exit_code=code),
        )
    rig.cluster.deliveries["0002"].exit_code = 3
    rig.go()
    rows = rig.rows()

    assert rows["0002"].state is PartState.FAILED
    assert [rows[part].memory_b for part in ("0001", "0002")] == [2**30, 2**30]


def test_jobs_that_end_one_after_the_other(tmp_path: Path) -> None:
    """One query a look, whatever the number of parts; the numbers of jobs decide whether the jobs are read."""
    rig = Rig(tmp_path, 45)
    for part in rig.plan.parts:
        rig.cluster.steps[part.id] = (*NORMAL[:2], Step(at_s=60 + 40 * part.index, state=JobState.ENDED, exit_code=0))
    outcome = rig.go()

    assert outcome.error is None
    assert rig.cluster.calls["poll"] < 45 * 40 / 10 + 20
    assert rig.cluster.calls["fetch"] <= 45
    assert len(rig.adder.calls) == 4


@pytest.mark.parametrize("code", [13, 12])
def test_a_job_that_is_released_goes_on(rig: Rig, code: int) -> None:
    """Held is not failed."""
    rig.cluster.steps["0001"] = (
        *_held(code), Step(at_s=120, state=JobState.IDLE), Step(at_s=200, state=JobState.RUNNING),
        Step(at_s=300, state=JobState.ENDED, exit_code=0),
    )  # fmt: skip

    assert rig.go().error is None


def test_a_job_whose_files_arrive_late(rig: Rig) -> None:
    """Hold code 16 is a job that waits for its input, and people see it as idle."""
    rig.cluster.steps["0002"] = (
        Step(at_s=0, state=JobState.HELD, hold_code=16), Step(at_s=900, state=JobState.RUNNING),
        Step(at_s=1000, state=JobState.ENDED, exit_code=0),
    )  # fmt: skip
    outcome = rig.go()

    assert outcome.error is None
    assert not any("held" in line for _, line in rig.said)


def test_a_job_that_nobody_sees_for_a_moment(rig: Rig) -> None:
    """Between queue and history; two looks are not enough to call it lost."""
    looks = []

    def forget(now_s: float) -> None:
        looks.append(now_s)
        rig.cluster.forgotten = {"0001"} if len(looks) in {2, 3} else set()

    rig.cluster.steps["0001"] = (*NORMAL[:2], Step(at_s=500, state=JobState.ENDED, exit_code=0))
    rig.clock.on_sleep.append(forget)

    assert rig.go().error is None


def test_a_fetch_that_broke_is_tried_again(rig: Rig) -> None:
    """Twice cut short, the third time whole."""
    rig.cluster.deliveries["0001"].damaged_fetches = 2

    assert rig.go().error is None


def test_a_long_run_keeps_its_lease(rig: Rig) -> None:
    """Jobs that wait for a day are still there; the lease is not edited at every look."""
    for part in rig.plan.parts:
        rig.cluster.steps[part.id] = (NORMAL[0], Step(at_s=86_400, state=JobState.ENDED, exit_code=0))
    outcome = rig.go()

    assert outcome.error is None
    assert 86_400 / LEASE_S <= rig.cluster.calls["extend"] <= 2 * 86_400 / LEASE_S + 5


def test_without_a_collector_the_jobs_remove_themselves(rig: Rig) -> None:
    """The fake holds to the contract of the lease: a test of the test."""
    for part in rig.plan.parts[:2]:
        rig.cluster.steps[part.id] = (NORMAL[0], Step(at_s=86_400, state=JobState.ENDED, exit_code=0))
    rig.submit()
    rig.clock.sleep(LEASE_S + 1)
    states = [rig.cluster.report(part.id).state for part in rig.plan.parts]

    assert states == [JobState.REMOVED, JobState.REMOVED, JobState.ENDED, JobState.ENDED]


# ── what does not ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("steps", "code", "words"),
    [
        ((*NORMAL[:2], Step(at_s=40, state=JobState.REMOVED, reason="by the site")), "E303", "by the site"),
        (_held(3), "E304", "hold code 3"),
        (_held(13), "E311", "hold code 13"),
        (_held(1), "E304", "hold code 1"),
        (_held(16), "E311", "never arrived"),
        (_held(34), "E312", "memory"),
        (_held(47), "E307", "resources: time"),
        (_held(999), "E304", "hold code 999"),
        ((Step(at_s=0, state=JobState.HELD, hold_code=16),), "E311", "hold code 16"),
        ((*NORMAL[:2], Step(at_s=50, state=JobState.ENDED, signal=9)), "E302", "SIGKILL"),
        ((*NORMAL[:2], Step(at_s=50, state=JobState.ENDED, exit_code=121)), "E301", "exit code 121"),
    ],
)
def test_a_job_that_does_not_end_well(rig: Rig, steps: Sequence[Step], code: str, words: str) -> None:
    """Each with its own code, the part, the reason and a fix; and the run ends."""
    rig.cluster.steps["0002"] = steps
    error = _no_result(rig.go(), code, "0002")

    assert words in str(error)
    assert rig.states()["0002"] is PartState.FAILED
    assert rig.clock.passed_s < 2 * 3600


def test_a_job_that_is_lost(rig: Rig) -> None:
    """Neither in the queue nor in the history, look after look; and its other job, too."""
    rig.cluster.steps["0003"] = (*NORMAL[:2], Step(at_s=50, state=JobState.LOST))

    _no_result(rig.go(), "E308", "0003")
    assert rig.rows()["0003"].jobs == 2


@pytest.mark.parametrize(
    ("delivery", "code", "words"),
    [
        (Delivery(outputs=[None]), "E305", "without writing it"),
        (Delivery(outputs=[b"<html>"]), "E306", "ROOT file"),
        (Delivery(outputs=[b""]), "E306", "ROOT file"),
        (Delivery(outputs=[b"x"], damaged_fetches=99), "E315", "arrived damaged"),
        (Delivery(outputs=[b"x"], exit_code=3, stderr="no such dataset"), "E301", "no such dataset"),
        (Delivery(outputs=[b"x"], exit_code=139), "E302", "SIGSEGV"),
        (Delivery(outputs=[b"x"], stage=""), "E308", "without a word"),
        (Delivery(outputs=[], stage="started"), "E308", "without a word"),
        (Delivery(outputs=[b"x"], stage="stopped"), "E302", "SIGTERM"),
        (Delivery(outputs=[], stage="image"), "E309", "image"),
        (Delivery(outputs=[], stage="setup"), "E301", "set up"),
        (Delivery(outputs=[b"x", b"y"]), "E308", "without a word"),
    ],
)
def test_what_comes_back_is_not_good(rig: Rig, delivery: Delivery, code: str, words: str) -> None:
    """A job that ended is not yet a part that delivered."""
    rig.cluster.deliveries["0001"] = delivery
    error = _no_result(rig.go(), code, "0001")

    assert words in str(error)
    assert not (rig.run.outputs / output_name("0001", 0)).exists()
    assert not (rig.run.incoming / output_name("0001", 0)).exists()


FLAT = "/cvmfs/unpacked.test/.flat"


@pytest.mark.parametrize(
    ("paths", "good"),
    [
        ([f"{FLAT}/ab/1"] * 4, True),
        (["", f"{FLAT}/ab/1", "", f"{FLAT}/ab/1"], True),
        (["/data/1/x", "/data/2/x", "/data/3/x", "/data/4/x"], True),
        ([f"{FLAT}/ab/1", f"{FLAT}/ab/1", f"{FLAT}/cd/2", f"{FLAT}/ab/1"], False),
    ],
)
def test_all_parts_were_in_the_same_image(rig: Rig, paths: Sequence[str], *, good: bool) -> None:
    """A tag that was pushed again during the run leads to another folder; no result is made of a mixture."""
    for part, path in zip(rig.plan.parts, paths, strict=True):
        rig.cluster.deliveries[part.id].image_path = path
    if good:
        assert rig.go().error is None
        return
    error = _no_result(rig.go(), "E319", "0002")
    assert f"{FLAT}/cd/2" in str(error)
    assert f"that of other parts: {FLAT}/ab/1" in str(error)


def test_a_later_collect_knows_the_image_of_the_parts(rig: Rig) -> None:
    """The ledger keeps it, whatever process goes on."""
    rig.submit()
    with Ledger(rig.run.folder / "run.sqlite") as ledger:
        ledger.note("image", f"{FLAT}/ab/1")
    for part in rig.plan.parts:
        rig.cluster.deliveries[part.id].image_path = f"{FLAT}/cd/2"

    error = rig.collect().error
    assert error is not None
    assert error.code == "E319"


def test_the_logs_of_a_failed_part_are_kept(rig: Rig) -> None:
    """And those of the good ones."""
    rig.cluster.deliveries["0001"] = Delivery(outputs=[b"x"], exit_code=3, stderr="no such dataset")
    rig.go()
    logs = rig.run.folder / "logs"

    assert (logs / "septum-0001.stderr").read_text() == "no such dataset"
    assert (logs / status_name("0000")).is_file()


def test_many_failures_are_counted(tmp_path: Path) -> None:
    """The first in the order of the plan, the others by their cause."""
    rig = Rig(tmp_path, 10)
    for part in ("0004", "0006"):
        rig.cluster.deliveries[part] = Delivery(outputs=[None])
    rig.cluster.deliveries["0002"] = Delivery(outputs=[b"x"], exit_code=3)
    error = _no_result(rig.go(), "E301", "0002")

    assert "3 of 10 parts failed" in error.evidence
    assert "also 2 × " in error.evidence
    assert "0004, 0006" in error.evidence


def test_a_part_with_another_axis(rig: Rig) -> None:
    """No result, whatever the tolerance."""
    rig.cluster.deliveries["0002"].outputs = [rig.root(H(cells=[0, 1, 2, 3, 0]))]

    with pytest.raises(StructureError, match="part 0002"):
        rig.go()


def test_a_file_too_many(rig: Rig) -> None:
    """Put there while the jobs ran."""
    rig.clock.on_sleep.append(lambda _: rig.run.outputs.mkdir(exist_ok=True))
    rig.clock.on_sleep.append(lambda _: (rig.run.outputs / "septum-0009.out0").touch())

    with pytest.raises(UnexpectedFileError, match=r"septum-0009\.out0"):
        rig.go()


@pytest.mark.parametrize("engine", [Adder(forget=0), Adder(twice=0), Adder(bump=1.0)])
def test_an_engine_that_loses_content(tmp_path: Path, engine: Adder) -> None:
    """The run fails, though the engine said nothing."""
    with pytest.raises(NotConservedError) as caught:
        Rig(tmp_path, engine=engine).go()

    assert caught.value.exit_code == 43


def test_an_engine_that_fails(tmp_path: Path) -> None:
    """Its error is the run's."""
    with pytest.raises(MergeFailedError, match="disk full"):
        Rig(tmp_path, engine=Adder(fail_with="disk full")).go()


# ── tolerance ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tolerance", "missing", "result"), [("1", 1, True), ("1", 2, False), ("50%", 2, True), ("0", 1, False)]
)
def test_tolerance(tmp_path: Path, tolerance: str, missing: int, *, result: bool) -> None:
    """Within it: a result that names what is missing, and exit code 39; beyond it: none."""
    rig = Rig(tmp_path, more=f"tolerance: {tolerance}\n")
    for part in rig.plan.parts[:missing]:
        rig.cluster.deliveries[part.id] = Delivery(outputs=[None])
    outcome = rig.go()

    assert outcome.error is not None
    assert len(outcome.failed) == missing
    if result:
        assert (outcome.error.code, outcome.error.exit_code) == ("E310", 39)
        assert [len(one.missing) for one in outcome.results] == [missing]
        assert read_cells(outcome.results[0].path, "h")[1] == 4 - missing
    else:
        assert outcome.results == ()
        assert outcome.error.exit_code == 34


def test_tolerance_does_not_cover_a_class_that_cannot_be_checked(tmp_path: Path) -> None:
    """It would be in every part."""
    rig = Rig(tmp_path, more="tolerance: 2\n")
    content = rig.root(H(cells=[0, 1, 2, 0]))
    rig.cluster.deliveries["0001"].outputs = [content.replace(b"TH1D", b"TK1D")]
    outcome = rig.go()

    assert outcome.error is not None
    assert outcome.error.code in {"E306", "E401", "E310"}
    assert all("0001" in one.missing for one in outcome.results)


def test_tolerance_does_not_cover_what_does_not_add_up(tmp_path: Path) -> None:
    """One NaN is the mistake of an analysis, and other parts may hide it."""
    rig = Rig(tmp_path, more="tolerance: 2\n", engine=Strict({}))
    rig.cluster.deliveries["0001"].outputs = [rig.root(H(cells=[0, math.nan, 1, 0], entries=1))]
    error = _no_result(rig.go(), "E408", "0001")

    assert error.exit_code == 48
    assert "non-finite: keep" in error.fix


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """In Latin-1, as ROOT never asked: of a histogram it merges, and in a message its byte is shown."""
    rig = Rig(tmp_path, engine=Strict({}))
    content = rig.root(H(cells=[0, 1, 2, 0]), "hXs").replace(b"hXs", b"h\xfcs")
    for delivery in rig.cluster.deliveries.values():
        delivery.outputs = [content]
    (result,) = rig.go().results
    assert list(result.objects) == ["h\udcfcs"]

    (tmp_path / "again").mkdir()
    rig = Rig(tmp_path / "again")
    with uproot.recreate(tmp_path / "text.root") as file:
        file["nXte"] = "some text"
    rig.cluster.deliveries["0001"].outputs = [(tmp_path / "text.root").read_bytes().replace(b"nXte", b"n\xfcte")]
    error = _no_result(rig.go(), "E401", "0001")
    assert r"n\xfcte is a TObjString" in error.what
    assert rig.rows()["0001"].message == error.what


# ── silence ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("span", [(0, 600), (15, 300), (55, 3000), (65, 400)])
def test_a_schedd_that_is_silent_for_a_while(rig: Rig, span: tuple[float, float]) -> None:
    """The jobs go on, and so does the collector; it says so once."""
    rig.submit()
    rig.cluster.silent.append(span)
    outcome = rig.collect()

    assert outcome.error is None
    assert sum("no answer" in line for _, line in rig.said) <= 1


def test_a_schedd_that_is_silent_again_and_again(rig: Rig) -> None:
    """Each silence is borne from its own beginning."""
    for part in rig.plan.parts:
        rig.cluster.steps[part.id] = (NORMAL[0], Step(at_s=20_000, state=JobState.ENDED, exit_code=0))
    rig.submit()
    rig.cluster.silent += [(1000.0 + 4000 * number, 4000.0 + 4000 * number) for number in range(4)]

    assert rig.collect().error is None
    assert sum("no answer" in line for _, line in rig.said) == 4


def test_a_schedd_that_is_silent_for_too_long(rig: Rig) -> None:
    """Exit code 75 before the lease ends: a retried CI job goes on with the same jobs, and nothing ran twice."""
    rig.submit()
    rig.cluster.silent.append((30, 10_000))

    with pytest.raises(ContactLostError) as caught:
        rig.collect()
    assert caught.value.exit_code == 75
    assert rig.clock.passed_s < LEASE_S
    assert "connection refused" in caught.value.evidence
    rig.cluster.silent.clear()
    outcome = rig.collect()
    assert outcome.error is None
    assert rig.cluster.submitted == 4


def test_a_schedd_that_is_silent_from_the_beginning(rig: Rig) -> None:
    """Ends as well."""
    rig.submit()
    rig.cluster.silent.append((0, 1e9))

    with pytest.raises(ContactLostError):
        rig.collect()


def test_a_fetch_that_never_answers(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though every look is answered."""
    rig.submit()

    def fetch(self: FakeBackend, parts: Sequence[str], into: Path) -> None:
        self.cluster.silent[:] = [(0, 1e9)]
        try:
            self.cluster.answer("fetch")
        finally:
            self.cluster.silent.clear()

    monkeypatch.setattr(FakeBackend, "fetch", fetch)

    with pytest.raises(ContactLostError):
        rig.collect()


def test_warnings_of_the_credentials_are_said(rig: Rig) -> None:
    """Once."""
    rig.warnings = ["the proxy ends soon"]
    rig.go()

    assert [line for _, line in rig.said if "proxy" in line] == ["warning: the proxy ends soon"]


# ── again ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _Killed(BaseException):
    """SIGKILL has no handler; this is as near as a test comes."""


@pytest.mark.parametrize("after_s", [5, 25, 70, 110, 150, 210])
def test_a_collector_that_is_started_again_goes_on(rig: Rig, after_s: float) -> None:
    """Wherever it was killed, each part is in the result once, and nothing is submitted again."""
    for part in rig.plan.parts:
        rig.cluster.steps[part.id] = (*NORMAL[:2], Step(at_s=60 + 50 * part.index, state=JobState.ENDED, exit_code=0))

    def kill(_: float) -> None:
        if rig.clock.passed_s >= after_s:
            rig.clock.on_sleep.clear()
            raise _Killed

    rig.submit()
    rig.clock.on_sleep.append(kill)
    with pytest.raises(_Killed):
        rig.collect()
    outcome = rig.collect()

    assert outcome.error is None
    assert read_cells(outcome.results[0].path, "h") == [0, 4, 8, 0]
    assert rig.cluster.submitted == 4


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts whose outputs the strict engine reads, as they are read."""
    seen: list[str] = []
    real = Strict.read

    def watched(self: Strict, path: Path, *, name: str, expected: Sequence[str] = ()) -> Contents:
        seen.append(path.name.removeprefix("septum-").removesuffix(".out0"))
        return real(self, path, name=name, expected=expected)

    monkeypatch.setattr(Strict, "read", watched)
    return seen


def _strict(folder: Path, *, more: str = "", first: float = 0.0) -> Rig:
    """A run of 45 parts, each with a number of its own in it, that end one after the other."""
    folder.mkdir(exist_ok=True)
    rig = Rig(folder, 45, more=more, engine=Strict({}))
    for part in rig.plan.parts:
        rig.cluster.deliveries[part.id].outputs = [_numbered(first + part.index)]
        rig.cluster.steps[part.id] = (*NORMAL[:2], Step(at_s=60 + 60 * part.index, state=JobState.ENDED, exit_code=0))
    return rig


@functools.cache
def _numbered(number: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_root(Path(folder) / "h.root", {"h": H(cells=[0, number, 1, 0])}).read_bytes()


def _kill_at(rig: Rig, after_s: float) -> None:
    """Collect, and be killed."""

    def kill(_: float) -> None:
        if rig.clock.passed_s >= after_s:
            rig.clock.on_sleep.clear()
            raise _Killed

    rig.clock.on_sleep.append(kill)
    with pytest.raises(_Killed):
        rig.collect()


def test_a_second_collector_goes_on_from_the_checkpoint(tmp_path: Path, read: list[str]) -> None:
    """What is in the sums is not read again; the result is the same, to the last byte, as if nobody had been killed."""
    rig = _strict(tmp_path / "killed")
    rig.submit()
    _kill_at(rig, 60 + 60 * 32)
    done = [part for part, state in rig.states().items() if state is PartState.VERIFIED]
    assert read == done
    assert 30 <= len(done) <= 34
    read.clear()
    outcome = rig.collect()

    assert outcome.error is None
    # The sums were saved at the twentieth part.
    assert read == [part.id for part in rig.plan.parts[20:]]
    whole = _strict(tmp_path / "whole").go()
    assert outcome.results[0].path.read_bytes() == whole.results[0].path.read_bytes()
    assert outcome.results[0].sha256 == whole.results[0].sha256
    assert read_cells(outcome.results[0].path, "h") == [0, sum(range(45)), 45, 0]


def test_a_collector_that_is_killed_again_and_again(tmp_path: Path, read: list[str]) -> None:
    """Each part is in the result once; after each kill, only what came after the last checkpoint is read again."""
    rig = _strict(tmp_path)
    rig.submit()
    for after_s in (500, 1500, 2000, 2600):
        _kill_at(rig, after_s)
    outcome = rig.collect()

    assert outcome.error is None
    assert read_cells(outcome.results[0].path, "h") == [0, sum(range(45)), 45, 0]
    assert set(read) == set(rig.plan.by_id)
    assert 45 < len(read) < 45 + 4 * 20
    assert rig.cluster.submitted == 45


def test_a_part_that_fails_after_the_checkpoint(tmp_path: Path) -> None:
    """It is missing, and those of the checkpoint are not."""
    rig = _strict(tmp_path, more="tolerance: 2\n")
    rig.cluster.deliveries["0040"] = Delivery(outputs=[None])
    rig.cluster.deliveries["0003"] = Delivery(outputs=[None])
    rig.submit()
    _kill_at(rig, 60 + 60 * 30)
    outcome = rig.collect()
    (result,) = outcome.results

    assert result.missing == ("0003", "0040")
    assert read_cells(result.path, "h") == [0, sum(range(45)) - 43, 43, 0]


@pytest.mark.parametrize("whose", ["another run", "garbage"])
def test_a_checkpoint_that_is_not_of_this_run_is_ignored(tmp_path: Path, read: list[str], whose: str) -> None:
    """Its parts have the same names; all are read again, and nothing of it is in the result."""
    other = _strict(tmp_path / "other", first=1000.0)
    other.submit()
    _kill_at(other, 60 + 60 * 32)
    rig = _strict(tmp_path / "this")
    rig.submit()
    _kill_at(rig, 60 + 60 * 32)
    (checkpoint,) = (other.run.folder / "merge").glob("*.sums")
    content = checkpoint.read_bytes() if whose == "another run" else b"garbage"
    assert (rig.run.folder / "merge" / checkpoint.name).is_file()
    (rig.run.folder / "merge" / checkpoint.name).write_bytes(content)
    read.clear()
    outcome = rig.collect()

    assert outcome.error is None
    assert sorted(read) == [part.id for part in rig.plan.parts]
    assert read_cells(outcome.results[0].path, "h") == [0, sum(range(45)), 45, 0]


def test_an_output_of_the_checkpoint_that_was_changed(tmp_path: Path) -> None:
    """It is in the sums as it was; that it is not what it was ends the run all the same."""
    rig = _strict(tmp_path)
    rig.submit()
    _kill_at(rig, 60 + 60 * 32)
    (rig.run.outputs / output_name("0001", 0)).write_bytes(_numbered(9999.0))

    with pytest.raises(OutputDamagedError, match="part 0001"):
        rig.collect()


@pytest.mark.parametrize("left", ["outputs", "incoming"])
def test_killed_between_two_steps_of_one_part(rig: Rig, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    """After the file was moved and before the ledger knew, or before it was moved."""

    def die(*_: Any, **__: Any) -> None:
        raise _Killed

    rig.submit()
    if left == "outputs":
        monkeypatch.setattr(Ledger, "store", die)
    else:
        monkeypatch.setattr("septum.intake.verify", die)
    with pytest.raises(_Killed):
        rig.collect()
    assert (rig.run.folder / left / output_name("0000", 0)).is_file()
    monkeypatch.undo()
    outcome = rig.collect()

    assert outcome.error is None
    assert read_cells(outcome.results[0].path, "h") == [0, 4, 8, 0]


def test_killed_between_two_steps_and_the_job_is_gone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was brought home before is enough, though the schedd has forgotten the job."""
    rig.submit()
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "store", lambda *_, **__: (_ for _ in ()).throw(_Killed()))
        with pytest.raises(_Killed):
            rig.collect()
    rig.cluster.forgotten = {"0000"}
    outcome = rig.collect()

    assert outcome.error is None
    assert outcome.results[0].parts[0] == "0000"


def test_a_verified_output_that_was_changed_before_the_restart(rig: Rig) -> None:
    """It is not the file any more that had been verified."""
    rig.go()
    write_root(rig.run.outputs / output_name("0001", 0), {"h": H(cells=[0, 9, 9, 0])})

    with pytest.raises(OutputDamagedError, match="part 0001"):
        rig.collect()


def test_collecting_twice_gives_the_same(rig: Rig) -> None:
    """As long as the ledger does not say that the result is out."""
    first = rig.go()
    second = rig.collect()

    assert first.error is second.error is None
    assert first.results[0].objects == second.results[0].objects
    assert read_cells(second.results[0].path, "h") == [0, 4, 8, 0]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM part WHERE id = '0002'",
        "INSERT INTO part (id, state) VALUES ('0099', 'failed')",
        "UPDATE part SET state = 'xyz' WHERE id = '0002'",
    ],
)
def test_a_ledger_that_lost_a_part(rig: Rig, statement: str) -> None:
    """A part that is in no state must not be missing from a result that looks whole."""
    rig.submit()
    rig.damage(statement)

    with pytest.raises(StateError) as caught:
        rig.collect()
    assert caught.value.fix


def test_a_ledger_that_lost_an_output(rig: Rig) -> None:
    """The file is there and nobody knows it."""
    rig.go()
    rig.damage("DELETE FROM output WHERE part = '0002'")

    with pytest.raises(SeptumError):
        rig.collect()


# ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lines_of_progress_grow_rare() -> None:
    """One a minute at first, one in a quarter of an hour at last: a day of progress is a hundred lines and a bit."""
    times_s = [0.0]
    while times_s[-1] < 24 * 3600:
        times_s.append(times_s[-1] + line_every_s(times_s[-1]))

    assert times_s[:6] == [0.0, 60.0, 120.0, 180.0, 240.0, 300.0]
    assert sum(time_s < 1200 for time_s in times_s) <= 12
    assert max(later - time_s for time_s, later in itertools.pairwise(times_s)) == 900.0
    assert len(times_s) < 120


def test_at_most_one_line_a_minute(tmp_path: Path) -> None:
    """However often something changes, and nothing while nothing changes."""
    rig = Rig(tmp_path, 45)
    for part in rig.plan.parts:
        start = 20 + 80 * part.index
        rig.cluster.steps[part.id] = (
            NORMAL[0],
            Step(at_s=start, state=JobState.RUNNING),
            Step(at_s=start + 100, state=JobState.ENDED, exit_code=0),
        )
    rig.go()
    # The last line, which says how it ended, waits for nobody.
    times = [time_s for time_s, line in rig.said if "merging" not in line][:-1]

    assert all(after - before >= 60 for before, after in itertools.pairwise(times))
    assert 10 < len(times) <= rig.clock.passed_s / 60 + 2
    assert rig.said[-2][1] == "45 verified"
    assert rig.said[-1][1] == "merging h.root"


def test_nothing_new_is_not_said(rig: Rig) -> None:
    """A day of waiting is not a day of lines."""
    for part in rig.plan.parts:
        rig.cluster.steps[part.id] = (NORMAL[0], Step(at_s=86_400, state=JobState.ENDED, exit_code=0))
    rig.go()

    assert [line for _, line in rig.said] == ["4 idle", "4 verified", "merging h.root"]
