"""A workflow of REANA as the source of the plan, as `septum.yaml` has it."""

from __future__ import annotations

from pydantic import Field, field_validator

from septum.config.texts import OneLine, RelativePath, Text
from septum.validation import Model


class Reana(Model):
    """A `reana.yaml`, whose serial or snakemake workflow runs as parts."""

    file: RelativePath = Field("reana.yaml", description="The file, beside `septum.yaml`.")
    parameters: dict[OneLine, Text] = Field(
        default_factory=dict,
        description="Other values for some of its `inputs: parameters`, such as `events: 1000`.",
    )

    @field_validator("file")
    @classmethod
    def _beside(cls, path: str) -> str:
        if "/" in path:
            raise ValueError(f"{path!r} must stand beside septum.yaml: its own paths are relative to its folder")
        return path
