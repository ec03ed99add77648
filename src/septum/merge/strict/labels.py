"""Axes with labels, added by label: which bin of the result each label has, and how an object looks with other labels.

A label has its place from the first part, by the plan, that has it: the parts may arrive in any order.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from septum.merge.strict.axis import Axis, read_axis
from septum.merge.strict.buffer import CLASS, COUNTED, Buffer
from septum.merge.strict.layout import HISTOGRAM, PER_CELL, Layout
from septum.merge.strict.rewrite import Edit, RewriteError, rewritten, without_numbers

_ALPHANUMERIC = 1
"""The bit of an axis whose bins are all labelled."""
_NEW_CLASS = b"\xff\xff\xff\xff"


class LabelError(ValueError):
    """An axis whose bins cannot be told apart by their labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAxis:
    """The labels that an axis has in any part.

    Attributes:
        labels: Of each label, the number of the first part that has it, its bin there, and whether it is the same bin
            in all parts that have it.
        first: Of the first part: its number, and bins, lower and upper end of its axis.
        grid: Bins, lower and upper end, if all parts have the same.
        pitch: Lower end and width of a bin, if all parts have the same.
        alphanumeric: Whether the axis of any part is marked as one of labels only.
    """

    labels: Mapping[str, tuple[int, int, bool]]
    first: tuple[int, int, float, float]
    grid: tuple[int, float, float] | None
    pitch: tuple[float, float] | None
    alphanumeric: bool

    @classmethod
    def of(cls, axis: Axis, bits: int, index: int) -> NamedAxis:
        """That of parts whose axis is the same; `index` is the number of the first of them.

        Raises:
            LabelError: Two bins have one label, or bins have widths of their own.
        """
        if axis.edges:
            raise LabelError("its bins have edges of their own, which belong to no label")
        if len({text for text, _ in axis.labels}) != len(axis.labels):
            raise LabelError("two of its bins have the same label")
        if any(not 1 <= bin_ <= axis.bins for _, bin_ in axis.labels) or len({b for _, b in axis.labels}) != len(
            axis.labels
        ):
            raise LabelError("its labels do not belong to one bin each")
        return cls(
            labels={text: (index, bin_, True) for text, bin_ in axis.labels},
            first=(index, axis.bins, axis.low, axis.high),
            grid=(axis.bins, axis.low, axis.high),
            pitch=(axis.low, (axis.high - axis.low) / axis.bins),
            alphanumeric=bool(bits & _ALPHANUMERIC),
        )

    def join(self, other: NamedAxis) -> NamedAxis:
        """That of the parts of both; in whatever order three are joined, the result is the same."""
        labels = dict(self.labels)
        for text, theirs in other.labels.items():
            own = labels.get(text, theirs)
            first = min(own[:2], theirs[:2])
            labels[text] = (*first, own[2] and theirs[2] and own[1] == theirs[1])
        return NamedAxis(
            labels=labels,
            first=min(self.first, other.first),
            grid=self.grid if self.grid == other.grid else None,
            pitch=self.pitch if self.pitch == other.pitch else None,
            alphanumeric=self.alphanumeric or other.alphanumeric,
        )

    def placed(self) -> Placed:
        """The axis of the result.

        Where all parts have the same bins and there is room, they stay, and so do the labels of the first part;
        otherwise there is one bin for each label.
        """
        first, bins, low, high = self.first
        in_order = [text for text, _ in sorted(self.labels.items(), key=lambda item: item[1][:2])]
        bin_of: dict[str, int] = {}
        if self.grid is not None and len(in_order) <= bins:
            bin_of = {text: self.labels[text][1] for text in in_order if self.labels[text][0] == first}
        else:
            high = high if len(in_order) == bins else low + (high - low) / bins * len(in_order)
            bins = len(in_order)
        taken = set(bin_of.values())
        free = (bin_ for bin_ in range(1, bins + 1) if bin_ not in taken)
        bin_of |= {text: next(free) for text in in_order if text not in bin_of}
        stays = self.pitch is not None and all(same and bin_of[text] == b for text, (_, b, same) in self.labels.items())
        return Placed(bins=bins, low=low, high=high, bin_of=bin_of, alphanumeric=self.alphanumeric, stays=stays)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An axis of the result; `stays` says whether each label is where it was in every part."""

    bins: int
    low: float
    high: float
    bin_of: Mapping[str, int]
    alphanumeric: bool
    stays: bool


def axes_of(layout: Layout, data: bytes, *, key_b: int) -> dict[str, tuple[Axis, int]]:
    """The axes of a histogram that stands by itself, by their letters, each with the bits that say how it grows."""
    if not HISTOGRAM.fullmatch(layout.kind):
        return {}
    buffer = Buffer(memoryview(data), key_b)
    starts = {
        member.name[1]: member.start for member in layout.members if member.name in {"fXaxis", "fYaxis", "fZaxis"}
    }
    axes = {letter: read_axis(buffer, starts[letter]) for letter in "XYZ"[: len(layout.bins[0])]}
    return {letter: (axis, struct.unpack_from(">H", data, axis.bits_at)[0]) for letter, axis in axes.items()}


def neutral(layout: Layout, data: bytes, letters: Collection[str], *, key_b: int) -> bytes:
    """The bytes of a histogram without what depends on the labels of some axes, to compare all the rest.

    Raises:
        RewriteError: It cannot be rewritten.
    """
    return _with_axes(layout, without_numbers(layout, data), dict.fromkeys(letters), key_b=key_b)


def with_labels(
    layout: Layout, data: bytes, axes: Mapping[str, Placed], *, key_b: int, errors: Collection[str]
) -> bytes:
    """The bytes of a histogram with other axes, and zeros for all its numbers.

    Args:
        layout: Of the histogram.
        data: Its bytes.
        axes: The new axes by letter.
        key_b: Bytes of its key.
        errors: The roles of errors that are kept.

    Raises:
        RewriteError: It cannot be rewritten.
    """
    return _with_axes(layout, without_numbers(layout, data), axes, key_b=key_b, errors=errors)


def _with_axes(
    layout: Layout, data: bytes, axes: Mapping[str, Placed | None], *, key_b: int, errors: Collection[str] = ()
) -> bytes:
    bins = list(layout.bins[0])
    edits = []
    for letter, (axis, bits) in axes_of(layout, data, key_b=key_b).items():
        if letter not in axes:
            continue
        placed = axes[letter]
        bins["XYZ".index(letter)] = placed.bins if placed else 0
        edits += _edits_of_axis(axis, bits, placed)
    # Without bins, the arrays are as empty as those of errors that are not kept.
    cells = int(np.prod([count + 2 for count in bins])) if all(axes.values()) else 0
    counted = next(member for member in layout.members if member.name == "fNcells")
    edits.append(Edit(counted.start, counted.end, struct.pack(">i", cells)))
    for item in layout.ranges:
        if item.role in PER_CELL:
            width = (item.end - item.start) // item.count
            edits.append(Edit(item.start - 4, item.end, struct.pack(">i", cells) + bytes(cells * width)))
    for gap in layout.gaps:
        if gap.role in errors:
            edits.append(Edit(gap.start, gap.start + 4, struct.pack(">i", cells) + bytes(8 * cells)))
    return rewritten(layout, data, edits, key_b=key_b)


def _edits_of_axis(axis: Axis, bits: int, placed: Placed | None) -> list[Edit]:
    numbers = struct.pack(">idd", placed.bins, placed.low, placed.high) if placed else bytes(20)
    if axis.labels_end - axis.labels_at < 4:  # noqa: PLR2004 - a pointer
        raise RewriteError("its axis is of a version that has no labels")
    # A range over all bins is none.
    shown = struct.pack(">ii", 1, placed.bins) if placed and axis.shown != (0, 0) else bytes(8)
    bits = bits & ~_ALPHANUMERIC | (_ALPHANUMERIC if placed and placed.alphanumeric else 0)
    made, marks = _list(placed.bin_of) if placed else (bytes(4), ())
    return [
        Edit(axis.bins_at, axis.bins_at + len(numbers), numbers),
        Edit(axis.shown_at, axis.bits_at + 2, shown + struct.pack(">H", bits)),
        Edit(axis.labels_at, axis.labels_end, made, marks),
    ]


def _list(bin_of: Mapping[str, int]) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """A THashList of labels behind a pointer, as ROOT writes it, and the marks in it."""
    body = bytearray(struct.pack(">HHIIBi", 5, 1, 0, 0, 0, len(bin_of)))
    before = 4 + len(_NEW_CLASS + b"THashList\0") + 4
    marks = []
    named_at = 0
    for text, bin_ in sorted(bin_of.items(), key=lambda item: item[1]):
        raw = text.encode("utf-8", "surrogateescape")
        length = bytes([len(raw)]) if len(raw) < 255 else struct.pack(">Bi", 255, len(raw))  # noqa: PLR2004 - a TString
        label = _counted(struct.pack(">HHII", 1, 1, bin_, 0) + length + raw)
        tag_at = before + len(body) + 4
        if named_at:
            marks.append((tag_at, named_at))
            kind = struct.pack(">I", CLASS)
        else:
            named_at, kind = tag_at, _NEW_CLASS + b"TObjString\0"
        body += _counted(kind + label) + b"\0"
    return _counted(_NEW_CLASS + b"THashList\0" + _counted(bytes(body))), tuple(marks)


def _counted(data: bytes) -> bytes:
    return struct.pack(">I", COUNTED | len(data)) + data


def cell_map(bins: Sequence[int], axes: Mapping[str, tuple[Axis, Placed]]) -> npt.NDArray[np.int64]:
    """For each cell of a histogram its cell in the result; -1 for cells of a bin without a label.

    Args:
        bins: The bins of its axes.
        axes: Of those that are added by label, the axis that it has and the one of the result.
    """
    index = np.zeros(1, np.int64)
    width = 1
    for letter, count in zip("XYZ", bins, strict=False):
        own, placed = axes.get(letter, (None, None))
        of_axis = np.arange(count + 2)
        new_count = count
        if own is not None and placed is not None:
            new_count = placed.bins
            of_axis = np.full(count + 2, -1)
            of_axis[0], of_axis[count + 1] = 0, new_count + 1
            for text, bin_ in own.labels:
                of_axis[bin_] = placed.bin_of[text]
        grid = of_axis[:, None] * width + index[None, :]
        grid[(of_axis < 0)[:, None] | (index < 0)[None, :]] = -1
        index = grid.ravel()
        width *= new_count + 2
    return index


def unnamed_cells(layout: Layout, data: bytes, *, key_b: int) -> npt.NDArray[np.int64]:
    """The cells of a histogram that belong to a bin without a label, on an axis that has labels."""
    mark = np.zeros(1, np.bool_)
    for axis, _ in axes_of(layout, data, key_b=key_b).values():
        without = np.zeros(axis.bins + 2, np.bool_)
        if axis.labels:
            without[1:-1] = True
            without[[bin_ for _, bin_ in axis.labels if 0 <= bin_ <= axis.bins + 1]] = False
        mark = (without[:, None] | mark[None, :]).ravel()
    return np.flatnonzero(mark)
