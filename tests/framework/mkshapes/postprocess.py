"""What the framework's merge does after hadd: of the variations behind an envelope the largest and the smallest bins.

`postprocess.py RESULT HEADERS`: histo_DY_SPECIAL_NUIS_QCD_0 to _3 become histo_DY_QCDUp and histo_DY_QCDDown.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import uproot
from runner import RootFile, streamers  # type: ignore[import-not-found]

_MEMBER = re.compile(r"^(.+)_SPECIAL_NUIS_(.+)_\d+$")


def main() -> None:
    """Replace the file."""
    path, headers = Path(sys.argv[1]), Path(sys.argv[2])
    made = RootFile(path.name, streamers(headers.read_text(encoding="ascii")))
    envelopes = defaultdict(list)
    if path.is_file():
        with uproot.open(path) as file:
            for name in file.keys(cycle=False, filter_classname="TH1D"):
                place, _, label = name.rpartition("/")
                histogram = file[name]
                axis = histogram.member("fXaxis")
                shape = (axis.member("fNbins"), axis.member("fXmin"), axis.member("fXmax"))
                cells = histogram.values(flow=True)
                if member := _MEMBER.match(label):
                    envelopes[(place, f"{member[1]}_{member[2]}", shape)].append(cells)
                else:
                    made.add((place, label, *shape, [int(cell) for cell in cells]))
    for (place, label, shape), members in envelopes.items():
        for way, cells in (("Up", np.max(members, axis=0)), ("Down", np.min(members, axis=0))):
            made.add((place, f"{label}{way}", *shape, [int(cell) for cell in cells]))
    path.write_bytes(made.close())


if __name__ == "__main__":
    main()
