"""The differences in conditions, rules, needs and the pipeline as a whole. Data."""

from __future__ import annotations

from collections.abc import Mapping

from septum.preview.difference import RUNS, Difference, Expected

_CONDITIONS = "Conditions in rules"
_PIPELINE = "Rules, needs and the pipeline as a whole"
_REFUSED = "invalid expression syntax"
_EXPRESSION = "lib/gitlab/ci/pipeline/expression"
_SEED = "lib/gitlab/ci/pipeline/seed/build.rb"


def _condition(
    key: str,
    condition: str,
    gitlab: str,
    runner: str,
    *,
    source: str,
    there: Expected,
    here: Expected,
    alone: bool = False,
    **variables: str,
) -> Difference:
    job: dict[str, object] = {"script": ["true"], "rules": [{"if": condition}]}
    if variables:
        job["variables"] = variables
    return Difference(
        key=key,
        topic=_CONDITIONS,
        gitlab=gitlab,
        runner=runner,
        source=source,
        main={key: job},
        there=there,
        here=here,
        alone=alone,
    )


def _pipeline(
    key: str,
    main: Mapping[str, object],
    gitlab: str,
    runner: str,
    *,
    source: str,
    there: Expected,
    here: Expected,
    alone: bool = False,
) -> Difference:
    return Difference(
        key=key,
        topic=_PIPELINE,
        gitlab=gitlab,
        runner=runner,
        source=source,
        main=main,
        there=there,
        here=here,
        alone=alone,
    )


def _job(**keywords: object) -> dict[str, object]:
    return {"script": ["true"], **keywords}


CONDITIONS: tuple[Difference, ...] = (
    _condition(
        "empty-and",
        "$EMPTY && $CI",
        'An empty variable is true before `&&`: the condition holds. Write `$VARIABLE != ""` to ask for a value.',
        "It is false there: the CI job is left out.",
        source=f"{_EXPRESSION}/lexeme/and.rb; spec/{_EXPRESSION}/statement_spec.rb",
        there=RUNS,
        here=None,
        EMPTY="",
    ),
    _condition(
        "empty-or",
        "$EMPTY || $CI",
        "An empty variable is true before `||`, and as a whole false: the other side is never asked.",
        "The other side decides.",
        source=f"{_EXPRESSION}/lexeme/or.rb",
        there=None,
        here=RUNS,
        EMPTY="",
    ),
    _condition(
        "blank",
        "$BLANK",
        "A variable of spaces alone is false.",
        "It is true.",
        source=f"{_EXPRESSION}/statement.rb",
        there=None,
        here=RUNS,
        BLANK="  ",
    ),
    _condition(
        "one-character",
        "$CI_COMMIT_BRANCH =~ /m/",
        "A pattern of one character is a syntax error.",
        "It is a pattern.",
        source="doc/ci/jobs/job_rules.md; " + f"{_EXPRESSION}/lexeme/pattern.rb",
        there=_REFUSED,
        here=RUNS,
    ),
    _condition(
        "bare-number",
        "$ONE == 1",
        "A number without quotes is a syntax error.",
        "It is compared.",
        source=f"{_EXPRESSION}/lexer.rb",
        there=_REFUSED,
        here=RUNS,
        ONE="1",
    ),
    _condition(
        "negation",
        '!$NOPE == "true"',
        "`!` binds before `==`, and its value is compared by name.",
        "The value is compared as it is, and the condition does not hold.",
        source=f"{_EXPRESSION}/lexeme/not.rb",
        there=RUNS,
        here=None,
    ),
    _condition(
        "text-as-pattern",
        '$NOPE =~ "main"',
        "A text on the right of `=~` is searched for the left side; nothing is in every text.",
        "It ends with an error.",
        source=f"{_EXPRESSION}/lexeme/matches.rb",
        there=RUNS,
        here="must be a regex pattern",
        alone=True,
    ),
    _condition(
        "pipeline-id",
        "$CI_PIPELINE_ID",
        "The number of the pipeline does not exist yet when rules are asked.",
        "It exists.",
        source="doc/ci/variables/where_variables_can_be_used.md, persisted variables",
        there=None,
        here=RUNS,
    ),
    _condition(
        "protected",
        '$CI_COMMIT_REF_PROTECTED == "true"',
        "On a protected branch, such as the default branch, the variable is `true`.",
        "It is `false` everywhere.",
        source="doc/ci/variables/predefined_variables.md",
        there=RUNS,
        here=None,
    ),
)
PIPELINES: tuple[Difference, ...] = (
    _pipeline(
        "workflow",
        {"workflow": {"rules": [{"when": "never"}]}, "workflow-job": _job()},
        "`workflow: rules` can keep the whole pipeline from being created.",
        "It is not asked.",
        source="doc/ci/yaml/workflow.md",
        there="Pipeline filtered out by workflow rules.",
        here=RUNS,
        alone=True,
    ),
    _pipeline(
        "edge-stages",
        {"edge-stages": _job(stage=".pre")},
        "With CI jobs in `.pre` and `.post` alone there is no pipeline.",
        "They run.",
        source="doc/ci/yaml/_index.md, stage: .pre",
        there="prevented any jobs from being added",
        here=RUNS,
        alone=True,
    ),
    _pipeline(
        "need-left-out",
        {"left-out": _job(rules=[{"if": "$NOPE"}]), "need-left-out": _job(needs=["left-out"])},
        "A need on a CI job that its rules leave out is an error.",
        "It is listed, and fails when it is its turn.",
        source=_SEED,
        there="'need-left-out' job needs 'left-out' job, but 'left-out' does not exist in the pipeline.",
        here=RUNS,
    ),
    _pipeline(
        "need-twice",
        {"needed": _job(), "need-twice": _job(needs=["needed", "needed"])},
        "A need that is named twice is an error.",
        "It is accepted.",
        source="lib/gitlab/ci/yaml_processor.rb",
        there="following needs duplicated: needed",
        here=RUNS,
    ),
    _pipeline(
        "many-needs",
        {**{f"n{n}": _job() for n in range(51)}, "many-needs": _job(needs=[f"n{n}" for n in range(51)])},
        "A CI job has at most 50 needs.",
        "There is no limit.",
        source=_SEED,
        there="one job can only need 50 others",
        here=RUNS,
    ),
    _pipeline(
        "circular-variables",
        {"circular-variables": _job(variables={"A": "$B", "B": "$A"})},
        "Variables that refer to each other in a circle are an error.",
        "They are accepted.",
        source=_SEED,
        there="circular variable reference detected",
        here=RUNS,
    ),
    _pipeline(
        "long-name",
        {"long-name" + "n" * 247: _job()},
        "The name of a CI job has at most 255 characters.",
        "There is no limit.",
        source="lib/gitlab/ci/config/entry/processable.rb",
        there="name is too long (maximum is 255 characters)",
        here=RUNS,
    ),
    _pipeline(
        "empty-hidden",
        {".empty-hidden": {}, "empty-hidden": _job()},
        "A hidden CI job must not be empty.",
        "It may be.",
        source="lib/gitlab/ci/config/entry/hidden.rb",
        there="jobs:.empty-hidden config can't be blank",
        here=RUNS,
    ),
    _pipeline(
        "two-defaults",
        {"image": "a", "default": {"image": "b"}, "two-defaults": _job()},
        "A keyword both at the top and below `default` is an error.",
        "It is accepted.",
        source="lib/gitlab/ci/config/entry/default.rb",
        there="image is defined in top-level and `default:` entry",
        here=RUNS,
        alone=True,
    ),
    _pipeline(
        "manual",
        {"manual": _job(when="manual")},
        "A manual CI job, unless a rule makes it manual, may fail.",
        "It may not.",
        source="doc/ci/yaml/_index.md, allow_failure",
        there={"when": "manual", "allow_failure": True},
        here={"when": "manual", "allow_failure": False},
    ),
    _pipeline(
        "unknown-changes",
        {"unknown-changes": _job(rules=[{"changes": ["nope/*"]}])},
        "Where GitLab cannot know the changed files (a new branch, a tag, a schedule), `changes` is met.",
        "It compares with the branch on the server.",
        source="lib/gitlab/ci/build/rules/rule/clause/changes.rb",
        there=RUNS,
        here=None,
    ),
    _pipeline(
        "no-tags",
        {"no-tags": _job(tags=[])},
        "An empty list of tags is for runners without tags.",
        "It is an error, unless the schema is told otherwise, as `septum rehearse` does.",
        source="lib/gitlab/ci/config/entry/tags.rb",
        there=RUNS,
        here="must not have fewer than 1 items at no-tags.tags",
        alone=True,
    ),
    _pipeline(
        "no-match",
        {"include": [{"local": "nope/*.yml"}], "no-match": _job()},
        "A pattern that no file matches includes nothing.",
        "It is an error.",
        source="lib/gitlab/ci/config/external/mapper/location_expander.rb",
        there=RUNS,
        here="Local include file cannot be found",
        alone=True,
    ),
)
