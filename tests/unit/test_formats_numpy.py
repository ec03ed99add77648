"""NumPy's files: arrays added exactly, and nothing unpickled."""

from __future__ import annotations

import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from septum.errors import MergeFailedError, NotConservedError, OutputDamagedError, OutputMissingError, StructureError
from septum.merge.formats import adding
from septum.merge.formats.numpyfile import NPY, NPZ
from septum.merge.summary import Total, first_difference
from tests.unit.format_files import merge_and_check, sha256


def _npy(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def _nasty(seed: int, size: int = 200) -> Any:
    """Numbers of every size and sign: plain sums of these depend on the order in every cell."""
    random = np.random.default_rng(seed)
    return random.normal(size=size) * 10.0 ** random.integers(-200, 200, size)


# ── adding ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_floats_are_added_exactly_in_any_order(tmp_path: Path) -> None:
    """Each cell is the sum that Python's own exact one gives, rounded once."""
    arrays = [_nasty(n) for n in range(30)]
    parts = [_npy(tmp_path / f"part{n}.npy", array) for n, array in enumerate(arrays)]
    merge_and_check(NPY, tmp_path / "1.npy", parts)
    NPY.merge(tmp_path / "2.npy", parts[::-1], title="2")
    merged = np.load(tmp_path / "1.npy", allow_pickle=False)

    assert merged.tolist() == [math.fsum(cells) for cells in zip(*arrays, strict=True)]
    assert sha256(tmp_path / "1.npy") == sha256(tmp_path / "2.npy")


def test_single_precision_is_rounded_once(tmp_path: Path) -> None:
    """Not to double precision first, which can round a tie to the wrong side."""
    # 1 + 2**-24 lies between two float32; the last term decides, and is beyond double precision.
    terms = [np.float32(1), np.float32(2**-24), np.float32(2**-80)]
    parts = [_npy(tmp_path / f"part{n}.npy", np.array([term, -term])) for n, term in enumerate(terms)]
    NPY.merge(tmp_path / "m.npy", parts, title="m")
    merged = np.load(tmp_path / "m.npy")

    assert merged.dtype == np.float32
    assert merged.tolist() == [1 + 2**-23, -1 - 2**-23]
    assert np.float32(math.fsum(map(float, terms))) == 1


@pytest.mark.parametrize("dtype", ["i1", "i2", ">i4", "i8", "u1", "u2", "<u4", "u8", ">f4", "f8", "c8", "c16"])
def test_every_type_of_number(tmp_path: Path, dtype: str) -> None:
    """In its own type, with the byte order of the parts."""
    random = np.random.default_rng(1)
    arrays = [random.integers(0, 10, (3, 4)).astype(dtype) for _ in range(5)]
    parts = [_npy(tmp_path / f"part{n}.npy", array) for n, array in enumerate(arrays)]
    merge_and_check(NPY, tmp_path / "m.npy", parts)
    merged = np.load(tmp_path / "m.npy")

    assert merged.dtype == np.dtype(dtype)
    assert merged.tolist() == np.sum([array.astype("c16") for array in arrays], axis=0).tolist()


@pytest.mark.parametrize(
    ("dtype", "cells"),
    [
        ("i1", [[100, -100, 50], [27, -28, -60]]),
        ("i8", [[2**63 - 1, -(2**63), 2**62], [-(2**63), 2**63 - 1, 2**62 - 1]]),
        ("u8", [[2**64 - 1, 0, 2**63], [0, 2**64 - 1, 2**63 - 1]]),
        ("i8", [[2**62], [2**62], [2**62], [-(2**62)], [-(2**62)]]),
    ],
)
def test_whole_numbers_up_to_the_last(tmp_path: Path, dtype: str, cells: list[list[int]]) -> None:
    """Also where the sum runs over on the way, and comes back."""
    parts = [_npy(tmp_path / f"part{n}.npy", np.array(row, dtype)) for n, row in enumerate(cells)]
    merge_and_check(NPY, tmp_path / "m.npy", parts)

    assert np.load(tmp_path / "m.npy").tolist() == [sum(column) for column in zip(*cells, strict=True)]


@pytest.mark.parametrize(
    ("dtype", "terms"),
    [
        ("i1", [100, 28]), ("i1", [-100, -29]), ("u1", [200, 56]), ("i4", [2**31 - 1, 1]), ("u4", [2**32 - 1, 1]),
        ("i8", [2**63 - 1, 1]), ("i8", [-(2**63), -1]), ("u8", [2**64 - 1, 1]), ("f4", [3e38, 3e38]),
        ("f8", [1.7e308, 1.7e308]), ("c8", [3e38j, 3e38j]),
    ],
)  # fmt: skip
def test_sums_that_run_over_are_refused(tmp_path: Path, dtype: str, terms: list[Any]) -> None:
    """One more than the type can hold; NumPy would wrap it without a word."""
    parts = [_npy(tmp_path / f"part{n}.npy", np.array([0, term], dtype)) for n, term in enumerate(terms)]
    with pytest.raises(StructureError, match="'array': the sum runs over") as caught:
        NPY.merge(tmp_path / "m.npy", parts, title="m")
    assert "cell" in caught.value.evidence


@pytest.mark.parametrize("cells", [3, 50])
def test_sums_that_do_not_fit_into_memory_at_once(tmp_path: Path, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts are read again for the next cells, and the bytes are the same, compressed or not."""
    for save in (np.savez, np.savez_compressed):
        parts = []
        for n in range(4):
            parts.append(tmp_path / f"part{n}.npz")
            save(parts[-1], a=_nasty(n, 40), name="x", b=np.arange(30) * n, one=np.float32(n), septum_equal=["name"])
        NPZ.merge(tmp_path / f"{save.__name__}.npz", parts, title="m")
        with monkeypatch.context() as patch:
            patch.setattr(adding, "CELLS_AT_ONCE", cells)
            NPZ.merge(tmp_path / f"{save.__name__}-small.npz", parts, title="m")
        assert sha256(tmp_path / f"{save.__name__}-small.npz") == sha256(tmp_path / f"{save.__name__}.npz")


def test_a_sum_that_runs_over_in_its_later_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first ones stand in the new file already: the error is about the sum, not about the file."""
    part = _npz(tmp_path / "x.npz", n=np.array([1, 2, 3, 100], "i1"))
    monkeypatch.setattr(adding, "CELLS_AT_ONCE", 2)
    with pytest.raises(StructureError, match="runs over what int8 can hold"):
        NPZ.merge(tmp_path / "m.npz", [part, part], title="m")


def test_arrays_of_one_file(tmp_path: Path) -> None:
    """In the order of the first; numbers are added, the rest and what is named is equal."""
    parts = []
    for n in range(3):
        parts.append(tmp_path / f"part{n}.npz")
        np.savez_compressed(
            parts[-1],
            counts=np.full((2, 3), n),
            edges=np.linspace(0, 1, 4),
            names=np.array(["a", "bb"]),
            flags=np.array([True, False]),
            rows=np.zeros(2, [("x", "f8"), ("n", "i4")]),
            nothing=np.zeros((0, 3)),
            scalar=np.float64(n / 3),
            septum_equal=np.array(["edges"]),
            fortran=np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        )
    merged = merge_and_check(NPZ, tmp_path / "m.npz", parts)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        assert list(arrays) == [
            "counts",
            "edges",
            "names",
            "flags",
            "rows",
            "nothing",
            "scalar",
            "septum_equal",
            "fortran",
        ]
        assert arrays["counts"].tolist() == [[3, 3, 3], [3, 3, 3]]
        assert arrays["edges"].tolist() == np.linspace(0, 1, 4).tolist()
        assert arrays["names"].tolist() == ["a", "bb"]
        assert arrays["nothing"].shape == (0, 3)
        assert arrays["scalar"] == math.fsum([0, 1 / 3, 2 / 3])
        assert arrays["fortran"].tolist() == [[0, 3, 6], [9, 12, 15]]
        assert arrays["fortran"].flags.f_contiguous
    assert merged.objects["counts"].entries == 18
    assert {info.compress_type for info in zipfile.ZipFile(tmp_path / "m.npz").infolist()} == {zipfile.ZIP_DEFLATED}
    assert zipfile.ZipFile(tmp_path / "m.npz").testzip() is None


def test_times_in_the_parts_leave_no_trace(tmp_path: Path) -> None:
    """Nor does the system that wrote them."""
    for n, year in enumerate([1999, 2026]):
        with zipfile.ZipFile(tmp_path / f"part{n}.npz", "w") as archive:
            info = zipfile.ZipInfo("x.npy", (year, 1, 1, 0, 0, 0))
            info.create_system = n
            archive.writestr(info, _npy(tmp_path / "x.npy", np.arange(3)).read_bytes())
        NPZ.merge(tmp_path / f"{n}.npz", [tmp_path / f"part{n}.npz"], title="m")

    assert sha256(tmp_path / "0.npz") == sha256(tmp_path / "1.npz")
    assert zipfile.ZipFile(tmp_path / "0.npz").infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


# ── what must be equal ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"a": [1]}, {"b": [1]}, "'a' is in 1 only"),
        ({"a": [1]}, {"a": [1], "b": [1]}, "'b' is in 2 only"),
        ({"a": [1]}, {"a": [1.0]}, "'type': <i8 in the first, <f8 in the other"),
        ({"a": [1]}, {"a": [[1]]}, "'shape': [1] in the first, [1, 1] in the other"),
        (
            {"a": [[1, 2], [3, 4]]},
            {"a": np.asfortranarray([[1, 2], [3, 4]])},
            "'order': C in the first, F in the other",
        ),
        ({"a": ["x"]}, {"a": ["y"]}, "'content'"),
        ({"a": [True]}, {"a": [False]}, "'content'"),
        ({"a": [1], "septum_equal": ["a"]}, {"a": [2], "septum_equal": ["a"]}, "'content'"),
        ({"a": [1], "b": [1], "septum_equal": ["a"]}, {"a": [1], "b": [1], "septum_equal": ["b"]}, "'rule'"),
    ],
)
def test_files_that_differ_are_not_merged(tmp_path: Path, one: Any, other: Any, said: str) -> None:
    """The message says in which array, and how."""
    parts = [_npz(tmp_path / "1.npz", **one), _npz(tmp_path / "2.npz", **other)]
    summaries = [NPZ.summarize(part, name="x") for part in parts]
    with pytest.raises(StructureError, match="1 and 2 cannot be merged") as caught:
        NPZ.merge(tmp_path / "m", parts, title="m")

    assert summaries[0].structure != summaries[1].structure
    assert first_difference(*summaries) != "no difference"
    assert said in caught.value.evidence


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(tmp_path: Path, value: float) -> None:
    """One of them would make a whole result useless."""
    with pytest.raises(StructureError, match="'w' holds NaN or infinity") as caught:
        NPZ.summarize(_npz(tmp_path / "x.npz", w=[0, 1, value]), name="part 7")
    assert caught.value.evidence == "cell 2"


@pytest.mark.parametrize("dtype", ["f2", np.longdouble])
def test_numbers_that_cannot_be_added_exactly(tmp_path: Path, dtype: Any) -> None:
    """Shorter or longer than what the sums are made for."""
    with pytest.raises(StructureError, match="cannot be added exactly"):
        NPY.summarize(_npy(tmp_path / "x.npy", np.ones(3, dtype)), name="x")


def test_too_many_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are not written as arrays."""
    monkeypatch.setattr(adding, "_MOST_CELLS", 5)
    with pytest.raises(StructureError, match="6 cells are too many"):
        NPY.summarize(_npy(tmp_path / "x.npy", np.ones(6)), name="x")


@pytest.mark.parametrize(
    ("names", "said"),
    [(["edgse"], "names 'edgse', which is not there"), ([1], "is no array of names")],
)
def test_names_of_equal_arrays_that_make_no_sense(tmp_path: Path, names: Any, said: str) -> None:
    """A misspelled one would be added."""
    with pytest.raises(StructureError, match=said):
        NPZ.summarize(_npz(tmp_path / "x.npz", edges=[1.0], septum_equal=names), name="x")


def test_arrays_that_must_be_there(tmp_path: Path) -> None:
    """As `objects` in septum.yaml names them."""
    path = _npz(tmp_path / "x.npz", a=[1], b=[2])

    NPZ.summarize(path, name="x", expected=["a", "b"])
    with pytest.raises(OutputMissingError, match="the array 'c' is not in the file"):
        NPZ.summarize(path, name="x", expected=["a", "c"])


# ── hostile and damaged files ───────────────────────────────────────────────────────────────────────────────────


class _Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """To load a pickle is to run what it says."""
    bomb = np.array([_Bomb(tmp_path / "fired")], dtype=object)
    np.save(tmp_path / "x.npy", bomb, allow_pickle=True)
    np.savez(tmp_path / "x.npz", a=bomb)
    (tmp_path / "y.npy").write_bytes(pickle.dumps(_Bomb(tmp_path / "fired")))
    for form, name in ((NPY, "x.npy"), (NPZ, "x.npz")):
        with pytest.raises(StructureError, match="pickled Python objects, which are never loaded"):
            form.summarize(tmp_path / name, name="x")
        with pytest.raises(StructureError, match="pickled"):
            form.merge(tmp_path / "m", [tmp_path / name], title="m")
    with pytest.raises(OutputDamagedError):
        NPY.summarize(tmp_path / "y.npy", name="x")

    assert not (tmp_path / "fired").exists()


def _raw(header: str, cells: bytes = b"", version: int = 1) -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + cells


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        bytes(500),
        _raw("{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}\n", bytes(23)),
        _raw("{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}\n", bytes(25)),
        _raw("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}\n"),
        _raw("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -3)}\n", bytes(24)),
        _raw("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,)}\n"),
        _raw("__import__('os').system('false')\n"),
        _raw("(" * 9000),
        _raw("{'descr': '<f8'}\n", bytes(8)),
        _raw("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}\n", bytes(8))[:30],
    ],
)
def test_damaged_arrays(tmp_path: Path, raw: bytes) -> None:
    """Cut off, longer than they say, or with a header that nobody would write."""
    (tmp_path / "x.npy").write_bytes(raw)
    with pytest.raises(OutputDamagedError, match="part 7"):
        NPY.summarize(tmp_path / "x.npy", name="part 7")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", raw)
    with pytest.raises(OutputDamagedError, match="part 7"):
        NPZ.summarize(tmp_path / "x.npz", name="part 7")
    with pytest.raises(OutputDamagedError, match="part 7"):
        NPZ.merge(
            tmp_path / "m", [_npz(tmp_path / "y.npz", x=[1.0]), tmp_path / "x.npz"], title="m", titles=["1", "part 7"]
        )


def test_two_arrays_in_one_file(tmp_path: Path) -> None:
    """`numpy.load` gives the first, and says nothing of the second."""
    with (tmp_path / "x.npy").open("wb") as stream:
        np.save(stream, np.arange(3))
        np.save(stream, np.arange(3))
    with pytest.raises(OutputDamagedError, match="more than one array"):
        NPY.summarize(tmp_path / "x.npy", name="x")


def test_longer_headers(tmp_path: Path) -> None:
    """Structured arrays of many fields have one of the second version; names beyond Latin-1 need a third."""
    many = np.zeros(2, [(f"column_with_a_long_name_{n}", "f8") for n in range(200)])
    merge_and_check(NPY, tmp_path / "m.npy", [_npy(tmp_path / "x.npy", many)] * 2)
    with pytest.warns(UserWarning, match=r"format 3\.0"):
        odd = _npy(tmp_path / "y.npy", np.zeros(2, [("μ", "f8")]))
    with pytest.raises(StructureError, match="outside of Latin-1"):
        NPY.summarize(odd, name="x")


def _zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return path


def test_damaged_and_hostile_archives(tmp_path: Path) -> None:
    """Of arrays as of anything else."""
    good = _npy(tmp_path / "x.npy", np.arange(1000)).read_bytes()
    raw = _zip(tmp_path / "x.npz", {"x.npy": good}).read_bytes()
    at = raw.index(good) + 5000
    broken = {
        "short": raw[:-10],
        "half": raw[: len(raw) // 2],
        "flipped": raw[:at] + b"\xff" + raw[at + 1 :],
        "empty": b"",
        "no arrays": _zip(tmp_path / "n.npz", {}).read_bytes(),
        "other members": _zip(tmp_path / "o.npz", {"x.npy": good, "readme.txt": b"x"}).read_bytes(),
    }
    for data in broken.values():
        (tmp_path / "y.npz").write_bytes(data)
        with pytest.raises(OutputDamagedError, match="part 7"):
            NPZ.summarize(tmp_path / "y.npz", name="part 7")
    for name in ("../x.npy", "/x.npy", "a/../../x.npy", "C:\\x.npy"):
        with pytest.raises(StructureError, match="leads out of the archive"):
            NPZ.summarize(_zip(tmp_path / "y.npz", {name: good}), name="x")
    with pytest.raises(OutputDamagedError, match="is there twice"):
        NPZ.summarize(_zip(tmp_path / "y.npz", {"x.npy": good, "./x.npy": good}), name="x")


def test_an_archive_that_claims_what_it_cannot_hold(tmp_path: Path) -> None:
    """Some kilobytes that would become gigabytes."""
    path = _zip(tmp_path / "x.npz", {"x.npy": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\x01\x02") + 24
    raw[at : at + 4] = struct.pack("<I", 0xFFFFFF00)
    path.write_bytes(raw)
    with pytest.raises(StructureError, match="claims to hold 4294967040"):
        NPZ.summarize(path, name="x")


def test_a_merge_that_loses_or_invents_something_is_found(tmp_path: Path) -> None:
    """A count, a weight, two cells that changed places."""
    parts = [_npz(tmp_path / f"part{n}.npz", n=np.arange(5) * 2**50 + n, w=_nasty(n)) for n in range(4)]
    total = Total()
    for part in parts:
        total.add(NPZ.summarize(part, name="x"))
    merge_and_check(NPZ, tmp_path / "m.npz", parts)
    with np.load(tmp_path / "m.npz") as arrays:
        good = dict(arrays)
    largest = int(np.argmax(np.abs(good["w"])))
    changes: dict[str, list[Callable[[Any], Any]]] = {
        "n": [lambda a: a + np.eye(5, dtype=int)[3], lambda a: a[::-1], lambda a: a + np.array([1, -1, 0, 0, 0])],
        "w": [lambda a: a[::-1], lambda a: a * (np.arange(len(a)) != largest), lambda a: a * (1 + 1e-10)],
    }
    for name, change in changes.items():
        for fault in change:
            bad = _npz(tmp_path / "bad.npz", **{**good, name: fault(good[name])})
            with pytest.raises(NotConservedError):
                total.check(NPZ.summarize(bad, name="m"), name="m")


def test_a_target_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """It may be a good result."""
    (tmp_path / "m.npz").write_text("precious")
    with pytest.raises(MergeFailedError, match="could not be written"):
        NPZ.merge(tmp_path / "m.npz", [_npz(tmp_path / "x.npz", a=[1])], title="m")
    assert (tmp_path / "m.npz").read_text() == "precious"
