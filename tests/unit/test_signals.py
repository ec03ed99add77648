"""What signals do to a septum that is being stopped already."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

_PROGRAM = textwrap.dedent(
    """
    import contextlib, os, signal, sys
    from septum import cli
    from septum.signals import removing_on_signal

    class Jobs:
        def remove(self, parts):
            return 8

    @contextlib.contextmanager
    def credentials():
        try:
            yield
        finally:
            # While what was held is given back, somebody is impatient; and something in there fails, and is mended.
            with contextlib.suppress(OSError):
                os.kill(os.getpid(), {number})
                open("/nowhere/at/all")
            os.kill(os.getpid(), {number})

    def verb(args):
        with credentials(), removing_on_signal(Jobs(), print):
            os.kill(os.getpid(), signal.SIGTERM)
            raise SystemExit("not stopped")

    class Parser:
        def parse_args(self, arguments):
            return type("Args", (), {{"handler": staticmethod(verb), "traceback": False, "verb": "collect"}})

    cli.parser = Parser
    sys.exit(cli.run())
    """
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_late_signal_takes_away_no_words(number: signal.Signals) -> None:
    """The jobs are removed, and septum says so and ends as cancelled, however often it is told to stop."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(number=int(number))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "CI": ""},
    )

    assert (done.returncode, done.stdout) == (24, "SIGTERM: removing the jobs of this run\n"), done.stderr
    assert "cancelled by SIGTERM; 8 jobs were removed" in done.stderr
