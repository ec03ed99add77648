"""Where the benchmarks keep what is made once, and what they find."""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    """The folder of everything that is made once: files, environments with the peers, a compiled floor, results."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SEPTUM_CACHE") or Path(base) / "septum").absolute() / "benchmarks"
