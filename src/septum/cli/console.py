"""What is printed: lines, folded sections of a CI log, tables. Nothing redraws; colour is for terminals, and sparse.

No secret of this process gets through, in whatever text or encoding it comes.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLES = {"bold": "1", "red": "1;31", "green": "32", "yellow": "33"}


def say(line: str, look: str = "") -> None:
    """Print a line at once, so that a CI log shows it when it is true; with `--json` to standard error.

    Args:
        line: The line.
        look: A style, see `style`, where there may be one.
    """
    _write(sys.stdout, (style(line, look) if look else _without_controls(line)) + "\n")


def complain(text: str) -> None:
    """Print to standard error."""
    _write(sys.stderr, _without_controls(text) + "\n")


def complain_of(text: str) -> None:
    """Print an error as `SeptumError` writes it: on a terminal with its first line and its fix to be seen."""
    first, *rest = _without_controls(text).split("\n")
    lines = [style(first, "red", sys.stderr)]
    lines += [style(line, "bold", sys.stderr) if line.startswith("  Fix: ") else line for line in rest]
    _write(sys.stderr, "\n".join(lines) + "\n")


def has_colour(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether what is written to a stream may have colours.

    `NO_COLOR` says no and wins, `FORCE_COLOR` says yes, and else a terminal that is not `dumb` decides
    (https://no-color.org/, https://force-color.org/).

    Args:
        stream: Standard output or standard error; None where there is none.
        environ: The environment.
    """
    if stream is None or environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or is_terminal(stream, environ)


def is_terminal(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether a stream is a terminal that understands more than lines."""
    try:
        return stream is not None and stream.isatty() and environ.get("TERM", "") not in {"", "dumb"}
    except ValueError:  # it is closed
        return False


def style(text: str, name: str, stream: TextIO | None = None) -> str:
    """A text without control characters of its own, in a colour where there may be one.

    Args:
        text: One line.
        name: `bold`, `red`, `green` or `yellow`.
        stream: Where it will be written; standard output by default.
    """
    plain = _without_controls(text)
    if not has_colour(stream or sys.stdout, os.environ):
        return plain
    return f"\x1b[{_STYLES[name]}m{plain}\x1b[0m"


def _without_controls(text: str) -> str:
    """Text of others, such as an issuer or a job, moves no cursor and opens no section of a CI log."""
    return _CONTROLS.sub("?", text)


def _write(stream: TextIO | None, text: str) -> None:
    """Write, and go on if that fails: a full disk or a reader that has gone must not end a run whose jobs go on."""
    with contextlib.suppress(OSError, ValueError):
        if stream is not None:
            stream.write(without_secrets(text))
            stream.flush()


def without_secrets(text: str) -> str:
    """A text with `***` in the place of every secret that this process knows."""
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
