"""An object store under another name of this machine, as GitLab sends downloads to: it serves to everybody who asks.

with serving(*gitlab_pipelines.ENDPOINTS) as server, storing() as store:
store.files["/3/result/logs/a"] = b"…"
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass(slots=True)
class Store:
    """The store.

    Attributes:
        files: What it has, by path.
        headers: The headers of each request.
    """

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address; another host than 127.0.0.1 to a client."""
        return f"http://localhost:{self.port}"


@contextlib.contextmanager
def storing() -> Iterator[Store]:
    """Run the store."""
    store = Store()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            store.headers.append(dict(self.headers))
            data = store.files.get(unquote(self.path))
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
