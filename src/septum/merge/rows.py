"""That merged trees hold the rows of their parts: all of them, unchanged, in the order of the parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from septum.errors import NotConservedError
from septum.merge.summary import Baskets, FileSummary

_FIX = "keep the state folder and report this: the merge engine lost, invented or moved something"

Trees = Mapping[str, Mapping[str, Baskets] | None]
"""The baskets of each tree of a file, by its path; None for one that was read by its columns."""


def trees_of(summary: FileSummary) -> Trees:
    """What there is to compare of a file; empty if none of its trees was read basket by basket."""
    if all(item.baskets is None for item in summary.objects.values()):
        return {}
    return {path: item.baskets for path, item in summary.objects.items()}


def check_rows(
    merged: Path,
    trees: Trees,
    parts: Sequence[Trees],
    *,
    sources: Callable[[], Iterable[Path]],
    name: str,
) -> None:
    """Compare the trees of a merged file with those of its parts.

    Where the baskets of the parts were copied as they are, this is a look at their hashes. Else, as when the parts are
    compressed in different ways, the columns of all files are read and compared, value by value.

    Args:
        merged: The file.
        trees: Its trees.
        parts: Those of its parts, in their order.
        sources: Gives the files of the parts.
        name: How messages name the merged file.

    Raises:
        NotConservedError: Rows are lost, doubled, changed, or in another order.
    """
    if not trees and not any(parts):
        return
    if _are_copied(trees, parts):
        return
    from septum.merge.rootfile import hash_columns

    found, expected = hash_columns([merged]), hash_columns(sources())
    for tree, column in sorted({*found, *expected}):
        if found.get((tree, column)) != expected.get((tree, column)):
            raise NotConservedError(
                f"{name}: column {column!r} of {tree!r} does not hold the rows of its parts",
                evidence="read value by value, the merged file and its parts, in their order, are not the same",
                fix=_FIX,
            )
    _check_lengths(trees, parts, name)


def _are_copied(trees: Trees, parts: Sequence[Trees]) -> bool:
    """Whether each branch has just the baskets of the parts, in their order."""
    if any(set(part) != set(trees) for part in parts):
        return False
    for path, branches in trees.items():
        held = [part[path] for part in parts]
        if branches is None or any(other is None or set(other) != set(branches) for other in held):
            return False
        for branch, baskets in branches.items():
            theirs = [other[branch] for other in held if other is not None]
            if baskets.copied != b"".join(other.copied for other in theirs):
                return False
    return True


def _check_lengths(trees: Trees, parts: Sequence[Trees], name: str) -> None:
    """Compare the lengths of branches, of which there may be some whose rows nothing interprets."""
    for path, branches in trees.items():
        for branch, baskets in (branches or {}).items():
            held = [(part.get(path) or {}).get(branch) for part in parts]
            rows = sum(other.rows for other in held if other is not None)
            if None not in held and rows != baskets.rows:
                raise NotConservedError(
                    f"{name}: branch {branch!r} of {path!r} has {baskets.rows} rows, its parts have {rows}",
                    fix=_FIX,
                )
