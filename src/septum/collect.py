"""Watches a run to its end: fetches and verifies each part's outputs as they appear, merges, and gives the results.

The loop asks the backend once a round, whatever the number of parts, and writes everything it learns into the ledger
before it acts on it; a restarted one goes on where the ledger stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from septum.backends.base import Backend, JobReport, Run
from septum.credentials.mask import mask_file
from septum.errors import (
    AuthenticationError,
    ClusterUnreachableError,
    ContactLostError,
    NotAdditiveError,
    OutputDamagedError,
    PartError,
    PartialResultError,
    SeptumError,
    StateError,
    StructureError,
    error_of,
)
from septum.ledger import Ledger, Row, StoredOutput
from septum.manifest import plain
from septum.merge.results import Merger, Result
from septum.policy import Pace, judge, part_state
from septum.states import JobState, PartState
from septum.units import count, show_duration
from septum.verify import Verified, has_status, measure, verify
from septum.worker.sandbox import log_names, output_name, status_name

if TYPE_CHECKING:
    from septum.clusters.profile import Profile

_FETCH_TRIES = 3
_STRUCTURE = {StructureError.code, NotAdditiveError.code}
"""Causes that no tolerance covers: the other parts are not to be trusted either."""
_LINE_EVERY_S = 60.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended.

    Attributes:
        results: The merged files under temporary names; empty when there is no result.
        failed: The parts that did not deliver.
        error: What the run ends with; None when every part is in the results.
    """

    results: tuple[Result, ...]
    failed: tuple[Row, ...]
    error: SeptumError | None


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
    ) -> None:
        self._run, self._backend, self._ledger, self._profile = run, backend, ledger, profile
        self._merger, self._keep_fresh, self._say, self._clock = merger, keep_fresh, say, clock
        self._reports: dict[str, JobReport] = {}
        self._looks_without: dict[str, int] = {}
        self._fetch_tries: dict[str, int] = {}
        self._lease_until_s = 0.0
        self._silent_since_s: float | None = None
        self._last_line_s = 0.0
        self._last_line = ""
        self._last_full_s = 0.0

    def collect(self) -> Outcome:
        """Watch until every part is in a final state or verified, then merge.

        Raises:
            SeptumError: Contact was lost for too long, or the merge did not hold.
        """
        self._take_up()
        pace = Pace.start(self._profile.poll_floor, self._profile.poll_ceiling)
        while self._open_parts():
            began = self._clock.now()
            changed = self._round(began)
            self._show_counts(force=False)
            if not self._open_parts():
                break
            pace = pace.after(changed=changed, answer_s=self._clock.now() - began)
            self._clock.sleep(pace.next_s)
        self._show_counts(force=True)
        return self._finish()

    # ── a round ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _take_up(self) -> None:
        """Read the outputs that an earlier collect has verified, and clear what it left half done."""
        for row in self._ledger.rows(PartState.FAILED):
            self._merger.fail(row.id)
        self._give_back()
        by_part: dict[str, list[StoredOutput]] = {}
        for item in self._ledger.outputs().values():
            by_part.setdefault(item.part, []).append(item)
        for part, items in by_part.items():
            for item in items:
                if measure(self._run.outputs / item.path) != (item.size_b, item.sha256):
                    raise OutputDamagedError(
                        f"{self._run.plan.by_id[part].describe()}: {item.path} is not the file any more that had been "
                        "verified",
                        fix=f"remove the folder {self._run.folder} and run again",
                    )
        held = self._merger.resume([item for items in by_part.values() for item in items])
        for part, items in by_part.items():
            readings = {}
            for item in items:
                if (part, item.output) in held:
                    continue
                reading = self._merger.read(self._run.plan.by_id[part], item.output, self._run.outputs / item.path)
                if reading is not None:
                    readings[item.output] = reading
            self._merger.add(part, items, readings)

    def _give_back(self) -> None:
        """Move outputs that the ledger does not know of back to where they are looked at: septum was killed between."""
        for row in self._open_parts():
            for number in range(len(self._run.plan.outputs)):
                name = output_name(row.id, number)
                if (self._run.outputs / name).is_file():
                    self._run.incoming.mkdir(parents=True, exist_ok=True)
                    (self._run.outputs / name).replace(self._run.incoming / name)

    def _open_parts(self) -> list[Row]:
        return self._ledger.rows(PartState.IDLE, PartState.RUNNING, PartState.HELD, PartState.ENDED)

    def _round(self, now_s: float) -> bool:
        """One look at the queue and all that follows from it; returns whether anything changed."""
        for warning in self._keep_fresh(now_s):
            self._say(f"warning: {warning}")
        try:
            changed = self._look(now_s)
            self._extend_lease(now_s)
            for warning in self._backend.refresh():
                self._say(f"warning: {warning}")
            changed |= self._fetch()
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
        if now_s > self._lease_until_s - self._profile.lease / 2:
            until_s = now_s + self._profile.lease
            self._backend.extend(until_s)
            self._lease_until_s = until_s

    def _look(self, now_s: float) -> bool:
        awaited = [row for row in self._open_parts() if row.state is not PartState.ENDED]
        everything = bool(self._looks_without) or now_s - self._last_full_s >= self._profile.refresh
        found = self._backend.poll([row.id for row in awaited], everything=everything) if awaited else None
        if found is None:
            # Nothing moved, and yet a held job may have been held for too long.
            found = {row.id: self._aged(row, now_s) for row in awaited if row.state is PartState.HELD}
            if not any(self._ends(row.id, found[row.id]) for row in awaited if row.id in found):
                return False
        else:
            self._last_full_s = now_s
            self._reports.update(found)
        moves: dict[str, tuple[PartState, Mapping[str, object]]] = {}
        for row in awaited:
            report = found.get(row.id)
            if report is None:
                continue
            self._looks_without.pop(row.id, None) if report.state is not JobState.LOST else self._miss(row.id)
            error = self._ends(row.id, report)
            state = part_state(report)
            if error is not None:
                self._merger.fail(row.id)
                self._looks_without.pop(row.id, None)
                moves[row.id] = (PartState.FAILED, {**_facts(report), **_told(error)})
            elif state is not None:
                moves[row.id] = (state, _facts(report))
        changed = self._ledger.move_all(moves, now_s=now_s)
        return changed > 0

    def _aged(self, row: Row, now_s: float) -> JobReport:
        """The last report of a held job, as much older as time has passed."""
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
            lost_looks=self._looks_without.get(part, 0),
        )

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _fetch(self) -> bool:
        ended = [row.id for row in self._ledger.rows(PartState.ENDED)]
        if not ended:
            return False
        unknown = [part for part in ended if part not in self._reports]
        if unknown:
            self._reports.update(self._backend.poll(unknown, everything=True) or {})
        self._backend.fetch(ended, self._run.incoming)
        for part in ended:
            self._take_in(part)
        return True

    def _take_in(self, part: str) -> None:
        """Verify what came back from one part and put it where only verified files are."""
        tries = self._fetch_tries[part] = self._fetch_tries.get(part, 0) + 1
        report = self._reports.get(part) or JobReport(part=part, job="", state=JobState.ENDED)
        if not has_status(self._run.incoming, part) and tries < _FETCH_TRIES and report.signal is None:
            return
        now_s = self._clock.now()
        # Before anybody quotes them: logs become artifacts.
        if masked := sum(mask_file(self._run.incoming / name) for name in log_names(part)):
            self._say(f"warning: part {part} printed {count(masked, 'credential')}; they are masked in its logs")
        try:
            verified = verify(self._run.plan, self._run.plan.by_id[part], self._run.incoming, report, self._merger.read)
        except (PartError, StructureError) as error:
            if isinstance(error, OutputDamagedError) and tries < _FETCH_TRIES:
                return
            self._keep_logs(part)
            self._merger.fail(part)
            self._ledger.move(part, PartState.FAILED, now_s=now_s, **_facts(report), **_told(error))
            return
        self._accept(part, verified, report, now_s)

    def _accept(self, part: str, verified: Verified, report: JobReport, now_s: float) -> None:
        self._run.outputs.mkdir(parents=True, exist_ok=True)
        stored = []
        for number, delivered in enumerate(verified.status.outputs):
            if delivered is None:
                continue
            name = output_name(part, number)
            (self._run.incoming / name).replace(self._run.outputs / name)
            stored.append(
                StoredOutput(part=part, output=number, path=name, size_b=delivered.size_b, sha256=delivered.sha256)
            )
        facts = {
            **_facts(report),
            "exit_code": verified.status.exit_code,
            "host": verified.status.host,
            "started_s": verified.status.started_s,
            "ended_s": verified.status.ended_s,
            "cpu_s": verified.status.cpu_s,
        }
        self._ledger.store(part, stored, now_s=now_s, **facts)
        # After the ledger knows: until then, the status must stay where a restarted septum looks for it.
        self._keep_logs(part)
        self._merger.add(part, stored, verified.readings)

    def _keep_logs(self, part: str) -> None:
        """Keep what the part wrote and its status; drop outputs that are not good."""
        logs = self._run.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        for name in (status_name(part), *log_names(part)):
            source = self._run.incoming / name
            if source.is_file():
                source.replace(logs / name)
        for number in range(len(self._run.plan.outputs)):
            (self._run.incoming / output_name(part, number)).unlink(missing_ok=True)

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
            return Outcome(results=(), failed=failed, error=failure(self._run, failed))
        lost = {row.id for row in failed}
        if any(lost.issuperset(merge.parts) for merge in self._run.plan.merges):
            # A tolerance may thin a result out; a result without any part is none.
            return Outcome(results=(), failed=failed, error=failure(self._run, failed))
        results = tuple(self._merger.finish(progress=lambda name: self._say(f"merging {name}")))
        if failed:
            return Outcome(results=results, failed=failed, error=_partial(self._run, failed))
        if any(result.missing for result in results):
            raise StateError("ledger: parts are missing from a result though none failed", fix="please report this")
        return Outcome(results=results, failed=(), error=None)

    def _show_counts(self, *, force: bool) -> None:
        counts = self._ledger.counts()
        line = ", ".join(f"{counts[state]} {state.value}" for state in PartState if state in counts)
        now_s = self._clock.now()
        if line != self._last_line and (force or now_s - self._last_line_s >= _LINE_EVERY_S):
            self._say(line)
            self._last_line, self._last_line_s = line, now_s


def _facts(report: JobReport) -> dict[str, object]:
    facts: dict[str, object] = {"attempts": report.attempts}
    if report.job:
        facts["job"] = report.job
    if report.host:
        facts["host"] = report.host
    if report.memory_b is not None:
        facts["memory_b"] = report.memory_b
    if report.exit_code is not None:
        facts["exit_code"] = report.exit_code
    return facts


def _told(error: SeptumError) -> dict[str, object]:
    # A name in a file may have bytes that are no text, and those fit into no table.
    told = {"message": error.what, "evidence": error.evidence, "fix": error.fix}
    return {"cause": error.code, **{name: plain(text) for name, text in told.items()}}


def failure(run: Run, failed: Sequence[Row]) -> SeptumError:
    """The error of a run whose parts failed: of the first failed part in the order of the plan, the others counted.

    Args:
        run: The run.
        failed: At least one failed part, in the order of the plan.
    """
    first = failed[0]
    others: dict[str, list[str]] = {}
    for row in failed[1:]:
        others.setdefault(row.cause or "E300", []).append(row.id)
    summary = [f"{len(failed)} of {len(run.plan.parts)} parts failed; there is no result"]
    summary += [
        f"also {len(parts)} × {_title(code)} [{code}]: part {', '.join(parts[:5])}{', …' if len(parts) > 5 else ''}"  # noqa: PLR2004 - fits a line
        for code, parts in sorted(others.items())
    ]
    return error_of(first.cause or "E300")(
        first.message or f"part {first.id} failed",
        evidence="\n".join(line for line in (first.evidence or "", *summary) if line),
        fix=first.fix or "",
    )


def _title(code: str) -> str:
    return (error_of(code).__doc__ or "").split(",")[0].split(";")[0].strip().rstrip(".").lower()


def _partial(run: Run, failed: Sequence[Row]) -> SeptumError:
    names = ", ".join(row.id for row in failed[:8]) + (", …" if len(failed) > 8 else "")  # noqa: PLR2004 - fits a line
    return PartialResultError(
        f"{len(failed)} of {len(run.plan.parts)} parts are missing, within the tolerance of {run.plan.tolerance}",
        evidence=f"missing: {names}\nfirst: {failed[0].message}",
        fix="the results are labelled partial; run again for whole ones",
    )
