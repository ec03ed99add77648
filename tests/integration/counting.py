"""What a look at the queue and an edit of the lease cost, by the kernel's own count; started by `test_counts.py`.

It looks from a network of its own, whose loopback interface carries nothing else. Arguments: `stage` or
`look`, the numbers of jobs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from septum.backends.base import Run
from septum.backends.htcondor.backend import HTCondorBackend, client_environment
from septum.backends.htcondor.bindings import Bindings
from septum.clusters.profile import Profile
from septum.credentials import Credentials
from septum.stages.wiring import Options, load_profile, open_credentials
from tests.fakes.analyses import plan_of, seeds

# Held from the beginning, so that no negotiator looks at them: the schedd has as many ads as with jobs that wait.
_STAGE = """
import json, sys, htcondor2, classad2
collector, schedd, tag, parts = json.loads(sys.stdin.read())
ad = htcondor2.Collector(collector).locate(htcondor2.DaemonType.Schedd, schedd)
commands = {"executable": "/bin/true", "transfer_executable": "False", "hold": "True",
            "MY.SeptumRun": classad2.quote(tag), "MY.SeptumPart": '"$(part)"'}
items = iter([{"part": part} for part in parts])
htcondor2.Schedd(ad).submit(htcondor2.Submit(commands), itemdata=items)
"""
_LOOKS = 3


def _carried_b() -> int:
    """Bytes that came in over the loopback interface since it is there; over it, what comes in has gone out."""
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    raise RuntimeError("no loopback interface")


def _run(number: int, folder: Path) -> Run:
    plan = plan_of(seeds(number), folder)
    run = Run(tag=f"laptop/counts{number}/-/-/0", plan=plan, folder=folder / "state")
    run.sent.mkdir(parents=True)
    return run


def stage(profile: Profile, credentials: Credentials, run: Run, _calls: Counter[str]) -> None:
    """Put the jobs into the queue."""
    parts = [part.id for part in run.plan.parts]
    subprocess.run(
        [sys.executable, "-c", _STAGE], check=True, text=True,
        env=client_environment(profile, credentials, run.folder),
        input=json.dumps([profile.collector, profile.schedd, run.tag, parts]),
    )  # fmt: skip


def look(profile: Profile, credentials: Credentials, run: Run, calls: Counter[str]) -> dict[str, Any]:
    """Look at them, extend their lease, remove them."""
    backend = HTCondorBackend(run, profile, credentials)
    parts = [part.id for part in run.plan.parts]
    assert len(backend.poll(parts, everything=False) or {}) == len(parts)
    found = _measure(backend, parts, calls)
    backend.remove(None)
    backend.close()
    return found


def main() -> None:
    """Do one of the two for each number of jobs; print what was found as JSON."""
    calls: Counter[str] = Counter()
    whole_call = Bindings.call

    def counted(self: Bindings, name: str, **arguments: Any) -> Any:
        calls[name] += 1
        return whole_call(self, name, **arguments)

    Bindings.call = counted  # type: ignore[method-assign]
    options = Options(config=Path("septum.yaml"), cluster="pool")
    profile = load_profile(options)
    found = {}
    with open_credentials(profile, options, lambda _: None) as supervisor:
        for number in map(int, sys.argv[2:]):
            with tempfile.TemporaryDirectory() as folder:
                step = {"stage": stage, "look": look}[sys.argv[1]]
                found[number] = step(profile, supervisor.credentials, _run(number, Path(folder)), calls)
    print(json.dumps(found))  # noqa: T201


def _measure(backend: HTCondorBackend, parts: list[str], calls: Counter[str]) -> dict[str, Any]:
    calls.clear()
    before_b = _carried_b()
    for _ in range(_LOOKS):
        assert backend.poll(parts, everything=False) is None
    look_b, looks = (_carried_b() - before_b) / _LOOKS, dict(calls)
    calls.clear()
    before_b = _carried_b()
    backend.extend(time.time() + 3600)
    return {"look_b": look_b, "looks": looks, "extend_b": _carried_b() - before_b, "extends": dict(calls)}


if __name__ == "__main__":
    main()
