"""The values between the assembly of a pipeline and the interpreter of one file, and its one entrance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from septum.preview.features import NEWEST, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentContext:
    """GitLab's component context: what `$[[ component.… ]]` may say.

    Attributes:
        name: The component's name in its project.
        sha: The commit that its reference led to.
        version: The released version, empty when the reference is a commit or a branch, or the project is not in the
            catalog.
        reference: What stands behind the `@`.
    """

    name: str
    sha: str
    version: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A CI/CD variable as `expand_vars` and `rules:if` see it.

    Attributes:
        value: Its text.
        masked: Whether GitLab hides it in logs; such a variable is not expanded.
        raw: Whether GitLab leaves `$` in its value alone.
    """

    value: str
    masked: bool = False
    raw: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What `!reference` says in a body that is expanded and not yet merged; GitLab resolves it after the merge.

    Attributes:
        path: The list behind the tag as it was read, valid or not. Blocks inside of it are not replaced.
    """

    path: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One YAML file: its header, if it has one, and its body.

    Attributes:
        name: How messages call the file.
        text: One or two YAML documents.
        component: The component context, if the file is included as a component.
    """

    name: str
    text: str
    component: ComponentContext | None = None


def expand(
    source: Source,
    given: Mapping[str, object] | None,
    variables: Mapping[str, Variable],
    *,
    gitlab: Version = NEWEST,
    pipeline: bool = False,
) -> dict[str, object]:
    """Put the inputs into one file, as GitLab does before it merges the file with others.

    Args:
        source: The file.
        given: The inputs that are passed; `None` if there is no `inputs:` at all.
        variables: The variables that exist when GitLab reads includes, by name.
        gitlab: The version of the server to imitate.
        pipeline: Whether this is the main file, so that its inputs are those of the pipeline.

    Returns:
        The body, with every block replaced. A file whose header has no body behind it is returned with its `spec`,
        for GitLab takes that for a job. Parts may be shared: make copies, do not change them.

    Raises:
        PreviewError: GitLab would refuse the file or the inputs.
    """
    from septum.preview.expand import expand_file

    return expand_file(source, given, variables, gitlab=gitlab, pipeline=pipeline)
