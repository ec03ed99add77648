"""Give every input its value: what was passed or the default, of the right type, allowed by options and regex. Pure.

Behaviour: gitlabhq `lib/ci/inputs/**`, `lib/gitlab/ci/config/interpolation/inputs.rb`, `lib/gitlab/json.rb` and specs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from septum.preview import features, input_rules, ruby
from septum.preview.features import Version
from septum.preview.header import TYPES
from septum.preview.re2 import compile_re2
from septum.preview.source import Reference

# GitLab does not stop here: it writes its own innards into the pipeline.
_REFERENCE = "the value contains a `!reference`, which GitLab does not resolve in inputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The inputs of a file.

    Attributes:
        values: The value of each input, in the order of the header.
        errors: What GitLab finds wrong, in its order; the values are only good if there are none.
    """

    values: Mapping[str, object]
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    """One input and the rule that applies to it."""

    name: str
    kind: str
    spec: Mapping[str, object]
    rule: Mapping[str, object]
    gitlab: Version

    @property
    def required(self) -> bool:
        """Whether a value must be passed."""
        return "default" not in self.spec and not input_rules.has_default(self.spec.get("rules"))

    @property
    def default(self) -> object:
        """The default of the rule, unless it is null or false, for which GitLab looks into the input itself."""
        chosen = self.rule.get("default")
        value = self.spec.get("default") if chosen is None or chosen is False else chosen
        return _with_text_keys(value) if features.INPUT_RULES.known(self.gitlab) else value

    @property
    def options(self) -> object:
        """The options of the rule, or else of the input itself."""
        chosen = self.rule.get("options")
        return self.spec.get("options") if chosen is None or chosen is False else chosen


def resolve(specs: Mapping[str, Mapping[str, object]], given: Mapping[str, object], gitlab: Version) -> Resolved:
    """Give every input of a file its value.

    Args:
        specs: What the header says of each input.
        given: What was passed.
        gitlab: The version of the server.
    """
    passed = {ruby.to_s(name): value for name, value in given.items()}
    values: dict[str, object] = {}
    errors: list[str] = []
    for name, spec in specs.items():
        kind = _kind(spec)
        if kind is None:
            errors.append(f"unknown input specification for `{name}` (valid types: {', '.join(TYPES)})")
            continue
        rule = input_rules.matching(spec.get("rules"), {**passed, **values}, gitlab)
        declared = _Input(name=name, kind=kind, spec=spec, rule=rule, gitlab=gitlab)
        value = passed.get(name)
        if _has_reference(declared.default) or _has_reference(value):
            errors.append(f"`{name}` input: {_REFERENCE}")
            continue
        errors += [f"`{name}` input: {error}" for error in _errors(declared, value)]
        values[name] = _coerce(declared, declared.default if value is None else value)
    unknown = [name for name in passed if name not in specs or _kind(specs[name]) is None]
    if unknown:
        errors.insert(0, f"unknown input arguments: {', '.join(unknown)}")
    return Resolved(values=values, errors=tuple(errors))


def _kind(spec: Mapping[str, object]) -> str | None:
    """The type; None for `type:` with nothing behind it, which GitLab lets pass in the header and not here."""
    kind = spec.get("type", "string")
    return kind if isinstance(kind, str) else None


def _has_reference(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_reference(item) for item in value.values())
    return any(map(_has_reference, value)) if isinstance(value, list) else isinstance(value, Reference)


def _errors(declared: _Input, given: object) -> Iterator[str]:
    """The default is judged even if a value is passed."""
    if declared.required:
        if given is None:
            yield "required value has not been provided"
            return
    else:
        yield from _value_errors(declared, _coerce(declared, declared.default), "default")
    if given is not None:
        yield from _value_errors(declared, _coerce(declared, given), "provided")


def _value_errors(declared: _Input, value: object, which: str) -> Iterator[str]:
    if not _fits(declared.kind, value):
        article = "an" if declared.kind == "array" else "a"
        yield f"{which} value is not {article} {declared.kind}"
    yield from _option_errors(declared, value)
    if "regex" in declared.spec:
        if declared.kind != "string":
            yield "RegEx validation can only be used with string inputs"
        elif isinstance(value, str):
            yield from _regex_errors(declared.spec["regex"], value, which)


def _fits(kind: str, value: object) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str if kind == "string" else list)


def _option_errors(declared: _Input, value: object) -> Iterator[str]:
    options = declared.options
    with_options = {"string", "number"} | ({"array"} if features.ARRAY_OPTIONS.known(declared.gitlab) else set())
    if declared.kind not in with_options:
        # GitLab looks at the options of the input itself here, not at those of a rule.
        if declared.spec.get("options") is not None:
            yield "Options can only be used with string and number inputs"
        return
    if not isinstance(options, list) or value is None or value is False:
        return
    if declared.kind == "array":
        missing = [item for item in value if not input_rules.contains(options, item)] if isinstance(value, list) else []
        if missing:
            listed = ", ".join(ruby.to_s(item) for item in missing)
            yield f"{listed} cannot be used because it is not in the list of allowed options"
        return
    if declared.kind == "string" and features.COERCION.known(declared.gitlab):
        options = [ruby.to_s(option) for option in options]
    if not input_rules.contains(options, value):
        the = "the " if declared.kind == "number" else ""
        yield f"`{ruby.to_s(value)}` cannot be used because it is not in the list of {the}allowed options"


def _regex_errors(regex: object, value: str, which: str) -> Iterator[str]:
    try:
        pattern = compile_re2(ruby.to_s(regex))
    except ValueError:
        yield "invalid regular expression"
        return
    if not pattern.search(value):
        yield f"{which} value does not match required RegEx pattern"


def _coerce(declared: _Input, value: object) -> object:
    """Text for other types is read as JSON, and whatever is passed for text becomes text."""
    if not features.COERCION.known(declared.gitlab):
        return value
    if declared.kind == "string":
        return ruby.to_s(value)
    if not isinstance(value, str):
        return value
    try:
        parsed: object = json.loads(value, object_hook=ruby.JsonKeys, parse_constant=_not_json)
        # Half of a pair of surrogates is no text, and GitLab's parser says so.
        json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return value
    return parsed


def _not_json(name: str) -> object:
    raise ValueError(name)


def _with_text_keys(value: object) -> object:
    """What GitLab makes of a default since inputs have rules: the keys of mappings are text."""
    if isinstance(value, dict):
        return ruby.TextKeys({key: _with_text_keys(item) for key, item in value.items()})
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value
