"""What holds for every format: thousands of parts, little memory, few open files, equal bytes, a full disk."""

from __future__ import annotations

import io
import json
import resource
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from septum.errors import MergeFailedError
from septum.merge import formats
from septum.merge.formats import hdf5rows, members, parquet
from septum.merge.formats.base import Format
from septum.merge.summary import Total
from tests.unit.format_files import full_disk, in_two_levels, sha256


def _parquet(path: Path, number: int, size: int) -> None:
    table = pa.table({"n": np.arange(size) + number, "s": [f"event {n}" for n in range(size)]})
    pq.write_table(table, path, compression="none", use_dictionary=False)


def _hdf5(path: Path, number: int, size: int) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("rows", data=np.arange(size) + number, maxshape=(None,), chunks=(100,))
        file["sum"] = np.full(3, number)


def _npy(path: Path, number: int, size: int) -> None:
    np.save(path, np.full(size, number / 3))


def _npz(path: Path, number: int, size: int) -> None:
    np.savez(path, w=np.full(size, number / 3), n=np.arange(size) * number)


def _json(path: Path, number: int, size: int) -> None:
    path.write_text(json.dumps({"w": [number / 3] * size, "n": {"all": number}}))


def _text(path: Path, number: int, size: int) -> None:
    path.write_bytes(b"".join(b"%d,%d\n" % (number, n) for n in range(size)))


def _table(path: Path, number: int, size: int) -> None:
    delimiter = b"\t" if path.suffix == ".tsv" else b","
    path.write_bytes(
        delimiter.join([b"a", b"b\n"]) + b"".join(b"%d%b%d\n" % (number, delimiter, n) for n in range(size))
    )


def _tar(path: Path, number: int, size: int) -> None:
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        info = tarfile.TarInfo(f"out/{number}")
        info.size = size * 8
        archive.addfile(info, io.BytesIO(bytes(info.size)))


def _zip(path: Path, number: int, size: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"out/{number}", bytes(size * 8))


MAKERS: dict[str, Callable[[Path, int, int], None]] = {
    ".parquet": _parquet, ".h5": _hdf5, ".npy": _npy, ".npz": _npz, ".json": _json, ".txt": _text, ".csv": _table,
    ".tsv": _table, ".tar": _tar, ".tar.gz": _tar, ".zip": _zip,
}  # fmt: skip
EVERY = pytest.mark.parametrize("ending", MAKERS)


def _form(ending: str) -> Format:
    form = formats.find(f"x{ending}")
    assert form is not None
    return form


def _parts(folder: Path, ending: str, count: int, size: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"part{number:04}{ending}" for number in range(count)]
    for number, path in enumerate(paths):
        MAKERS[ending](path, number, size)
    return paths


def test_no_format_is_forgotten() -> None:
    """Every one is in the tests of this file."""
    assert {_form(ending).name for ending in MAKERS} == {_form(ending).name for ending in formats.endings()}


@pytest.fixture
def few_files() -> Iterator[None]:
    """Not many more files than are open now can be open at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Numbers of descriptors count, not descriptors.
    used = max(int(item.name) for item in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@EVERY
@pytest.mark.usefixtures("few_files")
def test_two_thousand_parts(ending: str, tmp_path: Path) -> None:
    """Each is in the result, and few files are open at a time."""
    form, parts, total = _form(ending), _parts(tmp_path, ending, 100, 1), Total()
    for part in parts:
        summary = form.summarize(part, name="x")
        for _ in range(20):
            total.add(summary)
    target = tmp_path / f"m{ending}"
    form.merge(target, parts * 20, title="m", titles=[f"{number:04}" for number in range(2000)])
    merged = form.summarize(target, name="m")
    total.check(merged, name="m")

    held = merged.objects
    if ending in {".npy", ".npz", ".json"}:
        content = held["array" if ending == ".npy" else "w"].content
        assert content is not None
        assert content[0] == pytest.approx(20 * 99 * 50 / 3, rel=1e-14)
    elif ending == ".h5":
        assert (held["rows"].entries, held["sum"].entries) == (2000, 20 * 3 * 99 * 50)
    else:
        assert [item.entries for item in held.values()] == [2000]


@EVERY
def test_equal_parts_give_equal_bytes(ending: str, tmp_path: Path) -> None:
    """Whatever the result is called, and where the parts lie."""
    form = _form(ending)
    for number in range(2):
        form.merge(tmp_path / f"{number}{ending}", _parts(tmp_path / f"run{number}", ending, 7, 50), title=f"{number}")

    assert sha256(tmp_path / f"0{ending}") == sha256(tmp_path / f"1{ending}")


@pytest.mark.parametrize("ending", [ending for ending in MAKERS if _form(ending).two_levels])
def test_two_levels_give_the_bytes_of_one(ending: str, tmp_path: Path) -> None:
    """Wherever the ranges are cut."""
    form, parts = _form(ending), _parts(tmp_path, ending, 9, 20)
    form.merge(tmp_path / f"m{ending}", parts, title="m")
    for cut in (1, 4, 8):
        (folder := tmp_path / str(cut)).mkdir()
        assert sha256(in_two_levels(form, folder, parts, cut)) == sha256(tmp_path / f"m{ending}")


@EVERY
def test_memory_does_not_grow_with_the_parts(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times as many parts need no more of it; those of libraries included that do not use Python's."""
    monkeypatch.setattr(parquet, "_MOST_ROWS_IN_GROUP", 5000)
    monkeypatch.setattr(hdf5rows, "_BLOCK_B", 1 << 16)
    monkeypatch.setattr(members, "BLOCK_B", 1 << 16)
    form, parts = _form(ending), _parts(tmp_path, ending, 25, 2000)
    form.merge(tmp_path / f"warm{ending}", parts[:3], title="warm")
    peaks = []
    for count in (5, 25):
        pool = pa.proxy_memory_pool(pa.default_memory_pool())
        before = pa.default_memory_pool()
        pa.set_memory_pool(pool)
        tracemalloc.start()
        try:
            form.merge(tmp_path / f"{count}{ending}", parts[:count], title="m")
            peaks.append(tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0))
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(before)

    # Names of members and the footer of a table do grow, with some bytes a part.
    assert peaks[1] < 1.3 * peaks[0] + 50_000
    assert peaks[1] < 4_000_000


@EVERY
def test_a_full_disk(ending: str, tmp_path: Path) -> None:
    """An error that says so, and no crash; the sources are not blamed."""
    parts = _parts(tmp_path, ending, 3, 20_000)
    target = tmp_path / f"m{ending}"
    with full_disk(200 if ending in {".tar.gz", ".zip"} else 20_000), pytest.raises(MergeFailedError) as caught:
        _form(ending).merge(target, parts, title="all.x")
    assert "merge: all.x could not be written" in caught.value.what
    assert "disk" in caught.value.fix


@EVERY
def test_a_folder_that_is_not_there(ending: str, tmp_path: Path) -> None:
    """The error is about the result, not about a part."""
    with pytest.raises(MergeFailedError, match="could not be written"):
        _form(ending).merge(tmp_path / "none" / f"m{ending}", _parts(tmp_path, ending, 2, 3), title="m")
