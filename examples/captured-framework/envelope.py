"""The merge of the framework: adds the files, and turns the scale variations into one uncertainty, up and down."""

import sys

import numpy as np
import uproot

target, *sources = sys.argv[1:]
total = {}
for source in sources:
    with uproot.open(source) as opened:
        for name in opened.keys(cycle=False, filter_classname="TH1*"):
            values, edges = opened[name].to_numpy()
            total[name] = (total[name][0] + values, edges) if name in total else (values, edges)

with uproot.recreate(target) as output:
    for name, (values, edges) in total.items():
        if "_scale" in name:
            continue
        output[name] = (values, edges)
        varied = np.stack([total[f"{name}_scale{variation}"][0] for variation in range(7)])
        output[f"{name}_scaleUp"] = (varied.max(axis=0), edges)
        output[f"{name}_scaleDown"] = (varied.min(axis=0), edges)
