"""Looks at the queue of a run as `septum collect` does: `python -m benchmarks.growth.looks WHAT…`, in its folder.

`changed` is a look at a queue in which something happened: a summary, then all jobs. `same` is one at a queue in which
nothing did. Prints JSON: the seconds that each took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from septum.backends.base import JobReport
from septum.stages.wiring import Options, load_profile, open_backend, open_credentials
from septum.state import State
from septum.states import JobState


def main(looks: list[str]) -> None:
    """Look as often as there are words."""
    options = Options(config=Path("septum.yaml"), cluster="pool")
    state, profile = State(options.state), load_profile(options)
    run = state.run(state.load_plan(), state.load_receipt().tag)
    parts = [part.id for part in run.plan.parts]
    found = []
    with (
        open_credentials(profile, options, lambda _: None) as supervisor,
        open_backend(run, profile, supervisor.credentials, options) as backend,
    ):
        if "same" in looks:
            # Files that have just arrived: the schedd releases their jobs a moment after it told their sender.
            while _is_spooling(backend.poll(parts, everything=True) or {}):
                time.sleep(0.5)
        for look in looks:
            began = time.perf_counter()
            reports = backend.poll(parts, everything=look == "changed")
            found.append(time.perf_counter() - began)
            if (reports is None) is not (look == "same"):
                raise RuntimeError(f"{look}: {len(reports or {})} reports")
    print(json.dumps(found))


def _is_spooling(reports: Mapping[str, JobReport]) -> bool:
    return any(report.state is JobState.HELD for report in reports.values())


if __name__ == "__main__":
    main(sys.argv[1:])
