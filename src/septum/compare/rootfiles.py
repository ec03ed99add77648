"""Reads ROOT files with uproot into values to compare: histograms, tables, and everything else as numbers."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uproot

from septum.compare.histograms import Axis, Histogram
from septum.compare.plain import Plain
from septum.compare.verdicts import said
from septum.errors import NotComparableError

_HISTOGRAM = re.compile(r"TH[123][CSILFD]|TProfile(2D|3D)?")
_NTUPLE = re.compile(r"ROOT::(Experimental::)?RNTuple")
_TABLE = re.compile(r"ROOT::RNTuple|TTree|TNtupleD?|TChain")
_FOLDER = re.compile(r"TDirectory(File)?")
_STATISTIC = re.compile(r"fTsumw([xyzt]*2?)")
_IS_AVERAGE = 1 << 18  # TH1::kIsAverage in TH1.h
_LIMITS = re.compile(r"f[YZT]m(in|ax)")
_UNKNOWN = (
    uproot.interpretation.identify.UnknownInterpretation,
    uproot.interpretation.objects.CannotBeAwkward,
)
"""What uproot says of columns that it cannot read."""
_DRAWN = frozenset({"fFunctions", "fHistogram", "fContour", "fOption", "fMinimum", "fMaximum"})
"""What a graph carries along for its picture."""
_DEEPEST = 64
_MOST_KEYS = 2_000_000
_MOST_NUMBERS = 100_000
"""Of an object that is neither histogram nor table; a larger one is compared by its bytes."""

Place = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """One object of a file, not read yet."""

    kind: str
    key: Any

    @property
    def is_histogram(self) -> bool:
        """Whether it is a histogram or a profile."""
        return bool(_HISTOGRAM.fullmatch(self.kind))

    @property
    def is_table(self) -> bool:
        """Whether what stands under its key is only the way to its content."""
        return bool(_TABLE.fullmatch(self.kind))

    def raw(self) -> bytes:
        """What stands in the file, without compression. Equal bytes of a histogram are equal histograms."""
        chunk, _ = self.key.get_uncompressed_chunk_cursor()
        return bytes(chunk.raw_data)

    def content(self) -> Histogram | RootTable | Plain:
        """Read it.

        Raises:
            Exception: Of many kinds; the object is damaged, or of a class that uproot cannot read.
        """
        item = self.key.get()
        if self.is_histogram:
            return _histogram(item, self.kind)
        if hasattr(item, "num_entries"):
            return RootTable(item, self.kind)
        return _plain(item, self.kind)


@contextlib.contextmanager
def opened(path: Path, *, name: str) -> Iterator[Mapping[Place, Stored]]:
    """The objects of a ROOT file by their path, each in its highest cycle, while it is open.

    Args:
        path: The file.
        name: How messages call it.

    Raises:
        NotComparableError: Not a ROOT file, cut off, or never closed.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(
                uproot.open(path, object_cache=None, array_cache=None, handler=uproot.MemmapSource)
            )
            written_to, size = int(file.file.fEND), path.stat().st_size
            objects = _walk(file) if written_to == size else {}
        except Exception as error:  # uproot raises many kinds on damaged files
            raise unreadable(error, name) from error
        if written_to != size:
            raise NotComparableError(
                f"compare: {name} was not closed, or was cut off",
                evidence=f"its header ends at byte {written_to}, the file at byte {size}",
                fix="take the file from where it was made again",
            )
        yield objects


def unreadable(error: Exception, name: str) -> NotComparableError:
    """The error of a file that a library cannot read."""
    return NotComparableError(
        f"compare: {name} cannot be read",
        evidence=said(error),
        fix="check that it is a whole file of the format that its name says",
    )


def _walk(file: Any) -> dict[Place, Stored]:
    """All objects of a file.

    By their keys: a name may hold what uproot's paths take for a folder or a cycle, and each look-up by path would read
    the folders on the way again.
    """
    found: dict[Place, Stored] = {}
    folders: list[tuple[Place, Any]] = [((), file)]
    keys = 0
    while folders:
        above, folder = folders.pop()
        highest: dict[str, Any] = {}
        for key in folder._keys:  # noqa: SLF001 - see above
            if key.fName not in highest or abs(key.fCycle) > abs(highest[key.fName].fCycle):
                highest[key.fName] = key
        keys += len(highest)
        if keys > _MOST_KEYS or len(above) > _DEEPEST:
            # A folder may be in itself.
            raise ValueError(f"more than {_MOST_KEYS} objects, or folders more than {_DEEPEST} deep")
        for name, key in highest.items():
            if _FOLDER.fullmatch(key.fClassName):
                folders.append(((*above, name), key.get()))
            else:
                kind = "ROOT::RNTuple" if _NTUPLE.fullmatch(key.fClassName) else key.fClassName
                found[(*above, name)] = Stored(kind, key)
    return found


# ── histograms ──────────────────────────────────────────────────────────────────────────────────────────────────


def _histogram(item: Any, kind: str) -> Histogram:
    members = item.all_members
    dimension = int(next((digit for digit in kind if digit.isdigit()), "1"))
    axes = tuple(_axis(members[f"f{letter}axis"]) for letter in "XYZ"[:dimension])
    cells = _native(_array(item))
    if len(cells) != np.prod([axis.bins + 2 for axis in axes], dtype=object):
        raise ValueError(f"{len(cells)} cells do not fit its axes")
    marks = {"average": float(bool(int(members["@fBits"]) & _IS_AVERAGE))}
    weights = None
    if kind.startswith("TProfile"):
        weights = _sums(members["fBinEntries"], len(cells))
        marks["error mode"] = float(members.get("fErrorMode", 0))
        marks |= {name: float(value) for name, value in members.items() if _LIMITS.fullmatch(name)}
    statistics = {match[1]: float(value) for name, value in members.items() if (match := _STATISTIC.fullmatch(name))}
    return Histogram(
        kind=kind,
        title=str(members["fTitle"]),
        axes=axes,
        cells=cells,
        sumw2=_sums(members["fSumw2"], len(cells)),
        weights=weights,
        weights2=_sums(members["fBinSumw2"], len(cells)) if "fBinSumw2" in members else None,
        entries=float(members["fEntries"]),
        statistics=statistics,
        buffer=tuple(map(float, members.get("fBuffer", ()))) if int(members.get("fBufferSize", 0)) else (),
        marks=marks,
    )


def _array(item: Any) -> Any:
    """The array base of a histogram: what ROOT calls fArray."""
    for base in item.bases:
        if type(base).__name__.startswith("Model_TArray"):
            return base
        if (found := _array(base)) is not None:
            return found
    return None


def _native(values: Any) -> npt.NDArray[Any]:
    array = np.asarray(values)
    return array.astype(array.dtype.newbyteorder("="))


def _sums(values: Any, cells: int) -> npt.NDArray[np.float64] | None:
    """An array of sums with one number for each cell; None when it is not stored."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) not in {0, cells}:
        raise ValueError(f"{len(array)} errors for {cells} cells")
    return array if len(array) else None


def _axis(axis: Any) -> Axis:
    bins = int(axis.member("fNbins"))
    edges = tuple(float(edge) for edge in axis.member("fXbins"))
    if bins < 1 or len(edges) not in {0, bins + 1}:
        raise ValueError(f"an axis of {bins} bins with {len(edges)} edges")
    labels = None
    if (stored := axis.member("fLabels")) is not None and len(stored):
        named = {int(label.member("@fUniqueID")): str(label) for label in stored}
        labels = tuple(named.get(number, "") for number in range(1, bins + 1))
    return Axis(
        bins=bins,
        low=float(axis.member("fXmin")),
        high=float(axis.member("fXmax")),
        edges=edges,
        labels=labels,
        title=str(axis.member("fTitle")),
    )


# ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────


class RootTable:
    """A tree or an ntuple as `septum.compare.columns.Table`."""

    def __init__(self, item: Any, kind: str) -> None:
        self._item, self._kind = item, kind

    @property
    def kind(self) -> str:
        """Its class."""
        return self._kind

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self._item.num_entries)

    @cached_property
    def _branches(self) -> Mapping[str, Any]:
        if self._kind == "ROOT::RNTuple":
            return {name: self._item[name] for name in self._item.keys(recursive=False)}
        found: dict[str, Any] = {}
        for name, branch in self._item.iteritems(recursive=True, full_paths=True):
            if not isinstance(branch.interpretation, uproot.interpretation.grouped.AsGrouped):
                # Nothing keeps two branches from having one name.
                found[name if name not in found else f"{name}#{len(found)}"] = branch
        return found

    @property
    def columns(self) -> Sequence[str]:
        """The names of its columns."""
        return list(self._branches)

    def type_of(self, column: str) -> str:
        """The type of a column as numbers in rows, not as C++ calls it, which changes with the version."""
        branch = self._branches[column]
        try:
            if self._kind != "ROOT::RNTuple":
                return str(branch.interpretation.awkward_form(branch.file).type)
            return str(self.read(column, 0, 0).type.content)
        except (NotImplementedError, *_UNKNOWN):
            return str(branch.typename)

    def read(self, column: str, start: int, stop: int) -> Any:
        """Rows of a column as an awkward array.

        Raises:
            NotImplementedError: The column is of a class that uproot cannot read.
        """
        try:
            return self._branches[column].array(entry_start=start, entry_stop=stop, library="ak")
        except _UNKNOWN as error:
            raise NotImplementedError(said(error)) from error

    def raw(self, column: str) -> str:
        """A checksum of the column's bytes, for columns that cannot be read."""
        digest = hashlib.sha256()
        branch = self._branches[column]
        for number in range(branch.num_baskets):
            digest.update(branch.basket(number).data.tobytes())
        return digest.hexdigest()


# ── everything else ─────────────────────────────────────────────────────────────────────────────────────────────


def _plain(item: Any, kind: str) -> Plain:
    numbers: dict[str, npt.NDArray[Any]] = {}
    texts: dict[str, str] = {}
    for place, value in _parts(item, ""):
        if isinstance(value, str):
            texts[place] = str(value)
        else:
            numbers[place] = _native(value)
        if len(numbers) + len(texts) > _MOST_NUMBERS:
            raise ValueError("too large to be taken apart")
    title = texts.pop("fTitle", "") if kind != "TNamed" else ""
    return Plain(kind=kind, numbers=numbers, texts=texts, title=title)


def _parts(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """All numbers and texts inside of what uproot read, with their places."""
    if value is None:
        return
    if isinstance(value, (bool, int, float, np.generic, np.ndarray)):
        yield place, np.asarray(value)
    elif isinstance(value, (str, bytes)):
        yield place, value.decode("latin-1") if isinstance(value, bytes) else str(value)
    elif type(value).__name__.startswith("Model_TArray"):
        yield place, np.asarray(value)
    elif isinstance(value, uproot.model.UnknownClass):
        raise NotImplementedError(f"{place or 'the object'} is of a class that uproot does not know")
    elif isinstance(value, Mapping) and not isinstance(value, uproot.model.Model):
        for key in value:
            yield from _parts(value[key], f"{place}[{key!r}]")
    else:
        yield from _members(value, place)


def _members(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    known = False
    if isinstance(value, uproot.model.Model):
        known = True
        for base in value.bases:
            if not type(base).__name__.startswith("Model_TAtt"):
                yield from _parts(base, place)
        for name, member in value.members.items():
            if not name.startswith("@") and name not in _DRAWN:
                yield from _parts(member, f"{place}.{name}" if place else name)
    if isinstance(value, (Sequence, set, frozenset)) or hasattr(value, "tolist"):
        known = True
        for number, element in enumerate(value):
            yield from _parts(element, f"{place}[{number}]")
    if not known:
        raise NotImplementedError(f"{place or 'the object'} is a {type(value).__name__}")
