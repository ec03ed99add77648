"""The workflow engine of one run: `python -m tests.fakes.reana.engine FOLDER`, in the Python of `tools`.

Snakemake workflows as REANA 0.9 has them: Snakemake itself, with our executor in place of its cluster one, so a job
costs one process and not a second Snakemake. The first job that fails makes the run fail, and what runs is killed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from tests.fakes.reana.jobs import Events, Jobs, SubmissionError

MOST_JOBS = 300
"""How many jobs REANA hands in at once (SNAKEMAKE_MAX_PARALLEL_JOBS)."""
_HEED_S = 0.05
STOP = "stop"
"""The file in the folder of a run that ends it."""
_LAST_WORDS = "Workflow exited unexpectedly."


class Engine:
    """One run."""

    def __init__(self, folder: Path) -> None:
        self.run: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        self.events = Events(folder / "events.jsonl")
        self.jobs = Jobs(run=self.run, folder=folder, events=self.events)
        self.ended = threading.Event()

    def say(self, *words: object) -> None:
        """Write a line into the log of the engine."""
        print(time.strftime("%Y-%m-%d %H:%M:%S"), "|", *words, flush=True)  # noqa: T201 - it is a log

    def fail(self, words: str = "") -> None:
        """The run has failed; kill what runs. Only the first time counts."""
        if not self.ended.is_set():
            self.ended.set()
            self.events.write(run="failed", logs=words)
            self.jobs.close()

    def heed(self, stop: Path) -> None:
        """Wait until the server wants the run to stop. A signal would not do: Snakemake has its own answer to it."""
        while not stop.exists():
            time.sleep(_HEED_S)
        self.say("Termination signal received. Workflow interrupted ...")
        self.fail(_LAST_WORDS)

    def submit(self, name: str, command: str, image: str, resources: dict[str, Any]) -> str:
        """Hand in a job; a refusal stands in the log of the workflow, as REANA's job controller has it."""
        try:
            job = self.jobs.submit(name, command, image, resources)
        except SubmissionError as err:
            self.events.write(logs=f"{err}\n")
            self.say(f"Error submitting job {name}: {err}")
            raise
        self.say(f"submitted job: {job}")
        return job

    def serial(self) -> bool:
        """One command after the other."""
        from reana_commons.serial import serial_load

        specification = serial_load(None, self.run["specification"], self.run["parameters"])
        steps = specification["steps"]
        self.events.write(total=sum(len(step["commands"]) for step in steps))
        wanted = self.run["options"].get("FROM"), self.run["options"].get("TARGET")
        for step in _chosen(steps, *wanted):
            for command in step["commands"]:
                try:
                    job = self.submit(step.get("name", ""), command, step.get("environment", ""), step)
                except SubmissionError:
                    return False
                if self.jobs.wait(job) != "finished":
                    return False
        return True

    def snakemake(self) -> bool:
        """Snakemake's own scheduler, and our executor."""
        from snakemake import scheduler, snakemake

        from tests.fakes.reana.executor import Executor

        Executor.engine = self
        scheduler.GenericClusterExecutor = Executor
        return bool(
            snakemake(
                os.path.join(self.run["workspace"], self.run["file"]),  # noqa: PTH118 - a string is asked for
                printshellcmds=True,
                cluster="reana",
                config=self.run["parameters"],
                workdir=self.run["workspace"],
                notemp=True,
                nodes=MOST_JOBS,
                keep_logger=True,
            )
        )


def _chosen(steps: list[dict[str, Any]], first: str | None, last: str | None) -> list[dict[str, Any]]:
    names = [step.get("name") for step in steps]
    begin = names.index(first) if first else 0
    end = names.index(last) + 1 if last else len(steps)
    return steps[begin:end]


def main(folder: Path) -> int:
    """Run it to its end."""
    engine = Engine(folder)
    os.umask(0o002)

    threading.Thread(target=engine.heed, args=(folder / STOP,), daemon=True).start()
    engine.jobs.begin()
    engine.events.write(run="running")
    engine.say("Workflow spec received:", engine.run["file"] or engine.run["type"])
    try:
        good = engine.snakemake() if engine.run["type"] == "snakemake" else engine.serial()
    except Exception as err:  # noqa: BLE001 - whatever it was, the run has failed
        traceback.print_exc()
        engine.fail(f"{_LAST_WORDS}\n{err}")
        return 1
    if not good:
        engine.fail(_LAST_WORDS)
    elif not engine.ended.is_set():
        engine.ended.set()
        engine.say(f"Workflow {engine.run['id']} finished.")
        engine.events.write(run="finished")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
