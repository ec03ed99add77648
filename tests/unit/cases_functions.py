"""What the functions of a block do."""

from __future__ import annotations

from septum.errors import InterpolationError, LimitError
from septum.preview.features import Version
from tests.unit.cases_blocks import BLOCK, BLOCK_SPEC, CONFIG, SPEC, alone, becomes, refused
from tests.unit.interpreter_case import DOC_INPUTS, INTERPOLATION, Case, file

STACK = f"{INTERPOLATION}/functions_stack.rb"
FUNCTIONS = f"{INTERPOLATION}/functions"
ESCAPE = "Ruby: Shellwords.shellescape"

CASES = [
    alone("truncate", f"{DOC_INPUTS}, truncate", "inputs.a | truncate(3,5)", "34567", given="0123456789"),
    alone("truncate with spaces", f"{FUNCTIONS}/truncate.rb", "inputs.a | truncate( 1 , 2 )", "es", given="test"),
    alone("truncate beyond the end", f"{FUNCTIONS}/truncate.rb", "inputs.a | truncate(9,2)", "", given="test"),
    alone("truncate counts characters", f"{FUNCTIONS}/truncate.rb", "inputs.a | truncate(1,1)", "é", given="aéb"),
    alone(
        "truncate without its last parenthesis",
        f"{FUNCTIONS}/truncate.rb",
        "inputs.a | truncate(0,1",
        "t",
        given="test",
    ),
    refused(
        "truncate with a word",
        f"{FUNCTIONS}/truncate.rb",
        "inputs.a | truncate( s , 2 )",
        "no function matching `truncate( s , 2 )`",
    ),
    refused(
        "truncate with one number",
        f"{FUNCTIONS}/truncate.rb",
        "inputs.a | truncate(2)",
        "check that the function name, arguments, and types are correct",
    ),
    refused(
        "truncate a number",
        f"{FUNCTIONS}/truncate.rb",
        "inputs.n | truncate(0,1)",
        "error in `truncate` function: invalid input type: truncate can only be used with string inputs",
    ),
    alone(
        "expand_vars",
        f"{DOC_INPUTS}, expand_vars",
        "inputs.a | expand_vars",
        "a words words words",
        given="a $TEXT ${TEXT} %TEXT%",
    ),
    alone(
        "expand_vars does not look into values",
        "spec/lib/expand_variables_spec.rb",
        "inputs.a | expand_vars",
        "$TEXT",
        given="$NESTED",
    ),
    alone(
        "expand_vars leaves unknown variables",
        "spec/lib/expand_variables_spec.rb",
        "inputs.a | expand_vars",
        "$NO ${NO} %NO%",
        given="$NO ${NO} %NO%",
    ),
    alone(
        "expand_vars takes the longest name",
        "lib/expand_variables.rb",
        "inputs.a | expand_vars",
        "$TEXTS words-S",
        given="$TEXTS $TEXT-S",
    ),
    alone(
        "expand_vars leaves a dollar alone",
        "lib/expand_variables.rb",
        "inputs.a | expand_vars",
        "$ $$ ${} $1 wordsx",
        given="$ $$ ${} $1 ${TEXT}x",
    ),
    alone(
        "expand_vars takes backslashes as they are",
        "lib/expand_variables.rb",
        "inputs.a | expand_vars",
        r"a\1b",
        given="$BACKSLASH",
    ),
    Case(
        name="expand_vars with a masked variable",
        source="spec/lib/expand_variables_spec.rb",
        text=file(SPEC, "x: $[[ inputs.a | expand_vars ]]"),
        given={"a": "${SECRET}"},
        expected=InterpolationError,
        message="error in `expand_vars` function: variable expansion error: masked variables cannot be expanded",
    ),
    refused(
        "expand_vars with an argument",
        f"{FUNCTIONS}/expand_vars.rb",
        "inputs.a | expand_vars()",
        "no function matching `expand_vars()`",
    ),
    refused(
        "expand_vars of a list",
        f"{FUNCTIONS}/expand_vars.rb",
        "inputs.l | expand_vars",
        "expand_vars can only be used with string inputs",
    ),
    alone(
        "posix_escape",
        f"{DOC_INPUTS}, posix_escape",
        "inputs.a | posix_escape",
        "A\\ \\'\\ \\\"\\ \\$x\\;",
        given="A ' \" $x;",
    ),
    alone("posix_escape of nothing", ESCAPE, "inputs.a | posix_escape", "''", given=""),
    alone("posix_escape of a newline", ESCAPE, "inputs.a | posix_escape", "a'\n'b", given="a\nb"),
    alone("posix_escape leaves a leading dash", ESCAPE, "inputs.a | posix_escape", "-rf", given="-rf"),
    alone("posix_escape of what is not ASCII", ESCAPE, "inputs.a | posix_escape", "\\é", given="é"),
    alone(
        "posix_escape after expand_vars",
        f"{DOC_INPUTS}, posix_escape",
        "inputs.a | expand_vars | posix_escape",
        "a\\ words",
        given="a $TEXT",
    ),
    alone(
        "posix_escape before expand_vars",
        f"{DOC_INPUTS}, posix_escape",
        "inputs.a | posix_escape | expand_vars",
        "\\words",
        given="$TEXT",
    ),
    refused(
        "posix_escape is newer than 18.5",
        f"{DOC_INPUTS}, posix_escape",
        "inputs.a | posix_escape",
        "no function matching `posix_escape`",
        gitlab=Version(18, 5),
    ),
    refused(
        "posix_quote was never released",
        "gitlab-org/gitlab issue 568289",
        "inputs.a | posix_quote",
        "no function matching `posix_quote`",
    ),
    alone("split", f"{FUNCTIONS}/split.rb", "inputs.a | split(',')", ["p", "q"], given="p,, q ,"),
    alone("split text without the separator", f"{FUNCTIONS}/split.rb", "inputs.a | split(';')", ["p,q"], given="p,q"),
    alone("split nothing", f"{FUNCTIONS}/split.rb", "inputs.a | split(',')", [], given=""),
    alone("split at a space", "Ruby: String#split", "inputs.a | split(' ')", ["p", "q", "r"], given=" p  q\tr\n"),
    alone(
        "split at several characters", f"{FUNCTIONS}/split.rb", "inputs.a | split('::')", ["p", "q:r"], given="p::q:r"
    ),
    refused("split at nothing", f"{FUNCTIONS}/split.rb", 'inputs.a | split("")', "no function matching"),
    Case(
        name="split at empty quotes",
        source=f"{FUNCTIONS}/split.rb",
        text=file(SPEC, "x: \"$[[ inputs.a | split('') ]]\""),
        expected=InterpolationError,
        message="error in `split` function: invalid argument: separator cannot be empty",
    ),
    Case(
        name="split before another function",
        source=STACK,
        text=file(SPEC, "x: \"$[[ inputs.a | split(',') | truncate(0,1) ]]\""),
        expected=InterpolationError,
        message="split() must be the last function in a chain",
    ),
    Case(
        name="split at a bar",
        source=BLOCK,
        text=file(SPEC, "x: \"$[[ inputs.a | split('|') ]]\""),
        expected=InterpolationError,
        message="no function matching `split('`",
    ),
    becomes(
        "split among the items of a list",
        CONFIG,
        "x:\n  - o\n  - $[[ inputs.a | split(',') ]]",
        {"x": ["o", "p", "q"]},
        given={"a": "p,q"},
    ),
    Case(
        name="split is newer than 19.1",
        source="gitlab-org/gitlab merge request 242134",
        text=file(SPEC, "x: \"$[[ inputs.a | split(',') ]]\""),
        gitlab=Version(19, 1),
        expected=InterpolationError,
        message="no function matching `split(',')`",
    ),
    refused("an invented function", STACK, "inputs.a | upper", "no function matching `upper`"),
    refused("two invented functions", STACK, "inputs.a | upper | lower", "`lower`: check that"),
    refused("nothing between two bars", BLOCK, "inputs.a || expand_vars", "no function matching ``"),
    alone("bars at the end are dropped", BLOCK, "inputs.a | expand_vars||", "v"),
    alone("no space around a bar", BLOCK_SPEC, "inputs.a|truncate(1,3)|truncate(1,2)", "de", given="bcdef"),
    alone("three functions", BLOCK, "inputs.a | expand_vars | truncate(0,3) | posix_escape", "wor", given="$TEXT"),
    Case(
        name="four functions",
        source=BLOCK_SPEC,
        text=file(SPEC, "x: $[[ inputs.a | expand_vars | expand_vars | expand_vars | expand_vars ]]"),
        expected=LimitError,
        message="too many functions in interpolation block",
    ),
]
