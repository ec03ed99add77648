"""What becomes of the blocks in keys and values of a file."""

from __future__ import annotations

from tests.unit import cases_blocks
from tests.unit.interpreter_case import Case, table


@table(cases_blocks.CASES)
def test_blocks_are_replaced_as_gitlab_replaces_them(case: Case) -> None:
    """A block becomes the value that it names, or the file is refused in GitLab's words."""
    case.check()
