"""A pytest plugin (`-p tests.lanes -n 2`): several processes share the tests, a file at a time, the longest first.

Most of the time is waiting: for a pool, for a token that must expire. Each process has a pool and an issuer of its own.
"""

from __future__ import annotations

import pytest

TOGETHER = ("tests/faults",)
"""Folders whose files share what is under way, so that one process takes all of them."""

LONGEST = (
    "tests/integration/test_pipeline.py",
    "tests/faults",
    "tests/integration/test_examples.py",
    "tests/integration/test_leaks.py",
    "tests/integration/test_pool_life.py",
    "tests/contract/test_no_false_green.py",
    "tests/integration/test_component_inputs.py",
    "tests/integration/test_kerberos_run.py",
    "tests/integration/test_long_run.py",
    "tests/contract/test_values.py",
    "tests/integration/test_merge_agreement.py",
    "tests/integration/test_refusals.py",
    "tests/integration/test_tutorial.py",
    "tests/integration/test_probes.py",
    "tests/integration/test_install.py",
    "tests/integration/test_waves.py",
    "tests/integration/test_report_browser.py",
    "tests/integration/test_hops.py",
)
"""What takes half a minute or more, in this order: begun late, it would be waited for alone."""


def lane(nodeid: str) -> str:
    """Return what is given to a process as a whole: the file of a test, or its folder."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)


def _rank(nodeid: str) -> int:
    return LONGEST.index(lane(nodeid)) if lane(nodeid) in LONGEST else len(LONGEST)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; the order inside of a file stays."""
    items.sort(key=lambda item: _rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give whole files to the processes, in the order of the tests."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lane
    return scheduler
