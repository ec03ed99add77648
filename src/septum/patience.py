"""How long collect may stay: until the end of its CI job, or of one hop of several; and when all ends. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from septum.errors import UsageError
from septum.units import show_duration

MARGIN_S = 300.0
"""What a CI job keeps of its time for what follows: the report, its artifacts."""
_MARGIN = 0.1

HOLD, HOPS = "hold", "hops"
"""How a pipeline waits for the cluster: in one CI job, or in several that GitLab starts one after the other."""
HOP_COUNTS = range(2, 9)
"""How many hops there can be, the last of them `collect`."""
DELAYS_MIN: Mapping[str, tuple[int, ...]] = {
    "30 minutes": (5, 10, 20, 30),
    "2 hours": (15, 30, 60, 120),
    "8 hours": (30, 60, 120, 240, 480),
}
"""Minutes before each hop, by the longest of them; the last number goes on, and is that of `collect`."""
RETRIES = 2
"""How often GitLab repeats a CI job that ends with 75: what it allows at most."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One of several CI jobs that collect a run one after the other: `number` of `count`, from 1."""

    number: int
    count: int

    @property
    def is_last(self) -> bool:
        """Whether no other hop follows."""
        return self.number >= self.count


def parse_hop(text: str) -> Hop | None:
    """Read `2/5`; None for an empty text.

    Raises:
        UsageError: It is something else.
    """
    if not text:
        return None
    found = re.fullmatch(r"([1-9]\d?)/([1-9]\d?)", text)
    if found is None or int(found[1]) > int(found[2]):
        raise UsageError(f"hop: expected a number of a hop and how many there are, got {text!r}", fix="--hop 2/5")
    return Hop(int(found[1]), int(found[2]))


def leave_at(
    environ: Mapping[str, str], *, now_s: float, hop: Hop | None = None, stay_s: float | None = None
) -> float | None:
    """When collect leaves, in seconds since the epoch, whatever still runs; None for never.

    A hop before the last one looks once, takes what is there, and leaves.

    Args:
        environ: GitLab's `CI_JOB_STARTED_AT` and `CI_JOB_TIMEOUT`, which is the smaller of the job's and the runner's.
        now_s: Seconds since the epoch.
        hop: Which hop this is.
        stay_s: What the user allows, in seconds.
    """
    ends = [now_s] if hop is not None and not hop.is_last else []
    if stay_s is not None:
        ends.append(now_s + stay_s)
    timeout_s = _timeout_s(environ)
    if timeout_s is not None:
        began_s = _seconds(environ.get("CI_JOB_STARTED_AT", ""), now_s)
        ends.append(began_s + timeout_s - min(MARGIN_S, _MARGIN * timeout_s))
    return min(ends, default=None)


def delays_min(longest: str, count: int) -> tuple[int, ...]:
    """The minutes before each of so many hops; before the last one, `collect`, always the longest.

    Args:
        longest: One of `DELAYS_MIN`.
        count: How many hops there are.
    """
    growing = DELAYS_MIN[longest]
    return (*(growing[min(number, len(growing) - 1)] for number in range(count - 1)), growing[-1])


def hops_of(environ: Mapping[str, str], *, local: bool) -> tuple[int, ...]:
    """The delays of the hops of this pipeline, in minutes; none for `wait: hold`.

    Args:
        environ: The component's `SEPTUM_WAIT`, `SEPTUM_HOPS` and `SEPTUM_HOP_DELAY`.
        local: Whether the parts end with their septum, so that nobody can leave them.

    Raises:
        UsageError: GitLab has been told something that the component does not know, by a variable of the project.
    """
    if local or environ.get("SEPTUM_WAIT", "") != HOPS:
        return ()
    count, longest = environ.get("SEPTUM_HOPS", ""), environ.get("SEPTUM_HOP_DELAY", "")
    if count not in map(str, HOP_COUNTS) or longest not in DELAYS_MIN:
        raise UsageError(
            f"hops: there are no {count!r} hops with {longest!r} between them",
            evidence="read from SEPTUM_HOPS and SEPTUM_HOP_DELAY",
            fix=f"set the input hops to {HOP_COUNTS[0]} to {HOP_COUNTS[-1]}, hop-delay to {' or '.join(DELAYS_MIN)}, "
            "and no CI/CD variable of these names",
        )
    return delays_min(longest, int(count))


def latest_end(now_s: float, timeout_s: float, delays: Sequence[int] = ()) -> float:
    """When the last CI job ends at the latest, in seconds since the epoch, if a runner is free each time.

    A repeated CI job is taken to wait for its delay again. What a hop does until it leaves is not counted.

    Args:
        now_s: Seconds since the epoch.
        timeout_s: The longest time of one CI job.
        delays: Minutes before each hop; none if there is only `collect`.
    """
    again = RETRIES * (delays[-1] if delays else 0)
    return now_s + 60 * (sum(delays) + again) + (RETRIES + 1) * timeout_s


def foretell(environ: Mapping[str, str], *, local: bool, now_s: float) -> str:
    """What submit says of the end; empty outside of GitLab.

    Args:
        environ: The environment of the CI job.
        local: Whether the parts end with their septum.
        now_s: Seconds since the epoch.
    """
    timeout_s = _timeout_s(environ)
    if timeout_s is None:
        return ""
    delays = hops_of(environ, local=local)
    end = datetime.fromtimestamp(latest_end(now_s, timeout_s, delays), tz=timezone.utc)
    stays = f"collect stays {show_duration(timeout_s)} at most, and is repeated {RETRIES} times at most"
    hops = f"{len(delays)} hops, after {', '.join(map(str, delays))} minutes; " if delays else ""
    return f"latest end {end:%Y-%m-%d %H:%M} UTC, and what CI jobs wait for runners: {hops}{stays}"


def _timeout_s(environ: Mapping[str, str]) -> int | None:
    timeout = environ.get("CI_JOB_TIMEOUT", "")
    return int(timeout) if re.fullmatch(r"[1-9]\d{0,8}", timeout) else None


def _seconds(text: str, now_s: float) -> float:
    """The time that GitLab writes as `2026-11-22T10:00:00Z`; now if it is none, or not in the past."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return now_s
    return min(now_s, found.timestamp()) if found.tzinfo else now_s
