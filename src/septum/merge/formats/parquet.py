"""Parquet: rows one after the other, read and written with pyarrow in blocks of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.errors import OutputDamagedError, StructureError
from septum.merge.formats.base import (
    check_expected,
    check_same,
    guarded,
    labelled,
    library,
    reading,
    version_of,
    writing,
)
from septum.merge.formats.checksums import combined, total
from septum.merge.summary import FileSummary, ObjectSummary

if TYPE_CHECKING:
    from typing_extensions import Self

_OBJECT, _KIND, _FILE = "table", "Parquet table", "a Parquet file"
_CELLS_IN_GROUP = 1 << 23
_MOST_ROWS_IN_GROUP = 1 << 20
_CELLS_IN_BATCH = 1 << 22
_MOST_ROWS_IN_BATCH = 1 << 16
_MOST_BYTES = 1 << 27
_BUFFER_B = 1 << 16


class Parquet:
    """Tables of Parquet files are put together, row after row. The file holds one object, `table`."""

    endings = (".parquet",)
    # Row groups are cut from the stream of rows, wherever the files ended.
    two_levels = True

    @property
    def name(self) -> str:
        """Name of the format and version of its library, for the report."""
        return f"Parquet ({version_of('pyarrow')})"

    def ready(self) -> None:
        """Look whether pyarrow is there; EngineMissingError if not."""
        _pyarrow()

    def summarize(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Read all rows; `expected` names columns. See `Format`."""
        with _opened(path, name) as file, reading(name, _FILE):
            schema = file.schema_arrow
            structure = _structure(schema, name)
            check_expected(name, expected, schema.names, "column")
            rows, sums, whole = 0, [0] * len(schema.names), 0
            for batch in _batches(file):
                columns = [_checksums(column) for column in batch.columns]
                sums = [(held + total(column)) % 2**64 for held, column in zip(sums, columns, strict=True)]
                whole = (whole + total(combined(columns, batch.num_rows))) % 2**64
                rows += batch.num_rows
            if rows != file.metadata.num_rows:
                raise OutputDamagedError(
                    f"{name}: {rows} rows are in the file, and its footer promises {file.metadata.num_rows}",
                    fix="look at the part's log; the file is damaged as the job left it",
                )
        checks = {**dict(zip(schema.names, sums, strict=True)), "(rows)": whole}
        return FileSummary({_OBJECT: ObjectSummary(_KIND, structure, float(rows), None, 0.0, checks)})

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str] = ()) -> None:
        """Write the rows of all sources, with the compression of the first one that has rows. See `Format`."""
        named = labelled(sources, titles)
        _pyarrow()
        with writing(title), target.open("xb") as sink, _Writer(sink) as writer:
            first: dict[str, str] = {}
            for label, path in named:
                with _opened(path, label) as file:
                    structure = {_OBJECT: _structure(file.schema_arrow, label)}
                    first = first or structure
                    check_same(title, (named[0][0], first), (label, structure))
                    writer.begin(file)
                    for batch in guarded(_batches(file), label, _FILE):
                        writer.add(batch)


class _Writer:
    """Puts rows into row groups of one size, whatever the batches are that they arrive in."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._schema: Any = None
        self._codecs: dict[str, str] | str = "snappy"
        self._writer: Any = None
        self._held: list[Any] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush(self._rows)
            self._open().close()
        elif self._writer is not None:
            self._writer.close()

    def begin(self, file: Any) -> None:
        """Take schema and compression from a source, unless rows were written already."""
        if self._schema is None:
            self._schema = _clean(file.schema_arrow)
        if self._writer is None and not self._held and file.metadata.num_row_groups:
            group = file.metadata.row_group(0)
            columns = [group.column(number) for number in range(group.num_columns)]
            codecs = {column.path_in_schema: _codec(column.compression) for column in columns}
            self._codecs = codecs if len(set(codecs.values())) > 1 else next(iter(codecs.values()))

    def add(self, batch: Any) -> None:
        """Add rows; full row groups are written."""
        size = min(_MOST_ROWS_IN_GROUP, max(1, _CELLS_IN_GROUP // _leaves(self._schema)))
        while batch.num_rows:
            part = batch.slice(0, size - self._rows)
            batch = batch.slice(part.num_rows)
            self._held.append(part)
            self._rows += part.num_rows
            self._bytes += part.nbytes
            if self._rows >= size or self._bytes >= _MOST_BYTES:
                self._flush(self._rows)

    def _flush(self, rows: int) -> None:
        if self._held:
            table = _pyarrow().Table.from_batches([batch.replace_schema_metadata(None) for batch in self._held])
            self._open().write_table(table.cast(self._schema), row_group_size=rows)
        self._held, self._rows, self._bytes = [], 0, 0

    def _open(self) -> Any:
        if self._writer is None:
            parquet = library("pyarrow.parquet", extra="parquet", files="Parquet files")
            self._writer = parquet.ParquetWriter(
                self._sink, self._schema, compression=self._codecs, write_page_checksum=True
            )
        return self._writer


def _pyarrow() -> Any:
    return library("pyarrow", extra="parquet", files="Parquet files")


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Any]:
    parquet = library("pyarrow.parquet", extra="parquet", files="Parquet files")
    with ExitStack() as stack:
        with reading(name, _FILE):
            stream = stack.enter_context(path.open("rb"))
            # With a buffer, the pages of a column are read one by one; without, all of a row group.
            file = stack.enter_context(
                parquet.ParquetFile(stream, pre_buffer=False, buffer_size=_BUFFER_B, page_checksum_verification=True)
            )
        yield file


def _batches(file: Any) -> Iterator[Any]:
    size = max(1, min(_MOST_ROWS_IN_BATCH, _CELLS_IN_BATCH // _leaves(file.schema_arrow)))
    yield from file.iter_batches(batch_size=size, use_threads=False)


def _leaves(schema: Any) -> int:
    """How many plain columns a schema has, those inside of others as well."""
    return sum(_plain(field.type) for field in schema)


def _plain(kind: Any) -> int:
    return sum(_plain(kind.field(number).type) for number in range(kind.num_fields)) or 1


def _codec(name: str) -> str:
    return "NONE" if name == "UNCOMPRESSED" else name


def _clean(schema: Any) -> Any:
    """The schema with what pandas wrote about its index, less the number of rows of one file."""
    metadata = dict(schema.metadata or {})
    if b"pandas" in metadata:
        try:
            about = json.loads(metadata[b"pandas"])
            about["index_columns"] = [item for item in about["index_columns"] if isinstance(item, str)]
            metadata[b"pandas"] = json.dumps(about).encode()
        except (ValueError, KeyError, TypeError):
            del metadata[b"pandas"]
    return schema.with_metadata(metadata or None)


def _structure(schema: Any, name: str) -> str:
    """All that must be equal, as JSON: columns in order with types, and what the writer noted about the file."""
    if not schema.names:
        raise OutputDamagedError(f"{name}: the table has no columns", fix="did the job end before it had events?")
    if len(set(schema.names)) != len(schema.names):
        doubled = next(column for column in schema.names if schema.names.count(column) > 1)
        raise StructureError(f"{name}: two columns are called {doubled!r}", fix="give each column a name of its own")
    columns = {field.name: _described(field) for field in schema}
    # pandas writes the number of rows and of categories there.
    noted = {key: value for key, value in (schema.metadata or {}).items() if key != b"pandas"}
    metadata = {
        f"metadata {key.decode(errors='replace')}": value.decode(errors="replace") for key, value in noted.items()
    }
    return json.dumps({**columns, **dict(sorted(metadata.items()))})


def _described(field: Any) -> str:
    """Type and nullability, without the name that the writer gives to the elements of a list."""
    return _type(field.type) + ("" if field.nullable else " not null")


def _type(kind: Any) -> str:
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return f"{kind.extension_name} of {_type(kind.storage_type)}"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name!r}: {_described(field)}' for field in kind)}>"
    if pa.types.is_map(kind):
        return f"map<{_described(kind.key_field)}, {_described(kind.item_field)}>"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        size = f"[{kind.list_size}]" if pa.types.is_fixed_size_list(kind) else ""
        return f"{'large_' if pa.types.is_large_list(kind) else ''}list{size}<{_described(kind.value_field)}>"
    return str(kind)


def _checksums(column: Any) -> Any:
    from septum.merge.formats.arrowrows import checksums

    return checksums(column)


PARQUET = Parquet()
