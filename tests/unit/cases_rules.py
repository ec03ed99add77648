"""Rules of inputs, and the inputs of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping

from septum.errors import InputError, LimitError
from septum.preview.features import Version
from tests.unit.interpreter_case import DOC_INPUTS, INPUTS, Case, file

BASE = f"{INPUTS}/base_input.rb"
BUILDER_SPEC = "spec/lib/ci/inputs/builder_spec.rb"
EVALUATOR_SPEC = "spec/lib/ci/inputs/rules_evaluator_spec.rb"


def _ruled(
    name: str, source: str, rules: str, given: Mapping[str, object], value: object, *, kind: str = "string"
) -> Case:
    """An input `a` with rules, and an input `b` before it."""
    text = file(f"{{b: {{default: p}}, c: {{type: boolean, default: false}}, a: {{type: {kind}, rules: {rules}}}}}")
    if isinstance(value, dict):
        return Case(name=name, source=source, text=text, given=given, expected=InputError, message=str(value["error"]))
    return Case(name=name, source=source, text=text, given=given, expected={"x": value})


BY_B = """[{if: '$[[ inputs.b ]] == "p"', options: [small, medium], default: small}, \
{if: '$[[ inputs.b ]] == "q"', options: [large], default: large}]"""
WITH_REST = BY_B[:-1] + ", {options: [rest], default: rest}]"

RULES = [
    _ruled("the default of the rule that applies", EVALUATOR_SPEC, BY_B, {}, "small"),
    _ruled("a rule follows a value that is given", BUILDER_SPEC, BY_B, {"b": "q"}, "large"),
    _ruled("an option of the rule that applies", BUILDER_SPEC, BY_B, {"a": "medium"}, "medium"),
    _ruled(
        "an option of another rule",
        BUILDER_SPEC,
        BY_B,
        {"a": "large"},
        {"error": "`large` cannot be used because it is not in the list"},
    ),
    _ruled("no rule applies to text", "gitlab-org/gitlab issue 587643", BY_B, {"b": "z"}, ""),
    _ruled("no rule applies and a value is given", BASE, BY_B, {"b": "z", "a": "anything"}, "anything"),
    _ruled("the rule without a condition", EVALUATOR_SPEC, WITH_REST, {"b": "z"}, "rest"),
    _ruled(
        "the first rule that applies",
        EVALUATOR_SPEC,
        "[{if: '$[[ inputs.b ]]', default: one}, {default: two}]",
        {},
        "one",
    ),
    _ruled(
        "a rule on a truth value",
        f"{DOC_INPUTS}, Use boolean inputs",
        "[{if: '$[[ inputs.c ]] == true', default: t}, {if: '$[[ inputs.c ]] == false', default: f}]",
        {"c": "true"},
        "t",
    ),
    _ruled(
        "a rule compares a truth value with text",
        EVALUATOR_SPEC,
        "[{if: '$[[ inputs.c ]] == \"false\"', default: f}]",
        {},
        "f",
    ),
    _ruled(
        "rules joined by or",
        f"{DOC_INPUTS}, Define conditional input options",
        '[{if: \'$[[ inputs.b ]] == "z" || $[[ inputs.b ]] == "p"\', default: either}]',
        {},
        "either",
    ),
    _ruled(
        "variables are nothing to a rule",
        "lib/ci/inputs/rules_evaluator.rb",
        "[{if: $TEXT, default: seen}, {default: unseen}]",
        {},
        "unseen",
    ),
    _ruled(
        "null as default lets the user enter something",
        f"{DOC_INPUTS}, Allow user-entered values",
        "[{if: '$[[ inputs.b ]] == \"p\"', default: null}]",
        {"a": "free"},
        "free",
    ),
    _ruled(
        "null as default is empty text",
        f"{DOC_INPUTS}, Allow user-entered values",
        "[{if: '$[[ inputs.b ]] == \"p\"', default: null}]",
        {},
        "",
    ),
    _ruled(
        "no rule applies to a truth value",
        "gitlab-org/gitlab issue 588122",
        "[{if: '$[[ inputs.b ]] == \"z\"', default: true}]",
        {},
        {"error": "default value is not a boolean"},
        kind="boolean",
    ),
    _ruled(
        "false as the default of a rule is none",
        "gitlab-org/gitlab issue 588122",
        "[{default: false}]",
        {},
        {"error": "default value is not a boolean"},
        kind="boolean",
    ),
    _ruled(
        "false as text as the default of a rule",
        "gitlab-org/gitlab issue 588122",
        "[{default: 'false'}]",
        {},
        value=False,
        kind="boolean",
    ),
    _ruled(
        "true as the default of a rule",
        "gitlab-org/gitlab issue 588122",
        "[{default: true}]",
        {},
        value=True,
        kind="boolean",
    ),
    _ruled("empty rules make an input mandatory", BASE, "[]", {}, {"error": "required value has not been provided"}),
    Case(
        name="a chain of rules",
        source=BUILDER_SPEC,
        text=file(
            """{env: {default: prod}, region: {rules: [{if: '$[[ inputs.env ]] == "prod"', default: us}]}, \
a: {rules: [{if: '$[[ inputs.region ]] == "us"', default: us-1a}]}}"""
        ),
        expected={"x": "us-1a"},
    ),
    Case(
        name="a rule does not see the default of a later input",
        source=f"{INPUTS}/builder.rb",
        text=file(
            """{a: {rules: [{if: '$[[ inputs.b ]] == "p"', default: seen}, {default: unseen}]}, b: {default: p}}"""
        ),
        expected={"x": "unseen"},
    ),
    Case(
        name="a rule sees the value of a later input",
        source=f"{INPUTS}/builder.rb",
        text=file(
            """{a: {rules: [{if: '$[[ inputs.b ]] == "p"', default: seen}, {default: unseen}]}, b: {default: z}}"""
        ),
        given={"b": "p"},
        expected={"x": "seen"},
    ),
]

TWENTY = {f"i{number}": "v" for number in range(20)}
PIPELINE = [
    Case(
        name="the inputs of a pipeline",
        source=f"{DOC_INPUTS}, For a pipeline",
        text=file("{a: {default: v}}"),
        given={"a": "w"},
        pipeline=True,
        expected={"x": "w"},
    ),
    Case(
        name="an unexpected input of a pipeline",
        source=f"{DOC_INPUTS}, For a pipeline",
        text=file("{a: {default: v}}"),
        given={"b": "w"},
        pipeline=True,
        expected=InputError,
        message="unknown input arguments: b",
    ),
    Case(
        name="the inputs of a pipeline are newer than 17.10",
        source=f"{DOC_INPUTS}, For a pipeline",
        text=file("{a: {default: v}}"),
        given={"a": "w"},
        pipeline=True,
        gitlab=Version(17, 10),
        expected=InputError,
        message="takes no inputs",
    ),
    Case(
        name="twenty inputs of a pipeline",
        source=f"{DOC_INPUTS}, For a pipeline",
        text=file(f"{{{', '.join(f'{name}: ' for name in TWENTY)}}}", "x: $[[ inputs.i19 ]]"),
        given=TWENTY,
        pipeline=True,
        expected={"x": "v"},
    ),
    Case(
        name="twenty-one inputs of a pipeline",
        source=f"{DOC_INPUTS}, For a pipeline",
        text=file(f"{{{', '.join(f'{name}: ' for name in [*TWENTY, 'a'])}}}"),
        given={**TWENTY, "a": "v"},
        pipeline=True,
        expected=LimitError,
        message="a pipeline takes up to 20 inputs",
    ),
    Case(
        name="twenty-one inputs of an included file",
        source=f"{DOC_INPUTS}, For a pipeline",
        text=file(f"{{{', '.join(f'{name}: ' for name in [*TWENTY, 'a'])}}}"),
        given={**TWENTY, "a": "v"},
        expected={"x": "v"},
    ),
]

CASES = [*RULES, *PIPELINE]
