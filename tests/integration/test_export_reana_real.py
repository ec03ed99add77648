"""What `septum export reana` writes is run by REANA's own client and by Snakemake, and gives what septum gives."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from septum.facility.process import wait_until
from septum.merge.hadd import find_hadd
from tests.contract.test_values import SHOW, VALUES
from tests.fakes.reana import tools
from tests.fakes.reana.client import client
from tests.fakes.reana.handle import ReanaServer, reana_server
from tests.workshop import Repository, write_root

pytestmark = pytest.mark.skipif(bool(tools.unavailable()), reason=tools.unavailable() or "it runs")

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "minimal"
EXPORTED = sorted(
    path.parent.name
    for path in EXAMPLES.glob("*/septum.yaml")
    # A framework has to run before its parts are known.
    if "framework:" not in path.read_text(encoding="utf-8")
)
IMAGE = "docker.io/library/python:3.11"
ROOTS = """\
name: roots
setup: ["GREETING=hello", "export GREETING"]
environment: {BRACES: "{b}"}
command: |
  test "$GREETING $BRACES" = 'hello {b}'
  test -x lib/run.sh
  mkdir -p out
  cp "data/$PART_sample.root" out/hists.root
  echo "$PART_sample,$PART_part" | sed '1i sample,part' > table.csv
  echo "note of $PART_sample" > note.md
parts: {list: [{sample: one}, {sample: two}, {sample: three}]}
inputs: [lib/run.sh, "data/*.root"]
outputs: [{path: out/hists.root, objects: [mass]}, table.csv, note.md]
merge:
  dimuon.root: out/hists.root
  sub/by-command.csv:
    output: table.csv
    with: "awk 'FNR > 1 || NR == 1' tables/*.csv > all.csv"
    at: "tables/{part}.csv"
    product: all.csv
  table.csv: table.csv
resources: {memory: 512 MB, time: 5 min}
"""


def _environment() -> dict[str, str]:
    """That of a laptop with ROOT; nothing of a CI job."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    hadd = Path(find_hadd(dict(os.environ)).program).parent
    return {**kept, "PATH": f"{hadd}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}


def _tool(repository: Path, program: str, *arguments: str) -> str:
    """Python text or a module of the virtual environment with REANA's packages, to its end; its output."""
    done = subprocess.run(
        [tools.python(), "-c" if " " in program else "-m", program, *arguments],
        cwd=repository,
        env=_environment(),
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def _status(server: ReanaServer, folder: Path) -> str:
    (told,) = json.loads(client(server, folder, "status", "-w", "roots", "--json").stdout)
    return str(told["status"])


def _validate(repository: Path) -> str:
    return _tool(repository, "from reana_client.cli import cli; cli(prog_name='reana-client')", "validate")


def _repository(folder: Path, text: str) -> Repository:
    folder.mkdir()
    (folder / "septum.yaml").write_text(text, encoding="utf-8")
    return Repository(folder=folder)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An analysis that septum ran here, into result/, and Snakemake from the exported files, into results/."""
    repository = _repository(tmp_path_factory.mktemp("export") / "roots", ROOTS)
    folder = repository.folder
    for name in ("lib", "data"):
        (folder / name).mkdir()
    (folder / "lib/run.sh").write_text("#!/bin/sh\n")
    (folder / "lib/run.sh").chmod(0o755)
    for number, name in enumerate(("one", "two", "three")):
        write_root(folder / f"data/{name}.root", seed=number, weight=0.1 * number)
    done = repository.septum("run")
    assert done.returncode == 0, done.stdout
    done = repository.septum("export", "reana", "--image", IMAGE)
    assert done.returncode == 0, done.stdout
    _tool(folder, "snakemake", "--cores", "2")
    return folder


def test_reanas_own_client_finds_the_files_valid(both: Path) -> None:
    """Keys, parameters, commands, operations: nothing is warned of, and Snakemake finds its graph."""
    verdicts = [line for line in _validate(both).splitlines() if line.startswith("  -> ")]

    assert verdicts
    assert all(line.startswith("  -> SUCCESS") for line in verdicts)


def test_snakemake_makes_what_septum_makes(both: Path) -> None:
    """The outputs to the byte, the sum of histograms to the last digits, the tables that two programs merge."""
    for part, sample in (("0000", "one"), ("0001", "two"), ("0002", "three")):
        for name in ("out/hists.root", "table.csv", "note.md"):
            theirs, ours = both / "results/parts" / part / name, both / "result/parts" / part / name
            if ours.exists():
                assert theirs.read_bytes() == ours.read_bytes()
        assert (both / f"results/parts/{part}/note.md").read_text() == f"note of {sample}\n"
    with uproot.open(both / "results/dimuon.root") as theirs, uproot.open(both / "result/dimuon.root") as ours:
        np.testing.assert_allclose(theirs["mass"].values(), ours["mass"].values(), rtol=1e-15)
        np.testing.assert_allclose(theirs["mass"].variances(), ours["mass"].variances(), rtol=1e-15)
        assert theirs["mass"].values().sum() > 290
    for name in ("table.csv", "sub/by-command.csv"):
        assert (both / "results" / name).read_bytes() == (both / "result" / name).read_bytes()


def test_the_second_run_has_nothing_to_do_and_no_folder_of_work_is_left(both: Path) -> None:
    """The rules name what they write, and clear up."""
    assert "Nothing to be done" in _tool(both, "snakemake", "--cores", "1")
    assert not list((both / "work").iterdir())


def test_a_reana_server_makes_the_same(both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploaded, run and fetched by REANA's own client, from the two files and the inputs that they name."""
    monkeypatch.setenv("PATH", _environment()["PATH"])
    sent = tmp_path / "sent"
    sent.mkdir()
    for path in ("reana.yaml", "Snakefile", "lib", "data"):
        (shutil.copytree if (both / path).is_dir() else shutil.copy)(both / path, sent / path)
    with reana_server(tmp_path / "reana", slots=2) as server:
        client(server, sent, "run", "-w", "roots")
        ended = ("finished", "failed")
        assert wait_until(lambda: _status(server, sent) in ended, timeout_s=90), server.run_log("roots.1")
        assert _status(server, sent) == "finished", server.run_log("roots.1")
        client(server, sent, "download", "-w", "roots")

    for name in ("table.csv", "sub/by-command.csv"):
        # REANA's client leaves out the folders of single files, and packs whole folders.
        assert (sent / Path(name).name).read_bytes() == (both / "result" / name).read_bytes()
    with uproot.open(sent / "dimuon.root") as theirs, uproot.open(both / "results/dimuon.root") as ours:
        np.testing.assert_array_equal(theirs["mass"].values(), ours["mass"].values())
    (packed,) = sent.glob("*.zip")
    with zipfile.ZipFile(packed) as archive:
        (note,) = (name for name in archive.namelist() if name.endswith("0002/note.md"))
        assert archive.read(note) == b"note of three\n"


@pytest.mark.parametrize("form", ["words", "text"])
def test_every_value_arrives_by_snakemake_and_in_the_file_of_reana(form: str, tmp_path: Path) -> None:
    """To the last byte, in the words of the command and in its variables, also in names of inputs and outputs."""
    command: str | Sequence[str] = ["sh", "it's a/show.sh", "{value}", "<{value}>"]
    if form == "text":
        command = 'sh "it\'s a/show.sh" "$PART_value" "<$PART_value>"\nmv seen.tar "s ü\'.tar"\n'
    document = {
        "shell": "bash" if form == "text" else "sh",
        "command": command,
        "parts": {"list": [{"value": value, "number": str(number)} for number, value in enumerate(VALUES)]},
        "inputs": ["it's a/show.sh"],
        "outputs": ["s ü'.tar" if form == "text" else "seen.tar"],
        "image": IMAGE,
        "merge": {},
    }
    repository = _repository(tmp_path / "values", json.dumps(document))
    (repository.folder / "it's a").mkdir()
    (repository.folder / "it's a/show.sh").write_text(SHOW)
    done = repository.septum("export", "reana")
    assert done.returncode == 0, done.stdout

    _validate(repository.folder)
    _tool(repository.folder, "snakemake", "--cores", "2", "--quiet")

    for number, value in enumerate(VALUES):
        with tarfile.open(repository.folder / f"results/parts/{number:04d}" / document["outputs"][0]) as archive:  # type: ignore[index]
            seen = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        assert seen["word1"] == value.encode(), value
        assert seen["word2"] == f"<{value}>".encode(), value
        assert seen["variable"] == value.encode(), value
    assert not list(tmp_path.rglob("pwned"))


def test_a_part_that_fails_fails_the_workflow(tmp_path: Path) -> None:
    """And nothing is merged of the others."""
    text = f"image: {IMAGE}\nshell: bash\ncommand: 'false | true; echo x > t.txt'\noutputs: [t.txt]\n"
    repository = _repository(tmp_path / "fails", text + "merge: {t.txt: t.txt}\nparts: {list: [{s: a}, {s: b}]}\n")
    assert repository.septum("export", "reana").returncode == 0

    with pytest.raises(AssertionError, match="Error in rule part_000"):
        _tool(repository.folder, "snakemake", "--cores", "1")

    assert not (repository.folder / "results/t.txt").exists()


def _with_snakemake(folder: Path) -> dict[str, str]:
    """The environment in which septum finds the Snakemake of REANA."""
    folder.mkdir()
    (folder / "snakemake").write_text(f"#!{tools.python()}\n")
    (folder / "snakemake").chmod(0o755)
    return {"PATH": f"{folder}:{_environment()['PATH']}"}


def _planned(repository: Repository, *options: str, **environment: str) -> dict[str, Any]:
    done = repository.septum("plan", "--json", "--image", IMAGE, *options, timeout_s=120, **environment)
    assert done.returncode == 0, done.stdout
    plan: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])["plan"]
    return plan


@pytest.mark.parametrize("name", EXPORTED)
def test_the_plan_of_an_exported_example_is_that_of_the_example(name: str, tmp_path: Path) -> None:
    """The same parts in the same order, each with its values, command and outputs, merged to the same results."""
    shutil.copytree(EXAMPLES / name, tmp_path / "repository")
    repository = Repository(folder=tmp_path / "repository")
    assert repository.septum("export", "reana", "--image", IMAGE).returncode == 0

    before = _planned(repository)
    after = _planned(repository, "--config", "reana.yaml", **_with_snakemake(tmp_path / "bin"))

    ids = [part["id"] for part in before["parts"]]
    assert [part["id"] for part in after["parts"]] == ids
    assert [(f"results/{merge['result']}", merge["parts"]) for merge in before["merges"]] == [
        (merge["result"], merge["parts"]) for merge in after["merges"]
    ]
    asked = [(plan["request"][key], plan["image"]) for plan in (before, after) for key in ("memory_b", "time_s")]
    assert asked[:2] == asked[2:]
    assert [file for file in before["inputs"] if file not in after["inputs"]] == []
    (output,) = after["outputs"]
    for old, new in zip(before["parts"], after["parts"], strict=True):
        told = dict(new["values"])
        assert told["rule"] == f"part_{old['id']}"
        path = output["path"].format(**told)
        assert path == f"results/parts/{old['id']}/{before['outputs'][0]['path']}"
        for key, value in old["values"]:
            assert f"PART_{key}={value}" in told["reana_script"]


def test_every_value_arrives_when_the_export_is_read_back(tmp_path: Path) -> None:
    """Through a Snakefile, Snakemake, a plan and a job, to the last byte."""
    document = {
        "command": ["sh", "show.sh", "{value}", "<{value}>"],
        "parts": {"list": [{"value": value, "number": str(number)} for number, value in enumerate(VALUES)]},
        "inputs": ["show.sh"],
        "outputs": ["seen.tar"],
        "image": IMAGE,
        "merge": {},
    }
    repository = _repository(tmp_path / "values", json.dumps(document))
    (repository.folder / "show.sh").write_text(SHOW)
    assert repository.septum("export", "reana").returncode == 0

    done = repository.septum("run", "--config", "reana.yaml", timeout_s=300, **_with_snakemake(tmp_path / "bin"))

    assert done.returncode == 0, done.stdout
    for number, value in enumerate(VALUES):
        # 'outputs: directories' of the export: a folder comes back as an archive.
        packed = repository.folder / f"result/parts/{number:04d}/results/parts.tar.gz"
        with tarfile.open(packed) as folder:
            back = folder.extractfile(f"results/parts/{number:04d}/seen.tar")
            assert back is not None
            content = io.BytesIO(back.read())
        with tarfile.open(fileobj=content) as archive:
            seen = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        assert seen["word1"] == seen["variable"] == value.encode(), value
        assert seen["word2"] == f"<{value}>".encode(), value
    assert not list(tmp_path.rglob("pwned"))


def test_what_is_exported_is_read_back_and_gives_the_same(tmp_path: Path) -> None:
    """The same parts, outputs, memory and merge; run by septum again, the same sums."""
    folder = tmp_path / "minimal"
    shutil.copytree(EXAMPLE, folder)
    repository = Repository(folder=folder)
    before = json.loads(repository.septum("export", "reana", "--image", IMAGE, "--json").stdout)
    assert before["written"] == ["reana.yaml", "Snakefile"]
    done = repository.septum("run")
    assert done.returncode == 0, done.stdout
    environment = _with_snakemake(tmp_path / "bin")

    done = repository.septum(
        "run", "--config", "reana.yaml", "--state", ".again", "--result", "again", timeout_s=300, **environment
    )

    assert done.returncode == 0, done.stdout
    there, back = (json.loads((folder / name / "plan.json").read_text())["plan"] for name in (".septum", ".again"))
    assert len(back["parts"]) == len(there["parts"]) == 4
    assert [merge["parts"] for merge in back["merges"]] == [merge["parts"] for merge in there["merges"]]
    with uproot.open(folder / "again/results/zpeak.root") as again, uproot.open(folder / "result/zpeak.root") as first:
        assert again.keys() == first.keys()
        histograms = again.keys(cycle=False, filter_classname="TH1*")
        assert histograms
        for key in histograms:
            np.testing.assert_array_equal(again[key].values(), first[key].values())
