"""Formats other than ROOT: what reads, checks and merges their files.

`base` says what a format is; each of `parquet`, `hdf5`, `numpyfile`, `jsonfile`, `textfile`, `archives` is one, or some
that are alike. This module imports none of them, and none of them imports a library that is not always there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from septum.merge.formats.base import Format

_BY_ENDING = {
    ".parquet": "parquet.PARQUET",
    ".h5": "hdf5.HDF5",
    ".hdf5": "hdf5.HDF5",
    ".npy": "numpyfile.NPY",
    ".npz": "numpyfile.NPZ",
    ".json": "jsonfile.JSON",
    ".txt": "textfile.TEXT",
    ".log": "textfile.TEXT",
    ".csv": "textfile.CSV",
    ".tsv": "textfile.TSV",
    ".tar": "archives.TAR",
    ".tar.gz": "archives.TAR_GZ",
    ".tgz": "archives.TAR_GZ",
    ".zip": "archives.ZIP",
}


def endings() -> tuple[str, ...]:
    """The endings of all names that have a format, each with its dot, sorted."""
    return tuple(sorted(_BY_ENDING))


def ending_of(name: str) -> str | None:
    """The ending by which a name or path has a format, the longest that fits; None for any other file."""
    last = name.rpartition("/")[2]
    # A file that is called `.json` has a name and no ending.
    fitting = (ending for ending in _BY_ENDING if last.endswith(ending) and last != ending)
    return max(fitting, key=len, default=None)


def find(name: str) -> Format | None:
    """The format of a file by the ending of its name or path; None for any other file."""
    ending = ending_of(name)
    if ending is None:
        return None
    module, _, attribute = _BY_ENDING[ending].partition(".")
    found: Format = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found
