"""What became of one part: reads the files that came back and says whether they are what the plan expects."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.backends.base import JobReport
from septum.errors import (
    InputsDamagedError,
    OutputDamagedError,
    OutputMissingError,
    PartError,
    PartExitError,
    PartImageError,
    PartLostError,
    PartOtherImageError,
    PartSignalError,
    PartTimeoutError,
    TransferDamagedError,
)
from septum.plan import Part, Plan
from septum.units import count, show_duration, show_size
from septum.worker.sandbox import Status, log_names, output_name, parse_status, status_name

if TYPE_CHECKING:
    from septum.merge.engine import Reading

_TAIL_LINES = 8
_TAIL_B = 4000
_FIRST_SIGNAL_CODE = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A part that delivered; `readings` holds what was read of its outputs, by their numbers."""

    status: Status
    readings: Mapping[int, Reading]


def has_status(folder: Path, part_id: str) -> bool:
    """Whether the status file of a part has come back at all."""
    return (folder / status_name(part_id)).is_file()


Read = Callable[[Part, int, Path], "Reading | None"]
"""Reads and checks one output of a part, by its number; None for one that nothing reads."""


def verify(plan: Plan, part: Part, folder: Path, report: JobReport, read: Read) -> Verified:
    """Judge one part by what came back from it.

    Args:
        plan: The plan.
        part: The part.
        folder: Where its files have been fetched to.
        report: What the backend says of its job.
        read: Reads an output that arrived whole.

    Raises:
        PartError: Of the class that says why the part did not deliver.
        StructureError: An output holds something whose merge cannot be checked.
    """
    status = _status(plan, folder, part)
    name = part.describe()
    where = f"job {report.job} on {report.host or 'an unknown host'}, {count(report.attempts, 'attempt')}"
    evidence = "\n".join([where, *_tail(folder, part.id)])
    if report.timed_out:
        raise time_out(plan, part, evidence)
    if report.signal is not None or (status is not None and status.stage == "stopped"):
        number = report.signal or signal.SIGTERM
        raise _killed(name, number, evidence)
    if status is None or status.stage == "started":
        raise PartLostError(
            f"{name}: the job ended without a word from its wrapper",
            evidence=evidence,
            fix="the worker may have been switched off; try again, and tell the site if it is the same host",
        )
    if status.stage != "done":
        raise _not_begun(plan, part, status, evidence)
    code = status.exit_code
    if code is not None and code > _FIRST_SIGNAL_CODE and code - _FIRST_SIGNAL_CODE in set(signal.Signals):
        raise _killed(name, code - _FIRST_SIGNAL_CODE, evidence)
    if code != 0:
        raise PartExitError(
            f"{name}: the command ended with exit code {code}",
            evidence=evidence,
            fix=f"run it here to see more: septum run --cluster local --parts {part.id}",
        )
    found = _verify_outputs(plan, part, folder, status, where, read)
    if report.exit_code not in {None, 0}:
        raise PartExitError(
            f"{name}: its job ended with exit code {report.exit_code}, though its command ended well",
            evidence=evidence,
            fix="the worker's own words stand above; try again",
        )
    return Verified(status=status, readings=found)


def _not_begun(plan: Plan, part: Part, status: Status, evidence: str) -> PartError:
    """The error of a part whose wrapper did not start its command."""
    name = part.describe()
    if status.stage == "image":
        return PartImageError(
            f"{name}: the worker did not run it in the image asked for",
            evidence=f"{evidence}\nasked for {plan.image}, seen: {status.image or 'no container'}",
            fix="check 'image', and 'image-method', 'image-form' and 'image-prefix' of the cluster's profile",
        )
    if status.stage == "other-image":
        return other_image(part, f"{evidence}\nits image: {status.image_path}")
    if status.stage == "inputs":
        return InputsDamagedError(
            f"{name}: its worker did not get the inputs that were sent",
            evidence=evidence,
            fix="try again; if it stays, a disk or a cache on the way is broken: that of the access point, of the "
            "worker, or of 'shared-area'",
        )
    return PartExitError(
        f"{name}: could not be set up on the worker", evidence=evidence, fix="the worker's own words stand above"
    )


def other_image(part: Part, evidence: str) -> PartOtherImageError:
    """The error of a part that ran in another image than CI or the other parts have under the name."""
    return PartOtherImageError(
        f"{part.describe()}: under the image's name, the worker has another image than CI or the other parts",
        evidence=evidence,
        fix="name an image that does not move: the tag of a commit, or NAME:TAG@sha256:…; if it was pushed just now, "
        "wait for it first: septum image wait",
    )


def time_out(plan: Plan, part: Part, evidence: str) -> PartTimeoutError:
    """The error of a part that ran longer than it may."""
    limit = f" ({show_duration(plan.request.time_s)})" if plan.request.time_s else ""
    return PartTimeoutError(
        f"{part.describe()}: ran longer than 'resources: time' allows{limit}",
        evidence=evidence,
        fix="raise 'time' under 'resources' in septum.yaml, or put less work into each part",
    )


def _killed(name: str, number: int, evidence: str) -> PartSignalError:
    try:
        shown = f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        shown = f"signal {number}"
    hint = "raise 'memory' under 'resources'" if number in {9, 6, 7} else "look at the log above"
    return PartSignalError(f"{name}: was killed by {shown}", evidence=evidence, fix=f"{hint}; a crash shows in the log")


def _status(plan: Plan, folder: Path, part: Part) -> Status | None:
    try:
        text = (folder / status_name(part.id)).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    status = parse_status(text, part.id)
    # A status of another plan would name other outputs.
    return status if status is None or len(status.outputs) <= len(plan.outputs) else None


def _tail(folder: Path, part_id: str) -> list[str]:
    """The last lines that the command wrote."""
    shown: list[str] = []
    for label, name in zip(("stdout", "stderr"), log_names(part_id), strict=True):
        try:
            with (folder / name).open("rb") as stream:
                stream.seek(max(0, (folder / name).stat().st_size - _TAIL_B))
                lines = stream.read().decode("utf-8", "replace").rstrip().splitlines()[-_TAIL_LINES:]
        except OSError:
            continue
        if lines:
            shown += [f"the end of its {label}:", *("  " + _printable(line) for line in lines)]
    return shown or ["it wrote nothing to stdout and stderr"]


def _printable(line: str) -> str:
    """A line that cannot move the cursor or open a section of the CI log."""
    return "".join(letter if letter.isprintable() or letter == "\t" else "?" for letter in line)[:300]


def _verify_outputs(plan: Plan, part: Part, folder: Path, status: Status, where: str, read: Read) -> dict[int, Reading]:
    readings: dict[int, Reading] = {}
    for number in range(len(plan.outputs)):
        name = f"{part.describe()}: {plan.output_path(part, number)}"
        recorded = status.outputs[number] if number < len(status.outputs) else None
        if recorded is None:
            raise OutputMissingError(
                f"{name} is missing; the command ended with exit code 0 without writing it",
                evidence="\n".join([where, *_tail(folder, part.id)]),
                fix="correct the command, or 'outputs' in septum.yaml",
            )
        path = folder / output_name(part.id, number)
        size_b, sha256 = measure(path)
        if (size_b, sha256) != (recorded.size_b, recorded.sha256):
            raise TransferDamagedError(
                f"{name} arrived damaged",
                evidence=f"{where}\n{show_size(size_b)}, sha256 {sha256[:16]}…; "
                f"the worker wrote {show_size(recorded.size_b)}, sha256 {recorded.sha256[:16]}…",
                fix="try again; if it stays, a disk of the worker or of the access point is full or broken",
            )
        reading = read(part, number, path)
        if reading is not None:
            if recorded.content and number in plan.merged_outputs and _differs(reading, recorded.content):
                raise OutputDamagedError(
                    f"{name}: septum reads other content in it than the worker did",
                    evidence=f"{where}\ncontent {reading.digest[:16]}… here, {recorded.content[:16]}… on the worker",
                    fix="try again; if it stays, report it: the memory of one of the machines may be broken",
                )
            readings[number] = reading
    return readings


def _differs(reading: Reading, content: str) -> bool:
    """Whether a reading is of other content than the worker read; the worker has the strict reader only."""
    from septum.merge.summary import FileSummary

    # The engine is chosen by the first file of an output; the worker looks at each file on its own.
    return not isinstance(reading, FileSummary) and reading.digest != content


def measure(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 of a file; (0, "") when it is not there."""
    try:
        with path.open("rb") as stream:
            sha256 = hashlib.sha256()
            size_b = 0
            while block := stream.read(1 << 20):
                size_b += len(block)
                sha256.update(block)
    except OSError:
        return 0, ""
    return size_b, sha256.hexdigest()
