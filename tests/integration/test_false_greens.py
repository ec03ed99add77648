"""False greens, staged with a framework that submits for itself: the proof of concept ends with 0, septum says why not.

Each row of `tests/framework/greens.py` is played twice on the real pool. What comes of it stands in
`docs/explanation/false-greens.md`: `python -m tests.framework.table` writes that page anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from septum.facility import Facility
from tests.framework.greens import ROWS
from tests.framework.poc import FRAMEWORK, GLOB
from tests.framework.rows import Outcome, Row, Stage, proof, unexpected
from tests.framework.table import PAGE, page, seen, staging, stored

_HERE = Path(__file__)
Played = Callable[[Row], tuple[Outcome, Outcome]]


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, facility: Facility, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    """The rows that were asked for, all under way from now on."""
    mine = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == _HERE]
    asked = [item.callspec.params.get("row") for item in mine if hasattr(item, "callspec")]
    rows = [row for row in ROWS if row in asked]
    with staging(rows, facility, tmp_path_factory.mktemp("false-greens")) as futures:
        yield lambda row: futures[row.name].result()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_false_green(played: Played, row: Row) -> None:
    """The proof of concept ends with 0 and a wrong result; septum ends with the exit code of the cause, or is right."""
    outcomes = played(row)

    assert not unexpected(row, *outcomes), "\n".join(unexpected(row, *outcomes))
    assert outcomes[0].result != "whole" or row.note


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_page_tells_what_was_seen(played: Played, row: Row) -> None:
    """Result, exit code and message in the table are those of this run."""
    assert stored()[row.name] == seen(played(row))


def test_the_page_is_made_of_the_results() -> None:
    """Nobody has edited it, and every row is in it."""
    assert PAGE.read_text(encoding="utf-8") == page(stored())
    assert list(stored()) == [row.name for row in ROWS]
    assert sum(row.code > 0 for row in ROWS) >= 25


@pytest.mark.parametrize(
    ("merge", "worth"), [(GLOB, "no envelope of QCDscale"), (FRAMEWORK, "whole")], ids=["hadd", "-o 2"]
)
def test_the_proof_of_concept_works_when_nothing_happens(
    facility: Facility, tmp_path: Path, merge: str, worth: str
) -> None:
    """So that it is the fault, and not the staging, that is wrong elsewhere; `hadd` leaves out the envelope."""
    row = Row(name=f"undisturbed-{len(merge)}", group="", happens="", result=worth, code=0, says=[], merge=merge)
    outcome = proof(Stage(facility=facility, pool=facility.pool, folder=tmp_path, row=row))

    assert (outcome.code, outcome.result, outcome.left) == (0, worth, 0), outcome.said
