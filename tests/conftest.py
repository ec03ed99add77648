"""Fixtures that several folders of tests share."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from septum.credentials.redact import KNOWN
from septum.facility import Facility, available

if TYPE_CHECKING:
    from collections.abc import Iterator


# Started in the background or by nohup, we would hand ignored signals on to everything that the tests start, and a
# shell cannot trap a signal that was ignored when it began.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="module")
def _no_secrets_of_other_modules() -> Iterator[None]:
    """A process forgets no secret, and a session of tests makes up hundreds, some as short as a word."""
    before = KNOWN._secrets
    KNOWN._secrets, KNOWN._index = {}, None
    yield
    KNOWN._secrets, KNOWN._index = before, None


@pytest.fixture(scope="session")
def facility() -> Iterator[Facility]:
    """A real pool and a real token issuer, started once."""
    reason = available()
    if reason:
        pytest.skip(f"no facility: {reason}")
    with Facility() as running:
        yield running
