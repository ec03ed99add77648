"""`septum compare` as somebody calls it: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from septum.cli import main
from septum.compare.document import from_json
from septum.compare.verdicts import Verdict
from tests.fakes.gitlab_api import write_result
from tests.fakes.rootfiles import H, write_root


@pytest.fixture(autouse=True)
def _nowhere_near_a_pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables of a CI job that happens to run the tests."""
    for name in (
        "SEPTUM_COMPONENT",
        "SEPTUM_RESULT",
        "SEPTUM_REFERENCE",
        "SEPTUM_REPRODUCIBILITY",
        "CI_SERVER_URL",
        "CI_PROJECT_ID",
        "CI_JOB_NAME",
        "CI_JOB_TOKEN",
        "SEPTUM_GITLAB_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def spectra(name: str, *, bump: float = 0.0, objects: int = 13) -> Path:
    """A file with a dozen histograms, one of which may have a bump."""
    cells = [0.0, 90.0, 100.0, 110.0, 0.0]
    contents = {f"cut/h{number:02d}": H(cells=cells) for number in range(objects)}
    contents["cut/h07"] = H(cells=[0.0, 90.0, 100.0 + bump, 110.0, 0.0])
    return write_root(Path(name), contents)


def test_the_counts_come_first_then_the_worst(capsys: pytest.CaptureFixture[str]) -> None:
    """And without being asked for, nothing is an error."""
    spectra("new.root", bump=100)
    spectra("old.root")

    assert main(["compare", "new.root", "old.root"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 of 13 identical, 1 different, worst: cut/h07, pull 5.8"
    assert lines[1] == "reference: old.root"
    assert lines[2].split() == ["object", "verdict", "pull", "chi2/ndf", "p", "where", "and", "why"]
    assert lines[3].split()[:4] == ["cut/h07", "different", "5.8", "33.33/3"]
    assert "bin 2 [0.333333, 0.666667)" in lines[3]
    assert len(lines) == 4


@pytest.mark.parametrize(("bump", "reproducibility", "code"), [
    (0, "exact", 0), (0, "statistical", 0), (0, "report", 0),
    (1, "exact", 50), (1, "statistical", 0), (1, "report", 0),
    (100, "exact", 50), (100, "statistical", 51), (100, "report", 0),
])  # fmt: skip
def test_exit_codes(bump: float, reproducibility: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Of equal files, of a fluctuation, of a bump."""
    spectra("new.root", bump=bump)
    spectra("old.root")

    assert main(["compare", "new.root", "old.root", "--reproducibility", reproducibility]) == code
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith(f"{12 if bump else 13} of 13 identical")
    assert (f"[E5{'00' if code == 50 else '01'}]" in said.err) == (code != 0)


def test_the_significance_decides(capsys: pytest.CaptureFixture[str]) -> None:
    """The same bump, held against one in a thousand and one in ten million."""
    spectra("new.root", bump=60)
    spectra("old.root")
    asked = ["compare", "new.root", "old.root", "--reproducibility", "statistical", "--significance"]

    assert main([*asked, "0.05"]) == 51
    assert main([*asked, "1e-7"]) == 0
    for wrong in ("0", "1", "-1", "nan", "2"):
        assert main([*asked, wrong]) == 2
    assert "a probability between 0 and 1" in capsys.readouterr().err


def test_equal_bytes_are_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    """Without reading them."""
    spectra("new.root")
    Path("old.root").write_bytes(Path("new.root").read_bytes())

    assert main(["compare", "new.root", "old.root", "--reproducibility", "exact"]) == 0
    assert capsys.readouterr().out == "1 of 1 identical\nreference: old.root\nbyte-identical: new.root\n"


def test_quiet_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts."""
    spectra("new.root", bump=100)
    spectra("old.root")

    assert main(["compare", "new.root", "old.root", "--quiet"]) == 0
    assert capsys.readouterr().out == "12 of 13 identical, 1 different, worst: cut/h07, pull 5.8\n"


def test_every_object_is_in_the_document() -> None:
    """Also when the command ends with an error."""
    spectra("new.root", bump=100)
    spectra("old.root")

    assert main(["compare", "new.root", "old.root", "--reproducibility", "exact", "--json", "out/c.json"]) == 50
    written = from_json(Path("out/c.json").read_text(), name="c.json")
    assert written.counts == {Verdict.IDENTICAL: 12, Verdict.DIFFERENT: 1}
    assert json.loads(Path("out/c.json").read_text())["reproducibility"] == "exact"


def test_folders_are_compared_file_by_file(capsys: pytest.CaptureFixture[str]) -> None:
    """By name; a lost file is missing, another one is new."""
    for folder in ("new", "old"):
        Path(folder, "2018").mkdir(parents=True)
        spectra(f"{folder}/2018/DY.root")
    spectra("old/TT.root")
    spectra("new/WW.root")

    assert main(["compare", "new", "old", "--reproducibility", "statistical"]) == 51
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "13 of 13 identical, 1 new, 1 missing, worst: TT.root"


def test_result_folders_are_compared_by_their_manifests(capsys: pytest.CaptureFixture[str]) -> None:
    """A partial result under its name in the plan, with a note."""
    write_result(Path("new"), {"mass": H(cells=[0, 75, 75, 0])}, parts=3, missing=1)
    write_result(Path("old"), {"mass": H(cells=[0, 100, 100, 0])})

    assert main(["compare", "new", "old"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("0 of 1 identical, 1 compatible")
    assert lines[1] == "reference: old, commit 5f0c7a1e, the same work"
    assert lines[2] == "note: dimuon.root is partial here: 1 part missing"
    assert lines[3] == "note: dimuon.root: 3 parts here, 4 in the reference"


@pytest.mark.parametrize(("arguments", "word"), [
    (["nothing.root", "old.root"], "nothing.root does not exist"),
    (["old.root", "nothing.root"], "the reference nothing.root does not exist"),
    (["empty", "old.root"], "empty holds no results"),
    (["old.root", "empty"], "nothing was compared"),
    (["old.root", "text.root"], "text.root cannot be read"),
    (["old.root", "none"], "no comparison is asked for"),
    (["old.root", "default-branch"], "known in a CI job of GitLab only"),
    (["old.root", "ftp://host/a.root"], "does not read ftp://"),
])  # fmt: skip
def test_what_cannot_be_compared_is_an_error_by_hand(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With 52, also with `report`: whoever calls it wants an answer."""
    spectra("old.root")
    Path("empty").mkdir()
    Path("text.root").write_text("no ROOT file")

    assert main(["compare", *arguments]) == 52
    error = capsys.readouterr().err
    assert word in error
    assert "[E502]" in error
    assert "Fix:" in error


def test_two_files_without_an_object_in_common(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing compared is nothing proven."""
    write_root(Path("new.root"), {"a": H(cells=[0, 1, 0])})
    write_root(Path("old.root"), {"b": H(cells=[0, 1, 0])})

    assert main(["compare", "new.root", "old.root"]) == 52
    assert "nothing was compared" in capsys.readouterr().err


def test_hostile_names_print_as_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """No colour, no section of a CI log, no line of their own."""
    name = "a\x1b[31m\r\nsection_start:1:x"
    write_root(Path("new.root"), {name: H(cells=[0, 500, 0])})
    write_root(Path("old.root"), {name: H(cells=[0, 100, 0])})

    assert main(["compare", "new.root", "old.root"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert r"a\x1b[31m\r\nsection_start:1:x" in lines[0]


def test_a_document_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder stands there, or a file on the way."""
    spectra("new.root")
    spectra("old.root")
    Path("folder").mkdir()

    assert main(["compare", "new.root", "old.root", "--json", "folder"]) == 2
    assert main(["compare", "new.root", "old.root", "--json", "old.root/x.json"]) == 2
    assert capsys.readouterr().err.count("Fix:") == 2


def test_the_help_says_what_the_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    """And what B may be."""
    with pytest.raises(SystemExit):
        main(["compare", "--help"])

    shown = " ".join(capsys.readouterr().out.split())
    assert "or tag:NAME" in shown
    assert "50 if not identical" in shown


def test_the_first_pipeline_of_the_component_has_nothing_to_compare_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And passes, or there would never be a good one; by hand, that nothing was compared is an error."""
    Path("result").mkdir()
    spectra("result/new.root")
    assert main(["compare"]) == 52

    monkeypatch.setenv("SEPTUM_COMPONENT", "compare@0.1.0")
    monkeypatch.setenv("SEPTUM_PREFIX", "septum-")
    monkeypatch.setenv("SEPTUM_STATE", ".septum/septum-")
    monkeypatch.setenv("SEPTUM_REPORTS", ".septum-reports/septum-")
    assert main(["compare"]) == 0
    assert "nothing to compare with" in capsys.readouterr().out
    monkeypatch.setenv("SEPTUM_REFERENCE", "tag:v1")
    assert main(["compare"]) == 52


def test_result_and_reference_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the component hands its inputs on."""
    Path("new").mkdir()
    spectra("new/x.root", bump=100)
    spectra("old.root")
    monkeypatch.setenv("SEPTUM_RESULT", "new")
    monkeypatch.setenv("SEPTUM_REFERENCE", "old.root")
    monkeypatch.setenv("SEPTUM_REPRODUCIBILITY", "statistical")

    assert main(["compare"]) == 51
