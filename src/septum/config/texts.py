"""The kinds of text in `septum.yaml`, each with what it may hold."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

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
Slug = Annotated[str, AfterValidator(_slug)]
OneLine = Annotated[str, AfterValidator(_line)]
Target = Annotated[OneLine, AfterValidator(_target)]
