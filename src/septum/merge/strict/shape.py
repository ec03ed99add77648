"""What all parts of one structure share: objects, layouts, equal bytes, and a place for every number that adds up.

The numbers of a part are one vector of float64: first those that are float64 in the file, then each narrower type.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from septum.merge.strict.layout import INSTEAD, Layout, Range

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
_TYPES = {"d": ">f8", "f": ">f4", "i": ">i4", "h": ">i2", "b": ">i1"}
_HALF = 1 << 32
LIMITS = {"b": (-127, 127), "h": (-32767, 32767), "i": (-2147483647, 2147483647), "q": (-(2**63) + 1, 2**63 - 1)}
"""The numbers at which ROOT's whole-number histograms stop: a cell with one of them may have lost fills."""
SINGLE_LIMIT = 2.0**24
"""At this number a TH1F that counts by ones stops."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: where its bytes begin among those of all objects, and how they are laid out."""

    path: str
    kind: str
    key_b: int
    start: int
    size_b: int
    layout: Layout


@dataclass(frozen=True, slots=True)
class Slots:
    """Where the numbers of one range of one object stand in the vector."""

    entry: int
    numbers: Range
    start: int

    @property
    def stop(self) -> int:
        """Behind the last one."""
        return self.start + self.numbers.count


class Shape:
    """One structure.

    Args:
        entries: The objects, in any order that stays.
        payload: The bytes of all of them, one behind the other.
    """

    def __init__(self, entries: Sequence[Entry], payload: bytes) -> None:
        self.entries, self.payload = tuple(entries), payload
        self.by_path = {entry.path: number for number, entry in enumerate(self.entries)}
        self.classes = {entry.path: (entry.kind, entry.key_b) for entry in self.entries}
        self._model = np.frombuffer(payload, np.uint8)
        self._is_fixed = _fixed(self.entries, len(payload))
        self._differs = np.empty(len(payload), np.bool_)
        self.slots: list[Slots] = []
        self._letters: list[tuple[str, Callable[[memoryview], bytes], int]] = []
        size = 0
        for letter in ("d", "f", "i", "h", "b", "q"):
            ranges = [
                (number, item)
                for number, entry in enumerate(self.entries)
                for item in entry.layout.ranges
                if item.letter == letter
            ]
            if not ranges:
                continue
            places = [self._slice(number, item) for number, item in ranges]
            count = sum(item.count for _, item in ranges)
            self._letters.append((letter, _getter(places), count))
            for number, item in ranges:
                self.slots.append(Slots(number, item, size))
                size += item.count
            # The lower halves of the widest whole numbers stand behind the upper ones.
            size += count if letter == "q" else 0
        self.size = size
        in_order = sorted(self.entries, key=lambda entry: entry.path)
        self._sorted = _getter([slice(entry.start, entry.start + entry.size_b) for entry in in_order])
        self._prefix = json.dumps([(entry.path, entry.kind, entry.size_b) for entry in in_order]).encode() + b"\0"
        self._entries_slot, self._weight_slot, self.histogram_names = self._statistics()
        self._stopping = [
            slots for slots in self.slots if slots.numbers.letter != "d" and slots.numbers.role == "cells"
        ]
        self._inner: dict[int, Index] = {}
        self.unnamed: dict[str, Index] | None = None
        """By path, the slots of bins without a label; None as long as nobody has asked."""

    def _slice(self, number: int, item: Range) -> slice:
        start = self.entries[number].start
        return slice(start + item.start, start + item.end)

    def _statistics(self) -> tuple[Index, Index, list[tuple[str, int]]]:
        """Of each histogram with both, the slots of its entries and of its sum of weights, and its name."""
        names = [key for key in dict.fromkeys(key[:2] for key in self.by_role)
                 if (*key, "entries") in self.by_role and (*key, "fTsumw") in self.by_role]  # fmt: skip
        entries, weights = (
            np.array([self.by_role[(*key, role)].start for key in names], dtype=np.int64)
            for role in ("entries", "fTsumw")
        )
        return entries, weights, names

    @functools.cached_property
    def by_role(self) -> dict[tuple[str, int, str], Slots]:
        """Every range by the path of its object, the number of its histogram, and its role."""
        return {
            (self.entries[slots.entry].path, slots.numbers.histogram, slots.numbers.role): slots for slots in self.slots
        }

    @functools.cached_property
    def instead(self) -> tuple[Index, Index]:
        """The slots of numbers that stand for errors which are not kept, and for each the slot that has its sign."""
        found, signs = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for entry in self.entries:
            for gap in entry.layout.gaps:
                slots = self.by_role.get((entry.path, gap.histogram, INSTEAD[gap.role]))
                if slots is None:
                    continue
                for start, stop in self.stretches(slots):
                    found.append(np.arange(start, stop))
                    signs.append(np.arange(slots.start, slots.stop))
        return np.concatenate(found), np.concatenate(signs)

    def piece(self, entry: Entry) -> bytes:
        """The bytes of one object."""
        return self.payload[entry.start : entry.start + entry.size_b]

    def stretches(self, slots: Slots) -> list[tuple[int, int]]:
        """The stretches of the vector that hold a range: one, or two of the widest whole numbers."""
        found = [(slots.start, slots.stop)]
        if slots.numbers.letter == "q":
            lower = self.lower_half(slots)
            found.append((lower, lower + slots.numbers.count))
        return found

    def in_order(self, other: Shape) -> bool:
        """Whether another structure has the same objects in the same order."""
        return self.classes == other.classes and list(self.by_path) == list(other.by_path)

    def agrees(self, payload: bytes) -> bool:
        """Whether all that must be equal is equal in other bytes of the same sizes."""
        if len(payload) != len(self.payload):
            return False
        # Always into the same memory: fresh memory costs more than the comparison.
        differs = np.not_equal(np.frombuffer(payload, np.uint8), self._model, out=self._differs)
        return not np.logical_and(differs, self._is_fixed, out=differs).any()

    def digest(self, payload: bytes) -> str:
        """The sha256 of objects and bytes, in hexadecimal; it does not depend on the order of the objects."""
        made = hashlib.sha256(self._prefix)
        made.update(self._sorted(memoryview(payload)))
        return made.hexdigest()

    def numbers(self, payload: bytes) -> Array:
        """The numbers that add up, shape (size,)."""
        view = memoryview(payload)
        vector = np.empty(self.size)
        at = 0
        for letter, get, count in self._letters:
            raw = get(view)
            if letter == "q":
                wide = np.frombuffer(raw, ">i8").astype(np.int64)
                vector[at : at + count] = wide >> 32
                vector[at + count : at + 2 * count] = wide & (_HALF - 1)
                at += 2 * count
            else:
                vector[at : at + count] = np.frombuffer(raw, _TYPES[letter])
                at += count
        return vector

    def stopped(self, vector: Array) -> Slots | None:
        """The first range in a part's numbers with a cell that ROOT stopped counting in, if there is one."""
        for slots in self._stopping:
            letter = slots.numbers.letter
            cells = self.cells(slots, vector)
            if letter == "f":
                if (cells == SINGLE_LIMIT).any():
                    return slots
            elif ((cells <= LIMITS[letter][0]) | (cells >= LIMITS[letter][1])).any():
                return slots
        return None

    def cells(self, slots: Slots, vector: Array) -> Array:
        """The numbers of one range, as float64."""
        numbers = vector[slots.start : slots.stop]
        if slots.numbers.letter == "q":
            lower = self.lower_half(slots)
            return numbers * _HALF + vector[lower : lower + slots.numbers.count]
        return numbers

    def lower_half(self, slots: Slots) -> int:
        """Where the lower halves of a range of the widest whole numbers begin."""
        count = next(count for letter, _, count in self._letters if letter == "q")
        return slots.start + count

    def without_statistics(self, vector: Array) -> npt.NDArray[np.bool_]:
        """For each histogram, whether it has contents and no sum of weights: its statistics are those of its bins.

        With fills in the flow bins alone, a sum of weights is zero by right.
        """
        found = np.asarray((vector[self._entries_slot] != 0) & (vector[self._weight_slot] == 0), dtype=np.bool_)
        for number in np.flatnonzero(found):
            found[number] = vector[self._inner_cells(int(number))].any()
        return found

    def _inner_cells(self, number: int) -> Index:
        """The slots of the cells of a histogram, but those of its flow bins."""
        if number not in self._inner:
            self._inner[number] = self._find_inner_cells(number)
        return self._inner[number]

    def _find_inner_cells(self, number: int) -> Index:
        path, histogram = self.histogram_names[number]
        slots = self.by_role.get((path, histogram, "cells"))
        if slots is None:
            return np.empty(0, np.int64)
        inner = np.ones(1, np.bool_)
        for bins in self.entries[slots.entry].layout.bins[histogram]:
            in_range = np.ones(bins + 2, np.bool_)
            in_range[[0, -1]] = False
            inner = (in_range[:, None] & inner[None, :]).ravel()
        return np.concatenate([start + np.flatnonzero(inner) for start, _ in self.stretches(slots)])

    @property
    def histograms(self) -> Index:
        """The slots of the sums of weights, in the order of `without_statistics`."""
        return self._weight_slot

    def at(self, slot: int) -> Slots:
        """The range that a slot belongs to."""
        before = [slots for slots in self.slots if slots.start <= slot]
        return max(before, key=lambda slots: slots.start)


def _fixed(entries: Sequence[Entry], size: int) -> npt.NDArray[np.bool_]:
    """Which bytes do not belong to numbers that add up."""
    fixed = np.ones(size, dtype=np.bool_)
    for entry in entries:
        for item in entry.layout.ranges:
            fixed[entry.start + item.start : entry.start + item.end] = False
    return fixed


def _joined(places: Sequence[slice]) -> list[slice]:
    """The same stretches, with those that follow each other as one."""
    joined: list[slice] = []
    for place in places:
        if joined and joined[-1].stop == place.start:
            joined[-1] = slice(joined[-1].start, place.stop)
        else:
            joined.append(place)
    return joined


def _getter(stretches: Sequence[slice]) -> Callable[[memoryview], bytes]:
    places = _joined(stretches)
    if not places:
        return lambda _: b""
    if len(places) == 1:
        only = places[0]
        return lambda view: bytes(view[only])
    get: Any = itemgetter(*places)
    return lambda view: b"".join(get(view))
