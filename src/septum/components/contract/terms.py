"""What users rely on, as values: what a version of the library promises. Values only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from septum.components.model import Deprecation

REFERENCE = re.compile(r"\$\[\[\s*inputs\.([A-Za-z0-9_-]+)")
"""An input in a text, up to what may stand behind its name."""
EXPANDED = "expand: "
"""Begins the value of a variable in which GitLab replaces variables."""
_STRICT: Mapping[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputTerms:
    """One input.

    Attributes:
        type: GitLab's type.
        mandatory: Whether it has no default.
        default: The default; the version of septum in it is replaced by `VERSION`.
        regex: The form that a text must have.
        options: The only values, if there are such.
        deprecated: That it will go.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    type: str = "string"
    mandatory: bool = False
    default: Any = None
    regex: str | None = None
    options: tuple[str | int | float, ...] = ()
    deprecated: Deprecation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """One CI job, with what it takes from hidden ones.

    Attributes:
        paths: What it leaves as artifacts.
        reports: The path of each report that GitLab reads, by its kind.
        when: When it leaves them: `on_success`, `on_failure`, `always`.
        access: Who may read them: `all`, `developer`, `maintainer`, `none`.
        expose_as: Their name in the merge request; empty if they do not show there.
        artifact: The name of the archive; empty for GitLab's own.
        retried: The exit codes after which GitLab runs the CI job again.
        retries: How often at most.
        allowed: The exit codes that are a warning; `true` for all but 0, `false` for none.
        id_tokens: The audiences of each of GitLab's tokens, by its variable.
        image: The container.
        stage: The stage.
        script: The lines that do the work.
        after_script: The lines after it, also when it was cancelled.
        installs: Whether there are lines before it, which bring septum into an image that has none.
        interruptible: Whether a newer commit stops it; or the block that says so.
        expire_in: How long GitLab keeps the artifacts; empty for what the server has set.
        exclude: What of the paths is left out.
        resource_group: Of its CI jobs, only one runs at a time; empty for none.
        environment: The environment that it deploys to, as GitLab's keyword has it; empty for none.
        inherit: What it takes from `default` and from variables of the pipeline, as GitLab's keyword has it.
        variables: The values; `EXPANDED` begins one in which GitLab replaces variables. With those that all CI jobs of
            the component share, they are in `ComponentTerms.shared` instead.
        others: All other keywords but `rules` and `needs`, as JSON.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    paths: tuple[str, ...] = ()
    reports: Mapping[str, str] = field(default_factory=dict)
    when: str = "on_success"
    access: Literal["all", "developer", "maintainer", "none"] = "all"
    expose_as: str = ""
    artifact: str = ""
    retried: tuple[int, ...] = ()
    retries: int = 0
    allowed: bool | tuple[int, ...] = False
    id_tokens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    image: str = ""
    stage: str = ""
    script: tuple[str, ...] = ()
    after_script: tuple[str, ...] = ()
    installs: bool = False
    interruptible: bool | str = False
    expire_in: str = ""
    exclude: tuple[str, ...] = ()
    resource_group: str = ""
    environment: str = ""
    inherit: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One CI job that is in a pipeline.

    Attributes:
        image: The container, with variables replaced.
        when: When it starts.
        start_in: With `delayed`, after how long.
        needs: What it waits for, without the prefix; None if it waits for the stages before.
        allowed: The exit codes that are a warning, as in `JobTerms`; a rule can say it, too.
        sets: The variables that the rule sets which took it in, without those that are seen otherwise.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    image: str = ""
    when: str = "on_success"
    start_in: str = ""
    needs: tuple[str, ...] | None = None
    allowed: bool | tuple[int, ...] = False
    sets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What runs in all situations in which the same runs.

    Attributes:
        where: The situations, with commas between them, by the inputs that are given.
        jobs: The CI jobs by name, without the prefix.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    where: Mapping[str, str]
    jobs: Mapping[str, Ran] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentTerms:
    """One component.

    Attributes:
        inputs: By name.
        jobs: The CI jobs by name, with the block that stands for the prefix; with the defaults of all inputs.
        choices: The CI jobs that another option of an input changes, by `input=option` and by name.
        shared: The variables that all its CI jobs have, with the same values.
        situations: Which CI jobs run, for a table of situations and inputs.
        used: The inputs that have an effect: those that stand in the body.
        deprecated: That the whole component will go.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    inputs: Mapping[str, InputTerms]
    jobs: Mapping[str, JobTerms]
    choices: Mapping[str, Mapping[str, JobTerms]] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    situations: tuple[Row, ...] = ()
    used: tuple[str, ...] = ()
    deprecated: Deprecation | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that septum reads in its CI jobs."""
        names = {*self.shared, *(name for job in self.jobs.values() for name in job.variables)}
        return tuple(sorted(name for name in names if name.startswith("SEPTUM_")))

    @property
    def naming(self) -> frozenset[str]:
        """The inputs whose values stand in names of CI jobs or in paths of artifacts, which others refer to."""
        texts = [*self.jobs, *(path for job in self.jobs.values() for path in (*job.paths, *job.reports.values()))]
        return frozenset(name for text in texts for name in REFERENCE.findall(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a version of the library promises.

    Attributes:
        version: Which one.
        components: By name.
        errors: The exit code of each error code.
        format: The form of the JSON text.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    version: str
    components: Mapping[str, ComponentTerms]
    errors: Mapping[str, int]
    format: Literal[1] = 1
