"""`septum gitlab setup | check`: a project on GitLab as septum needs it, after a look at the plan."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from septum.cli.answer import answer
from septum.cli.asking import confirmed, is_person, secretly
from septum.cli.console import complain, say, table
from septum.cli.gitlab_options import (
    add_doing,
    add_place,
    add_wishes,
    place_from,
    token_from,
    wanted_of,
)
from septum.cli.parsing import examples
from septum.errors import TryAgainError, UsageError

if TYPE_CHECKING:
    from septum.credentials.secret import Secret
    from septum.gitlab.apply import Done
    from septum.gitlab.difference import Step
    from septum.gitlab.door import Door
    from septum.gitlab.found import Found
    from septum.gitlab.wanted import Wanted
    from septum.watching.place import Place

_TOKENS = """\
The token is read from SEPTUM_GITLAB_TOKEN, from --token-file, or asked for. It goes to that GitLab alone,
and only after a question where nobody but the remote origin names it: --url and --project do.
  check    read_api with the role Maintainer; with a lower role, settings and variables are not seen
  setup    api with the role Maintainer; Owner for --component-project; a person's for a new project"""
_SETUP = (
    "Create or find the project on GitLab, and set it up for the clusters that .gitlab-ci.yml names: protected branch "
    "and tags, variables (masked, hidden, protected), schedules, settings of CI/CD. A plan is shown first. What is as "
    "it should be is left alone, so it can be run again at any time. Values of variables are asked for, or read from "
    "files; they are never arguments, and never printed."
)
_CHECK = "List what differs between the project on GitLab and what septum needs there. Nothing is changed."


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────────


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser("gitlab", help="set up the project on GitLab, or check it")
    actions = verb.add_subparsers(dest="action", metavar="ACTION", required=True)
    setup = actions.add_parser(
        "setup",
        help="show what the project lacks, ask, and do it",
        description=_SETUP,
        epilog=examples(
            ("septum gitlab setup --dry-run", "show the plan alone"),
            ("septum gitlab setup", "show it, ask, do it"),
            ("septum gitlab setup --yes --url https://gitlab.cern.ch --value IAM_CLIENT_ID=@id.txt", "for a script"),
            ("septum gitlab setup --value X509_PROXY=@proxy.b64 --replace X509_PROXY", "a newer proxy"),
            note=_TOKENS,
        ),
    )
    check = actions.add_parser(
        "check",
        help="list what differs from what septum needs",
        description=_CHECK,
        epilog=examples(
            ("septum gitlab check", "the project of this repository"),
            ("septum gitlab check --project my-group/my-analysis", "another one"),
            note=_TOKENS,
        ),
    )
    for action, handler in ((setup, _run_setup), (check, _run_check)):
        action.set_defaults(handler=handler)
        add_place(action)
        add_wishes(action)
    add_doing(setup)


# ── the two verbs ───────────────────────────────────────────────────────────────────────────────────────────────


def _run_check(args: argparse.Namespace) -> int:
    """List what differs."""
    from septum.errors import ProjectDiffersError
    from septum.gitlab.difference import is_open, steps
    from septum.gitlab.door import opened
    from septum.gitlab.observe import look
    from septum.units import count

    place = place_from(args)
    wanted = wanted_of(args, place)
    with opened(place.url, token_from(args, place), ca_file=args.ca_file) as door:
        found = look(door, wanted)
    listed = steps(wanted, found) if found.is_there else steps(wanted, found)[:1]
    _show(place, listed)
    answer(_document(place, listed))
    differing = [step for step in listed if is_open(step)]
    if differing:
        raise ProjectDiffersError(
            f"gitlab: {place.project} differs in {count(len(differing), 'thing')} from what septum needs",
            evidence="\n".join(_line(step) for step in differing),
            fix="septum gitlab setup",
        )
    return 0


def _run_setup(args: argparse.Namespace) -> int:
    """Show the plan, ask, and do it."""
    from dataclasses import replace

    from septum.gitlab.difference import is_open, steps
    from septum.gitlab.door import opened
    from septum.gitlab.observe import look

    place = place_from(args)
    wanted = replace(wanted_of(args, place), visibility=args.visibility)
    values = _values(args, wanted)
    wanted = replace(wanted, given=frozenset(values), replace=frozenset(args.replace))
    if not args.yes and not args.dry_run and not is_person():
        raise UsageError(
            "gitlab: nobody is there to be asked whether to do it",
            fix="look at the plan, then do it: septum gitlab setup --dry-run; septum gitlab setup --yes",
        )
    with opened(place.url, token_from(args, place), ca_file=args.ca_file) as door:
        if not args.dry_run:
            _require_scope(door)
        found = look(door, wanted)
        listed = steps(wanted, found)
        _show(place, listed)
        answer(_document(place, listed))
        if not any(is_open(step) for step in listed):
            say("nothing to do")
            return 0
        if args.dry_run:
            return 0
        if not args.yes and not confirmed("Do it?", yes=False):
            say("nothing was done")
            return 0
        if not args.yes:
            values |= _asked(listed, values)
        _do(door, place, wanted, found, values)
    return 0


def _values(args: argparse.Namespace, wanted: Wanted) -> dict[str, Secret]:
    """The values that were given, read and named right; nothing has been asked of GitLab yet."""
    from septum.gitlab.difference import attributes_of
    from septum.gitlab.values import prepared, read, sources

    given = sources(args.value)
    known = {variable.key: variable for variable in wanted.variables}
    known |= {v.instead.key: v.instead for v in wanted.variables if v.instead is not None}
    for key in [*given, *args.replace]:
        if key not in known:
            raise UsageError(
                f"gitlab: no cluster of this pipeline needs a variable {key}",
                evidence="needed: " + (", ".join(known) or "none"),
                fix="correct the name, or set it in GitLab: Settings > CI/CD > Variables",
            )
    values = {key: read(source, sys.stdin.buffer) for key, source in given.items()}
    for key, value in values.items():
        prepared(known[key], value, attributes_of(known[key]), known.keys() - {key})
    return values


def _require_scope(door: Door) -> None:
    """See that the token may write, before anything is written."""
    from septum.errors import GitlabRefusedError
    from septum.gitlab.difference import API_NEEDED
    from septum.gitlab.observe import scopes_of

    scopes = scopes_of(door)
    if scopes and "api" not in scopes:
        raise GitlabRefusedError(
            "gitlab: the token may not change anything",
            evidence=f"its scopes: {', '.join(scopes)}",
            fix=f"take one with {API_NEEDED}; for a look, this one does: septum gitlab check",
        )


def _asked(listed: Iterable[Step], values: Mapping[str, Secret]) -> dict[str, Secret]:
    """Values that a person types, judged at once; an empty one is left for later."""
    from septum.gitlab.difference import State
    from septum.gitlab.values import ask, prepared

    found: dict[str, Secret] = {}
    for step in listed:
        write = step.write
        if write is None or write.variable is None or write.key in values:
            continue
        if step.state is State.CHANGE and "value set anew" not in step.detail:
            continue
        while True:
            try:
                value = ask(write.variable, secretly)
                if value:
                    prepared(write.variable, value, write.data, ())
                    found[write.key] = value
                break
            except UsageError as error:
                complain(error.what)
    return found


def _do(door: Door, place: Place, wanted: Wanted, found: Found, values: Mapping[str, Secret]) -> None:
    """Carry it out; whatever happens, what was done and what was not is said."""
    from septum.gitlab.difference import steps

    done: list[Done] = []
    listed = list(steps(wanted, found))

    def tell(one: Done) -> None:
        done.append(one)
        _tell(one)
        answer(_document(place, listed, done))

    try:
        _carry_out(door, wanted, found, values, listed, tell)
    except BaseException:
        for step in _left(listed, done):
            say(f"not done: {step.subject}")
        raise
    _conclude(place, listed, done)


def _carry_out(
    door: Door,
    wanted: Wanted,
    found: Found,
    values: Mapping[str, Secret],
    listed: list[Step],
    tell: Callable[[Done], None],
) -> None:
    """Make the project, if there is none, and then all the rest; `listed` is the plan, and follows what is there."""
    from septum.gitlab.apply import Means, carry_out, create_project
    from septum.gitlab.difference import steps
    from septum.gitlab.observe import look

    write = listed[0].write
    if not found.is_there and write is not None:
        description = next((str(s.value) for s in wanted.settings if s.name == "description"), "")
        made = create_project(door, listed[0], write, description=description)
        tell(made)
        if made.problem or made.error is not None:
            return
        found = look(door, wanted)
        if not found.is_there:
            raise TryAgainError(
                "gitlab: the project was made, and GitLab does not show it yet", fix="run it again in a minute"
            )
        listed[1:] = steps(wanted, found)[1:]
    keys = frozenset(variable.key for variable in wanted.variables)
    means = Means(door=door, project=found.number, values=values, settings=wanted.settings, keys=keys)
    carry_out(means, listed, tell)


def _left(listed: Sequence[Step], done: Sequence[Done]) -> list[Step]:
    from septum.gitlab.difference import is_open

    good = {one.step.subject for one in done if one.is_good}
    return [step for step in listed if is_open(step) and step.subject not in good]


def _conclude(place: Place, listed: Sequence[Step], done: Sequence[Done]) -> None:
    """Say what was not done, as an error if there is such."""
    from septum.errors import SetupIncompleteError
    from septum.gitlab.difference import State
    from septum.units import count

    left = _left(listed, done)
    say(f"{sum(one.is_good for one in done)} done, {len(left)} not")
    for step in left:
        if step.state is State.LATER:
            say(f"later: {step.subject}: {step.detail}")
    missing = [step for step in left if step.state is not State.LATER]
    problems = {one.step.subject: one.problem for one in done if one.problem}
    stopped = next((one.error for one in done if one.error is not None), None)
    if stopped is not None:
        stopped.evidence = "\n".join([stopped.evidence, *(f"not done: {step.subject}" for step in missing)])
        raise stopped
    if missing:
        raise SetupIncompleteError(
            f"gitlab: {count(len(missing), 'thing')} of {place.project} could not be done",
            evidence="\n".join(
                f"{step.subject}: {problems[step.subject]}" if step.subject in problems else _line(step)
                for step in missing
            ),
            fix="put right what the lines say, and run it again: what is done stays",
        )


# ── what people and programs read ───────────────────────────────────────────────────────────────────────────────


def _show(place: Place, listed: Sequence[Step]) -> None:
    from septum.compare.verdicts import printable

    say(f"{place.project} on {place.url}")
    table([(step.state.value, step.subject, printable(_words(step), 200)) for step in listed])


def _words(step: Step) -> str:
    return step.detail + (f" ({step.note})" if step.note else "")


def _line(step: Step) -> str:
    from septum.gitlab.difference import State

    needs = f"; it needs {step.needs}" if step.state is State.UNKNOWN else ""
    return f"{step.subject}: {step.state.value}: {step.detail}{needs}"


def _tell(one: Done) -> None:
    from septum.compare.verdicts import printable

    words = one.problem or (one.error.what if one.error is not None else "")
    say(f"  {'not done' if words else 'done'}  {one.step.subject}" + (f": {printable(words, 300)}" if words else ""))


def _document(place: Place, listed: Sequence[Step], done: Sequence[Done] = ()) -> dict[str, Any]:
    """The plan for programs, and what became of it."""
    return {
        "url": place.url,
        "project": place.project,
        "steps": [
            {"subject": s.subject, "state": s.state.value, "detail": s.detail, "note": s.note, "needs": s.needs}
            for s in listed
        ],
        "done": [one.step.subject for one in done if one.is_good],
        "not_done": {one.step.subject: one.problem or str(one.error) for one in done if not one.is_good},
    }
