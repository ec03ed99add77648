"""What every unit test is protected from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from septum.credentials.redact import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> Iterator[None]:
    """A process forgets no secret; what one test made up must not be hidden from the output of the next.

    Nor must it cost the next anything: the secrets of a whole session of tests are hundreds.
    """
    before = KNOWN._secrets
    KNOWN._secrets, KNOWN._index = {}, None
    yield
    KNOWN._secrets, KNOWN._index = before, None
