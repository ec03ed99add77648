"""NumPy's files: arrays of numbers are added cell by cell, others must be equal. Never unpickles anything."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from septum.errors import OutputDamagedError, StructureError
from septum.merge.formats.adding import Cells, cell_sum, check_addable, is_number, passes, summarize_cells
from septum.merge.formats.base import check_expected, check_same, labelled, reading, version_of, writing
from septum.merge.formats.members import safe_name
from septum.merge.formats.ziparchive import check_claims, fixed_info
from septum.merge.summary import FileSummary, ObjectSummary

EQUAL = "septum_equal"
"""The array of an `.npz` that names those that must be equal in all parts instead of being added."""
_FILE = "a NumPy file"
_ONLY = "array"
_BLOCK_B = 1 << 22
_LARGEST_B = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """The header of one array.

    Attributes:
        dtype: Its type.
        shape: Its shape.
        fortran: Whether the first index changes fastest.
        data_at: The byte of its first cell.
        adds: Whether it is added; otherwise it must be equal.
        structure: All that must be equal, as a JSON object.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    data_at: int
    adds: bool
    structure: str

    @property
    def cells(self) -> int:
        """How many cells it has."""
        return math.prod(self.shape)


class _Source:
    """An open file, one of whose arrays is read at a time."""

    def __init__(self, path: Path, name: str, stack: ExitStack, *, zipped: bool) -> None:
        self.name = name
        self._openers: dict[str, tuple[int, Callable[[], IO[bytes]]]] = {}
        self.compressed = False
        if not zipped:
            self._openers[_ONLY] = (path.stat().st_size, partial(_whole, path))
            return
        archive = stack.enter_context(zipfile.ZipFile(path))
        check_claims(archive, path, name)
        for info in archive.infolist():
            key = safe_name(info.filename, name).removesuffix(".npy")
            if not info.filename.endswith(".npy") or key in self._openers:
                raise OutputDamagedError(
                    f"{name}: the member {info.filename!r} is no array, or is there twice", fix="write with numpy.savez"
                )
            self._openers[key] = (info.file_size, partial(archive.open, info))
            self.compressed |= info.compress_type != zipfile.ZIP_STORED

    def headers(self) -> dict[str, Array]:
        """All arrays, in the order of the file."""
        equal = self._named_equal()
        return {key: self.header(key, adds=key not in equal) for key in self._openers}

    def _named_equal(self) -> set[str]:
        if EQUAL not in self._openers or len(self._openers) == 1:
            return set()
        array = self.header(EQUAL, adds=False)
        if array.dtype.kind != "U" or not array.dtype.itemsize:
            raise StructureError(f"{self.name}: {EQUAL!r} is no array of names", fix=f"{EQUAL}=['edges', 'year']")
        names = {str(name) for block in self.blocks(EQUAL, array) for name in block}
        if unknown := sorted(names - set(self._openers)):
            raise StructureError(f"{self.name}: {EQUAL!r} names {unknown[0]!r}, which is not there", fix="correct it")
        return names

    def header(self, key: str, *, adds: bool) -> Array:
        """The header of one array, with the checksum of its cells where they must be equal."""
        size_b, opener = self._openers[key]
        shown = f"{self.name}: {key!r}"
        with opener() as stream:
            dtype, shape, fortran = _read_header(stream, shown)
            data_at = stream.tell()
            wanted_b = dtype.itemsize * math.prod(shape)
            if min(shape, default=0) < 0 or size_b - data_at != wanted_b:
                raise OutputDamagedError(
                    f"{shown} is cut off, or more than one array",
                    evidence=f"its header promises {wanted_b} bytes, {size_b - data_at} are there",
                    fix="write one array with one numpy.save, into a file opened anew",
                )
            adds = adds and is_number(dtype)
            held = {"rule": "add" if adds else "equal", "type": npy.dtype_to_descr(dtype), "shape": list(shape)}
            held["order"] = "F" if fortran else "C"
            if adds:
                check_addable(shown, dtype, math.prod(shape))
            else:
                held["content"] = _digest(stream, shown, wanted_b)
        return Array(dtype=dtype, shape=shape, fortran=fortran, data_at=data_at, adds=adds, structure=json.dumps(held))

    def blocks(self, key: str, array: Array, start: int = 0, stop: int | None = None) -> Generator[Cells, None, None]:
        """The cells of an array, in the order of the file, some at a time; each block of shape (cells,)."""
        stop = array.cells if stop is None else stop
        step = max(1, _BLOCK_B // array.dtype.itemsize)
        with self._openers[key][1]() as stream:
            if start:
                stream.seek(array.data_at + start * array.dtype.itemsize)
            else:
                # A ZIP member that was sought in is not compared with its checksum.
                stream.read(array.data_at)
            for first in range(start, stop, step):
                wanted_b = (min(stop, first + step) - first) * array.dtype.itemsize
                raw = stream.read(wanted_b)
                if len(raw) != wanted_b:
                    raise EOFError(f"{key!r} ends too early")
                yield np.frombuffer(raw, array.dtype)
            if stop == array.cells and stream.read(1):
                raise EOFError(f"{key!r} goes on after its end")

    def copy(self, key: str, sink: IO[bytes]) -> None:
        """Copy an array as it stands, header and all."""
        with self._openers[key][1]() as stream:
            while block := stream.read(_BLOCK_B):
                sink.write(block)


def _whole(path: Path) -> IO[bytes]:
    return path.open("rb")


def _read_header(stream: IO[bytes], shown: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise StructureError(
            f"{shown} has names of fields outside of Latin-1", fix="name the fields of a structured array with ASCII"
        )
    shape, fortran, dtype = readers[version](stream)
    if dtype.hasobject:
        raise StructureError(
            f"{shown} holds pickled Python objects, which are never loaded",
            evidence="to load a pickle is to run what it says",
            fix="write arrays of numbers: numpy.save(..., allow_pickle=False) refuses others",
        )
    return dtype, shape, fortran


def _digest(stream: IO[bytes], shown: str, size_b: int) -> str:
    if size_b > _LARGEST_B:
        raise StructureError(
            f"{shown}: {size_b} bytes that must be equal in all parts", fix="leave it out, or write it once elsewhere"
        )
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK_B):
        digest.update(block)
    return digest.hexdigest()


class _Sink:
    """The new file: arrays in the order of the first source, cells in the order of the arrays."""

    def __init__(self, target: Path, first: _Source, stack: ExitStack, *, zipped: bool) -> None:
        self._raw = stack.enter_context(target.open("xb"))
        self._first, self._stored = first, not first.compressed
        self._zip = stack.enter_context(zipfile.ZipFile(self._raw, "w", compresslevel=6)) if zipped else None
        self._arrays = first.headers()
        self._todo = list(self._arrays)
        self._open: IO[bytes] | None = None
        self._left = 0
        # After an error: an archive cannot be closed before its members, and would say that instead.
        stack.callback(self._end)

    def write(self, key: str, cells: Cells) -> None:
        """Write the next cells of an added array."""
        if self._open is None:
            self._copy_until(key)
            self._todo.remove(key)
            array = self._arrays[key]
            self._open, self._left = self._begin(key), array.cells
            self._open.write(_header(array))
        self._open.write(cells.tobytes())
        self._left -= len(cells)
        if not self._left:
            self._end()

    def finish(self) -> None:
        """Copy what comes after the last array that is added."""
        self._copy_until(None)

    def _copy_until(self, key: str | None) -> None:
        while self._todo and self._todo[0] != key:
            copied = self._todo.pop(0)
            self._open = self._begin(copied)
            self._first.copy(copied, self._open)
            self._end()

    def _begin(self, key: str) -> IO[bytes]:
        if self._zip is None:
            return self._raw
        array = self._arrays[key]
        size_b = array.data_at + array.dtype.itemsize * array.cells
        return self._zip.open(fixed_info(f"{key}.npy", mode=0o100644, stored=self._stored, size_b=size_b), "w")

    def _end(self) -> None:
        if self._zip is not None and self._open is not None:
            self._open.close()
        self._open = None


def _header(array: Array) -> bytes:
    about = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": array.fortran, "shape": array.shape}
    made = io.BytesIO()
    npy.write_array_header_1_0(made, about)
    return made.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Numpy:
    """Files of NumPy; one of `.npy` holds one object, `array`.

    Attributes:
        endings: The endings of its files' names.
        zipped: Whether files hold several arrays.
    """

    endings: tuple[str, ...]
    zipped: bool

    @property
    def name(self) -> str:
        """Name of the format and version of its library, for the report."""
        return f"{self.endings[0].removeprefix('.')} ({version_of('numpy')})"

    @property
    def two_levels(self) -> bool:
        """Each level would round the sums of numbers with a fraction."""
        return False

    def ready(self) -> None:
        """NumPy is always there."""

    def summarize(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Read all arrays; `expected` names arrays. See `Format`."""
        with self._opened(path, name) as source, reading(name, _FILE):
            arrays = source.headers()
            check_expected(name, expected, arrays, "array")
            if not arrays:
                raise OutputDamagedError(
                    f"{name}: the file holds no arrays", fix="did the job end before it wrote its results?"
                )
            return FileSummary({key: _summarize(source, key, array, name) for key, array in arrays.items()})

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str] = ()) -> None:
        """Add the arrays of all sources. See `Format`."""
        named = labelled(sources, titles)
        with self._opened(named[0][1], named[0][0]) as begin, writing(title), ExitStack() as stack:
            with reading(named[0][0], _FILE):
                arrays = begin.headers()
            first = (named[0][0], _structures(arrays))
            sink = _Sink(target, begin, stack, zipped=self.zipped)
            added = [(key, array.cells, 1) for key, array in arrays.items() if array.adds]
            for number, stretches in enumerate(passes(added)):
                sums = [cell_sum(arrays[stretch.name].dtype, stretch.cells) for stretch in stretches]
                for label, path in named:
                    with self._opened(path, label) as source, reading(label, _FILE):
                        headers = source.headers()
                        if number == 0:
                            check_same(title, first, (label, _structures(headers)))
                        for stretch, held in zip(stretches, sums, strict=True):
                            found = source.blocks(stretch.name, headers[stretch.name], stretch.start, stretch.stop)
                            held.add(np.concatenate(list(found)))
                for stretch, held in zip(stretches, sums, strict=True):
                    sink.write(stretch.name, held.result(f"merge: {title}: {stretch.name!r}"))
            sink.finish()

    @contextmanager
    def _opened(self, path: Path, name: str) -> Iterator[_Source]:
        with ExitStack() as stack:
            with reading(name, _FILE):
                source = _Source(path, name, stack, zipped=self.zipped)
            yield source


def _structures(arrays: Mapping[str, Array]) -> dict[str, str]:
    return {key: array.structure for key, array in arrays.items()}


def _summarize(source: _Source, key: str, array: Array, name: str) -> ObjectSummary:
    kind = f"{array.dtype.name} array" if array.dtype.kind in "iufc" else "array"
    if not array.adds:
        return ObjectSummary(kind, array.structure, 0.0, None, 0.0)
    with closing(source.blocks(key, array)) as blocks:
        return summarize_cells(f"{name}: {key!r}", kind, array.structure, array.dtype, array.cells, blocks)


NPY = Numpy(endings=(".npy",), zipped=False)
NPZ = Numpy(endings=(".npz",), zipped=True)
