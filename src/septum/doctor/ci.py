"""What a GitLab CI job has to bring: variables on this branch, no trace of the shell, and time enough."""

from __future__ import annotations

import os
from collections.abc import Mapping

from septum.credentials.choose import require_variables, uses_secrets
from septum.credentials.held import SUPERVISED
from septum.doctor.analysis import PLAN, PROFILE, run_time_s
from septum.doctor.report import Outcome, ok, warning
from septum.doctor.runner import Context
from septum.errors import CredentialExposedError, CredentialMissingError
from septum.units import show_duration

_TRACES = ("CI_DEBUG_TRACE", "CI_DEBUG_SERVICES")


def in_gitlab(environ: Mapping[str, str]) -> bool:
    """Whether this is a CI job of GitLab."""
    return environ.get("GITLAB_CI") == "true"


def _wants_secrets(context: Context) -> bool:
    loaded = context.value(PROFILE)
    return loaded is None or uses_secrets(loaded.profile)


def debug_trace(context: Context) -> Outcome | None:
    """GitLab does not write the variables into the log."""
    tracing = [name for name in _TRACES if context.environ.get(name, "").lower() in {"true", "1", "t"}]
    if not tracing:
        return ok("off") if in_gitlab(context.environ) else None
    what = f"{tracing[0]} is on: GitLab writes every variable of this CI job into its log"
    fix = (
        f"Remove {tracing[0]} from .gitlab-ci.yml and from Settings > CI/CD > Variables, delete the logs of CI jobs "
        "that ran with it, and replace the secrets in them."
    )
    if not _wants_secrets(context):
        return warning(what, cause="this cluster needs no secret, but the project may have others", fix=fix)
    raise CredentialExposedError(what, evidence="so no run asks for a credential", fix=fix)


def branch(context: Context) -> Outcome:
    """The branch or tag is one that gets the project's protected variables."""
    environ = context.environ
    ref = environ.get("CI_COMMIT_REF_NAME") or "this ref"
    if not _wants_secrets(context):
        return ok(f"{ref}; this cluster needs no secret")
    if fork := fork_of(environ):
        return warning(
            fork, cause=_why_fork(environ), fix="Review the change, then run it on a protected branch of this project."
        )
    if environ.get("CI_COMMIT_REF_PROTECTED") == "true":
        return ok(f"{ref} is protected")
    there = _missing(context) is None and not environ.get(SUPERVISED)
    return warning(
        f"{ref} is not protected",
        cause=(
            "and yet all variables are here: they are not protected ones, so whoever can push a branch can read them"
            if there
            else "protected variables exist in pipelines of protected branches and tags only"
        ),
        fix=(
            "Make the variables protected in Settings > CI/CD > Variables, and protect the branches that run analyses."
            if there
            else f"Protect {ref} in Settings > Repository > Protected branches (or tags), or run on one that is."
        ),
    )


def fork_of(environ: Mapping[str, str]) -> str:
    """One sentence if this is a pipeline for a merge request of a fork; empty if not."""
    source = environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "")
    here, target = environ.get("CI_PROJECT_ID", ""), environ.get("CI_MERGE_REQUEST_PROJECT_ID", "")
    if source and source != here:
        return "a merge request of a fork, run in this project"
    if source and target and source != target:
        return "a merge request of a fork, run in the fork"
    return ""


def _why_fork(environ: Mapping[str, str]) -> str:
    if environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID") == environ.get("CI_PROJECT_ID"):
        return "it has the variables of the fork, and none of the project that it wants to be merged into"
    return "the code of another project decides here what is done; GitLab gives it no protected variables"


def variables(context: Context) -> Outcome:
    """All variables are there that the cluster's credentials come from."""
    if context.environ.get(SUPERVISED):
        return ok("kept by 'septum credentials run'")
    error = _missing(context)
    if error is None:
        return ok("all that the cluster needs are set")
    fix = error.fix
    if not in_gitlab(context.environ):
        fix = f"Export them here (docs/how-to/set-up-credentials.md, 'On your machine'). In GitLab:\n{fix}"
    raise CredentialMissingError(error.what, evidence=f"{error.evidence}\n{_why_absent(context.environ)}", fix=fix)


def _missing(context: Context) -> CredentialMissingError | None:
    loaded = context.value(PROFILE)
    try:
        if loaded is not None:
            require_variables(loaded.profile, context.environ)
    except CredentialMissingError as error:
        return error
    return None


def _why_absent(environ: Mapping[str, str]) -> str:
    """What of this pipeline explains that variables are absent."""
    if not in_gitlab(environ):
        return "this is no CI job of GitLab, so they must stand in the environment of the command"
    if fork := fork_of(environ):
        return f"this is {fork}: {_why_fork(environ)}"
    ref = environ.get("CI_COMMIT_REF_NAME") or "this ref"
    if environ.get("CI_COMMIT_REF_PROTECTED") != "true":
        return (
            f"{ref} is not protected (CI_COMMIT_REF_PROTECTED is not 'true'): of the project's variables, those "
            "marked 'protected' are absent here"
        )
    if name := environ.get("CI_ENVIRONMENT_NAME", ""):
        return f"{ref} is protected, and this CI job has the environment {name!r}: look at their environment scope"
    return (
        f"{ref} is protected, so it is not that: they do not exist, or have an environment scope, and this CI job has "
        "no environment"
    )


def job_time(context: Context) -> Outcome | None:
    """The CI job lives as long as the jobs that it waits for."""
    text = context.environ.get("CI_JOB_TIMEOUT", "")
    loaded, plan = context.value(PROFILE), context.value(PLAN)
    if not text.isdigit() or loaded is None:
        return None
    has_s, profile = int(text), loaded.profile
    if profile.method == "local":
        if plan is None or plan.request.time_s is None:
            return ok(f"this CI job may take {show_duration(has_s)}")
        slots = profile.slots or os.cpu_count() or 1
        need_s = plan.request.time_s * -(-len(plan.parts) // slots)
        why = f"{len(plan.parts)} parts, {slots} at a time, each up to {show_duration(plan.request.time_s)}"
    else:
        need_s = profile.queue_time + run_time_s(context)
        why = (
            f"one job may wait for {show_duration(profile.queue_time)} (queue-time) and run for "
            f"{show_duration(run_time_s(context))}"
        )
    if has_s >= need_s:
        return ok(f"this CI job may take {show_duration(has_s)}, one job {show_duration(need_s)}")
    return warning(
        f"this CI job may take {show_duration(has_s)}, and the run {show_duration(need_s)}",
        cause=why,
        fix="Raise the component's input 'timeout' and the project's limit (Settings > CI/CD > General pipelines), or "
        "lower 'resources: time'.\nA collect that runs out of time is not lost: retry it, and it goes on.",
    )
