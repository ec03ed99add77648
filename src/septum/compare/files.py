"""Compares two files: pairs their objects by path, and gives each pair to the comparison of its kind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.compare.verdicts import Entry, Verdict, printable, said
from septum.errors import NotComparableError
from septum.verify import measure

if TYPE_CHECKING:
    from septum.compare.rootfiles import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One file of a result.

    Attributes:
        name: The result's name; its ending says the format.
        path: The file.
        sha256: Of the file; measured when it is empty.
        parts: How many parts it was merged from; 0 when nobody knows.
        missing: How many parts should be in it and are not.
    """

    name: str
    path: Path
    sha256: str = ""
    parts: int = 0
    missing: int = 0


def compare_files(here: Given, there: Given) -> Sequence[Entry]:
    """Compare two files, object by object.

    Args:
        here: The new one, and
        there: that of the reference.

    Returns:
        An entry for each object of either; one for the whole file when the bytes are equal, or cannot be read.
        `compatible` is a proposal: `septum.compare.results` decides, when all p-values are known.

    Raises:
        NotComparableError: One of them is missing, empty, or not what its ending says.
    """
    ours, theirs = _checksum(here), _checksum(there)
    if ours == theirs:
        return [Entry(result=here.name, kind="file", verdict=Verdict.IDENTICAL, detail="byte-identical")]
    additions = max(1, here.parts, there.parts)
    if Path(here.name).suffix.lower() == ".root":
        entries = _compare_root(here, there, additions)
    else:
        entries = _compare_others(here, there, additions)
    return [replace(entry, result=here.name) for entry in entries]


def _checksum(file: Given) -> str:
    try:
        size_b = file.path.stat().st_size
        sha256 = file.sha256 or measure(file.path)[1]
    except OSError as error:
        raise NotComparableError(
            f"compare: {printable(str(file.path))} cannot be read", evidence=str(error.strerror), fix="check the path"
        ) from error
    if not size_b or not sha256:
        raise NotComparableError(
            f"compare: {printable(str(file.path))} is {'empty' if not size_b else 'not a file that can be read'}",
            fix="compare files that a run has finished",
        )
    return sha256


def _pairs(
    here: Mapping[tuple[str, ...], Any],
    there: Mapping[tuple[str, ...], Any],
    compare: Callable[[Any, Any], Entry],
) -> list[Entry]:
    """Compare what is on both sides, and say what is on one. In the order of our file."""
    entries = []
    for path, item in here.items():
        new = Entry(kind=item.kind, verdict=Verdict.NEW)
        entry = _guarded(compare, item, there[path]) if path in there else new
        entries.append(replace(entry, path="/".join(path)))
    lost = [
        Entry(path="/".join(path), kind=there[path].kind, verdict=Verdict.MISSING) for path in there if path not in here
    ]
    return entries + lost


def _guarded(compare: Callable[[Any, Any], Entry], here: Any, there: Any) -> Entry:
    """What cannot be read is not equal to anything."""
    try:
        return compare(here, there)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - libraries raise many kinds on damaged objects
        return Entry(kind=here.kind, verdict=Verdict.DIFFERENT, p_value=0.0, detail=f"cannot be read: {said(error)}")


def _compare_root(here: Given, there: Given, additions: int) -> list[Entry]:
    from septum.compare.rootfiles import opened

    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(opened(here.path, name=printable(str(here.path))))
        theirs = stack.enter_context(opened(there.path, name=printable(str(there.path))))
        return _pairs(ours, theirs, lambda one, other: _compare_stored(one, other, additions))


def _compare_stored(here: Stored, there: Stored, additions: int) -> Entry:  # noqa: PLR0911 - one for each kind
    """Compare two objects of ROOT files, each by what it is."""
    from septum.compare.binned import compare_histograms
    from septum.compare.columns import compare_tables
    from septum.compare.histograms import Histogram
    from septum.compare.plain import Plain, compare_plain

    if here.kind != there.kind:
        detail = f"{here.kind} here, {there.kind} in the reference"
        return Entry(kind=here.kind, verdict=Verdict.STRUCTURE, detail=detail)
    # Most are equal, and reading one takes 20 times as long as this.
    if here.is_histogram and here.raw() == there.raw():
        return Entry(kind=here.kind, verdict=Verdict.IDENTICAL)
    try:
        ours, theirs = here.content(), there.content()
    except NotImplementedError as error:
        return _by_bytes(here, there, said(error))
    if isinstance(ours, Histogram) and isinstance(theirs, Histogram):
        return compare_histograms(ours, theirs, additions=additions)
    if isinstance(ours, Plain) and isinstance(theirs, Plain):
        return compare_plain(ours, theirs, additions=additions)
    if isinstance(ours, Plain | Histogram) or isinstance(theirs, Plain | Histogram):
        return Entry(kind=here.kind, verdict=Verdict.STRUCTURE, detail="a table on one side only")
    return compare_tables(ours, theirs)


def _by_bytes(here: Stored, there: Stored, reason: str) -> Entry:
    """Objects of a class that nobody here can read are equal if their bytes are; of a table, the rows are elsewhere."""
    same = not here.is_table and here.raw() == there.raw()
    return Entry(
        kind=here.kind,
        verdict=Verdict.IDENTICAL if same else Verdict.DIFFERENT,
        detail="" if same else "its bytes differ, and it cannot be read",
        notes=(f"compared by its bytes: {reason}",),
    )


def _compare_others(here: Given, there: Given, additions: int) -> list[Entry]:
    from septum.compare.formats import compare_summaries, read_objects

    ours = read_objects(here.path, name=here.name)
    theirs = read_objects(there.path, name=here.name)
    if ours is None or theirs is None:
        return [Entry(kind="file", verdict=Verdict.DIFFERENT, detail="other bytes, and septum cannot look into it")]
    return _pairs(
        {(path,): item for path, item in ours.items()},
        {(path,): item for path, item in theirs.items()},
        lambda one, other: compare_summaries(one, other, additions=additions),
    )
