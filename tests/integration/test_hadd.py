"""ROOT's hadd under the merger: what it adds, what it loses without a word, and that the word is ours then."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import hist
import numpy as np
import pytest
import uproot

from septum.errors import EngineMissingError, MergeFailedError, NotConservedError, OutputDamagedError, StructureError
from septum.ledger import StoredOutput
from septum.merge.choice import choose
from septum.merge.hadd import Hadd, find_hadd
from septum.merge.results import Merger, Result
from septum.merge.rootfile import summarize
from septum.verify import measure
from septum.worker.sandbox import output_name
from tests.fakes.analyses import plan_of, seeds
from tests.fakes.rootfiles import H, read_cells, write_root


@pytest.fixture(scope="module")
def hadd() -> Hadd:
    """The hadd of this machine, or of the PyPI package."""
    try:
        return find_hadd(os.environ)
    except EngineMissingError as error:
        pytest.skip(error.what)


def _merge(
    folder: Path, hadd: Hadd, parts: Sequence[Mapping[str, H]], trees: Mapping[str, int] | None = None
) -> Result:
    """Parts through verification, merger and verification again."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = plan_of(seeds(len(parts)), folder)
    outputs = folder / "outputs"
    outputs.mkdir()
    merger = Merger(plan, lambda _path, _name: hadd, outputs=outputs, scratch=folder / "merge")
    for part, objects in zip(plan.parts, parts, strict=True):
        path = write_root(outputs / output_name(part.id, 0), objects, trees=trees)
        size_b, sha256 = measure(path)
        stored = StoredOutput(part=part.id, output=0, path=path.name, size_b=size_b, sha256=sha256)
        reading = merger.read(part, 0, path)
        assert reading is not None
        merger.add(part.id, [stored], {0: reading})
        merger.merge_ready()
    (result,) = merger.finish()
    return result


def test_histograms_and_trees_add_up(tmp_path: Path, hadd: Hadd) -> None:
    """In folders, of every type, with flow bins, labels and variable edges."""
    parts = [
        {
            "h": H(cells=[number, 2, 3, number]),
            "cut/f": H(cells=[0, number, 1, 0], dtype=">f4"),
            "i": H(cells=[0, 1, number, 0], dtype=">i4", sumw2=False),
            "edges": H(cells=[0, 1, 2, 3, 0], edges=[0, 0.1, 0.5, 1]),
            "labels": H(cells=[0, 1, 2, 0], labels=["a", "b"]),
        }
        for number in range(5)
    ]
    result = _merge(tmp_path, hadd, parts, {"t": 11})

    assert read_cells(result.path, "h") == [10, 10, 15, 10]
    assert read_cells(result.path, "cut/f") == [0, 10, 5, 0]
    assert read_cells(result.path, "i") == [0, 5, 10, 0]
    assert read_cells(result.path, "edges") == [0, 5, 10, 15, 0]
    assert result.objects["t"] == ("TTree", 55.0)


def test_profiles_and_more_dimensions_add_up(tmp_path: Path, hadd: Hadd) -> None:
    """As hist and uproot write them."""
    plan = plan_of(seeds(3), tmp_path)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    merger = Merger(plan, lambda _path, _name: hadd, outputs=outputs, scratch=tmp_path / "merge")
    rng = np.random.default_rng(3)
    for part in plan.parts:
        path = outputs / output_name(part.id, 0)
        two = hist.Hist(hist.axis.Regular(4, 0, 1), hist.axis.Regular(3, 0, 2), storage=hist.storage.Weight())
        two.fill(rng.random(50), rng.random(50), weight=rng.normal(1, 1, 50))
        profile = hist.Hist(hist.axis.Regular(4, 0, 1), storage=hist.storage.WeightedMean())
        profile.fill(rng.random(50), sample=rng.random(50), weight=rng.random(50))
        with uproot.recreate(path) as file:
            file["two"], file["profile"] = two, profile
        size_b, sha256 = measure(path)
        stored = StoredOutput(part=part.id, output=0, path=path.name, size_b=size_b, sha256=sha256)
        reading = merger.read(part, 0, path)
        assert reading is not None
        merger.add(part.id, [stored], {0: reading})
    (result,) = merger.finish()

    assert {path: kind for path, (kind, _) in result.objects.items()} == {"two": "TH2D", "profile": "TProfile"}


def test_each_output_has_the_engine_that_it_needs(tmp_path: Path, hadd: Hadd) -> None:
    """By what its first file holds: histograms are merged strictly, and what has a tree in it by hadd."""
    plan = plan_of(
        "command: [run]\noutputs: [h.root, t.root]\nparts: {product: {seed: {first: 0, last: 2}}}\n"
        "merge: {h.root: h.root, t.root: t.root}\n",
        tmp_path,
    )
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    environ = {**os.environ, "SEPTUM_HADD": str(hadd.program)}
    merger = Merger(
        plan,
        lambda path, name: choose(path, name=name, environ=environ, policies={}),
        outputs=outputs,
        scratch=tmp_path / "merge",
    )
    for part in plan.parts:
        stored, readings = [], {}
        for number, trees in enumerate(({}, {"t": 7})):
            path = write_root(
                outputs / output_name(part.id, number), {"h": H(cells=[0, part.index, 1, 0])}, trees=trees
            )
            size_b, sha256 = measure(path)
            stored.append(StoredOutput(part=part.id, output=number, path=path.name, size_b=size_b, sha256=sha256))
            readings[number] = merger.read(part, number, path)
        merger.add(part.id, stored, {number: found for number, found in readings.items() if found is not None})
    strict, added = merger.finish()

    assert strict.engine.startswith("strict (septum ")
    assert re.fullmatch(r"hadd( \d+\.\d+\S*)? \(.+\)", added.engine)
    assert added.engine == hadd.name
    assert read_cells(strict.path, "h") == read_cells(added.path, "h") == [0, 3, 3, 0]
    assert added.objects == {"h": ("TH1D", 6.0), "t": ("TTree", 21.0)}
    assert strict.objects == {"h": ("TH1D", 6.0)}


def test_the_same_parts_give_the_same_bytes(tmp_path: Path, hadd: Hadd) -> None:
    """Whatever folder it happens in: no date, no name of a temporary file is in the result."""
    parts = [{"h": H(cells=[0, number, 0.1, 0])} for number in range(45)]
    one, two = (_merge(tmp_path / name, hadd, parts) for name in ("one", "another-name"))

    assert one.sha256 == two.sha256
    assert read_cells(one.path, "h")[1] == sum(range(45))


@pytest.mark.parametrize(
    "name", ["with space", "it's", "a#b", "a;b", "a&b=c", "ü", "a,b", "a+b", "a%20b", "(x)", "a:b", "a?b", "$HOME", "~"]
)
def test_difficult_folders(tmp_path: Path, hadd: Hadd, name: str) -> None:
    """A state folder may be called anything, though ROOT takes some characters for something else."""
    result = _merge(tmp_path / name, hadd, [{"h": H(cells=[0, 1, 2, 0])}] * 3)

    assert read_cells(result.path, "h") == [0, 3, 6, 0]
    assert result.path.parent == tmp_path / name / "merge"


@pytest.mark.parametrize(
    ("first", "second", "silent"),
    [
        (H(cells=[0, 1, 2, 3, 4, 0]), H(cells=[0, 1, 2, 0]), True),
        (H(cells=[0, 1, 2, 0], edges=[0, 0.3, 1]), H(cells=[0, 1, 2, 0], edges=[0, 0.4, 1]), True),
        (H(cells=[0, 1, 2, 0]), H(cells=[0, 1, 2, 0], high=2), True),
        (H(cells=[1, 1, 2, 1]), H(cells=[1, 1, 2, 1], low=0.03, high=1.03), False),
    ],
)
def test_what_hadd_does_silently_never_gets_there(
    tmp_path: Path, hadd: Hadd, first: H, second: H, *, silent: bool
) -> None:
    """Axes that differ: hadd ends with 0 and a wrong file, the merger with an error before it."""
    one, two = (write_root(tmp_path / f"{number}.root", {"h": item}) for number, item in enumerate((first, second)))
    try:
        hadd.merge(tmp_path / "all.root", [one, two], title="all.root")
        said_nothing = True
    except MergeFailedError:
        said_nothing = False

    with pytest.raises(StructureError):
        _merge(tmp_path / "run", hadd, [{"h": first}, {"h": second}])
    assert said_nothing is silent


def test_whole_numbers_that_overflow(tmp_path: Path, hadd: Hadd) -> None:
    """ROOT's hadd saturates; the sum of the parts does not."""
    with pytest.raises(NotConservedError, match="does not hold the sum"):
        _merge(tmp_path, hadd, [{"i": H(cells=[0, 2**31 - 1, 0], dtype=">i4", sumw2=False, entries=1)}] * 2)


@pytest.mark.parametrize("how", ["cut", "empty", "page", "random", "gone", "unclosed"])
def test_a_broken_source_is_an_error(tmp_path: Path, hadd: Hadd, how: str) -> None:
    """Though every source was verified before: a disk can break in between."""
    good, bad = (write_root(tmp_path / name, {"h": H(cells=[0, 1, 2, 0])}) for name in ("good.root", "bad.root"))
    content = bad.read_bytes()
    if how == "gone":
        bad.unlink()
    else:
        bad.write_bytes(
            {
                "cut": content[: len(content) // 2],
                "empty": b"",
                "page": b"<html>503</html>",
                "random": np.random.default_rng(1).bytes(4000),
                "unclosed": content + b"\0" * 100,
            }[how]
        )
    if how == "unclosed":  # hadd reads what the header says; the reader before it refuses such a file
        hadd.merge(tmp_path / "all.root", [good, bad], title="all.root")
        with pytest.raises(OutputDamagedError):
            summarize(bad, name="x")
        return

    with pytest.raises(MergeFailedError) as caught:
        hadd.merge(tmp_path / "all.root", [good, bad], title="all.root")
    assert caught.value.fix
    assert caught.value.evidence


def test_the_title_is_in_the_file(tmp_path: Path, hadd: Hadd) -> None:
    """Instead of the temporary name."""
    result = _merge(tmp_path, hadd, [{"h": H(cells=[0, 1, 2, 0])}] * 2)

    assert b"h.root" in result.path.read_bytes()[:300]
    assert b"new.0.root" not in result.path.read_bytes()


# ── programs that are not hadd ──────────────────────────────────────────────────────────────────────────────────


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "kill -9 $$",
        "echo 'Error in <TH1D::Merge>: cannot merge' >&2",
        "echo 'SysError in <TFile::WriteBuffer>: no space left' >&2",
        "echo 'Fatal in <x>: y'",
        "echo 'Warning in <TFile::Init>: file x probably not closed, trying to recover' >&2",
        "echo 'Warning in <TH1Merger::LabelMerge>: merging histograms without labels' >&2",
    ],
)
def test_every_word_and_the_exit_code_count(tmp_path: Path, script: str) -> None:
    """An error on standard error with exit code 0 is an error."""
    engine = Hadd(_program(tmp_path / "hadd", script), dict(os.environ))

    with pytest.raises(MergeFailedError) as caught:
        engine.merge(tmp_path / "all.root", [tmp_path / "a.root"], title="all.root")
    assert caught.value.fix


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    """Is an error of the merge."""
    with pytest.raises(MergeFailedError, match="did not run"):
        Hadd(tmp_path, {}).merge(tmp_path / "all.root", [], title="x")


def test_hadd_gets_no_secrets(tmp_path: Path) -> None:
    """Its environment is what it needs."""
    engine = Hadd(
        _program(tmp_path / "hadd", f"env > '{tmp_path}/env'"), {"PATH": os.environ["PATH"], "MY_TOKEN": "hush"}
    )
    engine.merge(tmp_path / "all.root", [], title="x")

    assert "hush" not in (tmp_path / "env").read_text()


def test_where_hadd_is_found(tmp_path: Path) -> None:
    """The variable first, then PATH, then ROOTSYS."""
    (tmp_path / "bin").mkdir()
    program, mine = _program(tmp_path / "bin/hadd", "true"), _program(tmp_path / "mine", "true")

    assert find_hadd({"SEPTUM_HADD": str(mine), "PATH": str(tmp_path / "bin")}).program == mine
    assert find_hadd({"PATH": str(tmp_path / "bin")}).program == program
    assert find_hadd({"PATH": "/nowhere", "ROOTSYS": str(tmp_path)}).program == program


def test_a_hadd_that_was_named_and_is_not_there(tmp_path: Path) -> None:
    """Another one is not taken instead."""
    with pytest.raises(EngineMissingError, match="SEPTUM_HADD") as caught:
        find_hadd({"SEPTUM_HADD": str(tmp_path / "no"), "PATH": os.environ["PATH"]})
    assert caught.value.fix


def test_no_hadd_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fix can be pasted."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(EngineMissingError) as caught:
        find_hadd({"PATH": "/nowhere"})
    assert "pip install 'septum[root]'" in caught.value.fix
