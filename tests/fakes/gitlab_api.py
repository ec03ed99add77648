"""A fake of GitLab: what finding and fetching an earlier artifact asks of it, and whether a pipeline has ended.

It listens on a real socket of this machine.

It stands in for a server that tests cannot have. Its paths, parameters and fields are those of the published
descriptions, and of python-gitlab, which speaks to it in the tests:

- https://docs.gitlab.com/api/job_artifacts/ (download by branch or tag, which looks at the newest successful pipeline
  alone unless `search_recent_successful_pipelines` is given; download by number of the CI job),
- https://docs.gitlab.com/api/pipelines/#list-project-pipelines and https://docs.gitlab.com/api/jobs/#list-pipeline-jobs,
- https://docs.gitlab.com/api/projects/#get-a-single-project, https://docs.gitlab.com/api/pipelines/#get-a-single-pipeline,
- https://docs.gitlab.com/ci/jobs/ci_job_token/: a job token opens the artifacts and nothing else here; on another path
  it does not count, and a private project is then not found, a public one is. In newer GitLabs it opens the jobs of a
  pipeline, too (lib/api/ci/pipelines.rb), which is `shows_jobs`,
- https://docs.gitlab.com/user/permissions/: to whom is no member, a private project is not found (404); a guest is
  forbidden to list its pipelines or to read one that there is (403), and does not find one that there is not (404), as
  GitLab's own source has it (lib/api/ci/pipelines.rb: first find, then authorize).

What it does not have: other permissions of people, child pipelines, other storage than one.
"""

from __future__ import annotations

import io
import json
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from septum.manifest import NAME, Manifest, ResultFile, to_json
from septum.verify import measure
from tests.fakes.rootfiles import H, write_root

PROJECT = 42
JOB_TOKEN = "glcbt-64_a-job-token-of-the-tests"
PROJECT_TOKEN = "glpat-a-project-token-of-the-tests"
GUEST_TOKEN = "glpat-a-token-of-a-guest-of-the-tests"
STRANGER_TOKEN = "glpat-a-token-of-another-project-of-the-tests"

Answer = tuple[int, object, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A CI job; without an archive it has no artifact, with `expired` it has none any more."""

    id: int
    name: str = "septum-collect"
    status: str = "success"
    archive: bytes | None = None
    expired: bool = False

    @property
    def available(self) -> bool:
        """Whether there is something to download."""
        return self.archive is not None and not self.expired


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline of a branch or a tag."""

    id: int
    jobs: tuple[Job, ...] = ()
    ref: str = "main"
    tag: bool = False
    status: str = "success"
    sha: str = "5f0c7a1e" * 5
    finished_at: str | None = "2026-08-11T11:32:35.169Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, with the names of the headers that carry tokens."""

    host: str
    path: str
    query: Mapping[str, list[str]]
    tokens: frozenset[str]
    status: int


@dataclass
class GitlabApi:
    """The fake.

    Attributes:
        pipelines: What the project has.
        faults: Answers given instead of the right ones, one request each: a status, or what to do first.
        public: Whether anybody may read the project and its pipelines.
        shows_jobs: Whether a job token may list the jobs of a pipeline.
        redirects: Whether downloads come from a store of another host, as with object storage.
        drip_s: Seconds between the bytes of a download; 0 sends it at once.
        requests: What was asked so far.
    """

    pipelines: list[Pipeline] = field(default_factory=list)
    faults: list[int | Callable[[], Answer]] = field(default_factory=list)
    public: bool = False
    shows_jobs: bool = False
    redirects: bool = False
    drip_s: float = 0.0
    requests: list[Asked] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """What a CI job has in CI_SERVER_URL."""
        return f"http://127.0.0.1:{self.port}"

    def environ(self, **more: str) -> dict[str, str]:
        """The variables of a CI job of a branch, of pipeline 1000."""
        return {
            "CI_SERVER_URL": self.url,
            "CI_PROJECT_ID": str(PROJECT),
            "CI_JOB_NAME": "septum-collect",
            "CI_PIPELINE_ID": "1000",
            "CI_PIPELINE_URL": f"{self.url}/group/dimuon/-/pipelines/1000",
            "CI_DEFAULT_BRANCH": "main",
            "CI_JOB_TOKEN": JOB_TOKEN,
            **more,
        }

    def fail_next(self, count: int, status: int) -> None:
        """Let the next requests fail."""
        self.faults = [status] * count

    # ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────

    def answer(self, host: str, target: str, headers: Mapping[str, str]) -> Answer:
        """Serve one GET request."""
        url = urlsplit(target)
        query = parse_qs(url.query)
        tokens = frozenset(name for name in ("PRIVATE-TOKEN", "JOB-TOKEN", "Authorization") if headers.get(name))
        if self.faults:
            fault = self.faults.pop(0)
            answer = fault() if callable(fault) else _refusal(fault)
        elif url.path.startswith("/store/"):
            answer = self._stored(int(url.path.rpartition("/")[2]))
        else:
            answer = self._api(url.path, query, headers)
        self.requests.append(Asked(host=host, path=unquote(url.path), query=query, tokens=tokens, status=answer[0]))
        return answer

    def _api(self, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str]) -> Answer:
        match = re.fullmatch(rf"/api/v4/projects/{PROJECT}(?:/(.+))?", path)
        if match is None:
            return _refusal(404)
        rest = unquote(match[1] or "")
        artifacts = re.fullmatch(r"jobs/artifacts/(.+)/download|jobs/(\d+)/artifacts", rest)
        private, job = headers.get("PRIVATE-TOKEN"), headers.get("JOB-TOKEN")
        known = {None, PROJECT_TOKEN, GUEST_TOKEN, STRANGER_TOKEN}
        if private not in known or (artifacts and job not in {None, JOB_TOKEN}):
            return _refusal(401)
        opens = artifacts or (self.shows_jobs and re.fullmatch(r"pipelines/\d+/jobs", rest))
        if private not in {PROJECT_TOKEN, GUEST_TOKEN} and not (opens and job) and not self.public:
            return 404, {"message": "404 Project Not Found"}, {}
        if artifacts and artifacts[1]:
            return self._by_ref(artifacts[1], query)
        if artifacts:
            return self._download(self._job(int(artifacts[2])))
        return self._read(rest, query, guest=private == GUEST_TOKEN and not self.public)

    def _read(self, rest: str, query: Mapping[str, list[str]], *, guest: bool) -> Answer:
        """Serve what is not for download."""
        if not rest:
            return (
                200,
                {
                    "id": PROJECT,
                    "path_with_namespace": "group/dimuon",
                    "visibility": "public" if self.public else "private",
                },
                {},
            )
        if rest == "pipelines":
            return _refusal(403) if guest else self._listed(query)
        if match := re.fullmatch(r"pipelines/(\d+)(/jobs)?", rest):
            found = next((item for item in self.pipelines if item.id == int(match[1])), None)
            if found is None or guest:
                return _refusal(404 if found is None else 403)
            return self._jobs(found, query) if match[2] else (200, self._single(found), {})
        return _refusal(404)

    def _by_ref(self, ref: str, query: Mapping[str, list[str]]) -> Answer:
        names = query.get("job")
        if not names:
            return 400, {"error": "job is missing"}, {}
        good = [pipeline for pipeline in self._newest_first() if pipeline.status == "success" and pipeline.ref == ref]
        searched = good[:100] if query.get("search_recent_successful_pipelines") == ["true"] else good[:1]
        for pipeline in searched:
            for job in pipeline.jobs:
                if job.name == names[0] and job.status == "success" and job.available:
                    return self._download(job)
        return _refusal(404)

    def _newest_first(self) -> list[Pipeline]:
        return sorted(self.pipelines, key=lambda pipeline: -pipeline.id)

    def _job(self, number: int) -> Job | None:
        return next((job for pipeline in self.pipelines for job in pipeline.jobs if job.id == number), None)

    def _download(self, job: Job | None) -> Answer:
        if job is None or not job.available:
            return _refusal(404)
        if self.redirects:
            # Another name of this machine is another host to a client.
            return 302, b"", {"Location": f"http://localhost:{self.port}/store/{job.id}"}
        return self._stored(job.id)

    def _stored(self, number: int) -> Answer:
        job = self._job(number)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="artifacts.zip"',
        }
        return (200, job.archive, headers) if job is not None and job.archive is not None else _refusal(404)

    def _listed(self, query: Mapping[str, list[str]]) -> Answer:
        found = [
            pipeline
            for pipeline in self._newest_first()
            if query.get("ref", [pipeline.ref]) == [pipeline.ref]
            and query.get("status", [pipeline.status]) == [pipeline.status]
        ]
        return self._paged([self._basic(item) for item in found], query, "pipelines")

    def _basic(self, item: Pipeline) -> dict[str, Any]:
        return {
            "id": item.id,
            "iid": item.id - 900,
            "project_id": PROJECT,
            "status": item.status,
            "source": "push",
            "ref": item.ref,
            "sha": item.sha,
            "web_url": f"{self.url}/group/dimuon/-/pipelines/{item.id}",
            "created_at": "2026-08-11T11:28:34.085Z",
            "updated_at": item.finished_at or "2026-08-11T11:32:35.169Z",
        }

    def _single(self, item: Pipeline) -> dict[str, Any]:
        more = {"started_at": "2026-08-11T11:28:36.000Z", "duration": 34, "queued_duration": 6, "yaml_errors": None}
        return {**self._basic(item), **more, "tag": item.tag, "finished_at": item.finished_at}

    def _jobs(self, pipeline: Pipeline, query: Mapping[str, list[str]]) -> Answer:
        scope = query.get("scope[]")
        data = [
            {
                "id": job.id,
                "name": job.name,
                "stage": "test",
                "status": job.status,
                "ref": pipeline.ref,
                "tag": pipeline.tag,
                "artifacts_expire_at": "2026-08-18T11:32:35.169Z",
                "pipeline": self._basic(pipeline),
                "web_url": f"{self.url}/group/dimuon/-/jobs/{job.id}",
                **_artifacts(job),
            }
            for job in sorted(pipeline.jobs, key=lambda job: -job.id)
            if scope is None or job.status in scope
        ]
        return self._paged(data, query, f"pipelines/{pipeline.id}/jobs")

    def _paged(self, data: list[dict[str, Any]], query: Mapping[str, list[str]], path: str) -> Answer:
        page, size = int(query.get("page", ["1"])[0]), min(100, int(query.get("per_page", ["20"])[0]))
        pages = -(-len(data) // size) or 1
        headers = {"X-Page": str(page), "X-Per-Page": str(size), "X-Total": str(len(data)), "X-Total-Pages": str(pages)}
        headers |= {"X-Next-Page": str(page + 1) if page < pages else "", "X-Prev-Page": ""}
        if page < pages:
            # GitLab names itself by what it takes for its own address.
            others = "&".join(f"{key}={value}" for key, values in query.items() for value in values if key != "page")
            address = f"http://gitlab.internal.invalid/api/v4/projects/{PROJECT}/{path}?page={page + 1}&{others}"
            headers["Link"] = f'<{address}>; rel="next"'
        return 200, data[(page - 1) * size : page * size], headers


def _artifacts(job: Job) -> dict[str, Any]:
    log = {"file_type": "trace", "size": 1500, "filename": "job.log", "file_format": "raw"}
    if not job.available or job.archive is None:
        return {"artifacts": [log]}
    size = len(job.archive)
    archive = {"file_type": "archive", "size": size, "filename": "artifacts.zip", "file_format": "zip"}
    return {"artifacts": [archive, log], "artifacts_file": {"filename": "artifacts.zip", "size": size}}


def _refusal(status: int) -> Answer:
    words = {401: "401 Unauthorized", 403: "403 Forbidden", 404: "404 Not Found", 500: "500 Internal Server Error"}
    if status == 429:
        return status, b"Retry later\n", {"Retry-After": "0", "Content-Type": "text/plain"}
    return status, {"message": words.get(status, str(status))}, {}


def write_result(
    folder: Path, objects: Mapping[str, H], *, name: str = "dimuon.root", parts: int = 4, missing: int = 0, **facts: Any
) -> Manifest:
    """What the CI job collect leaves in its result folder: one merged file, and the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    file = name.replace(".root", ".partial.root") if missing else name
    size_b, sha256 = measure(write_root(folder / file, objects))
    ids = tuple(f"{number:04d}" for number in range(parts + missing))
    result = ResultFile(name=name, file=file, size_b=size_b, sha256=sha256, parts=ids[:parts], missing=ids[parts:])
    told: dict[str, Any] = {
        "septum": "0.1.0",
        "name": "dimuon",
        "complete": not missing,
        "whole_count": parts + missing,
        "plan": "ab" * 32,
        "work": "cd" * 32,
        "run": "gitlab.example.org/group/dimuon/900/abababab",
        "cluster": "local",
        "results": (result,),
        "origin": {"commit": "5f0c7a1e" * 5, "ref": "main"},
    }
    manifest = Manifest(**{**told, **facts})
    (folder / NAME).write_text(to_json(manifest), encoding="utf-8")
    return manifest


def zipped(folder: Path, *, below: str = "result") -> bytes:
    """The artifact that holds a folder, under another name."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{below}/{path.relative_to(folder).as_posix()}")
        archive.writestr(".septum/receipt.json", "{}")
    return target.getvalue()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are not our failure."""


@contextmanager
def serving() -> Iterator[GitlabApi]:
    """Run the fake on the loopback interface."""
    fake = GitlabApi()
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, data, headers = fake.answer(self.headers.get("Host", ""), self.path, dict(self.headers))
            body = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if status != 200 or not fake.drip_s:
                self.wfile.write(body)
                return
            for number in range(len(body)):
                if ended.is_set():
                    self.close_connection = True
                    return
                self.wfile.write(body[number : number + 1])
                self.wfile.flush()
                time.sleep(fake.drip_s)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
