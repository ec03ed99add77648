"""Turns the records of growth into Markdown, with the targets."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from septum.units import count

Record = Mapping[str, Any]
Metric = Callable[[Record], float]


def of(*path: str) -> Metric:
    """A figure by its path in a record."""

    def find(record: Record) -> float:
        found: Any = record
        for name in path:
            found = found[name]
        return float(found)

    return find


def look_s(name: str) -> Metric:
    """The time of a look at the queue, by its own clock."""

    def find(record: Record) -> float:
        return float(statistics.median(json.loads(record["pool"][name]["said"].strip().splitlines()[-1])))

    return find


_MB = 1e6
CURVES: Sequence[tuple[str, str, Metric, str]] = (
    ("plan_cpu", "`septum plan`, CPU s", of("plan", "cpu_s"), ".2f"),
    ("prepare_cpu", "`prepare`, CPU s", of("prepare", "cpu_s"), ".2f"),
    ("submit_wall", "`submit`, s", of("pool", "submit", "wall_s"), ".1f"),
    ("submit_cpu", "`submit`, CPU s", of("pool", "submit", "cpu_s"), ".2f"),
    ("submit_mb", "to the schedd, MB", lambda record: of("pool", "submit", "out_b")(record) / _MB, ".1f"),
    ("submit_schedd", "schedd, CPU s", of("pool", "submit", "schedd_cpu_s"), ".2f"),
    ("look", "look, nothing new, ms", lambda record: 1e3 * look_s("looks")(record), ".1f"),
    ("look_all", "look, all jobs, ms", lambda record: 1e3 * look_s("look")(record), ".0f"),
    ("collect_cpu", "`collect`, CPU s", of("collect", "cpu_s"), ".1f"),
    ("collect_memory", "`collect`, memory MB", of("collect", "memory_mb"), ".0f"),
    ("lines", "log, lines", of("collect", "lines"), ".0f"),
    ("ledger", "ledger, MB", lambda record: of("collect", "ledger_b")(record) / _MB, ".2f"),
)
"""What grows: a name, a heading, where it is, how it is shown."""

_FROM, _TO = 411, 20_000
_LIMITS = (
    ("collect_memory", "memory of `collect` at 20,000 parts, MB", 300.0),
    ("lines", "lines of its log at 20,000 parts", 200.0),
    ("plan_cpu", "`septum plan` of 20,000 parts, CPU s", 2.0),
)
_LINEAR = ("submit_wall", "look", "look_all", "collect_cpu", "ledger")


def medians(data: Mapping[str, Any]) -> dict[int, dict[str, float]]:
    """By the number of parts, the median over the rounds of each curve that was measured."""
    found: dict[int, dict[str, list[float]]] = {}
    for record in data["records"]:
        for name, _, metric, _ in CURVES:
            try:
                found.setdefault(record["parts"], {}).setdefault(name, []).append(metric(record))
            except KeyError:
                continue
    return {
        parts: {name: statistics.median(values) for name, values in sorted(curves.items()) if values}
        for parts, curves in sorted(found.items())
    }


def report(data: Mapping[str, Any]) -> str:
    """The whole report.

    Args:
        data: As the front door wrote it.
    """
    points = medians(data)
    measured = [curve for curve in CURVES if any(curve[0] in found for found in points.values())]
    lines = [
        f"{data['date']}, {count(data['rounds'], 'round')} on `{data['machine']}`.",
        "",
        *_targets(points, data),
        "",
    ]
    head = ["Parts", *(title for _, title, _, _ in measured)]
    lines += [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |"]
    for parts, found in points.items():
        cells = [format(found[name], form) if name in found else "" for name, _, _, form in measured]
        lines.append(f"| {parts:,} | {' | '.join(cells)} |")
    wrong = sorted({one["collect"]["result"] for one in data["records"] if "collect" in one} - {"equal"})
    lines += ["", f"Results: {', '.join(wrong) or 'each part once, at every number of parts'}.", ""]
    lines += ["| Start | CPU, ms | Time, ms |", "| --- | --- | --- |"]
    lines += [
        f"| `{name}` | {1e3 * one['cpu_s']:.0f} | {1e3 * one['wall_s']:.0f} |" for name, one in data["starts"].items()
    ]
    return "\n".join(lines) + "\n"


def _targets(points: Mapping[int, Mapping[str, float]], data: Mapping[str, Any]) -> list[str]:
    rows = []
    start = 1e3 * data["starts"]["septum --help"]["cpu_s"]
    rows.append(("`septum --help`, CPU ms", 150.0, start, start <= 150))
    for name, about, limit in _LIMITS:
        if name in points.get(_TO, {}):
            rows.append((about, limit, points[_TO][name], points[_TO][name] <= limit))
    if _FROM in points and _TO in points:
        for name in _LINEAR:
            if name in points[_FROM] and name in points[_TO] and points[_FROM][name] > 0:
                power = math.log(points[_TO][name] / points[_FROM][name]) / math.log(_TO / _FROM)
                title = next(title for key, title, _, _ in CURVES if key == name)
                # A tenth is what the machine does from run to run.
                rows.append((f"{title}: power of the number of parts", 1.0, power, power <= 1.1))
    return [
        "| Target | At most | Measured | |",
        "| --- | --- | --- | --- |",
        *(
            f"| {about} | {limit:g} | {value:.3g} | {'met' if met else '**missed**'} |"
            for about, limit, value, met in rows
        ),
    ]
