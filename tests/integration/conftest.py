"""Fixtures for the tests with real services."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from septum.facility import Facility, Pool
    from septum.facility.kdc import Kdc


@pytest.fixture(scope="session")
def kdc(facility: Facility) -> Kdc:
    """A real Kerberos realm with `analyst`, who has an account, and `stranger`, who has none; see `kdc.passwords`."""
    kdc = facility.kdc()
    for name in ("analyst", "stranger"):
        # With a blank, and with what a shell would expand.
        kdc.add_principal(name, f"{secrets.token_urlsafe(16)} $HOME '\"")
    return kdc


@pytest.fixture(scope="module")
def kerberos_pool(facility: Facility, kdc: Kdc, request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A real pool that takes tickets of the realm: `analyst` is the account `cmscat` there."""
    with facility.kerberos_pool(f"pool-of-{request.path.stem}") as pool:
        yield pool
