"""Histograms in a line: made with ROOT, for the probes. Runs only in the process that writes the files."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

# Where the ten fills of a histogram are that is not told otherwise: in a row over (0, 1), each with weight 1.
FILLS = tuple(((number + 0.5) / 10, 1.0) for number in range(10))
FLOW = ((-1.0, 1.0), *FILLS, (9.0, 1.0))


def h1(
    root: Any,
    name: str = "h",
    *,
    kind: str = "D",
    bins: int = 10,
    low: float = 0.0,
    high: float = 1.0,
    edges: Sequence[float] = (),
    fills: Sequence[tuple[float, float]] = FILLS,
    sumw2: bool = True,
) -> Any:
    """A one-dimensional histogram, filled."""
    cls = getattr(root, f"TH1{kind}")
    histogram = cls(name, "title", len(edges) - 1, array("d", edges)) if edges else cls(name, "title", bins, low, high)
    if sumw2:
        histogram.Sumw2()
    for x, weight in fills:
        histogram.Fill(x, weight)
    return histogram


def cells(root: Any, values: Sequence[float], name: str = "h", *, kind: str = "D", sumw2: bool = False) -> Any:
    """A histogram with these cells, both flow bins included, as if each had been filled once."""
    histogram = h1(root, name, kind=kind, bins=len(values) - 2, fills=(), sumw2=sumw2)
    for cell, value in enumerate(values):
        histogram.SetBinContent(cell, value)
    return histogram


def labelled(root: Any, labels: Sequence[str], weights: Sequence[float], name: str = "h", *, bins: int = 0) -> Any:
    """A histogram whose bins have labels, each filled once with its weight."""
    histogram = h1(root, name, bins=bins or len(labels), fills=())
    for number, label in enumerate(labels, 1):
        histogram.GetXaxis().SetBinLabel(number, label)
    for number, weight in enumerate(weights, 1):
        histogram.Fill(histogram.GetXaxis().GetBinCenter(number), weight)
    return histogram


def h2(root: Any, name: str = "h", *, kind: str = "D", y_bins: int = 2, y_high: float = 1.0) -> Any:
    """A two-dimensional histogram, filled."""
    histogram = getattr(root, f"TH2{kind}")(name, "title", 5, 0.0, 1.0, y_bins, 0.0, y_high)
    histogram.Sumw2()
    for number, (x, weight) in enumerate(FILLS):
        histogram.Fill(x, 0.7 if number % 3 else 0.2, weight)
    return histogram


def h3(root: Any, name: str = "h", *, kind: str = "D", z_high: float = 1.0) -> Any:
    """A three-dimensional histogram, filled."""
    histogram = getattr(root, f"TH3{kind}")(name, "title", 5, 0.0, 1.0, 2, 0.0, 1.0, 2, 0.0, z_high)
    histogram.Sumw2()
    for number, (x, weight) in enumerate(FILLS):
        histogram.Fill(x, 0.7 if number % 3 else 0.2, number % 2 / 2, weight)
    return histogram


def profile(root: Any, name: str = "p", *, high: float = 1.0, option: str = "", limits: Sequence[float] = ()) -> Any:
    """A profile, filled; `limits` are those of y."""
    histogram = root.TProfile(name, "title", 5, 0.0, high, *limits, option)
    for x, weight in FILLS:
        histogram.Fill(x, x * x, 2 * weight)
    return histogram
