"""What a block is, where it may stand, what it may name, and what its functions do."""

from __future__ import annotations

from collections.abc import Mapping

from septum.errors import HeaderError, InterpolationError, LimitError
from septum.preview.features import NEWEST, Version
from septum.preview.source import Reference
from tests.unit.interpreter_case import DOC_INPUTS, INTERPOLATION, Case, file

TEMPLATE = f"{INTERPOLATION}/template.rb"
TEMPLATE_SPEC = "spec/lib/gitlab/ci/config/interpolation/template_spec.rb"
BLOCK = f"{INTERPOLATION}/block.rb"
BLOCK_SPEC = "spec/lib/gitlab/ci/config/interpolation/block_spec.rb"
ACCESS_SPEC = "spec/lib/gitlab/ci/config/interpolation/access_spec.rb"
ACCESS = f"{INTERPOLATION}/access.rb"
CONFIG = f"{INTERPOLATION}/config.rb"
MATRIX = "doc/ci/yaml/matrix_expressions.md"
GSUB = "Ruby: String#gsub"
INSPECT = "Ruby: Array#to_s"

SPEC = """{a: {default: v}, n: {type: number, default: 5}, t: {type: boolean, default: true}, \
l: {type: array, default: [p, q]}, d: {type: array, default: [{k: [deep, 42], e: null}, [r, s]]}, \
f: {type: number, default: 1.0}, e: {type: array, default: []}}"""
"""Inputs of every type."""


def becomes(
    name: str,
    source: str,
    body: str,
    expected: dict[str, object],
    *,
    given: Mapping[str, object] | None = None,
    gitlab: Version = NEWEST,
) -> Case:
    """A body, and what becomes of it."""
    return Case(name=name, source=source, text=file(SPEC, body), expected=expected, given=given, gitlab=gitlab)


def refused(name: str, source: str, block: str, message: str, *, gitlab: Version = NEWEST) -> Case:
    """A block that stands alone, in single quotes, and why it is refused."""
    text = file(SPEC, f"x: '$[[ {block} ]]'")
    return Case(name=name, source=source, text=text, expected=InterpolationError, message=message, gitlab=gitlab)


def alone(name: str, source: str, block: str, value: object, *, given: str = "v", gitlab: Version = NEWEST) -> Case:
    """A block that stands alone, in double quotes."""
    text = file(SPEC, f'x: "$[[ {block} ]]"')
    return Case(name=name, source=source, text=text, given={"a": given}, expected={"x": value}, gitlab=gitlab)


PLACES = [
    becomes("a block that stands alone keeps its type", f"{DOC_INPUTS}, Input types", "x: $[[ inputs.n ]]", {"x": 5}),
    becomes("a truth value that stands alone", f"{DOC_INPUTS}, Input types", "x: $[[ inputs.t ]]", {"x": True}),
    becomes("a float that stands alone", f"{DOC_INPUTS}, Input types", "x: $[[ inputs.f ]]", {"x": 1.0}),
    becomes("quotes do not make text of a block", TEMPLATE, 'x: "$[[ inputs.n ]]"', {"x": 5}),
    becomes("a space around a block makes text", TEMPLATE, 'x: " $[[ inputs.n ]]"', {"x": " 5"}),
    becomes("a newline behind a block makes text", TEMPLATE, "x: |\n  $[[ inputs.n ]]", {"x": "5\n"}),
    becomes("a block in a text", f"{DOC_INPUTS}, Input types", "x: port $[[ inputs.n ]]!", {"x": "port 5!"}),
    becomes("two blocks in a text", TEMPLATE_SPEC, "x: $[[ inputs.n ]]$[[ inputs.a ]]", {"x": "5v"}),
    becomes("a block twice in a text", TEMPLATE, "x: $[[ inputs.a ]] $[[ inputs.a ]]", {"x": "v v"}),
    becomes("a block in a key", TEMPLATE_SPEC, "$[[ inputs.a ]] job:\n  x: 1", {"v job": {"x": 1}}),
    becomes("a block that is a key", TEMPLATE_SPEC, "$[[ inputs.a ]]: 1", {"v": 1}),
    becomes("a key that becomes a number", CONFIG, "$[[ inputs.n ]]: 1", {"5": 1}),
    becomes("a key that becomes another key", CONFIG, "v: 1\n$[[ inputs.a ]]: 2", {"v": 2}),
    becomes(
        "a block in a mapping in a list",
        TEMPLATE_SPEC,
        "x:\n  - a-$[[ inputs.a ]]-b:\n      y: $[[ inputs.n ]]",
        {"x": [{"a-v-b": {"y": 5}}]},
    ),
    becomes("a list that stands alone", f"{DOC_INPUTS}, Array type", "x: $[[ inputs.l ]]", {"x": ["p", "q"]}),
    becomes(
        "a list among the items of a list",
        "gitlab-org/gitlab issue 407176",
        "x:\n  - o\n  - $[[ inputs.l ]]\n  - r",
        {"x": ["o", "p", "q", "r"]},
    ),
    becomes("an empty list among the items of a list", CONFIG, "x:\n  - o\n  - $[[ inputs.e ]]", {"x": ["o"]}),
    becomes(
        "a list is put in one level deep",
        CONFIG,
        "x:\n  - $[[ inputs.d ]]",
        {"x": [{"k": ["deep", 42], "e": None}, ["r", "s"]]},
    ),
    becomes("a list in a list of a list", CONFIG, "x:\n  - [o]\n  - - $[[ inputs.l ]]", {"x": [["o"], ["p", "q"]]}),
    becomes(
        "nothing is replaced inside of a reference",
        CONFIG,
        "x: !reference ['$[[ inputs.a ]]', y]",
        {"x": Reference(path=["$[[ inputs.a ]]", "y"])},
    ),
    becomes("a symbol is replaced as text", CONFIG, "x: :sym-$[[inputs.a]]", {"x": "sym-v"}),
    becomes(
        "a value that looks like a block stays",
        TEMPLATE,
        "x: $[[ inputs.a ]]",
        {"x": "$[[ inputs.n ]]"},
        given={"a": "$[[ inputs.n ]]"},
    ),
    becomes(
        "a value that looks like the next block of the text is replaced",
        TEMPLATE,
        "x: $[[ inputs.a ]]+$[[ inputs.n ]]",
        {"x": "5+5"},
        given={"a": "$[[ inputs.n ]]"},
    ),
    becomes(
        "a value that looks like a block before it stays",
        TEMPLATE,
        "x: $[[ inputs.n ]]+$[[ inputs.a ]]",
        {"x": "5+$[[ inputs.n ]]"},
        given={"a": "$[[ inputs.n ]]"},
    ),
    becomes("a block spelt in two ways is two blocks", TEMPLATE, "x: $[[inputs.a]]+$[[ inputs.a ]]", {"x": "v+v"}),
]

FORMS = [
    becomes("no space in a block", TEMPLATE, "x: $[[inputs.n]]", {"x": 5}),
    becomes("much space in a block", TEMPLATE, 'x: "$[[ \\n\\t inputs.n \\n ]]"', {"x": 5}),
    becomes("an empty block is text", TEMPLATE, "x: a$[[]]b", {"x": "a$[[]]b"}),
    becomes("a block of space is text", TEMPLATE, "x: a$[[  ]]b", {"x": "a$[[  ]]b"}),
    becomes("a block of one letter is text", TEMPLATE, "x: a$[[ a ]]b", {"x": "a$[[ a ]]b"}),
    becomes("a block that is not closed is text", TEMPLATE, "x: a$[[ inputs.a", {"x": "a$[[ inputs.a"}),
    becomes("a block that is closed by one bracket is text", TEMPLATE, "x: a$[[ inputs.a ]", {"x": "a$[[ inputs.a ]"}),
    becomes(
        "a newline inside of a block makes text of it",
        TEMPLATE,
        'x: "$[[ inputs.a |\\n truncate(0,1) ]]"',
        {"x": "$[[ inputs.a |\n truncate(0,1) ]]"},
    ),
    becomes("a dollar before a block", TEMPLATE, "x: $$[[ inputs.a ]]", {"x": "$v"}),
    becomes("brackets without a dollar", TEMPLATE, "x: a[[ inputs.a ]]", {"x": "a[[ inputs.a ]]"}),
    becomes(
        "runner's braces are no block",
        "doc/ci/jobs/job_inputs.md",
        "x: ${{ job.inputs.a }}",
        {"x": "${{ job.inputs.a }}"},
    ),
    Case(
        name="a block of one letter reaches for the next brackets",
        source=TEMPLATE,
        text=file(SPEC, "x: $[[ a ]] $[[ inputs.a ]]"),
        expected=InterpolationError,
        message="invalid array index syntax in `a ]] $[[ inputs.a`",
    ),
    Case(
        name="a block in a block",
        source=TEMPLATE,
        text=file(SPEC, "x: $[[ inputs.$[[ inputs.a ]] ]]"),
        expected=InterpolationError,
        message="invalid array index in `inputs.$[[ inputs.a`: missing closing bracket",
    ),
    Case(
        name="brackets in quotes end a block",
        source=TEMPLATE,
        text=file(SPEC, "x: \"$[[ inputs.a | split(']]') ]]\""),
        expected=InterpolationError,
        message="no function matching `split('`",
    ),
    Case(
        name="a block in a flow list is YAML first",
        source="YAML 1.1, flow sequences",
        text=file(SPEC, "x: [$[[ inputs.a ]]]"),
        expected=HeaderError,
        message="expected ',' or ']'",
    ),
]

NAMES = [
    refused(
        "a name without a dot",
        ACCESS_SPEC,
        "abc",
        "invalid pattern used for interpolation. valid pattern is $[[ inputs.input ]]",
    ),
    refused("a block of a bar", BLOCK, "| truncate(0,1)", "invalid pattern used for interpolation"),
    refused("a block of two bars", BLOCK, "||", "invalid pattern used for interpolation"),
    refused(
        "an unknown input in a block",
        ACCESS_SPEC,
        "inputs.nonexistent",
        "unknown interpolation provided: `nonexistent` in `inputs.nonexistent`",
    ),
    refused("an unknown context", TEMPLATE_SPEC, "xxx.yyy", "unknown interpolation provided: `xxx` in `xxx.yyy`"),
    refused(
        "something below text",
        ACCESS_SPEC,
        "inputs.a.extra",
        "unknown interpolation provided: `extra` in `inputs.a.extra`",
    ),
    refused(
        "nothing behind the dot", ACCESS, "inputs. | truncate(0,1)", "unknown interpolation provided: `` in `inputs.`"
    ),
    refused("upper case is another name", ACCESS, "Inputs.a", "`Inputs` in `Inputs.a`"),
    refused("space before the dot is part of the name", ACCESS, "inputs .a", "`inputs ` in `inputs .a`"),
    Case(
        name="a name with a slash and a hyphen",
        source="firecow/gitlab-ci-local issue 1939",
        text=file("{black/en-abled: {default: v}}", "x: $[[ inputs.black/en-abled ]]"),
        expected={"x": "v"},
    ),
    Case(
        name="a name with a dot cannot be named",
        source=ACCESS,
        text=file("{a.b: {default: v}}", "x: $[[ inputs.a.b ]]"),
        expected=InterpolationError,
        message="`a` in `inputs.a.b`",
    ),
    Case(
        name="a name of a thousand bytes",
        source=ACCESS,
        text=file(f"{{{'a' * 1017}: {{default: v}}}}", f"x: $[[ inputs.{'a' * 1017} ]]"),
        expected={"x": "v"},
    ),
    Case(
        name="a name of more than a thousand bytes",
        source=ACCESS_SPEC,
        text=file("{}", f"x: $[[ inputs.{'a' * 1018} ]]"),
        expected=LimitError,
        message="maximum interpolation expression size exceeded",
    ),
    alone("an element of a list", ACCESS_SPEC, "inputs.l[1]", "q"),
    alone("an element of an element", ACCESS_SPEC, "inputs.d[1][0]", "r"),
    alone("a value below an element", ACCESS_SPEC, "inputs.d[0].k[1]", 42),
    alone("an element that is null", ACCESS_SPEC, "inputs.d[0].e", None),
    alone("an element that is a mapping", ACCESS_SPEC, "inputs.d[0]", {"k": ["deep", 42], "e": None}),
    alone("an index with leading zeros", ACCESS, "inputs.l[001]", "q"),
    refused(
        "an index beyond the list", ACCESS_SPEC, "inputs.l[2]", "array index 2 out of bounds (size: 2) in `inputs.l[2]`"
    ),
    refused("an index of text", ACCESS_SPEC, "inputs.a[0]", "cannot index into non-array value at [0]"),
    refused(
        "a negative index",
        ACCESS_SPEC,
        "inputs.l[-1]",
        "invalid array index in `inputs.l[-1]`: `-1` is not a valid index",
    ),
    refused("an index that is a word", ACCESS_SPEC, "inputs.l[a]", "`a` is not a valid index"),
    refused("an empty index", ACCESS_SPEC, "inputs.l[] | truncate(0,1)", "`` is not a valid index"),
    refused("an index that is not closed", ACCESS_SPEC, "inputs.l[0", "missing closing bracket"),
    refused(
        "something behind an index", ACCESS_SPEC, "inputs.l[0]junk", "invalid array index syntax in `inputs.l[0]junk`"
    ),
    refused("an index without a name", ACCESS_SPEC, "inputs.d[1].[1]", "invalid indexed access without a key"),
    refused(
        "an index of an unknown input",
        ACCESS_SPEC,
        "inputs.no[0]",
        "unknown interpolation provided: `no` in `inputs.no[0]`",
    ),
    refused(
        "an index is newer than 18.10",
        f"{DOC_INPUTS}, Access individual array elements",
        "inputs.l[0]",
        "`l[0]` in `inputs.l[0]`",
        gitlab=Version(18, 10),
    ),
    Case(
        name="an index of an input with a hyphen",
        source="gitlab-org/gitlab merge request 254221",
        text=file("{a-b: {type: array, default: [p]}}", "x: '$[[ inputs.a-b[0] ]]'"),
        expected=InterpolationError,
        message="invalid array index syntax",
    ),
    Case(
        name="six indices",
        source=ACCESS_SPEC,
        text=file("{a: {type: array, default: [[[[[[42]]]]]]}}", "x: '$[[ inputs.a[0][0][0][0][0][0] ]]'"),
        expected=LimitError,
        message="too many array indices in `inputs.a[0][0][0][0][0][0]` (maximum depth: 5)",
    ),
    Case(
        name="five indices",
        source=ACCESS_SPEC,
        text=file("{a: {type: array, default: [[[[[42]]]]]}}", "x: '$[[ inputs.a[0][0][0][0][0] ]]'"),
        expected={"x": 42},
    ),
    Case(
        name="a key of a mapping that came as JSON",
        source="lib/gitlab/json.rb",
        text=file("{a: {type: array}}", "x: '$[[ inputs.a[0].k ]]'"),
        given={"a": '[{"k": 1}]'},
        expected=InterpolationError,
        message="unknown interpolation provided: `k`",
    ),
    becomes("a matrix is left for later", MATRIX, "x: a $[[ matrix.OS ]]", {"x": "a $[[ matrix.OS ]]"}),
    becomes("a matrix beside an input", BLOCK, "x: $[[ inputs.a ]] $[[ matrix.OS ]]", {"x": "v $[[ matrix.OS ]]"}),
    refused("a matrix is newer than 18.5", MATRIX, "matrix.OS", "`matrix` in `matrix.OS`", gitlab=Version(18, 5)),
]

WRITTEN = [
    becomes("a list in a text", f"{DOC_INPUTS}, Array type", "x: is $[[ inputs.l ]]", {"x": 'is ["p", "q"]'}),
    becomes("an empty list in a text", INSPECT, "x: is $[[ inputs.e ]]", {"x": "is []"}),
    becomes(
        "a default with mappings in a text",
        INSPECT,
        "x: is $[[ inputs.d ]]",
        {"x": 'is [{"k"=>["deep", 42], "e"=>nil}, ["r", "s"]]'},
    ),
    becomes(
        "a default with mappings in a text, before 18.7",
        INSPECT,
        "x: is $[[ inputs.d ]]",
        {"x": 'is [{:k=>["deep", 42], :e=>nil}, ["r", "s"]]'},
        gitlab=Version(18, 6),
    ),
    becomes(
        "a given mapping in a text",
        INSPECT,
        "x: is $[[ inputs.l ]]",
        {"x": 'is [{:if=>"$A", :"a-b"=>true}]'},
        given={"l": [{"if": "$A", "a-b": True}]},
    ),
    becomes("a float in a text", "Ruby: Float#to_s", "x: is $[[ inputs.f ]]", {"x": "is 1.0"}),
    becomes(
        "a small float in a text",
        "Ruby: Float#to_s",
        "x: is $[[ inputs.f ]]",
        {"x": "is 1.5e-05"},
        given={"f": 0.000015},
    ),
    becomes(
        "a large float in a text", "Ruby: Float#to_s", "x: is $[[ inputs.f ]]", {"x": "is 1.0e+16"}, given={"f": 1e16}
    ),
    becomes(
        "a float that is not quite large",
        "Ruby: Float#to_s",
        "x: is $[[ inputs.f ]]",
        {"x": "is 1000000000000000.0"},
        given={"f": 1e15},
    ),
    becomes("a truth value in a text", TEMPLATE, "x: is $[[ inputs.t ]]", {"x": "is true"}),
    becomes(
        "text in a list in a text loses a backslash of two",
        "Ruby: String#inspect and String#gsub",
        "x: is $[[ inputs.l ]]",
        {"x": 'is ["\\"\\\\n\\e\\u0001#a\\#{é"]'},
        given={"l": ['"\\\n\x1b\x01#a#{é']},
    ),
    becomes(
        "a backslash in a value that stands alone",
        TEMPLATE,
        "x: $[[ inputs.a ]]",
        {"x": r"a\\b\1"},
        given={"a": r"a\\b\1"},
    ),
    becomes(
        "two backslashes in a text become one", GSUB, "x: is $[[ inputs.a ]]", {"x": r"is a\b"}, given={"a": r"a\\b"}
    ),
    becomes("one backslash in a text stays", GSUB, "x: is $[[ inputs.a ]]", {"x": r"is a\b"}, given={"a": r"a\b"}),
    becomes("a backslash at the end stays", GSUB, "x: is $[[ inputs.a ]]", {"x": "is a\\"}, given={"a": "a\\"}),
    becomes(
        "a backslash before a digit vanishes with it",
        GSUB,
        "x: is $[[ inputs.a ]]",
        {"x": "is ab"},
        given={"a": r"a\1b"},
    ),
    becomes(
        "a backslash before zero is the block",
        GSUB,
        "x: is $[[ inputs.a ]]",
        {"x": "is $[[ inputs.a ]]"},
        given={"a": r"\0"},
    ),
    becomes(
        "a backslash before a backquote is what stands before",
        GSUB,
        "x: is $[[ inputs.a ]]!",
        {"x": "is <is >!"},
        given={"a": r"<\`>"},
    ),
    becomes(
        "a backslash before a quote is what stands behind",
        GSUB,
        "x: is $[[ inputs.a ]]!",
        {"x": "is <!>!"},
        given={"a": r"<\'>"},
    ),
    Case(
        name="a backslash before a name of a group",
        source=GSUB,
        text=file(SPEC, "x: is $[[ inputs.a ]]"),
        given={"a": r"\k<name>"},
        expected=InterpolationError,
        message="takes for the name of a group",
    ),
]

CASES = [*PLACES, *FORMS, *NAMES, *WRITTEN]
