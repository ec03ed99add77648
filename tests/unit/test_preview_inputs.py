"""How GitLab judges the inputs that a file is given."""

from __future__ import annotations

from tests.unit import cases_inputs, cases_rules
from tests.unit.interpreter_case import Case, table


@table(cases_inputs.CASES)
def test_inputs_get_the_value_that_gitlab_gives_them(case: Case) -> None:
    """An input has the type, default, options and rules of its header, or is refused in GitLab's words."""
    case.check()


@table(cases_rules.CASES)
def test_rules_choose_what_gitlab_would_choose(case: Case) -> None:
    """The rules of an input find its options and default from the other inputs."""
    case.check()
