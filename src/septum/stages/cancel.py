"""Removes the jobs of a run that nobody wants any more."""

from __future__ import annotations

from septum.errors import CancelledError
from septum.stages.wiring import ENDED, Options, Say, check_cluster, load_profile, open_backend, open_credentials
from septum.state import State


def cancel(options: Options, say: Say) -> int:
    """Remove all jobs of the run in the state folder; returns how many went."""
    state = State(options.state)
    plan = state.load_plan()
    receipt = state.load_receipt()
    profile = load_profile(options)
    check_cluster(receipt, profile, options)
    if profile.method == "local":
        say("the parts of a local run end with their septum")
        return 0
    run = state.run(plan, receipt.tag)
    with (
        open_credentials(profile, options, say) as supervisor,
        open_backend(run, profile, supervisor.credentials, options) as backend,
    ):
        removed = backend.remove(None)
    with state.open_ledger() as ledger:
        ledger.note(ENDED, CancelledError.code)
    return removed
