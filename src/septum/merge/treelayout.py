"""The object of a TTree in a ROOT file: its branches, and where in its bytes the places of their baskets stand.

Its members are read as the file itself describes them. Parts of one run have trees whose bytes are the same but for
some numbers: from the second on, a tree is compared with a layout that is known, and only these numbers are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from septum.merge.strict.buffer import Buffer, DamageError
from septum.merge.strict.streamers import Element, Streamers

_SIZES = {1: 1, 2: 2, 3: 4, 4: 8, 5: 4, 6: 4, 7: 8, 8: 8, 11: 1, 12: 2, 13: 4, 14: 8, 15: 4, 16: 8, 17: 8, 18: 1}
"""Bytes of the numbers, by ROOT's number of their kind; those with a kind of packing of their own are not here."""
_BASE, _OBJECT, _ANY, _POINTERS, _STRING = 0, 61, 62, (63, 64), 65
_ARRAY, _POINTED = 20, 40
"""What the kind of a fixed array, and of one behind a pointer, is more than that of its numbers."""
_FREE = frozenset(
    {
        "fEntries",
        "fTotBytes",
        "fZipBytes",
        "fSavedBytes",
        "fFlushedBytes",
        "fAutoSave",
        "fAutoFlush",
        "fEstimate",
        "fNClusterRange",
        "fClusterRangeEnd",
        "fClusterSize",
        "fBasketSize",
        "fEntryOffsetLen",
        "fWriteBasket",
        "fEntryNumber",
        "fMaxBaskets",
        "fBasketBytes",
        "fBasketEntry",
        "fBasketSeek",
        "fMinimum",
        "fMaximum",
    }
)
"""Members that follow from the rows, and from how they were buffered."""
_LENGTHS = frozenset({"fNClusterRange", "fMaxBaskets"})
"""Those of them that say how many numbers follow: trees in which they differ have another layout."""
_TYPES = {
    "TLeafB": ("int8_t", "uint8_t"),
    "TLeafS": ("int16_t", "uint16_t"),
    "TLeafI": ("int32_t", "uint32_t"),
    "TLeafL": ("int64_t", "uint64_t"),
    "TLeafF": ("float", "float"),
    "TLeafD": ("double", "double"),
    "TLeafO": ("bool", "bool"),
}
"""The types of plain leaves, with and without a sign, as uproot calls them."""
_LAST = "fBranches"
"""The last member of a tree that is looked at: its leaves have been read with their branches."""
_DEEPEST = 50
Place = tuple[int, int, int]
"""Where numbers stand: offset, how many, and bytes of each."""


class UnknownTreeError(Exception):
    """A tree that has something in it which is not known here; others may read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One branch: its names, and where the numbers of its baskets stand."""

    path: str
    name: str
    has_branches: bool
    entries: Place
    sizes: Place
    firsts: Place
    seeks: Place


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TreeLayout:
    """Where things stand in the bytes of a tree.

    Attributes:
        signature: All of it that is not a number of its rows, as bytes: equal ones are equal trees.
        weight: The tree's fWeight.
        types: The type of each branch as uproot calls it, if all of them hold one plain number a row; else None.
        entries: Where its number of rows stands.
        branches: Every branch, those below others, too.
        model: Its bytes, with zeros for the numbers that may differ.
        free: The offsets of these.
    """

    signature: bytes
    weight: float
    types: Mapping[str, str] | None
    entries: Place
    branches: tuple[Branch, ...]
    model: bytes
    free: npt.NDArray[np.int64]

    def fits(self, data: memoryview) -> bool:
        """Whether the bytes of another tree are those of this one but for numbers."""
        if len(data) < len(self.model):
            return False
        blanked = np.frombuffer(data[: len(self.model)], np.uint8).copy()
        blanked[self.free] = 0
        return blanked.tobytes() == self.model


def numbers(data: memoryview, place: Place) -> list[int]:
    """The numbers at a place."""
    start, count, size = place
    return np.frombuffer(data[start : start + count * size], f">i{size}").tolist()  # type: ignore[no-any-return]


def lay_out(kind: str, data: memoryview, key_b: int, streamers: Streamers) -> TreeLayout:
    """Find out where things stand in a tree.

    Args:
        kind: Its class.
        data: Its bytes.
        key_b: Bytes of the key before them.
        streamers: What the file says of its classes.

    Raises:
        UnknownTreeError: It has something in it that is not known here, or is damaged.
    """
    walk = _Walk(Buffer(data, key_b), streamers)
    try:
        walk.whole(kind)
        branches = tuple(walk.found())
        weight = struct.unpack_from(">d", data, walk.tree["fWeight"][0])[0]
        entries = walk.tree["fEntries"]
    except (DamageError, struct.error, IndexError, KeyError, UnicodeDecodeError) as error:
        raise UnknownTreeError(str(error)) from error
    free = np.concatenate([np.arange(start, start + count * size) for start, count, size in walk.free])
    model = np.frombuffer(data[: walk.end], np.uint8).copy()
    model[free] = 0
    return TreeLayout(
        signature=b"\0".join(walk.signature),
        weight=weight,
        types=walk.types(),
        entries=entries,
        branches=branches,
        model=model.tobytes(),
        free=free,
    )


@dataclass(slots=True)
class _Open:
    """A branch that is being read."""

    path: str
    name: str = ""
    branches: int = 0
    leaves: list[str] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)

    def type_in(self, data: memoryview) -> str:
        """Its type; empty if it is not one plain number a row."""
        if self.branches or len(self.leaves) != 1 or self.leaves[0] not in _TYPES:
            return ""
        if "fLeafCount" in self.places or numbers(data, self.places["fLen"]) != [1]:
            return ""
        (unsigned,) = numbers(data, self.places["fIsUnsigned"])
        return _TYPES[self.leaves[0]][bool(unsigned)]


class _Done(Exception):  # noqa: N818 - nothing went wrong
    """All that is looked at has been read."""


class _Walk:
    """Goes through the members of a tree.

    Attributes:
        signature: What must be equal, piece by piece.
        free: Where numbers stand that may differ.
        tree: Where the numbers of the tree itself stand.
        end: Where the last byte that is looked at ends.
    """

    def __init__(self, buffer: Buffer, streamers: Streamers) -> None:
        self._buffer, self._streamers = buffer, streamers
        self._branches: list[_Open] = []
        self._inside: list[_Open] = []
        self.signature: list[bytes] = []
        self.free: list[Place] = []
        self.tree: dict[str, Place] = {}
        self.end = 0

    def whole(self, kind: str) -> None:
        """Read a tree up to the end of its branches."""
        try:
            self._class(kind, 0)
        except _Done:
            self.end = self._buffer.place
            return
        raise UnknownTreeError("it has no branches")

    def found(self) -> Iterator[Branch]:
        """The branches."""
        taken: set[str] = set()
        for branch in self._branches:
            path = branch.path
            while path in taken:
                path += "'"
            taken.add(path)
            places = branch.places
            yield Branch(
                path=path,
                name=branch.name,
                has_branches=branch.branches > 0,
                entries=places["fEntries"],
                sizes=places["fBasketBytes"],
                firsts=places["fBasketEntry"],
                seeks=places["fBasketSeek"],
            )

    def types(self) -> dict[str, str] | None:
        """The types of all branches; None if there is one that is no plain number."""
        found = {branch.name: branch.type_in(self._buffer.data) for branch in self._branches}
        return found if all(found.values()) else None

    def _class(self, kind: str, depth: int) -> None:
        header = self._buffer.header()
        elements = self._streamers.get((kind, header.version))
        if elements is None or depth > _DEEPEST:
            raise UnknownTreeError(f"the file does not describe {kind} of version {header.version}")
        self.signature.append(f"{kind} {header.version}".encode())
        lengths: dict[str, int] = {}
        for element in elements:
            self._element(kind, element, lengths, depth)
        if self._buffer.place != header.end:
            raise UnknownTreeError(f"{kind} ends elsewhere")

    def _element(self, owner: str, element: Element, lengths: dict[str, int], depth: int) -> None:
        if element.kind in _SIZES:
            self._number(owner, element, (self._buffer.place, 1, _SIZES[element.kind]), lengths)
        elif element.kind - _ARRAY in _SIZES and element.length:
            size = _SIZES[element.kind - _ARRAY]
            self._number(owner, element, (self._buffer.place, element.length, size), lengths)
        elif element.kind - _POINTED in _SIZES:
            size = _SIZES[element.kind - _POINTED]
            self._buffer.skip(1)  # whether there is one
            self._number(owner, element, (self._buffer.place, lengths[element.counter], size), lengths)
        elif element.kind == _BASE:
            self._base(element.name, depth)
        elif element.kind in {_OBJECT, _ANY}:
            self._member(owner, element, depth)
        elif element.kind in _POINTERS:
            if self._inside and self._buffer.uint4_at(0):
                self._inside[-1].places[element.name] = (self._buffer.place, 1, 4)
            self._pointer(depth)
        elif element.kind == _STRING:
            start = self._buffer.place
            self._buffer.text()
            self._keep(start)
        else:
            raise UnknownTreeError(f"{owner} has a member {element.name} of kind {element.kind}")

    def _number(self, owner: str, element: Element, place: Place, lengths: dict[str, int]) -> None:
        start, count, size = place
        self._buffer.skip(count * size)
        if element.name in _FREE:
            if element.name not in _LENGTHS:
                self.free.append(place)
        else:
            self.signature.append(bytes(self._buffer.data[start : self._buffer.place]))
        if count == 1 and size == 4:  # noqa: PLR2004 - a whole number, perhaps one that arrays refer to
            lengths[element.name] = numbers(self._buffer.data, place)[0]
        if owner == "TBranch" or (owner == "TLeaf" and self._inside):
            self._inside[-1].places[element.name] = place
        elif owner == "TTree":
            self.tree[element.name] = place

    def _keep(self, start: int) -> None:
        """Take what has been passed into the signature."""
        self.signature.append(bytes(self._buffer.data[start : self._buffer.place]))

    def _base(self, kind: str, depth: int) -> None:
        start = self._buffer.place
        if kind == "TNamed":
            name, _ = self._buffer.named()
            if self._inside and not self._inside[-1].name:
                self._inside[-1].name = name
                self._inside[-1].path += name
            self._keep(start)
        elif kind.startswith("TAtt"):
            self._buffer.place = self._buffer.header().end
        elif kind == "TObject":
            self._buffer.skip_object()
        else:
            self._class(kind, depth + 1)

    def _member(self, owner: str, element: Element, depth: int) -> None:
        if element.type_name != "TObjArray":
            start, self._buffer.place = self._buffer.place, self._buffer.header().end
            self._keep(start)
            return
        end = self._buffer.header().end
        self._buffer.skip_object()
        self._buffer.text()
        count = self._buffer.int4()
        self._buffer.skip(4)  # the lowest index
        if element.name == "fBaskets":
            # Zeros where baskets have been written; else one is in here, and not in the file.
            if any(self._buffer.data[self._buffer.place : end]):
                raise UnknownTreeError("a basket stands inside of the tree")
            self._buffer.place = end
            return
        self.signature.append(f"{element.name} {count}".encode())
        for _ in range(count):
            if element.name == "fBranches":
                self._branch(depth)
                continue
            kind = self._pointer(depth)
            if owner == "TBranch" and element.name == "fLeaves":
                self._inside[-1].leaves.append(kind)
        if self._buffer.place != end:
            raise UnknownTreeError(f"{element.name} ends elsewhere")
        if owner == "TTree" and element.name == _LAST:
            raise _Done

    def _branch(self, depth: int) -> None:
        above = self._inside[-1].path + "/" if self._inside else ""
        if self._inside:
            self._inside[-1].branches += 1
        branch = _Open(above)
        self._branches.append(branch)
        self._inside.append(branch)
        if not self._pointer(depth):
            raise UnknownTreeError("a branch stands elsewhere")
        self._inside.pop()

    def _pointer(self, depth: int) -> str:
        """Read what is behind a pointer; returns its class, or nothing for what has been read before."""
        nothing = not self._buffer.uint4_at(0)
        start = self._buffer.pointer()
        if start is None:
            self.signature.append(b"nothing" if nothing else b"before")
            return ""
        if not start.kind:
            raise UnknownTreeError("a class is named where nobody looked")
        # A leaf is named, too, inside of a branch that has its name already.
        self._class(start.kind, depth + 1)
        if self._buffer.place != start.end:
            raise UnknownTreeError(f"{start.kind} ends elsewhere")
        return start.kind
