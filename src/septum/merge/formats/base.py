"""What a format is, and what all formats share: clear errors, optional libraries, new files."""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, TypeVar

from septum.errors import (
    EngineMissingError,
    MergeFailedError,
    OutputDamagedError,
    OutputMissingError,
    SeptumError,
    StructureError,
)
from septum.merge.summary import FileSummary

T = TypeVar("T")

_SHOWN = 300


class Format(Protocol):
    """Reads, checks and merges the files of one format."""

    @property
    def name(self) -> str:
        """Name of the format, and of what reads and writes it with its version, for the report."""

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of its files' names, each with its dot."""

    @property
    def two_levels(self) -> bool:
        """Whether merging merged ranges in the order of the plan always gives what one merge of all parts gives.

        Where numbers with a fraction are added it does not: each level rounds.
        """

    def ready(self) -> None:
        """Look whether its library is there, to be asked before there are jobs.

        Raises:
            EngineMissingError: It is not.
        """

    def summarize(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Read a file to its end, check it, and sum up what it holds.

        Args:
            path: The file.
            name: How messages name it: the output and its part.
            expected: Objects that must be there.

        Raises:
            OutputDamagedError: It cannot be read: not of this format, cut off, damaged.
            OutputMissingError: An expected object is not there.
            StructureError: It holds something whose merge cannot be checked.
            EngineMissingError: The library that reads it is not installed.
        """

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str] = ()) -> None:
        """Merge sources, in this order, into a new file; equal inputs give equal bytes.

        Args:
            target: Must not exist; what stands there after an error is worthless.
            sources: At least one. Only one is open at a time, and none is read as a whole.
            title: How messages name the result.
            titles: How messages name the sources, one each: the parts. An archive puts the members of a source into a
                folder of this name, and takes those of a source without one ("", a merged range) as they are. Left
                out: the names of the files without their endings.

        Raises:
            StructureError: Sources differ in what must be equal, or a sum cannot be held.
            OutputDamagedError: A source cannot be read.
            MergeFailedError: The target cannot be written.
            EngineMissingError: The library that writes it is not installed.
        """


def version_of(package: str) -> str:
    """Name and version of a package, without importing it."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package}, not installed"


def library(module: str, *, extra: str, files: str) -> Any:
    """Import an optional library.

    Args:
        module: What is imported.
        extra: The extra of septum that installs it.
        files: What it is for, in the plural.

    Raises:
        EngineMissingError: It is not installed, or does not load here.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        package = module.partition(".")[0]
        raise EngineMissingError(
            f"merge: {package} was not found to read and merge {files} with",
            evidence=printable(str(error)),
            fix=f"in the image of this CI job: python3 -m pip install 'septum[{extra}]'",
        ) from error


@contextmanager
def reading(name: str, kind: str) -> Iterator[None]:
    """Turn whatever a library raises about a file into one error.

    Raises:
        OutputDamagedError: Anything but an error of septum was raised.
    """
    try:
        yield
    except SeptumError:
        raise
    except Exception as error:  # every library raises kinds of its own on damaged files
        raise OutputDamagedError(
            f"{name}: cannot be read as {kind}",
            evidence=_first_line(error),
            fix="look at the part's log; the job left the file damaged, or it is not what its name says",
        ) from error


def guarded(items: Iterable[T], name: str, kind: str) -> Generator[T, None, None]:
    """The items of a source as they come; `reading` for them, and not for what is done with them."""
    with reading(name, kind):
        yield from items


@contextmanager
def writing(title: str) -> Iterator[None]:
    """Turn whatever a library raises about the target into one error.

    Raises:
        MergeFailedError: Anything but an error of septum was raised.
    """
    try:
        yield
    except SeptumError:
        raise
    except Exception as error:  # as above
        raise MergeFailedError(
            f"merge: {title} could not be written",
            evidence=_first_line(error),
            fix="is the disk of this CI job full? nothing was written to the result folder",
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return printable(f"{type(error).__name__}: {lines[0] if lines else ''}")


def printable(text: str) -> str:
    """A text from a file that cannot move a cursor, shortened."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_SHOWN]


def labelled(sources: Sequence[Path], titles: Sequence[str]) -> list[tuple[str, Path]]:
    """The sources with the names that messages give them."""
    if not titles:
        return [(_stem(source), source) for source in sources]
    return [(label or _stem(source), source) for label, source in zip(titles, sources, strict=True)]


def _stem(path: Path) -> str:
    """The name of a file without its endings: `x.tar.gz` is `x`."""
    return path.name.partition(".")[0] or path.name


def check_expected(name: str, expected: Sequence[str], known: Collection[str], what: str) -> None:
    """Look whether all expected objects are there.

    Raises:
        OutputMissingError: One is not.
    """
    if missing := [item for item in expected if item not in known]:
        shown = ", ".join(map(repr, sorted(known)[:8])) or "none"
        raise OutputMissingError(
            f"{name}: the {what} {missing[0]!r} is not in the file",
            evidence=printable(f"it holds: {shown}"),
            fix="correct the analysis, or 'objects' of this output in septum.yaml",
        )


def check_same(title: str, first: tuple[str, Mapping[str, str]], other: tuple[str, Mapping[str, str]]) -> None:
    """Compare what must be equal in two sources.

    Args:
        title: How messages name the result.
        first: How messages name one source, and the structures of its objects: each a JSON object.
        other: The same of the other one.

    Raises:
        StructureError: They differ.
    """
    (one, left), (two, right) = first, other
    if left == right:
        return
    path = next(path for path in [*left, *right] if left.get(path) != right.get(path))
    if path in left and path in right:
        where = f"{path!r}: {first_change(left[path], right[path])}"
    else:
        where = f"{path!r} is in {one if path in left else two} only"
    raise StructureError(
        f"merge: {title}: {one} and {two} cannot be merged",
        evidence=printable(where),
        fix="write the same objects with the same types in every part, filled or not",
    )


def first_change(one: str, other: str) -> str:
    """Say where two structures differ, in one line.

    Args:
        one: A JSON object.
        other: Another one.
    """
    left, right = json.loads(one), json.loads(other)
    for key in [*left, *(key for key in right if key not in left)]:
        if key not in left or key not in right:
            return printable(f"{key!r} is in {'the first' if key in left else 'the other'} only")
        if left[key] != right[key]:
            return printable(f"{key!r}: {str(left[key])[:100]} in the first, {str(right[key])[:100]} in the other")
    return "the same, in another order"
