"""Analyses of the framework, of any size; what must come out of them, and what did."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uproot

from tests.framework.mkshapes.runner import MEMBERS, content, shifted

HERE = Path(__file__).parent
MKSHAPES = HERE / "mkshapes" / "mkShapesRDF"
NO_RESULT = "no result"
SMALL: Mapping[str, int] = {"DY": 2, "WW": 2, "ttbar": 1}
"""Samples with their chunks: five jobs."""
LARGE: Mapping[str, int] = {f"S{number}": 11 if number < 11 else 10 for number in range(40)}
"""411 jobs."""
_VARIABLES = {"mll": 8, "ptll": 6}
_PLACES = {f"emu_{category}/{variable}": bins for category in ("0j", "1j") for variable, bins in _VARIABLES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """A repository of an analysis that the framework runs."""

    folder: Path
    samples: Mapping[str, int] = field(default_factory=lambda: SMALL)

    @property
    def batch(self) -> Path:
        """Where the framework writes what it submits."""
        return self.folder / "condor" / "emu"

    @property
    def folders(self) -> list[str]:
        """The folders of the jobs, as the framework orders them."""
        return [f"{sample}_{chunk}" for sample, chunks in self.samples.items() for chunk in range(chunks)]

    def framework(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the framework here."""
        return subprocess.run(
            ["sh", str(MKSHAPES), *words],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def expected(self) -> dict[str, list[int]]:
        """Every histogram of a whole result, with under- and overflow, envelopes included."""
        found = {}
        for sample, chunks in self.samples.items():
            # As a shell sorts them.
            files = [f"ntuples/{sample}__part{chunk}.root" for chunk in range(chunks)]
            for place, bins in _PLACES.items():
                name = f"{place}/histo_{sample}"
                cells = range(bins + 2)
                found[name] = [sum(content(file, place, cell) for file in files) for cell in cells]
                for way in ("lumiUp", "lumiDown", "triggerUp", "triggerDown"):
                    found[f"{name}_{way}"] = _shifted(files, place, bins, way)
                members = [_shifted(files, place, bins, f"SPECIAL_NUIS_QCDscale_{m}") for m in range(MEMBERS)]
                found[f"{name}_QCDscaleUp"] = [max(cell) for cell in zip(*members, strict=True)]
                found[f"{name}_QCDscaleDown"] = [min(cell) for cell in zip(*members, strict=True)]
        return found


def _shifted(files: list[str], place: str, bins: int, variation: str) -> list[int]:
    return [sum(shifted(file, place, cell, variation) for file in files) for cell in range(bins + 2)]


def make_analysis(
    folder: Path,
    *,
    samples: Mapping[str, int] = SMALL,
    faults: Mapping[str, str] | None = None,
    changes: Mapping[str, tuple[str, str]] | None = None,
    without: Collection[str] = (),
) -> Analysis:
    """Write an analysis.

    Args:
        folder: A new folder.
        samples: How many files, and so jobs, each sample has.
        faults: What goes wrong in all jobs of a sample, see runner.py.
        changes: Of a file of the analysis: what is replaced, and by what.
        without: Files that are not there.
    """
    shutil.copytree(HERE / "analysis", folder, ignore=shutil.ignore_patterns("ruff.toml", "__pycache__"))
    ntuples = folder / "ntuples"
    ntuples.mkdir()
    lines = []
    for sample, chunks in samples.items():
        for chunk in range(chunks):
            (ntuples / f"{sample}__part{chunk}.root").touch()
        fault = f", 'fault': '{faults[sample]}'" if faults and sample in faults else ""
        lines.append(
            f"samples['{sample}'] = {{'name': '{sample}__part*.root', 'weight': '1.0', 'FilesPerJob': 1{fault}}}\n"
        )
    (folder / "samples.py").write_text("".join(lines))
    for name, (before, after) in (changes or {}).items():
        text = (folder / name).read_text()
        assert before in text
        (folder / name).write_text(text.replace(before, after))
    for name in without:
        (folder / name).unlink()
    return Analysis(folder=folder, samples=samples)


def judge(result: Path, analysis: Analysis) -> str:
    """Say in a few words what a result is worth."""
    if not result.is_file() or not result.stat().st_size:
        return NO_RESULT
    expected = analysis.expected()
    with uproot.open(result) as file:
        names = file.keys(cycle=False, filter_classname="TH1D")
        found = {name: np.asarray(file[name].values(flow=True)).astype(int).tolist() for name in names}
    if not found:
        return "an empty result"
    if found == expected:
        return "whole"
    nominal = [name for name in expected if not name.rpartition("histo_")[2].count("_")]
    have, want = (sum(sum(cells[name]) for name in nominal if name in cells) for cells in (found, expected))
    said = [] if have == want else [f"{have} of {want} events"]
    if not any("QCDscaleUp" in name for name in found):
        said.append("no envelope of QCDscale")
    return ", ".join(said) or "other numbers"
