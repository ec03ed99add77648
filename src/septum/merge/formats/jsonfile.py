"""Counters in JSON: numbers are added, all else must be equal."""

from __future__ import annotations

import json
import math
import operator
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from septum.errors import OutputDamagedError, StructureError
from septum.merge.formats.base import check_expected, check_same, labelled, printable, reading, writing
from septum.merge.formats.checksums import mix
from septum.merge.strict.exact import ExactSum
from septum.merge.summary import FileSummary, ObjectSummary

EQUAL = "septum_equal"
"""The key at the top whose list names what must be equal in all parts instead of being added."""
_FILE = "JSON"
_LARGEST_B = 1 << 26
_DEEPEST = 64

Number = int | float


class Json:
    """Trees of counters. Each value below objects only is an object of the file, named as in a JSON pointer."""

    name = "JSON counters"
    endings = (".json",)
    # Each level would round the sums of numbers with a fraction.
    two_levels = False

    def ready(self) -> None:
        """It needs no library."""

    def summarize(self, path: Path, *, name: str, expected: Sequence[str] = ()) -> FileSummary:
        """Read the file; `expected` names values, or objects that hold some. See `Format`."""
        values = _values(_parse(path, name), name)
        above = {key[:place] for key in values for place, letter in enumerate(key) if letter == "/"}
        check_expected(name, expected, {*values, *above}, "value")
        return FileSummary({key: _summarize(value) for key, value in values.items()})

    def merge(self, target: Path, sources: Sequence[Path], *, title: str, titles: Sequence[str] = ()) -> None:
        """Add the numbers of all sources; the keys stand in the order of the first one. See `Format`."""
        named = labelled(sources, titles)
        tree = _parse(named[0][1], named[0][0])
        first = _values(tree, named[0][0])
        structures = _structures(first)
        sums = _Sums(sum(len(value.numbers) for value in first.values()))
        for label, path in named:
            values = _values(_parse(path, label), label)
            check_same(title, (named[0][0], structures), (label, _structures(values)))
            sums.add([number for key in first for number in values[key].numbers])
        results = sums.results(title)
        merged = {key: [next(results) for _ in value.numbers] for key, value in first.items()}
        filled = {key: _filled(item, merged, _step(key)) for key, item in tree.items()}
        text = json.dumps(filled, indent=2, allow_nan=False)
        with writing(title), target.open("xb") as stream:
            stream.write(f"{text}\n".encode())


class _Value:
    """A value that is no object: its numbers in order, and all else as its structure, a JSON object.

    Args:
        value: The value.
        shown: How messages name it.
        adds: Whether its numbers are added.
    """

    def __init__(self, value: Any, shown: str, *, adds: bool) -> None:
        self.numbers: list[Number] = []
        self._shown, self._adds = shown, adds
        held = self._shape(value, 0)
        self.structure = json.dumps({"rule": "add" if self.numbers else "equal", "value": held}, sort_keys=True)

    def _shape(self, value: Any, depth: int) -> Any:
        _check_depth(depth, self._shown)
        if isinstance(value, list):
            return [self._shape(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {key: self._shape(value[key], depth + 1) for key in sorted(value)}
        if not self._adds or isinstance(value, (bool, str)) or value is None:
            return value
        try:
            float(value)
        except OverflowError as error:
            raise StructureError(f"{self._shown} holds a number beyond 1e308", fix="write smaller numbers") from error
        self.numbers.append(value)
        return {"number": len(self.numbers)}


class _Sums:
    """The sums of so many numbers: whole ones of any size; with a fraction in one source, rounded once."""

    def __init__(self, size: int) -> None:
        self._whole = [0] * size
        self._fractions: set[int] = set()
        self._exact = ExactSum(size)

    def add(self, numbers: Sequence[Number]) -> None:
        """Add the numbers of one source."""
        others = np.full(len(numbers), -0.0)
        for place, number in enumerate(numbers):
            if isinstance(number, int):
                self._whole[place] += number
            else:
                self._fractions.add(place)
                others[place] = number
        self._exact.add(others)

    def results(self, title: str) -> Iterator[Number]:
        """All sums in order.

        Raises:
            StructureError: One is beyond what a number with a fraction can be.
        """
        left = {place: self._whole[place] for place in self._fractions if self._whole[place]}
        while left:
            pieces = np.full(len(self._whole), -0.0)
            for place, number in left.items():
                pieces[place] = _next_to(number, title)
            self._exact.add(pieces)
            left = {place: rest for place, number in left.items() if (rest := number - int(pieces[place]))}
        rounded = self._exact.round()
        for place, whole in enumerate(self._whole):
            if not math.isfinite(rounded[place]):
                raise _too_large(title)
            yield float(rounded[place]) if place in self._fractions else whole


def _next_to(number: int, title: str) -> float:
    try:
        return float(number)
    except OverflowError as error:
        raise _too_large(title) from error


def _too_large(title: str) -> StructureError:
    return StructureError(f"merge: {title}: a sum is beyond 1e308", fix="look for numbers that are next to infinity")


def _parse(path: Path, name: str) -> dict[str, Any]:
    with reading(name, _FILE):
        if path.stat().st_size > _LARGEST_B:
            raise StructureError(
                f"{name}: more than {_LARGEST_B} bytes of JSON",
                fix="write counters as JSON, and what is large as Parquet, HDF5 or .npz",
            )
        tree = json.loads(
            path.read_bytes().decode("utf-8-sig"),
            object_pairs_hook=_without_doubles,
            parse_constant=_refuse,
            parse_float=_finite,
        )
    if not isinstance(tree, dict):
        raise StructureError(
            f"{name}: there is no object at the top, so that its counters have no names",
            evidence=f"it is a {type(tree).__name__}",
            fix='write an object: {"selected": 17}',
        )
    if not tree:
        raise OutputDamagedError(f"{name}: the file holds no counters", fix="did the job end before it counted?")
    return tree


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        doubled, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {doubled!r} is there twice in one object")
    return made


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number that can be added")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _values(tree: Mapping[str, Any], name: str) -> dict[str, _Value]:
    """All values below objects only, by their paths, in the order of the file."""
    equal = tree.get(EQUAL, [])
    if not isinstance(equal, list) or not all(isinstance(key, str) for key in equal):
        raise StructureError(f"{name}: {EQUAL!r} is no list of names", fix=f'"{EQUAL}": ["year", "site/name"]')
    found: dict[str, _Value] = {}
    known: set[str] = set()
    for path, value, adds in _walk(tree, "", set(equal), name, depth=0, adds=True):
        known.add(path)
        if not isinstance(value, dict) or not value:
            found[path] = _Value(value, f"{name}: {path!r}", adds=adds)
    if unknown := [key for key in equal if key not in known]:
        raise StructureError(
            f"{name}: {EQUAL!r} names {printable(unknown[0])!r}, which is not there", fix="correct the list"
        )
    return found


def _walk(
    tree: Mapping[str, Any], above: str, equal: set[str], name: str, *, depth: int, adds: bool
) -> Iterator[tuple[str, Any, bool]]:
    """Everything below an object with its path, and whether its numbers are added."""
    _check_depth(depth, name)
    for key, value in tree.items():
        path = f"{above}{_step(key)}"
        here = adds and path not in equal
        yield path, value, here
        if isinstance(value, dict):
            yield from _walk(value, f"{path}/", equal, name, depth=depth + 1, adds=here)


def _check_depth(depth: int, shown: str) -> None:
    if depth > _DEEPEST:
        raise StructureError(f"{shown}: more than {_DEEPEST} objects and lists in one another", fix="write fewer")


def _step(key: str) -> str:
    """A key as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def _structures(values: Mapping[str, _Value]) -> dict[str, str]:
    return {key: value.structure for key, value in values.items()}


def _summarize(value: _Value) -> ObjectSummary:
    if not value.numbers:
        return ObjectSummary("constant", value.structure, 0.0, None, 0.0)
    checks: dict[str, int] = {}
    # With a fraction in one source the sum has one, and no checksum: it is compared as a number.
    if all(isinstance(number, int) for number in value.numbers):
        factors = mix(np.arange(1, len(value.numbers) + 1, dtype=np.uint64)) | np.uint64(1)
        checks["whole"] = sum(map(operator.mul, factors.tolist(), map(int, value.numbers))) % 2**64
    kind = "counter" if len(value.numbers) == 1 else "counters"
    return ObjectSummary(kind, value.structure, 0.0, np.array(value.numbers, np.float64), 2.0**-52, checks)


def _filled(value: Any, merged: Mapping[str, Sequence[Number]], path: str) -> Any:
    """A tree like the first one, with the sums in the place of its numbers."""
    if path not in merged:
        return {key: _filled(item, merged, f"{path}/{_step(key)}") for key, item in value.items()}
    return _with_numbers(value, iter(merged[path])) if merged[path] else value


def _with_numbers(value: Any, numbers: Iterator[Number]) -> Any:
    if isinstance(value, list):
        return [_with_numbers(item, numbers) for item in value]
    if isinstance(value, dict):
        # Numbered in the order of the keys' names, and written in that of the first source.
        found = {key: _with_numbers(value[key], numbers) for key in sorted(value)}
        return {key: found[key] for key in value}
    return value if isinstance(value, (bool, str)) or value is None else next(numbers)


JSON = Json()
