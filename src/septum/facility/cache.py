"""The one folder for everything that is downloaded or built once: apt packages, npm modules, worker Python."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from septum.facility.errors import FacilityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A first build downloads about 150 MB; a second process that wants the same waits for it.
_LOCK_TIMEOUT_S = 900.0


def cache_folder() -> Path:
    """Return `$SEPTUM_CACHE`, else `septum` in `$XDG_CACHE_HOME` or `~/.cache`. It need not exist yet."""
    own = os.environ.get("SEPTUM_CACHE")
    if own:
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache").absolute() / "septum"
    except RuntimeError as err:
        raise FacilityError(
            "there is no home folder for the cache",
            evidence=str(err),
            fix="set SEPTUM_CACHE to a folder you can write to",
        ) from err


def run_folder() -> Path:
    """Return the folder for the state of running facilities, readable by its owner alone."""
    folder = cache_folder() / "run"
    _make(folder)
    folder.chmod(0o700)
    return folder


def entry_name(kind: str, recipe: object) -> str:
    """Name a cache entry after what goes into it.

    Args:
        kind: A readable first part.
        recipe: Everything that decides the content: package lists, versions, texts. Must survive `json.dumps`.

    Returns:
        The kind and twelve hexadecimal digits.
    """
    text = json.dumps(recipe, sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def build_once(name: str, build: Callable[[Path], None]) -> Path:
    """Return a cache entry, and build it first if it is not there.

    The entry is built in a temporary folder beside it and renamed when complete, so an interrupted build never
    looks like a finished one. A lock keeps two processes from building the same entry.

    Args:
        name: From `entry_name`.
        build: Fills the empty folder that it is given.

    Returns:
        The complete entry.

    Raises:
        FacilityError: The build failed, or another process held the lock for too long.
    """
    base = cache_folder()
    entry = base / name
    if entry.is_dir():
        return entry
    _make(base)
    with _locked(base / f".{name}.lock"):
        if entry.is_dir():
            return entry
        unfinished = base / f".{name}.unfinished"
        remove_tree(unfinished)
        unfinished.mkdir()
        try:
            build(unfinished)
            unfinished.rename(entry)
        except BaseException:
            remove_tree(unfinished)
            raise
    return entry


def remove_tree(folder: Path) -> None:
    """Remove a folder with all its content, folders without write permission included; no error if absent."""
    if not folder.exists():
        return
    for path, folders, _ in os.walk(folder):
        for name in folders:
            inner = Path(path, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise FacilityError(
            f"cannot create the cache folder {folder}",
            evidence=str(err),
            fix="set SEPTUM_CACHE to a folder you can write to",
        ) from err


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    end = time.monotonic() + _LOCK_TIMEOUT_S
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as err:
                if time.monotonic() > end:
                    raise FacilityError(
                        f"another process has been building for {_LOCK_TIMEOUT_S:g} s",
                        evidence=f"it holds the lock {path}",
                        fix="end that process, then try again",
                    ) from err
                time.sleep(0.2)
        yield
