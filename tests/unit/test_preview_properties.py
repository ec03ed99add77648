"""What holds for every input and every file: types are kept, nothing is evaluated twice, limits are where they are."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from septum.errors import InterpolationError, LimitError, PreviewError
from septum.preview import limits, ruby
from septum.preview.blocks import Context, find_blocks
from septum.preview.features import NEWEST, Version
from septum.preview.interpolate import interpolate
from septum.preview.source import Source, Variable, expand
from tests.unit.interpreter_case import file

# What it notes of its own belongs where git does not look.
set_hypothesis_home_dir(Path(__file__).parents[2] / ".cache/hypothesis")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
"""Any text that UTF-8 can hold."""
SHAPED = st.text(st.sampled_from("$[]|.ab \n\t\\{}'\"#:-\x0b"), max_size=40)
"""Text of the characters that mean something to the interpreter."""
SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
QUICK = settings(max_examples=60, deadline=None, database=None, derandomize=True)
MORE = settings(QUICK, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
# The body that is tried most: each block alone in its value, and no YAML to be read for each example.
BLOCK = "$[[ inputs.a ]]"
FRAGMENTS = (
    "spec:",
    "inputs:",
    "---",
    "- ",
    "$[[ inputs.a ]]",
    "&x ",
    "*x",
    "<<: ",
    "!reference ",
    "{",
    "}",
    "[",
    "]",
    "\n",
)


def put(value: object, body: object = BLOCK) -> object:
    """A body with the input `a` put in."""
    context = Context(data={"inputs": {"a": value}}, variables={}, gitlab=NEWEST)
    return interpolate({"x": body}, context)["x"]


def passed(value: object, kind: str) -> object:
    """What a file with an input of that type becomes, from its text on."""
    text = file(f"{{a: {{type: {kind}}}}}")
    return expand(Source(name="ci.yml", text=text), {"a": value}, {})["x"]


@QUICK
@given(TEXT | SHAPED)
def test_text_goes_through_a_block_to_the_last_byte(value: str) -> None:
    """Whatever stands in a text, a block that stands alone becomes exactly this text."""
    assert passed(value, "string") == value


@QUICK
@given(st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_numbers_and_truth_values_keep_their_type(value: float) -> None:
    """A block that stands alone becomes what was passed, also if it was passed as JSON."""
    kind = "boolean" if isinstance(value, bool) else "number"

    assert repr(passed(value, kind)) == repr(value)
    assert repr(passed(json.dumps(value), kind)) == repr(value)


@QUICK
@given(st.lists(VALUES, max_size=4))
def test_lists_keep_all_that_is_in_them(value: list[object]) -> None:
    """A list goes through a block that stands alone, and among the items of another list it is put in its place."""
    assert repr(put(value)) == repr(value)
    assert repr(put(value, ["first", BLOCK, "last"])) == repr(["first", *value, "last"])


@QUICK
@given(TEXT | SHAPED, TEXT.filter(lambda text: "$[[" not in text and "]]" not in text and "$" not in text))
def test_a_value_is_not_evaluated_again(value: str, around: str) -> None:
    """Beside other text and without a backslash, a value is put in as it is, blocks in it included."""
    value = value.replace("\\", "/")

    assert put(value, f"{around} {BLOCK} {around}") == f"{around} {value} {around}"


@QUICK
@given(SHAPED)
def test_blocks_are_where_the_expression_of_gitlab_finds_them(text: str) -> None:
    """The search for blocks finds what GitLab's regular expression finds, only quicker."""
    expression = r"(\$\[\[[\t\n\f\r ]*([^\t\n\f\r ].*?[^\t\n\f\r ])[\t\n\f\r ]*\]\])"

    assert list(find_blocks(text)) == re.findall(expression, text)


@QUICK
@given(TEXT | SHAPED, st.integers(0, 70), st.integers(0, 70))
def test_truncate_is_a_slice(value: str, offset: int, length: int) -> None:
    """`truncate` counts characters, and never fails for numbers that are too large."""
    assert put(value, f"$[[ inputs.a | truncate({offset},{length}) ]]") == value[offset : offset + length]


@QUICK
@given(TEXT | SHAPED)
def test_posix_escape_is_one_word_for_a_shell(value: str) -> None:
    """A shell reads back one word, which is the value."""
    assert shlex.split(str(put(value, "$[[ inputs.a | posix_escape ]]"))) == [value]


@QUICK
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_written_so_that_they_are_read_back(value: float) -> None:
    """Ruby's way to write a float loses nothing."""
    written = ruby.to_s(value)

    assert float(written) == value
    assert math.copysign(1, float(written)) == math.copysign(1, value)
    assert "." in written


@MORE
@given(
    st.lists(st.sampled_from(FRAGMENTS) | SHAPED | TEXT, max_size=12).map("".join),
    st.none() | st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2),
    st.sampled_from([Version(17, 0), Version(18, 6), NEWEST]),
)
def test_nothing_but_a_refusal_is_raised(text: str, inputs: dict[str, object] | None, gitlab: Version) -> None:
    """Any text is a file that GitLab reads, or an error that says why it does not."""
    try:
        body = expand(Source(name="ci.yml", text=text), inputs, {}, gitlab=gitlab)
    except PreviewError as error:
        assert str(error).isprintable() or "\n" in str(error)  # noqa: PT017 - both ways out are right
    else:
        assert all(isinstance(key, str) for key in body)


@QUICK
@given(
    st.sampled_from(["string", "number", "boolean", "array"]),
    st.sampled_from(["", "options: [a, 1], ", "regex: '^a', ", "rules: [{if: $X, default: a}, {default: 1}], "]),
    VALUES,
)
def test_any_value_is_taken_with_its_type_or_refused(kind: str, more: str, value: object) -> None:
    """What comes out of an input has the input's type, whatever went in."""
    source = Source(name="ci.yml", text=file(f"{{a: {{{more}type: {kind}}}}}"))
    types = {"string": str, "number": (int, float), "boolean": bool, "array": list}
    try:
        taken = expand(source, {"a": value}, {})["x"]
    except PreviewError:
        return

    assert isinstance(taken, types[kind])  # type: ignore[arg-type]
    assert isinstance(taken, bool) == (kind == "boolean")


def context(inputs: dict[str, object]) -> Context:
    """What blocks may name."""
    return Context(data=MappingProxyType({"inputs": inputs}), variables={}, gitlab=NEWEST)


def nodes(count: int) -> dict[str, object]:
    """A body of that many visits: the body, its key twice, the list, and the items."""
    return {"x": [0] * (count - 4)}


def different(count: int) -> dict[str, object]:
    """A body with that many different blocks."""
    return {"x": [f"$[[ inputs.a | truncate(0,{number}) ]]" for number in range(count)]}


LIMITS: dict[str, tuple[Callable[[int], dict[str, object]], int, str]] = {
    "nodes": (nodes, limits.MAX_NODES, "config too large"),
    "bytes of a text": (
        lambda size: {"x": "é" * (size // 2) + "x" * (size % 2)},
        limits.MAX_NODE_BYTES,
        "node too large",
    ),
    "bytes of a key": (lambda size: {"x" * size: 1}, limits.MAX_NODE_BYTES, "config node too large"),
    "blocks": (different, limits.MAX_BLOCKS, "too many interpolation blocks"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_holds_and_one_more_is_refused(name: str) -> None:
    """Exactly what the limit says is taken, and one more is not."""
    make, limit, message = LIMITS[name]
    values = context({"a": "v"})

    assert interpolate(make(limit), values)
    with pytest.raises(LimitError, match=message):
        interpolate(make(limit + 1), values)


def test_the_same_block_counts_once() -> None:
    """Ten thousand is the number of different blocks, not of places."""
    body = {"x": [BLOCK] * (limits.MAX_BLOCKS + 1)}

    assert interpolate(body, context({"a": "v"})) == {"x": ["v"] * (limits.MAX_BLOCKS + 1)}


def test_a_long_value_in_many_places_is_refused_before_it_fills_the_memory() -> None:
    """A megabyte in each of ten thousand places is too much, in text and as lists."""
    with pytest.raises(LimitError, match="more than"):
        interpolate({"x": f"{BLOCK} " * 10_000}, context({"a": "v" * 1_000_000}))
    with pytest.raises(LimitError, match="more than"):
        interpolate({"x": [BLOCK] * 10_000}, context({"a": ["v"] * 100_000}))


@pytest.mark.parametrize("text", ["$[[ab" * 200_000, "$[[ " * 250_000, "$[[a" * 200_000 + "]]", "$[[ a\n]" * 140_000])
def test_text_that_is_nearly_blocks_costs_no_time(text: str) -> None:
    """A megabyte of openings without an end is searched once."""
    assert len(list(find_blocks(text))) <= 1


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a: " + "{b: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_levels_without_end_are_refused_at_once(text: str) -> None:
    """A file of openings is not read to its end."""
    with pytest.raises(LimitError, match="more than 100 levels"):
        expand(Source(name="ci.yml", text=text), None, {})


def test_errors_show_no_control_characters() -> None:
    """What an input holds cannot speak to the terminal."""
    source = Source(name="ci\x1b.yml", text=file("{a: {options: [p]}}"))

    with pytest.raises(PreviewError) as caught:
        expand(source, {"a": "\x1b[2J\x07\u202e" + "x" * 10_000}, {})

    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 3_000


def test_a_masked_variable_does_not_get_into_the_error() -> None:
    """Expanding a masked variable is refused without its value."""
    text = file("{a: {default: $SECRET}}", "x: $[[ inputs.a | expand_vars ]]")

    with pytest.raises(InterpolationError) as caught:
        expand(Source(name="ci.yml", text=text), None, {"SECRET": Variable(value="hunter2", masked=True)})

    assert "hunter2" not in str(caught.value)


def test_a_server_before_the_first_is_refused() -> None:
    """Nothing is said about servers that were not read about."""
    with pytest.raises(PreviewError, match=r"16\.11 cannot be imitated"):
        expand(Source(name="ci.yml", text="a: 1\n"), None, {}, gitlab=Version(16, 11))


@pytest.mark.parametrize("value", ["[" * 900 + "]" * 900, "[" * 100_000, '{"a":' * 500 + "1" + "}" * 500, "9" * 5_000])
def test_json_that_goes_too_far_is_refused(value: str) -> None:
    """Lists in lists without end, and numbers without end, are errors and not the end of the program."""
    source = Source(name="ci.yml", text=file("{a: {type: array}}", "x: is $[[ inputs.a ]]"))

    with pytest.raises(PreviewError):
        expand(source, {"a": value}, {})
