"""Look for credentials in files before somebody else does: `septum credentials scan`.

Reads every regular file below the given paths in pieces, whatever its size, and what is in archives of gzip, bzip2,
xz, zip and tar. Follows no link: what a link below the paths leads to is either below them as well or not asked for.
Not looked into: archives with a password (an error), objects of git, and other compression, such as that of ROOT files.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

from septum.credentials import detect

if TYPE_CHECKING:
    from pathlib import Path

    from septum.credentials.redact import Redactor

_BLOCK = 1 << 20
_HEAD = 4096
_DEEPEST_ARCHIVE = 4
_DEEPEST_FOLDER = 200
_MOST_UNPACKED = 1 << 30
# A zip file in another archive has to be read as a whole.
_LARGEST_INNER_ZIP = 64 << 20
# Who finds so many has understood.
_MOST_FINDINGS = 100
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A credential in a file. The text itself is not kept.

    Args:
        path: The file; in an archive `a.tar.gz!b/c`.
        line: Counted from 1; None if the file is not text.
        offset: In bytes from the file's beginning, after unpacking.
        kind: In words.
        fingerprint: The first eight hexadecimal digits of its SHA-256.
    """

    path: str
    line: int | None
    offset: int
    kind: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A file, folder or archive that was not looked into, or not to its end.

    Args:
        path: Which.
        reason: Why not.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found.

    Args:
        findings: The credentials, in the order of the paths.
        unread: What may hold further ones.
        files: How many files were looked into, without those in archives.
        skipped: How many links, pipes, sockets and devices were passed by.
    """

    findings: tuple[Finding, ...]
    unread: tuple[Unread, ...]
    files: int
    skipped: int


def scan(paths: Iterable[Path], known: Redactor | None = None) -> Report:
    """Look for credentials.

    Args:
        paths: Files and folders. If one of these is a link itself, it is followed; links below them are not.
        known: Secrets to look for besides, in all of their forms.

    Returns:
        Everything that was found, and everything that could not be read.
    """
    scanner = _Scanner(known)
    for path in paths:
        scanner.look(str(path))
    return Report(
        findings=tuple(dict.fromkeys(scanner.findings)),
        unread=tuple(dict.fromkeys(scanner.unread)),
        files=scanner.files,
        skipped=scanner.skipped,
    )


class _TooMuchError(Exception):
    """An archive unpacks to more than anybody wants to read."""


@dataclass(slots=True)
class _Scanner:
    known: Redactor | None
    findings: list[Finding] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    files: int = 0
    skipped: int = 0

    # ── folders ─────────────────────────────────────────────────────────────────────────────────────────────────

    def look(self, path: str) -> None:
        """Look into what the caller named."""
        try:
            real = os.path.realpath(path, strict=True)
        except OSError as err:
            self._not_read(path, err)
            return
        self._entry(real, path, None, 0)

    def _entry(self, name: str, path: str, folder: int | None, depth: int) -> None:
        """One entry of a folder that is open, so that no link can take its place meanwhile."""
        try:
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                self._folder(name, path, folder, depth)
            elif stat.S_ISREG(mode):
                self._file(name, path, folder)
            else:
                self.skipped += 1
        except OSError as err:
            self._not_read(path, err)

    def _folder(self, name: str, path: str, parent: int | None, depth: int) -> None:
        if depth > _DEEPEST_FOLDER:
            self.unread.append(Unread(path, f"more than {_DEEPEST_FOLDER} folders deep"))
            return
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            for inner in sorted(os.listdir(folder)):  # noqa: PTH208 - of an open folder
                self._entry(inner, inner if path == "." else f"{path.rstrip('/')}/{inner}", folder, depth + 1)
        finally:
            os.close(folder)

    def _file(self, name: str, path: str, folder: int | None) -> None:
        # Should a pipe have taken the file's place, it is opened without waiting for its other end.
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                self.skipped += 1
                return
            self.files += 1
            before = len(self.findings)
            for finding in self._content(stream, path, 0, _Allowance()):
                self.findings.append(finding)
                if len(self.findings) - before >= _MOST_FINDINGS:
                    break

    def _not_read(self, path: str, err: OSError) -> None:
        self.unread.append(Unread(path, f"cannot be read: {(err.strerror or str(err)).lower()}"))

    # ── archives ────────────────────────────────────────────────────────────────────────────────────────────────

    def _content(self, stream: IO[bytes], path: str, depth: int, allowance: _Allowance) -> Iterator[Finding]:
        """A file or a member of an archive, by what it begins with."""
        head = stream.read(_HEAD)
        if kind := detect.kind_of_file(head):
            yield Finding(path, None, 0, kind, detect.fingerprint(head))
            return
        whole = cast("IO[bytes]", io.BufferedReader(_Rest(head, stream)))
        unpack = _unpacker(head)
        if unpack is None:
            yield from self._bytes(whole, head, path)
        elif depth >= _DEEPEST_ARCHIVE:
            self.unread.append(Unread(path, f"an archive in more than {_DEEPEST_ARCHIVE} others"))
        else:
            members = unpack(whole, stream if stream.seekable() and not depth else None)
            yield from self._members(members, path, depth, allowance)

    def _members(
        self, members: Iterator[tuple[str, IO[bytes] | None]], path: str, depth: int, allowance: _Allowance
    ) -> Iterator[Finding]:
        try:
            for name, member in members:
                inner = f"{path}!{name}" if name else path
                if member is None:
                    self.unread.append(Unread(inner, "has a password"))
                else:
                    limited = cast("IO[bytes]", io.BufferedReader(_Limited(member, allowance)))
                    yield from self._content(limited, inner, depth + 1, allowance)
        except _TooMuchError as err:
            self.unread.append(Unread(path, str(err)))
        except _DAMAGED as err:
            self.unread.append(Unread(path, f"cannot be unpacked: {type(err).__name__}"))

    # ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _bytes(self, stream: IO[bytes], head: bytes, path: str) -> Iterator[Finding]:
        """Search in pieces that overlap, so that nothing hides where two of them meet."""
        is_text = b"\0" not in head or head[:2] in {b"\xff\xfe", b"\xfe\xff"}
        buffer, base, lines, settled, covered = b"", 0, 1, 0, 0
        final = False
        while not final:
            block = stream.read(_BLOCK)
            final = not block
            buffer += block
            end = base + len(buffer)
            # What begins after this is looked at again, with what follows it.
            limit = end if final else max(settled, end - detect.REACH)
            for hit in detect.find(buffer, self.known):
                start = base + hit.start
                if settled <= start < limit and start >= covered:
                    line = lines + buffer.count(b"\n", 0, hit.start) if is_text else None
                    yield Finding(path, line, start, hit.kind, hit.fingerprint)
                    covered = base + hit.end
            settled = limit
            done = max(limit - base - detect.BEFORE, 0)
            lines += buffer.count(b"\n", 0, done)
            base, buffer = base + done, buffer[done:]


@dataclass(slots=True)
class _Allowance:
    """How much may still be unpacked of one file, in bytes."""

    left: int = _MOST_UNPACKED


class _Rest(io.RawIOBase):
    """A stream of which the beginning was read already."""

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head, self._stream = head, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._head:
            data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Limited(io.RawIOBase):
    """A stream that counts what is read."""

    def __init__(self, stream: IO[bytes], allowance: _Allowance) -> None:
        self._stream, self._allowance = stream, allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        self._allowance.left -= len(data)
        if self._allowance.left < 0:
            raise _TooMuchError(f"unpacks to more than {_MOST_UNPACKED >> 20} MB")
        buffer[: len(data)] = data
        return len(data)


# Each yields the members with their names; nothing in place of what has a password.
_Members = Iterator[tuple[str, "IO[bytes] | None"]]


def _unpacker(head: bytes) -> Callable[[IO[bytes], IO[bytes] | None], _Members] | None:
    """How to unpack a file that begins like this: from a stream, or from the file itself if there is one."""
    if head.startswith(b"\x1f\x8b\x08"):
        return _gzip
    if head.startswith(b"BZh") and head[4:10] in {b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"}:
        return _bzip2
    if head.startswith(b"\xfd7zXZ\0"):
        return _xz
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip
    if head[257:262] == b"ustar":
        return _tar
    return None


def _gzip(stream: IO[bytes], _: IO[bytes] | None) -> _Members:
    with gzip.GzipFile(fileobj=stream) as inner:
        yield "", cast("IO[bytes]", inner)


def _bzip2(stream: IO[bytes], _: IO[bytes] | None) -> _Members:
    with bz2.BZ2File(stream) as inner:
        yield "", inner


def _xz(stream: IO[bytes], _: IO[bytes] | None) -> _Members:
    with lzma.LZMAFile(stream) as inner:
        yield "", inner


def _tar(stream: IO[bytes], _: IO[bytes] | None) -> _Members:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content


def _zip(stream: IO[bytes], file: IO[bytes] | None) -> _Members:
    # Its table of contents stands at the end.
    if file is None:
        data = stream.read(_LARGEST_INNER_ZIP + 1)
        if len(data) > _LARGEST_INNER_ZIP:
            raise _TooMuchError(f"a zip file of more than {_LARGEST_INNER_ZIP >> 20} MB in another archive")
        file = io.BytesIO(data)
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.flag_bits & 1:
                yield member.filename, None
            elif not member.is_dir():
                with archive.open(member) as content:
                    yield member.filename, content
