"""Brokers that give a credential for one of GitLab's `id_tokens`, without a network."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import proxy_files  # type: ignore[import-not-found]
import pytest
from token_files import (  # type: ignore[import-not-found]
    AUDIENCE,
    ISSUER,
    NOW,
    SCOPES,
    Scripted,
    answer,
    make_token,
    seen_in,
)

from septum.credentials.broker import Broker, BrokerEosToken, BrokerKind, BrokerProxy, BrokerToken
from septum.credentials.https import Answer
from septum.credentials.provider import Kind, Provider
from septum.credentials.proxy import Expected
from septum.credentials.redact import KNOWN
from septum.credentials.secret import Secret
from septum.credentials.token import ANY_AUDIENCE
from septum.errors import (
    IdentityError,
    IssuerUnavailableError,
    ProxyExpiredError,
    ProxyUnreadableError,
    SeptumError,
    TokenRefusedError,
    TokenUnfitError,
)

URL = "https://broker.example.org/api/credential"
ID_TOKEN = make_token(iss="https://gitlab.example.org", aud="broker", user_email="someone@example.org")
PROXY_NOW: float = proxy_files.NOW.timestamp()
PROXY = base64.b64encode(proxy_files.proxy(voms_hours=5)).decode()
TOKEN = make_token()
EOS = "zteos64:MDAwMDAxYzR4nONiYGBg"
SHAPES: list[BrokerKind] = ["cat", "bearer", "exchange"]


def _broker(shape: BrokerKind, *answers: Answer | Exception, url: str = URL) -> tuple[Broker, Any]:
    https = Scripted(list(answers))
    broker = Broker(
        shape=shape,
        url=url,
        id_token=Secret(ID_TOKEN),
        id_token_variable="SEPTUM_ID_TOKEN",
        https=https,
    )
    return broker, https


def _token(broker: Broker, **changes: Any) -> BrokerToken:
    return BrokerToken(broker=broker, **{"issuer": ISSUER, "audience": AUDIENCE, "scopes": SCOPES, **changes})


def _provider(kind: Kind, broker: Broker) -> Provider:
    if kind is Kind.PROXY:
        return BrokerProxy(broker=broker, expected=Expected())
    if kind is Kind.EOS_TOKEN:
        return BrokerEosToken(broker=broker, path="/eos/cms/store")
    return _token(broker)


WAYS: list[tuple[BrokerKind, Kind]] = [
    ("cat", Kind.PROXY),
    ("bearer", Kind.PROXY),
    ("cat", Kind.TOKEN),
    ("bearer", Kind.TOKEN),
    ("exchange", Kind.TOKEN),
    ("cat", Kind.EOS_TOKEN),
]


@pytest.mark.parametrize(("shape", "scheme"), [("cat", ""), ("bearer", "Bearer ")])
def test_get(shape: BrokerKind, scheme: str) -> None:
    """The `id_token` is sent in one header: bare as CAT's services want it, or as a bearer token; never in the URL."""
    broker, https = _broker(shape, answer(TOKEN), answer(PROXY), answer(EOS))

    _token(broker).fetch(NOW)
    BrokerProxy(broker=broker, expected=Expected()).fetch(PROXY_NOW)
    BrokerEosToken(broker=broker, path="/eos/cms/a b&c").fetch(NOW)

    queries = [parse_qs(urlsplit(call.url).query) for call in https.calls]
    assert {call.method for call in https.calls} == {"GET"}
    assert {call.headers["Authorization"] for call in https.calls} == {scheme + ID_TOKEN}
    assert [call.url.partition("?")[0] for call in https.calls] == [URL] * 3
    assert queries == [
        {"audience": [AUDIENCE], "scope": [" ".join(SCOPES)]},
        {},
        {"eospath": ["/eos/cms/a b&c"]},
    ]
    assert not [call for call in https.calls if call.form or call.secret_form or ID_TOKEN in call.url]


def test_exchange() -> None:
    """Token exchange as RFC 8693 has it: the `id_token` is a field of the form that is made when it is sent."""
    broker, https = _broker("exchange", answer({"access_token": TOKEN, "token_type": "bearer"}))

    grant = _token(broker).fetch(NOW)

    (call,) = https.calls
    assert (call.method, call.url) == ("POST", URL)
    assert call.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "audience": AUDIENCE,
        "scope": " ".join(SCOPES),
    }
    assert call.secret_form == {"subject_token": ID_TOKEN}
    assert "Authorization" not in call.headers
    assert (grant.content, grant.expires_at, grant.identity) == (TOKEN.encode(), NOW + 3600, "ci-robot")


@pytest.mark.parametrize(
    ("kind", "given", "content"),
    [
        (Kind.TOKEN, answer(TOKEN), TOKEN),
        (Kind.TOKEN, answer(TOKEN.encode() + b"\n"), TOKEN),
        (Kind.TOKEN, answer({"access_token": TOKEN}), TOKEN),
        (Kind.TOKEN, answer({"token": TOKEN, "access_token": ""}), TOKEN),
        (Kind.EOS_TOKEN, answer(EOS), EOS),
        (Kind.EOS_TOKEN, answer(EOS.encode() + b"\n"), EOS),
        (Kind.EOS_TOKEN, answer({"token": EOS}), EOS),
    ],
)
def test_forms_of_tokens(kind: Kind, given: Answer, content: str) -> None:
    """A token comes as a JSON text, as text, or in an object."""
    broker, _ = _broker("cat", given)

    assert _provider(kind, broker).fetch(NOW).content == content.encode()


@pytest.mark.parametrize(
    "given",
    [
        answer(PROXY),
        answer(PROXY.encode()),
        answer({"proxy": PROXY}),
        answer({"x509_proxy": PROXY, "expires": 5}),
        answer({"certificate": proxy_files.proxy(voms_hours=5).decode()}),
        answer(proxy_files.proxy(voms_hours=5)),
    ],
)
def test_forms_of_proxies(given: Answer) -> None:
    """A proxy comes as base64 or PEM, in the same places."""
    broker, _ = _broker("cat", given)

    grant = BrokerProxy(broker=broker, expected=Expected(vo="cms")).fetch(PROXY_NOW)

    assert grant.content.startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert (grant.expires_at, grant.identity) == (PROXY_NOW + 5 * 3600, "/cms")


def test_life_of_an_eos_token() -> None:
    """EOS's own token does not say when it ends: it is held for good for an hour."""
    broker, _ = _broker("cat", answer(EOS))

    grant = BrokerEosToken(broker=broker, path="/eos/cms/store").fetch(NOW)

    assert (grant.expires_at, grant.identity) == (NOW + 3600, "EOS path /eos/cms/store")
    assert EOS not in repr(grant)
    assert EOS not in KNOWN.text(f"said {EOS}")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (answer(b"<html><body>Sign in</body></html>"), "", ""),
        (answer(b""), "", ""),
        (answer(b"  \n"), "", ""),
        (answer(None), "", ""),
        (answer("null"), "", ""),
        (answer([]), "KEYS", "got list"),
        (answer([TOKEN]), "KEYS", "got list"),
        (answer(5), "KEYS", "got int"),
        (answer(1.5), "KEYS", "got float"),
        (answer({}), "KEYS", "its keys: none; expected"),
        (answer({"message": "hello"}), "KEYS", "its keys: message; expected"),
        (answer({"token": "", "access_token": None, "proxy": ""}), "KEYS", "its keys: access_token, proxy, token"),
        (answer({"token": {"a": 1}, "access_token": [1], "proxy": 5}), "KEYS", "expected a text, got"),
        (answer(b"\xff\xfe\x00"), "", ""),
        (answer(b"[" * 70_000), "KEYS", "a text of 70000 characters"),
        (answer({"token": "x" * 70_000, "proxy": "x" * 70_000}), "KEYS", "a text of 70000 characters"),
    ],
)
@pytest.mark.parametrize(("shape", "kind"), WAYS)
def test_wrong_answers(shape: BrokerKind, kind: Kind, given: Answer, error: str, words: str) -> None:
    """What is no credential is refused, with what it looks like, and with nothing of it but the names of keys."""
    broker, _ = _broker(shape, given)
    expected = ProxyUnreadableError if kind is Kind.PROXY and error != "KEYS" else TokenUnfitError

    with pytest.raises(expected) as caught:
        _provider(kind, broker).fetch(NOW)

    assert words in str(caught.value) or shape == "exchange"
    assert caught.value.fix
    assert "Sign in" not in str(caught.value)
    assert "hello" not in seen_in(caught.value)


@pytest.mark.parametrize(
    "text", ["zteos64:", "zteos64:a b", "zteos64:a\nb", "zteos64:é", "ZTEOS64:abc", TOKEN, "x" * 900]
)
def test_no_token_of_eos(text: str) -> None:
    """Whatever is not EOS's own form is refused, by its length."""
    broker, _ = _broker("cat", answer(text))

    with pytest.raises(TokenUnfitError, match="no token of EOS") as caught:
        BrokerEosToken(broker=broker, path="/eos/cms/store").fetch(NOW)

    assert f"{len(text)} characters" in caught.value.evidence
    assert len(str(caught.value)) < 300
    assert text not in seen_in(caught.value) or text == "zteos64:"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
@pytest.mark.parametrize(
    "body",
    [
        f"no access for {ID_TOKEN}",
        json.dumps({"detail": ID_TOKEN, "message": "project not allowed"}),
        f"\x1b[31m{ID_TOKEN}\x1b[0m" + "y" * 5000,
        base64.b64encode(ID_TOKEN.encode()).decode(),
        ID_TOKEN.split(".")[1],
    ],
)
@pytest.mark.parametrize(("shape", "kind"), WAYS)
def test_echoed_id_token(shape: BrokerKind, kind: Kind, status: int, body: str) -> None:
    """A refusal shows what the service said, but never the `id_token` that it quotes, whole, in part or encoded."""
    broker, https = _broker(shape, answer(body.encode(), status))

    with pytest.raises(TokenRefusedError) as caught:
        _provider(kind, broker).fetch(NOW)

    seen = seen_in(caught.value)
    head, payload, signature = ID_TOKEN.split(".")
    pieces = [payload[:24], payload[-24:], signature[:24], base64.b64encode(payload.encode()).decode()[4:28]]
    assert len(https.calls) == 1
    assert f"HTTP {status}" in caught.value.evidence
    assert "***" in caught.value.evidence
    assert not [piece for piece in [*pieces, f"{head}.{payload[:8]}"] if piece in seen]
    assert "SEPTUM_ID_TOKEN" in caught.value.fix
    assert "\x1b" not in str(caught.value)
    assert len(caught.value.evidence) < 400


@pytest.mark.parametrize(
    "given",
    [
        answer({"seen": ID_TOKEN}),
        answer([ID_TOKEN]),
        answer({"token_type": "other", "access_token": ID_TOKEN}),
        answer({"token_type": "Bearer", "access_token": ID_TOKEN}),
        answer({"token_type": "Bearer", "access_token": {"x": ID_TOKEN}, "proxy": {"x": ID_TOKEN}}),
        answer(ID_TOKEN),
        answer(f"<p>{ID_TOKEN}"),
    ],
)
@pytest.mark.parametrize(("shape", "kind"), WAYS)
def test_id_token_in_a_good_answer(shape: BrokerKind, kind: Kind, given: Answer) -> None:
    """The same for a service that says "fine" and gives back what it was given."""
    broker, _ = _broker(shape, given)

    with pytest.raises(SeptumError) as caught:
        _provider(kind, broker).fetch(NOW)

    assert ID_TOKEN.split(".")[2] not in seen_in(caught.value)
    assert caught.value.__context__ is None


def test_repr() -> None:
    """Neither a broker nor its providers show the `id_token`."""
    broker, _ = _broker("cat")

    texts = [repr(_provider(kind, broker)) + str(_provider(kind, broker)) for _, kind in WAYS]

    assert all("***" in text for text in texts)
    assert not [text for text in texts if ID_TOKEN[:20] in text]


@pytest.mark.parametrize(("shape", "kind"), WAYS)
def test_no_answer(shape: BrokerKind, kind: Kind) -> None:
    """A service that is away is an error to be tried again, unchanged."""
    away = IssuerUnavailableError("away")
    broker, _ = _broker(shape, away)

    with pytest.raises(IssuerUnavailableError) as caught:
        _provider(kind, broker).fetch(NOW)

    assert caught.value is away


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("claims", "changes", "error"),
    [
        ({"aud": "https://other"}, {}, TokenUnfitError),
        ({"aud": [AUDIENCE, ANY_AUDIENCE]}, {}, TokenUnfitError),
        ({"iss": "https://evil.example.org/"}, {}, TokenUnfitError),
        ({"exp": NOW - 1}, {}, TokenUnfitError),
        ({"scope": " ".join([*SCOPES, "storage.modify:/"])}, {}, TokenUnfitError),
        ({}, {"subject": "somebody"}, IdentityError),
    ],
)
def test_token_is_checked(
    shape: BrokerKind, claims: dict[str, object], changes: dict[str, str], error: type[SeptumError]
) -> None:
    """A broker's token is looked at as an issuer's is, and one that is refused is in no frame."""
    token = make_token(**claims)
    broker, _ = _broker(shape, answer({"access_token": token, "token_type": "Bearer"}))

    with pytest.raises(error) as caught:
        _token(broker, **changes).fetch(NOW)

    assert token.split(".")[2] not in seen_in(caught.value)


def test_a_token_for_others_than_wlcg() -> None:
    """REANA's need not say what HTCondor must read, and may allow more; audience, issuer and end count as ever."""
    token = make_token(**{"wlcg.ver": None, "scope": None}, aud="reana")
    more = make_token(**{"wlcg.ver": None}, scope="openid email profile", aud="reana")
    of_reana = {"scopes": [], "audience": "reana", "wlcg": False}

    for given in (token, more):
        broker, https = _broker("bearer", answer(given))
        assert _token(broker, **of_reana).fetch(NOW).content == given.encode()
        assert "scope=" not in https.calls[0].url
    for wrong in ({"aud": "other"}, {"iss": "https://other.example.org"}, {"exp": NOW - 5}, {"exp": None}):
        broker, _ = _broker("bearer", answer(make_token(**{"wlcg.ver": None, "aud": "reana", **wrong})))
        with pytest.raises(TokenUnfitError):
            _token(broker, **of_reana).fetch(NOW)
    broker, _ = _broker("bearer", answer(token))
    with pytest.raises(TokenUnfitError, match="WLCG"):
        _token(broker, scopes=[], audience="reana").fetch(NOW)


def test_any_issuer() -> None:
    """A profile that names no issuer leaves that to the broker."""
    broker, _ = _broker("bearer", answer(make_token(iss="https://whoever.example.org/")))

    assert _token(broker, issuer="").fetch(NOW).identity == "ci-robot"


def test_proxy_is_checked() -> None:
    """A broker's proxy may be expired, or of another VO, as any other."""
    broker, _ = _broker("cat", answer(PROXY), answer(PROXY))

    with pytest.raises(ProxyExpiredError):
        BrokerProxy(broker=broker, expected=Expected()).fetch(PROXY_NOW + 6 * 3600)
    with pytest.raises(IdentityError):
        BrokerProxy(broker=broker, expected=Expected(vo="atlas")).fetch(PROXY_NOW)


def test_answer_is_no_path(tmp_path: Any) -> None:
    """A service cannot make us read a file of this machine by answering with its path."""
    path = tmp_path / "x509up"
    path.write_bytes(proxy_files.proxy())
    broker, _ = _broker("cat", answer(str(path)))

    with pytest.raises(ProxyUnreadableError):
        BrokerProxy(broker=broker, expected=Expected()).fetch(PROXY_NOW)


def test_source() -> None:
    """Messages name the service by its host."""
    broker, _ = _broker("cat", url="https://broker.example.org:8443/a")

    assert {_provider(kind, broker).source for _, kind in WAYS} == {"broker broker.example.org:8443"}
    assert {_provider(kind, broker).kind for _, kind in WAYS} == {Kind.TOKEN, Kind.PROXY, Kind.EOS_TOKEN}
    assert all(_provider(kind, broker).renewable for _, kind in WAYS)
