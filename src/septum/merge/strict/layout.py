"""Where in the bytes of an object the numbers stand that add up; all other bytes must be the same in every part.

Walks an object along the file's own streamer information. Histograms and profiles add up, also inside of lists, stacks
and efficiencies; a class that is not known here has no layout, and another engine merges the file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from septum.merge.strict.buffer import Buffer, DamageError
from septum.merge.strict.streamers import Element, Streamers

HISTOGRAM = re.compile(r"TH[123][CSILFD]|TProfile(2D|3D)?")
PARAMETER = re.compile(r"TParameter<.*>")
STRINGS = frozenset({"TNamed", "TObjString"})
_LISTS = frozenset({"TList", "THashList"})
_ARRAYS = {"TArrayC": "b", "TArrayS": "h", "TArrayI": "i", "TArrayL64": "q", "TArrayF": "f", "TArrayD": "d"}
_PARAMETERS = {
    "TParameter<double>": "d",
    "TParameter<float>": "f",
    "TParameter<int>": "i",
    "TParameter<Long64_t>": "q",
    "TParameter<long>": "q",
}
_WIDTH = {"b": 1, "h": 2, "i": 4, "q": 8, "f": 4, "d": 8}
# Members of TH1, TH2, TH3 and the profiles that add up; the cells themselves are a base, a TArray.
_STATISTIC = re.compile(r"fTsum(w|w2|[wxyzt]+2?)")
_ENTRIES = "fEntries"
_ROLES = {"fSumw2": "errors", "fBinEntries": "weights", "fBinSumw2": "weight-errors"}
INSTEAD = {"errors": "cells", "weight-errors": "weights"}
"""What ROOT takes for errors that were not kept: the numbers of this role."""
_AXIS = re.compile(r"f[XYZ]axis")
# Bytes of ROOT's kinds of members, see TVirtualStreamerInfo::EReadWrite.
_SIZES = {1: 1, 2: 2, 3: 4, 4: 8, 5: 4, 6: 4, 8: 8, 11: 1, 12: 2, 13: 4, 14: 8, 15: 4, 16: 8, 17: 8, 18: 1}
_TSTRING, _TOBJECT, _TNAMED = 65, 66, 67
_FIXED_ARRAY, _POINTED_ARRAY = 20, 40
_VALUES, _POINTERS = frozenset({61, 62}), frozenset({63, 64})
_COUNTED = frozenset({300, 365, 500})
_IS_AVERAGE = 1 << 18  # TH1::kIsAverage
_DEEPEST = 20


class UnknownClassError(Exception):
    """Nothing here knows how objects of this class merge."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers that add up: `count` of them from byte `start` on.

    Attributes:
        letter: Their type as `struct` writes it.
        role: `cells`, `errors`, `weights`, `weight-errors`, `entries`, or the name of a statistic.
        histogram: The number of the histogram in the object: a list holds several.
    """

    start: int
    count: int
    letter: str
    role: str
    histogram: int

    @property
    def end(self) -> int:
        """The byte behind the last one."""
        return self.start + self.count * _WIDTH[self.letter]


@dataclass(frozen=True, slots=True)
class Gap:
    """Errors that a histogram does not keep (no Sumw2): the empty array's place, and the headers around it."""

    start: int
    headers: tuple[int, ...]
    role: str
    histogram: int


@dataclass(frozen=True, slots=True)
class Member:
    """A member whose bytes must be equal, for messages."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What is where in an object.

    Attributes:
        ranges: The numbers that add up, from the first byte to the last.
        members: The named members, those in `ranges`, too.
        averages: Whether a histogram is marked as an average.
        zoomed: The axis that has a range set, such as `fXaxis`; empty for none.
        buffered: Whether fills wait in a buffer, beside the cells.
        gaps: Errors that are not kept.
    """

    kind: str
    ranges: tuple[Range, ...]
    members: tuple[Member, ...]
    averages: bool
    zoomed: str
    buffered: bool
    gaps: tuple[Gap, ...] = ()

    def member_at(self, place: int) -> str:
        """The name of the smallest member that a byte belongs to."""
        around = [member for member in self.members if member.start <= place < member.end]
        return min(around, key=lambda member: member.end - member.start).name if around else self.kind


@dataclass(slots=True)
class _Found:
    ranges: list[Range] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    averages: bool = False
    zoomed: str = ""
    buffered: bool = False
    histograms: int = 0
    gaps: list[Gap] = field(default_factory=list)


def lay_out(kind: str, data: memoryview, key_b: int, streamers: Streamers, *, sums: bool = False) -> Layout:
    """Find the numbers of one object.

    Args:
        kind: Its class.
        data: Its bytes, unpacked.
        key_b: Bytes of its key.
        streamers: Those of its file.
        sums: Whether the value of a `TParameter` adds up.

    Raises:
        UnknownClassError: The class does not merge here.
        DamageError: The bytes do not fit the class.
    """
    if sums:
        return _parameter(kind, data, key_b)
    walk = _Walk(Buffer(data, key_b), streamers)
    try:
        walk.object(kind, depth=0)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise DamageError(f"the bytes of a {kind} end too early") from error
    if walk.buffer.place != len(data):
        raise DamageError(f"{len(data) - walk.buffer.place} bytes too many for a {kind}")
    found = walk.found
    return Layout(
        kind=kind,
        ranges=tuple(sorted(found.ranges, key=lambda item: item.start)),
        members=tuple(found.members),
        averages=found.averages,
        zoomed=found.zoomed,
        buffered=found.buffered,
        gaps=tuple(found.gaps),
    )


def _parameter(kind: str, data: memoryview, key_b: int) -> Layout:
    """A TParameter: a TObject, a name, a value of the type in its class's name."""
    letter = _PARAMETERS.get(kind)
    if letter is None:
        raise UnknownClassError(kind)
    buffer = Buffer(data, key_b)
    buffer.header()
    buffer.skip_object()
    buffer.text()
    value = Range(buffer.place, 1, letter, "value", 0)
    return Layout(kind=kind, ranges=(value,), members=(), averages=False, zoomed="", buffered=False)


class _Walk:
    """Goes through one object, member after member."""

    def __init__(self, buffer: Buffer, streamers: Streamers) -> None:
        self.buffer, self.streamers, self.found = buffer, streamers, _Found()
        self._headers: list[int] = []

    def object(self, kind: str, *, depth: int) -> None:
        """One object of a class, with its header."""
        if depth > _DEEPEST:
            raise UnknownClassError("objects nested too deeply")
        if HISTOGRAM.fullmatch(kind):
            self.found.histograms += 1
            self._class(kind)
        elif kind in _LISTS:
            self._list(options=True, depth=depth)
        elif kind == "TObjArray":
            self._list(options=False, depth=depth)
        elif kind in {"TEfficiency", "THStack"}:
            self._class(kind, depth=depth)
        elif kind in STRINGS or PARAMETER.fullmatch(kind):
            self.buffer.place = self.buffer.header().end
        else:
            raise UnknownClassError(kind)

    def _list(self, *, options: bool, depth: int) -> None:
        self._headers.append(self.buffer.place)
        end = self.buffer.header().end
        self.buffer.skip_object()
        self.buffer.text()
        count = self.buffer.int4()
        if not options:
            self.buffer.int4()
        for _ in range(count):
            self._pointed(depth)
            if options:
                self.buffer.text()
        self._ends(end)
        self._headers.pop()

    def _pointed(self, depth: int) -> None:
        self._headers.append(self.buffer.place)
        start = self.buffer.pointer()
        if start is not None:
            self.object(start.kind, depth=depth + 1)
            self._ends(start.end)
        self._headers.pop()

    def _ends(self, end: int) -> None:
        if self.buffer.place != end:
            raise DamageError(f"an object ends at byte {self.buffer.place}, its count says {end}")

    def _class(self, kind: str, *, depth: int = 0) -> None:
        self._headers.append(self.buffer.place)
        header = self.buffer.header()
        elements = self.streamers.get((kind, header.version))
        if elements is None:
            raise UnknownClassError(f"{kind} in version {header.version}, which the file does not describe")
        lengths: dict[str, int] = {}
        for element in elements:
            start = self.buffer.place
            self._element(element, lengths, depth)
            self.found.members.append(Member(element.name, start, self.buffer.place))
        self._ends(header.end)
        self._headers.pop()

    def _element(self, element: Element, lengths: dict[str, int], depth: int) -> None:
        kind, buffer = element.kind, self.buffer
        if kind == 0:
            self._base(element, depth)
        elif kind in _SIZES:
            self._number(element, lengths)
        elif kind == _TSTRING:
            buffer.text()
        elif kind in _VALUES:
            self._value(element)
        elif kind in _POINTERS:
            self._pointer(element, depth)
        elif kind - _POINTED_ARRAY in _SIZES:
            self._pointed_array(element, lengths)
        elif kind - _FIXED_ARRAY in _SIZES:
            buffer.skip(_SIZES[kind - _FIXED_ARRAY] * element.length)
        elif kind == _TOBJECT:
            buffer.skip_object()
        elif kind == _TNAMED or kind in _COUNTED:
            buffer.place = buffer.header().end
        else:
            raise UnknownClassError(f"a member {element.type_name} {element.name}")

    def _base(self, element: Element, depth: int) -> None:
        name = element.name
        if name in _ARRAYS:
            self._array(_ARRAYS[name], "cells")
        elif name in {"TH1", "TH2", "TH3"} or HISTOGRAM.fullmatch(name):
            self._class(name, depth=depth)
        elif name == "TNamed":
            self.found.averages |= bool(self.buffer.named()[1] & _IS_AVERAGE)
        elif name == "TObject":
            self.buffer.skip_object()
        else:
            self.buffer.place = self.buffer.header().end

    def _number(self, element: Element, lengths: dict[str, int]) -> None:
        start = self.buffer.place
        self.buffer.skip(_SIZES[element.kind])
        if element.kind == 6 or element.type_name == "int":  # noqa: PLR2004 - ROOT's kCounter
            lengths[element.name] = int(struct.unpack_from(">i", self.buffer.data, start)[0])
        if element.type_name == "double" and (element.name == _ENTRIES or _STATISTIC.fullmatch(element.name)):
            role = "entries" if element.name == _ENTRIES else element.name
            self._note(Range(start, 1, "d", role, self.found.histograms - 1))

    def _note(self, numbers: Range) -> None:
        if self.found.histograms and numbers.count:
            self.found.ranges.append(numbers)

    def _value(self, element: Element) -> None:
        if element.type_name not in _ARRAYS:
            start = self.buffer.place
            self.buffer.place = self.buffer.header().end
            if _AXIS.fullmatch(element.name) and self._is_zoomed(start):
                self.found.zoomed = element.name
            return
        self._array(_ARRAYS[element.type_name], _ROLES.get(element.name, ""))

    def _array(self, letter: str, role: str) -> None:
        count = self.buffer.int4()
        start = self.buffer.place
        if count < 0:
            raise DamageError("an array of less than no numbers")
        self.buffer.skip(count * _WIDTH[letter])
        if role in INSTEAD and not count:
            self.found.gaps.append(Gap(start - 4, tuple(self._headers), role, self.found.histograms - 1))
        if role:
            self._note(Range(start, count, letter, role, self.found.histograms - 1))

    def _pointer(self, element: Element, depth: int) -> None:
        if element.type_name in {"TH1*", "TList*", "TH1D*"} and element.name in {
            "fPassedHistogram", "fTotalHistogram", "fHists",
        }:  # fmt: skip
            self._pointed(depth)
            return
        start = self.buffer.pointer()
        if start is not None:
            self.buffer.place = start.end

    def _pointed_array(self, element: Element, lengths: dict[str, int]) -> None:
        if self.buffer.byte():
            count = lengths.get(element.counter, 0)
            start = self.buffer.place
            self.buffer.skip(count * _SIZES[element.kind - _POINTED_ARRAY])
            # The first number of TH1's buffer is how many fills wait in it.
            if element.name == "fBuffer" and count:
                self.found.buffered |= struct.unpack_from(">d", self.buffer.data, start)[0] != 0.0

    def _is_zoomed(self, start: int) -> bool:
        axis = read_axis(self.buffer.data[start:], 0)
        return axis.shown not in {(0, 0), (1, axis.bins)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis: its bins, and the range of bins that is drawn."""

    bins: int
    low: float
    high: float
    edges: tuple[float, ...]
    shown: tuple[int, int]
    title: str

    def describe(self) -> str:
        """In a few words."""
        shown = f"{self.bins} bins from {self.low:g} to {self.high:g}"
        return shown + (f" with edges {_shortened(self.edges)}" if self.edges else "")


def _shortened(edges: Sequence[float]) -> str:
    shown = [f"{edge:g}" for edge in edges]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:6], "…", shown[-1]])  # noqa: PLR2004 - fits a line


def read_axis(data: memoryview, key_b: int) -> Axis:
    """Read a TAxis with its header; its members have stood in this order since ROOT 3."""
    buffer = Buffer(data, key_b)
    buffer.header()
    end = buffer.header().end
    buffer.skip_object()
    buffer.text()
    title = buffer.text()
    buffer.place = end
    buffer.place = buffer.header().end
    bins = buffer.int4()
    low, high = struct.unpack_from(">dd", data, buffer.place)
    buffer.skip(16)
    count = buffer.int4()
    edges = struct.unpack_from(f">{count}d", data, buffer.place)
    buffer.skip(8 * count)
    return Axis(bins=bins, low=low, high=high, edges=edges, shown=(buffer.int4(), buffer.int4()), title=title)


def with_errors(layout: Layout, data: bytes) -> bytes:
    """The bytes of an object with room for the errors that it does not keep, all of them zero.

    Args:
        layout: Of the object.
        data: Its bytes.
    """
    made = bytearray(data)
    for gap in sorted(layout.gaps, key=lambda item: -item.start):
        cells = [item for item in layout.ranges if (item.role, item.histogram) == (INSTEAD[gap.role], gap.histogram)]
        if not cells:
            continue
        count = cells[0].count
        made[gap.start : gap.start + 4] = struct.pack(">i", count) + bytes(8 * count)
        for place in gap.headers:
            size = struct.unpack_from(">I", made, place)[0]
            struct.pack_into(">I", made, place, size + 8 * count)
    return bytes(made)


def first_difference(one: tuple[Layout, memoryview], other: tuple[Layout, memoryview]) -> str:
    """Say in one line where two objects of one path differ in what must be equal."""
    (left, data), (right, second) = one, other
    if left.kind != right.kind:
        return f"a {left.kind} in one and a {right.kind} in the other"
    for mine, its in zip(left.members, right.members, strict=False):
        if mine.name != its.name:
            break
        if _AXIS.fullmatch(mine.name) and data[mine.start : mine.end] != second[its.start : its.end]:
            return _axes_differ(mine.name, data[mine.start : mine.end], second[its.start : its.end])
    for mine, its in _leaves(left, right):
        if bytes(data[mine.start : mine.end]) != bytes(second[its.start : its.end]):
            return f"{mine.name} is not the same in both"
    return f"{left.kind}: its bytes are not the same in both"


def _leaves(left: Layout, right: Layout) -> list[tuple[Member, Member]]:
    adding = {(item.start, item.end) for item in left.ranges}
    inner = [
        (mine, its)
        for mine, its in zip(left.members, right.members, strict=False)
        if mine.name == its.name and not any(start < mine.end and mine.start < end for start, end in adding)
    ]
    return sorted(inner, key=lambda pair: pair[0].end - pair[0].start)


def _axes_differ(name: str, one: memoryview, other: memoryview) -> str:
    axis, its = read_axis(one, 0), read_axis(other, 0)
    letter = name[1]
    if axis.describe() != its.describe():
        return f"the {letter}-axis has {axis.describe()} in one, {its.describe()} in the other"
    if axis.title != its.title:
        return f"the title of the {letter}-axis is {axis.title!r} in one, {its.title!r} in the other"
    return f"the labels or the looks of the {letter}-axis are not the same in both"
