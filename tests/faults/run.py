"""One run of the analysis: starts septum, does things to its jobs, and sees what must be true of it in the end."""

from __future__ import annotations

import contextlib
import hashlib
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from septum.errors import every_error
from septum.facility import Facility, Pool
from septum.manifest import NAME, Manifest, from_json
from tests.faults.analysis import CONTROL, IDS, PARTS, copy_of, plan_of
from tests.faults.faults import Strike, environment
from tests.faults.rows import Field, Row
from tests.faults.wire import Wire
from tests.faults.wire import start as start_on_wires
from tests.workshop import SEPTUM, Repository, pool_profile

REMOVED = "3"
COMPLETED = "4"
_KNOWN = {0, *(error.exit_code for error in every_error())}


@dataclass(slots=True, kw_only=True)
class Process:
    """One septum of a row."""

    verb: str
    popen: subprocess.Popen[bytes]
    out: Path

    @property
    def said(self) -> str:
        """What it printed so far."""
        return self.out.read_text(encoding="utf-8", errors="replace")

    def end(self, timeout_s: float = 120) -> int:
        """Wait for its end; returns its exit code, which is negative for a signal."""
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.verb} did not end:\n{self.said}") from None

    def until(self, words: str, timeout_s: float = 60, *, times: int = 1) -> None:
        """Wait until it has printed something, so many times.

        Raises:
            AssertionError: It ended before, or took too long.
        """
        deadline = time.monotonic() + timeout_s
        while self.said.count(words) < times:
            assert self.popen.poll() is None, f"{self.verb} ended:\n{self.said}"
            assert time.monotonic() < deadline, f"{self.verb} never said {words!r}:\n{self.said}"
            time.sleep(0.1)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)


@dataclass(slots=True, kw_only=True)
class Run:
    """A row's own run of the analysis."""

    row: Row
    where: Field
    pool: Pool
    repository: Repository
    tag: str
    random: random.Random
    processes: list[Process] = field(default_factory=list)
    clock: Path | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def facility(self) -> Facility:
        """The facility."""
        return self.where.facility

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.repository.folder / ".septum"

    # ── septum ──────────────────────────────────────────────────────────────────────────────────────────────────

    def start(
        self,
        *arguments: str,
        strikes: Sequence[Strike] = (),
        ways: Sequence[Wire] = (),
        before: Sequence[str] = (),
        repository: Repository | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Process:
        """Start septum.

        Args:
            arguments: Its arguments.
            strikes: What happens inside of it.
            ways: What it reaches of the network; everything if there are none.
            before: Words that stand before it, to start it in another world.
            repository: Another one than the row's own.
            environ: More variables.
        """
        home = repository or self.repository
        folder = home.folder.parent
        out = folder / f"{len(self.processes):02d}-{arguments[0]}.out"
        marks = folder / f"struck in {home.folder.name}"
        marks.mkdir(exist_ok=True)
        env = home.environment(**environment(strikes, marks, clock=self.clock), **(environ or {}))
        argv = [*before, str(SEPTUM), *arguments]
        if ways:
            popen = start_on_wires(argv, ways, cwd=home.folder, env=env, out=out)
        else:
            with out.open("wb") as stream:
                popen = subprocess.Popen(
                    argv, cwd=home.folder, env=env, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
                )
        self.processes.append(Process(verb=arguments[0], popen=popen, out=out))
        return self.processes[-1]

    def septum(self, *arguments: str, code: int | None = None, timeout_s: float = 120, **more: object) -> Process:
        """Run septum to its end.

        Args:
            arguments: Its arguments.
            code: The exit code that it must have; any if None.
            timeout_s: How long it may take.
            more: As for `start`.
        """
        process = self.start(*arguments, **more)  # type: ignore[arg-type]
        found = process.end(timeout_s)
        assert code is None or found == code, f"{arguments[0]} ended with {found}, not with {code}:\n{process.said}"
        return process

    def submit(self) -> None:
        """Submit, undisturbed."""
        self.septum("submit", code=0)

    def states(self) -> dict[str, int]:
        """How many parts are in each state by the ledger."""
        try:
            with closing(sqlite3.connect(f"file:{self.state / 'run.sqlite'}?mode=ro", uri=True, timeout=5)) as ledger:
                return dict(ledger.execute("SELECT state, count(*) FROM part GROUP BY state"))
        except sqlite3.OperationalError:  # none yet, or just being written
            return {}

    def until_verified(self, count: int) -> None:
        """Wait until collect has so many outputs."""
        self.until(lambda: self.states().get("verified", 0) >= count)

    # ── the jobs ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def control(self) -> Path:
        """Where the parts look whether they shall wait."""
        folder = self.pool.folder / "tmp" / CONTROL / self.tag.split("/")[1]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def hold_back(self, *parts: str) -> None:
        """Let parts wait before they end; all without a name."""
        for part in parts or ("all",):
            (self.control / f"wait-{part}").touch()

    def let_go(self) -> None:
        """Let all parts end."""
        for path in self.control.glob("wait-*"):
            path.unlink()

    def ours(self, constraint: str = "true") -> str:
        """A constraint on jobs of this run."""
        return f'SeptumRun == "{self.tag}" && ({constraint})'

    def queue(self, constraint: str = "true", *attributes: str) -> list[list[str]]:
        """The run's jobs in the queue, as the pool's own tool shows them: part and status, or what was asked for."""
        shown = attributes or ("SeptumPart", "JobStatus")
        listed = self.pool.run("condor_q", "-all", "-constraint", self.ours(constraint), "-af", *shown)
        return sorted(line.split() for line in listed.stdout.splitlines())

    def until(self, condition: Callable[[], object], timeout_s: float = 60) -> None:
        """Wait for something.

        Raises:
            AssertionError: It took too long.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"waited too long; the queue: {self.queue()}"
            time.sleep(0.7)

    def left(self) -> list[list[str]]:
        """What stays of the run in the queue: part and status. A removed job is there until its machine has let it go.

        Raises:
            AssertionError: It is never let go.
        """
        self.until_queue(0, f"JobStatus == {REMOVED}")
        return self.queue()

    def until_queue(self, count: int, constraint: str) -> None:
        """Wait until so many of the run's jobs are like this."""
        self.until(lambda: len(self.queue(constraint)) == count)

    def until_ended(self, count: int = PARTS) -> None:
        """Wait until so many jobs have ended."""
        self.until_queue(count, f"JobStatus == {COMPLETED}")

    def admin(self, tool: str, constraint: str, *words: str) -> None:
        """Do something to jobs of this run with one of HTCondor's own tools."""
        self.pool.run(tool, "-constraint", self.ours(constraint), *words)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """What must be true of every row."""
        last = self.processes[-1]
        assert last.popen.returncode in self.row.codes, f"ended with {last.popen.returncode}:\n{last.said}"
        assert [words for words in self.row.says if words not in last.said] == [], last.said
        for process in self.processes:
            # A kill is negative; what ends by itself has an exit code of the table, and tells no story of Python's.
            assert process.popen.returncode < 0 or process.popen.returncode in _KNOWN, process.said
            assert "Traceback" not in process.said, process.said
        left = self.left()
        if last.popen.returncode == 0:
            self._check_whole()
            assert left == []
        else:
            assert self.repository.whole_files() == []
            assert not self.manifest_path.is_file() or not self.manifest.complete
            assert [job for job in left if job[1] != COMPLETED] == []

    def _check_whole(self) -> None:
        """The result is that of the undisturbed run, and every part is in it once."""
        assert sha256(self.repository.result / "all.root") == self.where.sha256
        assert self.repository.whole_files() == ["all.root"]
        assert self.manifest.complete is True
        assert [(part.id, part.state) for part in self.manifest.parts] == [(part, "merged") for part in IDS]
        with closing(sqlite3.connect(self.state / "run.sqlite")) as ledger:
            merged = ledger.execute("SELECT part, output, result FROM merged ORDER BY part").fetchall()
        assert merged == [(part, 0, merged[0][2]) for part in IDS]

    @property
    def manifest_path(self) -> Path:
        """The manifest's file."""
        return self.repository.result / NAME

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return from_json(self.manifest_path.read_text(encoding="utf-8"), name=NAME)

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        for process in self.processes:
            with contextlib.suppress(OSError):
                process.kill()
            process.popen.wait()
        self.let_go()
        self.pool.run("condor_rm", "-constraint", self.ours(), check=False)


def sha256(path: Path) -> str:
    """The checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def new_run(row: Row, where: Field, pool: Pool, *, name: str = "") -> Run:
    """A run of its own for a row.

    Args:
        row: The row.
        where: The field.
        pool: The pool.
        name: Of a second run of the same row.
    """
    label = f"{row.name}{name}"
    folder = where.folder / label
    folder.mkdir()
    repository = copy_of(where.analysis, folder / "analysis", SEPTUM_RUN=label)
    (repository.folder / "clusters").mkdir()
    profile = pool_profile(pool, where.facility, **{"poll-ceiling": "1 s", **dict(row.profile)})
    (repository.folder / "clusters" / "pool.yaml").write_text(profile)
    seed = int.from_bytes(hashlib.sha256(label.encode()).digest()[:4], "big")
    tag = f"laptop/{label}/-/-/{plan_of(repository).hash[:16]}"
    return Run(row=row, where=where, pool=pool, repository=repository, tag=tag, random=random.Random(seed))
