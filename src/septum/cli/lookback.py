"""A look at the state folder that leaves it as it is: its receipt, and a copy of its ledger."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from septum.ledger import Ledger
    from septum.state import Receipt

_LEDGER = "run.sqlite"


@contextlib.contextmanager
def copied_ledger(folder: Path) -> Iterator[Ledger | None]:
    """A copy of the ledger of a state folder; None if there is none.

    Opening a ledger writes into it, and into its folder.

    Raises:
        StateError: It is damaged.
    """
    from septum.ledger import Ledger

    if not (folder / _LEDGER).is_file():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="septum-ledger-") as scratch:
        for name in (_LEDGER, f"{_LEDGER}-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(folder / name, Path(scratch, name))
        with Ledger(Path(scratch, _LEDGER)) as ledger:
            yield ledger


def receipt_of(folder: Path) -> Receipt | None:
    """The receipt of a state folder, if it has one that can be read."""
    from septum.errors import StateError
    from septum.state import State

    try:
        return State(folder).load_receipt()
    except StateError:
        return None


def facts_of(folder: Path) -> dict[str, str]:
    """The facts of the run in a state folder, such as its tag; none where nothing can be read."""
    from septum.errors import SeptumError

    with contextlib.suppress(SeptumError, OSError), copied_ledger(folder) as ledger:
        return {} if ledger is None else ledger.facts()
    return {}
