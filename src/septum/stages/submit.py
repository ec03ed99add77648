"""The second stage: jobs for all parts that have none, each once, whatever was interrupted before."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from septum.backends.base import Run
from septum.errors import ConfigError, PartImageError, StateError
from septum.feed import PILOT, Feeder
from septum.ledger import ENDED
from septum.plan import Plan
from septum.signals import removing_on_signal
from septum.stages.pages import REANA_VERSION, note_pages
from septum.stages.wiring import (
    Options,
    Say,
    check_cluster,
    image_on_worker,
    load_profile,
    make_receipt,
    open_backend,
    open_credentials,
    tag_of,
)
from septum.state import Receipt, State
from septum.states import PartState
from septum.units import count, show_duration

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.collect import Clock
    from septum.credentials import Credentials
    from septum.images.resolve import Resolved
    from septum.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a submission did.

    Attributes:
        receipt: The receipt.
        new: Parts that are new in the queue.
        attached: Parts whose jobs were there already.
        waiting: Parts that collect submits, when there is room for them.
    """

    receipt: Receipt
    new: int
    attached: int
    waiting: int = 0


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
    tag = tag_of(state, plan, options)
    run = state.run(plan, tag)
    _check_hours(plan, profile)
    if plan.publish is not None:
        from septum.upload.upload import check_before

        check_before(plan.publish, [merge.result for merge in plan.merges], options.environ)
    _announce_image(plan, profile, say)
    resolved = _resolve_image(plan, profile, options, say)
    image_id = resolved.image_id if resolved is not None else ""
    image = image_on_worker(plan, profile)
    state.write_values(plan, image=image, image_id=image_id if image else "")
    receipt = make_receipt(plan, tag, profile, options, now_s=clock.now())
    if resolved is not None:
        receipt = replace(receipt, image_digest=resolved.digest, image_id=image_id, image_unknown=resolved.unknown)
        run = replace(run, image_digest=resolved.digest)
    with state.open_ledger() as ledger:
        ledger.begin(plan_hash=plan.hash, tag=tag, parts=(part.id for part in plan.parts), now_s=clock.now())
        _check_earlier(state, ledger, plan, profile, options)
        if options.pilot and len(plan.parts) > 1:
            ledger.note(PILOT, plan.parts[0].id)
        if profile.method == "local":
            # They are processes of the septum that collects.
            state.store_receipt(receipt)
            planned = {row.id for row in ledger.rows(PartState.PLANNED)}
            waiting = len(planned) - 1 if ledger.facts().get(PILOT) in planned else 0
            return Submitted(receipt=receipt, new=len(planned) - waiting, attached=0, waiting=waiting)
        with open_credentials(profile, options, say) as supervisor:
            supervisor.credentials.require_life(clock.now(), _needed_s(plan, profile) + options.gap_s)
            lint_sent(plan, sorted(run.sent.glob("*.tar*")))
            _announce_files(plan, profile, run, say, pilot=ledger.facts().get(PILOT) is not None)
            _check_access(profile, supervisor.credentials, run, ledger, say)
            with (
                open_backend(run, profile, supervisor.credentials, options) as backend,
                removing_on_signal(backend, say),
            ):
                feeder = Feeder(
                    run=run, backend=backend, ledger=ledger, profile=profile, gap_s=options.gap_s, say=say, clock=clock
                )
                attached = feeder.take_stock(anew=True)
                if attached:
                    backend.extend(feeder.lease_until_s)  # theirs began with another submit
                new = feeder.feed(all_or_none=True)
                note_pages(backend, ledger)
            waiting = len(ledger.rows(PartState.PLANNED))
        state.store_receipt(receipt)
    return Submitted(receipt=receipt, new=new, attached=attached, waiting=waiting)


def _check_earlier(state: State, ledger: Ledger, plan: Plan, profile: Profile, options: Options) -> None:
    """Look whether the run is on another cluster, where its jobs would go on without anybody."""
    try:
        receipt = state.load_receipt()
    except StateError:
        return
    if receipt.plan == plan.hash and ENDED not in ledger.facts():
        check_cluster(receipt, profile, options)


def _needed_s(plan: Plan, profile: Profile) -> float:
    """How long a proxy must at least live, in seconds: for one job to wait and to run."""
    return float(profile.queue_time + (plan.request.time_s or profile.default_time))


def _check_access(profile: Profile, credentials: Credentials, run: Run, ledger: Ledger, say: Say) -> None:
    from septum.backends.access import ask

    found = ask(profile, credentials, run.sent)
    say(found.sentence)
    if profile.method == "reana" and found.version:
        ledger.note(REANA_VERSION, found.version)


def _announce_files(plan: Plan, profile: Profile, run: Run, say: Say, *, pilot: bool) -> None:
    from septum.shared import sending

    sizes = {path.name: path.stat().st_size for path in run.sent.iterdir()}
    found = sending(plan, profile, sizes.__getitem__, pilot=pilot)
    say(found.line)
    if found.warning:
        say(f"warning: {found.warning}")


def _announce_image(plan: Plan, profile: Profile, say: Say) -> None:
    if profile.method == "reana" and not plan.image:
        raise ConfigError(
            f"image: the cluster {profile.name} runs every part in an image, and the analysis names none",
            fix="name one in septum.yaml, such as image: docker.io/library/python:3.12; or for this run: --image NAME",
        )
    if plan.image and not profile.starts_images:
        say(f"note: cluster {profile.name} starts no images; the parts run as they are, not in {plan.image}")


def _resolve_image(plan: Plan, profile: Profile, options: Options, say: Say) -> Resolved | None:
    """Find out which image the parts are to have, so that every one of them can be held to it.

    Raises:
        PartOtherImageError: The workers would not have the image that CI has.
        PartImageError: The profile wants the image to be known, and nobody knows it.
    """
    from septum.images.resolve import resolve

    if not plan.image or not profile.starts_images:
        return None
    found = resolve(plan.image, profile, environ=options.environ)
    found.check()
    if found.moves:
        say(f"warning: image {plan.image}: {found.moves}")
    if found.unknown and profile.image_digest == "required":
        raise PartImageError(
            f"image: nobody knows which one {plan.image} is, and 'image-digest' requires it",
            evidence=found.unknown,
            fix="check the name, and that this CI job reaches the registry and may read the image",
        )
    say(f"image {plan.image}: {found.digest or found.image_id or f'nobody knows which, {found.unknown}'}")
    return found


def _check_hours(plan: Plan, profile: Profile) -> None:
    """Look whether the run asks for more CPU time than its author allows.

    Raises:
        ConfigError: It does.
    """
    if plan.limits.cpu_hours is None:
        return
    request = plan.request
    cpus, time_s = request.cpus or profile.default_cpus, request.time_s or profile.default_time
    hours = len(plan.parts) * cpus * time_s / 3600
    if hours > plan.limits.cpu_hours:
        raise ConfigError(
            f"limits: the run may take {hours:,.0f} hours of CPU, and 'limits: cpu-hours' allows "
            f"{plan.limits.cpu_hours:,.0f}",
            evidence=f"{count(len(plan.parts), 'part')} × {count(cpus, 'core')} × {show_duration(time_s)} each",
            fix=f"lower 'resources: time', or allow it: limits: {{cpu-hours: {math.ceil(hours)}}}",
        )
