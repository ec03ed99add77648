"""The members of archives: which names and links are safe to unpack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from septum.errors import StructureError

BLOCK_B = 1 << 20
_LONGEST_NAME = 4096
_SEPARATOR = re.compile(r"[/\\]")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of an archive.

    Attributes:
        name: Its name in its plain form, without `.` and empty steps.
        kind: `file`, `folder`, `link`, or `hard link`.
        size_b: Of a file.
        target: Of a link, as it is written there; of a hard link, the plain name of a member before it.
        executable: Whether its owner may run it.
        stored: Whether a ZIP archive holds it without compression.
    """

    name: str
    kind: str
    size_b: int = 0
    target: str = ""
    executable: bool = False
    stored: bool = False


def safe_name(name: str, shown: str) -> str:
    """The name of a member in its plain form; "" for the folder of the archive itself.

    Args:
        name: As the archive has it.
        shown: How messages name the archive.

    Raises:
        StructureError: It leads out of the folder that the archive is unpacked in, on some system.
    """
    if len(name) > _LONGEST_NAME:
        raise StructureError(f"{shown}: a member has a name of {len(name)} letters", fix="pack shorter paths")
    if not _is_inside(name):
        raise StructureError(
            f"{shown}: the member {name!r} leads out of the archive",
            fix="pack with relative paths, from inside of the folder: tar -C results -cf results.tar .",
        )
    return "/".join(part for part in name.split("/") if part not in {"", "."})


def safe_link(target: str, member: str, shown: str) -> str:
    """The target of a link, which leads down from where the link stands.

    Raises:
        StructureError: It leads up or out. Also up and down again: with links on the way, that can lead anywhere.
    """
    if not target or not _is_inside(target):
        raise StructureError(
            f"{shown}: the link {member!r} leads to {target!r}",
            evidence="only links to what is beside or below them are kept",
            fix="pack what it leads to: tar --dereference",
        )
    return target


def _is_inside(name: str) -> bool:
    return not (name.startswith(("/", "\\")) or _DRIVE.match(name) or ".." in _SEPARATOR.split(name))


class Names:
    """The names of one tree of folders: no name twice, and none below a file.

    Args:
        shown: How messages name the archive.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._leaves: set[str] = set()
        self._folders: set[str] = set()

    def add(self, name: str, *, folder: bool) -> bool:
        """Take in a name in its plain form; whether it is new. Only folders may come again.

        Raises:
            StructureError: It is there already, or another is in its way.
        """
        if not name:
            raise StructureError(f"{self._shown}: a member has no name", fix="pack files and folders by their names")
        above = {name[: found.start()] for found in re.finditer("/", name)}
        if name in self._leaves or (name in self._folders and not folder) or above & self._leaves:
            raise StructureError(
                f"{self._shown}: the member {name!r} is there twice, or another one is in its place",
                fix="pack each file once: of two, the last one that is unpacked would stay",
            )
        new = name not in self._folders
        (self._folders if folder else self._leaves).add(name)
        self._folders |= above
        return new

    def check_target(self, member: str, target: str) -> None:
        """Look whether a hard link leads to a file before it.

        Raises:
            StructureError: It does not.
        """
        if target not in self._leaves:
            raise StructureError(
                f"{self._shown}: the hard link {member!r} leads to {target!r}, which is not there before it",
                fix="pack the file as well, or pack with: tar --hard-dereference",
            )


def in_blocks(stream: Any) -> Iterator[bytes]:
    """The bytes of a stream, some at a time."""
    while block := stream.read(BLOCK_B):
        yield block
