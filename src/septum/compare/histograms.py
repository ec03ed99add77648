"""Histograms and profiles as values. Pure.

Arrays are flat and hold the flow bins, as ROOT numbers its cells: x runs fastest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from septum.compare.rounding import Sums
from septum.compare.statistics import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis: `edges` is empty when all bins are equally wide, `labels` is None or has one text for each bin."""

    bins: int
    low: float
    high: float
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] | None = None
    title: str = ""

    def all_edges(self) -> Array:
        """The edges of all bins, shape (bins + 1,); computed as ROOT does where they are not stored."""
        if self.edges or self.bins < 1:
            return np.asarray(self.edges or (self.low, self.high), dtype=np.float64)
        return np.float64(self.low) + np.arange(self.bins + 1) * np.float64((self.high - self.low) / self.bins)

    def describe(self, number: int) -> str:
        """A bin by its number in ROOT's counting, 0 and bins + 1 are the flow bins."""
        if number == 0:
            return "underflow"
        if number > self.bins:
            return "overflow"
        if self.labels is not None and self.labels[number - 1]:
            return f"bin {number} {self.labels[number - 1]!r}"
        edges = self.all_edges()
        return f"bin {number} [{edges[number - 1]:.6g}, {edges[number]:.6g})"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histogram:
    """A histogram or a profile.

    Attributes:
        kind: Its class.
        title: Its title.
        axes: One to three.
        cells: What ROOT calls the array: contents, or sums of weighted values of a profile.
        sumw2: The sums of the squares that go with them; None if none are stored.
        weights: Of a profile, the sums of weights in each bin, and
        weights2: of their squares; None if none are stored.
        entries: The number of fills.
        statistics: The sums that mean and RMS are made from, by ROOT's names without `fTsumw`.
        buffer: Fills that have not been put into bins yet.
        marks: What must be equal beside the axes, by name: averages, error mode, limits of a profile.
    """

    kind: str
    title: str = ""
    axes: tuple[Axis, ...]
    cells: npt.NDArray[Any]
    sumw2: Array | None = None
    weights: Array | None = None
    weights2: Array | None = None
    entries: float = 0.0
    statistics: Mapping[str, float] = field(default_factory=dict)
    buffer: tuple[float, ...] = ()
    marks: Mapping[str, float] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells of each axis, the slowest first."""
        return tuple(axis.bins + 2 for axis in reversed(self.axes))

    def variances(self) -> Array:
        """The squares of the errors: as stored, or as ROOT takes them when none are."""
        return np.abs(self.cells.astype(np.float64)) if self.sumw2 is None else self.sumw2

    def weight_variances(self) -> Array:
        """The same for the weights of a profile."""
        weights = self.weights if self.weights is not None else np.zeros(0)
        return np.abs(weights) if self.weights2 is None else self.weights2

    def sums(self, additions: int) -> Sums:
        """Everything that is a sum, with the scale on which sums may differ by rounding."""
        sums = Sums(additions)
        # Errors that follow from the contents are rounded as these are.
        squares = np.abs(self.cells) if self.sumw2 is None else self.sumw2
        with np.errstate(all="ignore"):
            if self.weights is None:
                sums.add(self.cells, np.sqrt(np.abs(squares.astype(np.float64))))
            else:
                sums.add(self.cells, np.sqrt(np.abs(self.weights * squares)))
                sums.add(self.weights, np.sqrt(np.abs(self.weight_variances())))
                sums.add(self.weight_variances())
        sums.add(squares)
        names = sorted(self.statistics)
        sums.add(np.array([self.statistics[name] for name in names]), np.array([self._scale(name) for name in names]))
        return sums

    def _scale(self, name: str) -> float:
        """How large a statistic could be without cancellation, about: weights times powers of the coordinates."""
        if name in {"", "2"}:
            return math.sqrt(abs(self.statistics.get("2", 0.0))) if not name else 0.0
        weight = max(abs(self.statistics.get("", 0.0)), math.sqrt(abs(self.statistics.get("2", 0.0))))
        reach = {letter: max(abs(axis.low), abs(axis.high)) for letter, axis in zip("xyz", self.axes, strict=False)}
        letters = [letter for letter in name if letter.isalpha()]
        for letter in letters:
            if letter not in reach:  # the value of a profile
                reach[letter] = math.sqrt(abs(self.statistics.get(f"{letter}2", 0.0)) / weight) if weight else 0.0
        power = 2 if len(letters) == 1 and name.endswith("2") else 1
        scale = weight * math.prod(reach[letter] ** power for letter in letters)
        return scale if math.isfinite(scale) else 0.0
