"""The language of `rules:if`, case by case as GitLab has it, and the regular expressions in it."""

from __future__ import annotations

import random
import string

import pytest

from septum.errors import PipelineError
from septum.preview.expressions import evaluate, holds
from septum.preview.features import NEWEST, Version
from septum.preview.re2 import compile_re2

STATEMENT = "gitlabhq spec/lib/gitlab/ci/pipeline/expression/statement_spec.rb"
PARSER = "gitlabhq spec/lib/gitlab/ci/pipeline/expression/parser_spec.rb"
LEXER = "gitlabhq lib/gitlab/ci/pipeline/expression/lexer.rb"
PATTERN = "gitlabhq lib/gitlab/ci/pipeline/expression/lexeme/pattern.rb"
LEXEMES = "gitlabhq lib/gitlab/ci/pipeline/expression/lexeme"
DOC = "doc/ci/jobs/job_rules.md, CI/CD variable expressions"
NOT = "gitlab-org/gitlab merge request 219430"

VARIABLES = {
    "PRESENT": "my variable",
    "PATH": "a/path/variable/value",
    "FULL": "/a/full/path/variable/value",
    "EMPTY": "",
    "BLANK": " \t",
    "TEST": "abcde",
    "PATTERN": "/^ab.*/",
    "OTHER": "/^at.*/",
    "BROKEN": "/(?=ab)/",
    "TRUE": "true",
    "LINES": "one\ntwo",
}
VALUES = [
    # Comparisons.
    ('$PRESENT == "my variable"', True, STATEMENT),
    ('"my variable" == $PRESENT', True, STATEMENT),
    ("$PRESENT == 'my variable'", True, f"{LEXEMES}/string.rb"),
    ("$PRESENT == null", False, STATEMENT),
    ("$EMPTY == null", False, STATEMENT),
    ("$UNDEFINED == null", True, STATEMENT),
    ("null == $UNDEFINED", True, STATEMENT),
    ('"" == $EMPTY', True, STATEMENT),
    ('$UNDEFINED == ""', False, f"{DOC}: undefined and empty are two things"),
    ('$PRESENT != "my variable"', False, STATEMENT),
    ("$EMPTY != null", True, STATEMENT),
    ("null != $UNDEFINED", False, STATEMENT),
    ("$PRESENT == $PRESENT", True, f"{DOC}: compare two variables"),
    ('"it\'s" == "it\'s"', True, f"{LEXEMES}/string.rb: the other quote inside"),
    ('$PRESENT == "123" == $UNDEFINED', False, f"{PARSER}: from the left"),
    # Values as they are.
    ("$PRESENT", "my variable", STATEMENT),
    ("$EMPTY", "", STATEMENT),
    ("$UNDEFINED", None, STATEMENT),
    ('"some value"', "some value", PARSER),
    ("null", None, PARSER),
    # Patterns.
    ("$PRESENT =~ /var.*e$/", True, STATEMENT),
    (r"$PRESENT =~ /va\r.*e$/", False, STATEMENT),
    (r"$PRESENT =~ /va\/r.*e$/", False, STATEMENT),
    ("$PRESENT =~ /^var.*/", False, STATEMENT),
    ("$EMPTY =~ /var.*/", False, STATEMENT),
    ("$UNDEFINED =~ /var.*/", False, STATEMENT),
    ("$PRESENT =~ /VAR.*/i", True, STATEMENT),
    ("$PRESENT =~ /VAR.*/", False, f"{DOC}: case counts"),
    (r"$PATH =~ /path\/variable/", True, STATEMENT),
    (r"$FULL =~ /^\/a\/full\/path\/variable\/value$/", True, STATEMENT),
    (r"$FULL =~ /\\/path\\/variable\\/value$/", True, STATEMENT),
    ("$PRESENT !~ /var.*e$/", False, STATEMENT),
    ("$PRESENT !~ /^var.*/", True, STATEMENT),
    ("$UNDEFINED !~ /var.*/", True, STATEMENT),
    ("$PRESENT !~ /VAR.*/i", False, STATEMENT),
    ("$LINES =~ /^two/", False, "github.com/google/re2/wiki/Syntax: ^ is the beginning of the text"),
    ("$LINES =~ /^two/m", True, "github.com/google/re2/wiki/Syntax: (?m)"),
    ("$LINES =~ /one.two/s", True, "github.com/google/re2/wiki/Syntax: (?s)"),
    ("$TEST =~ $PATTERN", True, f"{STATEMENT}: a pattern in a variable"),
    ("$TEST =~ $OTHER", False, STATEMENT),
    ("$TEST !~ $OTHER", True, STATEMENT),
    ('$TEST =~ "abcde"', True, STATEMENT),
    ('$TEST =~ "has abcde in it"', True, f"{LEXEMES}/matches.rb: a text is searched for the left side"),
    ('$TEST =~ "bcd"', False, f"{LEXEMES}/matches.rb: and not the other way round"),
    ('$UNDEFINED =~ "anything"', True, f"{LEXEMES}/matches.rb: nothing is in every text"),
    ("$TEST =~ $UNDEFINED", False, f"{LEXEMES}/matches.rb"),
    ("$TEST !~ $UNDEFINED", True, f"{LEXEMES}/not_matches.rb"),
    ("$TEST =~ $BROKEN", False, f"{PATTERN}: what is no pattern is a text"),
    # And, or: Ruby's truth, in which an empty text is true.
    ('$PRESENT && "string"', "string", STATEMENT),
    ("$PRESENT && $EMPTY", "", STATEMENT),
    ("$EMPTY && $PRESENT", "my variable", STATEMENT),
    ("null && $PRESENT", None, STATEMENT),
    ("$PRESENT && $UNDEFINED", None, STATEMENT),
    ("$UNDEFINED && $EMPTY", None, STATEMENT),
    ("$PRESENT || $UNDEFINED", "my variable", STATEMENT),
    ("$UNDEFINED || $PRESENT", "my variable", STATEMENT),
    ("$EMPTY || $PRESENT", "", f"{LEXEMES}/or.rb"),
    ('$EMPTY == "" || $PRESENT', True, STATEMENT),
    ("$PRESENT || $UNDEFINED == null", "my variable", STATEMENT),
    ("$PRESENT =~ /my var/ && $EMPTY =~ /nope/", False, STATEMENT),
    ("$PRESENT =~ /my var/ || $EMPTY =~ /nope/", True, STATEMENT),
    # Precedence and parentheses.
    ('$PRESENT && null || $EMPTY == ""', True, STATEMENT),
    ("$PRESENT || $PRESENT && null", "my variable", f"{PARSER}: && first"),
    ("($PRESENT)", "my variable", STATEMENT),
    ('(($PRESENT && null) || $EMPTY == "")', True, STATEMENT),
    ('($PRESENT) && (null || $EMPTY == "")', True, STATEMENT),
    ('("string" || "test") == "string"', True, STATEMENT),
    ('("string" == ("test" && "string"))', True, STATEMENT),
    ('("string" == ("test" || "string"))', False, STATEMENT),
    ('("string" == "test" || "string")', "string", STATEMENT),
    ('("string" == ("string" || (("1" == "1") && ("2" == "3"))))', True, STATEMENT),
    ('$PRESENT "my variable" ==', True, f"{PARSER}: values only have to be there when the operator is worked off"),
    # Newer: truth values and negation.
    ("$TRUE == true", True, f"{LEXEMES}/boolean.rb"),
    ("true", True, f"{LEXEMES}/boolean.rb"),
    ("!$UNDEFINED", True, NOT),
    ("!$EMPTY", True, NOT),
    ("!($PRESENT && $UNDEFINED)", True, NOT),
    ("!!$PRESENT", True, NOT),
    ('!$PRESENT == "false"', True, f"{LEXEMES}/not.rb: binds before =="),
    ('"false" == !$PRESENT', True, f"{LEXEMES}/not.rb"),
]


@pytest.mark.parametrize(("expression", "value", "source"), VALUES, ids=[case[0] for case in VALUES])
def test_an_expression_has_the_value_that_gitlab_gives_it(expression: str, value: object, source: str) -> None:
    """Types included: true is not "true"."""
    found = evaluate(expression, VARIABLES)

    assert (type(found), found) == (type(value), value), source


TRUTHS = [
    ("$PRESENT", True, STATEMENT),
    ("$EMPTY", False, STATEMENT),
    ("$BLANK", False, f"{STATEMENT}: present?"),
    ("$UNDEFINED", False, STATEMENT),
    ("$EMPTY && $PRESENT", True, f"{STATEMENT}: a variable that is empty does not stop an &&"),
    ("$EMPTY || $PRESENT", False, f"{LEXEMES}/or.rb: nor does it let the other side of an || decide"),
    ("$EMPTY && $UNDEFINED == null", True, STATEMENT),
    ('$EMPTY != "" && $PRESENT', False, f"{DOC}: how to ask whether a variable has a value"),
    ("/ab.*/", True, f"{PATTERN}: a pattern that is matched with nothing"),
]


@pytest.mark.parametrize(("expression", "expected", "source"), TRUTHS, ids=[case[0] for case in TRUTHS])
def test_a_rule_holds_if_its_value_is_there(expression: str, expected: object, source: str) -> None:
    """Neither null nor false nor blank."""
    assert holds(expression, VARIABLES) is expected, source


ERRORS = [
    ("", "it is empty", PARSER),
    ("   ", "it is empty", PARSER),
    ("()", "it is empty", PARSER),
    ('$VAR "text"', "without an operator", PARSER),
    ('== "123"', "== lacks a value", PARSER),
    ("$VAR ==", "== lacks a value", PARSER),
    ("$VAR == (", "not closed", PARSER),
    ('$VAR2 == ("aa"', "not closed", PARSER),
    ('$VAR2 == ("aa"))', "was not opened", PARSER),
    ('$VAR2 == "aa")', "was not opened", PARSER),
    ("$INVALID = 1", "'= 1'", STATEMENT),
    ("$A == 1", "'1'", f"{LEXER}: numbers are no words"),
    ("$A == main", "'main'", f"{LEXER}: texts have quotes"),
    ('$A == "open', "'\"open'", f"{LEXEMES}/string.rb"),
    ("${A} == null", "'${A}", f"{DOC}: only $NAME"),
    ("$A & $B", "'& $B'", LEXER),
    ("$A =~ /a/", "'/a/'", f"{DOC}: one character alone is no pattern"),
    ("$A =~ /(?=ab)/", "RE2", f"{PATTERN}: no look-around"),
    (r"$A =~ /(ab)\1/", "RE2", f"{PATTERN}: no references back"),
    ("$A =~ /a(b/", "RE2", PATTERN),
    ("$A =~ true", "a truth value", f"{LEXEMES}/matches.rb"),
    ("!", "! lacks a value", NOT),
    (" || ".join(["$A"] * 51), "words", f"{LEXER}: at most 99 of them"),
]


@pytest.mark.parametrize(("expression", "why", "source"), ERRORS, ids=[case[0][:30] for case in ERRORS])
def test_what_is_no_expression_is_refused(expression: str, why: str, source: str) -> None:
    """With what is wrong in it."""
    with pytest.raises(PipelineError, match="invalid expression syntax") as caught:
        evaluate(expression, VARIABLES)

    assert why in caught.value.evidence, source


@pytest.mark.parametrize(
    ("expression", "version"), [("$A == true", Version(18, 6)), ("!$A", Version(18, 9)), ("!$A", Version(17, 0))]
)
def test_older_servers_know_less(expression: str, version: Version) -> None:
    """What the newest knows is an error there."""
    assert evaluate(expression, {}, gitlab=NEWEST) in {True, False}
    with pytest.raises(PipelineError):
        evaluate(expression, {}, gitlab=version)


def test_inputs_can_be_asked_where_rules_of_inputs_are() -> None:
    """`$[[ inputs.x ]]` is a value of its own; a boolean is compared with a text by its name."""
    inputs = {"cloud": "aws", "fast": True}

    assert holds('$[[ inputs.cloud ]] == "aws" && $[[inputs.fast]]', {}, inputs=inputs)
    assert holds('$[[ inputs.fast ]] == "true"', {}, inputs=inputs)
    assert not holds("$[[ inputs.other ]]", {}, inputs=inputs)


PATTERNS = [
    ("^ab$", "ab\n", False, "$ is the end, not the last line"),
    (r"\Aab\z", "ab", True, "both ends"),
    ("[[:alpha:]]+[[:digit:]]", "ab1", True, "POSIX classes"),
    ("[]a]+", "]", True, "a bracket first in a class"),
    ("[^]a]", "]", False, "and in a negated one"),
    (r"\Qa.b\E", "axb", False, "quoted text"),
    (r"\x{41}b", "Ab", True, "a character by number"),
    ("(?P<x>a)(?<y>b)", "ab", True, "named groups, both ways"),
    ("(?i)AB|cd", "ab", True, "flags at the beginning"),
    ("(?i:A)b", "aB", False, "flags of a group"),
    (r"\d", "٣", False, "ASCII digits only"),
    ("(?U)a+", "aaa", True, "ungreedy"),
    ("a{2,3}", "aa", True, "repetition"),
    ("^a{,2}$", "a{,2}", True, "no repetition, but text"),
    (r"\p{Greek}", "α", True, "a class of Unicode"),
    ("(?i)é", "É", True, "case beyond ASCII"),
    ("[a&&b]", "&", True, "no operators in a class"),
    (r"[\w-.]", "-", True, "a class and a sign in a class"),
    ("a(b(?i)c)", "abC", True, "flags in the middle"),
]


@pytest.mark.parametrize(("pattern", "text", "found", "what"), PATTERNS, ids=[case[3] for case in PATTERNS])
def test_patterns_are_those_of_re2(pattern: str, text: str, found: object, what: str) -> None:
    """https://github.com/google/re2/wiki/Syntax."""
    assert compile_re2(pattern).search(text) is found


UNKNOWN = ["(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", r"(a)\1", "(?P=x)", "a*+", "(?>a)", "(?#x)", "a{1001}", r"\Z", r"\h"]
UNKNOWN += ["(a", "[b-a]", "*a", r"\x{110000}", "a**", "(?(1)a|b)"]


@pytest.mark.parametrize("pattern", UNKNOWN)
def test_what_re2_does_not_know_is_no_pattern(pattern: str) -> None:
    """Look-around, references back and the like are of other engines."""
    with pytest.raises(ValueError, match=r"."):
        compile_re2(pattern)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "a*a*a*b", "^(a{0,9}){0,9}$"])
def test_no_pattern_takes_long(pattern: str) -> None:
    """An engine that goes back would not end within the age of the universe."""
    assert compile_re2(pattern).search("a" * 20_000 + "!") is False


def test_nothing_but_an_error_comes_of_noise() -> None:
    """2000 expressions made of the language's own pieces: a value or one kind of error."""
    pieces = [
        "$A",
        "$B",
        '"x"',
        "'y'",
        "/ab/",
        "/a+$/i",
        "null",
        "true",
        "==",
        "!=",
        "=~",
        "!~",
        "&&",
        "||",
        "!",
        "(",
        ")",
    ]
    pieces += [" ", "$", "/", '"', "\\", *string.printable[:20]]
    noise = random.Random(6)

    kinds: set[type] = set()
    for _ in range(2000):
        text = "".join(noise.choice(pieces) for _ in range(noise.randint(1, 9)))
        try:
            kinds.add(type(holds(text, {"A": "ab"})))
        except PipelineError as error:
            kinds.add(type(error))

    assert kinds == {bool, PipelineError}
