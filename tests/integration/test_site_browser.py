"""The site of the documentation in a real browser: it asks nobody else for anything, and its search finds pages."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.browser.chromium import Visit, look, unavailable

ROOT = Path(__file__).parents[2]
# Types a word into the search, and waits for what it finds.
_SEARCH = """(async () => {
  const box = document.querySelector('[data-md-component="search-query"]');
  box.focus();
  box.value = "tolerance";
  box.dispatchEvent(new Event("input", {bubbles: true}));
  for (let round = 0; round < 200; round++) {
    const found = [...document.querySelectorAll(".md-search-result__link")].map((link) => new URL(link.href).pathname);
    if (found.length) return found;
    await new Promise((go) => setTimeout(go, 50));
  }
  return [];
})()"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site of this checkout, on this machine alone."""
    if reason := unavailable():
        pytest.skip(reason)
    target = tmp_path_factory.mktemp("site") / "public"
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", target],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=120,
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(target))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_the_site_asks_no_other_host_and_its_search_finds_pages(address: str) -> None:
    """Nothing in the console, no scrolling from side to side on a telephone."""
    visits = [
        Visit(url=f"{address}index.html", width=1200, axe=False, script=_SEARCH),
        Visit(url=f"{address}reference/components.html", width=360, scheme="dark", axe=False),
        Visit(url=f"{address}reference/command-line.html", width=360, axe=False),
    ]
    seen = look(visits)

    assert [request for visit in seen for request in visit.requests if not request.startswith(address)] == []
    assert [visit.console for visit in seen] == [[], [], []]
    assert [visit.overflow for visit in seen] == [0, 0, 0]
    assert "/how-to/when-a-part-fails.html" in seen[0].answer
