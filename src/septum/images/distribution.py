"""What all questions to a registry have in common (OCI distribution specification): addresses, challenges, tokens.

Who asks, what for, and what becomes of a refusal is for the callers to say: `septum.images.registry` looks whether an
image is there, `septum.building.registry` also whether it may be pushed.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from septum.images.reference import HUB, Reference

LARGEST_B = 4 << 20
"""What registries themselves take at most for a manifest."""
OK, LOGIN, FORBIDDEN, ABSENT = 200, 401, 403, 404
ACCEPT = ", ".join(
    f"application/vnd.{kind}"
    for kind in (
        "oci.image.index.v1+json",
        "docker.distribution.manifest.list.v2+json",
        "oci.image.manifest.v1+json",
        "docker.distribution.manifest.v2+json",
    )
)
"""The kinds of manifests, and of lists of them."""
_HUB_API = "registry-1.docker.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """How a registry wants its clients to log in.

    Args:
        scheme: In lower case: `bearer` for a token, `basic` for user and password themselves.
        realm: Where a token is to be had.
        service: What that is to be told of the registry.
        scope: What the token would be for.
    """

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""

    @property
    def wants_token(self) -> bool:
        """Whether a token is wanted that can be asked for: an address without TLS is not asked."""
        return self.scheme == "bearer" and urlsplit(self.realm).scheme == "https"

    @property
    def host(self) -> str:
        """The host that gives the token."""
        return urlsplit(self.realm).hostname or ""


def read_challenge(header: str) -> Challenge:
    """Read the header `WWW-Authenticate` of an answer."""
    scheme, _, rest = header.partition(" ")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    known = {name: fields[name] for name in ("realm", "service", "scope") if name in fields}
    return Challenge(scheme=scheme.lower(), **known)


def manifest_url(reference: Reference, which: str) -> str:
    """The address of what a registry has under a tag or a digest."""
    host = _HUB_API if reference.host == HUB else reference.host
    return f"https://{host}/v2/{reference.name}/manifests/{which}"


def basic(user: str, password: str) -> dict[str, str]:
    """The header with user and password."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return {"Authorization": f"Basic {pair}"}


def token_of(body: bytes) -> str:
    """The token in the answer of who gives them; empty if there is none that a header can hold."""
    try:
        document = document_of(body)
    except ValueError:
        return ""
    token = str(document.get("token") or document.get("access_token") or "")
    return token if token.isprintable() and token.isascii() else ""


def document_of(body: bytes) -> dict[str, Any]:
    """A document of JSON.

    Raises:
        ValueError: It is none; the message says so to people.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("it is not a manifest")  # noqa: TRY004 - what a server said, not a type of ours
    return found


def bounded(pieces: Iterable[bytes], check: Callable[[], None] = lambda: None) -> bytes:
    """The whole of an answer.

    Args:
        pieces: As they come.
        check: Called after each; what it raises ends the reading.

    Raises:
        ValueError: It is too large.
    """
    body = b""
    for piece in pieces:
        body += piece
        check()
        if len(body) > LARGEST_B:
            raise ValueError("it is larger than a manifest may be")
    return body


def unchanged(request: Any) -> Any:
    """No account of the user's: without this, requests looks for one in `.netrc`."""
    return request
