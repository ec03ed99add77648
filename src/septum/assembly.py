"""Parts become a plan: with their results, the places of their outputs, and all that `septum.yaml` says. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from septum.errors import PlanError
from septum.images.reference import parse_image
from septum.plan import (
    HIDDEN,
    REANA,
    Compare,
    InputFile,
    Limits,
    Merge,
    OutputFile,
    Part,
    Plan,
    Publish,
    Request,
    fill,
    partial_name,
    path_of,
    shown_pattern,
)

if TYPE_CHECKING:
    from septum.config import Analysis, MergeRule


def request_of(analysis: Analysis) -> Request:
    """What `resources` in `septum.yaml` asks for."""
    wanted = analysis.resources
    return Request(
        cpus=wanted.cpus,
        memory_b=wanted.memory,
        memory_retries_b=tuple(wanted.memory_retries),
        disk_b=wanted.disk,
        time_s=wanted.time,
    )


def assemble(
    analysis: Analysis,
    *,
    setup: tuple[str, ...],
    command: str | tuple[str, ...],
    environment: tuple[tuple[str, str], ...],
    image: str | None,
    request: Request,
    retries: int,
    inputs: tuple[InputFile, ...],
    outputs: tuple[OutputFile, ...],
    parts: tuple[Part, ...],
    places: Sequence[str] = (),
) -> Plan:
    """The plan of these parts, with all that `septum.yaml` says whatever the parts come from.

    Args:
        analysis: The values of `septum.yaml`.
        setup: Shell lines before the command.
        command: The command of a part.
        environment: The variables of every part.
        image: The image of the parts.
        request: What a job asks for.
        retries: How often a command is run again.
        inputs: The files that every part needs.
        outputs: The files that every part writes.
        parts: The parts.
        places: Patterns of where each output is laid for a command that merges, unless `at` says so; by default, its
            own path.

    Raises:
        PlanError: The parts do not make the results that `merge` names, or are more than `limits` allows.
    """
    plan = Plan(
        name=analysis.name,
        shell=analysis.shell,
        setup=setup,
        command=command,
        environment=environment,
        image=image,
        request=request,
        retries=retries,
        tolerance=analysis.tolerance,
        inputs=inputs,
        outputs=outputs,
        merges=_merges(analysis, outputs, parts, places or [output.path for output in outputs]),
        parts=parts,
        policies=tuple(sorted(analysis.policies.relaxed.items())),
        compare=Compare(**analysis.compare.model_dump()),
        publish=publish_of(analysis),
        resubmissions=analysis.resubmissions,
        limits=Limits(cpu_hours=analysis.limits.cpu_hours),
        keep_sandbox_b=analysis.keep_failed_sandbox,
    )
    _check_places(plan)
    if analysis.limits.parts is not None and len(plan.parts) > analysis.limits.parts:
        raise PlanError(
            f"parts: {len(plan.parts)} come out, and 'limits: parts' allows {analysis.limits.parts}",
            evidence=f"the last of them: {plan.parts[-1].describe()}",
            fix=f"make fewer parts, or allow them: limits: {{parts: {len(plan.parts)}}}",
        )
    return plan


def name_of_image(analysis: Analysis, image: str | None) -> str | None:
    """The image that is chosen: the one given, or that of `septum.yaml`.

    Raises:
        PlanError: It is no name; of its kind, an `ImageNameError`, if no registry and no worker takes it.
    """
    chosen = image or analysis.image
    if chosen and (not chosen.isprintable() or "$" in chosen):
        raise PlanError(
            f"image: {chosen[:100]!r} is not the name of an image",
            fix="write the name out, in one line: no variable is expanded here",
        )
    if chosen:
        parse_image(chosen)
    return chosen


def publish_of(analysis: Analysis) -> Publish | None:
    """Where large results go, as the plan has it; None for the artifact."""
    wanted = analysis.publish
    if wanted is None:
        return None
    return Publish(to=wanted.to, outputs=wanted.files == "results-and-outputs", above_b=wanted.above)


def choose(plan: Plan, text: str) -> Plan:
    """The plan with some of its parts alone, for a try: their ids stay what they are.

    Args:
        plan: The whole plan.
        text: Ids with commas between them; or a number of one to three digits, or `first` and any number, for so many
            parts from the first.

    Raises:
        PlanError: There is no such part, or none is chosen.
    """
    count = re.fullmatch(r"(?:first )?(\d{1,3})|first (\d+)", text.strip())
    ids = [piece.strip() for piece in text.split(",") if piece.strip()]
    only = [part.id for part in plan.parts[: int(count[1] or count[2])]] if count else ids
    if not only:
        raise PlanError(f"parts: {text!r} chooses no part", fix="give a number such as 3, or ids such as 0000,0002")
    unknown = [part for part in only if part not in plan.by_id]
    if unknown:
        raise PlanError(
            f"parts: there is no part {unknown[0]!r}",
            evidence=f"the plan has parts {plan.parts[0].id} to {plan.parts[-1].id}",
            fix="give ids such as " + plan.parts[0].id,
        )
    merges = (replace(merge, parts=tuple(part for part in merge.parts if part in only)) for merge in plan.merges)
    return replace(
        plan,
        parts=tuple(part for part in plan.parts if part.id in only),
        whole_count=len(plan.parts) if len(set(only)) < len(plan.parts) else None,
        merges=tuple(merge for merge in merges if merge.parts),
    )


def check_outputs(plan: Plan) -> None:
    """Refuse outputs whose path is no place in the working folder, or that are there before the command runs.

    Raises:
        PlanError: One of them is.
    """
    sent = {file.path for file in (*plan.inputs, *(file for part in plan.parts for file in part.inputs))}
    for part, number in itertools.product(plan.parts, range(len(plan.outputs))):
        pattern = plan.outputs[number].path
        path = _filled(f"outputs: {shown_pattern(pattern)!r}", pattern, plan, part)
        if path in sent:
            raise PlanError(
                f"outputs: {path!r} is among the inputs, and a part that writes nothing would return that",
                fix=f"remove {path!r} from the repository, or name the inputs one by one",
            )


def _check_places(plan: Plan) -> None:
    """Look that the outputs of the parts have each a place of their own where a command merges them."""
    for merge in plan.merges:
        if merge.command is None:
            continue
        taken: dict[str, str] = {}
        for identity in merge.parts:
            part = plan.by_id[identity]
            place = _filled(f"merge: {merge.result}: at", merge.at, plan, part)
            if place in taken or place == merge.product:
                raise PlanError(
                    f"merge: {merge.result}: the output of {part.describe()} would be laid where "
                    f"{f'that of part {taken[place]}' if place in taken else 'the command writes its product'} is",
                    evidence=place,
                    fix="give each part a place of its own: at: 'outputs/{part}.root'",
                )
            taken[place] = identity


def _filled(where: str, pattern: str, plan: Plan, part: Part) -> str:
    """A path of a part, its placeholders filled.

    Raises:
        PlanError: A placeholder names no value, or the path leads out of the folder.
    """
    try:
        path = path_of(pattern, plan, part)
    except KeyError as error:
        raise PlanError(
            f"{where}: {{{error.args[0]}}} names no value of the parts",
            evidence=_names_of(part),
            fix="use one of these names",
        ) from None
    except ValueError as error:
        raise PlanError(f"{where}: {error}", fix="use a value that is one text") from None
    if not path.isprintable() or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise PlanError(
            f"{where}: {part.describe()} would have {path!r}, which is no path of a file in the folder",
            fix="use values without '..', '//' and line breaks",
        )
    return path


def _names_of(part: Part) -> str:
    names = [name for name, _ in part.values if not name.startswith((HIDDEN, REANA))]
    return f"the parts have: {', '.join(names)}" if names else "the parts have no values with a name"


def _merges(
    analysis: Analysis, outputs: Sequence[OutputFile], parts: Sequence[Part], places: Sequence[str]
) -> tuple[Merge, ...]:
    # Loads the model of septum.yaml, which a plan that stands already does without.
    from septum.config.results import cannot_come

    numbers = {output.path: number for number, output in enumerate(outputs)}
    found: dict[str, Merge] = {}
    for pattern, rule in analysis.results(list(numbers)).items():
        if problem := cannot_come(pattern, rule, list(numbers)):
            raise PlanError(
                f"merge: {pattern}{problem}",
                evidence=f"the outputs are: {', '.join(map(shown_pattern, numbers))}",
                fix="name them in septum.yaml, with the variables of the parts: outputs: ['hists_{Folder}.root']",
            )
        number = numbers[rule.output or ""]
        groups: dict[str, list[str]] = {}
        for part in parts:
            groups.setdefault(_result_name(pattern, part), []).append(part.id)
        for result, members in groups.items():
            if {result, partial_name(result)} & {name for one in found for name in (one, partial_name(one))}:
                raise PlanError(
                    f"merge: two entries give the result {result!r}, or its name when it is partial",
                    fix="give each result its own name; a placeholder such as {sample} keeps groups apart",
                )
            found[result] = _merge(result, number, members, rule, places)
    return tuple(found.values())


def _merge(result: str, number: int, members: Sequence[str], rule: MergeRule, places: Sequence[str]) -> Merge:
    if rule.command is None:
        return Merge(result=result, output=number, parts=tuple(members))
    return Merge(
        result=result,
        output=number,
        parts=tuple(members),
        command=rule.command if isinstance(rule.command, str) else tuple(rule.command),
        at=rule.at or places[number],
        product=rule.product or result,
        changes=tuple(rule.changes),
    )


def _result_name(pattern: str, part: Part) -> str:
    try:
        (name,) = fill(pattern, dict(part.values))
    except KeyError as error:
        raise PlanError(
            f"merge: {pattern!r}: {{{error.args[0]}}} names no value of the parts",
            evidence=_names_of(part),
            fix="use one of these names",
        ) from None
    except ValueError as error:
        raise PlanError(f"merge: {pattern!r}: {error}", fix="group by a value that is one text") from None
    pieces = name.split("/")
    if not all(re.fullmatch(r"[\w+=@,-][\w.+=@,-]*", piece) for piece in pieces):
        raise PlanError(
            f"merge: {part.describe()} would make a result named {name!r}",
            fix="group by a value of letters, digits and . _ + = @ - only",
        )
    return name
