"""The server as a test has it: started beside the test, looked at, and made to fail."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from septum.facility import process
from tests.fakes.reana.engines import end_all
from tests.fakes.reana.store import Store, Workflow
from tests.fakes.reana.tools import ROOT, tools
from tests.fakes.reana.workspace import prune_files

_READY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What was asked of one operation."""

    times: int
    received_b: int
    sent_b: int


@dataclass(slots=True, kw_only=True)
class ReanaServer:
    """A server in a process of its own. Everything that it remembers is in `folder`."""

    folder: Path
    slots: int = 4
    token_in: str = "query"
    backends: Sequence[str] = ("kubernetes", "htcondorcern", "slurmcern")
    url: str = ""
    ca_file: Path = Path()
    pid: int = 0
    store: Store = field(init=False)
    _port: int = 0
    _process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.store = Store(self.folder)

    @property
    def token(self) -> str:
        """The token that is good now."""
        return str(self.store.setting("token"))

    # ── the process ────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start it, on the port that it had before."""
        tools()  # built here, if need be, and not while the server is waited for
        words = [sys.executable, "-m", "tests.fakes.reana", "serve", "--folder", str(self.folder)]
        words += ["--port", str(self._port), "--slots", str(self.slots), "--token-in", self.token_in]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*words, "--backends", ",".join(self.backends), "--not-alone"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        # It says one line when it listens, and nothing if it fails.
        late = threading.Timer(_READY_S, self._process.kill)
        late.start()
        line = self._process.stdout.readline()
        late.cancel()
        if not line:
            self._process.wait(timeout=_READY_S)
            said = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")
            raise AssertionError(f"the REANA server did not start:\n{process.tail(said)}")
        told = json.loads(line)
        self.url, self.ca_file, self.pid, self._port = told["url"], Path(told["ca_file"]), told["pid"], told["port"]

    def stop(self, *, kill: bool = False) -> None:
        """End it, or kill it. What runs goes on."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self._process.wait(timeout=30)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def close(self) -> None:
        """End it, and all that runs."""
        self.stop()
        end_all(self.store)
        self.store.close()

    # ── what was asked ─────────────────────────────────────────────────────────────────────────────────────────

    def requests(self, *, since: int = 0) -> dict[str, Count]:
        """How often each operation was asked for, and how many bytes went each way; see `asked`."""
        counted: dict[str, Count] = {}
        for route, times, received, sent in self.store.rows(
            "SELECT route, COUNT(*), SUM(received), SUM(sent) FROM requests WHERE number > ? GROUP BY route", since
        ):
            counted[route] = Count(times=times, received_b=received, sent_b=sent)
        return counted

    def asked(self) -> int:
        """The number of the last request, for `since`."""
        return int(self.store.rows("SELECT COALESCE(MAX(number), 0) FROM requests")[0][0])

    def targets(self, *, since: int = 0) -> list[tuple[str, int]]:
        """Every request as method and address, without its token, and the status of its answer."""
        return self.store.rows("SELECT target, status FROM requests WHERE number > ? ORDER BY number", since)

    @property
    def mistakes(self) -> list[str]:
        """What clients asked that the description does not have. Clear it with `forgive`."""
        return self.store.mistakes(ours=False)

    def forgive(self) -> None:
        """Forget the mistakes of clients."""
        self.store.rows("DELETE FROM mistakes WHERE NOT ours")

    def refused(self) -> Counter[str]:
        """The operations that were asked for and are not here (501)."""
        return Counter(route for (route,) in self.store.rows("SELECT route FROM requests WHERE status = 501"))

    # ── faults ─────────────────────────────────────────────────────────────────────────────────────────────────

    def fail_next(self, route: str, status: int, times: int = 1, *, after: bool = False) -> None:
        """Answer the next requests with a status; with 0, hang up.

        Args:
            route: `GET /api/workflows/{workflow_id_or_name}/status`, `get_workflow_status`, or `*` for all.
            status: Of the answer.
            times: How often.
            after: Do first what was asked, and then say that it failed.
        """
        self.store.plan("fail-after" if after else "fail", route=route, status=status, times=times)

    def cut_upload(self, times: int = 1) -> None:
        """Take half of the next uploads, and hang up: a short file stays."""
        self.store.plan("cut-upload", times=times)

    def cut_download(self, times: int = 1, *, quiet: bool = False) -> None:
        """Give half of the next files, and hang up; quietly, and the half looks whole."""
        self.store.plan("cut-download-quietly" if quiet else "cut-download", times=times)

    def heal(self) -> None:
        """No more planned faults."""
        self.store.rows("DELETE FROM faults")
        self.delay(0)

    def delay(self, seconds: float) -> None:
        """Answer every request so much later."""
        self.store.set("delay_s", seconds)

    def expire_token(self) -> str:
        """The token is good no more; returns a new one."""
        self.store.set("revoked", [*self.store.setting("revoked", []), self.token])
        self.store.set("token", secrets.token_urlsafe(16))
        return self.token

    def set_quota(self, resource: str, *, limit: int, used: int | None = None) -> None:
        """Set the limit of `disk` (bytes) or `cpu` (milliseconds), and what is used if not what really is."""
        told = self.store.setting("quota", {})
        self.store.set("quota", {**told, resource: {"limit": limit, "used": used}})

    def hold_queue(self, held: bool = True) -> None:  # noqa: FBT001, FBT002
        """Let runs that are started stay `queued`."""
        self.store.set("paused", held)

    def fail_step(self, job_name: str, *, once: str = "", reason: str = "OOMKilled") -> None:
        """Kill one job of a name as a node does that has no memory left.

        Args:
            job_name: The name of its rule or step.
            once: A file of the workspace: when it is there. Empty for as soon as the job runs.
            reason: What Kubernetes says.
        """
        text = json.dumps({"name": job_name, "once": once, "reason": reason})
        path = self.folder / "faults" / f"{secrets.token_hex(8)}.json"
        unfinished = path.with_suffix(".new")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.rename(path)

    def kill_engine(self, workflow: str) -> None:
        """Kill the engine of a run, as when its node is lost."""
        one = self.workflow(workflow)
        os.kill(one.pid, signal.SIGKILL)

    def prune(self, workflow: str, *, everything: bool = True) -> None:
        """Delete the files of a run behind everybody's back, as the rules of retention do."""
        prune_files(self.workflow(workflow), inputs=everything, outputs=everything)

    # ── what is there ──────────────────────────────────────────────────────────────────────────────────────────

    def workflow(self, wanted: str) -> Workflow:
        """A run by its id or its name with number; its status is the one that was last asked for."""
        return next(one for one in self.store.workflows() if wanted in {one.id, one.full_name})

    def run_log(self, workflow: str) -> str:
        """What the engine of a run printed."""
        path = self.store.run_folder(self.workflow(workflow).id) / "engine.log"
        return path.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def reana_server(folder: Path, *, slots: int = 4, **options: Any) -> Iterator[ReanaServer]:
    """A running server.

    At the end, an AssertionError names the mistakes: requests that the description does not have (see
    `ReanaServer.forgive`) and answers of the server's own that do not fit it.
    """
    server = ReanaServer(folder=folder.absolute(), slots=slots, **options)
    server.start()
    wrong: list[str] = []
    try:
        yield server
        wrong = [*server.mistakes, *server.store.mistakes(ours=True)]
    finally:
        server.close()
    assert not wrong, "\n".join(wrong)
