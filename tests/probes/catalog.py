"""All probes, in the order of the page."""

from __future__ import annotations

from tests.probes import axes, broken, contents, objects, trees

PROBES = (*axes.PROBES, *contents.PROBES, *objects.PROBES, *trees.PROBES, *broken.PROBES)
GROUPS = tuple(dict.fromkeys(probe.group for probe in PROBES))
