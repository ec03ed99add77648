"""What parts write and what is made of it, as `septum.yaml` has it: outputs, merge, comparison, publication."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from septum.config.texts import OneLine, RelativePath, Target, Text
from septum.validation import Model, Size


class Output(Model):
    """One file that every part writes."""

    path: RelativePath = Field(
        description="The path that the command writes, relative to its working folder; `{name}` stands for the part's "
        "value: `hists_{sample}.root`."
    )
    objects: list[OneLine] = Field(
        default_factory=list, description="ROOT objects that must be in the file, such as `h_mass` or `cut/h_pt`."
    )

    @property
    def is_root(self) -> bool:
        """Whether the file is a ROOT file, by its ending."""
        return self.path.endswith(".root")


class MergeRule(Model):
    """How one result is made of the outputs of all parts."""

    output: Text | None = Field(
        None,
        min_length=1,
        description="The output that it is merged from, as `outputs` has it. Left out: the only one.",
    )
    command: list[Text] | Text | None = Field(
        None,
        alias="with",
        min_length=1,
        description="The framework's own merge: a command that runs once in the analysis image, when the outputs of "
        "all parts are verified, and writes the result. As text, it is a shell script. Left out: septum merges.",
    )
    at: RelativePath | None = Field(
        None,
        description="With `with`, where the output of each part is laid for the command, such as "
        "`rootFiles/{sample}.root`. Left out: the path of the output, or where HTCondor would have brought it.",
    )
    product: RelativePath | None = Field(
        None, description="With `with`, the path that the command writes. Left out: the name of the result."
    )
    changes: list[OneLine] = Field(
        default_factory=list,
        description="With `with`, patterns such as `*_SPECIAL_*` of the objects that the command may change or take "
        "away. All others must be what the sum of the parts says; what it adds is reported.",
    )

    @model_validator(mode="after")
    def _fits(self) -> MergeRule:
        if self.command is None and (self.at or self.product or self.changes):
            raise ValueError("'at', 'product' and 'changes' are for a merge 'with' a command")
        return self


class Policies(Model):
    """What may differ or go beyond the exact merge. Each key is strict by default; what is relaxed is in the report."""

    sums: Literal["exact", "plain"] = Field(
        "exact",
        description="`exact`: the exact sum, rounded once, the same for every order. `plain`: one addition after the "
        "other in the order of the plan, bit for bit what ROOT's hadd gives.",
    )
    labels: Literal["equal", "by-name"] = Field(
        "equal", description="Labels of axes that differ between parts: refused, or bins added by their label."
    )
    parameters: Literal["equal", "sum", "first"] = Field(
        "equal", description="`TParameter` that differs between parts: refused, added, or that of the first part."
    )
    strings: Literal["equal", "first"] = Field(
        "equal", description="`TNamed` and `TObjString` that differ: refused, or that of the first part."
    )
    non_finite: Literal["refuse", "keep"] = Field(
        "refuse", description="NaN or infinity in a bin, an error or a statistic: refused, or added as it is."
    )
    averages: Literal["refuse", "sum"] = Field(
        "refuse", description="Histograms marked as averages (`kIsAverage`): refused, or added as if they were not."
    )
    saturation: Literal["refuse", "round"] = Field(
        "refuse",
        description="A sum of whole numbers that its type cannot hold (TH1C, S, I, F): refused, or the nearest number "
        "that it can.",
    )
    missing_objects: Literal["refuse", "groups", "union"] = Field(
        "refuse",
        description="Objects that are in some parts only: refused; or added as `groups` of parts have them, such as "
        "one a sample: any two parts have the same objects, or none in common; or whatever parts have them (`union`), "
        "which does not see that a part forgot some.",
    )
    unchecked: Literal["refuse", "hadd"] = Field(
        "refuse", description="Objects of classes whose merge septum cannot check: refused, or left to hadd."
    )

    @property
    def relaxed(self) -> dict[str, str]:
        """The keys that are not strict, as they are written, with their values."""
        return self.model_dump(by_alias=True, exclude_defaults=True)


class Comparison(Model):
    """What results are compared with, and what follows."""

    reference: OneLine = Field(
        "default-branch",
        min_length=1,
        description="`default-branch`: its last good pipeline; `tag:v1.2`: the pipeline of a tag; `none`; else a path "
        "or URL of a file, or of a folder that holds files of the results' names.",
    )
    reproducibility: Literal["exact", "statistical", "report"] = Field(
        "report",
        description="What ends with an error: `exact`, anything but identical; `statistical`, an object that is "
        "missing or statistically incompatible; `report`, nothing.",
    )
    significance: float = Field(
        0.001, gt=0, lt=1, description="Below this p-value an object is called different, after correction for trials."
    )


class Publication(Model):
    """Where large files go when they are too large for an artifact."""

    to: Target = Field(
        min_length=1,
        description="A folder as `root://…//path`, `https://…` or `s3-presigned:VARIABLE`; `{run}` in it is the run.",
    )
    files: Literal["results", "results-and-outputs"] = Field(
        "results", description="What is published: the results, or the outputs of the parts, too."
    )
    above: Size | None = Field(
        None,
        description="Publish only what is larger, such as `80 MB`. Left out: everything. What is published is not in "
        "the artifact: manifest and report name its place and its checksum.",
    )


def _cannot_merge(result: str, output: str) -> str:
    """Why a result cannot be merged from an output, by their endings; empty if it can."""
    # Only the endings are asked for; the libraries of the formats are loaded when something is merged.
    from septum.merge import formats

    mine, its = (".root" if name.endswith(".root") else formats.ending_of(name) for name in (output, result))
    if mine is None:
        known = ", ".join([".root", *formats.endings()])
        return f"nothing merges {output!r}, which can only be kept, one a part; known endings are {known}"
    if mine != its:
        return f"it must end with {mine}, as the output that it is merged from"
    return ""


def cannot_come(result: str, rule: MergeRule, paths: list[str]) -> str:
    """Why a result cannot be made of outputs with these paths; empty if it can."""
    if rule.output is None and len(paths) > 1:
        return ": say which 'output' it is merged from; there are several"
    output = rule.output or paths[0]
    if output not in paths:
        return f" is to be merged from {output!r}, which is not among the outputs"
    problem = _cannot_merge(result, output)
    return f": {problem}" if problem else ""
