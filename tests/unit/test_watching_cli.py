"""`septum status | logs | retry | cancel --pipeline` as a user meets them: in a pipe, on a terminal, interrupted."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from septum import collect
from septum.cli import main
from septum.cli.pipeline_table import AsLines, showing
from septum.state import write_whole
from septum.watching.place import Place
from tests.fakes import gitlab_pipelines
from tests.fakes.gitlab_pipelines import Job, Pipeline, Pipelines
from tests.fakes.gitlab_server import DEVELOPER, READ_ONLY, REPORTER, Fault, GitlabServer, serving
from tests.unit.test_watching_trace import of_collect

PATH = "my-group/dimuon"
ERROR = "septum: part 0007 (seed=3): the command ended with exit code 7 [E301]\n"
DONE = "dimuon: 4 of 4 parts are in\nthe whole story: result/report.html\n"
AFTER = (
    b"\x1b[0Ksection_start:1:after_script\r\x1b[0KRunning after_script\n%s\n\x1b[0Ksection_end:2:after_script\r\x1b[0K"
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitlabServer]:
    """GitLab with one project, and its checkout, in which one stands."""
    with serving(*gitlab_pipelines.ENDPOINTS) as made:
        made.add_project(PATH)
        for words in (["init", "-q", "-b", "main"], ["remote", "add", "origin", f"{made.url}/{PATH}.git"]):
            subprocess.run(["git", *words], cwd=tmp_path, check=True)
        monkeypatch.chdir(tmp_path)
        for name in ("SEPTUM_RESULT", "CI_SERVER_URL", "CI_JOB_TOKEN", "NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("SEPTUM_GITLAB_TOKEN", READ_ONLY)
        # Somebody has confirmed before that the token is for it.
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
        write_whole(tmp_path / "home/septum/gitlabs", f"{made.url}\n")
        yield made


@pytest.fixture
def pipelines(server: GitlabServer) -> Pipelines:
    """Its pipelines, none so far."""
    return Pipelines.of(next(iter(server.projects.values())))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run septum; returns exit code, standard output and standard error."""

    def call(*words: str, token: str = READ_ONLY, meanwhile: Callable[[], None] | None = None) -> tuple[int, str, str]:
        monkeypatch.setenv("SEPTUM_GITLAB_TOKEN", token)
        monkeypatch.setattr(collect.SystemClock, "sleep", lambda *_: meanwhile() if meanwhile else None)
        capsys.readouterr()
        code = main(list(words))
        out, err = capsys.readouterr()
        assert "glpat" not in out + err
        assert "\x1b" not in out + err
        return code, out, err

    return call


Run = Callable[..., tuple[int, str, str]]


def failed() -> Pipeline:
    """A pipeline in which collect has failed."""
    files = {
        "result/logs/septum-0007.stderr": b"no \x1b[31msuch\x1b[0m dataset\n",
        "result/logs/septum-0007.stdout": b"hello\n",
    }
    trace = of_collect("4 idle", "3 verified, 1 failed", rest=ERROR)
    jobs = [Job(id=1, name="septum-prepare"), Job(id=2, name="septum-submit")]
    return Pipeline(id=900, jobs=[*jobs, Job(id=3, name="septum-collect", status="failed", trace=trace, files=files)])


# ── status ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("server")
def test_a_failed_pipeline_ends_with_its_ci_job_and_its_error(pipelines: Pipelines, run: Run) -> None:
    """In one look: exit code 26, the code of septum's own error, and what to read next."""
    pipelines.add(failed())
    code, out, err = run("status", "--once")

    assert code == 26
    assert re.search(r"septum-collect +failed +2 min 35 s +\[E301\] part 0007", out)
    assert "failed in the CI job septum-collect [E232]" in err
    assert "septum logs --part 0007" in err


def test_a_pipeline_is_told_line_by_line_in_a_pipe(pipelines: Pipelines, server: GitlabServer, run: Run) -> None:
    """One line for each change, the result with its link at the end, and nothing twice."""
    collecting = Job(id=3, name="septum-collect", status="running", trace=of_collect("4 idle"), files={})
    pipelines.add(Pipeline(id=900, jobs=[Job(id=2, name="septum-submit"), collecting]))
    steps = iter([b"", of_collect("4 running"), b"", of_collect("4 verified", rest=DONE)])

    def step() -> None:
        collecting.trace += next(steps)
        if b"whole story" in collecting.trace:
            collecting.status = "success"

    code, out, _ = run("status", meanwhile=step)

    assert code == 0
    assert out.splitlines() == [
        f"pipeline 900 of main in {PATH}: running",
        "  septum-submit: success after 2 min 35 s",
        "  septum-collect: running: 4 idle",
        "  septum-collect: running: 4 running",
        f"pipeline 900 of main in {PATH}: passed",
        "  septum-collect: success after 2 min 35 s: 4 verified",
        "dimuon: 4 of 4 parts are in",
        f"the report: {server.url}/{PATH}/-/jobs/3/artifacts/file/result/report.html",
    ]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("status", "code"),
    [("success", 0), ("failed", 26), ("canceled", 27), ("skipped", 27), ("running", 75), ("manual", 75)],
)
def test_the_exit_code_says_how_it_stands(pipelines: Pipelines, run: Run, status: str, code: int) -> None:
    """With one look, and as a document, which has no other word on standard output."""
    pipelines.add(Pipeline(id=900, jobs=[Job(id=3, name="septum-collect", status=status)]))
    assert run("status", "--once")[0] == code
    found, out, _ = run("status", "--json")
    told = json.loads(out)

    assert (found, told["status"], told["ended"]) == (code, status, code != 75)
    assert ("error" in told) == (code in {26, 27})
    assert (
        told["analyses"][0]["job"] == "septum-collect" if status not in {"manual", "skipped"} else not told["analyses"]
    )


def test_the_pipeline_is_that_of_what_is_checked_out(
    pipelines: Pipelines, server: GitlabServer, run: Run, tmp_path: Path
) -> None:
    """The newest of branch and commit; of another branch, number or page if one is named."""
    words = ["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "--allow-empty", "-m", "x"]
    subprocess.run(["git", *words], cwd=tmp_path, check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True)
    merge_request = Pipeline(id=902, ref="refs/merge-requests/5/head", sha=done.stdout.strip(), status="success")
    for pipeline in (
        Pipeline(id=900, status="success"),
        merge_request,
        Pipeline(id=903, ref="other", status="success"),
    ):
        pipelines.add(pipeline)

    for words, number in (
        ([], 902),
        (["--ref", "main"], 900),
        (["--pipeline", "903"], 903),
        (["--project", PATH], 903),
        (["--project", f"{server.url}/{PATH}/-/pipelines/900"], 900),
    ):
        assert json.loads(run("status", "--json", *words)[1])["pipeline"] == number


def test_what_cannot_be_asked_is_said_before_anybody_is_asked(
    server: GitlabServer, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not a number, a time that is none or too short, no repository, no token, a GitLab without https."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for words in (
        ["--pipeline", "x"],
        ["--every", "soon"],
        ["--every", "1 s"],
        ["--project", "http://gitlab.cern.ch/a/b"],
    ):
        assert run("status", *words)[0] == 2
    assert run("status", token="")[0] == 10
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("status")[0] == 2
    assert server.requests == []


@pytest.mark.usefixtures("server")
def test_an_outage_is_a_warning_and_a_refusal_an_end(
    pipelines: Pipelines, server: GitlabServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline goes on while GitLab is away, and is shown when it is back."""
    monkeypatch.setattr("septum.watching.door._RETRIES", 1)
    pipelines.add(Pipeline(id=900, jobs=[Job(id=3, name="septum-collect")]))
    server.fail("GET /projects/:id/pipelines/:pipeline_id/jobs", Fault(status=503), times=4)
    code, out, err = run("status")

    assert (code, out.count("passed")) == (0, 1)
    assert err.count("warning: gitlab:") == 1
    server.fail("*", Fault(status=401))
    assert run("status")[0] == 13


def test_without_rich_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is for the table alone."""
    monkeypatch.setitem(sys.modules, "rich.live", None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with showing(Place(url="https://gitlab.example.org", project=PATH), "10 s") as shown:
        assert isinstance(shown, AsLines)


# ── on a terminal ───────────────────────────────────────────────────────────────────────────────────────────────


class Terminal:
    """septum on a pseudo-terminal."""

    def __init__(self, *words: str, **environ: str) -> None:
        self.screen = b""
        self._here, there = pty.openpty()
        before = {name: value for name, value in os.environ.items() if name != "SEPTUM_GITLAB_TOKEN"}
        environ = {**before, "TERM": "xterm", "COLUMNS": "100", "LINES": "40", **environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "septum", *words],
            stdin=there,
            stdout=there,
            stderr=there,
            env=environ,
            start_new_session=True,
        )
        os.close(there)

    def wait_for(self, text: str, *, seconds: float = 30.0) -> None:
        """Read until something stands on the screen."""
        until = time.monotonic() + seconds
        while text.encode() not in self.screen:
            assert time.monotonic() < until, self.screen.decode("utf-8", "replace")
            self._read()

    def write(self, text: str) -> None:
        """Type."""
        os.write(self._here, text.encode())

    def end(self) -> tuple[int, str]:
        """Wait for the end; the exit code, and what was on the screen."""
        while self._read():
            pass
        os.close(self._here)
        return self.process.wait(30), self.screen.decode("utf-8", "replace")

    def _read(self) -> bool:
        if not select.select([self._here], [], [], 0.5)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self._here, 1 << 16)
        except OSError:  # everybody on the other side has gone
            return False
        self.screen += data
        return bool(data)


@pytest.mark.usefixtures("server")
def test_a_terminal_shows_a_table_that_renews_itself(pipelines: Pipelines) -> None:
    """Drawn over the last one; the token is asked for without an echo; hostile names stay text."""
    evil = "[red]bold[/red] \x1b[2J\x1b]0;x\x07"
    collecting = Job(id=3, name="septum-collect", status="running", trace=of_collect("4 idle"))
    pipelines.add(Pipeline(id=900, jobs=[Job(id=1, name=evil), collecting]))
    terminal = Terminal("status", "--every", "2 s")
    terminal.wait_for("token for http://127.0.0.1")
    terminal.write(f"{REPORTER}\n")
    terminal.wait_for("4 idle")
    collecting.trace += of_collect("4 verified", rest=ERROR)
    collecting.status = "failed"
    code, screen = terminal.end()

    assert code == 26
    assert "2 requests each time" in screen
    assert re.search(r"\x1b\[1A", screen), "nothing was drawn over"
    assert re.search(r"septum-collect.*running.*septum-collect.*failed.*\[E301\]", screen, re.DOTALL)
    assert "[red]bold[/red] \\x1b[2J" in screen
    assert "\x1b]0;" not in screen
    assert "\x1b[2J" not in screen
    assert REPORTER not in screen


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["no-color", "dumb"])
def test_a_terminal_can_do_without_colours(pipelines: Pipelines, environ: dict[str, str]) -> None:
    """NO_COLOR takes the colours, a dumb terminal everything but lines."""
    pipelines.add(failed())
    code, screen = Terminal("status", SEPTUM_GITLAB_TOKEN=READ_ONLY, **environ).end()

    assert (code, "E301" in screen) == (26, True)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", screen)
    assert ("TERM" not in environ) or "\x1b" not in screen


@pytest.mark.usefixtures("server")
def test_ctrl_c_says_that_the_pipeline_goes_on(pipelines: Pipelines) -> None:
    """And how to look again, or to end it; nothing was changed."""
    pipelines.add(
        Pipeline(id=900, jobs=[Job(id=3, name="septum-collect", status="running", trace=of_collect("4 idle"))])
    )
    terminal = Terminal("status", SEPTUM_GITLAB_TOKEN=READ_ONLY)
    terminal.wait_for("4 idle")
    terminal.process.send_signal(signal.SIGINT)
    code, screen = terminal.end()

    assert code == 130
    assert "the pipeline goes on" in screen
    assert "septum cancel --project http://127.0.0.1" in screen
    assert "Traceback" not in screen
    assert pipelines.job(3).status == "running"


def test_a_token_does_not_go_where_nobody_has_sent_it(
    pipelines: Pipelines, server: GitlabServer, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a clone from anywhere, the remote gets no token that was meant for another GitLab."""
    pipelines.add(failed())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    code, _, err = run("status", "--once")
    asked = list(server.requests)
    named, _, _ = run("status", "--once", "--url", server.url)

    assert (code, asked, named) == (2, [], 26)
    assert f"--url {server.url}" in err


def test_a_gitlab_below_a_path(pipelines: Pipelines, server: GitlabServer, run: Run) -> None:
    """With its address, all verbs find it; and what is printed to go on with names it again."""
    pipelines.add(failed())
    server.root = "/gitlab"
    subprocess.run(["git", "remote", "set-url", "origin", f"{server.url}/{PATH}.git"], check=True)
    code, _, err = run("status", "--once", "--url", server.url)
    *_, fix = [line for line in err.splitlines() if "septum logs --part" in line]
    part = run(*fix.split()[1:])

    assert code == 26
    assert f"--url {server.url} --project {PATH} --pipeline 900" in fix
    assert part[0] == 0, part
    assert "no \\x1b[31msuch" in part[1] or "no such dataset" in part[1]


def test_pipelines_that_a_pipeline_has_started(pipelines: Pipelines, run: Run) -> None:
    """Where septum's CI jobs are in a child pipeline, its address is shown, and does as --project."""
    child = pipelines.add(failed())
    pipelines.add(Pipeline(id=901, jobs=[Job(id=20, name="build")], started={"analysis": child}))
    code, out, _ = run("status", "--once", "--pipeline", "901")
    found = re.search(r"analysis +failed +started pipeline 900: (\S+)", out)
    document = json.loads(run("status", "--json", "--pipeline", "901")[1])

    assert code == 0  # what it has started does not count for it, unless it says `strategy: depend`
    assert found is not None, out
    assert run("status", "--once", "--project", found[1])[0] == 26
    assert document["children"][0]["pipeline"] == 900


# ── logs ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("server")
def test_the_log_is_that_of_what_failed(pipelines: Pipelines, run: Run) -> None:
    """Without markers and colours; the end alone, or another CI job, if one is named."""
    pipelines.add(failed()).jobs[0].trace = b"prepared\n"
    code, out, _ = run("logs")

    assert code == 0
    assert out.splitlines()[2:5] == ["$ septum credentials run -- septum collect", "collect from infn-af", "4 idle"]
    assert run("logs", "--tail", "1")[1] == ERROR
    assert run("logs", "septum-prepare")[1] == run("logs", "1")[1] == "prepared\n"
    assert json.loads(run("logs", "1", "--json")[1])["lines"] == ["prepared"]
    assert run("logs", "septum-colect")[0] == 2
    assert run("logs", "--tail", "many")[0] == 2


@pytest.mark.usefixtures("server")
def test_a_log_is_followed_to_its_end(pipelines: Pipelines, run: Run) -> None:
    """From before its first line on, each line once."""
    collecting = pipelines.add(Pipeline(id=900, jobs=[Job(id=3, name="septum-collect", status="pending")])).jobs[0]
    steps = iter([("running", b"one\ntw"), ("running", b"o\n"), ("running", b""), ("success", b"three")])

    def step() -> None:
        collecting.status, more = next(steps)
        collecting.trace += more

    assert run("logs", "septum-collect", "--follow", meanwhile=step)[1] == "one\ntwo\nthree\n"
    collecting.status, collecting.trace, steps = "running", b"one\ntwo\n", iter([("success", b"three\nfour\n")])
    assert run("logs", "--follow", "--tail", "1", meanwhile=step)[1] == "two\nthree\nfour\n"


@pytest.mark.usefixtures("server")
def test_a_ci_job_without_a_log_says_so(pipelines: Pipelines, run: Run) -> None:
    """Silence would look like a mistake."""
    pipelines.add(Pipeline(id=900, jobs=[Job(id=3, name="septum-collect", status="pending")]))
    code, out, err = run("logs", "septum-collect")
    assert (code, out) == (0, "")
    assert "it has not begun" in err


def test_the_log_of_a_part_comes_alone(pipelines: Pipelines, server: GitlabServer, run: Run) -> None:
    """Two files of the artifact, and not the whole of it; other parts have none."""
    pipelines.add(failed())
    code, out, _ = run("logs", "--part", "7")

    assert code == 0
    assert out.splitlines() == [
        "── result/logs/septum-0007.stdout of septum-collect",
        "hello",
        "── result/logs/septum-0007.stderr of septum-collect",
        "no such dataset",
    ]
    assert json.loads(run("logs", "--part", "0007", "--json")[1])["files"]["result/logs/septum-0007.stdout"] == [
        "hello"
    ]
    assert not [one for one in server.requests if one.target.endswith("/artifacts")]
    assert run("logs", "--part", "8")[0] == 2
    assert "the role Developer" in run("logs", "--part", "7", token=REPORTER)[2]
    for words in (["--part", "../../x"], ["--part", "7", "--result", "../.."], ["--part", "7", "--result", "/etc"]):
        assert run("logs", *words)[0] == 2


@pytest.mark.usefixtures("server")
def test_a_reader_that_has_gone_ends_it(pipelines: Pipelines) -> None:
    """`septum logs | head -1` does not read on, and does not complain."""
    pipelines.add(Pipeline(id=900, jobs=[Job(id=3, name="septum-collect", trace=b"line\n" * 400_000)]))
    environ = {**os.environ, "SEPTUM_GITLAB_TOKEN": READ_ONLY}
    command = f"{sys.executable} -m septum logs | head -1"
    done = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("line\n", "")


# ── retry ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_failed_is_started_again(pipelines: Pipelines, server: GitlabServer, run: Run) -> None:
    """After it was shown what that does; the pipeline as a whole in one question."""
    pipelines.add(failed())
    code, out, _ = run("retry", "--yes", token=DEVELOPER)

    assert code == 0
    assert "goes on where the last one stood" in out
    assert server.writes() == ["POST /projects/:id/pipelines/:pipeline_id/retry"]
    assert pipelines.found[0].jobs[-1].status == "pending"


def test_a_run_without_jobs_is_submitted_again(pipelines: Pipelines, server: GitlabServer, run: Run) -> None:
    """Where collect was cancelled, its submit starts first, and then it does."""
    pipelines.add(
        Pipeline(id=900, jobs=[Job(id=2, name="septum-submit"), Job(id=3, name="septum-collect", status="canceled")])
    )
    code, out, _ = run("retry", "--yes", token=DEVELOPER)

    assert code == 0
    assert "nothing is submitted twice" in out
    assert [one.target.rpartition("jobs/")[2] for one in server.requests if one.changes] == ["2/retry", "3/retry"]


def test_nothing_is_retried_that_has_not_failed(pipelines: Pipelines, server: GitlabServer, run: Run) -> None:
    """Nor what still runs, is not there, or may not be; and nothing without a yes."""
    pipelines.add(
        Pipeline(id=900, jobs=[Job(id=2, name="septum-submit"), Job(id=3, name="septum-collect", status="running")])
    )
    assert run("retry", "--yes", token=DEVELOPER)[0] == 2
    assert run("retry", "septum-collect", "--yes", token=DEVELOPER)[0] == 2
    assert run("retry", "nothing", "--yes", token=DEVELOPER)[0] == 2
    assert run("retry", "septum-submit", token=DEVELOPER)[0] == 2
    assert server.writes() == []
    assert run("retry", "septum-submit", "--yes", token=READ_ONLY)[0] == 13
    assert run("retry", "septum-submit", "--yes", token=DEVELOPER)[0] == 0


@pytest.mark.parametrize(
    ("typed", "code", "changes"), [("y", 0, 1), ("n", 0, 0), ("\x04", 0, 0)], ids=["yes", "no", "end"]
)
def test_a_person_is_asked_before(
    pipelines: Pipelines, server: GitlabServer, typed: str, code: int, changes: int
) -> None:
    """Anything but a yes changes nothing."""
    pipelines.add(failed())
    terminal = Terminal("retry", SEPTUM_GITLAB_TOKEN=DEVELOPER)
    terminal.wait_for("[y/N]")
    terminal.write(f"{typed}\n" if typed.isalpha() else typed)

    assert terminal.end()[0] == 0
    assert len(server.writes()) == changes


# ── cancel ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("last", "code", "words"),
    [
        (b"3 jobs removed", 0, "3 jobs were removed from the cluster"),
        (b"septum: cluster: no answer from submit.example.org [E200]", 25, "septum sweep --cluster"),
        (b"", 0, "does not say that it has removed its jobs"),
    ],
    ids=["removed", "failed", "silent"],
)
def test_a_cancelled_pipeline_is_waited_for(pipelines: Pipelines, run: Run, last: bytes, code: int, words: str) -> None:
    """Until its CI jobs have ended; then it is said what they did with their jobs, and what removes the rest."""
    trace = of_collect("3 running, 1 verified")
    pipelines.add(
        Pipeline(
            id=900,
            jobs=[Job(id=2, name="septum-submit"), Job(id=3, name="septum-collect", status="running", trace=trace)],
        )
    )
    found, out, err = run(
        "cancel",
        "--pipeline",
        "900",
        "--yes",
        token=DEVELOPER,
        meanwhile=lambda: pipelines.end_cancelling((3, AFTER % last)),
    )

    assert found == code
    assert "septum-collect: stops, and removes its jobs from the cluster (3 running, 1 verified)" in out
    assert words in out + err
    assert pipelines.found[0].state == "canceled"


def test_ctrl_c_does_not_take_a_cancelling_back(pipelines: Pipelines, server: GitlabServer) -> None:
    """What was asked for is done; only the waiting ends."""
    pipelines.add(Pipeline(id=900, jobs=[Job(id=3, name="septum-collect", status="running")]))
    terminal = Terminal("cancel", "--pipeline", "900", "--yes", SEPTUM_GITLAB_TOKEN=DEVELOPER)
    terminal.wait_for("septum-collect: canceling")
    terminal.process.send_signal(signal.SIGINT)
    code, screen = terminal.end()

    assert (code, len(server.writes())) == (130, 1)
    assert "it is cancelled all the same" in screen


def test_between_two_hops_nobody_removes_jobs(pipelines: Pipelines, run: Run) -> None:
    """It is said before, and after."""
    jobs = [
        Job(id=2, name="septum-submit"),
        Job(id=3, name="septum-hop-1"),
        Job(id=4, name="septum-collect", status="scheduled"),
    ]
    pipelines.add(Pipeline(id=900, jobs=jobs))
    code, out, _ = run("cancel", "--pipeline", "latest", "--yes", token=DEVELOPER)

    assert code == 0
    assert out.count("septum sweep --cluster") == 2
    assert "stay until their lease ends" in out


def test_nothing_is_cancelled_without_a_yes_or_after_the_end(
    pipelines: Pipelines, server: GitlabServer, run: Run
) -> None:
    """Nor with a token that may only read."""
    pipelines.add(Pipeline(id=900, jobs=[Job(id=3, name="septum-collect", status="running")]))
    assert run("cancel", "--pipeline", "900", token=DEVELOPER)[0] == 2
    assert server.writes() == []
    assert run("cancel", "--pipeline", "900", "--yes", token=READ_ONLY)[0] == 13
    pipelines.job(3).status = "success"
    assert run("cancel", "--pipeline", "900", "--yes", token=DEVELOPER)[0] == 0
    assert [one.status for one in server.requests if one.changes] == [403]
