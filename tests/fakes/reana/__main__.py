"""`python -m tests.fakes.reana serve --folder FOLDER`: see the package."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.reana.description import Description
from tests.fakes.reana.engines import Engines, end_all
from tests.fakes.reana.server import Server, serve
from tests.fakes.reana.store import USER, Store
from tests.fakes.reana.tools import description, python
from tests.fakes.tls import _certificate

_LOOK_S = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal says to end. Runs go on without us."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.reana")
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--folder", type=Path, required=True, help="where everything is; found again after a restart")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slots", type=int, default=4, help="how many jobs run at once on the whole server")
    parser.add_argument("--token-in", choices=["query", "header"], default="query")
    parser.add_argument("--backends", default="kubernetes,htcondorcern,slurmcern")
    parser.add_argument(
        "--not-alone", action="store_true", help="end all runs and itself when whoever started it is gone"
    )
    options = parser.parse_args(arguments)
    parent = os.getppid()
    folder = options.folder.absolute()
    store = Store(folder)
    store.set("user", USER)
    store.set("token_in", options.token_in)
    if store.setting("token") is None:
        store.set("token", secrets.token_urlsafe(16))
    certificate = folder / "localhost.pem"
    if not certificate.exists():
        _certificate(folder)
        certificate.chmod(0o600)
    engines = Engines(store, python(), slots=options.slots, backends=tuple(options.backends.split(",")))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    listening = serve(Server(store, Description(description()), engines), options.port, certificate)
    engines.begin()
    told = {
        "url": f"https://localhost:{listening.server_port}",
        "ca_file": str(certificate),
        "token": store.setting("token"),
        "pid": os.getpid(),
        "port": listening.server_port,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    while not ended.wait(_LOOK_S):
        if options.not_alone and os.getppid() != parent:
            end_all(store)
            ended.set()
    listening.shutdown()
    engines.end()
    store.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
