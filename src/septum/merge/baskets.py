"""Reads files of trees basket by basket: each is unpacked, so that its checksums are, and known by its hash.

A basket holds some rows of one branch. ROOT puts trees together by copying baskets as they are, so those of a merged
file must be those of its parts, in their order: see `septum.merge.rows`. What stands in the rows need not be known.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import xxhash

from septum.errors import OutputDamagedError
from septum.merge.strict import codecs, records, streamers
from septum.merge.strict.records import Key, RecordError, RootFile
from septum.merge.summary import Baskets, FileSummary, ObjectSummary, structure_of
from septum.merge.treelayout import Branch, TreeLayout, UnknownTreeError, lay_out, numbers

TREES = frozenset({"TTree", "TNtuple", "TNtupleD"})
_HEAD = struct.Struct(">hiiii")  # version, size of the buffer, of the offsets; rows; end of the rows, from the key on
_NOTE = struct.Struct(">iii")
_REMEMBERED = 64
_LARGEST_B = 1 << 30
"""A basket holds some megabytes; ROOT takes no more than this."""


@dataclass(frozen=True, slots=True)
class _Described:
    """A record of streamer information, and the layouts of the trees that it describes."""

    streamers: streamers.Streamers
    layouts: dict[tuple[str, int], list[TreeLayout]]


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is being read; `name` is how messages name it, `copies` as `BasketReader.read` has it."""

    path: Path
    root: RootFile
    name: str
    copies: bool


class BasketReader:
    """Reads files whose objects are all trees; knows again what it has seen.

    Args:
        structure: The structure of a tree, from a file and the path of the tree in it. Asked once for trees that differ
            in the numbers of their rows only, and not for those whose branches are all plain numbers.
    """

    def __init__(self, structure: Callable[[Path, str], str]) -> None:
        self._structure = structure
        self._described: dict[bytes, _Described] = {}
        self._structures: dict[bytes, str] = {}

    def read(self, path: Path, *, name: str, copies: bool = False) -> FileSummary | None:
        """Read a file to its last row.

        Args:
            path: The file.
            name: How messages name it.
            copies: Whether its baskets should be those of other files, which have been unpacked: their hashes are
                enough then.

        Returns:
            None if it is not a whole ROOT file, holds anything else than trees, or trees with something unknown.

        Raises:
            OutputDamagedError: A basket is damaged.
        """
        try:
            file = records.read(records.load(path))
            keys = dict(file.top.walk())
            if not keys or any(key.kind not in TREES for key in keys.values()):
                return None
            known = self._known(file)
            one = _File(path, file, name, copies)
            return FileSummary({where: self._tree(one, where, key, known) for where, key in keys.items()})
        except (UnknownTreeError, OSError, ValueError, struct.error, IndexError):  # with the errors of all readers
            return None

    def _known(self, file: RootFile) -> _Described:
        info, key_b = streamers.stored_info(file), streamers.key_size(file)
        digest = hashlib.sha256(info).digest()
        if digest not in self._described:
            if len(self._described) >= _REMEMBERED:
                self._described.clear()
            self._described[digest] = _Described(streamers.read(info, key_b), {})
        return self._described[digest]

    def _tree(self, file: _File, where: str, key: Key, known: _Described) -> ObjectSummary:
        data = memoryview(codecs.unpack(file.root.stored(key), key.size_b))
        layouts = known.layouts.setdefault((key.kind, key.key_b), [])
        layout = next((layout for layout in layouts if layout.fits(data)), None)
        if layout is None:
            layout = lay_out(key.kind, data, key.key_b, known.streamers)
            layouts[:] = [layout, *layouts[: _REMEMBERED - 1]]
        if layout.signature not in self._structures:
            if len(self._structures) >= _REMEMBERED:
                self._structures.clear()
            self._structures[layout.signature] = (
                structure_of(layout.types, layout.weight) if layout.types else self._structure(file.path, where)
            )
        (entries,) = numbers(data, layout.entries)
        baskets = {branch.path: _Rows(file, where, branch).read(data) for branch in layout.branches}
        structure = self._structures[layout.signature]
        return ObjectSummary(key.kind, structure, float(entries), None, 0.0, baskets=baskets)


class _Rows:
    """Reads the baskets of one branch of the tree that stands at a path in a file."""

    def __init__(self, file: _File, where: str, branch: Branch) -> None:
        self._data, self._branch, self._copies = file.root.data, branch, file.copies
        self._says = f"{file.name}: {where}: branch {branch.path!r}"

    def read(self, tree: memoryview) -> Baskets:
        """The baskets, from the bytes of the tree."""
        branch = self._branch
        (entries,) = numbers(tree, branch.entries)
        sizes, firsts, seeks = (numbers(tree, place) for place in (branch.sizes, branch.firsts, branch.seeks))
        count = next((number for number, seek in enumerate(seeks) if not seek), len(seeks))
        if any(seeks[count:]) or (entries and not count and not branch.has_branches):
            raise UnknownTreeError(f"{self._says} has rows without baskets")
        content, copied, rows = xxhash.xxh3_128(), [], 0
        for place, stored_b, first in zip(seeks[:count], sizes[:count], firsts[:count], strict=True):
            if first != rows:
                raise UnknownTreeError(f"{self._says} has a basket that does not begin where the last one ends")
            try:
                held, note, stored, size_b = self._basket(place, stored_b)
                if not self._copies:
                    content.update(codecs.unpack(stored, size_b))
            except codecs.BlockError as error:
                raise OutputDamagedError(
                    f"{self._says}: the rows from {first} on cannot be read",
                    evidence=str(error)[:300],
                    fix="look at the part's log; the file is damaged as the job left it",
                ) from error
            rows += held
            copied.append(note)
        if count and rows != entries:
            raise UnknownTreeError(f"{self._says} has {entries} rows, its baskets {rows}")
        return Baskets(rows=rows, copied=b"".join(copied), content=b"" if self._copies else content.digest())

    def _basket(self, place: int, stored_b: int) -> tuple[int, bytes, memoryview, int]:
        """Of one basket: its rows, what a copy has in common with it, its stored bytes, and how many they unpack to."""
        data = self._data
        if not 0 < place < len(data) - stored_b or stored_b <= 0:
            raise RecordError("it is beyond the end of the file")
        key, behind = records.read_key(data, place)
        if (key.kind, key.name, key.place, key.stored_b) != ("TBasket", self._branch.name, place, stored_b):
            raise RecordError("another record is in its place")
        if not 0 < key.key_b <= stored_b or not 0 <= key.size_b <= _LARGEST_B:
            raise RecordError("its key is damaged")
        _, _, _, rows, last = _HEAD.unpack_from(data, behind)
        if rows < 0:
            raise RecordError("its key is damaged")
        stored = data[place + key.key_b : place + stored_b]
        note = xxhash.xxh3_128_digest(stored) + _NOTE.pack(rows, last - key.key_b, key.size_b)
        return rows, note, stored, key.size_b
