"""Finds the artifact of an earlier pipeline in GitLab, with the token of the CI job alone, or with a better one.

A job token may download artifacts by branch or tag and name of the CI job, and may not list pipelines
(https://docs.gitlab.com/ci/jobs/ci_job_token/, https://docs.gitlab.com/api/job_artifacts/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from septum.compare.transfer import DEADLINE_S, LARGEST_B, too_large, within
from septum.compare.verdicts import printable
from septum.credentials.secret import Secret
from septum.errors import NotComparableError, SeptumError, TryAgainError
from septum.forge import JOB_TOKEN, TOKEN, ForgeError, Trouble, asked, open_client, token_of

DEFAULT_BRANCH = "default-branch"
TAG = "tag:"
_NEEDED = ("CI_SERVER_URL", "CI_PROJECT_ID", "CI_JOB_NAME")
_MOST_PIPELINES = 50
_RETRIES = 4
_CHUNK_B = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The artifact of a CI job, on our disk.

    Attributes:
        path: The archive.
        found: Whose it is, for people.
        pipeline: The number of its pipeline, and
        commit: its commit; both empty when the token does not let us ask.
        url: The page of that pipeline.
        ref: Its branch or tag.
    """

    path: Path
    found: str
    pipeline: str = ""
    commit: str = ""
    url: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forge:
    """The GitLab that this CI job belongs to.

    Attributes:
        url: Its address.
        project: The project's number.
        job: The name of this CI job, and of those that are looked for.
        pipeline: The number of this pipeline, which is no reference for itself.
        token: What lets us in.
        lists: Whether the token may list pipelines.
        ca_file: Authorities that are trusted beside the system's.
    """

    url: str
    project: str
    job: str
    pipeline: str
    token: Secret = field(repr=False)
    lists: bool
    ca_file: str = ""


def forge_of(environ: Mapping[str, str]) -> Forge | None:
    """The GitLab of this CI job; None outside of one.

    Raises:
        NotComparableError: This is a CI job, and there is no token.
        CredentialMissingError: A variable of type file names one that cannot be read.
    """
    if any(not environ.get(name) for name in _NEEDED):
        return None
    token, better = token_of(environ)
    if not token:
        raise NotComparableError(
            "compare: no token to ask GitLab for the reference with",
            evidence=f"neither {TOKEN} nor {JOB_TOKEN} is set",
            fix=f"let septum have the job token: septum credentials run --keep {JOB_TOKEN} -- septum collect",
        )
    url, project, job = (environ[name] for name in _NEEDED)
    # A CI job that only compares asks for the artifact of the one that made the result.
    job = environ.get("SEPTUM_REFERENCE_JOB") or job
    return Forge(
        url=url,
        project=project,
        job=job,
        pipeline=environ.get("CI_PIPELINE_ID", ""),
        token=token,
        lists=better,
        ca_file=environ.get("CI_SERVER_TLS_CA_FILE", ""),
    )


def ref_of(asked: str, environ: Mapping[str, str]) -> str:
    """The branch or tag that `default-branch` or `tag:NAME` stands for."""
    return environ.get("CI_DEFAULT_BRANCH") or "main" if asked == DEFAULT_BRANCH else asked.removeprefix(TAG)


def fetch_artifact(
    forge: Forge, ref: str, *, tag: bool, target: Path, limit_b: int = LARGEST_B, deadline_s: float = DEADLINE_S
) -> Artifact | None:
    """Download what the newest successful pipeline of a branch or tag left in the CI job of our name.

    Args:
        forge: The GitLab.
        ref: The branch or tag.
        tag: Which of the two it is.
        target: Where the archive goes.
        limit_b: The largest that it may be.
        deadline_s: The longest that all of it may take.

    Returns:
        The artifact; None when there is none: no such pipeline, another CI job, expired.

    Raises:
        NotComparableError: The token is not accepted, or may not read artifacts.
        TryAgainError: GitLab does not answer, or says that it cannot.
    """
    # Under a name of its own: after the deadline, the thread may still write.
    store = _Store(target.with_name(f"{target.name}.new"), limit_b)

    def work() -> Artifact | None:
        with _client(forge) as client:
            project = client.projects.get(forge.project, lazy=True)
            found = (
                _by_pipeline(forge, project, ref, store, tag=tag)
                if forge.lists
                else _by_ref(forge, project, ref, store)
            )
        if found is not None:
            store.path.replace(target)
        return found

    found = within(deadline_s, f"the artifact of {printable(forge.job)} in {forge.url}", work)
    return None if found is None else Artifact(**{**_as_mapping(found), "path": target})


def _as_mapping(artifact: Artifact) -> dict[str, Any]:
    return {name: getattr(artifact, name) for name in Artifact.__slots__}


@dataclass(frozen=True, slots=True)
class _Store:
    path: Path
    limit_b: int

    def fill(self, send: Callable[[Callable[[bytes], None]], object]) -> None:
        """Let somebody write into the file, not more than it may hold."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        left = self.limit_b
        with self.path.open("wb") as stream:

            def take(chunk: bytes) -> None:
                nonlocal left
                left -= len(chunk)
                if left < 0:
                    raise too_large("the artifact of the reference", self.limit_b)
                stream.write(chunk)

            send(take)


def _client(forge: Forge) -> Any:
    return open_client(forge.url, forge.token, better=forge.lists, ca_file=forge.ca_file)


def _by_ref(forge: Forge, project: Any, ref: str, store: _Store) -> Artifact | None:
    """The one way that a job token has: GitLab looks for the pipeline by itself."""
    got = _asked(
        forge,
        lambda: store.fill(
            lambda take: project.artifacts.download(
                ref_name=quote(ref, safe="/"),
                job=forge.job,
                streamed=True,
                action=take,
                chunk_size=_CHUNK_B,
                max_retries=_RETRIES,
                # Also older ones than the newest, if that has no such CI job. GitLab before 18.10 looks at that one.
                search_recent_successful_pipelines="true",
            )
        ),
    )
    return Artifact(path=store.path, found=f"{printable(forge.job)} of {printable(ref)}", ref=ref) if got else None


def _by_pipeline(forge: Forge, project: Any, ref: str, store: _Store, *, tag: bool) -> Artifact | None:
    """With a token that may list pipelines: the newest one that has what we look for, and is not this one."""
    options = {"ref": ref, "status": "success", "order_by": "id", "sort": "desc"}
    paging = {"per_page": _MOST_PIPELINES, "get_all": False, "max_retries": _RETRIES}
    for pipeline in _listed(forge, lambda: project.pipelines.list(**options, **paging)):
        if str(pipeline.id) != forge.pipeline and _fetch(forge, project, pipeline, store, tag=tag):
            return Artifact(
                path=store.path,
                found=f"pipeline {pipeline.id} of {printable(ref)}",
                pipeline=str(pipeline.id),
                commit=str(pipeline.sha),
                url=str(pipeline.web_url),
                ref=ref,
            )
    return None


def _fetch(forge: Forge, project: Any, pipeline: Any, store: _Store, *, tag: bool) -> bool:
    """Download the artifact of our CI job in one pipeline; False if there is none."""
    paging = {"per_page": 100, "iterator": True, "max_retries": _RETRIES}
    streaming = {"streamed": True, "chunk_size": _CHUNK_B, "max_retries": _RETRIES}
    for job in _listed(forge, lambda: pipeline.jobs.list(scope=["success"], **paging)):
        if job.name == forge.job and bool(job.tag) == tag:
            found = project.jobs.get(job.id, lazy=True)
            break
    else:
        return False
    return _asked(forge, lambda: store.fill(lambda take: found.artifacts(action=take, **streaming)))


def _listed(forge: Forge, ask: Callable[[], Iterator[Any]]) -> list[Any]:
    found: list[Any] = []
    _asked(forge, lambda: found.extend(ask()))
    return found


def _asked(forge: Forge, ask: Callable[[], object]) -> bool:
    """Ask GitLab; False when it says that there is nothing.

    Raises:
        NotComparableError: It does not let us, or is no GitLab.
        TryAgainError: It does not answer, or says that it cannot.
    """
    try:
        asked(ask)
    except ForgeError as error:
        if error.trouble is Trouble.ABSENT:
            return False
        raise _judged(forge, error) from error
    return True


def _judged(forge: Forge, error: ForgeError) -> SeptumError:
    if error.trouble is Trouble.UNAVAILABLE:
        return TryAgainError(
            f"compare: {forge.url} did not answer",
            evidence=error.evidence,
            fix="try again later; nothing is wrong with the results",
        )
    used = TOKEN if forge.lists else JOB_TOKEN
    what, fix = {
        Trouble.UNTRUSTED: (
            f"the certificate of {forge.url} was not accepted",
            "name its authorities in the CI variable CI_SERVER_TLS_CA_FILE, as the runner does",
        ),
        Trouble.FORBIDDEN: (
            f"{forge.url} does not let {used} read the artifacts of project {forge.project}",
            f"set {TOKEN} to a project access token with the scope 'read_api' and the role Developer",
        ),
    }.get(
        error.trouble,
        (
            f"{forge.url} did not understand the question for artifacts",
            "check CI_SERVER_URL; or name the reference by a path or a URL",
        ),
    )
    return NotComparableError(f"compare: {what}", evidence=error.evidence, fix=fix)
