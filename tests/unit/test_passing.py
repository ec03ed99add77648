"""A hop after the end of the run: it passes at once, and ends as the one that made the results did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workshop import Repository, kinds_repository

SHOWN_IN = ".septum-reports/septum-"
SHOWN = ["annotations.json", "junit.xml", "metrics.txt"]


@dataclass(frozen=True, slots=True)
class Collected:
    """A run that an earlier hop has collected."""

    repository: Repository
    said_by_submit: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """Three CI jobs of a pipeline, one after the other."""
    environ = {"CI_JOB_TIMEOUT": "3600", "SEPTUM_WAIT": "hops", "SEPTUM_REPORTS": SHOWN_IN}
    made = kinds_repository(tmp_path_factory.mktemp("collected") / "whole", ["good", "good"], environ=environ)
    said = [made.septum(*verb.split()) for verb in ("prepare", "submit", "collect --hop 3/3")]
    assert [done.returncode for done in said] == [0, 0, 0], said[-1].stdout
    return Collected(made, said[1].stdout)


@pytest.fixture
def collected(ran: Collected) -> Iterator[Repository]:
    """The same, as it was before each test."""
    before = _bytes(ran.repository.folder)
    yield ran.repository
    for name, content in before.items():
        (ran.repository.folder / name).write_bytes(content)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("hop", ["2/3", "3/3"])
def test_a_passing_hop_leaves_everything_as_it_is(collected: Repository, hop: str) -> None:
    """The results are handed on to the last byte, and GitLab is shown no second report."""
    before = _bytes(collected.folder)

    done = collected.septum("collect", SEPTUM_HOP=hop, SEPTUM_REPORTS="another-folder")

    assert done.returncode == 0, done.stdout
    assert f"hop {hop}: an earlier one has collected the run" in done.stdout
    assert _bytes(collected.folder) == before


@pytest.mark.parametrize("damage", ["no manifest", "no result", "another result", "a broken manifest"])
def test_a_hop_does_not_pass_without_the_result(collected: Repository, damage: str) -> None:
    """An artifact that was lost on the way makes no green pipeline."""
    manifest, result = collected.result / "septum.json", collected.result / "all.root"
    damaged = manifest if "manifest" in damage else result
    damaged.unlink()
    if not damage.startswith("no "):
        damaged.write_bytes(b"{}")

    done = collected.septum("collect", "--hop", "3/3")

    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert "Fix:" in done.stdout


def test_a_partial_result_stays_partial(tmp_path: Path) -> None:
    """Where a repository lets the pipeline go on after 39, each CI job after that says 39 as well."""
    made = kinds_repository(tmp_path / "partial", ["good", "exit3"], extra="tolerance: 1\n", environ={})
    assert made.septum("run").returncode == 39

    done = made.septum("collect", "--hop", "3/3")

    assert done.returncode == 39, done.stdout
    assert "1 of 2 parts are missing" in done.stdout


def test_what_gitlab_shows_is_copied_by_the_one_that_ends_the_run(collected: Repository) -> None:
    """To where the component says."""
    shown = collected.folder / SHOWN_IN

    assert sorted(path.name for path in shown.iterdir()) == SHOWN
    assert all((shown / name).read_bytes() == (collected.result / name).read_bytes() for name in SHOWN)


def test_a_manifest_of_an_unknown_failure_is_an_error(collected: Repository) -> None:
    """Of a newer septum, or of somebody who wrote into the artifact."""
    manifest = collected.result / "septum.json"
    data = json.loads(manifest.read_text())
    data["error"] = {"code": "E999", "exit_code": 0, "what": "x", "evidence": "", "fix": ""}
    manifest.write_text(json.dumps(data))

    done = collected.septum("collect", "--hop", "3/3")

    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert "E999" in done.stdout


def test_reports_that_cannot_be_shown_cost_no_result(tmp_path: Path) -> None:
    """The place is taken by something else."""
    made = kinds_repository(tmp_path / "shown", ["good"], environ={})
    (made.folder / "taken").write_text("")
    for verb in ("prepare", "submit"):
        assert made.septum(verb).returncode == 0

    done = made.septum("collect", "--hop", "3/3", SEPTUM_REPORTS="taken/reports")

    assert done.returncode == 0, done.stdout
    assert "warning: GitLab will not show the reports" in done.stdout
    assert made.whole_files() == ["all.root"]


def test_a_failure_is_shown_as_well(tmp_path: Path) -> None:
    """The test report of a hop that found a failed part is the only one that there will be."""
    made = kinds_repository(tmp_path / "failed", ["exit3"], environ={})
    for verb in ("prepare", "submit"):
        assert made.septum(verb).returncode == 0

    done = made.septum("collect", "--hop", "3/3", SEPTUM_REPORTS="shown")

    assert done.returncode == 30, done.stdout
    assert "no such dataset" in (made.folder / "shown" / "junit.xml").read_text()


def test_submit_says_the_latest_end_before_it_submits(ran: Collected) -> None:
    """In a CI job; whatever the inputs say, the parts of `local` are waited for in one."""
    said = ran.said_by_submit

    assert said.index("latest end ") < said.index("submit to local")
    assert "hops, after" not in said


def test_cancel_needs_a_receipt_outside_of_a_pipeline(tmp_path: Path) -> None:
    """Nothing else tells the tag there; a local run has no jobs to remove at all."""
    made = kinds_repository(tmp_path / "nothing", ["good"], environ={})
    assert made.septum("prepare").returncode == 0

    assert "0 jobs removed" in made.septum("cancel").stdout
    done = made.septum("cancel", "--cluster", "infn-af", SEPTUM_CLUSTER_SCHEDD="x", SEPTUM_CLUSTER_COLLECTOR="x:1")
    assert done.returncode != 0
    assert "receipt" in done.stdout
    assert "septum submit" in done.stdout
