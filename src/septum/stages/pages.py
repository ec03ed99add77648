"""The pages of a web server that show a run's jobs: noted in the ledger, and told to GitLab as a commit status."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from septum.backends.base import Backend, Paged
from septum.errors import CancelledError, SeptumError, StateError, TimeUpError
from septum.ledger import ENDED
from septum.state import State

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from septum.ledger import Ledger
    from septum.report.status import Status
    from septum.stages.wiring import Options, Say

PAGES = "pages"
REANA_VERSION = "reana"
"""The ledger's facts: the pages, as JSON; and the version of the server."""
_MOST = 50


def note_pages(backend: Backend, ledger: Ledger) -> None:
    """Add the pages that a backend knows, if it has any, to those of the ledger."""
    if isinstance(backend, Paged) and (found := backend.pages()):
        ledger.note(PAGES, json.dumps({**pages_of(ledger), **found}))


def pages_of(ledger: Ledger) -> dict[str, str]:
    """What each page shows, and its address, in the order in which they were made."""
    return dict(list(json.loads(ledger.facts().get(PAGES, "{}")).items())[:_MOST])


def software_of(ledger: Ledger) -> dict[str, str]:
    """Versions of what took part far from here, by name."""
    version = ledger.facts().get(REANA_VERSION)
    return {"reana": version} if version else {}


class StatusOfRun:
    """Tells GitLab of a run with pages that it goes on, while entered, and at the end what became of it.

    Attributes:
        error: What the run ends with that raises nothing.
    """

    def __init__(self, options: Options, say: Say) -> None:
        self._options, self._say = options, say
        self._is_open = False
        self.error: SeptumError | None = None

    def __enter__(self) -> Self:
        # A run that ended has had its last word.
        self._is_open = ENDED not in _facts(self._options)
        if self._is_open:
            _tell("running", self._options, self._say)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_open:
            return
        if error is None:
            error = self.error
        elif not isinstance(error, SeptumError):
            return  # handed over to another CI job, or broken off: the workflows may go on
        if isinstance(error, TimeUpError) and self._options.leaves_early:
            return
        state: Status = "success" if error is None else "canceled" if isinstance(error, CancelledError) else "failed"
        _tell(state, self._options, self._say)


def tell_cancelled(options: Options, say: Say) -> None:
    """Tell GitLab that nobody wants the run any more."""
    _tell("canceled", options, say)


def _facts(options: Options) -> dict[str, str]:
    state = State(options.state)
    if not state.ledger_path.is_file():
        return {}
    with contextlib.suppress(StateError), state.open_ledger() as ledger:
        return ledger.facts()
    return {}


def _tell(status: Status, options: Options, say: Say) -> None:
    from septum.report.status import put, wanted

    if not wanted(options.environ):
        return
    state = State(options.state)
    try:
        name = state.load_plan().name
        with state.open_ledger() as ledger:
            pages = pages_of(ledger)
    except StateError:
        return  # there is no run to speak of, and whoever needs it says so
    if pages:
        put(status, pages, name=name, prefix=options.prefix, environ=options.environ, note=say)
