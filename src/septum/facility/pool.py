"""A personal HTCondor pool: started, asked and stopped."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.facility import process
from septum.facility.condor_config import SCHEDD_NAME, condor_config, mapfile
from septum.facility.errors import FacilityError
from septum.facility.sandbox import POOL, Sandbox
from septum.facility.worker import place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from septum.facility.certificates import Authority
    from septum.facility.debian import Debian

_FOLDERS = ("etc", "execute", "home", "keys", "lock", "log", "passwords.d", "run", "spool", "tmp", "tokens.d")
IMAGE = "/cvmfs/septum.test/debian"
"""An unpacked container image that every pool has: the system of the workers itself."""
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Endpoint:
    """What a client has to know to use the pool."""

    collector: str
    """`localhost:PORT`"""
    schedd: str
    ca_file: Path
    issuer: str
    """The issuer's URL, with its trailing slash."""
    audience: str
    """What the pool accepts as audience of a token, beside `https://wlcg.cern.ch/jwt/v1/any`."""


class Pool:
    """A personal pool in a folder of its own. Create it with `start_pool`."""

    def __init__(self, *, endpoint: Endpoint, sandbox: Sandbox, master: subprocess.Popen[str]) -> None:
        self.endpoint = endpoint
        self.folder = sandbox.pool
        self.sandbox = sandbox
        self._master = master

    @property
    def log_folder(self) -> Path:
        """The folder with the logs of the daemons."""
        return self.folder / "log"

    def wait_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until the schedd and the workers are known to the collector.

        Args:
            timeout_s: Deadline in seconds.

        Raises:
            FacilityError: The pool ended or did not get ready in time; its log is the evidence.
        """
        if not process.wait_until(self._ready_or_dead, timeout_s=timeout_s, interval_s=0.2):
            raise FacilityError(
                f"the pool was not ready after {timeout_s:g} s", evidence=self.log(), fix=f"read {self.log_folder}"
            )
        if not self.running:
            raise FacilityError(
                f"the pool ended with exit code {self._master.returncode}",
                evidence=self.log(),
                fix=f"read {self.log_folder}",
            )

    @property
    def running(self) -> bool:
        """Whether the pool's first process is alive."""
        return self._master.poll() is None

    def run(
        self,
        *command: str,
        timeout_s: float = 60,
        check: bool = True,
        cwd: str = "/tmp",  # noqa: S108 - the sandbox's own
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run one of HTCondor's own tools, or any other command, inside.

        Args:
            *command: Such as `"condor_q", "-nobatch"`.
            timeout_s: Deadline in seconds.
            check: Whether an exit code other than 0 is an error.
            cwd: Working folder, as seen inside.
            stdin: Text for the standard input.

        Raises:
            FacilityError: The command failed or took too long.
        """
        return process.run(
            self.sandbox.argv(command, cwd=cwd),
            what=f"{command[0]} in the pool",
            timeout_s=timeout_s,
            fix=f"the logs of the pool are in {self.log_folder}",
            env={},
            check=check,
            stdin=stdin,
        )

    def log(self, name: str = "MasterLog", lines: int = 15) -> str:
        """Return the last lines of a daemon's log, or what the master printed if there is none."""
        for path in (self.log_folder / name, self.folder / "master.out"):
            if path.is_file() and path.stat().st_size:
                return process.tail(path.read_text(encoding="utf-8", errors="replace"), lines)
        return ""

    def stop(self) -> None:
        """Stop the pool and everything that runs in it. Does nothing if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            for pid in self._daemons():
                os.kill(pid, signal.SIGQUIT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._master.wait(timeout=_STOP_TIMEOUT_S if self.running else 0)
        # The process space of the pool ends with its first process: no daemon and no job can stay.
        process.kill_group(self._master)
        self._master.wait(timeout=_STOP_TIMEOUT_S)

    def _daemons(self) -> list[int]:
        """Return the process ids of the master as seen outside: the children of the sandbox's first process."""
        return [pid for init in _children(self._master.pid) for pid in _children(init)]

    def _ready_or_dead(self) -> bool:
        if not self.running:
            return True
        # Cheap first: the tool costs a tenth of a second of the processor that the daemons need to get up.
        if not (self.log_folder / "StartLog").exists() or not (self.log_folder / "SchedLog").exists():
            return False
        asked = self.run("condor_status", "-any", "-af", "MyType", check=False)
        return {"Scheduler", "Machine", "Negotiator"} <= set(asked.stdout.split())


def start_pool(
    folder: Path,
    *,
    debian: Debian,
    modules: Path,
    authority: Authority,
    issuer: str,
    users: Mapping[str, str],
    slots: int = 64,
    config: Sequence[str] = (),
    read_only: Mapping[str, Path] | None = None,
    writable: Mapping[str, Path] | None = None,
) -> Pool:
    """Start a pool. Call `wait_ready` before use and `stop` at the end.

    The pool dies with the thread that starts it, so start it from one that lives long enough.

    Args:
        folder: A new folder for everything that the pool writes.
        debian: The root folder to run in.
        modules: Python modules for the workers.
        authority: Signs the pool's host certificate; also what the pool trusts.
        issuer: The token issuer's URL, with its trailing slash.
        users: Token subject, account.
        slots: How many jobs may run at the same time.
        config: Lines for the end of HTCondor's configuration.
        read_only: More folders to mount for the jobs: path inside, path outside.
        writable: The same, to write to.

    Raises:
        FacilityError: The sandbox cannot be started.
    """
    port = free_port()
    audience = f"condor://localhost:{port}"
    folder.mkdir(mode=0o700, parents=True)
    for name in _FOLDERS:
        (folder / name).mkdir(mode=0o700)
    etc = folder / "etc"
    authority.host(etc, "localhost")
    shutil.copyfile(authority.file, etc / "ca.pem")
    bundle = (debian.root / "etc/ssl/certs/ca-certificates.crt").read_text(encoding="utf-8")
    (etc / "bundle.pem").write_text(bundle + authority.file.read_text(encoding="ascii"), encoding="utf-8")
    (etc / "condor_config").write_text(
        condor_config(port=port, slots=slots, audience=audience, modules=place(debian), extra=config), encoding="utf-8"
    )
    machine = Path("/etc/resolv.conf")
    (etc / "resolv.conf").write_text(machine.read_text(encoding="utf-8") if machine.is_file() else "", encoding="utf-8")
    (etc / "mapfile").write_text(mapfile(users, issuer), encoding="utf-8")
    mounts = {
        # The schedd fetches the issuer's keys over HTTPS and trusts the system's bundle.
        "/etc/ssl/certs/ca-certificates.crt": etc / "bundle.pem",
        # Analyses may read from servers elsewhere.
        "/etc/resolv.conf": etc / "resolv.conf",
        place(debian): modules,
        IMAGE: debian.root,
        **(read_only or {}),
    }
    sandbox = Sandbox(debian=debian, pool=folder, read_only=mounts, writable=writable or {})
    with (folder / "master.out").open("w") as out:
        master = subprocess.Popen(
            sandbox.argv(["condor_master", "-f"], cwd=POOL),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env={},
            start_new_session=True,
        )
    endpoint = Endpoint(
        collector=f"localhost:{port}", schedd=SCHEDD_NAME, ca_file=authority.file, issuer=issuer, audience=audience
    )
    return Pool(endpoint=endpoint, sandbox=sandbox, master=master)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now.

    It lies below the range from which the kernel takes the ports of outgoing connections, so that none of those can
    take it before the daemon does.
    """
    while True:
        port = random.randrange(20000, 32000)  # noqa: S311 - nothing secret about it
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []
