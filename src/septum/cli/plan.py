"""`septum plan`: what would run, where, how long, with which credentials, and what it costs. Writes nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from septum.cli.answer import answer
from septum.cli.console import say, table
from septum.cli.options import FROM_VARIABLES, add_parts, add_run, options_of
from septum.cli.parsing import examples
from septum.cli.plan_last import artifact_limit_of, last_rows, show_hours

if TYPE_CHECKING:
    from septum.clusters.profile import LoadedProfile, Profile
    from septum.errors import PlanError
    from septum.forecast import Asked, Expected, Last
    from septum.plan import Plan
    from septum.stages import Options

_SCREEN = 20
_DESCRIPTION = """\
Show what would run, and write nothing: parts and results, where the jobs would run and in which image, what they ask \
for, what travels, which variables the credentials come from, and, by the figures of the last run, how long it takes."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "plan",
        help="show what would run, how long and at what cost, and write nothing",
        description=_DESCRIPTION,
        epilog=examples(
            ("septum plan", "all parts, on this machine"),
            ("septum plan --cluster infn-af --parts 'first 20'", "twenty of them, on a cluster"),
            ("septum plan --last old/result", "by the figures of that run"),
            ("septum plan --json", "the plan itself, and the forecast"),
            note=FROM_VARIABLES,
        ),
    )
    verb.set_defaults(handler=show)
    add_run(verb)
    add_parts(verb)
    verb.add_argument(
        "--last",
        metavar="FOLDER",
        help="the run whose figures are used: a result folder, 'pipeline' for the last good one in GitLab, or 'none' "
        "(default: the first of the result folder, the state folder and the pipeline that knows something)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A variable that a credential comes from."""

    name: str
    what: str
    is_set: bool


def show(args: argparse.Namespace) -> int:
    """Print the plan and what it costs.

    Raises:
        PlanError: The parts of a framework are not known yet; what is known has been printed.
    """
    from septum.cli.last import find_last
    from septum.clusters.catalog import load_profile
    from septum.forecast import to_data

    options = options_of(args)
    plan, unknown = _plan(options, args.parts)
    loaded = load_profile(
        options.cluster, environ=options.environ, root=options.root, overrides=options.overrides, complete=False
    )
    profile = loaded.profile
    ask = _asked(plan, profile) if plan is not None else None
    look = find_last(args.last, options)
    told = _told(plan, ask, look.last, cluster=options.cluster, is_local=profile.method == "local")
    needed = _needed(profile, options)
    foreseen = {**to_data(ask, look.last, told), "notes": list(look.notes)}
    where = _where(plan, loaded, options)
    if not answer(_document(plan, where, foreseen, needed, options)):
        if plan is not None:
            show_plan(plan)
            _show_parts(plan)
        _show_sections(
            ("where", _where_rows(where)),
            ("asked for", _asked_rows(ask, profile) if ask is not None else ()),
            ("credentials", _credential_rows(needed, profile, ask)),
            ("by the last run", last_rows(look.last, told, ask, plan, options) or [("nothing", "is known yet")]),
        )
        for note in look.notes if look.last is None else ():
            say(f"  ({note})")
    if unknown is not None:
        raise unknown
    return 0


def _plan(options: Options, only: str | None) -> tuple[Plan | None, PlanError | None]:
    """The plan; of a framework the one that was recorded last. None if it has not run yet, and the error of that."""
    from septum.assembly import choose
    from septum.errors import PlanError
    from septum.stages import make_plan
    from septum.stages.reading import read_analysis
    from septum.stages.record import script_of
    from septum.state import State

    analysis = read_analysis(options)
    if analysis.framework is None:
        return make_plan(options, only=only, say=say), None
    state = State(options.state)
    if (state.folder / "plan.json").is_file():
        plan = state.load_plan()
        say("as the framework submitted it at the last 'septum prepare' or 'septum run', which run it again")
        return choose(plan, only) if only is not None else plan, None
    say(f"{analysis.name}: its parts are not known yet; 'septum prepare' and 'septum run' run the framework once:")
    for line in script_of(analysis.framework):
        say(f"  {line}")
    return None, PlanError(
        "plan: its parts are the jobs that the framework submits, and it has not run here yet",
        fix="septum prepare    # records what the framework submits, and submits nothing; then: septum plan",
    )


def _told(plan: Plan | None, ask: Asked | None, last: Last | None, *, cluster: str, is_local: bool) -> Expected | None:
    """What the last run says: of the plan, or of one part as long as there is none."""
    from septum.forecast import expected, measured

    if last is None:
        return None
    if plan is None or ask is None:
        return measured(last, cluster=cluster, is_local=is_local)
    return expected(plan, ask, last, cluster=cluster, is_local=is_local)


def _show_sections(*sections: tuple[str, Iterable[tuple[str, str]]]) -> None:
    for title, found in sections:
        if rows := list(found):
            say("")
            say(title, "bold")
            table(rows)


def _document(
    plan: Plan | None, where: dict[str, Any], foreseen: dict[str, Any], needed: Sequence[Needed], options: Options
) -> dict[str, Any]:
    """All of it, for programs."""
    from septum.plan import to_json

    return {
        **({"hash": None, "plan": None} if plan is None else json.loads(to_json(plan))),
        "where": where,
        "forecast": foreseen,
        "artifact": artifact_limit_of(options),
        "credentials": [{"variable": item.name, "is": item.what, "set": item.is_set} for item in needed],
    }


# ── the plan itself ─────────────────────────────────────────────────────────────────────────────────────────────


def show_plan(plan: Plan) -> None:
    """Print what a plan is made of."""
    from septum.files import total_size
    from septum.merge.command import first_word
    from septum.plan import shown_pattern
    from septum.units import count, show_size

    shared, own = total_size(plan.inputs), sum(total_size(part.inputs) for part in plan.parts)
    chosen = f" of {plan.whole_count}" if plan.whole_count is not None else ""
    say(f"{plan.name}: {count(len(plan.parts), 'part')}{chosen}, plan {plan.hash[:16]}")
    say(
        f"inputs: {count(len(plan.inputs), 'file')} for every part ({show_size(shared)} each, "
        f"{show_size(shared * len(plan.parts) + own)} in all)"
    )
    for merge in plan.merges[:_SCREEN]:
        by = f", merged by the command {first_word(merge.command)}" if merge.command is not None else ""
        output = shown_pattern(plan.outputs[merge.output].path)
        say(f"result: {merge.result} from {output} of {count(len(merge.parts), 'part')}{by}")
    if len(plan.merges) > _SCREEN:
        say(f"… and {len(plan.merges) - _SCREEN} more results")


def summary_of(plan: Plan) -> dict[str, Any]:
    """A plan in a few words, for programs; `septum plan --json` has all of it."""
    return {
        "name": plan.name,
        "hash": plan.hash,
        "parts": len(plan.parts),
        "whole": plan.whole_count or len(plan.parts),
        "results": [merge.result for merge in plan.merges],
    }


def _show_parts(plan: Plan) -> None:
    for part in plan.parts[:_SCREEN]:
        say(f"  {part.describe()}")
    if len(plan.parts) > _SCREEN:
        say(f"  … and {len(plan.parts) - _SCREEN} more")


# ── where, and at what cost ─────────────────────────────────────────────────────────────────────────────────────


def _where(plan: Plan | None, loaded: LoadedProfile, options: Options) -> dict[str, Any]:
    from septum.images.forms import worker_image

    profile = loaded.profile
    image = plan.image if plan is not None else options.image
    return {
        "cluster": profile.name,
        "title": profile.title,
        "method": profile.method,
        "usable": profile.usable,
        "unusable_because": profile.unusable_because,
        "schedd": profile.access_point,
        "collector": profile.collector,
        "compute_backend": profile.reana_compute_backend if profile.method == "reana" else "",
        "missing": list(loaded.missing),
        "image": image or "",
        "image_on_worker": worker_image(image, profile),
    }


def _where_rows(where: dict[str, Any]) -> Iterator[tuple[str, str]]:
    from septum.clusters.profile import variable_of

    yield "cluster", where["cluster"] + (f": {where['title']}" if where["title"] else "")
    if not where["usable"]:
        yield "", f"cannot be used: {where['unusable_because']}"
    if where["method"] == "local":
        yield "jobs", "processes of this machine"
    elif where["method"] == "reana":
        yield "REANA", f"{where['schedd'] or '?'}, as the steps of a workflow on {where['compute_backend']}"
    else:
        yield "schedd", f"{where['schedd'] or '?'}, collector {where['collector'] or '?'}"
    if where["missing"]:
        yield "not known", ", ".join(f"{key} (set {variable_of(key)})" for key in where["missing"])
    if where["image"]:
        yield "image", where["image"]
        yield (
            "",
            f"there: {where['image_on_worker']}"
            if where["image_on_worker"]
            else "not started: the parts run as they are",
        )


def _asked(plan: Plan, profile: Profile) -> Asked:
    from septum.backends.local import cores
    from septum.files import total_size
    from septum.forecast import asked
    from septum.shared import goes_by_url, workflows

    is_local = profile.method == "local"
    shared_b = total_size(plan.inputs)
    return asked(
        plan,
        cpus=profile.default_cpus,
        memory_b=profile.default_memory,
        disk_b=profile.default_disk,
        time_s=profile.default_time,
        at_once=profile.slots or cores() if is_local else profile.max_jobs_per_owner,
        spools=not is_local,
        by_url=goes_by_url(profile, shared_b),
        workflows=workflows(profile, (total_size(part.inputs) for part in plan.parts), once_b=shared_b),
    )


def _asked_rows(ask: Asked, profile: Profile) -> Iterator[tuple[str, str]]:
    from septum.units import count, show_duration, show_size

    is_local = profile.method == "local"
    each = f"{count(ask.cpus, 'core')}, {show_size(ask.memory_b)} of memory, {show_size(ask.disk_b)} of disk"
    yield (
        "a job",
        f"{each}, {show_duration(ask.time_s)} at most"
        + ("; memory and disk are not enforced here" if is_local else ""),
    )
    together = f"{ask.at_once} at a time: {show_size(ask.at_once * ask.memory_b)} of memory, "
    yield (
        ("slots" if is_local else "jobs"),
        f"{count(ask.parts, 'part')}, {together}{show_size(ask.at_once * ask.disk_b)} of disk",
    )
    allowed = f"; septum.yaml allows {ask.core_hours_allowed:g}" if ask.core_hours_allowed is not None else ""
    over = ask.core_hours_allowed is not None and ask.core_hours > ask.core_hours_allowed
    yield (
        "core hours",
        f"{show_hours(ask.core_hours)} at most{allowed}" + (": more, and submit will refuse it" if over else ""),
    )
    yield "there", f"{show_size(ask.there_b)} of inputs, before they are packed"
    if not is_local:
        yield from _travels(ask)
        there = "in workspaces on REANA" if profile.method == "reana" else "on the schedd"
        yield "spool", f"{show_size(ask.spool_b)} at most {there}, and the outputs until they are fetched"


def _travels(ask: Asked) -> Iterator[tuple[str, str]]:
    """What goes where, before it is packed, and when that is too much."""
    from septum.shared import Sending
    from septum.units import show_size

    told = Sending(
        jobs=ask.parts, spool_b=ask.sent_b, area_b=ask.area_b, shared_b=ask.shared_b, workflows=ask.workflows
    )
    if ask.area_b:
        yield "shared area", f"{show_size(ask.area_b)}, once, for all parts"
    yield "sent", f"{show_size(ask.sent_b)} {told.to}"
    if told.warning:
        yield "warning", told.warning


# ── credentials ─────────────────────────────────────────────────────────────────────────────────────────────────


def _needed(profile: Profile, options: Options) -> list[Needed]:
    """The variables that the credentials of a cluster come from; their values are not looked at."""
    from septum.credentials import choose

    found = choose.needed_variables(profile, options.environ)
    return [Needed(name=name, what=what, is_set=bool(options.environ.get(name, "").strip())) for name, what in found]


def _credential_rows(needed: Sequence[Needed], profile: Profile, ask: Asked | None) -> Iterator[tuple[str, str]]:
    from septum.credentials.choose import uses_secrets
    from septum.units import show_duration

    if not uses_secrets(profile):
        yield "none", "the cluster asks for no credential"
        return
    for item in needed:
        yield item.name, f"{'set' if item.is_set else 'not set'}: {item.what}"
    if profile.credentials == "bearer-token":
        yield "bearer token", "the one that is here: BEARER_TOKEN, BEARER_TOKEN_FILE, or below /tmp"
    if profile.proxy != "no":
        is_needed = "needed" if profile.proxy == "required" else "taken if there is one"
        lives = "how long it must live follows from the jobs"
        if ask is not None:
            times = (profile.queue_time + ask.time_s, profile.queue_time, ask.time_s)
            lives = "must live {}: {} to wait and {} to run".format(*map(show_duration, times))
        yield "proxy", f"{is_needed}; {lives}"
    if profile.credentials in {"iam-client", "broker"} or profile.authentication == "kerberos":
        yield "lifetime", "tokens and tickets are renewed while septum watches"
