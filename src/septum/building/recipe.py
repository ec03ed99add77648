"""What an image is built of, and what is written on it. Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from septum.errors import ImageNameError, UsageError
from septum.images.reference import Reference, parse_reference

CONTENT = "ch.cern.cms-analysis.septum.content"
"""The label that tells two images under one tag apart: the hash of all that the image was built of."""
_FORMAT = 1
"""Counted up when the same files would no longer give the same image."""
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_ARGUMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=([^\x00-\x1f\x7f]*)")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_BRANCHES = ("CI_COMMIT_BRANCH", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_DEFAULT_BRANCH")
_OCI = "org.opencontainers.image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, folder or link of the context.

    Attributes:
        path: Relative to the context, with slashes.
        kind: `file`, `program` (a file that may be executed), `folder` or `link`.
        content: The SHA-256 of a file, the target of a link, nothing of a folder.
    """

    path: str
    kind: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an image goes, and what it is of.

    Attributes:
        name: `HOST/PATH`, without tag.
        tag: Its tag there.
        revision: The commit.
        created_s: The time of the commit, seconds since the epoch.
        source: The address of the project; empty if nobody knows it.
    """

    name: str
    tag: str
    revision: str
    created_s: int
    source: str

    @property
    def reference(self) -> Reference:
        """What the registry is asked for."""
        return parse_reference(f"{self.name}:{self.tag}")


def target_of(name: str, tag: str, environ: Mapping[str, str]) -> Target:
    """Judge what the component was given, and what GitLab says of the commit.

    Args:
        name: The image without its tag, and
        tag: its tag, both with their CI/CD variables expanded.
        environ: The environment of the CI job.

    Raises:
        ImageNameError: The name is none.
        UsageError: There is no registry, or the tag is one that moves.
    """
    if not environ.get("CI_REGISTRY_IMAGE") and (not name or name.startswith(("/", "$"))):
        raise UsageError(
            "image: this project has no container registry",
            evidence="CI_REGISTRY_IMAGE is not set",
            fix="turn it on: Settings > General > Visibility, project features, permissions > Container registry\n"
            "or name an image of another registry by the input 'image'",
        )
    found = parse_reference(name)
    if not name.lower().startswith(f"{found.host}/"):
        raise ImageNameError(
            f"image: {name[:200]!r} says no registry",
            evidence="expected HOST/PATH, such as registry.example.org/group/analysis",
            fix="correct the input 'image'",
        )
    if found.tag or found.digest:
        raise UsageError(
            f"image: {name[:200]!r} has a tag or a digest of its own",
            fix="give the name alone, and the tag by the input 'tag'",
        )
    _check_tag(tag, environ)
    revision = environ.get("CI_COMMIT_SHA", "")
    if not _SHA.fullmatch(revision):
        raise UsageError(
            "image: no commit to build from",
            evidence=f"CI_COMMIT_SHA is {revision[:50]!r}",
            fix="build it in a CI job: GitLab sets CI_COMMIT_SHA and CI_COMMIT_TIMESTAMP there",
        )
    return Target(
        name=name,
        tag=tag,
        revision=revision,
        created_s=_seconds(environ.get("CI_COMMIT_TIMESTAMP", "")),
        source=environ.get("CI_PROJECT_URL", ""),
    )


def _check_tag(tag: str, environ: Mapping[str, str]) -> None:
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"image: {tag[:200]!r} is not a tag",
            evidence="a tag has at most 128 letters, digits, '_', '.' and '-', and does not begin with '.' or '-'",
            fix="correct the input 'tag'; a variable that is not set stays as it is written",
        )
    branches = {environ.get(name, "") for name in _BRANCHES}
    if not environ.get("CI_COMMIT_TAG"):
        branches |= {environ.get("CI_COMMIT_REF_NAME", ""), environ.get("CI_COMMIT_REF_SLUG", "")}
    if tag == "latest" or tag in branches:
        raise UsageError(
            f"image: the tag {tag!r} would mean another image after the next commit",
            evidence="it is the name of a branch" if tag in branches else "registries take it for the newest one",
            fix="leave out the input 'tag', which then is the commit, or give a version",
        )


def _seconds(text: str) -> int:
    """The time of the commit; GitLab writes `2026-01-31T16:47:55+01:00`, or `Z` for UTC."""
    try:
        when = dt.datetime.fromisoformat(text.removesuffix("Z") + "+00:00" * text.endswith("Z"))
        seconds = max(0, int(when.timestamp()))
        return int(dt.datetime.fromtimestamp(seconds, tz=dt.timezone.utc).timestamp())
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            "image: nobody says when the commit was made",
            evidence=f"CI_COMMIT_TIMESTAMP is {text[:50]!r}",
            fix="build it in a CI job: GitLab sets CI_COMMIT_SHA and CI_COMMIT_TIMESTAMP there",
        ) from None


def build_args(text: str) -> tuple[str, ...]:
    """The build arguments, one `NAME=value` a line; empty lines are none.

    Raises:
        UsageError: A line has another form, or names an argument again.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        match = _ARGUMENT.fullmatch(line.strip())
        wrong = "is not NAME=value" if match is None else f"names {match[1]} again" if match[1] in found else ""
        if match is None or wrong:
            # Not the line itself: somebody may have put a password there.
            raise UsageError(
                f"image: line {number} of 'build-args' {wrong}",
                fix="write one argument a line:\n  build-args: |\n    ROOT_VERSION=6.36\n    JOBS=2",
            )
        found[match[1]] = line.strip()
    return tuple(found.values())


def content_of(entries: Sequence[Entry], containerfile: bytes, arguments: Sequence[str]) -> str:
    """The hash of all that an image is built of, commit and time aside.

    Args:
        entries: The context.
        containerfile: The Containerfile.
        arguments: The build arguments.
    """
    document = {
        "format": _FORMAT,
        "containerfile": hashlib.sha256(containerfile).hexdigest(),
        "arguments": list(arguments),
        "context": sorted([entry.path, entry.kind, entry.content] for entry in entries),
    }
    return "sha256:" + hashlib.sha256(json.dumps(document, sort_keys=True).encode("ascii")).hexdigest()


def options(target: Target, content: str, arguments: Sequence[str]) -> list[str]:
    """The options of `buildah build` that say what the image is, one a word."""
    created = dt.datetime.fromtimestamp(target.created_s, tz=dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {
        f"{_OCI}.created": created,
        f"{_OCI}.revision": target.revision,
        f"{_OCI}.source": target.source,
        f"{_OCI}.version": target.tag,
        CONTENT: content,
    }
    words = [f"--timestamp={target.created_s}"]
    for name, value in labels.items():
        if value and value.isprintable():
            # Labels are seen where the image is, annotations where its manifest is.
            words += [f"--label={name}={value}", f"--annotation={name}={value}"]
    return words + [f"--build-arg={argument}" for argument in arguments]
