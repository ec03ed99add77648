"""A bearer token that somebody else keeps fresh, found in WLCG's order (WLCG Bearer Token Discovery 1.0)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from septum.credentials.owned import read_owned
from septum.credentials.provider import Grant, Kind
from septum.credentials.secret import Secret
from septum.credentials.token import check_token
from septum.errors import CredentialMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHARED = "/tmp"  # noqa: S108 - what is found there is read with all care, see read_owned
_BLANKS = " \t\n\v\f\r"  # what C99's isspace takes for space


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundToken:
    """The token of the first place that holds one: a provider.

    Args:
        environ: Gives `BEARER_TOKEN`, `BEARER_TOKEN_FILE` and `XDG_RUNTIME_DIR`.
        issuer: Of the token; empty for any.
        audience: Whom it is for; empty for any.
        scopes: What it should allow; less is a warning.
        subject: For whom it must speak; empty for anybody.
        kind: For the access point or for storage.
    """

    environ: Mapping[str, str] = field(repr=False)
    issuer: str
    audience: str
    scopes: list[str]
    subject: str = ""
    kind: Kind = Kind.TOKEN

    # A file is read again: htgettoken, oidc-agent or a credential monitor may have renewed it.
    renewable: ClassVar = True

    @property
    def source(self) -> str:
        """How it was found."""
        return "bearer token discovery"

    def fetch(self, now: float) -> Grant:
        """Read the token as it is now, and check it.

        Raises:
            CredentialMissingError: No place holds a token.
            CredentialExposedError: Others can read the file.
            TokenUnfitError: It is no token for this cluster, or has expired.
        """
        place, value = self._find()
        token = check_token(
            value.reveal(),
            issuer=self.issuer,
            audience=self.audience,
            scopes=self.scopes,
            now=now,
            subject=self.subject,
            exact=False,
        )
        return replace(token.grant(place), kept_by_others=True)

    def _find(self) -> tuple[str, Secret]:
        # One that is there and wrong is an error, never a reason to look further.
        for place, value in self._candidates():
            if text := value.reveal().strip(_BLANKS):
                return place, Secret(text, known=False)
        raise CredentialMissingError(
            "no bearer token was found",
            evidence="looked at BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u<uid>, /tmp/bt_u<uid>",
            fix="Get one first, for instance with htgettoken, or name its file with BEARER_TOKEN_FILE.",
        )

    def _candidates(self) -> Iterator[tuple[str, Secret]]:
        yield "BEARER_TOKEN", Secret(self.environ.get("BEARER_TOKEN", ""), known=False)
        named = self.environ.get("BEARER_TOKEN_FILE", "").strip()
        if named:
            yield f"file {named}", _read(Path(named))
        runtime = self.environ.get("XDG_RUNTIME_DIR", "")
        for folder in ([runtime] if runtime.startswith("/") else []) + [_SHARED]:
            path = Path(folder) / f"bt_u{os.geteuid()}"
            if path.exists() or path.is_symlink():
                yield f"file {path}", _read(path)


def _read(path: Path) -> Secret:
    # Known to the redactor when it has turned out to be a token: see check_token.
    return Secret(read_owned(path, "the bearer token").decode("latin-1"), known=False)
