"""`septum update`: a repository of the last starter becomes one of the next, and what the user has changed stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from septum.cli import main
from septum.errors import AnswerError, StarterError
from septum.starting import gitting, versions
from septum.starting.answers import complete
from septum.starting.copying import create
from septum.starting.source import address
from septum.starting.versions import FILE, Recorded
from tests.starting import ROOT

OLD, NEW, TASKS = "0.1.0", "0.2.0", "0.3.0"


def _git(folder: Path, *words: str) -> str:
    return gitting.git(folder, "-c", "user.name=n", "-c", "user.email=n@localhost", *words, environ=gitting.OWN)


def _commit(folder: Path) -> None:
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", "A change")


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text, path
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def starters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the starter: this one; a newer one, which asks a question by another name; one with a program."""
    folder = tmp_path_factory.mktemp("starters")
    shutil.copyfile(ROOT / "copier.yml", folder / "copier.yml")
    shutil.copytree(ROOT / "starter", folder / "starter")
    gitting.commit_all(folder, message="Old", tag=OLD)
    config = folder / "copier.yml"
    _edit(config, f'default: "{OLD}"', f'default: "{NEW}"')
    _edit(config, "_septum_renamed: []", f"_septum_renamed:\n  - {{version: {NEW}, from: compare, to: comparison}}")
    _edit(config, "\ncompare:\n", "\ncomparison:\n")
    for name in (".gitlab-ci.yml", "septum.yaml", ".gitlab/merge_request_templates/Default.md", "README.md"):
        _edit(folder / "starter" / f"{name}.jinja", "compare ", "comparison ")
    _edit(folder / "starter" / "septum.yaml.jinja", "retries: 1", "retries: 2")
    (folder / "starter" / "CHANGELOG.md.jinja").write_text("# Changes of {{ name }}\n")
    for name in ("CODEOWNERS.jinja", "Containerfile.jinja"):
        (folder / "starter" / name).unlink()
    _commit(folder)
    _git(folder, "tag", NEW)
    _edit(config, "_septum_renamed:", '_tasks: ["touch ran"]\n_septum_renamed:')
    _commit(folder)
    _git(folder, "tag", TASKS)
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as `septum new` has written it, with its first commit."""
    folder = tmp_path_factory.mktemp("first") / "my-analysis"
    create(complete("my-analysis", {"compare": "exact", "owner": "@my-group"}), folder, version=OLD)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _commit(folder)
    return folder


@pytest.fixture
def repository(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of it, as the working folder."""
    _git(tmp_path, "clone", "--quiet", str(first), "clone")
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def _refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["update", *words]) == 2
    return capsys.readouterr().err


def test_local_changes_stay_and_the_starter_moves_on(
    repository: Path, starters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides' changes are in the files, the answer has its new name, and nothing names this machine."""
    _edit(repository / "septum.yaml", "last: 4", "last: 400")
    _edit(repository / "analysis.py", "EVENTS = 5_000", "EVENTS = 7_000")
    (repository / "Makefile").unlink()
    (repository / "own.py").write_text("OWN = 1\n")
    with (repository / "Containerfile").open("a") as file:
        file.write("# mine\n")
    _commit(repository)

    assert main(["update", "--to", NEW, "--starter", str(starters), "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert (said["from"], said["to"], said["conflicts"]) == (OLD, NEW, [])
    assert {FILE, "CHANGELOG.md", "septum.yaml", ".gitlab-ci.yml"} <= set(said["files"])
    septum_yaml = (repository / "septum.yaml").read_text()
    assert "last: 400" in septum_yaml
    assert "retries: 2" in septum_yaml
    assert "EVENTS = 7_000" in (repository / "analysis.py").read_text()
    assert "OWN = 1" in (repository / "own.py").read_text()
    assert not (repository / "Makefile").exists()
    # Both are no file of the new starter, and one of them has become the user's.
    assert not (repository / "CODEOWNERS").exists()
    assert (repository / "Containerfile").read_text().endswith("# mine\n")
    assert said["kept"] == ["Containerfile"]
    pipeline = (repository / ".gitlab-ci.yml").read_text()
    assert "analysis@0.2" in pipeline
    assert "reproducibility: exact" in pipeline
    remembered = (repository / FILE).read_text()
    assert "comparison: exact" in remembered
    assert "compare:" not in remembered
    assert f"_commit: {NEW}\n_src_path: {address()}\n" in remembered
    for path in repository.rglob("*"):
        if path.is_file() and ".git" not in path.relative_to(repository).parts:
            assert str(starters) not in path.read_text()
    # Nothing is committed; git diff shows it all, and a reset gives it all up, new files included.
    assert _git(repository, "log", "--format=%s").count("\n") == 2
    assert set(_git(repository, "diff", "--name-only").split()) == set(said["files"])
    _git(repository, "reset", "--quiet", "--hard")
    assert _git(repository, "status", "--porcelain") == ""
    assert not (repository / "CHANGELOG.md").exists()


def test_lines_that_both_sides_changed_wait_for_a_decision(
    repository: Path, starters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, the file is named, and Git knows it as a conflict; it can be given up."""
    _edit(repository / "septum.yaml", "retries: 1", "retries: 9")
    _commit(repository)

    assert main(["update", "--to", NEW, "--starter", str(starters)]) == 3

    shown = capsys.readouterr()
    assert "1 of" in shown.err
    assert "wait for a decision [E032]\n    septum.yaml\n" in shown.err
    text = (repository / "septum.yaml").read_text()
    assert "<<<<<<< before updating\nretries: 9\n=======\nretries: 2\n>>>>>>> after updating\n" in text
    assert _git(repository, "diff", "--name-only", "--diff-filter=U") == "septum.yaml\n"
    _git(repository, "reset", "--quiet", "--hard")
    assert "retries: 9" in (repository / "septum.yaml").read_text()


def test_a_starter_that_runs_programs_is_refused(
    repository: Path, starters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it runs, whatever the user's copier trusts, and the repository is as it was."""
    said = _refused(capsys, "--to", TASKS, "--starter", str(starters))

    assert "wants to run programs of its own" in said
    assert _git(repository, "status", "--porcelain") == ""
    assert not (repository / "ran").exists()


@pytest.mark.parametrize("kind", ["ignored", "link"])
def test_a_file_that_git_does_not_have_is_never_replaced(
    repository: Path, starters: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """The newer starter has one of this name; nobody could bring the user's back."""
    if kind == "ignored":
        with (repository / ".gitignore").open("a") as file:
            file.write("CHANGELOG.md\n")
        _commit(repository)
        (repository / "CHANGELOG.md").write_text("mine\n")
    else:
        (repository / "tests").rename(repository.parent / "tests")
        (repository / "tests").symlink_to(repository.parent / "tests")
        _commit(repository)
    before = {path: path.read_bytes() for path in repository.parent.rglob("*") if path.is_file()}

    said = _refused(capsys, "--to", NEW, "--starter", str(starters))

    assert "something else is in its place" in said
    assert ("tests: " if kind == "link" else "CHANGELOG.md: ") in said
    assert {path: path.read_bytes() for path in before} == before


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────


def _dirty(repository: Path) -> None:
    (repository / "left.txt").write_text("x")


def _dirty_and_hidden(repository: Path) -> None:
    _git(repository, "config", "status.showUntrackedFiles", "no")
    _dirty(repository)


def _no_git(repository: Path) -> None:
    shutil.rmtree(repository / ".git")


def _no_answers(repository: Path) -> None:
    (repository / FILE).unlink()


def _hostile_address(repository: Path) -> None:
    _edit(repository / FILE, address(), "ext::sh -c touch% ran")
    _commit(repository)


def _option(repository: Path) -> None:
    _edit(repository / FILE, address(), "--upload-pack=touch ran;.git")
    _commit(repository)


def _hostile_answer(repository: Path) -> None:
    _edit(repository / FILE, "name: my-analysis", 'name: "x\\nstages: [pwned]"')
    _commit(repository)


def _hostile_version(repository: Path) -> None:
    _edit(repository / FILE, f"_commit: {OLD}", '_commit: "--output=ran"')
    _commit(repository)


def _nonsense(repository: Path) -> None:
    (repository / FILE).write_text("- a\n- b\n")
    _commit(repository)


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        (_dirty, ["--to", NEW], "not committed"),
        (_dirty_and_hidden, ["--to", NEW], "not committed"),
        (_no_git, ["--to", NEW], "no Git repository with a commit"),
        (_no_answers, ["--to", NEW], "there is no .copier-answers.yml"),
        (_hostile_address, ["--to", NEW], "does not say where"),
        (_option, ["--to", NEW], "does not say where"),
        (_hostile_answer, ["--to", NEW], "cannot name a folder"),
        (_hostile_version, ["--to", NEW], "does not say which version"),
        (_nonsense, ["--to", NEW], "holds no answers"),
        (None, ["--to", "0.0.1"], "which is newer than 0.0.1"),
        (None, ["--to", "--output=x"], None),
        (None, ["--to", "x; touch ran"], "is no version"),
        (None, ["--to", NEW, "--starter", "ext::sh -c touch% ran"], "is no repository"),
        (None, ["--to", NEW, "--starter", "/nowhere"], "is no repository"),
        (None, ["/"], "there is no .copier-answers.yml"),
    ],
)
def test_what_cannot_be_updated_is_refused(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None] | None,
    words: list[str],
    said: str | None,
) -> None:
    """With one clear error, and nothing is changed or run."""
    if change is not None:
        change(repository)
    before = {path: path.read_bytes() for path in repository.glob("*") if path.is_file()}

    if said is None:
        with pytest.raises(SystemExit):
            main(["update", *words])
    else:
        shown = _refused(capsys, *words)
        assert said in shown
        assert "Fix: " in shown
    assert {path: path.read_bytes() for path in repository.glob("*") if path.is_file()} == before


def test_a_version_that_is_not_there_names_those_that_are(
    repository: Path, starters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Newest first."""
    said = _refused(capsys, "--to", "0.9.0", "--starter", str(starters))

    assert "has no version 0.9.0" in said
    assert f"versions: {TASKS}, {NEW}, {OLD}" in said
    assert _git(repository, "status", "--porcelain") == ""


def test_the_version_that_it_has_is_no_work(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And reaches for no network."""
    assert main(["update", "--to", OLD]) == 0
    assert "of version 0.1.0 already" in capsys.readouterr().out


# ── answers by new names ────────────────────────────────────────────────────────────────────────────────────────


def _old(**answers: str) -> Recorded:
    return Recorded(address=address(), version=OLD, answers=answers)


def test_a_name_that_changed_twice_is_followed() -> None:
    """In the order of versions, whatever the order of the list; later and earlier ones do not count."""
    rules = [
        {"version": "0.3.0", "from": "b", "to": "c"},
        {"version": "0.2.0", "from": "a", "to": "b"},
        {"version": "0.1.0", "from": "x", "to": "y"},
        {"version": "0.9.0", "from": "c", "to": "d"},
    ]

    assert versions.renamed(rules, _old(a="1", x="2"), "0.3.0") == {"c": "1"}
    assert versions.renamed(rules, _old(a="1", x="2"), "0.2.0") == {"b": "1"}
    assert versions.renamed(rules, _old(a="1", b="2"), "0.2.0") == {}
    assert versions.renamed(None, _old(a="1"), "0.2.0") == {}


@pytest.mark.parametrize("rules", ["a", [1], [{"version": "0.2.0"}], [{"version": "x", "from": "a", "to": "b"}], 7])
def test_odd_rules_are_refused(rules: object) -> None:
    """They come from the starter that was named."""
    with pytest.raises(StarterError):
        versions.renamed(rules, _old(a="1"), "0.2.0")


def test_answers_that_septum_did_not_write_are_refused() -> None:
    """They would be rendered into files of CI."""
    good = {"_src_path": address(), "_commit": OLD, "name": "x"}

    assert versions.recorded({**good, "of-another-starter": "y"}).version == OLD
    with pytest.raises(AnswerError):
        versions.recorded({**good, "owner": "x: y"})


def test_no_secret_of_the_shell_reaches_copier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor does what the user's copier trusts."""
    from septum.starting import copying

    seen: dict[str, str] = {}

    class Seen(Exception):  # noqa: N818 - no error
        pass

    def popen(*_: object, env: dict[str, str], **__: object) -> None:
        seen.update(env)
        raise Seen

    monkeypatch.setenv("SEPTUM_GITLAB_TOKEN", "glpat-secret")
    monkeypatch.setenv("COPIER_SETTINGS_PATH", "/home/user/settings.yml")
    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(Seen):
        copying.run_copier(["--version"], tmp_path, {})

    assert "glpat-secret" not in seen.values()
    assert seen["COPIER_SETTINGS_PATH"] == str(tmp_path / "settings.yml")
    assert seen["PATH"] == os.environ["PATH"]
