"""Since which version GitLab knows what: the one table behind every `gitlab=` of the interpreter. Pure data.

A feature that stood behind a flag counts from the version in which the flag was on without being asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Version(NamedTuple):
    """A version of a GitLab server, as far as features depend on it."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


OLDEST = Version(17, 0)
"""The first version that is imitated: inputs and components are generally available there."""
NEWEST = Version(19, 4)
"""The last version whose sources and documentation were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Something that older servers do not know.

    Attributes:
        name: What it is, for messages and for the table of the documentation.
        since: The first version that has it.
        source: Where GitLab says so.
    """

    name: str
    since: Version
    source: str

    def known(self, gitlab: Version) -> bool:
        """Whether a server of that version has it."""
        return gitlab >= self.since


LARGER_FILES = Feature(
    name="files of up to 2 MB instead of 1 MB", since=Version(17, 3), source="gitlab-org/gitlab merge request 160826"
)
PIPELINE_INPUTS = Feature(
    name="inputs of the pipeline itself", since=Version(17, 11), source="doc/ci/inputs/_index.md, For a pipeline"
)
COERCION = Feature(
    name="text given for a number, boolean or array is read as JSON; anything given for text is written out",
    since=Version(17, 11),
    source="lib/ci/inputs/base_input.rb, string_input.rb; gitlab-org/gitlab merge request 188093",
)
COMPONENT_CONTEXT = Feature(
    name="`spec: component`", since=Version(18, 6), source="doc/ci/yaml/_index.md, spec:component"
)
MATRIX_BLOCKS = Feature(name="`$[[ matrix.… ]]`", since=Version(18, 6), source="doc/ci/yaml/matrix_expressions.md")
POSIX_ESCAPE = Feature(
    name="the function `posix_escape`", since=Version(18, 6), source="doc/ci/inputs/_index.md, posix_escape"
)
INPUT_RULES = Feature(
    name="`rules` of an input", since=Version(18, 7), source="doc/ci/yaml/_index.md, spec:inputs:rules"
)
SPEC_INCLUDE = Feature(name="`spec: include`", since=Version(18, 9), source="doc/ci/yaml/_index.md, spec:include")
SPEC_DESCRIPTION = Feature(
    name="`spec: description`", since=Version(18, 10), source="doc/ci/yaml/_index.md, spec:description"
)
ARRAY_INDEX = Feature(
    name="`$[[ inputs.list[0] ]]`",
    since=Version(18, 11),
    source="doc/ci/inputs/_index.md, Access individual array elements",
)
ARRAY_OPTIONS = Feature(
    name="`options` of an array", since=Version(19, 0), source="doc/ci/yaml/_index.md, spec:inputs:options"
)
SPLIT = Feature(name="the function `split`", since=Version(19, 2), source="gitlab-org/gitlab merge request 242134")

FEATURES = (
    LARGER_FILES,
    PIPELINE_INPUTS,
    COERCION,
    COMPONENT_CONTEXT,
    MATRIX_BLOCKS,
    POSIX_ESCAPE,
    INPUT_RULES,
    SPEC_INCLUDE,
    SPEC_DESCRIPTION,
    ARRAY_INDEX,
    ARRAY_OPTIONS,
    SPLIT,
)
"""All of them, in the order in which they came."""
