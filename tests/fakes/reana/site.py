"""What a repository needs to run on the server: the cluster's profile, the token, an image that is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.fakes.reana.handle import ReanaServer

IMAGE = f"127.0.0.1:9/analysis@sha256:{'0' * 64}"
"""Nobody listens there: REANA's jobs run in no image here, and the registry is not reached, which is no error."""
CLUSTER = "reana-here"
VARIABLE = "REANA_ACCESS_TOKEN"


def reana_profile(server: ReanaServer, **changes: Any) -> str:
    """A cluster profile for the server, as a user would write it."""
    values = {
        "title": "REANA for tests",
        "method": "reana",
        "reana-server": server.url,
        "reana-token-in": server.token_in,
        "ca-file": str(server.ca_file),
        "credentials": "access-token",
        "poll-floor": "1 s",
        "poll-ceiling": "2 s",
        "lease": "10 min",
        "call-deadline": "30 s",
        "default-memory": "32 MB",
        "default-disk": "32 MB",
    }
    return "".join(f"{key}: {value}\n" for key, value in {**values, **changes}.items())


def name_image(folder: Path) -> None:
    """Let the analysis of a repository name an image: REANA runs nothing without one."""
    path = folder / "septum.yaml"
    text = path.read_text(encoding="utf-8")
    named = json.dumps({**json.loads(text), "image": IMAGE}) if text[0] == "{" else f"{text}image: {IMAGE}\n"
    path.write_text(named, encoding="utf-8", newline="")
