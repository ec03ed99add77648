"""What all parts share: whether it goes to a storage once, or to the schedd with each job, and what that costs. Pure.

On the storage it is named by its content, so that a second run, or a CI job that is retried, finds it there. The
folder is that of the month: a whole month can be cleared when its runs are over, and nobody needs to know the age of a
file.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from septum.units import count, show_size
from septum.worker.look import NAME as LOOK
from septum.worker.sandbox import SHARED, WRAPPER, own_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from septum.clusters.profile import Profile
    from septum.plan import Plan

MANY_B = 10_000_000_000
"""From here on, what a run sends to a schedd or to REANA is worth a warning."""


def goes_by_url(profile: Profile, size_b: int) -> bool:
    """Whether the jobs of a cluster fetch an archive of this size from a storage.

    Args:
        profile: The cluster.
        size_b: Bytes; 0 for no archive.
    """
    return profile.method == "htcondor" and bool(profile.shared_area) and size_b > profile.shared_above


def goes_once(profile: Profile) -> bool:
    """Whether one submission to a cluster sends what all parts share once, however many jobs it makes."""
    return profile.method == "reana"


def workflows(profile: Profile, own: Iterable[int], *, once_b: int, pilot: bool = False) -> int:
    """How many workflows a run becomes, where there is room for it; 0 where jobs are no steps of one.

    Args:
        profile: The cluster.
        own: The bytes that each part sends for itself alone.
        once_b: What goes to each workflow once.
        pilot: Whether the first part goes before all others, in a workflow of its own.
    """
    if not goes_once(profile):
        return 0
    most = min(profile.parts_per_submission, profile.max_jobs_per_owner)
    found, parts, sent_b = 0, most, 0
    for number, own_b in enumerate(own):
        is_new = parts == most or sent_b + own_b > profile.max_bytes_per_submission or (pilot and number == 1)
        found, parts, sent_b = (found + 1, 1, once_b + own_b) if is_new else (found, parts + 1, sent_b + own_b)
    return found


def object_name(sha256: str, *, now_s: float, number: int = 0) -> str:
    """The name of an archive below the area.

    Args:
        sha256: Of the archive, in hexadecimal.
        now_s: Seconds since the epoch.
        number: How many objects of that name are there already, and are not what they should be: septum overwrites
            nothing.
    """
    month = time.strftime("%Y-%m", time.gmtime(now_s))
    return f"{month}/{sha256}{f'.{number}' if number else ''}.tar.gz"


def read_url(profile: Profile, name: str) -> str:
    """The address by which jobs read an object of the area; nothing in it is secret."""
    base = profile.shared_read or re.sub(r"^davs:", "https:", profile.shared_area)
    return f"{base.rstrip('/')}/{name}"


def plugin_method(url: str) -> str:
    """The method by which HTCondor finds the plugin for an address: `https` of `cms+https://…`."""
    return url.partition("://")[0].rpartition("+")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What travels when a run is submitted.

    Attributes:
        jobs: How many jobs.
        spool_b: To the schedd or to REANA, for all of them together.
        area_b: To the area, once; 0 if it is not used.
        shared_b: What all parts share.
        workflows: How many workflows they are, each with one copy of that; 0 where each job has one.
    """

    jobs: int
    spool_b: int
    area_b: int
    shared_b: int
    workflows: int = 0

    @property
    def to(self) -> str:
        """Where the bytes go, and what for."""
        return f"to REANA, in {count(self.workflows, 'workflow')}" if self.workflows else "to the schedd, for all jobs"

    @property
    def line(self) -> str:
        """For people."""
        if self.workflows:
            return f"{count(self.jobs, 'part')} send {show_size(self.spool_b)} {self.to}"
        once = f"; what all parts share, {show_size(self.area_b)}, goes to the shared area once" if self.area_b else ""
        return f"{count(self.jobs, 'job')} send {show_size(self.spool_b)} to the schedd{once}"

    @property
    def warning(self) -> str:
        """What is too much, with the way out; empty if nothing is."""
        shared_b = 0 if self.area_b else self.shared_b * (self.workflows or self.jobs)
        if self.spool_b <= MANY_B:
            return ""
        if shared_b > self.spool_b // 2 and self.workflows:
            return (
                f"{show_size(shared_b)} of that are what all parts share, which goes to each workflow once: leave out "
                "of 'inputs' what the image or CVMFS has, or let the parts read it by URL"
            )
        if shared_b > self.spool_b // 2:
            return (
                f"{show_size(shared_b)} of that are {self.jobs} copies of the same {show_size(self.shared_b)}: name a "
                "folder of a storage as 'shared-area' of the cluster's profile, and it travels once"
            )
        return "let the parts read their own large inputs by URL instead of sending them"


def sending(plan: Plan, profile: Profile, size_of: Callable[[str], int], *, pilot: bool = False) -> Sending:
    """What travels when all parts of a plan are submitted.

    Args:
        plan: The plan.
        profile: The cluster.
        size_of: Bytes of a file that is sent, by its name.
        pilot: Whether the first part goes before all others.
    """
    shared_b = size_of(SHARED) if plan.inputs else 0
    by_url = goes_by_url(profile, shared_b)
    own = [sum(size_of(name) for name in own_names(part)) for part in plan.parts]
    alike_b = sum(size_of(name) for name in (WRAPPER, *([LOOK] if plan.merged_outputs else [])))
    alike_b += 0 if by_url else shared_b
    number = workflows(profile, own, once_b=alike_b, pilot=pilot)
    return Sending(
        jobs=len(plan.parts),
        spool_b=sum(own) + alike_b * (number or len(plan.parts)),
        workflows=number,
        area_b=shared_b if by_url else 0,
        shared_b=shared_b,
    )
