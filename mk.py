import sys, numpy as np, hist, uproot

seed = int(sys.argv[1])
out = sys.argv[2] if len(sys.argv) > 2 else "out.root"
h = hist.Hist(hist.axis.Regular(10, 0, 1), storage=hist.storage.Weight())
h.fill(np.random.default_rng(seed).random(100))
with uproot.recreate(out) as f:
    f["mass"] = h
