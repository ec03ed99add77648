"""What GitLab's Ruby makes of YAML, and how it cuts a file into documents."""

from __future__ import annotations

import json

from septum.errors import HeaderError, LimitError
from septum.preview.features import Version
from septum.preview.source import Reference
from tests.unit.interpreter_case import PSYCH, Case, file

SCANNER = f"{PSYCH}/scalar_scanner.rb"
TO_RUBY = f"{PSYCH}/visitors/to_ruby.rb"
CLASSES = f"{PSYCH}/class_loader.rb"
LOADER = "lib/gitlab/config/loader/yaml.rb"
LOADER_SPEC = "spec/lib/gitlab/config/loader/yaml_spec.rb"
DOCUMENTS = "lib/gitlab/config/loader/multi_doc_yaml.rb"
DOCUMENTS_SPEC = "spec/lib/gitlab/config/loader/multi_doc_yaml_spec.rb"
RESULT = "lib/gitlab/ci/config/yaml/result.rb"


def _scalar(written: str, value: object, rule: str) -> Case:
    return Case(name=f"{rule}: {written}", source=SCANNER, text=f"x: {written}\n", expected={"x": value})


SCALARS = [
    _scalar("yes", value=True, rule="yes is true"),
    _scalar("On", value=True, rule="on is true in any case"),
    _scalar("OFF", value=False, rule="off is false"),
    _scalar("y", "y", "one letter is text"),
    _scalar("'yes'", "yes", "quotes make text"),
    _scalar("~", None, "a tilde is null"),
    _scalar("Null", None, "null in any case"),
    _scalar("nil", "nil", "nil is text"),
    _scalar("", None, "nothing is null"),
    _scalar("012", 10, "a leading zero makes octal"),
    _scalar("08", "08", "an eight is not octal"),
    _scalar("0o14", "0o14", "octal of YAML 1.2 is text"),
    _scalar("0x1F", 31, "hexadecimal"),
    _scalar("0b101", 5, "binary"),
    _scalar("1_000", 1000, "underscores in a number"),
    _scalar("1,000", 1000, "commas in a number"),
    _scalar("1__0", "1__0", "two underscores make text"),
    _scalar("+1", 1, "a plus before a number"),
    _scalar("1.10", 1.1, "a version with one dot is a number"),
    _scalar("1.2.3", "1.2.3", "a version with two dots is text"),
    _scalar("1.", 1.0, "a dot at the end"),
    _scalar(".5", 0.5, "a dot at the beginning"),
    _scalar(".", ".", "a dot alone is text"),
    _scalar("1e5", "1e5", "an exponent without a dot is text"),
    _scalar("1.5e3", "1.5e3", "an exponent without a sign is text"),
    _scalar("1.5e+3", 1500.0, "an exponent with a sign"),
    _scalar("-.inf", float("-inf"), "minus infinity"),
    _scalar(".nan", float("nan"), "not a number"),
    _scalar("1:30", 5400, "base sixty takes the first part for hours"),
    _scalar("22:22:22", 80542, "base sixty with three parts"),
    _scalar("1:30.5", 5430.0, "base sixty with a fraction"),
    _scalar("1:2:3:4", "1:2:3:4", "four parts are text"),
    _scalar(":name", "name", "a symbol is its text"),
    _scalar(':"a b"', "a b", "a symbol in quotes"),
    _scalar("2024-13-45", "2024-13-45", "no date is text"),
    _scalar("!!str 5", "5", "a tag makes text of a number"),
    _scalar("! '12'", 12, "an empty tag undoes the quotes"),
    _scalar("!!int '5'", 5, "a tag makes a number of a text"),
    _scalar("!unknown 5", 5, "an unknown tag is no tag"),
    _scalar("!!binary aGk=", "hi", "base64"),
    _scalar("!!float 5", 5.0, "a tag makes a float"),
]

STRUCTURE = [
    Case(name="a key that is a truth value", source=SCANNER, text="on: 1\n", expected={"true": 1}),
    Case(name="a key that is a number", source=SCANNER, text="010: 1\n", expected={"8": 1}),
    Case(name="of two equal keys the last wins", source=TO_RUBY, text="a: 1\na: 2\n", expected={"a": 2}),
    Case(
        name="a merge key replaces what stands above",
        source=TO_RUBY,
        text="a: &m {x: 1}\nb:\n  x: 0\n  <<: *m\n  y: 2\n",
        expected={"a": {"x": 1}, "b": {"x": 1, "y": 2}},
    ),
    Case(
        name="what stands below a merge key replaces it",
        source=TO_RUBY,
        text="a: &m {x: 1}\nb:\n  <<: *m\n  x: 2\n",
        expected={"a": {"x": 1}, "b": {"x": 2}},
    ),
    Case(
        name="of several merged mappings the first wins",
        source=TO_RUBY,
        text="a: &m {x: 1}\nb: &n {x: 2, y: 2}\nc:\n  <<: [*m, *n]\n",
        expected={"a": {"x": 1}, "b": {"x": 2, "y": 2}, "c": {"x": 1, "y": 2}},
    ),
    Case(name="a merge key with text is a key", source=TO_RUBY, text="<<: 5\n", expected={"<<": 5}),
    Case(name="a merge key in quotes merges", source=TO_RUBY, text='"<<": {a: 1}\n', expected={"a": 1}),
    Case(name="a merge key with a tag does not", source=TO_RUBY, text="!!str <<: {a: 1}\n", expected={"<<": {"a": 1}}),
    Case(
        name="an alias repeats a value",
        source=LOADER,
        text="a: &v [1, 2]\nb: *v\n",
        expected={"a": [1, 2], "b": [1, 2]},
    ),
    Case(
        name="a reference is left for later",
        source="lib/gitlab/ci/config/yaml/tags/reference.rb",
        text="a: !reference [b, c]\n",
        expected={"a": Reference(path=["b", "c"])},
    ),
    Case(
        name="a reference has no anchor",
        source=TO_RUBY,
        text="a: &r !reference [b, c]\nd: *r\n",
        expected=HeaderError,
        message="Unknown alias: r",
    ),
    Case(name="a date", source=CLASSES, text="x: 2024-01-31\n", expected=HeaderError, message="class: Date"),
    Case(name="a time", source=CLASSES, text="x: 2024-01-31 10:00:00\n", expected=HeaderError, message="class: Time"),
    Case(
        name="a class of Ruby",
        source=CLASSES,
        text="x: !ruby/object:Gem::Installer {}\n",
        expected=HeaderError,
        message="Tried to load unspecified class",
    ),
    Case(name="a set", source=TO_RUBY, text="x: !set {a}\n", expected=HeaderError, message="unspecified class"),
    Case(
        name="an alias that was not defined",
        source=LOADER_SPEC,
        text="steps: *bad_alias\n",
        expected=HeaderError,
        message="Unknown alias: bad_alias",
    ),
    Case(name="not YAML", source=LOADER, text="a: [1\n", expected=HeaderError, message="line 2"),
    Case(
        name="a number without digits",
        source=LOADER,
        text="a: 0x_\n",
        expected=HeaderError,
        message="Invalid YAML syntax",
    ),
    Case(
        name="half a character",
        source="YAML 1.1, escapes",
        text='a: "\\ud800"\n',
        expected=HeaderError,
        message="invalid Unicode character escape code",
    ),
    Case(
        name="text is no configuration",
        source=LOADER_SPEC,
        text="// incorrect\n",
        expected=HeaderError,
        message="Invalid configuration format",
    ),
    Case(
        name="a list is no configuration", source=LOADER, text="- a\n", expected=HeaderError, message="Invalid config"
    ),
    Case(
        name="a mapping that contains itself",
        source=LOADER_SPEC,
        text="a: &a\n  b: *a\n",
        expected=LimitError,
        message="The parsed YAML is too big",
    ),
    Case(
        name="aliases that multiply",
        source=LOADER_SPEC,
        text="a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
        + "".join(f"{n}: &{n} [{', '.join([f'*{o}'] * 9)}]\n" for o, n in zip("abcdefgh", "bcdefghi", strict=True)),
        expected=LimitError,
        message="The parsed YAML is too big",
    ),
    Case(
        name="a hundred levels",
        source="lib/gitlab/utils/deep_size.rb",
        text=f"a: {'[' * 99}{']' * 99}\n",
        expected={"a": json.loads("[" * 99 + "]" * 99)},
    ),
    Case(
        name="a hundred and one levels",
        source="lib/gitlab/utils/deep_size.rb",
        text=f"a: {'[' * 100}{']' * 100}\n",
        expected=LimitError,
        message="The parsed YAML is too big",
    ),
    Case(
        name="a little more than a megabyte for an old server",
        source="gitlab-org/gitlab merge request 160826",
        text=f"a: {'x' * 1_060_000}\n",
        gitlab=Version(17, 2),
        expected=LimitError,
        message="The parsed YAML is too big",
    ),
    Case(
        name="a little more than a megabyte",
        source="gitlab-org/gitlab merge request 160826",
        text=f"a: {'x' * 1_060_000}\n",
        expected={"a": "x" * 1_060_000},
    ),
    Case(
        name="a byte order mark is taken off",
        source=LOADER,
        text="\ufeffa: 1\n",
        expected={"a": 1},
    ),
]

CUTTING = [
    Case(name="an empty file", source=RESULT, text="", expected={}),
    Case(name="only a comment", source=DOCUMENTS, text="# nothing\n", expected={}),
    Case(name="no header", source=RESULT, text="a: 1\n", expected={"a": 1}),
    Case(name="a header and a body", source=DOCUMENTS_SPEC, text=file("{a: {default: v}}"), expected={"x": "v"}),
    Case(
        name="a divider before the header",
        source=DOCUMENTS_SPEC,
        text="---\n" + file("{a: {default: v}}"),
        expected={"x": "v"},
    ),
    Case(
        name="a comment before the first divider",
        source=DOCUMENTS,
        text="# title\n---\n" + file("{a: {default: v}}"),
        expected={"x": "v"},
    ),
    Case(
        name="a divider with something behind it",
        source=DOCUMENTS_SPEC,
        text="spec:\n  inputs: {a: {default: v}}\n--- !test/content\nx: $[[ inputs.a ]]\n",
        expected={"x": "v"},
    ),
    Case(
        name="a divider with content on its line",
        source=DOCUMENTS_SPEC,
        text="--- spec:\n--- b: 2\n",
        expected={"b": 2},
    ),
    Case(
        name="dashes without space behind are no divider",
        source=DOCUMENTS_SPEC,
        text="--- a: 1\n---b: 2\n",
        expected={"a": 1, "---b": 2},
    ),
    Case(
        name="a divider at the end of the file is none",
        source=DOCUMENTS,
        text="spec:\n---",
        expected={"spec": None},
    ),
    Case(
        name="a header without a body is the body",
        source=RESULT,
        text="spec:\n  inputs: {a: {default: v}}\n---\n",
        expected={"spec": {"inputs": {"a": {"default": "v"}}}},
    ),
    Case(
        name="a header with an empty body is the body",
        source=DOCUMENTS,
        text="spec:\n  inputs: {a: {default: v}}\n---\n{}\n",
        expected={"spec": {"inputs": {"a": {"default": "v"}}}},
    ),
    Case(
        name="a divider takes the indentation of the next line",
        source=DOCUMENTS,
        text="spec:\n---\n  a: 1\n  b: 2\n",
        expected=HeaderError,
        message="mapping values are not allowed",
    ),
    Case(
        name="without spec the second document is ignored",
        source=RESULT,
        text="a: 1\n---\nb: 2\n",
        expected={"a": 1},
    ),
    Case(
        name="without spec the second document must still be a mapping",
        source=DOCUMENTS_SPEC,
        text="a: b\n---\nc\n",
        expected=HeaderError,
        message="Invalid configuration format",
    ),
    Case(
        name="of three documents the last is the body",
        source=RESULT,
        text="spec:\n---\na: 1\n---\nb: 2\n",
        expected={"b": 2},
    ),
    Case(
        name="documents beyond are not looked at",
        source=DOCUMENTS_SPEC,
        text="---\nspec:\n---\na: 1\n---\nb: 2\n---\n{\n",
        expected={"a": 1},
    ),
    Case(
        name="an anchor does not reach over the divider",
        source=DOCUMENTS,
        text="spec:\n  inputs: &i {a: {default: v}}\n---\nx: *i\n",
        expected=HeaderError,
        message="Unknown alias: i",
    ),
    Case(
        name="dashes inside of a text are no divider",
        source=DOCUMENTS,
        text="a: |\n  -----BEGIN\n  ---\n  end\n",
        expected={"a": "-----BEGIN\n---\nend\n"},
    ),
    Case(
        name="no blocks are replaced without a header",
        source=f"{RESULT}",
        text="a: $[[ inputs.a ]]\n",
        expected={"a": "$[[ inputs.a ]]"},
    ),
]

CASES = [*SCALARS, *STRUCTURE, *CUTTING]
