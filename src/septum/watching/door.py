"""Asks GitLab about the pipelines of one project: each question with a deadline, each answer looked at.

The token goes to the address that was given and nowhere else: see `septum.compare.transfer.session`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

from septum.credentials.secret import Secret
from septum.errors import GitlabRefusedError, NotOnGitlabError, SeptumError, TryAgainError, UsageError
from septum.forge import TOKEN, ForgeError, Trouble, asked, open_client
from septum.watching.model import Child, CiJob, Pipeline, child_of, job_of, pipeline_of
from septum.watching.place import Place
from septum.watching.stream import SilenceError, streamed

T = TypeVar("T")

READ = "the scope 'read_api' and the role Reporter"
"""What a token needs to look."""
READ_ARTIFACTS = "the scope 'read_api' and the role Developer"
"""What it needs for the artifacts of septum's CI jobs, which have `access: developer`."""
WRITE = "the scope 'api' and the role Developer"
"""What it needs to cancel and to retry; on a protected branch it is one of those who may merge there."""
_MOST_JOBS = 5000
_PER_PAGE = 100
_RETRIES = 3
_CHUNK_B = 1 << 13
_PARTIAL = 206
_NOTHING_NEW = frozenset({304, 416})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long GitLab may take, in seconds.

    Attributes:
        question: For one question with its repetitions.
        silence: Between two pieces of a file.
        whole: For a whole file.
    """

    question: float = 90.0
    silence: float = 60.0
    whole: float = 1800.0


@dataclass(slots=True, kw_only=True)
class Mark:
    """How far a trace has been read.

    Attributes:
        at: So many bytes of it are known.
        etag: What GitLab called the trace when it was read to its end.
        sent: How many bytes the last look cost: more than the new ones where GitLab sends the trace from its beginning.
    """

    at: int = 0
    etag: str = ""
    sent: int = 0


class Door:
    """A project of a GitLab.

    Args:
        place: The project.
        token: As `septum.forge.token_of` gave it, or a person typed it.
        better: Whether it is more than a job token.
        ca_file: Authorities that are trusted beside the system's.
        patience: How long GitLab may take.
    """

    def __init__(
        self, place: Place, token: Secret, *, better: bool = True, ca_file: str = "", patience: Patience | None = None
    ) -> None:
        self.place = place
        self.requests = 0
        self._open: Callable[[], Any] = lambda: open_client(place.url, token, better=better, ca_file=ca_file)
        self._patience = patience or Patience()
        self._client: Any = None
        self._base = f"/projects/{quote(place.project, safe='')}"

    def close(self) -> None:
        """Close the connections, which keep all that ever came over them; the next question opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.session.close()

    # ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────

    def latest(self, *, ref: str = "", sha: str = "") -> Pipeline:
        """The newest pipeline of a branch or tag, or of a commit; of the whole project without both.

        That of a merge request stands under its commit and not under the branch.
        """
        wishes = [{name: text} for name, text in (("ref", ref), ("sha", sha)) if text] or [{}]
        found: list[Pipeline] = []
        for wish in wishes:
            listed = self._asked(
                f"the pipelines of {self.place.project}",
                lambda wish=wish: [  # type: ignore[misc]
                    item.attributes
                    for item in self._project().pipelines.list(per_page=1, get_all=False, max_retries=_RETRIES, **wish)
                ],
            )
            found += [self._read(pipeline_of, item) for item in listed]
        if not found:
            of = f"the branch {ref}" if ref else f"the commit {sha[:12]}" if sha else "the project"
            raise NotOnGitlabError(
                f"gitlab: {of} has no pipeline in {self.place.project}",
                fix="push first, or name one: --pipeline 98701, or --ref BRANCH; of merged results it is\n"
                "--ref refs/merge-requests/7/merge",
            )
        return max(found, key=lambda pipeline: pipeline.id)

    def pipeline(self, number: int) -> Pipeline:
        """One pipeline."""
        told = self._asked(
            f"pipeline {number} of {self.place.project}",
            lambda: self._project().pipelines.get(number, max_retries=_RETRIES).attributes,
        )
        return self._read(pipeline_of, told)

    def jobs(self, number: int) -> tuple[Pipeline, tuple[CiJob, ...]]:
        """A pipeline and its CI jobs, without those that were retried, in the order of their numbers."""

        def ask() -> list[Any]:
            pipeline = self._project().pipelines.get(number, lazy=True)
            listed = pipeline.jobs.list(iterator=True, per_page=_PER_PAGE, max_retries=_RETRIES)
            return [item.attributes for item in islice(listed, _MOST_JOBS)]

        listed = self._asked(f"the CI jobs of pipeline {number} of {self.place.project}", ask)
        jobs = {job.id: job for job in (self._read(job_of, item) for item in listed)}
        if not jobs:
            return self.pipeline(number), ()
        newest = max(listed, key=lambda item: int(item["id"]))
        return self._read(pipeline_of, newest.get("pipeline") or {}), tuple(jobs[key] for key in sorted(jobs))

    def children(self, number: int) -> tuple[Child, ...]:
        """The pipelines that a pipeline has started, the first hundred."""
        listed = self._asked(
            f"what pipeline {number} of {self.place.project} has started",
            lambda: [
                item.attributes
                for item in self._project()
                .pipelines.get(number, lazy=True)
                .bridges.list(per_page=_PER_PAGE, get_all=False, max_retries=_RETRIES)
            ],
        )
        found = [self._read(child_of, item) for item in reversed(listed)]
        return tuple(child for child in found if child is not None)

    def more(self, job: int, mark: Mark) -> Iterator[bytes]:
        """What a trace has beyond what is known; nothing if GitLab says that it is the same.

        GitLab's page promises the whole trace alone. It is asked for the rest (`Range`), and for nothing if the trace
        has not changed (`If-None-Match`); where it answers with everything, what is known is thrown away here.
        """
        headers = {"If-None-Match": mark.etag} if mark.etag else {}
        headers |= {"Range": f"bytes={mark.at}-"} if mark.at else {}
        mark.sent = 0
        etag, known = "", 0
        for piece, found in self._file(f"jobs/{job}/trace", headers, f"the log of CI job {job}"):
            if not mark.sent:
                etag, known = found.headers.get("ETag", ""), 0 if found.status_code == _PARTIAL else mark.at
                self._check_range(found, mark.at)
            mark.sent += len(piece)
            new = piece[max(0, known - (mark.sent - len(piece))) :]
            mark.at += len(new)
            if new:
                yield new
        mark.etag = etag or mark.etag

    def file(self, job: int, path: str, *, limit_b: int) -> bytes | None:
        """One file of a CI job's artifact, its beginning if it is larger; None if there is none."""
        whole = bytearray()
        try:
            for piece, _ in self._file(
                f"jobs/{job}/artifacts/{quote(path)}", {}, f"{path} of CI job {job}", READ_ARTIFACTS
            ):
                whole += piece
                if len(whole) >= limit_b:
                    return bytes(whole[:limit_b])
        except NotOnGitlabError:
            return None
        return bytes(whole)

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────

    def cancel(self, number: int) -> Pipeline:
        """Cancel a pipeline; GitLab says yes to that whatever its state."""
        told = self._asked(
            f"pipeline {number} of {self.place.project}",
            lambda: self._project().pipelines.get(number, lazy=True).cancel(max_retries=_RETRIES),
            need=WRITE,
        )
        return self._read(pipeline_of, told)

    def retry(self, number: int) -> Pipeline:
        """Start all CI jobs of a pipeline again that failed or were cancelled; once, since a second time is another."""
        told = self._asked(
            f"pipeline {number} of {self.place.project}",
            lambda: (
                self._project()
                .pipelines.get(number, lazy=True)
                .retry(max_retries=_RETRIES, retry_transient_errors=False)
            ),
            need=WRITE,
        )
        return self._read(pipeline_of, told)

    def retry_job(self, number: int) -> CiJob:
        """Start one CI job again; GitLab gives it a new number."""
        told = self._asked(
            f"CI job {number} of {self.place.project}",
            lambda: (
                self._project().jobs.get(number, lazy=True).retry(max_retries=_RETRIES, retry_transient_errors=False)
            ),
            need=WRITE,
        )
        return self._read(job_of, told)

    # ── how ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _gitlab(self) -> Any:
        if self._client is None:
            try:
                self._client = self._open()
            except OSError as error:  # also what is no certificate
                raise UsageError(
                    "gitlab: the file of CI_SERVER_TLS_CA_FILE cannot be read, or holds no certificates",
                    evidence=error.strerror or str(error),
                    fix="correct that variable, or leave it alone",
                ) from error
            self._client.session.hooks["response"].append(self._count)
        return self._client

    def _count(self, *_: object, **__: object) -> None:
        self.requests += 1

    def _project(self) -> Any:
        return self._gitlab().projects.get(self.place.project, lazy=True)

    def _asked(self, what: str, ask: Callable[[], T], *, need: str = READ) -> T:
        from septum.compare.transfer import LateError, in_time

        self._gitlab()
        try:
            return in_time(self._patience.question, lambda: asked(ask))
        except ForgeError as error:
            raise self._judged(error, what, need) from error
        except LateError as error:
            raise self._judged(ForgeError(Trouble.UNAVAILABLE, str(error)), what, need) from error
        except (TypeError, KeyError, AttributeError) as error:
            raise self._judged(ForgeError(Trouble.MISUNDERSTOOD, type(error).__name__), what, need) from error

    def _read(self, read: Callable[[Any], T], told: Any) -> T:
        try:
            return read(told)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._judged(ForgeError(Trouble.MISUNDERSTOOD, str(error)), "its answer", READ) from error

    def _check_range(self, response: Any, at: int) -> None:
        told = response.headers.get("Content-Range", "")
        if response.status_code == _PARTIAL and not re.match(rf"bytes {at}-\d+/(\d+|\*)$", told):
            raise self._judged(ForgeError(Trouble.MISUNDERSTOOD, "another part than was asked for"), "a log", READ)

    def _file(self, path: str, headers: dict[str, str], what: str, need: str = READ) -> Iterator[tuple[bytes, Any]]:
        """A file piece by piece, and the answer that it came with; held in memory are some pieces and no more."""
        client = self._gitlab()

        def produce() -> Iterator[tuple[bytes, Any]]:
            import gitlab

            try:
                response = client.http_request(
                    "get",
                    f"{self._base}/{path}",
                    streamed=True,
                    extra_headers=headers,
                    max_retries=_RETRIES,
                )
            except gitlab.GitlabHttpError as error:
                if error.response_code in _NOTHING_NEW and headers:
                    return
                raise
            with response:
                for piece in response.iter_content(_CHUNK_B):
                    yield piece, response

        pieces = streamed(produce, silence_s=self._patience.silence, whole_s=self._patience.whole)
        try:
            while (piece := asked(lambda: next(pieces, None))) is not None:
                yield piece
        except SilenceError as error:
            raise self._judged(ForgeError(Trouble.UNAVAILABLE, str(error)), what, need) from error
        except ForgeError as error:
            raise self._judged(error, what, need) from error
        finally:
            pieces.close()

    def _judged(self, error: ForgeError, what: str, need: str) -> SeptumError:
        """What an error of GitLab means for who asked."""
        url, trouble = self.place.url, error.trouble
        if trouble is Trouble.ABSENT:
            return NotOnGitlabError(
                f"gitlab: {url} shows no {what.removeprefix('the ')}",
                evidence=f"{error.evidence}; it says the same of what the token may not see",
                fix=f"compare it with the page in a browser; the token wants {need}, in this project",
            )
        if trouble is Trouble.FORBIDDEN:
            return GitlabRefusedError(
                f"gitlab: {url} does not let the token {'change' if need == WRITE else 'see'} {what}",
                evidence=error.evidence,
                fix=f"set {TOKEN} to a token of this GitLab that has not expired, with {need}",
            )
        if trouble is Trouble.UNTRUSTED:
            return GitlabRefusedError(
                f"gitlab: the certificate of {url} was not accepted",
                evidence=error.evidence,
                fix="if it is signed by an authority of your own, name its file in CI_SERVER_TLS_CA_FILE",
            )
        if trouble is Trouble.UNAVAILABLE:
            known = "look before you try again: septum status --once" if need == WRITE else "try again later"
            return TryAgainError(
                f"gitlab: {url} did not answer for {what}",
                evidence=error.evidence,
                fix=f"{known}; the pipeline goes on",
            )
        return UsageError(
            f"gitlab: {url} did not answer as a GitLab does, for {what}",
            evidence=error.evidence,
            fix="check the address: --project https://gitlab.example.org/GROUP/NAME",
        )
