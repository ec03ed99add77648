"""What can work on macOS does: no verb of a person at a keyboard loads what exists for Linux alone.

The machine is Linux. What macOS lacks is taken away, and Python told that it is there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.rootfiles import H, write_root

_ROOT = Path(__file__).parents[2]
_MAC = """\
import os, sys, sysconfig, types
# Python reads once how it was built, from a file with the platform in its name.
sysconfig.get_config_vars()
# Of Python's own modules for macOS, one is loaded by those that open addresses.
proxies = types.ModuleType("_scproxy")
proxies._get_proxy_settings = proxies._get_proxies = dict
sys.modules["_scproxy"] = proxies
for name in ("htcondor2", "classad2", "htcondor", "classad", "XRootD", "gssapi"):
    sys.modules[name] = None
for name in ("sched_getaffinity", "pidfd_open", "memfd_create", "posix_fadvise", "sendfile", "prlimit"):
    for module in (os, sys.modules.get("posix"), sys.modules.get("resource")):
        if hasattr(module, name):
            delattr(module, name)
sys.platform = "darwin"
from septum.cli import run
sys.argv = ["septum", *sys.argv[1:]]
sys.exit(run())
"""
_ANALYSIS = """\
command: [sh, -c, "printf 'x\\\\n%s\\\\n' {n} > n.csv"]
outputs: [n.csv]
parts: {list: [{n: "1"}, {n: "2"}]}
merge: {all.csv: n.csv}
"""
_CLUSTER = "method: htcondor\ncollector: collector.example.org:9618\nschedd: schedd.example.org\n"


def _septum(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SEPTUM_", "CI_", "GITLAB_"))}
    return subprocess.run(
        [sys.executable, "-c", _MAC, *words],
        cwd=folder, env={**environ, "PYTHONPATH": str(_ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An analysis, two ROOT files, and a cluster."""
    (tmp_path / "septum.yaml").write_text(_ANALYSIS)
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "far.yaml").write_text(_CLUSTER)
    for number in range(2):
        write_root(tmp_path / f"{number}.root", {"h": H(cells=[0, number, 1, 0])})
    return tmp_path


def test_a_whole_run_and_what_follows_it(repository: Path) -> None:
    """From the plan to the verified result, on this machine."""
    answers = {}
    for words in (["run", "--json"], ["verify", "result", "--json"], ["plan", "--json"]):
        done = _septum(repository, *words)
        assert done.returncode == 0, (words, done.stderr)
        answers[words[0]] = json.loads(done.stdout)

    assert answers["run"].items() >= {"ended": True, "complete": True, "parts": 2, "missing": []}.items()
    assert [item["name"] for item in answers["run"]["results"]] == ["all.csv"]
    assert answers["verify"]["holds"] is True
    assert answers["plan"]["forecast"]["expected"]["same"] == 2
    assert (repository / "result/all.csv").read_text() == "x\n1\n2\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["new", "--help"],
        ["status", "--help"],
        ["rehearse", "--help"],
        ["merge", "all.root", "0.root", "1.root", "--jobs", "2"],
        ["compare", "0.root", "1.root"],
        ["cluster", "show", "infn-af"],
        ["plan", "--cluster", "infn-af"],
        ["component", "preview", "--help"],
        ["completion", "zsh"],
    ],
    ids=" ".join,
)
def test_verbs_that_need_no_linux(repository: Path, words: list[str]) -> None:
    """Work, and say nothing of a missing module."""
    done = _septum(repository, *words)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_cluster_needs_the_bindings(repository: Path) -> None:
    """Which do not exist there; one clear error says what to do instead."""
    assert _septum(repository, "prepare", "--cluster", "far").returncode == 0
    for words in (["submit", "--cluster", "far"], ["cluster", "check", "far"]):
        done = _septum(repository, *words)

        assert done.returncode == 23
        assert "[E202]" in done.stderr
        assert "Fix: " in done.stderr
        assert "Traceback" not in done.stderr


def test_the_test_takes_something_away(repository: Path) -> None:
    """A test of the test."""
    code = _MAC.replace("from septum.cli import run", "import htcondor2")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert "ModuleNotFoundError: import of htcondor2 halted" in done.stderr
