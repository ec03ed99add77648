"""Sums that do not know the order of their terms: equal to exact arithmetic, rounded once."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from septum.merge.strict.exact import ExactSum

Array = npt.NDArray[np.float64]
LARGEST = float(np.finfo(np.float64).max)
TINY = 5e-324
NASTY = [
    *(0.0, -0.0, 1.0, -1.0, TINY, -TINY, 2.2250738585072014e-308, 1e-310, 1e16, -1e16, 1e300, -1e300),
    *(LARGEST, -LARGEST, 2.0**-53, 1 + 2.0**-52, 0.1, -0.1, 1 / 3, 2.0**53, -(2.0**53), 2.0**53 + 2),
]


def _exactly(terms: list[float], digits: int = 53) -> float:
    """The sum by whole numbers, rounded once to so many binary digits, ties to even: no line of the code tested."""
    total = sum((Fraction(term) for term in terms), Fraction())
    if total == 0:
        return -0.0 if all(math.copysign(1, term) < 0 for term in terms) else 0.0
    smallest, largest = (-1074, 1023) if digits == 53 else (-149, 127)
    size = abs(total)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > size
    unit = Fraction(2) ** max(exponent - digits + 1, smallest)
    steps, rest = divmod(size, unit)
    steps += rest * 2 > unit or (rest * 2 == unit and steps % 2 == 1)
    rounded = steps * unit
    value = math.inf if rounded >= Fraction(2) ** (largest + 1) else float(rounded)
    return value if total > 0 else -value


def _sum(vectors: list[Array]) -> ExactSum:
    made = ExactSum(len(vectors[0]))
    for vector in vectors:
        made.add(vector)
    return made


def _same(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> bool:
    return one.tobytes() == other.tobytes()


@pytest.mark.parametrize("seed", range(6))
def test_every_order_gives_the_sum_rounded_once(seed: int) -> None:
    """Nasty and ordinary numbers of all sizes, in several orders and in several heaps."""
    draw = random.Random(seed)
    cells, terms = 300, 40
    rows = [
        [draw.choice(NASTY) if draw.random() < 0.3 else draw.gauss(0, 1) * 10.0 ** draw.randint(-30, 30)
         for _ in range(cells)]
        for _ in range(terms)
    ]  # fmt: skip
    vectors = [np.array(row) for row in rows]
    expected = np.array([_exactly(list(column)) for column in zip(*rows, strict=True)])

    for _ in range(3):
        draw.shuffle(vectors)
        assert _same(_sum(vectors).round(), expected)
        split = draw.randint(1, terms - 1)
        heap = _sum(vectors[:split])
        heap.merge(_sum(vectors[split:]))
        assert _same(heap.round(), expected)


@pytest.mark.parametrize(
    "terms",
    [
        [1e16, 1.0, -1e16],
        [1.0, 1e100, 1.0, -1e100],
        [2.0**53, 1.0, 2.0**-60],
        [2.0**53, 1.0],
        [2.0**53 + 2, 1.0],
        [2.0**53, 1.0, -TINY],
        [1.0, 2.0**-53, 2.0**-106, 2.0**-1000],
        [TINY] * 7,
        [1e-310, -1e-310, TINY],
        [LARGEST, LARGEST, -LARGEST],
        [LARGEST, 2.0**969, 2.0**969],
        [LARGEST, 2.0**970],
        [LARGEST, LARGEST],
        [-LARGEST, -LARGEST, LARGEST, 1.0],
        [0.0, -0.0],
        [-0.0, -0.0],
        [1.0, -1.0],
        [-0.0, 1.0, -1.0, -0.0],
        [0.1] * 10,
    ],
)
def test_one_cell(terms: list[float]) -> None:
    """Cancellation, ties, denormals, signed zeros and overflow on the way, in every rotation."""
    for turn in range(len(terms)):
        turned = terms[turn:] + terms[:turn]
        found = _sum([np.array([term]) for term in turned])
        assert _same(found.round(), np.array([_exactly(terms)])), turned
        again = ExactSum.from_state(found.state())
        again.add(np.array([-0.0]))
        assert _same(again.round(), found.round())


def test_ten_thousand_terms() -> None:
    """Mixed signs with full mantissas, forwards and backwards."""
    draw = np.random.default_rng(7)
    rows = draw.standard_normal((10_000, 50)) * 10.0 ** draw.integers(-12, 12, (10_000, 50))
    rows[5_000:] = -rows[:5_000] * (1 + 1e-9 * draw.standard_normal((5_000, 50)))

    forwards, backwards = _sum(list(rows)).round(), _sum(list(rows[::-1])).round()

    assert _same(forwards, backwards)
    assert _same(forwards, np.array([math.fsum(column) for column in rows.T]))


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([math.inf, 1.0], math.inf),
        ([1.0, -math.inf, LARGEST, LARGEST], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.nan, 1.0], math.nan),
        ([math.inf, math.nan], math.nan),
        ([LARGEST, LARGEST, -math.inf], -math.inf),
    ],
)
def test_infinities_and_nan(terms: list[float], expected: float) -> None:
    """They spread as in IEEE 754, whatever the order, and only in their own cell."""
    for order in (terms, terms[::-1]):
        found = _sum([np.array([0.5, term, 0.25]) for term in order])
        sums = found.round()
        assert sums[0] == 0.5 * len(terms)
        assert sums[2] == 0.25 * len(terms)
        assert sums[1] == expected or (math.isnan(sums[1]) and math.isnan(expected))
        assert found.special.tolist() == [False, True, False]


@pytest.mark.parametrize(
    "terms",
    [
        [1.0, 2.0**-24, 2.0**-80],
        [1.0, 2.0**-24, -(2.0**-80)],
        [1.0, 2.0**-24],
        [1 + 2.0**-23, 2.0**-24],
        [-1.0, -(2.0**-24), -(2.0**-80)],
        [2.0**-149, 2.0**-150],
        [2.0**-150, 2.0**-200],
        [3.4028234663852886e38, 2.0**103],
        [3.4028234663852886e38, 2.0**102],
        [16777216.0, 1.0],
        [0.1] * 7,
    ],
)
def test_single_precision_is_rounded_once(terms: list[float]) -> None:
    """A tie of float32 that the rest decides; rounding to float64 on the way would lose the rest."""
    for order in (terms, terms[::-1]):
        found = _sum([np.array([term]) for term in order]).round_single()
        assert _same(found, np.array([_exactly(terms, digits=24)], np.float32))


def test_single_precision_of_many() -> None:
    """The same against exact arithmetic, for thousands of cells close to ties."""
    draw = np.random.default_rng(3)
    halves = draw.integers(2**23, 2**24, 4_000).astype(np.float64) + np.float64(0.5)
    rests = draw.choice([0.0, 2.0**-40, -(2.0**-40), 2.0**-70, -(2.0**-70)], 4_000)

    found = _sum([halves, rests]).round_single()

    expected = [_exactly([half, rest], digits=24) for half, rest in zip(halves, rests, strict=True)]
    assert _same(found, np.array(expected, np.float32))


def test_more_cells_than_a_block() -> None:
    """Vectors that are added in blocks, with trouble in the first, in the last, and at the border."""
    size = 40_000
    draw = np.random.default_rng(11)
    vectors = [draw.standard_normal(size) for _ in range(5)]
    for cell in (0, 16_383, 16_384, size - 1):
        for vector in vectors[:3]:
            vector[cell] = LARGEST
        vectors[3][cell] = vectors[4][cell] = -LARGEST
    vectors[2][20_000] = math.inf

    sums = _sum(vectors).round()

    for cell in (0, 16_383, 16_384, size - 1):
        assert sums[cell] == LARGEST
    assert sums[20_000] == math.inf
    others = [cell for cell in range(0, size, 371) if cell not in {0, 20_000}]
    assert [sums[cell] for cell in others] == [math.fsum(vector[cell] for vector in vectors) for cell in others]


def test_nothing_to_add() -> None:
    """No cells, and no terms."""
    assert _sum([np.empty(0)] * 3).round().shape == (0,)
    assert ExactSum(2).round().tolist() == [0.0, 0.0]
