"""What stands in an HDF5 file, and by which rule each of its objects merges. Follows no link out of the file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from septum.errors import StructureError
from septum.merge.formats.adding import check_addable, is_number
from septum.merge.formats.base import printable
from septum.merge.formats.hdf5rows import as_bytes, blocks

RULE = "septum_merge"
"""The attribute of a dataset that says how it merges: `add`, `concatenate`, or `equal`."""
_DEEPEST = 32
_LARGEST_CHUNK_B = 1 << 26
_LARGEST_B = 1 << 30
_LARGEST_RATIO = 2000
_BY_REFERENCE = "it refers to places of one file, which are others in the merged one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One object of a file.

    Attributes:
        path: Its path, without the first slash; "" is the file itself.
        rule: `group`, `concatenate`, `add` or `equal`.
        structure: All that must be equal, as a JSON object.
    """

    path: str
    rule: str
    structure: str


def nodes(file: Any, name: str) -> dict[str, Node]:
    """All objects of a file by their path, a group before what is in it.

    Args:
        file: An open h5py file.
        name: How messages name it.

    Raises:
        StructureError: An object cannot be merged.
    """
    size_b = file.id.get_filesize()
    found: dict[str, Node] = {}
    for path, item in _walk(file, "", name, 0):
        shown = f"{name}: {path!r}"
        found[path] = _dataset(path, item, shown, size_b) if hasattr(item, "dtype") else _group(path, item, shown)
    return found


def _walk(group: Any, prefix: str, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    import h5py

    yield prefix, group
    if depth > _DEEPEST:
        raise StructureError(f"{name}: {prefix!r} lies deeper than {_DEEPEST} groups", fix="write fewer levels")
    for key in sorted(group):
        path = f"{prefix}/{key}" if prefix else key
        if group.id.links.get_info(encoded(key)).type != h5py.h5l.TYPE_HARD:
            raise StructureError(
                f"{name}: {path!r} is a link to another place", fix="write the object itself into every part"
            )
        item = group[key]
        if h5py.h5o.get_info(item.id).rc > 1:
            raise StructureError(
                f"{name}: {path!r} is also there under another name (a hard link)", fix="write the object only once"
            )
        if isinstance(item, h5py.Datatype):
            raise StructureError(f"{name}: {path!r} is a named type, which does not merge", fix="leave it out")
        if isinstance(item, h5py.Group):
            yield from _walk(item, path, name, depth + 1)
        else:
            yield path, item


def _group(path: str, group: Any, shown: str) -> Node:
    attributes = group.attrs
    kind = _text(attributes.get("pandas_type", ""))
    if kind and not kind.endswith("_table"):
        raise StructureError(
            f"{shown} was written by pandas in its fixed format, which cannot be put together",
            fix="df.to_hdf(..., format='table', index=False), or write Parquet",
        )
    if _text(attributes.get("CLASS", "")) in {"TINDEX", "INDEX"}:
        raise StructureError(
            f"{shown} is an index of PyTables, which would not fit the merged table",
            fix="write the table without: df.to_hdf(..., format='table', index=False); index the merged file if needed",
        )
    return Node(path=path, rule="group", structure=json.dumps(_attributes(group, shown)))


def _dataset(path: str, dataset: Any, shown: str, size_b: int) -> Node:
    plan = dataset.id.get_create_plist()
    if dataset.is_virtual or plan.get_external_count():
        raise StructureError(f"{shown} keeps its data in other files", fix="write the data into the file itself")
    # Each of these is asked of the library anew.
    dtype, held, chunks = dataset.dtype, dataset.shape, dataset.chunks
    kind = _stored(dataset.id.get_type(), dtype, shown)
    rule = _rule(dataset, dtype, held, shown)
    shape = None if held is None else list(held)
    held_b = 0 if held is None else dtype.itemsize * math.prod(held)
    if held_b > _LARGEST_B and (held_b > _LARGEST_RATIO * size_b or rule == "equal"):
        raise StructureError(
            f"{shown} claims {held_b} bytes",
            evidence=f"the file has {size_b}" if rule != "equal" else "it must be equal in all parts",
            fix="write what is filled only",
        )
    if rule == "add":
        check_addable(shown, dtype, math.prod(held))
    if rule == "concatenate" and shape:
        if dtype.itemsize * max(math.prod(shape[1:]), math.prod(chunks)) > _LARGEST_CHUNK_B:
            raise StructureError(
                f"{shown} has rows or chunks of more than {_LARGEST_CHUNK_B} bytes", fix="write smaller chunks"
            )
        shape[0] = None
    structure = {"rule": rule, "type": kind, "shape": shape, **_attributes(dataset, shown)}
    if rule == "concatenate":
        structure.pop("attribute NROWS", None)
    if rule == "equal":
        structure["content"] = _digest(dataset)
    return Node(path=path, rule=rule, structure=json.dumps(structure))


def _rule(dataset: Any, dtype: Any, shape: Any, shown: str) -> str:
    import h5py

    grows = bool(shape) and dataset.maxshape[0] is None
    # Flags that PyTables stores as bits, and names that are stored as numbers, look like numbers to NumPy.
    adds = shape is not None and is_number(dtype) and dataset.id.get_type().equal(h5py.h5t.py_create(dtype))
    attributes = dataset.attrs
    if RULE not in attributes:
        return "concatenate" if grows else "add" if adds else "equal"
    asked = _text(attributes[RULE])
    if {"add": adds, "concatenate": grows, "equal": True}.get(asked, False):
        return asked
    raise StructureError(
        f"{shown} cannot be merged by its attribute {RULE}: {printable(asked)!r}",
        evidence="it is 'add' for numbers, 'concatenate' where the first dimension can grow, or 'equal'",
        fix="correct the attribute, or leave it out",
    )


def _stored(stored: Any, dtype: Any, shown: str) -> str:
    """The type of values as text; in NumPy they have the same size, so that they are read and written without change.

    Raises:
        StructureError: They have not: numbers of a machine that nobody uses, or a type made to do harm.
    """
    kind = _described(dtype, shown)
    if stored.get_size() != dtype.itemsize and not dtype.hasobject:
        raise StructureError(
            f"{shown} is of a type that NumPy has not: {stored.get_size()} bytes read as {dtype}",
            fix="write a usual one, such as float64",
        )
    return kind


def _described(dtype: Any, shown: str) -> str:
    """A type as text: equal texts for types that merge."""
    import h5py

    if h5py.check_ref_dtype(dtype) is not None:
        raise StructureError(f"{shown} holds references", evidence=_BY_REFERENCE, fix="write what it refers to")
    if (text := h5py.check_string_dtype(dtype)) is not None:
        return f"string[{text.length or ''}] {text.encoding}"
    if (base := h5py.check_vlen_dtype(dtype)) is not None:
        return f"list<{_described(base, shown)}>"
    if (names := h5py.check_enum_dtype(dtype)) is not None:
        return f"enum<{dtype.str}, {sorted(names.items())}>"
    if dtype.subdtype is not None:
        return f"{_described(dtype.subdtype[0], shown)}{list(dtype.subdtype[1])}"
    if dtype.names:
        return f"row<{', '.join(f'{field!r}: {_described(dtype.fields[field][0], shown)}' for field in dtype.names)}>"
    return str(dtype.str)


def _attributes(item: Any, shown: str) -> dict[str, str]:
    import h5py

    found = {}
    attributes = item.attrs
    for key in sorted(attributes):
        attribute = h5py.h5a.open(item.id, encoded(key))
        kind = _stored(attribute.get_type(), attribute.dtype, f"{shown}: its attribute {key!r}")
        value = attributes[key]
        if isinstance(value, h5py.Empty):
            found[f"attribute {key}"] = f"{kind}, empty"
            continue
        array = np.asarray(value, dtype=object if kind.startswith(("string[]", "list<")) else None)
        digest = hashlib.sha256(as_bytes(array))
        found[f"attribute {key}"] = f"{kind}{list(array.shape)} {printable(str(value))[:60]} {digest.hexdigest()[:32]}"
    return found


def _digest(dataset: Any) -> str:
    digest = hashlib.sha256()
    for block in blocks(dataset):
        if block.dtype.hasobject:
            for value in block.flat:
                raw = as_bytes(value)
                digest.update(len(raw).to_bytes(8, "little") + raw)
        else:
            digest.update(np.ascontiguousarray(block).tobytes())
    return digest.hexdigest()


def encoded(name: str) -> bytes:
    """A name as the library takes it."""
    return name.encode("utf-8", "surrogateescape")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
