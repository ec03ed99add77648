"""A schedd in memory: jobs that go from state to state on a clock of its own, leases, holds, silence. No mock.

Its contract is that of `septum.backends.base.Backend`; `tests/contract/` holds the real backends to the same.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from septum.backends.base import BY_ITS_RUN, REMOVED_BY_US, JobReport
from septum.errors import ClusterUnreachableError, NoRoomError
from septum.plan import Part, Plan
from septum.states import JobState
from septum.worker.sandbox import log_names, output_name, status_name


class FakeClock:
    """A clock that moves only when somebody sleeps on it."""

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self.now_s = now_s
        self.began_s = now_s
        self.on_sleep: list[Callable[[float], None]] = []

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        assert seconds > 0
        self.now_s += seconds
        if self.now_s - self.began_s > 30 * 86400:
            raise AssertionError("the run does not end")
        for call in self.on_sleep:
            call(self.now_s)

    @property
    def passed_s(self) -> float:
        """Seconds since the beginning."""
        return self.now_s - self.began_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a job does so many seconds after its submission."""

    at_s: float
    state: JobState
    exit_code: int | None = None
    signal: int | None = None
    hold_code: int | None = None
    reason: str = ""
    memory_b: int | None = None
    host: str = "node7"
    hold_subcode: int = 0


_OVER = frozenset({JobState.ENDED, JobState.REMOVED, JobState.LOST})

NORMAL = (
    Step(at_s=0, state=JobState.IDLE),
    Step(at_s=20, state=JobState.RUNNING),
    Step(at_s=60, state=JobState.ENDED, exit_code=0),
)


@dataclass(kw_only=True)
class Delivery:
    """What a job leaves: the outputs, None where one is missing, and what its status says.

    Attributes:
        outputs: The bytes of each declared output.
        exit_code: Of the command.
        stage: As the wrapper writes it; empty for no status file at all.
        damaged_fetches: How many fetches bring every output cut short.
        stderr: What the command wrote.
        times: CPU time as the wrapper's shell wrote it; empty where it did not.
        image_path: Where the image's folder is on the worker, without links.
    """

    outputs: Sequence[bytes | None]
    exit_code: int = 0
    stage: str = "done"
    damaged_fetches: int = 0
    stderr: str = ""
    times: str = ""
    image_path: str = ""


@dataclass(kw_only=True)
class Job:
    """A job of a part; the part may have had others before.

    Attributes:
        proc: Its number in the queue.
        number: Which job of its part it is, from 1.
        memory_b: What it asks for beside the plan.
        judged: As `septum.backends.base.JobReport` has it.
    """

    proc: int
    number: int
    memory_b: int | None
    submitted_s: float
    steps: Sequence[Step]
    removed: str | None = None
    removed_s: float = 0.0
    judged: str = ""
    collected: bool = False


@dataclass(kw_only=True)
class FakeCluster:
    """Keeps the jobs; outlives the backends that speak to it, as a schedd does.

    Attributes:
        plan: The plan whose parts run here.
        clock: Time.
        steps: What the job of a part does, where it is not `NORMAL`; `later_steps`: its jobs after the first.
        limit: Jobs that the schedd holds at most; None for any number.
        deliveries: What the job of a part leaves.
        silent: Spans of time, in seconds since the beginning, in which nobody answers.
    """

    plan: Plan
    clock: FakeClock
    deliveries: dict[str, Delivery]
    steps: dict[str, Sequence[Step]] = field(default_factory=dict)
    later_steps: dict[str, Sequence[Step]] = field(default_factory=dict)
    silent: list[tuple[float, float]] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    lease_until_s: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    submitted: int = 0
    waves: list[list[str]] = field(default_factory=list)
    limit: int | None = None
    most_at_once: int = 0
    gone: dict[str, list[Job]] = field(default_factory=dict)
    avoided: frozenset[str] = frozenset()
    forgotten: set[str] = field(default_factory=set)

    def answer(self, call: str) -> None:
        """Count a call, or be silent."""
        self.calls[call] += 1
        if any(first <= self.clock.passed_s < last for first, last in self.silent):
            raise ClusterUnreachableError("cluster: no answer", evidence="connection refused", fix="wait")

    def report(self, part: str) -> JobReport:
        """The state of a part's job now."""
        job = self.jobs.get(part)
        if job is None or part in self.forgotten:
            return JobReport(part=part, job="", state=JobState.LOST)
        now_s = self.clock.now()
        name = f"7.{job.proc}"
        if job.removed is None and now_s > self.lease_until_s and self._step(job).state is not JobState.ENDED:
            job.removed, job.removed_s = "the lease ended", now_s
        if job.removed is not None:
            return JobReport(
                part=part, job=name, state=JobState.REMOVED, reason=job.removed, number=job.number, judged=job.judged
            )
        step = self._step(job)
        passed = [one for one in job.steps if one.at_s <= now_s - job.submitted_s]
        return JobReport(
            part=part,
            job=name,
            state=step.state,
            attempts=sum(one.state is JobState.RUNNING for one in passed),
            exit_code=step.exit_code,
            signal=step.signal,
            hold_code=step.hold_code,
            released_times=sum(one.state is JobState.HELD for one in passed),
            since_s=int(now_s - job.submitted_s - step.at_s),
            reason=step.reason,
            host=step.host,
            memory_b=step.memory_b,
            number=job.number,
            hold_subcode=step.hold_subcode,
            judged=job.judged,
            collected=job.collected,
        )

    def in_queue(self) -> int:
        """How many jobs the schedd holds, ended ones too."""
        return sum(job.removed is None for job in self.jobs.values())

    def _step(self, job: Job) -> Step:
        return [step for step in job.steps if step.at_s <= self.clock.now() - job.submitted_s][-1]


class FakeBackend:
    """Speaks to a `FakeCluster`, as a backend does to a schedd."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self._counts: Counter[JobState] | None = None

    def submit(
        self, parts: Sequence[Part], *, lease_until_s: float, number: int = 1, memory_b: int | None = None
    ) -> Mapping[str, str]:
        """Put jobs into the queue: all, or none where there is no room."""
        self.cluster.answer("submit")
        room = self.cluster.limit
        if room is not None and self.cluster.in_queue() + len(parts) > room:
            raise NoRoomError("cluster: takes no more jobs now", evidence="says -3", fix="wait")
        self.cluster.waves.append([part.id for part in parts])
        self._counts = None
        self.cluster.lease_until_s = max(lease_until_s, self.cluster.lease_until_s)
        for part in parts:
            later = self.cluster.later_steps.get(part.id)
            steps = later if later is not None and number > 1 else self.cluster.steps.get(part.id, NORMAL)
            if part.id in self.cluster.jobs:
                assert self.cluster.report(part.id).state in _OVER, "a part has two jobs that may both deliver"
                self.cluster.gone.setdefault(part.id, []).append(self.cluster.jobs[part.id])
            self.cluster.jobs[part.id] = Job(
                proc=self.cluster.submitted,
                number=number,
                memory_b=memory_b,
                submitted_s=self.cluster.clock.now(),
                steps=steps,
            )
            self.cluster.forgotten.discard(part.id)
            self.cluster.submitted += 1
        self.cluster.most_at_once = max(self.cluster.most_at_once, self.cluster.in_queue())
        return {part.id: f"7.{self.cluster.jobs[part.id].proc}" for part in parts}

    def poll(self, awaited: Collection[str], *, everything: bool) -> Mapping[str, JobReport] | None:
        """Look at the queue."""
        self.cluster.answer("poll")
        counts = Counter(self.cluster.report(part).state for part in self.cluster.jobs)
        if counts == self._counts and not everything:
            return None
        self._counts = counts
        return {part: self.cluster.report(part) for part in awaited}

    def count(self) -> int:
        """How many jobs there are."""
        self.cluster.answer("count")
        return self.cluster.in_queue()

    def fetch(self, parts: Sequence[str], into: Path) -> None:
        """Bring what ended jobs left."""
        self.cluster.answer("fetch")
        into.mkdir(parents=True, exist_ok=True)
        for part in parts:
            if self.cluster.report(part).state is JobState.ENDED:
                self._deliver(part, into)

    def _deliver(self, part: str, into: Path) -> None:
        delivery = self.cluster.deliveries[part]
        outputs = []
        for number, content in enumerate(delivery.outputs):
            target = into / output_name(part, number)
            target.write_bytes(b"" if content is None else content[: -7 if delivery.damaged_fetches else None])
            entry = None if content is None else {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            outputs.append(entry)
        delivery.damaged_fetches = max(0, delivery.damaged_fetches - 1)
        out, err = log_names(part)
        (into / out).write_text("")
        (into / err).write_text(delivery.stderr)
        status = {
            "format": 1,
            "part": part,
            "stage": delivery.stage,
            "exit_code": delivery.exit_code,
            "host": "node7",
            "image": "",
            "image_path": delivery.image_path,
            "started": 1,
            "ended": 2,
            "times": delivery.times,
            "outputs": outputs,
        }
        if delivery.stage:
            (into / status_name(part)).write_text(json.dumps(status))

    def extend(self, lease_until_s: float) -> None:
        """Extend the lease of all jobs."""
        self.cluster.answer("extend")
        for part in self.cluster.jobs:
            self.cluster.report(part)  # a job whose lease has ended stays removed
        self.cluster.lease_until_s = lease_until_s

    def judge(self, causes: Mapping[str, str]) -> None:
        """Note that the run ended, and why parts failed."""
        self.cluster.answer("judge")
        for part, job in self.cluster.jobs.items():
            if job.removed is None:
                job.collected = True
                job.judged = causes.get(part, "")

    def avoid(self, hosts: Collection[str]) -> None:
        """Note the hosts; what a job does next stands in its steps."""
        self.cluster.answer("avoid")
        self.cluster.avoided = frozenset(hosts)

    def refresh(self) -> Sequence[str]:
        """There is nothing to hand on."""
        return ()

    def remove(self, parts: Sequence[str] | None, *, reason: str = BY_ITS_RUN, ended: bool = True) -> int:
        """Remove jobs."""
        self.cluster.answer("remove")
        chosen = [part for part in (self.cluster.jobs if parts is None else parts) if part in self.cluster.jobs]
        going = [part for part in chosen if ended or self.cluster.report(part).state is not JobState.ENDED]
        for part in going:
            if self.cluster.jobs[part].removed is None:
                self.cluster.jobs[part].removed = f"{REMOVED_BY_US} {reason}"
        return len(going)

    def close(self) -> None:
        """Nothing to give back."""
