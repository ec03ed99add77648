"""One run of one contender: its folder, its steps one after the other, and what each of them cost."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.cluster.site import Site
from benchmarks.cluster.wire import CountingWire
from benchmarks.measure import Measured, watch
from tests.faults.wire import start

_EVERY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command.

    Attributes:
        name: `submit`, `wait`, `fetch`, `merge`; or what the contender has instead.
        command: It.
        pool: Whether it runs in the pool's world, where HTCondor's own tools are; else on this machine.
        counted: Whether it reaches the pool through a way that counts, and nothing else.
        environ: Added to its environment.
    """

    name: str
    command: Sequence[str]
    pool: bool = True
    counted: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step that has ended.

    Attributes:
        began_s: When, in seconds since the epoch; `ended_s` as well.
        lines: Of what it printed.
        printed_b: The same in bytes.
    """

    name: str
    began_s: float
    ended_s: float
    measured: Measured
    lines: int
    printed_b: int


@dataclass(kw_only=True)
class Stage:
    """Where a contender runs.

    Attributes:
        site: The pool.
        folder: Of this run, seen by schedd and workers alike.
        parts: How many.
        seconds: How long each sleeps.
        interval_s: Between two looks at the queue; None for the contender's own.
        deadline_s: For each step.
    """

    site: Site
    folder: Path
    parts: int
    seconds: float
    interval_s: float | None
    deadline_s: float
    ways: list[CountingWire] = field(default_factory=list)

    @property
    def way(self) -> CountingWire:
        """The way to the pool."""
        return self.ways[0]

    def open_ways(self) -> None:
        """Make the ways that count: to the pool, and to the issuer."""
        issuer = urlsplit(self.site.facility.issuer.url).port
        assert issuer is not None
        self.ways = [CountingWire(self.site.port), CountingWire(issuer)]

    def client(self) -> dict[str, str]:
        """The environment of a client of the pool that has a token already."""
        endpoint = self.site.facility.endpoint
        token = self.folder / "token"
        token.write_text(self.site.facility.issuer.token(audience=endpoint.audience), encoding="ascii")
        token.chmod(0o600)
        return {
            "CONDOR_CONFIG": "ONLY_ENV",
            "_condor_COLLECTOR_HOST": endpoint.collector,
            "_condor_SCHEDD_HOST": endpoint.schedd,
            "_condor_SCITOKENS_FILE": str(token),
            "_condor_AUTH_SSL_CLIENT_CAFILE": "/pool/etc/ca.pem",
            "_condor_SEC_CLIENT_AUTHENTICATION_METHODS": "SCITOKENS",
            "_condor_USE_JOBSETS": "True",
        }

    def play(self, step: Step) -> Done:
        """Run a step to its end.

        Raises:
            RuntimeError: It failed.
        """
        log = self.folder.parent / f"{self.folder.name}.{step.name}.log"
        argv, times = list(step.command), self.folder / f".{step.name}.times"
        if step.pool:
            script = self.folder / f".{step.name}.sh"
            # In a file: a command line is read by everybody.
            lines = [f"export {name}={shlex.quote(value)}" for name, value in step.environ.items()]
            # Bubblewrap does not wait for what it starts, so nobody outside learns of its CPU time.
            lines += [shlex.join(step.command), "code=$?", f"times >{shlex.quote(str(times))}", "exit $code", ""]
            script.write_text("\n".join(lines), encoding="utf-8")
            argv = self.site.facility.pool.sandbox.argv(["bash", str(script)], cwd=str(self.folder))
        environ = {} if step.pool else dict(step.environ)
        environ.setdefault("PATH", "/usr/bin:/bin")
        began_s, began = time.time(), time.perf_counter()
        process = self._start(argv, environ, log, counted=step.counted)
        measured = watch(process, start=began, log=log, every_s=_EVERY_S, deadline_s=self.deadline_s)
        if step.pool and not measured.exit_code:
            user_s, system_s = _times(times.read_text(encoding="ascii"))
            measured = replace(measured, user_s=measured.user_s + user_s, system_s=measured.system_s + system_s)
        printed = log.read_bytes()
        done = Done(
            name=step.name,
            began_s=began_s,
            ended_s=began_s + measured.wall_s,
            measured=measured,
            lines=printed.count(b"\n"),
            printed_b=len(printed),
        )
        if measured.exit_code:
            raise RuntimeError(f"{step.name} ended with {measured.exit_code}: …{measured.said[-1500:]}")
        return done

    def _start(
        self, argv: Sequence[str], environ: Mapping[str, str], log: Path, *, counted: bool
    ) -> subprocess.Popen[bytes]:
        if counted:
            return start(argv, self.ways, cwd=self.folder, env=environ, out=log)
        with log.open("wb") as stream:
            return subprocess.Popen(
                argv, cwd=self.folder, env=environ, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
            )


def _times(text: str) -> tuple[float, float]:
    """What bash's `times` says: user and system, of itself and of its children."""
    seconds = [60 * float(minutes) + float(rest) for minutes, rest in re.findall(r"(\d+)m([\d.]+)s", text)]
    return seconds[0] + seconds[2], seconds[1] + seconds[3]


Steps = Callable[[Stage], Sequence[Step]]
"""Lays what a contender needs into the stage's folder and says what it runs."""
