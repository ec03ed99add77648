"""Reads the histograms of a ROOT file with uproot. What cannot be read is named with its reason, and stops nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from septum.report.histograms import Axis, Histogram

_HISTOGRAM = re.compile(r"TH[123][CSILFD]|TProfile(2D|3D)?")
_MAX_CELLS = 1_000_000
"""A larger histogram is not drawn: nobody could see its bins."""


@dataclass(slots=True)
class Reading:
    """What was read of one file: histograms by path, and why others could not be."""

    histograms: dict[str, Histogram] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    error: str = ""


def is_histogram(kind: str) -> bool:
    """Whether a class of ROOT is one that can be drawn."""
    return _HISTOGRAM.fullmatch(kind) is not None


def read(path: Path, result: str, *, wanted: Iterable[str]) -> Reading:
    """Read histograms.

    Args:
        path: The file.
        result: The name of the result, for the values.
        wanted: Paths of objects, most important first.

    Returns:
        What could be read; nothing at all, and why, if the file cannot be opened.
    """
    import uproot

    reading = Reading()
    try:
        with uproot.open(path, object_cache=None, array_cache=None) as file:
            kinds = file.classnames(recursive=True, cycle=False)
            for name in wanted:
                kind = kinds.get(name)
                if kind is None or not is_histogram(kind):
                    reading.failed[name] = "it is not in the file" if kind is None else f"it is a {kind}"
                    continue
                try:
                    reading.histograms[name] = _histogram(file[name], result, name, kind)
                except Exception as error:  # noqa: BLE001 - uproot raises many kinds; one object must not cost the page
                    reading.failed[name] = _reason(error)
    except Exception as error:  # noqa: BLE001 - the same for a whole file
        reading.error = _reason(error)
    return reading


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def _histogram(item: Any, result: str, path: str, kind: str) -> Histogram:
    if (cells := int(item.member("fNcells"))) > _MAX_CELLS:
        raise ValueError(f"{cells} bins are too many to draw")
    profile = kind.startswith("TProfile")
    values = np.asarray(item.values(flow=True), dtype=np.float64)
    variances = np.asarray(item.variances(flow=True), dtype=np.float64)
    inner = tuple(slice(1, -1) for _ in range(values.ndim))
    names = "XYZ"[: values.ndim]
    under, over = 0.0, 0.0
    if not profile:
        under = float(values[0]) if values.ndim == 1 else 0.0
        over = float(values[-1]) if values.ndim == 1 else float(values.sum() - values[inner].sum())
    content_axis = {1: "fYaxis", 2: "fZaxis"}.get(values.ndim)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.clip(variances, 0.0, None))
    return Histogram(
        result=result,
        path=path,
        kind=kind,
        title=_text(item.member("fTitle")),
        axes=tuple(_axis(item.member(f"f{letter}axis")) for letter in names),
        y_title=_text(item.member(content_axis).member("fTitle")) if content_axis else "",
        values=values[inner],
        errors=errors[inner],
        entries=float(item.member("fEntries")),
        under=under,
        over=over,
        profile=profile,
    )


def _axis(axis: Any) -> Axis:
    bins = int(axis.member("fNbins"))
    edges = np.asarray(axis.member("fXbins"), dtype=np.float64)
    if len(edges) != bins + 1:
        edges = np.linspace(float(axis.member("fXmin")), float(axis.member("fXmax")), bins + 1)
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise ValueError("the edges of an axis do not rise")
    labels = [""] * bins
    for label in axis.member("fLabels") or ():
        number = int(label.member("@fUniqueID"))
        if 1 <= number <= bins:
            labels[number - 1] = str(label)
    return Axis(title=_text(axis.member("fTitle")), edges=edges, labels=tuple(labels) if any(labels) else ())


def _text(value: Any) -> str:
    return str(value or "")
