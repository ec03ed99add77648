"""Text, and tables of text: one after the other, as bytes."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from septum.errors import OutputDamagedError, StructureError
from septum.merge.formats.base import check_expected, check_same, guarded, labelled, printable, reading, writing
from septum.merge.formats.checksums import of_bytes
from septum.merge.formats.members import in_blocks
from septum.merge.summary import FileSummary, ObjectSummary

_LONGEST_LINE_B = 1 << 24
_BOM = b"\xef\xbb\xbf"


class Text:
    """Lines of any bytes. The file holds one object, `lines`."""

    name = "text"
    endings = (".txt", ".log")
    two_levels = True

    def ready(self) -> None:
        """It needs no library."""

    def summarize(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Count the lines; nothing in a text has a name for `expected`. See `Format`."""
        check_expected(name, expected, (), "object")
        lines = total = 0
        with reading(name, "text"), path.open("rb") as stream:
            for check in _line_checksums(stream):
                lines += 1
                total = (total + check) % 2**64
        return FileSummary({"lines": ObjectSummary("text", "{}", float(lines), None, 0.0, {"lines": total})})

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str] = ()) -> None:
        """Write all sources one after the other, each ended by a line break. See `Format`."""
        with writing(title), target.open("xb") as sink:
            for label, path in labelled(sources, titles):
                _copy(path, sink, label, start=0, end_of_line=b"\n")


def _line_checksums(stream: IO[bytes]) -> Iterator[int]:
    """The checksum of every line, the last one as well where no line break follows; a line may have any length."""
    held, held_b = hashlib.blake2b(digest_size=8), 0
    for block in in_blocks(stream):
        first, *lines = block.split(b"\n")
        held.update(first)
        held_b += len(first)
        if lines:
            yield int.from_bytes(held.digest(), "little")
            yield from map(of_bytes, lines[:-1])
            held, held_b = hashlib.blake2b(lines[-1], digest_size=8), len(lines[-1])
    if held_b:
        yield int.from_bytes(held.digest(), "little")


def _copy(path: Path, sink: IO[bytes], label: str, *, start: int, end_of_line: bytes) -> None:
    """Copy a file from some byte on, and end its last line."""
    with reading(label, "text"):
        stream = path.open("rb")
        stream.seek(start)
    last = b"\n"
    with stream:
        for block in guarded(in_blocks(stream), label, "text"):
            sink.write(block)
            last = block[-1:]
    if last != b"\n":
        sink.write(b"\n" if last == b"\r" else end_of_line)


@dataclass(frozen=True, slots=True)
class _Header:
    """The first record of a table.

    Attributes:
        fields: The names of the columns.
        structure: What must be equal in all parts, as a JSON object.
        size_b: How many bytes it takes, line break and byte order mark included.
        end_of_line: Its line break.
    """

    fields: tuple[str, ...]
    structure: str
    size_b: int
    end_of_line: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Tables with a header line. The file holds one object, `rows`.

    Attributes:
        name: Name of the format, for the report.
        endings: The endings of its files' names.
        delimiter: What stands between fields; "" where the header shows whether it is a comma or a semicolon.
    """

    name: str
    endings: tuple[str, ...]
    delimiter: str

    @property
    def two_levels(self) -> bool:
        """Rows are copied as they are."""
        return True

    def ready(self) -> None:
        """It needs no library."""

    def summarize(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Count the rows; `expected` names columns. See `Format`."""
        rows = total = 0
        with reading(name, self._file), path.open("rb") as stream:
            records = self._records(stream)
            header = self._header(records, name)
            check_expected(name, expected, header.fields, "column")
            for fields, record in records:
                if not fields:
                    continue
                rows += 1
                if len(fields) != len(header.fields):
                    raise OutputDamagedError(
                        f"{name}: row {rows} has {len(fields)} fields, the header has {len(header.fields)}",
                        evidence=printable(record.decode("utf-8", "replace")),
                        fix="did the job end in the middle of it? quote fields that hold the delimiter or a line break",
                    )
                total = (total + of_bytes(_without_end(record))) % 2**64
        kind = f"{self.name} table"
        return FileSummary({"rows": ObjectSummary(kind, header.structure, float(rows), None, 0.0, {"rows": total})})

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str] = ()) -> None:
        """Write the header once, and the rows of all sources. See `Format`."""
        named = labelled(sources, titles)
        first: _Header | None = None
        with writing(title), target.open("xb") as sink:
            for label, path in named:
                with reading(label, self._file), path.open("rb") as stream:
                    header = self._header(self._records(stream), label)
                start = header.size_b if first else 0
                first = first or header
                check_same(title, (named[0][0], {"rows": first.structure}), (label, {"rows": header.structure}))
                _copy(path, sink, label, start=start, end_of_line=first.end_of_line)

    @property
    def _file(self) -> str:
        return f"a {self.name} table"

    def _records(self, stream: IO[bytes]) -> Iterator[tuple[list[str], bytes]]:
        """All records: fields as Latin-1, which takes any bytes, and the bytes with the line break."""
        raw: list[bytes] = []

        def lines(first: bytes) -> Iterator[str]:
            for line in chain([first], iter(lambda: stream.readline(_LONGEST_LINE_B), b"")):
                if len(line) == _LONGEST_LINE_B:
                    raise ValueError(f"a line of more than {_LONGEST_LINE_B} bytes")
                if b"\0" in line:
                    raise ValueError("bytes that are 0, as a broken disk or a copy that broke off leaves them")
                raw.append(line)
                yield line.removeprefix(_BOM).decode("latin-1") if line is first else line.decode("latin-1")

        first = stream.readline(_LONGEST_LINE_B)
        delimiter = self.delimiter or (";" if b";" in first and b"," not in first else ",")
        for fields in csv.reader(lines(first), delimiter=delimiter, strict=True):
            yield fields, b"".join(raw)
            raw.clear()

    def _header(self, records: Iterator[tuple[list[str], bytes]], name: str) -> _Header:
        fields, record = next(records, ([], b""))
        if not fields:
            raise OutputDamagedError(
                f"{name}: there is no header line", fix="did the job end before it wrote? write the header in any case"
            )
        if all(map(_is_number, fields)):
            raise StructureError(
                f"{name}: the first line holds numbers only, and so is no header",
                evidence=printable(record.decode("utf-8", "replace")),
                fix="write a line with the names of the columns, or call the file .txt: then all lines are kept",
            )
        # Any bytes come through JSON so, and back.
        shown = _without_end(record.removeprefix(_BOM)).decode("utf-8", "surrogateescape")
        names = tuple(field.encode("latin-1").decode("utf-8", "replace") for field in fields)
        structure = json.dumps({"header": shown})
        return _Header(names, structure, len(record), b"\r\n" if record.endswith(b"\r\n") else b"\n")


def _without_end(record: bytes) -> bytes:
    return record.removesuffix(b"\n").removesuffix(b"\r")


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


TEXT = Text()
CSV = Table(name="CSV", endings=(".csv",), delimiter="")
TSV = Table(name="TSV", endings=(".tsv",), delimiter="\t")
