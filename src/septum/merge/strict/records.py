"""A ROOT file as records: its header, its folders, and where each object's bytes stand. Checks all that it reads.

Follows ROOT's TFile, TDirectoryFile and TKey; files above 2 GB have longer numbers in the same places.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MAGIC = b"root"
_BIG_FILE = 1_000_000
_BIG_KEY = 1000
_SMALL_HEADER = struct.Struct(">4siiiiiiiBiii")
_BIG_HEADER = struct.Struct(">4siiqqiiiBiqi")
_SMALL_KEY = struct.Struct(">ihiIhhii")
_BIG_KEY_FORMAT = struct.Struct(">ihiIhhqq")
_SMALL_FOLDER = struct.Struct(">hIIiiiii")
_BIG_FOLDER = struct.Struct(">hIIiiqqq")
_SMALL_FREE, _BIG_FREE = struct.Struct(">hii"), struct.Struct(">hqq")
FOLDERS = frozenset({"TDirectory", "TDirectoryFile"})
_DEEPEST = 200
_MAPPED_B = 64 << 20
"""Files larger than this are mapped, not read."""


class RecordError(ValueError):
    """The file is not a whole ROOT file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The head of a file: places and sizes in bytes; `compress` is ROOT's setting."""

    begin: int
    end: int
    name_b: int
    compress: int
    info_place: int
    info_b: int
    free_place: int


@dataclass(frozen=True, slots=True)
class Key:
    """Where one object stands, and what it is.

    Attributes:
        stored_b: Bytes in the file, this key included.
        size_b: Bytes of the object once unpacked.
        key_b: Bytes of the key before it.
        place: Where the key begins.
    """

    kind: str
    name: str
    title: str
    cycle: int
    place: int
    key_b: int
    stored_b: int
    size_b: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One folder: its own objects, the newest cycle of each, and the folders below it, all in the file's order."""

    name: str
    title: str
    objects: tuple[Key, ...]
    folders: tuple[Folder, ...]

    def walk(self, above: str = "") -> Iterator[tuple[str, Key]]:
        """Every object below with its path, depth first."""
        for key in self.objects:
            yield above + key.name, key
        for folder in self.folders:
            yield from folder.walk(f"{above}{folder.name}/")


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFile:
    """An open file: its bytes, its head, its folders."""

    data: memoryview
    header: Header
    top: Folder

    def stored(self, key: Key) -> memoryview:
        """The bytes of an object as they stand in the file."""
        return self.data[key.place + key.key_b : key.place + key.stored_b]


def load(path: Path) -> memoryview:
    """The bytes of a file."""
    with path.open("rb") as stream:
        size = path.stat().st_size
        if size > _MAPPED_B:
            return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        return memoryview(stream.read())


def read(data: memoryview) -> RootFile:
    """Read the head and all folders of a file.

    Raises:
        RecordError: Not a ROOT file, cut off, never closed, or damaged.
    """
    try:
        header = read_header(data)
        name, title = _root_names(data, header)
        top = _Folders(data, header).read(header.begin + header.name_b, name, title)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise RecordError(f"a record ends beyond its place ({error})") from error
    return RootFile(data=data, header=header, top=top)


def read_header(data: memoryview) -> Header:
    """The head of a file.

    Raises:
        RecordError: Not a ROOT file, cut off, or never closed.
    """
    try:
        return _header(data)
    except struct.error as error:
        raise RecordError(f"it has {len(data)} bytes, too few for a ROOT file") from error


def _header(data: memoryview) -> Header:
    if bytes(data[:4]) != _MAGIC:
        raise RecordError(f"its first bytes are {bytes(data[:8])!r}, not 'root'")
    version = struct.unpack_from(">i", data, 4)[0]
    layout = _BIG_HEADER if version >= _BIG_FILE else _SMALL_HEADER
    _, _, begin, end, free_place, _, _, name_b, _, compress, info_place, info_b = layout.unpack_from(data)
    if end != len(data):
        raise RecordError(f"its header ends at byte {end}, the file at byte {len(data)}: it was not closed, or cut off")
    if not 0 < begin < end or not 0 < name_b < end:
        raise RecordError("its header points outside of the file")
    return Header(
        begin=begin, end=end, name_b=name_b, compress=compress, info_place=info_place, info_b=info_b,
        free_place=free_place,
    )  # fmt: skip


def _root_names(data: memoryview, header: Header) -> tuple[str, str]:
    _, place = read_key(data, header.begin)
    name, place = text(data, place)
    title, place = text(data, place)
    return name, title


def text(data: memoryview, place: int) -> tuple[str, int]:
    """A TString at a place, and the place behind it."""
    length = data[place]
    place += 1
    if length == 255:  # noqa: PLR2004 - ROOT's mark of a long string
        length = struct.unpack_from(">i", data, place)[0]
        place += 4
    end = place + length
    if length < 0 or end > len(data):
        raise RecordError("a text ends beyond the file")
    return str(data[place:end], "utf-8", "surrogateescape"), end


def read_key(data: memoryview, place: int) -> tuple[Key, int]:
    """The key at a place, and the place behind its texts."""
    version = struct.unpack_from(">h", data, place + 4)[0]
    layout = _BIG_KEY_FORMAT if version > _BIG_KEY else _SMALL_KEY
    stored_b, _, size_b, _, key_b, cycle, seek, _ = layout.unpack_from(data, place)
    kind, after = text(data, place + layout.size)
    name, after = text(data, after)
    title, after = text(data, after)
    return Key(kind, name, title, cycle, seek, key_b, stored_b, size_b), after


def folder_list(data: memoryview, place: int) -> tuple[int, int]:
    """Size and place of the list of a folder's objects; the folder's own members stand at `place`."""
    version = struct.unpack_from(">h", data, place)[0]
    layout = _BIG_FOLDER if version > _BIG_KEY else _SMALL_FOLDER
    _, _, _, list_b, _, _, _, list_place = layout.unpack_from(data, place)
    return list_b, list_place


class _Folders:
    """Reads folders, and knows the place of every object that it has read."""

    def __init__(self, data: memoryview, header: Header) -> None:
        self._data, self._header = data, header
        self._seen: set[int] = set()

    def read(self, place: int, name: str, title: str, *, depth: int = 0) -> Folder:
        """The folder whose own members stand at a place, and all folders below it."""
        if depth > _DEEPEST:
            raise RecordError(f"folders are nested more than {_DEEPEST} deep")
        list_b, list_place = folder_list(self._data, place)
        if list_place <= 0 or list_b <= 0:
            raise RecordError(f"the folder {name!r} has no list of its objects: the file was not closed")
        objects: list[Key] = []
        folders = []
        for key in _newest(self._keys(list_place, list_b)):
            if key.kind in FOLDERS:
                folders.append(self.read(key.place + key.key_b, key.name, key.title, depth=depth + 1))
            else:
                objects.append(key)
        return Folder(name=name, title=title, objects=tuple(objects), folders=tuple(folders))

    def _keys(self, place: int, size_b: int) -> Iterator[Key]:
        data = self._data
        own, _ = read_key(data, place)
        end = place + size_b
        if own.stored_b != size_b or own.place != place or end > len(data):
            raise RecordError("the list of a folder's objects is not where its folder says")
        at = place + own.key_b
        count = struct.unpack_from(">i", data, at)[0]
        at += 4
        for _ in range(count):
            key, at = self._key(at, end)
            if key.place in self._seen:
                raise RecordError(f"{key.name!r} stands where another object does")
            self._seen.add(key.place)
            yield key
        if count < 0 or self._goes_on(at, end):
            raise RecordError(f"the list of a folder's objects holds more than its {count} keys")

    def _key(self, start: int, end: int) -> tuple[Key, int]:
        data = self._data
        key, at = read_key(data, start)
        if at > end:
            raise RecordError("the list of a folder's objects is cut off")
        if not 0 < key.place <= len(data) - key.stored_b or not 0 < key.key_b <= key.stored_b or key.size_b < 0:
            raise RecordError(f"the key of {key.name!r} points outside of the file")
        if key.key_b != at - start or data[key.place : key.place + key.key_b] != data[start:at]:
            raise RecordError(f"{key.name!r} is not where its key points")
        return key, at

    def _goes_on(self, at: int, end: int) -> bool:
        """Whether a list that should be at its end has another key: its count is damaged.

        uproot leaves room for further keys, and in it what stood there before: keys of removed objects, too.
        """
        if not any(self._data[at:end]):
            return False
        try:
            key, _ = self._key(at, end)
        except (ValueError, struct.error, IndexError):
            return False
        return key.place not in self._seen and not any(first <= key.place <= last for first, last in self._free())

    def _free(self) -> Iterator[tuple[int, int]]:
        """The stretches of the file that hold nothing any more, as its list of them says."""
        try:
            key, _ = read_key(self._data, self._header.free_place)
            at, end = self._header.free_place + key.key_b, self._header.free_place + key.stored_b
            while at < end:
                layout = _BIG_FREE if struct.unpack_from(">h", self._data, at)[0] > _BIG_KEY else _SMALL_FREE
                _, first, last = layout.unpack_from(self._data, at)
                yield first, last
                at += layout.size
        except (ValueError, struct.error, IndexError):
            return


def _newest(keys: Iterator[Key]) -> list[Key]:
    """The highest cycle of each name, in the order in which the names come first."""
    newest: dict[str, Key] = {}
    for key in keys:
        held = newest.get(key.name)
        if held is not None and held.cycle == key.cycle:
            raise RecordError(f"two objects are called {key.name!r} in cycle {key.cycle}")
        if held is None or held.cycle < key.cycle:
            newest[key.name] = key
    return list(newest.values())
