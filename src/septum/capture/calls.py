"""The words of a call of `condor_submit`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# In the order in which condor_submit looks at them: an option may be cut short.
_WITH_VALUE: tuple[str, ...] = (
    "append",
    "batch-name",
    "name",
    "remote",
    "addr",
    "pool",
    "password",
    "file",
    "dump",
    "dry-run",
)
_WITH_VALUE += ("maxjobs", "stm", "queue")
_ALONE: tuple[str, ...] = (
    "spool",
    "terse",
    "verbose",
    "unused",
    "debug",
    "disable",
    "factory",
    "interactive",
    "allow-crlf-script",
)
_ALONE += ("single-cluster", "generate-submit-digest", "force-mpi-universe", "capability", "help", "version")
_SITE = ("name", "remote", "addr", "pool")
_QUEUE = re.compile(r"\s*queue(?:\s+(.*))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the words of a call add to the description.

    Attributes:
        file: The name of the description, `-` for standard input.
        presets: Macros that are set before the description is read.
        appended: Lines that are read before each queue statement.
        queue: The arguments of a queue statement among the words; None if there is none.
        batch_name: The name for the jobs, empty if none is given.
        site: Options that choose an access point, as given.
    """

    file: str
    presets: tuple[tuple[str, str], ...]
    appended: tuple[str, ...]
    queue: str | None
    batch_name: str
    site: tuple[str, ...]


def read_words(words: Sequence[str]) -> Call:
    """Read the words of a call that the recording `condor_submit` has accepted."""
    given: dict[str, list[str]] = {}
    presets: list[tuple[str, str]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option = _option(word)
        if option == "queue":
            given["queue"], rest = [" ".join(rest)], []
        elif option in _WITH_VALUE:
            given.setdefault(option, []).append(rest.pop(0) if rest else "")
        elif option is None and "=" in word:
            name, _, value = word.partition("=")
            presets.append((name.strip(), value.strip()))
        elif option is None:
            given["file"] = [word]
    appended = given.get("append", [])
    queues = [found[1] or "" for line in appended if (found := _QUEUE.fullmatch(line))]
    return Call(
        file=given.get("file", ["-"])[-1],
        presets=tuple(presets),
        appended=tuple(line for line in appended if not _QUEUE.fullmatch(line)),
        queue=[*queues, *given.get("queue", []), None][0],
        batch_name=given.get("batch-name", [""])[-1],
        site=tuple(f"-{option} {value}" for option in _SITE for value in given.get(option, [])),
    )


def _option(word: str) -> str | None:
    """The option that a word is, written out; None if it is none."""
    bare = word.lstrip("-").lower().partition(":")[0]
    if not word.startswith("-") or not bare:
        return None
    return next((name for name in (*_WITH_VALUE, *_ALONE) if name.startswith(bare)), bare)
