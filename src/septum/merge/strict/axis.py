"""The axis of a histogram: bins, edges, labels, and where in its bytes they stand."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from septum.merge.strict.buffer import Buffer, DamageError, Start

_NUMBERS = struct.Struct(">iddi")
_TIME_B = 3
"""The bits that say how an axis grows, and whether it shows a time."""
_SHOWN = 8
_HAS_RANGE = 1 << 11  # TAxis::kAxisRange; without it, the numbers of a range mean nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis: its bins, the range of bins that is drawn, and its labels.

    Attributes:
        shown: The first and the last bin that is drawn, where it is `zoomed`.
        labels: The texts of the labels with the bins that they stand at; empty for none.
        references: Where marks stand that count from the key.
        blind: Whether it may hold more of them.
        bins_at: The byte where the number of bins, its lower and its upper end stand.
        shown_at: The same of the range that is drawn.
        bits_at: Of the bits that say how it grows.
        labels_at: Of the list of labels.
        labels_end: Behind that list.
        end: Behind the axis.
    """

    bins: int
    low: float
    high: float
    edges: tuple[float, ...]
    shown: tuple[int, int]
    zoomed: bool
    title: str
    labels: tuple[tuple[str, int], ...]
    references: tuple[int, ...]
    blind: bool
    bins_at: int
    shown_at: int
    bits_at: int
    labels_at: int
    labels_end: int
    end: int

    def describe(self) -> str:
        """In a few words, without labels."""
        shown = f"{self.bins} bins from {self.low:g} to {self.high:g}"
        return shown + (f" with edges {_shortened([f'{edge:g}' for edge in self.edges])}" if self.edges else "")

    def differs(self, other: Axis) -> str:
        """In what it differs from another one, as the end of a sentence."""
        if self.describe() != other.describe():
            return f"has {self.describe()} in one, {other.describe()} in the other"
        if (self.bins, self.low, self.high, self.edges) != (other.bins, other.low, other.high, other.edges):
            mine, its = next(
                (one, two)
                for one, two in zip(
                    (self.low, self.high, *self.edges), (other.low, other.high, *other.edges), strict=True
                )
                if one != two
            )
            return f"has an edge at {mine!r} in one, at {its!r} in the other"
        if self.title != other.title:
            return f"has the title {self.title!r} in one, {other.title!r} in the other"
        if self.labels != other.labels:
            return f"has the labels {_named(self)} in one, {_named(other)} in the other"
        return "does not look the same in both"


def _named(axis: Axis) -> str:
    return _shortened([repr(text) for text, _ in sorted(axis.labels, key=lambda item: item[1])]) or "(none)"


def _shortened(texts: Sequence[str]) -> str:
    return ", ".join(texts if len(texts) <= _SHOWN else [*texts[: _SHOWN - 2], "…", texts[-1]])


def read_axis(buffer: Buffer, start: int) -> Axis:
    """Read the TAxis that begins at a byte; its members have stood in this order since ROOT 3."""
    data, buffer.place = buffer.data, start
    end = buffer.header().end
    named_end = buffer.header().end
    bits = buffer.skip_object()
    buffer.text()
    title = buffer.text()
    buffer.place = named_end
    buffer.place = buffer.header().end
    bins_at = buffer.place
    bins, low, high, count = _NUMBERS.unpack_from(data, bins_at)
    if bins < 0 or count not in {0, bins + 1}:
        raise DamageError(f"an axis of {bins} bins has {count} edges")
    buffer.skip(_NUMBERS.size)
    edges = struct.unpack_from(f">{count}d", data, buffer.place)
    buffer.skip(8 * count)
    shown_at = buffer.place
    shown = (buffer.int4(), buffer.int4())
    bits_at = buffer.place
    buffer.skip(_TIME_B)
    buffer.text()
    labels_at = labels_end = min(buffer.place, end)
    labels: tuple[tuple[str, int], ...] = ()
    references: list[int] = []
    blind = False
    if not any(data[labels_at:end]):
        labels_end = min(labels_at + 4, end)
    else:
        labels, blind = _read_labels(buffer, references)
        labels_end = buffer.place
        blind |= any(data[labels_end:end])
    buffer.place = end
    return Axis(
        bins=bins, low=low, high=high, edges=edges, shown=shown, zoomed=bool(bits & _HAS_RANGE), title=title,
        labels=labels,
        references=tuple(references), blind=blind, bins_at=bins_at, shown_at=shown_at, bits_at=bits_at,
        labels_at=labels_at, labels_end=labels_end, end=end,
    )  # fmt: skip


def _read_labels(buffer: Buffer, references: list[int]) -> tuple[tuple[tuple[str, int], ...], bool]:
    """The labels, and whether the list holds anything else than labels; the place is behind it then."""

    def pointed() -> Start | None:
        place = buffer.place + 4
        start = buffer.pointer()
        if start is not None and not start.named:
            references.append(place)
        return start

    start = pointed()
    if start is None:
        return (), False
    labels = []
    try:
        buffer.header()
        buffer.skip_object()
        buffer.text()
        for _ in range(buffer.int4()):
            item = pointed()
            if item is None or item.kind not in {"TObjString", ""}:
                raise DamageError("no label")
            buffer.header()
            number = buffer.uint4_at(2)
            buffer.skip_object()
            labels.append((buffer.text(), number))
            buffer.text()
    except (DamageError, struct.error, IndexError):
        buffer.place = start.end
        return (), True
    if buffer.place != start.end:
        raise DamageError("the labels of an axis do not end where they should")
    return tuple(labels), False
