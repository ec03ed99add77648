"""What comes over the network piece by piece, read in a thread: who waits for it does not wait for ever."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

_PIECES = 64
_LOOK_EVERY_S = 0.2


class SilenceError(Exception):
    """Nothing came in time."""


@dataclass(slots=True)
class _Pipe(Generic[T]):
    """Hands pieces from one thread to another, as long as that one wants them; full, it holds the first one up."""

    pieces: queue.Queue[tuple[T | None, BaseException | None]] = field(default_factory=lambda: queue.Queue(_PIECES))
    unwanted: threading.Event = field(default_factory=threading.Event)

    def fill(self, produce: Callable[[], Iterator[T]]) -> None:
        """Read to the end."""
        try:
            for piece in produce():
                if not self._put(piece, None):
                    return
            self._put(None, None)
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits for it
            self._put(None, error)

    def _put(self, piece: T | None, error: BaseException | None) -> bool:
        while not self.unwanted.is_set():
            try:
                self.pieces.put((piece, error), timeout=_LOOK_EVERY_S)
            except queue.Full:
                continue
            return True
        return False


def streamed(produce: Callable[[], Iterator[T]], *, silence_s: float, whole_s: float) -> Generator[T, None, None]:
    """What is read from the network, as it comes; no more than some pieces are held.

    Args:
        produce: Reads; runs in a thread of its own.
        silence_s: How long to wait for the next piece, in seconds.
        whole_s: How long all of it may take.

    Raises:
        SilenceError: Something was not there in time.
    """
    pipe: _Pipe[T] = _Pipe()
    threading.Thread(target=pipe.fill, args=(produce,), daemon=True, name="stream").start()
    until_s = time.monotonic() + whole_s
    try:
        while True:
            wait_s = max(0.0, min(silence_s, until_s - time.monotonic()))
            try:
                piece, error = pipe.pieces.get(timeout=wait_s)
            except queue.Empty:
                raise SilenceError(f"nothing came for {wait_s:.0f} s") from None
            if error is not None:
                raise error
            if piece is None:
                return
            yield piece
    finally:
        pipe.unwanted.set()
