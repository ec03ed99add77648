"""The results of a rehearsal, brought from the artifacts of its CI jobs into the folder of the user."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from septum.errors import StateError, UsageError
from septum.manifest import NAME

REPORT = "report.html"


def check_target(target: Path) -> None:
    """Look whether results may be put there: a new or empty folder, or one with the results of an earlier rehearsal.

    Raises:
        UsageError: Something else is there.
    """
    if target.name in {"", ".."}:
        raise UsageError(f"rehearse: {target} cannot be put into the place of another folder", fix="--result FOLDER")
    if target.parent.is_dir() and not os.access(target.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"rehearse: the results cannot be written to {target}",
            evidence=f"{target.parent.absolute()} cannot be written to",
            fix="--result FOLDER, in one that you can write to",
        )
    if not target.exists() and not target.is_symlink():
        if target.parent.is_dir():
            return
        raise UsageError(f"rehearse: there is no folder {target.parent}", fix="--result FOLDER, in one that exists")
    if target.is_symlink() or not target.is_dir():
        raise UsageError(f"rehearse: {target} is no folder", fix="--result FOLDER, one that is new")
    strange = [path.name for path in sorted(target.iterdir()) if not _is_result(path)]
    if strange and not (target / NAME).is_file():
        raise UsageError(
            f"rehearse: {target} is there already, and holds more than results of septum",
            evidence=", ".join(strange[:5]),
            fix="--result FOLDER, one that is new; or move that away",
        )


def _is_result(path: Path) -> bool:
    return path.is_dir() and (path / NAME).is_file()


def bring(found: Mapping[str, Path], target: Path) -> dict[str, Path]:
    """Copy results, and put them in the place of those that are there.

    Args:
        found: The name of a result folder, and where it is.
        target: Where the results go: the only one itself, several as folders in it.

    Returns:
        The name of a result folder, and where it is now.

    Raises:
        StateError: It could not be written.
    """
    if not found:
        return {}
    unfinished = target.with_name(f".{target.name}.unfinished")
    earlier = target.with_name(f".{target.name}.earlier")
    alone = len(found) == 1
    try:
        for folder in (unfinished, earlier):
            shutil.rmtree(folder, ignore_errors=True)
        for name, folder in found.items():
            shutil.copytree(folder, unfinished if alone else unfinished / name, symlinks=True)
        if target.is_dir():
            target.rename(earlier)
        unfinished.rename(target)
        shutil.rmtree(earlier, ignore_errors=True)
    except OSError as error:
        raise StateError(
            f"rehearse: the results cannot be written to {target}",
            evidence=str(error),
            fix="--result FOLDER, in one that you can write to",
        ) from error
    return {name: target if alone else target / name for name in found}
