"""The one object with all credentials: what it asks for, how it stays fresh."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import proxy_files  # type: ignore[import-not-found]
import pytest

from septum.clusters.profile import Profile
from septum.credentials import Credentials, obtain, provider, secret_variables
from septum.credentials.secret import Secret
from septum.credentials.token import Token
from septum.errors import (
    CredentialMissingError,
    IssuerUnavailableError,
    ProfileError,
    ProxyExpiredError,
    SeptumError,
    TokenRefusedError,
)

NOW: float = proxy_files.NOW.timestamp()
PROXY = base64.b64encode(proxy_files.proxy()).decode()
CA: str = proxy_files.authority().pem.decode()


@dataclass
class _Issuer:
    """Gives a numbered token for an hour, or the error that is set."""

    error: SeptumError | None = None
    count: int = 0
    asked: list[float] = field(default_factory=list)
    identity: str = "client x at iam.example.org"

    def fetch(self, now: float) -> Token:
        self.asked.append(now)
        if self.error is not None:
            raise self.error
        self.count += 1
        return Token(
            value=Secret(f"token-{self.count}"),
            expires_at=now + 3600,
            subject="x",
            scopes=frozenset(),
            warnings=("narrow",),
        )


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables of a CI job whose runtime folder is ours."""
    (tmp_path / "run").mkdir()
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> _Issuer:
    """Takes the place of the IAM provider."""
    made = _Issuer()
    monkeypatch.setitem(provider._PROVIDERS, "iam-client", lambda *_: made)
    return made


def _profile(**changes: Any) -> Profile:
    return Profile(name="x", method="htcondor", **changes)


def _iam(**changes: Any) -> Profile:
    return _profile(credentials="iam-client", issuer="https://i.example.org/", audience="a", scope=["s"], **changes)


def _obtain(profile: Profile, environ: dict[str, str], need_s: float = 0) -> Credentials:
    return obtain(profile, environ=environ, clock=lambda: NOW, need_s=need_s)


_CLIENT = {"IAM_CLIENT_ID": "x", "IAM_CLIENT_SECRET": "y"}


def _leftovers(environ: dict[str, str]) -> list[str]:
    return [path.name for path in Path(environ["XDG_RUNTIME_DIR"]).iterdir()]


def test_nothing(environ: dict[str, str]) -> None:
    """A cluster without credentials gets none."""
    with _obtain(_profile(), {**environ, "X509_PROXY": PROXY}) as credentials:
        assert (credentials.token_file, credentials.proxy_file, credentials.ca_file) == (None, None, None)
        assert credentials.warnings == []
        assert credentials.identity == "no token"
        assert credentials.keep_fresh(NOW + 1e6) == []


@pytest.mark.usefixtures("issuer")
def test_everything(environ: dict[str, str]) -> None:
    """Token, proxy and CA become private files, which are gone at the end."""
    variables = {**environ, **_CLIENT, "X509_PROXY": PROXY, "SITE_CA": CA}

    with _obtain(_iam(proxy="required", ca_variable="SITE_CA"), variables) as credentials:
        assert credentials.token_file is not None
        assert credentials.proxy_file is not None
        assert credentials.ca_file is not None
        assert credentials.token_file.read_text() == "token-1"
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
    """An optional proxy is used when its variable is set, and checked against the need."""
    with _obtain(_profile(proxy="optional"), environ) as credentials:
        assert credentials.proxy_file is None
    with _obtain(_profile(proxy="optional"), {**environ, "X509_PROXY": PROXY}, need_s=1e6) as credentials:
        assert credentials.proxy_file is not None
        assert "the run may need" in credentials.warnings[0]
        assert credentials.keep_fresh(NOW + 12 * 3600 - 1) == []
        assert "has expired" in credentials.keep_fresh(NOW + 12 * 3600)[0]
        assert credentials.keep_fresh(NOW + 13 * 3600) == []


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


def test_debug_trace(environ: dict[str, str]) -> None:
    """A traced CI job has already shown its secrets; say so."""
    with _obtain(_profile(), {**environ, "CI_DEBUG_TRACE": "true"}) as credentials:
        assert "CI_DEBUG_TRACE" in credentials.warnings[0]


def test_renewed_at_half_life(environ: dict[str, str], issuer: _Issuer) -> None:
    """The token is renewed below half of its life, in place, and not before."""
    with _obtain(_iam(), {**environ, **_CLIENT}) as credentials:
        assert credentials.token_file is not None
        path = credentials.token_file

        assert credentials.keep_fresh(NOW + 1800) == []
        assert path.read_text() == "token-1"
        assert credentials.keep_fresh(NOW + 1801) == []
        assert path.read_text() == "token-2"
        assert credentials.token_file == path
        assert credentials.keep_fresh(NOW + 3600) == []
        assert issuer.count == 2


@pytest.mark.parametrize("error", [IssuerUnavailableError("away"), TokenRefusedError("client disabled")])
def test_issuer_away(environ: dict[str, str], issuer: _Issuer, error: SeptumError) -> None:
    """While the old token lives, an issuer that fails is a warning now and then; after that it is an error."""
    with _obtain(_iam(), {**environ, **_CLIENT}) as credentials:
        assert credentials.token_file is not None
        issuer.error = error
        warnings = [w for second in range(1800, 3600, 10) for w in credentials.keep_fresh(NOW + second)]

        assert 5 < len(warnings) < 30
        assert all("no new token yet" in w for w in warnings)
        assert credentials.token_file.read_text() == "token-1"
        with pytest.raises(type(error)):
            credentials.keep_fresh(NOW + 3600)
        issuer.error = None
        assert credentials.keep_fresh(NOW + 3601) == []
        assert credentials.token_file.read_text() == "token-2"


def test_secret_variables() -> None:
    """The names of everything that a user's script must not see."""
    profile = _iam(client_id_variable="A", client_secret_variable="B", proxy_variable="C")

    assert secret_variables(profile) == ["A", "B", "C"]
    assert secret_variables(_profile()) == ["IAM_CLIENT_ID", "IAM_CLIENT_SECRET", "X509_PROXY"]
