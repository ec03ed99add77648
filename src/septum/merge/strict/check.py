"""Holds what the strict engine reads and writes against uproot, which shares no code with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from septum.errors import NotConservedError
from septum.merge.strict.layout import HISTOGRAM
from septum.merge.strict.shape import Shape, Slots

Array = npt.NDArray[np.float64]
_CONTENT = ("cells", "errors", "weights", "weight-errors")


def check_objects(
    path: Path, shape: Shape, numbers: Array, *, name: str
) -> None:  # fmt: skip
    """Compare all histograms of a file with what we have read of it, or written into it.

    Args:
        path: The file.
        shape: Its structure as we see it.
        numbers: Its numbers as we see them.
        name: How messages name it.

    Raises:
        NotConservedError: uproot sees another object, class, number of entries, or cell.
        OutputDamagedError: uproot cannot read it.
    """
    from septum.merge.rootfile import summarize

    found = summarize(path, name=name, unchecked=True, marks=False).objects
    ours = set(shape.by_path)
    if set(found) != ours:
        differ = sorted(set(found) ^ ours)
        raise _differ(f"{name}: {differ[0]!r}", "one reader sees it and the other does not")
    by_role = _first_histograms(shape)
    for entry in shape.entries:
        theirs = found[entry.path]
        if not HISTOGRAM.fullmatch(entry.kind) or theirs.content is None:
            continue
        roles = by_role[shape.by_path[entry.path]]
        pieces = [shape.cells(roles[role], numbers) for role in _CONTENT if role in roles]
        content = np.concatenate(pieces) if pieces else np.empty(0)
        if "entries" not in roles:
            raise _differ(f"{name}: {entry.path!r}", "only uproot finds its entries; is the file damaged?")
        entries = float(numbers[roles["entries"].start])
        same = content.shape == theirs.content.shape and np.array_equal(content, theirs.content, equal_nan=True)
        if not same or not (theirs.entries == entries or (np.isnan(entries) and np.isnan(theirs.entries))):
            raise _differ(f"{name}: {entry.path!r}", f"{entries:.17g} entries for one, {theirs.entries:.17g} for both")


def _differ(what: str, evidence: str) -> NotConservedError:
    return NotConservedError(
        f"{what}: the strict engine and uproot do not read the same",
        evidence=evidence,
        fix="is the file damaged? If ROOT reads it, please report it; 'septum merge --engine hadd' merges it meanwhile",
    )


def _first_histograms(shape: Shape) -> dict[int, dict[str, Slots]]:
    """Of each object, the ranges of its first histogram by role."""
    found: dict[int, dict[str, Slots]] = {}
    for slots in shape.slots:
        if slots.numbers.histogram == 0:
            found.setdefault(slots.entry, {})[slots.numbers.role] = slots
    return found


def shown(shape: Shape, numbers: Array) -> dict[str, tuple[str, float]]:
    """Class and entries of every object, for tables and the manifest; lists have the entries of all they hold."""
    entries = dict.fromkeys(range(len(shape.entries)), 0.0)
    for slots in shape.slots:
        if slots.numbers.role == "entries":
            entries[slots.entry] += float(numbers[slots.start])
    return {entry.path: (entry.kind, entries[number]) for number, entry in enumerate(shape.entries)}
