"""Regular expressions of RE2, which GitLab uses, on Python's engine: what RE2 does not know is refused.

Syntax: https://github.com/google/re2/wiki/Syntax. RE2 needs time in proportion to the text, Python's engine may need
ages: where it might, it searches in a process of its own, which has a deadline.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache

from septum.errors import LimitError

_TIMEOUT_S = 10
_SEARCH = """
import json, re, sys
pattern, text = json.load(sys.stdin)
sys.exit(10 if re.compile(pattern, re.ASCII).search(text) else 11)
"""
_FOUND, _NOT_FOUND = 10, 11
_MAX_OPTIONAL = 4
_MAX_REPEAT = 1000
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_TOKEN = re.compile(
    r"\\Q(?P<literal>.*?)(?:\\E|\Z)"
    r"|\\x\{(?P<hex>[0-9A-Fa-f]{1,6})\}"
    r"|\\(?P<escape>.)"
    r"|\[:(?P<negated>\^?)(?P<named>[a-z]+):\]"
    r"|\(\?(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)])"
    r"|\(\?P?<(?P<name>[A-Za-z_]\w*)>"
    r"|(?P<group>\(\?)"
    r"|\{(?P<least>\d+)(?:,(?P<most>\d*))?\}"
    r"|(?P<possessive>[*+?}]\+)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_ESCAPES = frozenset("abfnrtvxdDsSwWAzBpPQE01234567")


@dataclass(frozen=True, slots=True, kw_only=True)
class Re2:
    """A pattern that RE2 would take.

    Attributes:
        pattern: As it was written.
        compiled: For Python's engine.
        quick: Whether that cannot take long.
    """

    pattern: str
    compiled: re.Pattern[str]
    quick: bool

    def search(self, text: str) -> bool:
        """Whether it is found in a text.

        Raises:
            LimitError: Python's engine has not come to an end in time.
        """
        if self.quick:
            return self.compiled.search(text) is not None
        command = [sys.executable, "-I", "-S", "-c", _SEARCH]
        given = json.dumps([self.compiled.pattern, text])
        try:
            done = subprocess.run(
                command, input=given, text=True, capture_output=True, timeout=_TIMEOUT_S, check=False, encoding="ascii"
            )
        except subprocess.TimeoutExpired:
            done = None
        if done is None or done.returncode not in {_FOUND, _NOT_FOUND}:
            raise LimitError(
                f"the regular expression {self.pattern[:200]} takes too long on this machine",
                evidence=done.stderr[-200:] if done else f"no answer within {_TIMEOUT_S} s",
                fix="write it with fewer repetitions inside of each other; GitLab's engine does not mind",
            )
        return done.returncode == _FOUND


@lru_cache(maxsize=1024)
def compile_re2(pattern: str) -> Re2:
    r"""Compile a pattern of RE2.

    Args:
        pattern: The pattern without delimiters; flags only as `(?i)` inside.

    Returns:
        A pattern that finds what RE2 finds. `$` is the end of the text, `\d`, `\w` and `\s` are ASCII.

    Raises:
        ValueError: RE2 would refuse it, such as look-around and references back, or this translation does not know it
            (Unicode classes).
    """
    parts: list[str] = []
    closers = ""
    in_class = False
    multiline = False
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if token["flags"] is not None and not in_class:
            multiline = multiline or "m" in token["flags"].partition("-")[0]
            if token["end"] == ")" and any(part.startswith("(") for part in parts):
                raise ValueError(f"flags after the beginning: {text}")
            parts.append(_flags(token["flags"]))
            closers += ")" if token["end"] == ")" else ""
        elif text in {"[", "]"} and (text == "[") != in_class:
            in_class = text == "[" or _opens_class(parts)
            parts.append(text if in_class == (text == "[") else "\\]")
        else:
            parts.append(_translated(token, in_class=in_class, multiline=multiline))
    translated = "".join(parts) + closers
    try:
        return Re2(pattern=pattern, compiled=re.compile(translated, re.ASCII), quick=_is_quick(translated))
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from error


def _is_quick(pattern: str) -> bool:
    """Whether Python's engine surely needs no more than a few passes over the text.

    That is so with one repetition without bound, few optional parts, and no group that is repeated.
    """
    bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "x", pattern, flags=re.DOTALL)
    unbounded = len(re.findall(r"[*+]|\{\d*,\}", bare))
    optional = len(re.findall(r"(?<!\()\?|\{\d+,?\d*\}", bare))
    return unbounded <= 1 and optional <= _MAX_OPTIONAL and not re.search(r"\)(?:[*+]|\{)", bare)


def _flags(flags: str) -> str:
    """What begins the group in which flags hold."""
    # U only changes which of several matches is taken.
    on, _, off = flags.replace("U", "").partition("-")
    return f"(?{on}{'-' + off if off else ''}:"


def _opens_class(parts: list[str]) -> bool:
    """Whether a `]` at this place is the first of a class, so that it stands for itself."""
    return parts[-1:] == ["["] or parts[-2:] == ["[", "^"]


def _translated(token: re.Match[str], *, in_class: bool, multiline: bool) -> str:
    text = token[0]
    if token["literal"] is not None:
        text = re.escape(token["literal"])
    elif token["hex"] is not None:
        text = _character(token["hex"])
    elif token["escape"] is not None:
        text = _escape(token["escape"], in_class=in_class)
    elif token["named"] is not None:
        text = _named(token, in_class=in_class)
    elif in_class:
        text = "\\" + text if text == "[" else text
    elif token["name"] is not None:
        text = f"(?P<{token['name']}>"
    elif token["group"] or token["possessive"]:
        raise ValueError(f"invalid: {text}")
    elif token["least"] is not None and max(int(token["least"]), int(token["most"] or 0)) > _MAX_REPEAT:
        raise ValueError(f"invalid repetition size: {text}")
    elif text == "$" and not multiline:
        text = r"\Z"
    return text


def _character(digits: str) -> str:
    try:
        return re.escape(chr(int(digits, 16)))
    except ValueError as error:
        raise ValueError(f"invalid: \\x{{{digits}}}") from error


def _named(token: re.Match[str], *, in_class: bool) -> str:
    if not in_class:
        return token[0]
    if token["named"] not in _CLASSES or token["negated"]:
        raise ValueError(f"invalid character class: {token[0]}")
    return _CLASSES[token["named"]]


def _escape(letter: str, *, in_class: bool) -> str:
    if letter == "z" and not in_class:
        return r"\Z"
    if letter == "b":
        return r"\b"
    if letter in "123456789CpP" or (letter.isalnum() and letter not in _ESCAPES):
        raise ValueError(f"invalid escape sequence: \\{letter}")
    return "\\" + letter if letter.isascii() else letter
