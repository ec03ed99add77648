"""Which CI jobs there are, with what, and what GitLab refuses: keywords, rules, needs, variables, workflow."""

from __future__ import annotations

import random
from typing import Any

import pytest

from septum.errors import PipelineError, PreviewError
from septum.preview import psych
from septum.preview.assemble import assemble
from septum.preview.documents import read_documents
from septum.preview.evaluate import evaluate
from septum.preview.features import NEWEST, Version
from septum.preview.pipeline import CIJob, Pipeline
from septum.preview.rules import duration_s
from septum.preview.situation import KINDS, SHA, Situation, expanded, fill, predefined, slug, visible
from septum.preview.source import Reference, Variable
from septum.preview.text import as_body, as_yaml

YAML = "doc/ci/yaml/_index.md"
RULES = "doc/ci/jobs/job_rules.md"
ENTRY = "gitlabhq lib/gitlab/ci/config/entry"
PROCESSOR = "gitlabhq lib/gitlab/ci/yaml_processor.rb"
SEED = "gitlabhq lib/gitlab/ci/pipeline/seed/build.rb"
CLAUSE = "gitlabhq lib/gitlab/ci/build/rules/rule/clause"
OLDER = "doc/ci/yaml/deprecated_keywords.md"
VARIABLES = "doc/ci/variables/_index.md"

PUSH = Situation()
BRANCH = Situation(ref="fix/a", protected=False)
TAG = Situation(ref="1.0", tag=True)
MERGE_REQUEST = Situation(source="merge_request_event", ref="fix/a", protected=False)
SCHEDULE = Situation(source="schedule")


def _pipeline(text: str, situation: Situation = PUSH, *, files: tuple[str, ...] = ()) -> Pipeline:
    return evaluate(assemble(read_documents(text, NEWEST).body), situation, files=lambda: files)


def _names(text: str, situation: Situation = PUSH) -> list[str]:
    return [job.name for job in _pipeline(text, situation).jobs]


def _job(text: str, situation: Situation = PUSH, *, files: tuple[str, ...] = ()) -> CIJob:
    """The CI job `j` of a pipeline in which there is another one, so that there is a pipeline."""
    made = _pipeline(f"{text}\nother: {{script: [s], stage: .pre, rules: [{{when: always}}]}}", situation, files=files)
    return next(job for job in made.jobs if job.name == "j")


# ── what GitLab refuses ─────────────────────────────────────────────────────────────────────────────────────────

REFUSED = [
    ("j: {stage: test}", "jobs j config should implement the script:, run:, or trigger: keyword", f"{ENTRY}/jobs.rb"),
    ("j: text", "jobs j config should implement the script:, run:, or trigger: keyword", f"{ENTRY}/jobs.rb"),
    ("j:", "jobs j config should implement the script:, run:, or trigger: keyword", f"{ENTRY}/jobs.rb"),
    (".j: {script: [s]}", "jobs config should contain at least one visible job", f"{ENTRY}/jobs.rb"),
    ("stages: [a]", "jobs config should contain at least one visible job", f"{ENTRY}/jobs.rb"),
    (".j: {}\nk: {script: [s]}", "jobs:.j config can't be blank", f"{ENTRY}/hidden.rb"),
    ("j: {script: [s], imagee: x}", "jobs:j config contains unknown keys: imagee", f"{ENTRY}/job.rb"),
    ("j: {script: [s], something: wrong}", "jobs:j config contains unknown keys: something", f"{ENTRY}/job.rb"),
    ("j: {script: []}", "jobs:j:script config can't be blank", f"{ENTRY}/job.rb"),
    (
        "j: {script: 1}",
        "script config should be a string or a nested array of strings up to 10",
        f"{ENTRY}/commands.rb",
    ),
    ("j: {script: [{a: b}]}", "script config should be a string or a nested array", f"{ENTRY}/commands.rb"),
    (f"j: {{script: {'[' * 12}s{']' * 12}}}", "up to 10 levels deep", f"{ENTRY}/commands.rb"),
    ("j: {script: [s], before_script: [1]}", "before_script config should be a string or a nested", f"{ENTRY}/job.rb"),
    ("j: {script: [s], tags: mysql}", "jobs:j:tags config should be an array of strings", f"{ENTRY}/tags.rb"),
    ("j: {script: [s], image: [x]}", "jobs:j:image config should be a hash or a string", f"{ENTRY}/image.rb"),
    ("j: {script: [s], image: {entrypoint: [x]}}", "jobs:j:image", f"{ENTRY}/image.rb"),
    ("j: {script: [s], services: x}", "jobs:j:services config", f"{ENTRY}/services.rb"),
    ("j: {script: [s], when: sometimes}", "jobs:j when should be one of: on_success, on_failure", f"{ENTRY}/job.rb"),
    ("j: {script: [s], when: delayed}", "jobs:j start in should be a duration", f"{ENTRY}/job.rb"),
    ("j: {script: [s], when: delayed, start_in: 8 days}", "should not exceed the limit", f"{ENTRY}/job.rb"),
    ("j: {script: [s], start_in: 1 day}", "jobs:j start in must be blank", f"{ENTRY}/job.rb"),
    (
        "j: {script: [s], rules: [{when: always}], only: [x]}",
        "key may not be used with `rules`: only",
        f"{ENTRY}/processable.rb",
    ),
    ("j: {script: [s], trigger: p}", "these keys cannot be used together: script, trigger", f"{ENTRY}/processable.rb"),
    ("j: {needs: [a]}\na: {script: [s]}", "should contain either a trigger or a needs:pipeline", f"{ENTRY}/bridge.rb"),
    (
        "j: {script: [s], variables: {A: [1]}}",
        "variable definition must be either a string or a hash",
        f"{ENTRY}/variable.rb",
    ),
    (
        "j: {script: [s], variables: {A: {value: x, raw: y}}}",
        "A config uses invalid data keys: raw",
        f"{ENTRY}/variable.rb",
    ),
    (
        "j: {script: [s], variables: {A: {description: x}}}",
        "uses invalid data keys: description",
        f"{ENTRY}/variable.rb",
    ),
    ("j: {script: [s], rules: [{variables: {A: {value: x}}}]}", "A config must be a string", f"{ENTRY}/variable.rb"),
    (
        "variables: {A: {value: x, options: [y]}}\nj: {script: [s]}",
        "value must be present in options",
        f"{ENTRY}/variable.rb",
    ),
    ("j: {script: [s], variables: [A]}", "should be a hash of key value pairs", f"{ENTRY}/variables.rb"),
    (
        "variables: {A: [1]}\nj: {script: [s]}",
        "variables A config variable definition must be",
        f"{ENTRY}/variables.rb",
    ),
    ("j: {script: [s], retry: 3}", "jobs:j:retry config must be less than or equal to 2", f"{ENTRY}/retry.rb"),
    ("j: {script: [s], retry: x}", "retry config has to be either an integer or a hash", f"{ENTRY}/retry.rb"),
    ("j: {script: [s], retry: {when: never}}", "retry when contains unknown values: never", f"{ENTRY}/retry.rb"),
    ("j: {script: [s], allow_failure: maybe}", "should be a hash or a boolean value", f"{ENTRY}/allow_failure.rb"),
    ("j: {script: [s], timeout: soon}", "jobs:j:timeout config should be a duration", f"{ENTRY}/timeout.rb"),
    ("j: {script: [s], interruptible: 1}", "interruptible config should be a boolean value", f"{ENTRY}/processable.rb"),
    (
        "j: {script: [s], parallel: 0}",
        "parallel config must be greater than or equal to 1",
        f"{ENTRY}/product/parallel.rb",
    ),
    (
        "j: {script: [s], parallel: 201}",
        "parallel config must be less than or equal to 200",
        f"{ENTRY}/product/parallel.rb",
    ),
    ("j: {script: [s], parallel: x}", "parallel should be an integer or a hash", f"{ENTRY}/product/parallel.rb"),
    (
        "j: {script: [s], artifacts: {path: [x]}}",
        "artifacts config contains unknown keys: path",
        f"{ENTRY}/artifacts.rb",
    ),
    (
        "j: {script: [s], artifacts: {expire_in: soon}}",
        "artifacts expire in should be a duration",
        f"{ENTRY}/artifacts.rb",
    ),
    ("j: {script: [s], artifacts: {when: [x]}}", "artifacts when should be", f"{ENTRY}/artifacts.rb"),
    ("j: {script: [s], id_tokens: {A: {}}}", "A config missing required keys: aud", f"{ENTRY}/id_token.rb"),
    ("j: {script: [s], resource_group: 1}", "resource_group config should be a string", f"{ENTRY}/processable.rb"),
    ("j: {script: [s], needs: ['']}", "needs need config can't be blank", f"{ENTRY}/need.rb"),
    ("j: {script: [s], needs: a}", "needs config can only be a hash or an array", f"{ENTRY}/needs.rb"),
    ("j: {script: [s], needs: [{jobs: a}]}", "needs need has an unsupported type", f"{ENTRY}/need.rb"),
    ("j: {script: [s], needs: [{job: a, optionel: true}]}", "unknown keys: optionel", f"{ENTRY}/need.rb"),
    (
        "j: {script: [s], dependencies: [a], needs: [b]}\na: {script: [s]}\nb: {script: [s]}",
        "the a should be part of needs",
        f"{ENTRY}/job.rb",
    ),
    ("j: {script: [s], rules: text}", "jobs:j:rules should be an array containing hashes", f"{ENTRY}/processable.rb"),
    ("j: {script: [s], rules: [text]}", "jobs:j:rules should be an array containing hashes", f"{ENTRY}/processable.rb"),
    ("j: {script: [s], rules: [{}]}", "jobs:j:rules:rule config can't be blank", f"{ENTRY}/rules/rule.rb"),
    ("j: {script: [s], rules: [{iff: $A}]}", "rule config contains unknown keys: iff", f"{ENTRY}/rules/rule.rb"),
    ("j: {script: [s], rules: [{when: maybe}]}", "rules:rule when unknown value: maybe", f"{ENTRY}/rules/rule.rb"),
    ("j: {script: [s], rules: [{if: '$A = 1'}]}", "rules:rule if invalid expression syntax", f"{ENTRY}/rules/rule.rb"),
    ("j: {script: [s], rules: [{if: true}]}", "rules:rule if invalid expression syntax", f"{ENTRY}/rules/rule.rb"),
    ("j: {script: [s], rules: [{when: delayed}]}", "start in should be a duration", f"{ENTRY}/rules/rule.rb"),
    ("j: {script: [s], rules: [{start_in: 1 day}]}", "contains disallowed keys: start_in", f"{ENTRY}/rules/rule.rb"),
    (
        "j: {script: [s], rules: [{changes: a}]}",
        "changes config should be an array of strings",
        f"{ENTRY}/rules/rule/changes.rb",
    ),
    (
        f"j: {{script: [s], rules: [{{changes: [{', '.join('a' * 51)}]}}]}}",
        "too long (maximum is 50)",
        f"{ENTRY}/rules/rule/changes.rb",
    ),
    (
        "j: {script: [s], rules: [{allow_failure: x}]}",
        "allow failure should be a boolean value",
        f"{ENTRY}/rules/rule.rb",
    ),
    (
        "j: {script: [s], stage: nope}",
        "j job: chosen stage nope does not exist; available stages are .pre, build, test, deploy, .post",
        PROCESSOR,
    ),
    (
        "stages: [a]\nj: {script: [s]}",
        "j job: chosen stage test does not exist; available stages are .pre, a, .post",
        PROCESSOR,
    ),
    ("j: {script: [s], needs: [nope]}", "j job: undefined need: nope", PROCESSOR),
    ("j: {script: [s], dependencies: [nope]}", "j job: undefined dependency: nope", PROCESSOR),
    (
        "build: {script: [s], stage: build, needs: [test]}\ntest: {script: [s]}",
        "build job: need test is not defined in current or prior stages",
        PROCESSOR,
    ),
    ("j: {script: [s], needs: [a, a]}\na: {script: [s]}", "j has the following needs duplicated: a.", PROCESSOR),
    (
        "j: {script: [s], needs: [j]}",
        "The pipeline has circular dependencies",
        "gitlabhq lib/gitlab/ci/yaml_processor/dag.rb",
    ),
    (
        "a: {script: [s], needs: [b]}\nb: {script: [s], needs: [a]}",
        "circular dependencies: a, b",
        "gitlabhq lib/gitlab/ci/yaml_processor/dag.rb",
    ),
    ("j: {script: [s], rules: [{needs: [nope]}]}", "j job: undefined need: nope", PROCESSOR),
    ("j: {script: [s], environment: {name: e, on_stop: k}}", "j job: on_stop job k is not defined", PROCESSOR),
    (
        "j: {script: [s], environment: {name: e, on_stop: k}}\nk: {script: [s]}",
        "does not have environment defined",
        PROCESSOR,
    ),
    ("workflow: {rule: []}\nj: {script: [s]}", "workflow config contains unknown keys: rule", f"{ENTRY}/workflow.rb"),
    (
        "workflow: {rules: [{when: manual}]}\nj: {script: [s]}",
        "workflow:rules:rule when unknown value: manual",
        f"{ENTRY}/workflow.rb",
    ),
    (f"{'n' * 256}: {{script: [s]}}", "name is too long (maximum is 255 characters)", f"{ENTRY}/processable.rb"),
    (
        "j: {script: [s], rules: [{if: $A}]}\nk: {script: [s], needs: [j]}",
        "'k' job needs 'j' job, but 'j' does not exist in the pipeline.",
        SEED,
    ),
    ("j: {script: [s], variables: {A: $B, B: $A}}", "j: circular variable reference detected", SEED),
    ("spec:\n  inputs:\n", "jobs spec config should implement", "gitlabhq lib/gitlab/ci/config/yaml/result.rb"),
]


@pytest.mark.parametrize(("text", "message", "source"), REFUSED, ids=[case[0][:70] for case in REFUSED])
def test_what_gitlab_refuses_is_refused_in_its_words(text: str, message: str, source: str) -> None:
    """In substance: the CI job, the keyword, what is wrong."""
    with pytest.raises(PipelineError) as caught:
        _pipeline(text)

    assert message in caught.value.what, source


def test_all_that_is_wrong_is_said_at_once() -> None:
    """One run of the command is enough to correct a file."""
    with pytest.raises(PipelineError) as caught:
        _pipeline("j: {script: [s], retry: 9}\nk: {script: [s], retry: 9}\nl: {image: x}")

    assert caught.value.what.startswith("jobs:j:retry")
    assert "jobs:k:retry" in caught.value.evidence
    assert "jobs l config should implement" in caught.value.evidence


def test_more_than_fifty_needs_are_refused() -> None:
    """doc/ci/yaml/_index.md, needs; the limit of a new installation."""
    others = [f"j{n}" for n in range(51)]
    text = "\n".join(f"{name}: {{script: [s], stage: build}}" for name in others)

    assert _job(f"{text}\nj: {{script: [s], needs: [{', '.join(others[:50])}]}}").needs
    with pytest.raises(PipelineError, match="one job can only need 50 others, but you have listed 51"):
        _pipeline(f"{text}\nj: {{script: [s], needs: [{', '.join(others)}]}}")


@pytest.mark.parametrize(
    ("keyword", "since"), [("run: []", "17.3"), ("inputs: {}", "18.10"), ("manual_confirmation: x", "17.1")]
)
def test_a_keyword_is_unknown_before_its_time(keyword: str, since: str) -> None:
    """doc/ci/yaml/_index.md, the history of each keyword."""
    text = f"j: {{script: [s], {keyword}}}"

    with pytest.raises(PipelineError, match="contains unknown keys"):
        _pipeline(text, Situation(gitlab=Version(17, 0)))
    if not keyword.startswith("run"):
        assert _names(text, Situation(gitlab=Version(*map(int, since.split("."))))) == ["j"]


# ── which CI jobs there are ─────────────────────────────────────────────────────────────────────────────────────

IN_IT = [
    ("", PUSH, True, f"{OLDER}: branches and tags without rules"),
    ("", TAG, True, OLDER),
    ("", MERGE_REQUEST, False, OLDER),
    ("", SCHEDULE, True, OLDER),
    ("only: [branches]", TAG, False, OLDER),
    ("only: [tags]", TAG, True, OLDER),
    ("only: [merge_requests]", MERGE_REQUEST, True, OLDER),
    ("only: [merge_requests]", PUSH, False, OLDER),
    ("only: [schedules]", SCHEDULE, True, OLDER),
    ("only: [pushes]", PUSH, True, OLDER),
    ("only: [main]", PUSH, True, OLDER),
    ("only: [main]", BRANCH, False, OLDER),
    ("only: [/^fix/]", BRANCH, True, OLDER),
    ("only: [/^FIX/i]", BRANCH, True, OLDER),
    ("only: [main@group/project]", PUSH, True, OLDER),
    ("only: [main@other/project]", PUSH, False, OLDER),
    ("except: [main]", PUSH, False, OLDER),
    ("except: [tags]", PUSH, True, OLDER),
    ("only: {variables: [$CI_COMMIT_BRANCH == 'main']}", PUSH, True, OLDER),
    ("only: {variables: [$CI_COMMIT_BRANCH == 'main']}", BRANCH, False, OLDER),
    ("except: {variables: [$CI_COMMIT_BRANCH]}", PUSH, False, OLDER),
    ("rules: []", PUSH, False, f"{RULES}: no rule is met"),
    ("rules: [{if: $CI_COMMIT_BRANCH}]", PUSH, True, RULES),
    (
        "rules: [{if: $CI_COMMIT_BRANCH}]",
        MERGE_REQUEST,
        False,
        "predefined_variables.md: not in merge request pipelines",
    ),
    ("rules: [{if: $CI_COMMIT_TAG}]", TAG, True, RULES),
    ("rules: [{if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH}]", PUSH, True, RULES),
    ("rules: [{if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH}]", BRANCH, False, RULES),
    ("rules: [{if: $CI_PIPELINE_SOURCE == 'merge_request_event'}]", MERGE_REQUEST, True, RULES),
    ("rules: [{if: $CI_PIPELINE_SOURCE == 'schedule'}]", SCHEDULE, True, RULES),
    ("rules: [{if: $CI_COMMIT_REF_PROTECTED == 'true'}]", BRANCH, False, "predefined_variables.md"),
    ("rules: [{if: $CI_PIPELINE_ID}]", PUSH, False, "predefined_variables.md: persisted variables"),
    ("rules: [{if: $X, when: never}, {when: always}]", PUSH, True, RULES),
    ("rules: [{when: never}, {when: always}]", PUSH, False, f"{RULES}: the first that is met"),
    ("rules: [[[{if: $CI}]]]", PUSH, True, f"{YAML}, rules: nested lists"),
    ("variables: {A: ''}\n  rules: [{if: $A && $CI}]", PUSH, True, "statement_spec.rb: an empty text is true in &&"),
]


@pytest.mark.parametrize(("keywords", "situation", "expected", "source"), IN_IT)
def test_a_ci_job_is_in_the_pipeline_or_not(keywords: str, situation: Situation, expected: object, source: str) -> None:
    """By `only`, `except` and `rules`."""
    found = _pipeline(f"j:\n  script: [s]\n  {keywords}\nother: {{script: [s], rules: [{{when: always}}]}}", situation)

    assert ("j" in [job.name for job in found.jobs]) is expected, source
    assert [job.name for job in found.left_out] == ([] if expected else ["j"])


CHANGES = [
    (("src/a.py",), "[src/*]", True, f"{CLAUSE}/changes.rb"),
    (("src/b/a.py",), "[src/*]", False, f"{CLAUSE}/changes.rb: * stays in a folder"),
    (("src/b/a.py",), "[src/**/*]", True, f"{YAML}, rules:changes"),
    (("a.py",), "['**/*.py']", True, f"{YAML}, rules:changes"),
    (("a.md",), "['*.{py,sh}']", False, f"{YAML}, rules:changes: {{a,b}}"),
    (("a.sh",), "['*.{py,sh}']", True, f"{YAML}, rules:changes: {{a,b}}"),
    (("docs/x",), "[$FOLDER/*]", True, f"{YAML}, rules:changes: variables"),
    (("docs/x",), "{paths: [docs/*], compare_to: main}", True, f"{YAML}, rules:changes:paths"),
    ((), "['**/*']", False, f"{CLAUSE}/changes.rb: nothing changed"),
    (None, "[src/*]", True, f"{CLAUSE}/changes.rb: GitLab cannot know"),
]


@pytest.mark.parametrize(("changed", "globs", "expected", "source"), CHANGES)
def test_changes_decide_if_gitlab_can_know_them(
    changed: tuple[str, ...] | None, globs: str, expected: object, source: str
) -> None:
    """A new branch, a tag and a schedule meet every condition of that kind."""
    text = f"j: {{script: [s], variables: {{FOLDER: docs}}, rules: [{{changes: {globs}}}]}}"

    assert (not _pipeline(text, Situation(changes=changed)).refusal) is expected, source


EXISTS = [
    ("[Dockerfile]", True, f"{YAML}, rules:exists"),
    ("[nope]", False, f"{YAML}, rules:exists"),
    ("['**/*.py']", True, f"{YAML}, rules:exists"),
    ("['*.py']", False, f"{CLAUSE}/exists.rb: the top level only"),
    ("[$NAME]", True, f"{YAML}, rules:exists: variables"),
    ("{paths: [src/a.py]}", True, f"{YAML}, rules:exists:paths"),
    ("['src/[ab].py']", True, f"{CLAUSE}/exists.rb: fnmatch"),
    ("['s??/a.py']", True, f"{CLAUSE}/exists.rb: fnmatch"),
]


@pytest.mark.parametrize(("globs", "expected", "source"), EXISTS)
def test_a_rule_can_ask_for_files(globs: str, expected: object, source: str) -> None:
    """Of the repository, by pattern."""
    text = f"j: {{script: [s], variables: {{NAME: Dockerfile}}, rules: [{{exists: {globs}}}]}}"

    assert (not _pipeline(text, files=("Dockerfile", "src/a.py")).refusal) is expected, source


def test_files_of_another_project_cannot_be_asked_for() -> None:
    """They are on the server, and a guess would be worse than an error."""
    with pytest.raises(PipelineError, match="rules:exists:project is not known here"):
        _pipeline("j: {script: [s], rules: [{exists: {paths: [a], project: g/p}}]}")


# ── what they are ───────────────────────────────────────────────────────────────────────────────────────────────

BECOMES = [
    ("", "when", "on_success", f"{YAML}, when"),
    ("when: manual", "when", "manual", f"{YAML}, when"),
    ("when: manual", "allow_failure", True, f"{YAML}, allow_failure: a manual job may fail"),
    ("rules: [{when: manual}]", "allow_failure", False, f"{YAML}, allow_failure: but not one of a rule"),
    ("rules: [{when: manual, allow_failure: true}]", "allow_failure", True, f"{YAML}, rules:allow_failure"),
    ("allow_failure: {exit_codes: [39]}", "allow_failure", {"exit_codes": [39]}, f"{YAML}, allow_failure:exit_codes"),
    ("allow_failure: {exit_codes: [39]}, rules: [{allow_failure: false}]", "allow_failure", False, SEED),
    ("when: manual, rules: [{if: $CI}]", "when", "manual", "gitlabhq lib/gitlab/ci/build/rules.rb"),
    ("rules: [{if: $CI, when: delayed, start_in: 5 minutes}]", "start_in", "5 minutes", f"{YAML}, start_in"),
    ("image: ruby", "image", "ruby", f"{YAML}, image"),
    ("image: {name: ruby}", "image", "ruby", f"{YAML}, image:name"),
    ("image: $A, variables: {A: '${B}:1', B: ruby}", "image", "ruby:1", "where_variables_can_be_used.md, image"),
    ("image: $NOPE", "image", "$NOPE", "where_variables_can_be_used.md: the runner knows more variables"),
    ("image: $A, variables: {A: {value: $B, expand: false}, B: x}", "image", "$B", f"{YAML}, variables:expand"),
    ("stage: build", "stage", "build", f"{YAML}, stage"),
    ("", "stage", "test", f"{YAML}, stage"),
    ("", "needs", None, f"{YAML}, needs"),
    ("needs: []", "needs", (), f"{YAML}, needs: start at once"),
    ("needs: [{job: nope, optional: true}]", "needs", (), f"{YAML}, needs:optional"),
]


@pytest.mark.parametrize(("keywords", "attribute", "expected", "source"), BECOMES)
def test_keywords_become_what_gitlab_makes_of_them(
    keywords: str, attribute: str, expected: object, source: str
) -> None:
    """With the rule that brought the CI job in."""
    comma = ", " if keywords else ""

    assert getattr(_job(f"j: {{script: [s]{comma}{keywords}}}"), attribute) == expected, source


def test_a_rule_changes_needs_interruptible_and_variables() -> None:
    """doc/ci/yaml/_index.md, rules:needs, rules:interruptible, rules:variables."""
    job = _job(
        "a: {script: [s]}\nb: {script: [s]}\n"
        "j: {script: [s], needs: [a], interruptible: true, variables: {V: own, W: own},\n"
        "    rules: [{if: $CI, needs: [b], interruptible: false, variables: {V: rule}}]}"
    )

    assert [need.job for need in job.needs or ()] == ["b"]
    assert job.keywords["interruptible"] is False
    assert (job.values["V"], job.values["W"]) == ("rule", "own")
    assert job.rule == "rule 1 (if: $CI)"


def test_variables_win_in_gitlabs_order() -> None:
    """Predefined < default < of the CI job < of its rule < of the project; doc/ci/variables/_index.md, precedence."""
    text = (
        "variables: {CI_COMMIT_BRANCH: default, A: default, B: default, C: default, D: default}\n"
        "j: {script: [s], variables: {B: job, C: job, D: job},\n"
        "    rules: [{if: $D == 'project', variables: {C: rule, D: rule}}]}"
    )

    values = _job(text, Situation(variables={"D": Variable(value="project")})).values

    assert [values[name] for name in ("CI_COMMIT_BRANCH", "A", "B", "C", "D")] == ["default"] * 2 + [
        "job",
        "rule",
        "project",
    ]


SCALAR = [("x", "x"), ("1", "1"), ("1.5", "1.5"), ("true", "true"), ("null", ""), ("{value: 7}", "7"), ("{}", "")]


@pytest.mark.parametrize(("written", "expected"), SCALAR)
def test_a_variable_is_always_text(written: str, expected: str) -> None:
    """As in gitlabhq lib/gitlab/ci/config/entry/variable.rb, any scalar; null is empty, by composable_hash.rb."""
    assert _job(f"j: {{script: [s], variables: {{A: {written}}}}}").values["A"] == expected


def test_rules_see_no_variable_of_a_rule_and_nothing_expanded() -> None:
    """As in gitlabhq lib/gitlab/ci/build/rules/rule/clause/if.rb: `variables_hash`."""
    text = "j: {script: [s], variables: {A: $B, B: x}, rules: [{if: $A == 'x', variables: {C: 1}}, {if: $A == '$B'}]}"

    assert _job(text).rule.startswith("rule 2")


def test_a_job_can_decline_default_variables_those_of_the_workflow_too() -> None:
    """doc/ci/yaml/_index.md, inherit:variables, workflow:rules:variables."""
    text = (
        "workflow: {rules: [{variables: {B: workflow, C: workflow}}]}\nvariables: {A: default, B: default}\n"
        "j: {script: [s], variables: {C: job}}\nk: {script: [s], inherit: {variables: [B]}}"
    )
    jobs = {job.name: {name: item.value for name, item in job.variables.items()} for job in _pipeline(text).jobs}

    assert jobs == {"j": {"A": "default", "B": "workflow", "C": "job"}, "k": {"B": "workflow"}}


PARALLEL = [
    ("parallel: 3", ["j 1/3", "j 2/3", "j 3/3"]),
    ("parallel: {matrix: [{A: [x, y], B: z}]}", ["j: [x, z]", "j: [y, z]"]),
    ("parallel: {matrix: [{A: x}, {A: [y], B: [1, 2]}]}", ["j: [x]", "j: [y, 1]", "j: [y, 2]"]),
]


@pytest.mark.parametrize(("keyword", "expected"), PARALLEL)
def test_parallel_makes_several_ci_jobs(keyword: str, expected: list[str]) -> None:
    """As in gitlabhq lib/gitlab/ci/config/normalizer/*_strategy.rb; a need on the name is one on all of them."""
    made = _pipeline(f"j: {{script: [s], {keyword}}}\nk: {{script: [s], needs: [j]}}")

    assert [job.name for job in made.jobs] == [*expected, "k"]
    assert [need.job for need in made.jobs[-1].needs or ()] == expected


def test_one_of_a_matrix_can_be_needed_and_has_its_variables() -> None:
    """doc/ci/yaml/_index.md, needs:parallel:matrix."""
    made = _pipeline(
        "j: {script: [s], parallel: {matrix: [{A: [x, y]}]}}\n"
        "k: {script: [s], needs: [{job: j, parallel: {matrix: [{A: y}]}}]}"
    )

    assert [need.job for need in made.jobs[-1].needs or ()] == ["j: [y]"]
    assert [job.values.get("A") for job in made.jobs] == ["x", "y", None]


def test_a_matrix_can_need_its_like() -> None:
    """doc/ci/yaml/matrix_expressions.md: one to one."""
    text = (
        "j: {script: [s], parallel: {matrix: [{A: [x, y]}]}}\n"
        "k: {script: [s], parallel: {matrix: [{A: [x, y]}]},\n"
        "    needs: [{job: j, parallel: {matrix: [{A: '$[[ matrix.A ]]'}]}}]}"
    )
    needs = {job.name: [need.job for need in job.needs or ()] for job in _pipeline(text).jobs}

    assert needs == {"j: [x]": [], "j: [y]": [], "k: [x]": ["j: [x]"], "k: [y]": ["j: [y]"]}
    with pytest.raises(PipelineError, match="'B' does not exist in the matrix"):
        _pipeline(text.replace("matrix.A", "matrix.B"))


def test_ci_jobs_stand_by_stage_and_as_they_are_written() -> None:
    """As on the pipeline's page."""
    text = "stages: [b, a]\nx: {script: [s], stage: a}\ny: {script: [s], stage: b}\nz: {script: [s], stage: b}"

    made = _pipeline(text)

    assert ([job.name for job in made.jobs], made.stages) == (["y", "z", "x"], ("b", "a"))


def test_an_optional_need_is_kept_if_it_is_there() -> None:
    """doc/ci/yaml/_index.md, needs:optional."""
    text = "a: {script: [s], stage: build}\nj: {script: [s], needs: [{job: a, optional: true, artifacts: false}]}"

    (need,) = _job(text).needs or ()

    assert (need.job, need.artifacts) == ("a", False)


# ── the workflow ────────────────────────────────────────────────────────────────────────────────────────────────

WORKFLOWS = [
    ("{rules: [{if: $CI_COMMIT_TAG}]}", PUSH, "Pipeline filtered out by workflow rules."),
    ("{rules: [{if: $CI_COMMIT_TAG}]}", TAG, ""),
    ("{rules: [{when: never}]}", PUSH, "Pipeline filtered out by workflow rules."),
    ("{rules: [{when: always}]}", MERGE_REQUEST, ""),
    ("{name: x}", MERGE_REQUEST, "Pipeline will not run for the selected trigger. "),
]


@pytest.mark.parametrize(("workflow", "situation", "refusal"), WORKFLOWS)
def test_the_workflow_decides_about_the_pipeline(workflow: str, situation: Situation, refusal: str) -> None:
    """doc/ci/yaml/workflow.md; with rules in it, CI jobs without any run in merge requests, too."""
    made = _pipeline(f"workflow: {workflow}\nj: {{script: [s]}}", situation)

    assert made.refusal.startswith(refusal)
    assert bool(made.refusal) is bool(refusal)
    assert bool(made.jobs) is not bool(refusal)


def test_a_pipeline_of_edges_alone_is_none() -> None:
    """doc/ci/yaml/_index.md, stage: .pre: "must be at least one other job in a different stage"."""
    assert "prevented any jobs" in _pipeline("j: {script: [s], stage: .pre}").refusal


def test_a_pipeline_has_a_name_with_variables_in_it() -> None:
    """doc/ci/yaml/_index.md, workflow:name."""
    text = "workflow: {name: '$KIND of $CI_COMMIT_BRANCH', rules: [{variables: {KIND: build}}]}\nj: {script: [s]}"

    assert _pipeline(text).name == "build of main"


def test_a_last_rule_without_condition_is_warned_of() -> None:
    """As in gitlabhq lib/gitlab/ci/config/entry/processable.rb: unless there are workflow:rules."""
    job = "j: {script: [s], rules: [{if: $X}, {when: always}]}"

    assert "may allow multiple pipelines" in _pipeline(job).warnings[0]
    assert _pipeline(f"workflow: {{rules: [{{when: always}}]}}\n{job}").warnings == ()


# ── the situation ───────────────────────────────────────────────────────────────────────────────────────────────

PREDEFINED: list[tuple[Situation, dict[str, Any]]] = [
    (PUSH, {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_TAG": None, "CI_COMMIT_SHA": SHA}),
    (BRANCH, {"CI_COMMIT_REF_NAME": "fix/a", "CI_COMMIT_REF_SLUG": "fix-a", "CI_COMMIT_REF_PROTECTED": "false"}),
    (TAG, {"CI_COMMIT_TAG": "1.0", "CI_COMMIT_BRANCH": None, "CI_PIPELINE_SOURCE": "push"}),
    (MERGE_REQUEST, {"CI_COMMIT_BRANCH": None, "CI_COMMIT_TAG": None, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}),
    (MERGE_REQUEST, {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix/a", "CI_COMMIT_REF_NAME": "fix/a"}),
    (
        Situation(server="git.test:8443", project="a/b/c"),
        {"CI_SERVER_FQDN": "git.test:8443", "CI_SERVER_HOST": "git.test"},
    ),
    (
        Situation(project="a/b/c"),
        {"CI_PROJECT_NAME": "c", "CI_PROJECT_NAMESPACE": "a/b", "CI_PROJECT_ROOT_NAMESPACE": "a"},
    ),
    (Situation(gitlab=Version(17, 11)), {"CI_SERVER_VERSION_MAJOR": "17", "CI_SERVER_VERSION_MINOR": "11"}),
    (BRANCH, {"CI_OPEN_MERGE_REQUESTS": None}),
    (Situation(ref="fix/a", open_merge_request=True), {"CI_OPEN_MERGE_REQUESTS": "group/project!1"}),
    (Situation(ref="fix/a", open_merge_request=True), {"CI_MERGE_REQUEST_IID": None, "CI_COMMIT_BRANCH": "fix/a"}),
    (Situation(ref="1.0", tag=True, open_merge_request=True), {"CI_OPEN_MERGE_REQUESTS": "group/project!1"}),
    (MERGE_REQUEST, {"CI_OPEN_MERGE_REQUESTS": "group/project!1"}),
    (Situation(source="trigger"), {"CI_PIPELINE_TRIGGERED": "true"}),
    (Situation(source="merge_request_event", fork="me/p"), {"CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "me/p"}),
    (Situation(source="merge_request_event", fork="me/p"), {"CI_MERGE_REQUEST_PROJECT_PATH": "group/project"}),
]


@pytest.mark.parametrize(("situation", "expected"), PREDEFINED)
def test_variables_follow_from_the_situation(situation: Situation, expected: dict[str, Any]) -> None:
    """doc/ci/variables/predefined_variables.md; open merge requests: gitlabhq app/models/ci/pipeline.rb."""
    found = predefined(situation)

    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_gives_a_pipeline(kind: Any) -> None:
    """None of them is forgotten somewhere."""
    assert _names("j: {script: [s], rules: [{when: always}]}", Situation(source=kind)) == ["j"]


EXPANSIONS = [
    ("$A", "x"), ("${A}", "x"), ("%A%", "x"), ("a$A.b", "ax.b"), ("$$A", "$$A"), ("%%A", "%%A"), ("$NOPE", "$NOPE"),
    ("$1", "$1"), ("$", "$"), ("${A", "${A"), ("$A_B", "$A_B"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), EXPANSIONS)
def test_variables_in_text_are_replaced(text: str, expected: str) -> None:
    """As in gitlabhq lib/gitlab/ci/variables/collection/item.rb."""
    assert fill(text, {"A": "x"}, keep=True) == expected


def test_values_are_expanded_at_any_depth_raw_ones_not_at_all() -> None:
    """doc/ci/variables/_index.md, Prevent CI/CD variable expansion."""
    seen = visible(
        PUSH,
        {"A": Variable(value="$B-$CI_COMMIT_BRANCH"), "B": Variable(value="${C}"), "C": Variable(value="$D", raw=True)},
        {"D": Variable(value="d")},
    )

    assert expanded(seen, where="j")["A"] == "$D-main"


def test_variables_cannot_fill_the_memory() -> None:
    """Thirty levels of doubling would be a gigabyte."""
    doubling = {f"A{n}": Variable(value=f"$A{n + 1}$A{n + 1}") for n in range(30)}

    with pytest.raises(PreviewError, match="too much to expand"):
        expanded({**doubling, "A30": Variable(value="xx")}, where="j")


DURATIONS = [
    ("5 minutes", 300), ("1 day", 86_400), ("1h 30m", 5400), ("2 hours, 1 minute", 7260), ("1 week and 1 day", 691_200),
    ("90", 90), (90, None), (1.5, None), ("soon", None), ("", None), ("5 parsecs", None), ("1 day x", None),
    (True, None), ([], None), ("1" * 5000 + "!", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), DURATIONS, ids=[str(case[0])[:20] for case in DURATIONS])
def test_durations_are_read_as_people_write_them(text: object, seconds: float | None) -> None:
    """The gem chronic_duration."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize("name", ["a/b", "A_b", "-x-", "é", "x" * 80])
def test_a_slug_has_only_small_letters_digits_and_hyphens(name: str) -> None:
    """predefined_variables.md, CI_COMMIT_REF_SLUG."""
    made = slug(name)

    assert made == made.strip("-")
    assert len(made) <= 63
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


# ── whatever comes ──────────────────────────────────────────────────────────────────────────────────────────────

KEYS = ["script", "image", "services", "tags", "needs", "rules", "only", "except", "variables", "inherit", "extends"]
KEYS += [
    "parallel",
    "retry",
    "allow_failure",
    "artifacts",
    "id_tokens",
    "environment",
    "dependencies",
    "trigger",
    "when",
]
KEYS += [
    "start_in",
    "stage",
    "if",
    "changes",
    "exists",
    "matrix",
    "job",
    "optional",
    "paths",
    "name",
    "value",
    "expand",
]
SCALARS: list[Any] = [
    "",
    "j",
    "k",
    ".h",
    "$A",
    "test",
    "manual",
    "delayed",
    "1 day",
    "/ab/",
    "$CI == 'x'",
    "always",
    "x\ny",
]
SCALARS += [None, True, False, 0, 1, 3, -1, 1.5, 201, [], {}]


def _noise(rnd: random.Random, depth: int) -> Any:
    kind = rnd.random()
    if depth == 0 or kind < 0.5:
        return rnd.choice(SCALARS)
    if kind < 0.72:
        return [_noise(rnd, depth - 1) for _ in range(rnd.randint(0, 3))]
    if kind < 0.75:
        return Reference(path=["j", rnd.choice(KEYS)])
    return {rnd.choice(KEYS): _noise(rnd, depth - 1) for _ in range(rnd.randint(0, 3))}


@pytest.mark.parametrize("seed", range(4))
def test_values_of_every_type_in_every_place_end_in_an_answer(seed: int) -> None:
    """A pipeline that can be printed, or one kind of error: 400 bodies of made-up keywords and values."""
    rnd = random.Random(seed)
    answers = set()
    for _ in range(400):
        body: dict[str, Any] = {
            name: {"script": ["s"], **{rnd.choice(KEYS): _noise(rnd, 3) for _ in range(rnd.randint(0, 2))}}
            for name in ("j", "k", ".h")
        }
        for key in rnd.sample(["workflow", "default", "variables", "stages", "image"], rnd.randint(0, 1)):
            body[key] = _noise(rnd, 3)
        try:
            made = evaluate(assemble(body), Situation(changes=("a",)), files=lambda: ("a",))
        except PreviewError:
            answers.add("refused")
        else:
            answers.add("made")
            assert not made.jobs or psych.read(as_yaml(made)) == as_body(made)

    assert answers == {"refused", "made"}
