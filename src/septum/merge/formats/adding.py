"""Adds arrays cell by cell: whole numbers never overflow, the others are rounded once. The order does not matter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from septum.errors import StructureError
from septum.merge.formats.checksums import of_cells
from septum.merge.strict.exact import ExactSum
from septum.merge.summary import ObjectSummary

Cells = npt.NDArray[Any]

CELLS_AT_ONCE = 1 << 20
"""Cells whose sums are in memory at the same time: for more, the sources are read again."""
_MOST_CELLS = 1 << 25
_WIDTHS = {"i": {1, 2, 4, 8}, "u": {1, 2, 4, 8}, "f": {4, 8}, "c": {8, 16}}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of one array, whose sums are in memory together with those of other stretches.

    Attributes:
        name: The array.
        start: Its first row here.
        stop: One past the last.
        cells: How many cells these rows have.
    """

    name: str
    start: int
    stop: int
    cells: int


def passes(arrays: Iterable[tuple[str, int, int]]) -> list[list[Stretch]]:
    """What is added in each pass over the sources: no more cells than fit into memory.

    Args:
        arrays: Name, rows, and cells in a row of every array that is added.

    Returns:
        All rows of all arrays, in order; one pass at least, which may be empty.
    """
    found: list[list[Stretch]] = [[]]
    left = CELLS_AT_ONCE
    for name, rows, width in arrays:
        start = 0
        while start < rows and width:
            if left < width and found[-1]:
                found.append([])
                left = CELLS_AT_ONCE
            stop = min(rows, start + max(1, left // width))
            found[-1].append(Stretch(name, start, stop, (stop - start) * width))
            left -= (stop - start) * width
            start = stop
    return found


class CellSum(Protocol):
    """The sum of many arrays of one type and shape."""

    def add(self, cells: Cells) -> None:
        """Add the cells of one source, shape (cells,)."""

    def result(self, name: str) -> Cells:
        """The sum in the type of the cells.

        Raises:
            StructureError: The type cannot hold it.
        """


class IntegerSum:
    """The sum of arrays of whole numbers, each carried in two halves that cannot run over."""

    def __init__(self, dtype: np.dtype[Any], size: int) -> None:
        self._dtype = dtype
        self._low = np.zeros(size, np.uint64)
        self._high = np.zeros(size, np.int64)

    def add(self, cells: Cells) -> None:
        """Add the cells of one source, shape (cells,)."""
        low = cells.astype(np.uint64) & np.uint64(0xFFFFFFFF)
        self._low += low
        # The halves of an unsigned number are not negative; of a signed one, the upper half carries the sign.
        if self._dtype.kind == "u":
            self._high += (cells.astype(np.uint64) >> np.uint64(32)).astype(np.int64)
        else:
            self._high += cells.astype(np.int64) >> np.int64(32)

    def result(self, name: str) -> Cells:
        """The sum in the type of the cells.

        Raises:
            StructureError: The type cannot hold it.
        """
        high = self._high + (self._low >> np.uint64(32)).astype(np.int64)
        low = self._low & np.uint64(0xFFFFFFFF)
        limits = np.iinfo(self._dtype)
        top, bottom = divmod(int(limits.max), 1 << 32), divmod(int(limits.min), 1 << 32)
        above = (high > top[0]) | ((high == top[0]) & (low > top[1]))
        below = (high < bottom[0]) | ((high == bottom[0]) & (low < bottom[1]))
        if (wrong := above | below).any():
            cell = int(np.argmax(wrong))
            raise StructureError(
                f"{name}: the sum runs over what {self._dtype.name} can hold",
                evidence=f"cell {cell}: {(int(high[cell]) << 32) + int(low[cell])}, "
                f"the limits are {limits.min} and {limits.max}",
                fix="write these counts with a wider type, such as int64",
            )
        return (high.astype(np.uint64) << np.uint64(32) | low).astype(self._dtype)


class FloatSum:
    """The exact sum of arrays of numbers with a fraction, rounded once to their type; of complex ones, by halves."""

    def __init__(self, dtype: np.dtype[Any], size: int) -> None:
        self._dtype = dtype
        self._sum = ExactSum(size * (2 if dtype.kind == "c" else 1))

    def add(self, cells: Cells) -> None:
        """Add the cells of one source, shape (cells,)."""
        self._sum.add(as_numbers(cells))

    def result(self, name: str) -> Cells:
        """The sum in the type of the cells.

        Raises:
            StructureError: The type cannot hold it.
        """
        single = self._dtype.itemsize == (8 if self._dtype.kind == "c" else 4)
        cells: Cells = self._sum.round_single() if single else self._sum.round()
        if not (finite := np.isfinite(cells)).all():
            raise StructureError(
                f"{name}: the sum runs over what {self._dtype.name} can hold",
                evidence=f"cell {int(np.argmin(finite))}",
                fix="write these numbers as float64" if single else "look at the numbers: they are next to infinity",
            )
        return (cells.view(f"c{2 * cells.itemsize}") if self._dtype.kind == "c" else cells).astype(self._dtype)


def cell_sum(dtype: np.dtype[Any], size: int) -> CellSum:
    """An empty sum for so many cells of a type that `is_number` knows."""
    return IntegerSum(dtype, size) if dtype.kind in "iu" else FloatSum(dtype, size)


def is_number(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of this type are added; others must be equal."""
    return dtype.kind in _WIDTHS


def check_addable(name: str, dtype: np.dtype[Any], cells: int) -> None:
    """Look whether an array of numbers can be added exactly, within the memory there is.

    Raises:
        StructureError: It cannot.
    """
    if dtype.itemsize not in _WIDTHS[dtype.kind]:
        raise StructureError(f"{name}: {dtype.name} cannot be added exactly", fix="write it as float64, or as float32")
    if cells > _MOST_CELLS:
        raise StructureError(
            f"{name}: {cells} cells are too many to be added",
            evidence=f"at most {_MOST_CELLS} cells of one array are held in memory",
            fix="write events as a table (Parquet, or an HDF5 dataset that grows), and histograms with fewer cells",
        )


def as_numbers(cells: Cells) -> npt.NDArray[np.float64]:
    """Cells as float64, shape (cells,); a complex one is two."""
    if cells.dtype.kind == "c":
        return cells.astype(np.complex128).view(np.float64)
    return cells.astype(np.float64)


def summarize_cells(
    name: str, kind: str, structure: str, dtype: np.dtype[Any], cells: int, blocks: Iterable[Cells]
) -> ObjectSummary:
    """Sum up an array that is added.

    Args:
        name: How messages name it.
        kind: How the report calls it.
        structure: What must be equal, as text.
        dtype: Its type; `check_addable` has seen it.
        cells: How many there are.
        blocks: All cells, each block of shape (cells,).

    Raises:
        StructureError: A cell is NaN or infinite.
    """
    width = 2 if dtype.kind == "c" else 1
    content = np.empty(cells * width)
    count = check = start = 0
    for block in blocks:
        numbers = as_numbers(block)
        if not (finite := np.isfinite(numbers)).all():
            raise StructureError(
                f"{name} holds NaN or infinity, and so would every sum",
                evidence=f"cell {start + int(np.argmin(finite)) // width}",
                fix="find out which event gives such a number, and leave it out or count it apart",
            )
        content[start * width : (start + len(block)) * width] = numbers
        if dtype.kind in "iu":
            count += int(block.sum(dtype=object)) if dtype.itemsize == 8 else int(block.sum(dtype=np.int64))  # noqa: PLR2004
            check += of_cells(block, start)
        start += len(block)
    if dtype.kind in "iu":
        return ObjectSummary(kind, structure, float(count), content, 0.0, {"cells": check % 2**64})
    single = dtype.itemsize == 4 * width
    return ObjectSummary(kind, structure, 0.0, content, 2.0**-23 if single else 2.0**-52)
