"""What `tests.fakes.gitlab_server` knows of projects: settings, variables, protection, schedules, job tokens, catalog.

Each endpoint names the page that documents it. Parameters are those of the page; of the many of a project, those that
somebody here may want to set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.fakes.gitlab_endpoint import (
    DEVELOPER_LEVEL,
    GUEST_LEVEL,
    MAINTAINER_LEVEL,
    OWNER_LEVEL,
    Answer,
    Call,
    Endpoint,
    Project,
    RefusedError,
    endpoint,
)
from tests.fakes.gitlab_variables import ENDPOINTS as _VARIABLES_AND_SCHEDULES

# Settings that only who may administer the project sees (lib/api/entities/project.rb).
_ADMIN: Mapping[str, Any] = {
    "build_timeout": 3600,
    "auto_cancel_pending_pipelines": "enabled",
    "keep_latest_artifact": True,
    "restrict_user_defined_variables": False,
    "ci_pipeline_variables_minimum_override_role": "developer",
    "ci_allow_fork_pipelines_to_run_in_parent_project": True,
    "ci_push_repository_for_job_token_allowed": False,
    "ci_id_token_sub_claim_components": ["project_path", "ref_type", "ref"],
}
_PLAIN: Mapping[str, Any] = {"description": None, "default_branch": "main", "ci_config_path": None, "readme_url": None}
_PLAIN = {**_PLAIN, "archived": False}
_SETTINGS: Mapping[str, str] = {
    "name": "string",
    "path": "string",
    "description": "string",
    "default_branch": "string",
    "visibility": "string: private internal public",
    "build_timeout": "integer",
    "auto_cancel_pending_pipelines": "string: enabled disabled",
    "ci_config_path": "string",
}
_EDITED: Mapping[str, str] = {
    **_SETTINGS,
    "keep_latest_artifact": "boolean",
    "restrict_user_defined_variables": "boolean",
    "ci_pipeline_variables_minimum_override_role": "string: owner maintainer developer no_one_allowed",
    "ci_allow_fork_pipelines_to_run_in_parent_project": "boolean",
    "ci_push_repository_for_job_token_allowed": "boolean",
    "ci_id_token_sub_claim_components": "array",
}


# ── the project ─────────────────────────────────────────────────────────────────────────────────────────────────


def shown(call: Call, project: Project) -> dict[str, Any]:
    """A project as `GET /projects/:id` has it."""
    level = project.level_of(call.token)
    data = {"id": project.id, "path_with_namespace": project.path, "visibility": project.visibility, **_PLAIN}
    data |= {"web_url": f"{call.server.url}/{project.path}", "name": project.path.rpartition("/")[2]}
    data["permissions"] = {"project_access": {"access_level": level} if level else None, "group_access": None}
    hidden = set() if level >= MAINTAINER_LEVEL else set(_ADMIN)
    data |= {key: value for key, value in _ADMIN.items() if key not in hidden}
    return data | {key: value for key, value in project.attributes.items() if key not in hidden}


def _get_project(call: Call) -> Answer:
    return Answer(data=shown(call, call.here))


def _create_project(call: Call) -> Answer:
    path = call.params.get("path") or call.params.get("name")
    if not path:
        raise RefusedError(
            400, {"error": "name, path are missing, at least one parameter must be provided"}, mistake="no name"
        )
    spaces = {number: name for name, number in call.server.namespaces.items()}
    if call.params.get("namespace_id") not in spaces:
        raise RefusedError(404, {"message": "404 Namespace Not Found"})
    whole = f"{spaces[call.params['namespace_id']]}/{path}"
    if call.token.level < DEVELOPER_LEVEL:
        raise RefusedError(400, {"message": {"namespace": ["is not valid"]}})
    if any(project.path == whole for project in call.server.projects.values()):
        taken = ["has already been taken"]
        raise RefusedError(400, {"message": {"project_namespace.name": taken, "name": taken, "path": taken}})
    known = {key: value for key, value in call.params.items() if key in {*_SETTINGS} - {"name", "path", "visibility"}}
    readme = call.params.get("initialize_with_readme", False)
    project = call.server.add_project(whole, **{"default_branch": "main" if readme else None, **known})
    project.visibility = call.params.get("visibility", "private")
    project.kept["branches"] = ["main"] if readme else []
    return Answer(status=201, data=shown(call, project))


def _edit_project(call: Call) -> Answer:
    timeout = call.params.get("build_timeout", 600)
    if not 600 <= timeout < 30 * 24 * 3600:  # app/models/project.rb
        raise RefusedError(400, {"message": {"build_timeout": ["needs to be between 10 minutes and 1 month"]}})
    call.here.attributes.update({key: value for key, value in call.params.items() if key != "id"})
    return Answer(data=shown(call, call.here))


def _get_namespace(call: Call) -> Answer:
    wanted = str(call.params["id"])
    for name, number in call.server.namespaces.items():
        if wanted in {name, str(number)}:
            data = {"id": number, "name": name, "path": name.rpartition("/")[2], "kind": "group", "full_path": name}
            return Answer(data=data)
    raise RefusedError(404, {"message": "404 Namespace Not Found"})


def _get_own_token(call: Call) -> Answer:
    scopes = list(call.token.scopes)
    return Answer(data={"id": 4, "name": "a token", "scopes": scopes, "active": True, "user_id": call.token.user_id})


# ── protection ──────────────────────────────────────────────────────────────────────────────────────────────────


def protect(project: Project, kind: str, name: str, **more: Any) -> dict[str, Any]:
    """A protected branch or tag, `kind` being `branches` or `tags`."""
    level = {"id": 1000, "access_level": 40, "access_level_description": "Maintainers"}
    plain: dict[str, Any] = {"name": name}
    if kind == "branches":
        plain |= {"id": 100, "push_access_levels": [level], "merge_access_levels": [level], "allow_force_push": False}
    else:
        plain |= {"create_access_levels": [level]}
    project.kept.setdefault(f"protected_{kind}", []).append({**plain, **more})
    return {**plain, **more}


def _list_protected(kind: str) -> Any:
    return lambda call: Answer(data=list(call.here.kept.get(f"protected_{kind}", [])))


def _protect(kind: str, noun: str) -> Any:
    def handle(call: Call) -> Answer:
        name = call.params["name"]
        if any(item["name"] == name for item in call.here.kept.get(f"protected_{kind}", [])):
            raise RefusedError(409, {"message": f"Protected {noun} '{name}' already exists"})
        more: dict[str, Any] = {}
        for key in ("push", "merge", "create"):
            if f"{key}_access_level" in call.params:
                more[f"{key}_access_levels"] = [{"id": 1001, "access_level": call.params[f"{key}_access_level"]}]
        if "allow_force_push" in call.params:
            more["allow_force_push"] = call.params["allow_force_push"]
        return Answer(status=201, data=protect(call.here, kind, name, **more))

    return handle


def _edit_protected_branch(call: Call) -> Answer:
    for item in call.here.kept.get("protected_branches", []):
        if item["name"] == call.params["name"]:
            item.update({key: value for key, value in call.params.items() if key == "allow_force_push"})
            return Answer(data=item)
    raise RefusedError(404)


# ── job tokens, catalog ─────────────────────────────────────────────────────────────────────────────────────────


def _get_job_token_scope(call: Call) -> Answer:
    return Answer(data={"inbound_enabled": call.here.kept.get("inbound_enabled", True), "outbound_enabled": False})


def _edit_job_token_scope(call: Call) -> Answer:
    call.here.kept["inbound_enabled"] = call.params["enabled"]
    return Answer(status=204)


_OPERATION = re.compile(r"(query|mutation)\b.*\b(ciCatalogResource|catalogResourcesCreate)\b", re.DOTALL)


def _graphql(call: Call) -> Answer:
    """The two operations of the catalog; the path comes as a variable, so nothing can be put into the query."""
    found = _OPERATION.match(call.params["query"])
    path = call.params.get("variables", {}).get("path")
    if found is None or not isinstance(path, str):
        raise RefusedError(200, {"errors": [{"message": "unknown operation"}]}, mistake="no operation of the reference")
    project = next((p for p in call.server.projects.values() if p.path == path), None)
    if found[2] == "ciCatalogResource":
        listed = project is not None and project.kept.get("catalog")
        return Answer(
            data={"data": {"ciCatalogResource": {"id": "gid://gitlab/Ci::Catalog::Resource/1"} if listed else None}}
        )
    if "api" not in call.token.scopes or project is None or project.level_of(call.token) < OWNER_LEVEL:
        words = "The resource that you are attempting to access does not exist or you don't have permission"
        return Answer(data={"data": {"catalogResourcesCreate": None}, "errors": [{"message": words}]})
    if not project.attributes.get("description"):
        return Answer(data={"data": {"catalogResourcesCreate": {"errors": ["Project must have a description"]}}})
    project.kept["catalog"] = True
    return Answer(data={"data": {"catalogResourcesCreate": {"errors": []}}})


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────

_PROTECTED = {"name": "string!", "allow_force_push": "boolean"}
_LEVELS = {f"{key}_access_level": "integer" for key in ("push", "merge", "unprotect")}


ENDPOINTS: tuple[Endpoint, ...] = (
    *_VARIABLES_AND_SCHEDULES,
    endpoint(
        "GET",
        "/projects/:id",
        "projects/#retrieve-a-project",
        _get_project,
        level=GUEST_LEVEL,
        fields={"license": "boolean", "statistics": "boolean", "with_custom_attributes": "boolean"},
    ),
    endpoint(
        "POST",
        "/projects",
        "projects/#create-a-project",
        _create_project,
        fields={**_SETTINGS, "namespace_id": "integer", "initialize_with_readme": "boolean"},
    ),
    endpoint("PUT", "/projects/:id", "projects/#edit-a-project", _edit_project, level=MAINTAINER_LEVEL, fields=_EDITED),
    endpoint("GET", "/namespaces/:id", "namespaces/#get-details-on-a-namespace", _get_namespace),
    endpoint(
        "GET",
        "/personal_access_tokens/self",
        "personal_access_tokens/#get-details-on-a-personal-access-token",
        _get_own_token,
        scopes=("api", "read_api", "read_user", "self_rotate"),
    ),
    endpoint(
        "GET",
        "/projects/:id/protected_branches",
        "protected_branches/#list-protected-branches",
        _list_protected("branches"),
        level=DEVELOPER_LEVEL,
        fields={"search": "string"},
        paged=True,
    ),
    endpoint(
        "POST",
        "/projects/:id/protected_branches",
        "protected_branches/#protect-repository-branches",
        _protect("branches", "branch"),
        level=MAINTAINER_LEVEL,
        fields={**_PROTECTED, **_LEVELS},
    ),
    endpoint(
        "PATCH",
        "/projects/:id/protected_branches/:name",
        "protected_branches/#update-a-protected-branch",
        _edit_protected_branch,
        level=MAINTAINER_LEVEL,
        fields={"allow_force_push": "boolean"},
    ),
    endpoint(
        "GET",
        "/projects/:id/protected_tags",
        "protected_tags/#list-protected-tags",
        _list_protected("tags"),
        level=DEVELOPER_LEVEL,
        paged=True,
    ),
    endpoint(
        "POST",
        "/projects/:id/protected_tags",
        "protected_tags/#protect-a-repository-tag",
        _protect("tags", "tag"),
        level=MAINTAINER_LEVEL,
        fields={"name": "string!", "create_access_level": "integer"},
    ),
    endpoint(
        "GET",
        "/projects/:id/job_token_scope",
        "project_job_token_scopes/#get-a-projects-cicd-job-token-access-settings",
        _get_job_token_scope,
        level=MAINTAINER_LEVEL,
    ),
    endpoint(
        "PATCH",
        "/projects/:id/job_token_scope",
        "project_job_token_scopes/#patch-a-projects-cicd-job-token-access-settings",
        _edit_job_token_scope,
        level=MAINTAINER_LEVEL,
        fields={"enabled": "boolean!"},
    ),
    # Mutation.catalogResourcesCreate and Query.ciCatalogResource
    endpoint(
        "POST",
        "/api/graphql",
        "graphql/reference/",
        _graphql,
        writes=False,
        fields={"query": "string!", "variables": "hash", "operationName": "string"},
    ),
)
