"""Turns the records of a run into Markdown: medians, ratios within the same round, and the targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cluster.contenders import CONTENDERS, IDEAL, SEPTUM
from septum.units import count

Record = Mapping[str, Any]
Metric = Callable[[Record], float]
Rounds = Mapping[int, Mapping[str, Record]]
"""By round and contender."""


def overhead(record: Record) -> float:
    """Seconds beyond those that the pool alone took in the same round; `by_round` put them there."""
    return float(record["overhead_s"])


def verified(record: Record) -> float:
    """Seconds from the end of the last job to the result; septum's is verified by then, and its report is not drawn."""
    return float(record["after_s"]) - float(record.get("split", {}).get("leave_s", 0.0))


def of(name: str) -> Metric:
    """A figure as the record has it."""
    return lambda record: float(record[name])


def traffic(name: str, *phases: str, daemons: Sequence[str] = ("schedd",)) -> Metric:
    """A sum over phases and daemons."""
    return lambda record: float(sum(record["traffic"][phase][daemon][name] for phase in phases for daemon in daemons))


def bytes_of(*phases: str) -> Metric:
    """Both ways."""
    return lambda record: traffic("out_b", *phases)(record) + traffic("in_b", *phases)(record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A ratio that is to stay at or below a limit.

    Attributes:
        parts: The number of parts that it is meant for.
    """

    about: str
    against: str
    metric: Metric
    limit: float
    parts: int = 411


_ROUND_TRIPS = traffic("round_trips", "submission", "watch")
TARGETS = (
    Target(about="overhead", against="proof of concept, own interval", metric=overhead, limit=1 / 5),
    Target(about="last job to result", against="proof of concept, own interval", metric=verified, limit=1 / 10),
    Target(about="last job to result", against="proof of concept", metric=verified, limit=1 / 2),
    Target(about="lines of the log", against="proof of concept, own interval", metric=of("lines"), limit=1 / 40),
    Target(about="submission", against="law", metric=of("submission_s"), limit=1 / 10),
    Target(about="submission", against="snakemake", metric=of("submission_s"), limit=1 / 10),
    Target(about="round trips to the schedd", against="law", metric=_ROUND_TRIPS, limit=1 / 10),
    Target(about="round trips to the schedd", against="snakemake", metric=_ROUND_TRIPS, limit=1 / 10),
)
_FLOOR = 1 / 2
"""What every target is at least to reach against every peer."""

_COLUMNS: Sequence[tuple[str, Metric, str]] = (
    ("Total, s", of("total_s"), ".1f"),
    ("Overhead, s", overhead, ".1f"),
    ("Submission, s", of("submission_s"), ".2f"),
    ("Last job to result, s", verified, ".2f"),
    ("… to the end, s", of("after_s"), ".2f"),
    ("CPU, s", of("cpu_s"), ".2f"),
    ("Memory, MB", of("memory_mb"), ".0f"),
    ("Log, lines", of("lines"), ".0f"),
    ("Log, kB", lambda record: record["printed_b"] / 1e3, ".1f"),
)
_NETWORK: Sequence[tuple[str, Metric, str]] = (
    ("Submission: connections", traffic("connections", "submission"), ".0f"),
    ("round trips", traffic("round_trips", "submission"), ".0f"),
    ("kB", lambda record: bytes_of("submission")(record) / 1e3, ".0f"),
    ("After it: connections", traffic("connections", "watch"), ".0f"),
    ("round trips", traffic("round_trips", "watch"), ".0f"),
    ("kB", lambda record: bytes_of("watch")(record) / 1e3, ".0f"),
    ("Collector: round trips", traffic("round_trips", "submission", "watch", daemons=("collector",)), ".0f"),
    ("CPU of the schedd, s", of("schedd_cpu_s"), ".2f"),
)


def by_round(data: Mapping[str, Any]) -> dict[int, dict[str, Record]]:
    """The records that are right, with their overhead over the pool alone of the same round."""
    rounds: dict[int, dict[str, Record]] = {}
    for record in data["records"]:
        if not record["wrong"]:
            rounds.setdefault(record["round"], {})[record["contender"]] = record
    return {
        number: {
            name: {**record, "overhead_s": record["total_s"] - found[IDEAL]["total_s"]} if IDEAL in found else record
            for name, record in found.items()
        }
        for number, found in rounds.items()
    }


def report(data: Mapping[str, Any]) -> str:
    """The whole report.

    Args:
        data: As the front door wrote it.
    """
    rounds = by_round(data)
    names = [contender.name for contender in CONTENDERS if any(contender.name in found for found in rounds.values())]
    loads = [record["load"] for record in data["records"]]
    lines = [
        f"### {data['parts']} parts",
        "",
        f"{data['date']}, {count(data['rounds'], 'round')} on `{data['machine']}`.",
        f"{data['slots']} slots; a part sleeps {data['seconds']:g} s.",
        f"Load of the machine before the runs: {min(loads):.1f} to {max(loads):.1f}.",
        "",
        *_targets(rounds, data["parts"]),
        *_table("Contender", _COLUMNS, names, rounds),
        *_table("Network", _NETWORK, [name for name in names if name != IDEAL], rounds),
        *_splits(rounds),
        *(f"- {_shown(contender.name)}: {contender.about}." for contender in CONTENDERS if contender.name in names[:7]),
    ]
    lines += [
        f"- out of the race: {record['contender']}: {record['wrong'].splitlines()[0][:200]}"
        for record in data["records"]
        if record["wrong"]
    ]
    return "\n".join(lines).rstrip() + "\n"


def ratios(rounds: Rounds, against: str, metric: Metric) -> list[float]:
    """Septum's figure divided by another's, round by round; without the rounds that have none."""
    found = []
    for records in rounds.values():
        try:
            found.append(metric(records[SEPTUM]) / metric(records[against]))
        except (KeyError, ZeroDivisionError):
            continue
    return found


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.3g}"
    return f"{middle} ({min(values):.3g}–{max(values):.3g})" if len(values) > 1 else middle


def _targets(rounds: Rounds, parts: int) -> list[str]:
    rows = []
    for target in TARGETS:
        if found := ratios(rounds, target.against, target.metric):
            middle = statistics.median(found)
            met = "met" if middle <= target.limit else "**missed**"
            met += "" if middle <= _FLOOR else ", and more than half of the peer"
            rows.append(f"| {target.about} | {target.against} | {target.limit:.3g} | {_spread(found)} | {met} |")
    if not rows:
        return []
    meant = "" if parts == TARGETS[0].parts else f" The limits are meant for {TARGETS[0].parts} parts."
    head = ["| septum: | Against | At most | Measured (smallest–largest) | |", "| --- | --- | --- | --- | --- |"]
    return [f"Ratios within the same round.{meant}", "", *head, *rows, ""]


def _median(rounds: Rounds, name: str, metric: Metric, form: str) -> str:
    found = []
    for records in rounds.values():
        try:
            found.append(metric(records[name]))
        except KeyError:
            continue
    return format(statistics.median(found), form) if found else ""


def _table(title: str, columns: Sequence[tuple[str, Metric, str]], names: Sequence[str], rounds: Rounds) -> list[str]:
    if not names:
        return []
    head = [title, *(name for name, _, _ in columns)]
    rows = [[_shown(name), *(_median(rounds, name, metric, form) for _, metric, form in columns)] for name in names]
    return [
        f"| {' | '.join(head)} |",
        f"| {' | '.join(['---'] * len(head))} |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def _shown(name: str) -> str:
    """The name of a contender; one that is a command, as code."""
    return f"`{name}`" if name.startswith("htcondor") else name


def _splits(rounds: Rounds) -> list[str]:
    """After the last job: who spends how long on what."""
    lines = []
    records = [found for by_name in rounds.values() for found in by_name.values()]
    ours = [record["split"] for record in records if record["contender"] == SEPTUM]
    if ours:
        words = ", ".join(
            f"{name.removesuffix('_s').replace('_', ' ')} {statistics.median(split[name] for split in ours):.2f} s"
            for name in ours[0]
        )
        lines.append(f"After the last job, septum: {words} (the report with its plots, and the queue).")
    for name in dict.fromkeys(record["contender"] for record in records):
        if name.startswith(SEPTUM) or name == IDEAL:
            continue
        steps: dict[str, list[float]] = {}
        for record in records:
            if record["contender"] == name:
                for step in record["steps"]:
                    if step["after_s"] > 0:
                        steps.setdefault(step["name"], []).append(step["after_s"])
        words = ", ".join(f"{step} {statistics.median(found):.2f} s" for step, found in steps.items())
        lines.append(f"{_shown(name)}: {words}; nothing is verified.")
    return [*(f"- {line}" for line in lines), ""]
