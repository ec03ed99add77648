"""Doubles of storage: one in memory for the procedure, and two small strict servers over TLS, WebDAV and S3.

They are doubles, and no servers: of WebDAV and S3 they know what an upload needs. Where the real ones differ from each
other (XRootD makes folders by itself, dCache does not), they take the stricter way. `tests/integration` has a real one.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from septum.facility.certificates import Identity
from septum.upload.attempt import AttemptError, Kind

if TYPE_CHECKING:
    from septum.facility.certificates import Authority
    from septum.upload.local import Local


# ── in memory ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class MemoryStorage:
    """Files in memory; see `septum.upload.place.Storage`.

    Attributes:
        digest: The checksum that it has: `adler32`, `sha-256`, or none.
        denied: What it does not allow: `read`, `move`, `remove`.
        fail: Faults of the next calls, by their name.
        spoil: What is done to the bytes on their way.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    digest: str = "adler32"
    denied: frozenset[str] = frozenset()
    fail: dict[str, list[Kind]] = field(default_factory=dict)
    spoil: Callable[[bytes], bytes] = bytes
    calls: list[tuple[str, ...]] = field(default_factory=list)
    on_call: Callable[[str, str], None] = lambda _, __: None

    def _begin(self, name: str, *paths: str) -> None:
        self.calls.append((name, *paths))
        self.on_call(name, paths[0])
        if name in self.denied:
            raise AttemptError("denied", f"no right to {name}")
        if self.fail.get(name):
            raise AttemptError(self.fail[name].pop(0), f"{name} failed")

    def size(self, path: str) -> int | None:
        """Bytes of a file."""
        self._begin("size", path)
        return len(self.files[path]) if path in self.files else None

    def digests(self, path: str) -> dict[str, str]:
        """The checksum that it has."""
        self._begin("digests", path)
        data = self.files[path]
        found = {"adler32": f"{zlib.adler32(data):x}", "sha-256": hashlib.sha256(data).hexdigest()}
        return {self.digest: found[self.digest]} if self.digest else {}

    def sha256(self, path: str) -> str:
        """Read a file back."""
        self._begin("read", path)
        return hashlib.sha256(self.files[path]).hexdigest()

    def put(self, local: Local, path: str) -> None:
        """Write a new file."""
        self._begin("put", path)
        if path in self.files:
            raise AttemptError("differs", "it exists")
        self.files[path] = self.spoil(local.path.read_bytes())

    def move(self, source: str, target: str) -> None:
        """Rename, over what stands there: as a proxy may do it on XRootD."""
        self._begin("move", source, target)
        self.files[target] = self.files.pop(source)

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._begin("remove", path)
        if path not in self.files:
            raise AttemptError("refused", "no such file")
        del self.files[path]


# ── over TLS ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    host: str
    body_b: int


@dataclass
class Double:
    """What both servers have.

    Attributes:
        name: The host that it is.
        url: Its address; any name can be made to lead here, see `hosts`.
        asked: All requests so far.
        answers: Statuses (with headers) of the next requests of a method, instead of what would follow.
        waits: Whether it asks for a body before it takes it, if the client offers to wait.
        on_body: Called after so many bytes of a body; what it raises ends the connection.
    """

    name: str
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    waits: bool = True
    on_body: Callable[[int], None] = lambda _: None

    def methods(self) -> list[str]:
        """The methods of all requests so far."""
        return [asked.method for asked in self.asked]

    def handle(self, handler: Handler, body: bytes | None) -> None:
        """Answer one request."""
        raise NotImplementedError


@dataclass
class WebDavDouble(Double):
    """WebDAV for whoever has the token.

    Attributes:
        token: Who comes without gets 401.
        files: By their paths.
        folders: A file's folder must be there.
        digest: The checksum that it tells whoever wants it: `adler32`, `sha-256`, or none.
        denied: Methods that get 403.
        unknown: Methods that get 405.
        room_b: How much a file may have.
        sends_to: Where `PUT` and `GET` are sent on to, as the door of a storage does.
    """

    token: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"", "/store"})
    digest: str = "adler32"
    denied: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    room_b: int = 1 << 30
    sends_to: str = ""

    def handle(self, handler: Handler, body: bytes | None) -> None:
        """Answer one request."""
        method, path = handler.command, urlsplit(handler.path).path
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            handler.answer(401, text="who are you?")
        elif method in self.unknown:
            handler.answer(405)
        elif method in self.denied:
            handler.answer(403, text=f"{method} of {path} is not for you")
        elif self.sends_to and method in {"PUT", "GET"}:
            handler.answer(307, {"Location": f"{self.sends_to}{path}?ticket=of-the-storage-0123456789"})
        else:
            getattr(self, f"_{method.lower()}")(handler, path, body)

    def _head(self, handler: Handler, path: str, _: bytes | None) -> None:
        if path not in self.files:
            handler.answer(404)
            return
        data, headers = self.files[path], {}
        if self.digest and self.digest in handler.headers.get("Want-Digest", ""):
            sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
            headers["Digest"] = f"{self.digest}={sha256 if self.digest == 'sha-256' else f'{zlib.adler32(data):x}'}"
        handler.answer(200, headers, length=len(data))

    def _get(self, handler: Handler, path: str, _: bytes | None) -> None:
        handler.answer(200, data=self.files[path]) if path in self.files else handler.answer(404)

    def _put(self, handler: Handler, path: str, body: bytes | None) -> None:
        if path.rpartition("/")[0] not in self.folders:
            handler.answer(409)
        elif int(handler.headers["Content-Length"]) > self.room_b:
            handler.answer(507, text="disk quota exceeded")
        elif (data := handler.body() if body is None else body) is not None:
            self.files[path] = data
            handler.answer(201)

    def _mkcol(self, handler: Handler, path: str, _: bytes | None) -> None:
        path = path.rstrip("/")
        if path in self.folders:
            handler.answer(405)
        elif path.rpartition("/")[0] not in self.folders:
            handler.answer(409)
        else:
            self.folders.add(path)
            handler.answer(201)

    def _move(self, handler: Handler, path: str, _: bytes | None) -> None:
        target = urlsplit(handler.headers["Destination"])
        if f"{target.scheme}://{target.netloc}" != self.url or target.query:
            handler.answer(502)
        elif path not in self.files:
            handler.answer(404)
        elif target.path in self.files and handler.headers.get("Overwrite") == "F":
            handler.answer(412)
        else:
            self.files[target.path] = self.files.pop(path)
            handler.answer(201)

    def _delete(self, handler: Handler, path: str, _: bytes | None) -> None:
        handler.answer(204 if self.files.pop(path, None) is not None else 404)


@dataclass
class S3Double(Double):
    """S3 for whoever has a presigned URL, for `PUT` alone. A second way to say who one is gets 400, as there.

    Attributes:
        key: Signs.
        objects: By their paths.
        etag: Whether its answer has the MD5.
    """

    key: bytes = b"the key of the double"
    objects: dict[str, bytes] = field(default_factory=dict)
    etag: bool = True

    def presign(self, path: str, *, session: str = "a-session-token-that-is-secret-too") -> str:
        """A URL that is good for writing one object."""
        return (
            f"{self.url}{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600&X-Amz-SignedHeaders=host"
            f"&X-Amz-Security-Token={session}&X-Amz-Signature={self._signature(path, session)}"
        )

    def _signature(self, path: str, session: str) -> str:
        return hmac.new(self.key, f"PUT {path} {session}".encode(), "sha256").hexdigest()

    def handle(self, handler: Handler, body: bytes | None) -> None:
        """Answer one request."""
        path, query = urlsplit(handler.path).path, dict(parse_qsl(urlsplit(handler.path).query))
        wanted = self._signature(path, query.get("X-Amz-Security-Token", ""))
        if "Authorization" in handler.headers or "Cookie" in handler.headers:
            handler.answer(400, text="<Error><Code>InvalidArgument</Code><Message>Only one auth</Message></Error>")
        elif handler.command != "PUT" or query.get("X-Amz-Signature") != wanted:
            given = query.get("X-Amz-Signature", "")
            handler.answer(
                403,
                text=f"<?xml version='1.0'?><Error><Code>SignatureDoesNotMatch</Code><Message>The request signature "
                f"does not match {given}</Message><SignatureProvided>{given}</SignatureProvided></Error>",
            )
        elif (data := handler.body() if body is None else body) is not None:
            md5 = hashlib.md5(data)
            if handler.headers.get("Content-MD5", "") != base64.b64encode(md5.digest()).decode():
                handler.answer(400, text="<Error><Code>BadDigest</Code></Error>")
            else:
                self.objects[path] = data
                handler.answer(200, {"ETag": f'"{md5.hexdigest()}"'} if self.etag else {})


class Handler(BaseHTTPRequestHandler):
    """One connection to a double."""

    protocol_version = "HTTP/1.1"
    double: Double

    def handle_expect_100(self) -> bool:
        """The answer to `Expect` comes when the body is wanted, which is later."""
        return True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._any
        raise AttributeError(name)

    def _any(self) -> None:
        self.close_connection = True
        self.connection.settimeout(10)
        # Who does not wait, or is not asked to, sends all of it at once.
        early = self.command == "PUT" and not (self.double.waits and self.headers.get("Expect"))
        length = int(self.headers.get("Content-Length", 0))
        with contextlib.suppress(OSError):
            asked = Asked(self.command, self.path, dict(self.headers), self.headers.get("Host", ""), length)
            self.double.asked.append(asked)
            body = self.body(ask=False) if early else None
            if self.double.answers.get(self.command):
                status, headers = self.double.answers[self.command].pop(0)
                self.answer(status, headers)
            elif not early or body is not None:
                self.double.handle(self, body)

    def body(self, *, ask: bool = True) -> bytes | None:
        """Take the body; None if it does not come."""
        if ask:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        left, pieces = int(self.headers["Content-Length"]), []
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            pieces.append(piece)
            left -= len(piece)
            self.double.on_body(sum(map(len, pieces)))
            if not piece:
                return None
        return b"".join(pieces)

    def answer(
        self,
        status: int,
        headers: dict[str, str] | None = None,
        *,
        text: str = "",
        data: bytes = b"",
        length: int | None = None,
    ) -> None:
        """Send a final answer."""
        data = text.encode() if text else data
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


@contextlib.contextmanager
def serving(double: Double, authority: Authority) -> Iterator[None]:
    """Let a double listen on the loopback interface, with a certificate for its name beside that of the authority."""
    folder = authority.file.parent
    identity = Identity(folder / f"{double.name}.pem", folder / f"{double.name}.key")
    if not identity.key.exists():  # a key takes a while
        authority.host(folder, double.name)
    handler = type("Bound", (Handler,), {"double": double})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that do not trust us
    double.url = f"https://{double.name}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
