"""The cases: what is in the files, how many there are, and where they stand once they are made."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.places import cache

HERE = Path(__file__).parent
_ZLIB_1, _LZ4_4, _ZSTD_5 = 101, 404, 505


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A set of files with equal structure.

    Attributes:
        name: Of the case, as the command line takes it.
        about: What is in a file, for the report.
        writer: The function of `inputs.cpp` that writes one file.
        compression: ROOT's number of algorithm and level.
        sizes: The further arguments of the writer.
        count: Files.
    """

    name: str
    about: str
    writer: str
    compression: int
    sizes: tuple[int, ...]
    count: int = 411

    @property
    def folder(self) -> Path:
        """Where the files stand. Another generator or other sizes give another folder."""
        recipe = f"{self.writer} {self.compression} {self.sizes} {(HERE / 'inputs.cpp').read_text()}"
        return cache() / "inputs" / f"{self.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"

    def files(self, count: int | None = None) -> list[Path]:
        """The first files, in order; all of them by default."""
        return [self.folder / f"part_{number:04}.root" for number in range(min(count or self.count, self.count))]


CASES = (
    Case(
        name="histograms",
        about="20 folders × 60 TH1D of 100 bins with errors, 200 weighted fills each; ZLIB-1",
        writer="write_histograms",
        compression=_ZLIB_1,
        sizes=(20, 60, 200),
    ),
    Case(
        name="histograms-lz4",
        about="the same histograms; LZ4",
        writer="write_histograms",
        compression=_LZ4_4,
        sizes=(20, 60, 200),
    ),
    Case(
        name="trees",
        about="one TTree of 10,000 rows × 10 branches of floats; ZLIB-1",
        writer="write_tree",
        compression=_ZLIB_1,
        sizes=(10_000, 10),
    ),
    Case(
        name="many-files",
        about="one folder of 20 TH1D of 100 bins with errors; ZLIB-1",
        writer="write_histograms",
        compression=_ZLIB_1,
        sizes=(1, 20, 200),
        count=5000,
    ),
    Case(
        name="ntuples",
        about="one RNTuple of 10,000 rows × 8 fields of floats; ZSTD-5",
        writer="write_ntuple",
        compression=_ZSTD_5,
        sizes=(10_000, 8),
        count=100,
    ),
)


def make(case: Case, count: int | None = None) -> list[Path]:
    """The first files of a case; those that are not there yet are written, by ROOT in a process of its own."""
    files = case.files(count)
    missing = [number for number, path in enumerate(files) if not path.exists()]
    if missing:
        print(f"{case.name}: writing {len(missing)} files into {case.folder}", flush=True)
        case.folder.mkdir(parents=True, exist_ok=True)
        # The package `root` warns on import that it is young.
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.merging.generate", case.name, *map(str, missing)]
        subprocess.run(command, cwd=HERE.parents[1], check=True)
    return files
