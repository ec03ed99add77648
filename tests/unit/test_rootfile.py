"""The independent reader: what is in a ROOT file, and whether a merged one holds the sum of its parts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hist
import numpy as np
import pytest
import uproot

from septum.errors import NotConservedError, OutputDamagedError, OutputMissingError, StructureError
from septum.merge.rootfile import summarize
from septum.merge.summary import FileSummary, ObjectSummary, Total, entries_by_object, first_difference
from tests.fakes.rootfiles import H, write_root

BASE = H(cells=[1, 2, 3, 4, 5])
RICH = {"h": BASE, "cut/f": H(cells=[0, 1, 2, 0], dtype=">f4"), "i": H(cells=[0, 1, 0], dtype=">i4", sumw2=False)}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole file with several objects."""
    return write_root(tmp_path_factory.mktemp("good") / "h.root", RICH, trees={"t": 7})


def _summary(path: Path, objects: dict[str, H], **trees: int) -> FileSummary:
    return summarize(write_root(path, objects, trees=trees), name="x")


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_in_a_file(good: Path) -> None:
    """Every object in every folder, with class, entries, cells, errors and rounding."""
    objects = summarize(good, name="x").objects

    assert {path: (item.kind, item.entries) for path, item in objects.items()} == {
        "h": ("TH1D", 15.0), "cut/f": ("TH1F", 3.0), "i": ("TH1I", 1.0), "t": ("TTree", 7.0),
    }  # fmt: skip
    assert objects["h"].content is not None
    assert objects["h"].content.tolist() == [1, 2, 3, 4, 5] * 2
    assert objects["i"].content is not None
    assert objects["i"].content.tolist() == [0, 1, 0]
    assert [objects[path].epsilon for path in ("h", "cut/f", "i")] == [2.0**-52, 2.0**-23, 0.0]
    assert objects["t"].content is None
    assert entries_by_object(summarize(good, name="x"))["t"] == ("TTree", 7.0)


@pytest.mark.parametrize(
    ("storage", "axes", "kind"),
    [
        (hist.storage.Weight(), 1, "TH1D"),
        (hist.storage.Weight(), 2, "TH2D"),
        (hist.storage.Double(), 3, "TH3D"),
        (hist.storage.WeightedMean(), 1, "TProfile"),
    ],
)
def test_histograms_of_every_dimension(tmp_path: Path, storage: hist.storage.Storage, axes: int, kind: str) -> None:
    """As other libraries write them; every cell counts, the flow bins too."""
    histogram = hist.Hist(*(hist.axis.Regular(4, 0, 1, name=name) for name in "xyz"[:axes]), storage=storage)
    with uproot.recreate(tmp_path / "h.root") as file:
        file["h"] = histogram
    item = summarize(tmp_path / "h.root", name="x").objects["h"]

    assert item.kind == kind
    assert item.content is not None
    assert len(item.content) >= 6**axes
    assert item.structure.count("[4, 0.0, 1.0") == axes


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("bins", H(cells=[1, 2, 3, 4, 5, 6])),
        ("low", H(cells=BASE.cells, low=0.1)),
        ("high", H(cells=BASE.cells, high=2)),
        ("tiny shift", H(cells=BASE.cells, high=1.0000000001)),
        ("edges", H(cells=BASE.cells, edges=[0, 0.1, 0.2, 1])),
        ("labels", H(cells=BASE.cells, labels=["a", "b", "c"])),
        ("class", H(cells=BASE.cells, dtype=">f4")),
    ],
)
def test_structures_differ(tmp_path: Path, name: str, other: H) -> None:
    """Whatever hadd would merge without a word, and wrongly."""
    one, two = _summary(tmp_path / "1.root", {"h": BASE}), _summary(tmp_path / "2.root", {"h": other})

    assert one.structure != two.structure, name
    assert "'h'" in first_difference(one, two)


@pytest.mark.parametrize(
    ("left", "right"), [(["a", "b", "c"], ["a", "c", "b"]), (["a", "b", "c"], ["a", "b", "d"]), (["a", "b", "c"], None)]
)
def test_labels_differ(tmp_path: Path, left: list[str], right: list[str] | None) -> None:
    """In order, in name, or in one file only."""
    one = _summary(tmp_path / "1.root", {"h": replace(BASE, labels=left)})
    two = _summary(tmp_path / "2.root", {"h": replace(BASE, labels=right)})

    assert one.structure != two.structure


@pytest.mark.parametrize(
    "change", [replace(BASE, cells=[0] * 5), replace(BASE, sumw2=False), replace(BASE, entries=99.0)]
)
def test_structures_are_equal(tmp_path: Path, change: H) -> None:
    """Contents are not structure: a part may find nothing, or have no weights."""
    one, two = _summary(tmp_path / "1.root", {"h": BASE}), _summary(tmp_path / "2.root", {"h": change})

    assert one.structure == two.structure
    assert first_difference(one, two) == "no difference"


@pytest.mark.parametrize("name", ["z", "cut/z", "a"])
def test_one_object_more_is_another_structure(tmp_path: Path, name: str) -> None:
    """ROOT's hadd would make the union."""
    one, two = _summary(tmp_path / "1.root", {"h": BASE}), _summary(tmp_path / "2.root", {"h": BASE, name: BASE})

    assert one.structure != two.structure
    assert first_difference(one, two) == f"{name!r} is in one of them only"


def test_differences_are_shown_for_people(tmp_path: Path) -> None:
    """Bins and limits of both."""
    one = _summary(tmp_path / "1.root", {"h": BASE})
    two = _summary(tmp_path / "2.root", {"h": H(cells=[0] * 12, high=2.5)})
    three = _summary(tmp_path / "3.root", {"h": replace(BASE, edges=[0, 0.1, 0.2, 1])})

    assert first_difference(one, two) == "'h': 3 bins from 0 to 1 in one, 10 bins from 0 to 2.5 in the other"
    assert "4 edges" in first_difference(one, three)


def test_trees_differ_by_their_columns(tmp_path: Path) -> None:
    """ROOT's hadd would drop a branch that only some have."""
    one = _summary(tmp_path / "1.root", {}, t=3)
    with uproot.recreate(tmp_path / "2.root") as file:
        file.mktree("t", {"x": "f8"}).extend({"x": np.zeros(3)})
    with uproot.recreate(tmp_path / "3.root") as file:
        file.mktree("t", {"x": "f4", "n": "i4"}).extend({"x": np.zeros(3, "f4"), "n": np.zeros(3, "i4")})
    two, three = (summarize(tmp_path / f"{number}.root", name="x") for number in (2, 3))

    assert len({one.structure, two.structure, three.structure}) == 3
    assert "is in one of them only" in first_difference(one, two)


# ── files that are not good ─────────────────────────────────────────────────────────────────────────────────────


def _damaged(path: Path, content: bytes) -> OutputDamagedError:
    path.write_bytes(content)
    with pytest.raises(OutputDamagedError) as caught:
        summarize(path, name="part 0007: h.root")

    assert "part 0007: h.root" in caught.value.what
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.3, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off(good: Path, tmp_path: Path, share: float) -> None:
    """Wherever: nothing of it is taken."""
    content = good.read_bytes()

    _damaged(tmp_path / "h.root", content[: int(len(content) * share)])


@pytest.mark.parametrize("missing", [1, 2, 8, 100])
def test_a_file_without_its_last_bytes(good: Path, tmp_path: Path, missing: int) -> None:
    """Not even one."""
    _damaged(tmp_path / "h.root", good.read_bytes()[:-missing])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\0" * 5000,
        b"root",
        b"root\0\0",
        b"<!DOCTYPE html><html>503 Service Unavailable</html>" * 20,
        random.Random(7).randbytes(5000),
        b"root" + random.Random(8).randbytes(5000),
        b"PK\x03\x04" + b"x" * 500,
    ],
    ids=["empty", "a zero", "zeros", "word", "word and zeros", "page", "random", "random root", "zip"],
)
def test_what_is_no_root_file(tmp_path: Path, content: bytes) -> None:
    """Each is an error with a fix, never a traceback."""
    _damaged(tmp_path / "h.root", content)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is no file without objects."""
    with pytest.raises(OutputDamagedError):
        summarize(tmp_path / "h.root", name="x")


@pytest.mark.parametrize("change", [1, -1, 4096])
def test_a_file_that_was_never_closed(good: Path, tmp_path: Path, change: int) -> None:
    """Its header ends at another byte than the file: hadd and uproot would recover what they can."""
    content = bytearray(good.read_bytes())
    end = int.from_bytes(content[12:16], "big")
    content[12:16] = (end + change).to_bytes(4, "big")

    assert "was not closed" in _damaged(tmp_path / "h.root", bytes(content)).what


def test_bytes_after_the_end(good: Path, tmp_path: Path) -> None:
    """Something else wrote into it."""
    assert "was not closed" in _damaged(tmp_path / "h.root", good.read_bytes() + b"x").what


@pytest.mark.parametrize("first", [200, 700, 1200])
def test_zeros_in_the_middle_of_the_histograms(tmp_path: Path, first: int) -> None:
    """A disk that was full: the size is right and the content is not."""
    content = bytearray(write_root(tmp_path / "h.root", RICH).read_bytes())
    content[first:2400] = bytes(2400 - first)

    assert len(content) > 2400
    _damaged(tmp_path / "h.root", bytes(content))


def test_a_file_without_objects(tmp_path: Path) -> None:
    """A job that ended before it wrote anything."""
    write_root(tmp_path / "h.root")
    with uproot.recreate(tmp_path / "folders.root") as file:
        file.mkdir("cut/deep")

    for name in ("h.root", "folders.root"):
        with pytest.raises(OutputDamagedError, match="holds no objects"):
            summarize(tmp_path / name, name="x")


def test_expected_objects(good: Path) -> None:
    """All there, or the first that is not, with what there is instead."""
    summarize(good, name="x", expected=["h", "cut/f", "t"])

    with pytest.raises(OutputMissingError, match="'cut/g' is not in the file") as caught:
        summarize(good, name="x", expected=["h", "cut/g"])
    assert "cut/f" in caught.value.evidence
    assert caught.value.fix


def test_a_class_that_cannot_be_checked(tmp_path: Path) -> None:
    """ROOT's hadd would repeat it, add it, or keep the first."""
    with uproot.recreate(tmp_path / "h.root") as file:
        file["note"] = "some text"

    with pytest.raises(StructureError, match="x: note is a TObjString") as caught:
        summarize(tmp_path / "h.root", name="x")
    assert "policies: {unchecked: hadd}" in caught.value.fix
    for choice in ({"merged": False}, {"unchecked": True}):
        found = summarize(tmp_path / "h.root", name="x", expected=["note"], **choice).objects
        assert found["note"].kind == "TObjString"


def test_what_is_left_unchecked_is_just_that(good: Path, tmp_path: Path) -> None:
    """The histograms beside it are read as ever, and damage is damage."""
    with uproot.recreate(tmp_path / "h.root") as file:
        file["note"], file["h"] = "some text", BASE.written("h")
    objects = summarize(tmp_path / "h.root", name="x", unchecked=True).objects

    assert objects["h"].content is not None
    assert objects["h"].content.tolist() == [1, 2, 3, 4, 5] * 2
    assert (objects["note"].content, objects["note"].entries) == (None, 0.0)
    (tmp_path / "cut.root").write_bytes(good.read_bytes()[:-9])
    with pytest.raises(OutputDamagedError):
        summarize(tmp_path / "cut.root", name="x", unchecked=True)


def test_an_average_cannot_be_added(tmp_path: Path) -> None:
    """ROOT's hadd adds it as if it were none."""
    with uproot.recreate(tmp_path / "h.root", compression=None) as file:
        file["h"] = BASE.written("h")
    with uproot.open(tmp_path / "h.root") as file:
        bits = int(file["h"].member("@fBits"))
        begin = int(file.key("h").fSeekKey)
    content = bytearray((tmp_path / "h.root").read_bytes())
    at = content.index(bits.to_bytes(4, "big"), begin)
    content[at : at + 4] = (bits | 1 << 18).to_bytes(4, "big")
    (tmp_path / "h.root").write_bytes(content)

    with pytest.raises(StructureError, match="kIsAverage"):
        summarize(tmp_path / "h.root", name="x")
    assert summarize(tmp_path / "h.root", name="x", marks=False).objects["h"].content is not None


@pytest.mark.parametrize(("first", "last", "zoomed"), [(0, 0, False), (1, 3, False), (2, 3, True), (1, 2, True)])
def test_an_axis_with_a_range_cannot_be_added(tmp_path: Path, first: int, last: int, *, zoomed: bool) -> None:
    """With a range set, hadd's result has statistics of the range only; the whole axis as a range is none."""
    histogram = BASE.written("h")
    axis = histogram.member("fXaxis")
    axis._members["fFirst"], axis._members["fLast"] = first, last
    with uproot.recreate(tmp_path / "h.root") as file:
        file["h"] = histogram

    if zoomed:
        with pytest.raises(StructureError, match="range set on its X-axis") as caught:
            summarize(tmp_path / "h.root", name="x")
        assert "UnZoom" in caught.value.fix
    assert summarize(tmp_path / "h.root", name="x", marks=not zoomed).objects["h"].entries == 15


# ── sums ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _object(
    cells: list[float], *, entries: float | None = None, epsilon: float = 2.0**-52, kind: str = "TH1D"
) -> FileSummary:
    content = np.asarray(cells, dtype=np.float64)
    item = ObjectSummary(kind, "{}", float(content.sum()) if entries is None else entries, content, epsilon)
    return FileSummary({"h": item})


def _total(*parts: FileSummary) -> Total:
    total = Total()
    for part in parts:
        total.add(part)
    return total


PARTS = [_object([1.0, float(number), 3.0]) for number in range(10)]
SUM = [10.0, 45.0, 30.0]


def test_a_sum_that_holds() -> None:
    """Nothing is said."""
    _total(*PARTS).check(_object(SUM), name="x")


@pytest.mark.parametrize(
    ("cells", "entries"),
    [
        ([9.0, 36.0, 27.0], 72.0),
        ([9.0, 36.0, 27.0], 85.0),
        ([11.0, 54.0, 33.0], 98.0),
        (SUM, 84.0),
        (SUM, 86.0),
        ([10.0, 45.0, 30.001], 85.0),
        ([45.0, 10.0, 30.0], 85.0),
        ([10.0, 45.0, -30.0], 85.0),
        ([10.0, float("nan"), 30.0], 85.0),
        ([10.0, float("inf"), 30.0], 85.0),
        (SUM, float("nan")),
        ([0.0, 0.0, 0.0], 0.0),
        ([10.0, 45.0], 85.0),
    ],
)
def test_a_sum_that_does_not_hold(cells: list[float], entries: float) -> None:
    """A part lost, a part doubled, a bin changed or moved, entries alone, nothing at all."""
    with pytest.raises(NotConservedError, match="'h'") as caught:
        _total(*PARTS).check(_object(cells, entries=entries), name="x")
    assert caught.value.exit_code == 43
    assert caught.value.fix


@pytest.mark.parametrize("which", ["missing", "new", "renamed"])
def test_other_objects(which: str) -> None:
    """An object that vanished, or that no part has."""
    item = _object(SUM).objects["h"]
    objects = {"missing": {}, "new": {"h": item, "g": item}, "renamed": {"g": item}}[which]

    with pytest.raises(NotConservedError, match=r"'[gh]'"):
        _total(*PARTS).check(FileSummary(objects), name="x")


@pytest.mark.parametrize(("merged", "ok"), [(7.0, True), (6.0, False), (8.0, False)])
def test_rows_of_a_tree(merged: float, *, ok: bool) -> None:
    """To the last one."""
    tree = ObjectSummary("TTree", "{}", 3.5, None, 0.0)
    total = _total(*[FileSummary({"t": replace(tree, entries=rows)}) for rows in (3.0, 4.0)])
    check: Callable[[], None] = lambda: total.check(FileSummary({"t": replace(tree, entries=merged)}), name="x")  # noqa: E731

    if ok:
        check()
    else:
        with pytest.raises(NotConservedError):
            check()
    assert total is not None


@pytest.mark.parametrize("count", [2, 40, 411, 5000])
@pytest.mark.parametrize("epsilon", [2.0**-23, 2.0**-52, 0.0], ids=["float", "double", "int"])
def test_one_lost_part_is_seen_among_many(count: int, epsilon: float) -> None:
    """In every bin and in every type: the rounding that is allowed never hides a part."""
    total = _total(*[_object([1.0, 5.0], epsilon=epsilon, entries=6.0)] * count)

    with pytest.raises(NotConservedError, match="does not hold the sum"):
        total.check(_object([count - 1.0, 5.0 * count], epsilon=epsilon, entries=6.0 * count), name="x")
    total.check(_object([float(count), 5.0 * count], epsilon=epsilon, entries=6.0 * count), name="x")


@pytest.mark.parametrize(("dtype", "epsilon"), [(np.float32, 2.0**-23), (np.float64, 2.0**-52)])
@pytest.mark.parametrize("count", [2, 41, 411])
def test_rounding_of_the_engine_is_allowed(dtype: type[np.floating], epsilon: float, count: int) -> None:
    """Two levels of additions in the histogram's own type, in the order of the merger."""
    rng = np.random.default_rng(1)
    cells = [rng.exponential(1e3, 50).astype(dtype) for _ in range(count)]
    size = max(20, int(count**0.5)) if count > 40 else count
    merged = np.zeros(50, dtype)
    for start in range(0, count, size):
        partial = np.zeros(50, dtype)
        for one in cells[start : start + size]:
            partial = (partial + one).astype(dtype)
        merged = (merged + partial).astype(dtype)
    total = _total(*[_object(one.astype(float).tolist(), entries=1.0, epsilon=epsilon) for one in cells])

    total.check(_object(merged.astype(float).tolist(), entries=float(count), epsilon=epsilon), name="x")
    with pytest.raises(NotConservedError):
        total.check(
            _object((merged * dtype(1.001)).astype(float).tolist(), entries=float(count), epsilon=epsilon), name="x"
        )


def test_an_overflow_of_whole_numbers_is_named() -> None:
    """TH1I saturates without a word."""
    parts = [_object([2.0**31 - 1], epsilon=0.0, entries=1.0)] * 2

    with pytest.raises(NotConservedError) as caught:
        _total(*parts).check(_object([2.0**31 - 1], epsilon=0.0, entries=2.0), name="x")
    assert "overflow" in caught.value.fix


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_must_stay_so(value: float) -> None:
    """A NaN weight spreads; a merge in which it is gone lost something."""
    parts = _total(_object([value, 1.0], entries=1.0), _object([1.0, 1.0], entries=1.0))
    parts.check(_object([value, 2.0], entries=2.0), name="x")

    with pytest.raises(NotConservedError):
        parts.check(_object([1.0, 2.0], entries=2.0), name="x")


def test_errors_that_all_parts_have_cannot_be_lost() -> None:
    """A merged histogram without Sumw2 would look right and have other errors."""
    with pytest.raises(NotConservedError, match="Sumw2"):
        _total(_object([1, 2, 1, 2]), _object([1, 2, 1, 2])).check(_object([2, 4], entries=12.0), name="x")


def test_errors_in_some_parts_only() -> None:
    """The engine combines them; the contents are compared."""
    total = _total(_object([1, 2, 1, 2], entries=3), _object([1, 2], entries=3))
    total.check(_object([2, 4, 2, 4], entries=6), name="x")

    with pytest.raises(NotConservedError):
        total.check(_object([2, 5, 2, 5], entries=6), name="x")


def test_weighted_entries_round() -> None:
    """Entries that are no whole number are compared with their rounding."""
    total = _total(_object([0.1], entries=0.1), _object([0.2], entries=0.2))
    total.check(_object([0.3], entries=0.3), name="x")

    with pytest.raises(NotConservedError):
        total.check(_object([0.3], entries=0.3001), name="x")


def _tree(path: Path, numbers: list[int], *, ntuple: bool = False) -> Path:
    import awkward as ak

    columns = {
        "number": np.array(numbers, dtype=np.int64),
        "weight": np.array(numbers) / 7,
        "jets": ak.Array([[0.5 * k for k in range(n % 4)] for n in numbers]),
    }
    with uproot.recreate(path) as file:
        if ntuple:
            file.mkrntuple("events", columns)
        else:
            file.mktree("events", columns)
    return path


@pytest.mark.parametrize("ntuple", [False, True], ids=["tree", "ntuple"])
def test_rows_of_trees_are_conserved(tmp_path: Path, ntuple: bool) -> None:  # noqa: FBT001
    """As many rows as in the parts are not enough: they must be the rows of the parts."""
    parts = [
        summarize(_tree(tmp_path / f"{k}.root", list(range(10 * k, 10 * k + 10)), ntuple=ntuple), name="p")
        for k in range(3)
    ]
    total = Total()
    for part in parts:
        total.add(part)

    total.check(summarize(_tree(tmp_path / "all.root", list(range(30)), ntuple=ntuple), name="m"), name="m")
    thrice = _tree(tmp_path / "thrice.root", list(range(10)) * 3, ntuple=ntuple)
    with pytest.raises(NotConservedError, match="rows of its parts"):
        total.check(summarize(thrice, name="m"), name="m")
