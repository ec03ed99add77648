"""A text that must not be seen: it prints as `***` wherever it ends up by accident."""

from __future__ import annotations

import base64
from typing import NoReturn
from urllib.parse import quote, quote_plus

_HIDDEN = "***"
_SHORTEST = 4


class Secret:
    """Holds a secret text. Its only way out is `reveal()`, which is easy to search for."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

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
        The text with each secret, plain, URL-encoded or in base64, replaced by `***`.
    """
    for secret in secrets:
        plain = secret.reveal()
        if len(plain) < _SHORTEST:
            continue
        raw = plain.encode()
        forms = {plain, quote(plain), quote(plain, safe=""), quote_plus(plain)}
        forms |= {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, _HIDDEN)
    return text
