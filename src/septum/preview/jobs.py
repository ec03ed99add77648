"""From a merged body to CI jobs that are complete, checked, and spread out by `parallel`. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/config/entry/{jobs,hidden,bridge}.rb`, `lib/gitlab/ci/config/normalizer*`,
`lib/gitlab/ci/yaml_processor*.rb`; doc/ci/yaml/_index.md.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from septum.errors import PipelineError
from septum.preview import rules
from septum.preview.assemble import RESERVED, defaults_of, stages_of, with_defaults
from septum.preview.features import Version
from septum.preview.keywords import MAX_NAME, as_text, flat, problems
from septum.preview.pipeline import Need

_DEFAULT_STAGE = "test"
_MATRIX = re.compile(r"\$\[\[\s*matrix\.([A-Za-z_][A-Za-z0-9_]*)\s*\]\]")
_MAX_SHOWN = 10
_DOCS = "https://docs.gitlab.com/ci/yaml/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A CI job before its rules are asked.

    Attributes:
        name: Its full name.
        stage: Its stage.
        config: Its keywords, with what it inherits.
        matrix: The variables that `parallel: matrix` gives it.
        needs: What it needs in the same pipeline; None if it does not say.
    """

    name: str
    stage: str
    config: Mapping[str, object]
    matrix: Mapping[str, str]
    needs: tuple[Need, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """All CI jobs of a body.

    Attributes:
        stages: The stages, in their order.
        jobs: As they are written.
        warnings: What GitLab warns of.
        spread: The full names behind each name that has `parallel`.
    """

    stages: tuple[str, ...]
    jobs: tuple[Draft, ...]
    warnings: tuple[str, ...]
    spread: Mapping[str, Mapping[str, Mapping[str, str]]]


def drafts(body: Mapping[str, object], *, gitlab: Version) -> Drafts:
    """Check all CI jobs, each for itself and then together.

    Args:
        body: After `extends` and `!reference`.
        gitlab: The version of the server.

    Raises:
        PipelineError: GitLab would refuse the pipeline, in whatever situation.
    """
    stages, defaults = stages_of(body), defaults_of(body)
    wrong: list[str] = []
    configs: dict[str, dict[str, object]] = {}
    for name, config in body.items():
        if name in RESERVED:
            continue
        kind = _kind(name, config)
        if kind == "hidden":
            wrong += [f"jobs:{name} config can't be blank"] if not config else []
        elif kind == "none":
            wrong.append(f"jobs {name} config should implement the script:, run:, or trigger: keyword")
        elif isinstance(config, dict):
            configs[name] = with_defaults(name, config, defaults)
            if kind == "bridge" and "trigger" not in config:
                wrong.append(f"jobs:{name} config should contain either a trigger or a needs:pipeline")
            wrong += problems(name, configs[name], gitlab=gitlab)
    if not configs:
        wrong.append("jobs config should contain at least one visible job")
    if wrong:
        shown = wrong[1 : _MAX_SHOWN + 1]
        more = [f"and {len(wrong) - len(shown) - 1} more"] if len(wrong) > len(shown) + 1 else []
        raise PipelineError(wrong[0], evidence="\n".join(shown + more), fix=f"{_DOCS} has each keyword")
    spread = {name: _spread(name, config["parallel"]) for name, config in configs.items() if "parallel" in config}
    found = tuple(draft for name, config in configs.items() for draft in _drafted(name, config, spread))
    _check_together(found, stages, spread)
    return Drafts(stages=stages, jobs=found, warnings=tuple(_warnings(body, configs)), spread=spread)


def _kind(name: str, config: object) -> str:
    if name.startswith("."):
        return "hidden"
    if not isinstance(config, dict):
        return "none"
    if "script" in config or "run" in config:
        return "job"
    return "bridge" if "trigger" in config or "needs" in config else "none"


def _warnings(body: Mapping[str, object], configs: Mapping[str, Mapping[str, object]]) -> list[str]:
    workflow = body.get("workflow")
    if isinstance(workflow, dict) and "rules" in workflow:
        return []
    found = []
    for name, config in configs.items():
        listed = rules.flatten(config.get("rules"), where=name)
        if listed and list(listed[-1]) == ["when"] and listed[-1]["when"] != "never":
            found.append(
                f"jobs:{name} may allow multiple pipelines to run for a single action due to `rules:when` clause "
                "with no `workflow:rules`"
            )
    return found


def _spread(name: str, parallel: object) -> dict[str, dict[str, str]]:
    """The full names of a CI job with `parallel`, and the variables of each."""
    if not isinstance(parallel, dict):
        count = int(str(parallel))
        return {f"{name} {number}/{count}": {} for number in range(1, count + 1)}
    found: dict[str, dict[str, str]] = {}
    for variables in _choices(parallel["matrix"]):
        found[f"{name}: [{', '.join(variables.values())}]"] = variables
    return found


def _choices(matrix: object) -> list[dict[str, str]]:
    made: list[dict[str, str]] = []
    for item in matrix if isinstance(matrix, list) else []:
        lists = [value if isinstance(value, list) else [value] for value in item.values()]
        made += [dict(zip(map(str, item), map(as_text, chosen), strict=True)) for chosen in itertools.product(*lists)]
    return made


def _drafted(
    name: str, config: dict[str, object], spread: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> list[Draft]:
    stage = str(config.get("stage", _DEFAULT_STAGE))
    config = dict(config)
    if isinstance(config.get("dependencies"), list):
        config["dependencies"] = [
            full for each in flat(config["dependencies"]) for full in spread.get(str(each), [each])
        ]
    return [
        Draft(
            name=full,
            stage=stage,
            config=config,
            matrix=matrix,
            needs=needs_of(_of_matrix(config["needs"], matrix, name), spread) if "needs" in config else None,
        )
        for full, matrix in spread.get(name, {name: {}}).items()
    ]


def _of_matrix(value: object, matrix: Mapping[str, str], name: str) -> object:
    """Needs with this one's own values for `$[[ matrix.NAME ]]`."""
    if isinstance(value, dict):
        return {key: _of_matrix(item, matrix, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_of_matrix(item, matrix, name) for item in value]

    def replace(match: re.Match[str]) -> str:
        if match[1] not in matrix:
            raise PipelineError(f"{name} job: '{match[1]}' does not exist in the matrix configuration")
        return matrix[match[1]]

    return _MATRIX.sub(replace, value) if isinstance(value, str) else value


def needs_of(value: object, spread: Mapping[str, Mapping[str, Mapping[str, str]]]) -> tuple[Need, ...]:
    """The needs of the same pipeline that were checked, with the full names of CI jobs that have `parallel`."""
    found: list[Need] = []
    for item in flat(value):
        need = item if isinstance(item, dict) else {"job": item}
        if "pipeline" in need or "project" in need:
            continue
        name, parallel = str(need["job"]), need.get("parallel")
        names: Sequence[str] = list(spread.get(name, [name]))
        if isinstance(parallel, dict) and name in spread:
            names = [f"{name}: [{', '.join(choice.values())}]" for choice in _choices(parallel.get("matrix"))]
        found += [
            Need(job=full, artifacts=need.get("artifacts") is not False, optional=bool(need.get("optional")))
            for full in names
        ]
    return tuple(found)


def _check_together(
    found: Sequence[Draft], stages: Sequence[str], spread: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> None:
    by_name = {draft.name: draft for draft in found}
    for draft in found:
        if draft.stage not in stages:
            raise PipelineError(
                f"{draft.name} job: chosen stage {draft.stage} does not exist; "
                f"available stages are {', '.join(stages)}",
                fix=f"add {draft.stage} to stages:, or choose one of these",
            )
        if len(draft.name) > MAX_NAME:
            raise PipelineError(f"jobs:{draft.name[:80]}… name is too long (maximum is {MAX_NAME} characters)")
    for draft in found:
        for dependency in flat(draft.config.get("dependencies", [])):
            _check_known(draft, str(dependency), by_name, stages, kind="dependency", optional=False)
        _check_needs(draft, draft.needs or (), by_name, stages)
        for rule in rules.flatten(draft.config.get("rules"), where=draft.name) or ():
            _check_needs(draft, needs_of(rule.get("needs", []), spread), by_name, stages)
        _check_environment(draft, by_name)
    _check_circles(found)


def _check_needs(draft: Draft, needs: Sequence[Need], by_name: Mapping[str, Draft], stages: Sequence[str]) -> None:
    for need in needs:
        _check_known(draft, need.job, by_name, stages, kind="need", optional=need.optional)
    twice = [name for name, count in Counter(need.job for need in needs).items() if count > 1]
    if twice:
        raise PipelineError(f"{draft.name} has the following needs duplicated: {', '.join(twice)}.")


def _check_known(
    draft: Draft, name: str, by_name: Mapping[str, Draft], stages: Sequence[str], *, kind: str, optional: bool
) -> None:
    other = by_name.get(name)
    if other is None:
        if not optional:
            raise PipelineError(
                f"{draft.name} job: undefined {kind}: {name}",
                fix="name a CI job of this pipeline; with optional: true, a need may be missing",
            )
    elif stages.index(other.stage) > stages.index(draft.stage):
        raise PipelineError(
            f"{draft.name} job: {kind} {name} is not defined in current or prior stages",
            evidence=f"{name} is in {other.stage}, {draft.name} in {draft.stage}",
        )


def _check_environment(draft: Draft, by_name: Mapping[str, Draft]) -> None:
    environment = draft.config.get("environment")
    if not isinstance(environment, dict) or environment.get("on_stop") is None:
        return
    stopper = str(environment["on_stop"])
    said = f"{draft.name} job: on_stop job {stopper}"
    if stopper not in by_name:
        raise PipelineError(f"{said} is not defined")
    other = by_name[stopper].config.get("environment")
    if other is None:
        raise PipelineError(f"{said} does not have environment defined")
    if not isinstance(other, dict) or other.get("name") != environment.get("name"):
        raise PipelineError(f"{said} have different environment name")
    if other.get("action") != "stop":
        raise PipelineError(f"{said} needs to have action stop defined")


def _check_circles(found: Sequence[Draft]) -> None:
    """Take away all CI jobs that need nothing which is left; what then remains is a circle."""
    left = {draft.name: {need.job for need in draft.needs or ()} for draft in found}
    while left:
        free = [name for name, needs in left.items() if not needs & left.keys()]
        if not free:
            raise PipelineError(f"The pipeline has circular dependencies: {', '.join(sorted(left))}")
        for name in free:
            del left[name]
