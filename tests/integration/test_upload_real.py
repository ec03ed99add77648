"""Results brought to a real XRootD server, over its own protocol and over HTTPS, with tokens and with proxies.

The server is the facility's, with what sites have beside: checksums, WebDAV on the same port, and one small disk.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from septum.credentials.held import Credentials
from septum.credentials.redact import KNOWN
from septum.errors import SeptumError, TryAgainError, UploadError
from septum.facility import process, xrootd
from septum.facility.debian import debian
from septum.facility.issuer import write_private
from septum.facility.sandbox import POOL, Sandbox
from septum.plan import Publish
from septum.upload.upload import Uploaded, upload_all
from tests.fakes.cluster import FakeClock
from tests.leaks import Secrets, Watch, private_key

if TYPE_CHECKING:
    from septum.facility import Facility
    from septum.facility.xrootd import XRootD

BOTH = pytest.mark.parametrize("protocol", ["root", "https"])
SMALL_B = 2_000_000
CREATE = "storage.create:/store/user wlcg"
_WEBDAV = """
xrootd.chksum max 2 adler32
xrd.protocol http:{port} libXrdHttp.so
http.cadir /trust/certificates
http.cert {pool}/etc/localhost.pem
http.key {pool}/etc/localhost.key
http.secxtractor libXrdHttpVOMS.so
http.header2cgi Authorization authz
"""


class _SmallDisk(Sandbox):
    """A sandbox with a file system that is soon full, at `/store/user/full`."""

    def argv(self, command: Sequence[str], *, cwd: str = "/tmp") -> list[str]:
        """The whole command line."""
        words = super().argv(command, cwd=cwd)
        at = words.index("--chdir")
        return [*words[:at], "--size", str(SMALL_B), "--tmpfs", f"{POOL}/data/store/user/full", *words[at:]]


def _start(facility: Facility, folder: Path) -> XRootD:
    plain = xrootd._configuration
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xrootd, "_configuration", lambda port: plain(port) + _WEBDAV.format(port=port, pool=POOL))
        patch.setattr(xrootd, "Sandbox", _SmallDisk)
        server = xrootd.start_xrootd(
            folder,
            debian=debian(),
            authority=facility._authority,
            proxies=facility.proxies,
            issuer=facility.issuer.url,
        )
    server.wait_ready()
    return server


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> Iterator[None]:
    """A process forgets no secret, and each costs the next test time."""
    before = KNOWN._secrets
    KNOWN._secrets, KNOWN._index = {}, None
    yield
    KNOWN._secrets, KNOWN._index = before, None


@pytest.fixture(scope="module")
def proxy(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good proxy; a key takes a while."""
    return facility.make_proxy(tmp_path_factory.mktemp("proxy") / "proxy.pem")


@pytest.fixture(scope="module")
def server(facility: Facility, tmp_path_factory: pytest.TempPathFactory) -> Iterator[XRootD]:
    """The server, with a file of somebody else in a place where nobody may write."""
    running = _start(facility, tmp_path_factory.mktemp("storage") / "server")
    (running.folder / "store/others").mkdir()
    yield running
    running.stop()


@dataclass
class Client:
    """Somebody with files to publish, and with credentials."""

    facility: Facility
    folder: Path
    proxy: Path
    environ: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        """Files that are usual, empty, and oddly named."""
        (self.folder / "results").mkdir()
        (self.folder / "results/hists.root").write_bytes(os.urandom(3_000_000))
        (self.folder / "results/empty.root").touch()
        (self.folder / "results/odd").write_bytes(b"odd")
        # A gone server is waited for a second here, and for longer where nobody waits for us.
        self.environ |= {"XRD_CONNECTIONWINDOW": "1", "XRD_CONNECTIONRETRY": "1", "PATH": os.defpath}
        self.environ |= {"X509_CERT_DIR": self.facility.proxies.environment["X509_CERT_DIR"], "HOME": str(self.folder)}

    @property
    def files(self) -> dict[str, Path]:
        """What is published."""
        results = self.folder / "results"
        return {
            "hists.root": results / "hists.root",
            "parts/0001/empty.root": results / "empty.root",
            "a b?c=d&e%3F#.root": results / "odd",
        }

    def with_token(self, *, scope: str = "", audience: str = "") -> Client:
        """Get a token."""
        token = self.facility.issuer.token("storage-client", scope=scope, audience=audience)
        write_private(self.folder / "token", token)
        self.environ["BEARER_TOKEN_FILE"] = str(self.folder / "token")
        return self

    def with_proxy(self) -> Client:
        """Take the proxy."""
        self.environ["X509_USER_PROXY"] = str(self.proxy)
        return self

    def upload(self, to: str, files: Mapping[str, Path] | None = None) -> dict[str, Uploaded]:
        """Publish."""
        return upload_all(
            Publish(to=to),
            files or self.files,
            run="gitlab.test/1/2/-/abcdef",
            environ=self.environ,
            credentials=Credentials(self.folder),
            clock=self.clock,
            say=self.said.append,
        )

    def error(self, to: str, files: Mapping[str, Path] | None = None) -> SeptumError:
        """Publish, and get the error."""
        with pytest.raises(SeptumError) as caught:
            self.upload(to, files)
        return caught.value


@pytest.fixture
def client(facility: Facility, tmp_path: Path, proxy: Path) -> Client:
    """Somebody without credentials yet."""
    return Client(facility, tmp_path, proxy)


def _to(server: XRootD, protocol: str, folder: str) -> str:
    return f"{protocol}://localhost:{server.port}{'//' if protocol == 'root' else '/'}store/user/{folder}"


def _there(server: XRootD, folder: str) -> dict[str, bytes]:
    base = server.folder / "store/user" / folder
    return {path.relative_to(base).as_posix(): path.read_bytes() for path in base.rglob("*") if path.is_file()}


# ── what works ──────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
@pytest.mark.parametrize("way", ["token", "token that may only create", "proxy", "wrong token and proxy"])
def test_files_arrive(server: XRootD, client: Client, protocol: str, way: str) -> None:
    """Whole, by the server's own checksum, under names that every tool takes; a second time nothing is sent."""
    if "token" in way:
        client.with_token(
            scope=CREATE if "create" in way else "", audience="https://another.test" if "wrong" in way else ""
        )
    if "proxy" in way:
        client.with_proxy()
    folder = f"{protocol}-{way.replace(' ', '-')}"
    uploaded = client.upload(_to(server, protocol, folder) + "/{run}")
    there = _there(server, folder)
    before = {path: path.stat().st_mtime_ns for path in (server.folder / "store/user" / folder).rglob("*")}
    again = client.upload(_to(server, protocol, folder) + "/{run}")

    assert there == {
        "gitlab.test-1-2-abcdef/hists.root": client.files["hists.root"].read_bytes(),
        "gitlab.test-1-2-abcdef/parts/0001/empty.root": b"",
        "gitlab.test-1-2-abcdef/a~20b~3Fc=d~26e~253F~23.root": b"odd",
    }
    assert {result.verified_by for result in uploaded.values()} == {"adler32"}
    assert uploaded["hists.root"].url.endswith(f"/store/user/{folder}/gitlab.test-1-2-abcdef/hists.root")
    assert again == uploaded
    assert {path: path.stat().st_mtime_ns for path in (server.folder / "store/user" / folder).rglob("*")} == before


def test_a_server_without_checksums(facility: Facility, client: Client) -> None:
    """The file is read back; who may not read gets what the size proves, and the result says so."""
    plain = facility.storage()
    to = f"{plain.url}/store/user/plain"
    first = client.with_token().upload(f"{to}/a")
    again = client.upload(f"{to}/a")
    unread = client.with_token(scope=CREATE).upload(f"{to}/b")
    refused = client.error(f"{to}/b", {"hists.root": client.files["hists.root"]})

    assert {result.verified_by for result in first.values()} == {"re-read"}
    assert again == first
    assert {result.verified_by for result in unread.values()} == {"size"}
    assert "published 3 of 3" in client.said[-2]
    # That the same file stands there cannot be seen, so it is not taken for granted.
    assert "another file stands there" in refused.what
    assert "it has the same size" in refused.evidence


def test_with_tls_or_not_at_all(server: XRootD, client: Client) -> None:
    """An address with `roots` is as good."""
    to = _to(server, "root", "roots").replace("root:", "roots:")
    uploaded = client.with_token().upload(to, {"odd": client.files["a b?c=d&e%3F#.root"]})

    assert uploaded["odd"].url == f"{to}/odd"
    assert _there(server, "roots") == {"odd": b"odd"}


# ── what does not ───────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
@pytest.mark.parametrize("way", ["token", "proxy"])
def test_another_file_stays(server: XRootD, client: Client, protocol: str, way: str) -> None:
    """Of the same size and of another; XRootD itself would let a proxy overwrite it."""
    client.with_token() if way == "token" else client.with_proxy()
    folder = server.folder / f"store/user/taken-{protocol}-{way}"
    folder.mkdir()
    size_b = client.files["hists.root"].stat().st_size
    for content in (b"other", bytes(size_b)):
        (folder / "hists.root").write_bytes(content)
        error = client.error(_to(server, protocol, folder.name), {"hists.root": client.files["hists.root"]})

        assert error.exit_code == 47
        assert "another file stands there" in error.what
        assert "{run}" in error.fix
        assert _there(server, folder.name) == {"hists.root": content}


@BOTH
@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("nothing", "because the client finds neither proxy nor token"),
        ("token for another service", "because the token is for https://another.test, not for localhost"),
        ("token that may only read", "scope storage.read:/ wlcg"),
        ("expired proxy", "because the X.509 proxy"),
        ("proxy without VO", "the proxy carries no attributes of a VO"),
        ("token that others can read", "is open to other users"),
    ],
)
def test_refusals(facility: Facility, server: XRootD, client: Client, protocol: str, way: str, words: str) -> None:
    """Exit code 47, and beside the storage's words what is seen of the credential."""
    if way == "token for another service":
        client.with_token(audience="https://another.test")
    elif way == "token that may only read":
        client.with_token(scope="storage.read:/ wlcg")
    elif way == "expired proxy":
        old = facility.make_proxy(client.folder / "old.pem", lifetime_s=-7200, voms_lifetime_s=-7200)
        client.environ["X509_USER_PROXY"] = str(old)
    elif way == "proxy without VO":
        client.environ["X509_USER_PROXY"] = str(facility.proxies.make(client.folder / "proxy.pem", vo=None))
    elif way == "token that others can read":
        client.with_token(scope="storage.read:/ wlcg")
        (client.folder / "token").chmod(0o644)
    error = client.error(_to(server, protocol, f"refused-{protocol}"))

    assert type(error) is UploadError
    assert words in error.evidence
    assert "stay in the result folder" in error.evidence
    assert client.clock.passed_s == 0
    assert _there(server, f"refused-{protocol}") == {}


@BOTH
@pytest.mark.parametrize("way", ["token", "proxy"])
def test_a_place_where_nobody_may_write(server: XRootD, client: Client, protocol: str, way: str) -> None:
    """The server's own words, and what to ask for."""
    client.with_token() if way == "token" else client.with_proxy()
    error = client.error(_to(server, protocol, "x").replace("/user/", "/others/"))

    assert error.exit_code == 47
    assert "the storage does not allow it" in error.what
    assert "permission denied" in error.evidence
    assert "storage.create:/PATH" in error.fix
    assert list((server.folder / "store/others").iterdir()) == []


@BOTH
def test_a_full_disk(server: XRootD, client: Client, protocol: str) -> None:
    """What does not fit is not tried again, and leaves room for what does."""
    client.with_proxy()
    folder = _to(server, protocol, f"full/{protocol}")
    error = client.error(folder, {"hists.root": client.files["hists.root"]})
    small = client.upload(folder, {"odd": client.files["a b?c=d&e%3F#.root"]})

    assert type(error) is UploadError
    assert "no room" in error.what, error
    assert client.clock.passed_s == 0
    assert small["odd"].verified_by == "adler32"


@BOTH
def test_a_server_that_dies_in_the_middle(facility: Facility, client: Client, tmp_path: Path, protocol: str) -> None:
    """Exit code 75; what is half there has no name that anybody would take for a result."""
    server = _start(facility, tmp_path / "server")
    large = tmp_path / "large.root"
    with large.open("wb") as stream:
        stream.truncate(200 << 20)
    client.with_token()
    killed = threading.Event()

    def kill() -> None:
        def half() -> bool:
            return any(path.stat().st_size > 10_000_000 for path in server.folder.rglob(".septum-*"))

        if process.wait_until(half, timeout_s=30, interval_s=0.002):
            os.killpg(server._server.pid, signal.SIGKILL)
            killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        error = client.error(_to(server, protocol, "dies"), {"large.root": large})
    finally:
        thread.join()
        server.stop()
    left = [path for path in server.folder.rglob("*") if path.is_file()]

    assert killed.is_set()
    assert type(error) is TryAgainError
    assert error.exit_code == 75
    assert client.clock.passed_s > 3
    assert [re.sub("[0-9a-f]{16}", "…", path.name) for path in left] == [".septum-….part"]
    assert left[0].stat().st_size < large.stat().st_size


@BOTH
def test_a_host_that_is_not_trusted(server: XRootD, client: Client, tmp_path: Path, protocol: str) -> None:
    """No credential is shown, and the folder of the CAs is named."""
    (tmp_path / "empty").mkdir()
    client.with_token().environ["X509_CERT_DIR"] = str(tmp_path / "empty")
    before = server.log_file.stat().st_size
    error = client.error(_to(server, protocol, "untrusted"))

    assert error.exit_code == 47
    assert {"root": "there are no CA certificates of the grid in", "https": "host certificate was not accepted"}[
        protocol
    ] in error.evidence
    assert "storage-client" not in server.log_file.read_bytes()[before:].decode(errors="replace")


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
def test_no_secret_gets_out(facility: Facility, server: XRootD, client: Client, protocol: str) -> None:
    """Not into arguments and environments of processes, lines, errors, results, names on storage, the server's log."""
    client.with_token(audience="https://another.test").with_proxy()
    secrets = Secrets()
    secrets.add("token", (client.folder / "token").read_text())
    secrets.add("proxy", private_key(client.proxy.read_bytes()))
    before = server.log_file.stat().st_size
    with Watch(secrets, facility.issuer.url) as watch:
        uploaded = client.upload(_to(server, protocol, f"secret-{protocol}"))
        error = client.error(_to(server, protocol, "x").replace("/user/", "/others/"))
        time.sleep(0.1)
    children = [seen for seen in watch.seen.values() if b"septum.upload.xrootd" in seen.argv]
    texts = [*client.said, str(error), repr(error.__context__), repr(error.__cause__), str(uploaded), str(client)]
    texts += [str(path) for path in server.folder.rglob("*")]

    assert bool(children) == (protocol == "root")
    assert watch.arguments_with_secrets() == []
    assert [seen for seen in children for _ in secrets.find(seen.environ)] == []
    assert [text for text in texts if secrets.find(text.encode())] == []
    assert secrets.find(server.log_file.read_bytes()[before:]) == []
    if protocol == "https":
        assert KNOWN.text(f"Bearer {(client.folder / 'token').read_text()}") == "Bearer ***"
