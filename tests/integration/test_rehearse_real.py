"""`septum rehearse` of a fresh starter by an ordinary account, beside another that is interrupted; and the pilot.

Both rehearsals run at the same time, each with a pool of its own. What they need is copied from the cache of the tests,
so that nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uproot

from septum.facility import Facility, cache
from tests.workshop import SEPTUM, client_environment, kinds_repository, pool_profile

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NOBODY = 65534
_NOBODY = (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
    "--no-new-privs",
)  # fmt: skip
_DEADLINE_S = 240
"""What the whole chain may take, beside downloads."""

pytestmark = pytest.mark.timeout(_DEADLINE_S + 120)

UNCOMMITTED = """
uncommitted:
  stage: .post
  script: [test -s result/report.html]
"""
LOCAL = """\
stages: [test, analysis]
test: {stage: test, script: [python3 --version]}
broken: {stage: test, script: ["echo no such branch >&2; exit 9"], needs: []}
include:
  - component: $CI_SERVER_FQDN/cms-analysis/general/septum/analysis@0.1
    inputs: {stage: analysis}
"""


# ── two at once ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An ordinary account: no root, a home folder of its own, and nothing else that it may write to."""

    folder: Path
    becomes: Sequence[str]

    @property
    def home(self) -> Path:
        """Its home folder, in which the cache is, too."""
        return self.folder / "home"

    def command(self, *words: str) -> list[str]:
        """A command line that runs as this account, without any power to become another."""
        return [*self.becomes, *words]

    def run(self, folder: Path, *words: str) -> None:
        """Run a command to its end."""
        subprocess.run(self.command(*words), cwd=folder, env=self._environ, check=True, timeout=60)

    @property
    def _environ(self) -> dict[str, str]:
        return {"HOME": str(self.home), "LANG": "C.UTF-8", "PATH": f"{SEPTUM.parent}:{os.defpath}"}

    def start(self, repository: Path, *options: str) -> subprocess.Popen[str]:
        """Begin a rehearsal."""
        return subprocess.Popen(
            self.command(str(SEPTUM), "rehearse", *options),
            cwd=repository,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _becomes() -> tuple[str, ...]:
    """What comes before a command of root's to make it one of an ordinary account."""
    if os.geteuid():
        return ()
    # By env: setpriv itself still has the power to enter any folder.
    done = subprocess.run([*_NOBODY, "env", sys.executable, "-c", ""], capture_output=True, timeout=60, check=False)
    # Where nobody may enter the home folder that Python is in, an account of the same owner that is not root.
    return _NOBODY if done.returncode == 0 else ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@pytest.fixture(scope="module")
def account(facility: Facility) -> Iterator[Account]:
    """An account whose cache has what was downloaded for the tests."""
    folder = Path(tempfile.mkdtemp(prefix="septum-rehearse-"))
    made = Account(folder=folder, becomes=_becomes())
    there = made.home / ".cache" / "septum"
    there.mkdir(parents=True)
    debian = facility.debian.folder
    workers = cache.cache_folder().glob("worker-*")
    for entry in (debian, *workers, *cache.cache_folder().glob("node-*")):
        shutil.copytree(entry, there / entry.name, symlinks=True, copy_function=_linked)
    (made.home / "thesis.tex").write_text("mine\n")
    (made.home / ".netrc").write_text("machine x login y password z\n")
    if made.becomes == _NOBODY:
        for path in (folder, made.home, made.home / ".cache", there, made.home / "thesis.tex", made.home / ".netrc"):
            os.chown(path, NOBODY, NOBODY)
        # What the unpacked packages keep for root, nobody needs here.
        for inner in there.rglob("*"):
            if inner.is_dir() and not inner.is_symlink() and not inner.stat().st_mode & 0o005:
                inner.chmod(0o755)
    yield made
    shutil.rmtree(folder, ignore_errors=True)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _repository(account: Account, name: str, example: str, change: Callable[[Path], None] | None = None) -> Path:
    folder = account.folder / name
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns(".septum", "result", "__pycache__"))
    if change is not None:
        change(folder)
    if account.becomes == _NOBODY:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """A rehearsal that went to its end, and one that was interrupted meanwhile."""

    folder: Path
    files: set[str]
    exit_code: int
    said: str
    seconds: float
    before: dict[str, str]
    after: dict[str, str]
    interrupted_code: int
    interrupted_said: str
    ran: int
    left: list[str]

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the result."""
        found: dict[str, Any] = json.loads((self.folder / "result" / "septum.json").read_text())
        return found


def _listing(folder: Path) -> dict[str, str]:
    """Every file of a home folder and its content, without the cache."""
    own = folder / ".cache" / "septum"
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
        if own not in path.parents
    }


@pytest.fixture(scope="module")
def rehearsed(account: Account) -> Rehearsed:
    """A fresh starter; and meanwhile an example, which is stopped when its last CI job has begun."""
    whole = _starter(account)
    files = {path.name for path in whole.iterdir()}
    stopped = _repository(account, "stopped", "two-clusters")
    before = _listing(account.home)
    began = time.monotonic()
    with account.start(whole) as going, account.start(stopped) as other:
        assert other.stdout is not None
        told = ""
        for line in other.stdout:
            told += line
            if "septum-collect: begun" in line:
                break
        place = _folder_of(account, other.pid)
        ran = len(_processes_of(place))
        other.send_signal(signal.SIGINT)
        told += other.communicate(timeout=60)[0]
        left = _processes_of(place)
        said = going.communicate(timeout=_DEADLINE_S + 60)[0]
    return Rehearsed(
        folder=whole,
        files=files,
        exit_code=going.returncode,
        said=said,
        seconds=time.monotonic() - began,
        before=before,
        after=_listing(account.home),
        interrupted_code=other.returncode,
        interrupted_said=told,
        ran=ran,
        left=left,
    )


def _starter(account: Account) -> Path:
    """A repository that `septum new` has just made, cloned from a server that is never asked, and one change to it."""
    chosen = ("--framework", "command", "--cluster", "infn-af,local", "--defaults")
    account.run(account.folder, str(SEPTUM), "new", "whole", *chosen)
    folder = account.folder / "whole"
    identity = ("git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    account.run(folder, *identity, "init", "--quiet", "--initial-branch=main")
    account.run(folder, *identity, "add", ".")
    account.run(folder, *identity, "commit", "--quiet", "--message", "The starter")
    account.run(folder, *identity, "remote", "add", "origin", "https://gitlab.invalid/my-group/whole.git")
    with (folder / ".gitlab-ci.yml").open("a") as file:
        file.write(UNCOMMITTED)
    return folder


def _folder_of(account: Account, owner: int) -> Path:
    """The folder of the rehearsal that a process has begun."""
    runs = account.home / ".cache" / "septum" / "run"
    (folder,) = (path.parent for path in runs.glob("*/owner") if path.read_text().split()[0] == str(owner))
    return folder


def _processes_of(folder: Path) -> list[str]:
    """What runs in a folder, or with files of it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            mounts = (process / "mountinfo").read_text()
        except OSError:
            continue
        if str(folder) in words or str(folder) in mounts:
            found.append(words)
    return found


def test_an_ordinary_user_gets_the_report_in_time(rehearsed: Rehearsed) -> None:
    """The whole chain: green, with the report, in less than four minutes beside another rehearsal."""
    assert rehearsed.exit_code == 0, rehearsed.said
    assert rehearsed.seconds < _DEADLINE_S
    assert (rehearsed.folder / "result" / "report.html").stat().st_size > 10_000
    for job in ("unit-test", "septum-prepare", "septum-submit", "septum-collect", "uncommitted"):
        assert re.search(rf"^  {job} +passed ", rehearsed.said, re.MULTILINE)
    assert re.search(r"^took .*: .* until the pool was ready", rehearsed.said, re.MULTILINE)
    with uproot.open(rehearsed.folder / "result" / "dimuon.root") as file:
        assert file["mass"].member("fEntries") > 1000


def test_that_it_was_a_rehearsal_is_said(rehearsed: Rehearsed) -> None:
    """On the screen, in the manifest and in the report: nobody takes the pool for the cluster."""
    assert "cluster infn-af: nothing goes there; a pool on this machine takes its place" in rehearsed.said
    assert (rehearsed.manifest["cluster"], rehearsed.manifest["schedd"]) == ("infn-af", "rehearsal@localhost")
    assert rehearsed.manifest["origin"]["project-url"] == "https://gitlab.test/rehearsal/whole"
    assert "rehearsal@localhost" in (rehearsed.folder / "result" / "report.html").read_text()


def test_nothing_is_touched_but_the_cache_and_the_result(rehearsed: Rehearsed, account: Account) -> None:
    """Every file of the home folder is as it was, and the repository has the result, and nothing else that is new."""
    assert rehearsed.before == rehearsed.after
    assert {path.name for path in rehearsed.folder.iterdir()} == rehearsed.files | {"result"}
    assert list((account.home / ".cache" / "septum" / "run").iterdir()) == []


def test_an_interrupt_ends_everything(rehearsed: Rehearsed, account: Account) -> None:
    """Pool, issuer, CI jobs and their folder are gone, there is no result; the other rehearsal goes on."""
    assert rehearsed.interrupted_code == 130, rehearsed.interrupted_said
    assert "interrupted" in rehearsed.interrupted_said
    assert rehearsed.ran > 10
    assert rehearsed.left == []
    assert not (account.folder / "stopped" / "result").exists()


def test_a_failed_ci_job_is_the_end_with_its_log(account: Account) -> None:
    """One of the user's own: its last words, exit code 3, and what did not run because of it."""

    def change(folder: Path) -> None:
        (folder / ".gitlab-ci.yml").write_text(LOCAL)

    with account.start(_repository(account, "broken", "minimal", change), "--json") as going:
        said, _ = going.communicate(timeout=_DEADLINE_S)

    assert going.returncode == 3, said
    assert "rehearse: CI job broken ended with exit code 9 [E014]" in said
    assert "    | no such branch" in said
    assert re.search(r"^  septum-collect +did not run", said, re.MULTILINE)
    document = json.loads(said[said.index("\n{") :].partition("\n}")[0] + "\n}")
    assert document["error"]["code"] == "E014"
    assert {job["name"]: job["ended"] for job in document["jobs"]} == {"test": "passed", "broken": "failed"}


# ── one real job before all others ──────────────────────────────────────────────────────────────────────────────


def test_the_pilot_is_one_real_job_before_all_others(facility: Facility, tmp_path: Path) -> None:
    """The others are submitted after it has ended, and all three are in the result."""
    repository = kinds_repository(tmp_path, ["good"] * 3, environ=client_environment(facility))
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "pool.yaml").write_text(pool_profile(facility.pool, facility))

    done = repository.septum("run", "--cluster", "pool", "--pilot")

    assert done.returncode == 0, done.stdout
    assert "1 jobs submitted, 2 follow when the pilot has delivered" in done.stdout
    (tag,) = re.findall(r"; run (\S+)$", done.stdout, re.MULTILINE)
    words = ("-constraint", f'SeptumRun == "{tag}"', "-af", "SeptumPart", "QDate", "CompletionDate")
    pilot, *others = sorted(line.split() for line in facility.pool.run("condor_history", *words).stdout.splitlines())
    assert [part for part, _, _ in (pilot, *others)] == ["0000", "0001", "0002"]
    assert all(int(submitted) >= int(pilot[2]) for _, submitted, _ in others)


def test_nothing_runs_after_a_pilot_that_fails(tmp_path: Path) -> None:
    """The end of its log in the error, the exit code of a part that failed, and `--parts` says which one is it."""
    repository = kinds_repository(tmp_path, ["good", "exit3", "good", "good"], environ={})

    done = repository.septum("run", "--pilot", "--parts", "0001,0002,0003")

    assert done.returncode == 30, done.stdout
    assert "part 0001" in done.stdout
    assert "no such dataset" in done.stdout
    assert "1 jobs submitted, 2 follow when the pilot has delivered" in done.stdout
    assert "it was the pilot: none of the 2 other parts was submitted" in done.stdout
    assert repository.whole_files() == []
