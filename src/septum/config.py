"""`septum.yaml` as typed, frozen values. Declares every key once; JSON schema and reference page come from here.

Says nothing about clusters and reads no file: `septum.plan` turns these values into a plan.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from septum.validation import Duration, Model, Size

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
"""A name that can be a shell variable after `PART_`."""

SETTABLE_BY_SEPTUM = frozenset({"part", "index", "parts"})
"""Names that every part has by itself."""
_READ_ONLY = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})
"""Variables that bash sets and lets nobody change, with no more than a word on standard error."""


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise ValueError(f"{text!r} is not a name: letters, digits and _ only, no digit first")
    return text


def _value_name(text: str) -> str:
    if _name(text) in SETTABLE_BY_SEPTUM:
        raise ValueError(f"{text!r} is set by septum itself; choose another name")
    return text


def _slug(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise ValueError(f"{text!r} must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit")
    return text


def _relative_path(text: str) -> str:
    if not {"", ".", ".."}.isdisjoint(_line(text).split("/")):
        raise ValueError(
            f"{text!r} must be a relative path of a file inside the working folder, without '.', '..' and '//'"
        )
    return text


def _text(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


def _line(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ValueError("must be one line")
    return _text(text)


def _variable_name(text: str) -> str:
    if _name(text) in _READ_ONLY or text.startswith("PART_"):
        raise ValueError(f"{text!r} is set by the shell or by septum itself; choose another name")
    return text


def _target(text: str) -> str:
    # Here, not above: it takes words of this module.
    from septum.upload.target import parse

    parse(text)
    return text


ValueName = Annotated[str, AfterValidator(_value_name)]
VariableName = Annotated[str, AfterValidator(_variable_name)]
Text = Annotated[str, AfterValidator(_text)]
RelativePath = Annotated[str, AfterValidator(_relative_path)]
OneLine = Annotated[str, AfterValidator(_line)]


class Sequence(Model):
    """Whole numbers from `first` to `last`, both included."""

    first: int = Field(description="The first number.")
    last: int = Field(description="The last number, included.")
    step: int = Field(1, ge=1, description="The distance of two numbers.")

    @model_validator(mode="after")
    def _ordered(self) -> Sequence:
        if self.last < self.first:
            raise ValueError(f"'last' ({self.last}) is below 'first' ({self.first})")
        return self


class FileParts(Model):
    """Files, a fixed number of them in each part. The part's value `files` holds them."""

    glob: Text | None = Field(
        None, min_length=1, description="A pattern such as `data/*.root` or `data/**/*.root`, sorted by name."
    )
    listed: Text | None = Field(
        None,
        alias="list",
        min_length=1,
        description="A text file with one path or URL a line; blank lines and lines beginning with # do not count.",
    )
    per_part: int = Field(1, ge=1, description="Files in each part; the last part may hold fewer.")

    @model_validator(mode="after")
    def _one_source(self) -> FileParts:
        if (self.glob is None) == (self.listed is None):
            raise ValueError("needs exactly one of 'glob' and 'list'")
        return self


class EntryParts(Model):
    """Ranges of entries (events). The part's values are `first`, `last` (included) and `count`, and `file` if given."""

    file: Text | None = Field(None, min_length=1, description="The ROOT file whose entries are divided.")
    tree: Text | None = Field(None, min_length=1, description="Its tree or ntuple; needed to count the entries.")
    total: int | None = Field(
        None, ge=1, description="The number of entries, if septum shall not read it from the file."
    )
    per_part: int | None = Field(None, ge=1, description="Entries in each part; the last part may hold fewer.")
    parts: int | None = Field(None, ge=1, description="Or: the number of parts, as equal as possible.")

    @model_validator(mode="after")
    def _complete(self) -> EntryParts:
        if (self.per_part is None) == (self.parts is None):
            raise ValueError("needs exactly one of 'per-part' and 'parts'")
        if self.total is None and (self.file is None or self.tree is None):
            raise ValueError("needs 'total', or 'file' and 'tree' to count the entries in")
        return self


class PartBlock(Model):
    """Where parts come from: exactly one of the five ways, and constants in `set`."""

    explicit: list[dict[ValueName, Text]] | None = Field(
        None, alias="list", min_length=1, description="One mapping of values for each part."
    )
    product: dict[ValueName, list[Text] | Sequence] | None = Field(
        None, min_length=1, description="Every combination of the lists; the last name changes fastest."
    )
    files: FileParts | None = Field(None, description="Files, a fixed number of them in each part.")
    entries: EntryParts | None = Field(None, description="Ranges of entries of a file, or of events to generate.")
    table: Text | None = Field(
        None,
        min_length=1,
        description="A CSV file (TSV by its ending): the header names the values, each row is a part.",
    )
    constants: dict[ValueName, Text] = Field(
        default_factory=dict, alias="set", description="Values that all parts of this block share."
    )

    @model_validator(mode="after")
    def _one_way(self) -> PartBlock:
        ways = {
            "list": self.explicit,
            "product": self.product,
            "files": self.files,
            "entries": self.entries,
            "table": self.table,
        }
        given = [way for way, value in ways.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(ways)}; got {', '.join(given) or 'none'}")
        return self


class Output(Model):
    """One file that every part writes."""

    path: RelativePath = Field(description="The path that the command writes, relative to its working folder.")
    objects: list[OneLine] = Field(
        default_factory=list, description="ROOT objects that must be in the file, such as `h_mass` or `cut/h_pt`."
    )

    @property
    def is_root(self) -> bool:
        """Whether the file is a ROOT file, by its ending."""
        return self.path.endswith(".root")


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
    missing_objects: Literal["refuse", "union"] = Field(
        "refuse", description="Objects that are in some parts only: refused, or the sum of the parts that have them."
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

    to: Annotated[OneLine, AfterValidator(_target)] = Field(
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


def _output(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


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
    name: Annotated[str, AfterValidator(_slug)] = Field(
        "analysis", description="A short name; it appears in the queue."
    )
    prepare: list[Text] = Field(
        default_factory=list,
        description="Shell lines that run once, before the plan is made, in the analysis image: compile, list files.",
    )
    shell: Literal["sh", "bash"] = Field("sh", description="The shell that runs `setup` and a command given as text.")
    setup: list[OneLine] = Field(
        default_factory=list,
        description="Shell lines that run in each part before the command, in its shell; if one fails, the part does.",
    )
    command: list[Text] | Text = Field(
        min_length=1,
        description=(
            "The command of one part. As a list of words, `{name}` stands for the part's value, taken literally. "
            'As text, it is a shell script (stops at the first error) that finds the values in "$PART_name".'
        ),
    )
    parts: Annotated[list[PartBlock], BeforeValidator(_blocks)] = Field(
        min_length=1, description="The parts, in order: one block, or a list of blocks whose parts follow each other."
    )
    inputs: list[Text] = Field(
        default_factory=list,
        description="Files and folders of the repository that every part needs, as patterns: `analyse.py`, `lib/**`.",
    )
    outputs: list[Annotated[Output, BeforeValidator(_output)]] = Field(
        min_length=1, description="The files that every part writes: a path, or a mapping with `path` and `objects`."
    )
    merge: dict[RelativePath, str] | None = Field(
        None,
        description=(
            "Results and the output that each is merged from: `dimuon.root: hists.root`. A placeholder groups: "
            "`{sample}.root: hists.root` gives one a sample. Left out: every ROOT output under its own name. Results "
            "have the ending of their output."
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
    def _names_fit(self) -> Analysis:
        paths = [output.path for output in self.outputs]
        doubled = {path for path in paths if paths.count(path) > 1}
        if doubled:
            raise ValueError(f"outputs: {', '.join(sorted(doubled))} is declared more than once")
        for result, output in (self.merge or {}).items():
            if output not in paths:
                raise ValueError(f"merge: {result} is to be merged from {output!r}, which is not among the outputs")
            if problem := _cannot_merge(result, output):
                raise ValueError(f"merge: {result}: {problem}")
        return self

    @property
    def results(self) -> dict[str, str]:
        """Result name (may hold placeholders) to the output it is merged from; the default filled in."""
        if self.merge is not None:
            return dict(self.merge)
        return {output.path: output.path for output in self.outputs if output.is_root}
