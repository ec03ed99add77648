"""Questions to a person at the terminal: whether one is there, what is not shown, yes or no."""

from __future__ import annotations

import sys

from septum.errors import UsageError


def is_person() -> bool:
    """Whether somebody can answer."""
    try:
        return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    except (ValueError, AttributeError):  # closed
        return False


def secretly(question: str) -> str:
    """Ask for something that is not shown; empty at the end of the input."""
    import getpass

    try:
        return getpass.getpass(question, stream=sys.stderr)
    except EOFError:
        return ""


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether the user wants it.

    Raises:
        UsageError: There is nobody to ask.
    """
    if yes:
        return True
    if not is_person():
        raise UsageError(f"{question} Nobody is there to say so", fix="add --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
