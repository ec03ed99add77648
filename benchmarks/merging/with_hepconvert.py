"""A merge by hepconvert, in its own environment: `python with_hepconvert.py TARGET FILE…`."""

from __future__ import annotations

import sys

import hepconvert
import uproot


def main(target: str, files: list[str]) -> None:
    """Add what the first file is full of: histograms, or trees."""
    with uproot.open(files[0]) as file:
        trees = "TTree" in file.classnames().values()
    if trees:
        hepconvert.merge_root(target, files, force=True)
    else:
        hepconvert.add_histograms(target, files, force=True, same_names=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
