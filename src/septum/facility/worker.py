"""The Python modules that analyses find on the workers of the pool."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING

from septum.facility import cache, process
from septum.facility.debian import compile_modules

if TYPE_CHECKING:
    from pathlib import Path

    from septum.facility.debian import Debian

REQUIREMENTS = ("numpy", "uproot", "hist")
_RECIPE = 1


def worker_modules(debian: Debian) -> Path:
    """Return a folder with numpy, uproot and hist for the Python of the pool; install them if the cache has none.

    Args:
        debian: The root folder that the pool runs in.

    Raises:
        FacilityError: pip could not install them.
    """
    recipe = [_RECIPE, REQUIREMENTS, debian.python_version, platform.machine(), debian.folder.name]
    return cache.build_once(cache.entry_name("worker", recipe), lambda folder: _build(folder, debian))


def _build(folder: Path, debian: Debian) -> None:
    machine = platform.machine()
    # One name for each year of libc that a wheel may have been built for: pip takes only what is listed.
    platforms = [f"manylinux_2_{libc}_{machine}" for libc in (17, 24, 27, 28, 34)] + [f"manylinux2014_{machine}"]
    argv: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    argv += ["--no-compile", "--only-binary=:all:", "--implementation", "cp", "--target", folder]
    argv += ["--python-version", debian.python_version]
    argv += [word for name in platforms for word in ("--platform", name)]
    process.run(
        [*argv, *REQUIREMENTS],
        what="install numpy and uproot for the workers",
        timeout_s=600,
        env={**os.environ, "PIP_CACHE_DIR": str(cache.cache_folder() / "pip")},
        fix="check that pip reaches its package index, then try again",
    )
    compile_modules(debian.folder, place(debian), mount=folder)


def place(debian: Debian) -> str:
    """Return the folder inside the pool where its Python looks for added modules."""
    return f"/usr/local/lib/python{debian.python_version}/dist-packages"
