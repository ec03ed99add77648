"""What goes on after Ctrl-C, and the command that goes on with it or ends it."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.lookback import facts_of, receipt_of

if TYPE_CHECKING:
    from septum.errors import CancelledError

_OF_A_RUN = frozenset({"run", "prepare", "submit", "collect"})
_DEFAULTS = {"config": "septum.yaml", "cluster": "local", "state": ".septum", "result": "result", "prefix": ""}

_SIMPLE = {
    "plan": ("interrupted: nothing was written, and nothing was submitted", ""),
    "rehearse": ("interrupted: the pool, its issuer and all CI jobs have ended, and no result was written", ""),
    "status": ("interrupted: the pipeline goes on", "septum status"),
    "logs": ("interrupted: the pipeline goes on", "septum status"),
}
"""What is true after an interrupt of the verbs that have nothing of their own to say, and what to do next."""


def after_interrupt(args: argparse.Namespace) -> tuple[str, str]:
    """What is true after an interrupt that no job was removed for.

    Args:
        args: The command line.

    Returns:
        One sentence, and what to do next; empty if there is nothing to do.
    """
    verb = args.verb
    if verb in _OF_A_RUN:
        return _of_a_run(args)
    if verb == "cancel" and getattr(args, "pipeline", None):
        return "interrupted: the pipeline may be cancelled, or go on", "septum status"
    if verb in {"cancel", "sweep"}:
        again = command(verb, args)
        return (
            f"interrupted: jobs may still be in the queue of {args.cluster}",
            f"{again}    # removes those that are left",
        )
    if verb == "merge":
        return f"interrupted: {args.target} is as it was, or whole; nothing is half-written", ""
    return _SIMPLE.get(verb, ("interrupted", ""))


def _of_a_run(args: argparse.Namespace) -> tuple[str, str]:
    from septum.ledger import ENDED

    folder = Path(args.state)
    receipt, facts = receipt_of(folder), facts_of(folder)
    tag = receipt.tag if receipt is not None else facts.get("tag", "")
    if not tag:
        return "interrupted: nothing was submitted, and no job waits or runs", command(args.verb, args)
    if ENDED in facts:
        return f"interrupted: no job of run {tag} waits or runs", command("run", args)
    cluster = receipt.cluster if receipt is not None else args.cluster
    here = argparse.Namespace(**{**vars(args), "cluster": cluster})
    goes_on = f"{command('collect', here)}    # goes on with it"
    if cluster == _DEFAULTS["cluster"]:
        return f"interrupted: the parts of run {tag} ended with septum; what was verified is kept", goes_on
    return (
        f"interrupted: the jobs of run {tag} on {cluster} go on, until their lease ends",
        f"{goes_on}\n       {command('cancel', here)}    # removes them",
    )


def after_removal(error: CancelledError, args: argparse.Namespace) -> None:
    """Add to the error of a run that a signal ended which run it was, and what to do next."""
    if not hasattr(args, "state"):
        return
    folder = Path(args.state)
    receipt = receipt_of(folder)
    tag = receipt.tag if receipt is not None else facts_of(folder).get("tag", "")
    if not tag:
        return
    cluster = receipt.cluster if receipt is not None else args.cluster
    here = argparse.Namespace(**{**vars(args), "cluster": cluster})
    error.evidence = "\n".join(filter(None, [error.evidence, f"run {tag} on {cluster}"]))
    if cluster == _DEFAULTS["cluster"]:
        error.fix = f"{command('collect', here)}    # goes on with the parts that are missing"
    elif "could not" in error.what:
        error.fix += f"\n{command('cancel', here)}    # removes them now"


def command(verb: str, args: argparse.Namespace) -> str:
    """A verb with the options that this command line has, where they are not the usual ones."""
    words = ["septum", verb]
    for name, usual in _DEFAULTS.items():
        value = getattr(args, name, None)
        if isinstance(value, str) and value != usual:
            words += [f"--{name}", value]
    return shlex.join(words)
