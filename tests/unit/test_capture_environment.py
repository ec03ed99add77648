"""What a captured job finds on the worker: its variables, which reach the command alone, and its empty folders."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from septum.capture.planning import make_captured_plan
from septum.capture.recording import Submission
from septum.capture.translate import translate
from septum.clusters.profile import Profile
from septum.plan import Plan
from septum.worker.sandbox import (
    WRAPPER,
    Status,
    output_name,
    own_name,
    parse_status,
    status_name,
    values_name,
    values_text,
    wrapper_text,
    write_archive,
)
from tests.fakes.analyses import analysis_of

pytest.importorskip("htcondor2", reason="HTCondor's bindings exist for Linux only")

SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]
HOSTILE = {
    "BASH_ENV": "./run.sh",
    "ENV": "./run.sh",
    "IFS": "abcdefgh",
    "LD_PRELOAD": "./no.so",
    "PART_index": "7",
    "POSIXLY_CORRECT": "1",
    "PWD": "/nowhere",
    "SEPTUM_BEGAN": "/nowhere/began",
    "SEPTUM_OUTPUTS": "0",
    "SEPTUM_OUTPUT_0": "other",
    "SEPTUM_SCRIPT": "true",
    "UID": "77",
}


def _run(folder: Path, shell: str, text: str, program: str, *, name: str = "run.sh", jobs: int = 1) -> Plan:
    """Record a description as far as the parser needs it, make its plan, and run the last part by the wrapper."""
    (folder / "copies").mkdir(exist_ok=True)
    (folder / "copies" / name).write_text(program)
    submission = Submission(
        number=1,
        text=text,
        words=("f.sub",),
        folder=PurePosixPath("/builds/group/project"),
        environment={},
        answers=((jobs, 1),),
        items=None,
        files={file.name: file for file in (folder / "copies").iterdir()},
        left_out={},
    )
    profile = Profile(name="c", method="htcondor", collector="cm.example.org:9618", schedd="s")
    analysis = analysis_of("framework: {script: [./submit]}\nname: emu\noutputs: [h.txt]\n")
    captured = make_captured_plan(analysis, translate([submission], profile=profile), root=folder, folders={1: ""})
    plan, part = captured.plan, captured.plan.parts[-1]
    box = folder / "box"
    box.mkdir()
    (box / WRAPPER).write_text(wrapper_text())
    (box / values_name(part.id)).write_text(values_text(plan, part, image=""))
    write_archive(box / "septum-inputs.tar.gz", captured.place, plan.inputs, compress=True)
    write_archive(box / own_name(part.id), captured.place, part.inputs, compress=False)
    words = [shell, *(["sh"] if shell == "busybox" else []), WRAPPER, part.id]
    subprocess.run(
        words, cwd=box, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=30, check=False
    )
    return plan


def _status(folder: Path, plan: Plan) -> Status:
    status = parse_status((folder / "box" / status_name(plan.parts[-1].id)).read_text(), plan.parts[-1].id)
    assert status is not None
    return status


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_variable_reaches_the_command_and_nothing_else(shell: str, name: str, tmp_path: Path) -> None:
    """The wrapper and the set-up lines go on as if it were not there, and the command finds it as it was written."""
    text = f'executable = run.sh\nenvironment = "{name}={HOSTILE[name]} PLAIN=1"\nqueue\n'

    plan = _run(tmp_path, shell, text, "#!/bin/sh\ntr '\\0' '\\n' </proc/self/environ >h.txt\n")

    status = _status(tmp_path, plan)
    assert (status.stage, status.exit_code) == ("done", 0)
    assert status.outputs[0] is not None
    seen = (tmp_path / "box" / output_name(plan.parts[0].id, 0)).read_text().splitlines()
    assert "PLAIN=1" in seen
    if name not in {"IFS", "PWD"}:  # which the shell of run.sh sets anew
        assert f"{name}={HOSTILE[name]}" in seen
    assert f"_CONDOR_SCRATCH_DIR={tmp_path}/box/work" in seen
    assert dict(plan.environment) == {"PLAIN": "1"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_that_fails_is_not_made_good(shell: str, tmp_path: Path) -> None:
    """Not by all such variables together."""
    pairs = " ".join(f"{name}={value}" for name, value in HOSTILE.items())

    plan = _run(
        tmp_path, shell, f'executable = run.sh\nenvironment = "{pairs}"\nqueue\n', "#!/bin/sh\n: >other\nexit 3\n"
    )

    status = _status(tmp_path, plan)
    assert (status.stage, status.exit_code, status.outputs) == ("done", 3, (None,))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_program_with_an_equals_sign_in_its_name(shell: str, tmp_path: Path) -> None:
    """Behind `env` it would be a variable, and the first argument the program."""
    text = 'executable = m=125.sh\narguments = $(Process)\nenvironment = "N=$(Process)"\nqueue 2\n'

    plan = _run(tmp_path, shell, text, '#!/bin/sh\necho "$N $1" >h.txt\n', name="m=125.sh", jobs=2)

    assert _status(tmp_path, plan).exit_code == 0
    assert (tmp_path / "box" / output_name(plan.parts[-1].id, 0)).read_text() == "1 1\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_empty_folders_travel(shell: str, tmp_path: Path) -> None:
    """As they are, each job its own; an archive of files alone would leave them out."""
    for folder in (
        "copies/common/logs",
        "copies/own_0/a b/c",
        "copies/own_1/a b/d",
        "copies/own_1/-p",
        "copies/-empty",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "copies/common/full").mkdir()
    (tmp_path / "copies/common/full/file").write_text("")
    text = (
        "executable = run.sh\narguments = $(Process)\ntransfer_input_files = common, own_$(Process)/, -empty\nqueue 2\n"
    )

    plan = _run(tmp_path, shell, text, "#!/bin/sh\nfind . -type d | LC_ALL=C sort >h.txt\n", jobs=2)

    seen = (tmp_path / "box" / output_name(plan.parts[-1].id, 0)).read_text().splitlines()
    assert seen == [".", "./-empty", "./-p", "./a b", "./a b/d", "./common", "./common/full", "./common/logs"]


def test_jobs_without_empty_folders_have_no_line_for_them(tmp_path: Path) -> None:
    """And no other fingerprint than before."""
    plan = _run(tmp_path, "sh", "executable = run.sh\nqueue\n", "#!/bin/sh\n: >h.txt\n")

    assert len(plan.setup) == 1
    assert [name for name, _ in plan.parts[0].values] == ["condor_words"]
