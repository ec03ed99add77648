"""The IAM client and the checks of its tokens, without a network."""

from __future__ import annotations

import base64
import json
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from septum.credentials.https import Answer
from septum.credentials.iam import IamClient
from septum.credentials.secret import Secret
from septum.credentials.token import check_token, skew_warning
from septum.errors import TokenRefusedError, TokenUnfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOW = 1_790_000_000.0
ISSUER = "https://iam.example.org/"
AUDIENCE = "condor://schedd.example.org"
SCOPES = ["wlcg", "compute.read", "compute.create", "compute.modify", "compute.cancel"]
SECRET = "s3cret/with+odd=characters"
CLAIMS = {
    "iss": ISSUER,
    "sub": "ci-robot",
    "aud": AUDIENCE,
    "exp": NOW + 3600,
    "iat": NOW,
    "nbf": NOW - 60,
    "wlcg.ver": "1.0",
    "scope": " ".join(SCOPES),
    "jti": "1",
}


def make_token(**changes: object) -> str:
    """A signed token; a claim that is None is left out."""
    claims = {key: value for key, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.encode(claims, "k" * 32, algorithm="HS256")


def _check(text: object) -> Any:
    return check_token(text, issuer=ISSUER, audience=AUDIENCE, scopes=SCOPES, now=NOW)


def test_good_token() -> None:
    """The token that was asked for passes without a warning, and does not print itself."""
    text = make_token()

    token = _check(text)

    assert token.value.reveal() == text
    assert (token.expires_at, token.subject, token.warnings) == (NOW + 3600, "ci-robot", ())
    assert token.scopes == set(SCOPES)
    assert text not in repr(token)


def test_several_audiences() -> None:
    """One of several audiences is enough."""
    assert _check(make_token(aud=["https://other", AUDIENCE])).warnings == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "https://iam.example.org"}, "Only the slash"),
        ({"iss": "https://evil.example.org/"}, "the token's issuer is 'https://evil"),
        ({"iss": None}, "the token's issuer is None"),
        ({"aud": "https://wlcg.cern.ch/jwt/v1/any"}, "asked was 'condor://"),
        ({"aud": None}, "for the audience None"),
        ({"aud": [AUDIENCE + "x"]}, "asked was"),
        ({"exp": None}, "does not say when it expires"),
        ({"exp": "soon"}, "does not say when it expires"),
        ({"exp": True}, "does not say when it expires"),
        ({"exp": NOW}, "expired 0 s ago"),
        ({"exp": NOW - 7200}, "expired 2 h 00 min ago"),
        ({"wlcg.ver": None}, "does not follow the WLCG profile"),
        ({"wlcg.ver": "1.3"}, "wlcg.ver: '1.3'"),
        ({"wlcg.ver": 1.0}, "does not follow the WLCG profile"),
        ({"scope": None}, "scope: None"),
        ({"scope": ["a"]}, "does not follow the WLCG profile"),
        ({"jti": "x" * 20000}, "more than 16384 characters"),
    ],
)
def test_unfit(changes: dict[str, object], words: str) -> None:
    """Another token than was asked for is refused, and the claim is named."""
    with pytest.raises(TokenUnfitError) as caught:
        _check(make_token(**changes))

    assert words in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    "text", [None, "", "null", 5, {}, "a.b", "a.b.c", "a.b.c\n", "eyJ.x.", "..", "a.b.c.d", "é.b.c", "a b.c.d"]
)
def test_not_a_jwt(text: object) -> None:
    """The word null and other leftovers are not tokens."""
    with pytest.raises(TokenUnfitError):
        _check(text)


@pytest.mark.parametrize(
    ("granted", "words"),
    [
        ("wlcg compute.read compute.create compute.modify", ["did not grant compute.cancel"]),
        ("wlcg", ["did not grant compute.cancel, compute.create, compute.modify, compute.read"]),
        ("", ["compute.", "did not grant the scope wlcg"]),
        (" ".join([*SCOPES, "storage.modify:/"]), ["more than was asked for: storage.modify:/"]),
    ],
)
def test_scopes(granted: str, words: list[str]) -> None:
    """Too few and too many scopes are warnings."""
    warnings = _check(make_token(scope=granted)).warnings

    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


@pytest.mark.parametrize(("seconds", "count"), [(None, 0), (0, 0), (-59, 0), (61, 1), (-7200, 1)])
def test_skew(seconds: float | None, count: int) -> None:
    """A clock that is more than a minute off is mentioned."""
    assert len(skew_warning(None if seconds is None else NOW + seconds, NOW)) == count


@dataclass
class _Scripted:
    """Answers as the script says, and remembers what it was asked. Stands for `Https`."""

    answers: list[Answer]
    calls: list[tuple[str, str, dict[str, str], dict[str, str]]] = field(default_factory=list, repr=False)

    def call(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Callable[[], dict[str, str]],
    ) -> Answer:
        self.calls.append((method, url, dict(form or {}), headers()))
        return self.answers.pop(0)


def _answer(data: object, status: int = 200) -> Answer:
    return Answer(status, data if isinstance(data, bytes) else json.dumps(data).encode(), NOW)


DISCOVERY = {"issuer": ISSUER, "token_endpoint": ISSUER + "token"}
TOKEN = {"access_token": make_token(), "token_type": "Bearer", "expires_in": 3600}


def _client(*answers: Answer, issuer: str = ISSUER) -> tuple[IamClient, _Scripted]:
    https = _Scripted(list(answers))
    client = IamClient(
        issuer=issuer,
        client_id="ci-robot",
        client_secret=Secret(SECRET),
        audience=AUDIENCE,
        scopes=SCOPES,
        https=https,  # type: ignore[arg-type]
    )
    return client, https


def test_request() -> None:
    """Scope and audience are sent, the secret only in the header of HTTP Basic, URL-encoded as the standard says."""
    client, https = _client(_answer(DISCOVERY), _answer(TOKEN), _answer(TOKEN))

    client.fetch(NOW)
    client.fetch(NOW)

    discovery, post, again = https.calls
    assert discovery[:3] == ("GET", "https://iam.example.org/.well-known/openid-configuration", {})
    assert "Authorization" not in discovery[3]
    assert post[:3] == (
        "POST",
        "https://iam.example.org/token",
        {"grant_type": "client_credentials", "scope": " ".join(SCOPES), "audience": AUDIENCE},
    )
    assert base64.b64decode(post[3]["Authorization"].removeprefix("Basic ")) == (
        b"ci-robot:s3cret%2Fwith%2Bodd%3Dcharacters"
    )
    assert again == post
    assert client.identity == "client ci-robot at iam.example.org"
    assert SECRET not in repr(client)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (_answer({**DISCOVERY, "issuer": "https://iam.example.org"}), TokenUnfitError, "Only the slash"),
        (_answer({**DISCOVERY, "issuer": "https://evil.example.org/"}), TokenUnfitError, "calls itself"),
        (_answer({}), TokenUnfitError, "calls itself 'None'"),
        (_answer({**DISCOVERY, "token_endpoint": "https://evil.example.org/t"}), TokenUnfitError, "own host"),
        (_answer({**DISCOVERY, "token_endpoint": "http://iam.example.org/t"}), TokenUnfitError, "own host"),
        (_answer({**DISCOVERY, "token_endpoint": "https://iam.example.org:444/t"}), TokenUnfitError, "own host"),
        (_answer({**DISCOVERY, "token_endpoint": "https://iam.example.org@evil/t"}), TokenUnfitError, "own host"),
        (_answer({"issuer": ISSUER}), TokenUnfitError, "own host"),
        (_answer({}, 404), TokenRefusedError, "there is no token issuer"),
        (_answer(b"", 302), TokenRefusedError, "HTTP 302, not JSON"),
        (_answer(b"<html>"), TokenRefusedError, "not JSON"),
        (_answer([]), TokenRefusedError, "not JSON"),
        (_answer(b"[" * 100_000), TokenRefusedError, "not JSON"),
    ],
)
def test_discovery_refused(answer: Answer, error: type[Exception], words: str) -> None:
    """The secret is sent only to the issuer that the profile names."""
    client, https = _client(answer)

    with pytest.raises(error) as caught:
        client.fetch(NOW)

    assert words in str(caught.value)
    assert len(https.calls) == 1


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (
            _answer({"error": "invalid_client", "error_description": "Bad client credentials"}, 401),
            TokenRefusedError,
            "HTTP 401, invalid_client: Bad client credentials",
        ),
        (
            _answer({"error": "invalid_scope", "error_description": "Scope 'x' not allowed"}, 400),
            TokenRefusedError,
            "SEPTUM_CLUSTER_SCOPE",
        ),
        (_answer({"error": "unauthorized_client"}, 400), TokenRefusedError, "client_credentials"),
        (_answer({"error": ["odd"]}, 400), TokenRefusedError, "HTTP 400"),
        (_answer({}, 403), TokenRefusedError, "HTTP 403, no reason"),
        (_answer(b"<html>", 403), TokenRefusedError, "HTTP 403, no reason"),
        (_answer(b"", 302), TokenRefusedError, "HTTP 302"),
        (_answer(b"<html>ok</html>"), TokenUnfitError, "not JSON"),
        (_answer([1]), TokenUnfitError, "not JSON"),
        (_answer({}), TokenUnfitError, "type 'None'"),
        (_answer({**TOKEN, "token_type": "DPoP"}), TokenUnfitError, "type 'DPoP'"),
        (_answer({"token_type": "bearer"}), TokenUnfitError, "no access token"),
        (_answer({**TOKEN, "access_token": "null"}), TokenUnfitError, "no access token"),
        (_answer({**TOKEN, "access_token": "opaque"}), TokenUnfitError, "no access token"),
    ],
)
def test_refused(answer: Answer, error: type[Exception], words: str) -> None:
    """Each answer that is no token says what the issuer said, and what to do."""
    client, _ = _client(_answer(DISCOVERY), answer)

    with pytest.raises(error) as caught:
        client.fetch(NOW)

    assert words in str(caught.value)


@pytest.mark.parametrize("where", ["error", "error_description"])
def test_secret_is_never_shown(where: str) -> None:
    """An issuer that echoes the secret does not make us print it, nor do escape sequences get through."""
    pair = base64.b64encode(f"ci-robot:{SECRET}".encode()).decode()
    answer = _answer(
        {"error": "x", where: f"\x1b[31m{SECRET} {pair} s3cret%2Fwith%2Bodd%3Dcharacters" + "y" * 9999}, 401
    )
    client, _ = _client(_answer(DISCOVERY), answer)

    with pytest.raises(TokenRefusedError) as caught:
        client.fetch(NOW)

    assert SECRET not in str(caught.value)
    assert "s3cret" not in caught.value.evidence
    assert pair[:-2] not in str(caught.value)
    assert "\x1b" not in caught.value.evidence
    assert len(caught.value.evidence) < 700


def test_no_secret_in_frames() -> None:
    """A traceback that prints all local variables shows no secret."""
    client, _ = _client(_answer(DISCOVERY), _answer({"error": "invalid_client"}, 401))

    with pytest.raises(TokenRefusedError) as caught:
        client.fetch(NOW)
    text = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())

    assert "client_secret" in text
    assert not [form for form in (SECRET, "s3cret", "Authorization") if form in text]


def test_slash_in_the_profile() -> None:
    """An issuer without the slash is looked up at the same place, and refused with the reason."""
    client, https = _client(_answer(DISCOVERY), issuer=ISSUER.rstrip("/"))

    with pytest.raises(TokenUnfitError, match="Only the slash"):
        client.fetch(NOW)

    assert https.calls[0][1] == "https://iam.example.org/.well-known/openid-configuration"


def test_skewed_clock_is_a_warning() -> None:
    """The issuer's clock is compared with ours."""
    client, _ = _client(_answer(DISCOVERY), Answer(200, json.dumps(TOKEN).encode(), NOW - 600))

    assert client.fetch(NOW).warnings == ("this machine's clock and the issuer's are 10 min 00 s apart",)
