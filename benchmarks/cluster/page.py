"""Writes the page of the documentation: the reports of runs, with their plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cluster.plots import bars, curves
from benchmarks.cluster.report import report
from benchmarks.growth.report import report as report_growth

_DOCS = Path(__file__).parents[2] / "docs"
PAGE = _DOCS / "explanation" / "measured.md"

_HEAD = """\
# Measured

<!-- Written by `python -m benchmarks cluster page`: do not edit. -->

What a run costs with septum and with other ways to do the same, on one machine, in the same hour. Each figure is made
by [the benchmarks](../../benchmarks/README.md), with one command, on a real HTCondor pool without root; they say how
each contender works and how each figure is taken. Ratios say more than seconds, which are of one machine.

Where a peer is better, it says so. `htcondor jobset`, law and snakemake run here on a file system that they share with
the schedd and, the last two, with the workers: nothing is spooled or fetched, so they send less and have less to wait
for. A CI job has no such file system. None of the peers looks at what it got back. Where a target is missed,
[the benchmark says why](../../benchmarks/cluster/README.md#where-septum-is-behind-and-why), and what was tried.

## Beside others

"""
_GROWTH = """\
## How septum grows

Submission and looks at the queue are of a real pool that starts no job. `collect` is septum's own, with ledger,
verification, merge and report; the access point is simulated: a fiftieth of the jobs ends between two looks, and no
time passes. What the simulation itself takes of the processor is left out.

"""


def write_page(runs: Sequence[Mapping[str, Any]], growth: Mapping[str, Any]) -> None:
    """Write the page and its plots.

    Args:
        runs: What `cluster run` wrote, each with another number of parts.
        growth: What `growth run` wrote.
    """
    sections = [_HEAD]
    for run in runs:
        name = f"measured-{run['parts']}.svg"
        bars(run, _DOCS / "images" / name)
        title, _, rest = report(run).partition("\n")
        sections.append(f"{title}\n\n![A bar for each contender, {run['parts']} parts](../images/{name})\n{rest}\n")
    curves(growth, _DOCS / "images" / "measured-growth.svg")
    sections.append(f"{_GROWTH}![Growth](../images/measured-growth.svg)\n\n{report_growth(growth)}")
    PAGE.write_text("".join(sections), encoding="utf-8")
