"""What captured jobs ask for: cores, memory, disk, time and retries, the largest of all jobs. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from septum.capture.commands import TIMES_S
from septum.capture.repairs import Commands, Repair, seconds_of
from septum.plan import Request
from septum.units import show_size

if TYPE_CHECKING:
    from septum.clusters.profile import Profile

_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmgtp]?)b?", re.IGNORECASE)
_LONGEST_NUMBER = 15
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}


def _size(unit_b: int) -> Callable[[str], int | None]:
    """Reads a size in bytes; a number without a unit counts so many."""

    def read(text: str) -> int | None:
        match = _SIZE.fullmatch(text.strip())
        if match is None or len(match[1]) > _LONGEST_NUMBER:
            return None
        return math.ceil(float(match[1]) * (_UNITS[match[2].lower()] if match[2] else unit_b)) or None

    return read


def _count(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[1-9]\d{0,4}", text.strip()) else None


def _retries(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,4}", text.strip()) else None


# HTCondor counts memory in MiB and disk in KiB.
_memory, _disk = _size(1024**2), _size(1024)
_REQUESTS: dict[str, tuple[tuple[str, ...], Callable[[str], int | None]]] = {
    "cpus": (("request_cpus", "requestcpus", "my.requestcpus"), _count),
    "memory": (("request_memory", "requestmemory", "my.requestmemory"), _memory),
    "disk": (("request_disk", "requestdisk", "my.requestdisk"), _disk),
}
_RETRY_COMMANDS = ("max_retries", "num_retries")
_OTHERS: dict[str, Callable[[str], int | None]] = {
    **dict.fromkeys(_RETRY_COMMANDS, _retries),
    "retry_request_memory": _memory,
    "allowed_execute_duration": lambda text: seconds_of("allowed_execute_duration", text),
    "allowed_job_duration": lambda text: seconds_of("allowed_job_duration", text),
}


def _numbers(texts: Iterable[str], read: Callable[[str], int | None]) -> list[int]:
    return [number for text in texts if (number := read(text)) is not None]


def request_of(commands: Commands) -> Request:
    """The largest request of all jobs; None where none of them has a number."""
    largest = {
        kind: max(_numbers(commands.given(*names), read), default=None) for kind, (names, read) in _REQUESTS.items()
    }
    memory_b = largest["memory"]
    more = sorted(set(_numbers(commands.given("retry_request_memory"), _memory)))
    times = {*TIMES_S, "my.jobflavour"}
    seconds = [time for name in times for value in commands.given(name) if (time := seconds_of(name, value))]
    return Request(
        cpus=largest["cpus"],
        memory_b=memory_b,
        memory_retries_b=tuple(size_b for size_b in more if memory_b and size_b > memory_b),
        disk_b=largest["disk"],
        time_s=max(seconds, default=None),
    )


def retries_of(commands: Commands) -> int:
    """The largest number of retries of all jobs."""
    return max(_numbers(commands.given(*_RETRY_COMMANDS), _retries), default=0)


def request_repairs(commands: Commands, profile: Profile, jobs: int, memory_b: int | None = None) -> Iterator[Repair]:
    """Requests that are missing, that no number follows from, or that differ between jobs."""
    if not commands.given(*_REQUESTS["memory"][0]):
        yield Repair(
            what="no request_memory: HTCondor would ask for a little more than the executable's size",
            evidence="the description has no line for it",
            instead=f"septum.yaml's, {show_size(memory_b)}"
            if memory_b
            else f"the profile's, {show_size(profile.default_memory)}; 'resources: memory' in septum.yaml can say it",
            count=jobs,
            changes=not memory_b,
        )
    for names, read in _REQUESTS.values():
        for name in names:
            yield from _unread(commands, name, read, "septum.yaml's or the profile's, or the largest of the other jobs")
            yield from _differing(commands, name, read)
    for name, read in _OTHERS.items():
        yield from _unread(commands, name, read, "left out; septum.yaml can say it")
    for name in _RETRY_COMMANDS:
        yield from _differing(commands, name, _retries)


def _unread(commands: Commands, name: str, read: Callable[[str], int | None], instead: str) -> Iterator[Repair]:
    if unread := [value for value in commands.given(name) if read(value) is None]:
        yield Repair(
            what=f"{commands.spelled(name)} is an expression, and not a number",
            evidence=f"{commands.spelled(name)} = {unread[0]}",
            instead=instead,
            count=sum(commands.values[name][value] for value in unread),
        )


def _differing(commands: Commands, name: str, read: Callable[[str], int | None]) -> Iterator[Repair]:
    numbers = {value: number for value in commands.given(name) if (number := read(value)) is not None}
    if len(set(numbers.values())) > 1:
        yield Repair(
            what=f"{commands.spelled(name)} differs between jobs, and all parts of a run ask for the same",
            evidence=commands.line(name),
            instead=f"the largest, {max(numbers, key=lambda value: numbers[value])}",
            count=commands.total(name),
        )
