"""Everything that is neither histogram nor table: numbers and texts by name, compared one by one. Pure.

Graphs, vectors, parameters, efficiencies, arrays of numpy, and cutflows in JSON are such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from septum.compare.rounding import Sums, closeness, equal
from septum.compare.verdicts import Entry, Verdict

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plain:
    """An object as numbers and texts.

    Attributes:
        kind: Its class.
        numbers: Arrays by their place in the object; a single number has the shape ().
        texts: Texts by their place.
        title: What may differ, and is only noted.
    """

    kind: str
    numbers: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    title: str = ""


def compare_plain(here: Plain, there: Plain, *, additions: int) -> Entry:
    """Compare two objects that have no errors: what differs beyond rounding is different.

    Args:
        here: The new one, and
        there: that of the reference.
        additions: How many parts they were added from, at most.

    Returns:
        The entry, without a name.
    """
    if difference := _other_structure(here, there):
        return Entry(kind=here.kind, verdict=Verdict.STRUCTURE, detail=difference)
    notes = ("another title",) if here.title != there.title else ()
    numbers = [name for name in sorted(here.numbers) if not equal(here.numbers[name], there.numbers[name])]
    texts = [name for name in sorted(here.texts) if here.texts[name] != there.texts[name]]
    if not numbers and not texts:
        return Entry(kind=here.kind, verdict=Verdict.IDENTICAL, notes=notes)
    one, other = Sums(additions), Sums(additions)
    for name in numbers:
        one.add(here.numbers[name].ravel())
        other.add(there.numbers[name].ravel())
    relative, fits = closeness(one, other)
    if fits and not texts:
        return Entry(kind=here.kind, verdict=Verdict.ROUNDING, relative=relative, notes=notes)
    differ = [*numbers, *texts]
    shown = ", ".join(name or "its value" for name in differ[:_SHOWN]) + (", …" if len(differ) > _SHOWN else "")
    return Entry(
        kind=here.kind,
        verdict=Verdict.DIFFERENT,
        detail=f"differs without errors that could explain it: {shown}",
        relative=relative,
        worst=differ[0],
        notes=notes,
    )


def _other_structure(here: Plain, there: Plain) -> str:
    if here.kind != there.kind:
        return f"{here.kind} here, {there.kind} in the reference"
    ours, theirs = {*here.numbers, *here.texts}, {*there.numbers, *there.texts}
    for extra, where in ((ours - theirs, "here only"), (theirs - ours, "in the reference only")):
        if extra:
            return f"{min(extra)!r} is {where}"
    if here.texts.keys() != there.texts.keys():
        return f"{min(here.texts.keys() ^ there.texts.keys())!r}: a text on one side, a number on the other"
    for name, values in here.numbers.items():
        other = there.numbers[name]
        if values.shape != other.shape or values.dtype.kind != other.dtype.kind:
            return f"{name!r}: {_form(values)} here, {_form(other)} in the reference"
    return ""


def _form(values: npt.NDArray[Any]) -> str:
    return f"{values.dtype.name} of shape {values.shape}" if values.shape else f"a {values.dtype.name}"
