"""The component in a pipeline run by gitlab-ci-local: inputs arrive to the last byte, and exit codes do what they say.

A stand-in for `septum` writes down what it gets; the real one has its own tests.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from septum.facility import available
from septum.facility.debian import debian
from septum.facility.pipeline import prepare_pipeline

if TYPE_CHECKING:
    from septum.facility.pipeline import PipelineResult

ROOT = Path(__file__).parents[2]
STAND_IN = """
#!/usr/bin/env python3
import json, os, pathlib, sys
# Under supervision or not: the verb is the last word.
verb, env = sys.argv[-1], os.environ
if verb == "--version":
    sys.exit(print("septum", env["SEPTUM_VERSION"]))
state, result = pathlib.Path(env["SEPTUM_STATE"]), pathlib.Path(env["SEPTUM_RESULT"])
seen = sorted(path.name for path in state.glob("*"))
state.mkdir(parents=True, exist_ok=True)
got = {name: value for name, value in env.items() if name.startswith("SEPTUM_")}
for name in (f"{verb}.json", "run.sqlite", "receipt.json"):
    (state / name).write_text(json.dumps({"seen": seen, "got": got}))
if verb == "collect":
    result.mkdir(parents=True, exist_ok=True)
    (result / "septum.json").write_text("{}")
sys.exit(int(env.get("EXIT_" + verb, "0")))
"""

HOPS = [f"septum-hop-{number}" for number in range(1, 8)]
AWKWARD = [
    "a b",
    "$HOME ${HOME} $$HOME %HOME%",
    "$(touch pwned) `touch pwned`; touch pwned",
    'it\'s "quoted" \\1 \\\\ \\',
    "first\nsecond",
    "ünï çødé ☃",
    "-rf",
    "]] $[[ inputs.stage ]] #",
    "&anchor *alias !tag",
    " ",
]


@pytest.fixture(scope="module", autouse=True)
def _can_run() -> None:
    reason = available()
    if reason:
        pytest.skip(f"no facility: {reason}")


def _hopping(count: int = 4) -> dict[str, Any]:
    return {"wait": "hops", "hops": count, "hop-delay": "30 minutes", "cluster": "infn-af"}


def _run(tmp_path: Path, inputs: list[dict[str, Any]], **variables: str) -> PipelineResult:
    """Run a pipeline that includes the component once for each mapping of inputs."""
    repository, tools = tmp_path / "repository", tmp_path / "tools"
    repository.mkdir()
    tools.mkdir()
    (tools / "septum").write_text(textwrap.dedent(STAND_IN).lstrip())
    (tools / "septum").chmod(0o755)
    # In the repository itself: gitlab-ci-local fetches two includes of one foreign project into one folder at once.
    shutil.copytree(ROOT / "templates", repository / "templates")
    component = "$CI_SERVER_FQDN/$CI_PROJECT_PATH/analysis@$CI_COMMIT_SHA"
    # JSON is YAML, and quotes everything. The user's default must not reach the component.
    pipeline = {
        "stages": ["test", "late"],
        "default": {"before_script": ["exit 77"], "after_script": ["exit 77"], "image": "leak"},
        # gitlab-ci-local has the editor's schema, in which a list of tags is not empty.
        "include": [{"component": component, "inputs": {"tags": ["any"], **values}} for values in inputs],
    }
    (repository / ".gitlab-ci.yml").write_text(json.dumps(pipeline))
    return prepare_pipeline(
        repository,
        folder=tmp_path / "pipeline",
        debian=debian(),
        variables=variables,
        path=[tools],
    ).run(timeout_s=120)


def _got(result: PipelineResult, job: str, file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((result.artifacts(job) / file).read_text(encoding="utf-8"))
    return found


def test_inputs_arrive_to_the_last_byte_and_nothing_is_executed(tmp_path: Path) -> None:
    """Quotes, `$`, line breaks, backslashes: what septum reads is what the user wrote."""
    result = _run(
        tmp_path,
        [{"config": text, "job-prefix": f"n{index}-", "result": f"r{index}"} for index, text in enumerate(AWKWARD)],
    )

    assert result.exit_code == 0, result.log
    for index, text in enumerate(AWKWARD):
        got = _got(result, f"n{index}-prepare", f".septum/n{index}-/prepare.json")["got"]
        assert got["SEPTUM_CONFIG"] == text
    assert not list(tmp_path.rglob("pwned"))


def test_the_three_ci_jobs_hand_on_the_state_and_two_includes_do_not_meet(tmp_path: Path) -> None:
    """Even though the second one's prepare, in a later stage, gets the artifacts of the first one's jobs."""
    result = _run(tmp_path, [{"job-prefix": "one-", "result": "r1"}, {"stage": "late", "result": "r2"}])

    assert result.exit_code == 0, result.log
    for prefix, folder in (("one-", "r1"), ("septum-", "r2")):
        state = f".septum/{prefix}"
        assert _got(result, f"{prefix}prepare", f"{state}/prepare.json")["seen"] == []
        assert "prepare.json" in _got(result, f"{prefix}submit", f"{state}/submit.json")["seen"]
        assert "submit.json" in _got(result, f"{prefix}collect", f"{state}/run.sqlite")["seen"]
        assert (result.artifacts(f"{prefix}collect") / folder / "septum.json").is_file()


@pytest.mark.parametrize(("wait", "hops"), [(_hopping(2), 1), (_hopping(4), 3), ({}, 0), (_hopping(8), 7)])
def test_hops_follow_each_other_and_collect_is_the_last(tmp_path: Path, wait: dict[str, Any], hops: int) -> None:
    """As many as the input says, each with its number, and with the state of the one before; none with `wait: hold`."""
    result = _run(tmp_path, [wait])

    assert result.exit_code == 0, result.log
    chain = [*(f"septum-hop-{number}" for number in range(1, hops + 1)), "septum-collect"]
    ran = [job for job in ("septum-prepare", "septum-submit", *HOPS, "septum-collect") if result.job_log(job)]
    assert ran == ["septum-prepare", "septum-submit", *chain]
    for number, job in enumerate(chain, start=1):
        found = _got(result, job, ".septum/septum-/run.sqlite")
        assert found["got"].get("SEPTUM_HOP", "") == (f"{number}/{hops + 1}" if hops else "")
        assert "submit.json" in found["seen"]
        assert ("collect.json" in found["seen"]) == (number > 1)
        assert (result.artifacts(job) / "result" / "septum.json").is_file()


def test_no_ci_job_is_cancelled_that_ends_by_itself(tmp_path: Path) -> None:
    """Septum is not asked to cancel after success, and not after a failure."""
    result = _run(tmp_path, [_hopping(2)], EXIT_collect="30")

    assert result.log.count("Running after script...") >= 2
    assert not list((tmp_path / "pipeline").rglob("cancel.json"))


@pytest.mark.parametrize(
    ("inputs", "images"),
    [
        ({}, ["own", "own", "own"]),
        ({"image": "ours:1"}, ["ours:1", "ours:1", "ours:1"]),
        ({"image": "ours:1", "cluster": "infn-af"}, ["ours:1", "own", "own"]),
        ({"cluster": "infn-af"}, ["own", "own", "own"]),
    ],
)
def test_the_image_of_each_ci_job(tmp_path: Path, inputs: dict[str, str], images: list[str]) -> None:
    """The analysis image where the user's code runs, septum's own elsewhere."""
    result = _run(tmp_path, [{"septum-image": "own", **inputs}])

    files = {"prepare": "prepare.json", "submit": "submit.json", "collect": "run.sqlite"}
    assert result.exit_code == 0, result.log
    assert [
        _got(result, f"septum-{verb}", f".septum/septum-/{file}")["got"]["SEPTUM_JOB_IMAGE"]
        for verb, file in files.items()
    ] == images


def test_variables_in_an_image_are_expanded(tmp_path: Path) -> None:
    """The image that an earlier stage of the pipeline has built."""
    result = _run(tmp_path, [{"image": "registry.example.org/${TEAM}/x:$CI_COMMIT_REF_SLUG"}], TEAM="higgs")

    got = _got(result, "septum-prepare", ".septum/septum-/prepare.json")["got"]
    assert got["SEPTUM_IMAGE"] == got["SEPTUM_JOB_IMAGE"] == "registry.example.org/higgs/x:main"


@pytest.mark.parametrize("code", ["39", "30", "75"])
def test_a_failed_collect_fails_the_pipeline(tmp_path: Path, code: str) -> None:
    """And what collect has found out is there in each case."""
    result = _run(tmp_path, [{}], EXIT_collect=code)

    assert result.exit_code != 0
    assert " FAIL  septum-collect" in result.log
    assert (result.artifacts("septum-collect") / ".septum/septum-/run.sqlite").is_file()
