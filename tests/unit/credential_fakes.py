"""A provider that gives numbered credentials, or the error that is set."""

from __future__ import annotations

from dataclasses import dataclass, field

from septum.credentials.provider import Grant, Kind
from septum.errors import SeptumError


@dataclass
class Source:
    """A provider.

    Args:
        kind: What it gives.
        life_s: How long each new one lives, in seconds.
        ends: When all of them end, whatever their life: somebody else renews them.
        error: Raised instead.
        ahead_s: By how much our clock is ahead of the issuer's, which is right.
    """

    kind: Kind = Kind.TOKEN
    life_s: float = 3600.0
    ends: float | None = None
    renewable: bool = True
    error: SeptumError | None = None
    warnings: tuple[str, ...] = ()
    kept_by_others: bool = False
    ahead_s: float = 0.0
    source: str = "client x at iam.example.org"
    asked: list[float] = field(default_factory=list)
    given: int = 0

    def fetch(self, now: float) -> Grant:
        """The next one."""
        self.asked.append(now)
        if self.error is not None:
            raise self.error
        self.given += 1
        return Grant(
            content=f"content-{self.kind.value}-{self.given}".encode(),
            expires_at=now + self.life_s if self.ends is None else self.ends,
            identity="robot",
            warnings=self.warnings,
            kept_by_others=self.kept_by_others,
            ahead_s=self.ahead_s,
        )
