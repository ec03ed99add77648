"""The folder that an image is built from: looked through, and packed so that the same files give the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from septum.building.recipe import Entry
from septum.errors import PlanError
from septum.files import is_text

_LEFT_OUT = frozenset({".git", ".septum", ".septum-reports", ".gitlab-ci-local"})
"""What a checkout holds beside the commit, at any depth: a submodule has a `.git` as well."""
_CHUNK_B = 1 << 20


def find_folder(root: Path, name: str) -> Path:
    """The folder of the context, in the repository.

    Raises:
        PlanError: It is not there, or leads out of the repository.
    """
    folder = root / name
    if not folder.is_dir():
        raise PlanError(
            f"image: the context {name!r} is not a folder of the repository",
            fix="correct the input 'context'; '.' is the whole repository",
        )
    _refuse_outside(root, folder, f"the context {name!r}")
    return folder


def read_containerfile(root: Path, name: str) -> bytes:
    """The Containerfile, by its path in the repository.

    Raises:
        PlanError: It is not there, cannot be read, or leads out of the repository.
    """
    path = root / name
    if not path.is_file():
        others = sorted(
            found.relative_to(root).as_posix()
            for pattern in ("Containerfile*", "Dockerfile*", "*/Containerfile*", "*/Dockerfile*")
            for found in root.glob(pattern)
            if found.is_file()
        )
        raise PlanError(
            f"image: there is no file {name!r} in the repository",
            evidence=f"there is: {', '.join(others[:5])}" if others else "",
            fix=f"containerfile: {others[0]}" if others else "write one, or correct the input 'containerfile'",
        )
    _refuse_outside(root, path, f"the file {name!r}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise PlanError(
            f"image: {name!r} cannot be read", evidence=str(error.strerror), fix="check the file"
        ) from error


def _refuse_outside(root: Path, path: Path, what: str) -> None:
    real = path.resolve()
    if not real.is_relative_to(root.resolve()):
        raise PlanError(f"image: {what} leads out of the repository", evidence=f"it leads to {real}", fix="copy it")


def look_through(folder: Path) -> list[Entry]:
    """All that the folder holds, in a fixed order. Links are not followed.

    Raises:
        PlanError: Something in it cannot be read, or is neither file nor folder nor link.
    """
    return list(_below(folder, ""))


def _below(folder: Path, above: str) -> Iterator[Entry]:
    try:
        names = sorted(path.name for path in (folder / above).iterdir())
    except OSError as error:
        raise _unreadable(above, str(error.strerror)) from error
    for name in names:
        if name in _LEFT_OUT:
            continue
        path = f"{above}/{name}" if above else name
        if not is_text(path):
            raise _unreadable(path, "its name is not UTF-8")
        entry = _entry(folder, path)
        yield entry
        if entry.kind == "folder":
            yield from _below(folder, path)


def _entry(folder: Path, path: str) -> Entry:
    whole = folder / path
    try:
        mode = whole.lstat().st_mode
        if stat.S_ISLNK(mode):
            return Entry(path=path, kind="link", content=os.readlink(whole))  # noqa: PTH115 - to the last byte
        if stat.S_ISDIR(mode):
            return Entry(path=path, kind="folder", content="")
        if stat.S_ISREG(mode):
            return Entry(path=path, kind="program" if mode & stat.S_IXUSR else "file", content=_sha256(whole))
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    raise _unreadable(path, "it is neither a file nor a folder nor a link")


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK_B):
            found.update(block)
    return found.hexdigest()


def _unreadable(path: str, why: str) -> PlanError:
    return PlanError(
        f"image: {path or '.'!r} of the context cannot be packed",
        evidence=why,
        fix="remove it from the repository, or choose another folder by the input 'context'",
    )


def pack(folder: Path, entries: Sequence[Entry], target: Path, *, time_s: int) -> None:
    """Write an archive of the context: the same bytes for the same files, whatever the checkout is like.

    Args:
        folder: The context.
        entries: What `look_through` found there.
        target: The archive.
        time_s: The time that all files get, seconds since the epoch.

    Raises:
        PlanError: A file is not what it was.
    """
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            # The runner's checkout may have any mode and owner: of git's modes one bit alone means something.
            info.mode = 0o644 if entry.kind in {"file", "link"} else 0o755
            info.mtime = time_s
            if entry.kind == "folder":
                info.type = tarfile.DIRTYPE
            elif entry.kind == "link":
                info.type, info.linkname = tarfile.SYMTYPE, entry.content
            _add(archive, info, folder / entry.path, entry)


def _add(archive: tarfile.TarFile, info: tarfile.TarInfo, path: Path, entry: Entry) -> None:
    if not info.isreg():
        archive.addfile(info)
        return
    try:
        with path.open("rb") as stream:
            info.size = os.fstat(stream.fileno()).st_size
            read = _Hashing(stream)
            archive.addfile(info, read)  # type: ignore[arg-type]
    except OSError as error:
        raise _unreadable(entry.path, str(error)) from error
    if read.digest != entry.content:
        raise _unreadable(entry.path, "it changed while it was packed")


class _Hashing:
    """A file that is read once, and hashed on the way."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream, self._sha256 = stream, hashlib.sha256()

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self._sha256.update(block)
        return block

    @property
    def digest(self) -> str:
        return self._sha256.hexdigest()
