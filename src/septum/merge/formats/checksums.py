"""Checksums that add up modulo 2**64: of rows, whatever block or file they stand in. Not against forgery.

A row has a checksum of 64 bits; that of a column is the sum over its rows, so those of the parts add up to that of the
merged file. A lost, doubled or changed row shows, and so does a value that has moved to another row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

NULL = np.uint64(0x9E3779B97F4A7C15)
"""The checksum of a row without a value."""
_ONE, _TWO = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_STEP = np.uint64(0xD6E8FEB86659FD93)
_WORDS = {8: np.uint64, 4: np.uint32, 2: np.uint16, 1: np.uint8}


def mix(words: Words) -> Words:
    """Numbers whose bits all depend on all bits of `words`, same shape (the finalizer of SplitMix64)."""
    words = (words ^ (words >> np.uint64(30))) * _ONE
    words = (words ^ (words >> np.uint64(27))) * _TWO
    return words ^ (words >> np.uint64(31))


def of_values(array: npt.NDArray[np.generic]) -> Words:
    """The checksums of the rows of an array of plain values.

    Args:
        array: Shape (rows, ...), of numbers or bytes of fixed length.

    Returns:
        Shape (rows,).
    """
    rows, width = len(array), array.nbytes // max(1, len(array))
    if not rows or not width:
        return np.full(rows, NULL)
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(rows, width)
    size = next(size for size in _WORDS if width % size == 0)
    words = raw.view(_WORDS[size])
    total = np.zeros(rows, np.uint64)
    for number in range(words.shape[1]):
        total += _placed(words[:, number].astype(np.uint64), _only(number))
    return mix(total)


def of_lists(elements: Words, offsets: npt.NDArray[np.int64]) -> Words:
    """The checksums of lists of different lengths.

    Args:
        elements: The checksums of the elements of all lists, one list after the other.
        offsets: Where each list begins and, one more, the last one ends; shape (rows + 1,), not before 0.

    Returns:
        Shape (rows,).
    """
    return _summed(_placed(elements[offsets[0] : offsets[-1]], _places(offsets).astype(np.uint64)), offsets)


def of_texts(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Words:
    """The checksums of texts, like those of lists of their bytes and ten times as fast; the arguments as there."""
    places = _places(offsets)
    longest = int(np.diff(offsets).max(initial=0))
    factors = mix(np.arange(1, longest + 1, dtype=np.uint64)) | np.uint64(1)
    used = data[offsets[0] : offsets[-1]].astype(np.uint64)
    return _summed((used + np.uint64(1)) * factors[places], offsets)


def _places(offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The place of every element in its own list."""
    return np.arange(offsets[0], offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def _summed(elements: Words, offsets: npt.NDArray[np.int64]) -> Words:
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(elements, dtype=np.uint64)])
    here = offsets - offsets[0]
    return mix(running[here[1:]] - running[here[:-1]] + np.diff(offsets).astype(np.uint64) * NULL)


def _placed(words: Words, places: Words) -> Words:
    """The checksums of elements at places of their rows: the same value elsewhere has another one."""
    return mix(words + (places + np.uint64(1)) * _STEP)


def _only(place: int) -> Words:
    """One place for all: an array, since numpy warns of numbers that run over, and not of arrays."""
    return np.array([place], np.uint64)


def of_objects(items: Iterable[bytes]) -> Words:
    """The checksums of rows that are objects of any length, as bytes."""
    return np.fromiter((of_bytes(item) for item in items), np.uint64)


def of_bytes(item: bytes) -> int:
    """The checksum of one object."""
    return int.from_bytes(hashlib.blake2b(item, digest_size=8).digest(), "little")


def combined(columns: Iterable[Words], rows: int) -> Words:
    """The checksums of whole rows, of those of their columns, in order; shape (rows,)."""
    total = np.zeros(rows, np.uint64)
    for number, column in enumerate(columns):
        total += _placed(column, _only(number))
    return mix(total)


def total(words: Words) -> int:
    """The sum modulo 2**64."""
    return int(words.sum(dtype=np.uint64))


def of_cells(cells: npt.NDArray[np.generic], start: int = 0) -> int:
    """A checksum of whole numbers that adds up when cells are added: the sum of each times a number of its place.

    Args:
        cells: Shape (cells,), whole numbers.
        start: The place of the first one.
    """
    # Odd, so that no bit of a cell is without effect.
    factors = mix(np.arange(start + 1, start + 1 + len(cells), dtype=np.uint64)) | np.uint64(1)
    return int((cells.astype(np.uint64) * factors).sum(dtype=np.uint64))
