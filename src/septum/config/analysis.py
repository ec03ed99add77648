"""The whole of `septum.yaml`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from septum.config.framework import Framework
from septum.config.parts import PartBlock
from septum.config.reana import Reana
from septum.config.results import Comparison, MergeRule, Output, Policies, Publication, cannot_come
from septum.config.texts import OneLine, RelativePath, Slug, Text, VariableName
from septum.plan import has_placeholder
from septum.validation import Duration, Model, Size


class Resources(Model):
    """What the job of one part asks for. What is left out comes from the cluster's profile."""

    cpus: int | None = Field(None, ge=1, le=1024, description="Cores.")
    memory: Size | None = Field(None, description="Memory, such as `2 GB`.")
    memory_retries: list[Size] = Field(
        default_factory=list,
        description="Memory for further tries of a job that ran out of it, such as `[4 GB, 8 GB]`, smallest first.",
    )
    disk: Size | None = Field(None, description="Disk space in the working folder, such as `1 GB`.")
    time: Duration | None = Field(
        None, description="The longest time that one try of the command may run, such as `2 h`."
    )


class RunLimits(Model):
    """What one run may ask for at most: a list that grew by mistake is refused before anything is submitted."""

    parts: int | None = Field(None, ge=1, description="Parts of one run. Left out: no limit.")
    cpu_hours: float | None = Field(
        None,
        gt=0,
        description="Parts × cores × the longest time of a part, in hours. Left out: no limit.",
    )


def _output(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


def _merge_rule(value: object) -> object:
    return {"output": value} if isinstance(value, str) else value


def _reana(value: object) -> object:
    return {"file": value} if isinstance(value, str) else value


def _blocks(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _tolerance(text: object) -> object:
    if isinstance(text, str) and re.fullmatch(r"\d+|\d+(\.\d+)?\s*%", text) and float(text.rstrip("% ")) <= 10**6:
        if text.endswith("%") and float(text.rstrip("% ")) >= 100:  # noqa: PLR2004 - per cent
            raise ValueError("a tolerance of 100 % would accept an empty result")
        return text.replace(" ", "")
    raise ValueError("write a number of parts such as 3, or a percentage such as 2%")


class Analysis(Model):
    """The whole of `septum.yaml`."""

    version: Literal["1"] = Field("1", description="The version of this file's format.")
    name: Slug = Field("analysis", description="A short name; it appears in the queue.")
    prepare: list[Text] = Field(
        default_factory=list,
        description="Shell lines that run once, before the plan is made, in the analysis image: compile, list files.",
    )
    shell: Literal["sh", "bash"] = Field("sh", description="The shell that runs `setup` and a command given as text.")
    setup: list[OneLine] = Field(
        default_factory=list,
        description="Shell lines that run in each part before the command, in its shell; if one fails, the part does.",
    )
    framework: Framework | None = Field(
        None, description="A framework that submits its jobs itself, instead of `prepare`, `command` and `parts`."
    )
    reana: Annotated[Reana, BeforeValidator(_reana)] | None = Field(
        None,
        description="A workflow of REANA instead of `command`, `parts` and `outputs`: `reana.yaml`, or a mapping.",
    )
    command: list[Text] | Text = Field(
        "",
        min_length=1,
        description=(
            "The command of one part. As a list of words, `{name}` stands for the part's value, taken literally. "
            'As text, it is a shell script (stops at the first error) that finds the values in "$PART_name".'
        ),
    )
    parts: Annotated[list[PartBlock], BeforeValidator(_blocks)] = Field(
        default_factory=list,
        min_length=1,
        description="The parts, in order: one block, or a list of blocks whose parts follow each other.",
    )
    inputs: list[Text] = Field(
        default_factory=list,
        description="Files and folders of the repository that every part needs, as patterns: `analyse.py`, `lib/**`.",
    )
    outputs: list[Annotated[Output, BeforeValidator(_output)]] = Field(
        default_factory=list,
        min_length=1,
        description="The files that every part writes: a path, or a mapping with `path` and `objects`.",
    )
    merge: dict[RelativePath, Annotated[MergeRule, BeforeValidator(_merge_rule)]] | None = Field(
        None,
        description=(
            "Results and the output that each is merged from: `dimuon.root: hists.root`, or a mapping. A placeholder "
            "groups: `{sample}.root: hists.root` gives one a sample. Left out: every ROOT output under its own name, "
            "or, where that has a placeholder, under the name of the analysis. Results have the ending of their output."
        ),
    )
    policies: Policies = Field(
        default_factory=lambda: Policies.model_validate({}), description="How strict the merge is."
    )
    compare: Comparison = Field(
        default_factory=lambda: Comparison.model_validate({}),
        description="What the results are compared with, and what follows.",
    )
    publish: Publication | None = Field(None, description="Where large results go instead of the artifact.")
    resources: Resources = Field(
        default_factory=lambda: Resources.model_validate({}), description="What a job asks for."
    )
    environment: dict[VariableName, OneLine] = Field(
        default_factory=dict,
        description="Environment variables of every part. Never a secret: the plan is an artifact.",
    )
    image: OneLine | None = Field(None, min_length=1, description="The container image that the parts run in.")
    retries: int = Field(0, ge=0, le=20, description="How often a part is run again whose command failed.")
    resubmissions: int = Field(
        1,
        ge=0,
        le=10,
        description="How often a part gets a new job when the fault was not its own: the job was lost, an output was "
        "damaged on the way, the worker could not start it.",
    )
    keep_failed_sandbox: Size | None = Field(
        None,
        description="Bring the working folder of a failed part back, as an archive of at most this size, such as "
        "`50 MB`: it stands beside its logs. Left out: logs only.",
    )
    limits: RunLimits = Field(
        default_factory=lambda: RunLimits.model_validate({}), description="What one run may ask for at most."
    )
    tolerance: Annotated[str, BeforeValidator(_tolerance)] = Field(
        "0",
        description="How many parts may be missing, `3` or `2%`. Such a result is labelled partial, with exit code 39.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Analysis:
        own = {"command": self.command, "parts": self.parts, "outputs": self.outputs}
        if self.reana is not None:
            if both := [key for key in (*own, "framework") if getattr(self, key)]:
                raise ValueError(f"'{both[0]}' and 'reana' exclude each other: {self.reana.file} says what runs")
            return self
        if self.framework is None:
            if missing := [key for key, value in own.items() if not value]:
                raise ValueError(
                    f"needs {' and '.join(missing)}, or 'framework' for one that calls condor_submit itself, "
                    "or 'reana' for a workflow of REANA"
                )
            return self
        both = [key for key in ("command", "parts", "prepare") if getattr(self, key)]
        if both:
            raise ValueError(f"'{both[0]}' and 'framework' exclude each other: the framework says what its jobs are")
        if self.outputs and self.framework.outputs_list is not None:
            raise ValueError("'outputs' and 'framework: outputs-list' exclude each other")
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> Analysis:
        paths = [output.path for output in self.outputs]
        doubled = {path for path in paths if paths.count(path) > 1}
        if doubled:
            raise ValueError(f"outputs: {', '.join(sorted(doubled))} is declared more than once")
        if self.merge is None and sum(has_placeholder(path) and path.endswith(".root") for path in paths) > 1:
            raise ValueError("outputs: several have placeholders; say under 'merge' what each of them is merged into")
        for result, rule in (self.merge or {}).items():
            if self.outputs and (problem := cannot_come(result, rule, paths)):
                raise ValueError(f"merge: {result}{problem}")
            if rule.command is not None and self.tolerance.rstrip("%").strip("0.") != "":
                raise ValueError(
                    f"merge: {result}: its command runs over the complete set: 'tolerance' must be 0, "
                    f"not {self.tolerance}"
                )
        return self

    def results(self, paths: list[str]) -> dict[str, MergeRule]:
        """Result name (may hold placeholders) to how it is made of outputs with these paths; the defaults filled in."""
        if self.merge is not None:
            return {
                result: rule if rule.output else rule.model_copy(update={"output": paths[0]})
                for result, rule in self.merge.items()
            }
        return {
            f"{self.name}.root" if has_placeholder(path) else path: MergeRule.model_validate({"output": path})
            for path in paths
            if path.endswith(".root")
        }
