"""Histograms as values, and what a reader wants to know of one: its yield, its flow bins, its cut flow. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_CUTFLOW = re.compile(r"cut[_\- ]?flow", re.IGNORECASE)
_UNIT = re.compile(r"\[([^\[\]]{1,12})\]\s*$")
_DECADES = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axis:
    """One axis: `edges` of shape (n_bins + 1,); `labels` by bin where the axis has names, else empty."""

    title: str
    edges: Array
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histogram:
    """One histogram or profile.

    Attributes:
        result: The name of the result that it stands in.
        path: Its path there.
        kind: Its class in ROOT.
        title: Its title.
        axes: One, two or three.
        y_title: Of the axis of the contents.
        values: Contents without flow bins, one dimension an axis; for a profile the means.
        errors: Of the same shape.
        entries: As ROOT counted them.
        under, over: Content of the flow bins of a one-dimensional histogram; of others, all flow is in `over`.
        profile: Whether the contents are means.
    """

    result: str
    path: str
    kind: str
    title: str
    axes: tuple[Axis, ...]
    y_title: str = ""
    values: Array
    errors: Array
    entries: float
    under: float = 0.0
    over: float = 0.0
    profile: bool = False

    @property
    def dimension(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def x_title(self) -> str:
        """The title of the first axis, else that of the histogram."""
        return self.axes[0].title or self.title

    @property
    def total(self) -> tuple[float, float] | None:
        """The integral without flow bins and its error; None for a profile."""
        if self.profile:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            return float(self.values.sum()), math.sqrt(max(float((self.errors**2).sum()), 0.0))

    @property
    def spans_decades(self) -> bool:
        """Whether only a logarithmic scale shows all of it: positive everywhere it is not empty, over three decades."""
        filled = self.values[np.isfinite(self.values) & (self.values != 0)]
        if self.profile or len(filled) < 2 or (filled < 0).any():  # noqa: PLR2004 - a span has two ends
            return False
        return bool(filled.max() / filled.min() >= _DECADES)

    @property
    def variable_bins(self) -> bool:
        """Whether the bins of an axis differ in width."""
        return any(not axis.labels and not evenly_spaced(axis.edges) for axis in self.axes)

    @property
    def is_cutflow(self) -> bool:
        """Whether it is to be read as a table of steps."""
        if self.dimension != 1 or self.profile:
            return False
        return bool(self.axes[0].labels) or bool(_CUTFLOW.search(self.path.rsplit("/", 1)[-1]))

    def per_bin(self) -> str:
        """The title of the axis of the contents, such as `Events / 2 GeV`."""
        if self.y_title or self.profile:
            return self.y_title
        axis = self.axes[0]
        if axis.labels:
            return "Events"
        if self.variable_bins:
            return "Events / bin"
        unit = _UNIT.search(self.x_title)
        width = float(axis.edges[1] - axis.edges[0])
        return f"Events / {width:.3g}{' ' + unit[1] if unit else ''}"


def evenly_spaced(edges: Array) -> bool:
    """Whether all bins have one width."""
    widths = np.diff(edges)
    return bool(np.allclose(widths, widths[0], rtol=1e-6, atol=0))


def same_axes(one: Histogram, other: Histogram) -> bool:
    """Whether two histograms can be drawn on top of each other."""
    return (
        one.profile == other.profile
        and len(one.axes) == len(other.axes)
        and all(
            len(left.edges) == len(right.edges)
            and bool(np.allclose(left.edges, right.edges, rtol=1e-9, atol=0))
            and left.labels == right.labels
            for left, right in zip(one.axes, other.axes, strict=True)
        )
    )


MAX_BINS = 400
"""More bins along an axis than a drawing has points for."""


def joined(histogram: Histogram) -> tuple[Histogram, int]:
    """A histogram with so many neighbouring bins put together that it can be drawn, and how many those are.

    Raises:
        ValueError: A profile, whose means cannot be put together.
    """
    count = len(histogram.axes[0].edges) - 1
    if histogram.dimension != 1 or count <= MAX_BINS:
        return histogram, 1
    if histogram.profile:
        raise ValueError(f"a profile of {count} bins has more of them than can be drawn")
    step = -(-count // MAX_BINS)
    starts = np.arange(0, count, step)
    edges = np.append(histogram.axes[0].edges[starts], histogram.axes[0].edges[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.add.reduceat(histogram.values, starts)
        errors = np.sqrt(np.add.reduceat(histogram.errors**2, starts))
    axis = Axis(title=histogram.axes[0].title, edges=edges)
    return replace(histogram, axes=(axis,), values=values, errors=errors), step


# ── yields ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """The integral of a histogram, and that of the reference where there is one."""

    result: str
    path: str
    value: float
    error: float
    reference: tuple[float, float] | None = None

    @property
    def change(self) -> float | None:
        """The relative difference to the reference; None without one, or where it is zero."""
        if self.reference is None or self.reference[0] == 0 or not math.isfinite(self.reference[0]):
            return None
        return self.value / self.reference[0] - 1

    @property
    def pull(self) -> float | None:
        """The difference over its error, as if both were independent; None where there is no error."""
        if self.reference is None:
            return None
        sigma = math.hypot(self.error, self.reference[1])
        return (self.value - self.reference[0]) / sigma if sigma > 0 and math.isfinite(sigma) else None


def yields(histograms: Sequence[Histogram], references: Mapping[tuple[str, str], Histogram]) -> list[Yield]:
    """All integrals: the largest differences to the reference first, then in the order given.

    Those of profiles and of cut flows mean nothing, and are left out.
    """
    found = []
    for item in histograms:
        total = item.total
        if total is None or item.is_cutflow:
            continue
        other = references.get((item.result, item.path))
        against = other.total if other is not None else None
        found.append(Yield(result=item.result, path=item.path, value=total[0], error=total[1], reference=against))
    return sorted(found, key=_distance, reverse=True)


def _distance(item: Yield) -> float:
    if item.reference is None or item.value == item.reference[0]:
        return 0.0
    pull = item.pull
    return math.inf if pull is None or math.isnan(pull) else abs(pull)


# ── cut flows ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One bin of a cut flow; the efficiencies are None where there is nothing to divide by."""

    label: str
    value: float
    error: float
    absolute: float | None
    relative: float | None
    reference: float | None


def cutflow(histogram: Histogram, reference: Histogram | None) -> tuple[list[Step], bool]:
    """The steps of a cut flow, and whether it falls from step to step.

    Efficiencies are given only where it does: of categories side by side they would mean nothing.
    """
    axis = histogram.axes[0]
    values, errors = histogram.values, histogram.errors
    count = len(values)
    while count > 1 and values[count - 1] == 0 and not (axis.labels and axis.labels[count - 1]):
        count -= 1
    falling = values[0] > 0 and bool(np.all(np.diff(values[:count]) <= 1e-9 * abs(values[0])))
    others = reference.values if reference is not None and same_axes(histogram, reference) else None
    steps = []
    for bin_, value in enumerate(values[:count]):
        before = values[bin_ - 1] if bin_ else value
        steps.append(
            Step(
                label=(axis.labels[bin_] if axis.labels else "")
                or f"{axis.edges[bin_]:.6g} to {axis.edges[bin_ + 1]:.6g}",
                value=float(value),
                error=float(errors[bin_]),
                absolute=float(value / values[0]) if falling else None,
                relative=float(value / before) if falling and before > 0 else None,
                reference=None if others is None else float(others[bin_]),
            )
        )
    return steps, falling
