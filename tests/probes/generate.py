"""Writes the files of all probes with ROOT: `python -m tests.probes.generate FOLDER`.

One process, since ROOT is slow to start and must not be imported into the process of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.probes.catalog import PROBES
from tests.probes.model import Probe

_ROOT = Path(__file__).parents[2]
_DEADLINE_S = 120


def generate(folder: Path) -> None:
    """Write the files of every probe into a folder of its name, in another process."""
    # The package `root` warns on import that it is young.
    command = [sys.executable, "-W", "ignore", "-m", "tests.probes.generate", str(folder)]
    subprocess.run(command, cwd=_ROOT, check=True, timeout=_DEADLINE_S)


def _write(root: Any, probe: Probe, folder: Path) -> None:
    folder.mkdir(parents=True)
    # The name of a file stands in it, so it is a relative one: its size is the same wherever it is written.
    os.chdir(folder)
    _write_here(root, probe, Path())


def _write_here(root: Any, probe: Probe, folder: Path) -> None:
    if probe.write:
        probe.write(root, folder)
    if probe.objects:
        for number in range(probe.files):
            file = root.TFile(str(folder / f"{number}.root"), "RECREATE", "", probe.compression)
            for item in probe.objects(root, number):
                _put(file, item)
            file.Close()
    if probe.damage:
        probe.damage(folder)


def _put(file: Any, item: Any) -> None:
    """Write an object; with it may stand a folder, and a name."""
    where, thing, *name = item if isinstance(item, tuple) else ("", item)
    target = (file.GetDirectory(where) or file.mkdir(where)) if where else file
    if name:
        target.WriteObject(thing, *name)
    else:
        target.WriteTObject(thing)


def _main(folder: Path) -> None:
    import ROOT

    ROOT.gROOT.SetBatch(True)  # noqa: FBT003 - ROOT's signature
    ROOT.gErrorIgnoreLevel = ROOT.kError
    ROOT.TH1.AddDirectory(False)  # noqa: FBT003
    for probe in PROBES:
        _write(ROOT, probe, folder / probe.name)


if __name__ == "__main__":
    _main(Path(sys.argv[1]).absolute())
