"""Every way to a credential, against a real issuer, a real schedd, real proxies, and the double of the brokers.

What a provider gives counts as good only when the pool has taken it.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from septum.backends.htcondor import check
from septum.clusters.profile import Profile
from septum.credentials import Credentials, obtain
from septum.credentials.held import Held
from septum.credentials.provider import Kind
from septum.errors import (
    AuthenticationError,
    CredentialExposedError,
    CredentialMissingError,
    IdentityError,
    IssuerUnavailableError,
    ProxyExpiredError,
    ProxyUnreadableError,
    SeptumError,
    TokenRefusedError,
    TokenUnfitError,
)
from septum.facility import COMPUTE_SCOPES, Facility
from septum.facility.issuer import write_private
from tests.fakes.broker import (
    DATASETS_AUDIENCE,
    PROXY_AUDIENCE,
    TOKEN_AUDIENCE,
    BrokerDouble,
    serving,
)
from tests.workshop import Repository, client_environment, kinds_repository, pool_profile, queue

STORAGE = "https://storage.septum.test:1094"
EOS_PATH = "/eos/cms/store/group/cat/datasets"


@pytest.fixture(scope="module")
def brokers(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerDouble]:
    """The double of the brokers."""
    with serving(facility, tmp_path_factory.mktemp("brokers") / "broker") as running:
        yield running


@pytest.fixture
def broker(brokers: BrokerDouble) -> Iterator[BrokerDouble]:
    """The same, as it was at first and without the requests of other tests."""
    yield brokers
    brokers.echoes, brokers.proxy_life_s = False, 3600
    brokers.fail_next(0)
    brokers.requests.clear()


def _profile(facility: Facility, **changes: Any) -> Profile:
    values: dict[str, Any] = {
        "name": "rehearsal",
        "method": "htcondor",
        "collector": facility.endpoint.collector,
        "schedd": facility.endpoint.schedd,
        "authentication": "scitokens",
        "issuer": facility.issuer.url,
        "audience": facility.endpoint.audience,
        "scope": ["wlcg", *COMPUTE_SCOPES],
        "ca_file": str(facility.ca_file),
    }
    return Profile(**{**values, **changes})


def _proxy_profile(facility: Facility, **changes: Any) -> Profile:
    """A profile that asks for a proxy and for nothing else."""
    return _profile(facility, authentication="none", proxy="required", **changes)


def _obtain(
    profile: Profile, folder: Path, environ: Mapping[str, str], *, clock: Callable[[], float] = time.time
) -> Credentials:
    runtime = folder / "runtime"
    runtime.mkdir(exist_ok=True)
    return obtain(profile, {"XDG_RUNTIME_DIR": str(runtime), **environ}, clock=clock, sleep=lambda _: None)


def _account(profile: Profile, credentials: Credentials, folder: Path) -> str:
    """Whom the schedd takes us for."""
    return dict(check(profile, credentials, folder))["account"]


def _claims(path: Path | None) -> dict[str, Any]:
    assert path is not None
    found: dict[str, Any] = jwt.decode(path.read_text(), options={"verify_signature": False})
    return found


def _content(credentials: Credentials, kind: Kind) -> bytes:
    path = credentials.file(kind)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_bytes()


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


# ── a client of an IAM ──────────────────────────────────────────────────────────────────────────────────────────

METHODS = {"basic": "cmscat-client", "post": "post-client", "private-key-jwt": "key-client"}
REGISTERED = {"basic": "client_secret_basic", "post": "client_secret_post", "private-key-jwt": "private_key_jwt"}


@pytest.mark.parametrize("method", METHODS)
def test_each_way_to_prove_who_one_is(facility: Facility, tmp_path: Path, method: str) -> None:
    """The issuer gives the token, the pool takes it, and the client is the account that the pool maps it to."""
    profile = _profile(facility, credentials="iam-client", client_auth=method, expect_account="cmscat@pool.test")

    with _obtain(profile, tmp_path, client_environment(facility, METHODS[method])) as credentials:
        assert credentials.warnings == []
        assert _account(profile, credentials, tmp_path) == "cmscat@pool.test"
        assert _claims(credentials.token_file)["sub"] == METHODS[method]

    request = facility.issuer.requests()[-1]
    assert (request["auth"], request["client"], request["status"]) == (REGISTERED[method], METHODS[method], 200)


@pytest.mark.parametrize(
    ("method", "client"), [(way, METHODS[other]) for way in METHODS for other in METHODS if way != other]
)
def test_another_method_than_the_registered_one(facility: Facility, tmp_path: Path, method: str, client: str) -> None:
    """IAM says no more than "Bad client credentials"; the message names the method that was used, and where to look."""
    environ = client_environment(facility, client)
    if method == "private-key-jwt":
        environ["IAM_CLIENT_SECRET"] = facility.issuer.secret_file("key-client").read_text()
    elif client == "key-client":
        environ["IAM_CLIENT_SECRET"] = "a-secret-that-never-was"
    before = len(facility.issuer.requests())

    with pytest.raises(TokenRefusedError) as caught:
        _obtain(_profile(facility, credentials="iam-client", client_auth=method), tmp_path, environ)

    assert caught.value.evidence == "HTTP 401, invalid_client: Bad client credentials"
    assert f"{method!r} ({REGISTERED[method]})" in caught.value.fix
    assert "SEPTUM_CLUSTER_CLIENT_AUTH" in caught.value.fix
    assert environ["IAM_CLIENT_SECRET"] not in str(caught.value)
    assert len(facility.issuer.requests()) == before + 1


@pytest.mark.parametrize("form", ["pem", "base64", "file", "jwk"])
def test_the_forms_of_a_private_key(facility: Facility, tmp_path: Path, form: str) -> None:
    """PEM, PEM in base64, a variable of type file, a JWK with its key's id."""
    file = facility.issuer.secret_file("key-client")
    key = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).prepare_key(file.read_text())
    value = {
        "pem": file.read_text(),
        "base64": _base64(file),
        "file": str(file),
        "jwk": json.dumps({**jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "1"}),
    }[form]
    profile = _profile(facility, credentials="iam-client", client_auth="private-key-jwt")

    with _obtain(profile, tmp_path, {"IAM_CLIENT_ID": "key-client", "IAM_CLIENT_SECRET": value}) as credentials:
        assert _claims(credentials.token_file)["sub"] == "key-client"


def test_another_key_than_the_registered_one(facility: Facility, tmp_path: Path) -> None:
    """An assertion that the client's key has not signed is refused, and nothing of the key is in the message."""
    from septum.facility.issuer import _new_key

    pem = _new_key()
    profile = _profile(facility, credentials="iam-client", client_auth="private-key-jwt")

    with pytest.raises(TokenRefusedError, match="HTTP 401, invalid_client") as caught:
        _obtain(profile, tmp_path, {"IAM_CLIENT_ID": "key-client", "IAM_CLIENT_SECRET": pem})

    assert not [line for line in pem.splitlines() if line in str(caught.value)]


def test_two_tokens_for_two_services(facility: Facility, tmp_path: Path) -> None:
    """The token for storage has an audience and scopes of its own: the schedd does not take it."""
    profile = _profile(
        facility, credentials="iam-client", storage_audience=STORAGE, storage_scope=["wlcg", "storage.read:/store"]
    )
    with _obtain(profile, tmp_path, client_environment(facility, "analysis-client")) as credentials:
        access = _claims(credentials.file(Kind.TOKEN))
        storage = _claims(credentials.file(Kind.STORAGE_TOKEN))

        assert _account(profile, credentials, tmp_path) == "cmscat@pool.test"
        assert credentials.environment()["BEARER_TOKEN_FILE"] == str(credentials.file(Kind.STORAGE_TOKEN))
        credentials.held[Kind.TOKEN] = credentials.held[Kind.STORAGE_TOKEN]
        with pytest.raises(AuthenticationError):
            check(profile, credentials, tmp_path)

    assert (access["aud"], storage["aud"]) == (facility.endpoint.audience, STORAGE)
    assert set(access["scope"].split()) == {"wlcg", *COMPUTE_SCOPES}
    assert set(storage["scope"].split()) == {"wlcg", "storage.read:/store"}


def test_issuer_that_is_gone(facility: Facility, tmp_path: Path) -> None:
    """Nobody listens: after all attempts an error that CI retries. Back again, it gives what the pool takes."""
    profile = _profile(facility, credentials="iam-client")
    environ = client_environment(facility)

    with facility.issuer.down(), pytest.raises(IssuerUnavailableError, match="refused") as caught:
        _obtain(profile, tmp_path, environ)
    with _obtain(profile, tmp_path, environ) as credentials:
        assert _account(profile, credentials, tmp_path) == "cmscat@pool.test"

    assert len(caught.value.evidence.splitlines()) == 4


# ── a token that is there ───────────────────────────────────────────────────────────────────────────────────────


def test_token_of_somebody_else(facility: Facility, tmp_path: Path) -> None:
    """A file that `BEARER_TOKEN_FILE` names is read, taken by the pool, and read again when it has been renewed."""
    profile = _profile(facility, credentials="bearer-token")
    file = tmp_path / "bt"
    write_private(file, facility.issuer.token(audience=profile.audience, lifetime_s=600) + "\n")
    start = time.time()

    with _obtain(profile, tmp_path, {"BEARER_TOKEN_FILE": str(file)}) as credentials:
        first = _claims(credentials.token_file)
        assert credentials.held[Kind.TOKEN].source == "bearer token discovery"
        assert credentials.held[Kind.TOKEN].identity == "cmscat-client"
        assert _account(profile, credentials, tmp_path) == "cmscat@pool.test"

        assert credentials.keep_fresh(start + 400) == []
        (warning,) = credentials.keep_fresh(start + 560)
        assert "was not renewed" in warning
        write_private(file, facility.issuer.token(audience=profile.audience))
        assert credentials.keep_fresh(start + 595) == []
        assert _claims(credentials.token_file)["exp"] > first["exp"] + 600
        assert _account(profile, credentials, tmp_path) == "cmscat@pool.test"


def test_token_file_that_others_can_read(facility: Facility, tmp_path: Path) -> None:
    """Refused, as storage refuses it, but with the reason."""
    file = tmp_path / "bt"
    write_private(file, facility.issuer.token(audience=facility.endpoint.audience))
    file.chmod(0o640)

    with pytest.raises(CredentialExposedError, match="E140") as caught:
        _obtain(_profile(facility, credentials="bearer-token"), tmp_path, {"BEARER_TOKEN_FILE": str(file)})

    assert "0640" in caught.value.evidence
    assert file.read_text() not in str(caught.value)


def test_token_that_has_expired(facility: Facility, tmp_path: Path) -> None:
    """A real token of one second, two seconds later."""
    file = tmp_path / "bt"
    write_private(file, facility.issuer.token(audience=facility.endpoint.audience, lifetime_s=1))
    time.sleep(1.5)

    with pytest.raises(TokenUnfitError, match="expired"):
        _obtain(_profile(facility, credentials="bearer-token"), tmp_path, {"BEARER_TOKEN_FILE": str(file)})


def test_token_of_gitlab_itself(facility: Facility, tmp_path: Path) -> None:
    """GitLab's own token opens no schedd, though the pool trusts its signature: it is refused here, and there."""
    profile = _profile(facility, credentials="bearer-token")
    text = facility.issuer.id_token(profile.audience, sub="cmscat-client")
    file = tmp_path / "bt"
    write_private(file, text)

    with pytest.raises(TokenUnfitError, match="WLCG profile"):
        _obtain(profile, tmp_path, {"BEARER_TOKEN_FILE": str(file)})
    with pytest.raises(AuthenticationError):
        check(profile, _holding(facility, tmp_path, file), tmp_path)


def _holding(facility: Facility, folder: Path, file: Path) -> Credentials:
    """Credentials whose token nobody has looked at."""
    credentials = Credentials(folder)
    credentials.ca_file = facility.ca_file
    credentials.held[Kind.TOKEN] = Held(
        kind=Kind.TOKEN, path=file, source="a test", identity="", expires_at=0, renewable=False
    )
    return credentials


# ── brokers ─────────────────────────────────────────────────────────────────────────────────────────────────────

PROXY_BROKERS = {"cat": "/proxy/api", "bearer": "/bearer-proxy"}
TOKEN_BROKERS = {"exchange": "/token", "bearer": "/bearer"}


def _proxy_broker(facility: Facility, broker: BrokerDouble, shape: str = "cat", **changes: Any) -> Profile:
    return _proxy_profile(
        facility,
        proxy_from="broker",
        proxy_broker=broker.url(PROXY_BROKERS[shape]),
        proxy_broker_kind=shape,
        **changes,
    )


def _token_broker(facility: Facility, broker: BrokerDouble, shape: str = "exchange", **changes: Any) -> Profile:
    return _profile(
        facility,
        credentials="broker",
        token_broker=broker.url(TOKEN_BROKERS[shape]),
        token_broker_kind=shape,
        **changes,
    )


@pytest.mark.parametrize("shape", PROXY_BROKERS)
def test_proxy_of_a_broker(facility: Facility, broker: BrokerDouble, tmp_path: Path, shape: str) -> None:
    """VOMS's own tool reads it; it is renewed at half of its life and not before; the file stays at its place."""
    now = time.time()
    profile = _proxy_broker(facility, broker, shape, expect_vo="cms", expect_fqan="/cms/uscms")
    id_token = facility.issuer.id_token(PROXY_AUDIENCE)

    with _obtain(profile, tmp_path, {"SEPTUM_PROXY_ID_TOKEN": id_token}, clock=lambda: now) as credentials:
        path = credentials.file(Kind.PROXY)
        assert path is not None
        first = _content(credentials, Kind.PROXY)
        held = credentials.held[Kind.PROXY]
        assert facility.proxies.info(path, "-vo").strip() == "cms"
        assert (held.identity, held.source) == ("/cms", f"broker localhost:{broker.port}")
        assert credentials.keep_fresh(now + 0.44 * held.life_s) == []
        assert len(broker.requests) == 1

        assert credentials.keep_fresh(now + 0.56 * held.life_s) == []
        assert len(broker.requests) == 2
        # Made in the same second, the new one may end when the old one does: then it is not yet a newer one.
        time.sleep(1.1)
        assert credentials.keep_fresh(now + 0.9 * held.life_s) == []
        assert _content(credentials, Kind.PROXY) != first
        assert credentials.file(Kind.PROXY) == path
        assert facility.proxies.info(path, "-fqan").split()[0] == "/cms/Role=NULL/Capability=NULL"
        # A job that may run longer than the proxy lives is no reason to stop: it will be handed a new one.
        credentials.require_life(now, 10 * held.life_s)

    assert list((tmp_path / "runtime").iterdir()) == []


@pytest.mark.parametrize("shape", TOKEN_BROKERS)
def test_token_of_a_broker(facility: Facility, broker: BrokerDouble, tmp_path: Path, shape: str) -> None:
    """The token that is given for GitLab's is one of the issuer, and the pool takes it."""
    profile = _token_broker(facility, broker, shape)
    id_token = facility.issuer.id_token(TOKEN_AUDIENCE)

    with _obtain(profile, tmp_path, {"SEPTUM_ID_TOKEN": id_token}) as credentials:
        claims = _claims(credentials.token_file)
        assert _account(profile, credentials, tmp_path) == "cmscat@pool.test"
        assert (claims["sub"], claims["aud"]) == ("cmscat-client", facility.endpoint.audience)
        assert set(claims["scope"].split()) == {"wlcg", *COMPUTE_SCOPES}
        # Not the one that was brought.
        assert id_token.encode() not in b"".join(p.read_bytes() for p in credentials.folder.iterdir())

    (asked,) = broker.requests
    assert id_token not in str(asked)


def test_token_of_eos(facility: Facility, broker: BrokerDouble, tmp_path: Path) -> None:
    """CAT's token for one path of EOS ends in a file, with a variable that names it; it is asked for anew in time."""
    now = time.time()
    profile = _profile(facility, authentication="none", eos_broker=broker.url("/datasets/api"), eos_path=EOS_PATH)
    id_token = facility.issuer.id_token(DATASETS_AUDIENCE)

    with _obtain(profile, tmp_path, {"SEPTUM_EOS_ID_TOKEN": id_token}, clock=lambda: now) as credentials:
        first = _content(credentials, Kind.EOS_TOKEN)
        assert first.startswith(b"zteos64:")
        assert credentials.environment()["SEPTUM_EOS_TOKEN_FILE"] == str(credentials.file(Kind.EOS_TOKEN))
        assert broker.requests[0].query == {"eospath": EOS_PATH}
        assert credentials.keep_fresh(now + 2000) == []
        assert _content(credentials, Kind.EOS_TOKEN) != first


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "another.app.cern.ch"}, "HTTP 401, the token is for another service"),
        ({"aud": [PROXY_AUDIENCE, "another.app.cern.ch"]}, "HTTP 401, the token is for another service"),
        ({"ref_protected": False}, "HTTP 403, main is not a protected branch or tag"),
        ({"project_id": "666"}, "HTTP 403, project 666 may not use this service"),
        ({"project_id": "cms-analysis"}, "HTTP 403, project cms-analysis may not use this service"),
        ({"lifetime_s": -60}, "HTTP 401, not a valid token: ExpiredSignatureError"),
        ({"iss": "https://gitlab.example.org"}, "HTTP 401, not a valid token: InvalidIssuerError"),
    ],
    ids=["aud", "two-auds", "unprotected", "project", "project-by-name", "expired", "issuer"],
)
def test_broker_says_no(
    facility: Facility, broker: BrokerDouble, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    """The service's own reason reaches the user, whatever it quotes; the token does not. One request is enough."""
    id_token = facility.issuer.id_token(**{"aud": PROXY_AUDIENCE, **changes})
    broker.echoes = True

    with pytest.raises(TokenRefusedError) as caught:
        _obtain(_proxy_broker(facility, broker), tmp_path, {"SEPTUM_PROXY_ID_TOKEN": id_token})

    status, _, words = reason.partition(", ")
    assert caught.value.evidence.startswith(status)
    assert words in caught.value.evidence
    for piece in id_token.split("."):
        assert piece not in str(caught.value)
    assert "SEPTUM_PROXY_ID_TOKEN" in caught.value.fix
    assert len(broker.requests) == 1
    assert list((tmp_path / "runtime").iterdir()) == []


def test_altered_id_token(facility: Facility, broker: BrokerDouble, tmp_path: Path) -> None:
    """The double does look at signatures: another project's number in a signed token is of no use."""
    head, body, signature = facility.issuer.id_token(TOKEN_AUDIENCE, project_id="666").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["project_id"] = next(iter(broker.projects))
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()

    with pytest.raises(TokenRefusedError, match="InvalidSignatureError"):
        _obtain(_token_broker(facility, broker), tmp_path, {"SEPTUM_ID_TOKEN": f"{head}.{forged}.{signature}"})


def test_broker_asks_the_issuer_for_too_much(facility: Facility, broker: BrokerDouble, tmp_path: Path) -> None:
    """What the issuer does not give the broker, the broker does not give us, and says why."""
    profile = _token_broker(facility, broker, scope=["wlcg", "storage.read:/"])

    with pytest.raises(TokenRefusedError, match=r"Scope 'storage.read:/' not allowed for client 'cmscat-client'"):
        _obtain(profile, tmp_path, {"SEPTUM_ID_TOKEN": facility.issuer.id_token(TOKEN_AUDIENCE)})


def test_broker_that_is_down(facility: Facility, broker: BrokerDouble, tmp_path: Path) -> None:
    """At the start an error that CI retries; while a proxy is held, a warning, and the proxy stays."""
    now = time.time()
    profile = _proxy_broker(facility, broker)
    environ = {"SEPTUM_PROXY_ID_TOKEN": facility.issuer.id_token(PROXY_AUDIENCE)}
    broker.fail_next(4)

    with pytest.raises(IssuerUnavailableError, match="E751") as caught:
        _obtain(profile, tmp_path, environ)
    assert caught.value.exit_code == 75
    assert len(broker.requests) == 4
    with _obtain(profile, tmp_path, environ, clock=lambda: now) as credentials:
        first = _content(credentials, Kind.PROXY)
        broker.fail_next(4, status=502)
        (warning,) = credentials.keep_fresh(now + 2400)
        assert warning.startswith(f"no new X.509 proxy yet (broker localhost:{broker.port} does not answer)")
        assert _content(credentials, Kind.PROXY) == first


def test_broker_that_nobody_serves(facility: Facility, broker: BrokerDouble, tmp_path: Path) -> None:
    """A path that does not exist is a refusal, not a credential."""
    profile = _profile(facility, credentials="broker", token_broker=broker.url("/elsewhere"))

    with pytest.raises(TokenRefusedError, match="HTTP 404"):
        _obtain(profile, tmp_path, {"SEPTUM_ID_TOKEN": facility.issuer.id_token(TOKEN_AUDIENCE)})


def test_no_id_token(facility: Facility, broker: BrokerDouble, tmp_path: Path) -> None:
    """Without GitLab's token nobody is asked."""
    with pytest.raises(CredentialMissingError, match="SEPTUM_ID_TOKEN"):
        _obtain(_token_broker(facility, broker), tmp_path, {})

    assert broker.requests == []


# ── proxies in variables and files ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def proxy(facility: Facility, tmp_path: Path) -> Path:
    """A VOMS proxy of 24 h whose attributes live for 12 h."""
    return facility.make_proxy(tmp_path / "proxy.pem")


def test_proxy_in_several_variables(facility: Facility, proxy: Path, tmp_path: Path) -> None:
    """GitLab limits the length of variables: cut anywhere, the pieces are joined, also when one is of type file."""
    text = _base64(proxy)
    third = len(text) // 3 + 1
    (tmp_path / "second").write_text(text[third : 2 * third] + "\n")
    pieces = {"PROXY_A": text[:third], "PROXY_B": str(tmp_path / "second"), "PROXY_C": text[2 * third :]}
    profile = _proxy_profile(facility, proxy_variable="PROXY_A PROXY_B PROXY_C", expect_vo="cms")

    with _obtain(profile, tmp_path, pieces) as credentials:
        path = credentials.file(Kind.PROXY)
        assert path is not None
        assert facility.proxies.info(path, "-vo").strip() == "cms"
        assert credentials.held[Kind.PROXY].source == "variable PROXY_A + PROXY_B + PROXY_C"
    with pytest.raises(ProxyUnreadableError, match=r"PROXY_A \+ PROXY_B \+ PROXY_C"):
        _obtain(profile, tmp_path, {**pieces, "PROXY_A": pieces["PROXY_C"], "PROXY_C": pieces["PROXY_A"]})
    with pytest.raises(CredentialMissingError, match="PROXY_B"):
        _obtain(profile, tmp_path, {**pieces, "PROXY_B": ""})


@pytest.mark.parametrize("form", ["base64", "pem", "file", "file-with-base64"])
def test_forms_of_a_proxy(facility: Facility, proxy: Path, tmp_path: Path, form: str) -> None:
    """Whatever the variable holds, the file is the same proxy and nobody else's: GitLab's own is open to all."""
    open_file = tmp_path / "PROXY"
    open_file.write_bytes(_base64(proxy).encode() if form == "file-with-base64" else proxy.read_bytes())
    open_file.chmod(0o666)
    value = {"base64": _base64(proxy), "pem": proxy.read_text()}.get(form, str(open_file))

    with _obtain(_proxy_profile(facility), tmp_path, {"X509_PROXY": value}) as credentials:
        path = credentials.file(Kind.PROXY)
        assert path is not None
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert _content(credentials, Kind.PROXY).split() == proxy.read_bytes().split()
        assert facility.proxies.info(path, "-vo").strip() == "cms"


def test_proxy_in_a_file(facility: Facility, proxy: Path, tmp_path: Path) -> None:
    """`X509_USER_PROXY` is read, and read again when somebody has renewed it; open to others, it is refused."""
    now = time.time()
    profile = _proxy_profile(facility, proxy_from="file")

    with _obtain(profile, tmp_path, {"X509_USER_PROXY": str(proxy)}, clock=lambda: now) as credentials:
        held = credentials.held[Kind.PROXY]
        newer = facility.make_proxy(tmp_path / "newer.pem", lifetime_s=3 * 86400, voms_lifetime_s=2 * 86400)
        newer.replace(proxy)
        assert credentials.keep_fresh(now + 0.56 * held.life_s) == []
        assert credentials.held[Kind.PROXY].expires_at > held.expires_at + 86400
        assert _content(credentials, Kind.PROXY).split() == proxy.read_bytes().split()
    proxy.chmod(0o644)
    with pytest.raises(CredentialExposedError, match="E140") as caught:
        _obtain(profile, tmp_path, {"X509_USER_PROXY": str(proxy)})

    assert "0644" in caught.value.evidence
    assert caught.value.exit_code == 18


def test_expired_proxies(facility: Facility, tmp_path: Path) -> None:
    """A proxy that has ended, and one whose attributes have: two causes, two messages."""
    old = facility.make_proxy(tmp_path / "old.pem", lifetime_s=-7200, voms_lifetime_s=-7200)
    stale = facility.make_proxy(tmp_path / "stale.pem", voms_lifetime_s=-7200)

    with pytest.raises(ProxyExpiredError, match=r"the X.509 proxy in variable X509_PROXY expired 2 h"):
        _obtain(_proxy_profile(facility), tmp_path, {"X509_PROXY": _base64(old)})
    with pytest.raises(ProxyExpiredError, match=r"the VOMS attributes of the X.509 proxy") as caught:
        _obtain(_proxy_profile(facility), tmp_path, {"X509_PROXY": _base64(stale)})

    assert "the proxy itself lives for 24 h" in caught.value.evidence or "23 h" in caught.value.evidence


def test_attributes_that_end_before_the_chain(facility: Facility, tmp_path: Path) -> None:
    """A proxy of a day whose attributes live for an hour is one of an hour."""
    now = time.time()
    short = facility.make_proxy(tmp_path / "short.pem", voms_lifetime_s=3600)

    with _obtain(_proxy_profile(facility), tmp_path, {"X509_PROXY": _base64(short)}) as credentials:
        credentials.require_life(now, 1800)
        with pytest.raises(ProxyExpiredError, match="a job may need it for 2 h") as caught:
            credentials.require_life(now, 7200)

    assert "VOMS attributes" in caught.value.evidence
    assert "queue-time" in caught.value.evidence


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("no VO", IdentityError, "no attributes of a VO"),
        ("user key", ProxyUnreadableError, "user certificate, not a proxy"),
        ("cut", ProxyUnreadableError, "base64"),
        ("letters", ProxyUnreadableError, "not base64"),
        ("web page", ProxyUnreadableError, "answer of a web service"),
        ("no key", ProxyUnreadableError, "holds no private key"),
    ],
)
def test_what_is_no_proxy(
    facility: Facility, proxy: Path, tmp_path: Path, kind: str, error: type[SeptumError], words: str
) -> None:
    """Each mistake has its own words, and nothing of the value is in them."""
    user = facility.proxies.user
    text = proxy.read_text()
    plain = facility.proxies.make(tmp_path / "plain.pem", vo=None)
    value = {
        "no VO": _base64(plain),
        "user key": user.certificate.read_text() + user.key.read_text(),
        "cut": _base64(proxy)[:-301],
        "letters": _base64(proxy).replace("A", "*"),
        "web page": "<html>503 Service Unavailable</html>",
        "no key": re.sub(r"-----BEGIN [A-Z ]*PRIVATE KEY.*?END [A-Z ]*PRIVATE KEY-----\n", "", text, flags=re.DOTALL),
    }[kind]

    with pytest.raises(error) as caught:
        _obtain(_proxy_profile(facility, expect_vo="cms"), tmp_path, {"X509_PROXY": value})

    assert words in caught.value.what
    assert not [line for line in value.splitlines() if len(line) > 20 and line in str(caught.value)]


def test_limited_proxy(facility: Facility, tmp_path: Path) -> None:
    """What HTCondor delegates is a proxy like any other for reading."""
    limited = facility.proxies.make(tmp_path / "limited.pem", limited=True)

    with _obtain(_proxy_profile(facility, expect_vo="cms"), tmp_path, {"X509_PROXY": _base64(limited)}) as credentials:
        assert credentials.held[Kind.PROXY].identity == "/cms"


# ── whom the credentials speak for ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def prepared(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A prepared run for the pool, with a token and a proxy."""
    folder = tmp_path_factory.mktemp("expected")
    proxy = facility.make_proxy(folder / "proxy.pem")
    # Of several attempts to submit, all are the same run.
    run = {"SEPTUM_CLUSTER": "pool", "SEPTUM_RUN": str(time.time_ns())}
    environ = {**run, "X509_PROXY": _base64(proxy), **client_environment(facility)}
    made = kinds_repository(folder / "analysis", ["good"], environ=environ)
    (made.folder / "clusters").mkdir()
    (made.folder / "clusters" / "pool.yaml").write_text(
        pool_profile(facility.pool, facility, **{"proxy": "required", "queue-time": "10 min", "default-time": "10 min"})
    )
    done = made.septum("prepare")
    assert done.returncode == 0, done.stdout
    return made


def _with(repository: Repository, variables: Mapping[str, str]) -> Repository:
    return replace(repository, environ={**repository.environ, **variables})


def _jobs(facility: Facility) -> int:
    return len(queue(facility.pool))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("EXPECT_SUBJECT", "another-client", "the token speaks for 'cmscat-client', the profile expects"),
        ("EXPECT_ACCOUNT", "uscms", "the schedd takes us for 'cmscat@pool.test', the profile expects 'uscms'"),
        ("EXPECT_ACCOUNT", "cmscat@elsewhere", "the schedd takes us for 'cmscat@pool.test'"),
        ("EXPECT_VO", "atlas", "is of the VO 'cms', the profile expects 'atlas'"),
        ("EXPECT_FQAN", "/cms/Role=production", "has not the group or role /cms/Role=production"),
    ],
)
def test_somebody_else(facility: Facility, prepared: Repository, key: str, value: str, words: str) -> None:
    """Good credentials of somebody else end `submit` with 17 before there is a job."""
    before = _jobs(facility)

    done = _with(prepared, {f"SEPTUM_CLUSTER_{key}": value}).septum("submit")

    assert done.returncode == 17, done.stdout
    assert words in done.stdout
    assert f"SEPTUM_CLUSTER_{key}" in done.stdout
    assert "[E122]" in done.stdout
    assert _jobs(facility) == before
    assert not (prepared.folder / ".septum" / "receipt.json").exists()


def test_the_expected_ones(facility: Facility, prepared: Repository, tmp_path: Path) -> None:
    """The same run, with what it is expected to be, is submitted and collected."""
    shutil.copytree(prepared.folder, tmp_path / "analysis")
    expected = {
        "SEPTUM_CLUSTER_EXPECT_SUBJECT": "cmscat-client",
        "SEPTUM_CLUSTER_EXPECT_ACCOUNT": "cmscat",
        "SEPTUM_CLUSTER_EXPECT_VO": "cms",
        "SEPTUM_CLUSTER_EXPECT_FQAN": "/cms/uscms",
    }
    ours = _with(replace(prepared, folder=tmp_path / "analysis"), expected)
    for verb in ("submit", "collect"):
        done = ours.septum(verb)
        assert done.returncode == 0, done.stdout

    assert ours.whole_files() == ["all.root"]
