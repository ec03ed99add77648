"""Pipelines, CI jobs, traces and artifacts for `tests.fakes.gitlab_server`.

    with serving(*gitlab_pipelines.ENDPOINTS) as server:
        project = server.add_project("my-group/dimuon")
        pipelines = Pipelines.of(project)
        pipelines.add(Pipeline(id=900, jobs=[Job(id=1, name="septum-collect", status="running", trace=b"…")]))

A pipeline's state is what its CI jobs make of it, as GitLab has it (app/models/concerns/ci/has_status.rb), unless the
test gives it one. A trace comes whole, with an ETag that is compared (Rack::ETag and Rack::ConditionalGet answer before
GitLab does); `ranges` is a proxy in between that can give a part of it, which GitLab's page does not promise.
Cancelling makes running CI jobs `canceling` until the test ends them (`end_cancelling`), as GitLab does since 17.0.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.gitlab_endpoint import (
    DEVELOPER_LEVEL,
    REPORTER_LEVEL,
    Answer,
    Call,
    Endpoint,
    Project,
    RefusedError,
)

_JOBS = "https://docs.gitlab.com/api/jobs/"
_PIPELINES = "https://docs.gitlab.com/api/pipelines/"
_ARTIFACTS = "https://docs.gitlab.com/api/job_artifacts/"
_BEGAN, _ENDED = "2026-08-11T11:30:00.000Z", "2026-08-11T11:32:35.169Z"
_ORDER = (
    "running",
    "canceling",
    "pending",
    "scheduled",
    "created",
    "manual",
    "failed",
    "canceled",
    "success",
    "skipped",
)
_DONE = {"success", "failed", "canceled", "skipped"}
_SCOPE = "array"


@dataclass(slots=True, kw_only=True)
class Job:
    """A CI job; what it left is `files`, None without an artifact."""

    id: int
    name: str
    status: str = "success"
    stage: str = "test"
    trace: bytes = b""
    files: dict[str, bytes] | None = None
    allow_failure: bool = False
    reason: str | None = None
    duration: float | None = 155.2
    retried: bool = False
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """A pipeline; `status` is what its CI jobs make of it if it is empty."""

    id: int
    jobs: list[Job] = field(default_factory=list)
    ref: str = "main"
    sha: str = "5f0c7a1e" * 5
    status: str = ""
    started: dict[str, Pipeline] = field(default_factory=dict)
    """Pipelines that it has started, by the name of the CI job with `trigger`."""

    @property
    def state(self) -> str:
        """Its state."""
        return self.status or state_of([job for job in self.jobs if not job.retried])


def state_of(jobs: list[Job]) -> str:
    """What CI jobs make of their pipeline; a failure counts when all the others have ended."""
    passed = {"failed", "canceled", "manual"}  # lib/gitlab/ci/status/composite.rb: with warnings, or ignored
    found = {"success" if job.status in passed and job.allow_failure else job.status for job in jobs}
    going = found - _DONE - {"manual"}
    if going:
        started = found & (_DONE | {"running", "canceling"})
        return "running" if started - {"canceling", "canceled"} else next(word for word in _ORDER if word in going)
    return next((word for word in _ORDER if word in found), "created")


@dataclass(slots=True)
class Pipelines:
    """All pipelines of a project, and how its downloads behave.

    Attributes:
        found: They.
        ranges: Whether something between understands `Range`.
        store: The address of a store that downloads lead to; empty if GitLab sends them itself.
        etags: Whether answers of traces have one.
    """

    found: list[Pipeline] = field(default_factory=list)
    ranges: bool = False
    store: str = ""
    etags: bool = True

    @staticmethod
    def of(project: Project) -> Pipelines:
        """Those of a project."""
        made = project.kept.setdefault("pipelines", Pipelines())
        assert isinstance(made, Pipelines)
        return made

    def add(self, pipeline: Pipeline) -> Pipeline:
        """One more."""
        self.found.append(pipeline)
        return pipeline

    def job(self, number: int) -> Job:
        """A CI job by its number."""
        for pipeline in self.found:
            for job in pipeline.jobs:
                if job.id == number:
                    return job
        raise RefusedError(404)

    def end_cancelling(self, *traces: tuple[int, bytes]) -> None:
        """What the runners do with the CI jobs that are being cancelled: they write their last lines, and end."""
        for number, data in traces:
            self.job(number).trace += data
        for pipeline in self.found:
            for job in pipeline.jobs:
                job.status = "canceled" if job.status == "canceling" else job.status


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _url(call: Call, page: str) -> str:
    return f"{call.server.url}/{call.here.path}/-/{page}"


def _basic(call: Call, item: Pipeline) -> dict[str, Any]:
    return {
        "id": item.id,
        "iid": item.id - 800,
        "project_id": call.here.id,
        "name": None,
        "status": item.state,
        "source": "push",
        "ref": item.ref,
        "sha": item.sha,
        "web_url": _url(call, f"pipelines/{item.id}"),
        "created_at": "2026-08-11T11:28:34.085Z",
        "updated_at": _ENDED,
    }


def _single(call: Call, item: Pipeline) -> dict[str, Any]:
    ended = _ENDED if item.state in _DONE else None
    more = {"before_sha": "0" * 40, "tag": False, "yaml_errors": None, "user": {"id": 1, "username": "maintainer"}}
    more |= {"started_at": _BEGAN, "finished_at": ended, "duration": 34, "queued_duration": 6, "coverage": None}
    return {**_basic(call, item), **more}


def _job(call: Call, pipeline: Pipeline, job: Job) -> dict[str, Any]:
    began = job.status not in {"created", "pending", "scheduled", "manual", "skipped"}
    over = job.status in _DONE
    told: dict[str, Any] = {
        "id": job.id,
        "name": job.name,
        "stage": job.stage,
        "status": job.status,
        "ref": pipeline.ref,
        "tag": False,
        "coverage": None,
        "allow_failure": job.allow_failure,
        "created_at": "2026-08-11T11:28:34.085Z",
        "started_at": _BEGAN if began else None,
        "finished_at": _ENDED if began and over else None,
        "duration": job.duration if began else None,
        "queued_duration": 0.01,
        "pipeline": _basic(call, pipeline),
        "web_url": _url(call, f"jobs/{job.id}"),
        "artifacts": [{"file_type": "trace", "size": len(job.trace), "filename": "job.log", "file_format": None}],
        "user": {"id": 1, "username": "maintainer"},
        "runner": None,
        **job.more,
    }
    if job.status == "failed":
        told["failure_reason"] = job.reason or "script_failure"
    if job.files is not None:
        told["artifacts_file"] = {"filename": "artifacts.zip", "size": 1000}
    return told


def _find(call: Call) -> Pipeline:
    text = str(call.params["pipeline_id"])
    for item in Pipelines.of(call.here).found:
        if str(item.id) == text:
            return item
    raise RefusedError(404)


def _find_job(call: Call) -> Job:
    return Pipelines.of(call.here).job(int(call.params["job_id"]) if str(call.params["job_id"]).isdecimal() else 0)


def _listed(call: Call) -> Answer:
    wishes = {key: call.params[key] for key in ("ref", "sha", "status") if key in call.params}
    found = sorted(Pipelines.of(call.here).found, key=lambda item: -item.id)
    data = [_basic(call, item) for item in found]
    return Answer(data=[item for item in data if all(item[key] == value for key, value in wishes.items())])


def _jobs(call: Call) -> Answer:
    pipeline = _find(call)
    found = [job for job in pipeline.jobs if call.params.get("include_retried") or not job.retried]
    return Answer(data=[_job(call, pipeline, job) for job in sorted(found, key=lambda job: -job.id)])


def _bridges(call: Call) -> Answer:
    pipeline = _find(call)
    found = []
    for number, (name, child) in enumerate(pipeline.started.items(), start=10_000):
        job = _job(call, pipeline, Job(id=number, name=name, status=child.state))
        del job["artifacts"], job["runner"]
        found.append({**job, "downstream_pipeline": _basic(call, child)})
    return Answer(data=found[::-1])


def _trace(call: Call) -> Answer:
    job, known = _find_job(call), Pipelines.of(call.here)
    given = {key.lower(): value for key, value in call.headers.items()}
    etag = f'W/"{hashlib.sha256(job.trace).hexdigest()[:32]}"' if known.etags else ""
    headers = {"Content-Type": "text/plain", **({"ETag": etag} if etag else {})}
    if etag and given.get("if-none-match") == etag:
        return Answer(status=304, data=b"", headers=headers)
    asked = re.fullmatch(r"bytes=(\d+)-", given.get("range", ""))
    if not known.ranges or asked is None:
        return Answer(data=job.trace, headers=headers)
    at, size = int(asked[1]), len(job.trace)
    if at >= size:
        return Answer(status=416, data=b"", headers={**headers, "Content-Range": f"bytes */{size}"})
    return Answer(
        status=206, data=job.trace[at:], headers={**headers, "Content-Range": f"bytes {at}-{size - 1}/{size}"}
    )


def _file(call: Call) -> Answer:
    job, path = _find_job(call), str(call.params["artifact_path"])
    if job.files is None or path not in job.files:
        raise RefusedError(404)
    store = Pipelines.of(call.here).store
    if store:
        return Answer(status=302, data=b"", headers={"Location": f"{store}/{job.id}/{path}"})
    return Answer(data=job.files[path], headers={"Content-Type": "application/octet-stream"})


def _cancel(call: Call) -> Answer:
    pipeline = _find(call)
    for job in pipeline.jobs:
        if job.status == "running":
            job.status = "canceling"
        elif job.status not in _DONE | {"canceling"}:
            job.status = "canceled"
    return Answer(data=_single(call, pipeline))


def _again(pipeline: Pipeline, job: Job) -> Job:
    job.retried = True
    for later in pipeline.jobs:  # Ci::RetryPipelineService, Ci::AfterRequeueJobService
        later.status = "created" if later.status == "skipped" else later.status
    number = max(item.id for item in pipeline.jobs) + 1
    made = Job(id=number, name=job.name, stage=job.stage, status="pending", allow_failure=job.allow_failure)
    pipeline.jobs.append(made)
    return made


def _retry(call: Call) -> Answer:
    pipeline = _find(call)
    for job in [item for item in pipeline.jobs if item.status in {"failed", "canceled"} and not item.retried]:
        _again(pipeline, job)
    return Answer(status=201, data=_single(call, pipeline))


def _retry_job(call: Call) -> Answer:
    job = _find_job(call)
    pipeline = next(item for item in Pipelines.of(call.here).found if job in item.jobs)
    if job.retried or job.status not in {"success", "failed", "canceled"}:
        raise RefusedError(403, {"message": "403 Forbidden - Job is not retryable"})
    return Answer(status=201, data=_job(call, pipeline, _again(pipeline, job)))


_LISTING = {
    "name": "string",
    "order_by": "string: id status ref updated_at user_id",
    "ref": "string",
    "scope": "string: running pending finished branches tags",
    "sha": "string",
    "sort": "string: asc desc",
    "source": "string",
    "status": "string",
    "username": "string",
    "yaml_errors": "boolean",
}
ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/projects/:id/pipelines",
        page=f"{_PIPELINES}#list-project-pipelines",
        handle=_listed,
        fields=_LISTING,
        level=REPORTER_LEVEL,
        paged=True,
    ),
    Endpoint(
        method="GET",
        path="/projects/:id/pipelines/:pipeline_id",
        page=f"{_PIPELINES}#get-a-single-pipeline",
        handle=lambda call: Answer(data=_single(call, _find(call))),
        level=REPORTER_LEVEL,
    ),
    Endpoint(
        method="POST",
        path="/projects/:id/pipelines/:pipeline_id/cancel",
        page=f"{_PIPELINES}#cancel-all-jobs-for-a-pipeline",
        handle=_cancel,
        level=DEVELOPER_LEVEL,
        writes=True,
    ),
    Endpoint(
        method="POST",
        path="/projects/:id/pipelines/:pipeline_id/retry",
        page=f"{_PIPELINES}#retry-jobs-in-a-pipeline",
        handle=_retry,
        level=DEVELOPER_LEVEL,
        writes=True,
    ),
    Endpoint(
        method="GET",
        path="/projects/:id/pipelines/:pipeline_id/jobs",
        page=f"{_JOBS}#list-pipeline-jobs",
        handle=_jobs,
        fields={"scope": _SCOPE, "include_retried": "boolean"},
        level=REPORTER_LEVEL,
        paged=True,
    ),
    Endpoint(
        method="GET",
        path="/projects/:id/pipelines/:pipeline_id/bridges",
        page=f"{_JOBS}#list-pipeline-trigger-jobs",
        handle=_bridges,
        fields={"scope": _SCOPE},
        level=REPORTER_LEVEL,
        paged=True,
    ),
    Endpoint(
        method="GET",
        path="/projects/:id/jobs/:job_id/trace",
        page=f"{_JOBS}#get-a-log-file",
        handle=_trace,
        level=REPORTER_LEVEL,
    ),
    Endpoint(
        method="POST",
        path="/projects/:id/jobs/:job_id/retry",
        page=f"{_JOBS}#retry-a-job",
        handle=_retry_job,
        level=DEVELOPER_LEVEL,
        writes=True,
    ),
    Endpoint(
        method="GET",
        path="/projects/:id/jobs/:job_id/artifacts/(?P<artifact_path>.+)",
        page=f"{_ARTIFACTS}#download-a-single-artifact-file-by-job-id",
        handle=_file,
        level=DEVELOPER_LEVEL,  # all that the components leave has `artifacts: access: developer`
    ),
)
