"""The analysis that all rows disturb: eight parts, each with another histogram, which wait when a test says so."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import hist
import numpy as np
import uproot

from septum.plan import Plan, from_json
from tests.workshop import Repository

PARTS = 8
IDS = tuple(f"{number:04d}" for number in range(PARTS))
CONTROL = "faults"
"""The folder below the pool's /tmp with a folder for each run, where `wait-0003` makes part 0003 wait."""
_BINS = 800

# No Python, so that a part takes milliseconds. HTCondor's own file says which run it is: the plan is the same in all.
_PART_SH = f"""\
run=$(sed -n 's,^SeptumRun = "laptop/\\([^/]*\\)/.*,\\1,p' "$_CONDOR_JOB_AD")
here=/tmp/{CONTROL}/$run
while [ -e "$here/wait-000$PART_number" ] || [ -e "$here/wait-all" ]; do sleep 0.3; done
cp "part-$PART_number.root" out.root
"""


def make_analysis(folder: Path, environ: Mapping[str, str]) -> Repository:
    """Write the repository and its plan: what every row starts from a copy of."""
    folder.mkdir()
    for number in range(PARTS):
        generator = np.random.default_rng(number)
        histogram = hist.Hist(hist.axis.Regular(_BINS, 0, 1), storage=hist.storage.Weight())
        # Weights of all sizes: another order of the sum, a part too many or too few would be other bytes.
        histogram.fill(generator.random(5000), weight=generator.lognormal(0, 3, 5000))
        with uproot.recreate(folder / f"part-{number}.root") as file:
            file["mass"] = histogram
    (folder / "part.sh").write_text(_PART_SH)
    rows = "".join(f"    - {{number: {number}}}\n" for number in range(PARTS))
    inputs = ", ".join(["part.sh", *(f"part-{number}.root" for number in range(PARTS))])
    (folder / "septum.yaml").write_text(
        f"name: disturbed\ncommand: [sh, part.sh]\nparts:\n  list:\n{rows}inputs: [{inputs}]\n"
        "outputs: [{path: out.root, objects: [mass]}]\nmerge: {all.root: out.root}\n"
    )
    repository = Repository(folder=folder, environ=environ)
    prepared = repository.septum("prepare", SEPTUM_CLUSTER="local")  # a plan knows no cluster
    assert prepared.returncode == 0, prepared.stdout
    return repository


def copy_of(analysis: Repository, folder: Path, **environ: str) -> Repository:
    """The same analysis with the same plan elsewhere."""
    shutil.copytree(analysis.folder, folder)
    return Repository(folder=folder, environ={**analysis.environ, **environ})


def plan_of(repository: Repository) -> Plan:
    """The plan that was made."""
    path = repository.folder / ".septum" / "plan.json"
    return from_json(path.read_text(encoding="utf-8"), name=str(path))
