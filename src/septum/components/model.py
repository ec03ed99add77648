"""What a component is: inputs, CI jobs, variables. `septum.components.catalog` holds those that there are.

Pure values; `septum.components.render` turns them into text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import septum

OWN_IMAGE = f"gitlab-registry.cern.ch/cms-analysis/general/septum:{septum.__version__}"
"""Where a release puts septum's own image. An instance that mirrors septum names its copy by input."""

STATE = ".septum/$[[ inputs.job-prefix ]]"
"""The folder that carries plan, receipt and ledger from one CI job to the next.

One for each include: without needs, GitLab gives a CI job the artifacts of all earlier stages, other runs' included.
"""

REPORTS = ".septum-reports/$[[ inputs.job-prefix ]]"
"""The folder of the files that GitLab reads as reports: of the CI job that publishes the result, and of no other."""

HOP_EXPIRY = "2 days"
"""How long GitLab keeps what one hop hands to the next: longer than the longest delay and a night without a runner.

Short, since each hop leaves all outputs that are here so far.
"""

NO_BROKER = "septum-unused"
"""The audience of a token that nobody takes."""

RECORDER = "recorder"
"""The folder, in the state folder, of the `condor_submit` that records."""

LOCAL = "local"
"""The cluster that is the CI job itself."""

InputType = Literal["string", "number", "boolean", "array"]
Default = str | int | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """That an input or a component will go, and what takes its place. It works until then.

    Attributes:
        since: The version that said so first.
        removal: The first version that may be without it, a major one.
        instead: What to write now, one sentence.
    """

    since: str
    removal: str
    instead: str

    def __str__(self) -> str:
        """What people are told."""
        return f"Deprecated since {self.since}, goes with {self.removal}. {self.instead}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of a component.

    Attributes:
        name: As the user writes it, kebab-case.
        description: One or two sentences for the catalog, plain text.
        type: GitLab's type of the value.
        default: None makes the input mandatory.
        regex: RE2, without look-around; GitLab refuses a value that does not match. Strings only.
        options: The only allowed values; of strings and numbers.
        variable: The environment variable that carries the value to septum; None if only a keyword uses it.
        expand: Whether GitLab expands CI/CD variables in the value, as it does in the keyword `image`.
        id_token: The variable of GitLab's `id_token` whose audience the value is; None if it is none.
        is_path: Whether the value is, or may be, a path in the repository.
        is_script: Whether the value is shell lines of the user's own: an array that stands alone among the lines of a
            CI job, and nowhere else.
        deprecated: None if it stays.
    """

    name: str
    description: str
    type: InputType = "string"
    default: Default | None = None
    regex: str | None = None
    options: tuple[str | int, ...] = ()
    variable: str | None = None
    expand: bool = False
    id_token: str | None = None
    is_path: bool = False
    is_script: bool = False
    deprecated: Deprecation | None = None

    @property
    def told(self) -> str:
        """The description, and that the input goes if it does."""
        return self.description if self.deprecated is None else f"{self.description} {self.deprecated}"

    @property
    def reference(self) -> str:
        """The text that GitLab replaces by the value."""
        return f"$[[ inputs.{self.name} ]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class CIJob:
    """One CI job of a component; its full name begins with the input `job-prefix`.

    Attributes:
        name: The name without the prefix.
        description: What it does, one sentence.
        image: Which container it runs in, for people.
        artifacts: What it leaves on the pipeline page, for people.
        count: How many of it there can be; numbered from 1 if not just one.
    """

    name: str
    description: str
    image: str
    artifacts: str
    count: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all of them, without the prefix."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}-{n}" for n in range(1, self.count + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component: what the catalog shows, and what the source in `components/` can use.

    Attributes:
        name: As users include it.
        summary: What it does, one sentence for the catalog.
        inputs: In the order of the header.
        jobs: In the order in which they run.
        deprecated: None if it stays.
    """

    name: str
    summary: str
    inputs: tuple[Input, ...]
    jobs: tuple[CIJob, ...]
    deprecated: Deprecation | None = None

    @property
    def variables(self) -> tuple[Input, ...]:
        """The inputs that travel to septum in the environment."""
        return tuple(item for item in self.inputs if item.variable)

    @property
    def brokers(self) -> tuple[Input, ...]:
        """The inputs that are audiences of GitLab's `id_tokens`."""
        return tuple(item for item in self.inputs if item.id_token)

    def has(self, name: str) -> bool:
        """Whether there is an input of that name."""
        return any(item.name == name for item in self.inputs)
