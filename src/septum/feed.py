"""Brings the jobs of a run into the queue, each part's once: finds those that are there, submits what has none.

Where the site takes only so many jobs or bytes at a time, the rest stays planned, and what is called again and again
sends it in waves as room comes. Whatever was interrupted before, the queue and the history are asked first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from septum.backends.base import REPLACED, Backend, JobReport, Run
from septum.errors import NoRoomError, SeptumError, SubmitRefusedError
from septum.ledger import ENDED
from septum.outcome import failure
from septum.plan import Part
from septum.shared import goes_by_url, goes_once
from septum.states import HoldAction, JobState, PartState, hold_of
from septum.units import count, show_duration, show_size
from septum.worker.sandbox import SHARED, WRAPPER, own_names, sent_names

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.collect import Clock
    from septum.ledger import Ledger, Row

SPOOL_PATIENCE_S = 600.0
"""How long files may be on their way to the schedd, when nobody of us sends them any more."""
RELEASE_PATIENCE_S = 5.0
"""How long a schedd may take to release jobs whose files have arrived: it does so after it told their sender."""
ROOM_PATIENCE_S = 24 * 3600.0
"""How long a run without a single job in the queue waits for room."""

PILOT = "pilot"
"""Fact of a run in the ledger: the part that has to deliver before all others get a job."""

_WAITING = (PartState.IDLE, PartState.RUNNING, PartState.HELD)
_DELIVERED = (PartState.VERIFIED, PartState.MERGED)


class Feeder:
    """Submits the parts of one run.

    Args:
        run: The run.
        backend: Where its jobs are.
        ledger: Its ledger.
        profile: The cluster's limits and lease.
        gap_s: The longest time between two collects that the lease has to outlive, beside its own length.
        say: Takes one line for people.
        clock: Time.
    """

    def __init__(
        self,
        *,
        run: Run,
        backend: Backend,
        ledger: Ledger,
        profile: Profile,
        gap_s: float,
        say: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._run, self._backend, self._ledger, self._profile = run, backend, ledger, profile
        self._gap_s, self._say, self._clock = gap_s, say, clock
        self._not_before_s = 0.0
        self._refused_since_s: float | None = None
        self._in_doubt = False
        self._pilot_is_in = False
        self._sizes: dict[str, int] = {}
        self._limit_is_known = self.in_waves = len(run.plan.parts) > profile.max_jobs_per_owner

    @property
    def lease_until_s(self) -> float:
        """When jobs that are submitted or spoken for now would remove themselves."""
        return self._clock.now() + self._profile.lease + self._gap_s

    # ── what is there ───────────────────────────────────────────────────────────────────────────────────────────

    def take_stock(self, *, anew: bool = False, stuck: bool = False) -> int:
        """Look for the jobs of all parts that wait for one, and plan again what has none that can still deliver.

        Args:
            anew: Whether parts whose jobs were removed or lost get new ones. If not, they do only where an earlier
                collect has ended the run without a result, and this one is its repetition.
            stuck: Whether files that have not arrived at the schedd are on their way no more.

        Returns:
            How many jobs of this run were there already.
        """
        # What failed while this very collect goes on has failed: nobody asked for it again.
        left_out = {PartState.VERIFIED, PartState.MERGED, *([PartState.FAILED] if stuck else [])}
        rows = [row for row in self._ledger.rows() if row.state not in left_out]
        reports = self._reports([row.id for row in rows], anew=anew or stuck)
        ended = not stuck and ENDED in self._ledger.facts()
        anew = anew or (not stuck and any(report.collected for report in reports.values()))
        anew = anew or (ended and any(row.state is PartState.FAILED for row in rows))
        asked = {row.id: why_again(row, reports[row.id], anew=anew, stuck=stuck) for row in rows}
        reasons = {part: reason for part, reason in asked.items() if reason is not None}
        self._plan_again(reasons, {row.id: row for row in rows}, reports)
        present = {
            part: report
            for part, report in reports.items()
            if part not in reasons and report.state not in {JobState.LOST, JobState.REMOVED}
        }
        planned = {row.id: row for row in self._ledger.rows(PartState.PLANNED)}
        # Of a ledger that was lost: that somebody removed a job is for collect to say, and not to undo.
        gone = {
            part: reports[part]
            for part, row in planned.items()
            if not (anew or stuck) and reports[part].state is JobState.REMOVED and reports[part].number >= row.jobs
        }
        moves = {
            part: (PartState.IDLE, {"job": report.job, "jobs": max(report.number, planned[part].jobs)})
            for part, report in {**present, **gone}.items()
            if part in planned
        }
        moves |= {
            row.id: (row.state, {"jobs": reports[row.id].number})
            for row in rows
            if row.id in present and row.id not in planned and reports[row.id].number > row.jobs
        }
        self._ledger.move_all(moves, now_s=self._clock.now())
        if ended:
            self._ledger.forget(ENDED)
        return len(present)

    def _reports(self, parts: Sequence[str], *, anew: bool) -> Mapping[str, JobReport]:
        """What the backend says of parts; jobs that would be replaced as never arrived get the time to be released."""
        until_s = self._clock.now() + RELEASE_PATIENCE_S
        while True:
            reports = self._backend.poll(parts, everything=True) or {}
            if not anew or self._clock.now() >= until_s or not any(map(_is_spooling, reports.values())):
                return reports
            self._clock.sleep(0.5)

    def _plan_again(
        self, reasons: Mapping[str, str], known: Mapping[str, Row], reports: Mapping[str, JobReport]
    ) -> None:
        if not reasons:
            return
        in_queue = [part for part in reasons if reports[part].state not in {JobState.LOST, JobState.REMOVED}]
        if in_queue:
            self._backend.remove(in_queue, reason=REPLACED)
        fresh = [part for part in reasons if known[part].state is PartState.PLANNED]
        again = {part: reason for part, reason in reasons.items() if known[part].state is not PartState.PLANNED}
        self._ledger.begin_again(again, now_s=self._clock.now())
        # Of a ledger that was lost: it does not know of the jobs before.
        self._ledger.move_all(
            {part: (PartState.PLANNED, {"jobs": reports[part].number + 1}) for part in fresh}, now_s=self._clock.now()
        )
        if told := {part: reason for part, reason in reasons.items() if not reports[part].by_septum}:
            part, reason = next(iter(told.items()))
            self._say(f"warning: {count(len(told), 'part')} get a new job; part {part}: {reason}")

    # ── what is missing ─────────────────────────────────────────────────────────────────────────────────────────

    def feed(self, *, all_or_none: bool = False) -> int:
        """Submit planned parts as far as there is room; returns how many.

        Args:
            all_or_none: Whether an error of any kind takes back what this call has submitted; a refusal always does.

        Raises:
            SubmitRefusedError: The site does not take them; those of this call are planned again, without jobs.
            NoRoomError: There has been no room for any of them for a day.
        """
        planned = self._planned()
        if not planned or self._clock.now() < self._not_before_s:
            return 0
        if self._in_doubt:
            # A submission broke, and nobody knows whether its jobs are there.
            self.take_stock(stuck=True)
            self._in_doubt = False
            planned = self._planned()
        sent: list[str] = []
        try:
            self._send(planned[: self._room()], sent)
        except SeptumError as error:
            self._in_doubt = True
            if all_or_none or isinstance(error, SubmitRefusedError):
                self._take_back(error, planned, sent)
            raise
        return len(sent)

    def check_pilot(self) -> None:
        """Look what became of the part that goes before all others, if there is one.

        Raises:
            SeptumError: It has failed, and no other part was submitted.
        """
        pilot = self._ledger.facts().get(PILOT)
        if pilot is None or self._pilot_is_in:
            return
        rows = [row for row in self._ledger.rows(PartState.FAILED, *_DELIVERED) if row.id == pilot]
        if not rows:
            return
        others = count(len(self._run.plan.parts) - 1, "other part")
        if rows[0].state is PartState.FAILED:
            error = failure(self._run.plan, rows)
            error.evidence += f"\nit was the pilot: none of the {others} was submitted"
            raise error
        self._pilot_is_in = True
        self._say(f"pilot: part {pilot} has delivered, and its outputs are verified; now the {others}")

    def _planned(self) -> list[Row]:
        """The parts that may get a job now: all without one, or the pilot alone as long as it has not delivered."""
        planned = self._ledger.rows(PartState.PLANNED)
        pilot = self._ledger.facts().get(PILOT)
        if pilot is None or any(row.id == pilot for row in self._ledger.rows(*_DELIVERED)):
            return planned
        return [row for row in planned if row.id == pilot]

    def _send(self, rows: Sequence[Row], sent: list[str]) -> None:
        """Submit parts, and note in `sent` which are in the queue; ends early where there is no room."""
        most = self._profile.parts_per_submission
        while rows:
            chosen = self._submission(rows, most)
            try:
                self._submit(chosen)
            except NoRoomError as error:
                if len(chosen) == 1 or self._limit_is_known:
                    # A schedd counts anew now and then only: it may not know yet that jobs have left. If it says no
                    # again, others hold places of this account.
                    self._limit_is_known = False
                    self._wait_for_room(error)
                    return
                # The site says no to all or none of them, and nobody knows how many it would take.
                most = len(chosen) // 2
                continue
            self._refused_since_s = None
            self._limit_is_known = len(self._run.plan.parts) > self._profile.max_jobs_per_owner
            sent += [row.id for row in chosen]
            rows = rows[len(chosen) :]

    def _room(self) -> int:
        # The schedd's own number: jobs that were removed hold their places for a moment more.
        there = self._backend.count() if self.in_waves else 0
        return max(0, self._profile.max_jobs_per_owner - there)

    def _submit(self, rows: Sequence[Row]) -> None:
        parts = [self._run.plan.by_id[row.id] for row in rows]
        jobs = self._backend.submit(
            parts, lease_until_s=self.lease_until_s, number=rows[0].jobs, memory_b=rows[0].asked_b
        )
        self._ledger.move_all(
            {part: (PartState.IDLE, {"job": job}) for part, job in jobs.items()}, now_s=self._clock.now()
        )

    def _submission(self, rows: Sequence[Row], most: int) -> Sequence[Row]:
        """The first of these parts that one submission takes, whose files travel in one call: at least one part."""
        limit_b = self._profile.max_bytes_per_submission
        chosen: list[Row] = []
        size_b = 0
        for row in rows[:most]:
            size_b += self._sent_b(self._run.plan.by_id[row.id], is_first=not chosen)
            alike = (rows[0].jobs, rows[0].asked_b) == (row.jobs, row.asked_b)
            if size_b > limit_b and not chosen:
                raise SubmitRefusedError(
                    f"cluster: part {row.id} sends {show_size(size_b)}, and one submission may send "
                    f"{show_size(limit_b)} there",
                    fix="name a 'shared-area' in the cluster's profile for what all parts share; let the parts read "
                    "their own large inputs by URL instead of sending them",
                )
            if size_b > limit_b or not alike:
                break
            chosen.append(row)
        return chosen

    def _sent_b(self, part: Part, *, is_first: bool) -> int:
        """The bytes that travel for a part: with a copy of what all parts share, unless that is on its way already."""
        if goes_once(self._profile) and not is_first:
            return sum(self._size_b(name) for name in own_names(part))
        by_url = bool(self._run.plan.inputs) and goes_by_url(self._profile, self._size_b(SHARED))
        return sum(self._size_b(name) for name in (WRAPPER, *sent_names(self._run.plan, part, by_url=by_url)))

    def _size_b(self, name: str) -> int:
        if name not in self._sizes:
            self._sizes[name] = (self._run.sent / name).stat().st_size
        return self._sizes[name]

    # ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────

    def _wait_for_room(self, error: NoRoomError) -> None:
        """Try again later: jobs that end make room, ours and those of others with the same account."""
        now_s = self._clock.now()
        self.in_waves = True
        self._not_before_s = now_s + self._profile.poll_ceiling
        if any(self._ledger.counts().get(state) for state in (*_WAITING, PartState.ENDED)):
            self._refused_since_s = None
            return
        if self._refused_since_s is None:
            self._refused_since_s = now_s
            self._say(f"warning: {error.what}; waiting for room")
        if now_s - self._refused_since_s > ROOM_PATIENCE_S:
            waited = show_duration(now_s - self._refused_since_s)
            error.evidence += f"\nso for {waited}, and no job of this run is in the queue"
            raise error

    def _take_back(self, error: SeptumError, planned: Iterable[Row], sent: Sequence[str]) -> None:
        """Remove what a failed submission left behind, and say so in its error.

        By part and not by job: the answer to a call that was given up may have been lost after the jobs were there.
        """
        try:
            gone = self._backend.remove([row.id for row in planned], reason=REPLACED)
            note = f"{count(gone, 'job')} of this submission have been removed again" if gone else ""
        except SeptumError as second:
            note = f"jobs may be left in the queue: {second.what}; the end of their lease removes them"
        self._ledger.begin_again(dict.fromkeys(sent, error.what), now_s=self._clock.now())
        error.evidence = "\n".join(line for line in (error.evidence, note) if line)


def why_again(row: Row, report: JobReport, *, anew: bool, stuck: bool = False) -> str | None:
    """Why a part needs a new job though it had one; None where its job may deliver, or nobody knows of any.

    Args:
        row: The part in the ledger.
        report: What the backend says of its newest job.
        anew: Whether a job that was removed or lost is replaced.
        stuck: Whether nobody sends its files any more.
    """
    if report.judged:
        return f"an earlier collect ended it with {report.judged}"
    if _is_spooling(report) and (anew or stuck or report.since_s > SPOOL_PATIENCE_S):
        return "its files never arrived at the schedd: a client was stopped while it sent them"
    if row.state is PartState.FAILED and anew:
        return f"it failed before: {row.message or row.cause}"
    # By septum, and not because somebody wanted the run to end: another job was to follow.
    to_follow = report.by_septum and not report.given_up
    if report.state is JobState.REMOVED and (anew or to_follow):
        return f"its job was removed: {report.reason or 'no reason given'}"
    if report.state is JobState.LOST and anew and row.state is not PartState.PLANNED:
        return "its job is neither in the queue nor in the history"
    return None


def _is_spooling(report: JobReport) -> bool:
    """Whether a job waits for its files, as far as the schedd knows."""
    return report.state is JobState.HELD and hold_of(report.hold_code or 0).action is HoldAction.WAIT
