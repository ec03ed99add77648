"""The examples as users have them: each is run by gitlab-ci-local to its result, on the real pool where it wants one.

All pipelines are under way at the same time. GitLab's API alone is a fake, see `tests/fakes/gitlab_api.py`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from septum.facility import Facility
from septum.facility.pipeline import SERVER, Library, Pipeline, PipelineResult
from tests.fakes.gitlab_api import JOB_TOKEN, PROJECT, PROJECT_TOKEN, GitlabApi, Job, serving, zipped
from tests.fakes.gitlab_api import Pipeline as Listed
from tests.workshop import site_variables

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LIBRARY = Library(ROOT / "templates", tag="0.1.0")
"""What `@0.1` stands for, beside an older tag and a newer one that it does not stand for."""
UNPROTECTED = {"CI_COMMIT_REF_PROTECTED": "false"}
MERGE_REQUEST = {
    **UNPROTECTED,
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_PROJECT_PATH": "demo/analysis",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "demo/analysis",
}
FORK = {**MERGE_REQUEST, "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "stranger/analysis"}
SCHEDULE = {"CI_PIPELINE_SOURCE": "schedule"}
_AT_A_TIME = 4
_DEADLINE_S = 400

pytestmark = pytest.mark.timeout(_DEADLINE_S + 60)

# Runs a script once for each list of arguments, each time in a folder of its own, in one process without septum.
_ALONE = """
import json, os, runpy, sys
script, folder = sys.argv[1:3]
for number, arguments in enumerate(json.load(sys.stdin)):
    os.makedirs(f"{folder}/{number}")
    os.chdir(f"{folder}/{number}")
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
"""


class Field:
    """Where the examples run: the pool behind the addresses of `infn-af`, and a GitLab that knows no pipelines."""

    def __init__(self, facility: Facility, gitlab: GitlabApi, folder: Path) -> None:
        self.facility, self.gitlab, self.folder = facility, gitlab, folder
        self.project = {
            **site_variables(facility),
            # What GitLab says to each CI job, and the runner does not.
            "GITLAB_CI": "true",
            "CI_JOB_TIMEOUT": "21600",
            "CI_JOB_TOKEN": JOB_TOKEN,
            "CI_PROJECT_ID": str(PROJECT),
            "CI_SERVER_HOST": "localhost",
        }
        """The variables that a user has set for the project, and some of GitLab's."""

    def pipeline(
        self,
        example: str,
        name: str,
        *,
        situation: Mapping[str, str] | None = None,
        inputs: Mapping[str, str] | None = None,
        change: Callable[[Path], None] | None = None,
        gitlab: GitlabApi | None = None,
    ) -> Pipeline:
        """Prepare the pipeline of an example.

        Args:
            example: Its name.
            name: Of the copy.
            situation: Variables of the pipeline.
            inputs: Of the pipeline.
            change: What the user changes in the copy.
            gitlab: One that knows pipelines.
        """
        server = {"CI_SERVER_URL": (gitlab or self.gitlab).url.replace("127.0.0.1", "localhost")}
        copy = self.folder / name
        shutil.copytree(EXAMPLES / example, copy, ignore=shutil.ignore_patterns(".septum", "result", "__pycache__"))
        if change is not None:
            change(copy)
        pipeline = self.facility.pipeline(
            copy,
            variables={**self.project, **server, **(situation or {})},
            files={"SEPTUM_CA": self.facility.ca_file.read_text()},
            library=LIBRARY,
        )
        _tag(pipeline.folder / "library", "0.0.9", "0.2.0")
        more = {"GCL_INPUT": " ".join(f"{key}={value}" for key, value in inputs.items())} if inputs else {}
        if situation and "CI_MERGE_REQUEST_IID" in situation:
            # GitLab has no such variable there; the runner has it everywhere.
            more["GCL_UNSET_VARIABLE"] = "CI_COMMIT_BRANCH"
        return dataclasses.replace(pipeline, env={**pipeline.env, **more})


def _tag(library: Path, *tags: str) -> None:
    for tag in tags:
        subprocess.run(["git", "tag", tag], cwd=library, check=True, timeout=60)


class Stories:
    """Pipelines side by side, by name; a story may be several, one after the other."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._threads = ThreadPoolExecutor(_AT_A_TIME)
        self._futures: dict[str, Future[PipelineResult]] = {}

    def run(self, example: str, name: str = "", *, after: str = "", **changed: Any) -> None:
        """Start one pipeline, under its example's name if it has no other; after another one, if that is named."""

        def story() -> PipelineResult:
            if after:
                self._futures[after].result()
            return self._field.pipeline(example, name or example, **changed).run()

        self.tell(name or example, story)

    def tell(self, name: str, story: Callable[[], PipelineResult]) -> None:
        """Start a story, of which the last pipeline counts."""
        self._futures[name] = self._threads.submit(story)

    def __getitem__(self, name: str) -> PipelineResult:
        return self._futures[name].result(timeout=_DEADLINE_S)

    def end(self) -> None:
        """Wait for all that is still under way."""
        self._threads.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def gitlab() -> Iterator[GitlabApi]:
    """The fake."""
    with serving() as fake:
        yield fake


@pytest.fixture(scope="module")
def field(facility: Facility, gitlab: GitlabApi, tmp_path_factory: pytest.TempPathFactory) -> Field:
    """The field."""
    return Field(facility, gitlab, tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def ran(field: Field) -> Iterator[Stories]:
    """All examples; what takes long begins early."""
    stories = Stories(field)
    with serving() as gitlab:
        stories.run("minimal")
        stories.run("several-includes")
        stories.tell("main", lambda: _main(field, gitlab))
        stories.tell("nightly", lambda: _two_nights(field))
        stories.run("two-clusters")
        stories.run("two-clusters", "two-clusters-local", inputs={"cluster": "local"})
        stories.run("hops")
        stories.run("captured-framework")
        for name, change in (("changed", _harder_cut), ("unchanged", None)):
            proposed = {"situation": MERGE_REQUEST, "change": change, "gitlab": gitlab}
            stories.run("compare-in-merge-requests", name, after="main", **proposed)
        stories.run("years")
        stories.run("two-clusters", "taste", situation=UNPROTECTED, change=_with_taste)
        stories.run("two-clusters", "unprotected", situation=UNPROTECTED)
        stories.run("compare-in-merge-requests", "fork", situation=FORK)
        stories.run("minimal", "takes in", change=_with_rule)
        try:
            yield stories
        finally:
            stories.end()


# ── the results ─────────────────────────────────────────────────────────────────────────────────────────────────


def _alone(script: str, arguments: Sequence[Sequence[object]], folder: Path) -> dict[str, np.ndarray]:
    """The sum of the histograms of all parts, in one process, without septum: contents and squared errors."""
    told = json.dumps([[str(word) for word in words] for words in arguments])
    command = [sys.executable, "-c", _ALONE, str(EXAMPLES / script), str(folder)]
    subprocess.run(command, input=told, text=True, check=True, timeout=120)
    found: dict[str, np.ndarray] = {}
    for number in range(len(arguments)):
        for name, content in _contents(folder / str(number) / "hists.root").items():
            found[name] = found[name] + content if name in found else content
    return found


def _contents(file: Path) -> dict[str, np.ndarray]:
    with uproot.open(file) as opened:
        keys = opened.keys(cycle=False)
        return {name: np.stack([opened[name].values(flow=True), opened[name].variances(flow=True)]) for name in keys}


def _check(file: Path, alone: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The contents of a merged file, which are those of one process over all parts."""
    merged = _contents(file)
    assert merged.keys() == alone.keys()
    for name, content in alone.items():
        assert content.sum() > 0
        np.testing.assert_array_equal(merged[name], content)
    return {name: content[0] for name, content in merged.items()}


def _green(ran: PipelineResult, *jobs: str) -> None:
    """The pipeline has these CI jobs, in any order and no others, and all have passed."""
    assert ran.exit_code == 0, ran.log[-6000:]
    assert _jobs(ran) == sorted(jobs)


def _jobs(ran: PipelineResult) -> list[str]:
    """The CI jobs that ran, by name."""
    return sorted(re.findall(r"^(\S+) +starting shell", ran.log, re.MULTILINE))


def _result(ran: PipelineResult, job: str = "septum-collect", folder: str = "result") -> Path:
    return ran.artifacts(job) / folder


def _manifest(ran: PipelineResult, job: str = "septum-collect", folder: str = "result") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_result(ran, job, folder) / "septum.json").read_text())
    return found


def test_minimal(ran: Stories, tmp_path: Path) -> None:
    """Three CI jobs, and the Z peak of all seeds."""
    alone = _alone("minimal/zpeak.py", [[seed] for seed in range(1, 5)], tmp_path)
    done = ran["minimal"]

    _green(done, "septum-prepare", "septum-submit", "septum-collect")
    mass = _check(_result(done) / "zpeak.root", alone)["mass"]
    assert 60 + (mass.argmax() - 0.5) == pytest.approx(91.2, abs=1)
    # What `@0.1` stands for, of the tags that there are.
    fetched = done.pipeline.checkout / ".gitlab-ci-local" / "includes" / SERVER / LIBRARY.project
    assert [path.name for path in fetched.iterdir()] == ["0.1.0"]


def test_two_clusters_give_the_same_file(ran: Stories, tmp_path: Path) -> None:
    """The same repository with another choice on "Run pipeline": on the pool and in the CI job, to the last byte."""
    alone = _alone("two-clusters/dimuon.py", [[first, 1000] for first in range(0, 6000, 1000)], tmp_path)
    manifests = {}
    for name, cluster in (("two-clusters", "infn-af"), ("two-clusters-local", "local")):
        _green(ran[name], "septum-prepare", "septum-submit", "septum-collect")
        cutflow = _check(_result(ran[name]) / "dimuon.root", alone)["cutflow"]
        assert cutflow[1] == 6000
        assert (np.diff(cutflow[1:-1]) < 0).all()
        manifests[cluster] = _manifest(ran[name])
        assert manifests[cluster]["cluster"] == cluster

    assert manifests["infn-af"]["plan"] == manifests["local"]["plan"]
    sha256 = [[result["sha256"] for result in manifest["results"]] for manifest in manifests.values()]
    assert sha256[0] == sha256[1]


def test_years(ran: Stories, tmp_path: Path) -> None:
    """A file a year, from a matrix and from an include of its own; the yields go with the luminosity."""
    years = {"2016": ("run2", 60), "2017": ("run2", 60), "2018": ("run2", 60), "2022": ("run3", 55)}
    alone = {
        year: _alone("years/yields.py", [[year, period, threshold] for period in (1, 2)], tmp_path / year)
        for year, (_, threshold) in years.items()
    }
    done = ran["years"]

    _green(done, *(f"{run}-{job}" for run in ("run2", "run3") for job in ("prepare", "submit", "collect")))
    found = {
        year: _check(_result(done, f"{run}-collect", run) / f"{year}.root", alone[year])["yield"][1]
        for year, (run, _) in years.items()
    }
    assert found["2016"] < found["2017"] < found["2018"]
    assert sorted(path.name for path in (done.artifacts("run2-collect")).iterdir()) == [".septum", "run2"]


def test_hops(ran: Stories, tmp_path: Path) -> None:
    """Three CI jobs look for the outputs, and the last one has the result."""
    alone = _alone("hops/toys.py", [[seed] for seed in range(1, 7)], tmp_path)
    done = ran["hops"]

    _green(done, "septum-prepare", "septum-submit", "septum-hop-1", "septum-hop-2", "septum-collect")
    assert "3 hops, after 30, 60, 480 minutes" in done.job_log("septum-submit")
    q0 = _check(_result(done) / "toys.root", alone)["q0"]
    # Half of all experiments have a deficit, and one in 740 an excess of three standard deviations.
    assert q0[1] > 600_000
    assert 0.0008 < q0[37:].sum() / 1_200_000 < 0.0025


def test_several_includes(ran: Stories, tmp_path: Path) -> None:
    """Steps on the pool with a CI job between them, a second analysis, the comparison of both, and a plot."""
    done = ran["several-includes"]

    steps = ["preflight", "prepare", "submit", "collect"]
    others = ["old-prepare", "old-submit", "old-collect", "seeds", "septum-compare", "plot"]
    _green(done, *(f"new-{step}" for step in steps), *others)
    for run, first in (("new", 101), ("old", 1)):
        alone = _alone("several-includes/generate.py", [[first + part] for part in range(6)], tmp_path / run)
        _check(_result(done, f"{run}-collect", run) / "wmass.root", alone)
    assert _manifest(done, "new-collect", "new")["cluster"] == "infn-af"
    assert "1 compatible" in done.job_log("septum-compare")
    comparison = json.loads(next(done.artifacts("septum-compare").rglob("comparison.json")).read_text())
    assert comparison["counts"]["compatible"] == 1
    assert (done.artifacts("plot") / "wmass.png").read_bytes().startswith(b"\x89PNG")


def test_a_framework_that_submits_for_itself(ran: Stories, tmp_path: Path) -> None:
    """It compiles, submits to the recorder, and merges: what it would have given on one machine, envelope included."""
    copy = tmp_path / "alone"
    shutil.copytree(EXAMPLES / "captured-framework", copy)
    _without_cluster(copy)
    done = ran["captured-framework"]

    _green(done, *(f"septum-{job}" for job in ("recorder", "prepare", "submit", "collect", "merge", "result")))
    assert "6 job(s) submitted to cluster 1." in done.job_log("septum-prepare")
    corrected = done.job_log("septum-submit")
    assert "num_retries is no submit command" in corrected
    assert "+JobFlavour" in corrected
    result = _result(done, "septum-result")
    merged, alone = (uproot.open(path / "ww.root") for path in (result, copy))
    assert set(merged.keys()) == set(alone.keys())
    assert len(merged.keys(filter_classname="TH1*")) == 9
    for name in alone.keys(filter_classname="TH1*"):
        np.testing.assert_array_equal(merged[name].values(flow=True), alone[name].values(flow=True))
    nominal, up = merged["mt/WW"].values(), merged["mt/WW_scaleUp"].values()
    assert (up[nominal > 0] > nominal[nominal > 0]).all()
    assert _manifest(done, "septum-result")["cluster"] == "infn-af"


def _without_cluster(folder: Path) -> None:
    """What its users would do by hand: compile, run each job where it is, merge."""
    (folder / "bin").mkdir()
    (folder / "bin" / "condor_submit").write_text("#!/bin/sh\nexit 0\n")
    (folder / "bin" / "condor_submit").chmod(0o755)
    environ = {**os.environ, "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(*words: str) -> None:
        subprocess.run(words, cwd=folder, env=environ, check=True, timeout=120, capture_output=True)

    run("sh", "shapes", "compile")
    run("sh", "shapes", "submit")
    (folder / "hists").mkdir()
    for job in sorted((folder / "condor").glob("*/settings")):
        run(sys.executable, "job.py", str(job))
        (folder / "hists.root").rename(folder / "hists" / f"{job.parent.name}.root")
    run("sh", "shapes", "merge")


# ── in merge requests, at night ─────────────────────────────────────────────────────────────────────────────────


def _harder_cut(copy: Path) -> None:
    script = copy / "higgs.py"
    script.write_text(script.read_text().replace("MINIMUM_PT = 7", "MINIMUM_PT = 20"))


def _main(field: Field, gitlab: GitlabApi) -> PipelineResult:
    """The default branch, whose pipeline is the reference from then on."""
    main = field.pipeline("compare-in-merge-requests", "compare-main", gitlab=gitlab).run()
    assert main.exit_code == 0, main.log[-6000:]
    gitlab.pipelines = [Listed(id=900, jobs=(Job(id=9001, archive=zipped(_result(main))),))]
    return main


def test_first_pipeline_has_nothing_to_compare_with(ran: Stories, tmp_path: Path) -> None:
    """Which is no error, also where differences are."""
    alone = _alone("compare-in-merge-requests/higgs.py", [[seed] for seed in (1, 2, 3)], tmp_path)
    done = ran["main"]

    _green(done, "septum-prepare", "septum-submit", "septum-collect")
    assert "nothing to compare with" in done.job_log("septum-collect")
    m4l = _check(_result(done) / "higgs.root", alone)["m4l"]
    assert 105 + (m4l.argmax() - 0.5) == pytest.approx(125, abs=1.5)


def test_merge_request_that_changes_nothing(ran: Stories) -> None:
    """The same file, to the last byte, and the component compare says so as well as the analysis."""
    done = ran["unchanged"]

    _green(done, "septum-prepare", "septum-submit", "septum-collect", "septum-compare")
    for job in ("septum-collect", "septum-compare"):
        assert "1 of 1 identical" in done.job_log(job)
        assert "byte-identical: higgs.root" in done.job_log(job)


def test_merge_request_says_what_it_does_to_the_physics(ran: Stories, tmp_path: Path) -> None:
    """A cut that was raised: both histograms are different, which fails one CI job, and the result is there."""
    done = ran["changed"]

    assert _jobs(done) == ["septum-collect", "septum-compare", "septum-prepare", "septum-submit"]
    assert done.exit_code != 0
    assert re.search(r"^septum-compare finished in .* FAIL 51", done.log, re.MULTILINE)
    for job in ("septum-collect", "septum-compare"):
        assert "2 different" in done.job_log(job)
    comparison = next(done.artifacts("septum-compare").rglob("comparison.json"))
    assert json.loads(comparison.read_text())["counts"]["different"] == 2
    _harder_cut(Path(shutil.copytree(EXAMPLES / "compare-in-merge-requests", tmp_path / "changed")))
    alone = _alone(str(tmp_path / "changed" / "higgs.py"), [[seed] for seed in (1, 2, 3)], tmp_path / "alone")
    _check(_result(done) / "higgs.root", alone)


def _two_nights(field: Field) -> PipelineResult:
    """A night whose collect never came, and the next one."""
    with serving() as gitlab:
        left = field.pipeline("nightly", "first-night", situation=SCHEDULE, gitlab=gitlab)
        submitted = left.run("septum-submit", needs=True)
        assert submitted.exit_code == 0, submitted.log[-6000:]
        receipt = submitted.artifacts("septum-submit") / ".septum" / "septum-" / "receipt.json"
        _, _, number, *_ = json.loads(receipt.read_text())["tag"].split("/")
        gitlab.pipelines = [Listed(id=int(number), status="failed")]
        next_one = {**SCHEDULE, "SEPTUM_GITLAB_TOKEN": PROJECT_TOKEN}
        return field.pipeline("nightly", "second-night", situation=next_one, gitlab=gitlab).run()


def test_nightly(ran: Stories, tmp_path: Path) -> None:
    """The schedule runs the analysis, and sweeps away what the night before has left."""
    alone = _alone("nightly/jets.py", [[seed] for seed in range(1, 5)], tmp_path)
    done = ran["nightly"]

    _green(done, "septum-prepare", "septum-submit", "septum-collect", "septum-sweep")
    central = _check(_result(done) / "jets.root", alone)["central"]
    assert (np.diff(central[1:-1] / np.diff([30, 40, 60, 90, 140, 220, 350, 600])) < 0).all()
    assert "4 jobs removed" in done.job_log("septum-sweep")


# ── the other sides ─────────────────────────────────────────────────────────────────────────────────────────────


def _with_inputs(copy: Path, **inputs: Any) -> None:
    """Add inputs to the last include."""
    file = copy / ".gitlab-ci.yml"
    text = file.read_text()
    if "inputs:\n" not in text:
        text += "    inputs:\n"
    file.write_text(text + "".join(f"      {key}: {json.dumps(value)}\n" for key, value in inputs.items()))


def _with_taste(copy: Path) -> None:
    _with_inputs(copy, **{"without-credentials": "local"})


def test_taste_of_a_ref_without_credentials(ran: Stories, tmp_path: Path) -> None:
    """With `without-credentials: local`, the first three parts in the CI job, and a result that does not look whole."""
    done = ran["taste"]

    _green(done, "septum-prepare", "septum-submit", "septum-collect")
    assert [path.name for path in _result(done).glob("*.root")] == ["dimuon.partial.root"]
    alone = _alone("two-clusters/dimuon.py", [[first, 1000] for first in (0, 1000, 2000)], tmp_path)
    _check(_result(done) / "dimuon.partial.root", alone)
    assert "3 of 6 parts" in done.job_log("septum-collect")
    assert _manifest(done)["complete"] is False
    assert _manifest(done)["cluster"] == "local"


def test_ref_without_credentials_says_so(ran: Stories) -> None:
    """A branch that is not protected: one CI job, which ends as a warning, and nothing else."""
    done = ran["unprotected"]

    assert done.exit_code == 0, done.log
    assert _jobs(done) == ["septum-skipped"]
    assert "skipped: no credentials on this ref" in done.job_log("septum-skipped")
    assert re.search(r"^septum-skipped finished in .* WARN 10", done.log, re.MULTILINE)


def test_fork_runs_nothing(ran: Stories) -> None:
    """A merge request from another project, on `local` as anywhere."""
    assert _jobs(ran["fork"]) == []


def _with_rule(copy: Path) -> None:
    _with_inputs(copy, rules=[{"if": '$CI_PIPELINE_SOURCE == "push"'}])


def test_rule_that_takes_a_job_in_is_refused(ran: Stories) -> None:
    """The input `rules` can leave CI jobs out; one that takes a CI job in would leave image and cluster to chance."""
    done = ran["takes in"]

    assert done.exit_code != 0
    # The rule takes everything in, what says that there are no credentials included.
    assert _jobs(done) == ["septum-prepare", "septum-skipped"]
    for job in _jobs(done):
        assert "a rule of the input 'rules' decided that this CI job runs" in done.job_log(job)
        assert re.search(rf"^{job} finished in .* FAIL 2", done.log, re.MULTILINE)


@pytest.mark.parametrize(
    ("changed", "jobs"), [("README.md", []), ("zpeak.py", ["septum-prepare", "septum-submit", "septum-collect"])]
)
def test_changes_leave_out(field: Field, changed: str, jobs: list[str]) -> None:
    """With `changes`, a push of documents runs nothing, and one of the analysis runs it."""

    def change(copy: Path) -> None:
        _with_inputs(copy, changes="{*.py,*.yaml}")

    pipeline = field.pipeline("minimal", f"changed-{changed}", change=change)
    with (pipeline.checkout / changed).open("a") as file:
        file.write("\n")
    # The runner compares with the default branch as it was fetched.
    commit = ["git", "commit", "--quiet", "--all", "--message", "A change"]
    subprocess.run(commit, cwd=pipeline.checkout, env=dict(pipeline.env), check=True, timeout=60)

    listed = pipeline.run("--list-csv").log

    assert re.findall(r"^(septum-[^;]+);", listed, re.MULTILINE) == jobs, listed
