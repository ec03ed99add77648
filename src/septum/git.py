"""Asks Git about a checkout, without starting anything that the checkout itself names."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

_DEADLINE_S = 10.0
_KEPT = frozenset({"PATH", "HOME", "XDG_CONFIG_HOME"})


def origin_of(folder: Path, environ: Mapping[str, str]) -> str:
    """The address of the remote `origin`; empty if there is none."""
    return line(folder, "remote", "get-url", "origin", environ=environ)


def line(folder: Path, *arguments: str, environ: Mapping[str, str]) -> str:
    """What git prints, on one line; empty if it refuses, is not there, or does not answer.

    Args:
        folder: A folder in the checkout.
        arguments: What git is asked.
        environ: The environment, of which git gets what is its own.
    """
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith("GIT_")}
    try:
        return (ask(folder, *arguments, environ=kept, timeout_s=_DEADLINE_S) or "").strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def ask(folder: Path, *arguments: str, environ: Mapping[str, str], timeout_s: float) -> str | None:
    """What git prints; None if it refuses, as outside of a repository.

    Args:
        folder: A folder in the checkout.
        arguments: What git is asked.
        environ: What git may know of the environment.
        timeout_s: Deadline in seconds.

    Raises:
        OSError: There is no git.
        subprocess.TimeoutExpired: It does not answer.
    """
    done = subprocess.run(
        # No program that the checkout's own configuration names is started, and no lock is taken.
        ["git", "-c", "core.fsmonitor=false", *arguments],
        cwd=folder,
        env={**environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
