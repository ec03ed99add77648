"""Which CI jobs are in the pipeline, and with what: `workflow`, rules, needs, variables. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/pipeline/chain/*`, `lib/gitlab/ci/pipeline/seed/build.rb`,
`lib/gitlab/ci/variables/helpers.rb`; doc/ci/jobs/job_rules.md, doc/ci/yaml/workflow.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from septum.errors import PipelineError
from septum.preview import policy, rules
from septum.preview.assemble import EDGES, inherited_variables
from septum.preview.include import Inclusion
from septum.preview.jobs import Draft, Drafts, drafts, needs_of
from septum.preview.keywords import DEFAULT_DATA, check_variables, variables_of
from septum.preview.pipeline import CIJob, LeftOut, Need, Pipeline
from septum.preview.situation import Situation, expanded, expanded_if_possible, fill, slug, values, visible
from septum.preview.source import Variable

MAX_NEEDS = 50
_FILTERED = "Pipeline filtered out by workflow rules."
_EMPTY = (
    "Pipeline will not run for the selected trigger. "
    "The rules configuration prevented any jobs from being added to the pipeline."
)
_DONE = frozenset(
    {"extends", "rules", "only", "except", "inherit", "parallel", "variables", "needs", "stage", "when", "start_in"}
    | {"allow_failure"}
)
"""Keywords whose work is done when the pipeline exists, or that `CIJob` holds apart."""
_FILLED = ("image", "services", "tags", "resource_group", "environment", "trigger")
"""Keywords in which variables are shown replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    situation: Situation
    files: Callable[[], Sequence[str]]
    variables: Mapping[str, object]
    from_workflow: Mapping[str, Variable]
    workflow_rules: bool
    drafts: Drafts


def evaluate(
    body: Mapping[str, object],
    situation: Situation,
    *,
    files: Callable[[], Sequence[str]] = tuple,
    inclusions: tuple[Inclusion, ...] = (),
    warnings: tuple[str, ...] = (),
) -> Pipeline:
    """The pipeline that a body gives in a situation.

    Args:
        body: After `extends` and `!reference`.
        situation: What starts the pipeline.
        files: Gives the files of the repository, for `exists`.
        inclusions: What was included; it is handed on.
        warnings: What there was to say about that; it comes first.

    Raises:
        PipelineError: GitLab would report an error instead of a pipeline.
    """
    found = drafts(body, gitlab=situation.gitlab)
    variables = body.get("variables")
    check_variables(variables if variables is not None else {}, where="variables", allowed=DEFAULT_DATA)
    workflow = _workflow(body, situation)
    root = variables_of(variables)
    seen = visible(situation, root)
    around = _around(situation, seen, files)
    listed = rules.flatten(workflow.get("rules"), where="workflow:rules")
    match = rules.first_match(listed, around) if listed is not None else {}
    added = variables_of((match or {}).get("variables"))
    named = expanded_if_possible(visible(situation, root, added))
    empty = Pipeline(
        situation=situation,
        name=fill(str(workflow.get("name") or ""), named, keep=True),
        stages=(),
        jobs=(),
        left_out=(),
        inclusions=inclusions,
        warnings=(*warnings, *found.warnings),
    )
    if match is None or match.get("when") == "never":
        return replace(empty, refusal=_FILTERED)
    context = _Context(
        situation=situation,
        files=files,
        variables=variables if isinstance(variables, dict) else {},
        from_workflow=added,
        workflow_rules="rules" in workflow,
        drafts=found,
    )
    return _filled(empty, context)


def _filled(empty: Pipeline, context: _Context) -> Pipeline:
    decided = [_decide(draft, context) for draft in context.drafts.jobs]
    jobs = [job for job in decided if isinstance(job, CIJob)]
    left_out = tuple(job for job in decided if isinstance(job, LeftOut))
    _check_needs(jobs, left_out)
    if all(job.stage in EDGES for job in jobs):
        return replace(empty, left_out=left_out, refusal=_EMPTY)
    names = {job.name for job in jobs}
    ordered = sorted((_present(job, names) for job in jobs), key=lambda job: context.drafts.stages.index(job.stage))
    return replace(
        empty, jobs=tuple(ordered), left_out=left_out, stages=tuple(dict.fromkeys(job.stage for job in ordered))
    )


def _workflow(body: Mapping[str, object], situation: Situation) -> Mapping[str, object]:
    workflow = body.get("workflow")
    if workflow is None:
        return {}
    if not isinstance(workflow, dict):
        raise PipelineError("workflow config should be a hash", evidence=f"it is {workflow!r:.100}")
    unknown = [str(key) for key in workflow if key not in {"rules", "name", "auto_cancel"}]
    if unknown:
        raise PipelineError(f"workflow config contains unknown keys: {', '.join(unknown)}")
    for rule in rules.flatten(workflow.get("rules"), where="workflow:rules") or ():
        rules.check(
            rule,
            where="workflow:rules:rule",
            keys=rules.WORKFLOW_KEYS,
            whens=rules.SWITCH_WHENS,
            gitlab=situation.gitlab,
        )
        check_variables(rule.get("variables") or {}, where="workflow:rules:rule:variables", allowed=())
    return workflow


def _around(
    situation: Situation, seen: Mapping[str, Variable], files: Callable[[], Sequence[str]]
) -> rules.Surroundings:
    return rules.Surroundings(
        variables=values(seen),
        expanded=expanded_if_possible(seen),
        files=files,
        changes=situation.changes,
        gitlab=situation.gitlab,
    )


def _decide(draft: Draft, context: _Context) -> CIJob | LeftOut:
    situation = context.situation
    inherited = inherited_variables(draft.name, draft.config, context.variables)
    # Those of a workflow's rule replace default variables, and are inherited like them.
    of_workflow = inherited_variables(draft.name, draft.config, dict(context.from_workflow))
    own = {
        **variables_of(inherited),
        **{name: context.from_workflow[name] for name in of_workflow},
        **variables_of(draft.config.get("variables")),
        **{name: Variable(value=value) for name, value in draft.matrix.items()},
    }
    of_job = _of_job(draft)
    around = _around(situation, visible(situation, of_job, own), context.files)
    listed = rules.flatten(draft.config.get("rules"), where=f"jobs:{draft.name}:rules")
    if listed is None:
        why = policy.wanted(draft.name, draft.config, situation, around, default=not context.workflow_rules)
        return LeftOut(name=draft.name, why=why) if why else _job(draft, {}, own, context)
    match = rules.first_match(listed, around)
    if match is None:
        return LeftOut(name=draft.name, why="no rule is met")
    if match.get("when") == "never":
        return LeftOut(name=draft.name, why=f"{_told(match, listed)} says never")
    return _job(draft, match, {**own, **variables_of(match.get("variables"))}, context, told=_told(match, listed))


def _told(rule: Mapping[str, object], listed: Sequence[Mapping[str, object]]) -> str:
    number = next(index for index, each in enumerate(listed, start=1) if each is rule)
    said = [f"{key}: {rule[key]}" for key in ("if", "changes", "exists") if rule.get(key) is not None]
    return f"rule {number}" + (f" ({'; '.join(said)})" if said else "")


def _of_job(draft: Draft) -> dict[str, Variable]:
    found = {
        "CI_JOB_NAME": draft.name,
        "CI_JOB_NAME_SLUG": slug(draft.name),
        "CI_JOB_STAGE": draft.stage,
        "CI_NODE_TOTAL": "1",
    }
    environment = draft.config.get("environment")
    name = environment.get("name") if isinstance(environment, dict) else environment
    if isinstance(name, str):
        found["CI_ENVIRONMENT_NAME"] = name
    return {key: Variable(value=value) for key, value in found.items()}


def _job(
    draft: Draft, rule: Mapping[str, object], own: Mapping[str, Variable], context: _Context, *, told: str = ""
) -> CIJob:
    config = draft.config
    seen = expanded(visible(context.situation, _of_job(draft), own), where=draft.name)
    when = str(rule.get("when") or config.get("when") or "on_success")
    failure = rule.get("allow_failure")
    if failure is None:
        # Only `when: manual` of the CI job itself makes its failure harmless, not that of a rule.
        failure = config.get("allow_failure", config.get("when") == "manual")
    keywords = {key: value for key, value in config.items() if key not in _DONE}
    if isinstance(rule.get("interruptible"), bool):
        keywords["interruptible"] = rule["interruptible"]
    for key in _FILLED:
        if key in keywords:
            keywords[key] = _with_values(keywords[key], seen)
    needs = needs_of(rule["needs"], context.drafts.spread) if rule.get("needs") is not None else draft.needs
    image = keywords.pop("image", "")
    return CIJob(
        name=draft.name,
        stage=draft.stage,
        when=when,
        start_in=str(rule.get("start_in") or config.get("start_in") or "") if when == "delayed" else "",
        allow_failure=failure if isinstance(failure, bool | dict) else False,
        image=image if isinstance(image, str) else str(image.get("name", "")) if isinstance(image, dict) else "",
        needs=needs,
        variables=own,
        values=seen,
        keywords={**({"image": image} if isinstance(image, dict) else {}), **keywords},
        rule=told,
    )


def _with_values(value: object, seen: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return fill(value, seen, keep=True)
    if isinstance(value, list):
        return [_with_values(item, seen) for item in value]
    if isinstance(value, dict):
        return {key: _with_values(item, seen) for key, item in value.items()}
    return value


def _check_needs(jobs: Sequence[CIJob], left_out: Sequence[LeftOut]) -> None:
    names = {job.name for job in jobs}
    reasons = {job.name: job.why for job in left_out}
    for job in jobs:
        needs = job.needs or ()
        if len(needs) > MAX_NEEDS:
            raise PipelineError(
                f"{job.name}: one job can only need {MAX_NEEDS} others, but you have listed {len(needs)}. "
                "See needs keyword documentation for more details"
            )
        for need in needs:
            if need.job not in names and not need.optional:
                raise PipelineError(
                    f"'{job.name}' job needs '{need.job}' job, but '{need.job}' does not exist in the pipeline. "
                    "This might be because of the only, except, or rules keywords. "
                    "To need a job that sometimes does not exist in the pipeline, use needs:optional.",
                    evidence=f"{need.job}: {reasons.get(need.job, 'unknown')}",
                )


def _present(job: CIJob, names: set[str]) -> CIJob:
    """The CI job with those needs that exist."""
    if job.needs is None:
        return job
    needs: tuple[Need, ...] = tuple(need for need in job.needs if need.job in names)
    return replace(job, needs=needs)
