"""What every unit test is protected from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from septum.credentials.redact import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator


_OF_MODULES: dict[bytes, None] = {}


def pytest_collection_finish() -> None:
    """Remember the secrets that modules of tests made when they were imported: all of their tests use them."""
    _OF_MODULES.update(KNOWN._secrets)


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> Iterator[None]:
    """A process forgets no secret; what one test made up must not be hidden from the output of the next.

    Nor must it cost the next anything: the secrets of a whole session of tests are hundreds.
    """
    before = KNOWN._secrets
    KNOWN._secrets, KNOWN._index = dict(_OF_MODULES), None
    yield
    KNOWN._secrets, KNOWN._index = before, None
