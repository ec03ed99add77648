"""`septum run --pilot`: one part goes first, and all others get a job only when it has delivered."""

from __future__ import annotations

from pathlib import Path

import pytest

from septum.errors import PartExitError, PartHeldError
from septum.feed import PILOT
from septum.ledger import Ledger
from septum.states import JobState, PartState
from tests.fakes.cluster import NORMAL, Delivery, Step
from tests.unit.test_collect import Rig


class PilotRig(Rig):
    """Four parts of which none is submitted yet; the first is the pilot."""

    def begin(self, pilot: str = "0000") -> None:
        """As `septum submit` does with the option: it notes the pilot, and submits nothing else."""
        with Ledger(self.run.folder / "run.sqlite") as ledger:
            parts = (part.id for part in self.plan.parts)
            ledger.begin(plan_hash=self.plan.hash, tag="t", parts=parts, now_s=self.clock.now())
            ledger.note(PILOT, pilot)

    def told(self) -> str:
        """All that was said."""
        return "\n".join(line for _, line in self.said)


@pytest.fixture
def rig(tmp_path: Path) -> PilotRig:
    """A run with a pilot."""
    made = PilotRig(tmp_path)
    made.begin()
    return made


def test_the_others_follow_a_pilot_that_has_delivered(rig: PilotRig) -> None:
    """Two waves: the pilot alone, and then all others at once; its part is not run again."""
    outcome = rig.collect()

    assert outcome.error is None
    assert rig.cluster.waves == [["0000"], ["0001", "0002", "0003"]]
    assert {row.jobs for row in rig.rows().values()} == {1}
    assert "pilot: part 0000 has delivered, and its outputs are verified; now the 3 other parts" in rig.told()


def test_nothing_follows_a_pilot_that_failed(rig: PilotRig) -> None:
    """The error is that of the part, with the end of its log, and says that nothing else was submitted."""
    rig.cluster.deliveries["0000"] = Delivery(outputs=[None], exit_code=3, stderr="no such dataset\n")

    with pytest.raises(PartExitError, match="part 0000") as caught:
        rig.collect()

    assert "no such dataset" in caught.value.evidence
    assert "it was the pilot: none of the 3 other parts was submitted" in caught.value.evidence
    assert rig.cluster.waves == [["0000"]]
    assert list(rig.states().values()) == [PartState.FAILED, *[PartState.PLANNED] * 3]


def test_a_pilot_that_is_held_for_good_stops_the_run(rig: PilotRig) -> None:
    """Whatever keeps it from delivering, nobody waits for it for ever."""
    held = Step(at_s=30, state=JobState.HELD, hold_code=1, reason="held by a person")
    rig.cluster.steps["0000"] = (NORMAL[0], NORMAL[1], held)

    with pytest.raises(PartHeldError, match="part 0000"):
        rig.collect()

    assert rig.cluster.waves == [["0000"]]


def test_a_pilot_on_a_bad_machine_gets_another_job(tmp_path: Path) -> None:
    """What lies on the way and not in the part is tried again as always, still before all others."""
    rig = PilotRig(tmp_path, more="resubmissions: 1\n")
    rig.begin()
    rig.cluster.steps["0000"] = (NORMAL[0], Step(at_s=20, state=JobState.LOST))
    rig.cluster.later_steps["0000"] = NORMAL

    outcome = rig.collect()

    assert outcome.error is None
    assert rig.cluster.waves == [["0000"], ["0000"], ["0001", "0002", "0003"]]


def test_a_collect_that_was_started_again_keeps_waiting_for_the_pilot(rig: PilotRig) -> None:
    """The pilot stands in the ledger, not in the memory of a process."""
    rig.clock.on_sleep.append(_Interrupt(after=2))
    with pytest.raises(KeyboardInterrupt):
        rig.collect()
    rig.clock.on_sleep.clear()

    assert rig.cluster.waves == [["0000"]]
    assert rig.collect().error is None
    assert rig.cluster.waves == [["0000"], ["0001", "0002", "0003"]]


class _Interrupt:
    """Ctrl-C at the so-many-th sleep."""

    def __init__(self, after: int) -> None:
        self._left = after

    def __call__(self, _: float) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt
