"""The one object with all credentials: what it asks for, how it stays fresh."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import proxy_files  # type: ignore[import-not-found]
import pytest
from credential_fakes import Source  # type: ignore[import-not-found]

from septum.clusters.profile import Profile
from septum.credentials import Credentials, obtain
from septum.credentials.held import SUPERVISED
from septum.credentials.obtain import fingerprint_of
from septum.errors import (
    CredentialExposedError,
    CredentialMissingError,
    ProfileError,
    ProxyExpiredError,
    SeptumError,
    TokenRefusedError,
)

NOW: float = proxy_files.NOW.timestamp()
PROXY = base64.b64encode(proxy_files.proxy()).decode()
CA: str = proxy_files.authority().pem.decode()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables of a CI job whose runtime folder is ours."""
    (tmp_path / "run").mkdir()
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Source:
    """Takes the place of the IAM client."""
    made = Source(warnings=("narrow",))
    monkeypatch.setattr("septum.credentials.choose._iam", lambda *_: made)
    return made


def _profile(**changes: Any) -> Profile:
    return Profile(name="x", method="htcondor", **changes)


def _iam(**changes: Any) -> Profile:
    return _profile(credentials="iam-client", issuer="https://i.example.org/", audience="a", scope=["s"], **changes)


def _obtain(profile: Profile, environ: dict[str, str]) -> Credentials:
    return obtain(profile, environ=environ, clock=lambda: NOW)


_CLIENT = {"IAM_CLIENT_ID": "x", "IAM_CLIENT_SECRET": "secret-of-the-client"}


def _leftovers(environ: dict[str, str]) -> list[str]:
    return [path.name for path in Path(environ["XDG_RUNTIME_DIR"]).iterdir()]


def test_nothing(environ: dict[str, str]) -> None:
    """A cluster without credentials gets none."""
    with _obtain(_profile(), {**environ, "X509_PROXY": PROXY}) as credentials:
        assert (credentials.token_file, credentials.proxy_file, credentials.ca_file) == (None, None, None)
        assert credentials.warnings == []
        assert credentials.identity == "no token"
        assert credentials.keep_fresh(NOW + 1e6) == []
        assert credentials.next_due(NOW) == float("inf")


@pytest.mark.usefixtures("issuer")
def test_everything(environ: dict[str, str]) -> None:
    """Token, proxy and CA become private files, which are gone at the end."""
    variables = {**environ, **_CLIENT, "X509_PROXY": PROXY, "SITE_CA": CA}

    with _obtain(_iam(proxy="required", ca_variable="SITE_CA"), variables) as credentials:
        assert credentials.token_file is not None
        assert credentials.proxy_file is not None
        assert credentials.ca_file is not None
        assert credentials.token_file.read_text() == "content-token-1"
        assert credentials.proxy_file.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----\n")
        assert credentials.ca_file.read_text().strip() == CA.strip()
        assert {f.stat().st_mode & 0o777 for f in credentials.token_file.parent.iterdir()} == {0o600}
        assert credentials.warnings == ["narrow"]
        assert credentials.identity == "client x at iam.example.org"

    assert _leftovers(environ) == []


def test_missing_variables(environ: dict[str, str]) -> None:
    """All missing variables are named at once, with the page and the usual reason."""
    with pytest.raises(CredentialMissingError, match="IAM_CLIENT_ID, MY_SECRET, X509_PROXY") as caught:
        _obtain(_iam(client_secret_variable="MY_SECRET", proxy="required"), {**environ, "MY_SECRET": "  "})

    assert "Settings > CI/CD > Variables" in caught.value.fix
    assert "protected variables are absent on unprotected branches" in caught.value.fix
    assert _leftovers(environ) == []


@pytest.mark.usefixtures("issuer")
def test_nothing_stays_after_an_error(environ: dict[str, str]) -> None:
    """An error on the way deletes what was already written."""
    old = base64.b64encode(proxy_files.proxy(hours=-0.5)).decode()

    with pytest.raises(ProxyExpiredError):
        _obtain(_iam(proxy="optional"), {**environ, **_CLIENT, "X509_PROXY": old})

    assert _leftovers(environ) == []


def test_optional_proxy(environ: dict[str, str]) -> None:
    """An optional proxy is used when its variable is set, and counted down to its end, which nobody can put off."""
    with _obtain(_profile(proxy="optional"), environ) as credentials:
        assert credentials.proxy_file is None
        credentials.require_life(NOW, 1e6)
    with _obtain(_profile(proxy="optional"), {**environ, "X509_PROXY": PROXY}) as credentials:
        end = NOW + 12 * 3600
        assert credentials.proxy_file is not None
        assert credentials.warnings == []
        assert credentials.keep_fresh(end - 1801) == []
        assert credentials.keep_fresh(end - 1800) == ["the X.509 proxy ends in 30 min 00 s"]
        assert credentials.keep_fresh(end - 1) == []
        assert credentials.keep_fresh(end) == [
            "the X.509 proxy has expired: jobs that start now cannot read from the grid"
        ]
        assert credentials.keep_fresh(end + 3600) == []


@pytest.mark.parametrize(("voms_hours", "lives_s"), [(None, 12 * 3600), (5, 5 * 3600), (50, 12 * 3600)])
def test_life_of_a_proxy(environ: dict[str, str], voms_hours: float | None, lives_s: float) -> None:
    """A proxy that ends before a job can is refused: chain or attributes, whatever ends first."""
    value = base64.b64encode(proxy_files.proxy(voms_hours=voms_hours)).decode()

    with _obtain(_profile(proxy="required"), {**environ, "X509_PROXY": value}) as credentials:
        credentials.require_life(NOW, lives_s)
        with pytest.raises(ProxyExpiredError, match="a job may need it for") as caught:
            credentials.require_life(NOW, lives_s + 1)
        with pytest.raises(ProxyExpiredError, match="ends in 0 s"):
            credentials.require_life(NOW + 1e6, 60)

    assert "variable X509_PROXY" in caught.value.what
    assert "voms-proxy-init" in caught.value.fix


def test_ca(environ: dict[str, str], tmp_path: Path) -> None:
    """CA certificates come from a variable (text or file) before the profile's path."""
    (tmp_path / "ca.pem").write_text(CA)
    profile = _profile(ca_variable="SITE_CA", ca_file=str(tmp_path / "ca.pem"))

    with _obtain(profile, {**environ, "SITE_CA": str(tmp_path / "ca.pem")}) as credentials:
        assert credentials.ca_file is not None
        assert credentials.ca_file.name == "ca.pem"
        assert credentials.ca_file != tmp_path / "ca.pem"
    with _obtain(profile, environ) as credentials:
        assert credentials.ca_file == tmp_path / "ca.pem"
    with _obtain(_profile(ca_variable="SITE_CA"), environ) as credentials:
        assert credentials.ca_file is None
        assert "SITE_CA" in credentials.warnings[0]


def test_expired_ca(environ: dict[str, str], tmp_path: Path) -> None:
    """An expired CA is a warning with its date."""
    (tmp_path / "ca.pem").write_bytes(proxy_files.make(["CA"], hours=-0.5).pem)

    with _obtain(_profile(ca_file=str(tmp_path / "ca.pem")), environ) as credentials:
        assert credentials.warnings == [
            f"every CA certificate in {tmp_path / 'ca.pem'} has expired, the last on 22 November 2026"
        ]


@pytest.mark.parametrize("content", ["", "junk", "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"])
def test_broken_ca(environ: dict[str, str], tmp_path: Path, content: str) -> None:
    """CA certificates that cannot be read are an error, from a file or from a variable."""
    (tmp_path / "ca.pem").write_text(content)

    with pytest.raises(ProfileError, match="CA certificates cannot be read"):
        _obtain(_profile(ca_file=str(tmp_path / "ca.pem")), environ)
    with pytest.raises(ProfileError, match="SITE_CA"):
        _obtain(_profile(ca_variable="SITE_CA"), {**environ, "SITE_CA": str(tmp_path / "ca.pem")})
    with pytest.raises(ProfileError, match="No such file"):
        _obtain(_profile(ca_file=str(tmp_path / "absent.pem")), environ)
    assert _leftovers(environ) == []


@pytest.mark.parametrize("variable", ["CI_DEBUG_TRACE", "CI_DEBUG_SERVICES"])
@pytest.mark.parametrize("value", ["true", "TRUE", "1"])
def test_traced_job(environ: dict[str, str], issuer: Source, variable: str, value: str) -> None:
    """A traced CI job writes all variables into its log: nothing is obtained in it."""
    with pytest.raises(CredentialExposedError, match=f"{variable} is on") as caught:
        _obtain(_iam(), {**environ, **_CLIENT, variable: value})

    assert "replace the secrets" in caught.value.fix
    assert issuer.asked == []
    assert _leftovers(environ) == []


def test_traced_job_without_secrets(environ: dict[str, str]) -> None:
    """A cluster that wants no credential may be used in such a job, and one that wants some where it is off."""
    with _obtain(_profile(), {**environ, "CI_DEBUG_TRACE": "true"}) as credentials:
        assert credentials.warnings == []
    with _obtain(_profile(proxy="optional"), {**environ, "CI_DEBUG_TRACE": "false"}) as credentials:
        assert credentials.warnings == []


def test_refused(environ: dict[str, str], issuer: Source) -> None:
    """The first credential must be there."""
    issuer.error = TokenRefusedError("client disabled")

    with pytest.raises(TokenRefusedError, match="client disabled"):
        _obtain(_iam(), {**environ, **_CLIENT})

    assert _leftovers(environ) == []


def test_signal_on_the_way(environ: dict[str, str], issuer: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stays behind either when the CI job is cancelled while the issuer is asked."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(issuer, "fetch", interrupted)

    with pytest.raises(KeyboardInterrupt):
        _obtain(_iam(), {**environ, **_CLIENT})

    assert _leftovers(environ) == []


@pytest.mark.usefixtures("issuer")
def test_manifest(environ: dict[str, str]) -> None:
    """Beside the files lies what a command under supervision has to know of them, and no secret."""
    variables = {**environ, **_CLIENT, "X509_PROXY": PROXY, "SITE_CA": CA}
    profile = _iam(proxy="required", ca_variable="SITE_CA")

    with _obtain(profile, variables) as credentials:
        text = (credentials.folder / "credentials.json").read_text()
        secrets = ["content-token-1", _CLIENT["IAM_CLIENT_SECRET"], PROXY[100:140], "BEGIN"]
        secrets += proxy_files.proxy().decode().splitlines()
        data = json.loads(text)

    assert not [secret for secret in secrets if secret in text]
    assert data["profile"] == fingerprint_of(profile)
    assert [(entry["kind"], entry["expires_at"], entry["renewable"]) for entry in data["credentials"]] == [
        ("token", NOW + 3600, True),
        ("proxy", NOW + 12 * 3600, False),
    ]
    assert data["ca_file"].endswith("/ca.pem")


def test_manifest_of_nothing(environ: dict[str, str]) -> None:
    """A command under supervision of a cluster without credentials finds that there are none."""
    with _obtain(_profile(), environ) as credentials:
        under = obtain(_profile(), environ={SUPERVISED: str(credentials.folder)}, clock=lambda: NOW)

        assert under.held == {}


@pytest.mark.parametrize(
    "change",
    [
        {"scope": ["t"]},
        {"audience": "b"},
        {"issuer": "https://j.example.org/"},
        {"client_auth": "post"},
        {"client_id_variable": "OTHER"},
        {"storage_audience": "https://s", "storage_scope": ["storage.read:/"]},
        {"proxy": "required"},
        {"proxy_variable": "A B"},
        {"proxy_from": "file"},
        {"expect_vo": "cms"},
        {"expect_fqan": "/cms"},
        {"expect_subject": "x"},
        {"authentication": "kerberos"},
        {"ca_variable": "CA"},
        {"eos_broker": "https://e.example.org/"},
    ],
)
def test_fingerprint(change: dict[str, Any]) -> None:
    """Profiles that ask for other credentials are told apart; what does not concern credentials makes no difference."""
    base = {"credentials": "iam-client", "issuer": "https://i.example.org/", "audience": "a", "scope": ["s"]}

    assert fingerprint_of(_profile(**{**base, **change})) != fingerprint_of(_profile(**base))
    assert fingerprint_of(_profile(**base, slots=5, poll_floor="30 s")) == fingerprint_of(_profile(**base))


def test_supervised(environ: dict[str, str], issuer: Source) -> None:
    """A command under supervision asks nobody, needs no variable, and leaves the files as they are."""
    with _obtain(_iam(), {**environ, **_CLIENT}) as credentials:
        with obtain(_iam(), environ={SUPERVISED: str(credentials.folder)}, clock=lambda: NOW) as under:
            assert under.token_file == credentials.token_file
            assert under.identity == credentials.identity
        assert issuer.given == 1
        assert credentials.token_file is not None
        assert credentials.token_file.exists()


def test_error_is_of_septum(environ: dict[str, str]) -> None:
    """Whatever the profile asks for, what is missing is an error with a code, not a crash."""
    profile = _profile(proxy="required", proxy_from="file")

    with pytest.raises(SeptumError) as caught:
        _obtain(profile, {**environ, "X509_USER_PROXY": str(Path(environ["XDG_RUNTIME_DIR"]))})

    assert caught.value.code == CredentialMissingError.code
    assert _leftovers(environ) == []
