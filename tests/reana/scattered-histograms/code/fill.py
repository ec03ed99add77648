"""One histogram of one chunk of a sample."""

import sys

import numpy as np
import uproot

seed, target = sys.argv[1:]
with uproot.recreate(target) as file:
    file["mass"] = np.histogram(np.random.default_rng(int(seed)).normal(91, 5, 300), bins=30, range=(60, 120))
