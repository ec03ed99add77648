"""The differences in how one file is read: its header, inputs, functions, the component context. Data."""

from __future__ import annotations

from collections.abc import Mapping

from septum.preview.difference import Difference, Expected

_INPUTS = "Inputs"
_COMPONENTS = "Components"
_LIST = "list: {type: array, default: [p, q]}"
_HEADER = "spec:\n  inputs: {INPUTS}\n---\n"


def _file(
    key: str,
    gitlab: str,
    runner: str,
    *,
    source: str,
    header: str,
    script: str,
    there: Expected,
    here: Expected,
    given: Mapping[str, object] | None = None,
    alone: bool = False,
) -> Difference:
    """A file with a header that is included, and prints something of it in a CI job."""
    entry: dict[str, object] = {"local": f"{key}.yml"}
    if given:
        entry["inputs"] = given
    return Difference(
        key=key,
        topic=_INPUTS,
        gitlab=gitlab,
        runner=runner,
        source=source,
        main={"include": [entry]},
        files={f"{key}.yml": f"{header}{key}: {{script: ['{script}']}}\n"},
        there=there,
        here=here,
        view="preview",
        alone=alone,
    )


def _inputs(declared: str) -> str:
    return _HEADER.replace("INPUTS", declared)


def _said(text: str | list[str]) -> dict[str, object]:
    return {"script": [text] if isinstance(text, str) else text}


def _component(
    key: str, fields: str, said: str, gitlab: str, runner: str, *, source: str, there: Expected, here: Expected
) -> Difference:
    body = f"{key}: {{script: ['{said}']}}\n"
    return Difference(
        key=key,
        topic=_COMPONENTS,
        gitlab=gitlab,
        runner=runner,
        source=source,
        main={"include": [{"component": f"$CI_SERVER_FQDN/$CI_PROJECT_PATH/{key}@$CI_COMMIT_SHA"}]},
        files={f"templates/{key}.yml": f"spec:\n  component: {fields}\n---\n{body}"},
        there=there,
        here=here,
        view="preview",
    )


FILES: tuple[Difference, ...] = (
    _file(
        "unknown-input",
        "An input that the header does not have is an error.",
        "It is ignored.",
        source="lib/gitlab/ci/config/interpolation/inputs.rb",
        header=_inputs("a: {default: x}"),
        given={"nope": 1},
        script="true",
        there="nope",
        here=_said("true"),
    ),
    _file(
        "required-input",
        "An input without default must be given.",
        "Only if the body uses it.",
        source="doc/ci/inputs/_index.md",
        header=_inputs("must: {}"),
        script="true",
        there="must",
        here=_said("true"),
    ),
    _file(
        "no-header",
        "A file without header takes no inputs.",
        "They are ignored.",
        source="lib/gitlab/ci/config/interpolation/interpolator.rb",
        header="",
        given={"a": "x"},
        script="true",
        there="Given inputs not defined",
        here=_said("true"),
    ),
    _file(
        "expand-vars",
        "The function `expand_vars` puts in the variable.",
        "It does nothing, with a warning.",
        source="doc/ci/inputs/_index.md, expand_vars",
        header=_inputs("a: {default: $CI_COMMIT_BRANCH}"),
        script="$[[ inputs.a | expand_vars ]]",
        there=_said("main"),
        here=_said("$CI_COMMIT_BRANCH"),
    ),
    _file(
        "truncate",
        "The function `truncate` cuts the value.",
        "It does nothing, with a warning.",
        source="doc/ci/inputs/_index.md, truncate",
        header=_inputs("a: {default: abcdef}"),
        script="$[[ inputs.a | truncate(0,3) ]]",
        there=_said("abc"),
        here=_said("abcdef"),
    ),
    _file(
        "invented-function",
        "A function that does not exist is an error.",
        "It does nothing, with a warning.",
        source="lib/gitlab/ci/config/interpolation/functions_stack.rb",
        header=_inputs("a: {default: x}"),
        script="$[[ inputs.a | invented ]]",
        there="invented",
        here=_said("x"),
    ),
    _file(
        "array-element",
        "`[1]` behind an input takes an element (from 18.11).",
        "It is the whole list.",
        source="doc/ci/inputs/_index.md, Access individual array elements",
        header=_inputs(_LIST),
        script="$[[ inputs.list[1] ]]",
        there=_said("q"),
        here=_said(["p", "q"]),
    ),
    _file(
        "array-in-text",
        "A list inside of a text is written as Ruby writes it, with a space behind the comma.",
        "It is compact JSON.",
        source="lib/gitlab/ci/config/interpolation/template.rb",
        header=_inputs(_LIST),
        script="a $[[ inputs.list ]]",
        there=_said('a ["p", "q"]'),
        here=_said('a ["p","q"]'),
    ),
    _file(
        "unknown-block",
        "A block that begins with neither `inputs.` nor `component.` is an error.",
        "It stays as it is.",
        source="lib/gitlab/ci/config/interpolation/block.rb",
        header=_inputs("a: {default: x}"),
        script="$[[ nope.a ]]",
        there="nope",
        here=_said("$[[ nope.a ]]"),
    ),
    _file(
        "look-ahead",
        "The regular expression of an input is RE2: look-ahead is an error.",
        "It is JavaScript's.",
        source="doc/ci/inputs/_index.md, regex",
        header=_inputs('a: {default: x, regex: "(?=x)x"}'),
        script="$[[ inputs.a ]]",
        there="regular expression",
        here=_said("x"),
    ),
    _file(
        "header-keyword",
        "An unknown keyword below `spec` is an error.",
        "It is ignored.",
        source="lib/gitlab/ci/config/header/spec.rb",
        header="spec:\n  nope: 1\n  inputs: {a: {default: x}}\n---\n",
        script="$[[ inputs.a ]]",
        there="unknown keys: nope",
        here=_said("x"),
    ),
    _file(
        "input-keyword",
        "An unknown keyword of an input is an error.",
        "It is ignored.",
        source="lib/gitlab/ci/config/header/input.rb",
        header=_inputs("a: {default: x, nope: 1}"),
        script="$[[ inputs.a ]]",
        there="unknown keys: nope",
        here=_said("x"),
    ),
    _file(
        "input-rules",
        "`rules` of an input choose its options and default (from 18.7).",
        "They are not known, so the input is missing.",
        source="doc/ci/yaml/_index.md, spec:inputs:rules",
        header=_inputs("a: {rules: [{options: [x, y], default: x}]}"),
        script="$[[ inputs.a ]]",
        there=_said("x"),
        here="required value has not been provided",
        alone=True,
    ),
    _file(
        "number-as-text",
        "Text that is a number is one for an input of type number (from 17.11).",
        "It is an error.",
        source="lib/ci/inputs/number_input.rb",
        header=_inputs("a: {type: number}"),
        given={"a": "7"},
        script="a $[[ inputs.a ]]",
        there=_said("a 7"),
        here="provided value is not a number",
        alone=True,
    ),
    _file(
        "text-from-number",
        "A number is text for an input of type string (from 17.11).",
        "It is an error.",
        source="lib/ci/inputs/string_input.rb",
        header=_inputs("a: {}"),
        given={"a": 7},
        script="a $[[ inputs.a ]]",
        there=_said("a 7"),
        here="provided value is not a string",
        alone=True,
    ),
    _component(
        "component-field",
        "[name]",
        "a $[[ component.sha ]]",
        "A field of the component must be listed in `spec: component`.",
        "It need not.",
        source="doc/ci/yaml/_index.md, spec:component",
        there="component.sha",
        here=_said("a COMMIT"),
    ),
    _component(
        "component-version",
        "[version]",
        "v$[[ component.version ]]",
        "A component that is included by commit has no version.",
        "Its version is the commit.",
        source="doc/ci/yaml/_index.md, spec:component",
        there=_said("v"),
        here=_said("vCOMMIT"),
    ),
)
