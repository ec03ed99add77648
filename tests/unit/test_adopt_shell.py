"""Shell lines taken apart, and what each command is taken for."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from septum.adopting import secrets, shell, submitfile
from septum.adopting.recognize import MIXED, recognize
from septum.adopting.values import Line, Statement, Step


def _pieces(text: str) -> list[shell.Piece]:
    return list(shell.pieces([Line(file="f", number=n, text=t) for n, t in enumerate(text.splitlines(), 1)]))


def _steps(*commands: str) -> list[tuple[Step, str]]:
    statements = [
        Statement(file="f", first=n, last=n, text=piece.text, job="j", section="script", block=piece.block)
        for n, text in enumerate(commands)
        for piece in _pieces(text)
    ]
    return [(found.step, found.rule) for found in recognize(statements)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a; b && c", [(1, 1, "a"), (1, 1, "b"), (1, 1, "c")]),
        ("a 'x; y' \"; z\"; b", [(1, 1, "a 'x; y' \"; z\""), (1, 1, "b")]),
        ("a || b; c", [(1, 1, "a || b; c")]),
        ("a \\\n  b\nc", [(1, 2, "a \\\n  b"), (3, 3, "c")]),
        ("while a\ndo\n  b; c\ndone\nd", [(1, 4, "while a\ndo\n  b; c\ndone"), (5, 5, "d")]),
        ("if a; then\n  for x in 1; do b; done\nfi", [(1, 3, "if a; then\n  for x in 1; do b; done\nfi")]),
        ("cat <<EOF\nfi; done\nEOF\nb", [(1, 3, "cat <<EOF\nfi; done\nEOF"), (4, 4, "b")]),
        ("case $x in\n  a) b ;;\nesac", [(1, 3, "case $x in\n  a) b ;;\nesac")]),
        ("f() {\n  a\n}\nf", [(1, 3, "f() {\n  a\n}"), (4, 4, "f")]),
        ("x=$(a |\n  b)\nc", [(1, 2, "x=$(a |\n  b)"), (3, 3, "c")]),
        ("echo done # if\n# for\n\nb", [(1, 1, "echo done # if"), (4, 4, "b")]),
        ("echo 'if\nfor'", [(1, 2, "echo 'if\nfor'")]),
        ("if a\nb", [(1, 1, "if a"), (2, 2, "b")]),
    ],
    ids=str,
)
def test_what_belongs_together(text: str, expected: list[tuple[int, int, str]]) -> None:
    """Constructs, here-documents, continuations and quotes; what does not end is taken line by line."""
    assert [(piece.first, piece.last, piece.text) for piece in _pieces(text)] == expected


@given(st.text(string.ascii_lowercase + " ;&|'\"\\(){}$#<>\n`", max_size=200))
@settings(max_examples=150, deadline=None)
def test_no_word_is_lost(text: str) -> None:
    """Whatever is written, every line with a command in it is in a piece."""
    lines = {number for piece in _pieces(text) for number in range(piece.first, piece.last + 1)}
    commands = [n for n, line in enumerate(text.splitlines(), 1) if line[:1].isalpha()]

    assert [number for number in commands if number not in lines] == []


@pytest.mark.parametrize(
    ("command", "step"),
    [
        ("condor_submit -spool jobs.sub", Step.SUBMIT),
        ("ID=$(/usr/bin/condor_submit -terse jobs.sub | cut -d. -f1)", Step.SUBMIT),
        ("condor_submit_dag a.dag", Step.DAG),
        ("htcondor dag submit a.dag", Step.DAG),
        ("mkShapesRDF -c 1", Step.COMPILE),
        ("mkShapesRDF --operationMode 0 --doBatch 1", Step.SUBMIT),
        ("mkShapesRDF -o 1", Step.CHECK),
        ("mkShapesRDF -o 1 -r 1", Step.CHECK),
        ("mkShapesRDF -o 2", Step.MERGE),
        ("checkCondor True False", Step.WAIT),
        ("condor_wait -wait 60 log", Step.WAIT),
        ("while condor_q | grep -q R; do sleep 60; done", Step.WAIT),
        ("condor_transfer_data -all", Step.TRANSFER),
        ("condor_rm cmscat", Step.REMOVE),
        ("haddnano.py all.root *.root", Step.MERGE),
        ("htgettoken -a vault.example.org -i cms", Step.TOKEN),
        ("curl -s -d grant_type=client_credentials $IAM/token", Step.TOKEN),
        ("voms-proxy-init --voms cms --pwstdin < password", Step.PROXY),
        ("printf $GRID_PROXY | base64 --decode > x", Step.PROXY),
        ("kinit -kt keytab me@CERN.CH", Step.KERBEROS),
        ("export _condor_SCHEDD_HOST=submit.example.org", Step.CONDOR),
        ("export APPTAINER_IMAGE=/cvmfs/x", Step.IMAGE),
        ("xrdcp a.root root://eos.example.org//a.root", Step.UPLOAD),
        ("sbatch job.sh", Step.ELSEWHERE),
        ("cmsenv", Step.ENVIRONMENT),
        ("echo hello", Step.PRINTS),
        ("echo hello > file", Step.OTHER),
        ("python3 plot.py", Step.OTHER),
        ("./condor_submit.sh", Step.OTHER),
        ("grep condor_submit_log x", Step.OTHER),
        ("for s in a b; do condor_submit $s.sub; done", Step.SUBMIT),
        ("for s in a b; do hadd $s.root $s*.root; done", Step.MERGE),
        ("if ! voms-proxy-info -exists; then echo no; exit 1; fi", Step.PROXY),
    ],
    ids=str,
)
def test_what_a_command_is_for(command: str, step: Step) -> None:
    """Also inside of a construct, if all of it serves one step."""
    assert [found for found, _ in _steps(command)] == [step]


def test_a_construct_that_does_two_things_is_left_to_a_person() -> None:
    """One that submits and waits is taken apart, for the submission is needed."""
    assert _steps("for s in a b; do hadd $s.root; python3 plot.py $s; done") == [(Step.OTHER, MIXED)]
    assert [step for step, _ in _steps("if condor_submit a.sub; then\n  condor_wait log\nfi")] == [
        Step.SUBMIT,
        Step.WAIT,
    ]


def test_what_serves_a_step_goes_with_it() -> None:
    """Variables that only the token needs, a look at the answer, the mode of the proxy's file."""
    found = _steps(
        'SCOPES="openid wlcg"',
        "answer=$(curl -d scope=$SCOPES $IAM/token)",
        '[ -n "$answer" ] || exit 1',
        "printf $proxy | base64 -d > /tmp/x509",
        "chmod 600 /tmp/x509",
        "YEAR=2018",
        "python3 run.py $YEAR $answer",
    )

    assert [step for step, _ in found] == [
        Step.TOKEN, Step.TOKEN, Step.TOKEN, Step.PROXY, Step.PROXY, Step.ENVIRONMENT, Step.OTHER,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("IAM_CLIENT_SECRET: abc123def", "abc123def"),
        ('export MY_PASSWORD="se cret"', "se cret"),
        ("curl -u client:hunter22 https://x", "hunter22"),
        ("-d client_secret=tops3cret&x=1", "tops3cret"),
        ("echo hunter22 | kinit me", "hunter22"),
        ("proxy: " + "TG9yZW0gaXBzdW0gZG9sb3Ig" * 10, "TG9yZW0gaXBzdW0gZG9sb3Ig" * 10),
    ],
)
def test_a_secret_in_a_line_is_found_and_hidden(text: str, value: str) -> None:
    """Whatever form it is written in."""
    found = tuple(secrets.find(text, "f"))

    assert [each.value for each in found] == [value]
    assert value not in secrets.hide(text, found)
    assert value not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "IAM_CLIENT_SECRET: $SECRET",
        "client_secret=${IAM_CLIENT_SECRET}",
        "TOKEN=$(curl x)",
        "X509_USER_PROXY=/tmp/x509up",
        "_condor_SCITOKENS_FILE=token",
        "PASSWORD: ''",
        "jobs_token_file: a.txt",
        "curl -u $ID:$SECRET https://x",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    """Variables, commands and names of files."""
    assert list(secrets.find(text, "f")) == []


@pytest.mark.parametrize(
    "line",
    [
        "if defined x\nexecutable = a\nendif",
        "arguments = $RANDOM_CHOICE(1, 2)",
        "arguments = $(ClusterId)",
        "initialdir = work",
        "transfer_input_files = lib/a.py",
        "request_gpus = 1",
        "universe = grid",
        "getenv = true",
        "noop_job = true",
        "queue 2\nqueue 3",
        "queue name matching *.root",
        "transfer_output_files = /abs/out.root",
        "arguments = {x}",
    ],
    ids=str,
)
def test_a_description_that_says_more_is_recorded_instead(line: str) -> None:
    """Nothing is guessed: the reason is said, and the framework's way takes every description."""
    rest = [] if line.startswith("queue") else ["queue 2"]
    text = "\n".join(["executable = job.sh", "arguments = $(Process)", "transfer_output_files = out.root", line, *rest])

    with pytest.raises(submitfile.NotPlainError):
        submitfile.translate(text, folder=".", read=lambda _: None)


def test_the_ways_of_a_queue_statement() -> None:
    """A number, a list, several variables, a file of the repository."""
    head = "executable = job.sh\narguments = $(x)\ntransfer_output_files = out.root\n"

    def parts(queue: str, **files: str) -> object:
        names = {name.replace("_", "."): text for name, text in files.items()}
        return submitfile.translate(head + queue, folder=".", read=names.get).keys["parts"]

    assert parts("x = 1\nqueue 3") == {"product": {"Process": {"first": "0", "last": "2"}}}
    assert parts("queue x in (a, b)") == {"list": [{"x": "a", "Process": "0"}, {"x": "b", "Process": "1"}]}
    assert parts("queue x, y from list.txt", list_txt="a 1\nb 2\n") == {
        "list": [{"x": "a", "y": "1", "Process": "0"}, {"x": "b", "y": "2", "Process": "1"}]
    }


def test_a_proxy_does_not_travel_with_the_files() -> None:
    """Jobs get the one that septum looks after; a file that is only called alike travels."""
    text = (
        "executable = job.sh\ntransfer_input_files = myproxy, x509up_u1000, tokenizer.py, proxy.py\n"
        "transfer_output_files = out.root\nqueue 1\n"
    )

    assert submitfile.translate(text, folder=".", read=lambda _: None).keys["inputs"] == [
        "job.sh",
        "tokenizer.py",
        "proxy.py",
    ]
