"""Asks a registry what it has under a name (OCI distribution specification), as the one who will push there."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from septum.building.recipe import CONTENT
from septum.credentials.secret import Secret
from septum.credentials.variables import read_variable
from septum.errors import CredentialMissingError, RegistryRefusedError, RegistryUnavailableError
from septum.images.distribution import (
    ABSENT,
    ACCEPT,
    FORBIDDEN,
    LOGIN,
    OK,
    basic,
    bounded,
    document_of,
    manifest_url,
    read_challenge,
    token_of,
    unchanged,
)
from septum.images.reference import Reference

if TYPE_CHECKING:
    import requests

OWN, OTHER = "CI_REGISTRY", "SEPTUM_REGISTRY"
"""How the variables begin with which septum logs in: GitLab's, for its own registry alone, or those of the project."""
_CONNECT_S, _READ_S, _ALL_S = 10.0, 30.0, 90.0
_ATTEMPTS, _PAUSE_S = 3, 2.0
_TOO_MANY, _SERVER_ERROR = 429, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Whom a registry is told that we are.

    Attributes:
        variables: How the variables begin that user and password are from: `OWN` or `OTHER`.
        user: The name.
        password: The password or token.
        trusted: The hosts that may see the password; empty for any that the registry names.
    """

    variables: str
    user: str
    password: Secret
    trusted: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a registry has under a tag.

    Attributes:
        digest: `sha256:…` of its manifest.
        content: What it was built of, as its label says; empty if septum has not built it.
        revision: The commit that it was built from, as its label says; empty if it says nothing.
    """

    digest: str
    content: str
    revision: str


def login_of(host: str, environ: Mapping[str, str]) -> Login:
    """Choose user and password for a registry. Those of GitLab's own registry go to no other.

    Args:
        host: The registry, with its port if it has one.
        environ: The environment.

    Raises:
        CredentialMissingError: There are none.
    """
    variables = OWN if host == environ.get("CI_REGISTRY", "").lower() else OTHER
    user, password = environ.get(f"{variables}_USER", ""), read_variable(environ, f"{variables}_PASSWORD")
    if not user or not password:
        raise CredentialMissingError(
            f"image: no user and password for the registry {host}",
            evidence=f"{variables}_USER or {variables}_PASSWORD is not set"
            + (
                "" if variables == OWN else f"; GitLab's own go to {environ.get('CI_REGISTRY') or 'its registry'} alone"
            ),
            fix="let GitLab set them: turn the container registry of the project on"
            if variables == OWN
            else f"set {OTHER}_USER and {OTHER}_PASSWORD (masked, protected): Settings > CI/CD > Variables",
        )
    # GitLab gives the tokens of its registry itself. Another registry may have them from a third place.
    gitlab = {host.partition(":")[0], environ.get("CI_SERVER_HOST", "").lower()}
    trusted = frozenset(gitlab if variables == OWN else ())
    return Login(variables=variables, user=user, password=password, trusted=trusted)


def ask(reference: Reference, login: Login, *, ca_file: str = "") -> Held | None:
    """What the registry has under a tag; None if nothing.

    Args:
        reference: The image with its tag.
        login: Who asks.
        ca_file: Authorities that are trusted beside the system's.

    Raises:
        RegistryRefusedError: It lets this user not see or not push the image, or is none.
        RegistryUnavailableError: It does not answer, or not in time.
    """
    from septum.compare.transfer import LateError, in_time, session

    def asked() -> Held | None:
        with session(ca_file) as made:
            return _Conversation(made, reference, login).held()

    try:
        return in_time(_ALL_S, asked)
    except LateError as error:
        raise _unavailable(reference, str(error)) from None


class _Conversation:
    """The questions to one registry about one image."""

    def __init__(self, made: requests.Session, reference: Reference, login: Login) -> None:
        self._session, self._reference, self._login = made, reference, login

    def held(self) -> Held | None:
        url = manifest_url(self._reference, self._reference.tag)
        status, headers, body = self._get(url, {})
        if status == LOGIN:
            status, headers, body = self._get(url, self._authorization(headers.get("WWW-Authenticate", "")))
        if status == ABSENT:
            return None
        if status in {LOGIN, FORBIDDEN}:
            raise self._refused(f"HTTP {status} to the question for the tag")
        if status != OK:
            raise self._refused(f"HTTP {status}: that is no registry, or not at this address")
        return _held(body)

    def _authorization(self, challenge: str) -> dict[str, str]:
        """The header that answers a challenge, with a token for pulling and pushing if the registry wants one."""
        wanted = read_challenge(challenge)
        account = basic(self._login.user, self._login.password.reveal())
        if wanted.scheme == "basic":
            return account
        if not wanted.wants_token:
            raise self._refused(f"it asks for a login of an unknown kind: {challenge[:100]!r}")
        place = urlsplit(wanted.realm).netloc[:100]
        if self._login.trusted and wanted.host not in self._login.trusted:
            raise self._refused(f"it sends the login to {place}, which is not GitLab")
        scope = f"repository:{self._reference.name}:pull,push"
        status, _, body = self._get(wanted.realm, account, {"service": wanted.service, "scope": scope})
        if status != OK:
            raise self._refused(f"HTTP {status} of {place} to the login")
        token = Secret(token_of(body))
        if not token:
            raise self._refused(f"{place} gave no token")
        if not _may_push(token, self._reference.name):
            raise self._refused(f"the token of {place} does not allow to push {self._reference.name}")
        return {"Authorization": f"Bearer {token.reveal()}"}

    def _get(
        self, url: str, headers: dict[str, str], parameters: dict[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One question, asked again where that can help.

        Raises:
            RegistryUnavailableError: There was no answer.
            RegistryRefusedError: Its certificate was not accepted.
        """
        import requests

        seen: list[str] = []
        for attempt in range(_ATTEMPTS):
            time.sleep(_PAUSE_S * attempt)
            try:
                with self._session.get(
                    url,
                    params=parameters,
                    headers={"Accept": ACCEPT, **headers},
                    auth=unchanged,
                    timeout=(_CONNECT_S, _READ_S),
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    if answer.status_code != _TOO_MANY and answer.status_code < _SERVER_ERROR:
                        return answer.status_code, answer.headers, _body(answer)
                    seen.append(f"HTTP {answer.status_code}")
            except requests.exceptions.SSLError as error:
                raise self._refused(f"its certificate was not accepted: {error}"[:300]) from error
            except (requests.exceptions.RequestException, OSError) as error:
                seen.append(type(error).__name__)
        raise _unavailable(self._reference, f"{urlsplit(url).netloc}: {', '.join(seen)}")

    def _refused(self, evidence: str) -> RegistryRefusedError:
        names = f"{self._login.variables}_USER and {self._login.variables}_PASSWORD"
        fix = (
            "an image of this project's registry begins with $CI_REGISTRY_IMAGE; for another project's, its settings "
            "must let the job token push: Settings > CI/CD > Job token permissions"
            if self._login.variables == OWN
            else f"check {names}: the account must be allowed to pull and to push {self._reference.name}"
        )
        what = f"image: the registry {self._reference.host} does not let this CI job push {self._reference.name}"
        return RegistryRefusedError(what, evidence=f"{evidence}\nlogged in with {names}", fix=fix)


def _body(answer: requests.Response) -> bytes:
    try:
        return bounded(answer.iter_content(1 << 16))
    except ValueError as error:
        raise OSError(str(error)) from error


def _unavailable(reference: Reference, evidence: str) -> RegistryUnavailableError:
    return RegistryUnavailableError(
        f"image: the registry {reference.host} does not answer",
        evidence=evidence,
        fix="try again later; nothing is wrong with the repository",
    )


def _json(body: bytes) -> dict[str, Any]:
    try:
        return document_of(body)
    except ValueError:
        return {}


def _held(body: bytes) -> Held:
    annotations = _json(body).get("annotations")
    said = annotations if isinstance(annotations, dict) else {}
    return Held(
        # Of what was read, not what a header says of it.
        digest="sha256:" + hashlib.sha256(body).hexdigest(),
        content=str(said.get(CONTENT, "")),
        revision=str(said.get("org.opencontainers.image.revision", "")),
    )


def _may_push(token: Secret, name: str) -> bool:
    """Whether a token says that it allows to push; one that cannot be read may well."""
    parts = token.reveal().split(".")
    if len(parts) != 3:  # noqa: PLR2004 - a JWT
        return True
    try:
        claims = _json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return True
    if "access" not in claims:
        return True
    access = claims["access"] if isinstance(claims["access"], list) else []
    allowed = [it for it in access if isinstance(it, dict) and it.get("name") == name]
    return any(isinstance(it.get("actions"), list) and {"push", "*"} & set(map(str, it["actions"])) for it in allowed)
