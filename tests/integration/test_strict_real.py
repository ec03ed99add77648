"""The strict engine on files that ROOT wrote: bit for bit what hadd gives where hadd is right, and readable by ROOT."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from septum.errors import EngineMissingError, NotAdditiveError, StructureError
from septum.merge.choice import choose
from septum.merge.files import merge_files
from septum.merge.hadd import Hadd, find_hadd
from septum.merge.strict import writer
from septum.merge.strict.accumulator import Accumulator
from septum.merge.strict.contents import Reader
from tests.integration.strict_root import CODECS, PARTS, Root, by_label, sum_by_label

_DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def hadd() -> Path:
    """ROOT's hadd."""
    try:
        return find_hadd(os.environ).program
    except EngineMissingError:
        pytest.skip("no hadd")


@pytest.fixture(scope="module")
def root(hadd: Path) -> Iterator[Root]:
    """A ROOT that writes and reads."""
    assert hadd
    process = Root()
    yield process
    process.stop()


class Sets:
    """Sets of parts, each written when it is first asked for, with what hadd makes of it."""

    def __init__(self, folder: Path, root: Root, hadd: Path) -> None:
        self._folder, self._root, self._hadd = folder, root, hadd

    def parts(self, name: str, below: str = "") -> list[Path]:
        """The files of a set."""
        folder = self._folder / name
        if not folder.is_dir():
            self._root.ask(do=name, folder=str(folder))
        return sorted((folder / below).glob("?.root"))

    def hadd(self, name: str, below: str = "") -> Path:
        """The same, merged by hadd."""
        parts = self.parts(name, below)
        target = parts[0].parent / "hadd.root"
        if not target.exists():
            command = [str(self._hadd), "-f", "-v", "0", str(target), *map(str, parts)]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        return target


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory, root: Root, hadd: Path) -> Sets:
    """All that ROOT writes for these tests."""
    return Sets(tmp_path_factory.mktemp("sets"), root, hadd)


def _merge(target: Path, sources: list[Path], policies: Mapping[str, str] | None = None) -> Path:
    merge_files(target, sources, wish="strict", policies=dict(policies or {}), environ={})
    return target


def _read(root: Root, path: Path, **options: Any) -> dict[str, Any]:
    """What ROOT sees, and that it has nothing to say about it."""
    root.words()
    found: dict[str, Any] = root.ask(do="read", path=str(path), **options)
    assert root.words() == ""
    return found


_LOST_BY_HADD = "cut/cells"


# ── as hadd ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_class_as_hadd_merges_it(sets: Sets, root: Root, tmp_path: Path) -> None:
    """Contents, errors, entries and statistics of all histograms and profiles, in all their bits."""
    ours = _read(root, _merge(tmp_path / "m.root", sets.parts("everything"), {"sums": "plain"}))
    theirs = _read(root, sets.hadd("everything"))

    assert len(ours) == 49
    assert sorted(ours) == sorted(theirs)
    for name, item in ours.items():
        for key in item:
            # Of bins that were set one by one, hadd writes the statistics, and we leave them to who reads.
            if not (name == _LOST_BY_HADD and key == "statistics"):
                assert item[key] == theirs[name][key], (name, key)
    # So that nothing of this was compared empty.
    kinds = {item["class"] for item in ours.values()}
    assert kinds >= {f"TH{d}{letter}" for d in "123" for letter in "CSILFD"} | {"TProfile", "TProfile2D", "TProfile3D"}
    assert all(float.fromhex(item["entries"]) for name, item in ours.items() if name != "cut/empty")


def test_bins_that_were_set_one_by_one(sets: Sets, root: Root, tmp_path: Path) -> None:
    """Without statistics in the parts there are none in the result, and ROOT takes those of the bins."""
    target = _merge(tmp_path / "m.root", sets.parts("everything"))

    with uproot.open(target) as file:
        assert file[_LOST_BY_HADD].member("fTsumw") == 0
    assert _read(root, target)[_LOST_BY_HADD]["mean"] == pytest.approx(
        _read(root, sets.hadd("everything"))[_LOST_BY_HADD]["mean"], rel=1e-12
    )


def test_fills_in_the_flow_bins_alone(sets: Sets, root: Root, tmp_path: Path) -> None:
    """A part without a fill in range has a sum of weights of zero by right: the statistics of the others stay."""
    parts = sets.parts("everything")
    ours = _read(root, _merge(tmp_path / "m.root", parts))["cut/flow"]

    assert ours["statistics"] == _read(root, sets.hadd("everything"))["cut/flow"]["statistics"]
    assert ours["mean"] == _read(root, parts[0])["cut/flow"]["mean"] != 0


def test_containers_of_histograms(sets: Sets, root: Root, tmp_path: Path) -> None:
    """Efficiencies, stacks and lists; an array of histograms, which hadd does not add, is added like a list."""
    parts = sets.parts("containers")
    ours = _read(root, _merge(tmp_path / "m.root", parts, {"sums": "plain"}))
    theirs = _read(root, sets.hadd("containers"))

    assert [ours[name][0] for name in "esla"] == ["TEfficiency", "TList", "TList", "TObjArray"]
    for name in "esl":
        assert ours[name] == theirs[name], name
    assert ours["a"][1:] == ours["l"][1:]


@pytest.mark.parametrize("codec", CODECS)
def test_every_compression(sets: Sets, root: Root, tmp_path: Path, codec: str) -> None:
    """Read, written as the parts are, and read by ROOT again."""
    target = _merge(tmp_path / "m.root", sets.parts("codecs", codec), {"sums": "plain"})

    assert _read(root, target) == _read(root, sets.hadd("codecs", codec))
    with uproot.open(target) as file:
        assert file.file.fCompress == CODECS[codec]


def test_compressions_that_are_mixed(sets: Sets, tmp_path: Path) -> None:
    """The result has that of the lowest part, and the same numbers."""
    one = _merge(tmp_path / "one.root", sets.parts("codecs", "zstd5"))
    parts = [sets.parts("codecs", codec)[number] for number, codec in enumerate(["zstd5", "none", "lzma"])]
    expected = one.read_bytes()

    assert _merge(one, parts).read_bytes() == expected


def test_objects_of_several_blocks(sets: Sets, root: Root, tmp_path: Path) -> None:
    """More than 16 MiB each."""
    parts = sets.parts("large")
    target = _merge(tmp_path / "m.root", parts, {"sums": "plain"})

    with uproot.open(target) as ours, uproot.open(sets.hadd("large")) as theirs:
        assert ours["large"].member("fNcells") == 2_200_002
        assert ours.key("large").fNbytes < ours.key("large").fObjlen
        assert np.array_equal(ours["large"].values(flow=True), theirs["large"].values(flow=True))
    assert float.fromhex(_read(root, target, cells=False)["large"]["entries"]) == 14


@pytest.mark.parametrize("big_from_b", [0, 150, 5_000, 20_000, 30_000])
def test_long_keys(sets: Sets, root: Root, tmp_path: Path, big_from_b: int) -> None:
    """As in files above 2 GB: from some place on, keys have longer numbers, and marks in objects count from there."""
    parts = [*sets.parts("everything")]
    sums = Accumulator({})
    reader = Reader({})
    for number, path in enumerate(parts):
        sums.add(str(number), number, reader.read(path, name="p"))
    merged = sums.finish(name="m")
    functions = [entry for entry in merged.shape.entries if entry.layout.blind]
    assert [entry.path for entry in functions] == ["cut/fitted"]

    writer.write(tmp_path / "small.root", _without(merged, "cut/fitted"), name="m", title="")
    writer.write(tmp_path / "big.root", _without(merged, "cut/fitted"), name="m", title="", big_from_b=big_from_b)

    version = int.from_bytes((tmp_path / "big.root").read_bytes()[4:8], "big")
    assert version > 1_000_000
    expected = _read(root, tmp_path / "small.root")
    assert _read(root, tmp_path / "big.root") == expected
    with uproot.open(tmp_path / "big.root") as file:
        assert np.array_equal(
            file["cut/labels"].values(), [float.fromhex(value) for value in expected["cut/labels"]["cells"][1:-1]]
        )
        assert list(file["cut/labels"].axis().labels()) == [f"label {number}" for number in range(1, 8)]
    # And what we have written so, we read: parts may be large themselves.
    again = Reader({}).read(tmp_path / "big.root", name="b")
    fitted = sum(slots.numbers.count for key, slots in merged.shape.by_role.items() if key[0] == "cut/fitted")
    assert again.shape.size == merged.shape.size - fitted


def _without(merged: Any, path: str) -> Any:
    """A merged result without one object."""
    from dataclasses import replace

    def pruned(folder: Any, above: str) -> Any:
        objects = tuple(key for key in folder.objects if above + key.name != path)
        return replace(
            folder, objects=objects, folders=tuple(pruned(below, f"{above}{below.name}/") for below in folder.folders)
        )

    return replace(merged, info=replace(merged.info, top=pruned(merged.info.top, "")))


def test_large_and_small_parts(sets: Sets, root: Root, tmp_path: Path) -> None:
    """One written with long keys, the others with short ones, and labels that count from there: the same result."""
    parts = sets.parts("marks")
    sums = Accumulator({})
    sums.add("0", 0, Reader({}).read(parts[0], name="p"))
    writer.write(tmp_path / "0.root", sums.finish(name="m"), name="m", title="", big_from_b=0)
    expected = _read(root, _merge(tmp_path / "n.root", parts))

    for order in ([tmp_path / "0.root", *parts[1:]], [*parts[1:], tmp_path / "0.root"]):
        assert _read(root, _merge(tmp_path / "m.root", order)) == expected


def test_marks_inside_of_objects(sets: Sets, root: Root, tmp_path: Path) -> None:
    """Room for the errors that only some parts keep moves what later histograms of a list refer to."""
    parts = sets.parts("marks")
    ours = _read(root, _merge(tmp_path / "m.root", parts))
    each = [_read(root, path) for path in parts]

    # hadd crashes on a list that holds one histogram twice.
    assert ours["list"][0] == "TList"
    for number, item in enumerate(ours["list"][1:]):
        for key in ("cells", "entries", "statistics"):
            theirs = [part["list"][1 + number][key] for part in each]
            if item["class"] == "TH1D":
                assert _floats(item[key]) == [math.fsum(values) for values in zip(*map(_floats, theirs), strict=True)]
        assert item["axes"][0] == each[0]["list"][1 + number]["axes"][0]
    assert [len(item["sumw2"]) for item in ours["list"][1:]] == [9, 9, 7, 0, 9]
    assert _floats(ours["list"][1]["sumw2"]) == _floats(ours["list"][1]["cells"])
    assert ours["list"][1] == ours["list"][5]


def _floats(values: str | list[str]) -> list[float]:
    return [float.fromhex(value) for value in ([values] if isinstance(values, str) else values)]


def test_what_hangs_on_a_histogram(sets: Sets, tmp_path: Path) -> None:
    """Nobody has looked into it: as long as nothing moves, it stays as it is; else it is refused."""
    parts = sets.parts("hung")
    _merge(tmp_path / "m.root", [parts[0]])
    with pytest.raises(StructureError, match="differs") as caught:
        _merge(tmp_path / "m.root", parts)
    assert "errors (Sumw2) are kept in one of them only, and it holds functions" in caught.value.evidence
    assert "GetListOfFunctions().Clear()" in caught.value.fix


# ── policies ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_parameters_and_texts(sets: Sets, root: Root, tmp_path: Path) -> None:
    """Equal, added, or those of the first part, which is the lowest of the plan."""
    parts = sets.parts("policies")
    with pytest.raises(StructureError, match=r"differs from other parts of m\.root") as caught:
        _merge(tmp_path / "m.root", parts)
    assert "TParameter" in caught.value.evidence
    assert "policies: {parameters: sum}, or {parameters: first}" in caught.value.fix
    with pytest.raises(StructureError) as caught:
        _merge(tmp_path / "m.root", parts, {"parameters": "sum"})
    assert "policies: {strings: first}" in caught.value.fix
    with pytest.raises(StructureError, match="differs"):
        _merge(tmp_path / "m.root", parts, {"strings": "first"})

    added = _read(root, _merge(tmp_path / "m.root", parts, {"parameters": "sum", "strings": "first"}))
    first = _read(root, _merge(tmp_path / "n.root", parts[::-1], {"parameters": "first", "strings": "first"}))

    values = {name: item[1] for name, item in added.items() if name.startswith("p/")}
    assert values == {
        "p/p_double": 1.5 + 2.5 + 3.5,
        "p/p_float": 1.5,
        "p/p_int": 2017 + 2018 + 2019,
        "p/p_Long64_t": 3 * 2**40 + 3,
        # A truth value does not add up, and one that is to be the largest does not either: they are equal here.
        "p/flag": True,
        "p/largest": 5.0,
    }
    assert added["version"] == ["TNamed", "version", "v0"]
    assert first["version"] == ["TNamed", "version", "v2"]
    assert first["text"][1] == "text 2"
    assert first["p/p_int"][1] == 2019
    assert first["h1D"]["cells"] == added["h1D"]["cells"]


def test_a_parameter_whose_type_is_too_small(sets: Sets, tmp_path: Path) -> None:
    """A whole number is no histogram, and says what to do."""
    parts = [tmp_path / f"{number}.root" for number in range(PARTS)]
    for path, part in zip(parts, sets.parts("policies"), strict=True):
        data = part.read_bytes()
        path.write_bytes(data)
    reader = Reader({"parameters": "sum", "strings": "first"})
    sums = Accumulator({"parameters": "sum", "strings": "first"})
    for number in range(PARTS):
        contents = reader.read(parts[number], name="p")
        contents.numbers[contents.shape.by_role["p/p_int", 0, "value"].start] = 2.0**31 - 1
        sums.add(str(number), number, contents)

    with pytest.raises(NotAdditiveError, match="which cannot hold the sum 6442450941") as caught:
        sums.finish(name="m.root")
    assert "TParameter<double>" in caught.value.fix


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_classes_that_the_first_part_lacks(sets: Sets, root: Root, tmp_path: Path, order: list[int]) -> None:
    """Objects and folders of some parts only: the result describes all their classes, and ROOT and uproot read it."""
    parts = [sets.parts("union")[number] for number in order]
    with pytest.raises(StructureError) as caught:
        _merge(tmp_path / "m.root", parts)
    assert "policies: {missing-objects: groups}" in caught.value.fix

    policies = {"missing-objects": "union"}
    target = _merge(tmp_path / "m.root", parts, policies)
    found, theirs = _read(root, target), _read(root, sets.hadd("union"))
    for name in ("common", "only/1D/h1D", "only/P/hP", "only/2F/h2F"):
        assert {key: value for key, value in found[name].items() if key != "statistics"} == {
            key: value for key, value in theirs[name].items() if key != "statistics"
        }
    assert found["version"] == ["TNamed", "version", "third"]
    assert found["p/year"] == ["TParameter<int>", 2018]
    with uproot.open(target) as file:
        described = set(file.file.streamers)
        assert {"TH1I", "TH1D", "TProfile", "TH2F", "TParameter<int>"} <= described
        assert file["only/P/hP"].member("fBinEntries")[0] >= 0


def test_chosen_texts_that_only_some_parts_have(sets: Sets, root: Root, tmp_path: Path) -> None:
    """Of texts that may differ, too, none is lost without a word."""
    parts = sets.parts("union")
    with pytest.raises(StructureError, match="differs"):
        _merge(tmp_path / "m.root", parts, {"strings": "first", "parameters": "first"})

    found = _read(
        root,
        _merge(tmp_path / "m.root", parts, {"strings": "first", "parameters": "first", "missing-objects": "union"}),
    )
    assert found["version"] == ["TNamed", "version", "third"]


# ── labels ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_labels_by_name(sets: Sets, root: Root, tmp_path: Path) -> None:
    """Axes that ROOT let grow as labels came, doubled, half of them empty; tables, profiles and volumes."""
    parts = sets.parts("labels")
    with pytest.raises(StructureError) as caught:
        _merge(tmp_path / "m.root", parts)
    assert "policies: {labels: by-name}" in caught.value.fix

    found = _read(root, _merge(tmp_path / "m.root", parts, {"labels": "by-name"}))
    each = [_read(root, path) for path in parts]

    for name, item in found.items():
        assert float.fromhex(item["entries"]) == sum(float.fromhex(part[name]["entries"]) for part in each)
        if not item["class"].startswith("TProfile"):  # whose bins are means; see the next test
            expected = sum_by_label([part[name] for part in each])
            assert by_label(item) == pytest.approx(expected, rel=1e-14), name
        assert {*filter(None, item["axes"][0][4])} == {
            label for part in each for label in part[name]["axes"][0][4] if label
        }
    assert found["grown"]["axes"][0][4] == ["a", "b", "c", "d", "e", "f", "g"]
    assert found["table"]["axes"][0][:3] == [7, 0.0, 7.0]
    assert found["fixed"]["axes"][0][4] == ["a", "b", "c"]
    # Whatever moved, the weights and what belongs to other axes stay.
    for name, places in {"grown": [0, 1], "table": [0, 1, 4, 5], "mean": [0, 1, 4, 5]}.items():
        for place in places:
            assert float.fromhex(found[name]["statistics"][place]) == pytest.approx(
                sum(float.fromhex(part[name]["statistics"][place]) for part in each), rel=1e-14
            ), (name, place)


def test_labels_by_name_where_hadd_is_right(sets: Sets, root: Root, tmp_path: Path) -> None:
    """The same labels in another order, on fixed bins."""
    ours = _read(root, _merge(tmp_path / "m.root", sets.parts("labels"), {"labels": "by-name"}))
    theirs = _read(root, sets.hadd("labels"))

    for name in ("fixed", "both", "space", "mean"):
        assert by_label(ours[name]) == pytest.approx(by_label(theirs[name]), rel=1e-14), name


# ── other writers, other files ──────────────────────────────────────────────────────────────────────────────────


def test_files_written_by_uproot(root: Root, hadd: Path, tmp_path: Path) -> None:
    """Histograms of the package hist, in one and two dimensions."""
    import hist

    parts = [tmp_path / f"{number}.root" for number in range(2)]
    draw = np.random.default_rng(1)
    for path in parts:
        with uproot.recreate(path) as file:
            file["a/h1"] = hist.Hist.new.Reg(5, 0, 1).Weight().fill(draw.random(50), weight=draw.random(50))
            file["a/h2"] = (
                hist.Hist.new.Reg(3, 0, 1).Var([0, 0.1, 1]).Weight().fill(draw.random(50), draw.random(50), weight=0.3)
            )
            file["c"] = hist.Hist.new.Reg(4, 0, 1).Double().fill(draw.random(50))
    command = [str(hadd), "-f", "-v", "0", str(tmp_path / "hadd.root"), *map(str, parts)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)

    ours = _read(root, _merge(tmp_path / "m.root", parts, {"sums": "plain"}))
    theirs = root.ask(do="read", path=str(tmp_path / "hadd.root"))
    root.words()
    assert ours == theirs
    assert sorted(ours) == ["a/h1", "a/h2", "c"]


@pytest.mark.parametrize("name", ["uproot-HZZ.root", "uproot-Zmumu.root", "nanoAOD_2015_CMS_Open_Data_ttbar.root"])
def test_real_trees_go_to_hadd(name: str, hadd: Path, tmp_path: Path) -> None:
    """Real events, which the strict engine does not take."""
    path = _DATA / name
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    shutil.copy(path, tmp_path / "h.root")

    assert isinstance(choose(tmp_path / "h.root", name="h.root", environ=os.environ, policies={}), Hadd)
    with pytest.raises(StructureError, match="does not merge with histograms"):
        _merge(tmp_path / "m.root", [tmp_path / "h.root"])
