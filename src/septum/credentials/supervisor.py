"""Renews credentials from a thread of its own, so that no long call of ours lets one expire."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from septum.errors import SeptumError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from septum.credentials.held import Credentials

_SHORTEST_S, _LONGEST_S = 0.2, 30.0
_STOP_S = 5.0


class Supervisor:
    """Keeps credentials fresh while it is entered.

    Args:
        credentials: Open ones.
        clock: Seconds since 1970.
    """

    def __init__(self, credentials: Credentials, *, clock: Callable[[], float] = time.time) -> None:
        self.credentials, self._clock = credentials, clock
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._warnings: list[str] = []
        self._failure: SeptumError | None = None
        self._thread = threading.Thread(target=self._watch, name="credentials", daemon=True)

    def check(self, now: float) -> list[str]:
        """Report what has happened since the last call.

        Args:
            now: Not used; the thread looks at its own clock. For whoever calls `Credentials.keep_fresh` elsewhere.

        Returns:
            Warnings.

        Raises:
            SeptumError: A credential for the access point has expired, and there is no new one.
        """
        del now
        with self._lock:
            warnings, self._warnings = self._warnings, []
            if self._failure is not None:
                raise self._failure
        return warnings

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # A call to an issuer may take longer; the thread dies with the process, and writes into no folder that is gone.
        self._thread.join(timeout=_STOP_S)

    def _watch(self) -> None:
        while True:
            wait_s = min(max(self.credentials.next_due(self._clock()), _SHORTEST_S), _LONGEST_S)
            if self._stop.wait(wait_s):
                return
            try:
                warnings, failure = self.credentials.keep_fresh(self._clock()), None
            except SeptumError as err:
                # Not the end: the issuer may be back in a moment.
                warnings, failure = [], err
            except Exception as err:  # noqa: BLE001 - a thread that ended would let everything expire in silence
                reason = err.strerror if isinstance(err, OSError) else None
                # What had expired before has expired still.
                warnings, failure = [f"credentials: {reason or type(err).__name__}"], self._failure
            with self._lock:
                self._warnings += warnings
                self._failure = failure
