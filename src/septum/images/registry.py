"""What a registry says of an image: whether it is there, its digest, and the id of what is in it.

The digest is that of the manifest, or of the list of manifests, that the reference names: what stands behind `@`. The
id is the digest of the image's configuration for one architecture. It is what DUCC names the folder on CVMFS by, so it
tells whether CVMFS has the same image.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Mapping

_CONNECT_S, _READ_S, _ALL_S = 5, 10, 30.0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ARCHITECTURE = "amd64"
"""The architecture whose image DUCC unpacks when there are several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user and a password for one registry."""

    user: str
    password: str

    def __repr__(self) -> str:
        """Without the password."""
        return f"Login(user={self.user!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a registry says of an image.

    Args:
        text: The same for people; why nothing is known, if nothing is.
        found: It is there.
        absent: It is not there.
        digest: `sha256:…` of what the reference names; empty if not known.
        image_id: `sha256:…` of the configuration of the image for amd64; empty if not known.
    """

    text: str
    found: bool = False
    absent: bool = False
    digest: str = ""
    image_id: str = ""


class _UnfitError(Exception):
    """An answer that is none."""


def logins_for(reference: Reference, environ: Mapping[str, str]) -> list[Login]:
    """The account that GitLab gives to CI jobs for its own registry, and a deploy token; none for any other registry.

    Args:
        reference: The image.
        environ: The environment of the CI job.
    """
    if not environ.get("CI_REGISTRY") or reference.host != environ["CI_REGISTRY"].lower():
        return []
    return [
        Login(user=environ[user], password=environ[password])
        for user, password in (("CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"), ("CI_DEPLOY_USER", "CI_DEPLOY_PASSWORD"))
        if environ.get(user) and environ.get(password)
    ]


def ask_registry(
    reference: Reference,
    *,
    environ: Mapping[str, str] | None = None,
    verify: str | bool = True,
    deadline_s: float = _ALL_S,
) -> Answer:
    """Ask a registry for an image, by the protocol of the OCI distribution specification. Never raises.

    Args:
        reference: The image.
        environ: Where an account for the registry may be; without, nobody's account is used.
        verify: A file of CA certificates; the usual ones by default.
        deadline_s: How long all of it may take.
    """
    import requests

    environ = environ or {}
    until_s = time.monotonic() + deadline_s
    with requests.Session() as session:
        session.verify = verify
        session.trust_env = verify is True  # variables may name other CAs, and a web proxy
        answer = Answer(text="")
        try:
            # Either may be for other images than this.
            logins: list[Login | None] = [*logins_for(reference, environ)]
            for login in logins or [None]:
                answer = _Asker(session, reference, login, environ, until_s).ask()
                if answer.found or answer.absent:
                    break
        except _UnfitError as error:
            return Answer(text=f"the registry {reference.host} gave no answer that can be used: {error}")
        except (requests.exceptions.RequestException, OSError) as error:
            return Answer(text=f"the registry {reference.host} cannot be asked from here: {type(error).__name__}")
    return answer


class _Asker:
    """One conversation with a registry, with the token that it wants."""

    def __init__(
        self, session: Any, reference: Reference, login: Login | None, environ: Mapping[str, str], until_s: float
    ) -> None:
        self._session, self._reference, self._login, self._until_s = session, reference, login, until_s
        # GitLab's registry takes its tokens from GitLab; to another place the password does not go.
        self._trusted = {reference.host.partition(":")[0], environ.get("CI_SERVER_HOST", "").lower()}
        self._headers: dict[str, str] = {}

    def ask(self) -> Answer:
        reference = self._reference
        status, content = self._manifest(reference.digest or reference.tag or "latest")
        said = f"{reference.host}: HTTP {status}"
        if status == ABSENT:
            return Answer(text=f"{said}: there is no such image", absent=True)
        if status in {LOGIN, FORBIDDEN}:
            how = "with the account of the CI job" if self._login else "without an account"
            return Answer(text=f"{said}: it is private, or not there; that was asked {how}")
        if status != OK:
            return Answer(text=said)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if reference.digest not in {"", digest}:
            raise _UnfitError(f"it has {digest} under the digest {reference.digest}")
        image_id, why = self._image_id(content)
        return Answer(text=f"{said}{why}", found=True, digest=digest, image_id=image_id)

    def _image_id(self, content: bytes) -> tuple[str, str]:
        """The id of the image, and why there is none: a registry that has the image has said what matters."""
        data = _json(content)
        if isinstance(listed := data.get("manifests"), list):
            wanted = [item for item in listed if isinstance(item, dict) and _architecture(item) == ARCHITECTURE]
            only = listed if len(listed) == 1 else wanted
            digest = str(only[0].get("digest")) if only and isinstance(only[0], dict) else ""
            if not _DIGEST.fullmatch(digest):
                return "", f"; it has no image for {ARCHITECTURE}"
            status, content = self._manifest(digest)
            if status != OK or f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
                return "", f"; its image for {ARCHITECTURE} could not be read (HTTP {status})"
            data = _json(content)
        config = data.get("config")
        found = str(config.get("digest")) if isinstance(config, dict) else ""
        return (found, "") if _DIGEST.fullmatch(found) else ("", "; its manifest names no configuration")

    def _manifest(self, which: str) -> tuple[int, bytes]:
        url = manifest_url(self._reference, which)
        status, headers, content = self._get(url, {"Accept": ACCEPT, **self._headers})
        if status == LOGIN and not self._headers:
            self._headers = self._authorization(headers.get("WWW-Authenticate", ""))
            if self._headers:
                status, _, content = self._get(url, {"Accept": ACCEPT, **self._headers})
        return status, content

    def _get(
        self, url: str, headers: Mapping[str, str], *, asked: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request, whose answer has an end in time and in size."""
        self._check_time()
        with self._session.get(
            url, headers=headers, params=asked, auth=unchanged, timeout=(_CONNECT_S, _READ_S),
            allow_redirects=False, stream=True,
        ) as answer:  # fmt: skip
            try:
                content = bounded(answer.iter_content(1 << 16), self._check_time)
            except ValueError as error:
                raise _UnfitError(str(error)) from error
            return int(answer.status_code), dict(answer.headers), content

    def _check_time(self) -> None:
        if time.monotonic() > self._until_s:
            raise _UnfitError("it took too long")

    def _authorization(self, challenge: str) -> dict[str, str]:
        """A token for the account, or one for everybody; nothing if the registry has none."""
        wanted = read_challenge(challenge)
        if not wanted.wants_token:
            return {}
        asked = {name: text for name, text in (("service", wanted.service), ("scope", wanted.scope)) if text}
        if wanted.host not in self._trusted:
            self._login = None
        account = basic(self._login.user, self._login.password) if self._login is not None else {}
        status, _, content = self._get(wanted.realm, account, asked=asked)
        token = token_of(content) if status == OK else ""
        return {"Authorization": f"Bearer {token}"} if token else {}


def _json(content: bytes) -> dict[str, Any]:
    try:
        return document_of(content)
    except ValueError as error:
        raise _UnfitError(str(error)) from error


def _architecture(item: Mapping[str, Any]) -> str:
    platform = item.get("platform")
    return str(platform.get("architecture")) if isinstance(platform, dict) else ""
