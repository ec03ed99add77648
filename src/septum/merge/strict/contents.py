"""One file of a part, read and checked: its structure, its numbers, and the hash of what it holds."""

from __future__ import annotations

import gc
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from septum.errors import NotAdditiveError, OutputDamagedError, OutputMissingError
from septum.merge.strict import codecs, records, streamers
from septum.merge.strict.layout import (
    HISTOGRAM,
    PARAMETER,
    PARAMETERS,
    STRINGS,
    Layout,
    UnknownClassError,
    lay_out,
)
from septum.merge.strict.records import Folder, Key, RecordError
from septum.merge.strict.shape import Entry, Shape
from septum.merge.strict.skeleton import Skeleton

_CONTAINERS = frozenset({"TList", "THashList", "TObjArray", "TEfficiency", "THStack"})
_LARGEST_B = 4 << 30
"""Of all objects of a file together: many times what a merge has memory for, and no more than an attacker gets."""
_REMEMBERED = 64
"""Structures that a reader knows again; of older ones each file is laid out anew."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Info:
    """What a written file takes over from the part that it is modelled on.

    Attributes:
        top: Folders and objects in their order.
        streamers: The record of streamer information, and the bytes of its key.
        compress: ROOT's setting.
    """

    top: Folder
    streamers: bytes
    streamers_key_b: int
    compress: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Contents:
    """What one file holds.

    Attributes:
        shape: Its structure; the same object for all files of one.
        numbers: What adds up, as `Shape.numbers` gives it.
        payload: The bytes of all objects of the shape.
        info: What a written file would take over.
        chosen: The bytes of objects that are taken from the first part, by path.
    """

    shape: Shape
    numbers: npt.NDArray[np.float64]
    payload: bytes
    info: Info
    chosen: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """The sha256 of what it holds, without dates and identifiers."""
        digest = self.shape.digest(self.payload)
        for path, piece in sorted(self.chosen.items()):
            digest = hashlib.sha256(json.dumps([digest, path]).encode() + piece).hexdigest()
        return digest


def is_free(kind: str, policies: Mapping[str, str]) -> bool:
    """Whether objects of a class may differ: that of the first part is taken."""
    if PARAMETER.fullmatch(kind):
        return policies.get("parameters") == "first"
    return kind in STRINGS and policies.get("strings") == "first"


def shape_of(
    objects: Sequence[tuple[str, str, int]],
    pieces: Mapping[str, bytes],
    described: streamers.Streamers,
    policies: Mapping[str, str],
) -> Shape:
    """The structure of a file.

    Args:
        objects: Path, class, and bytes of the key of each.
        pieces: The bytes of each, by path; none for objects that may differ.
        described: What the file says of its classes.
        policies: The relaxed policies by name.

    Raises:
        UnknownClassError: A class does not merge here.
        DamageError: The bytes do not fit the class.
    """
    sums = policies.get("parameters") == "sum"
    entries, at = [], 0
    for path, kind, key_b in objects:
        piece = pieces[path]
        if is_free(kind, policies):
            layout = Layout(kind=kind)
        else:
            try:
                layout = lay_out(kind, memoryview(piece), key_b, described, sums=sums and kind in PARAMETERS)
            except UnknownClassError as error:
                raise UnknownClassError(f"{path!r}, a {error}") from error
        entries.append(Entry(path, kind, key_b, at, len(piece), layout))
        at += len(piece)
    return Shape(entries, b"".join(pieces[path] for path, _, _ in objects))


def knows(kinds: Mapping[str, str]) -> bool:
    """Whether objects of all these classes merge here; by path."""
    return all(
        HISTOGRAM.fullmatch(kind) or PARAMETER.fullmatch(kind) or kind in STRINGS or kind in _CONTAINERS
        for kind in kinds.values()
    )


def kinds_in(path: Path) -> dict[str, str]:
    """The class of every object of a file, by path; reads the lists of objects only.

    Raises:
        RecordError: The file is damaged.
        OSError: It cannot be read.
    """
    return {place: key.kind for place, key in records.read(records.load(path)).top.walk()}


class Reader:
    """Reads files, and knows those of a structure that it has read before.

    Args:
        policies: The relaxed policies by name, as `septum.yaml` spells them.
    """

    def __init__(self, policies: Mapping[str, str]) -> None:
        self._policies = policies
        self._known: list[tuple[Skeleton | None, Shape]] = []

    def read(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> Contents:
        """Read a file to its last byte.

        Args:
            path: The file.
            name: How messages name it: the output and its part.
            expected: Objects that must be there.

        Raises:
            OutputDamagedError: Not a ROOT file, cut off, never closed, empty, or damaged.
            OutputMissingError: An expected object is not there.
            NotAdditiveError: It holds numbers that do not add up, and no policy allows it.
            UnknownClassError: An object is of a class that does not merge here.
        """
        try:
            contents = self._read(path, name)
        except (ValueError, OSError, struct.error, LookupError, OverflowError) as error:
            # Damage that is found by name is a ValueError, too.
            raise OutputDamagedError(
                f"{name}: cannot be read as a ROOT file",
                evidence=f"{error}"[:300],
                fix="look at the part's log: did the job run out of time, memory or disk before it closed the file?",
            ) from error
        held = contents.shape.by_path
        if missing := [item for item in expected if item not in held]:
            raise OutputMissingError(
                f"{name}: the object {missing[0]!r} is not in the file",
                evidence=f"it holds: {', '.join(sorted(held)[:8]) or 'nothing'}",
                fix="correct the analysis, or 'objects' of this output in septum.yaml",
            )
        if not held:
            raise OutputDamagedError(
                f"{name}: the file holds no objects", fix="did the job end before it wrote its histograms?"
            )
        self._check(contents, name)
        return contents

    def known(self, classes: Mapping[str, tuple[str, int]], payload: bytes) -> Shape | None:
        """A structure that has been read already, with these objects, and equal to bytes in all that must be."""
        for _, shape in self._known:
            if shape.classes == classes and shape.agrees(payload):
                return shape
        return None

    # ── structure ───────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, path: Path, name: str) -> Contents:
        data = records.load(path)
        for number, (skeleton, shape) in enumerate(self._known):
            pieces = skeleton.unpack(data) if skeleton is not None else None
            if pieces is None or skeleton is None:
                continue
            payload = b"".join(pieces)
            if shape.agrees(payload):
                self._known.insert(0, self._known.pop(number))
                return _contents(shape, payload, data, skeleton.top, {})
            break
        return self._read_anew(data, name)

    def _read_anew(self, data: memoryview, name: str) -> Contents:
        file = records.read(data)
        keys = dict(file.top.walk())
        if len(keys) != sum(1 for _ in file.top.walk()):
            raise RecordError("two objects have one path")
        if sum(key.size_b for key in keys.values()) > _LARGEST_B:
            raise RecordError(f"its objects have more than {_LARGEST_B >> 30} GiB once they are unpacked")
        pieces = {path: codecs.unpack(file.stored(key), key.size_b) for path, key in keys.items()}
        chosen = {path: bytes(pieces[path]) for path, key in keys.items() if self._is_free(key.kind)}
        # In the place of what may differ stands nothing: that it is there, and its class, must be equal.
        pieces |= dict.fromkeys(chosen, b"")
        wanted = {path: (key.kind, key.key_b) for path, key in keys.items()}
        for _, shape in self._known:
            if shape.classes == wanted:
                payload = b"".join(pieces[entry.path] for entry in shape.entries)
                if shape.agrees(payload):
                    return _contents(shape, payload, data, file.top, chosen)
        shape = self._new_shape(file, keys, pieces)
        self._check_marks(shape, name)
        self._known.insert(0, (None if chosen else _skeleton(file), shape))
        # What was just laid out stays: without this, Python looks through it again and again for what can go.
        gc.freeze()
        del self._known[_REMEMBERED:]
        return _contents(shape, shape.payload, data, file.top, chosen)

    def _new_shape(self, file: records.RootFile, keys: Mapping[str, Key], pieces: Mapping[str, bytes]) -> Shape:
        described = streamers.read(streamers.stored_info(file), streamers.key_size(file))
        objects = [(path, keys[path].kind, keys[path].key_b) for path in pieces]
        return shape_of(objects, pieces, described, self._policies)

    def _is_free(self, kind: str) -> bool:
        """Whether objects of a class may differ: that of the first part is taken."""
        return is_free(kind, self._policies)

    # ── what does not add up ────────────────────────────────────────────────────────────────────────────────────

    def _check_marks(self, shape: Shape, name: str) -> None:
        for entry in shape.entries:
            where = f"{name}: {entry.path!r}"
            if entry.layout.averages and self._policies.get("averages") != "sum":
                raise NotAdditiveError(
                    f"{where} is marked as an average (kIsAverage), and averages do not add up",
                    fix="write the sum and the number of entries instead, and divide after the merge; "
                    "or, in septum.yaml: policies: {averages: sum}",
                )
            if entry.layout.zoomed:
                raise NotAdditiveError(
                    f"{where} has a range set on its {entry.layout.zoomed[1].lower()}-axis (SetRange, SetRangeUser), "
                    "with which its statistics are those of the range",
                    fix="write the histogram with its whole axis: h.GetXaxis().UnZoom(), and set the range where it is "
                    "drawn",
                )
            if entry.layout.buffered:
                raise NotAdditiveError(
                    f"{where} was written with fills still in its buffer: its axis is not fixed yet",
                    fix="call h.BufferEmpty(1) before it is written, or book it with fixed limits",
                )

    def _check(self, contents: Contents, name: str) -> None:
        shape, numbers = contents.shape, contents.numbers
        if self._policies.get("non-finite") != "keep" and not np.isfinite(numbers).all():
            slots = shape.at(int(np.argmin(np.isfinite(numbers))))
            cells = numbers[slots.start : slots.stop]
            cell = int(np.argmin(np.isfinite(cells)))
            raise NotAdditiveError(
                f"{name}: {shape.entries[slots.entry].path!r} holds {cells[cell]} in its {slots.numbers.role}",
                evidence=f"number {cell} of {slots.numbers.count}; a sum with it is {cells[cell]} for ever",
                fix="find the event or weight that gives it; or, in septum.yaml: policies: {non-finite: keep}",
            )
        slots_stopped = None if self._policies.get("saturation") == "round" else shape.stopped(numbers)
        if slots_stopped is not None:
            entry = shape.entries[slots_stopped.entry]
            raise NotAdditiveError(
                f"{name}: {entry.path!r} is a {entry.kind} with a cell at the largest number that it can count to",
                evidence="ROOT stops counting there without a word: fills may be lost already",
                fix="book it as a TH1D (TH2D, TH3D); or, in septum.yaml: policies: {saturation: round}",
            )


def _contents(
    shape: Shape, payload: bytes, data: memoryview, top: Folder, chosen: Mapping[str, bytes]
) -> Contents:  # fmt: skip
    header = records.read_header(data)
    file = records.RootFile(data=data, header=header, top=top)
    # Read of every file, and not only of the one that it is taken from: which one that is must not decide what is seen.
    info = Info(
        top=top,
        streamers=streamers.stored_info(file),
        streamers_key_b=streamers.key_size(file),
        compress=header.compress,
    )
    return Contents(shape=shape, numbers=shape.numbers(payload), payload=payload, info=info, chosen=chosen)


def _skeleton(file: records.RootFile) -> Skeleton | None:
    try:
        return Skeleton(file)
    except RecordError:
        return None


__all__ = ["Contents", "Info", "Reader", "UnknownClassError", "kinds_in", "knows"]
