"""A text that must not be seen: it prints as `***` wherever it ends up by accident."""

from __future__ import annotations

import os
from typing import NoReturn

from septum.credentials.redact import KNOWN, Redactor

_HIDDEN = "***"


class Secret:
    """Holds a secret text. Its only way out is `reveal()`, which is easy to search for.

    From its creation on, whatever septum prints is without it (`septum.credentials.redact.KNOWN`).
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, *, known: bool = True) -> None:
        self._value = value
        # What may be a whole page or program is made known when it has been looked at.
        if known and not _names_a_file(value):
            KNOWN.add(value)

    def reveal(self) -> str:
        """The text itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _HIDDEN

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere, so it cannot be pickled")


def redact(text: str, *secrets: Secret) -> str:
    """Take secrets out of a text that somebody else wrote, such as a server's error.

    Returns:
        The text with each secret, plain or encoded, replaced by `***`.
    """
    redactor = Redactor()
    for secret in secrets:
        redactor.add(secret.reveal())
    return redactor.text(text)


def _names_a_file(value: str) -> bool:
    """Whether a CI variable of type file was given: its path is no secret, and its folder stands in many messages."""
    # Base64 may begin with a slash, too: only a file that exists counts.
    return value.startswith("/") and os.path.lexists(value)
