"""What septum knows of mkShapesRDF: where it has its files, and the line of run.sh that no worker can carry out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from septum.config import MergeRule
from septum.errors import CaptureError
from septum.frameworks.mkshapesrdf import kept, layout, merge_command, merge_rule, put_right, script

CONFIG = {"tag": "emu", "outputFolder": "rootFiles", "outputFile": "mkShapes__emu.root", "samples": {}}
HERE = layout(json.dumps(CONFIG), folder=".")


def test_the_output_of_a_job_is_named_by_the_merged_file() -> None:
    """The merge looks for these names and no others."""
    assert HERE.output == "mkShapes__emu__ALL__{Folder}.root"
    assert HERE.place(HERE.output) == "rootFiles/mkShapes__emu__ALL__{Folder}.root"
    assert HERE.place(HERE.output_file) == "rootFiles/mkShapes__emu.root"


def test_a_folder_in_the_repository_is_where_everything_stands() -> None:
    """Whatever is written before and behind it."""
    there = layout(json.dumps({**CONFIG, "outputFolder": "./rootFiles/"}), folder="2018/emu")

    assert there.place(there.output_file) == "2018/emu/rootFiles/mkShapes__emu.root"
    assert kept("2018/emu", "configs") == "2018/emu/configs"
    assert kept(".", "configs") == "configs"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not say where"),
        ("[]", "does not say where"),
        ("{}", "does not say where"),
        (json.dumps({"outputFolder": "x"}), "does not say where"),
        (json.dumps({**CONFIG, "outputFolder": "/eos/user/x"}), "not in the repository"),
        (json.dumps({**CONFIG, "outputFolder": "../x"}), "not in the repository"),
        (json.dumps({**CONFIG, "outputFile": "a/b.root"}), "no name of a ROOT file"),
        (json.dumps({**CONFIG, "outputFile": "a.txt"}), "no name of a ROOT file"),
        (json.dumps({**CONFIG, "outputFile": "$(id).root"}), "no name of a ROOT file"),
    ],
)
def test_a_configuration_that_does_not_say_is_refused(text: str, said: str) -> None:
    """With what belongs into configuration.py."""
    with pytest.raises(CaptureError, match=said) as refused:
        layout(text, folder=".")
    assert "configuration.py" in refused.value.fix or "varsToKeep" in refused.value.fix


def test_the_copy_into_a_folder_of_the_ci_job_is_put_right() -> None:
    """It names an absolute path, which workers do not have; the job would end with the exit code of the rm after it."""
    run = "python runner.py\ncp output.root /builds/g/p/rootFiles/mkShapes__emu__ALL__${1}.root\nrm output.root\n"
    right, changed = put_right(run, HERE)

    assert right == "python runner.py\ncp output.root mkShapes__emu__ALL__${1}.root\nrm output.root\n"
    assert changed == "cp output.root /builds/g/p/rootFiles/mkShapes__emu__ALL__${1}.root"


@pytest.mark.parametrize(
    "line",
    [
        "cp output.root mkShapes__emu__ALL__${1}.root",
        "mv output.root ./mkShapes__emu__ALL__$1.root",
        "xrdcp -f output.root root://eos.example.org//eos/cms/mkShapes__emu__ALL__${1}.root",
    ],
)
def test_a_script_that_needs_nothing_stays_as_it_is(line: str) -> None:
    """The user's own settings, and what goes to a storage."""
    assert put_right(line, HERE) == (line, "")


def test_a_script_without_the_output_is_refused() -> None:
    """The merge would not find it."""
    with pytest.raises(CaptureError, match="does not write the output") as refused:
        put_right("python runner.py\n", HERE)
    assert "cp output.root mkShapes__emu__ALL__${1}.root" in refused.value.fix


@pytest.mark.parametrize("folder", [".", "my analysis", "a'b", "-x", "$(touch x)"])
def test_the_folder_reaches_the_shell_as_it_is(folder: str, tmp_path: Path) -> None:
    """In its own script and in that of the merge; both end where a line fails."""
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "mkShapesRDF").write_text(
        '#!/bin/sh\npwd >>"$LOG"\nprintf "%s|" "$@" >>"$LOG"\nmkdir -p configs && echo {} >configs/config.json\n'
    )
    (tmp_path / "mkShapesRDF").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(tmp_path / "log")}
    for text in ("\n".join(script(folder, "configs")), merge_command(folder, "configs")):
        subprocess.run(["sh", "-ec", text], cwd=tmp_path, env=environ, check=True)

    said = (tmp_path / "log").read_text()
    assert said.count(str((tmp_path / folder).resolve()) + "\n") == 3
    assert "-c|1|-configs|configs|" in said
    assert "-o|0|-b|1|-configs|configs|" in said
    assert "-o|2|-configs|configs|" in said
    assert not (tmp_path / "x").exists()


def test_a_compilation_that_fails_submits_nothing(tmp_path: Path) -> None:
    """It ends with 0, and what it compiled the last time is there still."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "config.json").write_text("{}")
    (tmp_path / "mkShapesRDF").write_text('#!/bin/sh\nprintf "%s|" "$@" >>log\nexit 0\n')
    (tmp_path / "mkShapesRDF").chmod(0o755)
    done = subprocess.run(
        ["sh", "-ec", "\n".join(script(".", "configs"))],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "did not compile" in done.stderr
    assert (tmp_path / "log").read_text() == "-c|1|-configs|configs|"


def test_its_merge_is_a_rule_as_septum_yaml_has_it() -> None:
    """Only the histograms that it makes uncertainties of may go."""
    rule = MergeRule.model_validate(merge_rule(HERE, "configs"))

    assert rule.command == "cd -- .\nmkShapesRDF -o 2 -configs configs"
    assert (rule.at, rule.product) == (
        "rootFiles/mkShapes__emu__ALL__{Folder}.root",
        "rootFiles/mkShapes__emu.root",
    )
    assert rule.changes == ["*_SPECIAL_NUIS*"]
