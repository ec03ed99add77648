"""`septum doctor`: everything that a run needs, tried, on one screen."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from septum.cli.answer import answer
from septum.cli.console import say
from septum.cli.options import add_cluster, overrides, preset
from septum.cli.parsing import examples
from septum.components import inputs


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    env = os.environ.get
    verb = subparsers.add_parser(
        "doctor",
        help="try everything that a run needs, and say what would fail",
        description="Try everything that a run needs: septum.yaml, plan, profile, variables, credentials, access "
        "point, storage, image, and this machine. Nothing is submitted, and credentials are deleted again. Each "
        "failure comes with its cause and what to do.",
        epilog=examples(
            ("septum doctor", "this machine and this analysis"),
            ("septum doctor --cluster infn-af", "and everything up to its schedd"),
            ("septum doctor --cluster infn-af --storage davs://eos.example.org//store/", "and that storage"),
            note="Exit code 0 if nothing failed, also with warnings; otherwise that of the first failure on the "
            "screen, as 'septum run' would end. With --json, failures are checks of the document.",
        ),
    )
    add_cluster(verb)
    add = verb.add_argument
    add("--image", metavar="IMAGE", default=preset(inputs.IMAGE) or None, help="image of the parts [SEPTUM_IMAGE]")
    add("--state", metavar="DIR", default=env("SEPTUM_STATE") or ".septum", help="state folder [SEPTUM_STATE]")
    add("--result", metavar="DIR", default=preset(inputs.RESULT), help="result folder [SEPTUM_RESULT]")
    add("--plan", action="store_true", help="take the plan that 'septum prepare' has written, instead of making one")
    add("--storage", metavar="URL", action="append", default=[], help="read this, too: root://HOST//PATH, davs://…")
    verb.set_defaults(handler=examine)


def examine(args: argparse.Namespace) -> int:
    """Print what was found; returns the exit code of the first failure."""
    from septum.doctor import report
    from septum.doctor.checks import examine
    from septum.doctor.runner import Asked
    from septum.stages import Options

    config = Path(args.config)
    options = Options(
        config=config,
        cluster=args.cluster,
        overrides=overrides(args.set),
        image=args.image,
        state=Path(args.state),
        result=Path(args.result),
        environ=dict(os.environ),
    )
    asked = Asked(
        storage=tuple(args.storage),
        needs_config=bool(os.environ.get("SEPTUM_CONFIG")) or config != Path("septum.yaml"),
        stored_plan=args.plan,
    )
    checks = examine(options, asked)
    if not answer(report.to_data(checks)):
        for line in report.screen(checks):
            say(line)
    return report.exit_code(checks)
