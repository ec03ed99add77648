"""Finds the files that a manifest names, and only those that really stand in its folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_LARGEST_TEXT_B = 1 << 28
"""Of a manifest, a plan or a crate: a million parts need as much."""


def locate(folder: Path, name: str) -> Path:
    """The path of a file below a folder.

    Args:
        folder: The folder.
        name: As somebody wrote it, perhaps to lead elsewhere: `../x`, `/etc/x`, through a link.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It leads out of the folder, or what stands there is a link or no file; the message says which.
    """
    pieces = name.split("/")
    if "\0" in name or not {"", ".", ".."}.isdisjoint(pieces):
        raise ValueError("is not the path of a file in this folder")
    path = folder
    try:
        for number, piece in enumerate(pieces, 1):
            path = path / piece
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                raise ValueError("is a link, or stands behind one")
            if number < len(pieces) and not stat.S_ISDIR(mode):
                raise FileNotFoundError(name)
    except OSError as error:  # not there; or a name that no file can have
        raise FileNotFoundError(name) from error
    if not stat.S_ISREG(mode):
        raise ValueError("is not a file")
    return path


def read_text(folder: Path, name: str) -> str:
    """The text of a file below a folder.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is none that `locate` finds, cannot be read, is not UTF-8, or is larger than 256 MB.
    """
    path = locate(folder, name)
    try:
        with path.open("rb") as stream:
            raw = stream.read(_LARGEST_TEXT_B + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    if len(raw) > _LARGEST_TEXT_B:
        raise ValueError("is larger than any that septum writes")
    return raw.decode("utf-8")
