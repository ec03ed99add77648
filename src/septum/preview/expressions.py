"""The language of `rules:if`: tokens, precedence and values as GitLab has them, its surprises included.

Behaviour: gitlabhq `lib/gitlab/ci/pipeline/expression/**` and its specs, and doc/ci/jobs/job_rules.md. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from septum.errors import PipelineError
from septum.preview.features import NEWEST, Feature, Version
from septum.preview.re2 import Re2, compile_re2

Value = str | bool | None | Re2
"""What a part of an expression is worth; a pattern only until it is matched."""

_MAX_TOKENS = 100
BOOLEANS = Feature(
    name="`true`, `false` and inputs in conditions", since=Version(18, 7), source="lib/…/expression/lexeme/boolean.rb"
)
NEGATION = Feature(
    name="`!` in conditions", since=Version(18, 10), source="gitlab-org/gitlab merge request 219430, of March 2026"
)
_NOTHING: Mapping[str, object] = MappingProxyType({})
_OPEN, _CLOSE = "(", ")"
# In the order in which GitLab tries them. `!` stands after the operators that begin with it.
_LEXEMES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (_OPEN, re.compile(r"\(")),
    (_CLOSE, re.compile(r"\)")),
    ("input", re.compile(r"\$\[\[\s*inputs\.(?P<value>\w+)\s*\]\]", re.ASCII)),
    ("variable", re.compile(r"\$(?P<value>\w+)", re.ASCII)),
    ("string", re.compile(r"\"(?P<value>.*?)\"|'(?P<single>.*?)'")),
    # At least two characters; a slash inside is written \/.
    ("pattern", re.compile(r"(?P<value>/(?:[^/]|\\/)+[^\\]/[ismU]*)")),
    ("null", re.compile(r"null")),
    ("boolean", re.compile(r"\b(?P<value>true|false)\b")),
    ("==", re.compile(r"==")),
    ("=~", re.compile(r"=~")),
    ("!=", re.compile(r"!=")),
    ("!~", re.compile(r"!~")),
    ("&&", re.compile(r"&&")),
    ("||", re.compile(r"\|\|")),
    ("!", re.compile(r"!")),
)
_PRECEDENCE = {"!": 1, "==": 10, "=~": 10, "!=": 10, "!~": 10, "&&": 11, "||": 12}
_WRITTEN_PATTERN = re.compile(r"^/(?P<regexp>.*)/(?P<flags>[ismU]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: str = ""


def holds(
    text: str,
    variables: Mapping[str, str],
    *,
    inputs: Mapping[str, object] = _NOTHING,
    gitlab: Version = NEWEST,
) -> bool:
    """Whether the condition of a rule is met.

    Args:
        text: The expression.
        variables: The values of all variables that exist; nothing in them is expanded.
        inputs: The inputs that `$[[ inputs.… ]]` may name; only in rules of inputs.
        gitlab: The version of the server.

    Returns:
        Whether the value is anything but null, false and blank text.

    Raises:
        PipelineError: The expression cannot be read.
    """
    value = evaluate(text, variables, inputs=inputs, gitlab=gitlab)
    return bool(value.strip()) if isinstance(value, str) else bool(value)


def evaluate(
    text: str,
    variables: Mapping[str, str],
    *,
    inputs: Mapping[str, object] = _NOTHING,
    gitlab: Version = NEWEST,
) -> Value:
    """The value of an expression.

    Args:
        text: The expression.
        variables: The values of all variables that exist.
        inputs: The inputs that `$[[ inputs.… ]]` may name.
        gitlab: The version of the server.

    Raises:
        PipelineError: The expression cannot be read.
    """
    stack: list[Callable[[], Value]] = []
    for token in _postfix(text, gitlab):
        if token.kind in _PRECEDENCE:
            stack.append(_operation(token.kind, stack, text))
        else:
            stack.append(_leaf(token, variables, inputs, text))
    if len(stack) != 1:
        raise _invalid(text, "two values stand without an operator between them" if stack else "it is empty")
    return stack[0]()


@lru_cache(maxsize=4096)
def _postfix(text: str, gitlab: Version) -> tuple[_Token, ...]:
    """The tokens in the order in which they are worked off; parentheses are gone."""
    output: list[_Token] = []
    waiting: list[_Token] = []
    for token in _tokens(text, gitlab):
        if token.kind == _OPEN:
            waiting.append(token)
        elif token.kind == _CLOSE:
            while waiting and waiting[-1].kind != _OPEN:
                output.append(waiting.pop())
            if not waiting:
                raise _invalid(text, "a parenthesis is closed that was not opened")
            waiting.pop()
        elif token.kind in _PRECEDENCE:
            # A negation has nothing on its left that could be worked off first.
            while token.kind != "!" and waiting and _binds_first(waiting[-1].kind, token.kind):
                output.append(waiting.pop())
            waiting.append(token)
        else:
            output.append(token)
    if any(token.kind == _OPEN for token in waiting):
        raise _invalid(text, "a parenthesis is not closed")
    return (*output, *reversed(waiting))


def _binds_first(earlier: str, later: str) -> bool:
    return earlier != _OPEN and _PRECEDENCE[earlier] <= _PRECEDENCE[later]


def _tokens(text: str, gitlab: Version) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            return found
        for kind, form in _LEXEMES:
            match = form.match(text, position)
            if match and _known(kind, gitlab):
                groups = match.groupdict()
                found.append(_Token(kind, groups.get("value") or groups.get("single") or ""))
                position = match.end()
                break
        else:
            raise _invalid(text, f"nothing that begins with {text[position : position + 20]!r} is known")
        if len(found) == _MAX_TOKENS:
            raise _invalid(text, f"it has {_MAX_TOKENS} words or more")


def _known(kind: str, gitlab: Version) -> bool:
    if kind in {"input", "boolean"}:
        return BOOLEANS.known(gitlab)
    return kind != "!" or NEGATION.known(gitlab)


def _leaf(token: _Token, variables: Mapping[str, str], inputs: Mapping[str, object], text: str) -> Callable[[], Value]:
    value: Value
    if token.kind == "variable":
        value = variables.get(token.value)
    elif token.kind == "input":
        given = inputs.get(token.value)
        value = given if given is None or isinstance(given, bool) else str(given)
    elif token.kind == "string":
        value = token.value
    elif token.kind == "boolean":
        value = token.value == "true"
    elif token.kind == "pattern":
        compiled = _pattern(token.value)
        if compiled is None:
            raise _invalid(text, f"{token.value} is no regular expression of RE2")
        value = compiled
    else:
        value = None
    return lambda: value


def _operation(kind: str, stack: list[Callable[[], Value]], text: str) -> Callable[[], Value]:
    """Take the operands from the stack; the right one is only evaluated if the left does not decide."""
    if len(stack) < (1 if kind == "!" else 2):
        raise _invalid(text, f"{kind} lacks a value beside it")
    right = stack.pop()
    if kind == "!":
        return lambda: not _present(right())
    left = stack.pop()
    if kind == "&&":
        return lambda: right() if _true(first := left()) else first
    if kind == "||":
        return lambda: first if _true(first := left()) else right()
    if kind in {"==", "!="}:
        return lambda: _equal(left(), right()) == (kind == "==")
    return lambda: _matches(left(), right(), text) == (kind == "=~")


def _true(value: Value) -> bool:
    """Ruby's truth: an empty text is true, so `$EMPTY || $OTHER` never looks at the other."""
    return value is not None and value is not False


def _present(value: Value) -> bool:
    return bool(value.strip()) if isinstance(value, str) else _true(value)


def _equal(left: Value, right: Value) -> bool:
    if isinstance(left, bool) and isinstance(right, str):
        left = str(left).lower()
    if isinstance(right, bool) and isinstance(left, str):
        right = str(right).lower()
    return type(left) is type(right) and left == right


def _matches(left: Value, right: Value, text: str) -> bool:
    """`=~`: a text on the right that is written like a pattern is one; any other text is searched for in itself."""
    if not _true(right):
        return False
    if isinstance(right, bool):
        raise _invalid(text, "a truth value stands where a pattern should")
    if isinstance(left, Re2):
        left = left.pattern
    subject = str(left).lower() if isinstance(left, bool) else left or ""
    if isinstance(right, str):
        pattern = _pattern(right)
        if pattern is None:
            return subject in right
        right = pattern
    return right is not None and right.search(subject)


@lru_cache(maxsize=1024)
def _pattern(written: str) -> Re2 | None:
    """A pattern as it is written, with slashes and flags; None if it is none."""
    match = _WRITTEN_PATTERN.search(written.replace("\\/", "/"))
    if match is None:
        return None
    flags = f"(?{match['flags']})" if match["flags"] else ""
    try:
        return compile_re2(flags + match["regexp"])
    except ValueError:
        return None


def _invalid(text: str, why: str) -> PipelineError:
    return PipelineError(
        f"invalid expression syntax: {text}",
        evidence=why,
        fix="compare with the operators that GitLab knows: ==, !=, =~, !~, &&, || and parentheses; quote every text",
    )
