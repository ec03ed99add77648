"""A fake GitLab on a loopback socket. Strict: what GitLab's pages do not document is refused, and fails the test.

    with gitlab_server.serving(*gitlab_project.ENDPOINTS, *gitlab_pipelines.ENDPOINTS) as server:
        project = server.add_project("my-group/my-analysis")
        client = gitlab.Gitlab(server.url, private_token=gitlab_server.MAINTAINER, keep_base_url=True)
        server.fail("GET /projects/:id/variables", Fault(status=500), times=2)
        …
        assert server.writes() == []

At the end of `serving` an AssertionError names every mistake: an endpoint that nobody documented, a parameter that is
unknown, missing or of a wrong type. A test that makes mistakes on purpose takes `server.mistakes.clear()`.

To add endpoints, write a module with a table of them (`Endpoint`, `endpoint` and all that follows are in
`tests.fakes.gitlab_endpoint`). A handler gets a `Call` and returns an `Answer`, or raises `RefusedError`; a list is
returned whole and cut into pages here. What it has to remember goes into `call.here.kept`, a dictionary with names of
its own. Parameters are written `{"name": "string!"}`: a kind (string, integer, boolean, array, hash, any), `!` if
required, and allowed values after a colon, as in `"string: env_var file"`. A handler may answer with bytes and headers;
the request's headers are at `call.headers`.

What a token may is as GitLab's pages have it: scopes (rest/authentication), roles by project (user/permissions), 404
for a project that the token may not see, 401 for no or an unknown token. Not here: groups, other headers than the four
that carry tokens, keyset pagination.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.fakes.gitlab_endpoint import (
    DEVELOPER_LEVEL,
    MAINTAINER_LEVEL,
    OWNER_LEVEL,
    REPORTER_LEVEL,
    WORDS,
    Answer,
    Call,
    Endpoint,
    Project,
    RefusedError,
    Token,
    checked,
    require_scope,
)

OWNER = "glpat-Owner0Token1Of2The3Tests4"
MAINTAINER = "glpat-Maint0Token1Of2The3Tests4"
DEVELOPER = "glpat-Devel0Token1Of2The3Tests4"
REPORTER = "glpat-Repor0Token1Of2The3Tests4"
STRANGER = "glpat-Stran0Token1Of2The3Tests4"
READ_ONLY = "glpat-Reado0Token1Of2The3Tests4"
"""A maintainer's token with the scope `read_api` alone."""

_MOST_PER_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong instead of an answer, or before one.

    Attributes:
        status: The status of a wrong answer; 0 lets the right one follow.
        data: Its body.
        headers: Its headers.
        delay_s: Wait so long first.
        hang_up: Close the connection without an answer.
        after: Carry out the request, and only then fail.
    """

    status: int = 0
    data: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hang_up: bool = False
    after: bool = False


HTML = Fault(status=200, data=b"<html><body>Sign in</body></html>", headers={"Content-Type": "text/html"})


def too_many(after_s: str = "0") -> Fault:
    """GitLab's answer to too many requests."""
    return Fault(status=429, data=b"Retry later\n", headers={"Retry-After": after_s, "Content-Type": "text/plain"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came in, with everything that could hold a secret."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    endpoint: str
    status: int

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body) if self.body else None

    @property
    def changes(self) -> bool:
        """Whether it changes something; of GraphQL, a mutation does."""
        if self.endpoint == "POST /api/graphql":
            return b"mutation" in self.body
        return self.method not in {"GET", "HEAD"}


@dataclass
class GitlabServer:
    """The fake; see the top of this module."""

    endpoints: tuple[Endpoint, ...] = ()
    port: int = 0
    root: str = ""
    """The path below which it is, such as `/gitlab` (relative_url_root); nothing else is answered."""
    projects: dict[int, Project] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    namespaces: dict[str, int] = field(default_factory=lambda: {"my-group": 7, "owner": 8})
    requests: list[Request] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _faults: list[tuple[str, Fault, int]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}{self.root}"

    def add_project(self, path: str, **attributes: Any) -> Project:
        """A project that is there; `attributes` are what `GET /projects/:id` says beside id and path."""
        number = 41 + len(self.projects) + 1
        self.projects[number] = Project(id=number, path=path, attributes=attributes)
        return self.projects[number]

    def fail(self, endpoint: str, fault: Fault, *, times: int = 1_000_000) -> None:
        """Let an endpoint go wrong, by its name as `GET /projects/:id`, or `*` for all."""
        with self._lock:
            self._faults.append((endpoint, fault, times))

    def heal(self) -> None:
        """No more faults."""
        with self._lock:
            self._faults.clear()

    def writes(self) -> list[str]:
        """The endpoints of all requests that change something."""
        return [one.endpoint for one in self.requests if one.changes]

    # ── one request ─────────────────────────────────────────────────────────────────────────────────────────────

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """Serve one request; None hangs up."""
        url = urlsplit(target)
        endpoint, values = self._find(method, url.path)
        name = endpoint.name if endpoint else f"{method} {url.path}"
        fault = self._fault(name)
        if fault is not None:
            self.ended.wait(fault.delay_s)
        instead = fault is not None and bool(fault.status or fault.hang_up)
        answer: Answer | None = None
        if fault is None or not instead or fault.after:
            with self._lock:
                answer = self._right(endpoint, name, values, url.query, headers, body)
                answer = self._paged(answer, url.path, url.query) if endpoint and endpoint.paged else answer
        if fault is not None and instead:
            answer = _failed(fault)
        status = answer.status if answer else 0
        with self._lock:
            self.requests.append(
                Request(method=method, target=target, headers=dict(headers), body=body, endpoint=name, status=status)
            )
        return answer

    def _find(self, method: str, path: str) -> tuple[Endpoint | None, dict[str, str]]:
        if not path.startswith(f"{self.root}/"):
            return None, {}
        for endpoint in self.endpoints:
            values = endpoint.match(method, path.removeprefix(self.root))
            if values is not None:
                return endpoint, values
        return None, {}

    def _fault(self, name: str) -> Fault | None:
        with self._lock:
            for number, (endpoint, fault, times) in enumerate(self._faults):
                if endpoint in {name, "*"}:
                    self._faults[number] = (endpoint, fault, times - 1)
                    if times <= 1:
                        del self._faults[number]
                    return fault
        return None

    def _right(
        self,
        endpoint: Endpoint | None,
        name: str,
        values: Mapping[str, str],
        query: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        try:
            if endpoint is None:
                raise RefusedError(404, {"error": "404 Not Found"}, mistake="no such endpoint is documented")
            token = self._token(headers, graphql=endpoint.path == "/api/graphql")
            require_scope(token, endpoint)
            project = self._project(values, endpoint, token)
            params = checked(endpoint, values, query, body)
            return endpoint.handle(Call(server=self, token=token, project=project, params=params, headers=headers))
        except RefusedError as refusal:
            if refusal.mistake:
                self.mistakes.append(f"{name}: {refusal.mistake} ({endpoint.page if endpoint else 'no page'})")
            return refusal.answer

    def _token(self, headers: Mapping[str, str], *, graphql: bool) -> Token:
        given = {key.lower(): value for key, value in headers.items()}
        bearer = given.get("authorization", "").removeprefix("Bearer ")
        # "Authentication" in GraphQL's own page has no other header.
        value = bearer if graphql else given.get("private-token") or given.get("job-token") or bearer
        if value not in self.tokens:
            raise RefusedError(401)
        return self.tokens[value]

    def _project(self, values: Mapping[str, str], endpoint: Endpoint, token: Token) -> Project | None:
        if not endpoint.path.startswith("/projects/:id"):
            return None
        found = next((p for p in self.projects.values() if values["id"] in {str(p.id), p.path}), None)
        if found is None or (found.level_of(token) <= 0 and found.visibility == "private"):
            raise RefusedError(404, {"message": "404 Project Not Found"})
        if found.level_of(token) < endpoint.level:
            raise RefusedError(403)
        if endpoint.writes and found.attributes.get("archived"):
            raise RefusedError(403)  # "Archive a project": it is read-only
        return found

    @staticmethod
    def _paged(answer: Answer, path: str, query: str) -> Answer:
        """One page of a list, with GitLab's headers; it names itself by what it takes for its own address."""
        if not isinstance(answer.data, list):
            return answer
        asked = dict(parse_qsl(query))
        page, size = int(asked.get("page", 1)), min(_MOST_PER_PAGE, int(asked.get("per_page", 20)))
        pages = -(-len(answer.data) // size) or 1
        headers = {"X-Page": str(page), "X-Per-Page": str(size), "X-Total": str(len(answer.data))}
        headers |= {"X-Total-Pages": str(pages), "X-Next-Page": str(page + 1) if page < pages else ""}
        if page < pages:
            more = urlencode({**asked, "page": page + 1, "per_page": size})
            headers["Link"] = f'<http://gitlab.internal.invalid{path}?{more}>; rel="next"'
        return Answer(data=answer.data[(page - 1) * size : page * size], headers={**answer.headers, **headers})


def _failed(fault: Fault) -> Answer | None:
    if fault.hang_up:
        return None
    data = fault.data if fault.data is not None else {"message": WORDS.get(fault.status, str(fault.status))}
    return Answer(status=fault.status, data=data, headers=fault.headers)


# ── the socket ──────────────────────────────────────────────────────────────────────────────────────────────────


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are not our failure."""


def _handler(fake: GitlabServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30.0
        # In one piece: a body that follows its headers waits for the client's delayed acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            whole = len(body) == length  # else the client has gone in the middle
            answer = fake.answer(self.command, self.path, dict(self.headers), body) if whole else None
            if answer is None:
                self.close_connection = True
                return
            data = answer.data
            raw = data if isinstance(data, bytes) else b"" if data is None else json.dumps(data).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            if self.command != "HEAD" and answer.status != 204:
                self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815 - the base class looks for them

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    return Handler


@contextlib.contextmanager
def serving(*endpoints: Endpoint) -> Iterator[GitlabServer]:
    """Run the fake on the loopback interface; at its end, no mistake may have been made.

    Raises:
        AssertionError: Something was asked that GitLab's pages do not document; not if the test fails by itself.
    """
    fake = GitlabServer(endpoints=endpoints)
    levels = {OWNER: ("owner", OWNER_LEVEL), MAINTAINER: ("maintainer", MAINTAINER_LEVEL)}
    levels |= {DEVELOPER: ("developer", DEVELOPER_LEVEL), REPORTER: ("reporter", REPORTER_LEVEL)}
    for number, (value, (user, level)) in enumerate({**levels, STRANGER: ("stranger", 0)}.items(), start=1):
        fake.tokens[value] = Token(user=user, level=level, user_id=number)
    fake.tokens[READ_ONLY] = Token(user="maintainer", level=MAINTAINER_LEVEL, scopes=("read_api",), user_id=2)
    server = _Server(("127.0.0.1", 0), _handler(fake))
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
    if fake.mistakes:
        raise AssertionError("\n".join(["asked what GitLab does not document:", *fake.mistakes]))
