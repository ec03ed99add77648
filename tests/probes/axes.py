"""Probes: axes, labels and looks that differ."""

from __future__ import annotations

from typing import Any

from tests.probes.model import Merged, Probe, Refused, Verdict
from tests.probes.shapes import FLOW, cells, h1, h2, h3, labelled, profile

_GROUP = "Axes"
_H = Refused(code="E401", says=("h", "1.root"))
_P = Refused(code="E401", says=("p", "1.root"))


def _zoomed(root: Any, number: int, *, in_both: bool) -> Any:
    histogram = h1(root)
    if in_both or number:
        histogram.GetXaxis().SetRange(3, 6)
    return histogram


def _changed(item: Any, change: str, *values: Any) -> Any:
    """An object after one call of a method; the method may be that of its x-axis."""
    target = item.GetXaxis() if change.startswith("axis.") else item
    getattr(target, change.removeprefix("axis."))(*values)
    return item


def _uniform_edges(root: Any, number: int) -> Any:
    return h1(root, edges=[bin_ / 4 for bin_ in range(5)]) if number else h1(root, bins=4)


def _edges_of_a_step(number: int) -> list[float]:
    return [0.0, 0.1 + 0.2 if number else 0.3, 1.0]


def _labels_of_y(root: Any, number: int) -> Any:
    histogram = h2(root)
    for bin_, label in enumerate(("a", "b")[:: -1 if number else 1], 1):
        histogram.GetYaxis().SetBinLabel(bin_, label)
    return histogram


def _automatic(root: Any, number: int) -> Any:
    """A histogram that chooses its axis from its first fills."""
    histogram = root.TH1D("h", "title", 10, 0.0, 0.0)
    histogram.SetCanExtend(root.TH1.kAllAxes)
    for step in range(20):
        histogram.Fill((step + 0.5) * (1.0 + 6.0 * number))
    histogram.BufferEmpty(1)
    return histogram


PROBES = (
    Probe(
        name="bins-10-20",
        group=_GROUP,
        about="10 bins and 20 bins over the same range",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [h1(root, bins=(10, 20)[number])],
    ),
    Probe(
        name="range-longer",
        group=_GROUP,
        about="ranges (0, 1) and (0, 2), flow bins empty",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [h1(root, high=1.0 + number)],
    ),
    Probe(
        name="range-longer-flow",
        group=_GROUP,
        about="the same with filled flow bins",
        hadd=Verdict.LOST,
        septum=_H,
        objects=lambda root, number: [h1(root, high=1.0 + number, fills=FLOW)],
    ),
    Probe(
        name="range-shifted",
        group=_GROUP,
        about="ranges (0, 1) and (0.03, 1.03)",
        hadd=Verdict.LOST,
        septum=_H,
        objects=lambda root, number: [h1(root, low=0.03 * number, high=1 + 0.03 * number)],
    ),
    Probe(
        name="bins-10-7",
        group=_GROUP,
        about="10 bins and 7 bins over the same range",
        hadd=Verdict.LOST,
        septum=_H,
        objects=lambda root, number: [h1(root, bins=(10, 7)[number])],
    ),
    Probe(
        name="edges",
        group=_GROUP,
        about="edges 0, 1, 2, 4 and 0, 1, 3, 4",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [
            h1(root, edges=[0, 1, 2 + number, 4], fills=[(0.5, 1.0), (2.5, 1.0), (3.5, 1.0)])
        ],
    ),
    Probe(
        name="edges-last-bit",
        group=_GROUP,
        about="an edge 0.3 and an edge 0.1 + 0.2, one bit above it",
        hadd=Verdict.RIGHT,
        septum=_H,
        right={"h": [0, 6, 14, 0]},
        objects=lambda root, number: [h1(root, edges=_edges_of_a_step(number))],
    ),
    Probe(
        name="edges-uniform",
        group=_GROUP,
        about="the same four bins, booked by their number and by their edges",
        hadd=Verdict.RIGHT,
        septum=_H,
        objects=lambda root, number: [_uniform_edges(root, number)],
    ),
    Probe(
        name="range-automatic",
        group=_GROUP,
        about="axes that ROOT chose from the first fills",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [_automatic(root, number)],
    ),
    Probe(
        name="th2-range-y",
        group=_GROUP,
        about="TH2D, other range of y",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [h2(root, y_high=1.0 + number)],
    ),
    Probe(
        name="th2-bins-y",
        group=_GROUP,
        about="TH2F, 2 bins and 3 bins of y",
        hadd=Verdict.LOST,
        septum=_H,
        objects=lambda root, number: [h2(root, kind="F", y_bins=2 + number)],
    ),
    Probe(
        name="th3-range-z",
        group=_GROUP,
        about="TH3D, other range of z",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [h3(root, z_high=1.0 + number)],
    ),
    Probe(
        name="profile-range",
        group=_GROUP,
        about="TProfile, other range of x",
        hadd=Verdict.MIXED,
        septum=_P,
        objects=lambda root, number: [profile(root, high=1.0 + number)],
    ),
    Probe(
        name="profile-limits",
        group=_GROUP,
        about="TProfile, other limits of y",
        hadd=Verdict.MIXED,
        septum=_P,
        objects=lambda root, number: [profile(root, limits=[0.0, 1.0 - number / 2])],
    ),
    Probe(
        name="profile-errors",
        group=_GROUP,
        about="TProfile, error of the mean and spread (option `s`)",
        hadd=Verdict.MIXED,
        septum=_P,
        objects=lambda root, number: [profile(root, option="s" if number else "")],
    ),
    Probe(
        name="labels-order",
        group=_GROUP,
        about="the same labels in another order",
        hadd=Verdict.RIGHT,
        septum=_H,
        policy="labels=by-name",
        relaxed=Merged(),
        right={"h": {"a": 31.0, "b": 12.0, "c": 23.0}},
        objects=lambda root, number: [
            labelled(root, ["b", "c", "a"], [10, 20, 30]) if number else labelled(root, ["a", "b", "c"], [1, 2, 3])
        ],
    ),
    Probe(
        name="labels-unknown",
        group=_GROUP,
        about="one label that the other file does not have",
        hadd=Verdict.RIGHT,
        septum=_H,
        policy="labels=by-name",
        relaxed=Merged(),
        right={"h": {"a": 11.0, "b": 22.0, "c": 3.0, "d": 30.0}},
        objects=lambda root, number: [
            labelled(root, ["a", "b", "d"], [10, 20, 30]) if number else labelled(root, ["a", "b", "c"], [1, 2, 3])
        ],
    ),
    Probe(
        name="labels-more",
        group=_GROUP,
        about="two labels and three, on axes that grew with them",
        hadd=Verdict.LOST,
        septum=_H,
        policy="labels=by-name",
        relaxed=Merged(),
        right={"h": {"a": 11.0, "b": 22.0, "c": 30.0}},
        objects=lambda root, number: [
            labelled(root, ["a", "b", "c"], [10, 20, 30]) if number else labelled(root, ["a", "b"], [1, 2])
        ],
    ),
    Probe(
        name="labels-one-file",
        group=_GROUP,
        about="labels in the first file only",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [
            cells(root, [0, 10, 20, 30, 0]) if number else labelled(root, ["a", "b", "c"], [1, 2, 3])
        ],
    ),
    Probe(
        name="labels-other-file",
        group=_GROUP,
        about="labels in the second file only",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [
            labelled(root, ["a", "b", "c"], [1, 2, 3]) if number else cells(root, [0, 10, 20, 30, 0])
        ],
    ),
    Probe(
        name="labels-of-y",
        group=_GROUP,
        about="TH2D, labels of y in another order",
        hadd=Verdict.RIGHT,
        septum=_H,
        right={"h": [0, *[0] * 6, *[0, 2, 2, 2, 2, 2, 0] * 2, *[0] * 7]},
        objects=lambda root, number: [_labels_of_y(root, number)],
    ),
    Probe(
        name="zoomed-one",
        group=_GROUP,
        about="an axis zoomed (`SetRange`) in the second file",
        hadd=Verdict.MIXED,
        septum=Refused(
            code="E408",
            says=(
                "h",
                "1.root",
            ),
        ),
        objects=lambda root, number: [_zoomed(root, number, in_both=False)],
    ),
    Probe(
        name="zoomed-both",
        group=_GROUP,
        about="an axis zoomed in both files",
        hadd=Verdict.LOST,
        septum=Refused(
            code="E408",
            says=(
                "h",
                "0.root",
            ),
        ),
        objects=lambda root, number: [_zoomed(root, number, in_both=True)],
    ),
    Probe(
        name="title",
        group=_GROUP,
        about="another title of the histogram",
        hadd=Verdict.RIGHT,
        septum=_H,
        objects=lambda root, number: [_changed(h1(root), "SetTitle", f"title {number}")],
    ),
    Probe(
        name="axis-title",
        group=_GROUP,
        about="another title of the x-axis: `p_T [GeV]` and `p_T [MeV]`",
        hadd=Verdict.MIXED,
        septum=_H,
        objects=lambda root, number: [_changed(h1(root), "axis.SetTitle", ("p_T [GeV]", "p_T [MeV]")[number])],
    ),
    Probe(
        name="colour",
        group=_GROUP,
        about="another colour of the line",
        hadd=Verdict.RIGHT,
        septum=_H,
        objects=lambda root, number: [_changed(h1(root), "SetLineColor", 2 + number)],
    ),
    Probe(
        name="maximum",
        group=_GROUP,
        about="another maximum to draw (`SetMaximum`)",
        hadd=Verdict.RIGHT,
        septum=_H,
        objects=lambda root, number: [_changed(h1(root), "SetMaximum", 10.0 + number)],
    ),
)
