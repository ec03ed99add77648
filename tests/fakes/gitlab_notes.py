"""A fake of the part of GitLab that keeps the notes of a merge request, over real HTTP on this machine.

It is a fake: it knows two users, one merge request, and the four calls below, as GitLab's REST API documents them
(`GET /user`, `GET`, `POST` and `PUT` of `/projects/:id/merge_requests/:iid/notes`), and it can be told to misbehave.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "glpat-Fake0Token1For2Tests3"
_NOTES = re.compile(r"/api/v4/projects/12/merge_requests/7/notes(?:/(\d+))?")


@dataclass
class Notes:
    """The notes, the calls so far, and what goes wrong.

    Attributes:
        status: Answer every call on notes so.
        delay_s: Wait before every answer.
    """

    url: str = ""
    notes: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    status: int = 0
    delay_s: float = 0.0

    def add(self, body: str, *, author: int = 1, system: bool = False) -> None:
        """A note that is there already; user 1 is ours."""
        self.notes.append({"id": 100 + len(self.notes), "body": body, "system": system, "author": {"id": author}})

    @property
    def bodies(self) -> list[str]:
        """Their texts."""
        return [note["body"] for note in self.notes]

    def answer(self, method: str, target: str, token: str | None, body: dict[str, Any]) -> tuple[int, Any]:
        """What GitLab would say."""
        parts = urlsplit(target)
        self.calls.append(f"{method} {parts.path}")
        match = _NOTES.fullmatch(parts.path)
        if token != TOKEN:
            return 401, {"message": "401 Unauthorized"}
        if parts.path == "/api/v4/user":
            return 200, {"id": 1, "username": "project_12_bot"}
        if match is None or self.status:
            return self.status or 404, {"message": f"{self.status} said the fake, with {token} in its answer"}
        return self._notes(method, parse_qs(parts.query), int(match[1] or 0), body)

    def _notes(self, method: str, query: dict[str, list[str]], number: int, body: dict[str, Any]) -> tuple[int, Any]:
        if method == "GET":
            size, page = int(query["per_page"][0]), int(query["page"][0])
            return 200, self.notes[(page - 1) * size : page * size]
        if method == "POST":
            self.add(body["body"])
            return 201, self.notes[-1]
        (note,) = (note for note in self.notes if note["id"] == number)
        note["body"] = body["body"]
        return 200, note


@contextmanager
def serve() -> Iterator[Notes]:
    """The fake on a port of its own."""
    state = Notes()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, data = state.answer(self.command, self.path, self.headers.get("PRIVATE-TOKEN"), body)
            time.sleep(state.delay_s)
            text = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = _do  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # A client that has given up is no news.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
