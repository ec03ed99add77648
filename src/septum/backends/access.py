"""Asks a cluster who it takes us for, and whether it would take jobs: one answer, whatever the method is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from septum.errors import IdentityError

if TYPE_CHECKING:
    from pathlib import Path

    from septum.clusters.profile import Profile
    from septum.credentials import Credentials

_NOT_SAID = frozenset({"unknown", "the server does not say"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a cluster said.

    Attributes:
        lines: Labels and values to show.
        sentence: The same in a few words.
        version: Of the schedd or the server; empty if it did not say.
    """

    lines: tuple[tuple[str, str], ...]
    sentence: str
    version: str = ""

    @property
    def account(self) -> str:
        """Whom it takes us for."""
        return dict(self.lines).get("account", "")


def ask(profile: Profile, credentials: Credentials, folder: Path, *, room: bool = False) -> Access:
    """Ask the schedd or the REANA server of a profile. Nothing is submitted.

    Args:
        profile: A complete profile that is not `local`.
        credentials: Open ones.
        folder: Where HTCondor's client may write down the hosts that it meets.
        room: Whether a quota of REANA that is used up is an error.

    Raises:
        SeptumError: No answer, another account than expected, or nothing would be taken.
    """
    if profile.method == "reana":
        return _ask_reana(profile, credentials, room=room)
    from septum.backends.htcondor import check

    lines = check(profile, credentials, folder)
    found = dict(lines)
    return Access(
        lines=tuple(lines),
        sentence=f"schedd {found['schedd']} takes us for {found['account']}",
        version=found["version"],
    )


def _ask_reana(profile: Profile, credentials: Credentials, *, room: bool) -> Access:
    from septum.backends.reana import check

    lines = check(profile, credentials, room=room)
    # What the server did not say is shown as that, and is no fact.
    found = {label: value for label, value in lines if value not in _NOT_SAID}
    account = found.get("account", "")
    if profile.expect_account and profile.expect_account not in {account, account.partition("@")[0]}:
        raise IdentityError(
            f"REANA takes us for {account!r}, the profile expects {profile.expect_account!r}",
            evidence=f"server {profile.access_point}; {credentials.identity}",
            fix="Store the token of that account, or correct SEPTUM_CLUSTER_EXPECT_ACCOUNT.",
        )
    quota = f"; quota {found['quota']}" if found.get("quota") else ""
    return Access(
        lines=tuple(lines),
        sentence=f"REANA at {profile.access_point} takes us for {account or 'an account without a name'}{quota}",
        version=found.get("version", ""),
    )
