"""Runs the contenders in turn, round after round, and looks once at what each wrote."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import load
from benchmarks.measure import Measured, measure
from benchmarks.merging.cases import Case, make
from benchmarks.merging.compare import compare, total
from benchmarks.merging.contenders import FEW, Contender
from benchmarks.places import cache

_REFERENCE = "hadd -f"
# Two sums of some hundred thousand numbers, added in another order.
_SUM_OF_ALL = 1e-10


@dataclass(slots=True, kw_only=True)
class Record:
    """A contender in one case.

    Attributes:
        files: How many it merged.
        runs: One for each round.
        marks: What it printed about itself in each round, in seconds by name.
        result: What its result is, compared with that of `hadd -f`.
        wrong: Whether that disqualifies it.
    """

    contender: str
    files: int
    runs: list[dict[str, Any]] = field(default_factory=list)
    marks: list[dict[str, float]] = field(default_factory=list)
    result: str = ""
    wrong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A case: its contenders, and who could not take part."""

    case: str
    about: str
    files: int
    size_mb: float
    loads: list[float]
    records: list[Record]
    absent: Mapping[str, str]

    def to_data(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def run_case(
    case: Case, contenders: Sequence[Contender], *, rounds: int, count: int | None, say: Callable[[str], None]
) -> Outcome:
    """Run one case.

    Args:
        case: The case.
        contenders: Those that were chosen; the ones that do not take part in the case are passed over.
        rounds: How often each runs. In each round another one is the first.
        count: Use so many files only.
        say: Told what happens.
    """
    files = make(case, count)
    entered = [contender for contender in contenders if case.name in contender.cases]
    absent = {contender.name: why for contender in entered if (why := contender.missing())}
    entered = [contender for contender in entered if contender.name not in absent]
    records = {
        contender.name: Record(contender=contender.name, files=min(FEW, len(files)) if contender.few else len(files))
        for contender in entered
    }
    loads = []
    for path in files:  # into the memory of the kernel, so that nobody pays for being the first
        path.read_bytes()
    for number in range(rounds):
        taking_part = [contender for contender in entered if number == 0 or not contender.few]
        shift = number % len(taking_part)
        for contender in taking_part[shift:] + taking_part[:shift]:
            loads.append(load())
            record = records[contender.name]
            if not record.wrong:
                _run(contender, case, record, say)
        if number == 0:
            _judge(case, entered, records, say)
    return Outcome(
        case=case.name,
        about=case.about,
        files=len(files),
        size_mb=sum(path.stat().st_size for path in files) / 1e6,
        loads=loads,
        records=list(records.values()),
        absent=absent,
    )


def _target(case: Case, name: str) -> Path:
    letters = "".join(letter if letter.isalnum() else "-" for letter in name)
    # One name for all, since it stands in the file.
    return cache() / "results" / f"{case.name}.{letters}" / "merged.root"


def _run(contender: Contender, case: Case, record: Record, say: Callable[[str], None]) -> None:
    target = _target(case, contender.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    # What others wrote goes to the disk now, not while the next one is measured.
    os.sync()
    command = contender.command(target, [path.name for path in case.files(record.files)])
    run: Measured = measure(command, folder=case.folder, log=target.with_suffix(".log"))
    say(
        f"{case.name}: {contender.name}: {record.files} files, {run.wall_s:.2f} s, CPU {run.cpu_s:.2f} s, "
        f"{run.memory_mb:.0f} MB, exit code {run.exit_code}"
    )
    record.runs.append(asdict(run))
    if run.exit_code:
        record.wrong = True
        record.result = f"failed: {_complaint(run.said)}"
    elif contender.marks:
        record.marks.append(json.loads(run.said.strip().splitlines()[-1]))


def _complaint(said: str) -> str:
    """The line that says what went wrong."""
    lines = said.strip().splitlines() or ["no output"]
    return next((line for line in lines if "rror" in line or line.startswith("septum: ")), lines[-1])[:120]


def _judge(case: Case, entered: Sequence[Contender], records: Mapping[str, Record], say: Callable[[str], None]) -> None:
    """Compare what each wrote in the first round with hadd's."""
    by_name = {contender.name: contender for contender in entered}
    if _REFERENCE not in by_name:
        return
    for contender in entered:
        record = records[contender.name]
        if record.wrong:
            continue
        reference = _reference(case, by_name[_REFERENCE], record.files, records)
        try:
            if contender.writes:
                record.result = compare(reference, _target(case, contender.name), files=record.files)
            else:
                record.result = _compare_total(reference, record)
        except (ValueError, OSError, KeyError) as error:
            record.wrong, record.result = True, f"wrong: {error}"
        say(f"{case.name}: {contender.name}: {record.result}")
    _note_equal_bytes(case, entered, records)


def _note_equal_bytes(case: Case, entered: Sequence[Contender], records: Mapping[str, Record]) -> None:
    """Say which results are the same file, byte by byte."""
    first: dict[str, str] = {}
    for contender in entered:
        record = records[contender.name]
        if contender.writes and not record.wrong:
            digest = hashlib.sha256(_target(case, contender.name).read_bytes()).hexdigest()
            if first.setdefault(digest, contender.name) != contender.name:
                record.result += f"; the bytes of {first[digest]}"


def _reference(case: Case, hadd: Contender, files: int, records: Mapping[str, Record]) -> Path:
    """The result of hadd of so many files."""
    if files == records[hadd.name].files:
        return _target(case, hadd.name)
    target = _target(case, f"{hadd.name} of {files}")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        command = hadd.command(target, [path.name for path in case.files(files)])
        measure(command, folder=case.folder, log=target.with_suffix(".log"))
    return target


def _compare_total(reference: Path, record: Record) -> str:
    count, expected = total(reference)
    found_count, found = record.runs[0]["said"].split()
    apart = abs(float(found) - expected) / abs(expected)
    if int(found_count) != count or not apart <= _SUM_OF_ALL:
        raise ValueError(f"{found_count} numbers add up to {found} instead of {count} to {expected!r}")
    return "equal sum of all numbers"


def remove_results() -> None:
    """Delete what the contenders wrote; it is as large as the inputs."""
    for path in (cache() / "results").glob("*.*/"):
        shutil.rmtree(path)
