"""Two schemas judge every component: GitLab's own the header and the pipeline, ours what is passed as `inputs:`."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from septum.components import catalog
from septum.components.model import Component, Deprecation, Input
from septum.components.render import parse
from septum.components.schema import DRAFT, inputs_schema
from septum.errors import PreviewError
from septum.preview.source import ComponentContext, Source, expand
from tests.previewing import schema_errors

ROOT = Path(__file__).parents[2]
CONTEXT = ComponentContext(name="c", sha="0" * 40, version="", reference="main")
# Components share most of their inputs; each is tried once.
INPUTS = {
    (entry.name, entry.type, entry.default, entry.regex, entry.options): pytest.param(
        item, entry, id=f"{item.name}-{entry.name}"
    )
    for item in catalog.COMPONENTS
    for entry in item.inputs
}
COMPONENTS = pytest.mark.parametrize("item", catalog.COMPONENTS, ids=lambda item: item.name)
EVERY_INPUT = pytest.mark.parametrize(("item", "entry"), INPUTS.values())


@cache
def _text(item: Component) -> str:
    return (ROOT / "templates" / f"{item.name}.yml").read_text(encoding="utf-8")


@cache
def _header(item: Component) -> Any:
    header, _ = parse(_text(item), item.name)
    return header


# ── GitLab's own schema ─────────────────────────────────────────────────────────────────────────────────────────


def _some_value(entry: Input) -> Any:
    """The default, or something for an input that has none."""
    if entry.default is None:
        return {"number": 1, "boolean": True, "array": ["x"]}.get(entry.type, "x")
    return list(entry.default) if isinstance(entry.default, tuple) else entry.default


def _rounds(item: Component) -> list[dict[str, Any]]:
    """The defaults, then so many sets of values that every option of every input is in one of them."""
    usual = {entry.name: _some_value(entry) for entry in item.inputs}
    choices = {
        entry.name: [True, False] if entry.type == "boolean" else list(entry.options)
        for entry in item.inputs
        if entry.options or entry.type == "boolean"
    }
    count = max((len(options) for options in choices.values()), default=0)
    turns = {name: list(islice(cycle(options), count)) for name, options in choices.items()}
    return [usual, *({**usual, **{name: turn[number] for name, turn in turns.items()}} for number in range(count))]


@COMPONENTS
def test_gitlabs_own_schema_accepts_the_header(item: Component) -> None:
    """As the first document of a file."""
    assert _header(item).keys() == {"spec"}
    assert schema_errors({"spec": _header(item)["spec"]}) == []


@COMPONENTS
def test_gitlabs_own_schema_accepts_the_pipeline_of_every_option(item: Component) -> None:
    """What the interpreter of GitLab's rules makes of the defaults, and of every option."""
    for values in _rounds(item):
        body = expand(Source(name=item.name, text=_text(item), component=CONTEXT), values, {})

        assert schema_errors(body) == [], values
        assert "$[[" not in json.dumps(body)


@pytest.mark.parametrize(
    "broken",
    [{"spec": {"inputs": {"a": {"type": "text"}}}}, {"spec": {"inputs": {"a": {"regex": 1}}}},
     {"job": {"script": ["x"], "retry": {"max": 3}}}, {"job": {"script": ["x"], "alow_failure": True}},
     {"job": {"script": ["x"], "artifacts": {"access": "everybody"}}}, {"job": {"script": 1}}],
)  # fmt: skip
def test_the_schema_finds_what_is_wrong(broken: object) -> None:
    """It is no rubber stamp."""
    assert schema_errors(broken) != []


# ── our schema of the inputs ────────────────────────────────────────────────────────────────────────────────────


@cache
def _checker(item: Component) -> Draft202012Validator:
    return Draft202012Validator(inputs_schema(item))


def _accepted(item: Component, values: dict[str, Any]) -> bool:
    return bool(_checker(item).is_valid(values))


def _expands(item: Component, values: dict[str, Any], *names: str) -> bool:
    """Whether GitLab takes the values; of the header, only the inputs of these names are there, or all.

    A small body stands for the real one, which has no say in it.
    """
    inputs = {name: entry for name, entry in _header(item)["spec"]["inputs"].items() if not names or name in names}
    header = json.dumps({"spec": {"inputs": inputs}})
    try:
        expand(Source(name="c", text=f"{header}\n---\njob: {{script: [x]}}\n", component=CONTEXT), values, {})
    except PreviewError:
        return False
    return True


def _alike(item: Component, entry: Input, value: object) -> bool:
    """What both schema and GitLab say of a value."""
    alone = replace(item, inputs=(entry,))
    verdicts = _accepted(alone, {entry.name: value}), _expands(item, {entry.name: value}, entry.name)
    assert verdicts[0] == verdicts[1], f"{entry.name}: {value!r}: the schema says {verdicts[0]}, GitLab {verdicts[1]}"
    return verdicts[0]


def _needed(item: Component) -> dict[str, Any]:
    return {entry.name: _some_value(entry) for entry in item.inputs if entry.default is None}


@COMPONENTS
def test_the_schema_of_the_inputs_is_a_schema(item: Component) -> None:
    """Of the draft that it names, with every input, its description and its default, and nothing else."""
    schema = inputs_schema(item)

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DRAFT
    assert list(schema["properties"]) == [entry.name for entry in item.inputs]
    assert schema["additionalProperties"] is False
    for entry in item.inputs:
        assert schema["properties"][entry.name]["description"].startswith(entry.description)
        assert ("default" in schema["properties"][entry.name]) == (entry.name not in schema["required"])


@COMPONENTS
def test_defaults_and_no_inputs_are_accepted_by_both(item: Component) -> None:
    """And an unknown input by neither."""
    whole = {entry.name: _some_value(entry) for entry in item.inputs}

    for values, fits in ((whole, True), (_needed(item), True), ({**whole, "unknown": "x"}, False)):
        assert (_accepted(item, values), _expands(item, values)) == (fits, fits)


WRONG: dict[str, list[object]] = {
    "number": ["many", "", "6 h", "0x6", True, [1], {"a": 1}, "[1]", "1_000"],
    "boolean": ["yes", "True", "", 1, 0, "on", [True], {"a": True}],
    "array": ["x", "", 1, True, {"a": 1}, "{}", "a, b"],
    "string": [],
}
RIGHT: dict[str, list[object]] = {
    "number": [6, "6", 2.5, "-1", "1e3"],
    "boolean": [True, False, "true", "false"],
    "array": [[], ["x"], [1, {"a": "b"}], "[]", '["x"]'],
    "string": [],
}


@EVERY_INPUT
def test_a_value_of_the_wrong_type_is_refused_by_both(item: Component, entry: Input) -> None:
    """And one of the right type accepted, as it stands in YAML with and without quotes."""
    assert [value for value in WRONG[entry.type] if _alike(item, entry, value)] == []
    right = [] if entry.options else RIGHT[entry.type]
    assert [value for value in right if not _alike(item, entry, value)] == []


@EVERY_INPUT
def test_options_are_accepted_by_both_and_nothing_else_is(item: Component, entry: Input) -> None:
    """In every way to write them."""
    forms = {form for option in entry.options for form in (option, str(option))}
    others = ["no such", "", "x", 17, 1.5, "17", True] if entry.options else []

    assert [form for form in forms if not _alike(item, entry, form)] == []
    assert [other for other in others if _alike(item, entry, other)] == []


TEXTS = ["", " ", "a", "a b", "-rf", "--", "../x", "/etc/passwd", "a/b.yaml", "infn-af", "$HOME", "${A}/b:c", "$(id)"]
TEXTS += [
    "`id`",
    "a;b",
    "a|b",
    "a&b",
    "'a'",
    '"a"',
    "a#b",
    "#",
    "]] ",
    "[[",
    "{}",
    "[]",
    "null",
    "~",
    "true",
    "1",
    "01",
]
TEXTS += [
    "ünï ☃",
    "\\0",
    "a\\",
    "%PATH%",
    "a\tb",
    "first\nsecond",
    "\nafter",
    "a" * 32,
    "a" * 33,
    "x" * 10_000,
    "&a",
    "*a",
]


@EVERY_INPUT
def test_texts_are_judged_alike(item: Component, entry: Input) -> None:
    """Forms, as GitLab's expressions and as the schema's patterns; without blocks, which are judged later."""
    verdicts = [_alike(item, entry, text) for text in TEXTS] if entry.type == "string" else []

    assert all(verdicts) == ((entry.regex is None and not entry.options) or entry.type != "string")


@pytest.mark.parametrize("value", ["$[[ inputs.mine ]]", "a-$[[ inputs.mine | truncate(0, 3) ]]"])
@pytest.mark.parametrize("kind", ["string", "number", "boolean", "array"])
def test_a_block_is_accepted_everywhere(kind: Any, value: str) -> None:
    """An editor sees the file before GitLab puts the pipeline's own inputs in."""
    item = _one(type=kind, default=None, regex="^x$" if kind == "string" else None)

    assert _accepted(item, {"one": value})


def _one(**changed: Any) -> Component:
    return Component(name="c", summary="A c.", inputs=(Input(name="one", description="One.", **changed),), jobs=())


def test_what_must_be_given_is_required() -> None:
    """Nothing behind the colon is nothing."""
    assert not _accepted(_one(), {})
    assert not _accepted(_one(), {"one": None})
    assert _accepted(_one(default="x"), {"one": None})


def test_a_list_for_a_text_is_refused_although_gitlab_takes_it() -> None:
    """The one place where the schema is stricter: GitLab would write the list as a text."""
    assert not _accepted(_one(default="x"), {"one": ["a"]})
    assert not _accepted(_one(default="x"), {"one": {"a": "b"}})


def test_an_option_that_looks_like_a_truth_value_may_stand_without_quotes() -> None:
    """YAML makes one of it, GitLab a text."""
    item = _one(default="true", options=("true", "maybe", "07"))

    assert [value for value in (True, "true", "maybe", "07") if not _accepted(item, {"one": value})] == []
    assert [value for value in (False, "false", 7, "7", 1) if _accepted(item, {"one": value})] == []


def test_a_deprecated_input_says_so() -> None:
    """Editors strike it through."""
    going = Deprecation(since="1.2", removal="2.0", instead="Write `two`.")
    made = inputs_schema(_one(default="x", deprecated=going))["properties"]["one"]

    assert made["deprecated"] is True
    assert made["description"] == "One. Deprecated since 1.2, goes with 2.0. Write `two`."


def test_patterns_mean_the_same_in_gitlab_and_in_editors() -> None:
    """RE2 and JavaScript agree on what both have; the forms use nothing else."""
    forms = {entry.regex for item in catalog.COMPONENTS for entry in item.inputs if entry.regex}

    assert forms
    assert [form for form in forms if re.search(r"\\[AzZQEpPC]|\(\?(?!:)|\[\[:", form)] == []
