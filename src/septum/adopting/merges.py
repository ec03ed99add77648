"""What `hadd` was called with, in loops over plain words as well. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from septum.adopting import shell
from septum.adopting.values import Found, Step

_VALUES = frozenset({"-j", "-n", "-cachesize", "-experimental-io-features", "-v"})
_LOOP = re.compile(
    r"for\s{1,20}(?P<name>[A-Za-z_]\w{0,60})\s{1,20}in\s{1,20}(?P<words>[^;\n]{1,2000}?)[ \t]{0,20}[;\n]\s{0,20}do\b"
)
_PLAIN = re.compile(r"[\w.+=@/-]+")
_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One call of hadd."""

    target: str
    globs: tuple[str, ...]


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with the values of variables that are known."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: values.get(match[1] or match[2], match[0]), text)


def merges_of(found: Sequence[Found], values: Mapping[str, str]) -> list[Merge]:
    """What `hadd` was called with.

    Args:
        found: Statements.
        values: The variables whose values are known.
    """
    made = []
    for each in found:
        if each.step is Step.MERGE and each.rule.startswith("merge"):
            for text in _rounds(each.statement.text.replace("\\\n", " "), values):
                made += list(_calls(filled(text, values)))
    return list(dict.fromkeys(made))


def joins(merge: Merge, targets: Sequence[str]) -> bool:
    """Whether a call merged merged files only."""
    others = {posixpath.basename(target) for target in targets if target != merge.target}
    return bool(merge.globs) and all(posixpath.basename(glob) in others for glob in merge.globs)


def _rounds(text: str, values: Mapping[str, str]) -> list[str]:
    """The text once for each round of its loop, if the words of that are known."""
    loops = list(_LOOP.finditer(text))
    words = filled(loops[0]["words"], values).split() if len(loops) == 1 else []
    if not words or len(words) > _MOST or not all(_PLAIN.fullmatch(word) for word in words):
        return [text]
    body = text[loops[0].end() :]
    return [filled(body, {loops[0]["name"]: word}) for word in words]


def _calls(text: str) -> Iterator[Merge]:
    for line in text.splitlines():
        given = shell.words(line)
        at = next((n for n, word in enumerate(given) if posixpath.basename(word).startswith("hadd")), None)
        words, skip = [], False
        for word in given[at + 1 :] if at is not None else ():
            if re.fullmatch(r"[;&|<>]+", word):
                break
            if not skip and not word.startswith("-"):
                words.append(word)
            skip = word in _VALUES and not skip
        if words:
            yield Merge(target=words[0], globs=tuple(words[1:]))
