"""What septum does when it is told to stop while jobs of its run are in the queue."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from septum.backends.base import Backend
from septum.errors import CancelledError, SeptumError

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Interrupted(BaseException):
    """A signal asked septum to stop. No Exception: nothing on the way may take it for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def removing_on_signal(backend: Backend, say: Callable[[str], None]) -> Iterator[None]:
    """While inside, SIGTERM, SIGINT and SIGHUP remove the jobs of the run before septum ends.

    Args:
        backend: Where the jobs are.
        say: Takes one line for people.

    Raises:
        CancelledError: One of them came.
    """

    def handle(number: int, _: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not stop the removal
        raise _Interrupted(number)

    watched = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup stays in force
    before = {number: signal.signal(number, handle) for number in watched}
    try:
        yield
    except _Interrupted as interrupted:
        name = signal.Signals(interrupted.number).name
        say(f"{name}: removing the jobs of this run")
        try:
            removed = backend.remove(None)
        except SeptumError as error:
            raise CancelledError(
                f"cancelled by {name}; the jobs could not be removed",
                evidence=error.what,
                fix="they remove themselves at the end of their lease",
            ) from error
        raise CancelledError(
            f"cancelled by {name}; {removed} jobs were removed", fix="run again to begin anew"
        ) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
