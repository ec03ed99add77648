"""The note of a run in its merge request: written once, and changed by every later pipeline. Talks to GitLab.

Whatever goes wrong here is a warning: the result of a run does not hang on a note.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from septum.credentials.secret import Secret
from septum.report.links import web_link
from septum.report.text import visible

if TYPE_CHECKING:
    import gitlab

TOKEN = "SEPTUM_GITLAB_TOKEN"  # noqa: S105 - the name of a variable
DEADLINE_S = 20.0
# A server that is busy would be asked ten times, with minutes in between; the note can wait for the next pipeline.
_AT_ONCE: Mapping[str, Any] = MappingProxyType({"obey_rate_limit": False, "retry_transient_errors": False})
_MAX_PAGES = 10
_PER_PAGE = 100
_MAX_BODY = 900_000


def marker(name: str, prefix: str) -> str:
    """A line that nobody sees and that tells this note from all others: of the analysis and of the CI jobs' prefix."""
    digest = hashlib.sha256(f"{name}\\0{prefix}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"<!-- septum note {digest} -->"


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether this is a pipeline of a merge request that has a token to write with."""
    return bool(merge_request(environ) and environ.get(TOKEN))


def merge_request(environ: Mapping[str, str]) -> str:
    """The number of the merge request that this pipeline belongs to; empty for none.

    A pipeline of a branch belongs to the first open one of its own project: GitLab lists those as `group/project!7`.
    """
    if number := environ.get("CI_MERGE_REQUEST_IID", ""):
        return number
    for listed in environ.get("CI_OPEN_MERGE_REQUESTS", "").split(","):
        project, _, number = listed.strip().rpartition("!")
        if project and project == environ.get("CI_PROJECT_PATH"):
            return number
    return ""


def put(body: str, *, name: str, prefix: str, environ: Mapping[str, str], warn: Callable[[str], None]) -> bool:
    """Write the note, or change the one that is there.

    Args:
        body: Markdown.
        name: Of the analysis.
        prefix: Of the CI jobs; two runs in one pipeline have a note each.
        environ: The environment of the CI job.
        warn: Takes the reason in one line if it could not be done.

    Returns:
        Whether the note says what it should.
    """
    if not wanted(environ):
        return False
    token = Secret(environ[TOKEN])
    try:
        _put(_merge_request(environ, token), f"{marker(name, prefix)}\n{body}"[:_MAX_BODY], marker(name, prefix))
    except ImportError:
        warn("the note in the merge request was not written: python-gitlab is not installed")
    except Exception as error:  # noqa: BLE001 - a note must not cost the result; the reason is told
        from septum.credentials.secret import redact

        text = visible(redact(f"{type(error).__name__}: {error}", token), 300)
        warn(f"the note in the merge request was not written: {text}; does {TOKEN} have the scope 'api'?")
    else:
        return True
    return False


def _merge_request(environ: Mapping[str, str], token: Secret) -> _Place:
    url = web_link(environ.get("CI_SERVER_URL", ""))
    # The merge request of a fork stands in the project that it goes to.
    project = environ.get("CI_MERGE_REQUEST_PROJECT_ID") or environ.get("CI_PROJECT_ID", "")
    number = merge_request(environ)
    if not url or not project.isdecimal() or not number.isdecimal():
        raise ValueError("CI_SERVER_URL, CI_PROJECT_ID or the number of the merge request is not what GitLab sets")
    client = _client(url, token)
    user: Any = client.http_get("/user", **_AT_ONCE)
    # Lazy: nothing is asked for that only its number is needed of.
    request = client.projects.get(int(project), lazy=True).mergerequests.get(int(number), lazy=True)
    return _Place(notes=request.notes, author=int(user["id"]))


def _client(url: str, token: Secret) -> gitlab.Gitlab:
    import gitlab

    return gitlab.Gitlab(url, private_token=token.reveal(), timeout=DEADLINE_S, per_page=_PER_PAGE, user_agent="septum")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The notes of a merge request, and who we are there."""

    notes: Any
    author: int


def _put(place: _Place, body: str, mark: str) -> None:
    existing = _find(place, mark)
    if existing is None:
        place.notes.create({"body": body}, **_AT_ONCE)
    elif existing.body != body:
        existing.body = body
        existing.save(**_AT_ONCE)


def _find(place: _Place, mark: str) -> Any:
    """Our earlier note: the marker alone can be written by anybody, so the author counts, too."""
    for page in range(1, _MAX_PAGES + 1):
        notes = place.notes.list(page=page, sort="asc", order_by="created_at", get_all=False, **_AT_ONCE)
        for note in notes:
            ours = not note.system and note.author.get("id") == place.author
            if ours and note.body.startswith(mark):
                return note
        if len(notes) < _PER_PAGE:
            return None
    return None
