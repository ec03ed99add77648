"""What is there on GitLab, without any value of a variable. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAINTAINER = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """The token may not look at it.

    Attributes:
        words: What GitLab said.
    """

    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVariable:
    """A variable; its value was dropped as it came in."""

    key: str
    scope: str
    is_file: bool
    protected: bool
    masked: bool
    hidden: bool
    raw: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBranch:
    """A protected branch, or a pattern of them."""

    name: str
    force_push: bool
    developers_push: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSchedule:
    """A pipeline schedule; `inputs` is None where it was not looked at."""

    number: int
    name: str
    cron: str
    ref: str
    active: bool
    inputs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A project.

    Attributes:
        number: Its id; 0 for one that is still to be made.
        path: GROUP/NAME.
        attributes: Its settings, by GitLab's names; those that the token does not see are missing.
        default_branch: Empty for an empty repository.
        branches: Protected branches.
        tags: Protected tags.
        variables: All of the project.
        schedules: All of the project.
        limited: Whether only listed projects get in with their job tokens.
        in_catalog: Whether it is in the CI/CD catalog; None if nobody asked.
    """

    number: int = 0
    path: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    default_branch: str = ""
    branches: tuple[FoundBranch, ...] | Unseen = ()
    tags: tuple[str, ...] | Unseen = ()
    variables: tuple[FoundVariable, ...] | Unseen = ()
    schedules: tuple[FoundSchedule, ...] | Unseen = ()
    limited: bool | Unseen = True
    in_catalog: bool | Unseen | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is such a project."""
        return bool(self.number)
