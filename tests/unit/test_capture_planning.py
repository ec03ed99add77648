"""Captured jobs become a plan: one part a job, what all share sent once, outputs named, doubles refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from septum.assembly import choose
from septum.capture.planning import CapturedPlan, make_captured_plan
from septum.capture.translate import Captured, CapturedPart
from septum.errors import CaptureError, PlanError
from septum.plan import Request, argv
from septum.worker.sandbox import script_text
from tests.fakes.analyses import analysis_of

FRAMEWORK = "framework: {script: [./submit]}\n"
OUTPUTS = FRAMEWORK + 'name: emu\noutputs: ["h_{Folder}.root"]\n'
NOTHING = Request(cpus=None, memory_b=None, memory_retries_b=(), disk_b=None, time_s=None)


def _part(
    number: int,
    *,
    inputs: Sequence[tuple[str, Path]] = (),
    outputs: Sequence[tuple[str, str]] | None = None,
    variables: Mapping[str, str] | None = None,
    words: Sequence[str] = (),
) -> CapturedPart:
    return CapturedPart(
        cluster_id=1,
        proc_id=number,
        variables=tuple((variables if variables is not None else {"Folder": f"DY_{number}"}).items()),
        words=tuple(words) or ("./run.sh", f"DY_{number}"),
        executable="run.sh" if inputs else None,
        inputs=tuple(inputs),
        outputs=None if outputs is None else tuple(outputs),
    )


def _captured(
    *parts: CapturedPart,
    request: Request = NOTHING,
    environment: tuple[tuple[str, str], ...] = (),
    proxies: tuple[str, ...] = (),
    image: str | None = None,
    retries: int = 0,
) -> Captured:
    return Captured(
        name="",
        image=image,
        request=request,
        retries=retries,
        environment=environment,
        proxies=proxies,
        parts=parts,
        repairs=(),
    )


def _plan(text: str, captured: Captured, root: Path, listed: Sequence[str] | None = None) -> CapturedPlan:
    return make_captured_plan(analysis_of(text), captured, root=root, folders={1: "condor/emu"}, listed=listed)


def _files(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"of {name}\n")
    return [root / name for name in names]


def test_one_part_a_job(tmp_path: Path) -> None:
    """With the words of its command, the variables of the queue statement, and its output."""
    plan = _plan(OUTPUTS, _captured(_part(0), _part(1)), tmp_path).plan

    assert [argv(plan, part) for part in plan.parts] == [("./run.sh", "DY_0"), ("./run.sh", "DY_1")]
    assert [plan.output_path(part, 0) for part in plan.parts] == ["h_DY_0.root", "h_DY_1.root"]
    assert [part.describe() for part in plan.parts] == ["part 0000 (Folder=DY_0)", "part 0001 (Folder=DY_1)"]
    assert [(merge.result, merge.parts) for merge in plan.merges] == [("emu.root", ("0000", "0001"))]


def test_the_same_recording_gives_the_same_plan(tmp_path: Path) -> None:
    """Wherever its files stand."""
    plans = []
    for folder in ("one", "two"):
        run, script = _files(tmp_path / folder, "run.sh", "script.py")
        parts = [_part(number, inputs=[("run.sh", run), ("script.py", script)]) for number in range(2)]
        plans.append(_plan(OUTPUTS, _captured(*parts), tmp_path).plan)

    assert plans[0].hash == plans[1].hash
    assert plans[0].work == plans[1].work


def test_what_all_jobs_take_along_is_sent_once(tmp_path: Path) -> None:
    """By its content: two files of one name that differ are each job's own."""
    run, one, two = _files(tmp_path / "store", "run.sh", "1/script.py", "2/script.py")
    captured = _captured(
        _part(0, inputs=[("run.sh", run), ("script.py", one)]), _part(1, inputs=[("run.sh", run), ("script.py", two)])
    )
    made = _plan(OUTPUTS, captured, tmp_path)

    assert [(file.path, file.executable) for file in made.plan.inputs] == [("run.sh", True)]
    assert [[file.path for file in part.inputs] for part in made.plan.parts] == [["script.py"], ["script.py"]]
    assert [made.place(part.inputs[0]) for part in made.plan.parts] == [one, two]


def test_a_folder_lands_as_it_is(tmp_path: Path) -> None:
    """With what is below it."""
    _files(tmp_path / "store", "lib/a.py", "lib/deep/b.py")
    made = _plan(OUTPUTS, _captured(_part(0, inputs=[("lib", tmp_path / "store" / "lib")])), tmp_path)

    assert [file.path for file in made.plan.inputs] == ["lib/a.py", "lib/deep/b.py"]


def test_files_of_the_repository_can_be_added(tmp_path: Path) -> None:
    """What the framework finds by a path that its jobs do not have."""
    _files(tmp_path, "weights.txt")
    plan = _plan(OUTPUTS + "inputs: [weights.txt]\n", _captured(_part(0), _part(1)), tmp_path).plan

    assert [file.path for file in plan.inputs] == ["weights.txt"]


def test_a_file_of_the_repository_does_not_replace_one_of_the_framework(tmp_path: Path) -> None:
    """Which of the two the job would find, nobody could say."""
    _files(tmp_path, "script.py")
    (copy,) = _files(tmp_path / "store", "script.py")
    with pytest.raises(PlanError, match="as well"):
        _plan(OUTPUTS + "inputs: [script.py]\n", _captured(_part(0, inputs=[("script.py", copy)])), tmp_path)


# ── what the framework asks for ─────────────────────────────────────────────────────────────────────────────────


def test_septum_yaml_comes_before_the_description(tmp_path: Path) -> None:
    """And what it leaves open is the framework's."""
    request = Request(cpus=2, memory_b=1 << 30, memory_retries_b=(), disk_b=None, time_s=1200)
    captured = _captured(_part(0), request=request, retries=2, image="of-the-description", environment=(("A", "1"),))
    plan = _plan(OUTPUTS, captured, tmp_path).plan
    other = _plan(
        OUTPUTS + "resources: {memory: 4 GB}\nretries: 1\nimage: mine\nenvironment: {A: '2', B: '3'}\n",
        captured,
        tmp_path,
    ).plan

    assert (plan.request.cpus, plan.request.memory_b, plan.request.time_s) == (2, 1 << 30, 1200)
    assert (plan.retries, plan.image, plan.environment) == (2, "of-the-description", (("A", "1"),))
    assert (other.request.cpus, other.request.memory_b, other.retries) == (2, 4 << 30, 2)
    assert (other.image, other.environment) == ("mine", (("A", "2"), ("B", "3")))


def test_the_proxy_stands_where_the_framework_looks_for_it(tmp_path: Path) -> None:
    """A link to the supervised one; without any, nothing."""
    plan = _plan(OUTPUTS, _captured(_part(0, words=("ls", "-l")), proxies=("my proxy",)), tmp_path).plan
    script = script_text(plan, plan.parts[0])
    environ = {"PATH": os.environ["PATH"], "SEPTUM_BEGAN": str(tmp_path / "began")}
    for name, more in (("with", {"X509_USER_PROXY": str(tmp_path / "x509")}), ("without", {})):
        (tmp_path / name).mkdir()
        subprocess.run(["sh", "-c", script], cwd=tmp_path / name, env={**environ, **more}, check=True)

    assert (tmp_path / "with" / "my proxy").readlink() == tmp_path / "x509"
    assert list((tmp_path / "without").iterdir()) == []


def test_the_working_folder_is_htcondors_for_the_command(tmp_path: Path) -> None:
    """`_CONDOR_SCRATCH_DIR` is where its files are."""
    words = ("sh", "-c", 'test "$_CONDOR_SCRATCH_DIR" = "$PWD"')
    plan = _plan(OUTPUTS, _captured(_part(0, words=words)), tmp_path).plan
    environ = {"PATH": os.environ["PATH"], "SEPTUM_BEGAN": str(tmp_path / "began")}

    subprocess.run(["sh", "-c", script_text(plan, plan.parts[0])], cwd=tmp_path, env=environ, check=True)


# ── outputs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_outputs_of_the_description(tmp_path: Path) -> None:
    """One output a name; what all end with decides how they are merged."""
    parts = [
        _part(number, outputs=[(f"out_{number}.root", f"out_{number}.root"), (f"log.{number}", "x")])
        for number in range(2)
    ]
    plan = _plan(FRAMEWORK + "name: emu\n", _captured(*parts), tmp_path).plan

    assert [[plan.output_path(part, n) for n in range(2)] for part in plan.parts] == [
        ["out_0.root", "log.0"],
        ["out_1.root", "log.1"],
    ]
    assert [(merge.result, merge.output) for merge in plan.merges] == [("emu.root", 0)]


def test_outputs_of_its_own_list(tmp_path: Path) -> None:
    """A line a job, in their order."""
    text = "framework: {script: [./submit], outputs-list: jobs.txt}\n"
    plan = _plan(text, _captured(_part(0), _part(1)), tmp_path, ["a/x.root", "a/y.root"]).plan

    assert [plan.output_path(part, 0) for part in plan.parts] == ["a/x.root", "a/y.root"]
    with pytest.raises(CaptureError, match="has 1 lines, and it submitted 2 jobs"):
        _plan(text, _captured(_part(0), _part(1)), tmp_path, ["a/x.root"])


@pytest.mark.parametrize(
    "outputs",
    [[None, None], [[], []], [[("a.root", "a.root")], [("a.root", "a.root"), ("b.root", "b.root")]]],
)
def test_outputs_that_nobody_knows(outputs: list[list[tuple[str, str]] | None], tmp_path: Path) -> None:
    """HTCondor would bring whatever is new; septum wants to know what is missing."""
    parts = [_part(number, outputs=each) for number, each in enumerate(outputs)]
    with pytest.raises(CaptureError, match="is not known") as refused:
        _plan(FRAMEWORK, _captured(*parts), tmp_path)
    assert "outputs:" in refused.value.fix


@pytest.mark.parametrize("name", ["../x.root", "/abs/x.root", "a//x.root", "a\nb.root"])
def test_an_output_outside_of_the_working_folder_is_refused(name: str, tmp_path: Path) -> None:
    """A recording is the artifact of a CI job that runs user code."""
    with pytest.raises(PlanError, match="no path of a file"):
        _plan(FRAMEWORK, _captured(_part(0, outputs=[(name, name)])), tmp_path)


def test_a_merge_finds_outputs_where_htcondor_would_have_brought_them(tmp_path: Path) -> None:
    """In the folder of the call, or where `transfer_output_remaps` says."""
    rule = "merge: {emu.root: {with: ./merge}}\n"
    one = _plan(OUTPUTS + rule, _captured(_part(0), _part(1)), tmp_path).plan
    remapped = [_part(n, outputs=[("h.root", f"../out/h_{n}.root")]) for n in range(2)]
    other = _plan(FRAMEWORK + rule.replace("{with", "{at: 'x/{part}.root', with"), _captured(*remapped), tmp_path).plan
    places = _plan(FRAMEWORK + rule, _captured(*[_part(n, outputs=[("h.root", f"h_{n}.root")]) for n in range(2)]),
                   tmp_path).plan  # fmt: skip

    assert [dict(part.values)["condor_place_0"] for part in one.parts] == [
        "condor/emu/h_DY_0.root",
        "condor/emu/h_DY_1.root",
    ]
    assert one.merges[0].at == "{condor_place_0}"
    assert other.merges[0].at == "x/{part}.root"
    assert [dict(part.values)["condor_place_0"] for part in places.parts] == [
        "condor/emu/h_0.root",
        "condor/emu/h_1.root",
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("h_{Process}.root", ["h_0.root", "h_1.root"]),
        ("h_{ClusterId}_{ProcId}.root", ["h_1_0.root", "h_1_1.root"]),
        ("h_{index}.root", ["h_0.root", "h_1.root"]),
        ("h_{part}_of_{parts}.root", ["h_0000_of_2.root", "h_0001_of_2.root"]),
    ],
)
def test_outputs_are_named_by_the_number_of_the_job(pattern: str, names: list[str], tmp_path: Path) -> None:
    """As the description says it, `out_$(Process).root`, or by the numbers that every part has; laid so for a merge."""
    text = f'{FRAMEWORK}outputs: ["{pattern}"]\nmerge: {{emu.root: {{with: ./merge}}}}\n'
    plan = _plan(
        text, _captured(_part(0, variables={}), _part(1, variables={}, words=("./run.sh", "1"))), tmp_path
    ).plan

    assert [plan.output_path(part, 0) for part in plan.parts] == names
    assert [dict(part.values)["condor_place_0"] for part in plan.parts] == [f"condor/emu/{name}" for name in names]


def test_a_variable_of_the_description_is_its_own(tmp_path: Path) -> None:
    """Where a queue statement has a variable of that name, the pattern means it; results can be named by it, too."""
    one = _plan(
        FRAMEWORK + 'outputs: ["h_{Process}.root"]\n', _captured(_part(0, variables={"Process": "ggH"})), tmp_path
    )
    by_call = _plan(FRAMEWORK + 'outputs: [h.root]\nmerge: {"all_{Cluster}.root": {}}\n', _captured(_part(0)), tmp_path)

    assert one.plan.output_path(one.plan.parts[0], 0) == "h_ggH.root"
    assert [merge.result for merge in by_call.plan.merges] == ["all_1.root"]


def test_a_number_that_nothing_names_changes_no_fingerprint(tmp_path: Path) -> None:
    """A part that another call submits, with the same work, is the same part."""
    assert [name for name, _ in _plan(OUTPUTS, _captured(_part(0)), tmp_path).plan.parts[0].values] == [
        "Folder",
        "condor_words",
    ]


def test_names_that_septum_made_are_not_shown(tmp_path: Path) -> None:
    """In the place of a value that stands for a name of the description is a star."""
    parts = _captured(*[_part(n, outputs=[(f"h_{n}.root", f"h_{n}.root")]) for n in range(2)])
    nowhere = _captured(_part(0, outputs=[("../h.root", "h.root")]))
    for text, captured, said in (
        ("merge: {a.root: {output: h.root}}\n", parts, "the outputs are: *.root"),
        ('merge: {"a_{what}.root": {}}\n', parts, "the parts have: Folder"),
        ("", nowhere, "outputs: '*.root': "),
    ):
        with pytest.raises(PlanError) as refused:
            _plan(FRAMEWORK + text, captured, tmp_path)
        assert said in str(refused.value)
        assert "condor_" not in str(refused.value)


@pytest.mark.parametrize("name", ["out/", "a/b/"])
def test_an_output_that_is_a_folder(name: str, tmp_path: Path) -> None:
    """HTCondor brings folders; septum verifies files, and says so before anything is submitted."""
    with pytest.raises(CaptureError, match="bring back a folder") as refused:
        _plan(FRAMEWORK, _captured(_part(0, outputs=[(name, name)])), tmp_path)
    assert repr(name) in refused.value.evidence


def test_a_file_that_the_framework_sends_is_no_output(tmp_path: Path) -> None:
    """The error names what the framework wrote, and not a file of the repository that nobody put there."""
    (sent,) = _files(tmp_path, "copy/h_DY_0.root")
    with pytest.raises(CaptureError, match="among the files that it sends") as refused:
        _plan(OUTPUTS, _captured(_part(0, inputs=[("h_DY_0.root", sent)])), tmp_path)
    assert "transfer_input_files" in refused.value.fix
    assert "repository" not in str(refused.value)


# ── doubles ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_equal_jobs_are_refused(tmp_path: Path) -> None:
    """`queue 2` without a difference would count the same events twice."""
    parts = [_part(number, variables={}, words=("./run.sh",)) for number in range(2)]
    with pytest.raises(PlanError, match="would do the same work") as refused:
        _plan(FRAMEWORK + "outputs: [h.root]\n", _captured(*parts), tmp_path)
    assert "$(Process)" in refused.value.fix


def test_a_variable_that_nothing_reads_is_no_difference(tmp_path: Path) -> None:
    """`queue 1 seed in (1 2)` without `$(seed)` in the arguments; nor is the place that an output is brought to."""
    parts = [_part(n, variables={"seed": str(n)}, words=("./run.sh",), outputs=[("h.root", f"h_{n}.root")])
             for n in range(2)]  # fmt: skip
    with pytest.raises(PlanError, match="would do the same work"):
        _plan(FRAMEWORK, _captured(*parts), tmp_path)


def test_a_merge_of_an_output_that_there_is_not(tmp_path: Path) -> None:
    """The outputs of a description have names of septum's own."""
    parts = [_part(n, outputs=[(f"out_{n}", f"out_{n}")]) for n in range(2)]
    with pytest.raises(PlanError, match="not among the outputs") as refused:
        _plan(FRAMEWORK + "merge: {o.tar: {output: out}}\n", _captured(*parts), tmp_path)
    assert "outputs:" in refused.value.fix


def test_jobs_that_differ_in_their_files_alone_are_not_equal(tmp_path: Path) -> None:
    """The arguments are often the same, and the configuration travels."""
    one, two = _files(tmp_path / "store", "1/script.py", "2/script.py")
    parts = [_part(n, variables={}, words=("./run.sh",), inputs=[("script.py", f)]) for n, f in enumerate((one, two))]

    assert len(_plan(FRAMEWORK + "outputs: [h.root]\n", _captured(*parts), tmp_path).plan.parts) == 2


@pytest.mark.parametrize("name", ["index", "part", "a.b", "0x", "condor_words", "a b"])
def test_variables_that_are_no_values_of_a_part_are_left_out(name: str, tmp_path: Path) -> None:
    """HTCondor takes other names than a shell; the command has their values already."""
    plan = _plan(
        FRAMEWORK + "outputs: [h.root]\n", _captured(_part(0, variables={name: "x", "Folder": "y"})), tmp_path
    ).plan

    assert [key for key, _ in plan.parts[0].values] == ["Folder", "condor_words"]


def test_a_taste_is_the_first_jobs(tmp_path: Path) -> None:
    """Any number of them, also one with four digits."""
    plan = _plan(OUTPUTS, _captured(*(_part(number) for number in range(5))), tmp_path).plan

    assert [part.id for part in choose(plan, "first 2").parts] == ["0000", "0001"]
    assert choose(plan, "first 2000").whole_count is None
