"""What is printed: lines, folded sections of a CI log, tables. Plain text; nothing redraws."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence


def say(line: str) -> None:
    """Print a line at once, so that a CI log shows it when it is true."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Print to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


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
        sys.stdout.write(f"\x1b[0Ksection_start:{int(time.time())}:septum_{name}{option}\r\x1b[0K")
    say(title)
    try:
        yield
    finally:
        if folding:
            sys.stdout.write(f"\x1b[0Ksection_end:{int(time.time())}:septum_{name}\r\x1b[0K\n")
        sys.stdout.flush()


def table(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> None:
    """Print rows as columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        say((indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip())
