"""What users rely on is read from the rendered components, and each change of it has its smallest version."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from septum.components import catalog
from septum.components.contract import (
    CONTRACT,
    VERSION,
    ComponentTerms,
    Contract,
    InputTerms,
    JobTerms,
    contract_of,
    from_json,
    terms_of,
    to_json,
)
from septum.components.contract_diff import Bump, Change, differences, smallest_bump
from septum.components.contract_forms import alternatives, provably_wider
from septum.components.model import Component, Deprecation, Input
from septum.errors import ContractError, every_error

ROOT = Path(__file__).parents[2]
P = "$[[ inputs.job-prefix ]]"


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

YAML = """
spec:
  inputs:
    job-prefix: {default: mini-, regex: '^[a-z-]+$'}
    image: {default: 'registry.example.org/septum:1.4.0@sha256:0a1b'}
    result: {description: Where}
    tags: {type: array, default: []}
    how: {default: fail, options: [fail, warn, both]}
---
".$[[ inputs.job-prefix ]]base":
  retry: {max: 2, exit_codes: [75]}
  artifacts: {paths: ["$[[ inputs.result ]]/"], access: developer, reports: {junit: a.xml}}
  id_tokens: {SEPTUM_ID_TOKEN: {aud: one}, OTHER: {aud: [b, a]}}
".$[[ inputs.job-prefix ]]how-fail": {allow_failure: false}
".$[[ inputs.job-prefix ]]how-warn": {allow_failure: {exit_codes: [39]}}
".$[[ inputs.job-prefix ]]how-both": {allow_failure: {exit_codes: [39, 10]}}
"$[[ inputs.job-prefix ]]one":
  extends: [".$[[ inputs.job-prefix ]]base", ".$[[ inputs.job-prefix ]]how-$[[ inputs.how ]]"]
  image: $[[ inputs.image ]]
  variables: {SEPTUM_RESULT: "$[[ inputs.result ]]", OWN: 1}
  artifacts: {when: always, reports: {metrics: m.txt}, expose_as: shown, name: n}
  script: [septum one]
"$[[ inputs.job-prefix ]]two": {tags: "$[[ inputs.tags ]]", script: [septum two], retry: 1}
"""
MINI = Component(name="mini", summary="A small one.", inputs=(), jobs=())


def _mini(text: str = YAML, item: Component = MINI) -> ComponentTerms:
    return terms_of(text, item, "1.4.0")


def test_the_terms_of_a_component_are_what_its_yaml_says() -> None:
    """Inputs as GitLab reads them, CI jobs with what they take from hidden ones."""
    terms = _mini()

    assert terms.inputs == {
        "job-prefix": InputTerms(type="string", mandatory=False, default="mini-", regex="^[a-z-]+$"),
        "image": InputTerms(type="string", mandatory=False, default=f"registry.example.org/septum:{VERSION}"),
        "result": InputTerms(type="string", mandatory=True),
        "tags": InputTerms(type="array", mandatory=False, default=[]),
        "how": InputTerms(type="string", mandatory=False, default="fail", options=("fail", "warn", "both")),
    }
    assert terms.jobs[f"{P}one"] == JobTerms(
        paths=("$[[ inputs.result ]]/",),
        reports={"junit": "a.xml", "metrics": "m.txt"},
        when="always",
        access="developer",
        expose_as="shown",
        artifact="n",
        retried=(75,),
        retries=2,
        id_tokens={"SEPTUM_ID_TOKEN": "one", "OTHER": '["b", "a"]'},
    )
    assert terms.jobs[f"{P}two"] == JobTerms(retries=1)
    assert terms.variables == ("SEPTUM_RESULT",)
    assert terms.used == ("how", "image", "job-prefix", "result", "tags")
    assert terms.naming == {"job-prefix", "result"}


def test_what_an_option_chooses_is_part_of_the_contract() -> None:
    """A hidden CI job with the option in its name, as in `extends: .how-$[[ inputs.how ]]`."""
    choices = {choice: jobs[f"{P}one"].allowed for choice, jobs in _mini().choices.items()}

    assert choices == {"how=warn": (39,), "how=both": (10, 39)}


def test_a_deprecation_comes_from_the_model() -> None:
    """GitLab has no word for it."""
    going = Deprecation(since="1.4", removal="2.0", instead="Write `how`.")
    item = replace(MINI, inputs=(Input(name="result", description="x", deprecated=going),), deprecated=going)

    terms = _mini(item=item)

    assert terms.inputs["result"].deprecated == going
    assert terms.inputs["tags"].deprecated is None
    assert terms.deprecated == going


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{description: Where}", "{description: Where, rules: []}", "the key rules"),
        ('base", ".', 'bas", ".', "does not exist"),
        ("how-fail", "how-nothing", "does not exist"),
        ('base":\n', 'base":\n  extends: ".$[[ inputs.job-prefix ]]base"\n', "extends it"),
    ],
)  # fmt: skip
def test_what_the_contract_cannot_hold_is_an_error(old: str, new: str, said: str) -> None:
    """Better than a promise that nobody compares."""
    assert old in YAML

    with pytest.raises(ContractError, match=said):
        _mini(YAML.replace(old, new))


def test_the_committed_contract_is_that_of_this_checkout() -> None:
    """Nobody edited it by hand, and nobody forgot to write it."""
    made = contract_of(ROOT)

    assert (ROOT / CONTRACT).read_text(encoding="utf-8") == to_json(made), "run: septum component contract"
    assert list(made.components) == [item.name for item in catalog.COMPONENTS]
    assert made.errors == {error.code: error.exit_code for error in every_error()}


def test_json_gives_back_the_same_value_and_the_same_text() -> None:
    """Tuples, truth values and texts stay what they are."""
    made = Contract(version="1.4.0", components={"mini": _mini()}, errors={"E001": 2})

    text = to_json(made)

    assert from_json(text, "here") == replace(made, components={"mini": _mini()})
    assert to_json(from_json(text, "here")) == text
    assert list(json.loads(text)) == sorted(json.loads(text))


WHOLE = to_json(Contract(version="1.4.0", components={"mini": _mini()}, errors={"E001": 2}))


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", WHOLE[: len(WHOLE) // 2], WHOLE.replace('"format": 1', '"format": 2'), "[" * 3000,
     WHOLE.replace('"mandatory"', '"mandatry"', 1), WHOLE.replace('"E001": 2', '"E001": "two"'),
     WHOLE.replace("developer", "everybody"), "\x00", WHOLE.replace('"used"', '"more"')],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_contract_gets_one_clear_error(text: str) -> None:
    """Truncated, of another form, or something else."""
    with pytest.raises(ContractError, match=r"^here is not a contract") as caught:
        from_json(text, "here")

    assert caught.value.evidence
    assert "--" in caught.value.fix or "septum component contract" in caught.value.fix


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────

GOING = Deprecation(since="1.5", removal="2.0", instead="Write `b`.")
JOB = JobTerms(
    paths=("out/",), reports={"junit": "a.xml"}, when="always", access="developer", expose_as="x", artifact="n",
    retried=(75,), retries=2, allowed=False, id_tokens={"T": "one"},
)  # fmt: skip
TEXT = InputTerms(type="string", mandatory=False, default="x")
OLD = ComponentTerms(
    inputs={"a": TEXT, "job-prefix": TEXT, "must": InputTerms(type="string", mandatory=True)},
    jobs={f"{P}run": JOB},
    variables=("SEPTUM_A",),
    used=("a", "job-prefix", "must"),
)


def _contract(terms: ComponentTerms | None = OLD, **errors: int) -> Contract:
    return Contract(version="1.4.0", components={} if terms is None else {"c": terms}, errors={"E001": 2, **errors})


def _with_input(name: str = "a", **changed: Any) -> ComponentTerms:
    return replace(OLD, inputs={**OLD.inputs, name: replace(OLD.inputs.get(name, TEXT), **changed)})


def _with_job(**changed: Any) -> ComponentTerms:
    return replace(OLD, jobs={f"{P}run": replace(JOB, **changed)})


def _without_input(name: str) -> ComponentTerms:
    return replace(OLD, inputs={key: value for key, value in OLD.inputs.items() if key != name})


def _form(regex: str | None, options: tuple[Any, ...] = ()) -> ComponentTerms:
    return _with_input(regex=regex, options=options)


MAJOR, MINOR = Bump.MAJOR, Bump.MINOR
TABLE: dict[str, tuple[ComponentTerms, ComponentTerms, str, Bump, str]] = {
    # inputs
    "input removed": (OLD, _without_input("a"), "Removed", MAJOR, "a"),
    "mandatory input added": (OLD, _with_input("new", mandatory=True), "Added", MAJOR, "new"),
    "optional input added": (OLD, _with_input("new"), "Added", MINOR, "new"),
    "made mandatory": (OLD, _with_input(mandatory=True, default=None), "Changed", MAJOR, "a"),
    "made optional": (OLD, _with_input("must", mandatory=False, default="x"), "Changed", MINOR, "must"),
    "type": (OLD, _with_input(type="number"), "Changed", MAJOR, "a"),
    "default": (OLD, _with_input(default="y"), "Changed", MINOR, "a"),
    "default false instead of 0": (_with_input(default=0), _with_input(default=False), "Changed", MINOR, "a"),
    "default that names CI jobs": (OLD, _with_input("job-prefix", default="y"), "Changed", MAJOR, "job-prefix"),
    "form added": (OLD, _form("^a$"), "Changed", MAJOR, "a"),
    "form removed": (_form("^a$"), OLD, "Changed", MINOR, "a"),
    "form with one more alternative": (_form("^a$"), _form("^(a|b)$"), "Changed", MINOR, "a"),
    "form that nobody can compare": (_form("^[a-c]$"), _form("^[a-d]$"), "Changed", MAJOR, "a"),
    "options added": (OLD, _form(None, ("x", "y")), "Changed", MAJOR, "a"),
    "options removed": (_form(None, ("x", "y")), OLD, "Changed", MINOR, "a"),
    "options widened": (_form(None, ("x",)), _form(None, ("x", "y")), "Changed", MINOR, "a"),
    "options narrowed": (_form(None, ("x", "y")), _form(None, ("x",)), "Changed", MAJOR, "a"),
    "no effect any more": (OLD, replace(OLD, used=("job-prefix", "must")), "Changed", MAJOR, "a"),
    "deprecated": (OLD, _with_input(deprecated=GOING), "Deprecated", MINOR, "a"),
    "deprecation taken back": (_with_input(deprecated=GOING), OLD, "Changed", MINOR, "a"),
    "component deprecated": (OLD, replace(OLD, deprecated=GOING), "Deprecated", MINOR, "c"),
    # CI jobs
    "CI job removed": (OLD, replace(OLD, jobs={}), "Removed", MAJOR, "run"),
    "CI job added": (OLD, replace(OLD, jobs={**OLD.jobs, f"{P}more": JOB}), "Added", MINOR, "more"),
    "path removed": (OLD, _with_job(paths=()), "Removed", MAJOR, "run"),
    "path added": (OLD, _with_job(paths=("out/", "more/")), "Added", MINOR, "run"),
    "report removed": (OLD, _with_job(reports={}), "Removed", MAJOR, "run"),
    "report added": (OLD, _with_job(reports={"junit": "a.xml", "metrics": "m"}), "Added", MINOR, "run"),
    "report elsewhere": (OLD, _with_job(reports={"junit": "b.xml"}), "Changed", MINOR, "run"),
    "artifacts seldom": (OLD, _with_job(when="on_success"), "Changed", MAJOR, "run"),
    "artifacts always": (_with_job(when="on_success"), OLD, "Changed", MINOR, "run"),
    "access widened": (OLD, _with_job(access="all"), "Changed", MAJOR, "run"),
    "access narrowed": (OLD, _with_job(access="none"), "Changed", MAJOR, "run"),
    "name in the merge request": (OLD, _with_job(expose_as="y"), "Changed", MINOR, "run"),
    "not in the merge request": (OLD, _with_job(expose_as=""), "Changed", MAJOR, "run"),
    "name of the archive": (OLD, _with_job(artifact="m"), "Changed", MINOR, "run"),
    "retried less": (OLD, _with_job(retries=1), "Changed", MINOR, "run"),
    "retried after other codes": (OLD, _with_job(retried=(2, 75)), "Changed", MINOR, "run"),
    "failure is a warning": (OLD, _with_job(allowed=(39,)), "Changed", MAJOR, "run"),
    "every failure is a warning": (OLD, _with_job(allowed=True), "Changed", MAJOR, "run"),
    "id_token removed": (OLD, _with_job(id_tokens={}), "Removed", MAJOR, "run"),
    "id_token added": (OLD, _with_job(id_tokens={"T": "one", "U": "two"}), "Added", MINOR, "run"),
    "another audience": (OLD, _with_job(id_tokens={"T": "two"}), "Changed", MAJOR, "run"),
    # variables
    "variable removed": (OLD, replace(OLD, variables=()), "Removed", MAJOR, "SEPTUM_A"),
    "variable added": (OLD, replace(OLD, variables=("SEPTUM_A", "SEPTUM_B")), "Added", MINOR, "SEPTUM_B"),
}


@pytest.mark.parametrize(("old", "new", "kind", "bump", "subject"), TABLE.values(), ids=TABLE)
def test_each_change_has_its_smallest_version(
    old: ComponentTerms, new: ComponentTerms, kind: str, bump: Bump, subject: str
) -> None:
    """One change, of one kind, that names what has changed."""
    (change,) = differences(_contract(old), _contract(new))

    assert (change.kind, change.bump, change.component, change.subject) == (kind, bump, "c", subject)
    assert f"`{subject}`" in change.text or subject == "c"


@pytest.mark.parametrize("kind", [InputTerms, JobTerms, ComponentTerms])
def test_nothing_is_in_the_contract_that_is_not_compared(kind: type[Any]) -> None:
    """Every field differs in a row of the table, and so is seen when it changes."""
    both = [(old, new) for old, new, *_ in TABLE.values()]
    pairs: Any = {
        ComponentTerms: both,
        InputTerms: [(old.inputs.get("a"), new.inputs.get("a")) for old, new in both],
        JobTerms: [(old.jobs.get(f"{P}run"), new.jobs.get(f"{P}run")) for old, new in both],
    }[kind]
    changed = {
        field.name
        for old, new in pairs
        for field in fields(kind)
        if old and new and getattr(old, field.name) != getattr(new, field.name)
    }

    # What an option chooses has its own test below.
    assert changed == {field.name for field in fields(kind)} - {"choices"}


@pytest.mark.parametrize(
    ("old", "new", "kind", "bump", "subject"),
    [
        (_contract(), _contract(E002=2), "Added", MINOR, "E002"),
        (_contract(E002=2), _contract(), "Removed", MAJOR, "E002"),
        (_contract(E002=2), _contract(E002=3), "Changed", MAJOR, "E002"),
        (_contract(), _contract(None), "Removed", MAJOR, "c"),
        (_contract(None), _contract(), "Added", MINOR, "c"),
    ],
)
def test_changes_of_errors_and_whole_components(
    old: Contract, new: Contract, kind: str, bump: Bump, subject: str
) -> None:
    """Exit codes are what other people's pipelines react to."""
    (change,) = differences(old, new)

    assert (change.kind, change.bump, change.subject) == (kind, bump, subject)


def test_no_change_is_no_change() -> None:
    """Neither the version nor the order and the quotes of options are one."""
    options = [_form(None, ("x", "1")), _form(None, (1, "x"))]

    assert differences(_contract(options[0]), replace(_contract(options[1]), version="9.9.9")) == ()
    assert smallest_bump(()) is None


def test_the_largest_change_decides() -> None:
    """A renamed CI job is one that goes and one that comes."""
    renamed = replace(OLD, jobs={f"{P}renamed": JOB})
    changes = differences(_contract(), _contract(renamed))

    assert [(change.kind, change.subject) for change in changes] == [("Added", "renamed"), ("Removed", "run")]
    assert smallest_bump(changes) is Bump.MAJOR


def test_an_option_that_chooses_something_else_is_a_change_of_its_own() -> None:
    """Said once if it is the same with every option, and not at all if the option itself comes or goes."""
    how = InputTerms(type="string", mandatory=False, default="fail", options=("fail", "warn"))
    warn = {"how=warn": {f"{P}run": replace(JOB, allowed=(39,))}}
    old = replace(OLD, inputs={**OLD.inputs, "how": how}, used=(*OLD.used, "how"), choices=warn)

    def changes(**changed: Any) -> list[Change]:
        return list(differences(_contract(old), _contract(replace(old, **changed))))

    (other,) = changes(choices={"how=warn": {f"{P}run": replace(JOB, allowed=(10, 39))}})
    assert (other.bump, other.subject) == (Bump.MAJOR, "run")
    assert "with `how: warn`" in other.text

    (gone,) = changes(choices={})
    assert "with `how: warn`" in gone.text

    more = replace(JOB, paths=("out/", "more/"))
    both = changes(jobs={f"{P}run": more}, choices={"how=warn": {f"{P}run": replace(more, allowed=(39,))}})
    assert [change.text for change in both] == ["the CI job `run` leaves `more/` as well"]

    narrowed = {**old.inputs, "how": replace(how, options=("fail",))}
    assert [change.subject for change in changes(inputs=narrowed, choices={})] == ["how"]


# ── forms ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("regex", "expected"),
    [
        ("^a$", {"^a$"}),
        ("^(a|b)$", {"^a$", "^b$"}),
        ("^(?:a|(b|c)?)$", {"^a$", "^b$", "^c$", "^$"}),
        ("^(a)(b|c)$", {"^(a)(b|c)$"}),
        ("^a|b$", {"^a", "b$"}),
        (r"^[|)(]\|(a)$", {r"^[|)(]\|(a)$"}),
        ("^[]|]x[^]|]$", {"^[]|]x[^]|]$"}),
        (r"^a\$", {r"^a\$"}),
        ("^(a|b", {"^(a|b"}),
        ("", {""}),
    ],
)
def test_alternatives_of_a_form(regex: str, expected: set[str]) -> None:
    """Groups, classes and escapes are seen through."""
    assert alternatives(regex) == expected


@pytest.mark.parametrize(
    ("old", "new", "wider"),
    [
        ("^a$", None, True),
        (None, "^a$", False),
        ("^a$", "^(a|b)$", True),
        ("^(a|b)$", "^(b|c|a)$", True),
        ("^[A-Z]+$", "^([A-Z]+)?$", True),
        ("^(a|b)$", "^a$", False),
        ("^a$", "^[ab]$", False),
        ("^a$", "(?i)^(a|b)$", False),
        ("^a$", "^a|b$", False),
    ],
)
def test_only_what_can_be_seen_is_called_wider(old: str | None, new: str | None, wider: bool) -> None:  # noqa: FBT001
    """Otherwise it is taken for narrower, which costs a version and no pipeline."""
    assert provably_wider(old, new) is wider
