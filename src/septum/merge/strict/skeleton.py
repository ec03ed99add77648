"""What files of one structure share: read once, and then every further file of it is read with a few comparisons.

The lists of objects of two such files differ in places, stored sizes and dates alone. With those blanked out they must
be equal to the byte; the places and sizes are then read for all objects at once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from septum.merge.strict import codecs, records
from septum.merge.strict.records import Folder, Key, RecordError, RootFile

Index = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_FOUR = np.arange(4)
_PLACE = 18
"""Where in a small key the place of its object stands."""
_OWN_FIELDS = np.concatenate([_FOUR, _PLACE + _FOUR])
_KEY_B = 29
"""A small key without a letter in its three texts."""


@dataclass(frozen=True, slots=True, eq=False)
class _List:
    """The list of one folder: its bytes with the blanks, the blanks, and where the fields of the kept keys stand."""

    blank: bytes
    blanks: Index
    stored: Index
    places: Index
    folders: int


class Skeleton:
    """The structure of a file, to recognise others by.

    Args:
        file: The file; only those below 2 GB have a skeleton that fits others.

    Raises:
        RecordError: The file is larger.
    """

    def __init__(self, file: RootFile) -> None:
        self.top = file.top
        self.keys: tuple[Key, ...] = tuple(key for _, key in file.top.walk())
        self.sizes = np.array([key.size_b for key in self.keys], dtype=np.int64)
        self._key_b = np.array([key.key_b for key in self.keys], dtype=np.int64)
        self._lists: list[_List] = []
        self._learn(file, file.top, file.header.begin + file.header.name_b)
        # Of all keys, those of objects: each list has its objects first, and then its folders.
        self._objects = np.concatenate(
            [np.arange(len(listed.places)) < len(listed.places) - listed.folders for listed in self._lists]
        )

    def _learn(self, file: RootFile, folder: Folder, place: int) -> None:
        list_b, list_place = records.folder_list(file.data, place)
        raw = _body(file.data, list_place, list_b)
        kept = {key.place for key in folder.objects}
        folder_places: list[int] = []
        at = 4
        blanks: list[Index] = [np.empty(0, np.int64)]
        objects: list[int] = []
        folders: list[int] = []
        for _ in range(struct.unpack_from(">i", raw)[0]):
            if struct.unpack_from(">h", raw, at + 4)[0] > 1000:  # noqa: PLR2004 - a key with long numbers
                raise RecordError("a large file")
            key, after = records.read_key(raw, at)
            blanks.append(_fields_of(at))
            if key.place in kept:
                objects.append(at)
            elif key.kind in records.FOLDERS:
                folders.append(at)
                folder_places.append(key.place + key.key_b)
            at = after
        first = np.array([*objects, *folders], dtype=np.int64)[:, None] + _FOUR
        every_blank = np.concatenate(blanks)
        self._lists.append(
            _List(
                blank=_blanked(raw, every_blank).tobytes(),
                blanks=every_blank,
                stored=first,
                places=first + _PLACE,
                folders=len(folders),
            )
        )
        if len(objects) != len(folder.objects) or len(folders) != len(folder.folders):
            raise RecordError("folders of several cycles")
        for sub, sub_place in zip(folder.folders, folder_places, strict=True):
            self._learn(file, sub, sub_place)

    def unpack(self, data: memoryview) -> list[Any] | None:
        """The bytes of all objects of another file, in this one's order; None if it is of another structure.

        Raises:
            RecordError: The file is damaged.
            codecs.BlockError: An object is damaged.
        """
        header = records.read_header(data)
        everything = np.frombuffer(data, np.uint8)
        places: list[Index] = []
        lengths: list[Index] = []
        if not self._match_folder(data, header.begin + header.name_b, [0], places, lengths):
            return None
        place, stored = np.concatenate(places), np.concatenate(lengths)
        # A key that points to another object of the same size would be at a place that is taken.
        own = everything[place[:, None] + _OWN_FIELDS].reshape(-1, 2, 4).view(">i4")[:, :, 0]
        if (own[:, 0] != stored).any() or (own[:, 1] != place).any() or len(np.unique(place)) != len(place):
            raise RecordError("an object is not where its key points")
        first, length = place[self._objects], stored[self._objects]
        return unpack_all(data, first + self._key_b, first + length, self.sizes)

    def _match_folder(
        self,
        data: memoryview,
        place: int,
        number: list[int],
        starts: list[Index],
        lengths: list[Index],
    ) -> bool:
        listed = self._lists[number[0]]
        number[0] += 1
        try:
            list_b, list_place = records.folder_list(data, place)
            raw = np.frombuffer(_body(data, list_place, list_b), np.uint8)
        except (struct.error, IndexError) as error:
            raise RecordError("a folder is cut off") from error
        if len(raw) != len(listed.blank):
            return False
        if _blanked(raw, listed.blanks).tobytes() != listed.blank:
            return False
        stored = _numbers(raw, listed.stored)
        places = _numbers(raw, listed.places)
        objects = len(places) - listed.folders
        if len(places) and (places.min() <= 0 or stored.min() < _KEY_B or (places + stored).max() > len(data)):
            raise RecordError("a key points outside of the file")
        starts.append(places)
        lengths.append(stored)
        for sub in places[objects:].tolist():
            key, _ = records.read_key(data, sub)
            if not self._match_folder(data, sub + key.key_b, number, starts, lengths):
                return False
        return True


def _body(data: memoryview, place: int, size_b: int) -> memoryview:
    """The list of a folder's objects without its own key, which holds the name of the file."""
    if not 0 < place <= len(data) - size_b:
        raise RecordError("a folder points outside of the file")
    own, _ = records.read_key(data, place)
    if own.stored_b != size_b or own.place != place or not 0 < own.key_b <= size_b:
        raise RecordError("the list of a folder's objects is not where its folder says")
    return data[place + own.key_b : place + size_b]


def _fields_of(at: int) -> Index:
    """The bytes of a key's stored size, date and places."""
    return np.concatenate([at + np.arange(4), at + np.arange(10, 14), at + np.arange(18, 26)])


def _blanked(raw: memoryview | Bytes, blanks: Index) -> Bytes:
    copy = np.array(raw, dtype=np.uint8)
    copy[blanks] = 0
    return copy


def _numbers(raw: Bytes, index: Index) -> Index:
    return np.ascontiguousarray(raw[index]).view(">i4").ravel().astype(np.int64)


def unpack_all(data: memoryview, begins: Index, ends: Index, sizes: Index) -> list[Any]:
    """Unpack objects.

    Args:
        data: The file.
        begins: Where the stored bytes of each object begin.
        ends: Where they end.
        sizes: How many bytes come out of each.

    Raises:
        codecs.BlockError: One is damaged.
    """
    places = zip(begins.tolist(), ends.tolist(), sizes.tolist(), strict=True)
    unpack = _common_unpacker(data, begins, ends, sizes)
    if unpack is None:
        return [codecs.unpack(data[begin:end], size) for begin, end, size in places]
    head_b = codecs.HEADER_B
    try:
        # One call an object and nothing else: this is where the time of a merge goes.
        unpacked = [unpack(data[begin + head_b : end], size) for begin, end, size in places]
    except Exception as error:  # each library has errors of its own
        raise codecs.BlockError(f"a block cannot be unpacked: {type(error).__name__}: {error}") from error
    if list(map(len, unpacked)) != sizes.tolist():
        raise codecs.BlockError("other sizes came out of blocks than were recorded")
    return unpacked


def _common_unpacker(data: memoryview, begins: Index, ends: Index, sizes: Index) -> codecs.Unpack | None:
    """What unpacks all objects, if each is one block of the same kind with the sizes that its key says."""
    stored = ends - begins
    if not len(begins) or stored.min() <= codecs.HEADER_B or (stored == sizes).any() or sizes.max() > codecs.BLOCK_B:
        return None
    heads = np.frombuffer(data, np.uint8)[begins[:, None] + np.arange(codecs.HEADER_B)].astype(np.int64)
    if (heads[:, :2] != heads[0, :2]).any():
        return None
    packed, whole = (heads[:, at] + (heads[:, at + 1] << 8) + (heads[:, at + 2] << 16) for at in (3, 6))
    if (packed != stored - codecs.HEADER_B).any() or (whole != sizes).any():
        return None
    return codecs.unpacker(bytes(heads[0, :2].astype(np.uint8)))
