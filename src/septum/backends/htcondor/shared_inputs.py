"""What all parts of a run share, where the workers fetch it by a plugin: brought to the area, and kept there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from septum.errors import SeptumError, SharedAreaError
from septum.shared import goes_by_url, plugin_method, read_url
from septum.worker.sandbox import SHARED

if TYPE_CHECKING:
    from septum.backends.base import JobReport, Run
    from septum.clusters.profile import Profile
    from septum.credentials import Credentials
    from septum.upload.area import Area

INPUTS_HOLD = 13
"""HTCondor's code of a job that is held because its inputs did not come."""

HEAL_EVERY_S = 60.0
"""How often the area is looked at while there is such a job."""


class SharedInputs:
    """The shared inputs of one run.

    Args:
        run: The run.
        profile: The cluster.
        credentials: Those of the run.
        call: Asks HTCondor's bindings: the name of the call, and what is being done.
    """

    def __init__(self, run: Run, profile: Profile, credentials: Credentials, call: Callable[[str, str], Any]) -> None:
        self._profile, self._call = profile, call
        self._area = _area(run, profile, credentials)
        self._plugin_is_there = self._is_missed = False
        self._looked_s = 0.0

    def url(self, *, anew: bool) -> str:
        """Where the workers fetch the archive, which is there now; empty where it goes with each job.

        Args:
            anew: Look at the storage, whatever was seen there a moment ago.

        Raises:
            SharedAreaError: It cannot be brought there, or no worker could fetch it.
        """
        if self._area is None:
            return ""
        if not self._plugin_is_there:
            self._check_plugin()
            self._plugin_is_there = True
        return self._area.url(anew=anew)

    def _check_plugin(self) -> None:
        """Look before anything is sent: jobs that no machine can run would wait for days."""
        method = plugin_method(read_url(self._profile, ""))
        known = self._call("plugins", "looking at the workers")
        if known is not None and method not in known:
            raise SharedAreaError(
                f"shared-area: no machine of the pool announces a file transfer plugin for {method}://",
                evidence=f"their plugins: {', '.join(known) or 'none'}",
                fix="name an address for one of these as 'shared-read' of the cluster's profile; without "
                "'shared-area', each job gets its own copy through the schedd",
            )

    def look(self, reports: Iterable[JobReport]) -> None:
        """Take note of jobs that did not get their inputs."""
        self._is_missed = any(report.hold_code == INPUTS_HOLD for report in reports)

    def heal(self) -> list[str]:
        """Bring the archive to the area again if a job missed it: its hold is released soon. Returns warnings."""
        if self._area is None or not self._is_missed or time.time() - self._looked_s < HEAL_EVERY_S:
            return []
        self._looked_s = time.time()
        try:
            self._area.url(anew=True)
        except SeptumError as error:
            return [error.what]
        return []


def _area(run: Run, profile: Profile, credentials: Credentials) -> Area | None:
    """The shared area, where the run has something for it."""
    archive = run.sent / SHARED
    if not run.plan.inputs or not archive.is_file() or not goes_by_url(profile, archive.stat().st_size):
        return None
    from septum.collect import SystemClock
    from septum.upload.area import Area

    return Area(profile, credentials, archive, run=run.tag, environ=os.environ, clock=SystemClock())
