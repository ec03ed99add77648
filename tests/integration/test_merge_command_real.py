"""A framework's own merge as users have it: `septum run` and `septum collect` on this machine, with real files."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import hist
import numpy as np
import pytest
import uproot

from septum.manifest import NAME, Manifest, from_json
from septum.merge.command import SCRIPT
from tests.fakes.result_folders import hadd
from tests.workshop import Repository

PARTS = 4
VARIATIONS = 3

# What a framework does after it has added up: of several variations of each bin, the largest and the smallest.
ENVELOPE = """\
import os, subprocess, sys
import numpy as np
import uproot

places = open(os.environ["MERGE_INPUTS"]).read().split("\\n")[:-1]
subprocess.run([sys.argv[1], "-v", "0", "emu.root", *places[int(sys.argv[2]):]], check=True)
with uproot.open("emu.root") as file:
    members = [file[f"cut/histo_DY_SPECIAL_NUIS_QCD_{n}"].to_hist() for n in range(3)]
    stack = np.array([member.values(flow=True) for member in members])
with uproot.update("emu.root") as file:
    for way, cells in (("Up", stack.max(axis=0)), ("Down", stack.min(axis=0))):
        made = members[0].copy()
        made.view(flow=True).value = cells
        file[f"cut/histo_DY_QCD{way}"] = made
"""
PART_SH = "mkdir -p rootFiles && cp inputs/$PART_part.root rootFiles/$PART_part.root\n"


def _write_part(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with uproot.recreate(path) as file:
        for name in ("histo_DY", *(f"histo_DY_SPECIAL_NUIS_QCD_{n}" for n in range(VARIATIONS))):
            made = hist.Hist(hist.axis.Regular(20, 0, 200), storage=hist.storage.Weight())
            made.fill(rng.normal(90, 30, 500), weight=rng.normal(1, 0.1, 500))
            file[f"cut/{name}"] = made


def _repository(folder: Path, command: str) -> Repository:
    """Four parts whose outputs are laid where the framework leaves its own."""
    (folder / "inputs").mkdir(parents=True)
    for number in range(PARTS):
        _write_part(folder / "inputs" / f"{number:04d}.root", number)
    (folder / "envelope.py").write_text(ENVELOPE)
    (folder / "part.sh").write_text(PART_SH)
    (folder / "septum.yaml").write_text(
        "name: emu\ncommand: [sh, part.sh]\nparts: {product: {seed: {first: 0, last: " + str(PARTS - 1) + "}}}\n"
        "inputs: [part.sh, inputs]\noutputs: ['rootFiles/{part}.root']\n"
        f"merge:\n  emu.root: {{with: {json.dumps(command)}, at: 'merged/{{part}}.root'}}\n"
    )
    return Repository(folder=folder, environ={"SEPTUM_CLUSTER": "local"})


def _envelope(dropped: int = 0) -> str:
    return f"echo ran >> '{{count}}'; {sys.executable} envelope.py {hadd()} {dropped}"


def _manifest(ours: Repository) -> Manifest:
    return from_json((ours.result / NAME).read_text(), name=NAME)


def _counts(tmp_path: Path) -> int:
    path = tmp_path / "count"
    return len(path.read_text().splitlines()) if path.exists() else 0


def _command(tmp_path: Path, dropped: int = 0) -> str:
    return _envelope(dropped).format(count=tmp_path / "count")


def _beside(ours: Repository) -> set[str]:
    """What stands in the repository that was not there at first."""
    own = {".septum", "result", "inputs", "envelope.py", "part.sh", "septum.yaml"}
    return {path.name for path in ours.folder.iterdir()} - own


def test_an_envelope_over_nuisances(tmp_path: Path) -> None:
    """The result is what the framework makes of all parts, checked against their sum, and every report says so."""
    ours = _repository(tmp_path / "a repo's", _command(tmp_path))
    done = ours.septum("run")
    assert done.returncode == 0, done.stdout

    with uproot.open(ours.result / "emu.root") as file:
        found = {name: file[name].values() for name in file.keys(cycle=False, filter_classname="TH1D")}
    variations = []
    for n in range(VARIATIONS):
        parts = [ours.folder / "inputs" / f"{number:04d}.root" for number in range(PARTS)]
        variations.append(sum(uproot.open(path)[f"cut/histo_DY_SPECIAL_NUIS_QCD_{n}"].values() for path in parts))
    np.testing.assert_allclose(found["cut/histo_DY_QCDUp"], np.max(variations, axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["cut/histo_DY_QCDDown"], np.min(variations, axis=0), rtol=1e-12)

    (result,) = _manifest(ours).results
    assert result.own is not None
    assert (result.own.equal, result.own.new, result.own.changed) == (4, 2, 0)
    says = "merged by the framework's command; 4 objects equal the sum of the parts, 2 new"
    assert says in (ours.result / "summary.md").read_text()
    assert "4 objects equal the sum of the parts" in (ours.result / "report.html").read_text()
    assert "merging emu.root by the framework's command" in done.stdout
    assert f"emu.root: {says}" in done.stdout
    assert _beside(ours) == set()
    verified = ours.septum("verify", "result")
    assert verified.returncode == 0, verified.stdout
    assert "the sum that the command's product was compared with: its stamp" in verified.stdout


def test_a_result_that_was_changed_afterwards(tmp_path: Path) -> None:
    """`septum verify` sees another file, another rule, and another sum."""
    ours = _repository(tmp_path / "repository", _command(tmp_path))
    assert ours.septum("run").returncode == 0
    path = ours.result / NAME
    text = path.read_text()
    for old, new in (('"cut/histo_DY_QCDUp"', '"cut/histo_DY_QCDUp "'), ('"changes": []', '"changes": ["cut/*"]')):
        assert old in text
        path.write_text(text.replace(old, new))
        assert ours.septum("verify", "result").returncode == 45
    own = json.loads(text)
    own["results"][0]["own"]["stamp"] = own["results"][0]["own"]["stamp"][:-1] + "0"
    path.write_text(json.dumps(own))
    assert "WRONG" in ours.septum("verify", "result").stdout
    own["results"][0]["own"] = {"command": 7}
    path.write_text(json.dumps(own))
    verified = ours.septum("verify", "result")
    assert verified.returncode == 45
    assert "Traceback" not in verified.stdout


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("DROP", 43, "not the sum of the parts"),
        ("echo 'cannot open the tree' >&2; exit 1", 40, "cannot open the tree"),
        ("echo done", 40, "did not write emu.root"),
        ("head -c 3000 inputs/0000.root > emu.root", 43, "cannot be read as a whole file"),
    ],
)
def test_false_greens(tmp_path: Path, command: str, code: int, says: str) -> None:
    """A shard dropped, a failure, nothing written, a torn file: no result, and the error says why."""
    ours = _repository(tmp_path / "repository", _command(tmp_path, dropped=1) if command == "DROP" else command)
    done = ours.septum("run")

    assert done.returncode == code, done.stdout
    assert says in done.stdout
    assert ours.whole_files() == []
    assert _manifest(ours).results == ()
    assert _beside(ours) == set()


def test_collected_again_after_the_cause_is_removed(tmp_path: Path) -> None:
    """No part runs again: the command alone does."""
    ours = _repository(tmp_path / "repository", f"test -e '{tmp_path}/mended'; {_command(tmp_path)}")
    (ours.folder / "part.sh").write_text(f"echo ran >> '{tmp_path}/parts'\n{PART_SH}")
    assert ours.septum("run").returncode == 40
    assert ours.septum("collect").returncode == 40
    (tmp_path / "mended").touch()
    done = ours.septum("collect")

    assert done.returncode == 0, done.stdout
    assert len((tmp_path / "parts").read_text().splitlines()) == PARTS
    assert _counts(tmp_path) == 1
    assert "collected already" in ours.septum("collect").stdout


def test_a_choice_of_parts(tmp_path: Path) -> None:
    """The command, which wants the complete set, is not run; the result is septum's own sum, labelled partial."""
    ours = _repository(tmp_path / "repository", _command(tmp_path))
    done = ours.septum("run", "--parts", "2")

    assert done.returncode == 0, done.stdout
    assert _counts(tmp_path) == 0
    assert [path.name for path in ours.result.glob("*.root")] == ["emu.partial.root"]
    assert "was not run" in (ours.result / "summary.md").read_text()
    verified = ours.septum("verify", "result")
    assert verified.returncode == 0, verified.stdout


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends the command with all that it started, and the next collect runs it again."""
    hang = f"[ -e '{tmp_path}/mended' ] || {{ echo torn > emu.root; : > '{tmp_path}/began'; sleep 300; }}; "
    ours = _repository(tmp_path / "repository", hang + _command(tmp_path))
    with ours.start("run") as process:
        for _ in range(600):
            if (tmp_path / "began").exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 24, said
    assert _beside(ours) == set()
    (tmp_path / "mended").touch()
    done = ours.septum("collect")

    assert done.returncode == 0, done.stdout


def _merge_job(ours: Repository, tools: Path) -> subprocess.CompletedProcess[str]:
    """The CI job in the image of the analysis: a fresh checkout with the state folder, and no septum."""
    return subprocess.run(
        ["sh", f".septum/merge/{SCRIPT}"], cwd=ours.folder, env={"PATH": str(tools)}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH without Python: the framework brings its own by its full path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "cut", "cp", "mv", "rm", "mkdir", "rmdir", "chmod", "sort", "wc", "tr", "sha256sum"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def test_by_another_ci_job(tmp_path: Path, tools: Path) -> None:
    """Collect leaves with exit code 0 and without a result, another CI job runs the command, the last one finishes."""
    ours = _repository(tmp_path / "repository", _command(tmp_path))
    for stage in ("prepare", "submit"):
        assert ours.septum(stage).returncode == 0
    for _ in range(2):  # a retried CI job does the same
        first = ours.septum("collect", SEPTUM_HAND_OVER="yes")
        assert first.returncode == 0, first.stdout
        assert f"sh '{ours.folder / '.septum/merge' / SCRIPT}'; then collect again" in first.stdout
        assert ours.whole_files() == []
        assert not (ours.result / NAME).exists()
    early = ours.septum("collect", SEPTUM_HAND_OVER="back")
    assert early.returncode == 40, early.stdout
    assert "has not run to its end" in early.stdout
    assert _counts(tmp_path) == 0
    for _ in range(2):
        job = _merge_job(ours, tools)
        assert job.returncode == 0, job.stderr
        assert _beside(ours) == set()
    kept = tmp_path / "artifact"
    shutil.copytree(ours.folder / ".septum", kept)
    digests = []
    for _ in range(2):  # a retried CI job begins with the artifact of the one before
        last = ours.septum("collect", SEPTUM_HAND_OVER="back")
        assert last.returncode == 0, last.stdout
        digests.append(_manifest(ours).results[0].sha256)
        shutil.rmtree(ours.folder / ".septum")
        shutil.copytree(kept, ours.folder / ".septum")
    assert digests[0] == digests[1]
    assert _counts(tmp_path) == 2
    assert ours.septum("verify", "result").returncode == 0


def test_nothing_to_hand_over(tmp_path: Path) -> None:
    """A taste has no command to run: the first collect finishes, and the last one ends as it did."""
    ours = _repository(tmp_path / "repository", _command(tmp_path))
    assert ours.septum("prepare", "--parts", "2").returncode == 0
    assert ours.septum("submit").returncode == 0
    first = ours.septum("collect", SEPTUM_HAND_OVER="yes")
    assert first.returncode == 0, first.stdout
    assert not (ours.folder / ".septum/merge" / SCRIPT).exists()
    last = ours.septum("collect", SEPTUM_HAND_OVER="back")

    assert last.returncode == 0, last.stdout
    assert "an earlier one has collected the run" in last.stdout


def test_a_wish_that_is_none(tmp_path: Path) -> None:
    """A typing error does not run the command in the wrong image."""
    ours = _repository(tmp_path / "repository", _command(tmp_path))
    done = ours.septum("collect", SEPTUM_HAND_OVER="true")

    assert done.returncode == 2
    assert "SEPTUM_HAND_OVER is 'true'" in done.stdout


def test_a_product_that_was_there_before(tmp_path: Path) -> None:
    """What the framework left of an earlier run blocks it, as it would block the framework, and stays."""
    ours = _repository(tmp_path / "repository", _command(tmp_path))
    shutil.copyfile(ours.folder / "inputs/0000.root", ours.folder / "emu.root")
    done = ours.septum("run")

    assert done.returncode == 40
    assert "emu.root is there before the command ran" in done.stdout
    assert _beside(ours) == {"emu.root"}
    (ours.folder / "emu.root").unlink()
    assert ours.septum("collect").returncode == 0
