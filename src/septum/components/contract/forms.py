"""Whether a regular expression allows at least what another one did. Pure.

In general nobody can say that by looking at two expressions. Said is what follows from their alternatives
and the bounds of repetitions alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BOUNDS = re.compile(r"\{([0-9]+)(,[0-9]*)?\}")


def provably_wider(old: str | None, new: str | None) -> bool:
    """Whether every text that `old` allowed is allowed by `new`, as far as alternatives tell.

    Args:
        old: The former expression, RE2; None if every text was allowed.
        new: The present one.

    Returns:
        False also if it is so, but cannot be seen.
    """
    if new is None:
        return True
    if old is None:
        return False
    # A flag such as (?i) reaches over alternatives.
    if any("(?" in text.replace("(?:", "") or r"\Q" in text for text in (old, new)):
        return old == new
    known = alternatives(new)
    return all(part in known or any(_repeats_more(part, other) for other in known) for part in alternatives(old))


def _repeats_more(old: str, new: str) -> bool:
    """Whether two alternatives differ in nothing but bounds of repetitions, such as `{0,31}`, and these got wider."""
    (before, some), (after, more) = _repetitions(old), _repetitions(new)
    return before == after and all(
        low >= lower and high <= higher for (low, high), (lower, higher) in zip(some, more, strict=True)
    )


def _repetitions(text: str) -> tuple[tuple[str, ...], list[tuple[float, float]]]:
    """What stands between the repetitions with bounds, and these."""
    between, bounds, start = [], [], 0
    for index, letter, _ in _walk(text):
        match = _BOUNDS.match(text, index) if letter == "{" else None
        if match:
            low = float(match[1])
            bounds.append((low, low if match[2] is None else float(match[2][1:] or "inf")))
            between.append(text[start:index])
            start = match.end()
    return (*between, text[start:]), bounds


def alternatives(regex: str) -> frozenset[str]:
    """The alternatives of an expression, each with its anchors: `^(a|b)?$` has `^a$`, `^b$` and `^$`."""
    parts = list(_split(regex))
    if len(parts) > 1:
        return frozenset(parts)
    if not (regex.startswith("^") and regex.endswith("$") and not regex.endswith("\\$")):
        return frozenset({regex})
    return frozenset(f"^{part}$" for part in _inner(regex[1:-1]))


def _inner(text: str) -> frozenset[str]:
    """The alternatives of what stands between the anchors, if one group is all of it."""
    optional = text.endswith("?") and _is_group(text[:-1])
    group = text[:-1] if optional else text
    if not _is_group(group):
        return frozenset({text})
    inside = group[1:-1].removeprefix("?:")
    found = frozenset(alternative for part in _split(inside) for alternative in _inner(part))
    return found | {""} if optional else found


def _is_group(text: str) -> bool:
    """Whether one pair of parentheses holds the whole text."""
    depths = [depth for _, _, depth in _walk(text)]
    return text.startswith("(") and text.endswith(")") and bool(depths) and depths[-1] == 0 and 0 not in depths[:-1]


def _split(text: str) -> Iterator[str]:
    """Cut at each `|` outside of groups, classes and escapes."""
    start = 0
    for index, letter, depth in _walk(text):
        if letter == "|" and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def _walk(text: str) -> Iterator[tuple[int, str, int]]:
    """Each letter that is not escaped or in a class, with its place and how many groups are open behind it."""
    depth, index = 0, 0
    while index < len(text):
        letter = text[index]
        if letter == "\\":
            yield index + 1, "", depth
            index += 2
            continue
        if letter == "[":
            index = _end_of_class(text, index)
            letter = ""
        depth += {"(": 1, ")": -1}.get(letter, 0)
        yield index, letter, depth
        index += 1


def _end_of_class(text: str, index: int) -> int:
    """The place of the bracket that ends the class which begins at `index`."""
    place = index + 1 + text[index + 1 : index + 2].count("^")
    # A bracket right at the beginning is a letter of the class.
    place += text[place : place + 1].count("]")
    while place < len(text) and text[place] != "]":
        place += 2 if text[place] == "\\" else 1
    return place
