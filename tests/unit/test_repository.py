"""The repository as a whole: one version, words spelled as their owners do, nothing of one machine, links that lead."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import septum
from tests import lanes
from tests.committed import committed_files
from tests.previewing import schema_errors

ROOT = Path(__file__).parents[2]
# They name what must stand nowhere.
_JUDGES = {"tests/unit/test_repository.py", "tests/unit/test_gate_docs.py", "LICENSE"}


@functools.cache
def _texts() -> dict[str, str]:
    texts = {}
    for path in committed_files():
        try:
            texts[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return texts


def _found(pattern: str, *, besides: str = "") -> list[str]:
    """Where a pattern stands, as file:line: text."""
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in _texts().items()
        if name not in _JUDGES
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line) and not (besides and re.search(besides, line))
    ]


def test_one_version() -> None:
    """The package, the metadata and the changelog speak of the same one."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert re.findall(r'^version = "(.+)"$', project, re.MULTILINE) == [septum.__version__]
    assert versions[0] == septum.__version__


def test_changelog_has_the_form_that_it_names() -> None:
    """Keep a Changelog: sections of kinds, entries in them, newest version first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    versions = [tuple(map(int, v.split("."))) for v in re.findall(r"^## \[(\d+\.\d+\.\d+)\]", text, re.MULTILINE)]

    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
    assert versions == sorted(versions, reverse=True)
    for heading in re.findall(r"^## (.+)$", text, re.MULTILINE):
        assert re.fullmatch(r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - (unreleased|\d{4}-\d{2}-\d{2})", heading)


@pytest.mark.parametrize(
    "wrong",
    [
        r"(?<!gitlab\.)\bGitlab\b",
        r"\bGit[- ]Lab\b",
        r"\b(Htcondor|HTcondor|HtCondor|HT-?Condor(?<!HTCondor))\b",
        r"\bCern\b",
        r"\b[Rr]oot (file|histogram|tree|object)s?\b",
        r"\bKrb5 |\bScitokens?\b|\bSciToken's\b",
        r"\b(Pypi|Github)\b",
    ],
)
def test_names_of_products_are_spelled_as_their_owners_do(wrong: str) -> None:
    """GitLab, HTCondor, CERN, ROOT, SciTokens."""
    assert _found(wrong) == []


def test_text_files_end_with_one_line_break_and_no_line_with_a_blank() -> None:
    """As .editorconfig has it."""
    texts = {name: text for name, text in _texts().items() if text}

    assert [name for name, text in texts.items() if not text.endswith("\n") or text.endswith("\n\n")] == []
    assert [name for name, text in texts.items() if re.search(r"[ \t]\r?$", text, re.MULTILINE)] == []


# ── how it is judged ────────────────────────────────────────────────────────────────────────────────────────────


def _yaml(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((ROOT / name).read_text(encoding="utf-8"))


def test_what_decides_runs_every_test() -> None:
    """`.ci/run` is executable, a valid script, and calls make test."""
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    assert script.read_text(encoding="utf-8").rstrip().endswith("make test")


def test_hooks_come_from_this_repository_alone() -> None:
    """So that they and `make check` use the same versions."""
    assert [repo["repo"] for repo in _yaml(".pre-commit-config.yaml")["repos"]] == ["local"]


def test_gitlabs_own_schema_accepts_the_pipeline() -> None:
    """The schema that GitLab's editor uses, as a checker from PyPI ships it."""
    assert schema_errors(_yaml(".gitlab-ci.yml")) == []


def test_no_ci_job_has_the_name_of_a_keyword() -> None:
    """`image:` at the top would be the image of all CI jobs."""
    keywords = {"default", "include", "stages", "variables", "workflow"}
    reserved = {"image", "services", "cache", "before_script", "after_script", "types", "spec", "pages"}

    assert keywords <= _yaml(".gitlab-ci.yml").keys()
    assert not reserved & _yaml(".gitlab-ci.yml").keys()


def test_images_are_pinned() -> None:
    """By a tag that says a version."""
    pipeline = _yaml(".gitlab-ci.yml")
    images = [job["image"] for job in pipeline.values() if isinstance(job, dict) and "image" in job]
    images += re.findall(r"^FROM (.+)$", (ROOT / "Containerfile").read_text(encoding="utf-8"), re.MULTILINE)

    assert len(images) >= 4
    assert [image for image in images if not re.search(r":(v?\d+\.\d+\.\d+|\$PYTHON)", image)] == []


def test_the_catalog_release_is_made_by_the_keyword_on_a_version_tag() -> None:
    """A release made otherwise never reaches the catalog."""
    pipeline = _yaml(".gitlab-ci.yml")
    condition = pipeline[pipeline["release"]["extends"]]["rules"][0]["if"]

    assert pipeline["release"]["release"]["tag_name"] == "$CI_COMMIT_TAG"
    pattern = re.search(r"=~ /(.+)/", condition)
    assert pattern is not None
    assert re.search(pattern[1], septum.__version__)
    assert not re.search(pattern[1], "latest")
    assert not re.search(pattern[1], "1.2")


def test_lanes_know_the_files() -> None:
    """What is begun first is there; all that has a pool is one piece, any other file another."""
    assert [name for name in (*lanes.LONGEST, *lanes.WITH_POOL) if not (ROOT / name).exists()] == []
    assert len(set(lanes.LONGEST)) == len(lanes.LONGEST)
    assert [name for name in lanes.LONGEST if lanes.lane(f"{name}::test_it") != name] == []
    for name in ("faults/test_jobs", "contract/test_values", "integration/test_pipeline", "integration/test_pool_life"):
        assert lanes.lane(f"tests/{name}.py::test_it[a/b::c]") == lanes.POOL
    assert lanes.lane("tests/unit/test_plan.py::test_it[tests/faults/]") == "tests/unit/test_plan.py"


@pytest.mark.parametrize("options", [[], ["-p", "tests.lanes", "-n", "2"]], ids=["alone", "in lanes"])
@pytest.mark.parametrize(("ci", "body", "code"), [
    ("true", "pytest.skip('no tool')", 1),
    ("true", "pass", 0),
    ("true", "assert False", 1),
    ("false", "pytest.skip('no tool')", 0),
    ("", "pytest.skip('no tool')", 0),
])  # fmt: skip
def test_on_ci_a_skipped_test_is_a_failed_one(
    tmp_path: Path, ci: str, body: str, code: int, options: list[str]
) -> None:
    """Elsewhere it is listed with its reason."""
    (tmp_path / "test_it.py").write_text(f"import pytest\n\n\ndef test_it():\n    {body}\n")
    alone = [
        "-ra",
        "-p",
        "tests.skips",
        *options,
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        "-c",
        os.devnull,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *alone, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "CI": ci},
        text=True,
        capture_output=True,
        check=False,
    )

    assert done.returncode == code, done.stdout + done.stderr
    assert ("no tool" in done.stdout) == ("skip" in body)
    assert ("nothing may be skipped" in done.stdout) == (ci == "true" and "skip" in body)
