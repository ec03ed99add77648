"""Run a command under supervision: it finds valid credentials by path for as long as it lives, and never a secret.

What it prints passes through the redactor, because a program that is refused likes to quote what it was refused with.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

from septum.credentials.redact import KNOWN
from septum.errors import SeptumError, UsageError
from septum.signals import handling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from septum.credentials.supervisor import Supervisor

_BLOCK = 1 << 16
_LOOK_S = 1.0
_PEEK_S = 0.2
_DRAIN_S = 2.0
"""How long output is waited for after the command has ended: a process that it left behind may hold the pipe open."""
_STOP_S = 5.0


def run(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    supervisor: Supervisor,
    warn: Callable[[str], None],
) -> int:
    """Run a command to its end.

    Args:
        command: The command and its arguments.
        environ: Its whole environment.
        supervisor: Keeps the files fresh meanwhile.
        warn: Takes warnings for people.

    Returns:
        Its exit code; 128 and the signal's number if a signal ended it.

    Raises:
        UsageError: It cannot be started.
    """
    one_stream = _same_file(sys.stdout, sys.stderr)
    started: list[subprocess.Popen[bytes]] = []
    early: list[int] = []
    ended, given_up = threading.Event(), threading.Event()

    def forward(number: int, _: object) -> None:
        if not started:
            early.append(number)
        elif ended.is_set():
            # Only our own reader keeps us.
            given_up.set()
        else:
            _signal_group(started[0], number)

    # What asks us to stop asks the command; we end when it has ended.
    with handling(forward), _starting(command, environ, one_stream=one_stream) as process:
        started.append(process)
        for number in early:
            _signal_group(process, number)
        # A stream that was closed when we began has no file: its number may belong to another one by now.
        out = 1 if sys.stdout is not None else None
        streams = [(process.stdout, out), (process.stderr, 2 if sys.stderr is not None else None)]
        pumps = [
            threading.Thread(target=_pump, args=(stream, target, ended), name="output", daemon=True)
            for stream, target in streams
            if stream is not None
        ]
        for pump in pumps:
            pump.start()
        code = _wait(process, supervisor, warn)
        ended.set()
        for pump in pumps:
            while pump.is_alive() and not given_up.is_set():
                pump.join(_PEEK_S)
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _starting(
    command: Sequence[str], environ: Mapping[str, str], *, one_stream: bool
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(
            list(command),
            env=dict(environ),
            stdout=subprocess.PIPE,
            # One pipe keeps the order of the two.
            stderr=subprocess.STDOUT if one_stream else subprocess.PIPE,
            bufsize=0,
            # A group of its own, so that a signal from us reaches all of it, and Ctrl-C once and not twice.
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(
            f"credentials run: {command[0]!r} cannot be started: {(error.strerror or str(error)).lower()}",
            fix="septum credentials run -- COMMAND [ARGUMENT ...]",
        ) from error
    try:
        yield process
    except BaseException:
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        _signal_group(process, signal.SIGKILL)
        process.wait()
        raise


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def _wait(process: subprocess.Popen[bytes], supervisor: Supervisor, warn: Callable[[str], None]) -> int:
    told = ""
    while True:
        try:
            return process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            pass
        try:
            for warning in supervisor.check(time.time()):
                warn(warning)
            told = ""
        except SeptumError as error:
            # The command decides what that means for it; told once, not every second.
            if error.what != told:
                warn(error.what)
            told = error.what


def _pump(source: BinaryIO, target: int | None, ended: threading.Event) -> None:
    """Pass on what the command prints, without secrets."""
    stream = KNOWN.stream()
    with source:
        for block in _blocks(source, ended):
            if not _write(target, stream.feed(block)):
                # Our reader has gone; when its own has gone, too, the command learns of it as it would without us.
                return
    _write(target, stream.close())


def _blocks(source: BinaryIO, ended: threading.Event) -> Iterator[bytes]:
    """What comes, to its end; or a while after the command has ended, when others that it left hold the pipe open."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    until = float("inf")
    while time.monotonic() < until:
        if ended.is_set():
            until = min(until, time.monotonic() + _DRAIN_S)
        if poll.poll(_PEEK_S * 1000):
            block = os.read(source.fileno(), _BLOCK)
            if not block:
                return
            yield block
    # What is in the pipe was written before; what comes later is not waited for.
    left = struct.unpack("i", fcntl.ioctl(source, termios.FIONREAD, bytes(4)))[0]
    while left > 0:
        block = os.read(source.fileno(), min(left, _BLOCK))
        left -= len(block)
        yield block


def _write(target: int | None, data: bytes) -> bool:
    """Write; returns whether somebody may read it. Of a full disk the command must not learn: it would block."""
    view = memoryview(data)
    try:
        while view and target is not None:
            view = view[os.write(target, view) :]
    except BrokenPipeError:
        return False
    except OSError:
        pass
    return True


def _same_file(one: object, other: object) -> bool:
    """Whether both are one file, as in a CI job's log."""
    try:
        first, second = (os.fstat(stream.fileno()) for stream in (one, other))  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
