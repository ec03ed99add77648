"""What users rely on is read from the rendered components, and each change of it has its smallest version."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from septum.components import catalog
from septum.components.contract.change import Bump, Change
from septum.components.contract.diff import differences, smallest_bump
from septum.components.contract.forms import alternatives, provably_wider
from septum.components.contract.reading import CONTRACT, VERSION, contract_of, terms_of
from septum.components.contract.situations import FORK, flat
from septum.components.contract.stored import from_json, to_json
from septum.components.contract.terms import ComponentTerms, Contract, InputTerms, JobTerms, Ran, Row
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
        id_tokens={"SEPTUM_ID_TOKEN": ("one",), "OTHER": ("a", "b")},
        image="$[[ inputs.image ]]",
        script=("septum one",),
        variables={"SEPTUM_RESULT": "expand: $[[ inputs.result ]]", "OWN": "1"},
    )
    assert terms.jobs[f"{P}two"] == JobTerms(retries=1, script=("septum two",), others={"tags": "$[[ inputs.tags ]]"})
    assert terms.shared == {}
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
     WHOLE.replace("developer", "everybody"), WHOLE.replace('"jobs": {', '"jobs": 1, "j": {', 1),
     WHOLE.replace('"each": {', '"each": 1, "j": {', 1), "\x00",
     '{"components": {"mini": {"jobs": {}, "choices": {"a=b": 1}}}}', WHOLE.replace('"used"', '"more"')],
    ids=range(15),
)  # fmt: skip
def test_what_is_no_contract_gets_one_clear_error(text: str) -> None:
    """Truncated, of another form, or something else."""
    with pytest.raises(ContractError, match=r"^here is not a contract") as caught:
        from_json(text, "here")

    assert caught.value.evidence
    assert "--" in caught.value.fix or "septum component contract" in caught.value.fix


# ── situations ──────────────────────────────────────────────────────────────────────────────────────────────────

RULES = """
spec:
  inputs:
    job-prefix: {default: mini-}
    septum-image: {default: 'registry.example.org/septum:1.4.0'}
    image: {default: ""}
    cluster: {default: local}
    pipelines: {default: branches, options: [branches, merge-requests]}
    must: {type: number}
---
"$[[ inputs.job-prefix ]]one":
  image: $IMAGE
  script: [septum credentials run --keep CI_JOB_TOKEN -- septum one]
  needs: ["$[[ inputs.job-prefix ]]elsewhere"]
  variables:
    SEPTUM_IMAGE: "$[[ inputs.image ]]"
    SEPTUM_CLUSTER: {value: "$[[ inputs.cluster ]]", expand: false}
    SEPTUM_WHEEL: septum==1.4.0 --hash=sha256:0a1b
    SEPTUM_VERSION: 1.4.0
    SEPTUM_COMPONENT: mini@1.4.0
    IMAGE: "$[[ inputs.septum-image ]]"
    GIT_SUBMODULE_STRATEGY: recursive
  artifacts: {paths: [out/], expire_in: 2 days}
  rules:
    - if: $CI_MERGE_REQUEST_SOURCE_PROJECT_PATH != $CI_MERGE_REQUEST_PROJECT_PATH
      when: never
    - if: $CI_MERGE_REQUEST_IID && "$[[ inputs.pipelines ]]" == "branches"
      when: never
    - if: $SEPTUM_IMAGE != ""
      variables: {IMAGE: $SEPTUM_IMAGE, SEPTUM_PARTS: "3"}
    - if: $SEPTUM_CLUSTER != "local"
      when: delayed
      start_in: 1 hour
    - when: on_success
"""


def _changed(old: str, new: str) -> tuple[Change, ...]:
    """What the contract sees when this is edited in the YAML."""
    assert RULES.count(old) == 1
    texts = (RULES, RULES.replace(old, new))
    before, after = (Contract(version="1.4.0", components={"c": _mini(text)}, errors={}) for text in texts)
    return differences(before, after)


def test_what_runs_is_part_of_the_contract() -> None:
    """By inputs and situation; a CI job of another component that is needed is there, and does not count."""
    terms = _mini(RULES)

    runs = flat(terms.situations)
    plain = Ran(image="septum", needs=("elsewhere",))
    assert runs["no input", "push on main"] == runs["no input", "tag"] == {"one": plain}
    assert runs["no input", "merge request"] == runs["pipelines: merge-requests", FORK] == {}
    assert runs["pipelines: merge-requests", "merge request"] == {"one": plain}
    assert runs["cluster: far", "web"] == {"one": replace(plain, when="delayed", start_in="1 hour")}
    assert runs["image: analysis", "schedule"] == {
        "one": replace(plain, image="analysis", sets={"IMAGE": "$SEPTUM_IMAGE", "SEPTUM_PARTS": "3"})
    }
    # What a component does not take is left out of the table.
    assert not any("wait" in given or "changes" in given for given, _ in runs)
    made = Contract(version="1.4.0", components={"mini": terms}, errors={})
    assert from_json(to_json(made), "here") == made


def test_a_release_alone_changes_nothing() -> None:
    """Version, digest of the image and hash of the wheel are those of every release."""
    released = RULES.replace("1.4.0", "1.5.0").replace("0a1b", "2c3d").replace("septum:1.5.0", "septum:1.5.0@sha256:ff")
    one, two = _mini(RULES), terms_of(released, MINI, "1.5.0")

    assert one == two
    assert one.shared["SEPTUM_WHEEL"] == f"septum=={VERSION}"
    assert one.shared["SEPTUM_VERSION"] == VERSION


IMAGE = "  image: $IMAGE\n"
ATTACKS: dict[str, tuple[str, str, Bump]] = {
    "tags left out": ("  rules:\n", "  rules:\n    - if: $CI_COMMIT_TAG\n      when: never\n", Bump.MAJOR),
    "merge requests as well": ("    - if: $CI_MERGE_REQUEST_IID && ", "    - if: $NOTHING && ", Bump.MINOR),
    "no submodules": ("STRATEGY: recursive", "STRATEGY: none", Bump.MAJOR),
    "another image": (IMAGE, '  image: "$[[ inputs.septum-image ]]"\n', Bump.MAJOR),
    "not expanded": (
        'SEPTUM_IMAGE: "$[[ inputs.image ]]"', 'SEPTUM_IMAGE: {value: "$[[ inputs.image ]]", expand: false}', Bump.MAJOR
    ),
    "inherits": (IMAGE, f"{IMAGE}  inherit: {{default: true}}\n", Bump.MAJOR),
    "leaves out": ("paths: [out/]", "paths: [out/], exclude: [out/x]", Bump.MAJOR),
    "kept shortly": ("2 days", "5 minutes", Bump.MAJOR),
    "starts late": ("start_in: 1 hour", "start_in: 10 hours", Bump.MINOR),
    "unsupervised": ("septum credentials run --keep CI_JOB_TOKEN -- ", "", Bump.MAJOR),
    "without a token": (" --keep CI_JOB_TOKEN", "", Bump.MAJOR),
    "an environment": (IMAGE, f"{IMAGE}  environment: production\n", Bump.MAJOR),
    "stopped": (IMAGE, f"{IMAGE}  interruptible: true\n", Bump.MAJOR),
    "a new need": ('elsewhere"]', 'elsewhere", "$[[ inputs.job-prefix ]]more"]', Bump.MAJOR),
    "fails in silence": ("      start_in: 1 hour\n", "      start_in: 1 hour\n      allow_failure: true\n", Bump.MAJOR),
    "all parts": (', SEPTUM_PARTS: "3"', "", Bump.MAJOR),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "bump"), ATTACKS.values(), ids=ATTACKS)
def test_what_decides_whether_and_how_a_ci_job_runs_is_seen(old: str, new: str, bump: Bump) -> None:
    """Each of these changes what a pipeline does that nobody edits."""
    assert smallest_bump(_changed(old, new)) is bump


@pytest.mark.parametrize(("old", "new"), [("[out/]", "[out]"), ("  needs", "  id_tokens: {}\n  needs")])
def test_what_is_the_same_to_gitlab_is_no_change(old: str, new: str) -> None:
    """However it is written."""
    assert _changed(old, new) == ()


def test_one_audience_is_a_list_of_one() -> None:
    """GitLab takes both."""
    assert _mini(YAML.replace("{aud: one}", "{aud: [one]}")) == _mini()


def test_what_gitlab_would_refuse_has_no_contract() -> None:
    """With the inputs that show it."""
    with pytest.raises(ContractError, match="GitLab would refuse mini with no input"):
        _mini(RULES.replace("when: delayed", "when: sometimes"))


def test_no_component_runs_anything_for_a_fork() -> None:
    """And each runs something somewhere."""
    for name, terms in contract_of(ROOT).components.items():
        runs = flat(terms.situations)
        assert any(runs.values()), name
        assert not [place for place, jobs in runs.items() if jobs and place[1] == FORK], name


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────

GOING = Deprecation(since="1.5", removal="2.0", instead="Write `b`.")
JOB = JobTerms(
    paths=("out/",), reports={"junit": "a.xml"}, when="always", access="developer", expose_as="x", artifact="n",
    retried=(75,), retries=2, allowed=False, id_tokens={"T": ("one",)}, image="i", stage="test", expire_in="1 week",
    script=("septum credentials run --keep A --keep B -- septum run",), after_script=("septum cancel",), installs=True,
    inherit='{"default": false}', variables={"SEPTUM_B": "$[[ inputs.a ]]", "GIT_DEPTH": "20"}, others={"cache": "[]"},
)  # fmt: skip
TEXT = InputTerms(type="string", mandatory=False, default="x")
OLD = ComponentTerms(
    inputs={"a": TEXT, "job-prefix": TEXT, "must": InputTerms(type="string", mandatory=True)},
    jobs={f"{P}run": JOB},
    shared={"SEPTUM_A": "a"},
    situations=(
        Row(
            where={"no input": "push, tag"}, jobs={"run": Ran(image="i", when="delayed", start_in="1 h", needs=("a",))}
        ),
        Row(where={"no input": "web"}),
    ),
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


RAN = Ran(image="i", when="delayed", start_in="1 h", needs=("a",))


def _run(**changed: Any) -> ComponentTerms:
    """With the CI job as it runs in a push changed; with nothing given, it does not run."""
    jobs = {"run": replace(RAN, **changed)} if changed else {}
    rows = (Row(where={"no input": "tag"}, jobs={"run": RAN}), Row(where={"no input": "push"}, jobs=jobs))
    return replace(OLD, situations=(*rows, Row(where={"no input": "web"})))


def _with_value(**changed: str) -> ComponentTerms:
    return _with_job(variables={**JOB.variables, **changed})


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
    "id_token added": (OLD, _with_job(id_tokens={"T": ("one",), "U": ("two",)}), "Added", MINOR, "run"),
    "another audience": (OLD, _with_job(id_tokens={"T": ("two",)}), "Changed", MAJOR, "run"),
    "another image": (OLD, _with_job(image="j"), "Changed", MAJOR, "run"),
    "another stage": (OLD, _with_job(stage="build"), "Changed", MAJOR, "run"),
    "stopped by a newer commit": (OLD, _with_job(interruptible=True), "Changed", MAJOR, "run"),
    "one at a time no more": (_with_job(resource_group="g"), OLD, "Changed", MAJOR, "run"),
    "an environment": (OLD, _with_job(environment="production"), "Changed", MAJOR, "run"),
    "inherits more": (OLD, _with_job(inherit='{"default": true}'), "Changed", MAJOR, "run"),
    "kept for longer": (OLD, _with_job(expire_in="2 weeks"), "Changed", MINOR, "run"),
    "kept for ever": (OLD, _with_job(expire_in="never"), "Changed", MINOR, "run"),
    "kept for less long": (OLD, _with_job(expire_in="5 minutes"), "Changed", MAJOR, "run"),
    "kept as the user does not say any more": (
        _with_job(expire_in="$[[ inputs.a ]]"),
        _with_job(expire_in="1 year"),
        "Changed",
        MAJOR,
        "run",
    ),
    "left out of the artifacts": (OLD, _with_job(exclude=("out/x",)), "Removed", MAJOR, "run"),
    "not left out any more": (_with_job(exclude=("out/x",)), OLD, "Added", MINOR, "run"),
    "another line": (OLD, _with_job(script=(*JOB.script, "true")), "Changed", MINOR, "run"),
    "without supervision": (OLD, _with_job(script=("septum run",)), "Changed", MAJOR, "run"),
    "a variable kept back": (OLD, _with_job(script=(JOB.script[0].replace("--keep B ", ""),)), "Changed", MAJOR, "run"),
    "another line after it": (OLD, _with_job(after_script=()), "Changed", MINOR, "run"),
    "does not bring septum": (OLD, _with_job(installs=False), "Changed", MAJOR, "run"),
    "brings septum": (_with_job(installs=False), OLD, "Changed", MINOR, "run"),
    "another keyword": (OLD, _with_job(others={"cache": "[]", "trigger": "x"}), "Changed", MAJOR, "run"),
    "retried in other cases": (OLD, _with_job(others={"cache": "[]", "retry:when": "x"}), "Changed", MINOR, "run"),
    # situations
    "runs no more": (OLD, _run(), "Removed", MAJOR, "run"),
    "runs as well": (_run(), OLD, "Added", MINOR, "run"),
    "starts by hand": (OLD, _run(when="manual", start_in=""), "Changed", MAJOR, "run"),
    "starts later": (OLD, _run(start_in="10 h"), "Changed", MINOR, "run"),
    "runs in another image": (OLD, _run(image="j"), "Changed", MAJOR, "run"),
    "its failure is a warning": (OLD, _run(allowed=True), "Changed", MAJOR, "run"),
    "needs more": (OLD, _run(needs=("a", "b")), "Changed", MAJOR, "run"),
    "needs less": (OLD, _run(needs=()), "Changed", MINOR, "run"),
    "does not wait for stages": (_run(needs=None), _run(needs=()), "Changed", MAJOR, "run"),
    "its rule sets more": (OLD, _run(sets={"X": "1"}), "Changed", MINOR, "run"),
    "its rule sets less": (_run(sets={"X": "1"}), _run(sets={}), "Removed", MAJOR, "run"),
    # variables
    "variable removed": (OLD, replace(OLD, shared={}), "Removed", MAJOR, "SEPTUM_A"),
    "variable added": (OLD, replace(OLD, shared={**OLD.shared, "SEPTUM_C": ""}), "Added", MINOR, "SEPTUM_C"),
    "fixed value": (OLD, replace(OLD, shared={"SEPTUM_A": "b"}), "Changed", MINOR, "SEPTUM_A"),
    "value for git": (OLD, _with_value(GIT_DEPTH="1"), "Changed", MAJOR, "GIT_DEPTH"),
    "not the input any more": (OLD, _with_value(SEPTUM_B="b"), "Changed", MAJOR, "SEPTUM_B"),
    "expanded": (OLD, _with_value(SEPTUM_B="expand: $[[ inputs.a ]]"), "Changed", MAJOR, "SEPTUM_B"),
}


@pytest.mark.parametrize(("old", "new", "kind", "bump", "subject"), TABLE.values(), ids=TABLE)
def test_each_change_has_its_smallest_version(
    old: ComponentTerms, new: ComponentTerms, kind: str, bump: Bump, subject: str
) -> None:
    """One change, of one kind, that names what has changed."""
    (change,) = differences(_contract(old), _contract(new))

    assert (change.kind, change.bump, change.component, change.subject) == (kind, bump, "c", subject)
    assert f"`{subject}`" in change.text or subject == "c"


@pytest.mark.parametrize("kind", [InputTerms, JobTerms, Ran, ComponentTerms])
def test_nothing_is_in_the_contract_that_is_not_compared(kind: type[Any]) -> None:
    """Every field differs in a row of the table, and so is seen when it changes."""
    both = [(old, new) for old, new, *_ in TABLE.values()]
    pairs: Any = {
        ComponentTerms: both,
        InputTerms: [(old.inputs.get("a"), new.inputs.get("a")) for old, new in both],
        JobTerms: [(old.jobs.get(f"{P}run"), new.jobs.get(f"{P}run")) for old, new in both],
        Ran: [
            tuple(flat(terms.situations)["no input", "push"].get("run") for terms in (old, new)) for old, new in both
        ],
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
    """Neither the version, nor the order and the quotes of options, nor the slash behind a folder is one."""
    options = [_form(None, ("x", "1")), _form(None, (1, "x"))]

    assert differences(_contract(options[0]), replace(_contract(options[1]), version="9.9.9")) == ()
    assert differences(_contract(), _contract(_with_job(paths=("out",)))) == ()
    moved = replace(OLD, shared={}, jobs={f"{P}run": replace(JOB, variables={**JOB.variables, **OLD.shared})})
    assert differences(_contract(), _contract(moved)) == ()
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
        ("^[a-z]{0,31}$", "^[a-z]{0,40}$", True),
        ("^(a{2}|b)$", "^(c|b|a{1,})$", True),
        ("^a{1,3}b{2}$", "^a{0,4}b{2,3}$", True),
        ("^a{0,40}$", "^a{0,31}$", False),
        ("^a{0,3}$", "^a{1,9}$", False),
        ("^a{1,}$", "^a{1,9}$", False),
        ("^a{0,3}$", "^b{0,9}$", False),
        (r"^a\{0,3}$", r"^a\{0,9}$", False),
        ("^[a{0,3}]$", "^[a{0,9}]$", False),
        (r"^\Qa{0,3}\E$", r"^\Qa{0,9}\E$", False),
    ],
)
def test_only_what_can_be_seen_is_called_wider(old: str | None, new: str | None, wider: bool) -> None:  # noqa: FBT001
    """Otherwise it is taken for narrower, which costs a version and no pipeline."""
    assert provably_wider(old, new) is wider
