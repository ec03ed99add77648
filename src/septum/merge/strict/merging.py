"""The strict engine as the merger of a run sees it: reads each part once, keeps a checkpoint, writes and verifies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from septum.errors import MergeFailedError, NotConservedError, StructureError
from septum.merge.engine import Finished, Target
from septum.merge.memory import give_back
from septum.merge.strict import checkpoint, streamers
from septum.merge.strict.accumulator import Accumulator, Merged
from septum.merge.strict.check import check_objects, shown
from septum.merge.strict.contents import Contents, Info, Reader, UnknownClassError
from septum.merge.strict.records import Folder
from septum.merge.strict.writer import write

if TYPE_CHECKING:
    from septum.merge.strict.shape import Shape

_CHECKPOINT_PARTS = 20
_HELD = 16
"""Parts that wait in memory for their turn."""
_LOOKED_AT = 64
"""Structures whose first file uproot reads, too."""


class Strict:
    """The engine for one output of the plan.

    Args:
        policies: The relaxed policies by name.
        early: Whether uproot reads the first file of each structure, so that what it reads otherwise shows before the
            last part is in. The result is always held against uproot.
        digests: Whether the hashes of what parts hold are wanted.
    """

    def __init__(self, policies: Mapping[str, str], *, early: bool = True, digests: bool = True) -> None:
        self._policies, self._reader, self._early = policies, Reader(policies), early
        self.digests = digests
        self._seen: set[Shape] = set()

    @property
    def name(self) -> str:
        """Name and version, for the report."""
        import septum

        return f"strict (septum {septum.__version__}, numpy {np.__version__})"

    def read(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> Contents:
        """Read a file to its last byte; the first of each structure with uproot as well."""
        try:
            contents = self._reader.read(path, name=name, expected=expected)
        except UnknownClassError as error:
            raise StructureError(
                f"{name}: holds {_shown(str(error))}, which does not merge with histograms",
                fix="write trees and other objects into an output of their own",
            ) from error
        if self._early and contents.shape not in self._seen and len(self._seen) < _LOOKED_AT:
            check_objects(path, contents.shape, contents.numbers, name=name)
            self._seen.add(contents.shape)
        return contents

    def known(self, classes: Mapping[str, tuple[str, int]], payload: bytes) -> Shape | None:
        """A structure that has been read already, if there is one of these objects with these bytes."""
        return self._reader.known(classes, payload)

    def begin(self, target: Target) -> StrictMerging:
        """Begin a result."""
        return StrictMerging(self, target, self._policies)

    def resume(self, target: Target, files: Mapping[str, str]) -> StrictMerging | None:
        """Go on with a result where its checkpoint stands.

        Args:
            target: The result.
            files: The sha256 of the verified output of each part.

        Returns:
            None if there is no checkpoint, or one of other files.
        """
        merging = StrictMerging(self, target, self._policies)
        return merging if merging.resume(files) else None


class _Digests(Mapping[str, str]):
    """The hashes of parts, where they stand."""

    def __init__(self, parts: Mapping[str, tuple[int, str]]) -> None:
        self._parts = parts

    def __getitem__(self, part: str) -> str:
        return self._parts[part][1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


class StrictMerging:
    """The merge of one result."""

    def __init__(self, engine: Strict, target: Target, policies: Mapping[str, str]) -> None:
        self._engine, self._target = engine, target
        self._sums = Accumulator(policies, digests=engine.digests)
        self._index = {part: number for number, part in enumerate(target.parts)}
        self._files: dict[str, str] = {}
        self._waiting: dict[str, Contents | None] = {}
        """Parts that wait for their turn; those beyond the first few are read again then."""
        self._failed: set[str] = set()
        self._next = 0
        self._saved = 0

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint stands."""
        return self._target.scratch / f"{self._target.key}.sums"

    @property
    def parts(self) -> Mapping[str, str]:
        """The parts that are in, with the hash of what they hold; asked for once a part, so nothing is copied."""
        return _Digests(self._sums.parts)

    def add(self, part: str, reading: Contents, *, sha256: str = "") -> None:
        """Take in a part; with plain sums it waits for its turn."""
        self._files[part] = sha256
        if not self._sums.ordered:
            self._sums.add(part, self._index[part], reading)
            return
        held = sum(1 for item in self._waiting.values() if item is not None)
        self._waiting[part] = reading if held < _HELD else None
        self._feed()

    def fail(self, part: str) -> None:
        """Know that a part will not deliver."""
        self._failed.add(part)
        if self._sums.ordered:
            self._feed()

    def _feed(self) -> None:
        while self._next < len(self._target.parts):
            part = self._target.parts[self._next]
            if part in self._waiting:
                reading = self._waiting.pop(part) or self._again(part)
                self._sums.add(part, self._next, reading)
            elif part not in self._failed:
                return
            self._next += 1

    def _again(self, part: str) -> Contents:
        return self._engine.read(self._target.source(part), name=self._target.describe.get(part, part))

    def ready(self) -> int:
        """Write a checkpoint when enough parts have been added since the last one."""
        step = max(_CHECKPOINT_PARTS, len(self._target.parts) // 20)
        if self._sums.ordered or len(self._sums.parts) - self._saved < step:
            return 0
        self.save()
        return 1

    def save(self) -> None:
        """Write a checkpoint: from here, a restarted merge goes on."""
        checkpoint.save(self.checkpoint, self._sums, self._files)
        self._saved = len(self._sums.parts)

    def resume(self, files: Mapping[str, str]) -> bool:
        """Take up a checkpoint if it holds just parts of these files."""
        found = checkpoint.load(self.checkpoint, self._sums.policies, self._engine.known)
        if found is None or self._sums.ordered:
            return False
        sums, held = found
        if any(files.get(part) != sha256 for part, sha256 in held.items()):
            return False
        if any(self._index.get(part) != index for part, (index, _) in sums.parts.items()):
            return False
        self._sums, self._files, self._saved = sums, dict(held), len(held)
        return True

    def join(self, other: StrictMerging) -> None:
        """Add all that another merging of the same result has added."""
        self._sums.join(other._sums)
        self._files.update(other._files)

    def finish(self) -> Finished:
        """Round, write, read back, compare."""
        name = f"merge: {self._target.name}"
        if not self._sums.parts:
            raise MergeFailedError(f"merge: no part of {self._target.name} delivered", fix="see the failed parts above")
        give_back()
        merged = self._sums.finish(name=self._target.name, describe=self._target.describe)
        present = tuple(part for part in self._target.parts if part in self._sums.parts)
        stamp = self._target.stamp([(part, self._sums.parts[part][1]) for part in present])
        self._sums.let_go()
        give_back()
        path = self._target.path
        temporary = path.with_name(f"new.{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            write(temporary, merged, name=self._target.inscription(stamp), title="")
        except OSError as error:
            raise MergeFailedError(
                f"{name}: the file cannot be written: {(error.strerror or str(error)).lower()}",
                fix=f"look whether there is space in '{path.parent}', and whether it can be written",
            ) from error
        self._read_back(temporary, merged, name)
        shape, numbers = merged.shape, merged.numbers
        del merged  # uproot takes as much memory as all that came before
        give_back()
        check_objects(temporary, shape, numbers, name=name)
        temporary.replace(path)
        return Finished(parts=present, objects=shown(shape, numbers), stamp=stamp)

    def _read_back(self, path: Path, merged: Merged, name: str) -> None:
        """Read the file back with a fresh reader of our own, and compare every byte."""
        # Averages, full counters and infinities are where a policy has allowed them; the bytes must still be these.
        again = Reader({**self._sums.policies, "saturation": "round", "non-finite": "keep"}).read(path, name=name)
        if not _same(again, merged) or not _alike(again.info, merged.info):
            raise NotConservedError(
                f"{name}: the file does not hold what was written into it", fix="is the disk full or broken?"
            )


def _shown(text: str) -> str:
    """A class or a member as a file calls it: plain, if it is what such names are made of."""
    return text[:100] if text.isprintable() else repr(text[:100])


def _alike(one: Info, other: Info) -> bool:
    """Whether two files have the same folders and objects, in the same order, and describe their classes alike."""
    described = streamers.behind(other.streamers, other.streamers_key_b, one.streamers_key_b)
    same = (one.streamers, one.compress) == (described, other.compress)
    return same and _names(one.top)[2:] == _names(other.top)[2:]


def _names(folder: Folder) -> tuple[object, ...]:
    keys = tuple((key.kind, key.name, key.title) for key in folder.objects)
    return folder.name, folder.title, keys, tuple(map(_names, folder.folders))


def _same(read: Contents, merged: Merged) -> bool:
    if set(read.shape.by_path) != set(merged.shape.by_path) or dict(read.chosen) != dict(merged.chosen):
        return False
    return all(
        entry.path in merged.chosen or read.shape.piece(entry) == merged.piece(entry.path, entry.key_b)
        for entry in read.shape.entries
    )
