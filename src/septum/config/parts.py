"""Where the parts come from, as `septum.yaml` has it."""

from __future__ import annotations

from pydantic import Field, model_validator

from septum.config.texts import Text, ValueName
from septum.validation import Model


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
