"""Parts of several kinds: one set of histograms a sample, and a part that forgot some."""

from __future__ import annotations

from pathlib import Path

import pytest

from septum.cli import main
from septum.errors import StructureError
from septum.merge.kinds import Kinds

DY, WW = frozenset({"mll/DY", "pt/DY"}), frozenset({"mll/WW", "pt/WW"})


def _kinds(*sets: frozenset[str]) -> Kinds:
    kinds = Kinds()
    for number, paths in enumerate(sets):
        kinds.add(f"{number:04}", paths)
    return kinds


@pytest.mark.parametrize("sets", [(), (DY,), (DY, DY), (DY, WW), (WW, DY, WW, DY), (DY, WW, frozenset({"x"}))])
def test_the_same_objects_or_none_in_common(sets: tuple[frozenset[str], ...]) -> None:
    """In any order."""
    _kinds(*sets).check(str)


@pytest.mark.parametrize(
    ("sets", "odd"),
    [
        ((DY, DY, WW, frozenset({"mll/DY"})), "0003"),
        ((frozenset({"mll/DY"}), DY, DY, WW), "0000"),
        ((DY, DY, WW, DY | {"x"}), "0003"),
        ((DY, DY, WW, WW, DY | WW), "0004"),
    ],
)
def test_a_part_that_has_some_of_the_objects_is_seen(sets: tuple[frozenset[str], ...], odd: str) -> None:
    """Too few, too many, or those of two kinds: the rarer one is named."""
    with pytest.raises(StructureError, match="and not all") as refused:
        _kinds(*sets).check(lambda part: f"part {part}")
    assert refused.value.what.startswith(f"part {odd}")
    assert "union" in refused.value.fix


def test_a_part_that_is_noted_twice_is_one() -> None:
    """A collect that goes on reads it again."""
    kinds = _kinds(DY, DY)
    kinds.add("0001", DY)
    kinds.check(str)


def test_alone_septum_merge_has_no_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which files belong together is known in a run."""
    code = main(["merge", str(tmp_path / "m.root"), str(tmp_path / "a.root"), "--policy", "missing-objects=groups"])

    assert code == 2
    assert "missing-objects=union" in capsys.readouterr().err
