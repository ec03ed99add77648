"""Asks GitLab which pipelines have ended. That it shows none is not yet that there is none."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from septum.errors import CredentialMissingError, GitlabRefusedError, UsageError
from septum.forge import JOB_TOKEN, TOKEN, ForgeError, Trouble, asked, open_client, token_of
from septum.sweep import Answer, Project, Sight, seconds_of

T = TypeVar("T")

TOKEN_FIX = f"set the CI/CD variable {TOKEN} to a project access token with the scope 'read_api' and the role Reporter"
_DEADLINE_S = 120.0
_RETRIES = 3
_ENOUGH = 3
"""Questions without an answer after which GitLab is not asked any more: each may take minutes."""
_NO_SIGHT = "GitLab shows no such pipeline, and no newer one of the project: it may be there, and hidden"


class Pipelines:
    """Answers for one pipeline after the other; asks no more when it got no answer several times in a row.

    Args:
        client: Of python-gitlab.
        project: The project.
        better: Whether the token is more than a job token.
    """

    def __init__(self, client: Any, project: Project, *, better: bool) -> None:
        self._client, self._project, self._better = client, project, better
        self._silences = 0

    def answer(self, pipeline: int) -> Answer:
        """What GitLab says of a pipeline.

        Raises:
            GitlabRefusedError: Whoever answers has not proven to be GitLab.
        """
        if pipeline == self._project.current:
            return Answer(sight=Sight.CURRENT)
        if self._silences >= _ENOUGH:
            return Answer(sight=Sight.SILENT, words="not asked any more, since GitLab did not answer for others")
        try:
            answer = self._asked(pipeline)
        except ForgeError as error:
            if error.trouble is Trouble.UNTRUSTED:
                raise GitlabRefusedError(
                    f"sweep: the certificate of {self._client.url} was not accepted",
                    evidence=error.evidence,
                    fix="name its authorities in the CI variable CI_SERVER_TLS_CA_FILE, as the runner does",
                ) from error
            if error.trouble is Trouble.FORBIDDEN:
                return Answer(sight=Sight.FORBIDDEN, words=f"GitLab does not let the token ask ({error.evidence})")
            self._silences += 1
            return Answer(sight=Sight.SILENT, words=f"GitLab did not answer as it should ({error.evidence})")
        self._silences = 0
        return answer

    def _asked(self, pipeline: int) -> Answer:
        try:
            found = self._ask(lambda: self._lazy_project().pipelines.get(pipeline, max_retries=_RETRIES)).attributes
        except ForgeError as error:
            if error.trouble is not Trouble.ABSENT:
                raise
            if self._may_see(pipeline):
                return Answer(sight=Sight.DELETED)
            shown = self._of_its_jobs(pipeline)
            if shown is None:
                return Answer(sight=Sight.HIDDEN, words=_NO_SIGHT)
            found = shown
        status = found.get("status")
        if _number(found) != pipeline or not self._is_ours(found) or not re.fullmatch(r"[a-z_]{1,40}", str(status)):
            raise ForgeError(Trouble.MISUNDERSTOOD, f"it told no status of pipeline {pipeline}")
        ended_s = seconds_of(found.get("finished_at")) or seconds_of(found.get("updated_at"))
        return Answer(sight=Sight.SEEN, status=str(status), ended_s=ended_s)

    def _of_its_jobs(self, pipeline: int) -> Mapping[str, Any] | None:
        """The pipeline as its CI jobs have it: newer GitLabs show these to a job token, and not the pipeline itself."""
        if self._better:
            return None
        listing = {"per_page": 1, "get_all": False, "max_retries": _RETRIES}
        try:
            jobs = self._ask(lambda: self._lazy_project().pipelines.get(pipeline, lazy=True).jobs.list(**listing))
        except ForgeError as error:
            if error.trouble not in {Trouble.ABSENT, Trouble.FORBIDDEN}:
                raise
            return None
        found = jobs[0].attributes.get("pipeline") if jobs else None
        return found if isinstance(found, Mapping) else None

    def _may_see(self, pipeline: int) -> bool:
        """Whether the token sees the project and a newer pipeline of it: then one that it does not see is not there.

        Looked at anew for each, since a token's rights can end at any time. A newer one, since the newest may not have
        reached the copy of the database that answers.
        """
        listing = {"per_page": 1, "get_all": False, "max_retries": _RETRIES}
        try:
            project = self._ask(
                lambda: self._client.projects.get(self._project.number, max_retries=_RETRIES)
            ).attributes
            listed = self._ask(lambda: self._lazy_project().pipelines.list(**listing))
        except ForgeError as error:
            if error.trouble not in {Trouble.ABSENT, Trouble.FORBIDDEN}:
                raise
            return False
        newer = [item for item in listed if self._is_ours(item.attributes) and _number(item.attributes) > pipeline]
        return _number(project) == self._project.number and bool(newer)

    def _is_ours(self, pipeline: Mapping[str, Any]) -> bool:
        return bool(pipeline.get("project_id", self._project.number) == self._project.number)

    def _lazy_project(self) -> Any:
        return self._client.projects.get(self._project.number, lazy=True)

    @staticmethod
    def _ask(ask: Callable[[], T]) -> T:
        from septum.compare.transfer import LateError, in_time

        try:
            return in_time(_DEADLINE_S, lambda: asked(ask))
        except LateError as error:
            raise ForgeError(Trouble.UNAVAILABLE, str(error)) from error


def _number(of: Mapping[str, Any]) -> int:
    found = of.get("id")
    return found if isinstance(found, int) else 0


@contextlib.contextmanager
def open_gitlab(environ: Mapping[str, str], project: Project) -> Iterator[Pipelines]:
    """GitLab, with the token that there is.

    Raises:
        UsageError: Its address is not that of the instance in the tags.
        CredentialMissingError: There is no token.
    """
    url = environ.get("CI_SERVER_URL", "")
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in {"https", "http"} else None
    except ValueError:
        host = None
    # The other instance's project of this number is not ours, and knows none of our pipelines.
    if host is None or host != project.host.lower():
        raise UsageError(
            "sweep: which GitLab to ask is not known",
            evidence=f"CI_SERVER_URL is {url[:200]!r}, CI_SERVER_HOST is {project.host!r}",
            fix="run it in a CI job, where GitLab sets both",
        )
    token, better = token_of(environ)
    if not token:
        raise CredentialMissingError(
            "sweep: no token to ask GitLab with whether pipelines have ended",
            evidence=f"neither {TOKEN} nor {JOB_TOKEN} is set",
            fix=f"{TOKEN_FIX};\nbelow 'septum credentials run', hand it on: --keep {TOKEN}",
        )
    ca_file = environ.get("CI_SERVER_TLS_CA_FILE", "")
    try:
        opened = open_client(url, token, better=better, ca_file=ca_file)
    except OSError as error:  # also what is no certificate
        raise UsageError(
            f"sweep: no certificates can be read from {ca_file}",
            evidence=error.strerror or str(error),
            fix="correct the CI variable CI_SERVER_TLS_CA_FILE, which the runner sets, or leave it alone",
        ) from error
    with opened as client:
        yield Pipelines(client, project, better=better)
