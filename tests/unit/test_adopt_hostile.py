"""`septum adopt` on files that somebody made to do harm, and what it writes, or refuses to write, into a checkout."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from septum.adopting import repository
from septum.adopting.jobs import read_pipeline
from septum.adopting.propose import BACKUP
from septum.cli import main
from septum.errors import AdoptError, UsageError

SUBMITS = "run:\n  script:\n    - condor_submit jobs.sub\n    - condor_wait log\n    - hadd all.root out*.root\n"
BOMB = "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository without a commit, as the working folder; programs that would be run leave a mark."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("condor_submit", "sh", "bash", "python3", "curl"):
        (programs / name).write_text(f"#!/bin/sh\necho ran > {tmp_path}/ran\n")
        (programs / name).chmod(0o755)
    made = tmp_path / "analysis"
    made.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.chdir(made)
    for name, value in {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(name, value)
    _git("init", "--quiet")
    return made


def _git(*words: str) -> str:
    who = ("-c", "user.name=Analyst", "-c", "user.email=analyst@example.org")
    return subprocess.run(["git", *who, *words], capture_output=True, text=True, check=True, timeout=60).stdout


def _commit(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    _git("add", "--all")
    _git("commit", "--quiet", "--message", "The pipeline")


def _refused(folder: Path, data: bytes) -> AdoptError:
    (folder / ".gitlab-ci.yml").write_bytes(data)
    found = repository.checkout(folder)
    with pytest.raises(AdoptError) as caught:
        read_pipeline(found.source, repository.main_text(found), found.read)
    assert not (folder.parent / "ran").exists()
    return caught.value


# ── files that do harm ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"- a\n- b\n", "not a pipeline"),
        (b"run:\n\tscript: [x]\n", "not YAML"),
        (b"run: {script: [x\n", "not YAML"),
        (b"\x89PNG\r\n\x1a\n\x00", "not UTF-8"),
        (b"run: {script: ['x\x00y']}", "NUL"),
        (b"run: {script: [" + b"x, " * 400_000 + b"]}", "more than 512 kB"),
        (b"run: {script: " + b"[" * 4000 + b"]" * 4000 + b"}", "nested too deeply"),
        (b"a: &a [1, 2, 3]\n" + BOMB.encode() + b"run: {script: [*i]}\n", "anchors expanded"),
        (b"x: &x\n  y: *x\n", "an anchor within itself"),
        (b"run: {extends: run, script: [condor_submit x]}\n", "circular dependency"),
        (b"run: {script: [!reference [run, script]]}\n", "circular"),
        (b"include: ../../../etc/passwd\n", "cannot be read"),
        (b"include: {local: /.gitlab-ci.yml}\n", "too many includes"),
        (b"run:\n  script:\n" + b"    - make\n" * 5001, "more than 5000 commands"),
    ],
    # The data of some is longer than a variable of the environment may be.
    ids=range(16),
)
def test_a_file_that_is_no_pipeline_is_one_clear_error(folder: Path, data: bytes, words: str) -> None:
    """No traceback, no program started, no long wait."""
    assert words in _refused(folder, data).what


def test_links_out_of_the_repository_are_not_followed(folder: Path) -> None:
    """Neither the pipeline nor a script nor a description."""
    outside = folder.parent / "outside.yml"
    outside.write_text(SUBMITS)
    (folder / ".gitlab-ci.yml").symlink_to(outside)
    found = repository.checkout(folder)

    with pytest.raises(AdoptError, match="leads out of the repository"):
        repository.main_text(found)
    with pytest.raises(AdoptError, match="leads out of the repository"):
        found.read("../outside.yml")


def test_what_is_no_file_is_not_opened(folder: Path) -> None:
    """A pipe would wait for ever."""
    os.mkfifo(folder / ".gitlab-ci.yml")

    with pytest.raises(AdoptError, match="not a file that can be read"):
        repository.main_text(repository.checkout(folder))


def test_nothing_of_the_old_pipeline_is_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not its scripts, not what stands in its submit description, and not what its text does to a shell or a screen."""
    script = "touch owned\ncondor_submit jobs.sub # $(touch owned) `touch owned`\nprintf '\x1b]0;owned\x07'\n"
    jobs = "executable = /bin/sh\narguments = $(name)\nqueue name from touch owned |\n"
    _commit(folder, {".gitlab-ci.yml": "run: {script: [bash ci.sh]}\n", "ci.sh": script, "jobs.sub": jobs})

    assert main(["adopt"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "condor_submit jobs.sub" in shown
    assert not (folder / "owned").exists()
    assert not (folder.parent / "ran").exists()


def test_a_name_cannot_become_yaml(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the old file calls things arrives as text, or is a question."""
    tags = ["a: b # c", "- x", "*y", 'it\'s "quoted"']
    pipeline = {
        "run": {"image": "x: y\n# }", "tags": tags, "script": ["condor_submit jobs.sub", "hadd 'a: b.root' x*.root"]}
    }
    _commit(folder, {".gitlab-ci.yml": json.dumps(pipeline)})
    assert main(["adopt", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (entry,) = YAML(typ="safe").load(document["files"][".gitlab-ci.yml"])["include"]

    assert entry["inputs"] == {"cluster": "local", "tags": tags}
    assert [text for text in document["questions"] if "cannot be an input as it is" in text]


def test_the_old_pipelines_own_mistakes_are_not_hidden(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What GitLab would not take is said before anything is written, in GitLab's words."""
    _commit(folder, {".gitlab-ci.yml": SUBMITS + "  timeout: as long as it takes\n"})

    assert main(["adopt", "--write"]) == 2
    assert "timeout config should be a duration" in capsys.readouterr().err
    assert not (folder / "septum.yaml").exists()


def test_a_description_with_a_bomb_is_recorded_instead(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Macros that double each other are not expanded for ever."""
    doubling = "".join(f"a{n + 1} = $(a{n})$(a{n})\n" for n in range(40))
    text = f"executable = job.sh\na0 = x\n{doubling}arguments = $(a40)\ntransfer_output_files = out.root\nqueue 3\n"
    _commit(folder, {".gitlab-ci.yml": SUBMITS, "jobs.sub": text})

    assert main(["adopt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["component"] == "framework"


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_written_unasked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even a temporary file."""
    _commit(folder, {".gitlab-ci.yml": SUBMITS})

    assert main(["adopt"]) == 0
    assert main(["adopt", "--diff"]) == 0
    assert "nothing was written" in capsys.readouterr().err
    assert _git("status", "--porcelain") == ""


def test_the_files_are_written_beside(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The old pipeline is kept under another name, and a second time there is nothing to adopt."""
    _commit(folder, {".gitlab-ci.yml": SUBMITS})
    assert main(["adopt", "--write", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    assert document["written"] == ["septum.yaml", BACKUP, ".gitlab-ci.yml"]
    assert (folder / BACKUP).read_text() == SUBMITS
    assert {name: (folder / name).read_text() for name in document["files"]} == document["files"]
    _git("add", "--all")
    _git("commit", "--quiet", "--message", "septum")
    assert main(["adopt", "--write"]) == 2
    assert "includes a component of septum already" in capsys.readouterr().err


def test_a_secret_does_not_get_into_the_kept_pipeline(folder: Path) -> None:
    """Git has the old file anyway; the new one is not the second place to clean."""
    secret = "wJalrXUtnFEMIK7MDENG"
    _commit(folder, {".gitlab-ci.yml": f"variables: {{IAM_CLIENT_SECRET: {secret}}}\n{SUBMITS}"})

    assert main(["adopt", "--write"]) == 0
    assert [path.name for path in folder.glob("*.y*ml") if secret in path.read_text()] == []
    assert [path.name for path in folder.glob(".*.yml") if secret in path.read_text()] == []


def test_a_secret_in_a_description_is_not_repeated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be in the configuration, and with it in the plan of every run."""
    secret = "wJalrXUtnFEMIK7MDENG"
    text = f'executable = job.sh\nenvironment = "DB_PASSWORD={secret}"\ntransfer_output_files = out.root\nqueue 2\n'
    _commit(folder, {".gitlab-ci.yml": SUBMITS, "jobs.sub": text})

    assert main(["adopt", "--json"]) == 0
    shown = capsys.readouterr().out
    assert secret not in shown
    assert "environment" not in json.loads(shown)["files"]["septum.yaml"]
    assert "jobs.sub:2 holds a secret" in shown


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "new.txt").write_text("x"), "not committed"),
        (lambda folder: _commit(folder, {"septum.yaml": "name: x\n"}), "septum.yaml is there already"),
        (lambda folder: _commit(folder, {BACKUP: "x: 1\n"}), f"{BACKUP} is there already"),
        (lambda folder: subprocess.run(["rm", "-r", folder / ".git"], check=True), "no Git repository"),
    ],
    ids=["changes", "septum.yaml", "kept", "no git"],
)
def test_what_is_there_is_never_overwritten(
    folder: Path, spoil: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the pipeline is what it was."""
    _commit(folder, {".gitlab-ci.yml": SUBMITS})
    assert callable(spoil)
    spoil(folder)

    assert main(["adopt", "--write"]) == 2
    assert words in capsys.readouterr().err
    assert (folder / ".gitlab-ci.yml").read_text() == SUBMITS


def test_a_link_is_no_place_to_write_to(folder: Path) -> None:
    """A folder of the proposal that leads out of the repository ends it, before anything is written."""
    outside = folder.parent / "outside"
    outside.mkdir()
    (folder / "clusters").symlink_to(outside)
    _commit(folder, {".gitlab-ci.yml": SUBMITS})
    found = repository.checkout(folder)

    with pytest.raises(UsageError, match="leads out of the repository"):
        repository.write(found, {"clusters/site.yaml": "x", ".gitlab-ci.yml": "y"}, {".gitlab-ci.yml": SUBMITS})
    assert list(outside.iterdir()) == []
    assert not (folder / BACKUP).exists()


def test_a_write_that_fails_leaves_nothing_new(folder: Path) -> None:
    """The first files are taken back; the pipeline is the last to change."""
    _commit(folder, {".gitlab-ci.yml": SUBMITS, "clusters": "a file where a folder should be\n"})
    found = repository.checkout(folder)

    with pytest.raises(OSError, match="clusters"):
        repository.write(
            found, {"a.yaml": "x", "clusters/site.yaml": "x", ".gitlab-ci.yml": "y"}, {".gitlab-ci.yml": SUBMITS}
        )
    assert _git("status", "--porcelain") == ""


def test_a_file_of_another_name_is_not_replaced(folder: Path) -> None:
    """The new pipeline goes to .gitlab-ci.yml, and there is nothing to keep under another name."""
    _commit(folder, {"ci/batch.yml": SUBMITS})

    assert main(["adopt", "ci/batch.yml", "--write"]) == 0
    assert (folder / "ci" / "batch.yml").read_text() == SUBMITS
    assert (folder / ".gitlab-ci.yml").is_file()
    assert not (folder / BACKUP).exists()
