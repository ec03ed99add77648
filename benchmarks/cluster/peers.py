"""Other people's tools: each with a Python of its own that also runs on the workers, made once, in exact versions."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache as remembered
from pathlib import Path

from benchmarks.places import cache
from septum.facility.cache import build_once, entry_name
from septum.facility.debian import unpack

LAW = ("law==0.1.21", "luigi==3.8.1")
SNAKEMAKE = (
    "snakemake==9.27.1",
    "snakemake-executor-plugin-htcondor==0.3.0",
    "snakemake-interface-common==1.23.0",
    "snakemake-interface-executor-plugins==9.4.0",
    "htcondor==24.12.24",
)
PLACES = {"/opt/law": LAW, "/opt/snakemake": SNAKEMAKE}
"""Where the pool sees them."""


def mounts() -> Mapping[str, Path]:
    """What the pool mounts: path inside, path outside. Makes what is not there yet."""
    pythons = {place: _python(place.rpartition("/")[2], packages) for place, packages in PLACES.items()}
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        # The program looks for its library where it was when it was built.
        library = Path(str(sysconfig.get_config_var("LIBDIR")))
        pythons[str(library)] = library
    return pythons


def _python(name: str, packages: tuple[str, ...]) -> Path:
    """A copy of this Python that finds itself wherever it is mounted, with packages in it."""

    def build(folder: Path) -> None:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        library = folder / "lib" / version
        shutil.copytree(
            sysconfig.get_path("stdlib"), library, ignore=shutil.ignore_patterns("*-packages", "test", "tests")
        )
        (folder / "bin").mkdir()
        program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        shutil.copy(program, folder / "bin" / "python3")
        (folder / "bin" / "python").symlink_to("python3")
        # What pip would have made begins with the path of another Python.
        launcher = folder / "bin" / name
        launcher.write_text(f'#!/bin/sh\nexec "${{0%/*}}/python3" -m {name} "$@"\n', encoding="ascii")
        launcher.chmod(0o755)
        # Debian's Python looks into the one, others into the other.
        target = library / "dist-packages"
        (library / "site-packages").symlink_to("dist-packages")
        words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]
        subprocess.run([*words, str(target), *packages], check=True)
        # What the pool mounts is read-only: a module that is not compiled now is compiled by each job anew.
        subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "2", str(library)], check=False)

    recipe = [name, packages, sys.version, 3]
    return build_once(entry_name(f"bench-{name}", recipe), build)


@remembered
def parallel() -> Path:
    """GNU parallel, from the package of this machine's Debian."""

    def build(folder: Path) -> None:
        subprocess.run(["apt-get", "download", "-qq", "parallel"], cwd=folder, check=True)
        (package,) = folder.glob("parallel_*.deb")
        unpack(package, folder)

    (cache()).mkdir(parents=True, exist_ok=True)
    return build_once(entry_name("bench-parallel", ["parallel", 1]), build) / "usr/bin/parallel"
