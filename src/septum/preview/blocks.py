"""What a block `$[[ … ]]` is, and what it is worth. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/config/interpolation/template.rb`, `block.rb`, `access.rb` and their specs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from septum.errors import InterpolationError, LimitError
from septum.preview import features, limits, ruby
from septum.preview.features import Version
from septum.preview.functions import Variables, call_all

_OPEN, _CLOSE = "$[[", "]]"
# Space for RE2, which finds the blocks; Ruby's own has the vertical tab as well.
_SPACE = "\t\n\f\r "
_INDEXED = re.compile(r"(?P<name>\w*)(?P<indices>(?:\[\d+\])+)", re.ASCII)
_IN_BRACKETS = re.compile(r"\[([^\]]*)\]")
_PATTERN = "invalid pattern used for interpolation. valid pattern is $[[ inputs.input ]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What blocks may name.

    Attributes:
        data: The mappings `inputs` and `component`.
        variables: What `expand_vars` may expand.
        gitlab: The version of the server.
    """

    data: Mapping[str, Mapping[str, object]]
    variables: Variables
    gitlab: Version


def find_blocks(text: str) -> Iterator[tuple[str, str]]:
    r"""The blocks of a text: each as it stands there, and what is in it without space around.

    The same as a search for `\$\[\[\s*(\S.*?\S)\s*\]\]`, with a cost that grows with the length of the text only.

    Args:
        text: Any text.

    Yields:
        The blocks, in their order; a block may be there several times.
    """
    position = closing = line_end = 0
    while (start := text.find(_OPEN, position)) >= 0:
        first = start + len(_OPEN)
        while first < len(text) and text[first] in _SPACE:
            first += 1
        # What is in a block does not go over the end of a line; space around it may.
        if line_end <= first:
            line_end = _next(text, "\n", first)
        closing = closing if closing >= first + 2 else _next(text, _CLOSE, first + 2)
        position, end = start + 1, closing
        while end < len(text):
            last = end - 1
            while last > first and text[last] in _SPACE:
                last -= 1
            if last >= line_end:
                break
            if last > first:
                position = end + len(_CLOSE)
                yield text[start:position], text[first : last + 1]
                break
            end = _next(text, _CLOSE, end + 1)


def _next(text: str, part: str, position: int) -> int:
    """Where a part begins, from a position on; the end of the text if it does not."""
    found = text.find(part, position)
    return len(text) if found < 0 else found


def evaluate(block: str, data: str, context: Context) -> object:
    """The value of a block.

    Args:
        block: The block as it stands in the text.
        data: What is in it.
        context: What it may name.

    Returns:
        The value; the block itself if it belongs to a matrix, whose turn comes later.

    Raises:
        InterpolationError: It names something that does not exist, or calls a function wrongly.
        LimitError: It is too long, or calls too many functions.
    """
    name, *calls = [ruby.strip(part) for part in ruby.split(data, "|")] or [""]
    if features.MATRIX_BLOCKS.known(context.gitlab) and name.partition(".")[0] == "matrix":
        return block
    value = _access(name, context)
    if len(calls) > limits.MAX_FUNCTIONS:
        raise LimitError("too many functions in interpolation block")
    return call_all(calls, value, context.variables, context.gitlab)


def _access(name: str, context: Context) -> object:
    parts = name.split(".", limits.MAX_ACCESS_PARTS - 1) if name else []
    if len(parts) <= 1:
        raise InterpolationError(_PATTERN)
    if len(name.encode("utf-8", "surrogatepass")) > limits.MAX_ACCESS_BYTES:
        raise LimitError("maximum interpolation expression size exceeded")
    value: object = context.data
    for part in parts:
        if "[" in part and features.ARRAY_INDEX.known(context.gitlab):
            value = _element(value, part, name)
        else:
            value = _entry(value, part, name)
    return value


def _entry(value: object, key: str, name: str) -> object:
    if isinstance(value, Mapping) and not isinstance(value, ruby.JsonKeys) and key in value:
        found: object = value[key]
        return found
    raise InterpolationError(f"unknown interpolation provided: `{key}` in `{name}`")


def _element(value: object, part: str, name: str) -> object:
    match = _INDEXED.fullmatch(part)
    if match is None:
        raise InterpolationError(_malformed(part, name))
    if not match["name"]:
        raise InterpolationError(f"invalid indexed access without a key in `{name}`")
    indices = re.findall(r"\d+", match["indices"])
    if len(indices) > limits.MAX_INDICES:
        raise LimitError(f"too many array indices in `{name}` (maximum depth: {limits.MAX_INDICES})")
    found = _entry(value, match["name"], name)
    for index in map(int, indices):
        if not isinstance(found, list):
            raise InterpolationError(f"cannot index into non-array value at [{index}] in `{name}`")
        if index >= len(found):
            raise InterpolationError(f"array index {index} out of bounds (size: {len(found)}) in `{name}`")
        found = found[index]
    return found


def _malformed(part: str, name: str) -> str:
    if part.count("[") != part.count("]"):
        return f"invalid array index in `{name}`: missing closing bracket"
    for content in _IN_BRACKETS.findall(part):
        if not (content.isascii() and content.isdigit()):
            return f"invalid array index in `{name}`: `{content}` is not a valid index"
    return f"invalid array index syntax in `{name}`"
