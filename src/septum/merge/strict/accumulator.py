"""The merge of one result: takes parts in any order, and gives the same bytes for every order.

Parts of one structure are summed together. Structures that differ only in what a policy allows, or in whether errors
were kept, are brought together at the end; all others are an error that names the odd part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from septum.errors import NotAdditiveError, StructureError
from septum.merge.strict.contents import Contents, Info
from septum.merge.strict.exact import ExactSum
from septum.merge.strict.layout import INSTEAD, first_difference, with_errors
from septum.merge.strict.plain import PlainSum
from septum.merge.strict.records import Folder, Key
from septum.merge.strict.shape import LIMITS, Entry, Shape, Slots

MAX_GROUPS = 64
"""Structures that are summed at the same time; with more, the parts have nothing in common."""
_FIX = "book the same objects with the same axes in every part, filled or not"


@dataclass(slots=True, eq=False)
class Group:
    """The parts of one structure."""

    shape: Shape
    total: ExactSum | PlainSum
    parts: list[str]
    without_statistics: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Merged:
    """A finished merge.

    Attributes:
        shape: The structure of the result.
        payload: The bytes of its objects, in the order of `shape`.
        chosen: The bytes of objects taken from the first part, by path.
        info: What the file takes over.
        numbers: The sums as they are in `payload`, in float64.
    """

    shape: Shape
    payload: bytes
    chosen: Mapping[str, bytes]
    info: Info
    numbers: npt.NDArray[np.float64]

    def piece(self, path: str) -> bytes:
        """The bytes of one object."""
        if path in self.chosen:
            return self.chosen[path]
        entry = self.shape.entries[self.shape.by_path[path]]
        return self.payload[entry.start : entry.start + entry.size_b]


class Accumulator:
    """Adds parts.

    Args:
        policies: The relaxed policies by name, as `septum.yaml` spells them.
        digests: Whether the hashes of what parts hold are wanted.
    """

    def __init__(self, policies: Mapping[str, str], *, digests: bool = True) -> None:
        self.policies = policies
        self._digests = digests
        self.groups: list[Group] = []
        self._group_of: dict[Shape, Group] = {}
        self.parts: dict[str, tuple[int, str]] = {}
        """Number in the plan and content hash of each part that is in."""
        self.model: tuple[int, Info, Mapping[str, bytes]] | None = None
        """Of the first part by the plan that is in: its number, what the result takes over, the chosen objects."""

    @property
    def ordered(self) -> bool:
        """Whether parts must come in the order of the plan."""
        return self.policies.get("sums") == "plain"

    def add(self, part: str, index: int, contents: Contents) -> None:
        """Add one part; `index` is its number in the plan."""
        if part in self.parts:
            raise ValueError(f"part {part} is in already")
        shape = contents.shape
        group = self._group_of.get(shape)
        if group is None:
            group = self._group_of[shape] = self._group(part, shape)
        group.total.add(contents.numbers)
        group.without_statistics += shape.without_statistics(contents.numbers)
        group.parts.append(part)
        self.parts[part] = (index, contents.digest if self._digests else "")
        if self.model is None or index < self.model[0]:
            self.model = (index, contents.info(), contents.chosen)

    def _group(self, part: str, shape: Shape) -> Group:
        """The group of a structure that this merge has not seen by this name."""
        for group in self.groups:
            in_order = [entry.path for entry in group.shape.entries] == [entry.path for entry in shape.entries]
            if in_order and group.shape.classes == shape.classes and group.shape.agrees(shape.payload):
                return group
        if len(self.groups) == MAX_GROUPS:
            raise StructureError(
                f"part {part}: there are {MAX_GROUPS} structures already, and its is another one",
                evidence="parts that differ so much do not merge",
                fix=_FIX,
            )
        total = PlainSum(shape) if self.ordered else ExactSum(shape.size)
        group = Group(shape, total, [], np.zeros(len(shape.histograms), np.int64))
        self.groups.append(group)
        return group

    def join(self, other: Accumulator) -> None:
        """Add all that another accumulator has added."""
        for group in other.groups:
            own = self._same(group.shape)
            if own is None:
                self.groups.append(group)
            elif isinstance(own.total, ExactSum) and isinstance(group.total, ExactSum):
                own.total.merge(_in_order(group, own.shape))
                own.without_statistics += group.without_statistics[_histograms_in_order(group.shape, own.shape)]
                own.parts += group.parts
        self.parts.update(other.parts)
        if other.model is not None and (self.model is None or other.model[0] < self.model[0]):
            self.model = other.model

    def _same(self, shape: Shape) -> Group | None:
        for group in self.groups:
            if group.shape.classes == shape.classes and group.shape.agrees(_payload_in_order(shape, group.shape)):
                return group
        return None

    def finish(self, *, name: str, describe: Mapping[str, str] | None = None) -> Merged:
        """Bring everything together.

        Args:
            name: The result, for messages.
            describe: How messages name a part, by its id.

        Raises:
            StructureError: Parts differ in what must be equal.
            NotAdditiveError: A sum is larger than its type can hold.
        """
        if self.model is None:
            raise ValueError("nothing was added")
        whole = self._together(name, describe or {})
        numbers, payload = _rounded(whole, name, clip=self.policies.get("saturation") == "round")
        return Merged(
            shape=whole.shape,
            payload=payload,
            chosen=self.model[2],
            info=_with_all(self.model[1], whole.shape),
            numbers=numbers,
        )

    # ── several structures ──────────────────────────────────────────────────────────────────────────────────────

    def _together(self, name: str, describe: Mapping[str, str]) -> Group:
        groups = sorted(self.groups, key=lambda group: min(self.parts[part][0] for part in group.parts))
        if len(groups) == 1:
            return groups[0]
        by_size = sorted(groups, key=lambda group: -len(group.parts))
        common = by_size[0]
        for odd in reversed(by_size[1:]):
            difference = self._difference(common.shape, odd.shape)
            if difference or self.ordered:
                first = min(odd.parts, key=lambda part: self.parts[part])
                model = min(common.parts, key=lambda part: self.parts[part])
                raise StructureError(
                    f"{describe.get(first, first)} differs from other parts of {name}",
                    evidence=f"{difference or 'errors are kept in some parts only, or objects are missing in some'}\n"
                    f"{len(common.parts)} parts such as {model} against {len(odd.parts)} such as {first}; "
                    "nothing was merged",
                    fix=_FIX,
                )
        return _unified(groups)

    def _difference(self, one: Shape, other: Shape) -> str:
        """In what two structures differ that cannot be brought together; empty for nothing."""
        union = self.policies.get("missing-objects") == "union"
        for path in sorted({*one.by_path, *other.by_path}):
            if path not in one.by_path or path not in other.by_path:
                if union:
                    continue
                return f"{path!r} is in one of them only"
            left, right = one.entries[one.by_path[path]], other.entries[other.by_path[path]]
            mine, its = _bytes_of(one, left), _bytes_of(other, right)
            if left.kind == right.kind and _comparable(left, mine) == _comparable(right, its):
                continue
            return f"{path!r}: {first_difference((left.layout, memoryview(mine)), (right.layout, memoryview(its)))}"
        return ""


def _bytes_of(shape: Shape, entry: Entry) -> bytes:
    return shape.payload[entry.start : entry.start + entry.size_b]


def _comparable(entry: Entry, data: bytes) -> bytes:
    """The bytes of an object with room for errors and without the numbers that add up."""
    shifted = bytearray(data)
    for item in entry.layout.ranges:
        shifted[item.start : item.end] = bytes(item.end - item.start)
    return with_errors(entry.layout, bytes(shifted))


def _payload_in_order(shape: Shape, model: Shape) -> bytes:
    return b"".join(_bytes_of(shape, shape.entries[shape.by_path[entry.path]]) for entry in model.entries)


def _by_role(shape: Shape) -> dict[tuple[str, int, str], Slots]:
    return {
        (shape.entries[slots.entry].path, slots.numbers.histogram, slots.numbers.role): slots for slots in shape.slots
    }


def _pieces(shape: Shape, slots: Slots) -> list[tuple[int, int]]:
    """The stretches of the vector that hold a range."""
    found = [(slots.start, slots.stop)]
    if slots.numbers.letter == "q":
        lower = shape.lower_half(slots)
        found.append((lower, lower + slots.numbers.count))
    return found


def _in_order(group: Group, model: Shape) -> ExactSum:
    """The sums of a group in the order of an equal shape."""
    if [entry.path for entry in group.shape.entries] == [entry.path for entry in model.entries]:
        assert isinstance(group.total, ExactSum)  # noqa: S101 - the caller looked
        return group.total
    return _gather(model, [group])


def _histograms_in_order(shape: Shape, model: Shape) -> npt.NDArray[np.int64]:
    where = {(shape.entries[s.entry].path, s.numbers.histogram): n for n, s in enumerate(_weights(shape))}
    return np.array([where[model.entries[s.entry].path, s.numbers.histogram] for s in _weights(model)], dtype=np.int64)


def _weights(shape: Shape) -> list[Slots]:
    by_start = {slots.start: slots for slots in shape.slots}
    return [by_start[int(start)] for start in shape.histograms]


def _gather(shape: Shape, groups: Sequence[Group]) -> ExactSum:
    """The sums of several groups, for a shape that has room for all of them."""
    total = ExactSum(shape.size)
    for group in groups:
        assert isinstance(group.total, ExactSum)  # noqa: S101 - plain sums are never gathered
        roles = _by_role(group.shape)
        moved = ExactSum(shape.size)
        for (path, histogram, role), slots in _by_role(shape).items():
            if path not in group.shape.by_path:
                continue
            own = roles.get((path, histogram, role))
            instead = None if own is not None else roles.get((path, histogram, INSTEAD.get(role, "")))
            if own is not None:
                for (start, _), (first, last) in zip(_pieces(shape, slots), _pieces(group.shape, own), strict=True):
                    moved.put(start, group.total.take(first, last))
            elif instead is not None:
                moved.put(slots.start, group.total.take(instead.start, instead.stop).absolute())
        total.merge(moved)
    return total


def _unified(groups: Sequence[Group]) -> Group:
    """One group that holds the objects of all, with errors where any keeps them."""
    entries: list[Entry] = []
    pieces: list[bytes] = []
    at = 0
    for path in dict.fromkeys(entry.path for group in groups for entry in group.shape.entries):
        holders = [group.shape for group in groups if path in group.shape.by_path]
        shape = min(holders, key=lambda item: len(item.entries[item.by_path[path]].layout.gaps))
        entry = shape.entries[shape.by_path[path]]
        piece = _bytes_of(shape, entry)
        entries.append(replace(entry, start=at))
        pieces.append(piece)
        at += len(piece)
    shape = Shape(entries, b"".join(pieces))
    without = np.zeros(len(shape.histograms), np.int64)
    names = [(shape.entries[s.entry].path, s.numbers.histogram) for s in _weights(shape)]
    for group in groups:
        its = [(group.shape.entries[s.entry].path, s.numbers.histogram) for s in _weights(group.shape)]
        for number, key in enumerate(its):
            without[names.index(key)] += group.without_statistics[number]
    return Group(shape, _gather(shape, groups), [part for group in groups for part in group.parts], without)


def _with_all(info: Info, shape: Shape) -> Info:
    """The model's folders with the objects that it does not have behind its own, by name."""
    known = {path for path, _ in info.top.walk()}
    extra = sorted(entry.path for entry in shape.entries if entry.path not in known)
    top = info.top
    for path in extra:
        top = _inserted(top, path.split("/"), shape.entries[shape.by_path[path]])
    return info if top is info.top else Info(
        top=top, streamers=info.streamers, streamers_key_b=info.streamers_key_b, compress=info.compress
    )  # fmt: skip


def _inserted(folder: Folder, names: Sequence[str], entry: Entry) -> Folder:
    if len(names) == 1:
        key = Key(entry.kind, names[0], entry.title, 1, 0, entry.key_b, 0, entry.size_b)
        return replace(folder, objects=(*folder.objects, key))
    below = {sub.name: number for number, sub in enumerate(folder.folders)}
    if names[0] not in below:
        empty = Folder(name=names[0], title=names[0], objects=(), folders=())
        return replace(folder, folders=(*folder.folders, _inserted(empty, names[1:], entry)))
    number = below[names[0]]
    folders = list(folder.folders)
    folders[number] = _inserted(folders[number], names[1:], entry)
    return replace(folder, folders=tuple(folders))


# ── rounding ────────────────────────────────────────────────────────────────────────────────────────────────────

_TYPES = {"d": ">f8", "f": ">f4", "i": ">i4", "h": ">i2", "b": ">i1", "q": ">i8"}


def _rounded(group: Group, name: str, *, clip: bool) -> tuple[npt.NDArray[np.float64], bytes]:
    """The sums, and the bytes of all objects with the sums in them."""
    shape = group.shape
    double = group.total.round()
    single = group.total.round_single() if any(s.numbers.letter == "f" for s in shape.slots) else None
    # Statistics of some parts only would be wrong; with zeros, ROOT takes those of the bins.
    mixed = (group.without_statistics > 0) & (group.without_statistics < len(group.parts))
    wiped = {_weights(shape)[number] for number in np.flatnonzero(mixed)}
    wiped_of = {(slots.entry, slots.numbers.histogram) for slots in wiped}
    payload = bytearray(shape.payload)
    for slots in shape.slots:
        here, letter = slice(slots.start, slots.stop), slots.numbers.letter
        if (slots.entry, slots.numbers.histogram) in wiped_of and slots.numbers.role.startswith("fTsum"):
            double[here] = 0.0
        if letter == "d":
            values: npt.NDArray[np.generic] = double[here]
        elif letter == "f" and single is not None:
            values = single[here]
            _check_single(shape, slots, double[here], single[here], name, clip=clip)
            double[here] = single[here]
        else:
            values = _whole(shape, slots, double, name, clip=clip)
        start = shape.entries[slots.entry].start + slots.numbers.start
        payload[start : start + (slots.numbers.end - slots.numbers.start)] = values.astype(_TYPES[letter]).tobytes()
    return double, bytes(payload)


def _check_single(
    shape: Shape,
    slots: Slots,
    exact: npt.NDArray[np.float64],
    single: npt.NDArray[np.float32],
    name: str,
    *,
    clip: bool,
) -> None:
    lost = (exact != single) & (exact == np.floor(exact)) & np.isfinite(exact)
    overflown = np.isinf(single) & np.isfinite(exact)
    if not clip and slots.numbers.role == "cells" and (lost | overflown).any():
        cell = int(np.argmax(lost | overflown))
        _refuse(shape, slots, f"{exact[cell]:.17g}", name)


def _whole(
    shape: Shape, slots: Slots, double: npt.NDArray[np.float64], name: str, *, clip: bool
) -> npt.NDArray[np.generic]:
    letter = slots.numbers.letter
    low, high = LIMITS[letter]
    if letter == "q":
        lower = shape.lower_half(slots)
        numbers = [
            (int(upper) << 32) + int(rest)
            for upper, rest in zip(
                double[slots.start : slots.stop], double[lower : lower + slots.numbers.count], strict=True
            )
        ]
    else:
        numbers = [int(value) for value in double[slots.start : slots.stop]]
    if not clip and (full := [number for number in numbers if not low <= number <= high]):
        _refuse(shape, slots, str(full[0]), name)
    clipped = np.array([min(max(number, low), high) for number in numbers], dtype=np.int64)
    if letter != "q":
        double[slots.start : slots.stop] = clipped
    return clipped


def _refuse(shape: Shape, slots: Slots, value: str, name: str) -> None:
    entry = shape.entries[slots.entry]
    raise NotAdditiveError(
        f"merge: {name}: {entry.path!r} is a {entry.kind}, which cannot hold the sum {value}",
        evidence="ROOT would stop at the nearest number that it can hold, without a word",
        fix="book it as a TH1D (TH2D, TH3D); or, in septum.yaml: policies: {saturation: round}",
    )
