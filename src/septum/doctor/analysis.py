"""`septum.yaml`, the plan, and the profile of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from septum.doctor.report import Outcome, Skip, ok
from septum.doctor.runner import Context, Key
from septum.errors import PlanError
from septum.units import count

if TYPE_CHECKING:
    from septum.clusters.profile import LoadedProfile
    from septum.config import Analysis
    from septum.plan import Plan

ANALYSIS: Key[Analysis] = Key("septum.yaml")
PLAN: Key[Plan] = Key("plan")
PROFILE: Key[LoadedProfile] = Key("profile")


def read_config(context: Context) -> Outcome:
    """`septum.yaml` can be read and is valid."""
    from septum.stages.reading import config_of, read_analysis

    path = config_of(context.options)
    if not context.asked.needs_config and not path.exists():
        raise Skip(f"there is no {path} here, so only the cluster is looked at")
    analysis = read_analysis(context.options)
    return ok(f"valid: {path.absolute()}", analysis)


def plan(context: Context) -> Outcome:
    """A complete plan follows from `septum.yaml`, or stands in the state folder."""
    from septum.stages import make_plan
    from septum.state import State

    if context.asked.stored_plan:
        found = State(context.options.state).load_plan()
        return ok(f"{count(len(found.parts), 'part')} in {context.options.state}", found)
    analysis = context.value(ANALYSIS)
    if analysis is None:
        check = context.done[ANALYSIS.name]
        raise Skip(f"because {ANALYSIS.name!r} {'failed' if check and check.state == 'failed' else 'was skipped'}")
    if analysis.framework is not None:
        raise Skip("its framework must run first: septum makes the plan of the jobs that it submits")
    try:
        found = make_plan(context.options)
    except PlanError as error:
        if analysis.prepare:
            raise Skip(f"the lines under 'prepare' must run first ({error.what})") from error
        raise
    return ok(f"{count(len(found.parts), 'part')}, plan {found.hash[:16]}", found)


def sent(context: Context) -> Outcome:
    """Nothing that travels to the workers holds a credential."""
    from septum.credentials.choose import make_known
    from septum.credentials.lint import lint_plan
    from septum.files import below

    if context.asked.stored_plan:
        raise Skip("'septum prepare' has looked at it")
    loaded = context.value(PROFILE)
    if loaded is not None:
        make_known(loaded.profile, context.environ)
    found = context.need(PLAN)
    lint_plan(found, below(context.options.root))
    files = {file.path for part in found.parts for file in part.inputs} | {file.path for file in found.inputs}
    return ok(f"no credential in the values of the parts, nor in {count(len(files), 'file')}")


def profile(context: Context) -> Outcome:
    """There is such a cluster, and this version of septum can use it."""
    loaded = _load(context, complete=False)
    found = loaded.profile
    if not found.usable:
        _load(context, complete=True)  # says why
    verified = "never verified against the real site" if found.verified == "never" else f"verified {found.verified}"
    title = f"{found.name}: {found.title or found.method}"
    return ok(title if found.method == "local" else f"{title}; {verified}", loaded)


def values(context: Context) -> Outcome:
    """The profile knows all that the cluster needs."""
    loaded = context.need(PROFILE)
    if loaded.missing:
        _load(context, complete=True)  # says which, and how to set them
    own = sum(origin.kind in {"variable", "set"} for origin in loaded.origins.values())
    return ok("complete" + (f"; {count(own, 'key')} set by variables or --set" if own else ""))


def _load(context: Context, *, complete: bool) -> LoadedProfile:
    from septum.clusters.catalog import load_profile

    options = context.options
    return load_profile(
        options.cluster, environ=options.environ, root=options.root, overrides=options.overrides, complete=complete
    )


def require_keys(context: Context, *keys: str) -> None:
    """See that the profile has values for some keys.

    Raises:
        Skip: It has not; the check of the values says more.
    """
    missing = [key for key in keys if key in context.need(PROFILE).missing]
    if missing:
        raise Skip(f"the profile does not know: {', '.join(missing)}")


def run_time_s(context: Context) -> int:
    """How long one job may run, in seconds."""
    found = context.value(PLAN)
    asked = found.request.time_s if found is not None else None
    return asked or context.need(PROFILE).profile.default_time
