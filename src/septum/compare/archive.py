"""Takes the results out of the artifact of another pipeline, by its manifest, and believes neither without checking."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from septum.compare.files import Given
from septum.compare.listing import Listed, Listing, read_listing
from septum.compare.transfer import LARGEST_B, AbsentError, download, shown
from septum.compare.verdicts import printable, said
from septum.errors import NotComparableError
from septum.manifest import NAME
from septum.units import show_size
from septum.verify import measure

_LARGEST_MANIFEST_B = 256 << 20
_BLOCK_B = 1 << 20
_DAMAGED = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError),
    # What zipfile says of encrypted members, of methods that it does not have, and of sizes that cannot be.
    *(EOFError, NotImplementedError, RuntimeError, ValueError, struct.error),
)


@contextlib.contextmanager
def opened(path: Path, *, name: str) -> Iterator[zipfile.ZipFile]:
    """An artifact, while it is open.

    Args:
        path: The file.
        name: How messages call it.

    Raises:
        NotComparableError: It is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGED as error:
        raise _damaged(name, error) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place in the file that cannot be
            raise _damaged(name, error) from error
        raise


def _damaged(name: str, error: Exception) -> NotComparableError:
    return NotComparableError(
        f"compare: {name} is damaged",
        evidence=said(error),
        fix="retry the CI job that made it, or name another reference",
    )


def find_listing(archive: zipfile.ZipFile, *, folder: str, name: str) -> tuple[Listing, str] | None:
    """The manifest in an artifact.

    Args:
        archive: The artifact.
        folder: The result folder, as this CI job calls it: the same one in the other pipeline, most likely.
        name: How messages call the artifact.

    Returns:
        The manifest and the folder that it stands in; None if there is none, or several and none in `folder`.
    """
    folders = [path.parent.as_posix() for path in map(PurePosixPath, archive.namelist()) if path.name == NAME]
    wanted = PurePosixPath(folder).as_posix()
    chosen = wanted if wanted in folders else folders[0] if len(folders) == 1 else None
    if chosen is None:
        return None
    with archive.open(_member(chosen, NAME)) as stream:
        raw = stream.read(_LARGEST_MANIFEST_B + 1)
    if len(raw) > _LARGEST_MANIFEST_B:
        raise NotComparableError(f"compare: the manifest in {name} is too large", fix="name another reference")
    return read_listing(raw.decode("utf-8", "replace"), name=f"{NAME} in {name}"), chosen


def _member(folder: str, file: str) -> str:
    return file if folder == "." else f"{folder}/{file}"


def take_out(
    archive: zipfile.ZipFile,
    listing: Listing,
    *,
    folder: str,
    wanted: Collection[str],
    scratch: Path,
    environ: Mapping[str, str],
) -> list[Given]:
    """Write results into files of our own names, whatever theirs are, and check them.

    Args:
        archive: The artifact.
        listing: Its manifest.
        folder: Where that stands in the artifact.
        wanted: The names of the results to take out; of the others, only the name is given.
        scratch: Where the files go.
        environ: For what was published instead of kept in the artifact.

    Raises:
        NotComparableError: A file is missing, too large, or not the one that the manifest speaks of.
        TryAgainError: A published file did not come.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    given = []
    for number, item in enumerate(listing.results.values()):
        path = scratch / f"{number}{PurePosixPath(item.name).suffix}"
        if item.name in wanted:
            _take_one(archive, item, folder, path, environ)
        given.append(Given(name=item.name, path=path, sha256=item.sha256, parts=item.parts, missing=item.missing))
    return given


def take_plain(archive: zipfile.ZipFile, *, folder: str, wanted: Collection[str], scratch: Path) -> list[Given]:
    """Write files of an artifact that septum did not make into files of our own names.

    Args:
        archive: The artifact.
        folder: The folder of the results in it.
        wanted: The names of the results, relative to that folder.
        scratch: Where the files go.

    Returns:
        Those that are there.

    Raises:
        NotComparableError: One is too large.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    there, given = set(archive.namelist()), []
    for number, name in enumerate(sorted(wanted)):
        member = _member(PurePosixPath(folder).as_posix(), name)
        path = scratch / f"{number}{PurePosixPath(name).suffix}"
        if member not in there:
            continue
        with archive.open(member) as source, path.open("wb") as target:
            if not _copy(source, target, LARGEST_B):
                raise NotComparableError(
                    f"compare: {printable(name)} of the reference has more than {show_size(LARGEST_B)}",
                    fix="compare by hand",
                )
        given.append(Given(name=name, path=path))
    return given


def _take_one(archive: zipfile.ZipFile, item: Listed, folder: str, path: Path, environ: Mapping[str, str]) -> None:
    limit_b = item.size_b if item.size_b >= 0 else LARGEST_B
    if limit_b > LARGEST_B:
        raise NotComparableError(
            f"compare: {printable(item.name)} of the reference has {show_size(limit_b)}", fix="compare by hand"
        )
    if item.url:
        fetch_published(item, path, environ)
        return
    member = _member(folder, item.file)
    try:
        with archive.open(member) as source, path.open("wb") as target:
            sha256 = _copy(source, target, limit_b)
    except KeyError as error:
        raise NotComparableError(
            f"compare: {printable(item.name)} is not in the artifact of the reference, though its manifest says so",
            evidence=printable(member),
            fix="name another reference under 'compare: reference' in septum.yaml",
        ) from error
    if sha256 != item.sha256:
        raise changed(item)


def _copy(source: IO[bytes], target: IO[bytes], limit_b: int) -> str:
    """Copy as much as there may be; returns the sha256, "" if there was more."""
    digest, size_b = hashlib.sha256(), 0
    while block := source.read(_BLOCK_B):
        size_b += len(block)
        if size_b > limit_b:
            return ""
        digest.update(block)
        target.write(block)
    return digest.hexdigest()


def fetch_published(item: Listed, path: Path, environ: Mapping[str, str]) -> None:
    """Bring a result here that was too large for the artifact.

    Raises:
        NotComparableError: It is gone, may not be read, or is another one.
        TryAgainError: It did not come.
    """
    try:
        download(item.url, path, environ=environ, limit_b=max(item.size_b, 0) or LARGEST_B)
    except AbsentError as error:
        raise NotComparableError(
            f"compare: {printable(item.name)} of the reference is not where it was published",
            evidence=f"{shown(item.url)}: {error}",
            fix="name another reference under 'compare: reference' in septum.yaml",
        ) from error
    if measure(path)[1] != item.sha256:
        raise changed(item)


def changed(item: Listed) -> NotComparableError:
    """The error of a file that is not the one that its manifest speaks of."""
    return NotComparableError(
        f"compare: {printable(item.name)} of the reference is not the file that its manifest speaks of",
        evidence=f"sha256 {item.sha256[:16]}… in the manifest",
        fix="somebody changed it, or it was cut off: name another reference, or make it again",
    )
