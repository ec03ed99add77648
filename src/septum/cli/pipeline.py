"""`septum status | logs`: a pipeline of GitLab from the laptop. What changes one stands in `pipeline_change`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli import pipeline_change
from septum.cli.answer import answer, is_asked
from septum.cli.console import complain, has_colour, say, without_secrets
from septum.cli.options import preset
from septum.cli.parsing import examples
from septum.cli.pipeline_door import EVERY, add_place, following, opened, seconds
from septum.components import inputs
from septum.errors import NotOnGitlabError, TryAgainError, UsageError

if TYPE_CHECKING:
    from septum.watching.door import Door, Mark
    from septum.watching.model import CiJob, View
    from septum.watching.trace import Line, Lines

_STATUS = """\
Show how a pipeline of GitLab stands: its CI jobs, where the parts are, and in the end the result. On a terminal the
table renews itself until the pipeline has ended; in a pipe there is one line for each change. Without options it is
the newest pipeline of the branch, or the commit, that is checked out here. The token is SEPTUM_GITLAB_TOKEN (scope
read_api, role Reporter); without it, septum asks for it."""
_LOGS = """\
Show the log of a CI job, without GitLab's markers, and without colours where nobody can see them. Without a name it is
the one that failed, else the one that runs. With --part it is what a part that failed wrote, out of the artifact of
the CI job that collected it. The token is SEPTUM_GITLAB_TOKEN (scope read_api, role Reporter; Developer for --part)."""
_NOT_OVER = TryAgainError.exit_code
_LARGEST_DOCUMENT = 16 << 20
_LARGEST_LOG_B = 16 << 20


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to the command line."""
    verb = subparsers.add_parser(
        "status",
        help="show how a pipeline of GitLab stands, until it has ended",
        description=_STATUS,
        epilog=examples(
            ("septum status", "the newest pipeline of this branch, until it ends"),
            ("septum status --once --pipeline 98701", "a look at that one; 75 if it has not ended"),
            ("septum status --json", "the same for programs: .analyses has the parts"),
            ("septum status --project my-group/dimuon", "the newest pipeline of another project"),
            note="Exit code 0 means that it passed, 26 failed, 27 cancelled, 75 that it has not ended.",
        ),
    )
    verb.set_defaults(handler=_status)
    add_place(verb)
    verb.add_argument("--once", action="store_true", help="one look, and no more; --json does that, too")
    verb.add_argument("--every", metavar="TIME", default=EVERY, help=f"time between two looks (default: {EVERY})")
    verb = subparsers.add_parser(
        "logs",
        help="show the log of a CI job, or of a part that failed",
        description=_LOGS,
        epilog=examples(
            ("septum logs", "the CI job that failed, else the one that runs"),
            ("septum logs septum-collect --follow", "as it comes"),
            ("septum logs --tail 50 --pipeline 98701", "the last 50 lines"),
            ("septum logs --part 0007", "what the command of that part wrote"),
        ),
    )
    verb.set_defaults(handler=_logs)
    add_place(verb)
    add = verb.add_argument
    add("job", metavar="JOB", nargs="?", default="", help="name or number of a CI job")
    add("--follow", action="store_true", help="go on until the CI job has ended")
    add("--tail", metavar="N", default="", help="the last N lines alone")
    add("--part", metavar="ID", default="", help="the log of a part that failed, such as 0007")
    add("--result", metavar="DIR", default=preset(inputs.RESULT), help="result folder in the artifact [SEPTUM_RESULT]")
    pipeline_change.register(subparsers)


# ── status ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _status(args: argparse.Namespace) -> int:
    from septum.cli.pipeline_table import show_once, showing
    from septum.collect import SystemClock
    from septum.watching.show import document, error_of, results
    from septum.watching.watch import Watch, follow

    every_s = seconds(args.every)
    with opened(args) as (door, number), following(door, number):
        clock = SystemClock()
        watch = Watch(door, number, clock)
        if args.once or is_asked(args):
            view = watch.look()
            show_once(view, door.place)
        else:
            with showing(door.place, args.every) as shown:
                view = follow(watch, clock=clock, every_s=every_s, show=shown.show, warn=shown.warn)
    for line in results(view):
        say(line)
    answer(document(view, door.place))
    if (error := error_of(view, door.place)) is not None:
        raise error
    return 0 if view.pipeline.ended else _NOT_OVER


# ── logs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _logs(args: argparse.Namespace) -> int:
    with opened(args) as (door, number):
        view = _jobs(door, number)
        if args.part:
            return _part(door, view, args)
        job = _chosen(view, args.job)
        with following(door, number) if args.follow else contextlib.nullcontext():
            return _log(door, number, job, args)


def _jobs(door: Door, number: int) -> View:
    from septum.watching.model import View

    pipeline, jobs = door.jobs(number)
    return View(pipeline=pipeline, jobs=jobs)


def _chosen(view: View, name: str) -> CiJob:
    """The CI job that is meant.

    Raises:
        NotOnGitlabError: There is none.
    """
    from septum.compare.verdicts import printable
    from septum.watching.model import analyses

    if name:
        found = [job for job in view.jobs if name in {job.name, str(job.id)}]
    else:
        tellers = [analysis.teller for analysis in analyses(view.jobs)]
        ran = [job for job in view.jobs if job.seconds is not None]
        found = [
            job for job in (view.culprit, *tellers, *(job for job in ran if job.going), *ran[-1:]) if job is not None
        ]
        found = found[:1]
    if found:
        return found[-1]
    names = ", ".join(printable(job.name, 60) for job in view.jobs[:20]) or "none"
    asked = f"CI job {printable(name, 60)!r}" if name else "CI job that has begun"
    raise NotOnGitlabError(
        f"gitlab: pipeline {view.pipeline.id} has no {asked}",
        evidence=f"its CI jobs: {names}",
        fix="septum status --once shows them",
    )


def _log(door: Door, number: int, job: CiJob, args: argparse.Namespace) -> int:
    from septum.watching.model import AHEAD

    tail = _count(args.tail) if args.tail else None
    coloured = has_colour(sys.stdout, os.environ)
    looks = _looks(door, number, job, follow=args.follow)
    if is_asked(args):
        return _document(door, number, job, (line for look in looks for line in look), tail)
    empty = True
    for look in looks:
        # The end of what is there now; what comes later comes whole.
        for line in look if tail is None else deque(look, maxlen=tail):
            empty = False
            if not _write((line.coloured if coloured else line.text) + "\n"):
                return 0
        tail = None
        if not _write("", flush=True):
            return 0
    if empty:
        complain(f"{job.name}: {'it has not begun' if job.status in AHEAD else 'there is no log'} ({job.status})")
    return 0


def _looks(door: Door, number: int, job: CiJob, *, follow: bool) -> Iterator[Iterator[Line]]:
    """The lines of a log, look by look; of one that grows until its CI job has ended."""
    from septum.collect import SystemClock
    from septum.watching.door import Mark
    from septum.watching.model import AHEAD
    from septum.watching.trace import Lines
    from septum.watching.watch import RATE_B_S

    mark, lines, clock = Mark(), Lines(), SystemClock()
    while True:
        is_last = not follow or not (job.going or job.status in AHEAD)
        yield _new_lines(door, job, mark, lines, is_last=is_last)
        if is_last:
            return
        clock.sleep(max(seconds(EVERY), mark.sent / RATE_B_S))
        door.close()
        job = next((found for found in _jobs(door, number).jobs if found.id == job.id), job)


def _new_lines(door: Door, job: CiJob, mark: Mark, lines: Lines, *, is_last: bool) -> Iterator[Line]:
    from septum.watching.model import AHEAD

    if job.status not in AHEAD:
        for piece in door.more(job.id, mark):
            yield from lines.feed(piece)
    if is_last:
        yield from lines.close()


def _document(door: Door, number: int, job: CiJob, lines: Iterator[Line], tail: int | None) -> int:
    texts: deque[str] = deque(maxlen=tail)
    size, cut = 0, False
    for line in lines:
        size += len(line.text) + 1
        if size > _LARGEST_DOCUMENT and tail is None:
            cut = True
            break
        texts.append(line.text)
    told = {"id": job.id, "name": job.name, "status": job.status, "url": job.url}
    answer({"project": door.place.project, "pipeline": number, "job": told, "lines": list(texts), "cut": cut})
    return 0


def _count(text: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < len(text) < 9:  # noqa: PLR2004 - a number of lines
        return int(text)
    raise UsageError(f"--tail {text[:40]!r}: expected a number of lines", fix="--tail 50")


def _write(text: str, *, flush: bool = False) -> bool:
    """Write to standard output; whether somebody still reads."""
    try:
        sys.stdout.write(without_secrets(text))
        if flush:
            sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        return False
    return True


# ── a part ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _part(door: Door, view: View, args: argparse.Namespace) -> int:
    """Show what a part that failed wrote: two files of the artifact, and not the whole of it."""
    from septum.publish import LOGS, MAX_LOGS

    part = _part_id(args.part)
    tried = []
    for job in _collectors(view, args.job):
        found = _files_of(door, job, part, args.result)
        if found:
            return _show_files(door, view, job, part, found)
        tried.append(job.name)
    raise NotOnGitlabError(
        f"gitlab: pipeline {view.pipeline.id} has no log of part {part}",
        evidence=f"looked in {Path(args.result) / LOGS} of: {', '.join(tried) or 'no CI job with an artifact'}",
        fix=f"only parts that failed have one there, the first {MAX_LOGS}; the folder's name is the input 'result': "
        "--result DIR",
    )


def _part_id(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) < 12):  # noqa: PLR2004 - no plan has more parts
        raise UsageError(f"--part {text[:40]!r}: expected the id of one part", fix="--part 0007")
    return text.zfill(4)


def _collectors(view: View, name: str) -> Sequence[CiJob]:
    """The CI jobs whose artifact may hold the logs of parts, the likeliest first."""
    from septum.watching.model import analyses

    if name:
        return [_chosen(view, name)]
    found = [job for analysis in analyses(view.jobs) for job in analysis.collectors if job.has_artifact]
    return sorted(found, key=lambda job: job.status != "failed")


def _files_of(door: Door, job: CiJob, part: str, result: str) -> dict[str, bytes]:
    from septum.publish import LOGS
    from septum.worker.sandbox import log_names

    folder = Path(result)
    if folder.is_absolute() or ".." in folder.parts:
        raise UsageError(f"--result {result[:80]!r}: expected a folder in the artifact", fix="--result result")
    paths = [(folder / LOGS / name).as_posix() for name in log_names(part)]
    found = ((path, door.file(job.id, path, limit_b=_LARGEST_LOG_B)) for path in paths)
    return {path: data for path, data in found if data is not None}


def _show_files(door: Door, view: View, job: CiJob, part: str, files: dict[str, bytes]) -> int:
    from septum.watching.trace import Lines

    texts = {}
    for path, data in files.items():
        lines = Lines()
        texts[path] = [line.text for line in (*lines.feed(data), *lines.close())]
    told = {"project": door.place.project, "pipeline": view.pipeline.id, "job": job.name, "part": part, "files": texts}
    if answer(told):
        return 0
    for path, shown in texts.items():
        say(f"── {path} of {job.name}")
        for text in shown:
            if not _write(text + "\n"):
                return 0
    return 0
