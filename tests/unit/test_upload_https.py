"""Uploads over HTTPS against strict doubles on the loopback interface: WebDAV with a token, S3 with presigned URLs.

`tests/integration/test_upload_real.py` does the same with XRootD's own server.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from septum.credentials.held import Credentials
from septum.credentials.redact import KNOWN
from septum.errors import SeptumError, TryAgainError, UploadError
from septum.facility.certificates import Authority, create_authority
from septum.plan import Publish
from septum.upload import exchange
from septum.upload.attempt import AttemptError
from septum.upload.exchange import Door, request, same_site, trust
from septum.upload.upload import Uploaded, upload_all
from septum.upload.webdav import read_digests
from tests.fakes.cluster import FakeClock
from tests.fakes.storage import Double, S3Double, WebDavDouble, serving
from tests.leaks import Secrets

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbi0wMTIzNDU2Nzg5"
DATA = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A throw-away CA; a key takes a while."""
    return create_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def _hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """All names of the tests are this machine."""
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda at, *more: connect(("127.0.0.1", at[1]), *more))


@pytest.fixture
def start(authority: Authority) -> Iterator[Callable[[Any], Any]]:
    """Starts a double, and stops it at the end."""
    with contextlib.ExitStack() as stack:

        def started(double: Double) -> Double:
            stack.enter_context(serving(double, authority))
            return double

        yield started


@pytest.fixture
def dav(start: Callable[[Any], Any]) -> WebDavDouble:
    """A WebDAV double that wants the token."""
    double: WebDavDouble = start(WebDavDouble("door.example.org", token=TOKEN))
    return double


class Client:
    """Uploads, and remembers what was said."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.clock = FakeClock()
        (folder / "token").write_text(TOKEN + "\n")
        (folder / "hists.root").write_bytes(DATA)
        self.environ = {"BEARER_TOKEN_FILE": str(folder / "token"), "REQUESTS_CA_BUNDLE": str(authority.file)}
        self.credentials = Credentials(folder)

    def upload(self, to: str, files: Mapping[str, Path] | None = None) -> dict[str, Uploaded]:
        """Upload `hists.root`, or other files."""
        return upload_all(
            Publish(to=to),
            files or {"hists.root": self.folder / "hists.root"},
            run="run/1",
            environ=self.environ,
            credentials=self.credentials,
            clock=self.clock,
            say=self.said.append,
        )

    def error(self, to: str) -> SeptumError:
        """Upload, and get the error."""
        with pytest.raises(SeptumError) as caught:
            self.upload(to)
        return caught.value


@pytest.fixture
def client(tmp_path: Path, authority: Authority) -> Client:
    """Something that uploads, with the token."""
    return Client(tmp_path, authority)


# ── what works ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("digest", "proof"), [("adler32", "adler32"), ("sha-256", "sha-256"), ("", "re-read")])
def test_webdav(client: Client, dav: WebDavDouble, digest: str, proof: str) -> None:
    """Folders are made, the file travels under another name, is verified, and renamed without overwriting."""
    dav.digest = digest
    uploaded = client.upload(f"{dav.url}/store/{{run}}/a")["hists.root"]
    again = client.upload(f"{dav.url}/store/{{run}}/a")["hists.root"]
    moves = [asked for asked in dav.asked if asked.method == "MOVE"]

    assert uploaded == again
    assert (uploaded.url, uploaded.size_b) == (f"{dav.url}/store/run-1/a/hists.root", len(DATA))
    assert uploaded.verified_by == proof
    assert dav.files == {"/store/run-1/a/hists.root": DATA}
    assert [asked.headers["Overwrite"] for asked in moves] == ["F"]
    assert client.said[1].startswith("published 1 of 1: hists.root (")


def test_refused_before_the_body(client: Client, dav: WebDavDouble) -> None:
    """The server says no after the headers; not a byte of the file travels."""
    sent: list[int] = []
    dav.denied, dav.on_body = frozenset({"PUT"}), sent.append
    error = client.error(f"{dav.url}/store")

    assert "HTTP 403 PUT of /store/.septum-" in error.evidence
    assert sent == []


def test_a_server_that_does_not_say_continue(
    client: Client, dav: WebDavDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it gets the body all the same."""
    monkeypatch.setattr(exchange, "_CONTINUE_S", 0.1)
    dav.waits = False

    assert client.upload(f"{dav.url}/store")["hists.root"].verified_by == "adler32"


def test_a_file_that_disappears_between_two_attempts(client: Client, dav: WebDavDouble) -> None:
    """That is no fault of the storage, and not a reason to try again later."""
    dav.answers["PUT"] = [(503, {})]
    client.clock.on_sleep.append(lambda _: (client.folder / "hists.root").unlink(missing_ok=True))
    with pytest.raises(FileNotFoundError, match=r"hists\.root"):
        client.upload(f"{dav.url}/store")


def test_an_empty_file(client: Client, dav: WebDavDouble) -> None:
    """It is a file as any other."""
    (client.folder / "hists.root").write_bytes(b"")

    assert client.upload(f"{dav.url}/store")["hists.root"].size_b == 0
    assert dav.files == {"/store/hists.root": b""}


def test_without_move(client: Client, dav: WebDavDouble) -> None:
    """Storage that does not rename gets the file under its own name."""
    dav.unknown = frozenset({"MOVE"})

    assert client.upload(f"{dav.url}/store")["hists.root"].verified_by == "adler32"
    assert dav.files == {"/store/hists.root": DATA}


# ── what does not ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (400, "the storage refused it", UploadError),
        (401, "did not accept each other", UploadError),
        (403, "does not allow it", UploadError),
        (405, "cannot do what is needed", UploadError),
        (412, "another file stands there", UploadError),
        (413, "no room", UploadError),
        (507, "no room", UploadError),
        (429, "did not answer", TryAgainError),
        (500, "did not answer", TryAgainError),
        (503, "did not answer", TryAgainError),
        (202, "the storage refused it", UploadError),
        (399, "the storage refused it", UploadError),
    ],
)
def test_answers_of_a_server(
    client: Client, dav: WebDavDouble, status: int, words: str, error: type[SeptumError]
) -> None:
    """Each is told apart; only what may pass is tried again, a few times and with pauses."""
    dav.answers["PUT"] = [(status, {})] * 10
    caught = client.error(f"{dav.url}/store")
    attempts = dav.methods().count("PUT")

    assert type(caught) is error
    assert caught.exit_code == (75 if error is TryAgainError else 47)
    assert words in caught.what
    assert f"HTTP {status}" in caught.evidence
    assert "stay in the result folder" in caught.evidence
    assert attempts == (4 if error is TryAgainError else 1)
    assert (client.clock.passed_s > 0) == (error is TryAgainError)
    assert dav.files == {}


def test_a_folder_that_cannot_be_made(client: Client, dav: WebDavDouble) -> None:
    """The last answer is that of the file."""
    dav.denied = frozenset({"MKCOL"})

    assert "HTTP 409" in client.error(f"{dav.url}/store/a/b").evidence


def test_a_server_that_is_busy_for_a_while(client: Client, dav: WebDavDouble) -> None:
    """It says how long to wait, within reason."""
    dav.answers["PUT"] = [(503, {"Retry-After": "40"}), (503, {"Retry-After": "999999"})]

    assert client.upload(f"{dav.url}/store")["hists.root"].verified_by == "adler32"
    assert 100 <= client.clock.passed_s < 110


def test_a_server_that_dies_in_the_middle(client: Client, dav: WebDavDouble) -> None:
    """Once: another attempt. Always: exit code 75, and nothing under the file's name."""

    def hang_up(received: int) -> None:
        if received > 100_000:
            raise OSError

    dav.on_body = hang_up
    error = client.error(f"{dav.url}/store")

    assert type(error) is TryAgainError
    assert dav.files == {}
    assert dav.methods().count("PUT") == 4
    dav.on_body = lambda _: None
    assert client.upload(f"{dav.url}/store")["hists.root"].verified_by == "adler32"


def test_nobody_listens(client: Client) -> None:
    """Exit code 75, with the reason."""
    error = client.error("https://door.example.org:1/store")

    assert error.exit_code == 75
    assert "Connection refused" in error.evidence


def test_a_host_that_is_not_trusted(client: Client, dav: WebDavDouble) -> None:
    """No request is sent, and so no token."""
    del client.environ["REQUESTS_CA_BUNDLE"]
    error = client.error(f"{dav.url}/store")

    assert "host certificate was not accepted" in error.evidence
    assert error.exit_code == 47
    assert dav.asked == []


def test_the_profile_says_whom_to_trust(client: Client, dav: WebDavDouble, authority: Authority) -> None:
    """As well as the environment; the folder of the grid is tried with the real server."""
    client.credentials.ca_file = authority.file
    del client.environ["REQUESTS_CA_BUNDLE"]

    assert client.upload(f"{dav.url}/store")


@pytest.mark.parametrize("content", [None, "", "no PEM"])
def test_a_ca_file_that_cannot_be_used(client: Client, tmp_path: Path, content: str | None) -> None:
    """It is named, and nothing is sent."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    client.environ["REQUESTS_CA_BUNDLE"] = str(path)

    assert "CA certificates of REQUESTS_CA_BUNDLE cannot be read" in client.error("https://door.example.org/x").evidence


@pytest.mark.parametrize("content", ["", "two words", f"{TOKEN}\r\nX-Evil: 1", None])
def test_a_file_that_holds_no_token(client: Client, dav: WebDavDouble, content: str | None) -> None:
    """No header is made of it, and it is not repeated."""
    file = client.folder / "token"
    file.unlink() if content is None else file.write_text(content)
    error = client.error(f"{dav.url}/store")

    assert error.exit_code == 47
    assert "token" in error.evidence
    assert TOKEN not in str(error)
    assert dav.asked == []


@pytest.mark.parametrize("how", ["silent", "a byte at a time", "no HTTP", "half a header"])
def test_servers_that_waste_time(authority: Authority, tmp_path: Path, how: str) -> None:
    """The deadline holds, whatever the server does."""
    identity = authority.host(tmp_path, "door.example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as peer:
            peer.recv(1000)
            peer.sendall({"no HTTP": b"220 ftp ready\r\n\r\n", "half a header": b"HTTP/1.1 200 OK\r\n"}.get(how, b""))
            while how != "no HTTP":
                peer.sendall(b"H" if how == "a byte at a time" else b"")
                time.sleep(0.05)
                peer.getpeername()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    trusted = trust({}, authority.file)
    (tmp_path / "x").write_bytes(b"x" * 100)
    began = time.monotonic()
    with pytest.raises(AttemptError) as caught:
        request(
            Door(context=trusted, others=trusted),
            "PUT",
            f"https://door.example.org:{listener.getsockname()[1]}/x",
            until=began + 0.5,
            body=tmp_path / "x",
        )
    listener.close()

    assert caught.value.kind == ("refused" if how == "no HTTP" else "gone")
    assert time.monotonic() - began < 3


# ── redirections ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("https://door.site.org/a", "https://door.site.org:8443/b", True),
        ("https://door.site.org/a", "https://pool12.site.org/b", True),
        ("https://door.site.org/a", "https://p1.pools.site.org/b", True),
        ("https://eos.cern.ch/a", "https://p0663.cern.ch/b", True),
        ("https://door.site.org/a", "https://site.org/b", False),
        ("https://door.site.org/a", "https://door.site.org.evil.test/b", False),
        ("https://door.site.org/a", "https://evilsite.org/b", False),
        ("https://storage.ac.uk/a", "https://evil.ac.uk/b", False),
        ("https://door.ihep.ac.cn/a", "https://pool.ihep.ac.cn/b", True),
        ("https://site.org/a", "https://evil.org/b", False),
        ("https://localhost/a", "https://evil.localhost/b", False),
        ("https://10.0.0.1/a", "https://11.0.0.1/b", False),
        ("https://10.0.0.1/a", "https://evil.0.0.1/b", False),
    ],
)
def test_what_is_one_site(url: str, other: str, *, same: bool) -> None:
    """Door and pools share the domain right above the door; a country's registry is nobody's domain."""
    assert same_site(url, other) is same


def test_a_pool_of_the_same_site_gets_the_token(client: Client, start: Callable[[Any], Any], dav: WebDavDouble) -> None:
    """The door sends on before it takes the body; the ticket of the storage stands in no message."""
    pool = start(WebDavDouble("pool.example.org", token=TOKEN, digest="", files=dav.files))
    dav.sends_to, dav.digest = pool.url, ""

    assert client.upload(f"{dav.url}/store")["hists.root"].verified_by == "re-read"
    assert pool.methods() == ["PUT", "GET"]
    assert {asked.headers["Authorization"] for asked in pool.asked} == {f"Bearer {TOKEN}"}
    assert {asked.body_b for asked in dav.asked if asked.method == "PUT"} == {len(DATA)}


def test_another_site_gets_no_token(client: Client, start: Callable[[Any], Any], dav: WebDavDouble) -> None:
    """The file goes where the storage says, and the token does not."""
    elsewhere = start(WebDavDouble("pool.elsewhere.test", files=dav.files))
    dav.sends_to = elsewhere.url

    assert client.upload(f"{dav.url}/store")["hists.root"].verified_by == "adler32"
    assert elsewhere.methods() == ["PUT"]
    assert "Authorization" not in elsewhere.asked[0].headers
    assert "Cookie" not in elsewhere.asked[0].headers


def test_once_elsewhere_the_token_does_not_come_back(
    client: Client, start: Callable[[Any], Any], dav: WebDavDouble
) -> None:
    """A stranger that sends us back to a pool of the site does not get it used there."""
    pool = start(WebDavDouble("pool.example.org", token=TOKEN))
    elsewhere = start(WebDavDouble("pool.elsewhere.test", sends_to=pool.url))
    dav.sends_to = elsewhere.url

    assert client.error(f"{dav.url}/store").exit_code == 47
    assert "Authorization" not in pool.asked[0].headers


@pytest.mark.parametrize(
    "location",
    [
        "http://pool.example.org/x?ticket=of-the-storage-0123456789",
        "https://user:pw@pool.example.org/x",
        "ftp://pool.example.org/x",
        "https://[::1/x",
        "",
    ],
)
def test_redirections_that_are_not_followed(client: Client, dav: WebDavDouble, location: str) -> None:
    """In the clear, with a password, or to nowhere; the address is not repeated."""
    dav.answers["PUT"] = [(307, {"Location": location})]
    error = client.error(f"{dav.url}/store")

    assert "not https" in error.evidence
    assert "of-the-storage" not in str(error)


def test_redirections_end(client: Client, dav: WebDavDouble) -> None:
    """A circle is left after a few."""
    dav.sends_to = dav.url
    error = client.error(f"{dav.url}/store")

    assert "redirections" in error.evidence
    assert dav.methods().count("PUT") < 8


# ── S3 ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def s3(start: Callable[[Any], Any]) -> S3Double:
    """An S3 double."""
    double: S3Double = start(S3Double("bucket.example.org"))
    return double


def test_a_presigned_url(client: Client, s3: S3Double) -> None:
    """The signature arrives, and nothing else that says who we are; the URL that is recorded has no query."""
    client.environ["URLS"] = json.dumps({"hists.root": s3.presign("/run/hists.root")})
    uploaded = client.upload("s3-presigned:URLS")["hists.root"]
    (asked,) = s3.asked

    assert (uploaded.url, uploaded.verified_by) == (f"{s3.url}/run/hists.root", "md5")
    assert s3.objects == {"/run/hists.root": DATA}
    assert s3.url + asked.path == s3.presign("/run/hists.root")
    assert set(asked.headers) == {"Host", "Accept-Encoding", "Content-MD5", "Content-Length", "Expect", "Connection"}


def test_s3_that_keeps_no_md5(client: Client, s3: S3Double) -> None:
    """It has compared ours all the same; a URL of version 2 cannot carry it, and then there is no proof at all."""
    client.environ["URLS"] = s3.presign("/run/hists.root")
    s3.etag = False
    taken = client.upload("s3-presigned:URLS")["hists.root"]
    s3.answers["PUT"] = [(200, {})]
    client.environ["URLS"] = f"{s3.url}/run/hists.root?AWSAccessKeyId=AKIA0123456789&Signature=abcdefghijklmnop%3D"
    error = client.error("s3-presigned:URLS")

    assert taken.verified_by == "content-md5"
    assert "Content-MD5" not in s3.asked[-1].headers
    assert "nothing by which it can be verified" in error.evidence


def test_s3_that_has_something_else(client: Client, s3: S3Double) -> None:
    """Another MD5 in the answer is damage, unless the storage says that it encrypts."""
    client.environ["URLS"] = s3.presign("/run/hists.root")
    s3.answers["PUT"] = [(200, {"ETag": f'"{"0" * 32}"'})] * 4
    error = client.error("s3-presigned:URLS")
    s3.answers["PUT"] = [(200, {"ETag": f'"{"0" * 32}"', "x-amz-server-side-encryption": "aws:kms"})]

    assert "what arrived is not what was sent" in error.what
    assert client.upload("s3-presigned:URLS")["hists.root"].verified_by == "content-md5"


def test_nothing_secret_gets_out(client: Client, s3: S3Double, capfd: pytest.CaptureFixture[str]) -> None:
    """A signature that is refused: the server repeats it, and septum does not; nor the session's token, nor ours."""
    secrets = Secrets()
    signature = os.urandom(32).hex()
    session = os.urandom(40).hex()
    url = s3.presign("/run/hists.root", session=session).rpartition("=")[0] + f"={signature}"
    for name, value in (("signature", signature), ("session", session), ("token", TOKEN)):
        secrets.add(name, value)
    client.environ["URLS"] = url
    error = client.error("s3-presigned:URLS")
    chain = [error, error.__cause__, error.__context__]
    out = "".join(capfd.readouterr())

    assert "HTTP 403 SignatureDoesNotMatch: The request signature does not match ***" in error.evidence
    for text in (str(error), *map(repr, chain), *client.said, out, KNOWN.text(url)):
        assert secrets.find(text.encode()) == []
    assert "Authorization" not in s3.asked[0].headers


def test_a_redirected_presigned_url(client: Client, start: Callable[[Any], Any], s3: S3Double) -> None:
    """To another region, with the signature that the storage puts there itself."""
    region = start(S3Double("bucket.region.test"))
    client.environ["URLS"] = s3.presign("/run/hists.root")
    s3.answers["PUT"] = [(307, {"Location": region.presign("/run/hists.root")})]

    assert client.upload("s3-presigned:URLS")["hists.root"].url == f"{s3.url}/run/hists.root"
    assert region.objects == {"/run/hists.root": DATA}


# ── checksums in headers ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", {}),
        ("adler32=0a1B2c3d", {"adler32": "0a1b2c3d"}),
        (
            "ADLER32=a1b, sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            {"adler32": "a1b", "sha-256": "e3b0c442"},
        ),
        ("md5=d41d8cd98f00b204e9800998ecf8427e", {"md5": "d41d8cd9"}),
        ("md5=1B2M2Y8AsgTpgAmY7PhCfg==", {"md5": "d41d8cd9"}),
        ("crc32c=AAAAAA==,unixsum=1", {}),
        ("adler32=not hex!,sha-256=****,md5=AAAA", {}),
        ("adler32", {}),
    ],
)
def test_digests(header: str, found: dict[str, str]) -> None:
    """RFC 3230 as it is, and as some servers have it; what is odd counts as nothing."""
    assert {name: value[:8] for name, value in read_digests(header).items()} == found
