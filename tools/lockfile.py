"""The locks of septum's dependencies as values: what `uv pip compile --annotation-style line` writes. Reads no file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

_GLIBC_MINOR = 28
"""Of the oldest glibc 2 that an image may have: that of AlmaLinux 8 and Debian 10."""
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One package of a lock, at one version.

    Attributes:
        name: In the form that indexes use: `ruamel-yaml`.
        version: The only allowed one.
        marker: For which environments; empty for all.
        hashes: SHA-256 of every file of that version, in hexadecimal digits.
        via: The packages that ask for it; `septum` among them if it does itself.
        text: The lines of the lock.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    via: tuple[str, ...]
    text: str


def read_lock(text: str) -> tuple[Locked, ...]:
    """All packages of a lock, in its order.

    Raises:
        ValueError: A line is neither a package at one version with hashes, nor a comment on one.
    """
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if line[:1] not in {" ", ""}:
            blocks.append([line])
        elif line and blocks:
            blocks[-1].append(line)
    return tuple(_locked(block) for block in blocks)


def applies(item: Locked, *, python: str, machine: str, platform: str = "linux") -> bool:
    """Whether a package is needed there.

    Args:
        item: The package.
        python: The version of CPython, such as `3.12`.
        machine: `x86_64`, `aarch64`, `arm64`.
        platform: As `sys.platform` has it.
    """
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "platform_machine": machine,
        "sys_platform": platform,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return not item.marker or Marker(item.marker).evaluate(environment)


def without_wheel(lock: Iterable[Locked], files: Mapping[str, str], *, python: str, machine: str) -> list[str]:
    """The packages that an image on Linux needs, and that no file of the lock brings there without being built.

    Args:
        lock: All packages.
        files: The names of the wheels that the index has, by their SHA-256.
        python: The version of CPython in the image.
        machine: Its processor, as Linux names it.
    """
    tags = _tags(python, machine)
    return [
        f"{item.name}=={item.version}"
        for item in lock
        if applies(item, python=python, machine=machine)
        and not any(tags & parse_wheel_filename(files[value])[3] for value in item.hashes if value in files)
    ]


def _tags(python: str, machine: str) -> set[Tag]:
    major, minor = map(int, python.split("."))
    platforms = [f"manylinux_2_{number}_{machine}" for number in range(_GLIBC_MINOR, 4, -1)]
    platforms += [f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux")]
    name = f"cp{major}{minor}"
    own = cpython_tags((major, minor), abis=[name], platforms=platforms)
    return {*own, *compatible_tags((major, minor), interpreter=name, platforms=platforms)}


def _locked(block: list[str]) -> Locked:
    options = [line.strip().removesuffix("\\").strip() for line in block[1:]]
    comments = [line for line in options if line.startswith("#")]
    hashes = [_HASH.fullmatch(line) for line in options if not line.startswith("#")]
    requirement = Requirement(block[0].removesuffix("\\").strip())
    pins = list(requirement.specifier)
    if len(pins) != 1 or pins[0].operator != "==" or requirement.url or requirement.extras:
        raise ValueError(f"{block[0]!r} is not a package at one version")
    if not hashes or None in hashes:
        raise ValueError(f"{requirement.name}: a line is no hash, or there is none")
    via = ",".join(comments).replace("# via", "").replace("(pyproject.toml)", "")
    return Locked(
        name=canonicalize_name(requirement.name),
        version=pins[0].version,
        marker=str(requirement.marker or ""),
        hashes=tuple(match[1] for match in hashes if match),
        via=tuple(sorted(canonicalize_name(name.strip()) for name in via.split(",") if name.strip())),
        text="\n".join(block) + "\n",
    )
