"""`septum adopt`: reads a pipeline of shell lines, and proposes what septum makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.parsing import examples

if TYPE_CHECKING:
    import argparse

    from septum.adopting.jobs import OldPipeline
    from septum.adopting.repository import Checkout
    from septum.adopting.values import Proposal


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "adopt",
        help="propose septum.yaml and the include for a pipeline of shell lines, line by line",
        description="Read a pipeline that submits to HTCondor by shell lines, and propose what takes their place. "
        "Nothing of it is run: its YAML, the scripts that it calls and its submit descriptions are read as text.",
        epilog=examples(
            ("septum adopt", "what replaces which line; nothing is written"),
            ("septum adopt --diff", "the same as a difference of files"),
            ("septum adopt --cluster mysite", "on a cluster that you name"),
            ("septum adopt --write", "keeps the old one as .gitlab-ci.before-septum.yml"),
        ),
    )
    add = verb.add_argument
    add(
        "file", metavar="FILE", nargs="?", type=Path, default=Path(), help="the pipeline (default: .gitlab-ci.yml here)"
    )
    add("--cluster", metavar="NAME", default="", help="the profile to use (default: that of the addresses in it)")
    add(
        "--library",
        metavar="DIR",
        type=Path,
        help="check with the components of this checkout of septum (default: those installed)",
    )
    add("--diff", action="store_true", help="show the files as a difference")
    add("--write", action="store_true", help="write the files, into a checkout without changes")
    verb.set_defaults(handler=adopt)


def adopt(args: argparse.Namespace) -> int:
    """Show the proposal, and write it if asked to.

    Raises:
        AdoptError: The pipeline cannot be adopted.
        UsageError: It may not be written here.
    """
    from septum.adopting import repository
    from septum.adopting.jobs import read_pipeline

    found = repository.checkout(args.file)
    pipeline = read_pipeline(found.source, repository.main_text(found), found.read)
    proposal = _proposal(args, found, pipeline)
    written = repository.write(found, proposal.files, pipeline.texts) if args.write else []
    _show(args, proposal, pipeline, written)
    return 0


def _proposal(args: argparse.Namespace, found: Checkout, pipeline: OldPipeline) -> Proposal:
    from septum.adopting.check import checked
    from septum.adopting.propose import propose
    from septum.components.render import library_root
    from septum.errors import UsageError

    if args.cluster and not all(letter.isalnum() or letter in "._/-" for letter in args.cluster):
        raise UsageError(f"--cluster {args.cluster!r}: not the name of a profile", fix="septum cluster list")
    proposal = propose(pipeline, name=found.root.name, cluster=args.cluster, read=found.read_if_possible)
    library = library_root(args.library.resolve()) if args.library else None
    checks, questions = checked(proposal, root=found.root, library=library)
    return replace(proposal, checks=checks, questions=(*proposal.questions, *questions))


def _show(args: argparse.Namespace, proposal: Proposal, pipeline: OldPipeline, written: list[str]) -> None:
    from septum.adopting import secrets, show
    from septum.cli.console import complain, say

    if answer(show.as_data(proposal, written)):
        return
    if args.diff:
        hidden = tuple(each for name, text in pipeline.texts.items() for each in secrets.find(text, name))
        lines = show.as_diff(proposal, secrets.hide(pipeline.text, hidden))
    else:
        lines = show.as_lines(proposal)
    for line in lines:
        say(line)
    if written:
        complain(f"written: {', '.join(written)}; look at it, then: git add --all && git commit")
    else:
        complain("nothing was written: septum adopt --write does")
