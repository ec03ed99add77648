"""Where the processor's time goes in septum's own work: cProfile of each hot path, by module."""

from __future__ import annotations

import os
import pstats
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_ROWS, _OWN = 14, 6
# Quotation marks in the name of a built-in method: method 'execute' of 'sqlite3.Connection' objects.
_QUOTED = 4
_ROOT = Path(__file__).parents[2]
_SOURCES = (_ROOT / "src", _ROOT)
_HOT: Sequence[tuple[str, Sequence[str]]] = (
    ("septum --help", ["-m", "septum", "--help"]),
    ("septum plan", ["-m", "septum", "plan", "--json"]),
    ("septum prepare", ["-m", "septum", "prepare", "--cluster", "pool"]),
    ("septum collect, its jobs simulated", ["-m", "benchmarks.growth.simulated", "OFFSET"]),
)


def profiles(folder: Path, offset: int) -> str:
    """Profile each hot path in a folder with an analysis, in the order of a run.

    Args:
        folder: With `septum.yaml`; septum's state folder comes to be there.
        offset: For the simulation, see `benchmarks.growth.simulated`.

    Returns:
        Markdown: a table for each, with the modules that took most.

    Raises:
        RuntimeError: A command failed.
    """
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
    sections = []
    for title, words in _HOT:
        stats = folder / "profile.stats"
        command = [sys.executable, "-m", "cProfile", "-o", str(stats)]
        command += [str(offset) if word == "OFFSET" else word for word in words]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{title} ended with {done.returncode}: {done.stderr[-3000:]}")
        sections.append(_section(title, pstats.Stats(str(stats))))
    shutil.rmtree(folder)
    return "\n".join(sections)


def _section(title: str, stats: pstats.Stats) -> str:
    """What septum's functions took with all that they call, and, in a line, whose own time that was."""
    own: Counter[str] = Counter()
    within: list[tuple[float, int, str]] = []
    for (file, _, name), (_, calls, own_s, total_s, _) in stats.stats.items():  # type: ignore[attr-defined]
        module = _module(file, name)
        own[module] += own_s
        if module.startswith("septum.") and not name.startswith("<"):
            within.append((total_s, calls, f"{module.removeprefix('septum.')}.{name}"))
    whole_s = sum(own.values())
    rows = [
        f"| `{name}` | {total_s:.2f} | {total_s / whole_s:.0%} | {calls:,} |"
        for total_s, calls, name in sorted(within, reverse=True)[:_ROWS]
    ]
    shares = ", ".join(f"{module} {own_s / whole_s:.0%}" for module, own_s in own.most_common(_OWN))
    head = ["| With all that it calls | s | | Calls |", "| --- | --- | --- | --- |"]
    return "\n".join([f"#### `{title}`: {whole_s:.2f} s, profiled", "", *head, *rows, "", f"Own time: {shares}.", ""])


def _module(file: str, name: str) -> str:
    """The module of a function: septum's by its path, others by their package."""
    if file == "~":
        words = name.split("'")
        return words[3].split(".", maxsplit=1)[0] if len(words) > _QUOTED else "Python's builtins"
    parts = Path(file).with_suffix("").parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    path = Path(file).with_suffix("")
    for source in _SOURCES:
        if path.is_relative_to(source):
            return ".".join(path.relative_to(source).parts)
    if "lib" in parts:
        return ".".join(parts[parts.index("lib") + 2 :])
    return file.strip("<>").removeprefix("frozen ")
