"""A comparison for people: the counts, the worst objects, and what it was compared with. Pure; every line is safe."""

from __future__ import annotations

from collections.abc import Sequence

from septum.compare.verdicts import Comparison, Entry, Reference, Verdict, printable
from septum.units import count

SHOWN = 20
_MOST_NOTES = 10


def summary(comparison: Comparison) -> list[str]:
    """The lines above the table: the counts first."""
    lines = [comparison.headline()]
    if comparison.reference is not None:
        lines.append(_origin(comparison.reference))
    same = [
        printable(entry.result) for entry in comparison.entries if not entry.path and entry.verdict is Verdict.IDENTICAL
    ]
    if same:
        lines.append(f"byte-identical: {', '.join(same[:_MOST_NOTES])}{', …' if len(same) > _MOST_NOTES else ''}")
    lines += [f"note: {printable(note, 200)}" for note in comparison.notes[:_MOST_NOTES]]
    if len(comparison.notes) > _MOST_NOTES:
        lines.append(f"… and {len(comparison.notes) - _MOST_NOTES} more notes")
    return lines


def _origin(reference: Reference) -> str:
    parts = [f"reference: {printable(reference.describe(), 200)}"]
    if reference.url:
        parts.append(printable(reference.url, 200))
    if reference.same_work is not None:
        parts.append("the same work" if reference.same_work else "other work")
    if reference.complete is False:
        parts.append("partial")
    return ", ".join(parts)


def worst_rows(comparison: Comparison, limit: int = SHOWN) -> list[tuple[str, ...]]:
    """The objects that are not identical, the worst first, as rows of a table with their header; empty without any."""
    entries = comparison.worst_first(limit)
    if not entries:
        return []
    return [
        ("object", "verdict", "pull", "chi2/ndf", "p", "where and why"),
        *(_row(comparison.name_of(entry), entry) for entry in entries),
    ]


def _row(name: str, entry: Entry) -> tuple[str, ...]:
    return (
        name,
        entry.verdict.shown,
        "" if entry.pull is None else f"{entry.pull:.1f}",
        "" if entry.chi2 is None else f"{entry.chi2:.4g}/{entry.ndf}",
        "" if entry.p_value is None else f"{entry.p_value:.2g}",
        printable(_reason(entry), 120),
    )


def _reason(entry: Entry) -> str:
    parts: Sequence[str] = [entry.detail] if entry.detail else []
    if entry.worst and entry.worst not in entry.detail:
        parts = [*parts, entry.worst]
    if entry.relative is not None and entry.verdict in {Verdict.ROUNDING, Verdict.COMPATIBLE}:
        parts = [*parts, f"relative difference at most {entry.relative:.2g}"]
    return "; ".join([*parts, *entry.notes])


def rest(comparison: Comparison, limit: int = SHOWN) -> str:
    """How many objects the table leaves out; empty if it has all that differ."""
    more = len(comparison.worst_first(len(comparison.entries))) - limit
    return f"… and {count(more, 'object')} more" if more > 0 else ""
