"""`septum export reana`: the analysis as files that REANA and Snakemake run without septum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.console import complain, say
from septum.cli.options import FROM_VARIABLES, add_parts, add_run, options_of
from septum.cli.parsing import examples

if TYPE_CHECKING:
    import argparse

    from septum.plan import Plan
    from septum.reana.exporting import Export
    from septum.stages import Options

_DESCRIPTION = """\
Write reana.yaml and a Snakefile, which run the same parts and merges without septum: a rule for each part, with its \
command and its values, and a rule for each result. What they cannot say is listed, here and at their top. A file that \
no export wrote, or that was changed since, is not replaced."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = subparsers.add_parser(
        "export",
        help="write the analysis as files that other systems run without septum",
        description="Write the analysis as files that other systems run without septum.",
        epilog=examples(("septum export reana", "reana.yaml and Snakefile")),
    )
    actions = verb.add_subparsers(dest="action", metavar="SYSTEM", required=True)
    reana = actions.add_parser(
        "reana",
        help="reana.yaml and Snakefile, for REANA and for Snakemake alone",
        description=_DESCRIPTION,
        epilog=examples(
            ("septum export reana", "beside septum.yaml"),
            ("septum export reana --image docker.io/rootproject/root:6.32.02-ubuntu24.04", "for a plan without image"),
            ("septum export reana --cluster reana-cern", "with what that profile asks for"),
            ("septum export reana --check", "whether the files are up to date, for a pipeline"),
            note=FROM_VARIABLES,
        ),
    )
    add_run(reana)
    add_parts(reana)
    add = reana.add_argument
    add("--into", metavar="FOLDER", type=Path, help="where the files go (default: beside septum.yaml)")
    add("--force", action="store_true", help="replace files that no export wrote, or that were changed")
    add("--check", action="store_true", help="write nothing; end with 2 and the difference if they are not up to date")
    reana.set_defaults(handler=export_reana)


def export_reana(args: argparse.Namespace) -> int:
    """Write the files, or look whether they are up to date.

    Raises:
        ExportError: They are not; somebody else's files are there; the plan cannot be said in them.
    """
    from septum.reana import exporting
    from septum.stages.reading import read_analysis
    from septum.stages.wiring import load_profile

    options = options_of(args)
    analysis = read_analysis(options)
    plan = _plan(options, args.parts, recorded=analysis.framework is not None)
    folder = args.into if args.into is not None else options.root
    found = exporting.export(
        plan, analysis, load_profile(options, complete=False), root=options.root, config=options.config.name
    )
    if args.check:
        exporting.check(found, folder)
    written = [] if args.check else exporting.write(found, folder, force=args.force)
    _show(found, folder, written, is_check=args.check)
    if folder.resolve() != options.root.resolve():
        complain(f"their paths are relative to {options.root.resolve()}: they run in that folder")
    return 0


def _plan(options: Options, only: str | None, *, recorded: bool) -> Plan:
    """The plan; of a framework the one that was recorded last."""
    from septum.assembly import choose
    from septum.errors import PlanError
    from septum.stages import make_plan
    from septum.state import State

    if not recorded:
        return make_plan(options, only=only)
    state = State(options.state)
    if not (state.folder / "plan.json").is_file():
        raise PlanError(
            "export: the parts are the jobs that the framework submits, and it has not run here yet",
            fix="septum prepare    # records what the framework submits, and submits nothing",
        )
    plan = state.load_plan()
    return choose(plan, only) if only is not None else plan


def _show(found: Export, folder: Path, written: list[str], *, is_check: bool) -> None:
    document = {
        "folder": str(folder),
        "files": list(found.files),
        "written": written,
        "left_out": [{"what": item.what, "why": item.why} for item in found.left],
    }
    if answer(document):
        return
    for name in found.files:
        state = "written" if name in written else "up to date"
        say(f"{folder / name}: {state}")
    if is_check:
        return
    say("")
    say("not in them:")
    for item in found.left:
        say(f"  {item}")
