"""One part: W bosons from one seed, and the transverse mass of their lepton and neutrino."""

import sys

import numpy as np
import uproot

events = 20_000
rng = np.random.default_rng(int(sys.argv[1]))

mass = 80.4 + 1.04 * rng.standard_cauchy(events)
cos_theta = rng.uniform(-1, 1, events)
transverse_mass = np.abs(mass) * np.sqrt(1 - cos_theta**2)
smeared = transverse_mass * rng.normal(1, 0.1, events)

with uproot.recreate("hists.root") as output:
    output["mt"] = np.histogram(smeared, bins=60, range=(0, 120))
