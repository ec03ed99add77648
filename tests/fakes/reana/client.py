"""The real reana-client, as a process in the Python of `tools`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from septum.facility import process
from tests.fakes.reana.handle import ReanaServer
from tests.fakes.reana.tools import python

_COMMAND = "from reana_client.cli import cli; cli(prog_name='reana-client')"


def client(server: ReanaServer, folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `reana-client WORDS` in a folder."""
    return _run(server, folder, "-c", _COMMAND, *words, check=check)


def script(server: ReanaServer, folder: Path, text: str) -> str:
    """Run a script of Python in a folder, with `token` and the module `api` of reana-client; what it prints."""
    head = "import json, os\nfrom reana_client.api import client as api\ntoken = os.environ['REANA_ACCESS_TOKEN']\n"
    return _run(server, folder, "-c", head + text, check=True).stdout


def _run(server: ReanaServer, folder: Path, *words: str, check: bool) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        # It never looks at a certificate, and warns of it each time.
        "PYTHONWARNINGS": "ignore",
        "REANA_SERVER_URL": server.url,
        "REANA_ACCESS_TOKEN": server.token,
    }
    return process.run(
        [python(), *words],
        what=f"reana-client {' '.join(words[2:4])}",
        timeout_s=60,
        env=environment,
        cwd=folder,
        check=check,
    )
