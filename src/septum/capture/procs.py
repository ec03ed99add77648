"""From one recorded call of `condor_submit` to its procs: what each job runs, with which files, in HTCondor's words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from septum.capture import quoting
from septum.capture.calls import Call, read_words
from septum.capture.commands import SPELLINGS
from septum.errors import BindingsMissingError, CaptureError

if TYPE_CHECKING:
    from septum.capture.recording import Submission

DEADLINE_S = 60.0
_SIDES = 2
# Commands that have other spellings: the first of them that is given counts, be it empty, and an attribute before all.
_SPELLINGS = {
    "executable": ("executable", "cmd", "my.cmd"),
    "input": ("input", "stdin", "my.in"),
    "output": ("output", "stdout", "my.out"),
    "error": ("error", "stderr", "my.err"),
    "log": ("log", "userlog", "my.userlog"),
    "transfer_input_files": ("transfer_input_files", "my.transferinput"),
    "transfer_output_files": ("transfer_output_files", "my.transferoutput"),
    "transfer_output_remaps": ("transfer_output_remaps", "my.transferoutputremaps"),
    "transfer_executable": ("transfer_executable", "my.transferexecutable"),
    "initialdir": ("initialdir", "iwd", "my.iwd"),
}
# Where the other spellings say nothing.
_INITIALDIR_ELSE = ("initial_dir", "job_iwd")
_ARGUMENTS = ("arguments", "args", "arguments2", "my.arguments", "my.args")
_ENVIRONMENT = ("environment", "env", "environment2", "my.environment", "my.env")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proc:
    """One job as its framework meant it, macros expanded.

    Attributes:
        cluster_id: The `ClusterId` that the call was answered with.
        proc_id: Its number in that cluster.
        submission: The number of the call.
        variables: The variables of the queue statement and their values.
        executable: As named.
        arguments: The words behind it.
        stdin: The file for its standard input.
        transfer_executable: Whether the executable travels with the job.
        inputs: The files that travel to the job, as named, without the executable.
        outputs: The files that come back, as they are called on the worker; None if the description does not say.
        remaps: New names for them.
        logs: The names for standard output, standard error and HTCondor's log; empty if there is none.
        environment: Names and values.
        commands: Every other command, its name in lower case; attributes as `my.name`.
        macros: Names in lower case that the description refers to itself.
    """

    cluster_id: int
    proc_id: int
    submission: int
    variables: tuple[tuple[str, str], ...]
    executable: str
    arguments: tuple[str, ...]
    stdin: str | None
    transfer_executable: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] | None
    remaps: tuple[tuple[str, str], ...]
    logs: tuple[str, str, str]
    environment: tuple[tuple[str, str], ...]
    commands: Mapping[str, str]
    macros: frozenset[str]


def procs(submission: Submission, *, deadline_s: float = DEADLINE_S) -> tuple[Proc, ...]:
    """Read the description of one call.

    Args:
        submission: The call.
        deadline_s: How long HTCondor's parser may take.

    Returns:
        The jobs, in their order.

    Raises:
        CaptureError: condor_submit would not take the description, or what it says depends on more than was recorded.
        BindingsMissingError: HTCondor's Python bindings are not installed.
    """
    call = read_words(submission.words)
    found = []
    answer = _expanded(submission, call, deadline_s)
    used = frozenset(answer["macros"])
    for statement in answer["statements"]:
        common = {name.lower(): value for name, value in statement["common"].items()}
        for cluster_id, proc_id, variables, own in statement["jobs"]:
            commands = _commands(common | {name.lower(): value for name, value in own.items()})
            if call.batch_name:
                commands["batch_name"] = call.batch_name
            named = tuple((name, value) for name, value in variables)
            found.append(_proc(submission, cluster_id, proc_id, named, commands, used))
    return tuple(found)


def _expanded(submission: Submission, call: Call, deadline_s: float) -> dict[str, Any]:
    """What the parser's process says of the description."""
    request = {
        "text": submission.text,
        "name": call.file,
        "presets": dict(call.presets),
        "appended": call.appended,
        "queue": call.queue,
        "items": submission.items,
        "answers": submission.answers,
        "environment": dict(submission.environment),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "septum.capture.expand"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_s,
            check=False,
            # Python looks for modules where it starts, and a recording is an artifact that others have written.
            cwd="/",
            env={"CONDOR_CONFIG": "ONLY_ENV", "PYTHONSAFEPATH": "1", "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired:
        raise _error(submission, f"HTCondor's parser did not end within {deadline_s:.0f} s") from None
    if re.search("No module named '(?:htcondor2|classad2)'", done.stderr):
        raise BindingsMissingError(
            "htcondor: the Python bindings are not installed, which read submit descriptions",
            evidence=f"{sys.executable} on {sys.platform}",
            fix="python3 -m pip install htcondor   (Linux only)",
        )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise _error(submission, f"HTCondor's parser ended with {done.returncode}: {said[:200]}") from None
    if "error" in answer:
        raise _error(submission, answer["error"])
    return answer


def _proc(
    submission: Submission,
    cluster_id: int,
    proc_id: int,
    variables: tuple[tuple[str, str], ...],
    commands: dict[str, str],
    macros: frozenset[str],
) -> Proc:
    taken = {name: _take(commands, spellings) for name, spellings in _SPELLINGS.items()}
    where = f"job {cluster_id}.{proc_id}"
    if not taken["executable"]:
        raise _error(submission, f"{where} has no executable")
    initial = taken.pop("initialdir") or _take(commands, _INITIALDIR_ELSE)
    commands = {name: value for name, value in commands.items() if name not in _INITIALDIR_ELSE}
    if initial:
        commands["initialdir"] = initial
    outputs = taken["transfer_output_files"]
    return Proc(
        cluster_id=cluster_id,
        proc_id=proc_id,
        submission=submission.number,
        variables=variables,
        executable=taken["executable"],
        arguments=_quoted(submission, where, "arguments", commands),
        stdin=None if taken["input"] in {None, "", "/dev/null"} else taken["input"],
        transfer_executable=not _is_false(taken["transfer_executable"]),
        inputs=_names(taken["transfer_input_files"] or ""),
        outputs=None if outputs is None else _names(outputs),
        remaps=_remaps(taken["transfer_output_remaps"] or ""),
        logs=(taken["output"] or "", taken["error"] or "", taken["log"] or ""),
        environment=_quoted(submission, where, "environment", commands),
        commands=commands,
        macros=macros,
    )


def _commands(given: dict[str, str]) -> dict[str, str]:
    """The commands under their own names; one that is given as an attribute counts if the command itself is not."""
    return {SPELLINGS[name]: value for name, value in given.items() if name in SPELLINGS} | {
        name: value for name, value in given.items() if name not in SPELLINGS
    }


def _take(commands: dict[str, str], spellings: tuple[str, ...]) -> str | None:
    """Take a command out, in whatever spelling; attributes are texts in double quotes."""
    found = None
    for name in spellings:
        value = commands.pop(name, None)
        if value is not None and name.startswith("my."):
            found = _unquoted(value)
        elif value is not None and found is None:
            found = value.strip()
    return found


def _quoted(submission: Submission, where: str, name: str, commands: dict[str, str]) -> Any:
    spellings = _ARGUMENTS if name == "arguments" else _ENVIRONMENT
    read = quoting.arguments if name == "arguments" else quoting.environment
    given = [spelling for spelling in spellings if spelling in commands]
    values = {spelling: commands.pop(spelling) for spelling in given}
    if (
        f"{name}2" in values
        and sum(bool(value.strip()) for value in values.values()) > 1
        and not _is_true(commands.get(f"allow_{name}_v1", ""))
    ):
        raise _error(submission, f"{where} has {' and '.join(given)}, and HTCondor takes one of them")
    # As with the others; the new syntax counts before the old.
    attributes = [spelling for spelling in given if spelling.startswith("my.")]
    order = [*attributes[-1:], *(spelling for spelling in given if spelling == f"{name}2"), *given]
    chosen = order[0] if order else ""
    if not values.get(chosen, "").strip():
        return ()
    text = values[chosen].strip()
    if chosen in {"my.args", "my.env"}:
        text = _unquoted(text).replace('"', '\\"')
    elif chosen.startswith("my."):
        text = '"' + _unquoted(text).replace('"', '""') + '"'
    elif chosen.endswith("2") and not text.startswith('"'):
        raise _error(submission, f"{where}: {chosen} = {text[:80]} must stand in double quotes")
    try:
        return read(text)
    except ValueError as error:
        raise _error(submission, f"{where}: {chosen} = {text[:80]}: {error}") from error


def _unquoted(text: str) -> str:
    """The text of a ClassAd literal; what is none stays."""
    found = re.fullmatch(r'\s*"((?:[^"\\]|\\.)*)"\s*', text, re.DOTALL)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else text.strip()


def _bare(text: str) -> str:
    """A text without the quotes around the whole of it."""
    trimmed = text.strip()
    return trimmed[1:-1] if re.fullmatch(r'".*"', trimmed, re.DOTALL) else trimmed


def _names(text: str) -> tuple[str, ...]:
    """The names of a list of files: commas stand between them, quotes around the whole are none of it."""
    return tuple(name for name in (piece.strip() for piece in _bare(text).split(",")) if name)


def _remaps(text: str) -> tuple[tuple[str, str], ...]:
    """The pairs of `transfer_output_remaps`, `old = new ; old = new`; a backslash makes the next character plain."""
    pairs = [re.split(r"(?<!\\)=", piece, maxsplit=1) for piece in re.split(r"(?<!\\);", _bare(text))]
    plain = [tuple(re.sub(r"\\([;=])", r"\1", side).strip() for side in pair) for pair in pairs]
    return tuple((pair[0], pair[1]) for pair in plain if len(pair) == _SIDES)


def _is_true(text: str) -> bool:
    return text.strip().lower() in {"true", "t", "yes", "1"}


def _is_false(text: str | None) -> bool:
    return (text or "").strip().lower() in {"false", "f", "no", "0"}


def _error(submission: Submission, why: str) -> CaptureError:
    return CaptureError(
        f"framework: the description of call {submission.number} of condor_submit cannot be read",
        evidence=why,
        fix="correct what writes the description; 'condor_submit -dry-run -' shows what HTCondor makes of one",
    )
