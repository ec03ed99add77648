"""Why storage lets nobody in: what XRootD's client does not say, read from the files that it was given.

XRootD says "No protocols left to try" to an expired proxy, to a file with the wrong mode and to a bad signature alike.
Nothing here speaks to a server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from septum.credentials.owned import read_owned
from septum.credentials.proxy import Expected, ProxyFile, usual_path
from septum.credentials.token import ANY_AUDIENCE, check_token
from septum.errors import (
    AuthenticationError,
    CredentialMissingError,
    IdentityError,
    NotAuthorizedError,
    SeptumError,
    TokenUnfitError,
)
from septum.units import show_duration

GRID_CAS = ("/etc/grid-security/certificates", "/cvmfs/grid.cern.ch/etc/grid-security/certificates")
_READ = ("storage.read", "storage.modify")
_ASK_FOR_STORAGE = (
    "Let the profile ask for a token of its own for storage: SEPTUM_CLUSTER_STORAGE_AUDIENCE and "
    "SEPTUM_CLUSTER_STORAGE_SCOPE (storage.read:/…)."
)


@dataclass(slots=True)
class Seen:
    """What the files of a client show.

    Attributes:
        problems: What is wrong, in the order in which the client meets it.
        facts: What is known of those with which nothing is wrong.
    """

    problems: list[SeptumError] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)


def look(environ: Mapping[str, str], *, host: str, path: str, now: float, let_in: bool = False) -> Seen:
    """Look at the credentials that a client of XRootD finds.

    Args:
        environ: The client's variables.
        host: Of the storage.
        path: What is to be read there.
        now: Seconds since 1970.
        let_in: Whether the storage knew the client, and denied this path only.
    """
    seen = Seen()
    only = environ.get("XrdSecPROTOCOL", "")
    # In the order in which the client tries.
    proxy = only != "ztn" and _proxy(environ, now, seen)
    token = only != "gsi" and _token(environ, host, path, now, seen)
    if not proxy and not token:
        limited = f", and XrdSecPROTOCOL allows {only} only" if only else ""
        seen.problems.append(
            CredentialMissingError(
                f"the client finds neither proxy nor token{limited}",
                fix="Let the profile ask for a proxy (proxy: required), or for a token for storage (storage-audience).",
            )
        )
    folder = grid_folder(environ)
    if not let_in and not holds_authorities(folder):
        seen.problems.append(
            AuthenticationError(
                f"there are no CA certificates of the grid in {folder}, so the client trusts no host",
                fix="Set X509_CERT_DIR to a folder with them: mount /cvmfs, or install ca-policy-egi-core.",
            )
        )
    return seen


def grid_folder(environ: Mapping[str, str]) -> Path:
    """The folder in which XRootD's client looks for CA certificates."""
    return Path(environ.get("X509_CERT_DIR") or GRID_CAS[0])


def holds_authorities(folder: Path) -> bool:
    """Whether a folder holds CA certificates under the names by which OpenSSL looks for them."""
    try:
        return any(path.suffix[1:].isdigit() for path in folder.iterdir())
    except OSError:
        return False


def _proxy(environ: Mapping[str, str], now: float, seen: Seen) -> bool:
    """Judge the proxy; returns whether the client has one."""
    path = usual_path(environ)
    if not environ.get("X509_USER_PROXY") and not path.exists():
        return False
    try:
        grant = ProxyFile(path=path, expected=Expected()).fetch(now)
    except SeptumError as error:
        seen.problems.append(error)
        return True
    seen.facts.append(f"the proxy: {grant.identity}; ends in {show_duration(grant.expires_at - now)}")
    if grant.identity == "no VO":
        seen.problems.append(
            IdentityError(
                "the proxy carries no attributes of a VO, by which storage knows who may read",
                fix="voms-proxy-init --rfc --voms cms …   (with --voms), and update the variable",
            )
        )
    return True


def _token(environ: Mapping[str, str], host: str, path: str, now: float, seen: Seen) -> bool:
    """Judge the bearer token; returns whether the client has one."""
    text = environ.get("BEARER_TOKEN", "").strip()
    file = environ.get("BEARER_TOKEN_FILE", "")
    if text and file:
        seen.problems.append(
            TokenUnfitError(
                "BEARER_TOKEN is set, and the client takes it instead of the file that is kept fresh",
                fix="unset BEARER_TOKEN",
            )
        )
    if not text and not file:
        return False
    try:
        found = text or _read(Path(file))
        token = check_token(found, issuer="", audience="", scopes=[], now=now, exact=False)
    except SeptumError as error:
        seen.problems.append(error)
        return True
    claims = read_claims(found)
    seen.facts.append(f"the token: {claims}; ends in {show_duration(token.expires_at - now)}")
    seen.problems += [TokenUnfitError(line, fix="Ask for fewer audiences and scopes.") for line in token.warnings]
    if not claims.is_for(host):
        seen.problems.append(
            TokenUnfitError(f"the token is for {' '.join(claims.audiences)}, not for {host}", fix=_ASK_FOR_STORAGE)
        )
    if not any(_allows(scope, path) for scope in token.scopes):
        seen.problems.append(NotAuthorizedError(f"the token does not allow to read {path}", fix=_ASK_FOR_STORAGE))
    return True


def _read(file: Path) -> str:
    """The token in a file.

    Raises:
        SeptumError: It cannot be read, is open to others, or holds none.
    """
    text = read_owned(file, "the token").decode("latin-1").strip()
    if text.count(".") == 2 and text.isprintable():  # noqa: PLR2004 - head, claims, signature
        return text
    raise TokenUnfitError(
        "the file of the token is empty" if not text else "the file of the token holds something else",
        evidence=f"{len(text)} characters that are no JWT" if text else "",
        fix="Get a token anew.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says, without its signature: who made it, for whom, and what it allows."""

    issuer: str
    audiences: tuple[str, ...]
    subject: str
    scopes: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"issuer {self.issuer}, for {' '.join(self.audiences)}, subject {self.subject}, "
            f"scope {' '.join(self.scopes)}"
        )

    def is_for(self, *hosts: str) -> bool:
        """Whether an audience names one of some hosts, or every service."""
        named = {(urlsplit(one).hostname if "://" in one else one.partition(":")[0]) for one in self.audiences}
        return ANY_AUDIENCE in self.audiences or not named.isdisjoint(host.lower() for host in hosts)


def read_claims(text: str) -> Claims:
    """Read a token that has been checked."""
    import jwt

    claims = jwt.decode(text, options={"verify_signature": False})
    audience = claims.get("aud", "")
    return Claims(
        issuer=str(claims.get("iss", "")),
        audiences=tuple(map(str, audience if isinstance(audience, list) else [audience])),
        subject=str(claims.get("sub", "")),
        scopes=tuple(str(claims.get("scope", "")).split()),
    )


def _allows(scope: str, path: str) -> bool:
    """Whether a scope lets its owner read a path (WLCG Common JWT Profile, section on storage)."""
    name, _, below = scope.partition(":")
    wanted = os.path.normpath("/" + path.lstrip("/"))
    root = os.path.normpath("/" + below.lstrip("/"))
    return name in _READ and (root == "/" or f"{wanted}/".startswith(f"{root}/"))
