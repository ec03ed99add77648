"""Obtain what a profile asks for, keep it fresh, and delete it at the end."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

from septum.credentials.choose import providers, require_variables, uses_secrets, without_unused
from septum.credentials.held import ESSENTIAL, SUPERVISED, Credentials, Held, gone
from septum.credentials.redact import KNOWN
from septum.credentials.secret import Secret
from septum.credentials.store import Store
from septum.credentials.supervised import MANIFEST, Supervised
from septum.errors import (
    CredentialExposedError,
    CredentialMissingError,
    IssuerUnavailableError,
    ProfileError,
    SeptumError,
)
from septum.units import show_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from septum.clusters.profile import Profile
    from septum.credentials.provider import Grant, Kind, Provider

_RENEW_AT = (0.45, 0.55)
"""The part of its life after which a credential is renewed; a random one, so that many CI jobs do not ask at once."""
_LONGEST_PAUSE_S = 300.0
_HASTY_S = 45.0
_LONGEST_IDENTITY = 200
_LATE = 0.2
"""The part of its life below which a credential that somebody else should have renewed is worth a warning."""


class Obtained(Credentials):
    """Credentials of our own.

    Args:
        store: Where the files are; closed with this object.
        found: Where the credentials come from.
        fingerprint: Of the profile, for commands that run under us.
        jitter: A random number from 0 to 1; passed in for tests.
    """

    def __init__(
        self, store: Store, found: list[Provider], *, fingerprint: str = "", jitter: Callable[[], float] = random.random
    ) -> None:
        super().__init__(store.folder)
        self._store = store
        self._providers = {provider.kind: provider for provider in found}
        self._jitter = jitter
        self._fingerprint = fingerprint
        self._failures: dict[Kind, SeptumError] = {}

    def fetch_all(self, now: float) -> None:
        """Obtain every credential for the first time.

        Args:
            now: Seconds since 1970.

        Raises:
            SeptumError: One of them cannot be had.
        """
        self._write_manifest()  # also when there is nothing to obtain: a command under us looks for it
        for provider in self._providers.values():
            grant = provider.fetch(now)
            self._take(provider, grant, now)
            self.warnings += grant.warnings

    @property
    def shortest_life_s(self) -> float:
        """How long the credential lives that ends first, in seconds from when it was obtained."""
        return min((held.life_s for held in self.held.values() if held.renewable), default=float("inf"))

    def renew_with(self, found: list[Provider]) -> None:
        """Let other providers of the same credentials renew them."""
        self._providers = {provider.kind: provider for provider in found}

    def next_due(self, now: float) -> float:
        """Seconds until something is to be renewed; infinite if nothing ever is."""
        waits = [held.renew_at - now for held in self.held.values() if held.renewable]
        return max(0.0, min(waits, default=float("inf")))

    def keep_fresh(self, now: float) -> list[str]:
        """Renew what has less than about half of its life left, and count down to the end of the rest."""
        warnings = []
        failure: SeptumError | None = None
        for held in list(self.held.values()):
            try:
                if not held.renewable:
                    warnings += self._watch(held, now)
                elif _is_due(held, now):
                    warnings += self._renew(self._providers[held.kind], held, now)
                elif held.kind in self._failures:
                    # It is not tried at every call; but that it has expired is true until there is a new one.
                    raise self._failures[held.kind]
            except SeptumError as err:
                # The others are renewed all the same.
                failure = failure or err
            except OSError as err:
                warnings.append(f"the new {held.name} cannot be written: {err.strerror or err}")
                if held.expires_at <= now and held.kind in ESSENTIAL:
                    failure = failure or _no_room(held, err)
        if failure is not None:
            raise failure
        return warnings

    def close(self) -> None:
        """Delete the files."""
        self._store.close()

    def _take(self, provider: Provider, grant: Grant, now: float) -> None:
        KNOWN.add(grant.content)
        life_s = max(0.0, grant.expires_at - now)
        low, high = _RENEW_AT
        self.held[provider.kind] = Held(
            kind=provider.kind,
            path=self._store.write(provider.kind.value, grant.content),
            source=provider.source,
            # An issuer's text: one line, without anything that a terminal obeys.
            identity="".join(c if c.isprintable() else "?" for c in grant.identity)[:_LONGEST_IDENTITY],
            expires_at=grant.expires_at,
            renewable=provider.renewable,
            kept_by_others=grant.kept_by_others,
            life_s=life_s,
            renew_at=now + life_s * (low + (high - low) * self._jitter()),
            ahead_s=grant.ahead_s,
        )
        self._failures.pop(provider.kind, None)
        self._write_manifest()

    def _renew(self, provider: Provider, held: Held, now: float) -> list[str]:
        left_s = held.expires_at - now
        # Not at every look at the queue, but more often towards the end.
        held.renew_at = now + min(max(left_s / 8, held.life_s / 40, 1.0), _LONGEST_PAUSE_S)
        try:
            grant = provider.fetch(now)
            # Both by the clock of the issuer: ours may have jumped in between.
            is_new = grant.expires_at - grant.ahead_s > held.expires_at - held.ahead_s
            if not is_new and left_s <= 0 and held.kind in ESSENTIAL:
                raise gone(held, left_s)
        except SeptumError as err:
            if left_s <= 0 and held.kind in ESSENTIAL:
                self._failures[held.kind] = err
                raise
            reason = f"{provider.source} does not answer" if isinstance(err, IssuerUnavailableError) else err.what
            return [f"no new {held.name} yet ({reason}); {_left(left_s)}"]
        if not is_new:
            # Whoever keeps the file has not renewed it yet; that is his, until it is late.
            late = left_s < _LATE * held.life_s
            return [f"the {held.name} ({held.source}) was not renewed; {_left(left_s)}"] if late else []
        self._take(provider, grant, now)
        return list(grant.warnings)

    def _write_manifest(self) -> None:
        entries = [
            {
                "kind": held.kind.value,
                "source": held.source,
                "identity": held.identity,
                "expires_at": held.expires_at,
                "renewable": held.renewable,
                "kept_by_others": held.kept_by_others,
            }
            for held in self.held.values()
        ]
        ca_file = str(self.ca_file) if self.ca_file is not None else None
        text = json.dumps({"profile": self._fingerprint, "ca_file": ca_file, "credentials": entries})
        self._store.write(MANIFEST, text.encode())


def _is_due(held: Held, now: float) -> bool:
    """Whether to renew a credential, also when the clock was set back: it never had that much time until then."""
    return now >= held.renew_at or held.renew_at - now > _RENEW_AT[1] * held.life_s + 1


def _no_room(held: Held, error: OSError) -> SeptumError:
    return CredentialMissingError(
        f"the {held.name} has expired, and the new one cannot be written",
        evidence=f"{held.path.parent}: {error.strerror or error}",
        fix="Make room there, or set XDG_RUNTIME_DIR or TMPDIR to a folder with room.",
    )


def _left(left_s: float) -> str:
    return f"the old one lives for {show_duration(left_s)}" if left_s > 0 else "the old one has expired"


def obtain(
    profile: Profile,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Credentials:
    """Get everything that a profile asks for, and check it; under a supervisor, take what it has.

    Args:
        profile: A complete profile.
        environ: The CI variables.
        clock: Seconds since 1970.
        sleep: Waits between attempts.

    Returns:
        Open credentials, to be used in a `with` statement.

    Raises:
        CredentialMissingError: Variables that the profile names are not set; all of them are listed.
        CredentialExposedError: The CI job writes its variables into its log, so nothing is obtained.
        SeptumError: Any other of the codes E1xx, or E751 if the issuer does not answer.
    """
    if environ.get(SUPERVISED):
        return Supervised(Path(environ[SUPERVISED]), fingerprint_of(profile))
    if uses_secrets(profile):
        _refuse_tracing(environ)
    environ = without_unused(profile, environ)
    require_variables(profile, environ)
    store = Store.create(environ)
    try:
        now = clock()
        ca_file, warnings = _ca_file(profile, environ, store, now)
        found = providers(profile, environ, ca_file=ca_file, folder=store.folder, sleep=sleep)
        credentials = Obtained(store, found, fingerprint=fingerprint_of(profile))
        credentials.ca_file = ca_file
        # A token for jobs opens no storage, and would be shown to it for nothing.
        credentials.token_is_for_storage = profile.credentials == "bearer-token" or any(
            scope.startswith("storage.") for scope in profile.scope
        )
        credentials.token_is_for_htcondor = profile.method != "reana"
        credentials.warnings += warnings
        credentials.fetch_all(now)
        if credentials.shortest_life_s < _HASTY_S:
            # Several attempts in one call would be the whole time that is left; there is another call in a second.
            credentials.renew_with(
                providers(profile, environ, ca_file=ca_file, folder=store.folder, sleep=sleep, attempts=1)
            )
    except BaseException:
        store.close()
        raise
    return credentials


def fingerprint_of(profile: Profile) -> str:
    """What of a profile decides about credentials, as one text; it holds no secret."""
    return profile.model_dump_json(
        include={
            *("name", "authentication", "ca_file", "ca_variable", "credentials", "issuer", "audience", "scope"),
            *("storage_audience", "storage_scope", "client_auth", "client_id_variable", "client_secret_variable"),
            *("token_broker", "token_broker_kind", "id_token_variable", "proxy", "proxy_from", "proxy_variable"),
            *("proxy_broker", "proxy_broker_kind", "proxy_id_token_variable", "eos_broker", "eos_path"),
            *("eos_id_token_variable", "principal_variable", "keytab_variable", "password_variable"),
            *("expect_subject", "expect_vo", "expect_fqan", "method", "access_token_variable"),
        }
    )


def _refuse_tracing(environ: Mapping[str, str]) -> None:
    tracing = [
        name for name in ("CI_DEBUG_TRACE", "CI_DEBUG_SERVICES") if environ.get(name, "").lower() in {"true", "1", "t"}
    ]
    if tracing:
        raise CredentialExposedError(
            f"{tracing[0]} is on: GitLab writes every variable of this CI job into its log",
            evidence="so no credential is asked for",
            fix=f"Remove {tracing[0]}, delete the logs of CI jobs that ran with it, and replace the secrets in them.",
        )


def _ca_file(profile: Profile, environ: Mapping[str, str], store: Store, now: float) -> tuple[Path | None, list[str]]:
    """The site's CA certificates: from the variable, else from the file."""
    value = environ.get(profile.ca_variable, "").strip() if profile.ca_variable else ""
    if value:
        from septum.credentials.proxy import read_pem

        try:
            pem = read_pem(Secret(value, known=False), f"variable {profile.ca_variable}")
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
