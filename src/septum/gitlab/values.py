"""Values of variables: from files, from standard input, from a prompt; judged before anything is sent.

A value is never an argument of a command, and nothing here prints or keeps one outside of a `Secret`.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from septum.credentials.secret import Secret
from septum.credentials.variables import KEYTAB, MAX_BYTES
from septum.errors import UsageError
from septum.gitlab.wanted import Variable

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
# GitLab masks what is one line of at least eight characters without blanks, if references in it are not expanded
# (app/models/concerns/ci/maskable.rb).
_SHORTEST = 8
_STDIN = "-"
_FORM = "--value NAME=@FILE, or --value NAME=- for standard input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a value comes from: a file, or standard input if `path` is None."""

    key: str
    path: Path | None


def sources(texts: Sequence[str]) -> dict[str, Source]:
    """Take the values of `--value` apart.

    Raises:
        UsageError: One names no file, and may be the secret itself; it is not repeated.
    """
    found: dict[str, Source] = {}
    for text in texts:
        key, _, place = text.partition("=")
        if not _KEY.fullmatch(key):
            raise UsageError("--value: what stands before '=' is no name of a variable", fix=_FORM)
        if place != _STDIN and (not place.startswith("@") or len(place) == 1):
            raise UsageError(
                f"--value {key}: a value is never given on the command line, where all of this machine can read it",
                fix=f"{_FORM};\nif this was a real one, replace it: it may stand in the shell's history",
            )
        if key in found:
            raise UsageError(f"--value {key}: it is given twice", fix=_FORM)
        found[key] = Source(key=key, path=None if place == _STDIN else Path(place[1:]))
    if sum(source.path is None for source in found.values()) > 1:
        raise UsageError("--value: standard input holds one value", fix=_FORM)
    return found


def read(source: Source, stdin: BinaryIO) -> Secret:
    """Read a value; a keytab becomes base64.

    Raises:
        UsageError: There is no such file, or it is not text, or too large.
    """
    place = "standard input" if source.path is None else str(source.path)
    try:
        raw = _bytes(source, stdin)
    except OSError as error:
        raise UsageError(
            f"--value {source.key}: {place} cannot be read", evidence=error.strerror or str(error), fix=_FORM
        ) from None
    if len(raw) > MAX_BYTES:
        raise UsageError(f"--value {source.key}: {place} holds more than {MAX_BYTES // 1024} kB", fix=_FORM)
    if raw.startswith(KEYTAB):
        return Secret(base64.b64encode(raw).decode("ascii"))
    try:
        return Secret(raw.decode("utf-8").strip())
    except UnicodeDecodeError:
        problem = f"--value {source.key}: {place} is not text"
    # Outside of the handler: the error of the codec holds the value.
    raise UsageError(problem, fix=f"give it in base64: base64 -w0 FILE > FILE.b64; --value {source.key}=@FILE.b64")


def _bytes(source: Source, stdin: BinaryIO) -> bytes:
    if source.path is None:
        return stdin.read(MAX_BYTES + 1)
    with source.path.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def prepared(
    variable: Variable, value: Secret, attributes: Mapping[str, object], keys: Collection[str]
) -> dict[str, object]:
    """How a value is stored: a secret of several lines cannot be masked, and becomes a file.

    Args:
        variable: What is wanted.
        value: Its value.
        attributes: How it would be stored; without `masked` if it is hidden already.
        keys: Names of all variables: GitLab masks no value that is one.

    Raises:
        UsageError: GitLab would not mask it, or it is empty; it is not repeated.
    """
    text = value.reveal()
    problem = ""
    if not text.strip():
        problem = "is empty"
    elif "\0" in text:
        problem = "holds a zero byte"
    elif variable.secret and "\n" in text and "masked" not in attributes:
        problem = "has several lines, and what is hidden in GitLab stays one line: delete the variable there first"
    elif variable.secret and "\n" in text:
        return {**attributes, "variable_type": "file", "masked": False}
    elif variable.secret and re.search(r"\s", text):
        problem = "has blanks in it, so GitLab cannot mask it"
    elif variable.secret and len(text) < _SHORTEST:
        problem = f"has {len(text)} characters; GitLab masks from {_SHORTEST} on"
    elif variable.secret and text in keys:
        problem = "is the name of a variable, so GitLab cannot mask it"
    elif not variable.secret and not variable.as_file and not text.isprintable():
        problem = "is more than one line of text"
    del text
    if problem:
        raise UsageError(
            f"the value of {variable.key} {problem}",
            evidence=f"{variable.key}: {variable.what}",
            fix=f"check what is in it, and give it again: {_FORM}",
        )
    return dict(attributes)


def ask(variable: Variable, prompt: Callable[[str], str]) -> Secret:
    """Ask a person at a terminal, for a value or `@FILE`; empty if there is no answer.

    Raises:
        UsageError: There is no such file.
    """
    text = prompt(f"{variable.key} ({variable.what}; or @FILE; empty: later): ").strip()
    if not text.startswith("@"):
        return Secret(text)
    return read(Source(key=variable.key, path=Path(text[1:]).expanduser()), io.BytesIO())
