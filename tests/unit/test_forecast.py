"""What a plan costs, and what the last run says of it: never a number that nobody measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.forecast import (
    Asked,
    Last,
    Measured,
    asked,
    expected,
    last_of_ledger,
    last_of_manifest,
    most_at_once,
    range_of,
    to_data,
)
from septum.ledger import Ledger, StoredOutput
from septum.manifest import Manifest, PartFacts, PartOutput, ResultFile
from septum.plan import Plan
from septum.states import PartState
from tests.fakes.analyses import plan_of, seeds


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Twenty parts with one input of 100 bytes for all."""
    (tmp_path / "run").write_bytes(b"x" * 100)
    return plan_of(seeds(20, more="inputs: [run]\n"), tmp_path)


def _ask(plan: Plan, **changes: Any) -> Asked:
    usual = {"cpus": 1, "memory_b": 1000, "disk_b": 2000, "time_s": 3600, "at_once": 100, "spools": True}
    return asked(plan, **{**usual, **changes})


def _part(number: int, *, began_s: float, run_s: float, fingerprint: str = "") -> Measured:
    return Measured(
        id=f"{number:04}", fingerprint=fingerprint, wait_s=5.0, began_s=began_s, ended_s=began_s + run_s,
        memory_b=100 + number, outputs_b=10,
    )  # fmt: skip


def _last(*parts: Measured, cluster: str = "far", results_b: int | None = 500) -> Last:
    return Last(source="here", run="r", cluster=cluster, parts=parts, took_s=100.0, results_b=results_b)


# ── what is asked for ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_plan_asks_for(plan: Plan) -> None:
    """Of the plan where it says something, else of the cluster; files travel once for each part."""
    ask = _ask(plan)
    own = _ask(replace(plan, request=replace(plan.request, cpus=4, memory_b=7, time_s=1800)))

    assert (ask.parts, ask.whole, ask.at_once) == (20, 20, 20)
    assert (ask.core_hours, ask.there_b, ask.spool_b) == (20.0, 2000, 2000)
    assert (own.cpus, own.memory_b, own.disk_b, own.time_s, own.core_hours) == (4, 7, 2000, 1800, 40.0)


def test_a_queue_that_takes_fewer_jobs_holds_fewer_files(plan: Plan) -> None:
    """And this machine holds none for later."""
    assert _ask(plan, at_once=5).spool_b == 500
    assert _ask(plan, at_once=5, spools=False).spool_b == 0
    assert _ask(plan, at_once=5).at_once == 5


def test_what_all_parts_share_may_go_less_often(plan: Plan) -> None:
    """To a storage once, or to each workflow of REANA; the workers unpack it all the same."""
    by_url, reana = _ask(plan, at_once=5, by_url=True), _ask(plan, at_once=5, workflows=2)

    assert (by_url.there_b, by_url.sent_b, by_url.spool_b, by_url.area_b) == (2000, 0, 0, 100)
    assert (reana.there_b, reana.sent_b, reana.spool_b, reana.area_b) == (2000, 200, 200, 0)
    assert _ask(plan, workflows=2, spools=False).sent_b == 0


# ── ranges ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_range_of_many_leaves_out_the_tails() -> None:
    """The tenth and the ninetieth of a hundred."""
    found = range_of(range(1, 101))

    assert found is not None
    assert (found.low, found.median, found.high, found.mean, found.of) == (10, 50.5, 90, 50.5, 100)


@pytest.mark.parametrize(
    ("values", "low", "high"), [([7.0], 7.0, 7.0), ([3, 1, 2], 1, 3), ([*range(9)], 0, 8), ([2, None, 1], 1, 2)]
)
def test_a_range_of_few_is_all_of_them(values: list[float | None], low: float, high: float) -> None:
    """From the smallest to the largest; what nobody measured does not count."""
    found = range_of(values)

    assert found is not None
    assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize(
    "values", [[], [None], [float("nan")], [float("inf")], [-1.0], [10**400], [float("-inf"), None]]
)
def test_nothing_that_can_be_is_no_range(values: list[float | None]) -> None:
    """Not zero."""
    assert range_of(values) is None


@pytest.mark.parametrize(
    ("times", "most"),
    [
        ([], 0),
        ([(0, 10)], 1),
        ([(0, 10), (10, 20), (20, 30)], 1),
        ([(0, 10), (5, 15), (9, 12), (20, 30)], 3),
        ([(0, 0), (0, 0)], 2),
    ],
)
def test_how_many_ran_at_once(times: list[tuple[float, float]], most: int) -> None:
    """One that ended as another began did not run with it."""
    assert most_at_once([Measured(id=str(n), began_s=a, ended_s=b) for n, (a, b) in enumerate(times)]) == most


# ── what is expected ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_on_the_same_cluster_says_how_long(plan: Plan) -> None:
    """With as many at once as then: 20 parts by 2 are ten rounds, after a wait."""
    last = _last(_part(0, began_s=0, run_s=60), _part(1, began_s=0, run_s=120))
    told = expected(plan, _ask(plan), last, cluster="far", is_local=False)

    assert (told.at_once, told.same) == (2, 0)
    assert told.elapsed_s == (5 + 10 * 60, 5 + 10 * 120)
    assert told.core_hours is not None
    assert (told.core_hours.low, told.core_hours.mean, told.core_hours.high) == pytest.approx((20 / 60, 0.5, 40 / 60))
    assert told.back_all_b is not None
    assert told.back_all_b.mean == 200
    assert told.results_b == (500, 5000)


def test_a_run_elsewhere_says_nothing_of_queues(plan: Plan) -> None:
    """Neither how long a job waits, nor how many run at once, nor when all is over."""
    last = _last(_part(0, began_s=0, run_s=60), cluster="other")
    told = expected(plan, _ask(plan), last, cluster="far", is_local=False)

    assert told.run_s is not None
    assert (told.wait_s, told.at_once, told.elapsed_s) == (None, 0, None)


def test_this_machine_has_slots_and_no_queue(plan: Plan) -> None:
    """As many at once as it has, whatever the run before had."""
    last = _last(_part(0, began_s=0, run_s=60), cluster="other")
    told = expected(plan, _ask(plan, at_once=4), last, cluster="local", is_local=True)

    assert (told.at_once, told.wait_s, told.elapsed_s) == (4, None, (300.0, 300.0))


def test_parts_that_are_the_same_are_counted(plan: Plan) -> None:
    """By their fingerprints."""
    last = _last(_part(0, began_s=0, run_s=1, fingerprint=plan.parts[7].fingerprint), _part(1, began_s=0, run_s=1))

    assert expected(plan, _ask(plan), last, cluster="far", is_local=False).same == 1


def test_a_run_that_measured_nothing_says_nothing(plan: Plan) -> None:
    """No zero stands where a number should."""
    told = expected(plan, _ask(plan), _last(results_b=None), cluster="far", is_local=False)
    ranges = (told.run_s, told.wait_s, told.memory_b, told.back_b, told.core_hours, told.elapsed_s, told.results_b)

    assert ranges == (None,) * 7
    assert json.loads(json.dumps(to_data(_ask(plan), None, None)))["expected"] is None


# ── where it comes from ─────────────────────────────────────────────────────────────────────────────────────────


def _facts(number: int, state: str, **changes: Any) -> PartFacts:
    usual: dict[str, Any] = {"attempts": 1, "submitted_s": 90.0, "started_s": 100.0, "ended_s": 160.0, "memory_b": 1000}
    output = PartOutput(path="h.root", size_b=20, sha256="")
    return PartFacts(
        id=f"{number:04}", values={}, fingerprint=f"f{number}", state=state, outputs=(output,),
        **{**usual, **changes},
    )  # fmt: skip


def _manifest(*parts: PartFacts, **changes: Any) -> Manifest:
    result = ResultFile(name="h.root", file="h.root", size_b=500, sha256="", parts=("0000",))
    usual: dict[str, Any] = {"began_s": 50.0, "ended_s": 250.0, "results": (result,)}
    return Manifest(
        septum="1", name="a", complete=True, whole_count=2, plan="p", work="w", run="r", cluster="far", parts=parts,
        **{**usual, **changes},
    )  # fmt: skip


def test_a_manifest_tells_of_the_parts_that_delivered() -> None:
    """One that failed, or was cancelled while it waited, does not count."""
    last = last_of_manifest(
        _manifest(_facts(0, "merged", attempts=3), _facts(1, "failed", cause="E301"), _facts(2, "idle")), source="s"
    )
    (part,) = last.parts

    assert (part.id, part.fingerprint, part.wait_s, part.run_s, part.outputs_b) == ("0000", "f0", 10.0, 60.0, 20)
    assert (last.cluster, last.took_s, last.results_b) == ("far", 200.0, 500)
    assert (last.name, last.missing, last.again, last.rehearsed, last.rest_s) == ("a", 2, 1, False, 130.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5.0, 10**400, None])
def test_a_manifest_of_nonsense_says_nothing(plan: Plan, value: Any) -> None:
    """Whoever wrote it: there is no traceback, and no number."""
    odd = _facts(0, "merged", submitted_s=value, started_s=value, ended_s=value, memory_b=value)
    last = last_of_manifest(_manifest(odd, began_s=value, ended_s=value), source="s")
    told = expected(plan, _ask(plan), last, cluster="far", is_local=False)

    assert (last.took_s, told.run_s, told.wait_s, told.memory_b, told.elapsed_s) == (None,) * 5


def test_a_ledger_tells_the_same(tmp_path: Path) -> None:
    """Of a run that has not ended, too: the parts that are in."""
    with Ledger(tmp_path / "run.sqlite") as ledger:
        ledger.begin(plan_hash="p", tag="r", parts=["0000", "0001"], now_s=1.0)
        ledger.move("0000", PartState.IDLE, now_s=90.0)
        ledger.move("0000", PartState.RUNNING, now_s=100.0)
        ledger.move("0000", PartState.ENDED, now_s=160.0, started_s=100, ended_s=160, memory_b=1000)
        output = StoredOutput(part="0000", output=0, path="0000.root", size_b=20, sha256="")
        ledger.store("0000", [output], now_s=161.0)
        last = last_of_ledger(
            ledger.rows(), ledger.outputs(), ledger.submitted_s(),
            fingerprints={"0000": "f0"}, name="a", run="r", cluster="far", source="s",
        )  # fmt: skip
    (part,) = last.parts

    assert (part.id, part.fingerprint, part.wait_s, part.run_s, part.outputs_b) == ("0000", "f0", 10.0, 60.0, 20)
    assert (last.took_s, last.results_b) == (None, None)
