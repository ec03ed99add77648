"""Runs one command and measures it: wall-clock, CPU time, and the memory of all of its processes together."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_EVERY_S = 0.05
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of a command.

    Attributes:
        wall_s: From the start of the process to its end.
        user_s: CPU time of it and of its children in user mode, `system_s` in the kernel.
        memory_mb: The largest sum, over the processes that lived at the same time, of their proportional set sizes:
            a page that two of them share is counted once. Looked at every 50 ms; in 10⁶ bytes.
        exit_code: Of the process.
        said: The end of what it printed.
    """

    wall_s: float
    user_s: float
    system_s: float
    memory_mb: float
    exit_code: int
    said: str

    @property
    def cpu_s(self) -> float:
        """CPU time altogether."""
        return self.user_s + self.system_s


def measure(command: Sequence[str], *, folder: Path, log: Path) -> Measured:
    """Run a command to its end.

    Args:
        command: With its arguments.
        folder: What it runs in.
        log: Where its output goes.
    """
    start = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
        )
    return watch(process, start=start, log=log)


def watch(
    process: subprocess.Popen[bytes],
    *,
    start: float,
    log: Path,
    every_s: float = _EVERY_S,
    deadline_s: float | None = None,
) -> Measured:
    """Measure a process that has just been started, to its end.

    Args:
        process: It, waited for by nobody else.
        start: When it was started, by `time.perf_counter`.
        log: Where its output goes.
        every_s: How often its memory is looked at.
        deadline_s: After so many seconds it is killed; None for never.
    """
    sampler = _Sampler(process.pid, every_s)
    sampler.start()
    alarm = threading.Timer(deadline_s, process.kill) if deadline_s is not None else None
    if alarm is not None:
        alarm.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:  # stopped by hand: nothing goes on in the background
        process.kill()
        raise
    finally:
        if alarm is not None:
            alarm.cancel()
    wall = time.perf_counter() - start
    sampler.stop()
    # The process was waited for here, not by its object.
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(
        wall_s=wall,
        user_s=usage.ru_utime,
        system_s=usage.ru_stime,
        # Of a process that ended before the first look, the kernel knows its own largest size.
        memory_mb=sampler.largest_kb * 1024 / 1e6 or usage.ru_maxrss * 1024 / 1e6,
        exit_code=process.returncode,
        said=log.read_text(encoding="utf-8", errors="replace")[-2000:],
    )


class _Sampler(threading.Thread):
    """Looks at the memory of a process and of all below it until told to stop."""

    def __init__(self, pid: int, every_s: float) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._every_s = every_s
        self._done = threading.Event()
        self.largest_kb = 0

    def run(self) -> None:
        while True:
            self.largest_kb = max(self.largest_kb, sum(map(_size_kb, tree(self._pid))))
            if self._done.wait(self._every_s):
                return

    def stop(self) -> None:
        self._done.set()
        self.join()


def tree(pid: int) -> list[int]:
    """A process and all below it that live now."""
    found = [pid]
    for known in found:
        for thread in _listed(_PROC / str(known) / "task"):
            found += [int(child) for child in _text(thread / "children").split()]
    return found


def _size_kb(pid: int) -> int:
    for line in _text(_PROC / str(pid) / "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # it has just ended
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
