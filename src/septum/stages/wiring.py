"""What the stages share: their options, and how profile, credentials and backend are opened. Nothing prints."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from septum.backends.base import Backend, Run, run_tag
from septum.errors import StateError
from septum.ledger import ENDED
from septum.state import Receipt, State

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.credentials import Credentials, Supervisor
    from septum.plan import Plan, Publish

Say = Callable[[str], None]


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
        until_s: When collect leaves, in seconds since the epoch, whatever still runs; None for never.
        leaves_early: Whether others go on with the run when collect leaves.
        gap_s: The longest time between two collects, in seconds, that the jobs have to outlive.
        pilot: Whether the first part is to deliver before all others are submitted.
        hand_over: Whether frameworks' own merges run in another CI job: `yes` leaves them to it, `back` takes up what
            it made; if empty, they run here.
    """

    config: Path
    cluster: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    prefix: str = ""
    state: Path = Path(".septum")
    result: Path = Path("result")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    until_s: float | None = None
    leaves_early: bool = False
    gap_s: float = 0.0
    pilot: bool = False
    hand_over: str = ""

    @property
    def root(self) -> Path:
        """The folder of `septum.yaml`."""
        return self.config.parent


def load_profile(options: Options, *, complete: bool = True) -> Profile:
    """The profile of the chosen cluster, with what the environment and `--set` say otherwise."""
    from septum.clusters.catalog import load_profile as load

    return load(
        options.cluster, environ=options.environ, root=options.root, overrides=options.overrides, complete=complete
    ).profile


def tag_of(state: State, plan: Plan, options: Options) -> str:
    """The run's tag: of the pipeline; outside of GitLab that of the ledger, or a new one.

    Two people's laptops may run the same plan as the same account: their runs are not the same run.
    """
    if has_own_name(options):
        return run_tag(plan, options.environ, prefix=options.prefix)
    # The ledger has it before anything is submitted; the receipt only when all is.
    with contextlib.suppress(StateError), state.open_ledger() as ledger:
        facts = ledger.facts()
        if facts.get("plan") == plan.hash and facts.get("tag"):
            return facts["tag"]
    with contextlib.suppress(StateError):  # of a ledger that was lost: its jobs may be there
        receipt = state.load_receipt()
        if receipt.plan == plan.hash:
            return receipt.tag
    return run_tag(plan, {"SEPTUM_RUN": secrets.token_hex(8)}, prefix=options.prefix)


def has_own_name(options: Options) -> bool:
    """Whether the environment names the run, so that it is found again without any file: in a pipeline of GitLab."""
    return bool(options.environ.get("CI_PIPELINE_ID") or options.environ.get("SEPTUM_RUN"))


def refuse_unfinished(state: State) -> None:
    """Look that nothing is lost when the state folder is cleared.

    Raises:
        StateError: It holds a run that has not ended.
    """
    if not (state.folder / "receipt.json").is_file():
        return
    receipt = state.load_receipt()
    with state.open_ledger() as ledger:
        unfinished = [row for row in ledger.rows() if not row.state.final and ENDED not in ledger.facts()]
    if receipt.schedd and unfinished:
        raise StateError(
            f"state: {state.folder} holds a run on {receipt.cluster} that has not ended",
            evidence=f"{len(unfinished)} parts are open; tag {receipt.tag}",
            fix="end it first: 'septum collect' brings it home, 'septum cancel' removes its jobs",
        )


def make_receipt(plan: Plan, tag: str, profile: Profile, options: Options, *, now_s: float) -> Receipt:
    """The receipt of a run that is on this cluster."""
    return Receipt(
        tag=tag,
        plan=plan.hash,
        cluster=options.cluster,
        collector=profile.collector,
        schedd=profile.access_point,
        submitted_s=int(now_s),
    )


def image_on_worker(plan: Plan, profile: Profile) -> str:
    """The image that a part looks for around itself, as the workers of a cluster name it; empty for none."""
    if profile.method != "htcondor":
        # REANA starts the image of that name and digest itself, and a part finds nothing in it to compare with.
        return ""
    from septum.images.forms import worker_image

    return worker_image(plan.image, profile)


def check_cluster(receipt: Receipt, profile: Profile, options: Options) -> None:
    """Look whether the run is on the cluster that was named.

    Raises:
        StateError: It is on another one.
    """
    if (receipt.cluster, receipt.schedd) != (options.cluster, profile.access_point):
        raise StateError(
            f"receipt: the run is on {receipt.cluster} ({receipt.schedd or 'this machine'}), not on {options.cluster}",
            fix=f"name the cluster that it was submitted to: --cluster {receipt.cluster}",
        )


def secret_names(publish: Publish | None, profile: Profile) -> frozenset[str]:
    """The variables that no code of a user gets: those of credentials, and of presigned URLs."""
    from septum.credentials import secret_variables

    names = frozenset(secret_variables(profile))
    if publish is None:
        return names
    from septum.upload.upload import target_of

    return names | frozenset(filter(None, [target_of(publish).variable]))


@contextlib.contextmanager
def open_credentials(profile: Profile, options: Options, say: Say) -> Iterator[Supervisor]:
    """Obtain what the cluster wants, keep it fresh, and delete it at the end."""
    from septum.credentials import Supervisor, obtain

    with obtain(profile, environ=options.environ) as credentials, Supervisor(credentials) as supervisor:
        for warning in credentials.warnings:
            say(f"warning: {warning}")
        yield supervisor


@contextlib.contextmanager
def open_backend(run: Run, profile: Profile, credentials: Credentials, options: Options) -> Iterator[Backend]:
    """The backend of the profile, closed at the end."""
    backend: Backend
    run.sent.mkdir(parents=True, exist_ok=True)
    if profile.method == "local":
        from septum.backends.local import LocalBackend
        from septum.environment import for_user_code

        environ = for_user_code(credentials.for_parts(options.environ), secrets=secret_names(run.plan.publish, profile))
        backend = LocalBackend(run, slots=profile.slots, environ=environ, time_s=None)
    elif profile.method == "reana":
        from septum.backends.reana import ReanaBackend

        backend = ReanaBackend(run, profile, credentials)
    else:
        from septum.backends.htcondor import HTCondorBackend

        backend = HTCondorBackend(run, profile, credentials)
    try:
        yield backend
    finally:
        backend.close()
