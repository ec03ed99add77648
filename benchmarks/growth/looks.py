"""Looks at the queue of a run as `septum collect` does: `python -m benchmarks.growth.looks WHAT…`, in its folder.

`changed` is a look at a queue in which something happened: a summary, then all jobs. `same` is one at a queue in which
nothing did. Prints JSON: the seconds that each took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from septum.stages.wiring import Options, load_profile, open_backend, open_credentials
from septum.state import State


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
            backend.poll(parts, everything=True)
        for look in looks:
            began = time.perf_counter()
            reports = backend.poll(parts, everything=look == "changed")
            found.append(time.perf_counter() - began)
            if (reports is None) is not (look == "same"):
                raise RuntimeError(f"{look}: {len(reports or {})} reports")
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
