"""The IAM client and the checks of its tokens, without a network."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from token_files import (  # type: ignore[import-not-found]
    AUDIENCE,
    ISSUER,
    NOW,
    SCOPES,
    Call,
    Scripted,
    answer,
    make_token,
    seen_in,
)

from septum.credentials.https import Answer
from septum.credentials.iam import ClientAuth, IamClient
from septum.credentials.provider import Kind
from septum.credentials.secret import Secret
from septum.credentials.token import ANY_AUDIENCE, check_token, skew_warning
from septum.errors import CredentialMissingError, IdentityError, SeptumError, TokenRefusedError, TokenUnfitError

SECRET = "s3cret/with+odd=characters"
HOUR = 3600.0


def _check(text: object, **changes: Any) -> Any:
    asked = {"issuer": ISSUER, "audience": AUDIENCE, "scopes": SCOPES, "now": NOW, **changes}
    return check_token(text, **asked)


def test_good_token() -> None:
    """The token that was asked for passes without a warning, and does not print itself."""
    text = make_token()

    token = _check(text)

    assert token.value.reveal() == text
    assert (token.expires_at, token.subject, token.warnings) == (NOW + 3600, "ci-robot", ())
    assert token.scopes == set(SCOPES)
    assert text not in repr(token)


def test_grant() -> None:
    """The file of a token holds the token and no line end, and its repr does not."""
    text = make_token()

    grant = _check(text).grant("the source")

    assert (grant.content, grant.expires_at, grant.identity) == (text.encode(), NOW + 3600, "ci-robot")
    assert text not in repr(grant)
    assert _check(make_token(sub=None)).grant("the source").identity == "the source"


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
        ({"aud": [AUDIENCE, ANY_AUDIENCE]}, "good at every service"),
        ({"aud": [ANY_AUDIENCE, AUDIENCE, "https://x"]}, "good at every service"),
        ({"aud": [AUDIENCE + "x"]}, "asked was"),
        ({"exp": None}, "does not say when it expires"),
        ({"exp": "soon"}, "does not say when it expires"),
        ({"exp": True}, "does not say when it expires"),
        ({"exp": float("inf")}, "does not say when it expires"),
        ({"exp": float("nan")}, "does not say when it expires"),
        ({"exp": 10**400}, "does not say when it expires"),
        ({"exp": NOW}, "expired 0 s ago"),
        ({"exp": NOW - 7200}, "expired 2 h 00 min ago"),
        ({"wlcg.ver": None}, "does not follow the WLCG profile"),
        ({"wlcg.ver": "1.3"}, "wlcg.ver: '1.3'"),
        ({"wlcg.ver": 1.0}, "does not follow the WLCG profile"),
        ({"scope": None}, "scope: None"),
        ({"scope": ["a"]}, "does not follow the WLCG profile"),
        ({"jti": "x" * 20000}, "more than 16384 characters"),
        ({"scope": " ".join([*SCOPES, "storage.modify:/"])}, "more than was asked for: storage.modify:/"),
    ],
)
def test_unfit(changes: dict[str, object], words: str) -> None:
    """Another token than was asked for is refused, the claim is named, and the token itself is shown nowhere."""
    text = make_token(**changes)
    with pytest.raises(TokenUnfitError) as caught:
        _check(text)

    assert words in str(caught.value)
    assert caught.value.fix
    assert text.rpartition(".")[2] not in seen_in(caught.value)


def test_any_audience_on_purpose() -> None:
    """Whoever asks for a token for every service gets one."""
    assert _check(make_token(aud=ANY_AUDIENCE), audience=ANY_AUDIENCE).warnings == ()


def test_subject() -> None:
    """A profile that expects a subject gets a token of it, or an error that names both."""
    assert _check(make_token(), subject="ci-robot").subject == "ci-robot"
    with pytest.raises(IdentityError, match="speaks for 'ci-robot', the profile expects 'ci-robot-2'") as caught:
        _check(make_token(), subject="ci-robot-2")
    with pytest.raises(IdentityError, match="speaks for ''"):
        _check(make_token(sub=None), subject="ci-robot")

    assert "SEPTUM_CLUSTER_EXPECT_SUBJECT" in caught.value.fix


def test_more_than_asked_of_a_foreign_token() -> None:
    """A token that septum did not ask for itself may allow more."""
    text = make_token(scope=" ".join([*SCOPES, "storage.modify:/"]))

    assert _check(text, exact=False).warnings == ()


@pytest.mark.parametrize(("jti", "count"), [("x" * 2500, 0), ("x" * 3500, 1)])
def test_long_token(jti: str, count: int) -> None:
    """A token that XRootD's storage would not read is mentioned, with its length."""
    text = make_token(jti=jti)

    warnings = _check(text).warnings

    assert (len(text) > 4096) == bool(count)
    assert len(warnings) == count
    assert all(f"{len(text)} characters" in warning and "4096" in warning for warning in warnings)


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
    ],
)
def test_scopes(granted: str, words: list[str]) -> None:
    """Too few scopes are warnings: which of them matter, the cluster knows."""
    warnings = _check(make_token(scope=granted)).warnings

    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


@pytest.mark.parametrize(("seconds", "count"), [(None, 0), (0, 0), (-59, 0), (61, 1), (-7200, 1)])
def test_skew(seconds: float | None, count: int) -> None:
    """A clock that is more than a minute off is mentioned."""
    assert len(skew_warning(None if seconds is None else NOW + seconds, NOW)) == count


@pytest.mark.parametrize("ahead_s", [-7200.0, -HOUR, HOUR, 7200.0])
def test_life_by_the_issuers_clock(ahead_s: float) -> None:
    """A token that was just issued lives as long as its issuer says, however wrong our clock is."""
    token = _check(make_token(), now=NOW + ahead_s, issuer_time=NOW)

    assert token.expires_at == NOW + ahead_s + HOUR
    assert token.grant("x").ahead_s == token.ahead_s == ahead_s


@pytest.mark.parametrize("seconds", [None, -60, 0, 60])
def test_clocks_that_agree(seconds: float | None) -> None:
    """What a slow answer or rounded seconds explain changes no date."""
    token = _check(make_token(), issuer_time=None if seconds is None else NOW + seconds)

    assert (token.expires_at, token.ahead_s) == (NOW + HOUR, 0)


@pytest.mark.parametrize(
    ("claims", "issuer_time"),
    [
        ({}, 0.0),
        ({}, NOW - 61),
        ({}, NOW + HOUR),
        ({}, NOW + 1e9),
        ({"iat": None}, NOW + 600),
        ({"iat": "x"}, NOW + 99),
    ],
)
def test_another_machines_clock(claims: dict[str, object], issuer_time: float) -> None:
    """A date at which the token is not valid, or which cannot be compared with it, is not its issuer's clock."""
    token = _check(make_token(**claims), issuer_time=issuer_time)

    assert (token.expires_at, token.ahead_s) == (NOW + HOUR, 0)


def test_issued_too_late() -> None:
    """A token that has expired by both clocks is refused."""
    with pytest.raises(TokenUnfitError, match="expired 0 s ago"):
        _check(make_token(), now=NOW + HOUR, issuer_time=NOW + HOUR)


DISCOVERY = {"issuer": ISSUER, "token_endpoint": ISSUER + "token"}
TOKEN = {"access_token": make_token(), "token_type": "Bearer", "expires_in": 3600}


def _client(*answers: Answer, **changes: Any) -> tuple[IamClient, Any]:
    https = Scripted(list(answers))
    values: dict[str, Any] = {
        "issuer": ISSUER,
        "client_id": "ci-robot",
        "client_secret": Secret(SECRET),
        "audience": AUDIENCE,
        "scopes": SCOPES,
        "https": https,
        "clock": lambda: NOW,
    }
    return IamClient(**{**values, **changes}), https


def test_request() -> None:
    """Scope and audience are sent, the secret only in the header of HTTP Basic, URL-encoded as the standard says."""
    client, https = _client(answer(DISCOVERY), answer(TOKEN), answer(TOKEN))

    grant = client.fetch(NOW)
    client.fetch(NOW)

    discovery, post, again = https.calls
    assert grant.content == TOKEN["access_token"].encode()
    assert discovery == Call(
        "GET", "https://iam.example.org/.well-known/openid-configuration", {}, {"Accept": "application/json"}, {}
    )
    assert (post.method, post.url, post.form, post.secret_form) == (
        "POST",
        "https://iam.example.org/token",
        {"grant_type": "client_credentials", "scope": " ".join(SCOPES), "audience": AUDIENCE},
        {},
    )
    assert base64.b64decode(post.headers["Authorization"].removeprefix("Basic ")) == (
        b"ci-robot:s3cret%2Fwith%2Bodd%3Dcharacters"
    )
    assert again == post
    assert client.source == "client ci-robot at iam.example.org"
    assert (client.kind, client.renewable) == (Kind.TOKEN, True)
    assert SECRET not in repr(client)


def test_post() -> None:
    """With `post` the secret is a field of the form, which is made when it is sent, and nowhere else."""
    client, https = _client(answer(DISCOVERY), answer(TOKEN), client_auth="post")

    client.fetch(NOW)

    post = https.calls[1]
    assert post.secret_form == {"client_id": "ci-robot", "client_secret": SECRET}
    assert post.headers == {"Accept": "application/json"}
    assert SECRET not in str(post.form)


_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_P256 = ec.generate_private_key(ec.SECP256R1())
_P384 = ec.generate_private_key(ec.SECP384R1())
_ED25519 = ed25519.Ed25519PrivateKey.generate()


def _pem(key: Any, password: bytes | None = None) -> str:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    made: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    return made.decode()


def _public(key: Any) -> str:
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    made: bytes = key.public_key().public_bytes(*form)
    return made.decode()


def _jwk(key: Any, algorithm: Any, **more: str) -> str:
    return json.dumps({**algorithm.to_jwk(key, as_dict=True), **more})


_RSA_JWK = _jwk(_RSA, jwt.algorithms.RSAAlgorithm, kid="robot-2026", alg="RS256")
_EC_JWK = _jwk(_P256, jwt.algorithms.ECAlgorithm, kid="robot-ec")


@pytest.mark.parametrize(
    ("text", "key", "algorithm", "kid"),
    [
        (_pem(_RSA), _RSA, "RS256", None),
        (_pem(_P256), _P256, "ES256", None),
        (_pem(_P384), _P384, "ES384", None),
        ("\n" + _pem(_RSA) + "\n", _RSA, "RS256", None),
        (base64.b64encode(_pem(_RSA).encode()).decode(), _RSA, "RS256", None),
        (_RSA_JWK, _RSA, "RS256", "robot-2026"),
        (_EC_JWK, _P256, "ES256", "robot-ec"),
    ],
    ids=["rsa", "p256", "p384", "blanks", "base64", "jwk-rsa", "jwk-ec"],
)
def test_private_key_jwt(text: str, key: Any, algorithm: str, kid: str | None) -> None:
    """The client signs an assertion for this endpoint and for some minutes, anew each time; its key never travels."""
    secret = Secret(text)
    client, https = _client(
        answer(DISCOVERY), answer(TOKEN), answer(TOKEN), client_auth="private-key-jwt", client_secret=secret
    )

    client.fetch(NOW)
    client.fetch(NOW)

    forms = [call.secret_form for call in https.calls[1:]]
    header = jwt.get_unverified_header(forms[0]["client_assertion"])
    claims = [
        jwt.decode(
            form["client_assertion"],
            key.public_key(),
            algorithms=[algorithm],
            audience="https://iam.example.org/token",
            options={"verify_exp": False, "verify_iat": False},
        )
        for form in forms
    ]
    assert set(forms[0]) == {"client_id", "client_assertion_type", "client_assertion"}
    assert forms[0]["client_id"] == "ci-robot"
    assert forms[0]["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert (header["alg"], header.get("kid")) == (algorithm, kid)
    assert {claim: claims[0][claim] for claim in ("iss", "sub", "iat", "exp")} == {
        "iss": "ci-robot",
        "sub": "ci-robot",
        "iat": NOW,
        "exp": NOW + 300,
    }
    assert claims[0]["jti"] != claims[1]["jti"]
    assert https.calls[1].headers == {"Accept": "application/json"}
    assert "PRIVATE" not in str(https.calls)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2hunter2",
        "bm90IGEga2V5",
        '{"kty": "oct", "k": "aHVudGVyMmh1bnRlcjI"}',
        '{"kty": "RSA"}',
        "{not json",
        _jwk(_RSA.public_key(), jwt.algorithms.RSAAlgorithm),
        _public(_RSA),
        _public(_P256),
        _pem(_RSA, b"password"),
        _pem(_ED25519),
        _pem(ec.generate_private_key(ec.SECP256K1())),
        _pem(_RSA)[:300],
        "-----BEGIN PRIVATE KEY-----\nhunter2hunter2==\n-----END PRIVATE KEY-----",
    ],
    ids=[
        *("empty", "words", "base64", "symmetric", "half-jwk", "no-json", "public-jwk", "public-rsa", "public-ec"),
        *("encrypted", "ed25519", "secp256k1", "truncated", "garbage"),
    ],
)
def test_unfit_private_key(text: str) -> None:
    """A key that cannot sign is said before the issuer is asked, without a word of it."""
    client, https = _client(client_auth="private-key-jwt", client_secret=Secret(text))

    with pytest.raises(CredentialMissingError, match="private key cannot be used") as caught:
        client.fetch(NOW)

    seen = seen_in(caught.value)
    assert https.calls == []
    assert not [piece for piece in text.split("\n") if len(piece) > 8 and piece in seen]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("method", ["basic", "post", "private-key-jwt"])
def test_refused_client_names_its_method(method: ClientAuth) -> None:
    """The usual reason of a refused client is the way it authenticates: the message says which was used."""
    client, _ = _client(
        answer(DISCOVERY), answer({"error": "invalid_client"}, 401), client_auth=method, client_secret=Secret(_EC_JWK)
    )

    with pytest.raises(TokenRefusedError) as caught:
        client.fetch(NOW)

    assert f"septum used {method!r}" in caught.value.fix
    assert "SEPTUM_CLUSTER_CLIENT_AUTH" in caught.value.fix


def test_expected_subject() -> None:
    """A token for another subject than the profile expects is not taken."""
    client, _ = _client(answer(DISCOVERY), answer(TOKEN), subject="somebody")

    with pytest.raises(IdentityError):
        client.fetch(NOW)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (answer({**DISCOVERY, "issuer": "https://iam.example.org"}), TokenUnfitError, "Only the slash"),
        (answer({**DISCOVERY, "issuer": "https://evil.example.org/"}), TokenUnfitError, "calls itself"),
        (answer({}), TokenUnfitError, "calls itself 'None'"),
        (answer({**DISCOVERY, "token_endpoint": "https://evil.example.org/t"}), TokenUnfitError, "own host"),
        (answer({**DISCOVERY, "token_endpoint": "http://iam.example.org/t"}), TokenUnfitError, "own host"),
        (answer({**DISCOVERY, "token_endpoint": "https://iam.example.org:444/t"}), TokenUnfitError, "own host"),
        (answer({**DISCOVERY, "token_endpoint": "https://iam.example.org@evil/t"}), TokenUnfitError, "own host"),
        (answer({"issuer": ISSUER}), TokenUnfitError, "own host"),
        (answer({}, 404), TokenRefusedError, "there is no token issuer"),
        (answer(b"", 302), TokenRefusedError, "HTTP 302, not JSON"),
        (answer(b"<html>"), TokenRefusedError, "not JSON"),
        (answer([]), TokenRefusedError, "not JSON"),
        (answer(b"[" * 100_000), TokenRefusedError, "not JSON"),
    ],
)
def test_discovery_refused(given: Answer, error: type[Exception], words: str) -> None:
    """The secret is sent only to the issuer that the profile names."""
    client, https = _client(given)

    with pytest.raises(error) as caught:
        client.fetch(NOW)

    assert words in str(caught.value)
    assert len(https.calls) == 1


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (
            answer({"error": "invalid_client", "error_description": "Bad client credentials"}, 401),
            TokenRefusedError,
            "HTTP 401, invalid_client: Bad client credentials",
        ),
        (
            answer({"error": "invalid_scope", "error_description": "Scope 'x' not allowed"}, 400),
            TokenRefusedError,
            "SEPTUM_CLUSTER_SCOPE",
        ),
        (answer({"error": "unauthorized_client"}, 400), TokenRefusedError, "client_credentials"),
        (answer({"error": ["odd"]}, 400), TokenRefusedError, "HTTP 400"),
        (answer({}, 403), TokenRefusedError, "HTTP 403, no reason"),
        (answer(b"<html>", 403), TokenRefusedError, "HTTP 403, no reason"),
        (answer(b"", 302), TokenRefusedError, "HTTP 302"),
        (answer(b"<html>ok</html>"), TokenUnfitError, "not JSON"),
        (answer([1]), TokenUnfitError, "not JSON"),
        (answer({}), TokenUnfitError, "type 'None'"),
        (answer({**TOKEN, "token_type": "DPoP"}), TokenUnfitError, "type 'DPoP'"),
        (answer({"token_type": "bearer"}), TokenUnfitError, "no access token"),
        (answer({**TOKEN, "access_token": "null"}), TokenUnfitError, "no access token"),
        (answer({**TOKEN, "access_token": "opaque"}), TokenUnfitError, "no access token"),
    ],
)
def test_refused(given: Answer, error: type[Exception], words: str) -> None:
    """Each answer that is no token says what the issuer said, and what to do."""
    client, _ = _client(answer(DISCOVERY), given)

    with pytest.raises(error) as caught:
        client.fetch(NOW)

    assert words in str(caught.value)


@pytest.mark.parametrize("where", ["error", "error_description"])
def test_secret_is_never_shown(where: str) -> None:
    """An issuer that echoes the secret does not make us print it, nor do escape sequences get through."""
    pair = base64.b64encode(f"ci-robot:{SECRET}".encode()).decode()
    given = answer({"error": "x", where: f"\x1b[31m{SECRET} {pair} s3cret%2Fwith%2Bodd%3Dcharacters" + "y" * 9999}, 401)
    client, _ = _client(answer(DISCOVERY), given)

    with pytest.raises(TokenRefusedError) as caught:
        client.fetch(NOW)

    assert SECRET not in str(caught.value)
    assert "s3cret" not in caught.value.evidence
    assert pair[:-2] not in str(caught.value)
    assert "\x1b" not in caught.value.evidence
    assert len(caught.value.evidence) < 700


@pytest.mark.parametrize("method", ["basic", "post", "private-key-jwt"])
@pytest.mark.parametrize(
    "given",
    [
        answer({"error": "invalid_client"}, 401),
        answer({"token_type": "other", "access_token": "opaque-token"}),
        answer({"token_type": "Bearer", "access_token": "opaque-token"}),
        answer(b"<html>"),
    ],
)
def test_no_secret_in_frames(method: ClientAuth, given: Answer) -> None:
    """A traceback that prints all local variables shows neither the secret nor a token that was refused."""
    secret = _EC_JWK if method == "private-key-jwt" else SECRET
    client, _ = _client(answer(DISCOVERY), given, client_auth=method, client_secret=Secret(secret))

    with pytest.raises(SeptumError) as caught:
        client.fetch(NOW)
    text = seen_in(caught.value)

    assert "client_secret" in text
    private = json.loads(_EC_JWK)["d"]
    assert not [form for form in (SECRET, "s3cret", "Authorization", private, "opaque-token") if form in text]


def test_slash_in_the_profile() -> None:
    """An issuer without the slash is looked up at the same place, and refused with the reason."""
    client, https = _client(answer(DISCOVERY), issuer=ISSUER.rstrip("/"))

    with pytest.raises(TokenUnfitError, match="Only the slash"):
        client.fetch(NOW)

    assert https.calls[0].url == "https://iam.example.org/.well-known/openid-configuration"


def test_skewed_clock_is_a_warning() -> None:
    """The issuer's clock is compared with ours."""
    client, _ = _client(answer(DISCOVERY), answer(TOKEN, date=NOW - 600))

    assert client.fetch(NOW).warnings == ("this machine's clock and the issuer's are 10 min 00 s apart",)


def test_clock_ahead_by_the_life_of_a_token() -> None:
    """A token that seems to have expired when it comes is taken, and counted from now."""
    client, _ = _client(answer(DISCOVERY), answer(TOKEN, date=NOW))

    grant = client.fetch(NOW + HOUR)

    assert (grant.expires_at, grant.ahead_s) == (NOW + 2 * HOUR, HOUR)
    assert grant.warnings == ("this machine's clock and the issuer's are 1 h 00 min apart",)
