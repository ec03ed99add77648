"""The pool that the runs take place on, and what it tells of them: its log of events, and the schedd's CPU time."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.cluster.peers import mounts
from benchmarks.measure import tree
from benchmarks.places import cache
from septum.facility import Facility
from septum.facility.process import wait_until

SLOTS = 64
# One log of all jobs, whoever submitted them, to the millisecond; and what HTCondor's own command line wants.
_CONFIG = (
    "EVENT_LOG = $(LOG)/EventLog",
    "EVENT_LOG_MAX_SIZE = 0",
    "EVENT_LOG_FSYNC = False",
    "EVENT_LOG_FORMAT_OPTIONS = UTC ISO_DATE SUB_SECOND",
    "USE_JOBSETS = True",
)
_EVENT = re.compile(r"^(\d{3}) \((\d+)\.(\d+)\.\d+\) (\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)Z? ", re.MULTILINE)
_SUBMITTED, _STARTED, _ENDED = "000", "001", "005"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the pool saw of a run, in seconds since the epoch.

    Attributes:
        submitted_s: When the last job entered the queue.
        started_s: When the first one started.
        ended_s: When the last one had ended, with its outputs at the schedd.
        ended: How many ended.
    """

    submitted_s: float
    started_s: float
    ended_s: float
    ended: int


class Site:
    """The pool, between runs and while they last.

    Args:
        facility: Running.
        folder: What schedd, workers and clients see alike, under the same path.
    """

    def __init__(self, facility: Facility, folder: Path) -> None:
        self.facility, self.folder = facility, folder
        self._log = facility.pool.log_folder / "EventLog"

    @property
    def port(self) -> int:
        """Of the pool."""
        return int(self.facility.endpoint.collector.rpartition(":")[2])

    def schedd_cpu_s(self) -> float:
        """CPU time of the schedd itself, without the shadows that it starts."""
        for pid in tree(os.getpid()):
            with contextlib.suppress(OSError):
                name, _, rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")
                if name.endswith("(condor_schedd"):
                    user, system = rest.split()[11:13]
                    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        raise RuntimeError("the pool has no schedd")

    def mark(self) -> int:
        """A place in the log of events, for `seen`."""
        return self._log.stat().st_size if self._log.exists() else 0

    def seen(self, mark: int) -> Seen:
        """What the log of events says since a place in it."""
        times: dict[str, list[float]] = {_SUBMITTED: [], _STARTED: [], _ENDED: []}
        if self._log.exists():
            with self._log.open("rb") as stream:
                stream.seek(mark)
                text = stream.read().decode("utf-8", errors="replace")
            for kind, _, _, day, hour in _EVENT.findall(text):
                if kind in times:
                    moment = datetime.fromisoformat(f"{day}T{hour}").replace(tzinfo=timezone.utc)
                    times[kind].append(moment.timestamp())
        return Seen(
            submitted_s=max(times[_SUBMITTED], default=0.0),
            started_s=min(times[_STARTED], default=0.0),
            ended_s=max(times[_ENDED], default=0.0),
            ended=len(times[_ENDED]),
        )

    def wait_ended(self, mark: int, jobs: int, timeout_s: float) -> None:
        """Wait for the end of so many jobs without asking the schedd."""
        if not wait_until(lambda: self.seen(mark).ended >= jobs, timeout_s=timeout_s, interval_s=0.25):
            raise RuntimeError(f"{self.seen(mark).ended} of {jobs} jobs ended in {timeout_s:g} s")

    def clear(self) -> None:
        """Empty the queue, and wait until nothing runs."""
        pool = self.facility.pool
        pool.run("condor_rm", "-all", check=False)
        if not wait_until(lambda: not pool.run("condor_q", "-all", "-af", "JobStatus").stdout.split(), timeout_s=60):
            pool.run("condor_rm", "-all", "-forcex", check=False)
        time.sleep(2)


@contextlib.contextmanager
def site(*, slots: int = SLOTS) -> Iterator[Site]:
    """Start the pool; it ends with the block."""
    folder = cache() / "shared"
    folder.mkdir(parents=True, exist_ok=True)
    with Facility(slots=slots, config=_CONFIG, read_only=mounts(), writable={str(folder): folder}) as facility:
        yield Site(facility, folder)
