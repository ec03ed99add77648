"""A pipeline that waits in hops, on the real pool: one hop is killed, and the result is that of one that stays."""

from __future__ import annotations

import hashlib
import json
import secrets
import shlex
import sqlite3
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from septum.components.render import parse
from septum.facility import Facility
from septum.facility.pipeline import Library, Pipeline, PipelineResult
from tests.faults.faults import call, environment
from tests.workshop import (
    SEPTUM,
    Repository,
    client_environment,
    kinds_repository,
    pool_profile,
    site_variables,
    write_root,
)

ROOT = Path(__file__).parents[2]
PARTS = 6
# Two parts wait for nothing, two for the file `second`, two for `third`: so it is known what the next hop finds.
GATES = ("", "", "second", "second", "third", "third")
PART_SH = """\
tries=0
while [ -n "$2" ] && [ ! -e "GATES/$2" ] && [ $tries -lt 300 ]; do sleep 0.2; tries=$((tries + 1)); done
cp "$1" out.root
"""
GITLAB_CI = """\
include:
  - component: $CI_SERVER_FQDN/cms-analysis/general/septum/analysis@1.0.0
    inputs: {cluster: infn-af, hops: 6, hop-delay: 30 minutes, wait: WAIT}
"""
# Called by its own name; in the second hop septum dies once, as soon as it has looked at the queue.
KILLER = """\
#!/bin/sh
if [ "$CI_JOB_NAME $1" = "septum-hop-2 collect" ]; then
  export FAULTS
  SEPTUM "$@"
  exit $?
fi
exec SEPTUM "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What the CI jobs of both pipelines left, one after the other."""

    broken: PipelineResult
    retried: PipelineResult
    done: PipelineResult
    held: PipelineResult


def _analysis(folder: Path, gates: str) -> None:
    folder.mkdir()
    for number in range(PARTS):
        write_root(folder / f"{number}.root", seed=number)
    (folder / "part.sh").write_text(PART_SH.replace("GATES", gates))
    rows = "\n".join(f"    - {{gate: '{gate}', file: {number}.root}}" for number, gate in enumerate(GATES))
    inputs = ", ".join(f"{number}.root" for number in range(PARTS))
    (folder / "septum.yaml").write_text(
        'name: hops\ncommand: [sh, part.sh, "{file}", "{gate}"]\n'
        f"parts:\n  list:\n{rows}\ninputs: [part.sh, {inputs}]\n"
        "outputs: [{path: out.root, objects: [mass]}]\nmerge: {all.root: out.root}\n"
        "resources: {memory: 64 MB, disk: 50 MB, time: 10 min}\n"
    )


def _pipeline(facility: Facility, analysis: Path, wait: str) -> Pipeline:
    tools = analysis.with_name(f"tools-{wait}")
    tools.mkdir()
    (analysis / ".gitlab-ci.yml").write_text(GITLAB_CI.replace("WAIT", wait))
    faults = environment([call("summary", after=True)], tools)
    words = " ".join(f"{name}={shlex.quote(value)}" for name, value in faults.items())
    killer = KILLER.replace("SEPTUM ", f"{SEPTUM} ").replace("FAULTS", words)
    (tools / "septum").write_text(killer)
    (tools / "septum").chmod(0o755)
    return facility.pipeline(
        analysis,
        variables={
            **site_variables(facility),
            "CI_JOB_TIMEOUT": "3600",
        },
        files={"SEPTUM_CA": facility.ca_file.read_text()},
        library=Library(ROOT / "templates"),
        path=[tools],
    )


def _wait_for(facility: Facility, tag: str, ended: int) -> None:
    """Until so many jobs of the run have ended; their outputs wait in the queue."""
    deadline = time.monotonic() + 180
    constraint = f'SeptumRun == "{tag}" && JobStatus == 4'
    while True:
        listed = facility.pool.run("condor_q", "-all", "-constraint", constraint, "-af", "SeptumPart").stdout
        if len(listed.split()) >= ended:
            return
        assert time.monotonic() < deadline, listed
        time.sleep(0.3)


@pytest.fixture(scope="module")
def story(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Six hops, of which the second is killed and retried, beside a pipeline of the same analysis that stays."""
    folder = tmp_path_factory.mktemp("hops")
    # The pool has a /tmp of its own.
    gates = facility.pool.folder / "tmp" / f"gates-{secrets.token_hex(4)}"
    gates.mkdir()
    _analysis(folder / "analysis", f"/tmp/{gates.name}")
    hops, hold = (_pipeline(facility, folder / "analysis", wait) for wait in ("hops", "hold"))
    try:
        with ThreadPoolExecutor(1) as beside:
            # Only as far as this: gitlab-ci-local starts delayed jobs also when what they need has failed.
            broken = hops.run("septum-hop-2", needs=True, timeout_s=120)
            assert _state(broken, "septum-submit", "receipt.json").is_file(), broken.log
            held = beside.submit(hold.run, timeout_s=180)
            tag = json.loads(_state(broken, "septum-submit", "receipt.json").read_text())["tag"]
            (gates / "second").touch()
            _wait_for(facility, tag, 4)
            retried = hops.run("septum-hop-2", "septum-hop-3", timeout_s=120)
            (gates / "third").touch()
            _wait_for(facility, tag, PARTS)
            done = hops.run("septum-hop-4", "septum-hop-5", "septum-collect", timeout_s=120)
            return Story(broken=broken, retried=retried, done=done, held=held.result())
    finally:
        for gate in filter(None, GATES):
            (gates / gate).touch()


def _state(ran: PipelineResult, job: str, name: str) -> Path:
    return ran.artifacts(job) / ".septum" / "septum-" / name


def _parts(ran: PipelineResult, job: str) -> Counter[str]:
    """The states of the parts in the ledger that a CI job left."""
    with closing(sqlite3.connect(_state(ran, job, "run.sqlite"))) as database:
        return Counter(state for (state,) in database.execute("SELECT state FROM part"))


def test_a_hop_takes_what_is_there_and_leaves(story: Story) -> None:
    """Outputs that are verified stay in the state folder; neither a result nor a report says anything yet."""
    assert story.retried.exit_code == 0, story.retried.log
    for job in ("septum-hop-2", "septum-hop-3"):
        assert _parts(story.retried, job) == {"verified": 4, "running": 2}
        folder = story.retried.artifacts(job)
        assert not [path for path in (folder / "result").glob("*") if path.is_file()]
        assert not (folder / ".septum-reports").exists()
    assert "hop 3/6: 2 parts of 6 have not ended" in story.retried.job_log("septum-hop-3")


def test_a_hop_that_was_killed_is_repeated(story: Story) -> None:
    """Nothing of it is needed: the repeated one begins where the hop before it left, and submits nothing twice."""
    assert " FAIL  septum-hop-2" in story.broken.log
    assert "Killed" in story.broken.log
    assert " PASS  septum-hop-2" in story.retried.log
    submitted = [line for line in story.broken.log.splitlines() if "jobs submitted" in line]
    assert len(submitted) == 1
    assert "gets job number" not in story.retried.log + story.done.log


def test_hops_after_the_end_pass_at_once_and_carry_the_result(story: Story) -> None:
    """The hop that finds the work done publishes it; collect has it in the end, to the last byte."""
    assert story.done.exit_code == 0, story.done.log
    folders = [story.done.artifacts(job) / "result" for job in ("septum-hop-4", "septum-hop-5", "septum-collect")]

    made, *carried = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    ]
    assert {"all.root", "septum.json", "report.html", "junit.xml"} <= {path.name for path in made}
    assert carried == [made, made]
    for job in ("septum-hop-5", "septum-collect"):
        assert "an earlier one has collected the run" in story.done.job_log(job)
        assert "collect from" not in story.done.job_log(job)


def test_reports_stand_once_where_the_result_was_published(story: Story) -> None:
    """GitLab would count every part once for each CI job that shows a test report."""
    state = story.done.pipeline.checkout / ".gitlab-ci-local" / "artifacts"

    shown = sorted(path.relative_to(state).as_posix() for path in state.rglob("*/.septum-reports/*/*"))
    assert {path.split("/")[0] for path in shown} <= {"septum-hop-4"}
    built = story.done.pipeline.checkout / ".gitlab-ci-local" / "builds"
    made = sorted(path.parts[-4:] for path in built.rglob(".septum-reports/septum-/*"))
    assert made == [
        ("septum-hop-4", ".septum-reports", "septum-", name)
        for name in ("annotations.json", "junit.xml", "metrics.txt")
    ]


def test_result_is_that_of_a_pipeline_that_stays(story: Story) -> None:
    """The same plan, the same bytes."""
    assert story.held.exit_code == 0, story.held.log
    found = []
    for ran in (story.done, story.held):
        folder = ran.artifacts("septum-collect") / "result"
        manifest = json.loads((folder / "septum.json").read_text())
        assert manifest["complete"] is True
        assert len(manifest["results"][0]["parts"]) == PARTS
        sha256 = hashlib.sha256((folder / "all.root").read_bytes()).hexdigest()
        assert sha256 == manifest["results"][0]["sha256"]
        found.append((manifest["plan"], sha256))
    assert found[0] == found[1]


def test_the_latest_end_is_said_beforehand(story: Story) -> None:
    """By submit, with the delays of the hops, and without hops."""
    assert "6 hops, after 5, 10, 20, 30, 30, 30 minutes; collect stays 1 h 00 min" in story.broken.log
    assert "latest end" in story.held.job_log("septum-submit")
    assert "hops, after" not in story.held.log


def test_no_hop_exists_in_a_pipeline_that_stays(story: Story) -> None:
    """Three CI jobs, as ever."""
    assert "septum-hop" not in story.held.log


# ── cancelled ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_cancelled_submit_leaves_no_jobs_and_touches_no_others(facility: Facility, tmp_path: Path) -> None:
    """Killed before receipt and ledger were there: the pipeline tells the tag, and `after_script` does the rest.

    As GitLab's runner would start it: in a new shell, without the job token.
    """
    runs = {}
    for pipeline in ("501", "502"):
        environ = {
            **client_environment(facility),
            "CI_SERVER_HOST": "gitlab.test",
            "CI_PROJECT_ID": "7",
            "CI_PIPELINE_ID": pipeline,
            "SEPTUM_PREFIX": "septum-",
            "SEPTUM_CLUSTER": "pool.yaml",
        }
        runs[pipeline] = kinds_repository(tmp_path / pipeline, ["slow", "slow"], environ=environ)
        (runs[pipeline].folder / "pool.yaml").write_text(pool_profile(facility.pool, facility))
        for verb in ("prepare", "submit"):
            done = runs[pipeline].septum(verb)
            assert done.returncode == 0, done.stdout
    assert len(_jobs(facility, "/501/")) == len(_jobs(facility, "/502/")) == 2
    for name in ("receipt.json", "run.sqlite"):
        (runs["501"].folder / ".septum" / name).unlink()

    said = {status: _after_script(runs["501"], status) for status in ("success", "failed", "canceled")}

    assert said["success"] == said["failed"] == ""
    assert "2 jobs removed" in said["canceled"]
    assert _jobs(facility, "/501/") == []
    assert len(_jobs(facility, "/502/")) == 2
    # With a receipt, and again, as after a signal that has removed them already.
    assert "2 jobs removed" in _after_script(runs["502"], "canceled")
    assert "0 jobs removed" in _after_script(runs["502"], "canceled")


def _after_script(run: Repository, status: str) -> str:
    _, body = parse((ROOT / "templates" / "analysis.yml").read_text(encoding="utf-8"), "analysis")
    job: Any = body["$[[ inputs.job-prefix ]]submit"]
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(job["after_script"])],
        cwd=run.folder,
        env=run.environment(CI_JOB_STATUS=status),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert time.monotonic() - began < 60
    return done.stdout


def _jobs(facility: Facility, pipeline: str) -> list[str]:
    # Not removed, not ended; right after a submission they are held for a moment.
    constraint = f'regexp("{pipeline}", SeptumRun) && JobStatus != 3 && JobStatus != 4'
    listed = facility.pool.run("condor_q", "-all", "-constraint", constraint, "-af", "SeptumPart")
    return listed.stdout.split()
