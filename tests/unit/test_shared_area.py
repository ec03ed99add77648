"""What all parts share, brought to a storage: named by its content, compared, never overwritten, without a secret."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from septum.backends.base import JobReport, Run
from septum.backends.htcondor.shared_inputs import INPUTS_HOLD, SharedInputs
from septum.clusters.profile import Profile
from septum.credentials.held import Credentials
from septum.errors import ClusterUnreachableError, SeptumError, SharedAreaError, StateError
from septum.facility.certificates import Authority, create_authority
from septum.shared import MANY_B, Sending, goes_by_url, object_name, plugin_method, read_url, sending, workflows
from septum.states import JobState
from septum.upload.area import CHECKED_FOR_S, Area
from septum.worker.sandbox import SHARED
from tests.fakes.analyses import plan_of, seeds
from tests.fakes.cluster import FakeClock
from tests.fakes.storage import WebDavDouble, serving

TOKEN = "a-token-of-the-storage-that-nobody-must-see-0123456789"
DATA = bytes(range(256)) * 4000
SHA = hashlib.sha256(DATA).hexdigest()
OBJECT = f"/store/septum/2023-11/{SHA}.tar.gz"
"""Where it stands at the time of the fake clock."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A throw-away CA; a key takes a while."""
    return create_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def dav(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebDavDouble]:
    """A WebDAV double that wants the token; all names are this machine."""
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda at, *more: connect(("127.0.0.1", at[1]), *more))
    double = WebDavDouble("door.example.org", token=TOKEN)
    with serving(double, authority):
        yield double


def profile_of(**values: Any) -> Profile:
    """A cluster of HTCondor."""
    return Profile(name="c", method="htcondor", collector="cm:9618", schedd="s", **values)


class Rig:
    """A run with an archive, and an area for it."""

    def __init__(self, folder: Path, authority: Authority, dav: WebDavDouble, **values: Any) -> None:
        self.path = folder / SHARED
        self.path.write_bytes(DATA)
        (folder / "token").write_text(TOKEN)
        (folder / "token").chmod(0o600)
        self.clock = FakeClock()
        self.environ = {"BEARER_TOKEN_FILE": str(folder / "token"), "REQUESTS_CA_BUNDLE": str(authority.file)}
        self.credentials = Credentials(folder)
        self.profile = profile_of(shared_area=f"{dav.url}/store/septum", **values)
        self.area = self.start()

    def start(self, run: str = "gitlab.test/1/2/-/abc") -> Area:
        """An area as after a restart: it knows nothing."""
        return Area(self.profile, self.credentials, self.path, run=run, environ=self.environ, clock=self.clock)

    def error(self) -> SeptumError:
        """The error of a look at the area."""
        with pytest.raises(SeptumError) as caught:
            self.area.url()
        assert TOKEN not in str(caught.value)
        return caught.value


@pytest.fixture
def rig(tmp_path: Path, authority: Authority, dav: WebDavDouble) -> Rig:
    """An area that works."""
    return Rig(tmp_path, authority, dav)


# ── what works ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_named_by_its_content(rig: Rig, dav: WebDavDouble) -> None:
    """In the folder of the month; the address has no secret in it."""
    assert rig.area.url() == f"{dav.url}{OBJECT}"
    assert dav.files == {OBJECT: DATA}


def test_it_is_sent_once(rig: Rig, dav: WebDavDouble) -> None:
    """Not again by another run, nor by a CI job that is retried: they compare what is there."""
    rig.area.url()
    puts = dav.methods().count("PUT")
    addresses = {rig.start(run).url() for run in ("gitlab.test/1/2/-/abc", "gitlab.test/1/3/-/def")}

    assert addresses == {f"{dav.url}{OBJECT}"}
    assert dav.methods().count("PUT") == puts


def test_it_is_looked_at_now_and_then(rig: Rig, dav: WebDavDouble) -> None:
    """Not for each submission; whenever a new job is submitted for one that failed."""
    rig.area.url()
    asked = len(dav.asked)
    rig.area.url()
    assert len(dav.asked) == asked

    rig.area.url(anew=True)
    again = len(dav.asked)
    assert again > asked

    rig.clock.sleep(CHECKED_FOR_S + 1)
    rig.area.url()
    assert len(dav.asked) > again


def test_it_has_vanished(rig: Rig, dav: WebDavDouble) -> None:
    """Then it is brought there again."""
    rig.area.url()
    dav.files.clear()

    assert rig.area.url(anew=True) == f"{dav.url}{OBJECT}"
    assert dav.files == {OBJECT: DATA}


@pytest.mark.parametrize("wrong", [DATA[:-1], bytes(len(DATA)), b""])
@pytest.mark.parametrize("digest", ["adler32", ""])
def test_another_stands_there(rig: Rig, dav: WebDavDouble, wrong: bytes, digest: str) -> None:
    """It stays, and ours is put beside it, where jobs then look."""
    dav.digest = digest
    dav.folders |= {"/store/septum", "/store/septum/2023-11"}
    dav.files[OBJECT] = wrong
    beside = OBJECT.replace(".tar.gz", ".1.tar.gz")

    assert rig.area.url() == f"{dav.url}{beside}"
    assert dav.files == {OBJECT: wrong, beside: DATA}


def test_others_stand_everywhere(rig: Rig, dav: WebDavDouble) -> None:
    """That ends with an error that says what to do."""
    for number in ("", ".1", ".2"):
        dav.files[OBJECT.replace(".tar.gz", f"{number}.tar.gz")] = b"x"
    error = rig.error()

    assert isinstance(error, SharedAreaError)
    assert "not what their names say" in error.what
    assert error.fix == "remove these objects"


def test_another_run_brings_the_same_meanwhile(rig: Rig, dav: WebDavDouble) -> None:
    """Ours is refused, in whatever words; theirs is found and compared."""
    for status in (403, 412):
        dav.files.clear()
        rig.area = rig.start()

        def theirs(_: int) -> None:
            dav.files[OBJECT] = DATA

        dav.on_body = theirs
        dav.answers["MOVE"] = [(status, {})]
        assert rig.area.url() == f"{dav.url}{OBJECT}"
    assert dav.files[OBJECT] == DATA


def test_an_upload_that_is_cut(rig: Rig, dav: WebDavDouble) -> None:
    """Is tried again, and nothing half has the name."""
    cuts: list[int] = []

    def cut(size_b: int) -> None:
        if size_b > 100_000 and len(cuts) < 2:
            cuts.append(size_b)
            assert OBJECT not in dav.files
            raise OSError("the line is cut")

    dav.on_body = cut
    assert rig.area.url() == f"{dav.url}{OBJECT}"
    assert len(cuts) == 2
    assert dav.files == {OBJECT: DATA}


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_full(rig: Rig, dav: WebDavDouble) -> None:
    """Said, with the way out."""
    dav.room_b = 1000
    error = rig.error()

    assert (type(error), error.exit_code) == (SharedAreaError, 21)
    assert "no room" in error.what
    assert "earlier months" in error.fix


def test_it_may_not_be_written(rig: Rig, dav: WebDavDouble) -> None:
    """403 is not tried as if it were a cut line."""
    dav.denied = frozenset({"PUT"})
    error = rig.error()

    assert isinstance(error, SharedAreaError)
    assert "does not allow it" in error.what
    assert "storage-scope" in error.fix
    assert dav.files == {}


def test_the_token_is_not_taken(rig: Rig, dav: WebDavDouble) -> None:
    """The error does not show it."""
    dav.token = "another"
    error = rig.error()

    assert isinstance(error, SharedAreaError)
    assert "did not accept each other" in error.what


def test_the_archive_is_gone(rig: Rig) -> None:
    """The state folder was not kept: that is no fault of the storage."""
    rig.path.unlink()
    error = rig.error()

    assert isinstance(error, StateError)
    assert "state folder" in error.fix


def test_it_does_not_answer(rig: Rig, dav: WebDavDouble) -> None:
    """An error that passes: collect bears it for a while."""
    dav.answers["HEAD"] = [(503, {})] * 20
    error = rig.error()

    assert isinstance(error, ClusterUnreachableError)
    assert "503" in error.evidence


# ── when ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_small_is_sent_with_each_job() -> None:
    """And so is everything where no area is named, or the parts run here."""
    profile = profile_of(shared_area="https://a.example.org/x", shared_above=1000)

    assert goes_by_url(profile, 1001)
    assert not goes_by_url(profile, 1000)
    assert not goes_by_url(profile_of(shared_above=1000), 1 << 30)
    assert not goes_by_url(Profile(name="l", method="local"), 1 << 30)


@pytest.mark.parametrize(
    ("area", "read", "url", "method"),
    [
        ("https://a.org/x/", "", "https://a.org/x/n", "https"),
        ("davs://a.org/x", "", "https://a.org/x/n", "https"),
        ("https://a.org/x", "cms+https://b.org/y", "cms+https://b.org/y/n", "https"),
        ("root://a.org//x", "", "root://a.org//x/n", "root"),
        ("https://a.org/x", "osdf:///x/y", "osdf:///x/y/n", "osdf"),
    ],
)
def test_addresses(area: str, read: str, url: str, method: str) -> None:
    """What jobs read by, and the plugin that HTCondor takes for it."""
    profile = profile_of(shared_area=area, shared_read=read, job_tokens=["cms"])

    assert read_url(profile, "n") == url
    assert plugin_method(url) == method


def test_names() -> None:
    """The month is that of Greenwich."""
    assert object_name("ab", now_s=0.0) == "1970-01/ab.tar.gz"
    assert object_name("ab", now_s=31 * 86400.0, number=2) == "1970-02/ab.2.tar.gz"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"shared_area": "https://a.org/x?authz=secret"}, "nothing behind it"),
        ({"shared_area": "https://user:password@a.org/x"}, "expected https"),
        ({"shared_area": "https://a.org/x,y"}, "expected https"),
        ({"shared_area": "https://a.org/$(x)"}, "expected https"),
        ({"shared_area": "http://a.org/x"}, "expected https"),
        ({"shared_area": "cms+https://a.org/x"}, "expected https"),
        ({"shared_read": "https://a.org/x"}, "'shared-area', and that is empty"),
        ({"shared_area": "https://a.org/x", "shared_read": "cms+https://a.org/x"}, "none of 'job-tokens'"),
        ({"shared_area": "https://a.org/x", "shared_read": "https://a.org/x?y"}, "nothing behind it"),
    ],
)
def test_addresses_that_are_refused(values: dict[str, Any], says: str) -> None:
    """Above all those with a secret in them, which everybody who sees the queue could read."""
    with pytest.raises(ValueError, match=r"shared-area|shared-read|expected https") as caught:
        profile_of(**values)

    assert says in str(caught.value)


def test_it_is_for_htcondor_alone() -> None:
    """Parts of this machine have the files already."""
    with pytest.raises(ValueError, match="for jobs of HTCondor"):
        Profile(name="l", method="local", shared_area="https://a.org/x")


def test_what_a_run_costs_is_said() -> None:
    """And when it is too much, what helps."""
    many = Sending(jobs=411, spool_b=411 * (100 << 20), area_b=0, shared_b=100 << 20)
    once = Sending(jobs=411, spool_b=34_000_000, area_b=100 << 20, shared_b=100 << 20)
    own = Sending(jobs=411, spool_b=MANY_B + 1, area_b=100 << 20, shared_b=100 << 20)

    assert (many.line, many.to) == ("411 jobs send 40.1 GB to the schedd", "to the schedd, for all jobs")
    assert "411 copies of the same 100.0 MB" in many.warning
    assert "'shared-area'" in many.warning
    assert (once.line.count("100.0 MB"), once.warning) == (1, "")
    assert "by URL" in own.warning


def _reana(**values: Any) -> Profile:
    usual = {"method": "reana", "credentials": "access-token", "reana_server": "https://reana.example.org"}
    return Profile(name="r", **{"lease": 7200, **usual, **values})


def test_on_reana_each_workflow_gets_one_copy(tmp_path: Path) -> None:
    """However many parts it has: 411 of them with 100 MB are no 41 GB, and nothing to warn of."""
    (tmp_path / "in.txt").write_text("x")
    plan = plan_of(seeds(411, more="inputs: [in.txt]\n"), tmp_path)
    sizes = {SHARED: 100 << 20}
    one, three, more = (
        sending(plan, _reana(max_jobs_per_submission=most), lambda name: sizes.get(name, 1000), pilot=pilot)
        for most, pilot in ((2000, False), (200, False), (2000, True))
    )

    assert one.line == "411 parts send 100.4 MB to REANA, in 1 workflow"
    assert three.line == "411 parts send 300.4 MB to REANA, in 3 workflows"
    assert (more.workflows, one.area_b, one.warning, three.warning) == (2, 0, "", "")


def test_what_helps_on_reana() -> None:
    """It has no shared area; so nobody is told to name one."""
    shared = Sending(jobs=411, spool_b=3 * (5 << 30), area_b=0, shared_b=5 << 30, workflows=3)
    own = Sending(jobs=411, spool_b=MANY_B + 1, area_b=0, shared_b=1 << 20, workflows=3)

    assert "15.0 GB of that are what all parts share, which goes to each workflow once" in shared.warning
    assert "by URL" in own.warning
    assert "shared-area" not in shared.warning + own.warning


@pytest.mark.parametrize(
    ("values", "pilot", "number"),
    [
        ({}, False, 1),
        ({"max_jobs_per_submission": 4}, False, 3),
        ({"max_jobs_per_submission": 4}, True, 4),
        ({"max_jobs_per_owner": 5}, False, 2),
        ({"max_bytes_per_submission": 100 + 30}, False, 4),
    ],
)
def test_how_many_workflows_a_run_becomes(values: dict[str, Any], *, pilot: bool, number: int) -> None:
    """As many as the limits of the profile ask for; a pilot is one of its own."""
    assert workflows(_reana(**values), [10] * 10, once_b=100, pilot=pilot) == number
    assert workflows(profile_of(), [10] * 10, once_b=100) == 0
    assert workflows(_reana(), [], once_b=100) == 0


# ── the backend's side ──────────────────────────────────────────────────────────────────────────────────────────


class Side:
    """The shared inputs of a run, without HTCondor."""

    def __init__(self, rig: Rig, folder: Path, plugins: list[str] | None) -> None:
        folder.mkdir()
        (folder / "in.txt").write_text("x")
        plan = plan_of(seeds(1, more="inputs: [in.txt]\n"), folder)
        run = Run(tag="t", plan=plan, folder=folder / "state")
        run.sent.mkdir(parents=True)
        (run.sent / SHARED).write_bytes(DATA)
        self.calls: list[str] = []

        def call(name: str, _: str) -> Any:
            self.calls.append(name)
            return plugins

        self.shared = SharedInputs(run, rig.profile, rig.credentials, call)
        self.shared._area = rig.area


@pytest.mark.parametrize("plugins", [["data", "http"], []])
def test_no_worker_has_the_plugin(rig: Rig, dav: WebDavDouble, tmp_path: Path, plugins: list[str]) -> None:
    """An error before anything is sent."""
    with pytest.raises(SharedAreaError, match="no machine of the pool announces") as caught:
        Side(rig, tmp_path / "run", plugins).shared.url(anew=False)

    assert (", ".join(plugins) or "none") in caught.value.evidence
    assert dav.asked == []


@pytest.mark.parametrize("plugins", [["data", "https"], None])
def test_the_plugin_is_looked_for_once(rig: Rig, tmp_path: Path, plugins: list[str] | None) -> None:
    """A collector that lists no machines, as that of a CE, says nothing."""
    side = Side(rig, tmp_path / "run", plugins)

    assert side.shared.url(anew=False) == side.shared.url(anew=False) != ""
    assert side.calls == ["plugins"]


def test_a_job_that_missed_its_inputs(rig: Rig, dav: WebDavDouble, tmp_path: Path) -> None:
    """They are brought there again, at most once a minute, and that it fails is a warning."""
    side = Side(rig, tmp_path / "run", None)
    side.shared.url(anew=False)
    dav.files.clear()
    assert side.shared.heal() == []
    assert dav.files == {}

    held = JobReport(part="0000", job="1.0", state=JobState.HELD, hold_code=INPUTS_HOLD)
    side.shared.look([held])
    assert side.shared.heal() == []
    assert dav.files == {OBJECT: DATA}

    dav.files.clear()
    assert side.shared.heal() == []
    assert dav.files == {}
    side.shared._looked_s = 0.0
    dav.denied = frozenset({"PUT"})
    (warning,) = side.shared.heal()
    assert "does not allow it" in warning
