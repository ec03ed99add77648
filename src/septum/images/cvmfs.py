"""Images that are unpacked into CVMFS: what stands at a path here, and which image it is.

DUCC unpacks an image into the folder `.flat/XX/DIGEST` of the repository, and makes the path with registry, name and
tag a symbolic link to it. The digest is that of the image's configuration, its id; a tag that is pushed again gets
another link.
"""

from __future__ import annotations

import os
import queue
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from septum.errors import TryAgainError

CVMFS = Path("/cvmfs")
_LOOK_S = 60.0
"""CVMFS may have to mount the repository first."""
_FLAT = re.compile(r"/\.flat/([0-9a-f]{2})/(\1[0-9a-f]{62})(?:/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What stands at the path of an image on this machine.

    Args:
        state: `there`; `absent`, although its repository is here; `no-cvmfs`, which is not here; `elsewhere`, a path
            that only the workers may have.
        path: The path without symbolic links; empty unless it is there.
        image_id: `sha256:…`, the id of an image that DUCC unpacked; empty if not known.
        repository: Of CVMFS, if the path is in one.
    """

    state: Literal["there", "absent", "no-cvmfs", "elsewhere"]
    path: str = ""
    image_id: str = ""
    repository: str = ""


def id_of(path: str) -> str:
    """The id of the image that DUCC unpacked to a path without symbolic links.

    Returns:
        `sha256:…`; empty if the path is not of that form.
    """
    found = _FLAT.search(path)
    return f"sha256:{found[2]}" if found else ""


def look(name: str, cvmfs: Path = CVMFS, *, deadline_s: float = _LOOK_S) -> Seen:
    """Look for the path of an image on this machine.

    Args:
        name: An absolute path.
        cvmfs: Where CVMFS is mounted.
        deadline_s: How long the file system may take.

    Raises:
        TryAgainError: It hangs.
    """
    answers: queue.SimpleQueue[Seen] = queue.SimpleQueue()
    # A daemon, so that one that never ends does not keep the process.
    threading.Thread(target=lambda: answers.put(_look(name, cvmfs)), daemon=True).start()
    try:
        return answers.get(timeout=deadline_s)
    except queue.Empty:
        raise TryAgainError(
            f"image: no answer within {deadline_s:g} s from the file system of {name}",
            fix="retry this CI job; if it stays so, tell who runs the runner",
        ) from None


def _look(name: str, cvmfs: Path) -> Seen:
    path = Path(name)
    inside = path.is_relative_to(cvmfs) and path != cvmfs
    repository = str(cvmfs / path.relative_to(cvmfs).parts[0]) if inside else ""
    try:
        there = path.exists()
    except OSError:  # a part of the path that may not be read, or that is too long
        there = False
    if there:
        real = os.path.realpath(path)
        return Seen(state="there", path=real, image_id=id_of(real), repository=repository)
    if not repository:
        return Seen(state="elsewhere")
    return Seen(state="absent" if _is_mounted(Path(repository)) else "no-cvmfs", repository=repository)


def _is_mounted(repository: Path) -> bool:
    # CVMFS mounts a repository when it is looked at.
    try:
        return any(True for _ in repository.iterdir())
    except OSError:
        return False
