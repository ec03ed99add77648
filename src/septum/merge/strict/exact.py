"""Sums of many vectors of float64 that are exact until they are rounded, once: every order gives the same bits.

Each cell is an expansion: a few numbers whose exact sum is the cell's (Shewchuk 1997; each addition is Knuth's TwoSum,
which loses nothing). Cells that would overflow on the way are carried as whole numbers of any size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_BLOCK = 1 << 14
"""Cells that are added at a time: small enough for the cache of a core."""
_SMALLEST = 1074
"""The smallest number of float64 is 2**-1074: every number is a whole multiple of it."""
_POSITIVE, _NEGATIVE, _NAN = 1, 2, 4


class ExactSum:
    """The exact sum of vectors of `size` cells.

    Zeros follow IEEE 754: the sum is -0 only if every term is. NaN, or infinities of both signs, give NaN.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # -0 is the number that changes nothing: +0 would turn a sum of -0 into +0.
        self._levels: list[Array] = [np.full(size, -0.0)]
        self._special = np.zeros(size, np.uint8)
        self._wide: dict[int, int] = {}
        self._work = np.empty((4, min(size, _BLOCK)))

    def add(self, values: Array) -> None:
        """Add one vector of shape (size,)."""
        for start in range(0, self.size, _BLOCK):
            self._add_block(start, values[start : start + _BLOCK])

    def _add_block(self, start: int, values: Array) -> None:
        stop = start + len(values)
        first, second, *errors = self._work[:, : len(values)]
        if self._wide:
            values = self._without_wide(start, values)
        with np.errstate(over="ignore", invalid="ignore"):
            np.add(self._levels[0][start:stop], values, out=first)
            whole = math.isfinite(float(first.sum()))
        if not whole:
            values = self._without_special(start, values)
        rest = values
        for level in range(len(self._levels) + 1):
            if level == len(self._levels):
                self._levels.append(np.full(self.size, -0.0))
            total, error = self._levels[level][start:stop], errors[level % 2]
            # Knuth's TwoSum: first + error is exactly total + rest.
            np.add(total, rest, out=first)
            np.subtract(first, total, out=second)
            np.subtract(first, second, out=error)
            np.subtract(total, error, out=error)
            np.subtract(rest, second, out=second)
            np.add(error, second, out=error)
            total[:] = first
            if not error.any():
                break
            rest = error

    def _without_special(self, start: int, values: Array) -> Array:
        """Note infinities and NaN, and carry cells that would overflow as whole numbers; what is left can be added."""
        values = values.copy()
        stop = start + len(values)
        noted = self._special[start:stop]
        noted[values == np.inf] |= _POSITIVE
        noted[values == -np.inf] |= _NEGATIVE
        noted[np.isnan(values)] |= _NAN
        values[~np.isfinite(values)] = -0.0
        with np.errstate(over="ignore"):
            overflowing = ~np.isfinite(self._levels[0][start:stop] + values)
        for cell in np.flatnonzero(overflowing):
            self._wide[start + int(cell)] = sum(_whole(float(level[start + cell])) for level in self._levels)
            for level in self._levels:
                level[start + cell] = -0.0
        return self._without_wide(start, values)

    def _without_wide(self, start: int, values: Array) -> Array:
        here = [cell for cell in self._wide if start <= cell < start + len(values)]
        if not here:
            return values
        values = values.copy()
        for cell in here:
            value = float(values[cell - start])
            if math.isfinite(value):
                self._wide[cell] += _whole(value)
                values[cell - start] = -0.0
        return values

    def merge(self, other: ExactSum) -> None:
        """Add all that another sum of the same size has summed."""
        for level in other._levels:
            self.add(level)
        self._special |= other._special
        for cell, number in other._wide.items():
            held = self._wide.get(cell)
            if held is None:
                held = sum(_whole(float(level[cell])) for level in self._levels)
                for level in self._levels:
                    level[cell] = -0.0
            self._wide[cell] = held + number

    def take(self, start: int, stop: int) -> ExactSum:
        """The sums of some cells, by themselves."""
        taken = ExactSum(stop - start)
        taken._levels = [level[start:stop].copy() for level in self._levels]
        taken._special = self._special[start:stop].copy()
        taken._wide = {cell - start: number for cell, number in self._wide.items() if start <= cell < stop}
        return taken

    def at(self, cells: Index) -> ExactSum:
        """The sums of chosen cells, in the order in which they are chosen."""
        taken = ExactSum(len(cells))
        taken._levels = [level[cells] for level in self._levels]
        taken._special = self._special[cells]
        if self._wide:
            taken._wide = {n: self._wide[cell] for n, cell in enumerate(cells.tolist()) if cell in self._wide}
        return taken

    def times(self, factor: float) -> ExactSum:
        """The sums multiplied by a power of two, with which none of them overflows."""
        self._levels = [level * factor for level in self._levels]
        return self

    def put(self, cells: Index | slice, other: ExactSum) -> None:
        """Write sums where nothing has been added yet: the first of them into the first of `cells`, and so on."""
        while len(self._levels) < len(other._levels):
            self._levels.append(np.full(self.size, -0.0))
        for level, theirs in zip(self._levels, other._levels, strict=False):
            level[cells] = theirs
        self._special[cells] = other._special
        if other._wide:
            places = np.arange(self.size)[cells]
            self._wide.update({int(places[cell]): number for cell, number in other._wide.items()})

    def round(self) -> Array:
        """The sums, each the float64 next to the exact one, ties to even; shape (size,)."""
        return self._rounded()[0]

    def round_single(self) -> npt.NDArray[np.float32]:
        """The sums, each the float32 next to the exact one: not rounded to float64 before."""
        sums, rest = self._rounded()
        # Round to odd: of the two float64 around an inexact sum the odd one keeps the tie from looking like one.
        bits = sums.view(np.uint64)
        moved = np.nextafter(sums, np.where(rest > 0, np.inf, -np.inf))
        odd = np.where((rest != 0) & (bits & np.uint64(1) == 0) & np.isfinite(sums), moved, sums)
        with np.errstate(over="ignore", invalid="ignore"):
            return odd.astype(np.float32)

    def _rounded(self) -> tuple[Array, Array]:
        """The rounded sums, and numbers with the sign of what the exact ones have beyond them."""
        levels = [*self._levels, np.full(self.size, -0.0)]
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in levels[2:]:
                for upper in range(len(levels) - 1, 0, -1):
                    levels[upper - 1], levels[upper] = _two_sum(levels[upper - 1], levels[upper])
            sums, rest = _two_sum(levels[0], levels[1])
        # Where more than two numbers are left, one rounding of a pair is not enough.
        deep = np.any([level != 0 for level in levels[2:]], axis=0) | ~np.isfinite(sums)
        for cell in map(int, np.flatnonzero(deep)):
            sums[cell], rest[cell] = _round_one([float(level[cell]) for level in self._levels])
        for cell, number in self._wide.items():
            sums[cell], rest[cell] = _round_whole(number)
        self._mark_special(sums, rest)
        return sums, rest

    def _mark_special(self, sums: Array, rest: Array) -> None:
        for cell in np.flatnonzero(self._special):
            kinds = int(self._special[cell])
            both = kinds & _NAN or kinds == _POSITIVE | _NEGATIVE
            sums[cell] = math.nan if both else math.inf if kinds & _POSITIVE else -math.inf
            rest[cell] = 0.0

    @property
    def special(self) -> npt.NDArray[np.bool_]:
        """The cells that got an infinity or NaN, shape (size,)."""
        return self._special.astype(np.bool_)

    def state(self) -> dict[str, Any]:
        """All that `from_state` needs: arrays, and plain values."""
        return {
            "levels": np.stack(self._levels),
            "special": self._special,
            "wide": [[cell, str(number)] for cell, number in sorted(self._wide.items())],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> ExactSum:
        """The sum that `state` was taken of."""
        levels = np.asarray(state["levels"], dtype=np.float64)
        made = cls(levels.shape[1])
        made._levels = [level.copy() for level in levels]
        made._special = np.array(state["special"], dtype=np.uint8)
        made._wide = {int(cell): int(number) for cell, number in state["wide"]}
        return made


def _two_sum(one: Array, other: Array) -> tuple[Array, Array]:
    """The rounded sum of two vectors and, exactly, what is lost."""
    total = one + other
    virtual = total - one
    return total, (one - (total - virtual)) + (other - virtual)


def _round_one(terms: list[float]) -> tuple[float, float]:
    try:
        total = math.fsum(terms)
        return total, math.fsum([*terms, -total])
    except OverflowError:
        return _round_whole(sum(map(_whole, terms)))


def _whole(value: float) -> int:
    """A finite number as a multiple of 2**-1074."""
    numerator, denominator = value.as_integer_ratio()
    return (numerator << _SMALLEST) // denominator


def _round_whole(number: int) -> tuple[float, float]:
    # Python divides whole numbers of any size with one rounding, ties to even.
    try:
        total = number / (1 << _SMALLEST)
    except OverflowError:
        return (math.inf if number > 0 else -math.inf), 0.0
    left = number - _whole(total)
    return total, float((left > 0) - (left < 0))
