"""From a profile to its providers: which credentials a cluster wants, and where each comes from.

The one place that reads secrets from the environment.
"""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING

from septum.components.model import NO_BROKER
from septum.credentials.secret import Secret
from septum.credentials.variables import read_text, read_variable
from septum.errors import CredentialMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from septum.clusters.profile import Profile
    from septum.credentials.broker import Broker, BrokerKind
    from septum.credentials.https import Https
    from septum.credentials.iam import ClientAuth
    from septum.credentials.provider import Kind, Provider
    from septum.credentials.proxy import Expected


def secret_variables(profile: Profile) -> list[str]:
    """The variables that must be unset before a user's script runs.

    Returns:
        Names, each once. All that the profile names, also those that this cluster does not use.
    """
    names = [
        profile.client_id_variable,
        profile.client_secret_variable,
        profile.access_token_variable,
        *profile.proxy_variable.split(),
        profile.id_token_variable,
        profile.proxy_id_token_variable,
        profile.eos_id_token_variable,
        profile.principal_variable,
        profile.keytab_variable,
        profile.password_variable,
    ]
    return list(dict.fromkeys(names))


def without_unused(profile: Profile, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without those of GitLab's tokens that the component makes for no broker.

    GitLab makes every token that a CI job declares; one for nobody is as good as none.
    """
    names = (profile.id_token_variable, profile.proxy_id_token_variable, profile.eos_id_token_variable)
    unused = {name for name in names if _audience(environ.get(name, "")) == NO_BROKER}
    return {name: value for name, value in environ.items() if name not in unused}


def _audience(token: str) -> object:
    try:
        claims = token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["aud"]
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def uses_secrets(profile: Profile) -> bool:
    """Whether a profile asks for any credential at all."""
    return (
        profile.credentials != "none"
        or profile.proxy != "no"
        or profile.authentication == "kerberos"
        or bool(profile.eos_broker)
    )


def make_known(profile: Profile, environ: Mapping[str, str]) -> None:
    """Let the redactor and the linter know the secrets in our environment, before anything else is done with them."""
    for name in (
        profile.client_secret_variable,
        profile.access_token_variable,
        *profile.proxy_variable.split(),
        profile.id_token_variable,
        profile.proxy_id_token_variable,
        profile.eos_id_token_variable,
        profile.keytab_variable,
        profile.password_variable,
    ):
        with contextlib.suppress(CredentialMissingError):  # whoever needs it will say so
            read_variable(environ, name)


def require_variables(profile: Profile, environ: Mapping[str, str]) -> None:
    """See that all variables are set that the profile cannot do without.

    Raises:
        CredentialMissingError: Some are not; names all of them.
    """
    missing = [(name, what) for name, what in needed_variables(profile, environ) if not _plain(environ, name)]
    if not missing:
        return
    names = ", ".join(name for name, _ in missing)
    noun, verb = ("variable", "is") if len(missing) == 1 else ("variables", "are")
    brokered = all(what.startswith("GitLab's") for _, what in missing)
    raise CredentialMissingError(
        f"the {noun} {names} of the cluster {profile.name!r} {verb} not set",
        evidence="\n".join(f"{name}: {what}" for name, what in missing),
        fix="Set the component's inputs for the audiences of the brokers; GitLab then makes the tokens."
        if brokered
        else f"Add {names} in Settings > CI/CD > Variables of the project, masked and hidden.\n"
        "If it is there: protected variables are absent on unprotected branches; so protect this branch or tag.",
    )


def needed_variables(profile: Profile, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables that a profile cannot do without, each with what it holds."""
    if profile.credentials == "iam-client":
        yield profile.client_id_variable, "the id of the IAM client"
        yield profile.client_secret_variable, _secret_of(profile)
    if profile.credentials == "broker":
        yield profile.id_token_variable, "GitLab's id_token for the broker of the token"
    if profile.credentials == "access-token":
        yield profile.access_token_variable, "the access token of REANA"
    if profile.proxy == "required" and profile.proxy_from == "variable":
        for name in profile.proxy_variable.split():
            yield name, "the X.509 proxy"
    if profile.proxy == "required" and profile.proxy_from == "broker":
        yield profile.proxy_id_token_variable, "GitLab's id_token for the broker of the proxy"
    if profile.eos_broker:
        yield profile.eos_id_token_variable, "GitLab's id_token for the service of EOS"
    if profile.authentication == "kerberos":
        yield profile.principal_variable, "the Kerberos principal, name@REALM"
        if not environ.get(profile.password_variable, "").strip():
            yield profile.keytab_variable, f"its keytab in base64; or {profile.password_variable}: its password"


def _secret_of(profile: Profile) -> str:
    return (
        "the private key of the IAM client"
        if profile.client_auth == "private-key-jwt"
        else ("the secret of the IAM client")
    )


def providers(
    profile: Profile,
    environ: Mapping[str, str],
    *,
    ca_file: Path | None,
    folder: Path,
    sleep: Callable[[float], None],
    attempts: int = 4,
) -> list[Provider]:
    """The providers of all credentials that a profile asks for, and that can be had.

    Args:
        profile: A complete profile, whose variables are set.
        environ: The environment.
        ca_file: CA certificates that are trusted beside the system's.
        folder: A private folder for what a provider has to write.
        sleep: Waits between attempts.
        attempts: How often a service is asked before one call counts as failed.

    Raises:
        SeptumError: A variable cannot be read.
    """
    from septum.credentials.https import Https

    https = Https(ca_file=ca_file, attempts=attempts, sleep=sleep)
    found = [*_tokens(profile, environ, https), *_proxy(profile, environ, https), *_eos(profile, environ, https)]
    if profile.authentication == "kerberos":
        from septum.credentials.kerberos import KerberosTicket

        keytab = read_variable(environ, profile.keytab_variable)
        found.append(
            KerberosTicket(
                principal=_plain(environ, profile.principal_variable),
                keytab=keytab,
                password=Secret("") if keytab else read_variable(environ, profile.password_variable),
                environ=environ,
                folder=folder,
            )
        )
    return found


def _plain(environ: Mapping[str, str], name: str) -> str:
    """A variable that is no secret: it may be printed."""
    return read_text(environ.get(name, ""), name)


def _tokens(profile: Profile, environ: Mapping[str, str], https: Https) -> Iterator[Provider]:
    from septum.credentials.provider import Kind

    if profile.credentials == "access-token":
        from septum.credentials.opaque import AccessToken

        name = profile.access_token_variable
        yield AccessToken(value=read_variable(environ, name), variable=name, server=profile.access_point)
        return
    maker = {"iam-client": _iam, "broker": _token_broker, "bearer-token": _found}.get(profile.credentials)
    if maker is None:
        return
    yield maker(profile, environ, https, Kind.TOKEN, profile.audience, list(profile.scope))
    if profile.storage_audience:
        yield maker(profile, environ, https, Kind.STORAGE_TOKEN, profile.storage_audience, list(profile.storage_scope))


def _iam(
    profile: Profile, environ: Mapping[str, str], https: Https, kind: Kind, audience: str, scopes: list[str]
) -> Provider:
    from septum.credentials.iam import IamClient

    method: ClientAuth = profile.client_auth
    return IamClient(
        kind=kind,
        issuer=profile.issuer,
        client_id=_plain(environ, profile.client_id_variable),
        client_secret=read_variable(environ, profile.client_secret_variable),
        client_auth=method,
        audience=audience,
        scopes=scopes,
        subject=profile.expect_subject,
        https=https,
    )


def _token_broker(
    profile: Profile, environ: Mapping[str, str], https: Https, kind: Kind, audience: str, scopes: list[str]
) -> Provider:
    from septum.credentials.broker import BrokerToken

    return BrokerToken(
        kind=kind,
        broker=_broker(environ, https, profile.token_broker_kind, profile.token_broker, profile.id_token_variable),
        issuer=profile.issuer,
        audience=audience,
        scopes=scopes,
        subject=profile.expect_subject,
        wlcg=profile.method != "reana",
    )


def _found(
    profile: Profile, environ: Mapping[str, str], https: Https, kind: Kind, audience: str, scopes: list[str]
) -> Provider:
    from septum.credentials.discovery import FoundToken

    del https
    return FoundToken(
        kind=kind,
        environ=environ,
        issuer=profile.issuer,
        audience=audience,
        scopes=scopes,
        subject=profile.expect_subject,
    )


def _proxy(profile: Profile, environ: Mapping[str, str], https: Https) -> Iterator[Provider]:
    if profile.proxy == "no":
        return
    from septum.credentials.broker import BrokerProxy
    from septum.credentials.proxy import Expected, ProxyFile, ProxyVariable, usual_path

    expected: Expected = Expected(vo=profile.expect_vo, fqan=profile.expect_fqan)
    optional = profile.proxy == "optional"
    if profile.proxy_from == "variable":
        names = tuple(profile.proxy_variable.split())
        # Some of several that are missing are a mistake, which reading them shows.
        if not optional or any(environ.get(name, "").strip() for name in names):
            yield ProxyVariable(environ=environ, names=names, expected=expected)
    elif profile.proxy_from == "file":
        path = usual_path(environ)
        if not optional or path.exists() or environ.get("X509_USER_PROXY"):
            yield ProxyFile(path=path, expected=expected)
    elif not optional or environ.get(profile.proxy_id_token_variable, "").strip():
        variable = profile.proxy_id_token_variable
        broker = _broker(environ, https, profile.proxy_broker_kind, profile.proxy_broker, variable)
        yield BrokerProxy(broker=broker, expected=expected)


def _eos(profile: Profile, environ: Mapping[str, str], https: Https) -> Iterator[Provider]:
    if not profile.eos_broker:
        return
    from septum.credentials.broker import BrokerEosToken

    broker = _broker(environ, https, "cat", profile.eos_broker, profile.eos_id_token_variable)
    yield BrokerEosToken(broker=broker, path=profile.eos_path)


def _broker(environ: Mapping[str, str], https: Https, shape: BrokerKind, url: str, variable: str) -> Broker:
    from septum.credentials.broker import Broker

    return Broker(
        shape=shape, url=url, id_token=read_variable(environ, variable), id_token_variable=variable, https=https
    )
