"""The merge of one result: takes parts in any order, and gives the same bytes for every order.

Parts of one structure are summed together. Structures that differ only in what a policy allows, or in whether errors
were kept, are brought together at the end; all others are an error that names the odd part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from septum.errors import StructureError
from septum.merge.strict.contents import Contents, Info
from septum.merge.strict.differences import BOOK, Difference, first_difference
from septum.merge.strict.group import Group
from septum.merge.strict.rewrite import rewritten
from septum.merge.strict.rounding import rounded
from septum.merge.strict.shape import Shape
from septum.merge.strict.together import bring_together, info_of

_MAX_GROUPS = 64
"""Structures that are summed at the same time; with more, the parts have nothing in common."""
_CROWDED = 12
"""With so many structures, those that can be brought together are: each takes the memory of a whole result."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Merged:
    """A finished merge.

    Attributes:
        shape: The structure of the result.
        payload: The bytes of its objects, in the order of `shape`.
        chosen: The bytes of objects taken from the first part, by path.
        info: What the file takes over.
        numbers: The sums as they are in `payload`, in float64.
    """

    shape: Shape
    payload: bytes
    chosen: Mapping[str, bytes]
    info: Info
    numbers: npt.NDArray[np.float64]

    def piece(self, path: str, key_b: int) -> bytes:
        """The bytes of one object, as they are behind a key of so many bytes.

        Raises:
            RewriteError: It holds marks that count from the key and that nobody has looked at.
        """
        if path in self.chosen:
            return self.chosen[path]
        entry = self.shape.entries[self.shape.by_path[path]]
        data = self.payload[entry.start : entry.start + entry.size_b]
        return data if key_b == entry.key_b else rewritten(entry.layout, data, (), key_b=entry.key_b, new_key_b=key_b)


class Accumulator:
    """Adds parts.

    Args:
        policies: The relaxed policies by name, as `septum.yaml` spells them.
        digests: Whether the hashes of what parts hold are wanted.
    """

    def __init__(self, policies: Mapping[str, str], *, digests: bool = True) -> None:
        self.policies = policies
        self._digests = digests
        self.groups: list[Group] = []
        self._group_of: dict[Shape, Group] = {}
        self._crowded_at = _CROWDED
        self.parts: dict[str, tuple[int, str]] = {}
        """Number in the plan and content hash of each part that is in."""

    @property
    def ordered(self) -> bool:
        """Whether parts must come in the order of the plan."""
        return self.policies.get("sums") == "plain"

    @property
    def _by_name(self) -> bool:
        return self.policies.get("labels") == "by-name"

    def add(self, part: str, index: int, contents: Contents) -> None:
        """Add one part; `index` is its number in the plan.

        Raises:
            StructureError: There are too many structures.
        """
        if part in self.parts:
            raise ValueError(f"part {part} is in already")
        shape = contents.shape
        group = self._group_of.get(shape)
        if group is None:
            group = self._group_of[shape] = self._group(part, shape)
        group.add(part, index, contents, by_name=self._by_name)
        self.parts[part] = (index, contents.digest if self._digests else "")
        self._make_room()

    def _group(self, part: str, shape: Shape) -> Group:
        """The group of a structure that this merge has not seen by this name."""
        for group in self.groups:
            if not group.together and group.shape.in_order(shape) and group.shape.agrees(shape.payload):
                return group
        if len(self.groups) == _MAX_GROUPS:
            raise StructureError(
                f"part {part}: there are {_MAX_GROUPS} structures already, and its is another one",
                evidence="parts that differ so much do not merge",
                fix=BOOK,
            )
        self.groups.append(Group.empty(shape, ordered=self.ordered))
        return self.groups[-1]

    def join(self, other: Accumulator) -> None:
        """Add all that another accumulator has added."""
        self.parts.update(other.parts)
        for group in other.groups:
            own = next((own for own in self.groups if own.is_like(group)), None)
            if own is None:
                self.groups.append(group)
            else:
                own.merge(group)
        self._make_room()

    def _make_room(self) -> None:
        """Bring structures together before there are so many that the memory does not hold their sums."""
        if len(self.groups) < self._crowded_at or self.ordered:
            return
        if self._odd_one() is not None:
            # The end of the merge names it.
            self._crowded_at = _MAX_GROUPS + 1
            return
        self.groups = [bring_together(self.groups, by_name=self._by_name, describe=str)]
        self._group_of.clear()

    def finish(self, *, name: str, describe: Mapping[str, str] | None = None) -> Merged:
        """Bring everything together.

        Args:
            name: The result, for messages.
            describe: How messages name a part, by its id.

        Raises:
            StructureError: Parts differ in what must be equal.
            NotAdditiveError: A sum is larger than its type can hold.
            NotConservedError: The sums are not those of the parts.
        """
        if not self.groups:
            raise ValueError("nothing was added")
        names = describe or {}
        whole = self._together(name, lambda part: names.get(part, part))
        whole.check(name)
        numbers, payload = rounded(
            whole,
            name,
            clip=self.policies.get("saturation") == "round",
            finite=self.policies.get("non-finite") != "keep",
        )
        chosen: dict[str, bytes] = {}
        for model in whole.models:
            chosen = {**model.chosen, **chosen}
        return Merged(shape=whole.shape, payload=payload, chosen=chosen, info=info_of(whole.models), numbers=numbers)

    def let_go(self) -> None:
        """Give the sums back, which nothing is added to any more; what is known of the parts stays."""
        self.groups.clear()
        self._group_of.clear()

    def _together(self, name: str, describe: Callable[[str], str]) -> Group:
        for group in self.groups:
            group.check(name)
        if len(self.groups) == 1:
            return self.groups[0]
        common = self._common()
        found = self._odd_one()
        if found is not None:
            odd, difference = found
            first, model = (min(group.parts, key=lambda part: self.parts[part]) for group in (odd, common))
            raise StructureError(
                f"{describe(first)} differs from other parts of {name}",
                evidence=f"{difference.what}\n{_count(common)} such as {describe(model)} against {_count(odd)} such as "
                f"{describe(first)}; nothing was merged",
                fix=difference.fix,
            )
        return bring_together(self.groups, by_name=self._by_name, describe=describe)

    def _common(self) -> Group:
        """The structure of most parts."""
        return min(self.groups, key=lambda group: (-len(group.parts), group.index))

    def _odd_one(self) -> tuple[Group, Difference] | None:
        """The rarest structure that cannot be brought together with that of most parts, and why."""
        common = self._common()
        for odd in sorted(self.groups, key=lambda group: (len(group.parts), group.index)):
            if odd is common:
                continue
            difference = first_difference(common.shape, odd.shape, self.policies)
            if difference is None and self.ordered:
                difference = Difference(
                    "errors (Sumw2) are kept in some parts only, objects are missing in some, or labels differ",
                    BOOK + "; or, in septum.yaml, take exact sums: policies: {sums: exact}",
                )
            if difference is not None:
                return odd, difference
        return None


def _count(group: Group) -> str:
    return f"{len(group.parts)} part{'' if len(group.parts) == 1 else 's'}"
