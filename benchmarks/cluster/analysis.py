"""The analysis that all contenders run: parts in plain shell, each with a histogram file of its own; and its truth.

A part copies a ROOT file without compression and sets one bin in it, the one with its number. So a part that is
missing from a result, or is in it twice, is seen in the result, and a part costs the machine next to nothing.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import hist
import numpy as np
import uproot

HISTOGRAMS, BINS = 20, 100
_SENTINEL = 1234567.890625
_PART_SH = """\
# part.sh [NUMBER FILE [TEMPLATE]]
set -e
number=${{1:-$PART_number}}
file=${{2:-histograms.root}}
sleep {seconds}
cp "${{3:-template.root}}" "$file"
# The double 1.0, as ROOT writes it, into bin NUMBER + 1 of the histogram `parts`.
printf '\\077\\360\\000\\000\\000\\000\\000\\000' |
    dd of="$file" bs=1 seek=$(({offset} + 8 * (number % {marks}))) conv=notrunc 2>/dev/null
"""


def lay(folder: Path, *, parts: int, seconds: float, marks: int | None = None) -> int:
    """Write the analysis into a folder: `part.sh` and `template.root`.

    Args:
        folder: Made if it is not there.
        parts: How many there are.
        seconds: How long each sleeps.
        marks: Bins of `parts`, which several parts then share; None for one each.

    Returns:
        Where the bin of the first part stands in `template.root`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    offset = _write_template(folder / "template.root", marks or parts)
    text = _PART_SH.format(seconds=f"{seconds:g}", offset=offset, marks=marks or parts)
    (folder / "part.sh").write_text(text, encoding="ascii")
    return offset


def name_of(number: int) -> str:
    """The output of a part, where all of them come into one folder."""
    return f"histograms_{number}.root"


def _contents(number: int) -> Any:
    return np.random.default_rng(number).poisson(50, BINS).astype(float)


def _write_template(path: Path, parts: int) -> int:
    """Write the file that each part begins with; returns where the first bin of `parts` stands in it."""
    # Once with numbers that are found again: without compression both files have the same places.
    _write(path, _SENTINEL + np.arange(parts, dtype=float))
    offset = path.read_bytes().index(
        struct.pack(">d", 0.0) + (_SENTINEL + np.arange(parts, dtype=float)).astype(">f8").tobytes()
    )
    _write(path, np.zeros(parts))
    return offset + 8


def _write(path: Path, marks: Any) -> None:
    with uproot.recreate(path, compression=None) as file:
        for number in range(HISTOGRAMS):
            histogram = hist.Hist(hist.axis.Regular(BINS, 0, 1), storage=hist.storage.Double())
            histogram[...] = _contents(number)
            file[f"h{number:02}"] = histogram
        histogram = hist.Hist(hist.axis.Regular(len(marks), 0, len(marks)), storage=hist.storage.Double())
        histogram[...] = marks
        file["parts"] = histogram


def judge(path: Path, parts: int, *, marks: int | None = None) -> str:
    """Look whether a merged file holds each part once; `marks` as `lay` has it.

    Returns:
        `equal`, or what is wrong.
    """
    if not path.is_file():
        return "no result"
    with uproot.open(path) as file:
        expected = np.bincount(np.arange(parts) % (marks or parts), minlength=marks or parts)
        if found := np.flatnonzero(file["parts"].values() != expected).tolist():
            return f"{len(found)} parts are not in it once, such as {found[0]}"
        for number in range(HISTOGRAMS):
            if not np.array_equal(file[f"h{number:02}"].values(), parts * _contents(number)):
                return f"h{number:02} has other contents"
    return "equal"
