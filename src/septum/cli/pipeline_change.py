"""`septum retry`, and `septum cancel --pipeline`: what changes a pipeline of GitLab, shown before, and confirmed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.asking import confirmed
from septum.cli.console import complain, say, table
from septum.cli.parsing import examples
from septum.cli.pipeline_door import EVERY, add_place, following, opened, seconds
from septum.errors import LeftBehindError, NotOnGitlabError, TryAgainError, UsageError

if TYPE_CHECKING:
    from septum.watching.door import Door
    from septum.watching.model import CiJob, View
    from septum.watching.watch import Watch

_RETRY = """\
Start the CI jobs of a pipeline again that failed or were cancelled; all of them, or those that are named. It is shown
before what that does to the jobs on the cluster. Nothing is submitted twice: submit finds the jobs that are there, and
collect goes on where the last one stood. The token is SEPTUM_GITLAB_TOKEN (scope api, role Developer)."""
_END_S = 600.0
"""How long a cancelled CI job may take: GitLab gives its last lines five minutes."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `retry` to the command line."""
    verb = subparsers.add_parser(
        "retry",
        help="start CI jobs of a pipeline again that failed or were cancelled",
        description=_RETRY,
        epilog=examples(
            ("septum retry", "what failed in the newest pipeline of this branch"),
            ("septum retry --pipeline 98701 --yes", "without a question"),
            ("septum retry septum-submit septum-collect", "these CI jobs, also if one has passed"),
        ),
    )
    verb.set_defaults(handler=_retry)
    add_place(verb)
    verb.add_argument("jobs", metavar="JOB", nargs="*", help="names or numbers of CI jobs (default: all that failed)")
    verb.add_argument("--yes", action="store_true", help="ask nothing")


# ── retry ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _retry(args: argparse.Namespace) -> int:
    from septum.collect import SystemClock
    from septum.compare.verdicts import printable
    from septum.watching.acts import what_retry_does, with_submits
    from septum.watching.watch import Watch

    with opened(args) as (door, number):
        view = Watch(door, number, SystemClock()).look()
        chosen = _chosen(view, args.jobs)
        jobs = chosen if args.jobs else with_submits(view, chosen)
        table([(printable(job.name, 60), job.status, what_retry_does(view, job)) for job in jobs])
        if not confirmed(f"Start {'them' if len(jobs) > 1 else 'it'} again?", yes=args.yes):
            say("nothing was changed")
            return 0
        again = _again(door, number, jobs, all_of_them=not args.jobs and jobs == chosen)
    say(f"{again}; follow it: septum status {door.place.named} --pipeline {number}")
    answer({"project": door.place.project, "pipeline": number, "retried": [job.name for job in jobs]})
    return 0


def _chosen(view: View, names: Sequence[str]) -> Sequence[CiJob]:
    """The CI jobs that are to start again.

    Raises:
        NotOnGitlabError: One that was named is not there.
        UsageError: There is nothing to retry.
    """
    from septum.watching.acts import retryable
    from septum.watching.show import status

    if not names:
        found = retryable(view)
        if not found:
            raise UsageError(
                f"retry: no CI job of pipeline {view.pipeline.id} has failed or was cancelled: it is {status(view)}",
                fix="name the CI jobs that are to run again, such as: septum retry septum-submit septum-collect",
            )
        return found
    for name in names:
        known = [job for job in view.jobs if name in {job.name, str(job.id)}]
        if not known:
            raise NotOnGitlabError(
                f"gitlab: pipeline {view.pipeline.id} has no CI job {name[:60]!r}",
                fix="septum status --once shows them",
            )
        if known[-1].status not in {"success", "failed", "canceled"}:
            raise UsageError(
                f"retry: the CI job {name[:60]} is {known[-1].status}, and cannot start again",
                fix="wait until it has ended: septum status",
            )
    return [job for job in view.jobs if {job.name, str(job.id)} & set(names)]


def _again(door: Door, number: int, jobs: Sequence[CiJob], *, all_of_them: bool) -> str:
    """Start them; what was done, in words.

    Raises:
        SeptumError: GitLab refused, or did not answer; which of them were started before stands on standard error.
    """
    if all_of_them:
        door.retry(number)
        return f"{len(jobs)} CI job{'s start' if len(jobs) > 1 else ' starts'} again"
    done: list[str] = []
    try:
        for job in jobs:
            door.retry_job(job.id)
            done.append(job.name)
    except Exception:
        if done:
            complain(f"these start again already: {', '.join(done)}")
        raise
    return f"{', '.join(done)} start{'s' * (len(done) == 1)} again"


# ── cancel ──────────────────────────────────────────────────────────────────────────────────────────────────────


def add_cancel(verb: argparse.ArgumentParser) -> None:
    """Add the options of `septum cancel` for a pipeline of GitLab."""
    add_place(verb, pipeline="")
    verb.add_argument("--yes", action="store_true", help="cancel a pipeline without a question")


def cancel_pipeline(args: argparse.Namespace) -> int:
    """Cancel a pipeline, and wait until its CI jobs have removed their jobs from the cluster.

    Raises:
        LeftBehindError: A CI job said that it could not.
        TryAgainError: They have not ended in time.
    """
    from septum.collect import SystemClock
    from septum.watching.acts import left_by, to_sweep, would_cancel
    from septum.watching.show import document, headline
    from septum.watching.watch import Watch

    args.pipeline = args.pipeline or "latest"
    with opened(args) as (door, number):
        watch = Watch(door, number, SystemClock())
        before = watch.look()
        say(headline(before, door.place))
        if before.pipeline.ended:
            say("it has ended already: there is nothing to cancel")
            answer(document(before, door.place))
            return 0
        for line in would_cancel(before):
            say(f"  {line}")
        if not confirmed("Cancel it?", yes=args.yes):
            say("nothing was changed")
            return 0
        door.cancel(number)
        say("cancelled; its CI jobs remove their jobs from the cluster, which takes up to five minutes")
        with following(door, number, cancelled=True):
            now = _wait(watch, before)
    left = left_by(before, now)
    for line in left.lines:
        say(line)
    if rest := to_sweep(left):
        say(rest)
    answer({**document(now, door.place), "certain": left.certain, "left": list(left.lines)})
    if any("may be left" in line for line in left.lines):
        raise LeftBehindError("cancel: jobs may be left on the cluster", evidence="\n".join(left.lines), fix=rest)
    return 0


def _wait(watch: Watch, before: View) -> View:
    from septum.cli.pipeline_table import AsLines
    from septum.collect import SystemClock
    from septum.watching.watch import follow

    clock = SystemClock()
    until_s = clock.now() + _END_S
    shown = AsLines(watch.door.place, EVERY, before)

    def is_over(view: View) -> bool:
        if view.pipeline.ended and not any(job.going for job in view.jobs):
            return True
        if clock.now() > until_s:
            raise TryAgainError(
                f"cancel: the CI jobs of pipeline {view.pipeline.id} have not ended within {_END_S / 60:.0f} min",
                evidence=", ".join(f"{job.name}: {job.status}" for job in view.jobs if job.going),
                fix="look again: septum status",
            )
        return False

    return follow(watch, clock=clock, every_s=seconds(EVERY), show=shown.show, warn=shown.warn, until=is_over)
