"""What a text that names an image means: a reference to a registry, a path, a file elsewhere. Pure.

The grammar is that of the distribution project, which Docker, Apptainer and all registries share; the host and the
repository of Docker Hub are spelt out, so that two texts for the same image give the same reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from septum.errors import ImageNameError

HUB = "docker.io"
# Other names of Docker Hub: what people copy from its pages, what its API is called, what wish lists for CVMFS write.
_HUB_ALIASES = frozenset({HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_LONGEST = 1024
_LONGEST_NAME = 255
_SHOWN = 100
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
    r"(?::[0-9]{1,5})?",
    re.ASCII,
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9._@+:=~-]+(?:/[A-Za-z0-9._@+:=~-]+)*", re.ASCII)
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([A-Za-z0-9._~:@-]+)(/[A-Za-z0-9._~:@%+=/-]+)", re.ASCII)
_LAST_PORT = 65535
_FIX = "write REGISTRY/PATH:TAG, such as gitlab-registry.cern.ch/group/project/name:v1, or a path below /cvmfs"
_FIX_VARIABLE = "write the name, or give the component's input 'image', in which GitLab fills variables in"
_FIX_ACCOUNT = "write the name alone: the registry of GitLab is asked with the CI job's own account"
_SCHEMES = ("https", "http", "root", "roots", "osdf", "pelican", "stash", "davs")
"""What HTCondor's plug-ins and Apptainer fetch an image file by."""

_MOVING = frozenset(
    {"latest", "main", "master", "trunk", "head", "dev", "devel", "develop", "development", "edge", "nightly"}
    | {"rolling", "stable", "staging", "testing", "unstable", "prod", "production", "test"}
)
_COMMIT = re.compile(r"[0-9a-f]{7,64}")

FIX_MUTABLE = "Name a version, the commit's tag ($CI_COMMIT_SHORT_SHA), or a digest: IMAGE@sha256:…"
"""What to do about a name for which `why_mutable` has a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The name of an image in a registry.

    Args:
        host: The registry, with its port if it has one; `docker.io` for Docker Hub.
        name: The repository, with `library/` for Docker Hub's official images.
        tag: Empty if none is named.
        digest: `sha256:…`; empty if none is named.
    """

    host: str
    name: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """The whole reference, without a scheme."""
        tag, digest = f":{self.tag}" if self.tag else "", f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.name}{tag}{digest}"

    @property
    def pinned(self) -> str:
        """The reference as every client takes it: with a digest, the tag is left out, which some refuse beside it."""
        return f"{self.host}/{self.name}" + (f"@{self.digest}" if self.digest else f":{self.tag or 'latest'}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a text names.

    Args:
        kind: `registry` for a reference, `artifact` for an image file in a registry (`oras://`), `path` for an absolute
            path on the worker, `url` for an image file that is fetched.
        text: The text without scheme `docker://` and without slashes at its end.
        reference: Of the kinds `registry` and `artifact`.
    """

    kind: Literal["registry", "artifact", "path", "url"]
    text: str
    reference: Reference | None = None


def parse_image(text: str) -> Image:
    """Read the name of an image in any of the forms that people write.

    Raises:
        ImageNameError: It is the name of none.
    """
    if "$" in text:
        raise _bad(text, "it holds a variable, and nobody fills one in here", _FIX_VARIABLE)
    if not text.isascii() or not text.isprintable() or len(text) > _LONGEST or " " in text:
        raise _bad(text, "a name has up to 1024 letters, digits and signs of ASCII, without blanks")
    if text.startswith("/"):
        return Image(kind="path", text=_path(text))
    scheme, found, rest = text.partition("://")
    if not found:
        rest = text
    elif scheme not in {"docker", "oras"}:
        return _url(text, scheme)
    if rest.endswith(".sif") and not found:
        raise _bad(text, "a file of the repository is not sent to the workers")
    return Image(kind="artifact" if scheme == "oras" else "registry", text=rest, reference=parse_reference(rest))


def parse_reference(text: str) -> Reference:
    """Read a reference as Docker does.

    Raises:
        ImageNameError: It is none, or no registry takes it.
    """
    rest, at, digest = text.partition("@")
    if at and "/" in digest:
        raise _bad(text, "a name must not hold a user or a password", _FIX_ACCOUNT)
    if at and not _DIGEST.fullmatch(digest):
        count = len(digest.removeprefix("sha256:"))
        raise _bad(text, f"a digest is 'sha256:' and 64 digits 0-9a-f; behind it stand {count} characters")
    host, name = _split_host(rest)
    name, colon, tag = name.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _bad(text, f"the tag {tag[:40]!r} may hold letters, digits and '_.-' (no '+'), 128 at most")
    if name != name.lower():
        fix = f"write {text.replace(name, name.lower(), 1)[:_SHOWN]}: registries have no other"
        raise _bad(text, f"the repository {name[:60]!r} must be in lower case", fix)
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise _bad(text, f"{name[:60]!r} is not the name of a repository")
    if not host:
        host, name = HUB, name if "/" in name else f"library/{name}"
    return Reference(host=host, name=name, tag=tag, digest=digest)


def _split_host(text: str) -> tuple[str, str]:
    """Take the registry off, as Docker does: the first piece is one if it has a dot or a port or is `localhost`."""
    first, slash, rest = text.partition("/")
    # A port is digits; a tag stands in the last piece.
    if not slash or not (set(first) & set(".:[") or first == "localhost"):
        return "", text
    if not _HOST.fullmatch(first):
        raise _bad(text, f"{first[:60]!r} is not the name of a registry")
    port = first.rpartition("]")[2].partition(":")[2]
    if port and not 0 < int(port) <= _LAST_PORT:
        raise _bad(text, f"the port {port} of the registry is not from 1 to {_LAST_PORT}")
    # The name of a host means the same in upper case, and a path on CVMFS does not.
    first = first.lower()
    return ("" if first in _HUB_ALIASES else first), rest


def _path(text: str) -> str:
    bare = text.rstrip("/")
    if not _PATH.fullmatch(bare):
        raise _bad(text, "a path may hold letters, digits and '._@+:=~-', and no empty piece")
    if {".", ".."} & set(bare.split("/")):
        raise _bad(text, "a path must not hold '.' or '..'")
    return bare


def _url(text: str, scheme: str) -> Image:
    found = _URL.fullmatch(text)
    if found is None or scheme not in _SCHEMES or not text.endswith(".sif"):
        known = ", ".join(f"{name}://" for name in ("docker", "oras", *_SCHEMES))
        raise _bad(text, f"a URL names an image with docker:// or oras://, or a .sif file; known: {known}")
    if "@" in found[2]:
        raise _bad(text, "a URL must not hold a user or a password")
    if ".." in found[3].split("/"):
        raise _bad(text, "a path must not hold '..'")
    return Image(kind="url", text=text)


def _bad(text: str, why: str, fix: str = _FIX) -> ImageNameError:
    # Not even what stands where it does not belong: a user and a password, or a token alone.
    shown = text[:_LONGEST]
    shown = shown if shown.startswith("/") else re.sub(r"^((?:\w+://)?).*@(?=[^@]*/)", r"\1…@", shown)
    shown = re.sub(r"[^/@:]*:[^/@]*@(?!sha256:)", "…@", shown)
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
    return ImageNameError(
        f"image: {shown!r} is not the name of an image" if text else "image: the name is empty",
        evidence=why,
        fix=fix,
    )


def why_mutable(image: Image) -> str:
    """Why the name may mean another image tomorrow.

    Returns:
        A few words; empty for a digest, a version, a commit, and for what is in no registry.
    """
    found = image.reference
    if found is None:
        # A path on CVMFS ends like a reference.
        last = image.text.rpartition("/")[2]
        if image.kind != "path" or ":" not in last:
            return ""
        tag = last.partition(":")[2]
        return "" if tag.startswith("sha256:") else _why_tag(tag)
    return "" if found.digest else _why_tag(found.tag)


def _why_tag(tag: str) -> str:
    if not tag:
        return "no tag, so 'latest', names another image tomorrow"
    words = set(re.split(r"[._-]", tag.lower()))
    if words & _MOVING:
        return f"the tag {tag!r} names another image tomorrow"
    if not _COMMIT.fullmatch(tag) and not any(letter.isdigit() for letter in tag):
        return f"the tag {tag!r} looks like a branch, which moves"
    return ""
