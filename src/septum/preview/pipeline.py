"""What comes out: a pipeline with its CI jobs, or GitLab's reason why there is none. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from septum.preview.include import Inclusion
from septum.preview.situation import Situation
from septum.preview.source import Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A CI job that another one waits for, in the same pipeline.

    Attributes:
        job: Its full name.
        artifacts: Whether its artifacts are fetched.
        optional: Whether it may be missing.
    """

    job: str
    artifacts: bool = True
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CIJob:
    """A CI job that is in the pipeline.

    Attributes:
        name: Its full name.
        stage: Its stage.
        when: When it starts.
        start_in: With `delayed`, how long it waits.
        allow_failure: Whether its failure is a warning: always, never, or for some exit codes.
        image: The container, with variables replaced; empty if the runner decides.
        needs: What it waits for instead of the stages before; None if it waits for these.
        variables: Those of the YAML: default ones, its own, those of its rule.
        values: All that are visible to it, with the variables in them replaced.
        keywords: All other keywords, with what it inherits; without those that have done their work, such as `rules`.
        rule: Which rule brought it in, for people; empty if it has none.
    """

    name: str
    stage: str
    when: str
    start_in: str
    allow_failure: bool | Mapping[str, object]
    image: str
    needs: tuple[Need, ...] | None
    variables: Mapping[str, Variable]
    values: Mapping[str, str]
    keywords: Mapping[str, object]
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A CI job that is not in the pipeline, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What GitLab makes of the files.

    Attributes:
        situation: What started it.
        name: `workflow:name`, with variables replaced; empty if there is none.
        stages: The stages that have CI jobs, in their order.
        jobs: By stage, within it as they are written.
        left_out: The others.
        inclusions: The files that were included.
        warnings: What GitLab warns of, and what it does silently.
        refusal: Why GitLab creates no pipeline, in its words; empty if it does.
    """

    situation: Situation
    name: str
    stages: tuple[str, ...]
    jobs: tuple[CIJob, ...]
    left_out: tuple[LeftOut, ...]
    inclusions: tuple[Inclusion, ...]
    warnings: tuple[str, ...]
    refusal: str = ""
