"""`septum new`: which answers it takes, how it asks, and that it writes all or nothing."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from septum.cli import main
from septum.errors import AnswerError, SeptumError, StarterError
from septum.starting import copying, source
from septum.starting.answers import QUESTIONS, Answers, Question, check, check_name, complete
from septum.starting.versions import FILE
from tests.starting import ROOT, config, files
from tests.workshop import SEPTUM

FREE = [question.name for question in QUESTIONS if not question.choices]
HOSTILE = (
    "../x", "/etc/x", "x/../../y", "-rf", "--into=/", "a b", "a\nb", "a\tb", "a\rb", "a\0b", '"', "'", "`id`", "$(id)",
    "$[[ inputs.x ]]", "{{ 7*7 }}", "{% raw %}", "{# x", "x: y # ", "[x]", "{x}", "*x", "&x", "!x", "|", ">", "%x", "@",
    "${X}", ",",
    "ünïcode", "\u202egpj", "\x1b[31m", "~", "x" * 10_000, "\\", "a\\nb", "x;y", "x|y", "x&y", "#x", "?",
)  # fmt: skip


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _one_clear_error(refused: SeptumError) -> None:
    """It has a fix, is short, and cannot move the cursor."""
    assert refused.fix
    assert len(refused.what) < 300
    assert all(line.isprintable() for line in str(refused).splitlines())


def test_a_name_that_could_be_anything_else_is_refused() -> None:
    """It is a folder, a value in YAML, a text in Python and a path on GitLab."""
    for text in (*HOSTILE, "", ".", "..", ".git", "x.git", "x.atom", "a..b", "a--b", "a.", "_a", "x" * 64):
        with pytest.raises(AnswerError) as refused:
            check_name(text)
        _one_clear_error(refused.value)


@pytest.mark.parametrize("name", ["x", "X1", "dimuon-2018", "a.b_c-d", "0", "x" * 63])
def test_a_plain_name_is_taken(name: str) -> None:
    """As it is."""
    assert check_name(name) == name


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_hostile_answers_are_refused(question: Question) -> None:
    """Each of them, for each question."""
    for text in HOSTILE:
        if (question.name, text) == ("data", "/etc/x"):
            continue  # a path like any other
        with pytest.raises(SeptumError) as refused:
            check(question, text)
        _one_clear_error(refused.value)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(name=st.sampled_from(FREE), text=st.text("ax1/.:@-_%=+,~ \"'{}[]$#\\\n&*!|>?é", max_size=24))
def test_an_answer_is_refused_or_arrives_to_the_last_byte(name: str, text: str) -> None:
    """Whatever it is: in the pipeline, in septum.yaml, in Python."""
    try:
        answers = complete("x", {"framework": "coffea", name: text})
    except SeptumError:
        return
    made = files(answers)
    header, _ = YAML(typ="safe", pure=True).load_all(made[".gitlab-ci.yml"])
    (septum_yaml,) = YAML(typ="safe", pure=True).load_all(made["septum.yaml"])

    assert header["spec"]["inputs"]["image"]["default"] == answers.image
    assert header["spec"]["inputs"]["cluster"]["options"] == list(answers.clusters)
    assert septum_yaml["name"] == "x"
    if answers.data:
        assert septum_yaml["parts"]["entries"]["file"] == answers.data
    shapes = files(complete("x", {"framework": "mkshapesrdf", "data": answers.data}))["shapes/configuration.py"]
    found: dict[str, Any] = {}
    exec(compile(shapes, "configuration.py", "exec"), found)
    assert found["treeBaseDir"] == (answers.data or "ntuples")


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"framwork": "coffea"}, "did you mean 'framework'?"),
        ({"framework": "rdf"}, "choices: rdataframe, coffea"),
        ({"framework": 7}, "expected a text, got a int"),
        ({"clusters": []}, "one name or several"),
        ({"clusters": ["a", 7]}, "expected a text"),
        ({"clusters": "local,Local"}, "names one twice"),
        ({"clusters": "x.yaml"}, "clusters/NAME.yaml"),
        ({"clusters": {"a": "b"}}, "one name or several"),
        ({"clusters": ",".join(f"c{n}" for n in range(30))}, "1 to 20"),
        ({"image": "/cvmfs/unpacked.cern.ch/x/y:1"}, "no image that a CI job of GitLab can run in"),
        ({"image": "docker://x/y:1"}, "no image that a CI job"),
        ({"data": "x.root"}, "generates its events"),
        ({"project": "http://gitlab.cern.ch/a/b"}, "an https address"),
    ],
)
def test_what_is_wrong_is_said(given_: Mapping[str, object], said: str) -> None:
    """With what may be in its place."""
    with pytest.raises(SeptumError) as refused:
        complete("x", given_)
    assert said in str(refused.value)


def test_defaults_follow_from_experiment_and_framework() -> None:
    """And the first cluster is always one that needs no credentials."""
    made = complete("x", {"framework": "Coffea", "experiment": "CMS", "owner": "my-group"})

    assert made.framework == "coffea"
    assert made.clusters == ("local", "infn-af", "cern-lxbatch")
    assert made.image.startswith("docker.io/coffeateam/")
    assert made.owner == "@my-group"
    for experiment in ("cms", "atlas", "lhcb", "none"):
        assert complete("x", {"experiment": experiment}).clusters[0] == "local"
    assert complete("x", {"framework": "coffea", "image": ""}).image == ""


# ── the folder ──────────────────────────────────────────────────────────────────────────────────────────────────


def _tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("kind", ["file", "full", "clone", "link", "link to nowhere", "below a file"])
def test_what_is_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """One error, before anything is asked or written."""
    monkeypatch.chdir(tmp_path)
    target = Path("x")
    (tmp_path / "empty").mkdir()
    if kind in {"file", "below a file"}:
        (tmp_path / "x").write_text("mine")
        target = Path("x/y") if kind == "below a file" else target
    elif kind == "full":
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / ".hidden").touch()
    elif kind == "clone":
        (tmp_path / "x" / ".git").mkdir(parents=True)
    else:
        (tmp_path / "x").symlink_to("empty" if kind == "link" else "nowhere")
    before = _tree(tmp_path)

    assert main(["new", "x", "--defaults", "--into", str(target)]) == 2
    shown = capsys.readouterr()
    assert "[E031]" in shown.err
    assert "Fix: " in shown.err
    assert shown.out == ""
    assert _tree(tmp_path) == before


def test_nothing_is_left_when_it_fails(tmp_path: Path) -> None:
    """Neither the folder, nor a part of it under another name."""
    broken = tmp_path / "broken"
    shutil.copytree(ROOT / "starter", broken / "starter")
    shutil.copyfile(ROOT / "copier.yml", broken / "copier.yml")
    (broken / "starter" / "z.jinja").write_text("{{ nobody_answers_this }}")
    (tmp_path / "here").mkdir()

    with pytest.raises(StarterError, match="copier cannot copy the starter") as refused:
        copying.create(complete("x", {}), tmp_path / "here" / "x", root=broken)

    assert "nobody_answers_this" in refused.value.evidence
    assert _tree(tmp_path / "here") == []


def test_copier_is_an_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without, there is one error with the line to paste."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    assert main(["new", "x", "--defaults"]) == 2
    assert "python3 -m pip install 'septum[laptop]'" in capsys.readouterr().err
    assert _tree(tmp_path) == []


# ── how it asks ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_terminal_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One error names the options that are missing."""
    monkeypatch.chdir(tmp_path)
    with open(os.devnull) as nothing:  # noqa: PTH123 - no path
        monkeypatch.setattr("sys.stdin", nothing)
        assert main(["new", "x", "--framework", "coffea", "--cluster", "local"]) == 2

    shown = capsys.readouterr().err
    assert "not said: --experiment, --image, --compare, --data, --license, --owner, --project" in shown
    assert "add --defaults" in shown


class Terminal:
    """`septum new` on a terminal."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [SEPTUM, "new", *words], cwd=folder, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
        )
        os.close(theirs)
        self.shown = ""
        self._read = 0

    def expect(self, text: str) -> None:
        """Wait until it shows something, behind what was waited for before."""
        while (found := self.shown.find(text, self._read)) < 0:
            assert select.select([self._ours], [], [], 60)[0], self.shown
            self.shown += os.read(self._ours, 4096).decode()
        self._read = found + len(text)

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._ours, text.encode())

    def end(self) -> tuple[int, str]:
        """Wait for its end: the exit code, and what it has written to standard output."""
        out, _ = self.process.communicate(timeout=60)
        os.close(self._ours)
        return self.process.returncode, out.decode()


def test_it_asks_on_a_terminal(tmp_path: Path) -> None:
    """What options do not say, each question with its default; an answer that cannot be taken is asked for again."""
    terminal = Terminal(tmp_path, "asked", "--experiment", "cms", "--license", "MIT", "--json")
    terminal.expect("What the analysis is written with (rdataframe, coffea, mkshapesrdf, command) [command]: ")
    terminal.type("cofea\n")
    terminal.expect("did you mean 'coffea'?")
    terminal.expect("[command]: ")
    terminal.type("coffea\n")
    terminal.expect("[local,infn-af,cern-lxbatch]: ")
    terminal.type("local,my-site\n")
    terminal.expect("(- for none) [docker.io/coffeateam/")
    terminal.type("-\n")
    terminal.expect("[report]: ")
    terminal.type("\n")
    terminal.expect("[]: ")
    terminal.type("\n")
    terminal.expect("[]: ")
    terminal.type("my-group\n")
    terminal.expect("[]: ")
    terminal.type("\n")
    code, out = terminal.end()

    assert code == 0, terminal.shown
    said = json.loads(out)
    chosen = {
        "framework": "coffea",
        "experiment": "cms",
        "clusters": ["local", "my-site"],
        "image": "",
        "license": "MIT",
    }
    assert chosen.items() <= said["answers"].items()
    assert said["answers"]["owner"] == "@my-group"
    assert sorted(path for path in _tree(tmp_path / "asked") if (tmp_path / "asked" / path).is_file()) == said["files"]
    assert "clusters/my-site.yaml" in said["files"]
    assert _tree(tmp_path)[0] == "asked"


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """At a question."""
    terminal = Terminal(tmp_path, "asked")
    terminal.expect("[command]: ")
    terminal.process.send_signal(signal.SIGINT)
    code, _ = terminal.end()

    assert code == 130
    assert _tree(tmp_path) == []


def test_end_of_the_answers_is_said(tmp_path: Path) -> None:
    """Ctrl-D."""
    terminal = Terminal(tmp_path, "asked")
    terminal.expect("[command]: ")
    terminal.type("\x04")
    code, _ = terminal.end()

    assert code == 2
    assert _tree(tmp_path) == []


# ── answers from a file ─────────────────────────────────────────────────────────────────────────────────────────


def _created(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be created: copier itself is tried elsewhere."""
    seen: list[Any] = []

    def create(answers: Answers, _: Path) -> list[str]:
        seen.append(answers)
        return []

    monkeypatch.setattr(copying, "create", create)
    return seen


def test_answers_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in that of another repository; options win over it."""
    monkeypatch.chdir(tmp_path)
    seen = _created(monkeypatch)
    Path(FILE).write_text(
        "_commit: 0.1.0\nname: other\nframework: coffea\nclusters: [infn-af, local]\nimage: ''\ncompare: exact\n"
    )

    assert main(["new", "x", "--answers", FILE, "--compare", "report", "--defaults"]) == 0
    (answers,) = seen
    assert (answers.name, answers.framework, answers.image, answers.compare) == ("x", "coffea", "", "report")
    assert answers.clusters == ("infn-af", "local")


def test_an_own_cluster_is_filled_in_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its profile is what comes next; the file of answers may name it as the option does."""
    monkeypatch.chdir(tmp_path)
    _created(monkeypatch)
    Path("team.yml").write_text("cluster: [my-pool, local]\n")

    assert main(["new", "x", "--answers", "team.yml", "--defaults", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["answers"]["clusters"] == ["my-pool", "local"]
    assert said["next"][2].startswith("$EDITOR clusters/my-pool.yaml ")


ODD = (
    "",
    "- a\n",
    "framework: [coffea]\n",
    "x: y\n",
    "framework: !!python/name:os.system x\n",
    "a: &a [*a]\n",
    "\0",
    "{{{",
)


@pytest.mark.parametrize("text", ODD)
def test_odd_files_of_answers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """As is one that is not there."""
    monkeypatch.chdir(tmp_path)
    Path("team.yml").write_text(text)

    assert main(["new", "x", "--answers", "team.yml", "--defaults"]) == 2
    assert main(["new", "x", "--answers", "nowhere.yml", "--defaults"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not Path("x").exists()


def test_a_tag_that_moves_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is taken all the same: it may be all that there is."""
    monkeypatch.chdir(tmp_path)
    _created(monkeypatch)

    assert main(["new", "x", "--defaults", "--framework", "mkshapesrdf"]) == 0
    shown = capsys.readouterr()
    assert "mkshapesrdf:master: the tag 'master' names another image tomorrow" in shown.err
    assert "septum rehearse" in shown.out


# ── where the starter is ────────────────────────────────────────────────────────────────────────────────────────


def test_the_wheel_has_the_whole_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that begin with a dot included; and it is found in it."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    package = tmp_path / "installed" / "septum"
    monkeypatch.setattr(source, "_IN_WHEEL", package / "starter")
    monkeypatch.setattr(source, "_IN_CHECKOUT", tmp_path)

    found = source.starter_root()

    assert found == package / "starter"
    expected = {path: (ROOT / "starter" / path).read_bytes() for path in _files(ROOT / "starter")}
    assert {path: (found / "starter" / path).read_bytes() for path in _files(found / "starter")} == expected
    assert (found / "copier.yml").read_bytes() == (ROOT / "copier.yml").read_bytes()


def _files(folder: Path) -> list[str]:
    return [path for path in _tree(folder) if (folder / path).is_file()]


def test_an_installation_without_a_starter_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And how to get one."""
    monkeypatch.setattr(source, "_IN_WHEEL", tmp_path)
    monkeypatch.setattr(source, "_IN_CHECKOUT", tmp_path)

    with pytest.raises(StarterError, match="has no starter"):
        source.starter_root()


def test_every_file_of_the_starter_is_rendered() -> None:
    """None is copied as it is: a name without the ending would be."""
    assert [path for path in _files(ROOT / "starter") if not path.endswith(".jinja")] == []
    assert config()["_subdirectory"] == "starter"
