"""Reads any file of the probes with uproot, by code that knows no probe: what each object holds, and the exact sum."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uproot

Array = npt.NDArray[Any]
_ADDITIVE = (
    "fEntries", "fTsumw", "fTsumw2", "fTsumwx", "fTsumwx2", "fTsumwy", "fTsumwy2", "fTsumwxy", "fTsumwz", "fTsumwz2",
    "fTsumwxz", "fTsumwyz", "fSumw2", "fBinEntries", "fBinSumw2",
)  # fmt: skip
# Kinds of errors, flow bins in the mean, limits of y and errors of a profile.
_OPTIONS = ("fBinStatErrOpt", "fStatOverflows", "fYmin", "fYmax", "fErrorMode")
_IS_AVERAGE = 1 << 18  # TH1::kIsAverage
_AXES = ("fXaxis", "fYaxis", "fZaxis")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thing:
    """One object.

    Attributes:
        kind: Its class.
        size: What can be counted in it: entries, rows, points.
        unit: What is counted; empty when nothing is.
        arrays: What adds up, by name: `cells` of a histogram and its statistics, or `column …` of a tree.
        frame: What must stay as it is, as texts: the axes of a histogram.
        value: What else it holds; None where the arrays are all.
    """

    kind: str
    size: float = 0.0
    unit: str = ""
    arrays: Mapping[str, Array] = field(default_factory=dict)
    frame: tuple[str, ...] = ()
    value: Any = None


def read(path: Path, *, cycles: bool = True) -> dict[str, Thing]:
    """All objects of a file by their path, folders left out; older cycles have `;1` and so on at the end."""
    with uproot.open(path, object_cache=None, array_cache=None) as file:
        return dict(_walk(file, "", cycles=cycles))


def _walk(folder: Any, above: str, *, cycles: bool) -> Iterator[tuple[str, Thing]]:
    # Not by name: a slash in the name of an object is none of a path.
    keys = sorted(folder._keys, key=lambda key: (key.fName, -key.fCycle))
    last = ""
    for key in keys:
        name = key.fName.replace("/", "\\/")
        if key.fClassName.startswith("TDirectory"):
            yield from _walk(key.get(), f"{above}{name}/", cycles=cycles)
        elif key.fName != last or cycles:
            yield f"{above}{name}" + (f";{key.fCycle}" if key.fName == last else ""), _of_key(key)
        last = key.fName


def _of_key(key: Any) -> Thing:
    """An object, as far as uproot knows its class."""
    try:
        return _thing(key.get(), key.fClassName)
    except NotImplementedError:
        return Thing(kind=key.fClassName)


def _thing(item: Any, kind: str) -> Thing:
    if kind.startswith(("TTree", "TNtuple", "ROOT::RNTuple")):
        columns = {f"column {name}": np.asarray(item[name].array(library="np")) for name in item.keys()}  # noqa: SIM118
        return Thing(kind=kind, size=item.num_entries, unit="rows", arrays=columns, frame=_frame_of_tree(item))
    for known, reader in _READERS.items():
        if kind.startswith(known):
            return reader(item, kind)
    if "fXaxis" in getattr(item, "all_members", {}):
        return _histogram(item, kind)
    return Thing(kind=kind)


def _frame_of_tree(item: Any) -> tuple[str, ...]:
    """What a tree has besides its rows, and the types of the columns."""
    members = _all(item)
    frame = [f"{name} {kind}" for name, kind in sorted(item.typenames().items())]
    return (*frame, f"fWeight {members['fWeight']:g}") if "fWeight" in members else tuple(frame)


def _histogram(item: Any, kind: str) -> Thing:
    members = item.all_members
    arrays = {"cells": _cells(item)}
    for name in _ADDITIVE:
        if name in members and np.size(members[name]):
            arrays[name] = np.atleast_1d(np.asarray(members[name], dtype=np.float64))
    axes = [_axis(members[name]) for name in _AXES[: _dimension(kind)]]
    return Thing(
        kind=kind,
        size=float(members["fEntries"]),
        unit="entries",
        arrays=arrays,
        frame=(*axes, *_marks(members)),
    )


def _marks(members: Mapping[str, Any]) -> list[str]:
    """What else decides what the numbers of a histogram mean."""
    marks = ["average"] if members["@fBits"] & _IS_AVERAGE else []
    marks += [f"{len(members['fBuffer'])} numbers in the buffer"] if len(members["fBuffer"]) else []
    marks += [f"{name} {members[name]:g}" for name in _OPTIONS if name in members]
    marks += [
        f"{item.member('fName')} {_function(item, '').value}"
        for item in members["fFunctions"]
        if item.classname == "TF1"
    ]
    return marks


def _dimension(kind: str) -> int:
    digit = next((letter for letter in kind.removeprefix("TProfile").removeprefix("TH") if letter.isdigit()), "1")
    return int(digit)


def _cells(item: Any) -> Array:
    for base in item.bases:
        if type(base).__name__.startswith("Model_TArray"):
            return np.asarray(base)
        found = _cells(base)
        if len(found):
            return found
    return np.asarray([])


def _axis(axis: Any) -> str:
    edges = [float(edge) for edge in axis.member("fXbins")]
    labels = {int(label.member("@fUniqueID")): str(label) for label in axis.member("fLabels") or ()}
    low, high = float(axis.member("fXmin")), float(axis.member("fXmax"))
    uniform = [low + bin_ * (high - low) / max(1, len(edges) - 1) for bin_ in range(len(edges))]
    span = f"{low:g} to {high:g}" if edges == uniform else "edges " + " ".join(f"{edge!r}" for edge in edges)
    first, last, bins = (int(axis.member(name)) for name in ("fFirst", "fLast", "fNbins"))
    words = [f"{bins} bins", span]
    words += [f"labels {' '.join(labels.get(bin_, '-') for bin_ in range(1, bins + 1))}"] if labels else []
    words += [f"zoomed to {first} to {last}"] if (first, last) not in {(0, 0), (1, bins)} else []
    words += [str(axis.member("fTitle"))] if axis.member("fTitle") else []
    return ", ".join(words)


def _all(item: Any) -> dict[str, Any]:
    return dict(getattr(item, "all_members", {}))


def _graph(item: Any, kind: str) -> Thing:
    members = _all(item)
    points = [(float(x), float(y)) for x, y in zip(members["fX"], members["fY"], strict=True)]
    return Thing(kind=kind, size=len(points), unit="points", value=points)


def _collection(items: Sequence[Any], kind: str) -> Thing:
    inner = [_thing(part, part.classname) for part in items]
    arrays = {f"{number} {name}": array for number, part in enumerate(inner) for name, array in part.arrays.items()}
    frame = tuple(text for part in inner for text in part.frame)
    return Thing(kind=kind, size=sum(part.size for part in inner), unit="entries", arrays=arrays, frame=frame)


def _sparse(item: Any, kind: str) -> Thing:
    members = _all(item)
    frame = tuple(_axis(axis) for axis in members["fAxes"])
    return Thing(kind=kind, size=float(members["fEntries"]), unit="entries", frame=frame)


def _polygons(item: Any, kind: str) -> Thing:
    contents = [float(_all(bin_)["fContent"]) for bin_ in _all(item)["fBins"]]
    return Thing(kind=kind, size=float(_all(item)["fEntries"]), unit="entries", arrays={"cells": np.asarray(contents)})


def _function(item: Any, kind: str) -> Thing:
    return Thing(kind=kind, value=[float(number) for number in _all(_all(item)["fFormula"])["fClingParameters"]])


_READERS: dict[str, Callable[[Any, str], Thing]] = {
    "TParameter": lambda item, kind: Thing(kind=kind, value=_all(item)["fVal"]),
    "TNamed": lambda item, kind: Thing(kind=kind, value=str(_all(item)["fTitle"])),
    "TObjString": lambda item, kind: Thing(kind=kind, value=str(item)),
    "TVectorT": lambda item, kind: Thing(kind=kind, value=[float(number) for number in _all(item)["fElements"]]),
    "TGraph": _graph,
    "TF1": _function,
    "THnSparse": _sparse,
    "TH2Poly": _polygons,
    "THStack": lambda item, kind: _collection(list(_all(item)["fHists"]), kind),
    "TList": lambda item, kind: _collection(list(item), kind),
}


def exact_sum(things: Sequence[Thing]) -> dict[str, Array] | None:
    """What adds up, added up: each number is the exact sum of those of the things, rounded once. Columns are joined.

    Returns:
        None where there is no such sum: other kinds, axes or columns.
    """
    first, all_arrays = things[0], _alike([thing.arrays for thing in things])
    if any((thing.kind, thing.frame) != (first.kind, first.frame) for thing in things):
        return None
    if any(arrays.keys() != all_arrays[0].keys() for arrays in all_arrays):
        return None
    return {
        name: np.concatenate([arrays[name] for arrays in all_arrays])
        if name.startswith("column ")
        else _add([arrays[name] for arrays in all_arrays])
        for name in all_arrays[0]
    }


def _alike(all_arrays: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """Squared errors in all histograms if in one: those of a histogram without are its contents, as ROOT takes them.

    Statistics of x and y in none if one has contents and no statistics: ROOT then computes them from the bins.
    """
    alike = [dict(arrays) for arrays in all_arrays]
    weighted = any("fSumw2" in arrays for arrays in alike)
    of_bins = any("fTsumw" in arrays and not arrays["fTsumw"][0] and arrays["cells"].any() for arrays in alike)
    for arrays in alike:
        if weighted and "fSumw2" not in arrays and "cells" in arrays:
            arrays["fSumw2"] = np.abs(np.asarray(arrays["cells"], dtype=np.float64))
        for name in [name for name in arrays if of_bins and name.startswith("fTsum")]:
            del arrays[name]
    return alike


def _add(arrays: Sequence[Array]) -> Array:
    """The exact sums; whole numbers may be larger than the type of the arrays holds."""
    stacked = np.stack(arrays)
    single = stacked.dtype.name == "float32"
    with np.errstate(over="ignore"):
        # Zeros add up to zeros by any way; most cells are.
        total: Array = stacked.sum(axis=0).astype(object)
        for cell in np.flatnonzero(stacked.any(axis=0)):
            total[cell] = _fsum(list(stacked[:, cell]))
            # Single precision rounds, but whole numbers are counts.
            if single and np.mod(stacked[:, cell], 1).any():
                total[cell] = float(np.float32(total[cell]))
    return total


def _fsum(numbers: Sequence[Any]) -> Any:
    if all(isinstance(number, np.integer) for number in numbers):
        return sum(int(number) for number in numbers)
    floats = [float(number) for number in numbers]
    if all(map(math.isfinite, floats)) and any(floats):
        exact = sum(map(Fraction, floats), Fraction())
        # Beyond what a double holds, a whole number of any size.
        return float(exact) if abs(exact) <= Fraction(sys.float_info.max) else int(exact)
    return sum(floats)
