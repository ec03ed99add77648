"""From a profile to its providers: each way to each credential, and the variables that it cannot do without."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import proxy_files  # type: ignore[import-not-found]
import pytest
from token_files import make_token  # type: ignore[import-not-found]

from septum.clusters.profile import Profile
from septum.components.model import NO_BROKER
from septum.credentials.broker import BrokerEosToken, BrokerProxy, BrokerToken
from septum.credentials.choose import (
    make_known,
    providers,
    require_variables,
    secret_variables,
    uses_secrets,
    without_unused,
)
from septum.credentials.discovery import FoundToken
from septum.credentials.iam import IamClient
from septum.credentials.kerberos import KerberosTicket
from septum.credentials.opaque import AccessToken
from septum.credentials.provider import Kind
from septum.credentials.proxy import Expected, ProxyFile, ProxyVariable
from septum.credentials.redact import KNOWN
from septum.errors import CredentialMissingError

IAM: dict[str, Any] = {
    "credentials": "iam-client",
    "issuer": "https://iam.example.org/",
    "audience": "condor://s",
    "scope": ["wlcg", "compute.read"],
}
BROKER = {**IAM, "credentials": "broker", "token_broker": "https://broker.example.org/t"}
FOUND = {**IAM, "credentials": "bearer-token"}
STORAGE = {"storage_audience": "https://xrootd.example.org", "storage_scope": ["storage.read:/"]}
PROXY_BROKER = {"proxy_from": "broker", "proxy_broker": "https://cat.example.org/p"}
EOS = {"eos_broker": "https://cat.example.org/e", "eos_path": "/eos/cms"}
KERBEROS = {"authentication": "kerberos"}
REANA: dict[str, Any] = {
    "method": "reana",
    "reana_server": "https://reana.example.org",
    "credentials": "access-token",
}
REANA_BROKER = {**REANA, "credentials": "broker", "token_broker": "https://broker.example.org/t", "audience": "reana"}

CLIENT = {"IAM_CLIENT_ID": "robot", "IAM_CLIENT_SECRET": "client-secret-1"}
ID_TOKEN = {"SEPTUM_ID_TOKEN": "id-token-of-the-broker"}
PROXY_ID_TOKEN = {"SEPTUM_PROXY_ID_TOKEN": "id-token-of-the-proxy"}
EOS_ID_TOKEN = {"SEPTUM_EOS_ID_TOKEN": "id-token-of-eos"}
X509 = {"X509_PROXY": base64.b64encode(proxy_files.proxy()).decode()}
REANA_TOKEN = {"REANA_ACCESS_TOKEN": "Opaque0Token1Of2Reana"}
PRINCIPAL = {"KRB5_PRINCIPAL": "analyst@EXAMPLE.ORG"}
PASSWORD = {"KRB5_PASSWORD": "kerberos-password"}
KEYTAB = {"KRB5_KEYTAB": "BQIAAAA="}


def _profile(**changes: Any) -> Profile:
    return Profile(**{"name": "site", "method": "htcondor", **changes})


def _providers(profile: Profile, environ: dict[str, str]) -> list[Any]:
    require_variables(profile, environ)
    return list(providers(profile, environ, ca_file=Path("/ca.pem"), folder=Path("/private"), sleep=lambda _: None))


@pytest.mark.parametrize(
    ("changes", "environ", "expected"),
    [
        ({}, {}, []),
        ({}, {**CLIENT, **X509, **PRINCIPAL, **PASSWORD, **ID_TOKEN}, []),
        (IAM, CLIENT, [(IamClient, Kind.TOKEN)]),
        ({**IAM, **STORAGE}, CLIENT, [(IamClient, Kind.TOKEN), (IamClient, Kind.STORAGE_TOKEN)]),
        (BROKER, ID_TOKEN, [(BrokerToken, Kind.TOKEN)]),
        ({**BROKER, **STORAGE}, ID_TOKEN, [(BrokerToken, Kind.TOKEN), (BrokerToken, Kind.STORAGE_TOKEN)]),
        (FOUND, {}, [(FoundToken, Kind.TOKEN)]),
        ({**FOUND, **STORAGE}, {}, [(FoundToken, Kind.TOKEN), (FoundToken, Kind.STORAGE_TOKEN)]),
        ({"proxy": "optional"}, {}, []),
        ({"proxy": "optional"}, {"X509_PROXY": " \n"}, []),
        ({"proxy": "optional"}, X509, [(ProxyVariable, Kind.PROXY)]),
        ({"proxy": "required"}, X509, [(ProxyVariable, Kind.PROXY)]),
        ({"proxy": "optional", "proxy_variable": "A B"}, {"B": "x"}, [(ProxyVariable, Kind.PROXY)]),
        ({"proxy": "optional", **PROXY_BROKER}, {}, []),
        ({"proxy": "optional", **PROXY_BROKER}, X509, []),
        ({"proxy": "optional", **PROXY_BROKER}, PROXY_ID_TOKEN, [(BrokerProxy, Kind.PROXY)]),
        ({"proxy": "required", **PROXY_BROKER}, PROXY_ID_TOKEN, [(BrokerProxy, Kind.PROXY)]),
        ({"proxy": "no", **PROXY_BROKER}, PROXY_ID_TOKEN, []),
        ({"proxy": "optional", "proxy_from": "file"}, {"X509_USER_PROXY": "/nonexistent"}, [(ProxyFile, Kind.PROXY)]),
        ({"proxy": "required", "proxy_from": "file"}, {}, [(ProxyFile, Kind.PROXY)]),
        (EOS, EOS_ID_TOKEN, [(BrokerEosToken, Kind.EOS_TOKEN)]),
        (KERBEROS, {**PRINCIPAL, **PASSWORD}, [(KerberosTicket, Kind.TICKET)]),
        (KERBEROS, {**PRINCIPAL, **KEYTAB}, [(KerberosTicket, Kind.TICKET)]),
        (REANA, REANA_TOKEN, [(AccessToken, Kind.TOKEN)]),
        (
            {**REANA, "proxy": "optional"},
            {**REANA_TOKEN, **X509},
            [(AccessToken, Kind.TOKEN), (ProxyVariable, Kind.PROXY)],
        ),
        (REANA_BROKER, ID_TOKEN, [(BrokerToken, Kind.TOKEN)]),
        (
            {**IAM, **STORAGE, "proxy": "required", **EOS, **KERBEROS},
            {**CLIENT, **X509, **EOS_ID_TOKEN, **PRINCIPAL, **KEYTAB, **PASSWORD},
            [
                (IamClient, Kind.TOKEN),
                (IamClient, Kind.STORAGE_TOKEN),
                (ProxyVariable, Kind.PROXY),
                (BrokerEosToken, Kind.EOS_TOKEN),
                (KerberosTicket, Kind.TICKET),
            ],
        ),
    ],
)
def test_providers(changes: dict[str, Any], environ: dict[str, str], expected: list[tuple[type, Kind]]) -> None:
    """Each combination of a profile has its providers, and no more."""
    found = _providers(_profile(**changes), environ)

    assert [(type(provider), provider.kind) for provider in found] == expected


def test_optional_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An optional proxy at the usual place is taken if there is one."""
    monkeypatch.setattr("septum.credentials.proxy.usual_path", lambda _: tmp_path / "x509up")
    profile = _profile(proxy="optional", proxy_from="file")

    assert _providers(profile, {}) == []
    (tmp_path / "x509up").touch()
    (provider,) = _providers(profile, {})
    assert provider.path == tmp_path / "x509up"


@pytest.mark.parametrize(
    ("changes", "environ", "missing"),
    [
        (IAM, {}, ["IAM_CLIENT_ID", "IAM_CLIENT_SECRET"]),
        (IAM, {"IAM_CLIENT_ID": "x", "IAM_CLIENT_SECRET": " \n"}, ["IAM_CLIENT_SECRET"]),
        ({**IAM, "client_id_variable": "A", "client_secret_variable": "B"}, CLIENT, ["A", "B"]),
        (BROKER, CLIENT, ["SEPTUM_ID_TOKEN"]),
        ({"proxy": "required"}, {}, ["X509_PROXY"]),
        ({"proxy": "required", "proxy_variable": "P_1 P_2"}, {"P_1": "x"}, ["P_2"]),
        ({"proxy": "required", **PROXY_BROKER}, X509, ["SEPTUM_PROXY_ID_TOKEN"]),
        (EOS, ID_TOKEN, ["SEPTUM_EOS_ID_TOKEN"]),
        (KERBEROS, {}, ["KRB5_PRINCIPAL", "KRB5_KEYTAB"]),
        (KERBEROS, PASSWORD, ["KRB5_PRINCIPAL"]),
        (KERBEROS, {**PRINCIPAL, "KRB5_PASSWORD": " "}, ["KRB5_KEYTAB"]),
        (
            {**IAM, "proxy": "required", **EOS, **KERBEROS},
            {},
            ["IAM_CLIENT_ID", "IAM_CLIENT_SECRET", "X509_PROXY", *EOS_ID_TOKEN, "KRB5_PRINCIPAL", "KRB5_KEYTAB"],
        ),
    ],
)
def test_missing(changes: dict[str, Any], environ: dict[str, str], missing: list[str]) -> None:
    """All variables that are missing are named at once, each with what it is for."""
    with pytest.raises(CredentialMissingError, match="of the cluster 'site'") as caught:
        _providers(_profile(**changes), environ)

    assert ", ".join(missing) in caught.value.what
    assert [line.partition(":")[0] for line in caught.value.evidence.splitlines()] == missing
    assert all(line.partition(": ")[2] for line in caught.value.evidence.splitlines())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (IAM, "Settings > CI/CD > Variables"),
        (IAM, "protected variables are absent on unprotected branches"),
        (BROKER, "inputs for the audiences"),
        ({**BROKER, "proxy": "required"}, "Settings > CI/CD > Variables"),
        ({"proxy": "required", **PROXY_BROKER}, "inputs for the audiences"),
    ],
)
def test_fix_of_missing(changes: dict[str, Any], words: str) -> None:
    """GitLab's own tokens are made by the component; for all others there is a page, and a usual reason."""
    with pytest.raises(CredentialMissingError) as caught:
        require_variables(_profile(**changes), {})

    assert words in caught.value.fix


def test_missing_private_key() -> None:
    """With a client that signs, what is missing is called a key."""
    with pytest.raises(CredentialMissingError) as caught:
        require_variables(_profile(**IAM, client_auth="private-key-jwt"), {"IAM_CLIENT_ID": "x"})

    assert caught.value.evidence == "IAM_CLIENT_SECRET: the private key of the IAM client"


def test_what_a_client_gets() -> None:
    """All that the profile says of the token reaches the IAM client; both kinds have their own audience and scope."""
    profile = _profile(**IAM, **STORAGE, client_auth="post", expect_subject="robot-1")

    token, storage = _providers(profile, CLIENT)

    assert (token.issuer, token.client_id, token.client_auth, token.subject) == (
        "https://iam.example.org/",
        "robot",
        "post",
        "robot-1",
    )
    assert token.client_secret.reveal() == "client-secret-1"
    assert (token.audience, token.scopes) == ("condor://s", ["wlcg", "compute.read"])
    assert (storage.audience, storage.scopes) == ("https://xrootd.example.org", ["storage.read:/"])
    assert (storage.client_auth, storage.subject) == ("post", "robot-1")
    assert token.https.ca_file == Path("/ca.pem")


def test_what_brokers_get() -> None:
    """Each broker gets its own `id_token`, its own kind and address."""
    profile = _profile(
        **BROKER,
        token_broker_kind="bearer",
        proxy="required",
        **PROXY_BROKER,
        **EOS,
        expect_vo="cms",
        expect_fqan="/cms",
    )

    token, proxy, eos = _providers(profile, {**ID_TOKEN, **PROXY_ID_TOKEN, **EOS_ID_TOKEN})

    assert [(p.broker.shape, p.broker.url, p.broker.id_token.reveal()) for p in (token, proxy, eos)] == [
        ("bearer", "https://broker.example.org/t", ID_TOKEN["SEPTUM_ID_TOKEN"]),
        ("cat", "https://cat.example.org/p", PROXY_ID_TOKEN["SEPTUM_PROXY_ID_TOKEN"]),
        ("cat", "https://cat.example.org/e", EOS_ID_TOKEN["SEPTUM_EOS_ID_TOKEN"]),
    ]
    assert [p.broker.id_token_variable for p in (token, proxy, eos)] == [*ID_TOKEN, *PROXY_ID_TOKEN, *EOS_ID_TOKEN]
    assert proxy.expected == Expected(vo="cms", fqan="/cms")
    assert (eos.path, token.issuer) == ("/eos/cms", "https://iam.example.org/")
    assert _profile(**BROKER).token_broker_kind == "exchange"


def test_what_kerberos_gets() -> None:
    """The keytab comes before the password, of which nothing is read then."""
    (both,) = _providers(_profile(**KERBEROS), {**PRINCIPAL, **KEYTAB, **PASSWORD})
    (password,) = _providers(_profile(**KERBEROS), {**PRINCIPAL, **PASSWORD})

    assert (both.principal, both.keytab.reveal(), both.password.reveal()) == ("analyst@EXAMPLE.ORG", "BQIAAAA=", "")
    assert (password.keytab.reveal(), password.password.reveal()) == ("", "kerberos-password")
    assert both.folder == Path("/private")


def test_file_variables(tmp_path: Path) -> None:
    """Ids and secrets may come as files, as GitLab and Vault write them."""
    for name, text in (("id", "robot\n"), ("secret", "from-a-file\n")):
        (tmp_path / name).write_text(text)

    (client,) = _providers(
        _profile(**IAM), {"IAM_CLIENT_ID": str(tmp_path / "id"), "IAM_CLIENT_SECRET": str(tmp_path / "secret")}
    )

    assert (client.client_id, client.client_secret.reveal()) == ("robot", "from-a-file")


def test_no_secret_in_reprs() -> None:
    """A provider can be printed."""
    profile = _profile(**IAM, proxy="required", **EOS, **KERBEROS)
    environ = {**CLIENT, **X509, **EOS_ID_TOKEN, **PRINCIPAL, **KEYTAB}

    text = repr(_providers(profile, environ))

    secrets = [CLIENT["IAM_CLIENT_SECRET"], X509["X509_PROXY"][:30], *EOS_ID_TOKEN.values(), *KEYTAB.values()]
    assert not [secret for secret in secrets if secret in text]


def test_secret_variables() -> None:
    """A user's script is told of none of the variables that the profile names, used or not."""
    fields = [name for name in Profile.model_fields if name.endswith("_variable") and name != "ca_variable"]
    named = _profile(**{field: f"V_{number}" for number, field in enumerate(fields)})

    assert len(fields) == 10
    assert sorted(secret_variables(named)) == sorted(f"V_{number}" for number in range(10))
    assert secret_variables(_profile(proxy_variable="P_1 P_2"))[3:5] == ["P_1", "P_2"]
    assert secret_variables(_profile(client_id_variable="X", client_secret_variable="X"))[:2] == [
        "X",
        "REANA_ACCESS_TOKEN",
    ]


@pytest.mark.parametrize(
    ("changes", "uses"),
    [
        ({}, False),
        ({"ca_variable": "CA"}, False),
        (IAM, True),
        (FOUND, True),
        ({"proxy": "optional"}, True),
        (KERBEROS, True),
        (EOS, True),
    ],
)
def test_uses_secrets(changes: dict[str, Any], uses: bool) -> None:  # noqa: FBT001
    """Whether there is anything that a traced CI job could show."""
    assert uses_secrets(_profile(**changes)) is uses


@pytest.mark.parametrize(
    ("token", "kept"),
    [
        (make_token(aud=NO_BROKER), False),
        (make_token(aud="https://cat.example.org"), True),
        (make_token(aud=[NO_BROKER]), True),
        (make_token(aud=None), True),
        ("", True),
        ("a.b.c", True),
        ("a." + base64.urlsafe_b64encode(json.dumps([NO_BROKER]).encode()).decode() + ".c", True),
        (NO_BROKER, True),
    ],
)
def test_tokens_for_nobody(token: str, kept: bool) -> None:  # noqa: FBT001
    """A token that the component had to declare, and that is for no broker, is as good as not set."""
    environ = {"SEPTUM_PROXY_ID_TOKEN": token, "OTHER": make_token(aud=NO_BROKER)}

    found = without_unused(_profile(proxy="optional", **PROXY_BROKER), environ)

    assert found == (environ if kept else {"OTHER": environ["OTHER"]})


def test_known() -> None:
    """All secrets of the environment are hidden from the first moment on, and no name of a client."""
    profile = _profile(client_id_variable="ID", client_secret_variable="S", proxy_variable="P_1 P_2")
    environ = {
        "ID": "a-public-robot",
        "S": " hidden-secret-1 ",
        "P_2": "hidden-proxy-2",
        "KRB5_PASSWORD": "hidden-pass-3",
    }

    make_known(profile, environ)

    assert KNOWN.text("a-public-robot hidden-secret-1 hidden-proxy-2 hidden-pass-3") == "a-public-robot *** *** ***"


def test_secrets_in_files_are_known_too(tmp_path: Path) -> None:
    """Variables of type file, and what `secrets:` brings: the redactor and the scanner know the content."""
    (tmp_path / "secret").write_text("correct-horse-battery-4711\n")
    profile = Profile(name="x", method="local")

    make_known(profile, {"IAM_CLIENT_SECRET": str(tmp_path / "secret"), "KRB5_PASSWORD": "/nowhere/at/all-9"})

    assert KNOWN.text("a correct-horse-battery-4711 b") == "a *** b"
