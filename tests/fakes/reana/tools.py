"""The Python with REANA's own packages: built once, in the cache, away from the environment of septum."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from septum.facility import cache, process

ROOT = Path(__file__).parents[3]
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_RECIPE = 1


def unavailable() -> str:
    """Why this machine cannot run the server; empty if it can."""
    return "" if platform.system() == "Linux" else "the jobs of REANA are found in /proc, which is Linux's"


def tools() -> Path:
    """The folder of the virtual environment; built if need be.

    Raises:
        FacilityError: pip could not install them.
    """
    recipe = [_RECIPE, _REQUIREMENTS.read_text(encoding="utf-8"), sys.version_info[:3], sys.base_prefix]
    return cache.build_once(cache.entry_name("reana", [*recipe, platform.machine()]), _build)


def python() -> Path:
    """The interpreter. What stands beside it is never called: the folder was renamed after they were written."""
    return tools() / "bin/python"


def description() -> Path:
    """REANA's description of its own server."""
    (found,) = (tools() / "lib").glob("python3*/site-packages/reana_commons/openapi_specifications/reana_server.json")
    return found


def _build(folder: Path) -> None:
    environment = {**os.environ, "PIP_CACHE_DIR": str(cache.cache_folder() / "pip")}
    environment.pop("PYTHONPATH", None)
    process.run(
        [sys.executable, "-m", "venv", folder],
        what="make a virtual environment for REANA",
        timeout_s=120,
        fix="install python3-venv",
        env=environment,
    )
    process.run(
        # The list is whole, so pip has nothing to look for, and nothing newer comes in.
        [folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", _REQUIREMENTS],
        what="install Snakemake and the client of REANA",
        timeout_s=900,
        fix="check that pip reaches its package index, then try again",
        env=environment,
    )
