"""The JSON schema of the `inputs:` of each component, for editors and other checkers. Pure.

It accepts what GitLab accepts, with one exception: GitLab turns a list or a mapping into a text where a text is wanted,
which is never what somebody meant.
"""

from __future__ import annotations

from typing import Any

from septum.components.model import Component, Input

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FOLDER_URL = "https://gitlab.cern.ch/cms-analysis/general/septum/-/raw/main/docs/reference/components"
_NUMBER = r"^\s*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\s*$"
_LIST = r"^\s*\[.*\]\s*$"
_BLOCK = {
    "description": "Text with a block of GitLab's, which is judged when GitLab has put the value in.",
    "type": "string",
    "pattern": r"\$\[\[.+\]\]",
}


def inputs_schema(item: Component) -> dict[str, Any]:
    """The JSON schema of what may stand under `inputs:` where a component is included, draft 2020-12."""
    return {
        "$schema": DRAFT,
        "$id": f"{FOLDER_URL}/{item.name}.schema.json",
        "title": f"inputs of the component {item.name}",
        "description": item.summary,
        "type": "object",
        "properties": {entry.name: _input(entry) for entry in item.inputs},
        "required": [entry.name for entry in item.inputs if entry.default is None],
        "additionalProperties": False,
        "$defs": {"block": _BLOCK},
    }


def _input(entry: Input) -> dict[str, Any]:
    schema: dict[str, Any] = {"deprecated": True} if entry.deprecated else {}
    if entry.default is not None:
        schema["default"] = list(entry.default) if isinstance(entry.default, tuple) else entry.default
    # With nothing behind the colon, GitLab takes the default.
    nothing = [] if entry.default is None else [{"type": "null"}]
    return {"description": entry.told, **schema, "anyOf": [*_values(entry), *nothing, {"$ref": "#/$defs/block"}]}


def _values(entry: Input) -> list[dict[str, Any]]:
    """What GitLab takes for the type: in a text it looks for JSON, and any scalar is a text."""
    if entry.options:
        return [{"enum": [form for option in entry.options for form in _forms(option)]}]
    if entry.type == "number":
        return [{"type": "number"}, {"type": "string", "pattern": _NUMBER}]
    if entry.type == "boolean":
        return [{"enum": [*_forms("true"), *_forms("false")]}]
    if entry.type == "array":
        return [{"type": "array"}, {"type": "string", "pattern": _LIST}]
    form = {"pattern": entry.regex} if entry.regex else {}
    return [{"type": ["string", "number", "boolean"], **form}]


def _forms(option: str | int) -> list[str | int | bool]:
    """An option as text, and as what YAML makes of it without quotes."""
    text = str(option)
    if text in {"true", "false"}:
        return [text == "true", text]
    return [int(text), text] if text.isascii() and text.isdigit() and str(int(text)) == text else [text]
