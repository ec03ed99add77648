"""What the tests of the strict engine share: parts that are made quickly, and merges in any order."""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from septum.merge.engine import Finished, Target
from septum.merge.files import Done, merge_files
from septum.merge.strict.merging import Strict, StrictMerging
from septum.verify import measure
from tests.fakes.rootfiles import H

_MARK = 1234567.0
Objects = Mapping[str, "H | str"]


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(path: Path, objects: Objects, *, compression: Any = None) -> Path:
    """A file with histograms, and with texts as TObjString; without compression, to find bytes in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path, compression=compression) as file:
        for name, item in objects.items():
            file[name] = item if isinstance(item, str) else item.written(name.rsplit("/", 1)[-1])
    return path


def quick_parts(folder: Path, count: int, *, name: str = "h") -> list[Path]:
    """As many parts as wanted that differ in one bin and in their entries: uproot writes only the first of them."""
    folder.mkdir(parents=True, exist_ok=True)
    model = write(folder / "model", {name: H(cells=[0.5, _MARK, -2.0, 1.0], entries=-_MARK, sumw2=False)})
    raw = model.read_bytes()
    model.unlink()
    mark, entries = struct.pack(">d", _MARK), struct.pack(">d", -_MARK)
    assert (raw.count(mark), raw.count(entries)) == (1, 1)
    made = []
    for number in range(count):
        path = folder / f"{number:05}.root"
        path.write_bytes(
            raw.replace(mark, struct.pack(">d", 0.1 * number)).replace(entries, struct.pack(">d", float(number)))
        )
        made.append(path)
    return made


class Rig:
    """The engine as a run uses it: parts by their number in the plan, in any order."""

    def __init__(self, folder: Path, paths: Sequence[Path], policies: Mapping[str, str] | None = None) -> None:
        self.paths = {f"{number:04}": path for number, path in enumerate(paths)}
        self.engine = Strict(dict(policies or {}), early=False)
        self.target = Target(
            name="result.root",
            parts=tuple(self.paths),
            describe={part: f"part {int(part)}" for part in self.paths},
            source=lambda part: self.paths[part],
            scratch=folder,
            key="0",
            policies=dict(policies or {}),
        )
        self.files = {part: measure(path)[1] for part, path in self.paths.items()}

    def begin(self) -> StrictMerging:
        """Begin anew."""
        return self.engine.begin(self.target)

    def resume(self, files: Mapping[str, str] | None = None) -> StrictMerging | None:
        """Go on from the checkpoint."""
        return self.engine.resume(self.target, self.files if files is None else files)

    def add(self, merging: StrictMerging, numbers: Sequence[int]) -> StrictMerging:
        """Read and add parts."""
        for number in numbers:
            part = f"{number:04}"
            reading = self.engine.read(self.paths[part], name=f"part {number}")
            merging.add(part, reading, sha256=self.files[part])
        return merging

    def merge(self, order: Sequence[int] | None = None) -> Path:
        """All parts in an order; the result."""
        self.finish(self.add(self.begin(), range(len(self.paths)) if order is None else order))
        return self.target.path

    def finish(self, merging: StrictMerging) -> Finished:
        """The end."""
        return merging.finish()


def merge(target: Path, sources: Sequence[Path], *, jobs: int = 1, **policies: str) -> Done:
    """What `septum merge` does; policies with _ for -."""
    return merge_files(
        target,
        sources,
        policies={name.replace("_", "-"): value for name, value in policies.items()},
        jobs=jobs,
        environ=dict(os.environ),
    )


def wait(*_: object, **__: object) -> None:
    """What a process does that is not to end by itself."""
    time.sleep(60)


def members(path: Path, name: str) -> dict[str, Any]:
    """All numbers of a histogram, as uproot sees them."""
    with uproot.open(path) as file:
        item = file[name]
        found = {key: item.member(key) for key in ("fEntries", "fTsumw", "fTsumw2", "fTsumwx", "fTsumwx2", "fNcells")}
        found["cells"] = np.asarray(item.values(flow=True))
        found["errors"] = np.asarray(item.member("fSumw2"), dtype=np.float64)
        axis = item.member("fXaxis")
        found["axis"] = (axis.member("fNbins"), axis.member("fXmin"), axis.member("fXmax"))
        labels = axis.member("fLabels")
        found["labels"] = {} if labels is None else {str(label): int(label.member("@fUniqueID")) for label in labels}
        return found


def by_label(path: Path, name: str = "h") -> dict[str, float]:
    """The cells of the bins with a label; nothing may be in the others but in the flow bins, as `-` and `+`."""
    found = members(path, name)
    cells = found["cells"]
    named = {label: float(cells[number]) for label, number in found["labels"].items()}
    others = set(range(1, len(cells) - 1)) - set(found["labels"].values())
    assert not any(cells[number] for number in others)
    return {"-": float(cells[0]), **named, "+": float(cells[-1])}
