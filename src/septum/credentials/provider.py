"""Where credentials come from, and the one object that the rest of septum sees.

A new way to a token is one more `Provider` and one more line in `_PROVIDERS`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from septum.credentials.secret import Secret
from septum.credentials.store import Store
from septum.errors import CredentialMissingError, IssuerUnavailableError, ProfileError, SeptumError
from septum.units import show_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from septum.clusters.profile import Profile
    from septum.credentials.token import Token

_RENEW_BELOW = 0.5
_PAUSE_S = (15.0, 300.0)

_Maker: TypeAlias = "Callable[[Profile, Mapping[str, str], Path | None, Callable[[float], None]], Provider | None]"


class Provider(Protocol):
    """A way to a token."""

    @property
    def identity(self) -> str:
        """Who the token speaks for, short and without personal data."""

    def fetch(self, now: float) -> Token:
        """Obtain a new token, or raise a `SeptumError`."""


class Credentials:
    """What a run is let in with: files that exist as long as this object is open.

    `token_file`, `proxy_file` and `ca_file` are paths or None. `warnings` is to be shown once, at the start.
    """

    def __init__(
        self, store: Store, *, provider: Provider | None = None, token: Token | None = None, now: float = 0
    ) -> None:
        self._store = store
        self._provider = provider
        self._next_try = 0.0
        self._proxy_ends: float | None = None
        self.token_file: Path | None = None
        self.proxy_file: Path | None = None
        self.ca_file: Path | None = None
        self.warnings: list[str] = []
        self.identity = provider.identity if provider is not None else "no token"
        if token is not None:
            self._take(token, now)
            self.warnings += token.warnings

    def keep_fresh(self, now: float) -> list[str]:
        """Renew the token when less than half of its life is left. To be called often; most calls do nothing.

        Args:
            now: Seconds since 1970.

        Returns:
            Warnings: the issuer did not give a new token yet, or the proxy has ended.

        Raises:
            SeptumError: There is no new token, and the old one has expired.
        """
        return [*self._renew(now), *self._watch_proxy(now)]

    def close(self) -> None:
        """Delete the files."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, token: Token, now: float) -> None:
        # No line end: HTCondor and XRootD take the file as it is.
        self.token_file = self._store.write("token", token.value.reveal().encode())
        self._expires_at, self._life_s = token.expires_at, token.expires_at - now

    def _renew(self, now: float) -> list[str]:
        if self._provider is None:
            return []
        left_s = self._expires_at - now
        if left_s >= _RENEW_BELOW * self._life_s or (now < self._next_try and left_s > 0):
            return []
        try:
            token = self._provider.fetch(now)
        except SeptumError as err:
            if left_s <= 0:
                raise
            # Not at every look at the queue, but more often towards the end.
            self._next_try = now + min(max(left_s / 8, _PAUSE_S[0]), _PAUSE_S[1])
            reason = "the issuer does not answer" if isinstance(err, IssuerUnavailableError) else err.what
            return [f"no new token yet ({reason}); the old one lives for {show_duration(left_s)}"]
        self._take(token, now)
        return []

    def _watch_proxy(self, now: float) -> list[str]:
        if self._proxy_ends is None or now < self._proxy_ends:
            return []
        self._proxy_ends = None
        return ["the X.509 proxy has expired: jobs that start now cannot read from the grid"]


def obtain(
    profile: Profile,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.time,
    need_s: float = 0,
    sleep: Callable[[float], None] = time.sleep,
) -> Credentials:
    """Get everything that a profile asks for, and check it.

    Args:
        profile: A complete profile.
        environ: The CI variables.
        clock: Seconds since 1970.
        need_s: How long a proxy must live.
        sleep: Waits between attempts.

    Returns:
        Open credentials, to be used in a `with` statement.

    Raises:
        CredentialMissingError: Variables that the profile names are not set; all of them are listed.
        SeptumError: Any other of the codes E1xx, or E751 if the issuer does not answer.
    """
    _require_variables(profile, environ)
    store = Store.create(environ)
    try:
        now = clock()
        ca_file, warnings = _ca_file(profile, environ, store, now)
        provider = _PROVIDERS[profile.credentials](profile, environ, ca_file, sleep)
        token = provider.fetch(now) if provider is not None else None
        credentials = Credentials(store, provider=provider, token=token, now=now)
        credentials.ca_file = ca_file
        credentials.warnings = [*_debug_warning(environ), *warnings, *credentials.warnings]
        _add_proxy(credentials, store, profile, environ, now=now, need_s=need_s)
    except BaseException:
        store.close()
        raise
    return credentials


def secret_variables(profile: Profile) -> list[str]:
    """The variables that must be unset before a user's script runs.

    Returns:
        Names, each once. All that the profile names, also those that this cluster does not use.
    """
    return list(dict.fromkeys([profile.client_id_variable, profile.client_secret_variable, profile.proxy_variable]))


def _no_token(
    profile: Profile, environ: Mapping[str, str], ca_file: Path | None, sleep: Callable[[float], None]
) -> None:
    """The provider of `credentials: none`."""
    del profile, environ, ca_file, sleep


def _iam_client(
    profile: Profile, environ: Mapping[str, str], ca_file: Path | None, sleep: Callable[[float], None]
) -> Provider:
    from septum.credentials.https import Https
    from septum.credentials.iam import IamClient

    return IamClient(
        issuer=profile.issuer,
        client_id=environ[profile.client_id_variable].strip(),
        client_secret=Secret(environ[profile.client_secret_variable].strip()),
        audience=profile.audience,
        scopes=list(profile.scope),
        https=Https(ca_file=ca_file, sleep=sleep),
    )


_PROVIDERS: dict[str, _Maker] = {"none": _no_token, "iam-client": _iam_client}


def _require_variables(profile: Profile, environ: Mapping[str, str]) -> None:
    needed = []
    if profile.credentials == "iam-client":
        needed += [(profile.client_id_variable, "the id of the IAM client")]
        needed += [(profile.client_secret_variable, "the secret of the IAM client")]
    if profile.proxy == "required":
        needed += [(profile.proxy_variable, "the X.509 proxy")]
    missing = [(name, what) for name, what in needed if not environ.get(name, "").strip()]
    if not missing:
        return
    names = ", ".join(name for name, _ in missing)
    noun, verb = ("variable", "is") if len(missing) == 1 else ("variables", "are")
    raise CredentialMissingError(
        f"the {noun} {names} of the cluster {profile.name!r} {verb} not set",
        evidence="\n".join(f"{name}: {what}" for name, what in missing),
        fix=f"Add {names} in Settings > CI/CD > Variables of the project, masked and hidden.\n"
        "If it is there: protected variables are absent on unprotected branches; so protect this branch or tag.",
    )


def _ca_file(profile: Profile, environ: Mapping[str, str], store: Store, now: float) -> tuple[Path | None, list[str]]:
    """The site's CA certificates: from the variable, else from the file."""
    value = environ.get(profile.ca_variable, "").strip() if profile.ca_variable else ""
    if value:
        from septum.credentials.proxy import read_variable

        try:
            pem = read_variable(Secret(value), profile.ca_variable)
        except SeptumError as err:
            raise _ca_error(f"the variable {profile.ca_variable}", err.what) from None
        warnings = _check_ca(pem, f"the variable {profile.ca_variable}", now)
        return store.write("ca.pem", pem), warnings
    if profile.ca_file:
        path = Path(profile.ca_file)
        try:
            return path, _check_ca(path.read_bytes(), profile.ca_file, now)
        except OSError as err:
            raise _ca_error(profile.ca_file, str(err.strerror)) from err
    if profile.ca_variable:
        return None, [f"the variable {profile.ca_variable} with the site's CA is not set: only the system's CAs count"]
    return None, []


def _check_ca(pem: bytes, place: str, now: float) -> list[str]:
    from cryptography import x509

    try:
        ends = [certificate.not_valid_after_utc for certificate in x509.load_pem_x509_certificates(pem)]
    except ValueError:
        raise _ca_error(place, "no PEM certificates in it") from None
    expired = [end for end in ends if end.timestamp() <= now]
    if len(expired) < len(ends):
        return []
    return [f"every CA certificate in {place} has expired, the last on {max(expired):%d %B %Y}"]


def _ca_error(place: str, problem: str) -> ProfileError:
    return ProfileError(
        f"the site's CA certificates cannot be read from {place}",
        evidence=problem,
        fix="Put the CA certificates, as PEM, into a CI variable of type file, and name it with "
        "SEPTUM_CLUSTER_CA_VARIABLE.",
    )


def _debug_warning(environ: Mapping[str, str]) -> list[str]:
    if environ.get("CI_DEBUG_TRACE", "").lower() != "true":
        return []
    return ["CI_DEBUG_TRACE is on: the log of this CI job shows the secrets; replace them, and delete the log"]


def _add_proxy(
    credentials: Credentials, store: Store, profile: Profile, environ: Mapping[str, str], *, now: float, need_s: float
) -> None:
    value = environ.get(profile.proxy_variable, "").strip()
    if profile.proxy == "no" or not value:
        return
    from septum.credentials.proxy import load_proxy

    proxy, warnings = load_proxy(Secret(value), name=profile.proxy_variable, now=now, need_s=need_s)
    credentials.proxy_file = store.write("proxy", proxy.pem)
    credentials.warnings += warnings
    credentials._proxy_ends = proxy.expires_at  # noqa: SLF001 - the same module
