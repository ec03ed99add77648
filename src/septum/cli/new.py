"""`septum new` and `septum update`: an analysis repository from the starter, and a newer starter merged into it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.console import complain, say
from septum.cli.parsing import examples
from septum.errors import AnswerError, SeptumError, UpdateConflictError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from septum.starting.answers import Answers, Question

_EMPTY = "-"
"""What is typed for an empty answer whose default is not empty."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to the command line."""
    _register_new(subparsers)
    _register_update(subparsers)


def _register_new(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = subparsers.add_parser(
        "new",
        help="write a new analysis repository",
        description="Write an analysis repository that runs from its first commit: pipeline, septum.yaml, a small "
        "analysis with its test, container, README. Asks for what no option says.",
        epilog=examples(
            ("septum new dimuon", "asks, then writes the folder dimuon"),
            ("septum new dimuon --defaults", "asks nothing"),
            ("septum new dimuon --framework coffea --experiment cms", "asks for the rest"),
            ("septum new dimuon --answers team.yml --dry-run", "which files would be written"),
        ),
    )
    add = verb.add_argument
    add("name", metavar="NAME", help="of the folder, of the analysis and of the project")
    add("--framework", metavar="NAME", help="rdataframe, coffea, mkshapesrdf or command")
    add("--experiment", metavar="NAME", help="whose conventions: cms, atlas, lhcb or none")
    add(
        "--cluster",
        dest="clusters",
        metavar="NAME",
        action="append",
        help="where it may run, the default first; may be given several times, or with commas",
    )
    add("--image", metavar="IMAGE", help="container image of the analysis; '' for septum's own")
    add("--compare", metavar="HOW", help="with the last result: none, report, statistical or exact")
    add("--data", metavar="FILE", help="ROOT file to read, a path or a URL; '' for generated events")
    add("--license", metavar="NAME", help="Apache-2.0, MIT, BSD-3-Clause or none")
    add("--owner", metavar="@NAME", help="user or group of GitLab who reviews changes")
    add("--project", metavar="URL", help="address that the project will have")
    add("--answers", metavar="FILE", type=Path, help="answers in YAML, by the names of these options; options win")
    add("--defaults", action="store_true", help="ask nothing: defaults for what no option says")
    add("--into", metavar="FOLDER", type=Path, help="the new folder (default: NAME, in this one)")
    add("--dry-run", action="store_true", help="show the files, write nothing")
    verb.set_defaults(handler=new)


def _register_update(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = subparsers.add_parser(
        "update",
        help="merge a newer starter into this repository",
        description="Merge a newer version of the starter into a repository that septum new made. Your changes stay; "
        "where both changed the same lines, you decide. Nothing is committed.",
        epilog=examples(
            ("septum update", "to the version of this septum"),
            ("septum update --to 0.2.0", "to another one"),
            ("septum update --starter ../septum", "from a clone on this machine, such as without network"),
        ),
    )
    add = verb.add_argument
    add("repository", metavar="REPOSITORY", nargs="?", type=Path, default=Path(), help="(default: this folder)")
    add("--to", metavar="VERSION", default="", help="of the starter (default: that of this septum)")
    add(
        "--starter",
        metavar="PATH|URL",
        default="",
        help="the repository of the starter, if it is not the one that the answers name; a URL is remembered",
    )
    verb.set_defaults(handler=update)


# ── new ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def new(args: argparse.Namespace) -> int:
    """Write a repository."""
    import septum
    from septum.starting.answers import check_name
    from septum.starting.copying import create, listed, require_empty

    target = args.into if args.into is not None else Path(check_name(args.name))
    # Before anything is asked.
    check_name(args.name)
    require_empty(target)
    answers = _answers(args)
    _warn(answers)
    files = listed(answers) if args.dry_run else create(answers, target)
    answer(
        {
            "folder": str(target),
            "written": not args.dry_run,
            "starter": septum.__version__,
            "answers": answers.mapping(),
            "files": files,
            "next": _next(target, answers),
        }
    )
    say(f"{target}: {len(files)} files{' would be written' if args.dry_run else ''}")
    for file in files:
        say(f"  {file}")
    if not args.dry_run:
        say("next:")
        for line in _next(target, answers):
            say(f"  {line}")
    return 0


def _next(target: Path, answers: Answers) -> list[str]:
    import shlex

    from septum.clusters.catalog import shipped_names

    lines = [
        f"cd {shlex.quote(str(target))}",
        'git init --initial-branch=main && git add --all && git commit --message "The starter"',
    ]
    own = [name for name in answers.clusters if name not in shipped_names()]
    if own:
        lines.append(f"$EDITOR {' '.join(f'clusters/{name}.yaml' for name in own)}    # what their sites say")
    if answers.framework != "mkshapesrdf":
        lines.append("septum run                 # all parts on this machine, to result/")
    lines.append("septum rehearse            # the pipeline, as GitLab would run it")
    lines.append("septum gitlab setup        # the project on GitLab, with what the clusters need")
    return lines


def _warn(answers: Answers) -> None:
    from septum.images.reference import FIX_MUTABLE, parse_image, why_mutable

    why = why_mutable(parse_image(answers.image)) if answers.image else ""
    if why:
        complain(f"image {answers.image}: {why}. {FIX_MUTABLE}")


def _answers(args: argparse.Namespace) -> Answers:
    """What options and file say, and what is asked for."""
    from septum.starting.answers import QUESTIONS, check_given, complete

    options = {question.name: getattr(args, question.name) for question in QUESTIONS}
    options["clusters"] = [name for text in args.clusters for name in text.split(",")] if args.clusters else None
    given: dict[str, object] = {
        **(_from_file(args.answers) if args.answers is not None else {}),
        **{name: value for name, value in options.items() if value is not None},
    }
    # What is wrong already is said before anything is asked.
    said = check_given(given)
    missing = [question for question in QUESTIONS if question.name not in said]
    if missing and not args.defaults:
        said |= _ask(missing, said)
    return complete(args.name, said)


def _from_file(path: Path) -> Mapping[str, object]:
    from septum import yamltext

    data = yamltext.read(path, AnswerError).data
    if not isinstance(data, dict):
        raise AnswerError(f"{path}: expected answers by name", fix="framework: coffea")
    # The file of another repository: what septum and copier remember in it is no answer, and its name is its own.
    # The option is named for one cluster, since it may be given several times.
    names = {"cluster": "clusters"} if "clusters" not in data else {}
    return {names.get(key, key): value for key, value in data.items() if not key.startswith("_") and key != "name"}


def _ask(questions: Sequence[Question], given: Mapping[str, object]) -> dict[str, object]:
    """Ask on the terminal.

    Raises:
        UsageError: There is none.
    """
    if not sys.stdin.isatty():
        flags = ", ".join(f"--{'cluster' if each.name == 'clusters' else each.name}" for each in questions)
        raise UsageError(
            "new: there is no terminal to ask on",
            evidence=f"not said: {flags}",
            fix="add --defaults, or give these options, or --answers FILE",
        )
    found = dict(given)
    for question in questions:
        if question.name == "data" and found["framework"] == "command":
            continue  # it generates its events
        found[question.name] = _ask_one(question, found)
    return found


def _ask_one(question: Question, earlier: Mapping[str, object]) -> object:
    """Ask until the answer can be taken."""
    from septum.starting.answers import check, default

    preset = default(question, earlier)
    hint = f" ({', '.join(question.choices)})" if question.choices else ""
    example = f" (such as {question.example})" if question.example and not preset else ""
    clear = f" ({_EMPTY} for none)" if preset and question.name == "image" else ""
    while True:
        sys.stderr.write(f"{question.text}{hint}{example}{clear} [{preset}]: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise UsageError("new: the answers end before the questions", fix="add --defaults for the rest")
        text = line.strip()
        try:
            return check(question, preset if not text else "" if text == _EMPTY else text)
        except SeptumError as error:
            complain(f"  {error}")


# ── update ──────────────────────────────────────────────────────────────────────────────────────────────────────


def update(args: argparse.Namespace) -> int:
    """Merge a newer starter.

    Raises:
        UpdateConflictError: It is merged, but for lines that both sides changed.
    """
    from septum.starting import merging

    done = merging.update(args.repository, to=args.to, starter=args.starter, say=say)
    answer(
        {
            "from": done.before,
            "to": done.after,
            "files": list(done.files),
            "conflicts": list(done.conflicts),
            "kept": list(done.kept),
        }
    )
    if done.before == done.after:
        say(f"the repository is of version {done.after} already")
        return 0
    say(f"merged: {len(done.files)} files")
    for file in done.files:
        say(f"  {file}{'    both sides changed the same lines' if file in done.conflicts else ''}")
    for file in done.kept:
        say(f"  {file}    stays: the starter has it no more, and you have changed it")
    if done.conflicts:
        raise UpdateConflictError(
            f"update: {len(done.conflicts)} of {len(done.files)} files wait for a decision",
            evidence="\n".join(done.conflicts),
            fix="edit them between <<<<<<< before updating and >>>>>>> after updating, then\n"
            f'git add --all && git commit --message "Starter of septum {done.after}"\n'
            "git reset --hard               # or: give the whole update up",
        )
    say(f'next: git diff; git add --all && git commit --message "Starter of septum {done.after}"')
    return 0
