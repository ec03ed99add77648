"""Read YAML strictly: every scalar stays the text that stands in the file, and every value knows its line.

It reads `septum.yaml` and the cluster profiles. It must not judge what a key means: `validation` does that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from septum.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from septum.errors import SeptumError

Tree: TypeAlias = Union[str, "list[Tree]", "dict[str, Tree]", None]
KeyPath: TypeAlias = "tuple[str | int, ...]"

MAX_BYTES = 5 * 1024 * 1024
MAX_NODES = 100_000
MAX_DEPTH = 100

_TAG = "tag:yaml.org,2002:"
# What plain text resolves to (`7` to int) is harmless, since the text is kept. All other tags would ask for a type.
_SCALAR_TAGS = {_TAG + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")}
_NULLS = {"", "~", "null", "Null", "NULL"}
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its tree of texts, and the line of each key.

    Args:
        name: The file as messages call it.
        data: Mappings, lists, texts, and None for a plain null.
        lines: The 1-based line of each path; a mapping's value has the line of its key.
    """

    name: str
    data: Tree
    lines: Mapping[KeyPath, int] = field(repr=False)

    def line_of(self, path: KeyPath) -> int:
        """Where a key stands.

        Args:
            path: Keys and list indices from the root.

        Returns:
            The 1-based line, that of the nearest known ancestor if the path does not exist.
        """
        for length in range(len(path), -1, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return line
        return 1

    def where(self, path: KeyPath) -> str:
        """The place of a key as messages show it, `septum.yaml:12`."""
        return f"{self.name}:{self.line_of(path)}"


def read(path: Path | str, error: type[SeptumError] = ConfigError, name: str = "") -> Document:
    """Read a YAML file.

    Args:
        path: The file, UTF-8, at most 5 MB.
        error: The class of the errors.
        name: What messages call the file; the path by default.

    Raises:
        SeptumError: Of the given class; the file cannot be read, or is not strict YAML.
    """
    name = name or str(path)
    try:
        special = Path(path).exists() and not Path(path).is_file()
        # One byte more than allowed is enough to know that the file is too large. A pipe would block.
        raw = b"" if special else _first_bytes(Path(path), MAX_BYTES + 1)
    except FileNotFoundError as err:
        raise error(f"{name}: there is no such file", fix="Check the path, and that the file is committed.") from err
    except (OSError, ValueError) as err:
        reason = getattr(err, "strerror", None) or str(err)
        raise error(f"{name}: cannot be read: {reason}", fix="Name a regular file that this user may read.") from err
    if special:
        raise error(f"{name}: cannot be read: not a regular file", fix="Name a regular file that this user may read.")
    if len(raw) > MAX_BYTES:
        raise _too_large(name, error)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = raw.count(b"\n", 0, err.start) + 1
        raise error(
            f"{name}:{line}: the file is not UTF-8",
            evidence=f"byte 0x{raw[err.start]:02x} at offset {err.start}",
            fix="Save the file as UTF-8.",
        ) from err
    return load(text, name, error)


def load(text: str, name: str, error: type[SeptumError] = ConfigError) -> Document:
    """Read YAML text.

    Args:
        text: One YAML document.
        name: What messages call it.
        error: The class of the errors.

    Raises:
        SeptumError: Of the given class, with file, line, the line itself and a fix.
    """
    if len(text) > MAX_BYTES:
        raise _too_large(name, error)
    failure = _Failure(name, text, error)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise failure.at(line, "the file holds a NUL character", "Save the file as plain text, UTF-8.")
    root = _compose(text, failure)
    converter = _Converter(failure)
    data = converter.convert(root, ()) if root is not None else None
    if data is None:
        raise error(f"{name}: the file is empty", fix="Write the keys, or name another file.")
    converter.lines[()] = _line(root)
    return Document(name=name, data=data, lines=converter.lines)


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(count)


def _too_large(name: str, error: type[SeptumError]) -> SeptumError:
    return error(f"{name}: the file is larger than 5 MB", fix="Put long lists into files of their own.")


@dataclass(frozen=True, slots=True)
class _Failure:
    """Makes the errors of one file."""

    name: str
    text: str
    error: type[SeptumError]

    def at(self, line: int, problem: str, fix: str) -> SeptumError:
        lines = self.text.splitlines()
        shown = lines[line - 1][:_SHOWN_CHARACTERS] if 0 < line <= len(lines) else ""
        # A tab, a NUL or an escape sequence must be seen, and must not reach the terminal.
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
        return self.error(f"{self.name}:{line}: {problem}", evidence=f"{line} | {shown}", fix=fix)


def _compose(text: str, failure: _Failure) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        line = mark.line + 1 if mark is not None else 1
        problem, fix = _explain(err.problem or err.context or "not YAML", failure.text, line)
        raise failure.at(line, problem, fix) from err
    except ReaderError as err:
        line = text.count("\n", 0, err.position) + 1
        raise failure.at(line, "a control character is not allowed here", "Save the file as plain text.") from err
    except RecursionError as err:
        raise failure.at(1, f"nested deeper than {MAX_DEPTH} levels", "Flatten the file.") from err
    except (YAMLError, ValueError, AssertionError) as err:
        raise failure.at(1, "not YAML", "Correct the syntax.") from err


def _explain(problem: str, text: str, line: int) -> tuple[str, str]:
    """Say in the user's words what YAML's parser means."""
    lines = text.splitlines()
    shown = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in problem or "'\\t'" in problem or shown[: len(shown) - len(shown.lstrip())].count("\t"):
        return "a tab stands where YAML wants spaces", "Indent with spaces."
    if "another document" in problem:
        return "a second document begins here", "Keep one document in the file; remove the line '---'."
    if "undefined alias" in problem:
        return problem, "Define the anchor ('&name') above the place where it is used."
    if "mapping values are not allowed" in problem:
        return (
            "a second ': ' in one value, or a wrong indentation",
            "Put a text that holds ': ' in quotes, and indent the keys of one mapping alike.",
        )
    if "cannot start any token" in problem:
        return problem, "Put a text that begins with a special character in quotes."
    return f"not YAML: {problem}", "Correct the indentation or the quotes of this line or of the one above it."


class _Converter:
    """Turns composed nodes into a tree of texts; aliases are followed, and counted each time."""

    def __init__(self, failure: _Failure) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._failure = failure
        self._nodes = 0
        self._open: set[int] = set()

    def convert(self, node: Any, path: KeyPath) -> Tree:
        from ruamel.yaml.nodes import MappingNode, ScalarNode

        self._count(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise self._failure.at(_line(node), "an alias stands inside its own anchor", "Write the values out.")
        if len(self._open) >= MAX_DEPTH:
            raise self._failure.at(_line(node), f"nested deeper than {MAX_DEPTH} levels", "Flatten the file.")
        self._open.add(id(node))
        tree = self._mapping(node, path) if isinstance(node, MappingNode) else self._sequence(node, path)
        self._open.discard(id(node))
        return tree

    def _count(self, node: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._failure.at(
                _line(node),
                f"more than {MAX_NODES} values, aliases expanded",
                "Put long lists into files of their own, and do not nest aliases.",
            )

    def _scalar(self, node: Any) -> str | None:
        tag, value = _tag_of(node), str(node.value)
        if tag not in _SCALAR_TAGS:
            raise self._tag_error(node, tag)
        if tag == _TAG + "null":
            if value not in _NULLS:
                raise self._tag_error(node, tag)
            return None
        return self._joined(node, value)

    def _joined(self, node: Any, value: str) -> str:
        """The text with the two halves of a character joined, as JSON writes characters beyond 16 bits."""
        if value.isascii():
            return value
        try:
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            raise self._failure.at(
                _line(node), "an escape such as \\ud83e without its second half", "Write the character itself."
            ) from None

    def _sequence(self, node: Any, path: KeyPath) -> Tree:
        if _tag_of(node) != _TAG + "seq":
            raise self._tag_error(node, _tag_of(node))
        items: list[Tree] = []
        for index, item in enumerate(node.value):
            below = (*path, index)
            self.lines[below] = _line(item)
            items.append(self.convert(item, below))
        return items

    def _mapping(self, node: Any, path: KeyPath) -> Tree:
        if _tag_of(node) != _TAG + "map":
            raise self._tag_error(node, _tag_of(node))
        result: dict[str, Tree] = {}
        for key, key_node, value in self._pairs(node):
            below = (*path, key)
            self.lines[below] = _line(key_node)
            result[key] = self.convert(value, below)
        return result

    def _pairs(self, node: Any) -> list[tuple[str, Any, Any]]:
        """The keys of a mapping in the order of the file, those of `<<` after its own."""
        own: dict[str, tuple[Any, Any]] = {}
        merged: list[Any] = []
        merge_line = 0
        for key_node, value in node.value:
            if _tag_of(key_node) == _TAG + "merge":
                if merge_line:
                    raise self._duplicate(key_node, "<<", merge_line)
                merge_line = _line(key_node)
                merged = list(self._merge_sources(key_node, value))
                continue
            key = self._key(key_node)
            if key in own:
                raise self._duplicate(key_node, key, _line(own[key][0]))
            own[key] = (key_node, value)
        for source in merged:
            if id(source) in self._open:
                raise self._failure.at(merge_line, "'<<' merges a mapping into itself", "Write the values out.")
            if len(self._open) >= MAX_DEPTH:
                raise self._failure.at(merge_line, f"nested deeper than {MAX_DEPTH} levels", "Flatten the file.")
            self._open.add(id(source))
            for key, key_node, value in self._pairs(source):
                self._count(key_node)
                own.setdefault(key, (key_node, value))
            self._open.discard(id(source))
        return [(key, key_node, value) for key, (key_node, value) in own.items()]

    def _merge_sources(self, key_node: Any, value: Any) -> Iterator[Any]:
        from ruamel.yaml.nodes import MappingNode, SequenceNode

        sources = value.value if isinstance(value, SequenceNode) else [value]
        for source in sources:
            if not isinstance(source, MappingNode) or _tag_of(source) != _TAG + "map":
                raise self._failure.at(
                    _line(key_node), "'<<' merges something that is not a mapping", "Write '<<: *name' of a mapping."
                )
            yield source

    def _key(self, node: Any) -> str:
        from ruamel.yaml.nodes import ScalarNode

        self._count(node)
        key = self._scalar(node) if isinstance(node, ScalarNode) else None
        if key is None:
            raise self._failure.at(_line(node), "a key that is not a text", "Write the key as a word before the colon.")
        return key

    def _duplicate(self, node: Any, key: str, first_line: int) -> SeptumError:
        return self._failure.at(
            _line(node), f"the key {key!r} stands twice, first in line {first_line}", "Keep one of the two lines."
        )

    def _tag_error(self, node: Any, tag: str) -> SeptumError:
        shown = "!!" + tag[len(_TAG) :] if tag.startswith(_TAG) else tag
        return self._failure.at(_line(node), f"the tag {shown!r} is not allowed", "Remove the tag: values are texts.")


def _tag_of(node: Any) -> str:
    return str(node.tag)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
