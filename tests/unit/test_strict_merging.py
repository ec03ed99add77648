"""The strict engine on small files: what is refused, what a policy allows, and what a restart finds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uproot

from septum.errors import NotAdditiveError, OutputDamagedError, SeptumError, StructureError
from septum.merge.engine import Finished, Target
from septum.merge.strict import codecs
from septum.merge.strict.merging import Strict, StrictMerging
from septum.verify import measure
from tests.fakes.rootfiles import H, read_cells, write_root


class Bench:
    """Parts of one output, and their merge."""

    def __init__(self, folder: Path, count: int = 4, **policies: str) -> None:
        self.folder, self.policies = folder, {name.replace("_", "-"): value for name, value in policies.items()}
        self.engine = Strict(self.policies)
        self.target = Target(
            name="all.root",
            parts=tuple(f"{number:04d}" for number in range(count)),
            source=self.path,
            scratch=folder / "merge",
            key="0",
            policies=self.policies,
        )
        self.merging = self.engine.begin(self.target)

    def path(self, part: str) -> Path:
        """Where the output of a part is."""
        return self.folder / f"{part}.root"

    def write(self, part: str, **objects: H) -> None:
        """Write the output of a part; `__` in a name is a folder."""
        write_root(self.path(part), {name.replace("__", "/"): item for name, item in objects.items()})

    def add(self, part: str, merging: StrictMerging | None = None) -> None:
        """Read a part and add it."""
        reading = self.engine.read(self.path(part), name=f"part {part}")
        (merging or self.merging).add(part, reading, sha256=measure(self.path(part))[1])

    def finish(self) -> Finished:
        """Finish the merge."""
        return self.merging.finish()

    def cells(self, name: str) -> list[float]:
        """The cells of a merged histogram."""
        return read_cells(self.target.path, name)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Four parts of one structure, not merged yet."""
    made = Bench(tmp_path)
    for number, part in enumerate(made.target.parts):
        made.write(part, h=H(cells=[0, number, 0.1, 0]), cut__f=H(cells=[0, 1, 0], dtype=">f4"))
    return made


def test_every_order_gives_the_same_bytes(bench: Bench) -> None:
    """The parts in four orders, and with an object more in none of them."""
    found = set()
    for turn in range(4):
        bench.merging = bench.engine.begin(bench.target)
        for part in (*bench.target.parts[turn:], *bench.target.parts[:turn]):
            bench.add(part)
        finished = bench.finish()
        found.add(measure(bench.target.path))

    assert len(found) == 1
    assert finished.objects == {"h": ("TH1D", 6 + 4 * 0.1), "cut/f": ("TH1F", 4.0)}
    assert bench.cells("h") == [0, 6, 0.4, 0]


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"h": H(cells=[0, 1, 2, 3, 0]), "cut__f": H(cells=[0, 1, 0], dtype=">f4")}, "3 bins from 0 to 1"),
        ({"h": H(cells=[0, 1, 2, 0], high=2.0), "cut__f": H(cells=[0, 1, 0], dtype=">f4")}, "from 0 to 2"),
        ({"h": H(cells=[0, 1, 2, 0], dtype=">f4"), "cut__f": H(cells=[0, 1, 0], dtype=">f4")}, "TH1F"),
        ({"h": H(cells=[0, 1, 2, 0])}, "'cut/f' is in one of them only"),
        ({"h": H(cells=[0, 1, 2, 0], labels=["a", "b"]), "cut__f": H(cells=[0, 1, 0], dtype=">f4")}, "label"),
    ],
)
@pytest.mark.parametrize("position", [0, 2])
def test_an_odd_part_is_named(bench: Bench, odd: dict[str, H], says: str, position: int) -> None:
    """Whether it comes first or later: the others are the measure, and nothing is written."""
    part = bench.target.parts[position]
    bench.write(part, **odd)
    for other in bench.target.parts:
        bench.add(other)
    with pytest.raises(StructureError, match=says) as caught:
        bench.finish()

    assert part in str(caught.value)
    assert "3 parts such as" in caught.value.evidence
    assert not bench.target.path.exists()


def test_objects_of_some_parts_only(tmp_path: Path) -> None:
    """With a policy, the sum of the parts that have them, in any order."""
    found = set()
    for order in (("0000", "0001", "0002"), ("0002", "0000", "0001")):
        bench = Bench(tmp_path, count=3, missing_objects="union")
        bench.write("0000", h=H(cells=[0, 1, 0]))
        bench.write("0001", h=H(cells=[0, 2, 0]), x__y__only=H(cells=[0, 5, 0]))
        bench.write("0002", h=H(cells=[0, 4, 0]), x__y__only=H(cells=[0, 7, 0]), late=H(cells=[0, 9, 0]))
        for part in order:
            bench.add(part)
        bench.finish()
        found.add(measure(bench.target.path))

    assert len(found) == 1
    assert [bench.cells(name) for name in ("h", "x/y/only", "late")] == [[0, 7, 0], [0, 12, 0], [0, 9, 0]]


def test_errors_that_some_parts_do_not_keep(tmp_path: Path) -> None:
    """As in ROOT, the content stands for them; the result keeps errors."""
    bench = Bench(tmp_path, count=3)
    bench.write("0000", h=H(cells=[0, 3, 4, 0], sumw2=False))
    bench.write("0001", h=H(cells=[0, 0.5, 0.25, 0]))
    bench.write("0002", h=H(cells=[0, 1, 2, 0], sumw2=False))
    for part in ("0002", "0001", "0000"):
        bench.add(part)
    bench.finish()

    with uproot.open(bench.target.path) as file:
        assert file["h"].values().tolist() == [4.5, 6.25]
        assert file["h"].variances().tolist() == [4.5, 6.25]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none(tmp_path: Path, value: float) -> None:
    """Refused by name, or kept if the user says so."""
    cells = H(cells=[0, 1, value, 0], entries=3)
    strict = Bench(tmp_path, count=1)
    strict.write("0000", h=cells)
    with pytest.raises(NotAdditiveError, match=r"part 0000: 'h' holds (nan|inf) in its"):
        strict.add("0000")

    relaxed = Bench(tmp_path, count=1, non_finite="keep")
    relaxed.add("0000")
    relaxed.finish()
    assert str(relaxed.cells("h")) == str([0.0, 1.0, value, 0.0])


@pytest.mark.parametrize(
    ("dtype", "cells", "clipped"),
    [
        (">i1", [0, 100, 0], 127.0),
        (">i2", [0, 30_000, 0], 32_767.0),
        (">i4", [0, 2_000_000_000, 0], 2_147_483_647.0),
        (">f4", [0, 16_777_215, 0], 33_554_430.0),
    ],
)
def test_counters_that_are_full(tmp_path: Path, dtype: str, cells: list[float], clipped: float) -> None:
    """A sum that its type cannot hold is refused, or rounded if the user says so; float32 can hold some."""
    for policy, error in (("refuse", True), ("round", False)):
        bench = Bench(tmp_path, count=2, saturation=policy)
        for part in bench.target.parts:
            bench.write(part, h=H(cells=cells, dtype=dtype, sumw2=False))
            bench.add(part)
        if error and dtype != ">f4":
            with pytest.raises(NotAdditiveError, match="cannot hold the sum"):
                bench.finish()
        else:
            bench.finish()
            assert bench.cells("h")[1] == clipped


def test_a_th1f_that_stopped_counting(tmp_path: Path) -> None:
    """At 2^24 a TH1F does not count by ones any more: fills may be lost in the part already."""
    bench = Bench(tmp_path, count=1)
    bench.write("0000", h=H(cells=[0, 2.0**24, 0], dtype=">f4", sumw2=False))

    with pytest.raises(NotAdditiveError, match="largest number that it can count to"):
        bench.add("0000")


def test_a_restart_goes_on_from_the_checkpoint(bench: Bench) -> None:
    """The same bytes as without; a damaged checkpoint, or one of other files, counts as none."""
    for part in bench.target.parts:
        bench.add(part)
    bench.finish()
    whole = measure(bench.target.path)

    half = bench.engine.begin(bench.target)
    for part in bench.target.parts[:2]:
        bench.add(part, half)
    half.save()
    files = {part: measure(bench.path(part))[1] for part in bench.target.parts}
    again = Strict(bench.policies).resume(bench.target, files)
    assert again is not None
    assert sorted(again.parts) == ["0000", "0001"]
    for part in bench.target.parts[2:]:
        bench.add(part, again)
    again.finish()
    assert measure(bench.target.path) == whole

    assert bench.engine.resume(bench.target, {**files, "0001": "another"}) is None
    assert Strict({"sums": "plain"}).resume(bench.target, files) is None
    raw = half.checkpoint.read_bytes()
    for damaged in (raw[:-1], raw[:100], b"", raw[:40] + b"x" + raw[41:]):
        half.checkpoint.write_bytes(damaged)
        assert bench.engine.resume(bench.target, files) is None


def test_every_cut_of_a_file_is_damage(tmp_path: Path) -> None:
    """Wherever the job died, the file is refused, and never with a traceback of Python's."""
    bench = Bench(tmp_path, count=1)
    bench.write("0000", h=H(cells=[0, 1, 2, 0]))
    raw = bench.path("0000").read_bytes()

    for length in range(0, len(raw), 7):
        bench.path("0000").write_bytes(raw[:length])
        with pytest.raises(OutputDamagedError):
            bench.add("0000")


def test_every_changed_byte_is_damage_or_nothing(tmp_path: Path) -> None:
    """A byte that matters is found by a check, or shows in the content; none ends in a traceback of Python's."""
    bench = Bench(tmp_path, count=1)
    bench.write("0000", h=H(cells=[0, 1, 2, 0]))
    raw = bench.path("0000").read_bytes()

    refused = 0
    for place in range(0, len(raw), 11):
        bench.path("0000").write_bytes(raw[:place] + bytes([raw[place] ^ 0xFF]) + raw[place + 1 :])
        try:
            Strict({}).read(bench.path("0000"), name="x")
        except SeptumError:
            refused += 1
    assert refused > 50


def test_a_fault_of_our_own_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read back by uproot and by a fresh reader before it gets its name."""
    original = codecs.pack
    monkeypatch.setattr(codecs, "pack", lambda data, setting: original(data[:-1] + b"\x01", setting))
    for part in bench.target.parts:
        bench.add(part)

    with pytest.raises(SeptumError):
        bench.finish()
    assert not bench.target.path.exists()


def test_whether_a_part_is_in_is_answered_without_a_walk_over_all(bench: Bench) -> None:
    """It is asked once a part: what walks over all parts then costs their number squared."""
    for part in ("0000", "0002"):
        bench.write(part, h=H(cells=[0, 1, 2, 0]))
        bench.add(part)
    walks = []

    class Counting(dict[str, tuple[int, str]]):
        def __iter__(self) -> Iterator[str]:
            walks.append("iter")
            return super().__iter__()

        def items(self) -> Any:
            walks.append("items")
            return super().items()

    sums = bench.merging._sums
    sums.parts = Counting(sums.parts)

    assert ["0000" in bench.merging.parts, "0001" in bench.merging.parts] == [True, False]
    assert walks == []
    assert sorted(bench.merging.parts) == ["0000", "0002"]
    assert bench.merging.parts["0000"] == bench.merging.parts["0002"] != ""
