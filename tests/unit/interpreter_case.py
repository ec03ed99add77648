"""One row of the tables that say what GitLab does with a file, and how it is tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from septum.errors import PreviewError
from septum.preview.features import NEWEST, Version
from septum.preview.source import ComponentContext, Source, Variable, expand

# Where GitLab's behaviour was read; the paths without a repository are those of gitlabhq/gitlabhq.
INTERPOLATION = "lib/gitlab/ci/config/interpolation"
HEADER = "lib/gitlab/ci/config/header"
INPUTS = "lib/ci/inputs"
DOC_INPUTS = "doc/ci/inputs/_index.md"
DOC_YAML = "doc/ci/yaml/_index.md"
PSYCH = "ruby/psych lib/psych"
RUBY = "Ruby"

COMPONENT = ComponentContext(name="submit", sha="0" * 40, version="1.2.3", reference="1.2")
VARIABLES = {
    "TEXT": Variable(value="words"),
    "NESTED": Variable(value="$TEXT"),
    "BACKSLASH": Variable(value=r"a\1b"),
    "SECRET": Variable(value="hunter2", masked=True),
}
"""The variables of every case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file, what it is given, and what GitLab makes of it.

    Attributes:
        name: The rule in a few words, unique.
        source: Where the rule was read.
        text: The file.
        expected: The body, or the class of the error.
        message: A part of the message, for errors.
    """

    name: str
    source: str
    text: str
    expected: dict[str, object] | type[PreviewError]
    message: str = ""
    given: Mapping[str, object] | None = None
    gitlab: Version = NEWEST
    component: ComponentContext | None = None
    pipeline: bool = False
    variables: Mapping[str, Variable] = field(default_factory=lambda: VARIABLES)

    def expand(self) -> dict[str, object]:
        """What the interpreter makes of it."""
        source = Source(name="ci.yml", text=self.text, component=self.component)
        return expand(source, self.given, self.variables, gitlab=self.gitlab, pipeline=self.pipeline)

    def check(self) -> None:
        """Compare, types included: 1, 1.0 and true are three things."""
        if isinstance(self.expected, dict):
            assert repr(self.expand()) == repr(self.expected)
            return
        with pytest.raises(PreviewError) as caught:
            self.expand()

        assert type(caught.value) is self.expected
        assert self.message in caught.value.what


def table(cases: list[Case]) -> pytest.MarkDecorator:
    """Run a test for each case, under the case's name."""
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def file(inputs: str, body: str = "x: $[[ inputs.a ]]", *, more: str = "") -> str:
    """A file with a header that has these inputs in flow style, and a body.

    Args:
        inputs: What stands behind `inputs:`.
        body: The second document.
        more: Other lines below `spec:`.
    """
    return f"spec:\n  inputs: {inputs}\n{more}---\n{body}\n"
