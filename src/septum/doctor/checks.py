"""All checks in their order, and what each builds on."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from septum.credentials.choose import uses_secrets
from septum.doctor import analysis, ci, cluster, credentials, image, machine, storage
from septum.doctor.report import Check
from septum.doctor.runner import DEADLINE_S, Asked, Context, Probe, run
from septum.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from septum.clusters.profile import Profile
    from septum.stages import Options

_ACCESS = ("profile", "debug trace", "place", "CA")
"""What each credential builds on."""
_CREDENTIALS = tuple(key.name for key in credentials.ALL)


def _of_profile(wanted: Callable[[Profile], bool]) -> Callable[[Context], bool]:
    """Whether a profile wants something; as long as there is none, it may."""

    def applies(context: Context) -> bool:
        loaded = context.value(analysis.PROFILE)
        return loaded is None or wanted(loaded.profile)

    return applies


def _in_gitlab(context: Context) -> bool:
    return ci.in_gitlab(context.environ)


_hosts = _of_profile(lambda profile: profile.method != "local" or uses_secrets(profile))
_secrets = _of_profile(uses_secrets)
_remote = _of_profile(lambda profile: profile.method != "local")
_reana = _of_profile(lambda profile: profile.method == "reana")
_condor = _of_profile(lambda profile: profile.method == "htcondor")
_iam = _of_profile(lambda profile: profile.credentials == "iam-client")
_token = _of_profile(lambda profile: profile.credentials != "none")
_storage_token = _of_profile(lambda profile: bool(profile.storage_audience))
_eos = _of_profile(lambda profile: bool(profile.eos_broker))
_proxy = _of_profile(lambda profile: profile.proxy != "no")
_kerberos = _of_profile(lambda profile: profile.authentication == "kerberos")

PROBES = (
    Probe(name="septum.yaml", group="analysis", run=analysis.read_config),
    Probe(name="plan", group="analysis", run=analysis.plan, after=("septum.yaml",)),
    Probe(name="profile", group="cluster", run=analysis.profile),
    Probe(name="values", group="cluster", run=analysis.values, applies=_remote, needs=("profile",)),
    Probe(name="sent files", group="cluster", run=analysis.sent, needs=("plan",), after=("profile",)),
    Probe(name="debug trace", group="GitLab", run=ci.debug_trace, after=("profile",)),
    Probe(name="branch", group="GitLab", run=ci.branch, applies=_in_gitlab, after=("profile",)),
    Probe(name="job time", group="GitLab", run=ci.job_time, after=("profile", "plan")),
    Probe(name="variables", group="credentials", run=ci.variables, applies=_secrets, needs=("profile",)),
    Probe(name="place", group="credentials", run=credentials.place, applies=_secrets, needs=("profile",)),
    Probe(name="CA", group="credentials", run=credentials.authorities, applies=_hosts, needs=("profile", "place")),
    Probe(name="issuer", group="credentials", run=credentials.issuer, applies=_iam, needs=("profile", "CA")),
    Probe(name="clock", group="credentials", run=credentials.clock, applies=_iam, needs=("profile", "issuer")),
    Probe(name="token", group="credentials", run=credentials.token, applies=_token, needs=(*_ACCESS, "issuer")),
    Probe(
        name="storage token",
        group="credentials",
        run=credentials.storage_token,
        applies=_storage_token,
        needs=(*_ACCESS, "issuer"),
    ),
    Probe(name="EOS token", group="credentials", run=credentials.eos_token, applies=_eos, needs=_ACCESS),
    Probe(name="proxy", group="credentials", run=credentials.proxy, applies=_proxy, needs=_ACCESS, after=("plan",)),
    Probe(name="Kerberos", group="credentials", run=credentials.kerberos, applies=_kerberos, needs=_ACCESS),
    Probe(name="bindings", group="access point", run=cluster.bindings, applies=_condor, needs=("profile",)),
    Probe(name="collector", group="access point", run=cluster.collector, applies=_condor, needs=("profile",)),
    Probe(
        name="schedd",
        group="access point",
        run=cluster.schedd,
        applies=_condor,
        needs=("profile", "bindings", "collector", "token", "Kerberos"),
    ),
    Probe(
        name="REANA",
        group="access point",
        run=cluster.reana,
        applies=_reana,
        needs=("profile", "CA", "token"),
    ),
    Probe(name="grid CAs", group="storage", run=storage.grid_authorities, after=("profile", "plan")),
    Probe(name="storage", group="storage", run=storage.storage, after=("profile", "plan", *_CREDENTIALS)),
    Probe(name="image", group="image", run=image.image, after=("septum.yaml", "plan")),
    Probe(name="image path", group="image", run=image.path, after=("septum.yaml", "plan", "profile")),
    Probe(name="hadd", group="this machine", run=machine.hadd, after=("plan",)),
    Probe(name="uproot", group="this machine", run=machine.uproot),
    Probe(name="disk", group="this machine", run=machine.disk, after=("plan",)),
)


def examine(
    options: Options, asked: Asked, *, clock: Callable[[], float] = time.time, deadline_s: float = DEADLINE_S
) -> list[Check]:
    """Try everything that a run needs.

    Args:
        options: The command's options.
        asked: What the user wants to know besides.
        clock: Seconds since 1970.
        deadline_s: How long all checks together may take.

    Returns:
        What was found, in a fixed order; the credentials are gone again.

    Raises:
        UsageError: A URL is none.
    """
    for url in asked.storage:
        if storage.split(url) is None:
            raise UsageError(
                f"--storage: {url.partition('?')[0]!r} is no URL of a file or folder on storage",
                fix="write root://HOST//PATH, roots://…, davs://… or https://…, without user, password and '?'",
            )
    with contextlib.ExitStack() as keep:
        context = Context(options=options, asked=asked, keep=keep, clock=clock)
        return run(PROBES, context, deadline_s=deadline_s)
