"""Merges the verified outputs of a plan into its results while parts still arrive, each output with its engine.

A merge takes an explicit list of parts; a file that no part of the plan wrote, or that is not what it was when it was
verified, ends it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import MergeFailedError, ProductError, UnexpectedFileError
from septum.ledger import StoredOutput
from septum.manifest import COMMAND, OwnMerge
from septum.merge.engine import Engine, Merging, Reading, Target
from septum.merge.kinds import Kinds, object_paths
from septum.plan import Merge, Part, Plan
from septum.provenance.stamp import stamp
from septum.verify import measure

if TYPE_CHECKING:
    from septum.merge.command import HandOver, Way
    from septum.merge.product import Checked
    from septum.merge.strict.merging import Strict
    from septum.merge.summary import FileSummary

Choose = Callable[[Path, str], Engine]
"""The engine for an output: from its first file, and how messages name that one: by part and path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One merged and verified file, still under its temporary name.

    Attributes:
        name: The result's name in the plan.
        path: Where the file stands now.
        parts: The parts that are in it, in the order of the plan.
        missing: The parts that should be and are not.
        objects: Class and entries of each object.
        stamp: What stands inside of it.
        engine: What merged it.
        own: The framework's own merge, if the plan has one for this result.
    """

    name: str
    path: Path
    size_b: int
    sha256: str
    parts: tuple[str, ...]
    missing: tuple[str, ...]
    objects: Mapping[str, tuple[str, float]]
    stamp: str = ""
    engine: str = ""
    own: OwnMerge | None = None


class Merger:
    """Merges for one run.

    Args:
        plan: The plan.
        choose: Gives the engine of an output.
        outputs: The folder of the verified outputs.
        scratch: A folder of its own for partial merges.
        way: How frameworks' own merges are run; needed for a plan that has one.
    """

    def __init__(self, plan: Plan, choose: Choose, *, outputs: Path, scratch: Path, way: Way | None = None) -> None:
        self._plan, self._choose, self._outputs, self._scratch, self._way = plan, choose, outputs, scratch, way
        self._stored: dict[tuple[str, int], StoredOutput] = {}
        self._failed: set[str] = set()
        self._engines: dict[int, Engine] = {}
        self._mergings: dict[str, Merging] = {}
        self._merges_of: dict[tuple[str, int], list[Merge]] = {}
        for merge in plan.merges:
            for part in merge.parts:
                self._merges_of.setdefault((part, merge.output), []).append(merge)
        self._objects: dict[str, Kinds] = {}
        self.contents: dict[tuple[str, int], str] = {}
        """The sha256 of what each merged output holds, by part and number of the output."""

    # ── what arrives ────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, part: Part, number: int, path: Path) -> Reading | None:
        """Read one output and check it; None for one that is not merged and is no ROOT file.

        Raises:
            PartError: It is damaged, or an object is missing.
            StructureError: It holds something whose merge cannot be checked.
            EngineMissingError: What would merge it is not installed.
        """
        output = self._plan.outputs[number]
        name = self._describe(part, number)
        if number in self._plan.merged_outputs:
            return self._engine(number, path, name).read(path, name=name, expected=output.objects)
        if not output.path.endswith(".root"):
            return None
        from septum.merge.rootfile import summarize

        return summarize(path, name=name, expected=output.objects, merged=False)

    def _engine(self, number: int, path: Path, name: str) -> Engine:
        if number not in self._engines:
            self._engines[number] = self._choose(path, name)
        return self._engines[number]

    def resume(self, stored: Sequence[StoredOutput]) -> set[tuple[str, int]]:
        """Take up the checkpoints that an earlier merger of this run left.

        Args:
            stored: All verified outputs, after a look that they are still what they were.

        Returns:
            The outputs, by part and number, that need not be read again.
        """
        self._stored.update({(item.part, item.output): item for item in stored})
        held: dict[tuple[str, int], list[str]] = {}
        for merge in self._plan.merges:
            files = {item.part: item.sha256 for item in stored if item.output == merge.output}
            if not self._target(merge).path.with_suffix(".sums").is_file():
                continue
            found = self._strict(merge.output).resume(self._target(merge), files)
            if found is None:
                continue
            self._mergings[merge.result] = found
            for part, digest in found.parts.items():
                held.setdefault((part, merge.output), []).append(merge.result)
                self.contents[part, merge.output] = digest
        if self._by_groups:
            return set()  # what each part has does not stand in a checkpoint
        return {key for key, results in held.items() if len(results) == len(self._merges_of[key])}

    @property
    def _by_groups(self) -> bool:
        return dict(self._plan.policies).get("missing-objects") == "groups"

    def _strict(self, number: int) -> Strict:
        from septum.merge.strict.merging import Strict

        engine = self._engines.setdefault(number, Strict(dict(self._plan.policies)))
        if not isinstance(engine, Strict):
            raise MergeFailedError("merge: a checkpoint of another engine", fix="remove the state folder's 'merge'")
        return engine

    def add(self, part: str, stored: Sequence[StoredOutput], readings: Mapping[int, Reading]) -> None:
        """Take in the verified outputs of one part, and what was read of them."""
        self._stored.update({(item.part, item.output): item for item in stored})
        for number, reading in readings.items():
            for merge in self._merges_of.get((part, number), ()):
                merging = self._merging(merge)
                if self._by_groups:
                    self._objects.setdefault(merge.result, Kinds()).add(part, object_paths(reading))
                if part not in getattr(merging, "parts", ()):
                    self._add(merging, part, number, reading)
            if (part, number) in self._merges_of:
                self.contents[part, number] = reading.digest

    def _add(self, merging: Merging, part: str, number: int, reading: Reading) -> None:
        merging.add(part, reading, sha256=self._stored[part, number].sha256)

    def _merging(self, merge: Merge) -> Merging:
        if merge.result not in self._mergings:
            made = self._mergings[merge.result] = self._engines[merge.output].begin(self._target(merge))
            for part in self._failed.intersection(merge.parts):
                made.fail(part)
        return self._mergings[merge.result]

    def _target(self, merge: Merge) -> Target:
        return Target(
            name=merge.result,
            parts=merge.parts,
            describe={part: self._describe(self._plan.by_id[part], merge.output) for part in merge.parts},
            source=lambda part: self._checked(part, merge.output),
            stamp=lambda parts: stamp(self._plan.work, parts),
            scratch=self._scratch,
            key=str(self._plan.merges.index(merge)),
            policies=dict(self._plan.policies),
        )  # fmt: skip

    def _describe(self, part: Part, number: int) -> str:
        return f"{part.describe()}: {self._plan.output_path(part, number)}"

    def fail(self, part: str) -> None:
        """Know that a part will not deliver."""
        self._failed.add(part)
        for merging in self._mergings.values():
            merging.fail(part)

    def merge_ready(self) -> int:
        """Do what can be done before the last part; returns how many steps were done."""
        return sum(merging.ready() for merging in self._mergings.values())

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

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────

    def finish(self, *, progress: Callable[[str], None] = lambda _: None) -> list[Result]:
        """Merge what is left and verify every result.

        Returns:
            The results in the order of the plan, under temporary names.

        Raises:
            UnexpectedFileError: The folder of the outputs holds a file that is not in the ledger.
            StructureError: Parts differ in structure.
            MergeFailedError: The engine failed.
            NotConservedError: A merged file does not hold the sum of its parts.
            HandedOver: A framework's own merge is to be run elsewhere.
            MergeCommandError: A framework's own merge failed, or gave something else than the sum of the parts.
        """
        self.check_folder()
        results = []
        for merge in self._plan.merges:
            progress(merge.result)
            results.append(self._finish_one(merge))
        if any(merge.command is not None for merge in self._plan.merges):
            return self._by_commands(results, progress)
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

    def _finish_one(self, merge: Merge) -> Result:
        if merge.result not in self._mergings:
            raise MergeFailedError(f"merge: no part of {merge.result} delivered", fix="see the failed parts above")
        for part in merge.parts:
            if (part, merge.output) in self._stored:
                self._checked(part, merge.output)
        if merge.result in self._objects:
            self._objects[merge.result].check(lambda part: self._describe(self._plan.by_id[part], merge.output))
        finished = self._mergings[merge.result].finish()
        path = self._target(merge).path
        size_b, sha256 = measure(path)
        present = set(finished.parts)
        return Result(
            name=merge.result,
            path=path,
            size_b=size_b,
            sha256=sha256,
            parts=finished.parts,
            missing=tuple(part for part in merge.parts if part not in present),
            objects=finished.objects,
            stamp=finished.stamp,
            engine=self._engines[merge.output].name,
        )

    # ── frameworks' own merges ──────────────────────────────────────────────────────────────────────────────────

    def _by_commands(self, sums: Sequence[Result], progress: Callable[[str], None]) -> list[Result]:
        """Put what the frameworks' own merges wrote in the place of the sums that it was compared with."""
        from septum.merge.command import HandOver, get_products

        of = self._plan.by_result
        own = [total for total in sums if of[total.name].command is not None]
        if self._plan.whole_count is not None:  # a choice of parts: such a command wants the complete set
            return [replace(total, own=_not_run(of[total.name])) if total in own else total for total in sums]
        if self._way is None or any(total.missing for total in own):
            raise MergeFailedError(
                "merge: a framework's own merge runs over the complete set", fix="run the missing parts again"
            )
        handed = {
            total.name: HandOver(
                self._scratch / f"command-{self._plan.merges.index(of[total.name])}",
                self._plan,
                of[total.name],
                self._stored,
                outputs=self._outputs,
                way=self._way,
            )
            for total in own
        }
        get_products(list(handed.values()), self._way, folder=self._scratch, progress=progress)
        return [self._product(total, handed[total.name]) if total.name in handed else total for total in sums]

    def _product(self, total: Result, handed: HandOver) -> Result:
        """What the command wrote, after its comparison with the sum of the parts."""
        product = handed.product
        from septum.merge.command import first_word
        from septum.merge.product import Sum, check

        merge = self._plan.by_result[total.name]
        measure_of = Sum(path=total.path, sha256=total.sha256, stamp=total.stamp, objects=tuple(total.objects))
        try:
            found: Checked = check(product, measure_of, merge, lambda path, name: self._read_product(merge, path, name))
        except ProductError as error:
            if not (said := handed.said()):
                raise
            evidence = f"{error.evidence}\nthe end of the command's log:\n{said}"
            raise ProductError(error.what, evidence=evidence, fix=error.fix) from error
        # Under a name of its own: what is published is moved, and a collect that is started again wants this one.
        path = total.path.with_name(f"product-{total.path.name}")
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.link(product, path)
        if not path.is_file():
            shutil.copyfile(product, path)
        size_b, sha256 = measure(path)
        return replace(
            total,
            path=path,
            size_b=size_b,
            sha256=sha256,
            objects=found.objects,
            stamp="",
            engine=COMMAND + first_word(merge.command or ""),
            own=found.own,
        )

    def _read_product(self, merge: Merge, path: Path, name: str) -> FileSummary:
        if merge.result.endswith(".root"):
            from septum.merge.rootfile import summarize

            # A framework may add graphs, text, whole workspaces: all of that is listed, and not added up.
            return summarize(path, name=name, unchecked=True, marks=False)
        from septum.merge.choice import FormatEngine

        engine = self._engines[merge.output]
        if not isinstance(engine, FormatEngine):
            raise MergeFailedError(f"merge: {name}: nothing reads such a file", fix="give the result a known ending")
        return engine.read(path, name=name)


def _not_run(merge: Merge) -> OwnMerge:
    return OwnMerge(command=merge.command or "", at=merge.at, product=merge.product, changes=merge.changes)
