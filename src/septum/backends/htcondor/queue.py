"""The queue of a schedd beyond one run: finds the jobs of many runs by how their tags begin, and removes some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.backends.htcondor.backend import any_number, client_environment
from septum.backends.htcondor.bindings import Bindings, CallError, as_septum_error
from septum.states import JOB_STATUS, JobState
from septum.sweep import Job

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.credentials import Credentials

REMOVE_BATCH = 1000
"""Jobs a call that removes: they are named one by one."""

_ATTRIBUTES = ["SeptumRun", "JobStatus", "HoldReasonCode", "EnteredCurrentStatus", "ServerTime", "ClusterId", "ProcId"]
_REASON = "septum: swept, its pipeline has ended"
_REMOVED, _ENDED = 3, 4


class Queue:
    """The jobs of many runs on one schedd.

    Args:
        profile: The cluster.
        credentials: Files that somebody else keeps fresh.
        folder: For HTCondor's own files.
    """

    def __init__(self, profile: Profile, credentials: Credentials, folder: Path) -> None:
        self._profile = profile
        self._bindings = Bindings(
            collector=profile.collector,
            schedd=profile.schedd,
            environ=client_environment(profile, credentials, folder),
            folder=folder,
            deadline_s=profile.call_deadline,
        )

    def jobs(self, tags: str) -> list[Job]:
        """The jobs whose tag begins with this, without those that are being removed: one query."""
        constraint = f"{begins(tags)} && JobStatus != {_REMOVED}"
        found = self._call("query", "looking at the queue", constraint=constraint, attributes=_ATTRIBUTES)
        return [_job(ad) for ad in found]

    def remove(self, tags: str, jobs: Sequence[Job], *, ended: bool) -> tuple[int, str]:
        """Remove jobs, if they are still what they were.

        Args:
            tags: What their tags begin with.
            jobs: The jobs; none that has been submitted since.
            ended: Whether also those that have ended, meanwhile or before.

        Returns:
            How many of them are still in the queue and should not be, and what the schedd said to that.

        Raises:
            SeptumError: The schedd did not answer.
        """
        left, words = 0, ""
        for start in range(0, len(jobs), REMOVE_BATCH):
            batch = jobs[start : start + REMOVE_BATCH]
            constraint = f"{begins(tags)} && {_these(batch)} && JobStatus != {_REMOVED}"
            constraint += "" if ended else f" && JobStatus != {_ENDED}"
            removed, said = self._remove(constraint)
            words = said or words
            if removed != len(batch):
                left += len(self._call("query", "looking at the queue", constraint=constraint, attributes=["ProcId"]))
        return left, words

    def _remove(self, constraint: str) -> tuple[int, str]:
        """How many went, -1 if some were denied, and the schedd's words."""
        try:
            return int(self._bindings.call("remove", constraint=constraint, reason=_REASON)), ""
        except CallError as error:
            if error.kind == "denied":  # ours have gone, and those that are somebody else's have not
                return -1, error.text
            if error.kind == "bindings":
                # HTCondor gives no reason for a refusal; what it says of submitting holds for removing, too.
                self._call("ping", "removing jobs")
            raise as_septum_error(error, self._profile, doing="removing jobs") from error

    def close(self) -> None:
        """End the worker process."""
        self._bindings.close()

    def _call(self, name: str, doing: str, **arguments: Any) -> Any:
        try:
            return self._bindings.call(name, **arguments)
        except CallError as error:
            raise as_septum_error(error, self._profile, doing=doing) from error


def begins(tags: str) -> str:
    """The constraint that a job's tag begins with a text: letter by letter, which `==` is not in a ClassAd.

    Args:
        tags: ASCII; of anything that could end a string in a ClassAd, nothing gets through.
    """
    quoted = tags.replace("\\", "\\\\").replace('"', '\\"')
    return f'substr(SeptumRun, 0, {len(tags)}) =?= "{quoted}"'


def _these(jobs: Sequence[Job]) -> str:
    """A constraint on the jobs themselves."""
    by_cluster: dict[int, list[int]] = {}
    for job in jobs:
        by_cluster.setdefault(job.cluster, []).append(job.proc)
    clauses = [f"(ClusterId == {cluster} && {any_number('ProcId', procs)})" for cluster, procs in by_cluster.items()]
    return f"({' || '.join(clauses)})"


def _job(ad: dict[str, Any]) -> Job:
    # A status that we do not know is that of a job which has not ended.
    state = JOB_STATUS.get(int(ad.get("JobStatus") or 0), JobState.RUNNING)
    code, entered, now = ad.get("HoldReasonCode"), ad.get("EnteredCurrentStatus"), ad.get("ServerTime")
    return Job(
        cluster=int(ad["ClusterId"]),
        proc=int(ad["ProcId"]),
        tag=str(ad.get("SeptumRun")),
        state=state,
        hold_code=int(code) if state is JobState.HELD and code is not None else None,
        since_s=max(0, int(now) - int(entered)) if now and entered else 0,
    )
