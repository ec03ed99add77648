"""Types, defaults, options, regular expressions and rules of inputs."""

from __future__ import annotations

from septum.errors import InputError
from septum.preview.features import NEWEST, Version
from septum.preview.source import Reference
from tests.unit.interpreter_case import DOC_INPUTS, DOC_YAML, INPUTS, INTERPOLATION, Case, file

BASE = f"{INPUTS}/base_input.rb"
STRING = f"{INPUTS}/string_input.rb"
STRING_SPEC = "spec/lib/ci/inputs/string_input_spec.rb"
NUMBER = f"{INPUTS}/number_input.rb"
BOOLEAN = f"{INPUTS}/boolean_input.rb"
ARRAY = f"{INPUTS}/array_input.rb"
BUILDER_SPEC = "spec/lib/ci/inputs/builder_spec.rb"
JSON = "lib/gitlab/json.rb"
REGEXP = "lib/gitlab/untrusted_regexp.rb"
RE2 = f"{DOC_YAML}, spec:inputs:regex"
UNKNOWN = f"{INTERPOLATION}/inputs.rb"
OLD = Version(17, 10)


def _good(
    name: str,
    source: str,
    spec: str,
    given: object,
    value: object,
    *,
    gitlab: Version = NEWEST,
    body: str = "x: $[[ inputs.a ]]",
) -> Case:
    passed = None if given is None else {"a": given}
    return Case(
        name=name, source=source, text=file(f"{{a: {spec}}}", body), given=passed, expected={"x": value}, gitlab=gitlab
    )


def _bad(name: str, source: str, spec: str, given: object, message: str, *, gitlab: Version = NEWEST) -> Case:
    passed = None if given is None else {"a": given}
    text = file(f"{{a: {spec}}}")
    return Case(name=name, source=source, text=text, given=passed, expected=InputError, message=message, gitlab=gitlab)


TYPES = [
    _good("text", STRING, "", "v", "v"),
    _good("a number given for text", STRING_SPEC, "", 123, "123"),
    _good("a truth value given for text", STRING_SPEC, "", given=True, value="true"),
    _good("a float given for text", "Ruby: Float#to_s", "", 1e20, "1.0e+20"),
    _good("a list given for text", STRING, "", ["a", 1], '["a", 1]'),
    _good("a mapping given for text", STRING, "", {"a": 1}, "{:a=>1}"),
    _good("text that looks like JSON stays text", "gitlab-org/gitlab merge request 188093", "", "[1]", "[1]"),
    _bad(
        "a number given for text, before 17.11",
        f"{INTERPOLATION}/inputs/string_input.rb",
        "",
        123,
        "provided value is not a string",
        gitlab=OLD,
    ),
    _good("a number", NUMBER, "{type: number}", 5, 5),
    _good("a number stays a float", NUMBER, "{type: number}", 5.5, 5.5),
    _good("a number given as text", BUILDER_SPEC, "{type: number}", "123", 123),
    _good("a number given as text with an exponent", JSON, "{type: number}", "1e3", 1000.0),
    _good("a number given as text with space", JSON, "{type: number}", " 5 ", 5),
    _bad("an octal number given as text", JSON, "{type: number}", "012", "provided value is not a number"),
    _bad("text given for a number", BUILDER_SPEC, "{type: number}", "abc", "`a` input: provided value is not a number"),
    _bad(
        "a truth value given for a number",
        NUMBER,
        "{type: number}",
        given=True,
        message="provided value is not a number",
    ),
    _bad(
        "a number given as text, before 17.11",
        f"{INTERPOLATION}/inputs/number_input.rb",
        "{type: number}",
        "123",
        "not a number",
        gitlab=OLD,
    ),
    _good("a truth value", BOOLEAN, "{type: boolean}", given=False, value=False),
    _good("a truth value given as text", JSON, "{type: boolean}", "true", value=True),
    _bad("yes given as text", BOOLEAN, "{type: boolean}", "yes", "provided value is not a boolean"),
    _bad("one given for a truth value", BOOLEAN, "{type: boolean}", 1, "provided value is not a boolean"),
    _good("a list", ARRAY, "{type: array}", ["a", {"b": 1}], ["a", {"b": 1}]),
    _good("an empty list", ARRAY, "{type: array}", [], []),
    _good("a list given as JSON", f"{DOC_INPUTS}, Array type", "{type: array}", '["a", {"b": 1}]', ["a", {"b": 1}]),
    _bad("text given for a list", ARRAY, "{type: array}", "a,b", "provided value is not an array"),
    _bad("a mapping given for a list", ARRAY, "{type: array}", {"a": 1}, "provided value is not an array"),
    _bad("half a pair of surrogates", JSON, "{type: array}", '["\\ud800"]', "provided value is not an array"),
    _bad("not a number in JSON", JSON, "{type: number}", "NaN", "provided value is not a number"),
]

DEFAULTS = [
    _bad(
        "a missing value",
        f"{DOC_INPUTS}, Input configuration",
        "",
        None,
        "`a` input: required value has not been provided",
    ),
    Case(
        name="null is no value",
        source=BASE,
        text=file("{a: }"),
        given={"a": None},
        expected=InputError,
        message="required value has not been provided",
    ),
    Case(
        name="null given for an input with a default",
        source=BASE,
        text=file("{a: {default: v}}"),
        given={"a": None},
        expected={"x": "v"},
    ),
    _good("a default", f"{DOC_YAML}, spec:inputs:default", "{default: v}", None, "v"),
    _good("a value replaces a default", f"{DOC_YAML}, spec:inputs:default", "{default: v}", "w", "w"),
    _good("an empty default", f"{DOC_YAML}, spec:inputs:default", "{default: ''}", None, ""),
    _good("an empty value is a value", BASE, "{default: v}", "", ""),
    _good("false is a value", BASE, "{type: boolean, default: true}", given=False, value=False),
    _good("null as the default of text", STRING, "{default: null}", None, ""),
    _bad(
        "null as the default of a number", BASE, "{type: number, default: null}", None, "default value is not a number"
    ),
    _bad(
        "null as the default of text, before 17.11",
        f"{INTERPOLATION}/inputs/base_input.rb",
        "{default: null}",
        None,
        "default value is not a string",
        gitlab=OLD,
    ),
    _good("a default that is a number for text", STRING, "{default: 012}", None, "10"),
    _good("a default given as JSON", BASE, "{type: array, default: '[1, 2]'}", None, [1, 2]),
    _bad(
        "a default of the wrong type",
        f"{DOC_YAML}, spec:inputs:default",
        "{type: boolean, default: maybe}",
        None,
        "default value is not a boolean",
    ),
    _bad(
        "a bad default is an error even if a value is given",
        BASE,
        "{type: number, default: x}",
        5,
        "default value is not a number",
    ),
    Case(
        name="an unknown input",
        source=UNKNOWN,
        text=file("{a: {default: v}}"),
        given={"b": 1, "c": 2},
        expected=InputError,
        message="unknown input arguments: b, c",
    ),
    Case(
        name="an unknown input is named before other errors",
        source=UNKNOWN,
        text=file("{a: , b: }"),
        given={"c": 1},
        expected=InputError,
        message="unknown input arguments: c, `a` input: required value has not been provided, `b` input: required",
    ),
    Case(
        name="a missing input that no block names",
        source="spec/lib/gitlab/ci/config/yaml/loader_spec.rb",
        text=file("{a: }", "x: 1"),
        expected=InputError,
        message="required value has not been provided",
    ),
    Case(
        name="a reference in an input",
        source="gitlab-org/gitlab issue 607053",
        text=file("{a: {type: array}}"),
        given={"a": [Reference(path=["b", "c"])]},
        expected=InputError,
        message="does not resolve in inputs",
    ),
]

OPTIONS = [
    _good("one of the options", f"{DOC_YAML}, spec:inputs:options", "{options: [p, q]}", "q", "q"),
    _bad(
        "none of the options",
        STRING_SPEC,
        "{options: [p, q]}",
        "d",
        "`d` cannot be used because it is not in the list of allowed options",
    ),
    _bad(
        "a default that is no option",
        f"{DOC_YAML}, spec:inputs:options",
        "{options: [p, q], default: d}",
        "q",
        "`d` cannot be used",
    ),
    _bad("options count to the letter", STRING, "{options: [p]}", "P", "`P` cannot be used"),
    _good("options of text that are numbers", STRING, "{options: [1, 2]}", "2", "2"),
    _bad(
        "options of text that are numbers, before 17.11",
        f"{INTERPOLATION}/inputs/string_input.rb",
        "{options: [1, 2]}",
        "2",
        "`2` cannot be used",
        gitlab=OLD,
    ),
    _good("options of a number", NUMBER, "{type: number, options: [1, 2.5]}", 2.5, 2.5),
    _good("a number among options as text", NUMBER, "{type: number, options: [1, 2]}", "2", 2),
    _bad(
        "a number that is no option",
        NUMBER,
        "{type: number, options: [1, 2]}",
        3,
        "is not in the list of the allowed options",
    ),
    _bad("options of a number that are text", NUMBER, "{type: number, options: ['1']}", 1, "`1` cannot be used"),
    _bad(
        "options of a truth value",
        BASE,
        "{type: boolean, options: [true]}",
        given=True,
        message="Options can only be used with string and number inputs",
    ),
    _good(
        "options of a list",
        f"{DOC_YAML}, spec:inputs:options",
        "{type: array, options: [p, q, r]}",
        ["r", "p"],
        ["r", "p"],
    ),
    _bad(
        "a list with what is no option", ARRAY, "{type: array, options: [p, q]}", ["p", "y", "z"], "y, z cannot be used"
    ),
    _bad(
        "options of a list, before 19.0",
        f"{DOC_YAML}, spec:inputs:options",
        "{type: array, options: [p]}",
        ["p"],
        "Options can only be used",
        gitlab=Version(18, 11),
    ),
    _bad("no options at all", STRING, "{options: []}", "v", "`v` cannot be used"),
]

REGULAR = [
    _good("a regular expression", RE2, "{regex: '^v\\d+$'}", "v12", "v12"),
    _bad(
        "a value that does not match",
        STRING_SPEC,
        "{regex: '^[a-z]+$'}",
        "hello123",
        "provided value does not match required RegEx pattern",
    ),
    _bad(
        "a default that does not match",
        STRING_SPEC,
        "{regex: '^[a-z]+$', default: '1'}",
        None,
        "default value does not match required RegEx pattern",
    ),
    _good("without anchors a part may match", REGEXP, "{regex: b+}", "abbc", "abbc"),
    _bad("the end is the end of the text", RE2, "{regex: '^a$'}", "a\n", "does not match"),
    _bad("lines have no ends of their own", RE2, "{regex: '^b$'}", "a\nb", "does not match"),
    _good("lines have ends if it says so", RE2, "{regex: '(?m)^b$'}", "a\nb", "a\nb"),
    _bad("a dot is no newline", RE2, "{regex: '^a.b$'}", "a\nb", "does not match"),
    _good("the empty text may match", STRING_SPEC, "{regex: '^$', default: ''}", "", ""),
    _bad("the empty text is judged as well", STRING, "{regex: '^.+$', default: v}", "", "does not match"),
    _good("upper and lower case if it says so", RE2, "{regex: '(?i)^yes$'}", "YES", "YES"),
    _bad("digits are ASCII", RE2, "{regex: '^\\d$'}", "٣", "does not match"),
    _bad("no looking ahead", RE2, "{regex: 'a(?=b)'}", "ab", "invalid regular expression"),
    _bad("no looking behind", RE2, "{regex: '(?<!a)b'}", "b", "invalid regular expression"),
    _bad("no references back", RE2, "{regex: '(a)\\1'}", "aa", "invalid regular expression"),
    _bad("an unclosed class", STRING_SPEC, "{regex: '['}", "v", "`a` input: invalid regular expression"),
    _bad("slashes are part of the expression", RE2, "{regex: /a/}", "a", "does not match"),
    _bad(
        "a regular expression of a number",
        BASE,
        "{type: number, regex: '5'}",
        5,
        "RegEx validation can only be used with string inputs",
    ),
    _good("a number given for text is matched as text", STRING, "{regex: '^5$'}", 5, "5"),
    _bad("variables are not expanded before", RE2, "{regex: '^words$'}", "$TEXT", "does not match"),
    _good(
        "variables are expanded after",
        RE2,
        "{regex: '^.TEXT$'}",
        "$TEXT",
        "words",
        body="x: $[[ inputs.a | expand_vars ]]",
    ),
]

CASES = [*TYPES, *DEFAULTS, *OPTIONS, *REGULAR]
