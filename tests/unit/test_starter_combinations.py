"""Every combination of answers gives a repository that is right: linted, of the schemas, previewed as by GitLab."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from septum.clusters.catalog import load_profile, shipped_names
from septum.preview.request import preview
from septum.preview.shelf import Shelf
from septum.preview.situation import PROJECT, SERVER, Situation
from septum.preview.source import Source
from septum.stages import Options, make_plan
from septum.starting.answers import QUESTIONS, Answers, complete
from tests.previewing import schema_errors
from tests.starting import ROOT, config, files

CLUSTERS = ("local", "infn-af", "local,infn-af,cern-lxbatch", "my-site,local")
DIGEST = f"gitlab-registry.cern.ch/my-group/my-analysis@sha256:{'0a' * 32}"
IMAGES = ("", "docker.io/rootproject/root:6.32.02-ubuntu24.04", DIGEST, "ghcr.io:443/my-group/x")
CHOICES = {question.name: question.choices for question in QUESTIONS}
ALL = {"septum-prepare", "septum-submit", "septum-collect"}
FRAMEWORK = {f"septum-{job}" for job in ("recorder", "prepare", "submit", "collect", "merge", "result")}
MAIN, FORM = Situation(), Situation(source="web")
MERGE_REQUEST = Situation(source="merge_request_event", ref="topic", protected=False)
TAG = Situation(ref="v1.2", tag=True)


def _combinations() -> Iterator[Answers]:
    free = (CHOICES["framework"], CHOICES["experiment"], CHOICES["compare"], CLUSTERS, IMAGES)
    for framework, experiment, compare, clusters, image in product(*free):
        said = {"framework": framework, "experiment": experiment, "compare": compare, "clusters": clusters}
        yield complete("my-analysis", {**said, "image": image, "owner": "@my-group"})
    for framework in CHOICES["framework"]:
        for license_name in CHOICES["license"]:
            yield complete("x1", {"framework": framework, "license": license_name})
        yield complete("a" * 63, {"framework": framework, "project": "https://gitlab.example.org:8443/a/b/c"})
        if framework != "command":
            yield complete("a.b_c-d", {"framework": framework, "data": "root://h.example.org:1094//a=b/c,d.root"})


@cache
def _by_path() -> Mapping[str, Mapping[str, Answers]]:
    """All different texts of each file, with answers that give them."""
    found: dict[str, dict[str, Answers]] = defaultdict(dict)
    for answers in _combinations():
        for path, text in files(answers).items():
            found[path].setdefault(text, answers)
    return found


def _load(text: str) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(text))


def test_nothing_of_the_starter_is_left_in_a_repository() -> None:
    """No mark of a template, no line too long to read, no heap of empty lines, one line end at the end."""
    assert len(_by_path()) > 20
    for path, texts in _by_path().items():
        for text in texts:
            # Braces of placeholders, of f-strings and of shell stay; marks of Jinja stand with a blank.
            assert not re.search(r"{{ |{%|%}| }}|StrictUndefined", text), path
            assert "\n\n\n" not in text.replace("\n\n\nclass", "").replace("\n\n\ndef", "").replace("\n\n\nif", ""), (
                path
            )
            assert text.endswith("\n"), path
            assert not text.endswith("\n\n"), path
            if not path.startswith(("LICENSE", "README", ".gitlab-ci")):
                assert [line for line in text.splitlines() if len(line) > 130] == [], path
            assert not re.search(r"[ \t]$", text, re.MULTILINE), path


def _ruff(folder: Path, *words: str) -> str:
    own = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    command = [str(Path(sys.executable).with_name("ruff")), *words, *own, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_python_is_linted_as_the_examples_are(tmp_path: Path) -> None:
    """And formatted; what mkShapesRDF reads has names that another of its files defines."""
    number = 0
    for path, texts in _by_path().items():
        for text in texts if path.endswith(".py") else ():
            number += 1
            kind = "shapes" if path.startswith("shapes/") else "plain"
            file = tmp_path / kind / str(number) / path
            file.parent.mkdir(parents=True)
            file.write_text(text)
            for beside in ("toys.py", "analysis.py"):
                stub = tmp_path / kind / str(number) / beside
                stub.write_text(stub.read_text() if stub.exists() else '"""A module that it imports."""\n')
    assert number >= 15
    loose = ["--ignore", "ANN,INP001,PLR2004,PLW1510,PT009,S,D101,D401,D205,I001,A004,N806,S102"]
    single = ["--config", "format.quote-style='single'"]

    assert _ruff(tmp_path / "plain", "check", *loose) == ""
    assert _ruff(tmp_path / "plain", "format", "--check") == ""
    assert _ruff(tmp_path / "shapes", "check", "--select", "E,W,F", "--ignore", "F821") == ""
    assert _ruff(tmp_path / "shapes", "format", "--check", *single) == ""


def test_pipeline_is_of_gitlabs_schema() -> None:
    """Header and body of each."""
    for text, answers in _by_path()[".gitlab-ci.yml"].items():
        documents = _load(text)
        assert [schema_errors(document) for document in documents] == [[], []], answers
        (header, _) = documents
        assert header["spec"]["inputs"]["cluster"]["options"] == list(answers.clusters)
        assert header["spec"]["inputs"]["image"]["default"] == answers.image


def test_shell_of_the_pipeline_is_checked(tmp_path: Path) -> None:
    """By ShellCheck, as what the library ships."""
    scripts = {tuple(_load(text)[1]["unit-test"]["script"]) for text in _by_path()[".gitlab-ci.yml"]}
    for number, script in enumerate(scripts):
        (tmp_path / f"{number}.sh").write_text("\n".join(["#!/bin/sh", *script]) + "\n")

    program = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([program, *tmp_path.glob("*.sh")], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def _names(text: str, situation: Situation, inputs: Mapping[str, str] | None = None) -> set[str]:
    shelf = Shelf(folder=ROOT / "examples" / "dimuon", project=PROJECT, server=SERVER, library=ROOT)
    made = preview(Source(name=".gitlab-ci.yml", text=text), dict(inputs or {}), shelf, situation)
    return {job.name for job in made.jobs}


def test_every_pipeline_is_what_gitlab_would_run() -> None:
    """A push, a merge request, a tag, and "Run pipeline" with each other cluster and with another container."""
    texts = _by_path()[".gitlab-ci.yml"]
    assert len(texts) > 100
    for text, answers in texts.items():
        run = FRAMEWORK if answers.framework == "mkshapesrdf" else ALL
        compared = {"septum-compare"} if answers.compare in {"statistical", "exact"} else set()
        here = answers.clusters[0] == "local"
        assert _names(text, MAIN) == {"unit-test", *run}, answers
        wanted = {*run, *compared} if here else {"septum-skipped"}
        assert _names(text, MERGE_REQUEST) == {"unit-test", *wanted}, answers
        for cluster in answers.clusters[1:]:
            assert _names(text, FORM, {"cluster": cluster}) == {"unit-test", *run}, (answers, cluster)


def test_a_tag_of_a_version_builds_the_image() -> None:
    """And other tags do not."""
    text = next(iter(_by_path()[".gitlab-ci.yml"]))

    assert _names(text, TAG) - _names(text, MAIN) == {"septum-pack-image", "septum-build-image"}
    assert _names(text, Situation(ref="paper", tag=True)) == _names(text, MAIN)


@pytest.mark.parametrize(
    ("image", "given", "taken"),
    [
        ("", "gitlab-registry.cern.ch/my-group/x:1", True),
        ("", "docker.io/x/y:1", False),
        ("docker.io/x/y:1", "docker.io/x/y:2", True),
        ("docker.io/x/y:1", "docker.io/x/y@sha256:" + "0" * 64, True),
        ("docker.io/x/y:1", "docker.io/x/yz:1", False),
        ("docker.io/x/y:1", "dockerXio/x/y:1", False),
        ("docker.io/x/y:1", "docker.io/x/y:1 # x", False),
        ("docker.io/x/y:1", "", False),
    ],
)
def test_the_form_takes_versions_of_the_image_and_no_other(image: str, given: str, taken: bool) -> None:  # noqa: FBT001
    """Who may start a pipeline chooses an image, and what runs in it sees the project's variables."""
    from septum.errors import InputError

    text = files(complete("x", {"image": image}))[".gitlab-ci.yml"]

    if taken:
        assert "septum-collect" in _names(text, FORM, {"image": given})
    else:
        with pytest.raises(InputError):
            _names(text, FORM, {"image": given})


def test_septum_yaml_is_of_the_schema_and_makes_a_plan(tmp_path: Path) -> None:
    """Of a few parts."""
    schema = json.loads((ROOT / "docs" / "reference" / "septum.schema.json").read_text())
    for number, (text, answers) in enumerate(_by_path()["septum.yaml"].items()):
        (document,) = _load(text)
        assert document["name"] == answers.name
        assert document["compare"] == (
            {"reference": "none"} if answers.compare == "none" else {"reproducibility": "report"}
        )
        assert list(Draft202012Validator(schema).iter_errors(document)) == []
        if answers.framework == "mkshapesrdf":
            # Its plan is what it submits.
            assert document["framework"] == {"known": "mkshapesrdf", "folder": "shapes"}
            continue
        if answers.data:
            assert document["parts"]["entries"]["file"] == answers.data
            continue
        folder = tmp_path / str(number)
        for path, content in files(answers).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
        plan = make_plan(Options(config=folder / "septum.yaml", cluster="local", environ={}))
        assert 2 <= len(plan.parts) <= 6


def test_profiles_of_own_clusters_say_what_is_to_fill_in(tmp_path: Path) -> None:
    """They are read, and cannot be used before somebody has filled them in."""
    for path, texts in _by_path().items():
        for text in texts if path.startswith("clusters/") else ():
            (tmp_path / "clusters").mkdir(exist_ok=True)
            (tmp_path / path).write_text(text)
            loaded = load_profile(Path(path).stem, environ={}, root=tmp_path, complete=False)
            assert not loaded.profile.usable
            assert path in loaded.profile.unusable_because
    assert list((tmp_path / "clusters").iterdir()) == [tmp_path / "clusters" / "my-site.yaml"]


def test_other_files_are_what_they_are_for() -> None:
    """Renovate knows the server, the container is the one that was chosen, the badge is the project's."""
    for text, answers in _by_path()["renovate.json"].items():
        host = answers.project.split("/")[2] if answers.project else "gitlab.cern.ch"
        assert json.loads(text)["registryAliases"] == {"$CI_SERVER_FQDN": host}
    for text, answers in _by_path()["Containerfile"].items():
        base = re.findall(r"^FROM (.*)$", text, re.MULTILINE)
        assert base == [answers.image or f"gitlab-registry.cern.ch/cms-analysis/general/septum:{_version()}"]
    for text, answers in _by_path()["README.md"].items():
        address = answers.project or f"https://gitlab.cern.ch/{(answers.owner or '@YOUR-NAME')[1:]}/{answers.name}"
        assert f"[![pipeline]({address}/badges/main/pipeline.svg)]({address}/-/pipelines)" in text
        assert ("## Licence" in text) == (answers.license != "none")
    for text, answers in _by_path()["CODEOWNERS"].items():
        assert (f"* {answers.owner}\n" in text) == bool(answers.owner)
    said = {"Apache-2.0": "Apache License", "MIT": "MIT License", "BSD-3-Clause": "BSD 3-Clause License"}
    licenses = {answers.license: text for text, answers in _by_path()["LICENSE"].items()}
    assert {name: words for name, words in said.items() if words in licenses[name][:100]} == said


def _version() -> str:
    import septum

    return septum.__version__


# ── one truth ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_copier_asks_what_septum_new_asks() -> None:
    """The same questions with the same words, choices and defaults; the version is that of the package."""
    asked = {name: its for name, its in config().items() if isinstance(its, dict) and its.get("when") is not False}
    asked = {name: its for name, its in asked.items() if not name.startswith("_")}

    assert list(asked) == ["name", *CHOICES]
    for question in QUESTIONS:
        its = asked[question.name]
        assert tuple(its.get("choices", ())) == question.choices
        assert its["help"].split(",")[0] == question.text.split(",")[0]
        assert its["default"] == ("[local]" if question.name == "clusters" else question.default)
    assert config()["septum_version"]["default"] == _version()
    shipped = ", ".join(f"'{name}'" for name in shipped_names())
    assert f"[{shipped}]" in config()["own_clusters"]["default"]
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & set(config())
