"""The strict engine's result: the exact sum, rounded once, in the same bytes for every way there is to get to it."""

from __future__ import annotations

import math
import os
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import uproot

from septum.errors import NotConservedError, SeptumError
from septum.merge.strict import codecs
from septum.merge.strict.exact import ExactSum
from septum.merge.strict.merging import Strict
from septum.merge.strict.plain import PlainSum
from septum.merge.strict.shape import Shape
from septum.merge.strict.writer import write as write_merged
from tests.fakes.rootfiles import H
from tests.unit.strict_files import Rig, members, merge, sha256, write

_PARTS = 7
Array = npt.NDArray[np.float64]


def _cells(draw: random.Random, count: int, *, spread: int) -> list[float]:
    return [draw.gauss(0, 1) * 10.0 ** draw.randint(-spread, spread) for _ in range(count)]


def _objects(number: int) -> dict[str, H]:
    """Three types in three folders; of the same structure whatever the number is."""
    draw = random.Random(number)
    return {
        "h": H(cells=_cells(draw, 12, spread=20), entries=draw.random() * 1e3),
        "cut/f": H(cells=[float(np.float32(value)) for value in _cells(draw, 8, spread=2)], dtype=">f4"),
        "cut/deep/er/i": H(cells=[draw.randint(-999, 999) for _ in range(6)], dtype=">i4", sumw2=False),
    }


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Parts of one structure."""
    folder = tmp_path_factory.mktemp("alike")
    return [write(folder / f"{number}.root", _objects(number)) for number in range(_PARTS)]


@pytest.fixture(scope="module")
def unlike(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Parts that differ in all that may differ with a union: order, compression, errors, objects, folders."""
    folder = tmp_path_factory.mktemp("unlike")
    settings = [uproot.ZLIB(1), uproot.LZ4(4), None, uproot.ZSTD(5), uproot.LZMA(1), uproot.ZLIB(9), uproot.LZ4(9)]
    made = []
    for number in range(_PARTS):
        objects = _objects(number)
        if number % 2:
            objects = dict(reversed(objects.items()))
        plain = {name: H(cells=[1.5, -2.0, number, 0.25], sumw2=number in {2, 5}) for name in ("s", "cut/s")}
        objects |= plain if number != 3 else {}
        objects |= {f"only/{number % 3}/o": H(cells=[1, 2, number])} if number else {}
        if number == 4:
            del objects["cut/f"]
        made.append(write(folder / f"{number}.root", objects, compression=settings[number]))
    return made


def _orders(seed: int) -> list[list[int]]:
    draw = random.Random(seed)
    found = [list(range(_PARTS)), list(reversed(range(_PARTS)))]
    return found + [draw.sample(range(_PARTS), _PARTS) for _ in range(4)]


# ── the numbers ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_exact_sum_rounded_once(alike: list[Path], tmp_path: Path) -> None:
    """Every cell, error and statistic, held against whole numbers of any size, by what uproot reads."""
    merge(tmp_path / "m.root", alike)

    for name in _objects(0):
        parts, merged = [members(path, name) for path in alike], members(tmp_path / "m.root", name)
        for key in ("cells", "errors"):
            for cell, found in enumerate(merged[key]):
                exact = sum(Fraction(float(part[key][cell])) for part in parts)
                rounded = np.float32(float(exact)) if key == "cells" and name == "cut/f" else float(exact)
                assert found == rounded, (name, key, cell)
        for key in ("fEntries", "fTsumw", "fTsumw2"):
            assert merged[key] == math.fsum(part[key] for part in parts)


def test_errors_of_parts_that_keep_none(tmp_path: Path) -> None:
    """As in ROOT, the content of each such part is the square of its error, whatever its sign."""
    cells = [[1.0, -2.0, 3.0, 0.0], [0.5, 5.0, -4.0, 0.0], [2.0, 0.0, 1.0, 7.0]]
    paths = [
        write(tmp_path / f"{n}.root", {"h": H(cells=row, sumw2=n == 2)}) for n, row in enumerate(cells)
    ]  # fmt: skip

    results = {sha256(Rig(tmp_path / "s", paths).merge(order)) for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0])}

    assert len(results) == 1
    found = members(tmp_path / "s" / "0.root", "h")
    assert found["cells"].tolist() == [3.5, 3.0, 0.0, 7.0]
    # H writes the cells as the squares of errors, where it writes any.
    assert found["errors"].tolist() == [3.5, 7.0, 8.0, 7.0]


# ── the same bytes ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("parts", ["alike", "unlike"])
def test_every_order_gives_the_same_bytes(parts: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Of parts that differ in nothing, and in all that may differ."""
    rig = Rig(tmp_path, request.getfixturevalue(parts), {"missing-objects": "union"})

    assert len({sha256(rig.merge(order)) for order in _orders(1)}) == 1


def test_what_differs_follows_the_lowest_part(unlike: list[Path], tmp_path: Path) -> None:
    """Compression and order of keys are those of part 0; what it lacks stands behind."""
    target = Rig(tmp_path, unlike, {"missing-objects": "union"}).merge([3, 5, 1, 0, 6, 2, 4])

    with uproot.open(target) as file:
        assert file.file.fCompress == uproot.ZLIB(1).code
        assert [name for name, kind in file.classnames(cycle=False).items() if kind.startswith("TH")] == [
            *("h", "s", "cut/f", "cut/s", "cut/deep/er/i", "only/1/o", "only/2/o", "only/0/o"),
        ]
        assert file["cut/f"].member("fEntries") == math.fsum(
            members(path, "cut/f")["fEntries"] for number, path in enumerate(unlike) if number != 4
        )
        assert file["only/0/o"].values(flow=True).tolist() == [2.0, 4.0, 9.0]


@pytest.mark.parametrize("jobs", [2, 3])
def test_processes(alike: list[Path], tmp_path: Path, jobs: int) -> None:
    """As many as wanted read and add."""
    alone, many = tmp_path / "1" / "m.root", tmp_path / "2" / "m.root"
    alone.parent.mkdir()
    many.parent.mkdir()
    merge(alone, alike)
    merge(many, alike, jobs=jobs)

    assert sha256(many) == sha256(alone)


def test_processes_with_parts_that_differ(unlike: list[Path], tmp_path: Path) -> None:
    """Each process has other structures than the next."""
    alone, many = tmp_path / "1" / "m.root", tmp_path / "2" / "m.root"
    alone.parent.mkdir()
    many.parent.mkdir()
    merge(alone, unlike, missing_objects="union")
    merge(many, unlike, jobs=3, missing_objects="union")

    assert sha256(many) == sha256(alone)


@pytest.mark.parametrize("parts", ["alike", "unlike"])
def test_a_checkpoint_at_any_point(parts: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Written, read back by another process's engine, gone on from in another order."""
    paths = request.getfixturevalue(parts)
    policies = {"missing-objects": "union"}
    expected = sha256(Rig(tmp_path / "whole", paths, policies).merge())
    draw = random.Random(5)

    for cut in range(1, _PARTS + 1):
        order = draw.sample(range(_PARTS), _PARTS)
        first = Rig(tmp_path / str(cut), paths, policies)
        first.add(first.begin(), order[:cut]).save()
        second = Rig(tmp_path / str(cut), paths, policies)
        resumed = second.resume()
        assert resumed is not None
        assert set(resumed.parts) == {f"{number:04}" for number in order[:cut]}
        second.finish(second.add(resumed, order[cut:]))
        assert sha256(second.target.path) == expected, order


def test_a_checkpoint_after_each_part(unlike: list[Path], tmp_path: Path) -> None:
    """A run that is restarted all the time."""
    policies = {"missing-objects": "union"}
    expected = sha256(Rig(tmp_path / "whole", unlike, policies).merge())
    merging = Rig(tmp_path / "s", unlike, policies).begin()
    for number in (4, 0, 6, 2, 1, 5, 3):
        rig = Rig(tmp_path / "s", unlike, policies)
        merging = rig.resume() or rig.begin()
        rig.add(merging, [number]).save()

    merging.finish()

    assert sha256(tmp_path / "s" / "0.root") == expected


def test_more_structures_than_have_room(tmp_path: Path) -> None:
    """Each of thirty parts holds other objects: they are brought together on the way, and no order shows."""
    draw = random.Random(3)
    paths = []
    for number in range(30):
        names = [f"{'x/' * draw.randint(0, 2)}{name}" for name in draw.sample("abcdef", 3)] + ["common"]
        objects = {name: H(cells=[1, -number, 0.1], sumw2=draw.random() < 0.5) for name in names}
        paths.append(write(tmp_path / f"{number}.root", objects))
    rig = Rig(tmp_path / "s", paths, {"missing-objects": "union"})

    results = {sha256(rig.merge(draw.sample(range(30), 30))) for _ in range(4)}

    merging = rig.add(rig.begin(), range(30))
    assert len(results) == 1
    assert len(merging._sums.groups) < 12


def test_plain_sums_take_parts_in_their_order(alike: list[Path], tmp_path: Path) -> None:
    """However they arrive; parts that cannot be held in memory until their turn are read again."""
    rig = Rig(tmp_path / "s", alike * 3, {"sums": "plain"})

    results = {
        sha256(rig.merge(order)) for order in ([*range(21)], [*reversed(range(21))], [*range(10, 21), *range(10)])
    }

    assert len(results) == 1
    total = 0.0
    for path in alike * 3:
        total = total + members(path, "h")["cells"][3]
    assert members(tmp_path / "s" / "0.root", "h")["cells"][3] == total


def test_plain_sums_without_a_part(alike: list[Path], tmp_path: Path) -> None:
    """What fails is left out, and nobody waits for it."""
    rig = Rig(tmp_path / "s", alike, {"sums": "plain"})
    merging = rig.add(rig.begin(), [1, 2, 6, 5, 4])
    merging.fail("0000")
    merging.fail("0003")

    assert rig.finish(merging).parts == ("0001", "0002", "0004", "0005", "0006")


# ── mistakes of our own ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("cls", "sums"), [(ExactSum, "exact"), (PlainSum, "plain")], ids=["exact", "plain"]
)  # fmt: skip
@pytest.mark.parametrize("fault", ["lost", "twice", "shifted", "bit"])
def test_a_fault_in_the_sum_is_caught(
    alike: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cls: type[ExactSum | PlainSum],
    sums: str,
    fault: str,
) -> None:
    """A second sum, which shares no line with the first, contradicts it."""
    right = cls.add
    calls = []

    def wrong(self: Any, values: Array) -> None:
        calls.append(0)
        if len(calls) == 4 and fault == "lost":
            return
        if len(calls) == 4 and fault == "shifted":
            values = np.roll(values, 1)
        if len(calls) == 4 and fault == "bit":
            values = values.copy()
            values.view(np.uint64)[0] ^= np.uint64(1 << 48)
        right(self, values)
        if len(calls) == 4 and fault == "twice":
            right(self, values)

    monkeypatch.setattr(cls, "add", wrong)
    with pytest.raises(NotConservedError, match="two sums of the same parts") as caught:
        merge(tmp_path / "m.root", alike, sums=sums)
    assert caught.value.fix
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_fault_in_rounding_is_caught(alike: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same sum."""
    right = ExactSum.round
    monkeypatch.setattr(ExactSum, "round", lambda self: right(self) * (1 + 2.0**-40))

    with pytest.raises(NotConservedError, match="two sums of the same parts"):
        merge(tmp_path / "m.root", alike)


def test_a_fault_in_bringing_together_is_caught(
    unlike: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group whose sums go to the wrong cells, or nowhere."""
    monkeypatch.setattr(ExactSum, "put", lambda *_: None)

    with pytest.raises(NotConservedError):
        merge(tmp_path / "m.root", unlike, missing_objects="union")


@pytest.mark.parametrize("at", [0, 3, 40])
def test_a_fault_in_the_writer_is_caught(
    alike: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """A byte of an object that changes on its way into the file, whichever it is."""
    right = codecs.pack

    def wrong(data: bytes, setting: int) -> bytes:
        place = len(data) - 1 - at
        return right(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :], setting)

    monkeypatch.setattr(codecs, "pack", wrong)
    with pytest.raises(SeptumError, match=r"merge: m\.root"):
        merge(tmp_path / "m.root", alike)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_fault_of_both_readers_of_ours_is_seen_by_uproot(
    alike: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our reader finds what our writer wrote; uproot finds another number, and is believed."""
    right = Shape.numbers

    def wrong(self: Shape, payload: bytes) -> Array:
        found = right(self, payload)
        found[self.by_role["h", 0, "cells"].start + 2] += 1.0
        return found

    monkeypatch.setattr(Shape, "numbers", wrong)
    engine = Strict({})
    with pytest.raises(NotConservedError, match="do not read the same"):
        engine.read(alike[0], name="part 0")


def test_a_result_that_was_changed_on_the_disk(
    alike: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between writing and reading back."""
    right = write_merged

    def wrong(target: Path, *args: Any, **options: Any) -> None:
        right(target, *args, **options)
        with target.open("r+b") as stream:
            stream.seek(-600, os.SEEK_END)
            stream.write(b"\0" * 8)

    monkeypatch.setattr("septum.merge.strict.merging.write", wrong)
    with pytest.raises(SeptumError, match="merge:"):
        merge(tmp_path / "m.root", alike)
    assert [path.name for path in tmp_path.iterdir()] == []
