"""`septum sweep` on the real pool: whose jobs go, and whose stay.

GitLab alone is a fake, see `tests/fakes/gitlab_api.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from septum.errors import CredentialMissingError, GitlabRefusedError, SeptumError, UsageError
from septum.facility import Facility
from septum.stages.pipelines import open_gitlab
from septum.sweep import Sight, project_of
from tests.fakes.gitlab_api import (
    GUEST_TOKEN,
    JOB_TOKEN,
    PROJECT_TOKEN,
    STRANGER_TOKEN,
    GitlabApi,
    Job,
    Pipeline,
    serving,
)
from tests.workshop import Repository, client_environment, pool_profile

HOST = "localhost"
HASH = "7e50e86db0bb0108"
OLD = "2026-08-11T11:32:35.169Z"

# Reads a list of jobs, submits each, and leaves out to send the files of those that are to be without.
STAGE = """
import json, sys
import classad2, htcondor2
ad = htcondor2.Collector(sys.argv[1]).locate(htcondor2.DaemonType.Schedd, sys.argv[2])
for kind, tag in json.load(sys.stdin):
    job = {"executable": "/bin/sleep", "arguments": "600", "transfer_executable": "False", "initialdir": "/tmp",
           "request_memory": "16", "request_disk": "1024", "MY.SweepTest": "True"}
    if tag is not None:
        job["MY.SeptumRun"] = classad2.quote(tag) if isinstance(tag, str) else str(tag)
    job |= {"idle": {"requirements": "False"}, "held": {"hold": "True"},
            "ended": {"arguments": "0", "leave_in_queue": "True"}}.get(kind, {})
    htcondor2.Schedd(ad).submit(htcondor2.Submit(job), spool=kind == "unspooled")
"""


def tag(pipeline: object, *, host: str = HOST, project: object = 42) -> str:
    """As septum writes it."""
    return f"{host}/{project}/{pipeline}/septum/{HASH}"


def now() -> str:
    """As GitLab writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture
def gitlab() -> Iterator[GitlabApi]:
    """The fake."""
    with serving() as fake:
        yield fake


def ci_job(gitlab: GitlabApi, **more: str) -> dict[str, str]:
    """The variables of the CI job of a schedule, in pipeline 1000."""
    url = f"http://{HOST}:{gitlab.port}"
    named = {"CI_SERVER_URL": url, "CI_SERVER_HOST": HOST, "SEPTUM_GITLAB_TOKEN": PROJECT_TOKEN}
    return {**gitlab.environ(), **named, **more}


class Stage:
    """Jobs in the pool's queue, submitted by the client that septum uses."""

    def __init__(self, facility: Facility, folder: Path) -> None:
        self.facility, self.folder = facility, folder
        (folder / "clusters").mkdir()
        (folder / "clusters" / "pool.yaml").write_text(pool_profile(facility.pool, facility))

    def submit(self, *jobs: tuple[str, object]) -> None:
        """Submit jobs of a kind and with a tag; `None` for none."""
        endpoint, token = self.facility.pool.endpoint, self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(self.facility.issuer.token(audience=endpoint.audience))
        environ = {
            "PATH": "/usr/bin:/bin",
            "CONDOR_CONFIG": "ONLY_ENV",
            "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "SCITOKENS",
            "_CONDOR_SCITOKENS_FILE": str(token),
            "_CONDOR_AUTH_SSL_CLIENT_CAFILE": str(self.facility.ca_file),
        }
        done = subprocess.run(
            [sys.executable, "-c", STAGE, endpoint.collector, endpoint.schedd],
            input=json.dumps(jobs), env=environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def left(self) -> list[tuple[str, str, str]]:
        """Status, hold code and tag of the jobs in the queue, as the pool's own tool shows them."""
        attributes = ("JobStatus", "HoldReasonCode ?: 0", 'SeptumRun ?: "-"')
        test = ("-all", "-constraint", "SweepTest is true && JobStatus != 3")
        listed = self.facility.pool.run("condor_q", *test, "-af:t", *attributes)
        return sorted(tuple(line.split("\t")) for line in listed.stdout.splitlines())  # type: ignore[misc]

    def wait(self, status: int, number: int) -> None:
        """Wait until so many jobs have a status."""
        deadline = time.monotonic() + 40
        while sum(found[0] == str(status) for found in self.left()) < number:
            assert time.monotonic() < deadline, self.left()
            time.sleep(0.3)

    def sweep(self, environ: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
        """Run the command in the CI job of a schedule."""
        variables = {"SEPTUM_CLUSTER": "pool", **client_environment(self.facility), **environ}
        return Repository(folder=self.folder, environ=variables).septum("sweep", *options, timeout_s=60)


@pytest.fixture
def stage(facility: Facility, tmp_path: Path) -> Iterator[Stage]:
    """A stage that is empty in the end."""
    stage = Stage(facility, tmp_path)
    yield stage
    facility.pool.run("condor_rm", "-constraint", "SweepTest is true", check=False)
    facility.pool.run("condor_rm", "-forcex", "-constraint", "SweepTest is true", check=False)


FOREIGN: list[tuple[str, Any]] = [
    ("idle", None),
    ("idle", tag(900, project=43)),
    ("idle", tag(900, project=4)),
    ("idle", tag(900, project=420)),
    ("idle", tag(900, host="gitlab.example.org")),
    ("idle", tag(900, host="LOCALHOST")),
    ("idle", f"laptop/42/-/septum/{HASH}"),
    ("held", f"laptop/{HOST}/42/900/{HASH}"),
    ("idle", 42),
]
"""Jobs that are not this project's."""
STRANGE: list[tuple[str, Any]] = [
    ("idle", tag('900"||true||"')),
    ("idle", tag('"||true||"/..')),
    ("held", f"{HOST}/42/900"),
    ("idle", f"{HOST}/42/"),
    ("idle", tag("0900")),
    ("idle", tag("900\\")),
    ("idle", f"{HOST}/42/900/septum/none"),
]
"""Jobs that say that they are this project's, in tags that septum did not write."""


def test_what_ended_pipelines_left_goes_and_nothing_else(stage: Stage, gitlab: GitlabApi) -> None:
    """All states, code 16 too; a dry run first, which shows the same and removes nothing."""
    gitlab.pipelines = [
        Pipeline(id=900, status="success", finished_at=OLD),
        Pipeline(id=901, status="canceled", finished_at=now()),
        Pipeline(id=902, status="running", finished_at=None),
        Pipeline(id=904, status="a_new_status", finished_at=OLD),
        Pipeline(id=1000, status="success", finished_at=OLD),  # the schedule's own, whatever GitLab says of it
    ]
    kept = [("ended", tag(901)), ("idle", tag(902)), ("unspooled", tag(902)), ("idle", tag(904)), ("idle", tag(1000))]
    goes = [(kind, tag(900)) for kind in ("idle", "running", "held", "unspooled", "ended")]
    goes += [("idle", tag(901)), ("unspooled", tag(901)), ("ended", tag(903))]  # 903 has been deleted
    stage.submit(*goes, *kept, *FOREIGN, *STRANGE)
    stage.wait(4, 3)
    stage.wait(2, 1)
    before = stage.left()

    shown = stage.sweep(ci_job(gitlab), "--dry-run")
    untouched = stage.left()
    swept = stage.sweep(ci_job(gitlab))

    assert shown.returncode == swept.returncode == 0, shown.stdout + swept.stdout
    assert untouched == before
    assert [(before.count(item), item[1]) for item in before if item[2] == tag(902)] == [(1, "0"), (1, "16")]
    gone = sorted(set(before) - set(stage.left()))
    assert sorted({item[2] for item in gone}) == [tag(900), tag(901), tag(903)]
    assert len(before) - len(stage.left()) == len(goes)
    assert [item for item in stage.left() if item[2] == tag(901)] == [("4", "0", tag(901))]
    lines = {line.split()[0]: " ".join(line.split()) for line in swept.stdout.splitlines() if line.startswith("  ")}
    assert lines["900"] == "900 success 1 1 2 1 5 removed " + lines["900"].partition("removed ")[2]
    assert lines["901"].startswith("901 canceled 1 0 1 1 2 removed, 1 kept it ended ")
    assert "1 output kept for a retry" in lines["901"]
    assert lines["902"] == "902 running 1 0 1 0 2 kept it has not ended"
    assert lines["903"] == "903 deleted 0 0 0 1 1 removed the pipeline has been deleted"
    assert lines["904"].startswith("904 a_new_status 1 0 0 0 1 kept")
    assert lines["1000"] == "1000 current 1 0 0 0 1 kept sweep itself runs in it"
    assert f"{len(goes)} jobs would be removed, {len(kept)} kept" in shown.stdout
    assert f"{len(goes)} jobs removed, {len(kept)} kept" in swept.stdout
    assert f"{len(STRANGE)} jobs with a tag that septum did not write: kept" in swept.stdout
    assert PROJECT_TOKEN not in shown.stdout + swept.stdout


def test_no_permission_is_not_gone(stage: Stage, gitlab: GitlabApi) -> None:
    """A deleted pipeline's job stays until a token asks that shows it sees pipelines of the project."""
    stage.submit(("idle", tag(903)))
    gitlab.pipelines = [Pipeline(id=1000, status="running")]
    before = stage.left()

    alone = stage.sweep(ci_job(gitlab, SEPTUM_GITLAB_TOKEN=""))
    untouched = stage.left()
    gitlab.public = True
    public = stage.sweep(ci_job(gitlab, SEPTUM_GITLAB_TOKEN=""))

    assert alone.returncode == 13, alone.stdout
    assert "903       not visible" in alone.stdout
    assert "scope 'read_api'" in alone.stdout
    assert "0 jobs removed, 1 kept" in alone.stdout
    assert JOB_TOKEN not in alone.stdout
    assert untouched == before
    assert public.returncode == 0, public.stdout
    assert stage.left() == []


def test_a_token_that_may_not_remove(stage: Stage, gitlab: GitlabApi) -> None:
    """The site's refusal is the exit code; a table still says what was decided."""
    stage.submit(("idle", tag(900)))
    gitlab.pipelines = [Pipeline(id=900, status="failed")]
    reader = {**client_environment(stage.facility, "reader-client"), "SEPTUM_CLUSTER_SCOPE": "wlcg compute.read"}

    process = stage.sweep({**ci_job(gitlab), **reader})

    assert process.returncode == 13, process.stdout
    assert "the token needs compute.create, compute.modify and compute.cancel" in process.stdout
    assert "1 did not go" in process.stdout
    assert "0 jobs removed" in process.stdout
    assert len(stage.left()) == 1


# ── what GitLab says ────────────────────────────────────────────────────────────────────────────────────────────


def sights(environ: dict[str, str], *pipelines: int) -> list[str]:
    """What comes of the question for pipelines, one after the other."""
    with open_gitlab(environ, project_of(environ)) as asked:
        return [asked.answer(pipeline).sight.name for pipeline in pipelines]


@pytest.mark.parametrize(
    ("token", "public", "there", "gone"),
    [
        (PROJECT_TOKEN, False, "SEEN", "DELETED"),
        (GUEST_TOKEN, False, "FORBIDDEN", "HIDDEN"),
        (STRANGER_TOKEN, False, "HIDDEN", "HIDDEN"),
        ("", False, "HIDDEN", "HIDDEN"),
        ("glpat-an-expired-one", False, "FORBIDDEN", "FORBIDDEN"),
        (STRANGER_TOKEN, True, "SEEN", "DELETED"),
        ("", True, "SEEN", "DELETED"),
    ],
    ids=["member", "guest", "stranger", "job token", "expired", "public, stranger", "public, job token"],
)
def test_who_sees_what(gitlab: GitlabApi, token: str, *, public: bool, there: str, gone: str) -> None:
    """GitLab says 404 to both, and only to those who see others of the project it means that there is none."""
    gitlab.pipelines, gitlab.public = [Pipeline(id=900), Pipeline(id=1000)], public

    assert sights(ci_job(gitlab, SEPTUM_GITLAB_TOKEN=token), 900, 903, 1000) == [there, gone, "CURRENT"]
    assert {used for asked in gitlab.requests for used in asked.tokens} == {"PRIVATE-TOKEN" if token else "JOB-TOKEN"}


def test_a_job_token_of_a_newer_gitlab(gitlab: GitlabApi) -> None:
    """It reads the CI jobs of a pipeline, and so its status; that a pipeline was deleted it cannot know."""
    gitlab.pipelines, gitlab.shows_jobs = [Pipeline(id=900, jobs=(Job(id=1),)), Pipeline(id=901)], True

    assert sights(ci_job(gitlab, SEPTUM_GITLAB_TOKEN=""), 900, 901, 903) == ["SEEN", "HIDDEN", "HIDDEN"]
    assert sights(ci_job(gitlab, SEPTUM_GITLAB_TOKEN=STRANGER_TOKEN), 900) == ["HIDDEN"]


def test_a_project_without_any_pipeline_proves_nothing(gitlab: GitlabApi) -> None:
    """A list that is empty shows no sight."""
    assert sights(ci_job(gitlab), 903) == ["HIDDEN"]


def test_sight_that_is_lost_on_the_way_is_no_sight(gitlab: GitlabApi) -> None:
    """404, then the project, then no list: the pipeline stays, whatever was seen before."""
    gitlab.pipelines = [Pipeline(id=900)]

    for status in (401, 403, 404):
        gitlab.faults = [404, lambda: (200, {"id": 42}, {}), status]
        assert sights(ci_job(gitlab), 900) == ["HIDDEN"]
    gitlab.pipelines = [Pipeline(id=900), Pipeline(id=1000)]
    with open_gitlab(ci_job(gitlab), project_of(ci_job(gitlab))) as pipelines:
        assert pipelines.answer(903).sight is Sight.DELETED
        gitlab.faults = [404, 404]  # from here on the token's owner is no member any more
        assert pipelines.answer(900).sight is Sight.HIDDEN


def test_only_a_pipeline_older_than_others_can_have_been_deleted(gitlab: GitlabApi) -> None:
    """The newest may not be known yet to the server that answers."""
    gitlab.pipelines = [Pipeline(id=900)]

    assert sights(ci_job(gitlab), 899, 901) == ["DELETED", "HIDDEN"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"id": 900},
        {"id": 901, "project_id": 42, "status": "failed"},
        {"id": 900, "project_id": 43, "status": "failed"},
        {"id": 900, "project_id": 42, "status": ["failed"]},
        {"id": 900, "project_id": 42, "status": "failed\x1b[2J"},
        {"id": 900, "project_id": 42, "status": None},
        b"<html>Sign in</html>",
        b"",
    ],
    ids=str,
)
def test_what_is_no_answer_decides_nothing(gitlab: GitlabApi, body: object) -> None:
    """Another pipeline, another project, a page for people: the jobs stay, and no traceback."""
    gitlab.faults = [lambda: (200, body, {})]

    assert sights(ci_job(gitlab), 900) == ["SILENT"]


def test_a_gitlab_that_is_down_is_not_asked_for_ever(gitlab: GitlabApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three pipelines without an answer the rest are not asked for; one answer in between starts anew."""
    monkeypatch.setattr("septum.stages.pipelines._RETRIES", 0)
    gitlab.pipelines = [Pipeline(id=number) for number in range(900, 910)]
    gitlab.faults = [500, 503]

    assert sights(ci_job(gitlab), 900, 901, 902) == ["SILENT", "SILENT", "SEEN"]
    gitlab.requests.clear()
    gitlab.faults = [502] * 5
    assert sights(ci_job(gitlab), *range(900, 906)) == ["SILENT"] * 6
    assert len(gitlab.requests) == 3


def test_a_gitlab_without_a_certificate_is_not_believed(gitlab: GitlabApi) -> None:
    """Whoever cannot prove to be GitLab decides nothing, and is given no second question."""
    gitlab.pipelines = [Pipeline(id=900)]

    with pytest.raises(GitlabRefusedError, match="the certificate of https://localhost:"):
        sights(ci_job(gitlab, CI_SERVER_URL=f"https://{HOST}:{gitlab.port}"), 900, 901)
    assert gitlab.requests == []


def test_a_gitlab_that_drips_is_not_waited_for(gitlab: GitlabApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte in a while keeps every timeout of a socket from ending; the deadline ends it."""
    monkeypatch.setattr("septum.stages.pipelines._DEADLINE_S", 0.3)
    gitlab.pipelines, gitlab.drip_s = [Pipeline(id=900)], 0.5

    assert sights(ci_job(gitlab), 900) == ["SILENT"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"CI_SERVER_URL": "http://other.example"}, UsageError),
        ({"CI_SERVER_URL": ""}, UsageError),
        ({"CI_SERVER_URL": "file://localhost/etc"}, UsageError),
        ({"CI_SERVER_URL": "http://[localhost"}, UsageError),
        ({"SEPTUM_GITLAB_TOKEN": "", "CI_JOB_TOKEN": ""}, CredentialMissingError),
        ({"CI_SERVER_TLS_CA_FILE": "/there/is/none"}, UsageError),
        ({"CI_SERVER_TLS_CA_FILE": __file__}, UsageError),
    ],
    ids=str,
)
def test_a_gitlab_that_cannot_be_asked(gitlab: GitlabApi, changes: dict[str, str], error: type[SeptumError]) -> None:
    """Another instance than that of the tags is not believed; without a token nothing is asked."""
    with pytest.raises(error):
        sights(ci_job(gitlab, **changes), 900)
    assert gitlab.requests == []
