"""Lets copier write: a new repository, and an update. It runs as a process of its own, offline, and with a deadline.

Nothing of the user's copier is read or written: neither its settings, which can trust a starter to run programs, nor
its cache. What it is told to fetch is a clone on this machine that stands for the address.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import septum
from septum.errors import StarterError, TryAgainError
from septum.starting import gitting, source
from septum.starting.answers import Answers

_DEADLINE_S = 120.0
_SHOWN_LINES = 8
# What copier and git need of the environment; no secret of the user's shell.
_KEPT = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONUSERBASE", "GIT_CONFIG_GLOBAL")


def create(answers: Answers, target: Path, *, root: Path | None = None, version: str = septum.__version__) -> list[str]:
    """Write a repository, all or nothing.

    Args:
        answers: What was answered.
        target: The new folder; one that exists must be empty.
        root: The starter, that of this septum by default.
        version: Of that starter.

    Returns:
        The files, relative to it.

    Raises:
        StarterError: The folder is not empty or cannot be made, or copier is not installed.
    """
    require_empty(target)
    parent = target.resolve().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{answers.name}.", dir=parent))
    except OSError as error:
        raise StarterError(
            f"new: {parent} cannot be written: {(error.strerror or str(error)).lower()}",
            fix="septum new NAME --into FOLDER, where you may write",
        ) from error
    try:
        made = staging / "made"
        _copy(answers, made, root=root, version=version)
        files = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
        require_empty(target)
        _rename(made, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return files


def listed(answers: Answers, *, root: Path | None = None, version: str = septum.__version__) -> list[str]:
    """The files that `create` would write.

    Raises:
        StarterError: The starter cannot be read, or copier is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="septum-new-") as folder:
        return create(answers, Path(folder) / answers.name, root=root, version=version)


def require_empty(target: Path) -> None:
    """Look whether a folder can become a new repository.

    Raises:
        StarterError: It cannot.
    """
    try:
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise StarterError(f"new: {target} is there, and is no folder", fix="take another name, or --into FOLDER")
        held = sorted(path.name for path in target.iterdir()) if target.exists() else []
    except OSError as error:
        raise StarterError(
            f"new: {target} cannot be read: {(error.strerror or str(error)).lower()}", fix="take another --into FOLDER"
        ) from error
    if held == [".git"]:
        here, made = shlex.quote(str(target)), shlex.quote(f"{target}.new")
        raise StarterError(
            f"new: the folder {target} is a clone already, if one without files",
            evidence="a new repository is written whole or not at all, so into a folder of its own",
            fix=f"septum new NAME --into {made}\ncp -R {made}/. {here} && rm -r {made}",
        )
    if held:
        raise StarterError(
            f"new: the folder {target} is not empty",
            evidence=f"it holds {', '.join(held[:5])}{' …' if len(held) > 5 else ''}",  # noqa: PLR2004 - enough to see
            fix="take another name, or --into FOLDER; for a repository that exists, there is septum adopt",
        )


def _rename(made: Path, target: Path) -> None:
    try:
        made.rename(target)
    except OSError as error:
        raise StarterError(
            f"new: {target} cannot be made: {(error.strerror or str(error)).lower()}", fix="take another --into FOLDER"
        ) from error


def _copy(answers: Answers, made: Path, *, root: Path | None, version: str) -> None:
    with tempfile.TemporaryDirectory(prefix="septum-starter-") as temporary:
        folder = Path(temporary)
        clone = source.as_repository(folder / "source", root=root, version=version)
        data = data_file(folder, answers.mapping())
        words = ["copy", "--defaults", "--quiet", "--vcs-ref", version, *data, source.address(), str(made)]
        run_copier(words, folder, gitting.instead(source.address(), clone, {}) | gitting.OWN)


def data_file(folder: Path, answers: Mapping[str, Any]) -> list[str]:
    """Answers in a file, and the options by which copier takes it."""
    path = folder / "data.yml"
    path.write_text(json.dumps(answers), encoding="utf-8")  # JSON is YAML, and quotes everything
    return ["--data-file", str(path)]


def require_copier() -> None:
    """Look whether copier is installed.

    Raises:
        StarterError: It is not.
    """
    if importlib.util.find_spec("copier") is None:
        raise StarterError(
            "copier is not installed, which copies and merges the starter",
            fix="python3 -m pip install 'septum[laptop]'",
        )


def run_copier(words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> str:
    """Run copier.

    Args:
        words: Its arguments.
        folder: A folder for what it keeps, where it also runs: no module of the analysis can stand for one of its own.
        environ: More variables.

    Returns:
        What it said.

    Raises:
        StarterError: It refused, or is not installed.
        TryAgainError: It did not end in time.
    """
    require_copier()
    command = [sys.executable, "-m", "copier", *words]
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**_environment(folder), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            out, _ = process.communicate(timeout=_DEADLINE_S)
        except BaseException as error:
            # Git below it, too; a Ctrl-C reaches this process alone.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TryAgainError(f"copier did not end within {_DEADLINE_S:.0f} s", fix="try again") from error
            raise
    said = out.decode("utf-8", "replace").strip()
    if process.returncode:
        raise _refused(said)
    return said


def _environment(folder: Path) -> dict[str, str]:
    """What copier knows of the environment: nothing of its user's settings, which can trust a starter, or cache."""
    (folder / "settings.yml").write_text("{}\n", encoding="ascii")
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        "COPIER_SETTINGS_PATH": str(folder / "settings.yml"),
        "COPIER_CACHE_DIR": str(folder / "cache"),
        "GIT_TERMINAL_PROMPT": "0",
        "NO_COLOR": "1",
        "PYTHONWARNINGS": "ignore",
    }


def _refused(said: str) -> StarterError:
    evidence = "\n".join(said.splitlines()[-_SHOWN_LINES:])
    if "unsafe feature" in said:
        return StarterError(
            "the starter wants to run programs of its own, and that is never allowed",
            evidence=evidence,
            fix="take the starter of septum itself: leave --starter out",
        )
    return StarterError("copier cannot copy the starter", evidence=evidence, fix="the lines above are copier's own")
