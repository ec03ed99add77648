"""A new HDF5 file that survives a full disk.

The library cannot close a file that it cannot write to: what it holds crashes the process when it is freed. So the
library does not see that a write failed. We note it, keep what could not be written, and say so where it is safe.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from septum.merge.formats.base import library


class Target:
    """The bytes of the file, as h5py asks for them from Python.

    Args:
        path: The new file.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._at = 0
        self._error: OSError | None = None
        # All that came after the error: not much, since we stop at the next source.
        self._unwritten: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Stop if something could not be written.

        Raises:
            OSError: The first one that a write gave.
        """
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place of the file."""
        self._at = offset + (os.fstat(self._fd).st_size if whence == os.SEEK_END else 0)
        return self._at

    def tell(self) -> int:
        """The place of the file."""
        return self._at

    def write(self, data: Any) -> int:
        """Write all of it, or note that it cannot be written."""
        raw = memoryview(data).cast("B")
        done = 0
        try:
            while self._error is None and done < len(raw):
                done += os.pwrite(self._fd, raw[done:], self._at + done)
        except OSError as error:
            self._error = error
        if self._error is not None:
            self._unwritten.append((self._at, bytes(raw)))
        self._at += len(raw)
        return len(raw)

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; behind the end of the file there are zeros."""
        raw = memoryview(buffer).cast("B")
        start, stop = self._at, self._at + len(raw)
        raw[:] = os.pread(self._fd, len(raw), start).ljust(len(raw), b"\0")
        for at, data in self._unwritten:
            first, last = max(start, at), min(stop, at + len(data))
            if first < last:
                raw[first - start : last - start] = data[first - at : last - at]
        self._at = stop
        return len(raw)

    def read(self, size: int) -> bytes:
        """As `readinto`; h5py knows a file by this method."""
        made = bytearray(size)
        self.readinto(made)
        return bytes(made)

    def truncate(self, size: int | None = None) -> int:
        """Cut the file off, or fill it up with zeros."""
        length = self._at if size is None else size
        try:
            if self._error is None:
                os.ftruncate(self._fd, length)
        except OSError as error:
            self._error = error
        return length

    def flush(self) -> None:
        """Everything is written at once."""


@contextmanager
def created(path: Path) -> Iterator[tuple[Any, Target]]:
    """Make a new HDF5 file; as h5py gives it, and with what knows of errors.

    Raises:
        OSError: The file is there already, or something could not be written.
    """
    h5py = library("h5py", extra="hdf5", files="HDF5 files")
    target = Target(path)
    try:
        # The oldest headers of objects hold no times.
        with h5py.File(target, "w", libver=("earliest", "v110")) as file:
            yield file, target
    finally:
        target.close()
    target.check()
