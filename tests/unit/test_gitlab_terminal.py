"""`septum gitlab setup` as a person meets it: a terminal, questions, typed secrets, Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import gitlab_server
from tests.fakes.gitlab_server import Fault
from tests.fakes.gitlab_variables import variables_of
from tests.unit.gitlab_case import CERTIFICATE, PROJECT, SECRET, Case, a_case

_PATIENCE_S = 60.0


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A repository, and a GitLab with a project."""
    with a_case(tmp_path, monkeypatch) as made:
        made.server.add_project(PROJECT)
        yield made


class Terminal:
    """A person's terminal, with the command in it."""

    def __init__(self, case: Case, *more: str, token: str = "") -> None:
        place = ["--root", str(case.root), "--url", case.server.url, "--project", PROJECT]
        environ = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PYTHONPATH": str(Path.cwd())}
        environ.pop("SEPTUM_GITLAB_TOKEN", None)
        self.arguments = [sys.executable, "-m", "septum", "gitlab", "setup", *place, *more]
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            self.arguments,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environ, **({"SEPTUM_GITLAB_TOKEN": token} if token else {})},
            preexec_fn=_own_terminal,  # noqa: PLW1509 - no thread of ours holds a lock there
        )
        os.close(slave)
        self.seen = ""

    def until(self, words: str) -> None:
        """Read until something stands there."""
        ends = time.monotonic() + _PATIENCE_S
        while words not in self.seen:
            assert time.monotonic() < ends, self.seen
            if not self._read():
                pytest.fail(f"ended before {words!r}: {self.seen}")

    def until_again(self, words: str) -> None:
        """Read until something stands there for the second time."""
        while self.seen.count(words) < 2:
            assert self._read(), self.seen

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.master, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        os.close(self.master)
        return self.process.wait(_PATIENCE_S)

    def _read(self) -> bool:
        if not select.select([self.master], [], [], _PATIENCE_S)[0]:
            return False
        try:
            chunk = os.read(self.master, 4096)
        except OSError:  # the other side is closed
            return False
        self.seen += chunk.decode("utf-8", "replace")
        return bool(chunk)


def _own_terminal() -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_person_is_asked(case: Case) -> None:
    """For the token, whether to do it, and each value; nothing typed is seen; a bad value is asked for again."""
    terminal = Terminal(case)
    terminal.until("it is not shown): ")
    terminal.type(f"{gitlab_server.MAINTAINER}\n")
    terminal.until("Do it? [y/N] ")
    terminal.type("y\n")
    terminal.until("SEPTUM_CLUSTER_SCHEDD (")
    terminal.type("schedd.example.org\n")
    terminal.until("IAM_CLIENT_ID (")
    terminal.type("a-client\n")
    terminal.until("IAM_CLIENT_SECRET (")
    terminal.type("short\n")
    terminal.until("has 5 characters")
    terminal.until_again("IAM_CLIENT_SECRET (")
    command = Path(f"/proc/{terminal.process.pid}/cmdline").read_bytes()
    environ = Path(f"/proc/{terminal.process.pid}/environ").read_bytes()
    terminal.type(f"{SECRET}\n")
    terminal.until("SEPTUM_CA (")
    terminal.type(f"@{case.root / 'nothing'}\n")
    terminal.until("cannot be read")
    terminal.until_again("SEPTUM_CA (")
    terminal.type(f"@{case.root / 'ca.pem'}\n")
    code = terminal.end()

    assert code == 0, terminal.seen
    stored = {variable["key"]: variable["value"] for variable in variables_of(case.server.projects[42])}
    typed = {"SEPTUM_CLUSTER_SCHEDD": "schedd.example.org", "IAM_CLIENT_ID": "a-client"}
    assert stored == {**typed, "IAM_CLIENT_SECRET": SECRET, "SEPTUM_CA": CERTIFICATE.strip()}
    for hidden in (SECRET, gitlab_server.MAINTAINER):
        assert hidden not in terminal.seen
        assert hidden.encode() not in command + environ
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.seen)


@pytest.mark.parametrize("keys", ["\n", "n\n", "maybe\n", "\x04"], ids=["empty", "no", "neither", "end"])
def test_anything_but_yes_is_no(case: Case, keys: str) -> None:
    """Nothing is written."""
    terminal = Terminal(case, token=gitlab_server.MAINTAINER)
    terminal.until("Do it? [y/N] ")
    terminal.type(keys)

    assert terminal.end() == 0
    assert "nothing was done" in terminal.seen
    assert case.server.writes() == []


def test_ctrl_c_tells_what_was_not_done(case: Case) -> None:
    """In the middle of the work: what was done stands above, what was not below."""
    case.server.fail("POST /projects/:id/protected_tags", Fault(delay_s=30.0))
    terminal = Terminal(case, "--yes", *case.values(), token=gitlab_server.MAINTAINER)
    terminal.until("done  branch main")
    terminal.type("\x03")

    assert terminal.end() == 130, terminal.seen
    assert "not done: tags v*" in terminal.seen
    assert "not done: variable IAM_CLIENT_SECRET" in terminal.seen
    assert "Traceback" not in terminal.seen
