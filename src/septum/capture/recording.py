"""Reads what the recording `condor_submit` has left. Each byte of it comes from a user's job, and is judged so."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from septum.errors import CaptureError

_CALL = re.compile(r"[0-9]{4,7}")
_UNFINISHED = re.compile(r"[0-9]{4,7}\.new")
_ANSWER = re.compile(r"([1-9][0-9]{0,8}) ([1-9][0-9]{0,8})")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST_B = 64 << 20
_MOST_LINES = 1_000_000
_SHOWN = 8
_LONGEST_SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One call of `condor_submit`, as it was recorded.

    Attributes:
        number: Its place among the calls, from 1.
        text: The submit description, line ends as they were.
        words: The arguments of the call.
        folder: The absolute path that it was called in; it need not exist here.
        environment: The variables that the description reads by `$ENV(NAME)` and that were set.
        answers: For each cluster that was answered its number of jobs and its `ClusterId`.
        items: The items of the last queue statement, if only the call could know them; else None.
        files: The names of the files that the jobs take along, and the copy (a file or a folder) of each. A relative
            name is as the expanded description has it, with a relative or absolute `initialdir` in front of it, without
            needless `./`, `//` and `/` at its end: use `copy_of`.
        left_out: The names of files that jobs would take along and that were not copied, and why.
    """

    number: int
    text: str
    words: tuple[str, ...]
    folder: PurePosixPath
    environment: Mapping[str, str]
    answers: tuple[tuple[int, int], ...]
    items: tuple[str, ...] | None
    files: Mapping[str, Path]
    left_out: Mapping[str, str]

    def copy_of(self, name: str, initialdir: str = "") -> Path | None:
        """The copy of a file as a job names it, or None if there is none.

        Args:
            name: The name in the expanded description. The executable is never below `initialdir`.
            initialdir: The job's `initialdir`, if it has one.
        """
        return self.files.get(name_of(name, initialdir))


def name_of(name: str, initialdir: str = "") -> str:
    """The name that a file has in `Submission.files` and `left_out`."""
    whole = name if name.startswith("/") or not initialdir else f"{initialdir}/{name}"
    parts = [part for part in whole.split("/") if part not in {"", "."}]
    return ("/" if whole.startswith("/") else "") + "/".join(parts) or "."


def read(recording: Path) -> tuple[Submission, ...]:
    """All calls of a recording, in their order.

    Raises:
        CaptureError: There is no recording, something was called that cannot be recorded, or the recording is damaged.
    """
    if not recording.is_dir():
        raise _none(recording, "there is no such folder")
    names = sorted(path.name for path in recording.iterdir())
    refused = (
        (_lines(recording, "refused") or ("a call of which there is no more to read\t",)) if "refused" in names else ()
    )
    if refused:
        shown = [_plain(line) for line in refused[:_SHOWN]]
        more = [f"and {len(refused) - _SHOWN} more"] if len(refused) > _SHOWN else []
        raise CaptureError(
            "framework: it called what cannot be recorded",
            evidence="\n".join([*shown, *more]),
            fix="let the script call condor_submit alone, and end with an error when that fails",
        )
    for name in names:
        if _UNFINISHED.fullmatch(name):
            raise CaptureError(
                f"framework: call {name[:-4]} of condor_submit was ended before it was recorded",
                fix="look above what ended it, and run the CI job again",
            )
    numbers = sorted((int(name), name) for name in names if _CALL.fullmatch(name))
    if not numbers:
        raise _none(recording, f"{recording} has no call in it")
    submissions = tuple(_read_call(recording / name, number) for number, name in numbers)
    clusters = [cluster for submission in submissions for _, cluster in submission.answers]
    if clusters != sorted(set(clusters)):
        raise _damaged(recording, "answer", "the ClusterIds do not increase")
    return submissions


def _none(recording: Path, seen: str) -> CaptureError:
    return CaptureError(
        "framework: no call of condor_submit was recorded",
        evidence=seen,
        fix=f"let the script submit its jobs by condor_submit; {recording.name}/ is the artifact of CI job 'prepare'",
    )


def _damaged(place: Path, member: str, seen: str) -> CaptureError:
    return CaptureError(
        f"framework: the recording is damaged: {place.name}/{member}",
        evidence=seen,
        fix="run the CI job 'prepare' again; nothing but septum's condor_submit may write to the recording",
    )


def _plain(text: str) -> str:
    """A text without control characters, short enough for a message."""
    return "".join(character if character.isprintable() else " " for character in text)[:_LONGEST_SHOWN]


def _read_call(place: Path, number: int) -> Submission:
    if place.is_symlink() or not place.is_dir():
        raise _damaged(place.parent, place.name, "it is no folder")
    folder = _lines(place, "folder")
    if len(folder) != 1 or not folder[0].startswith("/") or "\0" in folder[0]:
        raise _damaged(place, "folder", "it is not one absolute path")
    present = {name for name in ("items", "files", "left-out") if os.path.lexists(place / name)}
    _refuse_links(place)
    return Submission(
        number=number,
        text=_text(place, "description"),
        words=_lines(place, "words"),
        folder=PurePosixPath(folder[0]),
        environment=MappingProxyType(_environment(place)),
        answers=_answers(place),
        items=_lines(place, "items") if "items" in present else None,
        files=MappingProxyType(_copies(place) if "files" in present else {}),
        left_out=MappingProxyType(dict(_pairs(place, "left-out")) if "left-out" in present else {}),
    )


def _text(place: Path, member: str) -> str:
    """The text of a member, line ends as they are."""
    path = place / member
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise _damaged(place, member, "it is no file")
            content = stream.read(_LARGEST_B + 1)
    except OSError as error:
        raise _damaged(place, member, error.strerror or str(error)) from error
    if len(content) > _LARGEST_B:
        raise _damaged(place, member, f"it is larger than {_LARGEST_B >> 20} MB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CaptureError(
            f"framework: {place.name}/{member} is not UTF-8, in line {line}",
            evidence=f"the byte is {content[error.start]:#04x}",
            fix="write submit descriptions and names of files in UTF-8",
        ) from error


def _lines(place: Path, member: str) -> tuple[str, ...]:
    text = _text(place, member)
    if not text:
        return ()
    lines = text.removesuffix("\n").split("\n")
    if len(lines) > _MOST_LINES:
        raise _damaged(place, member, f"it has more than {_MOST_LINES} lines")
    return tuple(lines)


def _pairs(place: Path, member: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_lines(place, member), 1):
        name, tab, value = line.partition("\t")
        if not (name and tab and value) or not all(part.isprintable() for part in (name, value)):
            raise _damaged(place, member, f"line {number}: {_plain(line)}")
        yield name, value


def _environment(place: Path) -> dict[str, str]:
    found = {}
    for number, line in enumerate(_lines(place, "environment"), 1):
        name, equals, value = line.partition("=")
        if not (equals and _NAME.fullmatch(name)):
            raise _damaged(place, "environment", f"line {number}: {_plain(name)}")
        found[name] = value
    return found


def _answers(place: Path) -> tuple[tuple[int, int], ...]:
    found = []
    for number, line in enumerate(_lines(place, "answer"), 1):
        match = _ANSWER.fullmatch(line)
        if match is None:
            raise _damaged(place, "answer", f"line {number}: {_plain(line)}")
        found.append((int(match[1]), int(match[2])))
    return tuple(found)


def _copies(place: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    root = place.resolve()
    for name, stored in _pairs(place, "files"):
        path = PurePosixPath(stored)
        if path.parts[:2] not in {("stored", "in"), ("stored", "abs")} or ".." in path.parts:
            raise _damaged(place, "files", f"{_plain(name)}: {_plain(stored)} is no place of a copy")
        whole = root / path
        if not whole.exists() or found.get(name_of(name), whole) != whole:
            raise _damaged(place, "files", f"{_plain(name)}: {_plain(stored)} is not there, or not the only one")
        found[name_of(name)] = whole
    return found


def _refuse_links(place: Path) -> None:
    """Copies are files and folders; a link could lead anywhere on the machine that reads the recording."""
    for folder, folders, files in os.walk(place / "stored"):
        for name in (*folders, *files):
            mode = os.lstat(os.path.join(folder, name)).st_mode  # noqa: PTH118 - a text may be no UTF-8
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise _damaged(place, "stored", f"{_plain(name)} is neither a file nor a folder")
    if (place / "stored").is_symlink():
        raise _damaged(place, "stored", "it is a link")
