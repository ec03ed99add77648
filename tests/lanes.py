"""A pytest plugin (`-p tests.lanes`): what has a pool comes last; with `-n 2`, two processes share the files.

Tests on a pool have leases, tickets and tokens that run out, so one process has all of them, and the machine then;
before, both have something to compute.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
POOL = "pool"
"""The lane of all tests that start daemons."""

WITH_POOL = ("tests/faults", "tests/contract")
"""Folders whose files start a pool, by fixtures of their own; elsewhere, it is an argument of the test's."""
_ASKS = re.compile(r"facility: Facility\b|pool: Pool\b")

LONGEST = (
    "tests/integration/test_component_inputs.py",
    "tests/integration/test_install.py",
    "tests/integration/test_merge_agreement.py",
    "tests/integration/test_probes.py",
    "tests/integration/test_reana_faults.py",
    "tests/integration/test_reana_backend.py",
    "tests/integration/test_reana_ends.py",
    "tests/integration/test_reana_server.py",
    "tests/integration/test_report_browser.py",
    "tests/unit/test_component_jobs.py",
    "tests/unit/test_lock.py",
)
"""What takes half a minute or more without a pool: begun late, it would be waited for alone."""


@functools.cache
def _has_pool(file: str) -> bool:
    path = ROOT / file
    return path.is_file() and _ASKS.search(path.read_text(encoding="utf-8")) is not None


def lane(nodeid: str) -> str:
    """Return what is given to a process as a whole: the file of a test, or all that has a pool."""
    file = nodeid.partition("::")[0]
    return POOL if file.startswith(tuple(f"{folder}/" for folder in WITH_POOL)) or _has_pool(file) else file


def _rank(nodeid: str) -> int:
    given = lane(nodeid)
    if given == POOL:
        return len(LONGEST) + 1
    return LONGEST.index(given) if given in LONGEST else len(LONGEST)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, the pool last; the order inside of a file stays."""
    items.sort(key=lambda item: _rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give whole lanes to the processes, in the order of the tests."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lane
    return scheduler
