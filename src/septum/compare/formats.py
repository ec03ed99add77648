"""Files of other formats than ROOT's, by the summaries with which their merge is checked; others by their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from septum.compare.rounding import Sums, closeness, equal
from septum.compare.verdicts import Entry, Verdict
from septum.errors import EngineMissingError, NotComparableError, SeptumError

if TYPE_CHECKING:
    from pathlib import Path

    from septum.merge.summary import Array, ObjectSummary

_SHOWN = 3
_SHOWN_LETTERS = 120


def read_objects(path: Path, *, name: str) -> Mapping[str, ObjectSummary] | None:
    """What a file holds, by path.

    Args:
        path: The file.
        name: The result's name; its ending says the format.

    Returns:
        The objects; None when no format has that ending, or its library is not installed.

    Raises:
        NotComparableError: The file is not what its ending says.
    """
    from septum.merge.formats import find

    found = find(name)
    if found is None:
        return None
    try:
        return found.summarize(path, name=str(path)).objects
    except EngineMissingError:
        return None
    except SeptumError as error:
        raise NotComparableError(f"compare: {error.what}", evidence=error.evidence, fix=error.fix) from error


def compare_summaries(here: ObjectSummary, there: ObjectSummary, *, additions: int) -> Entry:
    """Compare two objects that have no errors: what differs beyond rounding is different.

    Args:
        here: The new one, and
        there: that of the reference.
        additions: How many parts they were added from, at most.

    Returns:
        The entry, without a name.
    """
    if here.kind != there.kind or here.structure != there.structure:
        one, other = f"{here.kind} {here.structure}", f"{there.kind} {there.structure}"
        detail = f"{one[:_SHOWN_LETTERS]} here, {other[:_SHOWN_LETTERS]} in the reference"
        return Entry(kind=here.kind, verdict=Verdict.STRUCTURE, detail=detail)
    notes = []
    if here.entries != there.entries:
        notes.append(f"{here.entries:.12g} rows or counts here, {there.entries:.12g} in the reference")
    names = sorted({*here.columns, *there.columns})
    if differ := [name for name in names if here.columns.get(name) != there.columns.get(name)]:
        shown = ", ".join(differ[:_SHOWN]) + (", …" if len(differ) > _SHOWN else "")
        detail = f"other values, without errors that could explain them: {shown}"
        return Entry(kind=here.kind, verdict=Verdict.DIFFERENT, detail=detail, worst=differ[0], notes=tuple(notes))
    if here.content is not None and there.content is not None:
        return _compare_content(here, here.content, there.content, max(here.epsilon, there.epsilon), additions)
    if not here.columns:
        # What must be equal in all parts stands in the structure.
        return Entry(kind=here.kind, verdict=Verdict.IDENTICAL)
    # Of rows, sums are known that say which there are, and not in which order.
    notes.append("the same rows, in whatever order")
    return Entry(kind=here.kind, verdict=Verdict.COMPATIBLE, p_value=1.0, notes=tuple(notes))


def _compare_content(item: ObjectSummary, here: Array, there: Array, epsilon: float, additions: int) -> Entry:
    if equal(here, there):
        return Entry(kind=item.kind, verdict=Verdict.IDENTICAL)
    one, other = Sums(additions), Sums(additions)
    one.add(here)
    other.add(there)
    relative, fits = closeness(one, other, coarser=epsilon / float(np.finfo(np.float64).eps))
    if fits:
        return Entry(kind=item.kind, verdict=Verdict.ROUNDING, relative=relative)
    detail = "other numbers, without errors that could explain them"
    return Entry(kind=item.kind, verdict=Verdict.DIFFERENT, detail=detail, relative=relative)
