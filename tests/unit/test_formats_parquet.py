"""Parquet: rows one after the other, none lost, whatever their types."""

from __future__ import annotations

import json
import random
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from septum.errors import MergeFailedError, NotConservedError, OutputDamagedError, OutputMissingError, StructureError
from septum.merge.formats import parquet
from septum.merge.formats.arrowrows import checksums
from septum.merge.formats.parquet import PARQUET
from septum.merge.summary import Total, first_difference
from tests.unit.format_files import in_two_levels, merge_and_check, sha256

EVENTS = pa.schema([pa.field("run", pa.int64(), nullable=False), ("pt", pa.list_(pa.float32())), ("tag", pa.string())])
# One column of each type that Parquet has, with rows without a value.
RICH: dict[str, pa.Array] = {
    "i": pa.array([1, None, 3, 4]),
    "f": pa.array([1.5, float("nan"), None, -0.0]),
    "half": pa.array(np.array([1, 2, 3, 4], "f2")),
    "flag": pa.array([True, None, False, True]),
    "text": pa.array(["a", None, "bcd", ""]),
    "long": pa.array(["a", None, "bcd", ""], pa.large_string()),
    "bytes": pa.array([b"\0", None, b"\xff", b""]),
    "three": pa.array([b"abc", None, b"xyz", b"\0\0\0"], pa.binary(3)),
    "money": pa.array([Decimal("1.5"), None, Decimal("-2.25"), Decimal(0)]),
    "when": pa.array([datetime(2026, 1, 1, tzinfo=timezone.utc), None] * 2, pa.timestamp("us", "UTC")),
    "day": pa.array([1, None, 2, 3], pa.date32()),
    "kind": pa.array(["mu", None, "e", "mu"]).dictionary_encode(),
    "lists": pa.array([["a", "b"], None, [], ["c"]]),
    "jagged": pa.array([[[1.0], [2.0, 3.0]], None, [], [None, [4.0]]]),
    "pair": pa.array([[1, 2], [0, 0], [3, 4], [5, None]], pa.list_(pa.int32(), 2)),
    "vector": pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}, {"x": 3, "y": None}]),
    "muons": pa.array([[{"x": 1}], None, [], [{"x": None}, {"x": 2}]]),
    "map": pa.array([[("a", 1)], None, [("b", 2), ("c", None)], []], pa.map_(pa.string(), pa.int64())),
    "none": pa.nulls(4),
}
# Before its version 26, pyarrow writes lists of fixed length that are missing, and cannot read them.
MISSING_PAIR = {"missing pair": pa.array([[1, 2], None, [3, 4], [5, None]], pa.list_(pa.int32(), 2))}


def _write(path: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, path, **options)
    return path


def _events(rows: int, seed: int = 0) -> pa.Table:
    numbers = random.Random(seed)
    columns = {
        "run": [numbers.randrange(1000) for _ in range(rows)],
        "pt": [[numbers.random() for _ in range(numbers.randrange(4))] for _ in range(rows)],
        "tag": [numbers.choice(["mu", "e", None]) for _ in range(rows)],
    }
    return pa.table(columns, EVENTS)


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Parts of different sizes, one of them empty, in row groups of different sizes."""
    sizes = [5, 0, 40, 1, 17, 23]
    return [
        _write(tmp_path / f"{n}.parquet", _events(rows, n), compression="zstd", row_group_size=n + 3)
        for n, rows in enumerate(sizes)
    ]


# ── merging ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_stand_in_the_order_of_the_parts(tmp_path: Path, parts: list[Path]) -> None:
    """As pyarrow's own concatenation gives them, with the compression of the first."""
    merged = merge_and_check(PARQUET, tmp_path / "m.parquet", parts)
    read = pq.ParquetFile(tmp_path / "m.parquet")

    assert merged.objects["table"].entries == 86
    assert read.read().equals(pa.concat_tables([pq.read_table(part) for part in parts]))
    assert read.schema_arrow.equals(EVENTS)
    assert {read.metadata.row_group(0).column(n).compression for n in range(3)} == {"ZSTD"}


@pytest.mark.parametrize("column", RICH)
def test_every_type_of_column(tmp_path: Path, column: str) -> None:
    """Comes out as it went in, and is checked by values, not by how batches hold them."""
    table = pa.table({column: RICH[column]})
    cuts = [(0, 1), (1, 2), (3, 0), (3, 1)]
    parts = [_write(tmp_path / f"{a}{b}.parquet", table.slice(a, b)) for a, b in cuts]
    merge_and_check(PARQUET, tmp_path / "m.parquet", parts)
    # NaN does not equal itself.
    shown = [
        str(pq.read_table(path)[column].to_pylist())
        for path in (_write(tmp_path / "x", table), parts[0].parent / "m.parquet")
    ]

    assert shown[0] == shown[1]


@pytest.mark.parametrize("column", RICH | MISSING_PAIR)
def test_checksums_of_rows_do_not_know_the_batch(column: str) -> None:
    """Of every slice, and of a copy of it."""
    array = (RICH | MISSING_PAIR)[column]
    whole = checksums(array)

    for start in range(5):
        for stop in range(start, 5):
            part = array.slice(start, stop - start)
            assert checksums(part).tolist() == whole[start:stop].tolist()
            assert checksums(pa.concat_arrays([part])).tolist() == whole[start:stop].tolist()
    if column != "none":
        assert len(set(whole.tolist())) == len({str(value) for value in array.to_pylist()})


def test_a_dictionary_is_the_values_it_stands_for() -> None:
    """In whatever order a part happened to meet them."""
    one, two = pa.array(["b", "a"]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()

    assert checksums(one).tolist() == checksums(two).tolist()[::-1] == checksums(pa.array(["b", "a"])).tolist()


def test_what_stands_under_a_missing_row_does_not_count() -> None:
    """Writers leave anything there."""
    one = pa.StructArray.from_arrays([pa.array([1, 2])], ["x"], mask=pa.array([False, True]))
    two = pa.StructArray.from_arrays([pa.array([1, 99])], ["x"], mask=pa.array([False, True]))

    assert checksums(one).tolist() == checksums(two).tolist()


def test_parts_with_other_categories(tmp_path: Path) -> None:
    """Each part knows only those that it met."""
    parts = [
        _write(tmp_path / f"{n}.parquet", pa.table({"k": pa.array(values).dictionary_encode()}))
        for n, values in enumerate([["mu", "e"], ["tau"], ["e", "tau"]])
    ]
    merge_and_check(PARQUET, tmp_path / "m.parquet", parts)

    assert pq.read_table(tmp_path / "m.parquet")["k"].to_pylist() == ["mu", "e", "tau", "e", "tau"]


def test_row_groups_have_one_size_and_two_levels_give_equal_bytes(
    tmp_path: Path, parts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of small parts make no thousands of small row groups."""
    monkeypatch.setattr(parquet, "_MOST_ROWS_IN_GROUP", 20)
    merge_and_check(PARQUET, tmp_path / "m.parquet", parts)
    read = pq.ParquetFile(tmp_path / "m.parquet").metadata

    assert [read.row_group(n).num_rows for n in range(read.num_row_groups)] == [20, 20, 20, 20, 6]
    for cut in (1, 2, 5):
        folder = tmp_path / str(cut)
        folder.mkdir()
        assert sha256(in_two_levels(PARQUET, folder, parts, cut)) == sha256(tmp_path / "m.parquet")


def test_wide_rows_make_shorter_row_groups(tmp_path: Path, parts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in memory at a time has a limit in bytes, too."""
    monkeypatch.setattr(parquet, "_MOST_BYTES", 200)
    monkeypatch.setattr(parquet, "_MOST_ROWS_IN_BATCH", 3)
    merge_and_check(PARQUET, tmp_path / "m.parquet", parts)

    assert pq.ParquetFile(tmp_path / "m.parquet").metadata.num_row_groups >= 8


def test_parts_without_rows(tmp_path: Path) -> None:
    """No event passed the selection: a result of no rows, with its columns."""
    parts = [_write(tmp_path / f"{n}.parquet", _events(0)) for n in range(3)]
    merged = merge_and_check(PARQUET, tmp_path / "m.parquet", parts)

    assert merged.objects["table"].entries == 0
    assert pq.read_schema(tmp_path / "m.parquet").equals(EVENTS)


def test_what_pandas_notes_about_its_index_is_not_that_of_one_part(tmp_path: Path) -> None:
    """The number of rows of a part; what else it notes is kept."""

    def noted(rows: int) -> pa.Table:
        index = {"kind": "range", "name": None, "start": 0, "stop": rows, "step": 1}
        about = {"index_columns": [index], "columns": [{"name": "run"}], "pandas_version": "2.2.0"}
        return _events(rows).replace_schema_metadata({"pandas": json.dumps(about), "unit": "GeV"})

    parts = [_write(tmp_path / f"{n}.parquet", noted(n)) for n in (3, 5)]
    merge_and_check(PARQUET, tmp_path / "m.parquet", parts)
    metadata = pq.read_schema(tmp_path / "m.parquet").metadata

    assert json.loads(metadata[b"pandas"])["index_columns"] == []
    assert json.loads(metadata[b"pandas"])["columns"] == [{"name": "run"}]
    assert metadata[b"unit"] == b"GeV"


@pytest.mark.parametrize("about", ["{", '{"index_columns": 3}', "[]"])
def test_broken_notes_of_pandas_are_dropped(tmp_path: Path, about: str) -> None:
    """They are nothing that a result depends on."""
    part = _write(tmp_path / "0.parquet", _events(3).replace_schema_metadata({"pandas": about}))
    merge_and_check(PARQUET, tmp_path / "m.parquet", [part, part])

    assert not pq.read_schema(tmp_path / "m.parquet").metadata


def test_names_that_writers_give_to_elements_of_lists_do_not_matter(tmp_path: Path) -> None:
    """`item` or `element`, by the age of the writer."""
    old = _write(tmp_path / "old.parquet", _events(5), use_compliant_nested_type=False)
    new = _write(tmp_path / "new.parquet", _events(5, 1))
    assert (
        pq.read_schema(old).field("pt").type.value_field.name != pq.read_schema(new).field("pt").type.value_field.name
    )
    merge_and_check(PARQUET, tmp_path / "m.parquet", [old, new])

    assert pq.read_table(tmp_path / "m.parquet").num_rows == 10


# ── what must be equal ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.rename_columns(["run", "pt", "label"]), "'tag' is in the first only"),
        (lambda t: t.set_column(0, "run", t["run"].cast(pa.int32())), "'run': int64 not null in the first, int32"),
        (lambda t: t.set_column(0, "run", t["run"]), "'run': int64 not null in the first, int64 in the other"),
        (lambda t: t.select(["pt", "run", "tag"]), "the same, in another order"),
        (lambda t: t.append_column("x", [[1, 2, 3]]), "'x' is in the other only"),
        (lambda t: t.select(["run", "pt"]), "'tag' is in the first only"),
        (lambda t: t.replace_schema_metadata({"unit": "MeV"}), "'metadata unit' is in the other only"),
        (lambda t: t.set_column(2, "tag", t["tag"].dictionary_encode()), "'tag': string in the first, dictionary<"),
    ],
    ids=["name", "type", "nullable", "order", "more", "less", "metadata", "categories"],
)
def test_tables_that_differ_are_not_merged(tmp_path: Path, change: Any, said: str) -> None:
    """The message says in which column."""
    one, two = _write(tmp_path / "1.parquet", _events(3)), _write(tmp_path / "2.parquet", change(_events(3)))
    summaries = [PARQUET.summarize(path, name="x") for path in (one, two)]
    with pytest.raises(StructureError, match="part 7 and part 9 cannot be merged") as caught:
        PARQUET.merge(tmp_path / "m", [one, one, two], title="m", titles=["part 7", "part 8", "part 9"])

    assert summaries[0].structure != summaries[1].structure
    assert "'table'" in first_difference(*summaries)
    assert said in caught.value.evidence


def test_a_table_must_have_columns_with_names_of_their_own(tmp_path: Path) -> None:
    """Otherwise there is nothing to compare."""
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(StructureError, match="two columns are called 'x'"):
        PARQUET.summarize(_write(tmp_path / "2.parquet", twice), name="x")
    with pytest.raises(OutputDamagedError, match="has no columns"):
        PARQUET.summarize(_write(tmp_path / "0.parquet", pa.table({})), name="x")


def test_columns_that_must_be_there(tmp_path: Path) -> None:
    """As `objects` in septum.yaml names them."""
    path = _write(tmp_path / "x.parquet", _events(3))

    PARQUET.summarize(path, name="x", expected=["pt", "run"])
    with pytest.raises(OutputMissingError, match="the column 'eta' is not in the file"):
        PARQUET.summarize(path, name="x", expected=["pt", "eta"])


# ── faults ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _swapped(table: pa.Table) -> pa.Table:
    """Every column holds what it held, and two rows have each other's tag."""
    tags = table["tag"].to_pylist()
    tags[0], tags[2] = tags[2], tags[0]
    return table.set_column(2, "tag", pa.array(tags))


@pytest.mark.parametrize(
    "fault",
    [
        lambda t: t.slice(1),
        lambda t: pa.concat_tables([t.slice(1), t.slice(2, 1)]),
        lambda t: t.set_column(0, EVENTS.field(0), pa.array([*t["run"].to_pylist()[:-1], 77])),
        lambda t: t.set_column(1, EVENTS.field(1), pa.array([[None], *t["pt"].to_pylist()[1:]], EVENTS.field(1).type)),
        _swapped,
    ],
    ids=["lost", "doubled", "changed", "nulled", "swapped"],
)
def test_a_merge_that_loses_or_invents_rows_is_found(tmp_path: Path, fault: Any) -> None:
    """By what the parts hold, read apart from the merge."""
    tables = [pa.table({"run": [n, n + 1], "pt": [[1.0 * n], []], "tag": [f"a{n}", "b"]}, EVENTS) for n in range(3)]
    total = Total()
    for n, table in enumerate(tables):
        total.add(PARQUET.summarize(_write(tmp_path / f"{n}.parquet", table), name="x"))
    whole = pa.concat_tables(tables)
    total.check(PARQUET.summarize(_write(tmp_path / "good.parquet", whole), name="m"), name="m")

    with pytest.raises(NotConservedError):
        total.check(PARQUET.summarize(_write(tmp_path / "bad.parquet", fault(whole)), name="m"), name="m")


@pytest.mark.parametrize("damage", ["empty", "short", "half", "page", "footer", "zeros", "noise", "missing"])
def test_damaged_files(tmp_path: Path, damage: str) -> None:
    """A part that did not close its file, or a disk that lost some of it."""
    path = _write(tmp_path / "x.parquet", _events(500), write_page_checksum=True)
    raw = path.read_bytes()
    middle = len(raw) // 3
    path.write_bytes(
        {
            "empty": b"",
            "short": raw[:-1],
            "half": raw[: len(raw) // 2],
            "page": raw[:middle] + bytes([raw[middle] ^ 0xFF]) + raw[middle + 1 :],
            "footer": raw[:-20] + b"\0" * 20,
            "zeros": b"\0" * len(raw),
            "noise": b"<html>502 Bad Gateway</html>",
            "missing": b"",
        }[damage]
    )
    if damage == "missing":
        path.unlink()
    with pytest.raises(OutputDamagedError, match="part 7: cannot be read as a Parquet file"):
        PARQUET.summarize(path, name="part 7")
    with pytest.raises(OutputDamagedError, match="part 7: cannot be read as a Parquet file"):
        PARQUET.merge(
            tmp_path / "m", [_write(tmp_path / "y.parquet", _events(3)), path], title="m", titles=["1", "part 7"]
        )


def test_a_footer_that_promises_other_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read counts."""
    path = _write(tmp_path / "x.parquet", _events(10))
    monkeypatch.setattr(parquet, "_batches", lambda file: list(file.iter_batches(batch_size=4))[:-1])
    with pytest.raises(OutputDamagedError, match="8 rows are in the file, and its footer promises 10"):
        PARQUET.summarize(path, name="x")


def test_a_target_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """It may be a good result."""
    part = _write(tmp_path / "x.parquet", _events(3))
    (tmp_path / "m.parquet").write_text("precious")
    with pytest.raises(MergeFailedError, match="could not be written"):
        PARQUET.merge(tmp_path / "m.parquet", [part], title="m")
    assert (tmp_path / "m.parquet").read_text() == "precious"
