"""Text and tables of text: put together byte by byte, with one header."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from septum.errors import MergeFailedError, NotConservedError, OutputDamagedError, OutputMissingError, StructureError
from septum.merge.formats import members, textfile
from septum.merge.formats.textfile import CSV, TEXT, TSV
from septum.merge.summary import Total, first_difference
from tests.unit.format_files import in_two_levels, merge_and_check, sha256


def _parts(folder: Path, *raws: bytes) -> list[Path]:
    paths = [folder / f"part{n}" for n in range(len(raws))]
    for path, raw in zip(paths, raws, strict=True):
        path.write_bytes(raw)
    return paths


# ── text ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("raws", "merged"),
    [
        ([b"a\n", b"b\n"], b"a\nb\n"),
        ([b"a", b"b"], b"a\nb\n"),
        ([b"a\r\n", b"b\r\n"], b"a\r\nb\r\n"),
        ([b"", b"b", b""], b"b\n"),
        ([b"", b""], b""),
        ([b"\n\n", b"x\n\n"], b"\n\nx\n\n"),
        ([b"\xff\xfe\0", b"\x80"], b"\xff\xfe\0\n\x80\n"),
        ([b"half\r", b"x"], b"half\r\nx\n"),
    ],
)
def test_texts_stand_one_after_the_other(tmp_path: Path, raws: list[bytes], merged: bytes) -> None:
    """As bytes, each ended by a line break."""
    summary = merge_and_check(TEXT, tmp_path / "m.txt", _parts(tmp_path, *raws))

    assert (tmp_path / "m.txt").read_bytes() == merged
    assert summary.objects["lines"].entries == merged.count(b"\n")


def test_texts_merge_in_two_levels(tmp_path: Path) -> None:
    """To the same bytes."""
    parts = _parts(tmp_path, *(b"line %d\n" % n * n + b"end" * (n % 2) for n in range(9)))
    TEXT.merge(tmp_path / "m.txt", parts, title="m")

    assert sha256(in_two_levels(TEXT, tmp_path, parts, 4)) == sha256(tmp_path / "m.txt")


def test_lines_longer_than_what_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is counted once, wherever the blocks are cut."""
    raw = b"x" * 1000 + b"\n\n" + b"yz\n" * 50 + b"end"
    (part,) = _parts(tmp_path, raw)
    found = [TEXT.summarize(part, name="x").objects["lines"]]
    for size in (1, 2, 7, 1001):
        monkeypatch.setattr(members, "BLOCK_B", size)
        found.append(TEXT.summarize(part, name="x").objects["lines"])

    assert {item.entries for item in found} == {53.0}
    assert len({item.columns["lines"] for item in found}) == 1


@pytest.mark.parametrize("fault", [b"a\nb\n", b"a\nb\nc\nc\n", b"a\nb\nd\n", b"a\nbc\n", b"a\nb\nc\n\n"])
def test_a_text_that_lost_or_gained_something_is_found(tmp_path: Path, fault: bytes) -> None:
    """A line lost, doubled, changed, run into the next, or from nowhere."""
    total = Total()
    for part in _parts(tmp_path, b"a\nb", b"c\n"):
        total.add(TEXT.summarize(part, name="x"))
    (tmp_path / "m").write_bytes(fault)
    with pytest.raises(NotConservedError):
        total.check(TEXT.summarize(tmp_path / "m", name="m"), name="m")


def test_a_text_has_no_objects(tmp_path: Path) -> None:
    """`objects` in septum.yaml cannot name any."""
    with pytest.raises(OutputMissingError, match="the object 'mass' is not in the file"):
        TEXT.summarize(_parts(tmp_path, b"mass")[0], name="x", expected=["mass"])


def test_a_text_that_is_not_there(tmp_path: Path) -> None:
    """Neither when it is read nor when it is merged; a folder is none either."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(OutputDamagedError, match="cannot be read as text"):
            TEXT.summarize(path, name="x")
    with pytest.raises(OutputDamagedError, match="part 7: cannot be read as text"):
        TEXT.merge(tmp_path / "m", [tmp_path / "none"], title="m", titles=["part 7"])


# ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("raws", "merged"),
    [
        ([b"a,b\n1,2\n", b"a,b\n3,4\n"], b"a,b\n1,2\n3,4\n"),
        ([b"a,b\n1,2", b"a,b\n3,4"], b"a,b\n1,2\n3,4\n"),
        ([b"a,b", b"a,b\n3,4"], b"a,b\n3,4\n"),
        ([b"a,b\r\n1,2", b"a,b", b"a,b\r\n3,4\r\n"], b"a,b\r\n1,2\r\n3,4\r\n"),
        ([b"a;b\n1,5;2\n", b"a;b\n2,5;3\n"], b"a;b\n1,5;2\n2,5;3\n"),
        ([b'a,"b\nc"\n"1\n\n2","3,4"\n'] * 2, b'a,"b\nc"\n"1\n\n2","3,4"\n"1\n\n2","3,4"\n'),
        ([b"\xef\xbb\xbfa,b\n1,2\n"] * 2, b"\xef\xbb\xbfa,b\n1,2\n1,2\n"),
        ([b'\xef\xbb\xbf"a,b",c\n1,2\n'] * 2, b'\xef\xbb\xbf"a,b",c\n1,2\n1,2\n'),
        ([b"mu\xb5,\xff\n\x80,\xfe\n"] * 2, b"mu\xb5,\xff\n\x80,\xfe\n\x80,\xfe\n"),
        ([b"a\n1\n\n2\n"] * 2, b"a\n1\n\n2\n1\n\n2\n"),
        ([b"# made by numpy.savetxt,b\n1.0,2.0\n"] * 2, b"# made by numpy.savetxt,b\n1.0,2.0\n1.0,2.0\n"),
    ],
)
def test_tables_have_one_header(tmp_path: Path, raws: list[bytes], merged: bytes) -> None:
    """That of the first; rows as they were written, whatever quotes, line breaks and letters they hold."""
    summary = merge_and_check(CSV, tmp_path / "m.csv", _parts(tmp_path, *raws))
    delimiter = ";" if merged.startswith(b"a;") else ","
    rows = [row for row in csv.reader(io.StringIO(merged.decode("latin-1"), newline=""), delimiter=delimiter) if row]

    assert (tmp_path / "m.csv").read_bytes() == merged
    assert summary.objects["rows"].entries == len(rows) - 1


def test_tables_with_tabs(tmp_path: Path) -> None:
    """A comma is nothing special there."""
    merge_and_check(TSV, tmp_path / "m.tsv", _parts(tmp_path, b"a\tb\n1,2\t3\n", b"a\tb\n4\t5\n"))

    assert (tmp_path / "m.tsv").read_bytes() == b"a\tb\n1,2\t3\n4\t5\n"


def test_tables_merge_in_two_levels(tmp_path: Path) -> None:
    """To the same bytes."""
    parts = _parts(tmp_path, *(b"n,m\r\n" + b"%d,1\r\n" % n * n + b"0,0" * (n % 2) for n in range(9)))
    CSV.merge(tmp_path / "m.csv", parts, title="m")

    assert sha256(in_two_levels(CSV, tmp_path, parts, 4)) == sha256(tmp_path / "m.csv")


@pytest.mark.parametrize(
    "other", [b"a,c\n", b"a\n", b"a,b,c\n", b"b,a\n", b"a, b\n", b'a,"b"\n', b"A,b\n", b"a,\xff\n"]
)
def test_tables_with_other_headers_are_not_merged(tmp_path: Path, other: bytes) -> None:
    """Not even by a blank."""
    parts = _parts(tmp_path, b"a,b\n1,2\n", other)
    summaries = [CSV.summarize(part, name="x") for part in parts]
    with pytest.raises(StructureError, match="part 7 and part 9 cannot be merged") as caught:
        CSV.merge(tmp_path / "m", parts, title="m", titles=["part 7", "part 9"])

    assert summaries[0].structure != summaries[1].structure
    assert first_difference(*summaries) != "no difference"
    assert "'header': a,b in the first" in caught.value.evidence


@pytest.mark.parametrize("raw", [b"1,2\n3,4\n", b"0\n", b"-1e5,nan\n", b"1 , 2\n"])
def test_a_table_without_a_header_is_refused(tmp_path: Path, raw: bytes) -> None:
    """The first row of each part would be dropped as one."""
    with pytest.raises(StructureError, match="the first line holds numbers only") as caught:
        CSV.summarize(_parts(tmp_path, raw)[0], name="x")
    assert "call the file .txt" in caught.value.fix


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "there is no header line"),
        (b"\n1,2\n", "there is no header line"),
        (b"a,b\n1,2\n3", "row 2 has 1 fields, the header has 2"),
        (b"a,b\n1,2,3\n", "row 1 has 3 fields, the header has 2"),
        (b'a,b\n1,"2\n', "cannot be read as a CSV table"),
        (b'a,b\n"1"2,3\n', "cannot be read as a CSV table"),
        (b"a,b\n1,2\r3,4\n", "cannot be read as a CSV table"),
        (b"a,b\n1,2\n" + bytes(100), "cannot be read as a CSV table"),
        (b"a,b\n1," + b"x" * 200_000 + b"\n", "cannot be read as a CSV table"),
    ],
)
def test_damaged_tables(tmp_path: Path, raw: bytes, said: str) -> None:
    """Cut off in a row, in a quote, overwritten with zeros."""
    with pytest.raises(OutputDamagedError, match=f"part 7: {said}") as caught:
        CSV.summarize(_parts(tmp_path, raw)[0], name="part 7")
    assert caught.value.evidence.isprintable()


def test_a_line_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not become one text in memory."""
    monkeypatch.setattr(textfile, "_LONGEST_LINE_B", 1000)
    with pytest.raises(OutputDamagedError, match="cannot be read as a CSV table") as caught:
        CSV.summarize(_parts(tmp_path, b"a,b\n1," + b"x" * 5000)[0], name="x")
    assert "a line of more than 1000 bytes" in caught.value.evidence


def test_columns_that_must_be_there(tmp_path: Path) -> None:
    """By their names in the header, as UTF-8."""
    (part,) = _parts(tmp_path, 'pt,"eta µ"\n'.encode())

    CSV.summarize(part, name="x", expected=["pt", "eta µ"])
    with pytest.raises(OutputMissingError, match="the column 'phi' is not in the file"):
        CSV.summarize(part, name="x", expected=["phi"])


@pytest.mark.parametrize(
    "fault", [b"a,b\n1,2\n", b"a,b\n1,2\n3,4\n3,4\n", b"a,b\n1,2\n3,5\n", b"a,b\n1,4\n3,2\n", b"a,b\n1,2\na,b\n3,4\n"]
)
def test_a_table_that_lost_or_gained_something_is_found(tmp_path: Path, fault: bytes) -> None:
    """A row lost, doubled, changed, fields of two rows swapped, a header among the rows."""
    total = Total()
    for part in _parts(tmp_path, b"a,b\n1,2", b"a,b\n3,4\n"):
        total.add(CSV.summarize(part, name="x"))
    (tmp_path / "m").write_bytes(fault)
    with pytest.raises(NotConservedError):
        total.check(CSV.summarize(tmp_path / "m", name="m"), name="m")


@pytest.mark.parametrize("form", [TEXT, CSV, TSV])
def test_a_target_that_is_there_is_not_written_over(tmp_path: Path, form: textfile.Text | textfile.Table) -> None:
    """It may be a good result."""
    (tmp_path / "m").write_text("precious")
    with pytest.raises(MergeFailedError, match="could not be written"):
        form.merge(tmp_path / "m", _parts(tmp_path, b"a,b\n"), title="m")
    assert (tmp_path / "m").read_text() == "precious"
