"""The rendered components: what GitLab reads is what the model says, and nothing leaks either way."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from septum.cli import component as cli
from septum.components import model
from septum.components.render import (
    drift,
    fill_marks,
    inputs_table,
    library_root,
    parse,
    render_all,
    render_component,
    scalar,
)
from septum.errors import StateError, UsageError
from septum.patience import DELAYS_MIN, HOP_COUNTS, delays_min

ROOT = Path(__file__).parents[2]
# What `default:` may hold (doc/ci/yaml, "default"), so what could reach a CI job that does not set it.
DEFAULT_KEYWORDS = frozenset(
    {"after_script", "artifacts", "before_script", "cache", "hooks", "id_tokens", "image", "interruptible"}
    | {"retry", "services", "tags", "timeout"}
)
HOP_JOBS = [f"hop-{number}" for number in range(1, HOP_COUNTS[-1])]
INPUT = re.compile(r"\$\[\[\s*inputs\.([a-z-]+)\s*\]\]")
COMPONENTS = pytest.mark.parametrize("item", model.COMPONENTS, ids=lambda item: item.name)


@cache
def _read(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return parse((ROOT / "templates" / f"{name}.yml").read_text(encoding="utf-8"), name)


def _body_of(item: model.Component) -> dict[str, Any]:
    """The CI jobs with what they take from hidden ones, as GitLab merges them."""
    _, body = _read(item.name)
    return {name: _extended(job, body) for name, job in body.items() if not name.startswith(".")}


def _extended(job: Any, body: dict[str, Any]) -> Any:
    own = dict(job)
    base = body[own.pop("extends")] if "extends" in own else {}
    # Mappings are merged; of the hops only `variables` is one in both.
    return {**base, **own, "variables": {**base.get("variables", {}), **own["variables"]}}


def _expand(node: Any, values: dict[str, Any]) -> Any:
    """Put inputs in as GitLab does: a scalar that is one reference keeps the value's type."""
    if isinstance(node, dict):
        return {_expand(key, values): _expand(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_expand(item, values) for item in node]
    if not isinstance(node, str):
        return node
    whole = INPUT.fullmatch(node)
    return values[whole[1]] if whole else INPUT.sub(lambda match: str(values[match[1]]), node)


def _defaults(item: model.Component) -> dict[str, Any]:
    return {
        entry.name: list(entry.default) if isinstance(entry.default, tuple) else entry.default for entry in item.inputs
    }


def _shell_lines(job: dict[str, Any], *keywords: str) -> str:
    return "\n".join(line for keyword in keywords for line in job[keyword])


def _jobs() -> list[Any]:
    return [
        pytest.param(item, INPUT.sub("", name), job, id=f"{item.name}-{INPUT.sub('', name)}")
        for item in model.COMPONENTS
        for name, job in _body_of(item).items()
    ]


JOBS = pytest.mark.parametrize(("item", "name", "job"), _jobs())


# ── rendering ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_committed_files_are_what_the_sources_give() -> None:
    """Nobody edited templates/ by hand, and nobody forgot to render."""
    assert drift(render_all(ROOT), ROOT) == [], "run: septum component render"


def test_rendering_twice_gives_the_same_bytes() -> None:
    """No clock, no order of a set, no machine is in the output."""
    assert render_all(ROOT) == render_all(ROOT)


def test_every_rendered_file_has_a_source() -> None:
    """A component that was removed leaves nothing behind."""
    rendered = {path.stem for path in (ROOT / "templates").iterdir()}

    assert rendered == {item.name for item in model.COMPONENTS}


@COMPONENTS
def test_first_line_says_where_it_comes_from(item: model.Component) -> None:
    """Who opens the rendered file sees at once that it is not the source."""
    first = (ROOT / "templates" / f"{item.name}.yml").read_text(encoding="utf-8").splitlines()[0]

    assert first.startswith("# Generated from components/")
    assert "septum component render" in first
    assert "Do not edit" in first


def test_unknown_name_in_a_source_is_an_error(tmp_path: Path) -> None:
    """A misspelt name does not become an empty text."""
    (tmp_path / "components" / "analysis").mkdir(parents=True)
    (tmp_path / "components" / "analysis" / "component.yml.j2").write_text("a: {{ compnent.name }}\n")

    with pytest.raises(StateError, match="cannot be rendered") as caught:
        render_component(model.ANALYSIS, tmp_path)

    assert "compnent" in caught.value.evidence


def test_source_that_gives_no_two_documents_is_an_error(tmp_path: Path) -> None:
    """A component is a header and a body."""
    (tmp_path / "components" / "analysis").mkdir(parents=True)
    source = tmp_path / "components" / "analysis" / "component.yml.j2"

    source.write_text("job: {script: [true]}\n")
    with pytest.raises(StateError, match="header and a body"):
        render_component(model.ANALYSIS, tmp_path)

    source.write_text("spec: {\n")
    with pytest.raises(StateError, match="not valid YAML"):
        render_component(model.ANALYSIS, tmp_path)


TEXTS = ["", "yes", "No", "null", "~", "1 week", "0.1", "a: b", "a #b", "'", '"', "-", "- a", "[x]", "{x}", "^a$", "é"]
TEXTS += ["&a", "*a", "!a", "%a", "@a", "`a`", "a\\n", "07", "1e3", "true"]


@pytest.mark.parametrize("value", [*TEXTS, True, False, 3, (), ("a b", "'c'")])
def test_a_scalar_survives_a_reader(value: model.Default) -> None:
    """Whatever stands in the model is what GitLab reads."""
    read = YAML(typ="safe", pure=True).load(f"x: {scalar(value)}")["x"]

    assert read == (list(value) if isinstance(value, tuple) else value)
    assert isinstance(read, list) or type(read) is type(value)


# ── the header ──────────────────────────────────────────────────────────────────────────────────────────────────


@COMPONENTS
def test_header_holds_the_inputs_of_the_model(item: model.Component) -> None:
    """Names, order, types, defaults, forms and options come from one place."""
    header, _ = parse((ROOT / "templates" / f"{item.name}.yml").read_text(encoding="utf-8"), item.name)
    inputs: dict[str, Any] = header["spec"]["inputs"]  # type: ignore[index]

    assert list(inputs) == [entry.name for entry in item.inputs]
    for entry in item.inputs:
        written = inputs[entry.name]
        assert written.get("type", "string") == entry.type
        assert written.get("default") == _defaults(item)[entry.name]
        assert written.get("regex") == entry.regex
        assert tuple(written.get("options", ())) == entry.options
        assert not entry.options or entry.default in entry.options
        assert written["description"] == entry.description
        assert len(entry.description) <= 1024
        assert "\n" not in entry.description


@COMPONENTS
def test_forms_are_within_what_gitlab_knows(item: model.Component) -> None:
    """RE2 has no look-around, forms are for strings, and a default must have its own form."""
    for entry in item.inputs:
        if entry.regex:
            assert entry.type == "string"
            assert "(?" not in entry.regex
            assert entry.regex.startswith("^")
            assert entry.regex.endswith("$")
            assert entry.default is None or re.search(entry.regex, str(entry.default))


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("cluster", ["", "-rf", "a b", "a\nb", "$(id)", "`id`", "a;b", "$CLUSTER", "'a'"]),
        ("image", ["a b", "a\nb", "$(id)", "`id`", "a;b", "'a'", '"a"', "-v", "a|b"]),
        ("job-prefix", ["", "-", "a b", "a/b", "$A", "a\n", ".a", "a" * 33]),
        ("result", ["", "/tmp", "../x", "-x", "a b", "$A", "a\nb", ".git"]),
    ],
)
def test_forms_refuse_what_no_such_value_can_be(name: str, refused: list[str]) -> None:
    """A value that a keyword or a file name is made of cannot hold more than such a name."""
    regex = next(entry.regex for entry in model.ANALYSIS.inputs if entry.name == name)

    assert regex is not None
    # GitLab's $ is the end of the text; Python's would allow a line break before it.
    assert [value for value in refused if re.fullmatch(regex, value)] == []


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("cluster", ["local", "infn-af", "clusters/mine.yaml", "CERN_lxbatch.2"]),
        (
            "image",
            ["", "python:3.12", "registry.example.org:5000/a/b@sha256:0a", "$CI_REGISTRY_IMAGE/x:${CI_COMMIT_SHA}"],
        ),
        ("job-prefix", ["septum-", "a", "year.2024_"]),
        ("result", ["result", "out/2024", "_r"]),
    ],
)
def test_forms_accept_what_users_write(name: str, accepted: list[str]) -> None:
    """The forms are no narrower than the things they are for."""
    regex = next(entry.regex for entry in model.ANALYSIS.inputs if entry.name == name)

    assert regex is not None
    assert [value for value in accepted if not re.fullmatch(regex, value)] == []


# ── the body ────────────────────────────────────────────────────────────────────────────────────────────────────


@COMPONENTS
def test_body_holds_ci_jobs_with_the_prefix_and_nothing_else(item: model.Component) -> None:
    """No global keyword reaches the including pipeline, and two includes do not meet in a name."""
    _, body = _read(item.name)
    names = ["$[[ inputs.job-prefix ]]" + name for job in item.jobs for name in job.names]

    assert [name for name in body if not name.startswith(".")] == names
    assert [name for name in body if name.startswith(".")] == [".$[[ inputs.job-prefix ]]hop"]


@COMPONENTS
def test_every_input_is_used(item: model.Component) -> None:
    """An input without effect would be a promise that nobody keeps."""
    used = set(INPUT.findall(json.dumps(_body_of(item))))

    assert used == {entry.name for entry in item.inputs}


@JOBS
def test_nothing_of_the_users_default_can_reach_a_ci_job(item: model.Component, name: str, job: dict[str, Any]) -> None:
    """`inherit` shuts it out, and every keyword that it could hold is set."""
    assert job["inherit"] == {"default": False}
    assert job.keys() >= DEFAULT_KEYWORDS
    assert job["services"] == job["cache"] == []


@JOBS
def test_no_input_stands_where_a_shell_or_a_rule_would_read_it(
    item: model.Component, name: str, job: dict[str, Any]
) -> None:
    """Text of an input in a script would be code."""
    for keyword in ("before_script", "script", "after_script", "hooks"):
        assert "$[[" not in json.dumps(job[keyword])
    for rule in job["rules"]:
        assert "$[[" not in rule.get("if", "") + json.dumps(rule.get("variables", {}))


@JOBS
def test_inputs_arrive_by_variables_to_the_last_byte(item: model.Component, name: str, job: dict[str, Any]) -> None:
    """A `$` in an input stays one, except in images, where users write CI/CD variables."""
    variables = job["variables"]

    for entry in item.variables:
        # A number has no `$`, and GitLab's schema takes none under `value`.
        plain = entry.expand or entry.type == "number"
        expected = entry.reference if plain else {"value": entry.reference, "expand": False}
        assert variables[entry.variable] == expected
        assert not entry.expand or entry.name.endswith("image")
    assert all(re.match(r"(SEPTUM|GIT)_", variable) for variable in variables)
    assert {"GIT_STRATEGY", "GIT_DEPTH", "GIT_SUBMODULE_STRATEGY"} <= variables.keys()


@JOBS
def test_a_ci_job_is_little_shell_that_a_shell_accepts(item: model.Component, name: str, job: dict[str, Any]) -> None:
    """At most ten lines, POSIX; the work is septum's, and credentials are where a cluster is touched."""
    script = _shell_lines(job, "before_script", "script", "after_script")
    verb = "collect" if name.startswith("hop-") else name

    assert len(script.splitlines()) <= 10
    # collect asks GitLab for the reference, and writes the note; its parts on `local` get neither token.
    tokens = "--keep CI_JOB_TOKEN --keep SEPTUM_GITLAB_TOKEN " if verb == "collect" else ""
    supervised = "" if verb == "prepare" else f"septum credentials run {tokens}-- "
    assert job["script"] == [f"{supervised}septum {verb}"]
    for shell in ("sh", "bash"):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@JOBS
def test_only_try_again_is_tried_again(item: model.Component, name: str, job: dict[str, Any]) -> None:
    """A failure of the analysis is not repeated; a lost runner and exit code 75 are."""
    assert job["retry"]["max"] == 2
    assert job["retry"]["exit_codes"] == [75]
    assert not {"always", "script_failure", "job_execution_timeout"} & set(job["retry"]["when"])


@JOBS
def test_artifacts_are_kept_from_strangers_and_not_for_ever(
    item: model.Component, name: str, job: dict[str, Any]
) -> None:
    """A public project does not publish its state folder."""
    assert job["artifacts"]["access"] == "developer"
    kept = model.HOP_EXPIRY if name.startswith("hop-") else "$[[ inputs.expire-in ]]"
    assert job["artifacts"]["expire_in"] == kept


def test_the_ci_jobs_follow_each_other() -> None:
    """Within one stage, by needs, so that one stage input is enough."""
    body = _expand(_body_of(model.ANALYSIS), _defaults(model.ANALYSIS))

    assert list(body) == [f"septum-{name}" for name in ("prepare", "submit", *HOP_JOBS, "collect")]
    assert "needs" not in body["septum-prepare"]
    assert body["septum-submit"]["needs"] == ["septum-prepare"]
    assert body["septum-collect"]["needs"] == ["septum-submit"]
    for one, two in pairwise(["submit", *HOP_JOBS]):
        assert body[f"septum-{two}"]["needs"] == [f"septum-{one}"]


def _chosen(job: dict[str, Any], values: dict[str, Any]) -> dict[str, Any] | None:
    """The rule that GitLab takes in a pipeline of a branch; None for a CI job that is not in it."""
    variables = {
        name: str(value["value"] if isinstance(value, dict) else value) for name, value in job["variables"].items()
    }
    for rule in job["rules"]:
        if all(_holds(term, {**variables, "CI_COMMIT_BRANCH": "main"}) for term in rule.get("if", "").split(" && ")):
            return None if rule.get("when") == "never" else rule
    return None


def _holds(term: str, variables: dict[str, str]) -> bool:
    if not term:
        return True
    left, operator, right = (*term.split(" ", 2), "", "")[:3]
    value = variables.get(left.removeprefix("$"))
    if operator == "=~":
        return re.search(right.strip("/"), value or "") is not None
    if operator:
        same = value == (None if right == "null" else right.strip('"'))
        return same if operator == "==" else not same
    return bool(value)


@pytest.mark.parametrize("longest", DELAYS_MIN)
@pytest.mark.parametrize("count", HOP_COUNTS)
def test_there_are_as_many_hops_as_asked_for_after_their_delays(count: int, longest: str) -> None:
    """The pipeline is what `septum submit` counts with: the delays of each number and length, collect as the last."""
    given = {"cluster": "infn-af", "wait": "hops", "hops": count, "hop-delay": longest}
    values = {**_defaults(model.ANALYSIS), **given}
    body = _expand(_body_of(model.ANALYSIS), values)
    rules = {name: rule for name, job in body.items() if (rule := _chosen(job, values)) is not None}

    chain = [*(f"septum-{name}" for name in HOP_JOBS[: count - 1]), "septum-collect"]
    assert list(rules) == ["septum-prepare", "septum-submit", *chain]
    assert all(rules[name]["when"] == "delayed" for name in chain)
    numbers = [60 if "hour" in rules[name]["start_in"] else 1 for name in chain]
    numbers = [unit * int(rules[name]["start_in"].split()[0]) for unit, name in zip(numbers, chain, strict=True)]
    assert tuple(numbers) == delays_min(longest, count)
    # Each hop goes on where the one before it left, and knows its number.
    needs = [rules[name].get("needs", body[name]["needs"]) for name in chain]
    assert needs == [[name] for name in ["septum-submit", *chain[:-1]]]
    hops = [{**body[name]["variables"], **rules[name].get("variables", {})}["SEPTUM_HOP"] for name in chain]
    hops = [hop["value"] if isinstance(hop, dict) else hop for hop in hops]
    assert hops == [f"{number}/{count}" for number in range(1, count + 1)]


@pytest.mark.parametrize("given", [{"cluster": "infn-af"}, {"wait": "hops"}, {"wait": "hops", "image": "ours:1"}])
def test_no_hop_exists_with_wait_hold_or_where_parts_end_with_their_septum(given: dict[str, str]) -> None:
    """Then collect starts at once, after submit, and is no hop."""
    values = {**_defaults(model.ANALYSIS), **given}
    body = _expand(_body_of(model.ANALYSIS), values)
    rules = {name: rule for name, job in body.items() if (rule := _chosen(job, values)) is not None}

    assert list(rules) == ["septum-prepare", "septum-submit", "septum-collect"]
    collect = body["septum-collect"]
    assert not {"when", "start_in", "needs"} & (
        rules["septum-collect"].keys() - ({"when"} if "image" not in given else set())
    )
    assert "SEPTUM_HOP" not in collect["variables"] | rules["septum-collect"].get("variables", {})


def test_hops_hand_on_everything_and_show_only_what_is_theirs() -> None:
    """State and results travel; GitLab's reports stand in a folder that does not, so that none is shown twice."""
    body = _expand(_body_of(model.ANALYSIS), _defaults(model.ANALYSIS))

    for name in HOP_JOBS:
        artifacts = body[f"septum-{name}"]["artifacts"]
        assert artifacts["paths"] == ["result/", ".septum/septum-/"]
        assert artifacts["when"] == "always"
        assert artifacts["reports"] == body["septum-collect"]["artifacts"]["reports"]
        reports = body[f"septum-{name}"]["variables"]["SEPTUM_REPORTS"]["value"]
        assert {str(Path(path).parent) for path in artifacts["reports"].values()} == {reports}
        assert not any(f"{reports}/".startswith(path) for path in artifacts["paths"])


def test_hop_artifacts_outlive_every_delay() -> None:
    """GitLab refuses to start a CI job whose artifacts are gone."""
    days, unit = model.HOP_EXPIRY.split()

    assert unit == "days"
    assert int(days) * 24 * 60 > 2 * max(max(delays) for delays in DELAYS_MIN.values())


@pytest.mark.parametrize(
    ("status", "cluster", "called"),
    [
        ("canceled", "infn-af", True),
        ("success", "infn-af", False),
        ("failed", "infn-af", False),
        ("", "infn-af", False),
        ("canceled", "local", False),
    ],
)
@pytest.mark.parametrize("name", ["submit", "hop-3", "collect"])
def test_only_a_cancelled_ci_job_removes_its_jobs(
    tmp_path: Path, name: str, status: str, cluster: str, *, called: bool
) -> None:
    """Under supervision and bounded, so that GitLab's five minutes are enough; never after success or failure."""
    (script,) = _body_of(model.ANALYSIS)[f"$[[ inputs.job-prefix ]]{name}"]["after_script"]
    (tmp_path / "septum").write_text(f'#!/bin/sh\necho "$@ token=$CI_JOB_TOKEN" >> {tmp_path}/calls\n')
    (tmp_path / "septum").chmod(0o755)
    done = subprocess.run(
        [shutil.which("sh") or "/bin/sh", "-e", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "CI_JOB_STATUS": status, "SEPTUM_CLUSTER": cluster},
        check=False,
    )
    calls = (tmp_path / "calls").read_text() if (tmp_path / "calls").exists() else ""

    assert done.returncode == 0
    assert calls == ("credentials run -- septum cancel token=\n" if called else "")
    assert int(re.findall(r"timeout -k (\d+) (\d+) ", script)[0][1]) < 5 * 60 - 30
    assert _body_of(model.ANALYSIS)["$[[ inputs.job-prefix ]]prepare"]["after_script"] == []


@pytest.mark.parametrize("cancel", [True, False])
def test_a_newer_commit_stops_what_the_user_lets_it(*, cancel: bool) -> None:
    """The value stays a truth value, as GitLab wants it; prepare has no jobs yet, and may always be stopped."""
    body = _expand(_body_of(model.ANALYSIS), {**_defaults(model.ANALYSIS), "cancel-on-new-commit": cancel})

    assert body.pop("septum-prepare")["interruptible"] is True
    assert {job["interruptible"] for job in body.values()} == {cancel}
    assert all(type(job["interruptible"]) is bool for job in body.values())


def test_no_failure_is_allowed_and_the_state_survives_one() -> None:
    """Every exit code but 0 fails the CI job; what collect found out is uploaded in any case."""
    body = _expand(_body_of(model.ANALYSIS), _defaults(model.ANALYSIS))
    collect = body["septum-collect"]

    assert collect["allow_failure"] is False
    assert "allow_failure" not in body["septum-prepare"]
    assert "allow_failure" not in body["septum-submit"]
    assert collect["artifacts"]["when"] == "always"
    assert collect["artifacts"]["paths"] == ["result/", ".septum/septum-/run.sqlite", ".septum/septum-/receipt.json"]


def test_two_includes_share_no_folder() -> None:
    """A CI job without needs gets the artifacts of all earlier stages, those of the other include too."""
    one, two = (
        _expand(_body_of(model.ANALYSIS), {**_defaults(model.ANALYSIS), "job-prefix": prefix, "result": prefix + "r"})
        for prefix in ("one-", "two-")
    )

    paths = [{path for job in body.values() for path in job["artifacts"]["paths"]} for body in (one, two)]
    assert not paths[0] & paths[1]
    for body in (one, two):
        for job in body.values():
            state, result, reports = (
                job["variables"][f"SEPTUM_{name}"]["value"] + "/" for name in ("STATE", "RESULT", "REPORTS")
            )
            assert all(path.startswith((state, result)) for path in job["artifacts"]["paths"])
            assert all(path.startswith(reports) for path in job["artifacts"].get("reports", {}).values())


def test_the_analysis_image_is_used_where_the_users_code_runs() -> None:
    """In prepare always; in submit and collect only when the parts run in the CI job itself."""
    body = _body_of(model.ANALYSIS)
    hops = {name: body.pop("$[[ inputs.job-prefix ]]" + name) for name in HOP_JOBS}
    conditions = [job["rules"][1]["if"] for job in body.values()]

    assert conditions == ["$SEPTUM_IMAGE", *['$SEPTUM_IMAGE && $SEPTUM_CLUSTER == "local"'] * 2]
    for job in hops.values():
        assert all("variables" not in rule for rule in job["rules"])
        assert job["variables"]["SEPTUM_JOB_IMAGE"] == "$SEPTUM_OWN_IMAGE"
        assert job["rules"][0] == {"if": "$CI_COMMIT_BRANCH == null && $CI_COMMIT_TAG == null", "when": "never"}
    for job in body.values():
        assert job["image"] == "$SEPTUM_JOB_IMAGE"
        assert job["variables"]["SEPTUM_JOB_IMAGE"] == "$SEPTUM_OWN_IMAGE"
        assert job["rules"][1]["variables"] == {"SEPTUM_JOB_IMAGE": "$SEPTUM_IMAGE"}
        assert job["rules"][0] == {"if": "$CI_COMMIT_BRANCH == null && $CI_COMMIT_TAG == null", "when": "never"}
        assert job["rules"][-1] == {"when": "on_success"}


@COMPONENTS
def test_gitlabs_own_schema_accepts_the_component(item: model.Component) -> None:
    """The schema that GitLab's editor uses, as a checker from PyPI ships it."""
    found = importlib.util.find_spec("check_jsonschema")
    if found is None or found.origin is None:
        pytest.skip("check-jsonschema, which ships GitLab's schema, is not installed")
    from jsonschema import Draft7Validator

    path = Path(found.origin).parent / "builtin_schemas" / "vendor" / "gitlab-ci.json"
    validator = Draft7Validator(json.loads(path.read_text(encoding="utf-8")))
    header, body = parse(render_component(item, ROOT), item.name)
    # The editor's schema wants at least one tag; GitLab itself takes none (lib/gitlab/ci/config/entry/tags.rb).
    values = {**_defaults(item), "tags": ["docker"], "wait": "hops"}
    expanded = _expand(body, values)

    assert [error.message for error in validator.iter_errors({"spec": header["spec"]})] == []
    assert [error.message for error in validator.iter_errors(expanded)] == []


# ── how septum gets into the user's image ───────────────────────────────────────────────────────────────────────


def _run_before_script(tmp_path: Path, tools: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it with nothing on PATH but the given scripts and what a minimal image has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("mktemp", "mkdir", "cat", "chmod", "sh"):
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, text in tools.items():
        (folder / name).write_text("#!/bin/sh\n" + text)
        (folder / name).chmod(0o755)
    job = _body_of(model.ANALYSIS)["$[[ inputs.job-prefix ]]prepare"]
    script = _shell_lines(job, "before_script", "script")
    (tmp_path / "checkout").mkdir()
    return subprocess.run(
        [shutil.which("sh") or "/bin/sh", "-e", "-c", script],
        cwd=tmp_path / "checkout",
        env={"PATH": str(folder), "TMPDIR": str(tmp_path), "SEPTUM_VERSION": "1.2.3"},
        text=True,
        capture_output=True,
        check=False,
    )


# A python3 that makes a "venv" whose python3 is itself, and whose pip installs a septum that says so.
FAKE_PYTHON = """
case "$*" in
  "-c "*) exit 0 ;;
  "-m venv "*) mkdir -p "$3/bin" && cat "$0" > "$3/bin/python3" && chmod +x "$3/bin/python3" ;;
  "-m pip install --quiet septum==1.2.3")
    bin=${0%/*}
    printf '#!/bin/sh\\necho "installed septum $*"\\n' > "$bin/septum" && chmod +x "$bin/septum" ;;
  *) exit 9 ;;
esac
"""


def test_a_septum_on_path_is_taken(tmp_path: Path) -> None:
    """Septum's own image, or a user's that has it: nothing is installed."""
    done = _run_before_script(tmp_path, {"septum": 'echo "own septum $*"'})

    assert (done.returncode, done.stdout, done.stderr) == (0, "own septum prepare\n", "")


def test_septum_is_installed_outside_the_checkout(tmp_path: Path) -> None:
    """In an environment of its own, at the component's version."""
    done = _run_before_script(tmp_path, {"python3": FAKE_PYTHON})

    assert (done.returncode, done.stdout, done.stderr) == (0, "installed septum prepare\n", "")
    assert list((tmp_path / "checkout").iterdir()) == []


def test_an_image_without_python_gets_a_clear_message(tmp_path: Path) -> None:
    """And the exit code of a configuration error, which is not retried."""
    done = _run_before_script(tmp_path, {})

    assert done.returncode == 2
    assert "needs Python 3.10 or newer" in done.stderr


def test_an_image_with_an_old_python_gets_the_same_message(tmp_path: Path) -> None:
    """Not pip's, which would say that there is no septum."""
    done = _run_before_script(tmp_path, {"python3": "exit 1"})

    assert done.returncode == 2
    assert "needs Python 3.10 or newer" in done.stderr


def test_an_installation_that_fails_is_tried_again(tmp_path: Path) -> None:
    """A package index that does not answer is not the analysis's fault."""
    done = _run_before_script(tmp_path, {"python3": FAKE_PYTHON.replace("septum==1.2.3", "another")})

    assert done.returncode == 75


# ── the pages and the command line ──────────────────────────────────────────────────────────────────────────────


def test_marks_are_filled_and_filling_again_changes_nothing() -> None:
    """A page keeps what stands around its generated part."""
    page = "before\n<!-- generated:inputs analysis -->\nstale\n<!-- generated:end -->\nafter\n"

    once = fill_marks(page, Path("README.md"))

    assert inputs_table(model.ANALYSIS) in once
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert "stale" not in once
    assert fill_marks(once, Path("README.md")) == once


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<!-- generated:inputs -->\n", "not closed"),
        ("<!-- generated:inputs -->\n<!-- generated:jobs -->\n<!-- generated:end -->\n", "not closed"),
        ("<!-- generated:nonsense -->\n<!-- generated:end -->\n", "does not exist"),
        ("<!-- generated:inputs nonsense -->\n<!-- generated:end -->\n", "does not exist"),
    ],
)
def test_a_mark_that_cannot_be_filled_is_an_error(page: str, said: str) -> None:
    """A table that is silently never updated would be worse than none."""
    with pytest.raises(StateError, match=said):
        fill_marks(page, Path("README.md"))


def _call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())
    args = parser.parse_args(words)
    code: int = args.handler(args)
    return code


def _copy_of_the_library(folder: Path) -> Path:
    for name in ("components", "templates"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "pyproject.toml").touch()
    return folder


def test_render_mends_a_drift_and_check_only_reports_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` names the file and the command; without it the file is written; then all is well."""
    root = _copy_of_the_library(tmp_path)
    rendered = root / "templates" / "analysis.yml"
    good = rendered.read_bytes()
    rendered.write_bytes(good.replace(b"max: 2", b"max: 1"))

    with pytest.raises(StateError) as caught:
        _call("component", "render", "--check", "--root", str(root / "components"))
    assert caught.value.evidence == "templates/analysis.yml"
    assert "septum component render" in caught.value.fix

    assert _call("component", "render", "--root", str(root)) == 0
    assert rendered.read_bytes() == good
    assert _call("component", "render", "--check", "--root", str(root)) == 0
    assert "wrote templates/analysis.yml" in capsys.readouterr().out


def test_rendering_outside_a_checkout_says_so(tmp_path: Path) -> None:
    """The sources are not in the package."""
    with pytest.raises(UsageError, match="not in a checkout"):
        library_root(tmp_path)


def test_the_command_line_is_cheap_to_build() -> None:
    """Adding the verbs imports neither jinja2 nor pydantic: every CI job would pay for it."""
    code = (
        "import argparse, sys\n"
        "from septum.cli import component\n"
        "component.register(argparse.ArgumentParser().add_subparsers())\n"
        "print(sorted({'jinja2', 'pydantic', 'ruamel', 'septum.reference'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": ""}
    )

    assert done.stdout == "[]\n"
