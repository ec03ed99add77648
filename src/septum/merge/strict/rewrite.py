"""Gives an object other bytes in some places, and brings to order what counts bytes around them.

A header says how many bytes follow; a mark says at which byte, counted from the key, a class was named or an object
began. Both change when bytes before them come or go, or when the key becomes longer.
"""

from __future__ import annotations

import bisect
import itertools
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from septum.merge.strict.buffer import CLASS, COUNTED, FIRST
from septum.merge.strict.layout import INSTEAD, Layout

_UINT4 = struct.Struct(">I")


class RewriteError(ValueError):
    """The object holds marks that nobody has looked at: it can only stay as it is."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes for those from `start` to `end`, which are not none.

    Attributes:
        marks: Where in the new bytes marks of classes stand, and to which of the new bytes they point.
    """

    start: int
    end: int
    data: bytes
    marks: tuple[tuple[int, int], ...] = ()


def rewritten(
    layout: Layout, data: bytes, edits: Sequence[Edit], *, key_b: int, new_key_b: int | None = None
) -> bytes:  # fmt: skip
    """The bytes of an object with edits.

    Args:
        layout: Of the object.
        data: Its bytes.
        edits: What changes; no two of them overlap.
        key_b: Bytes of its key.
        new_key_b: The same of the key that it will stand behind.

    Raises:
        RewriteError: It holds marks whose place is not known, or that point to what an edit removes.
    """
    if not edits and new_key_b in {None, key_b}:
        return data
    edits = sorted(edits, key=lambda edit: edit.start)
    base = FIRST + (key_b if new_key_b is None else new_key_b)
    changed_from = 0 if new_key_b not in {None, key_b} else edits[0].start if edits else len(data)
    if any(end > changed_from for _, end in layout.blind):
        raise RewriteError("it holds functions or other objects, inside of which places are counted")
    pieces, at = [], 0
    for edit in edits:
        pieces += [data[at : edit.start], edit.data]
        at = edit.end
    made = bytearray(b"".join([*pieces, data[at:]]))
    moved = _Moved(edits)
    for place in layout.headers:
        if not moved.is_gone(place):
            count = _UINT4.unpack_from(data, place)[0] & ~COUNTED
            behind = moved.to(place + 4 + count)
            _UINT4.pack_into(made, moved.to(place), COUNTED | (behind - moved.to(place) - 4))
    for place in layout.references:
        if not moved.is_gone(place):
            mark = _UINT4.unpack_from(data, place)[0]
            target = (mark & ~CLASS) - FIRST - key_b
            if target < 0 or moved.is_gone(target):
                raise RewriteError("it refers to something that is replaced")
            _UINT4.pack_into(made, moved.to(place), (mark & CLASS) | (moved.to(target) + base))
    for changed, place, target in ((edit, *mark) for edit in edits for mark in edit.marks):
        start = moved.to(changed.start)
        _UINT4.pack_into(made, start + place, CLASS | (start + target + base))
    return bytes(made)


class _Moved:
    """Where bytes stand after edits."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._starts = [edit.start for edit in edits]
        self._ends = [edit.end for edit in edits]
        self._shifts = [0, *itertools.accumulate(len(edit.data) - (edit.end - edit.start) for edit in edits)]

    def to(self, place: int) -> int:
        return place + self._shifts[bisect.bisect_right(self._ends, place)]

    def is_gone(self, place: int) -> bool:
        number = bisect.bisect_right(self._starts, place) - 1
        return number >= 0 and place < self._ends[number]


def without_numbers(layout: Layout, data: bytes) -> bytes:
    """The bytes of an object with zeros for the numbers that add up."""
    made = bytearray(data)
    for item in layout.ranges:
        made[item.start : item.end] = bytes(item.end - item.start)
    return bytes(made)


def with_errors(
    layout: Layout,
    data: bytes,
    *,
    key_b: int,
    new_key_b: int | None = None,
    but: Collection[tuple[str, int]] = (),
) -> bytes:
    """The bytes of an object with room for the errors that it does not keep, all of them zero.

    Args:
        layout: Of the object.
        data: Its bytes.
        key_b: Bytes of its key.
        new_key_b: The same of the key that it will stand behind.
        but: Errors that stay as they are, by their role and the number of their histogram.

    Raises:
        RewriteError: See `rewritten`.
    """
    counts = {(item.role, item.histogram): item.count for item in layout.ranges}
    edits = []
    for gap in layout.gaps:
        count = counts.get((INSTEAD[gap.role], gap.histogram))
        if count and (gap.role, gap.histogram) not in but:
            edits.append(Edit(gap.start, gap.start + 4, struct.pack(">i", count) + bytes(8 * count)))
    return rewritten(layout, data, edits, key_b=key_b, new_key_b=new_key_b)
