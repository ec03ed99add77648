"""Turn a tree of texts into a frozen, typed value, and say everything that is wrong with it at once.

The tree comes from `yamltext`, where all scalars are texts; pydantic reads them as the types of the model.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from septum.units import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from septum.errors import SeptumError
    from septum.yamltext import KeyPath

_SHOWN_CHARACTERS = 60
_FEW = 12


def kebab(name: str) -> str:
    """The key of a field in YAML: `max_jobs` is `max-jobs`."""
    return name.replace("_", "-")


class Model(BaseModel):
    """The base of everything that is read from YAML: frozen, no unknown keys, kebab-case keys."""

    # By name too, so that Python code can build values; `validate` accepts the kebab-case keys only.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=kebab,
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
    )


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _bytes(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


Duration = Annotated[int, BeforeValidator(_seconds, json_schema_input_type=str)]
"""Seconds; written as `30 s`, `15 min`, `2 h`."""
Size = Annotated[int, BeforeValidator(_bytes, json_schema_input_type=str)]
"""Bytes; written as `2 GB`."""


class Source(Protocol):
    """A tree of texts that knows where each key comes from; `yamltext.Document` is one."""

    @property
    def name(self) -> str:
        """What messages call the whole."""

    @property
    def data(self) -> Any:
        """The tree."""

    def where(self, path: KeyPath) -> str:
        """The place of a key, such as `septum.yaml:12`."""


M = TypeVar("M", bound=Model)


def validate(model: type[M], document: Source, *, error: type[SeptumError], fix: str = "") -> M:
    """Read a document as a value of a model.

    Args:
        model: The class of the value.
        document: The tree of texts, and where each key stands.
        error: The class of the error.
        fix: Ends the message; a general sentence by default.

    Returns:
        The frozen value.

    Raises:
        SeptumError: Of the given class, one for all problems.
    """
    value, details = None, []
    try:
        value = model.model_validate(document.data, by_alias=True, by_name=False)
    except ValidationError as err:
        details = err.errors(include_url=False)
    lines = _problems(model, document, details)
    if value is not None and not lines:
        return value
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    raise error(f"{document.name}: {count}", evidence="\n".join(lines), fix=fix or "Correct the keys named above.")


def _problems(model: type[Model], document: Source, details: Sequence[ErrorDetails]) -> list[str]:
    """Translate pydantic's errors, and add those that it does not see.

    Returns:
        One line a problem, `file:line: key.path: problem`.
    """
    odd = list(_odd_booleans(model, document.data, ()))
    found = _best_branches([_located(model, document, detail) for detail in details])
    found = [p for p in found if p.path not in odd]
    found += [
        _Problem(path, {}, f"write true or false, not {_show_value(_at(document.data, path))}", "") for path in odd
    ]
    merged: dict[tuple[KeyPath, str], list[str]] = {}
    for problem in found:
        merged.setdefault((problem.path, problem.wanted and "wanted"), []).append(problem.wanted or problem.text)
    lines = []
    for (path, kind), texts in merged.items():
        unique = list(dict.fromkeys(texts))
        shown = _show_path(path)
        if kind:
            got = _show_value(_at(document.data, path))
            unique = [f"expected {_either(unique)}, got {got}"]
        lines += [f"{document.where(path)}: {shown}{text}" for text in unique]
    return lines


class _Problem:
    """One error of pydantic, with labels of union branches taken out of its path."""

    def __init__(self, path: KeyPath, branches: dict[KeyPath, str], text: str, wanted: str) -> None:
        self.path = path
        self.branches = branches  # where a union stands, and which of its types this error speaks of
        self.text = text
        self.wanted = wanted  # "a whole number" if the type is wrong, to be joined over the branches


def _located(model: type[Model], document: Source, detail: ErrorDetails) -> _Problem:
    path, branches, parent = _walk(model, detail["loc"])
    if detail["type"] == "missing":
        return _Problem(path, branches, "required, and not there", "")
    if detail["type"] == "extra_forbidden":
        return _Problem(path, branches, "unknown key; " + _nearest(str(path[-1]), _keys_of(parent)), "")
    wanted = _WANTED.get(detail["type"], "")
    return _Problem(path, branches, "" if wanted else _explain(detail, _at(document.data, path)), wanted)


def _walk(model: type[Model], loc: tuple[int | str, ...]) -> tuple[KeyPath, dict[KeyPath, str], list[Any]]:
    """Follow an error's location through the annotations of a model.

    Returns:
        The path of keys and indices; the union branches on the way; the annotations of the last key's parent.
    """
    path: list[str | int] = []
    branches: dict[KeyPath, str] = {}
    here: list[Any] = [model]
    parent: list[Any] = here
    for element in loc:
        members = [member for annotation in here for member in _members(annotation)]
        # A key of a model or of a mapping, or an index. If none fits, the element is the label of a union's branch.
        label = len(members) > 1 and tuple(path) not in branches
        if label:
            branches[tuple(path)] = str(element)
            here = [m for m in members if _label_fits(m, str(element))] or members
            continue
        if element == "[key]":
            continue
        below = [step for member in members for step in _below(member, element)]
        if not below and not any(_is_container(member) for member in members):
            continue
        parent, here = members, below
        path.append(element)
    return tuple(path), branches, parent


def _members(annotation: Any) -> list[Any]:
    """The types that an annotation allows, without None and without `Annotated`."""
    origin = get_origin(annotation)
    if origin is Union or origin is types.UnionType:
        return [m for arg in get_args(annotation) if arg is not type(None) for m in _members(arg)]
    if hasattr(annotation, "__metadata__"):
        return _members(annotation.__origin__)
    return [annotation]


def _label_fits(annotation: Any, label: str) -> bool:
    name = getattr(get_origin(annotation) or annotation, "__name__", "")
    if label == name or label.startswith(f"{name}[") or f"{name}[" in label or f", {name}" in label:
        return True
    if _is_model(annotation):  # the tag of a discriminated union
        return any(
            label in map(str, get_args(f.annotation))
            for f in annotation.model_fields.values()
            if get_origin(f.annotation) is Literal
        )
    return False


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_container(annotation: Any) -> bool:
    return _is_model(annotation) or get_origin(annotation) in {list, tuple, set, frozenset, dict, Mapping, Sequence}


def _below(annotation: Any, element: int | str) -> list[Any]:
    """The annotations of one key or index of a container."""
    if _is_model(annotation):
        fields = annotation.model_fields
        return [f.annotation for name, f in fields.items() if element in {f.alias, name}]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in {dict, Mapping} and args:
        return [args[1]]
    if origin in {list, tuple, set, frozenset, Sequence} and args and isinstance(element, int):
        return [args[element] if origin is tuple and len(args) > element and args[-1] is not Ellipsis else args[0]]
    return []


def _keys_of(annotations: Sequence[Any]) -> list[str]:
    return [f.alias or n for a in annotations if _is_model(a) for n, f in a.model_fields.items()]


def _best_branches(found: list[_Problem]) -> list[_Problem]:
    """Drop what the wrong branches of a union say: those where already the kind of value does not fit.

    The branch that got furthest is the one that the user meant.
    """
    kept = found
    for union in sorted({path for problem in found for path in problem.branches}, key=len):
        inside = [p for p in kept if union in p.branches]
        rejected = {p.branches[union] for p in inside if p.path == union and p.wanted}
        if rejected != {p.branches[union] for p in inside}:
            kept = [p for p in kept if union not in p.branches or p.branches[union] not in rejected]
    return kept


_WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping (keys with values)",
    "mapping_type": "a mapping (keys with values)",
    "model_type": "a mapping (keys with values)",
    "model_attributes_type": "a mapping (keys with values)",
    "none_required": "nothing",
    "date_type": "a date such as 2026-11-22",
    "date_parsing": "a date such as 2026-11-22",
    "date_from_datetime_parsing": "a date such as 2026-11-22",
    "date_from_datetime_inexact": "a date such as 2026-11-22",
}

_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}

_LENGTHS = {
    "string_too_short": ("at least", "min_length", "characters"),
    "string_too_long": ("at most", "max_length", "characters"),
    "too_short": ("at least", "min_length", "entries"),
    "too_long": ("at most", "max_length", "entries"),
}


def _explain(detail: ErrorDetails, value: object) -> str:  # noqa: PLR0911 - a table of kinds
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {context[key]}, got {_show_value(value)}"
    if kind in _LENGTHS:
        words, key, unit = _LENGTHS[kind]
        number = context[key]
        if number == 1 and words == "at least":
            return "must not be empty"
        return f"must have {words} {number} {unit}, has {context.get('actual_length', _length(value))}"
    if kind in {"literal_error", "enum"}:
        allowed = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        near = difflib.get_close_matches(str(value), allowed, 1) if isinstance(value, str) else []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"expected {_either([repr(word) for word in allowed])}, got {_show_value(value)}{hint}"
    if kind == "string_pattern_mismatch":
        return f"{_show_value(value)} does not have the form {context['pattern']}"
    if kind in {"value_error", "assertion_error"}:
        return str(context.get("error", detail["msg"]))
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        tags = f" with one of: {context['expected_tags']}" if "expected_tags" in context else ""
        return f"needs the key {context['discriminator']}{tags}"
    return detail["msg"][:1].lower() + detail["msg"][1:]


def _length(value: object) -> object:
    return len(value) if isinstance(value, (str, list, dict)) else "other"


def _nearest(key: str, keys: Sequence[str]) -> str:
    near = did_you_mean(kebab(key), keys)
    if near:
        return near
    known = sorted(set(keys))
    return ("the keys here: " + ", ".join(known)) if 0 < len(known) <= _FEW else "no key has a name like it"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """The sentence `did you mean 'x'?` with the nearest of the known words, or nothing when nothing is near."""
    lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(word.lower(), list(lower), 1, cutoff=0.6)
    return f"did you mean {lower[near[0]]!r}?" if near else ""


def _at(tree: Any, path: KeyPath) -> Any:
    for element in path:
        if isinstance(tree, dict):
            tree = tree.get(element)
        elif isinstance(tree, list) and isinstance(element, int) and element < len(tree):
            tree = tree[element]
        else:
            return None
    return tree


def _show_path(path: KeyPath) -> str:
    text = ""
    for element in path:
        text += f"[{element}]" if isinstance(element, int) else f".{element}" if text else element
    return f"{text}: " if text else ""


def _show_value(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    text = str(value)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" or {words[-1]}"


def _odd_booleans(annotation: Any, value: object, path: KeyPath) -> Iterator[KeyPath]:
    """Find what pydantic would read as true or false although it is neither: `yes`, `on`, `1`, `t`."""
    members = _members(annotation)
    if isinstance(value, (list, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            for below in [step for member in members for step in _below(member, key)]:
                yield from _odd_booleans(below, item, (*path, key))
    elif members == [bool] and isinstance(value, str) and value not in {"true", "false"}:
        yield path
