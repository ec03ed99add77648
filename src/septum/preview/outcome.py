"""The form of the keywords about how a CI job ends: `artifacts`, `retry`, `allow_failure`. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/config/entry/{artifacts,retry,allow_failure}.rb`,
`app/models/concerns/enums/ci/commit_status.rb`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from septum.preview import rules
from septum.preview.features import Version
from septum.preview.forms import Problems, is_texts, is_whole, keys, whole_numbers

_MAX_RETRY = 2
_RETRY_WHENS = (
    "unknown_failure", "script_failure", "api_failure", "stuck_or_timeout_failure", "runner_system_failure",
    "missing_dependency_failure", "runner_unsupported", "stale_schedule", "job_execution_timeout", "archived_failure",
    "unmet_prerequisites", "scheduler_failure", "data_integrity_failure", "forward_deployment_failure", "user_blocked",
    "project_deleted", "ci_quota_exceeded", "pipeline_loop_detected", "no_matching_runner", "trace_size_exceeded",
    "builds_disabled", "environment_creation_failure", "deployment_rejected", "failed_outdated_deployment_job",
    "job_execution_server_timeout", "stuck_pending_with_matching_runners", "stuck_pending_no_matching_runners",
    "no_updates_running", "no_updates_canceling", "server_timeout_running", "server_timeout_canceling",
    "runner_configuration_error", "runner_external_dependency_failure", "runner_interrupted",
    "protected_environment_failure", "insufficient_bridge_permissions", "downstream_bridge_project_not_found",
    "invalid_bridge_trigger", "upstream_bridge_project_not_found", "insufficient_upstream_permissions",
    "bridge_pipeline_is_child_pipeline", "downstream_pipeline_creation_failed", "secrets_provider_not_found",
    "reached_max_descendant_pipelines_depth", "ip_restriction_failure", "reached_max_pipeline_hierarchy_size",
    "reached_downstream_pipeline_trigger_rate_limit", "duo_workflow_not_allowed", "job_router_failure",
    "job_token_expired", "id_token_burned_project_path", "downstream_project_trigger_resolved_to_empty", "always",
)  # fmt: skip
"""Every reason that a server has for a failure, those included that `retry` is of no use for."""
_ARTIFACTS = frozenset(
    {"name", "public", "untracked", "paths", "reports", "when", "expire_in", "expose_as", "exclude", "access"}
)
_ARTIFACTS_WHENS = ("on_success", "on_failure", "always")
_READERS = ("none", "developer", "all")
_MAINTAINER_SINCE = Version(18, 4)
_MAX_EXPOSE_AS = 100
_EXPOSE_AS = re.compile(r"\w[-\w ]*", re.ASCII)


def retry(value: object) -> Problems:
    """What is wrong with `retry`."""
    if not isinstance(value, dict):
        if is_whole(value):
            yield from _times("config", value)
        else:
            yield "config has to be either an integer or a hash"
        return
    yield from keys(value, {"max", "when", "exit_codes"})
    if value.get("max") is not None:
        yield from _times("max", value["max"])
    when = value.get("when")
    if not isinstance(when, str | None) and not is_texts(when):
        yield "when should be an array of strings or a string"
    elif when is not None:
        unknown = [item for item in (when if isinstance(when, list) else [when]) if item not in _RETRY_WHENS]
        if unknown:
            yield f"when contains unknown values: {', '.join(unknown)}"
    yield from _exit_codes(value)


def _times(what: str, value: object) -> Problems:
    if isinstance(value, bool) or not isinstance(value, int):
        yield f"{what} is not a number"
    elif not 0 <= value <= _MAX_RETRY:
        yield f"{what} must be {f'less than or equal to {_MAX_RETRY}' if value > 0 else 'greater than or equal to 0'}"


def _exit_codes(value: Mapping[str, object]) -> Problems:
    if value.get("exit_codes") is not None:
        yield from (f"exit codes {said}" for said in whole_numbers(value["exit_codes"]))


def allow_failure(value: object) -> Problems:
    """What is wrong with `allow_failure`."""
    if isinstance(value, dict):
        yield from keys(value, {"exit_codes"})
        yield from _exit_codes(value)
    elif not isinstance(value, bool):
        yield "config should be a hash or a boolean value"


def artifacts(value: object) -> Problems:
    """What is wrong with `artifacts`, but for who may read them."""
    if not isinstance(value, dict):
        yield "config should be a hash"
        return
    yield from keys(value, _ARTIFACTS)
    both = [key for key in value if key in ("access", "public")]
    if len(both) > 1:
        yield f"config these keys cannot be used together: {', '.join(both)}"
    # A keyword that is null counts as none here.
    given = {key: item for key, item in value.items() if item is not None}
    yield from _expose_as(given)
    for key, kind, said in (
        ("name", str, "a string"),
        ("public", bool, "a boolean value"),
        ("untracked", bool, "a boolean value"),
        ("reports", dict, "a hash"),
    ):
        if not isinstance(given.get(key), kind | None):
            yield f"{key} should be {said}"
    for key in ("paths", "exclude"):
        if not is_texts(given.get(key, [])):
            yield f"{key} should be an array of strings"
    if given.get("when", "always") not in _ARTIFACTS_WHENS:
        yield f"when should be one of: {', '.join(_ARTIFACTS_WHENS)}"
    expire_in = given.get("expire_in", "never")
    if str(expire_in).lower() != "never" and rules.duration_s(expire_in) is None:
        yield "expire in should be a duration"


def _expose_as(given: Mapping[str, object]) -> Problems:
    """What the name in the merge request asks for; it shows the first of the paths."""
    if "expose_as" not in given:
        return
    name, paths = given["expose_as"], given.get("paths")
    if not paths:
        yield "paths can't be blank"
    if isinstance(paths, list) and any("*" in path for path in paths if isinstance(path, str)):
        yield "paths can't contain '*' when used with 'expose_as'"
    if not isinstance(name, str):
        yield "expose as should be a string"
    elif len(name) > _MAX_EXPOSE_AS:
        yield f"expose as is too long (maximum is {_MAX_EXPOSE_AS} characters)"
    elif not _EXPOSE_AS.fullmatch(name):
        yield "expose as can contain only letters, digits, '-', '_' and spaces"


def readers(value: object, gitlab: Version) -> Problems:
    """What is wrong with `artifacts: access`.

    Args:
        value: The artifacts.
        gitlab: The version of the server.
    """
    known = (*_READERS, "maintainer") if gitlab >= _MAINTAINER_SINCE else _READERS
    access = value.get("access") if isinstance(value, dict) else None
    if access is not None and access not in known:
        yield f"access should be one of: {', '.join(known)}"
