"""The tests: pulls and chi2 of binned values with errors, Kolmogorov-Smirnov, and what many tests at once mean. Pure.

All of them take the two samples as independent. If both hold the same events, differences are smaller than the errors
say, so p-values come out too large: a test may then miss something, and raises no false alarm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_LEAST = 1e-300
"""Below this, a p-value is as good as zero, and its quantile would be infinite."""
_SQRT2 = math.sqrt(2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulls:
    """How far apart two sets of values are.

    Attributes:
        values: Differences in units of their errors, shape (n,); 0 where there is nothing to compare.
        tested: Which of them count.
        unexplained: Which values differ though neither has an error, or one is no number, or infinite.
    """

    values: Array
    tested: npt.NDArray[np.bool_]
    unexplained: npt.NDArray[np.bool_]


def pulls(here: Array, there: Array, variance: Array, *, same: npt.NDArray[np.bool_]) -> Pulls:
    """Divide differences by their errors.

    Args:
        here: Values, shape (n,), and
        there: those of the reference.
        variance: The variances of the differences: the sum of both where the samples are independent.
        same: Which values are equal within rounding.

    Returns:
        The pulls. No error is divided by where there is none.
    """
    with np.errstate(all="ignore"):
        usable = np.isfinite(here) & np.isfinite(there) & np.isfinite(variance) & (variance > 0)
        values = np.where(usable, (here - there) / np.sqrt(np.where(usable, variance, 1.0)), 0.0)
        # Differences beyond the range of a double are far beyond any error.
        values = np.nan_to_num(values, nan=0.0, posinf=1e150, neginf=-1e150).clip(-1e150, 1e150)
    return Pulls(values=values, tested=usable, unexplained=~usable & ~same)


def join(*parts: Pulls) -> Pulls:
    """Several sets of pulls as one."""
    return Pulls(
        values=np.concatenate([part.values for part in parts]),
        tested=np.concatenate([part.tested for part in parts]),
        unexplained=np.concatenate([part.unexplained for part in parts]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Binned:
    """What the pulls say together.

    Attributes:
        chi2: Their squares' sum, over
        ndf: as many values.
        p_chi2: The probability of a larger one, and
        p_closer: of a smaller one.
        pull: The largest.
        p_pull: The probability of a larger one anywhere among them.
        worst: Which value that is.
    """

    chi2: float
    ndf: int
    p_chi2: float
    p_closer: float
    pull: float
    p_pull: float
    worst: int


def together(found: Pulls) -> Binned:
    """Test pulls all together and the largest by itself: one bin that moved drowns in a chi2 of thousands."""
    from scipy import special

    size = np.abs(found.values)
    chi2, ndf = float((size**2).sum()), int(found.tested.sum())
    worst = int(size.argmax()) if len(size) else 0
    pull = float(size[worst]) if len(size) else 0.0
    one = float(special.erfc(pull / _SQRT2))
    # 1 - (1 - p)^n, exact for small p.
    anywhere = -math.expm1(ndf * math.log1p(-one)) if one < 1.0 and ndf else 1.0
    return Binned(
        chi2=chi2,
        ndf=ndf,
        p_chi2=float(special.gammaincc(ndf / 2, chi2 / 2)) if ndf else 1.0,
        p_closer=float(special.gammainc(ndf / 2, chi2 / 2)) if ndf else 1.0,
        pull=pull,
        p_pull=anywhere,
        worst=worst,
    )


def as_normal(pull: Array, freedom: Array) -> Array:
    """Pulls whose errors come from few entries themselves, as normal ones of the same probability.

    Args:
        pull: Differences in units of estimated errors, shape (n,); of Student's distribution.
        freedom: The degrees of freedom of each estimate.
    """
    from scipy import special

    probability = special.stdtr(np.maximum(freedom, 1e-3), -np.abs(pull))
    return np.asarray(-special.ndtri(np.clip(probability, _LEAST, 0.5)), dtype=np.float64)


def as_permutation(here_events: Array, there_events: Array) -> Array:
    """Two constant samples of different values, as normal pulls: how seldom a draw from both together is that clean.

    Args:
        here_events: The number of entries in each, shape (n,), and
        there_events: those of the reference.
    """
    from scipy import special

    first, second = np.maximum(here_events, 1.0), np.maximum(there_events, 1.0)
    ways = special.gammaln(first + second + 1) - special.gammaln(first + 1) - special.gammaln(second + 1)
    probability = np.exp(-np.nan_to_num(ways, nan=0.0, posinf=1e3))
    return np.asarray(-special.ndtri(np.clip(probability, _LEAST, 0.5)), dtype=np.float64)


def kolmogorov_binned(here: Array, there: Array, here_events: float, there_events: float) -> float:
    """The p-value of the largest distance of two cumulative histograms.

    Args:
        here: Bin contents in the order of the axis, none negative, and
        there: those of the reference; neither sums up to zero.
        here_events: The equivalent number of events, (Σw)²/Σw², and
        there_events: that of the reference.

    Returns:
        The p-value; too large rather than too small, since bins hide distances.
    """
    return _kolmogorov(
        float(np.abs(np.cumsum(here) / here.sum() - np.cumsum(there) / there.sum()).max()), here_events, there_events
    )


def kolmogorov(here: Array, there: Array, here_events: float, there_events: float) -> float:
    """The same for single values; NaN counts as the smallest of all. 1 where one side has none."""
    if not len(here) or not len(there):
        return 1.0
    first, second = (np.sort(np.where(np.isnan(values), -np.inf, values)) for values in (here, there))
    both = np.concatenate([first, second])
    distance = np.abs(
        np.searchsorted(first, both, side="right") / len(first)
        - np.searchsorted(second, both, side="right") / len(second)
    ).max()
    return _kolmogorov(float(distance), here_events, there_events)


def _kolmogorov(distance: float, here_events: float, there_events: float) -> float:
    from scipy import special

    events = here_events * there_events / (here_events + there_events)
    return float(special.kolmogorov(math.sqrt(events) * distance)) if math.isfinite(events) else 1.0


def counts_differ(here: float, there: float) -> float:
    """The p-value of two numbers of events from the same mean."""
    return math.erfc(abs(here - there) / math.sqrt(here + there) / _SQRT2) if here + there > 0 else 1.0


def smallest(p_values: Sequence[float]) -> float:
    """The smallest of several p-values of one object, corrected for their number."""
    return min(1.0, len(p_values) * min(p_values)) if p_values else 1.0


def rejected(p_values: Sequence[float], *, objects: int, significance: float) -> list[bool]:
    """Which p-values are too small, after Holm's correction for the number of objects.

    Args:
        p_values: Of the objects that a test was needed for.
        objects: The number of all objects compared; those that are equal count as tested, too.
        significance: The probability that one object or more is rejected by chance.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    verdicts = [False] * len(p_values)
    for rank, index in enumerate(order):
        if p_values[index] > significance / (max(objects, len(p_values)) - rank):
            break
        verdicts[index] = True
    return verdicts
