"""`septum run | prepare | submit | collect | cancel`: the way of an analysis, at once or stage by stage."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.cli.answer import answer
from septum.cli.console import say, section, table
from septum.cli.options import FROM_VARIABLES, add_parts, add_run, options_of
from septum.cli.parsing import examples
from septum.cli.pipeline_change import add_cancel, cancel_pipeline
from septum.cli.plan import show_plan, summary_of
from septum.cli.progress import following
from septum.components.model import LOCAL, RECORDER
from septum.errors import TimeUpError, UsageError

if TYPE_CHECKING:
    from septum.manifest import Manifest
    from septum.outcome import Outcome
    from septum.stages import Collected, Options, Submitted

_SHOWN = ("junit.xml", "metrics.txt", "annotations.json")
"""Files of the result folder that GitLab reads as reports."""
_WORST = 10
"""Objects that differ from the reference and are shown at the end of a run."""
_VERBS: Sequence[tuple[str, str, Sequence[tuple[str, str]]]] = (
    (
        "run",
        "everything at once: plan, submit, collect, merge",
        (
            ("septum run", "all parts on this machine, to the merged result"),
            ("septum run --parts 3", "the first three, for a taste"),
            ("septum run --cluster infn-af", "all on a cluster; Ctrl-C removes the jobs"),
            ("septum run --cluster infn-af --pilot", "one real job first, and all others if it ends well"),
        ),
    ),
    (
        "recorder",
        "leave what records the jobs of a framework, for a CI job in the analysis image",
        (
            ("septum recorder", "into .septum/recorder"),
            ("septum recorder --state work", "into another state folder"),
        ),
    ),
    (
        "prepare",
        "run the user's preparation, and write the plan into the state folder",
        (
            ("septum prepare", "then: septum submit"),
            ("septum prepare --parts 'first 20'", "a plan of twenty parts"),
            ("septum prepare --recorded", "of what a framework submitted in another CI job"),
        ),
    ),
    (
        "submit",
        "submit the plan's parts that have no job yet",
        (
            ("septum submit --cluster infn-af", "after septum prepare; twice submits nothing twice"),
            ("septum submit --cluster infn-af --set lease='4 h'", "with another key of the cluster's profile"),
        ),
    ),
    (
        "collect",
        "watch the jobs, fetch and verify their outputs, merge",
        (
            ("septum collect --cluster infn-af", "to the end, also of a run that was left"),
            ("septum collect --cluster infn-af --stay '2 h'", "then leave with 75; the jobs go on"),
            ("septum collect --json > outcome.json", "the results for a program"),
        ),
    ),
    (
        "cancel",
        "remove the jobs of this run from the queue",
        (
            ("septum cancel --cluster infn-af", "those of the run in .septum, and no others"),
            ("septum cancel --cluster infn-af --state other", "of the run in another state folder"),
            ("septum cancel --pipeline 98701", "a pipeline of GitLab, with its jobs on the cluster"),
        ),
    ),
)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to the command line."""
    handlers: Mapping[str, Callable[[argparse.Namespace], int]] = {
        "run": _run,
        "recorder": _recorder,
        "prepare": _prepare,
        "submit": _submit,
        "collect": _collect,
        "cancel": _cancel,
    }
    for name, help_text, shown in _VERBS:
        verb = subparsers.add_parser(
            name,
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=examples(*shown, note=FROM_VARIABLES),
        )
        verb.set_defaults(handler=handlers[name])
        add_run(verb)
        if name in {"run", "submit", "collect"}:
            _add_patience(verb)
        if name in {"run", "prepare"}:
            add_parts(verb)
        if name == "run":
            verb.add_argument(
                "--pilot",
                action="store_true",
                help="one part first: only when it has ended well, and its outputs are verified, all others follow",
            )
        if name == "prepare":
            verb.add_argument(
                "--recorded",
                action="store_true",
                help="the framework has run already, in another CI job: make the plan of what it submitted",
            )
        if name == "cancel":
            add_cancel(verb)


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


# ── verbs ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _prepare(args: argparse.Namespace) -> int:
    from septum.stages import prepare

    with section("prepare", "prepare"):
        plan = prepare(options_of(args), say, only=args.parts, recorded=args.recorded)
        show_plan(plan)
    answer(summary_of(plan))
    return 0


def _recorder(args: argparse.Namespace) -> int:
    from septum.stages import lay_recorder

    options = options_of(args)
    lay_recorder(options)
    say(f"{options.state / RECORDER}: a condor_submit that records what the framework submits")
    answer({"recorder": str(options.state / RECORDER)})
    return 0


def _submit(args: argparse.Namespace) -> int:
    from septum.collect import SystemClock
    from septum.patience import foretell
    from septum.stages import submit

    options = options_of(args)
    if told := foretell(options.environ, local=options.cluster == LOCAL, now_s=time.time()):
        say(told)
    with section("submit", f"submit to {options.cluster}"):
        done = submit(options, say, SystemClock())
        _show_submitted(done)
    answer(
        {
            "run": done.receipt.tag,
            "cluster": done.receipt.cluster,
            "schedd": done.receipt.schedd,
            "new": done.new,
            "attached": done.attached,
            "waiting": done.waiting,
        }
    )
    return 0


def _show_submitted(done: Submitted, *, pilot: bool = False) -> None:
    attached = f", {done.attached} were there already" if done.attached else ""
    then = "the pilot has delivered" if pilot else "there is room"
    waiting = f", {done.waiting} follow when {then}" if done.waiting else ""
    say(f"{done.new} jobs submitted{attached}{waiting}; run {done.receipt.tag}")


def _collect(args: argparse.Namespace) -> int:
    from septum.collect import SystemClock
    from septum.merge.command import HandedOver
    from septum.patience import parse_hop
    from septum.stages import collect, is_collected

    options = _with_hand_over(options_of(args))
    hop = parse_hop(args.hop)
    if (hop is not None or options.hand_over == "back") and is_collected(options):
        here = f"hop {args.hop}: " if hop is not None else ""
        say(f"{here}an earlier one has collected the run; {options.result} holds its results")
        return _pass(options)
    try:
        with section("collect", f"collect from {options.cluster}"), following(options.state):
            collected = collect(options, say, SystemClock())
    except TimeUpError as left:
        if hop is None or hop.is_last:
            raise
        say(f"hop {args.hop}: {left.what.partition(': ')[2]} ({left.evidence})")
        answer({"ended": False, "says": left.what})
        return 0
    except HandedOver as handed:
        say(f"all parts are in; next the framework's own merge, in its image: sh '{handed.script}'; then collect again")
        answer({"ended": False, "says": "the framework's own merge is next", "script": str(handed.script)})
        return 0
    finally:
        _show_gitlab(options)
    return _show(collected, options)


def _with_hand_over(options: Options) -> Options:
    """With what the variable says of frameworks' own merges.

    Raises:
        UsageError: It says nothing that is known.
    """
    wish = options.environ.get("SEPTUM_HAND_OVER", "")
    if wish not in {"", "yes", "back"}:
        raise UsageError(
            f"SEPTUM_HAND_OVER is {wish[:40]!r}",
            fix="'yes' leaves frameworks' own merges to another CI job, 'back' takes up what it made; else unset it",
        )
    return replace(options, hand_over=wish)


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
            f"result: an earlier CI job has collected the run, and {options.result} does not hold what it published",
            evidence=f"{type(error).__name__}: {error}",
            fix="take the results from its artifact, or run a new pipeline",
        ) from error
    answer(_ended(manifest, options))
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

    options = replace(options_of(args), pilot=args.pilot)
    clock = SystemClock()
    with section("prepare", "prepare"):
        plan = prepare(options, say, only=args.parts)
        show_plan(plan)
        check_engines(plan, options)  # now rather than after hours of jobs
        retire_results(plan, options, say)
    with section("submit", f"submit to {options.cluster}"):
        _show_submitted(submit(options, say, clock), pilot=options.pilot)
    with section("collect", f"collect from {options.cluster}"), following(options.state):
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
        for result in outcome.results:
            if result.own is not None:
                say(f"{result.name}: {result.own.says()}")
    if missing:
        say("missing parts by cause: " + _causes(outcome))
    _show_comparison(collected, in_ci=options.environ.get("GITLAB_CI") == "true")
    say(f"the whole story: {options.result / 'report.html'}")
    answer(_ended(collected.finished.manifest, options))
    if collected.error is not None:
        raise collected.error
    return 0


def _ended(manifest: Manifest, options: Options) -> dict[str, Any]:
    """A run that has ended, for programs; the manifest says the rest."""
    return {
        "ended": True,
        "run": manifest.run,
        "complete": manifest.complete,
        "parts": len(manifest.parts),
        "missing": sorted({part for result in manifest.results for part in result.missing}),
        "results": [
            {name: getattr(result, name) for name in ("name", "file", "url", "size_b", "sha256")}
            for result in manifest.results
        ],
        "manifest": str(options.result / "septum.json"),
    }


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

    if args.pipeline or args.project or args.url or args.ref:
        return cancel_pipeline(args)
    removed = cancel(options_of(args), say)
    say(f"{removed} jobs removed")
    answer({"removed": removed})
    return 0
