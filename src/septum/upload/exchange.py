"""One request over HTTPS, body and all: verified, bounded in time, and with a body only for a server that wants it.

`http.client`, because it alone lets a server answer before the body (`Expect: 100-continue`): storage redirects writes,
or refuses them, and hangs up on whoever goes on to send gigabytes. No secret stands in a message of this module.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

from septum.upload.attempt import AttemptError
from septum.upload.local import BLOCK_B

_SOCKET_S = 60.0
_CONTINUE_S = 3.0
"""How long a server may think about a body before it gets it; old ones do not answer before."""
_MOST_B = 64 * 1024
_HOPS = 4
_REDIRECTS = frozenset({301, 302, 307, 308})
_CONTINUE, _FINAL, _ERROR = 100, 200, 300
_REGISTRIES = frozenset({"ac", "co", "com", "edu", "go", "gov", "net", "org"})
"""Below a country, these are not somebody's domain: `ac.uk`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A final answer; names of headers in lower case, no more of the body than a message needs."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How to enter.

    Attributes:
        context: Whom to trust; with a client's certificate, if there is one.
        others: The same without the certificate, for hosts of somebody else that we are sent on to.
        headers: Makes the headers with which we enter, when they are sent.
    """

    context: ssl.SSLContext
    others: ssl.SSLContext
    headers: Callable[[], Mapping[str, str]] = dict


def trust(environ: Mapping[str, str], ca_file: Path | None, certificate: str = "") -> ssl.SSLContext:
    """Whom to trust: the system's CAs, the grid's, the profile's, and those that the environment names.

    Args:
        environ: `X509_CERT_DIR` and `REQUESTS_CA_BUNDLE` are looked at.
        ca_file: Of the profile.
        certificate: Path of a proxy to show to servers that ask for one.

    Raises:
        AttemptError: One of the files cannot be used.
    """
    context = ssl.create_default_context()
    bundle = environ.get("REQUESTS_CA_BUNDLE", "")
    places = {"X509_CERT_DIR": environ.get("X509_CERT_DIR", ""), "REQUESTS_CA_BUNDLE": bundle, "ca-file": ca_file or ""}
    for name, place in places.items():
        try:
            if place and Path(place).is_dir():
                context.load_verify_locations(capath=str(place))
            elif place:
                context.load_verify_locations(cafile=str(place))
        except OSError as error:
            raise AttemptError(
                "auth", f"the CA certificates of {name} cannot be read: {error.strerror or error}"
            ) from None
    if certificate:
        try:
            context.load_cert_chain(certificate)
        except (OSError, ValueError) as error:
            raise AttemptError(
                "auth", f"the proxy cannot be used: {getattr(error, 'strerror', '') or 'not a proxy'}"
            ) from None
    return context


def request(
    door: Door,
    method: str,
    url: str,
    *,
    until: float,
    headers: Mapping[str, str] | None = None,
    body: Path | None = None,
    sink: Callable[[bytes], object] | None = None,
) -> Reply:
    """Send a request and follow redirections.

    Args:
        door: How to enter. To a host of another site we go without token and certificate.
        method: Such as `PUT`.
        url: With https.
        until: By when it has to be over, by the monotonic clock.
        headers: More headers, which everybody may see.
        body: A file to send.
        sink: Takes the blocks of a good answer's body.

    Raises:
        AttemptError: No answer, or a redirection that must not be followed.
    """
    here, ours = url, True
    for _ in range(_HOPS):
        entry = door.headers() if ours else {}
        context = door.context if ours else door.others
        # Opened first: what is wrong with our own file is no fault of the server.
        with (
            body.open("rb") if body is not None else contextlib.nullcontext() as stream,
            _connected(here, context, until) as connection,
        ):
            reply = _exchanged(connection, method, here, {**(headers or {}), **entry}, stream, sink)
        if reply.status not in _REDIRECTS:
            return reply
        here = _followed(here, reply.headers.get("location", ""))
        ours = ours and same_site(url, here)
    raise AttemptError("refused", f"more than {_HOPS} redirections")


def same_site(url: str, other: str) -> bool:
    """Whether two URLs are of one host, or of two with the same domain right above them: door and pool of a storage."""
    ours, theirs = (urlsplit(each).hostname or "" for each in (url, other))
    if ours == theirs:
        return True
    domain = ours.partition(".")[2]
    labels = domain.split(".")
    registry = len(labels) < 2 or (len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _REGISTRIES)  # noqa: PLR2004
    # Of an address, what stands behind the first number is no domain.
    return not registry and not labels[-1].isdecimal() and theirs.endswith(f".{domain}")


def _followed(url: str, location: str) -> str:
    try:
        found = urljoin(url, location)
        parts = urlsplit(found)
        good = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        good = False
    if not location or not good or not re.fullmatch(r"[\x21-\x7e]+", found):
        # Not the location itself: it may hold a ticket of the storage.
        raise AttemptError("refused", "it sent us on to an address that is not https")
    return found


@contextlib.contextmanager
def _connected(url: str, context: ssl.SSLContext, until: float) -> Iterator[http.client.HTTPSConnection]:
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=_SOCKET_S, context=context)
    # A server that sends one byte a minute keeps every time-out.
    timer = threading.Timer(max(until - time.monotonic(), 0.0), _cut, [connection])
    timer.daemon = True
    timer.start()
    try:
        connection.connect()
        yield connection
    except ssl.SSLCertVerificationError as error:
        raise AttemptError("auth", f"its host certificate was not accepted: {error.verify_message}") from None
    except (OSError, http.client.HTTPException) as error:
        if alert := _alert(error) or _last_alert(connection):
            # The other side's word about what it was shown.
            raise AttemptError("auth", f"TLS: {alert}") from None
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or type(error).__name__
        late = " (the deadline)" if not timer.is_alive() else ""
        raise AttemptError("gone", f"{reason}{late}") from None
    finally:
        timer.cancel()
        connection.close()


def _alert(error: BaseException) -> str:
    reason = str(getattr(error, "reason", "") or "")
    return reason if isinstance(error, ssl.SSLError) and "ALERT" in reason else ""


def _last_alert(connection: http.client.HTTPSConnection) -> str:
    """A server that does not accept a proxy says so and hangs up; meanwhile our request breaks, which says nothing."""
    if connection.sock is not None:
        try:
            connection.sock.settimeout(_CONTINUE_S)
            connection.sock.recv(1)
        except OSError as error:
            return _alert(error)
    return ""


def _cut(connection: http.client.HTTPSConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            # Of the socket below: that of TLS would forget that it is one.
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _exchanged(
    connection: http.client.HTTPSConnection,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: BinaryIO | None,
    sink: Callable[[bytes], object] | None,
) -> Reply:
    parts = urlsplit(url)
    connection.putrequest(method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    for name, value in {**headers, "Connection": "close"}.items():
        connection.putheader(name, value)
    if body is None:
        connection.endheaders()
        return _answered(connection, sink)
    size_b = os.fstat(body.fileno()).st_size
    connection.putheader("Content-Length", str(size_b))
    if size_b:
        connection.putheader("Expect", "100-continue")
    connection.endheaders()
    if size_b and (early := _before_the_body(connection.sock)) is not None:
        return early
    try:
        _send(connection, body, size_b)
    except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
        # It hung up; perhaps after it had said why.
        reply = _answered(connection, None)
        if reply.status < _ERROR:
            raise AttemptError("gone", "it hung up before the end of the file") from None
        return reply
    return _answered(connection, None)


def _send(connection: http.client.HTTPSConnection, body: BinaryIO, size_b: int) -> None:
    left = size_b
    while left and (block := body.read(min(BLOCK_B, left))):
        connection.send(block)
        left -= len(block)
    if left:
        raise AttemptError("damaged", f"{body.name} became shorter while it was sent")


def _before_the_body(sock: socket.socket) -> Reply | None:
    """What the server says before it gets the body; None when it wants it, or says nothing."""
    while (head := _head(sock)) is not None:
        first, _, rest = head.partition(b"\r\n")
        status = int(first.split()[1]) if re.match(rb"HTTP/1\.[01] \d{3}\b", first) else 0
        if status == _CONTINUE:
            return None
        if status >= _FINAL:
            headers = {name.lower(): value for name, value in http.client.parse_headers(io.BytesIO(rest)).items()}
            return Reply(status, headers, _few_words(sock, headers.get("content-length", "")))
        if not status:
            raise AttemptError("refused", "it does not speak HTTP")
    return None


def _head(sock: socket.socket) -> bytes | None:
    """Status line and headers, to the empty line; None if nothing comes in time."""
    head = b""
    sock.settimeout(_CONTINUE_S)
    try:
        while not head.endswith(b"\r\n\r\n"):
            # One by one: what follows is for others to read.
            piece = sock.recv(1)
            if not piece or len(head) > _MOST_B:
                raise AttemptError("gone", "it hung up instead of an answer")
            head += piece
    except TimeoutError:
        if head:
            raise AttemptError("gone", "half an answer") from None
        return None
    finally:
        sock.settimeout(_SOCKET_S)
    return head


def _few_words(sock: socket.socket, length: str) -> bytes:
    left = min(int(length), _MOST_B) if length.isascii() and length.isdecimal() else 0
    words = b""
    with contextlib.suppress(OSError):
        while left > len(words) and (piece := sock.recv(left - len(words))):
            words += piece
    return words


def _answered(connection: http.client.HTTPSConnection, sink: Callable[[bytes], object] | None) -> Reply:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    if sink is None or response.status != _FINAL:
        return Reply(response.status, headers, response.read(_MOST_B))
    received = 0
    while block := response.read(BLOCK_B):
        sink(block)
        received += len(block)
    if headers.get("content-length", str(received)) != str(received):
        raise AttemptError("gone", "it hung up before the end of the file")
    return Reply(response.status, headers, b"")
