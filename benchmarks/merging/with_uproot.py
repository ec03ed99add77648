"""A merge as one writes it first with uproot and hist: `python with_uproot.py TARGET FILE…`."""

from __future__ import annotations

import sys

import uproot


def main(target: str, files: list[str]) -> None:
    """Add the histograms of all files by name."""
    sums = {}
    for name in files:
        with uproot.open(name) as file:
            for key in file.keys(cycle=False, filter_classname="TH*"):
                histogram = file[key].to_hist()
                sums[key] = sums[key] + histogram if key in sums else histogram
    with uproot.recreate(target) as file:
        for key, histogram in sums.items():
            file[key] = histogram


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
