"""In what two structures differ, as a user wants to read it, and what allows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from septum.merge.strict.axis import read_axis
from septum.merge.strict.buffer import Buffer
from septum.merge.strict.labels import axes_of, neutral
from septum.merge.strict.layout import PARAMETER, STRINGS, Layout, Member
from septum.merge.strict.rewrite import RewriteError, with_errors, without_numbers
from septum.merge.strict.shape import Entry, Shape

BOOK = "book the same objects with the same axes in every part, filled or not"


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs, in one line, and what to do."""

    what: str
    fix: str = BOOK


def first_difference(one: Shape, other: Shape, policies: Mapping[str, str]) -> Difference | None:
    """The first difference that no policy allows; None if the structures can be brought together."""
    # With groups, the merger of a run has looked which parts have what.
    union = policies.get("missing-objects") in {"groups", "union"}
    for path in sorted({*one.by_path, *other.by_path}):
        if path not in one.by_path or path not in other.by_path:
            if union:
                continue
            return Difference(
                f"{path!r} is in one of them only",
                BOOK
                + "; or, where each sample has objects of its own, in septum.yaml: policies: {missing-objects: groups}"
                " ('septum merge' takes --policy missing-objects=union)",
            )
        left, right = one.entries[one.by_path[path]], other.entries[other.by_path[path]]
        found = _between((left, one.piece(left)), (right, other.piece(right)), policies)
        if found is not None:
            return Difference(f"{path!r}: {found.what}", found.fix)
    return None


def _between(one: tuple[Entry, bytes], other: tuple[Entry, bytes], policies: Mapping[str, str]) -> Difference | None:
    (left, data), (right, second) = one, other
    if left.kind != right.kind:
        return Difference(f"a {left.kind} in one and a {right.kind} in the other")
    room = _not_kept(left) != _not_kept(right)
    key_b = None if left.key_b == right.key_b else 0
    try:
        if _comparable(left, data, room=room, key_b=key_b) == _comparable(right, second, room=room, key_b=key_b):
            return None
        if policies.get("labels") == "by-name":
            letters = {letter for entry in (left, right) for _, letter, _ in entry.layout.labelled}
            if letters and _without_labels(left, data, letters) == _without_labels(right, second, letters):
                return None
    except RewriteError as error:
        what = "errors (Sumw2) are kept in one of them only" if room else "labels, or the sizes of keys, differ"
        return Difference(
            f"{what}, and {error}",
            "call Sumw2() and set the labels alike in every part, or write it without what hangs on it: "
            "h.GetListOfFunctions().Clear()",
        )
    return _described((left, data), (right, second))


def _not_kept(entry: Entry) -> set[tuple[str, int]]:
    return {(gap.role, gap.histogram) for gap in entry.layout.gaps}


def _comparable(entry: Entry, data: bytes, *, room: bool, key_b: int | None) -> bytes:
    """The bytes of an object without the numbers that add up; with room for errors, as behind a key of this size."""
    but = () if room else _not_kept(entry)
    return with_errors(
        entry.layout, without_numbers(entry.layout, data), key_b=entry.key_b, new_key_b=key_b, but=but
    )  # fmt: skip


def _without_labels(entry: Entry, data: bytes, letters: set[str]) -> bytes:
    return neutral(entry.layout, data, letters, key_b=entry.key_b)


def _described(one: tuple[Entry, bytes], other: tuple[Entry, bytes]) -> Difference:
    (left, data), (right, second) = one, other
    kind = left.kind
    if PARAMETER.fullmatch(kind):
        return Difference(
            f"the value of this {kind} is not the same in both",
            "write it once, or, in septum.yaml: policies: {parameters: sum}, or {parameters: first}",
        )
    if kind in STRINGS:
        return Difference(
            f"the text of this {kind} is not the same in both",
            "write the same text in every part, or, in septum.yaml: policies: {strings: first}",
        )
    axes = axes_of(left.layout, data, key_b=left.key_b)
    others = axes_of(right.layout, second, key_b=right.key_b)
    for letter in axes:
        if letter in others and axes[letter][0].labels != others[letter][0].labels:
            what = axes[letter][0].differs(others[letter][0])
            return Difference(
                f"the {letter.lower()}-axis {what}",
                "set the same labels in the same order in every part, filled or not; "
                "or, in septum.yaml: policies: {labels: by-name}",
            )
    return Difference(_first_member((left.layout, data, left.key_b), (right.layout, second, right.key_b)))


def _first_member(one: tuple[Layout, bytes, int], other: tuple[Layout, bytes, int]) -> str:
    (left, data, key_b), (right, second, other_key_b) = one, other
    pairs = [(mine, its) for mine, its in zip(left.members, right.members, strict=False) if mine.name == its.name]
    for mine, its in pairs:
        if mine.name in {"fXaxis", "fYaxis", "fZaxis"} and _differ(mine, data, its, second):
            axis = read_axis(Buffer(memoryview(data), key_b), mine.start)
            its_axis = read_axis(Buffer(memoryview(second), other_key_b), its.start)
            return f"the {mine.name[1].lower()}-axis {axis.differs(its_axis)}"
    adding = [(item.start, item.end) for item in left.ranges]
    leaves = sorted(pairs, key=lambda pair: pair[0].end - pair[0].start)
    for mine, its in leaves:
        if any(start < mine.end and mine.start < end for start, end in adding):
            continue
        if _differ(mine, data, its, second):
            return f"{mine.name} is not the same in both"
    return f"the bytes of this {left.kind} are not the same in both"


def _differ(mine: Member, data: bytes, its: Member, second: bytes) -> bool:
    return data[mine.start : mine.end] != second[its.start : its.end]
