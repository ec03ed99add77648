"""ROOT, in a process of its own: writes the files that the strict engine merges, and reads what came out.

One line of JSON is one order, and one its answer. ROOT takes a second to start and must not be imported into the
process of the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path
from typing import Any

_DEADLINE_S = 120
PARTS = 3
KINDS = ("C", "S", "I", "L", "F", "D")
CODECS = {"none": 0, "zlib1": 101, "zlib9": 109, "lzma": 207, "lz4-1": 401, "lz4-4": 404, "lz4-9": 409, "zstd1": 501,
          "zstd5": 505}  # fmt: skip


class Root:
    """The process, from the outside."""

    def __init__(self) -> None:
        # What ROOT says goes to a file: every word of it would be a fault.
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-u", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
        )

    def ask(self, **order: Any) -> Any:
        """Carry out an order; its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.words()
        return json.loads(line)

    def words(self) -> str:
        """What ROOT has said since it was last asked."""
        self._words.flush()
        self._words.seek(0)
        said = self._words.read()
        self._words.seek(0)
        self._words.truncate()
        return said

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_DEADLINE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._words.close()


def by_label(item: dict[str, Any]) -> dict[tuple[str, ...], float]:
    """The contents and the squares of errors that are not zero, by the labels of their bins or by their numbers."""
    names = []
    for bins, _, _, _, labels in item["axes"]:
        names.append(["-", *(labels[bin_] or f"{bin_}" if labels else f"{bin_}" for bin_ in range(bins)), "+"])
    found = {}
    for what in ("cells", "errors"):
        values = [float.fromhex(value) for value in item[what]]
        for cell, value in enumerate(values):
            rest, where = cell, []
            for axis in names:
                rest, bin_ = divmod(rest, len(axis))
                where.append(axis[bin_])
            if value:
                found[(what, *where)] = value
    return found


def sum_by_label(parts: list[dict[str, Any]]) -> dict[tuple[str, ...], float]:
    """What the sum must be."""
    total: dict[tuple[str, ...], float] = {}
    for part in parts:
        for key, value in by_label(part).items():
            total[key] = total.get(key, 0.0) + (value * value if key[0] == "errors" else value)
    return {key: value**0.5 if key[0] == "errors" else value for key, value in total.items()}


# ── the other side ──────────────────────────────────────────────────────────────────────────────────────────────


def _serve(root: Any) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        answer = globals()[f"_do_{order.pop('do')}"](root, **order)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _kept(root: Any, item: Any) -> Any:
    """The same, for ever: which of Python and ROOT's containers removes what is not what is tested here."""
    root.SetOwnership(item, False)  # noqa: FBT003 - ROOT's signature
    return item


def _book(root: Any, kind: str, *, name: str = "", edges: bool = False) -> Any:
    """A histogram or profile of a class, such as `2F`, `P`, `P3`."""
    name = name or f"h{kind}"
    return _kept(root, _booked(root, kind, name, edges=edges))


def _booked(root: Any, kind: str, name: str, *, edges: bool) -> Any:
    if kind.startswith("P"):
        axes = {"": (5, -2, 2), "2": (3, -2, 2, 4, -2, 2), "3": (3, -2, 2, 2, -2, 2, 2, -2, 2)}[kind[1:]]
        return getattr(root, f"TProfile{kind[1:]}{'D' if kind[1:] else ''}")(name, f"title of {kind}", *axes, "")
    cls = getattr(root, f"TH{kind}")
    if edges:
        return cls(name, "edges", 3, array("d", [-2.0, -0.5, 0.1, 2.0]))
    bins = {"1": (7, -2.0, 2.0), "2": (4, -2.0, 2.0, 3, -2.0, 2.0), "3": (3, -2.0, 2.0, 2, -2.0, 2.0, 2, -2.0, 2.0)}
    return cls(name, f"title of {kind}", *bins[kind[0]])


def _fill(root: Any, histogram: Any, seed: int, *, weighted: bool = True, fills: int = 60) -> Any:
    draw = root.TRandom3(seed + 1)
    kind = histogram.ClassName()
    profile = kind.startswith("TProfile")
    dimension = histogram.GetDimension() + profile
    # Whole numbers hold whole weights.
    for _ in range(fills):
        values = [draw.Gaus(0.1, 1.0) for _ in range(dimension)]
        weight = draw.Gaus(1.0, 2.0) if kind[-1] in "FD" or profile else float(draw.Integer(3))
        histogram.Fill(*values, weight if weighted else 1.0)
    return histogram


def _everything(root: Any, number: int) -> dict[str, list[Any]]:
    """The objects of each folder; of the same structure in every part."""
    made: dict[str, list[Any]] = {"": [], "cut": [], "cut/deep": [], "cut/deep/er": []}
    folders = list(made)
    for place, kind in enumerate(
        [f"{dimension}{letter}" for dimension in "123" for letter in KINDS] + ["P", "P2", "P3"]
    ):
        for sumw2 in (False, True):
            histogram = _book(root, kind, name=f"h{kind}{'w' if sumw2 else ''}")
            if sumw2 and hasattr(histogram, "Sumw2"):
                histogram.Sumw2()
            made[folders[place % 4]].append(_fill(root, histogram, 100 * number + place, weighted=sumw2))
    edges = _fill(root, _book(root, "1D", name="edges", edges=True), number)
    labels = _book(root, "1D", name="labels")
    for bin_ in range(1, 8):
        labels.GetXaxis().SetBinLabel(bin_, f"label {bin_}")
    fixed = _book(root, "2F", name="fixed")
    fixed.SetCanExtend(root.TH1.kNoAxis)
    cells = _book(root, "1D", name="cells")
    for bin_ in range(9):
        cells.SetBinContent(bin_, 0.1 * bin_ * (number + 1))
    empty, flow = _book(root, "1D", name="empty"), _book(root, "1D", name="flow")
    flow.Fill(99.0) if number else _fill(root, flow, 3, weighted=False)
    fitted = _fill(root, _book(root, "1D", name="fitted"), number)
    for note in ("one", "two"):
        fitted.GetListOfFunctions().Add(_kept(root, root.TNamed(note, "text")))
    made["cut"] += [edges, _fill(root, labels, number), _fill(root, fixed, number), cells, empty, flow, fitted]
    return made


def _containers(root: Any, number: int) -> list[tuple[str, Any]]:
    efficiency = root.TEfficiency("e", "title", 5, -2.0, 2.0)
    draw = root.TRandom3(number + 1)
    for _ in range(50):
        efficiency.Fill(bool(draw.Integer(2)), draw.Gaus())
    histograms = [_fill(root, _book(root, kind, name=f"in{kind}{step}"), number + step)
                  for step, kind in enumerate(["1D", "1D", "2F", "P"])]  # fmt: skip
    stack = _kept(root, root.THStack("s", "title"))
    for histogram in histograms[:2]:
        stack.Add(histogram)
    listed, held = _kept(root, root.TList()), _kept(root, root.TObjArray())
    for histogram in histograms:
        listed.Add(histogram)
        held.Add(histogram)
    return [("e", efficiency), ("s", stack), ("l", listed), ("a", held)]


def _file(root: Any, path: Path, compression: int = 101) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = root.TFile(str(path), "RECREATE", "", compression)
    assert not file.IsZombie()
    return file


def _put(file: Any, folder: str, item: Any, name: str = "", option: str = "") -> None:
    target = (file.GetDirectory(folder) or file.mkdir(folder)) if folder else file
    target.WriteObject(item, name or item.GetName(), option)


def _do_everything(root: Any, folder: str) -> None:
    """Every class in every dimension, in folders; the third part in other order, with older cycles."""
    for number in range(PARTS):
        file = _file(root, Path(folder, f"{number}.root"))
        made = _everything(root, number)
        for where, items in made.items() if number < 2 else reversed(made.items()):
            for item in items if number < 2 else reversed(items):
                if number == 1 and item.GetName() in {"h1D", "hP"}:
                    older = item.Clone()
                    older.Scale(7.0)
                    _put(file, where, older)
                _put(file, where, item)
        file.Close()


def _do_containers(root: Any, folder: str) -> None:
    for number in range(PARTS):
        file = _file(root, Path(folder, f"{number}.root"))
        for name, item in _containers(root, number):
            _put(file, "", item, name, "SingleKey")
        file.Close()


def _do_codecs(root: Any, folder: str) -> None:
    """The same content in every compression."""
    for name, setting in CODECS.items():
        for number in range(PARTS):
            file = _file(root, Path(folder, name, f"{number}.root"), setting)
            for kind in ("1D", "1F", "2I", "P"):
                _put(file, "cut", _fill(root, _book(root, kind), number))
            file.Close()


def _do_large(root: Any, folder: str) -> None:
    """An object of more than 16 MiB: two blocks."""
    for number in range(2):
        file = _file(root, Path(folder, f"{number}.root"), 401)
        histogram = root.TH1D("large", "title", 2_200_000, 0.0, 1.0)
        root.FillLarge(histogram, number)
        _put(file, "", histogram)
        file.Close()


def _do_policies(root: Any, folder: str) -> None:
    """Objects that need a policy."""
    for number in range(PARTS):
        file = _file(root, Path(folder, f"{number}.root"))
        for kind, value in (
            ("double", 1.5 + number),
            ("float", 0.5),
            ("int", 2017 + number),
            ("Long64_t", 2**40 + number),
        ):
            _put(file, "p", root.TParameter[kind](f"p_{kind}", value))
        _put(file, "p", root.TParameter["bool"]("flag", True))  # noqa: FBT003 - ROOT's signature
        largest = root.TParameter["double"]("largest", 5.0)
        largest.SetBit(root.TParameter["double"].kMax)
        _put(file, "p", largest)
        _put(file, "", root.TNamed("version", f"v{number}"))
        _put(file, "", root.TObjString(f"text {number}"), "text")
        _put(file, "", _fill(root, _book(root, "1D"), number))
        file.Close()


def _do_union(root: Any, folder: str) -> None:
    """Classes, each in one part only."""
    for number, kind in enumerate(["1D", "P", "2F"]):
        file = _file(root, Path(folder, f"{number}.root"))
        _put(file, "", _fill(root, _book(root, "1I", name="common"), number))
        _put(file, f"only/{kind}", _fill(root, _book(root, kind), number))
        if number == 2:
            _put(file, "", root.TNamed("version", "third"))
            _put(file, "p", root.TParameter["int"]("year", 2018))
        file.Close()


def _do_labels(root: Any, folder: str) -> None:
    """Histograms that ROOT labels itself as they are filled, and labels in another order on fixed bins."""
    names = [["a", "b", "c"], ["d", "b", "a", "e", "f"], ["g"]]
    for number in range(PARTS):
        file = _file(root, Path(folder, f"{number}.root"))
        grown = root.TH1D("grown", "title", 2, 0.0, 2.0)
        grown.SetCanExtend(root.TH1.kAllAxes)
        table = root.TH2D("table", "title", 2, 0.0, 2.0, 2, -1.0, 1.0)
        table.SetCanExtend(root.TH1.kXaxis)
        both = root.TH2I("both", "title", 3, 0.0, 3.0, 3, 0.0, 3.0)
        space = root.TH3D("space", "title", 3, 0.0, 3.0, 2, 0.0, 1.0, 2, 0.0, 1.0)
        mean = root.TProfile("mean", "title", 3, 0.0, 3.0)
        mean2 = root.TProfile2D("mean2", "title", 3, 0.0, 3.0, 2, 0.0, 1.0)
        unfilled = root.TH1D("unfilled", "title", 2, 0.0, 2.0)
        unfilled.SetCanExtend(root.TH1.kAllAxes)
        fixed = root.TH1D("fixed", "title", 3, 0.0, 3.0)
        turned = ["abc", "cab", "bca"][number]
        for histogram in (both, space, mean, mean2, fixed):
            for bin_, label in enumerate(turned, 1):
                histogram.GetXaxis().SetBinLabel(bin_, label)
        for bin_, label in enumerate(["xyz", "zyx", "xyz"][number], 1):
            both.GetYaxis().SetBinLabel(bin_, label)
        for step, label in enumerate(names[number]):
            grown.Fill(label, 1.5 + step)
            table.Fill(label, 0.1 * step, 2.0 + number)
            if number:
                unfilled.Fill(label, 1.0)
        for step, label in enumerate("abcab"):
            both.Fill(label, "xyz"[step % 3], 1 + number)
            place = turned.index(label) + 0.5
            space.Fill(place, 0.3, 0.7, 1.0 + step)
            mean.Fill(label, 0.25 * step * (number + 1), 2.0)
            mean2.Fill(place, 0.3, 0.5 * step)
            fixed.Fill(label, 3.0 + number)
        for item in (grown, table, both, space, mean, mean2, unfilled, fixed):
            _put(file, "", item)
        file.Close()


def _do_marks(root: Any, folder: str) -> None:
    """A list in which classes and an object are named once and referred to; errors in another place in each part."""
    for number in range(PARTS):
        file = _file(root, Path(folder, f"{number}.root"))
        listed = _kept(root, root.TList())
        held = [_book(root, kind, name=f"in{step}") for step, kind in enumerate(["1D", "1D", "P", "1D"])]
        for step, histogram in enumerate(held):
            for bin_ in range(1, histogram.GetNbinsX() + 1):
                histogram.GetXaxis().SetBinLabel(bin_, f"{step}.{bin_}")
            if step == number and step < 2:
                histogram.Sumw2()
            listed.Add(_fill(root, histogram, 10 * number + step, weighted=False))
        listed.Add(held[0])
        _put(file, "", listed, "list", "SingleKey")
        _put(file, "cut", held[3])
        file.Close()


def _do_hung(root: Any, folder: str) -> None:
    """Something hangs on a histogram whose errors only the second part keeps."""
    for number in range(2):
        file = _file(root, Path(folder, f"{number}.root"))
        histogram = _book(root, "1D", name="h")
        if number:
            histogram.Sumw2()
        histogram.GetListOfFunctions().Add(_kept(root, root.TNamed("note", "text")))
        _put(file, "", _fill(root, histogram, number, weighted=False))
        file.Close()


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _do_read(root: Any, path: str, *, cells: bool = True) -> dict[str, Any]:
    """All that ROOT sees in a file, each number in all its digits."""
    file = root.TFile(path)
    found: dict[str, Any] = {}
    _read_folder(root, file, "", found, cells=cells)
    file.Close()
    return found


def _read_folder(root: Any, folder: Any, above: str, found: dict[str, Any], *, cells: bool) -> None:
    for key in folder.GetListOfKeys():
        item = _kept(root, key.ReadObj())
        name = above + key.GetName()
        if item.InheritsFrom("TDirectory"):
            _read_folder(root, item, f"{name}/", found, cells=cells)
        else:
            found[name] = _described(root, item, cells=cells)


def _described(root: Any, item: Any, *, cells: bool) -> Any:
    if item.InheritsFrom("TH1"):
        return _histogram(root, item, cells=cells)
    if item.InheritsFrom("TEfficiency"):
        both = (item.GetPassedHistogram(), item.GetTotalHistogram())
        return [item.ClassName(), *[_histogram(root, histogram, cells=cells) for histogram in both]]
    if item.InheritsFrom("THStack"):
        item = item.GetHists()
    if item.InheritsFrom("TCollection"):
        return [item.ClassName(), *[_described(root, inner, cells=cells) for inner in item]]
    if item.ClassName().startswith("TParameter"):
        return [item.ClassName(), item.GetVal()]
    return [item.ClassName(), item.GetName(), item.GetTitle()]


def _histogram(root: Any, item: Any, *, cells: bool) -> dict[str, Any]:
    statistics = array("d", [0.0] * 13)
    item.GetStats(statistics)
    axes = [item.GetXaxis(), item.GetYaxis(), item.GetZaxis()][: item.GetDimension()]
    found: dict[str, Any] = {
        "class": item.ClassName(),
        "title": item.GetTitle(),
        "entries": item.GetEntries().hex(),
        "statistics": [value.hex() for value in statistics],
        "mean": item.GetMean(),
        "functions": [function.GetName() for function in item.GetListOfFunctions()],
        "axes": [
            [axis.GetNbins(), axis.GetXmin(), axis.GetXmax(), list(axis.GetXbins()),
             [axis.GetBinLabel(bin_) for bin_ in range(1, axis.GetNbins() + 1)] if axis.GetLabels() else []]
            for axis in axes
        ],
    }  # fmt: skip
    if cells:
        count = item.GetNcells()
        found["cells"] = [item.GetBinContent(cell).hex() for cell in range(count)]
        found["errors"] = [item.GetBinError(cell).hex() for cell in range(count)]
        found["sumw2"] = [float(value).hex() for value in item.GetSumw2()]
    return found


_LARGE = """
void FillLarge(TH1D* h, int seed) {
  TRandom3 draw(seed + 1);
  for (int bin = 0; bin < h->GetNcells(); bin += 3) h->SetBinContent(bin, draw.Integer(100));
  h->SetEntries(7);
}
"""


def _main() -> None:
    import ROOT

    ROOT.gROOT.SetBatch(True)  # noqa: FBT003 - ROOT's signature
    ROOT.TH1.AddDirectory(False)  # noqa: FBT003
    ROOT.gInterpreter.Declare(_LARGE)
    _serve(ROOT)
    # Without the end of ROOT, which looks at everything once more.
    os._exit(0)


if __name__ == "__main__":
    _main()
