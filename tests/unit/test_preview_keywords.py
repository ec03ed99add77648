"""The keywords of a CI job whose form has more to it: durations, artifacts, retry, tags, ID tokens, variables."""

from __future__ import annotations

import pytest

from septum.errors import PipelineError
from septum.preview.assemble import assemble
from septum.preview.documents import read_documents
from septum.preview.evaluate import evaluate
from septum.preview.features import NEWEST, Version
from septum.preview.pipeline import Pipeline
from septum.preview.situation import Situation

ENTRY = "gitlabhq lib/gitlab/ci/config/entry"
FORMS = "gitlabhq lib/gitlab/config/entry/legacy_validation_helpers.rb"
REASONS = "gitlabhq app/models/concerns/enums/ci/commit_status.rb"
YAML = "doc/ci/yaml/_index.md"
MONTH = "gitlabhq app/models/project.rb, MAX_BUILD_TIMEOUT"


def _pipeline(keywords: str, gitlab: Version = NEWEST) -> Pipeline:
    body = read_documents(f"j: {{script: [s], {keywords}}}", NEWEST).body
    return evaluate(assemble(body), Situation(gitlab=gitlab))


def _tags(count: int) -> str:
    return f"tags: [{', '.join(f't{number}' for number in range(count))}]"


REFUSED = [
    ("timeout: 3600", "timeout config should be a duration", FORMS),
    ("timeout: true", "timeout config should be a duration", FORMS),
    ("timeout: 2 months", "timeout config should not exceed the limit", MONTH),
    ("timeout: 31 days", "timeout config should not exceed the limit", MONTH),
    ("when: delayed, start_in: 30", "start in should be a duration", FORMS),
    ("rules: [{when: delayed, start_in: 30}]", "start in should be a duration", FORMS),
    ("artifacts: {expire_in: 7}", "artifacts expire in should be a duration", FORMS),
    ("artifacts: {access: all, public: true}", "used together: access, public", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {public: null, access: null}", "used together: public, access", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {access: reporter}", "access should be one of: none, developer, all", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {access: [all]}", "access should be one of", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: [a], expose_as: a/b!}", "expose as can contain only letters", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: [a], expose_as: ''}", "expose as can contain only letters", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: [a], expose_as: é}", "expose as can contain only letters", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: [a], expose_as: -a}", "expose as can contain only letters", f"{ENTRY}/artifacts.rb"),
    ('artifacts: {paths: [a], expose_as: "a\\n"}', "expose as can contain only letters", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: [a], expose_as: 1}", "expose as should be a string", f"{ENTRY}/artifacts.rb"),
    (f"artifacts: {{paths: [a], expose_as: {'a' * 101}}}", "expose as is too long", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: ['a/*'], expose_as: a}", "paths can't contain '*' when used with", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {expose_as: a}", "paths can't be blank", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: [], expose_as: a}", "paths can't be blank", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: a}", "paths should be an array of strings", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {public: 1}", "public should be a boolean value", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {untracked: x}", "untracked should be a boolean value", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {name: 1}", "name should be a string", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {reports: x}", "reports should be a hash", f"{ENTRY}/artifacts.rb"),
    (_tags(50), "tags config must be less than the limit of 50 tags", f"{ENTRY}/tags.rb"),
    ("id_tokens: {A: {aud: x, foo: 1}}", "A config contains unknown keys: foo", f"{ENTRY}/id_token.rb"),
    ("id_tokens: {A: {aud: [1]}}", "A aud should be an array of strings or a string", f"{ENTRY}/id_token.rb"),
    ("id_tokens: {A: {aud: null}}", "A aud should be an array of strings or a string", f"{ENTRY}/id_token.rb"),
    ("id_tokens: {A: x}", "A config missing required keys: aud", f"{ENTRY}/id_token.rb"),
    ("retry: {when: [nope]}", "retry when contains unknown values: nope", f"{ENTRY}/retry.rb"),
    ("retry: {when: [1]}", "retry when should be an array of strings or a string", f"{ENTRY}/retry.rb"),
    ("retry: {max: 3}", "retry max must be less than or equal to 2", f"{ENTRY}/retry.rb"),
    ("retry: {max: true}", "retry max is not a number", f"{ENTRY}/retry.rb"),
    ("retry: true", "retry config has to be either an integer or a hash", f"{ENTRY}/retry.rb"),
    ("retry: {exit_codes: [true]}", "retry exit codes should be an array of integers", f"{ENTRY}/retry.rb"),
    ("allow_failure: {exit_codes: true}", "exit codes should be an array of integers", f"{ENTRY}/allow_failure.rb"),
    ("variables: {A: [true]}", "definition must be either a string or a hash", f"{ENTRY}/variable.rb"),
]


@pytest.mark.parametrize(("keywords", "message", "source"), REFUSED, ids=[case[0][:60] for case in REFUSED])
def test_a_wrong_form_is_refused(keywords: str, message: str, source: str) -> None:
    """In GitLab's words, with the CI job and the keyword before them."""
    with pytest.raises(PipelineError) as caught:
        _pipeline(keywords)

    assert message in f"{caught.value.what}\n{caught.value.evidence}", source
    assert caught.value.what.startswith("jobs:j")


TAKEN = [
    ("timeout: '3600'", FORMS),
    ("timeout: 30 days", MONTH),
    ("timeout: 1 month", MONTH),
    ("timeout: null", f"{ENTRY}/job.rb"),
    ("when: delayed, start_in: '30'", FORMS),
    ("artifacts: {expire_in: '7'}", FORMS),
    ("artifacts: {expire_in: Never}", "gitlabhq lib/gitlab/ci/build/duration_parser.rb"),
    ("artifacts: {paths: null}", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: null, when: null, access: null, expire_in: null, reports: null}", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: ['a/*'], expose_as: null}", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: [a], expose_as: The result-1_a}", f"{ENTRY}/artifacts.rb"),
    (f"artifacts: {{paths: [a], expose_as: {'a' * 100}}}", f"{ENTRY}/artifacts.rb"),
    ("artifacts: {paths: [a], access: developer}", f"{ENTRY}/artifacts.rb"),
    (_tags(49), f"{ENTRY}/tags.rb"),
    ("id_tokens: {A: {aud: x}, B: {aud: [x, y]}}", f"{ENTRY}/id_token.rb"),
    ("retry: {max: null}", f"{ENTRY}/retry.rb"),
    ("retry: {max: 1, when: null, exit_codes: null}", f"{ENTRY}/retry.rb"),
    ("retry: {when: [no_matching_runner]}", REASONS),
    ("retry: {when: user_blocked}", REASONS),
    ("retry: {when: [runner_interrupted, job_token_expired]}", REASONS),
    ("retry: {when: always}", f"{ENTRY}/retry.rb"),
    ("allow_failure: {exit_codes: null}", f"{ENTRY}/allow_failure.rb"),
    ("variables: {A: true, B: 1.5, C: {value: false}}", "gitlab-org/gitlab merge request 146503, of 16.11"),
]


@pytest.mark.parametrize(("keywords", "source"), TAKEN, ids=[case[0][:60] for case in TAKEN])
def test_a_form_that_gitlab_takes_is_taken(keywords: str, source: str) -> None:
    """Null in a keyword that may be left out counts as left out."""
    assert [job.name for job in _pipeline(keywords).jobs] == ["j"], source


def test_maintainers_alone_may_read_artifacts_from_some_version_on() -> None:
    """doc/ci/yaml/_index.md, artifacts:access: "introduced in GitLab 18.4"."""
    keywords = "artifacts: {paths: [a], access: maintainer}"

    assert _pipeline(keywords, Version(18, 4)).jobs
    with pytest.raises(PipelineError, match="access should be one of: none, developer, all"):
        _pipeline(keywords, Version(18, 3))


def test_default_variables_may_be_scalars_of_any_kind() -> None:
    """As in gitlabhq lib/gitlab/ci/config/entry/variable.rb: `scalar`, which truth values and floats are."""
    body = read_documents("variables: {A: true, B: 1.5}\nj: {script: [s]}", NEWEST).body

    (job,) = evaluate(assemble(body), Situation(gitlab=Version(17, 0))).jobs

    assert (job.values["A"], job.values["B"]) == ("true", "1.5")
