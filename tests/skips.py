"""A pytest plugin (`-p tests.skips`): on CI, where everything can run, a skipped test is a failed one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


def _skipped(config: pytest.Config) -> int:
    if os.environ.get("CI") != "true":
        return 0
    reporter: TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", [])) if reporter else 0


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn the exit status of a good session into a bad one if it skipped something."""
    if _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Say so, below the list of reasons that `-ra` writes."""
    count = _skipped(config)
    if count:
        terminalreporter.write_line(f"CI=true: {count} skipped, and here nothing may be skipped", red=True)
