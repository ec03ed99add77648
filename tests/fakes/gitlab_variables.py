"""What `tests.fakes.gitlab_server` knows of CI/CD variables and schedules; see `tests.fakes.gitlab_project`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Any

from tests.fakes.gitlab_endpoint import (
    DEVELOPER_LEVEL,
    MAINTAINER_LEVEL,
    REPORTER_LEVEL,
    Answer,
    Call,
    Endpoint,
    Project,
    RefusedError,
    endpoint,
)

_KEY = re.compile(r"[A-Za-z0-9_]{1,255}")
_MASKED = re.compile(r"[a-zA-Z0-9_+=/@:.~-]{8,}")
_MASKED_RAW = re.compile(r"\S{8,}")
_CRON = re.compile(r"\S+( \S+){4}")


# ── variables ───────────────────────────────────────────────────────────────────────────────────────────────────


def variables_of(project: Project) -> list[dict[str, Any]]:
    """The variables of a project, as GitLab stores them."""
    return project.kept.setdefault("variables", [])  # type: ignore[no-any-return]


def add_variable(project: Project, key: str, value: str = "a value", **attributes: Any) -> None:
    """A variable that is there."""
    plain = {"variable_type": "env_var", "protected": False, "masked": False, "hidden": False, "raw": False}
    plain |= {"environment_scope": "*", "description": None}
    variables_of(project).append({"key": key, "value": value, **plain, **attributes})


def _seen(variable: Mapping[str, Any]) -> dict[str, Any]:
    return {**variable, "value": None if variable["hidden"] else variable["value"]}


def _list_variables(call: Call) -> Answer:
    return Answer(data=[_seen(variable) for variable in variables_of(call.here)])


def _find_variable(call: Call) -> dict[str, Any]:
    scope = call.params.get("filter", {}).get("environment_scope")
    found = [v for v in variables_of(call.here) if v["key"] == call.params["key"]]
    found = [v for v in found if scope is None or v["environment_scope"] == scope]
    if not found:
        raise RefusedError(404, {"message": "404 Variable Not Found"})
    if len(found) > 1:
        words = "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'"
        raise RefusedError(409, {"message": words})
    return found[0]


def _judge_variable(variable: Mapping[str, Any]) -> None:
    """What GitLab validates (app/models/concerns/ci/maskable.rb)."""
    if not _KEY.fullmatch(variable["key"]):
        raise RefusedError(400, {"message": {"key": ["can contain only letters, digits and '_'."]}})
    rule = _MASKED_RAW if variable["raw"] else _MASKED
    if variable["masked"] and not rule.fullmatch(variable["value"]):
        raise RefusedError(400, {"message": {"value": ["is invalid"]}})


def _create_variable(call: Call) -> Answer:
    given = {key: value for key, value in call.params.items() if key != "id"}
    hidden = given.pop("masked_and_hidden", False)
    plain = {"variable_type": "env_var", "protected": False, "masked": False, "raw": False, "description": None}
    variable = {**plain, "environment_scope": "*", **given, "hidden": hidden}
    variable["masked"] = variable["masked"] or hidden
    _judge_variable(variable)
    same = (variable["key"], variable["environment_scope"])
    if any((v["key"], v["environment_scope"]) == same for v in variables_of(call.here)):
        raise RefusedError(400, {"message": {"key": [f"({variable['key']}) has already been taken"]}})
    variables_of(call.here).append(variable)
    return Answer(status=201, data=_seen(variable))


def _edit_variable(call: Call) -> Answer:
    variable = _find_variable(call)
    changes = {key: value for key, value in call.params.items() if key not in {"id", "key", "filter"}}
    if variable["hidden"] and "masked" in changes:
        # app/models/concerns/ci/hidable_variable.rb; there are versions that refuse `true`, too.
        words = "The visibility setting cannot be changed for masked and hidden variables."
        raise RefusedError(400, {"message": {"base": [words]}})
    _judge_variable({**variable, **changes})
    variable.update(changes)
    return Answer(data=_seen(variable))


# ── schedules ───────────────────────────────────────────────────────────────────────────────────────────────────


def schedules_of(project: Project) -> list[dict[str, Any]]:
    """The schedules of a project, with their inputs."""
    return project.kept.setdefault("schedules", [])  # type: ignore[no-any-return]


def add_schedule(project: Project, description: str, **more: Any) -> dict[str, Any]:
    """A schedule that is there."""
    plain = {"ref": "refs/heads/main", "cron": "0 1 * * *", "cron_timezone": "UTC", "active": True, "inputs": []}
    owner = {"id": 2, "username": "maintainer"}
    number = 13 + len(schedules_of(project))
    schedules_of(project).append({"id": number, "description": description, **plain, "owner": owner, **more})
    return schedules_of(project)[-1]


def _list_schedules(call: Call) -> Answer:
    return Answer(data=[{k: v for k, v in s.items() if k != "inputs"} for s in schedules_of(call.here)])


def _schedule(call: Call) -> dict[str, Any]:
    for schedule in schedules_of(call.here):
        if str(schedule["id"]) == call.params["pipeline_schedule_id"]:
            return schedule
    raise RefusedError(404, {"message": "404 Pipeline Schedule Not Found"})


def _judge_schedule(call: Call) -> dict[str, Any]:
    given = {key: value for key, value in call.params.items() if key not in {"id", "pipeline_schedule_id"}}
    for item in given.get("inputs", []):
        if not isinstance(item, dict) or "name" not in item or not {"value", "destroy"} & item.keys():
            raise RefusedError(400, {"error": "inputs[0][name] is missing"}, mistake="an input without name or value")
    if "cron" in given and not _CRON.fullmatch(given["cron"]):
        raise RefusedError(400, {"message": {"cron": ["syntax is invalid"]}})
    if "ref" in given:
        branch = given["ref"].removeprefix("refs/heads/")
        if not any(fnmatch.fnmatch(branch, one) for one in call.here.kept.get("branches", ["main"])):
            raise RefusedError(400, {"message": {"ref": ["is ambiguous"]}})
        given["ref"] = f"refs/heads/{branch}"
    return given


def _create_schedule(call: Call) -> Answer:
    given = _judge_schedule(call)
    owner = {"id": call.token.user_id, "username": call.token.user}
    made = add_schedule(call.here, given.pop("description"), **{**given, "owner": owner})
    return Answer(status=201, data=made)


def _edit_schedule(call: Call) -> Answer:
    schedule = _schedule(call)
    # app/policies/ci/pipeline_schedule_policy.rb: not even a Maintainer, who may take it over.
    if schedule["owner"]["username"] != call.token.user:
        raise RefusedError(403)
    given = _judge_schedule(call)
    inputs = {item["name"]: item["value"] for item in schedule["inputs"]}
    for item in given.pop("inputs", []):
        inputs.pop(item["name"], None)
        if not item.get("destroy"):
            inputs[item["name"]] = item["value"]
    schedule.update(given)
    schedule["inputs"] = [{"name": name, "value": value} for name, value in inputs.items()]
    return Answer(data=schedule)


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────

_VARIABLE = {
    "value": "string!",
    "description": "string",
    "environment_scope": "string",
    "masked": "boolean",
    "protected": "boolean",
    "raw": "boolean",
    "variable_type": "string: env_var file",
}
_SCHEDULE = {
    "cron": "string",
    "description": "string",
    "ref": "string",
    "active": "boolean",
    "cron_timezone": "string",
    "inputs": "array",
}
ENDPOINTS: tuple[Endpoint, ...] = (
    endpoint(
        "GET",
        "/projects/:id/variables",
        "project_level_variables/#list-project-variables",
        _list_variables,
        level=MAINTAINER_LEVEL,
        paged=True,
    ),
    endpoint(
        "GET",
        "/projects/:id/variables/:key",
        "project_level_variables/#get-a-single-variable",
        lambda call: Answer(data=_seen(_find_variable(call))),
        level=MAINTAINER_LEVEL,
        fields={"filter": "hash"},
    ),
    endpoint(
        "POST",
        "/projects/:id/variables",
        "project_level_variables/#create-a-variable",
        _create_variable,
        level=MAINTAINER_LEVEL,
        fields={"key": "string!", **_VARIABLE, "masked_and_hidden": "boolean"},
    ),
    endpoint(
        "PUT",
        "/projects/:id/variables/:key",
        "project_level_variables/#update-a-variable",
        _edit_variable,
        level=MAINTAINER_LEVEL,
        fields={**_VARIABLE, "filter": "hash"},
    ),
    endpoint(
        "GET",
        "/projects/:id/pipeline_schedules",
        "pipeline_schedules/#get-all-pipeline-schedules",
        _list_schedules,
        level=REPORTER_LEVEL,
        fields={"scope": "string: active inactive"},
        paged=True,
    ),
    endpoint(
        "GET",
        "/projects/:id/pipeline_schedules/:pipeline_schedule_id",
        "pipeline_schedules/#get-a-single-pipeline-schedule",
        lambda call: Answer(data=_schedule(call)),
        level=REPORTER_LEVEL,
    ),
    endpoint(
        "POST",
        "/projects/:id/pipeline_schedules",
        "pipeline_schedules/#create-a-new-pipeline-schedule",
        _create_schedule,
        level=DEVELOPER_LEVEL,
        fields={**_SCHEDULE, "cron": "string!", "description": "string!", "ref": "string!"},
    ),
    endpoint(
        "PUT",
        "/projects/:id/pipeline_schedules/:pipeline_schedule_id",
        "pipeline_schedules/#edit-a-pipeline-schedule",
        _edit_schedule,
        level=DEVELOPER_LEVEL,
        fields=_SCHEDULE,
    ),
)
