"""The first stage: the user's own preparation, the plan, and what goes to the workers."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING

from septum.assembly import choose
from septum.errors import PlanError, PrepareError
from septum.plan import Plan
from septum.stages.reading import config_of, read_analysis
from septum.stages.record import RECORDING, below, captured_plan, record
from septum.stages.wiring import Options, Say, load_profile, refuse_unfinished, secret_names
from septum.state import State

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.config import Analysis


def make_plan(options: Options, *, only: str | None = None, say: Say | None = None) -> Plan:
    """Read `septum.yaml` and make the plan; writes nothing.

    Args:
        options: The options.
        only: Which parts to keep, see `septum.assembly.choose`; all without.
        say: Takes lines for people: what is not taken over of a workflow of REANA.

    Raises:
        ConfigError: `septum.yaml` is wrong.
        PlanError: No complete plan follows from it.
    """
    return _plan_of(read_analysis(options), options, only, say)


def _plan_of(analysis: Analysis, options: Options, only: str | None, say: Say | None) -> Plan:
    from septum import planning

    if analysis.framework is not None:
        raise PlanError(
            "plan: its parts are the jobs that the framework submits, and it has to run first",
            fix="septum prepare",
        )
    own = [name for name in (below(options.state, options.root), below(options.result, options.root)) if name]
    if analysis.reana is not None:
        plan = _imported(analysis, options, own, say)
    else:
        plan = planning.make_plan(analysis, options.root, image=options.image, leave_out=own)
    return choose(plan, only) if only is not None else plan


def _imported(analysis: Analysis, options: Options, leave_out: Sequence[str], say: Say | None) -> Plan:
    """The plan of a workflow of REANA."""
    from septum.assembly import publish_of
    from septum.environment import for_user_code
    from septum.reana.importing import make_imported_plan

    profile = load_profile(options, complete=False)
    # A Snakefile is a program of the user.
    environ = for_user_code(options.environ, secrets=secret_names(publish_of(analysis), profile))
    made = make_imported_plan(analysis, options.root, image=options.image, leave_out=leave_out, environ=environ)
    if say is not None:
        config = config_of(options)
        if config != options.config:
            say(f"there is no {options.config}: {config} says what runs")
        for note in made.notes:
            say(f"reana: {note}")
    return made.plan


def prepare(options: Options, say: Say, *, only: str | None = None, recorded: bool = False) -> Plan:
    """Run the user's own preparation, make the plan, and write it with its inputs into an empty state folder.

    `septum.yaml` is read once, before the preparation: a line that rewrites it does not change the plan of this run.

    Args:
        options: The options.
        say: Takes lines for people.
        only: Which parts to keep, see `septum.assembly.choose`; all without.
        recorded: The framework has run already, and what it submitted stands in the state folder.

    Raises:
        PrepareError: A line under `prepare`, or of the script of a framework, failed.
        CaptureError: What a framework submitted cannot be run.
        StateError: The state folder holds a run that has not ended.
        ProfileError: There is no such cluster; better known now than after an hour of preparation.
        CredentialExposedError: The plan, or a file that it sends, holds a credential.
    """
    from septum import files
    from septum.credentials.choose import make_known
    from septum.credentials.lint import lint_plan

    profile = load_profile(options, complete=False)
    analysis = read_analysis(options)
    state = State(options.state)
    with state.locked():
        refuse_unfinished(state)
        if analysis.framework is None:
            _run_preparation(analysis, profile, options, say)
            plan, place = _plan_of(analysis, options, only, say), files.below(options.root)
        else:
            if not recorded:
                state.clear()
                record(analysis, profile, state, options, say)
            captured = captured_plan(analysis, profile, state, options, say)
            plan = choose(captured.plan, only) if only is not None else captured.plan
            place = captured.place
        make_known(profile, options.environ)
        lint_plan(plan, place)
        state.clear(but=(RECORDING,))
        state.store_plan(plan, place)
        state.settle_recording()
    return plan


def _run_preparation(analysis: Analysis, profile: Profile, options: Options, say: Say) -> None:
    from septum.assembly import publish_of
    from septum.environment import for_user_code

    if not analysis.prepare:
        return
    say(f"preparing: {len(analysis.prepare)} lines of {options.config.name}")
    done = subprocess.run(
        [
            analysis.shell,
            *(["-eo", "pipefail"] if analysis.shell == "bash" else ["-e"]),
            "-c",
            "\n".join(analysis.prepare),
        ],
        cwd=options.root,
        env=for_user_code(options.environ, secrets=secret_names(publish_of(analysis), profile)),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise PrepareError(
            f"prepare: a line ended with exit code {done.returncode}",
            evidence="its own words stand above",
            fix=f"correct the lines under 'prepare' in {options.config}",
        )
