"""What stands in for condor_submit answers as HTCondor does, records what jobs need, and leaves out what is secret."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from proxy_files import proxy as make_proxy  # type: ignore[import-not-found]

from septum.capture.lay import ASKED, REFUSED, lay
from septum.capture.recording import Submission, read
from septum.errors import CaptureError
from tests.capture_cases import CASES, Case, lay_files

SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]
TOOLS = ("cp", "mkdir", "mv", "rm", "cat", "ls", "chmod", "sed", "tr", "base64", "mktemp", "echo", "false")
SLOW = 60


class Bench:
    """A recorder, a folder to submit from, and a PATH with one shell and a dozen tools: neither Python nor awk."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.tools = folder / "tools"
        self.tools.mkdir()
        for name in ("sh", *TOOLS):
            own = shell if name == "sh" else name
            where = shutil.which("busybox") if shell == "busybox" else shutil.which(own)
            assert where is not None, own
            (self.tools / name).symlink_to(where)
        self.state = folder / "state"
        self.recording = self.state / "recording"
        self.folder = folder / "analysis"
        self.folder.mkdir()
        lay(self.state / "recorder")

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Nothing of the tests' own."""
        return {"PATH": str(self.tools), "SEPTUM_RECORDING": str(self.recording), **more}

    def run(self, *words: str, text: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the recorder."""
        program = self.state / "recorder" / "bin" / words[0]
        return subprocess.run(
            [str(self.tools / "sh"), str(program), *words[1:]],
            cwd=self.folder,
            env=self.environment(more),
            input=text,
            capture_output=True,
            text=True,
            timeout=SLOW,
            check=False,
        )

    def submit(self, description: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Submit a description."""
        (self.folder / "job.sub").write_text(description, encoding="utf-8")
        return self.run("condor_submit", *words, "-file", "job.sub", **more)

    def script(self, text: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run lines in the shell, as a CI job does."""
        return subprocess.run(
            [str(self.tools / "sh"), "-c", text],
            cwd=self.folder,
            env=self.environment({"RECORDER": str(self.state / "recorder"), **more}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SLOW,
            check=False,
        )

    def one(self) -> Submission:
        """The only call of the recording."""
        (submission,) = read(self.recording)
        return submission

    def refused(self) -> str:
        """What the recording says was refused."""
        path = self.recording / "refused"
        return path.read_text() if path.exists() else ""


@pytest.fixture(params=SHELLS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """One for each shell of this machine."""
    return Bench(tmp_path, request.param)


def _jobs(stdout: str) -> int:
    match = re.search(r"^(\d+) job\(s\) submitted to cluster \d+\.$", stdout, re.MULTILINE)
    return int(match[1]) if match else 0


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _judge(bench: Bench, case: Case) -> list[str]:
    """What is wrong with the answer to a description; the folder is new for each."""
    shutil.rmtree(bench.recording, ignore_errors=True)
    (bench.folder / "job.sub").write_bytes(case.description.encode())
    done = bench.run("condor_submit", *case.words, "-file", "job.sub")
    if isinstance(case.answer, str):
        good = done.returncode == 1 and case.answer in done.stderr and "\nERROR: " in f"\n{done.stderr}"
        good = good and bool(bench.refused()) and not list(bench.recording.glob("0*"))
    else:
        good = done.returncode == 0 and _jobs(done.stdout) == case.answer
        good = good and done.stdout.startswith("Submitting job(s)" + "." * case.answer + "\n")
        good = good and sum(jobs for jobs, _ in bench.one().answers) == case.answer
    return [] if good else [f"{case.name}: {done.returncode} {done.stdout!r} {done.stderr!r}"]


def test_answers(bench: Bench) -> None:
    """Scores of queue statements: the number of jobs, or the words of the error, which stays in the recording."""
    lay_files(bench.folder)

    assert len({case.name for case in CASES}) == len(CASES) > 100
    assert [line for case in CASES for line in _judge(bench, case)] == []


def test_words_of_a_plain_answer(bench: Bench) -> None:
    """To the last byte, by file, by standard input and tersely; a number of its own for each call."""
    text = "executable = /bin/true\nqueue 3\n"
    plain, terse = bench.submit(text), bench.submit(text, "-terse")
    piped, dashed = bench.run("condor_submit", text=text), bench.run("condor_submit", "-", text=text)

    assert plain.stdout == "Submitting job(s)...\n3 job(s) submitted to cluster 1.\n"
    assert terse.stdout == "2.0 - 2.2\n"
    assert piped.stdout == "Submitting job(s)...\n3 job(s) submitted to cluster 3.\n"
    assert re.findall(r"^\*\* Proc (.*):$", dashed.stdout, re.MULTILINE) == ["4.0", "4.1", "4.2"]
    assert [submission.text for submission in read(bench.recording)] == [text] * 4
    assert [submission.answers for submission in read(bench.recording)] == [((3, number),) for number in (1, 2, 3, 4)]


def test_411_folders(bench: Bench) -> None:
    """As mkShapesRDF submits: one item a folder, each with a script of its own, and common files once."""
    for number in range(411):
        (bench.folder / f"DY_{number}").mkdir()
        (bench.folder / f"DY_{number}" / "script.py").write_text(f"{number}\n")
    for name in ("headers.hh", "runner.py", "run.sh"):
        (bench.folder / name).write_text(f"{name}\n")
    description = (
        "universe = vanilla\nexecutable = run.sh\narguments = $(Folder)\nshould_transfer_files = YES\n"
        "transfer_input_files = $(Folder)/script.py, headers.hh, runner.py\noutput = $(Folder)/out.txt\n"
        f'+JobFlavour = "workday"\nqueue 1 Folder in {", ".join(f"DY_{number}" for number in range(411))}\n'
    )

    assert "\n411 job(s) submitted to cluster 1.\n" in bench.submit(description, "-spool").stdout
    submission = bench.one()
    assert len(submission.files) == 414
    assert (submission.files["DY_410/script.py"]).read_text() == "410\n"
    assert submission.words == ("-spool", "-file", "job.sub")
    assert str(submission.folder) == str(bench.folder)


def test_20000_items_in_seconds(bench: Bench) -> None:
    """The shell counts by itself."""
    (bench.folder / "items").write_text("".join(f"item{number} x\n" for number in range(20_000)))
    started = time.monotonic()
    done = bench.submit("executable = /bin/true\narguments = $(a)\nqueue a, b from items\n")

    assert _jobs(done.stdout) == 20_000
    assert time.monotonic() - started < SLOW / 2
    items = bench.one().items
    assert items is not None
    assert (len(items), items[-1]) == (20_000, "item19999 x")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-frobnicate", "job.sub"), "Usage: condor_submit [options]"),
        (("-name",), "condor_submit: -name requires another argument"),
        (("-maxjobs", "x", "job.sub"), "Error: Unable to convert argument (x) to a number for -maxjobs."),
        (("-maxjobs", "1", "job.sub"), "ERROR: Number of submitted jobs would exceed -maxjobs (1)"),
        (("=3", "job.sub"), "condor_submit: invalid attribute name '' for attrib=value assigment"),
        (("nope.sub",), "ERROR: Failed to open command file (nope.sub) (No such file or directory)"),
        (("-interactive", "job.sub"), "cannot be recorded"),
        (("-dump", "x", "job.sub"), "cannot be recorded"),
        (("-a", "x=1\nqueue 1000", "job.sub"), "a line end within an argument"),
        (("-queue", "-terse", "job.sub"), "condor_submit: -queue requires at least one argument"),
    ],
)
def test_wrong_words(bench: Bench, words: tuple[str, ...], said: str) -> None:
    """The real one's error and exit code; a framework that looks at neither is caught by the recording."""
    (bench.folder / "job.sub").write_text("executable = /bin/true\nqueue 2\n")
    done = bench.run("condor_submit", *words)

    assert (done.returncode, said in done.stderr) == (1, True)
    assert bench.refused().startswith("condor_submit\t")
    assert bench.refused().count("\n") == 1
    with pytest.raises(CaptureError, match="cannot be recorded"):
        read(bench.recording)


def test_words_in_short(bench: Bench) -> None:
    """Options by their first letters, those that change nothing here, and a description that is words alone."""
    lay_files(bench.folder)
    for words in (
        ("-ter",),
        ("--terse",),
        ("-s",),
        ("-n", "x"),
        ("-pool", "x"),
        ("-ba", "my name"),
        ("-deb",),
        ("-d:x",),
    ):
        if words != ("-d:x",):
            assert bench.submit("executable = run.sh\nqueue\n", *words).returncode == 0, words
    done = bench.run("condor_submit", "executable=/bin/true", "-q", "4")

    assert _jobs(done.stdout) == 4
    assert read(bench.recording)[-1].text == ""
    assert bench.submit("executable = run.sh\nqueue\n", "-d").returncode == 1


def test_dry_run_leaves_nothing(bench: Bench) -> None:
    """It says what it would do, and nothing is recorded, be it right or wrong."""
    done = bench.submit("executable = /bin/true\nqueue 2\n", "-dry-run", "ads")
    wrong = bench.submit("executable = /bin/true\nqueue foo\n", "-dry-run", "ads")

    assert done.stdout == "Dry-Run job(s)..\n2 job(s) dry-run to cluster 1.\n"
    assert (wrong.returncode, bench.refused(), list(bench.recording.glob("0*"))) == (1, "", [])


def test_spool_wants_its_files(bench: Bench) -> None:
    """Without -spool, HTCondor looks for input files later; with it, the call fails after its answer."""
    text = "executable = /bin/true\ntransfer_input_files = nope\nqueue 2\n"
    plain = bench.submit(text)
    assert (plain.returncode, dict(bench.one().left_out)) == (0, {"nope": "not found"})

    spooled = bench.submit(text, "-spool")
    assert (spooled.returncode, _jobs(spooled.stdout)) == (1, 2)
    assert "Failed to spool job files: not found: nope" in bench.refused()


def test_no_recording_no_answer(bench: Bench) -> None:
    """Without SEPTUM_RECORDING, and where nothing can be written, nothing is answered."""
    unset = bench.run("condor_submit", "job.sub", SEPTUM_RECORDING="")
    (bench.folder / "file").write_text("")
    unwritable = bench.run("condor_submit", "job.sub", SEPTUM_RECORDING=str(bench.folder / "file"))

    assert (unset.returncode, unset.stdout) == (1, "")
    assert "SEPTUM_RECORDING is not set" in unset.stderr
    assert (unwritable.returncode, unwritable.stdout) == (1, "")
    assert "cannot write to SEPTUM_RECORDING" in unwritable.stderr


# ── what jobs take along ────────────────────────────────────────────────────────────────────────────────────────


def _write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")


def test_files_are_copied_as_they_are_named(bench: Bench) -> None:
    """Blanks, a dash, a folder, a link, a path upwards, an absolute path; addresses are no files."""
    outside = bench.folder.parent / "outside.txt"
    _write(bench.folder, "run.sh", "sp ace.txt", "-n", "data/a", "data/.hidden", "data/sub/b", "real", "in.txt", "[x]*")
    outside.write_text("outside\n")
    (bench.folder / "link").symlink_to("real")
    (bench.folder / "data" / "loop").symlink_to("..")
    (bench.folder / "data" / "linked").symlink_to("sub")
    os.mkfifo(bench.folder / "data" / "pipe")
    (bench.folder / "run.sh").chmod(0o755)
    bench.submit(
        "executable = ./run.sh\ninput = in.txt\n"
        f"transfer_input_files = sp ace.txt, -n, data/, .//link, ../outside.txt, {outside}, root://x//y, [x]*, data\n"
        "queue 2\n"
    )
    submission = bench.one()
    here = set(submission.files)

    names = {"run.sh", "in.txt", "sp ace.txt", "-n", "data", "link", "../outside.txt", str(outside), "[x]*"}
    assert here == names
    assert submission.copy_of("./run.sh") == submission.files["run.sh"]
    assert os.access(submission.files["run.sh"], os.X_OK)
    assert (submission.files["link"].read_text(), submission.files["../outside.txt"].read_text()) == (
        "real\n",
        "outside\n",
    )
    copied = sorted(
        path.relative_to(submission.files["data"]).as_posix() for path in submission.files["data"].rglob("*")
    )
    assert copied == [".hidden", "a", "linked", "linked/b", "sub", "sub/b"]
    assert submission.left_out == {
        "data/loop": "a link to a folder above it",
        "data/pipe": "neither a file nor a folder",
    }


def test_initialdir_is_the_base(bench: Bench) -> None:
    """Of the inputs, not of the executable; each folder has its own file of the same name."""
    _write(bench.folder, "run.sh", "d1/cfg", "d2/cfg", "common")
    bench.submit(
        "executable = run.sh\ninitialdir = $(dir)\ntransfer_input_files = cfg, ../common\nqueue dir in d1 d2\n"
    )
    submission = bench.one()

    assert set(submission.files) == {"run.sh", "d1/cfg", "d2/cfg", "d1/../common", "d2/../common"}
    assert submission.copy_of("cfg", "./d2/") == submission.files["d2/cfg"]
    assert submission.files["d2/cfg"].read_text() == "d2/cfg\n"


@pytest.mark.parametrize(
    ("lines", "folder"),
    [
        ("iwd = a\ninitialdir = b", "b"),
        ("initial_dir = a\njob_iwd = c\niwd = b", "b"),
        ("initialdir =\niwd = a\ninitial_dir = b\njob_iwd = c", "b"),
        ("job_iwd = b", "b"),
    ],
)
def test_the_spelling_that_htcondor_takes(bench: Bench, lines: str, folder: str) -> None:
    """Of two for one thing: the folder whose files are recorded is the one in which HTCondor would have looked."""
    _write(bench.folder, "run.sh", *(f"{name}/{file}" for name in "abc" for file in ("cfg", "in", "other")))
    bench.submit(f"cmd = run.sh\n{lines}\ntransfer_input_files = cfg\nstdin = other\ninput = in\nqueue\n")

    assert set(bench.one().files) == {"run.sh", f"{folder}/cfg", f"{folder}/in"}


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ("transfer_input_files = f.$(Process)\nqueue 3", {"f.0", "f.1", "f.2"}),
        ("transfer_input_files = f.$(ProcId)\nqueue 1\nqueue 2", {"f.0", "f.1", "f.2"}),
        ("transfer_input_files = f.$(Step)\nqueue 2 in (x y)", {"f.0", "f.1"}),
        ("transfer_input_files = f.$(ItemIndex)\nqueue 2 in (x y z)", {"f.0", "f.1", "f.2"}),
        ("transfer_input_files = f.$(row)\nqueue in [1:] (x y z)", {"f.1", "f.2"}),
        ("transfer_input_files = f.$(Item)\nqueue in (1 3)", {"f.1", "f.3"}),
        ("transfer_input_files = f.$(nope:2)\nqueue", {"f.2"}),
        ("x = 2\ntransfer_input_files = f.$(X:1)\nqueue", {"f.2"}),
        ("transfer_input_files = f.$(b)\nqueue a,b from (\nx 1\ny, 2\n)", {"f.1", "f.2"}),
        ("transfer_input_files = f.1\ntransfer_input_files = $(transfer_input_files), f.2\nqueue", {"f.1", "f.2"}),
        ("transfer_input_files = f.$ENV(NUMBER)\nqueue", {"f.3"}),
        ("transfer_input_files = f.$ENV(NOPE:1)\nqueue", {"f.1"}),
        ('+TransferInput = "f.1,f.2"\nqueue', {"f.1", "f.2"}),
        ("TransferInputFiles = f.1\nqueue", {"f.1"}),
        ("TRANSFER_INPUT_FILES = f.1\nqueue", {"f.1"}),
        ("transfer_input_files @=end\nf.1,\nf.2\n@end\nqueue", {"f.1", "f.2"}),
        ("transfer_input_files = f.1, \\\n   f.2\nqueue", {"f.1", "f.2"}),
        ("transfer_input_files = f.$INT(Process)\nqueue", {"f.0", "f.1", "f.2", "f.3"}),
        ("transfer_input_files = f.$(Year)\nqueue", {"f.0", "f.1", "f.2", "f.3"}),
        ("transfer_input_files = f.$(Cluster)\nqueue", {"f.1"}),
        ("transfer_input_files = $(DOLLAR)x\nqueue", set()),
        ("x509userproxy = f.1\nqueue", set()),
        ("stdin = f.1\nqueue", {"f.1"}),
        ("executable = f.$(Process)\nqueue 2", {"f.0", "f.1"}),
        ("executable = f.1\ntransfer_executable = false\nqueue 2", set()),
        ("queue a from f.1", {"f.1"}),
        ("transfer_input_files = $(a)\nqueue a matching f.*", {"f.0", "f.1", "f.2", "f.3"}),
        ("transfer_input_files = f.1\nqueue 1\ntransfer_input_files = f.2\nqueue 1", {"f.1", "f.2"}),
    ],
)
def test_macros_in_names(bench: Bench, lines: str, names: set[str]) -> None:
    """The files of all jobs, each once; where only HTCondor knows a name, all that may be meant."""
    _write(bench.folder, "f.0", "f.1", "f.2", "f.3")
    done = bench.submit(f"executable = /bin/true\n{lines}\n", NUMBER="3")

    assert done.returncode == 0, done.stderr
    assert set(bench.one().files) == names


def test_an_endless_macro_ends(bench: Bench) -> None:
    """With an error, as nothing else could."""
    done = bench.submit("executable = /bin/true\na = $(b)\nb = $(a)\ntransfer_input_files = $(a)\nqueue\n")

    assert (done.returncode, "never end" in done.stderr) == (1, True)


def test_environment_that_a_description_reads(bench: Bench) -> None:
    """What it reads and no more; nothing that looks like a secret."""
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6.eyJzdWIiOiJhYmMiLCJhdWQi.c2lnbmF0dXJl"
    bench.submit(
        "executable = /bin/true\narguments = $ENV(MINE) $ENV(CI_JOB_TOKEN) $ENV(HARMLESS) $ENV(UNSET)\nqueue\n",
        MINE="a b=c",
        CI_JOB_TOKEN="hunter2",
        HARMLESS=token,
        OTHER="x",
    )
    submission = bench.one()

    assert submission.environment == {"MINE": "a b=c"}
    assert set(submission.left_out) == {"$ENV(CI_JOB_TOKEN)", "$ENV(HARMLESS)"}
    everything = b"".join(path.read_bytes() for path in bench.recording.rglob("*") if path.is_file())
    assert b"hunter2" not in everything
    assert token.encode() not in everything


def test_credentials_are_never_copied(bench: Bench, tmp_path: Path) -> None:
    """By what is in a file, by its name, and by the variables that lead to it; within folders, too."""
    proxy = _proxy()
    token = b"eyJhbGciOiJSUzI1NiIsImtpZCI6.eyJzdWIiOiJhYmMiLCJhdWQi.c2lnbmF0dXJl"
    key = b"x = 1\n-----BEGIN RSA PRIVATE KEY-----\nMII\n"
    secrets = {"myproxy": proxy, "bearer": token, "d/key.py": key, "x509up_u0": b"short", "pointed": b"short"}
    for name, content in secrets.items():
        (bench.folder / name).parent.mkdir(exist_ok=True)
        (bench.folder / name).write_bytes(content)
    _write(bench.folder, "good.py", "d/good.py")
    bench.submit(
        "executable = /bin/true\ntransfer_input_files = myproxy, bearer, d, x509up_u0, pointed, good.py\nqueue\n",
        X509_USER_PROXY=str(bench.folder / "pointed"),
        BEARER_TOKEN_FILE="pointed",
    )
    submission = bench.one()

    assert set(submission.left_out) == set(secrets)
    assert set(submission.files) == {"d", "good.py"}
    assert [path.name for path in submission.files["d"].iterdir()] == ["good.py"]
    everything = b"".join(path.read_bytes() for path in bench.recording.rglob("*") if path.is_file())
    assert not any(content[:60] in everything for content in (proxy, token, key))


@pytest.mark.parametrize("name", ["a\tb", "d/a\nb"])
def test_names_that_a_line_cannot_hold(bench: Bench, name: str) -> None:
    """A tab or a line end in a name is refused, clearly."""
    _write(bench.folder, name)
    done = bench.submit(f"executable = /bin/true\ntransfer_input_files = {name.split('/', maxsplit=1)[0]}\nqueue\n")

    assert (done.returncode, "a tab or a line end in the name" in done.stderr) == (1, True)
    assert len(bench.refused().splitlines()) == 1


def test_too_much(bench: Bench) -> None:
    """The limit counts each file once, and says what to do."""
    (bench.folder / "big").write_bytes(b"x" * 700_000)
    text = "executable = /bin/true\ntransfer_input_files = big\narguments = $(a)\nqueue 10 a in (x y)\n"
    good = bench.submit(text, SEPTUM_RECORDING_MAX_MB="1")
    (bench.folder / "more").write_bytes(b"x" * 700_000)
    bad = bench.submit(text.replace("big", "big, more"), SEPTUM_RECORDING_MAX_MB="1")

    again = bench.submit(text, SEPTUM_RECORDING_MAX_MB="1")
    assert (good.returncode, bad.returncode, again.returncode) == (0, 1, 1), bad.stderr
    assert "SEPTUM_RECORDING_MAX_MB" in bad.stderr


def test_a_recording_does_not_record_itself(bench: Bench) -> None:
    """A folder that holds the recording may be taken along."""
    inside = bench.folder / ".septum" / "recording"
    _write(bench.folder, "a")
    done = bench.submit("executable = /bin/true\ntransfer_input_files = .\nqueue\n", SEPTUM_RECORDING=str(inside))
    (submission,) = read(inside)

    assert done.returncode == 0
    assert sorted(path.name for path in submission.files["."].rglob("*") if path.is_file()) == ["a", "job.sub"]


# ── several calls, and calls that end badly ─────────────────────────────────────────────────────────────────────


def test_calls_at_the_same_time(bench: Bench) -> None:
    """Twelve in the background: each has a number and a cluster of its own."""
    (bench.folder / "job.sub").write_text("executable = /bin/true\nqueue 2\n")
    with ThreadPoolExecutor(12) as pool:
        done = list(pool.map(lambda _: bench.run("condor_submit", "job.sub"), range(12)))

    assert [run.returncode for run in done] == [0] * 12
    assert [submission.number for submission in read(bench.recording)] == list(range(1, 13))
    assert len({run.stdout for run in done}) == 12


def test_a_call_that_is_ended(bench: Bench) -> None:
    """By a signal, while a script makes its items: half a recording is never read as a whole one."""
    (bench.folder / "slow.sh").write_text("#!/bin/sh\necho started >&2\nexec sleep 30\n")
    (bench.folder / "slow.sh").chmod(0o755)
    (bench.folder / "job.sub").write_text("executable = /bin/true\nqueue a from ./slow.sh |\n")
    environment = bench.environment({"PATH": f"{bench.tools}:{os.environ['PATH']}"})
    program = bench.state / "recorder" / "bin" / "condor_submit"
    with subprocess.Popen(
        [str(bench.tools / "sh"), str(program), "job.sub"],
        cwd=bench.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == b"started\n"
        os.killpg(running.pid, signal.SIGTERM)
        assert running.wait(timeout=SLOW) != 0
        running.stderr.read()

    assert list(bench.recording.glob("0*")) == []
    assert "ended by a signal" in bench.refused()


def test_a_call_that_was_killed(bench: Bench) -> None:
    """Its folder stays, and says so."""
    bench.submit("executable = /bin/true\nqueue\n")
    (bench.recording / "0002.new").mkdir()

    with pytest.raises(CaptureError, match="call 0002 of condor_submit was ended before it was recorded"):
        read(bench.recording)
    assert bench.script('sh "$RECORDER/end.sh"').returncode == 2


def test_a_full_disk(bench: Bench) -> None:
    """A copy that fails is an error, and nothing of the call stays."""
    (bench.folder / "a").write_bytes(b"x" * 100_000)
    (bench.folder / "job.sub").write_text("executable = /bin/true\ntransfer_input_files = a\nqueue\n")
    done = bench.script(f"{BEGIN}ulimit -f 16\ncondor_submit job.sub")

    assert (done.returncode, list(bench.recording.glob("0*"))) == (1, [])
    assert "cannot be copied to the recording" in bench.refused()


# ── relatives ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["condor_submit_dag", "condor_rm", "bsub"])
def test_what_is_refused(bench: Bench, name: str) -> None:
    """Other ways to submit, and whatever changes jobs."""
    done = bench.run(name, "x")

    assert name in REFUSED
    assert (done.returncode, f"{name} is not supported" in done.stderr) == (1, True)
    assert bench.refused().startswith(f"{name}\t")


def test_questions_are_not_refused(bench: Bench) -> None:
    """There is nothing to tell; the recording stays good."""
    bench.submit("executable = /bin/true\nqueue\n")
    done = bench.run("condor_q", "1")

    assert "condor_q" in ASKED
    assert (done.returncode, done.stdout, "only recorded now" in done.stderr) == (1, "", True)
    assert bench.one().answers == ((1, 1),)


# ── begin and end ───────────────────────────────────────────────────────────────────────────────────────────────

BEGIN = '. "$RECORDER/begin.sh"\n'
END = 'sh "$RECORDER/end.sh"\n'
SUBMIT = "printf 'executable=/bin/true\\nqueue 3\\n' | condor_submit\n"


@pytest.mark.parametrize("options", ["", "set -e\n", "set -u\n", "set -eu\n"])
def test_a_whole_ci_job(bench: Bench, options: str) -> None:
    """What was recorded before goes, condor_submit is first on PATH, and the end counts; options stay."""
    (bench.recording / "0001").mkdir(parents=True)
    done = bench.script(f'{options}b=$-\n{BEGIN}[ "$b" = "$-" ] || echo changed\n{SUBMIT}{SUBMIT}{END}')

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "septum: 2 calls of condor_submit recorded, 6 jobs"
    assert "changed" not in done.stdout
    assert [submission.answers for submission in read(bench.recording)] == [((3, 1),), ((3, 2),)]


def test_where_the_recording_is(bench: Bench) -> None:
    """Below SEPTUM_STATE, below the checkout, as an absolute path: frameworks change their folder."""
    lay(bench.folder / ".septum" / "analysis" / "recorder")
    done = bench.script(
        'set -eu; . .septum/analysis/recorder/begin.sh; cd /; echo "$SEPTUM_RECORDING"; '
        'condor_submit executable=/bin/true -queue 1 > /dev/null; sh "$SEPTUM_STATE/recorder/end.sh"',
        SEPTUM_STATE=".septum/analysis",
        SEPTUM_RECORDING="",
        CI_PROJECT_DIR=str(bench.folder),
    )

    assert done.stdout.splitlines() == [
        str(bench.folder / ".septum" / "analysis" / "recording"),
        "septum: 1 call of condor_submit recorded, 1 job",
    ], done.stderr


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("true\n", "no call of condor_submit was recorded"),
        ("condor_submit nope.sub || true\n", "condor_submit: Failed to open command file (nope.sub)"),
        (f"{SUBMIT}condor_submit_dag x.dag || true\n", "condor_submit_dag: not supported"),
        ("printf 'executable=/bin/true\\nqueue a in ()\\n' | condor_submit\n", "no job was queued"),
    ],
)
def test_an_end_that_is_none(bench: Bench, lines: str, said: str) -> None:
    """Nothing recorded, or something that cannot be run: the CI job fails, however the framework ended."""
    done = bench.script(f"{BEGIN}{lines}{END}")

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def _proxy() -> bytes:
    return bytes(make_proxy())


@pytest.mark.parametrize("form", ["one line", "wrapped", "PEM", "file"])
def test_the_proxy(bench: Bench, tmp_path: Path, form: str) -> None:
    """A file of our own for the framework alone, outside of the checkout, and gone at the end; never in the trace."""
    pem = _proxy()
    (tmp_path / "variable").write_bytes(base64.b64encode(pem))
    value = {
        "one line": base64.b64encode(pem).decode(),
        "wrapped": base64.encodebytes(pem).decode(),
        "PEM": pem.decode(),
        "file": str(tmp_path / "variable"),
    }[form]
    look = 'echo "at $X509_USER_PROXY"; ls -ln "$X509_USER_PROXY"; echo "[${MY_PROXY-gone}]"; umask\n'
    copy = 'cat "$X509_USER_PROXY" > copied\n'
    options = "umask 022\nif (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\nset -eux\n"
    done = bench.script(
        f"{options}{BEGIN}{look}{copy}{SUBMIT}{END}",
        MY_PROXY=value,
        SEPTUM_PROXY_VARIABLE="MY_PROXY",
    )
    assert done.returncode == 0, done.stderr
    path = Path(re.findall(r"^at (.*)$", done.stdout, re.MULTILINE)[0])

    assert (bench.folder / "copied").read_bytes().strip() == pem.strip()
    assert re.search(r"^-rw-------", done.stdout, re.MULTILINE)
    assert not path.is_relative_to(bench.folder)
    assert "[gone]" in done.stdout
    assert re.search(r"^0?022$", done.stdout, re.MULTILINE)
    assert not path.parent.exists()
    assert "PRIVATE" not in done.stderr
    assert form == "file" or value[:40] not in done.stderr
    assert "+ echo" in done.stderr


@pytest.mark.parametrize("value", ["!!!", "aGVsbG8=", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"])
def test_what_is_no_proxy(bench: Bench, value: str) -> None:
    """Broken base64, other content, a certificate without its key: the CI job ends, and leaves no file."""
    done = bench.script(f"{BEGIN}echo on", MY_PROXY=value, SEPTUM_PROXY_VARIABLE="MY_PROXY", TMPDIR=str(bench.tools))

    assert (done.returncode, done.stdout) == (2, "")
    assert "MY_PROXY holds no proxy" in done.stderr
    assert value.strip() not in done.stderr
    assert list(bench.tools.glob("septum-proxy.*")) == []


def test_the_callers_trap_stays(bench: Bench, tmp_path: Path) -> None:
    """It runs at the end, after ours, quotes and lines and all."""
    value = base64.b64encode(_proxy()).decode()
    done = bench.script(
        "trap 'echo \"it'\\''s\nthe end\"' EXIT\n" + BEGIN + "echo work; exit 7\n",
        MY_PROXY=value,
        SEPTUM_PROXY_VARIABLE="MY_PROXY",
        TMPDIR=str(bench.tools),
    )

    assert (done.returncode, done.stdout) == (7, "work\nit's\nthe end\n"), done.stderr
    assert list(bench.tools.glob("septum-proxy.*")) == []


def test_a_killed_ci_job_leaves_no_proxy(bench: Bench, tmp_path: Path) -> None:
    """The script for `after_script` finds the file from a new shell, and removes nothing else."""
    value = base64.b64encode(_proxy()).decode()
    killed = bench.script(
        f"{BEGIN}kill -9 $$\n", MY_PROXY=value, SEPTUM_PROXY_VARIABLE="MY_PROXY", TMPDIR=str(bench.tools)
    )
    left = list(bench.tools.glob("septum-proxy.*"))
    assert (killed.returncode, len(left)) == (-signal.SIGKILL, 1)
    bench.script('sh "$RECORDER/tidy.sh"; sh "$RECORDER/tidy.sh"')
    assert list(bench.tools.glob("septum-proxy.*")) == []

    precious = tmp_path / "precious"
    precious.mkdir()
    (bench.state / "recorder" / "proxy").write_text(f"{precious}\n")
    bench.script('sh "$RECORDER/tidy.sh"')
    assert precious.is_dir()


def test_what_a_framework_does_not_see(bench: Bench) -> None:
    """Secrets by their names, passwords in addresses, GitLab's own, and what the settings name."""
    (bench.state / "recorder" / "settings").write_text("SEPTUM_HIDDEN='ODDLY_NAMED ALSO'\n")
    names = (
        "CI_JOB_TOKEN",
        "MY_PASSWORD",
        "X509_PROXY",
        "GITLAB_USER_ID",
        "CI_REPOSITORY_URL",
        "ODDLY_NAMED",
        "HARMLESS",
    )
    shown = " ".join(f'"${{{name}-gone}}"' for name in names)
    done = bench.script(
        f"set -eu\n{BEGIN}echo {shown}",
        CI_JOB_TOKEN="a",
        MY_PASSWORD="a",
        X509_PROXY="a",
        GITLAB_USER_ID="a",
        CI_REPOSITORY_URL="https://x:pw@host/y",
        ODDLY_NAMED="a",
        HARMLESS="stays\nexport PATH",
    )

    assert done.stdout == "gone gone gone gone gone gone stays\nexport PATH\n", done.stderr


def test_files_that_the_merge_needs(bench: Bench) -> None:
    """The patterns of `keep`, as they are below the checkout, without secrets."""
    _write(bench.folder, "configs/a.pkl", "configs/deep/b", "lists/x.txt", "lists/y.md", "other")
    (bench.folder / "configs" / "key").write_text("-----BEGIN PRIVATE KEY-----\n")
    (bench.state / "recorder" / "keep").write_text("configs\nlists/*.txt\nnope*\n")
    done = bench.script(f"{BEGIN}cd configs\n{SUBMIT}{END}")
    kept = bench.recording / "kept"

    assert done.returncode == 0, done.stderr
    files = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())
    assert files == ["configs/a.pkl", "configs/deep/b", "lists/x.txt"]
    assert "configs/key is not kept: it holds a private key" in done.stderr
    assert len(read(bench.recording)) == 1


def test_the_bindings_find_no_cluster(bench: Bench) -> None:
    """HTCondor's Python bindings cannot be recorded, so they must not find a real schedd either."""
    done = bench.script(f'{BEGIN}echo "$CONDOR_CONFIG $_condor_SCHEDD_HOST"')

    assert re.fullmatch(r"ONLY_ENV \S+\.invalid\n", done.stdout)
