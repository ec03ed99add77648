"""Analyses of REANA under septum: each example runs on `local` to its result, or is refused with the reason.

Snakemake is the real one that REANA has, in a Python of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import uproot

from septum.errors import EngineMissingError
from septum.merge.hadd import find_hadd
from tests.fakes.reana import tools
from tests.reana.rows import FOLDER, PROGRAMS, ROWS, Row

pytestmark = [pytest.mark.timeout(300)]
_SEPTUM = (sys.executable, "-m", "septum")


@pytest.fixture(scope="module")
def environ() -> Mapping[str, str]:
    """The environment: the programs that stand in, ROOT, and Snakemake at the end of PATH."""
    if why := tools.unavailable():
        pytest.skip(why)
    try:
        hadd = [str(Path(find_hadd(os.environ).program).parent)]
    except EngineMissingError as error:
        pytest.skip(str(error))
    mine = str(Path(sys.executable).parent)
    path = [str(PROGRAMS), mine, *hadd, os.environ["PATH"], str(tools.tools() / "bin")]
    return {**os.environ, "PATH": os.pathsep.join(path)}


def _septum(folder: Path, environ: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_SEPTUM, *words], cwd=folder, env=dict(environ), text=True, capture_output=True, check=False, timeout=240
    )


def _copy(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(FOLDER / name, folder / name))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.parts}")
def test_an_example_runs_to_its_result_or_is_refused_with_the_reason(
    row: Row, environ: Mapping[str, str], tmp_path: Path
) -> None:
    """What becomes of REANA's examples."""
    root = _copy(row.name, tmp_path)
    done = _septum(root, environ, "run", *(["--image", row.image] if row.image else []))
    said = done.stdout + done.stderr

    assert [piece for piece in row.said if piece not in said] == [], said
    assert done.returncode == (0 if row.parts else 2), said
    if not row.parts:
        return
    manifest = json.loads((root / "result/septum.json").read_text(encoding="utf-8"))
    assert len(manifest["parts"]) == row.parts
    assert tuple(result["name"] for result in manifest["results"]) == row.results
    for name, piece in row.files:
        data = (root / "result" / name).read_bytes()
        assert piece.encode() in data
        assert data


def test_the_scattered_parts_are_merged_to_what_hadd_gives(environ: Mapping[str, str], tmp_path: Path) -> None:
    """A final hadd is septum's merge, over the same files."""
    root = _copy("scattered-histograms", tmp_path)
    done = _septum(root, environ, "run")
    assert done.returncode == 0, done.stderr
    for chunk in range(4):
        subprocess.run([sys.executable, "code/fill.py", str(chunk), f"chunk_{chunk}.root"], cwd=root, check=True)
    chunks = [f"chunk_{chunk}.root" for chunk in range(4)]
    subprocess.run(["hadd", "all.root", *chunks], cwd=root, env=dict(environ), check=True, capture_output=True)

    with uproot.open(root / "all.root") as theirs, uproot.open(root / "result/results/mass.root") as ours:
        assert theirs["mass"].values(flow=True).tolist() == ours["mass"].values(flow=True).tolist()
        assert ours["mass"].values().sum() == 1200


def test_parameters_of_septum_yaml_are_those_of_the_workflow(environ: Mapping[str, str], tmp_path: Path) -> None:
    """`reana: {parameters: …}` does what `reana-client start -p` does, for both languages."""
    snakemake, serial = _copy("scattered-histograms", tmp_path), _copy("root6-roofit-serial", tmp_path)
    for root, text in ((snakemake, "{chunks: 7}"), (serial, "{events: 40}")):
        (root / "septum.yaml").write_text(f"reana: {{parameters: {text}}}\n", encoding="utf-8")
    planned = _septum(snakemake, environ, "plan", "--json")
    done = _septum(serial, environ, "run")

    assert len(json.loads(planned.stdout)["plan"]["parts"]) == 7, planned.stderr
    assert (serial / "result/parts/0000/results/fit.txt").read_text(encoding="utf-8").startswith("events 40\n")
    assert done.returncode == 0


@pytest.mark.parametrize("verb", ["prepare", "plan", "export reana"])
def test_a_snakefile_is_read_without_secrets(environ: Mapping[str, str], tmp_path: Path, verb: str) -> None:
    """It is a program of the repository, which runs whenever septum needs the plan."""
    root = _copy("scattered-histograms", tmp_path)
    snakefile, seen = next(root.rglob("Snakefile")), tmp_path / "seen.json"
    looks = f"import json, os\nopen({str(seen)!r}, 'w').write(json.dumps(dict(os.environ)))\n"
    snakefile.write_text(looks + snakefile.read_text(encoding="utf-8"), encoding="utf-8")
    hidden = {name: f"not-to-be-seen-{name}" for name in ("REANA_ACCESS_TOKEN", "CI_JOB_TOKEN", "IAM_CLIENT_SECRET")}
    _septum(root, {**environ, **hidden, "HARMLESS": "1"}, *verb.split())

    found = json.loads(seen.read_text(encoding="utf-8"))
    assert found["HARMLESS"] == "1"
    assert [value for value in found.values() if "not-to-be-seen" in value] == []


def test_what_the_jobs_ask_for_is_that_of_the_workflow(environ: Mapping[str, str], tmp_path: Path) -> None:
    """Memory is the largest, time the sum over all commands, cores are threads."""
    plans = {
        name: json.loads(_septum(_copy(name, tmp_path), environ, "plan", "--json").stdout)["plan"]["request"]
        for name in ("scattered-histograms", "root6-roofit-serial", "cms-h4l", "worldpopulation-serial")
    }

    assert plans["scattered-histograms"] | {"memory_retries_b": []} == {
        "cpus": 2,
        "memory_b": 512 * 1024**2,
        "memory_retries_b": [],
        "disk_b": None,
        "time_s": 300,
    }
    assert plans["root6-roofit-serial"]["memory_b"] == 512 * 1024**2
    assert plans["cms-h4l"]["time_s"] == 600 + 900 + 2 * 60
    assert plans["worldpopulation-serial"]["time_s"] == 1200


@pytest.mark.parametrize(
    ("rule", "pieces"),
    [
        ("    run:\n        print(output)", ("rule made", "run:")),
        ('    script:\n        "code.py"', ("rule made", "script:", "shell:")),
        ('    notebook:\n        "code.ipynb"', ("rule made", "notebook:")),
    ],
)
def test_a_rule_that_no_job_can_run_is_refused_by_name(
    rule: str, pieces: tuple[str, ...], environ: Mapping[str, str], tmp_path: Path
) -> None:
    """What is not `shell:` lives inside of Snakemake."""
    text = f'rule all:\n    input: "a.txt"\n\nrule made:\n    output: "a.txt"\n{rule}\n'
    done = _plan_of(text, environ, tmp_path)

    assert done.returncode == 2
    assert [piece for piece in (*pieces, "[E017]", "Fix:") if piece not in done.stderr] == []


def test_a_checkpoint_is_refused_by_name(environ: Mapping[str, str], tmp_path: Path) -> None:
    """A plan is complete before anything runs."""
    text = (
        'checkpoint split:\n    output: directory("d")\n    shell: "mkdir d"\n\n'
        "def files(wildcards):\n    return checkpoints.split.get().output\n\n"
        'rule last:\n    input: files\n    output: "a.txt"\n    shell: "touch {output}"\n'
    )
    done = _plan_of(text + '\nrule all:\n    default_target: True\n    input: "a.txt"\n', environ, tmp_path)

    assert done.returncode == 2
    assert "rule split is a checkpoint" in done.stderr


def test_what_snakemake_refuses_is_said_in_its_words(environ: Mapping[str, str], tmp_path: Path) -> None:
    """A missing input is named, as Snakemake names it; the scratch folder is not."""
    done = _plan_of('rule all:\n    input: "nobody.makes"\n', environ, tmp_path)

    assert done.returncode == 2
    assert "nobody.makes" in done.stderr
    assert "septum-snakemake-" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_value_to_the_last_byte_reaches_the_command(environ: Mapping[str, str], tmp_path: Path) -> None:
    """Quotes, braces, dollars, newlines and other letters of a command are those that Snakemake formats."""
    text = (
        'VALUE = "it\'s \\"{brace}\\" $HOME `x` \\\\ \\n new é"\n'
        'rule all:\n    input: "a.txt", "b.txt"\n\n'
        'rule a:\n    output: "a.txt"\n    params: value=lambda wildcards: VALUE\n'
        '    shell: "printf %s {params.value:q} >{output}"\n\n'
        'rule b:\n    output: "b.txt"\n    shell: "echo {{}} >{output}"\n'
    )
    root = _folder(text, tmp_path)
    done = _septum(root, environ, "run")

    assert done.returncode == 0, done.stderr
    found = {path.name: path.read_text(encoding="utf-8") for path in (root / "result/parts").rglob("*.txt")}
    assert found == {"a.txt": 'it\'s "{brace}" $HOME `x` \\ \n new é', "b.txt": "{}\n"}


def test_without_snakemake_the_error_says_how_to_get_it(environ: Mapping[str, str], tmp_path: Path) -> None:
    """It is an optional extra."""
    bare = {**environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    done = _septum(_copy("helloworld-snakemake", tmp_path), bare, "plan")

    assert done.returncode == 2
    assert "pip install 'septum[snakemake]'" in done.stderr


def test_secrets_do_not_reach_the_snakefile(environ: Mapping[str, str], tmp_path: Path) -> None:
    """A Snakefile is a program of the user, run while the plan is made."""
    text = (
        'import os\nNAMES = "-".join(sorted(os.environ))\nrule all:\n    output: "a.txt"\n    shell: "echo {NAMES}"\n'
    )
    root = _folder(text, tmp_path)
    done = _septum(root, {**environ, "MY_API_TOKEN": "x" * 20, "HARMLESS": "1"}, "plan", "--json")

    command = json.loads(done.stdout)["plan"]["command"]
    assert "HARMLESS" in command
    assert "MY_API_TOKEN" not in command


def _folder(snakefile: str, root: Path) -> Path:
    (root / "Snakefile").write_text(snakefile, encoding="utf-8")
    (root / "reana.yaml").write_text("workflow: {type: snakemake, file: Snakefile}\n", encoding="utf-8")
    return root


def _plan_of(snakefile: str, environ: Mapping[str, str], root: Path) -> subprocess.CompletedProcess[str]:
    return _septum(_folder(snakefile, root), environ, "plan")
