"""Equality, and equality within the rounding of sums. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_ULPS = 4
"""Units in the last place that one addition, and what came before it, may be off."""


def equal(here: Any, there: Any) -> bool:
    """Whether two arrays are equal number by number; NaN equals NaN. Two that are not there are equal, too."""
    if here is None or there is None:
        return here is None and there is None
    first, second = np.asarray(here), np.asarray(there)
    if first.shape != second.shape or first.dtype.kind != second.dtype.kind:
        return False
    if first.dtype.kind in "fc":
        return bool(np.array_equal(first, second, equal_nan=True))
    return bool(np.array_equal(first, second))


def allowed(dtype: Any, additions: int) -> float:
    """How far apart sums in another order may be, relative to their scale; 0 for whole numbers."""
    kind = np.dtype(dtype)
    return _ULPS * max(1, additions) * float(np.finfo(kind).eps) if kind.kind == "f" else 0.0


class Sums:
    """Arrays of sums, each with the scale on which rounding counts.

    The sum of terms of both signs may be much smaller than they are, and is rounded as they are: its error, √Σw², says
    how large they were at least.

    Args:
        additions: How many additions lie behind each number.
    """

    def __init__(self, additions: int) -> None:
        self._additions = additions
        self.arrays: list[tuple[npt.NDArray[Any], npt.NDArray[np.float64], float]] = []

    def add(self, values: npt.NDArray[Any], scale: npt.NDArray[np.float64] | None = None) -> None:
        """Take in an array, and the scale of each of its numbers where that is larger than the number."""
        floor = np.zeros(len(values)) if scale is None else np.nan_to_num(scale, nan=0.0, posinf=0.0)
        self.arrays.append((values, floor, allowed(values.dtype, self._additions)))


def closeness(here: Sums, there: Sums, *, coarser: float = 1.0) -> tuple[float | None, bool]:
    """How far apart sums are.

    Args:
        here: The new ones, and
        there: those of the reference.
        coarser: How many times as coarse their last place was before they were read into this type.

    Returns:
        The largest difference relative to its scale, None if there is none that is a number; and whether all
        differences can be rounding.
    """
    largest, fits = 0.0, True
    for (one, floor, tolerance), (other, other_floor, other_tolerance) in zip(here.arrays, there.arrays, strict=True):
        if len(one) != len(other):
            return None, False
        first, second = one.astype(np.float64), other.astype(np.float64)
        with np.errstate(all="ignore"):
            same = (one == other) | (np.isnan(first) & np.isnan(second))
            scale = np.maximum(np.maximum(np.abs(first), np.abs(second)), np.maximum(floor, other_floor))
            relative = np.where(same, 0.0, np.abs(first - second) / scale)
        if not np.isfinite(relative).all():
            fits = False
            relative = relative[np.isfinite(relative)]
        if len(relative):
            most = float(relative.max())
            within = most <= coarser * max(tolerance, other_tolerance)
            # Whole numbers have no rounding, even where two of them are one number in double precision.
            largest, fits = (
                max(largest, most),
                fits and within and (bool(same.all()) or tolerance + other_tolerance > 0),
            )
    return (largest if math.isfinite(largest) and largest > 0 else None), fits
