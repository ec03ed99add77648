"""Looks at a pipeline again and again, and remembers what the traces of its CI jobs told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from septum.errors import TryAgainError
from septum.watching.door import Door, Mark
from septum.watching.model import AHEAD, CiJob, View, analyses
from septum.watching.told import Told, after
from septum.watching.trace import Lines

LARGEST_B = 128 << 20
"""So much of a trace is read for its status lines; GitLab itself keeps 100 MB by default."""
RATE_B_S = 100_000
"""Where GitLab sends a trace from its beginning each time, it is asked for so seldom that no more than this flows."""
LONGEST_PAUSE_S = 300.0
"""Between two looks while GitLab is away; the first are closer together."""
PATIENCE_S = 900.0
"""How long GitLab may be away while a pipeline is followed."""


class Clock(Protocol):
    """Time, passed in so that tests need not wait."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait; a signal may end it early."""


@dataclass(slots=True, kw_only=True)
class _Reader:
    """What is known of one trace."""

    mark: Mark = field(default_factory=Mark)
    lines: Lines = field(default_factory=Lines)
    told: Told = field(default_factory=Told)
    not_before_s: float = 0.0
    done: bool = False


class Watch:
    """One pipeline.

    Args:
        door: Its project.
        number: Its number.
        clock: Time.
    """

    def __init__(self, door: Door, number: int, clock: Clock) -> None:
        self.door, self.number = door, number
        self._clock = clock
        self._readers: dict[int, _Reader] = {}

    def look(self) -> View:
        """The pipeline as it is now: one question for every hundred CI jobs, and one for each analysis in it.

        Raises:
            SeptumError: GitLab did not answer, or does not let us look.
        """
        self.door.close()
        before = self.door.requests
        pipeline, jobs = self.door.jobs(self.number)
        view = View(pipeline=pipeline, jobs=jobs)
        for job in self._worth_reading(view):
            self._read(job)
        told = {number: reader.told for number, reader in self._readers.items()}
        children = () if analyses(jobs) else self.door.children(self.number)
        requests = self.door.requests - before
        return View(pipeline=pipeline, jobs=jobs, told=told, requests=requests, children=children)

    def _worth_reading(self, view: View) -> Sequence[CiJob]:
        """The CI jobs that tell how things are, those that ended since, and the one that failed the pipeline."""
        tellers = [analysis.teller for analysis in analyses(view.jobs)]
        begun = [job for job in view.jobs if job.id in self._readers]
        culprits = [view.culprit] if view.pipeline.ended else []
        wanted = {job.id: job for job in [*tellers, *begun, *culprits] if job is not None and job.status not in AHEAD}
        now_s = self._clock.now()
        readers = {number: self._readers.setdefault(number, _Reader()) for number in wanted}
        return [
            job
            for number, job in wanted.items()
            if not readers[number].done and (not job.going or now_s >= readers[number].not_before_s)
        ]

    def _read(self, job: CiJob) -> None:
        reader = self._readers[job.id]
        for piece in self.door.more(job.id, reader.mark):
            for line in reader.lines.feed(piece):
                reader.told = after(reader.told, line)
            if reader.mark.at > LARGEST_B:
                reader.done = True
                return
        reader.not_before_s = self._clock.now() + reader.mark.sent / RATE_B_S
        if not job.going:
            for line in reader.lines.close():
                reader.told = after(reader.told, line)
            reader.done = True


def follow(
    watch: Watch,
    *,
    clock: Clock,
    every_s: float,
    show: Callable[[View], None],
    warn: Callable[[TryAgainError], None],
    until: Callable[[View], bool] = lambda view: view.over,
) -> View:
    """Look until it is over.

    Args:
        watch: The pipeline.
        clock: Time.
        every_s: Between two looks, in seconds.
        show: Takes every look.
        warn: Takes what keeps us from looking, once for each time that GitLab is away.
        until: Whether it is over.

    Raises:
        TryAgainError: GitLab was away for too long.
        SeptumError: It does not let us look.
    """
    away_since_s: float | None = None
    pause_s = every_s
    while True:
        try:
            view = watch.look()
        except TryAgainError as error:
            if away_since_s is None:
                away_since_s = clock.now()
                warn(error)
            if clock.now() - away_since_s >= PATIENCE_S:
                raise
            # Who is away may be so because too many ask.
            pause_s = min(2 * pause_s, max(every_s, LONGEST_PAUSE_S))
        else:
            away_since_s, pause_s = None, every_s
            show(view)
            if until(view):
                return view
        clock.sleep(pause_s)
