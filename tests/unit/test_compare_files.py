"""Two files: bytes first, then object by object, whatever order, version or cycle they stand in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
import uproot

from septum.compare.files import Given, compare_files
from septum.compare.verdicts import Entry, Verdict
from septum.errors import NotComparableError
from tests.fakes.rootfiles import H, write_root


def compared(here: Path, there: Path, *, name: str = "all.root", parts: int = 4) -> dict[str, Entry]:
    """The entries by their path."""
    entries = compare_files(Given(name=name, path=here, parts=parts), Given(name=name, path=there, parts=parts))
    assert {entry.result for entry in entries} == {name}
    return {entry.path: entry for entry in entries}


def verdicts(here: Path, there: Path, **more: Any) -> dict[str, str]:
    """What was found, by path."""
    return {path: entry.verdict.value for path, entry in compared(here, there, **more).items()}


OBJECTS = {"mass": H(cells=[0, 10, 200, 3]), "cut/pt": H(cells=[1, 50, 60, 0]), "n": H(cells=[0, 7, 8, 0], dtype=">i4")}


def test_equal_bytes_are_not_read(tmp_path: Path) -> None:
    """Not even if they are no ROOT file."""
    for name in "ab":
        (tmp_path / name).write_text("anything")
    entry = compared(tmp_path / "a", tmp_path / "b")[""]

    assert (entry.verdict, entry.detail, entry.kind) == (Verdict.IDENTICAL, "byte-identical", "file")


def test_another_order_of_objects_is_identical(tmp_path: Path) -> None:
    """A file is a set of objects; other bytes, equal content."""
    one = write_root(tmp_path / "one.root", OBJECTS)
    other = write_root(tmp_path / "other.root", dict(reversed(OBJECTS.items())))

    assert verdicts(one, other) == dict.fromkeys(("mass", "cut/pt", "n"), "identical")


def test_another_compression_is_identical(tmp_path: Path) -> None:
    """What counts is what is read."""
    paths = []
    for number, compression in enumerate((None, uproot.ZLIB(9), uproot.LZMA(1))):
        paths.append(tmp_path / f"{number}.root")
        with uproot.recreate(paths[-1], compression=compression) as file:
            file["h"] = np.histogram(np.linspace(0, 1, 5000) ** 2, bins=200)
            file.mktree("t", {"x": "float64"}).extend({"x": np.linspace(0, 1, 5000)})

    assert verdicts(paths[0], paths[1]) == verdicts(paths[1], paths[2]) == {"h": "identical", "t": "identical"}


def test_missing_and_new_objects(tmp_path: Path) -> None:
    """Each is said by name, and nothing else is touched."""
    one = write_root(tmp_path / "one.root", {"mass": OBJECTS["mass"], "new": OBJECTS["n"]})
    other = write_root(tmp_path / "other.root", {"mass": OBJECTS["mass"], "cut/gone": OBJECTS["n"]})

    assert verdicts(one, other) == {"mass": "identical", "new": "new", "cut/gone": "missing"}


def test_a_class_that_changed_is_another_structure(tmp_path: Path) -> None:
    """TH1D is not TH1F, though their numbers are equal."""
    one = write_root(tmp_path / "one.root", {"h": H(cells=[0, 1, 2, 0])})
    other = write_root(tmp_path / "other.root", {"h": H(cells=[0, 1, 2, 0], dtype=">f4")})
    entry = compared(one, other)["h"]

    assert (entry.verdict, entry.detail) == (Verdict.STRUCTURE, "TH1D here, TH1F in the reference")


def test_the_highest_cycle_counts(tmp_path: Path) -> None:
    """An object that was written twice is what was written last."""
    one, other = tmp_path / "one.root", tmp_path / "other.root"
    write_root(other, {"h": H(cells=[0, 5, 5, 0])})
    write_root(one, {"h": H(cells=[0, 1, 1, 0])})
    with uproot.update(one) as file, uproot.open(other) as source:
        file["h"] = source["h"].to_hist()
    with uproot.open(one) as file:
        assert sorted(file.keys()) == ["h;1", "h;2"]

    assert compared(one, other)["h"].chi2 in {None, 0.0}


def test_histograms_of_hist_are_read_as_they_were_filled(tmp_path: Path) -> None:
    """Weights, two dimensions, variable edges, categories, profiles."""

    def write(path: Path, weight: float, seed: int = 4) -> Path:
        rng = np.random.default_rng(seed)
        x, y = rng.random(2000), rng.normal(size=2000)
        made = {
            "weighted": hist.Hist.new.Reg(20, 0, 1).Weight().fill(x, weight=weight),
            "plane": hist.Hist.new.Reg(5, 0, 1).Var([-3, -1, 0, 4]).Weight().fill(x, y, weight=weight),
            "labels": hist.Hist.new.StrCat(["ee", "mm"]).Weight().fill(np.where(x < 0.5, "ee", "mm"), weight=weight),
            "profile": hist.Hist.new.Reg(10, 0, 1).WeightedMean().fill(x, sample=y, weight=weight),
        }
        with uproot.recreate(path) as file:
            for name, one in made.items():
                file[name] = one
        return path

    nominal = write(tmp_path / "nominal.root", 1.0)
    (tmp_path / "again").mkdir()
    again = write(tmp_path / "again" / "other-name.root", 1.0)
    assert set(verdicts(nominal, again).values()) == {"identical"}
    scaled = compared(nominal, write(tmp_path / "scaled.root", 1.5))
    assert [name for name, entry in scaled.items() if entry.p_value is not None and entry.p_value < 1e-6] == [
        "weighted", "plane", "labels", "profile",
    ]  # fmt: skip
    assert scaled["labels"].worst in {"bin 1 'ee'", "bin 2 'mm'"}
    other = compared(nominal, write(tmp_path / "other.root", 1.0, seed=5))
    assert {entry.verdict for entry in other.values()} == {Verdict.COMPATIBLE}
    assert min(entry.p_value for entry in other.values() if entry.p_value is not None) > 0.01


def test_trees_of_other_versions_of_a_writer(tmp_path: Path) -> None:
    """A TTree and an RNTuple are not the same class; two trees with other baskets are the same tree."""
    data = {"x": np.arange(1000.0), "jets": ak.unflatten(np.arange(2000), np.arange(1000) % 5)}
    paths = []
    for number, chunk in enumerate((1000, 77)):
        paths.append(tmp_path / f"{number}.root")
        with uproot.recreate(paths[-1]) as file:
            tree = file.mktree("events", {"x": "float64", "jets": "var * int64"})
            for start in range(0, 1000, chunk):
                tree.extend({name: values[start : start + chunk] for name, values in data.items()})
    paths.append(tmp_path / "ntuple.root")
    with uproot.recreate(paths[-1]) as file:
        file.mkrntuple("events", {"x": data["x"]})

    assert verdicts(paths[0], paths[1]) == {"events": "identical"}
    assert verdicts(paths[0], paths[2]) == {"events": "structure"}


def test_ntuples(tmp_path: Path) -> None:
    """Equal, and with one value changed."""
    paths = []
    for number in range(3):
        values = np.arange(500.0)
        values[17] += number == 2
        paths.append(tmp_path / f"{number}.root")
        with uproot.recreate(paths[-1], compression=uproot.ZLIB(1 + number)) as file:
            file.mkrntuple("events", {"x": values, "n": np.arange(500)})
    changed = compared(paths[0], paths[2])["events"]

    assert verdicts(paths[0], paths[1]) == {"events": "identical"}
    assert (changed.verdict, changed.detail) == (Verdict.COMPATIBLE, "1 of 2 columns differ: x")


# ── broken files ────────────────────────────────────────────────────────────────────────────────────────────────


def cut_off(path: Path) -> None:
    """As after a full disk."""
    path.write_bytes(path.read_bytes()[:-200])


def never_closed(path: Path) -> None:
    """As after a job was killed: more bytes than its header speaks of."""
    path.write_bytes(path.read_bytes() + b"\0" * 500)


@pytest.mark.parametrize("breaking", [
    cut_off,
    never_closed,
    lambda path: path.write_bytes(b""),
    lambda path: path.write_text("<html>503</html>"),
    lambda path: path.write_bytes(b"root" + b"\0" * 2000),
    lambda path: path.unlink(),
    lambda path: (path.unlink(), path.mkdir()),
], ids=["cut off", "never closed", "empty", "page", "zeros", "gone", "folder"])  # fmt: skip
@pytest.mark.parametrize("side", ["here", "there"])
def test_a_broken_file_is_one_clear_error(tmp_path: Path, breaking: Callable[[Path], object], side: str) -> None:
    """On either side, and with its name."""
    paths = {name: write_root(tmp_path / f"{name}.root", OBJECTS) for name in ("here", "there")}
    breaking(paths[side])

    with pytest.raises(NotComparableError, match=rf"{side}\.root") as caught:
        compared(paths["here"], paths["there"])

    assert caught.value.fix


def test_a_damaged_object_is_equal_to_nothing(tmp_path: Path) -> None:
    """The others are compared all the same."""
    one = write_root(tmp_path / "one.root", OBJECTS)
    other = tmp_path / "other.root"
    shutil.copy(one, other)
    with uproot.open(one) as file:
        key = file.key("mass")
        start, length = key.data_cursor.index, key.data_compressed_bytes
    raw = bytearray(other.read_bytes())
    raw[start + 20 : start + length] = b"\xff" * (length - 20)
    other.write_bytes(raw)
    found = compared(one, other)

    assert {path: entry.verdict.value for path, entry in found.items()} == {
        "mass": "different", "cut/pt": "identical", "n": "identical",
    }  # fmt: skip
    assert found["mass"].detail.startswith("cannot be read")


# ── other formats ───────────────────────────────────────────────────────────────────────────────────────────────


def test_arrays_of_numpy(tmp_path: Path) -> None:
    """Equal, rounded, different: without errors there is no chance."""
    values = np.linspace(1, 2, 100)
    for name, last in (("a", values), ("b", np.nextafter(values, 3)), ("c", values * 1.001)):
        np.savez_compressed(tmp_path / f"{name}.npz", same=values, last=last)
    one, two, three = (tmp_path / f"{name}.npz" for name in "abc")

    assert verdicts(one, two, name="sums.npz") == {"same": "identical", "last": "rounding"}
    assert verdicts(one, three, name="sums.npz") == {"same": "identical", "last": "different"}


def test_a_cutflow_in_json(tmp_path: Path) -> None:
    """Counter by counter; another text is another structure."""
    for name, muons, era in (("a", 70, "2018"), ("b", 71, "2018"), ("c", 70, "2017")):
        data = {"cutflow": {"all": 100, "muons": muons}, "era": era}
        (tmp_path / f"{name}.json").write_text(json.dumps(data, indent=1 if name == "a" else None))
    one, two, three = (tmp_path / f"{name}.json" for name in "abc")
    counters = {"cutflow/all": "identical", "cutflow/muons": "different", "era": "identical"}

    assert verdicts(one, two, name="cutflow.json") == counters
    assert verdicts(one, three, name="cutflow.json")["era"] == "structure"


def test_rows_of_a_table_in_another_order(tmp_path: Path) -> None:
    """Which rows there are is known, their order is not compared: no identity is claimed."""
    (tmp_path / "a.csv").write_text("run,mass\n1,91.0\n2,90.5\n")
    (tmp_path / "b.csv").write_text("run,mass\n2,90.5\n1,91.0\n")
    (tmp_path / "c.csv").write_text("run,mass\n1,91.0\n2,80.5\n")
    one, two, three = (tmp_path / f"{name}.csv" for name in "abc")

    assert list(verdicts(one, two, name="events.csv").values()) == ["compatible"]
    assert list(verdicts(one, three, name="events.csv").values()) == ["different"]


def test_what_nobody_can_look_into_is_its_bytes(tmp_path: Path) -> None:
    """Equal bytes or different: no third word."""
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).write_text(text)

    assert verdicts(tmp_path / "a", tmp_path / "b", name="model.onnx") == {"": "identical"}
    assert verdicts(tmp_path / "a", tmp_path / "c", name="model.onnx") == {"": "different"}


def test_a_format_that_is_none(tmp_path: Path) -> None:
    """A page under the name of an array."""
    (tmp_path / "a.npz").write_text("<html>")
    np.savez(tmp_path / "b.npz", x=np.ones(3))

    with pytest.raises(NotComparableError, match=r"a\.npz"):
        compared(tmp_path / "a.npz", tmp_path / "b.npz", name="sums.npz")
