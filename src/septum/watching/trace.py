"""The trace of a CI job as lines: without GitLab's markers and the runner's timestamps, whatever is written in it.

Pure, and fed piece by piece: of a trace of any size, one line is held at most, and of a long line only its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

LONGEST_B = 1 << 16
"""A line that is longer comes in pieces."""
# "Custom collapsible sections" in GitLab's page on CI/CD job logs.
_MARKER = re.compile(
    rb"(?:\x1b\[0K)?section_(start|end):\d{1,20}:([A-Za-z0-9_.-]{1,200})(?:\[[^\]\r\n]{0,200}\])?\r(?:\x1b\[0K)?"
)
# FF_TIMESTAMPS of the runner: time, number of the stream, which stream, and whether the line before goes on.
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [0-9a-f]{2}[EO][+ ]")
_STAMP_B = 32
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_]|$)")
_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,40}m")
_RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a trace.

    Attributes:
        raw: The text as it was written, escapes included.
        sections: The names of the sections that are open, from outside to inside.
        whole: Whether it is a line from beginning to end, and no piece of a longer one.
    """

    raw: str
    sections: tuple[str, ...] = ()
    whole: bool = True

    @property
    def text(self) -> str:
        """The text alone: nothing in it moves a cursor, hides or reorders what is around it."""
        return visible(_ESCAPE.sub("", self.raw))

    @property
    def coloured(self) -> str:
        """The text with its colours, and no other escapes; they end with the line."""
        if "\x1b" not in self.raw:
            return self.text
        pieces, at = [], 0
        for found in _ESCAPE.finditer(self.raw):
            pieces.append(visible(self.raw[at : found.start()]))
            if _COLOUR.fullmatch(found[0]):
                pieces.append(found[0])
            at = found.end()
        pieces.append(visible(self.raw[at:]))
        shown = "".join(pieces)
        return shown + _RESET if "\x1b" in shown else shown


def visible(text: str) -> str:
    """A text in which every character can be seen; tabs become blanks."""
    text = text.expandtabs(8)
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text
    )


class Lines:
    """Takes a trace in pieces, and gives its lines."""

    def __init__(self) -> None:
        self._rest = b""
        self._cut = False
        self._stamped: bool | None = None
        self._waiting: Line | None = None
        self._sections: list[str] = []

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that are complete with the next piece."""
        *complete, self._rest = (self._rest + data).split(b"\n")
        for raw in complete:
            yield from self._line(raw, ends=True)
        while len(self._rest) > LONGEST_B:
            piece, self._rest = self._rest[:LONGEST_B], self._rest[LONGEST_B:]
            yield from self._line(piece, ends=False)

    def close(self) -> Iterator[Line]:
        """What is left: a last line without an end."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._line(rest, ends=True)
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            yield waiting

    def _line(self, raw: bytes, *, ends: bool) -> Iterator[Line]:
        goes_on = False
        if not self._cut:
            if self._stamped is None:
                self._stamped = _STAMP.match(raw) is not None
            if self._stamped and _STAMP.match(raw):
                goes_on, raw = raw[_STAMP_B - 1 : _STAMP_B] == b"+", raw[_STAMP_B:]
        whole, self._cut = ends and not self._cut, not ends
        for line in self._without_markers(raw, whole=whole):
            yield from self._joined(line, goes_on=goes_on) if self._stamped else (line,)
            goes_on = False

    def _joined(self, line: Line, *, goes_on: bool) -> Iterator[Line]:
        """With timestamps, a line is complete when the next one does not go on with it."""
        waiting, self._waiting = self._waiting, replace(line, whole=line.whole and not goes_on)
        if waiting is None:
            return
        if goes_on and len(waiting.raw) < LONGEST_B:
            whole = waiting.whole and line.whole
            self._waiting = Line(raw=waiting.raw + line.raw, sections=waiting.sections, whole=whole)
        else:
            yield waiting

    def _without_markers(self, raw: bytes, *, whole: bool) -> Iterator[Line]:
        at, marked = 0, False
        # To look for the word first is ten times faster, and most lines have none.
        for found in _MARKER.finditer(raw) if b"section_" in raw else ():
            if raw[at : found.start()].strip(b"\r"):
                yield self._made(raw[at : found.start()], whole=whole)
            self._mark(found[1] == b"start", found[2].decode("ascii"))
            at, marked = found.end(), True
        rest = raw[at:]
        if rest or not marked:
            yield self._made(rest, whole=whole)

    def _mark(self, start: bool, name: str) -> None:  # noqa: FBT001 - which of the two markers it is
        if start:
            # So many sections within each other are nobody's, and would fill the memory.
            del self._sections[20:]
            self._sections.append(name)
        elif name in self._sections:
            del self._sections[len(self._sections) - 1 - self._sections[::-1].index(name) :]

    def _made(self, raw: bytes, *, whole: bool) -> Line:
        # What a carriage return writes over, GitLab does not show either.
        text = raw.rstrip(b"\r").rpartition(b"\r")[2]
        return Line(raw=text.decode("utf-8", "replace"), sections=tuple(self._sections), whole=whole)
