"""Counters in JSON: added exactly, with all else equal."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from septum.errors import MergeFailedError, NotConservedError, OutputDamagedError, OutputMissingError, StructureError
from septum.merge.formats import jsonfile
from septum.merge.formats.jsonfile import JSON
from septum.merge.summary import Total, first_difference
from tests.unit.format_files import merge_and_check, sha256


def _write(path: Path, tree: Any) -> Path:
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree), encoding="utf-8")
    return path


def _parts(folder: Path, *trees: Any) -> list[Path]:
    return [_write(folder / f"part{n}.json", tree) for n, tree in enumerate(trees)]


def _merged(folder: Path, *trees: Any) -> Any:
    merge_and_check(JSON, folder / "m.json", _parts(folder, *trees))
    return json.loads((folder / "m.json").read_text(encoding="utf-8"))


# ── adding ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_cutflow(tmp_path: Path) -> None:
    """Numbers are added at every depth, in lists place by place; the rest is equal, the order is that of the first."""
    one = {
        "selection": {"z": 1, "all": 100, "2 muons": {"pass": 7, "weight": 6.5}},
        "histogram": [1, 2, [3, {"b": 4, "a": 0.5}]],
        "sample": "DY", "data": False, "comment": None, "nothing": {}, "none": [],
    }  # fmt: skip
    two = json.loads(json.dumps(one, sort_keys=True))
    two["selection"]["all"] = 50
    merged = _merged(tmp_path, one, two)

    assert merged == {
        "selection": {"z": 2, "all": 150, "2 muons": {"pass": 14, "weight": 13.0}},
        "histogram": [2, 4, [6, {"b": 8, "a": 1.0}]],
        "sample": "DY", "data": False, "comment": None, "nothing": {}, "none": [],
    }  # fmt: skip
    assert list(merged) == list(one)
    assert list(merged["selection"]) == ["z", "all", "2 muons"]
    assert list(merged["histogram"][2][1]) == ["b", "a"]


def test_names_of_values_are_json_pointers(tmp_path: Path) -> None:
    """So that no two have the same."""
    tree = {"a": {"b": 1, "c/d": 2, "e~f": 3, "": 4}, "a/b": 5, "": 6, "l": [1, {"x": 2}]}
    found = JSON.summarize(_write(tmp_path / "x.json", tree), name="x").objects

    assert {path: item.kind for path, item in found.items()} == {
        "a/b": "counter", "a/c~1d": "counter", "a/e~0f": "counter", "a/": "counter", "a~1b": "counter", "": "counter",
        "l": "counters",
    }  # fmt: skip


def test_whole_numbers_stay_exact_at_any_size(tmp_path: Path) -> None:
    """As Python's own, and not as double precision."""
    merged = _merged(tmp_path, *({"n": 2**53 + n, "big": 10**40 + n, "minus": -(2**63)} for n in range(5)))

    assert merged == {"n": 5 * 2**53 + 10, "big": 5 * 10**40 + 10, "minus": -5 * 2**63}


def test_fractions_are_rounded_once_in_any_order(tmp_path: Path) -> None:
    """0.1 ten times is 1."""
    numbers = random.Random(3)
    values = [numbers.gauss(0, 1) * 10.0 ** numbers.randrange(-200, 200) for _ in range(50)]
    trees = [{"tenth": 0.1, "w": value} for value in values[:10]]
    merged = _merged(tmp_path, *trees)
    JSON.merge(tmp_path / "r.json", _parts(tmp_path, *trees[::-1]), title="r")

    assert merged == {"tenth": 1.0, "w": math.fsum(values[:10])}
    assert sha256(tmp_path / "m.json") == sha256(tmp_path / "r.json")


@pytest.mark.parametrize(
    "terms",
    [
        [0, 0.5],
        [3, 0.25, -3],
        [2**60, 1.0, 1],
        [2**60 + 1, -(2.0**60)],
        [10**300, -1e300, 1],
        [2**53 + 1, 0.5, 2**53 + 1],
    ],
)
def test_a_sum_of_whole_numbers_and_fractions_is_rounded_once(tmp_path: Path, terms: list[Any]) -> None:
    """Many programs write 0 for 0.0."""
    from fractions import Fraction

    merged = _merged(tmp_path, *({"w": term} for term in terms))["w"]

    assert isinstance(merged, float)
    assert merged == float(sum(map(Fraction, terms)))


def test_what_is_named_is_equal_instead(tmp_path: Path) -> None:
    """A year is a number that nobody wants to have added; a branch of the tree can be named as well."""
    tree = {"n": 3, "year": 2018, "site": {"id": 7, "edges": [0, 0.5]}, "septum_equal": ["year", "site"]}

    assert _merged(tmp_path, tree, tree, tree) == {**tree, "n": 9}
    with pytest.raises(StructureError, match="cannot be merged") as caught:
        JSON.merge(tmp_path / "x", _parts(tmp_path, tree, {**tree, "year": 2017}), title="x")
    assert "'year'" in caught.value.evidence


@pytest.mark.parametrize(("names", "said"), [(["yaer"], "names 'yaer', which"), ("year", "no list"), ([1], "no list")])
def test_names_that_make_no_sense(tmp_path: Path, names: Any, said: str) -> None:
    """A misspelled one would be added."""
    with pytest.raises(StructureError, match=said):
        JSON.summarize(_write(tmp_path / "x.json", {"year": 1, "septum_equal": names}), name="x")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    """Some editors write one."""
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"n": 1}')
    merge_and_check(JSON, tmp_path / "m.json", [path, path])

    assert (tmp_path / "m.json").read_bytes() == b'{\n  "n": 2\n}\n'


def test_texts_come_out_as_they_went_in(tmp_path: Path) -> None:
    """Letters of any alphabet, controls, and halves of letters that are no text anywhere else."""
    tree = {"µ\u2028": 'a"\n\x1b', "half": "\ud800", "n": 1}

    assert _merged(tmp_path, tree, tree) == {**tree, "n": 2}


# ── what must be equal ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"a": 1}, {"b": 1}, "'a' is in part0 only"),
        ({"a": 1}, {"a": 1, "b": 2}, "'b' is in part1 only"),
        ({"a": {"x": 1}}, {"a": {"y": 1}}, "'a/x' is in part0 only"),
        ({"a": 1}, {"a": "1"}, "'rule': add in the first, equal in the other"),
        ({"a": 1}, {"a": True}, "'rule'"),
        ({"a": 1}, {"a": None}, "'rule'"),
        ({"a": "x"}, {"a": "y"}, "'value': x in the first, y in the other"),
        ({"a": True}, {"a": False}, "'value'"),
        ({"a": [1, 2]}, {"a": [1]}, "'value'"),
        ({"a": [1, [2]]}, {"a": [[1], 2]}, "'value'"),
        ({"a": [1, "x"]}, {"a": [1, "y"]}, "'value'"),
        ({"a": [{"x": 1}]}, {"a": [{"y": 1}]}, "'value'"),
        ({"a": {}}, {"a": []}, "'value'"),
    ],
)
def test_files_that_differ_are_not_merged(tmp_path: Path, one: Any, other: Any, said: str) -> None:
    """The message says where."""
    parts = _parts(tmp_path, one, other)
    summaries = [JSON.summarize(part, name="x") for part in parts]
    with pytest.raises(StructureError, match="part0 and part1 cannot be merged") as caught:
        JSON.merge(tmp_path / "m", parts, title="m")

    assert summaries[0].structure != summaries[1].structure
    assert first_difference(*summaries) != "no difference"
    assert said in caught.value.evidence
    assert not (tmp_path / "m").exists()


def test_values_that_must_be_there(tmp_path: Path) -> None:
    """A value, or an object that holds some."""
    path = _write(tmp_path / "x.json", {"a": {"b": {"c": 1}}, "d": [1]})

    JSON.summarize(path, name="x", expected=["a", "a/b", "a/b/c", "d"])
    for missing in ("b", "a/c", "d/0", "a/"):
        with pytest.raises(OutputMissingError, match=f"the value '{missing}' is not in the file"):
            JSON.summarize(path, name="x", expected=["a", missing])


# ── hostile and damaged files ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ('{"a": 1', "delimiter"),
        ('{"a": 1}{"a": 1}', "Extra data"),
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ('{"x": {"b": 1, "c": 2, "b": 1}}', "the key 'b' is there twice"),
        ('{"a": NaN}', "NaN is no number that can be added"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is no number"),
        ("{'a': 1}", "Expecting property name"),
        ('{"a": 01}', "Expecting"),
        ("[" * 200_000, "RecursionError"),
        ('{"a":' * 200_000, "RecursionError"),
        ("<html>502 Bad Gateway</html>", "Expecting value"),
        ('{"\x1b[31m": 1, "\x1b[31m": 1', "Invalid control character"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, said: str) -> None:
    """Cut off, doubled, or what another program took for JSON."""
    with pytest.raises(OutputDamagedError, match="part 7: cannot be read as JSON") as caught:
        JSON.summarize(_write(tmp_path / "x.json", text), name="part 7")
    assert said in caught.value.evidence
    assert caught.value.evidence.isprintable()


@pytest.mark.parametrize("raw", [b"\xff{}", bytes(100), '{"a": 1}'.encode("utf-16"), b'{"a": "\xff"}'])
def test_bytes_that_are_no_text(tmp_path: Path, raw: bytes) -> None:
    """Another encoding, or a disk that lost a block."""
    (tmp_path / "x.json").write_bytes(raw)
    with pytest.raises(OutputDamagedError, match="cannot be read as JSON"):
        JSON.summarize(tmp_path / "x.json", name="x")


@pytest.mark.parametrize("tree", [[1, 2], 3, '"x"', None, True])
def test_counters_need_names(tmp_path: Path, tree: Any) -> None:
    """A list at the top would hide which counter is which."""
    with pytest.raises(StructureError, match="there is no object at the top"):
        JSON.summarize(_write(tmp_path / "x.json", tree), name="x")


def test_no_counters(tmp_path: Path) -> None:
    """The job ended before it counted."""
    with pytest.raises(OutputDamagedError, match="holds no counters"):
        JSON.summarize(_write(tmp_path / "x.json", {}), name="x")


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_deep_trees(tmp_path: Path, opening: str, closing: str) -> None:
    """Deeper than anybody would write, and not too deep for the parser."""
    text = '{"top":' + opening * 100 + "1" + closing * 100 + "}"
    with pytest.raises(StructureError, match="more than 64 objects and lists in one another"):
        JSON.summarize(_write(tmp_path / "x.json", text), name="x")


def test_numbers_beyond_all_measure(tmp_path: Path) -> None:
    """Whole ones as well: the check is made in double precision."""
    with pytest.raises(StructureError, match="a number beyond 1e308"):
        JSON.summarize(_write(tmp_path / "x.json", '{"n": 1' + "0" * 400 + "}"), name="x")
    with pytest.raises(OutputDamagedError, match="cannot be read as JSON"):
        JSON.summarize(_write(tmp_path / "x.json", '{"n": 1' + "0" * 10_000 + "}"), name="x")
    for terms in ([1e308, 1e308], [1e308, 10**308]):
        with pytest.raises(StructureError, match="a sum is beyond 1e308"):
            JSON.merge(tmp_path / "m", _parts(tmp_path, *({"w": term} for term in terms)), title="m")


def test_large_files_are_no_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON is read as a whole."""
    monkeypatch.setattr(jsonfile, "_LARGEST_B", 10)
    with pytest.raises(StructureError, match="more than 10 bytes of JSON"):
        JSON.summarize(_write(tmp_path / "x.json", {"a": 1, "b": 2}), name="x")


def test_a_missing_file(tmp_path: Path) -> None:
    """Somebody removed it."""
    with pytest.raises(OutputDamagedError, match="cannot be read as JSON"):
        JSON.summarize(tmp_path / "x.json", name="x")


@pytest.mark.parametrize(
    "fault", [{"n": 11, "w": 1.5, "l": [3, 6]}, {"n": 12, "w": 1.25, "l": [3, 6]}, {"n": 12, "w": 1.5, "l": [6, 3]}]
)
def test_a_merge_that_loses_or_invents_something_is_found(tmp_path: Path, fault: Any) -> None:
    """One event of many, a weight, two counters that changed places."""
    trees = [{"n": 4, "w": 0.5, "l": [1, 2]}] * 3
    total = Total()
    for part in _parts(tmp_path, *trees):
        total.add(JSON.summarize(part, name="x"))
    assert _merged(tmp_path, *trees) == {"n": 12, "w": 1.5, "l": [3, 6]}

    with pytest.raises(NotConservedError):
        total.check(JSON.summarize(_write(tmp_path / "bad.json", fault), name="m"), name="m")


def test_one_event_of_more_than_double_precision_can_count(tmp_path: Path) -> None:
    """Whole numbers are compared to the last digit."""
    parts = _parts(tmp_path, {"n": 2**60}, {"n": 2**60})
    total = Total()
    for part in parts:
        total.add(JSON.summarize(part, name="x"))
    with pytest.raises(NotConservedError):
        total.check(JSON.summarize(_write(tmp_path / "bad.json", {"n": 2**61 + 1}), name="m"), name="m")


def test_a_target_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """It may be a good result."""
    (tmp_path / "m.json").write_text("precious")
    with pytest.raises(MergeFailedError, match="could not be written"):
        JSON.merge(tmp_path / "m.json", _parts(tmp_path, {"a": 1}), title="m")
    assert (tmp_path / "m.json").read_text() == "precious"
