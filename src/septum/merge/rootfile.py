"""Reads ROOT files with uproot, which shares no code with the engine that merges them: what is in there, and how much.

A summary holds, for every object, what must be equal in all parts (its structure) and what must add up (its content).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from septum.errors import OutputDamagedError, OutputMissingError, StructureError
from septum.merge.summary import FileSummary, ObjectSummary, structure_of


def _import_uproot() -> Any:
    """Uproot without pyarrow, which the tables of awkward take along where it is installed: 26 MB that nobody asked."""
    if "pyarrow" in sys.modules:
        import uproot

        return uproot
    sys.modules["pyarrow"] = None  # type: ignore[assignment]
    try:
        import uproot
    finally:
        del sys.modules["pyarrow"]
    return uproot


uproot = _import_uproot()

_HISTOGRAM = re.compile(r"TH[123][CSILFD]|TProfile(2D|3D)?")
_TREE = re.compile(r"TTree|TNtuple[D]?")
_NTUPLE = re.compile(r"ROOT::(Experimental::)?RNTuple")
_FOLDER = re.compile(r"TDirectory(File)?")
_IS_AVERAGE = 1 << 18  # TH1::kIsAverage in TH1.h
_FLOAT_EPSILON = {"F": 2.0**-23, "D": 2.0**-52}


def summarize(
    path: Path,
    *,
    name: str,
    expected: Sequence[str] = (),
    merged: bool = True,
    unchecked: bool = False,
    marks: bool = True,
) -> FileSummary:
    """Read a ROOT file and sum up what it holds.

    Args:
        path: The file.
        name: How messages name it: the output and its part.
        expected: Objects that must be there.
        merged: Whether it goes into a result; of other files, only the list of their objects is read.
        unchecked: Whether objects of other classes than histograms, trees and ntuples may be there; of them, only the
            class is known.
        marks: Whether averages and axes with a range are refused.

    Raises:
        OutputDamagedError: Not a ROOT file, cut off, never closed, empty, or an object cannot be read.
        OutputMissingError: An expected object is not there.
        StructureError: An object is of a class whose merge cannot be checked.
    """
    try:
        with uproot.open(path, object_cache=None, array_cache=None) as file:
            written_to, size = int(file.file.fEND), path.stat().st_size
            if written_to != size:
                raise OutputDamagedError(
                    f"{name}: the file was not closed, or was cut off",
                    evidence=f"its header ends at byte {written_to}, the file at byte {size}",
                    fix="close the file in the analysis; did the job run out of time or memory?",
                )
            objects = {
                path: _summarize_object(folder, key, kind, f"{name}: {path}", unchecked=unchecked, marks=marks)
                if merged
                else ObjectSummary(kind, "", 0.0, None, 0.0)
                for path, folder, key, kind in _walk(file, "")
            }
    except (OutputDamagedError, StructureError):
        raise
    except Exception as error:  # uproot raises many kinds on damaged files
        detail = (str(error).strip().splitlines() or [""])[0]
        raise OutputDamagedError(
            f"{name}: cannot be read as a ROOT file",
            evidence=f"{type(error).__name__}: {detail}"[:300],
            fix="look at the part's log; the file is damaged as the job left it",
        ) from error
    if missing := [item for item in expected if item not in objects]:
        raise OutputMissingError(
            f"{name}: the object {missing[0]!r} is not in the file",
            evidence=f"it holds: {', '.join(sorted(objects)[:8]) or 'nothing'}",
            fix="correct the analysis, or 'objects' of this output in septum.yaml",
        )
    if not objects:
        raise OutputDamagedError(
            f"{name}: the file holds no objects", fix="did the job end before it wrote its histograms?"
        )
    return FileSummary(objects)


def _walk(folder: Any, above: str) -> Iterator[tuple[str, Any, str, str]]:
    """Every object below: its path, its folder, its key there with the newest cycle, its class.

    A folder is opened once; by their paths from the top, uproot would open it anew for every object in it.
    """
    for key, kind in folder.classnames(recursive=False, cycle=False).items():
        if _FOLDER.fullmatch(kind):
            yield from _walk(folder[key], f"{above}{key}/")
        else:
            yield above + key, folder, key, kind


def _summarize_object(folder: Any, key: str, kind: str, name: str, *, unchecked: bool, marks: bool) -> ObjectSummary:
    """One object; `name` is how messages name it."""
    if _HISTOGRAM.fullmatch(kind):
        return _summarize_histogram(folder[key], kind, name, marks=marks)
    if _TREE.fullmatch(kind) or _NTUPLE.fullmatch(kind):
        item = folder[key]
        structure = _columns_of(item, is_tree=not _NTUPLE.fullmatch(kind))
        return ObjectSummary(kind, structure, float(item.num_entries), None, 0.0, _column_sums(item))
    if unchecked:
        return ObjectSummary(kind, "", 0.0, None, 0.0)
    raise StructureError(
        f"{name} is a {kind}, and septum cannot check how objects of this class merge",
        evidence="histograms, profiles, trees and ntuples are checked; hadd adds or repeats others without a word",
        fix="leave it out of the file, or write it as a histogram or into an output of its own; "
        "or, in septum.yaml: policies: {unchecked: hadd}",
    )


def tree_structure(path: Path, tree: str) -> str:
    """The structure of a tree in a file, as `summarize` gives it, without reading its rows.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        with uproot.open(path, object_cache=None, array_cache=None) as file:
            return _columns_of(file[tree], is_tree=True)
    except Exception as error:  # uproot raises many kinds on damaged files
        raise ValueError(f"{tree!r} cannot be read: {error}") from error


def _columns_of(item: Any, *, is_tree: bool) -> str:
    return structure_of(item.typenames(), float(item.member("fWeight")) if is_tree else None)


def hash_columns(paths: Iterable[Path]) -> dict[tuple[str, str], bytes]:
    """Hash the columns of all trees and ntuples of some files, as if each were one with the rows of all files.

    Returns:
        A hash for each path of a tree and column that uproot reads as arrays.
    """
    hashes: dict[tuple[str, str, str], xxhash.xxh3_128] = {}
    for path in paths:
        with uproot.open(path, object_cache=None, array_cache=None) as file:
            for where, folder, key, kind in _walk(file, ""):
                if not _TREE.fullmatch(kind) and not _NTUPLE.fullmatch(kind):
                    continue
                for column, buffer, values in _buffers(folder[key]):
                    hashes.setdefault((where, column, buffer), xxhash.xxh3_128()).update(values.view(np.uint8))
    columns: dict[tuple[str, str], bytes] = {}
    for (where, column, _), made in sorted(hashes.items()):
        columns[where, column] = columns.get((where, column), b"") + made.digest()
    return columns


def _column_sums(item: Any) -> dict[str, int]:
    """Add up the bits of every column that uproot reads as arrays, modulo 2**64: equal rows give equal sums."""
    sums: dict[str, int] = {}
    for name, buffer, values in _buffers(item):
        if buffer.endswith("-data"):
            width = values.dtype.itemsize if values.dtype.itemsize in {1, 2, 4, 8} else 1
            words = values.view(np.uint8).view(f"u{width}")
            total = int(words.sum(dtype=np.uint64)) + len(words)  # the number, for zeros that go missing
            sums[name] = (sums.get(name, 0) + total) % 2**64
    return sums


def _buffers(item: Any) -> Iterator[tuple[str, str, Any]]:
    """The values of every column that uproot reads as arrays, some rows at a time.

    Yields:
        The name of the column, that of one of its buffers, and what is in it; for rows of any length, their lengths.
    """
    import awkward as ak

    options = {} if "RNTuple" in type(item).__name__ else {"filter_branch": _is_plain}
    for rows in item.iterate(library="ak", step_size="50 MB", **options):
        for name in rows.fields:
            _, _, buffers = ak.to_buffers(ak.to_packed(rows[name]))
            for key, buffer in buffers.items():
                if key.endswith("-data"):
                    yield name, key, np.ascontiguousarray(buffer)
                elif key.endswith("-offsets"):
                    yield name, key, np.diff(buffer).astype(np.int64)


def _is_plain(branch: Any) -> bool:
    interpretation = uproot.interpretation
    plain = (interpretation.numerical.AsDtype, interpretation.jagged.AsJagged, interpretation.strings.AsStrings)
    return isinstance(branch.interpretation, plain)


def _summarize_histogram(item: Any, kind: str, name: str, *, marks: bool) -> ObjectSummary:
    if marks and int(item.member("@fBits")) & _IS_AVERAGE:
        raise StructureError(
            f"{name} is marked as an average (kIsAverage), which hadd adds up as if it were not",
            fix="write the sum and the number of entries instead, and divide after the merge",
        )
    members = item.all_members
    dimension = 3 if kind == "TProfile3D" or kind.startswith("TH3") else 2 if "2" in kind else 1
    axes = [_axis(members[f"f{letter}axis"]) for letter in "XYZ"[:dimension]]
    zoomed = [f"{letter}-axis" for letter in "XYZ"[:dimension] if _has_range(members[f"f{letter}axis"])]
    if marks and zoomed:
        raise StructureError(
            f"{name} has a range set on its {zoomed[0]} (SetRange, SetRangeUser), with which hadd loses statistics",
            fix="write the histogram with its whole axis: h.GetXaxis().UnZoom(), and set the range where it is drawn",
        )
    pieces = [np.asarray(_bins(item), dtype=np.float64)]
    additive = (members[name] for name in ("fSumw2", "fBinEntries", "fBinSumw2") if name in members)
    pieces += [np.asarray(values, dtype=np.float64) for values in additive]
    # A histogram without Sumw2 in some parts is right to merge; only the content is compared then.
    structure = {"axes": axes, "cells": int(members["fNcells"]), "error": members.get("fErrorMode")}
    letter = kind[-1] if kind.startswith("TH") else "D"
    return ObjectSummary(
        kind, json.dumps(structure), float(members["fEntries"]), np.concatenate(pieces), _FLOAT_EPSILON.get(letter, 0.0)
    )


def _bins(item: Any) -> Any:
    """The array base of a histogram: what ROOT calls fArray."""
    for base in item.bases:
        if type(base).__name__.startswith("Model_TArray"):
            return base
        found = _bins(base)
        if found is not None:
            return found
    return None


def _has_range(axis: Any) -> bool:
    first, last = int(axis.member("fFirst")), int(axis.member("fLast"))
    return (first, last) not in {(0, 0), (1, int(axis.member("fNbins")))}


def _axis(axis: Any) -> list[Any]:
    edges = [float(edge) for edge in axis.member("fXbins")]
    labels = axis.member("fLabels")
    named = None if labels is None else sorted((int(label.member("@fUniqueID")), str(label)) for label in labels)
    return [int(axis.member("fNbins")), float(axis.member("fXmin")), float(axis.member("fXmax")), edges, named]
