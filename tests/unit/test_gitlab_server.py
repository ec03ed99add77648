"""The fake GitLab judges: what GitLab's pages do not document is refused, and fails the test that asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gitlab
import pytest

from tests.fakes import gitlab_project, gitlab_server
from tests.fakes.gitlab_server import GitlabServer

_PATH = "my-group/my-analysis"


@pytest.fixture
def server() -> Iterator[GitlabServer]:
    """A GitLab with one project."""
    with gitlab_server.serving(*gitlab_project.ENDPOINTS) as made:
        made.add_project(_PATH)
        yield made


def client(server: GitlabServer, token: str = gitlab_server.MAINTAINER) -> gitlab.Gitlab:
    """The real client."""
    return gitlab.Gitlab(server.url, private_token=token, keep_base_url=True)


@pytest.mark.parametrize(
    ("ask", "status", "words"),
    [
        (lambda p: p.branches.list(), 404, "no such endpoint is documented"),
        (lambda p: p.variables.create({"key": "A", "value": "b", "hiden": True}), 400, "no parameter 'hiden'"),
        (lambda p: p.variables.update("A", {"protected": True}), 400, "the required parameter 'value' is missing"),
        (lambda p: p.variables.create({"key": "A", "value": 1}), 400, "'value' is no string"),
        (lambda p: p.variables.create({"key": "A", "value": "b", "masked": "yes"}), 400, "'masked' is no boolean"),
        (
            lambda p: p.variables.create({"key": "A", "value": "b", "variable_type": "secret"}),
            400,
            "'variable_type' is none of: env_var file",
        ),
        (lambda p: p.protectedtags.create({"name": "v*", "create_access_level": True}), 400, "is no integer"),
        (lambda p: p.pipelineschedules.list(scope="all"), 400, "'scope' is none of: active inactive"),
        (lambda p: p.manager.gitlab.http_post("/projects", post_data=[1]), 400, "a body that is no object"),
    ],
)
def test_what_is_not_documented_is_a_mistake(ask: Callable[[Any], Any], status: int, words: str) -> None:
    """It is refused, and the end of the test names it with its page, even if the program has swallowed the refusal."""
    with pytest.raises(AssertionError, match=words):
        _ask_strictly(ask, status)


def _ask_strictly(ask: Callable[[Any], Any], status: int) -> None:
    with gitlab_server.serving(*gitlab_project.ENDPOINTS) as server:
        server.add_project(_PATH)
        project = client(server).projects.get(_PATH)
        with pytest.raises(gitlab.GitlabError) as refused:
            ask(project)
        assert refused.value.response_code == status


def test_what_gitlab_would_refuse_is_no_mistake(server: GitlabServer) -> None:
    """A value that cannot be masked, a name that is taken, a branch that is not there: refused in GitLab's words."""
    project = client(server).projects.get(_PATH)
    for data in ({"key": "A", "value": "short", "masked": True}, {"key": "A-B", "value": "b"}):
        with pytest.raises(gitlab.GitlabCreateError):
            project.variables.create(data)
    project.variables.create({"key": "A", "value": "b"})
    with pytest.raises(gitlab.GitlabCreateError, match="already been taken"):
        project.variables.create({"key": "A", "value": "b"})
    with pytest.raises(gitlab.GitlabCreateError, match="ambiguous"):
        project.pipelineschedules.create({"description": "a", "ref": "nowhere", "cron": "0 1 * * *"})
    project.protectedbranches.create({"name": "main"})
    with pytest.raises(gitlab.GitlabCreateError, match="already exists") as taken:
        project.protectedbranches.create({"name": "main"})

    assert taken.value.response_code == 409
    assert server.mistakes == []


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("glpat-nobody", 401),
        (gitlab_server.STRANGER, 404),
        (gitlab_server.REPORTER, 403),
        (gitlab_server.DEVELOPER, 403),
        (gitlab_server.READ_ONLY, 200),
        (gitlab_server.MAINTAINER, 200),
    ],
)
def test_what_a_token_may_see(server: GitlabServer, token: str, status: int) -> None:
    """Variables are for maintainers; who is no member does not find the project."""
    try:
        client(server, token).projects.get(_PATH).variables.list(get_all=True)
        found = 200
    except gitlab.GitlabError as error:
        found = error.response_code or 0

    assert found == status


def test_what_a_token_may_change(server: GitlabServer) -> None:
    """The scope read_api reads, and changes nothing."""
    project = client(server, gitlab_server.READ_ONLY).projects.get(_PATH)

    with pytest.raises(gitlab.GitlabCreateError, match="insufficient_scope"):
        project.variables.create({"key": "A", "value": "b"})
    assert server.projects[42].kept.get("variables", []) == []


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (100, 1), (101, 2), (250, 3)])
def test_pages(server: GitlabServer, count: int, pages: int) -> None:
    """A list comes in pages of at most a hundred, with the headers that the client goes by."""
    for number in range(count):
        gitlab_project.protect(server.projects[42], "tags", f"v{number}")

    listed = client(server).projects.get(_PATH).protectedtags.list(get_all=True, per_page=500)

    assert [tag.name for tag in listed] == [f"v{number}" for number in range(count)]
    assert len([one for one in server.requests if "protected_tags" in one.target]) == pages
