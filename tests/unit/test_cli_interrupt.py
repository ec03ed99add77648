"""Ctrl-C: what goes on, and the command that goes on with it or ends it; with a real signal."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from septum.__main__ import main as start
from septum.backends.base import run_tag
from septum.cli import main, parser
from septum.cli.interrupt import after_interrupt, after_removal, command
from septum.errors import CancelledError
from septum.ledger import ENDED
from septum.state import Receipt, State

_ROOT = Path(__file__).parents[2]
_LINES = """\
shell: bash
command: |
  touch "$GATE/began-$PART_n"
  [[ $PART_n == 1 || -e $GATE/open ]] || sleep 60
  printf 'x\\n%s\\n' "$PART_n" > n.csv
parts: {list: [{n: "1"}, {n: "2"}]}
outputs: [n.csv]
merge: {all.csv: n.csv}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An analysis of two parts, of which the second waits at a gate."""
    monkeypatch.chdir(tmp_path)
    for name in ("CONFIG", "CLUSTER", "STATE", "RESULT", "PREFIX", "RUN"):
        monkeypatch.delenv(f"SEPTUM_{name}", raising=False)
    monkeypatch.setenv("GATE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))
    (tmp_path / "septum.yaml").write_text(_LINES)
    return tmp_path


def _start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "septum", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def _interrupt(process: subprocess.Popen[str], seen: Path) -> tuple[str, str]:
    """Press Ctrl-C, as a terminal does, once a file is there."""
    end = time.monotonic() + 60
    while not seen.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=60)


def test_a_run_on_this_machine_goes_on_where_it_was(repository: Path) -> None:
    """What was verified is kept; the command that is printed makes the rest."""
    said = _interrupt(process := _start(repository, "run", "--json"), repository / "began-2")

    document = json.loads(said[0])["error"]
    tag = State(repository / ".septum").load_receipt().tag
    assert process.returncode == document["exit_code"] == 24
    assert document["evidence"] == f"run {tag} on local"
    assert document["fix"].split("#")[0].strip() == "septum collect"
    assert f"run {tag} on local" in said[1]
    assert "Traceback" not in said[1]
    assert not list((repository / "result").glob("*.csv"))

    (repository / "open").touch()
    done = _start(repository, *document["fix"].split("#")[0].split()[1:])
    assert done.communicate(timeout=60)[1] == ""
    assert done.returncode == 0
    assert (repository / "result/all.csv").read_text() == "x\n1\n2\n"


def test_a_preparation_that_is_interrupted_submitted_nothing(repository: Path) -> None:
    """And septum says so; the folder is as it was."""
    (repository / "septum.yaml").write_text(_LINES + "prepare: ['touch prepares; sleep 60']\n")
    said = _interrupt(process := _start(repository, "run"), repository / "prepares")

    assert process.returncode == 130
    assert said[1] == "septum: interrupted: nothing was submitted, and no job waits or runs\n  Fix: septum run\n"
    assert not (repository / ".septum").exists()


# ── what is said, by what is in the state folder ────────────────────────────────────────────────────────────────


def _args(*words: str) -> argparse.Namespace:
    return parser().parse_args(words)


def _receipt(folder: Path, cluster: str, tag: str = "laptop/ab/-/-/cd") -> None:
    schedd = "" if cluster == "local" else "schedd.example.org"
    State(folder).store_receipt(
        Receipt(tag=tag, plan="ab", cluster=cluster, collector="", schedd=schedd, submitted_s=1)
    )


@pytest.mark.parametrize("verb", ["run", "submit", "collect"])
def test_jobs_on_a_cluster_go_on(repository: Path, verb: str) -> None:
    """The tag, the cluster, and two commands: one that goes on, and one that removes them."""
    _receipt(repository / "my state", "infn-af")
    what, fix = after_interrupt(_args(verb, "--state", "my state"))

    assert what == "interrupted: the jobs of run laptop/ab/-/-/cd on infn-af go on, until their lease ends"
    assert fix.splitlines()[0].startswith("septum collect --cluster infn-af --state 'my state'  ")
    assert fix.splitlines()[1].strip().startswith("septum cancel --cluster infn-af --state 'my state'  ")


def test_a_run_that_has_ended_has_no_jobs(repository: Path) -> None:
    """Whatever its receipt says."""
    assert main(["prepare"]) == 0
    state = State(repository / ".septum")
    plan = state.load_plan()
    _receipt(repository / ".septum", "infn-af", tag := run_tag(plan, {"SEPTUM_RUN": "a"}))
    with state.open_ledger() as ledger:
        ledger.begin(plan_hash=plan.hash, tag=tag, parts=["0000", "0001"], now_s=1.0)
        ledger.note(ENDED, "0")
    before = (repository / ".septum/run.sqlite").read_bytes()

    assert after_interrupt(_args("collect"))[0] == f"interrupted: no job of run {tag} waits or runs"
    assert (repository / ".septum/run.sqlite").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"x" * 500])
def test_a_ledger_that_cannot_be_read_is_no_second_error(repository: Path, content: bytes) -> None:
    """Whoever presses Ctrl-C gets one answer."""
    (repository / ".septum").mkdir()
    (repository / ".septum/run.sqlite").write_bytes(content)

    assert after_interrupt(_args("run"))[0].startswith("interrupted: nothing was submitted")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan"], "interrupted: nothing was written, and nothing was submitted"),
        (["merge", "all.root", "a.root"], "interrupted: all.root is as it was, or whole; nothing is half-written"),
        (["cancel", "--cluster", "infn-af"], "interrupted: jobs may still be in the queue of infn-af"),
        (["sweep", "--cluster", "infn-af"], "interrupted: jobs may still be in the queue of infn-af"),
        (["verify", "result"], "interrupted"),
    ],
)
def test_other_verbs(repository: Path, words: list[str], said: str) -> None:
    """Say what they leave."""
    what, fix = after_interrupt(_args(*words))

    assert what == said
    assert bool(fix) == (words[0] in {"cancel", "sweep"})


def test_jobs_that_could_not_be_removed(repository: Path) -> None:
    """The command that does it now is named."""
    _receipt(repository / ".septum", "infn-af")
    error = CancelledError("cancelled by SIGINT; the jobs could not be removed", evidence="no answer", fix="wait")
    after_removal(error, _args("collect"))

    assert error.evidence == "no answer\nrun laptop/ab/-/-/cd on infn-af"
    assert error.fix == "wait\nseptum cancel --cluster infn-af    # removes them now"


def test_a_command_can_be_pasted(repository: Path) -> None:
    """Hostile names are quoted."""
    args = _args("collect", "--state", "a; rm -rf b", "--cluster", "$(id)")

    assert command("collect", args) == "septum collect --cluster '$(id)' --state 'a; rm -rf b'"


class _Loading(types.ModuleType):
    """A module that Ctrl-C ends while it is loaded."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def test_an_interrupt_before_septum_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no traceback either, and the exit code is the usual one."""
    monkeypatch.setitem(sys.modules, "septum.cli", _Loading("septum.cli"))

    assert start() == 130
