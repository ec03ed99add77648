"""Get a token from an INDIGO IAM with a client's id and secret (OAuth 2 client credentials, RFC 6749 section 4.4).

Scope and audience are always asked for: an IAM that is asked for nothing grants everything, for every service.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlsplit

from septum.credentials.secret import Secret, redact
from septum.credentials.token import Token, check_token, skew_warning
from septum.errors import TokenRefusedError, TokenUnfitError

if TYPE_CHECKING:
    from septum.credentials.https import Answer, Https

_OK = 200
_SHOWN_CHARACTERS = 300


@dataclass(slots=True)
class IamClient:
    """A client of one IAM. Remembers the token endpoint, nothing else.

    Args:
        issuer: Exactly as in the issuer's tokens.
        client_id: Not secret, and not personal.
        client_secret: Sent by HTTP Basic, the only method that all IAM versions take.
        audience: Whom the token is for.
        scopes: What it shall allow.
        https: How to talk to the issuer.
    """

    issuer: str
    client_id: str
    client_secret: Secret
    audience: str
    scopes: list[str]
    https: Https
    _endpoint: str = field(default="", init=False)

    @property
    def identity(self) -> str:
        """Who we are, in a few words."""
        return f"client {self.client_id} at {urlsplit(self.issuer).netloc}"

    def fetch(self, now: float) -> Token:
        """Obtain a new token.

        Args:
            now: Seconds since 1970.

        Raises:
            IssuerUnavailableError: The issuer does not answer, after retries.
            AuthenticationError: Its host certificate was not accepted.
            TokenRefusedError: It does not give this client such a token.
            TokenUnfitError: It gave another token than was asked for.
        """
        self._endpoint = self._endpoint or self._discover()
        answer = self.https.call(
            "POST",
            self._endpoint,
            form={
                "grant_type": "client_credentials",
                "scope": " ".join(self.scopes),
                "audience": self.audience,
            },
            headers=self._basic,
        )
        data = _json(answer)
        if answer.status != _OK:
            raise self._refused(answer.status, data)
        if not isinstance(data, dict):
            raise TokenUnfitError(
                f"the answer of the token issuer {self._host} is not JSON", fix=f"Check the issuer: {self.issuer}"
            )
        if str(data.get("token_type", "")).lower() != "bearer":
            raise TokenUnfitError(
                f"the issuer's token is of the type {self._clean(data.get('token_type'))!r}, not 'Bearer'",
                fix=f"Check the issuer: {self.issuer}",
            )
        token = check_token(
            data.get("access_token"), issuer=self.issuer, audience=self.audience, scopes=self.scopes, now=now
        )
        return replace(token, warnings=(*token.warnings, *skew_warning(answer.date, now)))

    @property
    def _host(self) -> str:
        return urlsplit(self.issuer).netloc

    def _basic(self) -> dict[str, str]:
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret.reveal())}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode(), "Accept": "application/json"}

    def _clean(self, value: object) -> str:
        """A text of the issuer, fit to be shown."""
        pair = Secret(f"{self.client_id}:{self.client_secret.reveal()}")
        text = redact(str(value), pair, self.client_secret)[:_SHOWN_CHARACTERS]
        return "".join(c if c.isprintable() else " " for c in text)

    def _discover(self) -> str:
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        answer = self.https.call("GET", url, headers=lambda: {"Accept": "application/json"})
        data = _json(answer)
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
        if urlsplit(endpoint).scheme != "https" or urlsplit(endpoint).netloc != self._host:
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
            "ask the issuer's admin whether the client may authenticate with HTTP Basic (client_secret_basic).",
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


def _json(answer: Answer) -> object:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
