"""What a probe is: a difference between files, the files that show it, and what is to become of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

# An object, or a pair of a folder and an object. `ROOT` is the module, the number that of the file.
Objects = Callable[[Any, int], Iterable[Any]]


class Verdict(Enum):
    """What to think of a merge that ended. The values are words of the page; the worst comes first."""

    REFUSED = "refused"
    LOST = "lost"
    WRONG = "wrong"
    MIXED = "mixed"
    UNREAD = "unread"
    RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """septum refuses.

    Attributes:
        code: Of the error.
        says: What its message names: the object, or the file.
    """

    code: str
    says: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """septum merges, and the result is exact.

    Attributes:
        holds: What objects hold then where a policy asks for something else than what is `right`; in the same form.
        blind: Why the result is not what the jobs meant, and nobody can see that from the files alone.
        note: What is worth knowing about it.
    """

    holds: Mapping[str, Any] = field(default_factory=dict)
    blind: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One difference between files that are merged.

    Attributes:
        name: Of the probe and of its folder.
        group: The heading that it stands under.
        about: The difference, in one sentence.
        hadd: What `hadd -f` makes of it.
        skipping: What `hadd -f -k` makes of it, where `hadd -f` refuses a file.
        septum: What septum makes of it when nothing is relaxed.
        policy: A policy that septum is given in a further run, `NAME=VALUE`.
        relaxed: What septum makes of it then.
        right: What objects hold in a right result, where that is not the sum of what stands under the same name in the
            files: the cells of a histogram with both flow bins, its contents by label, or the value of another object.
        meant: The names of the files whose sum is right, if not of all that are merged.
        objects: What is in the files, by the number of the file.
        write: Writes files that `objects` cannot describe into a folder; given `ROOT` and the folder.
        damage: What happens to the files of that folder afterwards.
        files: How many files `objects` is asked for.
        arguments: The names that are merged, if not all of the folder.
        compression: ROOT's number for the files.
        target: The name of the merged file in the folder of the probe, if it matters.
        open_files: The limit of open files.
    """

    name: str
    group: str
    about: str
    hadd: Verdict
    septum: Refused | Merged
    skipping: Verdict | None = None
    policy: str = ""
    relaxed: Refused | Merged | None = None
    right: Mapping[str, Any] = field(default_factory=dict)
    meant: tuple[str, ...] = ()
    objects: Objects | None = None
    write: Callable[[Any, Path], None] | None = None
    damage: Callable[[Path], None] | None = None
    files: int = 2
    arguments: tuple[str, ...] = ()
    compression: int = 101
    target: str = ""
    open_files: int = 0

    def sources(self, folder: Path) -> list[str]:
        """The names that are merged, in order."""
        if self.arguments:
            return list(self.arguments)
        found = {int(path.stem): path.name for path in folder.iterdir() if path.stem.isdigit()}
        return [found[number] for number in sorted(found)]
