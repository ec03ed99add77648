"""The three stages of a run, wired: prepare, submit, collect. Here the pure parts and the edges meet; nothing prints.

Each stage takes its options and a function that takes lines for people, and returns values or raises a `SeptumError`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from septum.backends.base import Backend, JobReport, Run, run_tag
from septum.errors import (
    CancelledError,
    ConfigError,
    NotConservedError,
    PartError,
    PrepareError,
    SeptumError,
    StateError,
    StructureError,
    SubmitRefusedError,
)
from septum.plan import Part, Plan
from septum.signals import removing_on_signal
from septum.state import Receipt, State
from septum.states import HoldAction, JobState, PartState, hold_of

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.collect import Clock, Outcome
    from septum.config import Analysis
    from septum.credentials import Credentials, Supervisor
    from septum.ledger import Ledger
    from septum.merge.engine import Engine
    from septum.publish import Facts

Say = Callable[[str], None]
_HOPELESS = (PartError, StructureError, NotConservedError)
"""Errors that another collect of the same jobs would meet again; after all others the outputs stay on the cluster."""
_ENDED = "ended"
"""The ledger's fact that nothing of the run is left on the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line and the environment ask for.

    Attributes:
        config: `septum.yaml`.
        cluster: The name or path of a profile.
        overrides: Keys of the profile and their values.
        image: Replaces the image of `septum.yaml`.
        prefix: The prefix of the CI jobs.
        state: The state folder.
        result: The result folder.
        environ: The environment.
    """

    config: Path
    cluster: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    prefix: str = ""
    state: Path = Path(".septum")
    result: Path = Path("result")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def root(self) -> Path:
        """The folder of `septum.yaml`."""
        return self.config.parent


# ── prepare ─────────────────────────────────────────────────────────────────────────────────────────────────────


def make_plan(options: Options, *, only: str | None = None) -> Plan:
    """Read `septum.yaml` and make the plan; writes nothing.

    Args:
        options: The options.
        only: Which parts to keep, see `septum.planning.choose`; all without.

    Raises:
        ConfigError: `septum.yaml` is wrong.
        PlanError: No complete plan follows from it.
    """
    return _plan_of(_read(options), options, only)


def _plan_of(analysis: Analysis, options: Options, only: str | None) -> Plan:
    from septum import planning

    own = [name for name in (_below(options.state, options.root), _below(options.result, options.root)) if name]
    plan = planning.make_plan(analysis, options.root, image=options.image, leave_out=own)
    return planning.choose(plan, only) if only is not None else plan


def _read(options: Options) -> Analysis:
    from septum import yamltext
    from septum.config import Analysis
    from septum.validation import validate

    return validate(Analysis, yamltext.read(options.config, ConfigError, str(options.config)), error=ConfigError)


def _below(folder: Path, root: Path) -> str:
    with contextlib.suppress(ValueError):
        below = folder.resolve().relative_to(root.resolve()).as_posix()
        return "" if below == "." else below
    return ""


def prepare(options: Options, say: Say, *, only: str | None = None) -> Plan:
    """Run the user's own preparation, make the plan, and write it with its inputs into an empty state folder.

    `septum.yaml` is read once, before the preparation: a line that rewrites it does not change the plan of this run.

    Raises:
        PrepareError: A line under `prepare` failed.
        StateError: The state folder holds a run that has not ended.
        ProfileError: There is no such cluster; better known now than after an hour of preparation.
        CredentialExposedError: The plan, or a file that it sends, holds a credential.
    """
    from septum.credentials.choose import make_known
    from septum.credentials.lint import lint_plan

    profile = load_profile(options, complete=False)
    analysis = _read(options)
    state = State(options.state)
    with state.locked():
        _refuse_unfinished(state)
        _run_preparation(analysis, profile, options, say)
        plan = _plan_of(analysis, options, only)
        make_known(profile, options.environ)
        lint_plan(plan, options.root)
        state.clear()
        state.store_plan(plan, options.root)
    return plan


def _refuse_unfinished(state: State) -> None:
    if not (state.folder / "receipt.json").is_file():
        return
    receipt = state.load_receipt()
    with state.open_ledger() as ledger:
        unfinished = [row for row in ledger.rows() if not row.state.final and _ENDED not in ledger.facts()]
    if receipt.schedd and unfinished:
        raise StateError(
            f"state: {state.folder} holds a run on {receipt.cluster} that has not ended",
            evidence=f"{len(unfinished)} parts are open; tag {receipt.tag}",
            fix="end it first: 'septum collect' brings it home, 'septum cancel' removes its jobs",
        )


def _run_preparation(analysis: Analysis, profile: Profile, options: Options, say: Say) -> None:
    from septum.credentials import secret_variables
    from septum.environment import for_user_code

    if not analysis.prepare:
        return
    say(f"preparing: {len(analysis.prepare)} lines of {options.config.name}")
    done = subprocess.run(
        [
            analysis.shell,
            *(["-eo", "pipefail"] if analysis.shell == "bash" else ["-e"]),
            "-c",
            "\n".join(analysis.prepare),
        ],
        cwd=options.root,
        env=for_user_code(options.environ, secrets=secret_variables(profile)),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise PrepareError(
            f"prepare: a line ended with exit code {done.returncode}",
            evidence="its own words stand above",
            fix=f"correct the lines under 'prepare' in {options.config}",
        )


def load_profile(options: Options, *, complete: bool = True) -> Profile:
    """The profile of the chosen cluster, with what the environment and `--set` say otherwise."""
    from septum.clusters.catalog import load_profile as load

    return load(
        options.cluster, environ=options.environ, root=options.root, overrides=options.overrides, complete=complete
    ).profile


# ── submit ──────────────────────────────────────────────────────────────────────────────────────────────────────


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
        with _credentials(profile, options, say) as supervisor:
            supervisor.credentials.require_life(clock.now(), _needed_s(plan, profile))
            lint_sent(plan, sorted(run.sent.glob("*.tar*")))
            _check_access(profile, supervisor.credentials, run, say)
            with (
                _backend(run, profile, supervisor.credentials, options) as backend,
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


# ── collect ─────────────────────────────────────────────────────────────────────────────────────────────────────


def collect(options: Options, say: Say, clock: Clock) -> tuple[Plan, Outcome, Mapping[str, Path]]:
    """Watch the run to its end, and publish its results.

    Returns:
        The plan, how it ended, and the published files by the name of their result.

    Raises:
        SeptumError: There is no result; the result folder says why and holds nothing that looks whole.
    """
    with State(options.state).locked():
        return _collect_locked(options, say, clock)


def _collect_locked(options: Options, say: Say, clock: Clock) -> tuple[Plan, Outcome, Mapping[str, Path]]:
    from septum import publish

    state = State(options.state)
    plan = state.load_plan()
    receipt = state.load_receipt()
    profile = load_profile(options)
    if receipt.plan != plan.hash:
        raise StateError("receipt: it belongs to another plan", fix="submit this plan first with 'septum submit'")
    _check_cluster(receipt, profile, options)
    run = state.run(plan, receipt.tag)
    with state.open_ledger() as ledger:
        # Before anything is cleared: the results of a run that has been collected must stay.
        _check_ledger(ledger, receipt)
        retire_results(plan, options, say)

        logs = state.folder / "logs"

        def settle(outcome: Outcome, contents: Mapping[tuple[str, int], str]) -> Mapping[str, Path]:
            """Bring the results to their place, while the jobs still hold their outputs."""
            facts = _facts_of(plan, profile, ledger, options, clock, contents)
            published = publish.publish(options.result, plan, receipt, outcome, facts, outputs=run.outputs, logs=logs)
            # Last: until here, a collect that is started again merges anew.
            merged = {result.name: (plan.by_result[result.name].output, result.parts) for result in outcome.results}
            ledger.finish(merged, now_s=clock.now())
            return published

        try:
            outcome, published = _collect(run, ledger, profile, options, say, clock, settle)
        except SeptumError as error:
            publish.clear_old(options.result, plan)
            facts = _facts_of(plan, profile, ledger, options, clock, {})
            publish.publish_failure(options.result, plan, receipt, error, facts, outputs=run.outputs, logs=logs)
            if isinstance(error, (*_HOPELESS, CancelledError)):
                ledger.note(_ENDED, error.code)
            raise
        except BaseException:
            publish.clear_old(options.result, plan)
            raise
        ledger.note(_ENDED, outcome.error.code if outcome.error is not None else "0")
    if outcome.error is None:
        state.drop_outputs()
    return plan, outcome, published


def _facts_of(
    plan: Plan,
    profile: Profile,
    ledger: Ledger,
    options: Options,
    clock: Clock,
    contents: Mapping[tuple[str, int], str],
) -> Facts:
    """What the manifest says beside the outcome."""
    from septum.manifest import Asked
    from septum.provenance.origin import origin, software
    from septum.publish import Facts

    request = plan.request
    return Facts(
        rows=ledger.rows(),
        stored=ledger.outputs(),
        contents=contents,
        asked=Asked(
            cpus=request.cpus or profile.default_cpus,
            memory_b=request.memory_b or profile.default_memory,
            disk_b=request.disk_b or profile.default_disk,
            time_s=request.time_s or profile.default_time,
        ),
        submitted_s=ledger.submitted_s(),
        began_s=ledger.began_s(),
        ended_s=clock.now(),
        origin=origin(options.environ, folder=options.root, own=[options.state, options.result]),
        software=software(),
    )


def retire_results(plan: Plan, options: Options, say: Say) -> None:
    """Take the results of earlier runs away, so that what is there after this run is of this run.

    Raises:
        StateError: The result folder cannot be one.
    """
    from septum import publish

    for name in publish.clear_old(options.result, plan):
        say(f"note: {options.result / name} was not written by septum; it is kept as {name}.old1 or a higher number")


def _check_cluster(receipt: Receipt, profile: Profile, options: Options) -> None:
    if (receipt.cluster, receipt.schedd) != (options.cluster, profile.schedd):
        raise StateError(
            f"receipt: the run is on {receipt.cluster} ({receipt.schedd or 'this machine'}), not on {options.cluster}",
            fix=f"name the cluster that it was submitted to: --cluster {receipt.cluster}",
        )


def check_engines(plan: Plan, options: Options) -> None:
    """Look, before there are jobs, whether what merges the results is installed, as far as that can be known.

    Raises:
        EngineMissingError: A result's format has no engine here.
    """
    from septum.merge.choice import check

    for merge in plan.merges:
        check(plan.outputs[merge.output].path, environ=options.environ, policies=dict(plan.policies))


def _collect(
    run: Run,
    ledger: Ledger,
    profile: Profile,
    options: Options,
    say: Say,
    clock: Clock,
    settle: Callable[[Outcome, Mapping[tuple[str, int], str]], Mapping[str, Path]],
) -> tuple[Outcome, Mapping[str, Path]]:
    from septum.collect import Collector
    from septum.merge.choice import choose
    from septum.merge.results import Merger

    policies = dict(run.plan.policies)

    def choose_engine(path: Path, name: str) -> Engine:
        return choose(path, name=name, environ=options.environ, policies=policies)

    merger = Merger(run.plan, choose_engine, outputs=run.outputs, scratch=run.folder / "merge")
    with (
        _credentials(profile, options, say) as supervisor,
        _backend(run, profile, supervisor.credentials, options) as backend,
        removing_on_signal(backend, say),
    ):
        if profile.method == "local":
            going = ledger.rows(PartState.IDLE, PartState.RUNNING, PartState.HELD)
            backend.submit([run.plan.by_id[row.id] for row in going], lease_until_s=0)
        collector = Collector(
            run=run,
            backend=backend,
            ledger=ledger,
            profile=profile,
            merger=merger,
            keep_fresh=supervisor.check,
            say=say,
            clock=clock,
        )
        try:
            outcome = collector.collect()
            if outcome.error is not None and not outcome.results:
                raise outcome.error
        except _HOPELESS:
            _clean_queue(backend, say)
            raise
        published = settle(outcome, merger.contents)
        _clean_queue(backend, say)
    return outcome, published


def _check_ledger(ledger: Ledger, receipt: Receipt) -> None:
    facts, rows = ledger.facts(), ledger.rows()
    unsent = sum(row.state is PartState.PLANNED for row in rows)
    if unsent or not rows:
        raise StateError(
            f"run: {unsent or 'all'} parts have not been submitted", fix="submit them first with 'septum submit'"
        )
    if (facts.get("plan"), facts.get("tag")) != (receipt.plan, receipt.tag):
        raise StateError(
            "ledger: it belongs to another run than the receipt",
            evidence=f"ledger {facts.get('tag')}, receipt {receipt.tag}",
            fix="keep the whole state folder between the CI jobs, or run again from the first",
        )
    if any(row.state is PartState.MERGED for row in rows):
        raise StateError(
            "run: it has been collected already",
            fix="its results were in the result folder; run again to make them anew",
        )


def _clean_queue(backend: Backend, say: Say) -> None:
    """Remove the run's jobs: their outputs are safe, or judged."""
    try:
        backend.remove(None)
    except SeptumError as error:
        say(f"warning: {error.what}; the jobs leave the queue by themselves")


def cancel(options: Options, say: Say) -> int:
    """Remove all jobs of the run in the state folder; returns how many went."""
    state = State(options.state)
    plan = state.load_plan()
    receipt = state.load_receipt()
    profile = load_profile(options)
    _check_cluster(receipt, profile, options)
    if profile.method == "local":
        say("the parts of a local run end with their septum")
        return 0
    run = state.run(plan, receipt.tag)
    with (
        _credentials(profile, options, say) as supervisor,
        _backend(run, profile, supervisor.credentials, options) as backend,
    ):
        removed = backend.remove(None)
    with state.open_ledger() as ledger:
        ledger.note(_ENDED, CancelledError.code)
    return removed


@contextlib.contextmanager
def _credentials(profile: Profile, options: Options, say: Say) -> Iterator[Supervisor]:
    """Obtain what the cluster wants, keep it fresh, and delete it at the end."""
    from septum.credentials import Supervisor, obtain

    with obtain(profile, environ=options.environ) as credentials, Supervisor(credentials) as supervisor:
        for warning in credentials.warnings:
            say(f"warning: {warning}")
        yield supervisor


@contextlib.contextmanager
def _backend(run: Run, profile: Profile, credentials: Credentials, options: Options) -> Iterator[Backend]:
    backend: Backend
    run.sent.mkdir(parents=True, exist_ok=True)
    if profile.method == "local":
        from septum.backends.local import LocalBackend
        from septum.credentials import secret_variables
        from septum.environment import for_user_code

        environ = for_user_code(credentials.for_parts(options.environ), secrets=secret_variables(profile))
        backend = LocalBackend(run, slots=profile.slots, environ=environ, time_s=None)
    else:
        from septum.backends.htcondor import HTCondorBackend

        backend = HTCondorBackend(run, profile, credentials)
    try:
        yield backend
    finally:
        backend.close()
