"""From a workflow of REANA to a plan: what is translated, and what is refused by its name and line."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.config import Analysis
from septum.errors import ConfigError, PlanError, SeptumError, WorkflowError
from septum.plan import Plan
from septum.reana.importing import ImportedPlan, make_imported_plan
from septum.reana.importing_graph import import_graph
from septum.reana.importing_plan import plan_of
from septum.reana.importing_snakemake import Graph, Output, RuleJob, refuse_made
from septum.reana.importing_work import Imported, wanted_of
from septum.stages.reading import config_of, read_analysis
from septum.stages.wiring import Options
from septum.worker.sandbox import script_text
from tests.reana.rows import PAGE, with_table

STEP = "        - environment: python:3.12\n          commands: [{commands}]\n"


def _serial(folder: Path, *, steps: str = "", inputs: str = "", outputs: str = "files: [out.txt]") -> None:
    steps = steps or STEP.format(commands='"echo hello >out.txt"')
    text = (
        f"inputs: {{{inputs}}}\nworkflow:\n  type: serial\n  specification:\n      steps:\n{steps}"
        f"outputs: {{{outputs}}}\n"
    )
    (folder / "reana.yaml").write_text(text, encoding="utf-8")


def _made(folder: Path, *, image: str | None = None, **keys: Any) -> ImportedPlan:
    analysis = Analysis.model_validate({"reana": "reana.yaml", **keys})
    return make_imported_plan(analysis, folder, image=image, environ={})


def _run(plan: Plan, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script of the first part as the wrapper does."""
    folder.mkdir(exist_ok=True)
    script = f"SEPTUM_BEGAN=began\n{script_text(plan, plan.parts[0])}"
    return subprocess.run(
        [plan.shell, "-c", script], cwd=folder, text=True, capture_output=True, check=False, timeout=20
    )


# ── serial ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_steps_run_in_order_in_one_workspace_each_command_in_a_bash_of_its_own(tmp_path: Path) -> None:
    """A folder or a variable of one command is not that of the next; files are."""
    commands = '"mkdir sub; cd sub; A=1; set -f", "echo $${A:-none} >out.txt; shopt -q extglob; [[ -d sub ]]"'
    _serial(tmp_path, steps=STEP.format(commands=commands))
    made = _made(tmp_path)
    done = _run(made.plan, tmp_path / "work")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work/out.txt").read_text(encoding="utf-8") == "none\n"
    assert len(made.plan.parts) == 1


def test_the_first_command_that_fails_ends_the_part_with_its_code_and_name(tmp_path: Path) -> None:
    """What follows does not run."""
    named = STEP.format(commands='"true", "exit 7", "touch later"').replace(
        "environment", "name: fit\n          environment"
    )
    _serial(tmp_path, steps=named)
    done = _run(_made(tmp_path).plan, tmp_path / "work")

    assert done.returncode == 7
    assert "step fit, command 2 of 3 failed with exit code 7" in done.stderr
    assert not (tmp_path / "work/later").exists()


def test_a_pipe_fails_as_in_reana_where_its_last_command_decides(tmp_path: Path) -> None:
    """`… | tee log` is in every example: bash without pipefail."""
    _serial(tmp_path, steps=STEP.format(commands='"false | tee out.txt"'))

    assert _run(_made(tmp_path).plan, tmp_path / "work").returncode == 0


def test_parameters_are_filled_in_as_reana_types_and_fills_them(tmp_path: Path) -> None:
    """YAML 1.1, then the text of Python: numbers lose what they do not mean, `$$` is a dollar."""
    commands = "\"echo ${count} $x ${flag} '${text}' $$HOME $${n} >out.txt\""
    inputs = 'parameters: {count: 0x10, x: 1.50, flag: yes, text: "a  b"}'
    _serial(tmp_path, steps=STEP.format(commands=commands), inputs=inputs)
    plan = _made(tmp_path).plan

    assert "echo 16 1.5 True " in str(plan.command)
    assert "a  b" in str(plan.command)
    assert " $HOME ${n} >out.txt" in str(plan.command)


@pytest.mark.parametrize(
    ("commands", "pieces"),
    [
        ('"echo ${nobody}"', ("reana.yaml:7", "${nobody} is no parameter", "parameters: count", "$${nobody}")),
        ('"echo $(date)"', ("reana.yaml:7", "'$' that begins no parameter", "$$(date)")),
    ],
)
def test_what_reana_could_not_fill_in_is_named(commands: str, pieces: Sequence[str], tmp_path: Path) -> None:
    """The same commands fail in REANA, only later."""
    _serial(tmp_path, steps=STEP.format(commands=commands), inputs="parameters: {count: 1}")
    error = _refused(tmp_path)

    assert [piece for piece in pieces if piece not in str(error)] == []


def test_other_values_for_parameters_stand_in_septum_yaml_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    """As `reana-client start -p`."""
    _serial(tmp_path, steps=STEP.format(commands='"echo ${count}"'), inputs="parameters: {count: 1}")
    plan = _made(tmp_path, reana={"parameters": {"count": "5"}}).plan
    error = _refused(tmp_path, reana={"parameters": {"m": "5"}})

    assert "echo 5" in str(plan.command)
    assert "'m' is no parameter of reana.yaml" in str(error)


def test_steps_in_different_images_are_refused_with_all_names_and_one_image_replaces_them(tmp_path: Path) -> None:
    """One part has one image."""
    steps = STEP.format(commands='"a"') + STEP.format(commands='"b"').replace("python:3.12", "root:6.18")
    _serial(tmp_path, steps=steps)
    error = _refused(tmp_path)
    chosen = _made(tmp_path, image="both:1.0")

    assert "docker.io/library/python:3.12: step 1" in error.evidence
    assert "docker.io/library/root:6.18: step 2" in error.evidence
    assert "--image" in error.fix
    assert chosen.plan.image == "both:1.0"
    assert any("replaces docker.io/library/python:3.12" in note for note in chosen.notes)


def test_two_spellings_of_one_image_are_one(tmp_path: Path) -> None:
    """Docker Hub may be named or not."""
    steps = STEP.format(commands='"a"') + STEP.format(commands='"b"').replace("python:", "docker.io/library/python:")
    _serial(tmp_path, steps=steps)

    assert _made(tmp_path).plan.image == "docker.io/library/python:3.12"


def test_folders_come_back_as_archives_and_empty_input_folders_are_made(tmp_path: Path) -> None:
    """A part says before which files it writes."""
    (tmp_path / "histograms").mkdir()
    _serial(
        tmp_path,
        steps=STEP.format(commands='"mkdir res; echo 1 >res/a; touch histograms/x out.txt"'),
        inputs="directories: [histograms]",
        outputs="files: [out.txt], directories: [res]",
    )
    plan = _made(tmp_path).plan
    done = _run(plan, tmp_path / "work")
    listed = subprocess.run(
        ["tar", "-tzf", "work/res.tar.gz"], cwd=tmp_path, text=True, capture_output=True, check=True
    )

    assert done.returncode == 0, done.stderr
    assert [output.path for output in plan.outputs] == ["out.txt", "res.tar.gz"]
    assert "res/a" in listed.stdout


def test_one_part_is_not_merged_and_septum_yaml_may_say_otherwise(tmp_path: Path) -> None:
    """What one part wrote comes back to the last byte, whatever ROOT classes are in it."""
    _serial(tmp_path, outputs="files: [h.root]")

    assert _made(tmp_path).plan.merges == ()
    assert [merge.result for merge in _made(tmp_path, merge={"h.root": "h.root"}).plan.merges] == ["h.root"]


@pytest.mark.parametrize(
    ("keys", "pieces"),
    [
        ({"inputs": "files: [no.C]"}, ("reana.yaml:1", "'no.C' is not there")),
        ({"inputs": "directories: [no]"}, ("reana.yaml:1", "no folder 'no'")),
        ({"inputs": "files: [../up.C]"}, ("'../up.C' leads outside",)),
        ({"inputs": "files: [/etc/passwd]"}, ("'/etc/passwd' leads outside",)),
        ({"outputs": "files: [res/*.png]"}, ("'res/*.png' is a pattern", "directories")),
        ({"outputs": "directories: [.]"}, ("'.' leads outside of the repository, or is all of it",)),
        ({"outputs": "files: []"}, ("outputs: names nothing",)),
        ({"outputs": "files: [../x]"}, ("'../x' leads outside",)),
    ],
)
def test_files_that_cannot_be_are_refused_with_their_line(
    keys: Mapping[str, str], pieces: Sequence[str], tmp_path: Path
) -> None:
    """Of inputs and outputs."""
    _serial(tmp_path, **keys)
    error = _refused(tmp_path)

    assert [piece for piece in pieces if piece not in str(error)] == []
    assert error.fix


def test_a_file_that_has_the_name_of_a_packed_folder_is_refused(tmp_path: Path) -> None:
    """The archive would stand in its place."""
    _serial(tmp_path, outputs="files: [out.tar.gz], directories: [out]")

    assert "'out.tar.gz' is the name that the folder 'out' comes back by" in str(_refused(tmp_path))


@pytest.mark.parametrize("name", ["Snakefile", "config.yaml"])
def test_a_snakefile_or_its_configuration_that_leads_outside_is_not_read(name: str, tmp_path: Path) -> None:
    """What is no Snakefile would be quoted in the log."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for own in ("Snakefile", "config.yaml"):
        (folder / own).write_text("")
    (tmp_path / "private").write_text("password of somebody\n")
    (folder / name).unlink()
    (folder / name).symlink_to("../private")
    (folder / "reana.yaml").write_text(
        "inputs: {parameters: {input: config.yaml}}\nworkflow: {type: snakemake, file: Snakefile}\n"
    )

    said = str(_refused(folder))

    assert f"{name!r} leads outside the repository" in said
    assert "password of" not in said


def test_an_output_that_is_an_input_is_refused(tmp_path: Path) -> None:
    """A part that wrote nothing would bring it back."""
    (tmp_path / "out.txt").write_text("old", encoding="utf-8")
    _serial(tmp_path, inputs="files: [out.txt]")

    with pytest.raises(PlanError, match="among the inputs"):
        _made(tmp_path)


def test_unknown_keys_are_one_error_with_their_lines(tmp_path: Path) -> None:
    """As everywhere in septum."""
    _serial(
        tmp_path, steps=STEP.format(commands='"a"') + "          kubernetes_memmory_limit: 1Gi\n", inputs="fils: []"
    )

    with pytest.raises(ConfigError, match="2 problems") as caught:
        _made(tmp_path)
    assert "reana.yaml:1" in caught.value.evidence
    assert "did you mean 'kubernetes_memory_limit'" in caught.value.evidence


@pytest.mark.parametrize(
    ("keys", "memory_b", "time_s", "cpus"),
    [
        ("kubernetes_memory_limit: 1.5Gi", 1536 * 1024**2, None, None),
        ("kubernetes_memory_limit: 500M", 500_000_000, None, None),
        ('kubernetes_memory_limit: "4096"', 4096, None, None),
        ("htcondor_max_runtime: longlunch", None, 2 * 7200, None),
        ('htcondor_max_runtime: "90"', None, 180, None),
        ("kubernetes_job_timeout: 60", None, 120, None),
        ("kubernetes_cpu_limit: 1500m", None, None, 2),
    ],
)
def test_what_a_step_asks_for_is_what_the_job_asks_for(
    keys: str, memory_b: int | None, time_s: int | None, cpus: int | None, tmp_path: Path
) -> None:
    """Kubernetes counts by thousands without the i; a time is that of each command, of which there are two."""
    _serial(tmp_path, steps=STEP.format(commands='"a", "b"') + f"          {keys}\n")
    request = _made(tmp_path).plan.request

    assert (request.memory_b, request.time_s, request.cpus) == (memory_b, time_s, cpus)
    assert _made(tmp_path, resources={"memory": "3 GB"}).plan.request.memory_b == 3 * 1024**3


@pytest.mark.parametrize("keys", ["kubernetes_memory_limit: lots", "htcondor_max_runtime: forever"])
def test_what_cannot_be_read_of_a_step_is_refused_by_its_name(keys: str, tmp_path: Path) -> None:
    """With its line."""
    _serial(tmp_path, steps=STEP.format(commands='"a"') + f"          {keys}\n")

    assert f"reana.yaml:6: step 1: {keys.partition(':')[0]}" in str(_refused(tmp_path))


def test_everything_that_is_not_taken_over_is_named(tmp_path: Path) -> None:
    """Nothing is dropped in silence."""
    dropped = {
        "compute_backend": "kubernetes",
        "kerberos": "true",
        "voms_proxy": "true",
        "rucio": "true",
        "unpacked_img": "true",
        "kubernetes_uid": "500",
        "kubernetes_memory_request": "1Gi",
        "htcondor_accounting_group": "group_u_EXAMPLE",
        "slurm_partition": "inf-short",
        "slurm_time": "'60'",
        "c4p_cpu_cores": "'2'",
        "c4p_memory_limit": "2Gi",
        "c4p_additional_requirements": "+GPU=1",
    }
    steps = STEP.format(commands='"a"') + "".join(f"          {key}: {value}\n" for key, value in dropped.items())
    _serial(tmp_path, steps=steps, inputs="options: {CACHE: off}")
    with (tmp_path / "reana.yaml").open("a", encoding="utf-8") as file:
        file.write("tests: {files: [a.feature]}\nworkspace: {retention_days: {'*.tmp': 3}}\n")
    notes = "\n".join(_made(tmp_path).notes)

    assert [key for key in (*dropped, "CACHE", "'tests'", "'workspace'") if key not in notes] == []


@pytest.mark.parametrize("language", ["cwl", "yadage"])
def test_other_languages_are_refused_with_the_way_out(language: str, tmp_path: Path) -> None:
    """And never half translated."""
    (tmp_path / "reana.yaml").write_text(f"workflow: {{type: {language}, file: w.yaml}}\n", encoding="utf-8")
    error = _refused(tmp_path)

    assert f"reana.yaml:1: a {language} workflow" in error.what
    assert "serial or a snakemake workflow" in error.fix
    assert error.evidence


def test_a_dask_cluster_is_refused(tmp_path: Path) -> None:
    """It would live beside the jobs."""
    text = "workflow: {type: snakemake, file: Snakefile, resources: {dask: {image: d}}}\n"
    (tmp_path / "reana.yaml").write_text(text, encoding="utf-8")

    assert "Dask" in _refused(tmp_path).what


def _refused(folder: Path, **keys: Any) -> WorkflowError:
    with pytest.raises(WorkflowError) as caught:
        _made(folder, **keys)
    return caught.value


# ── where it is named ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_reana_yaml_alone_is_taken_where_there_is_no_septum_yaml(tmp_path: Path) -> None:
    """And only there; it can be named, too."""
    _serial(tmp_path)
    options = Options(config=tmp_path / "septum.yaml", cluster="local", environ={})
    named = read_analysis(replace(options, config=tmp_path / "reana.yaml"))
    alone = read_analysis(options)
    taken = config_of(options)
    (tmp_path / "septum.yaml").write_text("name: mine\nreana: {file: reana.yaml}\n", encoding="utf-8")

    assert taken == tmp_path / "reana.yaml"
    assert config_of(options) == tmp_path / "septum.yaml"
    assert named == alone
    assert read_analysis(options).name == "mine"


@pytest.mark.parametrize(
    ("keys", "piece"),
    [
        ({"command": "x"}, "'command' and 'reana' exclude each other"),
        ({"outputs": ["a.root"]}, "'outputs' and 'reana' exclude each other"),
        ({"framework": {"script": ["x"]}}, "'framework' and 'reana' exclude each other"),
        ({"reana": "sub/reana.yaml"}, "must stand beside septum.yaml"),
    ],
)
def test_a_plan_has_one_source(keys: Mapping[str, Any], piece: str) -> None:
    """`reana` stands in the place of parts or a framework."""
    with pytest.raises(ValueError, match=piece):
        Analysis.model_validate({"reana": "reana.yaml", **keys})


def test_the_page_has_the_table_of_the_examples() -> None:
    """`python -m tests.reana.rows` writes it."""
    page = PAGE.read_text(encoding="utf-8")

    assert page == with_table(page)
    assert "cms-h4l" in page


# ── snakemake ───────────────────────────────────────────────────────────────────────────────────────────────────


def _job(
    number: int, rule: str, command: str, outputs: Sequence[str], inputs: Sequence[str] = (), **keys: Any
) -> RuleJob:
    plain: dict[str, Any] = {
        "line": 1, "wildcards": {}, "kind": "shell", "unknown": False, "logs": (), "image": "root:6", "threads": 1,
        "resources": {}, "checkpoint": False, "remote": (), "special": (), "unused": (), "needs": (),
    }  # fmt: skip
    return RuleJob(
        number=number,
        rule=rule,
        command=command,
        inputs=tuple(inputs),
        outputs=tuple(Output(path=path, folder=False, touch=False) for path in outputs),
        **{**plain, **keys},
    )


def _graph(*jobs: RuleJob, made: Sequence[str] = ()) -> Graph:
    """The jobs, with what needs what by their files."""
    makers = {output.path: job.number for job in jobs for output in job.outputs}
    linked = [
        replace(job, needs=tuple(sorted({makers[path] for path in job.inputs if path in makers}))) for job in jobs
    ]
    return Graph(version="7.32.4", jobs=tuple(linked), made=tuple(made))


def _target(number: int, *files: str) -> RuleJob:
    return _job(number, "all", "", (), files, kind="norun")


def _scatter(count: int, gather: str = "hadd -f all.root {}") -> list[RuleJob]:
    files = [f"h/{index}.root" for index in range(count)]
    jobs = [
        _job(index, "fill", f"fill {index}", [path], wildcards={"n": str(index)}) for index, path in enumerate(files)
    ]
    return [*jobs, _job(count, "add", gather.format(" ".join(files)), ["all.root"], files, image="other:1")]


def _imported(*jobs: RuleJob, wanted: Sequence[str] = ()) -> Imported:
    return import_graph(
        _graph(*jobs), wanted=wanted_of([(path, "reana.yaml:9") for path in wanted], []), folders=[], where="here"
    )


def _planned(work: Imported) -> Plan:
    return plan_of(Analysis.model_validate({"reana": "reana.yaml"}), work, image=None, inputs=())


@pytest.mark.parametrize(
    "command",
    [
        "hadd -f all.root {}",
        "hadd all.root {}",
        "hadd -f -f404 all.root {}",
        "mkdir -p results && hadd -f 'all.root' {}",
        "  hadd all.root \\\n {}  ",
    ],
)
def test_a_final_hadd_becomes_the_merge_of_septum_in_its_order(command: str) -> None:
    """So a scatter and gather is parts and a merge; the image of the gather does not matter."""
    work = _imported(_target(99, "all.root"), *_scatter(3, command))
    plan = _planned(work)

    assert [part.describe() for part in plan.parts] == [f"part 000{n} (rule=fill, n={n})" for n in range(3)]
    assert [(merge.result, merge.parts) for merge in plan.merges] == [("all.root", ("0000", "0001", "0002"))]
    assert [plan.output_path(part, 0) for part in plan.parts] == ["h/0.root", "h/1.root", "h/2.root"]
    assert {image for image, _ in work.images} == {"root:6"}


@pytest.mark.parametrize(
    "command",
    [
        "hadd -f all.root h/*.root",
        "hadd -k all.root {}",
        "hadd -a all.root {}",
        "hadd -f all.root {} extra.root",
        "hadd -f all.root {}; touch done",
        "hadd -f all.root {} | tee log",
        "source thisroot.sh && hadd -f all.root {}",
        "cd h && hadd -f all.root {}",
        "hadd -f all.root {}\ntouch done",
        "hadd -f other.root {}",
        "sum all.root {}",
        "hadd -f all.root '{}",
    ],
)
def test_what_does_more_or_less_than_hadd_of_all_files_stays_a_job(command: str) -> None:
    """Then all jobs share files, and run in one part."""
    work = _imported(_target(99, "all.root"), *_scatter(3, command))

    assert len(work.works) == 1
    assert work.merges == ()
    assert "one after the other in one part: rule fill (n=0)" in "\n".join(work.notes)


def test_a_sum_of_sums_is_the_sum_of_all() -> None:
    """Merges in levels are one merge, unless the inner one is wanted, too."""
    files = [f"h/{index}.root" for index in range(4)]
    jobs = [_job(index, "fill", f"fill {index}", [path]) for index, path in enumerate(files)]
    inner = [
        _job(4, "two", f"hadd a.root {files[0]} {files[1]}", ["a.root"], files[:2]),
        _job(5, "two", f"hadd b.root {files[2]} {files[3]}", ["b.root"], files[2:]),
        _job(6, "all_of", "hadd c.root a.root b.root", ["c.root"], ["a.root", "b.root"]),
    ]

    assert _imported(_target(99, "c.root"), *jobs, *inner).merges == (("c.root", tuple(files)),)
    # A sum that is wanted itself is read by nobody else in this graph but the next sum, and stays a job.
    assert len(_imported(_target(99, "c.root", "a.root"), *jobs, *inner).merges[0][1]) == 3


def test_a_merge_for_each_sample_is_a_result_for_each_sample() -> None:
    """Parts of different samples have the same output, by their own names."""
    jobs, number = [_target(99, "DY.root", "TT.root")], 0
    for sample in ("DY", "TT"):
        files = [f"{sample}_{chunk}.root" for chunk in range(2)]
        for path in files:
            jobs.append(_job(number, "fill", f"fill {path}", [path], wildcards={"sample": sample}))
            number += 1
        jobs.append(_job(number, "add", f"hadd {sample}.root {' '.join(files)}", [f"{sample}.root"], files))
        number += 1
    plan = _planned(_imported(*jobs))

    assert [(merge.result, merge.output, merge.parts) for merge in plan.merges] == [
        ("DY.root", 0, ("0000", "0001")),
        ("TT.root", 0, ("0002", "0003")),
    ]


def test_a_gather_of_files_of_one_part_stays_in_that_part() -> None:
    """Only files of different parts are added up outside of them."""
    jobs = _scatter(2)
    shared = _job(9, "compile", "make", ["lib.so"])
    filling = [replace(job, inputs=("lib.so",)) if job.rule == "fill" else job for job in jobs]
    work = _imported(_target(99, "all.root"), shared, *filling)

    assert (len(work.works), work.merges) == (1, ())
    assert work.works[0].script.index("make") < work.works[0].script.index("fill 0")


def test_jobs_that_share_no_files_are_parts_and_bring_their_own_files_back() -> None:
    """With as many files each, as they are; else as an archive."""
    even = _planned(_imported(_target(9, "a.txt", "b.txt"), _job(0, "a", "a", ["a.txt"]), _job(1, "b", "b", ["b.txt"])))
    odd = _planned(
        _imported(
            _target(9, "a.txt", "b.txt", "c.txt"), _job(0, "a", "a", ["a.txt", "c.txt"]), _job(1, "b", "b", ["b.txt"])
        )
    )

    assert [even.output_path(part, 0) for part in even.parts] == ["a.txt", "b.txt"]
    assert [output.path for output in odd.outputs] == ["outputs.tar.gz"]
    assert "'a.txt' 'c.txt'" in str(dict(odd.parts[0].values)["reana_script"])


def test_a_part_without_the_merged_file_is_refused_by_name() -> None:
    """All parts of a plan have the same outputs."""
    with pytest.raises(WorkflowError, match="rule other writes nothing for a result") as caught:
        _planned(_imported(_target(99, "all.root", "x.txt"), *_scatter(2), _job(8, "other", "o", ["x.txt"])))
    assert "all.root from 2 files" in caught.value.evidence


def test_a_wanted_file_that_no_rule_writes_is_refused_where_nobody_knows_its_part() -> None:
    """In one part there is no doubt."""
    jobs = (_job(0, "a", "a", ["a.txt"]), _job(1, "b", "b", ["b.txt"]))
    with pytest.raises(WorkflowError, match=r"reana.yaml:9: no rule has 'log.txt'"):
        _imported(_target(9, "a.txt", "b.txt"), *jobs, wanted=["log.txt"])

    assert _imported(_target(9, "a.txt"), jobs[0], wanted=["log.txt"]).works[0].kept == ("log.txt",)


@pytest.mark.parametrize(
    ("keys", "piece"),
    [
        ({"kind": "run"}, "run:"),
        ({"kind": "script"}, "script:"),
        ({"kind": "notebook"}, "notebook:"),
        ({"kind": "wrapper"}, "wrapper:"),
        ({"checkpoint": True}, "is a checkpoint"),
        ({"remote": ("s3://b/k",)}, "remote file: 's3://b/k'"),
        ({"special": ("a pipe",)}, "has a pipe"),
        ({"unknown": True}, "known only when another job has run"),
    ],
)
def test_what_no_job_of_a_cluster_has_is_refused_with_the_rule(keys: Mapping[str, Any], piece: str) -> None:
    """And with what to write instead."""
    with pytest.raises(SeptumError) as caught:
        _imported(_target(9, "a.txt"), _job(0, "odd", "x", ["a.txt"], **keys))

    assert "rule odd" in caught.value.what
    assert piece in caught.value.what
    assert caught.value.fix


def test_files_that_the_snakefile_writes_while_it_is_read_reach_no_part() -> None:
    """A job that reads one is refused; others are said."""
    job = _job(0, "a", "a", ["a.txt"], ["paths.txt"])
    with pytest.raises(WorkflowError, match=r"rule a reads 'paths\.txt', which the Snakefile writes"):
        refuse_made(_graph(job, made=["paths.txt"]), "here")

    assert "other.txt" in refuse_made(_graph(job, made=["other.txt"]), "here")[0]


def test_a_rule_that_writes_less_than_it_declares_fails_and_says_so(tmp_path: Path) -> None:
    """As Snakemake does; the folders of its outputs are there."""
    work = _imported(_target(9, "d/a.txt"), _job(0, "a", "echo 1 >d/a.txt", ["d/a.txt", "d/b.txt"], logs=("l/x",)))
    done = _run(_planned(work), tmp_path / "work")

    assert done.returncode == 1
    assert "rule a did not write d/b.txt" in done.stderr
    assert (tmp_path / "work/l").is_dir()
