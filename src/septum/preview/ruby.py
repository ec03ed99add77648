"""How Ruby writes, cuts and replaces, as far as GitLab's interpolation shows it. Pure.

Behaviour: Ruby 3.2 and 3.3 (`String#gsub`, `#inspect`, `#split`, `#strip`, `Float#to_s`, `Shellwords`).
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from septum.errors import InterpolationError, LimitError
from septum.preview.source import Reference

SPACE = "\0\t\n\v\f\r "
"""What `strip` takes off."""

_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\f": "\\f",
    "\v": "\\v",
    "\b": "\\b",
    "\a": "\\a",
    "\x1b": "\\e",
    "\x7f": "\\x7F",
}
_SIMPLE_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*[?!=]?")
_BACKSLASH = re.compile(r"\\(?:k<(?P<group>[^>]*)>|(?P<unclosed>k<)|(?P<letter>.))", re.DOTALL)
# Shellwords leaves these and newlines alone; a newline is put between quotes.
_UNSAFE = re.compile(r"[^A-Za-z0-9_\-.,:+/@\n]")
# From here on, a character takes more than four digits.
_ASTRAL = 0x10000
# From 10**16 on and below 0.0001 Ruby writes an exponent.
_FIXED_DIGITS, _FIXED_ZEROS = 16, -4


class TextKeys(dict[str, object]):
    """A mapping whose keys Ruby has as text, not as symbols: it is written `{"key"=>1}` instead of `{:key=>1}`."""


class JsonKeys(TextKeys):
    """A mapping that was read from JSON: text as keys, so that `$[[ inputs.list[0].key ]]` does not find them."""


def to_s(value: object) -> str:
    """The text that a value becomes inside of a longer text.

    Args:
        value: Anything that YAML can say.

    Raises:
        LimitError: The value is a number of more digits than Python writes.
    """
    if isinstance(value, str):
        return value
    return "" if value is None else inspect(value)


def inspect(value: object) -> str:
    """How Ruby shows a value inside of a list or a mapping.

    Args:
        value: Anything that YAML can say.

    Raises:
        LimitError: The value is a number of more digits than Python writes.
    """
    if value is None or isinstance(value, bool):
        return "nil" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(inspect(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(_pair(value, key) for key in value)}}}"
    raise InterpolationError(f"a value of the type {type(value).__name__} cannot be written as text")


def _number(value: float) -> str:
    if isinstance(value, float):
        return _float(value)
    try:
        return str(value)
    except ValueError:
        raise LimitError("a number has too many digits to be written out") from None


def _pair(mapping: dict[str, object], key: str) -> str:
    if isinstance(mapping, TextKeys):
        name = _quoted(key)
    else:
        name = ":" + (key if _SIMPLE_SYMBOL.fullmatch(key) else _quoted(key))
    return f"{name}=>{inspect(mapping[key])}"


def _quoted(text: str) -> str:
    shown = []
    for position, character in enumerate(text):
        if character in _ESCAPES:
            shown.append(_ESCAPES[character])
        elif character == "#" and text[position + 1 : position + 2] in ("{", "$", "@"):
            shown.append("\\#")
        elif character.isprintable():
            shown.append(character)
        else:
            point = ord(character)
            shown.append(f"\\u{point:04X}" if point < _ASTRAL else f"\\u{{{point:X}}}")
    return f'"{"".join(shown)}"'


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    minus, text = "-" * sign, "".join(str(digit) for digit in digits)
    if value == 0:
        return f"{'-' if math.copysign(1, value) < 0 else ''}0.0"
    point = len(text) + int(exponent)
    if 0 < point <= _FIXED_DIGITS:
        text = text.ljust(point, "0")
        return f"{minus}{text[:point]}.{text[point:] or '0'}"
    if _FIXED_ZEROS < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    return f"{minus}{text[0]}.{text[1:] or '0'}e{point - 1:+03d}"


def gsub(text: str, block: str, value: str) -> str:
    r"""Replace a block as `text.gsub(block, value)` does: a backslash in the value begins a sequence of its own.

    `\\` becomes one backslash, `\0` and `\&` the block itself, `\1` to `\9` nothing, and ``\` `` and `\'` what stands
    before and after the block. All other backslashes stay.

    Args:
        text: The text around.
        block: What is replaced wherever it stands.
        value: What is put in.

    Raises:
        InterpolationError: The value holds `\k<name>`, for which Ruby looks in vain.
    """
    if "\\" not in value:
        return text.replace(block, value)
    parts: list[str] = []
    position = 0
    while (found := text.find(block, position)) >= 0:
        before, after = text[:found], text[found + len(block) :]
        parts += [text[position:found], _sequences(value, block, before, after)]
        position = found + len(block)
    return "".join([*parts, text[position:]])


def _sequences(value: str, block: str, before: str, after: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        if match["group"] is not None or match["unclosed"] is not None:
            raise InterpolationError(
                f"the value has `{match[0]}` in it, which Ruby takes for the name of a group and does not find"
            )
        letter = match["letter"]
        if letter.isascii() and letter.isdigit() and letter != "0":
            return ""
        return {"0": block, "&": block, "`": before, "'": after, "\\": "\\"}.get(letter, match[0])

    return _BACKSLASH.sub(replaced, value)


def strip(text: str) -> str:
    """Take off what Ruby calls space at both ends."""
    return text.strip(SPACE)


def split(text: str, separator: str) -> list[str]:
    """Cut as `text.split(separator)` does: empty parts at the end are dropped, one space means any run of space.

    Args:
        text: The text.
        separator: What stands between the parts; not empty.
    """
    if separator == " ":
        return re.findall(r"[^\t\n\v\f\r ]+", text)
    parts = text.split(separator) if text else []
    while parts and not parts[-1]:
        parts.pop()
    return parts


def shellescape(text: str) -> str:
    """Escape for a POSIX shell with backslashes, as `Shellwords.shellescape` does."""
    if not text:
        return "''"
    return _UNSAFE.sub(r"\\\g<0>", text).replace("\n", "'\n'")


def plain(value: object) -> object:
    """A copy of a value that shares nothing with it and forgets which kind of keys Ruby has.

    Args:
        value: Anything that YAML can say.
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return Reference(path=plain(value.path)) if isinstance(value, Reference) else value
