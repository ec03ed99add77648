"""`septum collect` of a run whose jobs are simulated: `python -m benchmarks.growth.simulated PARTS`, in its folder.

All of septum is real but the access point: ledger, verification, merge, report. In its place stands an object that
lets a fiftieth of the jobs end between two looks, and writes the files that their workers would have sent. No time
passes between two looks. What that object itself takes of the processor is counted apart. Prints JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import resource
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from septum.backends.base import BY_ITS_RUN, JobReport, Run
from septum.plan import Part
from septum.stages.wiring import Options, load_profile, make_receipt
from septum.state import State
from septum.states import JobState, PartState
from septum.worker.sandbox import log_names, output_name, status_name

MARKS = 100
_LOOKS = 50
# The package has a function of the same name.
stage = importlib.import_module("septum.stages.collect")
_ONE = b"\x3f\xf0" + bytes(6)


class Simulated:
    """Jobs that end one after the other, in the order of the plan."""

    def __init__(self, run: Run, offset: int) -> None:
        self._places = {part.id: place for place, part in enumerate(run.plan.parts)}
        self._template = bytearray(Path("template.root").read_bytes())
        self._offset, self._known = offset, 0
        self.looks, self.cpu_s = 0, 0.0

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        began_s = time.process_time()
        try:
            yield
        finally:
            self.cpu_s += time.process_time() - began_s

    def poll(self, awaited: Collection[str], *, everything: bool) -> Mapping[str, JobReport] | None:
        """A fiftieth more has ended each time, and as many run."""
        del everything
        with self._counted():
            self.looks += 1
            step = -(-len(self._places) // _LOOKS)
            return {
                part: self._report(part, ended=self.looks * step, running=(self.looks + 1) * step) for part in awaited
            }

    def _report(self, part: str, *, ended: int, running: int) -> JobReport:
        place = self._places[part]
        state = JobState.ENDED if place < ended else JobState.RUNNING if place < running else JobState.IDLE
        code = 0 if state is JobState.ENDED else None
        return JobReport(part=part, job=f"1.{place}", state=state, attempts=1, exit_code=code, host="simulated")

    def fetch(self, parts: Sequence[str], into: Path) -> None:
        """Write what the workers would have sent."""
        with self._counted():
            into.mkdir(parents=True, exist_ok=True)
            for part in parts:
                self._deliver(part, into)

    def _deliver(self, part: str, into: Path) -> None:
        place = self._offset + 8 * (self._places[part] % MARKS)
        content = bytearray(self._template)
        content[place : place + 8] = _ONE
        (into / output_name(part, 0)).write_bytes(content)
        for name in log_names(part):
            (into / name).write_text("")
        status = {
            "format": 1,
            "part": part,
            "stage": "done",
            "exit_code": 0,
            "host": "simulated",
            "image": "",
            "image_path": "",
            "started": 1,
            "ended": 2,
            "times": "",
            "outputs": [{"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}],
        }
        (into / status_name(part)).write_text(json.dumps(status))

    def submit(self, parts: Sequence[Part], **_: Any) -> Mapping[str, str]:
        """All have been submitted."""
        raise AssertionError(f"{len(parts)} parts were to be submitted again")

    def count(self) -> int:
        """How many jobs there are."""
        return len(self._places)

    def extend(self, lease_until_s: float) -> None:
        """Nobody's lease ends."""

    def judge(self, causes: Mapping[str, str]) -> None:
        """Nobody reads it."""

    def avoid(self, hosts: Collection[str]) -> None:
        """There is one host."""

    def refresh(self) -> Sequence[str]:
        """There is nothing to hand on."""
        return ()

    def remove(self, parts: Sequence[str] | None, *, reason: str = BY_ITS_RUN, ended: bool = True) -> int:
        """Nothing stays."""
        del reason, ended
        return len(self._places) if parts is None else len(parts)

    def close(self) -> None:
        """Nothing to give back."""


class _Clock:
    """Time that passes when somebody waits, at once."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._ahead_s

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._ahead_s += seconds


def main(offset: int) -> None:
    """Collect the run that has been prepared in this folder."""
    options = Options(config=Path("septum.yaml"), cluster="pool", environ={"SEPTUM_RUN": "growth"})
    state, profile = State(options.state), load_profile(options)
    plan = state.load_plan()
    receipt = make_receipt(plan, "laptop/growth/-/-/" + plan.hash[:16], profile, options, now_s=time.time())
    run, lines, made = state.run(plan, receipt.tag), [], []
    with state.open_ledger() as ledger:
        ledger.begin(plan_hash=plan.hash, tag=receipt.tag, parts=(part.id for part in plan.parts), now_s=time.time())
        jobs = {part.id: (PartState.IDLE, {"job": f"1.{place}"}) for place, part in enumerate(plan.parts)}
        ledger.move_all(jobs, now_s=time.time())
    state.store_receipt(receipt)
    state.write_values(plan, image="")

    @contextlib.contextmanager
    def open_backend(*_: Any) -> Iterator[Simulated]:
        made.append(Simulated(run, offset))
        yield made[-1]

    @contextlib.contextmanager
    def open_credentials(*_: Any) -> Iterator[Any]:
        yield SimpleNamespace(check=lambda _: [], credentials=None)

    began_s, began = time.process_time(), time.perf_counter()
    vars(stage).update(open_backend=open_backend, open_credentials=open_credentials)
    collected = stage.collect(options, lines.append, _Clock())
    (backend,) = made
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    # Only now: what it imports is not septum's.
    from benchmarks.cluster.analysis import judge

    found = {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - began_s - backend.cpu_s,
        "simulation_cpu_s": backend.cpu_s,
        "memory_mb": memory_mb,
        "looks": backend.looks,
        "lines": sum(line.count("\n") + 1 for line in lines),
        "ledger_b": state.ledger_path.stat().st_size,
        "result": judge(Path("result/all.root"), len(plan.parts), marks=MARKS),
        "error": "" if collected.error is None else collected.error.what,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
