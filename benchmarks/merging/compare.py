"""Whether two merged files hold the same: read by uproot, all numbers, by code that knows no contender."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import uproot

_FOLDER = "TDirectory"
_ADDITIVE = ("fEntries", "fTsumw", "fTsumw2", "fTsumwx", "fTsumwx2", "fSumw2")
_KEPT = ("fNcells",)
_AXIS = ("fNbins", "fXmin", "fXmax")


def compare(reference: Path, path: Path, *, files: int) -> str:
    """Compare a merged file with hadd's.

    Args:
        reference: What hadd wrote.
        path: What a contender wrote.
        files: How many files were merged: as many additions may be rounded differently.

    Returns:
        `equal`, or how large the largest difference by rounding is.

    Raises:
        ValueError: They differ by more; the message says in what.
    """
    largest = 0.0
    with uproot.open(reference) as one, uproot.open(path) as other:
        kinds = [_kinds(file) for file in (one, other)]
        if kinds[0] != kinds[1]:
            differ = sorted(set(kinds[0].items()) ^ set(kinds[1].items()))
            raise ValueError(f"other objects: {differ[0][0]} ({len(differ)} differ)")
        for key, kind in kinds[0].items():
            if kind.startswith("TH"):
                largest = max(largest, _compare_histograms(one[key], other[key], key, files))
            else:
                _compare_rows(one[key], other[key], key)
    return f"rounding up to {largest:.0e}" if largest else "equal"


def total(path: Path) -> tuple[int, float]:
    """How many numbers of histograms add up in a file, and their sum: what the floor prints."""
    with uproot.open(path) as file:
        arrays = [array for key in _kinds(file) for array in _arrays(file[key]).values()]
    return sum(map(np.size, arrays)), float(sum(np.sum(array) for array in arrays))


def _kinds(file: Any) -> dict[str, str]:
    return {key: kind for key, kind in file.classnames(cycle=False).items() if not kind.startswith(_FOLDER)}


def _arrays(item: Any) -> dict[str, Any]:
    members = item.all_members
    return {
        "contents": np.asarray(item.values(flow=True)),
        **{name: np.atleast_1d(np.asarray(members[name])) for name in _ADDITIVE},
    }


def _compare_histograms(one: Any, other: Any, key: str, files: int) -> float:
    for name, left, right in _constants(one.all_members, other.all_members):
        if left != right:
            raise ValueError(f"{key}: {name} is {right!r} instead of {left!r}")
    left_arrays, right_arrays = _arrays(one), _arrays(other)
    largest = 0.0
    for name, left in left_arrays.items():
        right = right_arrays[name]
        if len(left) != len(right):
            raise ValueError(f"{key}: {name} has {len(right)} numbers instead of {len(left)}")
        scale = float(np.abs(left).max()) or 1.0
        apart = float(np.abs(left - right).max()) / scale
        if not apart <= files * 2.0**-52:
            where = int(np.argmax(np.abs(left - right)))
            raise ValueError(f"{key}: {name}[{where}] is {right[where]:.6g} instead of {left[where]:.6g}")
        largest = max(largest, apart)
    return largest


def _constants(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in _KEPT:
        yield name, one[name], other[name]
    for name in _AXIS:
        yield name, one["fXaxis"].member(name), other["fXaxis"].member(name)


def _compare_rows(one: Any, other: Any, key: str) -> None:
    """In any order: hadd with several processes has another one."""
    if one.keys() != other.keys() or one.num_entries != other.num_entries:
        raise ValueError(f"{key}: {other.num_entries} rows of {len(other.keys())} columns")
    for name in one.keys():  # noqa: SIM118 - not a dict
        left, right = (np.sort(np.asarray(item[name].array(library="np"))) for item in (one, other))
        if not np.array_equal(left, right):
            raise ValueError(f"{key}: other values in column {name}")
