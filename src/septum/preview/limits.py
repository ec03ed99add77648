"""What GitLab takes at most of each thing, with the numbers of an instance whose settings nobody changed."""

from __future__ import annotations

from septum.preview.features import LARGER_FILES, Version
from septum.preview.source import Reference

MAX_DEPTH = 100
"""Levels of lists and mappings in a document (`max_yaml_depth`)."""
MAX_NODES = 500_000
"""Visits while blocks are replaced; a key that is text counts twice."""
MAX_NODE_BYTES = 1024 * 1024
"""Bytes of one text of a file with a header, with or without a block in it."""
MAX_BLOCKS = 10_000
"""Different blocks in a file."""
MAX_FUNCTIONS = 3
"""Functions in a block."""
MAX_ACCESS_BYTES = 1024
"""Bytes of a block before its first `|`."""
MAX_ACCESS_PARTS = 5
"""Parts between the dots of a block; what comes after counts as one."""
MAX_INDICES = 5
"""Indices behind one name."""
MAX_OPTIONS = 50
"""Options of an input."""
MAX_PIPELINE_INPUTS = 20
"""Inputs given to a pipeline."""
MAX_SPEC_DESCRIPTION = 256
"""Characters of the description of a component."""

_MEGABYTE = 1024 * 1024
# What Ruby takes for an object that holds nothing, for an entry of a large mapping, and for one to eight entries.
_SLOT, _ENTRY, _SMALL_TABLE, _SMALL_ENTRIES = 40, 48, 128, 8
# Shorter text, and lists of that many, stand in the slot itself.
_SHORT_TEXT, _SHORT_LIST = 23, 3


def max_file_bytes(gitlab: Version) -> int:
    """The size of one document, as text and in memory (`max_yaml_size_bytes`).

    Args:
        gitlab: The version of the server.
    """
    return 2 * _MEGABYTE if LARGER_FILES.known(gitlab) else _MEGABYTE


def too_big(root: object, max_bytes: int) -> bool:
    """Whether a document takes more memory in Ruby, or is nested deeper, than GitLab allows.

    Everything that an alias repeats is counted again, as GitLab does. The bytes are an estimate.

    Args:
        root: The document; may contain itself.
        max_bytes: The limit.
    """
    size = 0
    waiting: list[tuple[object, int]] = [(root, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, Reference):
            item = item.path
        size += _bytes_of(item)
        if size > max_bytes:
            return True
        if isinstance(item, dict | list) and depth > MAX_DEPTH:
            return True
        if isinstance(item, dict):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            waiting += [(part, depth + 1) for part in item]
    return False


def _bytes_of(item: object) -> int:
    """The bytes of one object without what it holds; numbers, booleans and null stand in the pointer to them."""
    if isinstance(item, str):
        length = len(item.encode("utf-8", "replace"))
        return _SLOT + (0 if length <= _SHORT_TEXT else length + 1)
    if isinstance(item, list):
        return _SLOT + (0 if len(item) <= _SHORT_LIST else 8 * len(item))
    if isinstance(item, dict):
        if not item:
            return _SLOT
        return _SLOT + (_SMALL_TABLE if len(item) <= _SMALL_ENTRIES else _ENTRY * len(item))
    return 0
