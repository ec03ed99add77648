"""What a workspace says of the parts: facts in the names of its files, and what septum itself has said. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from septum.backends.base import BY_ITS_RUN, REMOVED_BY_US, JobReport
from septum.backends.reana.model import CREATED, DELETED, OVER, WAITING, RemoteFile, Workflow
from septum.backends.reana.workflow import BACK, SAID, STATE, parts_in, ranges
from septum.plan import Plan
from septum.states import JobState

# A command of a part can write there, too: numbers have an end.
_MARKER = re.compile(
    rf"{STATE}/(\d{{1,12}})\.(?:(ended)|began\.(\d{{1,9}})\.(.*)|told\.(\d{{1,9}})\.(x|\d{{1,4}})\.(\d{{1,18}})\.([a-z]+)\.(.*))",
    re.ASCII,
)
_BACK = re.compile(rf"{BACK}/(\d{{1,12}})\.tar", re.ASCII)
_SAID = re.compile(rf"{SAID}/(\d{{6}})-([0-9a-f]{{16}})\.json")
_FIRST_SIGNAL_CODE, _LAST_SIGNAL_CODE = 128, 128 + 64
_OUT_OF_RESOURCES, _RAN_TOO_LONG = 34, 47
"""HTCondor's codes, which the rest of septum has its judgement on: too much memory, too much time."""

_ENDS = {"OOMKilled": _OUT_OF_RESOURCES, "DeadlineExceeded": _RAN_TOO_LONG}
_LAST_LINES = 3

AGAIN, OK, TIMEOUT, LEASE, STOPPED, MEMORY, EVICTED = "again", "ok", "timeout", "lease", "stopped", "memory", "evicted"
DAMAGED, UNPACKED = "damaged", "unpacked"
"""What a step says of the end of an attempt; see `step.sh`."""

_WORDS = {
    LEASE: "the lease of its run ended: septum spoke no more for it",
    DAMAGED: "its input files in the workspace are not what was sent, or cannot be unpacked",
    UNPACKED: "its outputs could not be packed in the workspace; is the disk full?",
}


_STOPPED_THERE = "its workflow was stopped in REANA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the names of the files of one part tell.

    Attributes:
        attempts: How often it was started.
        flag: How the last attempt ended; empty if it did not.
        exit_code: Of that attempt; None where it had none.
        memory_b: The largest memory that was seen; None if nobody measured.
        host: Where it ran last.
        since_s: Seconds since the epoch, on the server's clock, of what it did last.
        ended: Whether the marker of its end is there.
        back_b: The size of what comes back; None where there is nothing.
    """

    attempts: int = 0
    flag: str = ""
    exit_code: int | None = None
    memory_b: int | None = None
    host: str = ""
    since_s: float | None = None
    ended: bool = False
    back_b: int | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended, and the workspace says how."""
        return bool(self.flag) and self.flag != AGAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What septum has said of one workflow, in its workspace.

    Attributes:
        serial: Counts what was said; 0 for nothing.
        removed: Part to the reason why its job went.
        lost: Part to how often its step ended without a verdict.
        judged: Part to the code of the error that an earlier collect ended it with.
        collected: Whether one has ended the run without a result.
        blamed: The run whose failure is in `lost` already.
        restarts: How many parts had a verdict at each restart.
    """

    serial: int = 0
    removed: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    judged: Mapping[str, str] = field(default_factory=dict)
    collected: bool = False
    blamed: str = ""
    restarts: tuple[int, ...] = ()

    def file(self) -> tuple[str, bytes]:
        """Its path in the workspace and its content: each is a new file, so that nobody reads half of one.

        Where the workspace is copied to a worker and back, an old file may come back, and counts no more.
        """
        data = {
            "removed": _by_text(self.removed),
            "lost": dict(self.lost),
            "judged": _by_text(self.judged),
            "collected": self.collected,
            "blamed": self.blamed,
            "restarts": list(self.restarts),
        }
        content = (json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n").encode()
        return f"{SAID}/{self.serial:06d}-{hashlib.sha256(content).hexdigest()[:16]}.json", content


def _by_text(texts: Mapping[str, str]) -> dict[str, str]:
    """Text to the parts that it is said of: thousands of them mostly share one."""
    parts: dict[str, list[str]] = {}
    for part, text in texts.items():
        parts.setdefault(text, []).append(part)
    return {text: ranges(each) for text, each in parts.items()}


def _by_part(texts: Mapping[str, Any]) -> dict[str, str]:
    return {part: str(text) for text, parts in texts.items() for part in parts_in(str(parts))}


def said_names(files: Iterable[str]) -> list[str]:
    """The files with what septum has said, the last first."""
    return sorted((name for name in files if _SAID.fullmatch(name)), reverse=True)


def read_said(name: str, content: bytes) -> Said | None:
    """Read such a file; None if it was cut: a septum that was killed while it spoke has said nothing."""
    found = _SAID.fullmatch(name)
    if found is None or hashlib.sha256(content).hexdigest()[:16] != found[2]:
        return None
    try:
        data = json.loads(content)
        return Said(
            serial=int(found[1]),
            removed=_by_part(data["removed"]),
            lost={str(part): int(times) for part, times in data["lost"].items()},
            judged=_by_part(data["judged"]),
            collected=data["collected"] is True,
            blamed=str(data["blamed"]),
            restarts=tuple(int(ended) for ended in data["restarts"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def read_facts(files: Mapping[str, RemoteFile]) -> dict[str, Facts]:
    """What a listing says of each part that it knows anything of."""
    found: dict[str, Facts] = {}
    for name, file in files.items():
        if back := _BACK.fullmatch(name):
            found[back[1]] = replace(found.get(back[1], Facts()), back_b=file.size_b)
        elif marker := _MARKER.fullmatch(name):
            found[marker[1]] = _with(found.get(marker[1], Facts()), marker, file.modified_s)
    return found


def _with(facts: Facts, marker: Any, modified_s: float | None) -> Facts:
    _, ended, began, began_host, told, code, memory, flag, told_host = marker.groups()
    if ended:
        return replace(facts, ended=True)
    number = int(began or told)
    # Of one attempt, what it said at its end is the later word.
    if number < facts.attempts or (number == facts.attempts and facts.flag and began):
        return facts
    if began:
        return replace(facts, attempts=number, host=began_host, since_s=modified_s, flag="", exit_code=None)
    return replace(
        facts,
        attempts=number,
        flag=flag,
        exit_code=int(code) if code.isdigit() else None,
        memory_b=int(memory) or None,
        host=told_host,
        since_s=modified_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One workflow with its restarts, as it was last seen.

    Attributes:
        workflow: Its last restart.
        earlier: The runs before that, in the same workspace, which are not deleted.
        number: Which job of its part each of its jobs is.
        parts: The parts that it has jobs for.
        facts: What its workspace says of them.
        said: What septum has said.
        empty: Whether the workspace is gone.
        was_started: Whether it had been started when it was seen before.
        word: Why another workflow with these parts was removed, which could not say so itself; this one was made for
            that only.
    """

    workflow: Workflow
    number: int
    parts: tuple[str, ...]
    earlier: tuple[Workflow, ...] = ()
    facts: Mapping[str, Facts] = field(default_factory=dict)
    said: Said = field(default_factory=Said)
    empty: bool = False
    was_started: bool = False
    word: str = ""

    @property
    def ran(self) -> bool:
        """Whether it was ever started: of one that was not, nobody has to hear, unless it was made to be heard."""
        if self.word:
            return True
        deleted = self.workflow.status == DELETED
        began = self.was_started or bool(self.workflow.progress.get("total"))
        return self.workflow.status != CREATED and (began or not deleted)

    @property
    def open_parts(self) -> list[str]:
        """The parts of which there is no verdict yet."""
        return [part for part in self.parts if part not in self.said.removed and not self.of(part).done]

    @property
    def held_parts(self) -> list[str]:
        """The parts that have ended and whose outputs are here."""
        return [part for part in self.parts if part not in self.said.removed and self.holds(part)]

    def of(self, part: str) -> Facts:
        """What the workspace says of a part."""
        return self.facts.get(part, Facts())

    def holds(self, part: str) -> bool:
        """Whether a part has ended and its outputs are here."""
        return self.of(part).done and self.of(part).back_b is not None


def report(seen: Seen, part: str, plan: Plan, *, now_s: float) -> JobReport:
    """What is known of the job of one part.

    Args:
        seen: Its workflow.
        part: The part.
        plan: The plan.
        now_s: Seconds since the epoch on the server's clock.
    """
    facts, said, workflow = seen.facts.get(part, Facts()), seen.said, seen.workflow
    since_s = facts.since_s if facts.since_s is not None else workflow.created_s
    base = JobReport(
        part=part,
        job=f"{workflow.full_name}/{part}",
        state=JobState.LOST,
        attempts=facts.attempts,
        host=facts.host,
        memory_b=facts.memory_b,
        number=seen.number,
        since_s=int(max(0.0, now_s - since_s)) if since_s is not None else 0,
        starts=facts.attempts,
        judged=said.judged.get(part, ""),
        collected=said.collected,
    )
    if seen.word:
        return replace(base, state=JobState.REMOVED, reason=seen.word)
    if part in said.removed:
        return _removed(base, said.removed[part], plan)
    if not seen.ran or workflow.status == DELETED or seen.empty:
        return _without_workspace(base, seen)
    if facts.done:
        return _ended(base, facts, seen, plan)
    return _going(base, seen)


def _going(base: JobReport, seen: Seen) -> JobReport:
    """The report on a part without a verdict."""
    if seen.workflow.status == "stopped":
        return replace(base, state=JobState.REMOVED, reason=_STOPPED_THERE)
    if seen.workflow.status in OVER:
        return base
    waits = seen.workflow.status in WAITING or not base.attempts
    return replace(base, state=JobState.IDLE if waits else JobState.RUNNING)


def _without_workspace(base: JobReport, seen: Seen) -> JobReport:
    if seen.workflow.status == DELETED and seen.ran:
        return replace(base, state=JobState.REMOVED, reason="its workflow was deleted in REANA")
    return base


def _removed(base: JobReport, reason: str, plan: Plan) -> JobReport:
    """A job that septum removed, or whose step REANA ended, for a reason that the rest of septum may know."""
    code = None if reason.startswith(REMOVED_BY_US) else out_of(reason)
    if code is None:
        return replace(base, state=JobState.REMOVED, reason=reason)
    return _held(base, code, reason, plan)


def _held(base: JobReport, code: int, reason: str, plan: Plan) -> JobReport:
    # As if all of HTCondor's own larger requests had been tried: nobody tries them here.
    tried = len(plan.request.memory_retries_b) + 1
    return replace(
        base,
        state=JobState.HELD,
        hold_code=code,
        released_times=tried,
        reason=reason,
        timed_out=code == _RAN_TOO_LONG,
    )


def _ended(base: JobReport, facts: Facts, seen: Seen, plan: Plan) -> JobReport:
    """The report on a part that has a verdict."""
    flag = facts.flag
    if flag in {STOPPED, LEASE, DAMAGED, UNPACKED}:
        reason = _WORDS.get(flag) or f"{REMOVED_BY_US} {BY_ITS_RUN}"
        return replace(base, state=JobState.REMOVED, reason=reason)
    if flag == MEMORY:
        reason = f"one of its processes was killed for want of memory; exit code {facts.exit_code}"
        return _held(base, _OUT_OF_RESOURCES, reason, plan)
    if flag == EVICTED and seen.workflow.status == "stopped":
        return replace(base, state=JobState.REMOVED, reason=_STOPPED_THERE)
    if facts.back_b is None:
        return base  # its outputs are gone from the workspace
    code = facts.exit_code
    killed = code is not None and _FIRST_SIGNAL_CODE < code <= _LAST_SIGNAL_CODE
    if flag == EVICTED:
        # Its worker ended it; without signal and code, that the wrapper said nothing is what counts.
        return replace(base, state=JobState.ENDED)
    return replace(
        base,
        state=JobState.ENDED,
        timed_out=flag == TIMEOUT,
        signal=code - _FIRST_SIGNAL_CODE if killed and code is not None else None,
        exit_code=None if killed else code,
    )


def out_of(reason: str) -> int | None:
    """HTCondor's code for a reason that begins with what REANA says of the end of a step, if septum knows that one."""
    return next((code for words, code in _ENDS.items() if reason.startswith(words)), None)


def end_of(text: str) -> str:
    """What REANA itself wrote below the log of a step: why its pod ended. Empty if septum does not know it."""
    lines = [line.strip() for line in text.strip().splitlines()[-_LAST_LINES:]]
    return next((words for words in _ENDS for line in lines if line.startswith(words)), "")
