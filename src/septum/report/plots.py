"""Plots as physicists draw them, with matplotlib in the style of mplhep, as SVG that follows the page's colours.

The object interface alone is used, and nothing of the machine or of the day gets into a plot: the same histogram gives
the same bytes.
"""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from septum.report.histograms import Array, Axis, Histogram, evenly_spaced, same_axes
from septum.report.tlatex import mathtext, plain
from septum.report.vector import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INSTALL = "pip install 'septum[report]'"
_INK, _RUN, _REFERENCE, _PALE = COLOURS["ink"], COLOURS["run"], COLOURS["reference"], COLOURS["pale"]
_SIZE = 13
_MOST_LABELS = 24
_LARGE = 1e5
_STYLE: dict[str, Any] = {
    "font.size": _SIZE,
    "font.sans-serif": ["TeX Gyre Heros", "DejaVu Sans"],
    "axes.labelsize": _SIZE + 1,
    "axes.linewidth": 1.1,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.labelsize": _SIZE - 1,
    "ytick.labelsize": _SIZE - 1,
    "xtick.major.size": 7,
    "xtick.minor.size": 3.5,
    "ytick.major.size": 7,
    "ytick.minor.size": 3.5,
    "xtick.major.pad": 5,
    "legend.fontsize": _SIZE - 1,
    "axes.formatter.limits": (-3, 5),
    # Two minor ticks to a major one: each tick is an object that takes its time.
    "xtick.minor.ndivs": 2,
    "ytick.minor.ndivs": 2,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "septum",
    "svg.fonttype": "path",
    "path.simplify": True,
}


def missing() -> str:
    """Why no plots can be drawn: empty if they can."""
    absent = [name for name in ("matplotlib", "mplhep") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed" if absent else ""


def draw(histogram: Histogram, reference: Histogram | None = None, *, log: bool = False) -> str:
    """Draw a histogram or profile of one or two dimensions.

    Args:
        histogram: What to draw.
        reference: Its counterpart, drawn for comparison if it has the same axes.
        log: Whether the contents get a logarithmic scale.

    Returns:
        A whole SVG document, for `septum.report.vector.embed`.

    Raises:
        ValueError: Of three dimensions, or nothing in it can be drawn.
    """
    other = reference if reference is not None and same_axes(histogram, reference) else None
    with _styled():
        from matplotlib.figure import Figure

        if histogram.dimension == 1:
            figure = Figure(figsize=(5.6, 5.0 if other else 4.1), dpi=72)
            _one(figure, histogram, other, log=log)
        elif histogram.dimension == 2:  # noqa: PLR2004
            figure = Figure(figsize=(11.2 if other else 5.6, 4.4), dpi=72)
            _two(figure, histogram, other, log=log)
        else:
            raise ValueError(f"{histogram.dimension} dimensions cannot be drawn")
        return _text(figure)


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib as mpl

    with warnings.catch_warnings():
        # A sign that no font has is drawn as a box; a flat histogram has no limits: neither is worth a word.
        warnings.simplefilter("ignore")
        import mplhep

        style: Any = {**mplhep.style.ROOT, **_STYLE}
        with mpl.rc_context(style):
            yield


def _text(figure: Figure) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return buffer.getvalue()


# ── one dimension ───────────────────────────────────────────────────────────────────────────────────────────────


def _one(figure: Figure, histogram: Histogram, other: Histogram | None, *, log: bool) -> None:
    labelled = bool(histogram.axes[0].labels)
    bottom = 0.30 if labelled else 0.135
    if other is None:
        main = figure.add_axes((0.155, bottom, 0.815, 0.93 - bottom))
        lowest = main
    else:
        panel = 0.2
        lowest = figure.add_axes((0.155, bottom, 0.815, panel))
        main = figure.add_axes((0.155, bottom + panel + 0.02, 0.815, 0.93 - bottom - panel - 0.02))
        _ratio(lowest, histogram, other)
    _contents(main, histogram, other, log=log)
    edges = histogram.axes[0].edges
    for axes in {main, lowest}:
        axes.set_xlim(edges[0], edges[-1])
    _x_axis(lowest, histogram)
    if other is not None:
        main.set_xticks(lowest.get_xticks())
        main.set_xlim(edges[0], edges[-1])
        main.tick_params(labelbottom=False)


def _contents(axes: Axes, histogram: Histogram, other: Histogram | None, *, log: bool) -> None:
    import mplhep

    values, errors, edges = _finite(histogram.values), _finite(histogram.errors), histogram.axes[0].edges
    if other is not None and not histogram.profile:
        theirs = _finite(other.values)
        mplhep.histplot(
            theirs, edges, ax=axes, histtype="fill", color=_PALE, edgecolor=_REFERENCE, lw=1, label="reference"
        )
    elif other is not None:
        _points(
            axes, _finite(other.values), _finite(other.errors), edges, colour=_REFERENCE, label="reference", open_=True
        )
    if histogram.profile or other is not None:
        _points(axes, values, errors, edges, colour=_RUN if other is None else _INK, label="this run")
    else:
        mplhep.histplot(values, edges, ax=axes, histtype="fill", color=COLOURS["wash"], edgecolor=_RUN, lw=1.4)
        _points(axes, values, errors, edges, colour=_RUN, label=None, marker="")
    _y_axis(axes, histogram, other, log=log)
    if other is not None:
        handles, names = axes.get_legend_handles_labels()
        order = sorted(range(len(names)), key=lambda number: names[number] == "reference")
        axes.legend(
            [handles[number] for number in order], [names[number] for number in order], loc="best", labelcolor=_INK
        )


def _points(
    axes: Axes,
    values: Array,
    errors: Array,
    edges: Array,
    *,
    colour: str,
    label: str | None,
    marker: str = "o",
    open_: bool = False,
) -> None:
    """Points with vertical errors; empty bins without an error are not points."""
    centres = (edges[:-1] + edges[1:]) / 2
    shown = (values != 0) | (errors != 0)
    # Many bins stand close: smaller points keep apart.
    size = 4.5 if len(values) <= 60 else 3.0 if len(values) <= 150 else 2.0  # noqa: PLR2004
    axes.errorbar(
        centres[shown],
        values[shown],
        # Where widths differ, a point says how much of the axis it stands for.
        xerr=None if evenly_spaced(edges) else np.diff(edges)[shown] / 2,
        yerr=errors[shown],
        fmt=marker or "none",
        color=colour,
        ecolor=colour,
        markersize=size,
        markerfacecolor="none" if open_ else colour,
        elinewidth=1.0,
        label=label,
    )


def _y_axis(axes: Axes, histogram: Histogram, other: Histogram | None, *, log: bool) -> None:
    both = [histogram] if other is None else [histogram, other]
    tops = np.concatenate([_finite(item.values) + _finite(item.errors) for item in both])
    lows = np.concatenate([_finite(item.values) - _finite(item.errors) for item in both])
    top, low = float(tops.max()), float(lows.min())
    axes.set_ylabel(mathtext(histogram.per_bin()))
    if not log and not 1e-3 <= max(top, -low) < _LARGE:  # noqa: PLR2004 - the numbers of the style's limits
        # Shown as a power of ten. Everywhere else each number would be parsed as a formula, and that takes time.
        axes.ticklabel_format(axis="y", useMathText=True)
    if log:
        positive = np.concatenate([_finite(item.values)[_finite(item.values) > 0] for item in both])
        axes.set_yscale("log")
        axes.set_ylim(float(positive.min()) / 3, top * 8)
    elif histogram.profile:
        shown = np.concatenate([_finite(item.values)[_finite(item.values) != 0] for item in both])
        if len(shown):
            margin = 0.2 * (float(shown.max() - shown.min()) or abs(float(shown.max())))
            axes.set_ylim(float(shown.min()) - margin, float(shown.max()) + 1.5 * margin)
    elif top > low:
        axes.set_ylim(
            1.1 * low if low < 0 and histogram.values.min() < 0 else 0.0, 1.25 * top if top > 0 else -0.1 * low
        )


def _ratio(axes: Axes, histogram: Histogram, other: Histogram) -> None:
    """This run over the reference: its own errors as bars, those of the reference as a band."""
    edges = histogram.axes[0].edges
    mine, theirs = _finite(histogram.values), _finite(other.values)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(theirs != 0, mine / theirs, np.nan)
        error = np.where(theirs != 0, np.abs(_finite(histogram.errors) / theirs), np.nan)
        band = np.where(theirs != 0, np.abs(_finite(other.errors) / theirs), 0.0)
    band = np.minimum(np.nan_to_num(band), 10.0)
    axes.stairs(1 + band, edges, baseline=1 - band, fill=True, facecolor=_PALE, edgecolor="none")
    axes.axhline(1.0, color=_REFERENCE, linewidth=1.0)
    known = np.isfinite(ratio)
    reach = _reach(ratio[known], error[known])
    inside = known & (np.abs(ratio - 1) <= reach)
    centres = (edges[:-1] + edges[1:]) / 2
    size = 4.0 if len(ratio) <= 60 else 2.5  # noqa: PLR2004
    axes.errorbar(
        centres[inside], ratio[inside], yerr=error[inside], fmt="o", color=_INK, markersize=size, elinewidth=1.0
    )
    for beyond, marker, place in (
        (ratio > 1 + reach, "^", 1 + 0.93 * reach),
        (ratio < 1 - reach, "v", 1 - 0.93 * reach),
    ):
        chosen = known & beyond
        axes.plot(centres[chosen], np.full(int(chosen.sum()), place), marker, color=_RUN, markersize=5)
    axes.set_ylim(1 - 1.05 * reach, 1 + 1.05 * reach)
    axes.set_ylabel("run / ref.", loc="center")
    axes.locator_params(axis="y", nbins=5)


def _reach(ratio: Array, error: Array) -> float:
    """How far from one the ratio panel reaches: as far as most points, not farther than a factor of two."""
    if not len(ratio):
        return 0.5
    far = np.abs(ratio - 1) + np.nan_to_num(error)
    return float(np.clip(1.2 * np.quantile(far, 0.95), 0.02, 1.0))


# ── two dimensions ──────────────────────────────────────────────────────────────────────────────────────────────


def _two(figure: Figure, histogram: Histogram, other: Histogram | None, *, log: bool) -> None:
    from matplotlib.colors import LogNorm

    width = 0.33 if other else 0.68
    axes = figure.add_axes((0.065 if other else 0.13, 0.13, width, 0.80))
    values = np.ma.masked_where(~np.isfinite(histogram.values) | (histogram.values == 0), histogram.values)
    if not values.count():
        raise ValueError("all bins are empty")
    norm = LogNorm(vmin=float(values.min()), vmax=float(values.max())) if log else None
    _map(
        figure,
        axes,
        histogram,
        values,
        "viridis",
        norm,
        mathtext(histogram.y_title or ("" if histogram.profile else "Events")),
    )
    if other is not None:
        sigma = np.hypot(histogram.errors, other.errors)
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = np.ma.masked_invalid((histogram.values - other.values) / sigma)
        from matplotlib.colors import Normalize

        reach = max(float(np.abs(pull).max()) if pull.count() else 0.0, 1.0)
        right = figure.add_axes((0.565, 0.13, width, 0.80))
        _map(figure, right, histogram, pull, "RdBu_r", Normalize(-reach, reach), "(run − ref.) / error")


def _map(figure: Figure, axes: Axes, histogram: Histogram, values: Any, colours: str, norm: Any, title: str) -> None:
    x, y = histogram.axes
    mesh = axes.pcolormesh(x.edges, y.edges, values.T, cmap=colours, norm=norm, rasterized=True, zorder=-1)
    place = axes.get_position()
    bar = figure.add_axes((place.x1 + 0.012, place.y0, 0.018 if place.width < 0.5 else 0.032, place.height))  # noqa: PLR2004
    drawn: Any = figure.colorbar(mesh, cax=bar, label=title)
    drawn.solids.set_rasterized(True)
    drawn.outline.set_edgecolor(_INK)
    _x_axis(axes, histogram)
    axes.set_ylabel(mathtext(y.title))
    _name_bins(axes.yaxis, y)


# ── axes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _x_axis(axes: Axes, histogram: Histogram) -> None:
    axis = histogram.axes[0]
    # The title of a histogram with two axes speaks of both.
    axes.set_xlabel(mathtext(histogram.x_title if histogram.dimension == 1 else axis.title))
    _name_bins(axes.xaxis, axis)
    if axis.labels:
        axes.tick_params(axis="x", labelrotation=35)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")


def _name_bins(drawn: Any, axis: Axis) -> None:
    if not axis.labels:
        return
    centres = (axis.edges[:-1] + axis.edges[1:]) / 2
    step = -(-len(centres) // _MOST_LABELS)
    names = [plain(label) for label in axis.labels]
    short = [name if len(name) <= 18 else name[:17] + "…" for name in names]  # noqa: PLR2004 - fits below the axis
    drawn.set_ticks(centres[::step], [name.replace("$", r"\$") for name in short[::step]])
    drawn.set_tick_params(which="minor", bottom=False, top=False, left=False, right=False)


def _finite(values: Array) -> Array:
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
