"""The backend `reana`: one workflow a submission, two requests a poll, one request for the outputs of a part."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from septum.backends.base import BY_ITS_RUN, REMOVED_BY_US, JobReport, Run
from septum.backends.reana.access import open_client
from septum.backends.reana.mending import failed, mend
from septum.backends.reana.model import CREATED, DELETED, FAILED, OVER
from septum.backends.reana.reading import Seen, report
from septum.backends.reana.runs import Key, Runs
from septum.backends.reana.sending import unpack
from septum.backends.reana.submitting import Submitter
from septum.backends.reana.workflow import FOLDER, KUBERNETES, LEASE, back_name, lease_text, stop_name
from septum.errors import ClusterFailedError, WorkflowGoneError
from septum.plan import Part
from septum.states import JobState
from septum.worker.sandbox import log_names, returned_names

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.credentials import Credentials

AT_A_TIME = 4
"""Requests that are under way at the same time, where there is one for each of many parts."""
_WORK = "septum-run/**/*"
T = TypeVar("T")


class ReanaBackend:
    """Speaks to one REANA server about one run.

    Args:
        run: The run.
        profile: The cluster.
        credentials: Files that somebody else keeps fresh.
    """

    def __init__(self, run: Run, profile: Profile, credentials: Credentials) -> None:
        self._run, self._profile = run, profile
        self._client = open_client(profile, credentials)
        self._runs = Runs(self._client, plan_name=run.plan.name, tag=run.tag)
        self._pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="reana")
        self._submitter = Submitter(run, profile, credentials, client=self._client, runs=self._runs, each=self._each)
        self._holders: Mapping[str, Seen] = {}

    # ── submitting ──────────────────────────────────────────────────────────────────────────────────────────────

    def submit(
        self, parts: Sequence[Part], *, lease_until_s: float, number: int = 1, memory_b: int | None = None
    ) -> Mapping[str, str]:
        """Submit parts as one workflow: made, filled, looked at, and only then started."""
        return self._submitter.submit(parts, lease_until_s=lease_until_s, number=number, memory_b=memory_b)

    # ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────

    def poll(self, awaited: Collection[str], *, everything: bool) -> Mapping[str, JobReport] | None:
        """One request for all workflows, and one more for each whose numbers changed."""
        if not self._look(everything=everything) and not everything:
            return None
        now_s = time.time() + self._client.ahead_s
        found: dict[str, JobReport] = {}
        for part in awaited:
            seen = self._holders.get(part)
            lost = JobReport(part=part, job="", state=JobState.LOST)
            found[part] = lost if seen is None else report(seen, part, self._run.plan, now_s=now_s)
        return found

    def _look(self, *, everything: bool, mends: bool = True) -> bool:
        changed = self._runs.look(everything=everything)
        # Who only asks, or ends the run, starts nothing again.
        for key in failed(self._runs) if mends else ():
            mend(self._client, self._runs, key, self._each)
            changed = True
        if changed:
            self._holders = self._runs.newest_of()
        return changed

    def count(self) -> int:
        """How many jobs of this run wait, run, or hold outputs."""
        self._look(everything=False, mends=False)
        return sum(len(_jobs(seen)) for seen in self._runs.seen.values())

    def pages(self) -> Mapping[str, str]:
        """The pages of the workflows that were seen or made: name to address."""
        return dict(self._runs.pages)

    # ── fetching ────────────────────────────────────────────────────────────────────────────────────────────────

    def fetch(self, parts: Sequence[str], into: Path) -> None:
        """Bring the archives of parts, a few at a time, and lay their files out."""
        into.mkdir(parents=True, exist_ok=True)
        if any(part not in self._holders for part in parts):
            self._look(everything=True)
        self._each(lambda part: self._fetch(part, into), parts)

    def _fetch(self, part: str, into: Path) -> None:
        seen = self._holders.get(part)
        if seen is None or not seen.holds(part):
            return  # its outputs are not there any more
        target = into / f".{part}.{secrets.token_hex(4)}.tar"
        names = {*returned_names(self._run.plan, part), *log_names(part)}
        try:
            self._client.download(seen.workflow.id, back_name(part), target, size_b=seen.of(part).back_b)
            unpack(target, into, names)
        finally:
            target.unlink(missing_ok=True)

    # ── speaking to what runs ───────────────────────────────────────────────────────────────────────────────────

    def extend(self, lease_until_s: float) -> None:
        """Write the lease into each workspace whose steps can read it."""
        if self._profile.reana_compute_backend != KUBERNETES:
            return  # there, a step has a copy of the workspace, made before it began
        if not self._runs.seen:
            self._look(everything=False)
        text = lease_text(self._submitter.there_s(lease_until_s))
        live = [seen.workflow.id for seen in self._runs.seen.values() if _lives(seen)]

        def write(workflow: str) -> None:
            with contextlib.suppress(WorkflowGoneError):
                self._client.upload(workflow, LEASE, text)

        self._each(write, live)

    def judge(self, causes: Mapping[str, str]) -> None:
        """Say in each workspace that the run was ended without a result."""
        self._look(everything=False, mends=False)
        for key, seen in list(self._runs.seen.items()):
            if seen.ran and seen.workflow.status != DELETED and not seen.empty:
                mine = {part: causes[part] for part in seen.parts if part in causes}
                said = replace(seen.said, collected=True, judged={**seen.said.judged, **mine})
                self._runs.say(key, said)
        self._holders = self._runs.newest_of()

    def avoid(self, hosts: Collection[str]) -> None:
        """REANA chooses the machines, and does not let anybody else."""

    def refresh(self) -> Sequence[str]:
        """Store a renewed proxy, which steps that start from now on get."""
        self._submitter.refresh_proxy()
        return ()

    # ── removing ────────────────────────────────────────────────────────────────────────────────────────────────

    def remove(self, parts: Sequence[str] | None, *, reason: str = BY_ITS_RUN, ended: bool = True) -> int:
        """Remove jobs: whole workflows where nobody wants any of their parts, else single ones."""
        self._runs.look(everything=parts is None)
        wanted = None if parts is None else set(parts)
        gone = 0
        for key, seen in list(self._runs.seen.items()):
            if seen.workflow.status == DELETED:
                continue
            chosen = [part for part in seen.parts if wanted is None or part in wanted]
            if seen.workflow.status == CREATED:
                if chosen:
                    self._client.delete(seen.workflow.id, workspace=True)
                continue
            gone += self._remove(key, seen, chosen, f"{REMOVED_BY_US} {reason}", ended=ended)
        self._runs.forget()
        self._holders = self._runs.newest_of()
        return gone

    def _remove(self, key: Key, seen: Seen, parts: Sequence[str], reason: str, *, ended: bool) -> int:
        """Remove jobs of one workflow."""
        jobs = set(_jobs(seen))
        going = [part for part in parts if part in jobs and (ended or not seen.holds(part))]
        # Of a workflow that failed, these have no job, and get one from whoever looks at it next.
        waiting = set(seen.open_parts) if seen.workflow.status == FAILED else set()
        chosen = [*going, *(part for part in parts if part in waiting)]
        if not chosen and not (ended and not jobs):
            return 0
        if not seen.empty and chosen and not (len(going) == len(jobs) and self._can_go(seen, chosen)):
            # First: whoever looks between this and the end of it shall know why.
            seen = self._runs.say(
                key, replace(seen.said, removed={**seen.said.removed, **dict.fromkeys(chosen, reason)})
            )
        if len(going) == len(jobs):
            self._drop(seen, chosen, reason)
            return len(going)
        here = [part for part in going if seen.holds(part)]
        if self._profile.reana_compute_backend == KUBERNETES:
            self._each(
                lambda part: self._client.upload(seen.workflow.id, stop_name(part), b"stop\n"),
                [part for part in going if part not in here],
            )
        if self._profile.reana_workspace == "delete":
            self._each(lambda part: self._client.discard(seen.workflow.id, back_name(part)), here)
        return len(going)

    def _can_go(self, seen: Seen, going: Iterable[str]) -> bool:
        """Whether a workflow can be deleted with all that it could tell: its parts have ended, and are fetched."""
        return self._profile.reana_workspace == "delete" and all(seen.holds(part) for part in going)

    def _drop(self, seen: Seen, going: Sequence[str], reason: str) -> None:
        """End a workflow that nobody wants anything of any more."""
        workflow = seen.workflow
        status = workflow.status if workflow.status in OVER else self._runs.end(seen, going, reason)
        if status not in OVER:
            # It is still being started: then each of its steps ends itself.
            self._client.upload(workflow.id, LEASE, lease_text(0))
        if status not in OVER or status == DELETED:
            return
        if self._profile.reana_workspace == "keep" or seen.empty:
            return
        if all(seen.holds(part) for part in going):
            self._runs.delete(seen)
            return
        # One that was cancelled stays, with the reason, and without what takes room.
        for pattern in (back_name("*"), f"{FOLDER}send/*", _WORK):
            with contextlib.suppress(ClusterFailedError):
                self._client.discard(workflow.id, pattern)

    def close(self) -> None:
        """Close the connections; the workflows go on."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _each(self, do: Callable[[T], None], items: Sequence[T]) -> None:
        """Do something for each item, a few at a time; the first error is raised when all have been tried."""
        waiting = [self._pool.submit(do, item) for item in items]
        try:
            errors = [error for error in (each.exception() for each in waiting) if error is not None]
        finally:
            for each in waiting:
                each.cancel()  # of those that a signal left behind
        if errors:
            raise errors[0]


def _jobs(seen: Seen) -> list[str]:
    """The parts of a workflow that have a job: it waits, runs, or has ended and holds outputs."""
    if not seen.ran or seen.word or seen.workflow.status == DELETED or seen.empty:
        return []
    over = seen.workflow.status in OVER
    removed = seen.said.removed
    return [
        part for part in seen.parts if part not in removed and (seen.holds(part) or not (over or seen.of(part).done))
    ]


def _lives(seen: Seen) -> bool:
    return seen.ran and seen.workflow.status not in OVER
