"""The IAM client against a TLS server that misbehaves on purpose.

A double, not an issuer: `test_credentials_real.py` speaks to a real one. This one does what no issuer does on demand.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from septum.credentials.https import Https
from septum.credentials.iam import IamClient
from septum.credentials.secret import Secret
from septum.errors import AuthenticationError, IssuerUnavailableError, TokenRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "a-secret-nobody-may-see"
SCOPES = ["wlcg", "compute.read"]
AUDIENCE = "condor://schedd.example.org"


def _certificate(folder: Path, names: list[x509.GeneralName]) -> tuple[Path, Path]:
    """A certificate that is its own CA, and one file with it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(pem)
    (folder / "server.pem").write_bytes(key_pem + pem)
    return folder / "ca.pem", folder / "server.pem"


class _Double:
    """What the server says; tests change it."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[tuple[str, str, dict[str, str], str]] = []
        self.script: list[Callable[[Any], None]] = []

    @property
    def issuer(self) -> str:
        return f"https://127.0.0.1:{self.port}/"

    def token(self) -> dict[str, object]:
        claims = {
            "iss": self.issuer,
            "sub": "ci",
            "aud": AUDIENCE,
            "exp": time.time() + 3600,
            "wlcg.ver": "1.0",
            "scope": " ".join(SCOPES),
        }
        return {"access_token": jwt.encode(claims, "k" * 32, algorithm="HS256"), "token_type": "Bearer"}


def _reply(handler: Any, status: int, data: object, **headers: str) -> None:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def _handler(double: _Double) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve("")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _serve(self, body: str) -> None:
            double.requests.append((self.command, self.path, dict(self.headers), body))
            if double.script:
                double.script.pop(0)(self)
            elif self.command == "GET":
                _reply(self, 200, {"issuer": double.issuer, "token_endpoint": double.issuer + "token"})
            else:
                _reply(self, 200, double.token())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what the tests are about."""


@contextmanager
def _serving(pem: Path) -> Iterator[_Double]:
    double = _Double()
    server = _Server(("127.0.0.1", 0), _handler(double))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    double.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield double
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def ca(tmp_path: Path) -> tuple[Path, Path]:
    """A CA file and a server's file for 127.0.0.1."""
    return _certificate(tmp_path, [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])


@pytest.fixture
def double(ca: tuple[Path, Path]) -> Iterator[_Double]:
    """The misbehaving server."""
    with _serving(ca[1]) as running:
        yield running


class _Clock:
    """Counts the pauses, and does not wait."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


def _client(double: _Double, ca_file: Path | None, clock: _Clock | None = None, **settings: Any) -> IamClient:
    return IamClient(
        issuer=double.issuer,
        client_id="ci",
        client_secret=Secret(SECRET),
        audience=AUDIENCE,
        scopes=SCOPES,
        https=Https(ca_file=ca_file, sleep=(clock or _Clock()).sleep, jitter=lambda: 0.5, **settings),
    )


def test_good_token(double: _Double, ca: tuple[Path, Path]) -> None:
    """Over TLS with the profile's CA: discovery, then one POST with the secret in its header only."""
    token = _client(double, ca[0]).fetch(time.time())

    assert token.identity == "ci"
    (get, get_path, get_headers, _), (post, post_path, post_headers, body) = double.requests
    assert (get, get_path) == ("GET", "/.well-known/openid-configuration")
    assert (post, post_path) == ("POST", "/token")
    assert "Authorization" not in get_headers
    assert post_headers["Authorization"].startswith("Basic ")
    assert SECRET not in body
    assert "audience=condor" in body


def test_unknown_certificate(double: _Double) -> None:
    """A server that no CA vouches for gets nothing, and is not asked again."""
    with pytest.raises(AuthenticationError, match="host certificate") as caught:
        _client(double, None).fetch(time.time())

    assert double.requests == []
    assert "certificate" in caught.value.evidence
    assert "SEPTUM_CLUSTER_CA_VARIABLE" in caught.value.fix


def test_certificate_of_another_host(tmp_path: Path) -> None:
    """A good certificate for another name is not accepted."""
    ca_file, pem = _certificate(tmp_path, [x509.DNSName("other.example.org")])
    with _serving(pem) as running, pytest.raises(AuthenticationError, match="host certificate"):
        _client(running, ca_file).fetch(time.time())

    assert running.requests == []


def test_http_is_refused(double: _Double, ca: tuple[Path, Path]) -> None:
    """There is no way to plain http."""
    with pytest.raises(AuthenticationError, match="only https"):
        Https(ca_file=ca[0]).call("GET", f"http://127.0.0.1:{double.port}/", headers=dict)

    assert double.requests == []


def _wait(seconds: float) -> Callable[[Any], None]:
    return lambda _: time.sleep(seconds)


def _hang_up(handler: Any) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def _half(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")


def _status(status: int, **headers: str) -> Callable[[Any], None]:
    return lambda handler: _reply(handler, status, b"sorry", **headers)


@pytest.mark.parametrize(
    "trouble",
    [_status(500), _status(502), _status(503), _status(504), _status(429), _hang_up, _half],
    ids=["500", "502", "503", "504", "429", "hang-up", "half"],
)
def test_passing_trouble(double: _Double, ca: tuple[Path, Path], trouble: Callable[[Any], None]) -> None:
    """Server errors and broken connections are tried again, with growing pauses."""
    clock = _Clock()
    double.script = [trouble, trouble]

    assert _client(double, ca[0], clock).fetch(time.time()).identity == "ci"
    assert clock.pauses == [1.0, 2.0]


def test_each_attempt_has_an_assertion_of_its_own(double: _Double, ca: tuple[Path, Path]) -> None:
    """An issuer may refuse one that it has seen; what signs them does not travel."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    client = replace(_client(double, ca[0]), client_secret=Secret(pem), client_auth="private-key-jwt")
    client.fetch(time.time())
    double.script = [_status(503), _hang_up]
    client.fetch(time.time())

    bodies = [parse_qs(body) for method, _, _, body in double.requests if method == "POST"]
    options: Any = {"algorithms": ["ES256"], "audience": f"{double.issuer}token", "issuer": "ci"}
    claims = [jwt.decode(body["client_assertion"][0], key.public_key(), **options) for body in bodies]
    assert len({claim["jti"] for claim in claims}) == len(bodies) == 4
    assert all(0 < claim["exp"] - claim["iat"] <= 300 for claim in claims)
    assert not [headers for _, _, headers, _ in double.requests if "Authorization" in headers]
    assert not [line for line in pem.splitlines() if line in str(double.requests)]


def test_secret_in_the_form(double: _Double, ca: tuple[Path, Path]) -> None:
    """With `post`, the secret is in the form and nowhere else, in the second attempt as in the first."""
    client = replace(_client(double, ca[0]), client_auth="post")
    client.fetch(time.time())
    double.script = [_status(503)]
    client.fetch(time.time())

    bodies = [parse_qs(body) for method, _, _, body in double.requests if method == "POST"]
    assert [body["client_secret"] for body in bodies] == [[SECRET]] * 3
    assert all(body["scope"] == [" ".join(SCOPES)] and body["audience"] == [AUDIENCE] for body in bodies)
    assert SECRET not in str([(path, headers) for _, path, headers, _ in double.requests])


def test_lasting_trouble(double: _Double, ca: tuple[Path, Path]) -> None:
    """After four attempts it is an error that CI retries, with each attempt's reason."""
    clock = _Clock()
    double.script = [_status(503)] * 9

    with pytest.raises(IssuerUnavailableError, match="did not answer") as caught:
        _client(double, ca[0], clock).fetch(time.time())

    assert len(double.requests) == 4
    assert clock.pauses == [1.0, 2.0, 4.0]
    assert caught.value.evidence.splitlines()[3] == "attempt 4: HTTP 503"


@pytest.mark.parametrize(("value", "pause"), [("7", 7.0), ("86400", 30.0), ("soon", 1.0), ("-5", 1.0), ("0", 1.0)])
def test_retry_after(double: _Double, ca: tuple[Path, Path], value: str, pause: float) -> None:
    """The server says how long to wait, within reason."""
    clock = _Clock()
    double.script = [_status(429, Retry_After=value)]

    _client(double, ca[0], clock).fetch(time.time())

    assert clock.pauses == [pause]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refusals_are_final(double: _Double, ca: tuple[Path, Path], status: int) -> None:
    """A refusal is not tried again."""
    client = _client(double, ca[0])
    client.fetch(time.time())
    count = len(double.requests)
    double.script = [lambda handler: _reply(handler, status, {"error": "invalid_client"})]

    with pytest.raises(TokenRefusedError, match=f"HTTP {status}") as caught:
        client.fetch(time.time())

    assert len(double.requests) == count + 1
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(double: _Double, ca: tuple[Path, Path], status: int) -> None:
    """The secret does not travel to where a redirect points."""
    client = _client(double, ca[0])
    client.fetch(time.time())
    double.script = [_status(status, Location=double.issuer + "elsewhere")]

    with pytest.raises(TokenRefusedError, match=f"HTTP {status}"):
        client.fetch(time.time())

    assert "/elsewhere" not in [path for _, path, _, _ in double.requests]


def test_silent_server(double: _Double, ca: tuple[Path, Path]) -> None:
    """The deadline holds against a server that accepts and says nothing."""
    double.script = [_wait(5)]
    start = time.monotonic()

    with pytest.raises(IssuerUnavailableError, match="did not answer") as caught:
        _client(double, ca[0], deadline_s=0.5).fetch(time.time())

    assert time.monotonic() - start < 2
    assert "no answer within" in caught.value.evidence


def test_dripping_server(double: _Double, ca: tuple[Path, Path]) -> None:
    """The deadline holds against a server that sends a byte now and then."""

    def drip(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100):
            handler.wfile.write(b"X")
            time.sleep(0.05)

    double.script = [drip]
    start = time.monotonic()

    with pytest.raises(IssuerUnavailableError):
        _client(double, ca[0], deadline_s=0.5).fetch(time.time())

    assert time.monotonic() - start < 2


def test_endless_answer(double: _Double, ca: tuple[Path, Path]) -> None:
    """An answer without end is cut off."""
    double.script = [lambda handler: _reply(handler, 200, b"x" * 3_000_000)] * 4

    with pytest.raises(IssuerUnavailableError) as caught:
        _client(double, ca[0]).fetch(time.time())

    assert "longer than 1 MB" in caught.value.evidence


def test_nobody_listens(ca: tuple[Path, Path]) -> None:
    """A closed port and an unknown name are trouble that may pass."""
    free = _Double()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free.port = taken.getsockname()[1]

    with pytest.raises(IssuerUnavailableError) as caught:
        _client(free, ca[0]).fetch(time.time())

    assert "refused" in caught.value.evidence


def test_not_a_tls_server(ca: tuple[Path, Path]) -> None:
    """Something else behind the port is an error, not a hang."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = _Double()
        free.port = server.getsockname()[1]

        def talk() -> None:
            connection, _ = server.accept()
            connection.sendall(b"220 mail ready\r\n")
            connection.close()

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        with pytest.raises(IssuerUnavailableError):
            _client(free, ca[0], attempts=1).fetch(time.time())
        thread.join()


def test_secret_is_not_in_the_process_list(double: _Double, ca: tuple[Path, Path]) -> None:
    """While the issuer keeps us waiting, no command line on this machine holds the secret."""
    found: list[bool] = []

    def look(handler: Any) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found.append(SECRET.encode() in path.read_bytes())
            except OSError:  # ended meanwhile
                continue
        _reply(handler, 200, double.token())

    client = _client(double, ca[0])
    client.fetch(time.time())
    double.script = [look]
    client.fetch(time.time())

    assert not any(found)
