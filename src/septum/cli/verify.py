"""`septum verify`: whether a result and its manifest belong together, from the files alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.console import say, table
from septum.cli.parsing import examples

if TYPE_CHECKING:
    import argparse


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "verify",
        help="check that a result and its manifest belong together",
        description="Check that a result and its manifest belong together: sizes, checksums, the stamps inside of the "
        "files, the list of parts, the plan and the crate. Reads files only, and can be done years later.",
        epilog=examples(
            ("septum verify result", "a result folder"),
            ("septum verify result/h.root", "one file of it"),
            ("septum verify result --parts .septum/outputs --strict", "with the outputs of the parts"),
            note="Exit code 0 if everything holds; 45 if not, or if there is nothing to check.",
        ),
    )
    add = verb.add_argument
    add("result", metavar="RESULT", type=Path, help="a result folder, or one ROOT file in it")
    add("--parts", metavar="DIR", type=Path, help="check the outputs of the parts in this folder, too")
    add("--strict", action="store_true", help="what cannot be checked is an error")
    verb.set_defaults(handler=verify)


def verify(args: argparse.Namespace) -> int:
    """Print every check; raises what follows from those that do not hold."""
    from septum.provenance.check import examine
    from septum.provenance.consistency import Verdict

    proof = examine(args.result, parts=args.parts)
    error = proof.error(strict=args.strict)
    lines = [{"verdict": check.verdict.value, "subject": check.subject, "says": check.says} for check in proof.checks]
    if not answer({"name": proof.name, "holds": error is None, "checks": lines}):
        table([(check.verdict.value, check.subject, check.says) for check in proof.checks])
        held, open_ = len(proof.having(Verdict.OK)), len(proof.having(Verdict.UNKNOWN))
        say(f"{proof.name}: {held} of {len(proof.checks)} checks hold, {open_} could not be made")
    if error is not None:
        raise error
    return 0
