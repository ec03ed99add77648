"""What reaches a CI job of a component in its environment: defaults of inputs, values that win over them, rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from septum.cli import main
from septum.components import catalog, inputs
from septum.components.environment import check, given
from septum.errors import UsageError

OWN = {
    "SEPTUM_RULE": "own",
    "SEPTUM_PREFIX": "septum-",
    "SEPTUM_STATE": ".septum/septum-",
    "SEPTUM_REPORTS": ".septum-reports/septum-",
}
COMPONENT = {"SEPTUM_COMPONENT": "analysis@0.1.0", **OWN}
HOPS = {**COMPONENT, "SEPTUM_WAIT": "hops", "SEPTUM_HOPS": "4", "SEPTUM_CLUSTER": "infn-af"}
TASTE = {**COMPONENT, "SEPTUM_RULE": "taste", "SEPTUM_CLUSTER": "local", "SEPTUM_PARTS": str(inputs.TASTE_PARTS)}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables of a CI job that happens to run the tests."""
    for name in [name for name in os.environ if name.startswith("SEPTUM_")] + ["CI_JOB_NAME"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, "local"), ({"SEPTUM_CLUSTER": ""}, "local"), ({"SEPTUM_CLUSTER": "infn-af"}, "infn-af")],
)
def test_what_is_not_given_is_the_default_of_the_input(environ: dict[str, str], expected: str) -> None:
    """One default for the component and for the command line."""
    assert given(inputs.CLUSTER, environ) == expected


def test_every_default_of_an_input_passes() -> None:
    """And so does every option: what GitLab lets through is not refused afterwards."""
    for name, item in catalog.variables().items():
        for value in (item.default, *item.options):
            check({**COMPONENT, name: str(value)})
            check({"SEPTUM_COMPONENT": "sweep@0.1.0", **OWN, name: str(value)})


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("SEPTUM_CLUSTER", "infn af", "the form"),
        ("SEPTUM_CLUSTER", "local\n", "the form"),
        ("SEPTUM_CLUSTER", "", "the form"),
        ("SEPTUM_PREFIX", "../x", "the form"),
        ("SEPTUM_RESULT", "/tmp", "the form"),
        ("SEPTUM_WAIT", "Hops", "one of hold, hops"),
        ("SEPTUM_HOPS", "9", "one of 2, 3"),
        ("SEPTUM_REFS", "anywhere", "one of protected, everywhere"),
        ("SEPTUM_IMAGE", "a b", "the form"),
        ("SEPTUM_RESULT", "a/../../x", "a path in the repository"),
        ("SEPTUM_CLUSTER", "a/../../x.yaml", "a path in the repository"),
    ],
)
def test_what_wins_over_an_input_is_judged_like_it(name: str, value: str, word: str) -> None:
    """A variable of the project has the same name and another source: the message says so, and where it stands."""
    with pytest.raises(UsageError) as caught:
        check({**COMPONENT, name: value})

    assert name in caught.value.what
    assert word in caught.value.evidence
    assert "Settings > CI/CD > Variables" in caught.value.fix


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        # A hop that is not the last one passes with nothing collected.
        ({**COMPONENT, "CI_JOB_NAME": "septum-collect"}, "SEPTUM_HOP", "1/6"),
        ({**HOPS, "CI_JOB_NAME": "septum-collect"}, "SEPTUM_HOP", "1/4"),
        ({**HOPS, "CI_JOB_NAME": "septum-collect"}, "SEPTUM_HOP", ""),
        ({**HOPS, "CI_JOB_NAME": "septum-hop-2"}, "SEPTUM_HOP", "3/4"),
        ({**HOPS, "CI_JOB_NAME": "septum-submit"}, "SEPTUM_HOP", "4/4"),
        # A run of a few parts is no run, and what a ref without credentials gets stays in the CI job.
        (COMPONENT, "SEPTUM_PARTS", "3"),
        (TASTE, "SEPTUM_PARTS", "0"),
        (TASTE, "SEPTUM_PARTS", ""),
        (TASTE, "SEPTUM_CLUSTER", "infn-af"),
        # Two includes would share a folder, or the artifact would be empty.
        (COMPONENT, "SEPTUM_STATE", "/tmp/x"),
        (COMPONENT, "SEPTUM_REPORTS", ".septum-reports/other-"),
        # The look itself is not switched off.
        ({**COMPONENT, "SEPTUM_WHEEL": "septum==0.1.0"}, "SEPTUM_COMPONENT", ""),
    ],
)
def test_what_the_component_chooses_nobody_else_does(environ: dict[str, str], name: str, value: str) -> None:
    """Or a CI job would pass that has done something else than the pipeline says."""
    with pytest.raises(UsageError) as caught:
        check({**environ, name: value})

    assert caught.value.what.startswith(f"{name}: {value!r} is not what the component would have")


@pytest.mark.parametrize(
    "environ",
    [
        TASTE,
        {**TASTE, "SEPTUM_WAIT": "hops", "SEPTUM_HOPS": "4", "CI_JOB_NAME": "septum-collect"},
        {**HOPS, "CI_JOB_NAME": "septum-submit"},
        {**HOPS, "CI_JOB_NAME": "septum-hop-1", "SEPTUM_HOP": "1/4"},
        {**HOPS, "CI_JOB_NAME": "septum-collect", "SEPTUM_HOP": "4/4"},
        {**HOPS, "SEPTUM_CLUSTER": "local", "CI_JOB_NAME": "septum-collect"},
    ],
)
def test_what_the_component_chooses_passes(environ: dict[str, str]) -> None:
    """A taste, each place in the row of hops, and no row where the cluster is the CI job itself."""
    check(environ)


def test_outside_of_a_component_everything_is_taken_as_it_is() -> None:
    """A laptop may have its profile at any path."""
    check({"SEPTUM_CLUSTER": "/data/my profile.yaml", "SEPTUM_RESULT": "../elsewhere"})


@pytest.mark.parametrize("component", ["analysis", "prepare", "submit", "collect", "run"])
def test_a_rule_that_takes_a_ci_job_in_is_refused(component: str) -> None:
    """Nobody chose its image, its cluster and its delay."""
    with pytest.raises(UsageError, match="can only leave it out") as caught:
        check({**OWN, "SEPTUM_COMPONENT": f"{component}@0.1.0", "SEPTUM_RULE": "", "CI_JOB_NAME": "septum-prepare"})

    assert "septum-prepare" in caught.value.evidence
    assert "when: never" in caught.value.fix
    check({**OWN, "SEPTUM_COMPONENT": f"{component}@0.1.0"})


@pytest.mark.parametrize("component", ["preflight", "compare", "sweep"])
def test_where_rules_choose_nothing_else_any_rule_will_do(component: str) -> None:
    """Whether the CI job is there is all that they say."""
    check({**OWN, "SEPTUM_COMPONENT": f"{component}@0.1.0", "SEPTUM_RULE": ""})


def test_the_command_line_refuses_before_it_does_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the exit code of a configuration error, which is not retried."""
    monkeypatch.setenv("SEPTUM_COMPONENT", "analysis@0.1.0")

    assert main(["prepare"]) == 2
    assert "a rule of the input 'rules' decided" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_skipped_says_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With an exit code of its own, which the component takes for a warning."""
    monkeypatch.setenv("CI_COMMIT_REF_NAME", "feature")

    assert main(["skipped"]) == 10
    said = capsys.readouterr().err
    assert "skipped: no credentials on this ref" in said
    assert "feature is not protected" in said
    assert "without-credentials: local" in said


def test_a_taste_is_asked_for_by_a_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the component's rules set it where a ref has no credentials; the plan knows of the parts that are missing."""
    Path("septum.yaml").write_text(
        "command: [echo, '{n}']\nparts: {product: {n: {first: 1, last: 9}}}\noutputs: [hists.root]\n"
    )
    monkeypatch.setenv("SEPTUM_PARTS", str(inputs.TASTE_PARTS))

    assert main(["prepare"]) == 0
    assert "3 parts of 9" in capsys.readouterr().out
