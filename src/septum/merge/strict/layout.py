"""Where in the bytes of an object the numbers stand that add up; all other bytes must be the same in every part.

Walks an object along the file's own streamer information. Histograms and profiles add up, also inside of lists, stacks
and efficiencies; a class that is not known here has no layout, and another engine merges the file.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field

from septum.merge.strict.axis import read_axis
from septum.merge.strict.buffer import Buffer, DamageError, Start
from septum.merge.strict.streamers import Element, Streamers

HISTOGRAM = re.compile(r"TH[123][CSILFD]|TProfile(2D|3D)?")
PARAMETER = re.compile(r"TParameter<.*>")
STRINGS = frozenset({"TNamed", "TObjString"})
_LISTS = frozenset({"TList", "THashList"})
_ARRAYS = {"TArrayC": "b", "TArrayS": "h", "TArrayI": "i", "TArrayL64": "q", "TArrayF": "f", "TArrayD": "d"}
PARAMETERS = {
    "TParameter<double>": "d",
    "TParameter<float>": "f",
    "TParameter<int>": "i",
    "TParameter<Long64_t>": "q",
    "TParameter<long>": "q",
}
"""The parameters that can be added, with the types of their values."""
_OTHER_MERGES = 0x1F << 16
"""Marks of a TParameter that wants to be multiplied, or to be the largest, the smallest, the first or the last."""
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
_VALUES, _POINTERS, _IN_PLACE = frozenset({61, 62}), frozenset({63, 64}), 63
_COUNTED = frozenset({300, 365, 500})
_IS_AVERAGE = 1 << 18  # TH1::kIsAverage
_DEEPEST = 20
PER_CELL = frozenset({"cells", "errors", "weights", "weight-errors"})
"""The roles that have a number for each cell."""
_LOOKED_INTO = {"fPassedHistogram": {"TH1*"}, "fTotalHistogram": {"TH1*"}, "fHists": {"TList*"}}
_NO_ENTRIES, _EMPTY_LIST_B = bytes(4), 21


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
    """Errors that a histogram does not keep (no Sumw2): the place of the empty array."""

    start: int
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
        bins: Of each histogram, how many bins its axes have.
        labelled: The axes with labels: number of the histogram, letter, first byte.
        headers: Where the counts of bytes stand of all that was looked into.
        references: Where marks stand that count from the key to something that stood before.
        blind: Stretches that may hold such marks, and that were not looked into.
    """

    kind: str
    ranges: tuple[Range, ...] = ()
    members: tuple[Member, ...] = ()
    averages: bool = False
    zoomed: str = ""
    buffered: bool = False
    gaps: tuple[Gap, ...] = ()
    bins: tuple[tuple[int, ...], ...] = ()
    labelled: tuple[tuple[int, str, int], ...] = ()
    headers: tuple[int, ...] = ()
    references: tuple[int, ...] = ()
    blind: tuple[tuple[int, int], ...] = ()

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
    gaps: list[Gap] = field(default_factory=list)
    bins: list[tuple[int, ...]] = field(default_factory=list)
    labelled: list[tuple[int, str, int]] = field(default_factory=list)
    headers: list[int] = field(default_factory=list)
    references: list[int] = field(default_factory=list)
    blind: list[tuple[int, int]] = field(default_factory=list)


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
        bins=tuple(found.bins),
        labelled=tuple(found.labelled),
        headers=tuple(found.headers),
        references=tuple(found.references),
        blind=tuple(found.blind),
    )


def _parameter(kind: str, data: memoryview, key_b: int) -> Layout:
    """A TParameter: a TObject, a name, a value of the type in its class's name."""
    buffer = Buffer(data, key_b)
    try:
        end = buffer.header().end
        bits = buffer.skip_object()
        buffer.text()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise DamageError(f"the bytes of a {kind} end too early") from error
    value = Range(buffer.place, 1, PARAMETERS[kind], "value", 0)
    if not value.end == end == len(data):
        raise DamageError(f"a {kind} does not end where it should")
    return Layout(kind=kind, ranges=() if bits & _OTHER_MERGES else (value,))


class _Walk:
    """Goes through one object, member after member."""

    def __init__(self, buffer: Buffer, streamers: Streamers) -> None:
        self.buffer, self.streamers, self.found = buffer, streamers, _Found()

    def object(self, kind: str, *, depth: int) -> None:
        """One object of a class, with its header."""
        if depth > _DEEPEST:
            raise UnknownClassError("objects nested too deeply")
        if HISTOGRAM.fullmatch(kind):
            self._histogram(kind, depth)
        elif kind in _LISTS:
            self._list(options=True, depth=depth)
        elif kind == "TObjArray":
            self._list(options=False, depth=depth)
        elif kind in {"TEfficiency", "THStack"}:
            self._class(kind, depth)
        elif kind in STRINGS or PARAMETER.fullmatch(kind):
            self.buffer.place = self.buffer.header().end
        else:
            raise UnknownClassError(kind)

    def _histogram(self, kind: str, depth: int) -> None:
        found, first = self.found, len(self.found.ranges)
        found.bins.append(())
        self._class(kind, depth)
        dimension = kind[2] if kind.startswith("TH") else kind.removeprefix("TProfile")[:1] or "1"
        # The other axes of a histogram have one bin that means nothing.
        found.bins[-1] = found.bins[-1][: int(dimension)]
        cells = math.prod(count + 2 for count in found.bins[-1])
        for item in found.ranges[first:]:
            if item.role in PER_CELL and item.count != cells:
                raise DamageError(f"a {kind} has {item.count} {item.role} for {cells} cells")

    def _list(self, *, options: bool, depth: int) -> None:
        end = self._begin()
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

    def _begin(self) -> int:
        """The header of something that is looked into; returns where it ends."""
        self.found.headers.append(self.buffer.place)
        return self.buffer.header().end

    def _pointed(self, depth: int) -> None:
        start = self._pointer()
        if start is not None:
            self.object(start.kind, depth=depth + 1)
            self._ends(start.end)

    def _pointer(self) -> Start | None:
        place = self.buffer.place
        start = self.buffer.pointer()
        if start is not None:
            self.found.headers.append(place)
            place += 4
        if any(self.buffer.data[place : place + 4]) and (start is None or not start.named):
            self.found.references.append(place)
        return start

    def _ends(self, end: int) -> None:
        if self.buffer.place != end:
            raise DamageError(f"an object ends at byte {self.buffer.place}, its count says {end}")

    def _class(self, kind: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise UnknownClassError("classes nested too deeply")
        self.found.headers.append(self.buffer.place)
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
            self._member_behind(element, depth)
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
            self._class(name, depth + 1)
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
            self._note(Range(start, 1, "d", role, len(self.found.bins) - 1))

    def _note(self, numbers: Range) -> None:
        if self.found.bins and numbers.count:
            self.found.ranges.append(numbers)

    def _value(self, element: Element) -> None:
        start = self.buffer.place
        if element.type_name in _ARRAYS:
            self._array(_ARRAYS[element.type_name], _ROLES.get(element.name, ""))
        elif _AXIS.fullmatch(element.name) and self.found.bins:
            self._axis(element.name, start)
        else:
            self.buffer.place = self.buffer.header().end

    def _axis(self, name: str, start: int) -> None:
        self.found.headers.append(start)
        axis = read_axis(self.buffer, start)
        if axis.zoomed:
            self.found.zoomed = name
        self.found.bins[-1] += (axis.bins,)
        self.found.references += axis.references
        if axis.labels:
            self.found.labelled.append((len(self.found.bins) - 1, name[1], start))
        if axis.blind:
            self.found.blind.append((start, axis.end))

    def _array(self, letter: str, role: str) -> None:
        count = self.buffer.int4()
        start = self.buffer.place
        if count < 0:
            raise DamageError("an array of less than no numbers")
        self.buffer.skip(count * _WIDTH[letter])
        if role in INSTEAD and not count:
            self.found.gaps.append(Gap(start - 4, role, len(self.found.bins) - 1))
        if role:
            self._note(Range(start, count, letter, role, len(self.found.bins) - 1))

    def _member_behind(self, element: Element, depth: int) -> None:
        if element.name in _LOOKED_INTO and element.type_name in _LOOKED_INTO[element.name]:
            self._pointed(depth)
            return
        start = self.buffer.place
        if element.kind == _IN_PLACE:
            # Such a member cannot be missing, and stands there without the name of its class.
            end = self.buffer.header().end
            if bytes(self.buffer.data[end - 4 : end]) != _NO_ENTRIES or end - start != _EMPTY_LIST_B:
                self.found.blind.append((start, end))
            self.buffer.place = end
            return
        pointer = self._pointer()
        if pointer is not None:
            self.buffer.place = pointer.end
            self.found.blind.append((start, pointer.end))

    def _pointed_array(self, element: Element, lengths: dict[str, int]) -> None:
        if self.buffer.byte():
            count = lengths.get(element.counter, 0)
            start = self.buffer.place
            self.buffer.skip(count * _SIZES[element.kind - _POINTED_ARRAY])
            # The first number of TH1's buffer is how many fills wait in it.
            if element.name == "fBuffer" and count:
                self.found.buffered |= struct.unpack_from(">d", self.buffer.data, start)[0] != 0.0
