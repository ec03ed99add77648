"""A spectrum of two muons, of the files of a list."""

import numpy as np
import uproot

with uproot.recreate("DoubleMu.root") as file:
    files = len(open("datasets/list.txt", encoding="utf-8").readlines())
    file["mass"] = np.histogram(np.random.default_rng(1).exponential(20, 500 * files), bins=50, range=(0, 120))
