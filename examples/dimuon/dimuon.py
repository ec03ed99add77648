"""Histograms of muon pairs: from generated events, or from a file of Z → µµ candidates.

Every thousand events have a seed of their own, so any division into parts gives the same events.
"""

import argparse

import numpy as np
import uproot
from uproot.writing.identify import to_TAxis, to_TH1x

BLOCK = 1000
"""Events of one seed."""


def generate(first, last):
    """Generate events `first` to `last`: a Z peak on a falling background, two muons each."""
    blocks = []
    for block in range(first // BLOCK, last // BLOCK + 1):
        rng = np.random.default_rng(block)
        is_z = rng.random(BLOCK) < 0.6
        mass = np.where(is_z, 91.19 + 1.25 * rng.standard_cauchy(BLOCK), 40 + rng.exponential(30, BLOCK))
        mass = np.clip(mass, 1, 500)
        # Two massless muons of this mass: choose their directions, then scale the second one's momentum.
        eta, phi = rng.normal(0, 1.1, (2, BLOCK)), rng.uniform(-np.pi, np.pi, (2, BLOCK))
        pt1 = 15 + rng.exponential(20, BLOCK)
        angle = np.cosh(eta[0] - eta[1]) - np.cos(phi[0] - phi[1])
        pt2 = mass**2 / (2 * pt1 * np.maximum(angle, 1e-3))
        # Weights with few bits, as many generators give them: their sums are exact in any order.
        weight = rng.integers(-1, 5, BLOCK) / 4
        block_events = np.stack([pt1, pt2, eta[0], eta[1], phi[0], phi[1], weight])
        low, high = max(first - block * BLOCK, 0), min(last - block * BLOCK, BLOCK - 1)
        blocks.append(block_events[:, low : high + 1])
    return np.concatenate(blocks, axis=1)


def read(file, tree, first, last):
    """Read entries `first` to `last` of a file of muon pairs."""
    with uproot.open(file) as opened:
        names = ["pt1", "pt2", "eta1", "eta2", "phi1", "phi2"]
        events = opened[tree].arrays(names, entry_start=first, entry_stop=last + 1, library="np")
    return np.stack([*(events[name] for name in names), np.ones(last - first + 1)])


def histogram(title, values, weights, bins, low, high):
    """A TH1D with errors, entries and statistics as ROOT's own Fill would leave them."""
    content, _ = np.histogram(values, bins, (low, high), weights=weights)
    squares, _ = np.histogram(values, bins, (low, high), weights=weights**2)
    under, over = values < low, values >= high
    flow = lambda kept: np.concatenate(([kept[under].sum()], [0.0], [kept[over].sum()]))  # noqa: E731
    inside = ~under & ~over
    # numpy counts the upper edge into the last bin; ROOT counts it as overflow.
    on_edge = values == high
    content[-1] -= weights[on_edge].sum()
    squares[-1] -= (weights[on_edge] ** 2).sum()
    with_flow = lambda inner, kept: np.concatenate((flow(kept)[:1], inner, flow(kept)[2:]))  # noqa: E731
    x, w = values[inside], weights[inside]
    return to_TH1x(
        fName=None,
        fTitle=title,
        data=with_flow(content, weights),
        fEntries=float(len(values)),
        fTsumw=w.sum(),
        fTsumw2=(w**2).sum(),
        fTsumwx=(w * x).sum(),
        fTsumwx2=(w * x**2).sum(),
        fSumw2=with_flow(squares, weights**2),
        fXaxis=to_TAxis(fName="xaxis", fTitle=title, fNbins=bins, fXmin=low, fXmax=high),
    )


def main():
    """Run one part."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--first", type=int, required=True)
    arguments.add_argument("--last", type=int, required=True)
    arguments.add_argument("--file", default="", help="a ROOT file; without one, events are generated")
    arguments.add_argument("--tree", default="events")
    arguments.add_argument("--output", default="hists.root")
    args = arguments.parse_args()

    if args.file:
        pt1, pt2, eta1, eta2, phi1, phi2, weight = read(args.file, args.tree, args.first, args.last)
    else:
        pt1, pt2, eta1, eta2, phi1, phi2, weight = generate(args.first, args.last)

    mass = np.sqrt(2 * pt1 * pt2 * (np.cosh(eta1 - eta2) - np.cos(phi1 - phi2)))
    accepted = (np.abs(eta1) < 2.4) & (np.abs(eta2) < 2.4)
    good = accepted & (np.minimum(pt1, pt2) > 10)
    cuts = [mass > 0, accepted, good]
    steps = np.concatenate([np.full(kept.sum(), number + 0.5) for number, kept in enumerate(cuts)])
    pt, pt_weight = np.concatenate([pt1[good], pt2[good]]), np.tile(weight[good], 2)

    with uproot.recreate(args.output) as output:
        output["mass"] = histogram("m(#mu#mu) [GeV]", mass[good], weight[good], 80, 40, 120)
        output["pt"] = histogram("p_{T}(#mu) [GeV]", pt, pt_weight, 50, 0, 100)
        output["cutflow"] = histogram("events", steps, np.ones(len(steps)), 3, 0, 3)


if __name__ == "__main__":
    main()
