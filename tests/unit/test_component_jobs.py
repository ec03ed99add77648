"""What GitLab runs of each component: which CI jobs, where, when, with what. The interpreter of its rules judges."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from septum.components import catalog, model
from septum.components.inputs import TASTE_PARTS
from septum.patience import DELAYS_MIN, HOP_COUNTS, delays_min
from septum.preview.features import OLDEST
from septum.preview.situation import Situation
from septum.preview.source import Variable
from tests import previewing
from tests.previewing import ON_MAIN, body, include, of, pipeline, schema_errors

# What `default:` may hold (doc/ci/yaml, "default"), so what could reach a CI job that does not set it.
DEFAULT_KEYWORDS = frozenset(
    {"after_script", "artifacts", "before_script", "cache", "hooks", "id_tokens", "image", "interruptible"}
    | {"retry", "services", "tags", "timeout"}
)
HOP_JOBS = [f"hop-{number}" for number in range(1, HOP_COUNTS[-1])]
OWN, OURS = previewing.header("analysis")["spec"]["inputs"]["septum-image"]["default"], "registry.example.org/ours:1"
WORK = ("prepare", "submit", "collect")

UNPROTECTED = Situation(ref="feature", protected=False)
SCHEDULE = Situation(source="schedule")
TAG = Situation(ref="v1", tag=True)
MERGE_REQUEST = Situation(source="merge_request_event", ref="feature", protected=False)
FORK = replace(MERGE_REQUEST, variables={"CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": Variable(value="somebody/project")})
BEHIND_MERGE_REQUEST = replace(UNPROTECTED, variables={"CI_OPEN_MERGE_REQUESTS": Variable(value="group/project!1")})

# What has to stand in front of each, so that its needs are met.
BEFORE = {"submit": ("prepare",), "collect": ("prepare", "submit")}
NAMES = pytest.mark.parametrize("name", previewing.NAMES)


def _included(name: str, **given: Any) -> list[dict[str, Any]]:
    known = {item.name: {entry.name for entry in item.inputs} for item in catalog.COMPONENTS}
    return [
        include(each, {key: value for key, value in given.items() if key in known[each]})
        for each in (*BEFORE.get(name, ()), name)
    ]


def _raw_jobs(name: str, **given: Any) -> dict[str, Any]:
    """The CI jobs of a component as GitLab has them before it judges their rules."""
    made = body(*_included(name, **given))
    own = {f"septum-{each}" for job in catalog.component(name).jobs for each in job.names}
    return {key: job for key, job in made.items() if key in own}


def _every_job() -> list[Any]:
    return [
        pytest.param(item, name.removeprefix("septum-"), job, id=f"{item.name}-{name.removeprefix('septum-')}")
        for item in catalog.COMPONENTS
        for name, job in _raw_jobs(item.name).items()
    ]


JOBS = pytest.mark.parametrize(("item", "name", "job"), _every_job())


def _value(variable: Any) -> str:
    return str(variable["value"] if isinstance(variable, dict) else variable)


# ── every CI job ────────────────────────────────────────────────────────────────────────────────────────────────


@JOBS
def test_nothing_of_the_users_default_can_reach_a_ci_job(item: model.Component, name: str, job: dict[str, Any]) -> None:
    """`inherit` shuts it out, and every keyword that it could hold is set."""
    assert job["inherit"] == {"default": False}
    assert job.keys() >= DEFAULT_KEYWORDS
    assert job["services"] == job["cache"] == []


@JOBS
def test_inputs_arrive_by_variables(item: model.Component, name: str, job: dict[str, Any]) -> None:
    """A `$` in an input stays one, except in images and their tags, where users write CI/CD variables."""
    variables = job["variables"]

    for entry in item.variables:
        written = variables[entry.variable]
        assert _value(written) == str(OWN if entry.name == "septum-image" else entry.default)
        # A number has no `$`, and GitLab's schema takes none under `value`.
        assert isinstance(written, dict) == (not entry.expand and entry.type != "number")
        assert not isinstance(written, dict) or written["expand"] is False
        assert not entry.expand or entry.name.endswith(("image", "tag"))
    assert all(re.match(r"(SEPTUM|GIT)_", variable) for variable in variables)
    assert {"GIT_STRATEGY", "GIT_DEPTH", "GIT_SUBMODULE_STRATEGY"} <= variables.keys()


SCRIPTS = {
    "skipped": "septum skipped",
    "preflight": "septum doctor",
    "prepare": "septum prepare",
    "submit": "septum credentials run -- septum submit",
    "collect": "septum credentials run --keep CI_JOB_TOKEN --keep SEPTUM_GITLAB_TOKEN -- septum collect",
    "run": "septum credentials run --keep CI_JOB_TOKEN --keep SEPTUM_GITLAB_TOKEN -- septum run",
    "sweep": "septum credentials run --keep CI_JOB_TOKEN --keep SEPTUM_GITLAB_TOKEN -- septum sweep",
    "compare": 'septum compare --json "$SEPTUM_REPORTS/comparison.json"',
    "pack-image": "septum pack-image",
    "build-image": 'sh "$SEPTUM_BUILD_FOLDER/build.sh"',
    "recorder": "septum recorder",
    "merge": 'test ! -e "$SEPTUM_STATE/merge/run.sh" || sh "$SEPTUM_STATE/merge/run.sh"',
    "result": "septum credentials run --keep CI_JOB_TOKEN --keep SEPTUM_GITLAB_TOKEN -- septum collect",
}
RECORD = [
    f'{word} "$SEPTUM_STATE/recorder/{name}.sh"' for word, name in ((".", "begin"), ("sh", "script"), ("sh", "end"))
]


def _script(item: model.Component, name: str) -> list[str]:
    """The lines of a CI job; a framework is recorded in its image, and its plan is made in the CI job after that."""
    if item.has("merge") and name == "prepare":
        return RECORD
    own = SCRIPTS["collect" if name.startswith("hop-") else name]
    if name == "merge":
        return ['test ! -d "$SEPTUM_STATE/kept" || cp -R "$SEPTUM_STATE/kept/." .', own]
    return [f"septum prepare --recorded && {own} || exit" if item.has("merge") and name == "submit" else own]


@JOBS
def test_a_ci_job_is_little_shell_that_a_shell_accepts(item: model.Component, name: str, job: dict[str, Any]) -> None:
    """At most ten lines, POSIX; the work is septum's, and credentials are where a cluster is touched."""
    script = "\n".join([*job["before_script"], *job["script"], *job["after_script"]])

    assert len([line for line in script.splitlines() if line.strip()]) <= 10
    assert job["script"] == _script(item, name)
    for shell in ("sh", "bash"):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@JOBS
@pytest.mark.parametrize("failing", ["septum", "sh"])
def test_no_failure_is_passed_over(
    item: model.Component, name: str, job: dict[str, Any], failing: str, tmp_path: Path
) -> None:
    """The runner's shell goes on after `a && b` if `a` fails, and ends with 0: no line leaves it at that."""
    lines = "\n".join(job["script"])
    if not re.search(rf"(^|&& |\|\| ){failing} ", lines, re.MULTILINE):
        return
    (tmp_path / "state" / "merge").mkdir(parents=True)
    (tmp_path / "state" / "recorder").mkdir()
    for script in ("merge/run.sh", "recorder/begin.sh", "build.sh"):
        (tmp_path / "state" / script).touch()
    (tmp_path / failing).write_text("#!/bin/bash\nexit 7\n")
    (tmp_path / failing).chmod(0o755)
    environ = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "SEPTUM_STATE": str(tmp_path / "state"),
        "SEPTUM_BUILD_FOLDER": str(tmp_path / "state"),
    }

    done = subprocess.run(
        ["/bin/bash", "-c", f"set -eo pipefail\n{lines}\nexit 0\n"], env=environ, cwd=tmp_path, check=False
    )

    assert done.returncode == 7


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
    if not job["artifacts"]:
        assert name in {"skipped", "preflight", "sweep"}
        return
    assert job["artifacts"]["access"] == "developer"
    assert job["artifacts"]["expire_in"] == (model.HOP_EXPIRY if name.startswith("hop-") else "1 week")


@JOBS
def test_only_ci_jobs_that_reach_a_cluster_have_tokens_for_brokers(
    item: model.Component, name: str, job: dict[str, Any]
) -> None:
    """One token a broker, and none where the user's own preparation runs or nothing is asked for."""
    without = ("skipped", "recorder", "prepare", "merge", "compare", "pack-image", "build-image")
    with_tokens = not name.startswith(without)

    assert set(job["id_tokens"]) == (
        {"SEPTUM_ID_TOKEN", "SEPTUM_PROXY_ID_TOKEN", "SEPTUM_EOS_ID_TOKEN"} if with_tokens else set()
    )


@NAMES
@pytest.mark.parametrize("gitlab", [OLDEST, ON_MAIN.gitlab], ids=str)
def test_each_component_works_on_the_oldest_and_the_newest_gitlab(name: str, gitlab: Any) -> None:
    """Alone, or behind those that it follows; and GitLab's own schema, which its editor uses, has nothing to say."""
    given = {"cluster": "infn-af", "wait": "hops", "partial": "warn", "tags": ["docker"], "start": "needs"}
    situation = replace(SCHEDULE, gitlab=gitlab)
    entries = _included(name, **given)
    made = body(*entries, situation=situation)

    assert schema_errors(made) == []
    assert [job.name for job in pipeline(*entries, situation=situation).jobs]


@NAMES
def test_two_includes_of_each_in_one_pipeline_do_not_meet(name: str) -> None:
    """In no name of a CI job, hidden or not, and in no folder."""
    entries = []
    for prefix in ("one-", "two-"):
        entries += _included(name, **{"job-prefix": prefix, "result": prefix + "result"})
    made = body(*entries)
    jobs = {key: job for key, job in made.items() if isinstance(job, dict) and "script" in job}
    paths = {
        prefix: {
            path.rstrip("/")
            for key, job in jobs.items()
            if key.startswith((prefix, "." + prefix))
            for path in (job["artifacts"] or {}).get("paths", [])
        }
        for prefix in ("one-", "two-")
    }

    assert all(key.startswith(("one-", "two-", ".one-", ".two-")) for key in made)
    assert len([key for key in made if "one-" in key]) == len([key for key in made if "two-" in key])
    assert not paths["one-"] & paths["two-"]


# ── order ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_ci_jobs_of_an_analysis_follow_each_other() -> None:
    """Within one stage, by needs, so that one stage input is enough."""
    made = _raw_jobs("analysis")

    assert list(made) == [f"septum-{name}" for name in ("skipped", "prepare", "submit", *HOP_JOBS, "collect")]
    assert "needs" not in made["septum-prepare"]
    assert made["septum-submit"]["needs"] == ["septum-prepare"]
    assert made["septum-collect"]["needs"] == ["septum-submit"]
    for one, two in pairwise(["submit", *HOP_JOBS]):
        assert made[f"septum-{two}"]["needs"] == [f"septum-{one}"]


@pytest.mark.parametrize("name", ["analysis", "prepare", "preflight", "compare", "run", "image"])
def test_the_first_ci_job_starts_where_the_user_wants(name: str) -> None:
    """After all earlier stages, as GitLab does by itself; after some CI jobs; or at once."""
    first = next(job for job in catalog.component(name).jobs if job.name != "skipped").name
    build: dict[str, Any] = {"build": {"stage": "build", "script": ["make"]}, "stages": ["build", "test"]}

    def needs(**given: Any) -> Any:
        made = pipeline(include(name, given), **build)
        (job,) = [job for job in made.jobs if job.name == f"septum-{first}"]
        return None if job.needs is None else [(need.job, need.optional) for need in job.needs]

    assert needs() is None
    assert needs(start="needs", needs=["build"]) == [("build", False)]
    assert needs(start="needs", needs=[{"job": "build", "optional": True}]) == [("build", True)]
    assert needs(start="needs") == []


@pytest.mark.parametrize("name", ["submit", "collect"])
def test_a_later_step_can_wait_for_more(name: str) -> None:
    """Such as a check of the user's own between two steps."""
    check: dict[str, Any] = {"check": {"needs": ["septum-prepare"], "script": ["true"]}}
    entries = _included(name)
    entries[-1]["inputs"]["needs"] = ["check"]
    (job,) = [job for job in pipeline(*entries, **check).jobs if job.name == f"septum-{name}"]

    assert [need.job for need in job.needs or ()] == [f"septum-{BEFORE[name][-1]}", "check"]


# ── where and when ──────────────────────────────────────────────────────────────────────────────────────────────

ON_CLUSTER = {"cluster": "infn-af"}


@pytest.mark.parametrize(
    ("situation", "given", "expected"),
    [
        # On this machine: everywhere, for no credentials are needed.
        (ON_MAIN, {}, WORK),
        (UNPROTECTED, {}, WORK),
        (TAG, {}, WORK),
        (SCHEDULE, {}, WORK),
        # On a cluster: where there are credentials.
        (ON_MAIN, ON_CLUSTER, WORK),
        (TAG, ON_CLUSTER, WORK),
        (SCHEDULE, ON_CLUSTER, WORK),
        (UNPROTECTED, ON_CLUSTER, ("skipped",)),
        (UNPROTECTED, {**ON_CLUSTER, "wait": "hops"}, ("skipped",)),
        (UNPROTECTED, {**ON_CLUSTER, "credentials": "everywhere"}, WORK),
        (UNPROTECTED, {**ON_CLUSTER, "without-credentials": "local"}, WORK),
        (UNPROTECTED, {**ON_CLUSTER, "without-credentials": "local", "wait": "hops"}, WORK),
        # Merge requests: if the user wants it, and never those of forks.
        (MERGE_REQUEST, {}, ()),
        (MERGE_REQUEST, {"pipelines": "merge-requests"}, WORK),
        (MERGE_REQUEST, {**ON_CLUSTER, "pipelines": "merge-requests"}, ("skipped",)),
        (MERGE_REQUEST, {**ON_CLUSTER, "pipelines": "merge-requests", "credentials": "everywhere"}, WORK),
        (FORK, {}, ()),
        (FORK, {"pipelines": "merge-requests"}, ()),
        (FORK, {**ON_CLUSTER, "pipelines": "merge-requests", "credentials": "everywhere"}, ()),
        # One pipeline for a push.
        (BEHIND_MERGE_REQUEST, {}, WORK),
        (BEHIND_MERGE_REQUEST, {"pipelines": "merge-requests"}, ()),
        (UNPROTECTED, {"pipelines": "merge-requests"}, WORK),
        (replace(BEHIND_MERGE_REQUEST, ref="v1", tag=True), {"pipelines": "merge-requests"}, WORK),
        (replace(BEHIND_MERGE_REQUEST, ref="main"), {"pipelines": "merge-requests"}, WORK),
        # The user's own rules come first.
        (SCHEDULE, {"rules": [{"if": '$CI_PIPELINE_SOURCE == "schedule"', "when": "never"}]}, ()),
        (ON_MAIN, {"rules": [{"if": '$CI_PIPELINE_SOURCE == "schedule"', "when": "never"}]}, WORK),
        (UNPROTECTED, {**ON_CLUSTER, "rules": [{"when": "never"}]}, ()),
        # Only documents have changed.
        (replace(ON_MAIN, changes=("README.md",)), {"changes": "{*.py,src/**/*}"}, ()),
        (replace(ON_MAIN, changes=("README.md", "src/a/b.cc")), {"changes": "{*.py,src/**/*}"}, WORK),
        (replace(ON_MAIN, changes=("README.md",)), {}, WORK),
        (replace(ON_MAIN, changes=()), {}, WORK),
        (SCHEDULE, {"changes": "*.py"}, WORK),
        (replace(UNPROTECTED, changes=("README.md",)), {**ON_CLUSTER, "changes": "*.py"}, ()),
        (replace(UNPROTECTED, changes=("a.py",)), {**ON_CLUSTER, "changes": "*.py"}, ("skipped",)),
    ],
)
@pytest.mark.parametrize("gitlab", [OLDEST, ON_MAIN.gitlab], ids=str)
def test_which_ci_jobs_are_in_the_pipeline(
    situation: Situation, given: dict[str, Any], expected: tuple[str, ...], gitlab: Any
) -> None:
    """By ref, source, credentials and files that changed."""
    assert tuple(of("analysis", given, situation=replace(situation, gitlab=gitlab))) == expected


@pytest.mark.parametrize("image", ["", OURS])
def test_a_taste_is_a_few_parts_on_this_machine_in_the_analysis_image(image: str) -> None:
    """All CI jobs agree on it."""
    given = {**ON_CLUSTER, "without-credentials": "local", "image": image}

    for name, job in of("analysis", given, situation=UNPROTECTED).items():
        assert job.values["SEPTUM_CLUSTER"] == "local"
        assert job.values["SEPTUM_PARTS"] == str(TASTE_PARTS)
        assert job.values["SEPTUM_RULE"] == "taste"
        assert job.image == (image or OWN), name
    for job in of("analysis", given).values():
        assert job.values["SEPTUM_CLUSTER"] == "infn-af"
        assert "SEPTUM_PARTS" not in job.values


@pytest.mark.parametrize("name", ["analysis", "submit", "collect", "run"])
def test_without_credentials_there_is_a_warning_and_no_silence(name: str) -> None:
    """The one CI job ends with its own exit code, which alone is allowed."""
    made = pipeline(*_included(name, **ON_CLUSTER), situation=UNPROTECTED)
    (job,) = [job for job in made.jobs if job.name.endswith("skipped")]

    assert job.allow_failure == {"exit_codes": [10]}
    assert job.keywords["script"] == ["septum skipped"]
    assert job.needs == ()
    assert job.image == OWN


@pytest.mark.parametrize("name", ["submit", "collect", "preflight"])
def test_a_step_alone_is_not_there_where_it_has_no_credentials(name: str) -> None:
    """And there where it has."""
    entries = _included(name, **ON_CLUSTER)

    def names(situation: Situation) -> set[str]:
        return {job.name for job in pipeline(*entries, situation=situation).jobs}

    assert f"septum-{name}" in names(ON_MAIN)
    assert f"septum-{name}" not in names(UNPROTECTED)


def test_sweep_is_in_pipelines_of_schedules_only() -> None:
    """One at a time, for two would look at the same jobs."""
    assert of("sweep", ON_CLUSTER) == {}
    assert of("sweep", ON_CLUSTER, situation=MERGE_REQUEST) == {}
    (job,) = of("sweep", ON_CLUSTER, situation=SCHEDULE).values()
    assert job.keywords["resource_group"] == "septum-sweep"
    assert job.keywords["interruptible"] is False


@pytest.mark.parametrize("cluster", ["local", "infn-af"])
@pytest.mark.parametrize("image", ["", OURS])
def test_the_analysis_image_is_used_where_the_users_code_runs(cluster: str, image: str) -> None:
    """In prepare always; in submit and collect only when the parts run in the CI job itself."""
    jobs = of("analysis", {"cluster": cluster, "image": image})

    assert jobs["prepare"].image == (image or OWN)
    for name in ("submit", "collect"):
        assert jobs[name].image == ((image or OWN) if cluster == "local" else OWN)
    assert {job.values["SEPTUM_IMAGE"] for job in jobs.values()} == {image}
    (run,) = of("run", {"cluster": cluster, "image": image}).values()
    assert run.image == (image or OWN)


def test_a_variable_in_the_image_is_replaced() -> None:
    """As GitLab does in its own keyword."""
    given = {"image": "$CI_PROJECT_PATH/image:${CI_COMMIT_SHORT_SHA}", "septum-image": "$CI_SERVER_HOST/septum:1"}
    jobs = of("analysis", given)

    assert jobs["prepare"].image == f"group/project/image:{jobs['prepare'].values['CI_COMMIT_SHORT_SHA']}"
    jobs = of("analysis", {**given, **ON_CLUSTER})
    assert jobs["collect"].image == "gitlab.cern.ch/septum:1"


def test_the_components_own_rules_leave_their_mark() -> None:
    """So that septum notices a rule of the user's that took a CI job in with nothing chosen for it."""
    for name in ("analysis", "prepare", "run"):
        for job in of(name).values():
            assert job.values["SEPTUM_RULE"] == "own"
    taken_in = of("analysis", {"rules": [{"if": "$CI_COMMIT_BRANCH"}]})
    assert all("SEPTUM_RULE" not in job.values for job in taken_in.values())


# ── hops ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("longest", DELAYS_MIN)
@pytest.mark.parametrize("count", HOP_COUNTS)
def test_there_are_as_many_hops_as_asked_for_after_their_delays(count: int, longest: str) -> None:
    """The pipeline is what `septum submit` counts with: the delays of each number and length, collect as the last."""
    jobs = of("analysis", {"cluster": "infn-af", "wait": "hops", "hops": count, "hop-delay": longest})

    chain = [*HOP_JOBS[: count - 1], "collect"]
    assert list(jobs) == ["prepare", "submit", *chain]
    assert all(jobs[name].when == "delayed" for name in chain)
    delays = [jobs[name].start_in.split() for name in chain]
    minutes = [int(number) * (60 if unit.startswith("hour") else 1) for number, unit in delays]
    assert tuple(minutes) == delays_min(longest, count)
    # Each hop goes on where the one before it left, and knows its number.
    needs = [[need.job for need in jobs[name].needs or ()] for name in chain]
    assert needs == [[f"septum-{name}"] for name in ["submit", *chain[:-1]]]
    assert [jobs[name].values["SEPTUM_HOP"] for name in chain] == [
        f"{number}/{count}" for number in range(1, count + 1)
    ]
    assert all(jobs[name].image == OWN for name in chain)


@pytest.mark.parametrize("given", [ON_CLUSTER, {"wait": "hops"}, {"wait": "hops", "image": OURS}])
def test_no_hop_exists_with_wait_hold_or_where_parts_end_with_their_septum(given: dict[str, str]) -> None:
    """Then collect starts at once, after submit, and is no hop."""
    jobs = of("analysis", given)

    assert tuple(jobs) == WORK
    assert (jobs["collect"].when, jobs["collect"].start_in) == ("on_success", "")
    assert [need.job for need in jobs["collect"].needs or ()] == ["septum-submit"]
    assert "SEPTUM_HOP" not in jobs["collect"].values


def test_hops_hand_on_everything_and_show_only_what_is_theirs() -> None:
    """State and results travel; GitLab's reports stand in a folder that does not, so that none is shown twice."""
    made = _raw_jobs("analysis")

    for name in HOP_JOBS:
        artifacts = made[f"septum-{name}"]["artifacts"]
        assert artifacts["paths"] == ["result/", ".septum/septum-/"]
        assert artifacts["when"] == "always"
        assert artifacts["reports"] == made["septum-collect"]["artifacts"]["reports"]
        reports = _value(made[f"septum-{name}"]["variables"]["SEPTUM_REPORTS"])
        assert {str(Path(path).parent) for path in artifacts["reports"].values()} == {reports}
        assert not any(f"{reports}/".startswith(path) for path in artifacts["paths"])


def test_hop_artifacts_outlive_every_delay() -> None:
    """GitLab refuses to start a CI job whose artifacts are gone."""
    days, unit = model.HOP_EXPIRY.split()

    assert unit == "days"
    assert int(days) * 24 * 60 > 2 * max(max(delays) for delays in DELAYS_MIN.values())


# ── ends ────────────────────────────────────────────────────────────────────────────────────────────────────────


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
    (script,) = _raw_jobs("analysis")[f"septum-{name}"]["after_script"]
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


@JOBS
def test_every_ci_job_that_has_jobs_on_a_cluster_cleans_up(
    item: model.Component, name: str, job: dict[str, Any]
) -> None:
    """And no other one: prepare has none yet, and a proxy at most, sweep and compare have none at all."""
    has_jobs = name.startswith(("submit", "hop-", "collect", "run", "result"))
    has_proxy = item.has("merge") and name == "prepare"

    assert bool(job["after_script"]) == (has_jobs or has_proxy)


@pytest.mark.parametrize("cancel", [True, False])
def test_a_newer_commit_stops_what_the_user_lets_it(*, cancel: bool) -> None:
    """The value stays a truth value, as GitLab wants it; prepare has no jobs yet, and may always be stopped."""
    made = _raw_jobs("analysis", **{"cancel-on-new-commit": cancel})

    assert made.pop("septum-prepare")["interruptible"] is True
    assert made.pop("septum-skipped")["interruptible"] is True
    assert [job["interruptible"] for job in made.values()] == [cancel] * len(made)
    assert all(type(job["interruptible"]) is bool for job in made.values())


def test_a_push_of_documents_does_not_stop_the_preparation_of_the_code_before_it() -> None:
    """With `changes` the next pipeline may have no CI job of the analysis, and would be green without it."""
    situation = replace(ON_MAIN, changes=("a.py",))

    assert of("analysis", {"changes": "*.py"}, situation=situation)["prepare"].keywords["interruptible"] is False
    assert of("analysis", {}, situation=situation)["prepare"].keywords["interruptible"] is True


@pytest.mark.parametrize(("partial", "allowed"), [("fail", False), ("warn", {"exit_codes": [39]})])
@pytest.mark.parametrize("name", ["analysis", "collect", "run"])
def test_only_a_partial_result_can_be_a_warning(name: str, partial: str, allowed: Any) -> None:
    """If the user says so; every other exit code but 0 fails the CI job, and what collect found out is uploaded."""
    made = _raw_jobs(name, partial=partial)
    last = made["septum-run" if name == "run" else "septum-collect"]

    assert last["allow_failure"] == allowed
    assert last["artifacts"]["when"] == "always"
    assert last["artifacts"]["paths"] == ["result/", ".septum/septum-/run.sqlite", ".septum/septum-/receipt.json"]
    for key, job in made.items():
        if "hop" in key:
            assert job["allow_failure"] == allowed
        elif key.endswith(("prepare", "submit")):
            assert "allow_failure" not in job


# ── hostile values ──────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = {
    "quotes": 'it\'s "quoted"',
    "command": "$(touch pwned)",
    "backticks": "`touch pwned`",
    "newline": "a\ntouch pwned",
    "block": "$[[ inputs.stage ]]",
    "unclosed": "]] $[[ x",
    "unicode": "ünï çødé ☃",
    "long": "x" * 10_000,
    "option": "-rf",
    "semicolon": "a; touch pwned",
    "variable": "$HOME ${HOME} $$ %HOME%",
    "backslash": "\\0 \\1 \\\\ \\",
    "yaml": "&a *a !b {c: d} [e] # f",
    "empty": "",
    "space": " ",
}


def _string_inputs() -> list[Any]:
    return [
        pytest.param(item.name, entry, id=f"{item.name}-{entry.name}")
        for item in catalog.COMPONENTS
        for entry in item.inputs
        if entry.type == "string"
    ]


@pytest.mark.parametrize(("name", "entry"), _string_inputs())
def test_hostile_text_is_refused_or_passed_on_to_the_last_byte(name: str, entry: model.Input, tmp_path: Path) -> None:
    """No text of an input changes what a shell runs; what gets through is in its variable as it was written."""
    from septum.errors import PreviewError

    plain = {key: job["script"] for key, job in _raw_jobs(name).items()}
    for text in HOSTILE.values():
        try:
            made = _raw_jobs(name, **{entry.name: text})
        except PreviewError as error:
            assert entry.name in str(error) or "\n" in text or len(text) > 1000, error  # noqa: PT017
            continue
        assert entry.options == ()
        if entry.name == "job-prefix":
            assert text in {"", " "}
            continue
        assert {key: job["script"] for key, job in made.items()} == plain
        for job in made.values():
            shell = json.dumps([job[keyword] for keyword in ("before_script", "script", "after_script", "hooks")])
            assert not text.strip() or text not in shell
            if entry.variable:
                assert _value(job["variables"][entry.variable]) == text
