"""The stamp that a result carries inside: a hash of what decides its content, and of the parts that are in it.

In a ROOT file it stands in the name or the title of the file itself, in the first record, which every ROOT file has.
It is read without ROOT and without uproot, from the first bytes. The layout is that of ROOT's TFile and TKey: all
numbers are big-endian, and a text is one byte of length (255: four more bytes follow), then its bytes.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.errors import OutputDamagedError
from septum.plan import digest

PREFIX = "septum:"
_MAGIC = b"root"
_HEADER = struct.Struct(">4sii")  # magic, version, fBEGIN: the same in files of both formats
_KEY = struct.Struct(">ihiIhh")  # fNbytes, version, fObjlen, fDatime, fKeylen, fCycle; then two positions
_SHORT, _LONG = 8, 16  # bytes of these two positions
_BIG_KEY = 1000  # a key of a higher version has 8-byte positions
_FIRST_RECORDS = range(64, 4097)
"""Where the first record may stand. ROOT has always put it at byte 100."""
_READ_B = 1 << 16
_LONG_TEXT = 255
_INSCRIPTION = re.compile(
    r"(?<![0-9A-Za-z_])(septum:[0-9a-f]{64})(?![0-9A-Za-z_])"
    r"(?: ([A-Za-z0-9._+-]+)(?![A-Za-z0-9._+:-]))?"  # the result's name; not the beginning of another stamp
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]")
_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Inscription:
    """What septum wrote into a file: its stamp, and the name of the result; empty when it has only the stamp."""

    stamp: str
    name: str = ""


def stamp(work: str, parts: Sequence[tuple[str, str]]) -> str:
    """The stamp of a result.

    Args:
        work: `Plan.work`.
        parts: Id and content hash (`PartOutput.content`) of each part that is in the result, in the order of the plan.

    Returns:
        `septum:` and 64 hexadecimal digits.
    """
    return PREFIX + digest({"work": work, "parts": [list(part) for part in parts]})


def inscription(mark: str, result: str) -> str:
    """What an engine writes into a result as the name or the title of the file.

    Args:
        mark: The stamp.
        result: The result's name in the plan; the last piece of it is taken.

    Returns:
        The stamp first, then the name with only such characters as no engine gives a meaning: ROOT cuts what follows
        `?reproducible=` at `&` and `#`.
    """
    return f"{mark} {safe_name(result)}"


def safe_name(result: str) -> str:
    """The name of a result as an inscription has it."""
    return _UNSAFE.sub("_", result.rsplit("/", 1)[-1])[:_NAME_LENGTH]


def read_stamp(path: Path) -> str | None:
    """The stamp in a ROOT file; None when it has none, or is no ROOT file.

    Raises:
        OutputDamagedError: It cannot be read, its first record is damaged, or it carries two different stamps.
    """
    found = read_inscription(path)
    return found.stamp if found else None


def read_inscription(path: Path) -> Inscription | None:
    """The stamp in a ROOT file and the result's name beside it; None when it has none, or is no ROOT file.

    Raises:
        OutputDamagedError: It cannot be read, its first record is damaged, or it carries two different stamps.
    """
    found = {Inscription(*match) for text in _names(path) for match in _INSCRIPTION.findall(text)}
    named = {item for item in found if item.name}
    if len({item.stamp for item in found}) > 1 or len(named) > 1:
        raise _damaged(path, "it carries two different stamps")
    return next(iter(named or found), None)


def _names(path: Path) -> list[str]:
    """Name and title of a ROOT file, as its first key and its first record have them; none for other files."""
    record = _first_record(path)
    if record is None:
        return []
    if len(record) < _KEY.size:
        raise _damaged(path, "it ends before its first record")
    size_b, version, object_b, _, key_b, _ = _KEY.unpack_from(record)
    start = _KEY.size + (_LONG if version > _BIG_KEY else _SHORT)
    if not (start < key_b <= size_b and object_b >= 0):
        raise _damaged(path, f"its first record has {size_b} bytes, {key_b} of them as its key")
    cursor = _Cursor(path, record[:size_b], start)
    if cursor.text() != "TFile":
        raise _damaged(path, "its first record is not that of a file")
    key = [cursor.text(), cursor.text()]
    if cursor.position != key_b:
        raise _damaged(path, f"its first key ends at byte {cursor.position}, and says {key_b}")
    return [*key, cursor.text(), cursor.text()]


def _first_record(path: Path) -> bytes | None:
    """The bytes of a ROOT file from its first record on, at most 64 kB; None for other files."""
    try:
        # Not to wait for ever for the other end of a pipe that stands there instead of a file.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _damaged(path, "it is not a file")
            start = os.pread(descriptor, _HEADER.size, 0)
            if start[: len(_MAGIC)] != _MAGIC:
                return None
            if len(start) < _HEADER.size:
                raise _damaged(path, "it ends within its header")
            _, version, begin = _HEADER.unpack(start)
            if version <= 0 or begin not in _FIRST_RECORDS:
                raise _damaged(path, f"its header says version {version}, first record at byte {begin}")
            return os.pread(descriptor, _READ_B, begin)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error


class _Cursor:
    """Reads texts one after the other, and never past the end."""

    def __init__(self, path: Path, data: bytes, position: int) -> None:
        self._path, self._data, self.position = path, data, position

    def _take(self, size_b: int) -> bytes:
        taken = self._data[self.position : self.position + size_b]
        if len(taken) < size_b:
            raise _damaged(self._path, f"a text in its first record ends {size_b - len(taken)} bytes after the record")
        self.position += size_b
        return taken

    def text(self) -> str:
        """The next text."""
        length = self._take(1)[0]
        if length == _LONG_TEXT:
            length = int.from_bytes(self._take(4), "big")
        return self._take(length).decode("utf-8", "replace")


def _damaged(path: Path, evidence: str) -> OutputDamagedError:
    return OutputDamagedError(
        f"{path.name!r}: the name and the title of the file cannot be read",
        evidence=evidence,
        fix="take the whole result folder from the artifact again",
    )
