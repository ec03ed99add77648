"""HDF5: tables put together, numbers added, and nothing followed out of the file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from septum.errors import MergeFailedError, NotConservedError, OutputDamagedError, OutputMissingError, StructureError
from septum.merge.formats import adding
from septum.merge.formats.hdf5 import HDF5
from septum.merge.summary import Total, first_difference
from tests.unit.format_files import merge_and_check, sha256

ROW = np.dtype([("run", "i4"), ("p", "f8", (2,)), ("tag", h5py.string_dtype())])


def _write(path: Path, fill: Callable[[Any], object], **options: Any) -> Path:
    with h5py.File(path, "w", **options) as file:
        fill(file)
    return path


def _grows(file: Any, name: str, data: Any, **options: Any) -> Any:
    return file.create_dataset(name, data=data, maxshape=(None, *np.shape(data)[1:]), **options)


def _analysis(seed: int, rows: int) -> Callable[[Any], None]:
    """What an analysis may write: events of several types, histograms, counters, and what describes them."""

    def fill(file: Any) -> None:
        random = np.random.default_rng(seed)
        file.attrs.update({"release": "v1", "tags": ["a", "b"], "none": h5py.Empty("f4"), "range": [0.0, 1.0]})
        file.create_group("nothing")
        events = file.create_group("events")
        events.attrs["unit"] = np.bytes_("GeV")
        _grows(events, "pt", random.random(rows), chunks=(50,), compression="gzip")
        rows_of_table = np.zeros(rows, ROW)
        for n in range(rows):
            rows_of_table[n] = (n, (seed, n), f"tag{n}")
        table = events.create_dataset("table", (rows,), ROW, maxshape=(None,))
        table[...] = rows_of_table
        table.attrs["version"] = 3
        jagged = events.create_dataset("jagged", (rows,), h5py.vlen_dtype("f4"), maxshape=(None,))
        for n in range(rows):
            jagged[n] = random.random(n % 4)
        names = events.create_dataset("names", (rows, 2), h5py.string_dtype(), maxshape=(None, 2))
        names[...] = np.array([[f"x{n}", "é"] for n in range(rows)], object).reshape(rows, 2)
        _grows(events, "good", random.random(rows) < 0.5)
        file["h/counts"] = random.integers(0, 1000, 20)
        file["h/weights"] = random.normal(size=(4, 5)) * 10.0 ** random.integers(-9, 9, (4, 5))
        file["h/single"] = random.random(7, "f4")
        file["h/complex"] = random.random(3) + 1j * random.random(3)
        file["h/empty"] = np.zeros((0, 3))
        file["selected"] = seed
        file["edges"] = np.linspace(0, 1, 21)
        file["edges"].attrs["septum_merge"] = "equal"
        file["title"] = "mass"
        file["flags"] = np.array([True, False])
        file["null"] = h5py.Empty("f8")

    return fill


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Parts with other events, and one without any."""
    return [_write(tmp_path / f"part{n}.h5", _analysis(n, rows)) for n, rows in enumerate([13, 0, 70, 1, 140])]


# ── merging ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_object_by_its_rule(tmp_path: Path, parts: list[Path]) -> None:
    """Compared with h5py's own reading of the parts."""
    merged = merge_and_check(HDF5, tmp_path / "m.h5", parts)

    assert {path: item.kind for path, item in merged.objects.items()} == {
        "/": "group", "nothing": "group", "events": "group",
        "events/pt": "HDF5 table", "events/table": "HDF5 table", "events/jagged": "HDF5 table",
        "events/names": "HDF5 table", "events/good": "HDF5 table",
        "h/counts": "HDF5 array", "h/weights": "HDF5 array", "h/single": "HDF5 array", "h/complex": "HDF5 array",
        "h/empty": "HDF5 array", "selected": "HDF5 array",
        "edges": "HDF5 constant", "title": "HDF5 constant", "flags": "HDF5 constant", "null": "HDF5 constant",
    }  # fmt: skip
    assert merged.objects["events/table"].entries == 224
    assert merged.objects["selected"].entries == 10
    files = [h5py.File(part) for part in parts]
    with h5py.File(tmp_path / "m.h5") as file:
        for name in ("pt", "table", "names", "good"):
            expected = np.concatenate([f["events"][name][...] for f in files])
            assert str(file["events"][name][...].tolist()) == str(expected.tolist())
        jagged = [row.tolist() for f in files for row in f["events/jagged"]]
        assert [row.tolist() for row in file["events/jagged"]] == jagged
        assert file["h/counts"][...].tolist() == sum(f["h/counts"][...] for f in files).tolist()
        for cell in np.ndindex(4, 5):
            assert file["h/weights"][cell] == math.fsum(f["h/weights"][cell] for f in files)
        assert file["edges"][...].tolist() == files[0]["edges"][...].tolist()
        assert file["title"][()] == b"mass"
        assert dict(file.attrs)["release"] == "v1"
        assert file.attrs["tags"].tolist() == ["a", "b"]
        assert file["events"].attrs["unit"] == b"GeV"
        assert file["events/pt"].compression == "gzip"
        assert file["events/pt"].chunks == (50,)
        assert file["events/pt"].maxshape == (None,)
    for source in files:
        source.close()


def test_equal_parts_give_equal_bytes_at_any_time(tmp_path: Path, parts: list[Path]) -> None:
    """The library notes times of its own unless it is told not to."""
    HDF5.merge(tmp_path / "1.h5", parts, title="one")
    time.sleep(1.1)
    HDF5.merge(tmp_path / "2.h5", parts, title="two")

    assert sha256(tmp_path / "1.h5") == sha256(tmp_path / "2.h5")


def test_sums_do_not_know_the_order(tmp_path: Path, parts: list[Path]) -> None:
    """Where there is nothing else, every order gives the same bytes."""
    for n, part in enumerate(parts):
        _write(part, lambda f, n=n: f.create_dataset("w", data=_nasty(n)))  # type: ignore[misc]
    HDF5.merge(tmp_path / "1.h5", parts, title="one")
    HDF5.merge(tmp_path / "2.h5", parts[::-1], title="two")

    assert sha256(tmp_path / "1.h5") == sha256(tmp_path / "2.h5")


def _nasty(seed: int) -> Any:
    random = np.random.default_rng(seed)
    return random.normal(size=100) * 10.0 ** random.integers(-200, 200, 100)


@pytest.mark.parametrize("cells", [7, 64])
def test_sums_that_do_not_fit_into_memory_at_once(
    tmp_path: Path, parts: list[Path], cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts are read again for the next cells, and the result is the same."""
    HDF5.merge(tmp_path / "1.h5", parts, title="one")
    monkeypatch.setattr(adding, "CELLS_AT_ONCE", cells)
    HDF5.merge(tmp_path / "2.h5", parts, title="two")

    # Written in another order, the same objects may lie elsewhere.
    total = Total()
    total.add(HDF5.summarize(tmp_path / "1.h5", name="1"))
    two = HDF5.summarize(tmp_path / "2.h5", name="2")
    total.check(two, name="2")
    with h5py.File(tmp_path / "1.h5") as one, h5py.File(tmp_path / "2.h5") as other:
        for name in ("counts", "weights", "single", "complex"):
            assert one["h"][name][...].tobytes() == other["h"][name][...].tobytes()


def test_what_is_put_together_merges_in_two_levels(tmp_path: Path, parts: list[Path]) -> None:
    """And whole numbers do, though the format as such does not promise it."""
    HDF5.merge(tmp_path / "a.h5", parts[:2], title="a")
    HDF5.merge(tmp_path / "b.h5", parts[2:], title="b")
    merge_and_check(HDF5, tmp_path / "levels.h5", [tmp_path / "a.h5", tmp_path / "b.h5"])
    HDF5.merge(tmp_path / "m.h5", parts, title="m")
    one, two = (HDF5.summarize(tmp_path / name, name="x").objects for name in ("m.h5", "levels.h5"))

    assert not HDF5.two_levels
    for path in one:
        assert (one[path].columns, one[path].entries) == (two[path].columns, two[path].entries)


def test_a_rule_can_be_declared(tmp_path: Path) -> None:
    """By an attribute of the dataset."""

    def fill(file: Any) -> None:
        _grows(file, "sum", np.arange(3)).attrs["septum_merge"] = "add"
        _grows(file, "axis", np.arange(3)).attrs["septum_merge"] = np.bytes_("equal")
        _grows(file, "rows", np.arange(3)).attrs["septum_merge"] = "concatenate"
        file["year"] = 2018
        file["year"].attrs["septum_merge"] = "equal"

    parts = [_write(tmp_path / f"{n}.h5", fill) for n in range(2)]
    merge_and_check(HDF5, tmp_path / "m.h5", parts)
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["sum"][...].tolist() == [0, 2, 4]
        assert file["axis"][...].tolist() == [0, 1, 2]
        assert file["rows"][...].tolist() == [0, 1, 2, 0, 1, 2]
        assert file["year"][()] == 2018


@pytest.mark.parametrize(
    ("asked", "data", "maxshape"),
    [
        ("add", "text", None),
        ("add", [True], None),
        ("concatenate", [1], None),
        ("first", [1], (None,)),
        ("", [1], (None,)),
    ],
)
def test_rules_that_cannot_be_followed(tmp_path: Path, asked: str, data: Any, maxshape: Any) -> None:
    """Named, with what the attribute may be."""

    def fill(file: Any) -> None:
        file.create_dataset("x", data=data, maxshape=maxshape).attrs["septum_merge"] = asked

    with pytest.raises(StructureError, match="by its attribute septum_merge") as caught:
        HDF5.summarize(_write(tmp_path / "x.h5", fill), name="part 7")
    assert "'concatenate' where the first dimension can grow" in caught.value.evidence


# ── files of other libraries ────────────────────────────────────────────────────────────────────────────────────


def _pytables(rows: int, **more: str) -> Callable[[Any], None]:
    def fill(file: Any) -> None:
        group = file.create_group("df")
        group.attrs["pandas_type"] = np.bytes_("frame_table")
        table = _grows(group, "table", np.arange(rows))
        table.attrs.update({"CLASS": np.bytes_("TABLE"), "NROWS": np.int64(rows)})
        for name, kind in more.items():
            group.create_group(name).attrs["CLASS"] = np.bytes_(kind)

    return fill


def test_tables_of_pandas_say_how_many_rows_they_have(tmp_path: Path) -> None:
    """In an attribute that is another one in each part."""
    parts = [_write(tmp_path / f"{n}.h5", _pytables(n)) for n in (3, 4)]
    merge_and_check(HDF5, tmp_path / "m.h5", parts)
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["df/table"].attrs["NROWS"] == 7
        assert file["df/table"].attrs["NROWS"].dtype == np.int64


def test_an_index_would_not_fit_the_merged_table(tmp_path: Path) -> None:
    """PyTables would find the wrong rows with it."""
    with pytest.raises(StructureError, match="is an index of PyTables") as caught:
        HDF5.summarize(_write(tmp_path / "x.h5", _pytables(3, _i_table="TINDEX")), name="x")
    assert "index=False" in caught.value.fix


def test_the_fixed_format_of_pandas_is_no_table(tmp_path: Path) -> None:
    """Its columns are arrays of numbers, which would be added row by row."""

    def fill(file: Any) -> None:
        file.create_group("df").attrs["pandas_type"] = np.bytes_("frame")
        file["df/block0_values"] = np.ones((3, 1))

    with pytest.raises(StructureError, match="written by pandas in its fixed format"):
        HDF5.summarize(_write(tmp_path / "x.h5", fill), name="x")


def test_flags_and_names_are_not_added(tmp_path: Path) -> None:
    """Bits, as PyTables writes true and false, and numbers that stand for names: NumPy takes both for numbers."""

    def fill(file: Any) -> None:
        bits = h5py.h5d.create(file.id, b"bits", h5py.h5t.STD_B8LE, h5py.h5s.create_simple((2,)))
        bits.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 0], "u1"), mtype=h5py.h5t.STD_B8LE)
        file.create_dataset("names", data=[1, 2], dtype=h5py.enum_dtype({"mu": 1, "e": 2}, basetype="i4"))
        bits = h5py.h5a.create(file.id, b"flag", h5py.h5t.STD_B8LE, h5py.h5s.create(h5py.h5s.SCALAR))
        bits.write(np.array(1, "u1"), mtype=h5py.h5t.STD_B8LE)

    parts = [_write(tmp_path / f"{n}.h5", fill) for n in range(3)]
    merged = merge_and_check(HDF5, tmp_path / "m.h5", parts)
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["bits"][...].tolist() == [1, 0]
        assert file["names"][...].tolist() == [1, 2]
        assert h5py.check_enum_dtype(file["names"].dtype) == {"mu": 1, "e": 2}
        assert file["bits"].id.get_type().equal(h5py.h5t.STD_B8LE)
    assert {merged.objects[name].kind for name in ("bits", "names")} == {"HDF5 constant"}


def test_texts_that_fill_their_field(tmp_path: Path) -> None:
    """PyTables writes them so; one that ends with a zero has room for one letter less."""
    full = h5py.h5t.C_S1.copy()
    full.set_size(3)
    assert full.get_strpad() == h5py.h5t.STR_NULLTERM

    def fill(file: Any) -> None:
        grows = h5py.h5s.create_simple((2,), (h5py.h5s.UNLIMITED,))
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((10,))
        rows = h5py.h5d.create(file.id, b"rows", full, grows, plan)
        rows.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([b"abc", b"d"], "S3"), mtype=full)
        version = h5py.h5a.create(file.id, b"version", full, h5py.h5s.create(h5py.h5s.SCALAR))
        version.write(np.array(b"2.1", "S3"), mtype=full)

    parts = [_write(tmp_path / f"{n}.h5", fill) for n in range(2)]
    merge_and_check(HDF5, tmp_path / "m.h5", parts)
    with h5py.File(tmp_path / "m.h5") as file:
        raw = np.zeros(4, "S3")
        file["rows"].id.read(h5py.h5s.ALL, h5py.h5s.ALL, raw, mtype=full)
        assert raw.tolist() == [b"abc", b"d"] * 2
        assert (tmp_path / "m.h5").read_bytes().count(b"2.1") == 1


# ── what must be equal ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.move("selected", "chosen"), "'selected' is in part 1 only"),
        (lambda f: f.create_dataset("x", data=1), "'x' is in part 2 only"),
        (lambda f: f.attrs.modify("release", "v2"), "'attribute release'"),
        (lambda f: f["events"].attrs.create("x", 1), "'attribute x' is in the other only"),
        (lambda f: f["events/table"].attrs.modify("version", 4), "'attribute version'"),
        (lambda f: f["title"].__setitem__((), "eta"), "'content'"),
        (lambda f: f["edges"].__setitem__(3, 0.5), "'content'"),
        (lambda f: _again(f, "h/counts", np.zeros(21, "i8")), "'shape': [20] in the first, [21] in the other"),
        (lambda f: _again(f, "h/counts", np.zeros(20, "i4")), "'type': <i8 in the first, <i4 in the other"),
        (lambda f: _again(f, "events/names", "now a constant"), "'rule': concatenate in the first, equal in the other"),
    ],
    ids=["name", "more", "attribute", "more-attributes", "version", "text", "edges", "shape", "type", "rule"],
)
def test_files_that_differ_are_not_merged(tmp_path: Path, change: Any, said: str) -> None:
    """The message says which object, and what of it."""
    one, two = (_write(tmp_path / f"{n}.h5", _analysis(0, 5)) for n in (1, 2))
    with h5py.File(two, "a") as file:
        change(file)
    summaries = [HDF5.summarize(path, name="x") for path in (one, two)]
    with pytest.raises(StructureError, match="part 1 and part 2 cannot be merged") as caught:
        HDF5.merge(tmp_path / "m", [one, two], title="m", titles=["part 1", "part 2"])

    assert summaries[0].structure != summaries[1].structure
    assert first_difference(*summaries) != "no difference"
    assert said in caught.value.evidence


def _again(file: Any, name: str, data: Any) -> None:
    del file[name]
    file[name] = data


def test_objects_that_must_be_there(tmp_path: Path) -> None:
    """Datasets and groups, with or without the first slash."""
    path = _write(tmp_path / "x.h5", _analysis(0, 2))

    HDF5.summarize(path, name="x", expected=["/events/pt", "h", "selected"])
    with pytest.raises(OutputMissingError, match="the object 'h/mass' is not in the file"):
        HDF5.summarize(path, name="x", expected=["h/counts", "h/mass"])


# ── what cannot be merged ───────────────────────────────────────────────────────────────────────────────────────


def _references(file: Any) -> None:
    file["x"] = 1
    file.create_dataset("r", (1,), h5py.ref_dtype)[0] = file["x"].ref


def _reference_in_attribute(file: Any) -> None:
    file["x"] = 1
    file.attrs["r"] = file["x"].ref


def _reference_in_row(file: Any) -> None:
    file.create_dataset("r", (1,), np.dtype([("a", "i4"), ("b", h5py.ref_dtype)]), maxshape=(None,))


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((3,), "f8")
    layout[...] = h5py.VirtualSource("/etc/passwd", "x", (3,))
    file.create_virtual_dataset("v", layout)


def _deep(file: Any) -> None:
    file["/".join("abcdefghij" * 4)] = 1


def _loop(file: Any) -> None:
    group = file.create_group("a")
    group.create_group("b")["c"] = group


def _odd_type() -> Any:
    """A number of six bytes, as no machine has it."""
    kind = h5py.h5t.IEEE_F64LE.copy()
    kind.set_fields(47, 36, 11, 0, 36)
    kind.set_precision(48)
    kind.set_size(6)
    return kind


def _odd_float(file: Any) -> None:
    h5py.h5d.create(file.id, b"x", _odd_type(), h5py.h5s.create_simple((1000,)))


def _odd_attribute(file: Any) -> None:
    h5py.h5a.create(file.id, b"x", _odd_type(), h5py.h5s.create_simple((1000,)))


HOSTILE: dict[str, tuple[Callable[[Any], object], str]] = {
    "soft link": (lambda f: f.update(x=1) or f.__setitem__("y", h5py.SoftLink("/x")), "link to another place"),
    "link out": (lambda f: f.__setitem__("y", h5py.ExternalLink("/etc/passwd", "/")), "link to another place"),
    "hard link": (lambda f: f.update(x=1) or f.__setitem__("y", f["x"]), "under another name"),
    "loop": (_loop, "under another name"),
    "virtual": (_virtual, "keeps its data in other files"),
    "external": (
        lambda f: f.create_dataset("x", (3,), "f8", external=[("/etc/passwd", 0, 24)]),
        "keeps its data in other files",
    ),
    "references": (_references, "holds references"),
    "reference in an attribute": (_reference_in_attribute, "holds references"),
    "reference in a row": (_reference_in_row, "holds references"),
    "named type": (lambda f: f.__setitem__("t", np.dtype("f8")), "is a named type"),
    "deep": (_deep, "lies deeper than"),
    "sparse": (
        lambda f: f.create_dataset("x", (10**12,), "f8", chunks=(1000,), maxshape=(None,)),
        "claims 8000000000000 b",
    ),
    "huge sum": (lambda f: f.create_dataset("x", (10**8,), "i1", chunks=(1000,)), "too many to be added"),
    "huge constant": (lambda f: f.create_dataset("x", (2**31,), "S1", chunks=(1000,)), "claims 2147483648 bytes"),
    "huge row": (
        lambda f: f.create_dataset("x", (1, 10**8), "f8", chunks=(1, 1000), maxshape=(None, 10**8)),
        "rows or chunks of more than",
    ),
    "odd float": (_odd_float, "is of a type that NumPy has not: 6 bytes"),
    "odd attribute": (_odd_attribute, "its attribute 'x' is of a type that NumPy has not"),
    "half": (lambda f: f.create_dataset("x", data=np.ones(3, "f2")), "float16 cannot be added exactly"),
    "extended": (lambda f: f.create_dataset("x", data=np.ones(3, np.longdouble)), "cannot be added exactly"),
    "nan": (lambda f: f.create_dataset("x", data=[1.0, np.nan]), "holds NaN or infinity"),
    "infinity": (lambda f: f.create_dataset("x", data=[1.0, -np.inf]), "holds NaN or infinity"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_merged_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything else is read: no other file, and no terabyte of zeros."""
    fill, said = HOSTILE[name]
    path = _write(tmp_path / "x.h5", fill)
    with pytest.raises(StructureError, match=said):
        HDF5.summarize(path, name="part 7")


def test_nan_in_a_table_is_kept(tmp_path: Path) -> None:
    """Rows are not added."""
    part = _write(tmp_path / "x.h5", lambda f: _grows(f, "x", [1.0, np.nan]))
    merge_and_check(HDF5, tmp_path / "m.h5", [part, part])


@pytest.mark.parametrize(
    ("value", "parts"), [(np.int8(100), 2), (np.int64(2**62), 2), (np.uint16(40000), 2), (np.float32(3e38), 2)]
)
def test_sums_that_run_over_are_refused(tmp_path: Path, value: Any, parts: int) -> None:
    """No wrapped count, and no infinity."""
    part = _write(tmp_path / "x.h5", lambda f: f.create_dataset("n", data=np.array([0, value], value.dtype)))
    with pytest.raises(StructureError, match=f"runs over what {value.dtype} can hold") as caught:
        HDF5.merge(tmp_path / "m.h5", [part] * parts, title="m")
    assert "cell 1" in caught.value.evidence


# ── faults ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_merge_that_loses_or_invents_something_is_found(tmp_path: Path, parts: list[Path]) -> None:
    """A row, a field of one, a count, a weight."""
    total = Total()
    for part in parts:
        total.add(HDF5.summarize(part, name="x"))
    HDF5.merge(tmp_path / "m.h5", parts, title="m")
    good = (tmp_path / "m.h5").read_bytes()

    def swap(file: Any) -> None:
        table = file["events/table"]
        one, two = table[20], table[30]
        one["tag"], two["tag"] = two["tag"], one["tag"]
        table[20], table[30] = one, two

    faults: list[Callable[[Any], object]] = [
        lambda f: f["events/pt"].resize(223, axis=0),
        lambda f: f["events/pt"].__setitem__(7, 0.5),
        lambda f: f["events/jagged"].__setitem__(3, [1.0, 2.0]),
        lambda f: f["events/names"].__setitem__((5, 0), "y"),
        swap,
        lambda f: f["h/counts"].__setitem__(3, 0),
        lambda f: f["h/counts"].__setitem__([3, 4], [f["h/counts"][4], f["h/counts"][3]]),
        lambda f: f["h/weights"].__setitem__((1, 1), 0.0),
        lambda f: f["selected"].__setitem__((), 11),
        lambda f: f.__delitem__("selected"),
    ]
    for fault in faults:
        (tmp_path / "m.h5").write_bytes(good)
        with h5py.File(tmp_path / "m.h5", "a") as file:
            fault(file)
        with pytest.raises(NotConservedError):
            total.check(HDF5.summarize(tmp_path / "m.h5", name="m"), name="m")


@pytest.mark.parametrize("damage", ["empty", "half", "short", "chunk", "zeros", "noise", "missing", "no datasets"])
def test_damaged_files(tmp_path: Path, damage: str) -> None:
    """A part that did not close its file, or a disk that lost some of it."""
    path = _write(tmp_path / "x.h5", lambda f: f.create_dataset("x", data=np.arange(5000), compression="gzip"))
    good = _write(tmp_path / "y.h5", lambda f: f.create_dataset("x", data=np.arange(5000), compression="gzip"))
    raw = path.read_bytes()
    with h5py.File(path) as file:
        at = file["x"].id.get_chunk_info(0).byte_offset
    path.write_bytes(
        {
            "empty": b"",
            "half": raw[: len(raw) // 2],
            "short": raw[:-1],
            "chunk": raw[: at + 100] + b"\xff" * 50 + raw[at + 150 :],
            "zeros": bytes(len(raw)),
            "noise": b"<html>502 Bad Gateway</html>",
        }.get(damage, raw)
    )
    if damage == "no datasets":
        _write(path, lambda f: f.create_group("a"))
    if damage == "missing":
        path.unlink()
    with pytest.raises(OutputDamagedError, match="part 7"):
        HDF5.summarize(path, name="part 7")
    with pytest.raises((OutputDamagedError, StructureError), match="part 7"):
        HDF5.merge(tmp_path / "m", [good, path], title="m", titles=["1", "part 7"])


def test_a_target_that_is_there_is_not_written_over(tmp_path: Path, parts: list[Path]) -> None:
    """It may be a good result."""
    (tmp_path / "m.h5").write_text("precious")
    with pytest.raises(MergeFailedError, match="could not be written"):
        HDF5.merge(tmp_path / "m.h5", parts, title="m")
    assert (tmp_path / "m.h5").read_text() == "precious"
