"""Tables of a component's inputs and CI jobs, and what stands in their cells, in Markdown. Pure."""

from __future__ import annotations

import re

from septum.components.model import CIJob, Component


def inputs_table(item: Component) -> str:
    """The table of a component's inputs, in Markdown."""
    lines = ["| Input | Default | Meaning |", "| --- | --- | --- |"]
    for entry in item.inputs:
        default = "required" if entry.default is None else shown(entry.default)
        meaning = cell(entry.told)
        if entry.options:
            meaning += " One of " + ", ".join(code(str(option)) for option in entry.options) + "."
        if entry.type != "string":
            meaning += f" ({entry.type})"
        lines.append(f"| `{entry.name}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def jobs_table(item: Component) -> str:
    """The table of a component's CI jobs, in Markdown."""
    lines = ["| CI job | What it does | Container | Artifacts |", "| --- | --- | --- | --- |"]
    lines += [f"| {_named(job)} | {job.description} | {job.image} | {job.artifacts} |" for job in item.jobs]
    return "\n".join(lines) + "\n"


def shown(value: object) -> str:
    """A value of an input, as code."""
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, tuple):
        return code("[" + ", ".join(map(str, value)) + "]")
    return code(str(value)) if value != "" else "`''`"


def code(text: str) -> str:
    """Text as code, also in a cell of a table."""
    return "`" + text.replace("|", r"\|") + "`"


def cell(text: str) -> str:
    """Plain text in a cell of a table: nothing in it is markup."""
    return re.sub(r"([|*<\\])", r"\\\1", text).replace("\n", " ")


def _named(job: CIJob) -> str:
    return code(job.name) if job.count == 1 else f"{code(job.names[0])} to {code(job.names[-1])}"
