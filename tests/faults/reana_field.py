"""What the rows on REANA share: servers, each for one row at a time, and a watch for tokens."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from typing_extensions import Self

from tests.fakes.reana.handle import ReanaServer, reana_server
from tests.workshop import SEPTUM

_SLOTS = 5


class Watch:
    """Looks all the time whether a secret stands in the arguments of any process."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.seen: list[str] = []
        self.looked: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _look(self) -> None:
        while not self._ended.wait(0.2):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes()
                except OSError:
                    continue
                if str(SEPTUM).encode() in words:
                    self.looked.add(path.parent.name)
                self.seen += [
                    words.replace(b"\0", b" ").decode(errors="replace")
                    for secret in list(self.secrets)
                    if secret.encode() in words
                ]


class Servers:
    """Servers that are started when they are wanted, each for one row at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._free: list[ReanaServer] = []
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._count = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[ReanaServer]:
        """A server that nobody else has now."""
        with self._lock:
            server = self._free.pop() if self._free else None
            self._count += server is None
            folder = self._folder / f"reana-{self._count}"
        if server is None:
            server = self._stack.enter_context(
                reana_server(folder, slots=_SLOTS, backends=("kubernetes", "htcondorcern"))
            )
        try:
            yield server
        finally:
            with self._lock:
                self._free.append(server)

    def close(self) -> None:
        """End them; an AssertionError names what was asked of them that REANA does not have."""
        self._stack.close()
