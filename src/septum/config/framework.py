"""A framework that submits its jobs itself, as `septum.yaml` has it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from septum.config.texts import RelativePath, Text
from septum.validation import Model


class Framework(Model):
    """A framework that submits its jobs itself, by `condor_submit`: its call is recorded, and septum submits."""

    script: list[Text] = Field(
        default_factory=list,
        min_length=1,
        description="Shell lines that run once, in the analysis image and the root of the repository: compile, submit. "
        "The image needs neither Python nor HTCondor for septum.",
    )
    known: Literal["mkshapesrdf"] | None = Field(
        None, description="A framework whose script, outputs and merge septum knows: `mkshapesrdf`."
    )
    folder: RelativePath | Literal["."] = Field(
        ".", description="With `known`, the folder of its configuration, in the repository."
    )
    configs: RelativePath = Field(
        "configs", description="With `known`, the folder in that one which it compiles its configuration into."
    )
    submissions: int | None = Field(
        None, ge=1, description="How many calls of `condor_submit` there must be. Left out: one or more."
    )
    outputs_list: RelativePath | None = Field(
        None,
        description="A file that the script writes, with the output of each job, a path a line, in the order of the "
        "jobs. Left out: `outputs`, or what the submit description says (`transfer_output_files`).",
    )
    keep: list[RelativePath] = Field(
        default_factory=list,
        description="Files and folders that the script makes and that a merge `with` a command needs, as patterns: "
        "`configs`, `lists/*.txt`.",
    )
    strict: bool = Field(
        default=False,
        description="Refuse a submit description that septum would have to correct, instead of saying what it "
        "corrects.",
    )

    @model_validator(mode="after")
    def _script_known(self) -> Framework:
        if bool(self.script) == (self.known is not None):
            raise ValueError("needs 'script', or 'known' for a framework that septum knows, and not both")
        return self
