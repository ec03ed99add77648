"""Looks in the CI jobs of a component for places where the text of an input would be read as code. Pure.

GitLab puts inputs in before it reads anything else, so quotes around a block protect nothing. Safe is one way alone:
the input is the value of a variable, and a shell line has that variable in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from septum.components.shell_words import Word, split_words, words

_BLOCK = re.compile(r"\$\[\[\s*inputs\b")
_SHELL = ("before_script", "script", "after_script")
# The shell, git or the loader runs what these name, before a line of ours is read.
_SPECIAL = re.compile(r"(BASH_ENV|ENV|IFS|PATH|PS4|SHELLOPTS|LD_.*|PYTHON(PATH|STARTUP|HOME)|GIT_(SSH.*|CONFIG.*))")
_OUR_FILE = re.compile(r'"?\$SEPTUM_STATE/[a-z][a-z/-]*\.sh"?')
"""A script that an earlier CI job of the same run has left: its folder has no text of a user but the prefix."""
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh", "su"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A place where an input could become code.

    Attributes:
        job: The CI job.
        place: The keyword, and the line of the script or the entry of the list.
        text: What stands there.
        why: What is wrong with it.
    """

    job: str
    place: str
    text: str
    why: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.job}: {self.place}: {self.why}: {self.text}"


def scan(body: Mapping[str, object], scripts: Collection[str] = ()) -> tuple[Finding, ...]:
    """All places of a component's body where the text of an input would be code, hidden CI jobs included.

    Args:
        body: The second document of a component, before the inputs are put in.
        scripts: The blocks of inputs that are shell lines of the user's own, as an entry of `script` alone.
    """
    jobs = {name: job for name, job in body.items() if isinstance(job, Mapping)}
    return tuple(finding for name, job in jobs.items() for finding in _job(name, job, scripts))


def _job(name: str, job: Mapping[str, Any], own: Collection[str]) -> Iterator[Finding]:
    hooks = job.get("hooks")
    scripts = {key: job.get(key) for key in _SHELL}
    if isinstance(lines := job.get("script"), list):
        scripts["script"] = [line for line in lines if line not in own]
    scripts |= {f"hooks:{key}": value for key, value in (hooks.items() if isinstance(hooks, Mapping) else ())}
    for keyword, lines in scripts.items():
        yield from _script(name, keyword, "\n".join(_flat(lines)))
    yield from _commands(name, job)
    yield from _variables(name, "variables", job.get("variables"))
    rules = job.get("rules")
    for number, rule in enumerate(rules if isinstance(rules, list) else (), 1):
        if isinstance(rule, Mapping):
            if _BLOCK.search(str(rule.get("if", ""))):
                yield Finding(job=name, place=f"rules {number}", text=str(rule["if"]), why="an input in a condition")
            yield from _variables(name, f"rules {number}: variables", rule.get("variables"))


def _commands(name: str, job: Mapping[str, Any]) -> Iterator[Finding]:
    """What is run without a script: the commands of containers, and steps."""
    services = job.get("services")
    for keyword, value in (("image", job.get("image")), *(("services", it) for it in _list(services))):
        if isinstance(value, Mapping):
            for key in ("entrypoint", "command"):
                if _BLOCK.search(str(value.get(key, ""))):
                    yield Finding(job=name, place=f"{keyword}:{key}", text=str(value[key]), why="an input in a command")
    if _BLOCK.search(str(job.get("run", ""))):
        yield Finding(job=name, place="run", text=str(job["run"])[:200], why="an input in a command")


def _variables(name: str, place: str, variables: object) -> Iterator[Finding]:
    for key, value in variables.items() if isinstance(variables, Mapping) else ():
        if _BLOCK.search(str(key)):
            yield Finding(job=name, place=place, text=str(key), why="an input in the name of a variable")
        elif _SPECIAL.fullmatch(str(key)) and _BLOCK.search(str(value)):
            why = "an input in a variable that other programs take commands from"
            yield Finding(job=name, place=place, text=f"{key}: {value}", why=why)


def _script(name: str, keyword: str, script: str) -> Iterator[Finding]:
    for number, line in enumerate(script.split("\n"), 1):
        if _BLOCK.search(line):
            yield Finding(job=name, place=f"{keyword} {number}", text=line.strip()[:200], why="an input in a script")
    for word in split_words(script):
        why = f"{', '.join(word.bare)} without quotes"
        yield Finding(job=name, place=f"{keyword} {word.line}", text=word.text[:200], why=why)
    for word in _read_again(script):
        why = "a variable that a shell reads as code"
        yield Finding(job=name, place=f"{keyword} {word.line}", text=word.text[:200], why=why)


def _read_again(script: str) -> Iterator[Word]:
    """The words with variables that `eval`, `sh -c`, `.` and the like take for a script."""
    commands: dict[int, list[Word]] = {}
    for word in words(script):
        commands.setdefault(word.command, []).append(word)
    for command in commands.values():
        texts = [word.text for word in command]
        evaluates = bool({"eval", "trap"} & set(texts)) or texts[0] in {".", "source"}
        runs = bool(_SHELLS & {text.rpartition("/")[2] for text in texts}) and any(
            re.fullmatch(r"-[a-z]*c[a-z]*", text) for text in texts
        )
        if evaluates or runs:
            yield from (word for word in command if word.names and not _OUR_FILE.fullmatch(word.text))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _flat(lines: object) -> list[str]:
    if isinstance(lines, list):
        return [line for item in lines for line in _flat(item)]
    return [] if lines is None else [str(lines)]
