"""One change of the contract, and words for it. Values and pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol, TypeVar

PREFIX = "$[[ inputs.job-prefix ]]"
"""Begins the names of CI jobs in the contract."""
_T = TypeVar("_T")

Kind = Literal["Added", "Changed", "Deprecated", "Removed"]
"""The section of the changelog."""
Thing = Literal["component", "input", "CI job", "variable", "error"]


class Bump(IntEnum):
    """Which number of the version a change raises, at least."""

    PATCH = 1
    MINOR = 2
    MAJOR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of the contract.

    Attributes:
        kind: The section of the changelog that it belongs to.
        bump: The smallest one that it allows.
        component: Which one; empty for the table of errors.
        thing: What has changed.
        subject: The name of it, which the changelog must name.
        text: A sentence for the changelog, without component and full stop.
    """

    kind: Kind
    bump: Bump
    component: str
    thing: Thing
    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finder:
    """Makes the changes of one component."""

    component: str

    def __call__(self, thing: Thing, subject: str, kind: Kind, bump: Bump, text: str) -> Change:
        """Make one."""
        return Change(kind=kind, bump=bump, component=self.component, thing=thing, subject=subject, text=text)


class Changed(Protocol):
    """Makes the changes of one input or CI job."""

    def __call__(self, bump: Bump, text: str, kind: Kind = "Changed", /) -> Change:
        """Make one; the text begins behind the name."""
        ...


def in_both(old: Mapping[str, _T], new: Mapping[str, _T]) -> Iterator[tuple[str, _T, _T]]:
    """What two mappings share, in the order of names, with both values."""
    return ((name, old[name], new[name]) for name in sorted(old.keys() & new.keys()))


# ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────


def short(job: str) -> str:
    """The name of a CI job without the prefix."""
    return job.removeprefix(PREFIX)


def plain(text: str) -> str:
    """A text with blocks, for people."""
    return text.replace("$[[ inputs.", "<").replace(" ]]", ">")


def shown(value: object) -> str:
    """A value as the YAML has it, in backticks."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (list, tuple)):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{value}`" if value != "" else "empty"


def listed(options: Sequence[object]) -> str:
    """Values, with commas between them."""
    return ", ".join(shown(option) for option in options)


def clause(sentence: str) -> str:
    """A sentence without its full stop."""
    return sentence.strip().rstrip(".")
