"""The files that go to a worker and come back, and their names on the way.

All names on the way are septum's own, made of the part's id, so nothing that a user wrote can collide, be read as
an option, or change a submit description.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from septum.errors import StateError
from septum.plan import InputFile, Part, Plan, all_values, argv
from septum.worker.look import NAME as LOOK

WRAPPER = "septum-part.sh"
SHARED = "septum-inputs.tar.gz"
MAX_EXPORTED_B = 100_000


def values_name(part_id: str) -> str:
    """The file that carries the values of a part to the worker."""
    return f"septum-{part_id}.part"


def own_name(part_id: str) -> str:
    """The archive of the input files that only this part needs."""
    return f"septum-{part_id}.tar"


def status_name(part_id: str) -> str:
    """The status file that the wrapper leaves."""
    return f"septum-{part_id}.status"


def output_name(part_id: str, number: int) -> str:
    """The file that carries declared output `number` of a part back."""
    return f"septum-{part_id}.out{number}"


def log_names(part_id: str) -> tuple[str, str]:
    """Standard output and standard error of a part."""
    return f"septum-{part_id}.stdout", f"septum-{part_id}.stderr"


def sandbox_name(part_id: str) -> str:
    """The archive of a failed part's working folder."""
    return f"septum-{part_id}.tgz"


def kept_name(name: str, job: int) -> str:
    """The name under which a log or a status of an earlier job of a part is kept: `septum-0002.job1.stderr`."""
    stem, _, ending = name.rpartition(".")
    return f"{stem}.job{job}.{ending}"


def returned_names(plan: Plan, part_id: str) -> list[str]:
    """All that comes back from a part besides its logs: the status file, every declared output, and its folder."""
    outputs = [output_name(part_id, number) for number in range(len(plan.outputs))]
    return [status_name(part_id), *outputs, *([sandbox_name(part_id)] if plan.keep_sandbox_b else [])]


def sent_names(plan: Plan, part: Part, *, by_url: bool = False) -> list[str]:
    """All that goes to the worker of a part besides the wrapper.

    Args:
        plan: The plan.
        part: The part.
        by_url: Whether the worker fetches the archive of what all parts share from elsewhere.
    """
    values, *own = own_names(part)
    return [values, *([SHARED] if plan.inputs and not by_url else []), *([LOOK] if plan.merged_outputs else []), *own]


def own_names(part: Part) -> list[str]:
    """What of that no other part gets: its values, then its input files."""
    return [values_name(part.id), *([own_name(part.id)] if part.inputs else [])]


def wrapper_text() -> str:
    """The wrapper that runs one part."""
    return files("septum.worker").joinpath("part.sh").read_text(encoding="utf-8")


# ── going out ───────────────────────────────────────────────────────────────────────────────────────────────────


def values_text(plan: Plan, part: Part, *, image: str, image_id: str = "", shared_sha256: str = "") -> str:
    """The file that carries a part's command and values: assignments that `sh` reads, every text in single quotes.

    Args:
        plan: The plan of the part.
        part: The part.
        image: The image that the part must find itself in, as the worker names it; empty for none.
        image_id: The id of that image, `sha256:…`, if it is known.
        shared_sha256: The checksum of the archive of what all parts share; empty if there is none.
    """
    outputs = [f"SEPTUM_OUTPUT_{n}={quote(plan.output_path(part, n))}" for n in range(len(plan.outputs))]
    lines = [
        f"SEPTUM_SHELL={quote(plan.shell)}",
        f"SEPTUM_IMAGE={quote(image)}",
        f"SEPTUM_IMAGE_ID={quote(image_id.removeprefix('sha256:'))}",
        f"SEPTUM_OUTPUTS={len(plan.outputs)}",
        *outputs,
        f"SEPTUM_SHARED={quote(shared_sha256)}",
        f"SEPTUM_KEEP_B={plan.keep_sandbox_b or 0}",
        f"SEPTUM_SCRIPT={quote(script_text(plan, part))}",
    ]
    return "\n".join(lines) + "\n"


def quote(text: str) -> str:
    """One word of a shell, the text in single quotes and runs of single quotes in double ones.

    `shlex.quote` takes five characters for each quote, which in a script within an assignment is 25: minutes in bash.
    """
    pieces = re.split("('+)", text)
    return "".join(f'"{piece}"' if piece[0] == "'" else f"'{piece}'" for piece in pieces if piece) or "''"


def script_text(plan: Plan, part: Part) -> str:
    """The shell script of a part: its variables, the set-up lines, the command."""
    values = all_values(plan, part)
    lines = [] if plan.shell == "sh" else ["set -o pipefail"]
    lines += [f"export {name}={quote(text)}" for name, text in plan.environment]
    for name, value in values.items():
        text = value if isinstance(value, str) else "\n".join(value)
        # The kernel refuses to start a program with a longer variable; the script itself still sees it.
        export = "export " if len(text.encode()) < MAX_EXPORTED_B else ""
        lines.append(f"{export}PART_{name}={quote(text)}")
    for number, line in enumerate(plan.setup, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue  # a group without a command is no shell
        lines += ["{ " + line, f"}} || {{ code=$?; echo 'septum: set-up line {number} failed' >&2; exit $code; }}"]
    # A set-up line that ends the shell with 0 would end the part well without its command; the wrapper looks for this.
    lines.append(': >"$SEPTUM_BEGAN"')
    words = argv(plan, part)
    if words is None:
        lines += ["set -e", str(plan.command)]
    else:
        lines += ["exec " + " ".join(quote(word) for word in words)]
    return "\n".join(lines)


def write_archive(
    target: Path, place: Callable[[InputFile], Path], members: Iterable[InputFile], *, compress: bool
) -> None:
    """Write input files into an archive that is the same, to the last byte, for the same files.

    Args:
        target: The archive; written under a temporary name and renamed.
        place: Where a file stands now.
        members: The files, as the plan recorded them.
        compress: With gzip.

    Raises:
        StateError: A file is not what the plan recorded.
    """
    temporary = target.with_name(target.name + ".new")
    with temporary.open("wb") as raw:
        stream: Any = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0, compresslevel=6) if compress else raw
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for member in sorted(members, key=lambda file: file.path):
                _add(archive, place(member), member)
        if compress:
            stream.close()
    temporary.replace(target)


def _add(archive: tarfile.TarFile, place: Path, member: InputFile) -> None:
    info = tarfile.TarInfo(member.path)
    info.size, info.mtime, info.mode = member.size_b, 0, 0o755 if member.executable else 0o644
    fix = "make the plan again, and do not change the inputs while septum runs"
    try:
        data = place.read_bytes()
    except OSError as error:
        raise StateError(f"inputs: {member.path!r} cannot be read any more", evidence=str(error), fix=fix) from error
    if len(data) != member.size_b or hashlib.sha256(data).hexdigest() != member.sha256:
        raise StateError(f"inputs: {member.path!r} has changed since the plan was made", fix=fix)
    archive.addfile(info, io.BytesIO(data))


# ── coming back ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One declared output as the worker recorded it.

    `content` is the hash of what it holds, as the worker read it; empty where the image has no Python and numpy.
    """

    size_b: int
    sha256: str
    content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the wrapper wrote about one try of a part.

    Attributes:
        stage: `started` (it did not get further), `setup`, `image`, `other-image`, `inputs` (they did not arrive as
            they were sent), `stopped` (by a signal from outside), `done`.
        image: The image that the part is in, as the runtime or its path says.
        exit_code: Of the command, 128 + n for signal n as shells have it; None if it did not run to its end.
        outputs: One for each declared output, None where it is missing.
        cpu_s: CPU time of the command and of all that it started, user and system; None if nobody measured.
        image_path: The path of the image on the worker, without symbolic links; empty if it cannot be seen there.
    """

    stage: str
    exit_code: int | None
    host: str
    image: str
    started_s: int
    ended_s: int
    outputs: tuple[Delivered | None, ...]
    cpu_s: float | None = None
    image_path: str = ""


def parse_status(text: str, part_id: str) -> Status | None:
    """Read a status file.

    Returns:
        The status, or None when the text is not a whole status of this part.
    """
    try:
        data = json.loads(text)
        if data["format"] != 1 or data["part"] != part_id:
            return None
        return Status(
            stage=str(data["stage"]),
            exit_code=None if data["exit_code"] is None else _whole(data["exit_code"]),
            host=str(data["host"]),
            image=str(data["image"]),
            image_path=str(data.get("image_path", "")),
            started_s=_whole(data["started"]),
            ended_s=_whole(data["ended"]),
            outputs=tuple(
                None
                if item is None
                else Delivered(
                    size_b=_whole(item["size"]),
                    sha256=_sha256(item["sha256"]),
                    content=_content(item.get("content")),
                )
                for item in data["outputs"]
            ),
            cpu_s=_cpu(data.get("times")),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _content(value: Any) -> str:
    """A hash from a program of which nobody knows what its image printed beside it; anything else counts as none."""
    return value if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else ""


def _cpu(text: Any) -> float | None:
    """The sum of the times that a shell prints as `0m1.23s 0m0.04s`."""
    found = re.fullmatch(r"(\d{1,9})m(\d{1,9}(?:\.\d{1,9})?)s (\d{1,9})m(\d{1,9}(?:\.\d{1,9})?)s", str(text))
    if found is None:
        return None
    return 60 * (int(found[1]) + int(found[3])) + float(found[2]) + float(found[4])


def _whole(value: Any) -> int:
    """A whole number and nothing that can be made one: half an exit code is no success."""
    if type(value) is not int:
        raise TypeError(f"not a whole number: {value!r}")
    return value


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("not a sha256")
    return value
