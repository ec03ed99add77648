"""Where the files of a captured job land in its working folder, and the words that run it there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from septum.capture.recording import name_of
from septum.capture.repairs import Repair
from septum.errors import CaptureError
from septum.units import count as counted

if TYPE_CHECKING:
    from septum.capture.procs import Proc
    from septum.capture.recording import Submission

_FIRST = 5
_PROJECT_DEPTH = 4  # /builds/group/project
_LATE = re.compile(r"\$\$(?:\(|\[)")
_READ_FROM = 'exec "$@" <"$0"'
_RUN = 'exec "$0" "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedPart:
    """One job as a part of a plan.

    Attributes:
        cluster_id: The `ClusterId` that the framework was told.
        proc_id: Its number in that cluster.
        variables: The variables of the queue statement and their values.
        words: The command and its arguments, for a working folder that holds `inputs`.
        executable: The input that the job runs and that must be executable; None if it stands in the image.
        inputs: Names in the working folder, and the copy, a file or a folder, that lands there.
        outputs: The files that come back: the path on the worker, and the place where HTCondor would have put it,
            relative to the folder of the call or absolute; None if the description does not say.
    """

    cluster_id: int
    proc_id: int
    variables: tuple[tuple[str, str], ...]
    words: tuple[str, ...]
    executable: str | None
    inputs: tuple[tuple[str, Path], ...]
    outputs: tuple[tuple[str, str], ...] | None


_CREDENTIALS = ("its name is that of a credential", "a private key", "a certificate or proxy", "a token")
"""How the recorder ends its words for files that it left out because nobody else may have them."""


def _is_credential(why: str) -> bool:
    return why.endswith(_CREDENTIALS)


def is_foreign(path: str, folder: PurePosixPath) -> bool:
    """Whether a path is in GitLab's folder for checkouts, and in another project than a folder of this one."""
    project = PurePosixPath(*folder.parts[:_PROJECT_DEPTH])
    return path.startswith("/builds/") and not PurePosixPath(path).is_relative_to(project)


class Lander:
    """Lays out jobs, and remembers what is missing and what was left out.

    Args:
        calls: The recorded calls by their number.
        environment: What all parts get anyway.
    """

    def __init__(self, calls: Mapping[int, Submission], environment: Iterable[tuple[str, str]]) -> None:
        self._calls = calls
        self._environment = frozenset(environment)
        self._missing: dict[tuple[int, str], str] = {}
        self._left_out: Counter[str] = Counter()
        self._inside: Counter[str] = Counter()
        self._why: dict[str, str] = {}
        self._proxy_variable: Counter[str] = Counter()
        self._shared: Counter[str] = Counter()

    def part(self, proc: Proc) -> CapturedPart:
        """Lay out one job.

        Raises:
            CaptureError: Two of its files would land on one name, or it needs what only a worker's match gives.
        """
        self._refuse_late(proc)
        landed: dict[str, tuple[str, Path]] = {}
        program = self._executable(proc, landed)
        for name in proc.inputs:
            self._input(proc, name, landed)
        words = [program or self._in_image(proc, landed), *proc.arguments]
        if extra := list(self._own_environment(proc)):
            # To 'env', a program with a '=' in its name is one more variable.
            words = ["env", *extra, *(["sh", "-c", _RUN] if "=" in words[0] else []), *words]
        if proc.stdin is not None:
            words = ["sh", "-c", _READ_FROM, self._stdin(proc, landed), *words]
        inputs = tuple((name, path) for name, (_, path) in sorted(landed.items()))
        return CapturedPart(
            cluster_id=proc.cluster_id,
            proc_id=proc.proc_id,
            variables=proc.variables,
            words=tuple(words),
            executable=program.removeprefix("./") if program else None,
            inputs=inputs,
            outputs=self._outputs(proc),
        )

    def refuse_missing(self) -> None:
        """Refuse jobs whose files were not recorded.

        Raises:
            CaptureError: It names the first few.
        """
        if not self._missing:
            return
        lines = [
            f"{job}: {name}" + " (a folder of another project)" * is_foreign(name, self._calls[number].folder)
            for (number, name), job in list(self._missing.items())[:_FIRST]
        ]
        more = len(self._missing) - len(lines)
        raise CaptureError(
            f"framework: its jobs need {counted(len(self._missing), 'file')} that the recording does not hold",
            evidence="\n".join([*lines, *([f"and {more} more"] if more else [])]),
            fix="let the framework write them before it calls condor_submit, with names that exist in this CI job",
        )

    def proxies(self) -> tuple[str, ...]:
        """The names under which the jobs would have found what was left out."""
        return tuple(sorted({PurePosixPath(name).name for name in self._left_out}))

    def repairs(self) -> Iterator[Repair]:
        """The repairs that follow from the files and environments of the jobs."""
        for name, times in self._left_out.items():
            yield Repair(
                what=f"a credential is among the files of the jobs: {self._why[name]}",
                evidence=f"transfer_input_files: {name}",
                instead="it was not recorded; jobs get the proxy that septum obtains and delegates (x509userproxy)",
                count=times,
            )
        for name, times in self._inside.items():
            yield Repair(
                what=f"a credential is in a folder that the jobs take along: {self._why[name]}",
                evidence=f"transfer_input_files: {name}",
                instead="it is left out",
                count=times,
            )
        for value, times in self._proxy_variable.items():
            yield Repair(
                what="X509_USER_PROXY names a file of the CI job",
                evidence=f"environment: X509_USER_PROXY={value}",
                instead="HTCondor sets it on the worker, to the delegated proxy",
                count=times,
            )
        for value, times in self._shared.items():
            yield Repair(
                what="an output is to be sent elsewhere by the worker",
                evidence=f"transfer_output_remaps: {value}",
                instead="it comes back and is verified; large results go where 'publish' says",
                count=times,
            )

    # ── one job ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _refuse_late(self, proc: Proc) -> None:
        texts = [*proc.arguments, *proc.inputs, proc.stdin or "", *(value for _, value in proc.environment)]
        late = next((text for text in texts if "$$" in text and _LATE.search(text)), None)
        if late is not None:
            raise CaptureError(
                f"framework: {_job(proc)} wants a value of the slot that it will run in",
                evidence=late[:200],
                fix="let the job ask the machine itself: $$(…) is filled in by HTCondor when a slot is found",
            )

    def _executable(self, proc: Proc, landed: dict[str, tuple[str, Path]]) -> str | None:
        """The executable as it stands in the working folder; None if it does not travel."""
        if not proc.transfer_executable:
            return None
        copy = self._calls[proc.submission].copy_of(proc.executable)
        if copy is None and proc.executable.startswith("/"):
            return None  # of the image, as the recording has seen
        if copy is None or copy.is_dir():
            self._missing.setdefault((proc.submission, proc.executable), _job(proc))
            return None
        name = PurePosixPath(proc.executable).name
        self._land(proc, proc.executable, name, copy, landed)
        return f"./{name}"

    def _in_image(self, proc: Proc, landed: Mapping[str, tuple[str, Path]]) -> str:
        if proc.executable.startswith("/"):
            return proc.executable
        name = name_of(proc.executable)
        if not _stands(name, landed):
            name = PurePosixPath(name).name
        if name not in landed and not _stands(name, landed):
            self._missing.setdefault((proc.submission, proc.executable), _job(proc))
        return f"./{name}"

    def _input(self, proc: Proc, name: str, landed: dict[str, tuple[str, Path]]) -> None:
        call = self._calls[proc.submission]
        initial = proc.commands.get("initialdir", "")
        if "://" in name:
            raise CaptureError(
                f"framework: {_job(proc)} lets HTCondor fetch a file from elsewhere",
                evidence=f"transfer_input_files: {name[:200]}",
                fix="let the job fetch it: parts take files of the CI job along",
            )
        recorded = name_of(name, initial)
        if recorded in call.left_out and not _is_credential(call.left_out[recorded]):
            self._missing.setdefault((proc.submission, f"{recorded} ({call.left_out[recorded]})"), _job(proc))
            return
        if recorded in call.left_out:
            self._left_out[recorded] += 1
            self._why[recorded] = call.left_out[recorded]
            return
        copy = call.copy_of(name, initial)
        if copy is None:
            self._missing.setdefault((proc.submission, recorded), _job(proc))
            return
        if copy.is_dir():
            self._look_inside(proc, call, recorded)
        if name.endswith("/") and copy.is_dir():
            for child in sorted(copy.iterdir()):
                self._land(proc, f"{name}{child.name}", child.name, child, landed)
            return
        self._land(proc, name, _landing(proc, name), copy, landed)

    def _look_inside(self, proc: Proc, call: Submission, folder: str) -> None:
        """What was left out of a folder that travels: a credential is said, anything else is missing."""
        for inside, why in call.left_out.items():
            if not inside.startswith(f"{folder}/"):
                continue
            if _is_credential(why):
                self._inside[inside] += 1
                self._why[inside] = why
            else:
                self._missing.setdefault((proc.submission, f"{inside} ({why})"), _job(proc))

    def _stdin(self, proc: Proc, landed: dict[str, tuple[str, Path]]) -> str:
        name = proc.stdin or ""
        if proc.commands.get("transfer_input", "").strip().lower() in {"false", "0", "no", "f"}:
            return name
        self._input(proc, name, landed)
        return f"./{_landing(proc, name)}"

    def _land(self, proc: Proc, name: str, landing: str, copy: Path, landed: dict[str, tuple[str, Path]]) -> None:
        if landing in {"", ".", ".."}:
            raise CaptureError(
                f"framework: {_job(proc)} takes a folder along that has no name of its own",
                evidence=name,
                fix="name the folder, or its content by a '/' at the end: data/",
            )
        before = landed.setdefault(landing, (name, copy))
        if before[1] != copy:
            raise CaptureError(
                f"framework: two files of {_job(proc)} land on one name in its folder: {landing!r}",
                evidence=f"{before[0]}\n{name}",
                fix="rename one of them, or set preserve_relative_paths = true",
            )

    def _own_environment(self, proc: Proc) -> Iterator[str]:
        for name, value in proc.environment:
            if name == "X509_USER_PROXY":
                self._proxy_variable[value] += 1
            elif (name, value) not in self._environment:
                if name.startswith("-"):
                    raise CaptureError(
                        f"framework: {_job(proc)} has a variable whose name looks like an option",
                        evidence=f"environment: {name}={value[:100]}",
                        fix="rename the variable",
                    )
                yield f"{name}={value}"

    def _outputs(self, proc: Proc) -> tuple[tuple[str, str], ...] | None:
        if proc.outputs is None:
            return None
        new_names = dict(proc.remaps)
        initial = proc.commands.get("initialdir", "")
        found = []
        for name in proc.outputs:
            base = PurePosixPath(name).name
            place = new_names.get(name, new_names.get(base, base))
            if "://" in place:
                self._shared[f"{name} = {place}"] += 1
                place = base
            found.append((name, name_of(place, initial)))
        return tuple(found)


def _landing(proc: Proc, name: str) -> str:
    """Where an input stands in the working folder: by its own name, or with its folders if they are to be kept."""
    kept = proc.commands.get("preserve_relative_paths", "").strip().lower() in {"true", "1", "yes", "t"}
    if kept and not name.startswith("/") and ".." not in PurePosixPath(name).parts:
        return PurePosixPath(name).as_posix()
    return PurePosixPath(name_of(name, proc.commands.get("initialdir", ""))).name


def _stands(name: str, landed: Mapping[str, tuple[str, Path]]) -> bool:
    """Whether a file stands under a path in the working folder, itself or in a folder that landed there."""
    path = PurePosixPath(name)
    places = ((landed[folder.as_posix()][1], folder) for folder in (path, *path.parents) if folder.as_posix() in landed)
    return ".." not in path.parts and any((copy / path.relative_to(folder)).is_file() for copy, folder in places)


def _job(proc: Proc) -> str:
    return f"job {proc.cluster_id}.{proc.proc_id}"
