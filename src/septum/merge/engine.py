"""What merges: the words that engines and the merger of a run meet in. An engine is believed only after a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from septum.provenance.stamp import inscription, safe_name


class Reading(Protocol):
    """What an engine has read of one output, and checked."""

    @property
    def digest(self) -> str:
        """The sha256 of what the output holds, without dates and identifiers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One result that is to be made.

    Attributes:
        name: Its name in the plan.
        parts: The parts that go into it, in the order of the plan.
        describe: How messages name a part, by its id.
        source: Gives the file of a part that has been added, after a look that it is still the same.
        stamp: Makes the stamp that goes into the file, from the parts that are in and the hashes of what they hold.
        scratch: A folder for partial merges.
        key: Begins the names of all files there; no two targets share it.
        policies: The relaxed policies by name.
    """

    name: str
    parts: tuple[str, ...]
    describe: Mapping[str, str] = field(default_factory=dict)
    source: Callable[[str], Path]
    stamp: Callable[[Sequence[tuple[str, str]]], str] = lambda _: ""
    scratch: Path
    key: str
    policies: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where the finished file stands until it is published."""
        ending = ".tar.gz" if self.name.endswith(".tar.gz") else Path(self.name).suffix
        return self.scratch / f"{self.key}{ending}"

    def inscription(self, stamp: str) -> str:
        """The name that the file has for itself: the stamp, if there is one, and the name of the result."""
        return inscription(stamp, self.name) if stamp else safe_name(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A merged and verified file at `Target.path`.

    Attributes:
        parts: The parts that are in it, in the order of the plan.
        objects: Class and entries of each object, by path.
        stamp: What stands inside of it; empty if the format has no place for it.
    """

    parts: tuple[str, ...]
    objects: Mapping[str, tuple[str, float]]
    stamp: str


class Merging(Protocol):
    """The merge of one result, part by part."""

    def add(self, part: str, reading: Any, *, sha256: str) -> None:
        """Take in a part whose output has been read and verified; `sha256` is that of its file."""

    def fail(self, part: str) -> None:
        """Know that a part will not deliver."""

    def ready(self) -> int:
        """Do what can be done before the last part; returns how many steps were done."""

    def finish(self) -> Finished:
        """Merge what is left, write the file, and verify it.

        Raises:
            MergeFailedError: The engine failed.
            StructureError: Parts differ in what must be equal.
            NotConservedError: The file does not hold the sum of its parts.
        """


class Engine(Protocol):
    """Reads and merges the files of one output of the plan."""

    @property
    def name(self) -> str:
        """Name and version, for the report."""

    def read(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> Reading:
        """Read one file to its last byte.

        Args:
            path: The file.
            name: How messages name it: the output and its part.
            expected: Objects that must be in it.

        Raises:
            OutputDamagedError: It is damaged.
            OutputMissingError: An expected object is not there.
            StructureError: It holds something whose merge cannot be checked.
        """

    def begin(self, target: Target) -> Merging:
        """Begin a result."""
