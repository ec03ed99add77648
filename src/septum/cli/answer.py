"""`--json`: one document on standard output, whatever happens; people's words go to standard error.

A verb gives its document to `answer`. What it ended with, if with an error, stands in the document under `error`.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, cast

from septum.cli.console import without_secrets

if TYPE_CHECKING:
    import argparse

INTERRUPTED = "interrupted"
"""Stands for the code of an error where a signal ended septum."""


@dataclass(slots=True)
class Reply:
    """What a verb answers.

    Attributes:
        document: What it gave, None as long as it gave nothing.
        written: A whole document that it wrote to standard output instead.
        error: What it ended with.
        unwritten: Why the document could not be written, other than that nobody reads it any more.
    """

    document: Any = None
    written: Any = None
    error: Mapping[str, Any] | None = None
    unwritten: OSError | None = None

    def text(self) -> str:
        """The document as it is printed; no terminal and no encoding can misread it."""
        found = self.document if self.document is not None else self.written
        if self.error is not None:
            found = {**(found if isinstance(found, dict) else {}), "error": dict(self.error)}
        return json.dumps({} if found is None else _clean(found), indent=1) + "\n"


def _clean(value: Any) -> Any:
    """Plain data without the secrets of this process; text by text, since JSON may write one in another way."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {without_secrets(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no word for it
    return [_clean(item) for item in value] if isinstance(value, (list, tuple)) else value


_reply: Reply | None = None


def is_asked(args: argparse.Namespace) -> bool:
    """Whether the command line asks for a document on standard output."""
    return getattr(args, "json", None) is True or getattr(args, "form", None) == "json"


def answer(document: Mapping[str, Any] | list[Any]) -> bool:
    """Give the document of this verb, plain data; the last one counts.

    Returns:
        Whether it was asked for: if not, people read what the verb says.
    """
    if _reply is None:
        return False
    _reply.document = document
    return True


def note_error(code: str, exit_code: int, what: str, *, evidence: str = "", fix: str = "") -> None:
    """Put an error into the document, if one is asked for."""
    if _reply is not None:
        _reply.error = {"code": code, "exit_code": exit_code, "what": what, "evidence": evidence, "fix": fix}


@contextlib.contextmanager
def answering(*, asked: bool) -> Iterator[Reply]:
    """While inside, standard output belongs to the document; it is written at the end.

    Args:
        asked: Whether there is to be one. Without, nothing changes.

    Yields:
        What is answered.
    """
    global _reply  # noqa: PLW0603 - the one command of this process
    if not asked:
        yield Reply()
        return
    reply = _reply = Reply()
    out = sys.stdout
    try:
        with _to_stderr(out), contextlib.redirect_stdout(cast("TextIO", _People(reply))):
            yield reply
    finally:
        _reply = None
        # A reader that has gone has seen what it wanted; a process may also have begun without standard output.
        try:
            if out is not None:
                out.write(reply.text())
                out.flush()
        except (BrokenPipeError, ValueError):
            pass
        except OSError as error:
            reply.unwritten = error


@contextlib.contextmanager
def _to_stderr(out: TextIO) -> Iterator[None]:
    """What programs that we start print goes to standard error, too: the lines under `prepare`, a shell, a library."""
    try:
        number, target = out.fileno(), sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):  # no real files, or none at all
        yield
        return
    out.flush()
    kept = os.dup(number)
    try:
        os.dup2(target, number)
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


class _People(io.TextIOBase):
    """Standard output while a document is asked for: lines for people go to standard error.

    What is a whole document in one write is taken for the answer of a verb that gave none.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def write(self, text: str) -> int:
        found = _document(text)
        if found is not None:
            self._reply.written = found
        elif sys.stderr is not None:
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()

    def writable(self) -> bool:
        return True


def _document(text: str) -> Any:
    if text[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
