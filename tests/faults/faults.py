"""What can be made to happen inside of septum, as values; `hooks/sitecustomize.py` does it."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HOOKS = Path(__file__).with_name("hooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A signal at an exact place.

    Attributes:
        at: `module:Class.function`.
        argument: Only when it is called with this argument.
        after: When it has returned, and not before it is called.
        signal: The signal.
        left: At which call.
        worker: In the process with the bindings, and not in septum itself.
        parent: Whether the process above gets the signal, too.
        pause_s: Wait there for so long in place of a signal.
    """

    at: str
    argument: str | None = None
    after: bool = False
    signal: int = signal.SIGKILL
    left: int = 1
    worker: bool = False
    parent: bool = False
    pause_s: float = 0


def call(name: str, *, after: bool = False, number: int = signal.SIGKILL, pause_s: float = 0) -> Strike:
    """Something before or after a call to the schedd."""
    at = "septum.backends.htcondor.bindings:Bindings.call"
    return Strike(at=at, argument=name, after=after, signal=number, pause_s=pause_s)


def slow_bindings(name: str, pause_s: float) -> Strike:
    """A method of the schedd (`submit`, `spool`) that takes long to begin."""
    return Strike(at=f"htcondor2:Schedd.{name}", worker=True, pause_s=pause_s)


def environment(strikes: Sequence[Strike], marks: Path, *, clock: Path | None = None) -> dict[str, str]:
    """The variables that make a process of septum suffer.

    Args:
        strikes: The signals. Each comes once in a row.
        marks: A folder for the marks of those that have come.
        clock: A file with the seconds that the clock is wrong by.
    """
    faults: list[dict[str, object]] = []
    for strike in strikes:
        name = f"{strike.at}-{strike.argument}-{strike.after}-{strike.left}".replace("/", "_")
        faults.append({**asdict(strike), "signal": int(strike.signal), "mark": str(marks / name)})
    if clock is not None:
        faults.append({"clock": str(clock)})
    return {"PYTHONPATH": str(HOOKS), "SEPTUM_FAULTS": json.dumps(faults)}
