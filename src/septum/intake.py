"""Takes in what came back from a part: looks at it, stores it among the verified outputs, keeps its logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from septum.backends.base import JobReport, Run
from septum.credentials.mask import mask_file
from septum.errors import OutputDamagedError, PartError, StructureError
from septum.ledger import Ledger, Row, StoredOutput
from septum.merge.results import Merger
from septum.units import count
from septum.verify import Verified, has_status, verify
from septum.worker.sandbox import Status, kept_name, log_names, output_name, parse_status, sandbox_name, status_name

FETCH_TRIES = 3
"""How often the files of a job are fetched before they are taken for what it left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a part's files: its outputs are stored, or `error` says why they are no good.

    `seconds` is the run time on the worker, None if it is not known.
    """

    error: PartError | StructureError | None
    seconds: float | None


class Intake:
    """Takes in the parts of one run.

    Args:
        run: The run.
        ledger: Its ledger.
        merger: Reads and merges what is good.
        say: Takes one line for people.
    """

    def __init__(self, *, run: Run, ledger: Ledger, merger: Merger, say: Callable[[str], None]) -> None:
        self._run, self._ledger, self._merger, self._say = run, ledger, merger, say
        self._tries: dict[str, int] = {}

    def take_in(self, row: Row, report: JobReport, *, now_s: float) -> Taken | None:
        """Verify what came back from one part and put it where only verified files are.

        Args:
            row: The part.
            report: What the backend says of its job.
            now_s: Seconds since the epoch.

        Returns:
            What became of it; None when its files should be fetched once more.
        """
        part = row.id
        tries = self._tries[part] = self._tries.get(part, 0) + 1
        if not has_status(self._run.incoming, part) and tries < FETCH_TRIES and report.signal is None:
            return None
        # Before anybody quotes them: logs become artifacts.
        if masked := sum(mask_file(self._run.incoming / name) for name in log_names(part)):
            self._say(f"warning: part {part} printed {count(masked, 'credential')}; they are masked in its logs")
        status = self._status(part)
        seconds = None if status is None else float(status.ended_s - status.started_s)
        try:
            verified = verify(self._run.plan, self._run.plan.by_id[part], self._run.incoming, report, self._merger.read)
        except (PartError, StructureError) as error:
            if isinstance(error, OutputDamagedError) and tries < FETCH_TRIES:
                return None
            self._tries.pop(part)
            return Taken(error=error, seconds=seconds)
        self._accept(row, verified, report, now_s)
        return Taken(error=None, seconds=seconds)

    def _status(self, part: str) -> Status | None:
        try:
            text = (self._run.incoming / status_name(part)).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        return parse_status(text, part)

    def _accept(self, row: Row, verified: Verified, report: JobReport, now_s: float) -> None:
        part = row.id
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
        facts = {**facts_of(report, earlier=row.earlier), **ran(verified.status)}
        self._ledger.store(part, stored, now_s=now_s, **facts)
        # After the ledger knows: until then, the status must stay where a restarted septum looks for it.
        self.keep_logs(row)
        self._merger.add(part, stored, verified.readings)

    def what_ran(self, part: str) -> Mapping[str, object]:
        """What the worker recorded of a part that did not deliver; nothing if it left no status."""
        status = self._status(part)
        return {} if status is None else ran(status)

    def keep_logs(self, row: Row, *, is_last: bool = True) -> None:
        """Keep what a part wrote and its status; drop outputs that are not good.

        Args:
            row: The part.
            is_last: Whether its job is the last one; of several, each keeps its logs.
        """
        part = row.id
        logs = self._run.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        sandbox = self._run.incoming / sandbox_name(part)
        if sandbox.is_file() and not sandbox.stat().st_size:
            sandbox.unlink()
        for name in (status_name(part), *log_names(part), sandbox.name):
            source = self._run.incoming / name
            if is_last and row.jobs > 1 and (logs / name).is_file():
                # Of a job that an earlier collect took for the last one.
                (logs / name).replace(logs / kept_name(name, row.jobs - 1))
            if source.is_file():
                source.replace(logs / (name if is_last else kept_name(name, row.jobs)))
        for number in range(len(self._run.plan.outputs)):
            (self._run.incoming / output_name(part, number)).unlink(missing_ok=True)


def ran(status: Status) -> dict[str, object]:
    """What a status says of the command, as columns of the ledger."""
    return {
        "exit_code": status.exit_code,
        "host": status.host,
        "started_s": status.started_s,
        "ended_s": status.ended_s,
        "cpu_s": status.cpu_s,
    }


def facts_of(report: JobReport, *, earlier: int = 0) -> dict[str, object]:
    """What a report says of a job, as columns of the ledger.

    Args:
        report: The report.
        earlier: Attempts of the part's earlier jobs.
    """
    facts: dict[str, object] = {"attempts": earlier + report.attempts}
    if report.job:
        facts["job"] = report.job
    if report.host:
        facts["host"] = report.host
    if report.memory_b is not None:
        facts["memory_b"] = report.memory_b
    if report.exit_code is not None:
        facts["exit_code"] = report.exit_code
    return facts
