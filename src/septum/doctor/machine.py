"""This machine: the tools that merge and read ROOT files, and the room for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.doctor.analysis import PLAN
from septum.doctor.report import Outcome, ok, warning
from septum.doctor.runner import Context
from septum.errors import BindingsMissingError, EngineMissingError, StateError
from septum.units import show_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from septum.errors import SeptumError
    from septum.plan import Plan

_DEADLINE_S = 40.0
LITTLE_B, TOO_LITTLE_B = 1024**3, 200 * 1024**2
_FEW_FILES, _TOO_FEW_FILES = 10_000, 1_000
_FILES_A_PART = 10
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "ROOTSYS", "VIRTUAL_ENV")


def hadd(context: Context) -> Outcome:
    """There is a `hadd`, and it starts."""
    from septum.merge.hadd import find_hadd

    plan = context.value(PLAN)
    if plan is not None and not plan.merges:
        return ok("nothing is to be merged")
    found = find_hadd(context.environ)
    done = _call([str(found.program), "-h"], context.environ)
    said = done.stdout if done is not None else f"no answer within {_DEADLINE_S:g} s"
    if done is None or "usage" not in said.lower():
        raise EngineMissingError(
            f"{found.program} does not start",
            evidence="\n".join(said.strip().splitlines()[-5:]),
            fix="set up the whole of ROOT, its libraries too (source thisroot.sh), "
            "or: python3 -m pip install 'septum[root]'",
        )
    return ok(str(found.program))


def uproot(context: Context) -> Outcome:
    """The reader that checks each ROOT file can be imported."""
    version = _import("uproot", "uproot.__version__", context.environ, EngineMissingError, "'septum'")
    return ok(f"uproot {version}")


def bindings(environ: Mapping[str, str]) -> str:
    """The version of HTCondor's bindings.

    Raises:
        BindingsMissingError: They cannot be imported.
    """
    said = _import("htcondor2", "htcondor2.version()", environ, BindingsMissingError, "htcondor   (Linux only)")
    words = said.strip("$ ").split()
    return words[1] if len(words) > 1 else said


def _import(module: str, version: str, environ: Mapping[str, str], error: type[SeptumError], package: str) -> str:
    """Import a module in a process of its own: it may take long, print, or break the whole process."""
    script = f"import {module}; print({version})"
    done = _call([sys.executable, "-c", script], {**environ, "CONDOR_CONFIG": "ONLY_ENV"})
    if done is not None and done.returncode == 0:
        return done.stdout.strip().splitlines()[-1]
    said = done.stdout if done is not None else f"no answer within {_DEADLINE_S:g} s"
    raise error(
        f"{module} cannot be imported",
        evidence="\n".join([*said.strip().splitlines()[-3:], f"{sys.executable} on {sys.platform}"]),
        fix=f"python3 -m pip install {package}",
    )


def _call(argv: list[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str] | None:
    """Run a tool to its end; None if it does not come to one."""
    try:
        return subprocess.run(
            argv,
            env={name: environ[name] for name in (*_KEPT, "CONDOR_CONFIG") if name in environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


# ── room ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is left where septum writes.

    Args:
        place: The folder.
        writable: Whether this user may write there.
        free_b: Bytes.
        files: Files that can still be made; None where nobody counts them.
    """

    place: Path
    writable: bool
    free_b: int
    files: int | None


def disk(context: Context) -> Outcome:
    """State, results and temporary files find room."""
    options = context.options
    named = {"state": options.state, "result": options.result, "temporary files": Path(tempfile.gettempdir())}
    return judge_room({use: _room(place) for use, place in named.items()}, context.value(PLAN))


def judge_room(rooms: Mapping[str, Room], plan: Plan | None) -> Outcome:
    """Compare what is left with what the plan needs, and with a floor.

    Raises:
        StateError: It is not enough.
    """
    need_b, need_files = _need(plan)
    for use, room in rooms.items():
        if not room.writable:
            raise StateError(f"{use}: {room.place} cannot be written", fix=_elsewhere(use))
        floor_b = max(TOO_LITTLE_B, need_b if use == "state" else 0)
        if room.free_b < floor_b:
            raise StateError(
                f"{use}: {show_size(room.free_b)} are free in {room.place}",
                evidence=f"{show_size(floor_b)} are needed for the inputs, and the outputs come on top",
                fix=_elsewhere(use),
            )
        if room.files is not None and room.files < _TOO_FEW_FILES:
            raise StateError(f"{use}: {room.files} files more can be made in {room.place}", fix=_elsewhere(use))
    tight = {
        use: room
        for use, room in rooms.items()
        if room.free_b < LITTLE_B or (room.files is not None and room.files < max(_FEW_FILES, need_files))
    }
    least = min(rooms.values(), key=lambda room: room.free_b)
    if tight:
        use, room = next(iter(tight.items()))
        files = f", and {room.files} files can be made" if room.files is not None else ""
        return warning(
            f"{use}: only {show_size(room.free_b)} are free in {room.place}{files}",
            cause="the outputs of all parts lie in the state folder until they are merged",
            fix=_elsewhere(use),
        )
    return ok(f"{show_size(least.free_b)} are free in {least.place}")


def _need(plan: Plan | None) -> tuple[int, int]:
    from septum.files import total_size

    if plan is None:
        return 0, 0
    own = sum(total_size(part.inputs) for part in plan.parts)
    return total_size(plan.inputs) + own, _FILES_A_PART * len(plan.parts)


def _elsewhere(use: str) -> str:
    if use == "temporary files":
        return "make room there, or name another folder with TMPDIR"
    return f"make room there, or name another folder with --{use}"


def _room(place: Path) -> Room:
    """Of the folder, or of the one that it will be made in."""
    folder = place.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    counted = os.statvfs(there)
    return Room(
        place=there,
        writable=there.is_dir() and os.access(there, os.W_OK | os.X_OK),
        free_b=shutil.disk_usage(there).free,
        files=counted.f_favail if counted.f_files else None,
    )
