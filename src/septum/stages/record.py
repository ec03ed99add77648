"""A framework that submits its jobs itself: lay out what records them, let it run, make the plan of the recording."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from septum.components.model import RECORDER
from septum.errors import CaptureError, ConfigError, PrepareError
from septum.frameworks import mkshapesrdf
from septum.stages.reading import read_analysis
from septum.stages.wiring import Options, Say, load_profile, refuse_unfinished, secret_names
from septum.state import State, write_whole

if TYPE_CHECKING:
    from septum.capture.planning import CapturedPlan
    from septum.capture.recording import Submission
    from septum.capture.translate import Captured
    from septum.clusters.profile import Profile
    from septum.config import Analysis, Framework
    from septum.plan import Plan

RECORDING = "recording"
"""The folder, in the state folder, of what the framework submitted."""
_NOT_FOUND = 127
"""What a shell ends with if it does not find a command."""
KEPT = "kept"
"""The folder, in the recording, of the files that the framework made and that its merge needs."""


def lay_recorder(options: Options) -> Framework:
    """Leave in the state folder what records the jobs of the framework, for a CI job in the analysis image.

    Raises:
        ConfigError: `septum.yaml` is wrong, or names no framework.
        StateError: The state folder holds a run that has not ended.
    """
    profile = load_profile(options, complete=False)
    analysis = read_analysis(options)
    if analysis.framework is None:
        raise ConfigError(
            f"{options.config}: names no framework",
            fix="use the component 'analysis' for parts that septum makes, or write the key 'framework'",
        )
    state = State(options.state)
    with state.locked():
        refuse_unfinished(state)
        state.clear()
        _lay(state, analysis, profile, options)
    return analysis.framework


def _lay(state: State, analysis: Analysis, profile: Profile, options: Options) -> Path:
    from septum.assembly import publish_of
    from septum.capture.lay import lay
    from septum.worker.sandbox import quote

    framework = analysis.framework
    assert framework is not None  # noqa: S101 - the callers have looked
    folder = state.folder / RECORDER
    lay(folder)
    start = os.path.relpath(options.root)
    lines = [f"cd -- {quote(start)}", *script_of(framework)]
    if analysis.shell == "bash":
        write_whole(folder / "script.bash", "\n".join(lines) + "\n")
        lines = ['exec bash -eo pipefail "${0%.sh}.bash"']
    write_whole(folder / "script.sh", "\n".join(["set -e", *lines]) + "\n", mode=0o755)
    proxies = profile.proxy_variable.split()
    hidden = sorted(secret_names(publish_of(analysis), profile))
    write_whole(
        folder / "settings",
        f"SEPTUM_PROXY_VARIABLE={quote(proxies[0] if len(proxies) == 1 and profile.proxy != 'no' else '')}\n"
        f"SEPTUM_HIDDEN={quote(' '.join(hidden))}\n",
    )
    below = "" if start == "." else f"{start}/"
    write_whole(folder / "keep", "".join(f"{below}{pattern}\n" for pattern in _kept_of(framework)))
    return folder


def _correction(framework: Framework | None, options: Options, *, code: int) -> str:
    """What to do about a script that failed."""
    if framework is None or framework.known is None:
        return f"correct the lines under 'framework: script' in {options.config}"
    if code == _NOT_FOUND:
        return "install mkShapesRDF here and load its environment, or run in its image: in CI, the input 'image'"
    return f"correct what mkShapesRDF complains of, or 'framework: folder' in {options.config}"


def script_of(framework: Framework) -> Sequence[str]:
    """The shell lines that run the framework once."""
    if framework.known == mkshapesrdf.NAME:
        return mkshapesrdf.script(framework.folder, framework.configs)
    return framework.script


def _kept_of(framework: Framework) -> Sequence[str]:
    own = [mkshapesrdf.kept(framework.folder, framework.configs)] if framework.known == mkshapesrdf.NAME else []
    listed = [framework.outputs_list] if framework.outputs_list is not None else []
    return list(dict.fromkeys([*framework.keep, *own, *listed]))


def record(analysis: Analysis, profile: Profile, state: State, options: Options, say: Say) -> None:
    """Run the script of the framework here, with the `condor_submit` that records.

    Raises:
        PrepareError: A line of the script failed.
        CaptureError: Nothing was submitted, or something that cannot be recorded.
    """
    from septum.assembly import publish_of
    from septum.environment import for_user_code

    folder = _lay(state, analysis, profile, options)
    environ = for_user_code(options.environ, secrets=secret_names(publish_of(analysis), profile))
    environ["SEPTUM_RECORDING"] = str(state.folder / RECORDING)
    say("running the framework; its calls of condor_submit are recorded")
    done = subprocess.run(
        ["sh", "-c", '. "$1/begin.sh" && sh "$1/script.sh"', "septum", str(folder)],
        env=environ,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise PrepareError(
            f"framework: its script ended with exit code {done.returncode}",
            evidence="its own words stand above",
            fix=_correction(analysis.framework, options, code=done.returncode),
        )
    ended = subprocess.run(
        ["sh", str(folder / "end.sh")], env=environ, capture_output=True, text=True, errors="replace", check=False
    )
    for line in ended.stdout.splitlines():
        say(line)
    if ended.returncode != 0:
        raise _unrecorded(ended.stderr)


def _unrecorded(said: str) -> CaptureError:
    """What the recorder said at its end, as an error."""
    first, *more = said.strip().splitlines() or ["it said nothing"]
    what, _, why = first.removeprefix("septum: ").rstrip(":").partition(": ")
    return CaptureError(
        f"framework: {what}",
        evidence="\n".join(filter(None, [why, *more]))[-1000:],
        fix="let the script call condor_submit, once or more, with what it would submit",
    )


def captured_plan(analysis: Analysis, profile: Profile, state: State, options: Options, say: Say) -> CapturedPlan:
    """Make the plan of what was recorded, and say what was corrected.

    Raises:
        CaptureError: The recording is not whole, or cannot be run.
        PlanError: No plan follows from it.
    """
    from septum.capture.planning import make_captured_plan
    from septum.capture.recording import read
    from septum.capture.repairs import refuse_if_strict
    from septum.capture.translate import translate

    framework = analysis.framework
    assert framework is not None  # noqa: S101 - the callers have looked
    recording = state.folder / RECORDING
    submissions = read(recording)
    if framework.submissions not in {None, len(submissions)}:
        raise CaptureError(
            f"framework: condor_submit was called {len(submissions)} times, and 'submissions' says "
            f"{framework.submissions}",
            fix="correct the script, or 'framework: submissions'",
        )
    captured = translate(submissions, profile=profile, strict=framework.strict, memory_b=analysis.resources.memory)
    if framework.known == mkshapesrdf.NAME:
        captured, analysis = _know_mkshapesrdf(captured, analysis, framework, recording, options)
    refuse_if_strict(captured.repairs, strict=framework.strict)
    for repair in captured.repairs:
        say(f"corrected: {repair}")
    own = [name for name in (below(options.state, options.root), below(options.result, options.root)) if name]
    made = make_captured_plan(
        analysis,
        captured,
        root=options.root,
        folders=_folders(submissions, recording, options),
        listed=_listed(framework, recording / KEPT / os.path.relpath(options.root)),
        image=options.image,
        leave_out=own,
    )
    _check_merge(made.plan, options)
    return made


def _folders(submissions: Sequence[Submission], recording: Path, options: Options) -> dict[int, str]:
    """The folder of each `ClusterId`, relative to that of `septum.yaml`; of a folder elsewhere, nothing."""
    try:
        top = PurePosixPath((recording / ".recording").read_text(encoding="utf-8").rstrip("\n"))
    except (OSError, UnicodeDecodeError):
        top = PurePosixPath("/")
    root = PurePosixPath(os.path.normpath(top / os.path.relpath(options.root)))
    return {
        cluster_id: submission.folder.relative_to(root).as_posix() if submission.folder.is_relative_to(root) else ""
        for submission in submissions
        for _, cluster_id in submission.answers
    }


def _check_merge(plan: Plan, options: Options) -> None:
    """Look whether the CI jobs that there are make the result as `septum.yaml` wants it.

    Raises:
        ConfigError: They do not.
    """
    wanted = options.environ.get("SEPTUM_MERGE", "")
    commands = [merge.result for merge in plan.merges if merge.command is not None]
    if wanted == "septum" and commands:
        raise ConfigError(
            f"merge: {commands[0]} is merged 'with' a command, and the component's input 'merge' says septum",
            fix="inputs: {merge: framework}, or take 'with' out",
        )
    if wanted == "framework" and not commands:
        raise ConfigError(
            "merge: the component's input 'merge' says framework, and septum.yaml names no command",
            fix="merge: {result.root: {with: ./framework merge}}, or inputs: {merge: septum}",
        )


def below(folder: Path, root: Path) -> str:
    """A folder relative to another one above it; empty if it is not below, or the same."""
    try:
        found = folder.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return ""
    return "" if found == "." else found


def _listed(framework: Framework, kept: Path) -> list[str] | None:
    if framework.outputs_list is None:
        return None
    path = kept / framework.outputs_list
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CaptureError(
            f"framework: its list of outputs, {framework.outputs_list}, cannot be read",
            evidence=str(error),
            fix="let the script write it: the output of each job, a path a line, in the order of the jobs",
        ) from error
    return [line.strip() for line in lines if line.strip()]


def _know_mkshapesrdf(
    captured: Captured, analysis: Analysis, framework: Framework, recording: Path, options: Options
) -> tuple[Captured, Analysis]:
    """What septum knows of mkShapesRDF, where `septum.yaml` does not say otherwise."""
    from septum.capture.translate import Repair
    from septum.config import MergeRule, Output

    folder = mkshapesrdf.kept(framework.folder, framework.configs)
    kept = recording / KEPT / os.path.relpath(options.root) / folder / mkshapesrdf.CONFIG
    try:
        layout = mkshapesrdf.layout(kept.read_text(encoding="utf-8"), folder=framework.folder)
    except (OSError, UnicodeDecodeError) as error:
        raise CaptureError(
            f"mkShapesRDF: there is no {mkshapesrdf.CONFIG} of a compiled configuration",
            evidence=str(error),
            fix="look above why it did not compile: it ends with exit code 0 whatever happens",
        ) from error
    replaced: dict[Path, Path] = {}
    repairs = list(captured.repairs)
    for part in captured.parts:
        for landing, path in part.inputs:
            if landing != part.executable or path in replaced:
                continue
            text, changed = mkshapesrdf.put_right(path.read_text(encoding="utf-8", errors="surrogateescape"), layout)
            right = path
            if changed:
                right = recording / "put-right" / f"{len(replaced)}-{landing}"
                right.parent.mkdir(exist_ok=True)
                right.write_text(text, encoding="utf-8", errors="surrogateescape")
                right.chmod(0o755)
                repairs.append(
                    Repair(
                        what=f"{landing} leaves the output in a folder of the CI job, which workers do not have",
                        evidence=changed,
                        instead="the output stays in the working folder, and septum brings it",
                    )
                )
            replaced[path] = right
    parts = tuple(
        replace(part, inputs=tuple((landing, replaced.get(path, path)) for landing, path in part.inputs))
        for part in captured.parts
    )
    updates: dict[str, Any] = {}
    if not analysis.outputs:
        updates["outputs"] = [Output.model_validate({"path": layout.output})]
    if "missing_objects" not in analysis.policies.model_fields_set:
        # Each sample has histograms of its own.
        updates["policies"] = analysis.policies.model_copy(update={"missing_objects": "groups"})
    if analysis.merge is None:
        rule = mkshapesrdf.merge_rule(layout, framework.configs)
        own = rule if options.environ.get("SEPTUM_MERGE", "framework") == "framework" else {"output": rule["output"]}
        updates["merge"] = {layout.output_file: MergeRule.model_validate(own)}
    return replace(captured, parts=parts, repairs=tuple(repairs)), analysis.model_copy(update=updates)
