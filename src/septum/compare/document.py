"""A comparison as JSON, `compare.json` in the result folder, and back. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from septum.compare.verdicts import Comparison, Entry, Reference, Verdict
from septum.errors import StateError

FORMAT = 1
NAME = "compare.json"
_KEYS = {"detail": "note", "p_value": "p"}
"""What the document calls otherwise than the values do."""


def to_json(comparison: Comparison) -> str:
    """The comparison as text; what is empty is left out, since there may be 50,000 objects."""
    data = {
        "format": FORMAT,
        "headline": comparison.headline(),
        "compared": comparison.compared,
        "counts": {verdict.value: number for verdict, number in comparison.counts.items()},
        "reproducibility": comparison.reproducibility,
        "significance": comparison.significance,
        "nothing": comparison.nothing,
        "reference": None if comparison.reference is None else _described(comparison.reference),
        "notes": list(comparison.notes),
    }
    head = json.dumps(data, indent=1)
    # One line an object: 50,000 indented ones would be half a million lines.
    entries = ",\n".join("  " + json.dumps(_shortened(entry)) for entry in comparison.entries)
    return f'{head[:-2]},\n "objects": [\n{entries}\n ]\n}}\n' if entries else f'{head[:-2]},\n "objects": []\n}}\n'


def _described(reference: Reference) -> Mapping[str, Any]:
    return {"description": reference.describe(), **asdict(reference)}


def _reference(data: Mapping[str, Any]) -> Reference:
    return Reference(**{name: value for name, value in data.items() if name != "description"})


def _shortened(entry: Entry) -> Mapping[str, Any]:
    data = {_KEYS.get(item.name, item.name): getattr(entry, item.name) for item in fields(entry)}
    data["verdict"] = entry.verdict.value
    always = {"result", "path", "verdict"}
    return {
        name: value
        for name, value in data.items()
        if name in always or (value not in ("", None, ()) and _is_number(value))
    }


def _is_number(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)  # JSON knows no infinity


def from_json(text: str, *, name: str) -> Comparison:
    """Read a comparison back.

    Args:
        text: What `to_json` gave.
        name: Where it came from, for messages.

    Raises:
        StateError: Damaged, or of another format.
    """
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise StateError(
                f"compare: {name} was written by another version of septum",
                fix="compare again, with 'septum compare' of this version",
            )
        return Comparison(
            reference=_reference(data["reference"]) if data["reference"] else None,
            nothing=data["nothing"],
            reproducibility=data["reproducibility"],
            significance=data["significance"],
            entries=tuple(_entry(item) for item in data["objects"]),
            notes=tuple(data["notes"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(
            f"compare: {name} is damaged",
            evidence=f"{type(error).__name__}: {error}",
            fix="take it from the artifact again, or compare again with 'septum compare'",
        ) from error


def _entry(item: Mapping[str, Any]) -> Entry:
    names = {key: name for name, key in _KEYS.items()}
    data = {names.get(key, key): value for key, value in item.items()}
    return Entry(**{**data, "verdict": Verdict(item["verdict"]), "notes": tuple(item.get("notes", ()))})
