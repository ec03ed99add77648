"""The tables of the interpreter: many cases, each with a name of its own and a source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from septum.preview.features import FEATURES, NEWEST, OLDEST, Feature, Version
from tests.unit import cases_blocks, cases_functions, cases_header, cases_inputs, cases_rules, cases_yaml

TABLES = (cases_yaml, cases_header, cases_inputs, cases_rules, cases_blocks, cases_functions)
ALL = [case for table in TABLES for case in table.CASES]
SOURCE = re.compile(
    r"(?:ruby/psych )?(?:lib|spec)/[\w/.]+\.rb"  # a file of GitLab, or of the reader of YAML in Ruby
    r"|doc/[\w/.]+\.md(?:, .+)?"  # a page of GitLab's documentation
    r"|(?:gitlab-org/gitlab|firecow/gitlab-ci-local) (?:issue|merge request) \d+"
    r"|Ruby: [\w#., ]+|YAML 1\.1, .+"
)


def test_there_are_enough_cases_and_no_name_twice() -> None:
    """Each case has its own name, and there are more than two hundred."""
    names = [case.name for case in ALL]

    assert len(names) == len(set(names))
    assert len(names) > 200


def test_each_case_says_where_gitlab_does_so() -> None:
    """A source is a file of GitLab, a page of its documentation, an issue, or a method of Ruby."""
    assert [case.source for case in ALL if not SOURCE.fullmatch(case.source)] == []


@pytest.mark.parametrize("feature", FEATURES, ids=[feature.name for feature in FEATURES])
def test_each_feature_has_a_version_within_reach_and_a_source(feature: Feature) -> None:
    """A feature that no imitated server lacks, or none has, would need no entry."""
    assert OLDEST < feature.since <= NEWEST
    assert feature.source
    assert not feature.known(OLDEST)
    assert feature.known(NEWEST)


@pytest.mark.parametrize("feature", FEATURES, ids=[feature.name for feature in FEATURES])
def test_each_feature_is_tried_on_the_last_server_without_it(feature: Feature) -> None:
    """A case says what the version just before makes of a file."""
    major, minor = feature.since
    before = Version(major, minor - 1) if minor else Version(major - 1, 11)

    assert before in {case.gitlab for case in ALL}


def test_the_page_for_authors_has_every_feature() -> None:
    """The table of versions in the documentation is the table of the interpreter."""
    page = (Path(__file__).parents[2] / "docs/explanation/how-gitlab-reads-a-component.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+\.\d+) \| (.+) \|$", page, re.MULTILINE)

    assert rows == [(str(feature.since), feature.name) for feature in FEATURES]
    assert f"from {OLDEST} to {NEWEST}" in page
