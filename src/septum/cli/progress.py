"""Bars on long work: on a terminal with Rich installed, and nowhere else. In a pipe, lines say what they say anyway.

What is printed while a bar is there stands above it, and nothing of the bar is left at the end.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from septum.cli.console import has_colour, is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress

_LOOK_S = 1.0
_LOCKED_S = 0.2
_IN = ("verified", "merged", "failed")
"""States of the parts that the bar counts."""


@contextlib.contextmanager
def bar(title: str, *, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar of things that are done one after the other.

    Args:
        title: What is done, in one or two words.
        total: How many there are; None if nobody knows.

    Yields:
        A function that is told how many more are done.
    """
    with _progress() as progress:
        if progress is None:
            yield lambda _: None
            return
        task = progress.add_task(title, total=total, told="")
        yield lambda number: progress.update(task, advance=number)


@contextlib.contextmanager
def following(state: Path) -> Iterator[None]:
    """A bar of the parts of a run, as its ledger knows them, while somebody else writes it.

    Args:
        state: The state folder.
    """
    with _progress() as progress:
        if progress is None:
            yield
            return
        task = progress.add_task("parts", total=None, told="")
        over = threading.Event()

        def look() -> None:
            counts = counts_in(state / "run.sqlite")
            if counts:
                done = sum(counts.get(name, 0) for name in _IN)
                progress.update(task, total=sum(counts.values()), completed=done, told=_told(counts))

        def follow() -> None:
            while not over.wait(_LOOK_S):
                look()

        thread = threading.Thread(target=follow, name="septum-progress", daemon=True)
        look()
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(2 * _LOOK_S)
            look()


def counts_in(ledger: Path) -> dict[str, int]:
    """How many parts are in each state; nothing where it cannot be seen just now. Writes nothing."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{quote(str(ledger.absolute()))}?mode=ro", uri=True, timeout=_LOCKED_S)
        ) as database:
            return {str(name): int(number) for name, number in database.execute(_COUNTS)}
    except (sqlite3.Error, ValueError):
        return {}


_COUNTS = "SELECT state, count(*) FROM part GROUP BY state"


def _told(counts: Mapping[str, int]) -> str:
    """The parts that are not in yet, and those that will not come."""
    names = ("running", "idle", "held", "planned", "ended", "failed")
    return ", ".join(f"{counts[name]} {name}" for name in names if counts.get(name))


@contextlib.contextmanager
def _progress() -> Iterator[Progress | None]:
    """What Rich draws bars with; None without a terminal that shows them in colour, or without Rich."""
    # Who wants no colour gets no other escapes either.
    drawn = is_terminal(sys.stdout, os.environ) and has_colour(sys.stdout, os.environ)
    made = _rich() if drawn else None
    if made is None:
        yield None
        return
    with made:
        yield made


def _rich() -> Any:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        return None
    console = Console(file=sys.stdout, highlight=False, emoji=False)
    return Progress(
        # No markup: what a bar is called may have come from a file.
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        refresh_per_second=4,
    )
