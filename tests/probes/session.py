"""One run of all probes."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uproot

from tests.probes.catalog import PROBES
from tests.probes.generate import generate
from tests.probes.page import Run
from tests.probes.running import run_hadd, run_septum

# hadd runs in processes of its own beside septum, which runs in this one.
_AT_A_TIME = 2


def run_all(folder: Path, hadd: Path) -> tuple[dict[str, Run], str]:
    """Write the files of all probes, and merge them with hadd and with septum.

    Returns:
        What became of each probe by its name, and the version of ROOT.
    """
    generate(folder / "hadd")
    # Each has files of its own, since hadd may spoil its sources. Links are copied as links.
    shutil.copytree(folder / "hadd", folder / "septum", symlinks=True)
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        plain = {probe.name: pool.submit(run_hadd, probe, folder / "hadd" / probe.name, hadd) for probe in PROBES}
        keeping = {
            probe.name: pool.submit(run_hadd, probe, folder / "hadd" / probe.name, hadd, "-k")
            for probe in PROBES
            if probe.skipping
        }
        strict = {probe.name: run_septum(probe, folder / "septum" / probe.name) for probe in PROBES}
        relaxed = {
            probe.name: run_septum(probe, folder / "septum" / probe.name, probe.policy)
            for probe in PROBES
            if probe.policy
        }
    runs = {
        name: Run(
            hadd=plain[name].result(),
            septum=strict[name],
            skipping=keeping[name].result() if name in keeping else None,
            relaxed=relaxed.get(name),
        )
        for name in strict
    }
    return runs, _version(folder / "hadd" / PROBES[0].name / "0.root")


def _version(path: Path) -> str:
    """The version of ROOT that wrote a file: 64000 is 6.40.00."""
    with uproot.open(path) as file:
        number = int(file.file.fVersion) % 1_000_000
    return f"{number // 10_000}.{number // 100 % 100:02}.{number % 100:02}"
