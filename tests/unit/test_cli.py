"""The command line: help, errors, exit codes, and what it costs to start."""

from __future__ import annotations

import argparse
import base64
import json
import math
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import septum
from septum.cli import main, parser
from septum.credentials.secret import Secret
from septum.errors import ConfigError, PartExitError, SeptumError, TryAgainError, every_error
from septum.units import show_size
from septum.verify import measure
from tests.fakes.analyses import BASE
from tests.fakes.rootfiles import H, read_cells, write_root

VERBS = (
    "run",
    "plan",
    "recorder",
    "prepare",
    "submit",
    "skipped",
    "collect",
    "cancel",
    "pack-image",
    "image",
    "compare",
    "merge",
    "verify",
    "report",
    "cluster",
    "sweep",
    "component",
    "reference",
    "credentials",
    "doctor",
    "new",
    "update",
    "adopt",
    "export",
    "gitlab",
    "status",
    "logs",
    "retry",
    "rehearse",
    "completion",
)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a `septum.yaml` of three parts, as the working folder; no variable of septum is set."""
    (tmp_path / "septum.yaml").write_text(BASE + "parts: {list: [{s: a}, {s: b}, {s: c}]}\n")
    monkeypatch.chdir(tmp_path)
    for name in ("CONFIG", "CLUSTER", "IMAGE", "PREFIX", "STATE", "RESULT", "RUN"):
        monkeypatch.delenv(f"SEPTUM_{name}", raising=False)
    monkeypatch.delenv("GITLAB_CI", raising=False)
    return tmp_path


def _verbs() -> dict[str, argparse.ArgumentParser]:
    (action,) = (one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    return dict(action.choices)


# ── help ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_help_lists_all_verbs_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing has to be looked up elsewhere to read an exit code."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    shown = capsys.readouterr().out

    assert caught.value.code == 0
    assert sorted(_verbs()) == sorted(VERBS)
    assert [verb for verb in VERBS if [verb] not in [line.split()[:1] for line in shown.splitlines()]] == []
    assert [error.code for error in every_error() if error.code not in shown] == []
    assert "    0  done, and whole" in shown
    assert [code for code in {error.exit_code for error in every_error()} if f"\n  {code:>3}  E" not in shown] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In words."""
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])

    assert caught.value.code == 0
    assert len(capsys.readouterr().out) > 80


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    with pytest.raises(SystemExit):
        main(["--version"])

    assert capsys.readouterr().out == f"septum {septum.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["colect"], ["run", "--clustr", "x"], ["cluster"], ["run", "--set"]])
def test_a_wrong_command_line(arguments: list[str]) -> None:
    """Exit code 2, as for everything that is asked wrongly."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [*every_error(), SeptumError])
def test_every_error_is_printed_and_has_its_exit_code(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: type[SeptumError]
) -> None:
    """What happened, the evidence, the fix; no traceback, and never 0."""

    def fail(*_: object, **__: object) -> None:
        raise error("it broke", evidence="one\ntwo\n", fix="do this\nthen that")

    monkeypatch.setattr("septum.stages.make_plan", fail)
    code = main(["plan"])

    assert code == error.exit_code != 0
    assert capsys.readouterr().err == (
        f"septum: it broke [{error.code}]\n    one\n    two\n  Fix: do this\n       then that\n"
    )


def test_exit_codes_are_those_of_the_design() -> None:
    """10s credentials, 20s cluster, 30s jobs, 40s merge, 50s comparison, 75 try again; a code names one class."""
    by_code = {error.code: error for error in every_error()}

    assert len(by_code) == len(every_error())
    for error in every_error():
        tens = {f"E{ten}": range(10 * ten, 10 * ten + 10) for ten in range(1, 6)}
        assert error.exit_code in {"E0": {2, 3, 4}, "E7": {75}, **tens}[error.code[:2]]
        assert (error.exit_code == 75) == issubclass(error, TryAgainError)


@pytest.mark.parametrize("error", [ConfigError("it broke", fix="do"), OSError("it broke"), ValueError("it broke")])
def test_traceback_is_for_those_who_ask(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Where it arose, and Python's own exit code."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("septum.stages.make_plan", fail)

    assert main(["--traceback", "plan"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback (most recent call last):\n")
    assert "    raise error\n" in shown
    assert "it broke" in shown.splitlines()[-1] or isinstance(error, SeptumError)


def test_no_secret_is_printed(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither plain nor encoded, neither in an error nor in a traceback."""
    secret = Secret("correct-horse/battery+staple")
    encoded = base64.b64encode(b"x" + secret.reveal().encode()).decode()

    def fail(*_: object, **__: object) -> None:
        raise ValueError(f"it broke: <{secret.reveal()}> <{encoded}>")

    monkeypatch.setattr("septum.stages.make_plan", fail)
    for arguments in (["plan"], ["--traceback", "plan"]):
        assert main(arguments) != 0
        shown = capsys.readouterr().err
        assert "it broke: <***> <" in shown
        assert not [form for form in ("horse", "battery", encoded[4:]) if form in shown]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["plan", "--config", "no.yaml"], 2, "no.yaml"),
        (["plan", "--config", "."], 2, "not a regular file"),
        (["plan", "--image", "a\nb"], 2, "is not the name of an image"),
        (["plan", "--image", "$CI_REGISTRY_IMAGE:1"], 2, "no variable is expanded"),
        (["plan", "--parts", "9999"], 2, "no part '9999'"),
        (["plan", "--parts", ""], 2, "chooses no part"),
        (["plan", "--parts", ","], 2, "chooses no part"),
        (["plan", "--parts", "0"], 2, "chooses no part"),
        (["plan", "--set", "lease"], 2, "KEY=VALUE"),
        (["submit"], 2, "septum prepare"),
        (["collect"], 2, "septum prepare"),
        (["cancel"], 2, "septum prepare"),
        (["prepare", "--state", "."], 2, "not septum's alone"),
        (["prepare", "--state", "septum.yaml/x"], 2, "septum.yaml"),
        (["prepare", "--state", "septum.yaml"], 2, "septum.yaml"),
        (["run", "--cluster", "atlantis"], 2, "atlantis"),
    ],
)
def test_mistakes_of_a_user(
    repository: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    """Each is an error with a fix, and the repository stays as it was."""
    before = (repository / "septum.yaml").read_text()

    assert main(arguments) == code
    shown = capsys.readouterr().err
    assert words in shown
    assert "Fix: " in shown
    assert (repository / "septum.yaml").read_text() == before


def test_a_submit_and_a_second_prepare(repository: Path) -> None:
    """The stages of `local`, until its jobs would run; doing one twice is nothing new."""
    assert [main([verb]) for verb in ("prepare", "submit", "submit", "prepare", "submit")] == [0] * 5


def test_a_run_that_was_collected_keeps_its_results(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second collect is an error, and takes nothing away."""
    from septum.ledger import Ledger

    assert main(["prepare"]) == main(["submit"]) == 0
    with Ledger(repository / ".septum/run.sqlite") as ledger:
        ledger._database.execute("UPDATE part SET state = 'merged'")
        ledger.note("ended", "0")
    (repository / "result").mkdir()
    (repository / "result/h.root").write_text("physics")

    assert main(["collect"]) == 2
    assert "collected already" in capsys.readouterr().err
    assert (repository / "result/h.root").read_text() == "physics"


@pytest.mark.parametrize(
    "statement", ["UPDATE run SET value = 'x' WHERE key = 'plan'", "DELETE FROM part", "DELETE FROM run"]
)
def test_a_ledger_of_another_run(repository: Path, statement: str) -> None:
    """Its parts have the same ids, and nothing of them is merged."""
    from septum.ledger import Ledger

    assert main(["prepare"]) == main(["submit"]) == 0
    with Ledger(repository / ".septum/run.sqlite") as ledger:
        ledger._database.execute(statement)

    assert main(["collect"]) == 2
    assert not list(repository.glob("result/*.root"))


def test_prepare_runs_the_user_s_lines_without_secrets(
    repository: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, in the folder of septum.yaml, until the first that fails."""
    monkeypatch.setenv("MY_TOKEN", "hush")
    text = (repository / "septum.yaml").read_text()
    (repository / "septum.yaml").write_text(text + "prepare: ['echo \"<$MY_TOKEN>\" > said', 'false', 'touch late']\n")

    assert main(["prepare"]) == 3
    assert "[E006]" in capfd.readouterr().err
    assert (repository / "said").read_text() == "<>\n"
    assert not (repository / "late").exists()
    assert not (repository / ".septum").exists()


def test_prepare_in_bash_stops_within_a_pipe(repository: Path) -> None:
    """A list of files that came out short would be a plan that is short."""
    text = (repository / "septum.yaml").read_text()
    (repository / "septum.yaml").write_text(text + 'shell: bash\nprepare: ["false | cat > list.txt"]\n')

    assert main(["prepare"]) == 3


# ── plan ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_plan_writes_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And shows parts and results."""
    assert main(["plan"]) == 0
    shown = capsys.readouterr().out

    assert "analysis: 3 parts, plan " in shown
    assert "result: h.root from h.root of 3 parts" in shown
    assert "  part 0002 (s=c)\n" in shown
    assert [path.name for path in repository.iterdir()] == ["septum.yaml"]


@pytest.mark.parametrize(
    ("chosen", "parts"),
    [("2", ["0000", "0001"]), ("0001", ["0001"]), ("0002, 0000", ["0000", "0002"]), ("99", ["0000", "0001", "0002"])],
)
def test_plan_of_some_parts(
    repository: Path, capsys: pytest.CaptureFixture[str], chosen: str, parts: list[str]
) -> None:
    """A number of them, or ids."""
    assert main(["plan", "--json", "--parts", chosen]) == 0

    assert [part["id"] for part in json.loads(capsys.readouterr().out)["plan"]["parts"]] == parts


@pytest.mark.parametrize("name", ["result", "."])
def test_a_result_folder_is_never_an_input(repository: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Also when it is the repository itself, where only names tell."""
    (repository / "septum.yaml").write_text(BASE + 'parts: {list: [{s: a}]}\ninputs: ["*"]\n')
    (repository / "result").mkdir()
    (repository / "result/old.root").touch()

    assert main(["plan", "--json", "--result", name]) == 0
    inputs = [file["path"] for file in json.loads(capsys.readouterr().out)["plan"]["inputs"]]
    assert inputs == (["septum.yaml"] if name == "result" else ["result/old.root", "septum.yaml"])


def test_sections_of_the_ci_log_are_closed(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after an error."""
    monkeypatch.setenv("GITLAB_CI", "true")
    main(["prepare"])
    main(["submit", "--state", "nothing"])
    shown = capsys.readouterr().out

    assert shown.count("section_start:") == shown.count("section_end:") == 2


# ── merge ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three parts of a histogram, as the working folder."""
    for number in range(3):
        write_root(tmp_path / f"{number}.root", {"h": H(cells=[0, number, 1, 0]), "d/g": H(cells=[0, 1, 0])})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_merge(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file, what made it, its checksum, and what it holds; nothing else is left in the folder."""
    assert main(["merge", "all.root", "0.root", "1.root", "2.root"]) == 0
    shown = capsys.readouterr().out
    size_b, sha256 = measure(files / "all.root")

    assert read_cells(files / "all.root", "h") == [0, 3, 3, 0]
    assert shown.splitlines()[0] == f"all.root: 3 files, {show_size(size_b)}, sha256 {sha256}"
    assert "merged and verified by strict (septum " in shown
    assert [line.split() for line in shown.splitlines()[2:]] == [
        ["d/g", "TH1D", "3", "entries"], ["h", "TH1D", "6", "entries"],
    ]  # fmt: skip
    assert sorted(path.name for path in files.iterdir()) == ["0.root", "1.root", "2.root", "all.root"]


def test_merge_gives_the_same_bytes_whatever_the_order_and_the_processes(files: Path) -> None:
    """No date is in the file, and no addition depends on another."""
    (files / "list.txt").write_text("2.root\n\n0.root\n")
    assert main(["merge", "x.root", "0.root", "1.root", "2.root"]) == 0
    before = (files / "x.root").read_bytes()
    assert main(["merge", "x.root", "@list.txt", "1.root", "--jobs", "2"]) == 0

    assert (files / "x.root").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["all.root", "0.root", "no.root"], 2, "'no.root' does not exist"),
        (["all.root", "@no.txt"], 2, "the list no.txt cannot be read"),
        (["all.root", "@empty.txt"], 2, "name no files"),
        (["all.root", "@0.root"], 2, "cannot be read"),
        (["0.root", "0.root", "1.root"], 2, "is the target, too"),
        (["nowhere/all.root", "0.root", "1.root"], 2, "there is no folder nowhere"),
        (["all.root", "0.root", "--jobs", "0"], 2, "--jobs 0"),
        (["all.root", "0.root", "--policy", "sums"], 2, "KEY=VALUE"),
        (["all.root", "0.root", "--policy", "sum=plain"], 2, "sum"),
        (["all.root", "0.root", "--policy", "sums=fast"], 2, "'exact' or 'plain'"),
        (["all.root", "0.root", "0.root"], 42, "the same bytes"),
        (["all.root", "0.root", "copy.root"], 42, "the same bytes"),
        (["all.root", "0.root", "cut.root"], 35, "cut.root"),
        (["all.root", "0.root", "axis.root"], 41, "axis.root"),
        (["all.root", "0.root", "nan.root"], 48, "non-finite: keep"),
        (["all.dat", "0.root", "1.root"], 2, "septum merge 'all.root'"),
        (["all.dat", "empty.txt"], 44, "all.dat"),
    ],
)
def test_mistakes_of_who_merges(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    """Each is an error with a fix, and no file appears or changes."""
    (files / "empty.txt").write_text("\n")
    (files / "copy.root").write_bytes((files / "0.root").read_bytes())
    (files / "cut.root").write_bytes((files / "1.root").read_bytes()[:-50])
    write_root(files / "axis.root", {"h": H(cells=[0, 1, 1, 1, 0]), "d/g": H(cells=[0, 1, 0])})
    write_root(files / "nan.root", {"h": H(cells=[0, math.nan, 1, 0], entries=1), "d/g": H(cells=[0, 1, 0])})
    before = {path.name: path.read_bytes() for path in files.iterdir()}

    assert main(["merge", *arguments]) == code
    shown = capsys.readouterr().err
    assert words in shown
    assert "Fix: " in shown
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before


def test_merge_replaces_only_by_what_is_whole(files: Path) -> None:
    """What stood there stays until there is something better; with a policy, there is."""
    (files / "all.root").write_text("of yesterday")
    write_root(files / "nan.root", {"h": H(cells=[0, math.nan, 1, 0], entries=1), "d/g": H(cells=[0, 1, 0])})
    arguments = ["merge", "all.root", "0.root", "nan.root"]

    assert main(arguments) == 48
    assert (files / "all.root").read_text() == "of yesterday"
    assert main([*arguments, "--policy", "non-finite=keep"]) == 0
    assert math.isnan(read_cells(files / "all.root", "h")[1])
    assert read_cells(files / "all.root", "h")[2] == 2


def test_merge_of_another_format(files: Path) -> None:
    """By the ending of the target."""
    for number in range(3):
        (files / f"{number}.csv").write_text(f"x,y\n{number},1\n")

    assert main(["merge", "all.csv", "0.csv", "1.csv", "2.csv"]) == 0
    assert (files / "all.csv").read_text() == "x,y\n0,1\n1,1\n2,1\n"


# ── what it costs ───────────────────────────────────────────────────────────────────────────────────────────────


def _cpu_s(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd="/")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick() -> None:
    """It costs less than half of the CPU that python-gitlab's own command takes for its help; every CI job pays it."""
    pairs = [(_cpu_s("-m", "septum", "--help"), _cpu_s("-m", "gitlab", "--help")) for _ in range(4)]

    # The least of either: what else runs on the machine adds to some of them.
    ours, theirs = map(min, zip(*pairs, strict=True))
    assert ours < theirs / 2, pairs


_AUDIT = textwrap.dedent(
    """
    import os, pathlib, sys, sysconfig

    class Watched(dict):
        pass

    seen = []
    allowed = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), sys.argv[1]]
    allowed = [os.path.realpath(path) for path in allowed]

    def inside(path):
        return os.path.realpath(os.fsdecode(path)).startswith(tuple(allowed))

    def hook(event, arguments):
        if event in {"open", "os.listdir", "os.scandir"}:
            path = arguments[0]
            if isinstance(path, (str, bytes)) and not inside(path):
                seen.append(f"{event} {os.fsdecode(path)}")
        elif event.startswith(("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.putenv")):
            seen.append(event)
        elif event.startswith(("os.mkdir", "os.remove", "os.rename", "tempfile.", "shutil.", "sqlite3.", "signal.")):
            seen.append(event)

    class Environ(os.environ.__class__):
        def __getitem__(self, key):
            seen.append(f"environ {key}")
            return super().__getitem__(key)

    environ = os.environ
    coders = (environ.encodekey, environ.decodekey, environ.encodevalue, environ.decodevalue)
    os.environ = Environ(environ._data, *coders)
    sys.addaudithook(hook)
    import importlib
    for name in sys.argv[2:]:
        importlib.import_module(name)
    print("\\n".join(seen))
    heavy = {"htcondor2", "classad2", "uproot", "numpy", "requests", "pydantic", "ruamel", "jwt", "cryptography"}
    print("imported", *sorted(name for name in sys.modules if name.split(".")[0] in heavy))
    """
)


def _imported(*modules: str) -> tuple[list[str], list[str]]:
    """What importing modules does beside reading modules, and which heavy packages it brings."""
    package = str(Path(septum.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", _AUDIT, package, *modules], capture_output=True, text=True, check=True, cwd="/"
    )
    *seen, last = done.stdout.splitlines()
    return [line for line in seen if line], last.split()[1:]


@pytest.mark.parametrize(
    "modules", [["septum"], ["septum.__main__"], ["septum.cli"], ["septum.errors", "septum.cli.analysis"]]
)
def test_importing_septum_does_nothing(modules: list[str]) -> None:
    """No file outside of the package and of Python, no socket, no process, no variable; no heavy library."""
    seen, heavy = _imported(*modules)

    assert seen == []
    assert heavy == []


def test_the_audit_sees_something() -> None:
    """A test of the test: this very module's neighbour reads a file and a variable when it is run."""
    code = "import os, socket; open('/etc/passwd'); os.environ.get('HOME'); os.environ['PATH']; socket.socket()"
    script = _AUDIT.replace("for name in sys.argv[2:]:", code + "\nfor name in sys.argv[2:]:")
    done = subprocess.run([sys.executable, "-c", script, "/nowhere"], capture_output=True, text=True, check=True)

    assert "open /etc/passwd" in done.stdout
    assert "environ HOME" in done.stdout
    assert "environ PATH" in done.stdout
    assert "socket.__new__" in done.stdout


_LIGHT = (
    "states", "units", "plan", "ledger", "policy", "environment", "worker.sandbox", "backends.base", "stages",
    "manifest", "verify", "collect", "merge.engine", "merge.results", "merge.choice",
)  # fmt: skip


@pytest.mark.parametrize("module", _LIGHT)
def test_light_modules_stay_light(module: str) -> None:
    """Neither uproot nor the bindings come with them; what is heavy is imported where it is used."""
    seen, heavy = _imported(f"septum.{module}")

    assert seen == []
    assert [
        name for name in heavy if name.split(".")[0] in {"htcondor2", "classad2", "requests", "jwt", "cryptography"}
    ] == []
    assert "uproot" not in heavy


def test_an_error_without_evidence_and_fix_is_one_line() -> None:
    """Nothing is printed for nothing."""
    assert str(PartExitError("it broke")) == "it broke [E301]"
