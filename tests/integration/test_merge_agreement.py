"""The strict engine beside hadd on files that ROOT wrote: bit for bit with plain sums, exact and free of order."""

from __future__ import annotations

import itertools
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import uproot

from septum.merge.files import merge_files
from septum.merge.hadd import find_hadd
from septum.merge.strict.contents import Reader

FILES = 5
CODECS = {"zlib": 101, "zlib9": 109, "lzma": 207, "lz4": 404, "lz4-slow": 409, "zstd": 505, "none": 0}

# One process of ROOT writes everything: its start costs more than the files.
WRITER = """
import sys, array, random
import warnings; warnings.simplefilter("ignore")
import ROOT
ROOT.gErrorIgnoreLevel = ROOT.kError
folder, files = sys.argv[1], int(sys.argv[2])
codecs = dict(item.split("=") for item in sys.argv[3:])
ROOT.TH1.AddDirectory(False)
edges = array.array("d", [0, 0.5, 1, 2, 5])

def fill(h, draw, weight, axes):
    for _ in range(60):
        point = [draw.uniform(-0.2, 1.2) for _ in range(axes)]
        h.Fill(*point, *([draw.gauss(0, 3)] if weight else []))

def book(draw):
    made = []
    for letter in "CSIFD" + ("L" if hasattr(ROOT, "TH1L") else ""):
        weight = letter in "FD"
        for axes, shape in ((1, (7, 0, 1)), (2, (4, 0, 1, 3, 0, 1)), (3, (3, 0, 1, 2, 0, 1, 2, 0, 1))):
            h = getattr(ROOT, f"TH{axes}{letter}")(f"h{axes}{letter}", f"a title;x of {letter}", *shape)
            if weight:
                h.Sumw2()
            fill(h, draw, weight, axes)
            made.append(h)
    variable = ROOT.TH1D("variable", "", 4, edges); fill(variable, draw, False, 1); made.append(variable)
    bare = ROOT.TH1F("bare", "", 5, 0, 1); fill(bare, draw, False, 1); made.append(bare)
    labels = ROOT.TH1D("labels", "", 3, 0, 3)
    for number, label in enumerate(("all", "trigger", "mass"), 1):
        labels.GetXaxis().SetBinLabel(number, label); labels.Fill(label, draw.random())
    made.append(labels)
    for name, kind, shape in (("p1", ROOT.TProfile, (4, 0, 1)), ("p2", ROOT.TProfile2D, (3, 0, 1, 2, 0, 1)),
                              ("p3", ROOT.TProfile3D, (2, 0, 1, 2, 0, 1, 2, 0, 1))):
        p = kind(name, "", *shape); axes = {"p1": 1, "p2": 2, "p3": 3}[name]
        for _ in range(50):
            p.Fill(*[draw.random() for _ in range(axes)], draw.gauss(1, 2), draw.uniform(0.5, 2))
        made.append(p)
    return made

for codec, setting in codecs.items():
    for number in range(files):
        draw = random.Random(number)
        file = ROOT.TFile(f"{folder}/{codec}-{number}.root", "RECREATE", "", int(setting))
        top, deep = book(draw), book(draw)
        for h in top:
            file.WriteTObject(h)
        below = file.mkdir("one").mkdir("two").mkdir("three")
        for h in deep:
            below.WriteTObject(h)
        total, passed = ROOT.TH1D("t", "", 3, 0, 1), ROOT.TH1D("p", "", 3, 0, 1)
        for _ in range(30):
            x = draw.random(); total.Fill(x); passed.Fill(x) if x > 0.4 else None
        file.WriteTObject(ROOT.TEfficiency(passed, total), "efficiency")
        again = ROOT.TH1D("cycles", "", 2, 0, 1); again.Fill(0.1); file.WriteTObject(again)
        again.Fill(0.7); file.WriteTObject(again)
        file.Close()
for number in range(2):
    file = ROOT.TFile(f"{folder}/large-{number}.root", "RECREATE", "", 101)
    h = ROOT.TH2D("large", "", 1500, 0, 1, 1500, 0, 1); h.Sumw2()
    draw = random.Random(number)
    for _ in range(2000):
        h.Fill(draw.random(), draw.random(), draw.random())
    file.WriteTObject(h); file.Close()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every kind of histogram, with every codec."""
    made = tmp_path_factory.mktemp("root")
    settings = [f"{name}={setting}" for name, setting in CODECS.items()]
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(made), str(FILES), *settings],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return made


def _files(folder: Path, codec: str) -> list[Path]:
    return [folder / f"{codec}-{number}.root" for number in range(FILES)]


def _strict(target: Path, sources: list[Path], *, jobs: int = 1, **policies: str) -> str:
    named = {name.replace("_", "-"): value for name, value in policies.items()}
    return merge_files(target, sources, wish="strict", policies=named, jobs=jobs, environ={}).sha256


@pytest.mark.parametrize("codec", [*CODECS, "large"])
def test_plain_sums_are_those_of_hadd(folder: Path, tmp_path: Path, codec: str) -> None:
    """Contents, errors, entries and statistics of every kind of histogram, to the last bit, with every codec."""
    sources = sorted(folder.glob(f"{codec}-*.root")) if codec == "large" else _files(folder, codec)
    find_hadd(os.environ).merge(tmp_path / "hadd.root", sources, title="x")
    _strict(tmp_path / "strict.root", sources, sums="plain")
    relaxed = {"saturation": "round"}
    theirs, ours = (Reader(relaxed).read(tmp_path / name, name=name) for name in ("hadd.root", "strict.root"))

    assert set(ours.shape.by_path) == set(theirs.shape.by_path)
    assert len(ours.shape.by_path) == (1 if codec == "large" else 2 * (6 * 3 + 6) + 2 if _has_long(ours) else 44)
    for entry in ours.shape.entries:
        other = theirs.shape.entries[theirs.shape.by_path[entry.path]]
        mine = ours.payload[entry.start : entry.start + entry.size_b]
        assert entry.kind == other.kind
        for one, two in zip(entry.layout.ranges, other.layout.ranges, strict=True):
            its = theirs.payload[other.start + two.start : other.start + two.end]
            assert (one.role, one.letter) == (two.role, two.letter)
            assert mine[one.start : one.end] == its, (entry.path, one.role)


def _has_long(contents: object) -> bool:
    return any(path.startswith("h1L") for path in contents.shape.by_path)  # type: ignore[attr-defined]


def test_exact_sums_are_rounded_once(folder: Path, tmp_path: Path) -> None:
    """Every cell is what exact arithmetic gives of the cells that uproot reads in the parts."""
    sources = _files(folder, "zlib")
    _strict(tmp_path / "all.root", sources)
    with uproot.open(tmp_path / "all.root") as merged:
        for path in ("h1D", "h2D", "h3D", "one/two/three/h1D", "labels", "variable"):
            cells = [np.asarray(_cells(source, path)) for source in sources]
            expected = [math.fsum(column) for column in zip(*cells, strict=True)]
            assert np.asarray(merged[path].values(flow=True)).ravel().tolist() == expected, path
        assert merged["h1F"].values(flow=True).tolist() == [
            float(np.float32(math.fsum(column))) for column in zip(*(_cells(s, "h1F") for s in sources), strict=True)
        ]


def _cells(source: Path, path: str) -> list[float]:
    with uproot.open(source) as file:
        return [float(value) for value in np.asarray(file[path].values(flow=True)).ravel()]


def test_one_file_for_every_order_and_number_of_processes(folder: Path, tmp_path: Path) -> None:
    """Shuffled, with two processes, and with parts of other codecs behind the first."""
    sources = _files(folder, "zlib")
    first = _strict(tmp_path / "r.root", sources)
    shuffled = sources[1:]
    random.Random(3).shuffle(shuffled)
    mixed = [sources[0], *(_files(folder, "lz4")[1:3]), *(_files(folder, "zstd")[3:])]

    assert _strict(tmp_path / "r.root", [sources[0], *shuffled]) == first
    assert _strict(tmp_path / "r.root", sources, jobs=2) == first
    assert _strict(tmp_path / "r.root", mixed) == first


@pytest.mark.parametrize("codec", CODECS)
def test_root_reads_what_septum_wrote(folder: Path, tmp_path: Path, codec: str) -> None:
    """Its hadd takes the result as a source, without a word, and gives the same contents."""
    _strict(tmp_path / "ours.root", _files(folder, codec))
    find_hadd(os.environ).merge(tmp_path / "copy.root", [tmp_path / "ours.root"], title="x")

    ours, copy = (Reader({"saturation": "round"}).read(tmp_path / n, name=n) for n in ("ours.root", "copy.root"))
    assert {e.path: e.kind for e in copy.shape.entries} == {e.path: e.kind for e in ours.shape.entries}
    for path in ("h2D", "one/two/three/p1"):
        one, two = (c.shape.entries[c.shape.by_path[path]] for c in (ours, copy))
        for mine, its in zip(one.layout.ranges, two.layout.ranges, strict=True):
            assert (
                ours.payload[one.start + mine.start : one.start + mine.end]
                == copy.payload[two.start + its.start : two.start + its.end]
            )


# Adds the parts one by one and leaves a checkpoint after each, until somebody kills it.
ADDER = """
import sys
from pathlib import Path
from septum.merge.engine import Target
from septum.merge.strict.merging import Strict
from septum.verify import measure
scratch, *files = map(Path, sys.argv[1:])
parts = {f"{number:04d}": path for number, path in enumerate(files)}
target = Target(name="r.root", parts=tuple(parts), source=parts.get, scratch=scratch, key="0")
engine = Strict({})
held = {part: measure(path)[1] for part, path in parts.items()}
merging = engine.resume(target, held) or engine.begin(target)
print(len(merging.parts), flush=True)
for part, path in parts.items():
    if part not in merging.parts:
        merging.add(part, engine.read(path, name=part), sha256=held[part])
        merging.save()
        print("added", flush=True)
        sys.stdin.readline()  # who wants to kill it here must not be too late; else there is an end of file
merging.finish()
print("finished", flush=True)
"""


def _adder(scratch: Path, files: list[Path]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ADDER, str(scratch), *map(str, files)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_killed_again_and_again(folder: Path, tmp_path: Path) -> None:
    """SIGKILL after each part; the next process goes on behind the last checkpoint, and the bytes are the same."""
    files = _files(folder, "zlib")
    held = []
    for _ in range(FILES):
        with _adder(tmp_path / "killed", files) as process:
            assert process.stdout is not None
            held.append(int(process.stdout.readline()))
            assert process.stdout.readline() == "added\n"
            process.kill()
    with _adder(tmp_path / "killed", files) as process:
        assert process.communicate(timeout=120)[0].splitlines()[-1] == "finished"
    with _adder(tmp_path / "whole", files) as process:
        assert process.communicate(timeout=120)[0].splitlines()[-1] == "finished"

    assert held[0] == 0
    assert all(after > before for before, after in itertools.pairwise(held))
    assert (tmp_path / "killed/0.root").read_bytes() == (tmp_path / "whole/0.root").read_bytes()


# 5,000 parts with few open files; says the largest memory in MiB, without and with them.
MANY = """
import resource, sys
from pathlib import Path
from septum.merge.engine import Target
from septum.merge.strict.merging import Strict
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
path, scratch = map(Path, sys.argv[1:])
parts = tuple(f"{number:04d}" for number in range(5000))
target = Target(name="r.root", parts=parts, source=lambda part: path, scratch=scratch, key="0")
engine = Strict({}, early=False)
merging = engine.begin(target)
for number, part in enumerate(parts):
    merging.add(part, engine.read(path, name=part), sha256="")
    merging.ready()
    if number in (50, 4999):
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
merging.finish()
"""


def test_five_thousand_parts(folder: Path, tmp_path: Path) -> None:
    """Memory does not grow with the parts, and no file stays open."""
    source = tmp_path / "part.root"
    with uproot.recreate(source) as file:
        file["h"] = np.histogram([0.5, 0.25], bins=10, range=(0, 1))
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(source), str(tmp_path / "s")],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-1000:]
    few, all_of_them = map(int, done.stdout.split())
    assert all_of_them <= few + 15
    with uproot.open(tmp_path / "s/0.root") as file:
        assert file["h"].values().sum() == 10_000
