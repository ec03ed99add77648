"""`septum sweep`: remove what is left on the cluster of this project's pipelines that have ended."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.cli.answer import answer
from septum.cli.console import say, section, table
from septum.cli.options import FROM_VARIABLES, add_cluster, overrides, preset
from septum.cli.parsing import examples
from septum.components import inputs
from septum.errors import UsageError

if TYPE_CHECKING:
    from septum.stages import Swept
    from septum.stages.sweep import Row

_DESCRIPTION = """\
Remove the jobs that this project's earlier pipelines left on the cluster: those whose pipeline has ended, says GitLab.
It is meant for a schedule. Jobs of other projects and of laptops, of pipelines that go on, and of pipelines that the
token cannot see are kept. GitLab is asked with SEPTUM_GITLAB_TOKEN (scope read_api, role Reporter), else with the job
token, which sees less."""
_HEADER = ("PIPELINE", "STATUS", "IDLE", "RUNNING", "HELD", "ENDED", "JOBS", "WHY")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "sweep",
        help="remove the jobs that this project's ended pipelines left on the cluster",
        description=_DESCRIPTION,
        epilog=examples(
            ("septum sweep --cluster infn-af --dry-run", "what would go, and why"),
            ("septum sweep --cluster infn-af", "remove it; meant for a schedule"),
            ("septum sweep --cluster infn-af --keep-outputs '3 d'", "with more time to retry a pipeline"),
            note=FROM_VARIABLES,
        ),
    )
    verb.set_defaults(handler=_sweep)
    add_cluster(verb)
    add = verb.add_argument
    add(
        "--keep-outputs",
        metavar="TIME",
        default=preset(inputs.KEEP_OUTPUTS),
        help="keep outputs that nobody fetched so long after the pipeline's end, for a retry (default: 1 d) "
        "[SEPTUM_KEEP_OUTPUTS]",
    )
    add(
        "--dry-run",
        action="store_true",
        default=preset(inputs.ACTION) == inputs.SHOW,
        help="show what would go, and remove nothing [SEPTUM_ACTION=show]",
    )


def _sweep(args: argparse.Namespace) -> int:
    from septum.forge import JOB_TOKEN, TOKEN
    from septum.stages import Options, sweep
    from septum.units import parse_duration

    try:
        keep_outputs_s = parse_duration(args.keep_outputs)
    except ValueError as error:
        raise UsageError(f"--keep-outputs: {error}", fix="for instance: --keep-outputs '12 h'") from None
    options = Options(config=Path(args.config), cluster=args.cluster, overrides=overrides(args.set))
    for name in (TOKEN, JOB_TOKEN):
        os.environ.pop(name, None)  # what others start has no use for them
    with section("sweep", f"sweep {options.cluster}"):
        swept = sweep(options, say, keep_outputs_s=keep_outputs_s, dry_run=args.dry_run, now_s=time.time())
    _show(swept, dry_run=args.dry_run, with_token=bool(options.environ.get(TOKEN)))
    answer(_to_data(swept, dry_run=args.dry_run))
    if swept.error is not None:
        raise swept.error
    return 0


def _show(swept: Swept, *, dry_run: bool, with_token: bool) -> None:
    from septum.forge import TOKEN
    from septum.stages.pipelines import TOKEN_FIX
    from septum.units import count

    if swept.rows:
        table([_HEADER, *(_cells(row, dry_run=dry_run) for row in swept.rows)])
    if swept.strange:
        say(
            f"{count(len(swept.strange), 'job')} with a tag that septum did not write: kept, such as "
            f"{swept.strange[0].shown}"
        )
    if swept.error is None and any(row.decision.undecided for row in swept.rows):
        say(f"{TOKEN} does not see all pipelines" if with_token else f"To see more pipelines, {TOKEN_FIX}")
    gone = sum(len(row.decision.goes) - row.left for row in swept.rows)
    kept = sum(len(row.decision.jobs) for row in swept.rows) - gone
    say(f"{count(gone, 'job')} {'would be removed' if dry_run else 'removed'}, {kept} kept")


def _to_data(swept: Swept, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "pipelines": [
            {
                "pipeline": str(row.decision.pipeline),
                "status": row.decision.status,
                "jobs": len(row.decision.jobs),
                "goes": len(row.decision.goes),
                "left": row.left,
                "why": row.decision.why,
            }
            for row in swept.rows
        ],
        "strange": len(swept.strange),
    }


def _cells(row: Row, *, dry_run: bool) -> tuple[str, ...]:
    from septum.states import JobState

    decision = row.decision
    states = (JobState.IDLE, JobState.RUNNING, JobState.HELD, JobState.ENDED)
    gone, total = len(decision.goes) - row.left, len(decision.jobs)
    became = [f"{gone} {'would go' if dry_run else 'removed'}"] * bool(gone)
    became += [f"{row.left} did not go"] * bool(row.left)
    became += [f"{total - len(decision.goes)} kept"] * (total > len(decision.goes))
    why = f"{decision.why}; {row.words}" if row.words else decision.why
    numbers = (str(decision.number_of(state)) for state in states)
    return (str(decision.pipeline), decision.status, *numbers, ", ".join(became), " ".join(why.split()))
