"""A false green as a value, and how it is staged: once in the proof of concept's way, once with septum."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from septum.facility import Facility
from septum.facility.pool import Pool
from tests.faults.wire import Wire
from tests.framework.make import NO_RESULT, SMALL, Analysis, judge, make_analysis
from tests.framework.poc import GLOB, PROJECT, RESULT, ProofOfConcept, copy_result, path_of_the_image
from tests.workshop import Repository, client_environment, pool_profile

_ERROR = re.compile(r"^septum: (.*\[E\d{3}\])$", re.MULTILINE)
_PORT, _SECONDS = re.compile(r"(?<=localhost:)\d+"), re.compile(r"\b\d+ s\b")
_DEADLINE_S = 180
_GOES_ON = "JobStatus =!= 3 && JobStatus =!= 4"

PLAIN = """\
name: emu
command: cp "$PART_Folder/script.py" script.py && exec bash run.sh "$PART_Folder"
parts:
  list:
{parts}
inputs: [run.sh, runner.py, headers.hh, "*/script.py"]
outputs: ["{output}"]
merge: {{"{{sample}}.root": "{output}"}}
"""
CAPTURED = """\
name: emu
framework: {known: mkshapesrdf}
policies: {missing-objects: union}
"""
OUTPUT = "mkShapes__emu__ALL__{Folder}.root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one of the two ways ended.

    Attributes:
        code: Its exit code.
        result: What the result is worth.
        error: septum's message in its first line, with the error code; empty if there was none.
        left: Jobs that the proof of concept left in the queue, and that had not ended.
        said: Everything it printed.
    """

    code: int
    result: str
    error: str = ""
    left: int = 0
    said: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a row is played."""

    facility: Facility
    pool: Pool
    folder: Path
    row: Row

    @property
    def account(self) -> str:
        """What all jobs of the proof of concept's run have in common."""
        return self.row.name

    def analysis(self, way: str, changes: Mapping[str, tuple[str, str]] | None = None) -> Analysis:
        """The analysis, in a folder of its own.

        Args:
            way: Of that folder.
            changes: More changes than the row's.
        """
        folder = self.folder / way
        folder.mkdir(parents=True)
        faults = {sample: fault.replace("WAY", f"{self.row.name}-{way}") for sample, fault in self.row.faults.items()}
        every = {**self.row.changes, **(changes or {})}
        analysis = make_analysis(folder / "emu", faults=faults, changes=every, without=self.row.without)
        if self.row.leftover:
            copy_result(make_analysis(folder / "yesterday", samples={"DY": 1}), analysis)
        return analysis

    def jobs(self, constraint: str) -> int:
        """How many jobs there are of that kind."""
        listed = self.pool.run("condor_q", "-all", "-constraint", constraint, "-af", "ClusterId", "ProcId")
        return len(listed.stdout.splitlines())

    def wait(self, constraint: str, count: int, timeout_s: float = 60) -> None:
        """Wait until there are so many jobs of that kind."""
        deadline = time.monotonic() + timeout_s
        while self.jobs(constraint) < count:
            assert time.monotonic() < deadline, f"there never were {count} jobs with {constraint}"
            time.sleep(0.7)

    def admin(self, tool: str, constraint: str) -> None:
        """Do something to jobs with one of HTCondor's own tools."""
        self.pool.run(tool, "-constraint", constraint)


During = Callable[[Stage, str], None]
"""What happens while the jobs, which the constraint names, are in the queue."""
Variables = Callable[[Stage], Mapping[str, str]]
"""CI variables that are known when the services run."""


def nothing(stage: Stage) -> Mapping[str, str]:
    """No variables."""
    del stage
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A false green.

    Attributes:
        name: A short one.
        group: The heading that it stands under.
        happens: What happens, a sentence.
        result: What the proof of concept's result is worth, while its exit code is 0.
        code: septum's exit code.
        says: What septum says about it; the first is an error code unless the exit code is 0.
        faults: What goes wrong in the jobs of a sample.
        changes: What is changed in files of the analysis.
        without: Files of the analysis that are not there.
        leftover: Whether the result of an earlier, smaller run is there.
        merge: The line with which the proof of concept merges.
        variables: CI variables of the proof of concept.
        poc_says: What the proof of concept prints.
        during: What happens to the jobs, in both ways.
        ours: How septum is run; `plain` if not set.
        environ: septum's variables.
        profile: Changes of the cluster's profile.
        yaml: More lines of septum.yaml.
        left: Jobs that the proof of concept leaves in the queue.
        note: What is to be said of the proof of concept's result beside what is in it.
        poc: How the proof of concept is run; `proof` if not set.
    """

    name: str
    group: str
    happens: str
    result: str
    code: int
    says: Sequence[str]
    faults: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    without: Sequence[str] = ()
    leftover: bool = False
    merge: str = GLOB
    variables: Variables = nothing
    poc_says: Sequence[str] = ()
    during: During | None = None
    ours: Callable[[Stage], Outcome] | None = None
    environ: Variables = nothing
    profile: Mapping[str, str] = field(default_factory=dict)
    yaml: str = ""
    left: int = 0
    note: str = ""
    poc: Callable[[Stage], Outcome] | None = None

    def __str__(self) -> str:
        return self.name


# ── the proof of concept ────────────────────────────────────────────────────────────────────────────────────────


def proof(
    stage: Stage,
    *,
    analysis: Analysis | None = None,
    before: Sequence[str] = (),
    project: str = PROJECT,
    ways: Sequence[Wire] = (),
) -> Outcome:
    """The proof of concept's way; see `ProofOfConcept`."""
    row = stage.row
    poc = ProofOfConcept(
        analysis=analysis or stage.analysis("poc"),
        name=stage.account,
        facility=stage.facility,
        pool=stage.pool,
        merge=row.merge,
        variables=row.variables(stage),
        before=before,
        project=project,
        ways=ways,
    )
    ours = f'Account == "{stage.account}"'
    job = poc.start()
    try:
        if row.during is not None:
            row.during(stage, ours)
    finally:
        code = poc.end(job)
    left = stage.jobs(f"{ours} && {_GOES_ON}")
    stage.pool.run("condor_rm", "-constraint", ours, check=False)
    return Outcome(code=code, result=poc.result, left=left, said=poc.said)


# ── septum ──────────────────────────────────────────────────────────────────────────────────────────────────────


def plain_repository(stage: Stage) -> tuple[Analysis, Repository]:
    """What the framework wrote, as parts of a septum.yaml."""
    analysis = stage.analysis("septum")
    for words in (("-c", "1"), ("-o", "0", "-b", "1", "-dR", "1")):
        assert analysis.framework(*words).returncode == 0
    parts = "\n".join(
        f"    - {{Folder: {sample}_{chunk}, sample: {sample}}}"
        for sample, chunks in SMALL.items()
        for chunk in range(chunks)
    )
    text = PLAIN.format(parts=parts, output=OUTPUT) + stage.row.yaml
    (analysis.batch / "septum.yaml").write_text(text)
    return analysis, furnish(stage, analysis.batch)


def furnish(stage: Stage, folder: Path, variables: Mapping[str, str] | None = None) -> Repository:
    """The profile of the pool in a repository, and the variables of a project."""
    (folder / "clusters").mkdir()
    profile = {"poll-ceiling": "2 s", **stage.row.profile}
    (folder / "clusters" / "pool.yaml").write_text(pool_profile(stage.pool, stage.facility, **profile))
    environ = {"SEPTUM_CLUSTER": "pool", "SEPTUM_RUN": stage.row.name, **client_environment(stage.facility)}
    return Repository(folder=folder, environ={**environ, **(variables or {}), **stage.row.environ(stage)})


def of_septum(stage: Stage) -> str:
    """The constraint on the jobs of septum's run."""
    return f'regexp("^[^/]*/{stage.row.name}/", SeptumRun)'


def plain(stage: Stage) -> Outcome:
    """Septum runs what the framework wrote, part by part."""
    _, repository = plain_repository(stage)
    return run(stage, repository)


def captured(stage: Stage, *, proxydir: bool = False) -> Outcome:
    """Septum runs the framework, whose calls of condor_submit it records.

    Args:
        stage: Where.
        proxydir: Whether the settings name the proxy by its path on another runner; it is septum that brings it.
    """
    analysis = stage.analysis("septum", None if proxydir else {"jdl_config.py": (", {proxydir}", "")})
    (analysis.folder / "septum.yaml").write_text(CAPTURED + stage.row.yaml)
    repository = furnish(stage, analysis.folder, {"PATH": path_of_the_image()})
    found = run(stage, repository)
    if stage.row.code:
        return found
    return replace(found, result=judge(repository.result / RESULT, analysis))


def run(stage: Stage, repository: Repository) -> Outcome:
    """Run septum, with what happens meanwhile."""
    process = repository.start("run")
    try:
        if stage.row.during is not None:
            stage.row.during(stage, of_septum(stage))
        said, _ = process.communicate(timeout=_DEADLINE_S)
    except BaseException as error:
        process.kill()
        said, _ = process.communicate()
        raise AssertionError(f"{error}\n{said}") from error
    return outcome(stage, repository, process.returncode, said)


def outcome(stage: Stage, repository: Repository, code: int, said: str) -> Outcome:
    """What is left of a run of septum: its message, and what a reader could take for a whole result."""
    stage.pool.run("condor_rm", "-constraint", of_septum(stage), check=False)
    found = _ERROR.search(said)
    first = found[1].replace(str(stage.folder), "…") if found else ""
    error = _SECONDS.sub("… s", _PORT.sub("…", first))
    return Outcome(code=code, result=", ".join(repository.whole_files()) or NO_RESULT, error=error, said=said)


def play(row: Row, stage: Stage) -> tuple[Outcome, Outcome]:
    """Both ways, one after the other."""
    return (row.poc or proof)(stage), (row.ours or plain)(stage)


def unexpected(row: Row, poc: Outcome, ours: Outcome) -> list[str]:
    """What came otherwise than the row says; empty if nothing did."""
    found = []
    if (poc.code, poc.result, poc.left) != (0, row.result, row.left):
        found.append(f"the proof of concept: exit code {poc.code}, {poc.result}, {poc.left} jobs left\n{poc.said}")
    found += [
        f"the proof of concept does not say: {words}\n{poc.said}" for words in row.poc_says if words not in poc.said
    ]
    if (ours.code, ours.result) != (row.code, NO_RESULT if row.code else "whole"):
        found.append(f"septum: exit code {ours.code}, {ours.result}\n{ours.said}")
    found += [f"septum does not say: {words}\n{ours.said}" for words in row.says if words not in ours.said]
    if row.code and f"[{row.says[0]}]" not in ours.error:
        found.append(f"septum: {ours.error}")
    found += [f"septum says no {word}" for word in ("Fix: ",) if row.code and word not in ours.said]
    return found + (["septum: a traceback"] if "Traceback" in ours.said else [])
