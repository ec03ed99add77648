"""Looks at a project on GitLab. Of variables, values are dropped as they come in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from septum.compare.verdicts import printable
from septum.errors import GitlabRefusedError, UsageError
from septum.forge import ForgeError, Trouble
from septum.gitlab.door import Door, is_unauthorized, refused
from septum.gitlab.found import MAINTAINER, Found, FoundBranch, FoundSchedule, FoundVariable, Unseen
from septum.gitlab.wanted import Wanted

T = TypeVar("T")

_CATALOG_QUERY = "query($path: ID!) { ciCatalogResource(fullPath: $path) { id } }"
"""`Query.ciCatalogResource` of GraphQL's reference."""
_NOT_SEEN = frozenset({Trouble.FORBIDDEN, Trouble.ABSENT})
_PER_PAGE = 100
_LONGEST = 255


def scopes_of(door: Door) -> tuple[str, ...]:
    """The scopes of the token; empty where GitLab does not say.

    Raises:
        SeptumError: GitLab does not take the token, or does not answer.
    """
    try:
        scopes = door.read(lambda more: door.client.personal_access_tokens.get("self", **more)).attributes.get("scopes")
    except ForgeError as error:
        # Only 401 says that the token is none; not every kind of token knows of itself.
        if (
            error.evidence.startswith("HTTP 4")
            and error.trouble is not Trouble.UNAVAILABLE
            and not is_unauthorized(error)
        ):
            return ()
        raise refused(error, what="the token is not taken", url=door.url, needs="the scope 'api'") from None
    return tuple(map(str, scopes)) if isinstance(scopes, list) else ()


def look(door: Door, wanted: Wanted) -> Found:
    """Look at everything that is wanted.

    Returns:
        What is there; one that is not there if GitLab shows no such project.

    Raises:
        SeptumError: GitLab does not take the token, or does not answer.
    """
    project = _project(door, wanted.project)
    if project is None:
        return Found()
    attributes = project.attributes
    if attributes.get("archived"):
        raise GitlabRefusedError(
            f"gitlab: the project {wanted.project} is archived: nothing in it can be changed, and no pipeline runs",
            fix="unarchive it first, in GitLab: Settings > General > Advanced",
        )
    names = {*(setting.name for setting in wanted.settings), "build_timeout", "description", "readme_url"}
    empty = bool(attributes.get("empty_repo"))
    return Found(
        number=attributes["id"],
        path=str(attributes["path_with_namespace"]),
        attributes={name: attributes[name] for name in names & {*attributes}},
        default_branch="" if empty else str(attributes.get("default_branch") or ""),
        branches=_seen(door, lambda more: _branches(project, more)),
        tags=_seen(door, lambda more: tuple(str(one.name) for one in project.protectedtags.list(**_all(more)))),
        variables=_seen(door, lambda more: _variables(project, more)) if wanted.variables else (),
        schedules=_seen(door, lambda more: _schedules(project, wanted, more)) if wanted.schedules else (),
        limited=_seen(door, lambda more: bool(project.job_token_scope.get(**more).inbound_enabled)),
        in_catalog=_seen(door, lambda more: _in_catalog(door, wanted.project, more)) if wanted.catalog else None,
    )


def _project(door: Door, path: str) -> Any:
    """The project; None if GitLab shows none of that path."""
    try:
        project = door.read(lambda more: door.client.projects.get(path, **more))
        if not isinstance(project.attributes.get("id"), int):
            raise ForgeError(Trouble.MISUNDERSTOOD, "a project without a number")
    except ForgeError as error:
        if error.trouble is Trouble.ABSENT:
            return None
        raise refused(
            error, what=f"the project {path} cannot be read", url=door.url, needs="the scope 'read_api'"
        ) from None
    found = printable(str(project.attributes.get("path_with_namespace")), _LONGEST)
    if found.lower() != path.lower():
        raise UsageError(
            f"gitlab: the project {path} has another path now",
            evidence=found,
            fix=f"--project {found}, and: git remote set-url origin …",
        )
    return project


def _seen(door: Door, ask: Callable[[dict[str, Any]], T]) -> T | Unseen:
    """An answer, or that the token may not have it."""
    try:
        return door.read(ask)
    except ForgeError as error:
        if error.trouble in _NOT_SEEN and not is_unauthorized(error):
            return Unseen(words=error.evidence)
        raise refused(error, what="the project cannot be read", url=door.url, needs="the scope 'read_api'") from None


def _all(more: Mapping[str, Any]) -> dict[str, Any]:
    return {"get_all": True, "per_page": _PER_PAGE, **more}


def _branches(project: Any, more: Mapping[str, Any]) -> tuple[FoundBranch, ...]:
    return tuple(
        FoundBranch(
            name=str(one.attributes.get("name")),
            force_push=bool(one.attributes.get("allow_force_push")),
            developers_push=any(
                0 < (level.get("access_level") or 0) < MAINTAINER
                for level in one.attributes.get("push_access_levels") or []
            ),
        )
        for one in project.protectedbranches.list(**_all(more))
    )


def _variables(project: Any, more: Mapping[str, Any]) -> tuple[FoundVariable, ...]:
    return tuple(variable_of(one.attributes) for one in project.variables.list(**_all(more)))


def variable_of(attributes: Mapping[str, Any]) -> FoundVariable:
    """A variable as GitLab has it, without its value."""
    return FoundVariable(
        key=str(attributes.get("key")),
        scope=str(attributes.get("environment_scope", "*")),
        is_file=attributes.get("variable_type") == "file",
        protected=bool(attributes.get("protected")),
        masked=bool(attributes.get("masked")),
        hidden=bool(attributes.get("hidden")),
        raw=bool(attributes.get("raw")),
    )


def _schedules(project: Any, wanted: Wanted, more: Mapping[str, Any]) -> tuple[FoundSchedule, ...]:
    """The schedules; the list has no inputs, so those that are wanted with some are read once more."""
    with_inputs = {schedule.name for schedule in wanted.schedules if schedule.inputs}
    found = []
    for one in project.pipelineschedules.list(**_all(more)):
        attributes = one.attributes
        if attributes.get("description") in with_inputs:
            attributes = project.pipelineschedules.get(one.get_id(), **more).attributes
        found.append(_schedule_of(attributes))
    return tuple(found)


def _schedule_of(attributes: Mapping[str, Any]) -> FoundSchedule:
    inputs = attributes.get("inputs")
    return FoundSchedule(
        number=int(attributes["id"]),
        name=str(attributes.get("description")),
        cron=str(attributes.get("cron")),
        ref=str(attributes.get("ref")),
        active=bool(attributes.get("active")),
        inputs={str(one.get("name")): one.get("value") for one in inputs} if isinstance(inputs, list) else None,
    )


def _in_catalog(door: Door, path: str, more: Mapping[str, Any]) -> bool:
    found = door.graphql(_CATALOG_QUERY, path, more)["data"]
    return found is not None and found.get("ciCatalogResource") is not None
