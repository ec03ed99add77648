"""What the pipeline runner prints, read line by line: which CI job began, said something, or ended. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

_STARTED = re.compile(r"starting shell \(.*\)")
_FINISHED = re.compile(
    r"finished in (?P<time>[\d.]+ \w+(?: [\d.]+ \w+)*)(?: +(?P<verdict>FAIL|WARN)(?: +(?P<code>\d+))?)? *"
)
_SAID = "> "


class Ended(Enum):
    """How a CI job ended."""

    PASSED = "passed"
    WARNED = "failed, as it may"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a CI job.

    Attributes:
        job: Its name.
        ended: How it ended; None if it has not.
        exit_code: With which exit code it failed; None if it did not, or nobody says.
        took: How long it took, in the runner's words.
        said: A line of its own; None if this is not about one.
    """

    job: str
    ended: Ended | None = None
    exit_code: int | None = None
    took: str = ""
    said: str | None = None


@dataclass(slots=True)
class Reader:
    """Reads the lines of the runner.

    Args:
        jobs: The names of all CI jobs.
    """

    jobs: Sequence[str]
    _by_length: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        # One name may begin with another.
        self._by_length = sorted(self.jobs, key=len, reverse=True)

    def read(self, line: str) -> Iterator[Event]:
        """What a line says; nothing for those of the runner itself."""
        job = next((name for name in self._by_length if line.startswith(f"{name} ")), None)
        if job is None:
            return
        rest = line.removeprefix(job).lstrip(" ")
        if rest.startswith(_SAID):
            yield Event(job=job, said=rest.removeprefix(_SAID))
        elif _STARTED.fullmatch(rest):
            yield Event(job=job)
        elif found := _FINISHED.fullmatch(rest):
            ended = {"FAIL": Ended.FAILED, "WARN": Ended.WARNED}.get(found["verdict"] or "", Ended.PASSED)
            yield Event(
                job=job, ended=ended, exit_code=int(found["code"]) if found["code"] else None, took=found["time"]
            )
