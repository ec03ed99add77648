"""The graph of a Snakemake workflow taken apart: jobs at the end that only add ROOT files up, and what is connected.

Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from septum.reana.importing_snakemake import RuleJob

_HADD_FLAG = re.compile(r"-(f[0-9]*|fk|ff)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Jobs at the end that only add ROOT files up: the one that writes the result, and those before it."""

    result: str
    jobs: tuple[int, ...]
    files: tuple[str, ...]


def split(
    jobs: Mapping[int, RuleJob], makers: Mapping[str, int], *, wanted: Collection[str]
) -> tuple[list[Gather], list[list[int]]]:
    """Take the jobs at the end off that only add up, and see what of the others is connected.

    Args:
        jobs: The jobs by their number.
        makers: The job that writes a file.
        wanted: The files that shall come back.

    Returns:
        Those jobs at the end, and the connected components of the others, each in an order in which it can run.
    """
    gathers = [found for job in jobs.values() if (found := _gather(job, jobs, makers, wanted)) is not None]
    while True:
        off = {number for gather in gathers for number in gather.jobs}
        groups = _components({number: job for number, job in jobs.items() if number not in off})
        home = {number: index for index, group in enumerate(groups) for number in group}
        # septum adds one file of each part up; the files of one part are for that part to add.
        kept = [gather for gather in gathers if len({home[makers[path]] for path in gather.files}) == len(gather.files)]
        if len(kept) == len(gathers):
            return gathers, groups
        gathers = kept


def _gather(
    job: RuleJob, jobs: Mapping[int, RuleJob], makers: Mapping[str, int], wanted: Collection[str]
) -> Gather | None:
    """A job that only adds ROOT files of other jobs up, and whose result nobody reads."""
    readers = {number for other in jobs.values() for number in other.needs}
    files = _added_by(job, makers)
    if files is None or job.number in readers or job.outputs[0].path not in wanted:
        return None
    numbers, result = [job.number], list(files)
    # A sum of sums is the sum of all: one before it is taken off, too, if it is for this one alone.
    while True:
        for place, path in enumerate(result):
            before = jobs[makers[path]]
            inner = _added_by(before, makers)
            alone = [other.number for other in jobs.values() if before.number in other.needs]
            if inner is not None and path not in wanted and len(alone) == 1 and alone[0] in numbers:
                result[place : place + 1] = inner
                numbers.append(before.number)
                break
        else:
            break
    if len(set(result)) != len(result):
        return None
    return Gather(result=job.outputs[0].path, jobs=tuple(numbers), files=tuple(result))


def _added_by(job: RuleJob, makers: Mapping[str, int]) -> tuple[str, ...] | None:
    """The files that a job adds up, if it is no more than `hadd` of files of other jobs."""
    words = _hadd_words(job.command)
    if words is None or len(job.outputs) != 1 or job.outputs[0].folder:
        return None
    output, *inputs = words
    is_whole = output == job.outputs[0].path and sorted(inputs) == sorted(job.inputs) and len(inputs) > 0
    is_root = all(path.endswith(".root") for path in words)
    return tuple(inputs) if is_whole and is_root and all(path in makers for path in inputs) else None


def _hadd_words(command: str) -> tuple[str, ...] | None:
    """The output and the inputs of a command that is `hadd` and, before it, `mkdir -p` at most."""
    line = command.strip().replace("\\\n", " ")
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:
        return None
    while "&&" in words:
        first, words = words[: words.index("&&")], words[words.index("&&") + 1 :]
        if first[:2] != ["mkdir", "-p"] or any(re.search(r"[$`;|&<>(){}]", word) for word in first):
            return None
    if words[:1] != ["hadd"] or "\n" in line or any(re.search(r"[$`;|&<>(){}*?\[\]~]", w) for w in words):
        return None
    rest = words[1:]
    while rest and _HADD_FLAG.fullmatch(rest[0]):
        rest = rest[1:]
    return None if len(rest) < 2 or any(word.startswith("-") for word in rest) else tuple(rest)  # noqa: PLR2004


def _components(jobs: Mapping[int, RuleJob]) -> list[list[int]]:
    """The connected components, each with its jobs in an order in which they can run."""
    beside: dict[int, set[int]] = {number: set() for number in jobs}
    for number, job in jobs.items():
        for other in job.needs:
            if other in jobs:
                beside[number].add(other)
                beside[other].add(number)
    left, found = dict.fromkeys(jobs), []
    while left:
        start = next(iter(left))
        group, waiting = {start}, [start]
        while waiting:
            new = beside[waiting.pop()] - group
            group |= new
            waiting += new
        for number in group:
            del left[number]
        found.append(_running_order(group, jobs))
    return found


def _running_order(group: Collection[int], jobs: Mapping[int, RuleJob]) -> list[int]:
    done: dict[int, None] = {}
    while len(done) < len(group):
        # The first that can run: the same order each time.
        number = next(
            number
            for number in sorted(group)
            if number not in done and all(need in done for need in jobs[number].needs if need in group)
        )
        done[number] = None
    return list(done)
