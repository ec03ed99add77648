"""The sum that `policies: {sums: plain}` asks for: one addition after the other, in ROOT's own arithmetic."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from septum.merge.strict.shape import Shape

Array = npt.NDArray[np.float64]


class PlainSum:
    """What hadd gets: a TH1F is added in float32, everything else in float64, in the order of `add`.

    Whole numbers are added exactly; `saturation` decides what becomes of those that their type cannot hold.
    """

    def __init__(self, shape: Shape) -> None:
        self._single = [slice(slots.start, slots.stop) for slots in shape.slots if slots.numbers.letter == "f"]
        self._total = np.full(shape.size, -0.0)

    def add(self, values: Array) -> None:
        """Add the numbers of the next part, shape (size,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._total += values
            for here in self._single:
                # Both are float32 already, so this is one rounding of their exact sum, as in ROOT.
                self._total[here] = self._total[here].astype(np.float32)

    def round(self) -> Array:
        """The sums, shape (size,)."""
        return self._total.copy()

    def round_single(self) -> npt.NDArray[np.float32]:
        """The same in float32."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._total.astype(np.float32)
