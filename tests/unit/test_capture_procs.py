"""From a recorded description to procs: queue statements, quoting, and descriptions that mean harm."""

from __future__ import annotations

import shlex
import string
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.capture import quoting
from septum.capture.calls import read_words
from septum.capture.procs import Proc, procs
from septum.capture.queueing import QueueError, chosen, count_of, parse, split_item, statements
from septum.capture.recording import Submission
from septum.errors import CaptureError

pytest.importorskip("htcondor2", reason="HTCondor's bindings exist for Linux only")

HEAD = "executable = run.sh\narguments = $(Process) $(x) $(Row)\n"


def call(
    text: str,
    *,
    words: tuple[str, ...] = (),
    answers: tuple[tuple[int, int], ...] = ((1, 1),),
    items: tuple[str, ...] | None = None,
    environment: dict[str, str] | None = None,
) -> Submission:
    """A recorded call with nothing but its description."""
    return Submission(
        number=1,
        text=text,
        words=words,
        folder=PurePosixPath("/builds/group/project"),
        environment=environment or {},
        answers=answers,
        items=items,
        files={},
        left_out={},
    )


def refused(submission: Submission) -> str:
    """The evidence of the error that a call gives."""
    with pytest.raises(CaptureError) as caught:
        procs(submission)
    return caught.value.evidence


# ── the process of the parser ───────────────────────────────────────────────────────────────────────────────────


def test_twenty_thousand_jobs_take_seconds() -> None:
    """A long list of items, and the answered ClusterId in each job."""
    items = "".join(f"sample_{number}\n" for number in range(20_000))

    found = procs(
        call(f"{HEAD}log = $(Cluster).log\nqueue x from (\n{items})\n", answers=((20_000, 7),)), deadline_s=30
    )

    assert len(found) == 20_000
    assert found[-1] == Proc(
        cluster_id=7,
        proc_id=19_999,
        submission=1,
        variables=(("x", "sample_19999"),),
        executable="run.sh",
        arguments=("19999", "sample_19999", "19999"),
        stdin=None,
        transfer_executable=True,
        inputs=(),
        outputs=None,
        remaps=(),
        logs=("", "", "7.log"),
        environment=(),
        commands={},
        macros=frozenset({"process", "x", "row", "cluster"}),
    )


def test_a_queue_statement_for_each_job() -> None:
    """Frameworks of the old school write one for each job; a later line counts for the jobs behind it."""
    text = "executable = run.sh\nnote = a\n" + "".join(f"arguments = {number}\nqueue\n" for number in range(3000))

    found = procs(call(text, answers=((3000, 1),)), deadline_s=30)

    assert [proc.arguments for proc in found] == [(str(number),) for number in range(3000)]


def test_clusters_are_those_of_the_answer() -> None:
    """Each cluster counts its jobs from 0, and knows its own id."""
    text = "arguments = $(Cluster).$(Process)\nexecutable = a.sh\nqueue 2\nexecutable = b.sh\nqueue\n"

    found = procs(call(text, answers=((2, 4), (1, 9))))

    assert [(proc.executable, *proc.arguments) for proc in found] == [("a.sh", "4.0"), ("a.sh", "4.1"), ("b.sh", "9.0")]


@pytest.mark.parametrize(
    "text",
    [
        "include command : touch PWNED |\n",
        "INCLUDE : touch PWNED |\n",
        "include ifexist : PWNED\n",
        "  inc\\\nlude : touch PWNED |\n",
        "@include : /etc/passwd\n",
        "use template : CONTAINER\n",
    ],
)
def test_nothing_is_included(tmp_path: Path, text: str) -> None:
    """A line that reads a file or runs a program is refused, before the parser sees it."""
    harm = tmp_path / "PWNED"

    said = refused(call(text.replace("PWNED", str(harm)) + HEAD + "queue\n"))

    assert "reads another file, or runs a program" in said
    assert not harm.exists()


def test_the_parser_can_open_nothing(tmp_path: Path) -> None:
    """A word of the call that the look for such lines never sees fails in a process that cannot open a file."""
    harm = tmp_path / "PWNED"
    words = ("-append", f"include command : touch {harm} |")

    said = refused(call(f"{HEAD}queue\n", words=words))

    assert "HTCondor cannot parse it" in said
    assert not harm.exists()


@pytest.mark.parametrize("queue", ["queue x from touch PWNED |", "queue x from /etc/passwd", "queue x matching /etc/*"])
def test_items_are_never_looked_for(tmp_path: Path, queue: str) -> None:
    """What only the call could know is in the recording, or the call is refused."""
    harm = tmp_path / "PWNED"
    text = HEAD + queue.replace("PWNED", str(harm)) + "\n"

    assert "were not recorded" in refused(call(text))
    assert [proc.variables for proc in procs(call(text, items=("a",)))] == [(("x", "a"),)]
    assert not harm.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("q = $(r)\nr = $(q)\narguments = $(q)\n", "in a circle: q, r"),
        ("arguments = $RANDOM_INTEGER(1,9)\n", "uses RANDOM_INTEGER, whose value only the call itself knew"),
        ("arguments = $RANDOM_CHOICE(a,b)\n", "uses RANDOM_CHOICE"),
        ("arguments = $(SUBMIT_TIME)\n", "uses SUBMIT_TIME"),
        ("arguments = $Ff(x)\nx = a\n", "uses Ff"),
        ("what is this\n", "HTCondor cannot parse it: 'what is this'"),
        ("error : no such sample\n", "HTCondor cannot parse it"),
        ('arguments = "a\n', "double quotes do not match"),
        ('arguments = a"b\n', "without a backslash"),
        ('environment = "A"\n', "no NAME=value in 'A'"),
        ("if true\nqueue\nendif\n", "between 'if' and 'endif'"),
        ("executable =\n", "no executable"),
        ("queue x from (\na\n", "does not end"),
        ("queue x in [1:2:-1] (a b)\n", "step -1 of a slice is below 1"),
        ("queue -3\n", "no number of jobs"),
        ("queue 1000000000\n", "no number of jobs"),
        ("queue lots\n", "no number of jobs"),
        ("queue 7\n", "fewer jobs"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, words: str) -> None:
    """One clear error with the line or the reason in it, never a traceback."""
    assert words in refused(call(f"executable = run.sh\n{text}queue\n"))


def test_more_answered_than_described() -> None:
    """The number of jobs that the framework was told must be the number of parts."""
    assert "more jobs than the description has" in refused(call(f"{HEAD}queue 2\n", answers=((3, 1),)))


def test_macros_that_explode_end_in_an_error() -> None:
    """A small description that would fill the memory is stopped by a limit or by the deadline."""
    lines = [f"m{level} = " + f"$(m{level + 1})" * 20 for level in range(12)]

    with pytest.raises(CaptureError):
        procs(call("executable = a\narguments = $(m0)\n" + "\n".join([*lines, "m12 = x", "queue", ""])), deadline_s=2)


def test_the_environment_is_the_recorded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine has in its environment is nobody's business."""
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    text = "executable = a\narguments = $ENV(SAMPLE) $ENV(SECRET_TOKEN) $ENV(PATH:none)\nqueue\n"

    (proc,) = procs(call(text, environment={"SAMPLE": "DY"}))

    assert proc.arguments == ("DY", "UNDEFINED", "none")


def test_texts_that_are_not_utf_8() -> None:
    """One clear error, wherever they stand."""
    assert "cannot parse it: 'executable = \\udcff'" in refused(call("executable = \udcff\nqueue\n"))
    assert "codec" in refused(call(f"{HEAD}queue x from list\n", items=("\udcff",)))


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ('"a=b; c = d/e"', (("a", "b"), ("c", "d/e"))),
        ("a = root://x//y?z=1;", (("a", "root://x//y?z=1"),)),
        (r'"a\;b=c\=d"', (("a;b", "c=d"),)),
        ("nothing", ()),
    ],
)
def test_remaps(text: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """Pairs with semicolons between them."""
    (proc,) = procs(call(f"executable = a\ntransfer_output_remaps = {text}\nqueue\n"))

    assert proc.remaps == pairs


def test_variables_that_nobody_set_expand_to_nothing() -> None:
    """As in HTCondor; and a variable of a queue statement may stand in another one's value."""
    text = "executable = a\narguments = $(none)$(x) $(y)\nqueue x, y from (\n  v$(Process), $(x)w\n)\n"

    (proc,) = procs(call(text))

    assert (proc.arguments, proc.variables) == (("v0", "v0w"), (("x", "v0"), ("y", "v0w")))


def test_words_of_the_call_count() -> None:
    """Macros that the words set stand before the description, appended lines before each queue statement."""
    words = ("n=2", "-a", "arguments = $(Process) $(tag)", "-batch-name", "nominal", "jobs.sub", "-queue", "$(n)")

    found = procs(call("executable = a\ntag = $(SUBMIT_FILE)\n", words=words, answers=((2, 1),)))

    assert [proc.arguments for proc in found] == [("0", "jobs.sub"), ("1", "jobs.sub")]
    assert found[0].commands["batch_name"] == "nominal"


# ── the words of a call ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "file", "queue"),
    [
        ("-spool job.sub", "job.sub", None),
        ("-name other -pool cm job.sub", "job.sub", None),
        ("-ter -f job.sub", "job.sub", None),
        ("-", "-", None),
        ("job.sub -queue 2 x in a b", "job.sub", "2 x in a b"),
        ("-a 'Queue 3' job.sub", "job.sub", "3"),
        ("", "-", None),
    ],
)
def test_words(words: str, file: str, queue: str | None) -> None:
    """Options may be cut short, and some take the next word along."""
    found = read_words(shlex.split(words))

    assert (found.file, found.queue) == (file, queue)


# ── queue statements ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "inline", "count", "variables", "items"),
    [
        ("", (), "", (), []),
        ("12", (), "12", (), []),
        ("2 * 3", (), "2 * 3", (), []),
        ("x in a, b c", (), "", ("x",), ["a", "b", "c"]),
        ("2 x in(a b)", (), "2", ("x",), ["a", "b"]),
        ("IN a", (), "", ("Item",), ["a"]),
        ("x,y2 from (", ("a 1", "b, 2"), "", ("x", "y2"), ["a 1", "b, 2"]),
        ("3 x y from ( a 1", ("b 2",), "3", ("x", "y"), ["a 1", "b 2"]),
        ("x from (a b)", (), "", ("x",), ["a b"]),
        ("x in [1:] (", ("a b", "c"), "", ("x",), ["b", "c"]),
        ("x in [:-1] a b c", (), "", ("x",), ["a", "b"]),
        ("x in [::2] a b c", (), "", ("x",), ["a", "c"]),
        ("x in [5] a b c", (), "", ("x",), []),
        ("x in [-9:2] a b c", (), "", ("x",), ["a", "b"]),
    ],
)
def test_queue_statements(
    arguments: str, inline: tuple[str, ...], count: str, variables: tuple[str, ...], items: list[str]
) -> None:
    """The ways to write one."""
    queue = parse(arguments, inline, None)

    assert (queue.count, queue.variables if queue.foreach else ()) == (count, variables)
    assert [item for _, item in chosen(queue)] == items


@pytest.mark.parametrize(
    "kind", ["x from list.txt", "x from sh list.sh |", "x matching *.root", "x matching files [1:] *"]
)
def test_recorded_items_are_taken(kind: str) -> None:
    """Slices are applied afterwards, as HTCondor does it."""
    queue = parse(kind, (), ["a", "b", "c"])

    assert [item for _, item in chosen(queue)] == (["b", "c"] if "[1:]" in kind else ["a", "b", "c"])


@pytest.mark.parametrize(
    ("item", "count", "values"),
    [
        ("a b c", 1, ["a b c"]),
        ("a b c", 2, ["a", "b c"]),
        ("a, b, c", 3, ["a", "b", "c"]),
        ("a , b", 2, ["a", ", b"]),
        ("a", 3, ["a"]),
        ("a b\x1f c ", 3, ["a b", "c", ""]),
        ("", 2, [""]),
    ],
)
def test_items_are_split(item: str, count: int, values: list[str]) -> None:
    """One separator ends a value, and the last variable has all that remains."""
    assert split_item(item, count) == values


def test_statements_keep_what_is_not_theirs() -> None:
    """Comments, continuations and texts over several lines may hold the word queue."""
    text = "# queue 1\na = x \\\nqueue 2\nb @=end\nqueue 3\n@end\nqueued = 4\nQUEUE 5 x in (\n# no\n a\n)\nc = 1\n"

    first, rest = statements(text)

    assert (first.arguments, first.inline) == ("5 x in (", ("a",))
    assert first.body == "# queue 1\na = x \\\nqueue 2\nb @=end\nqueue 3\n@end\nqueued = 4"
    assert (rest.body, rest.arguments) == ("c = 1\n", "")


@given(st.text(alphabet="queue in()[]:,\\#@=\n ab12$", max_size=60))
def test_no_text_breaks_the_reader_of_statements(text: str) -> None:
    """Whatever stands there: statements, or one error for people."""
    try:
        for statement in statements(text):
            queue = parse(statement.arguments, statement.inline, ["r"])
            chosen(queue)
            count_of(queue.count, lambda _: None)
    except QueueError:
        pass


# ── arguments and environment ───────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.text(alphabet=string.ascii_letters + " '\"$\\\t=;", max_size=8), max_size=6))
def test_words_come_back_from_the_new_syntax(words: list[str]) -> None:
    """Every list of words can be written in it, and is read as it was."""
    quoted = " ".join("'" + word.replace("'", "''") + "'" for word in words)
    text = '"' + quoted.replace('"', '""') + '"'

    assert quoting.arguments(text) == tuple(words)


@given(st.dictionaries(st.text(alphabet="ABC_1", min_size=1, max_size=4), st.text(alphabet="ab '\"=$;", max_size=8)))
def test_environments_come_back_from_the_new_syntax(values: dict[str, str]) -> None:
    """Names and values, with spaces and quotes in them."""
    quoted = " ".join("'" + f"{name}={value}".replace("'", "''") + "'" for name, value in values.items())

    assert dict(quoting.environment('"' + quoted.replace('"', '""') + '"')) == values


@pytest.mark.parametrize("text", ['"a', '"a" b', '"a"b"', '"a \'b"', 'a"b', '"""'])
def test_broken_quotes_are_refused(text: str) -> None:
    """What HTCondor refuses, too."""
    with pytest.raises(ValueError, match="quote"):
        quoting.arguments(text)
