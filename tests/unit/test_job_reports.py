"""What a job's ad says, as a report: also what it says of memory, which a pool measures now and then."""

from __future__ import annotations

from typing import Any

import pytest

from septum.backends.htcondor.backend import _ATTRIBUTES, _report
from septum.states import JobState

AD: dict[str, Any] = {
    "SeptumPart": "0007", "ClusterId": 4711, "ProcId": 3, "JobStatus": 4, "EnteredCurrentStatus": 100,
    "ServerTime": 130, "NumJobStarts": 2, "NumHolds": 0, "ExitCode": 0, "ExitBySignal": False,
    "LastRemoteHost": "slot1_2@node7.example.org", "ResidentSetSize_RAW": 5 * 2**21,
}  # fmt: skip


def test_a_job_that_ended() -> None:
    """All that verification and the manifest want; sizes are KiB in HTCondor, and bytes here."""
    report = _report(AD, gone=False)

    assert (report.part, report.job, report.state) == ("0007", "4711.3", JobState.ENDED)
    assert (report.attempts, report.exit_code, report.signal, report.since_s) == (2, 0, None, 30)
    assert report.host == "node7.example.org"
    assert report.memory_b == 10 * 2**30


@pytest.mark.parametrize("size", [None, 0, -1, "1024", "undefined", 12.5, [1], {"a": 1}])
def test_memory_that_nobody_measured(size: object) -> None:
    """A short job has none; nothing is made up of what is no size."""
    assert _report({**AD, "ResidentSetSize_RAW": size}, gone=False).memory_b is None


def test_an_ad_without_a_size() -> None:
    """As that of a job that waits."""
    report = _report({key: value for key, value in {**AD, "JobStatus": 1}.items() if "Size" not in key}, gone=False)

    assert (report.state, report.memory_b) == (JobState.IDLE, None)


def test_what_a_report_is_made_of_is_asked_for() -> None:
    """An attribute that is not in the query is in no ad."""
    assert set(AD) <= set(_ATTRIBUTES)
