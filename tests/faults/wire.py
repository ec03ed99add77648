"""A network of its own for one run of septum, which can be cut, silent or slow, while all others go on.

septum runs in a network namespace. There, at the ports of the pool and of the issuer, listen sockets that belong to
the tests: what comes in is handed on to the real servers, or not.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

Mode = Literal["pass", "cut", "silent", "slow"]
INSIDE = Path(__file__).with_name("inside.py")
SLOW_S = 0.02
"""What each block costs on a slow network."""
_RESET = struct.pack("ii", 1, 0)
_BLOCK = 1 << 14


class Wire:
    """The way to one server of this machine.

    `sent_b` counts the bytes that septum has sent on it.

    Args:
        port: Its port on the loopback interface.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.mode: Mode = "pass"
        self.taken = 0
        self.sent_b = 0
        self._near: set[socket.socket] = set()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def begin(self, listener: socket.socket) -> None:
        """Take what comes in at a listening socket."""
        listener.settimeout(0)
        self._selector.register(listener, selectors.EVENT_READ, "listener")
        if not self._thread.is_alive():
            self._thread.start()

    def end(self) -> None:
        """Close everything."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def opened(self, near: socket.socket, far: socket.socket) -> None:
        """Called with the two ends of each connection; for those who count."""

    def carried(self, one: socket.socket, block: bytes) -> None:
        """Called with what came from one end, before it is handed on; for those who count."""

    def _carry(self) -> None:
        while not self._ended.is_set():
            if self.mode == "silent":
                # The kernel takes connections, and nobody ever looks at them.
                time.sleep(0.05)
                continue
            if self.mode == "cut":
                for one in list(self._pairs):
                    self._drop(one)
            for key, _ in self._selector.select(0.05):
                assert isinstance(key.fileobj, socket.socket)
                if key.data == "listener":
                    self._accept(key.fileobj)
                elif key.fileobj in self._pairs:
                    self._hand_on(key.fileobj)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            near, _ = listener.accept()
            self.taken += 1
            far = socket.socket()
            self._pairs[near], self._pairs[far] = far, near
            self._near.add(near)
            if self.mode == "cut":
                self._drop(near)
                return
            try:
                far.connect(("127.0.0.1", self.port))
            except OSError:
                self._drop(near)
                return
            self.opened(near, far)
            for one in (near, far):
                # Else the kernel holds small blocks back, and each answer to one comes 40 ms late.
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.settimeout(20)
                self._selector.register(one, selectors.EVENT_READ)

    def _hand_on(self, one: socket.socket) -> None:
        try:
            block = one.recv(_BLOCK)
            if self.mode == "slow":
                time.sleep(SLOW_S)
            if block:
                self.carried(one, block)
            self._pairs[one].sendall(block)
            if one in self._near:
                self.sent_b += len(block)
        except OSError:
            block = b""
        if not block:
            self._drop(one, reset=False)

    def _drop(self, one: socket.socket, *, reset: bool = True) -> None:
        for each in (one, self._pairs.pop(one)):
            self._near.discard(each)
            self._pairs.pop(each, None)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
            if reset:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            each.close()


@contextlib.contextmanager
def wires(*ports: int) -> Iterator[list[Wire]]:
    """Ways to servers, closed at the end."""
    made = [Wire(port) for port in ports]
    try:
        yield made
    finally:
        for wire in made:
            wire.end()


def start(
    argv: Sequence[str], ways: Sequence[Wire], *, cwd: Path, env: Mapping[str, str], out: Path
) -> subprocess.Popen[bytes]:
    """Start a command that has no network but these ways.

    Args:
        argv: The command.
        ways: What it can reach.
        cwd: Its working folder.
        env: Its environment.
        out: What it prints.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ports = ",".join(str(way.port) for way in ways)
    words = ["unshare", "--map-root-user", "--net", sys.executable, "-I", str(INSIDE), str(theirs.fileno()), ports]
    with ours, theirs, out.open("wb") as stream:
        process = subprocess.Popen(
            [*words, *argv],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        ours.settimeout(20)
        _, numbers, _, _ = socket.recv_fds(ours, 16, len(ways))
    for way, number in zip(ways, numbers, strict=True):
        way.begin(socket.socket(fileno=number))
    return process
