"""Completion in a real shell, and what it costs those who do not complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from septum.cli import main

_ASK = """
eval "$(septum completion bash)"
ask() {
    COMP_LINE="$1"; COMP_POINT=${#1}; COMP_TYPE=9
    read -ra COMP_WORDS <<< "$1"; [[ "$1" == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
    _python_argcomplete septum
    printf '%s\\n' "${COMPREPLY[@]}" | sed 's/ *$//' | paste -sd' '
}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder with a septum.yaml, a result and a cluster of its own, and `septum` on the PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "septum").write_text(f'#!/bin/sh\nexec {sys.executable} -m septum "$@"\n')
    (tmp_path / "bin" / "septum").chmod(0o755)
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "mine.yaml").write_text("method: local\n")
    (tmp_path / "septum.yaml").touch()
    (tmp_path / "result").mkdir()
    return tmp_path


def _shell(repository: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SEPTUM_", "_ARG", "COMP_"))}
    environ |= {"PATH": f"{repository / 'bin'}:{os.environ['PATH']}", **more}
    return subprocess.run(command, cwd=repository, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_bash_completes_verbs_options_clusters_and_files(repository: Path) -> None:
    """In a bash that has read the script, as it does on a Tab."""
    lines = {
        "septum pla": "plan",
        "septum plan --cl": "--cluster",
        "septum plan --cluster m": "mine",
        "septum cluster show infn": "infn-af",
        "septum run --stay ": "",
        "septum plan --config sept": "septum.yaml",
        "septum verify res": "result/",
        "septum completion ": "bash zsh fish --help --json",
    }
    asked = "\n".join(f"ask '{line}'" for line in lines)
    done = _shell(repository, "bash", "--norc", "-c", _ASK + asked)

    answered = dict(zip(lines, done.stdout.splitlines(), strict=True))
    assert {line: set(words.split()) for line, words in answered.items()} == {
        line: set(words.split()) for line, words in lines.items()
    }
    assert done.stderr == ""
    assert sorted(path.name for path in repository.iterdir()) == ["bin", "clusters", "result", "septum.yaml"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_for_its_shell(repository: Path, shell: str) -> None:
    """With no control character lost; the shell itself reads it, where it is installed."""
    import argcomplete

    done = _shell(repository, "septum", "completion", shell)

    assert done.returncode == 0
    assert done.stdout.strip() == argcomplete.shellcode(["septum"], shell=shell).strip()  # type: ignore[attr-defined,no-untyped-call,unused-ignore]
    if shutil.which(shell):
        (repository / "script").write_text(done.stdout)
        assert _shell(repository, shell, "-n", "script").returncode == 0


def test_a_hostile_name_of_a_cluster_is_a_word_and_no_command(repository: Path) -> None:
    """It is completed, quoted, and runs nothing."""
    (repository / "clusters" / "$(touch hit).yaml").write_text("method: local\n")
    done = _shell(repository, "bash", "--norc", "-c", _ASK + "ask 'septum plan --cluster '")

    assert "touch" in done.stdout
    assert not (repository / "hit").exists()


def test_without_argcomplete_nothing_runs(repository: Path) -> None:
    """Neither the verb on the line, nor a traceback; and the verb says what to install."""
    (repository / "argcomplete.py").write_text("raise ImportError('not here')\n")
    asked = _shell(repository, "septum", "plan", _ARGCOMPLETE="1", PYTHONPATH=str(repository))
    told = _shell(repository, "septum", "completion", "bash", PYTHONPATH=str(repository))

    assert (asked.returncode, asked.stdout, asked.stderr) == (1, "", "")
    assert told.returncode == 2
    assert "Fix: python3 -m pip install 'septum[laptop]'" in told.stderr


def test_who_does_not_complete_pays_nothing(repository: Path) -> None:
    """The package is not even looked at."""
    code = "import sys; from septum.cli import main; main(['cluster', 'list']); print('argcomplete' in sys.modules)"
    done = _shell(repository, sys.executable, "-c", code)

    assert done.stdout.splitlines()[-1] == "False"


def test_an_unknown_shell_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the command line."""
    with pytest.raises(SystemExit) as caught:
        main(["completion", "tcsh"])

    assert caught.value.code == 2
    assert "bash" in capsys.readouterr().err
