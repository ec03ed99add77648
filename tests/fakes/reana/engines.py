"""The engines of the runs: started when their turn comes, looked at, stopped."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from septum.facility.process import started
from tests.fakes.reana.engine import STOP
from tests.fakes.reana.jobs import kill_marked
from tests.fakes.reana.store import USER, Store, Workflow
from tests.fakes.reana.tools import ROOT

LIVE = ("queued", "pending", "running")
_GRACE_S = 5.0
_TICK_S = 0.05


class Engines:
    """All of them."""

    def __init__(self, store: Store, python: Path, *, slots: int, backends: tuple[str, ...]) -> None:
        self.store = store
        self.python = python
        self.slots = slots
        self.backends = backends
        self.lock = threading.RLock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._schedule, daemon=True)

    def begin(self) -> None:
        """Start what is queued, now and later."""
        self._thread.start()

    def end(self) -> None:
        """Start nothing more. What runs goes on."""
        self._ended.set()
        self._thread.join()

    def look(self, workflow: Workflow) -> Workflow:
        """A run as its engine has it by now."""
        if workflow.status not in {"pending", "running"}:
            return workflow
        with self.lock:
            workflow = self.store.workflow(workflow.id)
            if workflow.status not in {"pending", "running"}:
                return workflow
            gone = not self._alive(workflow)
            diary = self.store.diary(workflow.id)
            if diary.run in {"finished", "failed"}:
                return self.store.change(workflow.id, status=diary.run, started=diary.began, ended=diary.ended)
            if gone:
                kill_marked(workflow.id)
                return self.store.change(workflow.id, status="failed", started=diary.began, ended=time.time())
            if diary.run == "running" and workflow.status == "pending":
                return self.store.change(workflow.id, status="running", started=diary.began)
            return workflow

    def stop(self, workflow: Workflow) -> Workflow:
        """Stop a run: its engine is told to end, and killed if it does not; then nothing of it is left."""
        with self.lock:
            changed = self.store.change(workflow.id, status="stopped", stopped=time.time())
            (self.store.run_folder(workflow.id) / STOP).touch()
        deadline = time.monotonic() + _GRACE_S
        while self._alive(workflow) and time.monotonic() < deadline:
            time.sleep(_TICK_S)
        if self._alive(workflow):
            with contextlib.suppress(ProcessLookupError):
                os.kill(workflow.pid, signal.SIGKILL)
        kill_marked(workflow.id)
        return changed

    def _alive(self, workflow: Workflow) -> bool:
        child = self._children.get(workflow.id)
        if child is not None:
            return child.poll() is None
        return workflow.pid > 0 and started(workflow.pid) == workflow.birth and not _zombie(workflow.pid)

    def _schedule(self) -> None:
        while not self._ended.wait(_TICK_S):
            if self.store.setting("paused"):
                continue
            # With the lock, a run that is deleted at this moment is not started.
            with self.lock:
                for workflow in self.store.queued():
                    self._start(workflow)

    def _start(self, workflow: Workflow) -> None:
        folder = self.store.run_folder(workflow.id)
        folder.mkdir(exist_ok=True)
        environment = _secrets(self.store, folder)
        (folder / "run.json").write_text(json.dumps(self._run(workflow, environment)), encoding="utf-8")
        (folder / "run.json").chmod(0o600)
        with (folder / "engine.log").open("ab") as log:
            child = subprocess.Popen(
                [str(self.python), "-m", "tests.fakes.reana.engine", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(ROOT),
                    "PYTHONWARNINGS": "ignore",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    # Snakemake has caches there.
                    "HOME": str(folder),
                },
                start_new_session=True,
            )
        self._children[workflow.id] = child
        self.store.change(workflow.id, status="pending", pid=child.pid, birth=started(child.pid))

    def _run(self, workflow: Workflow, environment: Mapping[str, str]) -> dict[str, Any]:
        specification = workflow.specification["workflow"]
        parameters = dict(workflow.specification.get("inputs", {}).get("parameters", {}))
        return {
            "id": workflow.id,
            "type": workflow.type,
            "workspace": str(workflow.workspace),
            "file": specification.get("file", ""),
            "specification": specification.get("specification"),
            "parameters": {**parameters, **workflow.parameters},
            "options": {**workflow.specification.get("inputs", {}).get("options", {}), **workflow.options},
            "slots": self.slots,
            "slots_folder": str(self.store.folder / "slots"),
            "faults_folder": str(self.store.folder / "faults"),
            "backends": list(self.backends),
            "job_timeout_s": 7 * 86400,
            "job_timeout_max_s": 14 * 86400,
            "path": os.environ["PATH"],
            "user": USER,
            "secrets_env": dict(environment),
        }


def end_all(store: Store) -> None:
    """Kill all engines and what they have started."""
    for workflow in store.workflows():
        if workflow.pid and started(workflow.pid) == workflow.birth:
            with contextlib.suppress(ProcessLookupError):
                os.kill(workflow.pid, signal.SIGKILL)
        if workflow.status in {"pending", "running"}:
            kill_marked(workflow.id)


def _zombie(pid: int) -> bool:
    """Whether a process has ended, and nobody has asked how: our predecessor's child, perhaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _secrets(store: Store, folder: Path) -> dict[str, str]:
    """The user's secrets as a job has them: variables, and files of its own."""
    place = folder / "secrets"
    place.mkdir(mode=0o700, exist_ok=True)
    environment = {}
    for name, (kind, value) in store.secrets().items():
        data = base64.b64decode(value)
        if kind == "env":
            environment[name] = data.decode("utf-8", errors="replace")
        else:
            (place / name).write_bytes(data)
            (place / name).chmod(0o600)
    return environment
