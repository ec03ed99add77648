"""What the reports say of a run, from values alone: verdict, causes, yields, cut flows, what to ask for next time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from septum.manifest import Failure
from septum.report.histograms import Axis, Histogram, cutflow, joined, yields
from septum.report.usage import course, jobs, memory_to_ask, suggestions, usage
from septum.report.verdict import Kind, causes, describe, judge, missing_parts, ranges
from septum.units import parse_size
from tests.fakes import reports

_MB = 1024**2


# ── the verdict ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_verdict_on_a_run() -> None:
    """Whole, partial for one of two reasons, or nothing; each says what, and what to do."""
    whole = reports.manifest(parts=5)
    within = reports.manifest(parts=5, failed=(2,))
    chosen = replace(whole, complete=False, whole_count=400)
    nothing = reports.without_result(parts=5, failed=(2,))
    unmerged = replace(whole, results=())

    assert judge(whole).what == "All 5 parts of the plan are in the result."
    assert (judge(within).kind, judge(within).what) == (Kind.PARTIAL, "1 of 5 parts are missing in the results.")
    assert judge(within).code == "E310"
    assert (judge(chosen).kind, judge(chosen).what) == (Kind.PARTIAL, "Only 5 of 400 parts were asked for.")
    assert "--parts" in judge(chosen).fix
    assert (judge(nothing).kind, judge(nothing).code) == (Kind.NOTHING, "E301")
    assert judge(nothing).evidence
    assert judge(unmerged).what == "All 5 parts of the plan are in; nothing was to be merged."


def test_results_with_an_error_are_never_whole() -> None:
    """A run whose manifest says that it is not complete, without saying what is missing, is partial, too."""
    run = replace(
        reports.manifest(parts=5),
        complete=False,
        error=Failure(code="E500", exit_code=50, what="they differ", fix="look"),
    )

    assert judge(run).kind is Kind.PARTIAL


def test_failures_by_cause() -> None:
    """The most frequent first, with the first part that left a log as the example."""
    run = reports.manifest(parts=60, failed=(1, 2, 3, 4, 5, 6, 7))
    no_log = tuple(replace(part, log=None) if part.id == "0001" else part for part in run.parts)
    found = causes(replace(run, parts=no_log))

    assert [(cause.code, len(cause.parts)) for cause in found] == [("E301", 3), ("E304", 2), ("E307", 2)]
    assert found[0].example.id == "0004"
    assert "exit code other than 0" in found[0].meaning
    assert missing_parts(run) == ["0001", "0002", "0003", "0004", "0005", "0006", "0007"]
    assert "does not know" in causes(replace(run, parts=(replace(run.parts[1], cause="E998"),)))[0].meaning


def test_parts_are_named_as_messages_name_them() -> None:
    """With their values, shortened."""
    part = replace(reports.part(7), values={"files": ("a.root", "b.root"), "x": "y" * 100, "e\nvil": "\x1b"})

    assert describe(part) == f"part 0007 (files=a.root b.root, x={'y' * 26}…{'y' * 13}, e\\nvil=\\x1b)"
    assert ranges(["1", "2"]) == "1,2"
    assert ranges([str(n) for n in range(30)]).endswith("19 … and 10 more")


# ── what jobs used ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("memory_mb", "asked_mb"), [
    ([600], 800),
    ([690] * 100, 900),
    ([100, 100, 100, 2000], 2600),
    ([100] * 99 + [2000], 2000),
    ([1], 50),
    ([2048] * 3, 2700),
])  # fmt: skip
def test_the_memory_to_ask_for(memory_mb: list[int], asked_mb: int) -> None:
    """What 95 of 100 jobs needed and 30 % more, in round steps, and never less than any job needed."""
    wanted = memory_to_ask([value * _MB for value in memory_mb])

    assert wanted == asked_mb * _MB
    assert wanted >= max(memory_mb) * _MB


@pytest.mark.parametrize(("asked_mb", "reason"), [
    (4000, "smaller jobs start earlier"),
    (1000, None),
    (705, "jobs are stopped"),
    (None, "nothing was asked for"),
])  # fmt: skip
def test_suggestions_are_made_where_they_help(asked_mb: int | None, reason: str | None) -> None:
    """Too much, nearly too little, or nothing asked for; what fits is left alone. What is said can be pasted."""
    run = reports.manifest(parts=20)
    run = replace(
        run,
        parts=tuple(replace(part, memory_b=700 * _MB) for part in run.parts),
        asked=replace(run.asked, memory_b=asked_mb * _MB if asked_mb else None),
    )
    found = suggestions(usage(run), run.asked)

    assert [reason in item.why for item in found if reason] == ([True] if reason else [])
    assert len(found) == bool(reason)
    for item in found:
        assert item.paste == "resources: {memory: 950 MB}"
        assert parse_size(item.paste.split(": ", 2)[2].rstrip("}")) == 950 * _MB


def test_processors_that_were_idle() -> None:
    """Of four processors one is busy: ask for one."""
    run = reports.manifest(parts=20)
    run = replace(run, asked=replace(run.asked, cpus=4, memory_b=900 * _MB))

    assert [item.paste for item in suggestions(usage(run), run.asked)] == ["resources: {cpus: 1}"]


def test_efficiency_counts_processors_and_only_what_was_measured() -> None:
    """A job of an hour on two processors with an hour of CPU time is half efficient."""
    run = reports.manifest(parts=3)
    first = replace(run.parts[0], started_s=0.0, ended_s=3600.0, cpu_s=3600.0)
    unmeasured = replace(run.parts[1], cpu_s=None)
    backwards = replace(run.parts[2], started_s=100.0, ended_s=50.0)
    used = usage(replace(run, asked=replace(run.asked, cpus=2), parts=(first, unmeasured, backwards)))

    assert used.efficiency == 0.5
    assert used.efficiencies == (0.5,)


def test_the_course_of_a_run() -> None:
    """At each time, every job is waiting, running or over; clocks that differ make none run before it was queued."""
    run = reports.manifest(parts=300)
    odd = replace(run.parts[0], submitted_s=(run.parts[0].started_s or 0) + 500)
    _, found = jobs(replace(run, parts=(odd, *run.parts[1:])))
    counted = course(found, points=50)

    assert len(found) == 300
    assert all(job.submitted_s is not None and job.submitted_s <= job.started_s for job in found)
    assert [job.started_s for job in found] == sorted(job.started_s for job in found)
    assert counted.running[-1] == 0
    assert min(counted.idle) >= 0
    assert max(counted.running) <= 300
    assert max(waits + runs for waits, runs in zip(counted.idle, counted.running, strict=True)) <= 300


def test_a_run_without_times_has_no_course() -> None:
    """Nor does it fail."""
    run = reports.manifest(parts=3)
    bare = tuple(replace(part, started_s=None) for part in run.parts)

    assert jobs(replace(run, parts=bare)) == (0.0, [])


# ── histograms ──────────────────────────────────────────────────────────────────────────────────────────────────


def _flat(values: list[float], *, labels: tuple[str, ...] = (), path: str = "h", title: str = "") -> Histogram:
    content = np.asarray(values, dtype=float)
    axis = Axis(title=title, edges=np.arange(len(values) + 1.0), labels=labels)
    return Histogram(
        result="r", path=path, kind="TH1D", title="", axes=(axis,), values=content,
        errors=np.sqrt(np.abs(np.nan_to_num(content))), entries=1.0,
    )  # fmt: skip


def test_yields_with_a_reference() -> None:
    """The largest difference first; errors of both sides count."""
    mine = [_flat([100.0], path="a"), _flat([100.0, 44.0], path="b"), _flat([1.0], path="c"), _flat([5.0], path="d")]
    theirs = {("r", "a"): _flat([100.0]), ("r", "b"): _flat([100.0]), ("r", "c"): _flat([0.0])}
    found = yields(mine, theirs)

    assert [item.path for item in found] == ["b", "c", "a", "d"]
    assert found[0].value == 144
    assert found[0].pull == pytest.approx(44 / math.sqrt(244))
    assert found[0].change == pytest.approx(0.44)
    assert (found[1].change, found[1].pull) == (None, 1.0)
    assert (found[3].reference, found[3].pull) == (None, None)


def test_a_yield_that_differs_without_errors() -> None:
    """Has no pull, and stands first all the same."""
    mine = [replace(_flat([2.0], path=name), errors=np.zeros(1)) for name in ("a", "b")]
    theirs = {("r", "a"): mine[0], ("r", "b"): replace(mine[1], values=np.asarray([1.0]))}

    assert [(item.path, item.pull) for item in yields(mine, theirs)] == [("b", None), ("a", None)]


def test_a_cut_flow() -> None:
    """Efficiencies of all and of the step before; empty bins without a name at its end are none of its steps."""
    steps, falling = cutflow(_flat([200, 100, 25, 0, 0], labels=("all", "#geq 2 #mu", "m_{ll}", "last", "")), None)

    assert falling
    assert [(step.label, step.absolute, step.relative) for step in steps] == [
        ("all", 1.0, 1.0), ("#geq 2 #mu", 0.5, 0.5), ("m_{ll}", 0.125, 0.25), ("last", 0.0, 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize("values", [[5, 10, 3], [0, 0, 0], [-5, -6, -7], [math.nan, 1, 0]])
def test_categories_are_no_cut_flow(values: list[float]) -> None:
    """Where the contents do not fall from step to step, efficiencies would mean nothing."""
    steps, falling = cutflow(_flat(values, labels=("a", "b", "c")), None)

    assert not falling
    assert {step.absolute for step in steps} == {None}


def test_what_is_a_cut_flow() -> None:
    """By its labels, or by its name."""
    assert _flat([1], labels=("a",)).is_cutflow
    assert all(_flat([1], path=name).is_cutflow for name in ("cutflow", "sr/CutFlow_mu", "x/cut_flow"))
    assert not _flat([1], path="cutflow/mass").is_cutflow
    assert not replace(_flat([1], path="cutflow"), profile=True).is_cutflow


@pytest.mark.parametrize("bins", [400, 401, 5000, 100_001])
def test_more_bins_than_can_be_drawn(bins: int) -> None:
    """Neighbours are put together; nothing is lost, and the axis keeps its ends."""
    fine = _flat([1.0] * bins)
    coarse, step = joined(fine)

    assert len(coarse.values) <= 400
    assert coarse.values.sum() == bins
    assert (coarse.errors**2).sum() == pytest.approx(bins)
    assert (coarse.axes[0].edges[0], coarse.axes[0].edges[-1]) == (0, bins)
    assert (step == 1) == (bins == 400)


def test_axis_of_the_contents() -> None:
    """Per bin width, with the unit of the axis."""
    assert _flat([1, 2], title="m [GeV]").per_bin() == "Events / 1 GeV"
    assert _flat([1, 2], title="#eta").per_bin() == "Events / 1"
    assert _flat([1, 2], labels=("a", "b")).per_bin() == "Events"
    wide = replace(_flat([1, 2]), axes=(Axis(title="", edges=np.asarray([0.0, 1.0, 3.0])),))
    assert (wide.per_bin(), wide.variable_bins) == ("Events / bin", True)


@pytest.mark.parametrize(("values", "spans"), [
    ([1, 10, 1000], True), ([1, 10, 999], False), ([0, 0], False), ([-1, 1000], False), ([5], False),
    ([math.nan, 1, 5000], True),
])  # fmt: skip
def test_when_a_logarithmic_scale_is_needed(values: list[float], spans: bool) -> None:  # noqa: FBT001
    """Over three decades, and everything positive."""
    assert _flat(values).spans_decades is spans
