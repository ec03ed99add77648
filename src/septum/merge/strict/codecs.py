"""The compressed blocks of ROOT files: ZLIB, LZ4, ZSTD and LZMA, read and written.

A record is stored as it is, or as blocks of at most 16 MiB, each with nine bytes before it: two letters, the method,
and both sizes in three bytes, smallest first (ROOT's R__zip).
"""

from __future__ import annotations

import functools
import lzma
import zlib
from collections.abc import Callable
from typing import Any

HEADER_B = 9
BLOCK_B = 0xFFFFFF
_LZ4_SUM_B = 8
_LZMA_B = 256 << 20
"""What a block may ask for to be unpacked; ROOT's highest level needs 65 MiB."""

Unpack = Callable[[Any, int], Any]


class BlockError(ValueError):
    """A block is damaged, or of a kind that is not known."""


@functools.cache
def _unzip() -> Unpack:
    """What inflates: libdeflate, twice as fast as zlib, where there is a wheel of it."""
    try:
        import deflate
    except ImportError:
        return _un_zlib
    inflate: Unpack = deflate.zlib_decompress
    return inflate


def _un_zlib(block: Any, size: int) -> Any:
    inflating = zlib.decompressobj()
    data = inflating.decompress(block, size + 1)
    if not inflating.eof:
        # The checksum stands at the end: without it, nothing is known of the rest.
        raise BlockError("a block is longer than it says, or cut off")
    return data


def _un_lz4(block: Any, size: int) -> Any:
    import cramjam
    import xxhash

    packed = block[_LZ4_SUM_B:]
    if xxhash.xxh64_digest(packed) != bytes(block[:_LZ4_SUM_B]):
        raise BlockError("the checksum of an LZ4 block does not fit its bytes")
    return cramjam.lz4.decompress_block(packed, output_len=size)


def _un_zstd(block: Any, size: int) -> Any:
    import cramjam

    # Into memory of the right size: by itself, the decoder believes the block how much comes out of it.
    data = bytearray(size)
    made = cramjam.zstd.decompress_into(block, data)
    return data if made == size else data[:made]


def _un_lzma(block: Any, size: int) -> Any:
    return lzma.LZMADecompressor(memlimit=_LZMA_B).decompress(bytes(block), max_length=size + 1)


_UNPACK: dict[bytes, Callable[[], Unpack]] = {
    b"ZL": _unzip,
    b"L4": lambda: _un_lz4,
    b"ZS": lambda: _un_zstd,
    b"XZ": lambda: _un_lzma,
}


def unpacker(letters: bytes) -> Unpack:
    """The function that unpacks one block, given without its nine bytes, to a known size.

    Raises:
        BlockError: The letters are not known.
    """
    try:
        return _UNPACK[letters]()
    except KeyError:
        raise BlockError(f"blocks of the kind {letters!r} cannot be read") from None


def unpack(stored: memoryview, size: int) -> Any:
    """Unpack a record's content.

    Args:
        stored: The bytes in the file, without the key.
        size: How many bytes come out.

    Returns:
        Something with the buffer interface, `size` bytes long.

    Raises:
        BlockError: Damaged.
    """
    if len(stored) == size:
        return stored
    pieces, place, made = [], 0, 0
    while place < len(stored):
        head = bytes(stored[place : place + HEADER_B])
        if len(head) < HEADER_B:
            raise BlockError("a block is cut off")
        packed, whole = int.from_bytes(head[3:6], "little"), int.from_bytes(head[6:9], "little")
        block = stored[place + HEADER_B : place + HEADER_B + packed]
        made += whole
        if len(block) != packed or made > size:
            raise BlockError("the sizes of the blocks do not fit the record")
        pieces.append(_unpack_block(head[:2], block, whole))
        place += HEADER_B + packed
    if made != size:
        raise BlockError(f"{made} bytes came out of the blocks, {size} were recorded")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _unpack_block(letters: bytes, block: memoryview, size: int) -> Any:
    try:
        data = unpacker(letters)(block, size)
    except BlockError:
        raise
    except Exception as error:  # each library has errors of its own
        raise BlockError(f"a block cannot be unpacked: {type(error).__name__}: {error}") from error
    if len(data) != size:
        raise BlockError(f"{len(data)} bytes came out of a block, {size} were recorded")
    return data


def pack(data: bytes, setting: int) -> bytes:
    """Pack a record's content as ROOT would.

    Args:
        data: The content.
        setting: ROOT's fCompress: a hundred times the algorithm, plus the level; 0 stores.

    Returns:
        The blocks; the content itself where they would not be smaller.
    """
    algorithm, level = divmod(setting, 100)
    if not level or not data:
        return data
    # 0 is the global default of old files and 3 the old algorithm, which nobody should write any more: ZLIB.
    letters, method, squeeze = _PACK.get(algorithm, _PACK[1])
    blocks = []
    for start in range(0, len(data), BLOCK_B):
        piece = data[start : start + BLOCK_B]
        packed = squeeze(piece, min(level, 9))
        if len(packed) >= len(piece):
            return data
        sizes = len(packed).to_bytes(3, "little") + len(piece).to_bytes(3, "little")
        blocks.append(letters + method + sizes + packed)
    packed_all = b"".join(blocks)
    return packed_all if len(packed_all) < len(data) else data


def _lz4(data: bytes, level: int) -> bytes:
    import cramjam
    import xxhash

    # Levels above 3 are LZ4's slow mode, as in ROOT.
    if level > 3:  # noqa: PLR2004
        packed = bytes(cramjam.lz4.compress_block(data, mode="high_compression", compression=level, store_size=False))
    else:
        packed = bytes(cramjam.lz4.compress_block(data, store_size=False))
    return xxhash.xxh64_digest(packed) + packed


def _zstd(data: bytes, level: int) -> bytes:
    import cramjam

    return bytes(cramjam.zstd.compress(data, level=2 * level))  # as ROOT does


_PACK: dict[int, tuple[bytes, bytes, Callable[[bytes, int], bytes]]] = {
    1: (b"ZL", b"\x08", zlib.compress),
    2: (b"XZ", b"\x00", lambda data, level: lzma.compress(data, check=lzma.CHECK_CRC32, preset=level)),
    4: (b"L4", b"\x01", _lz4),
    5: (b"ZS", b"\x01", _zstd),
}
