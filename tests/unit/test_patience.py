"""How long a pipeline waits: the hops and their delays, when collect leaves, and what is said of the end beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from itertools import pairwise

import pytest

from septum.errors import UsageError
from septum.patience import DELAYS_MIN, HOP_COUNTS, RETRIES, delays_min, foretell, hops_of, latest_end, leave_at

NOW_S = datetime(2026, 11, 23, 10, 0, tzinfo=timezone.utc).timestamp()
HOPPING = {"SEPTUM_WAIT": "hops", "SEPTUM_HOPS": "4", "SEPTUM_HOP_DELAY": "2 hours", "CI_JOB_TIMEOUT": "3600"}


@pytest.mark.parametrize("longest", DELAYS_MIN)
def test_delays_grow_up_to_the_longest(longest: str) -> None:
    """Each hop waits as long as the one before or longer, and collect as long as the input says."""
    number, unit = longest.split()
    longest_min = int(number) * {"minutes": 1, "hours": 60}[unit]

    for count in HOP_COUNTS:
        delays = delays_min(longest, count)
        assert len(delays) == count
        assert delays[-1] == longest_min
        assert all(one <= two for one, two in pairwise(delays))
        # What GitLab takes: at least a second, at most a week.
        assert 0 < delays[0] < delays[-1] <= 7 * 24 * 60


@pytest.mark.parametrize("longest", DELAYS_MIN)
def test_a_hop_waits_the_same_whatever_their_number(longest: str) -> None:
    """The delay of a place is written into the component once: only collect's place moves."""
    most = delays_min(longest, HOP_COUNTS[-1])

    assert all(delays_min(longest, count)[:-1] == most[: count - 1] for count in HOP_COUNTS)


def test_hops_are_those_of_the_inputs() -> None:
    """What the component's variables say is what is counted with."""
    assert hops_of(HOPPING, local=False) == (15, 30, 60, 120)


@pytest.mark.parametrize(
    ("environ", "local"),
    [({}, False), ({**HOPPING, "SEPTUM_WAIT": "hold"}, False), ({"SEPTUM_WAIT": "hold"}, False), (HOPPING, True)],
)
def test_no_hops_where_one_ci_job_waits(environ: Mapping[str, str], *, local: bool) -> None:
    """On a laptop, with `wait: hold`, and where the parts end with their septum."""
    assert hops_of(environ, local=local) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"SEPTUM_HOPS": count} for count in ("1", "9", "4.0", "", "²")),
        *({"SEPTUM_HOP_DELAY": longest} for longest in ("3 hours", "")),
    ],
)
def test_a_project_variable_that_no_input_could_be_is_refused(wrong: Mapping[str, str]) -> None:
    """GitLab would have made a pipeline without hops of it, or with others than we count with."""
    with pytest.raises(UsageError, match="hops: there are no"):
        hops_of({**HOPPING, **wrong}, local=False)


def test_latest_end_of_one_ci_job() -> None:
    """It takes its time, and may be repeated."""
    assert latest_end(NOW_S, 3600) == NOW_S + (1 + RETRIES) * 3600


def test_latest_end_of_hops() -> None:
    """All delays, then collect; one that is repeated waits for its delay again."""
    assert latest_end(NOW_S, 3600, (15, 30, 60, 120)) == NOW_S + 60 * (225 + RETRIES * 120) + (1 + RETRIES) * 3600


def test_the_end_of_hops_is_said_beforehand() -> None:
    """In UTC, with what it is made of."""
    assert foretell(HOPPING, local=False, now_s=NOW_S) == (
        "latest end 2026-11-23 20:45 UTC, and what CI jobs wait for runners: 4 hops, after 15, 30, 60, 120 minutes; "
        "collect stays 1 h 00 min at most, and is repeated 2 times at most"
    )


def test_the_end_of_one_ci_job_is_said_beforehand() -> None:
    """Where nothing hops, no delay is counted."""
    said = foretell({**HOPPING, "SEPTUM_WAIT": "hold"}, local=False, now_s=NOW_S)

    assert said.startswith("latest end 2026-11-23 13:00 UTC")
    assert "hops" not in said


@pytest.mark.parametrize("timeout", ["", "0", "-1", "an hour", "1e3", "9" * 30])
def test_nothing_is_said_where_no_timeout_is_known(timeout: str) -> None:
    """On a laptop nothing ends by itself; and collect leaves at no time either."""
    assert foretell({"CI_JOB_TIMEOUT": timeout}, local=False, now_s=NOW_S) == ""
    assert leave_at({"CI_JOB_TIMEOUT": timeout}, now_s=NOW_S) is None


def test_collect_leaves_before_the_end_that_was_said() -> None:
    """The time it keeps for its report lies within what was counted."""
    left_s = leave_at(HOPPING, now_s=NOW_S)

    assert left_s is not None
    assert NOW_S < left_s < latest_end(NOW_S, 3600)
