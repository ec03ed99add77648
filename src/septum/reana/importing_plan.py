"""The plan of a translated workflow: what each part writes becomes the outputs that all parts have. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from septum.assembly import assemble, request_of
from septum.errors import WorkflowError
from septum.plan import REANA, InputFile, Merge, OutputFile, Part, Plan, Value, fingerprint, part_id
from septum.reana.importing_work import pack_all

if TYPE_CHECKING:
    from septum.config import Analysis
    from septum.plan import Request
    from septum.reana.importing_work import Asked, Imported, Work

SCRIPT = f"{REANA}script"
"""The value that holds the shell script of a part, where there are several."""
OUTPUT = f"{REANA}output_"
"""Begins the values that outputs are named by which differ from part to part; the number of the output follows."""
ARCHIVE = "outputs.tar.gz"
"""What parts bring back that keep different numbers of files."""


def plan_of(analysis: Analysis, work: Imported, *, image: str | None, inputs: tuple[InputFile, ...]) -> Plan:
    """Make the plan of a translated workflow.

    Args:
        analysis: The values of `septum.yaml`.
        work: The workflow.
        image: The image of all parts.
        inputs: The files that every part has.

    Raises:
        PlanError: The parts do not write for the same results, or a result has no name that can be one.
    """
    works, columns, merges = _columns(work)
    alone = len(works) == 1
    command = works[0].script if alone else f'eval "$PART_{SCRIPT}"'
    environment = tuple(sorted(analysis.environment.items()))
    outputs, extra = _outputs(columns)
    parts = []
    for index, one in enumerate(works):
        script: tuple[tuple[str, Value], ...] = () if alone else ((SCRIPT, one.script),)
        values: tuple[tuple[str, Value], ...] = (*one.names, *script, *extra[index])
        print_ = fingerprint(
            shell=analysis.shell,
            setup=analysis.setup,
            command=command,
            environment=environment,
            image=image,
            outputs=outputs,
            values=values,
            inputs=inputs,
        )
        parts.append(Part(id=part_id(index, len(works)), index=index, values=values, inputs=(), fingerprint=print_))
    plan = assemble(
        analysis,
        setup=tuple(analysis.setup),
        command=command,
        environment=environment,
        image=image,
        request=_request(request_of(analysis), work.asked),
        retries=analysis.retries,
        inputs=inputs,
        outputs=outputs,
        parts=tuple(parts),
    )
    if analysis.merge is not None:
        return plan
    # One part needs no merge: what it wrote comes back to the last byte.
    return replace(plan, merges=_merges(merges, works, columns, plan.parts))


def _columns(work: Imported) -> tuple[tuple[Work, ...], list[list[str]], Mapping[str, int]]:
    """The parts, for each its files in the order of the outputs of the plan, and for each result its output."""
    slots: dict[str, int] = {}
    taken: list[set[int]] = [set() for _ in work.works]
    for result, _ in work.merges:
        members = [index for index, one in enumerate(work.works) if result in dict(one.merged)]
        slot = next(slot for slot in range(len(work.merges)) if all(slot not in taken[index] for index in members))
        slots[result] = slot
        for index in members:
            taken[index].add(slot)
    count = max(slots.values(), default=-1) + 1
    columns: list[list[str]] = []
    for index, one in enumerate(work.works):
        missing = set(range(count)) - taken[index]
        if missing:
            raise WorkflowError(
                f"workflow: {one.label} writes nothing for a result that other parts write for",
                evidence="; ".join(f"{result} from {len(files)} files" for result, files in work.merges),
                fix="put it into a workflow of its own, or let a rule after it read its files",
            )
        by_slot = {slots[result]: path for result, path in one.merged}
        columns.append([by_slot[slot] for slot in range(count)])
    if len({len(one.kept) for one in work.works}) == 1:
        return work.works, [[*own, *one.kept] for own, one in zip(columns, work.works, strict=True)], slots
    packed = tuple(
        replace(one, script="\n".join([one.script, *pack_all(ARCHIVE, one.kept)]), kept=(ARCHIVE,))
        for one in work.works
    )
    return packed, [[*own, ARCHIVE] for own in columns], slots


def _outputs(
    columns: Sequence[Sequence[str]],
) -> tuple[tuple[OutputFile, ...], list[tuple[tuple[str, Value], ...]]]:
    """The outputs of the plan, and for each part the values that their paths are made of."""
    outputs = []
    extra: list[list[tuple[str, Value]]] = [[] for _ in columns]
    for number in range(len(columns[0])):
        paths = [column[number] for column in columns]
        if len(set(paths)) == 1:
            outputs.append(OutputFile(path=re.sub(r"[{}]", r"\g<0>\g<0>", paths[0]), objects=()))
            continue
        ending = _common_ending(paths)
        outputs.append(OutputFile(path=f"{{{OUTPUT}{number}}}{ending}", objects=()))
        for own, path in zip(extra, paths, strict=True):
            own.append((f"{OUTPUT}{number}", path.removesuffix(ending)))
    return tuple(outputs), [tuple(own) for own in extra]


def _common_ending(paths: Sequence[str]) -> str:
    """The ending that all paths have, by which a format is known: `.root`, `.tar.gz`."""
    for found in (".tar.gz", PurePosixPath(paths[0]).suffix):
        if found and re.fullmatch(r"[\w.]+", found) and all(path.endswith(found) for path in paths):
            return found
    return ""


def _merges(
    slots: Mapping[str, int], works: Sequence[Work], columns: Sequence[Sequence[str]], parts: Sequence[Part]
) -> tuple[Merge, ...]:
    merges = []
    for result, slot in slots.items():
        if not all(re.fullmatch(r"[\w+=@,-][\w.+=@,-]*", piece) for piece in result.split("/")):
            raise WorkflowError(
                f"workflow: a result of the name {result!r}", fix="use letters, digits and . _ + = @ - in its name"
            )
        members = [
            part.id
            for part, one, column in zip(parts, works, columns, strict=True)
            if dict(one.merged).get(result) == column[slot]
        ]
        merges.append(Merge(result=result, output=slot, parts=tuple(members)))
    return tuple(merges)


def _request(wanted: Request, asked: Asked) -> Request:
    """What `septum.yaml` asks for; what it leaves open is the workflow's."""
    return replace(
        wanted,
        cpus=wanted.cpus or asked.cpus,
        memory_b=wanted.memory_b or asked.memory_b,
        time_s=wanted.time_s or asked.time_s,
    )
