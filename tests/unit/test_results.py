"""The merger: an explicit list, ranges, and an engine that is believed only when its file has been read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from septum.errors import MergeFailedError, NotConservedError, SeptumError, StructureError, UnexpectedFileError
from septum.ledger import StoredOutput
from septum.merge.ranges import ranges
from septum.merge.results import Merger, Result
from septum.merge.rootfile import summarize
from septum.plan import Plan
from septum.verify import measure
from septum.worker.sandbox import output_name
from tests.fakes.analyses import BASE, plan_of, seeds
from tests.fakes.rootfiles import Adder, H, read_cells, write_root


class Rig:
    """A plan, its outputs on disk, and a merger."""

    def __init__(self, folder: Path, text: str, engine: Adder | None = None) -> None:
        self.plan: Plan = plan_of(text, folder)
        self.engine = engine or Adder()
        self.outputs, self.scratch = folder / "outputs", folder / "merge"
        self.outputs.mkdir()
        self.merger = Merger(self.plan, lambda _path, _name: self.engine, outputs=self.outputs, scratch=self.scratch)

    def deliver(self, part: str, histogram: H | None = None, *, output: int = 0, name: str = "h") -> StoredOutput:
        """One output of a part: its number in the second bin by default."""
        path = self.outputs / output_name(part, output)
        write_root(path, {name: histogram or H(cells=[1, int(part), 2, 0])})
        size_b, sha256 = measure(path)
        stored = StoredOutput(part=part, output=output, path=path.name, size_b=size_b, sha256=sha256)
        reading = self.merger.read(self.plan.by_id[part], output, path)
        assert reading is not None
        self.merger.add(part, [stored], {output: reading})
        return stored

    def deliver_all(self) -> None:
        """All parts."""
        for part in self.plan.parts:
            self.deliver(part.id)

    def refused(self, error: type[SeptumError]) -> str:
        """The message of a merge that must not succeed."""
        with pytest.raises(error) as caught:
            self.merger.finish()

        assert caught.value.fix
        return str(caught.value)


def test_a_merge(tmp_path: Path) -> None:
    """All parts, in the order of the plan, whatever order they came in."""
    rig = Rig(tmp_path, seeds(5))
    for part in ("0003", "0000", "0004", "0002", "0001"):
        rig.deliver(part)
    (result,) = rig.merger.finish()

    assert rig.engine.calls == [[output_name(part.id, 0) for part in rig.plan.parts]]
    assert read_cells(result.path, "h") == [5, 10, 10, 0]
    assert (result.name, result.missing) == ("h.root", ())
    assert result.parts == tuple(part.id for part in rig.plan.parts)
    assert (result.size_b, result.sha256) == measure(result.path)
    assert result.objects == {"h": ("TH1D", 25.0)}


@pytest.mark.parametrize(
    ("engine", "error"),
    [
        (Adder(forget=2), NotConservedError),
        (Adder(twice=1), NotConservedError),
        (Adder(bump=1.0), NotConservedError),
        (Adder(bump=1e-3), NotConservedError),
        (Adder(drop="h"), SeptumError),
        (Adder(extra="g"), NotConservedError),
        (Adder(lose_sumw2=True), NotConservedError),
        (Adder(write_nothing=True), MergeFailedError),
        (Adder(fail_with="disk full"), MergeFailedError),
    ],
    ids=[
        "forgets",
        "doubles",
        "changes",
        "changes a little",
        "drops",
        "invents",
        "loses errors",
        "writes nothing",
        "fails",
    ],
)
@pytest.mark.parametrize("count", [5, 45])
def test_an_engine_that_cheats(tmp_path: Path, engine: Adder, error: type[SeptumError], count: int) -> None:
    """Whatever it does to one merge, in one step or in ranges, there is no result."""
    engine.calls.clear()
    rig = Rig(tmp_path, seeds(count), engine)
    rig.deliver_all()

    rig.refused(error)
    assert engine.calls


def test_ranges_are_merged_while_parts_arrive(tmp_path: Path) -> None:
    """In the same order whatever the order of arrival, and each part once."""
    rig = Rig(tmp_path, seeds(45))
    for part in reversed(rig.plan.parts[20:]):
        rig.deliver(part.id)
    early = rig.merger.merge_ready()
    again = rig.merger.merge_ready()
    for part in rig.plan.parts[:20]:
        rig.deliver(part.id)
    (result,) = rig.merger.finish()
    sources = [name for call in rig.engine.calls for name in call if name.startswith("septum-")]

    assert (early, again) == (2, 0)
    assert sorted(sources) == [output_name(part.id, 0) for part in rig.plan.parts]
    assert rig.engine.calls[-1] == ["0.0.root", "0.1.root", "0.2.root"]
    assert next(call for call in rig.engine.calls if len(call) == 20) == [
        output_name(f"{n:04d}", 0) for n in range(20, 40)
    ]
    assert read_cells(result.path, "h") == [45, 45 * 22, 90, 0]
    assert [path.name for path in rig.scratch.iterdir()] == ["0.root"]


@pytest.mark.parametrize("count", [1, 20, 40, 41, 61, 411, 5000])
def test_ranges_hold_every_part_once(count: int) -> None:
    """In order, and never so many that one call takes them all."""
    parts = [f"{number:04d}" for number in range(count)]
    stretches = ranges(parts)

    assert [part for stretch in ranges for part in stretch] == parts
    assert max(len(stretch) for stretch in ranges) <= max(40, count**0.5)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    """In a range that is empty, too; the sum is that of the others."""
    rig = Rig(tmp_path, seeds(45))
    for part in rig.plan.parts:
        if part.index in {0, 44} or 20 <= part.index < 40:
            rig.merger.fail(part.id)
        else:
            rig.deliver(part.id)
    rig.merger.merge_ready()
    (result,) = rig.merger.finish()

    assert result.missing == ("0000", *(f"{number:04d}" for number in range(20, 40)), "0044")
    assert len(result.parts) == 23
    assert set(result.parts) & set(result.missing) == set()
    assert read_cells(result.path, "h")[0] == 23


def test_a_result_of_nothing(tmp_path: Path) -> None:
    """Is no result."""
    rig = Rig(tmp_path, seeds(2))
    for part in rig.plan.parts:
        rig.merger.fail(part.id)

    assert "no part of h.root delivered" in rig.refused(MergeFailedError)


# ── structures ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("odd", "name"),
    [
        (H(cells=[0, 1, 2, 3, 0]), "h"),
        (H(cells=[0, 1, 2, 0], high=2), "h"),
        (H(cells=[0, 1, 2, 0], labels=["a", "b"]), "h"),
        (H(cells=[0, 1, 2, 0], dtype=">f4"), "h"),
        (H(cells=[0, 1, 2, 0]), "g"),
    ],
)
@pytest.mark.parametrize("position", [0, 2])
def test_a_part_with_another_structure(tmp_path: Path, odd: H, name: str, position: int) -> None:
    """The odd one is named, though it came first; nothing is merged."""
    rig = Rig(tmp_path, seeds(4))
    for part in rig.plan.parts:
        rig.deliver(part.id, *((odd,) if part.index == position else ()), name=name if part.index == position else "h")
    shown = rig.refused(StructureError)

    assert f"part {position:04d} (seed={position})" in shown
    assert "3 parts such as" in shown
    assert rig.engine.calls == []


def test_an_odd_part_stopsranges(tmp_path: Path) -> None:
    """Nothing more is merged once two structures are known."""
    rig = Rig(tmp_path, seeds(45))
    rig.deliver("0044", H(cells=[0] * 9))
    for part in rig.plan.parts[:44]:
        rig.deliver(part.id)

    assert rig.merger.merge_ready() == 0
    rig.refused(StructureError)


def test_groups_may_differ(tmp_path: Path) -> None:
    """Simulation has histograms that data has not: each result has its own structure, and its own sum."""
    rig = Rig(tmp_path, BASE + 'parts: {product: {s: [mc, data], n: [1, 2]}}\nmerge: {"{s}.root": h.root}\n')
    for part in rig.plan.parts:
        rig.deliver(part.id, name="h" if part.index < 2 else "g")
    mc, data = rig.merger.finish()

    assert (mc.name, list(mc.objects), mc.parts) == ("mc.root", ["h"], ("0000", "0001"))
    assert (data.name, list(data.objects), data.parts) == ("data.root", ["g"], ("0002", "0003"))


def test_an_odd_part_in_one_group(tmp_path: Path) -> None:
    """The result that it is in is named, and no result at all is given."""
    rig = Rig(tmp_path, BASE + 'parts: {product: {s: [mc, data], n: [1, 2, 3]}}\nmerge: {"{s}.root": h.root}\n')
    for part in rig.plan.parts:
        rig.deliver(part.id, name="g" if part.index == 4 else "h")

    assert "data.root" in rig.refused(StructureError)


def test_two_results_of_one_output(tmp_path: Path) -> None:
    """A part may be in several results, in each once."""
    rig = Rig(tmp_path, BASE + 'parts: {product: {s: [a, b]}}\nmerge: {all.root: h.root, "{s}.root": h.root}\n')
    rig.deliver_all()
    results: list[Result] = rig.merger.finish()

    assert [(result.name, result.parts) for result in results] == [
        ("all.root", ("0000", "0001")), ("a.root", ("0000",)), ("b.root", ("0001",)),
    ]  # fmt: skip


# ── the folder ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["septum-0009.out0", "septum-0001.out1", "x.root", ".hidden"])
def test_one_file_too_many(tmp_path: Path, name: str) -> None:
    """Nobody knows whose it is."""
    rig = Rig(tmp_path, seeds(2))
    rig.deliver_all()
    (rig.outputs / name).write_bytes((rig.outputs / output_name("0000", 0)).read_bytes())

    assert name in rig.refused(UnexpectedFileError)
    assert rig.engine.calls == []


def test_one_file_too_few(tmp_path: Path) -> None:
    """The part is named."""
    rig = Rig(tmp_path, seeds(2))
    rig.deliver_all()
    (rig.outputs / output_name("0001", 0)).unlink()

    assert "part 0001" in rig.refused(UnexpectedFileError)


@pytest.mark.parametrize("count", [3, 45])
def test_an_output_that_was_changed_after_it_had_been_verified(tmp_path: Path, count: int) -> None:
    """Though it is a good file, and even of the same size."""
    rig = Rig(tmp_path, seeds(count))
    rig.deliver_all()
    write_root(rig.outputs / output_name("0001", 0), {"h": H(cells=[1, 9, 2, 0])})

    assert "part 0001 was changed" in rig.refused(UnexpectedFileError)


def test_one_file_for_two_parts(tmp_path: Path) -> None:
    """The same output under two names is two files; the same name for two parts is noticed by the sum."""
    rig = Rig(tmp_path, seeds(2))
    first = rig.deliver("0000")
    summary = summarize(rig.outputs / first.path, name="x")
    write_root(rig.outputs / output_name("0001", 0), {"h": H(cells=[5, 5, 5, 5])})
    size_b, sha256 = measure(rig.outputs / output_name("0001", 0))
    stored = StoredOutput(part="0001", output=0, path=output_name("0001", 0), size_b=size_b, sha256=sha256)
    rig.merger.add("0001", [stored], {0: summary})

    rig.refused(NotConservedError)


def test_a_partial_merge_that_was_changed(tmp_path: Path) -> None:
    """What was merged early is checked with the whole."""
    rig = Rig(tmp_path, seeds(45))
    rig.deliver_all()
    rig.merger.merge_ready()
    write_root(rig.scratch / "0.1.root", {"h": H(cells=[0, 0, 0, 0])})

    rig.refused(NotConservedError)


def test_leftovers_of_a_killed_merge(tmp_path: Path) -> None:
    """A temporary file of an earlier septum is no result and is in nobody's way."""
    rig = Rig(tmp_path, seeds(2))
    rig.scratch.mkdir()
    for name in ("new.0.root", "0.root", "0.0.root"):
        (rig.scratch / name).write_text("half")
    rig.deliver_all()
    (result,) = rig.merger.finish()

    assert read_cells(result.path, "h") == [2, 1, 4, 0]
