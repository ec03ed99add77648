"""REANA's job controller for one run: job processes, at most so many at once on the whole server.

Runs in the Python of `tools`, so it uses the standard library alone. What happens is appended to `events.jsonl`, one
line of JSON each, and the server makes of it what the API says.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARK = "REANA_WORKFLOW_UUID"
"""Stands in the environment of every job, so that whoever stops a run finds all that it left."""
_TICK_S = 0.02
_TAIL_B = 64 << 10
# Bytes, or a number and a unit, as Kubernetes writes it.
_MEMORY = re.compile(r"(\d+|(\d+[.])?\d+[EPTGMK]i?)$")


class SubmissionError(Exception):
    """The job controller does not take a job."""


@dataclass(slots=True, kw_only=True)
class Job:
    """One job, from when it is handed in."""

    id: str
    name: str
    command: str
    timeout_s: float
    environment: dict[str, str]
    status: str = "running"
    process: subprocess.Popen[bytes] | None = None
    slot: int = -1
    began: float = 0.0
    timed_out: bool = False
    dropped: bool = False
    reason: str = ""


def tail(path: Path, size_b: int = _TAIL_B) -> str:
    """The last part of a file; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size_b))
            return file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


class Events:
    """The diary of a run."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **event: Any) -> None:
        """Append one line, whole or not at all."""
        os.write(self._file, json.dumps({"at": time.time(), **event}).encode() + b"\n")


@dataclass
class Jobs:
    """The jobs of one run. `run` is what the server wrote into `run.json`."""

    run: dict[str, Any]
    folder: Path
    events: Events
    jobs: dict[str, Job] = field(default_factory=dict)
    _waiting: deque[Job] = field(default_factory=deque)
    _active: list[Job] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)
    closed: bool = False

    def begin(self) -> None:
        """Look after the jobs in the background."""
        (self.folder / "logs").mkdir(exist_ok=True)
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, name: str, command: str, image: str, resources: dict[str, Any]) -> str:
        """Take a job, which runs when there is room; its id.

        Raises:
            SubmissionError: In the words of REANA.
        """
        backend = str(resources.get("compute_backend") or self.run["backends"][0])
        if backend not in self.run["backends"]:
            raise SubmissionError(f"Job submission failed. Backend {backend} is not supported.")
        for key in ("kubernetes_memory_limit", "kubernetes_memory_request"):
            memory = resources.get(key)
            if memory and not _MEMORY.match(str(memory)):
                raise SubmissionError(f'The "{key}" {memory} has wrong format.')
        timeout = resources.get("kubernetes_job_timeout") or self.run["job_timeout_s"]
        if not str(timeout).isdigit() or int(timeout) <= 0:
            raise SubmissionError(f'The "kubernetes_job_timeout" {timeout} must be a positive number of seconds.')
        if int(timeout) > self.run["job_timeout_max_s"]:
            raise SubmissionError(
                f'The "kubernetes_job_timeout" exceeds the limit ({self.run["job_timeout_max_s"]} seconds).'
            )
        job = Job(
            id=str(uuid.uuid4()),
            name=name,
            command=command,
            timeout_s=float(timeout),
            environment=self._environment(resources),
        )
        with self._lock:
            if self.closed:
                raise SubmissionError("the workflow has ended")
            self.events.write(
                job=job.id, status="running", name=name, cmd=command, docker_img=image, compute_backend=backend
            )
            self.jobs[job.id] = job
            self._waiting.append(job)
        return job.id

    def status(self, job_id: str) -> str:
        """`running` (which REANA also says of what waits for room), `finished` or `failed`."""
        return self.jobs[job_id].status

    def wait(self, job_id: str) -> str:
        """The status of a job when it has ended."""
        while self.status(job_id) == "running":
            self._ended.wait(_TICK_S)
        return self.status(job_id)

    def close(self) -> None:
        """Kill what runs, start nothing more. REANA goes on to say `running` of what it killed so."""
        with self._lock:
            self.closed = True
            for job in [*self._waiting, *self._active]:
                job.dropped = True
                self._kill(job)
            for job in self._waiting:
                self._end(job, "failed")
            self._waiting.clear()
        deadline = time.monotonic() + 10
        while self._active and time.monotonic() < deadline:
            time.sleep(_TICK_S)
        kill_marked(self.run["id"], but=os.getpid())

    def _environment(self, resources: dict[str, Any]) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        environment = {
            "PATH": self.run["path"],
            "HOME": str(home),
            "REANA_WORKSPACE": self.run["workspace"],
            "REANA_USER_ID": self.run["user"],
            MARK: self.run["id"],
        }
        secrets = self.folder / "secrets"
        environment |= self.run["secrets_env"]
        if resources.get("voms_proxy"):
            name = self.run["secrets_env"].get("VOMSPROXY_FILE", "")
            if not name or not (secrets / name).is_file():
                raise SubmissionError("VOMSPROXY_FILE is not present in user secrets.")
            environment["X509_USER_PROXY"] = str(secrets / name)
        return environment

    # ── the watch ──────────────────────────────────────────────────────────────────────────────────────────────

    def _watch(self) -> None:
        while True:
            with self._lock:
                self._look()
            time.sleep(_TICK_S)

    def _look(self) -> None:
        self._inject()
        for job in list(self._active):
            assert job.process is not None
            if time.monotonic() - job.began > job.timeout_s and not job.timed_out:
                job.timed_out = True
                self._kill(job)
            code = job.process.poll()
            if code is not None:
                self._active.remove(job)
                self._kill(job)  # what it left in the background goes with its container
                os.close(job.slot)
                self._end(
                    job, "finished" if code == 0 and not (job.reason or job.timed_out or job.dropped) else "failed"
                )
        while self._waiting and not self.closed:
            slot = self._slot()
            if slot is None:
                break
            self._start(self._waiting.popleft(), slot)

    def _slot(self) -> int | None:
        """Room for one job on the server: a lock on one of its files, which goes when we do."""
        for number in range(self.run["slots"]):
            file = os.open(Path(self.run["slots_folder"], str(number)), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
            else:
                return file
        return None

    def _start(self, job: Job, slot: int) -> None:
        shell = shutil.which("bash", path=self.run["path"]) or "/bin/sh"
        job.slot, job.began = slot, time.monotonic()
        with (self.folder / "logs" / job.id).open("wb") as log:
            job.process = subprocess.Popen(
                [shell, "-c", f"cd {self.run['workspace']} && {job.command}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=job.environment,
                cwd="/",
                start_new_session=True,
            )
        self._active.append(job)
        self.events.write(job=job.id, started=time.time(), pid=job.process.pid)

    def _end(self, job: Job, status: str) -> None:
        reason = job.reason or ("Completed" if status == "finished" else "Error")
        log = f"job: :\n {tail(self.folder / 'logs' / job.id)}\n\n{reason}\n"
        if job.timed_out:
            # The words of REANA's monitor of Kubernetes.
            limit = f"{job.timeout_s:.0f}"
            log += f"\nDeadlineExceeded\nThe job was killed due to exceeding timeout of {limit} seconds."
        (self.folder / "logs" / f"{job.id}.log").write_text(log, encoding="utf-8")
        if not job.dropped:
            self.events.write(job=job.id, status=status, finished=time.time())
        job.status = status

    @staticmethod
    def _kill(job: Job) -> None:
        if job.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.process.pid, signal.SIGKILL)

    def _inject(self) -> None:
        """Kill the jobs that a test wants killed: a file with the name, and when."""
        for path in Path(self.run["faults_folder"]).glob("*.json"):
            try:
                fault = json.loads(path.read_text(encoding="utf-8"))
            except (FileNotFoundError, ValueError):
                continue  # another run took it just now
            for job in self._active:
                once = fault["once"]
                there = not once or Path(self.run["workspace"], once).exists()
                if job.name == fault["name"] and there and not job.reason:
                    try:
                        path.unlink()
                    except FileNotFoundError:
                        break
                    job.reason = fault["reason"]
                    self._kill(job)
                    break


def kill_marked(run: str, *, but: int = 0) -> None:
    """Kill all processes whose environment says that they are of a run, as the end of a container does."""
    mark = f"{MARK}={run}".encode()
    for _ in range(20):
        found = False
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == but:
                continue
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found = True
                    os.kill(int(folder.name), signal.SIGKILL)
            except OSError:
                continue
        if not found:
            return
        time.sleep(_TICK_S)
