"""The access point: HTCondor's bindings, the collector, and what the schedd says to us; or the REANA server."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from septum.doctor import machine
from septum.doctor.analysis import PROFILE, require_keys
from septum.doctor.credentials import TOKEN, together
from septum.doctor.explain import read_claims
from septum.doctor.report import Outcome, ok
from septum.doctor.runner import Context
from septum.errors import AuthenticationError, ClusterUnreachableError, NotAuthorizedError, SeptumError

if TYPE_CHECKING:
    from septum.clusters.profile import Profile

_CONNECT_S = 10.0
_PING_S = 40
_COMPUTE = ("compute.create", "compute.modify", "compute.cancel")


def bindings(context: Context) -> Outcome:
    """HTCondor's Python bindings can be imported."""
    return ok(f"htcondor {machine.bindings(context.environ)}")


def collector(context: Context) -> Outcome:
    """The collector's port answers."""
    require_keys(context, "collector")
    address = context.need(PROFILE).profile.collector
    host, _, port = address.partition("?")[0].rpartition(":")
    host = host.strip("[]")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _no_collector(address, host, error) from error
    return ok(f"{address} takes connections")


def _no_collector(address: str, host: str, error: Exception) -> ClusterUnreachableError:
    if isinstance(error, socket.gaierror):
        why, fix = "no such name", f"check the name {host}, and SEPTUM_CLUSTER_COLLECTOR"
    elif isinstance(error, TimeoutError):
        why, fix = "no answer", "ask whether a firewall lets this machine (the runner) reach the port; it must"
    elif isinstance(error, ConnectionRefusedError):
        why, fix = "nobody listens there", "check the port, and whether the site announces a downtime"
    else:
        why, fix = "it cannot be reached", "check SEPTUM_CLUSTER_COLLECTOR"
    return ClusterUnreachableError(
        f"the collector {address} does not answer: {why}", evidence=str(error)[:200], fix=f"{fix}."
    )


def schedd(context: Context) -> Outcome:
    """The schedd knows us, as the account that is expected, and would take jobs."""
    from septum.backends.htcondor import check

    require_keys(context, "schedd", "collector")
    profile = context.need(PROFILE).profile
    profile = profile.model_copy(update={"call_deadline": min(_PING_S, profile.call_deadline)})
    credentials = together(context)
    # HTCondor's client writes down the hosts it meets.
    with tempfile.TemporaryDirectory(prefix="septum-doctor-", ignore_cleanup_errors=True) as folder:
        try:
            found = dict(check(profile, credentials, Path(folder)))
        except (AuthenticationError, NotAuthorizedError) as error:
            _add_what_is_known(error, context, profile)
            raise
    return ok(f"{profile.schedd} takes us for {found['account']}, and would take jobs; {_version(found['version'])}")


def reana(context: Context) -> Outcome:
    """The server's certificate is good, it takes the token, has quota left, and offers the compute backend."""
    from septum.backends.access import ask

    require_keys(context, "reana-server")
    profile = context.need(PROFILE).profile
    profile = profile.model_copy(update={"call_deadline": min(_PING_S, profile.call_deadline)})
    found = ask(profile, together(context), Path(), room=True)
    return ok(f"{found.sentence}; {profile.reana_compute_backend}" + (f"; REANA {found.version}" * bool(found.version)))


def _version(text: str) -> str:
    words = text.split()
    return f"HTCondor {words[1]}" if len(words) > 1 else text


def _add_what_is_known(error: SeptumError, context: Context, profile: Profile) -> None:
    """Put the likeliest cause to a refusal for which HTCondor has one sentence."""
    credentials = context.value(TOKEN)
    file = credentials.token_file if credentials is not None else None
    if file is None:
        return
    claims = read_claims(file.read_text("latin-1").strip())
    lines = [f"it has: {claims}"]
    if absent := [scope for scope in _COMPUTE if scope not in claims.scopes]:
        lines.append(f"it lacks {', '.join(absent)}, without which HTCondor lets nobody submit")
        first = "Ask for them with SEPTUM_CLUSTER_SCOPE; the issuer's admin may have to let the client have them."
    elif not claims.is_for(*_hosts(profile)):
        lines.append(f"its audience names none of the site's hosts ({', '.join(_hosts(profile))})")
        first = "Ask the site which audience it takes, and set SEPTUM_CLUSTER_AUDIENCE; often it is condor://HOST:PORT."
    else:
        lines.append("nothing wrong is seen in it, so probably the site has no account for this subject")
        first = f"Ask the site's administrators to map the subject {claims.subject} of {claims.issuer} to an account."
    error.evidence = "\n".join([error.evidence, *lines])
    error.fix = f"{first}\nIf it is not that: {error.fix}"


def _hosts(profile: Profile) -> list[str]:
    """Of schedd and collector, each once."""
    return sorted({profile.schedd.rpartition("@")[2], profile.collector.rpartition(":")[0].strip("[]")})
