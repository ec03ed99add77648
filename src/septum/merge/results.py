"""Merges the verified outputs of a plan into its results, range by range while parts still arrive.

A range is a fixed stretch of the plan, so the sums are made in the same order whatever order the parts arrive in,
and the same parts give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.errors import MergeFailedError, StructureError, UnexpectedFileError
from septum.ledger import StoredOutput
from septum.merge.engine import Engine
from septum.merge.rootfile import summarize
from septum.merge.summary import FileSummary, Total, entries_by_object, first_difference
from septum.plan import Merge, Plan
from septum.verify import measure

_SMALLEST_RANGE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One merged and verified file, still under its temporary name.

    Attributes:
        name: The result's name in the plan.
        path: Where the file stands now.
        parts: The parts that are in it, in the order of the plan.
        missing: The parts that should be and are not.
        objects: Class and entries of each object.
    """

    name: str
    path: Path
    size_b: int
    sha256: str
    parts: tuple[str, ...]
    missing: tuple[str, ...]
    objects: Mapping[str, tuple[str, float]]


class Merger:
    """Merges for one run.

    Args:
        plan: The plan.
        engine: The engine.
        outputs: The folder of the verified outputs.
        scratch: A folder of its own for partial merges.
    """

    def __init__(self, plan: Plan, engine: Engine, *, outputs: Path, scratch: Path) -> None:
        self._plan, self._engine, self._outputs, self._scratch = plan, engine, outputs, scratch
        self._stored: dict[tuple[str, int], StoredOutput] = {}
        self._failed: set[str] = set()
        self._structures: dict[str, dict[str, list[str]]] = {}
        self._examples: dict[tuple[str, str], FileSummary] = {}
        self._totals: dict[str, Total] = {merge.result: Total() for merge in plan.merges}
        self._results_of: dict[tuple[str, int], list[str]] = {}
        for merge in plan.merges:
            for part in merge.parts:
                self._results_of.setdefault((part, merge.output), []).append(merge.result)
        self._partials: dict[tuple[str, int], tuple[Path, tuple[str, ...]]] = {}

    def add(self, part: str, stored: Sequence[StoredOutput], summaries: Mapping[int, FileSummary]) -> None:
        """Take in the verified outputs of one part."""
        for item in stored:
            self._stored[(part, item.output)] = item
        for number, summary in summaries.items():
            digest = summary.structure
            for result in self._results_of.get((part, number), ()):
                self._structures.setdefault(result, {}).setdefault(digest, []).append(part)
                self._examples.setdefault((result, digest), summary)
                if len(self._structures[result]) == 1:
                    self._totals[result].add(summary)

    def fail(self, part: str) -> None:
        """Know that a part will not deliver."""
        self._failed.add(part)

    def merge_ready(self) -> int:
        """Merge every range whose parts are all known; returns how many ranges were merged now."""
        done = 0
        for merge in self._plan.merges:
            if len(self._structures.get(merge.result, {})) > 1:
                continue
            ranges = _ranges(merge.parts)
            for number, parts in enumerate(ranges):
                key = (merge.result, number)
                if len(ranges) > 1 and key not in self._partials and self._known(merge, parts):
                    self._merge_range(merge, number, parts)
                    done += 1
        return done

    def _known(self, merge: Merge, parts: Sequence[str]) -> bool:
        return all((part, merge.output) in self._stored or part in self._failed for part in parts)

    def _merge_range(self, merge: Merge, number: int, parts: Sequence[str]) -> None:
        present = tuple(part for part in parts if (part, merge.output) in self._stored)
        target = self._scratch / f"{self._plan.merges.index(merge)}.{number}.root"
        if present:
            self._run(merge, target, [self._checked(part, merge.output) for part in present])
        self._partials[(merge.result, number)] = (target, present)

    def _run(self, merge: Merge, target: Path, sources: Sequence[Path]) -> None:
        self._scratch.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"new.{target.name}")
        temporary.unlink(missing_ok=True)
        self._engine.merge(temporary, sources, title=Path(merge.result).name)
        if not temporary.is_file():
            raise MergeFailedError(
                f"merge: {self._engine.name} wrote no file for {merge.result}", fix="check the ROOT installation"
            )
        temporary.replace(target)

    def _checked(self, part: str, output: int) -> Path:
        """The path of an output, after a look that it is still the file that was verified."""
        item = self._stored[(part, output)]
        path = self._outputs / item.path
        if measure(path) != (item.size_b, item.sha256):
            raise UnexpectedFileError(
                f"merge: the output of part {part} was changed after it had been verified",
                evidence=f"{path.name} in {path.parent}",
                fix="remove the state folder and run again; nothing but septum may write into it",
            )
        return path

    def finish(self, *, progress: Callable[[str], None] = lambda _: None) -> list[Result]:
        """Merge what is left and verify every result.

        Returns:
            The results in the order of the plan, under temporary names.

        Raises:
            UnexpectedFileError: The folder of the outputs holds a file that is not in the ledger.
            StructureError: Parts differ in structure.
            MergeFailedError: The engine failed.
            NotConservedError: A merged file does not hold the sum of its parts.
        """
        self.check_folder()
        self._check_structures()
        results = []
        for merge in self._plan.merges:
            progress(merge.result)
            results.append(self._finish_one(merge))
        return results

    def check_folder(self) -> None:
        """Compare the folder of the outputs with the ledger: not a file more, not a file less."""
        expected = {item.path: part for (part, _), item in self._stored.items()}
        found = {path.name for path in self._outputs.iterdir()} if self._outputs.is_dir() else set()
        if extra := sorted(found - set(expected)):
            raise UnexpectedFileError(
                f"merge: {extra[0]!r} in the folder of the outputs belongs to no part of the plan",
                evidence=f"{len(expected)} files are expected in {self._outputs}, {len(found)} are there",
                fix=f"find out who wrote it, then remove it: rm '{self._outputs / extra[0]}'",
            )
        if lost := sorted(set(expected) - found):
            raise UnexpectedFileError(
                f"merge: the output {lost[0]!r} of part {expected[lost[0]]} has gone from the folder of the outputs",
                fix="remove the state folder and run again",
            )

    def _check_structures(self) -> None:
        for result, groups in self._structures.items():
            if len(groups) == 1:
                continue
            by_size = sorted(groups.items(), key=lambda item: (-len(item[1]), min(item[1])))
            (common, most), (other, few) = by_size[0], by_size[1]
            odd = self._plan.by_id[min(few)]
            difference = first_difference(self._examples[(result, common)], self._examples[(result, other)])
            number = self._plan.by_result[result].output
            raise StructureError(
                f"{odd.describe()}: {self._plan.outputs[number].path} differs from other parts of {result}",
                evidence=f"{difference}\n{len(most)} parts such as {min(most)} against {len(few)} such as {odd.id}; "
                "nothing was merged",
                fix="book the same objects with the same axes in every part, filled or not",
            )

    def _finish_one(self, merge: Merge) -> Result:
        ranges = _ranges(merge.parts)
        target = self._scratch / f"{self._plan.merges.index(merge)}.root"
        if len(ranges) == 1:
            present = tuple(part for part in merge.parts if (part, merge.output) in self._stored)
            sources = [self._checked(part, merge.output) for part in present]
        else:
            for number, parts in enumerate(ranges):
                if (merge.result, number) not in self._partials:
                    self._merge_range(merge, number, parts)
            partials = [self._partials[(merge.result, number)] for number in range(len(ranges))]
            sources = [path for path, parts in partials if parts]
            present = tuple(part for _, parts in partials for part in parts)
        if not sources:
            raise MergeFailedError(f"merge: no part of {merge.result} delivered", fix="see the failed parts above")
        self._run(merge, target, sources)
        summary = summarize(target, name=f"merge: {merge.result}")
        self._totals[merge.result].check(summary, name=f"merge: {merge.result}")
        expected = next(iter(self._structures[merge.result]))
        if summary.structure != expected:
            raise StructureError(
                f"merge: {merge.result} has another structure than its parts",
                evidence=first_difference(self._examples[(merge.result, expected)], summary),
                fix="keep the state folder and report this",
            )
        for number in range(len(ranges)):
            (self._scratch / f"{self._plan.merges.index(merge)}.{number}.root").unlink(missing_ok=True)
        size_b, sha256 = measure(target)
        return Result(
            name=merge.result,
            path=target,
            size_b=size_b,
            sha256=sha256,
            parts=present,
            missing=tuple(part for part in merge.parts if part not in set(present)),
            objects=entries_by_object(summary),
        )


def _ranges(parts: Sequence[str]) -> list[Sequence[str]]:
    """Fixed stretches of a result's parts, about as many as there are parts in each; one for a few parts."""
    size = max(_SMALLEST_RANGE, math.isqrt(len(parts)))
    if len(parts) <= 2 * size:
        return [parts]
    return [parts[start : start + size] for start in range(0, len(parts), size)]
