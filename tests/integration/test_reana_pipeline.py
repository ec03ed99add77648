"""One repository, three runs by the component: in the CI job, on the real pool, on REANA. Only the input differs.

The repository is the example `two-clusters`, with sixteen parts, and with the clusters that there are here. On REANA,
it is also retried and cancelled. All pipelines are under way at the same time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from septum.facility import Facility, Pipeline, PipelineResult
from septum.facility.pipeline import Library
from septum.facility.process import wait_until
from tests.fakes.reana import tools
from tests.fakes.reana.handle import ReanaServer, reana_server
from tests.fakes.reana.jobs import MARK
from tests.fakes.reana.site import CLUSTER, VARIABLE, name_image, reana_profile
from tests.fakes.reana.store import Workflow
from tests.workshop import SEPTUM, client_environment, pool_profile

ROOT = Path(__file__).parents[2]
EXAMPLE, TEMPLATES = ROOT / "examples" / "two-clusters", ROOT / "templates"
POOL = "pool-here"
CLUSTERS = ("local", POOL, CLUSTER)
PARTS, FIRST = 16, 8
"""All parts, and how many of them a barred run lets through."""
_DEADLINE_S = 240
_MARK = f"{MARK}=".encode()

pytestmark = [
    pytest.mark.skipif(bool(tools.unavailable()), reason=tools.unavailable() or "it runs"),
    pytest.mark.timeout(_DEADLINE_S + 60),
]

# Put before what a part does: those of the second half wait for as long as a file is there.
BAR = """\
import os, sys, time
while int(sys.argv[1]) >= FIRST and os.path.exists("BAR"):
    time.sleep(0.1)
"""
# septum under its own name; a signal ends it once where it collects, when a file says which.
STRUCK = """\
#!/bin/sh
if [ "$CI_JOB_NAME $1" = "septum-collect collect" ] && mkdir "HERE/struck" 2>/dev/null; then
  SEPTUM "$@" &
  until [ -s "HERE/signal" ] || ! kill -0 $!; do sleep 0.1; done
  kill -s "$(cat "HERE/signal")" $!
  wait $!
  exit $?
fi
exec SEPTUM "$@"
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The pool, the server, and the repository; the variables of its project are the same for each run."""

    facility: Facility
    server: ReanaServer
    folder: Path
    secrets: Mapping[str, str]

    def pipeline(self, name: str, cluster: str, *, barred: bool = False, templates: Path = TEMPLATES) -> Pipeline:
        """Prepare a pipeline with a cluster as the answer to "Run pipeline".

        Args:
            name: Of the copy.
            cluster: The input.
            barred: Whether half of the parts wait for `open`, and a signal ends collect; see `strike`.
            templates: The components.
        """
        copy, control = self.folder / name, self.control(name)
        shutil.copytree(self.folder / "repository", copy)
        control.mkdir()
        if barred:
            script = copy / "dimuon.py"
            bar = BAR.replace("FIRST", str(FIRST * 1000)).replace("BAR", str(control / "bar"))
            script.write_text(bar + script.read_text())
            (control / "bar").touch()
            (control / "septum").write_text(STRUCK.replace("SEPTUM ", f"{SEPTUM} ").replace("HERE", str(control)))
            (control / "septum").chmod(0o755)
        made = self.facility.pipeline(
            copy,
            variables={**self.secrets, "CI_JOB_TIMEOUT": "3600"},
            library=Library(templates, tag="0.1.0"),
            path=[control] if barred else [],
        )
        return dataclasses.replace(made, env={**made.env, "GCL_INPUT": f"cluster={cluster}"})

    def control(self, name: str) -> Path:
        """The folder from which a barred run is led."""
        return self.folder / f"control-{name}"

    def open(self, name: str) -> None:
        """Let all parts of a barred run go on."""
        (self.control(name) / "bar").unlink(missing_ok=True)

    def strike(self, name: str, signal: str, pipeline: Pipeline, when: Callable[[], bool]) -> PipelineResult:
        """Collect, and end that by a signal when it is time."""
        with ThreadPoolExecutor(1) as beside:
            collecting = beside.submit(pipeline.run, "septum-collect", timeout_s=_DEADLINE_S)
            try:
                assert wait_until(lambda: collecting.done() or when(), timeout_s=40)
            finally:
                (self.control(name) / "signal").write_text(signal)
            return collecting.result()

    def workflows(self, ran: PipelineResult | Pipeline) -> list[Workflow]:
        """All workflows on the server that are of one pipeline, whatever became of them."""
        tag = _tag(ran)
        return [one for one in self.server.store.workflows() if _parameters(one).get("septum_run") == tag]


def _tag(ran: PipelineResult | Pipeline) -> str:
    checkout = (ran.pipeline if isinstance(ran, PipelineResult) else ran).checkout
    receipt = checkout / ".gitlab-ci-local/artifacts/septum-submit/.septum/septum-/receipt.json"
    return str(json.loads(receipt.read_text())["tag"])


def _parameters(workflow: Workflow) -> Mapping[str, Any]:
    told = workflow.specification.get("inputs", {}).get("parameters", {})
    return told if isinstance(told, dict) else {}


def _repository(folder: Path, facility: Facility, server: ReanaServer) -> None:
    """The example with more parts, an image, and the profiles of the clusters that there are here."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".septum", "result", "__pycache__"))
    _change(folder / "septum.yaml", "total: 6000", f"total: {PARTS * 1000}")
    name_image(folder)
    _change(folder / ".gitlab-ci.yml", "options: [infn-af, reana-cern, local]", f"options: [{', '.join(CLUSTERS)}]")
    _change(folder / ".gitlab-ci.yml", "default: infn-af", "default: local")
    (folder / "clusters").mkdir()
    (folder / "clusters" / f"{POOL}.yaml").write_text(pool_profile(facility.pool, facility))
    (folder / "clusters" / f"{CLUSTER}.yaml").write_text(reana_profile(server))


def _change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} has another text than {old!r}"
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def field(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """The field; steps on the server run with the Python of the tests, as if it were that of the image."""
    folder = tmp_path_factory.mktemp("reana-pipeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{SEPTUM.parent}:{os.environ['PATH']}")
        with reana_server(folder / "server", slots=4 * PARTS) as server:
            _repository(folder / "repository", facility, server)
            secrets = {**client_environment(facility), VARIABLE: server.token}
            yield Field(facility=facility, server=server, folder=folder, secrets=secrets)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """A run on REANA whose CI jobs were retried."""

    first: PipelineResult
    names: tuple[str, ...]
    """Of the workflows after the first submit; `again` after the second one."""
    again: tuple[str, ...]
    resubmitted: PipelineResult
    killed: PipelineResult
    collected: PipelineResult


def _retried(field: Field) -> Retried:
    """Submit, submit again; collect, die of it with half of the outputs fetched, and collect again."""
    pipeline = field.pipeline("retried", CLUSTER, barred=True)
    try:
        first = pipeline.run("septum-submit", needs=True, timeout_s=_DEADLINE_S)
        names = _names(field.workflows(first))
        resubmitted = pipeline.run("septum-submit", timeout_s=_DEADLINE_S)
        again = _names(field.workflows(resubmitted))
        killed = field.strike("retried", "KILL", pipeline, lambda: _fetched(field, pipeline) >= FIRST)
    finally:
        field.open("retried")
    collected = pipeline.run("septum-collect", timeout_s=_DEADLINE_S)
    return Retried(
        first=first, names=names, again=again, resubmitted=resubmitted, killed=killed, collected=collected
    )  # fmt: skip


def _names(workflows: list[Workflow]) -> tuple[str, ...]:
    return tuple(one.full_name for one in workflows)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """A run on REANA that nobody wants any more."""

    ended: PipelineResult
    before: tuple[str, ...]
    """The states of its workflows; `after` it was cancelled."""
    after: tuple[str, ...]
    left: tuple[str, ...]
    """What of its steps still ran then."""


def _terminated(field: Field) -> Cancelled:
    """While it collects, the runner tells the script by SIGTERM."""
    pipeline = field.pipeline("terminated", CLUSTER, barred=True)
    before: list[str] = []

    def begun() -> bool:
        before[:] = [one.status for one in field.workflows(pipeline)]
        return _fetched(field, pipeline) >= FIRST and len(_steps(field, pipeline)) >= FIRST

    try:
        submitted = pipeline.run("septum-submit", needs=True, timeout_s=_DEADLINE_S)
        assert submitted.exit_code == 0, submitted.log
        ended = field.strike("terminated", "TERM", pipeline, begun)
        return _cancelled(field, ended, before)
    finally:
        field.open("terminated")


def _after_script(field: Field) -> Cancelled:
    """After the script, the runner would call `after_script` with another word for the state of the CI job."""
    templates = field.folder / "templates"
    shutil.copytree(TEMPLATES, templates)
    # The runner that there is here knows no cancelled CI jobs.
    text = (templates / "analysis.yml").read_text()
    assert '"$CI_JOB_STATUS" != canceled' in text
    (templates / "analysis.yml").write_text(text.replace('"$CI_JOB_STATUS" != canceled', "canceled != canceled"))
    pipeline = field.pipeline("after-script", CLUSTER, barred=True, templates=templates)
    try:
        ended = pipeline.run("septum-submit", needs=True, timeout_s=_DEADLINE_S)
        return _cancelled(field, ended, [])
    finally:
        field.open("after-script")


def _cancelled(field: Field, ended: PipelineResult, before: list[str]) -> Cancelled:
    after = tuple(one.status for one in field.workflows(ended))
    wait_until(lambda: not _steps(field, ended.pipeline), timeout_s=10)
    left = tuple(_steps(field, ended.pipeline))
    return Cancelled(ended=ended, before=tuple(before), after=after, left=left)


def _fetched(field: Field, pipeline: Pipeline) -> int:
    """How many outputs the server has given away."""
    begin = tuple(f"GET /api/workflows/{one.id}/workspace/" for one in field.workflows(pipeline))
    return len({target for target, status in field.server.targets() if status == 200 and _is_output(target, begin)})


def _is_output(target: str, begin: tuple[str, ...]) -> bool:
    return target.startswith(begin) and target.partition("?")[0].endswith(".tar")


def _steps(field: Field, pipeline: Pipeline) -> list[str]:
    """The processes that the server runs for a pipeline, by their ids."""
    ids = {one.id.encode() for one in field.workflows(pipeline)}
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            marks = [word.partition(b"=")[2] for word in path.read_bytes().split(b"\0") if word.startswith(_MARK)]
        except OSError:
            continue
        if ids.intersection(marks):
            found.append(path.parent.name)
    return found


@pytest.fixture(scope="module")
def runs(field: Field) -> Iterator[Mapping[str, Future[PipelineResult]]]:
    """The pipeline with each cluster."""
    with ThreadPoolExecutor(len(CLUSTERS)) as threads:
        yield {
            cluster: threads.submit(field.pipeline(cluster, cluster).run, timeout_s=_DEADLINE_S) for cluster in CLUSTERS
        }


@pytest.fixture(scope="module")
def stories(field: Field, runs: object) -> Iterator[Mapping[str, Future[Any]]]:
    """What befalls other runs on REANA."""
    with ThreadPoolExecutor(3) as threads:
        yield {told.__name__: threads.submit(told, field) for told in (_retried, _terminated, _after_script)}


# ── the tests ───────────────────────────────────────────────────────────────────────────────────────────────────


def _result(ran: PipelineResult) -> Path:
    assert ran.exit_code == 0, ran.log[-6000:]
    return ran.artifacts("septum-collect") / "result"


def _manifest(ran: PipelineResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_result(ran) / "septum.json").read_text())
    return found


def test_three_clusters_give_the_same_file(
    runs: Mapping[str, Future[PipelineResult]], stories: object, tmp_path: Path
) -> None:
    """To the last byte, and of all events; the manifests name the clusters, and one plan."""
    manifests = {cluster: _manifest(runs[cluster].result()) for cluster in CLUSTERS}
    files = {(_result(runs[cluster].result()) / "dimuon.root").read_bytes() for cluster in CLUSTERS}

    assert {manifest["cluster"] for manifest in manifests.values()} == set(CLUSTERS)
    assert len({manifest["plan"] for manifest in manifests.values()}) == 1
    assert len({manifest["results"][0]["sha256"] for manifest in manifests.values()}) == len(files) == 1
    for manifest in manifests.values():
        assert manifest["complete"] is True
        assert len(manifest["parts"]) == len(manifest["results"][0]["parts"]) == PARTS
    with uproot.open(_result(runs[CLUSTER].result()) / "dimuon.root") as merged:
        assert merged["cutflow"].values()[0] == PARTS * 1000


def test_the_parts_ran_where_the_input_says(field: Field, runs: Mapping[str, Future[PipelineResult]]) -> None:
    """Each once: on the pool, and as the steps of one workflow; nothing of `local` left the CI job."""
    tag = _manifest(runs[POOL].result())["run"]
    listed = field.facility.pool.run("condor_history", "-constraint", f'SeptumRun == "{tag}"', "-af", "SeptumPart")
    (workflow,) = field.workflows(runs[CLUSTER].result())

    ids = [f"{number:04d}" for number in range(PARTS)]
    assert sorted(listed.stdout.split()) == ids
    assert workflow.full_name.startswith("septum-dimuon-cuts-")
    assert field.workflows(runs["local"].result()) == field.workflows(runs[POOL].result()) == []


def test_the_workspace_goes_when_the_outputs_are_there(
    field: Field, runs: Mapping[str, Future[PipelineResult]]
) -> None:
    """As the profile has it when it says nothing."""
    (workflow,) = field.workflows(runs[CLUSTER].result())

    assert workflow.status == "deleted"
    assert not workflow.workspace.exists()


def test_manifest_and_annotation_lead_to_the_workflow(field: Field, runs: Mapping[str, Future[PipelineResult]]) -> None:
    """To its page on the server; those of the other clusters lead to none."""
    found = {}
    for cluster in CLUSTERS:
        ran = runs[cluster].result()
        shown = ran.pipeline.checkout / ".gitlab-ci-local/builds/septum-collect/.septum-reports/septum-"
        links = json.loads((shown / "annotations.json").read_text()).get("REANA", [])
        found[cluster] = (_manifest(ran)["pages"], [link["external_link"] for link in links])
    (workflow,) = field.workflows(runs[CLUSTER].result())

    url = f"{field.server.url}/workflows/{workflow.id}"
    page = {"label": f"REANA workflow {workflow.full_name}", "url": url}
    assert found == {"local": ({}, []), POOL: ({}, []), CLUSTER: ({workflow.full_name: url}, [page])}


def test_no_secret_in_log_or_artifacts(field: Field, runs: Mapping[str, Future[PipelineResult]]) -> None:
    """Neither the token of REANA nor the client's secret."""
    secrets = [field.secrets[name].encode() for name in (VARIABLE, "IAM_CLIENT_SECRET")]
    looked = 0
    for cluster in CLUSTERS:
        ran = runs[cluster].result()
        folders = [ran.artifacts(f"septum-{job}") for job in ("prepare", "submit", "collect")]
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        looked += len(files)
        for text in (ran.log.encode(), *(path.read_bytes() for path in files)):
            assert not [secret for secret in secrets if secret in text]
    assert looked > len(CLUSTERS) * 3


def test_a_retried_ci_job_finds_its_workflow(
    field: Field, runs: Mapping[str, Future[PipelineResult]], stories: Mapping[str, Future[Any]]
) -> None:
    """Submit is retried, and collect, which was killed in the middle: there is one workflow, and the whole result."""
    told: Retried = stories["_retried"].result()

    assert told.first.exit_code == told.resubmitted.exit_code == 0, told.first.log + told.resubmitted.log
    assert f"{PARTS} jobs submitted" in told.first.log
    assert len(told.names) == 1
    assert told.again == told.names
    assert f"0 jobs submitted, {PARTS} were there already" in told.resubmitted.log
    assert told.killed.exit_code != 0
    assert "Killed" in told.killed.log
    assert _names(field.workflows(told.collected)) == told.names
    # The files are not the same: each names its plan, of which the bar is a part.
    with (
        uproot.open(_result(told.collected) / "dimuon.root") as one,
        uproot.open(_result(runs["local"].result()) / "dimuon.root") as other,
    ):
        for name in ("cutflow", "mass"):
            np.testing.assert_array_equal(one[name].values(flow=True), other[name].values(flow=True))
            np.testing.assert_array_equal(one[name].variances(flow=True), other[name].variances(flow=True))
    assert set(_manifest(told.collected)["pages"]) == set(told.names)


def test_a_cancelled_ci_job_stops_its_workflow(stories: Mapping[str, Future[Any]]) -> None:
    """By SIGTERM while it collects: half of the steps run, and none does afterwards."""
    told: Cancelled = stories["_terminated"].result()

    assert told.before == ("running",)
    assert told.ended.exit_code != 0
    assert "SIGTERM: removing the jobs" in told.ended.log
    assert told.after == ("stopped",)
    assert told.left == ()
    assert not list(told.ended.artifacts("septum-collect").rglob("dimuon.root"))


def test_what_follows_the_script_of_a_cancelled_ci_job_stops_its_workflow(stories: Mapping[str, Future[Any]]) -> None:
    """`after_script`, where the script itself had no time to."""
    told: Cancelled = stories["_after_script"].result()

    assert told.ended.exit_code == 0, told.ended.log
    assert f"{PARTS} jobs submitted" in told.ended.log
    assert len(told.after) == 1
    assert told.after[0] in {"stopped", "deleted"}
    assert told.left == ()
