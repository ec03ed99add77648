"""Which GitLab, which project, which pipeline: from a text, or from the address of a Git remote. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from septum.compare.verdicts import printable
from septum.errors import UsageError

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LONGEST = 1000
_FEWEST = 2
# git's own short form: [user@]host:path, where the path does not begin with two slashes.
_SCP = re.compile(r"(?:[^@/\s]+@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?!//)(?P<path>.+)")
_GIVEN = "name it: --project https://gitlab.example.org/GROUP/NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A project of a GitLab, and perhaps one of its pipelines.

    Attributes:
        url: GitLab's address, without a slash at the end.
        project: `group/name`, or the project's number.
        pipeline: The number of a pipeline; 0 if none was named.
    """

    url: str
    project: str
    pipeline: int = 0

    @property
    def named(self) -> str:
        """The options that name the project to septum, from anywhere."""
        if urlsplit(self.url).path:
            return f"--url {self.url} --project {self.project}"
        return f"--project {self.url}/{self.project}"


def place_of(text: str, *, server: str) -> Place:
    """What `--project` names.

    Args:
        text: `GROUP/NAME`, a number, or the address of a project or of one of its pages in GitLab.
        server: GitLab's address for what is no address itself, and below which an address may be; empty if there is
            none.

    Raises:
        UsageError: It names no project.
    """
    if "://" in text:
        return _of_page(text, server)
    if not server:
        raise UsageError(f"project: which GitLab has {printable(text, 80)!r} is not known", fix=_GIVEN)
    return Place(url=server_of(server), project=_project(text.strip("/")))


def place_of_remote(remote: str, *, server: str = "") -> Place:
    """The project that a Git remote is, by its address: https, ssh, or git's short form of ssh.

    Args:
        remote: The address.
        server: An address of a GitLab that is known. Where the remote is of that host, it tells the port and the path
            that GitLab has there.

    Raises:
        UsageError: It is no project of a GitLab.
    """
    remote = remote.strip()
    short = None if "://" in remote else _SCP.fullmatch(remote)
    if short is not None:
        return _by_ssh(short["host"], short["path"], server)
    parts = _split(remote)
    if parts.scheme in {"ssh", "git+ssh"}:
        return _by_ssh(f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname, parts.path, server)
    if parts.scheme not in {"https", "http"}:
        raise UsageError(f"project: the remote origin is no project of a GitLab: {_shown(remote)}", fix=_GIVEN)
    url, path = _below(remote, parts.path, server)
    return Place(url=url, project=_project(_without_git(path)))


def _by_ssh(host: str | None, path: str, server: str) -> Place:
    url = _host_of(f"https://{host}")
    # SSH has a port of its own, and its addresses have no path below which GitLab is.
    if server and urlsplit(url).hostname == _split(server).hostname:
        url = server_of(server)
    return Place(url=url, project=_project(_without_git(path)))


def _below(address: str, path: str, server: str) -> tuple[str, str]:
    """A GitLab's address, and the path of an address from there."""
    host, root = _host_of(address), server_of(server) if server else ""
    prefix = root.removeprefix(host)
    if root.startswith(host) and prefix.startswith("/") and path.startswith(f"{prefix}/"):
        return root, path.removeprefix(prefix)
    return host, path


def server_of(text: str) -> str:
    """A GitLab's address: scheme, host and port, and the path where it is below one.

    Raises:
        UsageError: It is no address, or a token would travel to it in the clear.
    """
    host, path = _host_of(text), _split(text).path.strip("/")
    if path and not all(_SEGMENT.fullmatch(segment) and ".." not in segment for segment in path.split("/")):
        raise UsageError(f"project: {_shown(text)} is no address of a GitLab", fix=_GIVEN)
    return f"{host}/{path}" if path else host


def _host_of(text: str) -> str:
    parts = _split(text)
    host = parts.hostname or ""
    if parts.scheme not in {"https", "http"} or not re.fullmatch(r"[A-Za-z0-9.:_-]+", host):
        raise UsageError(f"project: {_shown(text)} is no address of a GitLab", fix=_GIVEN)
    if parts.scheme == "http" and not _is_here(host):
        raise UsageError(
            f"project: {_shown(text)} is not https, and a token would be read on the way",
            fix=f"name it: --project https://{host}/GROUP/NAME",
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{parts.port}" if parts.port is not None else "")


def pipeline_of(text: str) -> int:
    """A number of a pipeline; 0 for `latest`.

    Raises:
        UsageError: It is neither.
    """
    if text == "latest":
        return 0
    if re.fullmatch(r"#?[1-9][0-9]{0,17}", text):
        return int(text.removeprefix("#"))
    raise UsageError(f"--pipeline {printable(text, 80)!r}: expected a number or 'latest'", fix="--pipeline 98701")


def _of_page(text: str, server: str) -> Place:
    path, _, page = _split(text).path.partition("/-/")
    found = re.fullmatch(r"pipelines/([1-9][0-9]{0,17})(?:/.*)?", page)
    url, path = _below(text, path, server)
    return Place(url=url, project=_project(_without_git(path)), pipeline=int(found[1]) if found is not None else 0)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise UsageError("project: an address that cannot be read", evidence=_shown(text), fix=_GIVEN) from None
    return parts


def _without_git(path: str) -> str:
    return unquote(path).strip("/").removesuffix(".git")


def _project(path: str) -> str:
    """A path of a project, looked at: whatever it is, it stays one segment of GitLab's API."""
    segments = path.split("/")
    good = all(_SEGMENT.fullmatch(segment) and ".." not in segment for segment in segments)
    if (path.isascii() and path.isdecimal()) or (good and len(segments) >= _FEWEST and len(path) <= _LONGEST):
        return path
    raise UsageError(f"project: {printable(path, 80)!r} is no path of a project: GROUP/NAME", fix=_GIVEN)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(text: str) -> str:
    """An address without what could be a password in it."""
    head, slashes, rest = text.partition("://")
    place = (rest if slashes else head).split("/", 1)
    place[0] = place[0].rpartition("@")[2]
    return printable((head + slashes if slashes else "") + "/".join(place), 120)
