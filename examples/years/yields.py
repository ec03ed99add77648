"""One part: the events of one period of a year, those with enough missing momentum, and how many there are."""

import sys

import numpy as np
import uproot

LUMINOSITY = {"2016": 36.3, "2017": 41.5, "2018": 59.8, "2022": 34.7}
"""In fb-1, of all periods of the year."""
PERIODS = 2
CROSS_SECTION = 40
"""Of what we would see, in fb."""

year, period, threshold = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

rng = np.random.default_rng([int(year), period])
events = rng.poisson(CROSS_SECTION * LUMINOSITY[year] / PERIODS)
missing = rng.exponential(50, events)
selected = missing > threshold

with uproot.recreate("hists.root") as output:
    output["missing"] = np.histogram(missing[selected], bins=30, range=(0, 300))
    output["yield"] = np.histogram(np.full(selected.sum(), 0.5), bins=1, range=(0, 1))
