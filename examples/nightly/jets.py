"""One part: jets from one seed, and their falling spectrum in two ranges of rapidity."""

import sys

import numpy as np
import uproot

rng = np.random.default_rng(int(sys.argv[1]))
pt = 30 * (1 + rng.pareto(4, 20_000))
rapidity = np.abs(rng.normal(0, 1.5, pt.size))
edges = np.array([30, 40, 60, 90, 140, 220, 350, 600])

with uproot.recreate("hists.root") as output:
    output["central"] = np.histogram(pt[rapidity < 0.8], edges)
    output["forward"] = np.histogram(pt[rapidity >= 0.8], edges)
