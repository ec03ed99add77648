"""Shows a pipeline while it runs: a table that renews itself on a terminal, a line for each change in a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from septum.cli.console import complain, is_terminal, say, table, without_secrets

if TYPE_CHECKING:
    from septum.errors import TryAgainError
    from septum.watching.model import View
    from septum.watching.place import Place

HEADER = ("CI JOB", "STATE", "TIME", "WHAT IT TELLS")
_STYLES = {"success": "green", "failed": "red", "canceled": "red", "running": "cyan", "canceling": "yellow"}


class Shows(Protocol):
    """Shows one look after the other."""

    def show(self, view: View) -> None:
        """The next look."""

    def warn(self, error: TryAgainError) -> None:
        """Why there is no look now."""


class AsLines:
    """One line for each change.

    Args:
        place: The project.
        every: The time between two looks, for people.
        before: The last look that people know of already, if there was one.
    """

    def __init__(self, place: Place, every: str, before: View | None = None) -> None:
        self._place, self._every, self._before = place, every, before

    def show(self, view: View) -> None:
        """The lines that are new."""
        from septum.watching.show import changes, headline

        before, self._before = self._before, view
        head = headline(view, self._place)
        if before is None or head != headline(before, self._place):
            say(head)
        for line in changes(before, view):
            say(f"  {line}")

    def warn(self, error: TryAgainError) -> None:
        """One line on standard error."""
        complain(f"warning: {error.what} ({error.evidence}); asked again every {self._every}")


class AsTable:
    """A table of Rich that is drawn over the last one."""

    def __init__(self, live: Any, place: Place, every: str) -> None:
        self._live, self._place, self._every = live, place, every

    def show(self, view: View) -> None:
        """The table as it is now."""
        self._live.update(self._drawn(view), refresh=True)

    def _drawn(self, view: View) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from septum.watching.show import headline, rows

        # Text, and not a string: nothing that a CI job is called is markup.
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for number, title in enumerate(HEADER):
            grid.add_column(title, overflow="fold" if number == len(HEADER) - 1 else "ellipsis", no_wrap=number == 1)
        for row in rows(view):
            name, state, time, told = (Text(without_secrets(cell)) for cell in row)
            state.stylize(_STYLES.get(state.plain.split(" ")[0], ""))
            grid.add_row(name, state, time, told)
        asked = (
            ""
            if view.over
            else f"asked every {self._every}, {view.requests} requests each time; Ctrl-C leaves it alone"
        )
        return Group(Text(without_secrets(headline(view, self._place)), style="bold"), grid, Text(asked, style="dim"))

    def warn(self, error: TryAgainError) -> None:
        """One line above the table."""
        from rich.text import Text

        self._live.console.print(Text(without_secrets(f"warning: {error.what} ({error.evidence})"), style="yellow"))


@contextlib.contextmanager
def showing(place: Place, every: str) -> Iterator[Shows]:
    """What fits to where standard output leads.

    Args:
        place: The project.
        every: The time between two looks, for people.
    """
    rich = _rich() if is_terminal(sys.stdout, os.environ) else None
    if rich is None:
        yield AsLines(place, every)
        return
    with rich as live:
        yield AsTable(live, place, every)


def _rich() -> Any:
    """A place on the screen that is drawn anew; None without Rich, which is an extra."""
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        return None
    console = Console(
        file=sys.stdout, highlight=False, markup=False, emoji=False, no_color=bool(os.environ.get("NO_COLOR"))
    )
    return Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)


def show_once(view: View, place: Place) -> None:
    """The pipeline as it is now, as a table of plain text."""
    from septum.watching.show import headline, rows

    say(headline(view, place))
    if view.jobs or view.children:
        table([HEADER, *rows(view)])
