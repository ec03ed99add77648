"""`septum component preview`: what it prints, in three forms, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from septum.cli import main
from septum.preview import psych
from tests.previewing import schema_errors

ROOT = Path(__file__).parents[2]
FILE = """\
spec:
  inputs:
    cluster: {default: local, options: [local, infn-af]}
    years: {type: array, default: []}
    fast: {type: boolean, default: false}
---
default: {image: "python:$VERSION"}
variables: {VERSION: "3.12", SEPTUM_CLUSTER: {value: "$[[ inputs.cluster ]]", expand: false}}
build:
  stage: build
  script:
    - make
    - |
      if true; then
        echo "a: b"
      fi
  artifacts: {paths: [out/], expire_in: 1 week}
test:
  script: ["run $[[ inputs.years ]] $[[ inputs.fast ]]"]
  tags: $[[ inputs.years ]]
  needs: [{job: build, artifacts: false}]
  rules:
    - if: $CI_COMMIT_TAG
      when: never
    - if: $CI_COMMIT_BRANCH
nightly:
  script: [nightly]
  rules: [{if: $CI_PIPELINE_SOURCE == "schedule", when: delayed, start_in: 5 minutes, allow_failure: true}]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a pipeline of three CI jobs."""
    (tmp_path / ".gitlab-ci.yml").write_text(FILE, encoding="utf-8")
    return tmp_path


def _run(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["component", "preview", *map(str, words)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def _fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["component", "preview", *map(str, words)]) == 2
    return capsys.readouterr().err


# ── for people ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_people_see_the_ci_jobs_by_stage(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what matters of each, and why the others are not there."""
    shown = _run(capsys, repository)

    assert shown.startswith("push, branch main (protected), GitLab ")
    assert shown.index("stage build") < shown.index("  build") < shown.index("stage test") < shown.index("  test")
    said = [" ".join(line.split()) for line in shown.splitlines()]
    for line in ("image python:3.12", "because rule 2 (if: $CI_COMMIT_BRANCH)", "needs build (no artifacts)"):
        assert line in said
    assert said.count("SEPTUM_CLUSTER local") == 1
    assert shown.endswith("not in this pipeline\n  nightly: no rule is met\n")


def test_the_situation_is_chosen_by_options(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the first line says which it is."""
    shown = _run(capsys, repository, "--source", "schedule", "--branch", "next", "--protected", "--gitlab", "18.0")

    assert shown.startswith("schedule, branch next (protected), GitLab 18.0\n")
    assert "delayed by 5 minutes, may fail" in shown


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ([], "push, branch main (protected)"),
        (["--branch", "fix"], "push, branch fix (not protected)"),
        (["--unprotected"], "push, branch main (not protected)"),
        (["--tag", "1.0"], "push, tag 1.0 (not protected)"),
        (["--tag", "1.0", "--protected"], "push, tag 1.0 (protected)"),
        (["--merge-request"], "merge_request_event, merge request of the branch feature (not protected)"),
        (["--merge-request", "--fork", "me/p"], "merge_request_event, merge request from me/p, branch feature"),
        (["--branch", "fix", "--open-merge-request"], "push, branch fix (not protected, with an open merge request)"),
        (["--source", "merge_request_event", "--branch", "a"], "merge_request_event, merge request of the branch a"),
    ],
)
def test_a_ref_is_protected_if_it_is_main_or_one_says_so(
    options: list[str], first: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tags, other branches and merge requests are not."""
    assert _run(capsys, repository, *options).startswith(first)


def test_no_pipeline_is_an_answer(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In GitLab's words, and no failure of the command."""
    (repository / ".gitlab-ci.yml").write_text("j: {script: [s], rules: [{if: $CI_COMMIT_TAG}]}")

    assert "no pipeline: Pipeline will not run for the selected trigger." in _run(capsys, repository)
    assert "# no pipeline: Pipeline will not run" in _run(capsys, repository, "--yaml")
    assert json.loads(_run(capsys, repository, "--json"))["refusal"].startswith("Pipeline will not run")


def test_text_of_the_file_moves_no_cursor(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor opens a section of a CI log, nor makes a line of its own."""
    name = "a\x1b[2Jb\nnot in this pipeline\u2028c"
    text = json.dumps({name: {"script": ["s"], "image": name, "rules": [{"if": "$CI\n  && $CI"}]}})
    (repository / ".gitlab-ci.yml").write_text(text)

    shown = _run(capsys, repository) + _run(capsys, repository, "--yaml")

    assert "\x1b" not in shown
    assert "\nnot in this pipeline" not in shown
    assert "\u2028" not in shown


# ── YAML and JSON ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_yaml_is_a_pipeline_that_gives_itself(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is left to include, to extend, to inherit or to decide."""
    once = _run(capsys, repository, "--yaml", "--input", "cluster=infn-af")
    (repository / ".gitlab-ci.yml").write_text(once, encoding="utf-8")
    again = _run(capsys, repository, "--yaml")

    assert once.splitlines()[:3] == [
        "# push, branch main (protected)",
        "# not in this pipeline:",
        "#   nightly: no rule is met",
    ]
    assert again.splitlines()[1:] == once.splitlines()[3:]
    body: Any = psych.read(once)
    assert body["build"]["script"] == ["make", 'if true; then\n  echo "a: b"\nfi\n']
    assert body["build"]["variables"]["SEPTUM_CLUSTER"] == {"value": "infn-af", "expand": False}
    assert body["test"]["needs"] == [{"job": "build", "artifacts": False}]
    assert schema_errors({**body, "test": {**body["test"], "tags": ["x"]}}) == []


def test_the_same_files_give_the_same_bytes_wherever_they_lie(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """No path, no clock, no order of a set."""
    copy = tmp_path_factory.mktemp("elsewhere")
    (copy / ".gitlab-ci.yml").write_text(FILE, encoding="utf-8")

    for form in ("--yaml", "--json"):
        assert _run(capsys, repository, form) == _run(capsys, copy, form)


TEXTS = [
    "",
    "yes",
    "null",
    "~",
    "0.1",
    "a: b",
    "a #b",
    "'",
    '"',
    "- a",
    "[x]",
    "&a",
    "*a",
    "!a",
    "%a",
    "a\\n",
    "07",
    "1e3",
]
TEXTS += [
    "1:30",
    "2024-01-01",
    "a\nb",
    "a\n",
    "\na",
    "a\n\n",
    " a\nb",
    "\ta\nb",
    "\x07",
    "\x85",
    "\u2028",
    "𝄞",
    "=",
    "1_000",
]
TEXTS += ["if x; then\n  y\nfi\n", "a:\n  b: c\n", "x\r\ny", "# c\nd", "---\na", "...", "\ufeff", "a, b", "k}"]


def test_every_text_survives_the_yaml(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a value, in a list, in a variable, in a script: read back as GitLab reads it."""
    noise = random.Random(3)
    job = {
        "script": TEXTS[1:],
        "variables": {f"V{n}": {"value": text, "expand": False} for n, text in enumerate(TEXTS)},
        "artifacts": {
            "paths": noise.sample(TEXTS, 9),
            "reports": {text: ["x", [None, 1.5, True, []]] for text in TEXTS[1:]},
        },
    }
    # JSON writes one character beyond the first plane as two; in YAML these would be two characters.
    text = json.dumps({"j": job}).replace(json.dumps("𝄞")[1:-1], "𝄞")
    (repository / ".gitlab-ci.yml").write_text(text, encoding="utf-8")

    found: Any = psych.read(_run(capsys, repository, "--yaml"))

    assert {key: found["j"][key] for key in job} == job


def test_programs_get_the_same_as_data(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With stable keys."""
    found = json.loads(_run(capsys, repository, "--json", "--source", "web"))

    assert {"source", "ref", "name", "refusal", "stages", "jobs", "left_out", "includes", "warnings"} <= found.keys()
    assert (found["source"], found["stages"]) == ("web", ["build", "test"])
    assert [job["name"] for job in found["jobs"]] == ["build", "test"]
    assert found["jobs"][0]["image"] == "python:3.12"
    assert found["left_out"] == [{"name": "nightly", "why": "no rule is met"}]


# ── inputs, variables, components ───────────────────────────────────────────────────────────────────────────────


def test_inputs_are_read_as_gitlabs_form_reads_them(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text for strings, JSON for the others."""
    words = ["--input", "cluster=infn-af", "--input", 'years=["2023", "2024"]', "--input", "fast=true"]

    found = json.loads(_run(capsys, repository, "--json", *words))

    test = next(job for job in found["jobs"] if job["name"] == "test")
    assert test["tags"] == ["2023", "2024"]
    assert test["script"] == ['run ["2023", "2024"] true']


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input", "cluster=mars"], "`cluster` input"),
        (["--input", "years=2023"], "`years` input"),
        (["--input", "fast=perhaps"], "`fast` input"),
        (["--input", "nope=1"], "nope"),
        (["--input", "cluster"], "expected NAME=VALUE"),
        (["--variable", "=x"], "expected NAME=VALUE"),
        (["--gitlab", "soon"], "no version that is known here"),
        (["--gitlab", "16.11"], "no version that is known here"),
        (["--gitlab", "17.0", "--input", "cluster=local"], "takes no inputs"),
        (["--merge-request", "--tag", "1"], "a merge request has no tag"),
        (["--merge-request", "--source", "web"], "one of them"),
        (["--fork", "me/p"], "--fork is for merge requests"),
        (["--component", "a", "--component", "b"], "only one alone"),
        (["--component", "nope", "--library", ROOT], "content not found"),
        (["nowhere"], "does not exist"),
    ],
)
def test_what_is_wrong_is_one_clear_message(
    words: list[object],
    message: str,
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a code, and no traceback."""
    monkeypatch.chdir(repository)

    said = _fails(capsys, *words)

    assert said.startswith("septum: ")
    assert message in said
    assert "Traceback" not in said


def test_project_variables_win(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over those of the YAML."""
    assert "python:3.9\n" in _run(capsys, repository, "--variable", "VERSION=3.9")


def test_changed_files_count_for_rules(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the option GitLab cannot know them, and `changes` is met."""
    (repository / ".gitlab-ci.yml").write_text("j: {script: [s], rules: [{changes: [src/*]}]}\nk: {script: [s]}")

    assert "not in this pipeline" not in _run(capsys, repository)
    assert "not in this pipeline\n  j" in _run(capsys, repository, "--changed", "docs/a.md")
    assert "not in this pipeline" not in _run(capsys, repository, "--changed", "docs/a.md", "--changed", "src/a.py")


def test_an_open_merge_request_can_keep_the_branch_from_having_a_pipeline(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """doc/ci/yaml/workflow.md, Switch between branch pipelines and merge request pipelines."""
    rules = "[{if: $CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS, when: never}, {when: always}]"
    (repository / ".gitlab-ci.yml").write_text(f"workflow: {{rules: {rules}}}\nj: {{script: [s]}}")

    assert "no pipeline" not in _run(capsys, repository)
    assert "no pipeline: Pipeline filtered out" in _run(capsys, repository, "--open-merge-request")
    assert "no pipeline" not in _run(capsys, repository, "--open-merge-request", "--tag", "1.0")
    assert json.loads(_run(capsys, repository, "--open-merge-request", "--json"))["open_merge_request"] is True
    assert "leave it out" in _fails(capsys, repository, "--merge-request", "--open-merge-request")


def test_a_warning_is_told_to_its_end(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it says what to do."""
    (repository / ".gitlab-ci.yml").write_text(f"{'j' * 60}: {{script: [s], rules: [{{when: always}}]}}")

    assert "with no `workflow:rules`\n" in _run(capsys, repository)


def test_one_component_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the library, with inputs of every type, from a folder without a pipeline; on old servers, too."""
    words = ["--component", "analysis", "--library", ROOT, "--input", "wait=hops", "--input", "hops=3"]
    words += ["--input", "cluster=infn-af", "--input", 'tags=["batch"]', "--input", "cancel-on-new-commit=true"]

    found = json.loads(_run(capsys, tmp_path, *words, "--json", "--gitlab", "17.0"))

    jobs = {job["name"]: job for job in found["jobs"]}
    assert [name for name in jobs if "hop" in name] == ["septum-hop-1", "septum-hop-2"]
    assert (jobs["septum-submit"]["tags"], jobs["septum-submit"]["interruptible"]) == (["batch"], True)


def test_a_component_of_the_repository_comes_before_one_of_the_library(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its authors want to see their own."""
    (repository / "templates").mkdir()
    (repository / "templates" / "analysis.yml").write_text("mine: {script: [s]}\n")

    shown = _run(capsys, repository, "--component", "analysis", "--library", ROOT)

    assert "  mine\n" in shown


def test_files_of_others_are_given_by_option(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Components by address, other files by theirs."""
    (repository / "c.yml").write_text("c: {script: [s]}\n")
    (repository / "r.yml").write_text("r: {script: [s]}\n")
    (repository / ".gitlab-ci.yml").write_text(
        "include: [{component: $CI_SERVER_FQDN/a/b/c@1.0}, {remote: 'https://x.test/?a=b/r.yml'}]\n"
    )
    words = ["--component", f"gitlab.test/a/b/c={repository / 'c.yml'}", "--server", "gitlab.test"]
    words += ["--include", f"https://x.test/?a=b/r.yml={repository / 'r.yml'}"]

    shown = _run(capsys, repository, *words)

    assert "  includes component gitlab.test/a/b/c@1.0\n" in shown
    assert "  c\n" in shown
    assert "  r\n" in shown


def test_the_checkout_that_the_command_runs_in_is_the_library(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And elsewhere the components are those of the septum that is installed, as for a rehearsal."""
    (repository / ".gitlab-ci.yml").write_text("include: [{component: $CI_SERVER_FQDN/x/septum/analysis@~latest}]\n")
    monkeypatch.chdir(ROOT)
    assert "septum-submit" in _run(capsys, repository)

    monkeypatch.chdir(repository)
    assert "septum-submit" in _run(capsys, repository)
    assert "septum-submit" in _run(capsys, repository, "--component", "analysis")
    (repository / ".gitlab-ci.yml").write_text("include: [{component: $CI_SERVER_FQDN/x/septum/analysis@99}]\n")
    assert "those of the septum that is installed" in _fails(capsys)


def test_a_file_in_a_folder_of_the_repository_includes_from_its_root(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The root is where `.git` is."""
    (repository / ".git").mkdir()
    (repository / "ci").mkdir()
    (repository / "ci" / "main.yml").write_text("include: /shared.yml\n")
    (repository / "shared.yml").write_text("shared: {script: [s]}\n")

    assert "  shared\n" in _run(capsys, repository / "ci" / "main.yml")


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """And says that nothing is fetched."""
    with pytest.raises(SystemExit):
        main(["component", "preview", "--help"])

    shown = capsys.readouterr().out
    assert "septum component preview --component analysis" in shown
    assert "nothing is fetched" in shown


def test_the_interpreter_is_loaded_when_it_is_used() -> None:
    """Every CI job pays for what the command line imports."""
    code = "import septum.cli, sys\nprint([name for name in sys.modules if name.startswith('septum.preview')])"
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": ""}
    )

    assert done.stdout == "[]\n"


def test_an_empty_pipeline_is_comments_only(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that a golden file of a situation without CI jobs is one, too."""
    (repository / ".gitlab-ci.yml").write_text("workflow: {rules: [{when: never}]}\nj: {script: [s]}\n")

    lines = _run(capsys, repository, "--yaml").splitlines()

    assert lines
    assert all(line.startswith("#") for line in lines)
