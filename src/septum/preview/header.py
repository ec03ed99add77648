"""Judge the header of a CI/CD file: `spec` with `inputs`, `component`, `include` and `description`. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/config/header/**`, `lib/gitlab/ci/config/entry/base_input.rb`,
`lib/gitlab/config/entry/validators.rb` and their specs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from septum.preview import features, input_rules, limits, ruby
from septum.preview.features import Feature, Version

TYPES = ("array", "boolean", "number", "string")
"""The types of inputs, in the order in which messages name them."""
COMPONENT_FIELDS = ("name", "sha", "version", "reference")
"""What `spec: component:` may list."""

_SPEC_KEYS: Mapping[str, Feature | None] = {
    "inputs": None,
    "component": features.COMPONENT_CONTEXT,
    "include": features.SPEC_INCLUDE,
    "description": features.SPEC_DESCRIPTION,
}
_INPUT_KEYS: Mapping[str, Feature | None] = {
    "default": None,
    "description": None,
    "options": None,
    "regex": None,
    "type": None,
    "rules": features.INPUT_RULES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a header declares.

    Attributes:
        inputs: What stands under the name of each input; empty mappings where nothing does.
        component: The fields of the component context that blocks may name.
        include: Whether inputs are to be included from other files.
        errors: What GitLab finds wrong, in its order; the rest is only good if there are none.
    """

    inputs: Mapping[str, Mapping[str, object]]
    component: tuple[str, ...]
    include: bool
    errors: tuple[str, ...]


def read_header(header: Mapping[str, object], gitlab: Version) -> Spec:
    """Read a header, and find all that is wrong at the outermost level that has something wrong.

    Args:
        header: The first document of the file.
        gitlab: The version of the server.
    """
    unknown = [key for key in header if key != "spec"]
    if unknown:
        return _refused([f"header config contains unknown keys: {', '.join(unknown)}"])
    spec = {} if header["spec"] is None else header["spec"]
    if not isinstance(spec, dict):
        return _refused(["header:spec config should be a hash"])
    unknown = _unknown(spec, _SPEC_KEYS, gitlab)
    if unknown:
        return _refused([f"header:spec config contains unknown keys: {', '.join(unknown)}"])
    inputs = {} if spec.get("inputs") is None else spec["inputs"]
    fields = [] if spec.get("component") is None else spec["component"]
    errors = [*_inputs_errors(inputs, gitlab), *_component_errors(fields), *_description_errors(spec)]
    if errors or not isinstance(inputs, dict) or not isinstance(fields, list):
        return _refused(errors)
    declared = {name: value if isinstance(value, dict) else {} for name, value in inputs.items()}
    listed = tuple(dict.fromkeys(str(name) for name in fields))
    return Spec(inputs=declared, component=listed, include=bool(spec.get("include")), errors=())


def _refused(errors: list[str]) -> Spec:
    return Spec(inputs={}, component=(), include=False, errors=tuple(errors))


def _unknown(mapping: Mapping[str, object], keys: Mapping[str, Feature | None], gitlab: Version) -> list[str]:
    def known(key: str) -> bool:
        feature = keys.get(key)
        return key in keys and (feature is None or feature.known(gitlab))

    return [key for key in mapping if not known(key)]


def _component_errors(fields: object) -> Iterator[str]:
    where = "header:spec:component config"
    if not isinstance(fields, list):
        yield f"{where} should be an array"
        yield f"{where} should be an array of strings"
        return
    if not all(isinstance(field, str) for field in fields):
        yield f"{where} should be an array of strings"
    unknown = [ruby.to_s(field) for field in fields if field not in COMPONENT_FIELDS]
    if unknown:
        yield f"{where} contains unknown values: {', '.join(unknown)}"


def _description_errors(spec: Mapping[str, object]) -> Iterator[str]:
    description = spec.get("description")
    if description is None:
        return
    if not isinstance(description, str):
        yield "header:spec:description config should be a string"
    elif len(description) > limits.MAX_SPEC_DESCRIPTION:
        yield f"header:spec:description config is too long (maximum is {limits.MAX_SPEC_DESCRIPTION} characters)"


def _inputs_errors(inputs: object, gitlab: Version) -> Iterator[str]:
    if not isinstance(inputs, dict):
        yield "header:spec:inputs config should be a hash"
        return
    for name, value in inputs.items():
        # GitLab takes `name: false` for `name:`, too.
        yield from _input_errors(f"header:spec:inputs:{name}", {} if value in (None, False) else value, gitlab)
    yield from input_rules.reference_errors({name: value for name, value in inputs.items() if isinstance(value, dict)})


def _input_errors(where: str, value: object, gitlab: Version) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} config should be a hash"
        return
    unknown = _unknown(value, _INPUT_KEYS, gitlab)
    if unknown:
        yield f"{where} config contains unknown keys: {', '.join(unknown)}"
    for other in ("options", "default"):
        if "rules" in value and other in value:
            together = ", ".join(key for key in value if key in {"rules", other})
            yield f"{where} config these keys cannot be used together: {together}"
    description = value.get("description")
    if description is not None and (isinstance(description, bool) or not isinstance(description, str | int)):
        yield f"{where} input description must be an alphanumeric string"
    if value.get("regex") is not None and not isinstance(value["regex"], str):
        yield f"{where} input regex should be a string"
    if value.get("type") is not None and ruby.to_s(value["type"]) not in TYPES:
        yield f"{where} input type unknown value: {ruby.to_s(value['type'])}"
    yield from _options_errors(where, value.get("options"))
    if not unknown and value.get("rules") is not None:
        yield from input_rules.rules_errors(where, value["rules"], gitlab)


def _options_errors(where: str, options: object) -> Iterator[str]:
    if options is None:
        return
    if not isinstance(options, list):
        yield f"{where} input options should be an array"
    if isinstance(options, list | dict | str) and len(options) > limits.MAX_OPTIONS:
        yield f"{where} config cannot define more than {limits.MAX_OPTIONS} options"
