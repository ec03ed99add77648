"""How the reports show a comparison with a reference: what each verdict means, and the objects in order. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from septum.compare.verdicts import Comparison, Entry, Verdict

MEANINGS: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.IDENTICAL: "equal in contents, errors, entries, statistics and axes",
        Verdict.ROUNDING: "apart by the rounding of sums",
        Verdict.COMPATIBLE: "not equal, within the statistical errors",
        Verdict.NEW: "in this run only",
        Verdict.MISSING: "in the reference only",
        Verdict.STRUCTURE: "other axes, labels or columns, or another class",
        Verdict.DIFFERENT: "apart by more than chance",
    }
)
"""What each verdict means, the best first."""


def counts(comparison: Comparison) -> dict[str, int]:
    """How many objects have each verdict, the best first; those that nobody has are 0."""
    return {verdict.value: comparison.counts.get(verdict, 0) for verdict in MEANINGS}


def by_object(comparison: Comparison | None) -> dict[tuple[str, str], tuple[int, Entry]]:
    """Each entry with its place among all, the worst first, by result and path."""
    if comparison is None:
        return {}
    unequal = list(comparison.worst_first(len(comparison.entries)))
    equal = [entry for entry in comparison.entries if entry.verdict is Verdict.IDENTICAL]
    places = {(entry.result, entry.path): (place, entry) for place, entry in enumerate(unequal)}
    # What is equal stays in the order of the files.
    return places | {(entry.result, entry.path): (len(unequal), entry) for entry in equal}


def to_look_at(comparison: Comparison | None) -> list[Entry]:
    """The entries that somebody should look at, the worst first."""
    if comparison is None:
        return []
    return [entry for entry in comparison.worst_first(len(comparison.entries)) if entry.verdict.is_bad]
