"""The rules of a workflow: its Snakefile and the specification that names it. Pure; holds nothing that a user wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from septum.backends.reana.workflow import KUBERNETES, LOOK_S, SENT, ended_name, ranges, rule_name
from septum.errors import SubmitRefusedError

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.plan import Plan

_SAFE = re.compile(r"[A-Za-z0-9._/:@+=-]+")
Resource = str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The step of one part.

    Attributes:
        part: The part.
        archive: The file in `septum/send` with what is its own.
        has_inputs: Whether that holds input files beside its values.
    """

    part: str
    archive: str
    has_inputs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the steps of a workflow share.

    Attributes:
        image: For `container:`, without scheme.
        resources: In REANA's words.
        program: The file in `septum/send` with the steps' program.
        shared: The files in `septum/send` that every part gets.
        tries: How often a part is tried.
        time_s: How long one try may take.
        look_s: How often a step looks whether its part is still wanted.
    """

    image: str
    resources: Mapping[str, Resource]
    program: str
    shared: Sequence[str]
    tries: int
    time_s: int
    look_s: int = LOOK_S


def shape_of(
    plan: Plan,
    profile: Profile,
    *,
    image: str,
    resources: Mapping[str, Resource],
    program: str,
    shared: Sequence[str],
) -> Shape:
    """What the steps of a plan share."""
    return Shape(
        image=image,
        resources=resources,
        program=program,
        shared=shared,
        tries=plan.retries + 1,
        time_s=plan.request.time_s or profile.default_time,
    )


def command_of(shape: Shape, step: Step) -> str:
    """The command of a step: words that no shell and no Snakemake reads anything into."""
    where = "pod" if shape.resources["compute_backend"] == KUBERNETES else "copy"
    own = "own" if step.has_inputs else "none"
    words = [
        "sh", f"{SENT}/{shape.program}", step.part, str(shape.tries), str(shape.time_s), where, str(shape.look_s),
        step.archive, own, *shape.shared,
    ]  # fmt: skip
    return " ".join(_safe("a word of a step", word) for word in words)


def snakefile(shape: Shape, steps: Sequence[Step]) -> str:
    """The Snakefile: one rule a part, none of which waits for another."""
    resources = ", ".join(f"{name}={_literal(name, value)}" for name, value in sorted(shape.resources.items()))
    container = _literal("image", f"docker://{shape.image}")
    lines = [
        "# Written by septum: one rule for each part of a run. The verdict on a part stands in its files.",
        "rule all:",
        "    input:",
        *(f"        {_literal('part', ended_name(step.part))}," for step in steps),
    ]
    for step in steps:
        lines += [
            "",
            f"rule {rule_name(_safe('part', step.part))}:",
            f"    output: {_literal('part', ended_name(step.part))}",
            f"    container: {container}",
            f"    resources: {resources}",
            f"    shell: {_literal('step', command_of(shape, step), blanks=True)}",
        ]
    return "\n".join(lines) + "\n"


def specification(
    shape: Shape,
    profile: Profile,
    steps: Sequence[Step],
    *,
    snakefile_path: str,
    tag: str,
    number: int,
) -> dict[str, Any]:
    """The specification that the workflow is made from; the server checks the compute backend of its steps.

    Args:
        shape: What the steps share.
        profile: The cluster.
        steps: The steps; one stands for all, since they differ in their part only.
        snakefile_path: The Snakefile's path in the workspace.
        tag: The tag of the run.
        number: Which job of its part each of them is.
    """
    resources: dict[str, object] = {}
    if profile.reana_cvmfs:
        resources["cvmfs"] = list(profile.reana_cvmfs)
    if profile.reana_kerberos:
        resources["kerberos"] = True
    example: dict[str, object] = {
        "name": rule_name(steps[0].part),
        "environment": shape.image,
        "commands": [command_of(shape, steps[0])],
        "compute_backend": shape.resources["compute_backend"],
        "kubernetes_memory_limit": shape.resources.get("kubernetes_memory_limit"),
        "kubernetes_uid": None,
        "inputs": {},
        "params": {},
        "outputs": {},
    }
    return {
        "inputs": {
            "files": [snakefile_path],
            "parameters": {
                "septum_run": tag,
                "septum_number": number,
                "septum_parts": ranges(step.part for step in steps),
            },
        },
        "workflow": {
            "type": "snakemake",
            "file": snakefile_path,
            **({"resources": resources} if resources else {}),
            "specification": {"job_dependencies": {}, "steps": [example]},
        },
        "outputs": {},
    }


def _safe(name: str, text: str) -> str:
    """A text that means itself to Python, to Snakemake, which reads braces, and to a shell."""
    if not _SAFE.fullmatch(text):
        raise SubmitRefusedError(
            f"cluster: this value of {name} cannot stand in a Snakefile",
            evidence=repr(text)[:200],
            fix="use letters, digits and ._/:@+=- only",
        )
    return text


def _literal(name: str, value: Resource, *, blanks: bool = False) -> str:
    """A value as Python writes it."""
    if isinstance(value, (bool, int)):
        return repr(value)
    for piece in value.split(" ") if blanks else [value]:
        _safe(name, piece)
    return f'"{value}"'
