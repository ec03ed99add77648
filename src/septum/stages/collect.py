"""The last stage: watch, fetch, verify and merge; then publish, compare and report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from septum.backends.base import Backend, Run
from septum.errors import (
    CancelledError,
    NotConservedError,
    PartError,
    SeptumError,
    StateError,
    StructureError,
    TimeUpError,
    TooLargeError,
    UploadError,
)
from septum.ledger import ENDED
from septum.plan import Plan
from septum.signals import noting_signals, removing_on_signal
from septum.stages.pages import StatusOfRun, note_pages, pages_of, software_of
from septum.stages.wiring import (
    Options,
    Say,
    check_cluster,
    has_own_name,
    image_on_worker,
    load_profile,
    make_receipt,
    open_backend,
    open_credentials,
    secret_names,
    tag_of,
)
from septum.state import Receipt, State
from septum.states import JobState, PartState

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.collect import Clock
    from septum.credentials import Credentials
    from septum.finish import Finished
    from septum.ledger import Ledger
    from septum.merge.command import Way
    from septum.merge.engine import Engine
    from septum.outcome import Outcome
    from septum.publish import Facts

_HOPELESS = (PartError, StructureError, NotConservedError)
"""Errors that another collect of the same jobs would meet again; after all others the outputs stay on the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A run with results.

    Attributes:
        plan: The plan.
        outcome: How the run ended.
        published: The published files by the name of their result.
        finished: What was found of the results.
    """

    plan: Plan
    outcome: Outcome
    published: Mapping[str, Path]
    finished: Finished

    @property
    def error(self) -> SeptumError | None:
        """What the run ends with: parts that are missing come before differences."""
        return self.outcome.error or self.finished.error


def collect(options: Options, say: Say, clock: Clock) -> Collected:
    """Watch the run to its end, publish its results, compare and report them.

    Raises:
        SeptumError: There is no result; the result folder says why and holds nothing that looks whole.
        HandedOver: The sums are made, and a framework's own merge is to be run elsewhere.
    """
    with State(options.state).locked(), StatusOfRun(options, say) as status:
        collected = _collect_locked(options, say, clock)
        status.error = collected.error
        return collected


def is_collected(options: Options) -> bool:
    """Whether the run in the state folder has its results already."""
    state = State(options.state)
    if not state.ledger_path.is_file():
        return False
    with state.open_ledger() as ledger:
        return ENDED in ledger.facts() and any(row.state is PartState.MERGED for row in ledger.rows())


def _collect_locked(options: Options, say: Say, clock: Clock) -> Collected:
    from septum import publish
    from septum.finish import bring_to_storage, check_size, note_failure

    state = State(options.state)
    plan = state.load_plan()
    profile = load_profile(options)
    receipt, is_guess = _receipt(state, plan, profile, options, clock)
    if receipt.plan != plan.hash:
        raise StateError("receipt: it belongs to another plan", fix="submit this plan first with 'septum submit'")
    check_cluster(receipt, profile, options)
    run = replace(state.run(plan, receipt.tag), image_digest=receipt.image_digest)
    with state.open_ledger() as ledger:
        # Before anything is cleared: the results of a run that has been collected must stay.
        ledger.begin(plan_hash=plan.hash, tag=receipt.tag, parts=(part.id for part in plan.parts), now_s=clock.now())
        _check_ledger(ledger, clock)
        if is_guess:
            _find(run, ledger, profile, options, say)
            state.write_values(plan, image=image_on_worker(plan, profile))
            state.store_receipt(receipt)
        retire_results(plan, options, say)

        def settle(
            outcome: Outcome, contents: Mapping[tuple[str, int], str], credentials: Credentials
        ) -> Mapping[str, Path]:
            """Bring the results to their place, while the jobs still hold their outputs."""
            facts = _facts_of(plan, profile, ledger, options, clock, contents)
            published = publish.publish(
                options.result, plan, receipt, outcome, facts, outputs=run.outputs, logs=run.logs
            )
            # Before the jobs go: a storage that does not answer must not cost the outputs.
            bring_to_storage(
                options.result,
                plan,
                ledger.outputs(),
                run.outputs,
                environ=options.environ,
                credentials=credentials,
                clock=clock,
                say=say,
            )
            check_size(options.result, plan, environ=options.environ, say=say)
            # Last: until here, a collect that is started again merges anew.
            merged = {result.name: (plan.by_result[result.name].output, result.parts) for result in outcome.results}
            ledger.finish(merged, now_s=clock.now())
            return published

        try:
            outcome, published = _collect(run, ledger, profile, options, say, clock, settle)
        except (TooLargeError, UploadError) as error:
            # The results stand in the folder, verified. The outputs stay, too, so that a retried collect goes on.
            note_failure(options.result, error)
            _finish(plan, options, say)
            raise
        except SeptumError as error:
            publish.clear_old(options.result, plan)
            # A hop that leaves has not failed: nothing shall say so.
            if not (isinstance(error, TimeUpError) and options.leaves_early):
                facts = _facts_of(plan, profile, ledger, options, clock, {})
                _tell(error, run, receipt, facts, options, say)
            if isinstance(error, (*_HOPELESS, CancelledError)):
                ledger.note(ENDED, error.code)
            raise
        except BaseException:
            publish.clear_old(options.result, plan)
            raise
        finished = _finish(plan, options, say)
        ledger.note(ENDED, outcome.error.code if outcome.error is not None else "0")
    if outcome.error is None:
        state.drop_outputs()
    return Collected(plan=plan, outcome=outcome, published=published, finished=finished)


def _tell(error: SeptumError, run: Run, receipt: Receipt, facts: Facts, options: Options, say: Say) -> None:
    """Write into the result folder why there is no result."""
    from septum import publish

    publish.publish_failure(options.result, run.plan, receipt, error, facts, outputs=run.outputs, logs=run.logs)
    _finish(run.plan, options, say)


def _finish(plan: Plan, options: Options, say: Say) -> Finished:
    from septum.finish import finish

    return finish(options.result, plan, root=options.root, prefix=options.prefix, environ=options.environ, say=say)


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
        software={**software(), **software_of(ledger)},
        pages=pages_of(ledger),
    )


def retire_results(plan: Plan, options: Options, say: Say) -> None:
    """Take the results of earlier runs away, so that what is there after this run is of this run.

    Raises:
        StateError: The result folder cannot be one.
    """
    from septum import publish

    for name in publish.clear_old(options.result, plan):
        say(f"note: {options.result / name} was not written by septum; it is kept as {name}.old1 or a higher number")


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
    settle: Callable[[Outcome, Mapping[tuple[str, int], str], Credentials], Mapping[str, Path]],
) -> tuple[Outcome, Mapping[str, Path]]:
    from septum.collect import Collector
    from septum.finish import Foresight
    from septum.merge.choice import choose
    from septum.merge.results import Merger

    policies = dict(run.plan.policies)

    def choose_engine(path: Path, name: str) -> Engine:
        return choose(path, name=name, environ=options.environ, policies=policies)

    way = _way_of_commands(run.plan, profile, options, clock)
    merger = Merger(run.plan, choose_engine, outputs=run.outputs, scratch=run.folder / "merge", way=way)
    with (
        noting_signals() as came,
        open_credentials(profile, options, say) as supervisor,
        open_backend(run, profile, supervisor.credentials, options) as backend,
        removing_on_signal(backend, say, came),
    ):
        foreseen = Foresight(run.plan, ledger, options.environ)
        collector = Collector(
            run=run,
            backend=backend,
            ledger=ledger,
            profile=profile,
            merger=merger,
            keep_fresh=lambda now_s: [*supervisor.check(now_s), *foreseen()],
            say=say,
            clock=clock,
            until_s=options.until_s,
            gap_s=options.gap_s,
            anew=profile.method == "local",
        )
        try:
            outcome = collector.collect()
        except _HOPELESS:
            _clean_queue(backend, say)
            raise
        finally:
            note_pages(backend, ledger)  # there may be new ones: of parts that were submitted again
        if outcome.error is not None and not outcome.results:
            _clear_up(backend, outcome, options, say)
            raise outcome.error
        published = settle(outcome, merger.contents, supervisor.credentials)
        _clear_up(backend, outcome, options, say)
    return outcome, published


def _way_of_commands(plan: Plan, profile: Profile, options: Options, clock: Clock) -> Way | None:
    """How frameworks' own merges are run, in the environment of `prepare`; None where the plan has none."""
    if all(merge.command is None for merge in plan.merges):
        return None
    from septum.environment import for_user_code
    from septum.merge.command import DEADLINE_S, Way

    def left_s() -> float:
        return DEADLINE_S if options.until_s is None else max(60.0, options.until_s - clock.now())

    return Way(
        root=options.root,
        environ=for_user_code(options.environ, secrets=secret_names(plan.publish, profile)),
        left_s=left_s,
        hand_over=options.hand_over,
    )


def _clear_up(backend: Backend, outcome: Outcome, options: Options, say: Say) -> None:
    """Remove the jobs of a run that ended; of one without all parts, in a pipeline, the outputs that are good stay.

    There a CI job that is retried begins without the files of this one, and runs the failed parts only.
    """
    if not outcome.failed or not has_own_name(options):
        _clean_queue(backend, say)
        if outcome.failed and not outcome.results:
            say("the outputs of the other parts are kept: 'septum collect' runs the failed parts again, and no others")
        return
    try:
        # In this order: what is written into jobs that go is read in the history.
        backend.judge({row.id: row.cause or "E300" for row in outcome.failed})
        backend.remove(None, ended=False)
        if backend.count():
            say("the outputs of the other parts wait on the cluster: this CI job, retried, runs the failed parts only")
        else:
            say("no job of this run is left on the cluster: retry the CI job 'submit', and then this one")
    except SeptumError as error:
        say(f"warning: {error.what}; the jobs leave the queue by themselves")


def _receipt(state: State, plan: Plan, profile: Profile, options: Options, clock: Clock) -> tuple[Receipt, bool]:
    """What submit left; in a pipeline, where it is lost, what it must have been, and that this is a guess."""
    try:
        return state.load_receipt(), False
    except StateError:
        if not has_own_name(options) or profile.method == "local":
            raise
    return make_receipt(plan, tag_of(state, plan, options), profile, options, now_s=clock.now()), True


def _find(run: Run, ledger: Ledger, profile: Profile, options: Options, say: Say) -> None:
    """Look whether the cluster knows a run of which nothing is left here but its plan.

    Raises:
        StateError: It does not.
    """
    with (
        open_credentials(profile, options, say) as supervisor,
        open_backend(run, profile, supervisor.credentials, options) as backend,
    ):
        reports = backend.poll([row.id for row in ledger.rows()], everything=True) or {}
    known = sum(report.state is not JobState.LOST for report in reports.values())
    if not known:
        raise StateError(
            f"receipt: there is none in {run.folder}, and the cluster knows no job of this run",
            evidence=f"looked for {run.tag} at {profile.access_point}, in queue and history",
            fix="submit first with 'septum submit'",
        )
    say(f"the receipt is lost; the cluster knows {known} of {len(run.plan.parts)} parts of {run.tag}")


def _check_ledger(ledger: Ledger, clock: Clock) -> None:
    if not any(row.state is PartState.MERGED for row in ledger.rows()):
        return
    if ENDED not in ledger.facts():
        ledger.reopen(now_s=clock.now())
    else:
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
