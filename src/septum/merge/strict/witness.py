"""A second sum beside the exact one, so plain that it can hold no mistake; the two may differ by rounding only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Witness:
    """Adds vectors of `size` cells in float64, and their absolute values.

    Attributes:
        count: Vectors added.
        total: Their sum.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.total = np.zeros(size)
        # As long as nothing was negative, the sum is that of the absolute values, too.
        self._unsigned: Array | None = None

    @property
    def scale(self) -> Array:
        """The sum of the absolute values, which says how much rounding is."""
        return self.total if self._unsigned is None else self._unsigned

    def add(self, values: Array) -> None:
        """Add one vector of shape (size,)."""
        self.count += 1
        if self._unsigned is None and len(values) and values.min() < 0:
            self._unsigned = self.total.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            self.total += values
            if self._unsigned is not None:
                self._unsigned += np.abs(values)

    def add_sum(self, total: Array, scale: Array, count: int) -> None:
        """Add what another one has added: its sums, in the order of this one."""
        with np.errstate(over="ignore", invalid="ignore"):
            unsigned = self.scale + scale
            self.total = self.total + total
        self._unsigned = None if np.array_equal(self.total, unsigned, equal_nan=True) else unsigned
        self.count += count

    def first_contradiction(self, sums: Array, epsilon: Array | float) -> int | None:
        """The first cell in which other sums of the same vectors differ by more than rounding.

        Args:
            sums: Shape (size,).
            epsilon: The rounding of one addition beside that of float64, in all cells or in each.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            allowed = (self.count + 1) * (np.float64(2.0**-52) + epsilon) * self.scale
            differs = ~(np.abs(sums - self.total) <= allowed)
        # With infinities, NaN, or an overflow on the way there is nothing to compare with.
        differs &= np.isfinite(self.scale)
        return int(np.argmax(differs)) if differs.any() else None
