"""Patterns for files, as `changes` and `exists` have them. Pure.

Behaviour: Ruby's `File.fnmatch` with FNM_PATHNAME, FNM_DOTMATCH and FNM_EXTGLOB, with which gitlabhq
`lib/gitlab/ci/build/rules/rule/clause/{changes,exists}.rb` call it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from septum.errors import PipelineError

_MAX_CHOICES = 1000
_BRACES = re.compile(r"(?<!\\)\{((?:[^{}\\]|\\.)*)\}", re.DOTALL)
_COMMA = re.compile(r"(?<!\\),")
_TOKEN = re.compile(
    r"(?P<deep>(?<![^/])(?:\*\*/)+)|(?P<star>\*+)|(?P<any>\?)|\[(?P<no>[!^]?)(?P<set>(?:\\.|[^\]\\])*)\]|(?P<open>\[)"
    r"|\\(?P<quoted>.)|.",
    re.DOTALL,
)
_ITEM = re.compile(r"(?P<low>\\.|.)(?:-(?P<high>\\.|.))?", re.DOTALL)

_Run = tuple[re.Pattern[str], ...]
"""Patterns for so many names that follow each other in a path."""


def glob_matches(glob: str, name: str) -> bool:
    """Whether a pattern is for a file: `*`, `?` and `[ab]` within a folder, `**/` for any folders, `{a,b}`.

    Args:
        glob: The pattern.
        name: The path of the file from the root of the repository.

    Raises:
        PipelineError: The braces of the pattern stand for too many others.
    """
    parts = name.split("/")
    return any(_fits(runs, parts) for runs in _compiled(glob))


def _fits(runs: Sequence[_Run], parts: Sequence[str]) -> bool:
    """Whether the first run stands at the beginning, the last at the end, and the others somewhere between."""
    first, *others = runs
    if not _stands(first, parts, 0):
        return False
    if not others:
        return len(first) == len(parts)
    position = len(first)
    for run in others[:-1]:
        # The first place that fits is as good as any later one: without going back, no pattern takes long.
        found = next((place for place in range(position, len(parts)) if _stands(run, parts, place)), None)
        if found is None:
            return False
        position = found + len(run)
    end = len(parts) - len(others[-1])
    return end >= position and _stands(others[-1], parts, end)


def _stands(run: _Run, parts: Sequence[str], place: int) -> bool:
    there = parts[place : place + len(run)]
    return len(there) == len(run) and all(each.fullmatch(part) for each, part in zip(run, there, strict=True))


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> tuple[tuple[_Run, ...], ...]:
    return tuple(runs for each in _braces(glob) if (runs := _runs(each)))


def _braces(glob: str) -> list[str]:
    """`a{b,c}` as `ab` and `ac`; the innermost first, so that braces may stand in braces."""
    made = [glob]
    while any(inner := [_BRACES.search(each) for each in made]):
        made = [
            each[: found.start()] + choice + each[found.end() :] if found else each
            for each, found in zip(made, inner, strict=True)
            for choice in (_COMMA.split(found[1]) if found else [""])
        ]
        if len(made) > _MAX_CHOICES:
            raise PipelineError(
                f"the pattern {glob[:80]} stands for more than {_MAX_CHOICES} others",
                fix="write fewer braces; https://docs.gitlab.com/ci/jobs/job_rules/",
            )
    return made


def _runs(glob: str) -> tuple[_Run, ...]:
    """A pattern without braces, cut at each `**/`; nothing if it is for no file whatever."""
    runs: list[list[re.Pattern[str]]] = [[]]
    pieces = [""]
    for token in _TOKEN.finditer(glob):
        character = token["quoted"] or token[0]
        if token["open"]:
            return ()
        if token["deep"]:
            runs.append([])
        elif token["star"]:
            pieces.append("")
        elif token["any"]:
            pieces[-1] += "."
        elif token["set"] is not None:
            pieces[-1] += _set(token["set"], negated=bool(token["no"]))
        elif character == "/":
            runs[-1].append(_name(pieces))
            pieces = [""]
        else:
            pieces[-1] += re.escape(character)
    runs[-1].append(_name(pieces))
    return tuple(map(tuple, runs))


def _set(text: str, *, negated: bool) -> str:
    """What stands in brackets, for a name of a path: there is no `/` in it that it could be for."""
    held = ""
    for item in _ITEM.finditer(text):
        low, high = item["low"][-1], (item["high"] or item["low"])[-1]
        # A range that runs backwards is for its two ends.
        held += f"{re.escape(low)}-{re.escape(high)}" if low <= high else re.escape(low) + re.escape(high)
    if not held:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{held}]"


def _name(pieces: Sequence[str]) -> re.Pattern[str]:
    """One name of a path, from what stands between its stars; each piece is held at the first place that fits."""
    first, *middle = pieces
    last = f".*{middle.pop()}" if middle else ""
    held = "".join(f"(?=(?P<p{n}>.*?{piece}))(?P=p{n})" for n, piece in enumerate(middle))
    return re.compile(first + held + last, re.DOTALL)
