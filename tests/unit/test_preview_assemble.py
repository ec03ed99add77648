"""Merging, `extends`, `!reference`, `default` and `inherit`, case by case as GitLab has them."""

from __future__ import annotations

from typing import Any

import pytest

from septum.errors import LimitError, PipelineError
from septum.preview.assemble import (
    assemble,
    deep_merge,
    defaults_of,
    inherited_variables,
    stages_of,
    with_defaults,
)
from septum.preview.documents import read_documents
from septum.preview.features import NEWEST
from tests.previewing import schema_errors

INCLUDES = "doc/ci/yaml/includes.md"
OPTIMIZE = "doc/ci/yaml/yaml_optimization.md"
YAML = "doc/ci/yaml/_index.md"
EXTENDABLE = "gitlabhq lib/gitlab/ci/config/extendable/entry.rb"
TAGS = "gitlabhq lib/gitlab/ci/config/yaml/tags"
ENTRY = "gitlabhq lib/gitlab/ci/config/entry"


def _read(text: str) -> dict[str, Any]:
    return read_documents(text, NEWEST).body


def _assembled(text: str) -> dict[str, Any]:
    return assemble(_read(text))


# ── merging ─────────────────────────────────────────────────────────────────────────────────────────────────────

MERGES = [
    ("a: {b: 1}", "a: {c: 2}", {"a": {"b": 1, "c": 2}}, f"{INCLUDES}: both are hash maps"),
    ("a: {b: {c: 1, d: 1}}", "a: {b: {d: 2}}", {"a": {"b": {"c": 1, "d": 2}}}, f"{INCLUDES}: at any depth"),
    ("a: {b: [1, 2]}", "a: {b: [3]}", {"a": {"b": [3]}}, f"{INCLUDES}: arrays are replaced"),
    ("a: {b: 1}", "a: text", {"a": "text"}, f"{INCLUDES}: one is no hash map"),
    ("a: text", "a: {b: 1}", {"a": {"b": 1}}, f"{INCLUDES}: nor the other"),
    ("a: {b: 1}", "a:", {"a": None}, "ActiveSupport deep_merge: null is a value"),
    ("a: 1", "b: 2", {"a": 1, "b": 2}, f"{INCLUDES}: only in one of them"),
]


@pytest.mark.parametrize(("base", "over", "expected", "source"), MERGES, ids=[case[3] for case in MERGES])
def test_two_files_merge_as_gitlab_merges_them(base: str, over: str, expected: dict[str, Any], source: str) -> None:
    """Deep for mappings, and nothing else."""
    assert deep_merge(_read(base), _read(over)) == expected


def test_merging_keeps_the_order_and_changes_no_argument() -> None:
    """The order of the CI jobs in a stage follows from it."""
    base, over = {"a": {"x": 1}, "b": 1}, {"c": 1, "a": {"y": 2}}

    merged = deep_merge(base, over)

    assert list(merged) == ["a", "b", "c"]
    assert (base, over) == ({"a": {"x": 1}, "b": 1}, {"c": 1, "a": {"y": 2}})


# ── extends ─────────────────────────────────────────────────────────────────────────────────────────────────────

EXTENDS = [
    (
        ".t: {script: [a], stage: b, only: {refs: [tags]}}\nrspec: {extends: .t, script: [x], only: {variables: [$R]}}",
        {"stage": "b", "script": ["x"], "only": {"refs": ["tags"], "variables": ["$R"]}},
        f"{YAML}, extends: hashes merge, arrays do not",
    ),
    (
        ".a: {variables: {A: 1, B: 1}}\n.b: {variables: {B: 2, C: 2}}\nrspec: {extends: [.a, .b], variables: {C: 3}}",
        {"variables": {"A": 1, "B": 2, "C": 3}},
        f"{OPTIMIZE}: the last of several wins",
    ),
    (
        ".a: {image: x, tags: [t]}\n.b: {extends: .a, image: y}\nrspec: {extends: .b, script: [s]}",
        {"image": "y", "tags": ["t"], "script": ["s"]},
        f"{OPTIMIZE}: several levels",
    ),
    (
        "base: {script: [s], image: x}\nrspec: {extends: base, image: null}",
        {"script": ["s"], "image": None},
        f"{YAML}: null removes a keyword",
    ),
]


@pytest.mark.parametrize(("text", "expected", "source"), EXTENDS, ids=[case[2] for case in EXTENDS])
def test_a_ci_job_extends_others(text: str, expected: dict[str, Any], source: str) -> None:
    """What is written in the CI job itself wins."""
    found = dict(_assembled(text)["rspec"])
    found.pop("extends")

    assert found == expected


def _chain(length: int) -> str:
    links = [f".a{level}: {{extends: .a{level + 1}}}" for level in range(length)]
    return "\n".join([*links, f".a{length}: {{script: [deep]}}"])


def test_extends_goes_eleven_levels_deep_and_no_deeper() -> None:
    """doc/ci/yaml/_index.md, extends; gitlabhq lib/gitlab/ci/config/extendable/entry.rb."""
    assert _assembled(_chain(11))[".a0"]["script"] == ["deep"]

    with pytest.raises(PipelineError, match=r"nesting too deep in `extends`"):
        _assembled(_chain(12))


def test_the_depth_counts_from_whichever_end_is_read_first() -> None:
    """The order in the file changes nothing."""
    lines = _chain(12).splitlines()

    with pytest.raises(PipelineError, match="nesting too deep"):
        _assembled("\n".join(reversed(lines)))


EXTENDS_ERRORS = [
    ("a: {extends: .b}", "a: unknown keys in `extends` (.b)", EXTENDABLE),
    ("a: {extends: [.b, .c]}\n.b: {}", "a: unknown keys in `extends` (.c)", EXTENDABLE),
    ("a: {extends: .b}\n.b: text", "a: invalid base hashes in `extends` (.b)", EXTENDABLE),
    ("a: {extends: a}", "a: circular dependency detected in `extends`", EXTENDABLE),
    ("a: {extends: b}\nb: {extends: c}\nc: {extends: b}", "b: circular dependency detected in `extends`", EXTENDABLE),
]


@pytest.mark.parametrize(("text", "message", "source"), EXTENDS_ERRORS, ids=[case[1] for case in EXTENDS_ERRORS])
def test_what_cannot_be_extended_is_named(text: str, message: str, source: str) -> None:
    """In GitLab's words."""
    with pytest.raises(PipelineError) as caught:
        _assembled(text)

    assert caught.value.what == message, source


def test_many_bases_at_many_levels_cost_no_time() -> None:
    """Twenty bases at each of ten levels would be 20^10 merges."""
    levels = [f".l{level}n{n}: {{extends: [{', '.join(f'.l{level + 1}n{m}' for m in range(20))}]}}"
              for level in range(10) for n in range(20)]  # fmt: skip
    last = [f".l10n{n}: {{variables: {{V{n}: x}}}}" for n in range(20)]

    assert len(_assembled("\n".join([*levels, *last]))[".l0n0"]["variables"]) == 20


# ── !reference ──────────────────────────────────────────────────────────────────────────────────────────────────

REFERENCES = [
    (
        ".setup: {script: [echo setup]}\ntest: {script: [!reference [.setup, script], make]}",
        {"script": [["echo setup"], "make"]},
        f"{OPTIMIZE}: a list in a list",
    ),
    (
        ".vars: {variables: {URL: u}}\ntest: {variables: !reference [.vars, variables]}",
        {"variables": {"URL": "u"}},
        f"{OPTIMIZE}: a whole mapping",
    ),
    (
        ".vars: {variables: {URL: u}}\ntest: {variables: {MINE: !reference [.vars, variables, URL]}}",
        {"variables": {"MINE": "u"}},
        f"{OPTIMIZE}: one value",
    ),
    (
        ".a: {script: [!reference [.b, script], a]}\n.b: {script: [b]}\ntest: {script: !reference [.a, script]}",
        {"script": [["b"], "a"]},
        f"{OPTIMIZE}: nested",
    ),
    (
        ".a: {script: [a]}\n.b: {extends: .a}\ntest: {script: !reference [.b, script]}",
        {"script": ["a"]},
        "gitlabhq lib/gitlab/ci/config.rb: extends comes first",
    ),
    (
        ".a: {rules: [{if: $X}]}\ntest: {rules: [!reference [.a, rules], {when: never}]}",
        {"rules": [[{"if": "$X"}], {"when": "never"}]},
        f"{OPTIMIZE}: rules",
    ),
]


@pytest.mark.parametrize(("text", "expected", "source"), REFERENCES, ids=[case[2] for case in REFERENCES])
def test_a_reference_becomes_what_it_points_at(text: str, expected: dict[str, Any], source: str) -> None:
    """Wherever it stands."""
    assert _assembled(text)["test"] == expected


def _references(length: int) -> str:
    links = [f".a{level}: {{script: [!reference [.a{level + 1}, script]]}}" for level in range(length)]
    return "\n".join([*links, f".a{length}: {{script: [deep]}}"])


def test_references_nest_ten_deep() -> None:
    """doc/ci/yaml/yaml_optimization.md: "up to 10 levels deep"."""
    assert str(_assembled(_references(10))[".a0"]["script"]).count("[") == 11

    with pytest.raises(PipelineError, match="nested too deep"):
        _assembled(_references(11))


REFERENCE_ERRORS = [
    ("a: {script: !reference [.b, script]}", '!reference [".b", "script"] could not be found', f"{TAGS}/reference.rb"),
    ("a: {script: !reference [b, script]}\nb: {script: null}", "could not be found", f"{TAGS}/reference.rb"),
    ("a: {script: !reference [b, script, x]}\nb: {script: [s]}", "could not be found", f"{TAGS}/reference.rb"),
    ("a: {script: !reference [a, script]}", "is part of a circular chain", f"{TAGS}/base.rb"),
    ("a: {x: !reference [b, x]}\nb: {x: !reference [a, x]}", "is part of a circular chain", f"{TAGS}/base.rb"),
    ("a: {script: !reference []}", "!reference [] is not valid", f"{TAGS}/reference.rb"),
    ("a: {script: !reference [a, 1]}", "is not valid", f"{TAGS}/reference.rb"),
]


@pytest.mark.parametrize(("text", "message", "source"), REFERENCE_ERRORS, ids=[case[0] for case in REFERENCE_ERRORS])
def test_a_reference_that_leads_nowhere_is_named(text: str, message: str, source: str) -> None:
    """In GitLab's words."""
    with pytest.raises(PipelineError) as caught:
        _assembled(text)

    assert message in caught.value.what, source


def test_a_few_references_cannot_fill_the_memory() -> None:
    """Ten levels of a hundred references each would be 10^20 lines."""
    line = "[" + ", ".join(["!reference [.a{}, script]"] * 100) + "]"
    text = "\n".join(f".a{level}: {{script: {line.replace('{}', str(level + 1))}}}" for level in range(9))

    with pytest.raises(LimitError, match="too large"):
        _assembled(text + "\n.a9: {script: [x]}")


# ── stages, default, inherit ────────────────────────────────────────────────────────────────────────────────────

STAGES = [
    ("x: 1", (".pre", "build", "test", "deploy", ".post"), f"{YAML}, stages"),
    ("stages: [a, b]", (".pre", "a", "b", ".post"), "gitlabhq lib/gitlab/ci/config/edge_stages_injector.rb"),
    ("stages: [.post, a, .pre]", (".pre", "a", ".post"), "gitlabhq lib/gitlab/ci/config/edge_stages_injector.rb"),
    ("stages: [a, a]", (".pre", "a", ".post"), f"{YAML}, stages"),
]


@pytest.mark.parametrize(("text", "expected", "source"), STAGES, ids=[case[0] for case in STAGES])
def test_stages_have_their_order(text: str, expected: tuple[str, ...], source: str) -> None:
    """With `.pre` before and `.post` behind all."""
    assert stages_of(_read(text)) == expected, source


DEFAULTS = [
    ("default: {image: ruby, retry: 2}\nj: {script: [s]}", {"image": "ruby", "retry": 2}, f"{YAML}, default"),
    ("default: {image: ruby}\nj: {script: [s], image: python}", {"image": "python"}, f"{YAML}, default: not merged"),
    (
        "default: {retry: {max: 2, when: always}}\nj: {script: [s], retry: {max: 1}}",
        {"retry": {"max": 1}},
        f"{YAML}, default: not merged",
    ),
    (
        "default: {image: ruby}\nj: {script: [s], image: null}",
        {"image": "ruby"},
        f"{ENTRY}/processable.rb: unspecified",
    ),
    ("image: ruby\nj: {script: [s]}", {"image": "ruby"}, "doc/ci/yaml/deprecated_keywords.md"),
    ("default: {image: r, tags: [t]}\nj: {script: [s], inherit: {default: false}}", {}, f"{YAML}, inherit:default"),
    (
        "default: {image: r, tags: [t]}\nj: {script: [s], inherit: {default: [tags]}}",
        {"tags": ["t"]},
        f"{YAML}, inherit:default",
    ),
    ("default: {image: r, interruptible: true}\nj: {trigger: p}", {"interruptible": True}, f"{ENTRY}/bridge.rb"),
]


@pytest.mark.parametrize(("text", "expected", "source"), DEFAULTS, ids=[case[0] for case in DEFAULTS])
def test_a_ci_job_takes_what_it_has_not(text: str, expected: dict[str, Any], source: str) -> None:
    """Whole keywords, unless it declines."""
    body = _read(text)
    found = with_defaults("j", body["j"], defaults_of(body))

    assert {key: value for key, value in found.items() if key not in {"script", "inherit", "trigger"}} == expected


VARIABLES = [
    ("null", {"A", "B"}),
    ("{variables: false}", set()),
    ("{variables: [B]}", {"B"}),
    ("{default: false}", {"A", "B"}),
]


@pytest.mark.parametrize(("inherit", "expected"), VARIABLES)
def test_default_variables_are_inherited_unless_declined(inherit: str, expected: set[str]) -> None:
    """doc/ci/yaml/_index.md, inherit:variables."""
    job = _read(f"j: {{inherit: {inherit}}}")["j"]

    assert set(inherited_variables("j", job, {"A": 1, "B": 2})) == expected


WRONG = [
    ("default: {script: [s]}", "default config contains unknown keys: script", f"{ENTRY}/default.rb"),
    ("default: [a]", "default config should be a hash", f"{ENTRY}/default.rb"),
    ("default: {image: a}\nimage: b", "image is defined in top-level and `default:` entry", f"{ENTRY}/default.rb"),
]


@pytest.mark.parametrize(("text", "message", "source"), WRONG, ids=[case[1] for case in WRONG])
def test_defaults_that_gitlab_refuses(text: str, message: str, source: str) -> None:
    """In GitLab's words."""
    with pytest.raises(PipelineError) as caught:
        defaults_of(_read(text))

    assert caught.value.what == message, source


@pytest.mark.parametrize(
    "inherit", ["yes", "{default: 1}", "{variables: {A: b}}", "{other: true}", "{default: [script]}"]
)
def test_inherit_has_two_keys_and_three_kinds_of_value(inherit: str) -> None:
    """As in gitlabhq lib/gitlab/ci/config/entry/inherit*.rb."""
    job = _read(f"j: {{inherit: {inherit}}}")["j"]

    with pytest.raises(PipelineError, match="jobs:j:inherit"):
        inherited_variables("j", job, with_defaults("j", job, {}))


def test_stages_are_a_list_of_names() -> None:
    """As in gitlabhq lib/gitlab/ci/config/entry/stages.rb."""
    with pytest.raises(PipelineError, match="stages config should be an array of strings"):
        stages_of({"stages": "build"})


def test_the_published_schema_judges_an_assembled_body() -> None:
    """The one of GitLab's editor, as the package check-jsonschema carries it."""
    good = _assembled(".a: {image: x}\ntest: {extends: .a, script: [!reference [.b, script]]}\n.b: {script: [s]}")

    assert schema_errors(good) == []
    assert any("test" in error for error in schema_errors({"test": {"script": ["s"], "retry": 7}}))
