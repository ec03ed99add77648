"""Frozen values as JSON text, piece by piece: no copy of them is made first, however many parts they list. Pure."""

from __future__ import annotations

import io
import json
from dataclasses import fields, is_dataclass
from typing import Any


def as_data(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as they are: what is inside of them is not copied.

    Raises:
        TypeError: It is no dataclass.
    """
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    return {field.name: getattr(value, field.name) for field in fields(value)}


def text_of(document: Any) -> str:
    """A document with dataclasses anywhere in it, a line for each value, with a line break at its end.

    Args:
        document: Values that JSON knows, and dataclasses. A tree: what contains itself would never end.

    Raises:
        TypeError: Something else is in it.
    """
    text = io.StringIO()
    # What `json.dumps` does with an indent, but it keeps all pieces in a list: ten times the memory of the text.
    encoder = json.JSONEncoder(indent=1, ensure_ascii=False, check_circular=False, default=as_data)
    for piece in encoder.iterencode(document):
        text.write(piece)
    text.write("\n")
    return text.getvalue()
