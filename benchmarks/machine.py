"""What the numbers were measured on: without this line they mean nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

_SOFTWARE = ("septum", "root", "numpy", "uproot")


def machine() -> str:
    """Processor, memory, kernel and versions, in one line."""
    return ", ".join(
        [
            f"{len(os.sched_getaffinity(0))} × {_field('/proc/cpuinfo', 'model name')}",
            f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 1e6:.0f} GB",
            f"Linux {platform.release()}",
            f"Python {platform.python_version()}",
            *(f"{name} {_version(name)}" for name in _SOFTWARE),
        ]
    )


def load() -> float:
    """How many processes wanted to run in the last minute."""
    return os.getloadavg()[0]


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
