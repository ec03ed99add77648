"""The credentials of a run: files that are there, and valid, as long as one object is open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from septum.credentials.provider import Kind
from septum.errors import CredentialMissingError, ProxyExpiredError
from septum.units import show_duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

Auth = Literal["token", "proxy", "both"]
SUPERVISED = "SEPTUM_CREDENTIALS"
"""The variable that tells a command where its supervisor keeps the files."""
ESSENTIAL = frozenset({Kind.TOKEN, Kind.TICKET})
"""Without these, the schedd lets nobody in."""
_COUNTDOWN_S = (1800.0, 0.0)
_NAMES = {
    Kind.TOKEN: "token",
    Kind.STORAGE_TOKEN: "token for storage",
    Kind.EOS_TOKEN: "token of EOS",
    Kind.PROXY: "X.509 proxy",
    Kind.TICKET: "Kerberos ticket",
}


@dataclass(slots=True, kw_only=True)
class Held:
    """One credential that is held: what is known of it, and no secret.

    Attributes:
        kind: What it is for.
        path: Its file.
        source: Where it came from.
        identity: For whom it speaks.
        expires_at: Seconds since 1970; infinite if nobody knows.
        renewable: Whether it will be replaced before it ends.
        kept_by_others: Whether that is somebody else's, who may or may not do so.
        life_s: How long it lives from when it was obtained.
        renew_at: When to renew it, in seconds since 1970.
        ahead_s: How far this machine's clock was ahead of the issuer's; part of `expires_at`.
    """

    kind: Kind
    path: Path
    source: str
    identity: str
    expires_at: float
    renewable: bool
    kept_by_others: bool = False
    life_s: float = 0.0
    renew_at: float = 0.0
    ahead_s: float = 0.0
    warned_below_s: float = float("inf")

    @property
    def name(self) -> str:
        """What people call it."""
        return _NAMES[self.kind]

    def life(self, now: float) -> str:
        """How long it lives from now, for people."""
        if math.isinf(self.expires_at):
            return "nothing in it says when it ends"
        return f"ends in {show_duration(max(0.0, self.expires_at - now))}"


class Credentials:
    """What a run is let in with: files that exist as long as this object is open.

    Attributes:
        folder: The private folder of all files.
        held: What is there.
        ca_file: CA certificates that are trusted beside the system's, or None.
        warnings: To be shown once, at the start.
        token_is_for_storage: Whether the access point's token may be shown to storage as well.
        token_is_for_htcondor: Whether HTCondor's own commands may find it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: dict[Kind, Held] = {}
        self.ca_file: Path | None = None
        self.warnings: list[str] = []
        self.token_is_for_storage = False
        self.token_is_for_htcondor = True

    def file(self, kind: Kind) -> Path | None:
        """The file of a credential, if there is one."""
        return self.held[kind].path if kind in self.held else None

    @property
    def token_file(self) -> Path | None:
        """The token for the access point."""
        return self.file(Kind.TOKEN)

    @property
    def proxy_file(self) -> Path | None:
        """The X.509 proxy."""
        return self.file(Kind.PROXY)

    @property
    def identity(self) -> str:
        """Who asks the access point to be let in, in a few words and without personal data."""
        held = next((self.held[kind] for kind in (Kind.TOKEN, Kind.TICKET) if kind in self.held), None)
        return held.source if held is not None else "no token"

    def environment(self, auth: Auth = "both") -> dict[str, str]:
        """The variables by which commands find the files. Paths only.

        Args:
            auth: Whether storage is to be entered with the token, the proxy, or whatever the server prefers.

        Raises:
            CredentialMissingError: There is no such credential.
        """
        found = {}
        token = self.file(Kind.STORAGE_TOKEN) or (self.token_file if self.token_is_for_storage else None)
        if {"token": token, "proxy": self.proxy_file, "both": self.folder}[auth] is None:
            raise CredentialMissingError(
                f"storage shall be entered with the {auth}, and the cluster's profile gives none",
                fix="leave out --auth, or set 'credentials' or 'proxy' in the profile",
            )
        if token is not None and auth != "proxy":
            found["BEARER_TOKEN_FILE"] = str(token)
        if self.proxy_file is not None and auth != "token":
            found["X509_USER_PROXY"] = str(self.proxy_file)
        if auth != "both":
            # XRootD's client would try the other as well, and report the last failure only.
            found["XrdSecPROTOCOL"] = {"token": "ztn", "proxy": "gsi"}[auth]
        if self.token_is_for_htcondor and (access := self.token_file) is not None:
            found["_CONDOR_SCITOKENS_FILE"] = str(access)
        if (ticket := self.file(Kind.TICKET)) is not None:
            found["KRB5CCNAME"] = f"FILE:{ticket}"
        if (eos := self.file(Kind.EOS_TOKEN)) is not None:
            found["SEPTUM_EOS_TOKEN_FILE"] = str(eos)
        if self.ca_file is not None:
            found["_CONDOR_AUTH_SSL_CLIENT_CAFILE"] = str(self.ca_file)
        return {**found, SUPERVISED: str(self.folder)}

    def for_parts(self, environ: Mapping[str, str]) -> dict[str, str]:
        """An environment for parts that run beside us: with the credentials for storage, never with those that submit.

        Args:
            environ: The environment; a supervisor may have put paths of ours into it.
        """
        kept = {name: value for name, value in environ.items() if str(self.folder) not in value}
        if (token := self.file(Kind.STORAGE_TOKEN)) is not None:
            kept["BEARER_TOKEN_FILE"] = str(token)
        if (eos := self.file(Kind.EOS_TOKEN)) is not None:
            kept["SEPTUM_EOS_TOKEN_FILE"] = str(eos)
        if self.proxy_file is not None:
            kept["X509_USER_PROXY"] = str(self.proxy_file)
        return kept

    def require_life(self, now: float, need_s: float) -> None:
        """See that what is sent with the jobs lives long enough for them, since it cannot be renewed.

        Args:
            now: Seconds since 1970.
            need_s: How long a job may wait and run, in seconds.

        Raises:
            ProxyExpiredError: It ends before.
        """
        proxy = self.held.get(Kind.PROXY)
        renewed_here = proxy is not None and proxy.renewable and not proxy.kept_by_others
        if proxy is None or renewed_here or proxy.expires_at - now >= need_s:
            return
        raise ProxyExpiredError(
            f"the X.509 proxy ({proxy.source}) ends in {show_duration(max(0, proxy.expires_at - now))}, "
            f"and a job may need it for {show_duration(need_s)}",
            evidence="a job may wait for 'queue-time' of the profile, and run for 'resources: time'; of chain and VOMS "
            "attributes the shorter life counts",
            fix="Renew it with a longer life (voms-proxy-init --rfc --voms … --valid 96:00), and update the variable;\n"
            "or lower 'resources: time', or SEPTUM_CLUSTER_QUEUE_TIME.",
        )

    def next_due(self, now: float) -> float:
        """Seconds until `keep_fresh` has something to do; infinite if it never has."""
        del now
        return float("inf")

    def keep_fresh(self, now: float) -> list[str]:
        """Do what is due. To be called often; most calls do nothing.

        Args:
            now: Seconds since 1970.

        Returns:
            Warnings: there is nothing new yet, or something has ended.

        Raises:
            SeptumError: A credential for the access point has expired, and there is no new one.
        """
        return [warning for held in list(self.held.values()) for warning in self._watch(held, now)]

    def close(self) -> None:
        """Give back what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _watch(self, held: Held, now: float) -> list[str]:
        """Count down to the end of what cannot be renewed here."""
        left_s = held.expires_at - now
        if left_s <= 0 and held.kind in ESSENTIAL:
            # Every time: whoever asks next must hear of it, too.
            raise gone(held, left_s)
        passed = min((mark for mark in _COUNTDOWN_S if left_s <= mark), default=float("inf"))
        if passed >= held.warned_below_s:
            return []
        held.warned_below_s = passed
        if left_s > 0:
            return [f"the {held.name} ends in {show_duration(left_s)}"]
        consequence = ": jobs that start now cannot read from the grid" if held.kind is Kind.PROXY else ""
        return [f"the {held.name} has expired{consequence}"]


def gone(held: Held, left_s: float) -> CredentialMissingError:
    """The error for a credential that has expired and that somebody else should have renewed."""
    return CredentialMissingError(
        f"the {held.name} has expired, and nobody has renewed it",
        evidence=f"{held.source}; it ended {show_duration(-left_s)} ago",
        fix="Is what keeps it fresh still alive: 'septum credentials run' around this command, htgettoken, oidc-agent?",
    )
