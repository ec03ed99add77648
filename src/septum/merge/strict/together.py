"""Brings structures together: objects of some parts only, errors that only some kept, labels that differ."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from septum.errors import StructureError
from septum.merge.strict import streamers
from septum.merge.strict.axis import Axis
from septum.merge.strict.contents import Info
from septum.merge.strict.exact import ExactSum
from septum.merge.strict.group import Group, Model, contradiction
from septum.merge.strict.labels import LabelError, NamedAxis, axes_of, cell_map, with_labels
from septum.merge.strict.layout import HISTOGRAM, INSTEAD, PER_CELL, lay_out
from septum.merge.strict.records import Folder
from septum.merge.strict.rewrite import RewriteError, with_errors
from septum.merge.strict.shape import Entry, Shape, Slots

_HALF = 2.0**32
_ROUNDING = 1e-9
Index = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]


def bring_together(groups: Sequence[Group], *, by_name: bool, describe: Callable[[str], str]) -> Group:
    """One group that holds the objects of all, with errors where any keeps them, and with the labels of all.

    Args:
        groups: Of exact sums; no two differ in what nothing allows.
        by_name: Whether bins are added by their labels.
        describe: How messages name a part, by its id.

    Raises:
        StructureError: Labels cannot be brought together.
        NotConservedError: Something was lost on the way.
    """
    groups = sorted(groups, key=lambda group: group.index)
    made = _Objects(groups, by_name=by_name, describe=describe)
    pieces: list[bytes] = []
    entries: list[Entry] = []
    at = 0
    for path in dict.fromkeys(entry.path for group in groups for entry in group.shape.entries):
        entry, piece = made.object(path)
        entries.append(replace(entry, start=at, size_b=len(piece)))
        pieces.append(piece)
        at += len(piece)
    whole = Group.empty(Shape(entries, b"".join(pieces)), ordered=False)
    whole.parts = [part for group in groups for part in group.parts]
    whole.models = _different(model for group in groups for model in group.models)
    whole.named, whole.moved, whole.together = made.named, made.moved, True
    numbers = {key: number for number, key in enumerate(whole.shape.histogram_names)}
    if any(group.magnitudes is not None for group in groups):
        whole.magnitudes = ExactSum(whole.shape.size)
    for group, maps in zip(groups, made.maps, strict=True):
        _move(group, whole, maps)
        for number, key in enumerate(group.shape.histogram_names):
            whole.without_statistics[numbers[key]] += group.without_statistics[number]
        for path, first in group.loose.items():
            whole.loose[path] = min(first, whole.loose.get(path, first))
    _check_conserved(groups, whole)
    return whole


# ── objects ─────────────────────────────────────────────────────────────────────────────────────────────────────


class _Objects:
    """Makes the objects of the result, and remembers where their cells come from.

    Attributes:
        maps: For each group, by path, where each cell goes in the result where that is not its own place; None for an
            object that adds nothing.
    """

    def __init__(self, groups: Sequence[Group], *, by_name: bool, describe: Callable[[str], str]) -> None:
        self._groups, self._by_name, self._describe = groups, by_name, describe
        self.maps: list[dict[str, Index | None]] = [{} for _ in groups]
        self.named: dict[tuple[str, str], NamedAxis] = {}
        self.moved: dict[str, str] = {}

    def object(self, path: str) -> tuple[Entry, bytes]:
        """The object of this path, and its bytes."""
        holders = [group for group in self._groups if path in group.shape.by_path]
        entries = [group.shape.entries[group.shape.by_path[path]] for group in holders]
        if self._by_name and HISTOGRAM.fullmatch(entries[0].kind) and any(item.layout.labelled for item in entries):
            try:
                return self._labelled(path, holders, entries)
            except (LabelError, RewriteError) as error:
                raise StructureError(
                    f"merge: {path!r} cannot be added by its labels: {error}",
                    evidence="the labels of its axes are not the same in all parts; nothing was merged",
                    fix="set the same labels in the same order in every part, filled or not",
                ) from error
        return self._with_errors(holders, entries)

    def _with_errors(self, holders: Sequence[Group], entries: Sequence[Entry]) -> tuple[Entry, bytes]:
        gaps = [{(gap.role, gap.histogram) for gap in entry.layout.gaps} for entry in entries]
        never = set.intersection(*gaps)
        # Nearly always some part keeps all errors that any part keeps.
        number = min(range(len(entries)), key=lambda number: len(gaps[number]))
        entry, piece = entries[number], holders[number].shape.piece(entries[number])
        if gaps[number] == never:
            return entry, piece
        made = with_errors(entry.layout, piece, key_b=entry.key_b, but=never)
        return self._laid_out(entry, made, holders[number]), made

    def _laid_out(self, entry: Entry, data: bytes, group: Group) -> Entry:
        info = info_of(group.models)
        described = streamers.read(info.streamers, info.streamers_key_b)
        return replace(entry, layout=lay_out(entry.kind, memoryview(data), entry.key_b, described))

    def _labelled(
        self, path: str, holders: Sequence[Group], entries: Sequence[Entry]
    ) -> tuple[Entry, bytes]:  # fmt: skip
        pieces = [group.shape.piece(entry) for group, entry in zip(holders, entries, strict=True)]
        axes = [axes_of(entry.layout, piece, key_b=entry.key_b) for entry, piece in zip(entries, pieces, strict=True)]
        letters = [letter for letter in axes[0] if any(of_one[letter][0].labels for of_one in axes)]
        named = [
            None if self._is_empty(group, path, of_one, letters) else self._named(group, path, of_one, letters)
            for group, of_one in zip(holders, axes, strict=True)
        ]
        adding = [number for number, item in enumerate(named) if item is not None]
        joined = {
            letter: functools.reduce(NamedAxis.join, [item[letter] for item in named if item]) for letter in letters
        }
        self.named |= {(path, letter): axis for letter, axis in joined.items()}
        looks = {tuple((of_one[letter][0].labels, of_one[letter][0].bins) for letter in letters) for of_one in axes}
        if len(looks) == 1 and len(adding) == len(named) and not any(group.together for group in holders):
            return self._with_errors(holders, entries)
        for group in holders:
            if path in group.loose:
                raise LabelError(f"{self._describe(group.loose[path][1])} has contents in a bin without a label")
        placed = {letter: axis.placed() for letter, axis in joined.items()}
        self.moved[path] = "".join(letter for letter, axis in placed.items() if not axis.stays)
        roles = {item.role for number in adding for item in entries[number].layout.ranges}
        first = adding[0]
        entry = entries[first]
        made = with_labels(entry.layout, pieces[first], placed, key_b=entry.key_b, errors=roles)
        for group, item, of_one, own in zip(holders, entries, axes, named, strict=True):
            self.maps[self._groups.index(group)][path] = None if own is None else cell_map(
                item.layout.bins[0], {letter: (of_one[letter][0], placed[letter]) for letter in letters}
            )  # fmt: skip
        return self._laid_out(entry, made, holders[first]), made

    def _is_empty(self, group: Group, path: str, axes: Axes, letters: Sequence[str]) -> bool:
        """Whether a histogram lacks labels because nothing was ever filled into it."""
        without = [letter for letter in letters if not axes[letter][0].labels]
        if not without:
            return False
        for (its_path, _, role), slots in group.shape.by_role.items():
            if its_path == path and any(
                group.witness.scale[start:stop].any() for start, stop in group.shape.stretches(slots)
            ):
                raise LabelError(
                    f"{self._describe(min(group.parts))} has {role} and no labels on its {without[0].lower()}-axis"
                )
        return True

    @staticmethod
    def _named(group: Group, path: str, axes: Axes, letters: Sequence[str]) -> dict[str, NamedAxis]:
        return {
            letter: group.named.get((path, letter)) or NamedAxis.of(*axes[letter], group.index) for letter in letters
        }


Axes = Mapping[str, tuple[Axis, int]]


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _move(group: Group, whole: Group, maps: Mapping[str, Index | None]) -> None:
    """Add the sums of a group to those of the whole."""
    targets, sources = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    size = whole.shape.size
    magnitudes = group.magnitudes or group.exact
    instead = ExactSum(size)
    total, scale = np.zeros(size), np.zeros(size)
    for key, slots in whole.shape.by_role.items():
        path, histogram, role = key
        if path not in group.shape.by_path or (path in maps and maps[path] is None):
            continue
        cells = maps.get(path) if role in PER_CELL else None
        own = group.shape.by_role.get(key)
        if own is not None:
            for (start, stop), (first, last) in zip(
                whole.shape.stretches(slots), group.shape.stretches(own), strict=True
            ):
                to, kept = _to(cells, start, stop)
                targets.append(to)
                sources.append(np.arange(first, last)[kept])
            continue
        own = group.shape.by_role.get((path, histogram, INSTEAD.get(role, "")))
        if own is None:
            continue
        to, kept = _to(cells, slots.start, slots.stop)
        upper, *lower = [np.arange(first, last)[kept] for first, last in group.shape.stretches(own)]
        taken = magnitudes.at(upper)
        factor = _HALF if lower else 1.0
        total[to] = scale[to] = group.witness.scale[upper] * factor
        if lower:
            taken.times(_HALF).merge(magnitudes.at(lower[0]))
        instead.put(to, taken)
    target, source = np.concatenate(targets), np.concatenate(sources)
    moved = ExactSum(size)
    moved.put(target, group.exact.at(source))
    whole.exact.merge(moved)
    whole.exact.merge(instead)
    if whole.magnitudes is not None:
        moved = ExactSum(size)
        moved.put(target, magnitudes.at(source))
        whole.magnitudes.merge(moved)
        whole.magnitudes.merge(instead)
    total[target], scale[target] = group.witness.total[source], group.witness.scale[source]
    whole.witness.add_sum(total, scale, group.witness.count)


def _to(cells: Index | None, start: int, stop: int) -> tuple[Index, Index | slice]:
    """Where numbers go, and which of them do."""
    if cells is None:
        return np.arange(start, stop), slice(None)
    kept = np.flatnonzero(cells >= 0)
    return start + cells[kept], kept


def _check_conserved(groups: Sequence[Group], whole: Group) -> None:
    """Add up every range of numbers on both sides: whatever bins moved, their sum did not change."""
    sums = [group.exact.round() for group in (*groups, whole)]
    for key, slots in whole.shape.by_role.items():
        path, histogram, role = key
        before = np.zeros(2)
        for group, numbers in zip(groups, sums, strict=False):
            own = group.shape.by_role.get(key) or group.shape.by_role.get((path, histogram, INSTEAD.get(role, "")))
            if own is not None:
                before += _sums(group, own, numbers, unsigned=own.numbers.role != role)
        after = _sums(whole, slots, sums[-1], unsigned=False)
        with np.errstate(invalid="ignore"):
            if np.isfinite(before).all() and not (np.abs(after - before) <= _ROUNDING * before[1]).all():
                raise contradiction(
                    f"{path!r}", f"{role}: {before[0]:.17g} in the parts, {after[0]:.17g} in the result"
                )


def _sums(group: Group, slots: Slots, numbers: Array, *, unsigned: bool) -> Array:
    """The sum of a range, and of its absolute values."""
    found = np.zeros(2)
    weights = (1.0,) if slots.numbers.letter != "q" else (_HALF, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        for weight, (start, stop) in zip(weights, group.shape.stretches(slots), strict=True):
            scale = group.witness.scale[start:stop].sum() * weight
            found += (scale if unsigned else numbers[start:stop].sum() * weight, scale)
    return found


# ── what is taken over ──────────────────────────────────────────────────────────────────────────────────────────


def _different(models: Iterable[Model]) -> list[Model]:
    """Models in the order of their parts, without those that add nothing to an earlier one."""
    found: dict[object, Model] = {}
    for model in sorted(models, key=lambda model: model.index):
        names = tuple(path for path, _ in model.info.top.walk())
        found.setdefault((names, model.info.streamers, model.info.streamers_key_b), model)
    return list(found.values())


def info_of(models: Sequence[Model]) -> Info:
    """What a result takes over: the first part's folders and information, and behind these what only others have.

    Raises:
        StructureError: A name is that of a folder and of an object.
    """
    first = models[0].info
    if len(models) == 1:
        return first
    top = functools.reduce(_with, [model.info.top for model in models])
    records = [(model.info.streamers, model.info.streamers_key_b) for model in models]
    return replace(first, top=top, streamers=streamers.with_missing(records))


def _with(one: Folder, other: Folder) -> Folder:
    names = {key.name for key in one.objects}
    objects = (*one.objects, *(key for key in other.objects if key.name not in names))
    folders = {folder.name: folder for folder in one.folders}
    for folder in other.folders:
        folders[folder.name] = _with(folders[folder.name], folder) if folder.name in folders else folder
    if clash := sorted(folders.keys() & {key.name for key in objects}):
        raise StructureError(
            f"merge: {clash[0]!r} is a folder in some parts and an object in others",
            fix="give the folder or the object another name",
        )
    return replace(one, objects=objects, folders=tuple(folders.values()))
