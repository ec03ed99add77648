"""Reads the bytes of one streamed object, as ROOT's TBufferFile does: numbers, texts, headers, pointers."""

from __future__ import annotations

import struct
from dataclasses import dataclass

COUNTED = 0x40000000
"""The bit of a number that counts the bytes which follow."""
_NEW_CLASS = 0xFFFFFFFF
CLASS = 0x80000000
"""The bit of a mark that points to the name of a class."""
FIRST = 2
"""ROOT's kMapOffset: what positions in a buffer count from."""
_REFERENCED = 1 << 4
_LONG = 255
_INT4, _UINT4, _UINT2 = struct.Struct(">i"), struct.Struct(">I"), struct.Struct(">H")


class DamageError(ValueError):
    """The bytes are not what they should be."""


@dataclass(frozen=True, slots=True)
class Header:
    """The version of a class, and where its bytes end."""

    version: int
    end: int


@dataclass(frozen=True, slots=True)
class Start:
    """An object behind a pointer.

    Attributes:
        kind: Its class; empty if that was named where nobody looked.
        named: Whether the class is named here, and not where an earlier object begins.
        end: Where its bytes end.
    """

    kind: str
    named: bool
    end: int


class Buffer:
    """A place in the bytes of an object.

    Args:
        data: The bytes.
        key_b: Bytes of the key before them in the file: ROOT counts positions from the key.
    """

    def __init__(self, data: memoryview, key_b: int) -> None:
        self.data, self.place = data, 0
        self._before = key_b + FIRST
        self._classes: dict[int, str] = {}

    def skip(self, count: int) -> None:
        """Go on."""
        self.place += count
        if count < 0 or self.place > len(self.data):
            raise DamageError(f"byte {self.place} is beyond the {len(self.data)} of the object")

    def byte(self) -> int:
        """One byte."""
        self.place += 1
        return self.data[self.place - 1]

    def int4(self) -> int:
        """A whole number of four bytes."""
        self.place += 4
        return int(_INT4.unpack_from(self.data, self.place - 4)[0])

    def uint4(self) -> int:
        """The same without a sign."""
        self.place += 4
        return int(_UINT4.unpack_from(self.data, self.place - 4)[0])

    def uint4_at(self, offset: int) -> int:
        """A whole number of four bytes without a sign, further on, with no step towards it."""
        return int(_UINT4.unpack_from(self.data, self.place + offset)[0])

    def text(self) -> str:
        """A TString."""
        length = self.byte()
        if length == _LONG:
            length = self.int4()
        start = self.place
        self.skip(length)
        return str(self.data[start : self.place], "utf-8", "surrogateescape")

    def header(self) -> Header:
        """The bytes and the version before the members of a class.

        Raises:
            DamageError: The class was written without counting its bytes, or they end beyond the object.
        """
        count = self.uint4()
        if not count & COUNTED or count == _NEW_CLASS:
            raise DamageError(f"no count of bytes at {self.place - 4}")
        end = self.place + (count & ~COUNTED)
        if not self.place + 2 <= end <= len(self.data):
            raise DamageError(f"a member ends at {end}, beyond the {len(self.data)} bytes of the object")
        version = int(_UINT2.unpack_from(self.data, self.place)[0])
        self.place += 2
        return Header(version, end)

    def skip_object(self) -> int:
        """Go past a TObject; returns its bits."""
        self.skip(6)
        bits = self.uint4()
        if bits & _REFERENCED:
            self.skip(2)
        return bits

    def named(self) -> tuple[str, int]:
        """Go past a TNamed with its header; returns its name and bits."""
        end = self.header().end
        bits = self.skip_object()
        name = self.text()
        self.place = end
        return name, bits

    def pointer(self) -> Start | None:
        """Begin an object behind a pointer; None for none, or for one that stood before.

        The place is behind the pointer, where the object's own header stands.
        """
        count = self.uint4()
        if not count & COUNTED or count == _NEW_CLASS:
            if count & CLASS:
                raise DamageError("an object without a count of bytes")
            return None
        end = self.place + (count & ~COUNTED)
        if end > len(self.data):
            raise DamageError(f"an object ends at {end}, beyond the {len(self.data)} bytes")
        at = self.place
        tag = self.uint4()
        if tag == _NEW_CLASS:
            start = self.place
            stop = bytes(self.data[start:end]).find(b"\0")
            if stop < 0:
                raise DamageError("the name of a class has no end")
            kind = str(self.data[start : start + stop], "utf-8", "surrogateescape")
            self.place = start + stop + 1
            self._classes[at + self._before] = kind
        else:
            # Named before; perhaps in a member that nobody looked into.
            kind = self._classes.get(tag & ~CLASS, "")
        return Start(kind, tag == _NEW_CLASS, end)
