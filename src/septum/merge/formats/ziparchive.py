"""Reads and writes ZIP archives as streams; equal members give equal bytes."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import OutputDamagedError, StructureError
from septum.merge.formats.members import Member, in_blocks, safe_name

if TYPE_CHECKING:
    from typing_extensions import Self

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_ENCRYPTED = 0x1
_LEVEL = 6
_UNSUSPICIOUS_B = 1 << 30
_LARGEST_RATIO = 2000


def read_zip(path: Path, shown: str) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """The members of an archive with their bytes, which must be read before the next member is asked for.

    Args:
        path: The file.
        shown: How messages name it.

    Raises:
        StructureError: A member cannot be unpacked safely.
    """
    with zipfile.ZipFile(path) as archive:
        check_claims(archive, path, shown)
        for info in archive.infolist():
            member = _member(info, shown)
            if member.kind == "folder":
                yield member, iter(())
                continue
            with archive.open(info) as stream:
                yield member, in_blocks(stream)


def check_claims(archive: zipfile.ZipFile, path: Path, shown: str) -> None:
    """Look whether an archive can hold what it says, and can be read without a password.

    Raises:
        StructureError: It cannot: members that share their bytes make gigabytes of nothing.
    """
    claimed_b, size_b = sum(info.file_size for info in archive.infolist()), path.stat().st_size
    if claimed_b > max(_UNSUSPICIOUS_B, _LARGEST_RATIO * size_b):
        raise StructureError(
            f"{shown}: the archive of {size_b} bytes claims to hold {claimed_b}", fix="look at it with: unzip -v"
        )
    if secret := [info.filename for info in archive.infolist() if info.flag_bits & _ENCRYPTED]:
        raise StructureError(f"{shown}: the member {secret[0]!r} is encrypted", fix="pack without a password")


def _member(info: zipfile.ZipInfo, shown: str) -> Member:
    name = safe_name(info.filename, shown)
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise StructureError(
            f"{shown}: {name!r} is a link or a device", fix="pack what it leads to (zip does so without -y), or use tar"
        )
    if info.is_dir():
        if info.file_size:
            raise OutputDamagedError(f"{shown}: the folder {name!r} has content", fix="pack it anew")
        return Member(name=name, kind="folder")
    stored = info.compress_type == zipfile.ZIP_STORED
    return Member(name=name, kind="file", size_b=info.file_size, executable=bool(mode & 0o100), stored=stored)


def fixed_info(name: str, *, mode: int, stored: bool, size_b: int = 0) -> zipfile.ZipInfo:
    """What a ZIP archive says about a member, without time and system."""
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = _UNIX
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    # It decides whether there is room for a large size.
    info.file_size = size_b
    return info


class ZipWriter:
    """Writes members as they come, without times and owners.

    Args:
        path: The new file.
    """

    def __init__(self, path: Path) -> None:
        self._stack = ExitStack()
        raw = self._stack.enter_context(path.open("xb"))
        self._archive = self._stack.enter_context(zipfile.ZipFile(raw, "w", compresslevel=_LEVEL))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, member: Member, blocks: Iterator[bytes]) -> None:
        """Write a member."""
        if member.kind == "folder":
            info = fixed_info(f"{member.name}/", mode=stat.S_IFDIR | 0o755, stored=True)
        else:
            mode = stat.S_IFREG | (0o755 if member.executable else 0o644)
            info = fixed_info(member.name, mode=mode, stored=member.stored, size_b=member.size_b)
        with self._archive.open(info, "w") as sink:
            for block in blocks:
                sink.write(block)
