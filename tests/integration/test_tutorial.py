"""The pages do what they say: commands are run as they stand there, configurations are read by septum itself."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from ruamel.yaml import YAML

import septum
import septum.facility
from septum.cli import parser
from septum.clusters.catalog import load_profile, shipped_names
from septum.clusters.profile import keys, variable_of
from septum.errors import every_error
from septum.facility import COMPUTE_SCOPES, Facility
from septum.plan import Plan
from septum.stages import Options, make_plan
from tests.pages import Block, Reader, blocks
from tests.workshop import Repository, client_environment

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-analysis.md"
PAGES = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "reference" not in path.relative_to(ROOT).parts),
]
ALL = [block for page in PAGES for block in blocks(page)]
FILES = [block for block in ALL if block.title]
OWN_VALUES = [block for block in ALL if block.language == "sh"]


# ── the tutorial ────────────────────────────────────────────────────────────────────────────────────────────────


def _exported(block: Block) -> set[str]:
    return set(re.findall(r"^(?:export |read -rs )([A-Z_][A-Z0-9_]*)", block.text, re.MULTILINE))


def _of_the_facility(facility: Facility) -> dict[str, str]:
    """What stands for the reader's own values, and the addresses that replace those of the profile."""
    own = {
        **client_environment(facility),
        "SEPTUM_CA": str(facility.ca_file),
        "SEPTUM_CLUSTER_SCHEDD": facility.endpoint.schedd,
    }
    assert set(own) == {name for block in blocks(TUTORIAL) for name in _exported(block)}
    return {
        **own,
        "SEPTUM_CLUSTER_COLLECTOR": facility.endpoint.collector,
        "SEPTUM_CLUSTER_ISSUER": facility.issuer.url,
        "SEPTUM_CLUSTER_SCOPE": " ".join(["wlcg", *COMPUTE_SCOPES]),
        "SEPTUM_CLUSTER_POLL_FLOOR": "1 s",
        "SEPTUM_CLUSTER_POLL_CEILING": "2 s",
    }


def test_every_command_of_the_tutorial_does_what_the_page_shows(facility: Facility, tmp_path: Path) -> None:
    """From an empty folder to the same result on this machine and on the pool."""
    reader = Reader(folder=tmp_path, environ=Repository(folder=tmp_path).environment())
    masses = []
    for block in blocks(TUTORIAL):
        if block.language == "sh":
            own = Repository(folder=tmp_path, environ=_of_the_facility(facility))
            reader.environ = own.environment()
        reader.follow(block)
        if (tmp_path / "result" / "mass.root").is_file():
            masses.append(_values(tmp_path / "result" / "mass.root"))

    assert len(masses) >= 2
    assert np.array_equal(masses[0], masses[-1])
    assert set(_ignored(tmp_path)) == {".septum", "result"}


def _values(path: Path) -> Any:
    with uproot.open(path) as file:
        return file["mass"].values(flow=True)


def _ignored(folder: Path) -> list[str]:
    """What Git would leave out of the folders and files that are there."""
    names = [path.name for path in folder.iterdir()]
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    done = subprocess.run(["git", "check-ignore", *names], cwd=folder, text=True, capture_output=True, check=True)
    return done.stdout.split()


def test_the_readers_own_values_are_all_that_the_profile_of_the_tutorial_lacks() -> None:
    """With them, nothing is missing any more; the file of the CA is not looked at yet."""
    profile = load_profile("infn-af", environ={}, root=ROOT, complete=False).profile
    (block,) = (block for block in OWN_VALUES if block.page == TUTORIAL.relative_to(ROOT).as_posix())
    environ = {name: "x" for name in _exported(block) if name.startswith("SEPTUM_CLUSTER_")}

    load_profile("infn-af", environ=environ, root=ROOT, complete=True)
    assert _exported(block) - set(environ) == {
        profile.ca_variable,
        profile.client_id_variable,
        profile.client_secret_variable,
    }


# ── files on the pages ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the configurations of the pages name."""
    folder = tmp_path_factory.mktemp("analysis")
    (folder / "data").mkdir()
    (folder / "config").mkdir()
    for name in ("analyse.py", "toys.py", "config/cuts.yaml"):
        (folder / name).touch()
    (folder / "files.txt").write_text("".join(f"root://x.example.org//store/{number}.root\n" for number in range(25)))
    for name in ("muons", "more", "most"):
        with uproot.recreate(folder / "data" / f"{name}.root") as file:
            file.mktree("events", {"pt": "float32"}).extend({"pt": np.zeros(4500, dtype=np.float32)})
    for block in FILES:
        if block.title.endswith(".csv"):
            (folder / block.title).write_text(block.text + "\n")
    return folder


def _plan(block: Block, folder: Path) -> Plan:
    (folder / "septum.yaml").write_text(block.text + "\n")
    return make_plan(Options(config=folder / "septum.yaml", cluster="local", environ={}))


CONFIGS = [block for block in FILES if block.title in {"septum.yaml", "broken.yaml"}]


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_every_configuration_gives_a_plan(block: Block, analysis: Path) -> None:
    """Of several parts, since none of the pages shows less."""
    assert len(_plan(block, analysis).parts) >= 2


def test_the_five_ways_give_the_parts_that_the_page_says(analysis: Path) -> None:
    """In the order of the page: two samples with three seeds, three files in twos, and so on."""
    page = [block for block in CONFIGS if block.page == "docs/how-to/choose-parts.md"]

    assert [len(_plan(block, analysis).parts) for block in page] == [6, 2, 3, 5, 3, 2, 9, 3, 100]


def test_results_are_named_as_the_page_says(analysis: Path) -> None:
    """One for each sample, and one of all."""
    block, *_ = (block for block in CONFIGS if block.page == "docs/how-to/merge-into-several-results.md")
    merges = {merge.result: len(merge.parts) for merge in _plan(block, analysis).merges}

    assert merges == {"DY.root": 50, "TT.root": 50, "all.root": 100}


@pytest.mark.parametrize("block", [block for block in FILES if block.title.startswith("clusters/")], ids=str)
def test_every_profile_can_be_used(block: Block, tmp_path: Path) -> None:
    """A reader who copies it has to change the names of hosts only."""
    (tmp_path / "clusters").mkdir()
    (tmp_path / block.title).write_text(block.text + "\n")

    load_profile(Path(block.title).stem, environ={}, root=tmp_path, complete=True)


@pytest.mark.parametrize("block", [block for block in FILES if block.title == ".gitlab-ci.yml"], ids=str)
def test_every_include_is_one_that_the_component_takes(block: Block) -> None:
    """It names a component of this version, gives inputs that exist, and every one that has no default."""
    (include,) = YAML(typ="safe", pure=True).load(block.text)["include"]
    # A mirror has a group of its own.
    found = re.fullmatch(r"\$CI_SERVER_FQDN/[a-z/-]+/septum/([a-z-]+)@([\d.]+)", include["component"])
    assert found is not None
    header, _ = YAML(typ="safe", pure=True).load_all((ROOT / "templates" / f"{found[1]}.yml").read_text())
    inputs = header["spec"]["inputs"]

    assert f"{septum.__version__}.".startswith(f"{found[2]}.")
    assert set(include["inputs"]) <= set(inputs)
    assert {name for name, entry in inputs.items() if "default" not in entry} <= set(include["inputs"])
    assert include["inputs"].get("cluster", "local") in shipped_names()
    for name, value in include["inputs"].items():
        assert re.search(inputs[name].get("regex", ""), value)


@pytest.mark.parametrize("block", [block for block in FILES if block.language == "python"], ids=str)
def test_every_script_speaks_to_the_package_that_there_is(block: Block) -> None:
    """Names that it imports from septum, and arguments that it gives to a pipeline, exist."""
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "septum.facility":
            assert {name.name for name in node.names} <= set(septum.facility.__all__)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "facility.pipeline":
            taken = set(inspect.signature(Facility.pipeline).parameters)
            assert {str(keyword.arg) for keyword in node.keywords} <= taken


# ── words on the pages ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("block", [block for block in ALL if block.language in {"", "console"}], ids=str)
def test_every_command_exists(block: Block) -> None:
    """Verbs and options of septum, targets of make, commands of the facility."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line in block.text.splitlines():
        command = line.removeprefix("$ ").split("||")[0]
        words = shlex.split(command, comments=True) if re.match(r"(septum|make) [a-z]", command) else []
        if words[:1] == ["septum"]:
            parser().parse_args(words[1:])
        elif words:
            assert words[1] in targets


def test_every_code_and_every_variable_exists() -> None:
    """A reader who looks for it finds it."""
    codes = {error.code for error in every_error()}
    variables = {variable_of(key) for key in keys()}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")

        assert set(re.findall(r"\bE\d{3}\b", text)) <= codes, page
        assert set(re.findall(r"\bSEPTUM_CLUSTER_[A-Z_]+[A-Z]\b", text)) <= variables, page


@pytest.mark.parametrize("block", OWN_VALUES, ids=str)
def test_own_values_are_valid_shell(block: Block) -> None:
    """Whoever replaces the values has nothing else to correct."""
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)

    assert _exported(block)


def test_every_page_is_listed() -> None:
    """Nobody has to guess that it is there."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    assert pages - {"index.md"} <= set(re.findall(r"\]\(([^)#]+)\)", index))


def test_the_picture_is_that_of_the_demo(tmp_path: Path) -> None:
    """Drawn from the events of `make demo`, here in one process: `docs/images/make_dimuon.py` draws it anew."""
    example, images = ROOT / "examples" / "dimuon", ROOT / "docs" / "images"
    config = YAML(typ="safe", pure=True).load((example / "septum.yaml").read_text())
    last = config["parts"]["entries"]["total"] - 1
    # No caches of compiled code in the repository.
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    for words in (
        [example / "dimuon.py", "--first", "0", "--last", str(last)],
        [images / "make_dimuon.py", "hists.root", "dimuon.svg"],
    ):
        subprocess.run([sys.executable, *map(str, words)], cwd=tmp_path, env=environ, check=True, timeout=120)

    assert (tmp_path / "dimuon.svg").read_text() == (images / "dimuon.svg").read_text()
