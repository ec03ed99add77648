"""Turns the outcomes of a run into Markdown: medians, ratios within the same round, and the targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Outcome = Mapping[str, Any]
Record = Mapping[str, Any]
# From the record of a contender and a round to a number.
Metric = Callable[[Record, int], float]


_HEAD = (
    "| Contender | Files | Time, s | CPU, s | Memory, MB | Time ÷ `hadd -f` | Time ÷ `hadd -f -j 2` | CPU ÷ `hadd -f` "
    "| Result |"
)


def _wall(record: Record, number: int) -> float:
    return float(record["runs"][number]["wall_s"])


def _cpu(record: Record, number: int) -> float:
    run = record["runs"][number]
    return float(run["user_s"] + run["system_s"])


def _memory(record: Record, number: int) -> float:
    return float(record["runs"][number]["memory_mb"])


def _mark(name: str) -> Metric:
    return lambda record, number: float(record["marks"][number][name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A ratio that is to stay below a limit in a case."""

    about: str
    case: str
    contender: str
    metric: Metric
    against: str
    against_metric: Metric
    limit: float


def _targets_of_histograms(case: str, words: str) -> list[Target]:
    def target(about: str, contender: str, against: str, limit: float, metric: Metric = _wall) -> Target:
        return Target(
            about=f"{words}: {about}",
            case=case,
            contender=contender,
            metric=metric,
            against=against,
            against_metric=_memory if metric is _memory else _wall,
            limit=limit,
        )

    arriving = "septum, as files arrive"
    return [
        target("1 process, time", "septum, 1 process", "hadd -f", 0.75),
        target("2 processes, time", "septum, 2 processes", "hadd -f -j 2", 0.7),
        target("1 process, memory", "septum, 1 process", "hadd -f", 0.25, _memory),
        target("2 processes, memory", "septum, 2 processes", "hadd -f -j 2", 0.25, _memory),
        target("last file to merged file", arriving, "hadd -f", 1 / 50, _mark("merged_s")),
        target("last file to verified file", arriving, "hadd -f", 1 / 8, _mark("verified_s")),
    ]


TARGETS = (
    *_targets_of_histograms("histograms", "histograms, ZLIB"),
    *_targets_of_histograms("histograms-lz4", "histograms, LZ4"),
    Target(
        about="trees: time of all",
        case="trees",
        contender="septum",
        metric=_wall,
        against="hadd -ff",
        against_metric=_wall,
        limit=1.0,
    ),
    Target(
        about="trees: last file to verified file",
        case="trees",
        contender="septum, as files arrive",
        metric=_mark("verified_s"),
        against="hadd -ff",
        against_metric=_wall,
        limit=1.0,
    ),
)


def report(data: Mapping[str, Any]) -> str:
    """The whole report.

    Args:
        data: As the runner wrote it: `machine`, `date`, `rounds`, `outcomes`.
    """
    outcomes: Sequence[Outcome] = data["outcomes"]
    lines = [f"{data['date']}, {data['rounds']} rounds on {data['machine']}.", ""]
    lines += _targets(outcomes)
    for outcome in outcomes:
        lines += _case(outcome)
    return "\n".join(lines).rstrip() + "\n"


def _targets(outcomes: Sequence[Outcome]) -> list[str]:
    rows = [row for target in TARGETS if (row := _target_row(target, outcomes))]
    if not rows:
        return []
    return [
        "| Target | Against | At most | Measured (smallest–largest) | |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]


def _target_row(target: Target, outcomes: Sequence[Outcome]) -> str:
    for outcome in outcomes:
        if outcome["case"] != target.case:
            continue
        records = {record["contender"]: record for record in outcome["records"]}
        one, other = records.get(target.contender), records.get(target.against)
        if one and other and not one["wrong"] and not other["wrong"]:
            ratios = _ratios(one, other, target.metric, target.against_metric)
            met = "met" if statistics.median(ratios) <= target.limit else "**missed**"
            return f"| {target.about} | `{target.against}` | {target.limit:.3g} | {_spread(ratios)} | {met} |"
    return ""


def _ratios(one: Record, other: Record, metric: Metric, other_metric: Metric) -> list[float]:
    """Round by round: what disturbed one of a round disturbed the other as well, more or less."""
    rounds = min(len(one["runs"]), len(other["runs"]))
    return [metric(one, number) / other_metric(other, number) for number in range(rounds)]


def _spread(ratios: Sequence[float]) -> str:
    middle = f"{statistics.median(ratios):.3g}"
    return f"{middle} ({min(ratios):.3g}–{max(ratios):.3g})" if len(ratios) > 1 else middle


def _case(outcome: Outcome) -> list[str]:
    loads = outcome["loads"]
    lines = [
        f"### {outcome['case']}",
        "",
        f"{outcome['files']} files, {outcome['size_mb']:.0f} MB: {outcome['about']}.",
        f"Load of the machine before the runs: {min(loads):.1f} to {max(loads):.1f}.",
        "",
        _HEAD,
        "| " + " | ".join(["---"] * _HEAD.count(" | ")) + " | --- |",
    ]
    records = {record["contender"]: record for record in outcome["records"]}
    lines += [_row(record, records, outcome["files"]) for record in outcome["records"]]
    lines += [_marks_row(record) for record in outcome["records"] if record["marks"]]
    lines += ["", *(f"Not run: `{name}`, {why}." for name, why in outcome["absent"].items())]
    return [*lines, ""]


def _row(record: Record, records: Mapping[str, Record], files: int) -> str:
    name = f"`{record['contender']}`" if "hadd" in record["contender"] else record["contender"]
    result = record["result"].replace("|", "\\|")
    result = f"**out of the race: {result}**" if record["wrong"] else result
    whole = record["files"] == files
    cells = [
        str(record["files"]),
        f"{_median(record, 'wall_s'):.2f}",
        f"{_median(record, 'user_s') + _median(record, 'system_s'):.2f}",
        f"{_median(record, 'memory_mb'):.0f}",
        *(
            _spread(_ratios(record, records[other], metric, metric))
            if whole and _ran(record) and _ran(records.get(other))
            else ""
            for other, metric in (("hadd -f", _wall), ("hadd -f -j 2", _wall), ("hadd -f", _cpu))
        ),
        result,
    ]
    if not whole:
        cells[1] += f" ({_median(record, 'wall_s') * files / record['files']:.0f} for {files})"
    return f"| {name} | " + " | ".join(cells) + " |"


def _ran(record: Record | None) -> bool:
    return record is not None and not record["wrong"]


def _median(record: Record, name: str) -> float:
    return statistics.median(run[name] for run in record["runs"])


def _marks_row(record: Record) -> str:
    names = record["marks"][0]
    words = ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {statistics.median(mark[name] for mark in record['marks']):.3f} s"
        for name in names
    )
    return f"\n{record['contender']}: {words}."
