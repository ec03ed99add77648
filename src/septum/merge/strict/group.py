"""The parts of one structure: their sums, and what a result takes over from the first of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from septum.errors import NotConservedError
from septum.merge.strict.contents import Contents, Info
from septum.merge.strict.exact import ExactSum
from septum.merge.strict.labels import NamedAxis, unnamed_cells
from septum.merge.strict.layout import PER_CELL
from septum.merge.strict.plain import PlainSum
from septum.merge.strict.shape import Shape
from septum.merge.strict.witness import Witness

Array = npt.NDArray[np.float64]
_EPSILON = {"f": 2.0**-23}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Model:
    """What a result takes over from a part: its number in the plan, folders, and chosen objects by path."""

    index: int
    info: Info
    chosen: Mapping[str, bytes]


@dataclass(slots=True, eq=False, kw_only=True)
class Group:
    """The parts of one structure, or of several that were brought together.

    Attributes:
        total: The sums.
        witness: The same, added plainly.
        without_statistics: Of each histogram, how many parts have contents and no sum of weights.
        models: What is taken over, from the first part of each structure, by their numbers.
        magnitudes: The sums in which cells that stand for errors are without a sign; None as long as none has one.
        loose: By path, the first part with contents in bins without a label.
        named: The labels of axes by path and letter, where several structures were brought together.
        moved: Of these, the axes on which labels have other bins than in some part, by path.
    """

    shape: Shape
    total: ExactSum | PlainSum
    witness: Witness
    parts: list[str]
    without_statistics: npt.NDArray[np.int64]
    models: list[Model]
    magnitudes: ExactSum | None = None
    loose: dict[str, tuple[int, str]] = field(default_factory=dict)
    named: dict[tuple[str, str], NamedAxis] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    together: bool = False

    @classmethod
    def empty(cls, shape: Shape, *, ordered: bool) -> Group:
        """One without a part."""
        return cls(
            shape=shape,
            total=PlainSum(shape) if ordered else ExactSum(shape.size),
            witness=Witness(shape.size),
            parts=[],
            without_statistics=np.zeros(len(shape.histograms), np.int64),
            models=[],
        )

    @property
    def index(self) -> int:
        """The number of its first part."""
        return self.models[0].index

    @property
    def exact(self) -> ExactSum:
        """The sums, which are exact ones."""
        assert isinstance(self.total, ExactSum)  # noqa: S101 - plain sums are never brought together
        return self.total

    def add(self, part: str, index: int, contents: Contents, *, by_name: bool) -> None:
        """Add one part of this structure."""
        values = contents.numbers
        self._add_magnitudes(values)
        self.total.add(values)
        self.witness.add(values)
        self.without_statistics += self.shape.without_statistics(values)
        self.parts.append(part)
        if by_name:
            self._look_for_loose(part, index, values)
        if not self.models or index < self.index:
            self.models = [Model(index=index, info=contents.info, chosen=contents.chosen)]

    def _add_magnitudes(self, values: Array) -> None:
        """Note what is negative where it stands for an error: of these, every part counts without its sign."""
        instead, signs = self.shape.instead
        if not len(instead) or not isinstance(self.total, ExactSum):
            return
        negative = instead[values[signs] < 0]
        if self.magnitudes is None:
            if not len(negative):
                return
            self.magnitudes = self.total.take(0, self.shape.size)
        if len(negative):
            values = values.copy()
            values[negative] = -values[negative]
        self.magnitudes.add(values)

    def _look_for_loose(self, part: str, index: int, values: Array) -> None:
        for path, slots in _unnamed_slots(self.shape).items():
            if values[slots].any():
                self.loose[path] = min((index, part), self.loose.get(path, (index, part)))

    def is_like(self, other: Group) -> bool:
        """Whether another group has the same structure; its objects may be in another order."""
        if self.together or other.together or self.shape.classes != other.shape.classes:
            return False
        pieces = (other.shape.entries[other.shape.by_path[entry.path]] for entry in self.shape.entries)
        return self.shape.agrees(b"".join(map(other.shape.piece, pieces)))

    def merge(self, other: Group) -> None:
        """Add all parts of another group of this structure; its objects may be in another order."""
        order = _order(other.shape, self.shape)
        if other.magnitudes is not None or self.magnitudes is not None:
            mine = self.magnitudes or self.exact.take(0, self.shape.size)
            mine.merge(_ordered(other.magnitudes or other.exact, order))
            self.magnitudes = mine
        self.exact.merge(_ordered(other.exact, order))
        here = slice(None) if order is None else order
        witness = other.witness
        self.witness.add_sum(witness.total[here], witness.scale[here], witness.count)
        histograms = {key: number for number, key in enumerate(other.shape.histogram_names)}
        self.without_statistics += other.without_statistics[[histograms[key] for key in self.shape.histogram_names]]
        self.parts += other.parts
        for path, first in other.loose.items():
            self.loose[path] = min(first, self.loose.get(path, first))
        self.models = min(self.models, other.models, key=lambda models: models[0].index)

    def check(self, name: str) -> None:
        """Hold the sums against the plain ones.

        Raises:
            NotConservedError: They differ by more than rounding.
        """
        epsilon: Array | float = 0.0
        if isinstance(self.total, PlainSum):
            epsilon = np.zeros(self.shape.size)
            for slots in self.shape.slots:
                epsilon[slots.start : slots.stop] = _EPSILON.get(slots.numbers.letter, 0.0)
        sums = self.total.round()
        if self.witness.count != len(self.parts):
            raise contradiction(name, f"{self.witness.count} parts were added, {len(self.parts)} are listed")
        if (cell := self.witness.first_contradiction(sums, epsilon)) is not None:
            slots = self.shape.at(cell)
            raise contradiction(
                f"{name}: {self.shape.entries[slots.entry].path!r}",
                f"{slots.numbers.role}: {sums[cell]:.17g} for one, {self.witness.total[cell]:.17g} for the other",
            )


def contradiction(what: str, evidence: str) -> NotConservedError:
    """The error for sums that cannot be right."""
    return NotConservedError(
        f"merge: {what}: two sums of the same parts differ by more than rounding",
        evidence=evidence,
        fix="please report this, with the files; a broken memory does it, too: try on another machine",
    )


def _unnamed_slots(shape: Shape) -> Mapping[str, npt.NDArray[np.int64]]:
    """By path, the slots of all numbers in bins without a label."""
    if shape.unnamed is None:
        shape.unnamed = {}
        for slots in shape.slots:
            entry = shape.entries[slots.entry]
            if not entry.layout.labelled or slots.numbers.role not in PER_CELL:
                continue
            cells = unnamed_cells(entry.layout, shape.piece(entry), key_b=entry.key_b)
            for first, _ in shape.stretches(slots) if len(cells) else ():
                held = shape.unnamed.get(entry.path, np.empty(0, np.int64))
                shape.unnamed[entry.path] = np.concatenate([held, first + cells])
    return shape.unnamed


def _order(shape: Shape, model: Shape) -> npt.NDArray[np.int64] | None:
    """Where each number of an equal shape stands in another one; None if it is the same place for all."""
    if [entry.path for entry in shape.entries] == [entry.path for entry in model.entries]:
        return None
    theirs = shape.by_role
    order = np.empty(model.size, np.int64)
    for key, slots in model.by_role.items():
        for (start, stop), (first, last) in zip(model.stretches(slots), shape.stretches(theirs[key]), strict=True):
            order[start:stop] = np.arange(first, last)
    return order


def _ordered(total: ExactSum, order: npt.NDArray[np.int64] | None) -> ExactSum:
    return total if order is None else total.at(order)
