"""Archives: the members of every part, below a folder of the part's name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from septum.errors import MergeFailedError
from septum.merge.formats.base import check_expected, guarded, labelled, writing
from septum.merge.formats.members import Member, Names, safe_name
from septum.merge.formats.tararchive import TarWriter, read_tar
from septum.merge.formats.ziparchive import ZipWriter, read_zip
from septum.merge.summary import FileSummary, ObjectSummary

_Members = Iterator[tuple[Member, Iterator[bytes]]]


class _Writer(Protocol):
    def add(self, member: Member, blocks: Iterator[bytes]) -> None:
        """Write a member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Archives of one kind. The file holds one object, `members`.

    Attributes:
        name: Name of the format, for the report.
        endings: The endings of its files' names.
        read: Gives the members of a file.
        write: Begins a new file.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path, str], _Members]
    write: Callable[[Path], AbstractContextManager[_Writer]]

    @property
    def two_levels(self) -> bool:
        """With empty `titles` on the second level."""
        return True

    def ready(self) -> None:
        """It needs no library."""

    def summarize(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Read all members; `expected` names files among them. See `Format`.

        What adds up is a checksum of every file's last name and bytes; not of its folders, which the merge adds to.
        """
        names, found = Names(name), set()
        count = total = 0
        # Closed whatever happens: it holds the file open.
        with closing(guarded(self.read(path, name), name, self._file)) as members:
            for member, blocks in members:
                _take_in(names, member)
                if member.kind == "folder":
                    continue
                digest = hashlib.blake2b(_head(member), digest_size=8)
                for block in guarded(blocks, name, self._file):
                    digest.update(block)
                count += 1
                total = (total + int.from_bytes(digest.digest(), "little")) % 2**64
                found.add(member.name)
        check_expected(name, expected, found, "member")
        return FileSummary({"members": ObjectSummary(self.name, "{}", float(count), None, 0.0, {"members": total})})

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str] = ()) -> None:
        """Write all members of all sources, each below a folder named after its source. See `Format`."""
        named = labelled(sources, titles)
        folders = [folder and safe_name(folder, title) for folder in titles or [label for label, _ in named]]
        if len(own := [folder for folder in folders if folder]) != len(set(own)):
            doubled = next(folder for folder, number in Counter(own).items() if number > 1)
            raise MergeFailedError(
                f"merge: {title}: two sources are called {doubled!r}", fix="give each source a name of its own"
            )
        shared = Names(title)
        with writing(title), self.write(target) as writer:
            for (label, path), folder in zip(named, folders, strict=True):
                if folder:
                    writer.add(Member(name=folder, kind="folder"), iter(()))
                # In a folder of its own a source cannot meet others.
                names = Names(label) if folder else shared
                with closing(guarded(self.read(path, label), label, self._file)) as members:
                    for member, blocks in members:
                        if _take_in(names, member):
                            writer.add(_below(folder, member), guarded(blocks, label, self._file))

    @property
    def _file(self) -> str:
        return f"a {self.name} archive"


def _take_in(names: Names, member: Member) -> bool:
    """Check a member against those before it; whether it is to be written."""
    if not member.name and member.kind == "folder":
        # The folder that was packed, as `.`.
        return False
    if member.kind == "hard link":
        names.check_target(member.name, member.target)
    return names.add(member.name, folder=member.kind == "folder")


def _head(member: Member) -> bytes:
    """What the merge leaves as it is of a member, besides its bytes."""
    target = member.target.rpartition("/")[2] if member.kind == "hard link" else member.target
    name = member.name.rpartition("/")[2]
    return f"{member.kind}\0{name}\0{target}\0{member.executable}\0".encode("utf-8", "surrogateescape")


def _below(folder: str, member: Member) -> Member:
    if not folder:
        return member
    target = f"{folder}/{member.target}" if member.kind == "hard link" else member.target
    return replace(member, name=f"{folder}/{member.name}", target=target)


TAR = Archive(
    name="tar", endings=(".tar",), read=partial(read_tar, zipped=False), write=partial(TarWriter, zipped=False)
)
TAR_GZ = Archive(
    name="tar.gz",
    endings=(".tar.gz", ".tgz"),
    read=partial(read_tar, zipped=True),
    write=partial(TarWriter, zipped=True),
)
ZIP = Archive(name="zip", endings=(".zip",), read=read_zip, write=ZipWriter)
