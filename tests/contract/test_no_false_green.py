"""Whatever goes wrong in a job: its own exit code, the part and the fix by name, and nothing that looks whole."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from septum.manifest import NAME, Manifest, from_json
from tests.contract.conftest import Site
from tests.workshop import Repository


@dataclass(frozen=True, slots=True)
class Scenario:
    """Parts by kind, and what septum must say about them."""

    kinds: tuple[str, ...]
    exit_code: int
    part: str
    says: tuple[str, ...]
    extra: str = ""


GOOD = "good"
SCENARIOS = {
    "exit3": Scenario((GOOD, GOOD, "exit3"), 30, "part 0002", ("exit code 3", "no such dataset", "E301")),
    "retried": Scenario(("exit3", GOOD), 30, "part 0000", ("exit code 3", "2 attempts"), "retries: 1\n"),
    "killed": Scenario(("killed", GOOD), 31, "part 0000", ("SIGKILL", "E302", "memory")),
    "missing": Scenario((GOOD, "missing"), 34, "part 0001", ("out.root", "E305", "nothing to do")),
    "truncated": Scenario((GOOD, "truncated"), 35, "part 0001", ("out.root", "E306")),
    "empty": Scenario((GOOD, "empty"), 35, "part 0001", ("out.root", "E306")),
    "page": Scenario((GOOD, "page"), 35, "part 0001", ("ROOT file", "E306")),
    "renamed": Scenario((GOOD, "renamed"), 34, "part 0001", ("'mass'", "mass_old", "E305")),
    "axis": Scenario((GOOD, GOOD, "axis"), 41, "part 0002", ("10 bins", "20 bins", "E401")),
    "nan": Scenario((GOOD, "nan"), 48, "part 0001", ("'mass' holds nan", "E408", "policies: {non-finite: keep}")),
    "nan within the tolerance": Scenario((GOOD, GOOD, "nan"), 48, "part 0002", ("nan", "E408"), "tolerance: 1\n"),
    "time": Scenario((GOOD, "slow"), 36, "part 0001", ("resources: time", "E307"), "resources: {time: 3 s}\n"),
    "many": Scenario(("exit3", "missing", "exit3", GOOD), 30, "part 0000", ("3 of 4 parts", "1 × ", "E305")),
}


@dataclass(frozen=True, slots=True)
class Ended:
    """A scenario that was run."""

    repository: Repository
    process: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def ended(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """All scenarios on one site, run side by side: most of their time is waiting."""
    folder = tmp_path_factory.mktemp(f"false-green-{site.cluster}")

    def run(item: tuple[str, Scenario]) -> tuple[str, Ended]:
        name, scenario = item
        repository = site.kinds(folder / name, scenario.kinds, extra=scenario.extra)
        return name, Ended(repository, repository.septum("run"))

    with ThreadPoolExecutor(4) as threads:
        return dict(threads.map(run, SCENARIOS.items()))


def _manifest(repository: Repository) -> Manifest:
    return from_json((repository.result / NAME).read_text(encoding="utf-8"), name=NAME)


@pytest.mark.parametrize("name", SCENARIOS)
def test_ends_with_its_own_exit_code(ended: dict[str, Ended], name: str) -> None:
    """The exit code is that of the cause, and never 0."""
    process = ended[name].process

    assert process.returncode == SCENARIOS[name].exit_code, process.stdout


@pytest.mark.parametrize("name", SCENARIOS)
def test_names_the_part_and_the_fix(ended: dict[str, Ended], name: str) -> None:
    """The message names the part, shows the evidence and a fix."""
    said = ended[name].process.stdout

    assert SCENARIOS[name].part in said
    assert "Fix: " in said
    assert [text for text in SCENARIOS[name].says if text not in said] == [], said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", SCENARIOS)
def test_leaves_nothing_that_looks_whole(ended: dict[str, Ended], name: str) -> None:
    """The result folder holds no merged file, and its manifest says that the run is not complete."""
    repository = ended[name].repository
    manifest = _manifest(repository)

    assert repository.whole_files() == []
    assert manifest.complete is False
    assert manifest.results == ()
    assert manifest.error is not None
    assert manifest.error.exit_code == SCENARIOS[name].exit_code
    assert len(manifest.parts) == len(SCENARIOS[name].kinds)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_manifest_tells_what_was_said(ended: dict[str, Ended], name: str) -> None:
    """The error with its evidence and its fix, and of the part that it names the same cause."""
    scenario, manifest = SCENARIOS[name], _manifest(ended[name].repository)
    failed = {part.id: part for part in manifest.parts if part.state == "failed"}
    # An axis shows only when parts are put together: no part has failed by itself.
    named = set() if name == "axis" else {scenario.part.removeprefix("part ")}

    assert manifest.error is not None
    assert manifest.error.what in ended[name].process.stdout
    assert manifest.error.fix
    assert named <= set(failed)
    assert bool(named) == bool(failed)
    for part in named:
        assert failed[part].cause == manifest.error.code
        assert (failed[part].message, failed[part].fix) == (manifest.error.what, manifest.error.fix)
        assert failed[part].submitted_s is not None


def test_a_whole_run_says_what_each_part_took(site: Site, tmp_path: Path) -> None:
    """When it was submitted and ran, and its CPU time, on every site; each output with its checksums."""
    repository = site.kinds(tmp_path, [GOOD, GOOD])
    process = repository.septum("run")
    manifest = _manifest(repository)

    assert process.returncode == 0, process.stdout
    assert manifest.complete is True
    assert manifest.results[0].engine.startswith("strict (septum ")
    assert manifest.began_s is not None
    assert manifest.ended_s is not None
    for part in manifest.parts:
        assert (part.state, part.exit_code, part.attempts >= 1) == ("merged", 0, True)
        assert part.submitted_s is not None
        assert manifest.began_s <= part.submitted_s <= manifest.ended_s
        assert part.started_s is not None
        assert part.ended_s is not None
        assert part.cpu_s is not None
        assert 0 <= part.cpu_s < 60
        assert [(output.path, len(output.sha256), len(output.content)) for output in part.outputs] == [
            ("out.root", 64, 64)
        ]


def test_one_file_too_many(site: Site, tmp_path: Path) -> None:
    """A file among the outputs that no part wrote stops the merge, whoever put it there."""
    repository = site.kinds(tmp_path, [GOOD, GOOD])
    for verb in ("prepare", "submit"):
        assert repository.septum(verb).returncode == 0
    stray = repository.folder / ".septum" / "outputs" / "septum-0002.out0"
    stray.parent.mkdir()
    stray.write_bytes((repository.folder / "good.root").read_bytes())

    process = repository.septum("collect")

    assert process.returncode == 42, process.stdout
    assert "septum-0002.out0" in process.stdout
    assert "Fix: " in process.stdout
    assert repository.whole_files() == []


def test_a_failure_takes_an_older_result_away(site: Site, tmp_path: Path) -> None:
    """A result of an earlier run under the same name does not survive a failed one."""
    repository = site.kinds(tmp_path, [GOOD, "exit3"])
    repository.result.mkdir()
    (repository.result / "all.root").write_bytes(b"from yesterday")

    process = repository.septum("run")

    assert process.returncode == 30, process.stdout
    assert repository.whole_files() == []


def test_tolerated_parts_make_a_labelled_result(site: Site, tmp_path: Path) -> None:
    """Within the tolerance there is a result, labelled in name, manifest, summary and exit code."""
    repository = site.kinds(tmp_path, [GOOD, "exit3", GOOD], extra="tolerance: 1\n")

    process = repository.septum("run")
    manifest = _manifest(repository)

    assert process.returncode == 39, process.stdout
    assert [path.name for path in repository.result.glob("*.root")] == ["all.partial.root"]
    assert manifest.complete is False
    assert manifest.results[0].missing == ("0001",)
    assert manifest.results[0].file == "all.partial.root"
    assert [part.state for part in manifest.parts] == ["merged", "failed", "merged"]
    assert "Partial" in (repository.result / "summary.md").read_text()


def test_some_parts_are_not_the_whole(site: Site, tmp_path: Path) -> None:
    """A run of some parts succeeds, and what it leaves is labelled partial."""
    repository = site.kinds(tmp_path, [GOOD, GOOD, "exit3"])

    process = repository.septum("run", "--parts", "2")
    manifest = _manifest(repository)

    assert process.returncode == 0, process.stdout
    assert [path.name for path in repository.result.glob("*.root")] == ["all.partial.root"]
    assert manifest.complete is False
    assert manifest.whole_count == 3
    assert "2 of 3 parts" in (repository.result / "summary.md").read_text()


def test_logs_of_failed_parts_are_in_the_result(ended: dict[str, Ended]) -> None:
    """What a failed part wrote lies beside the summary, where the artifact shows it."""
    logs = ended["exit3"].repository.result / "logs"

    assert [path.name for path in logs.iterdir()] == ["septum-0002.stderr"]
    assert "no such dataset" in (logs / "septum-0002.stderr").read_text()
