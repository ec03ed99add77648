"""Run a command with a deadline and a checked result, and watch over processes in the background."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.facility.errors import FacilityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_TAIL_LINES = 15
_running: set[subprocess.Popen[Any]] = set()
_ending = threading.Event()


def tail(text: str, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a text, as evidence for a message."""
    return "\n".join(text.strip().splitlines()[-lines:])


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    timeout_s: float,
    fix: str = "run the command by hand to see more",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    The command gets a process group of its own, and the whole group is killed at the deadline, so that no
    grandchild outlives the call.

    Args:
        argv: The command. Never put a secret into it: every user of the machine can read it.
        what: What the command does, for the error message.
        timeout_s: Deadline in seconds.
        fix: The advice of the error message.
        env: The whole environment; `None` hands on our own.
        cwd: Working folder.
        stdin: Text for the standard input.
        check: Whether an exit code other than 0 is an error.

    Returns:
        The exit code and both outputs as text.

    Raises:
        FacilityError: The command is missing, failed or took too long.
    """
    words = [str(word) for word in argv]
    if _ending.is_set():
        raise FacilityError(f"{what}: interrupted", fix="start again")
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as err:
        raise FacilityError(f"{what}: cannot start {words[0]}", evidence=str(err), fix=fix) from err
    _running.add(process)
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired as err:
        kill_group(process)
        stdout, stderr = process.communicate()
        raise FacilityError(
            f"{what}: not done after {timeout_s:g} s: {' '.join(words[:3])} ...",
            evidence=tail(stdout + stderr),
            fix=fix,
        ) from err
    except BaseException:
        kill_group(process)
        process.wait()
        raise
    finally:
        _running.discard(process)
    if check and process.returncode != 0:
        raise FacilityError(
            f"{what}: exit code {process.returncode} from {' '.join(words[:3])} ...",
            evidence=tail(stdout + "\n" + stderr),
            fix=fix,
        )
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def follow(
    argv: Sequence[str | Path],
    *,
    what: str,
    timeout_s: float,
    on_line: Callable[[str], None],
    env: Mapping[str, str],
    cwd: Path,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and hand on what it prints, line by line, as it does.

    Args:
        argv: The command.
        what: What it does, for the error message.
        timeout_s: Deadline in seconds.
        on_line: Takes a line without its end.
        env: The whole environment.
        cwd: Working folder.

    Returns:
        The exit code, and all that was printed.

    Raises:
        FacilityError: The command is missing or took too long.
    """
    words = [str(word) for word in argv]
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as err:
        raise FacilityError(f"{what}: cannot start {words[0]}", evidence=str(err), fix="install it") from err
    assert process.stdout is not None  # noqa: S101 - it was asked for
    # A carriage return is no end of a line: who prints one could begin a line with it.
    printed = io.TextIOWrapper(process.stdout, encoding="utf-8", errors="replace", newline="\n")
    late = threading.Event()

    def end() -> None:
        late.set()
        kill_group(process)

    alarm = threading.Timer(timeout_s, end)
    alarm.daemon = True
    alarm.start()
    lines = []
    try:
        for line in printed:
            lines.append(line)
            on_line(line.rstrip("\n"))
        process.wait()
    except BaseException:
        kill_group(process)
        process.wait()
        raise
    finally:
        alarm.cancel()
        printed.close()
    if late.is_set():
        raise FacilityError(
            f"{what}: not done after {timeout_s:g} s", evidence=tail("".join(lines)), fix="look at what takes so long"
        )
    return subprocess.CompletedProcess(words, process.returncode, "".join(lines), "")


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process that leads its group, and the group with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def ending_threads() -> Iterator[None]:
    """While inside, an interrupt also ends what other threads run, which nobody else would stop."""
    try:
        yield
    except Exception:
        raise
    except BaseException:  # Ctrl-C and its like, after which this process ends
        _ending.set()
        for process in tuple(_running):
            kill_group(process)
        raise


def pause(seconds: float) -> None:
    """Wait, unless `ending_threads` has ended everything."""
    _ending.wait(seconds)


def wait_until(condition: Callable[[], bool], *, timeout_s: float, interval_s: float = 0.05) -> bool:
    """Wait until a condition holds.

    Args:
        condition: Called again and again.
        timeout_s: Deadline in seconds.
        interval_s: Pause between two calls in seconds.

    Returns:
        Whether the condition held before the deadline.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(interval_s)
    return True


def started(pid: int) -> str:
    """Return when a process started, in the kernel's own count; empty if there is no such process.

    Together with the process id this names one process for good, while an id alone may be given to another.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""
