"""One part: events with four leptons from one seed, and their mass: a Higgs boson on a flat background."""

import sys

import numpy as np
import uproot

MINIMUM_PT = 7
"""Of the softest lepton, in GeV. Change it, and see what the merge request says."""

rng = np.random.default_rng(int(sys.argv[1]))
mass = np.concatenate([rng.normal(125, 1.5, 1000), rng.uniform(105, 140, 2000)])
pt = rng.exponential(15, mass.size)
selected = pt > MINIMUM_PT

with uproot.recreate("hists.root") as output:
    output["m4l"] = np.histogram(mass[selected], bins=35, range=(105, 140))
    output["pt4"] = np.histogram(pt[selected], bins=20, range=(0, 100))
