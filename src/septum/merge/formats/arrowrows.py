"""Row checksums of Arrow arrays: of the values, not of how a file or a batch happens to hold them."""

from __future__ import annotations

from typing import Any

import numpy as np

from septum.errors import StructureError
from septum.merge.formats.checksums import NULL, Words, combined, of_lists, of_texts, of_values

_UNSIGNED = {8: "uint8", 16: "uint16", 32: "uint32", 64: "uint64"}


def checksums(array: Any) -> Words:
    """The checksums of the rows of an array, shape (rows,).

    Raises:
        StructureError: Its type has no checksum.
    """
    import pyarrow as pa

    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return checksums(array.storage)
    if pa.types.is_dictionary(kind):
        found = np.append(checksums(array.dictionary), NULL)
        places = array.indices.cast(pa.int64()).fill_null(len(array.dictionary)).to_numpy(zero_copy_only=False)
        return np.asarray(found[places], np.uint64)
    if pa.types.is_null(kind):
        return np.full(len(array), NULL)
    values = _of_nested(array) if pa.types.is_nested(kind) else _of_flat(array)
    if array.null_count:
        values[array.is_null().to_numpy(zero_copy_only=False)] = NULL
    return values


def _of_nested(array: Any) -> Words:
    import pyarrow as pa

    kind = array.type
    if pa.types.is_struct(kind):
        # Not flatten(), which spreads the nulls of the struct over its fields.
        return combined((checksums(array.field(number)) for number in range(kind.num_fields)), len(array))
    if pa.types.is_map(kind):
        elements = combined([checksums(array.keys), checksums(array.items)], len(array.keys))
        return of_lists(elements, _offsets(array))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = _offsets(array)
        used = array.values.slice(offsets[0], offsets[-1] - offsets[0])
        return of_lists(checksums(used), offsets - offsets[0])
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        used = array.values.slice(array.offset * size, len(array) * size)
        return of_lists(checksums(used), np.arange(len(array) + 1, dtype=np.int64) * size)
    raise _unknown(kind)


def _offsets(array: Any) -> Any:
    return array.offsets.to_numpy(zero_copy_only=False).astype(np.int64)


def _of_flat(array: Any) -> Words:
    import pyarrow as pa

    kind, types = array.type, pa.types
    if types.is_string_view(kind) or types.is_binary_view(kind):
        array = array.cast(pa.large_binary())
        kind = array.type
    if types.is_string(kind) or types.is_binary(kind) or types.is_large_string(kind) or types.is_large_binary(kind):
        return _of_texts(array)
    if types.is_boolean(kind):
        return of_values(array.cast(pa.uint8()).fill_null(0).to_numpy(zero_copy_only=False))
    width = kind.bit_width
    if width in _UNSIGNED:
        plain = array.view(getattr(pa, _UNSIGNED[width])()).fill_null(0)
        return of_values(plain.to_numpy(zero_copy_only=False))
    if types.is_decimal(kind) or types.is_fixed_size_binary(kind):
        size = width // 8
        raw = np.frombuffer(array.buffers()[1] or b"", np.uint8)
        return of_values(raw[array.offset * size : (array.offset + len(array)) * size].reshape(len(array), size))
    raise _unknown(kind)


def _of_texts(array: Any) -> Words:
    import pyarrow as pa

    long = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offsets, data = array.buffers()
    held = np.frombuffer(offsets, np.int64 if long else np.int32)[array.offset : array.offset + len(array) + 1]
    places = held.astype(np.int64) if len(held) else np.zeros(1, np.int64)
    raw = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return of_texts(raw, places)


def _unknown(kind: Any) -> StructureError:
    return StructureError(
        f"merge: septum has no checksum for columns of type {kind}", fix="write the column with a plainer type"
    )
