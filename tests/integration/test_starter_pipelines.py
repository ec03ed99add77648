"""What `septum new` writes, as a user has it: one repository of each framework, its pipeline run to its result.

All are under way at the same time: three on `local`, that of mkShapesRDF on the pool, by the framework of its shape.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

import septum
from septum.facility import Facility
from septum.facility.pipeline import Library, PipelineResult
from septum.merge.hadd import find_hadd
from septum.starting.answers import complete
from septum.starting.versions import FILE
from tests.framework.make import MKSHAPES
from tests.framework.mkshapes.runner import content
from tests.starting import ROOT, files
from tests.workshop import SEPTUM, site_variables

NANO = ROOT.parent / "shared" / "data" / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
JOBS = ["septum-collect", "septum-prepare", "septum-submit", "unit-test"]
FRAMEWORK = sorted(
    ["unit-test", *(f"septum-{job}" for job in ("recorder", "prepare", "submit", "collect", "merge", "result"))]
)
SAMPLES = {"DY": 2, "WW": 1}
_DEADLINE_S = 600

pytestmark = pytest.mark.timeout(_DEADLINE_S + 60)


@dataclass(frozen=True, slots=True)
class Made:
    """A repository that `septum new` has written."""

    folder: Path
    said: dict[str, Any]


def _new(folder: Path, framework: str, **said: str) -> Made:
    words = [word for name, value in said.items() for word in (f"--{name}", value)]
    done = subprocess.run(
        [SEPTUM, "new", f"my-{framework}", "--framework", framework, "--defaults", "--json", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Made(folder / f"my-{framework}", json.loads(done.stdout))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """One repository of each framework; the data of two of them is a file in the repository."""
    if not NANO.is_file():
        pytest.skip(f"needs {NANO.name} of ../shared/data")
    folder = tmp_path_factory.mktemp("new")
    return {
        "rdataframe": _new(folder, "rdataframe", experiment="cms", data="nano.root", compare="exact"),
        "coffea": _new(folder, "coffea", experiment="cms", data="nano.root"),
        "command": _new(folder, "command", license="MIT"),
        # The pool of the tests has no images.
        "mkshapesrdf": _new(folder, "mkshapesrdf", cluster="infn-af,local", compare="statistical", image=""),
    }


def _with_data(made: dict[str, Made]) -> None:
    """What the user adds: the data."""
    for framework in ("rdataframe", "coffea"):
        shutil.copyfile(NANO, made[framework].folder / "nano.root")
    ntuples = made["mkshapesrdf"].folder / "shapes" / "ntuples"
    ntuples.mkdir(exist_ok=True)
    for sample, number in SAMPLES.items():
        for chunk in range(number):
            (ntuples / f"{sample}__part{chunk}.root").touch()


@pytest.fixture(scope="module")
def ran(facility: Facility, made: dict[str, Made]) -> Iterator[dict[str, Future[PipelineResult]]]:
    """The pipelines; what takes long begins early."""
    library = Library(ROOT / "templates", tag=septum.__version__)
    _with_data(made)

    def run(framework: str) -> PipelineResult:
        on_pool = framework == "mkshapesrdf"
        pipeline = facility.pipeline(
            made[framework].folder,
            variables=site_variables(facility) if on_pool else {},
            files={"SEPTUM_CA": facility.ca_file.read_text()} if on_pool else {},
            library=library,
            path=[MKSHAPES.parent, find_hadd(os.environ).program.parent] if on_pool else [],
        )
        return pipeline.run(timeout_s=_DEADLINE_S)

    with ThreadPoolExecutor(2) as threads:
        yield {name: threads.submit(run, name) for name in ("rdataframe", "mkshapesrdf", "coffea", "command")}


def _jobs(done: PipelineResult) -> list[str]:
    return sorted(re.findall(r"^(\S+) +starting shell", done.log, re.MULTILINE))


def _green(done: PipelineResult, jobs: list[str], result: str = "septum-collect") -> Path:
    """The CI jobs are these, all have passed, and the test ran tests; the result folder."""
    assert done.exit_code == 0, done.log[-6000:]
    assert _jobs(done) == jobs
    assert re.search(r"Ran [1-9]\d* tests", done.job_log("unit-test")), done.job_log("unit-test")
    folder = done.artifacts(result) / "result"
    manifest = json.loads((folder / "septum.json").read_text())
    assert manifest["complete"] is True
    return folder


def test_septum_new_writes_what_the_combinations_judge(made: dict[str, Made]) -> None:
    """Copier's files are those that all answers were tried with, byte for byte; what is remembered names no machine."""
    for framework, its in made.items():
        answers = complete(f"my-{framework}", {k: v for k, v in its.said["answers"].items() if k != "name"})
        expected = files(answers)
        assert sorted([*expected, FILE]) == its.said["files"]
        assert {path: (its.folder / path).read_text() for path in expected} == expected
        remembered = (its.folder / FILE).read_text()
        assert f"_commit: {septum.__version__}\n" in remembered
        assert "_src_path: https://gitlab.cern.ch/cms-analysis/general/septum.git\n" in remembered
        assert not any((its.folder / path).is_symlink() for path in its.said["files"])


def test_plan_says_what_would_run(made: dict[str, Made]) -> None:
    """In the new repository, before anything is committed."""
    done = subprocess.run(
        [SEPTUM, "plan"], cwd=made["command"].folder, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "4 parts" in done.stdout


def _muons() -> tuple[list[int], np.ndarray]:
    """The first steps of the cut flow of the data, and the momenta of all muons, without the analysis."""
    with uproot.open(NANO) as file:
        pt = file["Events"]["Muon_pt"].array()
    return [len(pt), int(ak.sum(ak.num(pt) == 2))], ak.to_numpy(ak.flatten(pt))


@pytest.mark.parametrize("framework", ["rdataframe", "coffea"])
def test_real_events_come_out(ran: dict[str, Future[PipelineResult]], framework: str) -> None:
    """The pipeline of a push, on data of CMS: each muon of each event is in its bin, none twice."""
    result = _green(ran[framework].result(timeout=_DEADLINE_S), JOBS)
    cutflow, pt = _muons()

    with uproot.open(result / "dimuon.root") as file:
        assert sorted(file.keys(cycle=False)) == ["cutflow", "mass", "pt"]
        found = file["cutflow"].values().astype(int).tolist()
        assert found[:2] == cutflow == [200, 1]
        assert file["mass"].values(flow=True).sum() == found[-1]
        assert file["pt"].values().tolist() == np.histogram(pt, bins=50, range=(0, 100))[0].tolist()
    assert len(pt) > 40
    assert json.loads((result / "septum.json").read_text())["results"][0]["parts"][1:]


def test_plain_command_finds_the_z_boson(ran: dict[str, Future[PipelineResult]]) -> None:
    """Of generated events."""
    result = _green(ran["command"].result(timeout=_DEADLINE_S), JOBS)

    with uproot.open(result / "dimuon.root") as file:
        mass = file["mass"].values()
        assert 40 + mass.argmax() + 0.5 == pytest.approx(91.2, abs=1.5)
        assert file["cutflow"].values()[0] == 4 * 5_000


def test_mkshapesrdf_on_the_pool(ran: dict[str, Future[PipelineResult]]) -> None:
    """Its own merge of the jobs that it submitted, and the numbers that they had."""
    result = _green(ran["mkshapesrdf"].result(timeout=_DEADLINE_S), FRAMEWORK, "septum-result")

    assert json.loads((result / "septum.json").read_text())["cluster"] == "infn-af"
    with uproot.open(result / "mkShapes__my-mkshapesrdf.root") as file:
        for sample, number in SAMPLES.items():
            expected = [
                sum(content(f"ntuples/{sample}__part{chunk}.root", "emu_0j/mll", cell) for chunk in range(number))
                for cell in range(10)
            ]
            found = file[f"emu_0j/mll/histo_{sample}"].values(flow=True)
            assert found.astype(int).tolist() == expected
