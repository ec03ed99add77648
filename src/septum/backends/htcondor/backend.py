"""The backend `htcondor`: one bulk submission, one summary query a poll, retrieval while other jobs run."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.backends.base import BY_ITS_RUN, REMOVED_BY_US, JobReport, Run
from septum.backends.htcondor.bindings import Bindings, CallError, as_septum_error, permission_fix
from septum.backends.htcondor.description import avoid_list, describe, items, lease_expression
from septum.backends.htcondor.shared_inputs import SharedInputs
from septum.credentials.lint import lint_description
from septum.credentials.provider import Kind
from septum.errors import AuthenticationError, IdentityError, NotAuthorizedError, SeptumError, TryAgainError
from septum.plan import Part
from septum.states import JOB_STATUS, HoldAction, JobState, hold_of

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.credentials import Credentials

PROXY_BATCH = 50
"""Jobs a call that hands on a proxy: each takes the schedd some 50 ms, for the key of its own."""

CLOCKS_APART_S = 60
"""Clocks that differ by less count as one."""

CREDMON_TRIES = 5
"""How often the site is asked to take the jobs' Kerberos credential; each time it takes 20 s to say no.

At CERN, four in a row were seen to fail: a public note of October 2026 on submissions after a pause.
"""

MAX_LISTED = 1000
"""Parts that a constraint names one by one."""

_ATTRIBUTES = [
    "SeptumPart", "ClusterId", "ProcId", "JobStatus", "EnteredCurrentStatus", "ServerTime", "NumJobStarts", "NumHolds",
    "HoldReason", "HoldReasonCode", "HoldReasonSubCode", "ExitCode", "ExitBySignal", "ExitSignal", "RemoveReason",
    "RemoteHost", "LastRemoteHost", "StageInFinish", "ResidentSetSize_RAW", "SeptumNumber", "SeptumJudged",
    "SeptumCollected", "NumShadowStarts", "LastRejMatchReason",
]  # fmt: skip


_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "KRB5_CONFIG")
_METHODS = {"scitokens": "SCITOKENS", "kerberos": "KERBEROS", "none": "FS"}


def client_environment(profile: Profile, credentials: Credentials, folder: Path) -> dict[str, str]:
    """The whole environment of the process with the bindings: HTCondor's configuration by variables, nothing else."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    settings = {
        "CONDOR_CONFIG": "ONLY_ENV",
        # One method: of several, HTCondor tries one after the other and tells of the last failure only.
        "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": _METHODS[profile.authentication],
        "_CONDOR_SEC_KNOWN_HOSTS": str(folder / "known_hosts"),
        # A factory of jobs cannot be spooled: its jobs would be held for ever.
        "_CONDOR_SUBMIT_FACTORY_JOBS_BY_DEFAULT": "False",
        # A delegated proxy would end after a day, however long its own life is.
        "_CONDOR_DELEGATE_JOB_GSI_CREDENTIALS_LIFETIME": "0",
    }
    if credentials.token_file is not None:
        settings["_CONDOR_SCITOKENS_FILE"] = str(credentials.token_file)
    if (ticket := credentials.file(Kind.TICKET)) is not None:
        settings["KRB5CCNAME"] = f"FILE:{ticket}"
    if credentials.ca_file is not None:
        settings["_CONDOR_AUTH_SSL_CLIENT_CAFILE"] = str(credentials.ca_file)
    return {**kept, "HOME": str(folder), **settings}


class HTCondorBackend:
    """Speaks to one schedd about one run.

    Args:
        run: The run.
        profile: The cluster.
        credentials: Files that somebody else keeps fresh.
    """

    def __init__(self, run: Run, profile: Profile, credentials: Credentials) -> None:
        self._run, self._profile, self._credentials = run, profile, credentials
        self._mine = f'SeptumRun =?= "{run.tag}"'  # a tag has no character that needs quoting, see run_tag
        self._counts: dict[str, int] = {}
        self._jobs: dict[str, tuple[int, int]] = {}
        self._avoided: frozenset[str] = frozenset()
        self._ticket_handed = False
        self._ahead_s: float | None = None
        self._bindings = _open(profile, credentials, run.sent)
        self._shared = SharedInputs(run, profile, credentials, self._call)
        self._proxy_ends = _proxy_ends(credentials)

    def submit(
        self, parts: Sequence[Part], *, lease_until_s: float, number: int = 1, memory_b: int | None = None
    ) -> Mapping[str, str]:
        """Submit parts in one cluster, their files with them."""
        shared_url = self._shared.url(anew=number > 1)
        commands = describe(
            self._run.plan,
            self._profile,
            tag=self._run.tag,
            lease_until_s=lease_until_s + (self._ahead_s or 0.0),
            proxy_file=self._credentials.proxy_file,
            number=number,
            memory_b=memory_b,
            avoided=self._avoided,
            shared_url=shared_url,
        )
        lint_description(commands, self._credentials.folder)
        self._hand_over_ticket()
        self._counts = {}  # a job that ends at once in the place of another changes no number
        wanted = items(self._run.plan, parts, by_url=bool(shared_url))
        found = self._call("submit", "submitting", commands=commands, items=wanted)
        self._jobs |= {part.id: (found["cluster"], found["first"] + proc) for proc, part in enumerate(parts)}
        if self._ahead_s is None and self._look_at_clock():
            # Until now nobody knew that the two clocks differ.
            self.extend(lease_until_s)
        return {part.id: f"{found['cluster']}.{found['first'] + proc}" for proc, part in enumerate(parts)}

    def _hand_over_ticket(self) -> None:
        """Give the site a Kerberos credential for the jobs, where it wants one: once, before the first of them."""
        if not self._profile.send_credential or self._ticket_handed:
            return
        from septum.credentials.kerberos import produce

        ticket = self._credentials.file(Kind.TICKET)
        credential = produce(self._profile.credential_producer, ticket, os.environ)
        text = base64.b64encode(credential).decode("ascii")
        for left in reversed(range(CREDMON_TRIES)):
            try:
                self._call("store_credential", "storing the jobs' Kerberos credential", credential=text)
                self._ticket_handed = True
                break
            except TryAgainError:
                if not left:
                    raise

    def poll(self, awaited: Collection[str], *, everything: bool) -> Mapping[str, JobReport] | None:
        """One summary query; the jobs themselves only when a number changed."""
        counts = self._call("summary", "looking at the queue", constraint=self._mine)
        if counts == self._counts and not everything:
            return None
        found = self._call("query", "looking at the queue", constraint=self._mine, attributes=_ATTRIBUTES)
        # Only now: a query that fails must not make the change of the numbers forgotten.
        self._counts = counts
        reports = {report.part: report for report in self._newest(found)}
        missing = [part for part in awaited if part not in reports]
        if missing:
            gone = self._call(
                "history",
                "looking at the history",
                constraint=self._mine + _restriction(missing),
                attributes=_ATTRIBUTES,
                match=4 * len(missing),
            )
            reports |= {report.part: report for report in self._newest(gone, gone=True)}
        self._shared.look(reports.values())
        for part in missing:
            reports.setdefault(part, JobReport(part=part, job="", state=JobState.LOST))
        return {part: reports[part] for part in awaited}

    def _newest(self, ads: Iterable[Mapping[str, Any]], *, gone: bool = False) -> list[JobReport]:
        """One report a part: of its newest job, if a part has several."""
        newest: dict[str, Mapping[str, Any]] = {}
        for ad in ads:
            part = str(ad.get("SeptumPart"))
            before = newest.get(part)
            if before is None or (ad["ClusterId"], ad["ProcId"]) > (before["ClusterId"], before["ProcId"]):
                newest[part] = ad
        for part, ad in list(newest.items()):
            job = (int(ad["ClusterId"]), int(ad["ProcId"]))
            if gone and self._jobs.get(part, job) > job:
                del newest[part]  # the end of an earlier job says nothing of the one that is missing
            else:
                self._jobs[part] = job
        return [_report(ad, gone=gone) for ad in newest.values()]

    def count(self) -> int:
        """How many jobs the queue holds: a summary of constant size."""
        return sum(self._call("summary", "looking at the queue", constraint=self._mine).values())

    def fetch(self, parts: Sequence[str], into: Path) -> None:
        """Retrieve the outputs of ended jobs in one call."""
        into.mkdir(parents=True, exist_ok=True)
        known = [part for part in parts if part in self._jobs]  # the others' jobs are in no queue any more
        if known:
            constraint = f"{self._jobs_of(known)} && JobStatus == 4"
            self._call("retrieve", "fetching outputs", constraint=constraint, folder=str(into))

    def extend(self, lease_until_s: float) -> None:
        """Extend the lease with one edit, whatever the number of jobs."""
        not_ended = f"{self._mine} && JobStatus != 4 && JobStatus != 3"
        until_s = lease_until_s + self._look_at_clock()
        self._edit(not_ended, "TimerRemove", lease_expression(until_s), doing="extending the lease")

    def _look_at_clock(self) -> float:
        """By how many seconds the cluster's clock is ahead of ours, which may be wrong, or may just have been set."""
        cluster_s = self._call("clock", "looking at the clock", constraint=self._mine)
        ahead_s = 0.0 if cluster_s is None else cluster_s - time.time()
        self._ahead_s = ahead_s if abs(ahead_s) > CLOCKS_APART_S else 0.0
        return self._ahead_s

    def _edit(self, constraint: str, attribute: str, expression: str, *, doing: str) -> None:
        try:
            self._call("edit", doing, constraint=constraint, attribute=attribute, expression=expression)
        except SeptumError:
            # HTCondor has the same words for a refused edit and for one that no job is left for.
            if any(self._call("summary", "looking at the queue", constraint=constraint).values()):
                raise

    def judge(self, causes: Mapping[str, str]) -> None:
        """Write it with one edit, and one for each code of an error; jobs that are gone are left out."""
        self._edit(self._mine, "SeptumCollected", "true", doing="noting that the run ended")
        by_code: dict[str, list[str]] = {}
        for part, code in causes.items():
            by_code.setdefault(code, []).append(part)
        for code, parts in by_code.items():
            for start in range(0, len(parts), MAX_LISTED):
                chosen = self._mine + _restriction(parts[start : start + MAX_LISTED])
                self._edit(chosen, "SeptumJudged", f'"{code}"', doing="noting why parts failed")

    def avoid(self, hosts: Collection[str]) -> None:
        """Avoid hosts with one edit, whatever the number of jobs; jobs that are submitted later avoid them, too."""
        self._avoided = frozenset(hosts)
        waiting = f"{self._mine} && JobStatus != 4 && JobStatus != 3"
        self._edit(waiting, "SeptumAvoid", avoid_list(self._avoided), doing="avoiding hosts")

    def refresh(self) -> Sequence[str]:
        """Hand on a renewed proxy, and bring what a job missed to the shared area again."""
        return [*self._shared.heal(), *self._refresh_proxy()]

    def _refresh_proxy(self) -> list[str]:
        """Delegate it to the jobs that have not ended: HTCondor takes it for one job at a time."""
        ends = _proxy_ends(self._credentials)
        if ends == self._proxy_ends or self._credentials.proxy_file is None:
            return []
        constraint = f"{self._mine} && JobStatus != 4 && JobStatus != 3 && x509userproxy isnt undefined"
        found = self._call("query", "looking at the queue", constraint=constraint, attributes=["ClusterId", "ProcId"])
        jobs = [(ad["ClusterId"], ad["ProcId"]) for ad in found]
        file = str(self._credentials.proxy_file)
        failures: list[str] = []
        for start in range(0, len(jobs), PROXY_BATCH):
            batch = jobs[start : start + PROXY_BATCH]
            failures += self._call("refresh_proxy", "renewing the jobs' proxy", jobs=batch, file=file)
        self._proxy_ends = ends
        return [f"{len(failures)} of {len(jobs)} jobs keep their old proxy ({failures[0]})"] if failures else []

    def remove(self, parts: Sequence[str] | None, *, reason: str = BY_ITS_RUN, ended: bool = True) -> int:
        """Remove jobs of this run and of no other."""
        self._counts = {}
        mine = self._mine if ended else f"{self._mine} && JobStatus != 4"
        if parts is None:
            return self._remove(mine, reason)
        batches = [parts[start : start + MAX_LISTED] for start in range(0, len(parts), MAX_LISTED)]
        return sum(self._remove(mine + _restriction(batch), reason) for batch in batches)

    def _remove(self, constraint: str, reason: str) -> int:
        text = f"{REMOVED_BY_US} {reason}"
        return int(self._call("remove", "removing jobs", constraint=constraint, reason=text))

    def close(self) -> None:
        """End the worker process; the jobs go on."""
        self._bindings.close()

    def _jobs_of(self, parts: Sequence[str]) -> str:
        """A constraint on the jobs themselves: cheaper for the schedd than an attribute, and never another run's."""
        by_cluster: dict[int, list[int]] = {}
        for part in parts:
            cluster, proc = self._jobs[part]
            by_cluster.setdefault(cluster, []).append(proc)
        clauses = [
            f"(ClusterId == {cluster} && {any_number('ProcId', procs)})" for cluster, procs in by_cluster.items()
        ]
        return f"{self._mine} && ({' || '.join(clauses)})"

    def _call(self, name: str, doing: str, **arguments: Any) -> Any:
        try:
            return self._bindings.call(name, **arguments)
        except CallError as error:
            raise as_septum_error(error, self._profile, doing=doing) from error


def check(profile: Profile, credentials: Credentials, folder: Path | None = None) -> list[tuple[str, str]]:
    """Ask the schedd who it takes us for and whether it would take jobs.

    Returns:
        Labels and values to show.

    Raises:
        SeptumError: No answer, no authentication, or no permission to submit.
    """
    bindings = _open(profile, credentials, folder or Path.cwd())
    try:
        answer = bindings.call("ping", deadline_s=min(60, profile.call_deadline))
    except CallError as error:
        found = as_septum_error(error, profile, doing="submission")
        if isinstance(found, (NotAuthorizedError, AuthenticationError)):
            found.evidence += f"\n{_shown(credentials)}"
        raise found from error
    finally:
        bindings.close()
    user = str(answer.get("MyRemoteUserName") or "")
    if not user or user.startswith("unauthenticated") or answer.get("AuthorizationSucceeded") is False:
        raise NotAuthorizedError(
            f"cluster: schedd {profile.schedd!r} at {profile.collector} does not allow submission",
            evidence=f"it takes us for {user or 'nobody'}; {_shown(credentials)}",
            fix=permission_fix(profile),
        )
    if profile.expect_account and profile.expect_account not in {user, user.partition("@")[0]}:
        raise IdentityError(
            f"the schedd takes us for {user!r}, the profile expects {profile.expect_account!r}",
            evidence=f"schedd {profile.schedd!r} at {profile.collector}; {_shown(credentials)}",
            fix="Check the client's id or the principal in the CI variables, or correct SEPTUM_CLUSTER_EXPECT_ACCOUNT.",
        )
    return [
        ("schedd", f"{profile.schedd} at {profile.collector}"),
        ("version", str(answer.get("CondorVersion") or "unknown").strip("$ ")),
        ("account", user),
        ("may submit", "yes"),
    ]


def _shown(credentials: Credentials) -> str:
    """What we came with, for messages."""
    ticket = credentials.held.get(Kind.TICKET)
    return f"the ticket: {ticket.identity}, {ticket.source}" if ticket else f"the token: {credentials.identity}"


def _proxy_ends(credentials: Credentials) -> float | None:
    """When the proxy ends, in seconds since 1970: another time means another proxy."""
    held = credentials.held.get(Kind.PROXY)
    return held.expires_at if held is not None else None


def _open(profile: Profile, credentials: Credentials, folder: Path) -> Bindings:
    return Bindings(
        collector=profile.collector,
        schedd=profile.schedd,
        environ=client_environment(profile, credentials, folder),
        folder=folder,
        deadline_s=profile.call_deadline,
    )


def _restriction(parts: Sequence[str]) -> str:
    """A further condition on some parts; none for so many that the condition would outweigh the answer."""
    if len(parts) > MAX_LISTED:
        return ""
    return f' && stringListMember(SeptumPart, "{",".join(parts)}")'  # ids are digits and need no quoting


def any_number(attribute: str, numbers: Sequence[int]) -> str:
    """A constraint that a number is one of some, written as ranges: short for jobs that end in order."""
    ordered = sorted(numbers)
    ranges: list[list[int]] = []
    for number in ordered:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    clauses = [
        f"{attribute} == {low}" if low == high else f"({attribute} >= {low} && {attribute} <= {high})"
        for low, high in ranges
    ]
    return f"({' || '.join(clauses)})"


_REASONS = {JobState.HELD: "HoldReason", JobState.IDLE: "LastRejMatchReason"}


def _report(ad: Mapping[str, Any], *, gone: bool) -> JobReport:
    status = int(ad.get("JobStatus") or 0)
    state = JOB_STATUS.get(status, JobState.LOST)
    if gone and state is not JobState.ENDED:
        state = JobState.REMOVED
    elif gone:
        # Completed and no longer in the queue: its outputs are gone, too.
        state = JobState.LOST
    code = int(ad["HoldReasonCode"]) if state is JobState.HELD and ad.get("HoldReasonCode") is not None else None
    by_signal = ad.get("ExitBySignal") is True and state is JobState.ENDED
    exit_code = ad.get("ExitCode")
    entered, now = int(ad.get("EnteredCurrentStatus") or 0), int(ad.get("ServerTime") or 0)
    return JobReport(
        part=str(ad["SeptumPart"]),
        job=f"{ad['ClusterId']}.{ad['ProcId']}",
        state=state,
        attempts=int(ad.get("NumJobStarts") or 0),
        exit_code=int(exit_code) if exit_code is not None and not by_signal and state is JobState.ENDED else None,
        signal=int(ad.get("ExitSignal") or 0) if by_signal else None,
        hold_code=code,
        released_times=int(ad.get("NumHolds") or 0),
        since_s=max(0, now - entered) if now and entered else 0,
        reason=str(ad.get(_REASONS.get(state, "RemoveReason")) or ""),
        timed_out=code is not None and hold_of(code).action is HoldAction.TIMEOUT,
        host=str(ad.get("RemoteHost") or ad.get("LastRemoteHost") or "").rpartition("@")[2],
        memory_b=_memory(ad.get("ResidentSetSize_RAW")),
        number=int(ad.get("SeptumNumber") or 1),
        starts=int(ad.get("NumShadowStarts") or 0),
        hold_subcode=int(ad.get("HoldReasonSubCode") or 0),
        judged=str(ad.get("SeptumJudged") or ""),
        collected=ad.get("SeptumCollected") is True,
    )


def _memory(size_kib: Any) -> int | None:
    """Bytes of what a job's ad gives in KiB; the startd looks every few minutes, so short jobs have none."""
    return int(size_kib) * 1024 if isinstance(size_kib, int) and size_kib > 0 else None
