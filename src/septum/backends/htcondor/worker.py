"""The process that holds HTCondor's bindings. Reads one JSON line a call from standard input, answers with one.

Every call of the bindings keeps Python's global lock and some can block for ever, so they live here, where they can be
killed. One process speaks to one schedd with one credential: the bindings' configuration is global to a process.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import classad2
import htcondor2

_NOBODY = 65534
_PING_ATTRIBUTES = ("MyRemoteUserName", "AuthMethods", "Authentication", "AuthorizationSucceeded")


class _RefusedError(Exception):
    """A call that was understood and cannot succeed; the text is for people."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class _Schedd:
    """One schedd, located anew when its address may have changed."""

    def __init__(self, collector: str, name: str) -> None:
        self.collector, self.name = collector, name
        self._ad: classad2.ClassAd | None = None

    @property
    def ad(self) -> classad2.ClassAd:
        if self._ad is None:
            collector = htcondor2.Collector(self.collector)
            found = collector.locate(htcondor2.DaemonType.Schedd, self.name)
            if found is None:
                # Schedd(None) would silently be the local schedd, so it must never come that far.
                others = [str(ad.get("Name")) for ad in collector.locateAll(htcondor2.DaemonType.Schedd)]
                raise _RefusedError("no-schedd", f"the collector knows these schedds: {', '.join(others) or 'none'}")
            self._ad = found
        return self._ad

    @property
    def schedd(self) -> htcondor2.Schedd:
        return htcondor2.Schedd(self.ad)

    def forget(self) -> None:
        self._ad = None


def _plain(value: Any) -> Any:
    """A ClassAd value as JSON has it; what cannot be evaluated is None."""
    if isinstance(value, classad2.ExprTree):
        value = value.eval()
    return value if isinstance(value, (str, int, float, bool)) else None


def _ads(found: Any, attributes: list[str]) -> list[dict[str, Any]]:
    return [{name: _plain(ad.get(name)) for name in attributes if name in ad} for ad in found]


def ping(schedd: _Schedd) -> dict[str, Any]:
    """Ask whom the schedd takes us for, and whether it would let us submit."""
    ad = schedd.ad  # that there is none is another answer
    try:
        answer = htcondor2.ping(ad, "WRITE")
    except Exception as error:
        raise _RefusedError(*_why_not(schedd)) from error
    found = {name: _plain(answer.get(name)) for name in _PING_ATTRIBUTES}
    return {**found, "CondorVersion": _plain(schedd.ad.get("CondorVersion"))}


def _why_not(schedd: _Schedd) -> tuple[str, str]:
    """Find out why the schedd would not let us submit; HTCondor says "Failed to start command" to all of it."""
    # Reading needs no authentication at most schedds; asking for it shows whether that is what fails.
    htcondor2.param["SEC_CLIENT_AUTHENTICATION"] = "REQUIRED"
    try:
        user = _plain(htcondor2.ping(schedd.ad, "READ").get("MyRemoteUserName"))
    except Exception as error:  # noqa: BLE001 - the bindings raise plain exceptions
        if isinstance(error, htcondor2.HTCondorException) and "locate" not in str(error):
            return "unknown-client", f"AUTHENTICATE: {error}"
        return "bindings", str(error)
    finally:
        htcondor2.param["SEC_CLIENT_AUTHENTICATION"] = "OPTIONAL"
    return "denied", f"it takes us for {user}, who may read and not write"


def summary(schedd: _Schedd, *, constraint: str) -> dict[str, int]:
    """Count the jobs in each state: an answer of constant size."""
    (ad,) = schedd.schedd.query(constraint, opts=htcondor2.QueryOpt.SummaryOnly)
    return {name: int(ad.get(name, 0)) for name in ("Idle", "Running", "Held", "Completed", "Removed", "Suspended")}


def query(schedd: _Schedd, *, constraint: str, attributes: list[str]) -> list[dict[str, Any]]:
    """Read attributes of the jobs in the queue."""
    return _ads(schedd.schedd.query(constraint, projection=attributes), attributes)


def clock(schedd: _Schedd, *, constraint: str) -> int | None:
    """The schedd's time in seconds since 1970, from one of these jobs; None where there is none."""
    found = schedd.schedd.query(constraint, projection=["ServerTime"], limit=1)
    return int(found[0]["ServerTime"]) if found and "ServerTime" in found[0] else None


def history(schedd: _Schedd, *, constraint: str, attributes: list[str], match: int) -> list[dict[str, Any]]:
    """Read attributes of jobs that have left the queue, the newest first, at most `match` of them."""
    return _ads(schedd.schedd.history(constraint, projection=attributes, match=match), attributes)


def plugins(schedd: _Schedd) -> list[str] | None:
    """The methods of all file transfer plugins that machines of the pool announce; None if it lists no machine."""
    attribute = "HasFileTransferPluginMethods"
    # Of partitionable slots alone: those that are cut from them have the same, and there are many.
    found = htcondor2.Collector(schedd.collector).query(
        htcondor2.AdType.Startd, constraint="DynamicSlot =!= true", projection=[attribute]
    )
    if not found:
        return None
    texts = (str(ad.get(attribute) or "") for ad in found)
    return sorted({method.strip() for text in texts for method in text.split(",") if method.strip()})


def submit(schedd: _Schedd, *, commands: Mapping[str, str], items: list[dict[str, str]]) -> dict[str, int]:
    """Submit one job for each item and send its files; all or none."""
    description = htcondor2.Submit(dict(commands))
    result = schedd.schedd.submit(description, spool=True, itemdata=iter(items))
    cluster = int(result.cluster())
    if int(result.num_procs()) != len(items):
        schedd.schedd.act(htcondor2.JobAction.Remove, f"ClusterId == {cluster}", reason=("septum: incomplete", 1))
        raise _RefusedError("refused", f"the schedd took {result.num_procs()} of {len(items)} jobs")
    try:
        schedd.schedd.spool(result)
    except Exception as error:
        # Jobs whose files did not arrive would be held for ever.
        with contextlib.suppress(Exception):
            schedd.schedd.act(htcondor2.JobAction.Remove, f"ClusterId == {cluster}", reason=("septum: no files", 1))
        raise _RefusedError("refused", f"sending the files of cluster {cluster} broke: {error}") from error
    return {"cluster": cluster, "first": int(result.first_proc())}


def retrieve(schedd: _Schedd, *, constraint: str, folder: str) -> None:
    """Bring the output files of jobs into a folder."""
    # Outputs go to the folder that the job's ad names, which may be one of another machine.
    schedd.schedd.edit(constraint, "SUBMIT_Iwd", classad2.quote(folder))
    schedd.schedd.retrieve(classad2.ExprTree(constraint))


def edit(schedd: _Schedd, *, constraint: str, attribute: str, expression: str) -> int:
    """Set an attribute of jobs; returns how many."""
    return int(schedd.schedd.edit(constraint, attribute, expression))


def store_credential(schedd: _Schedd, *, credential: str) -> None:
    """Give the site's credd a Kerberos credential (base64), for jobs with `SendCredential`.

    A submission by the bindings does not do that by itself, and a job without it starts and is evicted for ever.
    """
    machine = schedd.ad.get("Machine")
    known = htcondor2.Collector(schedd.collector).locateAll(htcondor2.DaemonType.Credd)
    ad = next((ad for ad in known if ad.get("Machine") == machine), None)
    if ad is None:
        # Credd(None) would silently be the local one.
        others = ", ".join(str(ad.get("Name")) for ad in known) or "none"
        raise _RefusedError("credential", f"there is no credd on {machine}; the collector knows these: {others}")
    credd, kind = htcondor2.Credd(ad), htcondor2.CredType.Kerberos
    try:
        credd.add_user_cred(kind, base64.b64decode(credential))
        # Asked again: a credd whose credmon is not there says yes to the first.
        stored = credd.query_user_cred(kind)
    except htcondor2.HTCondorException as error:
        raise _RefusedError(
            "credmon" if "credmon did not process" in str(error) else "credential", str(error)
        ) from error
    if stored is None:
        raise _RefusedError("credmon", "the credd took it, and its credmon has not processed it")


def refresh_proxy(schedd: _Schedd, *, jobs: list[list[int]], file: str) -> list[str]:
    """Delegate a new X.509 proxy to jobs, one after the other as HTCondor wants it; returns the failures."""
    failures = []
    for cluster, proc in jobs:
        try:
            schedd.schedd.refreshGSIProxy(cluster, proc, file)
        except Exception as error:  # noqa: BLE001 - a job that ended meanwhile is no reason to leave out the others
            failures.append(f"{cluster}.{proc}: {error}")
    return failures


def remove(schedd: _Schedd, *, constraint: str, reason: str) -> int:
    """Remove jobs; returns how many went."""
    answer = schedd.schedd.act(htcondor2.JobAction.Remove, constraint, reason=(reason, 1))
    denied = int(answer.get("TotalPermissionDenied", 0))
    if denied:
        raise _RefusedError("denied", f"no permission to remove {denied} jobs")
    return int(answer.get("TotalSuccess", 0))


_CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call
    for call in (
        *(ping, plugins, summary, query, clock, history),
        *(submit, retrieve, edit, refresh_proxy, remove, store_credential),
    )
}


def _answer(schedd: _Schedd, line: str) -> dict[str, Any]:
    request = json.loads(line)
    call = _CALLS[request.pop("call")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call(schedd, **request)
        except _RefusedError as error:
            return {"error": error.kind, "text": str(error)}
        except Exception as error:  # noqa: BLE001 - the bindings raise plain exceptions; the caller sorts them by text
            schedd.forget()
            return {"error": "bindings", "text": f"{type(error).__name__}: {error}"}
        return {"result": result, "warnings": [str(item.message) for item in caught]}


def _lines() -> Iterator[str]:
    while line := sys.stdin.readline():
        yield line


def _prepare_for_kerberos() -> None:
    """Let HTCondor take us for a user, not for a daemon: as root it would look for a keytab, and not for our ticket.

    The effective user stays root, so that files are read and written as before.
    """
    if os.getuid() == 0:
        with contextlib.suppress(OSError):  # without the capability: the schedd refuses, and the error says so
            os.setresuid(_NOBODY, 0, 0)
    # Why a ticket was refused stands in no exception, but in this log on standard error, where our caller finds it.
    htcondor2.enable_debug()


def main() -> None:
    """Serve calls until standard input ends."""
    # Whatever the library prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if os.environ.get("_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS") == "KERBEROS":
        _prepare_for_kerberos()
    # Only now, when everything is imported: see the other end.
    os.chdir(sys.argv[3])
    schedd = _Schedd(sys.argv[1], sys.argv[2])
    for line in _lines():
        answers.write(json.dumps(_answer(schedd, line)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
