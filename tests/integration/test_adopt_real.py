"""The proof of concept's pipeline is adopted, and runs on the pool: what comes out is what its shell lines gave."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import uproot

from septum.facility import Facility
from septum.facility.pipeline import Library, PipelineResult
from septum.merge.hadd import find_hadd
from tests.adopting.shapes import files, unpack
from tests.framework.make import MKSHAPES, Analysis, judge, make_analysis
from tests.framework.poc import FRAMEWORK, GLOB, RESULT, ProofOfConcept, path_of_the_image
from tests.workshop import SEPTUM, Repository, site_variables

ROOT = Path(__file__).parents[2]
POC = "proof-of-concept"
_DEADLINE_S = 300
pytestmark = pytest.mark.timeout(_DEADLINE_S + 120)

Histograms = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Both:
    """The same analysis by the shell lines, and by what was proposed for them."""

    said: str
    pipeline: PipelineResult
    analysis: Analysis
    old: ProofOfConcept
    old_code: int
    by_pattern: Histograms
    by_framework: Histograms

    @property
    def result(self) -> Path:
        """The merged file of the adopted repository."""
        return self.pipeline.artifacts("septum-result") / "result" / RESULT


def _histograms(path: Path) -> Histograms:
    with uproot.open(path) as file:
        names = file.keys(cycle=False, filter_classname="TH1D")
        return {name: np.asarray(file[name].values(flow=True)).tolist() for name in names}


def _git(folder: Path, *words: str) -> str:
    # Nobody's own settings.
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=Analyst", "-c", "user.email=analyst@example.org")
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, env=env, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def _adopted(folder: Path) -> tuple[Analysis, str]:
    """The repository of the proof of concept after `septum adopt --write`."""
    analysis = make_analysis(folder / "emu")
    unpack(POC, analysis.folder)
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "The proof of concept")):
        _git(analysis.folder, *words)
    done = subprocess.run(
        [SEPTUM, "adopt", "--write"], cwd=analysis.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return analysis, done.stdout


@pytest.fixture(scope="module")
def both(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Both ways, side by side."""
    folder = tmp_path_factory.mktemp("adopt")
    old = ProofOfConcept(
        analysis=make_analysis(folder / "poc" / "emu"),
        name="before-adoption",
        facility=facility,
        pool=facility.pool,
        merge=GLOB,
    )
    job = old.start()
    analysis, said = _adopted(folder / "new")
    pipeline = facility.pipeline(
        analysis.folder,
        # The pool has no images, and is not where the site is.
        variables={**site_variables(facility), "SEPTUM_CLUSTER_IMAGE_METHOD": "none"},
        files={"SEPTUM_CA": facility.ca_file.read_text()},
        library=Library(ROOT / "templates", tag="0.1"),
        path=[MKSHAPES.parent, find_hadd(os.environ).program.parent],
    )
    ran = pipeline.run(timeout_s=_DEADLINE_S)
    code = old.end(job)
    by_pattern = _histograms(old.analysis.folder / RESULT)
    (old.analysis.folder / RESULT).unlink()
    subprocess.run(
        ["bash", "-ec", FRAMEWORK],
        cwd=old.analysis.folder,
        env={"HOME": os.environ["HOME"], "PATH": path_of_the_image()},
        capture_output=True,
        check=True,
        timeout=60,
    )
    by_framework = _histograms(old.analysis.folder / RESULT)
    return Both(said, ran, analysis, old, code, by_pattern, by_framework)


def test_the_adopted_pipeline_runs_to_its_result(both: Both) -> None:
    """The files are taken as they were proposed: not a character of them was changed."""
    assert both.pipeline.exit_code == 0, both.pipeline.log[-6000:]
    assert judge(both.result, both.analysis) == "whole"
    manifest = json.loads((both.result.parent / "septum.json").read_text())
    assert (manifest["complete"], manifest["cluster"]) == (True, "infn-af")


def test_the_histograms_are_those_of_the_shell_lines(both: Both) -> None:
    """Each of those that `hadd` made is there with the same numbers, but for the members of envelopes."""
    assert (both.old_code, both.old.result) == (0, "whole"), both.old.said
    new = _histograms(both.result)
    members = {name for name in both.by_pattern if "SPECIAL_NUIS" in name}

    assert {name: new[name] for name in both.by_pattern if name not in members} == {
        name: cells for name, cells in both.by_pattern.items() if name not in members
    }
    assert members


def test_the_envelopes_are_those_of_the_framework(both: Both) -> None:
    """With the framework's own merge behind the old lines, the two files are the same."""
    assert _histograms(both.result) == both.by_framework
    assert len(both.by_framework) > len([name for name in both.by_pattern if "SPECIAL_NUIS" not in name])


def test_the_old_pipeline_is_kept(both: Both) -> None:
    """It can be read beside the new one, and Git has it, too."""
    kept = (both.analysis.folder / ".gitlab-ci.before-septum.yml").read_text()

    assert kept == files(POC)[".gitlab-ci.yml"]
    assert _git(both.analysis.folder, "status", "--porcelain").split() == [
        "M", ".gitlab-ci.yml", "??", ".gitlab-ci.before-septum.yml", "??", "septum.yaml",
    ]  # fmt: skip
    assert "25  hadd mkShapes__emu.root condor/emu/mkShapes__*.root" in both.said


# ── without a cluster ───────────────────────────────────────────────────────────────────────────────────────────

_JOB = """\
#!/bin/sh
echo "{\\"events\\": 2}" > out.json
"""
_DESCRIPTION = """\
executable = job.sh
arguments = $(sample)
transfer_output_files = out.json
transfer_output_remaps = "out.json = out_$(sample).json"
num_retries = 2
queue sample in (DY, WW)
"""
_PIPELINE = """\
run:
  script:
    - {submits}
    - while condor_q -af JobStatus | grep -q .; do sleep 10; done
    - condor_transfer_data -all
    - hadd -f all.json out_*.json
"""


@pytest.mark.parametrize(
    ("submits", "component"),
    [
        ("condor_submit -spool jobs.sub", "analysis"),
        ("for list in jobs; do condor_submit -spool $list.sub; done", "framework"),
    ],
)
def test_the_proposal_for_a_plain_description_runs_here(tmp_path: Path, submits: str, component: str) -> None:
    """Both ways give the sum of the outputs, on this machine."""
    for name, text in {
        ".gitlab-ci.yml": _PIPELINE.format(submits=submits),
        "jobs.sub": _DESCRIPTION,
        "job.sh": _JOB,
    }.items():
        (tmp_path / name).write_text(text)
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "The pipeline")):
        _git(tmp_path, *words)
    repository = Repository(folder=tmp_path)
    adopted = repository.septum("adopt", "--cluster", "local", "--write")
    assert adopted.returncode == 0, adopted.stdout
    assert f"the component {component} " in adopted.stdout
    if component == "framework" and "outputs" in adopted.stdout.partition("look at these yourself")[2]:
        # The description is named by a variable of the loop, so that what it says is not known: that was a question.
        with (tmp_path / "septum.yaml").open("a") as config:
            config.write("merge: {all.json: {}}\n")

    done = repository.septum("run")
    assert done.returncode == 0, done.stdout
    assert json.loads((repository.result / "all.json").read_text()) == {"events": 4}
