"""The page of the command line has every verb, and is the same wherever it is made."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from septum.cli import manual, parser


def _verbs(top: argparse.ArgumentParser) -> Iterator[str]:
    """The words of every parser, by another way than the page finds them: from the help of the one above."""
    yield top.prog
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield from _verbs(action.choices[choice.dest])


def test_every_verb_has_its_section() -> None:
    """In the order in which the help lists them, and none twice."""
    page = manual.page(parser(), "note")
    sections = [line.removeprefix("## ").strip("`") for line in page.splitlines() if line.startswith("## ")]

    assert sections == list(_verbs(parser()))
    assert len(sections) > 25
    assert len(sections) == len(set(sections))


def test_a_section_is_what_the_verb_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words in the same order; lines may break elsewhere."""
    monkeypatch.setenv("COLUMNS", "100")
    (merge,) = (
        action.choices["merge"] for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    )

    shown = manual.help_of(merge)

    assert shown.split() == merge.format_help().split()
    assert shown.startswith("usage: septum merge [-h]")
    assert merge.format_help().startswith("usage: septum merge [-h]"), "the parser is as it was"


def test_the_page_is_the_same_wherever_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a wide terminal, with variables of a CI job, with colours forced."""
    here = manual.page(parser(), "note")
    for name, value in (
        ("COLUMNS", "300"),
        ("FORCE_COLOR", "1"),
        ("SEPTUM_CLUSTER", "somewhere"),
        ("SEPTUM_CONFIG", "other.yaml"),
        ("SEPTUM_RESULT", "elsewhere"),
        ("HOME", "/nowhere"),
    ):
        monkeypatch.setenv(name, value)

    assert manual.page(parser(), "note") == here
    assert "\x1b" not in here


def test_an_option_and_its_value_stay_on_one_line() -> None:
    """Also where the usage of a verb needs several."""
    verb = argparse.ArgumentParser("septum try")
    for number in range(12):
        verb.add_argument(f"--option-{number}", metavar="A-LONG-VALUE")
    verb.add_argument("files", nargs="+", metavar="FILE")

    usage, _, _ = manual.help_of(verb).partition("\n\n")

    assert len(usage.splitlines()) > 4
    assert max(map(len, usage.splitlines())) <= 98
    for line in usage.splitlines():
        assert line.count("[") == line.count("]")
        assert line.startswith(("usage: septum try [", "                  "))
