"""Two histograms: equal, rounded, of one distribution, different, or not to be compared at all."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from septum.compare.binned import CLOSER, compare_histograms
from septum.compare.histograms import Axis, Histogram
from septum.compare.verdicts import Entry, Verdict

PARTS = 400


def spectrum(
    contents: Any, *, sumw2: Any = "poisson", kind: str = "TH1D", axis: Axis | None = None, **more: Any
) -> Histogram:
    """A histogram with empty flow bins around its contents."""
    cells = np.concatenate([[0.0], np.asarray(contents, dtype=float), [0.0]])
    errors = np.abs(cells) if isinstance(sumw2, str) else None if sumw2 is None else np.pad(np.asarray(sumw2, float), 1)
    total = float(np.nansum(cells))
    statistics = {"": total, "2": float(np.nansum(np.abs(cells))), "x": total / 2, "x2": total / 4}
    given = Histogram(
        kind=kind,
        axes=(axis or Axis(bins=len(cells) - 2, low=0.0, high=1.0),),
        cells=cells.astype(np.float32) if kind == "TH1F" else cells.astype(np.int32) if kind == "TH1I" else cells,
        sumw2=errors,
        entries=float(len(cells)),
        statistics=statistics,
    )
    return replace(given, **more)


def compared(here: Histogram, there: Histogram, *, additions: int = PARTS) -> Entry:
    """One against the other, as of a merge of 400 parts."""
    return compare_histograms(here, there, additions=additions)


def scaled(histogram: Histogram, factor: float) -> Histogram:
    """All sums times a factor, as after a change of a weight."""
    squares = None if histogram.sumw2 is None else histogram.sumw2 * factor**2
    statistics = {name: value * (factor**2 if name == "2" else factor) for name, value in histogram.statistics.items()}
    return replace(histogram, cells=histogram.cells * factor, sumw2=squares, statistics=statistics)


COUNTS = [10.0, 200.0, 3000.0, 200.0, 10.0]


# ── identical ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_equal_is_identical() -> None:
    """Nothing else is said."""
    assert compared(spectrum(COUNTS), spectrum(COUNTS)) == Entry(kind="TH1D", verdict=Verdict.IDENTICAL)


def test_nan_is_equal_to_nan() -> None:
    """A weight that was no number stays none, and that is reproducible."""
    one = spectrum([1.0, math.nan, 3.0], sumw2=[1.0, math.nan, 3.0])

    assert compared(one, one).verdict is Verdict.IDENTICAL


def test_nan_is_equal_to_nothing_else() -> None:
    """Not even to statistics."""
    entry = compared(spectrum([1.0, math.nan, 3.0]), spectrum([1.0, 2.0, 3.0]))

    assert (entry.verdict, entry.worst) == (Verdict.DIFFERENT, "bin 2 [0.333333, 0.666667)")
    assert "1 cells differ without errors" in entry.detail


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_is_equal_to_itself_alone(value: float) -> None:
    """And differs from the other one without a warning of numpy."""
    assert compared(spectrum([value, 1.0]), spectrum([value, 1.0])).verdict is Verdict.IDENTICAL
    assert compared(spectrum([value, 1.0]), spectrum([-value, 1.0])).verdict is Verdict.DIFFERENT


def test_errors_that_follow_from_the_contents_need_not_be_stored() -> None:
    """As after hadd of parts of which some had called Sumw2."""
    entry = compared(spectrum(COUNTS), spectrum(COUNTS, sumw2=None))

    assert (entry.verdict, entry.notes) == (Verdict.IDENTICAL, ("only one of them stores its errors",))


def test_titles_are_no_content() -> None:
    """They are noted."""
    entry = compared(spectrum(COUNTS, title="m_{ll}"), spectrum(COUNTS, title="mass"))

    assert (entry.verdict, entry.notes) == (Verdict.IDENTICAL, ("another title",))


def test_edges_may_be_stored_or_computed() -> None:
    """What decides is where the bins are."""
    stored = Axis(bins=4, low=0.0, high=1.0, edges=(0.0, 0.25, 0.5, 0.75, 1.0))
    entry = compared(spectrum([1, 2, 3, 4], axis=stored), spectrum([1, 2, 3, 4]))

    assert entry.verdict is Verdict.IDENTICAL


# ── rounding ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_another_order_of_additions_is_rounding() -> None:
    """Full mantissas of both signs, as from NLO generators, added forwards and in a drawn order."""
    rng = np.random.default_rng(11)
    parts = rng.normal(0.1, 1.0, (PARTS, 1000))
    squares = (parts**2).sum(axis=0)
    sums = [sum(parts[order]) for order in (np.arange(PARTS), rng.permutation(PARTS))]
    assert not np.array_equal(sums[0], sums[1])
    statistics = {"": 40_000.0, "2": float(squares.sum())}
    one, other = (spectrum(values, sumw2=squares, statistics=statistics) for values in sums)
    entry = compared(one, other)

    assert entry.verdict is Verdict.ROUNDING
    assert entry.relative is not None
    assert 0 < entry.relative < 1e-13


def test_single_precision_rounds_earlier() -> None:
    """And the same difference in double precision is none of rounding."""
    one, other = (spectrum([value, 1.0], kind="TH1F", statistics={}) for value in (1000.0, 1000.0001))
    assert one.cells[1] != other.cells[1]

    assert compared(one, replace(other, sumw2=one.sumw2)).verdict is Verdict.ROUNDING
    assert compared(spectrum([1000.0]), spectrum([1000.0001])).verdict is Verdict.COMPATIBLE


def test_a_scale_below_single_precision_shows_in_the_statistics() -> None:
    """A weight that changed by 1e-6 is within the rounding of a TH1F, and not of the sums beside it."""
    one = spectrum(COUNTS, kind="TH1F")

    assert compared(one, scaled(one, 1 + 1e-6)).verdict is Verdict.COMPATIBLE


def test_whole_numbers_have_no_rounding() -> None:
    """Nor have numbers of entries: one event less is no rounding, in whatever type."""
    one = spectrum(COUNTS, kind="TH1I", sumw2=None)
    less = replace(one, cells=one.cells - np.array([0, 0, 0, 1, 0, 0, 0], np.int32), entries=one.entries - 1)

    assert compared(one, less).verdict is Verdict.COMPATIBLE
    assert compared(spectrum(COUNTS), spectrum(COUNTS, entries=8.0)).verdict is Verdict.COMPATIBLE


def test_whole_numbers_beyond_double_precision_are_told_apart() -> None:
    """2**60 and 2**60 + 1 are one number in double precision."""
    one = replace(spectrum([1.0], sumw2=None), kind="TH1L", cells=np.array([0, 2**60, 0]))
    other = replace(one, cells=np.array([0, 2**60 + 1, 0]))

    assert compared(one, other).verdict is Verdict.COMPATIBLE
    assert compared(one, one).verdict is Verdict.IDENTICAL


def test_more_parts_may_round_more() -> None:
    """What is too far for one addition is within reach of 10,000."""
    one, other = spectrum([1.0, 5.0], statistics={}), spectrum([1.0 + 1e-13, 5.0], statistics={})

    assert compared(one, other, additions=1).verdict is Verdict.COMPATIBLE
    assert compared(one, other, additions=10_000).verdict is Verdict.ROUNDING


# ── statistics ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_fluctuations_are_compatible() -> None:
    """With the numbers that say so."""
    entry = compared(spectrum([100.0, 120.0, 90.0]), spectrum([110.0, 110.0, 95.0]))

    assert entry.verdict is Verdict.COMPATIBLE
    assert entry.chi2 == pytest.approx(10**2 / 210 + 10**2 / 230 + 5**2 / 185)
    assert (entry.ndf, entry.worst) == (3, "bin 1 [0, 0.333333)")
    assert entry.pull == pytest.approx(10 / math.sqrt(210))
    assert entry.p_value is not None
    assert entry.p_value > 0.5


def test_a_shifted_peak_is_improbable() -> None:
    """By chi2, by its largest pull, and by its shape."""
    entry = compared(spectrum([10.0, 1000.0, 10.0, 10.0]), spectrum([10.0, 10.0, 1000.0, 10.0]))

    assert entry.p_value is not None
    assert entry.p_value < 1e-100
    assert entry.pull == pytest.approx(990 / math.sqrt(1010))
    assert entry.ks is not None
    assert entry.ks < 1e-100


def test_one_bin_among_thousands_does_not_drown() -> None:
    """The chi2 of 5000 bins hides a pull of seven; the test of the largest pull does not."""
    there = np.full(5000, 100.0)
    here = there.copy()
    here[1234] += 9 * math.sqrt(200)
    entry = compared(spectrum(here), spectrum(there))

    assert entry.chi2 is not None
    assert entry.ndf == 5000
    assert entry.chi2 < 100
    assert entry.p_value is not None
    assert entry.p_value < 1e-6
    assert entry.worst == "bin 1235 [0.2468, 0.247)"


def test_a_weight_that_hides_in_every_bin_shows_in_the_sum() -> None:
    """10 % of 40 bins with an error of 10 % each: chi2 and shape see nothing."""
    there = spectrum([100.0] * 40)
    entry = compared(scaled(there, 1.1), there)

    assert entry.chi2 is not None
    assert entry.chi2 < 40
    assert entry.ks == 1.0
    assert entry.p_value is not None
    assert entry.p_value < 1e-3


def test_content_without_errors_that_differs_is_different() -> None:
    """No division by an error of zero says how much."""
    one, other = spectrum([1.0, 2.0], sumw2=[0.0, 0.0]), spectrum([1.0, 2.5], sumw2=[0.0, 0.0])
    entry = compared(one, other)

    assert (entry.verdict, entry.p_value, entry.ndf) == (Verdict.DIFFERENT, 0.0, 0)
    assert entry.worst == "bin 2 [0.5, 1)"


def test_negative_weights_have_errors_and_no_shape() -> None:
    """A cumulative distribution of negative contents is none."""
    one, other = spectrum([-5.0, 50.0], sumw2=[30.0, 60.0]), spectrum([2.0, 45.0], sumw2=[30.0, 60.0])
    entry = compared(one, other)

    assert (entry.verdict, entry.ks, entry.ndf) == (Verdict.COMPATIBLE, None, 2)
    assert entry.chi2 == pytest.approx(49 / 60 + 25 / 120)


def test_empty_histograms_and_empty_bins() -> None:
    """Empty against empty is identical; empty against a few is chance, against many is not."""
    few, many, none = spectrum([2.0, 0.0]), spectrum([80.0, 0.0]), spectrum([0.0, 0.0])

    assert compared(none, none).verdict is Verdict.IDENTICAL
    entry = compared(few, none)
    assert (entry.verdict, entry.ndf) == (Verdict.COMPATIBLE, 1)
    assert entry.p_value is not None
    assert entry.p_value > 0.1
    lost = compared(none, many).p_value
    assert lost is not None
    assert lost < 1e-12


def test_flow_bins_count() -> None:
    """A cut that moves events out of the range leaves the rest as it was."""
    one, other = spectrum([100.0, 100.0]), spectrum([100.0, 100.0])
    other.cells[-1] = 500.0
    squares = other.variances().copy()
    squares[-1] = 500.0
    entry = compared(one, replace(other, sumw2=squares))

    assert entry.worst == "overflow"
    assert entry.p_value is not None
    assert entry.p_value < 1e-6


def test_huge_numbers_overflow_nothing() -> None:
    """Beyond 1e150 the square of a pull is no number any more."""
    entry = compared(spectrum([1e300, 1.0], sumw2=[1e-300, 1.0]), spectrum([-1e300, 1.0], sumw2=[1e-300, 1.0]))

    assert entry.p_value == 0.0
    assert entry.pull is not None
    assert math.isfinite(entry.pull)


def test_the_same_events_with_another_weight_are_noticed() -> None:
    """Differences are far below the errors, which says that errors are not their measure."""
    one = spectrum([200.0] * 50)
    entry = compared(scaled(one, 1.001), one)

    assert entry.verdict is Verdict.COMPATIBLE
    assert CLOSER in entry.notes
    assert entry.relative == pytest.approx(0.002, rel=0.01)  # of the squared errors


def test_fills_that_are_not_in_bins_yet() -> None:
    """ROOT keeps them in a buffer until the axis is known."""
    one = spectrum([0.0, 0.0], buffer=(2.0, 1.0, 0.3, 1.0, 0.4))

    assert compared(one, one).verdict is Verdict.IDENTICAL
    entry = compared(one, spectrum([0.0, 0.0], buffer=(1.0, 1.0, 0.3)))
    assert (entry.verdict, entry.p_value) == (Verdict.DIFFERENT, 0.0)


# ── structure ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("other", "word"),
    [
        (spectrum(COUNTS, kind="TH1F"), "TH1F"),
        (spectrum([*COUNTS, 1.0]), "5 bins here, 6"),
        (spectrum(COUNTS, axis=Axis(bins=5, low=0.0, high=2.0)), "0 to 2"),
        (spectrum(COUNTS, axis=Axis(bins=5, low=0.0, high=1.0, edges=(0, 0.1, 0.2, 0.3, 0.4, 1))), "6 edges"),
        (spectrum(COUNTS, axis=Axis(bins=5, low=0.0, high=1.0, labels=("a", "b", "c", "d", "e"))), "'a', 'b', 'c', …"),
        (spectrum(COUNTS, marks={"average": 1.0}), "average"),
    ],
)
def test_another_structure_is_named(other: Histogram, word: str) -> None:
    """Class, bins, range, edges, labels, and what its numbers mean."""
    entry = compared(spectrum(COUNTS), other)

    assert entry.verdict is Verdict.STRUCTURE
    assert word in entry.detail


def test_edges_that_differ_by_rounding_are_the_same_edges() -> None:
    """One was computed by another compiler; the contents are then rounding at best."""
    one = spectrum(COUNTS, axis=Axis(bins=5, low=0.0, high=0.1 + 0.2))
    other = spectrum(COUNTS, axis=Axis(bins=5, low=0.0, high=0.3))

    assert compared(one, other).verdict is Verdict.ROUNDING


def test_labels_in_another_order_are_compared_by_name() -> None:
    """Where every bin has a name of its own; it is no identity, since ROOT draws another picture."""
    one = spectrum([1.0, 200.0, 30.0], axis=Axis(bins=3, low=0.0, high=3.0, labels=("all", "trigger", "muons")))
    axis = Axis(bins=3, low=0.0, high=3.0, labels=("muons", "all", "trigger"))
    entry = compared(one, spectrum([30.0, 1.0, 200.0], axis=axis))

    assert (entry.verdict, entry.chi2) == (Verdict.COMPATIBLE, 0.0)
    assert "the labels are in another order" in entry.notes
    assert compared(one, spectrum([1.0, 200.0, 30.0], axis=axis)).p_value == pytest.approx(0, abs=1e-9)


def test_some_labels_in_common_are_not_enough() -> None:
    """Bins without a name cannot be found again."""
    one = spectrum([1.0, 2.0], axis=Axis(bins=2, low=0.0, high=2.0, labels=("a", "")))
    other = spectrum([1.0, 2.0], axis=Axis(bins=2, low=0.0, high=2.0, labels=("", "a")))

    assert compared(one, other).verdict is Verdict.STRUCTURE


# ── more dimensions, profiles ───────────────────────────────────────────────────────────────────────────────────


def plane(cells: Any, **more: Any) -> Histogram:
    """A histogram of two by three bins; cells with flow bins, y first."""
    flat = np.asarray(cells, dtype=float).reshape(-1)
    axes = (Axis(bins=2, low=0.0, high=2.0, labels=("a", "b")), Axis(bins=3, low=0.0, high=3.0))
    return replace(Histogram(kind="TH2D", axes=axes, cells=flat, sumw2=np.abs(flat)), **more)


def test_the_worst_cell_of_a_plane_is_named_by_both_axes() -> None:
    """ROOT counts along x first."""
    there = np.full((5, 4), 100.0)
    here = there.copy()
    here[2, 1] = 400.0  # y bin 2, x bin 1

    assert compared(plane(here), plane(there)).worst == "bin 1 'a' × bin 2 [1, 2)"


def test_labels_of_a_plane_in_another_order() -> None:
    """Only the axis of the labels moves."""
    cells = np.arange(20.0).reshape(5, 4)
    moved = plane(cells[:, [0, 2, 1, 3]])
    axes = (replace(moved.axes[0], labels=("b", "a")), moved.axes[1])
    entry = compared(plane(cells), replace(moved, axes=axes))

    assert (entry.verdict, entry.chi2) == (Verdict.COMPATIBLE, 0.0)


def profile(values: Any, entries: Any, spread: float = 1.0, **more: Any) -> Histogram:
    """A profile with means, numbers of entries and one spread in all bins."""
    means, weights = np.pad(np.asarray(values, float), 1), np.pad(np.asarray(entries, float), 1)
    given = Histogram(
        kind="TProfile",
        axes=(Axis(bins=len(means) - 2, low=0.0, high=1.0),),
        cells=means * weights,
        sumw2=(means**2 + spread**2) * weights,
        weights=weights,
        entries=float(weights.sum()),
    )
    return replace(given, **more)


def test_profiles_are_compared_by_weights_and_means() -> None:
    """Equal, within errors, and beyond them."""
    one = profile([1.0, 2.0], [100, 100])
    shifted = compared(one, profile([1.0, 3.0], [100, 100]))

    assert compared(one, one).verdict is Verdict.IDENTICAL
    assert compared(one, profile([1.05, 1.98], [104, 97])).verdict is Verdict.COMPATIBLE
    assert shifted.worst == "mean in bin 2 [0.5, 1)"
    assert shifted.p_value is not None
    assert shifted.p_value < 1e-9
    assert compared(one, profile([1.0, 2.0], [100, 300])).worst == "bin 2 [0.5, 1)"


def test_the_spread_of_few_entries_is_not_trusted() -> None:
    """Two entries that agree by chance have an error of nearly zero; Student knows."""
    one, other = profile([1.0, 2.0], [3, 100], spread=0.01), profile([1.1, 2.0], [3, 100], spread=0.01)
    few = compared(one, other)
    many = compared(profile([1.0, 2.0], [100, 100], spread=0.01), profile([1.1, 2.0], [100, 100], spread=0.01))

    assert few.pull is not None
    assert many.pull is not None
    assert few.pull < 4
    assert many.pull > 20


def test_one_entry_says_nothing_of_its_error() -> None:
    """Its mean is left out; its weight is compared."""
    entry = compared(profile([1.0], [1], spread=0.0), profile([9.0], [1], spread=0.0))

    assert (entry.verdict, entry.chi2, entry.ndf) == (Verdict.COMPATIBLE, 0.0, 1)


def test_constant_values_that_differ() -> None:
    """As an efficiency of one against zero: chance for two entries, none for fifty."""
    few = compared(profile([1.0], [2], spread=0.0), profile([0.0], [2], spread=0.0)).p_value
    many = compared(profile([1.0], [50], spread=0.0), profile([0.0], [50], spread=0.0)).p_value

    assert few is not None
    assert many is not None
    assert few > 0.05
    assert many < 1e-20


def test_another_error_mode_is_another_structure() -> None:
    """The numbers in the file are the same and mean something else."""
    one = profile([1.0], [10], marks={"error mode": 0.0})

    assert compared(one, replace(one, marks={"error mode": 1.0})).verdict is Verdict.STRUCTURE
