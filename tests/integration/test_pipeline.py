"""The whole way: a repository that only includes the component, on the real pool, and on this machine.

One large run of 411 parts on the pool serves most tests of this file. A small one runs on the pool and on this machine;
as large as the other, which takes some four minutes:
SEPTUM_TEST_LOCAL=387 python -m pytest tests/integration/test_pipeline.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from septum.facility import Facility, Pool
from septum.facility.pipeline import Library, PipelineResult
from tests.workshop import Repository, queue, site_variables

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "uproot-Zmumu.root"
PARTS = 411
GENERATED, REAL = 387, 24
SMALL = int(os.environ.get("SEPTUM_TEST_LOCAL", "24"))
"""As `GENERATED`, of the small run."""
REAL_EVENTS = 2304
_DEADLINE_S = 1200

# The first test waits for a whole pipeline.
pytestmark = pytest.mark.timeout(_DEADLINE_S + 300)

SEPTUM_YAML = f"""\
name: dimuon
command: [python3, dimuon.py, --file, "{{file}}", --first, "{{first}}", --last, "{{last}}"]
parts:
  - entries: {{total: GENERATED, per-part: 1000}}
    set: {{sample: generated, file: ''}}
  - entries: {{file: Zmumu.root, tree: events, parts: {REAL}}}
    set: {{sample: data}}
inputs: [dimuon.py]
outputs: [{{path: hists.root, objects: [mass, pt, cutflow]}}]
merge:
  "{{sample}}.root": hists.root
resources: {{memory: 256 MB, disk: 100 MB, time: 10 min}}
retries: 1
"""
GITLAB_CI = """\
include:
  - component: $CI_SERVER_FQDN/cms-analysis/general/septum/analysis@1.0.0
    inputs: {cluster: CLUSTER}
"""


@pytest.fixture(scope="module")
def data() -> Path:
    """The real events."""
    if not DATA.is_file():
        pytest.skip(f"needs {DATA.name} of ../shared/data")
    return DATA


@dataclass(frozen=True, slots=True)
class Ran:
    """A pipeline that has run."""

    pipeline: PipelineResult

    @property
    def result(self) -> Path:
        """The result folder, as the artifact of the last CI job."""
        return self.pipeline.artifacts("septum-collect") / "result"

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the result."""
        found: dict[str, Any] = json.loads((self.result / "septum.json").read_text())
        return found


def _run(
    facility: Facility, folder: Path, data: Path, cluster: str, variables: dict[str, str], *, generated: int
) -> Ran:
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "dimuon" / "dimuon.py", folder)
    shutil.copyfile(data, folder / "Zmumu.root")
    (folder / "septum.yaml").write_text(SEPTUM_YAML.replace("GENERATED", str(generated * 1000)))
    (folder / ".gitlab-ci.yml").write_text(GITLAB_CI.replace("CLUSTER", cluster))
    pipeline = facility.pipeline(
        folder,
        variables=variables,
        files={"SEPTUM_CA": facility.ca_file.read_text()},
        library=Library(ROOT / "templates"),
    )
    return Ran(pipeline.run(timeout_s=_DEADLINE_S))


@pytest.fixture(scope="module")
def pool(facility: Facility) -> Pool:
    """The pool that all tests share."""
    return facility.pool


def _on_pool(facility: Facility, folder: Path, data: Path, generated: int) -> Ran:
    """The pipeline with the profile of the INFN facility, its addresses replaced by variables."""
    variables = site_variables(facility, poll_ceiling="4 s")
    return _run(facility, folder / "analysis", data, "infn-af", variables, generated=generated)


@pytest.fixture(scope="module")
def on_pool(facility: Facility, pool: Pool, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The large run."""
    return _on_pool(facility, tmp_path_factory.mktemp("pipeline"), data, GENERATED)


def _alone(folder: Path, data: Path, generated: int) -> Path:
    """The histograms of one process over all events of each sample."""
    script = ROOT / "examples" / "dimuon" / "dimuon.py"
    for sample, file, events in (("generated", "", generated * 1000), ("data", str(data), REAL_EVENTS)):
        arguments = ["--file", file, "--first", "0", "--last", str(events - 1), "--output", f"{sample}.root"]
        subprocess.run([sys.executable, script, *arguments], cwd=folder, check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of the large run."""
    return _alone(tmp_path_factory.mktemp("alone"), data, GENERATED)


def _compare(merged: Path, alone: Path) -> None:
    with uproot.open(merged) as one, uproot.open(alone) as other:
        assert one.classnames() == other.classnames()
        for name in ("mass", "pt", "cutflow"):
            assert one[name].member("fEntries") == other[name].member("fEntries") > 0
            np.testing.assert_array_equal(one[name].values(flow=True), other[name].values(flow=True))
            np.testing.assert_array_equal(one[name].variances(flow=True), other[name].variances(flow=True))


def test_pipeline_on_the_pool_is_green(on_pool: Ran) -> None:
    """All three CI jobs succeed, and the manifest says that all parts are in."""
    assert on_pool.pipeline.exit_code == 0, on_pool.pipeline.log[-4000:]
    assert on_pool.manifest["complete"] is True
    assert [len(result["parts"]) for result in on_pool.manifest["results"]] == [GENERATED, REAL]
    assert len(on_pool.manifest["parts"]) == PARTS


@pytest.mark.parametrize("sample", ["generated", "data"])
def test_result_of_the_pool_is_that_of_one_process(on_pool: Ran, alone: Path, sample: str) -> None:
    """Contents, errors and entries of the merged histograms equal those of one process over all events."""
    _compare(on_pool.result / f"{sample}.root", alone / f"{sample}.root")


def test_jobs_belong_to_the_service_account(on_pool: Ran, pool: Pool) -> None:
    """The schedd's history shows one job a part, all of the account that the client is mapped to."""
    tag = on_pool.manifest["run"]

    listed = pool.run("condor_history", "-constraint", f'SeptumRun == "{tag}"', "-af", "Owner", "SeptumPart")
    owners = [line.split() for line in listed.stdout.splitlines()]

    assert {owner for owner, _ in owners} == {"cmscat"}
    assert sorted(part for _, part in owners) == [f"{number:04d}" for number in range(PARTS)]


def test_queue_is_empty_afterwards(on_pool: Ran, pool: Pool) -> None:
    """Nothing of the run is left in the queue."""
    tag = on_pool.manifest["run"]

    assert queue(pool, constraint=f'SeptumRun == "{tag}"') == []


def test_log_is_short(on_pool: Ran) -> None:
    """The CI log of 411 parts has at most 120 lines."""
    lines = on_pool.pipeline.log.splitlines()

    assert len(lines) <= 120, on_pool.pipeline.log
    assert any("411 parts" in line for line in lines)


def test_no_secret_in_log_or_artifacts(on_pool: Ran, facility: Facility) -> None:
    """Neither the client's secret nor a token stands in the log or in a file that a CI job leaves."""
    secret = facility.issuer.secret_file("cmscat-client").read_text().strip().encode()
    files = [
        path for job in ("prepare", "submit", "collect") for path in _files(on_pool.pipeline.artifacts(f"septum-{job}"))
    ]
    texts = [on_pool.pipeline.log.encode(), *(path.read_bytes() for path in files)]

    assert len(files) > PARTS
    assert not [text[:100] for text in texts if secret in text or b"eyJhbGciOi" in text]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_local_gives_the_same(
    facility: Facility, pool: Pool, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same repository with `cluster: local` gives the same plan and the same bytes, those of one process."""
    folders = [tmp_path_factory.mktemp(name) for name in ("pool", "local", "alone")]
    on_pool = _on_pool(facility, folders[0], data, SMALL)
    on_local = _run(facility, folders[1] / "analysis", data, "local", {}, generated=SMALL)
    alone = _alone(folders[2], data, SMALL)

    for ran in (on_pool, on_local):
        assert ran.pipeline.exit_code == 0, ran.pipeline.log[-4000:]
        assert [len(result["parts"]) for result in ran.manifest["results"]] == [SMALL, REAL]
    for sample in ("generated", "data"):
        _compare(on_local.result / f"{sample}.root", alone / f"{sample}.root")
    assert on_local.manifest["plan"] == on_pool.manifest["plan"]
    hashes = [[result["sha256"] for result in ran.manifest["results"]] for ran in (on_local, on_pool)]
    assert hashes[0] == hashes[1]


def test_as_many_parts_on_this_machine(tmp_path: Path) -> None:
    """`cluster: local` runs 411 parts, too, each of them once."""
    document = {
        "command": 'echo "$PART_number" > number.txt; echo >> "$COUNT"',
        "parts": {"product": {"number": {"first": 1, "last": PARTS}}},
        "outputs": ["number.txt"],
        "environment": {"COUNT": str(tmp_path / "count")},
    }
    repository = Repository(folder=tmp_path)
    (tmp_path / "septum.yaml").write_text(json.dumps(document))

    process = repository.septum("run", "--cluster", "local")

    assert process.returncode == 0, process.stdout
    parts = sorted((repository.result / "parts").glob("*/number.txt"))
    assert [path.read_text() for path in parts] == [f"{number}\n" for number in range(1, PARTS + 1)]
    assert (tmp_path / "count").read_text() == "\n" * PARTS
