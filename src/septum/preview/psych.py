"""YAML as GitLab's Ruby reads it: version 1.1 with the habits of Psych, and nothing but plain values allowed.

Behaviour: ruby/psych `scalar_scanner.rb`, `visitors/to_ruby.rb`, `class_loader.rb` (5.0 to 5.2); gitlabhq
`lib/gitlab/config/loader/yaml.rb`, which permits symbols and `!reference`, aliases, and no dates. The events come from
ruamel.yaml instead of libyaml: it refuses a tab after a colon, and takes `[a:, b]` and a line separator in plain text,
all of which libyaml does the other way round.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from septum.errors import HeaderError, LimitError
from septum.preview import limits, ruby
from septum.preview.source import Reference

_YAML_TAG = "tag:yaml.org,2002:"
_LINES = re.MULTILINE
# The first characters say that this is text; what has up to five may still be a truth value or null.
_WORD = re.compile(r"^[^0-9.:\-]?(?:[^\W\d_]|[_ \t\r\n\f\v!@#$%^&*(){}<>|/\\~;=])", _LINES)
_SHORT = 5
_NULL = re.compile(r"^null$", _LINES | re.IGNORECASE)
_TRUE = re.compile(r"^(?:yes|true|on)$", _LINES | re.IGNORECASE)
_FALSE = re.compile(r"^(?:no|false|off)$", _LINES | re.IGNORECASE)
_TIME = re.compile(
    r"-?\d{4}-\d{1,2}-\d{1,2}(?:[Tt]|\s+)\d{1,2}:\d\d:\d\d(?:\.\d*)?(?:\s*(?:Z|[-+]\d{1,2}:?(?:\d\d)?))?", re.ASCII
)
_DATE = re.compile(r"\d{4}-(?:1[012]|0\d|\d)-(?:[12]\d|3[01]|0\d|\d)", re.ASCII)
_SYMBOL = re.compile(r":(?:([\"'])(?P<quoted>.*)\1|(?P<bare>.))")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9]){1,2}(?P<fraction>\.[0-9_]*)?")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_,]*)?\.[0-9]*(?:[eE][-+][0-9]+)?")
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0b(?P<two>[01_,]+)|0(?P<eight>[0-7_,]+)|(?P<ten>0|[1-9](?:[0-9]|,[0-9]|_[0-9])*)"
    r"|0x(?P<sixteen>[0-9a-fA-F_,]+))"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Python does not turn more than these into a number, for good reasons.
_MAX_DIGITS = 4300
_BASES = {"two": 2, "eight": 8, "ten": 10, "sixteen": 16}
_TEXT_TAG = re.compile(r"!(?:str|ruby/string)(?::(?P<name>.*))?")
_SYMBOL_TAG = re.compile(r"!ruby/sym(?:bol)?:?.*")
# Tags that ask for a class of Ruby; GitLab permits none.
_CLASS_TAG = re.compile(r"!(?:ruby/|seq:|map:|set$)(?P<name>.*)|tag:yaml\.org,2002:set")


class NotAValueError(ValueError):
    """Text that looks like a number and is none, so that Ruby stops."""


def read(text: str, *, first_line: int = 1) -> object:
    """The value of the first document of a text.

    Args:
        text: YAML.
        first_line: The line of the file at which the text begins, for messages.

    Returns:
        Mappings with text as keys, lists, text, numbers, booleans, None and `Reference`; a symbol is its text. A value
        may contain itself.

    Raises:
        HeaderError: The text is not YAML, or asks for a type that GitLab does not permit.
        LimitError: A number has too many digits.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    builder = _Builder()
    try:
        for event in yaml.parse(text):
            if builder.take(event):
                break
    except YAMLError as error:
        raise _unreadable(error, first_line) from None
    except (NotAValueError, RecursionError, ValueError, OverflowError) as error:
        raise HeaderError("Invalid YAML syntax", evidence=str(error)) from None
    return builder.root


def _unreadable(error: Exception, first_line: int) -> HeaderError:
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    mark = getattr(error, "problem_mark", None)
    where = "" if mark is None else f" at line {mark.line + first_line} column {mark.column + 1}"
    context = getattr(error, "context", None)
    return HeaderError(f"{problem}{f' {context}' if context else ''}{where}")


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read, or the list or mapping behind `!reference`."""

    value: list[object] | dict[str, object]
    reference: bool = False
    keyed: bool = False
    key: object = None
    key_tag: str | None = None


@dataclass(slots=True)
class _Builder:
    """Puts a document together, event by event, so that its depth does not matter."""

    root: object = None
    anchors: dict[str, object] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)

    def take(self, event: Any) -> bool:
        """Take one event.

        Returns:
            Whether the document is complete.
        """
        kind = type(event).__name__
        if kind in {"SequenceStartEvent", "MappingStartEvent"}:
            self._open(event, [] if kind.startswith("S") else {})
        elif kind in {"SequenceEndEvent", "MappingEndEvent"}:
            closed = self.stack.pop()
            self._add(Reference(path=closed.value) if closed.reference else closed.value, kind="collection")
        elif kind == "ScalarEvent":
            value = _scalar(event)
            if event.anchor and not isinstance(value, Reference):
                self.anchors[event.anchor] = value
            self._add(value, kind="scalar", tag=_tag_of(event))
        elif kind == "AliasEvent":
            if event.anchor not in self.anchors:
                raise HeaderError(f"Unknown alias: {event.anchor}")
            self._add(self.anchors[event.anchor], kind="alias")
        return kind == "DocumentEndEvent"

    def _open(self, event: Any, value: list[object] | dict[str, object]) -> None:
        tag = _tag_of(event)
        if tag and _CLASS_TAG.fullmatch(tag):
            raise _forbidden(tag)
        if len(self.stack) == limits.MAX_DEPTH:
            # GitLab reads on and refuses the document afterwards.
            raise LimitError(f"The parsed YAML is too big: more than {limits.MAX_DEPTH} levels")
        reference = tag == "!reference"
        if event.anchor and not reference:
            self.anchors[event.anchor] = value
        self.stack.append(_Open(value, reference))

    def _add(self, value: object, *, kind: str, tag: str | None = None) -> None:
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif not top.keyed:
            top.keyed, top.key, top.key_tag = True, value, tag
        else:
            top.keyed = False
            if top.key == "<<" and top.key_tag != f"{_YAML_TAG}str":
                _merge(top.value, value, kind)
            else:
                top.value[_key(top.key)] = value


def _key(key: object) -> str:
    """A key as text: `on:` is the key `true`."""
    if isinstance(key, Reference):
        raise HeaderError("a `!reference` cannot be a key")
    if isinstance(key, list | dict):
        raise HeaderError("a list or a mapping cannot be a key")
    return ruby.to_s(key)


def _merge(mapping: dict[str, object], value: object, kind: str) -> None:
    """`<<`: what is merged in replaces what stands above it, and is replaced by what stands below."""
    if isinstance(value, dict) and kind in {"alias", "collection"}:
        mapping.update(value)
    elif isinstance(value, list) and kind == "collection" and all(isinstance(item, dict) for item in value):
        mapping.update(_first_wins(value))
    else:
        mapping["<<"] = value


def _first_wins(parts: list[object]) -> dict[str, object]:
    """The mappings of a list as one: of two that have a key, the first has its way."""
    merged: dict[str, object] = {}
    for part in reversed(parts):
        if isinstance(part, dict):
            merged.update(part)
    return merged


def _tag_of(event: Any) -> str | None:
    return None if event.ctag is None else str(event.ctag)


def _forbidden(tag: str) -> HeaderError:
    name = tag.rpartition(":")[2] if ":" in tag else tag.rpartition("/")[2].lstrip("!")
    return HeaderError(f"Tried to load unspecified class: {name}")


def _scalar(event: Any) -> object:
    text, tag = event.value, _tag_of(event)
    if _SURROGATE.search(text):
        raise HeaderError("found invalid Unicode character escape code")
    plain_implicit, quoted_implicit = event.implicit
    if tag == "!reference":
        return Reference(path=text)
    if quoted_implicit:
        return text
    if plain_implicit or tag is None:
        return tokenize(text)
    return _tagged(text, tag)


def _tagged(text: str, tag: str) -> object:
    if tag in {"!binary", f"{_YAML_TAG}binary"}:
        try:
            return base64.b64decode(text, validate=False).decode("utf-8", "replace")
        except binascii.Error:
            return ""
    as_text = _TEXT_TAG.fullmatch(tag)
    if tag == f"{_YAML_TAG}str" or (as_text and not as_text["name"]):
        return text
    if tag in {"!float", f"{_YAML_TAG}float"}:
        return _as_float(tokenize(text))
    if _SYMBOL_TAG.fullmatch(tag):
        return text
    if as_text or _CLASS_TAG.fullmatch(tag):
        raise _forbidden(tag)
    return tokenize(text)


def _as_float(value: object) -> float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return float(value)
    raise NotAValueError(f"{ruby.inspect(value)} is not a number")


def tokenize(text: str) -> object:
    """The value of plain text.

    Args:
        text: A scalar without quotes.

    Raises:
        HeaderError: It is a date or a time.
        NotAValueError: It looks like a number and is none.
        LimitError: It is a number of too many digits.
    """
    if not text:
        return None
    if "\n" in text or _WORD.search(text):
        return _word(text)
    if _TIME.fullmatch(text):
        raise HeaderError("Tried to load unspecified class: Time", evidence=text, fix="put it between quotes")
    if _DATE.fullmatch(text):
        raise HeaderError("Tried to load unspecified class: Date", evidence=text, fix="put it between quotes")
    if text.lower() in {".inf", "+.inf", "-.inf", ".nan"}:
        return float(text.replace(".", "", 1))
    symbol = _SYMBOL.match(text)
    if symbol:
        return (symbol["quoted"] if symbol["quoted"] is not None else text).removeprefix(":")
    return _number(text)


def _word(text: str) -> object:
    if len(text) > _SHORT:
        return text
    if text == "~" or _NULL.search(text):
        return None
    if _TRUE.search(text):
        return True
    return False if _FALSE.search(text) else text


def _number(text: str) -> object:
    sexagesimal = _SEXAGESIMAL.fullmatch(text)
    if sexagesimal:
        return _base_sixty(text, whole=sexagesimal["fraction"] is None)
    if _FLOAT.fullmatch(text):
        if text.lstrip("+-") == ".":
            return text
        return float(re.sub(r"\.([Ee]|$)", r"\1", re.sub(r"[,_]", "", text)))
    integer = _INTEGER.fullmatch(text)
    if not integer:
        return text
    name = integer.lastgroup or "ten"
    digits = re.sub(r"[,_]", "", integer[name])
    if name == "ten" and len(digits) > _MAX_DIGITS:
        raise LimitError(f"a number has more than {_MAX_DIGITS} digits", evidence=text[:40])
    if not digits:
        if name == "eight":
            return 0
        raise NotAValueError(f"{text} is not a number")
    return int(integer["sign"] + digits, _BASES[name])


def _base_sixty(text: str, *, whole: bool) -> object:
    """Psych takes the first part for hours whether there are two or three: 1:30 is 5400."""
    parts = text.replace("_", "").split(":")
    if any(len(part) > _MAX_DIGITS for part in parts):
        raise LimitError(f"a number has more than {_MAX_DIGITS} digits", evidence=text[:40])
    if whole:
        return sum(int(part) * 60 ** abs(place - 2) for place, part in enumerate(parts))
    return sum(float(part) * 60 ** abs(place - 2) for place, part in enumerate(parts))
