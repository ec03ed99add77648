"""HDF5: datasets that grow are put together, other numbers are added, the rest must be equal. Uses h5py."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from septum.errors import OutputDamagedError
from septum.merge.formats.adding import CellSum, Stretch, cell_sum, passes, summarize_cells
from septum.merge.formats.base import (
    check_expected,
    check_same,
    guarded,
    labelled,
    library,
    reading,
    version_of,
    writing,
)
from septum.merge.formats.checksums import combined, total
from septum.merge.formats.hdf5rows import blocks, checksums, copy_attribute, read_rows, rows_at_once, write_rows
from septum.merge.formats.hdf5target import created
from septum.merge.formats.hdf5tree import Node, encoded, nodes
from septum.merge.summary import FileSummary, ObjectSummary

_FILE = "an HDF5 file"
_KINDS = {"group": "group", "concatenate": "HDF5 table", "add": "HDF5 array", "equal": "HDF5 constant"}


class Hdf5:
    """Objects of HDF5 files are merged one by one, each by its rule (see `hdf5tree`)."""

    endings = (".h5", ".hdf5")
    # Each level would round the sums of numbers with a fraction.
    two_levels = False

    @property
    def name(self) -> str:
        """Name of the format and version of its library, for the report."""
        return f"HDF5 ({version_of('h5py')})"

    def ready(self) -> None:
        """Look whether h5py is there; EngineMissingError if not."""
        _h5py()

    def summarize(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Read all datasets; `expected` names datasets or groups by their paths. See `Format`."""
        with _opened(path, name) as file, reading(name, _FILE):
            found = nodes(file, name)
            check_expected(name, [item.strip("/") for item in expected], found, "object")
            if all(node.rule == "group" for node in found.values()):
                raise OutputDamagedError(
                    f"{name}: the file holds no datasets", fix="did the job end before it wrote its results?"
                )
            # A group with neither content nor attributes of its own says nothing.
            parents = {path.rpartition("/")[0] for path in found}
            objects = {
                node.path or "/": _summarize(file, node, f"{name}: {node.path!r}")
                for node in found.values()
                if node.rule != "group" or node.structure != "{}" or node.path not in parents
            }
        return FileSummary(objects)

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str] = ()) -> None:
        """Merge all objects of all sources. See `Format`."""
        named = labelled(sources, titles)
        _h5py()
        with writing(title), created(target) as (sink, written):
            label, path = named[0]
            with _opened(path, label) as file:
                found = _nodes(file, label)
                for node in found.values():
                    _create(file, sink, node)
                stretches_by_pass = passes(_added(file, found))
            first = (label, {path: node.structure for path, node in found.items()})
            tables = {path: _Rows(sink[path]) for path, node in found.items() if node.rule == "concatenate"}
            for number, stretches in enumerate(stretches_by_pass):
                sums = [cell_sum(sink[stretch.name].dtype, stretch.cells) for stretch in stretches]
                for label, path in named:
                    with _opened(path, label) as file:
                        if number == 0:
                            others = {path: node.structure for path, node in _nodes(file, label).items()}
                            check_same(title, first, (label, others))
                            _append(file, tables, label)
                        _add(file, stretches, sums, label)
                    written.check()
                for stretch, held in zip(stretches, sums, strict=True):
                    cells = held.result(f"merge: {title}: {stretch.name!r}")
                    dataset = sink[stretch.name]
                    write_rows(dataset, stretch.start, cells.reshape(stretch.stop - stretch.start, *dataset.shape[1:]))
            for table in tables.values():
                table.close()


def _added(file: Any, found: Mapping[str, Node]) -> Iterator[tuple[str, int, int]]:
    """Name, rows, and cells in a row of every dataset that is added; a scalar is one row."""
    for node in found.values():
        if node.rule == "add":
            shape = file[node.path].shape
            yield (node.path, shape[0], math.prod(shape[1:])) if shape else (node.path, 1, 1)


def _append(file: Any, tables: Mapping[str, _Rows], label: str) -> None:
    for path, table in tables.items():
        for block in guarded(blocks(file[path]), label, _FILE):
            table.add(block)


def _add(file: Any, stretches: Sequence[Stretch], sums: Sequence[CellSum], label: str) -> None:
    with reading(label, _FILE):
        for stretch, held in zip(stretches, sums, strict=True):
            held.add(read_rows(file[stretch.name], stretch.start, stretch.stop).reshape(-1))


class _Rows:
    """Puts rows behind a dataset, in whole chunks, whatever the blocks are that they arrive in."""

    def __init__(self, dataset: Any) -> None:
        self._dataset, self._step = dataset, dataset.chunks[0]
        self._held: list[Any] = []
        self._rows = self._written = 0

    def add(self, block: Any) -> None:
        """Add rows; full chunks are written."""
        self._held.append(block)
        self._rows += len(block)
        if self._rows >= max(self._step, min(1024, rows_at_once(self._dataset))):
            self._write(self._rows // self._step * self._step)

    def _write(self, rows: int) -> None:
        if rows:
            whole = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
            self._dataset.resize(self._written + rows, axis=0)
            write_rows(self._dataset, self._written, whole[:rows])
            self._written += rows
            self._rows -= rows
            self._held = [whole[rows:].copy()] if self._rows else []

    def close(self) -> None:
        """Write what is left, and how many rows there are where PyTables looks for it."""
        self._write(self._rows)
        if "NROWS" in self._dataset.attrs:
            self._dataset.attrs.modify("NROWS", self._written)


def _h5py() -> Any:
    return library("h5py", extra="hdf5", files="HDF5 files")


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Any]:
    h5py = _h5py()
    with reading(name, _FILE):
        # Nobody writes to a verified output, and not every file system has locks.
        file = h5py.File(path, "r", locking=False)
    with file:
        yield file


def _nodes(file: Any, label: str) -> dict[str, Node]:
    with reading(label, _FILE):
        return nodes(file, label)


def _summarize(file: Any, node: Node, shown: str) -> ObjectSummary:
    kind = _KINDS[node.rule]
    if node.rule == "concatenate":
        return _summarize_table(file[node.path], kind, node.structure)
    if node.rule == "add":
        dataset = file[node.path]
        cells = (block.reshape(-1) for block in blocks(dataset))
        return summarize_cells(shown, kind, node.structure, dataset.dtype, math.prod(dataset.shape), cells)
    return ObjectSummary(kind, node.structure, 0.0, None, 0.0)


def _summarize_table(dataset: Any, kind: str, structure: str) -> ObjectSummary:
    names = dataset.dtype.names or ()
    checks = dict.fromkeys([*names, "(rows)"], 0)
    for block in blocks(dataset):
        columns = [checksums(block[field]) for field in names] if names else [checksums(block)]
        found = {**dict(zip(names, columns, strict=False)), "(rows)": combined(columns, len(block))}
        checks = {column: (held + total(found[column])) % 2**64 for column, held in checks.items()}
    return ObjectSummary(kind, structure, float(dataset.shape[0]), None, 0.0, checks)


def _create(source: Any, sink: Any, node: Node) -> None:
    """Make an object like the one of the first source, without what adds up."""
    item = source[node.path or "/"]
    if node.rule == "group":
        made = _new_group(sink, node.path) if node.path else sink
    else:
        made = _new_dataset(item, sink, node)
    for key in sorted(item.attrs):
        copy_attribute(item, made, encoded(key))


def _new_group(sink: Any, path: str) -> Any:
    h5py = _h5py()
    plan = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    plan.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(sink.id, encoded(path), _links(), plan))


def _new_dataset(item: Any, sink: Any, node: Node) -> Any:
    h5py = _h5py()
    plan = item.id.get_create_plist()
    plan.set_obj_track_times(False)
    space = item.id.get_space()
    if node.rule == "concatenate":
        limits = tuple(h5py.h5s.UNLIMITED if limit is None else limit for limit in item.maxshape)
        space = h5py.h5s.create_simple((0, *item.shape[1:]), limits)
    kind = item.id.get_type().copy()
    made = h5py.Dataset(h5py.h5d.create(sink.id, encoded(node.path), kind, space, plan, _links()))
    if node.rule == "equal" and item.shape is not None:
        start = 0
        for block in blocks(item):
            write_rows(made, start, block)
            start += len(block)
    return made


def _links() -> Any:
    h5py = _h5py()
    plan = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    plan.set_char_encoding(h5py.h5t.CSET_UTF8)
    return plan


HDF5 = Hdf5()
