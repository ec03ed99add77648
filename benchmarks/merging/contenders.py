"""Who takes part: each contender is a command that merges the files of a case into one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as remembered
from pathlib import Path

from benchmarks.merging.cases import HERE
from benchmarks.places import cache
from septum.errors import EngineMissingError
from septum.merge.hadd import find_hadd

_HISTOGRAMS = ("histograms", "histograms-lz4", "many-files")
_TREES = ("trees", "ntuples")
_ALL = (*_HISTOGRAMS, *_TREES)
# What runs once, on few files: its time is given for as many as that.
FEW = 20
# Other people's tools, in an environment of their own.
_PEERS = ("parallel-hadd==2.0.0", "hepconvert==1.4.0")

Command = Callable[[Path, Sequence[str]], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to merge.

    Attributes:
        name: As tables show it.
        cases: The names of the cases that it takes part in.
        command: From the target and the names of the sources to a command, run in the folder of the sources.
        few: Whether it is so slow that it runs once, on few files.
        marks: Whether the last line that it prints is a JSON object of seconds.
        writes: Whether it writes a file; else it prints how many numbers it added, and their sum.
        missing: Why it cannot run here; empty if it can.
    """

    name: str
    cases: tuple[str, ...]
    command: Command
    few: bool = False
    marks: bool = False
    writes: bool = True
    missing: Callable[[], str] = lambda: ""


def _hadd(*options: str) -> Command:
    return lambda target, files: [str(find_hadd(os.environ).program), "-v", "0", *options, str(target), *files]


def _septum(*options: str) -> Command:
    return lambda target, files: [sys.executable, "-m", "septum", "merge", *options, str(target), *files]


def _phadd(target: Path, files: Sequence[str]) -> list[str]:
    program = _peers() / "bin" / "phadd"
    path = f"PATH={find_hadd(os.environ).program.parent}:{os.environ.get('PATH', os.defpath)}"
    return ["env", path, str(program), "--no-progress", "-f", "-j", "2", str(target), *files]


def _script(name: str, *arguments: str, python: Callable[[], Path] = lambda: Path(sys.executable)) -> Command:
    return lambda target, files: [str(python()), str(HERE / name), *arguments, str(target), *files]


def _floor(target: Path, files: Sequence[str]) -> list[str]:
    del target
    return [str(_compiled_floor()), *files]


@remembered
def _peers() -> Path:
    """The environment of the peers, made once."""
    folder = cache() / "peers"
    stamp = folder / f"{'+'.join(_PEERS)}.complete"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", *_PEERS], check=True)
        stamp.touch()
    return folder


@remembered
def _compiled_floor() -> Path:
    program = cache() / "floor"
    program.parent.mkdir(parents=True, exist_ok=True)
    # With the compiler's own tuning for this machine: it is to be the floor.
    command = ["cc", "-O3", "-march=native", "-o", str(program), str(HERE / "floor.c"), "-lz"]
    subprocess.run(command, check=True, capture_output=True)
    return program


def _no_hadd() -> str:
    try:
        find_hadd(os.environ)
    except EngineMissingError as error:
        return error.what
    return ""


def _no_peers() -> str:
    try:
        _peers()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the peers cannot be installed: {error}"
    return _no_hadd()


def _no_floor() -> str:
    try:
        _compiled_floor()
    except (OSError, subprocess.CalledProcessError):
        return "floor.c cannot be compiled: it needs cc and zlib.h (Debian: apt-get install gcc zlib1g-dev)"
    return ""


@remembered
def _no_septum_merge() -> str:
    command = [sys.executable, "-m", "septum", "merge", "--help"]
    done = subprocess.run(command, check=False, capture_output=True)
    return "this version has no `septum merge`" if done.returncode else ""


CONTENDERS = (
    Contender(name="hadd -f", cases=_ALL, command=_hadd("-f"), missing=_no_hadd),
    Contender(name="hadd -f -j 2", cases=_ALL, command=_hadd("-f", "-j", "2"), missing=_no_hadd),
    Contender(name="hadd -ff", cases=_TREES, command=_hadd("-ff"), missing=_no_hadd),
    Contender(name="phadd -j 2", cases=(*_HISTOGRAMS, "trees"), command=_phadd, missing=_no_peers),
    Contender(name="floor in C", cases=("histograms", "many-files"), command=_floor, writes=False, missing=_no_floor),
    Contender(
        name="septum, 1 process",
        cases=_HISTOGRAMS,
        command=_septum("--engine", "strict", "--jobs", "1"),
        missing=_no_septum_merge,
    ),
    Contender(
        name="septum, 2 processes",
        cases=_HISTOGRAMS,
        command=_septum("--engine", "strict", "--jobs", "2"),
        missing=_no_septum_merge,
    ),
    Contender(
        name="septum, as files arrive",
        cases=_ALL,
        command=_script("incremental.py"),
        marks=True,
        missing=_no_septum_merge,
    ),
    Contender(name="septum", cases=_TREES, command=_septum(), missing=_no_septum_merge),
    Contender(name="uproot and hist", cases=("histograms",), command=_script("with_uproot.py"), few=True),
    Contender(
        name="hepconvert",
        cases=("histograms", "trees"),
        command=_script("with_hepconvert.py", python=lambda: _peers() / "bin" / "python"),
        few=True,
        missing=_no_peers,
    ),
)
