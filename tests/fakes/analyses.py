"""`septum.yaml` as text to values and plans, in one line of a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from septum.config import Analysis
from septum.errors import ConfigError
from septum.plan import Plan
from septum.planning import make_plan
from septum.validation import validate
from septum.yamltext import load

BASE = "command: [run]\noutputs: [h.root]\n"


def analysis_of(text: str) -> Analysis:
    """The values of a `septum.yaml` with this text."""
    return validate(Analysis, load(text, "septum.yaml", ConfigError), error=ConfigError)


def plan_of(text: str, root: Path, *, image: str | None = None, leave_out: Sequence[str] = ()) -> Plan:
    """The plan of a `septum.yaml` with this text, in this folder."""
    return make_plan(analysis_of(text), root, image=image, leave_out=leave_out)


def seeds(count: int, *, more: str = "") -> str:
    """A `septum.yaml` with so many parts, one ROOT output each."""
    return f"{BASE}parts: {{product: {{seed: {{first: 0, last: {count - 1}}}}}}}\n{more}"
