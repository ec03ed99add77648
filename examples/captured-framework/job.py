"""One job: the transverse mass of some events of one sample, nominal and for seven choices of the QCD scales."""

import sys
from pathlib import Path

import numpy as np
import uproot

sample, chunk = Path(sys.argv[1]).read_text().split()
events = 5_000

rng = np.random.default_rng([*sample.encode(), int(chunk)])
mean, spread, slope = {"WW": (90, 30, 0.06), "DY": (60, 15, 0.02), "top": (110, 40, 0.10)}[sample]
mass = rng.normal(mean, spread, events)

with uproot.recreate("hists.root") as output:
    for variation in [None, *range(7)]:
        # Weights that all histograms hold exactly: sums are the same in any order.
        shift = 1.0 if variation is None else 1 + np.round((variation - 3) * slope * 64) / 64
        name = f"mt/{sample}" if variation is None else f"mt/{sample}_scale{variation}"
        output[name] = np.histogram(mass, bins=40, range=(0, 200), weights=np.full(events, shift))
