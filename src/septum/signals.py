"""What septum does when it is told to stop."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from septum.errors import CancelledError, SeptumError

if TYPE_CHECKING:
    from septum.backends.base import Backend

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What asks a program to stop: a CI job that is cancelled, Ctrl-C, a terminal that is closed."""


@contextlib.contextmanager
def handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """While inside, the signals that ask septum to stop go to a handler. Signals that nohup ignores stay ignored."""
    watched = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in watched}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextlib.contextmanager
def ending_in_order() -> Iterator[list[int]]:
    """While inside, a signal ends septum as an error would: what it holds is given back, and files of secrets go.

    The exit code is the usual one, 128 and the signal's number.

    Yields:
        The signals that came: a library may have made another error of one, in the middle of an import for instance.
    """
    came: list[int] = []

    def end(number: int, _: object) -> None:
        if _is_cancelled(sys.exc_info()[1]):
            return  # it ends already, and has something to say
        came.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    with handling(end):
        yield came


def _is_cancelled(error: BaseException | None) -> bool:
    """Whether what is being handled follows from a run that was cancelled."""
    while error is not None and not isinstance(error, CancelledError):
        error = error.__context__
    return error is not None


class _Interrupted(BaseException):
    """A signal asked septum to stop. No Exception: nothing on the way may take it for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def noting_signals() -> Iterator[list[int]]:
    """While inside, a signal that asks septum to stop is noted, for `removing_on_signal` to act upon.

    Yields:
        The signals that came.
    """
    came: list[int] = []
    with handling(lambda number, _: came.append(number)):
        yield came


@contextlib.contextmanager
def removing_on_signal(backend: Backend, say: Callable[[str], None], came: Sequence[int] = ()) -> Iterator[None]:
    """While inside, SIGTERM, SIGINT and SIGHUP remove the jobs of the run before septum ends.

    Args:
        backend: Where the jobs are.
        say: Takes one line for people.
        came: Signals that came before, from `noting_signals`.

    Raises:
        CancelledError: One of them came.
    """

    def handle(number: int, _: object) -> None:
        for each in STOPPING:
            # A second Ctrl-C must not stop the removal. Not SIG_IGN: one that has come already would be a traceback.
            signal.signal(each, lambda *_: None)
        raise _Interrupted(number)

    with handling(handle):
        try:
            for number in came:
                handle(number, None)
            yield
        except _Interrupted as interrupted:
            raise _cancel(backend, signal.Signals(interrupted.number).name, say) from None


def _cancel(backend: Backend, name: str, say: Callable[[str], None]) -> CancelledError:
    """Remove the jobs of the run; returns what to raise."""
    say(f"{name}: removing the jobs of this run")
    try:
        removed = backend.remove(None)
    except SeptumError as error:
        return CancelledError(
            f"cancelled by {name}; the jobs could not be removed",
            evidence=error.what,
            fix="they remove themselves at the end of their lease",
        )
    return CancelledError(f"cancelled by {name}; {removed} jobs were removed", fix="run again to begin anew")
