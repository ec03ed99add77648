"""The page "What happens when …" keeps its promises: each line names a row, each row has a line."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "what-happens-when.md"
FILES = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))
_NAME = re.compile(r"`(test_[a-z_]+\[[a-z0-9-]+\])`")
_ELSEWHERE = re.compile(r"`(\w+/\w+\.py)::(\w+)`")


def _lines() -> list[list[str]]:
    """The cells of every line of the tables."""
    text = PAGE.read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [line for line in cells if line[0] != "What happens" and not set(line[0]) <= set("- ")]


def _rows() -> set[str]:
    """The tests of all rows of the matrix."""
    return {f"{file}[{row}]" for file in FILES for row in importlib.import_module(f"tests.faults.{file}").ROWS}


def test_every_row_has_a_line() -> None:
    """And no line names a test that does not exist."""
    named = [name for line in _lines() for name in _NAME.findall(line[3])]

    assert set(named) == _rows()
    assert len(named) == len(set(named))
    assert len(named) >= 30


@pytest.mark.parametrize("line", _lines(), ids=lambda line: line[0])
def test_every_line_is_whole(line: list[str]) -> None:
    """What happens, what septum does, what you do, and a test."""
    happens, does, you, shown = line

    assert len(happens.split()) > 2
    assert len(does.split()) > 1
    assert you.endswith(".")
    assert _NAME.findall(shown) or _ELSEWHERE.findall(shown)
    for file, name in _ELSEWHERE.findall(shown):
        assert f"def {name}(" in (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
