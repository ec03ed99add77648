"""The forms of the texts in a cluster profile: one line, a name, a URL, a ClassAd expression. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

if TYPE_CHECKING:
    from collections.abc import Callable

_STRING = r'"(?:[^"\\]|\\.)*"'
_LITERAL = re.compile(rf"{_STRING}|[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|true|false|undefined", re.IGNORECASE)
_RESERVED = {"timerremove", "leavejobinqueue", "requirements", "cmd", "arguments", "args", "environment", "env", "iwd"}


def one_line(text: str) -> str:
    """Refuse more than one line."""
    # All texts of a profile can end in a submit description or in HTCondor's configuration, where a new line is a
    # new command.
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    return text


def form(pattern: str, example: str) -> Callable[[str], str]:
    """A check whether a text, if there is one, has a form; `example` says to people which."""

    def check(text: str) -> str:
        if text and not re.fullmatch(pattern, text):
            raise ValueError(f"expected {example}, got {text!r}")
        return text

    return check


def _no_dollar(text: str) -> str:
    if "$" in text:
        raise ValueError("must not hold '$', which HTCondor's submit language would expand")
    return text


def classad_expression(text: str) -> str:
    """Refuse what could end the parentheses that septum puts around it."""
    bare = re.sub(_STRING, "", _no_dollar(text))
    depth = 0
    for character in bare:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
    if depth or '"' in bare or "//" in bare or "/*" in bare:
        raise ValueError("must be one complete ClassAd expression: closed quotes and parentheses, no comment")
    return text


def job_attributes(values: dict[str, str]) -> dict[str, str]:
    """Refuse what is no job attribute, or none of the user's."""
    for name, literal in values.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{name!r} is not the name of an attribute; write it without '+' or 'MY.'")
        if name.lower() in _RESERVED or name.lower().startswith("septum"):
            raise ValueError(f"the attribute {name!r} is set by septum itself")
        if not _LITERAL.fullmatch(_no_dollar(literal)):
            raise ValueError(f'{name}: expected a number, true, false or a text in "…", got {literal!r}')
    return values


Line = Annotated[str, AfterValidator(one_line)]
Variable = Annotated[Line, AfterValidator(form(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a variable"))]
Url = Annotated[
    Line, AfterValidator(form(r"https://[A-Za-z0-9.-]+(?::\d+)?(?:/[^\s?#]*)?", "a URL that begins with https://"))
]
