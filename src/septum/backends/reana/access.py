"""The way to a REANA server: a client with the run's token, and a look at what the server would give us."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from septum.backends.reana.client import Client, quota_used_up
from septum.backends.reana.workflow import Offer
from septum.errors import ClusterUnusableError, CredentialMissingError

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.credentials import Credentials


def open_client(profile: Profile, credentials: Credentials) -> Client:
    """A client of the profile's server, as the account of the credentials."""

    def token() -> str:
        # Read each time: somebody else keeps the file fresh.
        path = credentials.token_file
        try:
            text = "" if path is None else path.read_text(encoding="utf-8").strip()
        except OSError:
            text = ""
        if not text:
            raise CredentialMissingError(
                f"cluster: there is no token for {profile.access_point}",
                fix="set 'credentials: access-token' in the profile, and the variable that it names",
            )
        return text

    token()
    return Client(
        profile.reana_server,
        token,
        token_in=profile.reana_token_in,
        ca_file=credentials.ca_file,
        deadline_s=float(profile.call_deadline),
    )


def check_backend(profile: Profile, offer: Offer) -> None:
    """Look whether the server has the compute backend of the profile.

    Raises:
        ClusterUnusableError: It does not.
    """
    backend = profile.reana_compute_backend
    if offer.backends is not None and backend not in offer.backends:
        raise ClusterUnusableError(
            f"cluster: {profile.access_point} has no compute backend {backend}",
            evidence=f"it has: {', '.join(offer.backends)}",
            fix=f"SEPTUM_CLUSTER_REANA_COMPUTE_BACKEND={offer.backends[0]}",
        )


def check(profile: Profile, credentials: Credentials, *, room: bool = False) -> list[tuple[str, str]]:
    """Ask the server who it takes us for, what is left of the quota, and whether it has the compute backend.

    Args:
        profile: The cluster.
        credentials: Open ones.
        room: Whether a quota that is used up is an error. Not for a submission, which may have been made already.

    Returns:
        Labels and values to show.

    Raises:
        SeptumError: No answer, a token that it does not take, or a compute backend that it does not have.
    """
    with contextlib.closing(open_client(profile, credentials)) as client:
        account = client.account()
        offer = Offer.read(client.info())
    check_backend(profile, offer)
    used_up = [f"{kind}: {quota.shown}" for kind, quota in sorted(account.quota.items()) if quota.is_used_up]
    if room and used_up:
        raise quota_used_up(profile.access_point, "\n".join(used_up))
    quota = ", ".join(
        f"{kind}: {quota.shown}" + (f" ({quota.health})" if quota.health not in {"", "healthy"} else "")
        for kind, quota in sorted(account.quota.items())
    )
    return [
        ("server", profile.access_point),
        ("version", account.version or "unknown"),
        ("account", account.email or account.name or "unknown"),
        ("quota", quota or "the server does not say"),
        ("compute backends", ", ".join(offer.backends or ()) or "the server does not say"),
    ]
