"""The comparison of two histograms or profiles: equality first, rounding second, statistics last. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from septum.compare.histograms import Axis, Histogram
from septum.compare.rounding import allowed, closeness, equal
from septum.compare.statistics import (
    Array,
    Pulls,
    as_normal,
    as_permutation,
    join,
    kolmogorov_binned,
    pulls,
    smallest,
    together,
)
from septum.compare.verdicts import Entry, Verdict

_ONE_ENTRY = 1.0 + 1e-6
"""Up to so many equivalent entries, nothing is known of the spread in a bin."""
_SHOWN_LABELS = 3
_CLOSER = 1e-6
CLOSER = "closer than independent samples are"
"""The note of an object whose samples seem to share their events, so that the tests see less than they could."""


def compare_histograms(here: Histogram, there: Histogram, *, additions: int) -> Entry:
    """Compare two histograms.

    Args:
        here: The new one, and
        there: that of the reference.
        additions: How many parts they were added from, at most; 1 where nobody knows.

    Returns:
        The entry, without a name. `compatible` is a proposal: the p-values of all objects decide.
    """
    if difference := _other_structure(here, there):
        return Entry(kind=here.kind, verdict=Verdict.STRUCTURE, detail=difference)
    there, moved = _in_order_of(here, there)
    notes = _notes(here, there)
    if moved:
        notes += ("the labels are in another order",)
    exact_axes = not moved and all(map(_same_edges_exactly, here.axes, there.axes))
    if exact_axes and _is_equal(here, there):
        return Entry(kind=here.kind, verdict=Verdict.IDENTICAL, notes=notes)
    one, other = here.sums(additions), there.sums(additions)
    relative, fits = closeness(one, other)
    if fits and not moved and here.buffer == there.buffer and _same_entries(here, there):
        return Entry(kind=here.kind, verdict=Verdict.ROUNDING, relative=relative, notes=notes)
    tested = _by_statistics(here, there, additions)
    return replace(tested, relative=relative, notes=(*notes, *tested.notes))


# ── structure ───────────────────────────────────────────────────────────────────────────────────────────────────


def _other_structure(here: Histogram, there: Histogram) -> str:
    """How the structures differ, in one line; empty if they do not."""
    if here.kind != there.kind:
        return f"{here.kind} here, {there.kind} in the reference"
    for letter, one, other in zip("xyz", here.axes, there.axes, strict=False):
        if difference := _other_axis(one, other):
            return f"{letter}-axis: {difference}"
    for name in sorted({*here.marks, *there.marks}):
        if here.marks.get(name) != there.marks.get(name):
            return f"{name}: {here.marks.get(name)} here, {there.marks.get(name)} in the reference"
    if len(here.cells) != len(there.cells) or len(here.cells) != math.prod(here.shape):
        return f"{len(here.cells)} cells here, {len(there.cells)} in the reference, axes for {math.prod(here.shape)}"
    return ""


def _other_axis(one: Axis, other: Axis) -> str:
    if one.bins != other.bins:
        return f"{one.bins} bins here, {other.bins} in the reference"
    if not _same_edges(one, other):
        return f"other edges: {_edges(one)} here, {_edges(other)} in the reference"
    if one.labels != other.labels and not _same_labels(one, other):
        return f"other labels: {_labels(one)} here, {_labels(other)} in the reference"
    return ""


def _edges(axis: Axis) -> str:
    return f"{axis.low:.6g} to {axis.high:.6g}" + (f", {len(axis.edges)} edges" if axis.edges else "")


def _labels(axis: Axis) -> str:
    named = [label for label in axis.labels or () if label]
    shown = ", ".join(repr(label) for label in named[:_SHOWN_LABELS])
    return f"{shown}{', …' if len(named) > _SHOWN_LABELS else ''}" if named else "none"


def _same_edges_exactly(one: Axis, other: Axis) -> bool:
    return (one.low, one.high, one.edges) == (other.low, other.high, other.edges) or bool(
        np.array_equal(one.all_edges(), other.all_edges())
    )


def _same_edges(one: Axis, other: Axis) -> bool:
    """Whether the edges are equal within rounding of the width of a bin."""
    if _same_edges_exactly(one, other):
        return True
    first, second = one.all_edges(), other.all_edges()
    if len(first) != len(second) or not np.isfinite(first).all() or not np.isfinite(second).all():
        return False
    return bool((np.abs(first - second) <= allowed(np.float64, 4) * np.abs(first).max()).all())


def _same_labels(one: Axis, other: Axis) -> bool:
    """Whether both name every bin, each once, by the same names."""
    if one.labels is None or other.labels is None or len(set(one.labels)) != one.bins or "" in one.labels:
        return False
    return sorted(one.labels) == sorted(other.labels)


def _in_order_of(here: Histogram, there: Histogram) -> tuple[Histogram, bool]:
    """The reference with its bins in the order of our labels, and whether that moved any."""
    moved = False
    for number, (one, other) in enumerate(zip(here.axes, there.axes, strict=True)):
        if one.labels is None or other.labels is None or one.labels == other.labels:
            continue
        place = {label: position + 1 for position, label in enumerate(other.labels)}
        order = np.array([0, *(place[label] for label in one.labels), other.bins + 1])
        there = _reordered(there, len(there.axes) - 1 - number, order)
        moved = True
    return there, moved


def _reordered(histogram: Histogram, dimension: int, order: npt.NDArray[np.int64]) -> Histogram:
    def take(values: Any) -> Any:
        if values is None or len(values) != len(histogram.cells):
            return values
        return np.take(values.reshape(histogram.shape), order, axis=dimension).ravel()

    return replace(
        histogram,
        cells=take(histogram.cells),
        sumw2=take(histogram.sumw2),
        weights=take(histogram.weights),
        weights2=take(histogram.weights2),
    )


# ── equality ────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_equal(here: Histogram, there: Histogram) -> bool:
    if here.statistics.keys() != there.statistics.keys() or here.buffer != there.buffer:
        return False
    pairs: Sequence[tuple[Any, Any]] = (
        (here.cells, there.cells),
        (here.variances(), there.variances()),
        ([here.entries], [there.entries]),
        ([*here.statistics.values()], [there.statistics[name] for name in here.statistics]),
        (here.weights, there.weights),
        (here.weight_variances(), there.weight_variances()),
    )
    return all(equal(one, other) for one, other in pairs)


def _same_entries(here: Histogram, there: Histogram) -> bool:
    """Whether the numbers of fills agree; whole numbers must be equal, sums of weights may be rounded."""
    if float(here.entries).is_integer() and float(there.entries).is_integer():
        return here.entries == there.entries
    return math.isclose(here.entries, there.entries, rel_tol=1e-9)


def _notes(here: Histogram, there: Histogram) -> tuple[str, ...]:
    notes = []
    if here.entries != there.entries and not (math.isnan(here.entries) and math.isnan(there.entries)):
        notes.append(f"{here.entries:.12g} entries here, {there.entries:.12g} in the reference")
    if (here.sumw2 is None) != (there.sumw2 is None):
        notes.append("only one of them stores its errors")
    if here.title != there.title:
        notes.append("another title")
    if [axis.title for axis in here.axes] != [axis.title for axis in there.axes]:
        notes.append("other titles of the axes")
    return tuple(notes)


# ── statistics ──────────────────────────────────────────────────────────────────────────────────────────────────


def _by_statistics(here: Histogram, there: Histogram, additions: int) -> Entry:
    """Test whether two histograms could be samples of one distribution."""
    found = _pulls(here, there, additions)
    tests = together(found)
    p_values = [tests.p_chi2, tests.p_pull, _yields_differ(here, there)]
    shape = _shape_test(here, there)
    if shape is not None:
        p_values.append(shape)
    unexplained = int(found.unexplained.sum())
    worst = int(found.unexplained.argmax()) if unexplained else tests.worst
    notes = (CLOSER,) if tests.chi2 > 0 and tests.p_closer < _CLOSER else ()
    details = []
    if unexplained:
        details.append(f"{unexplained} cells differ without errors that could explain it")
    if here.buffer != there.buffer:
        details.append("they hold fills that are not in bins yet, and that differ")
    return Entry(
        kind=here.kind,
        verdict=Verdict.DIFFERENT if details else Verdict.COMPATIBLE,
        detail="; ".join(details),
        pull=tests.pull,
        chi2=tests.chi2,
        ndf=tests.ndf,
        p_value=0.0 if details else smallest(p_values),
        ks=shape,
        worst=_place(here, worst) if unexplained or tests.pull else "",
        notes=notes,
    )


def _yields_differ(here: Histogram, there: Histogram) -> float:
    """The p-value of the sums of both: a weight that changed by 10 % may hide in the errors of every single bin."""
    if here.weights is not None and there.weights is not None:
        values, variances = (here.weights, there.weights), (here.weight_variances(), there.weight_variances())
    else:
        values, variances = (here.cells, there.cells), (here.variances(), there.variances())
    with np.errstate(all="ignore"):
        first, second = (each.astype(np.float64).sum(keepdims=True) for each in values)
        variance = variances[0].sum(keepdims=True) + variances[1].sum(keepdims=True)
    return together(pulls(first, second, variance, same=np.ones(1, dtype=bool))).p_chi2


def _pulls(here: Histogram, there: Histogram, additions: int) -> Pulls:
    if here.weights is None or there.weights is None:
        return _content_pulls(here.cells, there.cells, here.variances(), there.variances(), additions)
    weights = _content_pulls(here.weights, there.weights, here.weight_variances(), there.weight_variances(), additions)
    return join(weights, _mean_pulls(here, there, additions))


def _content_pulls(
    here: npt.NDArray[Any], there: npt.NDArray[Any], variance: Array, there_variance: Array, additions: int
) -> Pulls:
    with np.errstate(all="ignore"):
        both = variance + there_variance
        scale = np.maximum(np.maximum(np.abs(here), np.abs(there)), np.sqrt(np.abs(both)))
        apart = np.abs(here - there.astype(np.float64))
        close = np.isfinite(apart) & (apart <= allowed(here.dtype, additions) * scale)
    first, second = here.astype(np.float64), there.astype(np.float64)
    same = (here == there) | (np.isnan(first) & np.isnan(second)) | close
    return pulls(first, second, both, same=same)


def _mean_pulls(here: Histogram, there: Histogram, additions: int) -> Pulls:
    """Compare the means in the bins of two profiles, with errors estimated from the few entries of each bin."""
    mean, variance, events = _means(here)
    there_mean, there_variance, there_events = _means(there)
    with np.errstate(all="ignore"):
        scale = np.maximum(np.abs(mean), np.abs(there_mean))
        # A mean that nothing fell into, or whose spread nobody can know, is not compared; its weight has been.
        known = (events > _ONE_ENTRY) & (there_events > _ONE_ENTRY)
        apart = np.abs(mean - there_mean)
        close = np.isfinite(apart) & (apart <= 8 * allowed(np.float64, additions) * scale)
        both = np.where(known, variance + there_variance, 0.0)
        found = pulls(mean, there_mean, both, same=~known | close | (mean == there_mean))
        # Welch and Satterthwaite.
        freedom = both**2 / (variance**2 / (events - 1) + there_variance**2 / (there_events - 1))
        normal = np.where(found.tested, as_normal(found.values, np.nan_to_num(freedom, nan=1.0, posinf=1e9)), 0.0)
    # No spread on either side, as where an efficiency is 1 here and 0 there: it may be chance if there are few entries.
    constant = found.unexplained & np.isfinite(mean) & np.isfinite(there_mean)
    normal = np.where(constant, as_permutation(events, there_events), normal)
    return Pulls(values=normal, tested=found.tested | constant, unexplained=found.unexplained & ~constant)


def _means(profile: Histogram) -> tuple[Array, Array, Array]:
    """Means, the squares of their errors, and the equivalent entries in the bins of a profile."""
    weights = profile.weights if profile.weights is not None else np.zeros_like(profile.cells)
    with np.errstate(all="ignore"):
        mean = np.where(weights != 0, profile.cells / weights, 0.0)
        spread = np.abs(np.where(weights != 0, profile.variances() / weights, 0.0) - mean**2)
        # What is left of a spread of zero after rounding.
        spread = np.where(spread <= 64 * np.finfo(np.float64).eps * mean**2, 0.0, spread)
        squares = profile.weight_variances()
        events = np.where(squares > 0, weights**2 / np.where(squares > 0, squares, 1.0), 0.0)
        # The spread in a bin is smaller than that of the distribution: it is around the mean of its own few entries.
        variance = np.where(events > _ONE_ENTRY, spread / np.where(events > _ONE_ENTRY, events - 1, 1.0), 0.0)
    return mean, variance, events


def _shape_test(here: Histogram, there: Histogram) -> float | None:
    """Kolmogorov and Smirnov's test, for one axis with an order and contents that are numbers of something."""
    axis, cells, there_cells = here.axes[0], here.cells.astype(np.float64), there.cells.astype(np.float64)
    if len(here.axes) > 1 or here.weights is not None or axis.labels is not None:
        return None
    if not (np.isfinite(cells).all() and np.isfinite(there_cells).all()):
        return None
    squares, there_squares = here.variances().sum(), there.variances().sum()
    if min(cells.min(), there_cells.min()) < 0 or min(cells.sum(), there_cells.sum(), squares, there_squares) <= 0:
        return None
    with np.errstate(all="ignore"):
        events, there_events = cells.sum() ** 2 / squares, there_cells.sum() ** 2 / there_squares
    if not (math.isfinite(events) and math.isfinite(there_events)):
        return None
    return kolmogorov_binned(cells, there_cells, float(events), float(there_events))


def _place(histogram: Histogram, index: int) -> str:
    """Where a cell is; the second half of a profile's values are its means."""
    number = index % len(histogram.cells)
    places = np.unravel_index(number, histogram.shape)[::-1]
    text = " × ".join(axis.describe(int(place)) for axis, place in zip(histogram.axes, places, strict=True))
    return f"mean in {text}" if index >= len(histogram.cells) else text
