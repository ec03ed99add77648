"""What `septum gitlab setup` says when GitLab refuses, fails, is slow or hangs up, at each of its endpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from septum.cli import gitlab_options
from tests.fakes import gitlab_project, gitlab_server, tls
from tests.fakes.gitlab_server import HTML, Fault, too_many
from tests.fakes.gitlab_variables import add_variable, schedules_of, variables_of
from tests.unit.gitlab_case import PROJECT, SECRET, Case, a_case

READ, WRITE, NEW = "read", "write", "new"
# Which endpoints a run asks: of a project in which everything differs, and of one that is still to be made.
ENDPOINTS = {
    "GET /projects/:id": READ,
    "GET /projects/:id/variables": READ,
    "GET /projects/:id/protected_branches": READ,
    "GET /projects/:id/protected_tags": READ,
    "GET /projects/:id/pipeline_schedules": READ,
    "GET /projects/:id/pipeline_schedules/:pipeline_schedule_id": READ,
    "GET /projects/:id/job_token_scope": READ,
    "GET /personal_access_tokens/self": READ,
    "POST /api/graphql": READ,
    "PUT /projects/:id": WRITE,
    "GET /projects/:id/variables/:key": WRITE,
    "POST /projects/:id/variables": WRITE,
    "PUT /projects/:id/variables/:key": WRITE,
    "PATCH /projects/:id/protected_branches/:name": WRITE,
    "POST /projects/:id/protected_tags": WRITE,
    "POST /projects/:id/pipeline_schedules": WRITE,
    "PUT /projects/:id/pipeline_schedules/:pipeline_schedule_id": WRITE,
    "PATCH /projects/:id/job_token_scope": WRITE,
    "GET /namespaces/:id": NEW,
    "POST /projects": NEW,
    "POST /projects/:id/protected_branches": NEW,
}
MORE = ["--nightly", "3 4 * * *", "--sweep", "1 2 * * *", "--schedule-input", "sweep:keep=2 d", "--component-project"]
UNAVAILABLE = {
    "429": too_many(),
    "429 without sense": too_many("soon"),
    "500": Fault(status=500, data={"message": f"500 with {SECRET}"}),
    "502 as a page": Fault(status=502, data=b"<html>Bad Gateway</html>", headers={"Content-Type": "text/html"}),
    "slow": Fault(delay_s=20.0),
    "hang-up": Fault(hang_up=True),
}
REFUSED = {
    "401": Fault(status=401),
    "403": Fault(status=403, data={"message": f"403 Forbidden \x1b[2J {SECRET}"}),
    "404": Fault(status=404),
    "409": Fault(status=409, data={"message": "it already exists"}),
}
STRANGE = {
    "a page": HTML,
    "an empty object": Fault(status=200, data={}),
    "an empty list": Fault(status=200, data=[]),
    "a list of numbers": Fault(status=200, data=[1, 2]),
    "elsewhere": Fault(status=302, data=b"", headers={"Location": "http://localhost:9/api/v4/projects/1"}),
}


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A repository, and a GitLab with an owner's token."""
    with a_case(tmp_path, monkeypatch) as made:
        made.token = gitlab_server.OWNER
        yield made


def expected(endpoint: str, fault: str) -> set[int]:
    """The exit codes that a fault may lead to: one, but where an answer without anything in it is one."""
    always = {**dict.fromkeys(UNAVAILABLE, 75), "401": 13}
    if fault in always:
        return {always[fault]}
    if fault.startswith("an empty"):
        return {0, 2, 3, 75}
    if ENDPOINTS[endpoint] != READ:
        return {3}  # this one is not done, and the rest is
    if fault in STRANGE or (fault == "409" and not endpoint.endswith("/self")):
        return {2}
    # What the token may not see is unknown; a project that it may not see is made, which fails; of its own scopes a
    # token need not know.
    if endpoint == "GET /personal_access_tokens/self":
        return {0}
    return {13} if (endpoint, fault) == ("GET /projects/:id", "403") else {3}


def prepare(case: Case, endpoint: str) -> None:
    """The project that lets a run ask this endpoint."""
    case.server.heal()
    case.server.projects.clear()
    if ENDPOINTS[endpoint] != NEW:
        project = case.flawed()
        if endpoint == "GET /projects/:id/variables/:key":
            add_variable(project, "X509_PROXY", "A0Proxy1In2Base64", masked=True)


def once(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the repository only once: it is the same in all runs of a test."""
    wanted_of = gitlab_options.wanted_of
    known: list[object] = []

    def remembered(*args: object) -> object:
        if not known:
            known.append(wanted_of(*args))  # type: ignore[arg-type]
        return known[0]

    monkeypatch.setattr("septum.cli.gitlab.wanted_of", remembered)
    case.run("setup", "--dry-run", *MORE, ready=False)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_fault_at_every_endpoint(case: Case, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear text and the right exit code, no mistake of septum's own, and no secret."""
    once(case, monkeypatch)
    for name, fault in {**UNAVAILABLE, **REFUSED, **STRANGE}.items():
        prepare(case, endpoint)
        case.server.fail(endpoint, fault)
        case.question_s = 0.6 if fault.delay_s else 30.0
        ended = case.run("setup", *MORE)

        shown = f"{endpoint} with {name}: {ended.code}\n{ended.text}"
        assert endpoint in {one.endpoint for one in case.server.requests}, shown
        assert "mistake in septum itself" not in ended.text, shown
        assert "Traceback" not in ended.text, shown
        assert SECRET not in ended.text, shown
        assert gitlab_server.OWNER not in ended.text, shown
        assert "\x1b" not in ended.text, shown
        assert ended.code in expected(endpoint, name), shown
        if name in UNAVAILABLE:
            assert "does not answer as it should" in ended.err, shown
        if name in REFUSED and ended.code:
            assert f"HTTP {name}" in ended.err or "already" in ended.err, shown
        if ended.code:
            assert "  Fix: " in ended.err, shown


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_after_a_fault_it_goes_on(case: Case, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that was lost leaves nothing half: one more run does the rest, and another one nothing."""
    once(case, monkeypatch)
    prepare(case, endpoint)
    case.server.fail(endpoint, Fault(hang_up=True, after=True))
    lost = case.run("setup", *MORE)
    case.server.heal()
    (project,) = case.server.projects.values() or [None]
    if project is not None:
        project.attributes.update(default_branch="main", description="Dimuons", readme_url="README.md")
        project.kept.pop("branches", None)
    mended, last = case.run("setup", *MORE), case.run("setup", *MORE)

    assert lost.code == 75, lost.text
    assert ENDPOINTS[endpoint] == NEW or mended.code == 0, mended.text
    assert last.writes == [], last.text
    (project,) = case.server.projects.values()
    assert len({schedule["description"] for schedule in schedules_of(project)}) == len(schedules_of(project))
    assert len({variable["key"] for variable in variables_of(project)}) == len(variables_of(project))


def test_an_hour_is_too_long(case: Case) -> None:
    """A server that wants to be asked again in an hour is not asked, and we do not wait for it; a minute is."""
    case.monkeypatch.setattr("gitlab.utils.time", time)
    case.flawed()
    case.server.fail("GET /projects/:id/variables", too_many("3600"), times=1)
    began_s, before = time.monotonic(), len(case.server.requests)

    ended = case.run("check")
    asked = [one.endpoint for one in case.server.requests[before:]]
    case.server.fail("GET /projects/:id/variables", too_many("1"), times=1)
    waited = case.run("check")

    assert ended.code == 75
    assert "HTTP 429: too many requests; it wants none for 60 min" in ended.err
    assert asked.count("GET /projects/:id/variables") == 1
    assert time.monotonic() - began_s < 20
    assert waited.code == 3


def test_a_list_without_an_end(case: Case) -> None:
    """Nor does one whose last page names itself as the next."""
    case.question_s = 1.0
    case.flawed()
    page = [{"key": "ONE", "value": "1", "environment_scope": "*"}]
    case.server.fail("GET /projects/:id/variables", Fault(status=200, data=page, headers=_itself_as_next(case)))

    assert case.run("check").code == 75


def test_empty_pages_without_an_end(case: Case) -> None:
    """python-gitlab calls itself for the page after an empty one, so that the depth of Python ends it first."""
    case.question_s = 60.0
    case.flawed()
    case.server.fail("GET /projects/:id/variables", Fault(status=200, data=[], headers=_itself_as_next(case)))

    assert case.run("check").code == 2


def _itself_as_next(case: Case) -> dict[str, str]:
    return {"Link": f'<{case.server.url}/api/v4/projects/42/variables?page=2>; rel="next"'}


def test_secrets_are_only_where_they_belong(case: Case) -> None:
    """The value of a variable is in the body of the one request that stores it; the token in no address and no body."""
    case.flawed()
    case.run("setup", *MORE)

    holding = [one for one in case.server.requests if SECRET in repr(one)]
    assert [one.endpoint for one in holding] == ["POST /projects/:id/variables"]
    assert holding[0].json["key"] == "IAM_CLIENT_SECRET"
    assert SECRET not in holding[0].target
    for one in case.server.requests:
        assert gitlab_server.OWNER not in one.target + one.body.decode()
        carrying = {name for name, value in one.headers.items() if gitlab_server.OWNER in value}
        assert carrying == ({"Authorization"} if one.endpoint == "POST /api/graphql" else {"PRIVATE-TOKEN"})


@pytest.mark.parametrize("way", ["redirect", "next page"])
def test_the_token_goes_to_no_other_host(case: Case, way: str) -> None:
    """Neither a redirect nor the address of a next page takes it to another host or port."""
    case.flawed()
    with gitlab_server.serving() as other:
        there = f"http://127.0.0.1:{other.port}/elsewhere"
        if way == "redirect":
            case.server.fail("GET /projects/:id", Fault(status=307, data=b"", headers={"Location": there}))
        else:
            headers = {"Link": f'<{there}>; rel="next"'}
            case.server.fail("GET /projects/:id/variables", Fault(status=200, data=[], headers=headers))
        ended = case.run("check")
        asked = list(other.requests)

    assert ended.code == 2, ended.text
    assert "where the token does not go" in ended.err
    assert asked == []


def test_a_certificate_that_nobody_trusts(case: Case, tmp_path: Path) -> None:
    """No token is sent to a server that cannot prove who it is; with its authority it is asked."""
    case.flawed()
    case.monkeypatch.undo()
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            body = json.dumps({"message": "404 Project Not Found"}).encode()
            self.send_response(404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with tls.serving(Handler, tmp_path) as (place, authority):
        untrusted = case.run("check", "--url", f"https://{place}")
        before = list(seen)
        trusted = case.run("check", "--url", f"https://{place}", "--ca-file", authority)

    assert untrusted.code == 13, untrusted.text
    assert "the certificate of https://" in untrusted.err
    assert before == []
    assert trusted.code == 3, trusted.text
    assert PROJECT.replace("/", "%2F") in seen[0]


def test_every_endpoint_is_one_that_is_tried() -> None:
    """The table above has all that a run asks for: an endpoint that is added to the fake has its faults, too."""
    assert {endpoint.name for endpoint in gitlab_project.ENDPOINTS} == {*ENDPOINTS}
