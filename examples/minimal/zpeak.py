"""One part: pairs of muons from one seed, and the histogram of their mass around the Z."""

import sys

import numpy as np
import uproot

seed = int(sys.argv[1])
events = 10_000

rng = np.random.default_rng(seed)
peak = 91.19 + 1.25 * rng.standard_cauchy(events)
background = 60 + rng.exponential(40, events)
mass = np.where(rng.random(events) < 0.9, peak, background)

with uproot.recreate("hists.root") as output:
    output["mass"] = np.histogram(mass, bins=60, range=(60, 120))
