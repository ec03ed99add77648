"""The rows of HDF5 datasets: read, written, and made checksums of as they stand in the file.

Values of a fixed length are not converted on the way. A text that fills its field would lose its last letter, since
NumPy's and HDF5's ideas of where a text ends differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from septum.merge.formats.checksums import Words, combined, of_lists, of_objects, of_values

_BLOCK_B = 1 << 22


def blocks(dataset: Any) -> Iterator[Any]:
    """All rows of a dataset in order, some at a time; a scalar is one row. Each of shape (rows, ...)."""
    shape = dataset.shape
    if shape is None:
        return
    step = rows_at_once(dataset)
    rows = shape[0] if shape else 1
    for start in range(0, rows, step):
        yield read_rows(dataset, start, min(rows, start + step))


def rows_at_once(dataset: Any) -> int:
    """How many rows to read or write in one go: some megabytes, and whole chunks."""
    row_b: int = max(1, dataset.dtype.itemsize * math.prod(dataset.shape[1:]))
    chunk: int = dataset.chunks[0] if dataset.chunks else 1
    return max(1, _BLOCK_B // row_b // chunk) * chunk


def read_rows(dataset: Any, start: int, stop: int) -> Any:
    """Rows of a dataset; a scalar is one row. Shape (rows, ...)."""
    shape, dtype = dataset.shape, dataset.dtype
    made = np.empty((stop - start, *shape[1:]), dtype)
    if dtype.hasobject:
        if shape:
            return dataset[start:stop]
        made[0] = dataset[()]
    elif made.size:
        memory, place = _spaces(dataset, start, made.shape)
        dataset.id.read(memory, place, made, mtype=dataset.id.get_type())
    return made


def write_rows(dataset: Any, start: int, rows: Any) -> None:
    """Write rows that `read_rows` gave, or sums of them, from some row on."""
    if dataset.dtype.hasobject:
        if dataset.shape:
            dataset[start : start + len(rows)] = rows
        else:
            dataset[()] = rows[0]
    elif rows.size:
        whole = np.ascontiguousarray(rows, dataset.dtype.base)
        memory, place = _spaces(dataset, start, (len(rows), *dataset.shape[1:]))
        dataset.id.write(memory, place, whole, mtype=dataset.id.get_type())


def _spaces(dataset: Any, start: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Where rows are in memory, and where in the file."""
    import h5py

    place = dataset.id.get_space()
    if not dataset.shape:
        return place, place
    # An array type has dimensions of its own, which are none of the dataset's.
    count = shape[: len(dataset.shape)]
    place.select_hyperslab((start, *(0 for _ in count[1:])), count)
    return h5py.h5s.create_simple(count), place


def copy_attribute(source: Any, target: Any, name: bytes) -> None:
    """Copy an attribute of an object, of whatever type."""
    import h5py

    attribute = h5py.h5a.open(source.id, name)
    kind = attribute.get_type().copy()
    copy = h5py.h5a.create(target.id, name, kind, attribute.get_space())
    if attribute.shape is not None:
        dtype = attribute.dtype
        memory = h5py.h5t.py_create(dtype) if dtype.hasobject else kind
        value = np.zeros(attribute.shape, dtype)
        attribute.read(value, mtype=memory)
        copy.write(value, mtype=memory)


def as_bytes(value: Any) -> bytes:
    """A value of any length as bytes: equal values give equal ones."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if not isinstance(value, (np.ndarray, np.generic)):
        return repr(value).encode()
    if not value.dtype.hasobject:
        return value.tobytes()
    parts = value.item() if isinstance(value, np.void) else value.flat
    return b"".join(len(raw).to_bytes(8, "little") + raw for raw in map(as_bytes, parts))


def checksums(rows: Any) -> Words:
    """The checksums of rows of any type, shape (rows,)."""
    if rows.dtype.names:
        flat = rows.reshape(-1)
        values = combined((checksums(flat[field]) for field in rows.dtype.names), len(flat))
    elif rows.dtype.hasobject:
        values = of_objects(as_bytes(value) for value in rows.flat)
    else:
        return of_values(rows)
    width = rows.size // len(rows) if len(rows) else 0
    return of_lists(values, np.arange(len(rows) + 1, dtype=np.int64) * width)
