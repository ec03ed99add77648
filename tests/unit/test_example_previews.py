"""What GitLab would run of each example, in the situations that matter: kept in tests/golden/, and judged here."""

from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml import YAML

from septum.components.catalog import COMPONENTS
from septum.preview.pipeline import Pipeline
from septum.preview.request import main_file, preview
from septum.preview.shelf import Shelf
from septum.preview.situation import PROJECT, SERVER, Situation
from septum.stages import Options, make_plan
from tests.golden import write
from tests.previewing import schema_errors

ROOT = write.ROOT
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/.gitlab-ci.yml"))
MAIN = Situation()
TOPIC = Situation(ref="topic", protected=False)
MERGE_REQUEST = Situation(source="merge_request_event", ref="topic", protected=False)
SCHEDULE = Situation(source="schedule")
TAG = Situation(ref="v1.2", tag=True)

ALL = "septum-prepare septum-submit septum-collect"
HOPS = "septum-prepare septum-submit septum-hop-1 septum-hop-2 septum-collect"
RUNS = "run2-prepare run2-submit run2-collect run3-prepare run3-submit run3-collect"
STEPS = "new-preflight new-prepare new-submit new-collect old-prepare old-submit old-collect seeds septum-compare plot"
FRAMEWORK = " ".join(f"septum-{job}" for job in ("recorder", "prepare", "submit", "collect", "merge", "result"))
EXPECTED = [
    ("minimal", MAIN, ALL),
    ("minimal", TOPIC, ALL),
    ("minimal", TAG, ALL),
    ("minimal", SCHEDULE, ALL),
    ("minimal", MERGE_REQUEST, ""),
    ("two-clusters", MAIN, ALL),
    ("two-clusters", TAG, ALL),
    ("two-clusters", TOPIC, "septum-skipped"),
    ("years", MAIN, RUNS),
    ("years", TOPIC, RUNS),
    ("compare-in-merge-requests", MAIN, ALL),
    ("compare-in-merge-requests", MERGE_REQUEST, f"{ALL} septum-compare"),
    ("compare-in-merge-requests", TOPIC, ""),
    ("compare-in-merge-requests", TAG, ""),
    ("nightly", MAIN, ""),
    ("nightly", TOPIC, ""),
    ("nightly", SCHEDULE, f"{ALL} septum-sweep"),
    ("hops", MAIN, HOPS),
    ("hops", TAG, HOPS),
    ("hops", TOPIC, "septum-skipped"),
    ("hops", MERGE_REQUEST, ""),
    ("several-includes", MAIN, STEPS),
    ("several-includes", TAG, STEPS),
    ("several-includes", TOPIC, ""),
    ("several-includes", MERGE_REQUEST, ""),
    ("captured-framework", MAIN, FRAMEWORK),
    ("captured-framework", TAG, FRAMEWORK),
    ("captured-framework", TOPIC, "septum-skipped"),
    ("captured-framework", MERGE_REQUEST, ""),
]


def _preview(example: str, situation: Situation) -> Pipeline:
    source, folder = main_file(ROOT / "examples" / example)
    return preview(source, {}, Shelf(folder=folder, project=PROJECT, server=SERVER, library=ROOT), situation)


def _load(text: str) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(text))


@pytest.mark.parametrize(("example", "situation", "jobs"), EXPECTED)
def test_example_has_these_jobs(example: str, situation: Situation, jobs: str) -> None:
    """What the README promises: pushes to protected and other branches, tags, merge requests, schedules."""
    assert {job.name for job in _preview(example, situation).jobs} == set(jobs.split())


def test_what_is_submitted_cannot_be_cancelled_by_a_newer_commit() -> None:
    """Of no example: once there are jobs, a run goes on to its end."""
    for example in EXAMPLES:
        for job in _preview(example, SCHEDULE if example == "nightly" else MAIN).jobs:
            if job.name.endswith(("-submit", "-collect")):
                assert job.keywords["interruptible"] is False


@pytest.mark.parametrize("name", write.GOLDEN)
def test_preview_is_the_golden_one(name: str) -> None:
    """A change of a component shows here what it changes for users: write it anew, and read the difference."""
    golden = (write.FOLDER / f"{name}.yml").read_text(encoding="utf-8")

    assert write.preview(name) == golden, "look at it, then: python3 tests/golden/write.py"


def test_golden_files_are_those_of_the_table() -> None:
    """None is forgotten, and each example has one."""
    assert {path.stem for path in write.FOLDER.glob("*.yml")} == set(write.GOLDEN)
    assert {name.partition(".")[0] for name in write.GOLDEN} == set(EXAMPLES)


@pytest.mark.parametrize("name", write.GOLDEN)
def test_gitlabs_schema_accepts_the_preview(name: str) -> None:
    """All includes, inputs and `extends` resolved."""
    documents = _load((write.FOLDER / f"{name}.yml").read_text(encoding="utf-8"))

    # A pipeline without CI jobs leaves comments only.
    assert [schema_errors(document) for document in documents if document is not None] in ([], [[]])


@pytest.mark.parametrize("example", EXAMPLES)
def test_gitlabs_schema_accepts_what_the_user_writes(example: str) -> None:
    """The file itself, its header and its body."""
    documents = _load((ROOT / "examples" / example / ".gitlab-ci.yml").read_text(encoding="utf-8"))

    assert [schema_errors(document) for document in documents] == [[]] * len(documents)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_small_and_whole(example: str) -> None:
    """A pipeline, a configuration, Python, half a page to read; every configuration makes a plan of a few parts."""
    folder = ROOT / "examples" / example
    readme = (folder / "README.md").read_text(encoding="utf-8")

    assert {".yml", ".yaml", ".py", ".md"} == {path.suffix for path in folder.iterdir() if path.is_file()} - {""}
    assert len(readme.splitlines()) < 50
    assert {"## Run it", "## What to change"} <= set(readme.splitlines())
    for config in folder.glob("*.yaml"):
        if example == "captured-framework":
            continue  # its parts are known when it has run
        assert 2 <= len(make_plan(Options(config=config, cluster="local", environ={})).parts) <= 6


def test_examples_include_each_component_that_stands_alone() -> None:
    """All but those that have pages of their own, at the version that they are released with."""
    text = "".join((ROOT / "examples" / name / ".gitlab-ci.yml").read_text(encoding="utf-8") for name in EXAMPLES)
    used = {item.name for item in COMPONENTS if f"/general/septum/{item.name}@0.1\n" in text}

    assert {item.name for item in COMPONENTS} - used == {"run", "mkshapesrdf", "image"}
