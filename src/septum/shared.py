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
from septum.worker.sandbox import SHARED, WRAPPER, sent_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from septum.clusters.profile import Profile
    from septum.plan import Plan

MANY_B = 10_000_000_000
"""From here on, what a run sends to a schedd is worth a warning."""


def goes_by_url(profile: Profile, size_b: int) -> bool:
    """Whether the jobs of a cluster fetch an archive of this size from a storage.

    Args:
        profile: The cluster.
        size_b: Bytes; 0 for no archive.
    """
    return profile.method == "htcondor" and bool(profile.shared_area) and size_b > profile.shared_above


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
        spool_b: To the schedd, for all of them together.
        area_b: To the area, once; 0 if it is not used.
        shared_b: What all parts share.
    """

    jobs: int
    spool_b: int
    area_b: int
    shared_b: int

    @property
    def line(self) -> str:
        """For people."""
        once = f"; what all parts share, {show_size(self.area_b)}, goes to the shared area once" if self.area_b else ""
        return f"{count(self.jobs, 'job')} send {show_size(self.spool_b)} to the schedd{once}"

    @property
    def warning(self) -> str:
        """What is too much, with the way out; empty if nothing is."""
        shared_b = 0 if self.area_b else self.shared_b * self.jobs
        if self.spool_b <= MANY_B:
            return ""
        if shared_b > self.spool_b // 2:
            return (
                f"{show_size(shared_b)} of that are {self.jobs} copies of the same {show_size(self.shared_b)}: name a "
                "folder of a storage as 'shared-area' of the cluster's profile, and it travels once"
            )
        return "let the parts read their own large inputs by URL instead of sending them"


def sending(plan: Plan, profile: Profile, size_of: Callable[[str], int]) -> Sending:
    """What travels when all parts of a plan are submitted.

    Args:
        plan: The plan.
        profile: The cluster.
        size_of: Bytes of a file that is sent, by its name.
    """
    shared_b = size_of(SHARED) if plan.inputs else 0
    by_url = goes_by_url(profile, shared_b)
    own_b = sum(size_of(name) for part in plan.parts for name in sent_names(plan, part, by_url=True))
    each_b = size_of(WRAPPER) + (0 if by_url else shared_b)
    return Sending(
        jobs=len(plan.parts),
        spool_b=own_b + each_b * len(plan.parts),
        area_b=shared_b if by_url else 0,
        shared_b=shared_b,
    )
