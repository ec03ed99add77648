"""Compares what a framework's own merge wrote with the sum of the parts: the sum is the measure, not the result."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from septum.compare.files import Given, compare_files
from septum.compare.verdicts import Entry, Verdict, printable
from septum.errors import NotComparableError, ProductError, SeptumError
from septum.manifest import OwnMerge
from septum.merge.summary import FileSummary, entries_by_object
from septum.plan import Merge
from septum.units import count

_AS_THE_SUM = frozenset({Verdict.IDENTICAL, Verdict.ROUNDING})
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """The sum of the parts.

    Attributes:
        path: The file.
        sha256: Of it.
        stamp: What stands inside of it.
        objects: The paths of what it holds.
    """

    path: Path
    sha256: str
    stamp: str
    objects: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found of a product: class and entries of its objects, and how they fare beside the sum."""

    objects: Mapping[str, tuple[str, float]]
    own: OwnMerge


def check(product: Path, total: Sum, merge: Merge, read: Callable[[Path, str], FileSummary]) -> Checked:
    """Read a product to its last byte, and compare every object of the sum with it.

    Args:
        product: What the command wrote.
        total: The sum of the parts.
        merge: What the plan says of it.
        read: Reads a file whole, under a name for messages.

    Raises:
        ProductError: It cannot be read, or an object that the command must not change is not that of the sum.
    """
    name = f"{merge.result}: {merge.product} of the framework's command"
    try:
        summary = read(product, name)
        entries = compare_files(
            Given(name=merge.result, path=product, parts=len(merge.parts)),
            Given(name=merge.result, path=total.path, sha256=total.sha256, parts=len(merge.parts)),
        )
    except (SeptumError, NotComparableError) as error:
        raise ProductError(
            f"merge: {merge.result}: what the command wrote cannot be read as a whole file",
            evidence="\n".join(filter(None, [error.what, error.evidence])),
            fix="look at the command's log: did it end before it closed the file?",
        ) from error
    entries = _by_object(entries, total)
    bound = [entry for entry in entries if entry.verdict is not Verdict.NEW and not _may_change(entry, merge)]
    _refuse(bound, merge, total)
    found = [entry for entry in entries if entry.verdict is not Verdict.NEW]
    equal = sum(entry.verdict in _AS_THE_SUM for entry in found)
    return Checked(
        objects=entries_by_object(summary),
        own=OwnMerge(
            command=merge.command or "",
            at=merge.at,
            product=merge.product,
            changes=merge.changes,
            ran=True,
            stamp=total.stamp,
            equal=equal,
            changed=len(found) - equal,
            new=len(entries) - len(found),
            notes=tuple(_notes(summary, entries)),
        ),
    )


def _by_object(entries: Sequence[Entry], total: Sum) -> Sequence[Entry]:
    """One entry an object, where the files are equal to the last byte, too."""
    if len(entries) == 1 and not entries[0].path and entries[0].verdict is Verdict.IDENTICAL:
        return [Entry(path=path, verdict=Verdict.IDENTICAL) for path in total.objects]
    return entries


def _may_change(entry: Entry, merge: Merge) -> bool:
    return any(fnmatch.fnmatchcase(entry.path, pattern) for pattern in merge.changes)


def _refuse(bound: Sequence[Entry], merge: Merge, total: Sum) -> None:
    """End it if an object is not that of the sum, or if nothing was to be compared."""
    if not bound:
        raise ProductError(
            f"merge: {merge.result}: 'changes' names every object of the sum, and nothing would be checked",
            evidence=f"the sum holds {', '.join(printable(path) for path in list(total.objects)[:_SHOWN])}",
            fix="name those that the command changes, and no others",
        )
    wrong = [entry for entry in bound if entry.verdict not in _AS_THE_SUM]
    if not wrong:
        return
    lines = [
        f"{printable(entry.path or merge.product)}: {_shown(entry.verdict)}"
        + (f", {printable(entry.detail, 200)}" if entry.detail else "")
        + (f", {printable(entry.worst, 200)}" if entry.worst else "")
        for entry in wrong[:_SHOWN]
    ]
    lines += [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
    names = ", ".join(f"'{printable(entry.path)}'" for entry in wrong[:_SHOWN])
    raise ProductError(
        f"merge: {merge.result}: {count(len(wrong), 'object')} of {len(bound)} in what the command wrote "
        f"{'is' if len(wrong) == 1 else 'are'} not the sum of the parts",
        evidence="\n".join(lines),
        fix=f"correct the command; if it is meant to change them, say so under merge: changes: [{names}]",
    )


def _shown(verdict: Verdict) -> str:
    # That a shard more or less is within the errors does not make it a sum.
    return (Verdict.DIFFERENT if verdict is Verdict.COMPATIBLE else verdict).shown


def _notes(summary: FileSummary, entries: Sequence[Entry]) -> list[str]:
    """What else is to be said: numbers that are none, in objects that the sum does not vouch for."""
    unvouched = {entry.path for entry in entries if entry.verdict not in _AS_THE_SUM}
    bad = [
        path
        for path, item in sorted(summary.objects.items())
        if path in unvouched and item.content is not None and not np.isfinite(item.content).all()
    ]
    if not bad:
        return []
    shown = ", ".join(printable(path) for path in bad[:_SHOWN]) + (", …" if len(bad) > _SHOWN else "")
    return [f"{count(len(bad), 'object')} that it wrote hold{'s' if len(bad) == 1 else ''} NaN or infinity: {shown}"]
