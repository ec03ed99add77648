"""The plots of the documentation: a bar for each contender, and how septum grows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.cluster.contenders import CONTENDERS, IDEAL, SEPTUM
from benchmarks.cluster.report import Record, by_round, overhead, traffic, verified
from benchmarks.growth.report import medians

_OURS, _OTHERS = "#0b7a75", "#9aa5b1"
_BARS: Mapping[str, Callable[[Record], float]] = {
    "overhead over the pool alone, s": overhead,
    "last job's end to result, s": verified,
    "submission, s": lambda record: float(record["submission_s"]),
    "round trips to the schedd": traffic("round_trips", "submission", "watch"),
    "lines of the log": lambda record: float(record["lines"]),
    "CPU of the client, s": lambda record: float(record["cpu_s"]),
}
_CURVES: Mapping[str, Mapping[str, str]] = {
    "seconds": {"plan_cpu": "plan, CPU", "submit_wall": "submit", "collect_cpu": "collect, CPU"},
    "ms for a look at the queue": {"look": "nothing new", "look_all": "all jobs"},
    "MB": {"submit_mb": "sent to the schedd", "collect_memory": "memory of collect", "ledger": "ledger"},
}


def _style() -> None:
    # Text as text, and nothing that differs from run to run.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "septum", "font.size": 9, "font.family": "sans-serif"})
    mpl.use("svg")


def bars(data: Mapping[str, Any], path: Path) -> None:
    """Draw the medians of a run of the contenders.

    Args:
        data: As `cluster run` wrote it.
        path: The SVG.
    """
    _style()
    rounds = by_round(data)
    names = [
        one.name for one in CONTENDERS if one.name != IDEAL and any(one.name in found for found in rounds.values())
    ]
    figure, axes = plt.subplots(2, 3, figsize=(11, 1.2 + 0.55 * len(names)), layout="constrained", sharey=True)
    for axis, (title, metric) in zip(axes.flat, _BARS.items(), strict=True):
        values = [
            statistics.median(metric(found[name]) for found in rounds.values() if name in found) for name in names
        ]
        drawn = axis.barh(names, values, color=[_OURS if name.startswith(SEPTUM) else _OTHERS for name in names])
        axis.bar_label(drawn, labels=[f"{value:.3g}" for value in values], padding=2)
        axis.margins(x=0.18)
        axis.set_title(title, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    axes.flat[0].invert_yaxis()
    figure.suptitle(f"{data['parts']} parts; shorter is better", x=0.01, ha="left")
    _save(figure, path)


def curves(data: Mapping[str, Any], path: Path) -> None:
    """Draw how septum grows.

    Args:
        data: As `growth run` wrote it.
        path: The SVG.
    """
    _style()
    points = medians(data)
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for axis, (title, names) in zip(axes, _CURVES.items(), strict=True):
        for name, label in names.items():
            known = [(parts, found[name]) for parts, found in points.items() if name in found]
            axis.plot([x for x, _ in known], [y for _, y in known], marker="o", markersize=3, label=label)
        low, high = min(points), max(points)
        bottom, _ = axis.get_ylim()
        axis.set(xscale="log", yscale="log", xlabel="parts", title=title)
        first = next((points[low][name] for name in names if name in points[low]), bottom)
        axis.plot([low, high], [first, first * high / low], color="#cccccc", linestyle=":", label="proportional")
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
    # matplotlib leaves blanks at the ends of lines.
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")
    plt.close(figure)
