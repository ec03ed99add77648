"""Where a run comes from and what it ran with: GitLab's variables, git's commit, versions. Values without secrets."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

import septum
from septum import git

_VARIABLES = MappingProxyType(
    {
        "commit": "CI_COMMIT_SHA",
        "ref": "CI_COMMIT_REF_NAME",
        "tag": "CI_COMMIT_TAG",
        "merge-request": "CI_MERGE_REQUEST_IID",
        "pipeline": "CI_PIPELINE_ID",
        "pipeline-url": "CI_PIPELINE_URL",
        "project-url": "CI_PROJECT_URL",
        "job-url": "CI_JOB_URL",
        "job-name": "CI_JOB_NAME",
        "instance": "CI_SERVER_URL",
        "user": "GITLAB_USER_LOGIN",
        "septum-image": "SEPTUM_OWN_IMAGE",
        "component": "SEPTUM_COMPONENT",
    }
)
"""The predefined variables of GitLab, and those that the component sets."""
_URLS = frozenset({"pipeline-url", "project-url", "job-url", "instance"})
_LONGEST = 500
_GIT_S = 10.0
"""So long git may take; on a network file system, `status` of a large checkout does."""
_PACKAGES = ("numpy", "uproot")


def origin(environ: Mapping[str, str], *, folder: Path | None = None, own: Sequence[Path] = ()) -> dict[str, str]:
    """Where a run comes from, as far as it is known.

    Args:
        environ: The environment.
        folder: Where to ask git when there is no CI job; the working folder by default.
        own: Folders that septum writes itself, which make no checkout dirty.

    Returns:
        By name: `commit`, `ref`, `pipeline-url` and so on. Outside of a CI job, `commit` and `dirty` (`yes` when files
        differ from the commit, or are not in it) if the folder is in a git checkout. Without passwords in URLs.
    """
    found = {name: _value(name, environ.get(variable, "")) for name, variable in _VARIABLES.items()}
    known = {name: value for name, value in found.items() if value}
    return known if "commit" in known else {**known, **_from_git(environ, folder or Path(), own)}


def software() -> dict[str, str]:
    """Versions of what takes part, by name; nothing is imported for it."""
    found = {"septum": septum.__version__, "python": platform.python_version(), "platform": platform.platform()}
    # The bindings count only where they were used: a run on this machine has nothing to do with them.
    packages = [*_PACKAGES, *(["htcondor"] if "htcondor2" in sys.modules else [])]
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def plain_url(text: str, *, schemes: Collection[str] = ("http", "https")) -> str:
    """An address without user, password, query and fragment, as tokens stand there; empty when it is none."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if parts.scheme not in schemes or not host or not text.isprintable() or " " in text:
        return ""
    place = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{place}:{port}" if port else place, parts.path, "", ""))


def _value(name: str, text: str) -> str:
    """A value of a CI variable: one line, and not longer than one that GitLab would make."""
    if name in _URLS:
        return plain_url(text)[:_LONGEST]
    return "".join(letter if letter.isprintable() else "?" for letter in text.strip())[:_LONGEST]


def _from_git(environ: Mapping[str, str], folder: Path, own: Sequence[Path]) -> dict[str, str]:
    commit = _git(environ, folder, "rev-parse", "--verify", "HEAD^{commit}")
    if not commit:
        return {}
    here = folder.resolve()
    below = [path.resolve().relative_to(here) for path in own if path.resolve().is_relative_to(here)]
    left_out = [f":(exclude,literal){path.as_posix()}" for path in below if path.parts]
    changes = _git(environ, folder, "status", "--porcelain", "--untracked-files=normal", "--", ":/", *left_out)
    return {"commit": commit} if changes is None else {"commit": commit, "dirty": "yes" if changes else "no"}


def _git(environ: Mapping[str, str], folder: Path, *arguments: str) -> str | None:
    """What git prints; None when it is not there, refuses, or takes too long."""
    kept = {name: environ[name] for name in ("PATH", "HOME", "LANG") if name in environ}
    try:
        said = git.ask(folder, *arguments, environ=kept, timeout_s=_GIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if said is None else said.strip()
