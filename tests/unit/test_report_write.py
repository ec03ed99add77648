"""All reports of a run in its folder: whole or not at all, each on its own, and again from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from septum.cli import main
from septum.compare.document import to_json
from septum.compare.verdicts import Verdict
from septum.manifest import Manifest
from septum.report import junit, material, page
from septum.report.write import FILES, write_all
from tests.fakes import reports

_FEW = ("mass",)
"""Each histogram takes a fifth of a second to draw."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The result folder of a small partial run."""
    folder = tmp_path / "result"
    folder.mkdir()
    held = reports.write_file(folder / "dimuon.partial.root", only=_FEW)
    return reports.store(folder, reports.manifest(parts=30, failed=(4,), objects=held))


@pytest.fixture
def run(folder: Path) -> Manifest:
    """Its manifest."""
    return reports.manifest(
        parts=30, failed=(4,), objects=reports.write_file(folder / "dimuon.partial.root", only=_FEW)
    )


def test_all_reports(folder: Path, run: Manifest) -> None:
    """Five files, and nothing temporary is left."""
    before = {path.name for path in folder.iterdir()}
    environ = {"CI_JOB_URL": "https://gitlab.example.org/-/jobs/1", "CI_PROJECT_DIR": str(folder.parent)}
    compared = reports.comparison(run, {"mass": Verdict.DIFFERENT})
    written = write_all(
        folder, run, compared, references={"dimuon.root": folder / "dimuon.partial.root"}, environ=environ
    )

    assert {path.name for path in written} == set(FILES)
    assert {path.name for path in folder.iterdir()} - before == set(FILES)
    assert "ratio" in (folder / "report.html").read_text()
    assert (
        "(<https://gitlab.example.org/-/jobs/1/artifacts/file/result/report.html>)"
        in (folder / "summary.md").read_text()
    )
    assert json.loads((folder / "annotations.json").read_text()).keys() == {"Report", "Results", "Reference"}


def test_one_report_that_crashes(folder: Path, run: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs neither the others nor the result; an older one of its name is gone, and the reason is told."""
    (folder / "junit.xml").write_text("of an earlier run")
    result = (folder / "dimuon.partial.root").read_bytes()

    def crash(_: object) -> str:
        raise RecursionError("too\ndeep")

    monkeypatch.setattr(junit, "xml", crash)
    warnings: list[str] = []
    written = write_all(folder, run, environ={}, warn=warnings.append)

    assert {path.name for path in written} == set(FILES) - {"junit.xml"}
    assert not (folder / "junit.xml").exists()
    assert warnings == ["report: junit.xml was not written: RecursionError: too\\ndeep"]
    assert (folder / "dimuon.partial.root").read_bytes() == result


def test_histograms_that_crash(folder: Path, run: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the manifest says is shown all the same."""

    def crash(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(material, "read", crash)
    warnings: list[str] = []
    written = write_all(folder, run, environ={}, warn=warnings.append)

    assert len(written) == len(FILES)
    assert warnings == ["report: the histograms are left out: MemoryError: "]
    assert "1 of 30 parts are missing" in (folder / "report.html").read_text()


def test_a_full_disk(folder: Path, run: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves no half file."""

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("septum.report.write.write_whole", full)
    warnings: list[str] = []

    assert write_all(folder, run, environ={}, warn=warnings.append) == []
    assert len(warnings) == len(FILES)
    assert not {path.name for path in folder.iterdir()} & set(FILES)


def test_a_manifest_with_values_of_other_types(folder: Path, run: Manifest) -> None:
    """Whatever stands in a file that somebody edited: reports are missing, and nothing is raised."""
    from dataclasses import replace

    odd = replace(run, parts=(replace(run.parts[0], memory_b="much", cpu_s={}, values=3),), software={"x": None})  # type: ignore[arg-type,dict-item]
    warnings: list[str] = []
    write_all(folder, odd, environ={}, warn=warnings.append)

    assert warnings


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_reports_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the folder alone, as it comes out of an artifact."""
    assert main(["report", str(folder)]) == 0

    shown = capsys.readouterr().out
    assert all(f"wrote {folder / name}" in shown for name in FILES)
    assert "<figure" in (folder / "report.html").read_text()


def test_the_page_alone_with_comparison_and_reference(folder: Path, run: Manifest, tmp_path: Path) -> None:
    """The comparison is found in the folder or named; references are a file or a folder of such names."""
    (folder / "compare.json").write_text(to_json(reports.comparison(run, {"mass": Verdict.DIFFERENT})))
    reports.write_file(tmp_path / "dimuon.root", seed=3, only=_FEW)
    for reference in (tmp_path, tmp_path / "dimuon.root"):
        out = tmp_path / "page.html"
        assert main(["report", str(folder), "--reference", str(reference), "--out", str(out)]) == 0
        text = out.read_text()
        assert "with the reference</title>" in text
        assert "pull 4.2" in text
        out.unlink()

    named = tmp_path / "other.json"
    named.write_text(to_json(reports.comparison(run, {"gone": Verdict.MISSING})))
    assert main(["report", str(folder), "--compare", str(named), "--out", str(tmp_path / "page.html")]) == 0
    assert "1 missing" in (tmp_path / "page.html").read_text()
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (["{tmp}/nothing"], "there is no septum.json in"),
    (["{tmp}"], "there is no septum.json in"),
    (["{folder}", "--compare", "{tmp}/nothing"], "the comparison"),
    (["{folder}", "--compare", "{folder}/septum.json"], "compare"),
    (["{folder}", "--compare", "{folder}"], "cannot be read"),
    (["{folder}", "--reference", "{tmp}/nothing"], "holds no file of this run's results"),
    (["{folder}", "--reference", "{tmp}"], "holds no file of this run's results"),
    (["{folder}", "--out", "{tmp}"], "files: "),
])  # fmt: skip
def test_wrong_use(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """One clear error, no traceback, and exit code 2."""
    words = [word.format(folder=folder, tmp=folder.parent) for word in arguments]

    assert main(["report", *words]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Fix:" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 2}', "\x00", "{" * 5000, '{"format": 1}'])
def test_a_damaged_manifest(folder: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Is named."""
    (folder / "septum.json").write_text(text)

    assert main(["report", str(folder)]) == 2
    assert "manifest" in capsys.readouterr().err


def test_a_report_that_cannot_be_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for on the command line, it is an error."""

    def crash(*_: object) -> str:
        raise ValueError("broken")

    monkeypatch.setattr(page, "html", crash)

    assert main(["report", str(folder)]) == 2
    assert "1 of 5 reports were not written" in capsys.readouterr().err


def test_the_command_line_loads_nothing_heavy() -> None:
    """Each CI job pays for what is imported."""
    heavy = ["matplotlib", "mplhep", "numpy", "uproot", "jinja2", "gitlab", "septum.report.page"]
    program = f"import sys, septum.cli.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ}, text=True, capture_output=True, check=True
    )

    assert done.stdout.strip() == "[]"
