"""Probes: numbers that do not add up as they should, in histograms of the same axes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tests.fakes.rootfiles import H, write_root
from tests.probes.model import Merged, Probe, Refused, Verdict
from tests.probes.shapes import FLOW, cells, h1, h2, h3, labelled, profile

_GROUP = "Contents"
_H = Refused(code="E401", says=("h", "1.root"))


def _all_kinds(root: Any, number: int) -> list[Any]:
    """One of each kind, in a folder and outside."""
    plain = [h1(root, f"h1{kind}", kind=kind, fills=FLOW[number:]) for kind in "CSILFD"]
    planes = [h2(root, f"h2{kind}", kind=kind) for kind in "CSILFD"]
    bodies = [h3(root, f"h3{kind}", kind=kind) for kind in "CSILFD"]
    means = [
        profile(root),
        root.TProfile2D("p2", "", 2, 0, 1, 2, 0, 1),
        root.TProfile3D("p3", "", 2, 0, 1, 2, 0, 1, 2, 0, 1),
    ]
    means[1].Fill(0.1, 0.7, 2.5 + number, 1.5)
    means[2].Fill(0.1, 0.7, 0.2, 2.5 + number, 1.5)
    return [
        *plain,
        *[("folder", item) for item in planes],
        *[("folder/below", item) for item in bodies],
        *means,
        labelled(root, ["a", "b"], [1, 2], "labelled"),
        h1(root, "edges", edges=[0, 0.1, 0.5, 1]),
        h1(root, "unweighted", sumw2=False),
    ]


def _average(root: Any, value: float, *, marked: bool) -> Any:
    histogram = cells(root, [0, value, value, 0], sumw2=True)
    histogram.SetBinError(1, 1)
    histogram.SetBinError(2, 1)
    histogram.SetBit(root.TH1.kIsAverage, marked)
    return histogram


def _unfilled(root: Any, number: int) -> Any:
    """Filled in the first file; in the second its bins were set one by one, so that the statistics are empty."""
    return cells(root, [0, *[1.0] * 10, 0]) if number else h1(root, sumw2=False)


def _fitted(root: Any, number: int) -> Any:
    histogram = h1(root)
    function = root.TF1("fit", "[0]", 0, 1)
    function.SetParameter(0, 1.0 + number)
    histogram.GetListOfFunctions().Add(function)
    root.SetOwnership(function, False)  # noqa: FBT003 - ROOT's signature
    return histogram


def _buffered(root: Any, number: int) -> Any:
    """Fills that still wait in the buffer when the histogram is written."""
    histogram = h1(root, fills=())
    histogram.SetBuffer(1000)
    for step in range(10):
        histogram.Fill((step + 0.5) / 10)
    return histogram


def _with_option(root: Any, number: int, *, what: str) -> Any:
    histogram = h1(root, sumw2=False, fills=FLOW)
    if what == "poisson" and number:
        histogram.SetBinErrorOption(root.TH1.kPoisson)
    if what == "overflows":
        histogram = h1(root, fills=())
        histogram.SetStatOverflows(root.TH1.kConsider if number else root.TH1.kIgnore)
        for x, weight in FLOW:
            histogram.Fill(x, weight)
    return histogram


def _by_uproot(folder: Path) -> None:
    write_root(folder / "1.root", {"h": H(cells=[4, 3, 2, 1])})


def _large(root: Any, number: int) -> Any:
    """More bytes than ROOT compresses in one go."""
    histogram = h1(root, bins=2_500_000, fills=(), sumw2=False)
    for bin_ in (1, 1_250_000, 2_500_000):
        histogram.SetBinContent(bin_, bin_ + number)
    return histogram


PROBES = (
    Probe(
        name="nothing",
        group=_GROUP,
        about="no difference: histograms and profiles of every class",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=_all_kinds,
    ),
    Probe(
        name="empty-one",
        group=_GROUP,
        about="a histogram without a fill in the second file",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [h1(root, fills=() if number else FLOW)],
    ),
    Probe(
        name="sumw2-one",
        group=_GROUP,
        about="squared errors (`Sumw2`) in the second file only",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [h1(root, sumw2=bool(number))],
    ),
    Probe(
        name="rounding",
        group=_GROUP,
        about="contents 10¹⁶, 1 and -10¹⁶ in three files",
        hadd=Verdict.LOST,
        septum=Merged(),
        files=3,
        objects=lambda root, number: [cells(root, [0, (1e16, 1.0, -1e16)[number], 0])],
    ),
    Probe(
        name="average",
        group=_GROUP,
        about="averages (`kIsAverage`) of 10 and 20",
        hadd=Verdict.WRONG,
        septum=Refused(
            code="E408",
            says=(
                "h",
                "0.root",
            ),
        ),
        policy="averages=sum",
        relaxed=Merged(holds={"h": [0, 30, 30, 0]}),
        right={"h": [0, 15, 15, 0]},
        objects=lambda root, number: [_average(root, 10.0 + 10 * number, marked=True)],
    ),
    Probe(
        name="average-one",
        group=_GROUP,
        about="an average in the second file only",
        hadd=Verdict.MIXED,
        septum=Refused(
            code="E408",
            says=(
                "h",
                "1.root",
            ),
        ),
        objects=lambda root, number: [_average(root, 10.0 + 10 * number, marked=bool(number))],
    ),
    Probe(
        name="saturated-f",
        group=_GROUP,
        about="TH1F, 2²⁴ + 1: a fill that single precision cannot hold",
        hadd=Verdict.LOST,
        septum=Refused(
            code="E408",
            says=(
                "h",
                "0.root",
            ),
        ),
        policy="saturation=round",
        relaxed=Merged(holds={"h": [0, 2.0**24, 0]}),
        objects=lambda root, number: [cells(root, [0, 1.0 if number else 2.0**24, 0], kind="F")],
    ),
    Probe(
        name="saturated-c",
        group=_GROUP,
        about="TH1C, 100 + 100",
        hadd=Verdict.LOST,
        septum=Refused(code="E408", says=("h",)),
        policy="saturation=round",
        relaxed=Merged(holds={"h": [0, 127, 0]}),
        objects=lambda root, number: [cells(root, [0, 100, 0], kind="C")],
    ),
    Probe(
        name="saturated-i",
        group=_GROUP,
        about="TH1I, twice its largest number",
        hadd=Verdict.LOST,
        septum=Refused(
            code="E408",
            says=(
                "h",
                "0.root",
            ),
        ),
        policy="saturation=round",
        relaxed=Merged(holds={"h": [0, 2**31 - 1, 0]}),
        objects=lambda root, number: [cells(root, [0, 2**31 - 1, 0], kind="I")],
    ),
    Probe(
        name="saturated-l",
        group=_GROUP,
        about="TH1L, 2⁵³ + 1: a fill that double precision cannot hold, but the class can",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [cells(root, [0, 1.0 if number else 2.0**53, 0], kind="L")],
    ),
    Probe(
        name="saturated-l-2",
        group=_GROUP,
        about="TH1L, 2⁶² + 2⁶²",
        hadd=Verdict.WRONG,
        septum=Refused(code="E408", says=("h",)),
        policy="saturation=round",
        relaxed=Merged(holds={"h": [0, 2.0**63, 0]}),
        objects=lambda root, number: [cells(root, [0, 2.0**62, 0], kind="L")],
    ),
    Probe(
        name="rounding-f",
        group=_GROUP,
        about="TH1F, contents 2²⁴, 1, 1, 1 and -2²⁴ in five files",
        hadd=Verdict.LOST,
        septum=Refused(
            code="E408",
            says=(
                "h",
                "0.root",
            ),
        ),
        files=5,
        objects=lambda root, number: [cells(root, [0, (2.0**24, 1, 1, 1, -(2.0**24))[number], 0], kind="F")],
    ),
    Probe(
        name="type",
        group=_GROUP,
        about="TH1F and TH1D of one name",
        hadd=Verdict.REFUSED,
        septum=_H,
        objects=lambda root, number: [h1(root, kind="DF"[number])],
    ),
    Probe(
        name="dimension",
        group=_GROUP,
        about="TH1D and TH2D of one name",
        hadd=Verdict.REFUSED,
        septum=_H,
        objects=lambda root, number: [h2(root) if number else h1(root)],
    ),
    Probe(
        name="nan",
        group=_GROUP,
        about="NaN in a bin of the second file: a sum with it is NaN",
        hadd=Verdict.RIGHT,
        septum=Refused(
            code="E408",
            says=(
                "h",
                "1.root",
            ),
        ),
        policy="non-finite=keep",
        relaxed=Merged(),
        objects=lambda root, number: [cells(root, [0, 1, math.nan if number else 2, 0])],
    ),
    Probe(
        name="infinity",
        group=_GROUP,
        about="infinity in a bin of the second file: a sum with it is infinite",
        hadd=Verdict.RIGHT,
        septum=Refused(
            code="E408",
            says=(
                "h",
                "1.root",
            ),
        ),
        policy="non-finite=keep",
        relaxed=Merged(),
        objects=lambda root, number: [cells(root, [0, 1, math.inf if number else 2, 0])],
    ),
    Probe(
        name="overflow",
        group=_GROUP,
        about="numbers whose sum is larger than a double can be",
        hadd=Verdict.WRONG,
        septum=Refused(code="E408", says=("h",)),
        objects=lambda root, number: [cells(root, [0, 1.5e308, 1, 0])],
    ),
    Probe(
        name="smallest",
        group=_GROUP,
        about="-0 in every file, and numbers of 2⁻¹⁰⁷⁴",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [cells(root, [0, -0.0, 5e-324, 0])],
    ),
    Probe(
        name="negative",
        group=_GROUP,
        about="negative weights that cancel to zero",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [h1(root, bins=2, fills=[(0.1, 1 - 2.0 * number), (0.6, 0.5)])],
    ),
    Probe(
        name="set-bins",
        group=_GROUP,
        about="bins of the second file set one by one, without statistics of x",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [_unfilled(root, number)],
    ),
    Probe(
        name="buffer",
        group=_GROUP,
        about="fills still in the histogram's buffer when it is written",
        hadd=Verdict.RIGHT,
        septum=Refused(
            code="E408",
            says=(
                "h",
                "0.root",
            ),
        ),
        right={"h": [0, *[2] * 10, 0]},
        objects=lambda root, number: [_buffered(root, number)],
    ),
    Probe(
        name="large",
        group=_GROUP,
        about="2.5 million bins: more than ROOT compresses in one piece",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [_large(root, number)],
    ),
    Probe(
        name="writers",
        group=_GROUP,
        about="one file written by ROOT, the other by uproot",
        hadd=Verdict.RIGHT,
        septum=_H,
        objects=lambda root, number: [cells(root, [1, 2, 3, 4], sumw2=True)],
        damage=_by_uproot,
    ),
    Probe(
        name="fit",
        group=_GROUP,
        about="another fitted function in the histogram",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [_fitted(root, number)],
    ),
    Probe(
        name="poisson",
        group=_GROUP,
        about="another kind of errors (`kPoisson`)",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [_with_option(root, number, what="poisson")],
    ),
    Probe(
        name="overflows-in-mean",
        group=_GROUP,
        about="flow bins in the mean in one file only (`SetStatOverflows`)",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [_with_option(root, number, what="overflows")],
    ),
)
