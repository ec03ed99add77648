"""From `septum.yaml` and the files beside it to a plan. All that is read comes through `septum.files`."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from septum.assembly import assemble, check_outputs, name_of_image, request_of
from septum.errors import PlanError
from septum.files import Files, is_text
from septum.plan import OutputFile, Part, Plan, Value, fingerprint, part_id

if TYPE_CHECKING:
    from septum.config import Analysis, EntryParts, FileParts, PartBlock

MAX_PARTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """The values of a part to be, and the files of the repository that only this part needs."""

    values: dict[str, Value]
    own: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    """Where the files of the part really are, one for each: links followed, one spelling for one file."""
    is_range: bool = False


def make_plan(analysis: Analysis, root: Path, *, image: str | None = None, leave_out: Sequence[str] = ()) -> Plan:
    """Make the plan of an analysis.

    Args:
        analysis: The values of `septum.yaml`.
        root: The folder that `septum.yaml` stands in; all its paths are relative to it.
        image: Replaces the image of `septum.yaml` if given.
        leave_out: Folders below `root` that septum writes itself and that are never inputs.

    Returns:
        The plan; the same files and values give the same plan, to the last bit.

    Raises:
        PlanError: A file is missing, no parts come out, or two parts would do the same work.
    """
    chosen_image = name_of_image(analysis, image)
    files = Files(root, leave_out)
    expanded = (draft for block in analysis.parts for draft in _expand(block, files))
    drafts = list(itertools.islice(expanded, MAX_PARTS + 1))
    _check_drafts(drafts, analysis.command)
    # What every part needs travels in the one shared archive, wherever it is named.
    common = set(drafts[0].own).intersection(*(draft.own for draft in drafts))
    shared_paths = sorted({*files.match_inputs(analysis.inputs), *common})
    shared = tuple(files.describe(path) for path in shared_paths)
    outputs = tuple(OutputFile(path=output.path, objects=tuple(output.objects)) for output in analysis.outputs)
    command = analysis.command if isinstance(analysis.command, str) else tuple(analysis.command)
    environment = tuple(sorted(analysis.environment.items()))
    parts = []
    for index, draft in enumerate(drafts):
        values = tuple(draft.values.items())
        own = tuple(files.describe(path) for path in draft.own if path not in shared_paths)
        print_ = fingerprint(
            shell=analysis.shell,
            setup=analysis.setup,
            command=command,
            environment=environment,
            image=chosen_image,
            outputs=outputs,
            values=values,
            inputs=[*shared, *own],
        )
        identity = part_id(index, len(drafts))
        parts.append(Part(id=identity, index=index, values=values, inputs=own, fingerprint=print_))
    plan = assemble(
        analysis,
        setup=tuple(analysis.setup),
        command=command,
        environment=environment,
        image=chosen_image,
        request=request_of(analysis),
        retries=analysis.retries,
        inputs=shared,
        outputs=outputs,
        parts=tuple(parts),
    )
    _check_command(plan)
    check_outputs(plan)
    return plan


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _expand(block: PartBlock, files: Files) -> Iterator[_Draft]:
    if block.explicit is not None:
        drafts: Iterable[_Draft] = (_Draft(values=dict(values)) for values in block.explicit)
    elif block.product is not None:
        for name, axis in block.product.items():
            if not isinstance(axis, list) and (axis.last - axis.first) // axis.step >= MAX_PARTS:
                raise PlanError(
                    f"parts: product: {name!r} alone gives more than {MAX_PARTS} parts",
                    fix="put more work into each part",
                )
        axes = {
            name: axis if isinstance(axis, list) else [str(n) for n in range(axis.first, axis.last + 1, axis.step)]
            for name, axis in block.product.items()
        }
        if empty := [name for name, axis in axes.items() if not axis]:
            raise PlanError(f"parts: product: the list of {empty[0]!r} is empty", fix=f"give {empty[0]!r} values")
        drafts = (_Draft(values=dict(zip(axes, values, strict=True))) for values in itertools.product(*axes.values()))
    elif block.files is not None:
        drafts = _file_parts(block.files, files)
    elif block.entries is not None:
        drafts = _entry_parts(block.entries, files)
    else:
        assert block.table is not None  # noqa: S101 - the model has checked that exactly one way is given
        drafts = (_Draft(values=row) for row in files.read_table(block.table))
    for draft in drafts:
        if doubled := set(draft.values) & set(block.constants):
            raise PlanError(
                f"parts: {min(doubled)!r} is given by the parts and by 'set' as well", fix="rename one of them"
            )
        yield replace(draft, values={**block.constants, **draft.values})


def _file_parts(spec: FileParts, files: Files) -> Iterator[_Draft]:
    paths = files.glob(spec.glob) if spec.glob is not None else files.read_list(spec.listed or "")
    if doubled := [path for path, times in Counter(paths).items() if times > 1]:
        raise PlanError(
            f"parts: files: {doubled[0]!r} is listed more than once and would be counted twice",
            fix=f"remove the second line from {spec.listed}" if spec.listed else "let the pattern match each file once",
        )
    for start in range(0, len(paths), spec.per_part):
        chunk = tuple(paths[start : start + spec.per_part])
        yield _Draft(
            values={"files": chunk},
            own=tuple(path for path in chunk if files.is_sent(path)),
            places=tuple(files.place(path) for path in chunk),
        )


def _entry_parts(spec: EntryParts, files: Files) -> Iterator[_Draft]:
    total = spec.total if spec.total is not None else files.count_entries(spec.file or "", spec.tree or "")
    if total == 0:
        raise PlanError(
            f"parts: entries: {spec.file}:{spec.tree} has no entries", fix="check the name of file and tree"
        )
    own = (spec.file,) if spec.file is not None and files.is_sent(spec.file) else ()
    places = (files.place(spec.file),) if spec.file is not None else ()
    for first, last in _ranges(total, spec):
        values: dict[str, Value] = {} if spec.file is None else {"file": spec.file}
        values |= {"first": str(first), "last": str(last), "count": str(last - first + 1)}
        yield _Draft(values=values, own=own, places=places, is_range=True)


def _ranges(total: int, spec: EntryParts) -> Iterator[tuple[int, int]]:
    if spec.per_part is not None:
        for first in range(0, total, spec.per_part):
            yield first, min(first + spec.per_part, total) - 1
        return
    count = min(spec.parts or 1, total)
    for index in range(count):
        yield total * index // count, total * (index + 1) // count - 1


def _check_drafts(drafts: Sequence[_Draft], command: str | Sequence[str]) -> None:
    if not drafts:
        raise PlanError("parts: no parts come out of septum.yaml", fix="give at least one part")
    if len(drafts) > MAX_PARTS:
        raise PlanError(f"parts: there are more than {MAX_PARTS} of them", fix="put more work into each part")
    names = set(drafts[0].values)
    seen: dict[tuple[tuple[str, Value], ...], int] = {}
    for index, draft in enumerate(drafts):
        if set(draft.values) != names:
            differ = sorted(set(draft.values) ^ names)
            raise PlanError(
                f"parts: part {part_id(index, len(drafts))} and part {part_id(0, len(drafts))} have different values",
                evidence=f"only one of them has {', '.join(differ)}",
                fix="give every part the same names; constants of a block stand in its 'set'",
            )
        key = tuple(sorted(draft.values.items()))
        if key in seen:
            first, second = part_id(seen[key], len(drafts)), part_id(index, len(drafts))
            shown = ", ".join(f"{name}={value}" for name, value in draft.values.items())
            raise PlanError(
                f"parts: part {first} and part {second} have the same values and would be counted twice",
                evidence=shown[:300],
                fix="remove one of them, or give them a value that differs, such as a seed",
            )
        seen[key] = index
        for text in (
            text for value in draft.values.values() for text in ([value] if isinstance(value, str) else value)
        ):
            if "\0" in text or not is_text(text):
                raise PlanError(
                    f"parts: a value of part {part_id(index, len(drafts))} holds a NUL character or is not UTF-8",
                    evidence=ascii(text)[:300],
                    fix="remove the character, or rename the file",
                )
    _check_files_once(drafts)
    _check_entries_once(drafts)
    if isinstance(command, str):
        inside = [
            name for name in sorted(names | {"part", "index", "parts"}) if re.search(rf"(?<!\$)\{{{name}\}}", command)
        ]
        if inside:
            raise PlanError(
                f"command: {{{inside[0]}}} is not replaced in a command given as text",
                evidence=command.strip().splitlines()[0][:200],
                fix=f'write "$PART_{inside[0]}" (with the quotes), or give the command as a list of words',
            )


def _check_files_once(drafts: Sequence[_Draft]) -> None:
    """Refuse a file in two parts that differ in nothing else: two blocks that overlap would count it twice."""
    seen: dict[tuple[object, str], int] = {}
    for index, draft in enumerate(drafts):
        files = draft.values.get("files")
        if files is None or isinstance(files, str):
            continue
        rest = tuple(sorted(item for item in draft.values.items() if item[0] != "files"))
        here: set[tuple[object, str]] = set()
        for file, place in zip(files, draft.places, strict=True):
            if (first := seen.setdefault((rest, place), index)) != index or (rest, place) in here:
                raise PlanError(
                    f"parts: {file!r} is in part {part_id(first, len(drafts))} and in part "
                    f"{part_id(index, len(drafts))}, and would be counted twice",
                    fix="let the patterns of the blocks not overlap, or tell the blocks apart with 'set'",
                )
            here.add((rest, place))


def _check_entries_once(drafts: Sequence[_Draft]) -> None:
    """Refuse ranges of entries that overlap in parts that differ in nothing else."""
    ranges: dict[object, list[tuple[int, int, int]]] = {}
    for index, draft in enumerate(drafts):
        if not draft.is_range:
            continue
        changing = {"first", "last", "count", *(["file"] if draft.places else [])}
        rest = (draft.places, tuple(sorted(item for item in draft.values.items() if item[0] not in changing)))
        ranges.setdefault(rest, []).append((int(str(draft.values["first"])), int(str(draft.values["last"])), index))
    for found in ranges.values():
        found.sort()
        for (_, last, one), (first, _, other) in itertools.pairwise(found):
            if first <= last:
                raise PlanError(
                    f"parts: entries: part {part_id(one, len(drafts))} and part {part_id(other, len(drafts))} overlap, "
                    f"and entry {first} would be counted twice",
                    fix="let the ranges of the blocks not overlap, or tell the blocks apart with 'set'",
                )


def _check_command(plan: Plan) -> None:
    from septum.plan import all_values, argv

    for part in plan.parts:
        try:
            argv(plan, part)
        except KeyError as error:
            name = error.args[0]
            known = ", ".join(all_values(plan, part))
            raise PlanError(
                f"command: {{{name}}} names no value of the parts",
                evidence=f"the parts have: {known}",
                fix=f"use one of these names, or write {{{{{name}}}}} for the braces themselves",
            ) from None
        except ValueError as error:
            raise PlanError(f"command: {error}", fix="write it as a word of its own: [..., '{files}']") from None
