"""Read the YAML of a pipeline so that every text knows its line. Pure.

What GitLab makes of the values is `septum.preview`'s: types, `extends`, `!reference` and `default` come from there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from septum.adopting.values import Placed
from septum.errors import AdoptError, PreviewError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 512 * 1024
"""The largest file that is read; nobody writes a larger pipeline by hand."""
MAX_NODES = 50_000
MAX_DEPTH = 60
_MERGE = "tag:yaml.org,2002:merge"
_DIVIDER = re.compile(r"^---(?:\s|$)", re.MULTILINE)


def decoded(raw: bytes, name: str) -> str:
    """The text of a file.

    Raises:
        AdoptError: It is too large, or no text.
    """
    if len(raw) > MAX_BYTES:
        raise AdoptError(
            f"{name}: more than {MAX_BYTES // 1024} kB", fix="adopt reads pipelines that people have written; split it"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AdoptError(f"{name}: not UTF-8 text", evidence=f"byte {error.start}") from error
    if "\0" in text:
        raise AdoptError(f"{name}: holds a NUL character, so it is no text")
    return text


def read(text: str, name: str) -> dict[str, object]:
    """The body of a CI/CD file, its texts and keys `Placed`.

    Args:
        text: YAML; if it has a header with `spec`, the header is skipped.
        name: The path of the file, relative to the repository.

    Raises:
        AdoptError: It cannot be read as GitLab would.
    """
    root = _root(text, name)
    if root is None:
        raise AdoptError(f"{name}: the file is empty", fix="name the file of the pipeline: septum adopt FILE")
    value = _Converter(name=name).value(root, ())
    if not isinstance(value, dict):
        raise AdoptError(f"{name}: not a pipeline", evidence="GitLab wants a mapping of CI jobs at the top")
    return value


def spans(text: str, name: str) -> dict[str, tuple[int, int]]:
    """The lines of each key at the top of a file: its first, and the last before the next key's comments."""
    root = _root(text, name)
    keys = [] if root is None or not isinstance(root.value, list) else root.value
    lines = text.splitlines()
    starts = [_with_comments(lines, pair[0].start_mark.line) for pair in keys if isinstance(pair, tuple)]
    ends = [*starts[1:], len(lines)]
    return {str(pair[0].value): (start + 1, end) for pair, start, end in zip(keys, starts, ends, strict=True)}


def _with_comments(lines: list[str], start: int) -> int:
    """The first of the comment lines that stand right above a line."""
    while start and lines[start - 1].startswith("#"):
        start -= 1
    return start


def _flow_depth(text: str) -> int:
    """How many brackets are open at once, at most; those in texts count as well."""
    depth = deepest = 0
    for letter in text:
        if letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}" and depth:
            depth -= 1
        elif letter == "\n" and depth < MAX_DEPTH:
            depth = 0
    return deepest


def _root(text: str, name: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    # The parser takes its time before it gives up.
    if _flow_depth(text) > 2 * MAX_DEPTH:
        raise AdoptError(f"{name}: nested too deeply")
    try:
        documents = [node for node in YAML(typ="safe", pure=True).compose_all(text) if node is not None]
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise AdoptError(
            f"{name}:{mark.line + 1 if mark else 1}: not YAML: {error.problem or error.context}",
            evidence=_tabs(text),
            fix="GitLab does not read it either; correct it first: CI/CD > Editor shows where",
        ) from None
    except RecursionError:
        raise AdoptError(f"{name}: nested too deeply") from None
    except (YAMLError, ValueError, AssertionError) as error:
        raise AdoptError(f"{name}: not YAML", evidence=str(error).partition("\n")[0][:200]) from None
    return documents[-1] if documents else None


def _tabs(text: str) -> str:
    found = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r" *\t", line)]
    return f"line {found[0]} is indented with a tab, where YAML wants spaces" if found else ""


@dataclass(slots=True, kw_only=True)
class _Converter:
    """Turns nodes into values; what an alias repeats counts again."""

    name: str
    count: int = 0
    open: set[int] = field(default_factory=set)

    def value(self, node: Any, path: tuple[str, ...]) -> object:
        """The value of a node."""
        from septum.preview.source import Reference

        self.count += 1
        if self.count > MAX_NODES:
            raise AdoptError(f"{self.name}: more than {MAX_NODES} values, anchors expanded")
        kind = type(node).__name__
        if kind == "ScalarNode":
            return self._scalar(node)
        if id(node) in self.open or len(path) > MAX_DEPTH:
            raise AdoptError(f"{self.name}:{node.start_mark.line + 1}: nested too deeply, or an anchor within itself")
        self.open.add(id(node))
        below = (*path, "")
        if kind == "MappingNode":
            found: object = self._mapping(node, below)
        else:
            found = [self.value(item, below) for item in node.value]
        self.open.discard(id(node))
        return Reference(path=[str(part) for part in found]) if _is_reference(node, found) else found  # type: ignore[attr-defined]

    def _mapping(self, node: Any, path: tuple[str, ...]) -> dict[str, object]:
        merged: dict[str, object] = {}
        own: dict[str, object] = {}
        for key, value in node.value:
            if str(key.tag) == _MERGE:
                for source in self._sources(value, path):
                    merged = {**source, **merged}
                continue
            if type(key).__name__ != "ScalarNode":
                raise AdoptError(f"{self.name}:{key.start_mark.line + 1}: a key that is no text")
            own[Placed(str(key.value), file=self.name, line=key.start_mark.line + 1)] = self.value(value, path)
        return {**merged, **own}

    def _sources(self, node: Any, path: tuple[str, ...]) -> Iterator[dict[str, object]]:
        for part in node.value if type(node).__name__ == "SequenceNode" else [node]:
            value = self.value(part, path)
            if isinstance(value, dict):
                yield value

    def _scalar(self, node: Any) -> object:
        from septum.preview import psych

        text, line = str(node.value), node.start_mark.line + 1
        if node.style is None and str(node.tag).startswith("tag:yaml.org"):
            try:
                value = psych.tokenize(text)
            except (PreviewError, ValueError):
                value = text
            if not isinstance(value, str):
                return value
            return Placed(value, file=self.name, line=line, folded="\n" in text or node.end_mark.line > line - 1)
        block = node.style in {"|", ">"}
        folded = node.style == ">" or (not block and node.end_mark.line > line - 1)
        return Placed(text, file=self.name, line=line, block=block, folded=folded)


def _is_reference(node: Any, found: object) -> bool:
    return str(node.tag) == "!reference" and isinstance(found, list)
