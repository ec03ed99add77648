"""What is printed: lines, folded sections of a CI log, tables. Plain text; nothing redraws.

No secret of this process gets through, in whatever text or encoding it comes.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TextIO

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def say(line: str) -> None:
    """Print a line at once, so that a CI log shows it when it is true."""
    _write(sys.stdout, _without_controls(line) + "\n")


def complain(text: str) -> None:
    """Print to standard error."""
    _write(sys.stderr, _without_controls(text) + "\n")


def _without_controls(text: str) -> str:
    """Text of others, such as an issuer or a job, moves no cursor and opens no section of a CI log."""
    return _CONTROLS.sub("?", text)


def _write(stream: TextIO | None, text: str) -> None:
    """Write, and go on if that fails: a full disk or a reader that has gone must not end a run whose jobs go on."""
    with contextlib.suppress(OSError, ValueError):
        if stream is not None:
            stream.write(_without_secrets(text))
            stream.flush()


def _without_secrets(text: str) -> str:
    # The module is loaded by the first secret. As long as there is none, there is nothing to load it for.
    redact = sys.modules.get("septum.credentials.redact")
    return str(redact.KNOWN.text(text)) if redact is not None else text


@contextlib.contextmanager
def section(name: str, title: str, *, collapsed: bool = False) -> Iterator[None]:
    """A section that GitLab's log can fold; elsewhere its title as a line.

    Args:
        name: Letters and underscores; unique in the log.
        title: What the reader sees.
        collapsed: Whether it is folded at first.
    """
    folding = os.environ.get("GITLAB_CI") == "true"
    if folding:
        option = "[collapsed=true]" if collapsed else ""
        _write(sys.stdout, f"\x1b[0Ksection_start:{int(time.time())}:septum_{name}{option}\r\x1b[0K")
    say(title)
    try:
        yield
    finally:
        if folding:
            _write(sys.stdout, f"\x1b[0Ksection_end:{int(time.time())}:septum_{name}\r\x1b[0K\n")


def table(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> None:
    """Print rows as columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        say((indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip())
