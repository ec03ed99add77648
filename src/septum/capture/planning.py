"""From the captured jobs of a framework to a plan: one part a job, in the order in which they were submitted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from septum.assembly import assemble, check_outputs, name_of_image, request_of
from septum.config import NAME, SETTABLE_BY_SEPTUM
from septum.errors import CaptureError, PlanError
from septum.files import Files
from septum.plan import HIDDEN, InputFile, OutputFile, Part, Plan, Value, fill, fingerprint, part_id
from septum.worker.sandbox import quote

if TYPE_CHECKING:
    from septum.capture.translate import Captured, CapturedPart
    from septum.config import Analysis
    from septum.plan import Request

WORDS = f"{HIDDEN}words"
"""The value that holds the command of a part: the words that its job was to run."""
_NUMBERS = {"Process": "proc_id", "ProcId": "proc_id", "Cluster": "cluster_id", "ClusterId": "cluster_id"}
"""What patterns of `septum.yaml` may name of a job, as submit descriptions do; `ClusterId` is the recording's."""
FOLDERS = f"{HIDDEN}folders"
"""The value that holds the empty folders that a job takes along; an archive has files alone."""
_MAKE_FOLDERS = (
    f"printf '%s\\n' \"${{PART_{FOLDERS}:-}}\" | "
    'while IFS= read -r folder; do [ -z "$folder" ] || mkdir -p -- "$folder" || exit; done'
)
PLACE = f"{HIDDEN}place_"
"""Begins the values that say where HTCondor would have brought an output; its number follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedPlan:
    """A plan, and where the files that it sends stand now."""

    plan: Plan
    places: Mapping[str, Path] = field(repr=False)

    def place(self, file: InputFile) -> Path:
        """Where an input file stands."""
        return self.places[file.sha256]


@dataclass(slots=True)
class _Store:
    """Describes files, each of them read once."""

    places: dict[str, Path]
    seen: dict[Path, tuple[int, str, bool]]
    empty: dict[Path, tuple[PurePosixPath, ...]] = field(default_factory=dict)

    def describe(self, landing: str, path: Path) -> InputFile:
        if path not in self.seen:
            self.seen[path] = _measure(path)
        size_b, sha256, executable = self.seen[path]
        self.places.setdefault(sha256, path)
        return InputFile(path=landing, size_b=size_b, sha256=sha256, executable=executable)

    def empty_below(self, path: Path) -> tuple[PurePosixPath, ...]:
        """The folders without content in a folder, which may be such a one itself."""
        if path not in self.empty:
            folders = (folder for folder in (path, *path.rglob("*")) if folder.is_dir() and not any(folder.iterdir()))
            self.empty[path] = tuple(PurePosixPath(folder.relative_to(path)) for folder in folders)
        return self.empty[path]


def make_captured_plan(
    analysis: Analysis,
    captured: Captured,
    *,
    root: Path,
    folders: Mapping[int, str],
    listed: Sequence[str] | None = None,
    image: str | None = None,
    leave_out: Sequence[str] = (),
) -> CapturedPlan:
    """Make the plan of captured jobs.

    Args:
        analysis: The values of `septum.yaml`.
        captured: The jobs, repaired.
        root: The folder that `septum.yaml` stands in.
        folders: For each `ClusterId` the folder, relative to `root`, that its jobs were submitted in.
        listed: The framework's own list of outputs, one for each job in their order; None if it has none.
        image: Replaces every other image if given; then comes that of `septum.yaml`, then that of the description.
        leave_out: Folders below `root` that are never inputs.

    Returns:
        The plan; the same recording and values give the same plan, to the last bit.

    Raises:
        CaptureError: The outputs of the jobs are not known, or not what the list says.
        PlanError: Two jobs would do the same work, or no plan follows.
    """
    store = _Store({}, {})
    own = [_inputs(part, store) for part in captured.parts]
    files = Files(root, leave_out)
    added = {path: store.describe(path, root / path) for path in files.match_inputs(analysis.inputs)}
    _refuse_twice(added, own)
    shared_paths = set.intersection(*({(file.path, file.sha256) for file in inputs} for inputs in own))
    shared = _sorted([*(file for file in own[0] if (file.path, file.sha256) in shared_paths), *added.values()])
    outputs, values = _outputs(analysis, captured, listed)
    variables = _all_variables(analysis, captured.parts)
    names = [
        _names(outputs, {**_own(index, len(variables)), **dict((*variables[index], *extra))})
        for index, extra in enumerate(values)
    ]
    _refuse_sent(names, own, captured.parts)
    places = [_places(analysis, part, name, folders) for part, name in zip(captured.parts, names, strict=True)]
    hollow = [_empty_folders(part, store) for part in captured.parts]
    setup = (*_setup(captured), *([_MAKE_FOLDERS] if any(hollow) else []), *analysis.setup)
    environment = tuple(sorted({**dict(captured.environment), **analysis.environment}.items()))
    chosen_image = name_of_image(analysis, image) or captured.image
    parts = []
    for index, (part, files_of, extra, place) in enumerate(zip(captured.parts, own, values, places, strict=True)):
        folders_of = ((FOLDERS, hollow[index]),) if hollow[index] else ()
        all_values = (*variables[index], (WORDS, part.words), *folders_of, *extra, *place)
        inputs = _sorted(file for file in files_of if (file.path, file.sha256) not in shared_paths)
        print_ = fingerprint(
            shell=analysis.shell,
            setup=setup,
            command=(f"{{{WORDS}}}",),
            environment=environment,
            image=chosen_image,
            outputs=outputs,
            values=all_values,
            inputs=[*shared, *inputs],
        )
        identity = part_id(index, len(captured.parts))
        parts.append(Part(id=identity, index=index, values=all_values, inputs=inputs, fingerprint=print_))
    _check_once(captured.parts, own, parts)
    plan = assemble(
        analysis,
        setup=setup,
        command=(f"{{{WORDS}}}",),
        environment=environment,
        image=chosen_image,
        request=_larger(request_of(analysis), captured.request),
        retries=max(analysis.retries, captured.retries),
        inputs=shared,
        outputs=outputs,
        parts=tuple(parts),
        places=tuple(f"{{{PLACE}{number}}}" for number in range(len(outputs))),
    )
    check_outputs(plan)
    return CapturedPlan(plan=plan, places=store.places)


# ── inputs and values ───────────────────────────────────────────────────────────────────────────────────────────


def _inputs(part: CapturedPart, store: _Store) -> tuple[InputFile, ...]:
    found = []
    for landing, path in part.inputs:
        pairs = [(landing, path)]
        if path.is_dir():
            below = sorted(item for item in path.rglob("*") if item.is_file())
            pairs = [((PurePosixPath(landing) / item.relative_to(path).as_posix()).as_posix(), item) for item in below]
        for name, file in pairs:
            described = store.describe(name, file)
            # HTCondor makes the executable one, whatever its mode.
            found.append(replace(described, executable=True) if name == part.executable else described)
    return _sorted(found)


def _empty_folders(part: CapturedPart, store: _Store) -> tuple[str, ...]:
    found = ((PurePosixPath(landing) / folder).as_posix() for landing, path in part.inputs
             for folder in store.empty_below(path))  # fmt: skip
    return tuple(sorted(found))


def _refuse_twice(added: Mapping[str, InputFile], own: Sequence[Sequence[InputFile]]) -> None:
    """Refuse a file of the repository where a job brings one of its own under that name."""
    for path in {file.path for files in own for file in files} & added.keys():
        raise PlanError(
            f"inputs: {path!r} is among the files that the framework sends as well",
            fix="take it out of 'inputs' in septum.yaml: the jobs have that of the framework",
        )


def _sorted(files: Iterable[InputFile]) -> tuple[InputFile, ...]:
    return tuple(sorted(files, key=lambda file: file.path))


def _measure(path: Path) -> tuple[int, str, bool]:
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise CaptureError(
            f"framework: a recorded file cannot be read: {path.name!r}",
            evidence=str(error),
            fix="record again: the folder of the recording has changed since",
        ) from error
    return len(data), hashlib.sha256(data).hexdigest(), bool(mode & 0o100)


def _variables(part: CapturedPart) -> tuple[tuple[str, Value], ...]:
    """The variables of the queue statement that can be values of a part: the names are for people and patterns."""
    return tuple(
        (name, text)
        for name, text in part.variables
        if re.fullmatch(NAME, name) and name not in SETTABLE_BY_SEPTUM and not name.startswith(HIDDEN)
    )


def _all_variables(analysis: Analysis, parts: Sequence[CapturedPart]) -> list[tuple[tuple[str, Value], ...]]:
    """For each part its variables, and the numbers of the job that outputs or results are named by."""
    rules = (analysis.merge or {}).items()
    texts = [output.path for output in analysis.outputs]
    texts += [text or "" for name, rule in rules for text in (name, rule.output, rule.at, rule.product)]
    found = []
    for part in parts:
        given = _variables(part)
        used = (name for name in _NUMBERS if any(f"{{{name}}}" in text for text in texts) and name not in dict(given))
        found.append((*given, *((name, str(getattr(part, _NUMBERS[name]))) for name in used)))
    return found


def _own(index: int, count: int) -> dict[str, Value]:
    """The values that every part has by itself."""
    return {"part": part_id(index, count), "index": str(index), "parts": str(count)}


def _setup(captured: Captured) -> tuple[str, ...]:
    """What HTCondor's own starter would have set up in the working folder of a job."""
    lines = ["_CONDOR_SCRATCH_DIR=$PWD; _CONDOR_SLOT=${_CONDOR_SLOT:-slot1}; export _CONDOR_SCRATCH_DIR _CONDOR_SLOT"]
    # The framework sends its proxy as a file; the jobs get the supervised one, under that name.
    proxies = (
        f'[ -z "${{X509_USER_PROXY:-}}" ] || ln -s -- "$X509_USER_PROXY" {quote(name)}' for name in captured.proxies
    )
    return (*lines, *proxies)


def _larger(wanted: Request, captured: Request) -> Request:
    """What `septum.yaml` asks for; what it leaves open is the framework's."""
    return replace(
        wanted,
        cpus=wanted.cpus or captured.cpus,
        memory_b=wanted.memory_b or captured.memory_b,
        disk_b=wanted.disk_b or captured.disk_b,
        time_s=wanted.time_s or captured.time_s,
    )


# ── outputs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _outputs(
    analysis: Analysis, captured: Captured, listed: Sequence[str] | None
) -> tuple[tuple[OutputFile, ...], list[tuple[tuple[str, Value], ...]]]:
    """The outputs of the plan, and for each part the values that their paths and places are made of."""
    if analysis.outputs:
        outputs = tuple(OutputFile(path=output.path, objects=tuple(output.objects)) for output in analysis.outputs)
        return outputs, [() for _ in captured.parts]
    if listed is not None:
        if len(listed) != len(captured.parts):
            raise CaptureError(
                f"framework: its list of outputs has {len(listed)} lines, and it submitted {len(captured.parts)} jobs",
                fix="let the framework write the output of each job, in the order of its jobs, or give 'outputs'",
            )
        names: list[tuple[str, ...]] = [(name,) for name in listed]
    else:
        names = [tuple(name for name, _ in part.outputs or ()) for part in captured.parts]
    _refuse_folders(names)
    counts = {len(each) for each in names}
    if counts == {0} or len(counts) > 1:
        raise CaptureError(
            "framework: what its jobs bring back is not known",
            evidence="the submit description has no transfer_output_files, and HTCondor would bring whatever is new"
            if counts == {0}
            else f"transfer_output_files names {min(counts)} files for some jobs and {max(counts)} for others",
            fix="say it in septum.yaml, with the variables of the queue statement: outputs: ['hists_{Folder}.root']",
        )
    endings = [_common_ending([each[number] for each in names]) for number in range(len(names[0]))]
    outputs = tuple(
        OutputFile(path=f"{{{HIDDEN}output_{number}}}{ending}", objects=()) for number, ending in enumerate(endings)
    )
    values: list[tuple[tuple[str, Value], ...]] = [
        tuple((f"{HIDDEN}output_{number}", name.removesuffix(endings[number])) for number, name in enumerate(each))
        for each in names
    ]
    return outputs, values


def _refuse_folders(names: Iterable[Sequence[str]]) -> None:
    """Refuse an output that is named as a folder; one that turns out to be a folder is seen on the worker."""
    folder = next((name for each in names for name in each if name.endswith("/")), None)
    if folder is not None:
        raise CaptureError(
            "framework: its jobs bring back a folder, and septum verifies files",
            evidence=f"the output {folder!r}",
            fix="name its files in septum.yaml, outputs: ['out/hists_{Folder}.root'], or let the job pack the folder",
        )


def _refuse_sent(
    names: Sequence[Sequence[str]], own: Sequence[Sequence[InputFile]], parts: Sequence[CapturedPart]
) -> None:
    """Refuse an output that a job takes along: one that writes nothing would bring that back."""
    sent = {file.path for files in own for file in files}
    for part, each in zip(parts, names, strict=True):
        for name in sent.intersection(each):
            raise CaptureError(
                f"framework: {name!r} is an output of its jobs, and among the files that it sends",
                evidence=f"job {part.cluster_id}.{part.proc_id}: a job that writes nothing would bring back what was "
                "sent",
                fix=f"take {name!r} out of transfer_input_files, or let the jobs write another name",
            )


def _names(outputs: Sequence[OutputFile], values: Mapping[str, Value]) -> tuple[str, ...]:
    """The paths of the outputs of a job on the worker, as far as they are known before there is a plan."""
    names = []
    for output in outputs:
        try:
            (name,) = fill(output.path, values)
        except (KeyError, ValueError):
            name = ""  # refused with all others, when there is a plan
        names.append(name)
    return tuple(names)


def _places(
    analysis: Analysis, part: CapturedPart, names: Sequence[str], folders: Mapping[int, str]
) -> tuple[tuple[str, Value], ...]:
    """Where HTCondor would have brought each output, for a command that merges and that is not told where they are."""
    if not any(rule.command is not None and rule.at is None for rule in (analysis.merge or {}).values()):
        return ()
    brought = dict(part.outputs or ())
    folder = folders.get(part.cluster_id, "")
    found: list[tuple[str, Value]] = []
    for number, name in enumerate(names):
        place = brought.get(name) or PurePosixPath(name).name
        place = PurePosixPath(place).name if place.startswith("/") else place
        found.append((f"{PLACE}{number}", (PurePosixPath(folder) / place).as_posix()))
    return tuple(found)


def _common_ending(names: Sequence[str]) -> str:
    """The ending that all names share, which decides how they are merged; empty if they differ."""
    suffixes = {PurePosixPath(name).suffix for name in names}
    return suffixes.pop() if len(suffixes) == 1 else ""


def _check_once(captured: Sequence[CapturedPart], own: Sequence[Sequence[InputFile]], parts: Sequence[Part]) -> None:
    """Refuse two jobs of the same command and files: a variable or the name of an output alone is no other work."""
    seen: dict[object, Part] = {}
    for job, files, part in zip(captured, own, parts, strict=True):
        first = seen.setdefault((job.words, tuple((file.path, file.sha256) for file in files)), part)
        if first is not part:
            raise PlanError(
                f"framework: {first.describe()} and {part.describe()} would do the same work, and be counted twice",
                evidence=f"the same command, arguments, environment and input files: {' '.join(job.words)[:200]}",
                fix="let the jobs differ: $(Process) or a variable of the queue statement in the arguments",
            )
