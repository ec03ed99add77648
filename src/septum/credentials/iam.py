"""Get a token from an INDIGO IAM as a client of it (OAuth 2 client credentials, RFC 6749 section 4.4).

Scope and audience are always asked for: an IAM that is asked for nothing grants everything, for every service.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import quote_plus, urlsplit

from septum.credentials.provider import Grant, Kind
from septum.credentials.secret import Secret, redact
from septum.credentials.token import check_token, skew_warning
from septum.errors import CredentialMissingError, TokenRefusedError, TokenUnfitError

if TYPE_CHECKING:
    from septum.credentials.https import Answer, Https

ClientAuth = Literal["basic", "post", "private-key-jwt"]
_REGISTERED: dict[str, str] = {
    "basic": "client_secret_basic",
    "post": "client_secret_post",
    "private-key-jwt": "private_key_jwt",
}
_OK = 200
_SHOWN_CHARACTERS = 300
_ASSERTION_S = 300
_ALGORITHMS = {None: "RS256", "secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
"""By the curve of an EC key; an RSA key has none."""


@dataclass(slots=True, kw_only=True)
class IamClient:
    """A client of one IAM: a provider. Remembers the token endpoint, nothing else.

    Args:
        kind: A token for the access point or for storage.
        issuer: Exactly as in the issuer's tokens.
        client_id: Not secret, and not personal.
        client_secret: Or with `private-key-jwt` the private key: PEM or JWK.
        client_auth: How the client proves who it is; the issuer takes the method that it has registered, no other.
        audience: Whom the token is for.
        scopes: What it shall allow.
        subject: For whom it must speak; empty for anybody.
        https: How to talk to the issuer.
        clock: Seconds since 1970, for the dates of a client's assertion.
    """

    issuer: str
    client_id: str
    client_secret: Secret
    audience: str
    scopes: list[str]
    https: Https
    client_auth: ClientAuth = "basic"
    subject: str = ""
    kind: Kind = Kind.TOKEN
    clock: Callable[[], float] = time.time
    renewable: ClassVar = True
    _endpoint: str = field(default="", init=False)

    @property
    def source(self) -> str:
        """Who we are, in a few words."""
        return f"client {self.client_id} at {self._host}"

    def fetch(self, now: float) -> Grant:
        """Obtain a new token.

        Args:
            now: Seconds since 1970.

        Raises:
            IssuerUnavailableError: The issuer does not answer, after retries.
            AuthenticationError: Its host certificate was not accepted.
            TokenRefusedError: It does not give this client such a token.
            TokenUnfitError: It gave another token than was asked for.
            IdentityError: The token speaks for another subject.
        """
        if self.client_auth == "private-key-jwt":
            # A key that cannot sign is found before anybody is asked, and not on the way to the issuer.
            signing_key(self.client_secret)
        self._endpoint = self._endpoint or self._discover()
        answer = self.https.call(
            "POST",
            self._endpoint,
            form={
                "grant_type": "client_credentials",
                "scope": " ".join(self.scopes),
                "audience": self.audience,
            },
            headers=self._basic if self.client_auth == "basic" else _json_wanted,
            secret_form={"basic": None, "post": self._post, "private-key-jwt": self._assertion}[self.client_auth],
        )
        if answer.status != _OK:
            raise self._refused(answer.status, as_json(answer))
        token = check_token(
            # In no variable of this frame: a debugger's traceback would show it.
            bearer_of(as_json(answer), self._host, self._clean),
            issuer=self.issuer,
            audience=self.audience,
            scopes=self.scopes,
            now=now,
            subject=self.subject,
            issuer_time=answer.date,
        )
        token = replace(token, warnings=(*token.warnings, *skew_warning(answer.date, now)))
        return token.grant(self.source)

    @property
    def _host(self) -> str:
        return urlsplit(self.issuer).netloc

    def _basic(self) -> dict[str, str]:
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret.reveal())}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode(), **_json_wanted()}

    def _post(self) -> dict[str, str]:
        return {"client_id": self.client_id, "client_secret": self.client_secret.reveal()}

    def _assertion(self) -> dict[str, str]:
        """A client's signed assertion, RFC 7523 section 2.2: the key never travels."""
        import jwt

        key, algorithm, kid = signing_key(self.client_secret)
        now = int(self.clock())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self._endpoint,
            "iat": now,
            "exp": now + _ASSERTION_S,
            "jti": str(uuid.uuid4()),
        }
        return {
            "client_id": self.client_id,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims, key, algorithm, headers={"kid": kid} if kid else None),
        }

    def _clean(self, value: object) -> str:
        """A text of the issuer, fit to be shown."""
        text = redact(str(value), self.client_secret)[:_SHOWN_CHARACTERS]
        return "".join(c if c.isprintable() else " " for c in text)

    def _discover(self) -> str:
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        answer = self.https.call("GET", url, headers=_json_wanted)
        data = as_json(answer)
        if answer.status != _OK or not isinstance(data, dict):
            raise TokenRefusedError(
                f"there is no token issuer at {self.issuer}",
                evidence=f"{url}: HTTP {answer.status}" + ("" if isinstance(data, dict) else ", not JSON"),
                fix="Correct the profile's issuer (SEPTUM_CLUSTER_ISSUER).",
            )
        if data.get("issuer") != self.issuer:
            found = self._clean(data.get("issuer"))
            slash = " Only the slash at the end differs." if found.rstrip("/") == self.issuer.rstrip("/") else ""
            raise TokenUnfitError(
                f"the issuer calls itself {found!r}, the profile calls it {self.issuer!r}",
                evidence=url,
                fix=f"Write it exactly as the issuer does (SEPTUM_CLUSTER_ISSUER).{slash}",
            )
        endpoint = str(data.get("token_endpoint", ""))
        if not _is_on(endpoint, self._host):
            raise TokenUnfitError(
                f"the issuer's token endpoint {self._clean(endpoint)!r} is not on its own host {self._host}",
                evidence=url,
                fix="The client's secret is sent to the issuer's own host only. Check the issuer.",
            )
        return endpoint

    def _refused(self, status: int, data: object) -> TokenRefusedError:
        answer: dict[str, Any] = data if isinstance(data, dict) else {}
        code, description = self._clean(answer.get("error", "")), self._clean(answer.get("error_description", ""))
        said = ": ".join(part for part in (code, description) if part) or "no reason"
        fixes = {
            "invalid_client": "Check the client's id and secret in Settings > CI/CD > Variables. If both are right, "
            f"ask the issuer's admin how the client is registered to authenticate: septum used {self.client_auth!r} "
            f"({_REGISTERED[self.client_auth]}), and SEPTUM_CLUSTER_CLIENT_AUTH changes that.",
            "invalid_scope": f"Ask the issuer's admin to let the client have '{' '.join(self.scopes)}', or ask for "
            "less with SEPTUM_CLUSTER_SCOPE.",
            "unauthorized_client": "Ask the issuer's admin to let the client use the grant client_credentials.",
            "unsupported_grant_type": "Ask the issuer's admin to let the client use the grant client_credentials.",
        }
        return TokenRefusedError(
            f"the token issuer {self._host} gave no token to the client {self.client_id}",
            evidence=f"HTTP {status}, {said}",
            fix=fixes.get(code, "Ask the issuer's admin why, with the client's id and the time."),
        )


def _is_on(url: str, host: str) -> bool:
    try:
        return urlsplit(url).scheme == "https" and urlsplit(url).netloc == host
    except ValueError:
        return False


def as_json(answer: Answer) -> object:
    """The body of an answer as JSON; None if it is something else."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def bearer_of(data: object, host: str, clean: Callable[[object], str]) -> object:
    """The access token in a token endpoint's answer (RFC 6749 section 5.1).

    Args:
        data: The answer, from JSON.
        host: The issuer's, for messages.
        clean: Makes a text of the issuer fit to be shown.

    Raises:
        TokenUnfitError: The answer is no JSON object, or its token is of another type.
    """
    if not isinstance(data, dict):
        del data  # what is refused may still be a good credential, or quote one of ours
        raise TokenUnfitError(
            f"the answer of the token issuer {host} is not JSON", fix="Check its address in the cluster's profile."
        )
    if str(data.get("token_type", "")).lower() == "bearer":
        return data.get("access_token")
    found = clean(data.get("token_type"))
    del data
    raise TokenUnfitError(
        f"the token of {host} is of the type {found!r}, not 'Bearer'",
        fix="Check its address in the cluster's profile.",
    )


def signing_key(secret: Secret) -> tuple[Any, str, str | None]:
    """The private key of a client: a JWK, or PEM as it is or in base64.

    Returns:
        The key, the algorithm that it signs with, and its id, if it has one.

    Raises:
        CredentialMissingError: It is neither, or a key that cannot sign.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key, kid = _private_key(secret.reveal().strip())
    # Other keys can sign, too, such as Ed25519, and an IAM does not take them.
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else None
    if isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)) and curve in _ALGORITHMS:
        return key, _ALGORITHMS[curve], kid
    raise CredentialMissingError(
        "the client's private key cannot be used",
        evidence="expected a private RSA or EC key without a password: a JWK in JSON, PEM, or PEM in base64",
        fix="Put it into the variable that the profile names at client-secret-variable, best of type file.",
    )


def _private_key(text: str) -> tuple[Any, str | None]:
    """The key and its id; None for what is no key. The libraries' errors may quote the text, so none gets out."""
    import jwt
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        if text.startswith("{"):
            parsed = jwt.PyJWK.from_json(text)
            return parsed.key, parsed.key_id
        pem = text.encode() if text.startswith("-----") else base64.b64decode(text, validate=True)
        return load_pem_private_key(pem, password=None), None
    except Exception:  # noqa: BLE001 - three libraries have their own errors for a bad key
        return None, None


def _json_wanted() -> dict[str, str]:
    return {"Accept": "application/json"}
