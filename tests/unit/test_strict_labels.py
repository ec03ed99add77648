"""Axes with labels that differ between parts: refused, or bins added by their label, exactly and in every order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from septum.errors import StructureError
from tests.fakes.rootfiles import H
from tests.unit.strict_files import Rig, by_label, members, merge, sha256, write

BY_NAME = {"labels": "by-name"}


def _labelled(labels: Sequence[str], values: Sequence[float], **options: object) -> H:
    """Bins with labels, and a bin for each label unless `bins` are more; -1 and +1 are in the flow bins."""
    bins = int(str(options.pop("bins", len(labels))))
    cells = [0.25, *values, *[0.0] * (bins - len(values)), 0.5]
    width = float(str(options.pop("width", 1.0)))
    return H(cells=cells, labels=list(labels) or None, high=bins * width, **options)  # type: ignore[arg-type]


def _write(folder: Path, *parts: H) -> list[Path]:
    return [write(folder / f"{number}.root", {"h": part}) for number, part in enumerate(parts)]


def test_the_strict_way(tmp_path: Path) -> None:
    """Object, part, labels, and the policy that allows it."""
    paths = _write(tmp_path, _labelled("abc", [1, 2, 3]), _labelled("bca", [20, 30, 10]), _labelled("abc", [1, 2, 3]))

    with pytest.raises(StructureError, match=r"1\.root differs from other parts") as caught:
        merge(tmp_path / "m.root", paths)
    assert "'h': the x-axis has the labels 'a', 'b', 'c' in one, 'b', 'c', 'a' in the other" in caught.value.evidence
    assert "policies: {labels: by-name}" in caught.value.fix
    assert not (tmp_path / "m.root").exists()


def test_equal_labels_need_no_policy(tmp_path: Path) -> None:
    """And bins without a label are bins like others then."""
    paths = _write(tmp_path, *[_labelled("ab", [1, 2, 3 + n], bins=3) for n in range(2)])

    merge(tmp_path / "m.root", paths)
    merge(tmp_path / "n.root", paths, labels="by-name")

    for name in ("m.root", "n.root"):
        assert members(tmp_path / name, "h")["cells"].tolist() == [0.5, 2, 4, 7, 1.0]


@pytest.mark.parametrize(
    ("parts", "expected", "order"),
    [
        ([("abc", [1, 2, 3]), ("bca", [20, 30, 10])], {"a": 11, "b": 22, "c": 33}, "abc"),
        ([("bca", [20, 30, 10]), ("abc", [1, 2, 3])], {"a": 11, "b": 22, "c": 33}, "bca"),
        ([("abc", [1, 2, 3]), ("abd", [10, 20, 40])], {"a": 11, "b": 22, "c": 3, "d": 40}, "abcd"),
        ([("ab", [1, 2]), ("cd", [3, 4]), ("dba", [40, 20, 10])], {"a": 11, "b": 22, "c": 3, "d": 44}, "abcd"),
        ([("", [0, 0]), ("ab", [1, 2]), ("b", [20])], {"a": 1, "b": 22}, "ab"),
        ([("b", [20]), ("", []), ("ab", [1, 2])], {"a": 1, "b": 22}, "ba"),
        ([("a", [1]), ("", [0, 0, 0]), ("z", [5])], {"a": 1, "z": 5}, "az"),
    ],
    ids=["order", "first part", "set", "disjoint", "empty first", "empty", "one each"],
)
def test_labels_are_added_by_name(
    tmp_path: Path, parts: list[tuple[str, list[float]]], expected: dict[str, float], order: str
) -> None:
    """Each label once, in the order of the first part that has it; a histogram that nothing was filled into is none."""
    made = [
        H(cells=[0.25 if labels else 0, *values, 0.5 if labels else 0], labels=list(labels) or None, high=len(values))
        for labels, values in parts
    ]
    paths = _write(tmp_path, *made)
    merge(tmp_path / "m.root", paths, labels="by-name")

    labelled = sum(1 for labels, _ in parts if labels)
    assert by_label(tmp_path / "m.root") == {"-": 0.25 * labelled, **expected, "+": 0.5 * labelled}
    found = members(tmp_path / "m.root", "h")
    assert sorted(found["labels"], key=found["labels"].__getitem__) == list(order)
    # H writes the content as the square of the error.
    assert found["errors"].tolist() == found["cells"].tolist()
    assert found["fEntries"] == found["cells"].sum()
    assert found["fTsumw"] == sum(expected.values())


def test_the_axis_of_the_result(tmp_path: Path) -> None:
    """With the same bins in all parts and room for every label it stays; else there is one bin for each label."""
    same = _write(tmp_path / "same", _labelled("ab", [1, 2], bins=4), _labelled("cb", [3, 20], bins=4))
    more = _write(tmp_path / "more", _labelled("ab", [1, 2], bins=2, width=0.5), _labelled("cb", [3, 20], bins=4))
    merge(tmp_path / "same.root", same, labels="by-name")
    merge(tmp_path / "more.root", more, labels="by-name")

    assert members(tmp_path / "same.root", "h")["axis"] == (4, 0.0, 4.0)
    assert members(tmp_path / "more.root", "h")["axis"] == (3, 0.0, 1.5)
    for name in ("same.root", "more.root"):
        assert by_label(tmp_path / name) == {"-": 0.5, "a": 1, "b": 22, "c": 3, "+": 1.0}


def test_errors_in_some_parts_only(tmp_path: Path) -> None:
    """Labels, errors and their absence in one histogram."""
    paths = _write(
        tmp_path, _labelled("ab", [1, -2], sumw2=False), _labelled("ba", [20, 10]), _labelled("c", [4], sumw2=False)
    )
    merge(tmp_path / "m.root", paths, labels="by-name")

    assert by_label(tmp_path / "m.root") == {"-": 0.75, "a": 11, "b": 18, "c": 4, "+": 1.5}
    assert members(tmp_path / "m.root", "h")["errors"].tolist() == [0.75, 11, 22, 4, 1.5]


@pytest.mark.parametrize("dtype", [">f8", ">i4"])
def test_every_order_and_every_checkpoint(tmp_path: Path, dtype: str) -> None:
    """Of forty parts with a label set of their own each, more structures than are kept apart."""
    draw = random.Random(dtype)
    names = [f"trigger {number}" for number in range(12)]
    expected = dict.fromkeys(names, 0.0)
    parts = []
    for _ in range(40):
        labels = draw.sample(names, draw.randint(0, 12))
        values = [float(draw.randint(1, 99)) for _ in labels]
        bins = len(labels) + (draw.choice([0, 3]) if labels else 2)
        parts.append(
            H(cells=[0, *values, *[0] * (bins - len(labels)), 0], labels=labels or None, high=bins, dtype=dtype)
        )
        for label, value in zip(labels, values, strict=True):
            expected[label] += value
    paths = _write(tmp_path / "parts", *parts)
    whole = Rig(tmp_path / "whole", paths, BY_NAME)
    digest = sha256(whole.merge())
    assert by_label(whole.target.path) == {"-": 0, **{name: v for name, v in expected.items() if v}, "+": 0}

    for turn in range(2):
        order = draw.sample(range(40), 40)
        cut = draw.randint(1, 39)
        rig = Rig(tmp_path / str(turn), paths, BY_NAME)
        merging = rig.add(rig.begin(), order[:cut])
        merging.save()
        resumed = Rig(tmp_path / str(turn), paths, BY_NAME).resume()
        assert resumed is not None
        # One goes on, the other one goes on from where it stood in the file.
        rig.finish(rig.add(merging, order[cut:]))
        assert sha256(rig.target.path) == digest
        rig.finish(rig.add(resumed, order[cut:]))
        assert sha256(rig.target.path) == digest


def test_processes(tmp_path: Path) -> None:
    """Two of them, each with labels that the other has not."""
    paths = _write(tmp_path, *[_labelled(labels, [1.5, 2]) for labels in ("ab", "ba", "cd", "da", "xy", "ab")])
    merge(tmp_path / "m.root", paths, labels="by-name")
    alone = sha256(tmp_path / "m.root")
    merge(tmp_path / "m.root", paths, labels="by-name", jobs=2)

    assert sha256(tmp_path / "m.root") == alone


def test_one_label_more_in_one_of_two_histograms(tmp_path: Path) -> None:
    """The other one has the same labels everywhere, and a bin without one that is not empty: by its number, then."""
    parts = [
        {"g": _labelled("pq", [1, 2, 3], bins=3), "h": _labelled("ab", [1, 2])},
        {"g": _labelled("pq", [1, 2, 4], bins=3), "h": _labelled("abc", [1, 2, 3])},
    ]
    paths = [write(tmp_path / f"{number}.root", part) for number, part in enumerate(parts)]
    merge(tmp_path / "m.root", paths, labels="by-name")

    assert members(tmp_path / "m.root", "g")["cells"].tolist() == [0.5, 2, 4, 7, 1.0]
    assert by_label(tmp_path / "m.root") == {"-": 0.5, "a": 2, "b": 4, "c": 3, "+": 1.0}


def test_labels_and_objects_of_some_parts_only(tmp_path: Path) -> None:
    """Both policies at once, in every order."""
    parts = [
        {"h": _labelled("ab", [1, 2])},
        {"h": _labelled("cb", [3, 4]), "cut/h": _labelled("xy", [5, 6])},
        {"cut/h": _labelled("yz", [7, 8]), "g": H(cells=[1, 2, 3])},
    ]
    paths = [write(tmp_path / f"{number}.root", part) for number, part in enumerate(parts)]
    rig = Rig(tmp_path / "s", paths, BY_NAME | {"missing-objects": "union"})

    assert len({sha256(rig.merge(order)) for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0])}) == 1
    assert by_label(rig.target.path, "h") == {"-": 0.5, "a": 1, "c": 3, "b": 6, "+": 1.0}
    assert by_label(rig.target.path, "cut/h") == {"-": 0.5, "x": 5, "y": 13, "z": 8, "+": 1.0}
    assert members(rig.target.path, "g")["cells"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (
            [_labelled("ab", [1, 2, 3], bins=3), _labelled("bac", [2, 1, 0])],
            "0.root has contents in a bin without a label",
        ),
        ([_labelled("ab", [1, 2]), H(cells=[0, 3, 4, 0], high=2)], "1.root has"),
        ([_labelled("aa", [1, 2]), _labelled("ab", [1, 2])], "two of its bins have the same label"),
        (
            [_labelled("ab", [1, 2], edges=[0, 1, 3]), _labelled("ba", [1, 2], edges=[0, 1, 3])],
            "its bins have edges of their own",
        ),
    ],
    ids=["contents without a label", "labels in one part only", "twice", "edges"],
)
def test_what_labels_cannot_tell(tmp_path: Path, parts: list[H], says: str) -> None:
    """Nothing is lost, and nothing is guessed: it is refused by name, whatever the order."""
    paths = _write(tmp_path / "parts", *parts)
    for order in (paths, paths[::-1]):
        with pytest.raises(StructureError, match="'h'") as caught:
            merge(tmp_path / "m.root", order, labels="by-name")
        assert says in str(caught.value)
        assert caught.value.fix


def test_contents_without_a_label_that_cancel(tmp_path: Path) -> None:
    """Are contents: what is refused does not depend on which parts come together first."""
    parts = [_labelled("ab", [1, 2, weight], bins=3) for weight in (1, -1)]
    paths = _write(tmp_path, *parts, _labelled("abc", [1, 2, 3]))

    with pytest.raises(StructureError, match="bin without a label"):
        merge(tmp_path / "m.root", paths, labels="by-name")


def test_what_else_differs_is_seen(tmp_path: Path) -> None:
    """Labels alone may differ: not the class, not another axis, not a title."""
    paths = _write(tmp_path, _labelled("ab", [1, 2]), _labelled("ba", [1, 2], dtype=">f4"))

    with pytest.raises(StructureError, match="differs from other parts") as caught:
        merge(tmp_path / "m.root", paths, labels="by-name")
    assert "a TH1D in one and a TH1F in the other" in caught.value.evidence


def test_hostile_labels(tmp_path: Path) -> None:
    """Long ones, empty ones, other alphabets, control characters, half a letter: labels like others."""
    names = ["x" * 300, "", "μ→eγ", "a\nb", "a\0b", "\udcff", "<script>", "same", "same "]
    first, second = names, [*reversed(names), "new"]
    paths = _write(tmp_path, _labelled(first, range(1, 10)), _labelled(second, range(10, 110, 10)))
    merge(tmp_path / "m.root", paths, labels="by-name")

    found = by_label(tmp_path / "m.root")
    assert found == {"-": 0.5, "+": 1.0, "new": 100} | {
        name: number + 10 * (9 - number + 1) for number, name in enumerate(names, 1)
    }


def test_plain_sums_know_no_labels(tmp_path: Path) -> None:
    """They are hadd's, in the order of the plan; what differs is refused, and says what to do."""
    paths = _write(tmp_path, _labelled("ab", [1, 2]), _labelled("ba", [1, 2]))

    with pytest.raises(StructureError) as caught:
        merge(tmp_path / "m.root", paths, labels="by-name", sums="plain")
    assert "policies: {sums: exact}" in caught.value.fix
