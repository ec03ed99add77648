"""The first stage: the user's own preparation, the plan, and what goes to the workers."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import ConfigError, PrepareError, StateError
from septum.ledger import ENDED
from septum.plan import Plan
from septum.stages.wiring import Options, Say, load_profile, secret_names
from septum.state import State

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.config import Analysis


def make_plan(options: Options, *, only: str | None = None) -> Plan:
    """Read `septum.yaml` and make the plan; writes nothing.

    Args:
        options: The options.
        only: Which parts to keep, see `septum.planning.choose`; all without.

    Raises:
        ConfigError: `septum.yaml` is wrong.
        PlanError: No complete plan follows from it.
    """
    return _plan_of(_read(options), options, only)


def _plan_of(analysis: Analysis, options: Options, only: str | None) -> Plan:
    from septum import planning

    own = [name for name in (_below(options.state, options.root), _below(options.result, options.root)) if name]
    plan = planning.make_plan(analysis, options.root, image=options.image, leave_out=own)
    return planning.choose(plan, only) if only is not None else plan


def _read(options: Options) -> Analysis:
    from septum import yamltext
    from septum.config import Analysis
    from septum.validation import validate

    return validate(Analysis, yamltext.read(options.config, ConfigError, str(options.config)), error=ConfigError)


def _below(folder: Path, root: Path) -> str:
    with contextlib.suppress(ValueError):
        below = folder.resolve().relative_to(root.resolve()).as_posix()
        return "" if below == "." else below
    return ""


def prepare(options: Options, say: Say, *, only: str | None = None) -> Plan:
    """Run the user's own preparation, make the plan, and write it with its inputs into an empty state folder.

    `septum.yaml` is read once, before the preparation: a line that rewrites it does not change the plan of this run.

    Raises:
        PrepareError: A line under `prepare` failed.
        StateError: The state folder holds a run that has not ended.
        ProfileError: There is no such cluster; better known now than after an hour of preparation.
        CredentialExposedError: The plan, or a file that it sends, holds a credential.
    """
    from septum.credentials.choose import make_known
    from septum.credentials.lint import lint_plan

    profile = load_profile(options, complete=False)
    analysis = _read(options)
    state = State(options.state)
    with state.locked():
        _refuse_unfinished(state)
        _run_preparation(analysis, profile, options, say)
        plan = _plan_of(analysis, options, only)
        make_known(profile, options.environ)
        lint_plan(plan, options.root)
        state.clear()
        state.store_plan(plan, options.root)
    return plan


def _refuse_unfinished(state: State) -> None:
    if not (state.folder / "receipt.json").is_file():
        return
    receipt = state.load_receipt()
    with state.open_ledger() as ledger:
        unfinished = [row for row in ledger.rows() if not row.state.final and ENDED not in ledger.facts()]
    if receipt.schedd and unfinished:
        raise StateError(
            f"state: {state.folder} holds a run on {receipt.cluster} that has not ended",
            evidence=f"{len(unfinished)} parts are open; tag {receipt.tag}",
            fix="end it first: 'septum collect' brings it home, 'septum cancel' removes its jobs",
        )


def _run_preparation(analysis: Analysis, profile: Profile, options: Options, say: Say) -> None:
    from septum.environment import for_user_code
    from septum.planning import publish_of

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
