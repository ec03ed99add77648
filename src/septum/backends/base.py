"""The seam between a run and the place where its jobs run: six verbs, frozen values. Imports no backend."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from septum.errors import UsageError
from septum.plan import Part, Plan
from septum.states import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one plan.

    Attributes:
        tag: Names the run in the queue: instance, project, pipeline, prefix and plan; see `run_tag`.
        plan: The plan.
        folder: The state folder, absolute.
        image_digest: `sha256:…` of the plan's image, as its registry had it at submission; empty if nobody knew.
    """

    tag: str
    plan: Plan
    folder: Path
    image_digest: str = ""

    @property
    def sent(self) -> Path:
        """The folder of all that goes to the workers."""
        return self.folder / "send"

    @property
    def outputs(self) -> Path:
        """The folder of the verified outputs; holds nothing else."""
        return self.folder / "outputs"

    @property
    def logs(self) -> Path:
        """The folder of what the parts wrote."""
        return self.folder / "logs"

    @property
    def incoming(self) -> Path:
        """The folder that outputs are fetched into before anybody looked at them."""
        return self.folder / "incoming"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What a backend knows about the job of one part.

    Attributes:
        part: The part.
        job: The backend's name of the job, such as `4711.3`.
        state: The job's state.
        attempts: How often it has been started.
        exit_code: Of the job, if it ended by itself.
        signal: The signal that killed it, if one did.
        hold_code: HTCondor's code, if it is held.
        released_times: How often it has been held before.
        since_s: Seconds since it entered this state, on the backend's clock.
        reason: Why it is held or removed, in the backend's words.
        timed_out: Whether the backend stopped it because it ran longer than the plan allows.
        host: The worker.
        number: Which job of the part it is: 1, and one more for each that septum submitted anew.
        starts: How often the site tried to start it.
        hold_subcode: HTCondor's, if it is held.
        judged: The code of the error that an earlier collect ended the part with; empty if none did.
        collected: Whether an earlier collect has ended the run without a result.
        memory_b: The largest memory that was seen, in bytes; None if nobody measured.
    """

    part: str
    job: str
    state: JobState
    attempts: int = 0
    exit_code: int | None = None
    signal: int | None = None
    hold_code: int | None = None
    released_times: int = 0
    since_s: int = 0
    reason: str = ""
    timed_out: bool = False
    host: str = ""
    memory_b: int | None = None
    number: int = 1
    starts: int = 0
    hold_subcode: int = 0
    judged: str = ""
    collected: bool = False

    @property
    def by_septum(self) -> bool:
        """Whether septum itself removed the job."""
        return self.state is JobState.REMOVED and self.reason.startswith(REMOVED_BY_US)

    @property
    def given_up(self) -> bool:
        """Whether septum removed the job because nobody wants its run any more: no other job follows."""
        return self.by_septum and self.reason.startswith(f"{REMOVED_BY_US} {BY_ITS_RUN}")


FETCH_BATCH = 50
"""Jobs whose outputs are fetched in one call; a call that breaks loses the bookkeeping of its whole batch."""

REMOVED_BY_US = "septum:"
"""How the reasons of septum's own removals begin."""

BY_ITS_RUN = "removed by its run"
FETCHED, REPLACED = "fetched", "replaced"
"""Why septum removes a job: nobody wants it any more; its outputs are here and its place is wanted; another follows."""


class Backend(Protocol):
    """A place where jobs run.

    Every method returns within its profile's deadline or raises a `SeptumError`; none of them prints.
    """

    def submit(
        self, parts: Sequence[Part], *, lease_until_s: float, number: int = 1, memory_b: int | None = None
    ) -> Mapping[str, str]:
        """Submit one job for each part, in one submission: all of them or none.

        Args:
            parts: In the order of the plan; they have no job.
            lease_until_s: Seconds since the epoch after which jobs that have not ended remove themselves.
            number: Which job of these parts it is, from 1.
            memory_b: What the jobs ask for; None for what the plan says.

        Returns:
            Part to job.

        Raises:
            NoRoomError: The site takes no more jobs now.
            SubmitRefusedError: It does not take these.
        """

    def poll(self, awaited: Collection[str], *, everything: bool) -> Mapping[str, JobReport] | None:
        """Ask for the state of the jobs of this run, in one round trip.

        Args:
            awaited: The parts that a report is wanted for; a part without a job is reported as LOST.
            everything: Report even when the numbers of jobs in each state are those of the last call.

        Returns:
            The reports, or None when nothing changed since the last call.
        """

    def count(self) -> int:
        """How many jobs of this run the queue holds, in whatever state."""

    def fetch(self, parts: Sequence[str], into: Path) -> None:
        """Bring the files of ended jobs, at most `FETCH_BATCH`, which stay as they are, into a folder."""

    def extend(self, lease_until_s: float) -> None:
        """Extend the lease of all jobs of this run that have not ended."""

    def judge(self, causes: Mapping[str, str]) -> None:
        """Write into the jobs of this run that it ended without a result, so that a later collect knows.

        Args:
            causes: Failed part to the code of its error.
        """

    def avoid(self, hosts: Collection[str]) -> None:
        """Let no job of this run start on these hosts any more, whatever has been submitted before."""

    def refresh(self) -> Sequence[str]:
        """Hand on to the jobs what was renewed of their credentials. To be called often; most calls do nothing.

        Returns:
            Warnings.
        """

    def remove(self, parts: Sequence[str] | None, *, reason: str = BY_ITS_RUN, ended: bool = True) -> int:
        """Remove jobs of this run and of no other.

        Args:
            parts: Whose; None for all.
            reason: Why, for the history.
            ended: Whether jobs go, too, that have ended and hold outputs.

        Returns:
            How many went.
        """

    def close(self) -> None:
        """Give back what the backend holds; jobs go on where they can."""


@runtime_checkable
class Paged(Protocol):
    """A backend that shows its jobs on pages of a web server."""

    def pages(self) -> Mapping[str, str]:
        """The pages of all that this object has seen of the run: what each shows, and its address. Asks nobody."""


def run_tag(plan: Plan, environ: Mapping[str, str], *, prefix: str = "") -> str:
    """Name a run: the same for a retried CI job, another for every pipeline, prefix and plan.

    Args:
        plan: The plan.
        environ: GitLab's variables `CI_SERVER_HOST`, `CI_PROJECT_ID`, `CI_PIPELINE_ID`; `SEPTUM_RUN` replaces them
            outside of GitLab.
        prefix: The prefix of the CI jobs; keeps two analyses of one pipeline apart.

    Raises:
        UsageError: A piece holds a character that has no place in a tag.
    """
    if environ.get("CI_PIPELINE_ID"):
        pieces = [environ.get(name, "-") for name in ("CI_SERVER_HOST", "CI_PROJECT_ID", "CI_PIPELINE_ID")]
    else:
        pieces = ["laptop", environ.get("SEPTUM_RUN") or "-", "-"]
    tag = "/".join([*pieces, prefix.strip("-") or "-", plan.hash[:16]])
    if not re.fullmatch(r"[A-Za-z0-9._/:-]{1,200}", tag):
        raise UsageError(
            f"run: {tag!r} cannot name a run",
            fix="use letters, digits, '.', '_' and '-' in SEPTUM_RUN and in the prefix of the CI jobs",
        )
    return tag
