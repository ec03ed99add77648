"""Unpacked container images for the workers of the pool, as DUCC leaves them in a repository of CVMFS."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from septum.facility import process

if TYPE_CHECKING:
    from pathlib import Path

    from septum.facility.debian import Debian

# What a part needs beside its own command; nothing else, so that an image is made in half a second.
_PROGRAMS = (
    *("basename", "cat", "cp", "cut", "date", "env", "expr", "head", "id", "ls", "mkdir", "mv", "printf", "readlink"),
    *("rm", "sha256sum", "sleep", "sort", "stat", "tail", "touch", "tr", "true", "uname", "wc"),
    *("bash", "dash", "grep", "gzip", "sed", "sh", "tar"),
)
_FOLDERS = ("cvmfs", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr/sbin", "var/tmp")
_FILES = ("group", "hosts", "localtime", "passwd", "resolv.conf")


def unpack_image(debian: Debian, repository: Path, name: str, *, system: str) -> str:
    """Make an image and publish it under a name; a second time under the same name, the link is swapped at once.

    Args:
        debian: Where its programs come from.
        repository: The folder of the repository.
        name: Registry, path and tag.
        system: What `/etc/os-release` in it says; it decides the id.

    Returns:
        The id of the image, 64 hexadecimal digits.
    """
    image_id = hashlib.sha256(system.encode()).hexdigest()
    flat = repository / ".flat" / image_id[:2] / image_id
    if not flat.is_dir():
        _fill(debian, flat)
        (flat / "etc/os-release").write_text(f"NAME={system}\n", encoding="utf-8")
    link = repository / name
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(link.name + ".new")
    fresh.symlink_to(os.path.relpath(flat, link.parent))
    fresh.replace(link)
    return image_id


def _fill(debian: Debian, flat: Path) -> None:
    root = debian.root
    for name in _FOLDERS:
        (flat / name).mkdir(parents=True)
    (flat / "usr/bin").mkdir()
    # Copies: hard links would have the numbers of the worker's own files.
    for name in _PROGRAMS:
        shutil.copy2(root / "usr/bin" / name, flat / "usr/bin" / name)
    for library in _libraries(debian):
        target = flat / library
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / library, target)
    for name in _FILES:
        shutil.copy2(root / "etc" / name, flat / "etc" / name)
    for name in ("bin", "lib", "lib64", "sbin"):
        (flat / "usr" / name).mkdir(exist_ok=True)
        (flat / name).symlink_to(f"usr/{name}")


def _libraries(debian: Debian) -> set[str]:
    """What the dynamic loader loads for the programs, relative to the root."""
    argv: list[str | Path] = [debian.tool("bwrap"), "--unshare-user", "--clearenv", "--setenv", "PATH", "/usr/bin"]
    argv += ["--ro-bind", debian.root, "/", "--proc", "/proc", "--dev", "/dev", "ldd"]
    argv += [f"/usr/bin/{name}" for name in _PROGRAMS]
    said = process.run(argv, what="list the libraries of the programs in the image", timeout_s=60).stdout
    found = {word for word in said.split() if word.startswith("/") and ".so" in word}
    return {f"usr/{word.lstrip('/').removeprefix('usr/')}" for word in found}
