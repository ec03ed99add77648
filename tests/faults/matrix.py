"""The rows, played side by side."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from septum.facility import Pool
from tests.faults.rows import Field, Row
from tests.faults.run import new_run

_AT_A_TIME = 4


def play(row: Row, where: Field, pool: Pool) -> None:
    """Run a row and see that all that must be true is."""
    run = new_run(row, where, pool)
    began = time.monotonic()
    outcome = "held"
    try:
        row.story(run)
        run.check()
    except BaseException as error:
        outcome = "\n".join([f"{type(error).__name__}: {error}", *run.notes])
        raise AssertionError(outcome) from error
    finally:
        took_s = time.monotonic() - began
        (where.folder / f"{row.name}.outcome").write_text(f"{took_s:.1f} s {outcome}\n")
        run.end()


class Matrix:
    """All rows that were asked for, played side by side: most of their time is waiting.

    Args:
        rows: The rows.
        where: The field.
        breakable: The pool whose daemons may be stopped, made when the first row wants it.
    """

    def __init__(
        self, rows: Sequence[Row], where: Field, breakable: Callable[[], contextlib.AbstractContextManager[Pool]]
    ) -> None:
        self._where = where
        self._breakable = breakable
        self._threads = ThreadPoolExecutor(_AT_A_TIME)
        self._apart = ThreadPoolExecutor(1)
        self._broken = [row for row in rows if row.breakable]
        self._futures: dict[str, Future[None]] = {}
        self._chain = self._apart.submit(self._play_breakable) if self._broken else None
        for row in sorted((row for row in rows if not row.breakable), key=lambda row: not row.long):
            self._futures[row.name] = self._threads.submit(play, row, where, where.pool)

    def _play_breakable(self) -> dict[str, BaseException | None]:
        """One after the other: each of them stops what the next one needs."""
        ended: dict[str, BaseException | None] = {}
        with self._breakable() as pool:
            for row in self._broken:
                try:
                    play(row, self._where, pool)
                    ended[row.name] = None
                except BaseException as error:  # noqa: BLE001 - is raised in the row's own test
                    ended[row.name] = error
        return ended

    def judge(self, row: Row) -> None:
        """Raise what went wrong with a row."""
        if row.breakable:
            assert self._chain is not None
            if (error := self._chain.result()[row.name]) is not None:
                raise error
        else:
            self._futures[row.name].result()

    def end(self) -> None:
        """Wait for all that is still under way."""
        for threads in (self._threads, self._apart):
            threads.shutdown(cancel_futures=True)


@contextlib.contextmanager
def matrix(
    rows: Sequence[Row], where: Field, breakable: Callable[[], contextlib.AbstractContextManager[Pool]]
) -> Iterator[Matrix]:
    """The matrix, ended at the end."""
    made = Matrix(rows, where, breakable)
    try:
        yield made
    finally:
        made.end()
