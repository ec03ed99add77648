"""Probes: trees and ntuples, which hadd merges for septum, too."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from tests.probes.model import Merged, Probe, Refused, Verdict
from tests.probes.shapes import h1, h2

_GROUP = "Trees and ntuples"


def _differs(name: str) -> Refused:
    return Refused(code="E401", says=(name, "1.root"))


def _tree(root: Any, columns: Sequence[str], rows: Sequence[Sequence[float]], name: str = "t") -> Any:
    """A tree; a column is a name with a type, as `x/D`."""
    tree = root.TTree(name, "title")
    kinds = {"D": "d", "F": "f", "I": "i"}
    values = [array(kinds[column[-1]], [0]) for column in columns]
    for column, value in zip(columns, values, strict=True):
        tree.Branch(column[:-2], value, column)
    for row in rows:
        for value, number in zip(values, row, strict=True):
            value[0] = type(value[0])(number)
        tree.Fill()
    tree.ResetBranchAddresses()
    return tree


def _ntuples(
    root: Any, folder: Any, fields: Sequence[Sequence[str]], *, kinds: Sequence[str] = ("float", "float")
) -> None:
    for number, names in enumerate(fields):
        model = root.RNTupleModel.Create()
        for name in names:
            model.MakeField[kinds[number]](name)
        with root.RNTupleWriter.Recreate(model, "n", str(folder / f"{number}.root")) as writer:
            for row in range(3):
                entry = writer.CreateEntry()
                for name in names:
                    entry[name] = 10.0 * number + row
                writer.Fill(entry)


_ROWS = ((1.0, 2.0), (3.0, 4.0))


def _weighted_tree(root: Any, number: int) -> Any:
    tree = _tree(root, ["x/D"], [[1.0], [2.0]])
    tree.SetWeight(1.0 + number)
    return tree


def _jagged(root: Any, number: int) -> Any:
    tree = root.TTree("t", "title")
    vector, text = root.std.vector["float"](), root.std.string()
    tree.Branch("v", vector)
    tree.Branch("s", text)
    for row in range(3):
        vector.clear()
        for value in range(row + number):
            vector.push_back(value + 0.5)
        text.replace(0, text.size(), "abc"[: row + number])
        tree.Fill()
    tree.ResetBranchAddresses()
    return tree


def _old_ntuple(root: Any, number: int) -> Any:
    ntuple = root.TNtuple("t", "title", "x:y")
    for row in range(3):
        ntuple.Fill(row + number, 2.0)
    return ntuple


PROBES = (
    Probe(
        name="tree-and-histogram",
        group=_GROUP,
        about="a `TTree` and a histogram, no difference",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [h1(root), ("folder", h2(root)), _tree(root, ["x/D", "y/I"], _ROWS)],
    ),
    Probe(
        name="tree-extra",
        group=_GROUP,
        about="`TTree`, a branch that only the second file has",
        hadd=Verdict.LOST,
        septum=_differs("t"),
        objects=lambda root, number: [_tree(root, ["x/D", "y/F"][: 1 + number], [row[: 1 + number] for row in _ROWS])],
    ),
    Probe(
        name="tree-missing",
        group=_GROUP,
        about="`TTree`, a branch that the second file lacks",
        hadd=Verdict.LOST,
        septum=_differs("t"),
        objects=lambda root, number: [_tree(root, ["x/D", "y/F"][: 2 - number], [row[: 2 - number] for row in _ROWS])],
    ),
    Probe(
        name="tree-type",
        group=_GROUP,
        about="`TTree`, a branch of float and of double",
        hadd=Verdict.LOST,
        septum=_differs("t"),
        objects=lambda root, number: [_tree(root, ["x/" + "FD"[number]], [[1.5], [2.5]])],
    ),
    Probe(
        name="tree-order",
        group=_GROUP,
        about="`TTree`, the same branches in another order",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [_tree(root, ["x/D", "y/D"][:: -1 if number else 1], _ROWS)],
    ),
    Probe(
        name="tree-empty",
        group=_GROUP,
        about="`TTree` without a row in the second file",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [_tree(root, ["x/D", "y/F"], [] if number else _ROWS)],
    ),
    Probe(
        name="tree-absent",
        group=_GROUP,
        about="`TTree` that the second file lacks",
        hadd=Verdict.RIGHT,
        septum=_differs("t"),
        objects=lambda root, number: [h1(root)] if number else [h1(root), _tree(root, ["x/D", "y/F"], _ROWS)],
    ),
    Probe(
        name="tree-late",
        group=_GROUP,
        about="`TTree` that only the second file has",
        hadd=Verdict.RIGHT,
        septum=_differs("t"),
        objects=lambda root, number: [h1(root), _tree(root, ["x/D", "y/F"], _ROWS)] if number else [h1(root)],
    ),
    Probe(
        name="tree-jagged",
        group=_GROUP,
        about="`TTree` with lists and texts, no difference",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [_jagged(root, number)],
    ),
    Probe(
        name="tree-weight",
        group=_GROUP,
        about="`TTree`, another weight (`SetWeight`)",
        hadd=Verdict.MIXED,
        septum=_differs("t"),
        objects=lambda root, number: [_weighted_tree(root, number)],
    ),
    Probe(
        name="tntuple",
        group=_GROUP,
        about="`TNtuple`, no difference",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [_old_ntuple(root, number)],
    ),
    Probe(
        name="ntuple-type",
        group=_GROUP,
        about="`RNTuple`, a field of float and of double",
        hadd=Verdict.REFUSED,
        septum=_differs("n"),
        write=lambda root, folder: _ntuples(root, folder, ["x", "x"], kinds=("float", "double")),
    ),
    Probe(
        name="ntuple",
        group=_GROUP,
        about="`RNTuple`, no difference",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        write=lambda root, folder: _ntuples(root, folder, ["xy", "xy"]),
    ),
    Probe(
        name="ntuple-extra",
        group=_GROUP,
        about="`RNTuple`, a field that only the second file has",
        hadd=Verdict.LOST,
        septum=_differs("n"),
        write=lambda root, folder: _ntuples(root, folder, ["x", "xy"]),
    ),
    Probe(
        name="ntuple-missing",
        group=_GROUP,
        about="`RNTuple`, a field that the second file lacks",
        hadd=Verdict.REFUSED,
        septum=_differs("n"),
        write=lambda root, folder: _ntuples(root, folder, ["xy", "x"]),
    ),
)
