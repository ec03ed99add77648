"""What a CI job of septum told in its trace: where its parts are, how it ended, where the result is. Pure.

A trace holds words of others as well: of the runner, of the user's own lines, of a framework. Only whole lines in
septum's own form, and in the section that septum opens for them, are taken, and all of it is for display alone: who
can write into a CI job's trace can forge these lines, and nothing is decided by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from septum.states import PartState
from septum.watching.trace import Line

COLLECT = "septum_collect"
"""The section in which septum tells of its parts."""
_AFTER = "after_script"
_LONGEST = 4096
_STATES = {state.value: state for state in PartState}
_ORDER = tuple(_STATES)
_COUNT = re.compile(r"(0|[1-9][0-9]{0,8}) ([a-z]+)")
_ERROR = re.compile(r"septum: (?P<words>.{1,2000}) \[(?P<code>E[0-9]{3})\]")
_IN = re.compile(r"(?P<name>.{1,200}): [0-9]{1,9} of [0-9]{1,9} parts are in")
_STORY = re.compile(r"the whole story: (?P<path>.{1,500})/report\.html")
_REMOVED = re.compile(r"([0-9]{1,9}) jobs removed")
_CANCELLED = re.compile(r"cancelled by SIG[A-Z]{2,6}; ([0-9]{1,9}) jobs were removed")
NONE_LEFT = "no job of this run is left on the cluster: "
"""How collect begins to say that there is nothing to go on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the trace of one CI job said so far.

    Attributes:
        parts: How many parts are in which state, in the order of the states; empty if it did not say.
        code: The code of the error that it ended with, such as `E301`; empty for none.
        words: What that error says.
        summary: Its own last line about the parts: `dimuon: 100 of 100 parts are in`.
        result: The folder of the result in the artifact; empty if it did not say.
        removed: How many jobs were removed from the cluster on cancelling; None if it did not say.
        left: What the clean-up failed with, where it did.
        none_left: Whether it said that no job of the run is left on the cluster.
    """

    parts: Mapping[str, int] = field(default_factory=dict)
    code: str = ""
    words: str = ""
    summary: str = ""
    result: str = ""
    removed: int | None = None
    left: str = ""
    none_left: bool = False

    @property
    def total(self) -> int:
        """How many parts there are."""
        return sum(self.parts.values())

    @property
    def says(self) -> str:
        """The parts as a line: `3 idle, 12 running`."""
        return ", ".join(f"{number} {state}" for state, number in self.parts.items())


def after(told: Told, line: Line) -> Told:
    """What is known after one more line."""
    text = line.text if line.whole and len(line.raw) <= _LONGEST else ""
    if not text:
        return told
    if COLLECT in line.sections:
        return _collecting(told, text)
    return _cleaned(told, text) if _AFTER in line.sections else _ended(told, text)


def _collecting(told: Told, text: str) -> Told:
    if parts := counts(text):
        # A CI job that is at it again has not failed.
        return replace(told, parts=parts, code="", words="")
    return replace(told, none_left=True) if text.startswith(NONE_LEFT) else told


def _ended(told: Told, text: str) -> Told:
    """After a line of how the CI job ended."""
    if found := _ERROR.fullmatch(text):
        cancelled = _CANCELLED.fullmatch(found["words"])
        removed = int(cancelled[1]) if cancelled is not None else told.removed
        return replace(told, code=found["code"], words=found["words"], removed=removed)
    # The ending first: most lines are others', and this pattern is slow to say no.
    if text.endswith(" parts are in") and _IN.fullmatch(text):
        return replace(told, summary=text)
    story = _STORY.fullmatch(text)
    return replace(told, result=_folder(story["path"]) or told.result) if story is not None else told


def _cleaned(told: Told, text: str) -> Told:
    """After a line of what GitLab runs when a CI job is cancelled."""
    if found := _REMOVED.fullmatch(text):
        # The signal handler may have removed them before.
        return replace(told, removed=max(int(found[1]), told.removed or 0), left="")
    if found := _ERROR.fullmatch(text):
        return replace(told, left=f"{found['words']} [{found['code']}]")
    return told


def counts(text: str) -> Mapping[str, int]:
    """A status line of collect, `3 idle, 12 running`; empty if it is none."""
    found: dict[str, int] = {}
    for piece in text.split(", ") if len(text) < 200 else []:  # noqa: PLR2004 - eight states are shorter
        match = _COUNT.fullmatch(piece)
        if match is None or match[2] not in _STATES or match[2] in found:
            return {}
        found[match[2]] = int(match[1])
    return found if list(found) == [state for state in _ORDER if state in found] else {}


def _folder(text: str) -> str:
    """A folder in an artifact; empty if it cannot be one."""
    path = PurePosixPath(text)
    return "" if path.is_absolute() or ".." in path.parts else path.as_posix()
