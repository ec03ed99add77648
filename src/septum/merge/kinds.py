"""Parts of several kinds: any two have the same objects, or none in common. A part that forgot some is seen. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from septum.errors import StructureError
from septum.merge.engine import Reading


def object_paths(reading: Reading) -> frozenset[str]:
    """The paths of all objects of an output that was read."""
    shape = getattr(reading, "shape", None)
    return frozenset(shape.by_path if shape is not None else getattr(reading, "objects", ()))


@dataclass(slots=True)
class Kinds:
    """Which objects the parts of one result have."""

    _parts: dict[frozenset[str], list[str]] = field(default_factory=dict)

    def add(self, part: str, paths: frozenset[str]) -> None:
        """Note what a part has; once more is the same."""
        parts = self._parts.setdefault(paths, [])
        if part not in parts[-1:]:
            parts.append(part)

    def check(self, describe: Callable[[str], str]) -> None:
        """Look whether the parts fall into groups.

        Args:
            describe: How messages name a part.

        Raises:
            StructureError: Two parts have some objects in common, and not all.
        """
        for one, other in itertools.combinations(sorted(self._parts, key=lambda paths: min(self._parts[paths])), 2):
            if one.isdisjoint(other):
                continue
            # The rarer kind is the odd one.
            odd, common = sorted((one, other), key=lambda paths: len(self._parts[paths]))
            path = min(odd ^ common)
            has, lacks = (odd, common) if path in odd else (common, odd)
            raise StructureError(
                f"{describe(min(self._parts[odd]))} has some of the objects of other parts, and not all",
                evidence=f"{path!r} is in {describe(min(self._parts[has]))} and not in "
                f"{describe(min(self._parts[lacks]))}; nothing was merged",
                fix="book the same objects in every part of a sample, filled or not; or, in septum.yaml: "
                "policies: {missing-objects: union}",
            )
