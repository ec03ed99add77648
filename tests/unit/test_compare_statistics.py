"""The tests tested: p-values that are uniform where nothing is wrong, and as many false alarms as were asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from septum.compare.binned import compare_histograms
from septum.compare.histograms import Axis, Histogram
from septum.compare.results import decide
from septum.compare.statistics import (
    Array,
    as_normal,
    as_permutation,
    counts_differ,
    kolmogorov,
    kolmogorov_binned,
    pulls,
    rejected,
    smallest,
    together,
)
from septum.compare.verdicts import Entry, Verdict

TOYS = 500


def filled(rng: np.random.Generator, events: int, bins: int, *, weighted: bool) -> Histogram:
    """A falling spectrum, with the weights of a generator if asked for."""
    values = rng.exponential(0.3, rng.poisson(events))
    weights = rng.normal(1.0, 0.4, len(values)) if weighted else np.ones(len(values))
    edges = np.linspace(0, 1, bins + 1)
    where = np.searchsorted(edges, values, side="right")
    cells, squares = (np.bincount(where, weights=w, minlength=bins + 2)[: bins + 2] for w in (weights, weights**2))
    return Histogram(
        kind="TH1D",
        axes=(Axis(bins=bins, low=0.0, high=1.0),),
        cells=cells,
        sumw2=squares.astype(np.float64),
        entries=len(values),
    )


@pytest.mark.parametrize("weighted", [False, True], ids=["counts", "weights"])
def test_p_values_of_chi2_are_uniform(weighted: bool) -> None:  # noqa: FBT001
    """500 pairs of spectra of one distribution, about 30 to 1000 events in a bin."""
    rng = np.random.default_rng(20)
    p_values = []
    for _ in range(TOYS):
        one, other = (filled(rng, 5000, 20, weighted=weighted) for _ in range(2))
        found = pulls(one.cells, other.cells, one.variances() + other.variances(), same=one.cells == other.cells)
        p_values.append(together(found).p_chi2)

    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert 0.02 * TOYS <= sum(p < 0.05 for p in p_values) <= 0.09 * TOYS


def test_p_values_of_single_values_are_uniform() -> None:
    """Kolmogorov and Smirnov without bins, on samples of different sizes."""
    rng = np.random.default_rng(21)
    p_values = [kolmogorov(rng.normal(size=800), rng.normal(size=1200), 800, 1200) for _ in range(TOYS)]

    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_the_largest_pull_is_corrected_for_where_it_may_be() -> None:
    """In 500 pairs of 100 bins, the largest pull is as improbable as it says."""
    rng = np.random.default_rng(22)
    normal = rng.normal(size=(TOYS, 100))
    true = np.ones(100, dtype=bool)
    found = [together(pulls(row, np.zeros(100), np.ones(100), same=~true)).p_pull for row in normal]

    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_student_s_pulls_become_normal() -> None:
    """Means of five entries with the error that these five show."""
    rng = np.random.default_rng(23)
    samples = rng.normal(size=(20_000, 5))
    raw = samples.mean(axis=1) / (samples.std(axis=1, ddof=1) / math.sqrt(5))
    normal = as_normal(raw, np.full(len(raw), 4.0))

    assert stats.kstest(2 * stats.norm.sf(normal), "uniform").pvalue > 0.01
    assert np.abs(raw).max() > 9 > normal.max()


def false_alarms(rng: np.random.Generator, runs: int, objects: int, *, events: int, significance: float) -> int:
    """How many of so many comparisons call an object different, where all are of one distribution."""
    alarms = 0
    for _ in range(runs):
        entries = [
            compare_histograms(
                filled(rng, events, 20, weighted=True), filled(rng, events, 20, weighted=True), additions=1
            )
            for _ in range(objects)
        ]
        decided = decide(entries, significance=significance)
        alarms += any(entry.verdict is Verdict.DIFFERENT for entry in decided)
    return alarms


def test_the_rate_of_false_alarms_is_the_one_asked_for() -> None:
    """100 comparisons of ten spectra at 20 %: that there are three tests of each adds no alarm."""
    alarms = false_alarms(np.random.default_rng(24), 100, 10, events=3000, significance=0.2)

    # Not 20: chi2 and the largest pull know of each other, and bins make the test of the shape cautious.
    assert 4 <= alarms <= 26


def test_few_events_give_fewer_alarms_not_more() -> None:
    """Two or three events in a bin, where pulls are not normal."""
    alarms = false_alarms(np.random.default_rng(25), 60, 10, events=40, significance=0.2)

    assert alarms <= 18


def test_profiles_of_few_entries_give_no_alarms_of_their_own() -> None:
    """Whether a muon was found, in bins with a handful of muons: spreads of zero are the rule there."""
    rng = np.random.default_rng(26)
    alarms = 0
    for _ in range(200):
        pair = []
        for _ in range(2):
            weights = rng.poisson(4.0, 22).astype(float)
            found = rng.binomial(weights.astype(int), 0.9).astype(float)
            pair.append(
                Histogram(
                    kind="TProfile",
                    axes=(Axis(bins=20, low=0, high=1),),
                    cells=found,
                    sumw2=found.copy(),
                    weights=weights,
                )
            )
        (entry,) = decide([compare_histograms(*pair, additions=1)], significance=0.05)
        alarms += entry.verdict is Verdict.DIFFERENT

    assert alarms <= 20


def test_a_real_difference_is_found_in_spite_of_the_correction() -> None:
    """One spectrum of a thousand with three times the background in its tail."""
    rng = np.random.default_rng(27)
    fine = [Entry(verdict=Verdict.COMPATIBLE, p_value=float(p)) for p in rng.uniform(size=999)]
    one, other = filled(rng, 5000, 20, weighted=False), filled(rng, 5000, 20, weighted=False)
    other.cells[-4:] *= 1.5
    bad = compare_histograms(one, other, additions=1)
    decided = decide([*fine, bad], significance=0.001)

    assert [entry.verdict is Verdict.DIFFERENT for entry in decided] == [False] * 999 + [True]


def test_holm_s_correction() -> None:
    """The smallest is held against all, the next against one less; after the first that passes, all do."""
    p_values = [0.03, 0.0001, 0.9, 0.013, 0.0126]

    assert rejected(p_values, objects=5, significance=0.05) == [False, True, False, False, False]
    assert rejected([0.01, 0.0125], objects=2, significance=0.025) == [True, True]
    assert rejected([0.0125, 0.0125], objects=2, significance=0.0249) == [False, False]
    assert rejected([1e-5], objects=1000, significance=0.001) == [False]
    assert rejected([], objects=0, significance=0.001) == []


def test_several_tests_of_one_object_are_corrected_for() -> None:
    """And no p-value is larger than one."""
    assert smallest([0.01, 0.5, 0.9]) == pytest.approx(0.03)
    assert smallest([0.7, 0.9]) == 1.0
    assert smallest([]) == 1.0


def test_two_counts() -> None:
    """Poisson numbers of one mean, and nothing against nothing."""
    assert counts_differ(100, 130) == pytest.approx(2 * stats.norm.sf(30 / math.sqrt(230)))
    assert counts_differ(0, 0) == 1.0
    assert counts_differ(0, 5000) < 1e-100


def test_clean_separation_is_as_improbable_as_its_permutations() -> None:
    """Three of one kind and three of another: one of twenty ways to draw three of six."""
    pull = as_permutation(np.array([3.0]), np.array([3.0]))

    assert stats.norm.sf(pull[0]) == pytest.approx(1 / 20)


@pytest.mark.parametrize("empty", [np.zeros(0), np.array([])])
def test_nothing_is_tested_without_values(empty: Array) -> None:
    """No division by zero."""
    nothing = pulls(empty, empty, empty, same=empty == 0)

    assert (together(nothing).chi2, together(nothing).p_chi2, together(nothing).p_pull) == (0.0, 1.0, 1.0)
    assert kolmogorov(empty, np.ones(3), 0, 3) == 1.0


def test_nan_counts_as_the_smallest_value() -> None:
    """So that a share of values that went missing shows."""
    good = np.linspace(0, 1, 1000)
    holes = np.where(np.arange(1000) % 4 == 0, math.nan, good)

    assert kolmogorov(good, good, 1000, 1000) == 1.0
    assert kolmogorov(holes, good, 1000, 1000) < 1e-6
    assert kolmogorov(holes, holes, 1000, 1000) == 1.0


def test_shape_alone_knows_no_normalisation() -> None:
    """Twice the luminosity has the same shape."""
    shape = np.array([1.0, 5.0, 20.0, 4.0])

    assert kolmogorov_binned(shape, 2 * shape, 30, 60) == 1.0
