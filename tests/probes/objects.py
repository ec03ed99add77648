"""Probes: objects that are in some files only, and objects that are no histograms."""

from __future__ import annotations

from array import array
from typing import Any

from tests.probes.model import Merged, Probe, Refused, Verdict
from tests.probes.shapes import cells, h1

_NAMES = "Which objects there are"
_OTHERS = "Objects that are no histograms"
_H = Refused(code="E401", says=("h", "1.root"))


def _unchecked(name: str) -> Refused:
    """An object of a class that septum does not merge."""
    return Refused(code="E401", says=(name, "0.root"))


def _differs(name: str) -> Refused:
    return Refused(code="E401", says=(name, "1.root"))


def _parameter(root: Any, kind: str, value: Any, mode: str = "") -> Any:
    return root.TParameter[kind]("lumi", value, *([mode] if mode else []))


def _graph(root: Any, number: int) -> Any:
    graph = root.TGraph(2, array("d", [0, 1]), array("d", [10.0 * number, 10.0 * number + 1]))
    graph.SetName("g")
    return graph


def _efficiency(root: Any, number: int) -> Any:
    efficiency = root.TEfficiency("e", "title", 2, 0.0, 1.0)
    for step in range(4 + number):
        efficiency.Fill(step % 2 == 0, 0.25)
    return efficiency


def _stack(root: Any, number: int) -> Any:
    stack = root.THStack("s", "title")
    stack.Add(_kept(root, h1(root, "a")))
    stack.Add(_kept(root, h1(root, "b")))
    return stack


def _list(root: Any, number: int) -> Any:
    items = root.TList()
    items.SetName("l")
    items.Add(_kept(root, h1(root, "a")))
    items.Add(_kept(root, h1(root, "b")))
    return items


def _kept(root: Any, item: Any) -> Any:
    """An object that its container, not Python, deletes; the process that writes is short."""
    root.SetOwnership(item, False)  # noqa: FBT003 - ROOT's signature
    return item


def _vector(root: Any, number: int) -> Any:
    return ("", root.TVectorD(2, array("d", [1.0, 2.0 + number])), "v")


def _sparse(root: Any, *, high: float) -> Any:
    sparse = root.THnSparseD("n", "title", 2, array("i", [4, 4]), array("d", [0, 0]), array("d", [high, 1.0]))
    for step in range(4):
        sparse.Fill(array("d", [(step + 0.5) / 4, 0.5]))
    return sparse


def _polygons(root: Any) -> Any:
    polygons = root.TH2Poly("h", "title", 0, 2, 0, 1)
    for left in (0.0, 1.0):
        x, y = array("d", [left, left, left + 1, left + 1]), array("d", [0, 1, 1, 0])
        polygons.AddBin(_kept(root, root.TGraph(4, x, y)))
    polygons.Fill(0.5, 0.5)
    return polygons


def _function(root: Any, number: int) -> Any:
    function = root.TF1("f", "[0]*x", 0, 1)
    function.SetParameter(0, 1.0 + number)
    return function


def _slashes(root: Any, number: int) -> list[Any]:
    """A name that looks like a path, beside that path."""
    return [h1(root, "a/b"), ("a", h1(root, "b", bins=20))]


PROBES = (
    Probe(
        name="order",
        group=_NAMES,
        about="the same objects written in another order",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [h1(root, name) for name in ("abc", "cab")[number]],
    ),
    Probe(
        name="cycles",
        group=_NAMES,
        about="a histogram written twice by the first job (cycles `;1` and `;2`)",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [cells(root, [0, value, 0]) for value in ((3.0, 5.0), (5.0,))[number]],
    ),
    Probe(
        name="missing",
        group=_NAMES,
        about="a histogram that the second file lacks",
        hadd=Verdict.RIGHT,
        septum=_H,
        policy="missing-objects=union",
        relaxed=Merged(),
        objects=lambda root, number: [h1(root, "all")] if number else [h1(root, "all"), h1(root)],
    ),
    Probe(
        name="extra",
        group=_NAMES,
        about="a histogram that only the second file has",
        hadd=Verdict.RIGHT,
        septum=_H,
        policy="missing-objects=union",
        relaxed=Merged(),
        objects=lambda root, number: [h1(root, "all"), h1(root)] if number else [h1(root, "all")],
    ),
    Probe(
        name="missing-folder",
        group=_NAMES,
        about="a folder that the second file lacks",
        hadd=Verdict.RIGHT,
        septum=Refused(code="E401", says=("folder", "1.root")),
        policy="missing-objects=union",
        relaxed=Merged(),
        objects=lambda root, number: [h1(root)] if number else [h1(root), ("folder/below", h1(root, "i"))],
    ),
    Probe(
        name="no-objects",
        group=_NAMES,
        about="a second file that was closed without a single object in it",
        hadd=Verdict.RIGHT,
        septum=Refused(code="E306", says=("1.root",)),
        objects=lambda root, number: [] if number else [h1(root)],
    ),
    Probe(
        name="folder-or-histogram",
        group=_NAMES,
        about="a name that is a folder in one file and a histogram in the other",
        hadd=Verdict.LOST,
        septum=Refused(code="E401", says=("x",)),
        objects=lambda root, number: [h1(root, "x")] if number else [("x", h1(root))],
    ),
    Probe(
        name="odd-names",
        group=_NAMES,
        about="names with blanks, quotes, brackets, bars, per cent signs and letters of other alphabets",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [h1(root, name) for name in ("a b", "it's <b>", "m_{ℓℓ} [GeV]", "x|y", "%s")],
    ),
    Probe(
        name="long-names",
        group=_NAMES,
        about="a name and a title of 300 letters, and control characters in a title",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [
            root.TH1D("n" * 300, "t" * 300, 2, 0.0, 1.0),
            root.TH1D("h", "\x1b[31mred\n::warning::", 2, 0.0, 1.0),
        ],
    ),
    Probe(
        name="slash",
        group=_NAMES,
        about="a histogram named `a/b` beside a folder `a` with a histogram `b`",
        hadd=Verdict.RIGHT,
        septum=Refused(code="E306", says=("0.root",)),
        objects=_slashes,
    ),
    Probe(
        name="parameter-equal",
        group=_OTHERS,
        about="`TParameter<double>`, 1.5 in both: a luminosity",
        hadd=Verdict.WRONG,
        septum=Merged(),
        objects=lambda root, number: [h1(root), _parameter(root, "double", 1.5)],
    ),
    Probe(
        name="parameter-differs",
        right={"lumi": 30},
        group=_OTHERS,
        about="`TParameter<Long64_t>`, 10 and 20: a number of events",
        hadd=Verdict.RIGHT,
        septum=_differs("lumi"),
        policy="parameters=sum",
        relaxed=Merged(),
        objects=lambda root, number: [h1(root), _parameter(root, "Long64_t", 10 + 10 * number)],
    ),
    Probe(
        name="parameter-first",
        group=_OTHERS,
        about="`TParameter<int>`, 2017 and 2018: a year",
        hadd=Verdict.MIXED,
        septum=_differs("lumi"),
        policy="parameters=first",
        relaxed=Merged(holds={"lumi": 2017}),
        objects=lambda root, number: [h1(root), _parameter(root, "int", 2017 + number)],
    ),
    Probe(
        name="named-equal",
        group=_OTHERS,
        about="`TNamed`, equal in both files",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [h1(root), root.TNamed("version", "v1")],
    ),
    Probe(
        name="named-differs",
        group=_OTHERS,
        about="`TNamed`, another title in the second file",
        hadd=Verdict.MIXED,
        septum=_differs("version"),
        policy="strings=first",
        relaxed=Merged(holds={"version": "v1"}),
        objects=lambda root, number: [h1(root), root.TNamed("version", f"v{1 + number}")],
    ),
    Probe(
        name="string-differs",
        group=_OTHERS,
        about="`TObjString`, another text in the second file",
        hadd=Verdict.MIXED,
        septum=_differs("text"),
        policy="strings=first",
        relaxed=Merged(holds={"text": "v1"}),
        objects=lambda root, number: [h1(root), ("", root.TObjString(f"v{1 + number}"), "text")],
    ),
    Probe(
        name="vector",
        group=_OTHERS,
        about="`TVectorD`",
        hadd=Verdict.MIXED,
        septum=_unchecked("v"),
        objects=lambda root, number: [h1(root), _vector(root, number)],
    ),
    Probe(
        name="graph",
        group=_OTHERS,
        about="`TGraph`, two points in each file",
        hadd=Verdict.MIXED,
        septum=_unchecked("g"),
        objects=lambda root, number: [h1(root), _graph(root, number)],
    ),
    Probe(
        name="numbers",
        group=_OTHERS,
        about="`std::vector<double>`",
        hadd=Verdict.MIXED,
        septum=_unchecked("numbers"),
        objects=lambda root, number: [h1(root), ("", root.std.vector["double"]([1.0, 2.0 + number]), "numbers")],
    ),
    Probe(
        name="function",
        group=_OTHERS,
        about="`TF1`, another parameter in the second file",
        hadd=Verdict.MIXED,
        septum=_unchecked("f"),
        objects=lambda root, number: [h1(root), _function(root, number)],
    ),
    Probe(
        name="efficiency",
        group=_OTHERS,
        about="`TEfficiency`",
        hadd=Verdict.UNREAD,
        septum=Merged(),
        objects=lambda root, number: [h1(root), _efficiency(root, number)],
    ),
    Probe(
        name="stack",
        group=_OTHERS,
        about="`THStack` of two histograms",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [h1(root), _stack(root, number)],
    ),
    Probe(
        name="list",
        group=_OTHERS,
        about="a `TList` of two histograms under one key",
        hadd=Verdict.RIGHT,
        septum=Merged(),
        objects=lambda root, number: [h1(root), ("", _list(root, number), "l")],
    ),
    Probe(
        name="sparse",
        group=_OTHERS,
        about="`THnSparse`, equal axes",
        hadd=Verdict.RIGHT,
        septum=_unchecked("n"),
        policy="unchecked=hadd",
        relaxed=Merged(),
        objects=lambda root, number: [h1(root), _sparse(root, high=1.0)],
    ),
    Probe(
        name="sparse-range",
        group=_OTHERS,
        about="`THnSparse`, ranges (0, 1) and (0, 2)",
        hadd=Verdict.MIXED,
        septum=_unchecked("n"),
        objects=lambda root, number: [h1(root), _sparse(root, high=1.0 + number)],
    ),
    Probe(
        name="polygons",
        group=_OTHERS,
        about="`TH2Poly`, equal bins",
        hadd=Verdict.RIGHT,
        septum=_unchecked("h"),
        policy="unchecked=hadd",
        relaxed=Merged(),
        objects=lambda root, number: [_polygons(root)],
    ),
)
