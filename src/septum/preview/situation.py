"""The situation that a pipeline begins in, and what follows from it: predefined variables, precedence, expansion. Pure.

Behaviour: doc/ci/variables/predefined_variables.md, doc/ci/variables/_index.md ("CI/CD variable precedence"), gitlabhq
`lib/expand_variables.rb` and `lib/gitlab/ci/variables/collection*`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from septum.errors import PipelineError
from septum.preview.features import NEWEST, Version
from septum.preview.source import Variable

Kind = Literal["push", "merge_request_event", "schedule", "web", "api", "trigger", "parent_pipeline"]
KINDS: tuple[Kind, ...] = ("push", "merge_request_event", "schedule", "web", "api", "trigger", "parent_pipeline")
SERVER = "gitlab.cern.ch"
PROJECT = "group/project"
SHA = "0123456789abcdef0123456789abcdef01234567"
"""The commit of every preview: a made-up one, so that the same files always give the same preview."""

_NOTHING: Mapping[str, Variable] = MappingProxyType({})
_MAX_CHAIN = 100
_MAX_LENGTH = 1024 * 1024
_BLANK_SHA = "0" * 40
_MERGE_REQUEST = "1"
# The forms `$NAME`, `${NAME}` and `%NAME%`; `$$` and `%%` are not the beginning of one.
_REFERENCE = re.compile(
    r"\$\$|%%|\$(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|\$\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\}"
    r"|%(?P<percent>[A-Za-z_][A-Za-z0-9_]*)%"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What starts a pipeline, and on what.

    Attributes:
        source: GitLab's `CI_PIPELINE_SOURCE`.
        ref: The branch or the tag; for a merge request the source branch.
        tag: Whether `ref` is a tag.
        protected: Whether the branch or tag is protected.
        default_branch: The project's.
        target: The target branch of a merge request.
        open_merge_request: Whether a merge request is open whose source branch is called like `ref`, in a pipeline
            that is not the merge request's own.
        fork: The path of the project that a merge request comes from, if that is another one.
        project: The project's path on the server.
        server: The server's name, with a port unless it is 443.
        variables: What the project, or whoever starts the pipeline, sets. They win over those of the YAML.
        changes: The files that the push or the merge request changes; None if GitLab cannot know (a new branch, a tag,
            a schedule), so that `rules:changes` is met.
        gitlab: The version of the server.
    """

    source: Kind = "push"
    ref: str = "main"
    tag: bool = False
    protected: bool = True
    default_branch: str = "main"
    target: str = "main"
    open_merge_request: bool = False
    fork: str = ""
    project: str = PROJECT
    server: str = SERVER
    variables: Mapping[str, Variable] = field(default_factory=lambda: _NOTHING)
    changes: tuple[str, ...] | None = None
    gitlab: Version = NEWEST

    @property
    def merge_request(self) -> bool:
        """Whether the pipeline is one of a merge request."""
        return self.source == "merge_request_event"

    @property
    def branch(self) -> bool:
        """Whether the pipeline is one of a branch; that of a merge request is not."""
        return not self.tag and not self.merge_request


def predefined(situation: Situation) -> dict[str, str]:
    """The variables that GitLab sets before there are CI jobs.

    Those that only exist later, such as `CI_PIPELINE_ID` and `CI_JOB_ID`, are not among them: rules cannot see them.
    """
    values = {**_of_server(situation), **_of_project(situation)}
    values |= {
        "CI_PIPELINE_SOURCE": situation.source,
        "CI_COMMIT_SHA": SHA,
        "CI_COMMIT_SHORT_SHA": SHA[:8],
        "CI_COMMIT_BEFORE_SHA": _BLANK_SHA,
        "CI_COMMIT_REF_NAME": situation.ref,
        "CI_COMMIT_REF_SLUG": slug(situation.ref),
        "CI_COMMIT_REF_PROTECTED": "true" if situation.protected else "false",
    }
    if situation.source == "trigger":
        values["CI_PIPELINE_TRIGGERED"] = "true"
    if situation.source == "schedule":
        values["CI_PIPELINE_SCHEDULE_DESCRIPTION"] = "schedule"
    # GitLab looks for the name alone, so that a tag which is called like a branch has the branch's merge request.
    if situation.merge_request or situation.open_merge_request:
        values["CI_OPEN_MERGE_REQUESTS"] = f"{situation.project}!{_MERGE_REQUEST}"
    if situation.tag:
        values |= {"CI_COMMIT_TAG": situation.ref}
    elif situation.merge_request:
        values |= _of_merge_request(situation)
    else:
        values["CI_COMMIT_BRANCH"] = situation.ref
    return values


def _of_server(situation: Situation) -> dict[str, str]:
    host, _, port = situation.server.partition(":")
    url = f"https://{situation.server}"
    version = situation.gitlab
    return {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_API_GRAPHQL_URL": f"{url}/api/graphql",
        "CI_API_V4_URL": f"{url}/api/v4",
        "CI_SERVER": "yes",
        "CI_SERVER_FQDN": situation.server,
        "CI_SERVER_HOST": host,
        "CI_SERVER_NAME": "GitLab",
        "CI_SERVER_PORT": port or "443",
        "CI_SERVER_PROTOCOL": "https",
        "CI_SERVER_URL": url,
        "CI_SERVER_VERSION": f"{version}.0",
        "CI_SERVER_VERSION_MAJOR": str(version.major),
        "CI_SERVER_VERSION_MINOR": str(version.minor),
        "CI_SERVER_VERSION_PATCH": "0",
    }


def _of_project(situation: Situation) -> dict[str, str]:
    namespace, _, name = situation.project.rpartition("/")
    return {
        "CI_CONFIG_PATH": ".gitlab-ci.yml",
        "CI_DEFAULT_BRANCH": situation.default_branch,
        "CI_DEFAULT_BRANCH_SLUG": slug(situation.default_branch),
        "CI_PROJECT_NAME": name,
        "CI_PROJECT_NAMESPACE": namespace,
        "CI_PROJECT_PATH": situation.project,
        "CI_PROJECT_PATH_SLUG": slug(situation.project),
        "CI_PROJECT_ROOT_NAMESPACE": namespace.partition("/")[0],
        "CI_PROJECT_TITLE": name,
        "CI_PROJECT_URL": f"https://{situation.server}/{situation.project}",
        "CI_PROJECT_VISIBILITY": "private",
    }


def _of_merge_request(situation: Situation) -> dict[str, str]:
    return {
        "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
        "CI_MERGE_REQUEST_ID": _MERGE_REQUEST,
        "CI_MERGE_REQUEST_IID": _MERGE_REQUEST,
        "CI_MERGE_REQUEST_PROJECT_PATH": situation.project,
        "CI_MERGE_REQUEST_PROJECT_URL": f"https://{situation.server}/{situation.project}",
        "CI_MERGE_REQUEST_REF_PATH": f"refs/merge-requests/{_MERGE_REQUEST}/head",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": situation.ref,
        "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": situation.fork or situation.project,
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": situation.target,
    }


def slug(text: str) -> str:
    """A name as GitLab writes it in addresses: lower case, digits and hyphens, 63 characters."""
    return re.sub(r"[^a-z0-9]", "-", text.lower())[:63].strip("-")


def visible(situation: Situation, *layers: Mapping[str, Variable]) -> dict[str, Variable]:
    """The variables at some point, by GitLab's precedence.

    Args:
        situation: Its predefined variables are the weakest, its own the strongest.
        *layers: What the YAML sets, the weaker first: default variables, those of the CI job, those of its rule.
    """
    found = {name: Variable(value=value) for name, value in predefined(situation).items()}
    for layer in (*layers, situation.variables):
        found.update(layer)
    return found


def values(variables: Mapping[str, Variable]) -> dict[str, str]:
    """The plain values, as `rules:if` sees them: nothing in them is expanded."""
    return {name: variable.value for name, variable in variables.items()}


def fill(text: str, variables: Mapping[str, str], *, keep: bool) -> str:
    """Put variables into a text, one level.

    Args:
        text: What may hold `$NAME`, `${NAME}` or `%NAME%`.
        variables: The values.
        keep: Whether an unknown one stays as it is written; else it becomes nothing.
    """

    def replace(match: re.Match[str]) -> str:
        name = match["plain"] or match["braced"] or match["percent"]
        return variables.get(name, match[0] if keep else "") if name else match[0]

    return _REFERENCE.sub(replace, text)


def expanded(variables: Mapping[str, Variable], *, where: str) -> dict[str, str]:
    """The values with the variables in them replaced, at any depth. Raw ones stay as they are.

    Args:
        variables: All that are visible.
        where: The CI job, for the message.

    Raises:
        PipelineError: Variables refer to each other in a circle; GitLab then makes no pipeline.
    """
    done: dict[str, str] = {}

    def settle(name: str, chain: tuple[str, ...]) -> str:
        if name in chain:
            circle = [*chain[chain.index(name) :]]
            raise PipelineError(
                f"{where}: circular variable reference detected: {circle}",
                evidence="\n".join(f"{each}: {variables[each].value}" for each in circle),
                fix="take one of these variables out of the value of another",
            )
        if name not in done:
            variable = variables[name]
            if variable.raw:
                done[name] = variable.value
            else:
                known = {key: settle(key, (*chain, name)) for key in _names(variable.value) if key in variables}
                done[name] = fill(variable.value, known, keep=True)
                if len(chain) > _MAX_CHAIN or len(done[name]) > _MAX_LENGTH:
                    raise PipelineError(f"{where}: the variable {name} is too much to expand", fix="shorten its value")
        return done[name]

    for name in variables:
        settle(name, ())
    return done


def expanded_if_possible(variables: Mapping[str, Variable]) -> dict[str, str]:
    """The same where GitLab does not complain of a circle: then nothing is replaced."""
    try:
        return expanded(variables, where="")
    except PipelineError:
        return values(variables)


def _names(text: str) -> set[str]:
    found = (match["plain"] or match["braced"] or match["percent"] for match in _REFERENCE.finditer(text))
    return {name for name in found if name}
