"""Bars: what they count, and that they are nowhere but on a terminal."""

from __future__ import annotations

import contextlib
import io
import re
import sqlite3
import sys
from pathlib import Path

import pytest

from septum.cli.progress import bar, counts_in, following
from septum.ledger import Ledger
from septum.states import PartState


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What takes itself for a terminal of 100 columns."""
    for name, value in {"TERM": "xterm", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return _Terminal()


def _ledger(folder: Path) -> Path:
    with Ledger(folder / "run.sqlite") as ledger:
        ledger.begin(plan_hash="p", tag="t", parts=["0000", "0001", "0002"], now_s=1.0)
        ledger.move("0000", PartState.FAILED, now_s=2.0)
        ledger.move("0001", PartState.IDLE, now_s=2.0)
    return folder / "run.sqlite"


def test_the_parts_of_a_ledger_are_counted(tmp_path: Path, terminal: io.StringIO) -> None:
    """Those that are in or will never be, of all; and the lines that come meanwhile stand there, too."""
    _ledger(tmp_path)
    with contextlib.redirect_stdout(terminal), following(tmp_path):
        sys.stdout.write("a line\n")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())

    assert "1/3" in shown
    assert "1 idle, 1 planned, 1 failed" in shown
    assert "a line\n" in shown
    assert terminal.getvalue().endswith("\x1b[1A\x1b[2K")  # nothing of it stays


def test_counting_leaves_a_ledger_alone(tmp_path: Path) -> None:
    """Not a byte is written, and none is missed while somebody else writes."""
    path = _ledger(tmp_path)
    before = path.read_bytes()

    assert counts_in(path) == {"failed": 1, "idle": 1, "planned": 1}
    with sqlite3.connect(path, isolation_level=None) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert counts_in(path) == {}
        writer.execute("ROLLBACK")
    writer.close()
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["run.sqlite"]


@pytest.mark.parametrize("content", [None, b"", b"no database at all"])
def test_a_ledger_that_cannot_be_read_has_no_counts(tmp_path: Path, content: bytes | None) -> None:
    """And is not made."""
    path = tmp_path / "a?b#c.sqlite"
    if content is not None:
        path.write_bytes(content)

    assert counts_in(path) == {}
    assert path.exists() == (content is not None)


def test_a_bar_of_things_that_are_done(terminal: io.StringIO) -> None:
    """Counts what it is told; its title is no markup."""
    with contextlib.redirect_stdout(terminal), bar("[red]files[/red]", total=3) as advance:
        for _ in range(3):
            advance(1)

    assert "[red]files[/red]" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_there_is_no_bar_where_nobody_wants_one(
    tmp_path: Path, terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]
) -> None:
    """Nor any other escape."""
    monkeypatch.setenv(*variable)
    _ledger(tmp_path)
    with contextlib.redirect_stdout(terminal), following(tmp_path), bar("files", total=1) as advance:
        advance(1)
        sys.stdout.write("a line\n")

    assert terminal.getvalue() == "a line\n"


def test_there_is_no_bar_without_rich(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is an extra: the work is done all the same."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with contextlib.redirect_stdout(terminal), bar("files", total=1) as advance:
        advance(1)

    assert terminal.getvalue() == ""
