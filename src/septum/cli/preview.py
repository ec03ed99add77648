"""`septum component preview`: what GitLab would run, without a server."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.parsing import examples
from septum.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from septum.preview.features import Version
    from septum.preview.pipeline import Pipeline
    from septum.preview.shelf import Shelf
    from septum.preview.situation import Situation

_NOTE = (
    "Here nothing is fetched: components of septum come from a checkout of it (--library DIR; that of this folder by "
    "default), or are those of the septum that is installed; others from --component ADDRESS=FILE, other files from "
    "--include ADDRESS=FILE."
)
_SOURCES = ("push", "merge_request_event", "schedule", "web", "api", "trigger", "parent_pipeline")
_BRANCH = "main"
_FEATURE = "feature"

_EXAMPLES = (
    ("septum component preview", "a push to the branch main, in this repository"),
    ("septum component preview --input cluster=infn-af --source web", "with an input, by hand"),
    ("septum component preview --merge-request --branch fix --yaml > expected.yml", "as one file"),
    ("septum component preview --component analysis --input wait=hops --input hops=3", "one component alone"),
)


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the action to the verb `component`."""
    action = actions.add_parser(
        "preview",
        help="show what GitLab would run: the CI jobs of a pipeline, from .gitlab-ci.yml and its inputs",
        description="Show the CI jobs that GitLab would make of a .gitlab-ci.yml and the components that it includes.",
        epilog=examples(*_EXAMPLES, note=_NOTE),
    )
    add = action.add_argument
    add("path", metavar="REPOSITORY", nargs="?", type=Path, default=Path(), help="or the pipeline's file in it")
    add("--input", metavar="NAME=VALUE", action="append", default=[], help="an input; lists and numbers as JSON")
    add("--source", choices=_SOURCES, help="what starts the pipeline (default: push)")
    on = action.add_mutually_exclusive_group()
    on.add_argument("--branch", metavar="NAME", help=f"of which branch (default: {_BRANCH})")
    on.add_argument("--tag", metavar="NAME", help="of which tag")
    add("--merge-request", action="store_true", help="the pipeline of a merge request; --branch is its source")
    add("--fork", metavar="PROJECT", default="", help="with --merge-request: it comes from this project")
    add("--open-merge-request", action="store_true", help="the branch has one: CI_OPEN_MERGE_REQUESTS is set")
    kept = action.add_mutually_exclusive_group()
    kept.add_argument("--protected", dest="protected", action="store_true", default=None, help="the ref is protected")
    kept.add_argument("--unprotected", dest="protected", action="store_false", help="it is not (default, but for main)")
    add("--variable", metavar="NAME=VALUE", action="append", default=[], help="a CI/CD variable of the project")
    add("--changed", metavar="FILE", action="append", help="a file that the push changes, for rules:changes")
    add("--gitlab", metavar="VERSION", help="version of the server, such as 17.0 (default: the newest known)")
    add("--server", metavar="NAME", help="CI_SERVER_FQDN (default: gitlab.cern.ch)")
    add("--project", metavar="PATH", help="CI_PROJECT_PATH (default: group/project)")
    add("--library", metavar="DIR", type=Path, help="a checkout of septum")
    add(
        "--component",
        metavar="NAME|ADDRESS=FILE",
        action="append",
        default=[],
        help="preview one component alone; or the file of a component that is included",
    )
    add("--include", metavar="ADDRESS=FILE", action="append", default=[], help="a file of another project or address")
    form = action.add_mutually_exclusive_group()
    form.add_argument("--yaml", dest="form", action="store_const", const="yaml", help="as one file without includes")
    form.add_argument("--json", dest="form", action="store_const", const="json", help="for programs")
    action.set_defaults(handler=show_preview)


def show_preview(args: argparse.Namespace) -> int:
    """Print the pipeline."""
    from septum.cli.console import say
    from septum.preview import text

    with tempfile.TemporaryDirectory(prefix="septum-preview-") as scratch:
        pipeline = _previewed(args, Path(scratch))
    if args.form == "yaml":
        sys.stdout.write(text.as_yaml(pipeline))
    elif not answer(json.loads(text.as_json(pipeline))):
        for line in text.as_lines(pipeline):
            say(line)
    return 0


def _previewed(args: argparse.Namespace, scratch: Path) -> Pipeline:
    from septum.preview.request import alone, main_file, preview

    situation = _situation(args)
    given = _pairs(args.input, "--input")
    names = [each for each in args.component if "=" not in each]
    if names:
        if len(names) > 1:
            raise UsageError(f"--component: only one alone, not {' and '.join(names)}")
        on = _shelf(args, args.path.resolve(), situation, scratch)
        return preview(alone(names[0], given, on, situation), {}, on, situation)
    source, folder = main_file(args.path)
    return preview(source, given, _shelf(args, folder, situation, scratch), situation)


def _situation(args: argparse.Namespace) -> Situation:
    from septum.preview.features import NEWEST
    from septum.preview.situation import PROJECT, SERVER, Situation
    from septum.preview.source import Variable

    merge_request = args.merge_request or args.source == "merge_request_event"
    if merge_request and args.tag:
        raise UsageError("a merge request has no tag", fix="give --branch, or leave out --merge-request")
    if args.fork and not merge_request:
        raise UsageError("--fork is for merge requests", fix="add --merge-request")
    if args.merge_request and args.source not in {None, "merge_request_event"}:
        raise UsageError(f"--merge-request and --source {args.source}: one of them", fix="leave one out")
    if args.open_merge_request and merge_request:
        raise UsageError(
            "--open-merge-request is for pipelines of branches and tags",
            evidence="the pipeline of a merge request has CI_OPEN_MERGE_REQUESTS without it",
            fix="leave it out",
        )
    ref = args.tag or args.branch or (_FEATURE if merge_request else _BRANCH)
    protected = args.protected if args.protected is not None else ref == _BRANCH and not merge_request and not args.tag
    return Situation(
        source="merge_request_event" if merge_request else args.source or "push",
        ref=ref,
        tag=args.tag is not None,
        fork=args.fork,
        open_merge_request=args.open_merge_request,
        protected=protected,
        project=args.project or PROJECT,
        server=args.server or SERVER,
        variables={name: Variable(value=value) for name, value in _pairs(args.variable, "--variable").items()},
        changes=None if args.changed is None else tuple(args.changed),
        gitlab=_version(args.gitlab) if args.gitlab else NEWEST,
    )


def _version(text: str) -> Version:
    from septum.preview.features import NEWEST, OLDEST, Version

    major, dot, minor = text.partition(".")
    if not dot or not (major + minor).isdecimal() or not Version(int(major), int(minor)) >= OLDEST:
        raise UsageError(
            f"--gitlab {text!r}: no version that is known here",
            evidence=f"known are {OLDEST} to {NEWEST}",
            fix=f"--gitlab {OLDEST}",
        )
    return Version(int(major), int(minor))


def _shelf(args: argparse.Namespace, folder: Path, situation: Situation, scratch: Path) -> Shelf:
    from septum.preview.shelf import Shelf
    from septum.rehearsing.shelf import RehearsalShelf, lay_library

    components = [each for each in args.component if "=" in each]
    checkout = _library(args.library)
    made = Shelf if checkout is not None else RehearsalShelf
    return made(
        folder=folder,
        project=situation.project,
        server=situation.server,
        library=checkout if checkout is not None else lay_library(scratch / "library"),
        components={name: Path(file) for name, file in _pairs(components, "--component").items()},
        files={name: Path(file) for name, file in _pairs(args.include, "--include").items()},
    )


def _library(given: Path | None) -> Path | None:
    """The checkout of septum that was named, else the one that this folder is in, if it is in one."""
    from septum.components.render import library_root

    if given is not None:
        return given.resolve()
    try:
        return library_root(Path.cwd())
    except UsageError:
        return None


def _pairs(texts: Sequence[str], option: str) -> Mapping[str, str]:
    found = {}
    for text in texts:
        # An address may hold an equals sign in its query, a file's name hardly does.
        name, equals, value = text.rpartition("=") if option == "--include" else text.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {text!r}: expected NAME=VALUE")
        found[name] = value
    return found
