"""No input of any component is read as code: the scanner finds nothing there, and everything that is planted."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from septum.components import catalog
from septum.components.model import Component
from septum.components.render import parse
from septum.components.scan_inputs import scan
from septum.components.shell_words import split_words, words

ROOT = Path(__file__).parents[2]
COMPONENTS = pytest.mark.parametrize("item", catalog.COMPONENTS, ids=lambda item: item.name)
IN = "$[[ inputs.cluster ]]"


@cache
def _body(item: Component) -> dict[str, Any]:
    _, body = parse((ROOT / "templates" / f"{item.name}.yml").read_text(encoding="utf-8"), item.name)
    return body


def _scripts_of(item: Component) -> list[str]:
    return [entry.reference for entry in item.inputs if entry.is_script]


@COMPONENTS
def test_no_input_becomes_code(item: Component) -> None:
    """In no script, hook, condition or command, and in no variable that a line has without quotes."""
    assert any("script" in job for job in _body(item).values())
    assert [str(finding) for finding in scan(_body(item), _scripts_of(item))] == []


PLANTED: dict[str, dict[str, Any]] = {
    "script": {"script": ["true", f"septum {IN}"]},
    "script in quotes": {"script": [f"septum '{IN}'"]},
    "script as one text": {"script": f"echo {IN}"},
    "nested script": {"script": [["true", [f"echo {IN}"]]]},
    "block without blanks": {"script": ["echo $[[inputs.cluster]]"]},
    "block with a function": {"script": ["echo $[[ inputs.cluster | posix_escape ]]"]},
    "before_script": {"before_script": [f"echo {IN}"]},
    "after_script": {"after_script": [f"echo {IN}"]},
    "comment of a script": {"script": [f"true # {IN}"]},
    "hook": {"hooks": {"pre_get_sources_script": [f"echo {IN}"]}},
    "condition": {"rules": [{"if": f'$CI_COMMIT_BRANCH == "{IN}"'}]},
    "name of a variable": {"variables": {IN: "x"}},
    "name of a variable of a rule": {"rules": [{"if": "$A", "variables": {f"A_{IN}": "x"}}]},
    "entrypoint": {"image": {"name": "x", "entrypoint": ["sh", "-c", IN]}},
    "command of a service": {"services": [{"name": "x", "command": [IN]}]},
    "step": {"run": [{"script": IN}]},
    "variable that the shell runs": {"variables": {"BASH_ENV": {"value": IN, "expand": False}}},
    "variable that git runs": {"variables": {"GIT_SSH_COMMAND": IN}},
    "variable without quotes": {"script": ["septum run $SEPTUM_CLUSTER"]},
    "variable in braces without quotes": {"script": ["septum run ${SEPTUM_CLUSTER}"]},
    "variable with a default without quotes": {"script": ["septum run ${SEPTUM_CLUSTER:-local}"]},
    "variable in the middle of a word": {"script": ["septum run a${SEPTUM_CLUSTER}b"]},
    "variable behind a quotation": {"script": ['septum run "$A"$SEPTUM_CLUSTER']},
    "variable in a test": {"script": ["if test $SEPTUM_CLUSTER = local; then true; fi"]},
    "variable in a command in quotes": {"script": ['echo "$(basename $SEPTUM_CLUSTER)"']},
    "variable in backticks": {"script": ["A=`basename $SEPTUM_CLUSTER`"]},
    "command without quotes": {"script": ['rm -rf $(basename "$SEPTUM_CLUSTER")']},
    "variable of a loop": {"script": ["for i in $SEPTUM_CLUSTER; do true; done"]},
    "variable as the command": {"script": ["$SEPTUM_CLUSTER --help"]},
    "variable in an argument like an assignment": {"script": ["env A=$SEPTUM_CLUSTER septum run"]},
    "variable of export": {"script": ["export A=$SEPTUM_CLUSTER"]},
    "eval": {"script": ['eval "$SEPTUM_CLUSTER"']},
    "eval behind others": {"script": ['true && command eval "run $SEPTUM_CLUSTER"']},
    "a shell": {"script": ['sh -c "septum run $SEPTUM_CLUSTER"']},
    "a shell with options": {"script": ['/bin/bash -euc "septum run $SEPTUM_CLUSTER"']},
    "sourced": {"script": ['. "$SEPTUM_CLUSTER"']},
    "trap": {"script": ['trap "rm $SEPTUM_CLUSTER" EXIT']},
    "second line of a block": {"script": ["if true; then\n  septum run $SEPTUM_CLUSTER\nfi"]},
    "all arguments": {"script": ["septum $*"]},
}


@pytest.mark.parametrize("job", PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("name", ["job", ".hidden"])
def test_every_planted_fault_is_found(name: str, job: dict[str, Any]) -> None:
    """Once at least, with the CI job that it stands in."""
    found = scan({name: job, "other": {"script": ["true"]}})

    assert {finding.job for finding in found} == {name}
    assert all(finding.text and finding.why in str(finding) for finding in found)


@COMPONENTS
@pytest.mark.parametrize("job", [PLANTED["script"], PLANTED["variable without quotes"], PLANTED["condition"]])
def test_faults_are_found_in_the_components(item: Component, job: dict[str, Any]) -> None:
    """One line more in any of their CI jobs is enough."""
    for name in _body(item):
        body = copy.deepcopy(_body(item))
        body[name] = {**body[name], **job}
        assert {finding.job for finding in scan(body, _scripts_of(item))} == {name}


@pytest.mark.parametrize("line", ["true $[[ inputs.script ]]", "true\n$[[ inputs.script ]]", "$[[ inputs.cluster ]]"])
def test_lines_of_the_user_stand_alone(line: str) -> None:
    """An input that is a script is an entry of `script`, not a piece of one; and no other input is."""
    own = ["$[[ inputs.script ]]"]

    assert scan({"job": {"script": ["true", own[0]]}}, own) == ()
    assert [finding.job for finding in scan({"job": {"script": [line]}}, own)] == ["job"]
    assert [finding.job for finding in scan({"job": {"before_script": own}}, own)] == ["job"]
    assert [finding.job for finding in scan({"job": {"script": own}})] == ["job"]


HARMLESS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "value of a variable": {"variables": {"SEPTUM_CLUSTER": {"value": IN, "expand": False}}},
    "keywords that no shell reads": {"stage": IN, "tags": IN, "image": IN, "timeout": IN, "needs": [IN], "extends": IN},
    "rules as an input": {"rules": ["$[[ inputs.rules ]]", {"when": "never"}]},
    "artifacts": {"artifacts": {"paths": [f"{IN}/"], "expire_in": IN}},
    "quotes": {"script": ['septum run "$SEPTUM_CLUSTER" "a ${B} c" "${C:-"$D"}"']},
    "assignment": {"script": ["PATH=$venv/bin:$PATH", "A=$B C=${D} septum run", "if true; then A=$B; fi"]},
    "command in an assignment": {"script": ['venv=$(mktemp -d)/septum && python3 -m venv "$venv"']},
    "case": {"script": ["case $SEPTUM_CLUSTER in local) true ;; esac"]},
    "single quotes": {"script": ["awk '{print $1}' file", "sh -c 'exit 0'"]},
    "escapes": {"script": [r"echo \$HOME \"x", 'echo "\\$HOME"']},
    "script of an earlier CI job": {"script": ['. "$SEPTUM_STATE/recorder/begin.sh"']},
    "comment": {"script": ["true # $HOME, isn't it", "true"]},
    "numbers": {"script": ["exit $((1 + 2))", "echo $? $# $$"]},
    "no mapping": {"rules": None, "hooks": None, "variables": None, "script": None, "services": None},
}


@pytest.mark.parametrize("job", HARMLESS.values(), ids=HARMLESS)
def test_what_is_harmless_is_not_found(job: dict[str, Any]) -> None:
    """A gate that cries wolf is taken away."""
    assert [str(finding) for finding in scan({"job": job, "stages": [IN], "spec": None})] == []


@pytest.mark.parametrize(
    "text", ['"', "'", "$(", "${", "`", '"$(', '"${a', "$((", "\\", "$", "", "\n\n", "a" * 100_000]
)
def test_what_no_shell_could_read_comes_to_an_end(text: str) -> None:
    """Neither an endless loop nor a traceback."""
    assert isinstance(words(text), list)
    assert isinstance(scan({"job": {"script": [text, IN]}}), tuple)


def test_words_know_their_line() -> None:
    """Also behind quotes and commands of several lines."""
    script = "one 'a\nb'\n\"$(two\nthree)\" $four\n$five"

    assert [(word.bare, word.line) for word in split_words(script)] == [(["four"], 4), (["five"], 5)]
