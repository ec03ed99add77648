"""One run of a small analysis on a REANA server that is disturbed, and what must be true of it in the end.

Faults of a server hit whoever asks next, so that each row has a server to itself while it plays.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import hist
import numpy as np
import uproot

from septum.backends.reana.workflow import name_of, prefix_of
from septum.errors import every_error
from septum.manifest import NAME, Manifest, from_json
from tests.fakes.reana.handle import ReanaServer
from tests.fakes.reana.jobs import MARK
from tests.fakes.reana.site import CLUSTER, VARIABLE, name_image, reana_profile
from tests.fakes.reana.store import USER, Workflow
from tests.faults.analysis import copy_of, plan_of
from tests.faults.faults import Strike, environment
from tests.faults.reana_field import Servers, Watch
from tests.faults.run import Process, sha256
from tests.workshop import SEPTUM, Repository

PARTS = 4
IDS = tuple(f"{number:04d}" for number in range(PARTS))
LIVE = {"created", "queued", "pending", "running"}
_CONTROL = "control"
_KNOWN = {0, *(error.exit_code for error in every_error())}

# The folder beside the workspaces is the row's, as the server is.
_PART_SH = f"""\
here=$REANA_WORKSPACE/../{_CONTROL}
while [ -e "$here/wait-000$PART_number" ] || [ -e "$here/wait-all" ]; do sleep 0.1; done
cp "part-$PART_number.root" out.root
"""


def client(name: str, *, after: bool = False, left: int = 1, number: int = 9, pause_s: float = 0) -> Strike:
    """Something before or after a call of septum's client, such as `create`."""
    at = f"septum.backends.reana.client:Client.{name}"
    return Strike(at=at, after=after, left=left, signal=number, pause_s=pause_s)


def make_analysis(folder: Path) -> Repository:
    """Write the repository and its plan: what every row starts from a copy of."""
    folder.mkdir()
    for number in range(PARTS):
        generator = np.random.default_rng(number)
        histogram = hist.Hist(hist.axis.Regular(200, 0, 1), storage=hist.storage.Weight())
        # Weights of all sizes: another order of the sum, a part too many or too few would be other bytes.
        histogram.fill(generator.random(2000), weight=generator.lognormal(0, 3, 2000))
        with uproot.recreate(folder / f"part-{number}.root") as file:
            file["mass"] = histogram
    (folder / "part.sh").write_text(_PART_SH)
    rows = "".join(f"    - {{number: {number}}}\n" for number in range(PARTS))
    inputs = ", ".join(["part.sh", *(f"part-{number}.root" for number in range(PARTS))])
    (folder / "septum.yaml").write_text(
        f"name: disturbed\ncommand: [sh, part.sh]\nparts:\n  list:\n{rows}inputs: [{inputs}]\n"
        "outputs: [{path: out.root, objects: [mass]}]\nmerge: {all.root: out.root}\n"
    )
    name_image(folder)
    repository = Repository(folder=folder)
    prepared = repository.septum("prepare", SEPTUM_CLUSTER="local")  # a plan knows no cluster
    assert prepared.returncode == 0, prepared.stdout
    return repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What all rows share: the analysis, its result when nobody disturbs it, and the watch for tokens."""

    folder: Path
    analysis: Repository
    sha256: str
    watch: Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is done to a run, and how the run must end; see `rows.Row`."""

    name: str
    story: Callable[[Run], None]
    codes: tuple[int, ...] = (0,)
    says: tuple[str, ...] = ()
    profile: Mapping[str, str] = field(default_factory=dict)
    long: bool = False

    def __str__(self) -> str:
        return self.name


class Rows(list[Row]):
    """The rows."""

    def add(
        self, *, code: int | tuple[int, ...] = 0, says: Sequence[str] = (), long: bool = False, **profile: str
    ) -> Callable[[Callable[[Run], None]], Callable[[Run], None]]:
        """Make a row of a function: its name is the row's."""

        def enter(story: Callable[[Run], None]) -> Callable[[Run], None]:
            self.append(
                Row(
                    name=story.__name__,
                    story=story,
                    codes=(code,) if isinstance(code, int) else code,
                    says=tuple(says),
                    profile={key.replace("_", "-"): value for key, value in profile.items()},
                    long=long,
                )
            )
            return story

        return enter


@dataclass(slots=True, kw_only=True)
class Run:
    """A row's own run of the analysis, on a server of its own."""

    row: Row
    where: Field
    server: ReanaServer
    repository: Repository
    tag: str
    token: str = field(repr=False)
    processes: list[Process] = field(default_factory=list)

    # ── septum ──────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, *arguments: str, strikes: Sequence[Strike] = (), repository: Repository | None = None) -> Process:
        """Start septum, with the token that is good now.

        Args:
            arguments: Its arguments.
            strikes: What happens inside of it.
            repository: Another one than the row's own.
        """
        home = repository or self.repository
        folder = home.folder.parent
        out = folder / f"{len(self.processes):02d}-{arguments[0]}.out"
        marks = folder / f"struck in {home.folder.name}"
        marks.mkdir(exist_ok=True)
        env = home.environment(**environment(strikes, marks), **{VARIABLE: self.token})
        with out.open("wb") as stream:
            popen = subprocess.Popen(
                [str(SEPTUM), *arguments],
                cwd=home.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(Process(verb=arguments[0], popen=popen, out=out))
        return self.processes[-1]

    def septum(self, *arguments: str, code: int | None = None, **more: Any) -> Process:
        """Run septum to its end.

        Args:
            arguments: Its arguments.
            code: The exit code that it must have; any if None.
            more: As for `start`.
        """
        process = self.start(*arguments, **more)
        found = process.end()
        assert code is None or found == code, f"{arguments[0]} ended with {found}, not with {code}:\n{process.said}"
        return process

    def submit(self) -> None:
        """Submit, undisturbed."""
        self.septum("submit", code=0)

    def change_profile(self, **changes: str) -> None:
        """Write the profile of the cluster anew."""
        values = {"poll-ceiling": "1 s", **self.row.profile, **{key.replace("_", "-"): v for key, v in changes.items()}}
        (self.repository.folder / "clusters").mkdir(exist_ok=True)
        (self.repository.folder / "clusters" / f"{CLUSTER}.yaml").write_text(reana_profile(self.server, **values))

    def expire_token(self) -> str:
        """The server takes the token no more; returns the one that it takes, which septum does not get by itself."""
        new = self.server.expire_token()
        self.where.watch.secrets.add(new)
        return new

    # ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def control(self) -> Path:
        """Where the parts look whether they shall wait."""
        folder = self.server.folder / "workspaces" / USER / _CONTROL
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def hold_back(self, *parts: str) -> None:
        """Let parts wait before they end; all without a name."""
        for part in parts or ("all",):
            (self.control / f"wait-{part}").touch()

    def let_go(self) -> None:
        """Let all parts end."""
        for path in self.control.glob("wait-*"):
            path.unlink()

    def until(self, condition: Callable[[], object], timeout_s: float = 60) -> None:
        """Wait for something.

        Raises:
            AssertionError: It took too long.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"waited too long; the workflows: {self.statuses()}"
            time.sleep(0.2)

    def until_begun(self, *parts: str) -> None:
        """Wait until these parts run; all without a name."""
        self.until(lambda: {part for part in parts or IDS if self.markers(part, "began")} == set(parts or IDS))

    def until_ended(self) -> None:
        """Wait until the server says that nothing of the run is under way."""
        self.until(lambda: not LIVE & set(self.statuses().values()))

    def markers(self, part: str, kind: str) -> list[Path]:
        """What the steps of a part have left in any workspace of the run."""
        found = [path for one in self.mine() for path in one.workspace.glob(f"septum/state/{part}.{kind}*")]
        return sorted(found)

    # ── the server ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def name(self) -> str:
        """The name of the workflow with the first job of every part."""
        plan = plan_of(self.repository)
        return name_of(plan.name, self.tag, IDS, 1)

    @property
    def first(self) -> str:
        """The same with the number of its first run."""
        return f"{self.name}.1"

    def mine(self) -> list[Workflow]:
        """The runs on the server that carry the name of this run."""
        prefix = prefix_of(plan_of(self.repository).name, self.tag)
        return [one for one in self.server.store.workflows() if one.name.startswith(prefix)]

    def statuses(self) -> dict[str, str]:
        """The status of each of them now, as the server says to a person."""
        query = {"type": "batch", "search": json.dumps({"name": [prefix_of(plan_of(self.repository).name, self.tag)]})}
        return {item["name"]: item["status"] for item in self.ask("GET", "/api/workflows", **query)["items"]}

    def ask(self, method: str, path: str, *, body: Any = None, **query: str) -> dict[str, Any]:
        """Ask the server as a person does, on the web page."""
        url = f"{self.server.url}{path}?{urlencode({**query, 'access_token': self.server.token})}"
        data = None if body is None else json.dumps(body).encode()
        request = Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
        context = ssl.create_default_context(cafile=str(self.server.ca_file))
        with urlopen(request, timeout=30, context=context) as answer:
            told = json.loads(answer.read())
        assert isinstance(told, dict)
        return told

    def person(self, status: str, **body: object) -> None:
        """A person ends the workflow on the server's page."""
        self.ask("PUT", f"/api/workflows/{self.first}/status", body=body, status=status)

    def processes_left(self) -> list[str]:
        """The processes of the run's steps, whoever started them."""
        marks = {f"{MARK}={one.id}".encode() for one in self.mine()}
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if marks & set(path.read_bytes().split(b"\0")):
                    found.append(path.parent.joinpath("cmdline").read_text(errors="replace").replace("\0", " "))
        return found

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """What must be true of every row."""
        last = self.processes[-1]
        assert last.popen.returncode in self.row.codes, f"ended with {last.popen.returncode}:\n{last.said}"
        assert [words for words in self.row.says if words not in last.said] == [], last.said
        for process in self.processes:
            # A kill is negative; what ends by itself has an exit code of the table, and tells no story of Python's.
            assert process.popen.returncode < 0 or process.popen.returncode in _KNOWN, process.said
            assert "Traceback" not in process.said, process.said
            assert process.popen.returncode <= 0 or "Fix: " in process.said or "removed" in process.said, process.said
        self.check_nothing_runs()
        if last.popen.returncode == 0:
            self._check_whole()
            assert self._kept() == []
        else:
            assert self.repository.whole_files() == []
            assert not self.manifest_path.is_file() or not self.manifest.complete
        self.check_no_token()

    def _kept(self) -> list[str]:
        """What takes room on the server: files of septum's in workspaces that nobody has deleted."""
        deleted = {name for name, status in self.statuses().items() if status == "deleted"}
        files = [
            path for one in self.mine() if one.full_name not in deleted for path in one.workspace.rglob("septum/*")
        ]
        return sorted(str(path) for path in files if path.is_file() or any(path.iterdir()))

    def check_nothing_runs(self) -> None:
        """No workflow is under way, or will ever be, and no step of one has left a process."""
        assert not LIVE & set(self.statuses().values()), self.statuses()
        self.until(lambda: not self.processes_left(), 10)

    def check_no_token(self) -> None:
        """No token, not even an old one, stands in what septum printed or in a file that it left."""
        secrets = [secret.encode() for secret in self.where.watch.secrets]
        for path in self.repository.folder.parent.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert not any(secret in data for secret in secrets), f"a token stands in {path}"
        for process in self.processes:
            assert "access_token=" not in process.said, process.said

    def _check_whole(self) -> None:
        """The result is that of the undisturbed run, and every part is in it once."""
        assert sha256(self.repository.result / "all.root") == self.where.sha256
        assert self.repository.whole_files() == ["all.root"]
        assert self.manifest.complete is True
        assert [(part.id, part.state) for part in self.manifest.parts] == [(part, "merged") for part in IDS]

    @property
    def manifest_path(self) -> Path:
        """The manifest's file."""
        return self.repository.result / NAME

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return from_json(self.manifest_path.read_text(encoding="utf-8"), name=NAME)

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        for process in self.processes:
            with contextlib.suppress(OSError):
                process.kill()
            process.popen.wait()
        self.let_go()


def new_run(row: Row, where: Field, server: ReanaServer, *, name: str = "") -> Run:
    """A run of its own for a row.

    Args:
        row: The row.
        where: The field.
        server: The server.
        name: Of a second run of the same row.
    """
    label = f"{row.name}{name}"
    folder = where.folder / label
    folder.mkdir()
    environ = {"SEPTUM_RUN": label, "SEPTUM_CLUSTER": CLUSTER}
    repository = copy_of(where.analysis, folder / "analysis", **environ)
    where.watch.secrets.add(server.token)
    tag = f"laptop/{label}/-/-/{plan_of(repository).hash[:16]}"
    run = Run(row=row, where=where, server=server, repository=repository, tag=tag, token=server.token)
    run.change_profile()
    return run


def play(row: Row, where: Field, servers: Servers) -> None:
    """Run a row and see that all that must be true is."""
    with servers.one() as server:
        run = new_run(row, where, server)
        began, outcome = time.monotonic(), "held"
        try:
            row.story(run)
            run.check()
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
            raise
        finally:
            took_s = time.monotonic() - began
            (where.folder / f"{row.name}.outcome").write_text(f"{took_s:.1f} s {outcome}\n")
            run.end()
            server.heal()
            server.hold_queue(held=False)
            server.store.set("quota", {})
            for path in (server.folder / "faults").glob("*"):
                path.unlink(missing_ok=True)
