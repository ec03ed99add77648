"""Where results are published, as `publish: to:` names it: taken apart, judged, and filled in for one run. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from septum.config import NAME

RUN = "{run}"
_PRESIGNED = "s3-presigned:"
_FORMS = "root://HOST//PATH, https://HOST/PATH or s3-presigned:VARIABLE"
_HTTPS = frozenset({"https", "davs"})
_XROOTD = frozenset({"root", "roots"})
_FOLDER = r"[A-Za-z0-9._~+=,@:/-]"
# Not with '%': root:// has no escapes, and servers of XRootD read them twice, or take '%3F' for the end of the path.
_UNSAFE = re.compile(r"[^A-Za-z0-9._+=,@:/-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one file goes.

    Attributes:
        path: As the storage knows it.
        url: For people and the manifest.
    """

    path: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the files of a run go.

    Attributes:
        kind: How they get there.
        server: Scheme, host and port: `root://eos.example.org`; empty for presigned URLs.
        folder: The path below it, with its leading slash, with `{run}` or already filled in.
        variable: The variable that holds presigned URLs.
    """

    kind: Literal["xrootd", "https", "presigned"]
    server: str = ""
    folder: str = ""
    variable: str = ""

    @property
    def host(self) -> str:
        """The host alone."""
        return urlsplit(self.server).hostname or ""

    def place(self, name: str, *, run: str) -> Place:
        """Where a file goes.

        Args:
            name: Its relative path. What not every storage and shell takes is written as `~xx` in its place.
            run: The run's tag.

        Raises:
            ValueError: The name leads out of the folder.
        """
        if not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise ValueError(f"{name!r} is not a path below the target")
        path = f"{self.folder.replace(RUN, path_of_run(run))}/{_UNSAFE.sub(_escaped, name)}"
        return Place(path=path, url=f"{self.server}{'/' if self.kind == 'xrootd' else ''}{path}")


def _escaped(character: re.Match[str]) -> str:
    return "".join(f"~{byte:02X}" for byte in character[0].encode("utf-8", "surrogateescape"))


def path_of_run(run: str) -> str:
    """The tag of a run as one piece of a path."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", run).strip("-.") or "run"


def parse(to: str) -> Target:
    """Take `publish: to:` apart.

    Args:
        to: Its text.

    Raises:
        ValueError: It is none of the three forms, or holds what could be a secret. The message does not show it then.
    """
    if to.startswith(_PRESIGNED):
        variable = to.removeprefix(_PRESIGNED)
        if not re.fullmatch(NAME, variable):
            raise ValueError("after 's3-presigned:' comes the name of a variable; the URLs are secrets and stand in it")
        return Target(kind="presigned", variable=variable)
    try:
        parts = urlsplit(to)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not a URL; write {_FORMS}") from None
    if "@" in parts.netloc or "?" in to or "#" in to:
        raise ValueError("must hold no user, password or parameters: septum.yaml is read by many, and so is the plan")
    if parts.scheme not in _XROOTD | _HTTPS or not re.fullmatch(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:.]+", parts.hostname or ""):
        raise ValueError(f"write {_FORMS}, not {to!r}")
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    server = f"{parts.scheme}://{host}{f':{port}' if port is not None else ''}"
    if parts.scheme in _HTTPS:
        return Target(kind="https", server=server, folder=_folder(parts.path))
    if not parts.path.startswith("//"):
        raise ValueError(f"a path on XRootD begins with two slashes: {server}//{parts.path.lstrip('/')}")
    return Target(kind="xrootd", server=server, folder=_folder(parts.path[1:]))


def _folder(path: str) -> str:
    folder = path.rstrip("/")
    if not folder:
        raise ValueError("needs a folder behind the host")
    if not re.fullmatch(rf"{_FOLDER}+", folder.replace(RUN, "")):
        raise ValueError(
            f"the folder {folder!r} may hold letters, digits, {RUN} and the characters . _ ~ + = , @ : - and slashes"
        )
    if not {"", ".", ".."}.isdisjoint(folder.split("/")[1:]):
        raise ValueError(f"the folder {folder!r} holds '//', '.' or '..'")
    return folder
