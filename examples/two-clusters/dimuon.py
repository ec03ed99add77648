"""One part: a range of events with two muons, how many pass each cut, and the mass of the pairs that pass all."""

import sys

import numpy as np
import uproot

first, events = int(sys.argv[1]), int(sys.argv[2])

# A range of events has its own random numbers: the same on every cluster.
rng = np.random.default_rng(first)
mass = np.where(rng.random(events) < 0.6, rng.normal(91.19, 2.5, events), 40 + rng.exponential(30, events))
eta = rng.normal(0, 1.5, (2, events))
pt = rng.normal(mass / 2, 10, (2, events))

acceptance = (np.abs(eta) < 2.4).all(axis=0)
trigger = acceptance & (pt.max(axis=0) > 26)
selected = trigger & (pt.min(axis=0) > 20)

steps = np.repeat([0, 1, 2, 3], [events, acceptance.sum(), trigger.sum(), selected.sum()])

with uproot.recreate("hists.root") as output:
    output["cutflow"] = np.histogram(steps, bins=4, range=(0, 4))
    output["mass"] = np.histogram(mass[selected], bins=80, range=(40, 120))
