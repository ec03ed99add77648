"""One part: pseudo-experiments without a signal, and how often they look like one: the q0 of a counting experiment."""

import sys

import numpy as np
import uproot

BACKGROUND = 100.0

rng = np.random.default_rng(int(sys.argv[1]))
observed = rng.poisson(BACKGROUND, 200_000).astype(float)
# The likelihood ratio of "observed" to "background only"; a deficit is no sign of a signal.
q0 = np.where(observed > BACKGROUND, 2 * (observed * np.log(observed / BACKGROUND) - observed + BACKGROUND), 0)

with uproot.recreate("hists.root") as output:
    output["q0"] = np.histogram(q0, bins=100, range=(0, 25))
