"""What goes wrong with one file on its way, before it is told to people: a kind, and somebody's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Kind = Literal[
    "auth",  # the storage does not know who we are, or we do not know the storage
    "denied",  # it knows, and does not allow it
    "differs",  # another file stands there
    "space",  # no room, or a quota
    "unsupported",  # the storage cannot do that
    "refused",  # anything else that another attempt would meet again
    "damaged",  # what arrived is not what was sent
    "gone",  # no answer, or one that says: later
]
TRANSIENT: frozenset[Kind] = frozenset({"damaged", "gone"})
"""Worth another attempt."""
OTHER_CREDENTIAL: frozenset[Kind] = frozenset({"auth", "denied"})
"""Worth an attempt with another credential, if there is one."""


class AttemptError(Exception):
    """One attempt failed.

    Args:
        kind: What it means.
        text: The words of the storage or of its client. No secret is taken out of them yet.
        pause_s: How long the storage asks to wait.
        hints: What is seen on this side: of the credentials that were shown, for instance.
    """

    def __init__(self, kind: Kind, text: str, *, pause_s: float = 0.0, hints: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.kind: Kind = kind
        self.text = text
        self.pause_s = pause_s
        self.hints = tuple(hints)
