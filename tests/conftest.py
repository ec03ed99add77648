"""Fixtures that several folders of tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from septum.facility import Facility, available

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def facility() -> Iterator[Facility]:
    """A real pool and a real token issuer, started once."""
    reason = available()
    if reason:
        pytest.skip(f"no facility: {reason}")
    with Facility() as running:
        yield running
