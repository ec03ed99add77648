"""The exit codes on the help of each verb are those that its code can end with."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from septum import errors
from septum.cli import endings, main, parser
from septum.cli.parsing import leaves
from tests.unit import reachable_errors


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """What the code of each verb can end with."""
    return reachable_errors.endings()


def test_the_table_is_what_the_code_says(found: dict[str, str]) -> None:
    """No error that a verb can end with is missing, and none is there that it cannot."""
    differ = {verb: codes for verb, codes in found.items() if endings.ENDINGS.get(verb) != codes}

    assert differ == {}, "run: python -m tests.unit.reachable_errors > src/septum/cli/endings.py"
    assert list(endings.ENDINGS) == list(found)


@pytest.mark.parametrize(
    ("verb", "ends", "never"),
    [
        ("plan", ["E002", "E003", "E004"], ["E200", "E210", "E502", "E750"]),
        ("submit", ["E112", "E121", "E210", "E211"], ["E301", "E403"]),
        ("collect", ["E230", "E301", "E314", "E403", "E500", "E753"], ["E006"]),
        ("merge", ["E401", "E402", "E408"], ["E200", "E301"]),
        ("verify", ["E405"], ["E200", "E400"]),
        ("skipped", ["E101"], ["E002"]),
    ],
)
def test_the_reading_finds_what_people_know(
    found: dict[str, str], verb: str, ends: list[str], never: list[str]
) -> None:
    """A test of the test: behind re-exported names, classes and handlers that swallow."""
    codes = found[verb].split()

    assert [code for code in ends if code not in codes] == []
    assert [code for code in never if code in codes] == []


@pytest.mark.parametrize(
    ("body", "swallowed"),
    [
        ("pass", True),
        ("say(error.what)", True),
        ("raise", False),
        ("raise error", False),
        ("raise ValueError(error.what) from error", True),
        ("kept.append(error)", False),
        ("return error.code", False),
    ],
)
def test_a_handler_that_hands_on_an_error_does_not_swallow_it(body: str, *, swallowed: bool) -> None:
    """Only one that takes its words, and no more, does."""
    (tree,) = ast.parse(f"try:\n    f()\nexcept SeptumError as error:\n    {body}\n").body

    assert isinstance(tree, ast.Try)
    assert reachable_errors._swallows(tree.handlers[0]) is swallowed


@pytest.mark.parametrize("verb", [verb for verb, _ in leaves(parser())])
def test_the_help_of_a_verb_lists_its_exit_codes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the codes of the errors behind each, and with those of Ctrl-C and of a mistake in septum."""
    with pytest.raises(SystemExit):
        main([*verb.split(), "--help"])
    shown = capsys.readouterr().out
    lines = shown[shown.index("\nexit codes:\n") :].splitlines()
    by_number = {line.split()[0]: line for line in lines if line[2:5].strip().isdigit()}

    for code in endings.ENDINGS[verb].split():
        assert code in by_number[str(errors.error_of(code).exit_code)]
    assert {"0", "70", "130"} <= set(by_number)


def test_a_code_is_in_no_line_of_an_exit_code_that_is_not_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Of all errors, in the help of septum itself."""
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.partition("\nexit codes:\n")[2].splitlines()

    for error in errors.every_error():
        assert [line.split()[0] for line in lines if f" {error.code}," in line or f" {error.code}:" in line] == [
            str(error.exit_code)
        ]


def test_the_module_is_as_it_is_written(found: dict[str, str]) -> None:
    """Nobody edited it by hand."""
    assert Path(endings.__file__).read_text(encoding="utf-8") == reachable_errors.text(found)
