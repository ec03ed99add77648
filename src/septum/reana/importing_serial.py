"""A serial workflow of REANA: its steps share one workspace, and become one part that runs them in order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import TYPE_CHECKING, Any

from septum.errors import WorkflowError
from septum.reana.importing_work import Imported, Job, Wanted, Work, asked_of, begin, notes_of, pack, step

if TYPE_CHECKING:
    from septum.reana.specification import Read, Step

_STEPS = ("workflow", "specification", "steps")


def import_serial(
    read: Read, *, parameters: Mapping[str, Any], wanted: Sequence[Wanted], folders: Sequence[str]
) -> Imported:
    """Translate the steps.

    Args:
        read: `reana.yaml`.
        parameters: The parameters of the workflow.
        wanted: What shall come back.
        folders: Those that are there from the beginning.

    Raises:
        WorkflowError: A command names no parameter, or a key of a step cannot be read.
    """
    specification = read.value.workflow.specification
    assert specification is not None  # noqa: S101 - the model has looked
    lines = begin(folders)
    jobs, images = [], []
    for number, one in enumerate(specification.steps):
        name = f"step {one.name or number + 1}"
        where = read.document.where((*_STEPS, number))
        for index, command in enumerate(one.commands):
            place = read.document.where((*_STEPS, number, "commands", index))
            of = f", command {index + 1} of {len(one.commands)}" if len(one.commands) > 1 else ""
            lines.append(step(f"{name}{of}", _filled(command, parameters, f"{place}: {name}{of}")))
        jobs.append(Job(label=f"{where}: {name}", keys=_keys(one), times=len(one.commands)))
        images.append((one.environment, name))
    packing, kept = pack(wanted)
    work = Work(label="the steps", names=(), script="\n".join([*lines, *packing]), kept=tuple(kept))
    return Imported(works=(work,), images=tuple(images), asked=asked_of(jobs), notes=tuple(notes_of(jobs)))


def _keys(one: Step) -> dict[str, Any]:
    return one.model_dump(exclude={"name", "environment", "commands"})


def _filled(command: str, parameters: Mapping[str, Any], where: str) -> str:
    """A command with its parameters in it, as REANA fills them: `$name`, `${name}`, and `$$` for a dollar."""
    try:
        return Template(command).substitute(parameters)
    except KeyError as error:
        name = error.args[0]
        known = ", ".join(map(str, parameters)) or "there are none"
        raise WorkflowError(
            f"{where}: ${{{name}}} is no parameter",
            evidence=f"inputs: parameters: {known}",
            fix=f"add it under 'inputs: parameters'; for a variable of the shell, write $${{{name}}}, as in REANA",
        ) from None
    except ValueError:
        raise WorkflowError(
            f"{where}: a '$' that begins no parameter",
            evidence=command.strip()[:200],
            fix="write $$ for a dollar of the shell, such as $$(date), as REANA needs it",
        ) from None
