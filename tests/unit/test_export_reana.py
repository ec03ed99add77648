"""`septum export reana`: what it writes, what it says that it leaves out, and that it replaces nobody's file."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from septum.cli import main
from septum.clusters.profile import Profile
from septum.errors import ConfigError, ExportError
from septum.plan import Plan
from septum.reana import exporting, rules, snakefile, specification
from septum.reana.leftout import left_out
from septum.validation import validate
from septum.yamltext import load
from tests.contract.test_values import VALUES
from tests.fakes.analyses import analysis_of, plan_of

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/export-reana"
IMAGE = "docker.io/library/python:3.11"
LOCAL = "name: here\nmethod: local\n"
REANA = "name: there\nmethod: reana\ncredentials: access-token\nreana-server: https://reana.example.org\n"
PARTS = "parts: {list: [{s: a}, {s: b}]}\n"


def profile_of(text: str) -> Profile:
    """A profile with this text."""
    return validate(Profile, load(text, "profile.yaml", ConfigError), error=ConfigError)


def exported(text: str, root: Path, *, image: str | None = IMAGE, profile: str = LOCAL) -> exporting.Export:
    """The export of a `septum.yaml` with this text."""
    analysis = analysis_of(text)
    return exporting.export(plan_of(text, root, image=image), analysis, profile_of(profile))


def description(found: exporting.Export) -> dict[str, object]:
    """The keys of `reana.yaml`."""
    loaded: dict[str, object] = YAML(typ="safe").load(found.files["reana.yaml"])
    return loaded


def left(found: exporting.Export) -> dict[str, str]:
    """What is left out, by its name."""
    return {item.what: item.why for item in found.left}


# ── what is written ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["reana.yaml", "Snakefile"])
def test_the_smallest_example_is_exported_as_people_would_read_it(name: str, tmp_path: Path) -> None:
    """The files stand in the repository of septum: a change of them is seen. SEPTUM_GOLDEN=write writes them anew."""
    folder = tmp_path / "minimal"
    shutil.copytree(ROOT / "examples/minimal", folder)
    text = exported((folder / "septum.yaml").read_text(), folder).files[name]
    if os.environ.get("SEPTUM_GOLDEN") == "write":
        (GOLDEN / name).write_text(text)

    assert text == (GOLDEN / name).read_text()


def test_each_part_has_a_rule_with_its_words_and_its_request(tmp_path: Path) -> None:
    """The command of the part as words, its values, the image, memory and time, in units of Kubernetes."""
    text = 'command: [run, "{s}"]\noutputs: [h.root]\n' + PARTS + "resources: {memory: 1.5 GB, time: 2 h, cpus: 4}\n"

    rules_ = exported(text, tmp_path).files["Snakefile"].split("\n\n")
    (rule,) = (each for each in rules_ if "rule part_0001:" in each)

    assert '["run", "b"],' in rule
    assert '"s": "b"' in rule
    assert '        kubernetes_memory_limit="1536Mi",\n        kubernetes_job_timeout=7200,\n' in rule
    assert "    container:\n        IMAGE\n" in rule
    assert "    threads:\n        4\n" in rule


def test_a_result_is_added_in_the_order_of_the_plan(tmp_path: Path) -> None:
    """By hadd, from the outputs of its own parts alone."""
    text = (
        "command: [run]\noutputs: [h.root]\nmerge: {'{s}.root': h.root}\n"
        "parts: {list: [{s: b, n: '1'}, {s: a, n: '1'}, {s: b, n: '2'}]}\n"
    )

    found = exported(text, tmp_path)

    (rule,) = (each for each in found.files["Snakefile"].split("\n\n") if "rule merge_b_root:" in each)
    inputs = re.findall(r'"(results/parts/.*)"', rule)
    assert inputs == ["results/parts/0000/h.root", "results/parts/0002/h.root"]
    assert '"hadd -f {output:q} {input:q}"' in rule
    assert description(found)["outputs"] == {"files": ["results/b.root", "results/a.root"]}


def test_a_result_of_more_files_than_a_shell_can_name_is_added_in_ranges(tmp_path: Path) -> None:
    """Each file goes into one range, in the order of the plan, and no command is too long."""
    text = "command: [run]\noutputs: [h.root]\nparts: {product: {n: {first: 1, last: 5000}}}\n"

    snakefile_ = exported(text, tmp_path).files["Snakefile"]

    ranges = [each for each in snakefile_.split("\n\n") if re.match(r"rule merge_h_root_range_\d+:", each)]
    named = [path for each in ranges for path in re.findall(r'"(results/parts/.*)"', each)]
    assert len(ranges) == 3
    assert named == [f"results/parts/{n:04d}/h.root" for n in range(5000)]
    assert all(sum(map(len, re.findall(r'"(results/parts/.*)"', each))) < snakefile.LONGEST_B for each in ranges)
    assert 'rule merge_h_root:\n    input:\n        "work/merge_h_root_0.root",\n' in snakefile_


def test_outputs_that_no_result_takes_are_results_themselves(tmp_path: Path) -> None:
    """The rule `all` wants them, and reana.yaml names their folder."""
    found = exported("command: [run]\noutputs: [h.root, notes.md]\n" + PARTS, tmp_path)

    (everything,) = (each for each in found.files["Snakefile"].split("\n\n") if "rule all:" in each)
    assert re.findall(r'"(.*)"', everything) == [
        "results/h.root", "results/parts/0000/notes.md", "results/parts/0001/notes.md",
    ]  # fmt: skip
    assert description(found)["outputs"] == {"files": ["results/h.root"], "directories": ["results/parts"]}


def test_a_profile_of_reana_says_what_the_rules_ask_for(tmp_path: Path) -> None:
    """Kerberos and CVMFS for the whole workflow; the backend and the proxy for each step."""
    profile = REANA + (
        "reana-kerberos: true\nreana-cvmfs: [cms.cern.ch]\nreana-compute-backend: htcondorcern\n"
        "reana-htcondor-max-runtime: workday\nproxy: optional\n"
    )
    text = "command: [sh, -c, '. /cvmfs/sft.cern.ch/setup.sh; run']\noutputs: [h.root]\n" + PARTS

    found = exported(text, tmp_path, profile=profile)

    assert description(found)["workflow"] == {
        "type": "snakemake",
        "file": "Snakefile",
        "resources": {"cvmfs": ["cms.cern.ch", "sft.cern.ch"], "kerberos": True},
    }
    for line in ('compute_backend="htcondorcern",', 'htcondor_max_runtime="workday",', "voms_proxy=True,"):
        assert found.files["Snakefile"].count(f"        {line}\n") == 3
    assert "a VOMS proxy and a Kerberos keytab" in left(found)["credentials"]


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        ("python:3.11", "docker://docker.io/library/python:3.11"),
        ("docker://ghcr.io/o/i:v1", "docker://ghcr.io/o/i:v1"),
        ("/cvmfs/unpacked.cern.ch/gitlab-registry.cern.ch/g/p:v1", "docker://gitlab-registry.cern.ch/g/p:v1"),
        ("/cvmfs/unpacked.cern.ch/registry.hub.docker.com/o/i:v1", "docker://docker.io/o/i:v1"),
    ],
)
def test_an_image_is_named_as_reana_pulls_it(image: str, shown: str, tmp_path: Path) -> None:
    """From the registry, also where the cluster has it unpacked."""
    found = exported("command: [run]\noutputs: [h.root]\n" + PARTS, tmp_path, image=image)

    assert f'IMAGE = "{shown}"\n' in found.files["Snakefile"]


# ── values, to the last byte ────────────────────────────────────────────────────────────────────────────────────


class _Words:
    """Stands for Snakemake's `{input:q}`."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths

    def __format__(self, how: str) -> str:
        assert how == "q"
        return " ".join(map(shlex.quote, self.paths))


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("form", ["words", "text"])
def test_every_value_arrives(form: str, shell: str, tmp_path: Path) -> None:
    """As word and as variable, in one job for each value; nothing of it is executed or filled in."""
    show = "printf '%s' \"$1\" > word; printf '%s' \"$PART_value\" > variable; tar -cf 'se en.tar' word variable\n"
    (tmp_path / "in put").mkdir()
    (tmp_path / "in put/show.sh").write_text(show)
    for number, value in enumerate(VALUES):
        name = f"{number:04d}"
        kept = f"results/parts/{name}/se en.tar"
        command = ["sh", "in put/show.sh", value] if form == "words" else 'sh "in put/show.sh" "$PART_value"\n'
        text = rules.part(
            name, {"value": value}, command, shell, {"E": "{e}'"}, ['test "$E" = "{e}\'"'], ["in put/show.sh"]
        )
        filled = text.format(input=_Words("in put/show.sh"), output=_Words(kept))

        done = subprocess.run(
            ["bash", "-c", f"cd {tmp_path} && {filled}"], check=False, timeout=60, capture_output=True
        )

        assert done.returncode == 0, done.stderr
        for file in ("word", "variable"):
            seen = subprocess.run(["tar", "-xOf", tmp_path / kept, file], check=True, timeout=60, capture_output=True)
            assert seen.stdout == value.encode(), value
    assert not list(tmp_path.rglob("pwned"))
    assert not list((tmp_path / "work").iterdir())


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_the_same_in_the_snakefile(text: str) -> None:
    """Python reads what was written."""
    assert ast.literal_eval(snakefile.literal(text)) == text
    assert "\r" not in snakefile.literal(text)


@pytest.mark.parametrize("value", [*VALUES, 'three """ quotes\nand a line', "back\\slash\nline", 'ends with "\n"'])
def test_difficult_values_are_the_same_in_the_snakefile(value: str) -> None:
    """Also those of more than one line."""
    assert ast.literal_eval(snakefile.literal(value)) == value


def test_a_failing_set_up_line_or_command_fails_the_step(tmp_path: Path) -> None:
    """With its exit code, and without the outputs."""
    for setup, command, code in (["exit 7"], "true", 7), ([], "false\n: > out", 1), (["(exit 4)"], ["true"], 4):
        text = rules.part("0000", {}, command, "sh", {}, setup, []).format(
            input=_Words(), output=_Words("results/parts/0000/out")
        )
        done = subprocess.run(["bash", "-c", text], cwd=tmp_path, check=False, timeout=60, capture_output=True)

        assert done.returncode == code
    assert not (tmp_path / "results").exists()


# ── what is left out ────────────────────────────────────────────────────────────────────────────────────────────

FULL = """\
command: [run]
prepare: [make]
outputs: [{path: h.root, objects: [mass]}, t.csv, p.npz]
merge: {h.root: h.root, t.csv: t.csv, p.npz: p.npz}
policies: {sums: plain}
compare: {reference: none}
publish: {to: "root://eos.example.org//here"}
resources: {cpus: 2, memory: 1 GB, memory_retries_: x}
retries: 2
keep-failed-sandbox: 5 MB
limits: {parts: 10}
tolerance: 1
""".replace(", memory_retries_: x", ", memory-retries: [2 GB], disk: 1 GB, time: 1 h")


def test_nothing_is_left_out_without_a_word(tmp_path: Path) -> None:
    """Each key that the files cannot say is in the list, and at the top of both files."""
    found = exported(FULL + PARTS, tmp_path)

    assert set(left(found)) == {
        "prepare", "outputs", "merge: h.root", "merge: t.csv", "merge: p.npz", "policies", "compare", "publish",
        "resources: cpus", "resources: memory-retries", "resources: disk", "resources: time", "retries",
        "resubmissions", "keep-failed-sandbox", "limits", "tolerance", "credentials", "septum itself",
    }  # fmt: skip
    for text in found.files.values():
        head = " ".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
        for item in found.left:
            assert " ".join(str(item).split()) in head
    assert "hadd" in left(found)["merge: h.root"]
    assert "header" in left(found)["merge: t.csv"]
    assert "not made" in left(found)["merge: p.npz"]
    assert "results/p.npz" not in found.files["Snakefile"]
    assert '"results/parts/0001/p.npz"' in found.files["Snakefile"]


def test_every_key_of_septum_yaml_is_in_the_files_or_in_the_list() -> None:
    """A new key must be thought of: it fails here first."""
    said = {
        "version", "name", "shell", "setup", "command", "parts", "inputs", "outputs", "merge", "environment", "image",
        "resources", "reana",
    }  # fmt: skip
    listed = {
        "prepare", "framework", "policies", "compare", "publish", "retries", "resubmissions", "keep_failed_sandbox",
        "limits", "tolerance",
    }  # fmt: skip

    assert set(type(analysis_of("command: [run]\noutputs: [h.root]\n" + PARTS)).model_fields) == said | listed


def test_what_is_the_default_is_not_called_left_out(tmp_path: Path) -> None:
    """A short analysis has a short list."""
    text = "command: [run]\noutputs: [h.txt]\nmerge: {h.txt: h.txt}\n" + PARTS
    plan: Plan = plan_of(text, tmp_path)

    names = [item.what for item in left_out(plan, analysis_of(text), profile_of(LOCAL))]

    assert names == ["merge: h.txt", "resubmissions", "credentials", "septum itself"]


# ── what cannot be exported ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "image", "what"),
    [
        ("outputs: [h.root]\n", None, "the plan names none"),
        ("outputs: [h.root]\n", "/cvmfs/mine.example.org/image.sif", "starts images of registries"),
        ("outputs: ['{{x}}.txt']\nmerge: {}\n", IMAGE, "cannot name the file"),
        ("outputs: ['h{s}$.root']\nmerge: {h.root: 'h{s}$.root'}\n", IMAGE, "hadd does not take the file"),
        ("outputs: [h.root]\nenvironment: {E: " + 100_000 * "x" + "}\n", IMAGE, "too long for a rule"),
    ],
)
def test_what_snakemake_cannot_say_is_refused(text: str, image: str | None, what: str, tmp_path: Path) -> None:
    """By an error that names it, not by a workflow that does something else."""
    with pytest.raises(ExportError, match=what):
        exported("command: [run]\n" + PARTS + text, tmp_path, image=image)


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An analysis of two parts, as the working folder."""
    (tmp_path / "septum.yaml").write_text(f"command: [run]\noutputs: [h.root]\nimage: {IMAGE}\n{PARTS}")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("SEPTUM_", "CI"))]:
        monkeypatch.delenv(name)
    return tmp_path


def test_the_command_writes_checks_and_keeps_what_is_up_to_date(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second time nothing is written; a change of septum.yaml is seen by --check, with the difference."""
    assert main(["export", "reana", "--check"]) == 2
    assert "is not there" in capsys.readouterr().err
    assert not (repository / "reana.yaml").exists()
    assert main(["export", "reana", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["written"] == ["reana.yaml", "Snakefile"]
    assert {"what", "why"} == set(document["left_out"][0])
    before = (repository / "Snakefile").stat().st_mtime_ns
    assert main(["export", "reana"]) == 0
    assert (repository / "Snakefile").stat().st_mtime_ns == before
    assert main(["export", "reana", "--check"]) == 0
    capsys.readouterr()

    (repository / "septum.yaml").write_text((repository / "septum.yaml").read_text().replace("s: b", "s: c"))

    assert main(["export", "reana", "--check"]) == 2
    said = capsys.readouterr().err
    assert '+            {"part": "0001", "index": "1", "parts": "2", "s": "c"},' in said
    assert "E033" in said
    assert main(["export", "reana"]) == 0
    assert '"s": "c"' in (repository / "Snakefile").read_text()


@pytest.mark.parametrize("name", ["reana.yaml", "Snakefile"])
def test_a_file_of_somebody_else_is_replaced_by_force_alone(
    name: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that was exported and then changed by hand; the other file is not written either."""
    own = "# my own workflow\n"
    (repository / name).write_text(own)
    assert main(["export", "reana"]) == 2
    assert "was not written by an export" in capsys.readouterr().err
    assert sorted(path.name for path in repository.iterdir()) == sorted([name, "septum.yaml"])
    assert (repository / name).read_text() == own
    assert main(["export", "reana", "--force"]) == 0
    changed = (repository / name).read_text() + "# by hand\n"
    (repository / name).write_text(changed)

    assert main(["export", "reana"]) == 2

    assert (repository / name).read_text() == changed


@pytest.mark.parametrize("options", [[], ["--check"], ["--force"]])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused_and_never_waited_for(
    make: Callable[[Path], None], options: list[str], repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder, or a pipe that nobody writes into."""
    make(repository / "Snakefile")

    assert main(["export", "reana", *options]) == 2

    assert "Snakefile is there, and is no file" in capsys.readouterr().err
    assert not (repository / "reana.yaml").exists()


def test_a_folder_that_is_a_file_is_refused(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name, with the option that named it."""
    (repository / "into").write_text("mine")

    assert main(["export", "reana", "--into", "into"]) == 2

    said = capsys.readouterr().err
    assert "into is no folder" in said
    assert "E033" in said


def test_another_folder_gets_the_files_and_is_told_where_they_run(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their paths are those of the repository."""
    assert main(["export", "reana", "--into", "elsewhere"]) == 0

    assert (repository / "elsewhere/Snakefile").is_file()
    assert not (repository / "Snakefile").exists()
    assert f"relative to {repository}" in capsys.readouterr().err


# ── reana.yaml itself ───────────────────────────────────────────────────────────────────────────────────────────

TYPED = """\
inputs:
  files: [a.C]
  parameters: {events: 20000, flag: yes, octal: 010, ratio: 1.50, text: "1", nested: {list: [1, b], none: ~},
    big: 1.0e+20}
workflow:
  type: serial
  specification:
    steps:
      - environment: docker.io/library/python:3.11
        kubernetes_job_timeout: 60
        commands: ["a: b", "#x", "two\\nlines", "- dash", "null", "0x1F", "\\x7f\\u2028\\u00fc"]
"""


def test_parameters_have_the_types_that_reana_gives_them() -> None:
    """YAML 1.1: yes is true, 010 is eight."""
    found = specification.load(TYPED).value.inputs.parameters

    assert found == {
        "events": 20000,
        "flag": True,
        "octal": 8,
        "ratio": 1.5,
        "text": "1",
        "nested": {"list": [1, "b"], "none": None},
        "big": 1e20,
    }
    assert type(found["flag"]) is bool


@pytest.mark.parametrize(
    "text",
    ["n", "y", "N", "Y", "no", "On", "1e3", "1.5e3", "1.5e+3", "-.5", ".5", "010", "08", "0x1f", "0o7", "1:30", "1_000",
     "-_5", "+_", "1.", ".inf", "~", "2024-01-02"],
)  # fmt: skip
def test_a_value_is_what_the_yaml_of_reana_takes_it_for(text: str) -> None:
    """That is PyYAML, for which letters and numbers without a point are not what YAML 1.1 says; also as names."""
    document = f"inputs: {{parameters: {{v: {text}}}}}\nworkflow: {{type: cwl}}\n"
    theirs = pytest.importorskip("yaml").safe_load(document)["inputs"]["parameters"]["v"]

    ours = specification.load(document).value.inputs.parameters["v"]

    assert (type(ours), ours) == (type(theirs), theirs)


def test_a_parameter_may_have_any_name() -> None:
    """Also one letter, or a number: REANA's client sends JSON, where names are texts."""
    found = specification.load("inputs: {parameters: {n: 5, y: 6, 2: a, yes: b}}\nworkflow: {type: cwl}\n")

    assert found.value.inputs.parameters == {"n": 5, "y": 6, "2": "a", "true": "b"}


def test_what_is_written_is_read_back_the_same() -> None:
    """By our own reader, and by a reader of YAML 1.1 as REANA has."""
    before = specification.load(TYPED).value
    text = specification.text_of(before)
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)

    assert specification.load(text).value == before
    assert yaml.load(text)["inputs"]["parameters"] == before.inputs.parameters
    assert before.workflow.specification is not None
    steps = yaml.load(text)["workflow"]["specification"]["steps"]
    assert steps[0]["commands"] == before.workflow.specification.steps[0].commands


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workflow: {type: serial}", "a serial workflow needs 'specification'"),
        ("workflow: {type: snakemake}", "a snakemake workflow needs 'file'"),
        ("workflow: {type: snakemake, fiel: x}", "did you mean 'file'"),
        ("inputs: {files: x}\nworkflow: {type: cwl}", "reana.yaml:1: inputs.files: expected a list"),
        ("workflow:\n  type: nextflow\n", "reana.yaml:2: workflow.type: expected 'serial'"),
    ],
)
def test_a_mistake_in_reana_yaml_is_named_with_its_line(text: str, said: str) -> None:
    """One error for all of them."""
    with pytest.raises(ConfigError) as raised:
        specification.load(text)

    assert said in str(raised.value)
