"""Where the runner differs from GitLab: each line of the list, on the interpreter and on the real gitlab-ci-local.

A difference that the runner has mended fails here, so that the list stays true.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from septum.errors import PreviewError
from septum.facility import node
from septum.facility.pipeline import SERVER
from septum.preview.difference import Difference, Expected
from septum.preview.differences import DIFFERENCES, PAGE, RUNNER, page
from septum.preview.request import main_file, preview
from septum.preview.shelf import Shelf, files_of
from septum.preview.situation import Situation
from septum.preview.text import as_body

ROOT = Path(__file__).parents[2]
PROJECT = "group/project"
EACH = pytest.mark.parametrize("item", DIFFERENCES, ids=lambda item: item.key)
_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """What the runner printed about a repository."""

    failed: str
    jobs: Mapping[str, Mapping[str, Any]]
    commit: str


def _repository(folder: Path, items: Sequence[Difference]) -> Path:
    """A repository that shows these differences, as if it were cloned from the server."""
    main: dict[str, Any] = {"include": []}
    for item in items:
        main["include"] += item.main.get("include", [])
        main |= {key: value for key, value in item.main.items() if key != "include"}
        for name, text in item.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    if not main["include"]:
        del main["include"]
    (folder / ".gitlab-ci.yml").write_text(json.dumps(main), encoding="utf-8")
    author = ["-c", "user.name=Test", "-c", "user.email=test@septum.test"]
    for words in (
        ["init", "--quiet", "--initial-branch=main"],
        ["remote", "add", "origin", f"https://{SERVER}/{PROJECT}.git"],
        ["add", "--all"],
        [*author, "commit", "--quiet", "--message", "x"],
        ["update-ref", "refs/remotes/origin/main", "HEAD"],
        ["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=_TIMEOUT_S)
    return folder


def _ask(folder: Path, view: str, home: Path) -> Answer:
    option = {"list": "--list-json", "preview": "--preview"}[view]
    done = subprocess.run(
        [node.node(), node.runner(), option, "--home", home],
        cwd=folder,
        text=True,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "NO_COLOR": "1"},
    )
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, text=True, capture_output=True, check=True)
    commit = head.stdout.strip()
    if done.returncode:
        return Answer(done.stdout + done.stderr, {}, commit)
    if view == "preview":
        return Answer("", YAML(typ="safe", pure=True).load(done.stdout), commit)
    return Answer("", {job["name"]: job for job in json.loads(done.stdout)}, commit)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Answer]]]:
    """What the runner says about each difference: one run for all that can share it, and one for each other."""
    home = tmp_path_factory.mktemp("home")
    node.runner()
    groups = [[item] for item in DIFFERENCES if item.alone]
    groups += [[item for item in DIFFERENCES if not item.alone and item.view == view] for view in ("list", "preview")]
    with ThreadPoolExecutor(max_workers=2) as pool:
        found: dict[str, Future[Answer]] = {}
        for group in groups:
            folder = _repository(tmp_path_factory.mktemp("repository"), group)
            future = pool.submit(_ask, folder, group[0].view, home)
            found |= {item.key: future for item in group}
        yield found


def _job_of(item: Difference, jobs: Mapping[str, Any]) -> Any:
    """The CI job that shows a difference: its name begins with the difference's."""
    return next((job for name, job in jobs.items() if name.startswith(item.key)), None)


def _is_so(expected: Expected, failed: str, job: Any) -> bool:
    if isinstance(expected, str):
        return expected in failed
    if failed or expected is None:
        return not failed and (job is None or job.get("when") == "never")
    return job is not None and {key: job.get(key) for key in expected} == dict(expected)


@EACH
def test_gitlab_does_what_the_list_says(item: Difference, tmp_path: Path) -> None:
    """By the interpreter, which is tested against GitLab's own specifications elsewhere."""
    source, folder = main_file(_repository(tmp_path, [item]))
    files_of.cache_clear()
    on = Shelf(folder=folder, project=PROJECT, server=SERVER)
    try:
        made = preview(source, {}, on, Situation(server=SERVER, project=PROJECT))
    except PreviewError as error:
        failed, job = str(error), None
    else:
        failed, job = made.refusal, _job_of(item, as_body(made))
        if isinstance(job, dict):
            job = {"when": "on_success", "allow_failure": False, **job}
    if job is None and item.there is None:
        # A pipeline with this CI job alone is none.
        failed = ""

    assert _is_so(item.there, failed, job), failed or job


@EACH
def test_the_runner_still_does_otherwise(item: Difference, answers: Mapping[str, Future[Answer]]) -> None:
    """If this fails, the runner has changed: take the line from the list, or correct it."""
    answer = answers[item.key].result()
    job = json.loads(json.dumps(_job_of(item, answer.jobs)).replace(answer.commit, "COMMIT"))

    assert _is_so(item.here, answer.failed, job), answer.failed or job
    assert item.here != item.there


def test_the_version_is_the_one_of_the_lock_file() -> None:
    """Found with another version, the list would be about another program."""
    lock = json.loads((ROOT / "src/septum/facility/package-lock.json").read_text(encoding="utf-8"))

    assert lock["packages"]["node_modules/gitlab-ci-local"]["version"] == RUNNER


def test_the_page_is_what_the_list_gives() -> None:
    """A line that is added here is read there."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page()


def test_every_line_has_a_name_of_its_own() -> None:
    """The CI job that shows it is found by that."""
    keys = [item.key for item in DIFFERENCES]

    assert len(set(keys)) == len(keys)
    assert not [(one, other) for one in keys for other in keys if one != other and other.startswith(one)]
