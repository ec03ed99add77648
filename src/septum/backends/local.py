"""The backend `local`: the jobs are processes on this machine, a few at a time. For laptops, small analyses, demos.

The processes live as long as this one: `submit` only notes the parts, and they run while `poll` is called.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from septum.backends.base import BY_ITS_RUN, REMOVED_BY_US, JobReport, Run
from septum.plan import Part
from septum.states import JobState
from septum.worker.sandbox import WRAPPER, log_names, returned_names, sent_names

_OVER = frozenset({JobState.ENDED, JobState.REMOVED})
_GRACE_S = 5.0
"""How long a process has between SIGTERM and SIGKILL."""


class LocalBackend:
    """Runs parts as subprocesses.

    Args:
        run: The run.
        slots: How many parts run at the same time; 0 for one per core.
        environ: The environment of the parts; holds no secrets any more.
        time_s: The longest time one try may run, where the plan says nothing; None for no limit.
    """

    def __init__(self, run: Run, *, slots: int, environ: Mapping[str, str], time_s: int | None = None) -> None:
        self._run = run
        self._environ = {**environ, "SEPTUM_BACKEND": "local"}
        self._time_s = run.plan.request.time_s or time_s
        self._pool = ThreadPoolExecutor(slots or cores(), thread_name_prefix="part")
        self._lock = threading.Lock()
        # Parts of a septum that was killed may still run: they must not meet ours.
        self._own = secrets.token_hex(4)
        self._reports: dict[str, JobReport] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._changed = True
        self._stopping: set[str] = set()

    def submit(
        self,
        parts: Sequence[Part],
        *,
        lease_until_s: float,  # noqa: ARG002 - processes end with us
        number: int = 1,
        memory_b: int | None = None,  # noqa: ARG002 - nothing is reserved here
    ) -> Mapping[str, str]:
        """Note the parts; they start as soon as there is a free slot."""
        with self._lock:
            new = [part for part in parts if part.id not in self._reports or self._reports[part.id].state in _OVER]
            for part in new:
                self._stopping.discard(part.id)
                self._reports[part.id] = JobReport(
                    part=part.id, job=f"local.{part.id}", state=JobState.IDLE, number=number
                )
            self._changed = True
        for part in new:
            self._pool.submit(self._work, part)
        return {part.id: f"local.{part.id}" for part in parts}

    def poll(self, awaited: Collection[str], *, everything: bool) -> Mapping[str, JobReport] | None:
        """Report on the processes."""
        with self._lock:
            if not (self._changed or everything):
                return None
            self._changed = False
            lost = JobReport(part="", job="", state=JobState.LOST)
            return {part: self._reports.get(part, replace(lost, part=part)) for part in awaited}

    def count(self) -> int:
        """How many parts wait or run."""
        with self._lock:
            return sum(report.state not in _OVER for report in self._reports.values())

    def fetch(self, parts: Sequence[str], into: Path) -> None:
        """Move what the parts left into a folder."""
        into.mkdir(parents=True, exist_ok=True)
        for part in parts:
            for name in (*returned_names(self._run.plan, part), *log_names(part)):
                source = self._sandbox(part) / name
                if source.exists():
                    source.replace(into / name)
            shutil.rmtree(self._sandbox(part), ignore_errors=True)

    def extend(self, lease_until_s: float) -> None:
        """Processes of this machine have no lease."""

    def judge(self, causes: Mapping[str, str]) -> None:
        """Processes that have ended leave nothing to write into; the ledger knows."""

    def avoid(self, hosts: Collection[str]) -> None:
        """There is one host only."""

    def refresh(self) -> Sequence[str]:
        """They read the proxy from its file."""
        return ()

    def remove(self, parts: Sequence[str] | None, *, reason: str = BY_ITS_RUN, ended: bool = True) -> int:  # noqa: ARG002 - what has ended holds no place here
        """Stop the processes of parts, and start no more of them."""
        with self._lock:
            chosen = [part for part in (self._reports if parts is None else parts) if part in self._reports]
            going = [part for part in chosen if self._reports[part].state in {JobState.IDLE, JobState.RUNNING}]
            self._stopping.update(going)
            processes = [self._processes[part] for part in going if part in self._processes]
        for process in processes:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal_group(process, signal.SIGKILL)
        for part in going:
            self._report(part, state=JobState.REMOVED, reason=f"{REMOVED_BY_US} {reason}")
        return len(going)

    def close(self) -> None:
        """Stop everything that still runs."""
        self.remove(None)
        self._pool.shutdown(wait=True, cancel_futures=True)

    # ── one part, in a thread of its own ────────────────────────────────────────────────────────────────────────

    def _sandbox(self, part: str) -> Path:
        return self._run.folder / "local" / self._own / part

    def _report(self, part: str, **changes: object) -> None:
        with self._lock:
            before = self._reports[part]
            if before.state in _OVER:
                return
            self._reports[part] = replace(before, **changes)  # type: ignore[arg-type]
            self._changed = True

    def _work(self, part: Part) -> None:
        try:
            for attempt in range(1, self._run.plan.retries + 2):
                if part.id in self._stopping:
                    return
                self._report(part.id, state=JobState.RUNNING, attempts=attempt, host=os.uname().nodename)
                code, timed_out = self._try(part)
                if code == 0 or timed_out:
                    break
            killed = -code if code < 0 else None
            self._report(
                part.id, state=JobState.ENDED, exit_code=None if killed else code, signal=killed, timed_out=timed_out
            )
        except Exception as error:  # noqa: BLE001 - nobody looks into a future: the part would run for ever
            self._report(part.id, state=JobState.REMOVED, reason=f"cannot be started: {error}")

    def _try(self, part: Part) -> tuple[int, bool]:
        """Run the wrapper once in a fresh sandbox; returns its exit code (-n for signal n) and whether time ran out."""
        sandbox = self._sandbox(part.id)
        shutil.rmtree(sandbox, ignore_errors=True)
        sandbox.mkdir(parents=True)
        for name in (WRAPPER, *sent_names(self._run.plan, part)):
            _place(self._run.sent / name, sandbox / name)
        out, err = log_names(part.id)
        with (sandbox / out).open("wb") as stdout, (sandbox / err).open("wb") as stderr:
            process = subprocess.Popen(
                ["/bin/sh", WRAPPER, part.id],
                cwd=sandbox,
                env={**self._environ, "TMPDIR": str(sandbox)},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            with self._lock:
                self._processes[part.id] = process
                stop = part.id in self._stopping
            if stop:
                _signal_group(process, signal.SIGTERM)
            timed_out = False
            try:
                process.wait(self._time_s)
            except subprocess.TimeoutExpired:
                timed_out = True
                _signal_group(process, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_S)
            _signal_group(process, signal.SIGKILL)  # what the command left in the background ends with it
            code = process.wait()
            with self._lock:
                del self._processes[part.id]
        return code, timed_out


def _place(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy(source, target)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def cores() -> int:
    """How many cores of the machine this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
