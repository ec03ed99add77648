"""What the functions of a block do."""

from __future__ import annotations

from tests.unit import cases_functions
from tests.unit.interpreter_case import Case, table


@table(cases_functions.CASES)
def test_functions_do_what_they_do_in_gitlab(case: Case) -> None:
    """A function changes text as GitLab does, or is refused in its words."""
    case.check()
