"""An access token that a service has made for its own API, such as REANA's: a text that says nothing to others."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from septum.credentials.provider import Grant, Kind
from septum.credentials.token import end_of
from septum.errors import TokenUnfitError
from septum.units import show_duration

if TYPE_CHECKING:
    from septum.credentials.secret import Secret

# One word that fits into a header and into an address.
_FORM = re.compile(r"[!-~]{8,16384}")
_SHOULD = 'Copy the token anew from the server\'s page "Your profile", and store it as a masked and protected variable.'


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """The token of a CI variable, as it is: a provider.

    Whether it is good is for the server to say. Its life is not known, unless it is a JWT.

    Args:
        value: The token.
        variable: Where it came from.
        server: Whose it is, for messages.
    """

    value: Secret
    variable: str
    server: str

    kind: ClassVar = Kind.TOKEN
    renewable: ClassVar = False

    @property
    def source(self) -> str:
        """The variable."""
        return f"variable {self.variable}"

    def fetch(self, now: float) -> Grant:
        """Look at its form, and at its end if it tells one.

        Raises:
            TokenUnfitError: It cannot be one, or has expired.
        """
        length = len(self.value.reveal())
        if not _FORM.fullmatch(self.value.reveal()):
            raise TokenUnfitError(
                f"the variable {self.variable} holds no access token",
                evidence=f"{length} characters; expected one word of 8 to 16384, without blanks",
                fix=_SHOULD,
            )
        ends = end_of(self.value.reveal())
        if ends is not None and ends <= now:
            raise TokenUnfitError(
                f"the access token in the variable {self.variable} expired {show_duration(now - ends)} ago", fix=_SHOULD
            )
        return Grant(
            content=self.value.reveal().encode(),
            expires_at=math.inf if ends is None else ends,
            identity=f"an account of {self.server}",
        )
