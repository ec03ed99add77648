"""What is read out of the trace of a CI job: lines without markers, and septum's own words alone."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from septum.cli import main
from septum.signals import _cancel
from septum.states import PartState
from septum.watching.told import COLLECT, NONE_LEFT, Told, after, counts
from septum.watching.trace import LONGEST_B, Line, Lines
from tests.committed import ROOT

IN = (COLLECT,)


def read(data: bytes, *, step: int = 1 << 20) -> list[Line]:
    """All lines of a trace that comes in pieces."""
    lines = Lines()
    found = [line for at in range(0, len(data), step) for line in lines.feed(data[at : at + step])]
    return [*found, *lines.close()]


def told_by(data: bytes, *, step: int = 1 << 20) -> Told:
    """What a trace told at its end."""
    told = Told()
    for line in read(data, step=step):
        told = after(told, line)
    return told


def of_collect(*lines: str, rest: str = "") -> bytes:
    """A trace as GitLab has it: the runner's own sections around the one of septum."""
    inner = "".join(f"{line}\n" for line in lines)
    return (
        "Running with gitlab-runner 17.5.0\n"
        "\x1b[0Ksection_start:1795450989:step_script\r\x1b[0K\x1b[36;1mExecuting\x1b[0;m\n"
        "\x1b[32;1m$ septum credentials run -- septum collect\x1b[0;m\n"
        f"\x1b[0Ksection_start:1795450990:{COLLECT}\r\x1b[0Kcollect from infn-af\n{inner}"
        f"\x1b[0Ksection_end:1795450992:{COLLECT}\r\x1b[0K\n{rest}"
        "\x1b[0Ksection_end:1795450999:step_script\r\x1b[0K"
    ).encode()


# ── a real trace ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """An analysis of four parts, as in a CI job; one of them fails."""
    (tmp_path / "septum.yaml").write_text(
        'command: [sh, -c, "test {seed} != 3 || { echo 9 running; exit 7; }; echo x > out.txt"]\n'
        "parts:\n  product: {seed: {first: 1, last: 4}}\noutputs: [out.txt]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("CI_JOB_NAME", "septum-run")
    capfd.readouterr()
    assert main(["run", "--set", "poll-floor=1 s"]) == 30
    out, err = capfd.readouterr()
    return out + err


def test_a_real_run_is_told_by_its_trace(real: str) -> None:
    """Parts, error and no marker: what `septum run` prints in a CI job is what is read here."""
    told = told_by(real.encode(), step=7)

    assert (dict(told.parts), told.total, told.code) == ({"verified": 3, "failed": 1}, 4, "E301")
    assert told.words == "part 0002 (seed=3): the command ended with exit code 7"
    assert "section_" not in "".join(line.text for line in read(real.encode()))


# ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", [1, 2, 13, 1 << 20])
def test_pieces_make_no_difference(step: int) -> None:
    """Cut anywhere, a trace has the same lines."""
    trace = of_collect("4 idle", "2 running, 2 verified", rest="dimuon: 4 of 4 parts are in\n")
    assert [line.text for line in read(trace, step=step)] == [
        "Running with gitlab-runner 17.5.0",
        "Executing",
        "$ septum credentials run -- septum collect",
        "collect from infn-af",
        "4 idle",
        "2 running, 2 verified",
        "dimuon: 4 of 4 parts are in",
    ]


@pytest.mark.parametrize("step", [1, 40, 1 << 20])
def test_timestamps_of_the_runner_go(step: int) -> None:
    """With FF_TIMESTAMPS every line has a header, and one that is written in two goes comes in two."""
    stamp = b"2026-11-23T16:22:38.123456Z 00O"
    trace = b"".join(
        stamp + flag + text + b"\n"
        for flag, text in [
            (b" ", b"\x1b[0Ksection_start:1:" + COLLECT.encode() + b"\r\x1b[0Kcollect from infn-af"),
            (b" ", b"3 running,"),
            (b"+", b" 1 verified"),
            (b" ", b"said: 2026-11-23T16:22:38.123456Z 00O x"),
        ]
    )

    assert [line.text for line in read(trace, step=step)][1:] == [
        "3 running, 1 verified",
        "said: 2026-11-23T16:22:38.123456Z 00O x",
    ]
    assert told_by(trace, step=step).parts == {"running": 3, "verified": 1}


def test_nothing_in_a_line_reaches_the_terminal() -> None:
    """Titles, cursors, links, reversed text and other bytes are taken out or written out; colours stay if wanted."""
    evil = "\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[1A\x1b]8;;http://x\x1b\\link\x9b2J\u202eabc\x08\x00\xff\x1b[0m"
    line = read(evil.encode("utf-8", "surrogateescape") + b"\xff\xfe\n")[0]

    assert line.text == "redlink\\x9b2J\\u202eabc\\x08\\x00ÿ\ufffd\ufffd"
    assert line.coloured.replace("\x1b[31m", "").replace("\x1b[0m", "") == line.text
    assert line.coloured.endswith("\x1b[0m")


def test_what_is_written_over_is_not_shown() -> None:
    """Of a progress bar the last state stays, as in GitLab."""
    assert [line.text for line in read(b" 10 %\r 50 %\r100 %\r\nnext\r\n")] == ["100 %", "next"]


def test_a_line_without_end_costs_no_memory() -> None:
    """100 MB without a line break pass through, and no piece of them is taken for a line of septum's."""
    lines, told, pieces = Lines(), Told(), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = b"\x1b[0Ksection_start:1:" + COLLECT.encode() + b"\r\x1b[0K" + b"x" * (LONGEST_B - 50)
    for data in (start, *[b"4 verified" * 100_000] * 100, b"\n"):
        for line in lines.feed(data):
            told, pieces = after(told, line), pieces + 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert pieces > 1500
    assert grown * (1 if sys.platform == "darwin" else 1024) < 50 << 20
    assert told == Told()


def test_sections_without_end_cost_no_memory() -> None:
    """A million markers that open a section leave a few names behind."""
    lines = Lines()
    last = [line for _ in range(100) for line in lines.feed(b"section_start:1:a\r" * 1000 + b"x\n")][-1]
    assert len(last.sections) <= 21


# ── what is believed ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_last_status_line_counts() -> None:
    """The parts are where the last line says."""
    told = told_by(of_collect("4 idle", "3 idle, 1 held", "warning: 9 running", "1 running, 3 verified"))
    assert told.says == "1 running, 3 verified"


@pytest.mark.parametrize(
    "line",
    [
        "4 verified of mine",
        " 4 verified",
        "4  verified",
        "4 verified,3 failed",
        "3 failed, 4 verified",
        "4 verified, 4 verified",
        "04 verified",
        "-4 verified",
        "4 finished",
        "\u0664 verified",
        "9999999999 verified",
        "4 verified, " * 50,
        "",
    ],
)
def test_only_septums_own_form_is_a_status_line(line: str) -> None:
    """Blanks, other orders, other words and other digits are somebody else's line."""
    assert counts(line) == {}


def test_every_state_in_its_order_is_a_status_line() -> None:
    """What collect can say is understood whole."""
    line = ", ".join(f"{number} {state.value}" for number, state in enumerate(PartState, 1))
    assert list(counts(line)) == [state.value for state in PartState]


@pytest.mark.parametrize(
    "trace",
    [
        b"4 verified\n",
        b"\x1b[0Ksection_start:1:step_script\r\x1b[0K4 verified\n",
        of_collect("    4 verified", "part 0001 gets job number 2: 4 verified"),
        of_collect(rest="4 verified\n"),
        of_collect("x" * LONGEST_B + "4 verified"),
        b"\x1b[0Ksection_start:1:septum_collects\r\x1b[0K\n4 verified\n",
    ],
)
def test_a_status_line_elsewhere_is_not_believed(trace: bytes) -> None:
    """Outside of septum's section, indented as evidence is, or at the end of a longer line it is somebody else's."""
    assert told_by(trace).parts == {}


def test_the_end_of_a_run_is_told() -> None:
    """Where the result is, and what it holds."""
    told = told_by(
        of_collect("4 verified", rest="dimuon: 4 of 4 parts are in\nthe whole story: out/2023/report.html\n")
    )
    assert (told.summary, told.result) == ("dimuon: 4 of 4 parts are in", "out/2023")


@pytest.mark.parametrize("path", ["/etc", "../../other", "a/../../b"])
def test_a_folder_outside_of_the_artifact_is_none(path: str) -> None:
    """What a trace calls the result folder leads nowhere else."""
    assert told_by(of_collect(rest=f"the whole story: {path}/report.html\n")).result == ""


def test_an_error_is_gone_when_the_ci_job_is_at_it_again() -> None:
    """What stands before the parts move again is no end."""
    told = told_by(of_collect("4 idle", rest="septum: one [E200]\n") + of_collect("1 running, 3 verified"))
    assert (told.code, told.parts) == ("", {"running": 1, "verified": 3})


def test_the_clean_up_of_a_cancelled_ci_job_is_told() -> None:
    """By the signal, by the last lines that GitLab runs, or that neither could."""
    signal = of_collect(rest="septum: cancelled by SIGTERM; 12 jobs were removed [E230]\n")
    last = "\x1b[0Ksection_start:1:after_script\r\x1b[0KRunning after_script\n{}\n"
    removed = told_by(signal + last.format("0 jobs removed").encode())
    failed = told_by(last.format("septum: cluster: no answer from submit.example.org [E200]").encode())

    assert (removed.removed, removed.code, removed.left) == (12, "E230", "")
    assert (failed.removed, failed.left) == (None, "cluster: no answer from submit.example.org [E200]")
    assert told_by(of_collect("3 jobs removed")).removed is None


def test_the_words_are_those_that_septum_says() -> None:
    """What collect, cancel and the signal handler print is what is looked for here."""

    class Emptied:
        """A cluster from which all jobs went."""

        def remove(self, *_: object) -> int:
            """How many they were."""
            return 12

    error = _cancel(Emptied(), "SIGTERM", lambda _: None)  # type: ignore[arg-type]
    assert told_by(of_collect(rest=f"septum: {error}\n")).removed == 12
    for module, words in (
        ("stages/collect.py", NONE_LEFT),
        ("cli/analysis.py", "} jobs removed"),
        ("cli/analysis.py", " parts are in"),
    ):
        assert words in (ROOT / "src/septum" / module).read_text(encoding="utf-8")
    assert told_by(of_collect(f"{NONE_LEFT}retry the CI job 'submit', and then this one")).none_left
