"""The seam: what a way to a credential looks like, and what it gives.

A new way is one more `Provider`, and one more entry in `septum.credentials.choose`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Kind(str, Enum):
    """What a credential is for; its value is the name of its file."""

    TOKEN = "token"  # noqa: S105 - the name of a file
    """For the access point: `compute.*`."""
    STORAGE_TOKEN = "storage-token"  # noqa: S105
    """For storage: `storage.*`."""
    EOS_TOKEN = "eos-token"  # noqa: S105
    """EOS's own token, for the parameter `authz` of one path."""
    PROXY = "proxy"
    """X.509, with the attributes of a VO."""
    TICKET = "ticket"
    """Kerberos, as a credential cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One credential, as a provider gave it.

    Args:
        content: The file's content. Secret.
        expires_at: Seconds since 1970, by this machine's clock; infinite if nobody knows.
        identity: For whom it speaks, short and without personal data.
        warnings: What is not as asked, and not fatal.
        kept_by_others: Whether renewing it is somebody else's, who may or may not do so.
        ahead_s: How far this machine's clock is ahead of the one that `expires_at` was reckoned from.
    """

    content: bytes = field(repr=False)
    expires_at: float
    identity: str = ""
    warnings: tuple[str, ...] = ()
    kept_by_others: bool = False
    ahead_s: float = 0.0


class Provider(Protocol):
    """A way to a credential."""

    @property
    def kind(self) -> Kind:
        """What it gives."""

    @property
    def source(self) -> str:
        """Where from, in a few words: `client x at iam.example.org`, `variable X509_PROXY`."""

    @property
    def renewable(self) -> bool:
        """Whether a later `fetch` can give one that lives longer."""

    def fetch(self, now: float) -> Grant:
        """Obtain the credential and check it.

        Args:
            now: Seconds since 1970.

        Raises:
            SeptumError: There is none, or it is not the one that was asked for.
        """
