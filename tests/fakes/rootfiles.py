"""ROOT files with chosen contents, written by uproot, and an engine that adds histograms without ROOT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from uproot.writing.identify import to_TAxis, to_TH1x, to_THashList, to_TObjString

from septum.errors import MergeFailedError
from septum.merge.engine import Merging, Target
from septum.merge.ranges import RangeMerging
from septum.merge.rootfile import summarize
from septum.merge.summary import FileSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class H:
    """One histogram: its cells with both flow bins, and what else decides how it merges."""

    cells: Sequence[float]
    entries: float | None = None
    low: float = 0.0
    high: float = 1.0
    edges: Sequence[float] | None = None
    labels: Sequence[str] | None = None
    sumw2: bool = True
    dtype: str = ">f8"

    def written(self, name: str) -> Any:
        """What uproot writes."""
        cells = np.asarray(self.cells, dtype=self.dtype)
        bins = len(cells) - 2
        labels = None
        if self.labels is not None:
            strings = [to_TObjString(text) for text in self.labels]
            for number, string in enumerate(strings, 1):
                string._bases[0]._members["@fUniqueID"] = number
            labels = to_THashList(strings)
        axis = to_TAxis(
            "xaxis", "", bins, self.low, self.high, np.asarray(self.edges, ">f8") if self.edges is not None else None,
            fLabels=labels,
        )  # fmt: skip
        weights = np.asarray(self.cells, dtype=">f8")
        total = float(weights[1:-1].sum())
        return to_TH1x(
            name, "", cells, float(weights.sum()) if self.entries is None else self.entries, total, total, 0.0, 0.0,
            weights if self.sumw2 else np.asarray([], ">f8"), axis,
        )  # fmt: skip


def write_root(path: Path, objects: Mapping[str, H] | None = None, *, trees: Mapping[str, int] | None = None) -> Path:
    """Write a file with histograms, and with trees of so many rows."""
    with uproot.recreate(path) as file:
        for name, histogram in (objects or {}).items():
            file[name] = histogram.written(name.rsplit("/", 1)[-1])
        for name, rows in (trees or {}).items():
            file.mktree(name, {"x": "f8", "n": "i4"}).extend(
                {"x": np.arange(rows, dtype="f8"), "n": np.arange(rows, dtype="i4")}
            )
    return path


def read_cells(path: Path, name: str) -> list[float]:
    """The cells of a histogram with both flow bins."""
    with uproot.open(path) as file:
        return [float(value) for value in file[name].values(flow=True)]


@dataclass
class Adder:
    """An engine for histograms that really adds, and that can be told to cheat.

    Attributes:
        forget: Which source (by position) to leave out of every merge.
        twice: Which source to add twice.
        bump: Add this to one bin of the merged file.
        fail_with: Raise this instead of merging.
        write_nothing: Return without a file.
        drop: Leave this object out.
        extra: Write one object more, of this name.
        lose_sumw2: Write no errors.
        calls: Names of the sources of every merge so far.
    """

    forget: int | None = None
    twice: int | None = None
    bump: float = 0.0
    fail_with: str = ""
    write_nothing: bool = False
    drop: str = ""
    extra: str = ""
    lose_sumw2: bool = False
    calls: list[list[str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name and place, for the report."""
        return "adder (tests)"

    two_levels = True
    stamps = True

    def read(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Read a file with uproot."""
        return summarize(path, name=name, expected=expected)

    def begin(self, target: Target) -> Merging:
        """Begin a result."""
        return RangeMerging(self, target)

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str]) -> None:
        """Add the histograms of the sources."""
        assert not target.exists()
        self.calls.append([path.name for path in sources])
        if self.fail_with:
            raise MergeFailedError(f"merge: {self.fail_with}", fix="look")
        if self.write_nothing:
            return
        chosen = [path for number, path in enumerate(sources) if number != self.forget]
        if self.twice is not None:
            chosen.append(sources[self.twice])
        summed: dict[str, H] = {}
        for path in chosen:
            for name, one in _read(path).items():
                summed[name] = _add(summed[name], one) if name in summed else one
        if self.drop:
            summed.pop(self.drop, None)
        if self.extra:
            summed[self.extra] = next(iter(summed.values()))
        if self.bump:
            name, one = next(iter(summed.items()))
            cells = [*one.cells]
            cells[1] += self.bump
            summed[name] = _with(one, cells, one.entries)
        if self.lose_sumw2:
            summed = {name: _with(one, one.cells, one.entries, sumw2=False) for name, one in summed.items()}
        write_root(target, summed)


def _read(path: Path) -> dict[str, H]:
    found = {}
    with uproot.open(path) as file:
        for name, kind in file.classnames(recursive=True, cycle=False).items():
            if not kind.startswith("TH1"):
                continue
            item = file[name]
            axis = item.member("fXaxis")
            labels = axis.member("fLabels")
            found[name] = H(
                cells=[float(value) for value in item.values(flow=True)],
                entries=float(item.member("fEntries")),
                low=float(axis.member("fXmin")),
                high=float(axis.member("fXmax")),
                edges=[float(edge) for edge in axis.member("fXbins")] or None,
                labels=None if labels is None else [str(label) for label in labels],
                sumw2=len(item.member("fSumw2")) > 0,
                dtype={"D": ">f8", "F": ">f4", "I": ">i4"}[item.classname[-1]],
            )
    return found


def _add(one: H, other: H) -> H:
    cells = [left + right for left, right in zip(one.cells, other.cells, strict=True)]
    return _with(one, cells, (one.entries or 0.0) + (other.entries or 0.0), sumw2=one.sumw2 or other.sumw2)


def _with(one: H, cells: Sequence[float], entries: float | None, *, sumw2: bool | None = None) -> H:
    return H(
        cells=cells,
        entries=entries,
        low=one.low,
        high=one.high,
        edges=one.edges,
        labels=one.labels,
        sumw2=one.sumw2 if sumw2 is None else sumw2,
        dtype=one.dtype,
    )
