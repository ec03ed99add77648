"""The merger: an explicit list, an engine for each output, and none is believed until its file has been read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from septum.errors import (
    EngineMissingError,
    MergeFailedError,
    NotAdditiveError,
    NotConservedError,
    OutputDamagedError,
    SeptumError,
    StructureError,
    UnexpectedFileError,
)
from septum.ledger import StoredOutput
from septum.merge.choice import choose
from septum.merge.engine import Engine
from septum.merge.ranges import ranges
from septum.merge.results import Merger, Result
from septum.merge.rootfile import summarize
from septum.plan import Plan
from septum.verify import measure
from septum.worker.sandbox import output_name
from tests.fakes.analyses import BASE, plan_of, seeds
from tests.fakes.rootfiles import Adder, H, read_cells, write_root

_WRITTEN: dict[str, bytes] = {}


def _write(path: Path, name: str, histogram: H) -> None:
    """Write a file with one histogram; one like it is written once only, as uproot takes its time."""
    key = f"{name} {histogram}"
    if key not in _WRITTEN:
        _WRITTEN[key] = write_root(path, {name: histogram}).read_bytes()
    path.write_bytes(_WRITTEN[key])


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
        _write(path, name, histogram or H(cells=[1, int(part), 2, 0]))
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


def test_the_first_to_arrive_is_no_root_file(tmp_path: Path) -> None:
    """It decides which engine merges, and is named as any other would be."""
    rig = Mixed(tmp_path, seeds(2))
    page = tmp_path / "page.root"
    page.write_text("<html>503 Service Unavailable</html>")
    with pytest.raises(OutputDamagedError) as caught:
        rig.merger.read(rig.plan.by_id["0001"], 0, page)

    assert caught.value.what.startswith("part 0001")
    assert "h.root" in caught.value.what


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

    assert [part for stretch in stretches for part in stretch] == parts
    assert max(len(stretch) for stretch in stretches) <= max(40, count**0.5)


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


def test_an_odd_part_stops_ranges(tmp_path: Path) -> None:
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


# ── an engine for each output ───────────────────────────────────────────────────────────────────────────────────


class Mixed:
    """A plan whose outputs have an engine each, as `choose` would give them; its outputs on disk, and a merger.

    Attributes:
        chosen: For which output an engine was asked, with the file that it was asked about.
        reads: Every file that the strict engine has read.
    """

    def __init__(self, folder: Path, text: str, engines: Mapping[str, Engine] | None = None) -> None:
        self.plan = plan_of(text, folder)
        self.outputs, self.scratch = folder / "outputs", folder / "merge"
        self.outputs.mkdir(exist_ok=True)
        self._engines = engines or {}
        self.chosen: list[tuple[str, str]] = []
        self.stored: dict[tuple[str, int], StoredOutput] = {}
        self.merger = self.start()

    def start(self) -> Merger:
        """A merger as after a restart: it knows nothing."""
        return Merger(self.plan, self._choose, outputs=self.outputs, scratch=self.scratch)

    def _choose(self, path: Path, name: str) -> Engine:
        output = name.rpartition(": ")[2]
        self.chosen.append((output, path.name))
        if output in self._engines:
            return self._engines[output]
        return choose(path, name=name, environ={}, policies=dict(self.plan.policies))

    def write(self, part: str, *contents: H | str) -> None:
        """The outputs of a part, as they were fetched and verified."""
        for number, content in enumerate(contents):
            path = self.outputs / output_name(part, number)
            if isinstance(content, str):
                path.write_text(content)
            else:
                _write(path, "h", content)
            size_b, sha256 = measure(path)
            self.stored[part, number] = StoredOutput(
                part=part, output=number, path=path.name, size_b=size_b, sha256=sha256
            )

    def take_in(self, part: str) -> None:
        """Read and add the outputs of a part."""
        stored = [item for (owner, _), item in self.stored.items() if owner == part]
        found = {
            item.output: self.merger.read(self.plan.by_id[part], item.output, self.outputs / item.path)
            for item in stored
        }
        self.merger.add(part, stored, {number: reading for number, reading in found.items() if reading is not None})


FIVE = (
    "command: [run]\noutputs: [h.root, t.root, rows.csv, log.txt, other.root]\n"
    "parts: {list: [{s: a}, {s: b}, {s: c}]}\n"
)


def test_every_output_has_its_engine(tmp_path: Path) -> None:
    """One merges strictly, one by whole files as hadd does, one in another format; others are not merged at all."""
    adder = Adder()
    rig = Mixed(tmp_path, FIVE + "merge: {h.root: h.root, t.root: t.root, rows.csv: rows.csv}\n", {"t.root": adder})
    for number, part in enumerate(("0000", "0001", "0002")):
        one = H(cells=[0, number, 1, 0])
        rig.write(part, one, one, f"x,y\n{number},{number}\n", "words", one)
    for part in ("0002", "0000", "0001"):
        rig.take_in(part)
    strict, added, rows = rig.merger.finish()

    assert rig.chosen == [
        (name, output_name("0002", number)) for number, name in enumerate(["h.root", "t.root", "rows.csv"])
    ]
    assert [result.engine.partition(" ")[0] for result in (strict, added, rows)] == ["strict", "adder", "CSV"]
    assert read_cells(strict.path, "h") == read_cells(added.path, "h") == [0, 3, 3, 0]
    assert rows.path.read_text() == "x,y\n0,0\n1,1\n2,2\n"
    assert adder.calls == [[output_name(part, 1) for part in ("0000", "0001", "0002")]]
    assert len({result.path for result in (strict, added, rows)}) == 3
    assert [bool(result.stamp) for result in (strict, added, rows)] == [True, True, False]
    assert sorted(rig.merger.contents) == [(part, number) for part in ("0000", "0001", "0002") for number in range(3)]
    assert rig.merger.contents["0000", 0] != rig.merger.contents["0001", 0]
    assert all((result.size_b, result.sha256) == measure(result.path) for result in (strict, added, rows))


def test_what_is_not_merged_is_read_only_if_it_is_a_root_file(tmp_path: Path) -> None:
    """Of a log nothing is read; a ROOT file must be whole, whatever its classes are; no engine is asked for."""
    rig = Mixed(tmp_path, FIVE + "merge: {}\n")
    rig.write("0000", H(cells=[0, 1, 0]), H(cells=[0, 1, 0]), "x\n", "words", H(cells=[0, 1, 0]))
    part = rig.plan.by_id["0000"]
    readings = [rig.merger.read(part, number, rig.outputs / output_name("0000", number)) for number in range(5)]

    assert [reading is None for reading in readings] == [False, False, True, True, False]
    assert rig.chosen == []
    (rig.outputs / output_name("0000", 4)).write_text("<html>")
    with pytest.raises(OutputDamagedError, match=r"part 0000 \(s=a\): other.root"):
        rig.merger.read(part, 4, rig.outputs / output_name("0000", 4))


def test_two_results_of_one_output_by_the_strict_engine(tmp_path: Path) -> None:
    """Each with its own sum and its own stamp; the parts are read once, by one engine."""
    text = BASE + 'parts: {product: {s: [a, b], n: [1, 2]}}\nmerge: {all.root: h.root, "{s}.root": h.root}\n'
    rig = Mixed(tmp_path, text)
    for part in rig.plan.parts:
        rig.write(part.id, H(cells=[0, 10**part.index, 1, 0]))
        rig.take_in(part.id)
    results = rig.merger.finish()

    assert [(result.name, result.parts) for result in results] == [
        ("all.root", ("0000", "0001", "0002", "0003")), ("a.root", ("0000", "0001")), ("b.root", ("0002", "0003")),
    ]  # fmt: skip
    assert [read_cells(result.path, "h")[1] for result in results] == [1111, 11, 1100]
    assert len({result.stamp for result in results}) == 3
    assert len(rig.chosen) == 1


def test_a_lost_part_is_missing_from_just_its_results(tmp_path: Path) -> None:
    """Of two results of one output and two engines, those that it belongs to."""
    text = BASE + 'parts: {product: {s: [a, b], n: [1, 2]}}\nmerge: {all.root: h.root, "{s}.root": h.root}\n'
    for folder, engine in ((tmp_path / "strict", {}), (tmp_path / "adder", {"h.root": Adder()})):
        folder.mkdir()
        rig = Mixed(folder, text, engine)
        rig.merger.fail("0002")
        for part in ("0003", "0001", "0000"):
            rig.write(part, H(cells=[0, 1, 1, 0]))
            rig.take_in(part)
        results = rig.merger.finish()

        assert [result.missing for result in results] == [("0002",), (), ("0002",)]
        assert [read_cells(result.path, "h")[1] for result in results] == [3, 2, 1]


def test_an_output_that_nothing_here_merges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree without hadd: told at the first part, and not after the last; histograms need none."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    rig = Mixed(tmp_path, seeds(1))
    rig.write("0000", H(cells=[0, 1, 0]))
    rig.take_in("0000")
    write_root(rig.outputs / output_name("0000", 0), {"h": H(cells=[0, 1, 0])}, trees={"t": 3})
    rig.merger = rig.start()

    with pytest.raises(EngineMissingError, match="no hadd was found") as caught:
        rig.take_in("0000")
    assert "septum[root]" in caught.value.fix


def test_an_engine_of_one_output_that_cheats_costs_all(tmp_path: Path) -> None:
    """There is no half of a run's results."""
    text = "command: [run]\noutputs: [h.root, t.root]\nparts: {list: [{s: a}, {s: b}]}\n"
    rig = Mixed(tmp_path, text + "merge: {h.root: h.root, t.root: t.root}\n", {"t.root": Adder(forget=0)})
    for part in ("0000", "0001"):
        rig.write(part, H(cells=[0, 1, 0]), H(cells=[0, 1, 0]))
        rig.take_in(part)

    with pytest.raises(NotConservedError, match=r"t\.root"):
        rig.merger.finish()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_does_not_add_up_is_the_part_s(tmp_path: Path, value: float) -> None:
    """NaN is refused where it arrives, with part, object and policy; with the policy it goes through."""
    rig = Mixed(tmp_path, seeds(2))
    rig.write("0001", H(cells=[0, value, 1, 0], entries=2))

    with pytest.raises(NotAdditiveError, match=r"part 0001 \(seed=1\): h.root: 'h' holds") as caught:
        rig.take_in("0001")
    assert "policies: {non-finite: keep}" in caught.value.fix
    (tmp_path / "kept").mkdir()
    kept = Mixed(tmp_path / "kept", seeds(2, more="policies: {non-finite: keep}\n"))
    for part, cell in (("0000", 1.0), ("0001", value)):
        kept.write(part, H(cells=[0, cell, 1, 0], entries=2))
        kept.take_in(part)
    (result,) = kept.merger.finish()
    assert not math.isfinite(read_cells(result.path, "h")[1])
    assert read_cells(result.path, "h")[2] == 2


# ── again ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _half_done(folder: Path, text: str, count: int) -> Mixed:
    """A run of which so many parts are in, in an order that is not the plan's, and that is killed then."""
    rig = Mixed(folder, text)
    for part in rig.plan.parts:
        rig.write(part.id, H(cells=[0, 0.1 * part.index, 1, 0]))
    order = [*rig.plan.parts[1::2], *rig.plan.parts[::2]]
    for part in order[:count]:
        rig.take_in(part.id)
        rig.merger.merge_ready()
    return rig


def _rest(rig: Mixed) -> tuple[set[tuple[str, int]], list[Result]]:
    """Go on with a new merger, as collect does; gives what it did not want to read again, and the results."""
    rig.merger = rig.start()
    held = rig.merger.resume(list(rig.stored.values()))
    for part in rig.plan.parts:
        if (part.id, 0) not in held:
            rig.take_in(part.id)
        else:
            rig.merger.add(part.id, [rig.stored[part.id, 0]], {})
    return held, rig.merger.finish()


def test_a_merge_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Nothing is read twice, and the file is the same to the last byte as that of a merge in one go."""
    rig = _half_done(tmp_path, seeds(50), 45)
    contents = dict(rig.merger.contents)
    held, (result,) = _rest(rig)
    (tmp_path / "once").mkdir()
    whole = _half_done(tmp_path / "once", seeds(50), 50)
    (expected,) = whole.merger.finish()

    assert len(held) == 40
    assert {key: digest for key, digest in rig.merger.contents.items() if key in contents} == contents
    assert rig.merger.contents == whole.merger.contents
    assert result.path.read_bytes() == expected.path.read_bytes()
    assert result.parts == tuple(part.id for part in rig.plan.parts)
    assert result.stamp == expected.stamp


def test_a_few_parts_leave_no_checkpoint(tmp_path: Path) -> None:
    """To read them again takes no longer."""
    rig = _half_done(tmp_path, seeds(50), 19)
    held, (result,) = _rest(rig)

    assert held == set()
    assert len(result.parts) == 50


@pytest.mark.parametrize("how", ["cut", "empty", "other bytes", "a folder"])
def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path, how: str) -> None:
    """The parts are there, and are read again."""
    rig = _half_done(tmp_path, seeds(50), 45)
    (path,) = rig.scratch.glob("*.sums")
    data = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    else:
        path.write_bytes({"cut": data[:-1], "empty": b"", "other bytes": data[:99] + b"!" + data[100:]}[how])
    held, (result,) = _rest(rig)

    assert held == set()
    assert read_cells(result.path, "h")[2] == 50


def test_a_checkpoint_of_other_files_counts_as_none(tmp_path: Path) -> None:
    """That of another run of this plan has the same parts by name, and other bytes in them."""
    rig = _half_done(tmp_path, seeds(50), 45)
    rig.write("0001", H(cells=[0, 7, 1, 0]))
    held, (result,) = _rest(rig)

    assert held == set()
    assert read_cells(result.path, "h")[1] == pytest.approx(0.1 * sum(range(50)) - 0.1 + 7)


def test_a_checkpoint_with_a_part_that_is_not_stored_counts_as_none(tmp_path: Path) -> None:
    """A part that the ledger does not know of must not be in the result."""
    rig = _half_done(tmp_path, seeds(50), 45)
    del rig.stored["0001", 0]
    (rig.outputs / output_name("0001", 0)).unlink()
    rig.merger = rig.start()

    assert rig.merger.resume(list(rig.stored.values())) == set()


def test_a_checkpoint_under_other_policies_counts_as_none(tmp_path: Path) -> None:
    """What was allowed then may not be now."""
    rig = _half_done(tmp_path, seeds(50), 45)
    rig.plan = plan_of(seeds(50, more="policies: {saturation: round}\n"), tmp_path, leave_out=["outputs", "merge"])

    assert _rest(rig)[0] == set()


def test_two_results_of_one_output_go_on(tmp_path: Path) -> None:
    """A part is read again while one of its results does not have it, and is in each once all the same."""
    text = (
        BASE + 'parts: {product: {s: [a, b], n: {first: 1, last: 25}}}\nmerge: {all.root: h.root, "{s}.root": h.root}\n'
    )
    rig = _half_done(tmp_path, text, 50)
    assert sorted(path.name for path in rig.scratch.glob("*.sums")) == ["0.sums", "1.sums", "2.sums"]
    (rig.scratch / "1.sums").unlink()
    held, results = _rest(rig)

    assert {int(part) // 25 for part, _ in held} == {1}
    assert [read_cells(result.path, "h")[2] for result in results] == [50, 25, 25]
    assert [len(result.parts) for result in results] == [50, 25, 25]


def test_sums_in_the_order_of_the_plan_leave_no_checkpoint(tmp_path: Path) -> None:
    """`sums: plain` adds one part after the other; it begins anew, and gives the same."""
    rig = _half_done(tmp_path, seeds(50, more="policies: {sums: plain}\n"), 45)
    held, (result,) = _rest(rig)
    total = 0.0
    for number in range(50):
        total += 0.1 * number

    assert held == set()
    assert read_cells(result.path, "h")[1] == total


def test_an_output_of_another_engine_has_no_checkpoint(tmp_path: Path) -> None:
    """Nothing is taken up, and nothing of the strict engine is made of it."""
    adder = Adder()
    rig = Mixed(tmp_path, seeds(3), {"h.root": adder})
    for part in rig.plan.parts:
        rig.write(part.id, H(cells=[0, 1, 1, 0]))
    held, (result,) = _rest(rig)

    assert held == set()
    assert result.engine == adder.name


def test_ranges_that_were_merged_before_a_kill_are_taken_over(tmp_path: Path) -> None:
    """The next merger merges only what is left, and not a range whose file or parts are others."""
    rig = Rig(tmp_path, seeds(63))
    rig.deliver_all()
    rig.merger.merge_ready()
    assert len(rig.engine.calls) == 4
    (rig.scratch / "0.1.root").write_bytes((rig.scratch / "0.0.root").read_bytes())
    stored = [rig.outputs / output_name(part.id, 0) for part in rig.plan.parts]

    second = Adder()
    merger = Merger(rig.plan, lambda _path, _name: second, outputs=rig.outputs, scratch=rig.scratch)
    for part, path in zip(rig.plan.parts, stored, strict=True):
        size_b, sha256 = measure(path)
        reading = merger.read(part, 0, path)
        assert reading is not None
        merger.add(
            part.id,
            [StoredOutput(part=part.id, output=0, path=path.name, size_b=size_b, sha256=sha256)],
            {0: reading},
        )
    (result,) = merger.finish()

    assert [names[0] for names in second.calls] == [output_name("0020", 0), "0.0.root"]
    assert read_cells(result.path, "h") == [63, sum(range(63)), 126, 0]
