"""Which CI jobs of a component run, for a fixed table of situations and inputs, as `septum.preview` has it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from septum.components.contract.terms import InputTerms, Ran, Row
from septum.components.environment import RULE
from septum.errors import ContractError, PreviewError
from septum.preview.assemble import assemble
from septum.preview.evaluate import evaluate
from septum.preview.pipeline import CIJob
from septum.preview.situation import Situation
from septum.preview.source import Source, Variable, expand

FORK = "merge request of a fork"
"""The situation in which no CI job of the library may run, since the code of strangers would."""
_PLAIN = "no input"
_BRANCH = Situation(ref="topic", protected=False)
_MERGE_REQUEST = Situation(source="merge_request_event", ref="topic", protected=False)
SITUATIONS: Mapping[str, Situation] = MappingProxyType(
    {
        "push on main": Situation(),
        "push": _BRANCH,
        "push with an open merge request": Situation(
            ref="topic", protected=False, variables={"CI_OPEN_MERGE_REQUESTS": Variable(value="group/project!1")}
        ),
        "merge request": _MERGE_REQUEST,
        FORK: Situation(source="merge_request_event", ref="topic", protected=False, fork="somebody/project"),
        "tag": Situation(ref="1.0", tag=True),
        "schedule": Situation(source="schedule"),
        "web": Situation(source="web"),
    }
)
CHANGES: Mapping[str, Situation] = MappingProxyType(
    {
        "push on main that changes it": Situation(changes=("a.py",)),
        "push on main that changes something else": Situation(changes=("README.md",)),
    }
)
"""Besides, where the input `changes` is given."""
_SEEN_OTHERWISE = frozenset({"SEPTUM_JOB_IMAGE", RULE})
"""The first is seen as the image; the other is between a component and septum, which have the same version."""
_FAR: Mapping[str, Any] = MappingProxyType({"cluster": "far"})
TABLE: tuple[Mapping[str, Any], ...] = (
    {},
    {"image": "analysis"},
    _FAR,
    {**_FAR, "image": "analysis"},
    {**_FAR, "image": "analysis", "without-credentials": "local"},
    {**_FAR, "credentials": "everywhere"},
    {**_FAR, "wait": "hops"},
    {**_FAR, "wait": "hops", "hops": 3, "hop-delay": "30 minutes"},
    {**_FAR, "changes": "*.py"},
    {"pipelines": "merge-requests", "start": "needs"},
)
"""The inputs that are given; what a component does not take is left out of it."""


def rows(text: str, component: str, inputs: Mapping[str, InputTerms]) -> tuple[Row, ...]:
    """What runs, in a pipeline with nothing else but the CI jobs that those of the component need.

    Args:
        text: The rendered YAML.
        component: Its name, for messages.
        inputs: What it takes.

    Raises:
        ContractError: GitLab would refuse it.
    """
    # Equal for equal jobs, whatever the order of the table.
    grouped: dict[str, tuple[dict[str, Ran], dict[str, list[str]]]] = {}
    for given, situation, jobs in _all(text, component, inputs):
        _, where = grouped.setdefault(repr(sorted(jobs.items())), (jobs, {}))
        where.setdefault(given, []).append(situation)
    return tuple(
        Row(where={given: ", ".join(found) for given, found in where.items()}, jobs=jobs)
        for jobs, where in grouped.values()
    )


def flat(found: tuple[Row, ...]) -> dict[tuple[str, str], Mapping[str, Ran]]:
    """What runs, by inputs and situation."""
    return {
        (given, situation): row.jobs
        for row in found
        for given, situations in row.where.items()
        for situation in situations.split(", ")
    }


def _all(text: str, component: str, inputs: Mapping[str, InputTerms]) -> Iterator[tuple[str, str, dict[str, Ran]]]:
    prefix = str(inputs["job-prefix"].default or "") if "job-prefix" in inputs else ""
    needed = {name: _sample(terms) for name, terms in inputs.items() if terms.mandatory}
    if "septum-image" in inputs:
        # The real one has the version in it.
        needed["septum-image"] = "septum"
    for label, given in _given(inputs):
        try:
            read = assemble(expand(Source(name=component, text=text), {**needed, **given}, {}))
            body = _with_needed(read)
            for situation, state in {**SITUATIONS, **(CHANGES if "changes" in given else {})}.items():
                jobs = {
                    job.name.removeprefix(prefix): _ran(job, read[job.name], prefix)
                    for job in evaluate(body, state).jobs
                    if job.name in read
                }
                yield label, situation, jobs
        except PreviewError as error:
            raise ContractError(
                f"contract: GitLab would refuse {component} with {label}: {error.what}",
                evidence=error.evidence,
                fix="septum component preview, and correct the component",
            ) from error


def _given(inputs: Mapping[str, InputTerms]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The inputs of the table that there are, with options that there are, each of them once."""
    done = set()
    for wanted in TABLE:
        given = {name: value for name, value in wanted.items() if name in inputs and _taken(inputs[name], value)}
        label = ", ".join(f"{name}: {value}" for name, value in given.items()) or _PLAIN
        if label not in done:
            done.add(label)
            yield label, given


def _taken(terms: InputTerms, value: object) -> bool:
    return not terms.options or str(value) in map(str, terms.options)


def _sample(terms: InputTerms) -> object:
    """A value for an input that must be given."""
    if terms.options:
        return terms.options[0]
    plain: Mapping[str, object] = {"number": 1, "boolean": True, "array": []}
    return plain.get(terms.type, "x")


def _with_needed(body: Mapping[str, object]) -> dict[str, object]:
    """With a CI job for each that is needed and comes from another component, always there."""
    wanted = {name for job in body.values() if isinstance(job, dict) for name in _needed(job)}
    others = {name: {"stage": ".pre", "script": ["true"], "rules": [{"when": "always"}]} for name in wanted - {*body}}
    return {**others, **body}


def _needed(job: Mapping[str, Any]) -> Iterator[str]:
    rules = [rule for rule in job.get("rules") or () if isinstance(rule, dict)]
    for holder in (job, *rules):
        for need in holder.get("needs") or ():
            name = need.get("job") if isinstance(need, dict) else need
            if isinstance(name, str):
                yield name


def _ran(job: CIJob, config: object, prefix: str) -> Ran:
    own = (config.get("variables") if isinstance(config, dict) else None) or {}
    before = {name: str(value.get("value") if isinstance(value, dict) else value) for name, value in own.items()}
    codes = job.allow_failure.get("exit_codes") if isinstance(job.allow_failure, Mapping) else None
    return Ran(
        allowed=job.allow_failure if isinstance(job.allow_failure, bool) else _sorted(codes),
        image=job.image,
        when=job.when,
        start_in=job.start_in,
        needs=None if job.needs is None else tuple(sorted(need.job.removeprefix(prefix) for need in job.needs)),
        sets={
            name: variable.value
            for name, variable in job.variables.items()
            if name not in _SEEN_OTHERWISE and before.get(name) != variable.value
        },
    )


def _sorted(codes: object) -> tuple[int, ...]:
    return tuple(sorted(codes)) if isinstance(codes, list) else (int(str(codes)),)
