"""Two tables, column by column: rows against rows, values against values, and never more than a chunk in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np
import pytest

from septum.compare import columns
from septum.compare.columns import compare_tables
from septum.compare.verdicts import Entry, Verdict


@dataclass
class Memory:
    """A table that never was in a file, and remembers how much of it was read at once."""

    data: Mapping[str, Any]
    kind: str = "TTree"
    broken: Mapping[str, str] = field(default_factory=dict)
    largest: int = 0

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.data.values()))) if self.data else 0

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""
        return [*self.data, *self.broken]

    def type_of(self, column: str) -> str:
        """The type of the values."""
        return "unknown" if column in self.broken else str(ak.type(ak.Array(self.data[column][:0])).content)

    def read(self, column: str, start: int, stop: int) -> Any:
        """Some rows."""
        if column in self.broken:
            raise NotImplementedError(column)
        self.largest = max(self.largest, stop - start)
        return ak.Array(self.data[column][start:stop])

    def raw(self, column: str) -> str:
        """The checksum of what cannot be read."""
        return self.broken[column]


def muons(seed: int = 1, rows: int = 3000, scale: float = 1.0) -> dict[str, Any]:
    """Events with a number, jets, and a flag."""
    rng = np.random.default_rng(seed)
    jets = rng.poisson(2.0, rows)
    return {
        "mass": rng.normal(91.0, 3.0, rows) * scale,
        "jet_pt": ak.unflatten(rng.exponential(40.0, jets.sum()).astype(np.float32), jets),
        "trigger": rng.random(rows) < 0.4,
    }


def compared(here: Mapping[str, Any], there: Mapping[str, Any]) -> Entry:
    """One against the other."""
    return compare_tables(Memory(here), Memory(there))


def test_equal_tables() -> None:
    """Row by row; NaN equals NaN."""
    data = {**muons(), "hole": np.where(np.arange(3000) % 7 == 0, np.nan, 1.0)}

    assert compared(data, data) == Entry(kind="TTree", verdict=Verdict.IDENTICAL)


def test_empty_tables() -> None:
    """No event passed, here and there."""
    none = {name: values[:0] for name, values in muons().items()}

    assert compared(none, none).verdict is Verdict.IDENTICAL
    entry = compared(none, muons())
    assert entry.p_value is not None
    assert entry.p_value < 1e-100
    assert entry.notes[0] == "0 rows here, 3000 in the reference"


def test_last_places_are_rounding() -> None:
    """As from another compiler; and the column is named."""
    one, other = muons(), muons()
    other["mass"] = np.nextafter(other["mass"], np.inf)
    entry = compared(one, other)

    assert (entry.verdict, entry.worst, entry.p_value) == (Verdict.ROUNDING, "mass", None)
    assert entry.detail == "1 of 3 columns differ: mass"
    assert entry.relative is not None
    assert 0 < entry.relative < 3e-16


def test_another_order_of_rows_is_compatible_and_not_identical() -> None:
    """The same events, merged from parts in another order."""
    data = muons()
    order = np.random.default_rng(5).permutation(3000)
    entry = compared(data, {name: values[order] for name, values in data.items()})

    assert (entry.verdict, entry.p_value) == (Verdict.COMPATIBLE, 1.0)
    assert entry.notes == ("the same values in another order of rows",)


def test_values_that_were_exchanged_bit_by_bit_are_not_the_same_values() -> None:
    """1 + 4 and 2 + 3 have one sum and are not one set."""
    one, other = {"n": np.array([1, 4] * 100)}, {"n": np.array([2, 3] * 100)}

    assert "order" not in " ".join(compared(one, other).notes)


def test_other_events_of_the_same_process_are_compatible() -> None:
    """Another seed."""
    entry = compared(muons(1), muons(2, rows=3050))

    assert entry.verdict is Verdict.COMPATIBLE
    assert entry.p_value is not None
    assert entry.p_value > 0.05


@pytest.mark.parametrize("change", [
    lambda data: {**data, "mass": data["mass"] * 1.01},
    lambda data: {**data, "jet_pt": data["jet_pt"] * np.float32(1.3)},
    lambda data: {**data, "trigger": data["trigger"] | (np.arange(len(data["trigger"])) % 4 == 0)},
    lambda data: {**data, "jet_pt": ak.concatenate([data["jet_pt"], data["jet_pt"][:, :1]], axis=1)},
    lambda data: {**data, "mass": np.where(np.arange(len(data["mass"])) % 5 == 0, np.nan, data["mass"])},
], ids=["scale", "jet scale", "trigger", "one jet more", "nan"])  # fmt: skip
def test_another_distribution_is_improbable(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Also of jets, of their number, of flags, and of what is no number."""
    entry = compared(change(muons(2)), muons(1))

    assert entry.p_value is not None
    assert entry.p_value < 1e-6


def test_a_dropped_part_of_ten_shows_in_the_number_of_rows() -> None:
    """All distributions are as they were."""
    data = muons()
    entry = compared({name: values[:2700] for name, values in data.items()}, data)

    assert entry.p_value is not None
    assert entry.p_value < 1e-3
    assert "2700 rows here, 3000 in the reference" in entry.notes


@pytest.mark.parametrize(("other", "word"), [
    ({**muons(), "extra": np.zeros(3000)}, "1 columns in the reference only: extra"),
    ({"mass": muons()["mass"]}, "2 columns here only: jet_pt, trigger"),
    ({**muons(), "mass": muons()["mass"].astype(np.float32)}, "column mass: float64 here, float32 in the reference"),
])  # fmt: skip
def test_other_columns_are_another_structure(other: Mapping[str, Any], word: str) -> None:
    """Missing, new, or of another type."""
    entry = compared(muons(), other)

    assert entry.verdict is Verdict.STRUCTURE
    assert word in entry.detail


def test_columns_that_nobody_can_read_are_compared_by_their_bytes() -> None:
    """Equal ones are equal; of others nothing is known but that they differ."""
    one, same, other = (Memory(muons(), broken={"track": checksum}) for checksum in ("a", "a", "b"))

    assert compare_tables(one, same).verdict is Verdict.IDENTICAL
    entry = compare_tables(one, other)
    assert (entry.verdict, entry.p_value, entry.worst) == (Verdict.DIFFERENT, 0.0, "track")
    assert entry.notes == ("column track cannot be read; its bytes differ",)


def test_texts_are_counted_by_their_kinds() -> None:
    """Equal, a fluctuation, another mixture, and so many that counting means nothing."""
    rng = np.random.default_rng(8)

    def channel(share: float) -> dict[str, Any]:
        return {"channel": ["ee" if random < share else "mm" for random in rng.random(2000)]}

    one = channel(0.5)
    assert compared(one, one).verdict is Verdict.IDENTICAL
    fine, other = compared(one, channel(0.5)).p_value, compared(one, channel(0.65)).p_value
    assert fine is not None
    assert other is not None
    assert other < 1e-6
    assert fine > 1e-2
    names = [{"name": [f"{side}{number}" for number in range(2000)]} for side in "ab"]
    entry = compared(*names)
    assert (entry.verdict, entry.p_value) == (Verdict.DIFFERENT, 0.0)


def test_records_in_a_column_are_looked_into() -> None:
    """An ntuple's collection has one leaf for each field."""
    muon = [[{"pt": float(row), "charge": 1}] * (row % 3) for row in range(300)]
    other = [[{**item, "charge": -1} for item in row] for row in muon]
    entry = compare_tables(Memory({"muons": muon}, "ROOT::RNTuple"), Memory({"muons": other}, "ROOT::RNTuple"))

    assert entry.p_value is not None
    assert entry.p_value < 1e-9


def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column of 400,000 rows is read in chunks, equal, changed in its last row, or of another length."""
    monkeypatch.setattr(columns, "_CHUNK_B", 80_000)
    values = np.arange(400_000, dtype=np.float64)
    changed = values.copy()
    changed[-1] = 0.0
    tables = [Memory({"x": each}) for each in (values, values, changed, values[:-1])]

    assert compare_tables(tables[0], tables[1]).verdict is Verdict.IDENTICAL
    assert compare_tables(tables[0], tables[2]).verdict is Verdict.COMPATIBLE
    assert compare_tables(tables[0], tables[3]).verdict is Verdict.COMPATIBLE
    assert max(table.largest for table in tables) == 10_000


def test_the_sample_of_a_test_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every so many rows, the same on both sides; and a difference still shows."""
    monkeypatch.setattr(columns, "_SAMPLE", 1000)
    rng = np.random.default_rng(9)
    one, other = ({"x": rng.normal(mean, 1.0, 50_000)} for mean in (0.0, 0.5))
    same = compared(one, {"x": rng.normal(0.0, 1.0, 50_000)}).p_value
    entry = compared(one, other)

    assert same is not None
    assert same > 0.01
    assert entry.p_value is not None
    assert 1e-40 < entry.p_value < 1e-6
