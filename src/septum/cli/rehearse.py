"""`septum rehearse`: the pipeline of a repository on this machine, with a pool of its own and no GitLab."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from septum.cli.answer import answer
from septum.cli.console import is_terminal, say, table, without_secrets
from septum.cli.parsing import examples
from septum.errors import UsageError

if TYPE_CHECKING:
    from septum.rehearsing.lines import Event
    from septum.rehearsing.reading import Read
    from septum.rehearsing.stage import Play, Played

_DESCRIPTION = """\
Run the pipeline of a repository on this machine: its own .gitlab-ci.yml, the working tree as it is, and a pool with a
token issuer and proxies in the place of the clusters that it names.

It needs Linux with apt-get, dpkg-deb, git and user namespaces, but neither root nor a cluster nor GitLab. The first
time it downloads some 200 MB, into the cache folder (SEPTUM_CACHE, or septum in XDG_CACHE_HOME, or ~/.cache/septum).
It writes there, and into the folder of --result, and nowhere else. CI jobs and parts have the software of this machine,
and no containers."""
_NAMED = 5
_MASKED = 8
"""Characters from which on GitLab can mask a variable in logs; here all of that length are."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "rehearse",
        help="run this repository's pipeline on this machine, with a pool of its own",
        description=_DESCRIPTION,
        epilog=examples(
            ("septum rehearse", "the pipeline that a push would start"),
            ("septum rehearse --cluster cern-lxbatch", "with another choice on 'Run pipeline'"),
            ("septum rehearse --jobs septum-prepare", "one CI job, and what it needs"),
            ("septum rehearse --keep --log", "all that CI jobs print, and all files"),
            note="A CI job that fails with an error of septum ends the rehearsal with the exit code of that error.",
        ),
    )
    verb.set_defaults(handler=_rehearse)
    add = verb.add_argument
    add("path", metavar="REPOSITORY", nargs="?", type=Path, default=Path(), help="or this folder")
    add("--cluster", metavar="NAME", help="the same as --input cluster=NAME")
    add("--input", metavar="NAME=VALUE", action="append", default=[], help="an input of the pipeline; lists as JSON")
    add("--jobs", metavar="NAME", nargs="+", default=[], help="only these CI jobs, and those that they need")
    add("--variable", metavar="NAME[=VALUE]", action="append", default=[],
        help="a CI/CD variable of the project; without a value that of this shell, so that no command line has a "
        "secret")  # fmt: skip
    add("--component", metavar="ADDRESS=FILE", action="append", default=[], help="a component that is not septum's")
    add("--include", metavar="ADDRESS=FILE", action="append", default=[], help="a file of another project or address")
    add("--result", metavar="DIR", type=Path, help="where the results go (default: result, in the repository)")
    add("--keep", action="store_true", help="leave all that was written, and say where it is")
    add("--log", action="store_true", help="print what the CI jobs print")


def _rehearse(args: argparse.Namespace) -> int:
    from septum.facility.facility import temporary_folder
    from septum.rehearsing.reading import Wish, read
    from septum.rehearsing.result import check_target
    from septum.rehearsing.stage import check_machine, rehearse

    wish = Wish(
        repository=args.path,
        inputs=_pairs(args.input, "--input"),
        cluster=args.cluster,
        jobs=args.jobs,
        variables=_variables(args.variable),
        components={name: Path(file) for name, file in _pairs(args.component, "--component").items()},
        includes={name: Path(file) for name, file in _pairs(args.include, "--include").items()},
    )
    with _facility_errors(), temporary_folder() as scratch:
        found = read(wish, scratch / "library")
    folder = args.path if args.path.is_dir() else found.folder
    target = args.result or folder / "result"
    check_target(target)
    check_machine()
    play = _play(wish, found, folder, target, keep=args.keep)
    _announce(play)
    with _board(log=args.log) as board:
        board.note("starting the pool and its issuer; the first time this downloads some 200 MB")
        played = rehearse(play, board.take, lambda: board.note("the pool is ready; the pipeline begins"))
    _show(play, played)
    answer(_document(play, played))
    if played.error is not None:
        raise played.error
    return 0


def _play(wish: Any, found: Read, folder: Path, target: Path, *, keep: bool) -> Play:
    from septum.rehearsing.stage import Play

    return Play(
        repository=folder,
        pipeline=found.pipeline,
        text=found.text,
        needs=found.needs,
        profiles=found.profiles,
        jobs=wish.jobs,
        variables=wish.variables,
        result=target,
        keep=keep,
    )


@contextlib.contextmanager
def _facility_errors() -> Iterator[None]:
    """A cache folder that cannot be made is a mistake of the settings."""
    from septum.facility import FacilityError

    try:
        yield
    except FacilityError as error:
        raise UsageError(f"rehearse: {error.what}", evidence=error.evidence, fix=error.fix) from error


def _pairs(texts: Sequence[str], option: str) -> Mapping[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.rpartition("=") if option == "--include" else text.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {text!r}: expected NAME=VALUE", fix=f"septum rehearse {option} name=value")
        found[name] = value
    return found


def _variables(texts: Sequence[str]) -> Mapping[str, str]:
    from septum.credentials.redact import KNOWN

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name.isidentifier():
            raise UsageError(f"--variable {name[:40]!r}: that is no name of a variable", fix="--variable NAME")
        if not equals and name not in os.environ:
            raise UsageError(
                f"--variable {name}: this shell has no such variable",
                fix=f"export {name}=…    # or: read -rs {name}; export {name}",
            )
        found[name] = value if equals else os.environ[name]
        if len(found[name]) >= _MASKED:
            KNOWN.add(found[name])
    return found


# ── what is said ────────────────────────────────────────────────────────────────────────────────────────────────


def _announce(play: Play) -> None:
    import septum
    from septum.preview.text import told

    needs = play.needs
    say(f"rehearsal of {told(play.pipeline.situation)}: {', '.join(job.name for job in play.pipeline.jobs)}")
    if any(each.kind == "component" for each in play.pipeline.inclusions):
        say(f"  components of septum: those of septum {septum.__version__}, which is installed")
    for profile in play.profiles:
        say(f"  cluster {profile.name}: nothing goes there; a pool on this machine takes its place")
    for image in needs.images:
        say(f"  image {image}: not used; CI jobs and parts have the software of this machine")
    for name, jobs in needs.unset.items():
        if name not in play.variables:
            say(f"  variable {name}: not set here, and used by {_some(jobs)}: --variable {name}")
    for text, jobs in (
        ("not run, since they wait for a click", needs.by_hand),
        ("not run, since they start another pipeline", needs.others),
        ("without their services, which are containers", needs.services),
        ("begun at once, and in GitLab later", needs.delayed),
    ):
        if jobs:
            say(f"  {text}: {_some(jobs)}")
    for warning in play.pipeline.warnings:
        say(f"  warning: {warning}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _show(play: Play, played: Played) -> None:
    from septum.units import show_duration

    say("")
    ended = {end.job for end in played.ends}
    rows = [(end.job, end.ended.value if end.ended else "", end.took) for end in played.ends]
    chosen = play.jobs or [job.name for job in play.pipeline.jobs]
    rows += [(name, "did not run", "") for name in chosen if name not in ended]
    table(rows)
    for line in _results(played.results):
        say(line)
    if played.kept is not None:
        say(f"kept: {played.kept}    # remove it when you are done")
    say(
        f"took {show_duration(played.seconds)}: {show_duration(played.ready_s)} until the pool was ready, "
        f"{show_duration(played.seconds - played.ready_s)} for the pipeline"
    )


def _results(results: Mapping[str, Path]) -> Iterator[str]:
    """What is in each result folder, by its manifest."""
    from septum.manifest import NAME, from_json
    from septum.rehearsing.result import REPORT
    from septum.units import show_size

    for folder in results.values():
        try:
            manifest = from_json((folder / NAME).read_text(encoding="utf-8"), name=NAME)
        except (OSError, ValueError, KeyError):
            continue
        whole = "" if manifest.complete else ", labelled partial"
        for result in manifest.results:
            yield f"{folder / result.file}  {show_size(result.size_b)}  sha256 {result.sha256[:16]}…{whole}"
        yield f"the whole story: {folder / REPORT}"


def _document(play: Play, played: Played) -> dict[str, Any]:
    return {
        "rehearsal": True,
        "clusters": [profile.name for profile in play.profiles],
        "jobs": [
            {"name": end.job, "ended": end.ended.value if end.ended else "", "exit_code": end.exit_code}
            for end in played.ends
        ],
        "results": {name: str(folder) for name, folder in played.results.items()},
        "kept": None if played.kept is None else str(played.kept),
        "ready_s": round(played.ready_s, 1),
        "seconds": round(played.seconds, 1),
    }


# ── while it goes on ────────────────────────────────────────────────────────────────────────────────────────────


class _Board(Protocol):
    """Shows how far the CI jobs are."""

    def note(self, text: str) -> None:
        """Something about the whole."""

    def take(self, event: Event) -> None:
        """Something happened to a CI job."""


class _Lines:
    """A line when a CI job begins, and one when it has ended."""

    def __init__(self, *, log: bool) -> None:
        self._log = log

    def note(self, text: str) -> None:
        say(text)

    def take(self, event: Event) -> None:
        if event.said is not None:
            if self._log:
                say(f"  {event.job} | {event.said}")
        elif event.ended is None:
            say(f"  {event.job}: begun")
        else:
            say(f"  {event.job}: {_verdict(event)} after {event.took}")


def _verdict(event: Event) -> str:
    if event.ended is None:
        return "runs"
    code = "" if event.exit_code is None else f" with exit code {event.exit_code}"
    return f"{event.ended.value}{code}"


@contextlib.contextmanager
def _board(*, log: bool) -> Iterator[_Board]:
    """Lines; on a terminal also a line at its end that says what goes on now, if the library for it is there."""
    lines = _Lines(log=log)
    if log or not is_terminal(sys.stdout, os.environ):
        yield lines
        return
    try:
        from rich.console import Console
        from rich.status import Status
    except ImportError:
        yield lines
        return
    with Status("", console=Console(highlight=False, markup=False)) as status:
        yield _Live(lines, status.update)


class _Live:
    """The same lines, and below them what the CI jobs that run said last."""

    def __init__(self, lines: _Lines, update: Callable[[str], None]) -> None:
        self._lines, self._update = lines, update
        self._now: dict[str, str] = {}

    def note(self, text: str) -> None:
        self._lines.note(text)
        self._draw(text)

    def take(self, event: Event) -> None:
        if event.said is not None or event.ended is None:
            self._now[event.job] = event.said or "begun"
        else:
            self._now.pop(event.job, None)
        self._lines.take(event)
        self._draw("; ".join(f"{job}: {said}" for job, said in self._now.items()) or "bringing the results")

    def _draw(self, text: str) -> None:
        from rich.text import Text

        from septum.compare.verdicts import printable

        self._update(Text(printable(without_secrets(text)), no_wrap=True, overflow="ellipsis"))  # type: ignore[arg-type]
