"""All probes, in the order of the page."""

from __future__ import annotations

from tests.probes import axes, broken, contents, objects

PROBES = (*axes.PROBES, *contents.PROBES, *objects.PROBES, *broken.PROBES)
GROUPS = tuple(dict.fromkeys(probe.group for probe in PROBES))
