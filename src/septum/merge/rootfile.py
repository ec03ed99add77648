"""Reads ROOT files with uproot, which shares no code with the engine that merges them: what is in there, and how much.

A summary holds, for every object, what must be equal in all parts (its structure) and what must add up (its content).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uproot

from septum.errors import NotConservedError, OutputDamagedError, OutputMissingError, StructureError

_HISTOGRAM = re.compile(r"TH[123][CSILFD]|TProfile(2D|3D)?")
_TREE = re.compile(r"TTree|TNtuple[D]?")
_NTUPLE = re.compile(r"ROOT::(Experimental::)?RNTuple")
_FOLDER = re.compile(r"TDirectory(File)?")
_IS_AVERAGE = 1 << 18  # TH1::kIsAverage in TH1.h
_FLOAT_EPSILON = {"F": 2.0**-23, "D": 2.0**-52}

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectSummary:
    """One object of a file.

    Attributes:
        kind: Its class.
        structure: All that must be equal in every part, as text: axes with edges and labels, or columns with types.
        entries: Entries of a histogram or rows of a tree.
        content: Everything of a histogram that adds up, flow bins included, shape (n,); None for trees.
        epsilon: The relative rounding of one addition in `content`'s own type; 0 for whole numbers.
        columns: Of a tree or ntuple, a sum over the bits of each column, which adds up when rows are put together.
    """

    kind: str
    structure: str
    entries: float
    content: Array | None
    epsilon: float
    columns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class FileSummary:
    """All objects of a file by their path."""

    objects: Mapping[str, ObjectSummary]

    @property
    def structure(self) -> str:
        """The sha256 of the structure of all objects."""
        pieces = [(path, item.kind, item.structure) for path, item in sorted(self.objects.items())]
        return hashlib.sha256(json.dumps(pieces).encode()).hexdigest()


def summarize(path: Path, *, name: str, expected: Sequence[str] = (), merged: bool = True) -> FileSummary:
    """Read a ROOT file and sum up what it holds.

    Args:
        path: The file.
        name: How messages name it: the output and its part.
        expected: Objects that must be there.
        merged: Whether it goes into a result; of other files, only the list of their objects is read.

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
            kinds = file.classnames(recursive=True, cycle=False)
            objects = {
                key: _summarize_object(file, key, kind, name) if merged else ObjectSummary(kind, "", 0.0, None, 0.0)
                for key, kind in kinds.items()
                if not _FOLDER.fullmatch(kind)
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


def _summarize_object(file: Any, key: str, kind: str, name: str) -> ObjectSummary:
    if _HISTOGRAM.fullmatch(kind):
        return _summarize_histogram(file[key], kind, f"{name}: {key}")
    if _TREE.fullmatch(kind) or _NTUPLE.fullmatch(kind):
        item = file[key]
        structure = json.dumps(item.typenames(), sort_keys=True)
        return ObjectSummary(kind, structure, float(item.num_entries), None, 0.0, _column_sums(item))
    raise StructureError(
        f"{name}: {key!r} is a {kind}, and septum cannot check how objects of this class merge",
        evidence="histograms, profiles, trees and ntuples are checked; hadd adds or repeats others without a word",
        fix=f"leave {key!r} out of the file, or write it as a histogram or into an output of its own",
    )


def _column_sums(item: Any) -> dict[str, int]:
    """Add up the bits of every column that uproot reads as arrays, modulo 2**64: equal rows give equal sums."""
    import awkward as ak

    sums: dict[str, int] = {}
    options = {} if "RNTuple" in type(item).__name__ else {"filter_branch": _is_plain}
    for rows in item.iterate(library="ak", step_size="50 MB", **options):
        for name in rows.fields:
            _, _, buffers = ak.to_buffers(ak.to_packed(rows[name]))
            for key, buffer in buffers.items():
                if key.endswith("-data"):
                    raw = np.ascontiguousarray(buffer).view(np.uint8)
                    width = buffer.dtype.itemsize if buffer.dtype.itemsize in {1, 2, 4, 8} else 1
                    words = raw.view(f"u{width}")
                    total = int(words.sum(dtype=np.uint64)) + len(words)  # the number, for zeros that go missing
                    sums[name] = (sums.get(name, 0) + total) % 2**64
    return sums


def _is_plain(branch: Any) -> bool:
    interpretation = uproot.interpretation
    plain = (interpretation.numerical.AsDtype, interpretation.jagged.AsJagged, interpretation.strings.AsStrings)
    return isinstance(branch.interpretation, plain)


def _summarize_histogram(item: Any, kind: str, name: str) -> ObjectSummary:
    if int(item.member("@fBits")) & _IS_AVERAGE:
        raise StructureError(
            f"{name} is marked as an average (kIsAverage), which hadd adds up as if it were not",
            fix="write the sum and the number of entries instead, and divide after the merge",
        )
    members = item.all_members
    dimension = 3 if kind == "TProfile3D" or kind.startswith("TH3") else 2 if "2" in kind else 1
    axes = [_axis(members[f"f{letter}axis"]) for letter in "XYZ"[:dimension]]
    zoomed = [f"{letter}-axis" for letter in "XYZ"[:dimension] if _has_range(members[f"f{letter}axis"])]
    if zoomed:
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


def first_difference(one: FileSummary, other: FileSummary) -> str:
    """Say where two files differ in structure, in one line."""
    for path in sorted(set(one.objects) | set(other.objects)):
        left, right = one.objects.get(path), other.objects.get(path)
        if left is None or right is None:
            return f"{path!r} is in one of them only"
        if left.kind != right.kind:
            return f"{path!r} is a {left.kind} in one and a {right.kind} in the other"
        if left.structure != right.structure:
            return f"{path!r}: {_shortened(left.structure)} in one, {_shortened(right.structure)} in the other"
    return "no difference"


def _shortened(structure: str) -> str:
    try:
        data = json.loads(structure)
        if "axes" in data:
            axes = [f"{bins} bins from {low:g} to {high:g}" for bins, low, high, *_ in data["axes"]]
            details = [f", {len(edges)} edges" if edges else "" for *_, edges, _ in data["axes"]]
            return " × ".join(axis + detail for axis, detail in zip(axes, details, strict=True))
        return f"{len(data)} columns ({', '.join(sorted(data)[:4])}…)"
    except (ValueError, TypeError):
        return structure[:120]


class Total:
    """The sum of what parts hold, to compare a merged file with."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: dict[str, tuple[float, Array | None, Array | None]] = {}
        self._columns: dict[tuple[str, str], int] = {}

    def add(self, summary: FileSummary) -> None:
        """Add one part; all parts have the same structure."""
        self._count += 1
        for path, item in summary.objects.items():
            entries, content, scale = self._sums.get(path, (0.0, None, None))
            if item.content is not None:
                if content is None or scale is None:
                    content, scale = item.content.copy(), np.abs(item.content)
                else:
                    # With Sumw2 in some parts only, the shorter one decides what can be compared.
                    shared = min(len(content), len(item.content))
                    content, scale = (
                        content[:shared] + item.content[:shared],
                        scale[:shared] + np.abs(item.content[:shared]),
                    )
            self._sums[path] = (entries + item.entries, content, scale)
            for column, total in item.columns.items():
                self._columns[path, column] = (self._columns.get((path, column), 0) + total) % 2**64

    def check(self, merged: FileSummary, *, name: str) -> None:
        """Compare a merged file with the sum of its parts.

        Raises:
            NotConservedError: An object is missing or new, entries differ, or a bin differs by more than rounding.
        """
        fix = "keep the state folder and report this: the merge engine lost or invented something"
        if set(merged.objects) != set(self._sums):
            differ = sorted(set(merged.objects) ^ set(self._sums))
            raise NotConservedError(f"{name}: the merged file and the parts differ in {differ[0]!r}", fix=fix)
        for path, (entries, content, scale) in self._sums.items():
            item = merged.objects[path]
            whole = float(entries).is_integer() and abs(entries) < 2.0**53
            if item.entries != entries if whole else not np.isclose(item.entries, entries, rtol=1e-9, atol=0):
                raise NotConservedError(
                    f"{name}: {path!r} has {item.entries:.17g} entries, its parts have {entries:.17g}", fix=fix
                )
            for column, total in item.columns.items():
                if self._columns.get((path, column), 0) != total:
                    raise NotConservedError(
                        f"{name}: column {column!r} of {path!r} does not hold the rows of its parts",
                        evidence=f"{item.entries:.17g} rows, as many as in the parts, and other values",
                        fix=fix,
                    )
            if content is None or scale is None or item.content is None:
                continue
            length = len(content)
            if len(item.content) < length:
                raise NotConservedError(
                    f"{name}: {path!r} lost the errors (Sumw2) that all its parts have",
                    evidence=f"{len(item.content)} values merged, {length} in every part",
                    fix=fix,
                )
            # The engine's additions in its own type, and ours in double.
            allowed = (_additions(self._count) * item.epsilon + self._count * 2.0**-52) * scale
            found = item.content[:length]
            same = (found == content) | (np.isnan(found) & np.isnan(content))
            with np.errstate(invalid="ignore"):  # infinity less infinity
                close = np.isfinite(found) & np.isfinite(content) & (np.abs(found - content) <= allowed)
            wrong = ~(same | close)
            if wrong.any():
                where = int(np.argmax(wrong))
                raise NotConservedError(
                    f"{name}: {path!r} does not hold the sum of its parts",
                    evidence=f"cell {where}: {found[where]:.17g} merged, {content[where]:.17g} in the parts",
                    fix=fix + ("; whole-number histograms overflow" if item.epsilon == 0 else ""),
                )


def _additions(count: int) -> int:
    """At most so many additions lie between a part and its result: `septum.merge.results` merges in two levels.

    Not simply the number of parts: of thousands of them in single precision, one could be lost within that rounding.
    """
    return min(count, max(40, 2 * math.isqrt(count) + 2)) + 1


def entries_by_object(summary: FileSummary) -> dict[str, tuple[str, float]]:
    """Class and entries of every object, for tables and the manifest."""
    return {path: (item.kind, item.entries) for path, item in summary.objects.items()}
