"""A value of a part arrives at the command as it stands in septum.yaml, on every backend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.contract.conftest import Site

VALUES = [
    "plain",
    "two words",
    " spaces around ",
    "",
    "'single'",
    '"double"',
    "it's",
    "$HOME",
    "${PATH}",
    "$(touch pwned)",
    "`touch pwned`",
    "$$(JobId)",
    "$ENV(HOME)",
    "$(part)",
    "a,b",
    "a;b|c&d>e<f",
    "back\\slash",
    "\\n",
    "line\nbreak",
    "x\nqueue 1000\nexecutable = /bin/rm",
    "trailing newline\n",
    "tab\there",
    "carriage\rreturn",
    "-rf",
    "--help",
    "*",
    "~",
    "{braces}",
    "{{double}}",
    "%s %d",
    "!history",
    "#comment",
    "ünïcödé",
    "日本語",
    "🧲",
    "0.10",
    "007",
    "1e-3",
    "true",
    "=",
    "PATH=/nowhere",
]

SHOW = """\
n=0
for word; do n=$((n + 1)); printf '%s' "$word" > word$n; done
printf '%s' "$PART_value" > variable
tar -cf seen.tar word1 word2 variable
"""


def _yaml(command: str) -> str:
    values = "".join(
        f"    - {{value: {json.dumps(value)}, number: '{number}'}}\n" for number, value in enumerate(VALUES)
    )
    return f"command: {command}\nparts:\n  list:\n{values}inputs: [show.sh]\noutputs: [seen.tar]\n"


@pytest.mark.parametrize(
    ("command", "second"),
    [
        ('[sh, show.sh, "{value}", "<{value}>"]', "<{}>"),
        ('sh show.sh "$PART_value" "<$PART_value>"', "<{}>"),
    ],
    ids=["words", "text"],
)
def test_values_arrive(site: Site, tmp_path: Path, command: str, second: str) -> None:
    """Every byte of every value arrives, in the words of the command and in its variables; nothing is executed."""
    import tarfile

    quoted = command if command.startswith("[") else json.dumps(command)
    repository = site.repository(tmp_path, {"septum.yaml": _yaml(quoted), "show.sh": SHOW})
    assert YAML(typ="safe").load(_yaml(quoted))["parts"]["list"][5]["value"] == VALUES[5]

    process = repository.septum("run")

    assert process.returncode == 0, process.stdout
    for number, value in enumerate(VALUES):
        with tarfile.open(repository.result / "parts" / f"{number:04d}" / "seen.tar") as archive:
            seen = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        assert seen["word1"] == value.encode(), value
        assert seen["variable"] == value.encode(), value
        assert seen["word2"] == second.format(value).encode(), value
    assert not list(tmp_path.rglob("pwned"))


def test_outputs_with_difficult_names(site: Site, tmp_path: Path) -> None:
    """An output may have a space, a comma, a dollar, a quote or unicode in its path, and stand in a folder."""
    names = ["out put.txt", "a,b.txt", "pr$ice.txt", "it's.txt", "ü.txt", "deep/er/file.txt", "-rf"]
    commands = "mkdir -p deep/er\n" + "".join(
        f"printf '%s' {number} > {_quoted(name)}\n" for number, name in enumerate(names)
    )
    document = {
        "command": ["sh", "write.sh"],
        "parts": {"list": [{"n": "1"}, {"n": "2"}]},
        "inputs": ["write.sh"],
        "outputs": names,
    }
    repository = site.repository(tmp_path, {"septum.yaml": json.dumps(document), "write.sh": commands})

    process = repository.septum("run")

    assert process.returncode == 0, process.stdout
    for part in ("0000", "0001"):
        for number, name in enumerate(names):
            assert (repository.result / "parts" / part / name).read_text() == str(number)


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote("./" + name)
