"""A row of the matrix, as a value: what is done to a run, and how the run must end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.facility import Facility, Pool
from tests.workshop import Repository

if TYPE_CHECKING:
    from tests.faults.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Where rows run: the facility, the pools, the analysis, and what came of it when nobody disturbed it."""

    facility: Facility
    pool: Pool
    analysis: Repository
    folder: Path
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is done to a run, and how the run must end.

    Attributes:
        name: Of the test.
        story: Does it; the last septum that it started is the one that counts.
        codes: The exit codes that it may have.
        says: What it prints.
        profile: Changes of the cluster's profile.
        breakable: Whether the pool for it is the one whose daemons may be stopped.
        long: Whether to begin early: it waits for something.
    """

    name: str
    story: Callable[[Run], None]
    codes: tuple[int, ...] = (0,)
    says: tuple[str, ...] = ()
    profile: tuple[tuple[str, str], ...] = ()
    breakable: bool = False
    long: bool = False

    def __str__(self) -> str:
        return self.name


class Rows(list[Row]):
    """The rows of one file."""

    def add(
        self,
        *,
        code: int | tuple[int, ...] = 0,
        says: Sequence[str] = (),
        breakable: bool = False,
        long: bool = False,
        **profile: str,
    ) -> Callable[[Callable[[Run], None]], Callable[[Run], None]]:
        """Make a row of a function: its name is the row's, and see `Row`."""

        def enter(story: Callable[[Run], None]) -> Callable[[Run], None]:
            changes = tuple((key.replace("_", "-"), value) for key, value in profile.items())
            self.append(
                Row(
                    name=story.__name__.replace("_", "-"),
                    story=story,
                    codes=(code,) if isinstance(code, int) else code,
                    says=tuple(says),
                    profile=changes,
                    breakable=breakable,
                    long=long,
                )
            )
            return story

        return enter
