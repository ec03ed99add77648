"""A plain submit description whose jobs are one command, as `septum.yaml` has it. Pure.

Whatever it cannot say for sure is a reason to let the description be recorded instead, as it is.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from septum.capture import commands as known
from septum.capture import queueing, quoting

_MAX_RETRIES = 20
MAX_PARTS = 5000
"""The longest list of parts that is written into `septum.yaml`."""
_ASSIGNMENT = re.compile(r"^\s*(?P<name>\+?[A-Za-z_][\w.]*)\s*=\s*(?P<value>.*?)\s*$")
_MACRO = re.compile(r"\$\((?P<name>[\w.]+)\)")
_PROCESS = frozenset({"process", "procid"})
_PLAIN_NAME = re.compile(r"[\w.+=@-]+")
_OUTPUT = re.compile(r"[\w$(){}.+=@/-]*\.(?:root|h5|hdf5|parquet|npz|npy|json|csv|txt|tar|zip|pkl|coffea)\b")
_IMAGES = frozenset({"my.singularityimage", "container_image", "docker_image"})
_UNPACKED = "/cvmfs/unpacked.cern.ch/"
_CREDENTIAL = re.compile(
    r"(?i)(?:^|[._-])(?:my|x509|voms|grid)?_?proxy(?:\.pem)?$|^x509up?(?:_u)?\d*$|^token(?:\.txt)?$"
)
"""What a job took along to get in; it gets that from septum."""
_VALUE = re.compile(r"[A-Za-z_]\w*")


class NotPlainError(Exception):
    """The description says more than a command and a list; the text says what, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One line of the description, and what becomes of it."""

    line: int
    text: str
    becomes: str
    why: str = ""


@dataclass(slots=True, kw_only=True)
class Plain:
    """What the description says, in the keys of `septum.yaml`."""

    keys: dict[str, object] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    image: str = ""
    variables: tuple[str, ...] = ()


Read = Callable[[str], "str | None"]


def translate(text: str, *, folder: str, read: Read, globs: Sequence[str] = ()) -> Plain:
    """The keys of `septum.yaml` for a description.

    Args:
        text: The description.
        folder: Where it stands, relative to the repository.
        read: Gives other files of the repository: a list of items, the script of a job.
        globs: The patterns that the old merge took its files by, which tell the name of an output.

    Raises:
        NotPlainError: It cannot be said in these keys.
    """
    values, lines = _assignments(text)
    try:
        statements = list(queueing.statements(text))
    except queueing.QueueError as error:
        raise NotPlainError(str(error)) from None
    if len(statements) != 1:
        raise NotPlainError(f"it has {len(statements)} queue statements")
    if folder != ".":
        raise NotPlainError("it is submitted from another folder than that of the repository")
    made = Plain()
    parts, names = _parts(statements[0], read)
    expand = _Expander(values=values, names=names)
    _refuse(values)
    made.variables = tuple(names.values())
    made.keys["command"] = _command(expand, read)
    made.keys["parts"] = parts
    made.keys["inputs"] = _inputs(expand)
    made.keys["outputs"] = _outputs(expand, read, globs)
    made.keys |= _asked(expand)
    made.image = _image(expand)
    made.commands = [_told(number, raw, name, made) for number, raw, name in lines]
    return made


def _assignments(text: str) -> tuple[dict[str, str], list[tuple[int, str, str]]]:
    values: dict[str, str] = {}
    lines: list[tuple[int, str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.rstrip().endswith("\\") or re.match(r"\s*(?:if|elif|else|endif|use|include|@)\b", line, re.IGNORECASE):
            raise NotPlainError(f"line {number} has a condition, a continuation or an include")
        found = _ASSIGNMENT.match(line)
        if found and not line.lstrip().startswith("#"):
            name = re.sub(r"^\+", "my.", found["name"]).lower()
            name = known.SPELLINGS.get(name, name)
            values[name] = found["value"]
            lines.append((number, line.strip(), name))
        elif re.match(r"\s*queue\b", line, re.IGNORECASE):
            lines.append((number, line.strip(), "queue"))
            break
    return values, lines


def _refuse(values: Mapping[str, str]) -> None:
    for name in values:
        if (
            name in known.REFUSED
            or name in known.GPUS
            or name in known.GPU_DETAILS
            or name in {"getenv", "get_env", "input"}
        ):
            raise NotPlainError(f"it has {name}, which a command in septum.yaml cannot say")
        if name in {"initialdir", "initial_dir", "preserve_relative_paths"}:
            raise NotPlainError(f"it has {name}: files land elsewhere")
    if values.get("universe", "vanilla").lower() not in {"vanilla", "container", "docker"}:
        raise NotPlainError(f"its universe is {values['universe']}")
    if values.get("transfer_executable", "true").lower() in {"false", "no"}:
        raise NotPlainError("its executable does not travel")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expander:
    """Expands the macros of a description; those of the queue statement become placeholders."""

    values: Mapping[str, str]
    names: Mapping[str, str]

    def text(self, name: str) -> str:
        """The value of a command, empty if it has none."""
        return self.expanded(self.values.get(name, ""))

    def expanded(self, text: str, depth: int = 0) -> str:
        """A text without macros."""
        if "{" in text or "}" in text:
            raise NotPlainError(f"{text[:60]!r} has braces")
        if depth > 10 or len(text) > 20_000:  # noqa: PLR2004 - nobody nests deeper
            raise NotPlainError("its macros refer to each other too deeply")
        found = _MACRO.search(text)
        if found is None:
            if "$" in text:
                raise NotPlainError(f"{text[:60]!r} uses a function of HTCondor, or $$")
            return text
        name = found["name"].lower()
        if name in self.names:
            inside = "\x02" + self.names[name] + "\x03"
        elif name in self.values:
            inside = self.expanded(self.values[name], depth + 1)
        else:
            raise NotPlainError(f"$({found['name']}) is known only when the jobs are in the queue")
        rest = self.expanded(text[found.end() :], depth + 1)
        return (text[: found.start()] + inside).replace("\x02", "{").replace("\x03", "}") + rest


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _parts(statement: queueing.Statement, read: Read) -> tuple[dict[str, object], dict[str, str]]:
    """The block of parts, and the name of the value behind each macro of the queue statement."""
    recorded = None
    wanted = re.search(r"\bfrom\s+(?P<file>[\w./-]+)\s*$", statement.arguments)
    if wanted:
        listed = read(posixpath.normpath(wanted["file"]))
        recorded = None if listed is None else [line for line in listed.splitlines() if line.strip()]
    try:
        queue = queueing.parse(statement.arguments, statement.inline, recorded)
        items = queueing.chosen(queue) if queue.foreach else []
        count = queueing.count_of(queue.count, lambda text: text)
    except queueing.QueueError as error:
        raise NotPlainError(str(error)) from None
    names = {name.lower(): name for name in queue.variables}
    for name in names.values():
        if not _VALUE.fullmatch(name) or name in {"part", "index", "parts"}:
            raise NotPlainError(f"its variable {name!r} cannot be the name of a value")
    if not queue.foreach:
        number = count or 1
        return {"product": {"Process": {"first": "0", "last": str(number - 1)}}}, dict.fromkeys(_PROCESS, "Process")
    if count != 1 or not items or len(items) > MAX_PARTS:
        raise NotPlainError("it has no items, several jobs for each, or a very long list")
    rows = []
    for at, item in items:
        split = queueing.split_item(item, len(queue.variables))
        rows.append(
            dict(zip(queue.variables, [*split, *[""] * len(queue.variables)], strict=False)) | {"Process": str(at)}
        )
    return {"list": rows}, names | dict.fromkeys(_PROCESS, "Process")


# ── what a job is ───────────────────────────────────────────────────────────────────────────────────────────────


def _command(expand: _Expander, read: Read) -> list[str]:
    program = expand.text("executable").strip().strip('"')
    if not program or "{" in program:
        raise NotPlainError("its executable is not one program")
    if not program.startswith("/"):
        if "/" in program.removeprefix("./"):
            raise NotPlainError("its executable stands in another folder, and would lie elsewhere on the worker")
        program = f"./{program.removeprefix('./')}"
    try:
        return [*_started(program, read), *quoting.arguments(expand.text("arguments"))]
    except ValueError as error:
        raise NotPlainError(f"arguments: {error}") from None


def _started(program: str, read: Read) -> list[str]:
    """How the program is started: a script by its interpreter, since HTCondor made it executable, and Git may not."""
    text = "" if program.startswith("/") else read(program.removeprefix("./")) or ""
    first = re.match(r"#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?(?P<words>[^\n{}]+)", text)
    if first is None:
        return [program]
    interpreter, *options = first["words"].split()
    return [posixpath.basename(interpreter), *options, program.removeprefix("./")]


def _inputs(expand: _Expander) -> list[str]:
    listed = [word for word in re.split(r"[,\s]+", expand.text("transfer_input_files")) if word]
    program = expand.text("executable").strip().strip('"').removeprefix("./")
    found = [] if program.startswith("/") else [program]
    for name in listed:
        if not _PLAIN_NAME.fullmatch(name):
            raise NotPlainError(
                f"the input {name[:60]!r} would lie under another name on the worker, or differs between jobs"
            )
        if name not in found and not _CREDENTIAL.search(name):
            found.append(name)
    return found


def _outputs(expand: _Expander, read: Read, globs: Sequence[str]) -> list[str]:
    listed = [word for word in re.split(r"[,\s]+", expand.text("transfer_output_files").strip('"')) if word]
    if not listed:
        listed = [
            pair.partition("=")[0].strip() for pair in expand.text("transfer_output_remaps").strip('"').split(";")
        ]
        listed = [name for name in listed if name]
    if not listed:
        listed = _guessed(expand, read, globs)
    if not listed or any("://" in name or name.startswith("/") or ".." in name for name in listed):
        raise NotPlainError("it does not say which files its jobs bring back (transfer_output_files)")
    return [name.rstrip("/") for name in listed]


def _guessed(expand: _Expander, read: Read, globs: Sequence[str]) -> list[str]:
    """The output that the arguments, or the script of the job, and the pattern of the old merge agree on."""
    candidates = _OUTPUT.findall(expand.text("arguments"))
    names = [posixpath.basename(glob) for glob in globs]
    for name in dict.fromkeys(posixpath.basename(each) for each in candidates):
        if any(fnmatch.fnmatch(re.sub(r"\{\w+\}", "1", name), glob) for glob in names):
            return [name]
    script = read(expand.text("executable").strip().removeprefix("./")) or ""
    copied = re.findall(
        r"\b(?:xrdcp|gfal-copy|eos cp)\b(?:\s+-\S+)*\s+(?:file://\S*/)?([\w.+=@-]+\.\w+)\s+\S+://", script
    )
    return sorted(set(copied)) if len(set(copied)) == 1 else []


def _asked(expand: _Expander) -> dict[str, object]:
    """Resources, retries and environment."""
    found: dict[str, object] = {}
    if resources := _resources(expand):
        found["resources"] = resources
    retries = expand.text("max_retries") or expand.text("num_retries")
    if retries.isdecimal() and int(retries):
        found["retries"] = str(min(int(retries), _MAX_RETRIES))
    try:
        pairs = quoting.environment(expand.text("environment")) if "environment" in expand.values else ()
    except ValueError as error:
        raise NotPlainError(f"environment: {error}") from None
    kept = {name: value for name, value in pairs if name != "X509_USER_PROXY"}
    if any("{" in value for value in kept.values()):
        raise NotPlainError("its environment differs between jobs")
    return found | ({"environment": kept} if kept else {})


def _resources(expand: _Expander) -> dict[str, str]:
    found: dict[str, str] = {}
    cores = expand.text("request_cpus")
    if cores.isdecimal():
        found["cpus"] = cores
    for key, name, unit in (("memory", "request_memory", "MB"), ("disk", "request_disk", "kB")):
        size = re.fullmatch(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kKmMgGtT]?)(?:i?[bB])?", expand.text(name).strip())
        if size:
            own = size["unit"].upper().replace("K", "k") + "B"
            found[key] = f"{size['number']} {own if size['unit'] else unit}"
    seconds = known.FLAVOURS_S.get(expand.text("my.jobflavour").strip('"').lower(), 0)
    for name, unit_s in known.TIMES_S.items():
        if expand.text(name).isdecimal():
            seconds = int(expand.text(name)) * unit_s
    if seconds:
        found["time"] = f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
    return found


def _image(expand: _Expander) -> str:
    for name in _IMAGES:
        text = expand.text(name).strip().strip('"').rstrip("/")
        if text and text != "None":
            return image_of(text)
    return ""


def image_of(path: str) -> str:
    """The name of an image, of the path under which workers find it."""
    return path.strip("\"'").rstrip("/").removeprefix(_UNPACKED).removeprefix("docker://")


def _told(number: int, raw: str, name: str, made: Plain) -> Command:
    becomes, why = _fate(name, made)
    return Command(line=number, text=raw, becomes=becomes, why=why)


_GONE = {
    **dict.fromkeys(("output", "error", "log", "userlog"),
                    "the logs of each part are fetched, and kept in the result folder"),
    **dict.fromkeys(("should_transfer_files", "when_to_transfer_output", "universe", "transfer_output_remaps"),
                    "septum spools, and fetches only whole outputs, each under the part that wrote it"),
}  # fmt: skip
_KEPT = {
    "executable": "command", "arguments": "command", "queue": "parts", "transfer_input_files": "inputs",
    "transfer_output_files": "outputs", "request_cpus": "resources", "request_memory": "resources",
    "request_disk": "resources", "my.jobflavour": "resources", "environment": "environment", "max_retries": "retries",
}  # fmt: skip


def _fate(name: str, made: Plain) -> tuple[str, str]:
    """What a command becomes, and why."""
    if name in _KEPT and (_KEPT[name] in made.keys or name == "executable"):
        return f"septum.yaml: {_KEPT[name]}", ""
    if name == "x509userproxy":
        return "", "jobs get the proxy that septum looks after"
    if name in known.POLICY or name in _GONE:
        return "", _GONE.get(name) or known.POLICY[name]
    told = {
        "num_retries": (
            "septum.yaml: retries", "num_retries is no submit command: HTCondor ignores it, and nothing was retried"
        ),
        **dict.fromkeys(_IMAGES, ("input 'image'", "one image for CI job and workers")),
        **dict.fromkeys(known.TIMES_S, ("septum.yaml: resources", "")),
        **dict.fromkeys(known.NO_EFFECT, ("", "it does not change what a job computes")),
    }  # fmt: skip
    site = ("the profile's 'attributes'", "attributes of a site belong into its profile: look whether you need it")
    macro = ("", "a macro of the description; its value stands where it was used")
    return told.get(name, site if name.startswith("my.") else macro)
