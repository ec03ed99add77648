"""Reads and writes tar archives as streams; equal members give equal bytes."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from septum.errors import OutputDamagedError, StructureError
from septum.merge.formats.members import BLOCK_B, Member, in_blocks, safe_link, safe_name

if TYPE_CHECKING:
    from typing_extensions import Self

_ENCODING, _ERRORS = "utf-8", "surrogateescape"
_LEVEL = 6
_TYPES = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE}


class _Watched:
    """Notes where the last byte that is not 0 stands: behind the end mark of an archive there is none.

    `tarfile` takes a damaged header, and a missing end, for the end of the archive.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.size_b = self.filled_b = 0

    def read(self, size: int = BLOCK_B) -> bytes:
        block = self._stream.read(size)
        if used := len(block.rstrip(b"\0")):
            self.filled_b = self.size_b + used
        self.size_b += len(block)
        return block


def read_tar(path: Path, shown: str, *, zipped: bool) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """The members of an archive with their bytes, which must be read before the next member is asked for.

    Args:
        path: The file.
        shown: How messages name it.
        zipped: Whether gzip is around it.

    Raises:
        OutputDamagedError: It ends too early.
        StructureError: A member cannot be unpacked safely.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        plain: Any = stack.enter_context(gzip.GzipFile(fileobj=raw)) if zipped else raw
        watched: Any = _Watched(plain)
        tar = stack.enter_context(tarfile.open(fileobj=watched, mode="r|", encoding=_ENCODING, errors=_ERRORS))
        while (info := tar.next()) is not None:
            # All members would be kept here.
            vars(tar)["members"] = []
            member = _member(info, shown)
            yield member, in_blocks(tar.extractfile(info)) if member.kind == "file" else iter(())
        end_b = tar.offset
        while watched.read():
            pass
        if watched.filled_b > end_b or watched.size_b <= end_b:
            raise OutputDamagedError(
                f"{shown}: the archive is damaged, or was cut off",
                evidence=f"its members end at byte {end_b}, and no mark of the end follows",
                fix="did the job run out of time or disk while it packed?",
            )


def _member(info: tarfile.TarInfo, shown: str) -> Member:
    name = safe_name(info.name, shown)
    executable = bool(info.mode & 0o100)
    if info.issparse():
        raise StructureError(f"{shown}: {name!r} is a sparse file", fix="pack without: tar without --sparse")
    if info.isdir():
        return Member(name=name, kind="folder")
    if info.isreg():
        return Member(name=name, kind="file", size_b=info.size, executable=executable)
    if info.issym():
        return Member(name=name, kind="link", target=safe_link(info.linkname, info.name, shown))
    if info.islnk():
        return Member(name=name, kind="hard link", target=safe_name(info.linkname, shown))
    raise StructureError(
        f"{shown}: {name!r} is no file, folder or link, but of type {info.type!r}", fix="leave it out of the archive"
    )


class TarWriter:
    """Writes members as they come, without times and owners.

    Args:
        path: The new file.
        zipped: Whether gzip goes around it.
    """

    def __init__(self, path: Path, *, zipped: bool) -> None:
        self._stack = ExitStack()
        raw = self._stack.enter_context(path.open("xb"))
        self._sink: Any = raw
        if zipped:
            # Neither name nor time in its header.
            self._sink = self._stack.enter_context(
                gzip.GzipFile("", mode="wb", fileobj=raw, compresslevel=_LEVEL, mtime=0)
            )
        self._written_b = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is None:
                self._write(bytes(2 * tarfile.BLOCKSIZE))
                self._write(bytes(-self._written_b % tarfile.RECORDSIZE))

    def add(self, member: Member, blocks: Iterator[bytes]) -> None:
        """Write a member."""
        info = tarfile.TarInfo(member.name)
        info.type, info.linkname = _TYPES[member.kind], member.target
        info.size = member.size_b
        info.mode = 0o777 if member.kind == "link" else 0o755 if member.executable or member.kind == "folder" else 0o644
        self._write(info.tobuf(tarfile.PAX_FORMAT, _ENCODING, _ERRORS))
        for block in blocks:
            self._write(block)
        self._write(bytes(-self._written_b % tarfile.BLOCKSIZE))

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._written_b += len(data)
