"""The functions of a block: `expand_vars`, `truncate`, `posix_escape` and `split`. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/config/interpolation/functions_stack.rb`, `functions/*.rb`, `lib/expand_variables.rb`
and their specs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from septum.errors import InterpolationError
from septum.preview import ruby
from septum.preview.features import POSIX_ESCAPE, SPLIT, Feature, Version
from septum.preview.source import Variable

Variables = Mapping[str, Variable]

_NAME = "[a-zA-Z_][a-zA-Z0-9_]*"
_DIGITS = 12
_VARIABLE = re.compile(rf"\$(?P<bare>{_NAME})|\$\{{(?P<braces>{_NAME})\}}|%(?P<percent>{_NAME})%")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    """A function: how a call is written, and what it does with text."""

    name: str
    form: re.Pattern[str]
    apply: Callable[[str, re.Match[str], Variables], object]
    feature: Feature | None = None


def _truncate(text: str, call: re.Match[str], _variables: Variables) -> str:
    offset = _count(call["offset"])
    return text[offset : offset + _count(call["length"])]


def _count(digits: str) -> int:
    """A number of characters; no text is longer than numbers with more digits than these."""
    significant = digits.lstrip("0") or "0"
    return int(significant[:_DIGITS])


def _expand_vars(text: str, _call: re.Match[str], variables: Variables) -> str:
    def value_of(match: re.Match[str]) -> str:
        variable = variables.get(match["bare"] or match["braces"] or match["percent"])
        if variable is None:
            return match[0]
        if variable.masked:
            raise InterpolationError(
                "error in `expand_vars` function: variable expansion error: masked variables cannot be expanded"
            )
        return variable.value

    return _VARIABLE.sub(value_of, text)


def _posix_escape(text: str, _call: re.Match[str], _variables: Variables) -> str:
    return ruby.shellescape(text)


def _split(text: str, call: re.Match[str], _variables: Variables) -> list[str]:
    if not call["separator"]:
        raise InterpolationError("error in `split` function: invalid argument: separator cannot be empty")
    return [part for part in map(ruby.strip, ruby.split(text, call["separator"])) if part]


# The closing parenthesis of `truncate` may be missing.
_FUNCTIONS = (
    _Function(
        name="truncate",
        form=re.compile(r"truncate\(\s*(?P<offset>\d+)\s*,\s*(?P<length>\d+)\s*\)?", re.ASCII),
        apply=_truncate,
    ),
    _Function(name="expand_vars", form=re.compile("expand_vars"), apply=_expand_vars),
    _Function(name="posix_escape", form=re.compile("posix_escape"), apply=_posix_escape, feature=POSIX_ESCAPE),
    _Function(name="split", form=re.compile(r"split\('(?P<separator>[^']*)'\)"), apply=_split, feature=SPLIT),
)


def call_all(calls: Sequence[str], value: object, variables: Variables, gitlab: Version) -> object:
    """Apply the functions of a block from left to right.

    Args:
        calls: What stands between the bars, without space around.
        value: The value before the first bar.
        variables: What `expand_vars` may expand.
        gitlab: The version of the server.

    Raises:
        InterpolationError: A function is unknown, misspelt, or does not take this value.
    """
    found = [_function(call, gitlab) for call in calls]
    errors = [
        _wrong(call, function, last=place == len(calls) - 1)
        for place, (call, function) in enumerate(zip(calls, found, strict=True))
    ]
    if any(errors):
        raise InterpolationError(", ".join([error for error in errors if error][:3]))
    for call, function in zip(calls, found, strict=True):
        match = function.form.fullmatch(call) if function else None
        if function is None or match is None:
            continue
        if not isinstance(value, str):
            raise InterpolationError(
                f"error in `{function.name}` function: invalid input type: "
                f"{function.name} can only be used with string inputs"
            )
        value = function.apply(value, match, variables)
    return value


def _function(call: str, gitlab: Version) -> _Function | None:
    for function in _FUNCTIONS:
        if function.form.fullmatch(call) and (function.feature is None or function.feature.known(gitlab)):
            return function
    return None


def _wrong(call: str, function: _Function | None, *, last: bool) -> str:
    if function is None:
        return f"no function matching `{call}`: check that the function name, arguments, and types are correct"
    if function.name == "split" and not last:
        return "split() must be the last function in a chain (it returns an array, not a string)"
    return ""
