"""The translation of pydantic's errors."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from septum.errors import ConfigError
from septum.validation import Model, validate
from septum.yamltext import load


class _Step(Model):
    run: Annotated[str, Field(min_length=1)]
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    keep_going: bool = False


class _Matrix(Model):
    over: list[str]
    limit: int | None = None


class _Sum(Model):
    kind: Literal["sum"]
    tree: str


class _Best(Model):
    kind: Literal["best"]
    of: int


class _Config(Model):
    version: Literal["1"]
    steps: list[_Step]
    named: dict[str, _Step] = Field(default_factory=dict)
    parts: list[str] | _Matrix | int | None = None
    merge: Annotated[_Sum | _Best, Field(discriminator="kind")] | None = None
    engine: Literal["hadd", "uproot"] = "hadd"
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    tags: list[str] = Field(default_factory=list, max_length=2)
    flags: dict[str, bool] = Field(default_factory=dict)
    tag: Annotated[str, Field(pattern=r"^[a-z]+$")] = "a"

    @field_validator("tag", mode="after")
    @classmethod
    def _no_bad(cls, value: str) -> str:
        if value == "bad":
            raise ValueError("the tag 'bad' is taken")
        return value


_KEYS = "engine, flags, fraction, merge, named, parts, steps, tag, tags, version"
_GOOD = "version: 1\nsteps:\n  - run: x\n"


def _lines(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(_Config, load(text, "f.yaml"), error=ConfigError)
    assert caught.value.fix
    return caught.value.evidence.splitlines()


def test_good() -> None:
    """Texts become the types of the model; kebab-case keys become fields."""
    value = validate(
        _Config,
        load(
            _GOOD + "    retries: 3\n    keep-going: true\nparts: {over: [a], limit: 0}\nfraction: 1e-3\n"
            "merge: {kind: best, of: 2}\n",
            "f.yaml",
        ),
        error=ConfigError,
    )

    assert value.steps[0] == _Step(run="x", retries=3, keep_going=True)
    assert value.parts == _Matrix(over=["a"], limit=0)
    assert value.fraction == 0.001
    assert value.merge == _Best(kind="best", of=2)


def test_frozen() -> None:
    """A value cannot be changed."""
    step = _Step(run="x")

    with pytest.raises(ValidationError):
        step.run = "y"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\n", "f.yaml:1: steps: required, and not there"),
        (_GOOD + "  - retries: 1\n", "f.yaml:4: steps[1].run: required, and not there"),
        (_GOOD + "enginne: hadd\n", "f.yaml:4: enginne: unknown key; did you mean 'engine'?"),
        (
            _GOOD + "    keep_going: true\n",
            "f.yaml:4: steps[0].keep_going: unknown key; did you mean 'keep-going'?",
        ),
        (
            _GOOD + "named:\n  a:\n    run: x\n    retry: 1\n",
            "f.yaml:7: named.a.retry: unknown key; did you mean 'retries'?",
        ),
        (
            _GOOD + "parts:\n  ovr: [a]\n  over: [b]\n",
            "f.yaml:5: parts.ovr: unknown key; did you mean 'over'?",
        ),
        (
            _GOOD + "parts: {over: [b], zzzzzz: 1}\n",
            "f.yaml:4: parts.zzzzzz: unknown key; the keys here: limit, over",
        ),
        (
            _GOOD + "zzzzzzzzzzz: 1\n",
            f"f.yaml:4: zzzzzzzzzzz: unknown key; the keys here: {_KEYS}",
        ),
        (_GOOD + "    retries: many\n", "f.yaml:4: steps[0].retries: expected a whole number, got 'many'"),
        (_GOOD + "    retries: 1.5\n", "f.yaml:4: steps[0].retries: expected a whole number, got '1.5'"),
        (_GOOD + "    retries:\n", "f.yaml:4: steps[0].retries: expected a whole number, got nothing"),
        (_GOOD + "    retries: 11\n", "f.yaml:4: steps[0].retries: must be at most 10, got '11'"),
        (_GOOD + "    retries: -1\n", "f.yaml:4: steps[0].retries: must be at least 0, got '-1'"),
        (_GOOD + "    keep-going: yes\n", "f.yaml:4: steps[0].keep-going: write true or false, not 'yes'"),
        (_GOOD + "    keep-going: True\n", "f.yaml:4: steps[0].keep-going: write true or false, not 'True'"),
        (_GOOD + "    keep-going: 1\n", "f.yaml:4: steps[0].keep-going: write true or false, not '1'"),
        (_GOOD + "    keep-going: [true]\n", "f.yaml:4: steps[0].keep-going: expected true or false, got a list"),
        (_GOOD + "flags: {a.b: off, c: true}\n", "f.yaml:4: flags.a.b: write true or false, not 'off'"),
        (_GOOD + "fraction: 1\n", "f.yaml:4: fraction: must be below 1.0, got '1'"),
        (_GOOD + "fraction: nan\n", "f.yaml:4: fraction: expected a finite number, got 'nan'"),
        (_GOOD + "fraction: a half\n", "f.yaml:4: fraction: expected a number, got 'a half'"),
        (_GOOD + "engine: had\n", "f.yaml:4: engine: expected 'hadd' or 'uproot', got 'had'; did you mean 'hadd'?"),
        (_GOOD + "tags: [a, b, c]\n", "f.yaml:4: tags: must have at most 2 entries, has 3"),
        (_GOOD + "tags: a\n", "f.yaml:4: tags: expected a list, got 'a'"),
        (_GOOD + "tags: [a, {b: c}]\n", "f.yaml:4: tags[1]: expected a text, got a mapping"),
        (_GOOD + "tag: A\n", "f.yaml:4: tag: 'A' does not have the form ^[a-z]+$"),
        (_GOOD + "tag: bad\n", "f.yaml:4: tag: the tag 'bad' is taken"),
        (
            _GOOD + "parts: many\n",
            "f.yaml:4: parts: expected a list, a mapping (keys with values) or a whole number, got 'many'",
        ),
        (_GOOD + "parts: [a, [b]]\n", "f.yaml:4: parts[1]: expected a text, got a list"),
        (
            _GOOD + "parts: {over: [], limit: x}\n",
            "f.yaml:4: parts.limit: expected a whole number, got 'x'",
        ),
        (_GOOD + "merge: {kind: best, of: x}\n", "f.yaml:4: merge.of: expected a whole number, got 'x'"),
        (_GOOD + "merge: {kind: best, of: 1, off: 1}\n", "f.yaml:4: merge.off: unknown key; did you mean 'of'?"),
        (
            _GOOD + "merge: {kind: worst}\n",
            "f.yaml:4: merge: needs the key 'kind' with one of: 'sum', 'best'",
        ),
        (_GOOD + "merge: {of: 1}\n", "f.yaml:4: merge: needs the key 'kind'"),
        ("version: 1\nsteps: [{run: ''}]\n", "f.yaml:2: steps[0].run: must not be empty"),
        ("version: 1\nsteps: [x]\n", "f.yaml:2: steps[0]: expected a mapping (keys with values), got 'x'"),
        ("just text\n", "f.yaml:1: expected a mapping (keys with values), got 'just text'"),
        ("[a]\n", "f.yaml:1: expected a mapping (keys with values), got a list"),
    ],
)
def test_one_problem(text: str, expected: str) -> None:
    """Each problem is one line with file, line, key and plain words."""
    assert _lines(text) == [expected]


def test_all_at_once() -> None:
    """One error lists all problems."""
    lines = _lines("version: 2\nsteps:\n  - {run: x, retries: a}\n  - {rn: x}\nengine: z\n")

    assert lines == [
        "f.yaml:1: version: expected '1', got '2'",
        "f.yaml:3: steps[0].retries: expected a whole number, got 'a'",
        "f.yaml:4: steps[1].run: required, and not there",
        "f.yaml:4: steps[1].rn: unknown key; did you mean 'run'?",
        "f.yaml:5: engine: expected 'hadd' or 'uproot', got 'z'",
    ]


def test_long_values_are_cut() -> None:
    """A long value does not flood the message."""
    (line,) = _lines(_GOOD + f"fraction: {'9x' * 500}\n")

    assert len(line) < 130
