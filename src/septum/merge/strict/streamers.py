"""The streamer information of a file: which members each class wrote, in which order. It comes with every ROOT file."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from septum.merge.strict import codecs
from septum.merge.strict.buffer import COUNTED, Buffer, DamageError, Start
from septum.merge.strict.records import RecordError, RootFile, read_key

_INFO = "TStreamerInfo"
_BASE = "TStreamerBase"


@dataclass(frozen=True, slots=True)
class Element:
    """One member of a class, or one of its bases.

    Attributes:
        name: The member's name; of a base, its class.
        kind: ROOT's number of the member's kind, see `TVirtualStreamerInfo::EReadWrite`.
        type_name: Its type in C++.
        length: Of a fixed array, its elements.
        counter: Of an array behind a pointer, the member that holds its length.
    """

    name: str
    kind: int
    type_name: str
    length: int
    counter: str


Streamers = Mapping[tuple[str, int], tuple[Element, ...]]
"""The members of each class and version."""


def stored_info(file: RootFile) -> bytes:
    """The file's record of streamer information, unpacked, as it stands.

    Raises:
        RecordError: There is none, or it is damaged.
    """
    header = file.header
    if not 0 < header.info_place < header.end or header.info_b <= 0:
        raise RecordError("it has no streamer information")
    key, _ = read_key(file.data, header.info_place)
    if key.stored_b != header.info_b or key.place != header.info_place:
        raise RecordError("its streamer information is not where its header says")
    try:
        return bytes(codecs.unpack(file.stored(key), key.size_b))
    except codecs.BlockError as error:
        raise RecordError(f"its streamer information: {error}") from error


def key_size(file: RootFile) -> int:
    """Bytes of the key before the streamer information, which numbers inside of it count from."""
    return read_key(file.data, file.header.info_place)[0].key_b


def read(info: bytes, key_b: int) -> Streamers:
    """The members of every class that a record describes.

    Args:
        info: As `stored_info` gives it.
        key_b: As `key_size` gives it.

    Raises:
        RecordError: Damaged.
    """
    buffer = Buffer(memoryview(info), key_b)
    found: dict[tuple[str, int], tuple[Element, ...]] = {}
    try:
        _, count = _begin(buffer)
        for _ in range(count):
            start = buffer.pointer()
            if start is not None and start.kind == _INFO:
                key, elements = _info(buffer)
                found[key] = elements
            if start is not None:
                buffer.place = start.end
            buffer.skip(buffer.byte())  # the option of a list's entry
    except (DamageError, struct.error, IndexError, UnicodeDecodeError) as error:
        raise RecordError(f"its streamer information is damaged: {error}") from error
    return found


def _info(buffer: Buffer) -> tuple[tuple[str, int], tuple[Element, ...]]:
    buffer.header()
    name, _ = buffer.named()
    buffer.skip(4)  # the checksum
    version = buffer.int4()
    array = buffer.pointer()
    if array is None:
        return (name, version), ()
    _, count = _begin(buffer)
    buffer.skip(4)  # the lowest index
    elements = []
    for _ in range(count):
        start = buffer.pointer()
        if start is None:
            continue
        elements.append(_element(buffer, start.kind))
        buffer.place = start.end
    return (name, version), tuple(elements)


def _element(buffer: Buffer, kind: str) -> Element:
    # Every kind of element begins with a TStreamerElement of its own header.
    buffer.header()
    end = buffer.header().end
    name, _ = buffer.named()
    number, _, length = buffer.int4(), buffer.int4(), buffer.int4()
    buffer.skip(4 + 5 * 4)  # dimensions
    type_name = buffer.text()
    buffer.place = end
    counter = ""
    if kind in {"TStreamerBasicPointer", "TStreamerLoop"}:
        buffer.skip(4)
        counter = buffer.text()
    return Element(name=name, kind=0 if kind == _BASE else number, type_name=type_name, length=length, counter=counter)


def with_missing(records: Sequence[tuple[bytes, int]]) -> bytes:
    """The first of several records, and behind its classes those that only later ones describe.

    Args:
        records: Each as `stored_info` gives it, with the bytes of its key.

    Raises:
        RecordError: One is damaged.
    """
    first, key_b = records[0]
    known = set(read(first, key_b))
    added = []
    for info, its_key_b in records[1:]:
        for key, entry in _entries(info, its_key_b):
            if key not in known:
                known.add(key)
                added.append(entry)
    if not added:
        return first
    at, count = _begin(Buffer(memoryview(first), key_b))
    return _counted(first[4:at] + struct.pack(">i", count + len(added)) + first[at + 4 :] + b"".join(added))


def behind(info: bytes, key_b: int, new_key_b: int) -> bytes:
    """A record as it must be behind a key of another size.

    Only classes stay then. ROOT has its rules of how members became others, which a record may hold, too, itself.
    """
    if key_b == new_key_b:
        return info
    entries = [entry for _, entry in _entries(info, key_b)]
    at, _ = _begin(Buffer(memoryview(info), key_b))
    return _counted(info[4:at] + struct.pack(">i", len(entries)) + b"".join(entries))


def _begin(buffer: Buffer) -> tuple[int, int]:
    """The place of the number of entries of a list, and that number; the place is behind it then."""
    buffer.header()
    buffer.skip_object()
    buffer.text()
    return buffer.place, buffer.int4()


def _entries(info: bytes, key_b: int) -> Iterator[tuple[tuple[str, int], bytes]]:
    """Every class and version of a record, with its entry in the list in bytes that can stand anywhere."""
    buffer = Buffer(memoryview(info), key_b)
    _, count = _begin(buffer)
    for _ in range(count):
        start = buffer.pointer()
        if start is not None and start.kind == _INFO:
            begin = buffer.place
            key, _ = _info(buffer)
            buffer.place = begin
            yield key, _pointed(start, _free_info(buffer, info, start.end)) + b"\0"
        if start is not None:
            buffer.place = start.end
        buffer.skip(buffer.byte())


def _free_info(buffer: Buffer, info: bytes, end: int) -> bytes:
    """A TStreamerInfo whose elements name their classes themselves, and do not refer to where one was named before."""
    begin = buffer.place + 4
    buffer.header()
    buffer.named()
    buffer.skip(8)  # checksum and version
    head = info[begin : buffer.place]
    array = buffer.pointer()
    if array is None:
        return _counted(info[begin:end])
    begin = buffer.place + 4
    _, count = _begin(buffer)
    buffer.skip(4)  # the lowest index
    body = [info[begin : buffer.place]]
    for _ in range(count):
        start = buffer.pointer()
        if start is None:
            body.append(bytes(4))
            continue
        body.append(_pointed(start, info[buffer.place : start.end]))
        buffer.place = start.end
    return _counted(head + _pointed(array, _counted(b"".join(body))) + info[array.end : end])


def _pointed(start: Start, data: bytes) -> bytes:
    return _counted(b"\xff\xff\xff\xff" + start.kind.encode("utf-8", "surrogateescape") + b"\0" + data)


def _counted(data: bytes) -> bytes:
    return struct.pack(">I", COUNTED | len(data)) + data
