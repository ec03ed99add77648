"""Patterns for files, case by case as Ruby's `File.fnmatch` has them, and how `changes` uses them."""

from __future__ import annotations

import time

import pytest

from septum.errors import PipelineError
from septum.preview.globs import glob_matches
from septum.preview.rules import Surroundings, check, matches

FNMATCH = "Ruby: File.fnmatch"
BRACKET = "ruby dir.c, bracket"
CHANGES = "gitlabhq lib/gitlab/ci/build/rules/rule/clause/changes.rb"

GLOBS = [
    ("*", "a", True, FNMATCH),
    ("*", ".a", True, f"{FNMATCH}, FNM_DOTMATCH"),
    ("*", "a/b", False, f"{FNMATCH}, FNM_PATHNAME"),
    ("?", "/", False, f"{FNMATCH}, FNM_PATHNAME"),
    ("a?c", "a/c", False, f"{FNMATCH}, FNM_PATHNAME"),
    ("a*c", "a/c", False, f"{FNMATCH}, FNM_PATHNAME"),
    ("a*b*c", "aXbYbZc", True, FNMATCH),
    ("**", "a/b", False, f"{FNMATCH}: without a slash, two stars are one"),
    ("a**/b", "axx/b", True, f"{FNMATCH}: only at the beginning of a name"),
    ("a**/b", "a/x/b", False, f"{FNMATCH}: only at the beginning of a name"),
    ("**/b", "b", True, FNMATCH),
    ("**/b", ".x/y/b", True, f"{FNMATCH}, FNM_DOTMATCH"),
    ("a/**/b", "a/b", True, FNMATCH),
    ("a/**/b", "a/x/y/b", True, FNMATCH),
    ("a/**/b", "a/x/y/c", False, FNMATCH),
    ("a/**/b/c", "a/b/x/b/c", True, f"{FNMATCH}: the first b is not the last"),
    ("**/a/**/b", "x/a/y/a/z/b", True, FNMATCH),
    ("**/**/b", "x/b", True, FNMATCH),
    ("**/a/*", "a/x/a", False, FNMATCH),
    ("a/**/", "a/b", False, FNMATCH),
    ("**/a/" * 9 + "b", "x/a/" * 9 + "b", True, f"{FNMATCH}: any number of two stars"),
    ("**/a/" * 9 + "b", "x/a/" * 8 + "b", False, f"{FNMATCH}: any number of two stars"),
    ("[ab]", "a", True, FNMATCH),
    ("[ab]", "c", False, FNMATCH),
    ("[!a]", "b", True, BRACKET),
    ("[!a]", "a", False, BRACKET),
    ("[!a]", "!", True, BRACKET),
    ("[^a]", "b", True, BRACKET),
    ("[^a]", "a", False, BRACKET),
    ("[a!]", "!", True, f"{BRACKET}: at the beginning only"),
    ("x[!a]y", "x/y", False, f"{FNMATCH}, FNM_PATHNAME"),
    ("x[.-0]y", "x/y", False, f"{FNMATCH}, FNM_PATHNAME"),
    ("x[/]y", "x/y", False, f"{FNMATCH}, FNM_PATHNAME"),
    ("x[a/]y", "xay", True, f"{FNMATCH}, FNM_PATHNAME"),
    ("[a-c]", "b", True, FNMATCH),
    ("[a-]", "-", True, BRACKET),
    ("[z-a]", "m", False, f"{BRACKET}: backwards"),
    ("[z-a]", "z", True, f"{BRACKET}: backwards"),
    (r"[\]]", "]", True, f"{BRACKET}: a backslash"),
    (r"[a\-c]", "b", False, f"{BRACKET}: a backslash"),
    ("[]a]", "a", False, f"{BRACKET}: an empty set"),
    ("[!]", "a", True, f"{BRACKET}: nothing is not meant"),
    ("[a", "a", False, f"{BRACKET}: not closed"),
    ("[a", "[a", False, f"{BRACKET}: not closed"),
    ("[[:alpha:]]", "b", False, f"{BRACKET}: no classes"),
    ("[[:alpha:]]", "a]", True, f"{BRACKET}: no classes"),
    (r"\*", "*", True, FNMATCH),
    (r"\*", "a", False, FNMATCH),
    ("{a,b}.py", "b.py", True, f"{FNMATCH}, FNM_EXTGLOB"),
    ("{a,{b,c}d}", "cd", True, f"{FNMATCH}, FNM_EXTGLOB"),
    ("{a", "{a", True, f"{FNMATCH}, FNM_EXTGLOB"),
    (r"\{a,b\}", "{a,b}", True, f"{FNMATCH}, FNM_EXTGLOB"),
    (r"{a\,b,c}", "a,b", True, f"{FNMATCH}, FNM_EXTGLOB"),
    ("a{,/b}", "a/b", True, f"{FNMATCH}, FNM_EXTGLOB"),
    ("a+b.c", "a+b.c", True, FNMATCH),
    ("a.c", "abc", False, FNMATCH),
]


@pytest.mark.parametrize(("glob", "name", "expected", "source"), GLOBS, ids=[f"{case[0]} {case[1]}" for case in GLOBS])
def test_a_pattern_is_for_a_file_or_not(glob: str, name: str, expected: object, source: str) -> None:
    """By Ruby's rules, with the flags that GitLab gives."""
    assert glob_matches(glob, name) is expected, source


HOSTILE = ["[z-a]", "{{{{", "[" * 2000, "\\", "**/a/" * 400, "*a" * 200 + "b", "?" * 3000, "[!]]" * 500]


@pytest.mark.parametrize("glob", HOSTILE, ids=[glob[:12] for glob in HOSTILE])
@pytest.mark.parametrize("name", ["a" * 4000, "a/" * 2000 + "a"], ids=["long", "deep"])
def test_hostile_patterns_end_in_an_answer(glob: str, name: str) -> None:
    """For the longest name of a file that there is, in less than a second."""
    begun = time.process_time()

    assert glob_matches(glob, name) is False
    assert time.process_time() - begun < 1


def test_braces_cannot_fill_the_memory() -> None:
    """Thirty pairs would be 2^30 patterns."""
    with pytest.raises(PipelineError, match="stands for more than 1000 others"):
        glob_matches("{a,b}" * 30, "x")


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _changed(globs: object, *names: str) -> bool:
    return matches({"changes": globs}, Surroundings(variables={}, expanded={"X": "a", "Y": "a"}, changes=names))


def test_too_many_comparisons_count_as_a_match() -> None:
    """As in gitlabhq .../clause/changes.rb, CHANGES_MAX_PATTERN_COMPARISONS: more than 50 000."""
    names = [f"docs/{number}" for number in range(50_000)]

    assert not _changed(["nope"], *names)
    assert _changed(["nope"], *names, "docs/more")
    assert not _changed(["$X", "$Y"], *names)


def test_what_differs_from_another_ref_is_not_known() -> None:
    """In any pipeline, unlike what is new in it: gitlabhq .../clause/changes.rb, find_modified_paths."""
    around = Surroundings(variables={}, expanded={})
    rule = {"changes": {"paths": ["a"], "compare_to": "refs/heads/main"}}

    with pytest.raises(PipelineError, match="compare_to is not known here") as caught:
        matches(rule, around)
    assert "refs/heads/main" in caught.value.evidence
    assert "--changed" in caught.value.fix
    assert matches({"changes": {"paths": ["a"]}}, around)
    assert not matches({"if": "$NOPE", **rule}, around)
    assert _changed(rule["changes"], "a")
    assert not _changed(rule["changes"], "b")


def test_a_ref_to_compare_to_is_text() -> None:
    """As in gitlabhq lib/gitlab/ci/config/entry/rules/rule/changes.rb."""
    with pytest.raises(PipelineError, match="compare to should be a string"):
        check({"changes": {"paths": ["a"], "compare_to": 1}}, where="jobs:j:rules:rule")
