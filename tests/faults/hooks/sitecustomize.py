"""Faults inside of septum's own process, for the tests: a signal or a crooked clock at an exact place.

Python imports this module at its start where the tests put its folder on PYTHONPATH; septum knows nothing of it.
`SEPTUM_FAULTS` holds what shall happen, see `tests/faults/faults.py`.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_BINDINGS = "septum.backends.htcondor.bindings"


def _strike(fault: dict[str, Any]) -> None:
    """Send the signal, once in the life of the row: what is retried goes on."""
    mark = Path(fault["mark"])
    if fault["left"] > 1:
        fault["left"] -= 1
    elif not mark.exists():
        mark.touch()
        if fault["pause_s"]:
            time.sleep(fault["pause_s"])
            return
        if fault["parent"]:
            os.kill(os.getppid(), fault["signal"])
        os.kill(os.getpid(), fault["signal"])


def _disturb(fault: dict[str, Any]) -> None:
    module, _, name = fault["at"].partition(":")
    owner: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for step in path:
        owner = getattr(owner, step)
    real = getattr(owner, last)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        meant = fault["argument"] is None or fault["argument"] in args
        if meant and not fault["after"]:
            _strike(fault)
        answer = real(*args, **kwargs)
        if meant and fault["after"]:
            _strike(fault)
        return answer

    static = isinstance(vars(owner).get(last), staticmethod)
    setattr(owner, last, staticmethod(wrapped) if static else wrapped)


def _bend_clock(file: Path) -> None:
    real = time.time

    def bent() -> float:
        return real() + float(file.read_text() or 0)

    time.time = bent


def _hand_on(given: str) -> None:
    """Give the process with the bindings, which gets a clean environment, the faults as well."""
    bindings: Any = importlib.import_module(_BINDINGS).Bindings
    real = bindings.__init__

    @functools.wraps(real)
    def begin(*args: Any, environ: dict[str, str], **kwargs: Any) -> None:
        more = {"SEPTUM_FAULTS": given, "PYTHONPATH": str(Path(__file__).parent), "SEPTUM_FAULTS_WORKER": "1"}
        real(*args, environ={**environ, **more}, **kwargs)

    bindings.__init__ = begin


def _begin() -> None:
    given = os.environ.get("SEPTUM_FAULTS")
    if not given:
        return
    # A page without plots: they would take a third of the time of the whole matrix.
    sys.modules["matplotlib"] = None  # type: ignore[assignment]
    faults = json.loads(given)
    worker = "SEPTUM_FAULTS_WORKER" in os.environ
    if "-m" in sys.orig_argv and not worker:
        return
    for fault in faults:
        if "clock" in fault:
            _bend_clock(Path(fault["clock"]))
        elif fault["worker"] is worker:
            _disturb(fault)
        elif fault["worker"]:
            _hand_on(given)


_begin()
