"""What a file holds, as values: what must be equal in all parts, and what must add up. Reads no file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from septum.errors import NotConservedError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Baskets:
    """The rows of one branch of a tree.

    Attributes:
        rows: How many.
        copied: Of each basket, in their order, a hash of its bytes as they stand in the file, and its sizes: a copy of
            the basket has the same.
        content: A hash of what is in all of them.
    """

    rows: int
    copied: bytes
    content: bytes


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
        baskets: Of a tree that was read basket by basket, those of each branch, and no columns; else None.
    """

    kind: str
    structure: str
    entries: float
    content: Array | None
    epsilon: float
    columns: Mapping[str, int] = field(default_factory=dict)
    baskets: Mapping[str, Baskets] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FileSummary:
    """All objects of a file by their path."""

    objects: Mapping[str, ObjectSummary]

    @property
    def structure(self) -> str:
        """The sha256 of the structure of all objects."""
        pieces = [(path, item.kind, item.structure) for path, item in sorted(self.objects.items())]
        return hashlib.sha256(json.dumps(pieces).encode()).hexdigest()

    @property
    def digest(self) -> str:
        """The sha256 of structure and content, as far as they are known."""
        made = hashlib.sha256(self.structure.encode())
        for path, item in sorted(self.objects.items()):
            made.update(json.dumps([path, item.entries, sorted(item.columns.items())]).encode())
            if item.content is not None:
                made.update(np.ascontiguousarray(item.content).tobytes())
            for branch, baskets in sorted((item.baskets or {}).items()):
                made.update(json.dumps([branch, baskets.rows, baskets.content.hex()]).encode())
        return made.hexdigest()


def structure_of(columns: Mapping[str, str], weight: float | None = None) -> str:
    """The structure of a tree or ntuple, from the types of its columns.

    The weight of a tree counts for every row, and hadd keeps that of the first file.
    """
    return json.dumps({**columns, **({} if weight is None else {"fWeight": weight})}, sort_keys=True)


def first_difference(one: FileSummary, other: FileSummary) -> str:
    """Say where two files differ in structure, in one line."""
    for path in sorted(set(one.objects) | set(other.objects)):
        left, right = one.objects.get(path), other.objects.get(path)
        if left is None or right is None:
            return f"{path!r} is in one of them only"
        if left.kind != right.kind:
            return f"{path!r} is a {left.kind} in one and a {right.kind} in the other"
        if left.structure != right.structure:
            return f"{path!r}: {_change(left.structure, right.structure)}"
    return "no difference"


def _change(one: str, other: str) -> str:
    """In what two structures of one path differ: the column or key if it is one, else both as a whole."""
    try:
        left, right = json.loads(one), json.loads(other)
    except ValueError:
        left = right = None
    if isinstance(left, dict) and isinstance(right, dict) and "axes" not in left:
        key = next((key for key in sorted({*left, *right}) if left.get(key) != right.get(key)), None)
        if key is None:
            return "its columns stand in another order"
        if key not in left or key not in right:
            return f"{key!r} is in one of them only"
        return f"{key!r} is {str(left[key])[:60]} in one, {str(right[key])[:60]} in the other"
    return f"{_shortened(one)} in one, {_shortened(other)} in the other"


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
        self._by_basket: set[str] = set()
        """Trees of which `septum.merge.rows` compares the rows."""

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
            if item.baskets is not None:
                self._by_basket.add(path)
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
                if path not in self._by_basket and self._columns.get((path, column), 0) != total:
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
