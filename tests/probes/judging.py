"""Compares a merged file with what was to be merged: a verdict, and what came out in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from tests.probes.model import Verdict
from tests.probes.reading import Thing, exact_sum

# hadd adds one after the other: that is no mistake. The sums of the probes have few terms.
_ROUNDING = 1e-12
# As many objects are named on the page; further ones are counted.
_NAMED = 2

File = Mapping[str, Thing]
Judged = tuple[Verdict, str]


def judge(inputs: Sequence[File], output: File, right: Mapping[str, Any], *, rounding: bool) -> Judged:
    """Compare a merged file with the files that were meant.

    Args:
        inputs: What they hold.
        output: What the merged file holds.
        right: See `model.Probe`.
        rounding: Whether sums may be rounded at every addition; else they are compared with the exact ones bit by
            bit.
    """
    found = [_judge_object(name, inputs, output, right, rounding=rounding) for name in _names(inputs)]
    found += [(Verdict.WRONG, f"{_code(name)} is new") for name in output if name.split(";")[0] not in _names(inputs)]
    order = list(Verdict)
    worst = min((verdict for verdict, _ in found), key=order.index)
    said = [words for verdict, words in found if verdict is worst and words]
    more = f"; {len(said) - _NAMED} more like these" if len(said) > _NAMED else ""
    return worst, "; ".join(said[:_NAMED]) + more


def _names(inputs: Sequence[File]) -> list[str]:
    return list(dict.fromkeys(name for file in inputs for name in file if ";" not in name))


def _code(name: str) -> str:
    return f"`{name}`"


def _judge_object(
    name: str, inputs: Sequence[File], output: File, right: Mapping[str, Any], *, rounding: bool
) -> Judged:
    things = [file[name] for file in inputs if name in file]
    out = output.get(name)
    if out is None:
        return Verdict.LOST, f"{_code(name)} is missing"
    if again := [key for key in output if key.startswith(f"{name};")]:
        alike = all(thing.value == out.value for thing in (*things, *(output[key] for key in again)))
        words = f"{_code(name)} stands in it {1 + len(again)} times, as cycles"
        return Verdict.RIGHT if alike and out.value is not None else Verdict.MIXED, words
    if name in right:
        return _judge_value(name, things, out, right[name])
    if out.value is not None:
        return _judge_constant(name, things, out)
    if not out.arrays and not out.unit:
        return Verdict.UNREAD, f"uproot cannot read {_code(name)}"
    return _judge_sum(name, things, out, rounding=rounding)


def _judge_value(name: str, things: Sequence[Thing], out: Thing, right: Any) -> Judged:
    """Against what was written down."""
    if isinstance(right, Mapping):
        labels = out.frame[0].partition("labels ")[2].split(",")[0].split(" ")
        # hadd adds bins by twos; without a label and empty, they do no harm.
        bins = zip(labels, map(float, out.arrays["cells"][1:]), strict=False)
        found: Any = {label: cell for label, cell in bins if cell or label != "-"}
    else:
        found = out.value if out.value is not None else [float(cell) for cell in out.arrays["cells"]]
    expected = list(map(float, right)) if isinstance(right, Sequence) and not isinstance(right, str) else right
    if _written(found) == _written(expected):
        return Verdict.RIGHT, ""
    lost = out.unit and sum(thing.size for thing in things) > out.size
    return Verdict.LOST if lost else Verdict.WRONG, f"{_code(name)} is {_shown(found)} instead of {_shown(expected)}"


def _written(value: Any) -> str:
    """A value as text, in which 0 and -0 differ, and NaN is equal to itself."""
    return repr(sorted(value.items()) if isinstance(value, dict) else value)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{label} {_shown(number)}" for label, number in value.items())
    if isinstance(value, list):
        return "(" + ", ".join(map(_shown, value)) + ")"
    return f"{value:.17g}" if isinstance(value, float) else str(value)


def _judge_constant(name: str, things: Sequence[Thing], out: Thing) -> Judged:
    """Of what is no sum: equal things stay what they are, and others have no right result."""
    values = [thing.value for thing in things]
    if all(value == out.value for value in values):
        return Verdict.RIGHT, ""
    if out.unit:
        sizes = _listed(thing.size for thing in things)
        return Verdict.MIXED, f"{_code(name)} has {out.size:g} {out.unit} of {sizes}"
    equal = all(value == values[0] for value in values)
    return Verdict.WRONG if equal else Verdict.MIXED, f"{_code(name)} is {out.value}, made of {_listed(values)}"


def _listed(values: Any) -> str:
    return " and ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def _judge_sum(name: str, things: Sequence[Thing], out: Thing, *, rounding: bool) -> Judged:
    size = sum(thing.size for thing in things)
    if out.size < size:
        return Verdict.LOST, f"{_code(name)} has {out.size:g} of {size:g} {out.unit}"
    exact = exact_sum(things)
    if exact is None:
        return _judge_unlike(name, things, out)
    if out.frame != things[0].frame:
        changed = [text for text in out.frame if text not in things[0].frame]
        return Verdict.WRONG, f"{_code(name)} has {'; '.join(changed)}"
    if out.size != size:
        return Verdict.WRONG, f"{_code(name)} has {out.size:g} {out.unit} instead of {size:g}"
    for key, expected in exact.items():
        if wrong := _first_difference(out.arrays.get(key), expected, rounding=rounding):
            verdict = Verdict.LOST if wrong.startswith("-") else Verdict.WRONG
            return verdict, f"{_code(name)}: {'a cell' if key == 'cells' else key} {wrong.removeprefix('-')}"
    return Verdict.RIGHT, ""


def _judge_unlike(name: str, things: Sequence[Thing], out: Thing) -> Judged:
    """Of things that have no sum."""
    if out.arrays and (gone := [key for thing in things for key in thing.arrays if key not in out.arrays]):
        return Verdict.LOST, f"{_code(name)} lost its {gone[0]}"
    shown = [text for text in out.frame if any(text not in thing.frame for thing in things)]
    return Verdict.MIXED, f"{_code(name)} has {'; '.join(shown) or f'all {out.size:g} {out.unit}'}"


def _first_difference(found: Any, expected: Any, *, rounding: bool) -> str:
    """Where arrays differ, in words; they begin with a dash where something is lost."""
    if found is None:
        return "-is missing"
    if len(found) != len(expected):
        return f"is one of {len(found)} instead of {len(expected)}"
    for one, other in zip(found.tolist(), expected.tolist(), strict=True):
        if not isinstance(one, (int, float)):  # a list or a text of a tree
            if repr(one) != repr(other):
                return f"is {one} instead of {other}"
            continue
        if isinstance(one, float) and isinstance(other, int):
            return f"is {one} instead of {Decimal(other):.3g}"
        allowed = _ROUNDING * abs(other) if rounding and isinstance(one, float) else 0
        same = repr(one) == repr(other) or one == other != 0
        if not same and not abs(one - other) <= allowed:
            lost = 0 <= one < other < math.inf
            return f"{'-' if lost else ''}is {_shown(one)} instead of {_shown(other)}"
    return ""
