"""What goes to a workspace and comes back: archives made of the state folder's files, and unpacked into it again."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tarfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import IO

from septum.backends.reana.rules import Step
from septum.backends.reana.workflow import archives, sent_name
from septum.errors import ClusterFailedError, StateError
from septum.plan import Part, Plan
from septum.worker.look import NAME as LOOK
from septum.worker.sandbox import SHARED, WRAPPER, own_name, values_name

_READ_B = 1 << 20
_STEP = "step.sh"
_FIX = "keep the whole state folder between the CI jobs, or make the plan again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One file that goes to a workspace.

    Attributes:
        path: Its path there, which names its content.
        data: The content, or the file that has it.
        size_b: How large it has to be there.
    """

    path: str
    data: bytes | Path = field(repr=False)
    size_b: int

    @property
    def name(self) -> str:
        """The last piece of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Freight:
    """All that goes to one workspace, but for the Snakefile, which names it.

    Attributes:
        program: The steps' program.
        shared: What every part gets.
        own: Archives of what single parts get.
        steps: The steps.
    """

    program: Sent
    shared: tuple[Sent, ...]
    own: tuple[Sent, ...]
    steps: tuple[Step, ...]

    @property
    def all(self) -> tuple[Sent, ...]:
        """All files."""
        return (self.program, *self.shared, *self.own)


def of_bytes(name: str, data: bytes) -> Sent:
    """A file made of bytes."""
    return Sent(path=sent_name(name, hashlib.sha256(data).hexdigest()), data=data, size_b=len(data))


def freight(plan: Plan, parts: Sequence[Part], folder: Path, scratch: Path) -> Freight:
    """Pack what some parts need; the same parts give the same files, to the last byte.

    Args:
        plan: The plan.
        parts: The parts.
        folder: What prepare and submit have laid out for the workers.
        scratch: Where archives are made.

    Raises:
        StateError: A file is missing.
    """
    shared_names = [WRAPPER, *([SHARED] if plan.inputs else []), *([LOOK] if plan.merged_outputs else [])]
    own: list[Sent] = []
    steps: list[Step] = []
    for number, members in enumerate(archives(parts)):
        archive = _archive(members, folder, scratch, number)
        own.append(archive)
        steps += [Step(part=part.id, archive=archive.name, has_inputs=bool(part.inputs)) for part in members]
    return Freight(
        program=of_bytes(_STEP, files("septum.backends.reana").joinpath(_STEP).read_bytes()),
        shared=tuple(_of_file(folder / name) for name in shared_names),
        own=tuple(own),
        steps=tuple(steps),
    )


def _of_file(path: Path) -> Sent:
    try:
        sha256 = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(_READ_B):
                sha256.update(block)
        return Sent(path=sent_name(path.name, sha256.hexdigest()), data=path, size_b=path.stat().st_size)
    except OSError as error:
        raise StateError(f"plan: {path.name} cannot be read", evidence=str(error), fix=_FIX) from error


def _archive(parts: Sequence[Part], folder: Path, scratch: Path, number: int) -> Sent:
    """The values and the input files of some parts in one archive, which a step reads without unpacking the others'."""
    scratch.mkdir(parents=True, exist_ok=True)
    made = scratch / f"parts-{number}.{secrets.token_hex(4)}.tar"
    try:
        with tarfile.open(made, "w", format=tarfile.USTAR_FORMAT) as archive:
            for part in parts:
                for name in (values_name(part.id), *([own_name(part.id)] if part.inputs else [])):
                    info = tarfile.TarInfo(name)
                    info.size, info.mtime, info.mode = (folder / name).stat().st_size, 0, 0o644
                    with (folder / name).open("rb") as stream:
                        archive.addfile(info, stream)
        found = _of_file(made)
        final = scratch / f"parts-{number}.tar"
        made.replace(final)
        sha256 = found.name.partition("-")[0]
        return Sent(path=sent_name(f"parts-{number}.tar", sha256), data=final, size_b=found.size_b)
    except OSError as error:
        made.unlink(missing_ok=True)
        raise StateError(
            f"plan: the files of {len(parts)} parts cannot be packed", evidence=str(error), fix=_FIX
        ) from (error)


def unpack(archive: Path, into: Path, names: Collection[str]) -> None:
    """Lay out what came back from a part: files of these names, and nothing else.

    Args:
        archive: What the step packed.
        into: The folder.
        names: All that may be in it.

    Raises:
        ClusterFailedError: The archive is none, or holds something else.
    """
    try:
        with tarfile.open(archive, "r:") as packed:
            awaited = set(names)
            for member in packed:
                # Two outputs that are one file come as a file and a link to it. A file with holes may be of any size.
                if member.name not in awaited or member.issparse() or not (member.isreg() or member.islnk()):
                    raise _damaged(archive, f"it holds {member.name[:100]!r}, which septum did not ask for")
                stream = packed.extractfile(member)
                if stream is None:
                    raise _damaged(archive, f"{member.name} cannot be read in it")
                _lay(stream, into / member.name)
                awaited.remove(member.name)  # each comes once
    except (tarfile.TarError, EOFError, KeyError, ValueError, OSError, OverflowError, RecursionError) as error:
        raise _damaged(archive, f"{type(error).__name__}: {error}") from error


def _lay(stream: IO[bytes], target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            shutil.copyfileobj(stream, file, _READ_B)
        temporary.replace(target)
    except OSError as error:
        raise ClusterFailedError(
            f"cluster: {target.name} cannot be stored",
            evidence=f"writing to file {target}: {error.strerror or error} (errno {error.errno})",
            fix="make room, and try again",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _damaged(archive: Path, evidence: str) -> ClusterFailedError:
    return ClusterFailedError(
        f"cluster: {archive.name} is not what a step packs", evidence=evidence, fix="try again; it is fetched anew"
    )
