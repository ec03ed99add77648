"""Takes in what came back from a part: looks at it, stores it among the verified outputs, keeps its logs."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.backends.base import Backend, JobReport, Run
from septum.credentials.mask import mask_file
from septum.errors import (
    ClusterFailedError,
    DiskFullError,
    OutputDamagedError,
    PartError,
    SeptumError,
    StructureError,
    TransferDamagedError,
)
from septum.ledger import Ledger, Row, StoredOutput
from septum.merge.results import Merger
from septum.units import count, show_size
from septum.verify import Verified, has_status, measure, other_image, verify
from septum.worker.sandbox import Status, kept_name, log_names, output_name, parse_status, sandbox_name, status_name

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_MORE_ROOM = "make room, or take a runner with a larger disk, and retry this CI job: it fetches what is missing"
_SPARE_B = 64 << 20
"""Room on the disk that ledger, report and logs need beside the outputs."""

_IMAGE_FACT = "image"
"""The ledger's fact with the path of the image that the parts were in."""

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
    """Fetches and takes in the outputs of one run.

    Args:
        run: The run.
        backend: Where its jobs are.
        ledger: Its ledger.
        merger: Reads and merges what is good.
        say: Takes one line for people.
        patience_s: How long an access point may give nothing before its outputs are taken for lost.
    """

    def __init__(
        self,
        *,
        run: Run,
        backend: Backend,
        ledger: Ledger,
        merger: Merger,
        say: Callable[[str], None],
        patience_s: float,
    ) -> None:
        self._patience_s = patience_s
        self._run, self._backend, self._ledger, self._merger, self._say = run, backend, ledger, merger, say
        self._tries: dict[str, int] = {}
        self._unfetched: dict[str, tuple[int, int, float]] = {}
        self._fetched = 0

    # ── what an earlier collect left ────────────────────────────────────────────────────────────────────────────

    def take_up(self, open_rows: Sequence[Row]) -> None:
        """Read the outputs that an earlier collect has verified, and clear what it left half done.

        Args:
            open_rows: The parts that may still deliver.

        Raises:
            OutputDamagedError: A verified file is not what it was.
        """
        self._give_back(open_rows)
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

    def _give_back(self, open_rows: Sequence[Row]) -> None:
        """Move outputs that the ledger does not know of back to where they are looked at: septum was killed between."""
        for row in open_rows:
            for number in range(len(self._run.plan.outputs)):
                name = output_name(row.id, number)
                if (self._run.outputs / name).is_file():
                    self._run.incoming.mkdir(parents=True, exist_ok=True)
                    (self._run.outputs / name).replace(self._run.incoming / name)

    @property
    def unfetched(self) -> Collection[str]:
        """The parts whose files could not be fetched the last time."""
        return self._unfetched.keys()

    # ── fetching ────────────────────────────────────────────────────────────────────────────────────────────────

    def fetch(
        self, rows: Sequence[Row], report_of: Callable[[Row], JobReport], *, now_s: float
    ) -> Iterator[tuple[Row, Taken]]:
        """Fetch the outputs of ended jobs and take them in.

        Args:
            rows: The parts, as many as go in one call.
            report_of: What the backend says of the job of a part.
            now_s: Seconds since the epoch.

        Yields:
            The parts of which it is known what became of them; the others are to be fetched once more.

        Raises:
            DiskFullError: There is no room for them; what is here stays.
            ClusterUnreachableError: No answer.
        """
        self._check_disk(len(rows))
        here: list[Row] = []
        for row, taken in self._bring(rows, now_s):
            if taken is None:
                here.append(row)
            else:
                yield row, taken
        self._check_disk(0)
        for row in here:
            taken = self.take_in(row, report_of(row), now_s=now_s)
            if taken is not None:
                yield row, taken

    def _bring(self, rows: Sequence[Row], now_s: float) -> Iterator[tuple[Row, Taken | None]]:
        """Bring files here; parts with None are here, others are lost. One that fails must not keep others away."""
        try:
            self._backend.fetch([row.id for row in rows], self._run.incoming)
        except ClusterFailedError as error:
            _refuse_full_disk(error, self._run.folder)
            before = self._fetched
            for row in rows:
                yield from self._bring_one(row, now_s, before)
        else:
            self._fetched += len(rows)
            for row in rows:
                self._unfetched.pop(row.id, None)
            yield from ((row, None) for row in rows)

    def _bring_one(self, row: Row, now_s: float, before: int) -> Iterator[tuple[Row, Taken | None]]:
        """The same of one part; `before` is how many had come when its batch failed."""
        try:
            self._backend.fetch([row.id], self._run.incoming)
        except ClusterFailedError as error:
            _refuse_full_disk(error, self._run.folder)
            tries, fetched, since_s = self._unfetched.get(row.id, (0, before, now_s))
            self._unfetched[row.id] = (tries + 1, fetched, since_s)
            # While it gives nothing to anybody, the access point is at fault, and the outputs are safe on it.
            alone = self._fetched > fetched or now_s - since_s >= self._patience_s
            if tries + 1 >= FETCH_TRIES and alone:
                del self._unfetched[row.id]
                lost = TransferDamagedError(
                    f"{self._run.plan.by_id[row.id].describe()}: its outputs cannot be fetched",
                    evidence=error.evidence,
                    fix="tell the site: the access point has lost them",
                )
                yield row, Taken(error=lost, seconds=None)
        else:
            self._fetched += 1
            self._unfetched.pop(row.id, None)
            yield row, None

    def _check_disk(self, parts: int) -> None:
        """Look whether the disk takes the outputs of so many more parts, as large as those that are here."""
        here, size_b = self._ledger.stored()
        mean_b = size_b / here if here else 0.0
        free_b = shutil.disk_usage(self._run.folder).free
        if free_b < parts * mean_b + min(_SPARE_B, 2 * mean_b):
            raise DiskFullError(
                f"disk: {show_size(free_b)} are free for the outputs of {count(parts, 'part')}, about "
                f"{show_size(mean_b)} each",
                evidence=f"{self._run.folder}; {here} of {len(self._run.plan.parts)} parts are here and stay",
                fix=_MORE_ROOM,
            )

    # ── taking in ───────────────────────────────────────────────────────────────────────────────────────────────

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
            self._compare_image(part, verified.status)
        except (PartError, StructureError) as error:
            if isinstance(error, OutputDamagedError) and tries < FETCH_TRIES:
                return None
            self._tries.pop(part)
            return Taken(error=error, seconds=seconds)
        self._accept(row, verified, report, now_s)
        return Taken(error=None, seconds=seconds)

    def _compare_image(self, part: str, status: Status) -> None:
        """Look whether all parts were in the same image: on CVMFS, a tag that is pushed again leads elsewhere.

        Raises:
            PartOtherImageError: An earlier one was in another.
        """
        if not status.image_path.startswith("/cvmfs/"):
            return
        first = self._ledger.facts().get(_IMAGE_FACT)
        if first is None:
            self._ledger.note(_IMAGE_FACT, status.image_path)
        elif first != status.image_path:
            raise other_image(
                self._run.plan.by_id[part], f"its image: {status.image_path}\nthat of other parts: {first}"
            )

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
        logs = self._run.logs
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


def _refuse_full_disk(error: SeptumError, folder: Path) -> None:
    """Tell a disk that is full here from a transfer that failed there."""
    if "writing to file" in error.evidence and any(f"(errno {number})" in error.evidence for number in _NO_ROOM):
        raise DiskFullError(
            f"disk: no room for the outputs in {folder}", evidence=error.evidence, fix=_MORE_ROOM
        ) from error


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
