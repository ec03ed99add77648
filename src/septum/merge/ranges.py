"""Merges with an engine that takes whole files: fixed stretches of the plan, while later parts still arrive.

A range is a fixed stretch of the plan, so the sums are made in the same order whatever order the parts arrive in, and
the same parts give the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from septum.errors import MergeFailedError, StructureError
from septum.merge.engine import Finished, Target
from septum.merge.rows import Trees, check_rows, trees_of
from septum.merge.summary import FileSummary, Total, entries_by_object, first_difference
from septum.state import write_whole
from septum.verify import measure

_SMALLEST_RANGE = 20


class FileEngine(Protocol):
    """Merges files of one format; merging merged files gives the same as merging all at once."""

    @property
    def name(self) -> str:
        """Name and version, for the report."""

    @property
    def two_levels(self) -> bool:
        """Whether merging merged ranges gives what one merge of all parts gives."""

    @property
    def stamps(self) -> bool:
        """Whether the title stands inside of the file, and so the stamp."""

    def read(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Read one file; see `septum.merge.engine.Engine`."""

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str]) -> None:
        """Merge sources, in this order, into a new file.

        Args:
            target: Must not exist; what stands there after an error is worthless.
            sources: At least one.
            title: Goes into the file instead of its name, so that equal inputs give equal bytes.
            titles: The part that each source is of; empty for merged ranges. Archives name folders so.

        Raises:
            MergeFailedError: The engine failed or complained.
        """


class Running(Protocol):
    """A merge in a process of its own."""

    def wait(self) -> None:
        """Wait for its end; raises what `FileEngine.merge` does."""

    def stop(self) -> None:
        """End it, if it still runs."""


class RangeMerging:
    """The merge of one result.

    Args:
        engine: What merges.
        target: What is to be made.
        reread: Reads a merged file, from its path and how messages name it; by default as any other file is read.
    """

    def __init__(
        self, engine: FileEngine, target: Target, *, reread: Callable[[Path, str], FileSummary] | None = None
    ) -> None:
        self._engine, self._target = engine, target
        self._reread = reread or (lambda path, name: engine.read(path, name=name))
        self._running: Running | None = None
        self._trees: dict[str, Trees] = {}
        self._digests: dict[str, str] = {}
        self._failed: set[str] = set()
        self._structures: dict[str, list[str]] = {}
        self._examples: dict[str, FileSummary] = {}
        self._total = Total()
        self._partials: dict[int, tuple[Path, tuple[str, ...]]] = {}
        self._ranges = ranges(target.parts) if engine.two_levels else [target.parts]

    def add(self, part: str, reading: FileSummary, *, sha256: str = "") -> None:  # noqa: ARG002 - no checkpoint
        """Take in a part."""
        self._digests[part] = reading.digest if self._running is None else ""
        self._trees[part] = trees_of(reading)
        structure = reading.structure
        self._structures.setdefault(structure, []).append(part)
        self._examples.setdefault(structure, reading)
        if len(self._structures) == 1:
            self._total.add(reading)

    def begin(self, start: Callable[[Path, Sequence[Path], str], Running]) -> None:
        """Merge all parts in one step while they are read, which is of use where none is still to come.

        Args:
            start: Begins what `FileEngine.merge` does, in a process of its own.
        """
        path = self._target.path.with_name(f"new.{self._target.path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        sources = [self._target.source(part) for part in self._target.parts]
        self._running = start(path, sources, self._target.inscription(""))

    def stop(self) -> None:
        """End what `begin` began, if it still runs."""
        if self._running is not None:
            self._running.stop()

    def fail(self, part: str) -> None:
        """Know that a part will not deliver."""
        self._failed.add(part)

    def ready(self) -> int:
        """Merge every range whose parts are all known; returns how many."""
        if len(self._structures) > 1 or len(self._ranges) == 1 or self._running is not None:
            return 0
        done = 0
        for number, parts in enumerate(self._ranges):
            if number not in self._partials and all(part in self._digests or part in self._failed for part in parts):
                self._merge_range(number, parts)
                done += 1
        return done

    def _merge_range(self, number: int, parts: Sequence[str]) -> None:
        present = tuple(part for part in parts if part in self._digests)
        path = self._target.scratch / f"{self._target.key}.{number}{self._target.path.suffix}"
        if present and not self._is_there(path, present):
            self._run(path, [self._target.source(part) for part in present], self._target.inscription(""), present)
            write_whole(_note(path), json.dumps(self._facts(path, present)))
        self._partials[number] = (path, present)

    def _facts(self, path: Path, parts: Sequence[str]) -> list[object]:
        """What a partial merge was made of and by, and its checksum."""
        return [self._engine.name, [[part, self._digests[part]] for part in parts], list(measure(path))]

    def _is_there(self, path: Path, parts: Sequence[str]) -> bool:
        """Whether an earlier merger, which was killed, has merged just these parts, and the file is as it was."""
        try:
            return bool(json.loads(_note(path).read_text(encoding="utf-8")) == self._facts(path, parts))
        except (OSError, ValueError):
            return False

    def _run(self, path: Path, sources: Sequence[Path], title: str, titles: Sequence[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"new.{path.name}")
        temporary.unlink(missing_ok=True)
        self._engine.merge(temporary, sources, title=title, titles=titles)
        self._take(temporary, path)

    def _take(self, temporary: Path, path: Path) -> None:
        if not temporary.is_file():
            raise MergeFailedError(
                f"merge: {self._engine.name} wrote no file for {self._target.name}", fix="check the ROOT installation"
            )
        temporary.replace(path)

    def finish(self) -> Finished:
        """Merge the ranges that are left, then the ranges, and verify."""
        self._check_structures()
        if self._running is not None:
            self._running.wait()
            self._take(self._target.path.with_name(f"new.{self._target.path.name}"), self._target.path)
            present, stamp = self._target.parts, ""
        else:
            present, stamp = self._merge_rest()
        summary = self._verify(present)
        for path, _ in self._partials.values():
            path.unlink(missing_ok=True)
            _note(path).unlink(missing_ok=True)
        return Finished(parts=present, objects=entries_by_object(summary), stamp=stamp)

    def _merge_rest(self) -> tuple[tuple[str, ...], str]:
        """Merge what is left; returns the parts that are in the result, and its stamp."""
        if len(self._ranges) == 1:
            present = tuple(part for part in self._target.parts if part in self._digests)
            sources, titles = [self._target.source(part) for part in present], list(present)
        else:
            for number, parts in enumerate(self._ranges):
                if number not in self._partials:
                    self._merge_range(number, parts)
            partials = [self._partials[number] for number in range(len(self._ranges))]
            sources = [path for path, parts in partials if parts]
            present = tuple(part for _, parts in partials for part in parts)
            titles = [""] * len(sources)
        if not sources:
            raise MergeFailedError(f"merge: no part of {self._target.name} delivered", fix="see the failed parts above")
        stamp = self._target.stamp([(part, self._digests[part]) for part in present]) if self._engine.stamps else ""
        self._run(self._target.path, sources, self._target.inscription(stamp), titles)
        return present, stamp

    def _verify(self, present: Sequence[str]) -> FileSummary:
        """Read the merged file, and compare it with the parts."""
        name = f"merge: {self._target.name}"
        summary = self._reread(self._target.path, name)
        self._total.check(summary, name=name)
        expected = next(iter(self._structures))
        if summary.structure != expected:
            raise StructureError(
                f"{name} has another structure than its parts",
                evidence=first_difference(self._examples[expected], summary),
                fix="keep the state folder and report this",
            )
        check_rows(
            self._target.path,
            trees_of(summary),
            [self._trees[part] for part in present],
            sources=lambda: map(self._target.source, present),
            name=name,
        )
        return summary

    def _check_structures(self) -> None:
        if len(self._structures) < 2:  # noqa: PLR2004 - one structure is how it should be
            return
        by_size = sorted(self._structures.items(), key=lambda item: (-len(item[1]), min(item[1])))
        (common, most), (other, few) = by_size[0], by_size[1]
        raise StructureError(
            f"{self._target.describe.get(min(few), min(few))} differs from other parts of {self._target.name}",
            evidence=f"{first_difference(self._examples[common], self._examples[other])}\n"
            f"{len(most)} parts such as {min(most)} against {len(few)} such as {min(few)}; nothing was merged",
            fix="book the same objects with the same axes in every part, filled or not",
        )


def _note(path: Path) -> Path:
    """Where it is noted what a partial merge was made of."""
    return path.with_name(f"{path.name}.json")


def ranges(parts: Sequence[str]) -> list[Sequence[str]]:
    """Fixed stretches of a result's parts, about as many as there are parts in each; one for a few parts."""
    size = max(_SMALLEST_RANGE, math.isqrt(len(parts)))
    if len(parts) <= 2 * size:
        return [parts]
    return [parts[start : start + size] for start in range(0, len(parts), size)]
