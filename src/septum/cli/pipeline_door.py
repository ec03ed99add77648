"""What the verbs that speak to GitLab of a pipeline share: options, and the token."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.asking import confirmed, is_person, secretly
from septum.cli.console import complain
from septum.errors import UsageError

if TYPE_CHECKING:
    from septum.watching.door import Door

EVERY = "10 s"
"""Time between two looks."""
_SHORTEST_S = 2.0


def add_place(verb: argparse.ArgumentParser, *, pipeline: str = "latest") -> None:
    """Add the options that choose a pipeline, and what is taken where none is named."""
    add = verb.add_argument
    add("--project", metavar="PROJECT", default="", help="GROUP/NAME, or its address (default: the remote origin)")
    add("--url", metavar="URL", default="", help="GitLab's address (default: that of the project, or of origin)")
    add("--pipeline", metavar="N", default=pipeline, help="number of the pipeline, or 'latest' (default: latest)")
    add("--ref", metavar="NAME", default="", help="branch or tag of 'latest' (default: the one checked out here)")


@contextlib.contextmanager
def opened(args: argparse.Namespace) -> Iterator[tuple[Door, int]]:
    """GitLab, and the number of the pipeline that is meant.

    Raises:
        SeptumError: There is no such project or pipeline, or no token.
    """
    from septum.forge import JOB_TOKEN, TOKEN
    from septum.watching.door import Door
    from septum.watching.here import Wish, find_pipeline, find_place, find_token
    from septum.watching.trust import confirm

    environ = dict(os.environ)
    for name in (TOKEN, JOB_TOKEN):
        os.environ.pop(name, None)  # what others start has no use for them
    wish = Wish(project=args.project, url=args.url, pipeline=args.pipeline or "latest", ref=args.ref)
    place = find_place(wish, environ, Path.cwd())
    if environ.get(TOKEN):
        confirm(place, wish, environ, (lambda question: confirmed(question, yes=False)) if is_person() else None)
    token, better = find_token(place, environ, secretly if is_person() else None)
    door = Door(place, token, better=better, ca_file=environ.get("CI_SERVER_TLS_CA_FILE", ""))
    with contextlib.closing(door):
        yield door, find_pipeline(door, wish, environ, Path.cwd())


@contextlib.contextmanager
def following(door: Door, number: int, *, cancelled: bool = False) -> Iterator[None]:
    """While inside, Ctrl-C says what goes on without us: the pipeline, or the end of one that was cancelled."""
    try:
        yield
    except KeyboardInterrupt:
        of = f"{door.place.named} --pipeline {number}"
        goes_on = (
            "it is cancelled all the same, and its CI jobs remove their jobs" if cancelled else "the pipeline goes on"
        )
        complain(f"{goes_on}; look again: septum status {of}")
        if not cancelled:
            complain(f"end it: septum cancel {of}")
        raise


def seconds(text: str) -> float:
    """The time between two looks.

    Raises:
        UsageError: It is none, or too short for a server that others use as well.
    """
    from septum.units import parse_duration

    try:
        found = float(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--every: {error}", fix=f"--every '{EVERY}'") from error
    if found < _SHORTEST_S:
        raise UsageError(f"--every: {text[:40]} is too often for GitLab", fix=f"--every '{EVERY}'")
    return found
