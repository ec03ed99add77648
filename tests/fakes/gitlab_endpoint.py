"""An endpoint of GitLab as its page documents it, and what a request may hold: for `tests.fakes.gitlab_server`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from tests.fakes.gitlab_server import GitlabServer

GUEST_LEVEL, REPORTER_LEVEL, DEVELOPER_LEVEL, MAINTAINER_LEVEL, OWNER_LEVEL = 10, 20, 30, 40, 50

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "hash": (dict,),
    "any": (object,),
}
WORDS: Mapping[int, str] = {401: "401 Unauthorized", 403: "403 Forbidden", 404: "404 Not Found"}
"""GitLab's words for a status."""
_PAGING = frozenset({"page", "per_page"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back: `data` becomes JSON unless it is bytes."""

    status: int = 200
    data: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """An answer that a handler gives up with; `mistake` says that the client asked what it must not ask."""

    def __init__(self, status: int, data: Any = None, *, mistake: str = "") -> None:
        super().__init__(status, data)
        self.answer = Answer(status=status, data=data if data is not None else {"message": WORDS.get(status, "")})
        self.mistake = mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token: who it speaks for, what for, and the role in every project that does not say otherwise."""

    user: str
    level: int
    scopes: tuple[str, ...] = ("api",)
    user_id: int = 1


@dataclass(slots=True, kw_only=True)
class Project:
    """A project: what all endpoints need of it, and what each of them keeps of its own."""

    id: int
    path: str
    visibility: str = "private"
    levels: dict[str, int] = field(default_factory=dict)
    """Roles of users in this project alone, instead of that of their token."""
    attributes: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    def level_of(self, token: Token) -> int:
        """The role of a token's user."""
        return self.levels.get(token.user, token.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a handler gets: checked parameters of path, query and body in one."""

    server: GitlabServer
    token: Token
    project: Project | None
    params: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def here(self) -> Project:
        """The project of the path."""
        assert self.project is not None
        return self.project


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint as its page documents it.

    Attributes:
        method: GET, POST, PUT, PATCH, DELETE, HEAD.
        path: Below `/api/v4`, with `:name` for what varies; one that begins with `/api/` is taken whole.
        page: The address of the page.
        handle: Gives the answer.
        fields: Documented parameters beside those of the path.
        level: The least role; 0 for an endpoint without a project.
        writes: Whether the scope `api` is needed.
        paged: Whether its list has pages.
        scopes: What the token may have instead, where the page names others.
    """

    method: str
    path: str
    page: str
    handle: Callable[[Call], Answer]
    fields: Mapping[str, str] = field(default_factory=dict)
    level: int = 0
    writes: bool = False
    paged: bool = False
    scopes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As `fail` takes it."""
        return f"{self.method} {self.path}"

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The values of the path, if it is this one's."""
        whole = self.path if self.path.startswith("/api/") else f"/api/v4{self.path}"
        pattern = re.sub(r":(\w+)", r"(?P<\1>[^/]+)", whole)
        found = re.fullmatch(pattern, path) if method == self.method else None
        return {key: unquote(value) for key, value in found.groupdict().items()} if found else None


# ── what is documented ──────────────────────────────────────────────────────────────────────────────────────────


def require_scope(token: Token, endpoint: Endpoint) -> None:
    """See that a token may do what an endpoint does."""
    needed = {"api"} if endpoint.writes else {"api", "read_api"}
    if endpoint.scopes:
        needed = set(endpoint.scopes)
    if needed.isdisjoint(token.scopes):
        words = "The request requires higher privileges than provided by the access token."
        raise RefusedError(403, {"error": "insufficient_scope", "error_description": words, "scope": " ".join(needed)})


def checked(endpoint: Endpoint, values: Mapping[str, str], query: str, body: bytes) -> dict[str, Any]:
    """All parameters of a request; refuses what the page does not have."""
    params: dict[str, Any] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        hashed = re.fullmatch(r"(\w+)\[(\w+)\]", key)
        if hashed:
            params.setdefault(hashed[1], {})[hashed[2]] = text
        elif key.endswith("[]"):
            params.setdefault(key[:-2], []).append(text)
        elif not (endpoint.paged and key in _PAGING):
            params[key] = _from_query(text, endpoint.fields.get(key, "string"))
    try:
        sent = json.loads(body) if body else {}
    except ValueError:
        raise RefusedError(400, {"error": "The request body is not JSON"}, mistake="a body that is no JSON") from None
    if not isinstance(sent, dict):
        raise RefusedError(400, {"error": "The request body is not an object"}, mistake="a body that is no object")
    params |= sent
    for key in params:
        if key not in endpoint.fields:
            raise RefusedError(
                400, {"error": f"{key} is not documented"}, mistake=f"no parameter {key!r} is documented"
            )
    for key, spec in endpoint.fields.items():
        _check(key, spec, params)
    return {**params, **values}


def _from_query(text: str, spec: str) -> Any:
    """What a text in an address means: all are texts there."""
    if spec.startswith("integer") and re.fullmatch(r"-?\d+", text):
        return int(text)
    if spec.startswith("boolean") and text.lower() in {"true", "false", "0", "1"}:
        return text.lower() in {"true", "1"}
    return text


def _check(key: str, spec: str, params: Mapping[str, Any]) -> None:
    kind, _, allowed = spec.partition(":")
    required, kind = kind.endswith("!"), kind.rstrip("!").strip()
    if key not in params:
        if required:
            raise RefusedError(
                400, {"error": f"{key} is missing"}, mistake=f"the required parameter {key!r} is missing"
            )
        return
    value = params[key]
    if not isinstance(value, _KINDS[kind]) or (kind == "integer" and isinstance(value, bool)):
        raise RefusedError(400, {"error": f"{key} is invalid"}, mistake=f"{key!r} is no {kind}")
    if allowed and value not in allowed.split():
        words = {"error": f"{key} does not have a valid value"}
        raise RefusedError(400, words, mistake=f"{key!r} is none of: {allowed.strip()}")


def endpoint(method: str, path: str, page: str, handle: Any, **more: Any) -> Endpoint:
    """An endpoint of GitLab's API pages; all but GET want the scope `api`."""
    writes = method not in {"GET", "HEAD"}
    page = "https://docs.gitlab.com/api/" + page
    return Endpoint(**{"method": method, "path": path, "page": page, "handle": handle, "writes": writes, **more})
