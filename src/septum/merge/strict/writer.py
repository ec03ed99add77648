"""Writes a merged result as a ROOT file: the same bytes for the same content, with no date and no identifier in it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from septum.errors import MergeFailedError
from septum.merge.strict import codecs, streamers
from septum.merge.strict.accumulator import Merged
from septum.merge.strict.records import Folder, Key
from septum.merge.strict.rewrite import RewriteError

_VERSION = 63600
"""The version of the file format: that of a ROOT that wrote such files, old enough for every reader."""
_BIG_FILE, _BIG_KEY = 1_000_000, 1000
_KEY_VERSION, _FOLDER_VERSION = 4, 5
_BEGIN = 100
_DATE = 1 << 22 | 1 << 17
"""The first day that ROOT can write: 1 January 1995."""
_LAST_SMALL = 2_000_000_000
_NO_UUID = struct.pack(">h16s", 1, bytes(16))


@dataclass(slots=True)
class _Output:
    """Where the next record goes; places that are known only later are written again at the end."""

    stream: BinaryIO
    big_from_b: int
    compress: int
    place: int = _BEGIN
    patches: dict[int, bytes] = field(default_factory=dict)

    def is_big(self) -> bool:
        return self.place > self.big_from_b

    def append(self, data: bytes) -> None:
        self.stream.write(data)
        self.place += len(data)


def write(target: Path, merged: Merged, *, name: str, title: str, big_from_b: int = _LAST_SMALL) -> None:
    """Write a merged result into a new file.

    Args:
        target: Must not exist.
        merged: What goes into it.
        name: The name that the file has for itself.
        title: Its title.
        big_from_b: From this place on, records have keys with long numbers.

    Raises:
        MergeFailedError: The file would be larger than its objects allow.
    """
    with target.open("xb") as stream:
        out = _Output(stream=stream, big_from_b=big_from_b, compress=merged.info.compress)
        _File(out, merged, name=name, title=title).write()
        stream.flush()


class _File:
    def __init__(self, out: _Output, merged: Merged, *, name: str, title: str) -> None:
        self._out, self._merged, self._name, self._title = out, merged, name, title

    def write(self) -> None:
        out = self._out
        out.stream.write(bytes(_BEGIN))
        names = _text(self._name) + _text(self._title)
        name_b = _key_b("TFile", self._name, self._title, big=out.is_big()) + len(names)
        folder_at = _BEGIN + name_b
        body = names + _folder_bytes(0, 0, 0, 0, 0)
        out.append(self._key("TFile", self._name, self._title, _BEGIN, 0, len(body), len(body)) + body)
        list_at, list_b = self._folder(self._merged.info.top, "", _BEGIN, self._name, self._title, "TFile")
        out.patches[folder_at] = _folder_bytes(list_b, name_b, _BEGIN, 0, list_at)
        info_at, info_b = self._streamers()
        free_at, free_b, end = self._free()
        out.patches[0] = self._header(end, free_at, free_b, name_b, info_at, info_b)
        for place, data in out.patches.items():
            out.stream.seek(place)
            out.stream.write(data)

    def _folder(
        self, folder: Folder, path: str, place: int, name: str, title: str, kind: str
    ) -> tuple[int, int]:  # fmt: skip
        """Everything of a folder, then its list; gives the list's place and size."""
        keys = [self._object(key, path + key.name, place) for key in folder.objects]
        for sub in folder.folders:
            at = self._out.place
            header_b = _key_b("TDirectory", sub.name, sub.title, big=self._out.is_big())
            body = _folder_bytes(0, 0, 0, 0, 0)
            key = self._key("TDirectory", sub.name, sub.title, at, place, len(body), len(body))
            keys.append(key)
            self._out.append(key + body)
            list_at, list_b = self._folder(sub, f"{path}{sub.name}/", at, sub.name, sub.title, "TDirectory")
            self._out.patches[at + header_b] = _folder_bytes(list_b, header_b, at, place, list_at)
        at = self._out.place
        body = struct.pack(">i", len(keys)) + b"".join(keys)
        whole = self._key(kind, name, title, at, place, len(body), len(body)) + body
        self._out.append(whole)
        return at, len(whole)

    def _object(self, key: Key, path: str, folder: int) -> bytes:
        at = self._out.place
        try:
            data = self._merged.piece(path, _key_b(key.kind, key.name, key.title, big=self._out.is_big()))
        except RewriteError as error:
            raise MergeFailedError(
                f"merge: {path!r} cannot stand beyond {self._out.big_from_b} bytes in a file",
                evidence=str(error),
                fix="write the objects into two outputs, so that each result is smaller",
            ) from error
        packed = codecs.pack(data, self._out.compress)
        head = self._key(key.kind, key.name, key.title, at, folder, len(packed), len(data))
        self._out.append(head + packed)
        return head

    def _key(self, kind: str, name: str, title: str, place: int, folder: int, stored_b: int, size_b: int) -> bytes:
        big = place > self._out.big_from_b
        key_b = _key_b(kind, name, title, big=big)
        version = _KEY_VERSION + (_BIG_KEY if big else 0)
        numbers = struct.pack(
            ">ihiIhhqq" if big else ">ihiIhhii", key_b + stored_b, version, size_b, _DATE, key_b, 1, place, folder
        )
        return numbers + _text(kind) + _text(name) + _text(title)

    def _streamers(self) -> tuple[int, int]:
        info, names = self._merged.info, ("TList", "StreamerInfo", "Doubly linked list")
        data = streamers.behind(info.streamers, info.streamers_key_b, _key_b(*names, big=self._out.is_big()))
        packed = codecs.pack(data, self._out.compress)
        at = self._out.place
        whole = self._key(*names, at, _BEGIN, len(packed), len(data)) + packed
        self._out.append(whole)
        return at, len(whole)

    def _free(self) -> tuple[int, int, int]:
        """The list of free places: all behind the end."""
        at = self._out.place
        big = at > self._out.big_from_b
        size = 18 if big else 10
        end = at + _key_b("TFile", self._name, self._title, big=big) + size
        if big or end > _LAST_SMALL:
            # The list ends at the next thousand million behind the end of the file, as ROOT writes it.
            last = max(_LAST_SMALL, (end // 1_000_000_000 + 1) * 1_000_000_000)
            body = struct.pack(">hqq", 1 + _BIG_KEY, end, last)
        else:
            body = struct.pack(">hii", 1, end, _LAST_SMALL)
        whole = self._key("TFile", self._name, self._title, at, _BEGIN, len(body), len(body)) + body
        self._out.append(whole)
        return at, len(whole), self._out.place

    def _header(self, end: int, free_at: int, free_b: int, name_b: int, info_at: int, info_b: int) -> bytes:
        big = end > self._out.big_from_b
        head = struct.pack(
            ">4siiqqiiiBiqi" if big else ">4siiiiiiiBiii",
            *(b"root", _VERSION + (_BIG_FILE if big else 0), _BEGIN, end, free_at, free_b, 1, name_b),
            *(8 if big else 4, self._out.compress, info_at, info_b),
        )
        return head + _NO_UUID


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return (bytes([len(raw)]) if len(raw) < 255 else struct.pack(">Bi", 255, len(raw))) + raw  # noqa: PLR2004


def _key_b(kind: str, name: str, title: str, *, big: bool) -> int:
    return (34 if big else 26) + len(_text(kind)) + len(_text(name)) + len(_text(title))


def _folder_bytes(list_b: int, name_b: int, place: int, above: int, list_at: int) -> bytes:
    """A folder's own members; always with long numbers, so that its size does not depend on its place."""
    numbers = struct.pack(">hIIiiqqq", _FOLDER_VERSION + _BIG_KEY, _DATE, _DATE, list_b, name_b, place, above, list_at)
    return numbers + _NO_UUID
