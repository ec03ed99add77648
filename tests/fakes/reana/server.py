"""The socket, the judge before and behind every request, and the faults that a test has planned."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from tests.fakes.reana.answers import Answer, Call, RefusedError
from tests.fakes.reana.description import Description, MistakeError, Operation
from tests.fakes.reana.engines import Engines
from tests.fakes.reana.routes import ROUTES
from tests.fakes.reana.store import Store

_CHUNK = 64 << 10
_UNKNOWN = "no such operation"


class HungUpError(Exception):
    """The connection is closed without an answer, or in the middle of one."""


class Server:
    """The server of one folder."""

    def __init__(self, store: Store, description: Description, engines: Engines) -> None:
        self.store = store
        self.description = description
        self.engines = engines

    def answer(self, method: str, target: str, headers: Any, stream: BinaryIO) -> tuple[str, Answer]:
        """The answer to one request, and the name of its operation.

        Raises:
            HungUpError: There is none.
        """
        url = urlsplit(target)
        found = self.description.find(method, unquote(url.path))
        if found is None:
            self._mistake(f"{method} {url.path}", _UNKNOWN)
            return _UNKNOWN, _refusal(404, "The requested URL was not found on the server.")
        operation, path = found
        names = (operation.name, operation.id)
        time.sleep(self.store.setting("delay_s", 0.0))
        planned = self.store.fault("fail", *names)
        if planned is not None:
            return operation.name, _planned(planned)
        answer = self._right(operation, path, url.query, headers, stream)
        planned = self.store.fault("fail-after", *names)
        if planned is not None:
            return operation.name, _planned(planned)
        return operation.name, answer

    def _right(self, operation: Operation, path: dict[str, str], query: str, headers: Any, stream: BinaryIO) -> Answer:
        given = parse_qsl(query, keep_blank_values=True)
        try:
            route = ROUTES.get(operation.id)
            if route is None:
                return _refusal(501, f"{operation.id} is not here: see tests/fakes/reana/routes.py")
            if not route.public:
                self._authorize(dict(given), headers)
            if self.store.setting("token_in") == "header":
                given.append(("access_token", "it came as a header"))
            length = int(headers.get("Content-Length") or 0)
            values, body = operation.query(given), self._body(operation, headers, stream, length)
            answer = route.handle(
                Call(
                    store=self.store,
                    engines=self.engines,
                    path=path,
                    query=values,
                    body=body,
                    length=length,
                    stream=stream,
                    description=self.description.version,
                )
            )
        except MistakeError as err:
            self._mistake(operation.name, str(err))
            return _refusal(400, str(err))
        except RefusedError as err:
            answer = err.answer
        except ConnectionError as err:
            raise HungUpError from err
        except Exception as err:  # noqa: BLE001 - as REANA does; and the test fails at its end
            self.store.mistake(f"{operation.name}: {traceback.format_exc()}", ours=True)
            answer = _refusal(500, str(err))
        if answer.file is None:
            try:
                operation.check_answer(answer.status, answer.data)
            except MistakeError as err:
                self.store.mistake(f"{operation.name}: {err}", ours=True)
        return answer

    def _authorize(self, query: dict[str, str], headers: Any) -> None:
        """In the words of REANA's server (decorators.py, utils.py)."""
        in_header = self.store.setting("token_in") == "header"
        scheme, _, bearer = (headers.get("Authorization") or "").partition(" ")
        token = (bearer if scheme.lower() == "bearer" else "") if in_header else query.get("access_token", "")
        if not token:
            raise RefusedError(401, "User not signed in")
        if token in self.store.setting("revoked", []):
            if in_header:
                raise RefusedError(401, "Token has expired")
            raise RefusedError(403, "User access token revoked.")
        if token != self.store.setting("token"):
            raise RefusedError(403, "Token not valid.")

    def _body(self, operation: Operation, headers: Any, stream: BinaryIO, length: int) -> Any:
        kind = (headers.get("Content-Type") or "").partition(";")[0]
        if operation.id == "upload_file":
            if kind != "application/octet-stream":
                raise RefusedError(400, f"Wrong Content-Type {kind or None} use application/octet-stream")
            if headers.get("Content-Length") is None:
                raise MistakeError("the size of an upload has to stand in its headers")
            return None
        data = stream.read(length)
        if len(data) < length:
            raise HungUpError
        if not data:
            operation.check_body(None)
            return None
        if kind != "application/json":
            raise MistakeError(f"a body of {kind or 'no type'} is not documented")
        try:
            value = json.loads(data)
        except ValueError as err:
            raise MistakeError("the body is no JSON") from err
        operation.check_body(value)
        return value

    def _mistake(self, name: str, words: str) -> None:
        self.store.mistake(f"{name}: {words}", ours=False)


def _refusal(status: int, message: str) -> Answer:
    return Answer(status=status, data={"message": message})


def _planned(status: int) -> Answer:
    if not status:
        raise HungUpError
    return _refusal(status, "as planned")


class _Counted:
    """A body, and how much of it was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.count = 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data


def handler(server: Server) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a class, not a function
    """The class for the socket."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60.0
        wbufsize = -1
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            self.body, self.sent = _Counted(self.rfile), 0  # type: ignore[arg-type]
            self.route, self.status, self.is_noted = _UNKNOWN, 0, False
            try:
                self.route, answer = server.answer(self.command, self.path, self.headers, self.body)  # type: ignore[arg-type]
                self.status = answer.status
                if self.body.count < int(self.headers.get("Content-Length") or 0):
                    self.close_connection = True  # a body that nobody read stands in the way of the next request
                self._send(answer)
            except (HungUpError, ConnectionError, TimeoutError):
                self.close_connection = True
                self._note()
                self._hang_up()
            finally:
                self._note()

        def _note(self) -> None:
            """Write the request down: before the end of its answer, so that whoever has that finds it counted."""
            if not self.is_noted:
                self.is_noted = True
                target = _without_token(self.command, self.path)
                server.store.note(self.route, target, self.status, self.body.count, self.sent)

        def _send(self, answer: Answer) -> None:
            if answer.file is not None:
                self._send_file(answer)
                return
            data = json.dumps(answer.data).encode()
            self.sent = len(data)
            self._note()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def _send_file(self, answer: Answer) -> None:
            """In chunks without a length, as REANA streams; so a cut one may end like a whole one."""
            assert answer.file is not None
            size = answer.file.stat().st_size
            quiet = server.store.fault("cut-download-quietly", self.route)
            loud = None if quiet is not None else server.store.fault("cut-download", self.route)
            left = size if quiet is None and loud is None else size // 2
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with answer.file.open("rb") as file:
                if answer.file.parent == server.store.folder:
                    answer.file.unlink()  # packed for this one answer
                while left and (data := file.read(min(_CHUNK, left))):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    left -= len(data)
                    self.sent += len(data)
            if loud is not None:
                self.wfile.flush()
                raise HungUpError
            self._note()
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

        def _hang_up(self) -> None:
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

        def log_message(self, *words: Any) -> None:
            """Say nothing: what was asked stands in the file."""

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve  # noqa: N815

    return Handler


def _without_token(method: str, target: str) -> str:
    url = urlsplit(target)
    query = [(name, value) for name, value in parse_qsl(url.query) if name != "access_token"]
    return f"{method} {url.path}" + (f"?{urlencode(query)}" if query else "")


class _Socket(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up, or do not trust us, are not our failure."""


def serve(server: Server, port: int, certificate: Path) -> ThreadingHTTPServer:
    """Listen on the loopback interface; the caller ends it."""
    listening = _Socket(("127.0.0.1", port), handler(server))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # The handshake is for the thread of the connection, so that a slow client holds nobody up.
    listening.socket = context.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
    return listening
