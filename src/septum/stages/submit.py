"""The second stage: jobs for all parts that have none, each once, whatever was interrupted before."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from septum.backends.base import Backend, JobReport, Run, run_tag
from septum.errors import StateError, SubmitRefusedError
from septum.plan import Part, Plan
from septum.signals import removing_on_signal
from septum.stages.wiring import Options, Say, load_profile, open_backend, open_credentials
from septum.state import Receipt, State
from septum.states import HoldAction, JobState, PartState, hold_of

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.collect import Clock
    from septum.credentials import Credentials
    from septum.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a submission did: parts that are new in the queue, and parts whose jobs were there already."""

    receipt: Receipt
    new: int
    attached: int


def submit(options: Options, say: Say, clock: Clock) -> Submitted:
    """Submit all parts of the plan that have no job yet. Doing it twice submits nothing twice.

    Args:
        options: The options.
        say: Takes lines for people.
        clock: Time.

    Raises:
        SeptumError: The cluster or the credentials refused; jobs of this call are gone again.
    """
    with State(options.state).locked():
        return _submit(options, say, clock)


def _submit(options: Options, say: Say, clock: Clock) -> Submitted:
    from septum.credentials.lint import lint_sent
    from septum.upload.upload import check_before

    state = State(options.state)
    plan = state.load_plan()
    profile = load_profile(options)
    tag = _tag(state, plan, options)
    run = state.run(plan, tag)
    if len(plan.parts) > profile.max_jobs_per_owner:
        raise SubmitRefusedError(
            f"cluster: {len(plan.parts)} parts are more than the {profile.max_jobs_per_owner} jobs of one owner",
            fix="put more work into each part",
        )
    if plan.publish is not None:
        check_before(plan.publish, [merge.result for merge in plan.merges], options.environ)
    _announce_image(plan, profile, say)
    state.write_values(plan, image=_image_on_worker(plan, profile))
    receipt = Receipt(
        tag=tag,
        plan=plan.hash,
        cluster=options.cluster,
        collector=profile.collector,
        schedd=profile.schedd,
        submitted_s=int(clock.now()),
    )
    with state.open_ledger() as ledger:
        ledger.begin(plan_hash=plan.hash, tag=tag, parts=(part.id for part in plan.parts), now_s=clock.now())
        if profile.method == "local":
            new = _note_local(ledger, clock)
            state.store_receipt(receipt)
            return Submitted(receipt=receipt, new=new, attached=0)
        with open_credentials(profile, options, say) as supervisor:
            supervisor.credentials.require_life(clock.now(), _needed_s(plan, profile))
            lint_sent(plan, sorted(run.sent.glob("*.tar*")))
            _check_access(profile, supervisor.credentials, run, say)
            with (
                open_backend(run, profile, supervisor.credentials, options) as backend,
                removing_on_signal(backend, say),
            ):
                new, attached = _submit_missing(run, backend, ledger, profile, clock)
        state.store_receipt(receipt)
    return Submitted(receipt=receipt, new=new, attached=attached)


def _tag(state: State, plan: Plan, options: Options) -> str:
    """The run's tag: of the pipeline; outside of GitLab that of the ledger, or a new one.

    Two people's laptops may run the same plan as the same account: their runs are not the same run.
    """
    if options.environ.get("CI_PIPELINE_ID") or options.environ.get("SEPTUM_RUN"):
        return run_tag(plan, options.environ, prefix=options.prefix)
    # The ledger has it before anything is submitted; the receipt only when all is.
    with contextlib.suppress(StateError), state.open_ledger() as ledger:
        facts = ledger.facts()
        if facts.get("plan") == plan.hash and facts.get("tag"):
            return facts["tag"]
    return run_tag(plan, {"SEPTUM_RUN": secrets.token_hex(8)}, prefix=options.prefix)


def _needed_s(plan: Plan, profile: Profile) -> float:
    """How long a proxy must at least live, in seconds: for one job to wait and to run."""
    return float(profile.queue_time + (plan.request.time_s or profile.default_time))


def _check_access(profile: Profile, credentials: Credentials, run: Run, say: Say) -> None:
    from septum.backends.htcondor import check

    found = dict(check(profile, credentials, run.sent))
    say(f"schedd {found['schedd']} takes us for {found['account']}")


def _announce_image(plan: Plan, profile: Profile, say: Say) -> None:
    if plan.image and profile.image_method == "none":
        say(f"note: cluster {profile.name} starts no images; the parts run as they are, not in {plan.image}")


def _image_on_worker(plan: Plan, profile: Profile) -> str:
    if profile.method == "local":
        return ""
    from septum.backends.htcondor.description import worker_image

    return worker_image(plan.image, profile)


def _note_local(ledger: Ledger, clock: Clock) -> int:
    planned = ledger.rows(PartState.PLANNED)
    ledger.move_all({row.id: (PartState.IDLE, {"job": f"local.{row.id}"}) for row in planned}, now_s=clock.now())
    return len(planned)


def _submit_missing(run: Run, backend: Backend, ledger: Ledger, profile: Profile, clock: Clock) -> tuple[int, int]:
    """Look for jobs of this run first, take up those that are there, and submit the rest."""
    open_rows = [
        row
        for row in ledger.rows()
        if row.state in {PartState.PLANNED, PartState.IDLE, PartState.RUNNING, PartState.HELD}
    ]
    reports = backend.poll([row.id for row in open_rows], everything=True) or {}
    stuck = [part for part, report in reports.items() if _never_spooled(report)]
    if stuck:
        backend.remove(stuck)
    present = {
        part: report
        for part, report in reports.items()
        if not _never_spooled(report) and report.state not in {JobState.LOST, JobState.REMOVED}
    }
    planned = {row.id for row in open_rows if row.state is PartState.PLANNED}
    ledger.move_all(
        {part: (PartState.IDLE, {"job": report.job}) for part, report in present.items() if part in planned},
        now_s=clock.now(),
    )
    missing: list[Part] = [run.plan.by_id[row.id] for row in open_rows if row.id not in present]
    if missing:
        jobs = backend.submit(missing, lease_until_s=clock.now() + profile.lease)
        ledger.move_all({part: (PartState.IDLE, {"job": job}) for part, job in jobs.items()}, now_s=clock.now())
    return len(missing), len(present)


def _never_spooled(report: JobReport) -> bool:
    """Whether a job waits for files that a client that is gone did not send."""
    return report.state is JobState.HELD and hold_of(report.hold_code or 0).action is HoldAction.WAIT
