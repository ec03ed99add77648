"""A framework in the shape of mkShapesRDF, unmodified: 411 jobs on the pool by the component, and its own merge.

It is recorded where there is neither Python nor HTCondor, and the numbers are those of its own local run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from septum.facility import Facility
from septum.facility.pipeline import Library, PipelineResult
from septum.merge.hadd import find_hadd
from tests.framework.make import LARGE, MKSHAPES, Analysis, judge, make_analysis
from tests.workshop import site_variables

ROOT = Path(__file__).parents[2]
_DEADLINE_S = 1200
_TOOLS = ("base64", "cat", "chmod", "cp", "cut", "date", "dirname", "id", "ls", "mkdir", "mktemp", "mv", "rm", "rmdir",
          "sed", "sort", "tail", "tr", "touch", "uname", "wc")  # fmt: skip
"""What the image of the analysis has beside its shell: no Python, no awk, nothing of HTCondor."""

# The first test waits for a whole pipeline.
pytestmark = pytest.mark.timeout(_DEADLINE_S + 300)

GITLAB_CI = """\
include:
  - component: $CI_SERVER_FQDN/cms-analysis/general/septum/mkshapesrdf@1.0.0
    inputs: {cluster: infn-af}
"""
# Stands in front of the runner's shell: the CI job `prepare` runs in an image of its own.
_BASH = """\
#!/bin/sh
[ "${{CI_JOB_NAME:-}}" = septum-prepare ] || exec /bin/bash "$@"
exec bwrap --unshare-user --unshare-pid --tmpfs / --proc /proc --dev /dev --tmpfs /tmp \\
    --ro-bind /lib /lib --ro-bind-try /lib64 /lib64 --ro-bind /usr/lib /usr/lib --ro-bind {image} /bin \\
    --ro-bind {mkshapes} /opt/mkshapes --bind {top} {top} --chdir "$PWD" \\
    --setenv PATH /opt/mkshapes:/bin --die-with-parent /bin/bash "$@"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """The pipeline that has run, and the analysis."""

    pipeline: PipelineResult
    analysis: Analysis

    @property
    def result(self) -> Path:
        """The result folder, as the artifact of the last CI job."""
        return self.pipeline.artifacts("septum-result") / "result"

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the result."""
        found: dict[str, Any] = json.loads((self.result / "septum.json").read_text())
        return found


def _image(folder: Path) -> Path:
    """The folder of programs of an image."""
    folder.mkdir()
    for name in (*_TOOLS, "bash", "dash"):
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found is not None, name
        shutil.copy(found, folder / name)
    (folder / "sh").symlink_to("dash")
    return folder


def _shell(folder: Path, image: Path, top: Path) -> Path:
    folder.mkdir()
    (folder / "bash").write_text(_BASH.format(image=image, mkshapes=MKSHAPES.parent, top=top))
    (folder / "bash").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def ran(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The large run."""
    folder = tmp_path_factory.mktemp("framework")
    analysis = make_analysis(folder / "analysis", samples=LARGE)
    (analysis.folder / ".gitlab-ci.yml").write_text(GITLAB_CI)
    shell = folder / "shell"
    pipeline = facility.pipeline(
        analysis.folder,
        variables={**site_variables(facility, poll_ceiling="4 s")},
        files={"SEPTUM_CA": facility.ca_file.read_text()},
        library=Library(ROOT / "templates"),
        path=[shell, MKSHAPES.parent, find_hadd(os.environ).program.parent],
    )
    _shell(shell, _image(folder / "image"), pipeline.folder)
    return Ran(pipeline.run(timeout_s=_DEADLINE_S), analysis)


def test_411_jobs_of_the_framework_become_one_verified_file(ran: Ran) -> None:
    """All CI jobs pass, and the numbers are those of its own local run, envelopes included."""
    assert ran.pipeline.exit_code == 0, ran.pipeline.log[-6000:]
    assert [len(result["parts"]) for result in ran.manifest["results"]] == [411]
    assert judge(ran.result / "mkShapes__emu.root", ran.analysis) == "whole"


def test_it_was_recorded_without_python_and_without_htcondor(ran: Ran, tmp_path: Path) -> None:
    """The image has a shell and the programs of every system; the framework saw the answer of a real condor_submit."""
    shell = ran.analysis.folder.parent / "shell" / "bash"
    asked = "for name in python3 python perl awk condor_q condor_submit sed; do command -v $name; done"
    done = subprocess.run(
        [shell, "-c", asked],
        env={"PATH": ran.pipeline.pipeline.env["PATH"], "CI_JOB_NAME": "septum-prepare"},
        cwd=ran.pipeline.pipeline.checkout,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout == "/bin/sed\n", done.stderr
    assert "411 job(s) submitted to cluster 1." in ran.pipeline.job_log("septum-prepare")


def test_what_was_wrong_in_its_description_is_said(ran: Ran) -> None:
    """Each of the settings that the proof of concept carried along."""
    corrected = [line for line in ran.pipeline.job_log("septum-submit").splitlines() if line.startswith("corrected: ")]

    for wrong in ("num_retries", "periodic_remove", "+JobFlavour", "SingularityImage", "request_memory", "myproxy"):
        assert [line for line in corrected if wrong in line], (wrong, corrected)


def test_what_the_framework_made_is_measured(ran: Ran) -> None:
    """The nominal histograms are the sum of the parts, the envelopes are new, their members may go."""
    (result,) = ran.manifest["results"]

    assert ran.manifest["complete"] is True
    assert result["own"]["equal"] + result["own"].get("rounding", 0) > 0
    assert ran.manifest["cluster"] == "infn-af"
