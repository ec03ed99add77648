"""Trees and ntuples: two tables compared column by column, in chunks, so that memory does not grow with the rows.

Reads through the small `Table`; knows no file format.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import awkward as ak
import numpy as np
import numpy.typing as npt

from septum.compare.rounding import allowed, equal
from septum.compare.statistics import counts_differ, kolmogorov, pulls, smallest, together
from septum.compare.verdicts import Entry, Verdict

_PROBED_ROWS = 1000
_CHUNK_B = 32 << 20
"""Of one column in memory at a time, on each side."""
_SAMPLE = 1_000_000
"""Values of a column that the test takes at most, spread over all rows."""
_CATEGORIES = 1000
"""Different texts of a column that are counted one by one."""
_SHOWN, _MOST_NOTES = 3, 5
Numbers = npt.NDArray[Any]
_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class Table(Protocol):
    """A tree or an ntuple."""

    @property
    def kind(self) -> str:
        """Its class."""

    @property
    def rows(self) -> int:
        """The number of rows."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of its columns."""

    def type_of(self, column: str) -> str:
        """The type of a column, the same for every way that files name it."""

    def read(self, column: str, start: int, stop: int) -> Any:
        """Rows of a column as an awkward array.

        Raises:
            NotImplementedError: The column is of a class that nobody here can read.
        """

    def raw(self, column: str) -> str:
        """A checksum of the column's bytes, for columns that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Difference:
    """What was found of a column that is not equal."""

    column: str
    verdict: Verdict
    relative: float | None = None
    p_value: float = 1.0
    note: str = ""


def compare_tables(here: Table, there: Table) -> Entry:
    """Compare two tables.

    Args:
        here: The new one, and
        there: that of the reference.

    Returns:
        The entry, without a name. `compatible` is a proposal: the p-values of all objects decide.
    """
    types = {name: here.type_of(name) for name in here.columns}
    if difference := _other_structure(here, there, types):
        return Entry(kind=here.kind, verdict=Verdict.STRUCTURE, detail=difference)
    found = [item for name in types if (item := _compare_column(here, there, name)) is not None]
    if here.rows == there.rows and not found:
        return Entry(kind=here.kind, verdict=Verdict.IDENTICAL)
    worst = sorted(found, key=lambda item: (item.verdict is not Verdict.DIFFERENT, item.p_value, -(item.relative or 0)))
    relative = max((item.relative for item in found if item.relative is not None), default=None)
    shown = _first([item.column for item in worst])
    detail = f"{len(found)} of {len(types)} columns differ: {shown}" if found else ""
    notes = [] if here.rows == there.rows else [f"{here.rows} rows here, {there.rows} in the reference"]
    notes += dict.fromkeys(item.note for item in worst if item.note)
    verdicts = {item.verdict for item in found}
    p_values = [item.p_value for item in found] + [1.0] * (len(types) - len(found))
    p_values.append(counts_differ(here.rows, there.rows))
    return Entry(
        kind=here.kind,
        verdict=_worst(verdicts, same_rows=here.rows == there.rows),
        detail=detail,
        relative=relative,
        p_value=None if verdicts <= {Verdict.ROUNDING} and here.rows == there.rows else smallest(p_values),
        worst=worst[0].column if worst else "",
        notes=tuple(notes[:_MOST_NOTES]),
    )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _worst(verdicts: set[Verdict], *, same_rows: bool) -> Verdict:
    if Verdict.DIFFERENT in verdicts:
        return Verdict.DIFFERENT
    return Verdict.ROUNDING if verdicts <= {Verdict.ROUNDING} and same_rows else Verdict.COMPATIBLE


def _other_structure(here: Table, there: Table, types: Mapping[str, str]) -> str:
    if here.kind != there.kind:
        return f"{here.kind} here, {there.kind} in the reference"
    ours, theirs = set(here.columns), set(there.columns)
    if ours != theirs:
        sides = ((sorted(ours - theirs), "here only"), (sorted(theirs - ours), "in the reference only"))
        return "; ".join(f"{len(names)} columns {where}: {_first(names)}" for names, where in sides if names)
    for name, kind in types.items():
        if (other := there.type_of(name)) != kind:
            return f"column {name}: {kind} here, {other} in the reference"
    return ""


def _compare_column(here: Table, there: Table, name: str) -> _Difference | None:
    try:
        return _compare_values(here, there, name)
    except NotImplementedError:
        # Nobody can say what is in it, and yet whether it is the same.
        if here.raw(name) == there.raw(name):
            return None
        return _Difference(
            column=name, verdict=Verdict.DIFFERENT, p_value=0.0, note=f"column {name} cannot be read; its bytes differ"
        )


def _compare_values(here: Table, there: Table, name: str) -> _Difference | None:
    if here.rows == there.rows:
        scan = _Scan()
        for one, other in zip(_chunks(here, name), _chunks(there, name, like=here), strict=True):
            scan.take(one, other)
            if not scan.close:
                break
        if scan.equal:
            return None
        if scan.close:
            return _Difference(column=name, verdict=Verdict.ROUNDING, relative=scan.relative)
    step = _step(here, there, name)
    ours, theirs = _Digest.of(here, name, step), _Digest.of(there, name, step)
    if here.rows == there.rows and ours.sums == theirs.sums:
        return _Difference(column=name, verdict=Verdict.COMPATIBLE, note="the same values in another order of rows")
    p_values, texts = ours.tests(theirs)
    if texts:
        return _Difference(column=name, verdict=Verdict.DIFFERENT, p_value=0.0, note=f"column {name}: other texts")
    return _Difference(column=name, verdict=Verdict.COMPATIBLE, p_value=smallest(p_values))


# ── chunks ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _chunks(table: Table, column: str, *, like: Table | None = None) -> Iterator[Any]:
    """The rows of a column, in pieces that fit into memory; cut where those of another table are, if one is given."""
    probed = min(table.rows, _PROBED_ROWS)
    if table.rows <= probed:
        yield table.read(column, 0, probed)
        return
    row_b = (like or table).read(column, 0, probed).nbytes / probed
    rows = max(_PROBED_ROWS, int(_CHUNK_B / max(1.0, row_b)))
    for start in range(0, table.rows, rows):
        yield table.read(column, start, min(table.rows, start + rows))


def _step(here: Table, there: Table, column: str) -> int:
    """Every how many rows are taken for the tests, the same for both."""
    probed = min(here.rows, _PROBED_ROWS)
    values = max((len(_numbers(leaf)) for _, leaf in _leaves(here.read(column, 0, probed))), default=0)
    return max(1, math.ceil(max(here.rows, there.rows) * max(1.0, values / max(1, probed)) / _SAMPLE))


def _leaves(array: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The columns inside of a column: an ntuple's collection of records has one for each field."""
    fields = ak.fields(array)
    if not fields:
        yield name, array
    for field in fields:
        yield from _leaves(array[field], f"{name}.{field}")


def _is_text(array: Any) -> bool:
    kind = str(ak.type(array))
    return any(word in kind for word in ("string", "bytes", "char", "union"))


def _numbers(leaf: Any) -> Numbers:
    """The numbers of a column, without the borders of its rows; none for texts."""
    if _is_text(leaf):
        return np.zeros(0)
    return np.ascontiguousarray(ak.to_numpy(ak.flatten(leaf, axis=None), allow_missing=False))


# ── rows against rows ───────────────────────────────────────────────────────────────────────────────────────────


class _Scan:
    """Whether two columns with as many rows are equal, chunk by chunk, and if not, by how little they differ."""

    def __init__(self) -> None:
        self.equal, self.close = True, True
        self.relative: float | None = None

    def take(self, here: Any, there: Any) -> None:
        """Look at the same rows of both."""
        first, second = _buffers(here), _buffers(there)
        for key in first.keys() | second.keys():
            one, other = first.get(key), second.get(key)
            if one is not None and equal(one, other):
                continue
            self.equal = False
            if one is None or other is None or one.shape != other.shape or one.dtype.kind != "f":
                self.close = False
                continue
            self._measure(one, other)

    def _measure(self, one: Numbers, other: Numbers) -> None:
        with np.errstate(all="ignore"):
            same = (one == other) | (np.isnan(one) & np.isnan(other))
            relative = np.where(same, 0.0, np.abs(one - other) / np.maximum(np.abs(one), np.abs(other)))
        finite = relative[np.isfinite(relative)]
        most = float(finite.max()) if len(finite) else 0.0
        self.relative = max(self.relative or 0.0, most)
        self.close &= len(finite) == len(relative) and most <= allowed(one.dtype, 1)


def _buffers(array: Any) -> Mapping[str, Numbers]:
    _, _, buffers = ak.to_buffers(ak.to_packed(array))
    return {key: np.asarray(buffer) for key, buffer in buffers.items()}


# ── values without their rows ───────────────────────────────────────────────────────────────────────────────────


class _Digest:
    """What the tests need of a column: a checksum that knows no order, and a sample of each of its leaves."""

    def __init__(self, step: int) -> None:
        self.sums: dict[str, int] = {}
        self._step = step
        self.samples: dict[str, list[Numbers]] = {}
        self.events: Counter[str] = Counter()
        self.texts: dict[str, Counter[str]] = {}

    @classmethod
    def of(cls, table: Table, column: str, step: int) -> _Digest:
        """Read a column once."""
        digest = cls(step)
        for chunk in _chunks(table, column):
            for leaf, values in _leaves(chunk):
                digest._take(leaf, values)
        return digest

    def _take(self, leaf: str, values: Any) -> None:
        if _is_text(values):
            texts = Counter(map(repr, ak.to_list(ak.flatten(values, axis=0))))
            self.sums[leaf] = (self.sums.get(leaf, 0) + sum(_hash(text) * n for text, n in texts.items())) % 2**64
            known = self.texts.setdefault(leaf, Counter())
            if len(known) <= _CATEGORIES:
                known.update(texts)
            return
        self.sums[leaf] = (self.sums.get(leaf, 0) + _order_free(_numbers(values))) % 2**64
        rows = values[:: self._step]
        self._add(leaf, _numbers(rows), len(rows))
        if rows.ndim > 1:
            number = np.asarray(ak.num(rows, axis=1))
            self.events[leaf] -= int((number == 0).sum())
            self._add(f"{leaf}#", number, len(rows))

    def _add(self, leaf: str, values: Numbers, events: int) -> None:
        self.samples.setdefault(leaf, []).append(values.astype(np.float64))
        self.events[leaf] += events

    def tests(self, other: _Digest) -> tuple[list[float], bool]:
        """Compare with the digest of the reference.

        Returns:
            The p-values, and whether there are texts that differ and that no test can judge.
        """
        p_values = []
        for leaf in self.samples.keys() & other.samples.keys():
            one, two = (np.concatenate(digest.samples[leaf]) for digest in (self, other))
            # Values of one row, such as the jets of an event, know of each other: rows are what is independent.
            events = [float(min(digest.events[leaf], len(sample))) for digest, sample in ((self, one), (other, two))]
            p_values.append(kolmogorov(one, two, events[0], events[1]))
        judged = True
        for leaf, texts in self.texts.items():
            names = sorted(texts.keys() | other.texts.get(leaf, Counter()).keys())
            judged &= len(names) <= _CATEGORIES
            first, second = (
                np.array([float(found.get(name, 0)) for name in names])
                for found in (texts, other.texts.get(leaf, Counter()))
            )
            p_values.append(together(pulls(first, second, first + second, same=first == second)).p_chi2)
        return p_values, not judged


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _order_free(values: Numbers) -> int:
    """A checksum of numbers that does not know their order."""
    bits = values.view(_WORDS.get(values.dtype.itemsize, np.uint8)).astype(np.uint64)
    # The mixing of splitmix64: without it, a bit that moved from one value to another would not show.
    bits += np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((bits ^ (bits >> np.uint64(31))).sum(dtype=np.uint64))
