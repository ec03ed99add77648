"""Trees that ROOT wrote, merged by hadd: whatever is in their branches, each basket is accounted for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import uproot

from septum.errors import MergeFailedError, NotConservedError, OutputDamagedError, SeptumError, StructureError
from septum.merge import rootfile
from septum.merge.baskets import BasketReader
from septum.merge.files import merge_files
from septum.merge.hadd import Hadd, RunningHadd, find_hadd
from septum.merge.rootfile import summarize, tree_structure
from septum.merge.strict.records import load, read, read_key
from septum.merge.summary import FileSummary

FILES = 4
ROWS = 300
CODECS = {"zlib": 101, "lz4": 404, "zstd": 505, "lzma": 207, "none": 0}

# One process of ROOT writes everything: its start costs more than the files.
WRITER = """
import sys, array
import warnings; warnings.simplefilter("ignore")
import ROOT
ROOT.gErrorIgnoreLevel = ROOT.kError
ROOT.gInterpreter.Declare('''
#include <TFile.h>
#include <TTree.h>
#include <TRandom3.h>
#include <TLorentzVector.h>
#include <TNamed.h>
#include <string>
#include <vector>
void write_rows(const char* path, int setting, int seed, int rows, bool plain) {
  TFile file(path, "RECREATE", "", setting);
  file.mkdir("deep")->cd();
  TTree tree("events", "the events");
  tree.SetAutoFlush(90);
  TRandom3 draw(seed + 1);
  int n = 0; unsigned char u = 0; short s = 0; long long l = 0; bool o = false; double d = 0; float x[50], three[3];
  std::vector<float> v; std::string text; TLorentzVector* p = new TLorentzVector;
  tree.Branch("u", &u, "u/b", 1000); tree.Branch("s", &s, "s/S", 1000); tree.Branch("l", &l, "l/L", 1000);
  tree.Branch("o", &o, "o/O", 1000); tree.Branch("d", &d, "d/D", 1000);
  if (!plain) {
    tree.Branch("n", &n, "n/I", 1000); tree.Branch("x", x, "x[n]/F", 1000);
    tree.Branch("three", three, "three[3]/F", 1000); tree.Branch("v", &v, 1000);
    tree.Branch("text", &text, 1000); tree.Branch("p", &p, 1000, 99);
  }
  for (int row = 0; row < rows; ++row) {
    n = draw.Integer(50); u = draw.Integer(256); s = row; l = 1000000LL * seed + row; o = row % 3; d = draw.Gaus();
    v.clear(); text = std::string(row % 7, 'a' + row % 20);
    for (int k = 0; k < n; ++k) { x[k] = draw.Rndm(); if (k % 3 == 0) v.push_back(x[k]); }
    for (int k = 0; k < 3; ++k) { three[k] = draw.Rndm(); }
    p->SetPxPyPzE(draw.Rndm(), 1, 2, row);
    tree.Fill();
  }
  tree.Write(); file.Close();
}
''')
folder, files, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for codec, setting in (item.split("=") for item in sys.argv[4:]):
    for number in range(files):
        for plain in (True, False):
            name = f"{folder}/{codec}-{'plain' if plain else 'rich'}-{number}.root"
            ROOT.write_rows(name, int(setting), number, rows + 17 * number, plain)
"""


@pytest.fixture(scope="module")
def hadd() -> Hadd:
    """The hadd of this machine, or of the PyPI package."""
    return find_hadd(os.environ)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of trees with every codec: of plain numbers, and of arrays, vectors, texts and split objects."""
    made = tmp_path_factory.mktemp("trees")
    settings = [f"{name}={setting}" for name, setting in CODECS.items()]
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(made), str(FILES), str(ROWS), *settings],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return made


def _files(folder: Path, codec: str, kind: str) -> list[Path]:
    return [folder / f"{codec}-{kind}-{number}.root" for number in range(FILES)]


def _merge(target: Path, sources: list[Path], environ: Mapping[str, str] | None = None) -> str:
    return merge_files(target, sources, policies={}, environ=environ or os.environ).sha256


def _rows(path: Path, branch: str) -> list[object]:
    with uproot.open(path) as file:
        return file["deep/events"][branch].array(library="np").tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["plain", "rich"])
@pytest.mark.parametrize("codec", CODECS)
def test_baskets_are_copied_and_known_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, kind: str
) -> None:
    """With every codec and whatever is in the branches: no column need be read, and all rows are there, in order."""
    sources = _files(folder, codec, kind)
    monkeypatch.setattr(rootfile, "summarize", _never)
    target = tmp_path / "all.root"
    _merge(target, sources)

    for branch in ("l", "d", "u") if kind == "plain" else ("l", "three", "text"):
        assert _rows(target, branch) == [row for source in sources for row in _rows(source, branch)]
    with uproot.open(target) as merged, uproot.open(sources[0]) as first:
        assert merged.file.compression == first.file.compression


def _never(*_: object, **__: object) -> FileSummary:
    raise AssertionError("columns were read")


def test_the_same_files_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Wherever they are merged."""
    (tmp_path / "other").mkdir()
    sources = _files(folder, "zlib", "rich")

    assert _merge(tmp_path / "a.root", sources) == _merge(tmp_path / "other" / "a.root", sources)


def test_parts_of_different_compression(folder: Path, tmp_path: Path) -> None:
    """Hadd packs their baskets anew: the columns are compared then."""
    sources = [*_files(folder, "zlib", "rich")[:2], *_files(folder, "lz4", "rich")[2:]]
    target = tmp_path / "all.root"
    _merge(target, sources)

    assert _rows(target, "l") == [row for source in sources for row in _rows(source, "l")]


def test_structures_are_those_that_uproot_sees(folder: Path) -> None:
    """Parts of which one was read by its baskets and one by its columns are compared with each other."""
    reader = BasketReader(tree_structure)
    for kind in ("plain", "rich"):
        path = _files(folder, "zlib", kind)[0]
        found, seen = reader.read(path, name="x"), summarize(path, name="x")
        assert found is not None
        assert found.structure == seen.structure
        assert found.objects["deep/events"].entries == seen.objects["deep/events"].entries == ROWS


def test_parts_with_other_columns(folder: Path, tmp_path: Path) -> None:
    """Nothing is merged, though hadd has begun."""
    with pytest.raises(StructureError, match="differs"):
        _merge(tmp_path / "all.root", [*_files(folder, "zlib", "rich"), *_files(folder, "zlib", "plain")])
    assert list(tmp_path.iterdir()) == []


# ── damage ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _contents(path: Path, *, packed: bool = True) -> list[int]:
    """Where the contents of baskets begin, in the order of the file; those that are packed have a checksum.

    The keys of baskets have long numbers in files of any size.
    """
    data, places, at = load(path), [], 0
    whole = bytes(data)
    while (at := whole.find(b"\x07TBasket", at + 1)) >= 0:
        key, _ = read_key(data, at - 34)
        if packed == (key.stored_b - key.key_b < key.size_b):
            places.append(key.place + key.key_b)
    return places


@pytest.mark.parametrize("codec", ["zlib", "lz4", "lzma"])
@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_a_damaged_basket_is_found(folder: Path, tmp_path: Path, codec: str, kind: str) -> None:
    """Wherever it is, in branches of any kind, and before anything is merged."""
    source = _files(folder, codec, kind)[0]
    whole, reader = source.read_bytes(), BasketReader(tree_structure)
    assert _contents(source)
    bad = tmp_path / "bad.root"
    for place in _contents(source)[::5]:
        damaged = bytearray(whole)
        damaged[place + 20] ^= 0x10
        bad.write_bytes(damaged)
        with pytest.raises(OutputDamagedError, match="branch"):
            reader.read(bad, name="part 0007")


def test_a_damaged_part_is_named(folder: Path, tmp_path: Path) -> None:
    """And hadd, which runs meanwhile, is ended."""
    sources = _files(folder, "zlib", "plain")
    bad = tmp_path / "bad.root"
    damaged = bytearray(sources[1].read_bytes())
    damaged[_contents(sources[1])[3] + 20] ^= 0x10
    bad.write_bytes(damaged)
    with pytest.raises(SeptumError) as caught:
        _merge(tmp_path / "all.root", [sources[0], bad])

    assert "bad.root" in str(caught.value)
    assert isinstance(caught.value, OutputDamagedError)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.root"]


# ── a hadd that cheats ──────────────────────────────────────────────────────────────────────────────────────────


def _cheating(tmp_path: Path, hadd: Hadd, change: str) -> dict[str, str]:
    """An environment whose hadd gets the sources that a piece of shell leaves of them."""
    program = tmp_path / "hadd"
    program.write_text(
        "#!/bin/bash\nset -e\n"
        'options=("$1" "$2" "$3"); target="$4"; shift 4; files=("$@")\n'
        f'{change}\nexec {hadd.program} "${{options[@]}}" "$target" "${{files[@]}}"\n'
    )
    program.chmod(0o755)
    return {**os.environ, "SEPTUM_HADD": str(program)}


@pytest.mark.parametrize(
    "change",
    [
        'files=("${files[@]:1}")',
        'files=("${files[@]}" "${files[0]}")',
        'files[1]="${files[0]}"',
        'files=("${files[1]}" "${files[0]}" "${files[@]:2}")',
    ],
    ids=["forgets", "doubles", "takes one for another", "another order"],
)
@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_a_hadd_that_cheats(folder: Path, tmp_path: Path, hadd: Hadd, change: str, kind: str) -> None:
    """Files of one part too few, too many, another one, or in another order: there is no result."""
    target = tmp_path / "all.root"
    with pytest.raises(NotConservedError):
        _merge(target, _files(folder, "zlib", kind), _cheating(tmp_path, hadd, change))

    assert not target.exists()


@pytest.mark.parametrize("change", [b"\x10", b"\x01"])
def test_a_result_that_was_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    """One bit in one basket of the result, behind hadd's back."""
    wait = RunningHadd.wait

    def damage(running: RunningHadd) -> None:
        wait(running)
        (path,) = tmp_path.glob(".all.root.*/new.*")
        data = bytearray(path.read_bytes())
        data[_contents(path, packed=False)[-2] + 20] ^= change[0]
        path.write_bytes(data)

    monkeypatch.setattr(RunningHadd, "wait", damage)
    with pytest.raises((NotConservedError, OutputDamagedError)):
        _merge(tmp_path / "all.root", _files(folder, "none", "plain"))
    assert list(tmp_path.iterdir()) == []


def test_a_branch_that_is_called_otherwise_in_the_result(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its rows are there, and nobody would find them."""
    wait = RunningHadd.wait

    def rename(running: RunningHadd) -> None:
        wait(running)
        (path,) = tmp_path.glob(".all.root.*/new.*")
        data = load(path)
        (key,) = (key for _, key in read(data).top.walk())
        start, end = key.place + key.key_b, key.place + key.stored_b
        whole = bytearray(data)
        assert whole.count(b"\x01d\x03d/D", start, end) == 1
        whole[start:end] = whole[start:end].replace(b"\x01d\x03d/D", b"\x01e\x03e/D")
        path.write_bytes(whole)

    monkeypatch.setattr(RunningHadd, "wait", rename)
    with pytest.raises((NotConservedError, OutputDamagedError, StructureError)):
        _merge(tmp_path / "all.root", _files(folder, "none", "plain"))


def test_a_hadd_that_fails(folder: Path, tmp_path: Path) -> None:
    """Is told of as such."""
    program = tmp_path / "hadd"
    program.write_text("#!/bin/sh\necho 'Error in <x>: no' >&2\n")
    program.chmod(0o755)
    with pytest.raises(MergeFailedError, match="hadd failed"):
        _merge(tmp_path / "all.root", _files(folder, "zlib", "plain"), {**os.environ, "SEPTUM_HADD": str(program)})


def test_hashes_depend_on_content_only(folder: Path) -> None:
    """Not on compression, nor on dates and identifiers."""
    reader = BasketReader(tree_structure)
    found = {codec: reader.read(_files(folder, codec, "plain")[1], name="x") for codec in CODECS}
    other = reader.read(_files(folder, "zlib", "plain")[2], name="x")

    assert len({item.digest for item in found.values() if item is not None}) == 1
    assert None not in found.values()
    assert other is not None
    assert other.digest not in {item.digest for item in found.values() if item is not None}
    assert np.unique([len(item.objects) for item in found.values() if item is not None]).tolist() == [1]
