"""Events of a sample, as a histogram."""

import sys

import numpy as np
import uproot

sample, events, seed, target = sys.argv[1:]
with uproot.recreate(target) as file:
    file[sample] = np.histogram(np.random.default_rng(int(seed)).normal(3, 1, int(events)), bins=24, range=(0, 6))
