"""Removes the jobs of a run that nobody wants any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from septum.errors import CancelledError, StateError
from septum.ledger import ENDED
from septum.stages.pages import tell_cancelled
from septum.stages.wiring import (
    Options,
    Say,
    check_cluster,
    has_own_name,
    load_profile,
    open_backend,
    open_credentials,
    tag_of,
)
from septum.state import State

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.plan import Plan


def cancel(options: Options, say: Say) -> int:
    """Remove all jobs of the run in the state folder; returns how many went.

    Raises:
        StateError: There is no plan; or no receipt, and nothing else that tells the run's tag.
    """
    state = State(options.state)
    plan = state.load_plan()
    profile = load_profile(options)
    if profile.method == "local":
        say("the parts of a local run end with their septum")
        return 0
    run = state.run(plan, _tag(state, plan, profile, options, say))
    with (
        open_credentials(profile, options, say) as supervisor,
        open_backend(run, profile, supervisor.credentials, options) as backend,
    ):
        removed = backend.remove(None)
    if state.ledger_path.is_file():
        with state.open_ledger() as ledger:
            ledger.note(ENDED, CancelledError.code)
    tell_cancelled(options, say)
    return removed


def _tag(state: State, plan: Plan, profile: Profile, options: Options, say: Say) -> str:
    """The tag of the run; in a pipeline also where submit was stopped before it wrote its receipt."""
    try:
        receipt = state.load_receipt()
    except StateError:
        if not has_own_name(options):
            raise
        tag = tag_of(state, plan, options)
        say(f"no receipt: looking for the jobs of {tag}")
        return tag
    check_cluster(receipt, profile, options)
    return receipt.tag
