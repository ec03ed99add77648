"""Git, as far as the starter needs it: each call with a deadline, and none that runs what a repository names."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from septum.errors import StarterError, TryAgainError

CLONE_S = 300.0
_CALL_S = 60.0
_SHOWN_LINES = 6
OWN = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
"""Of repositories that septum makes for itself: no hooks, no signatures, nothing of the user's."""
_NO_CONTACT = (
    "could not resolve",
    "timed out",
    "connection re",
    "failed to connect",
    "unreachable",
    "http 5",
    "error: 5",
)


def git(folder: Path, *words: str, environ: Mapping[str, str] | None = None, timeout_s: float = _CALL_S) -> str:
    """What git prints.

    Args:
        folder: Where it runs.
        words: What it is asked.
        environ: More variables.
        timeout_s: Deadline in seconds.

    Raises:
        StarterError: It refuses, or there is none.
        TryAgainError: It did not end in time, or did not reach a server.
    """
    what = f"git {words[0]}"
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *words],
            cwd=folder,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise StarterError("git is not installed, and the starter needs it", fix="install git") from error
    except subprocess.TimeoutExpired as error:
        raise TryAgainError(f"{what}: no answer within {timeout_s:.0f} s", fix="try again") from error
    said = "\n".join(done.stderr.decode("utf-8", "replace").strip().splitlines()[-_SHOWN_LINES:])
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "replace")
    if any(sign in said.lower() for sign in _NO_CONTACT):
        raise TryAgainError(
            f"{what}: the server did not answer",
            evidence=said,
            fix="try again; without a network: --starter, with the path of a clone",
        )
    raise StarterError(f"{what} failed", evidence=said, fix="the lines above are Git's own")


def commit_all(folder: Path, *, message: str, tag: str) -> None:
    """Make a repository of a folder of septum's own: one commit of all files, and a tag.

    Raises:
        StarterError: Git refuses.
    """
    name = ("-c", "user.name=septum", "-c", "user.email=septum@localhost", "-c", "core.autocrlf=false")
    git(folder, "init", "--quiet", "--initial-branch=main", environ=OWN)
    git(folder, "add", "--force", "--all", environ=OWN)
    git(folder, *name, "commit", "--quiet", "--message", message, environ=OWN)
    git(folder, "tag", tag, environ=OWN)


def instead(address: str, clone: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables by which Git takes a clone on this machine wherever the address is named.

    Args:
        address: Of a repository.
        clone: Of the same one.
        environ: The environment that they are for: what is set in it by the same means stays.
    """
    settings = {
        f"url.{clone.resolve().as_uri()}.insteadOf": address,
        # Of repositories that copier makes for itself.
        "commit.gpgSign": "false",
        "tag.gpgSign": "false",
        "init.defaultBranch": "main",
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        "protocol.file.allow": "always",
    }
    given = environ.get("GIT_CONFIG_COUNT", "0")
    begin = int(given) if given.isdecimal() else 0
    found = {"GIT_CONFIG_COUNT": str(begin + len(settings))}
    for number, (key, value) in enumerate(settings.items(), start=begin):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found
