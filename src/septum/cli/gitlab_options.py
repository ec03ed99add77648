"""The options of `septum gitlab`, and what they mean: which project, how it should be, and the token."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.cli.asking import confirmed, is_person, secretly
from septum.errors import UsageError

if TYPE_CHECKING:
    from septum.credentials.secret import Secret
    from septum.gitlab.repository import Pipeline
    from septum.gitlab.wanted import Schedule, Variable, Wanted
    from septum.watching.here import Wish
    from septum.watching.place import Place

_CERN = "https://gitlab.cern.ch"
_SHORTEST_S, _LONGEST_S = 600, 30 * 24 * 3600


def add_place(verb: argparse.ArgumentParser) -> None:
    """Add the options that say which project, and with what token."""
    add = verb.add_argument
    add("--project", metavar="GROUP/NAME", default="", help="the project, or its address (default: the remote origin)")
    add("--url", metavar="URL", default="", help=f"GitLab's address (default: that of origin, else {_CERN})")
    add("--token-file", metavar="FILE", type=Path, help="the file that holds the token")
    add("--ca-file", metavar="FILE", default="", help="authorities that are trusted beside the system's")
    add("--root", metavar="DIR", type=Path, default=Path(), help="the repository (default: this folder)")


def add_wishes(verb: argparse.ArgumentParser) -> None:
    """Add the options that say how the project should be."""
    add = verb.add_argument
    add("--ci-file", metavar="FILE", default=".gitlab-ci.yml", help="the file of the pipeline (default: %(default)s)")
    add(
        "--cluster",
        metavar="NAME",
        action="append",
        default=[],
        help="a cluster whose credentials are needed (default: those in the file of the pipeline)",
    )
    add(
        "--elsewhere",
        metavar="NAME",
        action="append",
        default=[],
        help="this variable comes from elsewhere, such as the group or Vault",
    )
    add("--branch", metavar="NAME", default="", help="the branch to protect (default: the project's default branch)")
    add("--tag", metavar="PATTERN", action="append", default=[], help="tags to protect (default: v*)")
    add("--timeout", metavar="TIME", default="6 h", help="the least time limit of a CI job (default: %(default)s)")
    add("--sweep", metavar="CRON", default="", help="when 'septum sweep' runs, in UTC (default: 43 4 * * *)")
    add("--nightly", metavar="CRON", default="", help="run the pipeline by a schedule, too; in UTC")
    add(
        "--schedule-input",
        metavar="WHICH:NAME=VALUE",
        action="append",
        default=[],
        help="an input of the pipelines of the schedule sweep or nightly; VALUE is JSON, or a text",
    )
    add("--description", metavar="TEXT", default="", help="the project's description")
    add("--component-project", action="store_true", help="the project offers components in the CI/CD catalog")


def add_doing(verb: argparse.ArgumentParser) -> None:
    """Add the options of who changes something."""
    add = verb.add_argument
    add(
        "--value",
        metavar="NAME=@FILE",
        action="append",
        default=[],
        help="read the value of a variable from a file; NAME=- for standard input",
    )
    add("--replace", metavar="NAME", action="append", default=[], help="set the value of this variable anew")
    add("--visibility", choices=("private", "internal", "public"), default="private", help="of a new project")
    add("--dry-run", action="store_true", help="show the plan, and change nothing")
    add("--yes", action="store_true", help="do it without asking for anything")


# ── what is wanted ──────────────────────────────────────────────────────────────────────────────────────────────


def place_from(args: argparse.Namespace) -> Place:
    """Which project of which GitLab.

    Raises:
        UsageError: Nobody says which, or a token must not travel there.
    """
    from dataclasses import replace

    from septum.watching.here import find_place

    place = replace(find_place(_wish(args), os.environ, args.root, default=_CERN), pipeline=0)
    if place.project.isdecimal():
        raise UsageError(f"--project {place.project}: name it by its path", fix="--project GROUP/NAME")
    return place


def _wish(args: argparse.Namespace) -> Wish:
    from septum.watching.here import Wish

    return Wish(project=args.project, url=args.url)


def wanted_of(args: argparse.Namespace, place: Place) -> Wanted:
    """How the project should be.

    Raises:
        SeptumError: An option, the file of the pipeline or a profile cannot be read.
    """
    from septum.clusters.catalog import load_profile
    from septum.gitlab.repository import branch_of
    from septum.gitlab.wanted import Wanted, schedules_of, settings_of, variables_of

    pipeline = _pipeline(args)
    clusters = [(name, Path()) for name in args.cluster] or pipeline.clusters
    profiles = [
        load_profile(name, environ=pipeline.variables, root=args.root / folder, complete=False).profile
        for name, folder in clusters
    ]
    variables = variables_of(profiles, pipeline.components)
    _require_known("--elsewhere", args.elsewhere, variables)
    times = {"sweep": _cron("--sweep", args.sweep), "nightly": _cron("--nightly", args.nightly)}
    schedules = schedules_of(pipeline.components, **times, inputs=_inputs(args.schedule_input))
    _require_schedules(args.schedule_input, schedules)
    return Wanted(
        project=place.project,
        branch=args.branch,
        start=branch_of(args.root, os.environ) or "main",
        tags=tuple(args.tag) or ("v*",),
        settings=settings_of(
            profiles, timeout_s=_timeout_s(args.timeout), description=args.description, ci_config=args.ci_file
        ),
        variables=tuple(one for one in variables if one.key not in args.elsewhere),
        schedules=schedules,
        catalog=args.component_project,
    )


def _pipeline(args: argparse.Namespace) -> Pipeline:
    """What the file of the pipeline says; nothing, if there is none and options say what the project is for."""
    from septum.gitlab.repository import Pipeline, pipeline_of

    name = Path(args.ci_file)
    if name.is_absolute() or ".." in name.parts:
        raise UsageError(f"--ci-file {name}: name it from the root of the repository", fix="--ci-file ci/septum.yml")
    pipeline = pipeline_of(args.root, args.ci_file)
    if not (pipeline and pipeline.components) and not args.cluster and not args.component_project:
        raise UsageError(
            f"gitlab: {args.root / name} " + ("includes no component of septum" if pipeline else "is not there"),
            fix="go to the root of the repository, or say what the project is for: --cluster NAME, or "
            "--component-project",
        )
    return pipeline or Pipeline()


def _require_known(option: str, keys: Sequence[str], variables: Sequence[Variable]) -> None:
    from septum.compare.verdicts import printable

    known = [variable.key for variable in variables]
    for key in keys:
        if key not in known:
            raise UsageError(
                f"{option} {printable(key, 80)}: no cluster of this pipeline needs it",
                fix="needed: " + (", ".join(known) or "none"),
            )


def _timeout_s(text: str) -> int:
    from septum.units import parse_duration

    fix = "for instance: --timeout '12 h'"
    try:
        found = int(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--timeout: {error}", fix=fix) from None
    if not _SHORTEST_S <= found < _LONGEST_S:
        raise UsageError(f"--timeout {text[:40]}: GitLab takes from 10 minutes to less than a month", fix=fix)
    return found


def _cron(option: str, text: str) -> str:
    """Five fields, or nothing; GitLab judges the rest."""
    if text and (len(text.split()) != 5 or not text.isprintable() or len(text) > 200):  # noqa: PLR2004
        raise UsageError(f"{option}: five fields are expected, minute to day of the week", fix=f"{option} '43 4 * * *'")
    return " ".join(text.split())


def _inputs(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Take the values of `--schedule-input` apart."""
    found: dict[str, dict[str, Any]] = {"sweep": {}, "nightly": {}}
    for text in texts:
        which, colon, rest = text.partition(":")
        name, equals, value = rest.partition("=")
        if which not in found or not colon or not equals or not name:
            raise UsageError(
                f"--schedule-input {text[:80]!r}: expected WHICH:NAME=VALUE",
                fix="for instance: --schedule-input nightly:cluster=infn-af",
            )
        found[which][name] = _json(value)
    return found


def _json(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, dict) or value is None else value


def _require_schedules(texts: Sequence[str], schedules: Sequence[Schedule]) -> None:
    there = {schedule.name.rpartition(" ")[2] for schedule in schedules}
    for which in {text.partition(":")[0] for text in texts} - there:
        raise UsageError(f"--schedule-input {which}: there is no such schedule", fix=f"--{which} '43 4 * * *'")


def token_from(args: argparse.Namespace, place: Place) -> Secret:
    """The token: from the variable, a file, or a person.

    Raises:
        CredentialMissingError: There is none.
        UsageError: It would go to a GitLab that nobody has named.
    """
    from septum.credentials.secret import Secret
    from septum.credentials.variables import read_variable
    from septum.errors import CredentialMissingError
    from septum.forge import TOKEN
    from septum.watching.trust import confirm

    if args.token_file is not None:
        try:
            token = Secret(args.token_file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"--token-file {args.token_file}: it cannot be read", fix="name a file of yours") from None
    else:
        token = read_variable(os.environ, TOKEN)
    # What others start has no use for it.
    os.environ.pop(TOKEN, None)
    if token:
        ask = (lambda question: confirmed(question, yes=False)) if is_person() else None
        confirm(place, _wish(args), os.environ, ask)
    elif is_person():
        token = Secret(secretly(f"Token for {place.url} (it is not shown): ").strip())
    text = token.reveal()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise CredentialMissingError(
            f"gitlab: no token for {place.url}",
            evidence=f"{TOKEN} is not set" if not text else "what was given is not one line without blanks",
            fix=f"make one at {place.url}/-/user_settings/personal_access_tokens, and:\n"
            f"read -rs {TOKEN}; export {TOKEN}",
        )
    return token
