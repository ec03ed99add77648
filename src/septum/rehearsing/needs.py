"""What a pipeline needs of a rehearsal, and which of its CI jobs run in one. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from septum.components.model import LOCAL
from septum.preview.pipeline import CIJob, Pipeline

_USED = re.compile(r"\$(?:\{([A-Z_][A-Z0-9_]*)[}:#%/]|([A-Z_][A-Z0-9_]*))")
_MADE = re.compile(r"\b([A-Z_][A-Z0-9_]*)=|\b(?:read|for|export|local)\s+(?:-\w+\s+)*([A-Z_][A-Z0-9_]*)")
_THERE = re.compile(
    r"(?:CI|GITLAB|SEPTUM|GIT|FF|BASH|PIP|LC)(?:_\w+)?|FUNCNAME|LINENO|EPOCHSECONDS|SECONDS|RANDOM|IFS|_"
)
_OF_THE_SHELL = frozenset(
    {"HOME", "PATH", "PWD", "OLDPWD", "TMPDIR", "LANG", "USER", "LOGNAME", "SHELL", "HOSTNAME", "UID"}
)
_SCRIPTS = ("before_script", "script", "after_script")
_TRIGGER, _SERVICES, _DEPENDENCIES = "trigger", "services", "dependencies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a pipeline needs.

    Attributes:
        clusters: The clusters that its CI jobs name, each with the path of `septum.yaml` beside which its profile may
            be, in the order of the pipeline; without this machine.
        results: CI job to the folder of its results, in the order of the pipeline.
        images: The images that CI jobs ask for, each once, without septum's own.
        unset: Variable to the CI jobs of the user that use it, where nothing sets it.
        by_hand: CI jobs that wait for a click, or need one that does.
        delayed: CI jobs that GitLab starts later.
        others: CI jobs that start another pipeline.
        services: CI jobs with services beside them, which are containers.
    """

    clusters: tuple[tuple[str, str], ...]
    results: Mapping[str, str]
    images: tuple[str, ...]
    unset: Mapping[str, tuple[str, ...]]
    by_hand: tuple[str, ...]
    delayed: tuple[str, ...]
    others: tuple[str, ...]
    services: tuple[str, ...]


def needs_of(pipeline: Pipeline, asked: Collection[str] = ()) -> Needs:
    """What a pipeline needs.

    Args:
        pipeline: The pipeline.
        asked: CI jobs that somebody starts by name, with those that they need.
    """
    named = [
        (job.values["SEPTUM_CLUSTER"], job.values.get("SEPTUM_CONFIG", "septum.yaml"))
        for job in pipeline.jobs
        if job.values.get("SEPTUM_CLUSTER", LOCAL) != LOCAL
    ]
    results = {job.name: job.values["SEPTUM_RESULT"] for job in pipeline.jobs if _leaves_result(job)}
    own = {job.values.get("SEPTUM_OWN_IMAGE", "") for job in pipeline.jobs} | {""}
    images = [job.image for job in pipeline.jobs if job.image not in own]
    images += [job.values["SEPTUM_IMAGE"] for job in pipeline.jobs if job.values.get("SEPTUM_IMAGE")]
    return Needs(
        clusters=tuple(dict.fromkeys(named)),
        results=results,
        images=tuple(dict.fromkeys(images)),
        unset=_unset(pipeline.jobs),
        by_hand=_by_hand(pipeline.jobs, _with_needs(pipeline.jobs, asked)),
        delayed=tuple(job.name for job in pipeline.jobs if job.when == "delayed"),
        others=tuple(job.name for job in pipeline.jobs if _TRIGGER in job.keywords),
        services=tuple(job.name for job in pipeline.jobs if job.keywords.get(_SERVICES)),
    )


def played(pipeline: Pipeline, needs: Needs, asked: Collection[str] = ()) -> Pipeline:
    """The CI jobs that a rehearsal runs: without a click, without another pipeline, and without containers beside them.

    Args:
        pipeline: The pipeline.
        needs: What `needs_of` says of it.
        asked: The same CI jobs that it was told.
    """
    started = _with_needs(pipeline.jobs, asked)
    left_out = {*needs.by_hand, *needs.others}
    jobs = [_played(job, left_out, started) for job in pipeline.jobs if job.name not in left_out]
    return replace(pipeline, jobs=tuple(jobs))


def _played(job: CIJob, left_out: Collection[str], started: Collection[str]) -> CIJob:
    keywords = {key: value for key, value in job.keywords.items() if key != _SERVICES}
    if _DEPENDENCIES in keywords:
        keywords[_DEPENDENCIES] = [name for name in _listed(keywords[_DEPENDENCIES]) if name not in left_out]
    return replace(
        job,
        when="on_success" if job.when == "manual" and job.name in started else job.when,
        needs=None if job.needs is None else tuple(need for need in job.needs if need.job not in left_out),
        keywords=keywords,
    )


def _with_needs(jobs: Sequence[CIJob], asked: Collection[str]) -> set[str]:
    """These CI jobs, those that they need, those that these need, and so on."""
    by_name = {job.name: job for job in jobs}
    found: set[str] = set()
    fresh = set(asked)
    while fresh:
        found |= fresh
        fresh = {need.job for name in fresh & by_name.keys() for need in by_name[name].needs or ()} - found
    return found


def _by_hand(jobs: Sequence[CIJob], started: Collection[str]) -> tuple[str, ...]:
    found = {job.name for job in jobs if job.when == "manual"} - set(started)
    while more := {job.name for job in jobs if found & {need.job for need in job.needs or ()}} - found:
        found |= more
    return tuple(job.name for job in jobs if job.name in found)


def _leaves_result(job: CIJob) -> bool:
    artifacts = job.keywords.get("artifacts")
    paths = artifacts.get("paths") if isinstance(artifacts, Mapping) else None
    folder = job.values.get("SEPTUM_RESULT", "")
    return bool(folder) and folder in {str(path).rstrip("/") for path in _listed(paths)}


def _unset(jobs: Iterable[CIJob]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for job in jobs:
        if "SEPTUM_COMPONENT" in job.values:
            continue
        text = "\n".join(line for name in _SCRIPTS for line in _lines(job.keywords.get(name)))
        values = "\n".join(variable.value for variable in job.variables.values() if not variable.raw)
        made = {name for pair in _MADE.findall(text) for name in pair if name} | job.values.keys() | _OF_THE_SHELL
        for pair in _USED.findall(f"{text}\n{values}\n{job.image}"):
            name = pair[0] or pair[1]
            if name not in made and not _THERE.fullmatch(name) and job.name not in found.setdefault(name, []):
                found[name].append(job.name)
    return {name: tuple(users) for name, users in sorted(found.items()) if users}


def _lines(script: object) -> Sequence[str]:
    """The lines of a script, whose lists GitLab flattens."""
    if isinstance(script, list):
        return [line for item in script for line in _lines(item)]
    return [script] if isinstance(script, str) else []


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []
