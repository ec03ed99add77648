"""Which format a file has, and what is said where its library is missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from septum.errors import EngineMissingError, OutputMissingError
from septum.merge import formats
from septum.merge.formats.base import check_expected, first_change, labelled, printable, version_of


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("skim.parquet", "Parquet"),
        ("out/2024/skim.h5", "HDF5"),
        ("skim.hdf5", "HDF5"),
        ("sum.npy", "npy"),
        ("sums.npz", "npz"),
        ("cutflow.json", "JSON counters"),
        ("log.txt", "text"),
        ("job.log", "text"),
        ("yields.csv", "CSV"),
        ("yields.tsv", "TSV"),
        ("plots.tar", "tar"),
        ("plots.tar.gz", "tar.gz"),
        ("plots.tgz", "tar.gz"),
        ("plots.zip", "zip"),
        ("v1.root.json", "JSON counters"),
    ],
)
def test_a_format_by_its_ending(name: str, found: str) -> None:
    """The longest ending that fits."""
    form = formats.find(name)

    assert form is not None
    assert form.name.split(" (")[0] == found


@pytest.mark.parametrize("name", ["h.root", "x.gz", "x.JSON", "json", ".json", "out/.csv", "x.tar.xz", "x.csv.bak", ""])
def test_other_files_have_no_format(name: str) -> None:
    """They are kept one a part."""
    assert formats.find(name) is None
    assert formats.ending_of(name) is None


def test_the_list_of_endings_is_that_of_the_formats() -> None:
    """Neither a format nor an ending is forgotten."""
    for ending in formats.endings():
        form = formats.find(f"x{ending}")
        assert form is not None
        assert ending in form.endings
        form.ready()
        assert set(form.endings) <= set(formats.endings())
    assert len(formats.endings()) == 14


def test_only_what_is_copied_merges_in_two_levels() -> None:
    """Where numbers are added, each level would round."""
    by_level = {ending: form.two_levels for ending in formats.endings() if (form := formats.find(f"x{ending}"))}

    assert {ending for ending, can in by_level.items() if not can} == {".h5", ".hdf5", ".json", ".npy", ".npz"}


def test_looking_for_a_format_loads_no_library() -> None:
    """Every command asks which outputs can be merged; few have to."""
    script = (
        "import sys; from septum.merge import formats; formats.ending_of('x.parquet'); before = set(sys.modules);"
        "[formats.find('x' + ending).name for ending in formats.endings()];"
        "print('numpy' in before, {'pyarrow', 'h5py'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.split() == ["False", "set()"]


@pytest.mark.parametrize(("ending", "package"), [("parquet", "pyarrow"), ("hdf5", "h5py")])
def test_a_missing_library_is_named_with_the_line_that_installs_it(
    ending: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is used, and not before."""
    for module in (package, "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    form = formats.find(f"x.{ending}")
    assert form is not None
    (tmp_path / "x").write_bytes(b"")
    used: list[Callable[[], object]] = [
        form.ready,
        lambda: form.summarize(tmp_path / "x", name="x"),
        lambda: form.merge(tmp_path / "target", [tmp_path / "x"], title="target"),
    ]
    for use in used:
        with pytest.raises(EngineMissingError, match=f"{package} was not found") as caught:
            use()
        assert caught.value.fix.endswith(f"python3 -m pip install 'septum[{ending}]'")
    assert not (tmp_path / "target").exists()


def test_a_version_without_its_package() -> None:
    """The report says so instead of failing."""
    assert version_of("no-package-of-this-name") == "no-package-of-this-name, not installed"
    assert version_of("numpy").startswith("numpy ")


def test_names_from_files_move_no_cursor() -> None:
    """A line break, an escape code, and more text than anybody reads."""
    assert printable("a\n\x1b[2Jb") == "a??[2Jb"
    assert len(printable("x" * 10_000)) == 300
    with pytest.raises(OutputMissingError) as caught:
        check_expected("x", ["mass"], {"\x1b[31m", "pt"}, "column")
    assert caught.value.evidence == "it holds: '\\x1b[31m', 'pt'"


def test_sources_without_titles_are_called_as_their_files() -> None:
    """Without the ending, however many dots it has."""
    sources = [Path("a/septum-0007.tar.gz"), Path("b/.hidden"), Path("c/d")]

    assert [label for label, _ in labelled(sources, ())] == ["septum-0007", ".hidden", "d"]
    assert [label for label, _ in labelled(sources, ["1", "", "3"])] == ["1", ".hidden", "3"]
    with pytest.raises(ValueError, match="argument"):
        labelled(sources, ["1"])


def test_where_two_structures_differ() -> None:
    """In one line, whatever they hold."""
    assert first_change('{"a": 1, "b": 2}', '{"a": 1, "b": 3}') == "'b': 2 in the first, 3 in the other"
    assert first_change('{"a": 1}', '{"a": 1, "b": 3}') == "'b' is in the other only"
    assert first_change('{"a": 1, "b": 3}', '{"a": 1}') == "'b' is in the first only"
    assert first_change('{"a": 1, "b": 3}', '{"b": 3, "a": 1}') == "the same, in another order"
