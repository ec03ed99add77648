"""What GitLab takes as a header, and since when."""

from __future__ import annotations

from septum.errors import HeaderError, InputError, InterpolationError
from septum.preview.features import NEWEST, Version
from septum.preview.source import ComponentContext
from tests.unit.interpreter_case import COMPONENT, DOC_INPUTS, DOC_YAML, HEADER, INPUTS, Case, file

ROOT = f"{HEADER}/root.rb"
SPEC = f"{HEADER}/spec.rb"
INPUT = f"{HEADER}/input.rb"
BASE_INPUT = "lib/gitlab/ci/config/entry/base_input.rb"
INPUT_SPEC = "spec/lib/gitlab/ci/config/header/input_spec.rb"
SPEC_SPEC = "spec/lib/gitlab/ci/config/header/spec_spec.rb"
FIELDS = f"{HEADER}/component.rb"
RULE = f"{HEADER}/input/rules/rule.rb"
RULE_SPEC = "spec/lib/gitlab/ci/config/header/input/rules/rule_spec.rb"
VALIDATOR = f"{HEADER}/inputs/validator.rb"
VALIDATOR_SPEC = "spec/lib/gitlab/ci/config/header/inputs/validator_spec.rb"
INTERPOLATOR = "lib/gitlab/ci/config/interpolation/interpolator.rb"
MANY = f"[{', '.join(map(str, range(51)))}]"
FIFTY = f"[{', '.join(map(str, range(50)))}]"


def _bad(name: str, source: str, text: str, message: str, *, gitlab: Version = NEWEST) -> Case:
    return Case(name=name, source=source, text=text, expected=HeaderError, message=message, gitlab=gitlab)


def _component(name: str, fields: str, body: str, value: object) -> Case:
    text = f"spec:\n  component: {fields}\n---\nx: {body}\n"
    return Case(name=name, source=f"{DOC_YAML}, spec:component", text=text, component=COMPONENT, expected={"x": value})


def _rules(name: str, source: str, rules: str, message: str) -> Case:
    return _bad(name, source, file(f"{{a: {{rules: {rules}}}, b: {{default: p}}}}"), message)


KEYS = [
    _bad(
        "an unknown key beside spec",
        ROOT,
        "spec:\nstages: []\n---\na: 1\n",
        "header config contains unknown keys: stages",
    ),
    Case(name="nothing under spec", source=ROOT, text="spec:\n---\na: 1\n", expected={"a": 1}),
    _bad("spec is text", SPEC, "spec: hello\n---\na: 1\n", "header:spec config should be a hash"),
    _bad(
        "an unknown key under spec",
        SPEC_SPEC,
        "spec: {test: 123}\n---\na: 1\n",
        "spec config contains unknown keys: test",
    ),
    Case(name="nothing under inputs", source=SPEC, text="spec:\n  inputs:\n---\na: 1\n", expected={"a": 1}),
    Case(name="an empty mapping of inputs", source=SPEC, text=file("{}", "a: 1"), expected={"a": 1}),
    _bad("inputs are a list", SPEC, file("[a]"), "header:spec:inputs config should be a hash"),
    Case(
        name="nothing under an input",
        source=f"{DOC_INPUTS}, Input configuration",
        text="spec:\n  inputs:\n    a:\n---\nx: $[[ inputs.a ]]\n",
        given={"a": "v"},
        expected={"x": "v"},
    ),
    Case(
        name="false under an input is nothing",
        source="lib/gitlab/config/entry/composable_hash.rb",
        text=file("{a: false}"),
        given={"a": "v"},
        expected={"x": "v"},
    ),
    _bad("an input is text", INPUT, file("{a: hello}"), "header:spec:inputs:a config should be a hash"),
    _bad(
        "an unknown key in an input", INPUT, file("{a: {required: true}}"), "a config contains unknown keys: required"
    ),
    _bad("an unknown type", BASE_INPUT, file("{a: {type: integer}}"), "input type unknown value: integer"),
    Case(
        name="a type without a value",
        source=f"{INPUTS}/builder.rb",
        text=file("{a: {type: }}"),
        expected=InputError,
        message="unknown input specification for `a` (valid types: array, boolean, number, string)",
    ),
    _bad(
        "a description that is a list",
        BASE_INPUT,
        file("{a: {description: []}}"),
        "input description must be an alphanumeric",
    ),
    Case(
        name="a description that is a number",
        source="lib/gitlab/config/entry/validators.rb",
        text=file("{a: {description: 5, default: v}}"),
        expected={"x": "v"},
    ),
    _bad(
        "a description that is a float", BASE_INPUT, file("{a: {description: 5.5}}"), "must be an alphanumeric string"
    ),
    _bad("a regex that is a number", INPUT_SPEC, file("{a: {regex: 5}}"), "input regex should be a string"),
    _bad("options that are text", BASE_INPUT, file("{a: {options: x}}"), "input options should be an array"),
    _bad(
        "more than fifty options", BASE_INPUT, file(f"{{a: {{options: {MANY}}}}}"), "cannot define more than 50 options"
    ),
    Case(
        name="fifty options",
        source=BASE_INPUT,
        text=file(f"{{a: {{options: {FIFTY}, default: 7}}}}"),
        expected={"x": "7"},
    ),
    Case(
        name="up to three errors in one message",
        source=INTERPOLATOR,
        text=file("{a: {x: 1}, b: {x: 1}, c: {x: 1}, d: {x: 1}}"),
        expected=HeaderError,
        message=", ".join(f"header:spec:inputs:{name} config contains unknown keys: x" for name in "abc"),
    ),
    Case(
        name="inputs without a header",
        source=INTERPOLATOR,
        text="a: 1\n",
        given={"a": 1},
        expected=InputError,
        message="Given inputs not defined in the `spec` section",
    ),
    Case(name="no inputs without a header", source=INTERPOLATOR, text="a: 1\n", given={}, expected={"a": 1}),
    Case(
        name="inputs that are no mapping",
        source=INTERPOLATOR,
        text=file("{a: }"),
        given=["a"],  # type: ignore[arg-type]
        expected=InputError,
        message="Given inputs must be a hash",
    ),
]

CONTEXT = [
    _component("the name of a component", "[name]", "$[[ component.name ]]", "submit"),
    _component("the commit of a component", "[sha]", "at $[[ component.sha ]]", f"at {'0' * 40}"),
    _component("the version of a component", "[version]", "$[[ component.version ]]", "1.2.3"),
    _component("the reference of a component", "[reference]", "$[[ component.reference ]]", "1.2"),
    _component("a field listed twice", "[name, name]", "$[[ component.name ]]", "submit"),
    Case(
        name="a version that does not exist is null",
        source=f"{DOC_YAML}, spec:component",
        text="spec:\n  component: [version]\n---\nx: $[[ component.version ]]\ny: v$[[ component.version ]]\n",
        component=ComponentContext(name="submit", sha="0" * 40, version="", reference="main"),
        expected={"x": None, "y": "v"},
    ),
    Case(
        name="a field that is not listed",
        source=INTERPOLATOR,
        text="spec:\n  component: [name]\n---\nx: $[[ component.sha ]]\n",
        component=COMPONENT,
        expected=InterpolationError,
        message="unknown interpolation provided: `sha` in `component.sha`",
    ),
    Case(
        name="the context of a file that is no component",
        source=INTERPOLATOR,
        text="spec:\n  component: [name]\n---\nx: $[[ component.name ]]\n",
        expected=InterpolationError,
        message="unknown interpolation provided: `name` in `component.name`",
    ),
    Case(
        name="the context of a component without a list",
        source=f"{HEADER}/spec.rb",
        text="spec:\n---\nx: $[[ component.name ]]\n",
        component=COMPONENT,
        expected=InterpolationError,
        message="`name` in `component.name`",
    ),
    _bad("an unknown field", FIELDS, "spec: {component: [name, path]}\n---\na: 1\n", "contains unknown values: path"),
    _bad(
        "fields that are text",
        FIELDS,
        "spec: {component: name}\n---\na: 1\n",
        "spec:component config should be an array",
    ),
    _bad("a field that is a number", FIELDS, "spec: {component: [1]}\n---\na: 1\n", "should be an array of strings"),
    Case(name="no fields", source=SPEC_SPEC, text="spec: {component: []}\n---\na: 1\n", expected={"a": 1}),
    _bad(
        "the component context is newer than 18.5",
        f"{DOC_YAML}, spec:component",
        "spec: {component: [name]}\n---\na: 1\n",
        "spec config contains unknown keys: component",
        gitlab=Version(18, 5),
    ),
    Case(
        name="a description of the component",
        source=f"{DOC_YAML}, spec:description",
        text=f"spec: {{description: {'d' * 256}}}\n---\na: 1\n",
        expected={"a": 1},
    ),
    _bad(
        "a long description of the component",
        "gitlab-org/gitlab issue 588286",
        f"spec: {{description: {'d' * 257}}}\n---\na: 1\n",
        "maximum is 256",
    ),
    _bad(
        "the description of the component is newer than 18.9",
        f"{DOC_YAML}, spec:description",
        "spec: {description: d}\n---\na: 1\n",
        "unknown keys: description",
        gitlab=Version(18, 9),
    ),
    Case(
        name="no files of inputs in a component",
        source=f"{DOC_YAML}, spec:include",
        text="spec: {include: [{local: /inputs.yml}]}\n---\na: 1\n",
        component=COMPONENT,
        expected=HeaderError,
        message="`spec:include` cannot be used in a component",
    ),
    _bad(
        "files of inputs are newer than 18.8",
        f"{DOC_YAML}, spec:include",
        "spec: {include: [{local: /inputs.yml}]}\n---\na: 1\n",
        "unknown keys: include",
        gitlab=Version(18, 8),
    ),
]

RULES = [
    _bad(
        "rules are newer than 18.6",
        f"{DOC_YAML}, spec:inputs:rules",
        file("{a: {rules: []}}"),
        "unknown keys: rules",
        gitlab=Version(18, 6),
    ),
    _rules("rules that are text", INPUT_SPEC, "x", "rules config should be an array"),
    _rules("a rule that is text", INPUT_SPEC, "[x]", "should be a hash"),
    _rules("an empty rule", RULE_SPEC, "[{}]", "can't be blank"),
    _rules("an unknown key in a rule", INPUT_SPEC, "[{if: $X, when: never}]", "contains unknown keys: when"),
    _rules("a condition that is none", RULE_SPEC, "[{if: 123, options: [a]}]", "invalid expression syntax"),
    _rules("a condition that cannot be read", RULE, "[{if: '&&&&', default: x}]", "invalid expression syntax"),
    _rules("options of a rule that are text", RULE_SPEC, "[{options: x, default: x}]", "options should be an array"),
    _rules(
        "options without a default",
        RULE_SPEC,
        "[{options: [a, b]}]",
        "must define 'options' with at least one value and a 'default'",
    ),
    _rules("a rule without anything", RULE_SPEC, "[{if: $X}]", "must define 'options' with at least one value"),
    _rules(
        "a default that is not an option",
        RULE_SPEC,
        "[{options: [a], default: c}]",
        "default 'c' must be one of the options",
    ),
    _rules(
        "more than fifty options in a rule",
        RULE_SPEC,
        f"[{{options: {MANY}, default: 1}}]",
        "cannot define more than 50 options",
    ),
    _bad(
        "rules beside options",
        INPUT_SPEC,
        file("{a: {rules: [{default: x}], options: [x]}}"),
        "cannot be used together: rules, options",
    ),
    _bad(
        "rules beside a default",
        INPUT_SPEC,
        file("{a: {rules: [{default: x}], default: x}}"),
        "cannot be used together: rules, default",
    ),
    _rules(
        "a rule that names an unknown input",
        VALIDATOR_SPEC,
        "[{if: '$[[ inputs.no ]] == \"x\"', default: x}]",
        "rule[0] references undefined inputs: no",
    ),
    _rules(
        "a rule that names itself",
        VALIDATOR_SPEC,
        "[{if: '$[[ inputs.a ]] == \"x\"', default: x}]",
        "circular dependency detected",
    ),
    _bad(
        "rules that name each other",
        VALIDATOR,
        file("{a: {rules: [{if: '$[[ inputs.b ]]', default: x}]}, b: {rules: [{if: '$[[ inputs.a ]]', default: x}]}}"),
        "circular dependency detected",
    ),
]

CASES = [*KEYS, *CONTEXT, *RULES]
