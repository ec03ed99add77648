"""What all verbs have in common: a description, examples that are commands, `--json`, and colours where they belong."""

from __future__ import annotations

import argparse
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import septum
from septum.cli import main, parser
from septum.cli.answer import answer, answering
from septum.cli.console import complain_of, has_colour, say, style
from septum.cli.parsing import NO_DOCUMENT, leaves
from septum.credentials.secret import Secret
from tests.fakes.analyses import BASE
from tests.fakes.rootfiles import H, write_root

LEAVES = dict(leaves(parser()))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An analysis of two parts, as the working folder; no variable of septum is set."""
    (tmp_path / "septum.yaml").write_text(BASE + "parts: {list: [{s: a}, {s: b}]}\n")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("SEPTUM_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("GITLAB_CI", raising=False)
    return tmp_path


# ── help ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _examples(leaf: argparse.ArgumentParser) -> list[str]:
    """The commands in the help of a verb, without what a shell does around them."""
    block = (leaf.epilog or "").partition("examples:\n")[2].partition("\n\n")[0]
    lines = [line.strip() for line in block.splitlines() if re.match(r"  \S", line)]
    commands = [re.split(r" {2,}| [>|] ", line)[0] for line in lines]
    return [re.sub(r'^eval "\$\((.*)\)"$', r"\1", command) for command in commands]


@pytest.mark.parametrize("verb", LEAVES)
def test_every_verb_has_a_description_and_examples(verb: str) -> None:
    """In words, and two to five commands, the verb's own."""
    leaf = LEAVES[verb]
    commands = _examples(leaf)

    assert len(leaf.description or "") > 20
    assert 2 <= len(commands) <= 5
    assert [command for command in commands if not command.startswith(f"septum {verb}")] == []


@pytest.mark.parametrize(
    ("verb", "command"), [(verb, command) for verb, leaf in LEAVES.items() for command in _examples(leaf)]
)
def test_every_example_is_a_command_that_septum_takes(verb: str, command: str) -> None:
    """As a shell would hand it over; a renamed option is found here."""
    args = parser().parse_args(shlex.split(command)[1:])

    assert args.handler is LEAVES[verb].get_default("handler")


@pytest.mark.parametrize("verb", LEAVES)
def test_every_verb_can_answer_a_program(verb: str) -> None:
    """But the one whose output is that of another command."""
    assert ("--json" in LEAVES[verb].format_help()) == (verb not in NO_DOCUMENT)


# ── one document ────────────────────────────────────────────────────────────────────────────────────────────────


def _files(folder: Path) -> None:
    for number in range(2):
        write_root(folder / f"{number}.root", {"h": H(cells=[0, number, 1, 0])})


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["plan"], {"hash", "plan", "where", "forecast", "artifact", "credentials"}),
        (["prepare"], {"name", "hash", "parts", "whole", "results"}),
        (["cluster", "show", "local"], {"missing", "values"}),
        (["cluster", "check", "local"], {"lines", "warnings"}),
        (["credentials", "show"], {"credentials", "warnings"}),
        (["credentials", "scan", "septum.yaml"], {"findings", "files", "skipped", "unread"}),
        (["credentials", "clean"], {"deleted"}),
        (["merge", "all.root", "0.root", "1.root"], {"file", "files", "size_b", "sha256", "engine", "objects"}),
        (["image", "wishlist", "registry.example.org/a/b:v1"], {"entry", "there"}),
        (["completion", "fish"], {"shell", "script"}),
    ],
)
def test_a_verb_answers_with_one_document(
    repository: Path, capsys: pytest.CaptureFixture[str], words: list[str], keys: set[str]
) -> None:
    """And nothing else is on standard output."""
    _files(repository)

    assert main([*words, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == keys


def test_submit_and_cancel_answer(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the tag of the run, and with how many jobs went."""
    assert main(["prepare"]) == 0
    capsys.readouterr()
    assert main(["submit", "--json"]) == 0
    submitted = json.loads(capsys.readouterr().out)
    assert main(["cancel", "--json"]) == 0

    assert submitted.items() >= {"cluster": "local", "schedd": "", "new": 2, "attached": 0}.items()
    assert submitted["run"].startswith("laptop/")
    assert json.loads(capsys.readouterr().out) == {"removed": 0}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["plan", "--config", "no.yaml"], "E002"),
        (["run", "--cluster", "atlantis"], "E004"),
        (["collect"], "E005"),
        (["merge", "all.root", "no.root"], "E001"),
        (["verify", "."], "E405"),
        (["report", "nothing"], "E005"),
        (["skipped"], "E101"),
        (["compare", "nothing"], "E502"),
        (["image", "wishlist"], "E001"),
        (["doctor", "--config", "no.yaml", "--cluster", "atlantis"], ""),
    ],
)
def test_a_failure_is_a_document_too(
    repository: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: str
) -> None:
    """With code, exit code, words, evidence and fix; people read the same on standard error."""
    (repository / "septum.yaml").rename(repository / "other.yaml")
    number = main([*words, "--json"])
    shown = capsys.readouterr()
    document = json.loads(shown.out)

    assert number != 0
    if code:
        assert set(document["error"]) == {"code", "exit_code", "what", "evidence", "fix"}
        assert (document["error"]["code"], document["error"]["exit_code"]) == (code, number)
        assert document["error"]["what"] in shown.err
    else:
        assert document["exit_code"] == number


@pytest.mark.parametrize("words", [["plan", "--nope", "--json"], ["nope", "--json"], ["plan", "--json", "--set"]])
def test_a_command_line_that_cannot_be_read_is_a_document_too(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """And ends with 2, as without."""
    with pytest.raises(SystemExit) as caught:
        main(words)

    assert caught.value.code == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E001"


def test_what_was_found_stays_in_the_document_of_a_failure(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the error alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (repository / "key.pem").write_bytes(pem)
    code = main(["credentials", "scan", "key.pem", "--json"])
    document = json.loads(capsys.readouterr().out)

    assert code == document["error"]["exit_code"] == 18
    assert [finding["path"] for finding in document["findings"]] == ["key.pem"]


def test_what_a_preparation_prints_is_not_in_the_document(repository: Path) -> None:
    """Neither is what any other program prints that septum starts."""
    with (repository / "septum.yaml").open("a") as stream:
        stream.write("prepare: ['echo \"{}\"; echo noise']\n")
    done = subprocess.run(
        [sys.executable, "-m", "septum", "prepare", "--json"], capture_output=True, text=True, timeout=60, check=True
    )

    assert json.loads(done.stdout)["parts"] == 2
    assert "{}\nnoise\n" in done.stderr


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["plan", "--help"], ["cluster", "list", "-h"]])
def test_help_and_version_are_a_document_too(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Where one is asked for; a program never meets bare text."""
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert told["version"] == septum.__version__
    assert told["says"]


def test_a_verb_complains_itself_of_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    """With its own usage, which has the options that it knows; the document names the help that has them."""
    with pytest.raises(SystemExit):
        main(["cluster", "show", "local", "--json", "--bogus"])
    shown = capsys.readouterr()

    assert json.loads(shown.out)["error"]["fix"] == "septum cluster show --help"
    assert "septum cluster show: error: unrecognized arguments: --bogus" in shown.err


def test_json_behind_a_double_dash_is_another_command_s(capsys: pytest.CaptureFixture[str]) -> None:
    """Then nobody asked septum for a document."""
    with pytest.raises(SystemExit):
        main(["credentials", "run", "--bogus", "--", "prog", "--json"])

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "code"), [(["cluster", "list", "--json"], 49), (["plan", "--config", "no.yaml", "--json"], 2)]
)
def test_a_document_that_cannot_be_written_is_a_failure(repository: Path, words: list[str], code: int) -> None:
    """A program would read an empty one after exit code 0; what the verb itself ended with goes first."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "septum", *words],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert done.returncode == code
    assert "[E409]" in done.stderr


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_a_full_disk_is_no_mistake_of_septum(repository: Path, word: str) -> None:
    """There is no traceback, with any version of Python."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-u", "-m", "septum", word],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_a_line_that_looks_like_a_document_does_not_replace_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Text of others may be JSON; the verb's own answer counts."""
    with answering(asked=True):
        assert answer({"right": 1})
        say('{"right": 0}')

    assert json.loads(capsys.readouterr().out) == {"right": 1}


def test_no_secret_is_in_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even one that JSON writes in another way."""
    secret = Secret('corr"ect\\hörse-bättery')
    with answering(asked=True):
        answer({"told": [f"<{secret.reveal()}>"], secret.reveal(): 1})

    assert json.loads(capsys.readouterr().out) == {"told": ["<***>"], "***": 1}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", "\x1b[2J"])
def test_any_value_gives_a_document_of_plain_ascii(capsys: pytest.CaptureFixture[str], value: object) -> None:
    """That every program reads, and that moves no cursor."""
    with answering(asked=True):
        answer({"value": value})
    shown = capsys.readouterr().out

    assert shown.isascii()
    assert "\x1b" not in shown
    assert json.loads(shown)["value"] in {None, value}


def test_compare_does_not_write_over_a_result(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json A B` names A as the file; with nothing behind it, the document is on standard output."""
    _files(repository)
    before = (repository / "0.root").read_bytes()

    assert main(["compare", "--json", "0.root", "1.root"]) == 2
    assert (repository / "0.root").read_bytes() == before
    capsys.readouterr()
    assert main(["compare", "0.root", "0.root", "--json"]) == 0
    assert "headline" in json.loads(capsys.readouterr().out)
    assert main(["compare", "0.root", "0.root", "--json", "found.json"]) == 0
    assert main(["compare", "0.root", "0.root", "--json", "found.json"]) == 0


# ── colours ─────────────────────────────────────────────────────────────────────────────────────────────────────


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "on_terminal", "in_pipe"),
    [
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
    ],
)
def test_who_decides_on_colours(environ: dict[str, str], *, on_terminal: bool, in_pipe: bool) -> None:
    """NO_COLOR, then FORCE_COLOR, then the terminal."""
    assert has_colour(_Terminal(), environ) is on_terminal
    assert has_colour(io.StringIO(), environ) is in_pipe
    assert has_colour(None, environ) is False


def test_text_of_others_brings_no_colours_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its control characters are gone before ours come."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    complain_of("septum: \x1b[2Jhello [E001]\n  Fix: \rnothing")

    assert style("a\x1b[31mb", "green") == "\x1b[32ma?[31mb\x1b[0m"
    assert capsys.readouterr().err == ("\x1b[1;31mseptum: ?[2Jhello [E001]\x1b[0m\n\x1b[1m  Fix: ?nothing\x1b[0m\n")


def _on_a_terminal(folder: Path, *words: str, **more: str) -> str:
    """What a verb prints on a real terminal."""
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "septum", *words],
        cwd=folder, env={**environ, **more}, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # how a terminal says that nobody writes any more
        pass
    finally:
        os.close(ours)
        process.wait(timeout=60)
    return shown.decode()


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
def test_an_error_is_coloured_on_a_terminal_alone(repository: Path, environ: dict[str, str], *, coloured: bool) -> None:
    """That has colours, and whose user wants them."""
    shown = _on_a_terminal(repository, "plan", "--config", "no.yaml", **environ)

    assert "there is no such file" in shown
    assert ("\x1b" in shown) is coloured


@pytest.mark.parametrize(
    ("environ", "drawn"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
def test_a_run_has_a_bar_on_a_terminal_alone(repository: Path, environ: dict[str, str], *, drawn: bool) -> None:
    """The lines are there as well; in the end nothing is left of the bar."""
    (repository / "septum.yaml").write_text(
        "command: [sh, -c, 'echo x > n.csv; echo {n} >> n.csv; sleep 0.3']\n"
        "outputs: [n.csv]\nparts: {list: [{n: '1'}, {n: '2'}]}\nmerge: {all.csv: n.csv}\n"
    )
    shown = _on_a_terminal(repository, "run", COLUMNS="120", **environ)

    assert "2 of 2 parts are in" in shown
    assert "2 verified" in shown
    assert ("\x1b" in shown) is drawn
    assert bool(re.search("parts .*2/2", shown)) is drawn
    assert (repository / "result/all.csv").read_text() == "x\n1\n2\n"
