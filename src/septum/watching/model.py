"""How a pipeline stands: its CI jobs from GitLab's answers, and which of them are septum's. Pure.

The fields are those of https://docs.gitlab.com/api/pipelines/ and https://docs.gitlab.com/api/jobs/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from septum.report.links import web_link
from septum.sweep import ENDED, seconds_of
from septum.watching.told import Told

PASSED, FAILED, CANCELLED = "success", "failed", "canceled"
BLOCKED = "manual"
GOING = frozenset({"running", "canceling"})
"""States of a CI job whose trace grows."""
AHEAD = frozenset({"created", "waiting_for_resource", "preparing", "waiting_for_callback", "pending", "scheduled"})
"""States of a CI job that has not begun."""
_STATUS = re.compile(r"[a-z_]{1,40}")
_HOP = re.compile(r"hop-[0-9]{1,2}")
_TELLERS = ("submit", "collect", "result", "run")
"""CI jobs of the components that submit or collect, without the prefix; and the hops."""
_WATCHERS = ("collect", "run")
_LONGEST = 255
_LONGEST_S = 10.0 * 366 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class CiJob:
    """A CI job.

    Attributes:
        id: Its number.
        name: Its name.
        stage: Its stage.
        status: GitLab's word for its state.
        seconds: How long it has run; None before it began.
        allow_failure: Whether the pipeline goes on without it.
        reason: GitLab's word for why it failed, such as `script_failure`; empty if it says none.
        url: Its page.
        has_artifact: Whether it has left something that can be downloaded.
    """

    id: int
    name: str
    stage: str
    status: str
    seconds: float | None = None
    allow_failure: bool = False
    reason: str = ""
    url: str = ""
    has_artifact: bool = False

    @property
    def going(self) -> bool:
        """Whether it runs."""
        return self.status in GOING

    @property
    def failed(self) -> bool:
        """Whether it has failed, and the pipeline with it."""
        return self.status == FAILED and not self.allow_failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline, by what the list of its CI jobs says of it, or its own page.

    Attributes:
        id: Its number.
        status: GitLab's word for its state.
        ref: Its branch or tag.
        sha: Its commit.
        url: Its page.
    """

    id: int
    status: str
    ref: str = ""
    sha: str = ""
    url: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more until somebody retries it."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A pipeline that a CI job with `trigger` has started, in this project or another.

    Attributes:
        job: The name of that CI job.
        id: The number of the pipeline.
        status: GitLab's word for its state.
        url: Its page.
    """

    job: str
    id: int
    status: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A pipeline at one moment.

    Attributes:
        pipeline: The pipeline.
        jobs: Its CI jobs in the order of their numbers.
        told: What the traces of septum's CI jobs said, by the number of the CI job.
        requests: How many questions this look took.
        children: Pipelines that it has started; looked for where none of its own CI jobs is septum's.
    """

    pipeline: Pipeline
    jobs: tuple[CiJob, ...]
    told: Mapping[int, Told] = field(default_factory=dict)
    requests: int = 0
    children: tuple[Child, ...] = ()

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for: it has ended, or waits for a person."""
        return self.pipeline.ended or self.waits_for_person

    @property
    def waits_for_person(self) -> bool:
        """Whether only somebody who starts a manual CI job brings it on."""
        return self.pipeline.status == BLOCKED and not any(job.going or job.status in AHEAD for job in self.jobs)

    @property
    def culprit(self) -> CiJob | None:
        """The CI job that failed the pipeline: of septum's own the first, else the first of all."""
        failed = [job for job in self.jobs if job.failed]
        ours = {job.id for analysis in analyses(self.jobs) for job in analysis.jobs}
        return next((job for job in failed if job.id in ours), failed[0] if failed else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The CI jobs of one include of septum in a pipeline that submit or collect.

    Attributes:
        prefix: What their names begin with.
        jobs: They, in the order of their work.
    """

    prefix: str
    jobs: tuple[CiJob, ...]

    @property
    def teller(self) -> CiJob | None:
        """The one whose trace tells how things are: that runs, else the last that ran."""
        ran = [job for job in self.jobs if job.seconds is not None]
        return next((job for job in self.jobs if job.going), ran[-1] if ran else None)

    @property
    def collectors(self) -> tuple[CiJob, ...]:
        """Those that watch the jobs and may hold a result folder, the last first."""
        return tuple(job for job in reversed(self.jobs) if _role(job.name, self.prefix) != "submit")


def analyses(jobs: Sequence[CiJob]) -> tuple[Analysis, ...]:
    """What of a pipeline is septum's, by the names that the components give to their CI jobs.

    Another CI job may have such a name; what its trace says is believed only in septum's own form.
    """
    prefixes = dict.fromkeys(prefix for job in jobs if (prefix := _prefix(job.name)))
    found = []
    for prefix in prefixes:
        ours = [job for job in jobs if _role(job.name, prefix)]
        if {_role(job.name, prefix) for job in ours} & set(_WATCHERS):
            found.append(Analysis(prefix=prefix, jobs=tuple(sorted(ours, key=lambda job: _place(job.name, prefix)))))
    return tuple(found)


def _prefix(name: str) -> str:
    found = re.fullmatch(rf"([A-Za-z0-9][A-Za-z0-9._-]{{0,31}}?)(?:{'|'.join(_TELLERS)}|{_HOP.pattern})", name)
    return found[1] if found is not None else ""


def _role(name: str, prefix: str) -> str:
    role = name.removeprefix(prefix) if name.startswith(prefix) else ""
    return role if role in _TELLERS or _HOP.fullmatch(role) else ""


def _place(name: str, prefix: str) -> tuple[int, int]:
    role = _role(name, prefix)
    if _HOP.fullmatch(role):
        return 1, int(role.removeprefix("hop-"))
    return {"submit": 0, "collect": 2, "result": 3, "run": 4}[role], 0


# ── GitLab's answers ────────────────────────────────────────────────────────────────────────────────────────────


def pipeline_of(told: Mapping[str, Any]) -> Pipeline:
    """A pipeline from GitLab's answer.

    Raises:
        ValueError: It is none.
    """
    return Pipeline(
        id=_number(told.get("id"), "pipeline"),
        status=_status(told.get("status")),
        ref=_text(told.get("ref")),
        sha=_text(told.get("sha")),
        url=web_link(_text(told.get("web_url"))),
    )


def job_of(told: Mapping[str, Any]) -> CiJob:
    """A CI job from GitLab's answer.

    Raises:
        ValueError: It is none.
    """
    seconds = told.get("duration")
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        began, ended = seconds_of(told.get("started_at")), seconds_of(told.get("finished_at"))
        seconds = (ended - began if ended is not None else 0.0) if began is not None else None
    if seconds is not None and not 0 <= seconds < _LONGEST_S:  # also what is no number
        seconds = 0.0
    return CiJob(
        id=_number(told.get("id"), "CI job"),
        name=_text(told.get("name")),
        stage=_text(told.get("stage")),
        status=_status(told.get("status")),
        seconds=None if seconds is None else float(seconds),
        allow_failure=told.get("allow_failure") is True,
        reason=_text(told.get("failure_reason")),
        url=web_link(_text(told.get("web_url"))),
        has_artifact=isinstance(told.get("artifacts_file"), Mapping),
    )


def child_of(told: Mapping[str, Any]) -> Child | None:
    """What a CI job with `trigger` has started, from GitLab's answer; None if nothing yet.

    Raises:
        ValueError: It is no such CI job.
    """
    started = told.get("downstream_pipeline")
    if started is None:
        return None
    found = pipeline_of(started)
    return Child(job=_text(told.get("name")), id=found.id, status=found.status, url=found.url)


def _number(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"a {what} without a number")
    return value


def _status(value: object) -> str:
    if not isinstance(value, str) or not _STATUS.fullmatch(value):
        raise ValueError("no status")
    return value


def _text(value: object) -> str:
    return value[: _LONGEST * 4] if isinstance(value, str) else ""
