"""How GitLab reads the YAML, the documents and the header of a CI/CD file."""

from __future__ import annotations

from tests.unit import cases_header, cases_yaml
from tests.unit.interpreter_case import Case, table


@table(cases_yaml.CASES)
def test_yaml_is_read_as_ruby_reads_it(case: Case) -> None:
    """A document means what it means to GitLab, or is refused in its words."""
    case.check()


@table(cases_header.CASES)
def test_a_header_is_judged_as_gitlab_judges_it(case: Case) -> None:
    """A header is taken, or refused in GitLab's words, by the version that is imitated."""
    case.check()
