"""Both productions over each other, and their ratio: plot.py NEW OLD."""

import sys

import matplotlib.pyplot as plt
import mplhep
import numpy as np
import uproot

new, old = (uproot.open(name)["mt"].to_numpy() for name in sys.argv[1:3])
edges = new[1]
ratio = np.divide(new[0], old[0], out=np.ones_like(new[0]), where=old[0] > 0)

plt.style.use(mplhep.style.CMS)
figure, (top, bottom) = plt.subplots(2, sharex=True, height_ratios=[3, 1])
top.stairs(old[0], edges, label="old", fill=True, alpha=0.4)
top.stairs(new[0], edges, label="new")
top.set_ylabel("events / 2 GeV")
top.legend()
bottom.stairs(ratio, edges)
bottom.axhline(1, color="gray", linestyle=":")
bottom.set(xlabel="$m_T$ [GeV]", ylabel="new / old", ylim=(0.8, 1.2))
figure.savefig("wmass.png")
