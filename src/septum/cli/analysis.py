"""`septum run | prepare | plan | submit | collect | cancel`: the way of an analysis, at once or stage by stage."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.console import say, section, table
from septum.cli.options import add_cluster, overrides, preset
from septum.components import inputs
from septum.components.model import LOCAL
from septum.errors import TimeUpError, UsageError

if TYPE_CHECKING:
    from septum.outcome import Outcome
    from septum.plan import Plan
    from septum.stages import Collected, Options, Submitted

_OURS = ("CI_JOB_TOKEN", "SEPTUM_GITLAB_TOKEN")
"""GitLab's tokens, which collect keeps for the artifact of a reference and for the note."""
_SHOWN = ("junit.xml", "metrics.txt", "annotations.json")
"""Files of the result folder that GitLab reads as reports."""
_WORST = 10
"""Objects that differ from the reference and are shown at the end of a run."""
_VERBS: Sequence[tuple[str, str]] = (
    ("run", "everything at once: plan, submit, collect, merge"),
    ("plan", "show what would run, and write nothing"),
    ("prepare", "run the user's preparation, and write the plan into the state folder"),
    ("submit", "submit the plan's parts that have no job yet"),
    ("collect", "watch the jobs, fetch and verify their outputs, merge"),
    ("cancel", "remove the jobs of this run from the queue"),
)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to the command line."""
    handlers: Mapping[str, Callable[[argparse.Namespace], int]] = {
        "run": _run,
        "plan": _plan,
        "prepare": _prepare,
        "submit": _submit,
        "collect": _collect,
        "cancel": _cancel,
    }
    for name, help_text in _VERBS:
        verb = subparsers.add_parser(
            name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".", epilog=_EPILOG
        )
        verb.set_defaults(handler=handlers[name])
        _add_options(verb)
        if name in {"run", "submit", "collect"}:
            _add_patience(verb)
        if name in {"run", "plan", "prepare"}:
            verb.add_argument(
                "--parts",
                metavar="IDS",
                default=os.environ.get("SEPTUM_PARTS") or None,
                help="only these parts: a number of them (3), or ids (0007,0011) [SEPTUM_PARTS]",
            )
        if name == "plan":
            verb.add_argument("--json", action="store_true", help="write the whole plan as JSON")


_EPILOG = "Options not given are read from the variables in brackets."


def _add_options(verb: argparse.ArgumentParser) -> None:
    add_cluster(verb)
    env = os.environ.get
    add = verb.add_argument
    add("--image", metavar="IMAGE", default=preset(inputs.IMAGE) or None, help="image of the parts [SEPTUM_IMAGE]")
    add("--prefix", metavar="TEXT", default=env("SEPTUM_PREFIX") or "", help="prefix of the CI jobs [SEPTUM_PREFIX]")
    add("--state", metavar="DIR", default=env("SEPTUM_STATE") or ".septum", help="state folder [SEPTUM_STATE]")
    add("--result", metavar="DIR", default=preset(inputs.RESULT), help="result folder [SEPTUM_RESULT]")


def _add_patience(verb: argparse.ArgumentParser) -> None:
    env = os.environ.get
    add = verb.add_argument
    add("--stay", metavar="TIME", default=env("SEPTUM_STAY") or "",
        help="how long to watch, such as '2 h'; then end with exit code 75, the jobs go on. In GitLab also as long as "
        "the CI job may take [SEPTUM_STAY]")  # fmt: skip
    add("--hop", metavar="K/N", default=env("SEPTUM_HOP") or "",
        help="collect in N goes, of which this is the K-th: take what is there, and leave [SEPTUM_HOP]")  # fmt: skip
    add("--gap", metavar="TIME", default=env("SEPTUM_GAP") or "",
        help="the longest time between two goes, which the jobs have to outlive [SEPTUM_GAP]")  # fmt: skip


def _seconds(name: str, text: str) -> float | None:
    from septum.units import parse_duration

    if not text:
        return None
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--{name}: {error}", fix=f"--{name} '2 h'") from error


def _options(args: argparse.Namespace) -> Options:
    from septum.patience import hops_of, leave_at, parse_hop
    from septum.stages import Options

    environ = dict(os.environ)
    hop = parse_hop(getattr(args, "hop", ""))
    delays = hops_of(environ, local=args.cluster == LOCAL)
    if hop is not None and environ.get("CI_JOB_NAME"):
        # The results of other pipelines stand in the artifact of the last one.
        environ["CI_JOB_NAME"] = f"{args.prefix}collect"
    stay_s = _seconds("stay", getattr(args, "stay", ""))
    for name in _OURS:
        # Ours alone: what a library starts, such as a look for fonts, would inherit it.
        os.environ.pop(name, None)
    return Options(
        config=Path(args.config),
        cluster=args.cluster,
        overrides=overrides(args.set),
        image=args.image,
        prefix=args.prefix,
        state=Path(args.state),
        result=Path(args.result),
        environ=environ,
        until_s=leave_at(environ, now_s=time.time(), hop=hop, stay_s=stay_s),
        leaves_early=hop is not None and not hop.is_last,
        gap_s=_seconds("gap", getattr(args, "gap", "")) or 60.0 * max(delays, default=0),
    )


# ── verbs ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _plan(args: argparse.Namespace) -> int:
    from septum.plan import to_json
    from septum.stages import make_plan

    options = _options(args)
    plan = make_plan(options, only=args.parts)
    if args.json:
        say(to_json(plan).rstrip())
        return 0
    _show_plan(plan)
    for part in plan.parts[:20]:
        say(f"  {part.describe()}")
    if len(plan.parts) > 20:  # noqa: PLR2004 - a screen
        say(f"  … and {len(plan.parts) - 20} more")
    return 0


def _show_plan(plan: Plan) -> None:
    from septum.files import total_size
    from septum.units import count, show_size

    shared, own = total_size(plan.inputs), sum(total_size(part.inputs) for part in plan.parts)
    chosen = f" of {plan.whole_count}" if plan.whole_count is not None else ""
    say(f"{plan.name}: {count(len(plan.parts), 'part')}{chosen}, plan {plan.hash[:16]}")
    say(
        f"inputs: {count(len(plan.inputs), 'file')} for every part ({show_size(shared)} each, "
        f"{show_size(shared * len(plan.parts) + own)} in all)"
    )
    for merge in plan.merges[:20]:
        say(f"result: {merge.result} from {plan.outputs[merge.output].path} of {count(len(merge.parts), 'part')}")
    if len(plan.merges) > 20:  # noqa: PLR2004 - a screen
        say(f"… and {len(plan.merges) - 20} more results")


def _prepare(args: argparse.Namespace) -> int:
    from septum.stages import prepare

    with section("prepare", "prepare"):
        _show_plan(prepare(_options(args), say, only=args.parts))
    return 0


def _submit(args: argparse.Namespace) -> int:
    from septum.collect import SystemClock
    from septum.patience import foretell
    from septum.stages import submit

    options = _options(args)
    if told := foretell(options.environ, local=options.cluster == LOCAL, now_s=time.time()):
        say(told)
    with section("submit", f"submit to {options.cluster}"):
        _show_submitted(submit(options, say, SystemClock()))
    return 0


def _show_submitted(done: Submitted) -> None:
    attached = f", {done.attached} were there already" if done.attached else ""
    waiting = f", {done.waiting} follow when there is room" if done.waiting and done.receipt.schedd else ""
    say(f"{done.new} jobs submitted{attached}{waiting}; run {done.receipt.tag}")


def _collect(args: argparse.Namespace) -> int:
    from septum.collect import SystemClock
    from septum.patience import parse_hop
    from septum.stages import collect, is_collected

    options = _options(args)
    hop = parse_hop(args.hop)
    if hop is not None and is_collected(options):
        say(f"hop {args.hop}: an earlier one has collected the run; {options.result} holds its results")
        return _pass(options)
    try:
        with section("collect", f"collect from {options.cluster}"):
            collected = collect(options, say, SystemClock())
    except TimeUpError as left:
        if hop is None or hop.is_last:
            raise
        say(f"hop {args.hop}: {left.what.partition(': ')[2]} ({left.evidence})")
        return 0
    finally:
        _show_gitlab(options)
    return _show(collected, options)


def _pass(options: Options) -> int:
    """End as the collect that made the results did: what was missing stays missing.

    Raises:
        StateError: Its results are not here.
        SeptumError: What it ended with.
    """
    from septum.errors import StateError, error_of
    from septum.manifest import NAME, from_json
    from septum.verify import measure

    try:
        manifest = from_json((options.result / NAME).read_text(encoding="utf-8"), name=NAME)
        damaged = [
            result.file
            for result in manifest.results
            if not result.url and measure(options.result / result.file) != (result.size_b, result.sha256)
        ]
        if damaged:
            raise ValueError(f"{damaged[0]} is not the file that was published")
        failure = manifest.error
        ended_with = None if failure is None else error_of(failure.code)
    except (OSError, ValueError, KeyError) as error:
        raise StateError(
            f"result: an earlier hop has collected the run, and {options.result} does not hold what it published",
            evidence=f"{type(error).__name__}: {error}",
            fix="take the results from the artifact of that hop, or run a new pipeline",
        ) from error
    if failure is not None and ended_with is not None:
        raise ended_with(failure.what, evidence=failure.evidence, fix=failure.fix)
    return 0


def _show_gitlab(options: Options) -> None:
    """Copy what GitLab shows to where it looks: the result folder goes on from CI job to CI job, this must not."""
    target = options.environ.get("SEPTUM_REPORTS")
    if not target:
        return
    try:
        for name in _SHOWN:
            if (options.result / name).is_file():
                Path(target).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(options.result / name, Path(target) / name)
    except OSError as error:
        # The result is worth more than what GitLab shows of it.
        say(f"warning: GitLab will not show the reports: {error}")


def _run(args: argparse.Namespace) -> int:
    from septum.collect import SystemClock
    from septum.stages import check_engines, collect, prepare, retire_results, submit

    options = _options(args)
    clock = SystemClock()
    with section("prepare", "prepare"):
        plan = prepare(options, say, only=args.parts)
        _show_plan(plan)
        check_engines(plan, options)  # now rather than after hours of jobs
        retire_results(plan, options, say)
    with section("submit", f"submit to {options.cluster}"):
        _show_submitted(submit(options, say, clock))
    with section("collect", f"collect from {options.cluster}"):
        collected = collect(options, say, clock)
    return _show(collected, options)


def _show(collected: Collected, options: Options) -> int:
    from septum.publish import objects_table
    from septum.units import show_size

    plan, outcome, published = collected.plan, collected.outcome, collected.published
    places = {result.name: result.url for result in collected.finished.manifest.results}
    missing = len(outcome.failed)
    say("")
    total = plan.whole_count or len(plan.parts)
    say(f"{plan.name}: {len(plan.parts) - missing} of {total} parts are in")
    if plan.whole_count is not None:
        say("only these parts were asked for: the results are labelled partial")
    if outcome.results:
        table(
            [
                (
                    places[result.name] or str(published[result.name]),
                    show_size(result.size_b),
                    f"sha256 {result.sha256[:16]}…",
                )
                for result in outcome.results
            ]
        )
        for line in objects_table(outcome.results):
            say(f"    {line}")
    if missing:
        say("missing parts by cause: " + _causes(outcome))
    _show_comparison(collected, in_ci=options.environ.get("GITLAB_CI") == "true")
    say(f"the whole story: {options.result / 'report.html'}")
    if collected.error is not None:
        raise collected.error
    return 0


def _show_comparison(collected: Collected, *, in_ci: bool) -> None:
    from septum.compare.show import summary, worst_rows

    comparison = collected.finished.comparison
    # That a laptop has no default branch to compare with is no news.
    if comparison is None or (comparison.reference is None and not in_ci):
        return
    say("")
    for line in summary(comparison):
        say(line)
    table(worst_rows(comparison, limit=_WORST))


def _causes(outcome: Outcome) -> str:
    counted = Counter(row.cause or "" for row in outcome.failed)
    return ", ".join(f"{number} × {cause}" for cause, number in counted.most_common())


def _cancel(args: argparse.Namespace) -> int:
    from septum.stages import cancel

    removed = cancel(_options(args), say)
    say(f"{removed} jobs removed")
    return 0
