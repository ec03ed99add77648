"""Values as YAML that people can read: long lines stay whole, scripts are blocks. Pure."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from septum.preview.source import Reference


def plain(value: object) -> Any:
    """A value of plain types; numbers as text become numbers, where septum's own keys have them."""
    from ruamel.yaml.scalarstring import LiteralScalarString

    if isinstance(value, Reference):
        return plain(value.path)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        text = str(value)
        block = "\n" in text and not any(line.endswith((" ", "\t")) for line in text.split("\n"))
        return LiteralScalarString(text) if block and "\t" not in text and "\r" not in text else text
    return value


def dumped(value: Mapping[str, object]) -> str:
    """A mapping as YAML."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(plain(value), stream)
    return stream.getvalue()


def of_septum(keys: Mapping[str, object]) -> str:
    """The keys of a `septum.yaml`, where all scalars are texts: a number needs no quotes."""
    return dumped(_numbers(keys))


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str) and value.isascii() and value.isdecimal() and str(int(value)) == value:
        return int(value)
    return value
