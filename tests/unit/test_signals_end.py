"""The exit code after a signal, whatever was made of it on the way."""

from __future__ import annotations

import os
import signal

import pytest

from septum import cli
from septum.cli.parsing import Complaint
from septum.errors import SeptumError, UsageError


def _swallow(number: signal.Signals, instead: BaseException | None) -> int:
    """A library that takes what a signal raises, and raises something else."""
    try:
        os.kill(os.getpid(), number)
    except (SystemExit, KeyboardInterrupt):
        if instead is not None:
            raise instead from None
    return 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("instead", [SystemExit(2), Complaint("septum", "unknown"), SystemExit(1)])
def test_what_a_library_makes_of_a_signal(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, instead: BaseException
) -> None:
    """The exit code says that a signal ended septum, and not that its command line was wrong."""
    monkeypatch.setattr(cli, "main", lambda: _swallow(number, instead))

    assert cli.run() == 128 + number


@pytest.mark.parametrize("code", [SeptumError.exit_code, UsageError.exit_code])
def test_an_error_that_a_signal_made(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Neither that septum itself is wrong, nor its user."""
    monkeypatch.setattr(cli, "main", lambda: _swallow(signal.SIGTERM, None) or code)

    assert cli.run() == 128 + signal.SIGTERM


def test_work_that_was_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that changed nothing changes no exit code."""
    monkeypatch.setattr(cli, "main", lambda: _swallow(signal.SIGTERM, None))

    assert cli.run() == 0


@pytest.mark.parametrize("code", [None, 0, 2])
def test_no_signal(monkeypatch: pytest.MonkeyPatch, code: int | None) -> None:
    """Help ends with 0, a command line that cannot be read with 2."""

    def end() -> int:
        raise SystemExit(code)

    monkeypatch.setattr(cli, "main", end)

    assert cli.run() == (code or 0)
