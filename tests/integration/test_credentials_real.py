"""Credentials from a real token issuer, and real VOMS proxies."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from septum.cli import main
from septum.clusters.profile import Profile
from septum.credentials import Credentials, obtain
from septum.credentials.https import Https
from septum.credentials.iam import IamClient
from septum.credentials.provider import Grant
from septum.credentials.proxy import Expected, load_proxy
from septum.credentials.secret import Secret
from septum.credentials.x509 import parse_proxy
from septum.errors import (
    AuthenticationError,
    IssuerUnavailableError,
    ProxyExpiredError,
    ProxyUnreadableError,
    TokenRefusedError,
    TokenUnfitError,
)
from septum.facility import ANY_AUDIENCE, COMPUTE_SCOPES

if TYPE_CHECKING:
    from pathlib import Path

    from septum.facility import Facility


def _profile(facility: Facility, **changes: Any) -> Profile:
    values: dict[str, Any] = {
        "name": "rehearsal",
        "method": "htcondor",
        "credentials": "iam-client",
        "issuer": facility.issuer.url,
        "audience": facility.endpoint.audience,
        "scope": ["wlcg", *COMPUTE_SCOPES],
        "ca_file": str(facility.ca_file),
    }
    return Profile(**{**values, **changes})


def _environ(facility: Facility, tmp_path: Path, client: str = "cmscat-client", **more: str) -> dict[str, str]:
    secret = facility.issuer.secret_file(client).read_text()
    return {"IAM_CLIENT_ID": client, "IAM_CLIENT_SECRET": secret, "XDG_RUNTIME_DIR": str(tmp_path), **more}


def _claims(credentials: Credentials) -> dict[str, Any]:
    assert credentials.token_file is not None
    payload = credentials.token_file.read_text().split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return claims


def test_good_token(facility: Facility, tmp_path: Path) -> None:
    """The token has the audience and the scopes that were asked for, and nothing is complained about."""
    with obtain(_profile(facility), environ=_environ(facility, tmp_path)) as credentials:
        claims = _claims(credentials)

        assert credentials.warnings == []
        assert credentials.identity.startswith("client cmscat-client at localhost:")
        assert claims["aud"] == facility.endpoint.audience
        assert set(claims["scope"].split()) == {"wlcg", *COMPUTE_SCOPES}
        assert claims["wlcg.ver"] == "1.0"
        assert facility.issuer.requests()[-1]["audiences"] == [facility.endpoint.audience]
    assert list(tmp_path.iterdir()) == []


def test_wrong_secret(facility: Facility, tmp_path: Path) -> None:
    """401: the issuer's words, what to check, and one request only."""
    before = len(facility.issuer.requests())

    with pytest.raises(TokenRefusedError) as caught:
        obtain(_profile(facility), environ=_environ(facility, tmp_path, IAM_CLIENT_SECRET="wrong-secret"))

    assert caught.value.evidence == "HTTP 401, invalid_client: Bad client credentials"
    assert "wrong-secret" not in str(caught.value)
    assert len(facility.issuer.requests()) == before + 1
    assert list(tmp_path.iterdir()) == []


def test_scope_not_allowed(facility: Facility, tmp_path: Path) -> None:
    """400: the scope that the client may not have is named."""
    with pytest.raises(TokenRefusedError) as caught:
        obtain(_profile(facility), environ=_environ(facility, tmp_path, "reader-client"))

    assert "invalid_scope: Scope 'compute.create' not allowed" in caught.value.evidence
    assert "SEPTUM_CLUSTER_SCOPE" in caught.value.fix


def test_no_wlcg_profile(facility: Facility, tmp_path: Path) -> None:
    """A client without the scope wlcg gets tokens that HTCondor cannot read; that is found here."""
    with pytest.raises(TokenUnfitError, match="WLCG profile"):
        obtain(
            _profile(facility, scope=list(COMPUTE_SCOPES)), environ=_environ(facility, tmp_path, "profileless-client")
        )


def test_slash_of_the_issuer(facility: Facility, tmp_path: Path) -> None:
    """An issuer without its slash is refused before the secret is sent."""
    before = len(facility.issuer.requests())

    with pytest.raises(TokenUnfitError, match="Only the slash"):
        obtain(_profile(facility, issuer=facility.issuer.url.rstrip("/")), environ=_environ(facility, tmp_path))

    assert len(facility.issuer.requests()) == before


def test_any_audience(facility: Facility, tmp_path: Path) -> None:
    """The audience for every service can be asked for by name."""
    with obtain(_profile(facility, audience=ANY_AUDIENCE), environ=_environ(facility, tmp_path)) as credentials:
        assert _claims(credentials)["aud"] == ANY_AUDIENCE


def test_unknown_ca(facility: Facility, tmp_path: Path) -> None:
    """Without the site's CA nothing is sent."""
    before = len(facility.issuer.requests())

    with pytest.raises(AuthenticationError, match="host certificate"):
        obtain(_profile(facility, ca_file=""), environ=_environ(facility, tmp_path))

    assert len(facility.issuer.requests()) == before


def test_ca_from_a_variable(facility: Facility, tmp_path: Path) -> None:
    """The CA can come as the text of a variable."""
    environ = _environ(facility, tmp_path, SITE_CA=facility.ca_file.read_text())

    with obtain(_profile(facility, ca_file="", ca_variable="SITE_CA"), environ=environ) as credentials:
        assert credentials.token_file is not None


def test_issuer_stumbles(facility: Facility, tmp_path: Path) -> None:
    """Two server errors are waited out as the server asks; six are an error that CI retries."""
    pauses: list[float] = []
    facility.issuer.fail_next(2, status=503, retry_after_s=5)
    with obtain(_profile(facility), environ=_environ(facility, tmp_path), sleep=pauses.append):
        assert pauses == [5.0, 5.0]

    facility.issuer.fail_next(6, status=500)
    try:
        with pytest.raises(IssuerUnavailableError, match="did not answer"):
            obtain(_profile(facility), environ=_environ(facility, tmp_path), sleep=pauses.append)
    finally:
        facility.issuer.fail_next(0)


def test_issuer_hangs_for_a_moment(facility: Facility) -> None:
    """An issuer that takes a connection and serves it later costs that time, and no second request."""
    pauses: list[float] = []
    client = IamClient(
        issuer=facility.issuer.url,
        client_id="cmscat-client",
        client_secret=Secret(facility.issuer.secret_file().read_text()),
        audience=facility.endpoint.audience,
        scopes=["wlcg", *COMPUTE_SCOPES],
        https=Https(ca_file=facility.ca_file, sleep=pauses.append),
    )
    before = len(facility.issuer.requests())
    with ThreadPoolExecutor() as threads:
        with facility.issuer.down(hangs=True):
            asked = threads.submit(client.fetch, time.time())
            time.sleep(1.5)
            assert not asked.done()
        assert asked.result(10).identity == "cmscat-client"

    assert pauses == []
    assert len(facility.issuer.requests()) == before + 1


def test_renewal(facility: Facility, tmp_path: Path) -> None:
    """A token of a minute is replaced after half of it; an issuer that fails meanwhile is a warning."""
    now = time.time()
    environ = _environ(facility, tmp_path, "short-client")
    with obtain(_profile(facility), environ=environ, clock=lambda: now, sleep=lambda _: None) as credentials:
        first = _claims(credentials)["jti"]
        assert credentials.keep_fresh(now + 20) == []
        assert _claims(credentials)["jti"] == first

        facility.issuer.fail_next(4)
        (warning,) = credentials.keep_fresh(now + 35)
        assert "no new token yet" in warning
        assert _claims(credentials)["jti"] == first

        # Tokens end at full seconds: of two made in the same one, the second is no newer one.
        time.sleep(1.1)
        assert credentials.keep_fresh(now + 55) == []
        assert _claims(credentials)["jti"] != first


def test_cluster_check(
    facility: Facility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`septum cluster check` on a user's profile: token, ping of the schedd, and no file left in the folder."""
    (tmp_path / "root" / "clusters").mkdir(parents=True)
    (tmp_path / "root" / "clusters" / "pool.yaml").write_text(
        f"method: htcondor\ncollector: {facility.endpoint.collector}\nschedd: {facility.endpoint.schedd}\n"
        f"authentication: scitokens\nca-file: {facility.ca_file}\ncredentials: iam-client\n"
        f"issuer: {facility.issuer.url}\naudience: {facility.endpoint.audience}\n"
        f"scope: [wlcg, {', '.join(COMPUTE_SCOPES)}]\n"
    )
    monkeypatch.chdir(tmp_path / "root")
    for name, value in _environ(facility, tmp_path).items():
        monkeypatch.setenv(name, value)

    assert main(["cluster", "check", "pool", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["lines"]
    assert lines["identity"].startswith("client cmscat-client at localhost")
    assert lines["schedd"].startswith(facility.endpoint.schedd)
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["clusters"]


@pytest.fixture
def proxy(facility: Facility, tmp_path: Path) -> Path:
    """A VOMS proxy of 24 h whose attributes live for 12 h."""
    return facility.make_proxy(tmp_path / "proxy.pem")


def _load(pem: bytes) -> Grant:
    value = Secret(base64.b64encode(pem).decode())
    return load_proxy(value, source="variable X509_PROXY", now=time.time(), expected=Expected())


def test_voms_proxy(proxy: Path, tmp_path: Path) -> None:
    """A real proxy is read: its form, its VO's attributes, and the end of whichever ends first."""
    found = parse_proxy(proxy.read_bytes())
    now = time.time()

    assert found.kind == "rfc3820"
    assert found.attributes is not None
    assert (found.attributes.vo, found.attributes.fqans) == ("cms", ("/cms", "/cms/uscms"))
    assert abs(found.expires_at - now - 43200) < 600
    assert found.chain_ends_at > now + 80000
    assert _load(proxy.read_bytes()).warnings == ()
    value = base64.b64encode(proxy.read_bytes()).decode()
    profile = Profile(name="x", method="local", proxy="required")
    with obtain(profile, environ={"X509_PROXY": value, "XDG_RUNTIME_DIR": str(tmp_path)}) as credentials:
        assert credentials.warnings == []
        credentials.require_life(now, 11 * 3600)
        with pytest.raises(ProxyExpiredError, match="a job may need it for 13 h"):
            credentials.require_life(now, 13 * 3600)


def test_limited_and_plain_proxies(facility: Facility, tmp_path: Path) -> None:
    """A limited proxy and one without a VO are proxies, too."""
    limited = facility.proxies.make(tmp_path / "limited.pem", limited=True)
    plain = facility.proxies.make(tmp_path / "plain.pem", vo=None)

    assert parse_proxy(limited.read_bytes()).attributes is not None
    assert parse_proxy(plain.read_bytes()).attributes is None
    assert (_load(limited.read_bytes()).identity, _load(plain.read_bytes()).identity) == ("/cms", "no VO")


def test_expired_proxy(facility: Facility, tmp_path: Path) -> None:
    """An expired proxy, and one whose attributes have expired, are errors."""
    old = facility.make_proxy(tmp_path / "old.pem", lifetime_s=-7200, voms_lifetime_s=-7200)
    stale = facility.make_proxy(tmp_path / "stale.pem", voms_lifetime_s=-7200)

    for path, subject in ((old, "the X.509 proxy"), (stale, "the VOMS attributes of the X.509 proxy")):
        with pytest.raises(ProxyExpiredError, match=f"^{subject} in variable X509_PROXY expired"):
            _load(path.read_bytes())


def test_users_own_certificate(facility: Facility) -> None:
    """A user's long-lived certificate and key are refused."""
    user = facility.proxies.user

    with pytest.raises(ProxyUnreadableError, match="user certificate, not a proxy"):
        _load(user.certificate.read_bytes() + user.key.read_bytes())
