"""A commit status with the page of a run's jobs, as REANA's own integration with GitLab has it. Talks to GitLab.

Whatever goes wrong here is a note: the result of a run does not hang on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from septum.report.links import web_link
from septum.report.text import visible

Status = Literal["running", "success", "failed", "canceled"]
TOKEN = "SEPTUM_GITLAB_TOKEN"  # noqa: S105 - the name of a variable
CONTEXT = "reana"
# A server that is busy would be asked ten times, with minutes in between.
_AT_ONCE: Mapping[str, Any] = MappingProxyType({"obey_rate_limit": False, "retry_transient_errors": False})
_LONGEST = 255
_WORDS: Mapping[str, str] = MappingProxyType(
    {"running": "runs", "success": "has its results", "failed": "has failed", "canceled": "was cancelled"}
)


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether this is a CI job that has a token to write with: a job token may not."""
    return bool(environ.get("CI_COMMIT_SHA") and environ.get("CI_PROJECT_ID") and environ.get(TOKEN))


def name_of(analysis: str, prefix: str) -> str:
    """The status's name: two runs in one pipeline have a status each."""
    return f"{CONTEXT}: {prefix}{visible(analysis, 100)}"


def put(
    status: Status,
    pages: Mapping[str, str],
    *,
    name: str,
    prefix: str,
    environ: Mapping[str, str],
    note: Callable[[str], None],
) -> bool:
    """Set the status of the commit.

    Args:
        status: GitLab's word for what became of the run.
        pages: What each page shows, and its address; the status leads to the first.
        name: Of the analysis.
        prefix: Of the CI jobs.
        environ: The environment of the CI job.
        note: Takes the reason in one line if it could not be done.

    Returns:
        Whether GitLab has it now.
    """
    from septum.errors import SeptumError
    from septum.forge import ForgeError

    try:
        _put(_body(status, pages, name, prefix, environ), environ)
    except ForgeError as error:
        if "Cannot transition status" in error.evidence:
            return True  # it says so already, of a CI job that was retried
        note(f"note: the commit status {CONTEXT} was not set: {error.evidence}; {TOKEN} needs the scope 'api' for it")
    except SeptumError as error:
        note(f"note: the commit status {CONTEXT} was not set: {error.what}")
    except ImportError:
        note(f"note: the commit status {CONTEXT} was not set: python-gitlab is not installed")
    else:
        return True
    return False


def _body(
    status: Status, pages: Mapping[str, str], name: str, prefix: str, environ: Mapping[str, str]
) -> dict[str, Any]:
    first, *others = pages
    more = f", and {len(others)} more" if others else ""
    body: dict[str, Any] = {
        "state": status,
        "name": name_of(name, prefix),
        "description": visible(f"{first}{more}: the run {_WORDS[status]}", _LONGEST),
    }
    if url := web_link(pages[first]):
        body["target_url"] = url
    if environ.get("CI_PIPELINE_ID", "").isdecimal():
        # The commit may have pipelines of a branch, a merge request and a schedule.
        body["pipeline_id"] = int(environ["CI_PIPELINE_ID"])
    return body


def _put(body: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    from septum.forge import ForgeError, Trouble, asked, open_client, token_of

    url, project = web_link(environ.get("CI_SERVER_URL", "")), environ["CI_PROJECT_ID"]
    if not url or not project.isdecimal():
        raise ForgeError(Trouble.MISUNDERSTOOD, "CI_SERVER_URL or CI_PROJECT_ID is not what GitLab sets")
    token, better = token_of(environ)
    with open_client(url, token, better=better, ca_file=environ.get("CI_SERVER_TLS_CA_FILE", "")) as client:
        commit = client.projects.get(int(project), lazy=True).commits.get(environ["CI_COMMIT_SHA"], lazy=True)
        asked(lambda: commit.statuses.create(dict(body), **_AT_ONCE))
