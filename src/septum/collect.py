"""Watches a run to its end: fetches and verifies each part's outputs as they appear, merges, and gives the results.

The loop asks the backend once a round, whatever the number of parts, and writes everything it learns into the ledger
before it acts on it; a restarted one goes on where the ledger stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from septum.backends.base import FETCH_BATCH, FETCHED, Backend, JobReport, Run
from septum.errors import (
    AuthenticationError,
    ClusterUnreachableError,
    ContactLostError,
    NotAdditiveError,
    PartError,
    PartRemovedError,
    SeptumError,
    StateError,
    StructureError,
    TimeUpError,
    TransferDamagedError,
    TryAgainError,
)
from septum.feed import Feeder
from septum.hosts import Trial, black_holes
from septum.intake import Intake, Taken, facts_of
from septum.ledger import Ledger, Row
from septum.manifest import plain
from septum.merge.command import HandedOver
from septum.merge.results import Merger
from septum.outcome import Outcome, failure, partial
from septum.policy import Pace, again, judge, part_state
from septum.states import JobState, PartState
from septum.units import count, show_duration
from septum.verify import has_status

if TYPE_CHECKING:
    from septum.clusters.profile import Profile

_STRUCTURE = {StructureError.code, NotAdditiveError.code}
"""Causes that no tolerance covers: the other parts are not to be trusted either."""
_LINE_EVERY_S = (60.0, 900.0)
"""Between two lines of progress: at first, and in a run of an hour and more."""


class Clock(Protocol):
    """Time, passed in so that tests need not wait."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait; a signal may end it early."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait; a signal may end it early."""
        time.sleep(seconds)


class Collector:
    """Collects one run.

    Args:
        run: The run.
        backend: Where its jobs are.
        ledger: Its ledger.
        profile: The cluster's pace, patience and lease.
        merger: Merges what arrives.
        keep_fresh: Called every round with the time; renews credentials and returns warnings.
        say: Takes one line for people.
        clock: Time.
        until_s: When to leave, in seconds since the epoch, whether the jobs have ended or not; None for never.
        gap_s: The longest time until another collect takes over, which the jobs' lease has to outlive.
        anew: Whether parts whose jobs were lost before get new ones: where jobs end with their septum.
    """

    def __init__(
        self,
        *,
        run: Run,
        backend: Backend,
        ledger: Ledger,
        profile: Profile,
        merger: Merger,
        keep_fresh: Callable[[float], Sequence[str]],
        say: Callable[[str], None],
        clock: Clock,
        until_s: float | None = None,
        gap_s: float = 0.0,
        anew: bool = False,
    ) -> None:
        self._run, self._backend, self._ledger, self._profile = run, backend, ledger, profile
        self._merger, self._keep_fresh, self._say, self._clock = merger, keep_fresh, say, clock
        self._until_s, self._anew = until_s, anew
        self._intake = Intake(
            run=run, backend=backend, ledger=ledger, merger=merger, say=say, patience_s=profile.hold_patience
        )
        self._feeder = Feeder(
            run=run, backend=backend, ledger=ledger, profile=profile, gap_s=gap_s, say=say, clock=clock
        )
        self._stock_taken = False
        self._reports: dict[str, JobReport] = {}
        self._looks_without: dict[str, int] = {}
        self._trials: list[Trial] = []
        self._avoided: frozenset[str] = frozenset()
        self._freed: set[tuple[str, int]] = set()
        self._lease_until_s = 0.0
        self._lease_seen_s = 0.0
        self._lease_warned_s = 0.0
        self._silent_since_s: float | None = None
        self._began_s = 0.0
        self._last_line_s = 0.0
        self._last_line = ""
        self._last_full_s = 0.0

    def collect(self) -> Outcome:
        """Watch until every part is in a final state or verified, then merge.

        Raises:
            TimeUpError: It was time to leave, and jobs still run.
            HandedOver: A framework's own merge is to be run elsewhere.
            SeptumError: Contact was lost for too long, the disk is full, or the merge did not hold.
        """
        self._began_s = self._clock.now()
        self._check_parts()
        self._intake.take_up(self._open_parts())
        pace = Pace.start(self._profile.poll_floor, self._profile.poll_ceiling)
        while self._open_parts():
            began = self._clock.now()
            changed = self._round(began)
            self._show_counts(force=False)
            if not self._open_parts():
                break
            pace = pace.after(changed=changed, answer_s=self._clock.now() - began)
            if self._until_s is not None and self._clock.now() + pace.next_s > self._until_s:
                raise self._time_up()
            self._clock.sleep(pace.next_s)
        self._show_counts(force=True)
        return self._finish()

    # ── a round ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _check_parts(self) -> None:
        """Look whether ledger and plan have the same parts."""
        if strange := sorted(set(self._run.plan.by_id) ^ {row.id for row in self._ledger.rows()}):
            raise StateError(
                f"ledger: part {strange[0]} is not in the plan and in the ledger alike",
                fix=f"remove the folder {self._run.folder} and run again",
            )

    def _open_parts(self) -> list[Row]:
        """The parts that may still deliver; before the first look, also those that an earlier collect gave up."""
        states = [PartState.PLANNED, PartState.IDLE, PartState.RUNNING, PartState.HELD, PartState.ENDED]
        return self._ledger.rows(*states, *([] if self._stock_taken else [PartState.FAILED]))

    def _round(self, now_s: float) -> bool:
        """One look at the queue and all that follows from it; returns whether anything changed."""
        for warning in self._keep_fresh(now_s):
            self._say(f"warning: {warning}")
        try:
            if not self._stock_taken:
                self._feeder.take_stock(anew=self._anew)
                self._stock_taken = True
            changed = self._look(now_s)
            self._extend_lease(now_s)
            for warning in self._backend.refresh():
                self._say(f"warning: {warning}")
            changed |= self._fetch()
            self._avoid_black_holes()
            self._feeder.check_pilot()
            self._make_room()
            changed |= self._feeder.feed() > 0
            self._silent_since_s = None
        except (ClusterUnreachableError, AuthenticationError) as error:
            self._bear(error, now_s)
            return False
        self._merger.merge_ready()
        return changed

    def _bear(self, error: SeptumError, now_s: float) -> None:
        """Go on without an answer for a while: the jobs do, too."""
        if self._silent_since_s is None:
            self._silent_since_s = now_s
            self._say(
                f"warning: {error.what}; trying again ({error.evidence.splitlines()[0] if error.evidence else ''})"
            )
        patience_s = self._profile.lease / 2
        if now_s - self._silent_since_s > patience_s:
            raise ContactLostError(
                f"cluster: no answer for {show_duration(now_s - self._silent_since_s)}: {error.what}",
                evidence=error.evidence,
                fix="retry this CI job: it finds the run again. After their lease the jobs remove themselves",
            ) from error

    def _extend_lease(self, now_s: float) -> None:
        set_back, self._lease_seen_s = now_s < self._lease_seen_s, now_s
        if not set_back and now_s <= self._lease_until_s - self._profile.lease / 2:
            return
        until_s = self._feeder.lease_until_s
        try:
            self._backend.extend(until_s)
        except (ClusterUnreachableError, AuthenticationError, TryAgainError):
            raise
        except SeptumError as error:
            # The jobs have their old lease, and what ends within it is still collected.
            if now_s - self._lease_warned_s >= self._profile.lease / 8:
                self._lease_warned_s = now_s
                left = show_duration(max(0.0, self._lease_until_s - now_s)) if self._lease_until_s else "unknown"
                self._say(f"warning: the jobs' lease cannot be extended ({left} left of it): {error.what}")
            return
        self._lease_until_s = until_s

    def _time_up(self) -> TimeUpError:
        """What to leave with: the jobs go on, with a lease until somebody else speaks for them."""
        until_s = self._leave()
        counts = self._ledger.counts()
        going = sum(row.state is not PartState.FAILED for row in self._open_parts())
        return TimeUpError(
            f"collect: {count(going, 'part')} of {len(self._run.plan.parts)} have not ended, and it is time to leave",
            evidence=", ".join(f"{counts[state]} {state.value}" for state in PartState if state in counts)
            + f"; without a word their jobs go on for {show_duration(until_s - self._clock.now())}",
            fix="retry this CI job: it goes on where this one stands",
        )

    def _leave(self) -> float:
        """Extend the jobs' lease before leaving; returns until when they stay, in seconds since the epoch."""
        until_s = self._feeder.lease_until_s
        try:
            self._backend.extend(until_s)
        except SeptumError as error:
            self._say(f"warning: the jobs' lease cannot be extended: {error.what}")
            return self._lease_until_s or self._clock.now()
        return until_s

    def _look(self, now_s: float) -> bool:
        awaited = [row for row in self._open_parts() if row.state not in {PartState.ENDED, PartState.PLANNED}]
        everything = bool(self._looks_without) or now_s - self._last_full_s >= self._profile.refresh
        found = self._backend.poll([row.id for row in awaited], everything=everything) if awaited else None
        if found is None:
            # Nothing moved, and yet a job may have been held, or have waited, for too long.
            still = {PartState.HELD, PartState.IDLE}
            aged = [row for row in awaited if row.state in still and row.id in self._reports]
            found = {row.id: self._aged(row, now_s) for row in aged}
            if not any(self._ends(part, report) for part, report in found.items()):
                return False
        else:
            self._last_full_s = now_s
            self._reports.update(found)
        moves: dict[str, tuple[PartState, Mapping[str, object]]] = {}
        ended: list[tuple[Row, JobReport, PartError]] = []
        for row in awaited:
            report = found.get(row.id)
            if report is None:
                continue
            self._looks_without.pop(row.id, None) if report.state is not JobState.LOST else self._miss(row.id)
            error = self._ends(row.id, report)
            state = part_state(report)
            if error is not None:
                ended.append((row, report, error))
            elif state is not None:
                moves[row.id] = (state, facts_of(report, earlier=row.earlier))
        changed = self._ledger.move_all(moves, now_s=now_s)
        if any(report.given_up for _, report, _ in ended):
            # Before anything is submitted again.
            for row in self._ledger.rows(PartState.PLANNED):
                self._ledger.move(row.id, PartState.FAILED, now_s=now_s, **_told(_never_submitted(row.id)))
        for row, report, error in ended:
            self._looks_without.pop(row.id, None)
            self._end(row, report, error)
        return changed + len(ended) > 0

    def _aged(self, row: Row, now_s: float) -> JobReport:
        """The last report of a job, as much older as time has passed."""
        report = self._reports[row.id]
        return replace(report, since_s=report.since_s + int(now_s - self._last_full_s))

    def _miss(self, part: str) -> None:
        self._looks_without[part] = self._looks_without.get(part, 0) + 1

    def _ends(self, part: str, report: JobReport) -> PartError | None:
        return judge(
            self._run.plan,
            self._run.plan.by_id[part],
            report,
            patience_s=self._profile.hold_patience,
            idle_patience_s=self._profile.idle_patience,
            lost_looks=self._looks_without.get(part, 0),
        )

    def _end(self, row: Row, report: JobReport, error: PartError | StructureError) -> None:
        """A job did not deliver: its part gets another one, or has failed."""
        facts = {**self._intake.what_ran(row.id), **facts_of(report, earlier=row.earlier)}
        more = again(self._run.plan, row, error, avoided=report.host in self._avoided)
        self._intake.keep_logs(row, is_last=more is None)
        self._reports.pop(row.id, None)
        if more is None:
            self._ledger.move(row.id, PartState.FAILED, now_s=self._clock.now(), **facts, **_told(error))
            return
        if report.state not in {JobState.REMOVED, JobState.LOST}:
            self._backend.remove([row.id], reason=FETCHED)
        self._ledger.move(row.id, row.state, now_s=self._clock.now(), **facts)
        self._ledger.begin_again({row.id: error.what}, now_s=self._clock.now(), asked_b=more.asked_b)
        self._say(f"part {row.id} gets job number {row.jobs + 1}: {error.what}")

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _fetch(self) -> bool:
        ended = {row.id: row for row in self._ledger.rows(PartState.ENDED)}
        if not ended:
            return False
        # Of one that could not be fetched, somebody else may have taken the job away since.
        unknown = [part for part in ended if part not in self._reports or part in self._intake.unfetched]
        if unknown:
            self._reports.update(self._backend.poll(unknown, everything=True) or {})
        for row in list(ended.values()):
            report = self._report(row)
            if report.state is JobState.LOST and row.id in unknown:
                self._miss(row.id)
            error = self._ends(row.id, report) if report.state in {JobState.REMOVED, JobState.LOST} else None
            if error is not None and not has_status(self._run.incoming, row.id):
                self._end(ended.pop(row.id), report, error)  # somebody removed it, and did not want another one
        parts = list(ended)
        for start in range(0, len(parts), FETCH_BATCH):
            batch = [ended[part] for part in parts[start : start + FETCH_BATCH]]
            for row, taken in self._intake.fetch(batch, self._report, now_s=self._clock.now()):
                self._account(row, taken)
        return True

    def _report(self, row: Row) -> JobReport:
        return self._reports.get(row.id) or JobReport(part=row.id, job="", state=JobState.ENDED)

    def _account(self, row: Row, taken: Taken) -> None:
        delivered, host = taken.error is None, self._report(row).host
        if not isinstance(taken.error, TransferDamagedError):  # which is a fault of the way
            self._trials.append(Trial(host=host, part=row.id, delivered=delivered, seconds=taken.seconds))
        if taken.error is not None:
            self._end(row, self._report(row), taken.error)

    def _make_room(self) -> None:
        """Give up the jobs whose outputs are here, where others wait for their place."""
        if not self._feeder.in_waves or not self._ledger.counts().get(PartState.PLANNED):
            return
        rows = self._ledger.rows(PartState.VERIFIED, PartState.FAILED)
        # By job and not by part: one that failed may get another, which holds a place again.
        done = {(row.id, row.jobs) for row in rows} - self._freed
        if done:
            self._backend.remove(sorted(part for part, _ in done), reason=FETCHED)
            self._freed |= done

    def _avoid_black_holes(self) -> None:
        """Keep further jobs away from machines on which parts fail fast, and give those parts another job."""
        found = black_holes(self._trials) - self._avoided
        if not found:
            return
        self._backend.avoid(self._avoided | found)
        self._avoided |= found
        for host in sorted(found):
            parts = sorted({trial.part for trial in self._trials if trial.host == host})
            self._say(f"warning: {len(parts)} parts failed fast on {host}, and none delivered there; avoiding it")
        hit = {trial.part for trial in self._trials if trial.host in found}
        for row in self._ledger.rows(PartState.FAILED):
            if row.id in hit and row.jobs <= self._run.plan.resubmissions and row.cause not in _STRUCTURE:
                self._backend.remove([row.id], reason=FETCHED)
                self._ledger.begin_again({row.id: f"{row.host} is avoided"}, now_s=self._clock.now())

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _finish(self) -> Outcome:
        rows = self._ledger.rows()
        failed = tuple(row for row in rows if row.state is PartState.FAILED)
        here = {row.id for row in rows if row.state in {PartState.FAILED, PartState.VERIFIED}}
        if strange := sorted(set(self._run.plan.by_id) ^ here):
            raise StateError(
                f"ledger: what became of part {strange[0]} is not known",
                evidence=f"{len(here)} parts ended in the ledger, {len(self._run.plan.parts)} in the plan",
                fix=f"remove the folder {self._run.folder} and run again",
            )
        if len(failed) > self._run.plan.allowed_missing or any(row.cause in _STRUCTURE for row in failed):
            return Outcome(results=(), failed=failed, error=failure(self._run.plan, failed))
        lost = {row.id for row in failed}
        if any(lost.issuperset(merge.parts) for merge in self._run.plan.merges):
            # A tolerance may thin a result out; a result without any part is none.
            return Outcome(results=(), failed=failed, error=failure(self._run.plan, failed))
        for part in lost:
            self._merger.fail(part)
        try:
            results = tuple(self._merger.finish(progress=lambda name: self._say(f"merging {name}")))
        except HandedOver:
            self._leave()  # whoever comes next finds the jobs, if the outputs are lost on the way
            raise
        if failed:
            return Outcome(results=results, failed=failed, error=partial(self._run.plan, failed))
        if any(result.missing for result in results):
            raise StateError("ledger: parts are missing from a result though none failed", fix="please report this")
        return Outcome(results=results, failed=(), error=None)

    def _show_counts(self, *, force: bool) -> None:
        counts = self._ledger.counts()
        line = ", ".join(f"{counts[state]} {state.value}" for state in PartState if state in counts)
        now_s = self._clock.now()
        if line != self._last_line and (force or now_s - self._last_line_s >= line_every_s(now_s - self._began_s)):
            self._say(line)
            self._last_line, self._last_line_s = line, now_s


def line_every_s(lasted_s: float) -> float:
    """How long at least between two lines of progress: the longer a run has lasted, the less a minute matters.

    Args:
        lasted_s: Since collect began, in seconds.
    """
    return min(max(_LINE_EVERY_S[0], lasted_s / 4), _LINE_EVERY_S[1])


def _never_submitted(part: str) -> PartRemovedError:
    return PartRemovedError(f"part {part}: the run was cancelled before it had a job", fix="run again")


def _told(error: SeptumError) -> dict[str, object]:
    # A name in a file may have bytes that are no text, and those fit into no table.
    told = {"message": error.what, "evidence": error.evidence, "fix": error.fix}
    return {"cause": error.code, **{name: plain(text) for name, text in told.items()}}
