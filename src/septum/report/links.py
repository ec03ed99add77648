"""Where GitLab shows the files of this CI job, from the variables of the job. Pure.

Documented under "Predefined CI/CD variables" and "Access the latest job artifacts by URL" of GitLab's handbook.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from urllib.parse import quote, urlsplit


def web_link(url: str) -> str:
    """A URL if a browser may follow it: `https` or `http` with a host and without a password; else nothing."""
    try:
        parts = urlsplit(url)
        # Reading the port is what finds a wrong one.
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.password is None and parts.port != 0
    except ValueError:
        return ""
    return url if good and url.isascii() and url.isprintable() and " " not in url else ""


def artifact_link(environ: Mapping[str, str], folder: PurePath, name: str, *, raw: bool = False) -> str:
    """The page on which GitLab shows a file of the result folder.

    Args:
        environ: The environment of the CI job.
        folder: The result folder, absolute or relative to the checkout.
        name: The file in it.
        raw: The file itself instead.

    Returns:
        The link; empty outside of GitLab, and for a folder that is not in the checkout: no artifact can be.
    """
    job = web_link(environ.get("CI_JOB_URL", ""))
    if not job:
        return ""
    path = folder / name
    if path.is_absolute():
        checkout = environ.get("CI_PROJECT_DIR", "")
        if not checkout or not path.is_relative_to(checkout):
            return ""
        path = path.relative_to(checkout)
    if ".." in path.parts:
        return ""
    return f"{job}/artifacts/{'raw' if raw else 'file'}/{quote(path.as_posix())}"
