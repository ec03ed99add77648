"""Brokers: services that give a credential for one of GitLab's `id_tokens`, so that GitLab stores no secret.

Three shapes: the CAT services of CMS (cms-analysis.docs.cern.ch, the lessons of CMS on GitLab), the same with the usual
`Bearer`, and OAuth 2 token exchange (RFC 8693).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import urlencode, urlsplit

from septum.credentials.iam import as_json, bearer_of
from septum.credentials.provider import Grant, Kind
from septum.credentials.proxy import Expected, load_proxy
from septum.credentials.secret import Secret, redact
from septum.credentials.token import check_token
from septum.errors import TokenRefusedError, TokenUnfitError

if TYPE_CHECKING:
    from septum.credentials.https import Answer, Https

BrokerKind = Literal["cat", "bearer", "exchange"]
_OK = 200
_SHOWN_CHARACTERS = 300
_MOST_CHARACTERS = 64 * 1024
"""No credential is longer; a page that says "sign in" may be, and would be taken for a secret."""
_EOS_PREFIX = "zteos64:"
_EOS_TOKEN = re.compile(rf"{_EOS_PREFIX}[!-~]+")
_EOS_LIFE_S = 3600.0
"""CAT's token for EOS does not say when it ends; it is asked for anew every half of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """One service, asked in the name of this CI job.

    Args:
        shape: How it is asked and how it answers.
        url: Where.
        id_token: GitLab's token for this service, and for no other.
        id_token_variable: Where that came from, for messages.
        https: How to talk to it.
    """

    shape: BrokerKind
    url: str
    id_token: Secret
    id_token_variable: str
    https: Https

    @property
    def source(self) -> str:
        """The service's host."""
        return f"broker {urlsplit(self.url).netloc}"

    def ask(self, *, query: dict[str, str] | None = None) -> object:
        """Ask for a credential by GET.

        Returns:
            The answer: JSON, or a text as it is.

        Raises:
            IssuerUnavailableError: No answer, after retries.
            AuthenticationError: Its host certificate was not accepted.
            TokenRefusedError: It refused.
        """
        url = self.url + (("&" if "?" in self.url else "?") + urlencode(query) if query else "")
        answer = self.https.call("GET", url, headers=self._header)
        self._require_ok(answer)
        data = as_json(answer)
        return answer.body.decode("utf-8", "replace").strip() if data is None else data

    def exchange(self, form: dict[str, str]) -> object:
        """Ask for a token by token exchange; returns what the service answered. Raises as `ask` does."""
        answer = self.https.call(
            "POST",
            self.url,
            form={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
                **form,
            },
            headers=lambda: {"Accept": "application/json"},
            secret_form=lambda: {"subject_token": self.id_token.reveal()},
        )
        self._require_ok(answer)
        return as_json(answer)

    def clean(self, value: object) -> str:
        """A text of the service, fit to be shown."""
        text = redact(str(value), self.id_token)[:_SHOWN_CHARACTERS]
        return "".join(c if c.isprintable() else " " for c in text)

    def _header(self) -> dict[str, str]:
        # CAT's services want the bare token.
        scheme = "" if self.shape == "cat" else "Bearer "
        return {"Authorization": scheme + self.id_token.reveal(), "Accept": "application/json, text/plain"}

    def _require_ok(self, answer: Answer) -> None:
        if answer.status == _OK:
            return
        # Services quote what they refuse: the text is cleaned before it is in any variable.
        said = self.clean(answer.body.decode("utf-8", "replace").strip() or "no reason")
        raise TokenRefusedError(
            f"the {self.source} gave no credential",
            evidence=f"HTTP {answer.status}, {said}",
            fix="Its rules decide by project, branch and audience: check that the project may use it, that this branch "
            f"or tag is protected, and that the 'aud' of {self.id_token_variable} is the one of this service.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerProxy:
    """An X.509 proxy from a broker: a provider."""

    broker: Broker
    expected: Expected

    kind: ClassVar = Kind.PROXY
    renewable: ClassVar = True

    @property
    def source(self) -> str:
        """The service's host."""
        return self.broker.source

    def fetch(self, now: float) -> Grant:
        """Ask for a proxy and check it. Errors as for a proxy in a variable, and those of `Broker.ask`."""
        value = Secret(_text(self.broker.ask(), ("proxy", "x509_proxy", "certificate"), self.broker), known=False)
        return load_proxy(value, source=self.source, now=now, expected=self.expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerToken:
    """An access token from a broker: a provider.

    Args:
        broker: The service.
        issuer: Of the token; empty for any.
        audience: Whom the token is for.
        scopes: What it shall allow.
        subject: For whom it must speak; empty for anybody.
        kind: For the access point or for storage.
        wlcg: Whether it must be a token as HTCondor and storage of WLCG read them.
    """

    broker: Broker
    issuer: str
    audience: str
    scopes: list[str]
    subject: str = ""
    kind: Kind = Kind.TOKEN
    wlcg: bool = True

    renewable: ClassVar = True

    @property
    def source(self) -> str:
        """The service's host."""
        return self.broker.source

    def fetch(self, now: float) -> Grant:
        """Ask for a token and check it.

        Raises:
            SeptumError: As `IamClient.fetch`.
        """
        token = check_token(
            # In no variable of this frame: a debugger's traceback would show it.
            self._ask(),
            issuer=self.issuer,
            audience=self.audience,
            scopes=self.scopes,
            now=now,
            subject=self.subject,
            wlcg=self.wlcg,
        )
        return token.grant(self.source)

    def _ask(self) -> object:
        wanted = {"audience": self.audience} | ({"scope": " ".join(self.scopes)} if self.scopes else {})
        if self.broker.shape == "exchange":
            return bearer_of(self.broker.exchange(wanted), urlsplit(self.broker.url).netloc, self.broker.clean)
        return _text(self.broker.ask(query=wanted), ("access_token", "token"), self.broker)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerEosToken:
    """A token of EOS for one path, from CAT's service for data sets: a provider."""

    broker: Broker
    path: str

    kind: ClassVar = Kind.EOS_TOKEN
    renewable: ClassVar = True

    @property
    def source(self) -> str:
        """The service's host."""
        return self.broker.source

    def fetch(self, now: float) -> Grant:
        """Ask for the token. Errors as `Broker.ask`; TokenUnfitError if the answer is no token of EOS."""
        text = _text(self.broker.ask(query={"eospath": self.path}), ("token",), self.broker)
        if _EOS_TOKEN.fullmatch(text):
            content = Secret(text).reveal().encode()  # from now on it is printed nowhere
            return Grant(content=content, expires_at=now + _EOS_LIFE_S, identity=f"EOS path {self.path}")
        length = len(text)
        del text
        raise TokenUnfitError(
            f"the answer of the {self.source} is no token of EOS",
            evidence=f"{length} characters that are not {_EOS_PREFIX}…",
            fix=f"Check that the service knows the path {self.path}.",
        )


def _text(data: object, keys: tuple[str, ...], broker: Broker) -> str:
    """The credential in an answer: the text itself, or one of some entries of an object."""
    found = next((data[key] for key in keys if data.get(key)), None) if isinstance(data, dict) else data
    if isinstance(found, str) and len(found) <= _MOST_CHARACTERS:
        return found.strip()
    if isinstance(found, str):
        evidence = f"a text of {len(found)} characters"
    elif isinstance(data, dict) and found is None:
        evidence = f"its keys: {broker.clean(', '.join(sorted(data)) or 'none')}; expected {' or '.join(keys)}"
    else:
        evidence = f"expected a text, got {type(found).__name__}"
    # It may quote what we sent, or hold a credential in a place that we do not know.
    del data, found
    raise TokenUnfitError(
        f"the answer of the {broker.source} holds no credential",
        evidence=evidence,
        fix="Check the broker's address and kind in the cluster's profile.",
    )
