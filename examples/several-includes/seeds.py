"""Fails if two plans have a seed in common: seeds.py PLAN PLAN."""

import json
import sys
from pathlib import Path


def seeds(path):
    """The seeds of all parts of a plan."""
    plan = json.loads(Path(path).read_text())["plan"]
    return {dict(part["values"])["seed"] for part in plan["parts"]}


common = seeds(sys.argv[1]) & seeds(sys.argv[2])
if common:
    sys.exit(f"the seeds {', '.join(sorted(common))} are in both plans")
