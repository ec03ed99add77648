"""The forms that many keywords share: text, texts, whole numbers, mappings with known keys. Pure.

Behaviour: gitlabhq `lib/gitlab/config/entry/{validators,legacy_validation_helpers}.rb`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

Problems = Iterator[str]
"""What is wrong, in GitLab's words without the place."""


def keys(value: Mapping[str, object], known: AbstractSet[str]) -> Problems:
    """A mapping with these keys at most."""
    unknown = [str(key) for key in value if key not in known]
    if unknown:
        yield f"config contains unknown keys: {', '.join(unknown)}"


def text(value: object) -> Problems:
    """Text."""
    if not isinstance(value, str):
        yield "config should be a string"


def texts(value: object) -> Problems:
    """A list of texts."""
    if not is_texts(value):
        yield "config should be an array of strings"


def truth(value: object) -> Problems:
    """A boolean."""
    if not isinstance(value, bool):
        yield "config should be a boolean value"


def whole_numbers(value: object) -> Problems:
    """A whole number, or a list of such."""
    if not all(is_whole(item) for item in (value if isinstance(value, list) else [value])):
        yield "should be an array of integers or an integer"


def is_texts(value: object) -> bool:
    """Whether it is a list of texts; an empty one is."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_whole(value: object) -> bool:
    """Whether it is a whole number; true and false are none, though Python counts with them."""
    return isinstance(value, int) and not isinstance(value, bool)
