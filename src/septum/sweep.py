"""Decides which jobs of a project's earlier pipelines are left over. Pure: jobs and GitLab's answers in, decisions out.

A job is left over when GitLab says that its pipeline has ended. What nobody could find out about is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum

from septum.errors import UsageError
from septum.states import JobState
from septum.units import count, show_duration

ENDED = frozenset({"success", "failed", "canceled", "skipped"})
"""The states of a pipeline in which nothing of it runs or waits, as GitLab itself counts them."""
ALIVE = frozenset(
    {"created", "waiting_for_resource", "preparing", "waiting_for_callback", "pending", "running"}
    | {"manual", "scheduled", "canceling"}
)
"""The others. A status that is in neither is one of a later GitLab, and keeps its jobs."""
_NOT_SPOOLED = 16
_SOON_S = 3600
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_LAPTOP = "laptop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Whose jobs are looked at.

    Attributes:
        host: The GitLab's, as in the tags.
        number: The project's.
        current: The number of the pipeline that we are in, None outside of one.
    """

    host: str
    number: int
    current: int | None = None

    def tags(self, pipeline: int | None = None) -> str:
        """What the tags of the runs of this project begin with, or those of one pipeline of it."""
        return f"{self.host}/{self.number}/" + (f"{pipeline}/" if pipeline is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job in the queue.

    Attributes:
        cluster: Its number is made of this,
        proc: and this.
        tag: The run that it says it belongs to; anybody may have written it.
        state: Its state.
        hold_code: HTCondor's code, if it is held.
        since_s: How long it has been in this state, in seconds.
        name: What the cluster calls it, where that is not made of the two numbers.
    """

    cluster: int
    proc: int
    tag: str
    state: JobState
    hold_code: int | None = None
    since_s: int = 0
    name: str = ""

    @property
    def shown(self) -> str:
        """What people find it by."""
        return self.name or f"{self.cluster}.{self.proc}"


class Sight(str, Enum):
    """What came of the question for a pipeline."""

    CURRENT = "current"
    """Not asked: we are in it."""
    SEEN = "seen"
    """GitLab told its status."""
    DELETED = "deleted"
    """There is none, says a GitLab that shows us others of the project."""
    HIDDEN = "not visible"
    """There is none, or the token may not see it."""
    FORBIDDEN = "not told"
    """The token may not ask."""
    SILENT = "no answer"
    """GitLab did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What GitLab said of a pipeline.

    Attributes:
        sight: What came of the question.
        status: The pipeline's status, if it was told.
        ended_s: When it ended, in seconds since 1970; None if that was not told.
        words: The evidence, when there is no status.
    """

    sight: Sight
    status: str = ""
    ended_s: float | None = None
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to become of the jobs of one pipeline.

    Attributes:
        pipeline: Its number.
        answer: What GitLab said.
        jobs: Its jobs in the queue.
        goes: Those of them that are to be removed.
        why: The reason, for people.
        undecided: Whether all are kept because nobody could find out.
    """

    pipeline: int
    answer: Answer
    jobs: Sequence[Job] = field(repr=False)
    goes: Sequence[Job] = field(repr=False, default=())
    why: str
    undecided: bool = False

    @property
    def status(self) -> str:
        """In a word or two."""
        return self.answer.status or self.answer.sight.value

    @property
    def outputs_go(self) -> bool:
        """Whether jobs that have ended go, too, with the outputs that nobody fetched."""
        return any(job.state is JobState.ENDED for job in self.goes)

    def number_of(self, state: JobState) -> int:
        """How many of the jobs are in a state."""
        return sum(job.state is state for job in self.jobs)


def project_of(environ: Mapping[str, str]) -> Project:
    """The instance, project and pipeline of this CI job.

    Raises:
        UsageError: This is none.
    """
    host, number = environ.get("CI_SERVER_HOST", ""), environ.get("CI_PROJECT_ID", "")
    # A laptop's runs are tagged with that word, and are nobody's else.
    if not _HOST.fullmatch(host) or host == _LAPTOP or not _NUMBER.fullmatch(number):
        raise UsageError(
            "sweep: which project's jobs to look at is not known",
            evidence=f"CI_SERVER_HOST is {host[:100]!r}, CI_PROJECT_ID is {number[:100]!r}",
            fix="run it in a CI job of the project, where GitLab sets both; see docs/how-to/remove-what-is-left.md",
        )
    current = environ.get("CI_PIPELINE_ID", "")
    return Project(host=host, number=int(number), current=int(current) if _NUMBER.fullmatch(current) else None)


def pipeline_of(tag: str, project: Project) -> int | None:
    """The pipeline of a run of the project; None for every tag that septum would not have written for it."""
    form = rf"{re.escape(project.tags())}({_NUMBER.pattern})/[A-Za-z0-9._/:-]+/[0-9a-f]{{16}}"
    match = re.fullmatch(form, tag)
    return int(match[1]) if match else None


def by_pipeline(jobs: Iterable[Job], project: Project) -> tuple[dict[int, list[Job]], list[Job]]:
    """Sort jobs.

    Returns:
        The jobs of each pipeline, by its number, and those whose tag names none.
    """
    known: dict[int, list[Job]] = {}
    strange = []
    for job in jobs:
        pipeline = pipeline_of(job.tag, project)
        if pipeline is None:
            strange.append(job)
        else:
            known.setdefault(pipeline, []).append(job)
    return dict(sorted(known.items())), strange


def decide(pipeline: int, jobs: Sequence[Job], answer: Answer, *, now_s: float, keep_outputs_s: float) -> Decision:
    """Decide about the jobs of one pipeline.

    Args:
        pipeline: Its number.
        jobs: Its jobs in the queue.
        answer: What GitLab said of it.
        now_s: The time, in seconds since 1970.
        keep_outputs_s: How long after the pipeline's end the jobs that have ended are kept: a retried CI job fetches
            their outputs.
    """
    if answer.sight is Sight.DELETED:
        return Decision(pipeline=pipeline, answer=answer, jobs=jobs, goes=jobs, why="the pipeline has been deleted")
    if answer.sight is Sight.SEEN and answer.status in ENDED:
        return _of_ended(pipeline, jobs, answer, now_s - answer.ended_s if answer.ended_s else None, keep_outputs_s)
    undecided = answer.sight not in {Sight.SEEN, Sight.CURRENT}
    why = answer.words if undecided else _why_alive(answer)
    if stuck := _stuck(jobs):
        why += f"; {stuck}"
    return Decision(pipeline=pipeline, answer=answer, jobs=jobs, why=why, undecided=undecided)


def _of_ended(
    pipeline: int, jobs: Sequence[Job], answer: Answer, age_s: float | None, keep_outputs_s: float
) -> Decision:
    """Of a pipeline that has ended: all but the outputs that a retry may still fetch."""
    goes = [job for job in jobs if job.state is not JobState.ENDED]
    why = f"it ended {_ago(age_s)} ago" if age_s is not None and age_s >= 0 else "it has ended"
    waiting = len(jobs) - len(goes)
    if waiting and age_s is not None and age_s > keep_outputs_s:
        goes = list(jobs)
    elif waiting:
        why += f"; {count(waiting, 'output')} kept for a retry until {show_duration(keep_outputs_s)} after its end"
    return Decision(pipeline=pipeline, answer=answer, jobs=jobs, goes=goes, why=why)


def _ago(age_s: float) -> str:
    days = int(age_s // 86400)
    return count(days, "day") if days else show_duration(age_s)


def _why_alive(answer: Answer) -> str:
    if answer.sight is Sight.CURRENT:
        return "sweep itself runs in it"
    return "it has not ended" if answer.status in ALIVE else "nobody knows here what that status means"


def _stuck(jobs: Sequence[Job]) -> str:
    """Jobs whose files never came, and by now will not: the run itself removes them when it goes on."""
    number = sum(job.hold_code == _NOT_SPOOLED and job.since_s > _SOON_S for job in jobs)
    return f"{count(number, 'job')} without input files for over an hour, for the run itself to remove" * bool(number)


def seconds_of(text: object) -> float | None:
    """A time of GitLab's API, such as `2026-08-11T11:32:35.169Z`, in seconds since 1970; None if it is not one."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(re.sub(r"Z$", "+00:00", text))
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
